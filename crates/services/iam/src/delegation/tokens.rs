//! Exchange tokens: sending one, and what it is good for.
//!
//! A token is the request, its own id and its end, sealed for the requestor's account. It is good as
//! long as the request holds its id. Sending one goes in three steps, so that no failure between two
//! of them can lend what the owner believes not to be lent:
//!
//! 1. the request takes the token's id, durably, and is `ACCEPTED` still;
//! 2. the token is handed to the requestor's topic;
//! 3. the request is `FINALIZED`; or, where nobody took the token, gives the id up again.
//!
//! A server that stops before the third leaves an `ACCEPTED` request, which the owner may reject,
//! which ends the token, or send again, which makes another.

use super::overtaken;
use super::records::{DelegationRequest, Sent, Step};
use crate::Iam;
use crate::entity::Entity as _;
use crate::errors;
use crate::quotas::size;
use crate::records::{Role, User};
use crate::trust::Accounts as _;
use ringfence_gateway::directory::{Delegated, TradeIn};
use ringfence_gateway::notify::Message;
use ringfence_gateway::{Answer, Call, Delegation, Identity};
use ringfence_model_iam::operations as ops;
use ringfence_policy::{AccountId, Document};
use ringfence_wire::shape::TimestampFormat;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What lies in a token.
#[derive(Serialize, Deserialize)]
struct Contents {
    request: String,
    id: String,
    expires: i64,
}

impl Iam {
    /// The token, sealed for the requestor.
    fn seal_trade_in(&self, to: AccountId, contents: &Contents) -> Result<String, ServiceError> {
        let bytes = rmp_serde::to_vec_named(contents).map_err(errors::failed)?;
        let to = to.to_string();
        self.trade_in_tokens.seal_text(&[to.as_bytes()], &bytes).map_err(errors::failed)
    }

    fn open_trade_in(&self, by: AccountId, token: &str) -> Option<Contents> {
        let bytes = self.trade_in_tokens.open_text(&[by.to_string().as_bytes()], token).ok()?;
        rmp_serde::from_slice(&bytes).ok()
    }

    /// Whether an identity is still there, by its unique id.
    fn exists(&self, identity: &Identity) -> bool {
        let look = |account| {
            self.look(account, |state| match identity {
                Identity::Root { .. } => true,
                Identity::User { name, id, .. } => {
                    User::find(state, name).is_some_and(|user| *user.id == **id)
                }
                Identity::AssumedRole { role_name, role_id, .. } => {
                    Role::find(state, role_name).is_some_and(|role| *role.id == **role_id)
                }
                Identity::FederatedUser { .. } | Identity::Anonymous => false,
            })
        };
        identity.account().and_then(look).unwrap_or(false)
    }

    /// The request that a token of this id is good for, its owner and approver being there.
    fn lent(&self, requestor: AccountId, id: &str, token: &str) -> Option<Arc<DelegationRequest>> {
        let request = self
            .look(requestor, |account| account.delegation_requests.get(id).cloned())
            .flatten()?;
        request.good_token(token)?;
        let owner = request.owner.as_ref()?;
        let approver = &request.approver.as_ref()?.identity;
        (self.exists(owner) && self.exists(approver)).then_some(request)
    }

    /// What a delegation permits.
    pub(crate) fn permitted(&self, delegation: &Delegation) -> Option<Arc<Document>> {
        let Delegation { requestor, request, token } = delegation;
        Some(self.lent(*requestor, request, token)?.policy.document().clone())
    }

    /// What a token is good for in the hands of an account.
    pub(crate) fn traded_in(&self, by: AccountId, token: &str, now: Timestamp) -> TradeIn {
        let Some(contents) = self.open_trade_in(by, token) else { return TradeIn::Unknown };
        if now.seconds >= contents.expires {
            return TradeIn::Expired;
        }
        let lent = self.lent(by, &contents.request, &contents.id);
        let lent = lent.filter(|request| !request.is_expired(now.seconds));
        let Some(request) = lent else { return TradeIn::Expired };
        let Some(approver) = &request.approver else { return TradeIn::Expired };
        let Some(sent) = request.good_token(&contents.id) else { return TradeIn::Expired };
        let since = approver.session.as_ref().map_or(sent.at, |session| session.issued);
        let share = size(request.policy.text()) * 100 / self.quotas.policy_size.max(1);
        TradeIn::Good(Box::new(Delegated {
            identity: approver.identity.clone(),
            accepted_in: approver.session.clone(),
            since,
            expires: contents.expires,
            delegation: Delegation { requestor: by, request: contents.request, token: contents.id },
            packed_policy_size: i32::try_from(share).unwrap_or(100).min(100),
        }))
    }
}

pub(crate) async fn send_delegation_token(
    iam: &Iam,
    call: Call<ops::SendDelegationToken>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = iam.allow_delegation(&call, &call.input.delegation_request_id)?;
    let request = allowed.found()?;
    if request.only_send_by_owner && !allowed.by_owner {
        return Err(errors::only_owner_sends());
    }
    let now = call.now();
    // What follows writes and delivers: nothing of it begins for a request that cannot be sent.
    DelegationRequest::clone(request).take(Step::Send, now.seconds)?;
    if !iam.notify().reaches(&request.channel) {
        return Err(errors::no_channel(&request.channel));
    }
    let expires = now.seconds.saturating_add(i64::from(request.duration));
    let id = iam.draw_hex::<16>()?;
    let contents = Contents { request: request.id.to_string(), id: id.clone(), expires };
    let token = iam.seal_trade_in(request.requestor, &contents)?;
    let text = message(request, &token, now, expires);

    allowed
        .change(|request| {
            DelegationRequest::clone(request).take(Step::Send, now.seconds)?;
            request.token = Some(Sent { id: id.clone(), at: now.seconds });
            Ok(())
        })
        .await?;
    let is_ours = |request: &DelegationRequest| request.good_token(&id).is_some();
    let topic = request.channel.as_str();
    let message = Message { topic, id: &id, at: now.seconds, text: &text };
    let handed_over = iam.notify().publish(message).await;
    if let Err(why) = handed_over {
        tracing::warn!(why = why.0, topic, "an exchange token was not handed over");
        allowed
            .change(|request| {
                if is_ours(request) {
                    request.token = None;
                }
                Ok(())
            })
            .await?;
        return Err(errors::not_handed_over(topic));
    }
    allowed
        .change(|request| {
            // Rejected, or sent again, meanwhile: the token is worth nothing.
            if !is_ours(request) {
                return Err(overtaken());
            }
            request.take(Step::Send, now.seconds)
        })
        .await?;
    Ok(allowed.permit.answer(Empty {}))
}

/// The message that carries a token.
fn message(request: &DelegationRequest, token: &str, now: Timestamp, expires: i64) -> String {
    let mut message = super::notices::about(request, "ExchangeToken", now);
    message["ExchangeToken"] = token.into();
    message["ExpiresAt"] =
        Timestamp::from_seconds(expires).format(TimestampFormat::DateTime).into();
    message.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delegation::records::{Approver, Stage};
    use crate::records::Record;
    use crate::testing::{ID, OTHER, delegation_request, iam_over, store};
    use ringfence_gateway::Directory as _;

    const REQUEST: &str = "0-0-0-0-123456789012";
    const MADE: i64 = 1_700_000_000;

    /// An account's request that another's root user accepted, and its token.
    async fn finalized() -> (Arc<Iam>, DelegationRequest, String) {
        let iam = iam_over(&store());
        iam.create_account(ID, "partner").await.unwrap();
        iam.create_account(OTHER, "owner").await.unwrap();
        let root = Identity::Root { account: OTHER };
        let request = DelegationRequest {
            state: Stage::Finalized,
            owner: Some(root.clone()),
            owner_account: Some(OTHER),
            approver: Some(Approver { identity: root, session: None }),
            token: Some(Sent { id: "t".into(), at: MADE }),
            ..delegation_request(REQUEST, ID)
        };
        keep(&iam, &request).await;
        let contents = Contents { request: REQUEST.into(), id: "t".into(), expires: MADE + 3600 };
        let token = iam.seal_trade_in(ID, &contents).unwrap();
        (iam, request, token)
    }

    async fn keep(iam: &Arc<Iam>, request: &DelegationRequest) {
        let record = Record::DelegationRequest(Arc::new(request.clone()));
        let put = |_: &_, batch: &mut ringfence_gateway::Batch<_>| {
            batch.put(record.clone());
            Ok(())
        };
        iam.ledger(ID).unwrap().write_unasked(put).await.unwrap();
    }

    fn traded(iam: &Iam, by: AccountId, token: &str, at: i64) -> &'static str {
        match iam.trade_in(by, token, Timestamp::from_seconds(at)) {
            TradeIn::Unknown => "unknown",
            TradeIn::Expired => "expired",
            TradeIn::Good(_) => "good",
        }
    }

    #[tokio::test]
    async fn a_token_is_good_for_its_account_until_it_ends() {
        let (iam, _, token) = finalized().await;
        for (by, at, expected) in [
            (ID, MADE, "good"),
            (ID, MADE + 3599, "good"),
            (ID, MADE + 3600, "expired"),
            (OTHER, MADE, "unknown"),
        ] {
            assert_eq!(traded(&iam, by, &token, at), expected, "{by} {at}");
        }
        assert_eq!(traded(&iam, ID, "nonsense", MADE), "unknown");
        let TradeIn::Good(good) = iam.trade_in(ID, &token, Timestamp::from_seconds(MADE)) else {
            panic!("the token is good");
        };
        assert_eq!(good.identity, Identity::Root { account: OTHER });
        assert_eq!(good.expires, MADE + 3600);
        assert!(iam.delegation(&good.delegation).is_some());
        let other = Delegation { token: "u".into(), ..good.delegation.clone() };
        assert!(iam.delegation(&other).is_none());
        let other = Delegation { requestor: OTHER, ..good.delegation };
        assert!(iam.delegation(&other).is_none());
    }

    #[tokio::test]
    async fn a_withdrawn_token_is_good_for_nothing() {
        let (iam, request, token) = finalized().await;
        let gone = Identity::User {
            account: OTHER,
            name: "gone".into(),
            path: "/".into(),
            id: "AIDA1".into(),
        };
        let approver = Approver { identity: gone.clone(), session: None };
        for withdrawn in [
            DelegationRequest { token: None, ..request.clone() },
            DelegationRequest { state: Stage::Rejected, ..request.clone() },
            DelegationRequest { owner: Some(gone), ..request.clone() },
            DelegationRequest { approver: Some(approver), ..request.clone() },
            DelegationRequest { since: 0, ..request.clone() },
        ] {
            keep(&iam, &withdrawn).await;
            assert_eq!(traded(&iam, ID, &token, MADE), "expired", "{withdrawn:?}");
        }
        keep(&iam, &request).await;
        assert_eq!(traded(&iam, ID, &token, MADE), "good");
    }
}
