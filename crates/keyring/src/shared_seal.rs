//! A `seal.json` that several servers share: it lies with their store, and each data directory has a copy.
//!
//! The shared one counts. A copy is there to be compared with it: a directory takes nothing of another
//! store, and follows when the seal was changed from elsewhere.
//!
//! A copy follows when the shared one has opened, and not before: one that opens nothing, which somebody has put
//! there, takes no copy's place.
//!
//! | the copy | who opens | who changes the seal |
//! |---|---|---|
//! | is not there | takes the shared one | takes the shared one |
//! | is the same | goes on | goes on |
//! | has an earlier root key | takes the shared one | takes the shared one |
//! | has a later root key | is refused | goes on from the copy, where that has all base keys |
//! | is of another store, or went another way | is refused | is refused |
//!
//! A copy with a later root key means that what is shared was put back: the database was restored from
//! a backup, or has lost what it had acknowledged. The former root key may be gone then, and the copy
//! be the only one that opens.

use std::path::Path;

use crate::errors::KeyringError;
use crate::seal_change::lock;
use crate::seal_file::{self, SealFile};
use crate::whole_file::{self, Placed};

/// Where the `seal.json` is that counts. An implementation keeps in mind what it has read last.
pub trait SharedSeal {
    /// What is there; `None` where there is no store yet.
    ///
    /// # Errors
    /// [`SharedFailed`]
    fn read(&mut self) -> Result<Option<Vec<u8>>, SharedFailed>;

    /// Makes certain that what was read last is what counts: that it is as durable as anything there can
    /// be, and that no change which began before this comes into force after it. Only then may a key go
    /// that opens something else.
    ///
    /// # Errors
    /// [`SharedFailed`], where another was quicker too.
    fn confirm(&mut self) -> Result<(), SharedFailed>;

    /// Puts another in place of what was confirmed last, durably.
    ///
    /// # Errors
    /// [`SharedFailed`]. Whether it was replaced is then open.
    fn replace(&mut self, bytes: &[u8]) -> Result<(), SharedFailed>;
}

/// Why what is shared was not read or changed, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SharedFailed(pub String);

impl From<SharedFailed> for KeyringError {
    fn from(failed: SharedFailed) -> Self {
        Self::Shared { reason: failed.0 }
    }
}

/// What a directory's copy is to the shared one, where they differ.
#[derive(Debug, PartialEq, Eq)]
enum Copy {
    Behind,
    Ahead,
    Apart,
}

impl Copy {
    fn of(ours: &SealFile, theirs: &SealFile) -> Self {
        match (ours.id, theirs.id) {
            (Some(our), Some(their)) if our == their => {}
            _ => return Self::Apart,
        }
        match ours.generation.cmp(&theirs.generation) {
            std::cmp::Ordering::Less => Self::Behind,
            std::cmp::Ordering::Greater => Self::Ahead,
            std::cmp::Ordering::Equal => Self::Apart,
        }
    }
}

/// The shared `seal.json`, by which a directory is to be opened.
pub(crate) struct Shared {
    pub stored: SealFile,
    bytes: Vec<u8>,
}

/// What is shared, where it may open a directory; `None` where there is none.
///
/// # Errors
/// [`SealAhead`](KeyringError::SealAhead), [`SealApart`](KeyringError::SealApart);
/// [`Shared`](KeyringError::Shared); those of reading a `seal.json`.
pub(crate) fn to_open(
    data_dir: &Path,
    shared: &mut dyn SharedSeal,
) -> Result<Option<Shared>, KeyringError> {
    let Some(bytes) = shared.read()? else { return Ok(None) };
    let stored = SealFile::parse(&seal_file::path_in(data_dir), &bytes)?;
    let shared = Shared { stored, bytes };
    shared.copy_that_may_follow(data_dir)?;
    Ok(Some(shared))
}

impl Shared {
    /// Whether the directory's copy is to follow: `None` where it is the same, and `Some` of whether there is
    /// one.
    fn copy_that_may_follow(&self, data_dir: &Path) -> Result<Option<bool>, KeyringError> {
        let path = seal_file::path_in(data_dir);
        let Some(ours) = seal_file::seal_file(data_dir)? else { return Ok(Some(false)) };
        if ours == self.bytes {
            return Ok(None);
        }
        let ours = SealFile::parse(&path, &ours)?;
        let (here, there) = (ours.generation, self.stored.generation);
        match Copy::of(&ours, &self.stored) {
            Copy::Behind => Ok(Some(true)),
            Copy::Ahead => Err(KeyringError::SealAhead { path, here, there }),
            Copy::Apart => Err(KeyringError::SealApart { path }),
        }
    }

    /// Has the directory's copy follow.
    ///
    /// # Errors
    /// As [`to_open`], and those of placing a file.
    pub(crate) fn follow(&self, data_dir: &Path) -> Result<(), KeyringError> {
        let path = seal_file::path_in(data_dir);
        let Some(there) = self.copy_that_may_follow(data_dir)? else { return Ok(()) };
        if !there && whole_file::place(&path, &self.bytes)? == Placed::ByUs {
            return Ok(());
        }
        let _lock = match lock(data_dir) {
            // Whoever changes the seal leaves a newer copy.
            Err(KeyringError::SealLocked { .. }) => return Ok(()),
            locked => locked?,
        };
        // Looked at again: another process may have changed the seal meanwhile.
        match self.copy_that_may_follow(data_dir)? {
            Some(_) => whole_file::replace(&path, &self.bytes),
            None => Ok(()),
        }
    }
}

/// Gives a directory the `seal.json` of a shared store, or has its copy follow it.
///
/// # Errors
/// [`SealAhead`](KeyringError::SealAhead), [`SealApart`](KeyringError::SealApart);
/// [`SealFile`](KeyringError::SealFile), [`SealFormat`](KeyringError::SealFormat);
/// [`Io`](KeyringError::Io).
pub fn follow_seal_file(data_dir: &Path, bytes: &[u8]) -> Result<(), KeyringError> {
    let stored = SealFile::parse(&seal_file::path_in(data_dir), bytes)?;
    Shared { stored, bytes: bytes.to_vec() }.follow(data_dir)
}

/// The `seal.json` from which the seal is to be changed: the shared one, or a copy that is ahead of it.
/// INVARIANT: the caller holds the directory's lock.
///
/// # Errors
/// As [`to_open`], and [`NoSeal`](KeyringError::NoSeal).
pub(crate) fn to_change(
    data_dir: &Path,
    shared: &mut dyn SharedSeal,
) -> Result<SealFile, KeyringError> {
    let path = seal_file::path_in(data_dir);
    let Some(bytes) = shared.read()? else { return Err(KeyringError::NoSeal { path }) };
    let theirs = SealFile::parse(&path, &bytes)?;
    let Some(ours) = seal_file::seal_file(data_dir)?.filter(|ours| *ours != bytes) else {
        return Ok(theirs);
    };
    let ours = SealFile::parse(&path, &ours)?;
    match Copy::of(&ours, &theirs) {
        Copy::Behind => Ok(theirs),
        // Every value there is sealed under a base key that the copy has, too.
        Copy::Ahead if ours.has_base_keys_of(&theirs) => Ok(ours),
        Copy::Ahead | Copy::Apart => Err(KeyringError::SealApart { path }),
    }
}

#[cfg(test)]
mod tests;
