//! Guesses at codes, slowed down: a code has a million values, three of which are good at a time.
//! RFC 4226, section 7.3, asks for it; AWS does not say how it does.
//!
//! After five codes in a row that were wrong a device takes none for half a minute, then for twice as
//! long after each further one, up to an hour. What is tried meanwhile is neither looked at nor
//! counted. Attempts are in the store, where all servers count them together: each is counted before it is
//! looked at. They are forgotten with a right code, and a day after the last one.

use ringfence_gateway::{Transient, Transients};
use ringfence_policy::AccountId;
use ringfence_store::{Store, StoreError};
use ringfence_wire::ServiceError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Wrong codes in a row that cost nothing.
const FREE: u32 = 5;
/// Seconds of the first wait.
const FIRST: i64 = 30;
/// Seconds of the longest.
const LONGEST: i64 = 3600;

/// Seconds after the last attempt, after which it is forgotten.
const KEPT: i64 = 24 * 3600;

/// Attempts on an enabled device since its last right code.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Tried {
    serial: Arc<str>,
    times: u32,
    last: i64,
    until: i64,
}

impl Transient for Tried {
    type Of = AccountId;
    const KIND: &'static str = "iam-attempt";

    fn name(&self) -> &str {
        &self.serial
    }

    fn is_over(&self, now: i64) -> bool {
        now.saturating_sub(self.last) >= KEPT
    }
}

/// Those of every account.
pub(crate) struct Attempts(pub(crate) Transients<Tried>);

impl Attempts {
    /// Those that were counted before.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load(store: Arc<Store>) -> Result<Self, StoreError> {
        Transients::load(store).map(Self)
    }

    /// Counts an attempt on an enabled device; `false` where it must wait.
    ///
    /// # Errors
    /// `ServiceFailure` when the store cannot keep it: then the code must not be looked at.
    pub async fn admit(
        &self,
        account: AccountId,
        serial: &Arc<str>,
        now: i64,
    ) -> Result<bool, ServiceError> {
        self.0
            .change(account, now, |known| {
                let tried = known.get(serial);
                // A wait that is longer than any was begun before the clock was moved back.
                let waits =
                    |tried: &Tried| now < tried.until && tried.until.saturating_sub(now) <= LONGEST;
                if tried.is_some_and(|tried| waits(tried)) {
                    return Ok(false);
                }
                let times = tried.map_or(0, |tried| tried.times).saturating_add(1);
                let until = match times.checked_sub(FREE) {
                    None => 0,
                    Some(more) => {
                        let wait = FIRST.saturating_mul(1 << more.min(10)).min(LONGEST);
                        now.saturating_add(wait)
                    }
                };
                known.put(Tried { serial: serial.clone(), times, last: now, until });
                Ok(true)
            })
            .await
    }

    /// Forgets the attempts on a device: its owner has shown right codes, or lost it. Where that cannot be kept
    /// the next wrong codes cost more.
    pub async fn forget(&self, account: AccountId, serial: &str, now: i64) {
        let forgotten = self.0.remove(account, now, serial).await;
        if let Err(error) = forgotten {
            tracing::warn!(error = error.message, "attempts on a device are not forgotten");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER, store};

    #[tokio::test]
    async fn wrong_codes_cost_longer_and_longer_waits() {
        let attempts = Attempts::load(store()).unwrap();
        let device: Arc<str> = "d".into();
        let mut now = 1_000;
        for _ in 0..FREE {
            assert!(attempts.admit(ID, &device, now).await.unwrap());
        }
        for wait in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600] {
            assert!(!attempts.admit(ID, &device, now).await.unwrap());
            assert!(!attempts.admit(ID, &device, now + wait - 1).await.unwrap(), "{wait}");
            now += wait;
            assert!(attempts.admit(ID, &device, now).await.unwrap(), "{wait}");
        }
        // Another device, and the same serial number of another account, are none the worse.
        assert!(
            attempts.admit(ID, &"e".into(), now).await.unwrap()
                && attempts.admit(OTHER, &device, now).await.unwrap()
        );
        attempts.forget(ID, "d", now).await;
        assert!(attempts.admit(ID, &device, now).await.unwrap());
    }

    #[tokio::test]
    async fn a_clock_moved_back_does_not_shut_a_device() {
        let attempts = Attempts::load(store()).unwrap();
        let device: Arc<str> = "d".into();
        for _ in 0..FREE {
            assert!(attempts.admit(ID, &device, 1_000_000).await.unwrap());
        }
        assert!(!attempts.admit(ID, &device, 1_000_000).await.unwrap());
        assert!(attempts.admit(ID, &device, 0).await.unwrap());
    }
}
