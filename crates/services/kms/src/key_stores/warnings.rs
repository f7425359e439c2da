//! Warnings of what callers can have fail as often as they like: a few are told, the others counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Least time between two warnings of the same thing.
const PAUSE: Duration = Duration::from_secs(10);

/// Things that are remembered; with more all are forgotten.
const MOST: usize = 1000;

/// When what was warned of last.
#[derive(Default)]
pub(super) struct Warnings(Mutex<HashMap<Arc<str>, Warned>>);

struct Warned {
    at: Instant,
    /// Untold since then.
    kept_back: u64,
}

impl Warnings {
    /// Whether to warn of something now: then how often it was not told since the last time.
    pub fn due(&self, of: &Arc<str>, now: Instant) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(warned) = all.get_mut(of)
            && now.saturating_duration_since(warned.at) < PAUSE
        {
            warned.kept_back = warned.kept_back.saturating_add(1);
            return None;
        }
        if all.len() >= MOST {
            all.clear();
        }
        let before = all.insert(of.clone(), Warned { at: now, kept_back: 0 });
        Some(before.map_or(0, |before| before.kept_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_in_a_while_and_how_often_it_was_not() {
        let (warnings, start) = (Warnings::default(), Instant::now());
        let (one, other) = ("one".into(), "other".into());
        assert_eq!(warnings.due(&one, start), Some(0));
        for second in 1..=5 {
            assert_eq!(warnings.due(&one, start + Duration::from_secs(second)), None);
        }
        assert_eq!(warnings.due(&other, start), Some(0));
        assert_eq!(warnings.due(&one, start + PAUSE), Some(5));
        assert_eq!(warnings.due(&one, start + PAUSE * 2), Some(0));
    }
}
