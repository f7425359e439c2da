//! Writes that are refused because of others under way, and states that another database lacks.

use super::*;
use ringfence_store::engine::{Engine, Reader, Transaction, Wake};
use ringfence_store::model::Model;
use ringfence_store::seal::Unsealed;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};

/// Names, each given once.
#[derive(Default, Clone)]
struct Names(BTreeSet<String>);

impl State for Names {
    type Area = String;
    type Record = String;
    const PREFIX: &'static str = "names/";

    fn key(record: &String) -> String {
        record.clone()
    }

    fn put(&mut self, record: String) {
        self.0.insert(record);
    }

    fn delete(&mut self, key: &str) {
        self.0.remove(key);
    }
}

/// An engine whose every commit waits to be told whether it is made.
struct Gated {
    model: Model,
    told: Receiver<bool>,
}

struct GatedTransaction<'e> {
    inner: Box<dyn Transaction + 'e>,
    told: &'e Receiver<bool>,
}

impl Engine for Gated {
    fn begin(&mut self, group: &[Commit]) -> Result<Box<dyn Transaction + '_>, StoreError> {
        let inner = self.model.begin(group)?;
        Ok(Box::new(GatedTransaction { inner, told: &self.told }))
    }

    fn join_others(&mut self, wake: Wake, followed: watch::Receiver<u64>) {
        self.model.join_others(wake, followed);
    }

    fn reader(&self) -> Box<dyn Reader> {
        self.model.reader()
    }
}

impl Transaction for GatedTransaction<'_> {
    fn head(&mut self, partition: &Partition) -> Result<Revision, StoreError> {
        self.inner.head(partition)
    }

    fn revision(&mut self, partition: &Partition, key: &[u8]) -> Result<Revision, StoreError> {
        self.inner.revision(partition, key)
    }

    fn put(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        self.inner.put(partition, key, revision, sealed)
    }

    fn delete(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        note: &[u8],
    ) -> Result<(), StoreError> {
        self.inner.delete(partition, key, revision, note)
    }

    fn rewrite(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        self.inner.rewrite(partition, key, revision, sealed)
    }

    fn set_head(&mut self, partition: &Partition, revision: Revision) -> Result<(), StoreError> {
        self.inner.set_head(partition, revision)
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        match self.told.recv() {
            Ok(true) => self.inner.commit(),
            _ => Err(StoreError::Engine("it was not made".into())),
        }
    }
}

fn gated() -> (Arc<Ledger<Names>>, Sender<bool>) {
    let (tell, told) = channel();
    let store = Store::open(Gated { model: Model::default(), told }, Unsealed).unwrap();
    (Ledger::load(Arc::new(store), &"area".to_owned()).unwrap(), tell)
}

async fn give(ledger: &Arc<Ledger<Names>>, name: &str) -> Result<(), ServiceError> {
    let write = |names: &Names, batch: &mut Batch<Names>| {
        if names.0.contains(name) {
            return Err(ServiceError::new("EntityAlreadyExists", 409, "It is there."));
        }
        batch.put(name.to_owned());
        Ok(())
    };
    ledger.write_unasked(write).await
}

/// Lets it begin; it may not end yet.
fn begun<T>(future: Pin<&mut impl Future<Output = T>>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(future.poll(&mut context), Poll::Pending), "it did not wait");
}

#[tokio::test]
async fn who_is_refused_because_of_a_write_under_way_hears_so_when_that_is_durable() {
    let (ledger, tell) = gated();
    let (mut first, mut second) = (pin!(give(&ledger, "a")), pin!(give(&ledger, "a")));
    begun(first.as_mut());
    begun(second.as_mut());
    tell.send(true).unwrap();
    first.await.unwrap();
    assert_eq!(second.await.unwrap_err().code, "EntityAlreadyExists");
}

#[tokio::test]
async fn nobody_is_refused_because_of_a_write_that_was_not_made() {
    let (ledger, tell) = gated();
    let (mut first, mut second) = (pin!(give(&ledger, "a")), pin!(give(&ledger, "a")));
    begun(first.as_mut());
    begun(second.as_mut());
    tell.send(false).unwrap();
    tell.send(true).unwrap();
    assert_eq!(first.await.unwrap_err().code, "ServiceFailure");
    second.await.unwrap();
    assert!(ledger.for_deciding().0.contains("a"));
}

#[tokio::test]
async fn what_was_read_and_is_gone_is_known_no_more_and_its_place_is_free() {
    let model = Model::default();
    let open = || Arc::new(Store::open(model.clone(), Unsealed).unwrap());
    let ledger: Arc<Ledger<Names>> = Ledger::load(open(), &"area".to_owned()).unwrap();
    give(&ledger, "a").await.unwrap();
    // As a primary shows it that lost its standbys, and the next one lacks it.
    let shown = Changed { value: Some(encode(&"lost".to_owned()).unwrap()), note: Vec::new() };
    let key = ledger.stored_key("lost");
    ledger.follow(2, &BTreeMap::from([(key, shown)])).unwrap();
    assert!(ledger.for_deciding().0.contains("lost"));
    ledger.read_anew().unwrap();
    assert_eq!(ledger.for_deciding().0, BTreeSet::from(["a".to_owned()]));
    give(&ledger, "b").await.unwrap();
    assert_eq!(ledger.for_deciding().0, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
}

#[tokio::test]
async fn who_is_refused_by_what_is_durable_waits_for_nothing() {
    let (ledger, tell) = gated();
    tell.send(true).unwrap();
    give(&ledger, "a").await.unwrap();
    assert_eq!(give(&ledger, "a").await.unwrap_err().code, "EntityAlreadyExists");
}

#[tokio::test]
async fn what_others_write_is_seen_while_own_writes_from_before_a_fall_are_still_to_fail() {
    let store = Arc::new(Store::open(Model::default(), Unsealed).unwrap());
    let ledger: Arc<Ledger<Names>> = Ledger::load(store, &"area".to_owned()).unwrap();
    give(&ledger, "a").await.unwrap();
    // Two are under way, and the first one fails.
    ledger.lock().in_flight = 2;
    ledger.fall_back(0);
    // Another process's write is heard of before the second one has come back.
    let theirs = Changed { value: Some(encode(&"theirs".to_owned()).unwrap()), note: Vec::new() };
    let key = ledger.stored_key("theirs");
    ledger.follow(2, &BTreeMap::from([(key, theirs)])).unwrap();
    let mut look = |names: &Names, _: &mut Batch<Names>| Ok(names.0.contains("theirs"));
    let (seen, waits) = ledger.queue(&mut look);
    assert!(seen.unwrap() && matches!(waits, Waits::Before(None)));
    ledger.fall_back(0);
    assert_eq!(ledger.lock().in_flight, 0);
}

#[tokio::test]
async fn nobody_is_refused_by_an_own_write_that_others_have_undone_before_it_has_come_back() {
    let (ledger, tell) = gated();
    let mut first = pin!(give(&ledger, "a"));
    begun(first.as_mut());
    // It is committed, and another process has taken "a" away since; both are heard of before it comes back.
    let theirs = Changed { value: Some(encode(&"theirs".to_owned()).unwrap()), note: Vec::new() };
    let key = ledger.stored_key("theirs");
    ledger.follow(2, &BTreeMap::from([(key, theirs)])).unwrap();
    let mut look = |names: &Names, _: &mut Batch<Names>| Ok(names.0.clone());
    let (seen, _) = ledger.queue(&mut look);
    assert_eq!(seen.unwrap(), BTreeSet::from(["theirs".to_owned()]));
    tell.send(true).unwrap();
    first.await.unwrap();
    assert_eq!(ledger.for_deciding().0, BTreeSet::from(["theirs".to_owned()]));
}
