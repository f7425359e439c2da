//! `ringfence policy diff`: what one policy allows and another does not, both ways; of two exports of an
//! account, the same for each of its users and roles.

use super::NO;
use super::diff_accounts;
use super::files::given;
use super::witness::{self, Told, Type, UNDECIDED};
use ringfence_policy::analyse::{
    Answer, Side, Undecided, Witness, check_no_new_access, new_access_by_statement,
};
use ringfence_policy::document::Effect;
use ringfence_policy::{Document, Kind};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The policy that is there, or an account's export
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// The policy that is to be, or a later export
    #[arg(value_name = "NEW")]
    new: PathBuf,

    /// What the policies are attached to
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "accounts")]
    policy_type: Option<Type>,

    /// OLD and NEW are exports: what `aws iam get-account-authorization-details` printed
    #[arg(long, conflicts_with = "policy_type")]
    accounts: bool,

    /// Let access that is lost be: end with 0 unless NEW allows more
    #[arg(long)]
    no_new_access: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What one document allows and another does not.
struct Access<'a> {
    allows: &'a Document,
    unless: &'a Document,
    answer: Answer,
    /// A request for each statement that gives some.
    requests: Vec<Witness>,
}

impl<'a> Access<'a> {
    fn of(allows: &'a Document, unless: &'a Document, kind: Kind) -> Self {
        let answer = check_no_new_access(unless, allows, kind);
        let mut requests: Vec<Witness> = Vec::new();
        if let Answer::Counterexample(first) = &answer {
            for (_, answer) in new_access_by_statement(unless, allows, kind) {
                if let Some(witness) = answer.witness()
                    && !requests.contains(witness)
                {
                    requests.push(witness.clone());
                }
            }
            if requests.is_empty() {
                requests.push((**first).clone());
            }
        }
        Self { allows, unless, answer, requests }
    }

    const fn code(&self) -> u8 {
        match self.answer {
            Answer::Proved => 0,
            Answer::Counterexample(_) => NO,
            Answer::Undecided(_) => UNDECIDED,
        }
    }

    /// The document that an undecided answer is about, and its name.
    fn place<'n>(
        &self,
        undecided: &Undecided,
        [allows, unless]: [&'n str; 2],
    ) -> (&'a Document, &'n str) {
        match undecided.document {
            Side::New | Side::Only => (self.allows, allows),
            Side::Existing => (self.unless, unless),
        }
    }

    fn json(&self, names: [&str; 2], policy_type: Type) -> Value {
        let statements = |document: &Document, witness: &Witness, effect| -> Value {
            let by = witness::by(document, witness, effect).into_iter();
            by.map(|at| witness::statement_json(document, at)).collect()
        };
        let requests = self.requests.iter().map(|witness| {
            let mut out = Told { witness, policy_type }.json();
            out["allowedBy"] = statements(self.allows, witness, Effect::Allow);
            out["deniedBy"] = statements(self.unless, witness, Effect::Deny);
            out
        });
        match &self.answer {
            Answer::Proved => json!({ "result": "none" }),
            Answer::Counterexample(_) => {
                json!({ "result": "found", "requests": requests.collect::<Vec<_>>() })
            }
            Answer::Undecided(undecided) => {
                let mut why = witness::undecided_json(undecided);
                why["policy"] = self.place(undecided, names).1.into();
                json!({ "result": "undecided", "undecided": why })
            }
        }
    }

    fn print(&self, out: &mut impl Write, names: [&str; 2], policy_type: Type) -> io::Result<()> {
        let [allows, unless] = names;
        match &self.answer {
            Answer::Proved => writeln!(out, "{allows} allows nothing that {unless} does not"),
            Answer::Undecided(undecided) => {
                writeln!(out, "whether {allows} allows what {unless} does not is undecided:")?;
                write!(out, "  `{}`", undecided.construct)?;
                if let Some(statement) = undecided.statement {
                    let (document, name) = self.place(undecided, names);
                    write!(out, " in {} of {name}", witness::named(document, statement))?;
                }
                writeln!(out, ": {}", undecided.why)
            }
            Answer::Counterexample(_) => {
                writeln!(out, "{allows} allows what {unless} does not, for example")?;
                for witness in &self.requests {
                    write!(out, "{}", Told { witness, policy_type })?;
                    for at in witness::by(self.allows, witness, Effect::Allow) {
                        let statement = witness::named(self.allows, at);
                        writeln!(out, "  allowed by {statement} of {allows}")?;
                    }
                    for at in witness::by(self.unless, witness, Effect::Deny) {
                        let statement = witness::named(self.unless, at);
                        writeln!(out, "  denied by {statement} of {unless}")?;
                    }
                    writeln!(out)?;
                }
                Ok(())
            }
        }
    }
}

/// Two documents compared both ways.
pub struct Compared<'a> {
    gained: Access<'a>,
    lost: Access<'a>,
    policy_type: Type,
}

impl<'a> Compared<'a> {
    pub fn new(old: &'a Document, new: &'a Document, policy_type: Type) -> Self {
        let kind = policy_type.kind();
        let (gained, lost) = (Access::of(new, old, kind), Access::of(old, new, kind));
        Self { gained, lost, policy_type }
    }

    pub fn is_same(&self) -> bool {
        self.gained.answer.is_proved() && self.lost.answer.is_proved()
    }

    /// What the command ends with: new access alone counts where lost access may be.
    pub fn code(&self, no_new_access: bool) -> u8 {
        match (self.gained.code(), self.lost.code()) {
            (gained, _) if no_new_access => gained,
            (NO, _) | (_, NO) => NO,
            (gained, lost) => gained.max(lost),
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "equivalent": self.is_same(),
            "newAccess": self.gained.json(["new", "old"], self.policy_type),
            "lostAccess": self.lost.json(["old", "new"], self.policy_type),
        })
    }

    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        self.gained.print(out, ["NEW", "OLD"], self.policy_type)?;
        self.lost.print(out, ["OLD", "NEW"], self.policy_type)
    }
}

pub fn diff(options: &Options) -> anyhow::Result<ExitCode> {
    let Some(policy_type) = options.policy_type else {
        let (old, new) = (&options.old, &options.new);
        return diff_accounts::diff(old, new, options.no_new_access, options.json);
    };
    let kind = policy_type.kind();
    let (old, new) = (given(&options.old, kind)?.document, given(&options.new, kind)?.document);
    let compared = Compared::new(&old, &new, policy_type);
    let mut out = io::stdout().lock();
    if options.json {
        writeln!(out, "{:#}", compared.json())?;
    } else if compared.is_same() {
        writeln!(out, "equivalent")?;
    } else {
        compared.print(&mut out)?;
    }
    Ok(ExitCode::from(compared.code(options.no_new_access)))
}
