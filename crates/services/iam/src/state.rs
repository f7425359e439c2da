//! An account's state: its records, the keys they are stored under, and what is derived from them.
//!
//! | key | record |
//! |---|---|
//! | `iam/account` | the account's name and its root user's access keys |
//! | `iam/user/NAME` … `group`, `role`, `policy`, `profile` | one entity, its name in lower case |
//! | `iam/used/ID` | the last use of an access key or role |
//!
//! Access keys, group membership, inline policies and attachments lie in their user, group or
//! role, so that what a request changes is one record. Membership is by the group's unique id and
//! attachment by the policy's ARN, so that neither follows a rename. The indexes below are derived
//! when a record comes in, and never stored.

use crate::documents::IdentityPolicy;
use crate::entity::{Entity, Holder, Tagged};
use crate::errors;
use crate::names::{self, folded};
use crate::quotas::Quotas;
use crate::trust::TrustPolicy;
use imbl::{OrdMap, OrdSet};
use ringfence_gateway::{State, Tags};
use ringfence_keyring::{SecretString, sealed_only};
use ringfence_policy::Document;
use ringfence_wire::ServiceError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::{Arc, LazyLock};

/// Entities by folded name.
pub(crate) type Names<T> = OrdMap<Arc<str>, Arc<T>>;

/// An access key's id: twenty characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyId([u8; 20]);

impl KeyId {
    /// The id of this text; `None` where it has another length.
    pub fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes().try_into().ok()?;
        text.is_ascii().then_some(Self(bytes))
    }

    pub fn as_str(&self) -> &str {
        // INVARIANT: `new` lets ASCII alone in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| serde::de::Error::custom("no access key id"))
    }
}

/// A long-term access key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AccessKey {
    pub id: KeyId,
    #[serde(serialize_with = "write_secret", deserialize_with = "read_secret")]
    pub secret: Arc<SecretString>,
    pub active: bool,
    pub created: i64,
}

fn write_secret<S: Serializer>(secret: &Arc<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    sealed_only::serialize(&**secret, to)
}

fn read_secret<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<SecretString>, D::Error> {
    sealed_only::deserialize::<SecretString, D>(from).map(Arc::new)
}

/// The account itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Root {
    pub name: String,
    pub created: i64,
    #[serde(default)]
    pub keys: Box<[AccessKey]>,
}

/// An inline policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Inline {
    pub name: Arc<str>,
    pub policy: IdentityPolicy,
}

/// What a user, group or role holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Permissions {
    /// Inline policies, by name.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub inline: Box<[Inline]>,
    /// ARNs of managed policies, in the order of their attachment.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub attached: Box<[Arc<str>]>,
    /// ARN of the permissions boundary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<Arc<str>>,
}

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct User {
    pub name: Arc<str>,
    #[serde(deserialize_with = "read_path")]
    pub path: Arc<str>,
    pub id: Arc<str>,
    pub created: i64,
    #[serde(
        default = "no_tags",
        deserialize_with = "read_tags",
        skip_serializing_if = "is_untagged"
    )]
    pub tags: Arc<Tags>,
    #[serde(default)]
    pub permissions: Permissions,
    /// Unique ids of its groups.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub groups: Box<[Arc<str>]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub keys: Box<[AccessKey]>,
    /// It once had another name: trust policies may still name it by that.
    #[serde(default)]
    pub renamed: bool,
}

/// A group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    pub name: Arc<str>,
    #[serde(deserialize_with = "read_path")]
    pub path: Arc<str>,
    pub id: Arc<str>,
    pub created: i64,
    #[serde(default)]
    pub permissions: Permissions,
}

/// A role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Role {
    pub name: Arc<str>,
    #[serde(deserialize_with = "read_path")]
    pub path: Arc<str>,
    pub id: Arc<str>,
    pub created: i64,
    pub trust: TrustPolicy,
    #[serde(default)]
    pub description: Option<Box<str>>,
    pub max_session_duration: i32,
    #[serde(
        default = "no_tags",
        deserialize_with = "read_tags",
        skip_serializing_if = "is_untagged"
    )]
    pub tags: Arc<Tags>,
    #[serde(default)]
    pub permissions: Permissions,
}

/// A customer managed policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Policy {
    pub name: Arc<str>,
    #[serde(deserialize_with = "read_path")]
    pub path: Arc<str>,
    pub id: Arc<str>,
    pub created: i64,
    pub updated: i64,
    #[serde(default)]
    pub description: Option<Box<str>>,
    /// In the order of their numbers.
    pub versions: Vec<PolicyVersion>,
    /// The number of the default version.
    pub default: u32,
    /// The number that the next version gets: none is used twice.
    pub next: u32,
    #[serde(
        default = "no_tags",
        deserialize_with = "read_tags",
        skip_serializing_if = "is_untagged"
    )]
    pub tags: Arc<Tags>,
}

/// A version of a managed policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PolicyVersion {
    pub number: u32,
    pub created: i64,
    pub policy: IdentityPolicy,
}

impl Policy {
    /// The default version.
    pub fn default_version(&self) -> Option<&PolicyVersion> {
        self.version(self.default)
    }

    /// A version by number.
    pub fn version(&self, number: u32) -> Option<&PolicyVersion> {
        self.versions.iter().find(|version| version.number == number)
    }
}

/// An instance profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Profile {
    pub name: Arc<str>,
    #[serde(deserialize_with = "read_path")]
    pub path: Arc<str>,
    pub id: Arc<str>,
    pub created: i64,
    /// The folded name of its role.
    #[serde(default)]
    pub role: Option<Arc<str>>,
    #[serde(
        default = "no_tags",
        deserialize_with = "read_tags",
        skip_serializing_if = "is_untagged"
    )]
    pub tags: Arc<Tags>,
}

/// The last use of an access key or a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    /// The access key's id, or the role's unique id.
    pub id: Arc<str>,
    /// The role's folded name.
    #[serde(default)]
    pub role: Option<Arc<str>>,
    pub at: i64,
    pub service: Box<str>,
    pub region: Box<str>,
}

/// `/`, shared by all who have it.
static ROOT_PATH: LazyLock<Arc<str>> = LazyLock::new(|| "/".into());
/// No tags, shared by all who have none.
static NO_TAGS: LazyLock<Arc<Tags>> = LazyLock::new(Arc::default);

/// A path, shared where it is `/`.
pub(crate) fn shared_path(path: &str) -> Arc<str> {
    if path == "/" { ROOT_PATH.clone() } else { path.into() }
}

/// Tags, shared where there are none.
pub(crate) fn shared_tags(tags: Tags) -> Arc<Tags> {
    if tags.is_empty() { no_tags() } else { Arc::new(tags) }
}

pub(crate) fn no_tags() -> Arc<Tags> {
    NO_TAGS.clone()
}

fn is_untagged(tags: &Arc<Tags>) -> bool {
    tags.is_empty()
}

fn read_path<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
    let path = std::borrow::Cow::<'de, str>::deserialize(from)?;
    Ok(shared_path(&path))
}

fn read_tags<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Tags>, D::Error> {
    Tags::deserialize(from).map(shared_tags)
}

/// What is stored under one key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Record {
    #[doc(hidden)]
    #[allow(private_interfaces)]
    Account(Arc<Root>),
    #[doc(hidden)]
    #[allow(private_interfaces)]
    User(Arc<User>),
    #[doc(hidden)]
    #[allow(private_interfaces)]
    Group(Arc<Group>),
    #[doc(hidden)]
    #[allow(private_interfaces)]
    Role(Arc<Role>),
    #[doc(hidden)]
    #[allow(private_interfaces)]
    Policy(Arc<Policy>),
    #[doc(hidden)]
    #[allow(private_interfaces)]
    Profile(Arc<Profile>),
    #[doc(hidden)]
    #[allow(private_interfaces)]
    Used(Arc<Used>),
}

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
pub struct Account {
    pub(crate) root: Option<Arc<Root>>,
    pub(crate) users: Names<User>,
    pub(crate) groups: Names<Group>,
    pub(crate) roles: Names<Role>,
    pub(crate) policies: Names<Policy>,
    pub(crate) profiles: Names<Profile>,
    pub(crate) used: OrdMap<Arc<str>, Arc<Used>>,
    /// Access key → its user's folded name; `None` for root's.
    keys: OrdMap<KeyId, Option<Arc<str>>>,
    /// Group's unique id → its folded name.
    group_names: OrdMap<Arc<str>, Arc<str>>,
    /// Group's unique id → its members' folded names.
    members: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// Policy's ARN → who uses it.
    uses: OrdMap<Arc<str>, Uses>,
    /// Role's folded name → its instance profiles' folded names.
    profiles_of: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// Unique ids of users that once had another name → their folded names.
    renamed: OrdMap<Arc<str>, Arc<str>>,
}

impl Account {
    /// Whose an access key is: `Some(None)` for root's.
    pub(crate) fn key_owner(&self, id: &KeyId) -> Option<Option<&Arc<User>>> {
        match self.keys.get(id)? {
            None => Some(None),
            Some(name) => Some(Some(self.users.get(name)?)),
        }
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
        let name = arn.rsplit('/').next()?;
        self.policies.get(&*folded(name))?.default_version().map(|v| v.policy.document())
    }

    fn index_user(&mut self, key: &Arc<str>, user: &User, on: bool) {
        for access_key in &user.keys {
            set(&mut self.keys, access_key.id, Some(key.clone()), on);
        }
        for group in &user.groups {
            member(&mut self.members, group, key, on);
        }
        if user.renamed {
            set(&mut self.renamed, user.id.clone(), key.clone(), on);
        }
        self.index_uses(&user.permissions, key, on, |uses| {
            (&mut uses.users, Some(&mut uses.bounded_users))
        });
    }

    fn index_group(&mut self, key: &Arc<str>, group: &Group, on: bool) {
        set(&mut self.group_names, group.id.clone(), key.clone(), on);
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
        for key in &root.keys {
            set(&mut self.keys, key.id, None, on);
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

fn member(
    map: &mut OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    set: &Arc<str>,
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
    type Record = Record;
    const PREFIX: &'static str = "iam/";

    fn key(record: &Record) -> String {
        match record {
            Record::Account(_) => "iam/account".into(),
            Record::User(user) => store_key("user", &folded(&user.name)),
            Record::Group(group) => store_key("group", &folded(&group.name)),
            Record::Role(role) => store_key("role", &folded(&role.name)),
            Record::Policy(policy) => store_key("policy", &folded(&policy.name)),
            Record::Profile(profile) => store_key("profile", &folded(&profile.name)),
            Record::Used(used) => used_key(&used.id),
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
            Record::User(user) => {
                let key = key_of(&user.name);
                if let Some(old) = self.users.insert(key.clone(), user.clone()) {
                    self.index_user(&key, &old, false);
                }
                self.index_user(&key, &user, true);
            }
            Record::Group(group) => {
                let key = key_of(&group.name);
                if let Some(old) = self.groups.insert(key.clone(), group.clone()) {
                    self.index_group(&key, &old, false);
                }
                self.index_group(&key, &group, true);
            }
            Record::Role(role) => {
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
            Record::Used(used) => {
                self.used.insert(used.id.clone(), used);
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
            "used" => drop(self.used.remove(name)),
            _ => {}
        }
    }
}

macro_rules! entity {
    ($type:ident, $kind:literal, $all:ident, $record:ident { $($more:tt)* }) => {
        impl Entity for $type {
            const KIND: &'static str = $kind;
            fn all(account: &Account) -> &Names<Self> { &account.$all }
            fn record(this: Arc<Self>) -> Record { Record::$record(this) }
            fn name(&self) -> &Arc<str> { &self.name }
            fn path(&self) -> &str { &self.path }
            fn id(&self) -> &str { &self.id }
            $($more)*
        }
    };
}

entity!(User, "user", users, User {
    fn tags(&self) -> Option<&Arc<Tags>> { Some(&self.tags) }
    fn boundary(&self) -> Option<&Arc<str>> { self.permissions.boundary.as_ref() }
});
entity!(Group, "group", groups, Group {
    fn tags(&self) -> Option<&Arc<Tags>> { None }
});
entity!(Role, "role", roles, Role {
    fn tags(&self) -> Option<&Arc<Tags>> { Some(&self.tags) }
    fn boundary(&self) -> Option<&Arc<str>> { self.permissions.boundary.as_ref() }
    fn modifiable(&self) -> Result<(), ServiceError> {
        if self.is_service_linked() { Err(errors::protected_role(&self.name)) } else { Ok(()) }
    }
});
entity!(Policy, "policy", policies, Policy {
    fn tags(&self) -> Option<&Arc<Tags>> { Some(&self.tags) }
});
entity!(Profile, "instance-profile", profiles, Profile {
    fn tags(&self) -> Option<&Arc<Tags>> { Some(&self.tags) }
    fn missing(name: &str) -> ServiceError { errors::no_such_profile(name) }
});

impl Role {
    /// Whether a service owns it.
    pub fn is_service_linked(&self) -> bool {
        self.path.starts_with(names::SERVICE_LINKED)
    }
}

macro_rules! holder {
    ($type:ident, $attached:literal, $quota:ident) => {
        impl Holder for $type {
            const ATTACHED_QUOTA: &'static str = $attached;
            fn permissions(&self) -> &Permissions {
                &self.permissions
            }
            fn permissions_mut(&mut self) -> &mut Permissions {
                &mut self.permissions
            }
            fn inline_quota(quotas: &Quotas) -> usize {
                quotas.$quota
            }
        }
    };
}

holder!(User, "PoliciesPerUser", user_policy_size);
holder!(Group, "PoliciesPerGroup", group_policy_size);
holder!(Role, "PoliciesPerRole", role_policy_size);

macro_rules! tagged {
    ($type:ident, $folded:literal) => {
        impl Tagged for $type {
            const FOLDED: bool = $folded;
            fn tags_mut(&mut self) -> &mut Arc<Tags> {
                &mut self.tags
            }
        }
    };
}

// Users and roles fold the case of tag keys, the others do not.
// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html#id_tags_rules_creating>
tagged!(User, true);
tagged!(Role, true);
tagged!(Policy, false);
tagged!(Profile, false);
