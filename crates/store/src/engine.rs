//! What an engine must do: ordered bytes, one writer, snapshots. It knows no seal and no group.

use crate::{Change, Commit, Partition, Revision, StoreError};
use std::sync::Arc;
use tokio::sync::watch;

/// Whether a process may decide by what it knows: `None` while it may not, and otherwise a number, which
/// is another one after each time that it might not.
pub type Fitness = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// Tells that there may be changes which others have made.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// An engine. The group committer is its only writer in this process.
pub trait Engine: Send + 'static {
    /// Begins a transaction, in which this group is to be applied. Dropping it undoes all of it.
    fn begin(&mut self, group: &[Commit]) -> Result<Box<dyn Transaction + '_>, StoreError>;

    /// From now on `wake` is called whenever another process may have committed something; `followed` is up
    /// to where this process has taken it in. An engine that one process has to itself needs neither.
    fn join_others(&mut self, wake: Wake, followed: watch::Receiver<u64>) {
        drop((wake, followed));
    }

    /// Tells whether this process may decide by what it has taken in, where that is not always so.
    fn fitness(&self) -> Option<Fitness> {
        None
    }

    /// A handle for reading from other threads.
    fn reader(&self) -> Box<dyn Reader>;

    /// Leaves in its files only what is there now, and no value that was overwritten or removed. What the
    /// file system and the disk keep of freed blocks is not the engine's.
    fn forget(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether [`forget`](Self::forget) was called, now or by an earlier process, and did not come to its end.
    fn must_forget(&self) -> bool {
        false
    }
}

/// A transaction: it sees its own writes.
pub trait Transaction {
    /// What the revisions of its database are of; 0 where there is only one. See [`Reader::epoch`].
    fn epoch(&self) -> u64 {
        0
    }
    /// The revision of a partition; 0 for one never written.
    fn head(&mut self, partition: &Partition) -> Result<Revision, StoreError>;
    /// The revision that last wrote a key; 0 where it is not there.
    fn revision(&mut self, partition: &Partition, key: &[u8]) -> Result<Revision, StoreError>;
    /// Writes a key.
    fn put(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        sealed: &[u8],
    ) -> Result<(), StoreError>;
    /// Removes a key. `note` is kept with the change for those who follow it, where there are any.
    fn delete(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        note: &[u8],
    ) -> Result<(), StoreError>;
    /// Writes the same value of a key again, sealed anew: at the same revision, and for no watcher.
    /// Where the key has another revision now, or is gone, nothing is written.
    fn rewrite(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        sealed: &[u8],
    ) -> Result<(), StoreError>;
    /// Moves a partition's head.
    fn set_head(&mut self, partition: &Partition, revision: Revision) -> Result<(), StoreError>;
    /// Makes everything durable: when this returns, it survives a power cut.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// A key with the revision that wrote it and its sealed value.
pub type SealedEntry = (Vec<u8>, Revision, Vec<u8>);

/// Reads what is committed. Each call sees one point in time.
pub trait Reader: Send + Sync {
    /// The sealed value of a key.
    fn get(
        &self,
        partition: &Partition,
        key: &[u8],
    ) -> Result<Option<(Revision, Vec<u8>)>, StoreError>;

    /// Keys with this prefix in order, those after `after`, at most `limit`, and the partition's
    /// head at that point.
    fn range(
        &self,
        partition: &Partition,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Revision, Vec<SealedEntry>), StoreError>;

    /// Every partition that was ever written.
    fn partitions(&self) -> Result<Vec<Partition>, StoreError>;

    /// Changes after a position in order, at most `limit`.
    fn changes(&self, after: u64, limit: usize) -> Result<Vec<Change>, StoreError>;

    /// The position of the last change; 0 where there was none.
    fn last_position(&self) -> Result<u64, StoreError>;

    /// What positions are of. Another one may have other changes at positions that were read before.
    fn epoch(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// All changes after a position in order, each with what its key has at this one point in time.
    ///
    /// # Errors
    /// [`StoreError::Trimmed`] too where there are very many of them.
    fn news(&self, after: u64) -> Result<Vec<SealedNews>, StoreError>;
}

/// Of a mark, those of the position.
const POSITION_BITS: u32 = 40;

/// A position among those of all epochs: of a later one, each comes after all of an earlier one.
pub(crate) fn mark(epoch: u64, position: u64) -> u64 {
    (epoch << POSITION_BITS) | (position & ((1 << POSITION_BITS) - 1))
}

/// The epoch of a mark.
pub(crate) fn epoch_of(mark: u64) -> u64 {
    mark >> POSITION_BITS
}

/// A change, and what became of its key.
#[derive(Debug, Clone)]
pub struct SealedNews {
    pub change: Change,
    /// What the key has now, whichever change wrote it.
    pub now: Option<(Revision, Vec<u8>)>,
    /// The note of a removal.
    pub note: Vec<u8>,
}

/// Copies everything that is there into an engine that has nothing else: values as they are sealed, under
/// their revisions, and heads. What was copied before is passed over, partition by partition. Returns how
/// many values there are; `progress` hears of each step.
///
/// # Errors
/// Those of the two engines. What was copied until then stays.
pub fn copy(
    from: &dyn Reader,
    into: &mut impl Engine,
    mut progress: impl FnMut(usize),
) -> Result<usize, StoreError> {
    const AT_ONCE: usize = 500;
    let there = into.reader();
    let mut count = 0;
    for partition in from.partitions()? {
        let (head, mut page) = from.range(&partition, b"", None, AT_ONCE)?;
        // The head is written with the last of a partition.
        let (done, _) = there.range(&partition, b"", None, 1)?;
        loop {
            let last = page.last().map(|(key, ..)| key.clone());
            count += page.len();
            let ends = page.len() < AT_ONCE;
            if done != head {
                let group = [Commit::to(partition.clone())];
                let mut transaction = into.begin(&group)?;
                for (key, revision, sealed) in &page {
                    transaction.put(&partition, key, *revision, sealed)?;
                }
                transaction.set_head(&partition, if ends { head } else { 0 })?;
                transaction.commit()?;
            }
            progress(count);
            if ends {
                break;
            }
            page = from.range(&partition, b"", last.as_deref(), AT_ONCE)?.1;
        }
    }
    Ok(count)
}

/// The first key after all keys with this prefix; `None` where there is no such key.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|b| *b != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
