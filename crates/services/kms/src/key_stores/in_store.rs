//! What KMS's operations do with keys in custom key stores.
//!
//! | | in a token | outside |
//! |---|---|---|
//! | made by | the token, under the KMS key's id | us: material that encrypts first |
//! | encrypts | the token | our material, then the proxy |
//! | destroyed with its KMS key | yes | what is outside stays its owner's |

use super::ciphertext::{By, Sealed, bound_to};
use super::cluster;
use super::external::{self, At};
use super::records::{Backing, Cluster, Connection, InStore, KeyStore};
use super::slot::is_refusal;
use crate::ciphertext::Under;
use crate::context::Pairs;
use crate::import::material_id;
use crate::records::{Key, MaterialId, Version};
use crate::resolve::Allowed;
use crate::state::Region;
use crate::{Kms, errors};
use ringfence_gateway::{Call, Regional};
use ringfence_keyring::SecretBytes;
use ringfence_keyring::material::{Blob, Material, Spec};
use ringfence_model_kms::types::{self, KeyState, OriginType};
use ringfence_pkcs11::{Error, Token};
use ringfence_wire::{ServiceError, TypedOperation};
use ringfence_xks::RequestMetadata;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// The store that a new key is to be in, as a request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub store: Arc<str>,
    pub xks_key: Option<Arc<str>>,
}

impl Wanted {
    /// Reads what CreateKey says of a store; `None` where the key is to be held here.
    ///
    /// # Errors
    /// `ValidationException`, `UnsupportedOperationException`.
    pub fn read(input: &types::CreateKeyRequest, spec: Spec) -> Result<Option<Self>, ServiceError> {
        let external = match &input.origin {
            Some(OriginType::AwsCloudhsm) => false,
            Some(OriginType::ExternalKeyStore) => true,
            _ if input.custom_key_store_id.is_some() => {
                return Err(errors::validation(
                    "CustomKeyStoreId requires an Origin of AWS_CLOUDHSM or EXTERNAL_KEY_STORE.",
                ));
            }
            _ if input.xks_key_id.is_some() => {
                return Err(errors::validation(
                    "XksKeyId requires an Origin of EXTERNAL_KEY_STORE.",
                ));
            }
            _ => return Ok(None),
        };
        let Some(store) = &input.custom_key_store_id else {
            return Err(errors::validation("CustomKeyStoreId is required for this Origin."));
        };
        if external != input.xks_key_id.is_some() {
            return Err(errors::validation(match external {
                true => "XksKeyId is required for an Origin of EXTERNAL_KEY_STORE.",
                false => "XksKeyId requires an Origin of EXTERNAL_KEY_STORE.",
            }));
        }
        // https://docs.aws.amazon.com/kms/latest/developerguide/key-store-overview.html
        if spec != Spec::SymmetricDefault {
            return Err(errors::unsupported(
                "Custom key stores support symmetric encryption KMS keys only.",
            ));
        }
        if input.multi_region == Some(true) {
            return Err(errors::unsupported("Custom key stores do not support multi-Region keys."));
        }
        let xks_key = input.xks_key_id.as_deref().map(Into::into);
        Ok(Some(Self { store: store.as_str().into(), xks_key }))
    }
}

/// That a new key can be in its store: asked before anything is made, and when it is written.
///
/// # Errors
/// `CustomKeyStoreNotFoundException`, `CustomKeyStoreInvalidStateException`,
/// `XksKeyAlreadyInUseException`.
pub(crate) fn check<'r>(
    region: &'r Region,
    wanted: &InStore,
    origin: &OriginType,
    now: i64,
) -> Result<&'r Arc<KeyStore>, ServiceError> {
    let store = region.store(&wanted.store)?;
    if store.origin() != *origin {
        return Err(errors::validation(format!(
            "The Origin of a KMS key in the custom key store {} must be {}.",
            store.id,
            store.origin().as_str()
        )));
    }
    if !store.is_connected() {
        return Err(errors::store_state(&store.id, &store.connection));
    }
    let same = |key: &&Arc<Key>| key.in_store.as_ref() == Some(wanted) && !key.is_over(now);
    if wanted.xks_key.is_some() && region.keys.values().any(|key| same(&key)) {
        return Err(types::XksKeyAlreadyInUseException::error(
            "The external key is already associated with another KMS key in this external key store.",
        ));
    }
    Ok(store)
}

/// Makes what a new key needs in its store, and here.
///
/// # Errors
/// Those of [`check`], and of the store.
pub(crate) async fn make(
    kms: &Kms,
    call: &Call<ringfence_model_kms::operations::CreateKey>,
    home: &Regional,
    region: &Region,
    id: &str,
    wanted: &Wanted,
) -> Result<(Version, InStore), ServiceError> {
    let origin = call.input.origin.clone().unwrap_or(OriginType::AwsKms);
    let since = call.now().seconds;
    let in_store = InStore { store: wanted.store.clone(), xks_key: wanted.xks_key.clone() };
    let store = check(region, &in_store, &origin, since)?;
    let random = &*call.shared().random;
    let version = match (&*store.backing, &wanted.xks_key) {
        (Backing::Cluster(cluster), None) => {
            make_in_token(kms, home, store, cluster, id)
                .await
                .map_err(|error| refused_to_make(&error))?;
            // Its material is seen by nobody: an id is drawn for it.
            let mut id = [0; 32];
            random.fill(&mut id).map_err(errors::failed)?;
            Version { id: MaterialId(id), since, by: None, material: None, import: None }
        }
        (Backing::Proxy(proxy), Some(key)) => {
            let of = metadata(call, None);
            let found = kms.stores.metadata(proxy, home, key, of).await;
            let found = found.map_err(|failure| external::refused(&failure, At::CreateKey))?;
            external::check_key(&found)?;
            let material =
                Material::generate(Spec::SymmetricDefault, random).map_err(errors::failed)?;
            let id = material_id(home, id, &material);
            Version { id, since, by: None, material: Some(material), import: None }
        }
        _ => return Err(errors::failed("a key and its store do not fit")),
    };
    Ok((version, in_store))
}

/// Makes a key in a token. One that is made when nobody waits for it any longer is destroyed at once.
async fn make_in_token(
    kms: &Kms,
    home: &Regional,
    store: &KeyStore,
    cluster: &Cluster,
    id: &str,
) -> Result<(), Error> {
    const MADE: u8 = 1;
    const GIVEN_UP: u8 = 2;
    let ended = Arc::new(AtomicU8::new(0));
    let (label, ends) = (id.to_owned(), ended.clone());
    let make = move |token: &Token| {
        token.make_key(&label)?;
        if ends.swap(MADE, Ordering::SeqCst) != GIVEN_UP {
            return Ok(());
        }
        token.destroy_key(&label).inspect_err(|error| {
            tracing::warn!(%error, key = label, "a key is left in a token");
        })?;
        Err(Error::Late)
    };
    match in_token(kms, home, store, cluster, make).await {
        // It may have been made in the very moment in which its time was up.
        Err(Error::Late) if ended.swap(GIVEN_UP, Ordering::SeqCst) == MADE => Ok(()),
        done => done,
    }
}

/// What CreateKey answers of a token that failed.
fn refused_to_make(error: &Error) -> ServiceError {
    match error {
        Error::Late => cluster::refused(error),
        Error::Exposed(_) | Error::Unsupported(_) => {
            types::CloudHsmClusterInvalidConfigurationException::error(
                "The AWS CloudHSM cluster does not make keys that cannot be extracted.",
            )
        }
        _ => types::CustomKeyStoreInvalidStateException::error(
            "AWS KMS cannot create a key in the AWS CloudHSM cluster that is associated with the \
             custom key store.",
        ),
    }
}

/// Takes back what [`make`] made, where the key was not written. What cannot be taken back is a key in a
/// token that no KMS key has.
pub(crate) async fn unmake(kms: &Kms, home: &Regional, region: &Region, id: &str, of: &InStore) {
    if let Err(error) = destroy(kms, home, region, id, of).await {
        tracing::warn!(%error, key = id, store = &*of.store, "a key is left in a token");
    }
}

/// Destroys the material of a key in its token.
///
/// # Errors
/// Why it is still there.
pub(crate) async fn destroy(
    kms: &Kms,
    home: &Regional,
    region: &Region,
    id: &str,
    of: &InStore,
) -> Result<(), Error> {
    let Some(store) = region.stores.get(&of.store) else { return Ok(()) };
    let Backing::Cluster(cluster) = &*store.backing else { return Ok(()) };
    if !store.is_connected() {
        return Err(Error::Lost("its key store is not connected".into()));
    }
    let label = id.to_owned();
    let destroy = move |token: &Token| token.destroy_key(&label);
    in_token(kms, home, store, cluster, destroy).await
}

/// What a proxy is told of a call.
fn metadata<O: TypedOperation>(call: &Call<O>, key: Option<String>) -> RequestMetadata {
    let facts = call.facts();
    RequestMetadata {
        aws_principal_arn: Some(facts.caller.identity.arn()),
        kms_key_arn: key,
        kms_operation: O::OPERATION.name.into(),
        kms_request_id: facts.request_id.to_string(),
        ..RequestMetadata::default()
    }
}

/// Encrypts under a key in a store.
///
/// # Errors
/// `KMSInvalidStateException` for whatever fails outside.
pub(crate) async fn encrypt<O: TypedOperation>(
    kms: &Kms,
    call: &Call<O>,
    allowed: &Allowed,
    of: &InStore,
    context: &Pairs<'_>,
    plaintext: &[u8],
) -> Result<Vec<u8>, ServiceError> {
    let (key, home) = (allowed.found()?, &allowed.home);
    let region = allowed.view();
    let store = region.store(&of.store)?;
    let version = key.current().ok_or_else(|| errors::failed("a key without a version"))?;
    let under = Under { account: home.account, material: version.id, key: key.id.to_string() };
    let aad = bound_to(&under, context);
    let by = match (&*store.backing, &of.xks_key, &version.material) {
        (Backing::Cluster(cluster), None, None) => {
            let label = key.id.to_string();
            let plaintext = SecretBytes::new(plaintext.to_vec());
            let encrypt = move |token: &Token| token.encrypt(&label, &aad, plaintext.expose());
            let sealed = in_token(kms, home, store, cluster, encrypt).await;
            By::Token(sealed.map_err(|error| cluster::refused(&error))?)
        }
        (Backing::Proxy(proxy), Some(xks_key), Some(material)) => {
            let inner = material
                .encrypt(&under.written(), &context.bound(), plaintext)
                .map_err(errors::failed)?;
            let of = metadata(call, Some(key.arn(home)));
            let inner = SecretBytes::new(inner);
            let wrapped = kms.stores.wrap(proxy, home, xks_key, of, &aad, inner).await;
            By::Proxy(wrapped.map_err(|failure| external::refused(&failure, At::Use))?)
        }
        _ => return Err(errors::failed("a key and its store do not fit")),
    };
    Sealed { under, by }.written()
}

/// Decrypts what [`encrypt`] made.
///
/// # Errors
/// `InvalidCiphertextException`; `KMSInvalidStateException` for whatever fails outside.
pub(crate) async fn decrypt<O: TypedOperation>(
    kms: &Kms,
    call: &Call<O>,
    allowed: &Allowed,
    of: &InStore,
    context: &Pairs<'_>,
    sealed: Sealed,
) -> Result<SecretBytes, ServiceError> {
    let (key, home) = (allowed.found()?, &allowed.home);
    let region = allowed.view();
    let store = region.store(&of.store)?;
    let Sealed { under, by } = sealed;
    let version = key.version(&under.material).ok_or_else(errors::bad_ciphertext)?;
    let aad = bound_to(&under, context);
    match (&*store.backing, by, &of.xks_key, &version.material) {
        (Backing::Cluster(cluster), By::Token(sealed), None, None) => {
            let label = key.id.to_string();
            let decrypt = move |token: &Token| token.decrypt(&label, &aad, &sealed);
            let opened = in_token(kms, home, store, cluster, decrypt).await;
            opened.map_err(|error| cluster::refused(&error))
        }
        (Backing::Proxy(proxy), By::Proxy(wrapped), Some(xks_key), Some(material)) => {
            let of = metadata(call, Some(key.arn(home)));
            let inner = kms.stores.unwrap(proxy, home, xks_key, of, &aad, wrapped).await;
            let inner = inner.map_err(|failure| external::refused(&failure, At::Use))?;
            let blob = Blob::parse(inner.expose()).map_err(|_| external::invalid_plaintext())?;
            if blob.key_id() != under.written() {
                return Err(external::invalid_plaintext());
            }
            material.decrypt(&blob, &context.bound()).map_err(|_| external::invalid_plaintext())
        }
        _ => Err(errors::bad_ciphertext()),
    }
}

/// Random bytes of a store's token.
///
/// # Errors
/// `CustomKeyStoreNotFoundException`, `CustomKeyStoreInvalidStateException`,
/// `UnsupportedOperationException` for a store without a token.
pub(crate) async fn random(
    kms: &Kms,
    home: &Regional,
    region: &Region,
    store: &str,
    length: usize,
) -> Result<SecretBytes, ServiceError> {
    let store = region.store(store)?;
    let Backing::Cluster(cluster) = &*store.backing else {
        return Err(errors::unsupported("External key stores do not generate random bytes."));
    };
    if !store.is_connected() {
        return Err(errors::store_state(&store.id, &store.connection));
    }
    let draw = move |token: &Token| {
        let mut bytes = vec![0; length];
        token.random(&mut bytes)?;
        Ok(SecretBytes::new(bytes))
    };
    let drawn = in_token(kms, home, store, cluster, draw).await;
    drawn.map_err(|error| cluster::refused(&error))
}

/// Has the token of a connected store do something. One that refuses our PIN in the midst of its use is
/// not connected any longer: trying again would lock it.
async fn in_token<T: Send + 'static>(
    kms: &Kms,
    home: &Regional,
    store: &KeyStore,
    cluster: &Cluster,
    work: impl FnOnce(&Token) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = kms.stores.in_token(home.account, store, cluster, work).await;
    if let Err(error) = &done
        && is_refusal(error)
    {
        kms.stores.slot(&store.id).refused(store.changes, error);
        if let Some(ledger) = kms.ledgers.get(home) {
            let failed = Connection::Failed(cluster::connection_error(error));
            kms.stores.note(&ledger, store, failed).await;
        }
    }
    done
}

impl InStore {
    /// The state of a key that is in this one without its store: a store that is not connected is told
    /// before whether the key is switched on.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>
    pub fn state(&self, alone: KeyState, region: &Region) -> KeyState {
        let connected = region.stores.get(&self.store).is_some_and(|store| store.is_connected());
        match alone {
            KeyState::Enabled | KeyState::Disabled if !connected => KeyState::Unavailable,
            state => state,
        }
    }

    /// What a key's description says of its store.
    pub fn with_store(&self, kms: &Kms, home: &Regional) -> WithStore<'_> {
        let region = kms.ledgers.get(home).map(|ledger| Region::clone(&ledger.for_deciding()));
        WithStore { own: self, region: region.unwrap_or_default() }
    }
}

/// A key's place in a store, as a caller is told of it who may see the key.
pub(crate) struct WithStore<'k> {
    own: &'k InStore,
    region: Region,
}

impl WithStore<'_> {
    pub fn state(&self, alone: KeyState) -> KeyState {
        self.own.state(alone, &self.region)
    }

    pub fn id(&self) -> String {
        self.own.store.to_string()
    }

    pub fn cluster(&self) -> Option<String> {
        match &*self.region.stores.get(&self.own.store)?.backing {
            Backing::Cluster(cluster) => Some(cluster.id.to_string()),
            Backing::Proxy(_) => None,
        }
    }

    pub fn xks_key(&self) -> Option<types::XksKeyConfigurationType> {
        let id = self.own.xks_key.as_ref()?.to_string();
        Some(types::XksKeyConfigurationType { id: Some(id) })
    }
}
