//! Against swtpm, a TPM 2.0 in software. `RINGFENCE_SWTPM` names the folder that Debian's packages
//! of it were unpacked into; `make unit` fetches them and sets the variable. Without it these tests
//! are passed over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use libtest_mimic::{Arguments, Trial};
use ringfence_keyring::{Blob, HeldSeal, HolderFailed, SealSpec, SealedPlace, SecretBytes};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Test = (&'static str, fn(&Path));

const TESTS: &[Test] = &[
    ("what_a_tpm_sealed_the_same_tpm_unseals_after_a_restart_and_no_other", same_tpm),
    ("a_sealed_object_opens_for_its_own_data_directory_alone", own_directory),
    ("a_changed_register_keeps_what_was_sealed_to_it_shut", registers),
    ("an_altered_object_is_refused", altered),
    ("the_bus_does_not_see_the_root_key", bus),
    ("a_response_that_is_altered_on_the_bus_is_refused", interposer),
    ("sealing_and_unsealing_leave_nothing_in_the_tpm", nothing_left),
];

fn main() -> ExitCode {
    let installed = std::env::var_os("RINGFENCE_SWTPM").map(PathBuf::from).filter(|p| p.is_dir());
    if installed.is_none() {
        eprintln!("RINGFENCE_SWTPM is not set: tests on swtpm are passed over (make unit sets it)");
    }
    let trials = TESTS.iter().map(|(name, test)| {
        let installed = installed.clone();
        let ignored = installed.is_none();
        Trial::test(*name, move || {
            test(&installed.unwrap());
            Ok(())
        })
        .with_ignored_flag(ignored)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// A TPM in software, whose state lies in a folder.
struct Swtpm {
    process: Child,
    address: SocketAddr,
}

impl Swtpm {
    fn start(installed: &Path, state: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // One folder, named by the machine's architecture.
        let mut folders = std::fs::read_dir(installed.join("usr/lib")).unwrap();
        let libraries = folders.find_map(|entry| {
            let folder = entry.unwrap().path();
            folder.join("swtpm").is_dir().then_some(folder)
        });
        let libraries = libraries.expect("the libraries of swtpm");
        let process = Command::new(installed.join("usr/bin/swtpm"))
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", state.display()))
            .arg("--server")
            .arg(format!("type=tcp,port={port},bindaddr=127.0.0.1"))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", state.join("control").display()))
            .env("LD_LIBRARY_PATH", format!("{0}:{0}/swtpm", libraries.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "swtpm does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { process, address }
    }

    /// Sends a command of our own; the response.
    fn command(&self, command: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(&hex::decode(command.replace(' ', "")).unwrap()).unwrap();
        let mut response = vec![0; 4096];
        let len = stream.read(&mut response).unwrap();
        response.truncate(len);
        response
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn seal(text: &str) -> Box<dyn HeldSeal> {
    match ringfence_seals::parse(text, Path::new("/unused")).unwrap() {
        SealSpec::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

const PLACE: SealedPlace = SealedPlace { id: *b"a data directory" };

fn root() -> SecretBytes {
    SecretBytes::new(b"thirty-two bytes of a root key!!".to_vec())
}

fn at(tpm: &Swtpm) -> Box<dyn HeldSeal> {
    seal(&format!("tpm:tcp:{}", tpm.address))
}

fn opens(seal: &dyn HeldSeal, blob: &Blob) -> bool {
    seal.unwrap(blob, &PLACE).is_ok_and(|bytes| bytes.matches(root().expose()))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn same_tpm(installed: &Path) {
    let (state, other_state) = (folder(), folder());
    let tpm = Swtpm::start(installed, state.path());
    let blob = at(&tpm).wrap(&root(), &PLACE).unwrap();
    assert!(opens(&*at(&tpm), &blob));
    drop(tpm);
    assert!(opens(&*at(&Swtpm::start(installed, state.path())), &blob));
    let other = Swtpm::start(installed, other_state.path());
    let HolderFailed(why) = at(&other).unwrap(&blob, &PLACE).unwrap_err();
    assert!(why.contains("another TPM"), "{why}");
    let text = serde_json::to_string(&blob).unwrap();
    assert!(!text.contains("thirty-two"));
}

fn own_directory(installed: &Path) {
    let state = folder();
    let tpm = Swtpm::start(installed, state.path());
    let blob = at(&tpm).wrap(&root(), &PLACE).unwrap();
    let HolderFailed(why) = at(&tpm).unwrap(&blob, &SealedPlace { id: [0; 16] }).unwrap_err();
    assert!(why.contains("another data directory"), "{why}");
}

fn registers(installed: &Path) {
    let state = folder();
    let tpm = Swtpm::start(installed, state.path());
    let bound = seal(&format!("tpm:tcp:{},pcrs=7+16", tpm.address));
    let blob = bound.wrap(&root(), &PLACE).unwrap();
    assert_eq!(blob.about("pcrs").unwrap(), "7+16");
    // Those of the seal count, and not those of the text.
    assert!(opens(&*bound, &blob) && opens(&*at(&tpm), &blob));

    // TPM2_PCR_Extend of register 16, by an empty password.
    let digest = "11".repeat(32);
    let extend = format!(
        "8002 00000041 00000182 00000010 00000009 40000009 0000 00 0000 00000001 000b {digest}"
    );
    assert_eq!(hex::encode(&tpm.command(&extend)[6..10]), "00000000");
    let HolderFailed(why) = bound.unwrap(&blob, &PLACE).unwrap_err();
    assert!(why.contains("a register (PCR) has changed"), "{why}");

    // An empty password does not do instead.
    let mut without = blob.clone();
    without.about.clear();
    assert!(at(&tpm).unwrap(&without, &PLACE).is_err());
}

fn altered(installed: &Path) {
    let state = folder();
    let tpm = Swtpm::start(installed, state.path());
    let blob = at(&tpm).wrap(&root(), &PLACE).unwrap();
    for name in ["public", "private", "storage_key"] {
        let len = blob.data(name).unwrap().len();
        for byte in [0, len / 2, len - 1] {
            let mut altered = blob.clone();
            altered.data.get_mut(name).unwrap()[byte] ^= 1;
            assert!(at(&tpm).unwrap(&altered, &PLACE).is_err(), "{name} {byte}");
        }
        let mut short = blob.clone();
        short.data.get_mut(name).unwrap().truncate(len / 2);
        assert!(at(&tpm).unwrap(&short, &PLACE).is_err(), "{name}");
        short.data.remove(name);
        assert!(at(&tpm).unwrap(&short, &PLACE).is_err(), "{name}");
        let mut long = blob.clone();
        long.data.insert(name.to_owned(), vec![7; 70_000]);
        assert!(at(&tpm).unwrap(&long, &PLACE).is_err(), "{name}");
    }
    assert!(opens(&*at(&tpm), &blob));
}

type Bytes = Arc<Mutex<Vec<u8>>>;

/// Somebody on the bus: sees all that is said, and alters responses.
fn tapped(tpm: SocketAddr, alter: impl Fn(&mut Vec<u8>) + Send + 'static) -> (SocketAddr, Bytes) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen: Bytes = Arc::default();
    let kept = seen.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut tpm) = (client.unwrap(), TcpStream::connect(tpm).unwrap());
            let mut command = vec![0; 4096];
            while let Ok(len) = client.read(&mut command) {
                if len == 0 {
                    break;
                }
                seen.lock().unwrap().extend(&command[..len]);
                tpm.write_all(&command[..len]).unwrap();
                let mut response = vec![0; 4096];
                let len = tpm.read(&mut response).unwrap();
                response.truncate(len);
                seen.lock().unwrap().extend(&response);
                alter(&mut response);
                client.write_all(&response).unwrap();
            }
        }
    });
    (address, kept)
}

fn bus(installed: &Path) {
    let state = folder();
    let tpm = Swtpm::start(installed, state.path());
    let (address, seen) = tapped(tpm.address, |_| {});
    for pcrs in ["", ",pcrs=7"] {
        let seal = seal(&format!("tpm:tcp:{address}{pcrs}"));
        let blob = seal.wrap(&root(), &PLACE).unwrap();
        assert!(opens(&*seal, &blob));
    }
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 2000, "{}", seen.len());
    for part in root().expose().windows(4) {
        assert!(!seen.windows(4).any(|window| window == part));
    }
    // Nor the directory's id, which is sealed with it.
    assert!(!seen.windows(8).any(|window| window == &PLACE.id[..8]));
}

fn interposer(installed: &Path) {
    let state = folder();
    let tpm = Swtpm::start(installed, state.path());
    let blob = at(&tpm).wrap(&root(), &PLACE).unwrap();
    // Every byte of the last response, that of `Unseal`, which is longer than those of errors.
    let unsealed = |response: &[u8]| response.starts_with(&[0x80, 2]) && response.len() < 140;
    for byte in (10..90).step_by(7) {
        let (address, _) = tapped(tpm.address, move |response| {
            if unsealed(response) && response.len() > byte {
                response[byte] ^= 1;
            }
        });
        let seal = seal(&format!("tpm:tcp:{address}"));
        assert!(seal.unwrap(&blob, &PLACE).is_err(), "{byte}");
    }
    // Another storage key in place of the TPM's, to which the session would be salted.
    let (address, _) = tapped(tpm.address, |response| {
        if response.len() > 300 {
            response[100] ^= 1;
        }
    });
    assert!(seal(&format!("tpm:tcp:{address}")).unwrap(&blob, &PLACE).is_err());
    assert!(opens(&*at(&tpm), &blob));
}

fn nothing_left(installed: &Path) {
    let state = folder();
    let tpm = Swtpm::start(installed, state.path());
    // A TPM has room for a few objects and sessions only.
    for round in 0..20 {
        let seal = seal(&format!("tpm:tcp:{},pcrs=7", tpm.address));
        let blob = seal.wrap(&root(), &PLACE).unwrap();
        assert!(opens(&*seal, &blob), "{round}");
        let mut wrong = blob.clone();
        wrong.data.get_mut("private").unwrap()[9] ^= 1;
        assert!(!opens(&*seal, &wrong));
    }
    // TPM2_GetCapability of handles: transient objects, loaded sessions.
    for first in ["80000000", "02000000"] {
        let ask = format!("8001 00000016 0000017a 00000001 {first} 00000010");
        let answer = tpm.command(&ask);
        // Behind the head: more to come, the capability, and how many there are.
        assert_eq!(hex::encode(&answer[10..]), "000000000100000000", "{first}");
    }
}
