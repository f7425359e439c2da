//! Several processes over one database: each a store of its own here, which is all that they share.

use crate::{account, database, open, until};
use ringfence_store::model::Model;
use ringfence_store::postgres::{Consistency, Postgres};
use ringfence_store::{Chain, Commit, Expect, Partition, Store, StoreError};

/// Runs a body over two stores that share an engine's state, as two processes do.
fn each_shared_engine(body: impl Fn(&str, &Store, &Store)) {
    let model = Model::default();
    body("model", &open(model.clone()), &open(model));
    if let Some(url) = database() {
        let [one, other] =
            [(); 2].map(|()| open(Postgres::open(&url, Consistency::Relaxed).unwrap()));
        body("postgres", &one, &other);
    }
}

#[test]
fn of_two_writers_of_a_partition_one_comes_first() {
    each_shared_engine(|engine, one, other| {
        let commit = || Commit::to(account()).expect(Expect::Head(0)).put("a", "1");
        assert_eq!(one.commit_blocking(commit()), Ok(1), "{engine}");
        let conflict = Err(StoreError::Conflict { head: 1 });
        assert_eq!(other.commit_blocking(commit()), conflict, "{engine}");
        let entry = other.get(&account(), b"a").unwrap().unwrap();
        assert_eq!((entry.revision, &entry.value[..]), (1, &b"1"[..]), "{engine}");
    });
}

#[test]
fn what_builds_on_a_commit_that_failed_fails_too_though_the_head_is_there() {
    each_shared_engine(|engine, one, other| {
        other.commit_blocking(Commit::to(account()).put("a", "another's")).unwrap();
        let chain = Chain::default();
        let commit = |head| Commit::to(account()).expect(Expect::Head(head)).in_chain(&chain);
        let conflict = Err(StoreError::Conflict { head: 1 });
        assert_eq!(one.commit_blocking(commit(0).put("a", "1")), conflict, "{engine}");
        // It was computed from what the one before would have written.
        assert_eq!(one.commit_blocking(commit(1).put("b", "2")), conflict, "{engine}");
        let chain = Chain::default();
        let anew = Commit::to(account()).expect(Expect::Head(1)).in_chain(&chain).put("b", "2");
        assert_eq!(one.commit_blocking(anew), Ok(2), "{engine}");
    });
}

#[test]
fn writers_of_many_processes_lose_nothing_and_count_every_change_once() {
    const EACH: u64 = 60;
    each_shared_engine(|engine, one, other| {
        std::thread::scope(|scope| {
            for (writer, store) in [one, other, one, other].into_iter().enumerate() {
                scope.spawn(move || {
                    for n in 0..EACH {
                        let partition = Partition::new(&format!("{}", n % 3));
                        let commit = Commit::to(partition).put(format!("{writer}/{n}"), "x");
                        store.commit_blocking(commit).unwrap();
                    }
                });
            }
        });
        let all = one.watch(0).poll(10_000).unwrap();
        assert_eq!(all, other.watch(0).poll(10_000).unwrap(), "{engine}");
        let positions: Vec<u64> = all.iter().map(|change| change.position).collect();
        assert_eq!(positions, (1..=4 * EACH).collect::<Vec<_>>(), "{engine}");
        for n in 0..3u64 {
            let of = |change: &&ringfence_store::Change| change.partition.as_str() == n.to_string();
            let revisions: Vec<u64> = all.iter().filter(of).map(|change| change.revision).collect();
            assert_eq!(revisions, (1..=4 * EACH / 3).collect::<Vec<_>>(), "{engine}");
        }
    });
}

#[test]
fn news_tell_what_others_have_made_of_a_key_and_what_a_removed_one_was() {
    each_shared_engine(|engine, one, other| {
        let before = other.last_position().unwrap();
        one.commit_blocking(Commit::to(account()).put("a", "1").put("b", "1")).unwrap();
        one.commit_blocking(Commit::to(account()).put("a", "2").delete_noting("b", "it was b"))
            .unwrap();
        let mut news = other.news(before).unwrap();
        assert_eq!(news.position, before + 4, "{engine}");
        let (head, keys) = news.partitions.remove(&account()).unwrap();
        assert_eq!((head, keys.len(), news.partitions.len()), (2, 2, 0), "{engine}");
        assert_eq!(keys[&b"a"[..]].value.as_deref(), Some(&b"2"[..]), "{engine}");
        let gone = &keys[&b"b"[..]];
        assert_eq!((&gone.value, &gone.note[..]), (&None, &b"it was b"[..]), "{engine}");
        assert_eq!(other.news(news.position).unwrap().partitions.len(), 0, "{engine}");
    });
}

#[test]
fn who_waits_hears_of_what_another_process_commits() {
    each_shared_engine(|engine, one, other| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for n in 0..5 {
            let mut watch = other.watch(n);
            std::thread::scope(|scope| {
                scope.spawn(|| one.commit_blocking(Commit::to(account()).put("a", "1")).unwrap());
                let limit = std::time::Duration::from_secs(20);
                // A timeout is made inside a runtime.
                let next = async move { tokio::time::timeout(limit, watch.next(10)).await };
                let next = runtime.block_on(next).unwrap().unwrap();
                assert_eq!(next.len(), 1, "{engine}");
            });
        }
    });
}

/// For a database that answers.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

#[test]
fn a_shared_file_is_changed_by_whoever_has_seen_it_last() {
    let Some(url) = database() else { return };
    let [mut one, mut other] =
        [(); 2].map(|()| Postgres::open(&url, Consistency::Relaxed).unwrap());
    assert_eq!(one.shared_file("seal.json"), Ok(None));
    assert_eq!(one.share_file("seal.json", 0, b"1"), Ok(true));
    assert_eq!(other.share_file("seal.json", 0, b"2"), Ok(false));
    assert_eq!(other.shared_file("seal.json"), Ok(Some((1, b"1".to_vec()))));
    assert_eq!(other.share_file("seal.json", 1, b"2"), Ok(true));
    assert_eq!(one.share_file("seal.json", 1, b"3"), Ok(false));
    // The same bytes, written again, void what was sent before.
    let settled = one.settle_shared_file("seal.json", 2, b"2", PATIENCE);
    assert_eq!(settled, Ok(Some(3)));
    assert_eq!(other.share_file("seal.json", 2, b"4"), Ok(false));
    assert_eq!(other.settle_shared_file("seal.json", 2, b"2", PATIENCE), Ok(None));
    assert_eq!(one.shared_file("seal.json"), Ok(Some((3, b"2".to_vec()))));
}

/// Follows a store as a server does, on a thread of its own.
fn follower(store: &Store) -> impl FnOnce() + Send + '_ {
    move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut commits, mut at) = (store.commits(), 0);
            loop {
                let news = store.news(at).unwrap();
                at = news.position;
                store.note_followed(store.epoch().unwrap(), at);
                let limit = std::time::Duration::from_secs(1);
                if let Ok(Err(_)) = tokio::time::timeout(limit, commits.changed()).await {
                    return;
                }
            }
        });
    }
}

#[test]
fn a_strict_commit_is_acknowledged_when_every_server_that_decides_has_taken_it_in() {
    let Some(url) = database() else { return };
    let [one, other] = [(); 2].map(|()| open(Postgres::open(&url, Consistency::Strict).unwrap()));
    let [of_one, of_other] = [&one, &other].map(|store| store.fitness().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(follower(&one));
        scope.spawn(follower(&other));
        until(|| of_one().is_some() && of_other().is_some());
        for n in 0..20 {
            let [writer, reader] = if n % 2 == 0 { [&one, &other] } else { [&other, &one] };
            writer.commit_blocking(Commit::to(account()).put("a", "1")).unwrap();
            assert!(*reader.followed().borrow() > n, "{n} is not known to the other");
        }
        one.close();
        other.close();
    });
}
