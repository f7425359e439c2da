//! The KMS seal: a key of another KMS wraps the root key. Any that speaks AWS's protocol will do, AWS
//! itself or another Ringfence: a store then opens by itself for as long as that KMS lets it, and
//! whoever disables the key there, or denies the caller, has shut it.
//!
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html>,
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html>
//!
//! The encryption context names the data directory (`ringfence-directory`), so that a key policy can
//! tell one store from another, and the event of every opening says which it was.

use crate::credentials::Credentials;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use ringfence_keyring::{
    Blob, HeldKind, HeldSeal, HolderFailed, SealedPlace, SecretBytes, SecretString,
};
use ringfence_outbound::{Ask, NotAnswered, quoted};
use ringfence_wire::Timestamp;
use ringfence_wire::sigv4::{PathRule, Received, Signer, hex_sha256};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// How long one call may take, and after how long it is tried again where nobody answers: a KMS may
/// be starting too.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// A seal by another KMS.
#[derive(Debug)]
pub(crate) struct KmsSeal {
    key: String,
    region: String,
    endpoint: String,
}

impl KmsSeal {
    /// Reads what stands behind `kms:`: the ARN of a key or of an alias, and perhaps `@ENDPOINT`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (key, endpoint) = match text.split_once('@') {
            Some((key, endpoint)) => (key, Some(endpoint)),
            None => (text, None),
        };
        let parts: Vec<&str> = key.splitn(6, ':').collect();
        let [arn, partition, service, region, account, resource] = parts[..] else { return None };
        let sound = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b))
        };
        let named = resource.strip_prefix("key/").or_else(|| resource.strip_prefix("alias/"))?;
        let whole = arn == "arn"
            && service == "kms"
            && [partition, region, account, named].into_iter().all(sound);
        if !whole {
            return None;
        }
        let endpoint = match endpoint {
            Some(endpoint) => {
                let endpoint = endpoint.strip_suffix('/').unwrap_or(endpoint);
                let uri: Uri = endpoint.parse().ok()?;
                let authority = uri.authority()?;
                let plain = matches!(uri.scheme_str(), Some("https" | "http"))
                    && uri.path() == "/"
                    && uri.query().is_none()
                    && !authority.as_str().contains('@');
                plain.then(|| endpoint.to_owned())?
            }
            // https://docs.aws.amazon.com/general/latest/gr/kms.html
            None if partition == "aws-cn" => format!("https://kms.{region}.amazonaws.com.cn"),
            None => format!("https://kms.{region}.amazonaws.com"),
        };
        Some(Self { key: key.to_owned(), region: region.to_owned(), endpoint })
    }

    /// Calls an operation, from whichever thread this is.
    fn call(&self, operation: &str, input: Value) -> Result<Value, HolderFailed> {
        let credentials = Credentials::find()?;
        // A thread of its own, because the one that opens a store may drive a runtime already.
        std::thread::scope(|scope| {
            let calling = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(|error| HolderFailed(error.to_string()))?;
                runtime.block_on(self.patiently(operation, &input, &credentials))
            });
            calling.join().unwrap_or_else(|_| Err(HolderFailed("the call broke off".into())))
        })
    }

    async fn patiently(
        &self,
        operation: &str,
        input: &Value,
        credentials: &Credentials,
    ) -> Result<Value, HolderFailed> {
        let mut pauses = PAUSES.iter();
        loop {
            let once = self.once(operation, input, credentials);
            let why = match tokio::time::timeout(PATIENCE, once).await {
                Ok(Ok((status, body))) if status.is_server_error() => refusal(status, &body),
                Ok(Ok((status, body))) => return self.answer(status, &body),
                Ok(Err(NotAnswered::Unreachable(why))) => format!("no answer: {why}"),
                Ok(Err(error)) => return Err(self.failed(&error.to_string())),
                Err(_) => "no answer in time".to_owned(),
            };
            match pauses.next() {
                Some(pause) => {
                    tracing::warn!(
                        endpoint = self.endpoint,
                        why,
                        "the KMS of the seal is asked again"
                    );
                    tokio::time::sleep(*pause).await;
                }
                None => return Err(self.failed(&why)),
            }
        }
    }

    async fn once(
        &self,
        operation: &str,
        input: &Value,
        credentials: &Credentials,
    ) -> Result<(StatusCode, Bytes), NotAnswered> {
        let unusable = |why: String| NotAnswered::Unusable(why);
        let body = Bytes::from(input.to_string());
        let uri: Uri = self.endpoint.parse().map_err(|_| unusable("no URL".into()))?;
        let host = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| unusable("an endpoint that is none".into()))
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, value(host)?);
        headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        headers.insert("x-amz-target", value(&format!("TrentService.{operation}"))?);
        let signer = Signer {
            access_key_id: &credentials.access_key_id,
            secret: credentials.secret.expose(),
            token: credentials.token.as_ref().map(SecretString::expose),
            region: &self.region,
            service: "kms",
        };
        let request = Received { method: "POST", path: "/", query: "", headers: &headers };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_seconds(i64::try_from(now.as_secs()).unwrap_or_default());
        let signed = signer
            .sign(&request, PathRule::Normalized, &hex_sha256(&body), now)
            .map_err(|error| unusable(error.to_string()))?;
        // The client sets it by itself.
        headers.remove(header::HOST);
        headers.extend(signed);
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        let headers: Vec<_> = headers.collect();
        // Over loopback alone, which the client sees to.
        let plain = self.endpoint.starts_with("http://");
        Ask::of(&self.endpoint).plain(plain).exchange(Method::POST, headers, body).await
    }

    fn answer(&self, status: StatusCode, body: &[u8]) -> Result<Value, HolderFailed> {
        if !status.is_success() {
            return Err(self.failed(&refusal(status, body)));
        }
        serde_json::from_slice(body).map_err(|_| self.failed("an answer that is no JSON"))
    }

    fn failed(&self, why: &str) -> HolderFailed {
        HolderFailed(format!("{} said: {why}", self.endpoint))
    }
}

/// What a refusal says: its code and message, which hold nothing secret.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: [&str; 2]| {
        quoted(names.iter().find_map(|name| body.get(*name)?.as_str()).unwrap_or_default())
    };
    let (code, message) = (text(["__type", "code"]), text(["message", "Message"]));
    let code = code.rsplit_once('#').map_or(code.as_str(), |(_, code)| code);
    format!("HTTP status {} {code} {message}", status.as_u16()).trim_end().to_owned()
}

fn context(place: &SealedPlace) -> Value {
    json!({ "ringfence-directory": place.id_text() })
}

const CIPHERTEXT: &str = "ciphertext";

impl HeldSeal for KmsSeal {
    fn kind(&self) -> HeldKind {
        HeldKind::Kms
    }

    fn in_words(&self) -> String {
        format!("KMS key {} at {}", self.key, self.endpoint)
    }

    fn wrap(&self, root: &SecretBytes, place: &SealedPlace) -> Result<Blob, HolderFailed> {
        let plaintext = SecretString::new(STANDARD.encode(root.expose()));
        let answer = self.call(
            "Encrypt",
            json!({
                "KeyId": self.key,
                "Plaintext": plaintext.expose(),
                "EncryptionContext": context(place),
            }),
        )?;
        let ciphertext = answer["CiphertextBlob"].as_str();
        let ciphertext = ciphertext.and_then(|text| STANDARD.decode(text).ok());
        let ciphertext = ciphertext.ok_or_else(|| self.failed("an answer without ciphertext"))?;
        let mut blob = Blob::default();
        blob.about.insert("key".to_owned(), self.key.clone());
        blob.about.insert("endpoint".to_owned(), self.endpoint.clone());
        blob.data.insert(CIPHERTEXT.to_owned(), ciphertext);
        Ok(blob)
    }

    /// Asks for the key that the operator named, wherever `seal.json` says that it was.
    fn unwrap(&self, blob: &Blob, place: &SealedPlace) -> Result<SecretBytes, HolderFailed> {
        let answer = self.call(
            "Decrypt",
            json!({
                "KeyId": self.key,
                "CiphertextBlob": STANDARD.encode(blob.data(CIPHERTEXT)?),
                "EncryptionContext": context(place),
            }),
        )?;
        let Value::Object(mut answer) = answer else {
            return Err(self.failed("an answer that is none"));
        };
        let Some(Value::String(plaintext)) = answer.remove("Plaintext") else {
            return Err(self.failed("an answer without plaintext"));
        };
        let plaintext = SecretString::new(plaintext);
        let root = STANDARD.decode(plaintext.expose());
        root.map(SecretBytes::new).map_err(|_| self.failed("a plaintext that is no base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn a_key_is_named_by_its_arn_and_tells_its_region_and_endpoint() {
        let seal = KmsSeal::parse(KEY).unwrap();
        assert_eq!((seal.key.as_str(), seal.region.as_str()), (KEY, "eu-west-1"));
        assert_eq!(seal.endpoint, "https://kms.eu-west-1.amazonaws.com");
        let china = KEY.replace("arn:aws:", "arn:aws-cn:");
        let seal = KmsSeal::parse(&china).unwrap();
        assert_eq!(seal.endpoint, "https://kms.eu-west-1.amazonaws.com.cn");
        for endpoint in ["https://kms.example.com", "http://127.0.0.1:4566", "http://[::1]:4566"] {
            for slash in ["", "/"] {
                let seal = KmsSeal::parse(&format!("{KEY}@{endpoint}{slash}")).unwrap();
                assert_eq!(seal.endpoint, endpoint);
            }
        }
        assert!(KmsSeal::parse("arn:aws:kms:eu-west-1:123456789012:alias/seal/of-it").is_some());
    }

    #[test]
    fn what_is_no_arn_or_no_endpoint_is_refused() {
        for text in [
            "",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:s3:eu-west-1:123456789012:key/a",
            "arn:aws:kms::123456789012:key/a",
            "arn:aws:kms:eu-west-1:123456789012:key/",
            "arn:aws:kms:eu-west-1:123456789012:other/a",
            "arn:aws:kms:eu.evil.com/:123456789012:key/a",
            &format!("{KEY}@"),
            &format!("{KEY}@kms.example.com"),
            &format!("{KEY}@ftp://kms.example.com"),
            &format!("{KEY}@https://user:secret@kms.example.com"),
            &format!("{KEY}@https://kms.example.com/path"),
            &format!("{KEY}@https://kms.example.com?a=b"),
        ] {
            assert!(KmsSeal::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_refusal_is_told_by_its_code_and_message() {
        for (body, said) in [
            (
                r#"{"__type":"com.amazonaws.kms#DisabledException","message":"it is\ndisabled"}"#,
                "HTTP status 400 DisabledException it isdisabled",
            ),
            (
                r#"{"__type":"AccessDeniedException","Message":"no"}"#,
                "HTTP status 400 AccessDeniedException no",
            ),
            ("<html>", "HTTP status 400"),
        ] {
            assert_eq!(refusal(StatusCode::BAD_REQUEST, body.as_bytes()), said);
        }
    }
}
