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

/// A parameter of a built operation that is not built.
pub fn not_implemented(operation: &str, parameter: &str) -> ServiceError {
    let message = format!("The parameter {parameter} of {operation} is not implemented.");
    ServiceError::new("InvalidAction", 501, message)
}

/// These credentials, whatever they are allowed, do not call this operation.
pub fn session_credentials(operation: &str) -> ServiceError {
    ServiceError::access_denied(format!("Cannot call {operation} with session credentials"))
}

/// The system gave no randomness.
pub fn no_randomness(error: KeyringError) -> ServiceError {
    tracing::error!(%error, "no credentials could be made");
    ServiceError::internal()
}

/// The layers of a denial that lie with the caller.
const OWN_LAYERS: &[&str] = &[
    "an identity-based policy",
    "a permissions boundary",
    "a session policy",
    "a service control policy",
    "a VPC endpoint policy",
];

/// A denial on a role without the reason that lies with the role, as AWS words it for
/// `sts:AssumeRole`: with the reason, a caller could tell a role that is missing from one that does
/// not trust it. A deny in a policy of the caller's own side is told.
pub fn without_role_reason(mut denied: ServiceError) -> ServiceError {
    const DENY: &str = " with an explicit deny in ";
    if let Some(at) = denied.message.rfind(DENY) {
        let layer = &denied.message[at + DENY.len()..];
        if !OWN_LAYERS.contains(&layer) {
            denied.message.truncate(at);
        }
    } else if let Some(at) = denied.message.rfind(" because no ") {
        denied.message.truncate(at);
    }
    denied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_on_a_role_tells_only_of_the_callers_own_denies() {
        let bare = "User: arn:aws:iam::1:user/a is not authorized to perform: sts:AssumeRole on \
                    resource: arn:aws:iam::1:role/r";
        let own = " with an explicit deny in an identity-based policy";
        for (reason, left) in [
            ("", ""),
            (" because no role trust policy allows the sts:AssumeRole action", ""),
            (" because no identity-based policy allows the sts:AssumeRole action", ""),
            (" with an explicit deny in the role trust policy", ""),
            (" with an explicit deny in a resource-based policy", ""),
            (own, own),
        ] {
            let denied = ServiceError::access_denied(format!("{bare}{reason}"));
            assert_eq!(without_role_reason(denied).message, format!("{bare}{left}"));
        }
    }
}
