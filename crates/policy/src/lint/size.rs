//! How long policies may be.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>

use super::Class::{Error, Warning};
use super::PolicyKind::{Identity, Resource, ResourceControl, ServiceControl, Trust};
use super::view::Policy;
use super::{Check, Sink};

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Warning,
        "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA",
        &[Identity],
        "The policy has more characters that are no blanks than a managed policy may.",
        policy_size_exceeds_identity_policy_quota,
    ),
    Check::new(
        Warning,
        "POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA",
        &[Resource],
        "The policy has more characters than one of its resource may, or than any where that is not given.",
        policy_size_exceeds_resource_policy_quota,
    ),
    Check::new(
        Warning,
        "POLICY_SIZE_EXCEEDS_ROLE_TRUST_POLICY_QUOTA",
        &[Trust],
        "The policy has more characters that are no blanks than a trust policy may without a raised quota.",
        policy_size_exceeds_role_trust_policy_quota,
    ),
    Check::new(
        Error,
        "POLICY_SIZE_EXCEEDS_SCP_QUOTA",
        &[ServiceControl],
        "The policy has more characters than a service control policy may.",
        policy_size_exceeds_scp_quota,
    ),
    Check::new(
        Error,
        "POLICY_SIZE_EXCEEDS_RCP_QUOTA",
        &[ResourceControl],
        "The policy has more characters than a resource control policy may.",
        policy_size_exceeds_rcp_quota,
    ),
];

/// A managed policy's.
const IDENTITY: usize = 6_144;
/// A trust policy's, until the account has it raised.
const TRUST: usize = 2_048;
/// An S3 bucket's and access point's, and a DynamoDB table's.
const RESOURCE: usize = 20_480;
/// A KMS key's, the longest of any resource.
const LONGEST_RESOURCE: usize = 32_768;
/// <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html>
const SERVICE_CONTROL: usize = 10_240;
const RESOURCE_CONTROL: usize = 5_120;

fn without_blanks(policy: &Policy<'_>) -> usize {
    policy.text.chars().filter(|c| !c.is_whitespace()).count()
}

fn policy_size_exceeds_identity_policy_quota(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let size = without_blanks(policy);
    if size > IDENTITY {
        sink.add(
            policy.root,
            format_args!(
                "The {size} characters in the identity policy, excluding whitespace, exceed the \
                 {IDENTITY} character maximum for inline and managed policies. We recommend that you \
                 use multiple granular policies."
            ),
        );
    }
}

fn policy_size_exceeds_resource_policy_quota(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let size = policy.text.chars().count();
    let quota = if policy.resource.is_some() { RESOURCE } else { LONGEST_RESOURCE };
    if size > quota {
        sink.add(
            policy.root,
            format_args!(
                "The {size} characters in the resource policy exceed the {quota} character maximum \
                 for resource policies. We recommend that you use multiple granular policies."
            ),
        );
    }
}

fn policy_size_exceeds_role_trust_policy_quota(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    if without_blanks(policy) > TRUST {
        sink.add(
            policy.root,
            "The characters in the role trust policy, excluding whitespace, exceed the character \
             maximum. We recommend that you request a role trust policy length quota increase using \
             Service Quotas and AWS Support Center. If the quotas have already been increased, then \
             you can ignore this warning.",
        );
    }
}

fn policy_size_exceeds_scp_quota(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let size = policy.text.chars().count();
    if size > SERVICE_CONTROL {
        sink.add(
            policy.root,
            format_args!(
                "The {size} characters in the service control policy (SCP) exceed the \
                 {SERVICE_CONTROL} character maximum for SCPs. We recommend that you use multiple \
                 granular policies."
            ),
        );
    }
}

fn policy_size_exceeds_rcp_quota(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let size = policy.text.chars().count();
    if size > RESOURCE_CONTROL {
        sink.add(
            policy.root,
            format_args!(
                "The {size} characters in the resource control policy (RCP) exceed the \
                 {RESOURCE_CONTROL} character maximum for RCPs. We recommend that you use multiple \
                 granular policies."
            ),
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::lint::{PolicyKind, lint};

    /// The codes that this module's own test covers: documents as long as its are no table.
    pub const CODES: &[&str] = &[
        "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA",
        "POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA",
        "POLICY_SIZE_EXCEEDS_ROLE_TRUST_POLICY_QUOTA",
        "POLICY_SIZE_EXCEEDS_SCP_QUOTA",
        "POLICY_SIZE_EXCEEDS_RCP_QUOTA",
    ];

    #[test]
    fn a_policy_of_the_greatest_size_passes_and_one_character_more_does_not() {
        let bucket = Some("AWS::S3::Bucket");
        for (kind, resource_type, quota, blanks_count, code) in [
            (PolicyKind::Identity, None, IDENTITY, false, CODES[0]),
            (PolicyKind::Resource, bucket, RESOURCE, true, CODES[1]),
            (PolicyKind::Resource, None, LONGEST_RESOURCE, true, CODES[1]),
            (PolicyKind::Trust, None, TRUST, false, CODES[2]),
            (PolicyKind::ServiceControl, None, SERVICE_CONTROL, true, CODES[3]),
            (PolicyKind::ResourceControl, None, RESOURCE_CONTROL, true, CODES[4]),
        ] {
            let document = |size: usize| format!(r#"{{"Id":"{}"}}"#, "é".repeat(size - 9));
            let reported = |text: &str| {
                let findings = lint(text, kind, resource_type);
                findings.into_iter().find(|finding| finding.code == code)
            };
            assert_eq!(reported(&document(quota)), None, "{code}");
            let found = reported(&document(quota + 1)).unwrap();
            assert_eq!(found.locations[0].path, []);
            assert_eq!(found.locations[0].span.end.offset, quota + 1);
            if kind != PolicyKind::Trust {
                assert!(found.message.contains(&format!("{}", quota + 1)), "{}", found.message);
                assert!(found.message.contains(&format!("{quota}")), "{}", found.message);
            }
            let spaced = format!(" {}", document(quota));
            assert_eq!(reported(&spaced).is_some(), blanks_count, "{code}");
        }
    }
}
