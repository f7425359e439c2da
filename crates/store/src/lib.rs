//! An ordered, transactional key-value store that services keep their state in.
//!
//! ```text
//!  Store::commit ──► group committer (one thread) ──► Engine: SQLite, or a BTreeMap
//!                    checks expectations, assigns
//!                    revisions, seals values, and
//!                    syncs once for many commits
//! ```
//!
//! A [`Partition`] is an account, or an account in a region; `0` is global. Every commit to a
//! partition moves its **revision** up by one, so a writer that knows the head knows the revision
//! of its next commit before it is made: writers can pipeline. A commit may expect the head it
//! read ([`Expect::Head`]) or single keys at single revisions ([`Expect::Key`]); if an expectation
//! fails nothing of the commit is applied.
//!
//! Values are sealed with the partition, key and revision as associated data before an engine sees
//! them: an engine is never trusted with a secret, and cannot serve one record for another.
//!
//! ```
//! use ringfence_store::{Commit, Expect, Partition, Store, model::Model, seal::Unsealed};
//! let store = Store::open(Model::default(), Unsealed).unwrap();
//! let account = Partition::new("123456789012");
//! let revision = store.commit_blocking(
//!     Commit::to(account.clone()).expect(Expect::Head(0)).put("iam/user/ann", b"record"),
//! ).unwrap();
//! assert_eq!(revision, 1);
//! assert_eq!(store.get(&account, b"iam/user/ann").unwrap().unwrap().value, b"record");
//! ```

pub mod engine;
mod gaps;
pub mod model;
pub mod postgres;
pub mod seal;
pub mod sqlite;
mod store;

pub use store::{Changed, Keyed, News, ResealedTo, Store, Watch};

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The number of commits that a partition has had.
pub type Revision = u64;

/// A part of the key space with revisions of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(Arc<str>);

impl Partition {
    /// The partition of this name: an account id, `account/region`, or `0`.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// State that belongs to no account.
    pub fn global() -> Self {
        Self::new("0")
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What must still be true for a commit to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// The partition is at this revision: nothing in it has changed.
    Head(Revision),
    /// The key was last written at this revision; 0: it is not there.
    Key(Vec<u8>, Revision),
}

/// What a commit does to a key.
#[derive(Clone)]
pub(crate) enum Write {
    Put(Vec<u8>),
    /// With a note for whoever follows the changes.
    Delete(Vec<u8>),
}

/// Changes that are applied together or not at all.
#[derive(Clone)]
pub struct Commit {
    pub(crate) partition: Partition,
    pub(crate) expect: Vec<Expect>,
    pub(crate) changes: Vec<(Vec<u8>, Write)>,
    pub(crate) forgets: bool,
    pub(crate) chain: Option<Chain>,
    /// Of what it was computed from, as far as that is known: 0 where it is not.
    pub(crate) epoch: u64,
}

/// Commits that build on each other, queued before the first of them is durable. Where one fails, so do all
/// behind it: the head that they expect may be there all the same, by another process's commit.
#[derive(Debug, Clone, Default)]
pub struct Chain(Arc<AtomicBool>);

impl Chain {
    pub(crate) fn is_broken(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn break_off(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Commit {
    /// An empty commit to a partition.
    pub fn to(partition: Partition) -> Self {
        Self {
            partition,
            expect: Vec::new(),
            changes: Vec::new(),
            forgets: false,
            chain: None,
            epoch: 0,
        }
    }

    /// Adds an expectation.
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect.push(expect);
        self
    }

    /// Writes a key.
    pub fn put(mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.changes.push((key.into(), Write::Put(value.into())));
        self
    }

    /// Removes a key, if it is there.
    pub fn delete(self, key: impl Into<Vec<u8>>) -> Self {
        self.delete_noting(key, Vec::new())
    }

    /// Removes a key, if it is there, with a note that those who follow the changes find: what the key
    /// stands for, say, where it does not tell. It is sealed as values are.
    pub fn delete_noting(mut self, key: impl Into<Vec<u8>>, note: impl Into<Vec<u8>>) -> Self {
        self.changes.push((key.into(), Write::Delete(note.into())));
        self
    }

    /// Builds on the commits of a chain that were queued before it.
    pub fn in_chain(mut self, chain: &Chain) -> Self {
        self.chain = Some(chain.clone());
        self
    }

    /// Leaves no former value of anything in the engine's files once it is durable: for secrets that are
    /// destroyed. It costs a reading of the whole database.
    pub fn forgetting(mut self) -> Self {
        self.forgets = true;
        self
    }
}

impl fmt::Debug for Commit {
    /// Values stay out: they are not sealed yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.changes.iter().map(|(key, _)| String::from_utf8_lossy(key));
        f.debug_struct("Commit")
            .field("partition", &self.partition)
            .field("expect", &self.expect)
            .field("keys", &keys.collect::<Vec<_>>())
            .finish()
    }
}

/// A value with the revision that wrote it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The partition's revision at which it was written.
    pub revision: Revision,
    /// The value, opened.
    pub value: Vec<u8>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry {{ revision: {}, {} bytes }}", self.revision, self.value.len())
    }
}

/// One key that a commit wrote or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place among all changes of the store.
    pub position: u64,
    /// Where.
    pub partition: Partition,
    /// The partition's revision that the commit made.
    pub revision: Revision,
    /// The key.
    pub key: Vec<u8>,
    /// It was removed.
    pub deleted: bool,
}

/// Why a call of the store failed. Nothing of a failed commit was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// An expectation did not hold.
    #[error("the partition is at revision {head}; an expectation did not hold")]
    Conflict {
        /// Where the partition is.
        head: Revision,
    },
    /// There is no room.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The engine failed.
    #[error("the store failed: {0}")]
    Engine(String),
    /// A value opens, and is not what its reader can make something of.
    #[error("{0}")]
    Record(String),
    /// A value does not open: another root key, or bytes that were changed.
    #[error("a value of the store does not open: {0}")]
    Seal(String),
    /// Another process has it open.
    #[error("another process has the store open: {0}")]
    Locked(String),
    /// It was written by a newer program.
    #[error("the store has format {found}, this program reads up to {known}")]
    Newer {
        /// The store's format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// The changes asked for are no longer kept; read the partition anew.
    #[error("changes after position {0} are no longer kept")]
    Trimmed(u64),
    /// Another writer came between; the same may succeed now.
    #[error("another writer came between: {0}")]
    Again(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}
