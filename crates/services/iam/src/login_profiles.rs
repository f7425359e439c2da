//! Login profiles: the console passwords of users, set for them or changed by themselves.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_passwords_admin-change-user.html>
//!
//! Every new password is checked against the account's policy twice: before it is hashed, so that
//! a bad one costs nothing, and in the write, against the policy and the passwords of that moment.

use crate::Iam;
use crate::entity::{Allowed, Entity};
use crate::errors;
use crate::passwords::{Hashed, LoginProfile, check_reuse, check_text};
use crate::records::User;
use crate::root_login;
use crate::state::Account;
use crate::users::{Whom, named_or_caller};
use ringfence_gateway::caller::Identity;
use ringfence_gateway::{Answer, Call};
use ringfence_keyring::SecretString;
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use std::sync::Arc;

/// What a password is worth to somebody who signs in with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordCheck {
    /// It is not this user's password, or there is no such user, or it has none.
    Wrong,
    /// It is this user's: it may sign in.
    Right(Identity),
    /// It is this user's, who must first set another: an administrator asks for it, or this one
    /// has expired.
    MustChange(Identity),
    /// It was this user's and has expired for good: an administrator must set another.
    Locked,
}

impl Iam {
    /// Checks a console password. Whoever has none takes as long as whoever has another.
    ///
    /// # Errors
    /// `ServiceFailure` when the system has no random bytes or threads.
    pub async fn check_password(
        &self,
        id: AccountId,
        user: &str,
        password: &SecretString,
    ) -> Result<PasswordCheck, ServiceError> {
        let look = || {
            let ledger = self.ledgers.get(id)?;
            let account = ledger.for_deciding();
            let user = User::find(&account, user)?.clone();
            let policy = account.settings.password_policy.clone();
            Some((user.credentials.login.clone()?, user, policy))
        };
        let found = look();
        let kept = found.as_ref().map(|(profile, ..)| &profile.password);
        let hashed = self.hashing.compare(password, kept).await?;
        let Some((profile, user, policy)) = found else { return Ok(PasswordCheck::Wrong) };
        if !hashed.is(&profile.password)? {
            return Ok(PasswordCheck::Wrong);
        }
        let identity = Identity::User {
            account: id,
            name: (&*user.name).into(),
            path: (&*user.path).into(),
            id: (&*user.id).into(),
        };
        let now = self.clock.now().seconds;
        let expired = policy.as_ref().filter(|policy| policy.is_expired(profile.changed, now));
        Ok(match expired {
            Some(policy) if policy.hard_expiry == Some(true) => PasswordCheck::Locked,
            Some(_) => PasswordCheck::MustChange(identity),
            None if profile.reset_required => PasswordCheck::MustChange(identity),
            None => PasswordCheck::Right(identity),
        })
    }
}

fn describe(user: &User, profile: &LoginProfile) -> types::LoginProfile {
    types::LoginProfile {
        user_name: user.name.to_string(),
        create_date: Timestamp::from_seconds(profile.created),
        password_reset_required: Some(profile.reset_required),
    }
}

/// Asks for the right to the login profile of the user that is named, or else of the caller. Root
/// has to name one: it has a login profile only in a session of `AssumeRoot`.
fn allow<O: TypedOperation>(
    iam: &Iam,
    call: &Call<O>,
    named: Option<&str>,
) -> Result<Allowed<User>, ServiceError> {
    match named_or_caller(call, named)? {
        Whom::User(name) => iam.allow(call, &name),
        Whom::Root(_) => Err(errors::must_name_user()),
    }
}

fn profile_of(user: &User) -> Result<&Arc<LoginProfile>, ServiceError> {
    user.credentials.login.as_ref().ok_or_else(|| errors::no_login_profile(&user.name))
}

/// Gives a user a new password, provided that the account's policy takes it.
fn renew(
    account: &Account,
    profile: &mut LoginProfile,
    text: &SecretString,
    hashed: &Hashed,
    now: i64,
) -> Result<(), ServiceError> {
    check_text(account, text)?;
    check_reuse(account.settings.password_policy.as_ref(), profile, hashed)?;
    profile.set(hashed, now);
    Ok(())
}

pub(crate) async fn create_login_profile(
    iam: &Iam,
    call: Call<ops::CreateLoginProfile>,
) -> Result<Answer<types::CreateLoginProfileResponse>, ServiceError> {
    if root_login::is_meant(&call, call.input.user_name.as_deref()) {
        return root_login::create(iam, call).await;
    }
    let input = &call.input;
    let allowed = allow(iam, &call, input.user_name.as_deref())?;
    let user = allowed.found()?;
    let Some(password) = &input.password else { return Err(errors::password_missing()) };
    let password = SecretString::new(password.clone());
    if user.credentials.login.is_some() {
        return Err(errors::login_profile_exists(&user.name));
    }
    check_text(&allowed.view(), &password)?;
    let hashed = iam.hashing.hash(&password, std::iter::empty()).await?;
    let reset_required = input.password_reset_required.unwrap_or(false);
    let profile = Arc::new(LoginProfile::new(&hashed, call.now().seconds, reset_required));
    allowed
        .change(|account, user| {
            if user.credentials.login.is_some() {
                return Err(errors::login_profile_exists(&user.name));
            }
            check_text(account, &password)?;
            user.credentials.login = Some(profile.clone());
            Ok(true)
        })
        .await?;
    let login_profile = describe(user, &profile);
    Ok(allowed.permit.answer(types::CreateLoginProfileResponse { login_profile }))
}

pub(crate) async fn get_login_profile(
    iam: &Iam,
    call: Call<ops::GetLoginProfile>,
) -> Result<Answer<types::GetLoginProfileResponse>, ServiceError> {
    if root_login::is_meant(&call, call.input.user_name.as_deref()) {
        return root_login::get(iam, call).await;
    }
    let allowed = allow(iam, &call, call.input.user_name.as_deref())?;
    let user = allowed.found()?;
    let login_profile = describe(user, profile_of(user)?);
    Ok(allowed.permit.answer(types::GetLoginProfileResponse { login_profile }))
}

pub(crate) async fn update_login_profile(
    iam: &Iam,
    call: Call<ops::UpdateLoginProfile>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<User, _>(&call, &input.user_name)?;
    let profile = profile_of(allowed.found()?)?;
    let password = match &input.password {
        Some(password) => {
            let text = SecretString::new(password.clone());
            check_text(&allowed.view(), &text)?;
            let hashed = iam.hashing.hash(&text, profile.all()).await?;
            Some((text, hashed))
        }
        None => None,
    };
    let now = call.now().seconds;
    allowed
        .change(|account, user| {
            let mut profile = LoginProfile::clone(profile_of(user)?);
            if let Some((text, hashed)) = &password {
                renew(account, &mut profile, text, hashed, now)?;
            }
            if let Some(required) = input.password_reset_required {
                profile.reset_required = required;
            }
            user.credentials.login = Some(Arc::new(profile));
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn delete_login_profile(
    iam: &Iam,
    call: Call<ops::DeleteLoginProfile>,
) -> Result<Answer<Empty>, ServiceError> {
    if root_login::is_meant(&call, call.input.user_name.as_deref()) {
        return root_login::delete(iam, call).await;
    }
    let allowed = allow(iam, &call, call.input.user_name.as_deref())?;
    allowed.found()?;
    allowed
        .change(|_, user| {
            profile_of(user)?;
            user.credentials.login = None;
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

/// An expired password may be changed by this, hard expiry or not: that keeps users out of the
/// console alone.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_PasswordPolicy.html>
pub(crate) async fn change_password(
    iam: &Iam,
    call: Call<ops::ChangePassword>,
) -> Result<Answer<Empty>, ServiceError> {
    let Identity::User { name, .. } = &call.caller().identity else {
        return Err(errors::only_users_change_passwords());
    };
    let allowed = iam.allow::<User, _>(&call, name)?;
    let profile = profile_of(allowed.found()?)?;
    let secret = |text: &String| SecretString::new(text.clone());
    let (old, new) = (secret(&call.input.old_password), secret(&call.input.new_password));
    let old = iam.hashing.compare(&old, Some(&profile.password)).await?;
    if !old.is(&profile.password)? {
        return Err(errors::wrong_old_password());
    }
    check_text(&allowed.view(), &new)?;
    let hashed = iam.hashing.hash(&new, profile.all()).await?;
    let now = call.now().seconds;
    allowed
        .change(|account, user| {
            let mut profile = LoginProfile::clone(profile_of(user)?);
            if !old.is(&profile.password)? {
                return Err(errors::wrong_old_password());
            }
            // Refused whether or not a policy remembers passwords.
            if hashed.is(&profile.password)? {
                return Err(errors::password_reused());
            }
            renew(account, &mut profile, &new, &hashed, now)?;
            profile.reset_required = false;
            user.credentials.login = Some(Arc::new(profile));
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password_policy::PasswordPolicy;
    use crate::records::Record;
    use crate::settings::Settings;
    use crate::testing::{ID, OTHER, iam_over, loosest, store, user};

    fn secret(text: &str) -> SecretString {
        SecretString::new(text.to_owned())
    }

    /// Ann, whose password `Abcdefg1` is as old as this.
    async fn ann(iam: &Iam, age: i64, reset_required: bool, policy: Option<PasswordPolicy>) {
        let hashed = iam.hashing.hash(&secret("Abcdefg1"), std::iter::empty()).await.unwrap();
        let set = iam.clock.now().seconds - age;
        let mut ann = user("Ann", "/", "AIDA1");
        ann.credentials.login = Some(Arc::new(LoginProfile::new(&hashed, set, reset_required)));
        let settings = Settings { password_policy: policy, ..Settings::default() };
        let (ann, settings) = (Arc::new(ann), Arc::new(settings));
        let ledger = iam.ledger(ID).unwrap();
        ledger
            .write_unasked(|_, batch| {
                batch.put(Record::User(ann.clone()));
                batch.put(Record::User(Arc::new(user("bob", "/", "AIDA2"))));
                batch.put(Record::Settings(settings.clone()));
                Ok(())
            })
            .await
            .unwrap();
    }

    fn expiring(hard: bool) -> Option<PasswordPolicy> {
        let (max_password_age, hard_expiry) = (Some(1), Some(hard));
        Some(PasswordPolicy { max_password_age, hard_expiry, ..loosest() })
    }

    #[tokio::test]
    async fn a_password_is_right_wrong_to_be_changed_or_locked() {
        const DAY: i64 = 24 * 60 * 60;
        let store = store();
        let iam = iam_over(&store);
        iam.create_account(ID, "test").await.unwrap();
        let identity = Identity::User {
            account: ID,
            name: "Ann".into(),
            path: "/".into(),
            id: "AIDA1".into(),
        };
        let right = PasswordCheck::Right(identity.clone());
        let must_change = PasswordCheck::MustChange(identity);
        for (age, reset, policy, outcome) in [
            (0, false, None, right.clone()),
            (1000 * DAY, false, None, right.clone()),
            (0, true, None, must_change.clone()),
            (DAY - 60, false, expiring(true), right),
            (DAY, false, expiring(false), must_change.clone()),
            (DAY, true, expiring(false), must_change),
            (DAY, false, expiring(true), PasswordCheck::Locked),
        ] {
            ann(&iam, age, reset, policy).await;
            let checked = iam.check_password(ID, "ann", &secret("Abcdefg1")).await.unwrap();
            assert_eq!(checked, outcome, "{age} {reset}");
            // What is wrong is told nothing.
            let checked = iam.check_password(ID, "ann", &secret("Abcdefg2")).await.unwrap();
            assert_eq!(checked, PasswordCheck::Wrong);
        }
        for (account, name) in [(ID, "bob"), (ID, "eve"), (OTHER, "ann")] {
            let checked = iam.check_password(account, name, &secret("Abcdefg1")).await.unwrap();
            assert_eq!(checked, PasswordCheck::Wrong, "{name}");
        }
    }

    #[tokio::test]
    async fn a_policy_of_the_moment_decides_in_the_write() {
        let iam = iam_over(&store());
        iam.create_account(ID, "test").await.unwrap();
        let old = iam.hashing.hash(&secret("Abcdefg1"), std::iter::empty()).await.unwrap();
        let profile = LoginProfile::new(&old, 1, true);
        let text = secret("Abcdefg1");
        let same = iam.hashing.hash(&text, profile.all()).await.unwrap();
        let mut account = Account::default();
        let renewed = |account: &Account| {
            let mut profile = profile.clone();
            renew(account, &mut profile, &text, &same, 7).map(|()| profile.changed)
        };
        assert_eq!(renewed(&account).unwrap(), 7);
        let set = |policy| Settings { password_policy: Some(policy), ..Settings::default() };
        let mut policy = expiring(false).unwrap();
        policy.password_reuse_prevention = Some(1);
        account.settings = Arc::new(set(policy.clone()));
        assert_eq!(renewed(&account).unwrap_err().code, "PasswordPolicyViolation");
        policy.password_reuse_prevention = None;
        policy.minimum_password_length = 9;
        account.settings = Arc::new(set(policy));
        let refused = renewed(&account).unwrap_err();
        assert_eq!(refused.message, "Password should have a minimum length of 9");
    }
}
