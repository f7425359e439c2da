//! What is stored of keys, certificates and credentials for one service alone.

use crate::records::{KeyId, UniqueId, is_untagged, no_tags, read_path, read_tags};
use ringfence_gateway::Tags;
use ringfence_keyring::{SecretBytes, SecretString, sealed_only};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// An SSH public key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SshKey {
    pub id: KeyId,
    /// As it was uploaded.
    pub body: Arc<str>,
    pub active: bool,
    pub uploaded: i64,
}

/// A signing certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SigningCertificate {
    pub id: Arc<str>,
    /// As it was uploaded.
    pub body: Arc<str>,
    /// The SHA-256 of its DER, in hexadecimal.
    pub fingerprint: Arc<str>,
    pub active: bool,
    pub uploaded: i64,
}

/// A credential for one service alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServiceCredential {
    pub id: UniqueId,
    /// `codecommit.amazonaws.com`
    pub service: Arc<str>,
    /// The user name, or the alias of an API key, that it is presented with.
    pub name: Arc<str>,
    /// What its password gives under a key of the server's own.
    #[serde(serialize_with = "write_proof", deserialize_with = "read_proof")]
    pub proof: Arc<SecretBytes>,
    pub active: bool,
    pub created: i64,
    #[serde(default)]
    pub expires: Option<i64>,
}

impl ServiceCredential {
    /// Whether its time is over.
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

/// A server certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ServerCertificate {
    pub name: Arc<str>,
    #[serde(deserialize_with = "read_path")]
    pub path: Arc<str>,
    pub id: UniqueId,
    pub uploaded: i64,
    pub expires: i64,
    /// As it was uploaded, as are the chain and the key.
    pub body: Arc<str>,
    #[serde(default)]
    pub chain: Option<Arc<str>>,
    /// For the services that serve with the certificate; no operation returns it.
    #[serde(serialize_with = "write_key", deserialize_with = "read_key")]
    pub private_key: Arc<SecretString>,
    #[serde(
        default = "no_tags",
        deserialize_with = "read_tags",
        skip_serializing_if = "is_untagged"
    )]
    pub tags: Arc<Tags>,
}

fn write_proof<S: Serializer>(proof: &Arc<SecretBytes>, to: S) -> Result<S::Ok, S::Error> {
    sealed_only::serialize(&**proof, to)
}

fn read_proof<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<SecretBytes>, D::Error> {
    sealed_only::deserialize::<SecretBytes, D>(from).map(Arc::new)
}

fn write_key<S: Serializer>(key: &Arc<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    sealed_only::serialize(&**key, to)
}

fn read_key<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<SecretString>, D::Error> {
    sealed_only::deserialize::<SecretString, D>(from).map(Arc::new)
}
