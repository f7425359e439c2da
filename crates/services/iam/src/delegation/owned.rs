//! Which delegation requests an account owns. A request lies in the account that made it; this finds
//! it from the other side.

use super::records::DelegationRequest;
use super::requestor_of;
use crate::Iam;
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Owning account → the ids of its requests. An id may be here before its request is durably the
/// account's, and after it is gone: whoever reads looks at the request itself.
#[derive(Default)]
pub(crate) struct Owned(Mutex<HashMap<AccountId, BTreeSet<Arc<str>>>>);

impl Owned {
    /// Notes that an account owns a request, or is about to.
    pub fn note(&self, account: AccountId, id: &Arc<str>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(account).or_default().insert(id.clone());
    }

    fn ids(&self, account: AccountId) -> Vec<Arc<str>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&account).into_iter().flatten().cloned().collect()
    }

    fn forget(&self, account: AccountId, id: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ids) = all.get_mut(&account) {
            ids.remove(id);
        }
    }
}

impl Iam {
    /// The requests that identities of an account own, in the order of their ids.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn owned_requests(
        &self,
        account: AccountId,
    ) -> Result<Vec<Arc<DelegationRequest>>, ServiceError> {
        let across = self.across()?;
        let ids = across.owned.ids(account).into_iter();
        let found = ids.filter_map(|id| {
            let ledger = requestor_of(&id).and_then(|requestor| self.ledgers.get(requestor));
            let found = ledger
                .and_then(|ledger| ledger.for_deciding().delegation_requests.get(&id).cloned());
            if found.is_none() {
                across.owned.forget(account, &id);
            }
            found.filter(|one| one.owner.is_some() && one.owner_account == Some(account))
        });
        Ok(found.collect())
    }
}
