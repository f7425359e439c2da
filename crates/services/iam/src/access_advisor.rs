//! Access Advisor: which services, and which of their actions, a user, group, role or managed policy
//! may use, and when each was last tried.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_last-accessed.html>
//!
//! ```text
//!   Generate… ──► Subject: documents ─► granted: services, actions ─┐
//!                 of one moment                                     ├─► Report ──► Get…, …WithEntities
//!                 entities ──────────► their events (Trail) ────────┘
//! ```
//!
//! - What may be used follows from **permissions policies** alone (`granted`): not from boundaries,
//!   resource policies, session policies or an organization's.
//! - When it was tried is what was **recorded** in the last 400 days, refused attempts among it. An
//!   event is a principal's by its unique id: who is made anew under an old name has tried nothing.
//! - A **job** freezes both at the moment of `Generate…`. It is its caller's alone, and lies in
//!   memory (`jobs`): after a restart there is none of that id.

pub(crate) mod details;
mod granted;
pub(crate) mod grants;
pub(crate) mod jobs;
pub(crate) mod organizations;
mod report;
mod tracked;

use crate::Iam;
use crate::aws_managed;
use crate::documents::IdentityPolicy;
use crate::entity::{Allowed, Entity, Holder};
use crate::errors;
use crate::managed_policies::{self, Readable};
use crate::records::{Group, Policy, Role, User};
use crate::state::{Account, key_of};
use report::Principal;
use ringfence_gateway::{Answer, Call};
use ringfence_model_iam::types::PolicyOwnerEntityType;
use ringfence_policy::{AccountId, Arn};
use ringfence_wire::{ServiceError, TypedOperation};
use std::sync::Arc;

/// What a report is about.
pub(crate) enum Subject {
    User(Allowed<User>),
    Group(Allowed<Group>),
    Role(Allowed<Role>),
    Policy(Readable),
}

/// A policy that a user, group or role holds.
pub(crate) struct HeldPolicy<'a> {
    pub policy: &'a IdentityPolicy,
    pub source: Source<'a>,
}

/// How a policy is held.
pub(crate) enum Source<'a> {
    Inline { name: &'a str, owner: PolicyOwnerEntityType, owner_name: &'a str },
    Managed { arn: &'a str },
}

impl Subject {
    /// Resolves an ARN and asks for the operation's action on what it names. A path that is not the
    /// thing's own is passed over, as AWS does; a policy is found by its very ARN.
    ///
    /// # Errors
    /// `ValidationError`, `InvalidInput` for another ARN, `AccessDenied`, `NoSuchEntity`.
    pub fn allow<O: TypedOperation>(
        iam: &Iam,
        call: &Call<O>,
        text: &str,
        id: AccountId,
        without_kind: impl FnOnce() -> ServiceError,
    ) -> Result<Self, ServiceError> {
        let arn = Arn::parse(text).map_err(|_| errors::no_policy_arn(text))?;
        if arn.partition != "aws" {
            return Err(errors::validation("Invalid ARN partition"));
        }
        if arn.service != "iam" {
            return Err(errors::validation("Invalid service in ARN"));
        }
        let (kind, path) = arn.resource.split_once('/').ok_or_else(without_kind)?;
        let of_aws = kind == "policy" && arn.account == "aws";
        if !of_aws && arn.account_id() != Some(id) {
            return Err(errors::outside(&call.caller().identity.arn(), text));
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let subject = match kind {
            "user" => Self::User(iam.allow(call, name)?),
            "group" => Self::Group(iam.allow(call, name)?),
            "role" => Self::Role(iam.allow(call, name)?),
            "policy" => Self::Policy(managed_policies::allow_any(iam, call, text)?),
            _ => return Err(errors::unsupported_arn(text)),
        };
        let found = match &subject {
            Self::User(allowed) => allowed.permit.is_some(),
            Self::Group(allowed) => allowed.permit.is_some(),
            Self::Role(allowed) => allowed.permit.is_some(),
            Self::Policy(policy) => policy.found().is_ok(),
        };
        if found { Ok(subject) } else { Err(errors::no_such_arn(text)) }
    }

    /// The account's state.
    pub fn view(&self) -> Account {
        match self {
            Self::User(allowed) => allowed.view(),
            Self::Group(allowed) => allowed.view(),
            Self::Role(allowed) => allowed.view(),
            Self::Policy(policy) => policy.view(),
        }
    }

    /// Answers the call.
    pub fn answer<T>(&self, output: T) -> Answer<T> {
        match self {
            Self::User(allowed) => allowed.permit.answer(output),
            Self::Group(allowed) => allowed.permit.answer(output),
            Self::Role(allowed) => allowed.permit.answer(output),
            Self::Policy(policy) => policy.answer(output),
        }
    }

    /// The policies whose permissions it has: a user's own and those of its groups.
    fn policies<'a>(&self, account: &'a Account) -> Vec<HeldPolicy<'a>> {
        let mut all = Vec::new();
        match self {
            Self::User(allowed) => {
                let user = allowed.permit.as_ref().and_then(|one| User::find(account, &one.name));
                if let Some(user) = user {
                    gather(account, &**user, PolicyOwnerEntityType::User, &mut all);
                    for group in user.groups.iter().filter_map(|group| account.group(group)) {
                        gather(account, &**group, PolicyOwnerEntityType::Group, &mut all);
                    }
                }
            }
            Self::Group(allowed) => {
                let group = allowed.permit.as_ref().and_then(|one| Group::find(account, &one.name));
                if let Some(group) = group {
                    gather(account, &**group, PolicyOwnerEntityType::Group, &mut all);
                }
            }
            Self::Role(allowed) => {
                let role = allowed.permit.as_ref().and_then(|one| Role::find(account, &one.name));
                if let Some(role) = role {
                    gather(account, &**role, PolicyOwnerEntityType::Role, &mut all);
                }
            }
            Self::Policy(Readable::Own(allowed)) => {
                let own = allowed.permit.as_ref().and_then(|one| Policy::find(account, &one.name));
                let policy = own.and_then(|policy| policy.default_version());
                let policy = policy.map(|version| &version.policy);
                all.extend(
                    policy.map(|policy| HeldPolicy { policy, source: Source::Managed { arn: "" } }),
                );
            }
            Self::Policy(Readable::Aws { policy, .. }) => {
                all.extend(policy.map(|policy| HeldPolicy {
                    policy: policy.policy(),
                    source: Source::Managed { arn: policy.arn },
                }));
            }
        }
        all
    }

    /// Those who can use its permissions: itself, a group's members, or whom a policy is attached
    /// to, by way of a group too. Users come by name, then roles.
    fn principals(&self, account: &Account, id: AccountId) -> Vec<Principal> {
        let user = |name: &Arc<str>| account.users.get(name).map(|user| Principal::user(user, id));
        let arn = match self {
            Self::User(allowed) => {
                return allowed.permit.iter().map(|user| Principal::user(user, id)).collect();
            }
            Self::Role(allowed) => {
                return allowed.permit.iter().map(|role| Principal::role(role, id)).collect();
            }
            Self::Group(allowed) => {
                let members = allowed.permit.as_ref().and_then(|group| account.members(&group.id));
                return members.into_iter().flatten().filter_map(user).collect();
            }
            Self::Policy(Readable::Own(allowed)) => {
                allowed.permit.as_ref().map(|policy| policy.arn(id))
            }
            Self::Policy(Readable::Aws { policy, .. }) => policy.map(|one| one.arn.to_owned()),
        };
        let Some(uses) = arn.and_then(|arn| account.uses(&arn)) else { return Vec::new() };
        let groups = uses.groups.iter().filter_map(|name| account.groups.get(name));
        let members = groups.filter_map(|group| account.members(&group.id)).flatten();
        let mut users: Vec<&Arc<str>> = uses.users.iter().chain(members).collect();
        users.sort_unstable();
        users.dedup();
        let roles = uses.roles.iter().filter_map(|name| account.roles.get(name));
        let roles = roles.map(|role| Principal::role(role, id));
        users.into_iter().filter_map(user).chain(roles).collect()
    }
}

impl Principal {
    fn user(user: &User, id: AccountId) -> Self {
        Self::of(user, PolicyOwnerEntityType::User, id)
    }

    fn role(role: &Role, id: AccountId) -> Self {
        Self::of(role, PolicyOwnerEntityType::Role, id)
    }

    fn of<E: Entity>(entity: &E, kind: PolicyOwnerEntityType, id: AccountId) -> Self {
        Self {
            arn: entity.arn(id).into(),
            name: entity.name().clone(),
            kind,
            id: entity.id().into(),
            path: entity.path().into(),
        }
    }

    /// It as it is now; `None` where it is there no more.
    fn now(&self, account: &Account, id: AccountId) -> Option<Self> {
        if self.kind == PolicyOwnerEntityType::Role {
            let role =
                account.roles.get(&key_of(&self.name)).filter(|role| *role.id == *self.id)?;
            return Some(Self::role(role, id));
        }
        let named = account.users.get(&key_of(&self.name)).filter(|user| *user.id == *self.id);
        named.or_else(|| account.renamed(&self.id)).map(|user| Self::user(user, id))
    }
}

fn gather<'a, H: Holder>(
    account: &'a Account,
    holder: &'a H,
    owner: PolicyOwnerEntityType,
    all: &mut Vec<HeldPolicy<'a>>,
) {
    let permissions = holder.permissions();
    all.extend(permissions.inline.iter().map(|one| HeldPolicy {
        policy: &one.policy,
        source: Source::Inline { name: &one.name, owner: owner.clone(), owner_name: holder.name() },
    }));
    all.extend(permissions.attached.iter().filter_map(|arn| {
        let policy = match aws_managed::find(arn) {
            Some(policy) => policy.policy(),
            None => account.managed_policy(arn)?,
        };
        Some(HeldPolicy { policy, source: Source::Managed { arn } })
    }));
}
