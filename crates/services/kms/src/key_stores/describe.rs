//! `DescribeCustomKeyStores`: everything but the secrets.

use super::records::{Backing, Connection, KeyStore};
use crate::{Kms, errors, home};
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{
    self, CustomKeyStoresListEntry, XksProxyConfigurationType, XksProxyConnectivityType,
};
use ringfence_wire::{ServiceError, Timestamp};

/// Stores of a page where `Limit` is not given.
const PAGE: usize = 100;

pub(crate) async fn describe_custom_key_stores(
    kms: &Kms,
    call: Call<ops::DescribeCustomKeyStores>,
) -> Result<Answer<types::DescribeCustomKeyStoresResponse>, ServiceError> {
    let input = &call.input;
    let account = home(&call)?.account;
    let permit =
        call.allow(Resolved::any(account).key("kms:CallerAccount", account.to_string()))?;
    let region = kms.view(&call, &permit)?;
    let one = match (&input.custom_key_store_id, &input.custom_key_store_name) {
        (Some(_), Some(_)) => {
            return Err(errors::validation(
                "You can specify either CustomKeyStoreId or CustomKeyStoreName, but not both.",
            ));
        }
        (Some(id), None) => Some(region.store(id)?),
        (None, Some(name)) => {
            let found = region.stores.values().find(|store| *store.name == **name);
            Some(found.ok_or_else(|| errors::no_such_store(name))?)
        }
        (None, None) => None,
    };
    if let Some(store) = one {
        return Ok(permit.answer(types::DescribeCustomKeyStoresResponse {
            custom_key_stores: Some(vec![shown(store)]),
            next_marker: None,
            truncated: Some(false),
        }));
    }
    let pager = kms.pager(&call, &[], input.marker.as_deref(), input.limit, PAGE)?;
    let page = pager.cut(pager.of(&region.stores))?.map(|store| shown(store));
    Ok(permit.answer(types::DescribeCustomKeyStoresResponse {
        truncated: page.truncated(),
        custom_key_stores: Some(page.items),
        next_marker: page.marker,
    }))
}

/// A store as answers carry it.
fn shown(store: &KeyStore) -> CustomKeyStoresListEntry {
    let entry = CustomKeyStoresListEntry {
        custom_key_store_id: Some(store.id.to_string()),
        custom_key_store_name: Some(store.name.to_string()),
        connection_state: Some(store.connection.state()),
        connection_error_code: match &store.connection {
            Connection::Failed(code) => Some(code.clone()),
            _ => None,
        },
        creation_date: Some(Timestamp::from_seconds(store.created)),
        custom_key_store_type: Some(store.kind()),
        ..CustomKeyStoresListEntry::default()
    };
    match &*store.backing {
        Backing::Cluster(cluster) => CustomKeyStoresListEntry {
            cloud_hsm_cluster_id: Some(cluster.id.to_string()),
            trust_anchor_certificate: Some(cluster.anchor.to_string()),
            ..entry
        },
        Backing::Proxy(proxy) => CustomKeyStoresListEntry {
            xks_proxy_configuration: Some(XksProxyConfigurationType {
                connectivity: Some(XksProxyConnectivityType::PublicEndpoint),
                access_key_id: Some(proxy.access_key_id.to_string()),
                uri_endpoint: Some(proxy.endpoint.to_string()),
                uri_path: Some(proxy.path.to_string()),
                ..XksProxyConfigurationType::default()
            }),
            ..entry
        },
    }
}
