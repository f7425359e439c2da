//! A store's connection, from one state to the next.
//!
//! ```text
//!                  Connect                    it works
//!   Disconnected ──────────► Connecting ──────────────────► Connected
//!        ▲                       │  it does not ──► Failed     │
//!        └───────── Disconnect ──┴───────────────────┴─────────┘
//! ```
//!
//! `ConnectCustomKeyStore` writes `Connecting` and answers; a task beside tries, and writes what came
//! of it. Upkeep tries for stores that were left in `Connecting` by a server that ended, once, and writes
//! again what could not be written. Every change counts `changes` up, and a task whose count is no longer
//! the store's has nothing to say.

use super::records::{Backing, Connection, KeyStore};
use super::slot::Try;
use super::{KeyStores, cluster, external, own_request_id};
use crate::state::Region;
use crate::{Kms, errors, home};
use ringfence_gateway::{Answer, Call, Ledger, Regional, Resolved};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{self, ConnectionErrorCodeType as Code};
use ringfence_wire::ServiceError;
use ringfence_xks::{Health, RequestMetadata};
use std::sync::Arc;

use crate::records::Record;

pub(crate) async fn connect_custom_key_store(
    kms: &Kms,
    call: Call<ops::ConnectCustomKeyStore>,
) -> Result<Answer<types::ConnectCustomKeyStoreResponse>, ServiceError> {
    let home = home(&call)?;
    let permit =
        call.allow(Resolved::any(home.account).key("kms:CallerAccount", home.account.to_string()))?;
    let ledger = kms.own(&call)?;
    let id = &call.input.custom_key_store_id;
    let begun = ledger
        .write(&permit, |region, batch| {
            let store = region.store(id)?;
            match &store.connection {
                Connection::Connected | Connection::Connecting => return Ok(None),
                Connection::Failed(_) => return Err(errors::store_state(id, &store.connection)),
                Connection::Disconnected => {}
            }
            let store = Arc::new(store.with(Connection::Connecting));
            batch.put(Record::KeyStore(store.clone()));
            Ok(Some(store))
        })
        .await?;
    if let Some(store) = begun {
        let stores = kms.stores.clone();
        let request = Arc::from(&*call.facts().request_id);
        tokio::task::spawn_local(
            async move { stores.connect(&home, &ledger, &store, request).await },
        );
    }
    Ok(permit.answer(types::ConnectCustomKeyStoreResponse::default()))
}

pub(crate) async fn disconnect_custom_key_store(
    kms: &Kms,
    call: Call<ops::DisconnectCustomKeyStore>,
) -> Result<Answer<types::DisconnectCustomKeyStoreResponse>, ServiceError> {
    let home = home(&call)?;
    let permit =
        call.allow(Resolved::any(home.account).key("kms:CallerAccount", home.account.to_string()))?;
    let id = &call.input.custom_key_store_id;
    let before = kms
        .own(&call)?
        .write(&permit, |region, batch| {
            let store = region.store(id)?;
            if store.connection == Connection::Disconnected {
                return Err(errors::store_state(id, &store.connection));
            }
            batch.put(Record::KeyStore(Arc::new(store.with(Connection::Disconnected))));
            Ok(store.clone())
        })
        .await?;
    kms.stores.slot(&before.id).end(before.changes);
    Ok(permit.answer(types::DisconnectCustomKeyStoreResponse::default()))
}

impl Kms {
    /// Carries a region's connections on that were begun and not ended when the server stopped. Those
    /// that this server began it leaves to their tasks.
    pub(crate) async fn carry_on_connections(&self, home: &Regional) {
        let Some(ledger) = self.ledgers.get(home) else { return };
        let begun: Vec<_> = {
            let region = ledger.for_deciding();
            let stores = region.stores.values();
            stores.filter(|store| store.connection == Connection::Connecting).cloned().collect()
        };
        for store in begun {
            self.stores.connect(home, &ledger, &store, own_request_id().into()).await;
        }
    }
}

impl KeyStores {
    /// Tries to connect a store, and writes down what came of it.
    async fn connect(
        &self,
        home: &Regional,
        ledger: &Arc<Ledger<Region>>,
        store: &KeyStore,
        request_id: Arc<str>,
    ) {
        let slot = self.slot(&store.id);
        match slot.to_try(store.changes) {
            Try::Now => {}
            Try::UnderWay => return,
            Try::Done(outcome) => return self.note(ledger, store, outcome).await,
        }
        let outcome = match &*store.backing {
            Backing::Cluster(cluster) => {
                if self.backends().hsm(home.account, &cluster.id).is_none() {
                    Err(Code::ClusterNotFound)
                } else {
                    let opened = self.in_token(home.account, store, cluster, |token| token.ping());
                    opened.await.map_err(|error| {
                        tracing::warn!(store = &*store.id, %error, "a key store is not connected");
                        cluster::connection_error(&error)
                    })
                }
            }
            Backing::Proxy(proxy) => {
                let of = RequestMetadata {
                    kms_operation: "ConnectCustomKeyStore".into(),
                    kms_request_id: request_id.to_string(),
                    ..RequestMetadata::default()
                };
                match self.health(proxy, home, of).await {
                    Ok(Health::Serving) => Ok(()),
                    Ok(Health::Unavailable) => Err(Code::XksProxyNotReachable),
                    Err(failure) => Err(external::connection_error(&failure)),
                }
            }
        };
        let connection = match outcome {
            Ok(()) => Connection::Connected,
            Err(code) => Connection::Failed(code),
        };
        slot.tried(store.changes, &connection);
        self.note(ledger, store, connection).await;
    }

    /// Writes down a store's new state, unless something else has happened to it.
    pub(super) async fn note(
        &self,
        ledger: &Arc<Ledger<Region>>,
        store: &KeyStore,
        connection: Connection,
    ) {
        let connected = connection == Connection::Connected;
        let written = ledger
            .write_unasked(|region, batch| {
                let now = region.stores.get(&store.id).filter(|now| now.changes == store.changes);
                let Some(now) = now else { return Ok(false) };
                batch.put(Record::KeyStore(Arc::new(now.with(connection.clone()))));
                Ok(true)
            })
            .await;
        match written {
            Ok(true) if connected => {}
            Ok(_) => self.slot(&store.id).end(store.changes),
            Err(error) => {
                tracing::warn!(%error, store = &*store.id, "a key store's state was not written");
            }
        }
    }
}
