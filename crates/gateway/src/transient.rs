//! What a service knows for a while and no longer: jobs, ceremonies, attempts.
//!
//! It lies in the store like everything else, so that whichever server is asked next knows of it, and one that
//! is started again. Each kind ([`Transient`]) has a partition of its own for each account, beside the account's:
//! its writes are in nobody's way. What is over is as good as gone, and goes with the next write, or once a minute.
//!
//! ```text
//!   begin ──► Transients::change: what there is ──► put, take ──► one commit, computed anew where another
//!                                                                 server came between
//! ```
//!
//! Work on one, a report that is made say, is done by one server. It says that it is [`UnderWay`], and says so again
//! while that lasts; what nobody has said for a while is done by nobody any more.

use crate::ledger::{Batch, Ledgers, State};
use crate::{Area, Follow};
use imbl::OrdMap;
use ringfence_store::{News, Store, StoreError};
use ringfence_wire::ServiceError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// One kind of what passes.
pub trait Transient: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Whose: an account, or [`Everybody`].
    type Of: Area;

    /// What its partitions begin with: letters and hyphens.
    const KIND: &'static str;

    /// By which it is found among those of its owner.
    fn name(&self) -> &str;

    /// Whether it is over, at this second.
    fn is_over(&self, now: i64) -> bool;
}

/// Whose is what belongs to no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Everybody;

impl Display for Everybody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0")
    }
}

impl FromStr for Everybody {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        (text == "0").then_some(Self).ok_or(())
    }
}

/// Where those of one owner lie: `KIND:OWNER`, which is no account and no region of one.
struct Place<T: Transient>(T::Of, PhantomData<fn() -> T>);

impl<T: Transient> Clone for Place<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<T: Transient> PartialEq for Place<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Transient> Eq for Place<T> {}

impl<T: Transient> Hash for Place<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<T: Transient> Display for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", T::KIND, self.0)
    }
}

impl<T: Transient> FromStr for Place<T> {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let owner = text.strip_prefix(T::KIND).and_then(|rest| rest.strip_prefix(':')).ok_or(())?;
        Ok(Self(owner.parse().map_err(drop)?, PhantomData))
    }
}

/// Those of one owner, by name.
struct Things<T>(OrdMap<Arc<str>, Arc<T>>);

impl<T> Default for Things<T> {
    fn default() -> Self {
        Self(OrdMap::new())
    }
}

impl<T> Clone for Things<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Transient> State for Things<T> {
    type Area = Place<T>;
    type Record = Arc<T>;
    const PREFIX: &'static str = "transient/";

    fn key(record: &Arc<T>) -> String {
        record.name().to_owned()
    }

    fn put(&mut self, record: Arc<T>) {
        self.0.insert(record.name().into(), record);
    }

    fn delete(&mut self, key: &str) {
        self.0.remove(key);
    }
}

/// What is there, for whoever changes it: nothing that is over.
pub struct Now<'b, T: Transient> {
    things: OrdMap<Arc<str>, Arc<T>>,
    batch: &'b mut Batch<Things<T>>,
}

impl<T: Transient> Now<'_, T> {
    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.things.values()
    }

    /// The one of a name.
    pub fn get(&self, name: &str) -> Option<&Arc<T>> {
        self.things.get(name)
    }

    /// Writes one, in place of one of the same name.
    pub fn put(&mut self, one: impl Into<Arc<T>>) {
        let one = one.into();
        self.things.insert(one.name().into(), one.clone());
        self.batch.put(one);
    }

    /// Takes one out.
    pub fn take(&mut self, name: &str) -> Option<Arc<T>> {
        let taken = self.things.remove(name)?;
        self.batch.delete(name.to_owned());
        Some(taken)
    }
}

/// All of one kind.
pub struct Transients<T: Transient>(Ledgers<Things<T>>);

impl<T: Transient> Transients<T> {
    /// Reads what the store has.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load(store: Arc<Store>) -> Result<Self, StoreError> {
        Ledgers::load(store).map(Self)
    }

    /// Those of an owner that are not over, as far as they are durable, in the order of their names.
    pub fn of(&self, owner: T::Of, now: i64) -> Vec<Arc<T>> {
        let Some(ledger) = self.0.get(Place(owner, PhantomData)) else { return Vec::new() };
        let things = ledger.for_deciding().0.clone();
        things.values().filter(|one| !one.is_over(now)).cloned().collect()
    }

    /// The one of a name, as far as it is durable.
    pub fn get(&self, owner: T::Of, name: &str, now: i64) -> Option<Arc<T>> {
        let ledger = self.0.get(Place(owner, PhantomData))?;
        let one = ledger.for_deciding().0.get(name).cloned();
        one.filter(|one| !one.is_over(now))
    }

    /// Computes a change against the newest state, and returns when it is durable. `change` may be called more
    /// than once, and what it returns last is returned; an error from it writes nothing.
    ///
    /// # Errors
    /// What `change` returns, or `ServiceFailure` when the store cannot keep it.
    pub async fn change<R>(
        &self,
        owner: T::Of,
        now: i64,
        mut change: impl FnMut(&mut Now<'_, T>) -> Result<R, ServiceError>,
    ) -> Result<R, ServiceError> {
        let ledger = self.0.get_or_make(Place(owner, PhantomData)).map_err(|error| {
            tracing::error!(%error, "what passes cannot be read");
            ServiceError::internal()
        })?;
        ledger
            .write_unasked(|known, batch| {
                let mut things = known.0.clone();
                for (name, one) in &known.0 {
                    if one.is_over(now) {
                        things.remove(name);
                        batch.delete(name.to_string());
                    }
                }
                change(&mut Now { things, batch })
            })
            .await
    }

    /// Writes one, whatever there was of its name.
    ///
    /// # Errors
    /// `ServiceFailure` when the store cannot keep it.
    pub async fn put(&self, owner: T::Of, now: i64, one: T) -> Result<(), ServiceError> {
        let one = Arc::new(one);
        self.change(owner, now, |known| {
            known.put(one.clone());
            Ok(())
        })
        .await
    }

    /// Takes the one of a name out, where there is one.
    ///
    /// # Errors
    /// `ServiceFailure` when the store cannot keep it.
    pub async fn remove(&self, owner: T::Of, now: i64, name: &str) -> Result<(), ServiceError> {
        self.change(owner, now, |known| {
            known.take(name);
            Ok(())
        })
        .await
    }

    /// Removes what is over. What fails is left for the next time.
    pub async fn sweep(&self, now: i64) {
        for Place(owner, _) in self.0.areas() {
            let is_due = self
                .0
                .get(Place(owner.clone(), PhantomData))
                .is_some_and(|ledger| ledger.for_deciding().0.values().any(|one| one.is_over(now)));
            if is_due && let Err(error) = self.change(owner, now, |_| Ok(())).await {
                tracing::warn!(
                    kind = T::KIND,
                    error = error.message,
                    "what is over is still there"
                );
            }
        }
    }
}

impl<T: Transient> Follow for Transients<T> {
    fn follow(&self, news: &News) -> Result<(), StoreError> {
        self.0.follow(news).map(drop)
    }

    fn read_anew(&self) -> Result<(), StoreError> {
        self.0.read_anew()
    }
}

/// How records keep a point in time, to the nanosecond.
pub mod moment {
    use ringfence_wire::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        (at.seconds, at.nanos).serialize(to)
    }

    /// Reads it.
    ///
    /// # Errors
    /// Where it is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let (seconds, nanos) = Deserialize::deserialize(from)?;
        Ok(Timestamp { seconds, nanos })
    }
}

/// Some server is at work on it: it has said so, and when it will have said so again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    until: i64,
}

/// Seconds after which nobody is at work any more, if nobody says otherwise: clocks of servers may differ.
const SAID_FOR: i64 = 120;

/// How often it is said.
const SAID_EVERY: Duration = Duration::from_secs(20);

impl UnderWay {
    /// Somebody is, at this second.
    pub fn at(now: i64) -> Self {
        Self { until: now.saturating_add(SAID_FOR) }
    }

    /// Until when, unless it is said again.
    pub fn until(self) -> i64 {
        self.until
    }

    /// Nobody is any more: the server that was has ended.
    pub fn is_abandoned(self, now: i64) -> bool {
        now >= self.until
    }
}

/// Waits for what other threads work on, and says meanwhile, again and again, that it is under way. `None` where the
/// work was dropped.
pub async fn see_through<R, F: Future<Output = ()>>(
    mut work: oneshot::Receiver<R>,
    mut still: impl FnMut() -> F,
) -> Option<R> {
    loop {
        match tokio::time::timeout(SAID_EVERY, &mut work).await {
            Ok(done) => return done.ok(),
            Err(_) => still().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_policy::AccountId;
    use ringfence_store::model::Model;
    use ringfence_store::seal::Unsealed;

    const ID: AccountId = AccountId::new(123_456_789_012).unwrap();

    #[derive(Serialize, Deserialize)]
    struct Ticket {
        name: String,
        until: i64,
    }

    impl Transient for Ticket {
        type Of = AccountId;
        const KIND: &'static str = "ticket";

        fn name(&self) -> &str {
            &self.name
        }

        fn is_over(&self, now: i64) -> bool {
            now >= self.until
        }
    }

    fn ticket(name: &str, until: i64) -> Ticket {
        Ticket { name: name.into(), until }
    }

    fn store() -> Arc<Store> {
        Arc::new(Store::open(Model::default(), Unsealed).unwrap())
    }

    fn names(all: &Transients<Ticket>, now: i64) -> Vec<String> {
        all.of(ID, now).iter().map(|one| one.name.clone()).collect()
    }

    #[tokio::test]
    async fn what_is_over_is_gone_for_readers_at_once_and_from_the_store_with_the_next_write() {
        let store = store();
        let all = Transients::load(store.clone()).unwrap();
        all.put(ID, 1, ticket("a", 10)).await.unwrap();
        all.put(ID, 1, ticket("b", 20)).await.unwrap();
        assert_eq!(names(&all, 9), ["a", "b"]);
        assert_eq!(names(&all, 10), ["b"]);
        assert!(all.get(ID, "a", 9).is_some() && all.get(ID, "a", 10).is_none());
        let stored = |store: &Store| {
            let place = ringfence_store::Partition::new("ticket:123456789012");
            store.range(&place, b"", None, 10).unwrap().1.len()
        };
        assert_eq!(stored(&store), 2);
        let seen = all.change(ID, 10, |now| Ok(now.get("a").is_some())).await.unwrap();
        assert!(!seen);
        assert_eq!(stored(&store), 1);
        all.sweep(19).await;
        assert_eq!(stored(&store), 1);
        all.sweep(20).await;
        assert_eq!(stored(&store), 0);
    }

    #[tokio::test]
    async fn one_is_taken_once_and_an_error_takes_nothing() {
        let all = Transients::load(store()).unwrap();
        all.put(ID, 1, ticket("a", 10)).await.unwrap();
        let refused: Result<(), _> = all
            .change(ID, 1, |now| {
                now.take("a");
                Err(ServiceError::internal())
            })
            .await;
        assert!(refused.is_err() && names(&all, 1) == ["a"]);
        let take = || all.change(ID, 1, |now| Ok(now.take("a").is_some()));
        let (one, other) = tokio::join!(take(), take());
        assert_eq!([one.unwrap(), other.unwrap()], [true, false]);
    }

    #[tokio::test]
    async fn another_process_finds_it_and_no_account_is_made_of_its_partition() {
        let store = store();
        let all = Transients::load(store.clone()).unwrap();
        all.put(ID, 1, ticket("a", 10)).await.unwrap();
        assert_eq!(names(&Transients::load(store.clone()).unwrap(), 1), ["a"]);
        for partition in store.partitions().unwrap() {
            assert!(partition.as_str().parse::<AccountId>().is_err());
            assert!(partition.as_str().parse::<crate::Regional>().is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_under_way_while_it_lasts_and_abandoned_when_nobody_says_so() {
        let (done, work) = oneshot::channel();
        let said = std::cell::Cell::new(0);
        let worker = async {
            tokio::time::sleep(SAID_EVERY * 5 / 2).await;
            done.send("done").unwrap();
        };
        let seen = see_through(work, || async { said.set(said.get() + 1) });
        assert_eq!(tokio::join!(seen, worker).0, Some("done"));
        assert_eq!(said.get(), 2);
        let (done, work) = oneshot::channel::<()>();
        drop(done);
        assert_eq!(see_through(work, || async {}).await, None);
        let under_way = UnderWay::at(1000);
        assert!(!under_way.is_abandoned(1000 + SAID_FOR - 1));
        assert!(under_way.is_abandoned(1000 + SAID_FOR));
        assert!(SAID_EVERY.as_secs() * 3 < SAID_FOR.unsigned_abs());
    }
}
