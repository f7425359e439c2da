//! `GetSessionToken`: a user's own rights as a session, shown to have had an MFA code or not.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html>

use crate::Sts;
use crate::callers::{self, Operation};
use crate::credentials::{self, Draft};
use crate::{durations, mfa};
use ringfence_gateway::call::Answer;
use ringfence_gateway::{Call, Identity};
use ringfence_model_sts::operations as ops;
use ringfence_model_sts::types::GetSessionTokenResponse;
use ringfence_wire::ServiceError;

/// Makes a session of the caller itself. It needs no permission: what it is for is to show an MFA
/// code, and policies do not rule authentication.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_control-access_getsessiontoken.html>
pub async fn get_session_token(
    _: &Sts,
    call: Call<ops::GetSessionToken>,
) -> Result<Answer<GetSessionTokenResponse>, ServiceError> {
    callers::check(call.caller(), Operation::GetSessionToken)?;
    let account = call.account()?;
    let input = &call.input;
    let shared = call.shared();
    let permit = call.allow_anyone()?;

    let identity = call.caller().identity.clone();
    let root = matches!(identity, Identity::Root { .. });
    let seconds = durations::of_user_session(input.duration_seconds, root);
    let (serial, code) = (input.serial_number.as_deref(), input.token_code.as_deref());
    let mfa = mfa::check(&*shared.directory, call.caller(), serial, code, call.now()).await?;

    let draft = Draft { mfa, ..Draft::new(identity, account, seconds) };
    let issued = credentials::issue(shared, draft, input.minimum_session_token_size)?;
    Ok(permit.answer(GetSessionTokenResponse {
        credentials: Some(issued.credentials),
        session_token_utilization: Some(issued.token_utilization),
        session_token_size: Some(issued.token_size),
    }))
}
