//! WebAuthn, a relying party's side: what a browser and an authenticator answer to a challenge is
//! checked here, and nothing is kept here.
//!
//! - A **relying party** is whom keys are made for: an id, which is a domain, and the **origins** of
//!   the pages that may ask for it.
//! - In a **registration** an authenticator makes a key pair for the relying party and one user of
//!   it, and shows the public key with an **attestation**: who says so.
//! - In an **assertion** it signs a challenge by that key, and counts its signatures.
//!
//! ```text
//!   Registration::parse(json) ─► check(relying party, challenge, verification) ─► Registered
//!   Assertion::parse(json)    ─► check(relying party, challenge, verification, credential) ─► Asserted
//! ```
//!
//! Whoever calls keeps the challenges, each good once and for a while, looks up the credential among
//! those of the user, and keeps the signature counter. References such as "step 14" are to
//! <https://www.w3.org/TR/webauthn-3/#sctn-registering-a-new-credential> (registration) and
//! <https://www.w3.org/TR/webauthn-3/#sctn-verifying-assertion> (assertion).
//!
//! Attestations are verified as far as their statement goes: it was made for this very key, and
//! whoever it names signed it. Whether that one is to be trusted needs a list of makers, the FIDO
//! Alliance's metadata, which is not here: no key counts as certified.
//!
//! ```
//! use ringfence_webauthn::RelyingParty;
//!
//! let party = RelyingParty::new("localhost", &["http://localhost:4566"]).unwrap();
//! assert_eq!(party.id(), "localhost");
//! assert!(RelyingParty::new("example.com", &["https://example.org"]).is_err());
//! ```

mod assertion;
mod attestation;
mod authenticator_data;
mod cbor;
mod client_data;
mod key;
mod options;
mod registration;
mod relying_party;

pub use assertion::{Asserted, Assertion, Credential};
pub use options::{Challenge, CreationOptions, RequestOptions, User};
pub use registration::{Registered, Registration};
pub use relying_party::{BadRelyingParty, RelyingParty};

use serde::{Deserialize, Serialize};

/// Bytes of the longest credential id (step 25 of registration).
pub const LONGEST_CREDENTIAL_ID: usize = 1023;

/// Whether an authenticator must ask who its user is, by a PIN or a fingerprint, and not only whether
/// one is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserVerification {
    /// It must.
    Required,
    /// Where it can.
    Preferred,
    /// It need not.
    Discouraged,
}

/// Why a response is refused. What it says tells nothing that its sender does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no response of the kind.
    #[error("the response is malformed: {0}")]
    Malformed(&'static str),
    /// It answers another kind of request.
    #[error("the response is of another kind of ceremony")]
    WrongCeremony,
    /// It answers another challenge.
    #[error("the response is to another challenge")]
    WrongChallenge,
    /// It was made on a page of another origin.
    #[error("the response was made on another origin")]
    WrongOrigin,
    /// It was made in a frame of another site's page.
    #[error("the response was made in a page of another site")]
    CrossOrigin,
    /// It is for another relying party.
    #[error("the response is for another relying party")]
    WrongRelyingParty,
    /// Nobody touched the authenticator.
    #[error("the user was not present")]
    NotPresent,
    /// The authenticator did not ask who its user is, and had to.
    #[error("the user was not verified")]
    NotVerified,
    /// What its flags say cannot be.
    #[error("the flags of the authenticator are inconsistent")]
    InconsistentFlags,
    /// The key is of an algorithm that was not asked for.
    #[error("the key's algorithm is not supported")]
    UnsupportedAlgorithm,
    /// The attestation is of a format that is not known here.
    #[error("the attestation's format is not supported")]
    UnsupportedAttestation,
    /// The attestation does not hold.
    #[error("the attestation is not valid: {0}")]
    BadAttestation(&'static str),
    /// It is of another credential.
    #[error("the response is of another credential")]
    WrongCredential,
    /// It is of another user.
    #[error("the response is of another user")]
    WrongUser,
    /// The signature is not the key's.
    #[error("the signature is not valid")]
    BadSignature,
    /// The signature counter did not go up: there may be a copy of the key.
    #[error("the signature counter did not go up")]
    Counter,
}
