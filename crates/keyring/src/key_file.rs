//! The key-file seal: the root key as 32 raw bytes in a file that its owner alone can use.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::errors::KeyringError;
use crate::root_key::ROOT_KEY_LEN;
use crate::secret::SecretBytes;
use crate::whole_file::{self, Placed};

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

    // Of the open file, not of the path: what is judged is what is read. (A path may well be a
    // symbolic link; container platforms mount secrets so.)
    let metadata = file.metadata().map_err(KeyringError::io("inspect", path))?;
    if !metadata.is_file() {
        return Err(unusable(path, "it is not a regular file"));
    }
    judge(path, metadata.mode(), metadata.uid(), rustix::process::geteuid().as_raw())?;

    let bytes = whole_file::read_open(&mut file, ROOT_KEY_LEN as u64)
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
    Ok(Some(SecretBytes(bytes)))
}

/// Writes `root` to `path`, unless there is a file already.
///
/// # Errors
/// Those of [`whole_file::place`].
pub(crate) fn place(path: &Path, root: &SecretBytes) -> Result<Placed, KeyringError> {
    whole_file::place(path, root.expose())
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
