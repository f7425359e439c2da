//! `DecodeAuthorizationMessage`: what a denial was about, for those who may know.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html>

use crate::Sts;
use ringfence_gateway::call::Answer;
use ringfence_gateway::{Call, Resolved};
use ringfence_model_sts::operations as ops;
use ringfence_model_sts::types::{
    DecodeAuthorizationMessageResponse, InvalidAuthorizationMessageException,
};
use ringfence_wire::ServiceError;

/// Opens the message of a denial of the caller's own account.
pub async fn decode_authorization_message(
    _: &Sts,
    call: Call<ops::DecodeAuthorizationMessage>,
) -> Result<Answer<DecodeAuthorizationMessageResponse>, ServiceError> {
    let account = call.account()?;
    let permit = call.allow(Resolved::any(account))?;
    let messages = &call.shared().authorization_messages;
    match messages.decode(account, &call.input.encoded_message) {
        Some(decoded_message) => Ok(permit
            .answer(DecodeAuthorizationMessageResponse { decoded_message: Some(decoded_message) })),
        None => Err(InvalidAuthorizationMessageException::error("Message is not valid")),
    }
}
