//! Conditions on a resource's tags, with actions that never see them.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_tags.html>

use super::Class::{SecurityWarning, Suggestion};
use super::keys::has_key;
use super::tree::Place;
use super::view::{Condition, Policy, Statement};
use super::{ALL, Check, Sink, count};
use crate::document::{Comparison, Effect};
use crate::glob;
use crate::reference::{self, Action};
use std::collections::{BTreeMap, HashSet};

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        SecurityWarning,
        "DENY_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE",
        ALL,
        "A statement denies by a resource's tag, with actions of a service none of which sees it.",
        deny_with_unsupported_tag_condition_key_for_service,
    ),
    Check::new(
        SecurityWarning,
        "DENY_NOTACTION_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE",
        ALL,
        "A statement denies all but some actions by a resource's tag.",
        deny_notaction_with_unsupported_tag_condition_key_for_service,
    ),
    Check::new(
        Suggestion,
        "ALLOW_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE",
        ALL,
        "A statement allows by a resource's tag, with actions of a service none of which sees it.",
        allow_with_unsupported_tag_condition_key_for_service,
    ),
    Check::new(
        Suggestion,
        "ALLOW_NOTACTION_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE",
        ALL,
        "A statement allows all but some actions by a resource's tag.",
        allow_notaction_with_unsupported_tag_condition_key_for_service,
    ),
];

/// Whether a condition fails where its key is absent: only then does it leave out the actions that have
/// no such key.
fn needs_key(condition: &Condition<'_>) -> bool {
    let Some(operator) = condition.operator else { return false };
    let null = operator.comparison == Comparison::Null;
    let present = condition.texts().any(|text| text.text.eq_ignore_ascii_case("false"));
    let holds_without = operator.comparison.is_negated()
        || operator.if_exists
        || operator.set == Some(crate::document::SetPrefix::ForAllValues);
    if null { present } else { !holds_without }
}

/// A statement's conditions on a resource's tag that need it, where it has an effect.
fn on_tags<'a>(
    statement: &'a Statement<'a>,
    effect: Effect,
) -> impl Iterator<Item = &'a Condition<'a>> {
    let tag = |key: &str| {
        key.get(..16).is_some_and(|start| start.eq_ignore_ascii_case("aws:ResourceTag/"))
    };
    let conditions = statement.conditions.iter();
    conditions.filter(move |condition| {
        statement.effect == Some(effect) && tag(condition.key) && needs_key(condition)
    })
}

/// A statement's conditions on tags, each with the services of the statement's actions none of which has
/// the key. Patterns of services are passed over.
fn without_key<'a>(
    policy: &'a Policy<'_>,
    effect: Effect,
) -> impl Iterator<Item = (&'a Condition<'a>, String)> {
    policy.statements.iter().flat_map(move |statement| {
        let conditions: Vec<_> = on_tags(statement, effect).collect();
        let services = if conditions.is_empty() { None } else { services(policy, statement) };
        let services = services.unwrap_or_default();
        conditions.into_iter().filter_map(move |condition| {
            let without = |actions: &Vec<&Action>| {
                let mut within_effort = actions.iter().take_while(|_| policy.spend(50));
                !actions.is_empty() && !within_effort.any(|action| has_key(action, condition.key))
            };
            let found = services.iter().filter(|(_, actions)| without(actions));
            let prefixes: Vec<&str> = found.map(|(prefix, _)| *prefix).collect();
            (!prefixes.is_empty() && policy.spend(1)).then(|| (condition, prefixes.join(", ")))
        })
    })
}

/// The services that a statement's actions name, with the actions that there are; `None` where the
/// lint's effort is spent.
fn services(
    policy: &Policy<'_>,
    statement: &Statement<'_>,
) -> Option<BTreeMap<&'static str, Vec<&'static Action>>> {
    let mut seen = HashSet::new();
    let mut out: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for action in statement.actions().iter().filter(|action| seen.insert(action.text)) {
        let Some((prefix, name)) = action.text.split_once(':') else { continue };
        let Some(service) = reference::service(prefix) else { continue };
        let actions = out.entry(service.prefix).or_default();
        if name.contains(['*', '?']) {
            let steps = service.actions().count() * (4 + name.len());
            if !policy.spend(steps) {
                return None;
            }
            count(steps);
            let pattern = glob::wildcards(name);
            let matches = |action: &&Action| glob::matches(&pattern, action.name, true);
            actions.extend(service.actions().filter(matches));
        } else {
            actions.extend(service.action(name));
        }
    }
    Some(out)
}

fn deny_with_unsupported_tag_condition_key_for_service(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, services) in without_key(policy, Effect::Deny) {
        sink.add(
            Place::Node(&condition.entry.node),
            format_args!(
                "Using the effect Deny with the tag condition key {} and actions for services with \
                 the following prefixes can be overly permissive: {services}. Actions for the listed \
                 services are not denied by this statement. We recommend that you move these actions \
                 to a different statement without this condition key.",
                condition.key
            ),
        );
    }
}

fn allow_with_unsupported_tag_condition_key_for_service(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, services) in without_key(policy, Effect::Allow) {
        sink.add(
            Place::Node(&condition.entry.node),
            format_args!(
                "Using the effect Allow with the tag condition key {} and actions for services with \
                 the following prefixes does not affect the policy: {services}. Actions for the \
                 listed service are not allowed by this statement. We recommend that you move these \
                 actions to a different statement without this condition key.",
                condition.key
            ),
        );
    }
}

/// Conditions on a resource's tag in statements of an effect that have `NotAction`.
fn with_not_action<'a>(
    policy: &'a Policy<'_>,
    effect: Effect,
) -> impl Iterator<Item = &'a Condition<'a>> {
    let negated = |s: &&Statement<'_>| s.action.as_ref().is_some_and(|element| element.negated);
    policy.statements.iter().filter(negated).flat_map(move |s| on_tags(s, effect))
}

fn deny_notaction_with_unsupported_tag_condition_key_for_service(
    policy: &Policy<'_>,
    sink: &mut Sink<'_>,
) {
    for condition in with_not_action(policy, Effect::Deny) {
        sink.add(
            Place::Node(&condition.entry.node),
            format_args!(
                "Using the effect Deny with NotAction and the tag condition key {} can be overly \
                 permissive because some service actions are not denied by this statement. This is \
                 because the condition key doesn't apply to some service actions. We recommend that \
                 you use Action instead of NotAction.",
                condition.key
            ),
        );
    }
}

fn allow_notaction_with_unsupported_tag_condition_key_for_service(
    policy: &Policy<'_>,
    sink: &mut Sink<'_>,
) {
    for condition in with_not_action(policy, Effect::Allow) {
        sink.add(
            Place::Node(&condition.entry.node),
            format_args!(
                "Using the effect Allow with NotAction and the tag condition key {} allows only \
                 service actions that support the condition key. The condition key doesn't apply to \
                 some service actions. We recommend that you use Action instead of NotAction.",
                condition.key
            ),
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case(
            "DENY_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE",
            "scp",
            r#""Effect": "Deny", "Action": ["polly:*", "sqs:SendMessage", "sts:GetCallerIdentity"],
               "Condition": {"StringEquals": {"aws:ResourceTag/env": "prod"}}"#,
            r#""prod""#,
        )
        .says(
            "Using the effect Deny with the tag condition key aws:ResourceTag/env and actions for \
             services with the following prefixes can be overly permissive: polly, sts. Actions for \
             the listed services are not denied by this statement. We recommend that you move these \
             actions to a different statement without this condition key.",
        )
        .but(
            r#""Effect": "Deny", "Action": ["polly:*", "sqs:SendMessage"],
               "Condition": {"StringNotEquals": {"aws:ResourceTag/env": "prod"}}"#,
        ),
        case(
            "ALLOW_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE",
            "identity",
            r#""Action": ["kms:ListKeys", "sqs:*"],
               "Condition": {"StringEquals": {"aws:ResourceTag/env": "prod"}}"#,
            r#""prod""#,
        )
        .says(
            "Using the effect Allow with the tag condition key aws:ResourceTag/env and actions for \
             services with the following prefixes does not affect the policy: kms. Actions for the \
             listed service are not allowed by this statement. We recommend that you move these \
             actions to a different statement without this condition key.",
        )
        .but(
            r#""Action": ["kms:*", "sqs:*"],
               "Condition": {"StringEquals": {"aws:ResourceTag/env": "prod"}}"#,
        ),
        case(
            "DENY_NOTACTION_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE",
            "scp",
            r#""Effect": "Deny", "NotAction": "iam:*",
               "Condition": {"Null": {"aws:ResourceTag/env": "false"}}"#,
            r#""false""#,
        )
        .but(
            r#""Effect": "Deny", "NotAction": "iam:*",
               "Condition": {"Null": {"aws:ResourceTag/env": "true"}}"#,
        ),
        case(
            "ALLOW_NOTACTION_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE",
            "identity",
            r#""NotAction": "iam:*",
               "Condition": {"StringEquals": {"aws:resourceTag/env": "prod"}}"#,
            r#""prod""#,
        )
        .but(
            r#""NotAction": "iam:*",
               "Condition": {"StringEquals": {"aws:RequestTag/env": "prod"}}"#,
        ),
    ];
}
