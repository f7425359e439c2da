//! The standard's own test vectors, <https://www.w3.org/TR/webauthn-3/#sctn-test-vectors>, and what
//! becomes of them when anything in them changes.

#![allow(clippy::unwrap_used)] // Tests, helpers included.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use ringfence_webauthn::{
    Assertion, Challenge, Credential, Refused, Registered, Registration, RelyingParty,
    UserVerification,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Stored {
    section: String,
    registration_challenge: String,
    registration_client_data: String,
    attestation_object: String,
    credential_id: String,
    assertion_challenge: String,
    authenticator_data: String,
    assertion_client_data: String,
    signature: String,
}

/// What a browser sends in a registration.
#[derive(Clone)]
struct Made {
    id: Vec<u8>,
    client_data: Vec<u8>,
    object: Vec<u8>,
}

/// What a browser sends in an assertion.
#[derive(Clone)]
struct Signed {
    id: Vec<u8>,
    client_data: Vec<u8>,
    data: Vec<u8>,
    signature: Vec<u8>,
}

struct Vector {
    section: String,
    made_for: Challenge,
    made: Made,
    signed_for: Challenge,
    signed: Signed,
}

fn vectors() -> Vec<Vector> {
    let bytes = |text: &str| hex::decode(text).unwrap();
    let challenge = |text: &str| -> Challenge {
        let bytes: [u8; 32] = bytes(text).try_into().unwrap();
        bytes.into()
    };
    let stored: Vec<Stored> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    stored
        .into_iter()
        .map(|one| Vector {
            made_for: challenge(&one.registration_challenge),
            made: Made {
                id: bytes(&one.credential_id),
                client_data: bytes(&one.registration_client_data),
                object: bytes(&one.attestation_object),
            },
            signed_for: challenge(&one.assertion_challenge),
            signed: Signed {
                id: bytes(&one.credential_id),
                client_data: bytes(&one.assertion_client_data),
                data: bytes(&one.authenticator_data),
                signature: bytes(&one.signature),
            },
            section: one.section,
        })
        .collect()
}

fn party() -> RelyingParty {
    RelyingParty::new("example.org", &["https://example.org"]).unwrap()
}

impl Made {
    fn json(&self) -> String {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "id": text(&self.id), "rawId": text(&self.id), "type": "public-key",
            "response": {
                "clientDataJSON": text(&self.client_data),
                "attestationObject": text(&self.object),
                "transports": ["usb", "nfc", "NOT", "", "a-very-long-transport"],
            },
            "clientExtensionResults": {},
        })
        .to_string()
    }

    fn check(
        &self,
        challenge: &Challenge,
        verification: UserVerification,
    ) -> Result<Registered, Refused> {
        Registration::parse(&self.json())?.check(&party(), challenge, verification)
    }
}

impl Signed {
    fn json(&self, handle: Option<&[u8]>) -> String {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "id": text(&self.id), "rawId": text(&self.id), "type": "public-key",
            "response": {
                "clientDataJSON": text(&self.client_data),
                "authenticatorData": text(&self.data),
                "signature": text(&self.signature),
                "userHandle": handle.map(text),
            },
            "clientExtensionResults": {},
        })
        .to_string()
    }

    fn check(
        &self,
        challenge: &Challenge,
        verification: UserVerification,
        key: &Registered,
        handle: Option<&[u8]>,
    ) -> Result<u32, Refused> {
        let credential = Credential {
            id: &key.credential_id,
            public_key: &key.public_key,
            backup_eligible: key.backup_eligible,
            user_handle: b"user",
        };
        Assertion::parse(&self.json(handle))?
            .check(&party(), challenge, verification, credential)?
            .counter_after(key.counter)
    }
}

use UserVerification::{Discouraged, Preferred, Required};

#[test]
fn the_standards_vectors_are_taken() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 3);
    for one in &vectors {
        let key = one.made.check(&one.made_for, Preferred).unwrap();
        assert_eq!(key.credential_id, one.made.id, "{}", one.section);
        assert_eq!(key.transports, ["usb", "nfc"]);
        for handle in [None, Some(&b"user"[..]), Some(b"")] {
            let counter = one.signed.check(&one.signed_for, Discouraged, &key, handle);
            assert_eq!(counter, Ok(0), "{}", one.section);
        }
        let other = one.signed.check(&one.signed_for, Preferred, &key, Some(b"User"));
        assert_eq!(other, Err(Refused::WrongUser));
    }
}

#[test]
fn each_ceremony_is_for_its_challenge_party_kind_and_key() {
    let vectors = vectors();
    let keys: Vec<_> =
        vectors.iter().map(|one| one.made.check(&one.made_for, Preferred).unwrap()).collect();
    for (number, one) in vectors.iter().enumerate() {
        let (key, other) = (&keys[number], &keys[(number + 1) % keys.len()]);
        let section = &one.section;
        // None of the vectors' assertions has its user verified.
        let verified = one.signed.check(&one.signed_for, Required, key, None);
        assert_eq!(verified, Err(Refused::NotVerified), "{section}");
        let replayed = one.signed.check(&one.made_for, Preferred, key, None);
        assert_eq!(replayed, Err(Refused::WrongChallenge), "{section}");
        let replayed = one.made.check(&one.signed_for, Preferred);
        assert_eq!(replayed, Err(Refused::WrongChallenge), "{section}");
        let foreign = one.signed.check(&one.signed_for, Preferred, other, None);
        assert_eq!(foreign, Err(Refused::WrongCredential), "{section}");
        let posing = Signed { id: other.credential_id.clone(), ..one.signed.clone() };
        let mut other = other.clone();
        other.backup_eligible = key.backup_eligible;
        let posed = posing.check(&one.signed_for, Preferred, &other, None);
        assert_eq!(posed, Err(Refused::BadSignature), "{section}");
        let mut changed = key.clone();
        changed.backup_eligible = !key.backup_eligible;
        let changed = one.signed.check(&one.signed_for, Preferred, &changed, None);
        assert_eq!(changed, Err(Refused::InconsistentFlags), "{section}");
        let crossed = Made { client_data: one.signed.client_data.clone(), ..one.made.clone() };
        let crossed = crossed.check(&one.signed_for, Preferred);
        assert_eq!(crossed, Err(Refused::WrongCeremony), "{section}");
        let elsewhere = Made { id: b"another".to_vec(), ..one.made.clone() };
        let elsewhere = elsewhere.check(&one.made_for, Preferred);
        assert_eq!(elsewhere, Err(Refused::WrongCredential), "{section}");
        for party in [
            RelyingParty::new("example.com", &["https://example.com"]).unwrap(),
            RelyingParty::new("org", &["https://example.org"]).unwrap(),
        ] {
            let registration = Registration::parse(&one.made.json()).unwrap();
            let refused = registration.check(&party, &one.made_for, Preferred);
            let expected = [Refused::WrongOrigin, Refused::WrongRelyingParty];
            assert!(expected.contains(&refused.unwrap_err()), "{section}");
        }
    }
}

#[test]
fn a_counter_that_goes_back_is_refused() {
    let one = &vectors()[0];
    let mut key = one.made.check(&one.made_for, Preferred).unwrap();
    key.counter = 1;
    let refused = one.signed.check(&one.signed_for, Preferred, &key, None);
    assert_eq!(refused, Err(Refused::Counter));
}

#[test]
fn no_bit_of_what_is_signed_or_signs_can_change() {
    for one in vectors() {
        let key = one.made.check(&one.made_for, Preferred).unwrap();
        let lengths =
            [one.signed.client_data.len(), one.signed.data.len(), one.signed.signature.len()];
        for (part, length) in lengths.into_iter().enumerate() {
            for bit in 0..length * 8 {
                let mut changed = one.signed.clone();
                let bytes = match part {
                    0 => &mut changed.client_data,
                    1 => &mut changed.data,
                    _ => &mut changed.signature,
                };
                bytes[bit / 8] ^= 1 << (bit % 8);
                let got = changed.check(&one.signed_for, Discouraged, &key, None);
                assert!(got.is_err(), "{} {part} {bit}", one.section);
            }
        }
    }
}

#[test]
fn no_bit_of_an_attested_registration_can_change_unnoticed() {
    // With packed attestation all that counts is signed. What may change is the certificate where its
    // maker's signature does not protect it from us: nobody trusts it.
    for one in vectors().iter().filter(|one| one.section.contains("packed")) {
        let whole = one.made.check(&one.made_for, Preferred).unwrap();
        for bit in 0..one.made.object.len() * 8 {
            let mut changed = one.made.clone();
            changed.object[bit / 8] ^= 1 << (bit % 8);
            if let Ok(key) = changed.check(&one.made_for, Preferred) {
                assert_eq!(key, whole, "{} {bit}", one.section);
            }
        }
    }
}

#[test]
fn other_formats_and_algorithms_are_refused() {
    let one = &vectors()[0];
    let with = |from: &[u8], to: &[u8]| {
        let mut changed = one.made.clone();
        let at = changed.object.windows(from.len()).position(|part| part == from).unwrap();
        changed.object.splice(at..at + from.len(), to.iter().copied());
        changed.check(&one.made_for, Preferred)
    };
    let none = b"\x64none\x67attStmt\xa0";
    for (to, expected) in [
        (&b"\x63tpm\x67attStmt\xa0"[..], Refused::UnsupportedAttestation),
        (b"\x65apple\x67attStmt\xa0", Refused::UnsupportedAttestation),
        (b"\x64NONE\x67attStmt\xa0", Refused::UnsupportedAttestation),
        (b"\x64none\x67attStmt\xa1\x63alg\x26", Refused::BadAttestation("none has no statement")),
        (b"\x66packed\x67attStmt\xa0", Refused::BadAttestation("no algorithm")),
        (b"\x68fido-u2f\x67attStmt\xa0", Refused::BadAttestation("no signature")),
        (
            b"\x66packed\x67attStmt\xa2\x63alg\x27\x63sig\x41\x00",
            Refused::BadAttestation("another algorithm than the key's"),
        ),
        (
            b"\x66packed\x67attStmt\xa2\x63alg\x26\x63sig\x41\x00",
            Refused::BadAttestation("the signature"),
        ),
        (
            b"\x66packed\x67attStmt\xa3\x63alg\x26\x63sig\x41\x00\x63x5c\x80",
            Refused::BadAttestation("no certificate"),
        ),
        (
            b"\x66packed\x67attStmt\xa3\x63alg\x26\x63sig\x41\x00\x63x5c\x81\x41\x30",
            Refused::BadAttestation("the certificate is no X.509"),
        ),
    ] {
        assert_eq!(with(none, to), Err(expected));
    }
    // ES384 on the same curve.
    assert!(with(b"\x01\x02\x03\x26", b"\x01\x02\x03\x38\x22").is_err());
}

#[test]
fn what_is_no_json_of_the_kind_is_malformed() {
    let one = &vectors()[0];
    let (made, signed) = (one.made.json(), one.signed.json(None));
    let malformed = |got: Result<(), Refused>| matches!(got, Err(Refused::Malformed(_)));
    for bad in [
        "",
        "{}",
        "[]",
        "null",
        &signed,
        &made.replace("public-key", "password"),
        &made.replace("\"rawId\"", "\"raw\""),
        &made.replace("\"attestationObject\":\"", "\"attestationObject\":\"!"),
    ] {
        assert!(malformed(Registration::parse(bad).map(drop)), "{bad}");
    }
    for bad in ["", "{}", "[]", &made, &signed.replace("public-key", "password")] {
        assert!(malformed(Assertion::parse(bad).map(drop)), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever comes, nothing panics, and nothing but the vector itself is taken.
    #[test]
    fn bytes_of_any_kind_are_refused(
        object in proptest::collection::vec(any::<u8>(), 0..300),
        cut in 0_usize..2000,
        at in 0_usize..2000,
        byte in any::<u8>(),
    ) {
        for one in vectors() {
            let made = Made { object: object.clone(), ..one.made.clone() };
            prop_assert!(made.check(&one.made_for, Discouraged).is_err());
            let mut made = one.made.clone();
            made.object.truncate(cut);
            let whole = made.object.len() == one.made.object.len();
            prop_assert_eq!(made.check(&one.made_for, Discouraged).is_ok(), whole);
            let mut made = one.made.clone();
            made.object.insert(at.min(made.object.len()), byte);
            let _ = made.check(&one.made_for, Discouraged);
            let signed = Signed { data: object.clone(), ..one.signed.clone() };
            let key = one.made.check(&one.made_for, Preferred).unwrap();
            prop_assert!(signed.check(&one.signed_for, Discouraged, &key, None).is_err());
        }
    }
}
