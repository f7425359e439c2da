//! Which of the servers of a store does what is due: one of them, for a time, and then whoever is first.
//!
//! What is due is written so that doing it twice does no harm: each change looks again at what it
//! changes. So the lease saves work and double events. It is kept by being written anew; whoever sees it stay the
//! same for long enough, by a clock that does not jump, takes it. Nothing hangs on what the servers' clocks say.

use anyhow::Context as _;
use ringfence_keyring::{Random as _, SystemRandom};
use ringfence_store::{Commit, Expect, Partition, Revision, Store, StoreError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Its key in the global partition.
const KEY: &str = "house/upkeep";

/// How long its holder may be silent: longer than from one time of upkeep to the next.
const SILENCE: Duration = Duration::from_secs(150);

/// This server's claim to it.
pub struct Lease {
    store: Arc<Store>,
    /// What this process is known by, made at its start.
    name: String,
    /// As another was last seen to hold it: at which revision, and since when it has been at that.
    seen: Mutex<Option<(Revision, Instant)>>,
    /// Since this server holds it: at which revision.
    own: Mutex<Option<Revision>>,
}

impl Lease {
    pub fn new(store: Arc<Store>) -> anyhow::Result<Self> {
        let mut name = [0; 16];
        SystemRandom.fill(&mut name)?;
        let name = name.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { store, name, seen: Mutex::default(), own: Mutex::default() })
    }

    /// Takes it, or keeps it, where nobody else has it; whether this server has it now.
    pub async fn take(&self, now: Instant) -> bool {
        match self.try_to_take(now).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "nobody knows who does what is due");
                false
            }
        }
    }

    async fn try_to_take(&self, now: Instant) -> anyhow::Result<bool> {
        let there = self.store.get(&Partition::global(), KEY.as_bytes())?;
        let revision = there.as_ref().map_or(0, |entry| entry.revision);
        if let Some(entry) = there {
            let text = std::str::from_utf8(&entry.value).context("the lease is no text")?;
            // Earlier programs wrote until when, after a space.
            let holder = text.split_once(' ').map_or(text, |(holder, _)| holder);
            if holder != self.name && !self.is_silent(revision, now) {
                return Ok(false);
            }
        }
        let commit = Commit::to(Partition::global())
            .expect(Expect::Key(KEY.into(), revision))
            .put(KEY, self.name.clone());
        let taken = self.store.commit(commit).await;
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = taken.as_ref().ok().copied();
        match taken {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives it up, where this server has it: another need not wait until its silence is long enough.
    pub async fn leave(&self) {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(revision) = own else { return };
        let commit =
            Commit::to(Partition::global()).expect(Expect::Key(KEY.into(), revision)).delete(KEY);
        if let Err(error) = self.store.commit(commit).await {
            tracing::warn!(%error, "others learn only by its silence that this server has stopped");
        }
    }

    /// Whether another that holds it at this revision has done so for too long.
    fn is_silent(&self, revision: Revision, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match *seen {
            Some((at, since)) if at == revision => now.duration_since(since) > SILENCE,
            _ => {
                *seen = Some((revision, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_store::model::Model;
    use ringfence_store::seal::Unsealed;

    #[tokio::test]
    async fn one_server_has_it_until_it_is_silent_for_long() {
        let model = Model::default();
        let of = |model: &Model| {
            Lease::new(Arc::new(Store::open(model.clone(), Unsealed).unwrap())).unwrap()
        };
        let (one, other) = (of(&model), of(&model));
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        assert!(one.take(at(0)).await && !other.take(at(0)).await);
        assert!(one.take(at(100)).await && !other.take(at(140)).await);
        // It was written anew at 100, and has been seen so since 140.
        assert!(!other.take(at(290)).await);
        assert!(other.take(at(291)).await && !one.take(at(292)).await);
        assert!(other.take(at(351)).await && !one.take(at(500)).await);
    }

    #[tokio::test]
    async fn who_leaves_is_followed_at_once() {
        let model = Model::default();
        let of = |model: &Model| {
            Lease::new(Arc::new(Store::open(model.clone(), Unsealed).unwrap())).unwrap()
        };
        let (one, other, began) = (of(&model), of(&model), Instant::now());
        assert!(one.take(began).await && !other.take(began).await);
        // It is not the other's to give up.
        other.leave().await;
        assert!(!other.take(began).await);
        one.leave().await;
        assert!(other.take(began).await && !one.take(began).await);
    }

    #[tokio::test]
    async fn what_earlier_programs_wrote_is_taken_over_too() {
        let store = Arc::new(Store::open(Model::default(), Unsealed).unwrap());
        let earlier = Commit::to(Partition::global()).put(KEY, "another 1800000000".to_owned());
        store.commit(earlier).await.unwrap();
        let (lease, began) = (Lease::new(store).unwrap(), Instant::now());
        assert!(!lease.take(began).await);
        assert!(lease.take(began + SILENCE + Duration::from_secs(1)).await);
    }
}
