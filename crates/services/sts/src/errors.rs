//! STS's errors, worded as AWS words them. The modelled ones are types of the model.

use ringfence_keyring::KeyringError;
use ringfence_wire::ServiceError;

/// A parameter that no constraint of the model catches.
pub fn validation(message: impl Into<String>) -> ServiceError {
    ServiceError::new("ValidationError", 400, message)
}

/// A parameter that is well formed and does not fit the others.
pub fn invalid_parameter(message: impl Into<String>) -> ServiceError {
    ServiceError::new("InvalidParameterValue", 400, message)
}

/// An operation that regional endpoints alone have. The words are a guess.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/welcome.html#sts-endpoints>
pub fn check_endpoint(host: &str, operation: &str) -> Result<(), ServiceError> {
    if host != GLOBAL_ENDPOINT {
        return Ok(());
    }
    let message = format!("{operation} is not available on the global endpoint.");
    Err(ServiceError::new("InvalidAction", 400, message))
}

/// The one endpoint of STS that is no region's.
const GLOBAL_ENDPOINT: &str = "sts.amazonaws.com";

/// A parameter of a built operation that is not built.
pub fn not_implemented(operation: &str, parameter: &str) -> ServiceError {
    let message = format!("The parameter {parameter} of {operation} is not implemented.");
    ServiceError::new("InvalidAction", 501, message)
}

/// These credentials, whatever they are allowed, do not call this operation.
pub fn session_credentials(operation: &str) -> ServiceError {
    ServiceError::access_denied(format!("Cannot call {operation} with session credentials"))
}

/// A text of a caller as long as a message may repeat it.
pub fn cut(text: &str) -> &str {
    text.char_indices().nth(512).map_or(text, |(end, _)| &text[..end])
}

/// The system gave no randomness.
pub fn no_randomness(error: KeyringError) -> ServiceError {
    tracing::error!(%error, "no credentials could be made");
    ServiceError::internal()
}

/// A denial on a role, as a caller of another account may hear it. A missing role and one that does
/// not trust the caller are told alike; that a role *denies* the caller would tell that it is there.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>
pub fn to_another_account(mut denied: ServiceError, action: &str) -> ServiceError {
    const TRUST_DENIES: &str = " with an explicit deny in the role trust policy";
    if let Some(rest) = denied.message.strip_suffix(TRUST_DENIES) {
        denied.message = format!("{rest} because no role trust policy allows the {action} action");
    }
    denied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_operations_are_not_on_the_global_endpoint() {
        for host in ["127.0.0.1", "sts.us-east-1.amazonaws.com", "sts.example.com", ""] {
            assert!(check_endpoint(host, "AssumeRoot").is_ok(), "{host}");
        }
        let refused = check_endpoint("sts.amazonaws.com", "AssumeRoot").unwrap_err();
        assert_eq!((refused.code.as_ref(), refused.status), ("InvalidAction", 400));
    }

    #[test]
    fn a_role_of_another_account_that_denies_is_told_as_one_that_does_not_trust() {
        let told = |reason: &str| {
            let denied = ServiceError::access_denied(format!("User: a on resource: b{reason}"));
            let told = to_another_account(denied, "sts:AssumeRole").message;
            told.strip_prefix("User: a on resource: b").unwrap().to_owned()
        };
        let silent = " because no role trust policy allows the sts:AssumeRole action";
        assert_eq!(told(" with an explicit deny in the role trust policy"), silent);
        for other in [
            silent,
            " because no identity-based policy allows the sts:AssumeRole action",
            " with an explicit deny in an identity-based policy",
        ] {
            assert_eq!(told(other), other);
        }
    }
}
