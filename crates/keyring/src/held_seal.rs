//! Seals that something else holds: a TPM, a token, another KMS. The crates above implement them.
//!
//! What is kept in `seal.json` for such a seal is a [`Blob`]: what may be known (which token, which
//! key), and bytes that are of use to the holder alone.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::secret::SecretBytes;

/// A seal whose holder is asked to wrap the root key and to unwrap it.
pub trait HeldSeal: Send + Sync + fmt::Debug {
    /// Which of the kinds it is.
    fn kind(&self) -> HeldKind;

    /// In words, for the operator: `TPM at /dev/tpmrm0`. No secret.
    fn in_words(&self) -> String;

    /// Wraps a root key for a data directory.
    ///
    /// # Errors
    /// In words that end a sentence which begins with the kind; no secret.
    fn wrap(&self, root: &SecretBytes, place: &SealedPlace) -> Result<Blob, HolderFailed>;

    /// The root key in what [`wrap`](Self::wrap) made for the same place.
    ///
    /// # Errors
    /// As [`wrap`](Self::wrap). A blob that was altered must be one.
    fn unwrap(&self, blob: &Blob, place: &SealedPlace) -> Result<SecretBytes, HolderFailed>;
}

/// Why the holder of a seal did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HolderFailed(pub String);

/// The kinds of holders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldKind {
    /// A TPM 2.0.
    Tpm,
    /// A token behind PKCS#11.
    Pkcs11,
    /// Another KMS.
    Kms,
}

impl HeldKind {
    /// `TPM`, `PKCS#11 token` or `KMS`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tpm => "TPM",
            Self::Pkcs11 => "PKCS#11 token",
            Self::Kms => "KMS",
        }
    }
}

/// What a wrapped root key is bound to, where the holder can bind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedPlace {
    /// The data directory's own id: random, for ever the same, no secret.
    pub id: [u8; 16],
}

impl SealedPlace {
    /// The id in hexadecimal.
    pub fn id_text(&self) -> String {
        self.id.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What `seal.json` keeps of a held seal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// What may be known, for `ringfence seal status` and for finding the holder again.
    #[serde(default)]
    pub about: BTreeMap<String, String>,
    /// Bytes of the holder's, by name; no secret to anybody else.
    #[serde(default, with = "base64_map")]
    pub data: BTreeMap<String, Vec<u8>>,
}

impl Blob {
    /// What may be known under this name.
    ///
    /// # Errors
    /// [`HolderFailed`] where it is missing.
    pub fn about(&self, name: &str) -> Result<&str, HolderFailed> {
        let missing = || HolderFailed(format!("`seal.json` says no `{name}`"));
        self.about.get(name).map(String::as_str).ok_or_else(missing)
    }

    /// The bytes of this name.
    ///
    /// # Errors
    /// [`HolderFailed`] where they are missing.
    pub fn data(&self, name: &str) -> Result<&[u8], HolderFailed> {
        let missing = || HolderFailed(format!("`seal.json` has no `{name}`"));
        self.data.get(name).map(Vec::as_slice).ok_or_else(missing)
    }
}

mod base64_map {
    use super::*;
    use serde::de::Error as _;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<String, Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(map.iter().map(|(name, bytes)| (name, STANDARD.encode(bytes))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, Vec<u8>>, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let decode = |(name, text): (String, String)| {
            let bytes = STANDARD.decode(text).map_err(|_| D::Error::custom("invalid base64"))?;
            Ok((name, bytes))
        };
        texts.into_iter().map(decode).collect()
    }
}
