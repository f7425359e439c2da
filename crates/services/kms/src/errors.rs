//! KMS's errors, worded as AWS words them. [rec] marks texts recorded from AWS, kept by LocalStack in
//! tests/aws/services/kms/test_kms.snapshot.json (2023-2024); for the others no recording was found.

use ringfence_model_kms::types::{self, KeyState};
use ringfence_wire::ServiceError;
use std::fmt::Display;

/// A parameter that no constraint of the model catches.
pub(crate) fn validation(message: impl Into<String>) -> ServiceError {
    ServiceError::new("ValidationException", 400, message)
}

pub(crate) fn invalid_arn(text: &str) -> ServiceError {
    types::InvalidArnException::error(format!("Invalid arn {text}"))
}

/// An ARN of another region than the call's. [rec]
pub(crate) fn other_region(region: &str) -> ServiceError {
    types::NotFoundException::error(format!("Invalid arn {region}"))
}

/// A text that is no key id. [rec]
pub(crate) fn invalid_key_id(text: &str) -> ServiceError {
    types::NotFoundException::error(format!("Invalid keyId '{text}'"))
}

/// No key has this ARN. [rec]
pub(crate) fn no_such_key(arn: &str) -> ServiceError {
    types::NotFoundException::error(format!("Key '{arn}' does not exist"))
}

pub(crate) fn no_such_alias(arn: &str) -> ServiceError {
    types::NotFoundException::error(format!("Alias {arn} is not found."))
}

pub(crate) fn no_such_grant(id: &str) -> ServiceError {
    types::NotFoundException::error(format!("Grant ID {id} not found"))
}

pub(crate) fn no_such_policy(name: &str) -> ServiceError {
    types::NotFoundException::error(format!("No such policy exists: {name}"))
}

pub(crate) fn disabled(arn: &str) -> ServiceError {
    types::DisabledException::error(format!("{arn} is disabled."))
}

/// `is pending deletion`, `is pending import` [rec].
pub(crate) fn invalid_state(arn: &str, is: &str) -> ServiceError {
    types::KMSInvalidStateException::error(format!("{arn} is {is}."))
}

/// The key is in a state in which this cannot be done.
pub(crate) fn in_state(arn: &str, state: &KeyState) -> ServiceError {
    let is = match state {
        KeyState::PendingImport => "pending import",
        KeyState::PendingReplicaDeletion => "pending replica deletion",
        KeyState::Unavailable => "unavailable",
        KeyState::Disabled => return disabled(arn),
        _ => "pending deletion",
    };
    invalid_state(arn, is)
}

/// [rec]
pub(crate) fn wrong_origin(arn: &str, origin: &str) -> ServiceError {
    unsupported(format!("{arn} origin is {origin} which is not valid for this operation."))
}

/// A key of a kind that has no rotation. AWS's text is empty. [rec]
pub(crate) fn no_rotation(_: &str) -> ServiceError {
    unsupported("")
}

pub(crate) fn managed_by_aws(arn: &str) -> ServiceError {
    unsupported(format!("{arn} is managed by AWS."))
}

/// [rec]
pub(crate) fn over_rotations(arn: &str) -> ServiceError {
    over_quota(format!(
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand \
         rotations can be performed for this key: {arn}"
    ))
}

/// [rec]
pub(crate) fn nothing_to_rotate_to(arn: &str) -> ServiceError {
    types::KMSInvalidStateException::error(format!(
        "No available key material pending rotation for the key: {arn}."
    ))
}

/// [rec]
pub(crate) fn another_is_pending(
    arn: &str,
    new: impl Display,
    pending: impl Display,
) -> ServiceError {
    types::KMSInvalidStateException::error(format!(
        "New key material (id: {new}) cannot be imported into KMS key {arn}, because another key \
         material (id: {pending}) is pending rotation."
    ))
}

/// A rotation or a change of the primary key is under way.
pub(crate) fn conflict(arn: &str) -> ServiceError {
    types::ConflictException::error(format!("A rotation of {arn} is in progress."))
}

pub(crate) fn bad_import_token() -> ServiceError {
    types::InvalidImportTokenException::error("")
}

pub(crate) fn expired_import_token() -> ServiceError {
    types::ExpiredImportTokenException::error("")
}

/// Material that is not what it must be.
pub(crate) fn wrong_material(why: &str) -> ServiceError {
    types::IncorrectKeyMaterialException::error(format!(
        "The key material cannot be imported: {why}."
    ))
}

pub(crate) fn no_such_material(id: &str) -> ServiceError {
    types::NotFoundException::error(format!("Key material {id} is not found."))
}

pub(crate) fn replica_exists(arn: &str) -> ServiceError {
    types::AlreadyExistsException::error(format!("{arn} already exists."))
}

/// [rec]
pub(crate) fn wrong_usage(arn: &str, usage: impl Display, operation: &str) -> ServiceError {
    types::InvalidKeyUsageException::error(format!(
        "{arn} key usage is {usage} which is not valid for {operation}."
    ))
}

/// [rec]
pub(crate) fn wrong_algorithm(algorithm: impl Display, spec: impl Display) -> ServiceError {
    types::InvalidKeyUsageException::error(format!(
        "Algorithm {algorithm} is incompatible with key spec {spec}."
    ))
}

pub(crate) fn unsupported(message: impl Into<String>) -> ServiceError {
    types::UnsupportedOperationException::error(message)
}

/// A ciphertext that was not made here, or not in this encryption context: no more is told. [rec]
pub(crate) fn bad_ciphertext() -> ServiceError {
    types::InvalidCiphertextException::error("")
}

/// The key of a ciphertext is not there. Recorded:
/// <https://github.com/aws/aws-encryption-sdk-javascript/issues/1005>
pub(crate) fn no_key_of_ciphertext() -> ServiceError {
    ServiceError::access_denied(
        "The ciphertext refers to a customer master key that does not exist, does not exist in this \
         region, or you are not allowed to access.",
    )
}

/// The key that is named is another than the ciphertext's. [rec]
pub(crate) fn wrong_key() -> ServiceError {
    types::IncorrectKeyException::error(
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )
}

/// [rec]
pub(crate) fn bad_alias_prefix() -> ServiceError {
    validation(
        "Alias must start with the prefix \"alias/\". Please see \
         https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
    )
}

pub(crate) fn no_alias_name() -> ServiceError {
    types::InvalidAliasNameException::error("Alias name is empty")
}

pub(crate) fn bad_alias(name: &str) -> ServiceError {
    validation(format!("{name} contains invalid characters for an alias"))
}

pub(crate) fn reserved_alias() -> ServiceError {
    ServiceError::new("NotAuthorizedException", 400, "")
}

pub(crate) fn alias_exists(arn: &str) -> ServiceError {
    types::AlreadyExistsException::error(format!("An alias with the name {arn} already exists"))
}

pub(crate) fn malformed_policy(why: impl Display) -> ServiceError {
    types::MalformedPolicyDocumentException::error(why.to_string())
}

/// A key policy names somebody who is not there. Recorded:
/// <https://github.com/hashicorp/terraform-provider-aws/issues/21225>
pub(crate) fn invalid_principals() -> ServiceError {
    malformed_policy("Policy contains a statement with one or more invalid principals.")
}

/// The lockout safety check.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html>
pub(crate) fn locked_out() -> ServiceError {
    types::MalformedPolicyDocumentException::error(
        "The new key policy will not allow you to update the key policy in the future.",
    )
}

pub(crate) fn over_quota(message: impl Into<String>) -> ServiceError {
    types::LimitExceededException::error(message)
}

/// A call beyond its request quota.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/throttling.html>
pub(crate) fn throttled() -> ServiceError {
    ServiceError::new(
        "ThrottlingException",
        400,
        "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
    )
}

pub(crate) fn bad_tags(message: impl Into<String>) -> ServiceError {
    types::TagException::error(message)
}

pub(crate) fn bad_marker() -> ServiceError {
    types::InvalidMarkerException::error("Invalid marker")
}

pub(crate) fn bad_grant_token() -> ServiceError {
    types::InvalidGrantTokenException::error("Invalid grant token")
}

pub(crate) fn would_succeed() -> ServiceError {
    types::DryRunOperationException::error(
        "The request would have succeeded, but the DryRun option is set.",
    )
}

/// Something failed on this side; the cause goes to the log.
pub(crate) fn failed(cause: impl Display) -> ServiceError {
    tracing::error!(%cause, "a call failed on this side");
    types::KMSInternalException::error("")
}

/// [rec]
pub(crate) fn plaintext_too_long(algorithm: &str, spec: &str, most: usize) -> ServiceError {
    validation(format!(
        "Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {most} bytes."
    ))
}

/// [rec]
pub(crate) fn wrong_digest(algorithm: &str) -> ServiceError {
    validation(format!("Digest is invalid length for algorithm {algorithm}."))
}

pub(crate) fn wrong_message_type(algorithm: &str) -> ServiceError {
    validation(format!("The message type is not valid for algorithm {algorithm}."))
}

/// [rec]
pub(crate) fn bad_signature() -> ServiceError {
    types::KMSInvalidSignatureException::error("")
}

/// [rec]
pub(crate) fn bad_mac() -> ServiceError {
    types::KMSInvalidMacException::error("")
}

/// Attestation documents of enclaves are not checked here, so that nothing is encrypted for them.
pub(crate) fn no_enclaves() -> ServiceError {
    ServiceError::new("InvalidAction", 501, "The parameter Recipient is not implemented.")
}

pub(crate) fn no_custom_key_stores() -> ServiceError {
    ServiceError::new("InvalidAction", 501, "Custom key stores are not implemented.")
}
