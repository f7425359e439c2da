//! Guesses at codes, slowed down: a code has a million values, three of which are good at a time.
//! RFC 4226, section 7.3, asks for it; AWS does not say how it does.
//!
//! After five codes in a row that were wrong a device takes none for half a minute, then for twice as
//! long after each further one, up to an hour. What is tried meanwhile is neither looked at nor
//! counted. It is kept in memory: a restart forgets it.

use ringfence_policy::AccountId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Wrong codes in a row that cost nothing.
const FREE: u32 = 5;
/// Seconds of the first wait.
const FIRST: i64 = 30;
/// Seconds of the longest.
const LONGEST: i64 = 3600;

type Key = (AccountId, Arc<str>);

/// Attempts on enabled devices since their last right code.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<Key, Tried>>);

#[derive(Default)]
struct Tried {
    times: u32,
    until: i64,
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Tried>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt on an enabled device; `false` where it must wait.
    pub fn admit(&self, account: AccountId, serial: &Arc<str>, now: i64) -> bool {
        let mut all = self.lock();
        let tried = all.entry((account, serial.clone())).or_default();
        // A wait that is longer than any was begun before the clock was moved back.
        if now < tried.until && tried.until.saturating_sub(now) <= LONGEST {
            return false;
        }
        tried.times = tried.times.saturating_add(1);
        tried.until = match tried.times.checked_sub(FREE) {
            None => 0,
            Some(more) => {
                let wait = FIRST.saturating_mul(1 << more.min(10)).min(LONGEST);
                now.saturating_add(wait)
            }
        };
        true
    }

    /// Forgets the attempts on a device: its owner has shown right codes, or lost it.
    pub fn forget(&self, account: AccountId, serial: &str) {
        self.lock().remove(&(account, serial.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER};

    #[test]
    fn wrong_codes_cost_longer_and_longer_waits() {
        let attempts = Attempts::default();
        let device: Arc<str> = "d".into();
        let mut now = 1_000;
        for _ in 0..FREE {
            assert!(attempts.admit(ID, &device, now));
        }
        for wait in [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600] {
            assert!(!attempts.admit(ID, &device, now));
            assert!(!attempts.admit(ID, &device, now + wait - 1), "{wait}");
            now += wait;
            assert!(attempts.admit(ID, &device, now), "{wait}");
        }
        // Another device, and the same serial number of another account, are none the worse.
        assert!(attempts.admit(ID, &"e".into(), now) && attempts.admit(OTHER, &device, now));
        attempts.forget(ID, "d");
        assert!(attempts.admit(ID, &device, now));
    }

    #[test]
    fn a_clock_moved_back_does_not_shut_a_device() {
        let attempts = Attempts::default();
        let device: Arc<str> = "d".into();
        for _ in 0..FREE {
            assert!(attempts.admit(ID, &device, 1_000_000));
        }
        assert!(!attempts.admit(ID, &device, 1_000_000));
        assert!(attempts.admit(ID, &device, 0));
    }
}
