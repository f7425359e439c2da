//! What is stored of identity providers.

use crate::entity::{Entity, Tagged};
use crate::errors;
use crate::records::{Record, is_untagged, no_tags, read_secret, read_tags, write_secret};
use crate::state::{Account, Names};
use ringfence_gateway::Tags;
use ringfence_keyring::SecretString;
use ringfence_wire::ServiceError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An OpenID Connect provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OidcProvider {
    /// The issuer's URL without its scheme.
    pub url: Arc<str>,
    /// The scheme is `http`.
    #[serde(default)]
    pub plain: bool,
    pub id: Box<str>,
    pub created: i64,
    #[serde(default)]
    pub clients: Vec<String>,
    /// SHA-1 in lower-case hex.
    #[serde(default)]
    pub thumbprints: Box<[String]>,
    #[serde(
        default = "no_tags",
        deserialize_with = "read_tags",
        skip_serializing_if = "is_untagged"
    )]
    pub tags: Arc<Tags>,
}

/// A SAML provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SamlProvider {
    pub name: Arc<str>,
    pub id: Box<str>,
    pub created: i64,
    /// The metadata document as it was given.
    pub metadata: Arc<str>,
    /// Assertions must be encrypted.
    #[serde(default)]
    pub encrypted: bool,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub private_keys: Box<[SamlPrivateKey]>,
    #[serde(
        default = "no_tags",
        deserialize_with = "read_tags",
        skip_serializing_if = "is_untagged"
    )]
    pub tags: Arc<Tags>,
}

/// A private key that decrypts assertions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SamlPrivateKey {
    pub id: Box<str>,
    pub created: i64,
    /// PEM.
    #[serde(serialize_with = "write_secret", deserialize_with = "read_secret")]
    pub key: Arc<SecretString>,
}

impl Entity for OidcProvider {
    const KIND: &'static str = "oidc-provider";
    fn all(account: &Account) -> &Names<Self> {
        &account.oidc_providers
    }
    fn record(this: Arc<Self>) -> Record {
        Record::OidcProvider(this)
    }
    fn name(&self) -> &Arc<str> {
        &self.url
    }
    fn path(&self) -> &str {
        "/"
    }
    fn id(&self) -> &str {
        &self.id
    }
    fn tags(&self) -> Option<&Arc<Tags>> {
        Some(&self.tags)
    }
    // URLs are told apart by case.
    fn find<'a>(account: &'a Account, url: &str) -> Option<&'a Arc<Self>> {
        account.oidc_providers.get(url)
    }
    fn missing(arn: &str) -> ServiceError {
        errors::no_oidc_provider(arn)
    }
}

impl Entity for SamlProvider {
    const KIND: &'static str = "saml-provider";
    fn all(account: &Account) -> &Names<Self> {
        &account.saml_providers
    }
    fn record(this: Arc<Self>) -> Record {
        Record::SamlProvider(this)
    }
    fn name(&self) -> &Arc<str> {
        &self.name
    }
    fn path(&self) -> &str {
        "/"
    }
    fn id(&self) -> &str {
        &self.id
    }
    fn tags(&self) -> Option<&Arc<Tags>> {
        Some(&self.tags)
    }
    fn missing(arn: &str) -> ServiceError {
        errors::no_saml_provider(arn)
    }
}

// Tag keys of providers are told apart by case.
// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html#id_tags_rules_creating>
impl Tagged for OidcProvider {
    const FOLDED: bool = false;
    fn tags_mut(&mut self) -> &mut Arc<Tags> {
        &mut self.tags
    }
}

impl Tagged for SamlProvider {
    const FOLDED: bool = false;
    fn tags_mut(&mut self) -> &mut Arc<Tags> {
        &mut self.tags
    }
}
