//! What browsers and security keys say.
//!
//! The first byte chooses: the JSON of a registration or of an assertion; an attestation object, or
//! authenticator data and signature, each in what is else a good response; client data. Nothing panics,
//! and no assertion is taken but the one whose key signed it.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use ringfence_webauthn::{
    Assertion, Challenge, Credential, Registered, Registration, RelyingParty, UserVerification,
};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// The standard's test vectors, of which each algorithm has one.
static VECTORS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../crates/webauthn/tests/vectors.json")).unwrap()
});
static PARTY: LazyLock<RelyingParty> =
    LazyLock::new(|| RelyingParty::new("example.org", &["https://example.org"]).unwrap());

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    let text = vector[field].as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn challenge(vector: &Value, field: &str) -> Challenge {
    let random: [u8; 32] = bytes(vector, field).try_into().unwrap();
    random.into()
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn register(vector: &Value, client_data: &[u8], object: &[u8]) -> Option<Registered> {
    let id = text(&bytes(vector, "credential_id"));
    let response = json!({
        "id": id, "rawId": id, "type": "public-key",
        "response": { "clientDataJSON": text(client_data), "attestationObject": text(object) },
    });
    Registration::parse(&response.to_string())
        .unwrap()
        .check(&PARTY, &challenge(vector, "registration_challenge"), UserVerification::Preferred)
        .ok()
}

fn assert(vector: &Value, client_data: &[u8], data: &[u8], signature: &[u8]) -> bool {
    let made = bytes(vector, "registration_client_data");
    let key = register(vector, &made, &bytes(vector, "attestation_object")).unwrap();
    let id = text(&key.credential_id);
    let response = json!({
        "id": id, "rawId": id, "type": "public-key",
        "response": {
            "clientDataJSON": text(client_data), "authenticatorData": text(data),
            "signature": text(signature),
        },
    });
    let credential = Credential {
        id: &key.credential_id,
        public_key: &key.public_key,
        backup_eligible: key.backup_eligible,
        user_handle: b"user",
    };
    Assertion::parse(&response.to_string())
        .unwrap()
        .check(
            &PARTY,
            &challenge(vector, "assertion_challenge"),
            UserVerification::Discouraged,
            credential,
        )
        .is_ok()
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let vector = &VECTORS[usize::from(choice >> 4) % VECTORS.len()];
    match choice & 7 {
        0 => drop(std::str::from_utf8(rest).map(|json| Registration::parse(json).is_ok())),
        1 => drop(std::str::from_utf8(rest).map(|json| Assertion::parse(json).is_ok())),
        2 => drop(register(vector, &bytes(vector, "registration_client_data"), rest)),
        3 => drop(register(vector, rest, &bytes(vector, "attestation_object"))),
        4 => {
            let client_data = bytes(vector, "assertion_client_data");
            let (data, signature) = rest.split_at(rest.len().min(37));
            let same = data == bytes(vector, "authenticator_data");
            assert!(!assert(vector, &client_data, data, signature) || same);
        }
        _ => {
            let (data, signature) = (bytes(vector, "authenticator_data"), bytes(vector, "signature"));
            let same = rest == bytes(vector, "assertion_client_data");
            assert_eq!(assert(vector, rest, &data, &signature), same);
        }
    }
});
