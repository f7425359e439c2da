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
mod arn;
mod ciphertext;
mod context;
mod data_keys;
mod deletion;
mod encryption;
mod errors;
mod grants;
mod key_policies;
mod key_stores;
mod keys;
mod policy;
mod quotas;
mod records;
mod resolve;
mod signing;
mod specs;
mod state;
mod tags;

use crate::key_stores::KeyStores;
use crate::state::Region;
use ringfence_gateway::clock::Clock;
use ringfence_gateway::pages::Pager;
use ringfence_gateway::{Call, Handlers, Ledger, Ledgers, Mounted, Regional};
use ringfence_keyring::{Domain, Keyring};
use ringfence_model_kms::SERVICE;
use ringfence_model_kms::operations as ops;
use ringfence_store::{Store, StoreError};
use ringfence_wire::{ServiceError, TypedOperation};
use std::sync::Arc;

pub use key_stores::{Backends, Endpoint, Hsm};
pub use quotas::Quotas;

/// The service.
pub struct Kms {
    ledgers: Ledgers<Region>,
    clock: Arc<dyn Clock>,
    markers: Domain,
    tokens: Domain,
    quotas: Quotas,
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
        quotas: Quotas,
    ) -> Result<Arc<Self>, StoreError> {
        let ledgers = Ledgers::load(store)?;
        Ok(Arc::new(Self {
            ledgers,
            clock,
            markers: keyring.domain("kms-marker"),
            tokens: keyring.domain("kms-grant-token"),
            quotas,
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
            // Keys.
            .on::<ops::CreateKey, _>(keys::create_key)
            .on::<ops::DescribeKey, _>(keys::describe_key)
            .on::<ops::ListKeys, _>(keys::list_keys)
            .on::<ops::EnableKey, _>(keys::enable_key)
            .on::<ops::DisableKey, _>(keys::disable_key)
            .on::<ops::UpdateKeyDescription, _>(keys::update_key_description)
            .on::<ops::ScheduleKeyDeletion, _>(deletion::schedule_key_deletion)
            .on::<ops::CancelKeyDeletion, _>(deletion::cancel_key_deletion)
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

    /// The state of the caller's account in the call's region.
    fn own<O: TypedOperation>(&self, call: &Call<O>) -> Result<Arc<Ledger<Region>>, ServiceError> {
        self.ledgers.get_or_make(&home(call)?).map_err(errors::failed)
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
    Ok(Regional { account: call.account()?, region: call.facts().region.as_str().into() })
}
