//! Places for the events of calls under way: how many are held, and for how many there is room.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Counted without the log's lock, which only whoever finds no room takes.
///
/// INVARIANT: while there is room for `n` places beyond the lines that are written, and at most `n` are held,
/// every event that a place is held for fits. A line takes no more room than its place, which is held until the
/// line is written and what is left was told; so a number that is told late is never too large. A segment that
/// ends tells 0 before the places of the next one are counted: whoever is not among them sees the 0.
#[derive(Debug, Default)]
pub(super) struct Places {
    held: AtomicU64,
    room: AtomicU64,
}

impl Places {
    /// Holds one more; whether there is room for it, as far as was told.
    pub fn hold(&self) -> bool {
        self.held.fetch_add(1, SeqCst) < self.room.load(SeqCst)
    }

    pub fn release(&self) {
        self.held.fetch_sub(1, SeqCst);
    }

    /// How many are held.
    pub fn held(&self) -> u64 {
        self.held.load(SeqCst)
    }

    /// Tells for how many there is room.
    pub fn tell(&self, places: u64) {
        self.room.store(places, SeqCst);
    }
}
