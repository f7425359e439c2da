//! Which actions AWS tells the last use of: management actions of most services, never tagging and
//! never what only another action asks for, as `iam:PassRole`.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_last-accessed-action-last-accessed.html>

use ringfence_policy::reference::Action;

/// The services that can be called here, or soon can, and their actions that are not told of: by
/// "IAM Action Last Accessed" in AWS's service reference of 2026.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/service-reference.html>
const UNTRACKED: &[(&str, &[&str])] = &[
    (
        "access-analyzer",
        &[
            "CreateServiceLinkedAnalyzer",
            "DeleteServiceLinkedAnalyzer",
            "ListTagsForResource",
            "TagResource",
            "UntagResource",
        ],
    ),
    (
        "iam",
        &[
            "AcceptDelegationRequest",
            "AssociateDelegationRequest",
            "CreateDelegationRequest",
            "GetDelegationRequest",
            "GetHumanReadableSummary",
            "GetRoleTemplateVersion",
            "ListInstanceProfileTags",
            "ListMFADeviceTags",
            "ListOpenIDConnectProviderTags",
            "ListPolicyTags",
            "ListRoleTags",
            "ListSAMLProviderTags",
            "ListServerCertificateTags",
            "ListUserTags",
            "PassRole",
            "RejectDelegationRequest",
            "SendDelegationToken",
            "TagInstanceProfile",
            "TagMFADevice",
            "TagOpenIDConnectProvider",
            "TagPolicy",
            "TagRole",
            "TagSAMLProvider",
            "TagServerCertificate",
            "TagUser",
            "UntagInstanceProfile",
            "UntagMFADevice",
            "UntagOpenIDConnectProvider",
            "UntagPolicy",
            "UntagRole",
            "UntagSAMLProvider",
            "UntagServerCertificate",
            "UntagUser",
        ],
    ),
    (
        "kms",
        &[
            "Decapsulate",
            "Encapsulate",
            "ListResourceTags",
            "PutKeyPolicy",
            "ReEncryptFrom",
            "ReEncryptTo",
            "SynchronizeMultiRegionKey",
            "TagResource",
            "UntagResource",
        ],
    ),
    (
        "sts",
        &[
            "AssumeRoot",
            "GetDelegatedAccessToken",
            "GetServiceBearerToken",
            "SetContext",
            "SetSourceIdentity",
            "TagGetWebIdentityToken",
            "TagSession",
        ],
    ),
];

/// Whether the last use of an action is told of.
pub(crate) fn is_tracked(action: &Action) -> bool {
    let service = UNTRACKED.iter().find(|(service, _)| *service == action.prefix);
    service.is_some_and(|(_, untracked)| !untracked.contains(&action.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_policy::reference::{action, service};

    #[test]
    fn every_name_is_an_action_of_its_service() {
        for (prefix, names) in UNTRACKED {
            let service = service(prefix).unwrap();
            for name in *names {
                let action = service.action(name).unwrap_or_else(|| panic!("{prefix}:{name}"));
                assert_eq!(action.name, *name);
                assert!(!is_tracked(action));
            }
        }
    }

    #[test]
    fn management_actions_are_tracked() {
        for name in ["iam:GetUser", "sts:AssumeRole", "kms:Decrypt", "access-analyzer:GetFinding"] {
            assert!(is_tracked(action(name).unwrap()), "{name}");
        }
        assert!(!is_tracked(action("s3:GetObject").unwrap()));
    }
}
