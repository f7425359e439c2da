//! Tokens that tell services elsewhere who a principal of this server is. IAM keeps the issuers and
//! their keys; STS says what a token holds.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound.html>

use ringfence_keyring::SigningAlgorithm;
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use std::future::Future;
use std::pin::Pin;

/// Signs tokens for the accounts that have outbound identity federation enabled.
pub trait TokenIssuer: Send + Sync + 'static {
    /// The account's issuer; `None` where the feature is not enabled.
    fn issuer(&self, account: AccountId) -> Option<String>;

    /// Signs claims, a JSON object, by the account's key for an algorithm: a JSON web token, in the
    /// compact form. `None` where the feature is not enabled. `now` chooses the key.
    ///
    /// # Errors
    /// `ServiceFailure` when a key cannot be made or kept.
    fn sign<'a>(
        &'a self,
        account: AccountId,
        algorithm: SigningAlgorithm,
        claims: &'a str,
        now: i64,
    ) -> Pin<Box<dyn Future<Output = Result<Option<String>, ServiceError>> + 'a>>;
}
