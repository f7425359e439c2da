//! Custom key stores: keys whose material is not here.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/key-store-overview.html>
//!
//! ```text
//!   AWS_CLOUDHSM        key store ── cluster-ID ──► PKCS#11 module and token, by `--hsm`
//!                       the key is made in the token and never leaves it
//!   EXTERNAL_KEY_STORE  key store ── endpoint, path ──► proxy ──► key manager
//!                       what our material encrypts, a key of the manager's encrypts once more
//! ```
//!
//! A store's record (`records.rs`) says whether it is connected, and `connection.rs` carries it from
//! one state to the next, after a restart too. What a connection needs in memory, an open token, is
//! made when it is first used (`slot.rs`). `cluster.rs` and `external.rs` use the two kinds and word their
//! failures; `ciphertext.rs` is what their keys encrypt to; `in_store.rs` is what KMS's operations ask.

mod backends;
pub(crate) mod ciphertext;
mod cluster;
mod connection;
mod create;
mod describe;
mod external;
pub(crate) mod in_store;
pub(crate) mod records;
mod slot;
mod update;
mod warnings;

pub use backends::{Backends, Endpoint, Hsm};
pub(crate) use connection::{connect_custom_key_store, disconnect_custom_key_store};
pub(crate) use create::create_custom_key_store;
pub(crate) use describe::describe_custom_key_stores;
pub(crate) use update::{delete_custom_key_store, update_custom_key_store};

use crate::errors;
use crate::key_stores::records::KeyStore;
use crate::key_stores::slot::Slot;
use crate::key_stores::warnings::Warnings;
use crate::state::Region;
use ringfence_keyring::SystemRandom;
use ringfence_wire::ServiceError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What all stores of a server have in common: what backs them, and the tokens that are open.
#[derive(Default)]
pub(crate) struct KeyStores {
    backends: OnceLock<Backends>,
    slots: Mutex<HashMap<Arc<str>, Arc<Slot>>>,
    warnings: Warnings,
}

impl KeyStores {
    /// Says what backs the stores of this server: once, before the first call.
    pub fn back(&self, backends: Backends) {
        if self.backends.set(backends).is_err() {
            tracing::error!("the backends of custom key stores were set twice");
        }
    }

    fn backends(&self) -> &Backends {
        self.backends.get_or_init(Backends::default)
    }

    fn slot(&self, store: &Arc<str>) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(store.clone()).or_default().clone()
    }

    /// Logs out of the token of a store that was deleted.
    fn forget(&self, store: &str) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(store);
    }
}

impl Region {
    /// The store of an id.
    ///
    /// # Errors
    /// `CustomKeyStoreNotFoundException`.
    fn store(&self, id: &str) -> Result<&Arc<KeyStore>, ServiceError> {
        self.stores.get(id).ok_or_else(|| errors::no_such_store(id))
    }
}

/// An id as requests have one, for what no request asked for.
fn own_request_id() -> String {
    ringfence_gateway::ids::uuid(&SystemRandom).unwrap_or_default()
}
