//! A user's console password as it is kept, and the hashing of passwords, apart from the threads
//! that serve.

use crate::errors;
use crate::password_policy::{self, PasswordPolicy};
use crate::state::Account;
use ringfence_keyring::{KeyringError, PasswordHash, SecretString};
use ringfence_wire::ServiceError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Passwords of one user that are kept: as many as a policy can remember.
const KEPT: usize = 24;

/// Hashes that are computed at once: each takes a core and 19 MiB.
const AT_ONCE: usize = 4;

/// A user's login profile: its console password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LoginProfile {
    pub created: i64,
    /// When the password was set.
    pub changed: i64,
    /// The user must set a new password when it signs in.
    #[serde(default)]
    pub reset_required: bool,
    pub password: Arc<PasswordHash>,
    /// Those before it, the latest first.
    #[serde(default)]
    pub previous: Vec<Arc<PasswordHash>>,
}

impl LoginProfile {
    /// Of a new password.
    pub fn new(password: &Hashed, now: i64, reset_required: bool) -> Self {
        let password = password.kept();
        Self { created: now, changed: now, reset_required, password, previous: Vec::new() }
    }

    /// All passwords that are kept, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<PasswordHash>> {
        std::iter::once(&self.password).chain(&self.previous)
    }

    /// Sets another password.
    pub fn set(&mut self, password: &Hashed, now: i64) {
        let last = std::mem::replace(&mut self.password, password.kept());
        self.previous.insert(0, last);
        self.previous.truncate(KEPT - 1);
        self.changed = now;
    }
}

/// One password, hashed under each salt that it is to be compared under.
#[derive(Debug)]
pub(crate) struct Hashed(Vec<Arc<PasswordHash>>);

impl Hashed {
    /// Takes tens of milliseconds: see [`Hashing`].
    ///
    /// # Errors
    /// When the system has no random bytes, or a stored cost is out of bounds.
    pub fn new(password: &SecretString, kept: &[Arc<PasswordHash>]) -> Result<Self, KeyringError> {
        let mut hashes: Vec<Arc<PasswordHash>> = Vec::new();
        for kept in kept {
            if !hashes.iter().any(|hash| hash.is_comparable(kept)) {
                hashes.push(Arc::new(kept.again(password)?));
            }
        }
        // All that a user has had are under one salt, until the cost of a hash is raised.
        if !hashes.first().is_some_and(|hash| hash.is_current()) {
            hashes.insert(0, Arc::new(PasswordHash::new(password)?));
        }
        Ok(Self(hashes))
    }

    fn kept(&self) -> Arc<PasswordHash> {
        // INVARIANT: no list is made empty.
        self.0[0].clone()
    }

    /// Whether it is the password that is kept.
    ///
    /// # Errors
    /// `EntityTemporarilyUnmodifiable` when what is kept was replaced since this was hashed.
    pub fn is(&self, kept: &PasswordHash) -> Result<bool, ServiceError> {
        let hash = self.0.iter().find(|hash| hash.is_comparable(kept));
        hash.map(|hash| hash.matches(kept)).ok_or_else(errors::password_in_change)
    }
}

/// Computes hashes, a few at once and on threads of their own.
pub(crate) struct Hashing(Semaphore);

impl Default for Hashing {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Hashing {
    /// Hashes a password, to be kept and to be compared with those that are kept.
    ///
    /// # Errors
    /// `ServiceFailure` when the system has no random bytes or threads.
    pub async fn hash<'k>(
        &self,
        password: &SecretString,
        kept: impl Iterator<Item = &'k Arc<PasswordHash>>,
    ) -> Result<Hashed, ServiceError> {
        let kept: Vec<Arc<PasswordHash>> = kept.cloned().collect();
        self.apart(password, move |password| Hashed::new(password, &kept)).await
    }

    /// Hashes a password, to be compared with one that is kept: one hash, and one where none is.
    ///
    /// # Errors
    /// As [`Hashing::hash`].
    pub async fn compare(
        &self,
        password: &SecretString,
        kept: Option<&Arc<PasswordHash>>,
    ) -> Result<Hashed, ServiceError> {
        let kept = kept.cloned();
        self.apart(password, move |password| {
            let hash = match &kept {
                Some(kept) => kept.again(password)?,
                None => PasswordHash::new(password)?,
            };
            Ok(Hashed(vec![Arc::new(hash)]))
        })
        .await
    }

    async fn apart(
        &self,
        password: &SecretString,
        hash: impl FnOnce(&SecretString) -> Result<Hashed, KeyringError> + Send + 'static,
    ) -> Result<Hashed, ServiceError> {
        let password = password.duplicate();
        let _turn = self.0.acquire().await.map_err(errors::failed)?;
        tokio::task::spawn_blocking(move || hash(&password))
            .await
            .map_err(errors::failed)?
            .map_err(errors::failed)
    }
}

/// Checks a new password's text against what the account asks for.
///
/// # Errors
/// `PasswordPolicyViolation`.
pub(crate) fn check_text(account: &Account, password: &SecretString) -> Result<(), ServiceError> {
    let name = account.root.as_ref().map_or("", |root| &root.name);
    password_policy::check(account.settings.password_policy.as_ref(), password.expose(), name)
}

/// Checks that a new password is none that the policy remembers.
///
/// # Errors
/// `PasswordPolicyViolation`; `EntityTemporarilyUnmodifiable`.
pub(crate) fn check_reuse(
    policy: Option<&PasswordPolicy>,
    profile: &LoginProfile,
    password: &Hashed,
) -> Result<(), ServiceError> {
    let remembered = policy.map_or(0, PasswordPolicy::remembers);
    for kept in profile.all().take(remembered) {
        if password.is(kept)? {
            return Err(errors::password_reused());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::loosest;

    fn secret(text: &str) -> SecretString {
        SecretString::new(text.to_owned())
    }

    fn hashed(text: &str, profile: &LoginProfile) -> Hashed {
        let kept: Vec<_> = profile.all().cloned().collect();
        Hashed::new(&secret(text), &kept).unwrap()
    }

    fn remembering(passwords: i32) -> PasswordPolicy {
        PasswordPolicy { password_reuse_prevention: Some(passwords), ..loosest() }
    }

    #[test]
    fn the_passwords_that_a_policy_remembers_are_refused_and_no_others() {
        let mut profile = LoginProfile::new(&Hashed::new(&secret("one"), &[]).unwrap(), 1, false);
        for (at, text) in [(2, "two"), (3, "three")] {
            let next = hashed(text, &profile);
            profile.set(&next, at);
        }
        assert_eq!((profile.created, profile.changed, profile.previous.len()), (1, 3, 2));
        for (remembered, refused) in
            [(1, &["three"][..]), (2, &["three", "two"]), (3, &["three", "two", "one"])]
        {
            for text in ["one", "two", "three", "four"] {
                let answer =
                    check_reuse(Some(&remembering(remembered)), &profile, &hashed(text, &profile));
                match answer {
                    Ok(()) => assert!(!refused.contains(&text), "{remembered} {text}"),
                    Err(error) => {
                        assert!(refused.contains(&text), "{remembered} {text}");
                        assert_eq!(error.code, "PasswordPolicyViolation");
                    }
                }
            }
        }
        assert!(check_reuse(None, &profile, &hashed("three", &profile)).is_ok());
    }

    #[test]
    fn no_more_passwords_are_kept_than_a_policy_can_remember() {
        let first = Hashed::new(&secret("one"), &[]).unwrap();
        let mut profile = LoginProfile::new(&first, 1, true);
        for _ in 0..30 {
            profile.set(&first, 2);
        }
        assert_eq!(profile.all().count(), KEPT);
    }

    #[tokio::test]
    async fn others_have_their_turn_while_a_password_is_hashed() {
        let (hashing, password) = (Hashing::default(), secret("one"));
        let hash = hashing.compare(&password, None);
        tokio::pin!(hash);
        let mut turns = 0;
        loop {
            tokio::select! {
                biased;
                hashed = &mut hash => break drop(hashed.unwrap()),
                () = tokio::task::yield_now() => turns += 1,
            }
        }
        assert!(turns > 0);
    }

    #[test]
    fn one_salt_serves_a_user_and_another_profile_is_not_compared() {
        let profile = LoginProfile::new(&Hashed::new(&secret("one"), &[]).unwrap(), 1, false);
        let again = hashed("one", &profile);
        assert_eq!(again.0.len(), 1);
        assert!(again.is(&profile.password).unwrap());
        assert!(!hashed("two", &profile).is(&profile.password).unwrap());
        let anew = LoginProfile::new(&Hashed::new(&secret("one"), &[]).unwrap(), 1, false);
        assert_eq!(again.is(&anew.password).unwrap_err().code, "EntityTemporarilyUnmodifiable");
    }
}
