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
use std::path::Path;
use std::time::SystemTime;

use crate::base_keys::{BaseKeyInfo, BaseKeys};
use crate::blind::Blinder;
use crate::domain::Domain;
use crate::errors::KeyringError;
use crate::held_seal::SealedPlace;
use crate::key_file;
use crate::parent_key::{CHECK_LEN, ParentKey, ROOT_KEY_LEN};
use crate::passphrase::{self, Cost, Failure, Secret};
use crate::random;
use crate::seal_change;
use crate::seal_file::{self, NewSeal, Seal, SealFile};
use crate::seal_spec::{DEFAULT_KEY_FILE, SealSpec};
use crate::secret::SecretBytes;
use crate::shared_seal::{self, SharedSeal};
use crate::whole_file;

/// The base keys of one data directory, in memory. Domain keys come from them; the root key that
/// wraps them is needed only to open and to change the seal, and is not kept.
///
/// Share it as it is or in an `Arc`; dropping it wipes the base keys.
pub struct Keyring {
    bases: BaseKeys,
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
    /// [`KeyFileContent`](KeyringError::KeyFileContent);
    /// [`WrongCredential`](KeyringError::WrongCredential); [`Holder`](KeyringError::Holder);
    /// [`Io`](KeyringError::Io) when a file cannot be read.
    pub fn open(data_dir: &Path, spec: &SealSpec) -> Result<Self, KeyringError> {
        let path = seal_file::path_in(data_dir);
        let mut stored =
            SealFile::read(&path)?.ok_or(KeyringError::NoSeal { path: path.clone() })?;
        // Whoever changes the seal in this moment may leave us with the old file and the new key.
        for _ in 0..3 {
            let refused = match Self::open_sealed(&path, &stored, spec) {
                Ok(keyring) => return Ok(keyring),
                Err(error) => error,
            };
            match SealFile::read(&path)? {
                Some(now) if now.check != stored.check => stored = now,
                _ => return Err(refused),
            }
        }
        Self::open_sealed(&path, &stored, spec)
    }

    /// The same for a store that several servers share, whose `seal.json` lies with it: `data_dir` has a
    /// copy, which follows. `None` where there is no store yet.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) save `NoSeal`; [`Shared`](KeyringError::Shared),
    /// [`SealAhead`](KeyringError::SealAhead), [`SealApart`](KeyringError::SealApart).
    pub fn open_shared(
        data_dir: &Path,
        spec: &SealSpec,
        shared: &mut dyn SharedSeal,
    ) -> Result<Option<Self>, KeyringError> {
        let path = seal_file::path_in(data_dir);
        let Some(mut there) = shared_seal::to_open(data_dir, shared)? else { return Ok(None) };
        // As in `open`: it may be changed in this moment.
        let mut tries = 0;
        let (keyring, waits) = loop {
            tries += 1;
            let refused = match Self::unwrapped(&path, &there.stored, spec) {
                Ok(opened) => break opened,
                Err(error) => error,
            };
            match shared_seal::to_open(data_dir, shared)? {
                Some(now) if now.stored.check != there.stored.check && tries < 4 => there = now,
                _ => return Err(refused),
            }
        };
        there.follow(data_dir)?;
        Self::sweep(&path, spec);
        if let Some(key_path) = waits {
            seal_change::finish_shared(&path, key_path, &there.stored, shared);
        }
        Ok(Some(keyring))
    }

    /// A root key in memory only, for `--dev` and tests: what it seals is lost with the process.
    ///
    /// # Errors
    /// [`KeyringError::Random`] when the system gives no random bytes.
    pub fn ephemeral() -> Result<Self, KeyringError> {
        Ok(Self { bases: BaseKeys::first(SecretBytes::random(ROOT_KEY_LEN)?), kind: "memory" })
    }

    /// The base keys that it has, as far as they may be known.
    pub fn base_keys(&self) -> Vec<BaseKeyInfo> {
        self.bases.infos()
    }

    /// The kind of its seal, or `memory`.
    pub fn seal_kind(&self) -> &'static str {
        self.kind
    }

    /// A domain's key: its newest generation seals, every one that is left opens. The same name
    /// under the same base key gives the same key, always; no two names do. Ask once for each
    /// purpose and keep the answer.
    pub fn domain(&self, name: &'static str) -> Domain {
        Domain::new(&self.bases, name)
    }

    /// The pseudonyms of a purpose. The same name in the same data directory gives the same
    /// pseudonyms, always: they stay with the first generation.
    pub fn blinder(&self, name: &'static str) -> Blinder {
        Blinder::new(self.bases.names().blind_key(name))
    }

    pub(crate) fn open_or_create_with(
        data_dir: &Path,
        spec: &SealSpec,
        new: &NewStore,
    ) -> Result<(Self, Opened), KeyringError> {
        let path = seal_file::path_in(data_dir);
        if SealFile::read(&path)?.is_some() {
            return Ok((Self::open(data_dir, spec)?, Opened::Existing));
        }

        whole_file::ensure_directory(data_dir)?;
        let root = match spec {
            SealSpec::KeyFile(key_path) => root_of_key_file(data_dir, key_path, new)?,
            _ => {
                refuse_orphaned_key_file(data_dir)?;
                (new.root)()?
            }
        };
        let mut id = [0; 16];
        random::fill(&mut id)?;
        let key = ParentKey::new(&root);
        let seal = wrap(spec, &root, &key.check_value(), SealedPlace { id }, new.cost)?;
        let since = now();
        let base_keys = BaseKeys::first_since(SecretBytes::random(ROOT_KEY_LEN)?, since);
        let file =
            NewSeal { id, generation: 1, since, root: &key, seal: &seal, base_keys: &base_keys };
        let placed = file.place(&path)?;

        // Read back in either case: what opens now is what will open next time, and a process that
        // lost a race takes the winner's root key.
        let opened = match placed {
            whole_file::Placed::ByUs => Opened::Created,
            whole_file::Placed::ByAnother => Opened::Existing,
        };
        Ok((Self::open(data_dir, spec)?, opened))
    }

    fn open_sealed(path: &Path, stored: &SealFile, spec: &SealSpec) -> Result<Self, KeyringError> {
        let (keyring, waits) = Self::unwrapped(path, stored, spec)?;
        Self::sweep(path, spec);
        if let Some(key_path) = waits {
            seal_change::finish(path, key_path);
        }
        Ok(keyring)
    }

    /// Removes what writes that were cut short have left.
    fn sweep(path: &Path, spec: &SealSpec) {
        whole_file::sweep(path);
        if let SealSpec::KeyFile(key_path) = spec {
            whole_file::sweep(key_path);
        }
    }

    /// A keyring, and the key file that still has to be settled, if one has.
    fn unwrapped<'s>(
        path: &Path,
        stored: &SealFile,
        spec: &'s SealSpec,
    ) -> Result<(Self, Option<&'s Path>), KeyringError> {
        let Root { bytes, key, waits } = unwrap(path, stored, spec)?;
        let bases = stored.base_keys(path, &bytes, &key)?;
        let key_path = match spec {
            SealSpec::KeyFile(key_path) => Some(key_path.as_path()).filter(|_| waits),
            _ => None,
        };
        Ok((Self { bases, kind: spec.kind() }, key_path))
    }
}

/// A root key as it was unwrapped.
pub(crate) struct Root {
    pub bytes: SecretBytes,
    pub key: ParentKey,
    /// It is in a key file that is not in its place yet.
    pub waits: bool,
}

/// The root key that `stored` tells, unwrapped by the seal that the operator named.
pub(crate) fn unwrap(
    path: &Path,
    stored: &SealFile,
    spec: &SealSpec,
) -> Result<Root, KeyringError> {
    let altered =
        |reason: &str| KeyringError::SealFile { path: path.to_owned(), reason: reason.to_owned() };
    let by_argon2id = |wrapped, secret: &Secret<'_>, wrong: &dyn Fn() -> KeyringError| {
        let bytes =
            passphrase::unwrap(secret, wrapped, &stored.check).map_err(
                |failure| match failure {
                    Failure::WrongPassphrase => wrong(),
                    Failure::BadParameters => altered("its argon2id parameters are out of bounds"),
                },
            )?;
        checked(bytes, &stored.check).ok_or_else(wrong)
    };
    match (&stored.seal, spec) {
        (Seal::KeyFile { .. }, SealSpec::KeyFile(key_path)) => {
            let (bytes, key, waits) = key_file::find(key_path, &stored.check)?;
            Ok(Root { bytes, key, waits })
        }
        (Seal::Passphrase(wrapped), SealSpec::Passphrase(passphrase)) => {
            let wrong = || KeyringError::WrongPassphrase { path: path.to_owned() };
            by_argon2id(wrapped, &Secret::Passphrase(passphrase), &wrong)
        }
        (Seal::Systemd(wrapped), SealSpec::Systemd(credential)) => {
            let wrong = || KeyringError::WrongCredential { path: path.to_owned() };
            by_argon2id(wrapped, &Secret::Credential(credential), &wrong)
        }
        (seal, SealSpec::Held(holder))
            if seal.as_held().is_some_and(|(kind, _)| kind == holder.kind()) =>
        {
            let (Some((kind, blob)), Some(id)) = (seal.as_held(), stored.id) else {
                return Err(altered("a seal of this kind needs the directory's id"));
            };
            let failed = |reason: String| KeyringError::Holder { kind: kind.name(), reason };
            let bytes = holder.unwrap(blob, &SealedPlace { id }).map_err(|why| failed(why.0))?;
            checked(bytes, &stored.check)
                .ok_or_else(|| failed("it gave another root key than this store's".to_owned()))
        }
        (stored, given) => Err(KeyringError::WrongSealKind {
            path: path.to_owned(),
            stored: stored.kind(),
            given: given.kind(),
        }),
    }
}

/// What `seal.json` is to keep of a root key that is put under a seal. For a key file that is
/// nothing: whoever calls this has placed it.
pub(crate) fn wrap(
    spec: &SealSpec,
    root: &SecretBytes,
    check: &[u8; CHECK_LEN],
    place: SealedPlace,
    cost: Cost,
) -> Result<Seal, KeyringError> {
    Ok(match spec {
        SealSpec::KeyFile(_) => Seal::KeyFile { former: None },
        SealSpec::Passphrase(passphrase) => {
            Seal::Passphrase(passphrase::wrap(&Secret::Passphrase(passphrase), root, check, cost)?)
        }
        SealSpec::Systemd(credential) => {
            Seal::Systemd(passphrase::wrap(&Secret::Credential(credential), root, check, cost)?)
        }
        SealSpec::Held(holder) => {
            let kind = holder.kind();
            let failed = |reason: String| KeyringError::Holder { kind: kind.name(), reason };
            let blob = holder.wrap(root, &place).map_err(|why| failed(why.0))?;
            Seal::held(kind, blob)
        }
    })
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("seal", &self.kind).finish_non_exhaustive()
    }
}

/// What goes into a new seal; tests choose it.
pub(crate) struct NewStore {
    pub root: fn() -> Result<SecretBytes, KeyringError>,
    pub cost: Cost,
}

impl NewStore {
    pub(crate) const STANDARD: Self =
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

/// `None` when `bytes` is not the root key that `check` was made of.
fn checked(bytes: SecretBytes, check: &[u8; CHECK_LEN]) -> Option<Root> {
    let key = ParentKey::new(&bytes);
    // The check value is public, so the time that a comparison takes tells nothing.
    (key.check_value() == *check).then_some(Root { bytes, key, waits: false })
}

#[cfg(test)]
mod tests;
