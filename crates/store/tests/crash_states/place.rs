//! Places that are no good: a file system that is full, one that is read-only, a store that another process
//! has open. Each runs in a process of its own.

use crate::forks;
use crate::workload::value;
use ringfence_store::seal::Unsealed;
use ringfence_store::sqlite::{ReadOnly, Sqlite};
use ringfence_store::{Commit, Partition, Store, StoreError};
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What the program is called with to be one of these processes.
pub const FILL: &str = "fill";
pub const PREPARE: &str = "prepare";
pub const READ: &str = "read";
pub const HOLD: &str = "hold";

/// A shell with file systems of its own, in which `$dir` and `$program` are set.
pub fn shell(dir: &Path, script: &str) -> Command {
    let mut command = Command::new("unshare");
    // Root may mount; others may, where users have namespaces of their own.
    let root = rustix::process::geteuid().is_root();
    command.args(if root { &["--mount"][..] } else { &["--mount", "--user", "--map-root-user"] });
    command.args(["sh", "-ec", script]).env("dir", dir);
    command.env("program", std::env::current_exe().unwrap());
    command
}

/// Whether file systems can be mounted here.
pub fn can_mount() -> bool {
    let Ok(dir) = tempfile::tempdir() else { return false };
    let mut tried = shell(dir.path(), "mount -t tmpfs -o size=1m none \"$dir\"");
    forks::succeeds(tried.stderr(Stdio::null()))
}

/// What [`fill`] writes: ever more keys, with values of the revisions that wrote them.
struct Filled {
    store: Store,
    revision: u64,
    keys: Vec<u64>,
}

impl Filled {
    fn open(dir: &Path) -> Result<Self, StoreError> {
        let store = Store::open(Sqlite::open(dir)?, Unsealed)?;
        let (revision, entries) = store.range(&Partition::global(), b"", None, 9999)?;
        let keys = entries.into_iter().map(|(_, entry)| entry.revision).collect();
        Ok(Self { store, revision, keys })
    }

    fn key(revision: u64) -> String {
        format!("{revision:06}")
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let next = self.revision + 1;
        let commit = Commit::to(Partition::global()).put(Self::key(next), value(next, 20_000));
        let commit = if next.is_multiple_of(5) { commit.forgetting() } else { commit };
        assert_eq!(self.store.commit_blocking(commit)?, next);
        self.revision = next;
        self.keys.push(next);
        Ok(())
    }

    /// Removes all but the newest keys, one by one: what is removed is zeroed, and goes through the log too.
    fn thin(&mut self) -> Result<(), StoreError> {
        while self.keys.len() > 5 {
            let commit = Commit::to(Partition::global()).delete(Self::key(self.keys[0]));
            self.revision = self.store.commit_blocking(commit.forgetting())?;
            self.keys.remove(0);
        }
        Ok(())
    }

    /// It holds what was acknowledged, and nothing of what was not.
    fn check(&self) {
        let (head, entries) = self.store.range(&Partition::global(), b"", None, 9999).unwrap();
        assert_eq!(head, self.revision);
        let revisions: Vec<_> = entries.iter().map(|(_, entry)| entry.revision).collect();
        assert_eq!(revisions, self.keys);
        assert!(entries.iter().all(|(_, entry)| entry.value == value(entry.revision, 20_000)));
    }
}

/// Fills a small file system until nothing goes, makes room, and goes on; more than once.
pub fn fill(dir: &Path) {
    let ballast = dir.join("ballast");
    let data = dir.join("data");
    fs::create_dir(&data).unwrap();
    let mut filled = Filled::open(&data).unwrap();
    let mut refused_to_open = 0;
    for round in 0..8 {
        filled.commit().unwrap();
        fs::write(&ballast, vec![1; 400_000]).unwrap();
        let mut refusals = 0;
        while refusals < 5 {
            match filled.commit() {
                Ok(()) => assert!(filled.keys.len() < 1000, "the file system is never full"),
                Err(error) => {
                    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
                    filled.check();
                    refusals += 1;
                }
            }
        }
        if round % 2 == 1 {
            // It is started anew while there is no room.
            let kept = (filled.revision, filled.keys.clone());
            drop(filled);
            let opened = Filled::open(&data);
            if let Err(error) = &opened {
                assert!(matches!(error, StoreError::Full(_) | StoreError::Engine(_)), "{error:?}");
                refused_to_open += 1;
            }
            drop(opened);
            fs::remove_file(&ballast).unwrap();
            filled = Filled::open(&data).unwrap();
            assert_eq!((filled.revision, filled.keys.clone()), kept);
        } else {
            fs::remove_file(&ballast).unwrap();
        }
        filled.commit().unwrap();
        filled.check();
        filled.thin().unwrap();
        filled.check();
    }
    println!(
        "8 times full: {} acknowledged commits, none lost; {refused_to_open} of 4 starts on a full disk refused",
        filled.revision
    );
}

/// Makes a store with one commit in it, and leaves its log as a process does that is killed.
pub fn prepare(dir: &Path) {
    let mut filled = Filled::open(dir).unwrap();
    filled.commit().unwrap();
    std::mem::forget(filled);
}

/// Opens what cannot be written.
pub fn read(dir: &Path) {
    let error = Sqlite::open(dir).err().unwrap();
    let said = error.to_string();
    assert!(matches!(error, StoreError::Engine(_)) && said.contains("ead-only"), "{said}");
    println!("to write: {said}");
    match ReadOnly::open(dir).and_then(|engine| Store::open(engine, Unsealed)) {
        Ok(store) => {
            let first = store.get(&Partition::global(), b"000001").unwrap().unwrap();
            assert_eq!(first.value, value(1, 20_000));
            println!("to read: it opens");
        }
        Err(error) => {
            assert!(matches!(error, StoreError::Engine(_)), "{error:?}");
            println!("to read: {error}");
        }
    }
}

/// Holds a store until the standard input ends.
pub fn hold(dir: &Path) {
    let _engine = Sqlite::open(dir).unwrap();
    println!("held");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A process that holds a store, and what it takes to keep it out.
pub fn keeps_a_second_process_out() {
    let dir = tempfile::tempdir().unwrap();
    for killed in [false, true] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(HOLD).arg(dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut first = forks::begin(&mut command);
        let mut said = [0; 5];
        first.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"held\n");
        for _ in 0..3 {
            let refused = Sqlite::open(dir.path()).err();
            let Some(StoreError::Locked(path)) = refused else { panic!("{refused:?}") };
            assert!(path.ends_with("store.lock"));
        }
        if killed {
            first.kill().unwrap();
        } else {
            drop(first.stdin.take());
        }
        first.wait().unwrap();
        let _no_fork = forks::none();
        drop(Sqlite::open(dir.path()).unwrap());
    }
}
