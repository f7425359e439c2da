//! `CreateCustomKeyStore`.
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateCustomKeyStore.html>

use super::external::{self, At};
use super::records::{Backing, Cluster, Connection, KeyStore, XksProxy};
use crate::records::Record;
use crate::state::Region;
use crate::{Kms, errors, home};
use ringfence_gateway::{Answer, Call, Regional, Resolved};
use ringfence_keyring::SecretString;
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{
    self, CreateCustomKeyStoreRequest, CustomKeyStoreType, XksProxyConnectivityType,
};
use ringfence_wire::{ServiceError, TypedOperation};
use ringfence_xks::{Health, RequestMetadata};
use std::sync::Arc;

pub(crate) async fn create_custom_key_store(
    kms: &Kms,
    call: Call<ops::CreateCustomKeyStore>,
) -> Result<Answer<types::CreateCustomKeyStoreResponse>, ServiceError> {
    let input = &call.input;
    let home = home(&call)?;
    let permit =
        call.allow(Resolved::any(home.account).key("kms:CallerAccount", home.account.to_string()))?;
    let backing = match &input.custom_key_store_type {
        None | Some(CustomKeyStoreType::AwsCloudhsm) => cluster(kms, &home, input)?,
        Some(CustomKeyStoreType::ExternalKeyStore) => proxy(input)?,
        Some(_) => return Err(errors::validation("This CustomKeyStoreType is not known.")),
    };
    let ledger = kms.own(&call)?;
    // What is taken already is told before anybody outside is asked.
    let name = input.custom_key_store_name.as_str();
    check(&ledger.view(&permit), None, name, &backing)?;
    if let Backing::Proxy(proxy) = &backing {
        healthy(kms, &call, &home, proxy).await?;
    }
    let store = Arc::new(KeyStore {
        id: draw_id(&call)?.into(),
        name: name.into(),
        created: call.now().seconds,
        backing: Arc::new(backing),
        connection: Connection::Disconnected,
        changes: 0,
    });
    ledger
        .write(&permit, |region, batch| {
            check(region, None, &store.name, &store.backing)?;
            if region.stores.len() >= kms.quotas.custom_key_stores {
                return Err(errors::over_quota(
                    "You have reached the limit for custom key stores.",
                ));
            }
            batch.put(Record::KeyStore(store.clone()));
            Ok(())
        })
        .await?;
    let custom_key_store_id = Some(store.id.to_string());
    Ok(permit.answer(types::CreateCustomKeyStoreResponse { custom_key_store_id }))
}

/// `cks-` and 17 hexadecimal digits.
fn draw_id<O: TypedOperation>(call: &Call<O>) -> Result<String, ServiceError> {
    let mut bytes = [0; 9];
    call.shared().random.fill(&mut bytes).map_err(errors::failed)?;
    let mut id = format!("cks-{}", hex::encode(bytes));
    id.pop();
    Ok(id)
}

/// A member that the kind of store needs.
fn needed<'i, T>(member: Option<&'i T>, name: &str) -> Result<&'i T, ServiceError> {
    member.ok_or_else(|| {
        errors::validation(format!("{name} is required for this type of key store."))
    })
}

/// Refuses members of the other kind.
fn unneeded(members: &[(bool, &str)]) -> Result<(), ServiceError> {
    match members.iter().find(|(given, _)| *given) {
        Some((_, name)) => {
            Err(errors::validation(format!("{name} is not valid for this type of key store.")))
        }
        None => Ok(()),
    }
}

fn cluster(
    kms: &Kms,
    home: &Regional,
    input: &CreateCustomKeyStoreRequest,
) -> Result<Backing, ServiceError> {
    unneeded(&[
        (input.xks_proxy_uri_endpoint.is_some(), "XksProxyUriEndpoint"),
        (input.xks_proxy_uri_path.is_some(), "XksProxyUriPath"),
        (input.xks_proxy_vpc_endpoint_service_name.is_some(), "XksProxyVpcEndpointServiceName"),
        (input.xks_proxy_authentication_credential.is_some(), "XksProxyAuthenticationCredential"),
        (input.xks_proxy_connectivity.is_some(), "XksProxyConnectivity"),
    ])?;
    let id = needed(input.cloud_hsm_cluster_id.as_ref(), "CloudHsmClusterId")?;
    let anchor = needed(input.trust_anchor_certificate.as_ref(), "TrustAnchorCertificate")?;
    let password = needed(input.key_store_password.as_ref(), "KeyStorePassword")?;
    kms.stores.cluster(home.account, id)?.check_anchor(anchor)?;
    Ok(Backing::Cluster(Cluster {
        id: id.as_str().into(),
        anchor: anchor.as_str().into(),
        password: SecretString::new(password.clone()),
    }))
}

fn proxy(input: &CreateCustomKeyStoreRequest) -> Result<Backing, ServiceError> {
    unneeded(&[
        (input.cloud_hsm_cluster_id.is_some(), "CloudHsmClusterId"),
        (input.trust_anchor_certificate.is_some(), "TrustAnchorCertificate"),
        (input.key_store_password.is_some(), "KeyStorePassword"),
    ])?;
    let connectivity = needed(input.xks_proxy_connectivity.as_ref(), "XksProxyConnectivity")?;
    let endpoint = needed(input.xks_proxy_uri_endpoint.as_ref(), "XksProxyUriEndpoint")?;
    let path = needed(input.xks_proxy_uri_path.as_ref(), "XksProxyUriPath")?;
    let credential = needed(
        input.xks_proxy_authentication_credential.as_ref(),
        "XksProxyAuthenticationCredential",
    )?;
    public(connectivity, input.xks_proxy_vpc_endpoint_service_name.as_deref())?;
    versioned(path)?;
    Ok(Backing::Proxy(XksProxy {
        endpoint: endpoint.as_str().into(),
        path: path.as_str().into(),
        access_key_id: credential.access_key_id.as_str().into(),
        secret: SecretString::new(credential.raw_secret_access_key.clone()),
    }))
}

/// There are no VPCs here, and so no endpoint services in one.
pub(super) fn public(
    connectivity: &XksProxyConnectivityType,
    service: Option<&str>,
) -> Result<(), ServiceError> {
    match (connectivity, service.unwrap_or_default()) {
        (XksProxyConnectivityType::PublicEndpoint, "") => Ok(()),
        (XksProxyConnectivityType::PublicEndpoint, _) => Err(errors::validation(
            "XksProxyVpcEndpointServiceName is not valid with PUBLIC_ENDPOINT connectivity.",
        )),
        (_, "") => Err(errors::validation(
            "XksProxyVpcEndpointServiceName is required with VPC_ENDPOINT_SERVICE connectivity.",
        )),
        (_, name) => Err(types::XksProxyVpcEndpointServiceNotFoundException::error(format!(
            "The VPC endpoint service {name} is not found."
        ))),
    }
}

/// The only version that there is.
pub(super) fn versioned(path: &str) -> Result<(), ServiceError> {
    match path.ends_with(ringfence_xks::VERSION_PATH) {
        true => Ok(()),
        false => Err(errors::validation("XksProxyUriPath must end with /kms/xks/v1.")),
    }
}

/// That nothing else of the account has a store's name, cluster or proxy; `but` is the store itself.
pub(super) fn check(
    region: &Region,
    but: Option<&str>,
    name: &str,
    backing: &Backing,
) -> Result<(), ServiceError> {
    for other in region.stores.values().filter(|other| Some(&*other.id) != but) {
        if *other.name == *name {
            return Err(types::CustomKeyStoreNameInUseException::error(format!(
                "The custom key store name {name} is already in use."
            )));
        }
        match (&*other.backing, backing) {
            (Backing::Cluster(taken), Backing::Cluster(cluster)) if taken.id == cluster.id => {
                return Err(types::CloudHsmClusterInUseException::error(format!(
                    "Cluster {} is already associated with a custom key store.",
                    cluster.id
                )));
            }
            (Backing::Proxy(taken), Backing::Proxy(proxy))
                if taken.endpoint == proxy.endpoint && taken.path == proxy.path =>
            {
                return Err(types::XksProxyUriInUseException::error(
                    "The XksProxyUriEndpoint and XksProxyUriPath are already in use by another \
                     external key store.",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Asks a proxy for its health.
pub(super) async fn healthy<O: TypedOperation>(
    kms: &Kms,
    call: &Call<O>,
    home: &Regional,
    proxy: &XksProxy,
) -> Result<(), ServiceError> {
    let of = RequestMetadata {
        kms_operation: O::OPERATION.name.into(),
        kms_request_id: call.facts().request_id.to_string(),
        ..RequestMetadata::default()
    };
    let health = kms.stores.health(proxy, home, of).await;
    match health.map_err(|failure| external::refused(&failure, At::Store))? {
        Health::Serving => Ok(()),
        Health::Unavailable => Err(external::unavailable()),
    }
}
