//! How long sessions last, in seconds. The model's constraints have been checked before: 900 to
//! 43,200 for roles, 900 to 129,600 for the others.

use crate::errors::validation;
use ringfence_wire::ServiceError;

const HOUR: i32 = 3600;
const TWELVE_HOURS: i32 = 43_200;

/// The length of a role's session. `chained` is a call with temporary credentials, a user's session
/// token among them.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
/// <https://github.com/mmmorris1975/aws-runas/issues/11>
///
/// # Errors
/// `ValidationError` past an hour where `chained`.
pub fn of_role_session(asked: Option<i32>, chained: bool) -> Result<i32, ServiceError> {
    match asked {
        Some(seconds) if chained && seconds > HOUR => Err(validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by \
             role chaining",
        )),
        Some(seconds) => Ok(seconds),
        None => Ok(HOUR),
    }
}

/// Checks a length against the role's own limit. Asked only after the caller was allowed: the
/// limit, and that there is a role, is told to those who may assume it.
///
/// # Errors
/// `ValidationError` past the limit.
pub fn within_role_maximum(seconds: i32, maximum: i32) -> Result<(), ServiceError> {
    if seconds <= maximum {
        return Ok(());
    }
    Err(validation(
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    ))
}

/// The length of a session of `GetSessionToken` or `GetFederationToken`: half a day unless asked,
/// and an hour at most, without an error, where the root user asks.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html>
pub fn of_user_session(asked: Option<i32>, root: bool) -> i32 {
    match asked {
        asked if root => asked.unwrap_or(HOUR).min(HOUR),
        Some(seconds) => seconds,
        None => TWELVE_HOURS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_session_lasts_an_hour_unless_asked_and_no_longer_where_chained() {
        for (asked, chained, expected) in [
            (None, false, Some(3600)),
            (None, true, Some(3600)),
            (Some(900), false, Some(900)),
            (Some(43_200), false, Some(43_200)),
            (Some(3600), true, Some(3600)),
            (Some(3601), true, None),
        ] {
            let got = of_role_session(asked, chained);
            assert_eq!(got.as_ref().ok().copied(), expected, "{asked:?} {chained}");
            if let Err(error) = got {
                assert_eq!(error.code, "ValidationError");
            }
        }
    }

    #[test]
    fn a_role_session_stays_within_the_roles_maximum() {
        assert!(within_role_maximum(7200, 7200).is_ok());
        let error = within_role_maximum(7201, 7200).unwrap_err();
        assert_eq!((error.code.as_ref(), error.status), ("ValidationError", 400));
    }

    #[test]
    fn a_user_session_lasts_half_a_day_unless_asked_and_roots_an_hour_at_most() {
        for (asked, root, expected) in [
            (None, false, 43_200),
            (Some(900), false, 900),
            (Some(129_600), false, 129_600),
            (None, true, 3600),
            (Some(900), true, 900),
            (Some(129_600), true, 3600),
        ] {
            assert_eq!(of_user_session(asked, root), expected, "{asked:?} {root}");
        }
    }
}
