//! What is stored of a custom key store.

use crate::records::text;
use ringfence_keyring::{SecretString, sealed_only};
use ringfence_model_kms::types::{
    ConnectionErrorCodeType, ConnectionStateType, CustomKeyStoreType, OriginType,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A custom key store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyStore {
    /// `cks-…`
    pub id: Arc<str>,
    pub name: Arc<str>,
    pub created: i64,
    pub backing: Arc<Backing>,
    pub connection: Connection,
    /// Counts what was done to the connection, so that whoever is late notices.
    pub changes: u64,
}

/// Where its keys are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Backing {
    Cluster(Cluster),
    Proxy(XksProxy),
}

/// A cluster of hardware security modules.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cluster {
    /// `cluster-…`
    pub id: Arc<str>,
    /// The certificate as it was given.
    pub anchor: Arc<str>,
    /// That of the cluster's user for KMS.
    #[serde(with = "sealed_only")]
    pub password: SecretString,
}

/// A proxy of an external key manager.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct XksProxy {
    pub endpoint: Arc<str>,
    pub path: Arc<str>,
    pub access_key_id: Arc<str>,
    #[serde(with = "sealed_only")]
    pub secret: SecretString,
}

/// Whether keys can be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Connection {
    Disconnected,
    Connecting,
    Connected,
    Failed(#[serde(with = "text")] ConnectionErrorCodeType),
}

impl KeyStore {
    /// What backs it.
    pub fn kind(&self) -> CustomKeyStoreType {
        match &*self.backing {
            Backing::Cluster(_) => CustomKeyStoreType::AwsCloudhsm,
            Backing::Proxy(_) => CustomKeyStoreType::ExternalKeyStore,
        }
    }

    /// The origin that its keys have.
    pub fn origin(&self) -> OriginType {
        match &*self.backing {
            Backing::Cluster(_) => OriginType::AwsCloudhsm,
            Backing::Proxy(_) => OriginType::ExternalKeyStore,
        }
    }

    /// Whether its keys can be used.
    pub fn is_connected(&self) -> bool {
        self.connection == Connection::Connected
    }

    /// The same in another state.
    pub fn with(&self, connection: Connection) -> Self {
        Self { connection, changes: self.changes + 1, ..self.clone() }
    }
}

impl Connection {
    /// As answers carry it.
    pub fn state(&self) -> ConnectionStateType {
        match self {
            Self::Disconnected => ConnectionStateType::Disconnected,
            Self::Connecting => ConnectionStateType::Connecting,
            Self::Connected => ConnectionStateType::Connected,
            Self::Failed(_) => ConnectionStateType::Failed,
        }
    }
}

/// That a key is in a custom key store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InStore {
    /// The store's id.
    pub store: Arc<str>,
    /// The key behind the proxy; of a key in a token, which goes by its own id there, none.
    #[serde(default)]
    pub xks_key: Option<Arc<str>>,
}
