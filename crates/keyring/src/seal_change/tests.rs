//! Rotating and moving seals, stopping at every step of it, and opening what older programs made.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::held_seal::{Blob, HeldKind, HeldSeal, HolderFailed};
use crate::passphrase::Cost;
use crate::secret::SecretString;
use crate::{Keyring, Opened};

/// Cheap passphrases.
const CHEAP: NewStore =
    NewStore { root: NewStore::STANDARD.root, cost: Cost { memory_kib: 64, passes: 1, lanes: 1 } };

const STEPS: [Step; 5] = [Step::Prepare, Step::Prove, Step::Replace, Step::Settle, Step::Discard];

struct Store(tempfile::TempDir);

impl Store {
    /// A store that is sealed so.
    fn sealed(spec: impl Fn(&Path) -> SealSpec) -> (Self, SealSpec) {
        let store = Self(tempfile::tempdir().unwrap());
        let spec = spec(store.path());
        let opened = Keyring::open_or_create_with(store.path(), &spec, &CHEAP).unwrap();
        assert_eq!(opened.1, Opened::Created);
        (store, spec)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn change(
        &self,
        change: SealChange,
        from: &SealSpec,
        to: &SealSpec,
    ) -> Result<SealStatus, KeyringError> {
        change.apply_with(self.path(), from, to, &CHEAP, None, &mut |_| Ok(()))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn opens(&self, spec: &SealSpec) -> bool {
        Keyring::open(self.path(), spec).is_ok()
    }
}

fn key_file(path: &Path) -> SealSpec {
    SealSpec::default_for(path)
}

fn passphrase(_: &Path) -> SealSpec {
    SealSpec::Passphrase(SecretString::new("correct horse battery staple".into()))
}

fn other_passphrase(_: &Path) -> SealSpec {
    SealSpec::Passphrase(SecretString::new("incorrect donkey battery".into()))
}

fn credential(_: &Path) -> SealSpec {
    SealSpec::Systemd(SecretBytes::new(vec![0xc3; 32]))
}

fn other_key_file(path: &Path) -> SealSpec {
    SealSpec::KeyFile(path.join("other.key"))
}

/// A holder that wraps by adding a byte, and binds to the place.
#[derive(Debug)]
struct Holder {
    adds: u8,
    forgets: bool,
}

impl HeldSeal for Holder {
    fn kind(&self) -> HeldKind {
        HeldKind::Tpm
    }

    fn in_words(&self) -> String {
        "a holder".into()
    }

    fn wrap(&self, root: &SecretBytes, place: &SealedPlace) -> Result<Blob, HolderFailed> {
        let wrapped = root.expose().iter().map(|byte| byte.wrapping_add(self.adds)).collect();
        let about = [("place".to_owned(), place.id_text())].into();
        Ok(Blob { about, data: [("wrapped".to_owned(), wrapped)].into() })
    }

    fn unwrap(&self, blob: &Blob, place: &SealedPlace) -> Result<SecretBytes, HolderFailed> {
        if self.forgets || blob.about("place")? != place.id_text() {
            return Err(HolderFailed("it is elsewhere".into()));
        }
        let wrapped = blob.data("wrapped")?;
        Ok(SecretBytes::new(wrapped.iter().map(|byte| byte.wrapping_sub(self.adds)).collect()))
    }
}

fn held(_: &Path) -> SealSpec {
    SealSpec::Held(Box::new(Holder { adds: 3, forgets: false }))
}

type Spec = fn(&Path) -> SealSpec;

const KINDS: [Spec; 4] = [key_file, passphrase, credential, held];

/// A value, and the same name's pseudonym.
fn sealed(keyring: &Keyring) -> (Vec<u8>, [u8; 16]) {
    let value = keyring.domain("store").seal(&[b"aad"], b"value").unwrap();
    (value, keyring.blinder("names").blind(&[b"name"]))
}

fn holds(store: &Store, spec: &SealSpec, (value, pseudonym): &(Vec<u8>, [u8; 16])) -> bool {
    let keyring = Keyring::open(store.path(), spec).unwrap();
    keyring.domain("store").open(&[b"aad"], value).is_ok()
        && keyring.blinder("names").blind(&[b"name"]) == *pseudonym
}

#[test]
fn from_every_seal_to_every_other_values_and_names_stay_and_the_old_seal_opens_no_more() {
    for (i, from) in KINDS.iter().enumerate() {
        for (j, to) in KINDS.iter().enumerate().filter(|(j, _)| *j != i) {
            let (store, from) = Store::sealed(from);
            let written = sealed(&Keyring::open(store.path(), &from).unwrap());
            let to = to(store.path());
            let status = store.change(SealChange::RootKey, &from, &to).unwrap();
            assert_eq!((status.kind, status.generation), (to.kind(), 2), "{i} to {j}");
            assert!(holds(&store, &to, &written), "{i} to {j}");
            assert!(!store.opens(&from), "{i} to {j}");
            let expected: &[&str] = match to {
                SealSpec::KeyFile(_) => &["root.key", "seal.json", "seal.lock"],
                _ => &["seal.json", "seal.lock"],
            };
            assert_eq!(store.names(), expected, "{i} to {j}");
        }
    }
}

#[test]
fn a_rotated_root_key_is_a_new_one_under_the_same_seal_and_an_old_copy_of_it_opens_nothing() {
    for kind in KINDS {
        let (store, spec) = Store::sealed(kind);
        let written = sealed(&Keyring::open(store.path(), &spec).unwrap());
        let old_seal = fs::read(store.path().join("seal.json")).unwrap();
        let old_key = fs::read(store.path().join("root.key")).ok();
        for generation in [2, 3] {
            let status = store.change(SealChange::RootKey, &spec, &spec).unwrap();
            assert_eq!(status.generation, generation);
            assert!(holds(&store, &spec, &written));
        }
        let new_seal = fs::read(store.path().join("seal.json")).unwrap();
        assert_ne!(old_seal, new_seal);
        if let Some(old_key) = old_key {
            let path = store.path().join("root.key");
            assert_ne!(fs::read(&path).unwrap(), old_key);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::write(&path, old_key).unwrap();
            assert!(!store.opens(&spec), "the former key file is of no use");
        }
    }
}

#[test]
fn a_change_that_is_cut_short_at_any_step_leaves_a_store_that_opens_and_can_be_changed_again() {
    let moves: [(Spec, Spec); 8] = [
        (key_file, key_file),
        (key_file, other_key_file),
        (key_file, passphrase),
        (passphrase, key_file),
        (passphrase, other_passphrase),
        (passphrase, held),
        (held, held),
        (held, credential),
    ];
    for (i, (from, to)) in moves.into_iter().enumerate() {
        for failing in STEPS {
            let (store, from) = Store::sealed(from);
            let to = to(store.path());
            let written = sealed(&Keyring::open(store.path(), &from).unwrap());
            let mut reached = false;
            let result = SealChange::RootKey.apply_with(
                store.path(),
                &from,
                &to,
                &CHEAP,
                None,
                &mut |step| {
                    reached |= step == failing;
                    if step == failing { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
                },
            );
            assert_eq!(result.is_err(), reached, "{i} {failing:?}");
            let at = format!("{i} {failing:?}");
            let (now, gone) = match failing {
                Step::Prepare | Step::Prove | Step::Replace if reached => (&from, &to),
                _ => (&to, &from),
            };
            assert!(holds(&store, now, &written), "{at}");
            let same = matches!((now, gone), (SealSpec::KeyFile(a), SealSpec::KeyFile(b)) if a == b)
                || matches!((now, gone), (SealSpec::Held(_), SealSpec::Held(_)));
            assert!(same || !store.opens(gone), "{at}");

            let again = key_file(&store.path().join("again"));
            fs::create_dir(store.path().join("again")).unwrap();
            store.change(SealChange::RootKey, now, &again).unwrap();
            assert!(holds(&store, &again, &written), "{at}");
        }
    }
}

#[test]
fn whoever_opens_a_key_file_that_is_not_settled_settles_it() {
    let (store, spec) = Store::sealed(key_file);
    let old = fs::read(store.path().join("root.key")).unwrap();
    let cut = &mut |step| match step {
        Step::Settle => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    };
    SealChange::RootKey.apply_with(store.path(), &spec, &spec, &CHEAP, None, cut).unwrap_err();
    assert_eq!(store.names(), ["root.key", "root.key.next", "seal.json", "seal.lock"]);
    assert!(store.opens(&spec));
    assert_eq!(store.names(), ["root.key", "seal.json", "seal.lock"]);
    assert_ne!(fs::read(store.path().join("root.key")).unwrap(), old);
    assert!(store.opens(&spec));
}

#[test]
fn settling_replaces_the_former_key_file_and_no_other_file() {
    let (store, from) = Store::sealed(passphrase);
    let to = key_file(store.path());
    let cut = &mut |step| match step {
        Step::Settle => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    };
    SealChange::RootKey.apply_with(store.path(), &from, &to, &CHEAP, None, cut).unwrap_err();
    // Somebody else's key file has come to the path meanwhile.
    let other = [9; ROOT_KEY_LEN];
    fs::write(store.path().join("root.key"), other).unwrap();
    fs::set_permissions(store.path().join("root.key"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(store.opens(&to));
    assert_eq!(fs::read(store.path().join("root.key")).unwrap(), other);
    let error = store.change(SealChange::RootKey, &to, &to).unwrap_err();
    assert!(matches!(error, KeyringError::KeyFileThere { .. }), "{error}");
    assert_eq!(fs::read(store.path().join("root.key")).unwrap(), other);

    fs::remove_file(store.path().join("root.key")).unwrap();
    assert!(store.opens(&to));
    assert_eq!(store.names(), ["root.key", "seal.json", "seal.lock"]);
    assert!(store.opens(&to));
}

#[test]
fn a_key_file_that_was_linked_and_still_waits_is_not_overwritten_by_the_next_change() {
    for failing in STEPS {
        let (store, spec) = Store::sealed(key_file);
        let written = sealed(&Keyring::open(store.path(), &spec).unwrap());
        // What a crash between the two steps of settling leaves: one file under both names.
        let path = store.path().join("root.key");
        fs::hard_link(&path, store.path().join("root.key.next")).unwrap();
        let cut = &mut |step| match step == failing {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        };
        let _ = SealChange::RootKey.apply_with(store.path(), &spec, &spec, &CHEAP, None, cut);
        assert!(holds(&store, &spec, &written), "{failing:?}");
    }
}

#[test]
fn a_seal_that_does_not_give_the_root_key_back_takes_no_store() {
    let (store, from) = Store::sealed(key_file);
    let before = fs::read(store.path().join("seal.json")).unwrap();
    let to = SealSpec::Held(Box::new(Holder { adds: 3, forgets: true }));
    let error = store.change(SealChange::RootKey, &from, &to).unwrap_err();
    assert_eq!(error.to_string(), "the seal by a TPM failed: it is elsewhere");
    assert_eq!(fs::read(store.path().join("seal.json")).unwrap(), before);
    assert!(store.opens(&from));
}

#[test]
fn a_wrong_seal_changes_nothing() {
    let (store, from) = Store::sealed(passphrase);
    let before = fs::read(store.path().join("seal.json")).unwrap();
    let wrong = other_passphrase(store.path());
    assert!(store.change(SealChange::RootKey, &wrong, &key_file(store.path())).is_err());
    let short = SealSpec::Passphrase(SecretString::new("hunter2".into()));
    let error = store.change(SealChange::RootKey, &from, &short).unwrap_err();
    assert!(matches!(error, KeyringError::PassphraseTooShort { .. }), "{error}");
    assert_eq!(fs::read(store.path().join("seal.json")).unwrap(), before);
    assert_eq!(store.names(), ["seal.json", "seal.lock"]);
}

#[test]
fn no_file_that_is_there_becomes_a_key_file_and_no_link_is_replaced() {
    let (store, from) = Store::sealed(passphrase);
    fs::write(store.path().join("root.key"), b"somebody's").unwrap();
    let error = store.change(SealChange::RootKey, &from, &key_file(store.path())).unwrap_err();
    assert!(matches!(error, KeyringError::KeyFileThere { .. }), "{error}");
    assert_eq!(fs::read(store.path().join("root.key")).unwrap(), b"somebody's");

    let (store, _) = Store::sealed(key_file);
    let link = store.path().join("link.key");
    symlink(store.path().join("root.key"), &link).unwrap();
    let by_link = SealSpec::KeyFile(link);
    assert!(store.opens(&by_link));
    let error = store.change(SealChange::RootKey, &by_link, &by_link).unwrap_err();
    assert!(matches!(error, KeyringError::KeyFileIsLink { .. }), "{error}");
    assert!(store.opens(&by_link));
}

/// What can lie where a new root key is to wait, and is not this directory's to remove.
#[test]
fn what_is_at_the_next_key_files_path_and_was_not_left_by_the_last_change_stays() {
    type Put = fn(&Path, &Path);
    let puts: [(&str, Put); 6] = [
        ("a link", |next, other| {
            fs::write(other, b"another program's").unwrap();
            symlink(other, next).unwrap();
        }),
        ("another program's file", |next, _| fs::write(next, b"another program's").unwrap()),
        ("another directory's root key", |next, _| {
            fs::write(next, [9; ROOT_KEY_LEN]).unwrap();
            fs::set_permissions(next, fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("a file with a second name", |next, other| {
            fs::write(other, [9; ROOT_KEY_LEN]).unwrap();
            fs::set_permissions(other, fs::Permissions::from_mode(0o600)).unwrap();
            fs::hard_link(other, next).unwrap();
        }),
        ("a directory", |next, _| fs::create_dir(next).unwrap()),
        ("a link to nothing", |next, other| symlink(other, next).unwrap()),
    ];
    for (what, put) in puts {
        for (from, path) in [(key_file as Spec, "root.key"), (passphrase, "root.key")] {
            let (store, from) = Store::sealed(from);
            let apart = tempfile::tempdir().unwrap();
            let next = store.path().join(format!("{path}.next"));
            let other = apart.path().join("other");
            put(&next, &other);
            let before = (fs::read(&next).ok(), fs::read(&other).ok());
            let to = key_file(store.path());
            let error = store.change(SealChange::RootKey, &from, &to).unwrap_err();
            assert!(matches!(error, KeyringError::KeyFileThere { .. }), "{what}: {error}");
            assert_eq!((fs::read(&next).ok(), fs::read(&other).ok()), before, "{what}");
            assert!(next.symlink_metadata().is_ok(), "{what}");
            assert!(store.opens(&from), "{what}");
        }
    }
}

#[test]
fn what_a_lock_leads_to_is_not_written_into() {
    for link in [
        |from: &Path, to: &Path| symlink(from, to),
        |from: &Path, to: &Path| fs::hard_link(from, to),
    ] {
        let (store, spec) = Store::sealed(key_file);
        let other = store.path().join("somebodys");
        fs::write(&other, [7; 32]).unwrap();
        let _ = fs::remove_file(store.path().join("seal.lock"));
        link(&other, &store.path().join("seal.lock")).unwrap();
        let error = store.change(SealChange::RootKey, &spec, &spec).unwrap_err();
        assert!(error.to_string().contains("seal.lock"), "{error}");
        assert_eq!(fs::read(&other).unwrap(), [7; 32]);
        assert!(store.opens(&spec));
    }
}

#[test]
fn two_directories_with_one_key_files_path_leave_each_others_keys() {
    let (a, from_a) = Store::sealed(passphrase);
    let (b, from_b) = Store::sealed(passphrase);
    let shared = tempfile::tempdir().unwrap();
    let to = SealSpec::KeyFile(shared.path().join("k"));
    let cut = &mut |step| match step {
        Step::Settle => Err(io::ErrorKind::StorageFull.into()),
        _ => Ok(()),
    };
    SealChange::RootKey.apply_with(a.path(), &from_a, &to, &CHEAP, None, cut).unwrap_err();
    let error = b.change(SealChange::RootKey, &from_b, &to).unwrap_err();
    assert!(matches!(error, KeyringError::KeyFileThere { .. }), "{error}");
    assert!(a.opens(&to) && b.opens(&from_b));
}

#[test]
fn a_root_key_in_force_is_not_taken_for_a_leftover() {
    let (store, from) = Store::sealed(passphrase);
    let next = SealSpec::KeyFile(store.path().join("k.next"));
    store.change(SealChange::RootKey, &from, &next).unwrap();
    let to = SealSpec::KeyFile(store.path().join("k"));
    let error = store.change(SealChange::RootKey, &next, &to).unwrap_err();
    assert!(matches!(error, KeyringError::KeyFileThere { .. }), "{error}");
    assert!(store.opens(&next));
}

#[test]
fn a_former_key_file_that_became_a_link_is_told_and_what_it_leads_to_stays() {
    let (store, from) = Store::sealed(key_file);
    let target = store.path().join("mounted.key");
    fs::rename(store.path().join("root.key"), &target).unwrap();
    symlink(&target, store.path().join("root.key")).unwrap();
    let before = fs::read(&target).unwrap();
    let to = passphrase(store.path());
    let error = store.change(SealChange::RootKey, &from, &to).unwrap_err();
    assert!(error.to_string().contains("root.key"), "{error}");
    assert_eq!(fs::read(&target).unwrap(), before);
    assert!(store.opens(&to) && !store.opens(&from));
}

#[test]
fn two_changes_at_once_are_one_after_the_other_or_refused() {
    let (store, spec) = Store::sealed(key_file);
    let _held = lock(store.path()).unwrap();
    let error = store.change(SealChange::RootKey, &spec, &spec).unwrap_err();
    assert!(matches!(error, KeyringError::SealLocked { .. }), "{error}");
    assert!(store.opens(&spec), "opening waits for nobody");
}

#[test]
fn opening_while_the_seal_is_rotated_succeeds_always() {
    let (store, spec) = Store::sealed(key_file);
    let written = sealed(&Keyring::open(store.path(), &spec).unwrap());
    std::thread::scope(|scope| {
        let rotating = scope.spawn(|| {
            for _ in 0..40 {
                // An opener may hold the lock, to settle.
                match store.change(SealChange::RootKey, &spec, &spec) {
                    Ok(_) | Err(KeyringError::SealLocked { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        while !rotating.is_finished() {
            assert!(holds(&store, &spec, &written));
        }
    });
    assert!(holds(&store, &spec, &written));
}

#[test]
fn a_new_base_key_seals_from_the_next_opening_on_and_the_earlier_can_be_retired() {
    let (store, spec) = Store::sealed(passphrase);
    let running = Keyring::open(store.path(), &spec).unwrap();
    let old = sealed(&running);
    let status = store.change(SealChange::NewBaseKey, &spec, &spec).unwrap();
    let generations = |status: &SealStatus| -> Vec<(u32, bool)> {
        status.base_keys.iter().map(|base| (base.generation.get(), base.names_only)).collect()
    };
    assert_eq!(generations(&status), [(1, false), (2, false)]);

    let next = Keyring::open(store.path(), &spec).unwrap();
    let new = sealed(&next);
    assert_eq!(crate::Domain::generation_of(&old.0).unwrap().get(), 1);
    assert_eq!(crate::Domain::generation_of(&new.0).unwrap().get(), 2);
    assert!(holds(&store, &spec, &old) && holds(&store, &spec, &new));
    assert_eq!(old.1, new.1, "names stay with the first generation");
    // What a server writes that has not started anew since opens too.
    assert!(holds(&store, &spec, &sealed(&running)));

    let status = store.change(SealChange::RetireEarlier, &spec, &spec).unwrap();
    assert_eq!(generations(&status), [(1, true), (2, false)]);
    assert!(holds(&store, &spec, &new) && !holds(&store, &spec, &old));
    let status = store.change(SealChange::NewBaseKey, &spec, &spec).unwrap();
    assert_eq!(generations(&status), [(1, true), (2, false), (3, false)]);
    assert!(holds(&store, &spec, &new));
}

/// What ringfence 0.1.0 wrote before there were generations: `seal.json`, and the value of
/// `house/management` in its store.
struct Old {
    seal: &'static str,
    value: &'static str,
    spec: Spec,
    root_key: Option<&'static str>,
}

const OLD: [Old; 2] = [
    Old {
        seal: r#"{"format": 1, "check": "ttPsqVzQ4OPSoSpMBQb5Rg==", "seal": {"kind": "key-file"}}"#,
        value: "AQAAAAG7UpY4wtY1G1lqpj9igi6hCRXSMszTGu15Gvln0eSeGEMcGQFtmlbu8KeWg+co6RouwbpR",
        spec: key_file,
        root_key: Some("6bL3l1vLFsvcThA4nZvtLGock7HTG8vS/qH+7VZtMqk="),
    },
    Old {
        seal: r#"{"format": 1, "check": "hcV/dVlSUioF2ALjU+Cjww==", "seal": {
            "kind": "passphrase", "kdf": "argon2id", "memory_kib": 65536, "passes": 3, "lanes": 1,
            "salt": "J8i47I6zvEGrbX0gAq6lGg==", "nonce": "AX4FhlaEbk4V0q4N", "wrapped_root_key":
            "+nxgk1UiP7TAz0bZpfoD8N9sOfCbXKgTGCqFokZcZzggTEqqQwXgPxgcIrYH8aSw"}}"#,
        value: "AQAAAAFjCKb19LAGOi+5lJDdh2FmOwITc5icxmUoJhV+zn/8XG9jAl8oFgKPI51pD33fO9RG7Wa7",
        spec: passphrase,
        root_key: None,
    },
];

#[test]
fn a_store_of_the_first_format_opens_and_can_be_changed() {
    for old in OLD {
        let store = Store(tempfile::tempdir().unwrap());
        fs::write(store.path().join("seal.json"), old.seal).unwrap();
        if let Some(key) = old.root_key {
            let path = store.path().join("root.key");
            fs::write(&path, STANDARD.decode(key).unwrap()).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let spec = (old.spec)(store.path());
        let opens = |spec: &SealSpec| {
            let keyring = Keyring::open(store.path(), spec).unwrap();
            let place: [&[u8]; 3] = [b"0", b"house/management", &1u64.to_be_bytes()];
            let value = STANDARD.decode(old.value).unwrap();
            let opened = keyring.domain("store").open(&place, &value).unwrap();
            assert_eq!(opened.as_slice(), b"123456789012");
            keyring.blinder("names").blind(&[b"name"])
        };
        let pseudonym = opens(&spec);
        assert_eq!(fs::read_to_string(store.path().join("seal.json")).unwrap(), old.seal);
        let status = SealStatus::of(store.path()).unwrap();
        assert_eq!((status.kind, status.generation, status.since), (spec.kind(), 1, None));
        assert_eq!(status.base_keys.len(), 1);

        store.change(SealChange::NewBaseKey, &spec, &spec).unwrap();
        assert_eq!(opens(&spec), pseudonym);
        store.change(SealChange::RootKey, &spec, &held(store.path())).unwrap();
        assert_eq!(opens(&held(store.path())), pseudonym);
    }
}

#[test]
fn a_directory_without_a_seal_has_nothing_to_change() {
    let directory = tempfile::tempdir().unwrap();
    let spec = key_file(directory.path());
    let error = SealChange::RootKey.apply(directory.path(), &spec, &spec).unwrap_err();
    assert!(matches!(error, KeyringError::NoSeal { .. }));
    assert!(matches!(SealStatus::of(directory.path()), Err(KeyringError::NoSeal { .. })));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_copy_of_the_directory_opens_with_its_seal_alone() {
    for kind in KINDS {
        let (store, _) = Store::sealed(kind);
        let spec = kind(store.path());
        let written = sealed(&Keyring::open(store.path(), &spec).unwrap());
        let copy = Store(tempfile::tempdir().unwrap());
        for name in store.names() {
            fs::copy(store.path().join(&name), copy.path().join(&name)).unwrap();
        }
        assert!(holds(&copy, &kind(copy.path()), &written));
        for other in KINDS.into_iter().filter(|other| other(copy.path()).kind() != spec.kind()) {
            assert!(!copy.opens(&other(copy.path())));
        }
    }
}
