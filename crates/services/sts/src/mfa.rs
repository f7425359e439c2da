//! The MFA parameters of `AssumeRole` and `GetSessionToken`.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_mfa_configure-api-require.html>

use ringfence_gateway::directory::{Directory, MfaCheck};
use ringfence_gateway::{Caller, Identity};
use ringfence_wire::{ServiceError, Timestamp};

/// Checks the device and code of a call; `None` where neither was given, else when the right code
/// was shown, in seconds since 1970. A right code cannot be used again.
///
/// # Errors
/// `AccessDenied` for one without the other, for a device that is not the caller's, and for a code that
/// is wrong or was used; `ServiceFailure` when it cannot be kept that a right one was used.
pub async fn check(
    directory: &dyn Directory,
    caller: &Caller,
    serial: Option<&str>,
    code: Option<&str>,
    now: Timestamp,
) -> Result<Option<i64>, ServiceError> {
    // https://github.com/y13i/sgviz/issues/9
    let (serial, code) = match (serial, code) {
        (None, None) => return Ok(None),
        (Some(serial), Some(code)) => (serial, code),
        _ => {
            return Err(ServiceError::access_denied(
                "MultiFactorAuthentication failed, must provide both MFA serial number and one \
                 time pass code.",
            ));
        }
    };
    // Devices belong to users and root users; a role or a federated user has none.
    // Nor has who was lent a session the device of its owner: guesses would lock the owner out.
    let lent = caller.session.as_ref().is_some_and(|session| session.delegation.is_some());
    let checked = match &caller.identity {
        _ if lent => MfaCheck::NoDevice,
        identity @ (Identity::User { .. } | Identity::Root { .. }) => {
            directory.check_mfa(identity, serial, code, now).await?
        }
        _ => MfaCheck::NoDevice,
    };
    match checked {
        MfaCheck::Accepted => Ok(Some(now.seconds)),
        // Two spaces, and one at the end of the other: AWS's own.
        MfaCheck::NoDevice => Err(ServiceError::access_denied(
            "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your \
             MFA serial number is valid and associated with this user.",
        )),
        MfaCheck::WrongCode => Err(ServiceError::access_denied(
            "MultiFactorAuthentication failed with invalid MFA one time pass code. ",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, FakeDirectory};

    #[tokio::test]
    async fn a_code_counts_only_with_a_device_of_the_callers_own() {
        let directory = FakeDirectory;
        let now = Timestamp::from_seconds(1_000);
        let user = testing::long_term(testing::user());
        let role = testing::temporary(testing::role_session());
        let device = Some(testing::MFA_SERIAL);
        let code = Some(testing::MFA_CODE);
        let no_device = "unable to validate MFA code.  Please verify";
        for (caller, serial, code, expected) in [
            (&user, None, None, Ok(None)),
            (&user, device, code, Ok(Some(1_000))),
            (&user, device, None, Err("must provide both")),
            (&user, None, code, Err("must provide both")),
            (&user, device, Some("000000"), Err("with invalid MFA one time pass code. ")),
            (&user, Some("arn:aws:iam::1:mfa/other"), code, Err(no_device)),
            (&role, device, code, Err(no_device)),
        ] {
            match (check(&directory, caller, serial, code, now).await, expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected),
                (Err(error), Err(part)) => {
                    assert_eq!(error.code, "AccessDenied");
                    assert!(error.message.contains(part), "{}", error.message);
                }
                (got, expected) => panic!("{got:?} is not {expected:?}"),
            }
        }
    }
}
