//! What is stored: keys, aliases, grants.

use crate::arn::key_arn;
use crate::errors;
use crate::key_stores::records::{InStore, KeyStore};
use crate::last_used::{LastUsed, Used};
use crate::policy::KeyPolicy;
use crate::xks_proxy::records::{OpenKey, ProxyCredential};
use ringfence_gateway::{Regional, Tags};
use ringfence_keyring::material::{Material, Spec};
use ringfence_keyring::sealed_only;
use ringfence_model_kms::types::{GrantOperation, KeyState, KeyUsageType, OriginType};
use ringfence_policy::grant::{Constraint, EncryptionContext};
use ringfence_wire::ServiceError;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// One record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Record {
    Key(Arc<Key>),
    Alias(Arc<Alias>),
    Grant(Arc<Grant>),
    Used(Arc<Used>),
    KeyStore(Arc<KeyStore>),
    ProxyCredential(Arc<ProxyCredential>),
    OpenKey(Arc<OpenKey>),
}

/// A KMS key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Key {
    pub id: Arc<str>,
    pub created: i64,
    #[serde(with = "spec")]
    pub spec: Spec,
    #[serde(with = "text")]
    pub usage: KeyUsageType,
    #[serde(with = "text")]
    pub origin: OriginType,
    #[serde(default)]
    pub description: Arc<str>,
    /// Switched on; what a key that waits for its deletion or its material is besides, is told first.
    pub enabled: bool,
    #[serde(default)]
    pub deletion: Option<Deletion>,
    pub policy: KeyPolicy,
    /// Its material in the order in which it came to encrypt: the last encrypts and signs, and what
    /// decrypts is found by its id.
    pub versions: Vec<Version>,
    /// Material that decrypts, and encrypts after the next rotation: imported, or on its way to all
    /// regions.
    #[serde(default)]
    pub next: Option<Version>,
    /// A rotation that is under way.
    #[serde(default)]
    pub rotating: Option<Rotating>,
    /// Automatic rotation, where it is switched on.
    #[serde(default)]
    pub schedule: Option<Schedule>,
    /// Rotations that were asked for.
    #[serde(default)]
    pub rotations_on_demand: u32,
    #[serde(default)]
    pub tags: Arc<Tags>,
    /// Of a multi-Region key.
    #[serde(default)]
    pub multi_region: Option<MultiRegion>,
    /// Made and managed by a service: `alias/aws/…`.
    #[serde(default)]
    pub of_service: bool,
    /// Of a key in a custom key store.
    #[serde(default)]
    pub in_store: Option<InStore>,
    /// How it was last used; kept by records of their own (`last_used.rs`).
    #[serde(skip)]
    pub last_used: Arc<LastUsed>,
}

/// One version of a key's material.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Version {
    pub id: MaterialId,
    /// When it came to encrypt; of material that does not yet, when it was made or imported.
    pub since: i64,
    /// By which rotation; none made the first version.
    #[serde(default)]
    pub by: Option<RotationKind>,
    /// `None` where it was imported and has been deleted or has expired, or where a replica waits for
    /// it: only the same material may come again. `None` too where it is in the token of a custom key
    /// store.
    #[serde(default, with = "sealed_only")]
    pub material: Option<Material>,
    #[serde(default)]
    pub import: Option<Import>,
}

/// What is known of material that was imported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Import {
    /// When it expires, in seconds since 1970.
    #[serde(default)]
    pub expires: Option<i64>,
    #[serde(default)]
    pub description: Option<Arc<str>>,
}

/// What made a version the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RotationKind {
    Automatic,
    OnDemand,
}

/// A rotation that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rotating {
    pub since: i64,
    pub by: RotationKind,
}

/// Automatic rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    /// Days from one to the next.
    pub days: i32,
    /// When the next one is due, in seconds since 1970.
    pub next: i64,
}

impl Clone for Version {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            since: self.since,
            by: self.by,
            material: self.material.as_ref().map(Material::duplicate),
            import: self.import.clone(),
        }
    }
}

impl Version {
    /// The material, where it is there and has not expired.
    pub fn material(&self, now: i64) -> Option<&Material> {
        self.material.as_ref().filter(|_| !self.has_expired(now))
    }

    /// Its time is over: it is gone, whether or not anybody has taken it away yet.
    pub fn has_expired(&self, now: i64) -> bool {
        let expires = self.import.as_ref().and_then(|import| import.expires);
        expires.is_some_and(|at| at <= now)
    }
}

/// What material is recognised by: `KeyMaterialId`, in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MaterialId(#[serde(with = "hex::serde")] pub [u8; 32]);

impl fmt::Display for MaterialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for MaterialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key that waits for its deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deletion {
    /// When, in seconds since 1970; `None` while a primary key waits for its replicas to go first.
    pub at: Option<i64>,
    /// The window that was asked for, in days.
    pub days: i32,
}

/// What the keys of one id in several regions know of each other: see `multi_region.rs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MultiRegion {
    /// The primary key's region.
    pub primary: SmolStr,
    /// How often the primary key has changed: whoever knows of more changes is right.
    pub changes: u64,
    /// Regions where a key of this id may be.
    pub regions: BTreeSet<SmolStr>,
    /// To which region a primary key hands its place over: from then on it is nobody's, until the key
    /// there takes it.
    #[serde(default)]
    pub handing_over: Option<SmolStr>,
}

impl MultiRegion {
    /// Whether the key of this region has the primary key's place, and is not giving it away. At most
    /// one key of an id has it at any time.
    pub fn holds_place(&self, region: &str) -> bool {
        *self.primary == *region && self.handing_over.is_none()
    }
}

/// Another name of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alias {
    /// With its `alias/`.
    pub name: Arc<str>,
    /// The key's id; of an AWS managed alias whose key is not made yet, none.
    pub target: Option<Arc<str>>,
    pub created: i64,
    pub updated: i64,
}

/// A grant on a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub id: Arc<str>,
    /// The key's id.
    pub key: Arc<str>,
    #[serde(default)]
    pub name: Option<Arc<str>>,
    pub created: i64,
    /// The ARN of whoever made it.
    pub issuer: Arc<str>,
    pub grantee: Party,
    #[serde(default)]
    pub retiring: Option<Party>,
    #[serde(with = "texts")]
    pub operations: Vec<GrantOperation>,
    #[serde(default)]
    pub constraint: Option<Kept>,
    #[serde(default)]
    pub source_arn: Option<Arc<str>>,
}

/// Who is let by a grant, or may retire it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Party {
    /// The ARN of an account, user, role or session, and the unique id that it had, where it has one.
    Principal { arn: Arc<str>, id: Option<Arc<str>> },
    /// `SERVICE.amazonaws.com`
    Service(Arc<str>),
}

/// What a grant asks of the encryption context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kept {
    Equals(EncryptionContext),
    Subset(EncryptionContext),
}

impl Kept {
    /// What it asks for.
    pub fn pairs(&self) -> &EncryptionContext {
        let (Self::Equals(pairs) | Self::Subset(pairs)) = self;
        pairs
    }

    /// What `kms:GrantConstraintType` calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Equals(_) => "EncryptionContextEquals",
            Self::Subset(_) => "EncryptionContextSubset",
        }
    }

    /// As it is decided on.
    pub fn constraint(&self) -> Constraint {
        match self {
            Self::Equals(pairs) => Constraint::Equals(pairs.clone()),
            Self::Subset(pairs) => Constraint::Subset(pairs.clone()),
        }
    }
}

impl Key {
    /// Its ARN in the region where it is.
    pub fn arn(&self, home: &Regional) -> String {
        key_arn(home, &self.id)
    }

    /// Its time is over: it is gone, whether or not anybody has taken it away yet.
    pub fn is_over(&self, now: i64) -> bool {
        self.deletion.and_then(|deletion| deletion.at).is_some_and(|at| at <= now)
    }

    /// What a multi-Region key is in a region, as condition keys have it.
    pub fn in_regions(&self, region: &str) -> Option<&'static str> {
        let own = self.multi_region.as_ref()?;
        Some(if *own.primary == *region { "PRIMARY" } else { "REPLICA" })
    }

    /// Whether it is the one that is rotated: the only one of its id, or the primary key.
    ///
    /// # Errors
    /// `KMSInvalidStateException` while a primary key hands its place over, or has just done so.
    pub fn holding_place(&self, home: &Regional) -> Result<(), ServiceError> {
        match &self.multi_region {
            Some(its) if !its.holds_place(&home.region) => {
                Err(errors::invalid_state(&self.arn(home), "updating its primary Region"))
            }
            _ => Ok(()),
        }
    }

    /// The version that encrypts and signs.
    pub fn current(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// The version of an id.
    pub fn version(&self, id: &MaterialId) -> Option<&Version> {
        self.versions.iter().chain(&self.next).find(|version| version.id == *id)
    }

    /// The version of an id, to change it.
    pub fn version_mut(&mut self, id: &MaterialId) -> Option<&mut Version> {
        self.versions.iter_mut().chain(&mut self.next).find(|version| version.id == *id)
    }

    /// Its material comes from its owner.
    pub fn is_imported(&self) -> bool {
        self.origin == OriginType::External
    }

    /// Whether material of it must be imported before it can be used again. What is to encrypt next
    /// is not missed.
    fn lacks_material(&self, now: i64) -> bool {
        self.is_imported()
            && (self.versions.is_empty()
                || self.versions.iter().any(|version| version.material(now).is_none()))
    }

    /// Its state as answers carry it.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>
    pub fn state(&self, now: i64) -> KeyState {
        match (self.deletion, self.enabled) {
            (Some(Deletion { at: None, .. }), _) => KeyState::PendingReplicaDeletion,
            (Some(_), _) => KeyState::PendingDeletion,
            (None, _) if self.lacks_material(now) => KeyState::PendingImport,
            (None, true) => KeyState::Enabled,
            (None, false) => KeyState::Disabled,
        }
    }
}

/// A spec, kept by its name.
mod spec {
    use ringfence_keyring::material::Spec;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(spec: &Spec, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(spec.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Spec, D::Error> {
        let name = String::deserialize(from)?;
        Spec::parse(&name).ok_or_else(|| de::Error::custom("no key spec"))
    }
}

/// An enumeration of the model, kept as its text.
pub(crate) mod text {
    use ringfence_wire::value::TextValue;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<T: TextValue, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.text())
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: TextValue + Default,
        D: Deserializer<'de>,
    {
        let mut value = T::default();
        value.set(String::deserialize(from)?);
        Ok(value)
    }
}

/// A list of them.
mod texts {
    use ringfence_wire::value::TextValue;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<T: TextValue, S: Serializer>(all: &[T], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(all.iter().map(TextValue::text))
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
    where
        T: TextValue + Default,
        D: Deserializer<'de>,
    {
        let all = Vec::<String>::deserialize(from)?.into_iter().map(|text| {
            let mut value = T::default();
            value.set(text);
            value
        });
        Ok(all.collect())
    }
}
