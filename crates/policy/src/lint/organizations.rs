//! Service control and resource control policies of an organization.
//! <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps_syntax.html>

use super::Class::{Error, Warning};
use super::PolicyKind::{ResourceControl, ServiceControl};
use super::facts::any_of;
use super::tree::{Node, Place};
use super::view::{Condition, Policy, Statement};
use super::{Check, PolicyKind, Sink};
use crate::document::Comparison;
use crate::organization::RCP_SERVICES;

const RCP: &[PolicyKind] = &[ResourceControl];

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "SCP_SYNTAX_ERROR_PRINCIPAL",
        &[ServiceControl],
        "A statement has Principal or NotPrincipal.",
        scp_syntax_error_principal,
    ),
    Check::new(
        Error,
        "RCP_SYNTAX_ERROR_PRINCIPAL",
        RCP,
        "A statement has another Principal than all, or NotPrincipal.",
        rcp_syntax_error_principal,
    ),
    Check::new(
        Error,
        "RCP_SYNTAX_ERROR_ALLOW",
        RCP,
        "A statement allows, and not everyone, not everything, or on a condition.",
        rcp_syntax_error_allow,
    ),
    Check::new(
        Error,
        "RCP_SYNTAX_ERROR_NOTACTION",
        RCP,
        "A statement has NotAction.",
        rcp_syntax_error_notaction,
    ),
    Check::new(
        Error,
        "RCP_SYNTAX_ERROR_ACTION",
        RCP,
        "An action is not of a service that has resource control policies; a lone * is for statements that allow.",
        rcp_syntax_error_action,
    ),
    Check::new(
        Warning,
        "RCP_MISSING_RELATED_PRINCIPAL_CONDITION_KEY",
        RCP,
        "A statement denies by the caller's organization, account or ARN, and does not leave out AWS's services.",
        rcp_missing_related_principal_condition_key,
    ),
    Check::new(
        Warning,
        "RCP_MISSING_RELATED_SERVICE_PRINCIPAL_CONDITION_KEY",
        RCP,
        "A statement denies by whom a service acts for, and does not leave out callers that are no service.",
        rcp_missing_related_service_principal_condition_key,
    ),
    Check::new(
        Warning,
        "RCP_MISSING_SERVICE_CONDITION_KEY_NULL_CHECK",
        RCP,
        "A statement denies by whom a service acts for, and does not leave out services that do not say.",
        rcp_missing_service_condition_key_null_check,
    ),
];

fn scp_syntax_error_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let entries = policy.statements.iter().flat_map(|s| s.node.entries());
    for entry in entries.filter(|e| matches!(e.key.as_str(), "Principal" | "NotPrincipal")) {
        sink.add(
            Place::Key(entry),
            "SCPs do not support specifying principals. Remove the Principal or NotPrincipal element.",
        );
    }
}

/// Whether a `Principal` is everyone.
fn is_everyone(node: &Node) -> bool {
    node.text() == Some("*")
        || matches!(node.entries(), [one] if one.key == "AWS" && one.node.text() == Some("*"))
}

fn rcp_syntax_error_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for entry in policy.statements.iter().filter_map(|s| s.principal) {
        if entry.key == "NotPrincipal" || !is_everyone(&entry.node) {
            sink.add(
                &entry.node,
                "The Principal element contents are not valid. RCPs only support specifying all \
                 principals (\"*\") in the Principal element. The NotPrincipal element is not \
                 supported for RCPs.",
            );
        }
    }
}

fn rcp_syntax_error_allow(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in policy.statements.iter().filter(|s| s.allows()) {
        let whole = |node: &Node| matches!(node.items(), [one] if one.text() == Some("*"));
        let wrong: Vec<Place<'_>> = statement
            .node
            .entries()
            .iter()
            .filter(|entry| match entry.key.as_str() {
                "Principal" => !is_everyone(&entry.node),
                "Resource" => !whole(&entry.node),
                "NotPrincipal" | "NotResource" | "Condition" => true,
                _ => false,
            })
            .map(Place::Key)
            .collect();
        if !wrong.is_empty() {
            sink.add_all(
                wrong,
                "RCPs only support specifying all principals (\"*\") in the Principal element, all \
                 resources (\"*\") in the Resource element, and no Condition element with an effect \
                 of Allow.",
            );
        }
    }
}

fn rcp_syntax_error_notaction(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for entry in policy.statements.iter().filter_map(|s| s.entry("NotAction")) {
        sink.add(
            Place::Key(entry),
            "RCPs do not support the NotAction element. Update to use the Action element.",
        );
    }
}

fn rcp_syntax_error_action(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in &policy.statements {
        for action in statement.actions() {
            let known = match action.text.split_once(':') {
                Some((prefix, _)) => any_of(RCP_SERVICES, prefix),
                None => action.text == "*" && statement.allows(),
            };
            if !known {
                sink.add(
                    action.node,
                    "RCPs only support specifying select service prefixes in the Action element. \
                     Learn more here.",
                );
            }
        }
    }
}

/// Keys of a caller that a service acting for itself has not. AWS's own list is not published.
const PRINCIPAL_KEYS: &[&str] =
    &["aws:PrincipalAccount", "aws:PrincipalArn", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths"];

/// Keys of whom a service acts for.
const SOURCE_KEYS: &[&str] =
    &["aws:SourceAccount", "aws:SourceArn", "aws:SourceOrgID", "aws:SourceOrgPaths"];

/// Conditions on some keys in statements that deny. A Null alone asks for nothing of the key's value.
fn denying<'a>(
    policy: &'a Policy<'a>,
    keys: &'a [&str],
) -> impl Iterator<Item = (&'a Statement<'a>, &'a Condition<'a>)> {
    policy.conditions().filter(|(statement, condition)| {
        statement.denies()
            && any_of(keys, condition.key)
            && condition.comparison().is_some_and(|c| c != Comparison::Null)
    })
}

/// Whether a statement asks for a value of a key under an operator, `IfExists` or not.
fn asks(statement: &Statement<'_>, operator: Comparison, keys: &[&str], value: &str) -> bool {
    statement.conditions.iter().any(|condition| {
        condition.comparison() == Some(operator)
            && any_of(keys, condition.key)
            && condition.texts().any(|text| text.text.eq_ignore_ascii_case(value))
    })
}

const BY_SERVICE: &[&str] = &["aws:PrincipalIsAWSService"];

fn rcp_missing_related_principal_condition_key(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, condition) in denying(policy, PRINCIPAL_KEYS) {
        if !asks(statement, Comparison::Bool, BY_SERVICE, "false") {
            sink.add(
                &condition.entry.node,
                format_args!(
                    "RCPs impact IAM roles, users, and AWS service principals. To prevent unintended \
                     impact to services acting on your behalf using a service principal, an \
                     additional statement should be added to the Condition block \"BoolIfExists\": \
                     {{ \"aws:PrincipalIsAWSService\": \"false\"}} whenever a principal key {} is \
                     used.",
                    condition.key
                ),
            );
        }
    }
}

fn rcp_missing_related_service_principal_condition_key(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, condition) in denying(policy, SOURCE_KEYS) {
        if !asks(statement, Comparison::Bool, BY_SERVICE, "true") {
            sink.add(
                &condition.entry.node,
                format_args!(
                    "RCPs impact IAM roles, users, and AWS service principals. To prevent unintended \
                     impact to your principals, an additional statement should be added to the \
                     Condition block \"BoolIfExists\": {{ \"aws:PrincipalIsAWSService\": \"true\"}} \
                     whenever the key {} is used.",
                    condition.key
                ),
            );
        }
    }
}

fn rcp_missing_service_condition_key_null_check(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, condition) in denying(policy, SOURCE_KEYS) {
        if !asks(statement, Comparison::Null, &["aws:SourceAccount", "aws:SourceArn"], "false") {
            sink.add(
                &condition.entry.node,
                format_args!(
                    "The specified service may have a service integration that does not require the \
                     use of the {key} condition key. To prevent unintended impact to services acting \
                     on your behalf using a service principal, an additional statement should be \
                     added to the Condition block \"Null\": {{ \"aws:SourceAccount\": \"false\"}} or \
                     \"Null\": {{ \"aws:SourceArn\": \"false\"}} whenever the key {key} is used.",
                    key = condition.key
                ),
            );
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case("SCP_SYNTAX_ERROR_PRINCIPAL", "scp", r#""Principal": "*""#, r#""Principal""#)
            .but(r#""Sid": "a""#),
        case(
            "RCP_SYNTAX_ERROR_PRINCIPAL",
            "rcp",
            r#""Principal": {"AWS": "123456789012"}"#,
            r#"{"AWS": "123456789012"}"#,
        )
        .but(r#""Principal": "*""#),
        case(
            "RCP_SYNTAX_ERROR_ALLOW",
            "rcp",
            r#""Action": "*", "Resource": "arn:aws:s3:::b""#,
            r#""Resource""#,
        )
        .but(r#""Action": "*", "Resource": "*""#),
        case(
            "RCP_SYNTAX_ERROR_NOTACTION",
            "rcp",
            r#""Effect": "Deny", "NotAction": "s3:*""#,
            r#""NotAction""#,
        )
        .but(r#""Effect": "Deny", "Action": "s3:*""#),
        case(
            "RCP_SYNTAX_ERROR_ACTION",
            "rcp",
            r#""Effect": "Deny", "Action": ["s3:*", "ec2:*"]"#,
            r#""ec2:*""#,
        )
        .but(r#""Effect": "Deny", "Action": ["s3:*", "STS:Assume*"]"#),
        case("RCP_SYNTAX_ERROR_ACTION", "rcp", r#""Effect": "Deny", "Action": "*""#, r#""*""#)
            .but(r#""Action": "*", "Resource": "*""#),
        case(
            "RCP_MISSING_RELATED_PRINCIPAL_CONDITION_KEY",
            "rcp",
            r#""Effect": "Deny",
               "Condition": {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}"#,
            r#""o-a1b2c3d4e5""#,
        )
        .says(
            "RCPs impact IAM roles, users, and AWS service principals. To prevent unintended impact \
             to services acting on your behalf using a service principal, an additional statement \
             should be added to the Condition block \"BoolIfExists\": { \
             \"aws:PrincipalIsAWSService\": \"false\"} whenever a principal key aws:PrincipalOrgID \
             is used.",
        )
        .but(
            r#""Effect": "Deny",
               "Condition": {"StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"},
               "BoolIfExists": {"aws:PrincipalIsAWSService": false}}"#,
        ),
        case(
            "RCP_MISSING_RELATED_SERVICE_PRINCIPAL_CONDITION_KEY",
            "rcp",
            r#""Effect": "Deny",
               "Condition": {"StringNotEqualsIfExists": {"aws:SourceOrgID": "o-a1b2c3d4e5"}}"#,
            r#""o-a1b2c3d4e5""#,
        )
        .but(
            r#""Effect": "Deny",
               "Condition": {"StringNotEqualsIfExists": {"aws:SourceOrgID": "o-a1b2c3d4e5"},
               "Bool": {"aws:PrincipalIsAWSService": "true"}}"#,
        ),
        case(
            "RCP_MISSING_SERVICE_CONDITION_KEY_NULL_CHECK",
            "rcp",
            r#""Effect": "Deny",
               "Condition": {"StringNotEqualsIfExists": {"aws:SourceOrgID": "o-a1b2c3d4e5"}}"#,
            r#""o-a1b2c3d4e5""#,
        )
        .but(
            r#""Effect": "Deny",
               "Condition": {"StringNotEqualsIfExists": {"aws:SourceOrgID": "o-a1b2c3d4e5"},
               "Null": {"aws:SourceAccount": "false"}}"#,
        ),
    ];
}
