//! Outbound identity federation: the account as an issuer of tokens for services elsewhere.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound.html>
//!
//! AWS's issuers are `https://UUID.tokens.sts.global.api.aws`. One of this server is
//! `BASE/_ringfence/oidc/UUID`, where BASE is the server's endpoint or what `--issuer-url` says, and
//! publishes the same two documents under it. They stay published when the feature is disabled:
//! "this operation does not affect tokens that were issued before".
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DisableOutboundWebIdentityFederation.html>

use crate::issuer_records::{IssuerKey, KEPT, Made, TokenIssuer};
use crate::records::Record;
use crate::state::Account;
use crate::{Iam, errors};
use ringfence_gateway::{
    Answer, Call, Ledger, Published, Publisher, Resolved, TokenIssuer as Issues,
};
use ringfence_keyring::{Random, SigningAlgorithm};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{
    EnableOutboundWebIdentityFederationResponse, GetOutboundWebIdentityFederationInfoResponse,
};
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use ringfence_wire::value::Empty;
use serde_json::json;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::Semaphore;

/// What the documents are published under: `/_ringfence/oidc/`.
pub const PUBLISHED_AS: &str = "oidc";

/// Keys that are made at once: an RSA key takes a tenth of a second of a core.
const AT_ONCE: usize = 2;

/// Both kinds of keys, in the order of the key set.
const ALGORITHMS: [SigningAlgorithm; 2] = [SigningAlgorithm::Rs256, SigningAlgorithm::Es384];

/// The accounts as issuers.
pub(crate) struct Issuers {
    /// What their URLs begin with.
    base: OnceLock<String>,
    making: Semaphore,
}

/// Whose the identifier of an issuer is. It is told to nobody.
#[derive(Default)]
pub(crate) struct IssuersAccounts(Mutex<HashMap<Arc<str>, AccountId>>);

impl IssuersAccounts {
    /// Notes the issuer that an account has.
    pub fn note(&self, account: AccountId, issuer: &TokenIssuer) {
        self.lock().insert(issuer.id.clone(), account);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, AccountId>> {
        // Every change is one insertion, so a panic leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Issuers {
    fn default() -> Self {
        Self { base: OnceLock::new(), making: Semaphore::new(AT_ONCE) }
    }
}

impl Issuers {
    /// The URL of an issuer.
    fn url(&self, issuer: &TokenIssuer) -> Option<String> {
        Some(format!("{}/_ringfence/{PUBLISHED_AS}/{}", self.base.get()?, issuer.id))
    }

    /// Makes a key, apart from the threads that serve.
    async fn make(&self, algorithm: SigningAlgorithm) -> Result<Made, ServiceError> {
        let making = tokio::task::spawn_blocking(move || Made::new(algorithm));
        making.await.map_err(errors::failed)?.map_err(errors::failed)
    }
}

fn uuid(random: &dyn Random) -> Result<Arc<str>, ServiceError> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes).map_err(errors::failed)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string().into())
}

pub(crate) async fn enable_outbound_web_identity_federation(
    iam: &Iam,
    call: Call<ops::EnableOutboundWebIdentityFederation>,
) -> Result<Answer<EnableOutboundWebIdentityFederationResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    let known = ledger.view(&permit).token_issuer;
    if known.as_ref().is_some_and(|issuer| issuer.enabled) {
        return Err(errors::feature_enabled());
    }
    // An account has one issuer for good, as those who trust it by its URL need it.
    let new = match known {
        Some(_) => None,
        None => {
            let _turn = iam.issuers.making.acquire().await.map_err(errors::failed)?;
            // Who was first has done it.
            if ledger.view(&permit).token_issuer.is_some() {
                return Err(errors::feature_enabled());
            }
            let mut made = Vec::new();
            for algorithm in ALGORITHMS {
                made.push(iam.issuers.make(algorithm).await?);
            }
            Some(TokenIssuer::new(uuid(&*iam.random)?, &made, call.now().seconds))
        }
    };
    let across = iam.across()?;
    let issuer = ledger
        .write(&permit, |account, batch| {
            let issuer = match (&account.token_issuer, &new) {
                (Some(issuer), _) if issuer.enabled => return Err(errors::feature_enabled()),
                (Some(issuer), _) => TokenIssuer { enabled: true, ..TokenIssuer::clone(issuer) },
                (None, Some(new)) => new.clone(),
                (None, None) => return Err(errors::failed("an issuer has gone")),
            };
            let issuer = Arc::new(issuer);
            batch.put(Record::TokenIssuer(issuer.clone()));
            Ok(issuer)
        })
        .await?;
    across.issuers.note(id, &issuer);
    Ok(permit.answer(EnableOutboundWebIdentityFederationResponse {
        issuer_identifier: iam.issuers.url(&issuer),
    }))
}

pub(crate) async fn disable_outbound_web_identity_federation(
    iam: &Iam,
    call: Call<ops::DisableOutboundWebIdentityFederation>,
) -> Result<Answer<Empty>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    ledger
        .write(&permit, |account, batch| {
            let enabled = account.token_issuer.as_ref().filter(|issuer| issuer.enabled);
            let issuer = enabled.ok_or_else(errors::feature_disabled)?;
            let issuer = TokenIssuer { enabled: false, ..TokenIssuer::clone(issuer) };
            batch.put(Record::TokenIssuer(Arc::new(issuer)));
            Ok(())
        })
        .await?;
    Ok(permit.answer(Empty::default()))
}

pub(crate) async fn get_outbound_web_identity_federation_info(
    iam: &Iam,
    call: Call<ops::GetOutboundWebIdentityFederationInfo>,
) -> Result<Answer<GetOutboundWebIdentityFederationInfoResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    let issuer = ledger.view(&permit).token_issuer.filter(|issuer| issuer.enabled);
    let issuer = issuer.ok_or_else(errors::feature_disabled)?;
    Ok(permit.answer(GetOutboundWebIdentityFederationInfoResponse {
        issuer_identifier: iam.issuers.url(&issuer),
        jwt_vending_enabled: Some(issuer.enabled),
    }))
}

impl Iam {
    /// Says what the URLs of issuers begin with: where this server is reached from outside, without
    /// a slash at the end. The first word counts.
    pub fn issue_tokens_at(&self, base: &str) {
        if self.issuers.base.set(base.to_owned()).is_err() {
            tracing::error!("where tokens are issued is said twice");
        }
    }

    fn enabled_issuer(&self, account: AccountId) -> Option<Arc<TokenIssuer>> {
        let ledger = self.ledgers.get(account)?;
        let issuer = ledger.for_deciding().token_issuer.clone();
        issuer.filter(|issuer| issuer.enabled)
    }

    /// The key that signs, after a successor was made and spent ones were destroyed where it is time.
    async fn signing_key(
        &self,
        ledger: &Arc<Ledger<Account>>,
        algorithm: SigningAlgorithm,
        now: i64,
    ) -> Result<Option<IssuerKey>, ServiceError> {
        let look = || ledger.for_deciding().token_issuer.clone().filter(|issuer| issuer.enabled);
        let is_settled =
            |issuer: &TokenIssuer| !issuer.needs_key(algorithm, now) && !issuer.needs_tidying(now);
        let Some(issuer) = look() else { return Ok(None) };
        if is_settled(&issuer) {
            return Ok(issuer.signer(algorithm, now).cloned());
        }
        let _turn = self.issuers.making.acquire().await.map_err(errors::failed)?;
        // Who was first has done it.
        let Some(issuer) = look() else { return Ok(None) };
        let made = match issuer.needs_key(algorithm, now) {
            true => Some(self.issuers.make(algorithm).await?),
            false => None,
        };
        ledger
            .write_unasked(|account, batch| {
                let Some(issuer) = account.token_issuer.as_ref().filter(|one| one.enabled) else {
                    return Ok(None);
                };
                let mut issuer = TokenIssuer::clone(issuer);
                if !is_settled(&issuer) {
                    issuer.tidy(now);
                    if let Some(made) = made.as_ref().filter(|_| issuer.needs_key(algorithm, now)) {
                        issuer.add(made, now);
                    }
                    batch.put(Record::TokenIssuer(Arc::new(issuer.clone())));
                }
                Ok(issuer.signer(algorithm, now).cloned())
            })
            .await
    }
}

impl Issues for Iam {
    fn issuer(&self, account: AccountId) -> Option<String> {
        self.issuers.url(&*self.enabled_issuer(account)?)
    }

    fn sign<'a>(
        &'a self,
        account: AccountId,
        algorithm: SigningAlgorithm,
        claims: &'a str,
        now: i64,
    ) -> Pin<Box<dyn Future<Output = Result<Option<String>, ServiceError>> + 'a>> {
        Box::pin(async move {
            let Some(ledger) = self.ledgers.get(account) else { return Ok(None) };
            match self.signing_key(&ledger, algorithm, now).await? {
                Some(key) => key.token(claims).map(Some).map_err(errors::failed),
                None => Ok(None),
            }
        })
    }
}

/// The claims that tokens have.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html>
const CLAIMS: [&str; 7] = ["iss", "sub", "aud", "exp", "iat", "jti", "https://sts.amazonaws.com/"];

impl Publisher for Iam {
    /// `UUID/.well-known/openid-configuration` and `UUID/.well-known/jwks.json`.
    /// <https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata>
    fn document(&self, path: &str) -> Option<Published> {
        let (id, name) = path.split_once("/.well-known/")?;
        let account = *self.across().ok()?.issuers.lock().get(id)?;
        let ledger = self.ledgers.get(account)?;
        let issuer = ledger.for_deciding().token_issuer.clone()?;
        let body = match name {
            "openid-configuration" => {
                let url = self.issuers.url(&issuer)?;
                json!({
                    "issuer": url,
                    "jwks_uri": format!("{url}/.well-known/jwks.json"),
                    "response_types_supported": ["id_token"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256", "ES384"],
                    "claims_supported": CLAIMS,
                })
            }
            "jwks.json" => issuer.key_set(self.clock.now().seconds),
            _ => return None,
        };
        let content_type = "application/json";
        Some(Published { content_type, body: body.to_string(), max_age: KEPT })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER, iam_over, store};
    use ringfence_store::Store;
    use serde_json::Value;

    const UUID: &str = "4b4c4e4a-0000-4000-8000-000000000000";

    /// An account whose issuer has no keys yet.
    async fn with_issuer(store: &Arc<Store>) -> Arc<Iam> {
        let iam = iam_over(store);
        iam.create_account(ID, "test").await.unwrap();
        put(&iam, |issuer| *issuer = TokenIssuer::new(UUID.into(), &[], 0)).await;
        // As a restart finds it.
        let iam = iam_over(store);
        iam.issue_tokens_at("https://id.example.com");
        iam
    }

    async fn put(iam: &Iam, change: impl Fn(&mut TokenIssuer)) {
        let ledger = iam.ledger(ID).unwrap();
        ledger
            .write_unasked(|account, batch| {
                let known = account.token_issuer.as_deref().cloned();
                let mut issuer = known.unwrap_or_else(|| TokenIssuer::new("".into(), &[], 0));
                change(&mut issuer);
                batch.put(Record::TokenIssuer(Arc::new(issuer)));
                Ok(())
            })
            .await
            .unwrap();
    }

    fn published(iam: &Iam, path: &str) -> Option<Value> {
        let document = iam.document(path)?;
        assert_eq!(document.content_type, "application/json");
        Some(serde_json::from_str(&document.body).unwrap())
    }

    #[tokio::test]
    async fn documents_are_published_under_the_identifier_alone_and_survive_a_restart() {
        let iam = with_issuer(&store()).await;
        let url = format!("https://id.example.com/_ringfence/oidc/{UUID}");
        assert_eq!(iam.issuer(ID).as_deref(), Some(url.as_str()));
        assert_eq!(iam.issuer(OTHER), None);
        let found = published(&iam, &format!("{UUID}/.well-known/openid-configuration")).unwrap();
        assert_eq!(found["issuer"], url);
        assert_eq!(found["jwks_uri"], format!("{url}/.well-known/jwks.json"));
        assert!(!found.to_string().contains(&ID.to_string()));
        for path in [
            format!("{UUID}/.well-known/keys"),
            format!("{UUID}/jwks.json"),
            format!("{}/.well-known/jwks.json", UUID.to_uppercase()),
            format!("{ID}/.well-known/jwks.json"),
            "/.well-known/jwks.json".into(),
            String::new(),
        ] {
            assert!(published(&iam, &path).is_none(), "{path}");
        }
    }

    #[tokio::test]
    async fn a_key_is_made_once_when_it_is_first_needed_and_is_durable() {
        let store = store();
        let iam = with_issuer(&store).await;
        let jwks = format!("{UUID}/.well-known/jwks.json");
        let now = iam.clock.now().seconds;
        let sign = || iam.sign(ID, SigningAlgorithm::Es384, "{}", now);
        let (first, second) = tokio::join!(sign(), sign());
        for token in [first.unwrap().unwrap(), second.unwrap().unwrap()] {
            // Header `{"alg":"ES384","kid":"EC384_1","typ":"JWT"}`, claims `{}`.
            let head = "eyJhbGciOiJFUzM4NCIsImtpZCI6IkVDMzg0XzEiLCJ0eXAiOiJKV1QifQ.e30.";
            assert!(token.starts_with(head), "{token}");
        }
        let keys = published(&iam, &jwks).unwrap();
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
        assert_eq!(published(&iam_over(&store), &jwks).unwrap(), keys);
    }

    #[tokio::test]
    async fn a_disabled_issuer_signs_nothing_and_its_keys_stay_published() {
        let iam = with_issuer(&store()).await;
        let now = iam.clock.now().seconds;
        let sign = || iam.sign(ID, SigningAlgorithm::Es384, "{}", now);
        assert!(sign().await.unwrap().is_some());
        put(&iam, |issuer| issuer.enabled = false).await;
        assert!(sign().await.unwrap().is_none());
        assert!(iam.issuer(ID).is_none());
        let keys = published(&iam, &format!("{UUID}/.well-known/jwks.json")).unwrap();
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
        assert!(iam.sign(OTHER, SigningAlgorithm::Es384, "{}", now).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_key_is_changed_when_its_time_is_over() {
        let iam = with_issuer(&store()).await;
        let start = iam.clock.now().seconds;
        let kid = async |now: i64| {
            let token = iam.sign(ID, SigningAlgorithm::Es384, "{}", now).await.unwrap().unwrap();
            token.split('.').next().unwrap().to_owned()
        };
        let day = 24 * 60 * 60;
        let first = kid(start).await;
        assert_eq!(kid(start + 89 * day).await, first);
        // The successor is made, and waits.
        assert_eq!(kid(start + 90 * day).await, first);
        let second = kid(start + 90 * day + i64::from(KEPT)).await;
        assert_ne!(second, first);
        let issuer = iam.enabled_issuer(ID).unwrap();
        let private: Vec<bool> = issuer.keys.iter().map(|key| key.private.is_some()).collect();
        assert_eq!(private, [false, true]);
    }
}
