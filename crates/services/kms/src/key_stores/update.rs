//! `UpdateCustomKeyStore` and `DeleteCustomKeyStore`.
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdateCustomKeyStore.html>

use super::create::{check, healthy, public, versioned};
use super::records::{Backing, Cluster, Connection, KeyStore, XksProxy};
use crate::records::Record;
use crate::state::store_key;
use crate::{Kms, errors, home};
use ringfence_gateway::{Answer, Call, Regional, Resolved};
use ringfence_keyring::SecretString;
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{self, UpdateCustomKeyStoreRequest};
use ringfence_wire::ServiceError;
use std::sync::Arc;

pub(crate) async fn update_custom_key_store(
    kms: &Kms,
    call: Call<ops::UpdateCustomKeyStore>,
) -> Result<Answer<types::UpdateCustomKeyStoreResponse>, ServiceError> {
    let input = &call.input;
    let home = home(&call)?;
    let permit =
        call.allow(Resolved::any(home.account).key("kms:CallerAccount", home.account.to_string()))?;
    let ledger = kms.own(&call)?;
    let id = &input.custom_key_store_id;
    let before = ledger.view(&permit).store(id)?.clone();
    let backing = changed(kms, &home, input, &before)?.map(Arc::new);
    allowed_in(&before, input)?;
    let name: Arc<str> = match &input.new_custom_key_store_name {
        Some(name) => name.as_str().into(),
        None => before.name.clone(),
    };
    let wanted = backing.as_ref().unwrap_or(&before.backing);
    check(&ledger.view(&permit), Some(id), &name, wanted)?;
    if let Some(Backing::Proxy(proxy)) = backing.as_deref() {
        healthy(kms, &call, &home, proxy).await?;
    }
    ledger
        .write(&permit, |region, batch| {
            let store = region.store(id)?;
            // What was checked, and asked outside, was the store as it was.
            if store.changes != before.changes {
                return Err(errors::store_state(id, &store.connection));
            }
            let backing = backing.clone().unwrap_or_else(|| store.backing.clone());
            check(region, Some(id), &name, &backing)?;
            batch.put(Record::KeyStore(Arc::new(KeyStore {
                name: name.clone(),
                backing,
                changes: store.changes + 1,
                ..KeyStore::clone(store)
            })));
            Ok(())
        })
        .await?;
    Ok(permit.answer(types::UpdateCustomKeyStoreResponse::default()))
}

/// What a store may be changed in while it is connected: its name, and of an external one the
/// credential and the path.
fn allowed_in(store: &KeyStore, input: &UpdateCustomKeyStoreRequest) -> Result<(), ServiceError> {
    let bound = input.key_store_password.is_some()
        || input.cloud_hsm_cluster_id.is_some()
        || input.xks_proxy_uri_endpoint.is_some()
        || input.xks_proxy_connectivity.is_some()
        || input.xks_proxy_vpc_endpoint_service_name.is_some()
        || input.xks_proxy_vpc_endpoint_service_owner.is_some();
    match &store.connection {
        Connection::Disconnected => Ok(()),
        Connection::Connected if !bound => Ok(()),
        other => Err(errors::store_state(&store.id, other)),
    }
}

/// What backs the store afterwards, where that changes.
fn changed(
    kms: &Kms,
    home: &Regional,
    input: &UpdateCustomKeyStoreRequest,
    store: &KeyStore,
) -> Result<Option<Backing>, ServiceError> {
    let of_cluster = input.key_store_password.is_some() || input.cloud_hsm_cluster_id.is_some();
    let of_proxy = input.xks_proxy_uri_endpoint.is_some()
        || input.xks_proxy_uri_path.is_some()
        || input.xks_proxy_vpc_endpoint_service_name.is_some()
        || input.xks_proxy_vpc_endpoint_service_owner.is_some()
        || input.xks_proxy_authentication_credential.is_some()
        || input.xks_proxy_connectivity.is_some();
    if !of_cluster && !of_proxy {
        return match input.new_custom_key_store_name {
            Some(_) => Ok(None),
            None => Err(errors::validation("You must specify at least one property to update.")),
        };
    }
    match &*store.backing {
        Backing::Cluster(cluster) if !of_proxy => {
            let id = input.cloud_hsm_cluster_id.as_deref().unwrap_or(&cluster.id);
            // The clusters of one certificate are related. Where the operator tells none of a cluster,
            // the owner's word is taken, as when the store was made.
            if id != &*cluster.id {
                kms.stores.cluster(home.account, id)?.check_anchor(&cluster.anchor).map_err(
                    |_| {
                        types::CloudHsmClusterNotRelatedException::error(format!(
                            "Cluster {id} has another certificate than the original cluster."
                        ))
                    },
                )?;
            }
            let password = input.key_store_password.clone().map(SecretString::new);
            Ok(Some(Backing::Cluster(Cluster {
                id: id.into(),
                anchor: cluster.anchor.clone(),
                password: password.unwrap_or_else(|| cluster.password.duplicate()),
            })))
        }
        Backing::Proxy(proxy) if !of_cluster => {
            if let Some(connectivity) = &input.xks_proxy_connectivity {
                public(connectivity, input.xks_proxy_vpc_endpoint_service_name.as_deref())?;
            }
            let path = input.xks_proxy_uri_path.as_deref().unwrap_or(&proxy.path);
            versioned(path)?;
            let endpoint = input.xks_proxy_uri_endpoint.as_deref().unwrap_or(&proxy.endpoint);
            let (access_key_id, secret) = match &input.xks_proxy_authentication_credential {
                Some(given) => (
                    given.access_key_id.as_str().into(),
                    SecretString::new(given.raw_secret_access_key.clone()),
                ),
                None => (proxy.access_key_id.clone(), proxy.secret.duplicate()),
            };
            Ok(Some(Backing::Proxy(XksProxy {
                endpoint: endpoint.into(),
                path: path.into(),
                access_key_id,
                secret,
            })))
        }
        _ => Err(errors::validation("A property is not valid for this type of key store.")),
    }
}

pub(crate) async fn delete_custom_key_store(
    kms: &Kms,
    call: Call<ops::DeleteCustomKeyStore>,
) -> Result<Answer<types::DeleteCustomKeyStoreResponse>, ServiceError> {
    let account = home(&call)?.account;
    let permit =
        call.allow(Resolved::any(account).key("kms:CallerAccount", account.to_string()))?;
    let id = &call.input.custom_key_store_id;
    let now = call.now().seconds;
    kms.own(&call)?
        .write(&permit, |region, batch| {
            let store = region.store(id)?;
            if store.connection != Connection::Disconnected {
                return Err(errors::store_state(id, &store.connection));
            }
            let of_store = |key: &&Arc<crate::records::Key>| {
                key.in_store.as_ref().is_some_and(|own| own.store == store.id)
            };
            let mut keys = region.keys.values().filter(of_store);
            let in_token = matches!(*store.backing, Backing::Cluster(_));
            // The material of a key whose time has come is in its token until upkeep finds the store
            // connected; without the store nobody would destroy it.
            if keys.any(|key| in_token || !key.is_over(now)) {
                return Err(types::CustomKeyStoreHasCMKsException::error(format!(
                    "The custom key store {id} contains KMS keys."
                )));
            }
            batch.delete(store_key(id));
            Ok(())
        })
        .await?;
    kms.stores.forget(id);
    Ok(permit.answer(types::DeleteCustomKeyStoreResponse::default()))
}
