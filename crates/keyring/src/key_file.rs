//! The key-file seal: the root key as 32 raw bytes in a file that its owner alone can use.
//!
//! A new root key comes into `PATH.next` first. Once `seal.json` says that it is the root key, it
//! takes the place of the file at `PATH`, whose bytes are overwritten. So at any moment one of the
//! two is the root key that `seal.json` tells, and whoever opens looks at both. Nothing is replaced
//! but the former root key, which `seal.json` tells too, and nothing removed at `PATH.next` but the
//! root key that was put there last, which `seal.lock` tells: anything else there is somebody's, the
//! only key of another directory perhaps.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::errors::KeyringError;
use crate::parent_key::{CHECK_LEN, ParentKey, ROOT_KEY_LEN};
use crate::secret::SecretBytes;
use crate::whole_file::{self, Placed, itself};

/// The root key in the file at `path`, or `None` when there is no such file.
///
/// # Errors
/// [`KeyringError::KeyFileExposed`] when group or others may read, write or run it,
/// [`KeyringError::KeyFileForeign`] when another user owns it, [`KeyringError::KeyFileContent`]
/// when it is no root key, [`KeyringError::Io`] when it cannot be read.
pub(crate) fn read(path: &Path) -> Result<Option<SecretBytes>, KeyringError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            return Err(KeyringError::Io { action: "open", path: path.to_owned(), cause });
        }
    };

    read_open(&mut file, path).map(Some)
}

/// The root key in an open file.
fn read_open(file: &mut File, path: &Path) -> Result<SecretBytes, KeyringError> {
    // Of the open file, not of the path: what is judged is what is read. (A path may well be a
    // symbolic link; container platforms mount secrets so.)
    let metadata = file.metadata().map_err(KeyringError::io("inspect", path))?;
    if !metadata.is_file() {
        return Err(unusable(path, "it is not a regular file"));
    }
    judge(path, metadata.mode(), metadata.uid(), rustix::process::geteuid().as_raw())?;

    let bytes = whole_file::read_open(file, ROOT_KEY_LEN as u64)
        .or_else(|cause| match cause.kind() {
            io::ErrorKind::FileTooLarge => Ok(Default::default()),
            _ => Err(cause),
        })
        .map_err(KeyringError::io("read", path))?;
    if bytes.len() != ROOT_KEY_LEN {
        return Err(unusable(path, "it is not 32 bytes long"));
    }
    // What a file system may leave of a file that was copied just before a power cut.
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(unusable(path, "it is all zeros"));
    }
    Ok(SecretBytes(bytes))
}

/// Writes `root` to `path`, unless there is a file already.
///
/// # Errors
/// Those of [`whole_file::place`].
pub(crate) fn place(path: &Path, root: &SecretBytes) -> Result<Placed, KeyringError> {
    whole_file::place(path, root.expose())
}

/// Where a new root key waits.
///
/// # Errors
/// [`KeyringError::Io`] for a path without a file name.
pub(crate) fn next_of(path: &Path) -> Result<PathBuf, KeyringError> {
    whole_file::beside(path, ".next")
}

/// The root key that has this check value, and whether it still waits to be settled.
///
/// # Errors
/// What is wrong with the file at `path`: that it is missing, is another's, or one of those of
/// [`read`].
pub(crate) fn find(
    path: &Path,
    check: &[u8; CHECK_LEN],
) -> Result<(SecretBytes, ParentKey, bool), KeyringError> {
    let right = |path: &Path| match read(path)? {
        None => Err(KeyringError::KeyFileMissing { path: path.to_owned() }),
        Some(root) => {
            let key = ParentKey::new(&root);
            // The check value is public, so the time that a comparison takes tells nothing.
            match key.check_value() == *check {
                true => Ok((root, key)),
                false => Err(KeyringError::WrongKeyFile { path: path.to_owned() }),
            }
        }
    };
    let first = match right(path) {
        Ok((root, key)) => return Ok((root, key, false)),
        Err(error) => error,
    };
    if let Ok((root, key)) = right(&next_of(path)?) {
        return Ok((root, key, true));
    }
    // It may have been settled between the two looks.
    right(path).map(|(root, key)| (root, key, false)).map_err(|_| first)
}

/// Makes room at `PATH.next` for [`prepare`]: what the last attempt left there goes, which has the
/// check value `left`, or is the key file under a second name.
///
/// # Errors
/// [`KeyringError::KeyFileIsLink`] where `path` is a symbolic link, which settling would replace;
/// [`KeyringError::KeyFileThere`] where something else is at `PATH.next`.
pub(crate) fn clear(path: &Path, left: Option<&[u8; CHECK_LEN]>) -> Result<(), KeyringError> {
    let itself = path.symlink_metadata().ok();
    if itself.as_ref().is_some_and(fs::Metadata::is_symlink) {
        return Err(KeyringError::KeyFileIsLink { path: path.to_owned() });
    }
    let next = next_of(path)?;
    let Ok(there) = next.symlink_metadata() else { return Ok(()) };
    // One file under both names: what a crash in the midst of settling leaves.
    let second_name =
        itself.is_some_and(|file| (file.dev(), file.ino()) == (there.dev(), there.ino()));
    if second_name {
        fs::remove_file(&next).map_err(KeyringError::io("remove", &next))?;
        return whole_file::sync_directory_of(&next);
    }
    match left.map(|left| discard(&next, left)).transpose()? {
        Some(true) => Ok(()),
        Some(false) | None => Err(KeyringError::KeyFileThere { path: next }),
    }
}

/// Puts `root` where it waits for [`settle`].
///
/// # Errors
/// Those of [`whole_file::place`].
pub(crate) fn prepare(path: &Path, root: &SecretBytes) -> Result<(), KeyringError> {
    let next = next_of(path)?;
    match whole_file::place(&next, root.expose())? {
        Placed::ByUs => Ok(()),
        Placed::ByAnother => Err(KeyringError::KeyFileThere { path: next }),
    }
}

/// Puts what waits into its place: over the key file whose check value is `former`, whose bytes are
/// overwritten, or where there is none. Whatever else is there stays, and the new key goes on
/// waiting; it is found there as well.
///
/// # Errors
/// [`KeyringError::KeyFileThere`]; [`KeyringError::Io`].
pub(crate) fn settle(path: &Path, former: Option<&[u8; CHECK_LEN]>) -> Result<(), KeyringError> {
    let next = next_of(path)?;
    let is_former = || {
        let there = read(path).ok().flatten();
        there.is_some_and(|root| Some(&ParentKey::new(&root).check_value()) == former)
    };
    if path.symlink_metadata().is_err() {
        // As in `whole_file`: unlike renaming, linking takes nobody's place.
        fs::hard_link(&next, path).map_err(KeyringError::io("create", path))?;
        fs::remove_file(&next).map_err(KeyringError::io("remove", &next))?;
        return whole_file::sync_directory_of(path);
    }
    if !is_former() {
        return Err(KeyringError::KeyFileThere { path: path.to_owned() });
    }
    // It need not be writable; what counts is the renaming.
    let replaced = itself(File::options().write(true), path);
    fs::rename(&next, path).map_err(KeyringError::io("replace", path))?;
    whole_file::sync_directory_of(path)?;
    if let Ok(mut replaced) = replaced {
        let _ = whole_file::overwrite(&mut replaced, 0);
    }
    Ok(())
}

/// Removes the key file that has this check value and is of no use any more, its bytes overwritten
/// first. It need not be there. Whether it is gone: anything else that is there stays.
///
/// # Errors
/// [`KeyringError::Io`].
pub(crate) fn discard(path: &Path, check: &[u8; CHECK_LEN]) -> Result<bool, KeyringError> {
    let mut file = match itself(File::options().read(true), path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(true),
        // A link, or what we may not read.
        Err(_) => return Ok(false),
    };
    let there = match read_open(&mut file, path) {
        Ok(root) => ParentKey::new(&root).check_value(),
        Err(_) => return Ok(false),
    };
    if there != *check {
        return Ok(false);
    }
    let same = |other: &File| {
        let place = |file: &File| file.metadata().map(|it| (it.dev(), it.ino())).ok();
        place(other) == place(&file)
    };
    // It need not be writable; what counts is that it goes.
    if let Some(mut file) = itself(File::options().write(true), path).ok().filter(same) {
        let _ = whole_file::overwrite(&mut file, 1);
    }
    match fs::remove_file(path) {
        Ok(()) => whole_file::sync_directory_of(path).map(|()| true),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(cause) => Err(KeyringError::Io { action: "remove", path: path.to_owned(), cause }),
    }
}

fn judge(path: &Path, mode: u32, owner: u32, process: u32) -> Result<(), KeyringError> {
    if owner != process {
        return Err(KeyringError::KeyFileForeign { path: path.to_owned(), owner, process });
    }
    // With an access control list the group bits are its mask, so this refuses those as well.
    if mode & 0o077 != 0 {
        return Err(KeyringError::KeyFileExposed { path: path.to_owned(), mode: mode & 0o7777 });
    }
    Ok(())
}

fn unusable(path: &Path, reason: &'static str) -> KeyringError {
    KeyringError::KeyFileContent { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_file_that_others_may_use_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        fs::write(&path, [7; 32]).unwrap();
        for (mode, usable) in [
            (0o600, true),
            (0o400, true),
            (0o644, false),
            (0o640, false),
            (0o620, false),
            (0o601, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match read(&path) {
                Ok(Some(root)) => assert!(usable && root.matches(&[7; 32]), "{mode:o}"),
                Err(error @ KeyringError::KeyFileExposed { .. }) => {
                    assert!(!usable, "{mode:o}");
                    assert!(error.to_string().contains(&format!("{mode:04o}")), "{error}");
                }
                other => panic!("{mode:o}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_key_file_of_another_user_is_refused() {
        let path = Path::new("root.key");
        assert!(judge(path, 0o100600, 1000, 1000).is_ok());
        for (owner, process) in [(1000, 1001), (0, 1000), (1000, 0)] {
            assert!(matches!(
                judge(path, 0o100600, owner, process),
                Err(KeyringError::KeyFileForeign { .. })
            ));
        }
    }

    #[test]
    fn a_key_file_that_holds_no_root_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        for contents in [&[][..], &[7; 31], &[7; 33], &[7; 4000], &[0; 32]] {
            fs::write(&path, contents).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(
                matches!(read(&path), Err(KeyringError::KeyFileContent { .. })),
                "{}",
                contents.len()
            );
        }
        assert!(matches!(read(directory.path()), Err(KeyringError::KeyFileContent { .. })));
    }

    #[test]
    fn an_absent_key_file_is_none() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(&directory.path().join("root.key")).unwrap().is_none());
    }
}
