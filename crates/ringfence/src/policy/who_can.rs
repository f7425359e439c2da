//! `ringfence policy who-can`: everyone in an account who can do something, or may under conditions.

use super::NO;
use super::account::{self, Pages};
use super::files::{self, Levels};
use super::request::Facts;
use super::table::Table;
use anyhow::bail;
use ringfence_policy::account::{
    Access, Answer, Hinge, Open, Question, SomeoneKind, who_can as ask,
};
use ringfence_policy::document::Effect;
use ringfence_policy::{AccountId, Arn, Decision, message, reference};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The action, for example s3:GetObject
    action: String,

    /// The ARN of the resource, or * for an action that has none
    resource: String,

    #[command(flatten)]
    pages: Pages,

    /// The policy of a resource; may be given again
    #[arg(long, value_name = "ARN=FILE")]
    resource_policy: Vec<String>,

    #[command(flatten)]
    organization: Levels,

    #[command(flatten)]
    facts: Facts,

    /// List those who cannot, too
    #[arg(long)]
    all: bool,

    /// Someone who may be able to: an ARN, an account id, a service or a provider, as it is listed; may
    /// be given again. Ends with 3 if anyone else can or may
    #[arg(long, value_name = "ARN")]
    expect: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn who_can(options: &Options) -> anyhow::Result<ExitCode> {
    let Options { action, resource, .. } = options;
    if action.contains(['*', '?']) || !action.contains(':') {
        bail!("`{action}` is not one action: give it as SERVICE:ACTION");
    }
    if resource != "*" && (Arn::parse(resource).is_err() || resource.contains(['*', '?'])) {
        bail!("`{resource}` is not one resource: give an ARN, or *");
    }
    let Some(account) = options.pages.read()? else {
        bail!("whose principals? give the account's export with --account");
    };
    let (around, any) = files::around(&options.resource_policy, &options.organization)?;
    if let Some(given) = any {
        bail!("`{}` is of which resource? give ARN=FILE", given.name);
    }
    let owner = options.facts.resource_account(resource, Some(account.id()))?;
    let question =
        Question { given: options.facts.given()?, ..Question::new(action, resource, owner) };
    let mut notes = Vec::from_iter(account::note_on_resource(account.id(), &around, resource));
    if reference::action(action).is_none() {
        notes.push(format!("the service reference knows no action {action}"));
    }
    let answers = ask(&account, &around, &question)?;
    let unexpected: Vec<&str> = answers
        .iter()
        .filter(|answer| is_possible(&answer.access))
        .filter(|answer| {
            !options.expect.iter().any(|expected| names(expected, answer, account.id()))
        })
        .map(|answer| answer.who.text.as_str())
        .collect();
    let shown = answers.iter().filter(|answer| options.all || is_possible(&answer.access));
    let mut out = std::io::stdout().lock();
    if options.json {
        let principals: Vec<Value> = shown.map(entry).collect();
        let mut json = json!({ "action": action, "resource": resource, "principals": principals });
        if !options.expect.is_empty() {
            json["unexpected"] = json!(unexpected);
        }
        if !notes.is_empty() {
            json["notes"] = json!(notes);
        }
        writeln!(out, "{json:#}")?;
    } else {
        let mut table = Table::new();
        for answer in shown {
            rows(&mut table, answer);
        }
        write!(out, "{table}")?;
        if table.is_empty() {
            writeln!(out, "nobody")?;
        }
        let mut err = std::io::stderr().lock();
        for note in &notes {
            writeln!(err, "note: {note}")?;
        }
        if !options.expect.is_empty() && !unexpected.is_empty() {
            writeln!(err, "not expected: {}", unexpected.join(", "))?;
        }
    }
    let found = !options.expect.is_empty() && !unexpected.is_empty();
    Ok(if found { ExitCode::from(NO) } else { ExitCode::SUCCESS })
}

const fn is_possible(access: &Access<'_>) -> bool {
    matches!(access, Access::Allowed { .. } | Access::Depends { .. })
}

/// Whether a text of the command line means someone who is listed. An account and its root user go by
/// the ARN and by the number.
fn names(text: &str, answer: &Answer<'_>, own: AccountId) -> bool {
    let account = |text: &str| -> Option<AccountId> {
        let arn = Arn::parse(text).ok().filter(|a| a.service == "iam" && a.resource == "root");
        text.parse().ok().or_else(|| arn?.account_id())
    };
    match answer.who.kind {
        SomeoneKind::Root => account(text) == Some(own),
        SomeoneKind::Account => account(text) == account(&answer.who.text),
        _ => text == answer.who.text,
    }
}

/// A line for the answer, and one for each thing that it depends on.
fn rows(table: &mut Table, answer: &Answer<'_>) {
    let (word, by) = match &answer.access {
        Access::Allowed { by } => ("allowed", by.map(|by| by.to_string()).unwrap_or_default()),
        Access::Depends { .. } => ("depends", String::new()),
        Access::Denied(decision) => ("denied", denied_by(*decision).to_owned()),
        Access::RootAssumesNoRole => ("denied", ROOT.to_owned()),
    };
    table.row([word, answer.who.kind.name(), &answer.who.text, &by]);
    if let Access::Depends { on, also } = &answer.access {
        for hinge in on {
            let verb = if hinge.effect == Effect::Allow { "allowed" } else { "denied" };
            let open: Vec<String> = hinge.open.iter().map(words).collect();
            table.under(&format!("{verb} if {}  [{}]", open.join(" and "), place(hinge)));
        }
        if let Some(also) = also {
            table.under(&format!("allowed if {also}"));
        }
    }
}

const ROOT: &str = "a root user assumes no role";

const fn denied_by(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "",
        Decision::ExplicitDeny(layer) | Decision::ImplicitDeny(layer) => message::name(layer),
    }
}

/// Which statement of which policy.
fn place(hinge: &Hinge<'_>) -> String {
    let sid = hinge.sid.map(|sid| format!(" ({sid})")).unwrap_or_default();
    format!("{}, statement {}{sid}", hinge.source, hinge.statement)
}

/// What hangs on something unknown, for people.
fn words(open: &Open) -> String {
    let values: Vec<String> = open.values.iter().map(|value| format!("`{value}`")).collect();
    let values = values.join(", ");
    match &open.key {
        Some(key) => format!("{} on {key} holds ({values})", open.operator),
        None => format!("{} is {values}", open.operator),
    }
}

fn entry(answer: &Answer<'_>) -> Value {
    let mut out = json!({ "principal": answer.who.text, "kind": answer.who.kind.name() });
    match &answer.access {
        Access::Allowed { by } => {
            out["access"] = "allowed".into();
            if let Some(by) = by {
                out["policy"] = by.to_string().into();
            }
        }
        Access::Denied(decision) => {
            out["access"] = "denied".into();
            out["explicit"] = matches!(decision, Decision::ExplicitDeny(_)).into();
            out["decidedBy"] = denied_by(*decision).into();
        }
        Access::RootAssumesNoRole => {
            out["access"] = "denied".into();
            out["because"] = ROOT.into();
        }
        Access::Depends { on, also } => {
            out["access"] = "depends".into();
            out["on"] = on.iter().map(hinge).collect();
            if let Some(also) = also {
                out["also"] = also.to_string().into();
            }
        }
    }
    out
}

fn hinge(hinge: &Hinge<'_>) -> Value {
    let conditions: Vec<Value> = hinge
        .open
        .iter()
        .map(|open| {
            json!({
                "operator": open.operator,
                "key": open.key,
                "values": open.values,
                "unknown": open.unknown,
            })
        })
        .collect();
    let mut out = json!({
        "layer": message::name(hinge.layer),
        "policy": hinge.source.to_string(),
        "statement": hinge.statement,
        "effect": hinge.effect.name(),
        "conditions": conditions,
    });
    if let Some(level) = hinge.level {
        out["level"] = level.into();
    }
    if let Some(sid) = hinge.sid {
        out["sid"] = sid.into();
    }
    out
}
