//! What is found from other accounts' side: whose an alias is, an issuer, a delegation request.
//!
//! Each lies in one account's records, and to find it all accounts must have been read. They are read
//! for it when somebody asks first, if they were not before.

use crate::aliases::Aliases;
use crate::delegation::owned::Owned;
use crate::outbound_federation::IssuersAccounts;
use crate::state::Account;
use crate::{Iam, errors};
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use std::sync::{Arc, Mutex, PoisonError};

/// Where things of all accounts are.
#[derive(Default)]
pub(crate) struct Across {
    pub aliases: Aliases,
    pub owned: Owned,
    pub issuers: IssuersAccounts,
}

/// Made when it is asked for first.
#[derive(Default)]
pub(crate) struct AcrossAccounts(Mutex<Option<Arc<Across>>>);

impl Across {
    /// Takes in what an account has now.
    fn note(&self, id: AccountId, account: &Account) {
        self.aliases.note(id, account.settings.alias.as_deref());
        if let Some(issuer) = &account.token_issuer {
            self.issuers.note(id, issuer);
        }
        for (request, made) in &account.delegation_requests {
            if let (Some(owner), Some(_)) = (made.owner_account, &made.owner) {
                self.owned.note(owner, request);
            }
        }
    }
}

impl Iam {
    /// Where things of all accounts are.
    ///
    /// # Errors
    /// When an account cannot be read.
    pub(crate) fn across(&self) -> Result<Arc<Across>, ServiceError> {
        let mut made = self.across.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*made {
            return Ok(made.clone());
        }
        self.ledgers.fill(1).map_err(errors::failed)?;
        let across = Arc::new(Across::default());
        for id in self.ledgers.areas() {
            if let Some(ledger) = self.ledgers.get(id) {
                across.note(id, &ledger.for_deciding());
            }
        }
        *made = Some(across.clone());
        Ok(across)
    }

    /// Takes in what another process has written in an account. Where nobody has asked yet, whoever does
    /// first finds it.
    pub(crate) fn note_across(&self, id: AccountId) {
        let made = self.across.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(across) = made
            && let Some(ledger) = self.ledgers.get(id)
        {
            across.note(id, &ledger.for_deciding());
        }
    }
}
