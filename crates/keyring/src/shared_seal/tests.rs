//! Changing the seal of a store that several directories share, with a place between them that fails, is
//! in doubt, and carries out late what was sent to it.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;

use super::*;
use crate::keyring::NewStore;
use crate::passphrase::Cost;
use crate::seal_change::Step;
use crate::secret::SecretString;
use crate::{Keyring, SealChange, SealSpec, SealStatus};

const CHEAP: NewStore =
    NewStore { root: NewStore::STANDARD.root, cost: Cost { memory_kib: 64, passes: 1, lanes: 1 } };

/// What is shared: a numbered file, and what was sent to it and has not arrived.
#[derive(Default)]
struct Table {
    revision: u64,
    bytes: Vec<u8>,
    under_way: Option<(u64, Vec<u8>)>,
}

impl Table {
    fn arrive(&mut self) {
        if let Some((before, bytes)) = self.under_way.take()
            && before == self.revision
        {
            (self.revision, self.bytes) = (before + 1, bytes);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Replacing {
    Answers,
    IsLost,
    IsMadeWithoutAnswer,
    ArrivesLate,
}

/// One directory's way to it.
struct Desk {
    table: Rc<RefCell<Table>>,
    seen: u64,
    replacing: Replacing,
}

impl SharedSeal for Desk {
    fn read(&mut self) -> Result<Option<Vec<u8>>, SharedFailed> {
        let table = self.table.borrow();
        self.seen = table.revision;
        Ok((table.revision > 0).then(|| table.bytes.clone()))
    }

    fn confirm(&mut self) -> Result<(), SharedFailed> {
        let mut table = self.table.borrow_mut();
        if table.revision != self.seen {
            return Err(SharedFailed("another was quicker".into()));
        }
        table.revision += 1;
        self.seen = table.revision;
        Ok(())
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), SharedFailed> {
        let mut table = self.table.borrow_mut();
        if self.replacing != Replacing::IsLost {
            table.under_way = Some((self.seen, bytes.to_vec()));
        }
        if matches!(self.replacing, Replacing::Answers | Replacing::IsMadeWithoutAnswer) {
            table.arrive();
        }
        match self.replacing {
            Replacing::Answers if table.bytes == bytes => Ok(()),
            _ => Err(SharedFailed("nobody knows".into())),
        }
    }
}

/// A store, and directories that share it.
struct World {
    table: Rc<RefCell<Table>>,
    folder: tempfile::TempDir,
    value: Vec<u8>,
}

impl World {
    /// One whose first directory, `one`, has made it under a seal.
    fn sealed(spec: Spec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("one");
        fs::create_dir(&dir).unwrap();
        let (keyring, _) = Keyring::open_or_create_with(&dir, &spec(&dir), &CHEAP).unwrap();
        let value = keyring.domain("store").seal(&[], b"value").unwrap();
        let bytes = seal_file::seal_file(&dir).unwrap().unwrap();
        let table = Table { revision: 1, bytes, under_way: None };
        Self { table: Rc::new(RefCell::new(table)), folder, value }
    }

    fn dir(&self, name: &str) -> std::path::PathBuf {
        let dir = self.folder.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn desk(&self, replacing: Replacing) -> Desk {
        Desk { table: self.table.clone(), seen: 0, replacing }
    }

    fn open(&self, name: &str, spec: &SealSpec) -> Result<(), KeyringError> {
        let dir = self.dir(name);
        let keyring = Keyring::open_shared(&dir, spec, &mut self.desk(Replacing::Answers))?;
        let opened = keyring.unwrap().domain("store").open(&[], &self.value);
        assert_eq!(*opened.unwrap(), b"value");
        Ok(())
    }

    fn change(
        &self,
        name: &str,
        (from, to): (&SealSpec, &SealSpec),
        replacing: Replacing,
        cut: Option<Step>,
    ) -> Result<SealStatus, KeyringError> {
        let mut desk = self.desk(replacing);
        let before = &mut |step| match cut == Some(step) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        };
        let dir = self.dir(name);
        SealChange::RootKey.apply_with(&dir, from, to, &CHEAP, Some(&mut desk), before)
    }
}

type Spec = fn(&Path) -> SealSpec;

fn key_file(dir: &Path) -> SealSpec {
    SealSpec::default_for(dir)
}

fn other_key_file(dir: &Path) -> SealSpec {
    SealSpec::KeyFile(dir.join("other.key"))
}

fn passphrase(_: &Path) -> SealSpec {
    SealSpec::Passphrase(SecretString::new("correct horse battery staple".into()))
}

fn copy_key(from: &Path, to: &Path) {
    fs::copy(from.join("root.key"), to.join("root.key")).unwrap();
    fs::set_permissions(to.join("root.key"), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_change_from_one_directory_is_followed_by_the_others() {
    let world = World::sealed(passphrase);
    let spec = passphrase(Path::new(""));
    world.open("two", &spec).unwrap();
    let status = world.change("one", (&spec, &spec), Replacing::Answers, None).unwrap();
    assert_eq!(status.generation, 2);
    world.open("two", &spec).unwrap();
    let copy = |name| seal_file::seal_file(&world.dir(name)).unwrap().unwrap();
    assert_eq!(copy("two"), world.table.borrow().bytes);
    assert_eq!(copy("one"), copy("two"));
    let status = world.change("two", (&spec, &spec), Replacing::Answers, None).unwrap();
    assert_eq!(status.generation, 3);
    world.open("one", &spec).unwrap();
}

#[test]
fn a_directory_with_the_former_key_file_alone_is_refused_until_it_has_the_new_one() {
    let world = World::sealed(key_file);
    let (one, two) = (world.dir("one"), world.dir("two"));
    copy_key(&one, &two);
    world.open("two", &key_file(&two)).unwrap();
    let spec = key_file(&one);
    world.change("one", (&spec, &spec), Replacing::Answers, None).unwrap();
    let refused = world.open("two", &key_file(&two)).unwrap_err();
    assert!(matches!(refused, KeyringError::WrongKeyFile { .. }), "{refused}");
    copy_key(&one, &two);
    world.open("two", &key_file(&two)).unwrap();
    world.open("one", &spec).unwrap();
}

#[test]
fn a_change_that_is_cut_short_or_in_doubt_leaves_a_store_that_opens_and_can_be_changed_again() {
    let moves: [(Spec, Spec); 4] = [
        (key_file, key_file),
        (key_file, other_key_file),
        (key_file, passphrase),
        (passphrase, key_file),
    ];
    let cuts =
        [Step::Confirm, Step::Prepare, Step::Prove, Step::Replace, Step::Settle, Step::Discard];
    let cuts = cuts.map(|step| (Replacing::Answers, Some(step))).into_iter().chain([
        (Replacing::IsLost, None),
        (Replacing::IsMadeWithoutAnswer, None),
        (Replacing::ArrivesLate, None),
    ]);
    for (replacing, cut) in cuts {
        for (i, (from, to)) in moves.iter().enumerate() {
            let at = format!("{i} {replacing:?} {cut:?}");
            let world = World::sealed(*from);
            let dir = world.dir("one");
            let (from, to) = (from(&dir), to(&dir));
            let done = world.change("one", (&from, &to), replacing, cut);
            assert!(done.is_err() || matches!(cut, Some(Step::Settle | Step::Discard)), "{at}");
            // Between the two looks what was late arrives.
            let before = world.open("one", &from).is_ok() || world.open("one", &to).is_ok();
            assert!(before, "{at}");
            world.table.borrow_mut().arrive();
            let now = match world.open("one", &to) {
                Ok(()) => &to,
                Err(_) => &from,
            };
            world.open("one", now).unwrap_or_else(|error| panic!("{at}: {error}"));
            let again = SealSpec::KeyFile(dir.join("again"));
            world.change("one", (now, &again), Replacing::Answers, None).unwrap();
            world.open("one", &again).unwrap_or_else(|error| panic!("{at}: {error}"));
        }
    }
}

#[test]
fn what_arrives_late_finds_its_key_or_does_not_come_into_force() {
    for settled_before in [true, false] {
        let world = World::sealed(key_file);
        let spec = key_file(&world.dir("one"));
        world.change("one", (&spec, &spec), Replacing::ArrivesLate, None).unwrap_err();
        if settled_before {
            world.table.borrow_mut().arrive();
        }
        // The next change removes what waits at `PATH.next`, or puts it into its place.
        let _ = world.change("one", (&spec, &spec), Replacing::IsLost, None);
        world.table.borrow_mut().arrive();
        world.open("one", &spec).unwrap();
    }
}

#[test]
fn of_two_changes_at_once_one_is_made() {
    let world = World::sealed(passphrase);
    let spec = passphrase(Path::new(""));
    let mut desk = world.desk(Replacing::Answers);
    let mut raced = false;
    let dir = world.dir("one");
    let refused =
        SealChange::RootKey.apply_with(&dir, &spec, &spec, &CHEAP, Some(&mut desk), &mut |step| {
            if step == Step::Replace && !std::mem::replace(&mut raced, true) {
                world.change("two", (&spec, &spec), Replacing::Answers, None).unwrap();
            }
            Ok(())
        });
    assert!(matches!(refused, Err(KeyringError::Shared { .. })), "{refused:?}");
    world.open("one", &spec).unwrap();
    world.open("two", &spec).unwrap();
}

#[test]
fn a_key_file_is_not_settled_on_the_word_of_a_place_that_confirms_nothing() {
    struct Unsure(Vec<u8>);
    impl SharedSeal for Unsure {
        fn read(&mut self) -> Result<Option<Vec<u8>>, SharedFailed> {
            Ok(Some(self.0.clone()))
        }
        fn confirm(&mut self) -> Result<(), SharedFailed> {
            Err(SharedFailed("no standby answers".into()))
        }
        fn replace(&mut self, _: &[u8]) -> Result<(), SharedFailed> {
            Err(SharedFailed("no standby answers".into()))
        }
    }
    let world = World::sealed(key_file);
    let dir = world.dir("one");
    let spec = key_file(&dir);
    let former = world.table.borrow().bytes.clone();
    let key = fs::read(dir.join("root.key")).unwrap();
    world.change("one", (&spec, &spec), Replacing::Answers, Some(Step::Settle)).unwrap_err();
    let now = world.table.borrow().bytes.clone();
    assert!(Keyring::open_shared(&dir, &spec, &mut Unsure(now)).is_ok());
    assert_eq!(fs::read(dir.join("root.key")).unwrap(), key);
    // The database goes back to what it had before, and nothing is lost.
    fs::remove_file(dir.join("seal.json")).unwrap();
    *world.table.borrow_mut() = Table { revision: 1, bytes: former, under_way: None };
    world.open("one", &spec).unwrap();
}

#[test]
fn a_copy_that_is_ahead_is_kept_and_the_next_change_brings_it_in_again() {
    let world = World::sealed(key_file);
    let dir = world.dir("one");
    let spec = key_file(&dir);
    let backup = world.table.borrow().bytes.clone();
    world.change("one", (&spec, &spec), Replacing::Answers, None).unwrap();
    // Restored from a backup: the former key file is gone.
    *world.table.borrow_mut() = Table { revision: 1, bytes: backup, under_way: None };
    let copy = seal_file::seal_file(&dir).unwrap();
    let refused = world.open("one", &spec).unwrap_err();
    assert!(matches!(refused, KeyringError::SealAhead { here: 2, there: 1, .. }), "{refused}");
    assert_eq!(seal_file::seal_file(&dir).unwrap(), copy);
    let status = world.change("one", (&spec, &spec), Replacing::Answers, None).unwrap();
    assert_eq!(status.generation, 3);
    world.open("one", &spec).unwrap();
}

#[test]
fn a_directory_of_another_store_takes_nothing_of_this_one() {
    let world = World::sealed(passphrase);
    let other = World::sealed(passphrase);
    let spec = passphrase(Path::new(""));
    fs::copy(other.dir("one").join("seal.json"), world.dir("two").join("seal.json")).unwrap();
    let copy = seal_file::seal_file(&world.dir("two")).unwrap();
    let refused = [
        world.open("two", &spec).unwrap_err(),
        world.change("two", (&spec, &spec), Replacing::Answers, None).unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error, KeyringError::SealApart { .. }), "{error}");
    }
    assert_eq!(seal_file::seal_file(&world.dir("two")).unwrap(), copy);
}

#[test]
fn a_shared_seal_that_opens_nothing_takes_no_copys_place() {
    let world = World::sealed(passphrase);
    let spec = passphrase(Path::new(""));
    world.open("two", &spec).unwrap();
    let copy = seal_file::seal_file(&world.dir("two")).unwrap();
    let mut forged: serde_json::Value =
        serde_json::from_slice(&world.table.borrow().bytes).unwrap();
    forged["generation"] = 9.into();
    forged["check"] = "AAAAAAAAAAAAAAAAAAAAAA==".into();
    world.table.borrow_mut().bytes = forged.to_string().into_bytes();
    for name in ["two", "three"] {
        assert!(world.open(name, &spec).is_err());
    }
    assert_eq!(seal_file::seal_file(&world.dir("two")).unwrap(), copy);
    assert_eq!(seal_file::seal_file(&world.dir("three")).unwrap(), None);
}
