//! `ValidatePolicy`: the lint, in AWS's shapes.

use crate::apart::apart;
use crate::{AccessAnalyzer, errors};
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_accessanalyzer::types::{Locale, PolicyType};
use ringfence_model_accessanalyzer::{operations as ops, types};
use ringfence_policy::lint::{self, Finding, Location, PathElement, PolicyKind};
use ringfence_wire::ServiceError;

pub(crate) async fn validate_policy(
    service: &AccessAnalyzer,
    call: Call<ops::ValidatePolicy>,
) -> Result<Answer<types::ValidatePolicyResponse>, ServiceError> {
    let input = &call.input;
    let permit = call.allow(Resolved::any(call.account()?))?;
    if !matches!(input.locale, None | Some(Locale::EN)) {
        return Err(errors::not_supported("locale", "Findings are in English alone."));
    }
    let kind = match input.policy_type {
        PolicyType::IdentityPolicy => PolicyKind::Identity,
        PolicyType::ResourcePolicy => PolicyKind::Resource,
        PolicyType::ServiceControlPolicy => PolicyKind::ServiceControl,
        PolicyType::ResourceControlPolicy => PolicyKind::ResourceControl,
        _ => return Err(errors::invalid("policyType", "The policy type is not known.")),
    };
    let resource_type = input.validate_policy_resource_type.as_ref().map(|kind| kind.as_str());
    if resource_type.is_some() && kind != PolicyKind::Resource {
        let message = "A resource type is for resource policies alone.";
        return Err(errors::invalid("validatePolicyResourceType", message));
    }
    let (text, of) = (input.policy_document.clone(), resource_type.map(str::to_owned));
    let findings = apart(move || Ok(lint::lint(&text, kind, of.as_deref()))).await?;
    let keyed = |(at, finding): (usize, &Finding)| (format!("{at:08}"), told(finding));
    let entries = findings.iter().enumerate().map(keyed).collect();
    // A token is for the findings of one document.
    let list = format!("{kind:?} {resource_type:?} {}", input.policy_document);
    let at = (input.next_token.as_deref(), input.max_results);
    let (findings, next_token) = service.page(&call, &list, at, entries)?;
    Ok(permit.answer(types::ValidatePolicyResponse { findings, next_token }))
}

fn told(finding: &Finding) -> types::ValidatePolicyFinding {
    types::ValidatePolicyFinding {
        finding_details: finding.message.clone(),
        finding_type: finding.class.name().into(),
        issue_code: finding.code.to_owned(),
        learn_more_link: finding.link(),
        locations: finding.locations.iter().map(place).collect(),
    }
}

fn place(location: &Location) -> types::Location {
    let path = location.path.iter().map(|step| match step {
        PathElement::Index(index) => types::PathElement::Index(number(*index)),
        PathElement::Key(key) => types::PathElement::Key(key.clone()),
        PathElement::Substring { start, length } => {
            types::PathElement::Substring(types::Substring {
                start: number(*start),
                length: number(*length),
            })
        }
        PathElement::Value(key) => types::PathElement::Value(key.clone()),
    });
    let at = |position: lint::Position| types::Position {
        line: number(position.line),
        column: number(position.column),
        offset: number(position.offset),
    };
    let span = types::Span { start: at(location.span.start), end: at(location.span.end) };
    types::Location { path: path.collect(), span }
}

/// No document is so long that a place in it were larger.
fn number(at: usize) -> i32 {
    i32::try_from(at).unwrap_or(i32::MAX)
}
