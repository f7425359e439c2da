//! From what a request names to a key, with all that a decision on it looks at.

use crate::arn::{KeyName, Name, key_arn};
use crate::context::Pairs;
use crate::errors;
use crate::key_stores::records::InStore;
use crate::policy::of_account;
use crate::records::{Key, Record};
use crate::state::Region;
use crate::{Kms, home};
use ringfence_gateway::{Batch, Call, Ledger, Permit, Regional, Resolved};
use ringfence_keyring::material::Spec;
use ringfence_model_kms::types::{KeyState, KeyUsageType, OriginType};
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, TypedOperation};
use std::sync::Arc;

/// Whether a request may name a key by an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    IdOrAlias,
    Id,
}

/// A key that the caller may do something with.
pub(crate) struct Allowed {
    /// Where it is.
    pub home: Regional,
    /// `None` where nothing was ever made.
    ledger: Option<Arc<Ledger<Region>>>,
    pub permit: Permit<Option<Arc<Key>>>,
    /// As the request names it.
    named: KeyName,
}

/// What the caller named.
pub(crate) type Found = Resolved<Option<Arc<Key>>>;

impl Allowed {
    /// The key.
    ///
    /// # Errors
    /// `NotFoundException`.
    pub fn found(&self) -> Result<&Arc<Key>, ServiceError> {
        self.permit.as_ref().ok_or_else(|| match self.named.name {
            Name::Key(_) => errors::no_such_key(&self.named.arn()),
            Name::Alias(_) => errors::no_such_alias(&self.named.arn()),
        })
    }

    /// Changes the key; `change` says whether it did.
    ///
    /// # Errors
    /// `NotFoundException`, and those of `change`.
    pub async fn change(
        &self,
        mut change: impl FnMut(&Region, &mut Key) -> Result<bool, ServiceError>,
    ) -> Result<(), ServiceError> {
        self.write(|region, batch| {
            let mut key = Key::clone(self.now(region)?);
            if change(region, &mut key)? {
                batch.put(Record::Key(Arc::new(key)));
            }
            Ok(())
        })
        .await
    }

    /// Writes into the key's region.
    ///
    /// # Errors
    /// `NotFoundException`, and those of `write`.
    pub async fn write<R>(
        &self,
        write: impl FnMut(&Region, &mut Batch<Region>) -> Result<R, ServiceError>,
    ) -> Result<R, ServiceError> {
        self.found()?;
        match &self.ledger {
            Some(ledger) => ledger.write(&self.permit, write).await,
            None => Err(errors::failed("a key without a region")),
        }
    }

    /// The key's region as it is.
    pub fn view(&self) -> Region {
        self.ledger.as_ref().map(|ledger| ledger.view(&self.permit)).unwrap_or_default()
    }

    /// The key in the newest state, for a write.
    ///
    /// # Errors
    /// `NotFoundException`.
    pub fn now<'r>(&self, region: &'r Region) -> Result<&'r Arc<Key>, ServiceError> {
        let id = &self.found()?.id;
        region.keys.get(id).ok_or_else(|| errors::no_such_key(&key_arn(&self.home, id)))
    }

    /// The key's state, which is also its custom key store's where it has one.
    pub fn state_of(&self, key: &Key) -> KeyState {
        let connected = |own: &InStore| {
            let store = self.ledger.as_ref()?.view(&self.permit).stores.get(&own.store).cloned()?;
            Some(store.is_connected())
        };
        match (key.state(), &key.in_store) {
            (KeyState::Enabled | KeyState::Disabled, Some(own)) if connected(own) != Some(true) => {
                KeyState::Unavailable
            }
            (state, _) => state,
        }
    }

    /// The ledger of its region.
    pub fn ledger(&self) -> Option<&Arc<Ledger<Region>>> {
        self.ledger.as_ref()
    }

    /// The key, where it is switched on.
    ///
    /// # Errors
    /// `NotFoundException`, `DisabledException`, `KMSInvalidStateException`.
    pub fn enabled(&self) -> Result<&Arc<Key>, ServiceError> {
        let key = self.found()?;
        let arn = || key.arn(&self.home);
        match self.state_of(key) {
            KeyState::Enabled => Ok(key),
            KeyState::Disabled => Err(errors::disabled(&arn())),
            KeyState::Unavailable => {
                let external = key.origin == OriginType::ExternalKeyStore;
                Err(errors::unavailable(&arn(), external))
            }
            _ => Err(errors::invalid_state(&arn(), "pending deletion")),
        }
    }

    /// The key, where it is switched on and made for this.
    ///
    /// # Errors
    /// Those of [`Allowed::enabled`], `InvalidKeyUsageException`.
    pub fn usable(&self, usage: &KeyUsageType, operation: &str) -> Result<&Arc<Key>, ServiceError> {
        let key = self.enabled()?;
        if key.usage != *usage {
            let arn = key.arn(&self.home);
            return Err(errors::wrong_usage(&arn, key.usage.as_str(), operation));
        }
        Ok(key)
    }

    /// Ends a call that only asks whether it would succeed.
    ///
    /// # Errors
    /// `DryRunOperationException`.
    pub fn not_dry(&self, dry_run: Option<bool>) -> Result<(), ServiceError> {
        if dry_run == Some(true) { Err(errors::would_succeed()) } else { Ok(()) }
    }

    /// The key's ARN.
    pub fn arn(&self) -> Result<String, ServiceError> {
        Ok(self.found()?.arn(&self.home))
    }

    /// The caller must be of the key's account.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub fn of_own_account(&self, account: AccountId) -> Result<(), ServiceError> {
        if self.home.account == account {
            return Ok(());
        }
        Err(ServiceError::access_denied(
            "Cross-account access is not allowed for this operation on this key.",
        ))
    }
}

impl Kms {
    /// Asks for the operation's action on the key that a request names.
    ///
    /// # Errors
    /// Those of [`KeyName::parse`], `AccessDeniedException`.
    pub(crate) fn allow<O: TypedOperation>(
        &self,
        call: &Call<O>,
        text: &str,
        by: By,
        keys: impl FnOnce(Found) -> Found,
    ) -> Result<Allowed, ServiceError> {
        self.ask(call, main_action::<O>()?, text, by, None, keys)
    }

    /// As [`Kms::allow`], in an encryption context.
    ///
    /// # Errors
    /// As [`Kms::allow`].
    pub(crate) fn allow_in<O: TypedOperation>(
        &self,
        call: &Call<O>,
        text: &str,
        by: By,
        context: &Pairs,
        keys: impl FnOnce(Found) -> Found,
    ) -> Result<Allowed, ServiceError> {
        self.allow_action_in(call, main_action::<O>()?, text, by, context, keys)
    }

    /// As [`Kms::allow_in`], for another action than the operation's own.
    ///
    /// # Errors
    /// As [`Kms::allow`].
    pub(crate) fn allow_action_in<O: TypedOperation>(
        &self,
        call: &Call<O>,
        action: &'static str,
        text: &str,
        by: By,
        context: &Pairs,
        keys: impl FnOnce(Found) -> Found,
    ) -> Result<Allowed, ServiceError> {
        self.ask(call, action, text, by, Some(context), |found| keys(context.told(found)))
    }

    fn ask<O: TypedOperation>(
        &self,
        call: &Call<O>,
        action: &'static str,
        text: &str,
        by: By,
        context: Option<&Pairs>,
        keys: impl FnOnce(Found) -> Found,
    ) -> Result<Allowed, ServiceError> {
        let named = KeyName::parse(text, &home(call)?)?;
        if by == By::Id && matches!(named.name, Name::Alias(_)) {
            return Err(errors::invalid_key_id(text));
        }
        let home = named.home.clone();
        let ledger = self.ledgers.get(&home);
        let caller = call.account()?;
        let now = call.now().seconds;
        let of = |region: &Region| keys(describe(region, &named, caller, context, now));
        let resolved = match &ledger {
            Some(ledger) => ledger.resolve(of),
            None => of(&Region::default()),
        };
        let permit = call.allow_action(action, resolved)?;
        Ok(Allowed { home, ledger, permit, named })
    }
}

/// The action of an operation.
fn main_action<O: TypedOperation>() -> Result<&'static str, ServiceError> {
    let action = O::OPERATION.authorization.actions.first();
    action.copied().ok_or_else(|| errors::failed("an operation without an action"))
}

/// The key of an id or alias.
fn find(region: &Region, name: &Name) -> Option<Arc<Key>> {
    let id = match name {
        Name::Key(id) => id.as_str(),
        Name::Alias(alias) => region.aliases.get(alias.as_str())?.target.as_deref()?,
    };
    region.keys.get(id).cloned()
}

/// A key as a decision sees it.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html>
fn describe(
    region: &Region,
    named: &KeyName,
    caller: AccountId,
    context: Option<&Pairs>,
    now: i64,
) -> Found {
    let home = &named.home;
    let resolved = match find(region, &named.name).filter(|key| !key.is_over(now)) {
        Some(key) => {
            let aliases = region.aliases_of(&key.id).map(ToString::to_string).collect();
            let kind = key.multi_region.as_ref().map(|own| match own.primary == home.region {
                true => "PRIMARY",
                false => "REPLICA",
            });
            let grants = region.grants_of(&key.id).map(|grant| grant.decided()).collect();
            // Constraints bind the operations that take an encryption context, on keys that do.
            let context =
                context.filter(|_| key.spec == Spec::SymmetricDefault).map(Pairs::pairs).cloned();
            Resolved::new(key.arn(home), home.account, Some(key.clone()))
                .grants(grants, context)
                .key_policy(key.policy.document().clone())
                .key("kms:KeySpec", key.spec.as_str())
                .key("kms:KeyUsage", key.usage.as_str())
                .key("kms:KeyOrigin", key.origin.as_str())
                .key("kms:MultiRegion", key.multi_region.is_some().to_string())
                .key_if("kms:MultiRegionKeyType", kind)
                .keys("kms:ResourceAliases", aliases)
                .tagged(&key.tags, None)
        }
        None => Resolved::new(named.arn(), home.account, None)
            .key_policy(Arc::new(of_account(home.account))),
    };
    let alias = match &named.name {
        Name::Alias(alias) => Some(alias.as_str()),
        Name::Key(_) => None,
    };
    resolved.key("kms:CallerAccount", caller.to_string()).key_if("kms:RequestAlias", alias)
}
