//! `ringfence policy simulate`: many decisions at once, as IAM's policy simulator answers them.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>

use super::NO;
use super::account::{Case, Pages, Sources};
use super::files;
use super::request::Facts;
use super::table::Table;
use anyhow::bail;
use ringfence_policy::account::{Holder, Policies, Source, hinges};
use ringfence_policy::document::Effect;
use ringfence_policy::explain::{Named, Says, Verdict};
use ringfence_policy::reference;
use ringfence_policy::source::{Position, Span};
use ringfence_policy::{Decision, Explanation, Layer, message};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Who asks: an ARN, an account id, a service, or `anonymous`; may be given again
    #[arg(long, value_name = "ARN", required = true)]
    principal: Vec<String>,

    /// An action, or a pattern of actions such as s3:Get*; may be given again
    #[arg(long, value_name = "ACTION", required = true)]
    action: Vec<String>,

    /// The ARN of a resource, or * for actions that have none; may be given again
    #[arg(long, value_name = "ARN", default_value = "*")]
    resource: Vec<String>,

    #[command(flatten)]
    facts: Facts,

    #[command(flatten)]
    pages: Pages,

    #[command(flatten)]
    policies: files::Named,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn simulate(options: &Options) -> anyhow::Result<ExitCode> {
    let sources = Sources::read(&options.pages, &options.policies)?;
    let actions = actions(&options.action)?;
    let mut denied = false;
    let mut results = Vec::new();
    let mut table = Table::new();
    for principal in &options.principal {
        for action in &actions {
            for resource in &options.resource {
                let case = sources.case(principal, action, resource, &options.facts)?;
                let (request, set) = (case.request(), case.policies.set());
                let mut why = ringfence_policy::explain(&request, &set);
                if options.json {
                    locate(&mut why, &case.policies);
                }
                denied |= !why.decision.is_allowed();
                let matched = matched(&case, &why);
                if options.json {
                    results.push(result(principal, &case, &why, &matched));
                } else {
                    let (word, by) = said(&why, &matched);
                    table.row([word, action, resource, principal, &by]);
                }
            }
        }
    }
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{:#}", json!({ "EvaluationResults": results, "IsTruncated": false }))?;
    } else {
        write!(out, "{table}")?;
    }
    Ok(if denied { ExitCode::from(NO) } else { ExitCode::SUCCESS })
}

/// The actions, patterns expanded.
fn actions(given: &[String]) -> anyhow::Result<Vec<String>> {
    let mut out: Vec<String> = Vec::new();
    for text in given {
        let before = out.len();
        if text.contains(['*', '?']) {
            out.extend(reference::actions_matching(text).map(reference::Action::full_name));
            if out.len() == before {
                bail!("`{text}` matches no action that the service reference knows");
            }
        } else {
            out.push(text.clone());
        }
    }
    let mut seen = std::collections::HashSet::new();
    out.retain(|action| seen.insert(action.to_ascii_lowercase()));
    Ok(out)
}

/// Finds the places of statements in the policies that are files.
fn locate<'a>(why: &mut Explanation<'a>, policies: &Policies<'a>) {
    why.locate(|layer, level, policy| {
        let levels = matches!(layer, Layer::ServiceControl | Layer::ResourceControl);
        let found = policies.find(layer, levels.then_some(level), policy)?;
        Some(Named { name: "", text: found.text? })
    });
}

/// A place, its column counted from 1.
fn position(at: Position) -> Value {
    json!({ "Line": at.line, "Column": at.column + 1 })
}

/// A statement that applies and has the effect of the decision.
struct Matched<'a> {
    layer: Layer,
    source: Option<Source<'a>>,
    statement: usize,
    sid: Option<&'a str>,
    /// Where it stands in its file.
    place: Option<Span>,
}

/// The statements that made the decision what it is; none where nothing allows.
fn matched<'a>(case: &Case<'a>, why: &Explanation<'a>) -> Vec<Matched<'a>> {
    let effect = match why.decision {
        Decision::Allow => Effect::Allow,
        Decision::ExplicitDeny(_) => Effect::Deny,
        Decision::ImplicitDeny(_) => return Vec::new(),
    };
    let mut out = Vec::new();
    for layer in &why.layers {
        for policy in &layer.policies {
            let found = case.policies.find(layer.layer, layer.level, policy.policy);
            let applying = policy
                .statements
                .iter()
                .filter(|own| own.effect == effect && own.verdict == Verdict::Applies);
            out.extend(applying.map(|own| Matched {
                layer: layer.layer,
                source: found.map(|policy| policy.source),
                statement: own.statement,
                sid: own.sid,
                place: own.place,
            }));
        }
    }
    out
}

/// The decision in a word, and what made it.
fn said(why: &Explanation<'_>, matched: &[Matched<'_>]) -> (&'static str, String) {
    let of = |layer: Layer| matched.iter().find(|own| own.layer == layer)?.source;
    match why.decision {
        Decision::Allow => {
            // Who grants, not who merely lets pass.
            let granting = [Layer::Trust, Layer::Resource, Layer::Identity].map(of);
            let by = granting.into_iter().flatten().next();
            ("allowed", by.map(|source| source.to_string()).unwrap_or_default())
        }
        Decision::ExplicitDeny(layer) => {
            let by = of(layer).map(|source| format!(": {source}")).unwrap_or_default();
            ("explicitDeny", format!("{}{by}", message::name(layer)))
        }
        Decision::ImplicitDeny(layer) => ("implicitDeny", message::name(layer).to_owned()),
    }
}

/// One of `EvaluationResults`, with the principal, since there may be several, and the deciding layer.
fn result(
    principal: &str,
    case: &Case<'_>,
    why: &Explanation<'_>,
    matched: &[Matched<'_>],
) -> Value {
    let decision = match why.decision {
        Decision::Allow => "allowed",
        Decision::ExplicitDeny(_) => "explicitDeny",
        Decision::ImplicitDeny(_) => "implicitDeny",
    };
    let statements: Vec<Value> = matched
        .iter()
        .map(|own| {
            let id = own.source.map(|source| source.to_string());
            let mut out = json!({
                "SourcePolicyId": id,
                "SourcePolicyType": source_type(own),
                "Statement": own.statement,
            });
            if let Some(sid) = own.sid {
                out["Sid"] = sid.into();
            }
            if let Some(Span { start, end }) = own.place {
                out["StartPosition"] = position(start);
                out["EndPosition"] = position(end);
            }
            out
        })
        .collect();
    let hinges = hinges(&case.policies, &case.known, &case.principal, &case.question);
    let mut missing: Vec<String> =
        hinges.into_iter().flat_map(|hinge| hinge.open).flat_map(|open| open.unknown).collect();
    missing.sort_by_key(|key| key.to_ascii_lowercase());
    missing.dedup_by(|one, other| one.eq_ignore_ascii_case(other));
    let mut out = json!({
        "Principal": principal,
        "EvalActionName": case.question.action,
        "EvalResourceName": case.question.resource,
        "EvalDecision": decision,
        "MatchedStatements": statements,
        "MissingContextValues": missing,
    });
    if let Decision::ExplicitDeny(layer) | Decision::ImplicitDeny(layer) = why.decision {
        out["DecidedBy"] = message::name(layer).into();
    }
    let allows = |layer: Layer| {
        let mut of = why.layers.iter().filter(|own| own.layer == layer).peekable();
        of.peek().is_some().then(|| of.all(|own| own.says == Says::Allows))
    };
    if let Some(allowed) = allows(Layer::ServiceControl) {
        out["OrganizationsDecisionDetail"] = json!({ "AllowedByOrganizations": allowed });
    }
    if let Some(allowed) = allows(Layer::Boundary) {
        let detail = json!({ "AllowedByPermissionsBoundary": allowed });
        out["PermissionsBoundaryDecisionDetail"] = detail;
    }
    out
}

/// `SourcePolicyType`; `none` where the API has no word for it.
fn source_type(matched: &Matched<'_>) -> &'static str {
    match (matched.layer, matched.source) {
        (Layer::Resource | Layer::Trust, _) => "resource",
        (_, Some(Source::Inline { holder, .. })) => match holder {
            Holder::User(_) => "user",
            Holder::Group(_) => "group",
            Holder::Role(_) => "role",
        },
        (_, Some(Source::Managed { arn, .. })) if arn.contains(":iam::aws:") => "aws-managed",
        (_, Some(Source::Managed { .. })) => "user-managed",
        _ => "none",
    }
}
