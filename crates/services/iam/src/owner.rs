//! Whose credentials a call is about, a user's or root's, and the right to them.

use crate::Iam;
use crate::entity::{Entity, resolve};
use crate::errors;
use crate::records::{Credentials, Record, User};
use crate::state::Account;
use crate::users::{Whom, named_or_caller};
use ringfence_gateway::{Batch, Call, Ledger, Permit, Resolved};
use ringfence_model_iam::types::StatusType;
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, TypedOperation};
use std::sync::Arc;

/// Whose credentials a call is about, and the right to them.
pub(crate) struct Owner {
    pub ledger: Arc<Ledger<Account>>,
    pub id: AccountId,
    /// The user's name as the request has it; `None` for root.
    pub user: Option<String>,
    pub permit: Permit<Option<Arc<User>>>,
}

impl Owner {
    /// The user that is named, or else the caller.
    ///
    /// # Errors
    /// `AccessDenied`; `NoSuchEntity` where there is no such user.
    pub fn allow<O: TypedOperation>(
        iam: &Iam,
        call: &Call<O>,
        named: Option<&str>,
    ) -> Result<Self, ServiceError> {
        match named_or_caller(call, named)? {
            Whom::User(name) => Self::allow_user(iam, call, name, |_, resolved| resolved),
            Whom::Root(id) => {
                let ledger = iam.ledger(id)?;
                let permit = call.allow(Resolved::new(id.root_arn(), id, None))?;
                Ok(Self { ledger, id, user: None, permit })
            }
        }
    }

    /// As [`Owner::allow`], for what root has none of; with more condition keys.
    ///
    /// # Errors
    /// `ValidationError` where no user is named and the caller is none, and those of `allow`.
    pub fn allow_user_with<O: TypedOperation>(
        iam: &Iam,
        call: &Call<O>,
        named: Option<&str>,
        keys: impl FnOnce(Option<&User>, Resolved<Option<Arc<User>>>) -> Resolved<Option<Arc<User>>>,
    ) -> Result<Self, ServiceError> {
        match named_or_caller(call, named)? {
            Whom::User(name) => Self::allow_user(iam, call, name, keys),
            Whom::Root(_) => Err(errors::must_name_user()),
        }
    }

    fn allow_user<O: TypedOperation>(
        iam: &Iam,
        call: &Call<O>,
        name: String,
        keys: impl FnOnce(Option<&User>, Resolved<Option<Arc<User>>>) -> Resolved<Option<Arc<User>>>,
    ) -> Result<Self, ServiceError> {
        let id = call.account()?;
        let ledger = iam.ledger(id)?;
        let resolved = ledger.resolve(|account| {
            let user = User::find(account, &name).map(|user| &**user);
            keys(user, resolve::<O, User>(account, id, &name))
        });
        let permit = call.allow(resolved)?;
        if permit.is_none() {
            return Err(User::missing(&name));
        }
        Ok(Self { ledger, id, user: Some(name), permit })
    }

    /// The credentials as they are now.
    ///
    /// # Errors
    /// `NoSuchEntity` where the user is gone, or another was made under its name since the caller
    /// was allowed.
    pub fn credentials(&self, account: &Account) -> Result<Credentials, ServiceError> {
        match &self.user {
            None => {
                Ok(account.root.as_ref().map(|root| root.credentials.clone()).unwrap_or_default())
            }
            Some(name) => self.now(account, name).map(|user| user.credentials.clone()),
        }
    }

    fn now<'a>(&self, account: &'a Account, name: &str) -> Result<&'a Arc<User>, ServiceError> {
        let user = User::get(account, name)?;
        match &*self.permit {
            Some(allowed) if allowed.id == user.id => Ok(user),
            _ => Err(User::missing(name)),
        }
    }

    /// The record with other credentials.
    ///
    /// # Errors
    /// As [`Owner::credentials`].
    pub fn with(
        &self,
        account: &Account,
        credentials: Credentials,
    ) -> Result<Record, ServiceError> {
        match &self.user {
            Some(name) => {
                let user = User::clone(self.now(account, name)?);
                Ok(Record::User(Arc::new(User { credentials, ..user })))
            }
            None => {
                let root = account.root.as_deref().cloned();
                let mut root = root.ok_or_else(|| errors::failed("an account without a record"))?;
                root.credentials = credentials;
                Ok(Record::Account(Arc::new(root)))
            }
        }
    }

    /// Changes the credentials; `change` says whether it did.
    ///
    /// # Errors
    /// As [`Owner::credentials`], and those of `change`.
    pub async fn change(
        &self,
        mut change: impl FnMut(
            &Account,
            &mut Credentials,
            &mut Batch<Account>,
        ) -> Result<bool, ServiceError>,
    ) -> Result<(), ServiceError> {
        self.ledger
            .write(&self.permit, |account, batch| {
                let mut credentials = self.credentials(account)?;
                if change(account, &mut credentials, batch)? {
                    batch.put(self.with(account, credentials)?);
                }
                Ok(())
            })
            .await
    }

    /// The user's name as it is spelled; `None` for root.
    pub fn name(&self) -> Option<String> {
        self.permit.as_ref().map(|user| user.name.to_string())
    }

    /// The user's name, or the account's number for root.
    pub fn name_or_account(&self) -> String {
        self.name().unwrap_or_else(|| self.id.to_string())
    }
}

/// The state that a call sets.
///
/// # Errors
/// `ValidationError` for `Expired`, which is told and never set.
pub(crate) fn wanted(status: &StatusType) -> Result<bool, ServiceError> {
    match status {
        StatusType::Active => Ok(true),
        StatusType::Inactive => Ok(false),
        _ => Err(errors::validation("Status must be Active or Inactive.")),
    }
}

/// The state of a key or credential as answers carry it.
pub(crate) fn status(active: bool) -> StatusType {
    if active { StatusType::Active } else { StatusType::Inactive }
}
