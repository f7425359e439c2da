//! Signatures, public keys, message authentication codes and shared secrets.

use crate::encryption::current;
use crate::records::Key;
use crate::resolve::{Allowed, By};
use crate::{Kms, errors};
use bytes::Bytes;
use ringfence_gateway::{Answer, Call};
use ringfence_keyring::material::{MacAlgorithm, MaterialError, Message, SigningAlgorithm};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{
    self, CustomerMasterKeySpec, KeySpec, KeyUsageType, MacAlgorithmSpec, MessageType,
    SigningAlgorithmSpec,
};
use ringfence_wire::{ServiceError, TypedOperation};

/// The algorithm, where the key has it.
fn checked(key: &Key, algorithm: &SigningAlgorithmSpec) -> Result<SigningAlgorithm, ServiceError> {
    let known = SigningAlgorithm::parse(algorithm.as_str());
    known
        .filter(|one| key.spec.signing_algorithms().contains(one))
        .ok_or_else(|| errors::wrong_algorithm(algorithm.as_str(), key.spec.as_str()))
}

fn message<'m>(kind: Option<&MessageType>, message: &'m [u8]) -> Result<Message<'m>, ServiceError> {
    match kind {
        None | Some(MessageType::RAW) => Ok(Message::Raw(message)),
        Some(MessageType::Digest) => Ok(Message::Digest(message)),
        Some(MessageType::ExternalMu) => Ok(Message::ExternalMu(message)),
        Some(_) => Err(errors::validation("This message type is not known.")),
    }
}

fn refused(error: MaterialError, algorithm: &SigningAlgorithmSpec) -> ServiceError {
    match error {
        MaterialError::DigestLength { .. } => errors::wrong_digest(algorithm.as_str()),
        MaterialError::Unsupported => errors::wrong_message_type(algorithm.as_str()),
        MaterialError::Signature => errors::bad_signature(),
        error => errors::failed(error),
    }
}

/// Asks for a key and an algorithm of signing.
fn allow<O: TypedOperation>(
    kms: &Kms,
    call: &Call<O>,
    key_id: &str,
    algorithm: &SigningAlgorithmSpec,
    kind: Option<&MessageType>,
    tokens: Option<&[String]>,
) -> Result<Allowed, ServiceError> {
    kms.check_tokens(call, tokens)?;
    kms.allow(call, key_id, By::IdOrAlias, |found| {
        found
            .key("kms:SigningAlgorithm", algorithm.as_str())
            .key("kms:MessageType", kind.map_or("RAW", MessageType::as_str))
    })
}

pub(crate) async fn sign(
    kms: &Kms,
    call: Call<ops::Sign>,
) -> Result<Answer<types::SignResponse>, ServiceError> {
    let input = &call.input;
    let (algorithm, kind) = (&input.signing_algorithm, input.message_type.as_ref());
    let tokens = input.grant_tokens.as_deref();
    let allowed = allow(kms, &call, &input.key_id, algorithm, kind, tokens)?;
    let key = allowed.usable(&KeyUsageType::SignVerify, "Sign")?;
    let (known, message) = (checked(key, algorithm)?, message(kind, &input.message)?);
    let signature = current(key, allowed.at)?.1.sign(known, message);
    let signature = signature.map_err(|error| refused(error, algorithm))?;
    allowed.not_dry(input.dry_run)?;
    kms.note_use(&call, &allowed);
    Ok(allowed.permit.answer(types::SignResponse {
        key_id: Some(allowed.arn()?),
        signature: Some(signature.into()),
        signing_algorithm: Some(algorithm.clone()),
    }))
}

pub(crate) async fn verify(
    kms: &Kms,
    call: Call<ops::Verify>,
) -> Result<Answer<types::VerifyResponse>, ServiceError> {
    let input = &call.input;
    let (algorithm, kind) = (&input.signing_algorithm, input.message_type.as_ref());
    let tokens = input.grant_tokens.as_deref();
    let allowed = allow(kms, &call, &input.key_id, algorithm, kind, tokens)?;
    let key = allowed.usable(&KeyUsageType::SignVerify, "Verify")?;
    let (known, message) = (checked(key, algorithm)?, message(kind, &input.message)?);
    let public = current(key, allowed.at)?.1.public_key().map_err(errors::failed)?;
    let verified = public.verify(known, message, &input.signature);
    verified.map_err(|error| refused(error, algorithm))?;
    allowed.not_dry(input.dry_run)?;
    kms.note_use(&call, &allowed);
    Ok(allowed.permit.answer(types::VerifyResponse {
        key_id: Some(allowed.arn()?),
        signature_valid: Some(true),
        signing_algorithm: Some(algorithm.clone()),
    }))
}

pub(crate) async fn get_public_key(
    kms: &Kms,
    call: Call<ops::GetPublicKey>,
) -> Result<Answer<types::GetPublicKeyResponse>, ServiceError> {
    let input = &call.input;
    kms.check_tokens(&call, input.grant_tokens.as_deref())?;
    let allowed = kms.allow(&call, &input.key_id, By::IdOrAlias, |found| found)?;
    let key = allowed.enabled()?;
    let public = current(key, allowed.at)?.1.public_key().map_err(|error| match error {
        MaterialError::Unsupported => {
            errors::unsupported(format!("{} is not an asymmetric key.", key.arn(&allowed.home)))
        }
        error => errors::failed(error),
    })?;
    let described = kms.describe(key, &allowed.home, allowed.at);
    Ok(allowed.permit.answer(types::GetPublicKeyResponse {
        key_id: Some(allowed.arn()?),
        public_key: Some(Bytes::copy_from_slice(public.as_der())),
        customer_master_key_spec: Some(CustomerMasterKeySpec::from(key.spec.as_str())),
        key_spec: Some(KeySpec::from(key.spec.as_str())),
        key_usage: Some(key.usage.clone()),
        encryption_algorithms: described.encryption_algorithms,
        signing_algorithms: described.signing_algorithms,
        key_agreement_algorithms: described.key_agreement_algorithms,
        encapsulation_algorithms: described.encapsulation_algorithms,
    }))
}

/// The algorithm, where the key has it.
fn checked_mac(key: &Key, algorithm: &MacAlgorithmSpec) -> Result<MacAlgorithm, ServiceError> {
    let known = MacAlgorithm::parse(algorithm.as_str());
    known
        .filter(|one| key.spec.mac_algorithms().contains(one))
        .ok_or_else(|| errors::wrong_algorithm(algorithm.as_str(), key.spec.as_str()))
}

pub(crate) async fn generate_mac(
    kms: &Kms,
    call: Call<ops::GenerateMac>,
) -> Result<Answer<types::GenerateMacResponse>, ServiceError> {
    let input = &call.input;
    kms.check_tokens(&call, input.grant_tokens.as_deref())?;
    let allowed = kms.allow(&call, &input.key_id, By::IdOrAlias, |found| {
        found.key("kms:MacAlgorithm", input.mac_algorithm.as_str())
    })?;
    let key = allowed.usable(&KeyUsageType::GenerateVerifyMac, "GenerateMac")?;
    let algorithm = checked_mac(key, &input.mac_algorithm)?;
    let mac = current(key, allowed.at)?.1.mac(algorithm, &input.message).map_err(errors::failed)?;
    allowed.not_dry(input.dry_run)?;
    kms.note_use(&call, &allowed);
    Ok(allowed.permit.answer(types::GenerateMacResponse {
        mac: Some(mac.into()),
        mac_algorithm: Some(input.mac_algorithm.clone()),
        key_id: Some(allowed.arn()?),
    }))
}

pub(crate) async fn verify_mac(
    kms: &Kms,
    call: Call<ops::VerifyMac>,
) -> Result<Answer<types::VerifyMacResponse>, ServiceError> {
    let input = &call.input;
    kms.check_tokens(&call, input.grant_tokens.as_deref())?;
    let allowed = kms.allow(&call, &input.key_id, By::IdOrAlias, |found| {
        found.key("kms:MacAlgorithm", input.mac_algorithm.as_str())
    })?;
    let key = allowed.usable(&KeyUsageType::GenerateVerifyMac, "VerifyMac")?;
    let algorithm = checked_mac(key, &input.mac_algorithm)?;
    let (_, material) = current(key, allowed.at)?;
    material.verify_mac(algorithm, &input.message, &input.mac).map_err(|error| match error {
        MaterialError::Signature => errors::bad_mac(),
        error => errors::failed(error),
    })?;
    allowed.not_dry(input.dry_run)?;
    kms.note_use(&call, &allowed);
    Ok(allowed.permit.answer(types::VerifyMacResponse {
        key_id: Some(allowed.arn()?),
        mac_valid: Some(true),
        mac_algorithm: Some(input.mac_algorithm.clone()),
    }))
}
