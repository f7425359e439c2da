//! How much an account may hold.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>

/// AWS's default quotas. `--quota` raises or lowers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Users of an account.
    pub users: usize,
    /// Groups of an account.
    pub groups: usize,
    /// Roles of an account.
    pub roles: usize,
    /// Customer managed policies of an account.
    pub policies: usize,
    /// Instance profiles of an account.
    pub instance_profiles: usize,
    /// Groups that one user is in.
    pub groups_per_user: usize,
    /// Managed policies attached to one user, group or role.
    pub attached_policies: usize,
    /// Access keys of one user, or of root.
    pub access_keys: usize,
    /// MFA devices of one user, or of root.
    pub mfa_devices: usize,
    /// Versions of one managed policy.
    pub policy_versions: usize,
    /// Characters of a managed policy without white space.
    pub policy_size: usize,
    /// Characters of a user's inline policies together, without white space.
    pub user_policy_size: usize,
    /// Characters of a group's.
    pub group_policy_size: usize,
    /// Characters of a role's.
    pub role_policy_size: usize,
    /// Characters of a trust policy without white space.
    pub trust_policy_size: usize,
    /// Tags of one thing.
    pub tags: usize,
    /// SSH public keys of one user.
    pub ssh_public_keys: usize,
    /// Signing certificates of one user, or of root.
    pub signing_certificates: usize,
    /// Server certificates of an account.
    pub server_certificates: usize,
    /// Credentials of one user for one service alone, for each service.
    pub service_credentials: usize,
    /// OpenID Connect providers of an account.
    pub oidc_providers: usize,
    /// SAML providers of an account.
    pub saml_providers: usize,
    /// Client ids of one OpenID Connect provider.
    pub client_ids: usize,
    /// Delegation requests of an account that have not expired. AWS names no number.
    pub delegation_requests: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            users: 5000,
            groups: 300,
            roles: 1000,
            policies: 1500,
            instance_profiles: 1000,
            groups_per_user: 10,
            attached_policies: 10,
            access_keys: 2,
            mfa_devices: 8,
            policy_versions: 5,
            policy_size: 6144,
            user_policy_size: 2048,
            group_policy_size: 5120,
            role_policy_size: 10_240,
            trust_policy_size: 2048,
            tags: 50,
            ssh_public_keys: 5,
            signing_certificates: 2,
            server_certificates: 20,
            service_credentials: 2,
            oidc_providers: 100,
            saml_providers: 100,
            client_ids: 100,
            delegation_requests: 1000,
        }
    }
}

impl Quotas {
    /// Sets a quota by its name, which is its field's with `-` for `_`; `false` where there is none
    /// of that name.
    pub fn set(&mut self, name: &str, value: usize) -> bool {
        let quota = match name {
            "users" => &mut self.users,
            "groups" => &mut self.groups,
            "roles" => &mut self.roles,
            "policies" => &mut self.policies,
            "instance-profiles" => &mut self.instance_profiles,
            "groups-per-user" => &mut self.groups_per_user,
            "attached-policies" => &mut self.attached_policies,
            "access-keys" => &mut self.access_keys,
            "mfa-devices" => &mut self.mfa_devices,
            "policy-versions" => &mut self.policy_versions,
            "policy-size" => &mut self.policy_size,
            "user-policy-size" => &mut self.user_policy_size,
            "group-policy-size" => &mut self.group_policy_size,
            "role-policy-size" => &mut self.role_policy_size,
            "trust-policy-size" => &mut self.trust_policy_size,
            "tags" => &mut self.tags,
            "ssh-public-keys" => &mut self.ssh_public_keys,
            "signing-certificates" => &mut self.signing_certificates,
            "server-certificates" => &mut self.server_certificates,
            "service-credentials" => &mut self.service_credentials,
            "oidc-providers" => &mut self.oidc_providers,
            "saml-providers" => &mut self.saml_providers,
            "client-ids" => &mut self.client_ids,
            "delegation-requests" => &mut self.delegation_requests,
            _ => return false,
        };
        *quota = value;
        true
    }
}

/// The characters of a policy that count: all but white space.
pub(crate) fn size(document: &str) -> usize {
    document.chars().filter(|c| !c.is_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_does_not_count() {
        assert_eq!(size("{ \"a\":\n\t[ ] }\r"), size("{\"a\":[]}"));
    }
}
