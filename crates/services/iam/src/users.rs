//! Users.

use crate::boundaries;
use crate::entity::{Entity, allow_list, resolve_at};
use crate::errors;
use crate::names::{self, folded};
use crate::records::{Credentials, Held, Record, UniqueId, User, shared_path, shared_tags};
use crate::state::{Account, used_key};
use crate::tags::{self, pairs};
use crate::{Iam, arn};
use ringfence_gateway::caller::Identity;
use ringfence_gateway::ids::{IdKind, unique_id};
use ringfence_gateway::{Answer, Call, Resolved, State, Tags};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use std::sync::Arc;

/// Whom a call means that may leave out the user's name.
pub(crate) enum Whom {
    /// A user.
    User(String),
    /// The account's root user.
    Root(AccountId),
}

/// The user that is named, or else the caller.
///
/// # Errors
/// `ValidationError` where none is named and the caller is a session.
pub(crate) fn named_or_caller<O: TypedOperation>(
    call: &Call<O>,
    named: Option<&str>,
) -> Result<Whom, ServiceError> {
    match (named, &call.caller().identity) {
        (Some(name), _) => Ok(Whom::User(name.to_owned())),
        (None, Identity::User { name, .. }) => Ok(Whom::User(name.to_string())),
        (None, Identity::Root { account }) => Ok(Whom::Root(*account)),
        (None, _) => Err(errors::must_name_user()),
    }
}

/// A user as lists show it: without tags and boundary.
pub(crate) fn summary(user: &User, id: AccountId) -> types::User {
    types::User {
        path: user.path.to_string(),
        user_name: user.name.to_string(),
        user_id: user.id.to_string(),
        arn: user.arn(id),
        create_date: Timestamp::from_seconds(user.created),
        // Nobody can sign in with a password yet.
        password_last_used: None,
        permissions_boundary: None,
        tags: None,
    }
}

/// The account's root user, as lists show it.
pub(crate) fn root_summary(account: &Account, id: AccountId) -> types::User {
    types::User {
        path: "/".into(),
        // AWS shows the account's alias; an account without one has its number.
        user_name: account.settings.alias.as_deref().map_or_else(|| id.to_string(), str::to_owned),
        user_id: id.to_string(),
        arn: id.root_arn(),
        create_date: Timestamp::from_seconds(account.root.as_ref().map_or(0, |root| root.created)),
        ..types::User::default()
    }
}

fn describe(user: &User, id: AccountId) -> types::User {
    types::User {
        permissions_boundary: user.permissions.boundary.as_deref().map(boundaries::shown),
        tags: tags::listed_if_any(&user.tags),
        ..summary(user, id)
    }
}

pub(crate) async fn create_user(
    iam: &Iam,
    call: Call<ops::CreateUser>,
) -> Result<Answer<types::CreateUserResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let given = input.tags.as_deref().unwrap_or_default();
    let path = input.path.as_deref().unwrap_or("/");
    let boundary = input.permissions_boundary.as_deref();
    let target = || {
        Resolved::new(arn::of(User::KIND, id, path, &input.user_name), id, ())
            .key_if("iam:PermissionsBoundary", boundary)
            .requesting_tags(pairs(given))
    };
    let permit = call.allow(target())?;
    if !given.is_empty() {
        call.allow_action("iam:TagUser", target())?;
    }
    let path = names::path(input.path.as_deref())?;
    let tags = tags::with(&Tags::new(), given, true, iam.quotas.tags)?;
    let user = Arc::new(User {
        name: input.user_name.as_str().into(),
        path: shared_path(path),
        id: iam.unique_id(IdKind::User)?,
        created: call.now().seconds,
        tags: shared_tags(tags),
        permissions: Held { boundary: boundary.map(Into::into), ..Held::default() }.into(),
        groups: Box::default(),
        credentials: Credentials::default(),
        renamed: false,
    });
    ledger
        .write(&permit, |account, batch| {
            create(iam, account, id, &user)?;
            batch.put(Record::User(user.clone()));
            Ok(())
        })
        .await?;
    // The tags come back in the order in which they were given.
    let shown =
        types::User { tags: input.tags.clone().filter(|t| !t.is_empty()), ..describe(&user, id) };
    Ok(permit.answer(types::CreateUserResponse { user: Some(shown) }))
}

fn create(iam: &Iam, account: &Account, id: AccountId, user: &User) -> Result<(), ServiceError> {
    if User::find(account, &user.name).is_some() {
        return Err(errors::already("User", &user.name));
    }
    if account.users.len() >= iam.quotas.users {
        return Err(errors::over_quota("UsersPerAccount", iam.quotas.users));
    }
    match &user.permissions.boundary {
        Some(arn) => boundaries::check(account, id, arn),
        None => Ok(()),
    }
}

pub(crate) async fn get_user(
    iam: &Iam,
    call: Call<ops::GetUser>,
) -> Result<Answer<types::GetUserResponse>, ServiceError> {
    match named_or_caller(&call, call.input.user_name.as_deref())? {
        Whom::User(name) => {
            let allowed = iam.allow::<User, _>(&call, &name)?;
            let user = describe(allowed.found()?, allowed.id);
            Ok(allowed.permit.answer(types::GetUserResponse { user }))
        }
        Whom::Root(id) => {
            let ledger = iam.ledger(id)?;
            let permit = call.allow(Resolved::new(id.root_arn(), id, ()))?;
            let user = root_summary(&ledger.view(&permit), id);
            Ok(permit.answer(types::GetUserResponse { user }))
        }
    }
}

pub(crate) async fn update_user(
    iam: &Iam,
    call: Call<ops::UpdateUser>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<User, _>(&call, &input.user_name)?;
    // A move asks for the right at both ends.
    // <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_users_rename.html>
    let (name, path) = (input.new_user_name.as_deref(), input.new_path.as_deref());
    let user = allowed.found()?;
    let (old, new) = (user.arn(allowed.id), {
        let (path, name) = (path.unwrap_or(&user.path), name.unwrap_or(&user.name));
        arn::of(User::KIND, allowed.id, path, name)
    });
    if new != old {
        call.allow(resolve_at::<ops::UpdateUser, User>(new, allowed.id, Some(user.clone())))?;
    }
    let path = path.map(|path| names::path(Some(path))).transpose()?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let now = allowed.now(account)?;
            let mut user = User::clone(now);
            if let Some(path) = path {
                user.path = shared_path(path);
            }
            if let Some(name) = name {
                let stays = folded(name) == folded(&user.name);
                if !stays && User::find(account, name).is_some() {
                    return Err(errors::already("User", name));
                }
                if !stays {
                    batch.delete(Account::key(&Record::User(now.clone())));
                }
                user.renamed |= *user.name != *name;
                user.name = name.into();
            }
            batch.put(Record::User(Arc::new(user)));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn delete_user(
    iam: &Iam,
    call: Call<ops::DeleteUser>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = iam.allow::<User, _>(&call, &call.input.user_name)?;
    allowed.found()?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let user = allowed.now(account)?;
            deletable(user)?;
            batch.delete(Account::key(&Record::User(user.clone())));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

fn deletable(user: &User) -> Result<(), ServiceError> {
    let must = if !user.permissions.attached.is_empty() {
        "detach all policies"
    } else if !user.permissions.inline.is_empty() {
        "delete policies"
    } else if !user.groups.is_empty() {
        "remove users from group"
    } else if !user.credentials.keys.is_empty() {
        "delete access keys"
    } else if user.credentials.login.is_some() {
        "delete login profile"
    } else if !user.credentials.mfa.is_empty() {
        "delete MFA device"
    } else if !user.credentials.certificates.is_empty() {
        "delete signing certificates"
    } else if !user.credentials.ssh_keys.is_empty() {
        "delete SSH public keys"
    } else if !user.credentials.service_credentials.is_empty() {
        "remove referenced objects"
    } else {
        return Ok(());
    };
    Err(errors::in_use(must))
}

pub(crate) async fn list_users(
    iam: &Iam,
    call: Call<ops::ListUsers>,
) -> Result<Answer<types::ListUsersResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let prefix = call.input.path_prefix.as_deref().unwrap_or("/");
    let permit = allow_list::<User, _>(&call, prefix)?;
    let pager = iam.pager(&call, &[prefix], call.input.marker.as_deref(), call.input.max_items)?;
    let account = ledger.view(&permit);
    let page = pager
        .cut(pager.of(&account.users).filter(|(_, user)| user.path.starts_with(prefix)))?
        .map(|user| summary(user, id));
    Ok(permit.answer(types::ListUsersResponse {
        is_truncated: page.truncated(),
        users: page.items,
        marker: page.marker,
    }))
}

/// Removes an access key's last use beside the key.
pub(crate) fn forget_use(
    account: &Account,
    id: &str,
    batch: &mut ringfence_gateway::Batch<Account>,
) {
    if account.used.contains_key(id) {
        batch.delete(used_key(id));
    }
}

impl Iam {
    /// Draws a unique id.
    ///
    /// # Errors
    /// `ServiceFailure` when the system has no random bytes.
    pub(crate) fn unique_id(&self, kind: IdKind) -> Result<UniqueId, ServiceError> {
        let id = unique_id(kind, &*self.random).map_err(errors::failed)?;
        UniqueId::new(&id).ok_or_else(|| errors::failed("a unique id of odd length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{Inline, Proofs};
    use crate::testing::{ID, allowing, iam_over, key, login, proofs, store, unique, user};
    use crate::{Quotas, mfa::Enabled};

    #[test]
    fn a_user_is_deleted_when_nothing_hangs_on_it() {
        let mut ann = user("ann", "/", "AIDA1");
        assert!(deletable(&ann).is_ok());
        ann.credentials.login = Some(Arc::new(login()));
        assert!(deletable(&ann).unwrap_err().message.contains("delete login profile first"));
        ann.credentials.login = None;
        ann.credentials.mfa = [Enabled { serial: "GAHT12345678".into(), at: 1 }].into();
        assert!(deletable(&ann).unwrap_err().message.contains("must delete MFA device first"));
        for (must, proofs) in [
            (
                "delete SSH public keys",
                Proofs { ssh_keys: proofs().ssh_keys.clone(), ..Proofs::default() },
            ),
            (
                "delete signing certificates",
                Proofs { certificates: proofs().certificates.clone(), ..Proofs::default() },
            ),
            (
                "remove referenced objects",
                Proofs {
                    service_credentials: proofs().service_credentials.clone(),
                    ..Proofs::default()
                },
            ),
        ] {
            let holder = User { credentials: proofs.into(), ..ann.clone() };
            let refused = deletable(&holder).unwrap_err();
            assert_eq!(refused.message, format!("Cannot delete entity, must {must} first."));
        }
        ann.credentials.keys = [key(1)].into();
        assert!(deletable(&ann).unwrap_err().message.contains("delete access keys first"));
        ann.groups = [unique("AGPA1")].into();
        assert!(deletable(&ann).unwrap_err().message.contains("remove users from group first"));
        ann.permissions.inline = [Inline { name: "p".into(), policy: allowing("s3:*") }].into();
        assert!(deletable(&ann).unwrap_err().message.contains("must delete policies first"));
        ann.permissions.attached = ["arn:aws:iam::aws:policy/X".into()].into();
        let refused = deletable(&ann).unwrap_err();
        assert_eq!((&*refused.code, refused.status), ("DeleteConflict", 409));
        assert!(refused.message.contains("detach all policies first"));
    }

    #[test]
    fn a_name_is_given_once_and_a_quota_is_kept() {
        let iam = iam_over(&store());
        let mut account = Account::default();
        account.put(User::record(Arc::new(user("Ann", "/", "AIDA1"))));
        let refused = create(&iam, &account, ID, &user("aNN", "/", "AIDA2")).unwrap_err();
        assert_eq!(refused.code, "EntityAlreadyExists");
        assert_eq!(refused.message, "User with name aNN already exists.");
        assert!(create(&iam, &account, ID, &user("eve", "/", "AIDA2")).is_ok());
        for number in account.users.len()..Quotas::default().users {
            account.put(User::record(Arc::new(user(&format!("u{number}"), "/", "AIDA3"))));
        }
        let refused = create(&iam, &account, ID, &user("eve", "/", "AIDA2")).unwrap_err();
        assert_eq!(refused.message, "Cannot exceed quota for UsersPerAccount: 5000");
    }

    #[test]
    fn a_boundary_must_be_a_policy_that_is_there() {
        let iam = iam_over(&store());
        let mut bound = user("eve", "/", "AIDA2");
        for (arn, code) in [
            ("arn:aws:iam::123456789012:policy/none", "NoSuchEntity"),
            ("arn:aws:iam::999999999999:policy/other", "NoSuchEntity"),
            ("arn:aws:iam::123456789012:user/eve", "InvalidInput"),
        ] {
            bound.permissions.boundary = Some(arn.into());
            let refused = create(&iam, &Account::default(), ID, &bound).unwrap_err();
            assert_eq!(refused.code, code, "{arn}");
        }
    }
}
