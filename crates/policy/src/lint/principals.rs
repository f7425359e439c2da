//! Principals of resource and trust policies.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

use super::Class::{Error, SecurityWarning, Suggestion, Warning};
use super::PolicyKind::{Identity, Resource};
use super::tree::{Place, Value};
use super::view::{Policy, PrincipalValue, Statement};
use super::{Check, NAMING_PRINCIPALS, Sink};

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "UNSUPPORTED_PRINCIPAL",
        &[Identity],
        "A statement of an identity policy has Principal or NotPrincipal.",
        unsupported_principal,
    ),
    Check::new(
        Error,
        "INVALID_PRINCIPAL_FORMAT",
        NAMING_PRINCIPALS,
        "Principal or NotPrincipal is neither \"*\" nor an object.",
        invalid_principal_format,
    ),
    Check::new(
        Error,
        "INVALID_PRINCIPAL_KEY",
        NAMING_PRINCIPALS,
        "A key of Principal is none of AWS, CanonicalUser, Federated, Service.",
        invalid_principal_key,
    ),
    Check::new(
        Error,
        "UNSUPPORTED_WILDCARD_IN_PRINCIPAL",
        NAMING_PRINCIPALS,
        "A principal has a wildcard, and is not the lone * of AWS.",
        unsupported_wildcard_in_principal,
    ),
    Check::new(
        Error,
        "FEDERATED_PRINCIPAL_NOT_SUPPORTED",
        &[Identity, Resource],
        "An identity policy, or one of a resource that is no role, its type given, names a Federated principal.",
        federated_principal_not_supported,
    ),
    Check::new(
        Warning,
        "INVALID_ROLE_REFERENCE",
        NAMING_PRINCIPALS,
        "A principal is a role's unique id.",
        invalid_role_reference,
    ),
    Check::new(
        Warning,
        "INVALID_USER_REFERENCE",
        NAMING_PRINCIPALS,
        "A principal is a user's unique id.",
        invalid_user_reference,
    ),
    Check::new(
        SecurityWarning,
        "ALLOW_WITH_NOT_PRINCIPAL",
        NAMING_PRINCIPALS,
        "A statement allows with NotPrincipal.",
        allow_with_not_principal,
    ),
    Check::new(
        SecurityWarning,
        "RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL",
        &[Resource],
        "A statement allows a service principal, with no condition on who the service acts for.",
        restrict_access_to_service_principal,
    ),
    Check::new(
        Suggestion,
        "RECOMMENDED_CONDITION_KEY_FOR_SERVICE_PRINCIPAL",
        &[Resource],
        "A statement allows a service principal, restricted by aws:Referer alone.",
        recommended_condition_key_for_service_principal,
    ),
    Check::new(
        Error,
        "UNSUPPORTED_CONDITION_KEY_FOR_SERVICE_PRINCIPAL",
        NAMING_PRINCIPALS,
        "A statement allows only service principals, with a condition on the caller's organization.",
        unsupported_condition_key_for_service_principal,
    ),
];

fn unsupported_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let entries = policy.statements.iter().flat_map(|s| s.node.entries());
    for entry in entries.filter(|e| matches!(e.key.as_str(), "Principal" | "NotPrincipal")) {
        sink.add(
            &entry.node,
            "The policy type IDENTITY_POLICY does not support the Principal element. Remove the \
             Principal element.",
        );
    }
}

fn invalid_principal_format(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for entry in policy.statements.iter().filter_map(|s| s.principal) {
        // An empty array has a suggestion of its own.
        let fits = matches!(entry.node.value, Value::Map(_))
            || entry.node.text() == Some("*")
            || entry.node.is_empty_list();
        if !fits {
            sink.add(
                &entry.node,
                "The Principal element contents are not valid. Specify a key-value pair in the \
                 Principal element.",
            );
        }
    }
}

fn invalid_principal_key(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let principals = policy.statements.iter().filter_map(|s| s.principal);
    for entry in principals.flat_map(|entry| entry.node.entries()) {
        if !["AWS", "CanonicalUser", "Federated", "Service"].contains(&entry.key.as_str()) {
            sink.add(
                Place::Key(entry),
                format_args!("The principal key {} is not valid.", entry.key),
            );
        }
    }
}

fn values<'a>(policy: &'a Policy<'_>) -> impl Iterator<Item = &'a PrincipalValue<'a>> {
    policy.statements.iter().flat_map(|s| &s.principals)
}

fn unsupported_wildcard_in_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for value in values(policy) {
        let lone = value.is("AWS") && value.text == "*";
        if value.text.contains(['*', '?']) && !lone {
            sink.add(
                value.node,
                format_args!(
                    "Wildcards (*, ?) are not supported with the principal key {}. Replace the \
                     wildcard with a valid principal value.",
                    value.entry.key
                ),
            );
        }
    }
}

fn federated_principal_not_supported(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    // A trust policy may be sent as one of any resource.
    if policy.kind == Resource && policy.resource.is_none() {
        return;
    }
    for statement in &policy.statements {
        let entries = statement.principal.map_or(&[][..], |entry| entry.node.entries());
        for entry in entries.iter().filter(|entry| entry.key == "Federated") {
            sink.add(
                &entry.node,
                "The policy type does not support a federated identity provider in the principal \
                 element. Use a supported principal.",
            );
        }
    }
}

/// Whether a text is the unique id of something whose ids begin so.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>
fn is_unique_id(text: &str, prefix: &str) -> bool {
    text.len() >= 16
        && text.starts_with(prefix)
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn invalid_role_reference(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for value in values(policy).filter(|v| v.is("AWS") && is_unique_id(v.text, "AROA")) {
        sink.add(
            value.node,
            format_args!(
                "The Principal element includes the IAM role ID {}. We recommend that you use a \
                 role ARN instead.",
                value.text
            ),
        );
    }
}

fn invalid_user_reference(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for value in values(policy).filter(|v| v.is("AWS") && is_unique_id(v.text, "AIDA")) {
        sink.add(
            value.node,
            format_args!(
                "The Principal element includes the IAM user ID {}. We recommend that you use a \
                 user ARN instead.",
                value.text
            ),
        );
    }
}

fn allow_with_not_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in policy.statements.iter().filter(|s| s.allows()) {
        if let Some(entry) = statement.entry("NotPrincipal") {
            sink.add(
                Place::Key(entry),
                "Using Allow with NotPrincipal can be overly permissive. We recommend that you use \
                 Principal instead.",
            );
        }
    }
}

/// The keys that say for whom a service acts.
const SOURCE_KEYS: &[&str] =
    &["aws:SourceArn", "aws:SourceAccount", "aws:SourceOrgID", "aws:SourceOrgPaths"];

/// The service principals that statements allow without a condition on the source.
fn unrestricted<'a>(
    policy: &'a Policy<'_>,
) -> impl Iterator<Item = (&'a Statement<'a>, &'a PrincipalValue<'a>)> {
    let open = |s: &&Statement<'_>| {
        let named = s.principal.is_some_and(|entry| entry.key == "Principal");
        s.allows() && named && !s.has_key(SOURCE_KEYS)
    };
    let services = |s: &'a Statement<'a>| {
        s.principals.iter().filter(|v| v.is("Service")).map(move |value| (s, value))
    };
    policy.statements.iter().filter(open).flat_map(services)
}

fn restrict_access_to_service_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, value) in unrestricted(policy).filter(|(s, _)| !s.has_key(&["aws:Referer"])) {
        sink.add(
            value.node,
            "Granting access to a service principal without specifying a source is overly \
             permissive. Use aws:SourceArn, aws:SourceAccount, aws:SourceOrgID, or \
             aws:SourceOrgPaths condition key to grant fine-grained access.",
        );
    }
}

fn recommended_condition_key_for_service_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, value) in unrestricted(policy) {
        for condition in statement.conditions.iter().filter(|c| c.is("aws:Referer")) {
            let prefix = value.text.split('.').next().unwrap_or_default();
            sink.add(
                &condition.entry.node,
                format_args!(
                    "To restrict access to the service principal {prefix} operating on your behalf, \
                     we recommend aws:SourceArn, aws:SourceAccount, aws:SourceOrgID, or \
                     aws:SourceOrgPaths instead of {}.",
                    condition.key
                ),
            );
        }
    }
}

/// Keys of a caller that belongs to an account: a service principal has none of them. AWS's own list is
/// longer, and not published.
const CALLER_KEYS: &[&str] = &["aws:PrincipalOrgID", "aws:PrincipalOrgPaths"];

fn unsupported_condition_key_for_service_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in policy.statements.iter().filter(|s| s.allows()) {
        let principals = &statement.principals;
        if principals.is_empty() || !principals.iter().all(|value| value.is("Service")) {
            continue;
        }
        let conditions = statement.conditions.iter();
        let found: Vec<_> =
            conditions.filter(|c| super::facts::any_of(CALLER_KEYS, c.key)).collect();
        if !found.is_empty() {
            let keys: Vec<_> = found.iter().map(|c| c.key).collect();
            sink.add_all(
                found.iter().map(|c| Place::Node(&c.entry.node)),
                format_args!(
                    "The following condition keys are not supported when used with the service \
                     principal: {}.",
                    keys.join(", ")
                ),
            );
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case("UNSUPPORTED_PRINCIPAL", "identity", r#""NotPrincipal": "*""#, r#""*""#)
            .but(r#""Sid": "Principal""#),
        case("INVALID_PRINCIPAL_FORMAT", "resource", r#""Principal": ["*"]"#, r#"["*"]"#)
            .but(r#""Principal": "*""#),
        case("INVALID_PRINCIPAL_KEY", "resource", r#""Principal": {"aws": "*"}"#, r#""aws""#)
            .says("The principal key aws is not valid.")
            .but(r#""Principal": {"AWS": "*"}"#),
        case(
            "UNSUPPORTED_WILDCARD_IN_PRINCIPAL",
            "resource",
            r#""Principal": {"AWS": ["*", "arn:aws:iam::123456789012:role/a*"]}"#,
            r#""arn:aws:iam::123456789012:role/a*""#,
        )
        .says(
            "Wildcards (*, ?) are not supported with the principal key AWS. Replace the wildcard \
             with a valid principal value.",
        )
        .but(r#""Principal": {"AWS": ["*", "arn:aws:iam::123456789012:role/a"]}"#),
        case(
            "UNSUPPORTED_WILDCARD_IN_PRINCIPAL",
            "trust",
            r#""Principal": {"Service": "*"}"#,
            r#""*""#,
        )
        .but(r#""Principal": {"AWS": "*"}"#),
        case(
            "FEDERATED_PRINCIPAL_NOT_SUPPORTED",
            "AWS::S3::Bucket",
            r#""Principal": {"Federated": ["accounts.google.com"]}"#,
            r#"["accounts.google.com"]"#,
        )
        .but(r#""Principal": {"Service": "accounts.google.com"}"#),
        case(
            "INVALID_ROLE_REFERENCE",
            "resource",
            r#""Principal": {"AWS": "AROADBQP57FF2AEXAMPLE"}"#,
            r#""AROADBQP57FF2AEXAMPLE""#,
        )
        .says(
            "The Principal element includes the IAM role ID AROADBQP57FF2AEXAMPLE. We recommend \
             that you use a role ARN instead.",
        )
        .but(r#""Principal": {"AWS": "AROA"}"#),
        case(
            "INVALID_USER_REFERENCE",
            "trust",
            r#""Principal": {"AWS": "AIDACKCEVSQ6C2EXAMPLE"}"#,
            r#""AIDACKCEVSQ6C2EXAMPLE""#,
        )
        .but(r#""Principal": {"AWS": "arn:aws:iam::123456789012:user/AIDACKCEVSQ6C2EXAMPLE"}"#),
        case(
            "ALLOW_WITH_NOT_PRINCIPAL",
            "resource",
            r#""NotPrincipal": {"AWS": "123456789012"}"#,
            r#""NotPrincipal""#,
        )
        .but(r#""Effect": "Deny", "NotPrincipal": {"AWS": "123456789012"}"#),
        case(
            "RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL",
            "resource",
            r#""Principal": {"Service": "cloudtrail.amazonaws.com"}"#,
            r#""cloudtrail.amazonaws.com""#,
        )
        .but(
            r#""Principal": {"Service": "cloudtrail.amazonaws.com"},
               "Condition": {"StringEquals": {"AWS:SourceAccount": "123456789012"}}"#,
        ),
        case(
            "RECOMMENDED_CONDITION_KEY_FOR_SERVICE_PRINCIPAL",
            "resource",
            r#""Principal": {"Service": "ses.amazonaws.com"},
               "Condition": {"StringEquals": {"aws:Referer": "123456789012"}}"#,
            r#""123456789012""#,
        )
        .says(
            "To restrict access to the service principal ses operating on your behalf, we recommend \
             aws:SourceArn, aws:SourceAccount, aws:SourceOrgID, or aws:SourceOrgPaths instead of \
             aws:Referer.",
        )
        .but(
            r#""Principal": {"Service": "ses.amazonaws.com"}, "Condition": {"StringEquals":
               {"aws:Referer": "123456789012", "aws:SourceAccount": "123456789012"}}"#,
        ),
        case(
            "UNSUPPORTED_CONDITION_KEY_FOR_SERVICE_PRINCIPAL",
            "resource",
            r#""Principal": {"Service": "cloudfront.amazonaws.com"},
               "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}"#,
            r#""o-a1b2c3d4e5""#,
        )
        .says(
            "The following condition keys are not supported when used with the service principal: \
             aws:PrincipalOrgID.",
        )
        .but(
            r#""Principal": {"AWS": "*"},
               "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"}}"#,
        ),
    ];
}
