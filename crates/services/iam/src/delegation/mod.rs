//! Temporary delegation: an account asks for access to another, and somebody there lends it theirs.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies-temporary-delegation.html>
//!
//! - The **requestor** is the account that makes a request. In AWS it is a partner that AWS let in;
//!   here every account may ask.
//! - The **owner** is the identity that took the request on in its account. It may look at it, hand
//!   it to an administrator, reject it and send its token, without a policy that says so.
//! - The **approver** accepted it: the identity that is lent. This takes a permission always.
//! - The **exchange token** is sent to the requestor's topic. The requestor trades it in by STS's
//!   `GetDelegatedAccessToken`, for sessions of the approver that may what the request's permissions
//!   *and* the approver's own policies allow, until the delegation ends.
//!
//! ```text
//!              Associate           Update                     Accept           SendToken
//!  UNASSIGNED ───────────► ASSIGNED ─────► PENDING_APPROVAL ─────────► ACCEPTED ─────────► FINALIZED
//!                              └──────────────── Accept ──────────────────▲
//!                          Reject: from ASSIGNED, PENDING_APPROVAL and ACCEPTED ──► REJECTED
//!  UNASSIGNED expires in a day, every other state in seven
//! ```
//!
//! A request lies in the requestor's account, and its id carries that account's number, so that it is
//! found from any other. Which requests an account owns is told by `Owned`, an index of all accounts.

pub(crate) mod check;
pub(crate) mod notices;
pub(crate) mod owned;
pub(crate) mod records;
pub(crate) mod requests;
pub(crate) mod summary;
pub(crate) mod templates;
pub(crate) mod tokens;

use crate::Iam;
use crate::arn;
use crate::errors;
use crate::state::Account;
use records::{DelegationRequest, same};
use ringfence_gateway::{Call, Ledger, Permit, Resolved};
use ringfence_model_iam::types;
use ringfence_policy::document::{Effect, Matching, PrincipalPattern, Statement, Version};
use ringfence_policy::{AccountId, Document};
use ringfence_wire::{ServiceError, TypedOperation};
use std::sync::Arc;

/// The kind in ARNs.
pub(crate) const KIND: &str = "delegation-request";

/// What whoever has the id of a request may do that nobody owns yet.
const OF_ANYONE: &[&str] =
    &["iam:AssociateDelegationRequest", "iam:GetDelegationRequest", "iam:GetHumanReadableSummary"];

/// What the owner of a request may do: all but accept it.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies-temporary-delegation.html#temporary-delegation-managing-permissions>
const OF_OWNER: &[&str] = &[
    "iam:AssociateDelegationRequest",
    "iam:GetDelegationRequest",
    "iam:GetHumanReadableSummary",
    "iam:ListDelegationRequests",
    "iam:RejectDelegationRequest",
    "iam:SendDelegationToken",
    "iam:UpdateDelegationRequest",
];

/// A request that the caller may act on.
pub(crate) struct Allowed {
    /// Where it lies, where there is one.
    ledger: Option<Arc<Ledger<Account>>>,
    /// The permit, with what was found.
    pub permit: Permit<Option<Arc<DelegationRequest>>>,
    /// The caller is its owner.
    pub by_owner: bool,
    id: String,
}

/// The account whose request has this id, as far as the id tells.
fn requestor_of(id: &str) -> Option<AccountId> {
    id.rsplit('-').next()?.parse().ok()
}

/// The permissions that a request itself gives, as the policy of a resource.
fn granting(actions: &[&str], to: PrincipalPattern) -> Arc<Document> {
    let statement = Statement {
        sid: None,
        effect: Effect::Allow,
        principal: Some(Matching::These(vec![to])),
        action: Matching::These(actions.iter().map(|&action| action.to_owned()).collect()),
        resource: Some(Matching::These(vec!["*".into()])),
        conditions: Vec::new(),
    };
    Arc::new(Document::new(Version::V2012, None, vec![statement]))
}

/// Refuses sessions that are lent themselves: what is lent cannot be lent on.
fn not_lent<O: TypedOperation>(call: &Call<O>) -> Result<(), ServiceError> {
    match &call.caller().session {
        Some(session) if session.delegation.is_some() => Err(errors::lent_credentials()),
        _ => Ok(()),
    }
}

impl Iam {
    /// Resolves a request by its id, as the caller's account sees it, and asks for the operation's
    /// action on it. A request that another account owns is none.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(crate) fn allow_delegation<O: TypedOperation>(
        &self,
        call: &Call<O>,
        id: &str,
    ) -> Result<Allowed, ServiceError> {
        let own = call.account()?;
        not_lent(call)?;
        let arn = arn::of(KIND, own, "/", id);
        let ledger = requestor_of(id).and_then(|requestor| self.ledgers.get(requestor));
        let mut by_owner = false;
        let resolved = match &ledger {
            None => Resolved::new(arn, own, None),
            Some(ledger) => ledger.resolve(|account| {
                let found = account.delegation_requests.get(id);
                let found = found.filter(|one| one.owner_account.is_none_or(|it| it == own));
                let owner = found.and_then(|found| found.owner.as_ref());
                by_owner = owner.is_some_and(|owner| same(owner, &call.caller().identity));
                let given = match (found, owner) {
                    (None, _) => None,
                    (Some(_), None) => Some(granting(OF_ANYONE, PrincipalPattern::Anyone)),
                    (Some(_), Some(_)) if by_owner => {
                        let arn = call.caller().identity.arn();
                        Some(granting(OF_OWNER, PrincipalPattern::Arn(arn)))
                    }
                    _ => None,
                };
                let owner = owner.map(|owner| owner.arn());
                let resolved = Resolved::new(arn, own, found.cloned())
                    .key_if("iam:DelegationRequestOwner", owner);
                match given {
                    Some(policy) => resolved.policy(policy),
                    None => resolved,
                }
            }),
        };
        let permit = call.allow(resolved)?;
        Ok(Allowed { ledger, permit, by_owner, id: id.to_owned() })
    }
}

impl Allowed {
    /// What was found.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub fn found(&self) -> Result<&Arc<DelegationRequest>, ServiceError> {
        self.permit.as_ref().ok_or_else(|| errors::no_such_delegation(&self.id))
    }

    /// Changes it, provided that it is still the same owner's.
    ///
    /// # Errors
    /// `NoSuchEntity`, `ConcurrentModification`, and those of `change`.
    pub async fn change(
        &self,
        mut change: impl FnMut(&mut DelegationRequest) -> Result<(), ServiceError>,
    ) -> Result<(), ServiceError> {
        let allowed = self.found()?;
        let missing = || errors::no_such_delegation(&self.id);
        let ledger = self.ledger.as_ref().ok_or_else(missing)?;
        ledger
            .write(&self.permit, |account, batch| {
                let now = account.delegation_requests.get(&*self.id).ok_or_else(missing)?;
                if now.owner_account != allowed.owner_account || now.owner != allowed.owner {
                    return Err(overtaken());
                }
                let mut changed = DelegationRequest::clone(now);
                change(&mut changed)?;
                batch.put(crate::records::Record::DelegationRequest(Arc::new(changed)));
                Ok(())
            })
            .await
    }
}

/// `ConcurrentModification`. The model's documentation.
pub(crate) fn overtaken() -> ServiceError {
    types::ConcurrentModificationException::error(
        "The request was rejected because multiple requests to change this object were submitted \
         simultaneously. Wait a few minutes and submit your request again.",
    )
}
