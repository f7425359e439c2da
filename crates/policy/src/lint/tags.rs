//! Conditions on a resource's tags, with actions that never see them.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_tags.html>

use super::Class::{SecurityWarning, Suggestion};
use super::keys::has_key;
use super::tree::Place;
use super::view::{Condition, Policy, Statement};
use super::{ALL, Check, Sink};
use crate::document::{Comparison, Effect};
use crate::reference::{self, Action};
use std::collections::BTreeMap;

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

/// Conditions on a resource's tag that need it, in statements of an effect.
fn on_tags<'a>(
    policy: &'a Policy<'a>,
    effect: Effect,
) -> impl Iterator<Item = (&'a Statement<'a>, &'a Condition<'a>)> {
    let tag = |key: &str| {
        key.get(..16).is_some_and(|start| start.eq_ignore_ascii_case("aws:ResourceTag/"))
    };
    policy.conditions().filter(move |(statement, condition)| {
        statement.effect == Some(effect) && tag(condition.key) && needs_key(condition)
    })
}

/// The services of a statement's actions of which none has a key. Patterns of services are passed over.
fn without_key(policy: &Policy<'_>, statement: &Statement<'_>, key: &str) -> Vec<&'static str> {
    let mut services: BTreeMap<&str, bool> = BTreeMap::new();
    for action in statement.actions() {
        let Some((prefix, name)) = action.text.split_once(':') else { continue };
        let Some(service) = reference::service(prefix) else { continue };
        if !policy.spend(1_000) {
            return Vec::new();
        }
        let found: Vec<&Action> = if name.contains(['*', '?']) {
            reference::actions_matching(action.text).collect()
        } else {
            service.action(name).into_iter().collect()
        };
        if !found.is_empty() {
            let has = found.iter().any(|action| has_key(action, key));
            *services.entry(service.prefix).or_default() |= has;
        }
    }
    services.into_iter().filter(|(_, has)| !has).map(|(prefix, _)| prefix).collect()
}

fn deny_with_unsupported_tag_condition_key_for_service(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, condition) in on_tags(policy, Effect::Deny) {
        let services = without_key(policy, statement, condition.key);
        if !services.is_empty() {
            sink.add(
                Place::Node(&condition.entry.node),
                format_args!(
                    "Using the effect Deny with the tag condition key {} and actions for services \
                     with the following prefixes can be overly permissive: {}. Actions for the \
                     listed services are not denied by this statement. We recommend that you move \
                     these actions to a different statement without this condition key.",
                    condition.key,
                    services.join(", ")
                ),
            );
        }
    }
}

fn allow_with_unsupported_tag_condition_key_for_service(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, condition) in on_tags(policy, Effect::Allow) {
        let services = without_key(policy, statement, condition.key);
        if !services.is_empty() {
            sink.add(
                Place::Node(&condition.entry.node),
                format_args!(
                    "Using the effect Allow with the tag condition key {} and actions for services \
                     with the following prefixes does not affect the policy: {}. Actions for the \
                     listed service are not allowed by this statement. We recommend that you move \
                     these actions to a different statement without this condition key.",
                    condition.key,
                    services.join(", ")
                ),
            );
        }
    }
}

fn is_not_action(statement: &Statement<'_>) -> bool {
    statement.action.as_ref().is_some_and(|element| element.negated)
}

fn deny_notaction_with_unsupported_tag_condition_key_for_service(
    policy: &Policy<'_>,
    sink: &mut Sink<'_>,
) {
    for (_, condition) in on_tags(policy, Effect::Deny).filter(|(s, _)| is_not_action(s)) {
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
    for (_, condition) in on_tags(policy, Effect::Allow).filter(|(s, _)| is_not_action(s)) {
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
