//! `GetDelegatedAccessToken`: the session that an account was lent by temporary delegation.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetDelegatedAccessToken.html>
//!
//! The session is of the principal that accepted the delegation request. At each call it may what
//! that principal may by then, as far as the request's permissions let through; those are looked up
//! by the gateway, so that a delegation which was withdrawn ends every session of it.

use crate::Sts;
use crate::callers::{self, Operation};
use crate::credentials::{self, Draft};
use crate::errors;
use ringfence_gateway::call::Answer;
use ringfence_gateway::directory::TradeIn;
use ringfence_gateway::{Call, Resolved};
use ringfence_model_sts::operations as ops;
use ringfence_model_sts::types::{ExpiredTradeInTokenException, GetDelegatedAccessTokenResponse};
use ringfence_wire::ServiceError;

/// Bytes of the longest token that is looked at.
const LONGEST_TOKEN: usize = 4096;

/// Trades a token in. A token is good as often as wanted until the delegation ends, and each session
/// ends with it: the time runs from when the token was sent.
pub async fn get_delegated_access_token(
    _: &Sts,
    call: Call<ops::GetDelegatedAccessToken>,
) -> Result<Answer<GetDelegatedAccessTokenResponse>, ServiceError> {
    callers::check(call.caller(), Operation::GetDelegatedAccessToken)?;
    let account = call.account()?;
    let shared = call.shared();
    let now = shared.clock.now();
    let permit = call.allow(Resolved::any(account))?;
    let token = &call.input.trade_in_token;
    let good = match token.len() {
        0..=LONGEST_TOKEN => shared.directory.trade_in(account, token, now),
        _ => TradeIn::Unknown,
    };
    let delegated = match good {
        TradeIn::Good(delegated) => delegated,
        TradeIn::Expired => {
            return Err(ExpiredTradeInTokenException::error(
                "The trade-in token provided in the request has expired and can no longer be \
                 exchanged for credentials. Request a new token and retry the operation.",
            ));
        }
        // A token of another account is answered for as one that was never made.
        TradeIn::Unknown => return Err(errors::validation("The trade-in token is not valid.")),
    };
    let Some(own) = delegated.identity.account() else {
        tracing::error!("a delegation was accepted by nobody");
        return Err(ServiceError::internal());
    };
    let seconds = i32::try_from(delegated.expires.saturating_sub(now.seconds)).unwrap_or(0);
    let assumed_principal = Some(delegated.identity.arn());
    let mut draft = Draft {
        delegation: Some(delegated.delegation),
        // A later session of the same token is no newer for who revokes older ones.
        issued: Some(delegated.since),
        ..Draft::new(delegated.identity, own, seconds)
    };
    // That a code was shown is left behind: whoever holds the session has shown none.
    if let Some(session) = delegated.accepted_in {
        draft.policies = session.policies;
        draft.tags = session.tags;
        draft.transitive_tags = session.transitive_tags;
        draft.source_identity = session.source_identity;
        draft.federation = session.federation;
        draft.chained = session.chained;
        draft.root_task = session.root_task;
    }
    let issued = credentials::issue(shared, draft, None)?;
    Ok(permit.answer(GetDelegatedAccessTokenResponse {
        credentials: Some(issued.credentials),
        packed_policy_size: Some(delegated.packed_policy_size),
        assumed_principal,
    }))
}
