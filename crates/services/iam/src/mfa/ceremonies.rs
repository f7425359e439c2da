//! Ceremonies that were begun: registrations of security keys, and sign-ins by them.
//!
//! A ceremony is its challenge and whom it is for. It ends when it is used, rightly or wrongly, and
//! after five minutes; one caller has a few at once, and an account not many, the oldest giving way.
//! They are kept in memory: a restart ends them, and whoever began one begins again.

use crate::errors;
use crate::records::UniqueId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringfence_gateway::Identity;
use ringfence_keyring::Random;
use ringfence_policy::AccountId;
use ringfence_webauthn::{Challenge, UserVerification};
use ringfence_wire::ServiceError;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
struct Begun {
    name: String,
    caller: String,
    expires: i64,
    ceremony: Ceremony,
}

impl Begun {
    fn is_over(&self, now: i64) -> bool {
        // One that ends later than any does was begun before the clock was moved back.
        now >= self.expires || self.expires.saturating_sub(now) > SECONDS
    }
}

/// The ceremonies of every account, the oldest first.
#[derive(Default)]
pub(crate) struct Ceremonies(Mutex<HashMap<AccountId, VecDeque<Begun>>>);

/// Who a caller is, whatever its path.
fn caller(identity: &Identity) -> String {
    format!("{} {}", identity.principal_type(), identity.user_id())
}

impl Ceremonies {
    /// The ceremonies of an account that are not over.
    fn with<R>(
        &self,
        account: AccountId,
        now: i64,
        act: impl FnOnce(&mut VecDeque<Begun>) -> R,
    ) -> R {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.entry(account).or_default();
        own.retain(|one| !one.is_over(now));
        let done = act(own);
        if own.is_empty() {
            all.remove(&account);
        }
        done
    }

    /// Begins one; its name and its challenge.
    ///
    /// # Errors
    /// `ServiceFailure` without randomness.
    pub(super) fn begin(
        &self,
        random: &dyn Random,
        (account, identity): (AccountId, &Identity),
        purpose: Purpose,
        now: i64,
    ) -> Result<(String, Challenge), ServiceError> {
        let (mut name, mut challenge) = ([0; NAME_BYTES], [0; 32]);
        random.fill(&mut name).map_err(errors::failed)?;
        random.fill(&mut challenge).map_err(errors::failed)?;
        let (name, challenge) = (URL_SAFE_NO_PAD.encode(name), Challenge::from(challenge));
        let begun = Begun {
            name: name.clone(),
            caller: caller(identity),
            expires: now.saturating_add(SECONDS),
            ceremony: Ceremony { challenge: challenge.clone(), purpose },
        };
        self.with(account, now, |own| {
            let mut callers = own.iter().enumerate().filter(|(_, one)| one.caller == begun.caller);
            let oldest = callers.next().map(|(at, _)| at);
            if callers.count() + 1 >= MOST_OF_CALLER {
                oldest.and_then(|at| own.remove(at));
            } else if own.len() >= MOST_OF_ACCOUNT {
                own.pop_front();
            }
            own.push_back(begun);
        });
        Ok((name, challenge))
    }

    /// Takes the one of this name out, where its caller ends it and it is of the kind that `fits`. One
    /// that is another's stays.
    ///
    /// # Errors
    /// `CeremonyNotFound`.
    pub(super) fn take(
        &self,
        (account, identity): (AccountId, &Identity),
        name: &str,
        now: i64,
        fits: impl Fn(&Purpose) -> bool,
    ) -> Result<Ceremony, ServiceError> {
        let caller = caller(identity);
        let taken = self.with(account, now, |own| {
            let at = own.iter().position(|one| {
                one.name == name && one.caller == caller && fits(&one.ceremony.purpose)
            })?;
            own.remove(at)
        });
        taken.map(|one| one.ceremony).ok_or_else(errors::no_ceremony)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER};
    use ringfence_keyring::random::SeededRandom;

    const ROOT: Identity = Identity::Root { account: ID };

    fn ann(id: &str, path: &str) -> Identity {
        Identity::User { account: ID, name: "ann".into(), path: path.into(), id: id.into() }
    }

    fn sign_in() -> Purpose {
        Purpose::SignIn { serial: None }
    }

    #[test]
    fn one_is_taken_once_by_its_caller_for_its_purpose_in_its_time() {
        let (all, random) = (Ceremonies::default(), SeededRandom::new(1));
        let begin = || all.begin(&random, (ID, &ann("A", "/")), sign_in(), 1000).unwrap();
        let any = |_: &Purpose| true;
        let (name, challenge) = begin();
        for (account, identity, name, now, fits) in [
            (OTHER, ann("A", "/"), &*name, 1000, true),
            (ID, ann("B", "/"), &name, 1000, true),
            (ID, ROOT, &name, 1000, true),
            (ID, ann("A", "/"), "another", 1000, true),
            (ID, ann("A", "/"), &name, 1000, false),
        ] {
            let taken = all.take((account, &identity), name, now, |_| fits);
            assert_eq!(taken.unwrap_err().code, "CeremonyNotFound", "{identity:?}");
        }
        // A user that has moved is the same.
        let taken = all.take((ID, &ann("A", "/x/")), &name, 1299, any).unwrap();
        assert_eq!(taken.challenge, challenge);
        assert!(all.take((ID, &ann("A", "/")), &name, 1000, any).is_err());
        let (name, other) = begin();
        assert_ne!(other, challenge);
        assert!(all.take((ID, &ann("A", "/")), &name, 1300, any).is_err());
        let (name, _) = begin();
        assert!(all.take((ID, &ann("A", "/")), &name, 999, any).is_err());
        assert!(all.0.lock().unwrap().is_empty());
    }

    #[test]
    fn the_oldest_of_a_caller_and_of_an_account_give_way() {
        let (all, random) = (Ceremonies::default(), SeededRandom::new(1));
        let any = |_: &Purpose| true;
        let begin = |identity: &Identity| all.begin(&random, (ID, identity), sign_in(), 0).unwrap();
        let (roots, _) = begin(&ROOT);
        let names: Vec<_> = (0..=MOST_OF_CALLER).map(|_| begin(&ann("A", "/")).0).collect();
        assert!(all.take((ID, &ann("A", "/")), &names[0], 1, any).is_err());
        for name in &names[1..] {
            assert!(all.take((ID, &ann("A", "/")), name, 1, any).is_ok());
        }
        for number in 0..MOST_OF_ACCOUNT {
            begin(&ann(&number.to_string(), "/"));
        }
        assert_eq!(all.0.lock().unwrap()[&ID].len(), MOST_OF_ACCOUNT);
        assert!(all.take((ID, &ROOT), &roots, 1, any).is_err());
    }
}
