//! What is stored of a delegation request, and which state follows which.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/temporary-delegation-building-integration.html>

use crate::documents::IdentityPolicy;
use crate::errors;
use ringfence_gateway::{Identity, Session};
use ringfence_model_iam::types::StateType;
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A day in seconds.
const DAY: i64 = 24 * 60 * 60;

/// How long a request stays after it has expired. AWS does not say how long it keeps them.
const KEPT: i64 = 30 * DAY;

/// A delegation request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DelegationRequest {
    pub id: Arc<str>,
    pub requestor: AccountId,
    /// The requestor's name when it asked.
    pub requestor_name: String,
    /// What the requestor calls it; no other of its requests has the same.
    pub workflow: Arc<str>,
    pub created: i64,
    pub updated: i64,
    /// The state, but that time may have ended it.
    pub state: Stage,
    /// Since when.
    pub since: i64,
    /// The account that it is for, once that is known.
    #[serde(default)]
    pub owner_account: Option<AccountId>,
    #[serde(default)]
    pub owner: Option<Identity>,
    #[serde(default)]
    pub approver: Option<Approver>,
    pub description: String,
    #[serde(default)]
    pub message: Option<String>,
    /// The ARN of the policy that the permissions were made from.
    pub template: String,
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// The permissions: the template as it was then, with the parameters in their places.
    pub policy: IdentityPolicy,
    /// The ARN of the topic that hears of it.
    pub channel: String,
    #[serde(default)]
    pub redirect: Option<String>,
    /// Seconds that the delegation lasts.
    pub duration: i32,
    #[serde(default)]
    pub only_send_by_owner: bool,
    #[serde(default)]
    pub notes: Option<String>,
    #[serde(default)]
    pub rejection: Option<String>,
    /// The exchange token that is good, or may be: one that is on its way is there already, so that
    /// whoever holds it can use it, and gone again if it was not handed over.
    #[serde(default)]
    pub token: Option<Sent>,
    /// What the topic has not heard yet, oldest first.
    #[serde(default)]
    pub notices: Vec<Notice>,
}

/// Who accepted a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Approver {
    pub identity: Identity,
    /// The session that it was accepted in, whose limits hold for the delegate too.
    #[serde(default)]
    pub session: Option<Session>,
}

/// An exchange token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub id: String,
    pub at: i64,
}

/// A message about a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub id: String,
    pub state: Stage,
    pub at: i64,
}

/// A parameter of the template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parameter {
    pub name: String,
    pub values: Vec<String>,
    /// It may have any number of values, each of which is one where it stands in a list.
    pub list: bool,
}

/// A state that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Unassigned,
    Assigned,
    PendingApproval,
    Accepted,
    Finalized,
    Rejected,
}

/// What moves a request on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Associate,
    Update,
    Accept,
    Reject,
    Send,
}

impl Step {
    /// The state that it leads to; `None` where it cannot be taken.
    pub const fn from(self, stage: Stage) -> Option<Stage> {
        use Stage::{Accepted, Assigned, Finalized, PendingApproval, Rejected, Unassigned};
        match (self, stage) {
            (Self::Associate, Unassigned) => Some(Assigned),
            // An owner may add to its notes while an administrator looks at them.
            (Self::Update, Assigned | PendingApproval) => Some(PendingApproval),
            (Self::Accept, Assigned | PendingApproval) => Some(Accepted),
            (Self::Reject, Assigned | PendingApproval | Accepted) => Some(Rejected),
            (Self::Send, Accepted) => Some(Finalized),
            _ => None,
        }
    }
}

impl Stage {
    /// Seconds after which a request in this state expires.
    const fn lifetime(self) -> i64 {
        match self {
            Self::Unassigned => DAY,
            _ => 7 * DAY,
        }
    }

    /// As answers name it.
    pub const fn shown(self) -> StateType {
        match self {
            Self::Unassigned => StateType::Unassigned,
            Self::Assigned => StateType::Assigned,
            Self::PendingApproval => StateType::PendingApproval,
            Self::Accepted => StateType::Accepted,
            Self::Finalized => StateType::Finalized,
            Self::Rejected => StateType::Rejected,
        }
    }
}

impl DelegationRequest {
    /// When it expires, in the state that it has.
    pub fn expires(&self) -> i64 {
        self.since.saturating_add(self.state.lifetime())
    }

    /// Whether it has.
    pub fn is_expired(&self, now: i64) -> bool {
        now >= self.expires()
    }

    /// Whether it need not be kept any more.
    pub fn is_stale(&self, now: i64) -> bool {
        now >= self.expires().saturating_add(KEPT)
    }

    /// The state as answers name it.
    pub fn shown(&self, now: i64) -> StateType {
        if self.is_expired(now) { StateType::Expired } else { self.state.shown() }
    }

    /// Takes a step.
    ///
    /// # Errors
    /// `InvalidInput` where the state does not let it.
    pub fn take(&mut self, step: Step, now: i64) -> Result<(), ServiceError> {
        let next = step.from(self.state).filter(|_| !self.is_expired(now));
        let Some(next) = next else {
            return Err(errors::delegation_state(&self.id, self.shown(now).as_str()));
        };
        if next != self.state {
            (self.state, self.since) = (next, now);
        }
        self.updated = now;
        Ok(())
    }

    /// The token of this id, where it is the one that is good.
    pub fn good_token(&self, id: &str) -> Option<&Sent> {
        let may = matches!(self.state, Stage::Accepted | Stage::Finalized);
        self.token.as_ref().filter(|sent| may && sent.id == id)
    }
}

/// Whether two are the same identity. A user that has moved is the same, one made anew under an old
/// name is not.
pub(crate) fn same(a: &Identity, b: &Identity) -> bool {
    match (a, b) {
        (Identity::Root { account }, Identity::Root { account: other }) => account == other,
        (
            Identity::User { account, id, .. },
            Identity::User { account: other, id: other_id, .. },
        ) => (account, id) == (other, other_id),
        (
            Identity::AssumedRole { account, role_id, session_name, .. },
            Identity::AssumedRole {
                account: other,
                role_id: other_id,
                session_name: other_name,
                ..
            },
        ) => (account, role_id, session_name) == (other, other_id, other_name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER, delegation_request};

    #[test]
    fn a_state_is_left_by_the_steps_that_aws_names_and_no_other() {
        use Stage::*;
        use Step::*;
        let stages = [Unassigned, Assigned, PendingApproval, Accepted, Finalized, Rejected];
        let allowed = [
            (Associate, Unassigned, Assigned),
            (Update, Assigned, PendingApproval),
            (Update, PendingApproval, PendingApproval),
            (Accept, Assigned, Accepted),
            (Accept, PendingApproval, Accepted),
            (Reject, Assigned, Rejected),
            (Reject, PendingApproval, Rejected),
            (Reject, Accepted, Rejected),
            (Send, Accepted, Finalized),
        ];
        for step in [Associate, Update, Accept, Reject, Send] {
            for stage in stages {
                let to = allowed.iter().find(|(by, from, _)| (*by, *from) == (step, stage));
                assert_eq!(step.from(stage), to.map(|(_, _, to)| *to), "{step:?} {stage:?}");
            }
        }
    }

    #[test]
    fn a_request_expires_a_day_after_it_was_made_and_a_week_after_each_step() {
        let mut request = delegation_request("a", ID);
        let made = request.since;
        assert!(!request.is_expired(made + DAY - 1) && request.is_expired(made + DAY));
        assert_eq!(request.shown(made + DAY).as_str(), "EXPIRED");
        let refused = request.take(Step::Associate, made + DAY).unwrap_err();
        assert_eq!(refused.code, "InvalidInput");
        request.take(Step::Associate, made + 10).unwrap();
        assert_eq!(request.expires(), made + 10 + 7 * DAY);
        assert!(request.is_stale(request.expires() + KEPT));
        // Further notes do not put it off.
        request.take(Step::Update, made + 20).unwrap();
        request.take(Step::Update, made + 30).unwrap();
        assert_eq!((request.expires(), request.updated), (made + 20 + 7 * DAY, made + 30));
    }

    #[test]
    fn a_token_is_good_where_it_is_the_last_and_the_request_was_not_rejected() {
        let mut request = delegation_request("a", ID);
        request.token = Some(Sent { id: "t".into(), at: 1 });
        for (state, good) in [
            (Stage::Accepted, true),
            (Stage::Finalized, true),
            (Stage::Rejected, false),
            (Stage::Assigned, false),
        ] {
            request.state = state;
            assert_eq!(request.good_token("t").is_some(), good, "{state:?}");
            assert!(request.good_token("u").is_none());
        }
    }

    #[test]
    fn an_identity_is_the_same_by_its_unique_id() {
        let user = |account, path: &str, id: &str| Identity::User {
            account,
            name: "n".into(),
            path: path.into(),
            id: id.into(),
        };
        assert!(same(&user(ID, "/", "AIDA1"), &user(ID, "/moved/", "AIDA1")));
        assert!(!same(&user(ID, "/", "AIDA1"), &user(ID, "/", "AIDA2")));
        assert!(!same(&user(ID, "/", "AIDA1"), &Identity::Root { account: ID }));
        assert!(!same(&Identity::Root { account: OTHER }, &Identity::Root { account: ID }));
    }
}
