//! A service's state in one account, or in one region of it: in memory for reading, in the store for
//! keeping.
//!
//! A [`Ledger`] holds two versions of the state. **Published** is what is durable: reads see it
//! without a lock. **Pending** is published plus the writes that wait for the disk: a write is
//! computed against it under a short lock, so that checks such as "no such name yet" are exact, and
//! writes need not wait for each other's sync. When the store says that a commit is durable its
//! state is published; when a commit fails, pending falls back to published and the writes queued
//! behind it, which expected it, are computed anew.
//!
//! Where several processes share a store, what others write comes in by [`Ledgers::follow`], each time a
//! whole number of commits. A write that another process has overtaken waits for that, and is computed
//! anew then. While own writes wait that may have been overtaken, a refusal that pending gives counts only where
//! published gives one too: nobody is refused by what is no longer so.
//!
//! The state must be cheap to clone: persistent maps (`imbl`) of `Arc`ed records.

use crate::call::{Permit, Resolved};
use arc_swap::ArcSwap;
use ringfence_policy::AccountId;
use ringfence_store::{
    Chain, Changed, Commit, Expect, News, Partition, Revision, Store, StoreError,
};
use ringfence_wire::ServiceError;
use serde::{Serialize, de::DeserializeOwned};
use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display};
use std::hash::Hash;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// What one ledger is of: an account's id, or a region of an account. It is written as the store's
/// partition is called.
pub trait Area: Clone + Eq + Hash + Display + FromStr + Send + Sync + 'static {}

impl<T: Clone + Eq + Hash + Display + FromStr + Send + Sync + 'static> Area for T {}

/// A region of an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Regional {
    /// The account.
    pub account: AccountId,
    /// The region, for example `eu-central-1`.
    pub region: Arc<str>,
}

impl Display for Regional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}

/// A text that is no region of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no region of an account")]
pub struct NoRegional;

/// Whether a text has the form of a region's name.
fn is_region_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(known)
}

impl FromStr for Regional {
    type Err = NoRegional;

    fn from_str(text: &str) -> Result<Self, NoRegional> {
        let (account, region) = text.split_once('/').ok_or(NoRegional)?;
        let account = account.parse().map_err(|_| NoRegional)?;
        if !is_region_name(region) {
            return Err(NoRegional);
        }
        Ok(Self { account, region: region.into() })
    }
}

/// A service's state in one area, built from its records.
pub trait State: Default + Clone + Send + Sync + 'static {
    /// An account's id, or a region of an account.
    type Area: Area;

    /// One record: what is stored under one key.
    type Record: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// The prefix of its keys in the area's partition, for example `iam/`.
    const PREFIX: &'static str;

    /// What a record goes by in its area. The store does not see it: its key there is the prefix
    /// and a pseudonym of this.
    fn key(record: &Self::Record) -> String;

    /// Takes a record in, in place of one with the same key.
    fn put(&mut self, record: Self::Record);

    /// Removes the record of a key.
    fn delete(&mut self, key: &str);

    /// Takes in what another process has changed: of keys that are gone, and records that are there now. They are
    /// what became of any number of commits, so that what one record was found by may be another's now: a user that
    /// was renamed has its access keys under another key. Hence all go before any comes.
    fn take_in(&mut self, gone: Vec<String>, now: Vec<Self::Record>) {
        let replaced: Vec<String> = now.iter().map(Self::key).collect();
        gone.iter().chain(&replaced).for_each(|key| self.delete(key));
        now.into_iter().for_each(|record| self.put(record));
    }

    /// Whether a record in the place of this key's, or none, destroys a secret: then nothing of it stays
    /// in the store's files.
    fn destroys(&self, key: &str, now: Option<&Self::Record>) -> bool {
        let _ = (key, now);
        false
    }
}

/// The changes of one write.
pub struct Batch<S: State> {
    changes: Vec<Edit<S::Record>>,
}

enum Edit<R> {
    Put(R),
    Delete(String),
}

impl<S: State> Batch<S> {
    /// Writes a record.
    pub fn put(&mut self, record: S::Record) {
        self.changes.push(Edit::Put(record));
    }

    /// Removes a record by its key.
    pub fn delete(&mut self, key: String) {
        self.changes.push(Edit::Delete(key));
    }
}

/// The state of one area.
pub struct Ledger<S: State> {
    partition: Partition,
    store: Arc<Store>,
    published: ArcSwap<Version<S>>,
    pending: Mutex<Pending<S>>,
    /// Told when a commit has come back.
    settled: Notify,
}

struct Version<S> {
    state: S,
    head: Revision,
}

struct Pending<S> {
    state: S,
    head: Revision,
    /// Counts the falls back to published, so that each failure causes one.
    fall: u64,
    /// Commits that were queued and have not come back.
    in_flight: usize,
    /// Something was published meanwhile that may be another process's: then what is in flight fails.
    overtaken: bool,
    /// Of those since the last fall, each of which builds on the one before.
    chain: Chain,
}

impl<S: State> Pending<S> {
    /// A commit has come back.
    fn landed(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.overtaken &= self.in_flight > 0;
    }
}

/// What became of a write that was computed.
enum Queued<R> {
    /// It changes nothing.
    Nothing(R),
    /// The receiver hears when it is durable.
    Commit(R, oneshot::Receiver<Result<Revision, StoreError>>),
    /// It may be that what refuses it is no longer so; that shows when what is in flight has come back.
    Unsure,
}

/// How often a write is computed anew after a failed commit came between.
const TRIES: usize = 8;

/// How long it is computed anew while other processes come between.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a process may take to hear of what another has written.
const HEARS_WITHIN: Duration = Duration::from_secs(5);

impl<S: State> Ledger<S> {
    /// Reads an area's state from the store.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load(store: Arc<Store>, area: &S::Area) -> Result<Arc<Self>, StoreError> {
        let partition = Partition::new(&area.to_string());
        let (state, head) = read_state::<S>(&store, &partition)?;
        Ok(Arc::new(Self {
            partition,
            store,
            published: ArcSwap::from_pointee(Version { state: state.clone(), head }),
            pending: Mutex::new(Pending {
                state,
                head,
                fall: 0,
                in_flight: 0,
                overtaken: false,
                chain: Chain::default(),
            }),
            settled: Notify::new(),
        }))
    }

    /// The durable state, for authentication and for deciding: whoever uses it for an answer must
    /// hold a [`Permit`], and takes [`Ledger::view`].
    pub fn for_deciding(&self) -> impl std::ops::Deref<Target = S> + '_ {
        struct Guard<S>(arc_swap::Guard<Arc<Version<S>>>);
        impl<S> std::ops::Deref for Guard<S> {
            type Target = S;
            fn deref(&self) -> &S {
                &self.0.state
            }
        }
        Guard(self.published.load())
    }

    /// Resolves what a request names.
    pub fn resolve<T>(&self, resolve: impl FnOnce(&S) -> Resolved<T>) -> Resolved<T> {
        resolve(&self.published.load().state)
    }

    /// The durable state, for a caller who was allowed.
    pub fn view<T>(&self, _permit: &Permit<T>) -> S {
        self.published.load().state.clone()
    }

    /// Computes a write against the newest state, and returns when it is durable. `write` may be
    /// called more than once, and what it returns last is returned. An error from it writes
    /// nothing; so does leaving the batch empty.
    ///
    /// # Errors
    /// What `write` returns, or `ServiceFailure` when the store cannot keep it.
    pub async fn write<T, R>(
        self: &Arc<Self>,
        _permit: &Permit<T>,
        write: impl FnMut(&S, &mut Batch<S>) -> Result<R, ServiceError>,
    ) -> Result<R, ServiceError> {
        self.write_unasked(write).await
    }

    /// As [`Ledger::write`], for what no caller asked for: start-up and upkeep.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub async fn write_unasked<R>(
        self: &Arc<Self>,
        mut write: impl FnMut(&S, &mut Batch<S>) -> Result<R, ServiceError>,
    ) -> Result<R, ServiceError> {
        let until = Instant::now() + PATIENCE;
        let mut tries = 0;
        while tries < TRIES || Instant::now() < until {
            tries += 1;
            // Listens before it looks.
            let settled = self.settled.notified();
            let (result, durable) = match self.queue(&mut write)? {
                Queued::Nothing(result) => return Ok(result),
                Queued::Commit(result, durable) => (result, durable),
                Queued::Unsure => {
                    drop(tokio::time::timeout(HEARS_WITHIN, settled).await);
                    continue;
                }
            };
            match durable.await.unwrap_or(Err(StoreError::Closed)) {
                Ok(_) => return Ok(result),
                Err(StoreError::Conflict { head }) => self.until_known(head).await,
                Err(error) => return Err(unavailable(&error)),
            }
        }
        tracing::warn!(partition = ?self.partition, "a write was overtaken too often");
        Err(ServiceError::new("ServiceUnavailable", 503, "Please try again."))
    }

    /// Waits until what another process has written is known, up to a revision.
    async fn until_known(&self, head: Revision) {
        let mut followed = self.store.followed();
        let known = async {
            while self.published.load().head < head && followed.changed().await.is_ok() {}
        };
        if tokio::time::timeout(HEARS_WITHIN, known).await.is_err() {
            tracing::warn!(partition = ?self.partition, "what another process wrote is not heard of");
        }
    }

    /// Computes a write and queues its commit.
    fn queue<R>(
        self: &Arc<Self>,
        write: &mut impl FnMut(&S, &mut Batch<S>) -> Result<R, ServiceError>,
    ) -> Result<Queued<R>, ServiceError> {
        let mut pending = self.lock();
        let mut batch = Batch { changes: Vec::new() };
        let result = write(&pending.state, &mut batch);
        let result = match result {
            Ok(result) if !batch.changes.is_empty() => result,
            other if !pending.overtaken => return other.map(Queued::Nothing),
            _ => {
                let mut batch = Batch { changes: Vec::new() };
                let result = write(&self.published.load().state, &mut batch);
                return match result {
                    Ok(_) if !batch.changes.is_empty() => Ok(Queued::Unsure),
                    other => other.map(Queued::Nothing),
                };
            }
        };
        let mut state = pending.state.clone();
        let mut commit = Commit::to(self.partition.clone())
            .expect(Expect::Head(pending.head))
            .in_chain(&pending.chain);
        for edit in batch.changes {
            match edit {
                Edit::Put(record) => {
                    let key = S::key(&record);
                    if state.destroys(&key, Some(&record)) {
                        commit = commit.forgetting();
                    }
                    commit = commit.put(self.stored_key(&key), encode(&record)?);
                    state.put(record);
                }
                Edit::Delete(key) => {
                    if state.destroys(&key, None) {
                        commit = commit.forgetting();
                    }
                    state.delete(&key);
                    commit = commit.delete_noting(self.stored_key(&key), key);
                }
            }
        }
        pending.head += 1;
        pending.in_flight += 1;
        pending.state = state.clone();
        let version = Arc::new(Version { state, head: pending.head });
        let (reply, durable) = oneshot::channel();
        let ledger = self.clone();
        let fall = pending.fall;
        // Queued under the lock: commits reach the store in the order of their heads.
        self.store.submit(commit, move |result| {
            match &result {
                Ok(_) => ledger.come_back(Some(version)),
                Err(_) => ledger.fall_back(fall),
            }
            // The caller may have gone; the write stands all the same.
            drop(reply.send(result));
        });
        Ok(Queued::Commit(result, durable))
    }

    fn stored_key(&self, key: &str) -> Vec<u8> {
        self.store.blind_key(&self.partition, S::PREFIX, key)
    }

    fn lock(&self) -> MutexGuard<'_, Pending<S>> {
        // Pending is replaced whole, so a panic in a handler leaves it as it was.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit has come back. Another process may have written since, and have been heard of first.
    fn come_back(&self, version: Option<Arc<Version<S>>>) {
        let mut pending = self.lock();
        pending.landed();
        if let Some(version) = version {
            self.publish(&mut pending, version);
        }
        drop(pending);
        self.settled.notify_waiters();
    }

    /// Makes a newer version the published one. Whatever is queued on top of an older one than that is
    /// going to fail; where nothing is, the next write begins here.
    fn publish(&self, pending: &mut Pending<S>, version: Arc<Version<S>>) {
        if version.head > self.published.load().head {
            self.published.store(version);
        }
        let published = self.published.load();
        if pending.in_flight == 0 && pending.head < published.head {
            pending.state = published.state.clone();
            pending.head = published.head;
        }
    }

    /// After a failed commit: pending becomes what is known to be durable. Runs on the committer's thread,
    /// so every commit before the failed one has been published.
    fn fall_back(&self, fall: u64) {
        let mut pending = self.lock();
        pending.landed();
        if pending.fall == fall {
            let durable = self.published.load();
            pending.state = durable.state.clone();
            pending.head = durable.head;
            pending.fall = fall + 1;
            pending.chain = Chain::default();
            pending.overtaken = false;
        }
        drop(pending);
        self.settled.notify_waiters();
    }

    /// Takes in what was changed, up to a revision. What is known already changes nothing.
    fn follow(&self, head: Revision, keys: &BTreeMap<Vec<u8>, Changed>) -> Result<(), StoreError> {
        let mut pending = self.lock();
        let published = self.published.load_full();
        if head <= published.head {
            return Ok(());
        }
        let mut state = published.state.clone();
        let (mut gone, mut now) = (Vec::new(), Vec::new());
        for (key, changed) in keys {
            if !key.starts_with(S::PREFIX.as_bytes()) {
                continue;
            }
            match &changed.value {
                Some(value) => now.push(decode::<S>(value, head)?),
                None => match std::str::from_utf8(&changed.note) {
                    Ok(key) if !key.is_empty() => gone.push(key.to_owned()),
                    _ => return Err(StoreError::Engine("a removal tells not of what".into())),
                },
            }
        }
        state.take_in(gone, now);
        pending.overtaken = pending.in_flight > 0;
        self.publish(&mut pending, Arc::new(Version { state, head }));
        Ok(())
    }

    /// Reads everything anew.
    fn read_anew(&self) -> Result<(), StoreError> {
        let (state, head) = read_state::<S>(&self.store, &self.partition)?;
        let mut pending = self.lock();
        pending.overtaken = pending.in_flight > 0;
        self.publish(&mut pending, Arc::new(Version { state, head }));
        Ok(())
    }
}

/// What a caller hears when the store cannot keep a write. The cause goes to the log.
fn unavailable(error: &StoreError) -> ServiceError {
    tracing::error!(%error, "a write was not kept");
    ServiceError::new(
        "ServiceFailure",
        500,
        "The request processing has failed because of an unknown error, exception or failure.",
    )
}

fn encode(record: &impl Serialize) -> Result<Vec<u8>, ServiceError> {
    rmp_serde::to_vec_named(record).map_err(|error| {
        tracing::error!(%error, "a record does not encode");
        ServiceError::internal()
    })
}

fn decode<S: State>(value: &[u8], revision: Revision) -> Result<S::Record, StoreError> {
    rmp_serde::from_slice(value).map_err(|error| {
        let prefix = S::PREFIX;
        StoreError::Engine(format!(
            "a record of `{prefix}` at revision {revision} does not decode: {error}"
        ))
    })
}

/// Reads every record of a service in a partition.
fn read_state<S: State>(store: &Store, partition: &Partition) -> Result<(S, Revision), StoreError> {
    const PAGE: usize = 10_000;
    'again: loop {
        let mut state = S::default();
        let (head, mut page) = store.range(partition, S::PREFIX.as_bytes(), None, PAGE)?;
        loop {
            let more = page.len() == PAGE;
            let last = page.last().map(|(key, _)| key.clone());
            for (_, entry) in page {
                state.put(decode::<S>(&entry.value, entry.revision)?);
            }
            if !more {
                return Ok((state, head));
            }
            let (now, next) =
                store.range(partition, S::PREFIX.as_bytes(), last.as_deref(), PAGE)?;
            if now != head {
                continue 'again;
            }
            page = next;
        }
    }
}

/// The ledgers of every area.
pub struct Ledgers<S: State> {
    store: Arc<Store>,
    areas: ArcSwap<HashMap<S::Area, Arc<Ledger<S>>>>,
    making: Mutex<()>,
}

impl<S: State> Ledgers<S> {
    /// Loads the state of every area that the store knows.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load(store: Arc<Store>) -> Result<Self, StoreError> {
        let mut areas = HashMap::new();
        for partition in store.partitions()? {
            if let Ok(area) = partition.as_str().parse::<S::Area>() {
                let ledger = Ledger::load(store.clone(), &area)?;
                areas.insert(area, ledger);
            }
        }
        let areas = ArcSwap::from_pointee(areas);
        Ok(Self { store, areas, making: Mutex::default() })
    }

    /// The ledger of an area; `None` for one that was never made.
    pub fn get(&self, area: impl Borrow<S::Area>) -> Option<Arc<Ledger<S>>> {
        self.areas.load().get(area.borrow()).cloned()
    }

    /// The ledger of an area, made if need be.
    ///
    /// # Errors
    /// When the store fails.
    pub fn get_or_make(&self, area: impl Borrow<S::Area>) -> Result<Arc<Ledger<S>>, StoreError> {
        let area = area.borrow();
        if let Some(ledger) = self.get(area) {
            return Ok(ledger);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ledger) = self.get(area) {
            return Ok(ledger);
        }
        let ledger = Ledger::load(self.store.clone(), area)?;
        let mut areas = HashMap::clone(&self.areas.load());
        areas.insert(area.clone(), ledger.clone());
        self.areas.store(Arc::new(areas));
        Ok(ledger)
    }

    /// Takes in what was changed in the areas; those where something was.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn follow(&self, news: &News) -> Result<Vec<S::Area>, StoreError> {
        let mut changed = Vec::new();
        for (partition, (head, keys)) in &news.partitions {
            let Ok(area) = partition.as_str().parse::<S::Area>() else { continue };
            self.get_or_make(&area)?.follow(*head, keys)?;
            changed.push(area);
        }
        Ok(changed)
    }

    /// Waits until all is known here that any process has committed by now: for what looks at one area after it has
    /// changed another, so that of two who do so at the same time at least one sees the other. Where that takes too
    /// long it goes on with what is known.
    pub async fn hear_all(&self) {
        let mut followed = self.store.followed();
        if *followed.borrow() == 0 {
            return; // nobody else writes
        }
        let store = self.store.clone();
        let last = tokio::task::spawn_blocking(move || store.last_position()).await;
        let Ok(Ok(last)) = last else {
            tracing::warn!("what other processes wrote last is not known");
            return;
        };
        let heard = followed.wait_for(|position| *position >= last);
        if tokio::time::timeout(HEARS_WITHIN, heard).await.is_err() {
            tracing::warn!("what other processes wrote last is not heard of");
        }
    }

    /// Reads everything anew.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn read_anew(&self) -> Result<(), StoreError> {
        for partition in self.store.partitions()? {
            if let Ok(area) = partition.as_str().parse::<S::Area>() {
                self.get_or_make(area)?.read_anew()?;
            }
        }
        Ok(())
    }

    /// Every area.
    pub fn areas(&self) -> Vec<S::Area> {
        self.areas.load().keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_store::model::Model;
    use ringfence_store::seal::Unsealed;
    use serde::Deserialize;

    const ID: AccountId = AccountId::new(123_456_789_012).unwrap();

    /// Somebody of a name, found by a badge.
    #[derive(Clone, Serialize, Deserialize)]
    struct Person {
        name: String,
        badge: u32,
    }

    #[derive(Clone, Default)]
    struct People {
        by_name: BTreeMap<String, Person>,
        by_badge: BTreeMap<u32, String>,
    }

    impl State for People {
        type Area = AccountId;
        type Record = Person;
        const PREFIX: &'static str = "person/";

        fn key(record: &Person) -> String {
            record.name.clone()
        }

        fn put(&mut self, record: Person) {
            self.delete(&record.name.clone());
            self.by_badge.insert(record.badge, record.name.clone());
            self.by_name.insert(record.name.clone(), record);
        }

        fn delete(&mut self, key: &str) {
            if let Some(old) = self.by_name.remove(key) {
                self.by_badge.remove(&old.badge);
            }
        }
    }

    fn person(name: &str, badge: u32) -> Person {
        Person { name: name.into(), badge }
    }

    /// A process of its own over a shared store.
    struct Process {
        store: Arc<Store>,
        people: Ledgers<People>,
        heard: Mutex<u64>,
    }

    impl Process {
        fn over(model: &Model) -> Self {
            let store = Arc::new(Store::open(model.clone(), Unsealed).unwrap());
            Self { people: Ledgers::load(store.clone()).unwrap(), store, heard: Mutex::default() }
        }

        fn ledger(&self) -> Arc<Ledger<People>> {
            self.people.get_or_make(ID).unwrap()
        }

        fn hear(&self) {
            let mut heard = self.heard.lock().unwrap();
            let news = self.store.news(*heard).unwrap();
            self.people.follow(&news).unwrap();
            *heard = news.position;
        }

        async fn put(&self, name: &str, badge: u32) {
            let put = |_: &People, batch: &mut Batch<People>| {
                batch.put(person(name, badge));
                Ok(())
            };
            self.ledger().write_unasked(put).await.unwrap();
        }

        async fn rename(&self, from: &str, to: &str) {
            let rename = |people: &People, batch: &mut Batch<People>| {
                batch.delete(from.to_owned());
                batch.put(Person { name: to.to_owned(), ..people.by_name[from].clone() });
                Ok(())
            };
            self.ledger().write_unasked(rename).await.unwrap();
        }

        fn badges(&self) -> Vec<(u32, String)> {
            self.ledger().for_deciding().by_badge.clone().into_iter().collect()
        }
    }

    #[tokio::test]
    async fn what_moves_to_another_key_is_found_there_whichever_key_comes_first() {
        let model = Model::default();
        let (here, there) = (Process::over(&model), Process::over(&model));
        for (name, badge) in [("a", 1), ("m", 2), ("z", 3)] {
            here.put(name, badge).await;
        }
        there.hear();
        // One after the other, and several in one go: into a name that somebody had before, too.
        for step in
            [&[("a", "b")][..], &[("b", "a")], &[("m", "q"), ("a", "m"), ("z", "a"), ("q", "z")]]
        {
            for (from, to) in step {
                here.rename(from, to).await;
            }
            there.hear();
            assert_eq!(there.badges(), here.badges());
        }
        let names: Vec<_> = there.badges().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["m", "z", "a"]);
    }

    #[tokio::test]
    async fn nobody_is_refused_by_what_another_process_has_changed_meanwhile() {
        let model = Model::default();
        let (here, there) = (Process::over(&model), Process::over(&model));
        here.put("a", 1).await;
        there.hear();
        // A write of its own waits for the disk; what others write is heard of before it comes back.
        let ledger = there.ledger();
        ledger.lock().in_flight += 1;
        here.put("b", 2).await;
        here.rename("a", "c").await;
        there.hear();
        let look = |name: &'static str| {
            move |people: &People, _: &mut Batch<People>| match people.by_name.contains_key(name) {
                true => Ok(()),
                false => Err(ServiceError::internal()),
            }
        };
        let seen = |queued: Result<Queued<()>, _>| matches!(queued, Ok(Queued::Nothing(())));
        assert!(seen(ledger.queue(&mut look("b"))) && seen(ledger.queue(&mut look("c"))));
        assert!(ledger.queue(&mut look("d")).is_err());
        // Pending refuses it and published does not: which of them is right shows later.
        let mut once = |people: &People, batch: &mut Batch<People>| {
            if people.by_name.contains_key("a") {
                return Err(ServiceError::internal());
            }
            batch.put(person("e", 5));
            Ok(())
        };
        assert!(matches!(ledger.queue(&mut once), Ok(Queued::Unsure)));
        ledger.fall_back(0);
        assert!(matches!(ledger.queue(&mut once), Ok(Queued::Commit(..))));
    }
}
