//! Reading what was recorded: the events of the audit log, of each server oldest first.
//!
//! ```text
//!   audit/000001-….jsonl.gz ─┐
//!   audit/000002-….jsonl ────┼─► Trail::read(window) ──► Recorded, one at a time
//!   memory (`--dev`) ────────┘
//! ```
//!
//! Where several servers write into one directory, each has a folder of its own in it, and all are read,
//! one after the other.
//!
//! Reports are made of what was recorded and of nothing else: last accesses, policies generated from
//! calls. Reading blocks and may take long: it belongs on a thread of its own
//! (`tokio::task::spawn_blocking`). An event that was answered is found by whoever reads after.
//!
//! To read an event is to parse it, which costs far more than to pass it over: who asks about some
//! principals alone names them ([`Trail::read_of`]), and the lines of others are never parsed.

use crate::audit::segment::{LINES, Name, PACKED, of_kind};
use flate2::read::MultiGzDecoder;
use memchr::memmem::Finder;
use ringfence_policy::AccountId;
use ringfence_wire::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes that are read at a time.
const BUFFER: usize = 256 * 1024;

/// Most bytes of events that are kept in memory; older ones are forgotten first.
const MOST_IN_MEMORY: usize = 64 * 1024 * 1024;

/// Where events are read from.
#[derive(Clone)]
pub struct Trail(Source);

#[derive(Clone)]
enum Source {
    Directory(Arc<Path>),
    Memory(Arc<Mutex<Kept>>),
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<Arc<str>>,
    bytes: usize,
}

/// Which events are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Those whose caller is of this account.
    pub account: AccountId,
    /// Not before this second since 1970.
    pub from: i64,
    /// Before this second since 1970.
    pub until: i64,
}

/// What could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unread {
    /// Lines that are no event. The last line of a segment is none where a crash tore it, and does
    /// not count: its call was not answered.
    pub lines: u64,
}

/// An event as it was recorded: a record in CloudTrail's form.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded<'e> {
    /// Who called.
    #[serde(borrow)]
    pub user_identity: UserIdentity<'e>,
    /// When, in seconds since 1970.
    #[serde(deserialize_with = "seconds")]
    pub event_time: i64,
    /// `iam.amazonaws.com`
    #[serde(borrow)]
    pub event_source: Cow<'e, str>,
    /// The operation.
    #[serde(borrow)]
    pub event_name: Cow<'e, str>,
    /// The region called.
    #[serde(borrow)]
    pub aws_region: Cow<'e, str>,
    /// Where the call came from.
    #[serde(borrow, rename = "sourceIPAddress")]
    pub source_ip_address: Cow<'e, str>,
    /// The client's name for itself.
    #[serde(borrow)]
    pub user_agent: Cow<'e, str>,
    /// What the call was refused with; `None` where it succeeded.
    pub error_code: Option<Cow<'e, str>>,
    /// The input, as JSON.
    #[serde(borrow)]
    pub request_parameters: Option<&'e RawValue>,
    /// What was decided.
    #[serde(default)]
    pub additional_event_data: Additional,
    /// The id of the event.
    #[serde(borrow, rename = "eventID")]
    pub event_id: Cow<'e, str>,
    /// The call changed nothing.
    pub read_only: bool,
    /// The account that called.
    #[serde(borrow)]
    pub recipient_account_id: Cow<'e, str>,
    /// There where the call came over TLS.
    #[serde(borrow)]
    pub tls_details: Option<&'e RawValue>,
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserIdentity<'e> {
    /// `Root`, `IAMUser`, `AssumedRole`, …
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'e, str>,
    /// The unique id; of a session also its name, after a colon.
    #[serde(default, borrow)]
    pub principal_id: Cow<'e, str>,
    /// The ARN of the user, or of the session.
    #[serde(default, borrow)]
    pub arn: Cow<'e, str>,
    /// The access key that signed.
    #[serde(default, borrow)]
    pub access_key_id: Cow<'e, str>,
    /// What is known of a session.
    #[serde(borrow)]
    pub session_context: Option<SessionContext<'e>>,
}

/// A session's part of [`UserIdentity`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionContext<'e> {
    /// The role or user that it is a session of; a session of a user's own has none.
    #[serde(borrow)]
    pub session_issuer: Option<SessionIssuer<'e>>,
    /// When it was made and how.
    pub attributes: Option<SessionAttributes>,
}

/// Whose session it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionIssuer<'e> {
    /// The unique id of the role or user.
    #[serde(borrow)]
    pub principal_id: Cow<'e, str>,
    /// Its ARN.
    #[serde(borrow)]
    pub arn: Cow<'e, str>,
}

/// When a session was made and how.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionAttributes {
    /// `"true"` where it was made with an MFA device.
    pub mfa_authenticated: String,
}

/// What this server adds to CloudTrail's fields.
#[derive(Debug, Default, Deserialize)]
pub struct Additional {
    /// What was asked, in its order.
    #[serde(default)]
    pub decisions: Vec<RecordedDecision>,
}

/// One question to the policies, and the answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedDecision {
    /// The action asked for.
    pub action: String,
    /// On this resource.
    pub resource: String,
    /// `allowed`, `explicitDeny` or `implicitDeny`.
    pub decision: String,
    /// The service's own condition keys of the request, but for tags.
    #[serde(default)]
    pub keys: BTreeMap<String, Vec<String>>,
}

impl RecordedDecision {
    /// Whether the policies allowed it.
    pub fn is_allowed(&self) -> bool {
        self.decision == "allowed"
    }
}

impl<'e> UserIdentity<'e> {
    /// The ARN of the principal: of a session, the role's or user's that it is of.
    pub fn principal_arn(&self) -> &str {
        self.issuer().map_or(&self.arn, |issuer| &issuer.arn)
    }

    /// The unique id of the principal, which a principal made anew under an old name has not.
    pub fn unique_id(&self) -> &str {
        let own = || self.principal_id.split(':').next().unwrap_or_default();
        self.issuer().map_or_else(own, |issuer| &issuer.principal_id)
    }

    fn issuer(&self) -> Option<&SessionIssuer<'e>> {
        self.session_context.as_ref()?.session_issuer.as_ref()
    }

    /// Whether an MFA device vouched for the session.
    pub fn mfa_authenticated(&self) -> bool {
        let attributes = self.session_context.as_ref().and_then(|c| c.attributes.as_ref());
        attributes.is_some_and(|attributes| attributes.mfa_authenticated == "true")
    }
}

impl Window {
    fn holds(&self, event: &Recorded<'_>) -> bool {
        (self.from..self.until).contains(&event.event_time)
            && event.recipient_account_id.parse() == Ok(self.account)
    }
}

impl Trail {
    /// The segments in a directory, and in the folders in it.
    pub fn in_directory(dir: &Path) -> Self {
        Self(Source::Directory(dir.into()))
    }

    /// Whether there is anything to read in a directory.
    pub fn has_segments(dir: &Path) -> bool {
        let has = |dir: &PathBuf| {
            [LINES, PACKED].iter().any(|kind| of_kind(dir, kind).is_ok_and(|all| !all.is_empty()))
        };
        folders(dir).is_ok_and(|all| all.iter().any(has))
    }

    /// Events that are kept in memory, for `--dev`: the last 64 MiB of them.
    pub fn in_memory() -> Self {
        Self(Source::Memory(Arc::default()))
    }

    /// Keeps an event, where events are kept in memory. Those in segments are the audit log's.
    pub(crate) fn keep(&self, line: &str) {
        let Source::Memory(kept) = &self.0 else { return };
        let mut kept = lock(kept);
        kept.bytes += line.len();
        kept.lines.push_back(line.into());
        while kept.bytes > MOST_IN_MEMORY
            && let Some(oldest) = kept.lines.pop_front()
        {
            kept.bytes -= oldest.len();
        }
    }

    /// Reads the events of a window in the order in which they were recorded, until `each` breaks.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn read(
        &self,
        window: Window,
        mut each: impl FnMut(&Recorded<'_>) -> ControlFlow<()>,
    ) -> io::Result<Unread> {
        self.read_all(Reading { window, of: None, unread: Unread::default(), each: &mut each })
    }

    /// As [`Trail::read`], the events of principals with these unique ids alone, and of sessions of
    /// theirs.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub fn read_of(
        &self,
        principals: &HashSet<&str>,
        window: Window,
        mut each: impl FnMut(&Recorded<'_>) -> ControlFlow<()>,
    ) -> io::Result<Unread> {
        let of = Some(Principals { ids: principals, finder: Finder::new(PRINCIPAL) });
        self.read_all(Reading { window, of, unread: Unread::default(), each: &mut each })
    }

    fn read_all(&self, mut reading: Reading<'_>) -> io::Result<Unread> {
        let window = reading.window;
        match &self.0 {
            Source::Directory(dir) => {
                for folder in folders(dir)? {
                    for name in segments(&folder, window)? {
                        if reading.segment(&folder, &name)?.is_break() {
                            return Ok(reading.unread);
                        }
                    }
                }
            }
            Source::Memory(kept) => {
                let lines: Vec<Arc<str>> = lock(kept).lines.iter().cloned().collect();
                for line in lines {
                    if reading.line(line.as_bytes(), true).is_break() {
                        break;
                    }
                }
            }
        }
        Ok(reading.unread)
    }
}

/// What stands before a unique id in an event: of the caller, or of the issuer of its session.
const PRINCIPAL: &[u8] = b"\"principalId\":\"";

/// The principals whose events are wanted.
struct Principals<'r> {
    ids: &'r HashSet<&'r str>,
    finder: Finder<'static>,
}

impl Principals<'_> {
    /// Whether a line may be of one of them. An event is written without white space and an id is
    /// plain, so that none is missed; a quote in a text is escaped, so that few others are taken.
    fn may_be_of(&self, line: &[u8]) -> bool {
        self.finder.find_iter(line).any(|at| {
            let rest = line.get(at + PRINCIPAL.len()..).unwrap_or_default();
            let end = rest.iter().position(|byte| matches!(byte, b'"' | b':'));
            let id = end.and_then(|end| std::str::from_utf8(&rest[..end]).ok());
            id.is_some_and(|id| self.ids.contains(id))
        })
    }
}

struct Reading<'r> {
    window: Window,
    of: Option<Principals<'r>>,
    unread: Unread,
    each: &'r mut dyn FnMut(&Recorded<'_>) -> ControlFlow<()>,
}

impl Reading<'_> {
    fn segment(&mut self, dir: &Path, name: &Name) -> io::Result<ControlFlow<()>> {
        // The events of one that is open may be packed meanwhile.
        for kind in [PACKED, LINES, PACKED] {
            let file = match File::open(name.file(dir, kind)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            return match kind {
                PACKED => self.lines(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file))),
                _ => self.lines(BufReader::with_capacity(BUFFER, file)),
            };
        }
        // One that an operator has taken away.
        Ok(ControlFlow::Continue(()))
    }

    fn lines(&mut self, mut file: impl io::BufRead) -> io::Result<ControlFlow<()>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            // An event is shorter; what is longer is none, and is read in pieces.
            let longest = crate::audit::LONGEST_EVENT;
            if file.by_ref().take(longest).read_until(b'\n', &mut line)? == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            let whole = line.pop_if(|last| *last == b'\n').is_some();
            let last = !whole && file.fill_buf()?.is_empty();
            if self.line(&line, !last).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// One line; `whole` unless it may have been torn.
    fn line(&mut self, line: &[u8], whole: bool) -> ControlFlow<()> {
        let others = self.of.as_ref().is_some_and(|of| !of.may_be_of(line));
        if others && line.starts_with(b"{") && line.ends_with(b"}") {
            return ControlFlow::Continue(());
        }
        match serde_json::from_slice::<Recorded<'_>>(line) {
            Ok(event) if self.window.holds(&event) && self.wants(&event) => (self.each)(&event),
            Ok(_) => ControlFlow::Continue(()),
            Err(_) => {
                self.unread.lines += u64::from(whole);
                ControlFlow::Continue(())
            }
        }
    }
}

impl Reading<'_> {
    fn wants(&self, event: &Recorded<'_>) -> bool {
        self.of.as_ref().is_none_or(|of| of.ids.contains(event.user_identity.unique_id()))
    }
}

/// The segments that may hold events of a window, in their order. A segment's name says when it was
/// begun, by the machine's clock; the events in it are not older.
fn segments(dir: &Path, window: Window) -> io::Result<Vec<Name>> {
    let mut all = of_kind(dir, LINES)?;
    all.extend(of_kind(dir, PACKED)?);
    all.sort();
    all.dedup();
    let all: Vec<_> = all.into_iter().map(|name| (begun(name.time()), name)).collect();
    let ended: Vec<Option<i64>> = all.iter().skip(1).map(|(begun, _)| *begun).collect();
    let ended = ended.into_iter().chain([None]);
    let of_window = all.into_iter().zip(ended).filter(|((begun, _), ended)| {
        // A call may be recorded somewhat later than it came.
        const LATE: i64 = 300;
        begun.is_none_or(|begun| begun.saturating_sub(LATE) < window.until)
            && ended.is_none_or(|ended| ended.saturating_add(LATE) >= window.from)
    });
    Ok(of_window.map(|((_, name), _)| name).collect())
}

/// The folders that segments may lie in: a directory, and those in it.
fn folders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            all.push(entry.path());
        }
    }
    all.sort_unstable();
    all.insert(0, dir.to_owned());
    Ok(all)
}

/// When a segment was begun, by its name: `20261126T110000Z`.
fn begun(text: &str) -> Option<i64> {
    let part = |range: std::ops::Range<usize>| text.get(range);
    let time = format!(
        "{}-{}-{}:{}:{}",
        part(0..4)?,
        part(4..6)?,
        part(6..11)?,
        part(11..13)?,
        part(13..16)?
    );
    Some(Timestamp::parse_any(&time)?.seconds)
}

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text = Cow::<'de, str>::deserialize(from)?;
    let at = Timestamp::parse_any(&text);
    at.map(|at| at.seconds).ok_or_else(|| serde::de::Error::custom("this is no time"))
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    // The list is whole between any two statements that could panic.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    const EVERYTHING: Window = Window { account: ACCOUNT, from: i64::MIN, until: i64::MAX };
    const ACCOUNT: AccountId = match AccountId::new(7) {
        Some(account) => account,
        None => unreachable!(),
    };

    fn line(id: &str, account: &str, at: &str) -> String {
        serde_json::json!({
            "userIdentity": {"type": "AssumedRole", "principalId": "AROA:s", "arn": "session",
                "sessionContext": {"sessionIssuer": {"principalId": "AROA", "arn": "role"},
                    "attributes": {"mfaAuthenticated": "true", "creationDate": at}}},
            "eventTime": at, "eventSource": "iam.amazonaws.com", "eventName": "GetUser",
            "awsRegion": "us-east-1", "sourceIPAddress": "127.0.0.1", "userAgent": "a\"b",
            "requestParameters": {"userName": "é"}, "eventID": id, "readOnly": true,
            "additionalEventData": {"decisions": [{"action": "iam:GetUser", "resource": "r",
                "decision": "allowed", "keys": {"iam:PolicyARN": ["p"]}}]},
            "recipientAccountId": account,
        })
        .to_string()
    }

    fn ids(trail: &Trail, window: Window) -> (Vec<String>, u64) {
        let mut ids = Vec::new();
        let unread = trail.read(window, |event| {
            ids.push(event.event_id.to_string());
            ControlFlow::Continue(())
        });
        (ids, unread.unwrap().lines)
    }

    #[test]
    fn an_event_is_read_as_it_was_written() {
        let trail = Trail::in_memory();
        trail.keep(&line("1", "000000000007", "2026-01-02T03:04:05Z"));
        let mut seen = 0;
        let read = trail.read(EVERYTHING, |event| {
            seen += 1;
            assert_eq!(event.user_identity.principal_arn(), "role");
            assert_eq!(event.user_identity.unique_id(), "AROA");
            assert!(event.user_identity.mfa_authenticated() && event.error_code.is_none());
            assert_eq!(event.user_agent, "a\"b");
            assert_eq!(event.event_time, 1_767_323_045);
            let decision = &event.additional_event_data.decisions[0];
            assert!(decision.is_allowed());
            assert_eq!(decision.keys["iam:PolicyARN"], ["p"]);
            ControlFlow::Break(())
        });
        assert_eq!((read.unwrap(), seen), (Unread::default(), 1));
    }

    #[test]
    fn only_the_events_of_the_window_are_read_in_the_order_of_their_segments() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, lines: &[String]| {
            std::fs::write(dir.path().join(name), lines.join("\n") + "\n").unwrap();
        };
        let mine = |id: &str, at: &str| line(id, "000000000007", at);
        write("000010-20260103T000000Z.jsonl", &[mine("c", "2026-01-03T00:00:00Z")]);
        write(
            "000001-20260101T000000Z.jsonl",
            &[mine("a", "2026-01-01T10:00:00Z"), line("x", "000000000008", "2026-01-01T10:00:00Z")],
        );
        std::fs::write(dir.path().join("README"), "no segment").unwrap();
        let packed = std::fs::File::create(dir.path().join("000002-20260102T000000Z.jsonl.gz"));
        let mut packed = flate2::write::GzEncoder::new(packed.unwrap(), Default::default());
        packed.write_all((mine("b", "2026-01-02T00:00:00Z") + "\n").as_bytes()).unwrap();
        packed.finish().unwrap();
        let trail = Trail::in_directory(dir.path());
        assert_eq!(ids(&trail, EVERYTHING), (vec!["a".into(), "b".into(), "c".into()], 0));
        let second = |text: &str| Timestamp::parse_any(text).unwrap().seconds;
        let from = second("2026-01-02T00:00:00Z");
        assert_eq!(ids(&trail, Window { from, until: from + 1, ..EVERYTHING }).0, ["b"]);
        assert_eq!(ids(&trail, Window { from: from + 1, ..EVERYTHING }).0, ["c"]);
        assert_eq!(
            segments(dir.path(), Window { from: from + 400, ..EVERYTHING }).unwrap().len(),
            2
        );
        let until = from - 400;
        assert_eq!(segments(dir.path(), Window { until, ..EVERYTHING }).unwrap().len(), 1);
    }

    #[test]
    fn the_events_of_every_server_that_writes_into_a_folder_of_its_own_are_read() {
        let dir = tempfile::tempdir().unwrap();
        for server in ["a", "b"] {
            std::fs::create_dir(dir.path().join(server)).unwrap();
            let event = line(server, "000000000007", "2026-01-01T10:00:00Z") + "\n";
            let segment = dir.path().join(server).join("000001-20260101T000000Z.jsonl");
            std::fs::write(segment, event).unwrap();
        }
        let trail = Trail::in_directory(dir.path());
        assert_eq!(ids(&trail, EVERYTHING), (vec!["a".into(), "b".into()], 0));
    }

    #[test]
    fn a_torn_last_line_is_passed_over_and_any_other_that_is_no_event_counts() {
        let dir = tempfile::tempdir().unwrap();
        let whole = line("a", "000000000007", "2026-01-01T10:00:00Z");
        let longest = usize::try_from(crate::audit::LONGEST_EVENT).unwrap();
        let text = format!("no event\n{whole}\n{}\n{whole}\n{}", "x".repeat(longest), &whole[..50]);
        std::fs::write(dir.path().join("000001-20260101T000000Z.jsonl"), text).unwrap();
        let (read, unread) = ids(&Trail::in_directory(dir.path()), EVERYTHING);
        assert_eq!(read, ["a", "a"]);
        assert!((2..=3).contains(&unread), "{unread}");
    }

    #[test]
    fn the_events_of_some_principals_are_read_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let event = |id: &str, identity: serde_json::Value| {
            let mut event: serde_json::Value =
                serde_json::from_str(&line(id, "000000000007", "2026-01-01T10:00:00Z")).unwrap();
            event["userIdentity"] = identity;
            event.to_string()
        };
        let user = |id: &str| serde_json::json!({"type": "IAMUser", "principalId": id});
        let session = |id: &str| {
            let issuer = serde_json::json!({"principalId": id, "arn": "role"});
            serde_json::json!({"type": "AssumedRole", "principalId": format!("{id}:s"),
                "sessionContext": {"sessionIssuer": issuer}})
        };
        let lines = [
            event("a", user("AIDA1")),
            event("b", user("AIDA12")),
            event("c", session("AROA1")),
            event("d", session("AROA2")),
            // Of another, who writes of the first.
            event("e", user("AIDA2")).replace("\"é\"", r#"{"principalId":"AIDA1"}"#),
            event("f", user("AIDA1")).replace("000000000007", "000000000008"),
            "no event".to_owned(),
            event("g", user("AIDA1")),
        ];
        std::fs::write(dir.path().join("000001-20260101T000000Z.jsonl"), lines.join("\n") + "\n")
            .unwrap();
        let memory = Trail::in_memory();
        lines.iter().for_each(|line| memory.keep(line));
        for trail in [Trail::in_directory(dir.path()), memory] {
            let mut ids = Vec::new();
            let unread = trail.read_of(&HashSet::from(["AIDA1", "AROA1"]), EVERYTHING, |event| {
                ids.push(event.event_id.to_string());
                ControlFlow::Continue(())
            });
            assert_eq!(ids, ["a", "c", "g"]);
            assert_eq!(unread.unwrap().lines, 1);
        }
    }

    #[test]
    fn memory_keeps_the_newest_events() {
        let trail = Trail::in_memory();
        let padded = |id: &str| {
            let text = line(id, "000000000007", "2026-01-01T10:00:00Z");
            text + &" ".repeat(MOST_IN_MEMORY / 3)
        };
        for id in ["1", "2", "3"] {
            trail.keep(&padded(id));
        }
        assert_eq!(ids(&trail, EVERYTHING).0, ["2", "3"]);
    }
}
