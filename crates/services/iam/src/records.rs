//! What is stored: accounts and their settings, users, groups, roles, managed policies, instance profiles, last uses.

use crate::delegation::records::DelegationRequest;
use crate::documents::IdentityPolicy;
use crate::entity::{Entity, Holder, Tagged};
use crate::errors;
use crate::issuer_records::TokenIssuer;
use crate::key_records::{ServerCertificate, ServiceCredential, SigningCertificate, SshKey};
use crate::linked_roles::deletion::RoleDeletion;
use crate::mfa::{Device, Enabled, SecurityKey, Token};
use crate::names;
use crate::passwords::LoginProfile;
pub(crate) use crate::provider_records::{OidcProvider, SamlPrivateKey, SamlProvider};
use crate::quotas::Quotas;
use crate::settings::Settings;
use crate::state::{Account, Names};
use crate::trust::TrustPolicy;
use ringfence_gateway::Tags;
use ringfence_keyring::{SecretString, sealed_only};
use ringfence_wire::ServiceError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

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

/// A unique id, `AIDA…` and the like: at most 21 characters, kept in place. An account has many.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct UniqueId {
    length: u8,
    bytes: [u8; 21],
}

impl UniqueId {
    /// The id of this text; `None` where it is longer, or no ASCII.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; 21];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        text.is_ascii().then_some(Self { length: u8::try_from(text.len()).ok()?, bytes })
    }
}

impl Deref for UniqueId {
    type Target = str;

    fn deref(&self) -> &str {
        // INVARIANT: `new` lets ASCII alone in, and `length` is within.
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

// Ordered as text, so that maps are asked by text.
impl Ord for UniqueId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        str::cmp(self, other)
    }
}

impl PartialOrd for UniqueId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<str> for UniqueId {
    fn borrow(&self) -> &str {
        self
    }
}

impl fmt::Debug for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Serialize for UniqueId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for UniqueId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| serde::de::Error::custom("no unique id"))
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

pub(crate) fn write_secret<S: Serializer>(
    secret: &Arc<SecretString>,
    to: S,
) -> Result<S::Ok, S::Error> {
    sealed_only::serialize(&**secret, to)
}

pub(crate) fn read_secret<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Arc<SecretString>, D::Error> {
    sealed_only::deserialize::<SecretString, D>(from).map(Arc::new)
}

/// The account itself and its root user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Root {
    pub name: String,
    pub created: i64,
    #[serde(flatten)]
    pub credentials: Credentials,
}

/// What a user or root proves itself by: apart, for most users have none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Proofs", into = "Proofs")]
pub(crate) struct Credentials(Option<Box<Proofs>>);

/// Credentials of every kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Proofs {
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub keys: Box<[AccessKey]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Arc<LoginProfile>>,
    /// MFA devices, in the order in which they were enabled.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub mfa: Box<[Enabled]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub ssh_keys: Box<[SshKey]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub certificates: Box<[SigningCertificate]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub service_credentials: Box<[ServiceCredential]>,
}

impl From<Proofs> for Credentials {
    fn from(proofs: Proofs) -> Self {
        let Proofs { keys, login, mfa, ssh_keys, certificates, service_credentials } = &proofs;
        let nothing = keys.is_empty()
            && login.is_none()
            && mfa.is_empty()
            && ssh_keys.is_empty()
            && certificates.is_empty()
            && service_credentials.is_empty();
        Self((!nothing).then(|| Box::new(proofs)))
    }
}

impl From<Credentials> for Proofs {
    fn from(credentials: Credentials) -> Self {
        credentials.0.map(|proofs| *proofs).unwrap_or_default()
    }
}

impl Deref for Credentials {
    type Target = Proofs;

    fn deref(&self) -> &Proofs {
        static NOTHING: LazyLock<Proofs> = LazyLock::new(Proofs::default);
        self.0.as_deref().unwrap_or_else(|| &NOTHING)
    }
}

impl DerefMut for Credentials {
    fn deref_mut(&mut self) -> &mut Proofs {
        self.0.get_or_insert_default()
    }
}

/// An inline policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Inline {
    pub name: Arc<str>,
    pub policy: IdentityPolicy,
}

/// What a user, group or role holds: apart, for most users hold nothing themselves, and many the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Held", into = "Held")]
pub(crate) struct Permissions(Option<Arc<Held>>);

impl From<Held> for Permissions {
    fn from(held: Held) -> Self {
        let nothing = held.inline.is_empty() && held.attached.is_empty() && held.boundary.is_none();
        Self((!nothing).then(|| Arc::new(held)))
    }
}

impl From<Permissions> for Held {
    fn from(permissions: Permissions) -> Self {
        permissions.0.map(Arc::unwrap_or_clone).unwrap_or_default()
    }
}

impl Deref for Permissions {
    type Target = Held;

    fn deref(&self) -> &Held {
        static NOTHING: LazyLock<Held> = LazyLock::new(Held::default);
        self.0.as_deref().unwrap_or_else(|| &NOTHING)
    }
}

impl DerefMut for Permissions {
    fn deref_mut(&mut self) -> &mut Held {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl Permissions {
    /// What can be kept once for all who hold the same: managed policies and a boundary. Inline policies
    /// are everyone's own.
    pub fn alike(&self) -> Option<Alike> {
        self.0.as_ref().filter(|held| held.inline.is_empty()).map(|held| Alike(held.clone()))
    }
}

/// What several hold, ordered by what it is.
#[derive(Clone)]
pub(crate) struct Alike(Arc<Held>);

impl Alike {
    fn order(&self) -> (&[Arc<str>], Option<&Arc<str>>) {
        (&self.0.attached, self.0.boundary.as_ref())
    }
}

impl PartialEq for Alike {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Alike {}

impl PartialOrd for Alike {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alike {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl From<Alike> for Permissions {
    fn from(alike: Alike) -> Self {
        Self(Some(alike.0))
    }
}

/// Policies and the boundary of a user, group or role.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Held {
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
#[serde(from = "StoredUser", into = "StoredUser")]
pub(crate) struct User {
    pub name: Arc<str>,
    pub path: Arc<str>,
    pub id: UniqueId,
    pub created: i64,
    pub tags: Arc<Tags>,
    pub permissions: Permissions,
    /// Unique ids of its groups.
    pub groups: Box<[UniqueId]>,
    pub credentials: Credentials,
    /// It once had another name: trust policies may still name it by that.
    pub renamed: bool,
}

/// A user as it is stored: its credentials beside the rest.
#[derive(Serialize, Deserialize)]
struct StoredUser {
    name: Arc<str>,
    #[serde(deserialize_with = "read_path")]
    path: Arc<str>,
    id: UniqueId,
    created: i64,
    #[serde(
        default = "no_tags",
        deserialize_with = "read_tags",
        skip_serializing_if = "is_untagged"
    )]
    tags: Arc<Tags>,
    #[serde(default)]
    permissions: Permissions,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    groups: Box<[UniqueId]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    keys: Box<[AccessKey]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login: Option<Arc<LoginProfile>>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    mfa: Box<[Enabled]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    ssh_keys: Box<[SshKey]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    certificates: Box<[SigningCertificate]>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    service_credentials: Box<[ServiceCredential]>,
    #[serde(default)]
    renamed: bool,
}

impl From<StoredUser> for User {
    fn from(stored: StoredUser) -> Self {
        let StoredUser { name, path, id, created, tags, permissions, groups, renamed, .. } = stored;
        let StoredUser { keys, login, mfa, .. } = stored;
        let StoredUser { ssh_keys, certificates, service_credentials, .. } = stored;
        let credentials =
            Proofs { keys, login, mfa, ssh_keys, certificates, service_credentials }.into();
        Self { name, path, id, created, tags, permissions, groups, credentials, renamed }
    }
}

impl From<User> for StoredUser {
    fn from(user: User) -> Self {
        let User { name, path, id, created, tags, permissions, groups, credentials, renamed } =
            user;
        let Proofs { keys, login, mfa, ssh_keys, certificates, service_credentials } =
            credentials.into();
        Self {
            name,
            path,
            id,
            created,
            tags,
            permissions,
            groups,
            keys,
            login,
            mfa,
            ssh_keys,
            certificates,
            service_credentials,
            renamed,
        }
    }
}

/// A group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Group {
    pub name: Arc<str>,
    #[serde(deserialize_with = "read_path")]
    pub path: Arc<str>,
    pub id: UniqueId,
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
    pub id: UniqueId,
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
    pub id: UniqueId,
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
    pub id: UniqueId,
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

pub(crate) fn is_untagged(tags: &Arc<Tags>) -> bool {
    tags.is_empty()
}

pub(crate) fn read_path<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
    let path = std::borrow::Cow::<'de, str>::deserialize(from)?;
    Ok(shared_path(&path))
}

pub(crate) fn read_tags<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Tags>, D::Error> {
    Tags::deserialize(from).map(shared_tags)
}

/// What is stored under one key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Record {
    Account(Arc<Root>),
    Settings(Arc<Settings>),
    User(Arc<User>),
    Group(Arc<Group>),
    Role(Arc<Role>),
    Policy(Arc<Policy>),
    Profile(Arc<Profile>),
    MfaDevice(Arc<Device>),
    MfaToken(Arc<Token>),
    SecurityKey(Arc<SecurityKey>),
    Used(Arc<Used>),
    ServerCertificate(Arc<ServerCertificate>),
    OidcProvider(Arc<OidcProvider>),
    SamlProvider(Arc<SamlProvider>),
    RoleDeletion(Arc<RoleDeletion>),
    DelegationRequest(Arc<DelegationRequest>),
    TokenIssuer(Arc<TokenIssuer>),
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
    // Requests name policies by ARN.
    fn missing(arn: &str) -> ServiceError { errors::no_such_policy(arn) }
});
entity!(Profile, "instance-profile", profiles, Profile {
    fn tags(&self) -> Option<&Arc<Tags>> { Some(&self.tags) }
    fn missing(name: &str) -> ServiceError { errors::no_such_profile(name) }
});
entity!(ServerCertificate, "server-certificate", server_certificates, ServerCertificate {
    fn tags(&self) -> Option<&Arc<Tags>> { Some(&self.tags) }
    fn missing(name: &str) -> ServiceError { errors::no_such_server_certificate(name) }
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
tagged!(ServerCertificate, false);
