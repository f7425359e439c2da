//! Messages to a requestor's topic about the states of its requests. What a topic has not heard yet
//! lies in the request, so that it is told after a restart too.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/temporary-delegation-building-integration.html>

use super::records::{DelegationRequest, Notice};
use crate::Iam;
use crate::records::Record;
use crate::state::Account;
use ringfence_gateway::notify::Message;
use ringfence_gateway::{Identity, Ledger};
use ringfence_wire::Timestamp;
use ringfence_wire::shape::TimestampFormat;
use std::collections::HashSet;
use std::sync::Arc;

/// Seconds after which a message that nobody takes is given up, as SNS gives up on endpoints.
/// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html>
const GIVEN_UP: i64 = 60 * 60;

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
        for ledger in self.ledgers.read_so_far() {
            let waiting: Vec<Arc<str>> = ledger.for_deciding().noticing.iter().cloned().collect();
            for request in waiting {
                let request = ledger.for_deciding().delegation_requests.get(&request).cloned();
                let Some(request) = request else { continue };
                for notice in &request.notices {
                    if silent.contains(&request.channel) {
                        break;
                    }
                    if !self.deliver(&request, notice).await {
                        silent.insert(request.channel.clone());
                        break;
                    }
                    told(&ledger, &request.id, &notice.id).await;
                }
            }
        }
        silent.is_empty()
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
