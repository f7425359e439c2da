//! What users, groups, roles, managed policies and instance profiles have in common, and the way
//! from a name in a request to the thing itself: by way of the caller's right to it.

use crate::Iam;
use crate::arn;
use crate::errors;
use crate::names::folded;
use crate::quotas::Quotas;
use crate::records::{Permissions, Record};
use crate::state::{Account, Names};
use ringfence_gateway::{Call, Ledger, Permit, Resolved, Tags};
use ringfence_model_iam::types;
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, TypedOperation};
use std::sync::Arc;

/// A thing with a name, a path and an ARN.
pub(crate) trait Entity: Clone + Send + Sync + 'static {
    /// Its kind in ARNs: `user`.
    const KIND: &'static str;

    /// All of an account's, by folded name.
    fn all(account: &Account) -> &Names<Self>;
    /// Its record.
    fn record(this: Arc<Self>) -> Record;
    /// Its name.
    fn name(&self) -> &Arc<str>;
    /// Its path.
    fn path(&self) -> &str;
    /// Its unique id.
    fn id(&self) -> &str;
    /// Its tags, where its kind has tags.
    fn tags(&self) -> Option<&Arc<Tags>>;
    /// Its permissions boundary.
    fn boundary(&self) -> Option<&Arc<str>> {
        None
    }
    /// The refusal where there is none of this name.
    fn missing(name: &str) -> ServiceError {
        errors::no_such(Self::KIND, name)
    }
    /// Whether the account may change it.
    fn modifiable(&self) -> Result<(), ServiceError> {
        Ok(())
    }

    /// Its ARN.
    fn arn(&self, account: AccountId) -> String {
        arn::of(Self::KIND, account, self.path(), self.name())
    }

    /// Whether this is the path and spelling of its name.
    fn is_at(&self, path: &str, name: &str) -> bool {
        self.path() == path && **self.name() == *name
    }

    /// The one of this name.
    fn find<'a>(account: &'a Account, name: &str) -> Option<&'a Arc<Self>> {
        Self::all(account).get(&*folded(name))
    }

    /// The one of this name.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    fn get<'a>(account: &'a Account, name: &str) -> Result<&'a Arc<Self>, ServiceError> {
        Self::find(account, name).ok_or_else(|| Self::missing(name))
    }
}

/// A thing that holds policies: a user, a group or a role.
pub(crate) trait Holder: Entity {
    /// The quota that `LimitExceeded` names for attached policies.
    const ATTACHED_QUOTA: &'static str;
    /// Its policies.
    fn permissions(&self) -> &Permissions;
    /// Its policies.
    fn permissions_mut(&mut self) -> &mut Permissions;
    /// Characters of its inline policies together.
    fn inline_quota(quotas: &Quotas) -> usize;
}

/// A thing that has tags.
pub(crate) trait Tagged: Entity {
    /// Whether its tag keys are compared without regard to case.
    const FOLDED: bool;
    /// Its tags.
    fn tags_mut(&mut self) -> &mut Arc<Tags>;
}

/// Whether the operation's row lists a condition key.
fn takes<O: TypedOperation>(key: &str) -> bool {
    O::OPERATION.authorization.condition_keys.contains(&key)
}

/// Resolves a thing by name: its ARN as it stands, or the one that the name would have at `/`; its
/// tags and its boundary under the condition keys that the operation takes.
pub(crate) fn resolve<O: TypedOperation, E: Entity>(
    account: &Account,
    id: AccountId,
    name: &str,
) -> Resolved<Option<Arc<E>>> {
    let found = E::find(account, name).cloned();
    let arn = match &found {
        Some(entity) => entity.arn(id),
        None => arn::of(E::KIND, id, "/", name),
    };
    resolve_at::<O, E>(arn, id, found)
}

/// As [`resolve`], where the ARN is known.
pub(crate) fn resolve_at<O: TypedOperation, E: Entity>(
    arn: String,
    id: AccountId,
    found: Option<Arc<E>>,
) -> Resolved<Option<Arc<E>>> {
    let tags = found.as_ref().and_then(|entity| entity.tags()).cloned();
    let boundary = found
        .as_ref()
        .and_then(|entity| entity.boundary())
        .filter(|_| takes::<O>("iam:PermissionsBoundary"))
        .cloned();
    let resolved =
        Resolved::new(arn, id, found).key_if("iam:PermissionsBoundary", boundary.as_deref());
    match tags {
        Some(tags) => {
            let own_prefix = takes::<O>("iam:ResourceTag/${TagKey}");
            resolved.tagged(&tags, own_prefix.then_some("iam"))
        }
        None => resolved,
    }
}

/// Asks for the right to list things under a path prefix. The resource is the prefix itself, as in
/// AWS's own denials: `arn:aws:iam::123456789012:user/`.
///
/// # Errors
/// `AccessDenied`.
pub(crate) fn allow_list<E: Entity, O: TypedOperation>(
    call: &Call<O>,
    prefix: &str,
) -> Result<Permit<()>, ServiceError> {
    let id = call.account()?;
    call.allow(Resolved::new(arn::of(E::KIND, id, prefix, ""), id, ()))
}

/// Something that the caller may act on, by name.
pub(crate) struct Allowed<E> {
    /// The account's state.
    pub ledger: Arc<Ledger<Account>>,
    /// The account.
    pub id: AccountId,
    /// The permit, with what was found.
    pub permit: Permit<Option<Arc<E>>>,
    /// Its name.
    pub name: String,
    /// How the request names it, for refusals: its name, or a policy's ARN.
    pub shown: String,
}

impl Iam {
    /// Resolves a thing by name in the caller's account and asks for the operation's action on it.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(crate) fn allow<E: Entity, O: TypedOperation>(
        &self,
        call: &Call<O>,
        name: &str,
    ) -> Result<Allowed<E>, ServiceError> {
        self.allow_with(call, name, |resolved| resolved)
    }

    /// As [`Iam::allow`], with more condition keys.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(crate) fn allow_with<E: Entity, O: TypedOperation>(
        &self,
        call: &Call<O>,
        name: &str,
        keys: impl FnOnce(Resolved<Option<Arc<E>>>) -> Resolved<Option<Arc<E>>>,
    ) -> Result<Allowed<E>, ServiceError> {
        let id = call.account()?;
        let ledger = self.ledger(id)?;
        let resolved = ledger.resolve(|account| keys(resolve::<O, E>(account, id, name)));
        let permit = call.allow(resolved)?;
        Ok(Allowed { ledger, id, permit, name: name.to_owned(), shown: name.to_owned() })
    }
}

impl<E: Entity> Allowed<E> {
    /// What was found.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub fn found(&self) -> Result<&Arc<E>, ServiceError> {
        self.permit.as_ref().ok_or_else(|| E::missing(&self.shown))
    }

    /// The account's state.
    pub fn view(&self) -> Account {
        self.ledger.view(&self.permit)
    }

    /// The thing as it is now in a write, provided that it is the one the caller was allowed.
    ///
    /// # Errors
    /// `NoSuchEntity`; `ConcurrentModification` when it was replaced or moved since.
    pub fn now<'a>(&self, account: &'a Account) -> Result<&'a Arc<E>, ServiceError> {
        let allowed = self.found()?;
        let now = E::find(account, &self.name).ok_or_else(|| E::missing(&self.shown))?;
        if now.id() != allowed.id() || !now.is_at(allowed.path(), allowed.name()) {
            return Err(types::ConcurrentModificationException::error(
                "The request was rejected because multiple requests to change this object were \
                 submitted simultaneously. Wait a few minutes and submit your request again.",
            ));
        }
        Ok(now)
    }

    /// Changes it; `change` says whether it did.
    ///
    /// # Errors
    /// `NoSuchEntity`, `UnmodifiableEntity`, and those of `change`.
    pub async fn change(
        &self,
        mut change: impl FnMut(&Account, &mut E) -> Result<bool, ServiceError>,
    ) -> Result<(), ServiceError> {
        self.change_any(|account, entity| {
            entity.modifiable()?;
            change(account, entity)
        })
        .await
    }

    /// As [`Allowed::change`], for what may be changed of service-linked roles too.
    ///
    /// # Errors
    /// `NoSuchEntity`, and those of `change`.
    pub async fn change_any(
        &self,
        mut change: impl FnMut(&Account, &mut E) -> Result<bool, ServiceError>,
    ) -> Result<(), ServiceError> {
        self.ledger
            .write(&self.permit, |account, batch| {
                let mut changed = E::clone(self.now(account)?);
                if change(account, &mut changed)? {
                    batch.put(E::record(Arc::new(changed)));
                }
                Ok(())
            })
            .await
    }
}
