//! Sign-ins by security keys: a challenge, and the signature that answers it. Each is good once, and
//! the key's counter is durable before anybody hears that the signature was right.

use super::SecurityKey;
use super::ceremonies::{Purpose, SECONDS};
use super::check::devices_of;
use super::security_keys::{MILLISECONDS, among, handle};
use crate::Iam;
use crate::errors;
use crate::records::Record;
use crate::state::Account;
use ringfence_gateway::Identity;
use ringfence_gateway::directory::{KeyChallenge, KeyResponse};
use ringfence_webauthn::{Assertion, Credential, Refused, RequestOptions, UserVerification};
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

/// The security keys of a caller.
fn own<'a>(
    account: &'a Account,
    identity: &Identity,
) -> impl Iterator<Item = &'a Arc<SecurityKey>> {
    among(account, devices_of(account, identity).unwrap_or_default())
}

/// What a key must do at a sign-in: what it did, or was asked to, when it was registered.
fn verification(key: &SecurityKey) -> UserVerification {
    if key.verifies { UserVerification::Required } else { UserVerification::Preferred }
}

impl Iam {
    /// Begins a sign-in.
    ///
    /// # Errors
    /// `NoSuchEntity` where the caller has no such key.
    pub(crate) fn begin_sign_in(
        &self,
        identity: &Identity,
        serial: Option<&str>,
        now: Timestamp,
    ) -> Result<KeyChallenge, ServiceError> {
        let id = identity.account().ok_or_else(errors::no_security_key)?;
        let party = self.relying_party()?;
        let ledger = self.ledger(id)?;
        let account = ledger.for_deciding();
        let keys: Vec<_> = own(&account, identity)
            .filter(|key| serial.is_none_or(|serial| *key.serial == *serial))
            .collect();
        if keys.is_empty() {
            return Err(serial.map_or_else(errors::no_security_key, errors::no_such_mfa));
        }
        let purpose = Purpose::SignIn { serial: serial.map(Arc::from) };
        let whose = (id, identity);
        let (ceremony, challenge) =
            self.ceremonies.begin(&*self.random, whose, purpose, now.seconds)?;
        let verification = match keys.iter().all(|key| key.verifies) {
            true => UserVerification::Required,
            false => UserVerification::Preferred,
        };
        let allowed: Vec<_> =
            keys.iter().map(|key| (&*key.credential_id, &*key.transports)).collect();
        let options = RequestOptions::new(party, &challenge, verification, MILLISECONDS, &allowed);
        let expires = now.seconds.saturating_add(SECONDS);
        Ok(KeyChallenge { ceremony, options: options.to_string(), expires })
    }

    /// Ends it; the serial number of the key that signed.
    ///
    /// # Errors
    /// `CeremonyNotFound`, `SecurityKeyRefused`, or `ServiceFailure` when the store cannot keep it.
    pub(crate) async fn finish_sign_in(
        &self,
        identity: &Identity,
        response: KeyResponse<'_>,
        now: Timestamp,
    ) -> Result<Arc<str>, ServiceError> {
        let id = identity.account().ok_or_else(errors::no_ceremony)?;
        let party = self.relying_party()?;
        let refused = |why: Refused| errors::security_key_refused(&why);
        let is_sign_in = |purpose: &Purpose| matches!(purpose, Purpose::SignIn { .. });
        let ceremony =
            self.ceremonies.take((id, identity), response.ceremony, now.seconds, is_sign_in)?;
        let Purpose::SignIn { serial } = &ceremony.purpose else {
            return Err(errors::no_ceremony());
        };
        let assertion = Assertion::parse(response.response).map_err(refused)?;
        let is_it = |key: &SecurityKey| {
            *key.credential_id == *assertion.credential_id()
                && serial.as_ref().is_none_or(|serial| key.serial == *serial)
        };
        let ledger = self.ledger(id)?;
        let key = own(&ledger.for_deciding(), identity).find(|key| is_it(key)).cloned();
        let key = key.ok_or_else(|| refused(Refused::WrongCredential))?;
        let user = match identity {
            Identity::User { id, .. } => Some(id.as_str()),
            _ => None,
        };
        let handle = handle(id, user);
        let credential = Credential {
            id: &key.credential_id,
            public_key: &key.public_key,
            backup_eligible: key.backup_eligible,
            user_handle: handle.as_bytes(),
        };
        let asserted = assertion
            .check(party, &ceremony.challenge, verification(&key), credential)
            .map_err(refused)?;
        let counted = ledger
            .write_unasked(|account, batch| {
                // It may have been deactivated, or have signed, meanwhile.
                let Some(now) = own(account, identity).find(|now| now.serial == key.serial) else {
                    return Ok(Err(Refused::WrongCredential));
                };
                Ok(asserted.counter_after(now.counter).map(|counter| {
                    if counter != now.counter {
                        let counted = SecurityKey { counter, ..SecurityKey::clone(now) };
                        batch.put(Record::SecurityKey(Arc::new(counted)));
                    }
                }))
            })
            .await?;
        if counted == Err(Refused::Counter) {
            tracing::warn!(
                account = %id,
                serial = &*key.serial,
                "the signature counter of a security key did not go up: there may be a copy of it"
            );
        }
        counted.map_err(refused)?;
        Ok(key.serial.clone())
    }
}
