//! The proxy's side of external key stores: another KMS, AWS's own say, uses keys of this one.
//!
//! ```text
//!   AWS KMS ── POST /_ringfence/xks/ACCOUNT/REGION/kms/xks/v1/keys/ID/encrypt ──► a key that the
//!              signed with a credential of this proxy                              operator opened
//! ```
//!
//! Each region of each account is a proxy of its own, with its own credentials and keys, which the
//! server's operator makes and opens (`operator.rs`). Who has a credential may use every key that is
//! open there: key policies and IAM are not asked, because the callers are those of another KMS. A key
//! that is switched off, or waits for its deletion, is not used.

mod operator;
pub(crate) mod records;

pub use operator::{NewCredential, NotDone};

use crate::records::{Key, Version};
use crate::state::Region;
use crate::{Kms, arn};
use ringfence_gateway::clock::{Clock as _, SystemClock};
use ringfence_gateway::{Beside, BesideAnswer, BesideRequest, Regional};
use ringfence_keyring::material::{Detached, Material, MaterialError, Spec};
use ringfence_keyring::{SecretBytes, SecretString};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{KeyState, KeyUsageType};
use ringfence_wire::TypedOperation as _;
use ringfence_wire::sigv4::KeyCache;
use ringfence_xks::{
    Asked, EkmFleetDetail, EncryptResponse, ErrorName, HealthResponse, Incoming, KeyMetadata, Keys,
    LONGEST_METADATA, Operation, Refusal, Secrets, answer, authenticated, parse_path,
};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The name under `/_ringfence/`.
pub const NAME: &str = "xks";

/// What a ciphertext's metadata begins with: so much of the material's id. The salt follows.
const VERSION: usize = 4;

/// The proxies of a server.
pub struct XksProxies {
    kms: Arc<Kms>,
    keys: KeyCache,
}

impl XksProxies {
    /// Those over the keys of a KMS.
    pub fn new(kms: Arc<Kms>) -> Arc<Self> {
        Arc::new(Self { kms, keys: KeyCache::default() })
    }

    async fn go(&self, request: BesideRequest<'_>) -> BesideAnswer {
        let home = home(request.path);
        // Nobody has a credential of a place that is none.
        let ledger = home.as_ref().and_then(|home| self.kms.ledgers.get(home));
        let region = ledger.map(|ledger| Region::clone(&ledger.for_deciding())).unwrap_or_default();
        let proxy = Open { region, now: self.kms.clock.now().seconds };
        let incoming = Incoming {
            method: request.method,
            path: request.path,
            query: request.query,
            headers: request.headers,
            body: request.body,
        };
        let answered = answer(&proxy, &proxy, &self.keys, incoming, SystemClock.now()).await;
        let operation = parse_path(request.path).map(|(_, operation)| operation);
        let known = home.filter(|_| answered.access_key_id.is_some());
        let key = operation.as_ref().and_then(Operation::key).and_then(|id| proxy.key(id).ok());
        let key = known.as_ref().zip(key);
        if let (Some((home, key)), None, Some(used)) =
            (key, &answered.refusal, operation.and_then(use_of))
        {
            self.kms.note_use_beside(home, key, used, proxy.now, &request);
        }
        let keys = key.map(|(home, key)| key.arn(home)).into_iter().collect();
        let parameters = answered.access_key_id.map(|access_key_id| {
            serde_json::json!({
                "accessKeyId": access_key_id,
                "externalKeyId": operation.as_ref().and_then(Operation::key),
                "requestMetadata": answered.metadata,
            })
        });
        BesideAnswer {
            status: answered.status,
            body: answered.body,
            name: event_name(operation),
            account: known.as_ref().map(|home| home.account),
            region: known.map(|home| home.region.to_string()),
            parameters,
            keys,
            error: answered.refusal.map(|why| (why.name.as_str().to_owned(), why.message)),
        }
    }
}

impl Beside for XksProxies {
    fn answer<'a>(
        &'a self,
        request: BesideRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = BesideAnswer> + 'a>> {
        Box::pin(self.go(request))
    }
}

fn event_name(operation: Option<Operation<'_>>) -> &'static str {
    match operation {
        None => "XksProxyUnknown",
        Some(Operation::Health) => "XksProxyGetHealthStatus",
        Some(Operation::Metadata(_)) => "XksProxyGetKeyMetadata",
        Some(Operation::Encrypt(_)) => "XksProxyEncrypt",
        Some(Operation::Decrypt(_)) => "XksProxyDecrypt",
    }
}

/// The operation of KMS that a use of a key is the same as, as its last use tells it.
fn use_of(operation: Operation<'_>) -> Option<&'static str> {
    match operation {
        Operation::Encrypt(_) => Some(ops::Encrypt::OPERATION.name),
        Operation::Decrypt(_) => Some(ops::Decrypt::OPERATION.name),
        Operation::Health | Operation::Metadata(_) => None,
    }
}

/// The account and region of a path: `/_ringfence/xks/ACCOUNT/REGION` stands before the API's own.
fn home(path: &str) -> Option<Regional> {
    let (prefix, _) = parse_path(path)?;
    prefix.strip_prefix("/_ringfence/xks/")?.parse().ok()
}

/// The path of a region's proxy, as stores name it.
pub fn path_of(home: &Regional) -> String {
    format!("/_ringfence/{NAME}/{home}{}", ringfence_xks::VERSION_PATH)
}

/// What is open of a region.
struct Open {
    region: Region,
    now: i64,
}

fn refused(name: ErrorName, why: &str) -> Refusal {
    Refusal::new(name, why)
}

impl Open {
    /// The KMS key behind an external id.
    fn key(&self, id: &str) -> Result<&Arc<Key>, Refusal> {
        let open = self.region.open_keys.get(id);
        let key = open.and_then(|open| self.region.keys.get(&open.key));
        key.filter(|key| !key.is_over(self.now))
            .ok_or_else(|| refused(ErrorName::KeyNotFoundException, "no such key is open here"))
    }

    /// The same, where it can be used.
    fn usable(&self, id: &str) -> Result<&Arc<Key>, Refusal> {
        let key = self.key(id)?;
        if key.state(self.now) != KeyState::Enabled {
            return Err(refused(ErrorName::InvalidStateException, "the key is not enabled"));
        }
        if !can_be_open(key) {
            return Err(refused(ErrorName::InvalidKeyUsageException, "the key cannot do this"));
        }
        Ok(key)
    }
}

/// Whether a key is what an external key is: AES-256, here, for encryption.
fn can_be_open(key: &Key) -> bool {
    key.spec == Spec::SymmetricDefault
        && key.usage == KeyUsageType::EncryptDecrypt
        && key.in_store.is_none()
}

fn failed(error: &MaterialError) -> Refusal {
    match error {
        MaterialError::Ciphertext => {
            refused(ErrorName::InvalidCiphertextException, "the ciphertext does not open")
        }
        error => {
            tracing::error!(%error, "a key that is open to another KMS failed");
            refused(ErrorName::InternalException, "the key manager failed")
        }
    }
}

impl Secrets for Open {
    fn secret(&self, access_key_id: &str) -> Option<SecretString> {
        Some(self.region.proxy_credentials.get(access_key_id)?.secret.duplicate())
    }
}

impl Keys for Open {
    async fn health(&self) -> Result<HealthResponse, Refusal> {
        const VENDOR: &str = "Ringfence";
        const MODEL: &str = concat!("Ringfence ", env!("CARGO_PKG_VERSION"));
        Ok(HealthResponse {
            xks_proxy_fleet_size: 1,
            xks_proxy_vendor: VENDOR.into(),
            xks_proxy_model: MODEL.into(),
            ekm_vendor: VENDOR.into(),
            ekm_fleet_details: vec![EkmFleetDetail {
                id: "ringfence".into(),
                model: MODEL.into(),
                health_status: "ACTIVE".into(),
            }],
        })
    }

    async fn metadata(&self, _: Asked<'_>, id: &str) -> Result<KeyMetadata, Refusal> {
        let key = self.key(id)?;
        let enabled = key.state(self.now) == KeyState::Enabled && can_be_open(key);
        Ok(KeyMetadata {
            key_spec: "AES_256".into(),
            key_usage: vec!["ENCRYPT".into(), "DECRYPT".into()],
            key_status: if enabled { "ENABLED" } else { "DISABLED" }.into(),
        })
    }

    async fn encrypt(
        &self,
        _: Asked<'_>,
        id: &str,
        aad: &[u8],
        plaintext: &SecretBytes,
    ) -> Result<EncryptResponse, Refusal> {
        let key = self.usable(id)?;
        let version =
            key.current().and_then(|version| Some((version, version.material(self.now)?)));
        let (version, material): (&Version, &Material) =
            version.ok_or_else(|| failed(&MaterialError::Failed))?;
        let metadata = |salt: &[u8]| [&version.id.0[..VERSION], salt].concat();
        let made = material.encrypt_detached(
            // INVARIANT: the lengths were checked before: they fit.
            |salt| authenticated(aad, &metadata(salt)).unwrap_or_default(),
            plaintext.expose(),
        );
        let made = made.map_err(|error| failed(&error))?;
        Ok(EncryptResponse {
            ciphertext_metadata: metadata(&made.salt),
            ciphertext: made.ciphertext,
            initialization_vector: made.iv.to_vec(),
            authentication_tag: made.tag.to_vec(),
            ciphertext_data_integrity_value: Vec::new(),
        })
    }

    async fn decrypt(
        &self,
        _: Asked<'_>,
        id: &str,
        aad: &[u8],
        sealed: &EncryptResponse,
    ) -> Result<SecretBytes, Refusal> {
        let key = self.usable(id)?;
        let invalid = || failed(&MaterialError::Ciphertext);
        let metadata = &sealed.ciphertext_metadata;
        let (version, salt) = metadata.split_at_checked(VERSION).ok_or_else(invalid)?;
        let parts = Detached {
            salt: salt.try_into().map_err(|_| invalid())?,
            iv: sealed.initialization_vector.as_slice().try_into().map_err(|_| invalid())?,
            ciphertext: sealed.ciphertext.clone(),
            tag: sealed.authentication_tag.as_slice().try_into().map_err(|_| invalid())?,
        };
        let bound = authenticated(aad, metadata).ok_or_else(invalid)?;
        let versions = key.versions.iter().chain(&key.next);
        let materials = versions
            .filter(|one| one.id.0.starts_with(version))
            .filter_map(|one| one.material(self.now));
        for material in materials {
            match material.decrypt_detached(&bound, &parts) {
                Err(MaterialError::Ciphertext) => {}
                opened => return opened.map_err(|error| failed(&error)),
            }
        }
        Err(invalid())
    }
}

const _: () = assert!(VERSION + 16 <= LONGEST_METADATA);

/// The ARN that an operator names a key by, or its id.
fn key_id(text: &str, home: &Regional) -> Option<String> {
    match arn::KeyName::parse(text, home).ok()?.name {
        arn::Name::Key(id) => Some(id),
        arn::Name::Alias(_) => None,
    }
}
