//! `BeginSecurityKeySession` and `FinishSecurityKeySession`, operations of our own: what
//! `GetSessionToken` gives for a code, for the signature of a security key. In AWS only the console's
//! sign-in takes one.

use crate::Sts;
use crate::callers::{self, Operation};
use crate::credentials::{self, Draft};
use crate::durations;
use ringfence_gateway::call::Answer;
use ringfence_gateway::directory::KeyResponse;
use ringfence_gateway::{Call, Handlers, Identity, Mounted};
use ringfence_model_ringfence::SERVICE;
use ringfence_model_ringfence::operations as ops;
use ringfence_model_ringfence::types::{
    BeginSecurityKeySessionResponse, Credentials, FinishSecurityKeySessionResponse,
};
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

impl Sts {
    /// The part of our own operations that signs in by security keys.
    pub fn security_key_sessions(self: &Arc<Self>) -> Mounted {
        Handlers::new(&SERVICE, self.clone())
            .on::<ops::BeginSecurityKeySession, _>(begin_security_key_session)
            .on::<ops::FinishSecurityKeySession, _>(finish_security_key_session)
            .finish()
    }
}

/// Gives the challenge. It needs no permission, as `GetSessionToken` needs none: it is for the keys of
/// the caller's own.
async fn begin_security_key_session(
    _: &Sts,
    call: Call<ops::BeginSecurityKeySession>,
) -> Result<Answer<BeginSecurityKeySessionResponse>, ServiceError> {
    callers::check(call.caller(), Operation::BeginSecurityKeySession)?;
    let permit = call.allow_anyone()?;
    let (identity, serial) = (&call.caller().identity, call.input.serial_number.as_deref());
    let begun = call.shared().directory.begin_assertion(identity, serial, call.now()).await?;
    Ok(permit.answer(BeginSecurityKeySessionResponse {
        ceremony: begun.ceremony,
        request_options: begun.options,
        expiration: Timestamp::from_seconds(begun.expires),
    }))
}

/// Makes a session of the caller itself that tells of MFA.
async fn finish_security_key_session(
    _: &Sts,
    call: Call<ops::FinishSecurityKeySession>,
) -> Result<Answer<FinishSecurityKeySessionResponse>, ServiceError> {
    callers::check(call.caller(), Operation::FinishSecurityKeySession)?;
    let account = call.account()?;
    let permit = call.allow_anyone()?;
    let (input, shared) = (&call.input, call.shared());
    let identity = call.caller().identity.clone();
    let response = KeyResponse { ceremony: &input.ceremony, response: &input.response };
    let serial = shared.directory.finish_assertion(&identity, response, call.now()).await?;

    let root = matches!(identity, Identity::Root { .. });
    let seconds = durations::of_user_session(input.duration_seconds, root);
    let mfa = Some(call.now().seconds);
    let draft = Draft { mfa, ..Draft::new(identity, account, seconds) };
    let issued = credentials::issue(shared, draft, None)?.credentials;
    Ok(permit.answer(FinishSecurityKeySessionResponse {
        credentials: Credentials {
            access_key_id: issued.access_key_id,
            secret_access_key: issued.secret_access_key,
            session_token: issued.session_token,
            expiration: issued.expiration,
        },
        serial_number: serial.to_string(),
    }))
}
