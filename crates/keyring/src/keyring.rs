//! Opening a data directory's root key, or making one on the first start.
//!
//! The order of a first start, and what a crash leaves:
//!
//! | step | on disk after it | next start |
//! |---|---|---|
//! | make the root key | nothing | starts over |
//! | key-file seal: place the key file | key file | takes the key file that is there |
//! | place `seal.json` | a store | opens it |
//!
//! Each step places a whole file or none, and never over another (`whole_file`), so of processes
//! that race the losers take the winner's root key. A key file that is there before the first
//! start, put there by whoever installs the machine, is taken likewise.

use std::fmt;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use crate::blind::Blinder;
use crate::domain::Domain;
use crate::errors::KeyringError;
use crate::key_file;
use crate::passphrase::{self, Cost, Failure};
use crate::root_key::{CHECK_LEN, ROOT_KEY_LEN, RootKey};
use crate::seal_file::{self, Seal, SealFile};
use crate::seal_spec::{DEFAULT_KEY_FILE, SealSpec};
use crate::secret::SecretBytes;
use crate::whole_file;

/// The root key of one data directory, in memory. Domain keys come from it.
///
/// Share it as it is or in an `Arc`; dropping it and every [`Domain`] wipes the root key.
pub struct Keyring {
    root: Arc<RootKey>,
    kind: &'static str,
}

/// Whether a store was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// This process made `seal.json`: the store is new.
    Created,
    /// It was there, or another process made it in the same moment.
    Existing,
}

impl Keyring {
    /// Opens the root key of the store in `data_dir`. Where there is no `seal.json` the store is
    /// new: this makes `data_dir` if need be, a root key unless the key file is there already, and
    /// `seal.json`.
    ///
    /// A caller that finds other parts of a store in `data_dir` should use [`open`](Self::open),
    /// which makes nothing: with `seal.json` lost, a new root key opens none of the old values.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) save `NoSeal`;
    /// [`KeyFileWithoutSeal`](KeyringError::KeyFileWithoutSeal) when the default key file is there
    /// and another seal is asked for; [`PassphraseTooShort`](KeyringError::PassphraseTooShort);
    /// [`PermissionsNotKept`](KeyringError::PermissionsNotKept);
    /// [`Random`](KeyringError::Random); [`Io`](KeyringError::Io), naming path and cause, when a
    /// file or directory cannot be made. A failed start can be tried again.
    pub fn open_or_create(
        data_dir: &Path,
        spec: &SealSpec,
    ) -> Result<(Self, Opened), KeyringError> {
        Self::open_or_create_with(data_dir, spec, &NewStore::STANDARD)
    }

    /// Opens the root key of the store in `data_dir`, which must exist.
    ///
    /// # Errors
    /// [`NoSeal`](KeyringError::NoSeal) without `seal.json`;
    /// [`SealFile`](KeyringError::SealFile) or [`SealFormat`](KeyringError::SealFormat) when that
    /// cannot be used; [`WrongSealKind`](KeyringError::WrongSealKind) when it is of the other
    /// kind; [`WrongPassphrase`](KeyringError::WrongPassphrase);
    /// [`KeyFileMissing`](KeyringError::KeyFileMissing),
    /// [`WrongKeyFile`](KeyringError::WrongKeyFile),
    /// [`KeyFileExposed`](KeyringError::KeyFileExposed),
    /// [`KeyFileForeign`](KeyringError::KeyFileForeign) or
    /// [`KeyFileContent`](KeyringError::KeyFileContent); [`Io`](KeyringError::Io) when a file
    /// cannot be read.
    pub fn open(data_dir: &Path, spec: &SealSpec) -> Result<Self, KeyringError> {
        let path = seal_file::path_in(data_dir);
        let stored = SealFile::read(&path)?.ok_or(KeyringError::NoSeal { path: path.clone() })?;
        Self::open_sealed(&path, &stored, spec)
    }

    /// A root key in memory only, for `--dev` and tests: what it seals is lost with the process.
    ///
    /// # Errors
    /// [`KeyringError::Random`] when the system gives no random bytes.
    pub fn ephemeral() -> Result<Self, KeyringError> {
        Ok(Self { root: Arc::new(RootKey::random()?), kind: "memory" })
    }

    /// `key file`, `passphrase` or `memory`, for the start banner.
    pub fn seal_kind(&self) -> &'static str {
        self.kind
    }

    /// The first generation of a domain's key. The same name under the same root key gives the
    /// same key, always; no two names do. Ask once for each purpose and keep the answer.
    pub fn domain(&self, name: &'static str) -> Domain {
        self.domain_at(name, NonZeroU32::MIN)
    }

    /// The pseudonyms of a purpose. The same name under the same root key gives the same pseudonyms,
    /// always.
    pub fn blinder(&self, name: &'static str) -> Blinder {
        Blinder::new(self.root.blind_key(name))
    }

    /// A domain that seals under a later generation of its key. Generations are independent: one
    /// says nothing of another. What any of them sealed, a domain of any generation opens.
    pub fn domain_at(&self, name: &'static str, generation: NonZeroU32) -> Domain {
        Domain::new(Arc::clone(&self.root), name, generation)
    }

    fn open_or_create_with(
        data_dir: &Path,
        spec: &SealSpec,
        new: &NewStore,
    ) -> Result<(Self, Opened), KeyringError> {
        let path = seal_file::path_in(data_dir);
        if let Some(stored) = SealFile::read(&path)? {
            return Ok((Self::open_sealed(&path, &stored, spec)?, Opened::Existing));
        }

        whole_file::ensure_directory(data_dir)?;
        let (root, seal) = match spec {
            SealSpec::KeyFile(key_path) => {
                (root_of_key_file(data_dir, key_path, new)?, Seal::KeyFile {})
            }
            SealSpec::Passphrase(passphrase) => {
                refuse_orphaned_key_file(data_dir)?;
                let root = (new.root)()?;
                let check = RootKey::new(&root).check_value();
                let wrapped = passphrase::wrap(passphrase, &root, &check, new.cost)?;
                (root, Seal::Passphrase(wrapped))
            }
        };
        let root = RootKey::new(&root);
        let placed = SealFile::new(root.check_value(), seal).place(&path)?;

        // Read back in either case: what opens now is what will open next time, and a process that
        // lost a race takes the winner's root key.
        let opened = match placed {
            whole_file::Placed::ByUs => Opened::Created,
            whole_file::Placed::ByAnother => Opened::Existing,
        };
        Ok((Self::open(data_dir, spec)?, opened))
    }

    fn open_sealed(path: &Path, stored: &SealFile, spec: &SealSpec) -> Result<Self, KeyringError> {
        let root = match (&stored.seal, spec) {
            (Seal::KeyFile {}, SealSpec::KeyFile(key_path)) => {
                let root = key_file::read(key_path)?
                    .ok_or_else(|| KeyringError::KeyFileMissing { path: key_path.clone() })?;
                checked(&root, &stored.check)
                    .ok_or_else(|| KeyringError::WrongKeyFile { path: key_path.clone() })
                    .inspect(|_| whole_file::sweep(key_path))?
            }
            (Seal::Passphrase(wrapped), SealSpec::Passphrase(passphrase)) => {
                let root =
                    passphrase::unwrap(passphrase, wrapped, &stored.check).map_err(|failure| {
                        match failure {
                            Failure::WrongPassphrase => {
                                KeyringError::WrongPassphrase { path: path.to_owned() }
                            }
                            Failure::BadParameters => KeyringError::SealFile {
                                path: path.to_owned(),
                                reason: "its argon2id parameters are out of bounds".to_owned(),
                            },
                        }
                    })?;
                checked(&root, &stored.check)
                    .ok_or_else(|| KeyringError::WrongPassphrase { path: path.to_owned() })?
            }
            (stored, given) => {
                return Err(KeyringError::WrongSealKind {
                    path: path.to_owned(),
                    stored: stored.kind(),
                    given: given.kind(),
                });
            }
        };
        whole_file::sweep(path);
        Ok(Self { root: Arc::new(root), kind: spec.kind() })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("seal", &self.kind).finish_non_exhaustive()
    }
}

/// What goes into a new store; tests choose it.
struct NewStore {
    root: fn() -> Result<SecretBytes, KeyringError>,
    cost: Cost,
}

impl NewStore {
    const STANDARD: Self =
        Self { root: || SecretBytes::random(ROOT_KEY_LEN), cost: Cost::STANDARD };
}

/// The root key in the key file, which is made if it is not there. It is on disk when this returns.
fn root_of_key_file(
    data_dir: &Path,
    key_path: &Path,
    new: &NewStore,
) -> Result<SecretBytes, KeyringError> {
    // Another process may have placed it and not yet have synced its name.
    let there = || match key_file::read(key_path)? {
        Some(root) => whole_file::sync_directory_of(key_path).map(|()| Some(root)),
        None => Ok(None),
    };
    if let Some(root) = there()? {
        return Ok(root);
    }
    if let Err(orphaned) = refuse_orphaned_key_file(data_dir) {
        // What looks like an orphan may be this very file, which a process that was quicker has
        // placed since.
        return there()?.ok_or(orphaned);
    }
    key_file::place(key_path, &(new.root)()?)?;
    // Ours, or that of a process that was quicker.
    key_file::read(key_path)?
        .ok_or_else(|| KeyringError::KeyFileMissing { path: key_path.to_owned() })
}

/// A default key file without `seal.json` is most likely a store whose `seal.json` was lost: a new
/// root key under another seal would open nothing of it.
fn refuse_orphaned_key_file(data_dir: &Path) -> Result<(), KeyringError> {
    let path = data_dir.join(DEFAULT_KEY_FILE);
    match path.symlink_metadata() {
        Ok(_) => Err(KeyringError::KeyFileWithoutSeal { path }),
        // What is wrong with the directory, the write that follows says.
        Err(_) => Ok(()),
    }
}

/// `None` when `root` is not the root key that `check` was made of.
fn checked(root: &SecretBytes, check: &[u8; CHECK_LEN]) -> Option<RootKey> {
    let root = RootKey::new(root);
    // The check value is public, so the time that a comparison takes tells nothing.
    (root.check_value() == *check).then_some(root)
}

#[cfg(test)]
mod tests;
