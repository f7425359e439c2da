//! Writing a small file so that it is there whole or not at all; and never over another, but where
//! that is asked.
//!
//! The bytes go to a file under another name in the same directory, which is synced and then
//! linked to its real name. Linking, unlike renaming, fails when the name is taken: of two
//! processes that write at once one wins, and the other learns it. Only then is the directory
//! synced. A crash leaves at most a file under the other name, and [`sweep`] removes that.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::errors::KeyringError;
use crate::random;

/// Who wrote the file that is now there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    ByUs,
    ByAnother,
}

/// The points between which a write can be cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Write,
    SyncFile,
    Link,
    Unlink,
    SyncDirectory,
}

/// Writes `contents` to `path`, readable and writable by the owner alone, unless `path` exists.
/// When this returns without an error, the file is on disk, whoever wrote it.
///
/// # Errors
/// [`KeyringError::Io`], naming the path; the temporary file is gone then, and `path` is either
/// absent or whole. [`KeyringError::PermissionsNotKept`] before anything is
/// written.
pub(crate) fn place(path: &Path, contents: &[u8]) -> Result<Placed, KeyringError> {
    place_with(path, contents, &mut |_| Ok(()))
}

/// Writes `contents` to `path` in place of what is there: by renaming, so that whoever reads gets
/// the old file or the new one, whole. One process at a time: the caller holds a lock.
///
/// # Errors
/// As [`place`]; `path` is then as it was, or as it should be and not yet synced.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> Result<(), KeyringError> {
    // Not the name of `place`, whose leftovers are swept by whoever opens the file.
    let temporary = Temporary { path: beside(path, REPLACEMENT_SUFFIX)? };
    // Left by a process that was killed.
    let _ = fs::remove_file(&temporary.path);
    write_new(&temporary.path, path, contents, &mut |_| Ok(()))?;
    fs::rename(&temporary.path, path).map_err(KeyringError::io("replace", path))?;
    sync_directory_of(path)
}

/// The file at a path itself, and not what a link there leads to; without waiting for the other end of a
/// pipe.
pub(crate) fn itself(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    options.custom_flags(flags).open(path)
}

/// Overwrites what a file holds, as far as the file system writes in place, so that a secret that
/// was in it is gone. A file that has more than `names` is left alone: it is wanted under the others.
pub(crate) fn overwrite(file: &mut File, names: u64) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.nlink() > names {
        return Ok(());
    }
    let len = metadata.len();
    let mut noise = vec![0; usize::try_from(len.min(4096)).unwrap_or(4096)];
    random::fill(&mut noise).map_err(io::Error::other)?;
    file.write_all(&noise)?;
    file.sync_all()
}

/// Writes a new file for its owner alone, and syncs it. `path` is the one that it is for.
fn write_new(
    temporary: &Path,
    path: &Path,
    contents: &[u8],
    before: &mut dyn FnMut(Step) -> io::Result<()>,
) -> Result<(), KeyringError> {
    before(Step::Create).map_err(KeyringError::io("create", path))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)
        .map_err(KeyringError::io("create", path))?;
    let mode = file.metadata().map_err(KeyringError::io("inspect", path))?.permissions().mode();
    if mode & 0o077 != 0 {
        // Some file systems (FAT, certain network shares) show a mode of their own.
        let mode = mode & 0o7777;
        return Err(KeyringError::PermissionsNotKept { path: path.to_owned(), mode });
    }
    before(Step::Write)
        .and_then(|()| file.write_all(contents))
        .map_err(KeyringError::io("write", path))?;
    before(Step::SyncFile)
        .and_then(|()| file.sync_all())
        .map_err(KeyringError::io("sync to disk", path))
}

/// `before` is asked before each step, so that tests can make one fail.
fn place_with(
    path: &Path,
    contents: &[u8],
    before: &mut dyn FnMut(Step) -> io::Result<()>,
) -> Result<Placed, KeyringError> {
    let temporary = Temporary { path: temporary_path(path)? };

    write_new(&temporary.path, path, contents, before)?;

    let placed = match before(Step::Link).and_then(|()| fs::hard_link(&temporary.path, path)) {
        Ok(()) => Placed::ByUs,
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Placed::ByAnother,
        // The winner of a race sweeps; it may have swept our temporary file.
        Err(cause) if cause.kind() == io::ErrorKind::NotFound && path.exists() => Placed::ByAnother,
        Err(cause) => {
            return Err(KeyringError::Io { action: "create", path: path.to_owned(), cause });
        }
    };

    before(Step::Unlink).map_err(KeyringError::io("remove the temporary file of", path))?;
    drop(temporary);

    before(Step::SyncDirectory).map_err(KeyringError::io("sync to disk", path))?;
    sync_directory_of(path)?;
    Ok(placed)
}

/// Removes what an earlier, cut-short [`place`] of `path` left behind.
///
/// INVARIANT: `path` exists. Then whoever still writes a temporary file for it has lost already.
pub(crate) fn sweep(path: &Path) {
    let Some(prefix) = temporary_prefix(path) else { return };
    // Nothing depends on success: the leftovers are as well protected as the file itself, and the
    // next start tries again.
    let Ok(entries) = fs::read_dir(directory_of(path)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let middle = name
            .to_str()
            .and_then(|name| name.strip_prefix(&prefix))
            .and_then(|name| name.strip_suffix(TEMPORARY_SUFFIX));
        if middle.is_some_and(|middle| {
            middle.len() == 16 && middle.bytes().all(|byte| byte.is_ascii_hexdigit())
        }) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The contents of `path`, or `None` when there is no such file.
///
/// # Errors
/// [`KeyringError::Io`] when it cannot be read, or has more than `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, KeyringError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            return Err(KeyringError::Io { action: "open", path: path.to_owned(), cause });
        }
    };
    read_open(&mut file, limit).map(Some).map_err(KeyringError::io("read", path))
}

/// The rest of `file`. The buffer never grows, so no copy of a part is left unwiped.
pub(crate) fn read_open(file: &mut File, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let too_long = || io::Error::new(io::ErrorKind::FileTooLarge, "longer than expected");
    let capacity = usize::try_from(limit).map_err(|_| too_long())?.saturating_add(1);
    let mut contents = Zeroizing::new(vec![0; capacity]);
    let mut len = 0;
    while len < capacity {
        match file.read(&mut contents[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    if len == capacity {
        return Err(too_long());
    }
    contents.truncate(len);
    Ok(contents)
}

/// Makes `path` a directory of its owner's alone, with those above it, durably. A directory that
/// exists is left as it is.
///
/// # Errors
/// [`KeyringError::Io`], naming the directory that could not be made.
pub(crate) fn ensure_directory(path: &Path) -> Result<(), KeyringError> {
    if path.is_dir() {
        return Ok(());
    }
    let above = directory_of(path);
    if above != path {
        ensure_directory(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(cause) => {
            return Err(KeyringError::Io {
                action: "create the directory",
                path: path.to_owned(),
                cause,
            });
        }
    }
    sync_directory_of(path)
}

/// Makes the names in the directory of `path` durable.
///
/// # Errors
/// [`KeyringError::Io`], naming the directory.
pub(crate) fn sync_directory_of(path: &Path) -> Result<(), KeyringError> {
    let directory = directory_of(path);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(KeyringError::io("sync the directory", directory))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

const TEMPORARY_SUFFIX: &str = ".new";
const REPLACEMENT_SUFFIX: &str = ".replacement";

/// The path of a file whose name is that of `path` with something behind it.
///
/// # Errors
/// [`KeyringError::Io`] where `path` has no name.
pub(crate) fn beside(path: &Path, suffix: &str) -> Result<PathBuf, KeyringError> {
    let mut name = path.file_name().ok_or_else(|| unusable_name(path))?.to_owned();
    name.push(suffix);
    Ok(path.with_file_name(name))
}

fn unusable_name(path: &Path) -> KeyringError {
    KeyringError::Io {
        action: "create",
        path: path.to_owned(),
        cause: io::Error::new(io::ErrorKind::InvalidFilename, "not a usable file name"),
    }
}

fn temporary_prefix(path: &Path) -> Option<String> {
    Some(format!(".{}.", path.file_name()?.to_str()?))
}

fn temporary_path(path: &Path) -> Result<PathBuf, KeyringError> {
    let prefix = temporary_prefix(path).ok_or_else(|| unusable_name(path))?;
    let mut tail = [0; 8];
    random::fill(&mut tail)?;
    let tail = u64::from_be_bytes(tail);
    Ok(directory_of(path).join(format!("{prefix}{tail:016x}{TEMPORARY_SUFFIX}")))
}

/// The file under the other name; removed when dropped, on every way out.
struct Temporary {
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Failing, it is left to `sweep`. It may never have been made.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Step; 6] =
        [Step::Create, Step::Write, Step::SyncFile, Step::Link, Step::Unlink, Step::SyncDirectory];

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_write_that_fails_at_any_step_leaves_the_file_absent_or_whole_and_nothing_else() {
        for failing in STEPS {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("root.key");
            let mut asked = Vec::new();
            let error = place_with(&path, b"whole", &mut |step| {
                asked.push(step);
                if step == failing { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
            })
            .unwrap_err();

            let message = error.to_string();
            assert!(message.contains("root.key"), "{message}");
            assert!(message.contains("no storage space"), "{message}");
            assert_eq!(asked.last(), Some(&failing));
            if matches!(failing, Step::Unlink | Step::SyncDirectory) {
                assert_eq!(names(directory.path()), ["root.key"]);
                assert_eq!(fs::read(&path).unwrap(), b"whole");
            } else {
                assert_eq!(names(directory.path()), Vec::<String>::new(), "{failing:?}");
            }
        }
    }

    #[test]
    fn a_file_that_is_there_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        assert_eq!(place(&path, b"first").unwrap(), Placed::ByUs);
        assert_eq!(place(&path, b"second").unwrap(), Placed::ByAnother);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(directory.path()), ["root.key"]);
    }

    #[test]
    fn a_replaced_file_is_the_new_one_whole_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seal.json");
        place(&path, b"first").unwrap();
        // What a process that was killed left behind is no hindrance.
        fs::write(directory.path().join("seal.json.replacement"), b"half").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(directory.path()), ["seal.json"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_overwritten_file_holds_nothing_of_what_it_held_unless_it_is_wanted_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        fs::write(&path, [7; 32]).unwrap();
        let file = || File::options().write(true).open(&path).unwrap();
        let other = directory.path().join("other");
        fs::hard_link(&path, &other).unwrap();
        overwrite(&mut file(), 1).unwrap();
        assert_eq!(fs::read(&other).unwrap(), [7; 32]);
        fs::remove_file(&other).unwrap();
        overwrite(&mut file(), 1).unwrap();
        let now = fs::read(&path).unwrap();
        assert!(now.len() == 32 && now != [7; 32]);
    }

    #[test]
    fn a_loser_whose_temporary_file_was_swept_learns_that_it_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("root.key");
        let placed = place_with(&path, b"second", &mut |step| {
            if step == Step::Link {
                fs::write(&path, b"first")?;
                sweep(&path);
                assert_eq!(names(directory.path()), ["root.key"]);
            }
            Ok(())
        });
        assert_eq!(placed.unwrap(), Placed::ByAnother);
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }

    #[test]
    fn sweep_removes_leftovers_of_its_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let keep = ["root.key", ".root.key.new", ".root.key.0123456789abcdeX.new", "store.db"];
        let other = ".seal.json.0123456789abcdef.new";
        for name in keep.iter().chain([&other, &".root.key.0123456789abcdef.new"]) {
            fs::write(directory.path().join(name), "").unwrap();
        }
        sweep(&directory.path().join("root.key"));
        let mut left = names(directory.path());
        left.sort();
        let mut expected: Vec<_> = keep.iter().chain([&other]).map(|s| s.to_string()).collect();
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn directories_are_made_for_their_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        ensure_directory(&path).unwrap();
        ensure_directory(&path).unwrap();
        for made in ["a", "a/b"] {
            let mode = fs::metadata(directory.path().join(made)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{made}");
        }
    }

    #[test]
    fn a_file_longer_than_the_limit_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read(&path, 10).unwrap().unwrap().as_slice(), [7; 10]);
        assert!(matches!(read(&path, 9), Err(KeyringError::Io { action: "read", .. })));
        assert!(read(&directory.path().join("absent"), 9).unwrap().is_none());
    }
}
