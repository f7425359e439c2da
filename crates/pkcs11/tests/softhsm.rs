//! Against SoftHSM, a module whose tokens are folders. `RINGFENCE_SOFTHSM` names its library; `make
//! unit` fetches it and sets the variable. Without it these tests are passed over.
//!
//! SoftHSM reads where its tokens lie from the environment, once a process: each test is a process of
//! its own with a folder of its own, which this program starts from itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use libtest_mimic::{Arguments, Failed, Trial};
use ringfence_keyring::SecretString;
use ringfence_pkcs11::{Error, Module, Sealed, Token};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

/// What a test is called, and the test.
type Test = (&'static str, fn(&Place));

const TESTS: &[Test] = &[
    ("what_a_key_encrypts_only_it_decrypts_with_what_was_bound", encrypts_and_decrypts),
    ("a_key_is_made_inside_once_and_cannot_be_taken_out", made_inside),
    ("a_key_that_could_leave_the_token_is_not_used", exposed_keys),
    ("a_key_that_is_destroyed_is_gone", destroyed),
    ("a_wrong_pin_is_refused_even_where_the_process_is_logged_in", pins),
    ("a_token_is_found_by_its_label_alone", labels),
    ("a_token_that_was_taken_away_and_put_back_answers_again", put_back),
    ("many_threads_share_a_token", shared),
    ("a_call_from_asynchronous_code_does_not_wait_longer_than_it_says", patience),
    ("what_is_no_module_is_not_loaded", no_module),
];

/// Where a test's tokens lie.
struct Place {
    library: PathBuf,
    tokens: PathBuf,
}

fn main() -> ExitCode {
    let library = std::env::var_os("RINGFENCE_SOFTHSM").map(PathBuf::from);
    if let (Some(name), Some(library)) = (std::env::var_os("RINGFENCE_TRIAL"), &library) {
        let tokens = std::env::var_os("RINGFENCE_TOKENS").unwrap().into();
        let (_, test) = TESTS.iter().find(|(known, _)| **known == *name).unwrap();
        test(&Place { library: library.clone(), tokens });
        return ExitCode::SUCCESS;
    }
    if library.is_none() {
        eprintln!(
            "RINGFENCE_SOFTHSM is not set: tests on SoftHSM are passed over (make unit sets it)"
        );
    }
    let trials = TESTS
        .iter()
        .map(|(name, _)| Trial::test(*name, || alone(name)).with_ignored_flag(library.is_none()));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Runs one test in a process of its own.
fn alone(name: &str) -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let tokens = dir.path().join("tokens");
    std::fs::create_dir(&tokens)?;
    let config = dir.path().join("softhsm2.conf");
    std::fs::write(&config, format!("directories.tokendir = {}\n", tokens.display()))?;
    let done = Command::new(std::env::current_exe()?)
        .env("RINGFENCE_TRIAL", name)
        .env("RINGFENCE_TOKENS", &tokens)
        .env("SOFTHSM2_CONF", &config)
        .output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&done.stderr).into_owned().into())
}

const PIN: &str = "kmsuser:1234";

fn pin(text: &str) -> SecretString {
    SecretString::new(text.into())
}

impl Place {
    fn module(&self) -> Arc<Module> {
        Module::load(&self.library).unwrap()
    }

    /// Makes a token.
    fn make(&self, label: &str) {
        self.module();
        let library = self.raw();
        let so = AuthPin::new("12345678".into());
        let slots = library.get_slots_with_token().unwrap();
        let blank = slots
            .into_iter()
            .find(|slot| !library.get_token_info(*slot).unwrap().token_initialized());
        let slot = blank.unwrap();
        library.init_token(slot, &so, label).unwrap();
        let session = library.open_rw_session(slot).unwrap();
        session.login(UserType::So, Some(&so)).unwrap();
        session.init_pin(&AuthPin::new(PIN.into())).unwrap();
        session.logout().unwrap();
    }

    /// The library as its maker made it.
    fn raw(&self) -> cryptoki::context::Pkcs11 {
        cryptoki::context::Pkcs11::new(&self.library).unwrap()
    }

    fn token(&self, label: &str) -> Token {
        self.make(label);
        Token::open(self.module(), label, pin(PIN)).unwrap()
    }

    /// What is done beside the crate, as another program with the PIN could.
    fn beside(&self, label: &str, work: impl FnOnce(&cryptoki::session::Session)) {
        let library = self.raw();
        let of_label = |slot: &cryptoki::slot::Slot| {
            library.get_token_info(*slot).is_ok_and(|info| info.label() == label)
        };
        let slot = library.get_slots_with_token().unwrap().into_iter().find(of_label).unwrap();
        work(&library.open_rw_session(slot).unwrap());
    }
}

fn encrypts_and_decrypts(place: &Place) {
    let token = place.token("t");
    token.make_key("one").unwrap();
    token.make_key("two").unwrap();
    for length in [0, 1, 16, 4096] {
        let plaintext = vec![7; length];
        let sealed = token.encrypt("one", b"bound", &plaintext).unwrap();
        assert_eq!(sealed.ciphertext.len(), length + 16);
        assert_eq!(token.decrypt("one", b"bound", &sealed).unwrap().expose(), plaintext);
    }
    let sealed = token.encrypt("one", b"bound", b"text").unwrap();
    let again = token.encrypt("one", b"bound", b"text").unwrap();
    assert_ne!((&sealed.iv, &sealed.ciphertext), (&again.iv, &again.ciphertext));
    let mut other = sealed.clone();
    other.ciphertext[0] ^= 1;
    let short = Sealed { iv: sealed.iv, ciphertext: vec![1; 15] };
    for (key, aad, sealed) in [
        ("two", &b"bound"[..], &sealed),
        ("one", b"Bound", &sealed),
        ("one", b"", &sealed),
        ("one", b"bound", &other),
        ("one", b"bound", &short),
    ] {
        assert!(matches!(token.decrypt(key, aad, sealed), Err(Error::Ciphertext)));
    }
    // None of that has harmed the session.
    assert_eq!(token.decrypt("one", b"bound", &sealed).unwrap().expose(), b"text");
    let mut random = [0; 32];
    token.random(&mut random).unwrap();
    assert_ne!(random, [0; 32]);
}

fn made_inside(place: &Place) {
    let token = place.token("t");
    assert!(!token.has_key("k").unwrap());
    token.make_key("k").unwrap();
    assert!(token.has_key("k").unwrap());
    assert!(matches!(token.make_key("k"), Err(Error::KeyExists(_))));
    place.beside("t", |session| {
        let found = session.find_objects(&[Attribute::Label(b"k".to_vec())]).unwrap();
        let said = session.get_attributes(found[0], &[AttributeType::Value]).unwrap();
        assert!(said.is_empty(), "the value of a key can be read");
        let loosen = session.update_attributes(found[0], &[Attribute::Extractable(true)]);
        assert!(loosen.is_err(), "a key can be made extractable");
    });
}

fn exposed_keys(place: &Place) {
    let token = place.token("t");
    place.beside("t", |session| {
        for (label, sensitive, extractable) in [("loose", true, true), ("open", false, false)] {
            let template = [
                Attribute::Token(true),
                Attribute::Label(label.into()),
                Attribute::ValueLen(32.into()),
                Attribute::Sensitive(sensitive),
                Attribute::Extractable(extractable),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
            ];
            session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
        }
        let brought = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(true),
            Attribute::Label(b"brought".to_vec()),
            Attribute::Value(vec![1; 32]),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
        ];
        session.create_object(&brought).unwrap();
    });
    for label in ["loose", "open", "brought"] {
        assert!(matches!(token.encrypt(label, b"", b"x"), Err(Error::Exposed(_))), "{label}");
    }
}

fn destroyed(place: &Place) {
    let token = place.token("t");
    token.make_key("k").unwrap();
    token.make_key("other").unwrap();
    token.destroy_key("k").unwrap();
    assert!(matches!(token.encrypt("k", b"", b"x"), Err(Error::Key { found: 0, .. })));
    token.destroy_key("k").unwrap();
    token.encrypt("other", b"", b"x").unwrap();
}

fn pins(place: &Place) {
    place.make("t");
    let wrong = || Token::open(place.module(), "t", pin("kmsuser:4321"));
    assert!(matches!(wrong(), Err(Error::Pin)));
    let token = Token::open(place.module(), "t", pin(PIN)).unwrap();
    assert!(matches!(wrong(), Err(Error::Pin)));
    Token::open(place.module(), "t", pin(PIN)).unwrap();
    token.ping().unwrap();
}

fn labels(place: &Place) {
    place.make("a");
    place.make("b");
    place.make("b");
    let open = |label: &str| Token::open(place.module(), label, pin(PIN));
    let token = open("a").unwrap();
    assert_eq!(token.info().unwrap().label, "a");
    assert!(matches!(open("b"), Err(Error::Token { found: 2, .. })));
    assert!(matches!(open("c"), Err(Error::Token { found: 0, .. })));
}

/// Moves the folder of every token.
fn put(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::rename(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn put_back(place: &Place) {
    let token = place.token("t");
    token.make_key("k").unwrap();
    let sealed = token.encrypt("k", b"", b"text").unwrap();
    let elsewhere = place.tokens.with_file_name("elsewhere");
    put(&place.tokens, &elsewhere);
    // The module is not initialised anew before its time; until then it may answer from memory.
    let gone = until(|| {
        let failed = token.decrypt("k", b"", &sealed).is_err();
        failed.then(|| token.make_key("another"))
    });
    assert!(
        matches!(gone, Err(Error::Lost(_) | Error::Token { .. } | Error::Failed(_))),
        "{gone:?}"
    );
    put(&elsewhere, &place.tokens);
    let opened = until(|| token.decrypt("k", b"", &sealed).ok());
    assert_eq!(opened.expose(), b"text");
}

/// Tries until there is something, for a minute at most.
fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("it did not come");
}

fn shared(place: &Place) {
    let token = Arc::new(place.token("t"));
    token.make_key("k").unwrap();
    let work = |at: u8| {
        let token = token.clone();
        std::thread::spawn(move || {
            for _ in 0..50 {
                let sealed = token.encrypt("k", &[at], &[at; 100]).unwrap();
                assert_eq!(token.decrypt("k", &[at], &sealed).unwrap().expose(), [at; 100]);
            }
        })
    };
    let all: Vec<_> = (0..16).map(work).collect();
    all.into_iter().for_each(|one| one.join().unwrap());
}

fn patience(place: &Place) {
    let token = Arc::new(place.token("t"));
    token.make_key("k").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let long = Duration::from_secs(60);
        let sealed = token.apart(long, |token| token.encrypt("k", b"", b"x")).await.unwrap();
        let (done, waits) = std::sync::mpsc::channel::<()>();
        let hangs = token.apart(Duration::from_millis(1), move |_| {
            let _ended = waits.recv();
            Ok(())
        });
        assert!(matches!(hangs.await, Err(Error::Late)));
        let opened = token.apart(long, move |token| token.decrypt("k", b"", &sealed)).await;
        assert_eq!(opened.unwrap().expose(), b"x");
        drop(done);
    });
}

fn no_module(place: &Place) {
    for path in ["/nowhere", "/etc/passwd"] {
        assert!(matches!(Module::load(path.as_ref()), Err(Error::Module(_))), "{path}");
    }
    let (one, other) = (place.module(), place.module());
    assert!(Arc::ptr_eq(&one, &other));
}
