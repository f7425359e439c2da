//! `ringfence policy check-access`: whether a policy grants, to anybody, what it should not.

use super::NO;
use super::files::given;
use super::witness::{self, Told, Type, UNDECIDED};
use anyhow::bail;
use ringfence_policy::analyse::{
    Access, Answer, check_access_not_granted, check_no_external_access, check_no_public_access,
};
use ringfence_policy::document::Effect;
use ringfence_policy::{AccountId, Arn, Document, reference};
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("check").required(true).multiple(true)
    .args(["action", "resource", "public", "external"])))]
pub struct Options {
    /// The policy
    #[arg(value_name = "POLICY")]
    policy: PathBuf,

    /// What the policy is attached to
    #[arg(long = "type", value_name = "TYPE")]
    policy_type: Type,

    /// Fail if any of these actions is granted, on any of the resources if some are named; may have
    /// wildcards
    #[arg(long, value_name = "ACTION", num_args = 1..)]
    action: Vec<String>,

    /// Fail if anything is granted on any of these resources, or one of the actions if some are named;
    /// may have wildcards
    #[arg(long, value_name = "ARN", num_args = 1..)]
    resource: Vec<String>,

    /// Fail if anyone in the world is let in
    #[arg(long, conflicts_with_all = ["action", "resource", "external"])]
    public: bool,

    /// Fail if anyone outside of these accounts is let in, but for AWS's services
    #[arg(long, value_name = "ACCOUNT", num_args = 1.., conflicts_with_all = ["action", "resource"])]
    external: Vec<AccountId>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    fn check(&self, document: &Document) -> anyhow::Result<(&'static str, Answer)> {
        let kind = self.policy_type.kind();
        if self.policy_type == Type::Identity && (self.public || !self.external.is_empty()) {
            bail!(
                "whom an identity policy is for is not in it: give a resource's or a trust policy"
            );
        }
        Ok(if self.public {
            ("public access", check_no_public_access(document, kind))
        } else if !self.external.is_empty() {
            ("external access", check_no_external_access(document, &self.external, kind))
        } else {
            let access = Access { actions: self.action.clone(), resources: self.resource.clone() };
            ("access", check_access_not_granted(document, &[access], kind))
        })
    }

    /// What is no action or resource is granted by no policy: to say that it passes would mislead.
    fn validate(&self) -> anyhow::Result<()> {
        for action in &self.action {
            let parts = action.split_once(':');
            let is_action = parts.is_some_and(|(vendor, name)| {
                !vendor.is_empty() && !name.is_empty() && !name.contains(':')
            });
            if action != "*" && !is_action {
                bail!("`{action}` is no action: give one such as s3:GetObject or s3:*");
            }
            if reference::actions_matching(action).next().is_none() {
                eprintln!("note: AWS lists no action `{action}`");
            }
        }
        for resource in &self.resource {
            if resource != "*" && Arn::parse(resource).is_err() {
                bail!("`{resource}` is no resource: give a whole ARN, or *");
            }
        }
        Ok(())
    }
}

pub fn check_access(options: &Options) -> anyhow::Result<ExitCode> {
    options.validate()?;
    let policy_type = options.policy_type;
    let document = given(&options.policy, policy_type.kind())?.document;
    let (check, answer) = options.check(&document)?;
    let (result, code) = match &answer {
        Answer::Proved => ("PASS", ExitCode::SUCCESS),
        Answer::Counterexample(_) => ("FAIL", ExitCode::from(NO)),
        Answer::Undecided(_) => ("UNDECIDED", ExitCode::from(UNDECIDED)),
    };
    let mut out = std::io::stdout().lock();
    if options.json {
        let mut json = json!({ "result": result, "check": check });
        match &answer {
            Answer::Proved => {}
            Answer::Counterexample(witness) => {
                json["witness"] = Told { witness, policy_type }.json();
                let by = witness::by(&document, witness, Effect::Allow);
                json["allowedBy"] =
                    by.into_iter().map(|at| witness::statement_json(&document, at)).collect();
            }
            Answer::Undecided(undecided) => {
                json["undecided"] = witness::undecided_json(undecided);
            }
        }
        writeln!(out, "{json:#}")?;
        return Ok(code);
    }
    match &answer {
        Answer::Proved => writeln!(out, "{result}: no such {check}")?,
        Answer::Counterexample(witness) => {
            writeln!(out, "{result}: {check} is granted, for example to")?;
            write!(out, "{}", Told { witness, policy_type })?;
            for at in witness::by(&document, witness, Effect::Allow) {
                writeln!(out, "  allowed by {}", witness::named(&document, at))?;
            }
        }
        Answer::Undecided(undecided) => writeln!(out, "{result}: {undecided}")?,
    }
    Ok(code)
}
