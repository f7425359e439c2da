//! KMS: keys, their policies and grants, and what is done with them.
//!
//! ```text
//!   request ── names a key ──► resolve ── policy, grants, keys of the request ──► allow ──► act
//!              id, ARN, alias  in its account and region                          by the key's policy
//! ```
//!
//! A key's policy is where all access to it comes from: IAM's policies count where it says so, grants
//! beside it (`policy.rs`, `grants.rs`). State is kept by account and region (`state.rs`).

mod agreement;
mod aliases;
mod apart;
mod arn;
mod ciphertext;
mod context;
mod data_keys;
mod deletion;
mod encryption;
mod errors;
mod grants;
mod import;
mod key_policies;
mod key_stores;
mod keys;
mod last_used;
mod managed;
mod multi_region;
mod policy;
mod quotas;
mod rates;
mod records;
mod resolve;
mod rotation;
mod signing;
mod specs;
mod state;
mod tags;
mod xks_proxy;

use crate::key_stores::KeyStores;
use crate::rates::Counted;
use crate::state::Region;
use ringfence_gateway::clock::Clock;
use ringfence_gateway::pages::Pager;
use ringfence_gateway::upkeep::Work;
use ringfence_gateway::{
    Call, Follow, Handlers, Ledger, Ledgers, Mounted, Permit, Recorder, Regional, ServiceEvent,
    Upkeep,
};
use ringfence_keyring::random::Random;
use ringfence_keyring::{Domain, Keyring};
use ringfence_model_kms::SERVICE;
use ringfence_model_kms::operations as ops;
use ringfence_store::{News, Store, StoreError};
use ringfence_wire::{ServiceError, TypedOperation};
use std::sync::{Arc, Mutex};

pub use key_stores::{Backends, Endpoint, Hsm};
pub use quotas::Quotas;
pub use rates::Rates;
pub use xks_proxy::{
    NAME as XKS_PROXY, NewCredential, NotDone, XksProxies, path_of as xks_proxy_path,
};

/// The service.
pub struct Kms {
    ledgers: Ledgers<Region>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    markers: Domain,
    tokens: Domain,
    imports: Domain,
    quotas: Quotas,
    counted: Counted,
    /// Keys whose last use is to be kept.
    used: Mutex<Vec<(Regional, Arc<str>)>>,
    stores: Arc<KeyStores>,
}

impl Kms {
    /// Loads every region of every account of the store.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load(
        store: Arc<Store>,
        keyring: &Keyring,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        quotas: Quotas,
    ) -> Result<Arc<Self>, StoreError> {
        let ledgers = Ledgers::load(store)?;
        Ok(Arc::new(Self {
            ledgers,
            clock,
            random,
            markers: keyring.domain("kms-marker"),
            tokens: keyring.domain("kms-grant-token"),
            imports: keyring.domain("kms-import-token"),
            counted: Counted::new(quotas.rates.clone()),
            quotas,
            used: Mutex::default(),
            stores: Arc::default(),
        }))
    }

    /// Says what backs custom key stores: once, before the first call.
    pub fn back_key_stores(&self, backends: Backends) {
        self.stores.back(backends);
    }

    /// Its operations that are built.
    pub fn handlers(self: &Arc<Self>) -> Mounted {
        Handlers::new(&SERVICE, self.clone())
            .admitting(|kms, facts| kms.counted.admit(facts))
            // Keys.
            .on::<ops::CreateKey, _>(keys::create_key)
            .on::<ops::DescribeKey, _>(keys::describe_key)
            .on::<ops::ListKeys, _>(keys::list_keys)
            .on::<ops::EnableKey, _>(keys::enable_key)
            .on::<ops::DisableKey, _>(keys::disable_key)
            .on::<ops::UpdateKeyDescription, _>(keys::update_key_description)
            .on::<ops::ScheduleKeyDeletion, _>(deletion::schedule_key_deletion)
            .on::<ops::CancelKeyDeletion, _>(deletion::cancel_key_deletion)
            .on::<ops::GetKeyLastUsage, _>(last_used::get_key_last_usage)
            .on::<ops::ReplicateKey, _>(multi_region::replicate_key)
            .on::<ops::UpdatePrimaryRegion, _>(multi_region::update_primary_region)
            // Their material.
            .on::<ops::GetParametersForImport, _>(import::get_parameters_for_import)
            .on::<ops::ImportKeyMaterial, _>(import::import_key_material)
            .on::<ops::DeleteImportedKeyMaterial, _>(import::delete_imported_key_material)
            .on::<ops::EnableKeyRotation, _>(rotation::enable_key_rotation)
            .on::<ops::DisableKeyRotation, _>(rotation::disable_key_rotation)
            .on::<ops::GetKeyRotationStatus, _>(rotation::get_key_rotation_status)
            .on::<ops::RotateKeyOnDemand, _>(rotation::rotate_key_on_demand)
            .on::<ops::ListKeyRotations, _>(rotation::list_key_rotations)
            // What is done with them.
            .on::<ops::Encrypt, _>(encryption::encrypt)
            .on::<ops::Decrypt, _>(encryption::decrypt)
            .on::<ops::ReEncrypt, _>(encryption::re_encrypt)
            .on::<ops::GenerateDataKey, _>(data_keys::generate_data_key)
            .on::<ops::GenerateDataKeyWithoutPlaintext, _>(
                data_keys::generate_data_key_without_plaintext,
            )
            .on::<ops::GenerateDataKeyPair, _>(data_keys::generate_data_key_pair)
            .on::<ops::GenerateDataKeyPairWithoutPlaintext, _>(
                data_keys::generate_data_key_pair_without_plaintext,
            )
            .on::<ops::GenerateRandom, _>(data_keys::generate_random)
            .on::<ops::Sign, _>(signing::sign)
            .on::<ops::Verify, _>(signing::verify)
            .on::<ops::GetPublicKey, _>(signing::get_public_key)
            .on::<ops::GenerateMac, _>(signing::generate_mac)
            .on::<ops::VerifyMac, _>(signing::verify_mac)
            .on::<ops::DeriveSharedSecret, _>(agreement::derive_shared_secret)
            .on::<ops::Encapsulate, _>(agreement::encapsulate)
            .on::<ops::Decapsulate, _>(agreement::decapsulate)
            // Grants.
            .on::<ops::CreateGrant, _>(grants::create_grant)
            .on::<ops::ListGrants, _>(grants::list_grants)
            .on::<ops::ListRetirableGrants, _>(grants::list_retirable_grants)
            .on::<ops::RetireGrant, _>(grants::retire_grant)
            .on::<ops::RevokeGrant, _>(grants::revoke_grant)
            // Their policies.
            .on::<ops::GetKeyPolicy, _>(key_policies::get_key_policy)
            .on::<ops::PutKeyPolicy, _>(key_policies::put_key_policy)
            .on::<ops::ListKeyPolicies, _>(key_policies::list_key_policies)
            // Aliases.
            .on::<ops::CreateAlias, _>(aliases::create_alias)
            .on::<ops::UpdateAlias, _>(aliases::update_alias)
            .on::<ops::DeleteAlias, _>(aliases::delete_alias)
            .on::<ops::ListAliases, _>(aliases::list_aliases)
            // Tags.
            .on::<ops::TagResource, _>(tags::tag_resource)
            .on::<ops::UntagResource, _>(tags::untag_resource)
            .on::<ops::ListResourceTags, _>(tags::list_resource_tags)
            // Custom key stores.
            .on::<ops::CreateCustomKeyStore, _>(key_stores::create_custom_key_store)
            .on::<ops::DescribeCustomKeyStores, _>(key_stores::describe_custom_key_stores)
            .on::<ops::UpdateCustomKeyStore, _>(key_stores::update_custom_key_store)
            .on::<ops::DeleteCustomKeyStore, _>(key_stores::delete_custom_key_store)
            .on::<ops::ConnectCustomKeyStore, _>(key_stores::connect_custom_key_store)
            .on::<ops::DisconnectCustomKeyStore, _>(key_stores::disconnect_custom_key_store)
            .finish()
    }

    /// The state of the caller's account in the call's region, to write into it.
    fn own<O: TypedOperation>(&self, call: &Call<O>) -> Result<Arc<Ledger<Region>>, ServiceError> {
        self.ledgers.get_or_make(&home(call)?).map_err(errors::failed)
    }

    /// What the caller's account has in the call's region.
    fn view<O: TypedOperation, T>(
        &self,
        call: &Call<O>,
        permit: &Permit<T>,
    ) -> Result<Region, ServiceError> {
        Ok(self.ledgers.get(&home(call)?).map(|ledger| ledger.view(permit)).unwrap_or_default())
    }

    /// Reads a call's `Marker` and `Limit`; `narrowed` is what else says which list it is.
    fn pager<O: TypedOperation>(
        &self,
        call: &Call<O>,
        narrowed: &[&str],
        marker: Option<&str>,
        limit: Option<i32>,
        usual: usize,
    ) -> Result<Pager, ServiceError> {
        let home = home(call)?.to_string();
        let mut place = vec![O::OPERATION.name, &home];
        place.extend(narrowed);
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usual);
        Pager::new(&self.markers, &place, marker, limit).map_err(|_| errors::bad_marker())
    }
}

/// The caller's account in the call's region.
fn home<O: TypedOperation>(call: &Call<O>) -> Result<Regional, ServiceError> {
    Ok(Regional { account: call.account()?, region: call.facts().region.clone() })
}

/// Keys and material whose time has come go, others are rotated, and what was cut short between two
/// regions is carried on, as are connections of custom key stores.
impl Kms {
    /// Records what was done to a key without a caller.
    pub(crate) async fn record(
        &self,
        recorder: &Recorder,
        name: &'static str,
        home: &Regional,
        key: &str,
        details: Vec<(&'static str, String)>,
    ) {
        let event = ServiceEvent {
            service: &ringfence_model_kms::SERVICE,
            name,
            account: home.account,
            region: home.region.to_string(),
            key: arn::key_arn(home, key),
            details,
        };
        recorder.record(event).await;
    }
}

impl Follow for Kms {
    fn follow(&self, news: &News) -> Result<(), StoreError> {
        self.ledgers.follow(news).map(drop)
    }

    fn read_anew(&self) -> Result<(), StoreError> {
        self.ledgers.read_anew()
    }
}

impl Upkeep for Kms {
    fn carry_on<'a>(&'a self, recorder: &'a Recorder) -> Work<'a> {
        Box::pin(async {
            let now = self.clock.now().seconds;
            for home in self.ledgers.areas() {
                self.carry_on_connections(&home).await;
                self.hold_back(&home).await;
                self.delete_due_keys(&home, now, recorder).await;
                self.begin_windows(&home, now).await;
                self.drop_expired_material(&home, now, recorder).await;
                self.rotate_due_keys(&home, now, recorder).await;
                self.settle_families(&home).await;
            }
        })
    }

    fn keep_notes(&self) -> Work<'_> {
        Box::pin(self.flush_last_used())
    }
}
