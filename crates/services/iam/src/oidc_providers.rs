//! OpenID Connect providers: issuers whose tokens roles may trust.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html>
//!
//! A provider's name is its issuer's URL without the scheme, as AWS has it in ARNs and in condition
//! keys. It is told apart by case: the path of an issuer may be.

use crate::entity::{Allowed, Entity, resolve_at};
use crate::records::{OidcProvider, Record, shared_tags};
use crate::state::Account;
use crate::tags::{self, pairs};
use crate::{Iam, arn, errors};
use ringfence_gateway::{Answer, Call, Resolved, State, Tags};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_policy::{AccountId, Arn};
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use std::net::IpAddr;
use std::sync::Arc;

/// Thumbprints of one provider.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateOpenIDConnectProvider.html>
const THUMBPRINTS: usize = 5;

/// An issuer's URL, cut.
struct Url<'a> {
    /// What follows the scheme.
    name: &'a str,
    /// It is `http`, which a loopback address alone may be.
    plain: bool,
}

impl<'a> Url<'a> {
    /// Cuts one. AWS takes `https` alone; a loopback issuer may do without, as on a developer's
    /// machine: nothing between it and the server can change what it says.
    ///
    /// # Errors
    /// `ValidationError`.
    fn parse(url: &'a str) -> Result<Self, ServiceError> {
        let cut = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(name), _) => Self { name, plain: false },
            (None, Some(name)) => Self { name, plain: true },
            (None, None) => return Err(errors::bad_provider_url()),
        };
        let authority = cut.name.split('/').next().unwrap_or_default();
        let host = host(authority).ok_or_else(errors::bad_provider_url)?;
        let path_holds = |b: u8| b.is_ascii_alphanumeric() || b"-._~/!$&'()+,;=:@%".contains(&b);
        let sound = cut.name.bytes().skip(authority.len()).all(path_holds);
        let reachable = !cut.plain || is_loopback(host);
        if sound && reachable { Ok(cut) } else { Err(errors::bad_provider_url()) }
    }
}

/// The host of `host`, `host:port` or `[address]:port`; `None` for what is none of them.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, after.strip_prefix(':').or(after.is_empty().then_some("0"))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "0")),
    };
    let named = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let sound = host.contains(':') || (!host.is_empty() && host.bytes().all(named));
    (sound && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
        .then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().map_or(host == "localhost", |address| address.is_loopback())
}

fn checked_thumbprints(given: &[String]) -> Result<Box<[String]>, ServiceError> {
    if given.len() > THUMBPRINTS {
        return Err(errors::too_many_thumbprints());
    }
    if given.iter().any(|print| !print.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(errors::invalid_input("Thumbprint must be 40 hexadecimal digits."));
    }
    Ok(given.iter().map(|print| print.to_ascii_lowercase()).collect())
}

fn checked_clients(iam: &Iam, given: &[String]) -> Result<Vec<String>, ServiceError> {
    let mut clients: Vec<String> = Vec::new();
    for client in given {
        if !clients.contains(client) {
            clients.push(client.clone());
        }
    }
    let limit = iam.quotas.client_ids;
    if clients.len() > limit {
        return Err(errors::over_quota("ClientIdsPerOpenIdConnectProvider", limit));
    }
    Ok(clients)
}

/// The tags of a provider after these are set.
///
/// # Errors
/// As [`tags::with`], the limit in the words that AWS has for providers.
pub(crate) fn tagged(
    had: &Tags,
    given: &[types::Tag],
    limit: usize,
) -> Result<Arc<Tags>, ServiceError> {
    let tags = tags::with(had, given, false, usize::MAX)?;
    if tags.len() > limit {
        return Err(errors::too_many_tags_of_provider());
    }
    Ok(shared_tags(tags))
}

/// Asks for the operation's action on the provider that a request names by ARN. One of another
/// account is none: what that account has is not told.
///
/// # Errors
/// `InvalidInput` for what is no ARN of this kind, `AccessDenied`.
pub(crate) fn allow_provider<E: Entity, O: TypedOperation>(
    iam: &Iam,
    call: &Call<O>,
    text: &str,
    keys: impl FnOnce(Resolved<Option<Arc<E>>>) -> Resolved<Option<Arc<E>>>,
) -> Result<Allowed<E>, ServiceError> {
    let id = call.account()?;
    let (owner, name) = named::<E>(text).ok_or_else(|| errors::no_policy_arn(text))?;
    let ledger = iam.ledger(id)?;
    let resolved = ledger.resolve(|account| {
        let found = E::find(account, name).filter(|one| owner == id && **one.name() == *name);
        keys(resolve_at::<O, E>(text.to_owned(), id, found.cloned()))
    });
    let permit = call.allow(resolved)?;
    Ok(Allowed { ledger, id, permit, name: name.to_owned(), shown: text.to_owned() })
}

/// The account and name of a provider's ARN.
fn named<E: Entity>(text: &str) -> Option<(AccountId, &str)> {
    let arn = Arn::parse(text).ok()?;
    let name = arn.resource.strip_prefix(E::KIND)?.strip_prefix('/')?;
    let sound = (arn.partition, arn.service, arn.region) == ("aws", "iam", "") && !name.is_empty();
    sound.then_some((arn.account_id()?, name))
}

pub(crate) async fn create_open_id_connect_provider(
    iam: &Iam,
    call: Call<ops::CreateOpenIDConnectProvider>,
) -> Result<Answer<types::CreateOpenIDConnectProviderResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let given = input.tags.as_deref().unwrap_or_default();
    let url = Url::parse(&input.url)?;
    let target = || {
        Resolved::new(arn::of(OidcProvider::KIND, id, "/", url.name), id, ())
            .requesting_tags(pairs(given))
    };
    let permit = call.allow(target())?;
    if !given.is_empty() {
        call.allow_action("iam:TagOpenIDConnectProvider", target())?;
    }
    let provider = Arc::new(OidcProvider {
        url: url.name.into(),
        plain: url.plain,
        id: iam.provider_id("OIDC")?,
        created: call.now().seconds,
        clients: checked_clients(iam, input.client_id_list.as_deref().unwrap_or_default())?,
        thumbprints: checked_thumbprints(input.thumbprint_list.as_deref().unwrap_or_default())?,
        tags: tagged(&Tags::new(), given, iam.quotas.tags)?,
    });
    let limit = iam.quotas.oidc_providers;
    ledger
        .write(&permit, |account, batch| {
            if OidcProvider::find(account, &provider.url).is_some() {
                return Err(errors::provider_url_exists(&input.url));
            }
            if account.oidc_providers.len() >= limit {
                return Err(errors::over_quota("OpenIdConnectProvidersPerAccount", limit));
            }
            batch.put(Record::OidcProvider(provider.clone()));
            Ok(())
        })
        .await?;
    Ok(permit.answer(types::CreateOpenIDConnectProviderResponse {
        open_id_connect_provider_arn: Some(provider.arn(id)),
        tags: tags::listed_if_any(&provider.tags),
    }))
}

pub(crate) async fn get_open_id_connect_provider(
    iam: &Iam,
    call: Call<ops::GetOpenIDConnectProvider>,
) -> Result<Answer<types::GetOpenIDConnectProviderResponse>, ServiceError> {
    let arn = &call.input.open_id_connect_provider_arn;
    let allowed = allow_provider::<OidcProvider, _>(iam, &call, arn, |resolved| resolved)?;
    let provider = allowed.found()?;
    Ok(allowed.permit.answer(types::GetOpenIDConnectProviderResponse {
        url: Some(provider.url.to_string()),
        client_id_list: Some(provider.clients.clone()),
        thumbprint_list: Some(provider.thumbprints.to_vec()),
        create_date: Some(Timestamp::from_seconds(provider.created)),
        tags: Some(tags::listed(&provider.tags)),
    }))
}

pub(crate) async fn list_open_id_connect_providers(
    iam: &Iam,
    call: Call<ops::ListOpenIDConnectProviders>,
) -> Result<Answer<types::ListOpenIDConnectProvidersResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::new(arn::of(OidcProvider::KIND, id, "/", "*"), id, ()))?;
    let account = ledger.view(&permit);
    let entry =
        |one: &Arc<OidcProvider>| types::OpenIDConnectProviderListEntry { arn: Some(one.arn(id)) };
    Ok(permit.answer(types::ListOpenIDConnectProvidersResponse {
        open_id_connect_provider_list: Some(account.oidc_providers.values().map(entry).collect()),
    }))
}

/// AWS's page calls it idempotent; its answer for a provider that is gone was recorded.
pub(crate) async fn delete_open_id_connect_provider(
    iam: &Iam,
    call: Call<ops::DeleteOpenIDConnectProvider>,
) -> Result<Answer<Empty>, ServiceError> {
    let arn = &call.input.open_id_connect_provider_arn;
    let allowed = allow_provider::<OidcProvider, _>(iam, &call, arn, |resolved| resolved)?;
    let gone = |_| errors::no_oidc_provider_to_delete(arn);
    allowed.found().map_err(gone)?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            OidcProvider::get(account, &allowed.name).map_err(gone)?;
            let provider = allowed.now(account)?;
            batch.delete(Account::key(&Record::OidcProvider(provider.clone())));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn add_client_id_to_open_id_connect_provider(
    iam: &Iam,
    call: Call<ops::AddClientIDToOpenIDConnectProvider>,
) -> Result<Answer<Empty>, ServiceError> {
    let arn = &call.input.open_id_connect_provider_arn;
    let client = &call.input.client_id;
    let allowed = allow_provider::<OidcProvider, _>(iam, &call, arn, |resolved| resolved)?;
    allowed
        .change(|_, provider| {
            if provider.clients.contains(client) {
                return Ok(false);
            }
            provider.clients.push(client.clone());
            checked_clients(iam, &provider.clients)?;
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn remove_client_id_from_open_id_connect_provider(
    iam: &Iam,
    call: Call<ops::RemoveClientIDFromOpenIDConnectProvider>,
) -> Result<Answer<Empty>, ServiceError> {
    let arn = &call.input.open_id_connect_provider_arn;
    let allowed = allow_provider::<OidcProvider, _>(iam, &call, arn, |resolved| resolved)?;
    allowed
        .change(|_, provider| {
            let had = provider.clients.len();
            provider.clients.retain(|client| *client != call.input.client_id);
            Ok(provider.clients.len() != had)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn update_open_id_connect_provider_thumbprint(
    iam: &Iam,
    call: Call<ops::UpdateOpenIDConnectProviderThumbprint>,
) -> Result<Answer<Empty>, ServiceError> {
    let arn = &call.input.open_id_connect_provider_arn;
    let allowed = allow_provider::<OidcProvider, _>(iam, &call, arn, |resolved| resolved)?;
    let thumbprints = checked_thumbprints(&call.input.thumbprint_list)?;
    allowed
        .change(|_, provider| {
            let changed = provider.thumbprints != thumbprints;
            provider.thumbprints.clone_from(&thumbprints);
            Ok(changed)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

impl Iam {
    /// The unique id of a provider: a kind and 24 random characters of `0-9A-F`. No caller sees
    /// that of an OpenID Connect provider.
    pub(crate) fn provider_id(&self, kind: &str) -> Result<Box<str>, ServiceError> {
        let mut bytes = [0; 12];
        self.random.fill(&mut bytes).map_err(errors::failed)?;
        let digits = bytes.iter().map(|byte| format!("{byte:02X}"));
        Ok(std::iter::once(kind.to_owned()).chain(digits).collect::<String>().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuers_url_is_https_and_has_a_host_and_perhaps_a_path() {
        for (url, name) in [
            ("https://example.com", "example.com"),
            ("https://tenant.auth0.com/", "tenant.auth0.com/"),
            (
                "https://oidc.eks.us-east-1.amazonaws.com/id/AB12",
                "oidc.eks.us-east-1.amazonaws.com/id/AB12",
            ),
            ("https://keycloak.example.com:8443/realms/a", "keycloak.example.com:8443/realms/a"),
            ("https://[2001:db8::1]:8443/a", "[2001:db8::1]:8443/a"),
            ("http://127.0.0.1:8080/a", "127.0.0.1:8080/a"),
            ("http://localhost/a", "localhost/a"),
            ("http://[::1]:1", "[::1]:1"),
        ] {
            let cut = Url::parse(url).unwrap();
            assert_eq!((cut.name, cut.plain), (name, url.starts_with("http:")), "{url}");
        }
        for url in [
            "example.org",
            "",
            "https://",
            "https:///path",
            "HTTPS://example.com",
            "ftp://example.com",
            "http://example.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://127.0.0.1@example.com",
            "https://user@example.com",
            "https://example.com?x=1",
            "https://example.com/a?x=1",
            "https://example.com/#a",
            "https://example.com/a b",
            "https://example.com/*",
            "https://example.com:port",
            "https://example.com:99999",
            "https://[::1",
            "https://[nonsense]",
            "https://exämple.com",
        ] {
            let refused = Url::parse(url).err().map(|error| error.code.to_string());
            assert_eq!(refused.as_deref(), Some("ValidationError"), "{url}");
        }
    }

    #[test]
    fn an_arn_names_a_provider_of_its_own_kind() {
        let (owner, name) =
            named::<OidcProvider>("arn:aws:iam::123456789012:oidc-provider/a.b/c").unwrap();
        assert_eq!((owner.to_string().as_str(), name), ("123456789012", "a.b/c"));
        for text in [
            "arn:aws:iam::123456789012:saml-provider/a",
            "arn:aws:iam::123456789012:oidc-provider/",
            "arn:aws:iam::123456789012:oidc-providerx/a",
            "arn:aws:sts::123456789012:oidc-provider/a",
            "arn:aws:iam::12:oidc-provider/a",
            "a.b/c",
        ] {
            assert!(named::<OidcProvider>(text).is_none(), "{text}");
        }
    }

    #[test]
    fn thumbprints_are_few_and_hexadecimal() {
        let print = "AB".repeat(20);
        assert_eq!(*checked_thumbprints(std::slice::from_ref(&print)).unwrap(), ["ab".repeat(20)]);
        assert!(checked_thumbprints(&[]).unwrap().is_empty());
        let refused = checked_thumbprints(&vec![print; 6]).unwrap_err();
        assert_eq!(refused.message, "Thumbprint list must contain fewer than 5 entries.");
        assert!(checked_thumbprints(&["x".repeat(40)]).is_err());
    }
}
