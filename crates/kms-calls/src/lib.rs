//! What other services ask of KMS, for whoever calls them: S3 that encrypts an object, say.
//!
//! Each function is a call of KMS like any other, made by [`Call::on_behalf`]: decided for the caller,
//! with `kms:ViaService`, counted against the caller's request quotas, and recorded as an event of its
//! own. A service never sees a key.
//!
//! ```no_run
//! # use ringfence_gateway::Call;
//! # use ringfence_kms_calls::{Asked, EncryptionContext};
//! # async fn example<O: ringfence_wire::TypedOperation>(call: &Call<O>) -> Result<(), ringfence_wire::ServiceError> {
//! const VIA: &str = "s3";
//! let context = EncryptionContext::from([("aws:s3:arn".into(), "arn:aws:s3:::bucket".into())]);
//! let asked = Asked { via: VIA, key: "alias/aws/s3", context: &context };
//! let made = ringfence_kms_calls::generate_data_key(call, &asked).await?;
//! // Encrypt with `made.plaintext`, keep `made.ciphertext`; later:
//! let key = ringfence_kms_calls::decrypt(call, VIA, &context, &made.ciphertext).await?;
//! # Ok(())
//! # }
//! ```

use bytes::Bytes;
use ringfence_gateway::{Call, Via};
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
    asked: &Asked<'_>,
    plaintext: &SecretBytes,
) -> Result<(Bytes, String), ServiceError> {
    let input = EncryptRequest {
        key_id: asked.key.to_owned(),
        plaintext: Bytes::copy_from_slice(plaintext.expose()),
        encryption_context: pairs(asked.context),
        ..EncryptRequest::default()
    };
    let answer = call.on_behalf::<ops::Encrypt>(asked.via, input).await?;
    Ok((answer.ciphertext_blob.unwrap_or_default(), answer.key_id.unwrap_or_default()))
}

/// Decrypts what [`encrypt`] or [`generate_data_key`] made in the same context.
///
/// # Errors
/// Those of `kms:Decrypt`.
pub async fn decrypt<O: TypedOperation>(
    call: &Call<O>,
    via: Via,
    context: &EncryptionContext,
    ciphertext: &Bytes,
) -> Result<SecretBytes, ServiceError> {
    let input = DecryptRequest {
        ciphertext_blob: Some(ciphertext.clone()),
        encryption_context: pairs(context),
        ..DecryptRequest::default()
    };
    let answer = call.on_behalf::<ops::Decrypt>(via, input).await?;
    Ok(secret(answer.plaintext))
}

/// Makes a data key of 32 bytes.
///
/// # Errors
/// Those of `kms:GenerateDataKey`.
pub async fn generate_data_key<O: TypedOperation>(
    call: &Call<O>,
    asked: &Asked<'_>,
) -> Result<DataKey, ServiceError> {
    let input = GenerateDataKeyRequest {
        key_id: asked.key.to_owned(),
        encryption_context: pairs(asked.context),
        key_spec: Some(DataKeySpec::Aes256),
        ..GenerateDataKeyRequest::default()
    };
    let answer = call.on_behalf::<ops::GenerateDataKey>(asked.via, input).await?;
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
