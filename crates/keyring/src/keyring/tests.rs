//! Opening, creating, losing and mistaking root keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Barrier;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use proptest::prelude::*;

use super::*;
use crate::secret::SecretString;

const ROOT: [u8; ROOT_KEY_LEN] = *b"\xf7\x91the root key of these tests!\xe3\x88";

/// Cheap passphrases, and a root key that can be looked for.
const KNOWN: NewStore = NewStore {
    root: || Ok(SecretBytes::new(ROOT.to_vec())),
    cost: Cost { memory_kib: 64, passes: 1, lanes: 1 },
};

/// Cheap passphrases.
const RANDOM: NewStore = NewStore { root: NewStore::STANDARD.root, cost: KNOWN.cost };

struct Store(tempfile::TempDir);

impl Store {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn open(&self, spec: &SealSpec) -> Result<(Keyring, Opened), KeyringError> {
        Keyring::open_or_create_with(self.path(), spec, &RANDOM)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn key_file(&self) -> SealSpec {
        SealSpec::default_for(self.path())
    }
}

fn passphrase(text: &str) -> SealSpec {
    SealSpec::Passphrase(SecretString::new(text.into()))
}

fn right() -> SealSpec {
    passphrase("correct horse battery staple")
}

fn same_root(a: &Keyring, b: &Keyring) -> bool {
    let sealed = a.domain("store").seal(&[b"aad"], b"value").unwrap();
    b.domain("store").open(&[b"aad"], &sealed).is_ok()
}

#[test]
fn reopening_gives_the_same_domain_keys() {
    for passphrase in [false, true] {
        let store = Store::new();
        let spec = if passphrase { right() } else { store.key_file() };
        let (created, opened) = store.open(&spec).unwrap();
        assert_eq!(opened, Opened::Created);
        let (again, opened) = store.open(&spec).unwrap();
        assert_eq!(opened, Opened::Existing);
        assert!(same_root(&created, &again) && same_root(&again, &created));
        assert!(same_root(&created, &Keyring::open(store.path(), &spec).unwrap()));
        assert_eq!(again.seal_kind(), spec.kind());
    }
}

#[test]
fn two_stores_have_different_root_keys() {
    let (a, b) = (Store::new(), Store::new());
    let (a, b) = (a.open(&a.key_file()).unwrap().0, b.open(&b.key_file()).unwrap().0);
    assert!(!same_root(&a, &b));
    assert!(!same_root(&a, &Keyring::ephemeral().unwrap()));
}

#[test]
fn a_first_start_makes_its_directory_and_files_for_the_owner_alone() {
    let store = Store::new();
    let data_dir = store.file("new/data");
    let spec = SealSpec::default_for(&data_dir);
    Keyring::open_or_create(&data_dir, &spec).unwrap();
    for (name, expected) in [("", 0o700), ("root.key", 0o600), ("seal.json", 0o600)] {
        let mode = fs::metadata(data_dir.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
    assert_eq!(fs::read(data_dir.join("root.key")).unwrap().len(), 32);
}

#[test]
fn the_standard_passphrase_cost_opens_again() {
    let store = Store::new();
    let (a, _) = Keyring::open_or_create(store.path(), &right()).unwrap();
    let text = fs::read_to_string(store.file("seal.json")).unwrap();
    assert!(text.contains("\"memory_kib\": 65536") && text.contains("\"passes\": 3"), "{text}");
    assert!(same_root(&a, &Keyring::open(store.path(), &right()).unwrap()));
}

#[test]
fn a_wrong_passphrase_is_refused() {
    let store = Store::new();
    store.open(&right()).unwrap();
    for wrong in ["correct horse battery stapl", "wrong", ""] {
        let error = store.open(&passphrase(wrong)).unwrap_err();
        assert!(matches!(error, KeyringError::WrongPassphrase { .. }), "{error}");
        assert!(error.to_string().starts_with("wrong passphrase"), "{error}");
    }
    assert!(store.open(&right()).is_ok());
}

#[test]
fn a_missing_key_file_of_an_existing_store_is_an_error_and_makes_nothing() {
    let store = Store::new();
    store.open(&store.key_file()).unwrap();
    fs::remove_file(store.file("root.key")).unwrap();
    let error = store.open(&store.key_file()).unwrap_err();
    assert!(matches!(error, KeyringError::KeyFileMissing { .. }), "{error}");
    assert_eq!(store.names(), ["seal.json"]);
}

#[test]
fn a_key_file_of_another_store_is_refused() {
    let (store, other) = (Store::new(), Store::new());
    store.open(&store.key_file()).unwrap();
    other.open(&other.key_file()).unwrap();
    let error = store.open(&other.key_file()).unwrap_err();
    assert!(matches!(error, KeyringError::WrongKeyFile { .. }), "{error}");
}

#[test]
fn a_key_file_with_mode_0644_is_refused() {
    let store = Store::new();
    store.open(&store.key_file()).unwrap();
    fs::set_permissions(store.file("root.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = store.open(&store.key_file()).unwrap_err();
    assert!(matches!(error, KeyringError::KeyFileExposed { .. }), "{error}");
}

#[test]
fn the_wrong_kind_of_seal_is_refused() {
    let store = Store::new();
    store.open(&store.key_file()).unwrap();
    let error = store.open(&right()).unwrap_err();
    assert!(error.to_string().contains("sealed by a key file, but a passphrase seal"), "{error}");

    let store = Store::new();
    store.open(&right()).unwrap();
    let error = store.open(&store.key_file()).unwrap_err();
    assert!(error.to_string().contains("sealed by a passphrase, but a key file seal"), "{error}");
    assert_eq!(store.names(), ["seal.json"]);
}

#[test]
fn a_lost_seal_file_makes_no_new_root_key_beside_a_key_file() {
    let store = Store::new();
    store.open(&store.key_file()).unwrap();
    let key = fs::read(store.file("root.key")).unwrap();
    fs::remove_file(store.file("seal.json")).unwrap();

    let elsewhere = SealSpec::KeyFile(store.file("other.key"));
    for spec in [right(), elsewhere] {
        let error = store.open(&spec).unwrap_err();
        assert!(matches!(error, KeyringError::KeyFileWithoutSeal { .. }), "{error}");
    }
    assert!(matches!(
        Keyring::open(store.path(), &store.key_file()),
        Err(KeyringError::NoSeal { .. })
    ));
    // Whoever names it starts a new store with it; where a store is, the program asks `open` alone.
    store.open(&store.key_file()).unwrap();
    assert_eq!(fs::read(store.file("root.key")).unwrap(), key);
}

#[test]
fn a_key_file_that_was_there_first_is_taken() {
    let store = Store::new();
    let path = store.file("provisioned.key");
    fs::write(&path, ROOT).unwrap();
    let spec = SealSpec::KeyFile(path.clone());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(store.open(&spec), Err(KeyringError::KeyFileExposed { .. })));
    assert_eq!(store.names(), ["provisioned.key"]);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    let (_, opened) = store.open(&spec).unwrap();
    assert_eq!(opened, Opened::Created);
    assert_eq!(fs::read(&path).unwrap(), ROOT);
}

#[test]
fn every_state_that_a_crash_can_leave_opens() {
    let temporary_key = ".root.key.0123456789abcdef.new";
    let temporary_seal = ".seal.json.0123456789abcdef.new";
    let model = Store::new();
    model.open(&model.key_file()).unwrap();
    let key = fs::read(model.file("root.key")).unwrap();
    let seal = fs::read(model.file("seal.json")).unwrap();

    let part = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    type Files = Vec<(&'static str, Vec<u8>)>;
    let states: [(&str, Files); 7] = [
        ("before any write", vec![]),
        ("key file half written", vec![(temporary_key, part(&key))]),
        ("key file written", vec![(temporary_key, key.clone())]),
        ("key file linked", vec![(temporary_key, key.clone()), ("root.key", key.clone())]),
        ("key file placed", vec![("root.key", key.clone())]),
        ("seal half written", vec![("root.key", key.clone()), (temporary_seal, part(&seal))]),
        (
            "seal linked",
            vec![
                ("root.key", key.clone()),
                (temporary_seal, seal.clone()),
                ("seal.json", seal.clone()),
            ],
        ),
    ];
    for (state, files) in states {
        let store = Store::new();
        for (name, contents) in &files {
            fs::write(store.file(name), contents).unwrap();
            fs::set_permissions(store.file(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let (_, opened) = store.open(&store.key_file()).unwrap();
        let whole = files.iter().any(|(name, _)| *name == "seal.json");
        assert_eq!(opened == Opened::Existing, whole, "{state}");
        if files.iter().any(|(name, _)| *name == "root.key") {
            assert_eq!(fs::read(store.file("root.key")).unwrap(), key, "{state}");
        }
        assert_eq!(store.names(), ["root.key", "seal.json"], "{state}");
    }
}

#[test]
fn processes_that_race_to_create_end_with_one_root_key() {
    for round in 0..20 {
        let store = Store::new();
        let by_passphrase = round % 2 == 0;
        let barrier = Barrier::new(8);
        let keyrings: Vec<_> = std::thread::scope(|scope| {
            let open = || {
                let spec = if by_passphrase { right() } else { store.key_file() };
                barrier.wait();
                store.open(&spec).unwrap()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let created = keyrings.iter().filter(|(_, opened)| *opened == Opened::Created).count();
        assert_eq!(created, 1);
        for (keyring, _) in &keyrings {
            assert!(same_root(&keyrings[0].0, keyring));
        }
        store.open(&if by_passphrase { right() } else { store.key_file() }).unwrap();
        let expected: &[&str] =
            if by_passphrase { &["seal.json"] } else { &["root.key", "seal.json"] };
        assert_eq!(store.names(), expected);
    }
}

#[test]
fn no_root_key_byte_lies_in_clear_outside_the_key_file() {
    for by_passphrase in [false, true] {
        let store = Store::new();
        let spec = if by_passphrase { right() } else { store.key_file() };
        let (keyring, _) = Keyring::open_or_create_with(store.path(), &spec, &KNOWN).unwrap();
        let sealed = keyring.domain("store").seal(&[], b"value").unwrap();
        fs::write(store.file("store.db"), sealed).unwrap();

        let mut seen = 0;
        for name in store.names() {
            let contents = fs::read(store.file(&name)).unwrap();
            if !by_passphrase && name == "root.key" {
                assert_eq!(contents, ROOT);
                continue;
            }
            seen += 1;
            for needle in spellings(&ROOT).into_iter().chain([b"correct horse".to_vec()]) {
                let found = contents.windows(needle.len()).any(|window| window == needle);
                assert!(!found, "{name} holds {:?}", String::from_utf8_lossy(&needle));
            }
        }
        assert_eq!(seen, 2);
    }
}

/// Any eight bytes of a secret, raw, in hex and in base64.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut spellings = Vec::new();
    for part in secret.windows(8) {
        let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        spellings.extend([part.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()]);
    }
    // Nine bytes, whole groups of three, so that they look the same inside a longer text.
    for part in secret.windows(9) {
        for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE] {
            spellings.push(engine.encode(part).into_bytes());
        }
    }
    spellings
}

#[test]
fn a_directory_that_cannot_be_written_gives_path_and_cause_and_is_left_alone() {
    let store = Store::new();
    fs::write(store.file("file"), "").unwrap();
    let data_dir = store.file("file/data");
    for spec in [SealSpec::default_for(&data_dir), right()] {
        let error = Keyring::open_or_create(&data_dir, &spec).unwrap_err().to_string();
        assert!(error.contains("file/data") && error.contains("Not a directory"), "{error}");
    }

    let spec = SealSpec::KeyFile(store.file("absent/root.key"));
    let error = store.open(&spec).unwrap_err().to_string();
    assert!(error.contains("absent/root.key") && error.contains("No such file"), "{error}");
    assert_eq!(store.names(), ["file"]);
}

#[test]
fn a_short_passphrase_makes_no_store() {
    let store = Store::new();
    let error = store.open(&passphrase("hunter2")).unwrap_err();
    assert!(matches!(error, KeyringError::PassphraseTooShort { .. }), "{error}");
    assert_eq!(store.names(), Vec::<String>::new());
}

#[test]
fn a_seal_file_of_a_later_format_is_named_as_such() {
    let store = Store::new();
    fs::write(store.file("seal.json"), r#"{"format":3,"anything":{}}"#).unwrap();
    let error = store.open(&store.key_file()).unwrap_err();
    assert!(matches!(error, KeyringError::SealFormat { format: 3, .. }), "{error}");
}

#[test]
fn a_seal_file_that_cannot_be_understood_is_an_error_and_is_left_alone() {
    let model = Store::new();
    model.open(&right()).unwrap();
    let good = fs::read_to_string(model.file("seal.json")).unwrap();
    for bad in [
        "",
        "{}",
        "null",
        r#"{"format":1}"#,
        r#"{"format":-1}"#,
        r#"{"format":2}"#,
        &good.replace(
            "\"generation\": 1,\n        \"since\"",
            "\"generation\": 2,\n        \"since\"",
        ),
        &good.replace("\"wrapped\": \"", "\"wrapped\": \"AAAA"),
        &good[..good.len() / 2],
        &good.replace("argon2id", "none"),
        &good.replace("\"salt\": \"", "\"salt\": \"!"),
        &good.replace("\"salt\": \"", "\"salt\": \"AAAA"),
        &good.replace("\"passes\": 1", "\"passes\": 1000000"),
        &good.replace("\"passes\"", "\"extra\": 1, \"passes\""),
        &" ".repeat(70_000),
    ] {
        let store = Store::new();
        fs::write(store.file("seal.json"), bad).unwrap();
        let error = store.open(&right()).unwrap_err();
        assert!(
            matches!(error, KeyringError::SealFile { .. } | KeyringError::Io { .. }),
            "{bad}: {error:?}"
        );
        assert!(error.to_string().contains("seal.json"), "{error}");
        assert_eq!(fs::read_to_string(store.file("seal.json")).unwrap(), bad);
    }
}

#[test]
fn an_altered_check_value_is_refused() {
    for by_passphrase in [false, true] {
        let store = Store::new();
        let spec = if by_passphrase { right() } else { store.key_file() };
        store.open(&spec).unwrap();
        let path = store.file("seal.json");
        let stored = SealFile::read(&path).unwrap().unwrap();
        let right = STANDARD.encode(stored.check);
        let mut wrong = stored.check;
        wrong[0] ^= 1;
        let text = fs::read_to_string(&path).unwrap().replace(&right, &STANDARD.encode(wrong));
        fs::write(&path, text).unwrap();
        assert!(store.open(&spec).is_err());
    }
}

#[test]
fn an_ephemeral_keyring_seals_and_opens() {
    let keyring = Keyring::ephemeral().unwrap();
    assert_eq!(keyring.seal_kind(), "memory");
    assert!(same_root(&keyring, &keyring));
}

#[test]
fn debug_shows_no_secret() {
    let store = Store::new();
    let spec = right();
    let (keyring, _) = Keyring::open_or_create_with(store.path(), &spec, &KNOWN).unwrap();
    assert_eq!(format!("{keyring:?}"), r#"Keyring { seal: "passphrase", .. }"#);
    assert_eq!(format!("{spec:?}"), "Passphrase(Secret(..))");
}

#[test]
fn keyring_and_domain_are_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Keyring>();
    shared::<Domain>();
    shared::<SecretBytes>();
    shared::<SecretString>();
    shared::<KeyringError>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_seal_file_opens_or_is_refused_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in any::<prop::sample::Index>(),
        alter in any::<bool>(),
    ) {
        let store = Store::new();
        let bytes = if alter {
            store.open(&right()).unwrap();
            let mut good = fs::read(store.file("seal.json")).unwrap();
            let at = at.index(good.len());
            good[at] = bytes.first().copied().unwrap_or(b'x');
            good
        } else {
            bytes
        };
        fs::write(store.file("seal.json"), &bytes).unwrap();
        let _ = store.open(&right());
        prop_assert_eq!(fs::read(store.file("seal.json")).unwrap(), bytes);
    }
}
