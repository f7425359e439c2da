//! Simulated decisions, as IAM's policy simulator reports them.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_testing-policies.html>
//!
//! The decision is the policy engine's own. What is reported of it follows the model's words: one
//! result an action, and within it one a resource.

use crate::errors;
use ringfence_model_iam::types::{
    ContextEntry, ContextKeyTypeEnum, EvaluationResult, OrganizationsDecisionDetail,
    PermissionsBoundaryDecisionDetail, PolicyEvaluationDecisionType, PolicySourceType, Position,
    ResourceSpecificResult, Statement,
};
use ringfence_policy::account::{
    Given, Known, OfResource, Policies, Question, Sourced, hinges, is_trust,
};
use ringfence_policy::document::Effect;
use ringfence_policy::explain::{Named, Says, Verdict};
use ringfence_policy::source::Span;
use ringfence_policy::{
    AccountId, Arn, Decision, Explanation, Kind, Layer, Principal, Request, explain, parse,
    reference,
};
use ringfence_wire::ServiceError;
use std::collections::BTreeMap;

/// What is simulated.
pub(crate) struct Simulation {
    pub caller: Principal,
    /// What follows from the caller.
    pub known: Known,
    pub identity: Vec<Given>,
    pub boundary: Option<Given>,
    pub service_control: Vec<Vec<Given>>,
    pub resource_policy: Option<Given>,
    /// Whose resources are whose ARNs name no account.
    pub owner: AccountId,
    pub actions: Vec<String>,
    pub resources: Vec<String>,
}

/// A policy of a request, under the name that a result calls it by.
///
/// # Errors
/// `InvalidInput`.
pub(crate) fn given(name: String, text: &str, kind: Kind) -> Result<Given, ServiceError> {
    let document = parse(text, kind).map_err(|why| errors::invalid_input(why.to_string()))?;
    Ok(Given { name, text: text.to_owned(), document })
}

/// Policies of a list parameter, numbered from 1.
///
/// # Errors
/// `InvalidInput`.
pub(crate) fn given_list(
    parameter: &str,
    texts: Option<&[String]>,
    kind: Kind,
) -> Result<Vec<Given>, ServiceError> {
    let numbered = texts.unwrap_or_default().iter().enumerate();
    numbered.map(|(at, text)| given(format!("{parameter}.{}", at + 1), text, kind)).collect()
}

/// Actions as a request names them: whole, without wildcards.
///
/// # Errors
/// `InvalidInput`.
pub(crate) fn actions(names: &[String]) -> Result<Vec<String>, ServiceError> {
    let is_action = |name: &str| {
        name.split_once(':').is_some_and(|(service, action)| {
            !service.is_empty() && !action.is_empty() && !name.contains(['*', '?'])
        })
    };
    match names.iter().find(|name| !is_action(name)) {
        Some(name) => Err(errors::invalid_input(format!("Invalid action name: {name}"))),
        None => Ok(names.to_vec()),
    }
}

/// Adds the context that a request gives.
pub(crate) fn give(known: &mut Known, entries: Option<&[ContextEntry]>) {
    for entry in entries.unwrap_or_default() {
        let Some(key) = &entry.context_key_name else { continue };
        let values = entry.context_key_values.clone().unwrap_or_default();
        let is_list = |kind: &ContextKeyTypeEnum| kind.as_str().ends_with("List");
        if entry.context_key_type.as_ref().is_some_and(is_list) {
            known.give_set(key, values);
        } else {
            known.give(key, values);
        }
    }
}

/// The resource types that each scenario of EC2's asks for.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html>
const SCENARIOS: [(&str, &[&str]); 6] = [
    ("EC2-Classic-InstanceStore", &["instance", "image", "security-group"]),
    ("EC2-Classic-EBS", &["instance", "image", "security-group", "volume"]),
    ("EC2-VPC-InstanceStore", &["instance", "image", "security-group", "network-interface"]),
    (
        "EC2-VPC-InstanceStore-Subnet",
        &["instance", "image", "security-group", "network-interface", "subnet"],
    ),
    ("EC2-VPC-EBS", &["instance", "image", "security-group", "network-interface", "volume"]),
    (
        "EC2-VPC-EBS-Subnet",
        &["instance", "image", "security-group", "network-interface", "subnet", "volume"],
    ),
];

/// Checks that the resources of a scenario are there.
///
/// # Errors
/// `InvalidInput`.
pub(crate) fn check_scenario(
    option: Option<&str>,
    resources: &[String],
) -> Result<(), ServiceError> {
    let Some(option) = option else { return Ok(()) };
    let Some((_, types)) = SCENARIOS.iter().find(|(name, _)| *name == option) else {
        return Err(errors::invalid_input(format!("Invalid resource handling option: {option}")));
    };
    let has = |wanted: &str| {
        resources
            .iter()
            .filter_map(|arn| Arn::parse(arn).ok())
            .any(|arn| arn.service == "ec2" && arn.resource.split('/').next() == Some(wanted))
    };
    match types.iter().find(|wanted| !has(wanted)) {
        Some(missing) => Err(errors::invalid_input(format!(
            "The resource handling option {option} needs a resource of type {missing}"
        ))),
        None => Ok(()),
    }
}

impl Simulation {
    /// The results, an action each, in the order of the request.
    pub fn results(&self) -> impl Iterator<Item = EvaluationResult> {
        self.actions.iter().map(|action| self.action(action))
    }

    fn action(&self, action: &str) -> EvaluationResult {
        let results: Vec<Judged> =
            self.resources.iter().map(|resource| self.judge(action, resource)).collect();
        let worst = results.iter().map(|one| one.decision.rank()).max().unwrap_or(0);
        let decisive = || results.iter().filter(|one| one.decision.rank() == worst);
        let specific = self.resources.iter().any(|resource| resource != "*");
        let mut matched: Vec<Statement> = Vec::new();
        for statement in decisive().flat_map(|one| &one.matched) {
            if !matched.contains(statement) {
                matched.push(statement.clone());
            }
        }
        let mut missing: Vec<String> = results.iter().flat_map(|one| one.missing.clone()).collect();
        missing.sort();
        missing.dedup();
        let all = |of: fn(&Judged) -> Option<bool>| {
            let mut own = results.iter().filter_map(of).peekable();
            own.peek().is_some().then(|| own.all(|allowed| allowed))
        };
        EvaluationResult {
            eval_action_name: action.to_owned(),
            eval_resource_name: Some(self.template(action)),
            eval_decision: decisive().next().map_or(Word::Implicit, |one| one.decision).into(),
            matched_statements: Some(matched),
            missing_context_values: Some(missing),
            organizations_decision_detail: all(|one| one.by_organization).map(|allowed| {
                OrganizationsDecisionDetail { allowed_by_organizations: Some(allowed) }
            }),
            permissions_boundary_decision_detail: all(|one| one.by_boundary).map(by_boundary),
            eval_decision_details: specific.then(|| {
                let mut details: BTreeMap<String, Word> = BTreeMap::new();
                for (kind, word) in results.iter().flat_map(|one| &one.details) {
                    let own = details.entry((*kind).to_owned()).or_insert(*word);
                    if word.rank() > own.rank() {
                        *own = *word;
                    }
                }
                details.into_iter().map(|(kind, word)| (kind, word.into())).collect()
            }),
            resource_specific_results: specific
                .then(|| results.into_iter().map(Judged::specific).collect()),
        }
    }

    /// The format of the ARNs that an action's resources have: of the type that the request's are.
    fn template(&self, action: &str) -> String {
        let Some(action) = reference::action(action) else { return "*".to_owned() };
        let formats = || {
            action
                .resource_types()
                .flat_map(|of| of.resource_type.arn_formats().collect::<Vec<_>>())
        };
        let asked = self.resources.iter().find(|resource| *resource != "*");
        let Some(asked) = asked else { return "*".to_owned() };
        let own = formats().find(|format| reference::is_of_format(asked, format));
        own.or_else(|| formats().next()).unwrap_or("*").to_owned()
    }

    fn judge(&self, action: &str, resource: &str) -> Judged {
        let named = Arn::parse(resource).ok().and_then(|arn| arn.account_id());
        let owner = named.unwrap_or(self.owner);
        let kind = match OfResource::at(resource) {
            OfResource::Trust if !is_trust(action) => OfResource::Ordinary,
            kind => kind,
        };
        let policies = Policies {
            identity: self.identity.iter().map(Sourced::from).collect(),
            boundary: self.boundary.as_ref().map(Sourced::from),
            resource: self.resource_policy.as_ref().map(|policy| (kind, policy.into())),
            service_control: self
                .service_control
                .iter()
                .map(|level| level.iter().map(Sourced::from).collect())
                .collect(),
            ..Policies::default()
        };
        let question = Question::new(action, resource, owner);
        let request = Request {
            principal: &self.caller,
            action,
            resource,
            resource_account: owner,
            context: self.known.context(),
        };
        let set = policies.set();
        let mut why = explain(&request, &set);
        why.locate(|layer, level, policy| {
            let levels = matches!(layer, Layer::ServiceControl | Layer::ResourceControl);
            let found = policies.find(layer, levels.then_some(level), policy)?;
            Some(Named { name: "", text: found.text? })
        });
        let mut missing: Vec<String> = hinges(&policies, &self.known, &self.caller, &question)
            .into_iter()
            .filter(|hinge| hinge.layer != Layer::ServiceControl)
            .flat_map(|hinge| hinge.open)
            .flat_map(|open| open.unknown)
            .collect();
        missing.sort();
        missing.dedup();
        let foreign = self.caller.account() != Some(owner);
        Judged {
            resource: resource.to_owned(),
            decision: Word::from(why.decision),
            matched: matched(&why, &policies),
            missing,
            by_organization: allows(&why, Layer::ServiceControl),
            by_boundary: allows(&why, Layer::Boundary),
            // Of requests within an account nothing is told.
            details: if foreign { details(&why) } else { Vec::new() },
        }
    }
}

/// The decision on one resource.
struct Judged {
    resource: String,
    decision: Word,
    matched: Vec<Statement>,
    missing: Vec<String>,
    by_organization: Option<bool>,
    by_boundary: Option<bool>,
    details: Vec<(&'static str, Word)>,
}

impl Judged {
    fn specific(self) -> ResourceSpecificResult {
        let details = self.details.into_iter();
        ResourceSpecificResult {
            eval_resource_name: self.resource,
            eval_resource_decision: self.decision.into(),
            matched_statements: Some(self.matched),
            missing_context_values: Some(self.missing),
            eval_decision_details: Some(
                details.map(|(kind, word)| (kind.to_owned(), word.into())).collect(),
            ),
            permissions_boundary_decision_detail: self.by_boundary.map(by_boundary),
        }
    }
}

/// A decision in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Allowed,
    Implicit,
    Explicit,
}

impl Word {
    /// How restrictive it is.
    const fn rank(self) -> u8 {
        self as u8
    }
}

impl From<Decision> for Word {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Allow => Self::Allowed,
            Decision::ImplicitDeny(_) => Self::Implicit,
            Decision::ExplicitDeny(_) => Self::Explicit,
        }
    }
}

impl From<Word> for PolicyEvaluationDecisionType {
    fn from(word: Word) -> Self {
        Self::from(match word {
            Word::Allowed => "allowed",
            Word::Implicit => "implicitDeny",
            Word::Explicit => "explicitDeny",
        })
    }
}

fn by_boundary(allowed: bool) -> PermissionsBoundaryDecisionDetail {
    PermissionsBoundaryDecisionDetail { allowed_by_permissions_boundary: Some(allowed) }
}

/// Whether every level of a layer allows; `None` where the layer is not there.
fn allows(why: &Explanation<'_>, layer: Layer) -> Option<bool> {
    let mut of = why.layers.iter().filter(|own| own.layer == layer).peekable();
    of.peek().is_some().then(|| of.all(|own| own.says == Says::Allows))
}

/// What identity and resource policies come to, each by itself.
fn details(why: &Explanation<'_>) -> Vec<(&'static str, Word)> {
    let said = |wanted: &[Layer]| {
        let says = why.layers.iter().find(|own| wanted.contains(&own.layer))?.says;
        Some(match says {
            Says::Allows => Word::Allowed,
            Says::Denies => Word::Explicit,
            Says::Nothing => Word::Implicit,
        })
    };
    let identity = said(&[Layer::Identity]).map(|word| (IAM_POLICY, word));
    let resource = said(&[Layer::Resource, Layer::Trust]).map(|word| (RESOURCE_POLICY, word));
    identity.into_iter().chain(resource).collect()
}

/// What AWS answers as the type of an identity policy's source, though the model lists other words.
const IAM_POLICY: &str = "IAM Policy";
const RESOURCE_POLICY: &str = "Resource Policy";

/// The statements of identity and resource policies that made the decision what it is.
fn matched(why: &Explanation<'_>, policies: &Policies<'_>) -> Vec<Statement> {
    let effect = match why.decision {
        Decision::Allow => Effect::Allow,
        Decision::ExplicitDeny(_) => Effect::Deny,
        Decision::ImplicitDeny(_) => return Vec::new(),
    };
    let mut out = Vec::new();
    for layer in &why.layers {
        let kind = match layer.layer {
            Layer::Identity => IAM_POLICY,
            Layer::Resource | Layer::Trust => RESOURCE_POLICY,
            _ => continue,
        };
        for policy in &layer.policies {
            let Some(found) = policies.find(layer.layer, layer.level, policy.policy) else {
                continue;
            };
            let applying = policy
                .statements
                .iter()
                .filter(|own| own.effect == effect && own.verdict == Verdict::Applies);
            for own in applying {
                let (start, end) = match (own.place, found.text) {
                    (Some(place), Some(text)) => positions(text, place),
                    _ => (None, None),
                };
                out.push(Statement {
                    source_policy_id: Some(found.source.to_string()),
                    source_policy_type: Some(PolicySourceType::from(kind)),
                    start_position: start,
                    end_position: end,
                });
            }
        }
    }
    out
}

/// Where a statement begins and ends as AWS counts: from behind what stands before it, blanks included, to
/// behind its brace, lines and columns from 1. AWS does not say so; its published examples show it.
/// <https://docs.aws.amazon.com/cli/latest/reference/iam/simulate-custom-policy.html>
fn positions(text: &str, place: Span) -> (Option<Position>, Option<Position>) {
    let at = |line: usize, column: usize| {
        let (line, column) = (i32::try_from(line).ok(), i32::try_from(column).ok());
        Some(Position { line, column })
    };
    let before = text.char_indices().nth(place.start.offset).map_or("", |(byte, _)| &text[..byte]);
    let behind = before.trim_end();
    let line = behind.matches('\n').count() + 1;
    let column = behind.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (at(line, column), at(place.end.line, place.end.column + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_where_awss_examples_have_it() {
        for (text, start, end) in [
            // https://docs.aws.amazon.com/cli/latest/reference/iam/simulate-custom-policy.html
            (
                "{\n    \"Version\": \"2012-10-17\",\n    \"Statement\": [\n        {\n            \"Effect\": \"Allow\",\n            \"Action\": \"*\",\n            \"Resource\": \"*\"\n\n        }\n    ]\n}",
                (3, 19),
                (9, 10),
            ),
            (r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny"}]}"#, (1, 38), (1, 55)),
        ] {
            let source = ringfence_policy::source::Source::read(text).unwrap();
            let (from, to) = positions(text, source.statement(0).unwrap());
            let pair = |at: Option<Position>| at.map(|at| (at.line.unwrap(), at.column.unwrap()));
            assert_eq!((pair(from), pair(to)), (Some(start), Some(end)), "{text}");
        }
    }

    #[test]
    fn an_action_is_named_whole() {
        let named = |name: &str| actions(&[name.to_owned()]);
        assert!(named("s3:GetObject").is_ok());
        for name in ["s3:Get*", "s3:", ":a", "s3", "s3:Ge?"] {
            assert_eq!(named(name).unwrap_err().code, "InvalidInput", "{name}");
        }
    }

    #[test]
    fn a_scenario_asks_for_its_resources() {
        let arn = |kind: &str| format!("arn:aws:ec2:us-east-1:123456789012:{kind}/x");
        let some: Vec<String> = ["instance", "image", "security-group"].map(arn).into();
        assert!(check_scenario(Some("EC2-Classic-InstanceStore"), &some).is_ok());
        assert!(check_scenario(Some("EC2-VPC-EBS"), &some).is_err());
        assert!(check_scenario(Some("EC2"), &some).is_err());
        assert!(check_scenario(None, &[]).is_ok());
    }
}
