//! Trust policies of roles: who may assume them, by which action, proven by which claims.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create_for-idp_oidc.html>

use super::Class::{Error, SecurityWarning, Suggestion, Warning};
use super::PolicyKind::Trust;
use super::tree::Place;
use super::view::{Condition, Policy, PrincipalValue, Statement};
use super::{Check, NAMING_PRINCIPALS, PolicyKind, Sink};
use crate::Arn;
use crate::document::SetPrefix;
use crate::glob;
use std::collections::HashMap;

const KINDS: &[PolicyKind] = &[Trust];

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL",
        KINDS,
        "A statement has NotPrincipal.",
        role_trust_policy_syntax_error_notprincipal,
    ),
    Check::new(
        Error,
        "ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL",
        KINDS,
        "Principal is the text \"*\".",
        role_trust_policy_unsupported_wildcard_in_principal,
    ),
    Check::new(
        Error,
        "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE",
        KINDS,
        "A statement has Resource or NotResource.",
        role_trust_policy_syntax_error_resource,
    ),
    Check::new(
        Error,
        "INVALID_FEDERATED_PRINCIPAL_SYNTAX_IN_ROLE_TRUST_POLICY",
        KINDS,
        "A Federated principal is neither a domain nor the ARN of an identity provider.",
        invalid_federated_principal_syntax_in_role_trust_policy,
    ),
    Check::new(
        Error,
        "MISMATCHED_ACTION_FOR_PRINCIPAL",
        NAMING_PRINCIPALS,
        "A statement allows an action of STS that none of its principals can call.",
        mismatched_action_for_principal,
    ),
    Check::new(
        Error,
        "MISSING_ACTION_FOR_ROLES_ANYWHERE_TRUST_POLICY",
        KINDS,
        "The policy trusts Roles Anywhere, and lacks an action of the three that it needs.",
        missing_action_for_roles_anywhere_trust_policy,
    ),
    Check::new(
        Warning,
        "SPECIFIC_GITHUB_REPO_AND_BRANCH_RECOMMENDED",
        KINDS,
        "The subject of GitHub's tokens is a pattern, and not of the branch alone beside a condition on :ref.",
        specific_github_repo_and_branch_recommended,
    ),
    Check::new(
        SecurityWarning,
        "MISSING_CONDITION_KEY_FOR_OIDC_PRINCIPAL",
        KINDS,
        "A statement allows an OpenID Connect provider, with no condition on its tokens.",
        missing_condition_key_for_oidc_principal,
    ),
    Check::new(
        SecurityWarning,
        "MISSING_GITHUB_REPO_CONDITION_KEY",
        KINDS,
        "A statement allows GitHub's provider, with no condition on the subject.",
        missing_github_repo_condition_key,
    ),
    Check::new(
        SecurityWarning,
        "FORANYVALUE_WITH_AUDIENCE_CLAIM_TYPE",
        KINDS,
        "A token's audience is under ForAnyValue.",
        foranyvalue_with_audience_claim_type,
    ),
    Check::new(
        Suggestion,
        "CONFIRM_AUDIENCE_CLAIM_TYPE",
        KINDS,
        "The audience of a provider that AWS lists no keys of is under ForAllValues.",
        confirm_audience_claim_type,
    ),
    Check::new(
        Suggestion,
        "REDUNDANT_PRINCIPAL_IN_ROLE_TRUST_POLICY",
        KINDS,
        "A statement names a role, and a session of that role.",
        redundant_principal_in_role_trust_policy,
    ),
];

fn role_trust_policy_syntax_error_notprincipal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for entry in policy.statements.iter().filter_map(|s| s.entry("NotPrincipal")) {
        sink.add(
            Place::Key(entry),
            "Role trust policies do not support NotPrincipal. Update the policy to use a Principal \
             element instead.",
        );
    }
}

fn role_trust_policy_unsupported_wildcard_in_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for entry in policy.statements.iter().filter_map(|s| s.entry("Principal")) {
        if entry.node.text() == Some("*") {
            sink.add(
                &entry.node,
                "\"Principal:\" \"*\" is not supported in the principal element of a role trust \
                 policy. Replace the wildcard with a valid principal value.",
            );
        }
    }
}

fn role_trust_policy_syntax_error_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let entries = policy.statements.iter().flat_map(|s| s.node.entries());
    for entry in entries.filter(|e| matches!(e.key.as_str(), "Resource" | "NotResource")) {
        sink.add(
            Place::Key(entry),
            "Role trust policies apply to the role that they are attached to. You cannot specify a \
             resource. Remove the Resource or NotResource element.",
        );
    }
}

/// What a Federated principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider<'a> {
    Saml,
    /// With the host, and path, that its condition keys begin with.
    Oidc(&'a str),
}

fn provider(text: &str) -> Option<Provider<'_>> {
    if let Ok(arn) = Arn::parse(text) {
        return match arn.resource.split_once('/')? {
            ("saml-provider", name) if arn.service == "iam" && !name.is_empty() => {
                Some(Provider::Saml)
            }
            ("oidc-provider", host) if arn.service == "iam" && !host.is_empty() => {
                Some(Provider::Oidc(host))
            }
            _ => None,
        };
    }
    let label = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let domain = text.contains('.')
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(label));
    domain.then_some(Provider::Oidc(text))
}

fn invalid_federated_principal_syntax_in_role_trust_policy(
    policy: &Policy<'_>,
    sink: &mut Sink<'_>,
) {
    for value in policy.statements.iter().flat_map(|s| &s.principals) {
        // Wildcards have a finding of their own.
        let plain = value.is("Federated") && !value.text.contains(['*', '?']);
        if plain && provider(value.text).is_none() {
            sink.add(
                value.node,
                "The principal value specifies a federated principal that does not match the \
                 expected format. Update the federated principal to a domain name or a SAML metadata \
                 ARN.",
            );
        }
    }
}

/// What a principal of a trust policy is: a provider, or no federated principal.
fn federation<'a>(value: &PrincipalValue<'a>) -> Option<Provider<'a>> {
    if value.is("Federated") { provider(value.text) } else { None }
}

/// Whether such a principal can call an action of STS.
fn can_call(principal: Option<Provider<'_>>, action: &str) -> bool {
    match action {
        "sts:assumerole" => principal.is_none(),
        "sts:assumerolewithsaml" => principal == Some(Provider::Saml),
        "sts:assumerolewithwebidentity" => matches!(principal, Some(Provider::Oidc(_))),
        _ => true,
    }
}

fn mismatched_action_for_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in policy.statements.iter().filter(|s| s.allows()) {
        let principals = &statement.principals;
        // A principal that is no provider at all has a finding of its own.
        let odd = |v: &PrincipalValue<'_>| v.is("Federated") && provider(v.text).is_none();
        if principals.is_empty() || principals.iter().any(odd) {
            continue;
        }
        let kinds: Vec<_> = principals.iter().map(federation).collect();
        for action in statement.actions() {
            let name = action.text.to_ascii_lowercase();
            let mut within_effort = kinds.iter().take_while(|_| policy.spend(1));
            if sink.is_full()
                || within_effort.any(|kind| can_call(*kind, &name))
                || !policy.spend(1)
            {
                continue;
            }
            let names: Vec<&str> = principals.iter().map(|value| value.text).collect();
            let mut entries: Vec<_> = principals.iter().map(|value| value.entry).collect();
            entries.dedup_by_key(|entry| entry.key_at.start);
            let places = entries.into_iter().map(|entry| Place::Node(&entry.node));
            sink.add_all(
                std::iter::once(Place::Node(action.node)).chain(places),
                format_args!(
                    "The {} action is invalid with the following principal(s): {}. Use a SAML \
                     provider principal with the sts:AssumeRoleWithSAML action or use an OIDC \
                     provider principal with the sts:AssumeRoleWithWebIdentity action. Ensure the \
                     provider is Federated if you use either of the two options.",
                    action.text,
                    names.join(", ")
                ),
            );
        }
    }
}

fn missing_action_for_roles_anywhere_trust_policy(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let is_it = |v: &&PrincipalValue<'_>| {
        v.is("Service") && v.text.eq_ignore_ascii_case("rolesanywhere.amazonaws.com")
    };
    let trusting: Vec<_> = policy
        .statements
        .iter()
        .filter(|s| s.allows())
        .filter_map(|s| Some((s, s.principals.iter().find(is_it)?)))
        .collect();
    let Some((_, principal)) = trusting.first() else { return };
    let needed = ["sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"];
    let allowed = |action: &str| {
        trusting.iter().flat_map(|(s, _)| s.actions()).any(|text| glob::action(text.text, action))
    };
    if !needed.into_iter().all(allowed) {
        sink.add(
            principal.node,
            "The rolesanywhere.amazonaws.com service principal requires the sts:AssumeRole, \
             sts:SetSourceIdentity, and sts:TagSession permissions to assume a role. Add the missing \
             permissions to the policy.",
        );
    }
}

const GITHUB: &str = "token.actions.githubusercontent.com";
const GITHUB_SUBJECT: &str = "token.actions.githubusercontent.com:sub";
const GITHUB_REF: &str = "token.actions.githubusercontent.com:ref";

fn specific_github_repo_and_branch_recommended(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, condition) in policy.conditions().filter(|(_, c)| c.is(GITHUB_SUBJECT)) {
        let wild = |text: &str| text.contains(['*', '?']);
        for text in condition.texts().filter(|_| condition.has_wildcards()) {
            // `repo:OWNER/NAME:ref:refs/heads/BRANCH`
            let mut parts = text.text.splitn(3, ':');
            let repository = [parts.next(), parts.next()].into_iter().flatten().any(wild);
            if wild(text.text) && (repository || !statement.has_key(&[GITHUB_REF])) {
                sink.add(
                    text.node,
                    "Using a wildcard (*) in token.actions.githubusercontent.com:sub can allow \
                     requests from more sources than you intended. Specify the value of \
                     token.actions.githubusercontent.com:sub with the repository and branch name. If \
                     the subject claim does not include the branch, specify it in a \
                     token.actions.githubusercontent.com:ref condition key.",
                );
            }
        }
    }
}

/// The OpenID Connect providers that statements allow, with their hosts.
fn oidc<'a>(
    policy: &'a Policy<'_>,
) -> impl Iterator<Item = (&'a Statement<'a>, &'a PrincipalValue<'a>, &'a str)> {
    let of = |statement: &'a Statement<'a>| {
        statement.principals.iter().filter(|v| v.is("Federated")).filter_map(move |value| {
            match provider(value.text) {
                Some(Provider::Oidc(host)) => Some((statement, value, host)),
                _ => None,
            }
        })
    };
    policy.statements.iter().filter(|s| s.allows()).flat_map(of)
}

fn missing_condition_key_for_oidc_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, value, host) in oidc(policy) {
        let of_host = |condition: &Condition<'_>| {
            let prefix = condition.key.rsplit_once(':').map(|(prefix, _)| prefix);
            prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(host))
        };
        if !statement.conditions.iter().any(of_host) {
            sink.add(
                value.node,
                "Using an Open ID Connect principal without a condition can be overly permissive. \
                 Add condition keys with a prefix that matches your federated OIDC principals to \
                 ensure that only the intended identity provider assumes the role.",
            );
        }
    }
}

fn missing_github_repo_condition_key(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, value, host) in oidc(policy) {
        if host.eq_ignore_ascii_case(GITHUB) && !statement.has_key(&[GITHUB_SUBJECT]) {
            sink.add(
                value.node,
                "Granting a federated GitHub principal permissions without a condition key can allow \
                 more sources to assume the role than you intended. Add the \
                 token.actions.githubusercontent.com:sub condition key and specify the branch and \
                 repository name in the value.",
            );
        }
    }
}

/// Conditions on a token's audience with a set prefix.
fn audiences<'a>(
    policy: &'a Policy<'_>,
    set: SetPrefix,
) -> impl Iterator<Item = &'a Condition<'a>> {
    let audience = |key: &str| {
        key.rsplit_once(':').is_some_and(|(provider, name)| {
            let provider = provider.contains('.') || provider.eq_ignore_ascii_case("saml");
            provider && name.eq_ignore_ascii_case("aud")
        })
    };
    policy
        .conditions()
        .map(|(_, condition)| condition)
        .filter(move |c| audience(c.key) && c.operator.is_some_and(|o| o.set == Some(set)))
}

fn foranyvalue_with_audience_claim_type(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for condition in audiences(policy, SetPrefix::ForAnyValue) {
        sink.add(
            &condition.entry.node,
            format_args!(
                "Using ForAnyValue qualifier with the single-valued condition key {} can be overly \
                 permissive. We recommend that you remove ForAnyValue:.",
                condition.key
            ),
        );
    }
}

fn confirm_audience_claim_type(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for condition in audiences(policy, SetPrefix::ForAllValues) {
        // A key that is known to have one value has a finding of its own.
        if condition.key_type().is_none() {
            sink.add(
                &condition.entry.node,
                format_args!(
                    "The \"{}\" (audience) claim key identifies the recipients that the JSON web \
                     token is intended for. Because this claim is single-valued, do not use a \
                     qualifier.",
                    condition.key
                ),
            );
        }
    }
}

fn redundant_principal_in_role_trust_policy(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in &policy.statements {
        let arns = statement.principals.iter().filter(|value| value.is("AWS"));
        let arns: Vec<_> = arns.filter_map(|v| Some((v, Arn::parse(v.text).ok()?))).collect();
        // A session's ARN has the role's name, without its path.
        let roles: HashMap<_, _> = arns
            .iter()
            .filter(|(_, arn)| arn.service == "iam")
            .filter_map(|(value, arn)| {
                let path = arn.resource.strip_prefix("role/")?;
                Some(((arn.account, path.rsplit('/').next()?), value))
            })
            .collect();
        for (value, arn) in arns.iter().filter(|(_, arn)| arn.service == "sts") {
            let session = arn.resource.strip_prefix("assumed-role/");
            let name = session.and_then(|session| session.split('/').next());
            let Some(role) = name.and_then(|name| roles.get(&(arn.account, name))) else {
                continue;
            };
            sink.add(
                value.node,
                format_args!(
                    "The assumed-role principal {} is redundant with its parent role {}. Remove the \
                     assumed-role principal.",
                    value.text, role.text
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
            "ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL",
            "trust",
            r#""NotPrincipal": {"AWS": "123456789012"}"#,
            r#""NotPrincipal""#,
        )
        .but(r#""Principal": {"AWS": "123456789012"}"#),
        case(
            "ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL",
            "trust",
            r#""Principal": "*""#,
            r#""*""#,
        )
        .but(r#""Principal": {"AWS": "*"}"#),
        case(
            "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE",
            "trust",
            r#""NotResource": "*""#,
            r#""NotResource""#,
        )
        .but(r#""Sid": "Resource""#),
        case(
            "INVALID_FEDERATED_PRINCIPAL_SYNTAX_IN_ROLE_TRUST_POLICY",
            "trust",
            r#""Principal": {"Federated": "arn:aws:iam::123456789012:role/a"}"#,
            r#""arn:aws:iam::123456789012:role/a""#,
        )
        .but(
            r#""Principal": {"Federated": ["accounts.google.com",
               "arn:aws:iam::123456789012:saml-provider/a",
               "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/A"]}"#,
        ),
        case(
            "MISMATCHED_ACTION_FOR_PRINCIPAL",
            "resource",
            r#""Principal": {"Federated": "cognito-identity.amazonaws.com"},
               "Action": ["sts:TagSession", "sts:AssumeRole"]"#,
            r#""sts:AssumeRole""#,
        )
        .says(
            "The sts:AssumeRole action is invalid with the following principal(s): \
             cognito-identity.amazonaws.com. Use a SAML provider principal with the \
             sts:AssumeRoleWithSAML action or use an OIDC provider principal with the \
             sts:AssumeRoleWithWebIdentity action. Ensure the provider is Federated if you use \
             either of the two options.",
        )
        .but(
            r#""Principal": {"Federated": "cognito-identity.amazonaws.com"},
               "Action": ["sts:TagSession", "sts:AssumeRoleWithWebIdentity"]"#,
        ),
        case(
            "MISMATCHED_ACTION_FOR_PRINCIPAL",
            "trust",
            r#""Principal": {"AWS": "arn:aws:iam::123456789012:saml-provider/a"},
               "Action": "sts:AssumeRoleWithSAML""#,
            r#""sts:AssumeRoleWithSAML""#,
        )
        .but(
            r#""Principal": {"Federated": "arn:aws:iam::123456789012:saml-provider/a"},
               "Action": "sts:AssumeRoleWithSAML""#,
        ),
        case(
            "MISSING_ACTION_FOR_ROLES_ANYWHERE_TRUST_POLICY",
            "trust",
            r#""Principal": {"Service": "rolesanywhere.amazonaws.com"},
               "Action": ["sts:AssumeRole", "sts:TagSession"]"#,
            r#""rolesanywhere.amazonaws.com""#,
        )
        .but(
            r#""Principal": {"Service": "rolesanywhere.amazonaws.com"},
               "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]"#,
        ),
        case(
            "SPECIFIC_GITHUB_REPO_AND_BRANCH_RECOMMENDED",
            "trust",
            r#""Condition": {"StringLike":
               {"token.actions.githubusercontent.com:sub": "repo:owner/name:*"}}"#,
            r#""repo:owner/name:*""#,
        )
        .but(
            r#""Condition": {"StringLike": {
               "token.actions.githubusercontent.com:sub": "repo:owner/name:*",
               "token.actions.githubusercontent.com:ref": "refs/heads/main"}}"#,
        ),
        case(
            "MISSING_CONDITION_KEY_FOR_OIDC_PRINCIPAL",
            "trust",
            r#""Principal": {"Federated": "accounts.google.com"},
               "Action": "sts:AssumeRoleWithWebIdentity",
               "Condition": {"StringEquals": {"www.amazon.com:app_id": "a"}}"#,
            r#""accounts.google.com""#,
        )
        .but(
            r#""Principal": {"Federated": "accounts.google.com"},
               "Action": "sts:AssumeRoleWithWebIdentity",
               "Condition": {"StringEquals": {"accounts.google.com:aud": "a"}}"#,
        ),
        case(
            "MISSING_GITHUB_REPO_CONDITION_KEY",
            "trust",
            r#""Principal": {"Federated":
               "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},
               "Condition": {"StringEquals": {"token.actions.githubusercontent.com:aud": "a"}}"#,
            r#""arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com""#,
        )
        .but(
            r#""Principal": {"Federated":
               "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},
               "Condition": {"StringEquals": {"token.actions.githubusercontent.com:sub": "a"}}"#,
        ),
        case(
            "FORANYVALUE_WITH_AUDIENCE_CLAIM_TYPE",
            "trust",
            r#""Condition": {"ForAnyValue:StringEquals": {"accounts.google.com:aud": "a"}}"#,
            r#""a""#,
        )
        .says(
            "Using ForAnyValue qualifier with the single-valued condition key \
             accounts.google.com:aud can be overly permissive. We recommend that you remove \
             ForAnyValue:.",
        )
        .but(r#""Condition": {"ForAnyValue:StringEquals": {"accounts.google.com:amr": "a"}}"#),
        case(
            "CONFIRM_AUDIENCE_CLAIM_TYPE",
            "trust",
            r#""Condition": {"ForAllValues:StringEquals": {"idp.example.com:aud": "a"}}"#,
            r#""a""#,
        )
        .says(
            "The \"idp.example.com:aud\" (audience) claim key identifies the recipients that the \
             JSON web token is intended for. Because this claim is single-valued, do not use a \
             qualifier.",
        )
        .but(
            r#""Condition": {"ForAllValues:StringEquals": {"saml:aud": "a"},
               "StringEquals": {"idp.example.com:aud": "a"}}"#,
        ),
        case(
            "REDUNDANT_PRINCIPAL_IN_ROLE_TRUST_POLICY",
            "trust",
            r#""Principal": {"AWS": ["arn:aws:iam::123456789012:role/path/a",
               "arn:aws:sts::123456789012:assumed-role/a/session"]}"#,
            r#""arn:aws:sts::123456789012:assumed-role/a/session""#,
        )
        .says(
            "The assumed-role principal arn:aws:sts::123456789012:assumed-role/a/session is redundant \
             with its parent role arn:aws:iam::123456789012:role/path/a. Remove the assumed-role \
             principal.",
        )
        .but(
            r#""Principal": {"AWS": ["arn:aws:iam::123456789012:role/a",
               "arn:aws:sts::210987654321:assumed-role/a/session"]}"#,
        ),
    ];
}
