//! Every operation of the fuzzed models, each with a reader of its input type.

use ringfence_wire::protocol::{Refused, Request, read_input};
use ringfence_wire::{Operation, Protocol, Structure, TypedOperation};

/// Reads an input of one operation.
pub type Read = fn(Protocol, &Request<'_>) -> Result<Box<dyn Structure>, Refused>;
/// An empty output of one operation.
pub type Output = fn() -> Box<dyn Structure>;

fn read<O: TypedOperation>(
    protocol: Protocol,
    request: &Request<'_>,
) -> Result<Box<dyn Structure>, Refused> {
    let mut input = O::Input::default();
    read_input(protocol, O::OPERATION, request, &mut input)?;
    Ok(Box::new(input))
}

fn output<O: TypedOperation>() -> Box<dyn Structure> {
    Box::new(O::Output::default())
}

macro_rules! operations {
    ($($model:ident { $($name:ident),* $(,)? })*) => {
        /// Every operation.
        pub static OPERATIONS: &[(&Operation, Read, Output)] = &[$($({
            type O = $model::operations::$name;
            (<O as TypedOperation>::OPERATION, read::<O>, output::<O>)
        }),*),*];
        // A model that has grown must grow here too.
        const _: () = {
            let listed = 0 $($(+ { let _ = stringify!($name); 1 })*)*;
            let known = 0 $(+ $model::operations::OPERATIONS.len())*;
            assert!(listed == known);
        };
    };
}

operations! {
    ringfence_model_accessanalyzer {
        ApplyArchiveRule, CancelPolicyGeneration, CheckAccessNotGranted, CheckNoNewAccess,
        CheckNoPublicAccess, CreateAccessPreview, CreateAnalyzer, CreateArchiveRule,
        CreateServiceLinkedAnalyzer, DeleteAnalyzer, DeleteArchiveRule, DeleteServiceLinkedAnalyzer,
        GenerateFindingRecommendation, GetAccessPreview, GetAnalyzedResource, GetAnalyzer,
        GetArchiveRule, GetFinding, GetFindingRecommendation, GetFindingV2, GetFindingsStatistics,
        GetGeneratedPolicy, ListAccessPreviewFindings, ListAccessPreviews, ListAnalyzedResources,
        ListAnalyzers, ListArchiveRules, ListFindings, ListFindingsV2, ListPolicyGenerations,
        ListTagsForResource, StartPolicyGeneration, StartResourceScan, TagResource, UntagResource,
        UpdateAnalyzer, UpdateArchiveRule, UpdateFindings, ValidatePolicy,
    }
    ringfence_model_iam {
        AcceptDelegationRequest, AcquireRole, AddClientIDToOpenIDConnectProvider,
        AddRoleToInstanceProfile, AddUserToGroup, AssociateDelegationRequest, AttachGroupPolicy,
        AttachRolePolicy, AttachUserPolicy, ChangePassword, CreateAccessKey, CreateAccountAlias,
        CreateDelegationRequest, CreateGroup, CreateInstanceProfile, CreateLoginProfile,
        CreateOpenIDConnectProvider, CreatePolicy, CreatePolicyVersion, CreateRole,
        CreateSAMLProvider, CreateServiceLinkedRole, CreateServiceSpecificCredential, CreateUser,
        CreateVirtualMFADevice, DeactivateMFADevice, DeleteAccessKey, DeleteAccountAlias,
        DeleteAccountPasswordPolicy, DeleteGroup, DeleteGroupPolicy, DeleteInstanceProfile,
        DeleteLoginProfile, DeleteOpenIDConnectProvider, DeletePolicy, DeletePolicyVersion,
        DeleteRole, DeleteRolePermissionsBoundary, DeleteRolePolicy, DeleteSAMLProvider,
        DeleteSSHPublicKey, DeleteServerCertificate, DeleteServiceLinkedRole,
        DeleteServiceSpecificCredential, DeleteSigningCertificate, DeleteUser,
        DeleteUserPermissionsBoundary, DeleteUserPolicy, DeleteVirtualMFADevice,
        DetachGroupPolicy, DetachRolePolicy, DetachUserPolicy,
        DisableOrganizationsRootCredentialsManagement, DisableOrganizationsRootSessions,
        DisableOutboundWebIdentityFederation, EnableMFADevice,
        EnableOrganizationsRootCredentialsManagement, EnableOrganizationsRootSessions,
        EnableOutboundWebIdentityFederation, GenerateCredentialReport,
        GenerateOrganizationsAccessReport, GenerateServiceLastAccessedDetails,
        GetAccessKeyLastUsed, GetAccountAuthorizationDetails, GetAccountPasswordPolicy,
        GetAccountProperties, GetAccountSummary, GetContextKeysForCustomPolicy,
        GetContextKeysForPrincipalPolicy, GetCredentialReport, GetDelegationRequest, GetGroup,
        GetGroupPolicy, GetHumanReadableSummary, GetInstanceProfile, GetLoginProfile,
        GetMFADevice, GetOpenIDConnectProvider, GetOrganizationsAccessReport,
        GetOutboundWebIdentityFederationInfo, GetPolicy, GetPolicyVersion, GetRole, GetRolePolicy,
        GetRoleTemplateVersion, GetSAMLProvider, GetSSHPublicKey, GetServerCertificate,
        GetServiceLastAccessedDetails, GetServiceLastAccessedDetailsWithEntities,
        GetServiceLinkedRoleDeletionStatus, GetUser, GetUserPolicy, ListAccessKeys,
        ListAccountAliases, ListAttachedGroupPolicies, ListAttachedRolePolicies,
        ListAttachedUserPolicies, ListDelegationRequests, ListEntitiesForPolicy,
        ListGroupPolicies, ListGroups, ListGroupsForUser, ListInstanceProfileTags,
        ListInstanceProfiles, ListInstanceProfilesForRole, ListMFADeviceTags, ListMFADevices,
        ListOpenIDConnectProviderTags, ListOpenIDConnectProviders, ListOrganizationsFeatures,
        ListPolicies, ListPoliciesGrantingServiceAccess, ListPolicyTags, ListPolicyVersions,
        ListRolePolicies, ListRoleTags, ListRoles, ListSAMLProviderTags, ListSAMLProviders,
        ListSSHPublicKeys, ListServerCertificateTags, ListServerCertificates,
        ListServiceSpecificCredentials, ListSigningCertificates, ListUserPolicies, ListUserTags,
        ListUsers, ListVirtualMFADevices, PutAccountProperties, PutGroupPolicy,
        PutRolePermissionsBoundary, PutRolePolicy, PutUserPermissionsBoundary, PutUserPolicy,
        RejectDelegationRequest, RemoveClientIDFromOpenIDConnectProvider,
        RemoveRoleFromInstanceProfile, RemoveUserFromGroup, ResetServiceSpecificCredential,
        ResyncMFADevice, SendDelegationToken, SetDefaultPolicyVersion,
        SetSecurityTokenServicePreferences, SimulateCustomPolicy, SimulatePrincipalPolicy,
        TagInstanceProfile, TagMFADevice, TagOpenIDConnectProvider, TagPolicy, TagRole,
        TagSAMLProvider, TagServerCertificate, TagUser, UntagInstanceProfile, UntagMFADevice,
        UntagOpenIDConnectProvider, UntagPolicy, UntagRole, UntagSAMLProvider,
        UntagServerCertificate, UntagUser, UpdateAccessKey, UpdateAccountPasswordPolicy,
        UpdateAssumeRolePolicy, UpdateDelegationRequest, UpdateGroup, UpdateLoginProfile,
        UpdateOpenIDConnectProviderThumbprint, UpdateRole, UpdateRoleDescription,
        UpdateSAMLProvider, UpdateSSHPublicKey, UpdateServerCertificate,
        UpdateServiceSpecificCredential, UpdateSigningCertificate, UpdateUser, UploadSSHPublicKey,
        UploadServerCertificate, UploadSigningCertificate,
    }
    ringfence_model_ringfence {
        BeginSecurityKeyRegistration, BeginSecurityKeySession, FinishSecurityKeyRegistration,
        FinishSecurityKeySession,
    }
    ringfence_model_sts {
        AssumeRole, AssumeRoleWithSAML, AssumeRoleWithWebIdentity, AssumeRoot,
        DecodeAuthorizationMessage, GetAccessKeyInfo, GetCallerIdentity, GetDelegatedAccessToken,
        GetFederationToken, GetSessionToken, GetWebIdentityToken,
    }
    ringfence_model_kms {
        CancelKeyDeletion, ConnectCustomKeyStore, CreateAlias, CreateCustomKeyStore, CreateGrant,
        CreateKey, Decapsulate, Decrypt, DeleteAlias, DeleteCustomKeyStore,
        DeleteImportedKeyMaterial, DeriveSharedSecret, DescribeCustomKeyStores, DescribeKey,
        DisableKey, DisableKeyRotation, DisconnectCustomKeyStore, EnableKey, EnableKeyRotation,
        Encapsulate, Encrypt, GenerateDataKey, GenerateDataKeyPair,
        GenerateDataKeyPairWithoutPlaintext, GenerateDataKeyWithoutPlaintext, GenerateMac,
        GenerateRandom, GetKeyLastUsage, GetKeyPolicy, GetKeyRotationStatus,
        GetParametersForImport, GetPublicKey, ImportKeyMaterial, ListAliases, ListGrants,
        ListKeyPolicies, ListKeyRotations, ListKeys, ListResourceTags, ListRetirableGrants,
        PutKeyPolicy, ReEncrypt, ReplicateKey, RetireGrant, RevokeGrant, RotateKeyOnDemand,
        ScheduleKeyDeletion, Sign, TagResource, UntagResource, UpdateAlias, UpdateCustomKeyStore,
        UpdateKeyDescription, UpdatePrimaryRegion, Verify, VerifyMac,
    }
}
