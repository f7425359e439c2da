//! Time-based one-time codes: RFC 6238 with SHA-1, 30 seconds and six digits, as AWS's devices have.
//!
//! A code is good in the step it is made for and in the steps before and after, and never twice: the
//! last step used is kept, and only later ones count. Two codes in a row are looked for an hour
//! around; where they lie apart from our time, the device's clock drifts, and the difference is kept.
//! So a device that is enabled with codes of a while ago is out of step until it is synchronised
//! again, as AWS says of its own:
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_EnableMFADevice.html>

use ringfence_keyring::{OneTime, SecretBytes, sealed_only};
use ringfence_wire::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// Seconds of a step.
const STEP: i64 = 30;
/// Steps either way in which a code is good: clocks differ, and people type. RFC 6238, section 5.2.
const WINDOW: i64 = 1;
/// Steps either way in which two codes in a row are looked for: an hour. RFC 6238, section 6.
const FAR: i64 = 120;

/// A device's seed, and how far its codes are used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Totp {
    #[serde(serialize_with = "write_seed", deserialize_with = "read_seed")]
    seed: Arc<SecretBytes>,
    /// The last step whose code was used.
    #[serde(default)]
    last: Option<i64>,
    /// Steps by which the device's clock is ahead of ours.
    #[serde(default)]
    drift: i64,
}

fn write_seed<S: Serializer>(seed: &Arc<SecretBytes>, to: S) -> Result<S::Ok, S::Error> {
    sealed_only::serialize(&**seed, to)
}

fn read_seed<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<SecretBytes>, D::Error> {
    sealed_only::deserialize::<SecretBytes, D>(from).map(Arc::new)
}

fn step(now: Timestamp) -> i64 {
    now.seconds.div_euclid(STEP)
}

impl Totp {
    /// A device that has shown no code yet.
    pub fn new(seed: SecretBytes) -> Self {
        Self { seed: Arc::new(seed), last: None, drift: 0 }
    }

    /// Whether both have the same seed.
    pub fn same_seed(&self, other: &Self) -> bool {
        self.seed.matches(other.seed.expose())
    }

    fn unused(&self, step: i64) -> bool {
        self.last.is_none_or(|last| step > last)
    }

    /// The device after a code was shown; `None` where the code is wrong, or used.
    pub fn shown(&self, code: &str, now: Timestamp) -> Option<Self> {
        let codes = OneTime::new(&self.seed);
        let middle = step(now).saturating_add(self.drift);
        let step = (middle.saturating_sub(WINDOW)..=middle.saturating_add(WINDOW))
            .filter(|step| self.unused(*step))
            .find(|step| is_code(&codes, *step, code))?;
        Some(Self { last: Some(step), ..self.clone() })
    }

    /// The device after two codes in a row were shown; `None` where they are not that, or used.
    pub fn synchronised(&self, first: &str, second: &str, now: Timestamp) -> Option<Self> {
        let codes = OneTime::new(&self.seed);
        let now = step(now);
        // The nearest first: 0, 1, -1, 2, -2, …
        let offsets = (0..=FAR).flat_map(|far| [far, -far]);
        let offset = offsets.skip(1).find(|offset| {
            let step = now.saturating_add(*offset);
            self.unused(step - 1)
                && is_code(&codes, step, second)
                && is_code(&codes, step - 1, first)
        })?;
        // Within the window a device is in step: whoever types slowly drifts nowhere.
        let drift = if offset.abs() <= WINDOW { 0 } else { offset };
        Some(Self { last: Some(now.saturating_add(offset)), drift, ..self.clone() })
    }
}

fn is_code(codes: &OneTime, step: i64, code: &str) -> bool {
    u64::try_from(step).is_ok_and(|step| codes.is_code(step, code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::code;

    const SEED: &[u8] = b"12345678901234567890";
    const NOW: i64 = 1_700_000_010;

    fn device() -> Totp {
        Totp::new(SecretBytes::new(SEED.to_vec()))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    /// The code of a number of steps from now.
    fn of(steps: i64) -> String {
        code(SEED, NOW + steps * STEP)
    }

    #[test]
    fn a_code_is_good_for_a_step_either_way() {
        for (steps, good) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            assert_eq!(device().shown(&of(steps), at(NOW)).is_some(), good, "{steps}");
        }
        for text in ["", "12345", "abcdef", "1234567"] {
            assert!(device().shown(text, at(NOW)).is_none(), "{text}");
        }
    }

    #[test]
    fn a_code_is_good_once_and_none_before_it_afterwards() {
        let device = device().shown(&of(0), at(NOW)).unwrap();
        assert!(device.shown(&of(0), at(NOW)).is_none());
        assert!(device.shown(&of(-1), at(NOW)).is_none());
        let device = device.shown(&of(1), at(NOW)).unwrap();
        assert!(device.shown(&of(0), at(NOW)).is_none());
        // Where the time goes back, codes that were used stay used.
        assert!(device.shown(&of(-3), at(NOW - 3 * STEP)).is_none());
    }

    #[test]
    fn two_codes_are_in_a_row_and_in_order() {
        let device = device();
        for (first, second, good) in [
            (-1, 0, true),
            (0, 1, true),
            (0, -1, false),
            (0, 0, false),
            (-2, 0, false),
            (-FAR - 1, -FAR, true),
            (FAR - 1, FAR, true),
            (-FAR - 2, -FAR - 1, false),
            (FAR, FAR + 1, false),
        ] {
            let after = device.synchronised(&of(first), &of(second), at(NOW));
            assert_eq!(after.is_some(), good, "{first}, {second}");
        }
    }

    #[test]
    fn a_drift_is_learnt_from_two_codes_and_moves_the_window() {
        // Its clock is five minutes behind.
        assert!(device().shown(&of(-10), at(NOW)).is_none());
        let device = device().synchronised(&of(-11), &of(-10), at(NOW)).unwrap();
        let later = at(NOW + 10 * STEP);
        assert!(device.shown(&of(10), later).is_none());
        for (steps, good) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            assert_eq!(device.shown(&of(steps), later).is_some(), good, "{steps}");
        }
        // And back in step.
        let device = device.synchronised(&of(19), &of(20), at(NOW + 20 * STEP)).unwrap();
        assert!(device.shown(&of(22), at(NOW + 22 * STEP)).is_some());
    }

    #[test]
    fn codes_typed_a_step_late_or_early_are_no_drift() {
        for (first, second) in [(-2, -1), (0, 1)] {
            let device = device().synchronised(&of(first), &of(second), at(NOW)).unwrap();
            assert_eq!(device.drift, 0);
        }
    }

    #[test]
    fn used_codes_do_not_synchronise() {
        let device = device().synchronised(&of(-1), &of(0), at(NOW)).unwrap();
        for (first, second) in [(-1, 0), (0, 1), (-3, -2)] {
            assert!(device.synchronised(&of(first), &of(second), at(NOW)).is_none());
        }
        assert!(device.synchronised(&of(1), &of(2), at(NOW)).is_some());
    }

    #[test]
    fn the_beginning_of_time_and_its_end_are_no_trouble() {
        for seconds in [i64::MIN, -1, 0, 29, i64::MAX] {
            assert!(device().shown("000000", at(seconds)).is_none());
            assert!(device().synchronised("000000", "000000", at(seconds)).is_none());
        }
    }

    #[test]
    fn no_seed_is_in_its_debug_and_a_record_reads_back() {
        let device = device().shown(&of(0), at(NOW)).unwrap();
        assert!(format!("{device:?}").contains("Secret(..)"));
        let bytes = rmp_serde::to_vec_named(&device).unwrap();
        let read: Totp = rmp_serde::from_slice(&bytes).unwrap();
        assert!(read.same_seed(&device));
        assert_eq!((read.last, read.drift), (device.last, device.drift));
    }
}
