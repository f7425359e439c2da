//! KMS's side: asking a proxy.

use crate::errors::{Body, ErrorName};
use crate::integrity::integrity_value;
use crate::messages::{
    AES_GCM, DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, HealthResponse,
    KeyMetadata, Plain, PlainRequest, RequestMetadata, SHA_256,
};
use crate::{LONGEST_METADATA, SERVICE, TAG};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use ringfence_keyring::{SecretBytes, SecretString};
use ringfence_outbound::{Ask, NotAnswered, quoted};
use ringfence_wire::Timestamp;
use ringfence_wire::sigv4::{PathRule, Received, Signer, hex_sha256};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// What requests are signed with.
#[derive(Debug)]
pub struct Credential {
    pub access_key_id: String,
    pub secret: SecretString,
}

/// A proxy, and how KMS reaches it.
#[derive(Debug)]
pub struct Proxy<'a> {
    /// Scheme, host and, where it is not the scheme's own, port.
    pub endpoint: &'a str,
    /// The path, which ends in `/kms/xks/v1`.
    pub path: &'a str,
    pub credential: &'a Credential,
    /// The region of the KMS that asks.
    pub region: &'a str,
    /// How long an answer may take: AWS's KMS waits 250 ms for all of it.
    pub patience: Duration,
}

/// Why a proxy did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It said so; what it said in part.
    #[error("{}: {message}", name.as_str())]
    Refused { name: ErrorName, message: String },
    /// No connection could be made, or it broke.
    #[error("the proxy cannot be reached: {0}")]
    Unreachable(String),
    /// It did not prove who it is.
    #[error("no TLS to the proxy: {0}")]
    Untrusted(String),
    /// It took too long.
    #[error("the proxy did not answer in time")]
    Late,
    /// Its answer is not what the specification says.
    #[error("the proxy's answer makes no sense: {0}")]
    Malformed(String),
}

/// What a proxy encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    pub ciphertext: Vec<u8>,
    /// At most 20 bytes, often none.
    pub metadata: Vec<u8>,
    /// 12 or 16 bytes.
    pub iv: Vec<u8>,
    pub tag: [u8; TAG],
}

/// How a proxy's key managers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// At least one serves.
    Serving,
    /// All are unavailable.
    Unavailable,
}

fn malformed(why: impl Into<String>) -> Failure {
    Failure::Malformed(why.into())
}

impl Proxy<'_> {
    /// Asks whether it and its key managers can work.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn health(&self, of: RequestMetadata, now: Timestamp) -> Result<Health, Failure> {
        let asked = PlainRequest { request_metadata: of };
        let health: HealthResponse = self.ask("health", &asked, now).await?;
        let managers = &health.ekm_fleet_details;
        if health.xks_proxy_fleet_size == 0 || !(1..=10).contains(&managers.len()) {
            return Err(malformed("a fleet of another size"));
        }
        let serve = managers.iter().any(|one| one.health_status != "UNAVAILABLE");
        Ok(if serve { Health::Serving } else { Health::Unavailable })
    }

    /// Asks what a key is.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn metadata(
        &self,
        key: &str,
        of: RequestMetadata,
        now: Timestamp,
    ) -> Result<KeyMetadata, Failure> {
        let asked = PlainRequest { request_metadata: of };
        self.ask(&format!("keys/{key}/metadata"), &asked, now).await
    }

    /// Has a key encrypt, and checks that the answer came undamaged.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn encrypt(
        &self,
        key: &str,
        of: RequestMetadata,
        aad: &[u8],
        plaintext: SecretBytes,
        now: Timestamp,
    ) -> Result<Wrapped, Failure> {
        let length = plaintext.len();
        let asked = EncryptRequest {
            request_metadata: of,
            additional_authenticated_data: aad.to_vec(),
            plaintext: Plain(plaintext),
            encryption_algorithm: AES_GCM.into(),
            ciphertext_data_integrity_value_algorithm: Some(SHA_256.into()),
        };
        let made: EncryptResponse = self.ask(&format!("keys/{key}/encrypt"), &asked, now).await?;
        let EncryptResponse {
            ciphertext,
            ciphertext_metadata: metadata,
            initialization_vector: iv,
            authentication_tag: tag,
            ciphertext_data_integrity_value: value,
        } = made;
        if ciphertext.len() != length {
            return Err(malformed("a ciphertext of another length"));
        }
        if metadata.len() > LONGEST_METADATA || !matches!(iv.len(), 12 | 16) {
            return Err(malformed("metadata or an initialization vector of another length"));
        }
        if value != integrity_value([aad, &metadata, &iv, &ciphertext, &tag]) {
            return Err(malformed("another integrity value"));
        }
        let tag = tag.try_into().map_err(|_| malformed("a tag of another length"))?;
        Ok(Wrapped { ciphertext, metadata, iv, tag })
    }

    /// Has a key decrypt.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn decrypt(
        &self,
        key: &str,
        of: RequestMetadata,
        aad: &[u8],
        wrapped: Wrapped,
        now: Timestamp,
    ) -> Result<SecretBytes, Failure> {
        let length = wrapped.ciphertext.len();
        let asked = DecryptRequest {
            request_metadata: of,
            additional_authenticated_data: aad.to_vec(),
            ciphertext: wrapped.ciphertext,
            ciphertext_metadata: wrapped.metadata,
            encryption_algorithm: AES_GCM.into(),
            initialization_vector: wrapped.iv,
            authentication_tag: wrapped.tag.to_vec(),
        };
        let opened: DecryptResponse = self.ask(&format!("keys/{key}/decrypt"), &asked, now).await?;
        let Plain(plaintext) = opened.plaintext;
        if plaintext.len() != length {
            return Err(malformed("a plaintext of another length"));
        }
        Ok(plaintext)
    }

    /// Sends a request and reads its answer.
    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        what: &str,
        asked: &Q,
        now: Timestamp,
    ) -> Result<A, Failure> {
        let body = Bytes::from(serde_json::to_vec(asked).map_err(|e| malformed(e.to_string()))?);
        let url = format!("{}{}/{what}", self.endpoint, self.path);
        let headers = self.signed(&url, &body, now)?;
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
        let asking = Ask::of(&url).plain(true).exchange(Method::POST, headers, body);
        let (status, body) = tokio::time::timeout(self.patience, asking)
            .await
            .map_err(|_| Failure::Late)?
            // The other side can have its part in the words: a certificate's names, say.
            .map_err(|failed| match failed {
                NotAnswered::Unreachable(why) => Failure::Unreachable(quoted(&why)),
                NotAnswered::Untrusted(why) => Failure::Untrusted(quoted(&why)),
                NotAnswered::Unusable(why) => Failure::Malformed(quoted(&why)),
            })?;
        // The error of a parser can quote what it read, and that can be a plaintext.
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_| malformed("no such answer"));
        }
        let said: Body = serde_json::from_slice(&body)
            .map_err(|_| malformed(format!("HTTP status {status} without an error's name")))?;
        let name = ErrorName::parse(&said.error_name)
            .ok_or_else(|| malformed("an error of an unknown name"))?;
        let message = quoted(&said.error_message.unwrap_or_default());
        Err(Failure::Refused { name, message })
    }

    /// The headers of a request but its host's, which is signed too.
    fn signed(&self, url: &str, body: &[u8], now: Timestamp) -> Result<HeaderMap, Failure> {
        let uri: Uri = url.parse().map_err(|_| Failure::Unreachable("no URL".into()))?;
        let host = uri.authority().map(|host| HeaderValue::from_str(host.as_str()));
        let Some(Ok(host)) = host else {
            return Err(Failure::Unreachable("a URL without a host".into()));
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let signer = Signer {
            access_key_id: &self.credential.access_key_id,
            secret: self.credential.secret.expose(),
            token: None,
            region: self.region,
            service: SERVICE,
        };
        let request = Received { method: "POST", path: uri.path(), query: "", headers: &headers };
        let signed = signer
            .sign(&request, PathRule::Normalized, &hex_sha256(body), now)
            .map_err(|why| Failure::Unreachable(why.to_string()))?;
        headers.extend(signed);
        // The request has its own already, which is the same.
        headers.remove(header::HOST);
        Ok(headers)
    }
}
