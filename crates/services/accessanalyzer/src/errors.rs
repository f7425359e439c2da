//! How refusals are worded. AWS publishes the codes and not the words; no recording of these was found.

use ringfence_model_accessanalyzer::types::{
    self, ValidationExceptionField, ValidationExceptionReason,
};
use ringfence_wire::ServiceError;

/// `ValidationException` for one member of the input.
pub(crate) fn invalid(field: &str, message: impl Into<String>) -> ServiceError {
    validation(ValidationExceptionReason::FieldValidationFailed, field, message.into())
}

/// `ValidationException` for what AWS has and is not built here.
pub(crate) fn not_supported(field: &str, message: impl Into<String>) -> ServiceError {
    validation(ValidationExceptionReason::NotSupported, field, message.into())
}

fn validation(reason: ValidationExceptionReason, field: &str, message: String) -> ServiceError {
    let field = ValidationExceptionField { name: field.to_owned(), message: message.clone() };
    let field_list = Some(vec![field]);
    let error = types::ValidationException { reason, field_list, ..Default::default() };
    ServiceError::from(error).with_message(message)
}

/// `ValidationException` for a job that is not there, or not the caller's account's.
pub(crate) fn no_such_job() -> ServiceError {
    invalid("jobId", "The policy generation job was not found.")
}

/// `ConflictException` for a client token that came with another request.
pub(crate) fn token_used(job: &str) -> ServiceError {
    let message = "The client token was used with other parameters.";
    let error = types::ConflictException {
        resource_id: job.to_owned(),
        resource_type: "PolicyGeneration".to_owned(),
        ..Default::default()
    };
    ServiceError::from(error).with_message(message)
}

/// `ServiceQuotaExceededException`.
pub(crate) fn over_quota(message: String, resource: &str) -> ServiceError {
    let error = types::ServiceQuotaExceededException {
        resource_id: resource.to_owned(),
        resource_type: "PolicyGeneration".to_owned(),
        ..Default::default()
    };
    ServiceError::from(error).with_message(message)
}

/// `InvalidParameterException` for a document or a list that says nothing. The documents of checks are
/// sensitive in the model, and what is said of them is recorded: nothing of them is repeated.
pub(crate) fn bad_parameter(message: impl Into<String>) -> ServiceError {
    types::InvalidParameterException::error(message)
}

/// `UnprocessableEntityException` for a check that has no answer.
pub(crate) fn undecided(message: impl Into<String>) -> ServiceError {
    types::UnprocessableEntityException::error(message)
}

/// What failed on this side goes to the log.
pub(crate) fn failed(why: impl std::fmt::Display) -> ServiceError {
    tracing::error!(%why, "access analyzer failed");
    ServiceError::internal()
}
