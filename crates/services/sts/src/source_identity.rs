//! The source identity: set once, and kept along a chain of roles.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_monitor.html>

use ringfence_gateway::Session;
use ringfence_wire::ServiceError;

/// The source identity of the session that a call asks for. Where there is one, inherited or passed,
/// `sts:SetSourceIdentity` is needed, at every step of a chain.
/// <https://github.com/MaterializeInc/materialize/pull/37427>
///
/// # Errors
/// `AccessDenied` where the call would change an inherited one.
pub fn resolve(
    passed: Option<&str>,
    calling: Option<&Session>,
) -> Result<Option<String>, ServiceError> {
    let inherited = calling.and_then(|session| session.source_identity.as_deref());
    match (inherited, passed) {
        (Some(inherited), Some(passed)) if inherited != passed => Err(ServiceError::access_denied(
            "The source identity of the calling session cannot be changed.",
        )),
        (Some(identity), _) | (None, Some(identity)) => Ok(Some(identity.to_owned())),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_source_identity_is_set_once_and_persists() {
        for (passed, inherited, expected) in [
            (None, None, Some(None)),
            (Some("ana"), None, Some(Some("ana"))),
            (None, Some("ana"), Some(Some("ana"))),
            (Some("ana"), Some("ana"), Some(Some("ana"))),
            (Some("bob"), Some("ana"), None),
        ] {
            let session = Session {
                source_identity: inherited.map(str::to_owned),
                ..testing::session(testing::role_session())
            };
            let got = resolve(passed, Some(&session));
            let got = got.as_ref().ok().map(|identity| identity.as_deref());
            assert_eq!(got, expected, "{passed:?} {inherited:?}");
        }
    }
}
