//! Messages to a requestor's topic about the states of its requests. What a topic has not heard yet
//! lies in the request, so that it is told after a restart too.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/temporary-delegation-building-integration.html>

use super::records::{DelegationRequest, Notice};
use crate::Iam;
use crate::records::Record;
use crate::state::Account;
use ringfence_gateway::notify::Message;
use ringfence_gateway::{Identity, Ledger, Transient};
use ringfence_policy::AccountId;
use ringfence_wire::Timestamp;
use ringfence_wire::shape::TimestampFormat;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

/// Seconds after which a message that nobody takes is given up, as SNS gives up on endpoints.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html>
const GIVEN_UP: i64 = 60 * 60;

/// Seconds for which a message is one server's to deliver: longer than an endpoint is given. After a crash in the
/// middle another begins that much later; a topic may hear twice, as SNS may deliver twice.
const CLAIMED_FOR: i64 = 10;

/// A message that a server delivers, or has just delivered.
#[derive(Serialize, Deserialize)]
pub(crate) struct Claimed {
    notice: String,
    until: i64,
}

impl Transient for Claimed {
    type Of = AccountId;
    const KIND: &'static str = "iam-notice";

    fn name(&self) -> &str {
        &self.notice
    }

    fn is_over(&self, now: i64) -> bool {
        // One that ends later than any does was made before the clock was moved back.
        now >= self.until || self.until.saturating_sub(now) > CLAIMED_FOR
    }
}

/// What every message tells. The names are AWS's as far as its pages tell them.
pub(super) fn about(request: &DelegationRequest, kind: &str, at: Timestamp) -> serde_json::Value {
    serde_json::json!({
        "Type": kind,
        "RequestId": &*request.id,
        "RequestorId": request.requestor.to_string(),
        "RequestorWorkflowId": &*request.workflow,
        "OwnerAccountId": request.owner_account.map(|account| account.to_string()),
        "OwnerId": request.owner.as_ref().map(Identity::arn),
        "UpdatedAt": at.format(TimestampFormat::DateTime),
    })
}

impl Iam {
    /// Tells topics what they have not heard. Returns whether every message that was tried was taken:
    /// the others are tried again at the next call.
    pub async fn deliver_notices(&self) -> bool {
        let mut silent = HashSet::new();
        // Of an account that was not read yet they are told when it was.
        for (id, ledger) in self.ledgers.read_so_far() {
            let waiting: Vec<Arc<str>> = ledger.for_deciding().noticing.iter().cloned().collect();
            for request in waiting {
                let request = ledger.for_deciding().delegation_requests.get(&request).cloned();
                let Some(request) = request else { continue };
                for notice in &request.notices {
                    if silent.contains(&request.channel) {
                        break;
                    }
                    // Where another server is at it, what comes after waits, too.
                    if !self.claim_notice(id, &notice.id).await {
                        break;
                    }
                    if !self.deliver(&request, notice).await {
                        silent.insert(request.channel.clone());
                        self.give_up_notice(id, &notice.id).await;
                        break;
                    }
                    told(&ledger, &request.id, &notice.id).await;
                }
            }
        }
        silent.is_empty()
    }

    /// Says that this server delivers a message; whether it is the one.
    async fn claim_notice(&self, id: AccountId, notice: &str) -> bool {
        let now = self.clock.now().seconds;
        let claimed = self.notice_claims.change(id, now, |known| {
            let free = known.get(notice).is_none();
            if free {
                let until = now.saturating_add(CLAIMED_FOR);
                known.put(Claimed { notice: notice.to_owned(), until });
            }
            Ok(free)
        });
        claimed.await.unwrap_or_else(|error| {
            tracing::warn!(error = error.message, "nobody knows who delivers a message");
            false
        })
    }

    /// Lets any server try next. After a message that was taken nobody must: the claim stands until all know that.
    async fn give_up_notice(&self, id: AccountId, notice: &str) {
        let now = self.clock.now().seconds;
        if let Err(error) = self.notice_claims.remove(id, now, notice).await {
            tracing::warn!(error = error.message, "a message waits for some seconds");
        }
    }

    /// Hands one message over, or gives it up.
    async fn deliver(&self, request: &DelegationRequest, notice: &Notice) -> bool {
        let mut text = about(request, "StateChange", Timestamp::from_seconds(notice.at));
        text["State"] = notice.state.shown().as_str().into();
        let (topic, text) = (request.channel.as_str(), text.to_string());
        let message = Message { topic, id: &notice.id, at: notice.at, text: &text };
        match self.notify().publish(message).await {
            Ok(()) => true,
            Err(why) => {
                let age = self.clock.now().seconds.saturating_sub(notice.at);
                let over = age > GIVEN_UP;
                tracing::warn!(why = why.0, topic, over, "a topic did not hear of a state");
                over
            }
        }
    }
}

/// Forgets a message that needs no further try.
async fn told(ledger: &Arc<Ledger<Account>>, request: &str, notice: &str) {
    let written = ledger
        .write_unasked(|account, batch| {
            if let Some(now) = account.delegation_requests.get(request) {
                let mut changed = DelegationRequest::clone(now);
                changed.notices.retain(|one| one.id != notice);
                batch.put(Record::DelegationRequest(Arc::new(changed)));
            }
            Ok(())
        })
        .await;
    if let Err(error) = written {
        tracing::warn!(%error, "a message that was taken will be sent again");
    }
}
