//! How much work an answer may take. It is counted and not timed, so that a question has the same
//! answer on every machine, and whoever asks it of a hostile document waits no longer than for others.
//!
//! A unit is about one look: at a place of an automaton, at a word of a set, at a value of a condition.

use std::cell::Cell;

/// The units of one answer: about a second.
pub(super) const WORK: usize = 1 << 27;

/// What is left of them.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

/// There is not enough left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent;

impl Budget {
    pub const fn new(units: usize) -> Self {
        Self(Cell::new(units))
    }

    /// Takes units.
    ///
    /// # Errors
    /// [`Spent`] where fewer are left; then none is.
    pub fn take(&self, units: usize) -> Result<(), Spent> {
        let left = self.0.get().checked_sub(units);
        self.0.set(left.unwrap_or(0));
        left.map(drop).ok_or(Spent)
    }

    pub const fn left(&self) -> usize {
        self.0.get()
    }

    /// A part of it, so that one step of many leaves something to the others.
    pub fn share(&self, units: usize) -> Share<'_> {
        let units = units.min(self.left());
        Share { whole: self, part: Self::new(units), units }
    }
}

/// A part of a budget; what it spends is taken from the whole when it is dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    whole: &'a Budget,
    part: Budget,
    units: usize,
}

impl std::ops::Deref for Share<'_> {
    type Target = Budget;

    fn deref(&self) -> &Budget {
        &self.part
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        // It was no more than what the whole had left.
        let _ = self.whole.take(self.units - self.part.left());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_from_the_whole_what_it_spends_and_no_more() {
        let whole = Budget::new(10);
        let share = whole.share(4);
        assert_eq!((share.take(3), share.take(2), share.take(0)), (Ok(()), Err(Spent), Ok(())));
        drop(share);
        assert_eq!(whole.left(), 6);
        assert_eq!(whole.share(100).left(), 6);
        assert_eq!((whole.take(7), whole.left()), (Err(Spent), 0));
    }
}
