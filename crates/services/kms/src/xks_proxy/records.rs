//! What is stored of the proxies.

use ringfence_keyring::{SecretString, sealed_only};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A credential that another KMS signs with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProxyCredential {
    pub access_key_id: Arc<str>,
    pub created: i64,
    #[serde(with = "sealed_only")]
    pub secret: SecretString,
}

/// A key that another KMS may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OpenKey {
    /// What the other KMS calls it.
    pub id: Arc<str>,
    /// The KMS key's id here.
    pub key: Arc<str>,
    pub created: i64,
}
