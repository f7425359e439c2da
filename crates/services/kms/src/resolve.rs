//! From what a request names to a key, with all that a decision on it looks at.

use crate::arn::{KeyName, Name, key_arn};
use crate::context::Pairs;
use crate::errors;
use crate::policy::of_account;
use crate::rates::Kind;
use crate::records::{Key, Record};
use crate::state::Region;
use crate::{Kms, home};
use ringfence_gateway::{Batch, Call, CallFacts, Ledger, Permit, Regional, Resolved};
use ringfence_keyring::material::Spec;
use ringfence_model_kms::types::{KeyState, KeyUsageType, OriginType};
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, TypedOperation};
use smol_str::SmolStr;
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
    /// When the call came, in seconds since 1970.
    pub at: i64,
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

    /// The key's state: of one in a custom key store, its store's too.
    pub fn state_of(&self, key: &Key) -> KeyState {
        match &key.in_store {
            None => key.state(self.at),
            Some(own) => own.state(key.state(self.at), &self.view()),
        }
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
            KeyState::Unavailable if key.origin == OriginType::ExternalKeyStore => {
                Err(errors::no_proxy())
            }
            state => Err(errors::in_state(&arn(), &state)),
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

    /// As [`Allowed::not_dry`], before a key store is troubled.
    ///
    /// # Errors
    /// `DryRunOperationException`.
    pub fn not_dry_in_store(&self, dry_run: Option<bool>) -> Result<(), ServiceError> {
        match self.found()?.in_store {
            Some(_) => self.not_dry(dry_run),
            None => Ok(()),
        }
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

impl Key {
    /// A key that does not wait for its deletion.
    ///
    /// # Errors
    /// `KMSInvalidStateException`.
    pub fn living(&self, home: &Regional) -> Result<(), ServiceError> {
        match self.deletion {
            None => Ok(()),
            Some(_) => Err(errors::in_state(&self.arn(home), &self.state(0))),
        }
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
        context: &Pairs<'_>,
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
        context: &Pairs<'_>,
        keys: impl FnOnce(Found) -> Found,
    ) -> Result<Allowed, ServiceError> {
        self.ask(call, action, text, by, Some(context), |found| keys(context.told(found)))
    }

    /// As [`Kms::allow_action_in`], of what was named already.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub(crate) fn allow_named_in<O: TypedOperation>(
        &self,
        call: &Call<O>,
        action: &'static str,
        named: KeyName,
        context: &Pairs<'_>,
        keys: impl FnOnce(Found) -> Found,
    ) -> Result<Allowed, ServiceError> {
        let keys = |found| keys(context.told(found));
        self.ask_for(call, action, "", named, By::IdOrAlias, Some(context), keys)
    }

    /// Whether two names that a request has are those of one key, for a condition alone.
    pub(crate) fn same_key<O: TypedOperation>(
        &self,
        call: &Call<O>,
        one: &str,
        other: &str,
    ) -> Result<bool, ServiceError> {
        let arn = |text| {
            let named = KeyName::parse(text, &home(call)?)?;
            let ledger = self.ledgers.get(&named.home);
            let key = ledger.and_then(|ledger| find(&ledger.for_deciding(), &named.name));
            Ok::<_, ServiceError>(key.map_or_else(|| named.arn(), |key| key.arn(&named.home)))
        };
        Ok(arn(one)? == arn(other)?)
    }

    fn ask<O: TypedOperation>(
        &self,
        call: &Call<O>,
        action: &'static str,
        text: &str,
        by: By,
        context: Option<&Pairs<'_>>,
        keys: impl FnOnce(Found) -> Found,
    ) -> Result<Allowed, ServiceError> {
        let named = KeyName::parse(text, &home(call)?)?;
        self.ask_for(call, action, text, named, by, context, keys)
    }

    /// Asks for the operation's action on a key elsewhere.
    ///
    /// # Errors
    /// As [`Kms::allow`].
    pub(crate) fn allow_at<O: TypedOperation>(
        &self,
        call: &Call<O>,
        home: &Regional,
        id: &str,
        keys: impl FnOnce(Found) -> Found,
    ) -> Result<Allowed, ServiceError> {
        let named = KeyName { home: home.clone(), name: Name::Key(id.to_owned()) };
        self.ask_for(call, main_action::<O>()?, id, named, By::Id, None, keys)
    }

    #[allow(clippy::too_many_arguments)]
    fn ask_for<O: TypedOperation>(
        &self,
        call: &Call<O>,
        action: &'static str,
        text: &str,
        named: KeyName,
        by: By,
        context: Option<&Pairs<'_>>,
        keys: impl FnOnce(Found) -> Found,
    ) -> Result<Allowed, ServiceError> {
        if by == By::Id && matches!(named.name, Name::Alias(_)) {
            return Err(errors::invalid_key_id(text));
        }
        let home = named.home.clone();
        let ledger = self.ledgers.get(&home);
        let caller = call.account()?;
        let now = call.now().seconds;
        let facts = call.facts();
        let mut spec = None;
        let of = |region: &Region| {
            let key = find(region, &named.name);
            spec = key.as_ref().map(|key| key.spec);
            keys(describe(region, &named, key, (caller, action), context, facts))
        };
        let resolved = match &ledger {
            Some(ledger) => ledger.resolve(of),
            None => of(&Region::default()),
        };
        self.count_by_key(call, action, spec)?;
        let permit = call.allow_action(action, resolved)?;
        Ok(Allowed { home, ledger, permit, at: now, named })
    }
}

impl Kms {
    /// Counts a cryptographic operation by the kind of its key. Where there is none, it is counted as
    /// the most frequent kind.
    fn count_by_key<O: TypedOperation>(
        &self,
        call: &Call<O>,
        action: &str,
        spec: Option<Spec>,
    ) -> Result<(), ServiceError> {
        // Of an operation that asks twice, the first counts.
        if !is_by_key(O::OPERATION.name) || main_action::<O>()? != action {
            return Ok(());
        }
        self.counted.count(call.facts(), Kind::of_key(spec.unwrap_or(Spec::SymmetricDefault)))
    }
}

/// The operations whose request quota hangs on their key.
fn is_by_key(operation: &str) -> bool {
    matches!(
        operation,
        "Encrypt"
            | "Decrypt"
            | "ReEncrypt"
            | "GenerateDataKey"
            | "GenerateDataKeyWithoutPlaintext"
            | "GenerateMac"
            | "VerifyMac"
            | "Sign"
            | "Verify"
            | "DeriveSharedSecret"
            | "Encapsulate"
            | "Decapsulate"
    )
}

/// The action of an operation.
fn main_action<O: TypedOperation>() -> Result<&'static str, ServiceError> {
    let action = O::OPERATION.authorization.actions.first();
    action.copied().ok_or_else(|| errors::failed("an operation without an action"))
}

/// The key of an id or alias.
pub(crate) fn find(region: &Region, name: &Name) -> Option<Arc<Key>> {
    let id = match name {
        Name::Key(id) => id.as_str(),
        Name::Alias(alias) => region.aliases.get(alias.as_str())?.target.as_deref()?,
    };
    region.keys.get(id).cloned()
}

/// The condition keys of what a key is, by their present names and by those that are deprecated.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html>
pub(crate) fn kind<T>(
    resolved: Resolved<T>,
    spec: Spec,
    usage: &KeyUsageType,
    origin: &OriginType,
    multi_region: Option<&str>,
) -> Resolved<T> {
    resolved
        .key("kms:KeySpec", spec.as_str())
        .key("kms:CustomerMasterKeySpec", spec.as_str())
        .key("kms:KeyUsage", usage.as_str())
        .key("kms:CustomerMasterKeyUsage", usage.as_str())
        .key("kms:KeyOrigin", origin.as_str())
        .key("kms:MultiRegion", if multi_region.is_some() { "true" } else { "false" })
        .key_if("kms:MultiRegionKeyType", multi_region)
}

/// The condition keys of who asks: the caller's account, and the service that calls for it.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service>
pub(crate) fn asking<T>(
    resolved: Resolved<T>,
    account: AccountId,
    facts: &CallFacts,
) -> Resolved<T> {
    let via = facts.via.map(|via| format!("{via}.{}.amazonaws.com", facts.region));
    resolved.key("kms:CallerAccount", &*account.digits()).key_if("kms:ViaService", via)
}

/// Whole days since a key was last used, or made where it never was, for what puts it out of use.
const UNUSED: &str = "kms:TrailingDaysWithoutKeyUsage";

const DAY: i64 = 24 * 60 * 60;

/// A key, where it is there, as every decision on it sees it.
pub(crate) fn describe(
    region: &Region,
    named: &KeyName,
    key: Option<Arc<Key>>,
    (caller, action): (AccountId, &str),
    context: Option<&Pairs<'_>>,
    facts: &CallFacts,
) -> Found {
    let home = &named.home;
    let (now, directory) = (facts.now.seconds, &*facts.shared.directory);
    let resolved = match key.filter(|key| !key.is_over(now)) {
        Some(key) => {
            let aliases = region.aliases_of(&key.id).map(|name| SmolStr::from(name.clone()));
            // There may be thousands, of which few are for who asks.
            let grants = region.grants_for(&key.id, caller).filter(|grant| grant.lets(action));
            let grants = grants.map(|grant| grant.decided()).collect();
            // Constraints bind the operations that take an encryption context, on keys that do.
            let context = context.filter(|_| key.spec == Spec::SymmetricDefault).map(Pairs::pairs);
            let resolved = Resolved::new(key.arn(home), home.account, Some(key.clone()))
                .grants(grants, context)
                .key_policy(key.policy.document(directory))
                .keys("kms:ResourceAliases", aliases)
                .tagged(&key.tags, None);
            let asks_for = facts.operation.authorization.condition_keys;
            let unused = asks_for.contains(&UNUSED).then(|| region.last_use_of(&key));
            let unused = unused.map(|used| ((now - used).max(0) / DAY).to_string());
            kind(resolved, key.spec, &key.usage, &key.origin, key.in_regions(&home.region))
                .key_if(UNUSED, unused)
        }
        None => Resolved::new(named.arn(), home.account, None)
            .key_policy(Arc::new(of_account(home.account))),
    };
    let resolved = if caller == home.account { resolved } else { resolved.named(named.arn()) };
    let alias = match &named.name {
        Name::Alias(alias) => Some(alias.as_str()),
        Name::Key(_) => None,
    };
    asking(resolved, caller, facts).key_if("kms:RequestAlias", alias)
}
