//! What a browser is asked for.

use crate::key::ALGORITHMS;
use crate::{RelyingParty, UserVerification};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::json;

/// What must be signed, good once: 32 random bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge([u8; 32]);

impl From<[u8; 32]> for Challenge {
    fn from(random: [u8; 32]) -> Self {
        Self(random)
    }
}

impl Challenge {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A credential that the browser is told of: its id, and how it may be reached.
type Known<'a> = (&'a [u8], &'a [String]);

fn descriptors(known: &[Known<'_>]) -> Vec<serde_json::Value> {
    known
        .iter()
        .map(|(id, transports)| match transports {
            [] => json!({ "type": "public-key", "id": base64(id) }),
            _ => json!({ "type": "public-key", "id": base64(id), "transports": transports }),
        })
        .collect()
}

/// `PublicKeyCredentialCreationOptionsJSON`.
/// <https://www.w3.org/TR/webauthn-3/#dictdef-publickeycredentialcreationoptionsjson>
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct CreationOptions(serde_json::Value);

/// Whose key a registration makes.
#[derive(Debug, Clone, Copy)]
pub struct User<'a> {
    /// What the authenticator knows the user by, which tells nothing of who it is.
    pub handle: &'a [u8],
    /// The name that the authenticator shows.
    pub name: &'a str,
}

impl CreationOptions {
    /// Asks for a new key, on none of the authenticators that hold one of these already.
    ///
    /// No attestation is asked for: nobody here trusts one, and browsers then send none. A key need
    /// not be one that the authenticator can list: whoever signs in says who it is.
    pub fn new(
        party: &RelyingParty,
        party_name: &str,
        user: User<'_>,
        challenge: &Challenge,
        verification: UserVerification,
        milliseconds: u32,
        known: &[Known<'_>],
    ) -> Self {
        let algorithms: Vec<_> =
            ALGORITHMS.iter().map(|alg| json!({ "type": "public-key", "alg": alg })).collect();
        Self(json!({
            "rp": { "id": party.id(), "name": party_name },
            "user": {
                "id": base64(user.handle), "name": user.name, "displayName": user.name,
            },
            "challenge": base64(challenge.as_bytes()),
            "pubKeyCredParams": algorithms,
            "timeout": milliseconds,
            "excludeCredentials": descriptors(known),
            "authenticatorSelection": {
                "residentKey": "discouraged",
                "requireResidentKey": false,
                "userVerification": verification,
            },
            "attestation": "none",
        }))
    }
}

/// `PublicKeyCredentialRequestOptionsJSON`.
/// <https://www.w3.org/TR/webauthn-3/#dictdef-publickeycredentialrequestoptionsjson>
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct RequestOptions(serde_json::Value);

impl RequestOptions {
    /// Asks for a signature by one of these keys.
    pub fn new(
        party: &RelyingParty,
        challenge: &Challenge,
        verification: UserVerification,
        milliseconds: u32,
        allowed: &[Known<'_>],
    ) -> Self {
        Self(json!({
            "challenge": base64(challenge.as_bytes()),
            "timeout": milliseconds,
            "rpId": party.id(),
            "allowCredentials": descriptors(allowed),
            "userVerification": verification,
        }))
    }
}

impl std::fmt::Display for CreationOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for RequestOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
