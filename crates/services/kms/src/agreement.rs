//! Shared secrets: by Diffie-Hellman on a curve, and by encapsulation.

use crate::encryption::current;
use crate::resolve::By;
use crate::{Kms, errors};
use bytes::Bytes;
use ringfence_gateway::{Answer, Call};
use ringfence_keyring::material::MaterialError;
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{self, KeyUsageType};
use ringfence_wire::ServiceError;

pub(crate) async fn derive_shared_secret(
    kms: &Kms,
    call: Call<ops::DeriveSharedSecret>,
) -> Result<Answer<types::DeriveSharedSecretResponse>, ServiceError> {
    let input = &call.input;
    if input.recipient.is_some() {
        return Err(errors::no_enclaves());
    }
    kms.check_tokens(&call, input.grant_tokens.as_deref())?;
    let allowed = kms.allow(&call, &input.key_id, By::IdOrAlias, |found| {
        found.key("kms:KeyAgreementAlgorithm", input.key_agreement_algorithm.as_str())
    })?;
    let key = allowed.usable(&KeyUsageType::KeyAgreement, "DeriveSharedSecret")?;
    let secret =
        current(key, allowed.at)?.1.agree(&input.public_key).map_err(|error| match error {
            MaterialError::PublicKey => errors::validation("The public key is not valid."),
            error => errors::failed(error),
        })?;
    allowed.not_dry(input.dry_run)?;
    kms.note_use(&call, &allowed);
    Ok(allowed.permit.answer(types::DeriveSharedSecretResponse {
        key_id: Some(allowed.arn()?),
        shared_secret: Some(Bytes::copy_from_slice(secret.expose())),
        key_agreement_algorithm: Some(input.key_agreement_algorithm.clone()),
        key_origin: Some(key.origin.clone()),
        ..types::DeriveSharedSecretResponse::default()
    }))
}

pub(crate) async fn encapsulate(
    kms: &Kms,
    call: Call<ops::Encapsulate>,
) -> Result<Answer<types::EncapsulateResponse>, ServiceError> {
    let input = &call.input;
    kms.check_tokens(&call, input.grant_tokens.as_deref())?;
    let allowed = kms.allow(&call, &input.key_id, By::IdOrAlias, |found| {
        found.key("kms:EncapsulationAlgorithm", input.encapsulation_algorithm.as_str())
    })?;
    let key = allowed.usable(&KeyUsageType::EncapsulateDecapsulate, "Encapsulate")?;
    let public = current(key, allowed.at)?.1.public_key().map_err(errors::failed)?;
    let made = public.encapsulate().map_err(errors::failed)?;
    allowed.not_dry(input.dry_run)?;
    kms.note_use(&call, &allowed);
    Ok(allowed.permit.answer(types::EncapsulateResponse {
        key_id: Some(allowed.arn()?),
        shared_secret: Some(Bytes::copy_from_slice(made.shared_secret.expose())),
        shared_secret_ciphertext_blob: Some(made.ciphertext.into()),
        encapsulation_algorithm: Some(input.encapsulation_algorithm.clone()),
    }))
}

pub(crate) async fn decapsulate(
    kms: &Kms,
    call: Call<ops::Decapsulate>,
) -> Result<Answer<types::DecapsulateResponse>, ServiceError> {
    let input = &call.input;
    kms.check_tokens(&call, input.grant_tokens.as_deref())?;
    let allowed = kms.allow(&call, &input.key_id, By::IdOrAlias, |found| {
        found.key("kms:EncapsulationAlgorithm", input.encapsulation_algorithm.as_str())
    })?;
    let key = allowed.usable(&KeyUsageType::EncapsulateDecapsulate, "Decapsulate")?;
    let opened = current(key, allowed.at)?.1.decapsulate(&input.shared_secret_ciphertext_blob);
    let secret = opened.map_err(|error| match error {
        MaterialError::Ciphertext => errors::bad_ciphertext(),
        error => errors::failed(error),
    })?;
    allowed.not_dry(input.dry_run)?;
    kms.note_use(&call, &allowed);
    Ok(allowed.permit.answer(types::DecapsulateResponse {
        key_id: Some(allowed.arn()?),
        shared_secret: Some(Bytes::copy_from_slice(secret.expose())),
        encapsulation_algorithm: Some(input.encapsulation_algorithm.clone()),
    }))
}
