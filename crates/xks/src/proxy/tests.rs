//! A proxy over one key in memory, asked by the client's own signatures.

use super::*;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use http::{HeaderValue, header};
use ringfence_wire::sigv4::Signer;
use serde_json::{Value, json};

struct One(LessSafeKey);

impl One {
    fn new() -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap()))
    }

    fn of(key: &str) -> Result<(), Refusal> {
        match key {
            "one" => Ok(()),
            _ => Err(Refusal::new(ErrorName::KeyNotFoundException, "there is one key")),
        }
    }
}

impl Keys for One {
    async fn health(&self) -> Result<HealthResponse, Refusal> {
        Err(Refusal::new(ErrorName::ThrottlingException, "later"))
    }

    async fn metadata(&self, _: Asked<'_>, key: &str) -> Result<KeyMetadata, Refusal> {
        Self::of(key)?;
        Ok(KeyMetadata {
            key_spec: "AES_256".into(),
            key_usage: vec!["ENCRYPT".into(), "DECRYPT".into()],
            key_status: "ENABLED".into(),
        })
    }

    async fn encrypt(
        &self,
        _: Asked<'_>,
        key: &str,
        aad: &[u8],
        plaintext: &SecretBytes,
    ) -> Result<EncryptResponse, Refusal> {
        Self::of(key)?;
        let mut text = plaintext.expose().to_vec();
        let nonce = Nonce::assume_unique_for_key([1; 12]);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut text).unwrap();
        Ok(EncryptResponse {
            ciphertext: text,
            ciphertext_metadata: Vec::new(),
            initialization_vector: vec![1; 12],
            authentication_tag: tag.as_ref().to_vec(),
            ciphertext_data_integrity_value: Vec::new(),
        })
    }

    async fn decrypt(
        &self,
        _: Asked<'_>,
        key: &str,
        aad: &[u8],
        sealed: &EncryptResponse,
    ) -> Result<SecretBytes, Refusal> {
        Self::of(key)?;
        let mut text = [sealed.ciphertext.clone(), sealed.authentication_tag.clone()].concat();
        let nonce = Nonce::try_assume_unique_for_key(&sealed.initialization_vector).unwrap();
        let opened = self.0.open_in_place(nonce, Aad::from(aad), &mut text);
        match opened {
            Ok(text) => Ok(SecretBytes::new(text.to_vec())),
            Err(_) => Err(Refusal::new(ErrorName::InvalidCiphertextException, "it does not open")),
        }
    }
}

const ID: &str = "ABCDEFGHIJKLMNOPQRST";
const SECRET: &str = "FYtE5EFA5FT0mCc3DrGUe2sti527BitkQ0Zr9MO9fvE";
const NOW: i64 = 1_700_000_000;

struct Credentials;

impl Secrets for Credentials {
    fn secret(&self, access_key_id: &str) -> Option<SecretString> {
        (access_key_id == ID).then(|| SecretString::new(SECRET.into()))
    }
}

/// A request, and what is wrong with it.
struct Sent {
    method: &'static str,
    path: &'static str,
    service: &'static str,
    id: &'static str,
    secret: &'static str,
    signed_at: i64,
    alter: bool,
}

const SOUND: Sent = Sent {
    method: "POST",
    path: "/a/kms/xks/v1/keys/one/encrypt",
    service: SERVICE,
    id: ID,
    secret: SECRET,
    signed_at: NOW,
    alter: false,
};

async fn send(sent: Sent, body: &Value) -> (u16, Value, Answered) {
    let mut body = serde_json::to_vec(body).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, HeaderValue::from_static("xks.example.com"));
    let signer = Signer {
        access_key_id: sent.id,
        secret: sent.secret,
        token: None,
        region: "eu-central-1",
        service: sent.service,
    };
    let received = Received { method: sent.method, path: sent.path, query: "", headers: &headers };
    let at = Timestamp::from_seconds(sent.signed_at);
    let signed = signer.sign(&received, PathRule::Normalized, &hex_sha256(&body), at).unwrap();
    headers.extend(signed);
    if sent.alter {
        body.push(b' ');
    }
    let incoming = Incoming {
        method: sent.method,
        path: sent.path,
        query: "",
        headers: &headers,
        body: &body,
    };
    let now = Timestamp::from_seconds(NOW);
    let answered = answer(&One::new(), &Credentials, &KeyCache::default(), incoming, now).await;
    let said = serde_json::from_slice(&answered.body).unwrap();
    (answered.status, said, answered)
}

fn of_caller() -> Value {
    json!({
        "awsPrincipalArn": "arn:aws:iam::123456789012:user/ann",
        "kmsOperation": "Encrypt",
        "kmsRequestId": "any text",
        "yetUnknown": 1,
    })
}

fn hello() -> Value {
    json!({
        "requestMetadata": of_caller(),
        "additionalAuthenticatedData": "cHJvamVjdD1uaWxl",
        "plaintext": "SGVsbG8gV29ybGQh",
        "encryptionAlgorithm": "AES_GCM",
        "ciphertextDataIntegrityValueAlgorithm": "SHA_256",
    })
}

#[tokio::test]
async fn what_is_encrypted_is_decrypted_with_the_same_additional_data_alone() {
    let (status, made, answered) = send(SOUND, &hello()).await;
    assert_eq!(status, 200, "{made}");
    assert!(made["ciphertextDataIntegrityValue"].is_string());
    assert_eq!(answered.access_key_id.as_deref(), Some(ID));
    assert_eq!(answered.metadata.unwrap().kms_request_id, "any text");
    let mut wanted = json!({
        "requestMetadata": of_caller(),
        "additionalAuthenticatedData": "cHJvamVjdD1uaWxl",
        "ciphertext": made["ciphertext"],
        "initializationVector": made["initializationVector"],
        "authenticationTag": made["authenticationTag"],
        "encryptionAlgorithm": "AES_GCM",
    });
    let decrypt = || Sent { path: "/kms/xks/v1/keys/one/decrypt", ..SOUND };
    let (status, opened, _) = send(decrypt(), &wanted).await;
    assert_eq!((status, opened), (200, json!({ "plaintext": "SGVsbG8gV29ybGQh" })));
    wanted["additionalAuthenticatedData"] = json!("cHJvamVjdD1yaGluZQ==");
    let (status, refused, _) = send(decrypt(), &wanted).await;
    assert_eq!(status, 400);
    assert_eq!(refused["errorName"], "InvalidCiphertextException");
    wanted["authenticationTag"] = json!("AAAA");
    let (_, refused, _) = send(decrypt(), &wanted).await;
    assert_eq!(refused["errorName"], "ValidationException");
}

#[tokio::test]
async fn a_request_that_no_credential_of_the_proxy_signed_is_told_nothing() {
    for sent in [
        Sent { secret: "another", ..SOUND },
        Sent { id: "TSRQPONMLKJIHGFEDCBA", ..SOUND },
        Sent { service: "kms", ..SOUND },
        Sent { signed_at: NOW - 301, ..SOUND },
        Sent { signed_at: NOW + 301, ..SOUND },
        Sent { alter: true, ..SOUND },
        Sent { secret: "another", path: "/kms/xks/v1/keys/two/metadata", ..SOUND },
        Sent { secret: "another", path: "/nowhere", ..SOUND },
    ] {
        let (status, refused, answered) = send(sent, &hello()).await;
        assert_eq!((status, &refused["errorName"]), (401, &json!("AuthenticationFailedException")));
        assert!(answered.access_key_id.is_none() && answered.metadata.is_none());
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_by_the_specifications_errors() {
    let path = |path| Sent { path, ..SOUND };
    let with = |name: &str, value: Value| {
        let mut body = hello();
        body[name] = value;
        body
    };
    let long = "A".repeat(4 * 1500);
    for (sent, body, status, name) in [
        (path("/kms/xks/v1/keys/two/encrypt"), hello(), 404, "KeyNotFoundException"),
        (path("/kms/xks/v1/keys/one/forget"), hello(), 404, "InvalidUriPathException"),
        (path("/kms/xks/v1/keys/o%20e/encrypt"), hello(), 404, "InvalidUriPathException"),
        (path("/kms/xks/v2/keys/one/encrypt"), hello(), 404, "InvalidUriPathException"),
        (path("/kms/xks/v1/health"), hello(), 429, "ThrottlingException"),
        (SOUND, with("plaintext", json!("%")), 400, "ValidationException"),
        (SOUND, with("plaintext", json!(long)), 501, "UnsupportedOperationException"),
        (SOUND, with("encryptionAlgorithm", json!("ROT13")), 400, "ValidationException"),
        (SOUND, with("requestMetadata", json!({})), 400, "ValidationException"),
        (
            SOUND,
            with("requestMetadata", json!({ "kmsOperation": "Encrypt", "kmsRequestId": "1" })),
            400,
            "ValidationException",
        ),
        (
            SOUND,
            with("ciphertextDataIntegrityValueAlgorithm", json!("MD5")),
            400,
            "ValidationException",
        ),
        (Sent { method: "GET", ..SOUND }, hello(), 405, "ValidationException"),
    ] {
        let (got, refused, _) = send(sent, &body).await;
        assert_eq!((got, &refused["errorName"]), (status, &json!(name)));
    }
}
