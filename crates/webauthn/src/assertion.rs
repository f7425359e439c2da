//! Assertion: a signature by a key that was registered, checked.
//! <https://www.w3.org/TR/webauthn-3/#sctn-verifying-assertion>

use crate::authenticator_data::AuthenticatorData;
use crate::client_data::{self, Ceremony};
use crate::key::PublicKey;
use crate::registration::{base64, credential_id};
use crate::{Challenge, Refused, RelyingParty, UserVerification};
use serde::Deserialize;

/// `AuthenticationResponseJSON`; what it has more is left alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    id: String,
    raw_id: String,
    r#type: String,
    response: JsonResponse,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    authenticator_data: String,
    signature: String,
    #[serde(default)]
    user_handle: Option<String>,
}

/// A response to an assertion, not checked yet.
#[derive(Debug)]
pub struct Assertion {
    credential_id: Vec<u8>,
    client_data: Vec<u8>,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
    user_handle: Option<Vec<u8>>,
}

/// A key as it was registered.
#[derive(Debug, Clone, Copy)]
pub struct Credential<'a> {
    /// Its id.
    pub id: &'a [u8],
    /// The public key, a `COSE_Key`.
    pub public_key: &'a [u8],
    /// It may be copied to other devices.
    pub backup_eligible: bool,
    /// What the authenticator knows its user by.
    pub user_handle: &'a [u8],
}

/// A key has signed. Whether its counter went up remains to be checked, against what is kept at the
/// moment when the new value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Asserted {
    counter: u32,
    user_verified: bool,
}

impl Assertion {
    /// Reads `AuthenticationResponseJSON`.
    ///
    /// # Errors
    /// [`Refused::Malformed`] where it is none.
    pub fn parse(json: &str) -> Result<Self, Refused> {
        let json: Json = serde_json::from_str(json)
            .map_err(|_| Refused::Malformed("no JSON of an authentication response"))?;
        let handle = json.response.user_handle.filter(|handle| !handle.is_empty());
        Ok(Self {
            credential_id: credential_id(&json.r#type, &json.id, &json.raw_id)?,
            client_data: base64(&json.response.client_data_json)?,
            authenticator_data: base64(&json.response.authenticator_data)?,
            signature: base64(&json.response.signature)?,
            user_handle: handle.as_deref().map(base64).transpose()?,
        })
    }

    /// The id of the key that it says has signed.
    pub fn credential_id(&self) -> &[u8] {
        &self.credential_id
    }

    /// Checks it.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(
        &self,
        party: &RelyingParty,
        challenge: &Challenge,
        verification: UserVerification,
        credential: Credential<'_>,
    ) -> Result<Asserted, Refused> {
        // Steps 5 to 7.
        if self.credential_id != credential.id {
            return Err(Refused::WrongCredential);
        }
        if self.user_handle.as_deref().is_some_and(|handle| handle != credential.user_handle) {
            return Err(Refused::WrongUser);
        }
        // Steps 8 to 14.
        let hash = client_data::check(&self.client_data, Ceremony::Get, party, challenge)?;
        // Steps 15 to 19.
        let data = AuthenticatorData::parse(&self.authenticator_data)?;
        data.check(party, verification)?;
        if data.backup_eligible() != credential.backup_eligible {
            return Err(Refused::InconsistentFlags);
        }
        // Steps 20 and 21.
        let key = PublicKey::parse(credential.public_key)?;
        key.verify(&[&self.authenticator_data[..], &hash].concat(), &self.signature)?;
        Ok(Asserted { counter: data.counter, user_verified: data.user_verified() })
    }
}

impl Asserted {
    /// The counter to keep, after the one that is kept. Step 22: one that does not go up is refused,
    /// unless the key counts at all.
    ///
    /// # Errors
    /// [`Refused::Counter`].
    pub fn counter_after(self, kept: u32) -> Result<u32, Refused> {
        match (kept, self.counter) {
            (0, 0) => Ok(0),
            (kept, shown) if shown > kept => Ok(shown),
            _ => Err(Refused::Counter),
        }
    }

    /// The authenticator asked who its user is.
    pub fn user_verified(self) -> bool {
        self.user_verified
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_goes_up_or_does_not_count() {
        for (kept, shown, expected) in [
            (0, 0, Ok(0)),
            (0, 1, Ok(1)),
            (1, 2, Ok(2)),
            (1, 9, Ok(9)),
            (1, 1, Err(Refused::Counter)),
            (2, 1, Err(Refused::Counter)),
            (1, 0, Err(Refused::Counter)),
            (u32::MAX, u32::MAX, Err(Refused::Counter)),
            (u32::MAX, 0, Err(Refused::Counter)),
        ] {
            let asserted = Asserted { counter: shown, user_verified: false };
            assert_eq!(asserted.counter_after(kept), expected, "{kept} {shown}");
        }
    }
}
