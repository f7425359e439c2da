//! An account's state: its records, the keys they are stored under, and what is derived from them.
//!
//! | key | record |
//! |---|---|
//! | `iam/account` | the account's name and its root user's credentials |
//! | `iam/settings` | its alias, password policy, properties and preferences |
//! | `iam/user/NAME` … `group`, `role`, `policy`, `profile` | one entity, its name in lower case |
//! | `iam/mfa/NAME` | a virtual MFA device, its name in lower case |
//! | `iam/mfa-token/SERIAL` | a hardware token |
//! | `iam/security-key/SERIAL` | a security key or passkey |
//! | `iam/oidc-provider/URL` | an OpenID Connect provider, its URL without scheme |
//! | `iam/saml-provider/NAME` | a SAML provider |
//! | `iam/used/ID` | the last use of an access key or role |
//! | `iam/role-deletion/UUID` | a task that deletes a service-linked role |
//! | `iam/token-issuer` | the account as an issuer of tokens, with its signing keys |
//! | `iam/server-certificate/NAME` | a server certificate, its name in lower case |
//! | `iam/delegation-request/ID` | a delegation request that the account made |
//!
//! Access keys, group membership, inline policies and attachments lie in their user, group or
//! role, so that what a request changes is one record. Membership is by the group's unique id and
//! attachment by the policy's ARN, so that neither follows a rename. The indexes below are derived
//! when a record comes in, and never stored.

mod indexes;

use crate::delegation;
use crate::delegation::records::DelegationRequest;
use crate::documents::IdentityPolicy;
use crate::entity::Entity;
use crate::issuer_records::TokenIssuer;
use crate::key_records::ServerCertificate;
use crate::linked_roles::deletion::RoleDeletion;
use crate::mfa::{Device, SecurityKey, Token};
use crate::names::folded;
use crate::records::{
    Alike, Group, KeyId, OidcProvider, Policy, Profile, Record, Role, Root, SamlProvider, UniqueId,
    Used, User,
};
use crate::settings::Settings;
use imbl::{OrdMap, OrdSet};
use ringfence_gateway::State;
use ringfence_policy::Document;
use std::sync::Arc;

/// Entities by folded name.
pub(crate) type Names<T> = OrdMap<Arc<str>, Arc<T>>;

/// Who uses a managed policy, by folded name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uses {
    pub users: OrdSet<Arc<str>>,
    pub groups: OrdSet<Arc<str>>,
    pub roles: OrdSet<Arc<str>>,
    pub bounded_users: OrdSet<Arc<str>>,
    pub bounded_roles: OrdSet<Arc<str>>,
}

impl Uses {
    /// How many it is attached to.
    pub fn attachments(&self) -> usize {
        self.users.len() + self.groups.len() + self.roles.len()
    }

    /// How many it bounds.
    pub fn boundaries(&self) -> usize {
        self.bounded_users.len() + self.bounded_roles.len()
    }
}

/// An account. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Account {
    pub(crate) root: Option<Arc<Root>>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) users: Names<User>,
    pub(crate) groups: Names<Group>,
    pub(crate) roles: Names<Role>,
    pub(crate) policies: Names<Policy>,
    pub(crate) profiles: Names<Profile>,
    pub(crate) mfa_devices: Names<Device>,
    /// Hardware tokens, by serial number.
    pub(crate) mfa_tokens: OrdMap<Arc<str>, Arc<Token>>,
    /// Security keys, by serial number.
    pub(crate) security_keys: OrdMap<Arc<str>, Arc<SecurityKey>>,
    pub(crate) used: OrdMap<Arc<str>, Arc<Used>>,
    pub(crate) server_certificates: Names<ServerCertificate>,
    /// By URL.
    pub(crate) oidc_providers: Names<OidcProvider>,
    pub(crate) saml_providers: Names<SamlProvider>,
    /// By their UUIDs.
    pub(crate) role_deletions: OrdMap<Arc<str>, Arc<RoleDeletion>>,
    /// By id.
    pub(crate) delegation_requests: Names<DelegationRequest>,
    /// The ids of delegation requests whose topics have not heard all.
    pub(crate) noticing: OrdSet<Arc<str>>,
    pub(crate) token_issuer: Option<Arc<TokenIssuer>>,
    /// Access key → its user's folded name; `None` for root's.
    keys: OrdMap<KeyId, Option<Arc<str>>>,
    /// Serial number of an enabled MFA device → its user's folded name; `None` for root's.
    mfa: OrdMap<Arc<str>, Option<Arc<str>>>,
    /// What a security key calls its key pair → its serial number.
    credential_ids: OrdMap<Arc<[u8]>, Arc<str>>,
    /// Group's unique id → its folded name.
    group_names: OrdMap<UniqueId, Arc<str>>,
    /// Group's unique id → its members' folded names.
    members: OrdMap<UniqueId, OrdSet<Arc<str>>>,
    /// Policy's ARN → who uses it.
    uses: OrdMap<Arc<str>, Uses>,
    /// Managed policies and boundaries that are held → by how many. Whoever holds them has them from
    /// here, so that they are kept once.
    held: OrdMap<Alike, usize>,
    /// Role's folded name → its instance profiles' folded names.
    profiles_of: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// Unique ids of users that once had another name → their folded names.
    renamed: OrdMap<UniqueId, Arc<str>>,
    /// SSH public key → its user's folded name.
    ssh_keys: OrdMap<KeyId, Arc<str>>,
    /// Fingerprints of signing certificates.
    signing_certificates: OrdSet<Arc<str>>,
    /// Service and the name of a credential for it → its user's folded name.
    service_credentials: OrdMap<(Arc<str>, Arc<str>), Arc<str>>,
}

impl Account {
    /// Whose an access key is: `Some(None)` for root's.
    pub(crate) fn key_owner(&self, id: &KeyId) -> Option<Option<&Arc<User>>> {
        match self.keys.get(id)? {
            None => Some(None),
            Some(name) => Some(Some(self.users.get(name)?)),
        }
    }

    /// Whether an access key has this id.
    pub(crate) fn has_key(&self, id: &KeyId) -> bool {
        self.keys.contains_key(id)
    }

    /// Whose an MFA device is: `Some(None)` for root's, `None` for one that is not enabled.
    pub(crate) fn mfa_owner(&self, serial: &str) -> Option<Option<&Arc<User>>> {
        match self.mfa.get(serial)? {
            None => Some(None),
            Some(name) => Some(Some(self.users.get(name)?)),
        }
    }

    /// The security key that calls its key pair so.
    pub(crate) fn security_key(&self, credential_id: &[u8]) -> Option<&Arc<SecurityKey>> {
        self.security_keys.get(self.credential_ids.get(credential_id)?)
    }

    /// How many MFA devices are enabled.
    pub(crate) fn mfa_in_use(&self) -> usize {
        self.mfa.len()
    }

    /// Whose an SSH public key is.
    pub(crate) fn ssh_key_owner(&self, id: &KeyId) -> Option<&Arc<User>> {
        self.users.get(self.ssh_keys.get(id)?)
    }

    /// Whether a user, or root, has the signing certificate of this fingerprint.
    pub(crate) fn has_signing_certificate(&self, fingerprint: &str) -> bool {
        self.signing_certificates.contains(fingerprint)
    }

    /// Whose the credential for a service is that has this name.
    pub(crate) fn service_credential_owner(&self, service: &str, name: &str) -> Option<&Arc<User>> {
        self.users.get(self.service_credentials.get(&(service.into(), name.into()))?)
    }

    /// The users that have credentials for single services, by folded name.
    pub(crate) fn users_with_service_credentials(
        &self,
    ) -> impl Iterator<Item = (&Arc<str>, &Arc<User>)> {
        self.users.iter().filter(|(_, user)| !user.credentials.service_credentials.is_empty())
    }

    /// A group by its unique id.
    pub(crate) fn group(&self, id: &str) -> Option<&Arc<Group>> {
        self.groups.get(self.group_names.get(id)?)
    }

    /// A group's members, by folded name.
    pub(crate) fn members(&self, group: &str) -> Option<&OrdSet<Arc<str>>> {
        self.members.get(group)
    }

    /// Who uses a policy.
    pub(crate) fn uses(&self, arn: &str) -> Option<&Uses> {
        self.uses.get(arn)
    }

    /// The instance profiles of a role, by folded name.
    pub(crate) fn profiles_of(&self, role: &str) -> Option<&OrdSet<Arc<str>>> {
        self.profiles_of.get(role)
    }

    /// A user that once had another name, by unique id.
    pub(crate) fn renamed(&self, id: &str) -> Option<&Arc<User>> {
        self.users.get(self.renamed.get(id)?)
    }

    /// The document of a policy's default version. `arn` is one that this account attached, so
    /// its owner is this account.
    pub(crate) fn managed(&self, arn: &str) -> Option<&Arc<Document>> {
        Some(self.managed_policy(arn)?.document())
    }

    /// As [`Account::managed`], with its text.
    pub(crate) fn managed_policy(&self, arn: &str) -> Option<&IdentityPolicy> {
        let name = arn.rsplit('/').next()?;
        Some(&self.policies.get(&*folded(name))?.default_version()?.policy)
    }
}

/// The folded name as a key, the name itself where that is the same.
pub(crate) fn key_of(name: &Arc<str>) -> Arc<str> {
    match folded(name) {
        std::borrow::Cow::Borrowed(_) => name.clone(),
        std::borrow::Cow::Owned(folded) => folded.into(),
    }
}

/// The store's key of a kind's entity.
pub(crate) fn store_key(kind: &str, folded: &str) -> String {
    format!("{}{kind}/{folded}", Account::PREFIX)
}

/// The store's key of a last use.
pub(crate) fn used_key(id: &str) -> String {
    store_key("used", id)
}

impl State for Account {
    type Area = ringfence_policy::AccountId;
    type Record = Record;
    const PREFIX: &'static str = "iam/";

    fn key(record: &Record) -> String {
        match record {
            Record::Account(_) => "iam/account".into(),
            Record::Settings(_) => "iam/settings".into(),
            Record::User(user) => store_key("user", &folded(&user.name)),
            Record::Group(group) => store_key("group", &folded(&group.name)),
            Record::Role(role) => store_key("role", &folded(&role.name)),
            Record::Policy(policy) => store_key("policy", &folded(&policy.name)),
            Record::Profile(profile) => store_key("profile", &folded(&profile.name)),
            Record::MfaDevice(device) => store_key("mfa", &folded(&device.name)),
            Record::MfaToken(token) => store_key("mfa-token", &token.serial),
            Record::SecurityKey(key) => store_key("security-key", &key.serial),
            Record::Used(used) => used_key(&used.id),
            Record::ServerCertificate(one) => store_key("server-certificate", &folded(&one.name)),
            Record::OidcProvider(one) => store_key(OidcProvider::KIND, &one.url),
            Record::SamlProvider(one) => store_key(SamlProvider::KIND, &folded(&one.name)),
            Record::RoleDeletion(task) => store_key(RoleDeletion::KIND, &task.id),
            Record::DelegationRequest(one) => store_key(delegation::KIND, &one.id),
            Record::TokenIssuer(_) => "iam/token-issuer".into(),
        }
    }

    fn put(&mut self, record: Record) {
        match record {
            Record::Account(root) => {
                if let Some(old) = self.root.replace(root.clone()) {
                    self.index_root(&old, false);
                }
                self.index_root(&root, true);
            }
            Record::Settings(settings) => self.settings = settings,
            Record::TokenIssuer(issuer) => self.token_issuer = Some(issuer),
            Record::User(mut user) => {
                self.share(&mut Arc::make_mut(&mut user).permissions);
                let key = key_of(&user.name);
                if let Some(old) = self.users.insert(key.clone(), user.clone()) {
                    self.index_user(&key, &old, false);
                }
                self.index_user(&key, &user, true);
            }
            Record::Group(mut group) => {
                self.share(&mut Arc::make_mut(&mut group).permissions);
                let key = key_of(&group.name);
                if let Some(old) = self.groups.insert(key.clone(), group.clone()) {
                    self.index_group(&key, &old, false);
                }
                self.index_group(&key, &group, true);
            }
            Record::Role(mut role) => {
                self.share(&mut Arc::make_mut(&mut role).permissions);
                let key = key_of(&role.name);
                if let Some(old) = self.roles.insert(key.clone(), role.clone()) {
                    self.index_role(&key, &old, false);
                }
                self.index_role(&key, &role, true);
            }
            Record::Policy(policy) => {
                self.policies.insert(key_of(&policy.name), policy);
            }
            Record::Profile(profile) => {
                let key = key_of(&profile.name);
                if let Some(old) = self.profiles.insert(key.clone(), profile.clone()) {
                    self.index_profile(&key, &old, false);
                }
                self.index_profile(&key, &profile, true);
            }
            Record::MfaDevice(device) => {
                self.mfa_devices.insert(key_of(&device.name), device);
            }
            Record::MfaToken(token) => {
                self.mfa_tokens.insert(token.serial.clone(), token);
            }
            Record::SecurityKey(key) => {
                self.credential_ids.insert(key.credential_id.clone(), key.serial.clone());
                self.security_keys.insert(key.serial.clone(), key);
            }
            Record::Used(used) => {
                self.used.insert(used.id.clone(), used);
            }
            Record::ServerCertificate(one) => {
                self.server_certificates.insert(key_of(&one.name), one);
            }
            Record::OidcProvider(one) => {
                self.oidc_providers.insert(one.url.clone(), one);
            }
            Record::SamlProvider(one) => {
                self.saml_providers.insert(key_of(&one.name), one);
            }
            Record::RoleDeletion(task) => {
                self.role_deletions.insert(task.id.clone(), task);
            }
            Record::DelegationRequest(one) => {
                if one.notices.is_empty() {
                    self.noticing.remove(&one.id);
                } else {
                    self.noticing.insert(one.id.clone());
                }
                self.delegation_requests.insert(one.id.clone(), one);
            }
        }
    }

    fn delete(&mut self, key: &str) {
        let Some((kind, name)) =
            key.strip_prefix(Self::PREFIX).and_then(|rest| rest.split_once('/'))
        else {
            return;
        };
        match kind {
            "user" => {
                if let Some((key, user)) = self.users.remove_with_key(name) {
                    self.index_user(&key, &user, false);
                }
            }
            "group" => {
                if let Some((key, group)) = self.groups.remove_with_key(name) {
                    self.index_group(&key, &group, false);
                }
            }
            "role" => {
                if let Some((key, role)) = self.roles.remove_with_key(name) {
                    self.index_role(&key, &role, false);
                }
            }
            "policy" => drop(self.policies.remove(name)),
            "profile" => {
                if let Some((key, profile)) = self.profiles.remove_with_key(name) {
                    self.index_profile(&key, &profile, false);
                }
            }
            "mfa" => drop(self.mfa_devices.remove(name)),
            "mfa-token" => drop(self.mfa_tokens.remove(name)),
            "security-key" => {
                if let Some(key) = self.security_keys.remove(name) {
                    self.credential_ids.remove(&key.credential_id);
                }
            }
            "used" => drop(self.used.remove(name)),
            "server-certificate" => drop(self.server_certificates.remove(name)),
            OidcProvider::KIND => drop(self.oidc_providers.remove(name)),
            SamlProvider::KIND => drop(self.saml_providers.remove(name)),
            RoleDeletion::KIND => drop(self.role_deletions.remove(name)),
            delegation::KIND => {
                self.noticing.remove(name);
                self.delegation_requests.remove(name);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
