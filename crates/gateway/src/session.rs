//! Session tokens: a [`Session`] and its secret key, sealed. They work after a restart because
//! nothing about them is kept, and on every node that has the root key.

use crate::caller::Session;
use ringfence_keyring::{Domain, Keyring, SecretString};
use ringfence_wire::ServiceError;
use serde::{Deserialize, Serialize};

/// Seals and opens session tokens.
#[derive(Clone)]
pub struct Tokens {
    domain: Domain,
}

/// What lies in a token.
#[derive(Serialize, Deserialize)]
struct Contents {
    session: Session,
    #[serde(with = "ringfence_keyring::sealed_only")]
    secret: SecretString,
    /// Blanks that make the token as long as its caller asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    padding: String,
}

/// What a token is bound to beside its domain's key.
const PLACE: &[&[u8]] = &[b"session-token"];

impl Tokens {
    /// The tokens of this root key.
    pub fn new(keyring: &Keyring) -> Self {
        Self { domain: keyring.domain("session-token") }
    }

    /// The token of a session.
    ///
    /// # Errors
    /// An internal failure when the system has no random bytes.
    pub fn seal(&self, session: &Session, secret: &SecretString) -> Result<String, ServiceError> {
        self.seal_at_least(session, secret, 0)
    }

    /// The token of a session, filled up to `least` bytes where it is shorter.
    ///
    /// # Errors
    /// An internal failure when the system has no random bytes.
    pub fn seal_at_least(
        &self,
        session: &Session,
        secret: &SecretString,
        least: usize,
    ) -> Result<String, ServiceError> {
        let session = session.clone();
        let mut contents = Contents { session, secret: secret.duplicate(), padding: String::new() };
        let token = self.seal_contents(&contents)?;
        if token.len() >= least {
            return Ok(token);
        }
        // Base64 makes four bytes of three.
        contents.padding = " ".repeat((least - token.len()).div_ceil(4) * 3);
        self.seal_contents(&contents)
    }

    fn seal_contents(&self, contents: &Contents) -> Result<String, ServiceError> {
        let bytes = rmp_serde::to_vec_named(contents).map_err(|error| {
            tracing::error!(%error, "a session does not encode");
            ServiceError::internal()
        })?;
        let bytes = ringfence_keyring::SecretBytes::new(bytes);
        self.domain.seal_text(PLACE, bytes.expose()).map_err(|error| {
            tracing::error!(%error, "a session token was not sealed");
            ServiceError::internal()
        })
    }

    /// The session of a token and its secret key; `None` when the token was not made here.
    pub fn open(&self, token: &str) -> Option<(Session, SecretString)> {
        let bytes = self.domain.open_text(PLACE, token).ok()?;
        let contents: Contents = rmp_serde::from_slice(&bytes).ok()?;
        Some((contents.session, contents.secret))
    }
}
