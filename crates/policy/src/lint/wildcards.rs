//! Wildcards and variables in condition values: what they let through, and what they come to.

use super::Class::{Error, Suggestion};
use super::facts::{Family, SENSITIVE_KEYS, any_of};
use super::tree::Place;
use super::view::{Condition, Policy, Text, Variable, variables};
use super::{ALL, Check, Sink};
use crate::document::SetPrefix;
use std::ops::Range;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "WILDCARD_USAGE_TOO_PERMISSIVE",
        ALL,
        "A wildcard is in a value of an organization's, account's or network's key; in part of aws:userid's first half; or in an identity provider's subject, without six characters before it.",
        wildcard_usage_too_permissive,
    ),
    Check::new(
        Error,
        "VARIABLE_USAGE_TOO_PERMISSIVE",
        ALL,
        "As for wildcards; where the key is an organization's, account's or network's, only variables that others can set, in statements that allow.",
        variable_usage_too_permissive,
    ),
    Check::new(
        Suggestion,
        "EQUIVALENT_TO_NULL_FALSE",
        ALL,
        "A condition holds whenever the key is there, and only then, its pattern being *.",
        equivalent_to_null_false,
    ),
    Check::new(
        Suggestion,
        "EQUIVALENT_TO_NULL_TRUE",
        ALL,
        "A condition holds whenever the key is not there, and only then, its pattern being *.",
        equivalent_to_null_true,
    ),
    Check::new(
        Suggestion,
        "REDUNDANT_KEY_DUE_TO_WILDCARD_IN_CONDITION",
        ALL,
        "A condition always holds, its pattern being *.",
        redundant_key_due_to_wildcard_in_condition,
    ),
    Check::new(
        Suggestion,
        "REDUNDANT_STATEMENT_DUE_TO_WILDCARD_IN_CONDITION",
        ALL,
        "A condition never holds, its pattern being *.",
        redundant_statement_due_to_wildcard_in_condition,
    ),
];

/// Where the wildcards of a text stand, those aside that a variable makes literal.
fn wildcards(text: &str, variables: &[Variable<'_>]) -> Vec<usize> {
    let mut inside = variables.iter().map(|variable| variable.at.clone()).peekable();
    let mut out = Vec::new();
    for (at, _) in text.char_indices().filter(|(_, c)| matches!(c, '*' | '?')) {
        while inside.next_if(|variable: &Range<usize>| variable.end <= at).is_some() {}
        if inside.peek().is_none_or(|variable| at < variable.start) {
            out.push(at);
        }
    }
    out
}

/// Whether what stands at a place has six literal characters right before it.
fn is_led(text: &str, at: usize, wildcards: &[usize], variables: &[Variable<'_>]) -> bool {
    let before = text[..at].char_indices().rev().take(6);
    let Some((from, _)) = before.clone().last().filter(|_| before.count() == 6) else {
        return false;
    };
    let wild = wildcards.partition_point(|w| *w < at).checked_sub(1).map(|i| wildcards[i]);
    let variable = variables.partition_point(|v| v.at.end <= at).checked_sub(1);
    wild.is_none_or(|w| w < from) && variable.is_none_or(|i| variables[i].at.end <= from)
}

/// Whether a key is the subject that an OpenID Connect provider names. AWS's own list of keys whose
/// patterns must begin with six characters is not published.
fn is_subject(key: &str) -> bool {
    key.rsplit_once(':')
        .is_some_and(|(provider, name)| name.eq_ignore_ascii_case("sub") && provider.contains('.'))
}

/// Whether part of the first half of `aws:userid`, the unique id, is left open: what stands at `range`
/// is neither behind the colon nor all that is before it.
fn opens_userid(text: &str, range: &Range<usize>, variables: &[Variable<'_>]) -> bool {
    let inside = |at: usize| variables.iter().any(|v| v.at.contains(&at));
    let colon = text.match_indices(':').map(|(at, _)| at).find(|at| !inside(*at));
    let first = colon.unwrap_or(text.len());
    range.start < first && *range != (0..first)
}

const KEYS_PAGE: &str =
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html";

fn wildcard_usage_too_permissive(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, text) in patterns(policy) {
        let variables = variables(text.text);
        let wildcards = wildcards(text.text, &variables);
        let place = |at: usize| Place::Within(text.node, at..at + 1);
        let key = condition.key;
        if any_of(SENSITIVE_KEYS, key) {
            if let Some(at) = wildcards.first() {
                sink.add(
                    place(*at),
                    format_args!(
                        "The wildcard is not allowed in the condition key {key}. We consider the key \
                         to be sensitive and wildcards are not allowed to be used with sensitive \
                         keys. Refer to {KEYS_PAGE} for the list of sensitive keys."
                    ),
                );
            }
        } else if condition.is("aws:userid") {
            let mut wild = wildcards.iter().map(|at| *at..at + 1);
            if let Some(range) = wild.find(|range| opens_userid(text.text, range, &variables)) {
                sink.add(
                    place(range.start),
                    "Overly permissive use of wildcard with aws:userID. Use the wildcard on the \
                     right side of colon or as the only character on the left side of a colon.",
                );
            }
        } else if is_subject(key) {
            let mut wild = wildcards.iter();
            if let Some(at) = wild.find(|at| !is_led(text.text, **at, &wildcards, &variables)) {
                sink.add(
                    place(*at),
                    format_args!(
                        "Overly permissive use of wildcard for the {key} condition key. Use the \
                         wildcard preceded by 6 consecutive characters."
                    ),
                );
            }
        }
    }
}

/// Values in which wildcards are wildcards.
fn patterns<'a>(policy: &'a Policy<'_>) -> impl Iterator<Item = (&'a Condition<'a>, Text<'a>)> {
    let conditions = policy.conditions().map(|(_, condition)| condition);
    let conditions = conditions.filter(|condition| condition.has_wildcards());
    conditions.flat_map(|condition| condition.texts().map(move |text| (condition, text)))
}

/// A variable that stands for one literal character.
fn is_literal(variable: &Variable<'_>) -> bool {
    matches!(variable.inner, "*" | "?" | "$")
}

/// Whether a variable is set by AWS, for whoever calls, as the sensitive keys are.
fn is_given(variable: &Variable<'_>) -> bool {
    any_of(SENSITIVE_KEYS, variable.key()) || any_of(&["aws:Ec2InstanceSourceVpc"], variable.key())
}

fn variable_usage_too_permissive(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, condition) in policy.conditions() {
        let key = condition.key;
        let sensitive = any_of(SENSITIVE_KEYS, key) && statement.allows();
        let userid = condition.is("aws:userid");
        let subject = is_subject(key);
        if !matches!(condition.family(), Some(Family::Text | Family::Arn)) {
            continue;
        }
        if !sensitive && !userid && !subject {
            continue;
        }
        for text in condition.texts() {
            let variables = variables(text.text);
            let wildcards = wildcards(text.text, &variables);
            let open = variables.iter().filter(|variable| !is_literal(variable));
            let found = open.clone().find(|variable| {
                (sensitive && !is_given(variable))
                    || (userid && opens_userid(text.text, &variable.at, &variables))
                    || (subject && !is_led(text.text, variable.at.start, &wildcards, &variables))
            });
            let Some(variable) = found else { continue };
            let place = Place::Within(text.node, variable.at.clone());
            if sensitive {
                sink.add(
                    place,
                    format_args!(
                        "The policy variable is not allowed in the condition key {key}. We consider \
                         the key to be sensitive and policy variables can be evaluated as effective \
                         wildcards. Therefore policy variables are not allowed to be used with \
                         sensitive keys. Refer to {KEYS_PAGE} for the list of sensitive keys."
                    ),
                );
            } else if userid {
                sink.add(
                    place,
                    "Overly permissive use of policy variable with aws:userID. Use the policy \
                     variable on the right side of colon or as the only character on the left side \
                     of a colon.",
                );
            } else {
                sink.add(
                    place,
                    format_args!(
                        "Overly permissive use of policy variable for the {key} condition key. Use \
                         the policy variable preceded by 6 consecutive characters."
                    ),
                );
            }
        }
    }
}

/// What a condition whose pattern matches every value comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Present,
    Absent,
    Always,
    Never,
}

/// Keys that every request has.
const ALWAYS_THERE: &[&str] = &["aws:PrincipalAccount", "aws:PrincipalType", "aws:RequestedRegion"];

fn meaning(condition: &Condition<'_>) -> Option<Meaning> {
    let operator = condition.operator?;
    let all = condition.has_wildcards() && condition.texts().any(|text| text.text == "*");
    if !all {
        return None;
    }
    let there = operator.set.is_none() && any_of(ALWAYS_THERE, condition.key);
    let meaning = match (operator.set, operator.comparison.is_negated()) {
        // No values match whatever the pattern is.
        (Some(SetPrefix::ForAllValues), false) => Meaning::Always,
        (Some(SetPrefix::ForAllValues), true) => Meaning::Absent,
        (Some(SetPrefix::ForAnyValue), true) if operator.if_exists => Meaning::Absent,
        (Some(SetPrefix::ForAnyValue), true) => Meaning::Never,
        (None, true) if there => Meaning::Never,
        (None, true) => Meaning::Absent,
        (_, false) if there || operator.if_exists => Meaning::Always,
        (_, false) => Meaning::Present,
    };
    Some(meaning)
}

fn meaning_is<'a>(
    policy: &'a Policy<'_>,
    wanted: Meaning,
) -> impl Iterator<Item = &'a Condition<'a>> {
    let conditions = policy.conditions().map(|(_, condition)| condition);
    conditions.filter(move |condition| meaning(condition) == Some(wanted))
}

fn equivalent_to_null_false(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for condition in meaning_is(policy, Meaning::Present) {
        let (key, operator) = (condition.key, &condition.block.key);
        sink.add(
            &condition.entry.node,
            format_args!(
                "We recommend replacing the key {key} in the condition block of {operator} with \
                 {{{key}: false}} to ensure better enforcement of the condition."
            ),
        );
    }
}

fn equivalent_to_null_true(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for condition in meaning_is(policy, Meaning::Absent) {
        let (key, operator) = (condition.key, &condition.block.key);
        sink.add(
            &condition.entry.node,
            format_args!(
                "We recommend replacing the key {key} in the condition block of {operator} with \
                 {{{key}: true}} to ensure better enforcement of the condition."
            ),
        );
    }
}

fn redundant_key_due_to_wildcard_in_condition(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for condition in meaning_is(policy, Meaning::Always) {
        sink.add(
            &condition.entry.node,
            format_args!(
                "The key {} in the condition block of {} is redundant because it is always matched. \
                 Remove this key to simplify the condition.",
                condition.key, condition.block.key
            ),
        );
    }
}

fn redundant_statement_due_to_wildcard_in_condition(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for condition in meaning_is(policy, Meaning::Never) {
        sink.add(
            &condition.entry.node,
            format_args!(
                "The key {} in the condition block of {} does not match any values. Remove this key \
                 to simplify the condition.",
                condition.key, condition.block.key
            ),
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};
    use super::*;

    pub const CASES: &[Case] = &[
        case(
            "WILDCARD_USAGE_TOO_PERMISSIVE",
            "resource",
            r#""Condition": {"StringLike": {"aws:PrincipalOrgID": "o-a1b2c3d4e?"}}"#,
            "?",
        )
        .says(
            "The wildcard is not allowed in the condition key aws:PrincipalOrgID. We consider the \
             key to be sensitive and wildcards are not allowed to be used with sensitive keys. Refer \
             to https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html \
             for the list of sensitive keys.",
        )
        .but(r#""Condition": {"StringLike": {"aws:PrincipalOrgID": "o-${*}"}}"#),
        case(
            "WILDCARD_USAGE_TOO_PERMISSIVE",
            "trust",
            r#""Condition": {"StringLike": {"token.actions.githubusercontent.com:sub": "repo:*"}}"#,
            "*",
        )
        .says(
            "Overly permissive use of wildcard for the token.actions.githubusercontent.com:sub \
             condition key. Use the wildcard preceded by 6 consecutive characters.",
        )
        .but(
            r#""Condition": {"StringLike":
               {"token.actions.githubusercontent.com:sub": "repo:o*/repo@*:ref:refs/*"}}"#,
        ),
        case(
            "WILDCARD_USAGE_TOO_PERMISSIVE",
            "resource",
            r#""Condition": {"StringLike": {"aws:userId": ["AROAEXAMPLE:*", "*:a", "AROA*:a"]}}"#,
            "*",
        )
        .but(r#""Condition": {"StringLike": {"aws:userid": ["AROAEXAMPLE:*", "*:a", "AIDA"]}}"#),
        case(
            "VARIABLE_USAGE_TOO_PERMISSIVE",
            "resource",
            r#""Condition": {"StringEquals": {"aws:SourceVpc": "${aws:PrincipalTag/vpc}"}}"#,
            "${aws:PrincipalTag/vpc}",
        )
        .but(r#""Condition": {"StringEquals": {"aws:SourceVpc": "${aws:Ec2InstanceSourceVpc}"}}"#),
        case(
            "VARIABLE_USAGE_TOO_PERMISSIVE",
            "resource",
            r#""Condition": {"StringEquals": {"aws:userid": "AROA${aws:PrincipalTag/a}:b"}}"#,
            "${aws:PrincipalTag/a}",
        )
        .but(
            r#""Condition": {"StringEquals":
               {"aws:userid": ["${aws:PrincipalTag/a}:b", "AROA:${aws:PrincipalTag/a}"]}}"#,
        ),
        case(
            "VARIABLE_USAGE_TOO_PERMISSIVE",
            "trust",
            r#""Condition": {"StringLike": {"idp.example.com:sub": "a:${idp.example.com:aud}"}}"#,
            "${idp.example.com:aud}",
        )
        .says(
            "Overly permissive use of policy variable for the idp.example.com:sub condition key. Use \
             the policy variable preceded by 6 consecutive characters.",
        )
        .but(
            r#""Condition": {"StringLike":
               {"idp.example.com:sub": "system:${idp.example.com:aud}"}}"#,
        ),
        case(
            "EQUIVALENT_TO_NULL_FALSE",
            "identity",
            r#""Condition": {"ForAnyValue:StringLike": {"aws:TagKeys": ["a", "*"]}}"#,
            r#"["a", "*"]"#,
        )
        .says(
            "We recommend replacing the key aws:TagKeys in the condition block of \
             ForAnyValue:StringLike with {aws:TagKeys: false} to ensure better enforcement of the \
             condition.",
        )
        .but(r#""Condition": {"StringLike": {"aws:username": "a*"}}"#),
        case(
            "EQUIVALENT_TO_NULL_TRUE",
            "identity",
            r#""Condition": {"StringNotLike": {"aws:username": "*"}}"#,
            r#""*""#,
        )
        .but(r#""Condition": {"StringNotEquals": {"aws:username": "*"}}"#),
        case(
            "REDUNDANT_KEY_DUE_TO_WILDCARD_IN_CONDITION",
            "identity",
            r#""Condition": {"ArnLikeIfExists": {"aws:PrincipalArn": "*"}}"#,
            r#""*""#,
        )
        .says(
            "The key aws:PrincipalArn in the condition block of ArnLikeIfExists is redundant because \
             it is always matched. Remove this key to simplify the condition.",
        )
        .but(r#""Condition": {"ArnLike": {"aws:PrincipalArn": "*"}}"#),
        case(
            "REDUNDANT_STATEMENT_DUE_TO_WILDCARD_IN_CONDITION",
            "identity",
            r#""Condition": {"StringNotLike": {"aws:RequestedRegion": "*"}}"#,
            r#""*""#,
        )
        .but(r#""Condition": {"StringNotLike": {"aws:RequestedRegion": "eu-*"}}"#),
    ];

    #[test]
    fn six_literal_characters_lead_a_wildcard() {
        let led = |text: &str| {
            let variables = variables(text);
            let wild = wildcards(text, &variables);
            wild.iter().all(|at| is_led(text, *at, &wild, &variables))
        };
        assert!(led("repo:o*"));
        assert!(!led("repo:*"));
        assert!(led("repo:o*/repo@*"));
        assert!(!led("repo:o*/rep@*"));
        assert!(!led("123456${a}12345*"));
        assert!(led("12345${a}123456*"));
        assert!(led("éééééé*"));
    }

    /// The meaning of a pattern that matches all is what evaluation makes of it.
    #[test]
    fn meanings_are_those_of_evaluation() {
        use crate::document::{Condition as Parsed, Operator, Version};
        for name in ["StringLike", "StringNotLike", "ArnLike", "ArnNotEquals"] {
            for set in ["", "ForAllValues:", "ForAnyValue:"] {
                for suffix in ["", "IfExists"] {
                    let operator = format!("{set}{name}{suffix}");
                    let holds = |present: bool| {
                        let mut context = crate::Context::default();
                        if present {
                            context.set_many("k", ["arn:aws:iam::1:user/a"]);
                        }
                        let parsed = Parsed {
                            operator: Operator::parse(&operator).unwrap(),
                            key: "k".into(),
                            values: vec!["*".into()],
                        };
                        crate::condition::holds(&parsed, Version::V2012, &context)
                    };
                    let document = format!(
                        r#"{{"Statement": {{"Condition": {{"{operator}": {{"k": "*"}}}}}}}}"#
                    );
                    let root = super::super::tree::read(&document).unwrap();
                    let kind = super::super::PolicyKind::Identity;
                    let policy = Policy::new(&document, &root, kind, None);
                    let want = match (holds(true), holds(false)) {
                        (true, true) => Meaning::Always,
                        (true, false) => Meaning::Present,
                        (false, true) => Meaning::Absent,
                        (false, false) => Meaning::Never,
                    };
                    let (_, condition) = policy.conditions().next().unwrap();
                    assert_eq!(meaning(condition), Some(want), "{operator}");
                }
            }
        }
    }
}
