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
    /// `NoSuchEntity` where the caller has no such key, `ServiceFailure` when the store cannot keep it.
    pub(crate) async fn begin_sign_in(
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
            self.ceremonies.begin(&*self.random, whose, purpose, now.seconds).await?;
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
        let whose = (id, identity);
        let ceremony =
            self.ceremonies.take(whose, response.ceremony, now.seconds, is_sign_in).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Entity;
    use crate::mfa::Enabled;
    use crate::records::{Proofs, User};
    use crate::testing::{ID, iam_over, security_key, store, user};
    use aws_lc_rs::digest::{SHA256, digest};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ringfence_store::Store;
    use ringfence_webauthn::RelyingParty;
    use serde_json::json;

    const ORIGIN: &str = "http://localhost:4566";

    fn ann(id: &str) -> Identity {
        Identity::User { account: ID, name: "ann".into(), path: "/".into(), id: id.into() }
    }

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_700_000_000)
    }

    fn over(store: &Arc<Store>) -> Arc<Iam> {
        let iam = iam_over(store);
        iam.accept_security_keys(RelyingParty::new("localhost", &[ORIGIN]).unwrap());
        iam
    }

    /// The user ann with this key.
    async fn with_key(store: &Arc<Store>, pair: &EcdsaKeyPair) -> Arc<Iam> {
        let iam = over(store);
        iam.create_account(ID, "test").await.unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let cose = [
            &[0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20],
            x,
            &[0x22, 0x58, 0x20],
            y,
        ];
        let key = SecurityKey { public_key: cose.concat().into(), ..security_key("ann", b"id") };
        let mut ann = user("ann", "/", "AIDA1");
        let enabled = Enabled { serial: key.serial.clone(), at: 1 };
        ann.credentials = Proofs { mfa: [enabled].into(), ..Proofs::default() }.into();
        let ledger = iam.ledger(ID).unwrap();
        ledger
            .write_unasked(|_, batch| {
                batch.put(User::record(Arc::new(ann.clone())));
                batch.put(Record::SecurityKey(Arc::new(key.clone())));
                Ok(())
            })
            .await
            .unwrap();
        iam
    }

    fn signed(pair: &EcdsaKeyPair, options: &str, counter: u8) -> String {
        let options: serde_json::Value = serde_json::from_str(options).unwrap();
        let client = json!({
            "type": "webauthn.get", "challenge": options["challenge"], "origin": ORIGIN,
        });
        let client = client.to_string();
        let party = digest(&SHA256, b"localhost");
        let data = [party.as_ref(), &[0x09, 0, 0, 0, counter]].concat();
        let message = [&data[..], digest(&SHA256, client.as_bytes()).as_ref()].concat();
        let signature = pair.sign(&SystemRandom::new(), &message).unwrap();
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "id": text(b"id"), "rawId": text(b"id"), "type": "public-key",
            "response": {
                "clientDataJSON": text(client.as_bytes()), "authenticatorData": text(&data),
                "signature": text(signature.as_ref()),
            },
        })
        .to_string()
    }

    #[tokio::test]
    async fn of_sign_ins_with_one_counter_at_once_one_is_let_in() {
        let store = store();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let iam = with_key(&store, &pair).await;
        let caller = ann("AIDA1");
        let one = async || {
            let begun = iam.begin_sign_in(&caller, None, now()).await.unwrap();
            let response = signed(&pair, &begun.options, 2);
            let ended = KeyResponse { ceremony: &begun.ceremony, response: &response };
            iam.finish_sign_in(&caller, ended, now()).await
        };
        let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
        let (right, wrong): (Vec<_>, Vec<_>) = [a, b, c, d].into_iter().partition(Result::is_ok);
        assert_eq!((right.len(), wrong.len()), (1, 3));
        assert!(wrong.into_iter().all(|one| one.unwrap_err().message.contains("counter")));
        let again = over(&store);
        assert_eq!(
            again.ledger(ID).unwrap().for_deciding().security_key(b"id").unwrap().counter,
            2
        );
    }

    #[tokio::test]
    async fn a_key_is_its_owners_while_the_owner_has_it() {
        let store = store();
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let iam = with_key(&store, &pair).await;
        for other in [ann("AIDA2"), Identity::Root { account: ID }, Identity::Anonymous] {
            let refused = iam.begin_sign_in(&other, None, now()).await.unwrap_err();
            assert_eq!(refused.code, "NoSuchEntity", "{other:?}");
        }
        let caller = ann("AIDA1");
        let begun = iam.begin_sign_in(&caller, None, now()).await.unwrap();
        // Another user of that name now, who has the same key's record by no right.
        let ledger = iam.ledger(ID).unwrap();
        ledger
            .write_unasked(|_, batch| {
                batch.put(User::record(Arc::new(user("ann", "/", "AIDA2"))));
                Ok(())
            })
            .await
            .unwrap();
        let response = signed(&pair, &begun.options, 2);
        let ended = KeyResponse { ceremony: &begun.ceremony, response: &response };
        let refused = iam.finish_sign_in(&caller, ended, now()).await.unwrap_err();
        assert_eq!(refused.code, "SecurityKeyRefused");
    }

    #[tokio::test]
    async fn without_a_relying_party_nothing_begins() {
        let iam = iam_over(&store());
        let refused = iam.begin_sign_in(&ann("AIDA1"), None, now()).await.unwrap_err();
        assert_eq!(refused.status, 500);
    }
}
