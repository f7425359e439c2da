//! An account as a whole: what it holds.

use crate::Iam;
use crate::state::Account;
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::GetAccountSummaryResponse;
use ringfence_wire::ServiceError;
use ringfence_wire::value::Map;

/// Versions of managed policies that an account may have together.
const POLICY_VERSIONS: usize = 10_000;

pub(crate) async fn get_account_summary(
    iam: &Iam,
    call: Call<ops::GetAccountSummary>,
) -> Result<Answer<GetAccountSummaryResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    let summary = summary(iam, &ledger.view(&permit));
    Ok(permit.answer(GetAccountSummaryResponse { summary_map: Some(summary) }))
}

fn summary(iam: &Iam, account: &Account) -> Map<i32> {
    let quotas = &iam.quotas;
    let versions = account.policies.values().map(|policy| policy.versions.len()).sum();
    let root_password = account.root.as_ref().is_some_and(|root| root.credentials.login.is_some());
    let root_mfa = account.root.as_ref().map_or(0, |root| root.credentials.mfa.len());
    let tokens = account.mfa_tokens.keys().filter(|serial| account.mfa_owner(serial).is_some());
    let tokens = tokens.count();
    let root_keys = account.root.as_ref().map_or(0, |root| root.credentials.keys.len());
    let root_certificates =
        account.root.as_ref().map_or(0, |root| root.credentials.certificates.len());
    [
        ("Users", account.users.len()),
        ("UsersQuota", quotas.users),
        ("Groups", account.groups.len()),
        ("GroupsQuota", quotas.groups),
        ("Roles", account.roles.len()),
        ("RolesQuota", quotas.roles),
        ("Policies", account.policies.len()),
        ("PoliciesQuota", quotas.policies),
        ("PolicyVersionsInUse", versions),
        ("PolicyVersionsInUseQuota", POLICY_VERSIONS),
        ("ServerCertificates", account.server_certificates.len()),
        ("ServerCertificatesQuota", quotas.server_certificates),
        ("SigningCertificatesPerUserQuota", quotas.signing_certificates),
        ("AccountSigningCertificatesPresent", usize::from(root_certificates > 0)),
        ("InstanceProfiles", account.profiles.len()),
        ("InstanceProfilesQuota", quotas.instance_profiles),
        ("Providers", account.oidc_providers.len() + account.saml_providers.len()),
        ("AccountAccessKeysPresent", usize::from(root_keys > 0)),
        ("AccessKeysPerUserQuota", quotas.access_keys),
        ("GroupsPerUserQuota", quotas.groups_per_user),
        ("AttachedPoliciesPerUserQuota", quotas.attached_policies),
        ("AttachedPoliciesPerGroupQuota", quotas.attached_policies),
        ("AttachedPoliciesPerRoleQuota", quotas.attached_policies),
        ("PolicySizeQuota", quotas.policy_size),
        ("VersionsPerPolicyQuota", quotas.policy_versions),
        ("UserPolicySizeQuota", quotas.user_policy_size),
        ("GroupPolicySizeQuota", quotas.group_policy_size),
        ("RolePolicySizeQuota", quotas.role_policy_size),
        ("AssumeRolePolicySizeQuota", quotas.trust_policy_size),
        ("GlobalEndpointTokenVersion", account.settings.token_version.number()),
        ("AccountPasswordPresent", usize::from(root_password)),
        // A token that nobody uses yet is no device of the account.
        ("MFADevices", account.mfa_devices.len() + tokens + account.security_keys.len()),
        ("MFADevicesInUse", account.mfa_in_use()),
        ("AccountMFAEnabled", usize::from(root_mfa > 0)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), i32::try_from(value).unwrap_or(i32::MAX)))
    .collect()
}
