//! `ringfence policy generate`: the least privilege that still passes, from calls that were recorded.
//!
//! The policy goes to standard output, and what was seen, widened or left out to standard error.

mod files;

use super::NO;
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use ringfence_gateway::trail::Window;
use ringfence_gateway::{Trail, observed};
use ringfence_policy::generate::{Generated, Generator, Note, Options as Wanted};
use ringfence_policy::{AccountId, Arn};
use ringfence_wire::Timestamp;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["data", "files"])))]
pub struct Options {
    /// Whose calls: the ARN of a user, a role or a session
    #[arg(long, value_name = "ARN")]
    principal: String,

    /// Read the audit log of a data directory, whether or not a server runs on it, or of the
    /// directory that the server's --audit names
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Read files of AWS CloudTrail, *.json or *.json.gz, or folders of them
    #[arg(value_name = "FILES")]
    files: Vec<PathBuf>,

    /// Only calls from this time on, such as 2026-11-01 or 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<i64>,

    /// Only calls before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,

    /// Allow what was denied, too
    #[arg(long)]
    with_denied: bool,

    /// Make no conditions of the services' own keys, such as iam:PassedToService
    #[arg(long)]
    no_conditions: bool,

    /// Make conditions of this, too, where it was the same each time; may be given again
    #[arg(long, value_name = "WHAT", value_enum)]
    condition: Vec<Condition>,

    /// Name up to this many resources of one type one by one, and use wildcards for more
    #[arg(long, value_name = "N", default_value_t = Wanted::default().few)]
    few: usize,

    /// Name every resource, whatever comes of it
    #[arg(long, conflicts_with = "few")]
    exact: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Condition {
    /// The regions called
    Region,
    /// The addresses called from
    SourceIp,
    /// That TLS was used
    Tls,
    /// That an MFA device vouched
    Mfa,
}

impl Condition {
    const fn key(self) -> &'static str {
        match self {
            Self::Region => "aws:RequestedRegion",
            Self::SourceIp => "aws:SourceIp",
            Self::Tls => "aws:SecureTransport",
            Self::Mfa => "aws:MultiFactorAuthPresent",
        }
    }
}

/// A time in seconds since 1970. A day is its first second.
fn time(text: &str) -> Result<i64, String> {
    let whole = if text.len() == 10 && text.contains('-') {
        format!("{text}T00:00:00Z")
    } else {
        text.into()
    };
    let at = Timestamp::parse_any(&whole);
    at.map(|at| at.seconds).ok_or_else(|| "expected a time such as 2026-11-01T12:00:00Z".into())
}

/// What was read, for the report.
#[derive(Debug, Default)]
struct Read {
    /// Events of the principal's, within the time.
    events: u64,
    /// Other events.
    others: u64,
    /// What could not be read, or not be understood, with how often it was so.
    unclear: BTreeMap<String, u64>,
}

impl Read {
    fn unclear(&mut self, what: impl ToString, times: u64) {
        if times > 0 {
            *self.unclear.entry(what.to_string()).or_default() += times;
        }
    }
}

/// Whose calls are meant, and when.
struct Whose<'o> {
    principal: &'o str,
    account: AccountId,
    from: i64,
    until: i64,
}

pub fn generate(options: &Options) -> anyhow::Result<ExitCode> {
    let principal = &*options.principal;
    let account = Arn::parse(principal).ok().and_then(|arn| arn.account_id());
    let account =
        account.with_context(|| format!("`{principal}` is no ARN of an account's principal"))?;
    let whose = Whose {
        principal,
        account,
        from: options.from.unwrap_or(i64::MIN),
        until: options.until.unwrap_or(i64::MAX),
    };
    let mut generator = Generator::new(Wanted {
        denied: options.with_denied,
        conditions: !options.no_conditions,
        global_keys: options.condition.iter().map(|condition| condition.key()).collect(),
        few: if options.exact { usize::MAX } else { options.few },
        ..Wanted::default()
    });
    let read = match &options.data {
        Some(data) => from_log(data, &whose, &mut generator)?,
        None => files::read(&options.files, &whose, &mut generator)?,
    };
    let generated = generator.generate();
    report(&read, &generated)?;
    let mut out = std::io::stdout().lock();
    match generated.documents.as_slice() {
        [] => return Ok(ExitCode::from(NO)),
        [one] => writeln!(out, "{one:#}")?,
        many => writeln!(out, "{:#}", serde_json::Value::from(many))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the audit log of a data directory.
fn from_log(data: &Path, whose: &Whose<'_>, generator: &mut Generator) -> anyhow::Result<Read> {
    let dir = match data.join("audit") {
        audit if audit.is_dir() => audit,
        // What a server's --audit names.
        _ if Trail::has_segments(data) => data.to_owned(),
        _ => bail!("there is no audit log in {}", data.display()),
    };
    let window = Window { account: whose.account, from: whose.from, until: whose.until };
    let (trail, mut read) = (Trail::in_directory(&dir), Read::default());
    // Who had the name last is meant: one made anew under an old name is another.
    let mut newest = None;
    let mut at = i64::MIN;
    let first = trail.read(window, |event| {
        // Several servers' events come one server after the other.
        if observed::is_by(event, whose.principal) && event.event_time >= at {
            at = event.event_time;
            newest = Some(event.user_identity.unique_id().to_owned());
        }
        ControlFlow::Continue(())
    });
    first.with_context(|| dir.display().to_string())?;
    let mut before = 0;
    let unread = trail.read(window, |event| {
        if !observed::is_by(event, whose.principal) {
            read.others += 1;
        } else if newest.as_deref() == Some(event.user_identity.unique_id()) {
            read.events += 1;
            observed::observations(event).into_iter().for_each(|one| generator.observe(one));
        } else {
            before += 1;
        }
        ControlFlow::Continue(())
    });
    let unread = unread.with_context(|| dir.display().to_string())?;
    read.unclear("left out: calls of who had this name before", before);
    read.unclear("lines of the log that are no events", unread.lines);
    Ok(read)
}

/// Says what was seen, and what a reader should know of the policy.
fn report(read: &Read, generated: &Generated) -> std::io::Result<()> {
    let mut err = std::io::stderr().lock();
    let Read { events, others, unclear } = read;
    writeln!(err, "read: {events} calls of the principal, {others} events of others")?;
    let Generated { seen, observations, documents, notes } = generated;
    writeln!(
        err,
        "seen: {seen} questions to the policies, {observations} different in the policy"
    )?;
    for (what, times) in unclear {
        writeln!(err, "{what} ({times}×)")?;
    }
    for note in notes {
        writeln!(err, "{note}")?;
    }
    if notes.iter().any(|note| matches!(note, Note::NotAllowed(..))) {
        writeln!(err, "warning: the policy does not allow all that was seen")?;
    }
    match documents.len() {
        0 => writeln!(err, "nothing was seen that a policy would allow"),
        1 => Ok(()),
        // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
        n if n > 10 => {
            writeln!(
                err,
                "warning: {n} policies; a user or role takes 10 unless its quota is raised"
            )
        }
        n => writeln!(err, "{n} policies: one would be longer than a managed policy may be"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_an_instant_or_seconds() {
        assert_eq!(time("1970-01-02"), Ok(86_400));
        assert_eq!(time("1970-01-01T00:00:01+00:00"), Ok(1));
        assert_eq!(time("1700000000"), Ok(1_700_000_000));
        assert!(time("yesterday").is_err() && time("").is_err());
    }
}
