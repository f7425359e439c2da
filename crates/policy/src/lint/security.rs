//! Conditions of single services that let through more than they seem to.

use super::Class::SecurityWarning;
use super::PolicyKind::{Identity, Resource};
use super::facts::Family;
use super::tree::Place;
use super::view::{Policy, Statement};
use super::{Check, Sink, WITH_RESOURCES};
use crate::document::Comparison;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        SecurityWarning,
        "DYNAMODB_ATTRIBUTES_WITHOUT_SELECT",
        &[Identity, Resource],
        "A statement that allows reading has a condition on dynamodb:Attributes, and none that dynamodb:Select is SPECIFIC_ATTRIBUTES.",
        dynamodb_attributes_without_select,
    ),
    Check::new(
        SecurityWarning,
        "S3_PREFIX_IN_NEGATIVE_CONTEXT",
        WITH_RESOURCES,
        "s3:prefix is under an operator of text that denies what it names, or allows what it does not.",
        s3_prefix_in_negative_context,
    ),
];

/// The actions that return attributes.
const READS: &[&str] =
    &["dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"];

fn dynamodb_attributes_without_select(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let selects = |statement: &Statement<'_>| {
        statement.conditions.iter().any(|condition| {
            condition.is("dynamodb:Select")
                && condition.comparison() == Some(Comparison::StringEquals)
                && condition.texts().all(|text| text.text == "SPECIFIC_ATTRIBUTES")
        })
    };
    for statement in policy.statements.iter().filter(|s| s.allows()) {
        let reads = READS.iter().any(|action| statement.names_action(action));
        if !reads || selects(statement) {
            continue;
        }
        for condition in statement.conditions.iter().filter(|c| c.is("dynamodb:Attributes")) {
            sink.add(
                &condition.entry.node,
                "Restricting dynamodb:Attributes without also setting dynamodb:Select to \
                 SPECIFIC_ATTRIBUTES allows all attributes to be returned on read requests that omit \
                 a projection expression. We recommend that you also set dynamodb:Select to \
                 SPECIFIC_ATTRIBUTES.",
            );
        }
    }
}

fn s3_prefix_in_negative_context(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, condition) in policy.conditions().filter(|(_, c)| c.is("s3:prefix")) {
        let negated = condition.comparison().is_some_and(Comparison::is_negated);
        let against = (statement.denies() && !negated) || (statement.allows() && negated);
        if against && condition.family() == Some(Family::Text) {
            sink.add(
                Place::Node(&condition.entry.node),
                "Using the s3:prefix condition key in a Deny statement or with a negated string \
                 operator does not block listing the objects under the matching prefixes. A request \
                 that specifies a shorter prefix does not match the condition and can still list \
                 those objects. To restrict listing to specific prefixes, use s3:prefix with \
                 StringLike in an Allow statement, or use a Deny statement with StringNotLike.",
            );
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case(
            "DYNAMODB_ATTRIBUTES_WITHOUT_SELECT",
            "identity",
            r#""Action": "dynamodb:Get*",
               "Condition": {"ForAllValues:StringEquals": {"dynamodb:Attributes": ["id"]}}"#,
            r#"["id"]"#,
        )
        .but(
            r#""Action": "dynamodb:GetItem", "Condition": {
               "ForAllValues:StringEquals": {"dynamodb:Attributes": ["id"]},
               "StringEqualsIfExists": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}}"#,
        ),
        case(
            "DYNAMODB_ATTRIBUTES_WITHOUT_SELECT",
            "identity",
            r#""Action": "*",
               "Condition": {"ForAllValues:StringEquals": {"dynamodb:Attributes": ["id"]}}"#,
            r#"["id"]"#,
        )
        .but(
            r#""Action": "dynamodb:PutItem",
               "Condition": {"ForAllValues:StringEquals": {"dynamodb:Attributes": ["id"]}}"#,
        ),
        case(
            "S3_PREFIX_IN_NEGATIVE_CONTEXT",
            "identity",
            r#""Effect": "Deny", "Condition": {"StringLike": {"s3:prefix": "secret/*"}}"#,
            r#""secret/*""#,
        )
        .but(r#""Effect": "Deny", "Condition": {"StringNotLike": {"s3:prefix": "public/*"}}"#),
        case(
            "S3_PREFIX_IN_NEGATIVE_CONTEXT",
            "identity",
            r#""Condition": {"StringNotLike": {"s3:prefix": "secret/*"}}"#,
            r#""secret/*""#,
        )
        .but(r#""Condition": {"StringLike": {"s3:prefix": "public/*"}}"#),
    ];
}
