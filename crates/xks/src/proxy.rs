//! The proxy's side: from a request to its answer.

use crate::errors::{ErrorName, Refusal};
use crate::integrity::integrity_value;
use crate::messages::{
    AES_GCM, DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, HealthResponse,
    KeyMetadata, Plain, PlainRequest, RequestMetadata, SHA_256,
};
use crate::{LONGEST_AAD, LONGEST_METADATA, LONGEST_PLAINTEXT, SERVICE, TAG, VERSION_PATH};
use bytes::Bytes;
use http::HeaderMap;
use ringfence_keyring::{SecretBytes, SecretString, Zeroizing};
use ringfence_wire::Timestamp;
use ringfence_wire::sigv4::{self, Algorithm, KeyCache, PathRule, Received, hex_sha256};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation<'a> {
    Health,
    /// Of the key of an id, as the next two.
    Metadata(&'a str),
    Encrypt(&'a str),
    Decrypt(&'a str),
}

impl Operation<'_> {
    /// The API's name of it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Health => "GetHealthStatus",
            Self::Metadata(_) => "GetKeyMetadata",
            Self::Encrypt(_) => "Encrypt",
            Self::Decrypt(_) => "Decrypt",
        }
    }

    /// The key.
    pub const fn key(&self) -> Option<&str> {
        match self {
            Self::Health => None,
            Self::Metadata(key) | Self::Encrypt(key) | Self::Decrypt(key) => Some(key),
        }
    }
}

/// What a path asks for, and the prefix before `/kms/xks/v1`.
pub fn parse_path(path: &str) -> Option<(&str, Operation<'_>)> {
    let at = path.rfind(VERSION_PATH)?;
    let (prefix, rest) = (&path[..at], path[at + VERSION_PATH.len()..].strip_prefix('/')?);
    let parts: Vec<&str> = rest.split('/').collect();
    let sound = |id: &str| {
        (1..=128).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let operation = match parts.as_slice() {
        ["health"] => Operation::Health,
        ["keys", id, what] if sound(id) => match *what {
            "metadata" => Operation::Metadata(id),
            "encrypt" => Operation::Encrypt(id),
            "decrypt" => Operation::Decrypt(id),
            _ => return None,
        },
        _ => return None,
    };
    Some((prefix, operation))
}

/// A request that has come in whole.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// Who asks, as far as the proxy knows: by which credential, and what the signed request says.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub access_key_id: &'a str,
    pub metadata: &'a RequestMetadata,
}

/// The secrets of the credentials that a proxy takes.
pub trait Secrets {
    /// That of an access key.
    fn secret(&self, access_key_id: &str) -> Option<SecretString>;
}

/// The keys behind a proxy.
pub trait Keys {
    /// How the proxy and its key managers are.
    ///
    /// # Errors
    /// [`Refusal`].
    fn health(&self) -> impl Future<Output = Result<HealthResponse, Refusal>>;

    /// What a key is.
    ///
    /// # Errors
    /// [`Refusal`].
    fn metadata(
        &self,
        asked: Asked<'_>,
        key: &str,
    ) -> impl Future<Output = Result<KeyMetadata, Refusal>>;

    /// Encrypts by AES-GCM. `ciphertext_data_integrity_value` is left to the caller.
    ///
    /// # Errors
    /// [`Refusal`].
    fn encrypt(
        &self,
        asked: Asked<'_>,
        key: &str,
        aad: &[u8],
        plaintext: &SecretBytes,
    ) -> impl Future<Output = Result<EncryptResponse, Refusal>>;

    /// Decrypts what [`Keys::encrypt`] made.
    ///
    /// # Errors
    /// [`Refusal`].
    fn decrypt(
        &self,
        asked: Asked<'_>,
        key: &str,
        aad: &[u8],
        sealed: &EncryptResponse,
    ) -> impl Future<Output = Result<SecretBytes, Refusal>>;
}

/// An answer, and what is to be recorded of its request.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub body: Bytes,
    /// The credential that signed it, where it did.
    pub access_key_id: Option<String>,
    /// What the request says of KMS's caller, where the signature was right.
    pub metadata: Option<RequestMetadata>,
    /// What it was refused with.
    pub refusal: Option<Refusal>,
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorName::ValidationException, message)
}

/// Answers a request: authenticated first, whatever it asks for.
pub async fn answer(
    keys: &impl Keys,
    secrets: &impl Secrets,
    cache: &KeyCache,
    incoming: Incoming<'_>,
    now: Timestamp,
) -> Answered {
    let mut answered = Answered {
        status: 200,
        body: Bytes::new(),
        access_key_id: None,
        metadata: None,
        refusal: None,
    };
    // The specification asks for 405 and names no error.
    if incoming.method != "POST" {
        answered.status = 405;
        answered.refusal = Some(invalid("the method is not POST"));
    } else {
        match go(keys, secrets, cache, incoming, now, &mut answered).await {
            Ok(body) => answered.body = body,
            Err(refusal) => {
                answered.status = refusal.name.status();
                answered.refusal = Some(refusal);
            }
        }
    }
    if let Some(refusal) = &answered.refusal {
        answered.body = serde_json::to_vec(&refusal.body()).unwrap_or_default().into();
    }
    answered
}

async fn go(
    keys: &impl Keys,
    secrets: &impl Secrets,
    cache: &KeyCache,
    incoming: Incoming<'_>,
    now: Timestamp,
    answered: &mut Answered,
) -> Result<Bytes, Refusal> {
    let id = authenticate(secrets, cache, incoming, now)?;
    answered.access_key_id = Some(id.clone());
    let (_, operation) = parse_path(incoming.path)
        .ok_or_else(|| Refusal::new(ErrorName::InvalidUriPathException, "no such path"))?;
    let note = |metadata: &RequestMetadata, answered: &mut Answered| {
        answered.metadata = Some(metadata.clone());
        if operation != Operation::Health && metadata.aws_principal_arn.is_none() {
            return Err(invalid("requestMetadata.awsPrincipalArn is missing"));
        }
        Ok(())
    };
    match operation {
        Operation::Health => {
            let request: PlainRequest = read(incoming.body)?;
            note(&request.request_metadata, answered)?;
            write(&keys.health().await?)
        }
        Operation::Metadata(key) => {
            let request: PlainRequest = read(incoming.body)?;
            note(&request.request_metadata, answered)?;
            let asked = Asked { access_key_id: &id, metadata: &request.request_metadata };
            write(&keys.metadata(asked, key).await?)
        }
        Operation::Encrypt(key) => {
            let request: EncryptRequest = read(incoming.body)?;
            note(&request.request_metadata, answered)?;
            let asked = Asked { access_key_id: &id, metadata: &request.request_metadata };
            write(&encrypt(keys, asked, key, &request).await?)
        }
        Operation::Decrypt(key) => {
            let request: DecryptRequest = read(incoming.body)?;
            note(&request.request_metadata, answered)?;
            let asked = Asked { access_key_id: &id, metadata: &request.request_metadata };
            write(&decrypt(keys, asked, key, &request).await?)
        }
    }
}

/// Whose signature it is.
fn authenticate(
    secrets: &impl Secrets,
    cache: &KeyCache,
    incoming: Incoming<'_>,
    now: Timestamp,
) -> Result<String, Refusal> {
    let failed = || {
        let why = "the request was not signed with a credential of this proxy";
        Refusal::new(ErrorName::AuthenticationFailedException, why)
    };
    let received = Received {
        method: incoming.method,
        path: incoming.path,
        query: incoming.query,
        headers: incoming.headers,
    };
    let signature = sigv4::parse(&received).ok().flatten().ok_or_else(failed)?;
    // A signature in the query is good for days, and the API has no use for one.
    let sound = signature.algorithm == Algorithm::V4
        && signature.service == SERVICE
        && signature.expires.is_none()
        && signature.token.is_none();
    if !sound || signature.check_time(now).is_err() {
        return Err(failed());
    }
    let secret = secrets.secret(&signature.access_key_id).ok_or_else(failed)?;
    let hash = hex_sha256(incoming.body);
    let rule = PathRule::Normalized;
    signature
        .verify(&received, secret.expose(), cache, rule, &hash, false)
        .map_err(|_| failed())?;
    Ok(signature.access_key_id.into_owned())
}

async fn encrypt(
    keys: &impl Keys,
    asked: Asked<'_>,
    key: &str,
    request: &EncryptRequest,
) -> Result<EncryptResponse, Refusal> {
    check(&request.encryption_algorithm, request.plaintext.0.len())?;
    let aad = &request.additional_authenticated_data;
    check_aad(aad)?;
    let wanted = request.ciphertext_data_integrity_value_algorithm.as_deref();
    if wanted.is_some_and(|algorithm| algorithm != SHA_256) {
        return Err(invalid("ciphertextDataIntegrityValueAlgorithm must be SHA_256"));
    }
    let plaintext = &request.plaintext.0;
    let mut made = keys.encrypt(asked, key, aad, plaintext).await?;
    if wanted.is_none() {
        return Ok(made);
    }
    // Computed before the ciphertext is tried, as the specification's appendix C asks: what is damaged
    // after the trial does not fit the value.
    made.ciphertext_data_integrity_value = integrity_value([
        aad,
        &made.ciphertext_metadata,
        &made.initialization_vector,
        &made.ciphertext,
        &made.authentication_tag,
    ]);
    let again = keys.decrypt(asked, key, aad, &made).await?;
    if !again.matches(plaintext.expose()) {
        let why = "the key manager does not decrypt what it encrypted";
        return Err(Refusal::new(ErrorName::InternalException, why));
    }
    Ok(made)
}

async fn decrypt(
    keys: &impl Keys,
    asked: Asked<'_>,
    key: &str,
    request: &DecryptRequest,
) -> Result<DecryptResponse, Refusal> {
    check(&request.encryption_algorithm, request.ciphertext.len())?;
    check_aad(&request.additional_authenticated_data)?;
    let sound = matches!(request.initialization_vector.len(), 12 | 16)
        && request.authentication_tag.len() == TAG
        && request.ciphertext_metadata.len() <= LONGEST_METADATA;
    if !sound {
        return Err(invalid("the initialization vector, tag or metadata has another length"));
    }
    let sealed = EncryptResponse {
        ciphertext: request.ciphertext.clone(),
        ciphertext_metadata: request.ciphertext_metadata.clone(),
        initialization_vector: request.initialization_vector.clone(),
        authentication_tag: request.authentication_tag.clone(),
        ciphertext_data_integrity_value: Vec::new(),
    };
    let aad = &request.additional_authenticated_data;
    let plaintext = keys.decrypt(asked, key, aad, &sealed).await?;
    Ok(DecryptResponse { plaintext: Plain(plaintext) })
}

fn check(algorithm: &str, length: usize) -> Result<(), Refusal> {
    if algorithm != AES_GCM {
        return Err(invalid("encryptionAlgorithm must be AES_GCM"));
    }
    if length > LONGEST_PLAINTEXT {
        let why = "more than 4300 bytes are not supported";
        return Err(Refusal::new(ErrorName::UnsupportedOperationException, why));
    }
    Ok(())
}

fn check_aad(aad: &[u8]) -> Result<(), Refusal> {
    match aad.len() > LONGEST_AAD {
        false => Ok(()),
        true => {
            let why = "more than 8192 bytes of additional data are not supported";
            Err(Refusal::new(ErrorName::UnsupportedOperationException, why))
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    // Nothing of the parser's error: it can quote the request, and that can be a plaintext.
    serde_json::from_slice(body).map_err(|_| invalid("the body is not this operation's"))
}

fn write<T: Serialize>(answer: &T) -> Result<Bytes, Refusal> {
    let failed = |_| Refusal::new(ErrorName::InternalException, "the answer cannot be written");
    let body = Zeroizing::new(serde_json::to_vec(answer).map_err(failed)?);
    Ok(Bytes::copy_from_slice(&body))
}

#[cfg(test)]
mod tests;
