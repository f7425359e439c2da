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
    Alike, Credentials, Group, KeyId, OidcProvider, Permissions, Policy, Profile, Record, Role,
    Root, SamlProvider, UniqueId, Used, User,
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

    /// Gives out what others hold already in place of the same.
    fn share(&mut self, permissions: &mut Permissions) {
        let Some(own) = permissions.alike() else { return };
        let Some((known, holders)) = self.held.get_key_value(&own) else {
            self.held.insert(own, 1);
            return;
        };
        let (known, holders) = (known.clone(), holders + 1);
        *permissions = known.clone().into();
        self.held.insert(known, holders);
    }

    /// Takes back what was given out.
    fn unshare(&mut self, permissions: &Permissions) {
        let Some(own) = permissions.alike() else { return };
        match self.held.get(&own) {
            Some(holders) if *holders > 1 => {
                let holders = holders - 1;
                self.held.insert(own, holders);
            }
            _ => drop(self.held.remove(&own)),
        }
    }

    fn index_user(&mut self, key: &Arc<str>, user: &User, on: bool) {
        for access_key in &user.credentials.keys {
            set(&mut self.keys, access_key.id, Some(key.clone()), on);
        }
        for enabled in &user.credentials.mfa {
            set(&mut self.mfa, enabled.serial.clone(), Some(key.clone()), on);
        }
        for ssh_key in &user.credentials.ssh_keys {
            set(&mut self.ssh_keys, ssh_key.id, key.clone(), on);
        }
        self.index_certificates(&user.credentials, on);
        for one in &user.credentials.service_credentials {
            let name = (one.service.clone(), one.name.clone());
            set(&mut self.service_credentials, name, key.clone(), on);
        }
        for group in &user.groups {
            member(&mut self.members, group, key, on);
        }
        if user.renamed {
            set(&mut self.renamed, user.id, key.clone(), on);
        }
        self.index_uses(&user.permissions, key, on, |uses| {
            (&mut uses.users, Some(&mut uses.bounded_users))
        });
    }

    fn index_group(&mut self, key: &Arc<str>, group: &Group, on: bool) {
        set(&mut self.group_names, group.id, key.clone(), on);
        self.index_uses(&group.permissions, key, on, |uses| (&mut uses.groups, None));
    }

    fn index_role(&mut self, key: &Arc<str>, role: &Role, on: bool) {
        self.index_uses(&role.permissions, key, on, |uses| {
            (&mut uses.roles, Some(&mut uses.bounded_roles))
        });
    }

    #[allow(clippy::type_complexity)]
    fn index_uses(
        &mut self,
        permissions: &Permissions,
        key: &Arc<str>,
        on: bool,
        sets: fn(&mut Uses) -> (&mut OrdSet<Arc<str>>, Option<&mut OrdSet<Arc<str>>>),
    ) {
        if !on {
            self.unshare(permissions);
        }
        let mut note = |arn: &Arc<str>, bounds: bool| {
            let uses = self.uses.entry(arn.clone()).or_default();
            let (attached, bounded) = sets(uses);
            if let Some(set) = if bounds { bounded } else { Some(attached) } {
                if on {
                    set.insert(key.clone());
                } else {
                    set.remove(key);
                }
            }
            if uses.attachments() + uses.boundaries() == 0 {
                self.uses.remove(arn);
            }
        };
        for arn in &permissions.attached {
            note(arn, false);
        }
        if let Some(arn) = &permissions.boundary {
            note(arn, true);
        }
    }

    fn index_root(&mut self, root: &Root, on: bool) {
        for key in &root.credentials.keys {
            set(&mut self.keys, key.id, None, on);
        }
        for enabled in &root.credentials.mfa {
            set(&mut self.mfa, enabled.serial.clone(), None, on);
        }
        self.index_certificates(&root.credentials, on);
    }

    fn index_certificates(&mut self, credentials: &Credentials, on: bool) {
        for certificate in &credentials.certificates {
            if on {
                self.signing_certificates.insert(certificate.fingerprint.clone());
            } else {
                self.signing_certificates.remove(&certificate.fingerprint);
            }
        }
    }

    fn index_profile(&mut self, key: &Arc<str>, profile: &Profile, on: bool) {
        if let Some(role) = &profile.role {
            member(&mut self.profiles_of, role, key, on);
        }
    }
}

fn set<K: Ord + Clone, V: Clone>(map: &mut OrdMap<K, V>, key: K, value: V, on: bool) {
    if on {
        map.insert(key, value);
    } else {
        map.remove(&key);
    }
}

fn member<K: Ord + Clone>(
    map: &mut OrdMap<K, OrdSet<Arc<str>>>,
    set: &K,
    member: &Arc<str>,
    on: bool,
) {
    if on {
        map.entry(set.clone()).or_default().insert(member.clone());
    } else if let Some(members) = map.get_mut(set) {
        members.remove(member);
        if members.is_empty() {
            map.remove(set);
        }
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
mod tests {
    use super::*;
    use crate::linked_roles::deletion::Stage;
    use crate::mfa::Enabled;
    use crate::records::{Held, Proofs};
    use crate::testing::{
        ID, delegation_request, group, holding, key, login, mfa_device, oidc_provider, policy,
        proofs, role, saml_provider, security_key, server_certificate, settings, unique, user,
    };

    const POLICY: &str = "arn:aws:iam::123456789012:policy/p";

    fn permissions(attached: &[&str], boundary: Option<&str>) -> Permissions {
        Permissions::from(Held {
            inline: Box::default(),
            attached: attached.iter().map(|arn| Arc::from(*arn)).collect(),
            boundary: boundary.map(Arc::from),
        })
    }

    #[test]
    fn names_are_found_whatever_their_case() {
        let mut account = Account::default();
        account.put(User::record(Arc::new(user("Ann", "/", "AIDA1"))));
        assert_eq!(&*User::get(&account, "ANN").unwrap().name, "Ann");
        assert!(User::find(&account, "an").is_none());
        assert_eq!(
            Account::key(&User::record(Arc::new(user("Ann", "/", "AIDA1")))),
            "iam/user/ann"
        );
    }

    #[test]
    fn uses_of_a_policy_follow_attachments_and_boundaries() {
        let mut account = Account::default();
        let bound =
            User { permissions: permissions(&[POLICY], Some(POLICY)), ..user("a", "/", "AIDA1") };
        account.put(User::record(Arc::new(bound)));
        account.put(Group::record(Arc::new(Group {
            permissions: permissions(&[POLICY], None),
            ..group("g", "AGPA1")
        })));
        account.put(Role::record(Arc::new(Role {
            permissions: permissions(&[POLICY], None),
            ..role("r", "/", "AROA1")
        })));
        let uses = account.uses(POLICY).unwrap();
        assert_eq!((uses.attachments(), uses.boundaries()), (3, 1));

        let loose = User { permissions: permissions(&[], Some(POLICY)), ..user("a", "/", "AIDA1") };
        account.put(User::record(Arc::new(loose)));
        account.delete("iam/role/r");
        let uses = account.uses(POLICY).unwrap();
        assert_eq!((uses.attachments(), uses.boundaries()), (1, 1));

        account.delete("iam/user/a");
        account.delete("iam/group/g");
        assert!(account.uses(POLICY).is_none());
    }

    #[test]
    fn what_many_hold_is_kept_once_and_until_the_last_lets_go() {
        let mut account = Account::default();
        let names = ["a", "b", "c"];
        for (name, id) in names.iter().zip(["AIDA1", "AIDA2", "AIDA3"]) {
            let held = permissions(&[POLICY], Some(POLICY));
            account.put(User::record(Arc::new(User { permissions: held, ..user(name, "/", id) })));
        }
        let of =
            |account: &Account, name: &str| User::get(account, name).unwrap().permissions.clone();
        let address = |account: &Account, name: &str| std::ptr::from_ref(&*of(account, name));
        assert_eq!(address(&account, "a"), address(&account, "c"));
        assert_eq!(account.held.values().copied().collect::<Vec<_>>(), [3]);

        // Who changes what it holds has its own from then on.
        let mut changed = user("b", "/", "AIDA2");
        changed.permissions = of(&account, "b");
        changed.permissions.boundary = None;
        account.put(User::record(Arc::new(changed)));
        assert!(of(&account, "b").boundary.is_none() && of(&account, "a").boundary.is_some());
        assert_eq!(account.held.values().copied().collect::<Vec<_>>(), [1, 2]);
        for name in names {
            account.delete(&format!("iam/user/{name}"));
        }
        assert!(account.held.is_empty());
    }

    #[test]
    fn members_and_keys_follow_a_rename_of_user_and_group() {
        let mut account = Account::default();
        account.put(Group::record(Arc::new(group("g", "AGPA1"))));
        let ann = User {
            groups: [unique("AGPA1")].into(),
            credentials: holding([key(1)]),
            ..user("ann", "/", "AIDA1")
        };
        account.put(User::record(Arc::new(ann.clone())));
        account.delete("iam/user/ann");
        account.put(User::record(Arc::new(User { name: "eve".into(), ..ann })));
        account.delete("iam/group/g");
        account.put(Group::record(Arc::new(group("h", "AGPA1"))));

        let members: Vec<&str> = account.members("AGPA1").unwrap().iter().map(|m| &**m).collect();
        assert_eq!(members, ["eve"]);
        assert_eq!(&*account.group("AGPA1").unwrap().name, "h");
        let owner = account.key_owner(&key(1).id).unwrap().unwrap();
        assert_eq!(&*owner.name, "eve");
    }

    #[test]
    fn a_key_that_is_removed_is_nobodys() {
        let mut account = Account::default();
        let root = Root { name: "a".into(), created: 0, credentials: holding([key(1), key(2)]) };
        account.put(Record::Account(Arc::new(root.clone())));
        assert!(matches!(account.key_owner(&key(1).id), Some(None)));
        account.put(Record::Account(Arc::new(Root { credentials: holding([key(2)]), ..root })));
        assert!(account.key_owner(&key(1).id).is_none());
        assert!(account.key_owner(&key(2).id).is_some());
    }

    #[test]
    fn whose_an_mfa_device_is_follows_a_rename_and_ends_with_it() {
        let mut account = Account::default();
        let serial = "GAHT12345678";
        let enabled: Box<[Enabled]> = [Enabled { serial: serial.into(), at: 1 }].into();
        let mut ann = user("ann", "/", "AIDA1");
        ann.credentials.mfa = enabled.clone();
        account.put(User::record(Arc::new(ann.clone())));
        account.delete("iam/user/ann");
        assert!(account.mfa_owner(serial).is_none());
        account.put(User::record(Arc::new(User { name: "eve".into(), ..ann.clone() })));
        assert_eq!(&*account.mfa_owner(serial).unwrap().unwrap().name, "eve");
        ann.credentials.mfa = Box::default();
        account.put(User::record(Arc::new(User { name: "eve".into(), ..ann })));
        assert!(account.mfa_owner(serial).is_none() && account.mfa_in_use() == 0);

        let credentials = Proofs { mfa: enabled, ..Proofs::default() }.into();
        let root = Root { name: "a".into(), created: 0, credentials };
        account.put(Record::Account(Arc::new(root)));
        assert!(matches!(account.mfa_owner(serial), Some(None)));
    }

    #[test]
    fn a_security_key_is_found_by_what_it_calls_its_key_pair_while_it_is_there() {
        let mut account = Account::default();
        let key = security_key("ann", b"id");
        let record = Record::SecurityKey(Arc::new(key.clone()));
        account.put(record.clone());
        account.put(Record::SecurityKey(Arc::new(SecurityKey { counter: 7, ..key })));
        assert_eq!(account.security_key(b"id").unwrap().counter, 7);
        assert!(account.security_key(b"i").is_none());
        account.delete(&Account::key(&record));
        assert!(account.security_key(b"id").is_none() && account.security_keys.is_empty());
    }

    #[test]
    fn a_roles_instance_profiles_are_known() {
        let mut account = Account::default();
        let profile = |role: Option<&str>| Profile {
            name: "web".into(),
            path: "/".into(),
            id: unique("AIPA1"),
            created: 0,
            role: role.map(Arc::from),
            tags: Arc::default(),
        };
        account.put(Profile::record(Arc::new(profile(Some("r")))));
        assert_eq!(account.profiles_of("r").unwrap().len(), 1);
        account.put(Profile::record(Arc::new(profile(None))));
        assert!(account.profiles_of("r").is_none());
    }

    #[test]
    fn every_record_reads_back_what_it_wrote() {
        let mut tagged = user("Ann", "/dev/", "AIDA1");
        tagged.tags = Arc::new([("k".to_owned(), "v".to_owned())].into());
        tagged.credentials = holding([key(1)]);
        tagged.credentials.login = Some(Arc::new(login()));
        tagged.credentials.mfa = [Enabled { serial: "GAHT12345678".into(), at: 1 }].into();
        tagged.permissions = permissions(&[POLICY], Some(POLICY));
        let used = Used {
            id: "AROA1".into(),
            role: Some("r".into()),
            at: 1,
            service: "s".into(),
            region: "r".into(),
        };
        for record in [
            User::record(Arc::new(tagged)),
            Group::record(Arc::new(group("g", "AGPA1"))),
            Role::record(Arc::new(role("r", "/", "AROA1"))),
            Policy::record(Arc::new(policy("p"))),
            Record::Account(Arc::new(Root {
                name: "a".into(),
                created: 0,
                credentials: holding([key(1)]),
            })),
            Record::Settings(Arc::new(settings())),
            Record::MfaDevice(Arc::new(mfa_device("Ann"))),
            Record::MfaToken(Arc::new(Token {
                serial: "GAHT12345678".into(),
                imported: 1,
                totp: mfa_device("t").totp,
            })),
            Record::SecurityKey(Arc::new(security_key("ann", b"id"))),
            Record::Used(Arc::new(used)),
            User::record(Arc::new(User { credentials: proofs(), ..user("eve", "/", "AIDA2") })),
            Record::Account(Arc::new(Root { name: "a".into(), created: 0, credentials: proofs() })),
            Record::ServerCertificate(Arc::new(server_certificate("c"))),
            Record::OidcProvider(Arc::new(oidc_provider("a.example.com/B"))),
            Record::SamlProvider(Arc::new(saml_provider("Idp"))),
            Record::RoleDeletion(Arc::new(RoleDeletion {
                stage: Stage::Failed { at: 2, reason: "r".into(), usage: Vec::new() },
                ..RoleDeletion::new("id".into(), "s", &role("r", "/", "AROA1"), 1)
            })),
            Record::DelegationRequest(Arc::new(delegation_request("0-0-0-0-123456789012", ID))),
            Record::TokenIssuer(Arc::new(TokenIssuer::new("id".into(), &[], 1))),
        ] {
            let bytes = rmp_serde::to_vec_named(&record).unwrap();
            let read: Record = rmp_serde::from_slice(&bytes).unwrap();
            assert_eq!(rmp_serde::to_vec_named(&read).unwrap(), bytes);
            assert_eq!(Account::key(&read), Account::key(&record));
        }
    }

    #[test]
    fn a_record_of_before_there_were_other_proofs_reads() {
        #[derive(serde::Serialize)]
        struct Old<'a> {
            name: &'a str,
            path: &'a str,
            id: &'a str,
            created: i64,
            keys: [crate::records::AccessKey; 1],
        }
        #[derive(serde::Serialize)]
        enum OldRecord<'a> {
            User(Old<'a>),
        }
        let old = Old { name: "ann", path: "/", id: "AIDA1", created: 1, keys: [key(1)] };
        let bytes = rmp_serde::to_vec_named(&OldRecord::User(old)).unwrap();
        let Ok(Record::User(user)) = rmp_serde::from_slice(&bytes) else { panic!("no user") };
        assert_eq!(user.credentials.keys.len(), 1);
        assert!(user.credentials.ssh_keys.is_empty());
    }

    #[test]
    fn what_proves_a_user_is_found_while_it_is_there() {
        let mut account = Account::default();
        let ann = User { credentials: proofs(), ..user("Ann", "/", "AIDA1") };
        account.put(User::record(Arc::new(ann.clone())));
        let (service, name) = ("bedrock.amazonaws.com", "ann-at-123456789012");
        let owner = |account: &Account| {
            account.service_credential_owner(service, name).map(|user| user.name.to_string())
        };
        assert_eq!(owner(&account).as_deref(), Some("Ann"));
        assert!(account.service_credential_owner("logs.amazonaws.com", name).is_none());
        assert!(account.has_signing_certificate("aa"));
        let ssh_key = ann.credentials.ssh_keys[0].id;
        assert_eq!(&*account.ssh_key_owner(&ssh_key).unwrap().name, "Ann");

        account.delete("iam/user/ann");
        account.put(User::record(Arc::new(User { name: "eve".into(), ..ann })));
        assert_eq!(owner(&account).as_deref(), Some("eve"));
        account.put(User::record(Arc::new(user("eve", "/", "AIDA1"))));
        assert!(owner(&account).is_none() && !account.has_signing_certificate("aa"));
        assert!(account.ssh_key_owner(&ssh_key).is_none());

        let root = Root { name: "a".into(), created: 0, credentials: proofs() };
        account.put(Record::Account(Arc::new(root)));
        assert!(account.has_signing_certificate("aa"));
        account.put(Record::ServerCertificate(Arc::new(server_certificate("Web"))));
        assert!(ServerCertificate::find(&account, "WEB").is_some());
        account.delete("iam/server-certificate/web");
        assert!(ServerCertificate::find(&account, "web").is_none());
    }

    #[test]
    fn no_secret_is_in_the_debug_of_a_record() {
        let shown = format!("{:?} {:?}", server_certificate("c"), proofs());
        assert!(!shown.contains("the private key") && !shown.contains("a proof"));
        assert!(!shown.contains(&format!("{:?}", b"a proof")));
        let user = User { credentials: holding([key(1)]), ..user("ann", "/", "AIDA1") };
        let secret = user.credentials.keys[0].secret.expose().to_owned();
        assert!(!format!("{:?}", User::record(Arc::new(user))).contains(&secret));
    }

    #[test]
    fn providers_are_found_by_url_in_its_own_case_and_by_name_in_any() {
        let mut account = Account::default();
        account.put(Record::OidcProvider(Arc::new(oidc_provider("a.example.com/B"))));
        account.put(Record::SamlProvider(Arc::new(saml_provider("Idp"))));
        assert!(OidcProvider::find(&account, "a.example.com/B").is_some());
        assert!(OidcProvider::find(&account, "a.example.com/b").is_none());
        assert!(SamlProvider::find(&account, "IDP").is_some());
        account.delete("iam/oidc-provider/a.example.com/B");
        account.delete("iam/saml-provider/idp");
        assert!(account.oidc_providers.is_empty() && account.saml_providers.is_empty());
    }

    #[test]
    fn no_private_key_is_in_the_debug_of_a_provider() {
        let provider = saml_provider("Idp");
        let key = provider.private_keys[0].key.expose().to_owned();
        assert!(!format!("{:?}", Record::SamlProvider(Arc::new(provider))).contains(&key));
    }

    #[test]
    fn an_arn_follows_path_and_name() {
        assert_eq!(user("Ann", "/dev/", "AIDA1").arn(ID), "arn:aws:iam::123456789012:user/dev/Ann");
        assert_eq!(role("r", "/", "AROA1").arn(ID), "arn:aws:iam::123456789012:role/r");
    }

    #[test]
    fn a_user_takes_little_room() {
        // Of 100,000 users without keys and policies, loaded in order, each took 277 bytes.
        assert!(size_of::<User>() <= 112, "{}", size_of::<User>());
    }
}
