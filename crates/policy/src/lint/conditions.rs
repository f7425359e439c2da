//! Condition operators, alone and with the keys that they are used on.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>

use super::Class::{Error, SecurityWarning, Suggestion, Warning};
use super::facts::{Arity, Family};
use super::tree::{Entry, Place, Value};
use super::view::{Condition, Policy};
use super::{ALL, Check, Sink};
use crate::document::{Comparison, SetPrefix};
use std::collections::HashMap;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "INVALID_CONDITION_OPERATOR",
        ALL,
        "A name under Condition is no operator, whatever its prefix and suffix.",
        invalid_condition_operator,
    ),
    Check::new(
        Error,
        "NULL_WITH_IF_EXISTS",
        ALL,
        "The operator is NullIfExists.",
        null_with_if_exists,
    ),
    Check::new(
        Suggestion,
        "NULL_WITH_QUALIFIER",
        ALL,
        "The operator is Null with ForAllValues or ForAnyValue.",
        null_with_qualifier,
    ),
    Check::new(
        Error,
        "INVALID_CONDITION_DATA_TYPE",
        ALL,
        "The values of a condition key are of more than one JSON type.",
        invalid_condition_data_type,
    ),
    Check::new(
        Error,
        "INVALID_CONDITION_MULTIPLE_BOOLEAN",
        ALL,
        "A key under Bool has more than one value.",
        invalid_condition_multiple_boolean,
    ),
    Check::new(
        Error,
        "DUPLICATE_KEYS_WITH_DIFFERENT_CASE",
        ALL,
        "An operator has the same key twice, in other letters.",
        duplicate_keys_with_different_case,
    ),
    Check::new(
        Error,
        "MISSING_QUALIFIER",
        ALL,
        "A key of several values is under an operator other than Null without set prefix.",
        missing_qualifier,
    ),
    Check::new(
        SecurityWarning,
        "FORALLVALUES_WITH_SINGLE_VALUED_KEY",
        ALL,
        "A key of one value is under ForAllValues.",
        forallvalues_with_single_valued_key,
    ),
    Check::new(
        Warning,
        "TYPE_MISMATCH",
        ALL,
        "The operator's type is not that of the key; Null, text on ARNs, and ARNs in text aside.",
        type_mismatch,
    ),
    Check::new(
        SecurityWarning,
        "STRING_LIKE_OPERATOR_WITH_ARN_CONDITION_KEYS",
        ALL,
        "StringLike or StringNotLike, in any form, is used on a key that holds an ARN.",
        string_like_operator_with_arn_condition_keys,
    ),
];

/// Every operator under every Condition.
fn blocks<'a>(policy: &'a Policy<'_>) -> impl Iterator<Item = &'a Entry> {
    let conditions = policy.statements.iter().filter_map(|s| s.entry("Condition"));
    conditions.flat_map(|entry| entry.node.entries())
}

fn is_null_if_exists(operator: &str) -> bool {
    let name = operator.rsplit_once(':').map_or(operator, |(_, name)| name);
    name.eq_ignore_ascii_case("NullIfExists")
}

fn invalid_condition_operator(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for block in blocks(policy) {
        let known = crate::document::Operator::parse(&block.key).is_some();
        if !known && !is_null_if_exists(&block.key) {
            sink.add(
                Place::Key(block),
                format_args!(
                    "The condition operator {} is not valid. Use a valid condition operator.",
                    block.key
                ),
            );
        }
    }
}

fn null_with_if_exists(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for block in blocks(policy).filter(|block| is_null_if_exists(&block.key)) {
        sink.add(
            Place::Key(block),
            "The Null condition operator cannot be used with the IfExists suffix. Update the \
             operator or the suffix.",
        );
    }
}

fn null_with_qualifier(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for block in blocks(policy) {
        let operator = crate::document::Operator::parse(&block.key);
        if operator.is_some_and(|o| o.comparison == Comparison::Null && o.set.is_some()) {
            sink.add(
                Place::Key(block),
                "Avoid using the Null condition operator with the ForAllValues or ForAnyValue \
                 qualifiers because they always return a true or false respectively.",
            );
        }
    }
}

fn invalid_condition_data_type(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let json_type = |value: &Value| std::mem::discriminant(value);
    for (_, condition) in policy.conditions() {
        let mut types = condition.values.iter().map(|node| json_type(&node.value));
        let first = types.next();
        if types.any(|other| Some(other) != first) {
            sink.add(
                &condition.entry.node,
                "The condition value data types do not match. Use condition values of the same JSON \
                 data type.",
            );
        }
    }
}

fn invalid_condition_multiple_boolean(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, condition) in policy.conditions() {
        if condition.comparison() == Some(Comparison::Bool) && condition.values.len() > 1 {
            sink.add(
                &condition.entry.node,
                "The condition key does not support multiple Boolean values. Use a single Boolean \
                 value.",
            );
        }
    }
}

fn duplicate_keys_with_different_case(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for block in blocks(policy) {
        let mut groups: HashMap<String, Vec<&Entry>> = HashMap::new();
        for entry in block.node.entries() {
            groups.entry(entry.key.to_ascii_lowercase()).or_default().push(entry);
        }
        // The same key in the same letters is no JSON.
        let differ = |entries: &&Vec<&Entry>| entries.iter().any(|e| e.key != entries[0].key);
        let mut repeated: Vec<_> = groups.values().filter(differ).collect();
        repeated.sort_by_key(|entries| entries[0].key_at.start);
        for entries in repeated {
            sink.add_all(
                entries.iter().map(|entry| Place::Key(entry)),
                format_args!(
                    "The condition key {} appears more than once with different capitalization in \
                     the same condition block. Remove the duplicate condition keys.",
                    entries[0].key
                ),
            );
        }
    }
}

fn missing_qualifier(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, condition) in policy.conditions() {
        let Some(operator) = condition.operator else { continue };
        let plain = operator.set.is_none() && operator.comparison != Comparison::Null;
        if plain && condition.key_type().is_some_and(|key| key.arity == Arity::Several) {
            sink.add(
                &condition.entry.node,
                format_args!(
                    "The request context key {} has multiple values. Use the ForAllValues or \
                     ForAnyValue condition key qualifiers in your policy.",
                    condition.key
                ),
            );
        }
    }
}

fn forallvalues_with_single_valued_key(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, condition) in policy.conditions() {
        let for_all = condition.operator.is_some_and(|o| o.set == Some(SetPrefix::ForAllValues));
        if for_all && condition.key_type().is_some_and(|key| key.arity == Arity::One) {
            sink.add(
                &condition.entry.node,
                format_args!(
                    "Using ForAllValues qualifier with the single-valued condition key {} can be \
                     overly permissive. We recommend that you remove ForAllValues:.",
                    condition.key
                ),
            );
        }
    }
}

/// Keys with the family of the operator and that of the key.
fn families<'a>(
    policy: &'a Policy<'_>,
) -> impl Iterator<Item = (&'a Condition<'a>, Family, Family)> {
    policy.conditions().filter_map(|(_, condition)| {
        Some((condition, condition.family()?, condition.key_type()?.family))
    })
}

fn type_mismatch(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, operator, key) in families(policy) {
        // A key of text may hold ARNs: those of tags and encryption contexts do.
        let arns = || condition.texts().all(|text| text.text.starts_with("arn:"));
        let fits = operator == key
            || ((operator, key) == (Family::Arn, Family::Text) && arns())
            || matches!(
                (operator, key),
                (Family::Null, _)
                    | (Family::Text, Family::Arn)
                    | (Family::Date | Family::Number, Family::DateOrNumber)
            );
        if !fits {
            sink.add(
                Place::Key(condition.block),
                format_args!(
                    "Use the operator type {} instead of operator {} for the condition key {}.",
                    key.name(),
                    condition.block.key,
                    condition.key
                ),
            );
        }
    }
}

fn string_like_operator_with_arn_condition_keys(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, _, key) in families(policy).filter(|(_, _, key)| *key == Family::Arn) {
        let comparison = condition.comparison();
        if matches!(comparison, Some(Comparison::StringLike | Comparison::StringNotLike)) {
            sink.add(
                Place::Key(condition.block),
                format_args!(
                    "Use the operator type {} instead of operator {} for the condition key {}.",
                    key.name(),
                    condition.block.key,
                    condition.key
                ),
            );
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case(
            "INVALID_CONDITION_OPERATOR",
            "identity",
            r#""Condition": {"StringMatches": {"aws:username": "a"}}"#,
            r#""StringMatches""#,
        )
        .says("The condition operator StringMatches is not valid. Use a valid condition operator.")
        .but(r#""Condition": {"ForAnyValue:StringLikeIfExists": {"aws:TagKeys": "a"}}"#),
        case(
            "NULL_WITH_IF_EXISTS",
            "identity",
            r#""Condition": {"ForAnyValue:NullIfExists": {"aws:TagKeys": true}}"#,
            r#""ForAnyValue:NullIfExists""#,
        )
        .but(r#""Condition": {"Null": {"aws:TagKeys": true}}"#),
        case(
            "NULL_WITH_QUALIFIER",
            "identity",
            r#""Condition": {"ForAllValues:Null": {"aws:TagKeys": true}}"#,
            r#""ForAllValues:Null""#,
        )
        .but(r#""Condition": {"Null": {"aws:TagKeys": true}}"#),
        case(
            "INVALID_CONDITION_DATA_TYPE",
            "identity",
            r#""Condition": {"StringEquals": {"aws:username": ["1", 1]}}"#,
            r#"["1", 1]"#,
        )
        .but(r#""Condition": {"StringEquals": {"aws:username": ["1", "2"]}}"#),
        case(
            "INVALID_CONDITION_MULTIPLE_BOOLEAN",
            "identity",
            r#""Condition": {"BoolIfExists": {"aws:SecureTransport": [true, false]}}"#,
            "[true, false]",
        )
        .but(r#""Condition": {"Bool": {"aws:SecureTransport": [true]}}"#),
        case(
            "DUPLICATE_KEYS_WITH_DIFFERENT_CASE",
            "identity",
            r#""Condition": {"StringEquals": {"aws:username": "a", "aws:userName": "b"}}"#,
            r#""aws:username""#,
        )
        .says(
            "The condition key aws:username appears more than once with different capitalization in \
             the same condition block. Remove the duplicate condition keys.",
        )
        .but(
            r#""Condition": {"StringEquals": {"aws:username": "a"},
               "StringLike": {"aws:userName": "b"}}"#,
        ),
        case(
            "MISSING_QUALIFIER",
            "identity",
            r#""Condition": {"StringEquals": {"aws:TagKeys": "a"}}"#,
            r#""a""#,
        )
        .says(
            "The request context key aws:TagKeys has multiple values. Use the ForAllValues or \
             ForAnyValue condition key qualifiers in your policy.",
        )
        .but(
            r#""Condition": {"Null": {"aws:TagKeys": true}, "StringEquals": {"events:detail-type": "a"}}"#,
        ),
        case(
            "FORALLVALUES_WITH_SINGLE_VALUED_KEY",
            "identity",
            r#""Condition": {"ForAllValues:StringEquals": {"aws:ResourceTag/env": ["a"]}}"#,
            r#"["a"]"#,
        )
        .says(
            "Using ForAllValues qualifier with the single-valued condition key aws:ResourceTag/env \
             can be overly permissive. We recommend that you remove ForAllValues:.",
        )
        .but(
            r#""Condition": {"ForAllValues:StringEquals":
               {"dynamodb:Attributes": "a", "events:source": "a"}}"#,
        ),
        case(
            "TYPE_MISMATCH",
            "identity",
            r#""Condition": {"DateLessThan": {"aws:MultiFactorAuthPresent": "2020-01-01"}}"#,
            r#""DateLessThan""#,
        )
        .says(
            "Use the operator type Boolean instead of operator DateLessThan for the condition key \
             aws:MultiFactorAuthPresent.",
        )
        .but(
            r#""Condition": {"StringEquals": {"aws:SourceArn": "a"}, "NumericLessThan":
               {"aws:EpochTime": 1}, "Null": {"aws:SourceIp": true},
               "ArnLike": {"aws:RequestTag/a": "arn:aws:s3:::b*"}}"#,
        ),
        case(
            "STRING_LIKE_OPERATOR_WITH_ARN_CONDITION_KEYS",
            "identity",
            r#""Condition": {"StringLikeIfExists": {"aws:PrincipalArn": "arn:aws:iam::*:role/a"}}"#,
            r#""StringLikeIfExists""#,
        )
        .says(
            "Use the operator type ARN instead of operator StringLikeIfExists for the condition key \
             aws:PrincipalArn.",
        )
        .but(
            r#""Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/a"},
               "StringEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/a"}}"#,
        ),
    ];
}
