//! Which credentials call which operation, whatever policies say.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html>

use crate::errors::session_credentials;
use ringfence_gateway::{Caller, Identity};
use ringfence_wire::ServiceError;

/// What signed a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// An access key of a user or a root user.
    LongTerm,
    /// `GetSessionToken`.
    UserSession,
    /// `AssumeRole` and its kin.
    RoleSession,
    /// `GetFederationToken`.
    FederatedSession,
}

/// The operations that ask who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    AssumeRole,
    BeginSecurityKeySession,
    FinishSecurityKeySession,
    AssumeRoot,
    GetAccessKeyInfo,
    GetDelegatedAccessToken,
    GetFederationToken,
    GetSessionToken,
    GetWebIdentityToken,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::AssumeRole => "AssumeRole",
            Self::BeginSecurityKeySession => "BeginSecurityKeySession",
            Self::FinishSecurityKeySession => "FinishSecurityKeySession",
            Self::AssumeRoot => "AssumeRoot",
            Self::GetAccessKeyInfo => "GetAccessKeyInfo",
            Self::GetDelegatedAccessToken => "GetDelegatedAccessToken",
            Self::GetFederationToken => "GetFederationToken",
            Self::GetSessionToken => "GetSessionToken",
            Self::GetWebIdentityToken => "GetWebIdentityToken",
        }
    }

    /// `GetCallerIdentity` is not asked for: every kind calls it.
    const fn takes(self, credentials: Credentials) -> bool {
        use Credentials::{LongTerm, RoleSession, UserSession};
        match self {
            // The comparison does not have `GetDelegatedAccessToken`: it is taken as `AssumeRole` is.
            Self::AssumeRole | Self::GetDelegatedAccessToken => {
                matches!(credentials, LongTerm | UserSession | RoleSession)
            }
            Self::BeginSecurityKeySession
            | Self::FinishSecurityKeySession
            | Self::GetFederationToken
            | Self::GetSessionToken => matches!(credentials, LongTerm),
            // "You cannot call any STS API except `AssumeRole` or `GetCallerIdentity`" with what
            // `GetSessionToken` gives.
            Self::AssumeRoot | Self::GetAccessKeyInfo | Self::GetWebIdentityToken => {
                matches!(credentials, LongTerm | RoleSession)
            }
        }
    }
}

/// What signed the call of this caller.
pub fn credentials(caller: &Caller) -> Credentials {
    match &caller.identity {
        Identity::AssumedRole { .. } => Credentials::RoleSession,
        Identity::FederatedUser { .. } => Credentials::FederatedSession,
        _ if caller.is_temporary() => Credentials::UserSession,
        _ => Credentials::LongTerm,
    }
}

/// Checks that these credentials call this operation.
///
/// # Errors
/// `MissingAuthenticationToken` for anonymous callers; `AccessDenied` for credentials that the
/// operation does not take, and for a root user that would assume a role.
pub fn check(caller: &Caller, operation: Operation) -> Result<(), ServiceError> {
    match &caller.identity {
        Identity::Anonymous => Err(ringfence_gateway::errors::missing_token()),
        Identity::Root { .. } if operation == Operation::AssumeRole => {
            Err(ServiceError::access_denied("Roles may not be assumed by root accounts."))
        }
        // "You cannot use root user credentials to make this call."
        // https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoot.html
        Identity::Root { .. } if operation == Operation::AssumeRoot => {
            Err(ServiceError::access_denied("Cannot call AssumeRoot with root user credentials"))
        }
        _ if operation.takes(credentials(caller)) => Ok(()),
        _ => Err(session_credentials(operation.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn credentials_call_what_awss_comparison_says() {
        use Operation::*;
        let own = [BeginSecurityKeySession, FinishSecurityKeySession];
        let user = testing::user();
        let federated = testing::federated();
        for (caller, may) in [
            (
                testing::long_term(user.clone()),
                &[
                    AssumeRole,
                    AssumeRoot,
                    GetAccessKeyInfo,
                    GetFederationToken,
                    GetSessionToken,
                    GetWebIdentityToken,
                ][..],
            ),
            (
                testing::long_term(testing::root()),
                &[GetAccessKeyInfo, GetFederationToken, GetSessionToken, GetWebIdentityToken],
            ),
            (testing::temporary(user), &[AssumeRole]),
            (testing::temporary(testing::root()), &[]),
            (
                testing::temporary(testing::role_session()),
                &[AssumeRole, AssumeRoot, GetAccessKeyInfo, GetWebIdentityToken],
            ),
            (testing::temporary(federated), &[]),
            (Caller::anonymous(), &[]),
        ] {
            for operation in [
                AssumeRole,
                AssumeRoot,
                GetAccessKeyInfo,
                GetFederationToken,
                GetSessionToken,
                GetWebIdentityToken,
            ] {
                let allowed = check(&caller, operation).is_ok();
                assert_eq!(allowed, may.contains(&operation), "{operation:?} {caller:?}");
            }
            for operation in own {
                let allowed = check(&caller, operation).is_ok();
                assert_eq!(allowed, may.contains(&GetSessionToken), "{operation:?} {caller:?}");
            }
        }
    }

    #[test]
    fn refusals_are_worded_as_aws_words_them() {
        let message = |caller: &Caller, operation| check(caller, operation).unwrap_err().message;
        let session = testing::temporary(testing::user());
        assert_eq!(
            message(&session, Operation::GetSessionToken),
            "Cannot call GetSessionToken with session credentials"
        );
        assert_eq!(
            message(&session, Operation::GetFederationToken),
            "Cannot call GetFederationToken with session credentials"
        );
        assert_eq!(
            message(&testing::long_term(testing::root()), Operation::AssumeRole),
            "Roles may not be assumed by root accounts."
        );
    }
}
