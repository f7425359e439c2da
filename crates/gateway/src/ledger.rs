//! A service's state in one account, or in one region of it: in memory for reading, in the store for
//! keeping.
//!
//! A [`Ledger`] holds two versions of the state. **Published** is what is durable: reads see it
//! without a lock. **Pending** is published plus the writes that wait for the disk: a write is
//! computed against it under a short lock, so that checks such as "no such name yet" are exact, and
//! writes need not wait for each other's sync. When the store says that a commit is durable its
//! state is published; when a commit fails, pending falls back to published and the writes queued
//! behind it, which expected it, are computed anew. A write that is refused, or finds nothing to do, because of
//! what is pending says so once that is durable: nobody hears of what may never have been.
//!
//! Where several processes share a store, what others write comes in by [`Ledgers::follow`], each time a
//! whole number of commits. A write that another process has overtaken waits for that, and is computed
//! anew then.
//!
//! The state must be cheap to clone: persistent maps (`imbl`) of `Arc`ed records.

mod areas;

pub use areas::Ledgers;

use crate::call::{Permit, Resolved};
use arc_swap::ArcSwap;
use ringfence_policy::AccountId;
use ringfence_store::{Chain, Changed, Commit, Expect, Partition, Revision, Store, StoreError};
use ringfence_wire::ServiceError;
use serde::{Serialize, de::DeserializeOwned};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::hash::Hash;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

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
    pub region: SmolStr,
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
    /// Commits that were queued since the last fall and have not come back. Those from before it fail, and
    /// nothing builds on them.
    in_flight: usize,
    /// Of these, each of which builds on the one before.
    chain: Chain,
    /// How the last of them will have ended, and so all of them: the state is durable, or it is not.
    last: Option<Ended>,
}

/// Whether a commit was made; `None` until it has come back.
type Ended = watch::Receiver<Option<bool>>;

/// What a write waits for.
enum Waits {
    /// Its own commit.
    Committed(oneshot::Receiver<Result<Revision, StoreError>>),
    /// The commits whose state it was computed against; it has none itself.
    Before(Option<Ended>),
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
                chain: Chain::default(),
                last: None,
            }),
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
    /// What `write` returns, `ServiceFailure` when the store cannot keep it, or `ServiceUnavailable` when
    /// this server has stopped deciding since the call began.
    pub async fn write<T, R>(
        self: &Arc<Self>,
        permit: &Permit<T>,
        write: impl FnMut(&S, &mut Batch<S>) -> Result<R, ServiceError>,
    ) -> Result<R, ServiceError> {
        self.write_while(|| permit.check_tenure(), write).await
    }

    /// As [`Ledger::write`], for what no caller asked for: start-up and upkeep.
    ///
    /// # Errors
    /// As [`Ledger::write`].
    pub async fn write_unasked<R>(
        self: &Arc<Self>,
        write: impl FnMut(&S, &mut Batch<S>) -> Result<R, ServiceError>,
    ) -> Result<R, ServiceError> {
        self.write_while(|| Ok(()), write).await
    }

    /// Writes, where it may still be written each time that it is computed.
    async fn write_while<R>(
        self: &Arc<Self>,
        may: impl Fn() -> Result<(), ServiceError>,
        mut write: impl FnMut(&S, &mut Batch<S>) -> Result<R, ServiceError>,
    ) -> Result<R, ServiceError> {
        let until = Instant::now() + PATIENCE;
        let mut tries = 0;
        while tries < TRIES || Instant::now() < until {
            tries += 1;
            may()?;
            let (result, waits) = self.queue(&mut write);
            match waits {
                Waits::Before(None) => return result,
                Waits::Before(Some(mut last)) => {
                    let ended = last.wait_for(Option::is_some).await;
                    if ended.is_ok_and(|made| *made == Some(true)) {
                        return result;
                    }
                }
                Waits::Committed(durable) => match durable.await {
                    Ok(Ok(_)) => return result,
                    Ok(Err(StoreError::Conflict { head })) => self.until_known(head).await,
                    Ok(Err(error)) => return Err(unavailable(&error)),
                    Err(_) => return Err(unavailable(&StoreError::Closed)),
                },
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

    /// Computes a write and queues its commit, if it has one.
    fn queue<R>(
        self: &Arc<Self>,
        write: &mut impl FnMut(&S, &mut Batch<S>) -> Result<R, ServiceError>,
    ) -> (Result<R, ServiceError>, Waits) {
        let mut pending = self.lock();
        let mut batch = Batch { changes: Vec::new() };
        let result = write(&pending.state, &mut batch);
        if result.is_err() || batch.changes.is_empty() {
            return (result, Waits::Before(pending.last.clone()));
        }
        match self.submit(&mut pending, batch) {
            Ok(durable) => (result, Waits::Committed(durable)),
            Err(error) => (Err(error), Waits::Before(None)),
        }
    }

    /// Queues a commit. The receiver hears when it is durable.
    fn submit(
        self: &Arc<Self>,
        pending: &mut Pending<S>,
        batch: Batch<S>,
    ) -> Result<oneshot::Receiver<Result<Revision, StoreError>>, ServiceError> {
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
        let (ended, last) = watch::channel(None);
        pending.last = Some(last);
        let ledger = self.clone();
        let fall = pending.fall;
        // Queued under the lock: commits reach the store in the order of their heads.
        self.store.submit(commit, move |result| {
            match &result {
                Ok(_) => ledger.come_back(fall, version),
                Err(_) => ledger.fall_back(fall),
            }
            ended.send_replace(Some(result.is_ok()));
            // The caller may have gone; the write stands all the same.
            drop(reply.send(result));
        });
        Ok(durable)
    }

    fn stored_key(&self, key: &str) -> Vec<u8> {
        self.store.blind_key(&self.partition, S::PREFIX, key)
    }

    fn lock(&self) -> MutexGuard<'_, Pending<S>> {
        // Pending is replaced whole, so a panic in a handler leaves it as it was.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit has come back. Another process may have written since, and have been heard of first.
    fn come_back(&self, fall: u64, version: Arc<Version<S>>) {
        let mut pending = self.lock();
        if pending.fall == fall {
            pending.in_flight = pending.in_flight.saturating_sub(1);
            if pending.in_flight == 0 {
                pending.last = None;
            }
        }
        self.publish(&mut pending, version);
    }

    /// Makes a newer version the published one. Whatever was queued before it is in it, or is going to fail: the
    /// next write begins here.
    fn publish(&self, pending: &mut Pending<S>, version: Arc<Version<S>>) {
        if version.head > self.published.load().head {
            self.published.store(version);
        }
        let published = self.published.load();
        if pending.head < published.head {
            pending.state = published.state.clone();
            pending.head = published.head;
        }
    }

    /// After a failed commit: pending becomes what is known to be durable. Runs on the committer's thread,
    /// so every commit before the failed one has been published.
    fn fall_back(&self, fall: u64) {
        let mut pending = self.lock();
        if pending.fall == fall {
            let durable = self.published.load();
            pending.state = durable.state.clone();
            pending.head = durable.head;
            pending.fall = fall + 1;
            pending.in_flight = 0;
            pending.chain = Chain::default();
            pending.last = None;
        }
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
        self.publish(&mut pending, Arc::new(Version { state, head }));
        Ok(())
    }

    /// Reads everything anew. What is known may be of later than what is read, when own commits have come back
    /// meanwhile; and it may never have been, when another database has taken the place of the one that showed it.
    fn read_anew(&self) -> Result<(), StoreError> {
        let before = self.published.load_full();
        let (state, head) = read_state::<S>(&self.store, &self.partition)?;
        let mut pending = self.lock();
        let known = self.published.load_full();
        // What was durable before it was read is in it.
        let never_was = before.head > head && Arc::ptr_eq(&before, &known);
        if never_was {
            tracing::warn!(partition = ?self.partition, "what was read and not acknowledged is gone");
        }
        if head < known.head && !never_was {
            return Ok(());
        }
        self.published.store(Arc::new(Version { state: state.clone(), head }));
        // What is queued on top of anything else is going to fail, and falls back.
        if pending.in_flight == 0 {
            pending.state = state;
            pending.head = head;
        }
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
        StoreError::Record(format!(
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

#[cfg(test)]
mod moved;
#[cfg(test)]
mod overtaken;
#[cfg(test)]
mod tests;
