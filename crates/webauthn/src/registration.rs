//! Registration: a new key, checked.
//! <https://www.w3.org/TR/webauthn-3/#sctn-registering-a-new-credential>

use crate::attestation::{self, Subject};
use crate::authenticator_data::AuthenticatorData;
use crate::cbor::{Entries, Key};
use crate::client_data::{self, Ceremony};
use crate::key::PublicKey;
use crate::{Challenge, Refused, RelyingParty, UserVerification};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Most ways to reach an authenticator that are kept, and the letters of the longest.
const MOST_TRANSPORTS: usize = 8;
const LONGEST_TRANSPORT: usize = 16;

pub(crate) fn base64(text: &str) -> Result<Vec<u8>, Refused> {
    // Browsers leave the padding out, some clients do not.
    let text = text.trim_end_matches('=');
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::Malformed("no base64url"))
}

/// A credential's id, which the JSON says twice.
pub(crate) fn credential_id(kind: &str, id: &str, raw_id: &str) -> Result<Vec<u8>, Refused> {
    if kind != "public-key" {
        return Err(Refused::Malformed("no credential of type public-key"));
    }
    let raw = base64(raw_id)?;
    if base64(id)? == raw { Ok(raw) } else { Err(Refused::WrongCredential) }
}

/// `RegistrationResponseJSON`; what it has more is left alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    id: String,
    raw_id: String,
    r#type: String,
    response: JsonResponse,
}

#[derive(Deserialize)]
struct JsonResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    #[serde(rename = "attestationObject")]
    attestation_object: String,
    #[serde(default)]
    transports: Vec<String>,
}

/// A response to a registration, not checked yet.
#[derive(Debug)]
pub struct Registration {
    credential_id: Vec<u8>,
    client_data: Vec<u8>,
    attestation_object: Vec<u8>,
    transports: Vec<String>,
}

/// A key to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its id.
    pub credential_id: Vec<u8>,
    /// The public key, a `COSE_Key`.
    pub public_key: Vec<u8>,
    /// Its signature counter; 0 where it does not count.
    pub counter: u32,
    /// It may be copied to other devices, as passkeys are. That never changes.
    pub backup_eligible: bool,
    /// The authenticator asked who its user is.
    pub user_verified: bool,
    /// The authenticator's model; zero where it is not told.
    pub aaguid: [u8; 16],
    /// How its authenticator may be reached, for the browser.
    pub transports: Vec<String>,
}

impl Registration {
    /// Reads `RegistrationResponseJSON`.
    ///
    /// # Errors
    /// [`Refused::Malformed`] where it is none.
    pub fn parse(json: &str) -> Result<Self, Refused> {
        let json: Json = serde_json::from_str(json)
            .map_err(|_| Refused::Malformed("no JSON of a registration response"))?;
        let mut transports = json.response.transports;
        transports.retain(|one| {
            let known = |b: u8| b.is_ascii_lowercase() || b == b'-';
            (1..=LONGEST_TRANSPORT).contains(&one.len()) && one.bytes().all(known)
        });
        transports.truncate(MOST_TRANSPORTS);
        Ok(Self {
            credential_id: credential_id(&json.r#type, &json.id, &json.raw_id)?,
            client_data: base64(&json.response.client_data_json)?,
            attestation_object: base64(&json.response.attestation_object)?,
            transports,
        })
    }

    /// Checks it. That nobody has registered the credential's id is the caller's to check.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(
        self,
        party: &RelyingParty,
        challenge: &Challenge,
        verification: UserVerification,
    ) -> Result<Registered, Refused> {
        // Steps 5 to 11.
        let hash = client_data::check(&self.client_data, Ceremony::Create, party, challenge)?;
        // Step 12.
        let object = Entries::whole(&self.attestation_object)?;
        let lacks = || Refused::Malformed("the attestation object lacks something");
        let format = object.text(Key::Text("fmt")).ok_or_else(lacks)?;
        let statement = object.other(Key::Text("attStmt")).ok_or_else(lacks)?;
        let bytes = object.bytes(Key::Text("authData")).ok_or_else(lacks)?;
        // Steps 13 to 18.
        let data = AuthenticatorData::parse(bytes)?;
        data.check(party, verification)?;
        let attested = data.attested.as_ref().ok_or_else(lacks)?;
        if attested.credential_id != self.credential_id {
            return Err(Refused::WrongCredential);
        }
        // Step 19: `parse` knows the algorithms that were asked for, and no other.
        let key = PublicKey::parse(attested.key)?;
        // Steps 20 to 22.
        let subject = Subject {
            authenticator_data: bytes,
            client_data_hash: &hash,
            relying_party: data.relying_party(),
            attested,
            key: &key,
        };
        attestation::verify(format, statement, &subject)?;
        Ok(Registered {
            public_key: attested.key.to_vec(),
            counter: data.counter,
            backup_eligible: data.backup_eligible(),
            user_verified: data.user_verified(),
            aaguid: attested.aaguid,
            credential_id: self.credential_id,
            transports: self.transports,
        })
    }
}
