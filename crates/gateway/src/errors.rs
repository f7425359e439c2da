//! The errors that every AWS service answers alike.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>

use ringfence_wire::ServiceError;

/// The request was not signed.
pub fn missing_token() -> ServiceError {
    ServiceError::new("MissingAuthenticationToken", 403, "Request is missing Authentication Token")
}

/// The access key is not known, or is inactive.
pub fn invalid_client_token() -> ServiceError {
    ServiceError::new(
        "InvalidClientTokenId",
        403,
        "The security token included in the request is invalid.",
    )
}

/// The session has ended.
pub fn expired_token() -> ServiceError {
    ServiceError::new("ExpiredToken", 403, "The security token included in the request is expired")
}
