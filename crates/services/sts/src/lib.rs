//! STS: who is calling, and temporary credentials.
//!
//! It keeps no state. Principals come from the [`Directory`](ringfence_gateway::Directory), and a
//! session is nothing but its token: sealed by the gateway's
//! [`Tokens`](ringfence_gateway::session::Tokens), opened again when it signs a call.
//!
//! ```text
//!                     who calls it          whose the session is       what limits it
//!  AssumeRole         user, user's or       the role, in the role's    session policies passed
//!                     role's session        account
//!  GetSessionToken    user, root            the caller itself          nothing more
//!  GetFederationToken user, root            a name under its issuer    session policies, always
//!  AssumeRoleWith…    a provider's token    the role                   session policies passed
//!  GetDelegated…      the account that      whoever accepted the       the request's permissions,
//!    AccessToken      asked for it          delegation request         at each call
//!  …SecurityKeySession  user, root          the caller itself          nothing more
//!  AssumeRoot         user, role's session  a member's root user       AWS's policy for the task
//! ```
//!
//! A call's facts pass through pure functions before anything is decided: `session_tags`,
//! `session_policies`, `durations`, `source_identity`, `packed_size`. The handlers put them
//! together, ask, and hand the outcome to `credentials` as a draft of the session.
//!
//! ```
//! use std::sync::Arc;
//!
//! let mounted = Arc::new(ringfence_sts::Sts::new()).handlers();
//! assert!(mounted.built().any(|operation| operation == "AssumeRole"));
//! ```

mod assume_role;
mod assume_root;
mod authorization_message;
mod callers;
mod credentials;
mod delegated;
mod durations;
mod errors;
mod federated;
mod federation_token;
mod identity;
mod mfa;
mod oidc;
mod packed_size;
mod role_arn;
mod saml;
mod saml_identity;
mod security_key_session;
mod session_policies;
mod session_tags;
mod session_token;
mod source_identity;
#[cfg(test)]
mod testing;
mod token_tags;
mod web_identity;
mod web_identity_token;

use ringfence_gateway::{Handlers, Mounted, TokenIssuer};
use ringfence_model_sts::{SERVICE, operations as ops};
use std::sync::Arc;

pub use oidc::{Issuers, KeysByHand};

/// The service.
#[derive(Clone, Default)]
pub struct Sts {
    issuers: Arc<Issuers>,
    tokens: Option<Arc<dyn TokenIssuer>>,
}

impl Sts {
    /// The service. The keys of token issuers are fetched.
    pub fn new() -> Self {
        Self::default()
    }

    /// The service, with these issuers of tokens.
    pub fn with_issuers(issuers: Arc<Issuers>) -> Self {
        Self { issuers, tokens: None }
    }

    /// The same, with who signs tokens for services elsewhere. Without, no account issues any.
    pub fn issuing(mut self, tokens: Arc<dyn TokenIssuer>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Its operations.
    pub fn handlers(self: &Arc<Self>) -> Mounted {
        Handlers::new(&SERVICE, self.clone())
            .on::<ops::AssumeRole, _>(assume_role::assume_role)
            .on::<ops::AssumeRoleWithSAML, _>(saml_identity::assume_role_with_saml)
            .on::<ops::AssumeRoleWithWebIdentity, _>(web_identity::assume_role_with_web_identity)
            .on::<ops::AssumeRoot, _>(assume_root::assume_root)
            .on::<ops::DecodeAuthorizationMessage, _>(
                authorization_message::decode_authorization_message,
            )
            .on::<ops::GetAccessKeyInfo, _>(identity::get_access_key_info)
            .on::<ops::GetCallerIdentity, _>(identity::get_caller_identity)
            .on::<ops::GetDelegatedAccessToken, _>(delegated::get_delegated_access_token)
            .on::<ops::GetFederationToken, _>(federation_token::get_federation_token)
            .on::<ops::GetSessionToken, _>(session_token::get_session_token)
            .on::<ops::GetWebIdentityToken, _>(web_identity_token::get_web_identity_token)
            .finish()
    }
}
