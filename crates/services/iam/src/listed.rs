//! What an owner has lists of: keys and certificates, each with an id of its own, that are
//! switched on and off and taken away one by one.

use crate::errors;
use crate::key_records::{SigningCertificate, SshKey};
use crate::owner::{Owner, wanted};
use crate::records::{AccessKey, Proofs};
use crate::state::Account;
use ringfence_gateway::Batch;
use ringfence_model_iam::types::StatusType;
use ringfence_wire::ServiceError;

/// A kind of what an owner has a list of.
pub(crate) trait Listed: Clone {
    /// Those of an owner.
    fn of(proofs: &mut Proofs) -> &mut Box<[Self]>;

    fn id(&self) -> &str;

    fn active(&mut self) -> &mut bool;

    /// `NoSuchEntity`.
    fn missing(id: &str) -> ServiceError;
}

macro_rules! listed {
    ($type:ty, $field:ident, $own:ident => $id:expr, $missing:path) => {
        impl Listed for $type {
            fn of(proofs: &mut Proofs) -> &mut Box<[Self]> {
                &mut proofs.$field
            }

            fn id(&self) -> &str {
                let $own = self;
                $id
            }

            fn active(&mut self) -> &mut bool {
                &mut self.active
            }

            fn missing(id: &str) -> ServiceError {
                $missing(id)
            }
        }
    };
}

listed!(AccessKey, keys, key => key.id.as_str(), errors::no_such_key);
listed!(SshKey, ssh_keys, key => key.id.as_str(), errors::no_such_ssh_key);
listed!(SigningCertificate, certificates, own => &own.id, errors::no_such_certificate);

/// The place of what has an id.
///
/// # Errors
/// `NoSuchEntity`.
pub(crate) fn position<H: Listed>(all: &[H], id: &str) -> Result<usize, ServiceError> {
    all.iter().position(|one| one.id() == id).ok_or_else(|| H::missing(id))
}

impl Owner {
    /// Switches one on or off.
    ///
    /// # Errors
    /// `ValidationError` for a status that cannot be set, `NoSuchEntity`.
    pub async fn switch<H: Listed>(
        &self,
        id: &str,
        status: &StatusType,
    ) -> Result<(), ServiceError> {
        let active = wanted(status)?;
        self.change(|_, credentials, _| {
            let all = H::of(credentials);
            let at = position(all, id)?;
            let was = std::mem::replace(all[at].active(), active);
            Ok(was != active)
        })
        .await
    }

    /// Takes one away; `also` sees it go.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub async fn discard<H: Listed>(
        &self,
        id: &str,
        mut also: impl FnMut(&H, &Account, &mut Batch<Account>),
    ) -> Result<(), ServiceError> {
        self.change(|account, credentials, batch| {
            let all = H::of(credentials);
            let mut left = all.to_vec();
            let gone = left.remove(position(&left, id)?);
            *all = left.into();
            also(&gone, account, batch);
            Ok(true)
        })
        .await
    }
}
