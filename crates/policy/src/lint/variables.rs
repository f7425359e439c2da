//! Policy variables: `${aws:username}`, `${aws:PrincipalTag/team, 'none'}`.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>

use super::Class::Error;
use super::facts::Family;
use super::tree::{Node, Place};
use super::view::{Policy, Text, Variable, open_variable, variables};
use super::{ALL, Check, Sink};

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "MISSING_BRACE_IN_VARIABLE",
        ALL,
        "A text has ${ without a closing brace.",
        missing_brace_in_variable,
    ),
    Check::new(
        Error,
        "MISSING_QUOTE_IN_VARIABLE",
        ALL,
        "What follows a comma in a variable is not in single quotes.",
        missing_quote_in_variable,
    ),
    Check::new(
        Error,
        "UNSUPPORTED_SPACE_IN_VARIABLE",
        ALL,
        "The key of a variable has a space, elsewhere than in the name of a tag.",
        unsupported_space_in_variable,
    ),
    Check::new(
        Error,
        "EMPTY_VARIABLE",
        ALL,
        "Nothing, or nothing but blanks, is between the braces of a variable.",
        empty_variable,
    ),
    Check::new(
        Error,
        "VARIABLE_UNSUPPORTED_IN_ELEMENT",
        ALL,
        "A variable is elsewhere than in Resource, NotResource or a condition's value.",
        variable_unsupported_in_element,
    ),
    Check::new(
        Error,
        "VARIABLE_UNSUPPORTED_IN_VERSION",
        ALL,
        "A variable is in a policy of no Version, or of 2008-10-17.",
        variable_unsupported_in_version,
    ),
    Check::new(
        Error,
        "INVALID_VARIABLE_FOR_OPERATOR",
        ALL,
        "A variable is in a value under an operator of other things than text and ARNs.",
        invalid_variable_for_operator,
    ),
];

/// The texts in which variables have a meaning.
fn texts<'a>(policy: &'a Policy<'a>) -> impl Iterator<Item = Text<'a>> {
    policy.resources().chain(policy.conditions().flat_map(|(_, condition)| condition.texts()))
}

/// The variables of those texts.
fn all<'a>(policy: &'a Policy<'a>) -> impl Iterator<Item = (&'a Node, Variable<'a>)> {
    texts(policy)
        .flat_map(|text| variables(text.text).into_iter().map(move |found| (text.node, found)))
}

fn missing_brace_in_variable(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for text in texts(policy) {
        if let Some(at) = open_variable(text.text) {
            sink.add(
                Place::Within(text.node, at..text.text.len()),
                "The policy variable is missing a closing curly brace. Add } after the variable text.",
            );
        }
    }
}

fn missing_quote_in_variable(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (node, variable) in all(policy) {
        let Some((_, default)) = variable.inner.split_once(',') else { continue };
        let default = default.trim();
        if default.len() < 2 || !default.starts_with('\'') || !default.ends_with('\'') {
            sink.add(
                Place::Within(node, variable.at),
                "The policy variable default value must begin and end with a single quote. Add the \
                 missing quote.",
            );
        }
    }
}

fn unsupported_space_in_variable(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (node, variable) in all(policy) {
        let key = variable.inner.split(',').next().unwrap_or_default();
        let name = key.split('/').next().unwrap_or_default();
        if !key.trim().is_empty() && name.contains(' ') {
            sink.add(
                Place::Within(node, variable.at),
                "A space is not supported within the policy variable text. Remove the space.",
            );
        }
    }
}

fn empty_variable(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (node, variable) in all(policy).filter(|(_, v)| v.inner.trim().is_empty()) {
        sink.add(
            Place::Within(node, variable.at),
            "Empty policy variable. Remove the ${ } variable structure or provide a variable within \
             the structure.",
        );
    }
}

fn variable_unsupported_in_element(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let elements = policy.statements.iter().flat_map(|s| s.node.entries());
    for entry in elements {
        let nodes: Vec<&Node> = match entry.key.as_str() {
            "Sid" | "Effect" | "Action" | "NotAction" => entry.node.items().iter().collect(),
            "Principal" | "NotPrincipal" => {
                let inner = entry.node.entries().iter().flat_map(|entry| entry.node.items());
                std::iter::once(&entry.node).chain(inner).collect()
            }
            _ => continue,
        };
        for node in nodes {
            let Some(text) = node.text() else { continue };
            for variable in variables(text) {
                let written = text.get(variable.at.clone()).unwrap_or_default();
                sink.add(
                    Place::Within(node, variable.at.clone()),
                    format_args!(
                        "Policy variables are supported in the Resource and Condition elements. \
                         Remove the policy variable {written} from this element."
                    ),
                );
            }
        }
    }
}

fn variable_unsupported_in_version(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    // A version that is none has a finding of its own.
    match policy.entry("Version").map(|entry| entry.node.text()) {
        None | Some(Some("2008-10-17")) => {}
        _ => return,
    }
    for (node, variable) in all(policy).filter(|(_, v)| !v.inner.trim().is_empty()) {
        sink.add(
            Place::Within(node, variable.at),
            "To include variables in your policy, use the policy version 2012-10-17 or later.",
        );
    }
}

fn invalid_variable_for_operator(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, condition) in policy.conditions() {
        if matches!(condition.family(), None | Some(Family::Text | Family::Arn)) {
            continue;
        }
        for text in condition.texts() {
            for variable in variables(text.text) {
                sink.add(
                    Place::Within(text.node, variable.at),
                    "Policy variables can only be used with String and ARN operators.",
                );
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case(
            "MISSING_BRACE_IN_VARIABLE",
            "identity",
            r#""Resource": "arn:aws:s3:::b/${aws:username}/${aws:userid/*""#,
            "${aws:userid/*",
        )
        .but(r#""Resource": "arn:aws:s3:::b/${aws:username}/{$aws:userid/*""#),
        case(
            "MISSING_QUOTE_IN_VARIABLE",
            "identity",
            r#""Resource": "arn:aws:s3:::b/${aws:username, 'x}""#,
            "${aws:username, 'x}",
        )
        .but(r#""Resource": "arn:aws:s3:::b/${aws:username, 'x'}""#),
        case(
            "UNSUPPORTED_SPACE_IN_VARIABLE",
            "identity",
            r#""Resource": "arn:aws:s3:::b/${ aws:username}""#,
            "${ aws:username}",
        )
        .but(r#""Resource": "arn:aws:s3:::b/${aws:PrincipalTag/my team, 'a b'}""#),
        case("EMPTY_VARIABLE", "identity", r#""Resource": "arn:aws:s3:::b/${ }""#, "${ }")
            .but(r#""Resource": "arn:aws:s3:::b/${*}""#),
        case(
            "VARIABLE_UNSUPPORTED_IN_ELEMENT",
            "trust",
            r#""Principal": {"AWS": "arn:aws:iam::123456789012:user/${aws:username}"}"#,
            "${aws:username}",
        )
        .says(
            "Policy variables are supported in the Resource and Condition elements. Remove the \
             policy variable ${aws:username} from this element.",
        )
        .but(r#""Condition": {"StringEquals": {"aws:username": "${aws:userid}"}}"#),
        case(
            "VARIABLE_UNSUPPORTED_IN_VERSION",
            "identity",
            r#"{"Version": "2008-10-17", "Statement": {"Resource": "a${aws:username}"}}"#,
            "${aws:username}",
        )
        .but(r#"{"Version": "2012-10-17", "Statement": {"Resource": "a${aws:username}"}}"#),
        case(
            "INVALID_VARIABLE_FOR_OPERATOR",
            "identity",
            r#""Condition": {"NumericLessThan": {"s3:max-keys": ["1", "${aws:PrincipalTag/n}"]}}"#,
            "${aws:PrincipalTag/n}",
        )
        .but(r#""Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/${aws:username}"}}"#),
    ];
}
