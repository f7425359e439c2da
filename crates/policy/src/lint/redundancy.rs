//! What says the same as something else in the policy.

use super::Class::Suggestion;
use super::pattern::{covers, tokens};
use super::tree::{Node, Place, Value};
use super::view::{Policy, Text, split_arn};
use super::{ALL, Check, Sink, WITH_RESOURCES, count};
use crate::document::Comparison;
use crate::glob::Token;
use std::collections::{BTreeMap, HashMap, HashSet};

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Suggestion,
        "REDUNDANT_ACTION",
        ALL,
        "Another entry of the same element covers an action whole.",
        redundant_action,
    ),
    Check::new(
        Suggestion,
        "REDUNDANT_RESOURCE",
        WITH_RESOURCES,
        "Another entry of the same element covers a resource whole.",
        redundant_resource,
    ),
    Check::new(
        Suggestion,
        "REDUNDANT_STATEMENT",
        ALL,
        "Two statements differ in nothing but their Sid and the order in which they say it.",
        redundant_statement,
    ),
    Check::new(
        Suggestion,
        "REDUNDANT_CONDITION_VALUE_NUM",
        ALL,
        "A number must be less, or greater, than any of several.",
        redundant_condition_value_num,
    ),
];

/// The entries that another covers whole: all but the first of those that are the same, and those
/// within a pattern. Of two patterns that cover each other, the first stays.
fn redundant<'a, P>(
    policy: &Policy<'_>,
    texts: &[Text<'a>],
    prepare: impl Fn(&'a str) -> P,
    same: impl Fn(&str) -> String,
    within: impl Fn(&P, &P) -> bool,
) -> Vec<Text<'a>> {
    let mut seen = HashSet::new();
    let repeated: Vec<bool> = texts.iter().map(|text| !seen.insert(same(text.text))).collect();
    let prepared: Vec<P> = texts.iter().map(|text| prepare(text.text)).collect();
    let is_pattern = |at: &usize| !repeated[*at] && texts[*at].text.contains(['*', '?']);
    let patterns: Vec<usize> = (0..texts.len()).filter(is_pattern).collect();
    let covered = |at: usize| {
        let mut within_effort = patterns.iter().take_while(|_| policy.spend(1));
        within_effort.any(|other| {
            count(1);
            let (one, pattern) = (&prepared[at], &prepared[*other]);
            *other != at && within(pattern, one) && !(at < *other && within(one, pattern))
        })
    };
    let all = texts.iter().enumerate();
    all.filter(|(at, _)| repeated[*at] || covered(*at)).map(|(_, text)| *text).collect()
}

fn redundant_action(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let within = |pattern: &Vec<Token>, action: &Vec<Token>| {
        covers(pattern, action, true, |steps| policy.spend(steps))
    };
    for element in policy.statements.iter().filter_map(|s| s.action.as_ref()) {
        let found = redundant(policy, &element.texts, tokens, str::to_ascii_lowercase, within);
        if let Some(first) = found.first() {
            sink.add_all(
                found.iter().map(|text| Place::Node(text.node)),
                format_args!(
                    "The {} action(s) are redundant because they provide similar permissions. Update \
                     the policy to remove the redundant action such as: {}.",
                    found.len(),
                    first.text
                ),
            );
        }
    }
}

fn redundant_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    // A wildcard stays within its part, so each part must cover its like; a lone `*` covers all.
    let prepare = |text: &str| split_arn(text).into_iter().map(literal).collect();
    let part_within = |(pattern, part): (&Vec<Token>, &Vec<Token>)| {
        covers(pattern, part, false, |s| policy.spend(s))
    };
    let within = |pattern: &Vec<Vec<Token>>, resource: &Vec<Vec<Token>>| {
        let all = matches!(pattern.as_slice(), [one] if matches!(one.as_slice(), [Token::Any]));
        all || (pattern.len() == 6
            && resource.len() == 6
            && pattern.iter().zip(resource).all(part_within))
    };
    for element in policy.statements.iter().filter_map(|s| s.resource.as_ref()) {
        let found = redundant(policy, &element.texts, prepare, str::to_owned, within);
        if !found.is_empty() {
            sink.add_all(
                found.iter().map(|text| Place::Node(text.node)),
                format_args!(
                    "The {} resource ARN(s) are redundant because they reference the same resource. \
                     Review the use of wildcards (*)",
                    found.len()
                ),
            );
        }
    }
}

/// The tokens of a text whose variables stand for themselves: two of the same name are the same, and
/// one covers nothing else.
fn literal(text: &str) -> Vec<Token> {
    let mut inside = false;
    text.chars()
        .map(|c| {
            inside = (inside || c == '$') && c != '}';
            match c {
                '*' if !inside => Token::Any,
                '?' if !inside => Token::One,
                c => Token::Char(c),
            }
        })
        .collect()
}

/// A value with its keys and the items of its arrays in order; a lone item is an array of itself.
fn canonical(node: &Node, out: &mut String) {
    match &node.value {
        Value::Map(entries) => {
            let mut parts = BTreeMap::new();
            for entry in entries {
                let mut part = String::new();
                canonical(&entry.node, &mut part);
                parts.insert(&entry.key, part);
            }
            out.push('{');
            for (key, part) in parts {
                out.push_str(&format!("{key:?}:{part},"));
            }
            out.push('}');
        }
        _ => {
            let mut parts: Vec<String> = node
                .items()
                .iter()
                .map(|item| match (&item.value, item.scalar()) {
                    (Value::Map(_) | Value::List(_), _) => {
                        let mut part = String::new();
                        canonical(item, &mut part);
                        part
                    }
                    (_, Some(text)) => format!("{text:?}"),
                    (_, None) => "null".to_owned(),
                })
                .collect();
            parts.sort_unstable();
            parts.dedup();
            out.push_str(&format!("[{}]", parts.join(",")));
        }
    }
}

fn redundant_statement(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let mut groups: HashMap<String, Vec<&Node>> = HashMap::new();
    for statement in policy.statements.iter().filter(|s| s.effect.is_some() && s.action.is_some()) {
        let mut elements = BTreeMap::new();
        for entry in statement.node.entries().iter().filter(|entry| entry.key != "Sid") {
            let mut text = String::new();
            canonical(&entry.node, &mut text);
            elements.insert(&entry.key, text);
        }
        groups.entry(format!("{elements:?}")).or_default().push(statement.node);
    }
    let mut repeated: Vec<_> = groups.into_values().filter(|nodes| nodes.len() > 1).collect();
    repeated.sort_by_key(|nodes| nodes[0].at.start);
    for nodes in repeated {
        sink.add_all(
            nodes.into_iter().map(Place::Node),
            "The statements are redundant because they provide identical permissions. Update the \
             policy to remove the redundant statement.",
        );
    }
}

fn redundant_condition_value_num(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, condition) in policy.conditions().filter(|(_, c)| c.values.len() > 1) {
        let which = match condition.comparison() {
            Some(Comparison::NumericLessThan | Comparison::NumericLessThanEquals) => "greatest",
            Some(Comparison::NumericGreaterThan | Comparison::NumericGreaterThanEquals) => "least",
            _ => continue,
        };
        sink.add(
            &condition.entry.node,
            format_args!(
                "Multiple values in {} are redundant. Replace with the {which} single value for {}.",
                condition.block.key, condition.key
            ),
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case(
            "REDUNDANT_ACTION",
            "identity",
            r#""Action": ["iam:GetRole", "iam:Get*", "s3:GetObject", "S3:getobject"]"#,
            r#""iam:GetRole""#,
        )
        .says(
            "The 2 action(s) are redundant because they provide similar permissions. Update the \
             policy to remove the redundant action such as: iam:GetRole.",
        )
        .but(r#""Action": ["iam:GetRole", "iam:List*", "iam:*Users"]"#),
        case("REDUNDANT_ACTION", "identity", r#""Action": ["s3:*", "s3:**"]"#, r#""s3:**""#)
            .but(r#""Action": ["s3:Get*", "s3:*Object"]"#),
        case(
            "REDUNDANT_RESOURCE",
            "identity",
            r#""Resource": ["arn:aws:iam::123456789012:role/jane-admin",
               "arn:aws:iam::123456789012:role/jane*"]"#,
            r#""arn:aws:iam::123456789012:role/jane-admin""#,
        )
        .says(
            "The 1 resource ARN(s) are redundant because they reference the same resource. Review \
             the use of wildcards (*)",
        )
        .but(
            r#""Resource": ["arn:aws:iam::123456789012:role/Jane-admin",
               "arn:aws:iam::123456789012:role/jane*", "arn:aws:s3:::${aws:username}/*",
               "arn:aws:s3:::a/${aws:username}"]"#,
        ),
        case(
            "REDUNDANT_STATEMENT",
            "identity",
            r#"{"Statement": [
               {"Sid": "a", "Effect": "Allow", "Action": ["s3:*", "sqs:*"], "Resource": "*"},
               {"Action": ["sqs:*", "s3:*"], "Sid": "b", "Effect": "Allow", "Resource": ["*"]}]}"#,
            r#"{"Sid": "a", "Effect": "Allow", "Action": ["s3:*", "sqs:*"], "Resource": "*"}"#,
        )
        .but(
            r#"{"Statement": [
               {"Effect": "Allow", "Action": ["s3:*", "sqs:*"], "Resource": "*"},
               {"Effect": "Deny", "Action": ["s3:*", "sqs:*"], "Resource": "*"}]}"#,
        ),
        case(
            "REDUNDANT_CONDITION_VALUE_NUM",
            "identity",
            r#""Condition": {"NumericLessThanEquals": {"s3:max-keys": ["5", "10"]}}"#,
            r#"["5", "10"]"#,
        )
        .says(
            "Multiple values in NumericLessThanEquals are redundant. Replace with the greatest \
             single value for s3:max-keys.",
        )
        .but(r#""Condition": {"NumericEquals": {"s3:max-keys": ["5", "10"]}}"#),
    ];
}
