//! A `seal.json` that several servers share: it lies with their store, and each data directory has a copy.
//!
//! The shared one counts. A copy is there to be compared with it: a directory takes nothing of another
//! store, and follows when the seal was changed from elsewhere.
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

/// The shared `seal.json`, by which a directory is to be opened; `None` where there is none. The copy
/// follows it.
///
/// # Errors
/// [`SealAhead`](KeyringError::SealAhead), [`SealApart`](KeyringError::SealApart);
/// [`Shared`](KeyringError::Shared); those of reading and placing a `seal.json`.
pub(crate) fn to_open(
    data_dir: &Path,
    shared: &mut dyn SharedSeal,
) -> Result<Option<SealFile>, KeyringError> {
    let Some(bytes) = shared.read()? else { return Ok(None) };
    follow(data_dir, &bytes).map(Some)
}

/// Has the copy of a directory follow what is shared.
///
/// # Errors
/// As [`to_open`].
fn follow(data_dir: &Path, bytes: &[u8]) -> Result<SealFile, KeyringError> {
    let path = seal_file::path_in(data_dir);
    let theirs = SealFile::parse(&path, bytes)?;
    match differing(data_dir, bytes, &theirs)? {
        None => {}
        Some((Copy::Behind, _)) => match lock(data_dir) {
            // Looked at again: another process may have changed the seal meanwhile.
            Ok(_lock) => {
                if matches!(differing(data_dir, bytes, &theirs)?, Some((Copy::Behind, _))) {
                    whole_file::replace(&path, bytes)?;
                }
            }
            // Whoever changes the seal leaves a newer copy.
            Err(KeyringError::SealLocked { .. }) => {}
            Err(error) => return Err(error),
        },
        Some((Copy::Ahead, ours)) => {
            return Err(KeyringError::SealAhead {
                path,
                here: ours.generation,
                there: theirs.generation,
            });
        }
        Some((Copy::Apart, _)) => return Err(KeyringError::SealApart { path }),
    }
    Ok(theirs)
}

/// Gives a directory the `seal.json` of a shared store, or has its copy follow it.
///
/// # Errors
/// [`SealAhead`](KeyringError::SealAhead), [`SealApart`](KeyringError::SealApart);
/// [`SealFile`](KeyringError::SealFile), [`SealFormat`](KeyringError::SealFormat);
/// [`Io`](KeyringError::Io).
pub fn follow_seal_file(data_dir: &Path, bytes: &[u8]) -> Result<(), KeyringError> {
    follow(data_dir, bytes).map(drop)
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
    match differing(data_dir, &bytes, &theirs)? {
        None | Some((Copy::Behind, _)) => Ok(theirs),
        // Every value there is sealed under a base key that the copy has, too.
        Some((Copy::Ahead, ours)) if ours.has_base_keys_of(&theirs) => Ok(ours),
        Some((Copy::Ahead | Copy::Apart, _)) => Err(KeyringError::SealApart { path }),
    }
}

/// The directory's copy, where it differs from what is shared. Where there is none, it is made.
fn differing(
    data_dir: &Path,
    bytes: &[u8],
    theirs: &SealFile,
) -> Result<Option<(Copy, SealFile)>, KeyringError> {
    let path = seal_file::path_in(data_dir);
    let ours = match seal_file::seal_file(data_dir)? {
        Some(ours) => ours,
        None => match whole_file::place(&path, bytes)? {
            Placed::ByUs => return Ok(None),
            Placed::ByAnother => seal_file::seal_file(data_dir)?.unwrap_or_default(),
        },
    };
    if ours == bytes {
        return Ok(None);
    }
    let ours = SealFile::parse(&path, &ours)?;
    Ok(Some((Copy::of(&ours, theirs), ours)))
}

#[cfg(test)]
mod tests;
