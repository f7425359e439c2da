//! What other services ask of KMS, for whoever calls them: S3 that encrypts an object, say.
//!
//! Each function is a call of KMS like any other, made by [`Call::on_behalf`]: for a caller who may use
//! the service, as its [`Permit`] shows; decided for that caller, with `kms:ViaService`; counted against
//! the caller's request quotas; and recorded as an event of its own. A service never sees a key.
//!
//! ```no_run
//! # use ringfence_gateway::{Call, Permit};
//! # use ringfence_kms_calls::{Asked, EncryptionContext, Sealed};
//! # async fn example<O: ringfence_wire::TypedOperation>(call: &Call<O>, permit: &Permit<()>) -> Result<(), ringfence_wire::ServiceError> {
//! const VIA: &str = "s3";
//! let context = EncryptionContext::from([("aws:s3:arn".into(), "arn:aws:s3:::bucket".into())]);
//! let asked = Asked { via: VIA, key: "alias/aws/s3", context: &context };
//! let made = ringfence_kms_calls::generate_data_key(call, permit, &asked).await?;
//! // Encrypt with `made.plaintext`, keep `made.ciphertext` and `made.key_arn`; later:
//! let sealed = Sealed { via: VIA, key: Some(&made.key_arn), context: &context };
//! let key = ringfence_kms_calls::decrypt(call, permit, &sealed, &made.ciphertext).await?;
//! # Ok(())
//! # }
//! ```

use bytes::Bytes;
use ringfence_gateway::{Call, Permit, Via};
use ringfence_keyring::SecretBytes;
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{
    DataKeySpec, DecryptRequest, EncryptRequest, GenerateDataKeyRequest,
};
use ringfence_wire::value::Map;
use ringfence_wire::{ServiceError, TypedOperation};
use std::collections::BTreeMap;

/// The pairs that a ciphertext is bound to.
pub type EncryptionContext = BTreeMap<String, String>;

/// Under which key, for which service, in which context.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The service that asks.
    pub via: Via,
    /// An id, ARN or alias. `alias/aws/SERVICE` of the asking service is made when it is not there.
    pub key: &'a str,
    /// What the ciphertext is bound to.
    pub context: &'a EncryptionContext,
}

/// Which ciphertext, of which service, in which context.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    /// The service that asks.
    pub via: Via,
    /// The ARN of the key that it must be under; `None` where any will do that its caller may use, as
    /// whoever made the ciphertext chose it.
    pub key: Option<&'a str>,
    /// What the ciphertext is bound to.
    pub context: &'a EncryptionContext,
}

/// A key to encrypt with, and the same to keep.
#[derive(Debug)]
pub struct DataKey {
    /// 32 bytes.
    pub plaintext: SecretBytes,
    /// What [`decrypt`] opens.
    pub ciphertext: Bytes,
    /// The ARN of the KMS key.
    pub key_arn: String,
}

/// Encrypts at most 4,096 bytes; the ciphertext and the ARN of the KMS key.
///
/// # Errors
/// Those of `kms:Encrypt`.
pub async fn encrypt<O: TypedOperation>(
    call: &Call<O>,
    permit: &Permit<impl Sized>,
    asked: &Asked<'_>,
    plaintext: &SecretBytes,
) -> Result<(Bytes, String), ServiceError> {
    let input = EncryptRequest {
        key_id: asked.key.to_owned(),
        plaintext: Bytes::copy_from_slice(plaintext.expose()),
        encryption_context: pairs(asked.context),
        ..EncryptRequest::default()
    };
    let answer = call.on_behalf::<ops::Encrypt>(permit, asked.via, input).await?;
    Ok((answer.ciphertext_blob.unwrap_or_default(), answer.key_id.unwrap_or_default()))
}

/// Decrypts what [`encrypt`] or [`generate_data_key`] made in the same context.
///
/// # Errors
/// Those of `kms:Decrypt`; `IncorrectKeyException` where it is under another key than it must be.
pub async fn decrypt<O: TypedOperation>(
    call: &Call<O>,
    permit: &Permit<impl Sized>,
    sealed: &Sealed<'_>,
    ciphertext: &Bytes,
) -> Result<SecretBytes, ServiceError> {
    let input = DecryptRequest {
        ciphertext_blob: Some(ciphertext.clone()),
        encryption_context: pairs(sealed.context),
        key_id: sealed.key.map(ToOwned::to_owned),
        ..DecryptRequest::default()
    };
    let answer = call.on_behalf::<ops::Decrypt>(permit, sealed.via, input).await?;
    Ok(secret(answer.plaintext))
}

/// Makes a data key of 32 bytes.
///
/// # Errors
/// Those of `kms:GenerateDataKey`.
pub async fn generate_data_key<O: TypedOperation>(
    call: &Call<O>,
    permit: &Permit<impl Sized>,
    asked: &Asked<'_>,
) -> Result<DataKey, ServiceError> {
    let input = GenerateDataKeyRequest {
        key_id: asked.key.to_owned(),
        encryption_context: pairs(asked.context),
        key_spec: Some(DataKeySpec::Aes256),
        ..GenerateDataKeyRequest::default()
    };
    let answer = call.on_behalf::<ops::GenerateDataKey>(permit, asked.via, input).await?;
    Ok(DataKey {
        plaintext: secret(answer.plaintext),
        ciphertext: answer.ciphertext_blob.unwrap_or_default(),
        key_arn: answer.key_id.unwrap_or_default(),
    })
}

fn secret(bytes: Option<Bytes>) -> SecretBytes {
    SecretBytes::new(bytes.unwrap_or_default().to_vec())
}

fn pairs(context: &EncryptionContext) -> Option<Map<String>> {
    let pairs = context.iter().map(|(name, value)| (name.clone(), value.clone()));
    (!context.is_empty()).then(|| pairs.collect())
}
