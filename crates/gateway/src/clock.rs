//! The time, injected: tests and `--dev` move it.

use ringfence_wire::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is a broken machine; time then stands at 0 and signatures fail.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: since.subsec_nanos(),
        }
    }
}

/// The system's clock moved by a number of seconds.
#[derive(Debug, Default)]
pub struct MovedClock {
    offset: AtomicI64,
}

impl MovedClock {
    /// Moves it on by `seconds`, or back.
    pub fn advance(&self, seconds: i64) {
        // Saturates far beyond what a timestamp can express.
        let _ = self.offset.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |offset| {
            Some(offset.saturating_add(seconds))
        });
    }

    /// Sets it to a time; it runs on from there.
    pub fn set(&self, to: Timestamp) {
        let offset = to.seconds.saturating_sub(SystemClock.now().seconds);
        self.offset.store(offset, Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        let mut now = SystemClock.now();
        now.seconds = now.seconds.saturating_add(self.offset.load(Ordering::SeqCst));
        now
    }
}
