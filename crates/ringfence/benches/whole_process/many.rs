//! A store of many accounts, each with as many users as AWS lets one have: how long it takes until the
//! first answer, until an account that nobody has asked for yet answers, and until all are loaded; and
//! what a user takes of memory then.
//!
//! The store is filled through IAM's own ledgers, a thousand users a commit.

use crate::client::once;
use crate::process::Server;
use crate::signer::Signer;
use ringfence_gateway::clock::SystemClock;
use ringfence_iam::{Iam, Quotas};
use ringfence_keyring::{Blinder, Domain, Keyring, SealSpec, SystemRandom};
use ringfence_policy::AccountId;
use ringfence_store::seal::Sealer;
use ringfence_store::sqlite::Sqlite;
use ringfence_store::{Store, StoreError};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// AWS's quota on the users of an account.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const USERS: usize = 5_000;
const POLICY: &str = "arn:aws:iam::aws:policy/job-function/ViewOnlyAccess";
/// Starts that are measured.
const STARTS: usize = 5;

/// Fills a store and measures starts over it.
pub async fn run(accounts: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let (empty, _) = Server::ringfence(&data).await;
    let idle = empty.resident();
    empty.stop();
    let roots = fill(&data, accounts).await;
    let users = accounts * USERS;
    let size = std::fs::metadata(data.join("store.db")).expect("a store").len();
    println!("{users} users in {accounts} accounts; store.db {:.0} MB", size as f64 / 1e6);
    println!();
    println!(
        "| start | first answer | first answer of an account | of a loaded one | all loaded | resident | a user |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for start in 1..=STARTS {
        let started = Instant::now();
        let (server, first) = Server::ringfence(&data).await;
        // One of each start; which accounts were read by then nobody knows, but that it is few.
        let root = &roots[start * 7 % roots.len()];
        let asked = |root: &Signer| {
            let request = root.post("iam", "Action=GetUser&Version=2010-05-08&UserName=user-4321");
            let port = server.port();
            async move {
                let asked = Instant::now();
                let answer = once(port, &request).await;
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                asked.elapsed()
            }
        };
        let cold = asked(root).await;
        let warm = asked(root).await;
        while server.has_thread("load-accounts") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let all = started.elapsed();
        let resident = server.resident();
        println!(
            "| {start} | {:.0} ms | {:.1} ms | {:.1} ms | {:.0} ms | {:.0} MB | {:.0} B |",
            millis(first),
            millis(cold),
            millis(warm),
            millis(all),
            resident as f64 / 1e6,
            resident.saturating_sub(idle) as f64 / users as f64
        );
        server.stop();
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Makes accounts and their users; the accounts' root users.
async fn fill(data: &Path, accounts: usize) -> Vec<Signer> {
    let keyring = Keyring::open(data, &SealSpec::default_for(data)).expect("a keyring");
    let engine = Sqlite::open(data).expect("a store");
    let seal = Seal { values: keyring.domain("store"), names: keyring.blinder("store-names") };
    let store = Arc::new(Store::open(engine, seal).expect("a store"));
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let iam = Iam::load(store, &keyring, clock, random, Quotas::default()).expect("IAM");
    let mut roots = Vec::with_capacity(accounts);
    for number in 0..accounts {
        let id = AccountId::new(200_000_000_000 + number as u64).expect("an account");
        let root = iam.create_account(id, "many").await.expect("an account");
        iam.populate(id, USERS, POLICY).await.expect("users");
        let secret = root.secret_access_key.expose().to_owned();
        roots.push(Signer::new(root.access_key_id, secret));
    }
    roots
}

/// Seals as the server does.
struct Seal {
    values: Domain,
    names: Blinder,
}

impl Sealer for Seal {
    fn seal(&self, place: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.values.seal(place, value).map_err(|error| StoreError::Seal(error.to_string()))
    }

    fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let opened =
            self.values.open(place, sealed).map_err(|error| StoreError::Seal(error.to_string()))?;
        Ok(opened.to_vec())
    }

    fn blind(&self, name: &[&[u8]]) -> Vec<u8> {
        self.names.blind(name).to_vec()
    }
}
