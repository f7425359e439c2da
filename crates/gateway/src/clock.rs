//! The time, injected: tests and `--dev` move it.

use ringfence_wire::Timestamp;
use ringfence_wire::shape::TimestampFormat;
use smol_str::{SmolStr, ToSmolStr as _};
use std::cell::RefCell;
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

/// A second as events and conditions write it.
#[derive(Clone)]
pub(crate) struct Second {
    of: i64,
    /// `2026-11-26T11:00:00Z`
    pub date_time: SmolStr,
    /// Seconds since 1970.
    pub epoch: SmolStr,
}

impl Second {
    /// The texts of a second. Each call has them several times, and thousands are of the same second: a thread
    /// keeps those of its last one.
    pub fn of(seconds: i64) -> Self {
        thread_local! {
            static LAST: RefCell<Second> = RefCell::new(Second::written(0));
        }
        LAST.with_borrow_mut(|last| {
            if last.of != seconds {
                *last = Self::written(seconds);
            }
            last.clone()
        })
    }

    fn written(seconds: i64) -> Self {
        let date_time = Timestamp::from_seconds(seconds).format(TimestampFormat::DateTime);
        Self { of: seconds, date_time: date_time.into(), epoch: seconds.to_smolstr() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_own_texts_whichever_was_asked_for_before() {
        for seconds in [0, 1, 1, 1_790_000_000, 0] {
            let second = Second::of(seconds);
            let date_time = Timestamp::from_seconds(seconds).format(TimestampFormat::DateTime);
            assert_eq!(second.date_time, date_time);
            assert_eq!(second.epoch, seconds.to_string());
        }
    }
}
