//! Ceremonies that were begun: registrations of security keys, and sign-ins by them.
//!
//! A ceremony is its challenge and whom it is for. It ends when it is used, rightly or wrongly, and
//! after five minutes; one caller has a few at once, and an account not many, the oldest giving way.
//! They are in the store, so that a ceremony may end on another server than it began on.

use crate::errors;
use crate::records::UniqueId;
use ringfence_gateway::{Identity, Transient, Transients};
use ringfence_keyring::Random;
use ringfence_policy::AccountId;
use ringfence_store::{Store, StoreError};
use ringfence_webauthn::{Challenge, UserVerification};
use ringfence_wire::ServiceError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Seconds that a ceremony lasts, as the standard recommends.
/// <https://www.w3.org/TR/webauthn-3/#sctn-timeout-recommended-range>
pub(super) const SECONDS: i64 = 300;
/// Ceremonies of one caller at once.
const MOST_OF_CALLER: usize = 8;
/// Ceremonies of an account at once.
const MOST_OF_ACCOUNT: usize = 1024;

/// Random bytes of a ceremony's name.
const NAME_BYTES: usize = 24;

/// What a ceremony is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// A new key, of this name.
    Registration {
        /// The user that is to have it; `None` for root.
        owner: Option<UniqueId>,
        device: Box<str>,
        verification: UserVerification,
    },
    /// A sign-in by this key, or by any of the caller's.
    SignIn { serial: Option<Arc<str>> },
}

/// A ceremony.
#[derive(Debug, Clone)]
pub(super) struct Ceremony {
    pub challenge: Challenge,
    pub purpose: Purpose,
}

/// One that was begun.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Begun {
    name: String,
    /// Counts those of the account: a smaller one was begun before.
    number: u64,
    caller: String,
    expires: i64,
    challenge: [u8; 32],
    purpose: Purpose,
}

impl Transient for Begun {
    type Of = AccountId;
    const KIND: &'static str = "iam-ceremony";

    fn name(&self) -> &str {
        &self.name
    }

    fn is_over(&self, now: i64) -> bool {
        // One that ends later than any does was begun before the clock was moved back.
        now >= self.expires || self.expires.saturating_sub(now) > SECONDS
    }
}

/// The ceremonies of every account.
pub(crate) struct Ceremonies(pub(crate) Transients<Begun>);

/// Who a caller is, whatever its path.
fn caller(identity: &Identity) -> String {
    format!("{} {}", identity.principal_type(), identity.user_id())
}

impl Ceremonies {
    /// Those that were begun before.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load(store: Arc<Store>) -> Result<Self, StoreError> {
        Transients::load(store).map(Self)
    }

    /// Begins one; its name and its challenge.
    ///
    /// # Errors
    /// `ServiceFailure` without randomness, or when the store cannot keep it.
    pub(super) async fn begin(
        &self,
        random: &dyn Random,
        (account, identity): (AccountId, &Identity),
        purpose: Purpose,
        now: i64,
    ) -> Result<(String, Challenge), ServiceError> {
        let (mut name, mut challenge) = ([0; NAME_BYTES], [0; 32]);
        random.fill(&mut name).map_err(errors::failed)?;
        random.fill(&mut challenge).map_err(errors::failed)?;
        let begun = Begun {
            // Base64 may begin with a hyphen, which command lines take for an option's.
            name: hex::encode(name),
            number: 0,
            caller: caller(identity),
            expires: now.saturating_add(SECONDS),
            challenge,
            purpose,
        };
        self.0
            .change(account, now, |known| {
                let mut own: Vec<_> =
                    known.iter().map(|one| (one.number, one.caller == begun.caller)).collect();
                own.sort_unstable();
                let number = own.last().map_or(0, |(number, _)| number.saturating_add(1));
                let mut callers = own.iter().filter(|(_, callers)| *callers);
                let oldest = match callers.next() {
                    Some(oldest) if callers.count() + 1 >= MOST_OF_CALLER => Some(oldest),
                    _ if own.len() >= MOST_OF_ACCOUNT => own.first(),
                    _ => None,
                };
                let gives_way = oldest
                    .and_then(|(number, _)| known.iter().find(|one| one.number == *number))
                    .map(|one| one.name.clone());
                if let Some(name) = gives_way {
                    known.take(&name);
                }
                known.put(Begun { number, ..begun.clone() });
                Ok(())
            })
            .await?;
        Ok((begun.name, Challenge::from(challenge)))
    }

    /// Takes the one of this name out, where its caller ends it and it is of the kind that `fits`. One
    /// that is another's stays.
    ///
    /// # Errors
    /// `CeremonyNotFound`, or `ServiceFailure` when the store cannot keep that it is used.
    pub(super) async fn take(
        &self,
        (account, identity): (AccountId, &Identity),
        name: &str,
        now: i64,
        fits: impl Fn(&Purpose) -> bool,
    ) -> Result<Ceremony, ServiceError> {
        let caller = caller(identity);
        self.0
            .change(account, now, |known| {
                let there =
                    known.get(name).filter(|one| one.caller == caller && fits(&one.purpose));
                let taken = there.is_some().then(|| known.take(name)).flatten();
                let taken = taken.ok_or_else(errors::no_ceremony)?;
                Ok(Ceremony {
                    challenge: Challenge::from(taken.challenge),
                    purpose: taken.purpose.clone(),
                })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER, store};
    use ringfence_keyring::random::SeededRandom;

    const ROOT: Identity = Identity::Root { account: ID };

    fn ann(id: &str, path: &str) -> Identity {
        Identity::User { account: ID, name: "ann".into(), path: path.into(), id: id.into() }
    }

    fn sign_in() -> Purpose {
        Purpose::SignIn { serial: None }
    }

    async fn begin(
        all: &Ceremonies,
        random: &SeededRandom,
        identity: &Identity,
        now: i64,
    ) -> (String, Challenge) {
        all.begin(random, (ID, identity), sign_in(), now).await.unwrap()
    }

    #[tokio::test]
    async fn one_is_taken_once_by_its_caller_for_its_purpose_in_its_time() {
        let (all, random) = (Ceremonies::load(store()).unwrap(), SeededRandom::new(1));
        let owner = ann("A", "/");
        let begin = || begin(&all, &random, &owner, 1000);
        let any = |_: &Purpose| true;
        let (name, challenge) = begin().await;
        for (account, identity, name, now, fits) in [
            (OTHER, ann("A", "/"), &*name, 1000, true),
            (ID, ann("B", "/"), &name, 1000, true),
            (ID, ROOT, &name, 1000, true),
            (ID, ann("A", "/"), "another", 1000, true),
            (ID, ann("A", "/"), &name, 1000, false),
        ] {
            let taken = all.take((account, &identity), name, now, |_| fits).await;
            assert_eq!(taken.unwrap_err().code, "CeremonyNotFound", "{identity:?}");
        }
        // A user that has moved is the same.
        let taken = all.take((ID, &ann("A", "/x/")), &name, 1299, any).await.unwrap();
        assert_eq!(taken.challenge, challenge);
        assert!(all.take((ID, &ann("A", "/")), &name, 1000, any).await.is_err());
        let (name, other) = begin().await;
        assert_ne!(other, challenge);
        assert!(all.take((ID, &ann("A", "/")), &name, 1300, any).await.is_err());
        let (name, _) = begin().await;
        assert!(all.take((ID, &ann("A", "/")), &name, 999, any).await.is_err());
        assert!(all.0.of(ID, 999).is_empty());
    }

    #[tokio::test]
    async fn the_oldest_of_a_caller_and_of_an_account_give_way() {
        let (all, random) = (Ceremonies::load(store()).unwrap(), SeededRandom::new(1));
        let any = |_: &Purpose| true;
        let (roots, _) = begin(&all, &random, &ROOT, 0).await;
        let mut names = Vec::new();
        for _ in 0..=MOST_OF_CALLER {
            names.push(begin(&all, &random, &ann("A", "/"), 0).await.0);
        }
        assert!(all.take((ID, &ann("A", "/")), &names[0], 1, any).await.is_err());
        for name in &names[1..] {
            assert!(all.take((ID, &ann("A", "/")), name, 1, any).await.is_ok());
        }
        for number in 0..MOST_OF_ACCOUNT {
            let (name, _) = begin(&all, &random, &ann(&number.to_string(), "/"), 0).await;
            assert!(name.starts_with(char::is_alphanumeric), "{name} on a command line");
        }
        assert_eq!(all.0.of(ID, 1).len(), MOST_OF_ACCOUNT);
        assert!(all.take((ID, &ROOT), &roots, 1, any).await.is_err());
    }
}
