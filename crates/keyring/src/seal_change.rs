//! Another root key, another seal, another base key: what changes in `seal.json` while its store
//! lives, and what can be known of it without opening it.
//!
//! Every change makes a **new root key**, so that no copy of an old key file, passphrase or wrapped
//! key opens what is written from then on. It wraps the base keys anew, which touches no value: a
//! server that runs has the base keys in memory and goes on.
//!
//! | step | on disk after it | opens with |
//! |---|---|---|
//! | lock | `seal.lock` | the old seal |
//! | prepare: to a key file, place `PATH.next` | | the old seal |
//! | prove that the new seal gives the root key back | | the old seal |
//! | replace `seal.json` | | the new seal |
//! | settle: to a key file, `PATH.next` becomes `PATH` | | the new seal |
//! | discard: from another key file, overwrite and remove it | | the new seal |
//!
//! A crash between two steps leaves what the row before says. Who opens a store whose key file is
//! not settled yet settles it. `PATH.next` is put there by this directory alone: `seal.lock` says which
//! root key that was, so that the next change removes what was left behind and nothing else.
//!
//! **A store that several servers share** has its `seal.json` with it, and what the table calls replacing
//! is done there ([`SharedSeal`]). Such a place can be slow, away, or in doubt: what was sent to it
//! may come into force after whoever sent it has gone, with a root key that lies at `PATH.next` alone. So
//! there is one step more, before any key is removed: what was read is *confirmed*, which voids
//! whatever was sent before. For the same reason who opens such a store settles a key file only when it has
//! confirmed what it opened. Other servers go on with the base keys that they have.
//!
//! Locks are taken in this order: `seal.lock`, then the store's own. Who retires a generation must
//! hold the store's too: a server that still writes under it would write what no start could read.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::base_keys::BaseKeyInfo;
use crate::errors::KeyringError;
use crate::held_seal::SealedPlace;
use crate::key_file;
use crate::keyring::{self, NewStore, Root};
use crate::parent_key::{CHECK_LEN, ParentKey, ROOT_KEY_LEN};
use crate::random;
use crate::seal_file::{self, NewSeal, Seal, SealFile};
use crate::seal_spec::SealSpec;
use crate::secret::SecretBytes;
use crate::shared_seal::{self, SharedSeal};
use crate::whole_file;

/// What is to change, beside the root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealChange {
    /// Nothing.
    RootKey,
    /// A further base key: what is sealed from the next start on is sealed under it.
    NewBaseKey,
    /// Earlier base keys go. INVARIANT: the caller holds the store's lock, and no value that is
    /// still needed is sealed under them.
    RetireEarlier,
}

/// What is known of a data directory's seal without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealStatus {
    /// The kind of seal.
    pub kind: &'static str,
    /// What the seal says of itself, by name.
    pub about: Vec<(String, String)>,
    /// How many root keys there have been.
    pub generation: u32,
    /// When the root key was made, in seconds since 1970, where that was noted.
    pub since: Option<u64>,
    /// The base keys. In the first format there is one, which is the root key.
    pub base_keys: Vec<BaseKeyInfo>,
}

/// The points between which a change can be cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Confirm,
    Prepare,
    Prove,
    Replace,
    Settle,
    Discard,
}

impl SealStatus {
    /// Reads it.
    ///
    /// # Errors
    /// [`NoSeal`](KeyringError::NoSeal), [`SealFile`](KeyringError::SealFile),
    /// [`SealFormat`](KeyringError::SealFormat), [`Io`](KeyringError::Io).
    pub fn of(data_dir: &Path) -> Result<Self, KeyringError> {
        let path = seal_file::path_in(data_dir);
        let stored = SealFile::read(&path)?.ok_or(KeyringError::NoSeal { path })?;
        Ok(Self::told_by(&stored))
    }

    /// What the bytes of a `seal.json` say that lies elsewhere.
    ///
    /// # Errors
    /// [`SealFile`](KeyringError::SealFile), [`SealFormat`](KeyringError::SealFormat).
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, KeyringError> {
        Ok(Self::told_by(&SealFile::parse(Path::new("seal.json"), bytes)?))
    }

    fn told_by(stored: &SealFile) -> Self {
        let about = stored.seal.as_held().map(|(_, blob)| blob.about.clone()).unwrap_or_default();
        Self {
            kind: stored.seal.kind(),
            about: about.into_iter().collect(),
            generation: stored.generation,
            since: stored.since,
            base_keys: stored.base_key_infos(),
        }
    }
}

impl SealChange {
    /// Puts a new root key under the seal `to`, in place of the one under `from`. A server may run.
    /// When this fails the store opens with `from` as before; or, where only the former key file
    /// could not be removed, with `to`, and the error names that file.
    ///
    /// # Errors
    /// Those of [`Keyring::open`](crate::Keyring::open) for `from`;
    /// [`SealLocked`](KeyringError::SealLocked); [`KeyFileThere`](KeyringError::KeyFileThere) and
    /// [`KeyFileIsLink`](KeyringError::KeyFileIsLink);
    /// [`PassphraseTooShort`](KeyringError::PassphraseTooShort),
    /// [`CredentialTooShort`](KeyringError::CredentialTooShort), [`Holder`](KeyringError::Holder)
    /// for `to`; [`TooManyGenerations`](KeyringError::TooManyGenerations);
    /// [`Io`](KeyringError::Io).
    pub fn apply(
        self,
        data_dir: &Path,
        from: &SealSpec,
        to: &SealSpec,
    ) -> Result<SealStatus, KeyringError> {
        self.apply_with(data_dir, from, to, &NewStore::STANDARD, None, &mut |_| Ok(()))
    }

    /// Puts a new root key under the seal `to` for a store that several servers share, from the data
    /// directory of one of them. They may run. Base keys stay: those that run have no others.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), and [`SealApart`](KeyringError::SealApart),
    /// [`Shared`](KeyringError::Shared). Where replacing was what failed, the store opens with `from` or
    /// with `to`, and both must be kept until it is known.
    pub fn shared_root_key(
        data_dir: &Path,
        from: &SealSpec,
        to: &SealSpec,
        shared: &mut dyn SharedSeal,
    ) -> Result<SealStatus, KeyringError> {
        let new = &NewStore::STANDARD;
        Self::RootKey.apply_with(data_dir, from, to, new, Some(shared), &mut |_| Ok(()))
    }

    /// `before` is asked before each step, so that tests can make one fail.
    pub(crate) fn apply_with(
        self,
        data_dir: &Path,
        from: &SealSpec,
        to: &SealSpec,
        new: &NewStore,
        mut shared: Option<&mut dyn SharedSeal>,
        before: &mut dyn FnMut(Step) -> io::Result<()>,
    ) -> Result<SealStatus, KeyringError> {
        let path = seal_file::path_in(data_dir);
        let mut before = |step| before(step).map_err(KeyringError::io("change", &path));
        let no_seal = || KeyringError::NoSeal { path: path.clone() };
        if shared.is_none() && !path.exists() {
            return Err(no_seal());
        }
        let lock = lock(data_dir)?;
        let stored = match &mut shared {
            None => SealFile::read(&path)?.ok_or_else(no_seal)?,
            Some(shared) => shared_seal::to_change(data_dir, &mut **shared)?,
        };
        let Root { bytes, key, waits } = keyring::unwrap(&path, &stored, from)?;
        let mut bases = stored.base_keys(&path, &bytes, &key)?;
        if let Some(shared) = &mut shared {
            before(Step::Confirm)?;
            shared.confirm()?;
        }
        if let (true, SealSpec::KeyFile(key_path)) = (waits, from) {
            key_file::settle(key_path, stored.former())?;
        }
        match self {
            Self::RootKey => {}
            Self::NewBaseKey => {
                bases.append(SecretBytes::random(ROOT_KEY_LEN)?, keyring::now())?;
            }
            Self::RetireEarlier => bases.retire_earlier(),
        }

        before(Step::Prepare)?;
        let former = match from {
            SealSpec::KeyFile(former) => Some(former),
            _ => None,
        };
        let root = (new.root)()?;
        let key = ParentKey::new(&root);
        if let SealSpec::KeyFile(key_path) = to {
            if former != Some(key_path) && key_path.symlink_metadata().is_ok() {
                return Err(KeyringError::KeyFileThere { path: key_path.clone() });
            }
            // The root key in force is never a leftover, wherever it lies.
            let left = lock.placed()?.filter(|left| *left != stored.check);
            key_file::clear(key_path, left.as_ref())?;
            lock.note_placed(&key.check_value())?;
            key_file::prepare(key_path, &root)?;
        }
        let id = match stored.id {
            Some(id) => id,
            None => {
                let mut id = [0; 16];
                random::fill(&mut id)?;
                id
            }
        };
        let check = key.check_value();
        let mut seal = keyring::wrap(to, &root, &check, SealedPlace { id }, new.cost)?;
        if let (Seal::KeyFile { former }, SealSpec::KeyFile(from), SealSpec::KeyFile(to)) =
            (&mut seal, from, to)
            && from == to
        {
            *former = Some(stored.check);
        }

        // The old seal goes only when the new one has given the root key back.
        before(Step::Prove)?;
        let next = SealFile {
            id: Some(id),
            generation: stored.generation.saturating_add(1),
            since: Some(keyring::now()),
            check,
            seal,
            base_keys: None,
        };
        keyring::unwrap(&path, &next, to)?;

        before(Step::Replace)?;
        let file = NewSeal {
            id,
            generation: next.generation,
            since: keyring::now(),
            root: &key,
            seal: &next.seal,
            base_keys: &bases,
        };
        let text = file.text(&path)?;
        if let Some(shared) = &mut shared {
            shared.replace(&text)?;
        }
        whole_file::replace(&path, &text)?;

        if let SealSpec::KeyFile(key_path) = to {
            before(Step::Settle)?;
            key_file::settle(key_path, next.former())?;
        }
        if let Some(former) =
            former.filter(|former| !matches!(to, SealSpec::KeyFile(to) if to == *former))
        {
            before(Step::Discard)?;
            if !key_file::discard(former, &stored.check)? {
                return Err(KeyringError::Io {
                    action: "remove",
                    path: former.clone(),
                    cause: io::Error::other("it is a link, or not the former key file any longer"),
                });
            }
        }
        SealStatus::of(data_dir)
    }
}

/// Settles the key file of a change that was cut short. Nothing depends on success: whoever opens
/// next tries again.
pub(crate) fn finish(seal_path: &Path, key_path: &Path) {
    let Some(data_dir) = seal_path.parent() else { return };
    let Ok(_lock) = lock(data_dir) else { return };
    // Another process may have settled it, and changed the seal again, since it was found.
    let Ok(Some(stored)) = SealFile::read(seal_path) else { return };
    if let Ok((_, _, true)) = key_file::find(key_path, &stored.check) {
        let _ = key_file::settle(key_path, stored.former());
    }
}

/// The same for a store that several servers share, which was opened by `stored`. The former key
/// file goes only when it is certain that it opens nothing.
pub(crate) fn finish_shared(
    seal_path: &Path,
    key_path: &Path,
    stored: &SealFile,
    shared: &mut dyn SharedSeal,
) {
    let Some(data_dir) = seal_path.parent() else { return };
    let Ok(_lock) = lock(data_dir) else { return };
    if shared.confirm().is_err() {
        return;
    }
    if let Ok((_, _, true)) = key_file::find(key_path, &stored.check) {
        let _ = key_file::settle(key_path, stored.former());
    }
}

/// The lock of a data directory's seal: the file `seal.lock`, which holds the check value of the root
/// key that was last put at a `PATH.next`.
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// What it holds.
    fn placed(&self) -> Result<Option<[u8; CHECK_LEN]>, KeyringError> {
        let mut check = [0; CHECK_LEN];
        match self.file.read_exact_at(&mut check, 0) {
            Ok(()) => Ok(Some(check)),
            Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(cause) => Err(KeyringError::Io { action: "read", path: self.path.clone(), cause }),
        }
    }

    /// Has it hold another, durably. One that is written in part is nobody's.
    fn note_placed(&self, check: &[u8; CHECK_LEN]) -> Result<(), KeyringError> {
        self.file
            .write_all_at(check, 0)
            .and_then(|()| self.file.sync_all())
            .map_err(KeyringError::io("write", &self.path))
    }
}

/// One process at a time changes a seal. The lock goes with the process, however that ends.
pub(crate) fn lock(data_dir: &Path) -> Result<Lock, KeyringError> {
    let path: PathBuf = data_dir.join("seal.lock");
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    let file = whole_file::itself(&mut options, &path).map_err(KeyringError::io("lock", &path))?;
    // It is written into: it must not be somebody else's under a second name.
    let metadata = file.metadata().map_err(KeyringError::io("inspect", &path))?;
    if !metadata.is_file() || metadata.nlink() > 1 {
        let cause = io::Error::other("it is no file of its own");
        return Err(KeyringError::Io { action: "lock", path, cause });
    }
    match file.try_lock() {
        Ok(()) => Ok(Lock { file, path }),
        Err(TryLockError::WouldBlock) => Err(KeyringError::SealLocked { path }),
        Err(TryLockError::Error(cause)) => Err(KeyringError::Io { action: "lock", path, cause }),
    }
}

#[cfg(test)]
mod tests;
