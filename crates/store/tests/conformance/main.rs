//! One suite over every engine: what holds for the model holds for SQLite and PostgreSQL.
//!
//! PostgreSQL is tested where `RINGFENCE_TEST_POSTGRES` names a server to make databases on: `make unit`
//! starts one.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests, helpers included.

mod shared;

use proptest::prelude::*;
use ringfence_store::engine::Engine;
use ringfence_store::model::Model;
use ringfence_store::postgres::{Consistency, Postgres};
use ringfence_store::seal::{Sealer, Unsealed};
use ringfence_store::sqlite::Sqlite;
use ringfence_store::{Commit, Expect, Partition, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs a body over a store of each engine.
fn each_engine(body: impl Fn(&str, &Store)) {
    body("model", &open(Model::default()));
    let dir = tempfile::tempdir().unwrap();
    body("sqlite", &open(Sqlite::open(dir.path()).unwrap()));
    if let Some(url) = database() {
        body("postgres", &open(Postgres::open(&url, Consistency::Relaxed).unwrap()));
    }
}

/// The URL of a new database; `None` where there is no server to make it on.
fn database() -> Option<String> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let server = std::env::var("RINGFENCE_TEST_POSTGRES").ok()?;
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let name = format!("conformance_{}_{number}", std::process::id());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) =
            tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        drop(client);
        driver.await.unwrap().unwrap();
    });
    Some(server.replace("/postgres?", &format!("/{name}?")))
}

fn open(engine: impl Engine) -> Store {
    Store::open(engine, Unsealed).unwrap()
}

fn account() -> Partition {
    Partition::new("123456789012")
}

#[test]
fn a_commit_is_applied_whole_and_moves_the_head_by_one() {
    each_engine(|engine, store| {
        let commit = Commit::to(account()).put("a", "1").put("b", "2").delete("c");
        assert_eq!(store.commit_blocking(commit), Ok(1), "{engine}");
        let (head, entries) = store.range(&account(), b"", None, 10).unwrap();
        assert_eq!(head, 1);
        let keys: Vec<&[u8]> = entries.iter().map(|(key, _)| key.as_slice()).collect();
        assert_eq!(keys, [b"a", b"b"], "{engine}");
        assert!(entries.iter().all(|(_, entry)| entry.revision == 1));
    });
}

#[test]
fn a_failed_expectation_applies_nothing_and_names_the_head() {
    each_engine(|engine, store| {
        store.commit_blocking(Commit::to(account()).put("a", "1")).unwrap();
        for expect in [
            Expect::Head(0),
            Expect::Head(2),
            Expect::Key(b"a".into(), 0),
            Expect::Key(b"a".into(), 2),
            Expect::Key(b"b".into(), 1),
        ] {
            let commit = Commit::to(account()).expect(expect.clone()).put("a", "2").put("b", "2");
            let conflict = Err(StoreError::Conflict { head: 1 });
            assert_eq!(store.commit_blocking(commit), conflict, "{engine} {expect:?}");
        }
        assert_eq!(store.get(&account(), b"a").unwrap().unwrap().value, b"1");
        assert_eq!(store.get(&account(), b"b").unwrap(), None);
        let held = Commit::to(account())
            .expect(Expect::Head(1))
            .expect(Expect::Key(b"a".into(), 1))
            .expect(Expect::Key(b"b".into(), 0))
            .delete("a");
        assert_eq!(store.commit_blocking(held), Ok(2), "{engine}");
        let gone = Commit::to(account()).expect(Expect::Key(b"a".into(), 0)).put("a", "3");
        assert_eq!(store.commit_blocking(gone), Ok(3), "{engine}");
    });
}

#[test]
fn partitions_do_not_see_each_other() {
    each_engine(|engine, store| {
        let other = Partition::new("123456789012/us-east-1");
        store.commit_blocking(Commit::to(account()).put("k", "1")).unwrap();
        assert_eq!(store.commit_blocking(Commit::to(other.clone()).put("k", "2")), Ok(1));
        assert_eq!(store.get(&account(), b"k").unwrap().unwrap().value, b"1", "{engine}");
        assert_eq!(store.range(&other, b"", None, 9).unwrap().1.len(), 1, "{engine}");
        assert_eq!(store.partitions().unwrap(), [account(), other], "{engine}");
    });
}

#[test]
fn a_range_pages_by_prefix_in_byte_order() {
    each_engine(|engine, store| {
        let keys: [&[u8]; 7] = [b"a", b"b", b"b\x00", b"b/1", b"b\xff", b"b\xff\xff", b"c"];
        let commit = keys.iter().fold(Commit::to(account()), |c, key| c.put(*key, *key));
        store.commit_blocking(commit).unwrap();
        let mut seen = Vec::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = store.range(&account(), b"b", after.as_deref(), 2).unwrap().1;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            seen.extend(page.into_iter().map(|(key, _)| key));
        }
        assert_eq!(seen, keys[1..6], "{engine}");
        let all = store.range(&account(), b"\xff", None, 9).unwrap().1;
        assert!(all.is_empty(), "{engine}");
    });
}

#[test]
fn watchers_see_every_change_once_in_order() {
    each_engine(|engine, store| {
        store.commit_blocking(Commit::to(account()).put("a", "1").put("b", "1")).unwrap();
        let mut watch = store.watch(0);
        let first = watch.poll(10).unwrap();
        let seen: Vec<_> = first.iter().map(|c| (c.key.clone(), c.revision, c.deleted)).collect();
        assert_eq!(seen, [(b"a".to_vec(), 1, false), (b"b".to_vec(), 1, false)], "{engine}");
        assert!(watch.poll(10).unwrap().is_empty());
        store.commit_blocking(Commit::to(account()).delete("a")).unwrap();
        let next = watch.poll(10).unwrap();
        assert_eq!(next.len(), 1);
        assert!(next[0].deleted && next[0].revision == 2, "{engine}");
    });
}

#[test]
fn commits_are_told_of_in_the_order_they_were_queued() {
    each_engine(|engine, store| {
        let (sender, told) = std::sync::mpsc::channel();
        for n in 0..200u64 {
            let sender = sender.clone();
            let commit = Commit::to(account()).expect(Expect::Head(n)).put("k", n.to_string());
            store.submit(commit, move |result| drop(sender.send((n, result))));
        }
        drop(sender);
        let all: Vec<_> = told.iter().collect();
        assert_eq!(all, (0..200).map(|n| (n, Ok(n + 1))).collect::<Vec<_>>(), "{engine}");
    });
}

#[test]
fn a_closed_store_refuses_commits() {
    each_engine(|engine, store| {
        store.close();
        let refused = store.commit_blocking(Commit::to(account()).put("a", "1"));
        assert_eq!(refused, Err(StoreError::Closed), "{engine}");
    });
}

/// Seals by writing the place before the value: enough to see what a value is bound to.
struct Bound;

impl Sealer for Bound {
    fn blind(&self, name: &[&[u8]]) -> Vec<u8> {
        Unsealed.blind(name)
    }

    fn seal(&self, place: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok([&place.concat(), value].concat())
    }

    fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let place = place.concat();
        let value = sealed.strip_prefix(place.as_slice());
        value.map(<[u8]>::to_vec).ok_or_else(|| StoreError::Seal("another place".into()))
    }
}

#[test]
fn an_engine_never_sees_a_value_and_cannot_move_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Sqlite::open(dir.path()).unwrap(), Bound).unwrap();
    store.commit_blocking(Commit::to(account()).put("a", "1").put("b", "2")).unwrap();
    assert_eq!(store.get(&account(), b"a").unwrap().unwrap().value, b"1");
    drop(store);
    let raw = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    raw.execute("UPDATE entries SET value = (SELECT value FROM entries WHERE key = x'62')", [])
        .unwrap();
    drop(raw);
    let store = Store::open(Sqlite::open(dir.path()).unwrap(), Bound).unwrap();
    assert!(matches!(store.get(&account(), b"a"), Err(StoreError::Seal(_))));
    assert_eq!(store.get(&account(), b"b").unwrap().unwrap().value, b"2");
}

/// Seals under a generation that the value names.
struct Generation(u8);

impl Sealer for Generation {
    fn blind(&self, name: &[&[u8]]) -> Vec<u8> {
        Unsealed.blind(name)
    }

    fn seal(&self, place: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok([&[self.0], Bound.seal(place, value)?.as_slice()].concat())
    }

    fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        Bound.open(place, &sealed[1..])
    }

    fn is_current(&self, sealed: &[u8]) -> bool {
        sealed[0] == self.0
    }
}

/// What the engine holds: how many values of each generation.
fn generations(reader: &dyn ringfence_store::engine::Reader) -> BTreeMap<u8, usize> {
    let mut found = BTreeMap::new();
    for partition in reader.partitions().unwrap() {
        for (_, _, sealed) in reader.range(&partition, b"", None, 1000).unwrap().1 {
            *found.entry(sealed[0]).or_default() += 1;
        }
    }
    found
}

/// An open store of a generation, and what its engine holds.
type Opened = (Store, Box<dyn ringfence_store::engine::Reader>);

fn reseals(open: impl Fn(u8) -> Opened) {
    let partitions = ["0", "111111111111", "222222222222"].map(Partition::new);
    let (store, _) = open(1);
    for partition in &partitions {
        for n in 0..25 {
            let commit = Commit::to(partition.clone()).put(format!("key/{n:02}"), format!("{n}"));
            store.commit_blocking(commit).unwrap();
        }
    }
    // A partition whose values are all gone.
    let emptied = Partition::new("111111111111/empty");
    store.commit_blocking(Commit::to(emptied.clone()).put("a", "1")).unwrap();
    store.commit_blocking(Commit::to(emptied).delete("a")).unwrap();
    drop(store);

    let (store, reader) = open(2);
    let before: Vec<_> =
        partitions.iter().map(|p| store.range(p, b"", None, 100).unwrap()).collect();
    let seen = store.watch(77);
    store.commit_blocking(Commit::to(partitions[1].clone()).put("key/03", "changed")).unwrap();
    assert_eq!(generations(&*reader), BTreeMap::from([(1, 74), (2, 1)]));
    let (mut at, mut count) = (Default::default(), 0);
    while let Some(resealed) = store.reseal(&mut at, 7).unwrap() {
        count += resealed;
    }
    assert_eq!(count, 74);
    assert_eq!(generations(&*reader), BTreeMap::from([(2, 75)]));
    for (partition, (head, entries)) in partitions.iter().zip(before) {
        let (now, opened) = store.range(partition, b"", None, 100).unwrap();
        let changed = partition == &partitions[1];
        assert_eq!(now, head + u64::from(changed));
        for ((key, entry), (was, old)) in opened.iter().zip(&entries) {
            assert!(key == was && (entry == old || changed && key == b"key/03"));
        }
    }
    let mut seen = seen;
    let changes: Vec<_> = seen.poll(100).unwrap().into_iter().map(|change| change.key).collect();
    assert_eq!(changes, [b"key/03"], "no watcher hears of it");
    assert_eq!(store.reseal(&mut Default::default(), 1000).unwrap(), Some(0));
    store.close();
    assert_eq!(store.reseal(&mut Default::default(), 1000).unwrap(), Some(0));
}

#[test]
fn values_are_sealed_anew_in_place_and_nothing_else_changes() {
    let model = Model::default();
    reseals(|generation| {
        let store = Store::open(model.clone(), Generation(generation)).unwrap();
        (store, model.reader())
    });
    let dir = tempfile::tempdir().unwrap();
    reseals(|generation| {
        let engine = Sqlite::open(dir.path()).unwrap();
        let reader = engine.reader();
        (Store::open(engine, Generation(generation)).unwrap(), reader)
    });
}

#[test]
fn a_value_that_changes_while_it_is_sealed_anew_is_the_changed_one() {
    let dir = tempfile::tempdir().unwrap();
    let old = Store::open(Sqlite::open(dir.path()).unwrap(), Generation(1)).unwrap();
    for n in 0..200u32 {
        old.commit_blocking(Commit::to(account()).put(format!("{n:03}"), "old")).unwrap();
    }
    drop(old);
    let store = Store::open(Sqlite::open(dir.path()).unwrap(), Generation(2)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut at = Default::default();
            while store.reseal(&mut at, 3).unwrap().is_some() {}
        });
        for n in (0..200u32).rev() {
            store.commit_blocking(Commit::to(account()).put(format!("{n:03}"), "new")).unwrap();
        }
    });
    let (head, entries) = store.range(&account(), b"", None, 1000).unwrap();
    assert_eq!((head, entries.len()), (400, 200));
    assert!(entries.iter().all(|(_, entry)| entry.value == b"new"));
}

#[test]
fn sqlite_reopens_with_everything_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5u64 {
        let store = open(Sqlite::open(dir.path()).unwrap());
        let (head, entries) = store.range(&account(), b"", None, 100).unwrap();
        assert_eq!((head, entries.len()), (round, round as usize));
        let commit = Commit::to(account()).expect(Expect::Head(round)).put(round.to_string(), "v");
        store.commit_blocking(commit).unwrap();
        let mut watch = store.watch(round);
        assert_eq!(watch.poll(10).unwrap().len(), 1, "positions go on after a restart");
    }
}

#[test]
fn a_commit_that_forgets_leaves_no_former_value_in_any_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(Sqlite::open(dir.path()).unwrap());
    let holds = |text: &str| {
        let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut contents = files.map(|path| std::fs::read(path).unwrap());
        contents.any(|content| content.windows(text.len()).any(|window| window == text.as_bytes()))
    };
    // One value lies in its page, one in pages of its own.
    let long = "a long former value ".repeat(1000);
    for (at, former) in [("a", "a former value"), ("b", &long)] {
        store.commit_blocking(Commit::to(account()).put(at, former)).unwrap();
        store.commit_blocking(Commit::to(account()).put(at, "new")).unwrap();
    }
    assert!(holds("a former value") && holds("a long former value"));
    store.commit_blocking(Commit::to(account()).delete("b").put("c", "kept").forgetting()).unwrap();
    assert!(!holds("a former value") && !holds("a long former value") && holds("kept"));
    assert_eq!(store.get(&account(), b"a").unwrap().unwrap().value, b"new");
}

#[test]
fn what_was_forgotten_does_not_come_back_when_its_neighbours_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(Sqlite::open(dir.path()).unwrap());
    let mut number = 1u64;
    let mut below = |n: u64| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (number >> 33) % n
    };
    let value = |n: u64, len: u64| format!("<{n:08}>").repeat(len as usize).into_bytes();
    for round in 0..60u64 {
        let key = |n: u64| format!("{n:02}");
        // Values of this round lie among others, are moved by them, and are replaced.
        let mut commit = Commit::to(account());
        for _ in 0..12 {
            commit = commit.put(key(below(40)), value(round, 1 + below(120)));
        }
        store.commit_blocking(commit).unwrap();
        let all = (0..40).fold(Commit::to(account()), |commit, n| {
            commit.put(key(n), value(9_000_000 + round, 1 + below(120)))
        });
        store.commit_blocking(all.forgetting()).unwrap();
        for _ in 0..10 {
            let commit = Commit::to(account());
            let n = below(40);
            store.commit_blocking(commit.put(key(n), value(8_000_000, 1 + below(120)))).unwrap();
        }
        let forgotten = format!("<{round:08}>");
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let content = std::fs::read(&path).unwrap();
            let found = memchr::memmem::find(&content, forgotten.as_bytes());
            assert_eq!(found, None, "{forgotten} in {}", path.display());
        }
    }
}

#[test]
fn what_could_not_be_forgotten_is_forgotten_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("store.db-wal");
    let len = || std::fs::metadata(&log).map_or(0, |log| log.len());
    let store = open(Sqlite::open(dir.path()).unwrap());
    store.commit_blocking(Commit::to(account()).put("a", "1")).unwrap();
    // Somebody reads on, so that the log cannot be cut.
    let raw = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    raw.execute_batch("BEGIN; SELECT count(*) FROM entries").unwrap();
    store.commit_blocking(Commit::to(account()).put("a", "2").forgetting()).unwrap();
    drop(raw);
    drop(store);
    assert!(len() > 0, "the log was cleared away");
    let store = open(Sqlite::open(dir.path()).unwrap());
    assert_eq!(len(), 0);
    assert_eq!(store.get(&account(), b"a").unwrap().unwrap().value, b"2");
    drop(store);
    assert!(!log.exists());
}

#[test]
fn what_a_reader_keeps_from_being_forgotten_is_forgotten_when_it_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(Sqlite::open(dir.path()).unwrap());
    let secret = [0xA5; 64];
    store.commit_blocking(Commit::to(account()).put("a", secret)).unwrap();
    let held = || {
        let files = std::fs::read_dir(dir.path()).unwrap();
        let mut all = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        all.any(|bytes| memchr::memmem::find(&bytes, &secret).is_some())
    };
    let reader = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM entries").unwrap();
    store.commit_blocking(Commit::to(account()).delete("a").forgetting()).unwrap();
    assert!(held(), "the reader keeps nothing: this shows nothing");
    // Those who write meanwhile do not wait for it.
    for _ in 0..20 {
        store.commit_blocking(Commit::to(account()).put("b", "1")).unwrap();
    }
    drop(reader);
    // Nobody writes.
    until(|| !held());
}

#[test]
fn a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Sqlite::open(dir.path()).unwrap();
    assert!(matches!(Sqlite::open(dir.path()), Err(StoreError::Locked(_))));
}

#[test]
fn a_newer_or_foreign_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Sqlite::open(dir.path()).unwrap());
    let raw = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Sqlite::open(dir.path()), Err(StoreError::Newer { found: 99, .. })));
    raw.pragma_update(None, "application_id", 7).unwrap();
    assert!(matches!(Sqlite::open(dir.path()), Err(StoreError::Engine(_))));
}

#[test]
fn a_file_that_is_no_database_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("store.db"), vec![7; 8192]).unwrap();
    assert!(matches!(Sqlite::open(dir.path()), Err(StoreError::Engine(_))));
}

/// A step of a random history.
#[derive(Debug, Clone)]
enum Step {
    Commit { partition: u8, expect_head: Option<u64>, changes: Vec<(u8, Option<u8>)> },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let commit = (
        0..3u8,
        proptest::option::of(0..6u64),
        proptest::collection::vec((0..8u8, proptest::option::of(any::<u8>())), 0..5),
    )
        .prop_map(|(partition, expect_head, changes)| Step::Commit {
            partition,
            expect_head,
            changes,
        });
    proptest::collection::vec(prop_oneof![9 => commit, 1 => Just(Step::Reopen)], 1..40)
}

/// What a store of this history must hold, said in the plainest way.
#[derive(Default)]
struct Expected {
    heads: BTreeMap<u8, u64>,
    entries: BTreeMap<(u8, u8), (u64, u8)>,
}

impl Expected {
    fn apply(&mut self, step: &Step) -> Option<Result<u64, u64>> {
        let Step::Commit { partition, expect_head, changes } = step else { return None };
        let head = self.heads.get(partition).copied().unwrap_or(0);
        if expect_head.is_some_and(|expected| expected != head) {
            return Some(Err(head));
        }
        self.heads.insert(*partition, head + 1);
        for (key, value) in changes {
            match value {
                Some(value) => self.entries.insert((*partition, *key), (head + 1, *value)),
                None => self.entries.remove(&(*partition, *key)),
            };
        }
        Some(Ok(head + 1))
    }
}

fn run(steps: &[Step], mut reopen: impl FnMut(Option<Store>) -> Store) {
    let mut store = reopen(None);
    let mut expected = Expected::default();
    for step in steps {
        let want = expected.apply(step);
        match step {
            Step::Reopen => store = reopen(Some(store)),
            Step::Commit { partition, expect_head, changes } => {
                let mut commit = Commit::to(Partition::new(&partition.to_string()));
                if let Some(head) = expect_head {
                    commit = commit.expect(Expect::Head(*head));
                }
                for (key, value) in changes {
                    commit = match value {
                        Some(value) => commit.put([*key], [*value]),
                        None => commit.delete([*key]),
                    };
                }
                let got = store.commit_blocking(commit).map_err(|error| match error {
                    StoreError::Conflict { head } => head,
                    other => panic!("{other}"),
                });
                assert_eq!(Some(got), want);
            }
        }
    }
    for partition in 0..3u8 {
        let place = Partition::new(&partition.to_string());
        let (head, entries) = store.range(&place, b"", None, 100).unwrap();
        assert_eq!(head, expected.heads.get(&partition).copied().unwrap_or(0));
        let got: BTreeMap<_, _> = entries
            .into_iter()
            .map(|(key, entry)| ((partition, key[0]), (entry.revision, entry.value[0])))
            .collect();
        let want = expected.entries.range((partition, 0)..=(partition, u8::MAX));
        assert_eq!(got, want.map(|(k, v)| (*k, *v)).collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_the_model_what_it_must(steps in steps()) {
        let model = Model::default();
        run(&steps, |old| { drop(old); open(model.clone()) });
    }

    #[test]
    fn any_history_gives_sqlite_what_it_must(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        run(&steps, |old| { drop(old); open(Sqlite::open(dir.path()).unwrap()) });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_postgresql_what_it_must(steps in steps()) {
        if let Some(url) = database() {
            run(&steps, |old| { drop(old); open(Postgres::open(&url, Consistency::Relaxed).unwrap()) });
        }
    }
}

#[test]
fn a_reader_in_another_process_sees_what_is_committed_and_writes_nothing() {
    use ringfence_store::sqlite::{ReadOnly, Sqlite};
    let dir = tempfile::tempdir().unwrap();
    assert!(ReadOnly::open(dir.path()).is_err(), "there is no store yet");
    let account = Partition::new("123456789012");
    let writer = Store::open(Sqlite::open(dir.path()).unwrap(), Unsealed).unwrap();
    writer.commit_blocking(Commit::to(account.clone()).put("a", b"1")).unwrap();

    let reader = Store::open(ReadOnly::open(dir.path()).unwrap(), Unsealed).unwrap();
    assert_eq!(reader.get(&account, b"a").unwrap().unwrap().value, b"1");
    writer.commit_blocking(Commit::to(account.clone()).put("a", b"2")).unwrap();
    assert_eq!(reader.get(&account, b"a").unwrap().unwrap().value, b"2");
    let refused = reader.commit_blocking(Commit::to(account.clone()).put("a", b"3"));
    assert!(matches!(refused, Err(StoreError::Engine(_))), "{refused:?}");
    drop((writer, reader));

    // The server has stopped and cleared its log away.
    let reader = Store::open(ReadOnly::open(dir.path()).unwrap(), Unsealed).unwrap();
    assert_eq!(reader.get(&account, b"a").unwrap().unwrap().value, b"2");
}

#[test]
fn a_blind_key_stays_under_its_prefix_and_partition() {
    let store = Store::open(Model::default(), Unsealed).unwrap();
    let [one, other] = ["1", "2"].map(Partition::new);
    let key = store.blind_key(&one, "iam/", "user/ann");
    assert!(key.starts_with(b"iam/") && key == store.blind_key(&one, "iam/", "user/ann"));
    assert_ne!(key, store.blind_key(&other, "iam/", "user/ann"));
    assert_ne!(key, store.blind_key(&one, "iam/", "user/bob"));
}

fn until(holds: impl Fn() -> bool) {
    let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < limit, "it does not come to hold");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
