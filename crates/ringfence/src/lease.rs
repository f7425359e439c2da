//! Which of the servers of a store does what is due: one of them, for a time, and then whoever is first.
//!
//! What is due is written so that doing it twice does no harm: each change looks again at what it
//! changes. So the lease saves work and double events, and needs no exact clocks.

use anyhow::Context as _;
use ringfence_keyring::{Random as _, SystemRandom};
use ringfence_store::{Commit, Expect, Partition, Store, StoreError};
use std::sync::Arc;

/// Its key in the global partition.
const KEY: &str = "house/upkeep";

/// Seconds that it is held for: longer than from one time of upkeep to the next.
const SECONDS: i64 = 150;

/// This server's claim to it.
pub struct Lease {
    store: Arc<Store>,
    /// What this process is known by, made at its start.
    name: String,
}

impl Lease {
    pub fn new(store: Arc<Store>) -> anyhow::Result<Self> {
        let mut name = [0; 16];
        SystemRandom.fill(&mut name)?;
        let name = name.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { store, name })
    }

    /// Takes it, or keeps it, where nobody else has it; whether this server has it now.
    pub async fn take(&self, now: i64) -> bool {
        match self.try_to_take(now).await {
            Ok(taken) => taken,
            Err(error) => {
                tracing::warn!(%error, "nobody knows who does what is due");
                false
            }
        }
    }

    async fn try_to_take(&self, now: i64) -> anyhow::Result<bool> {
        let there = self.store.get(&Partition::global(), KEY.as_bytes())?;
        let revision = there.as_ref().map_or(0, |entry| entry.revision);
        if let Some(entry) = there {
            let text = std::str::from_utf8(&entry.value).context("the lease is no text")?;
            let (holder, until) = text.split_once(' ').context("the lease has two parts")?;
            let until: i64 = until.parse().context("the lease ends at a time")?;
            // One that ends later than any is given for is of a clock that went wrong.
            let held = (now..=now + SECONDS).contains(&until);
            if holder != self.name && held {
                return Ok(false);
            }
        }
        let commit = Commit::to(Partition::global())
            .expect(Expect::Key(KEY.into(), revision))
            .put(KEY, format!("{} {}", self.name, now + SECONDS));
        match self.store.commit(commit).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
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
        assert!(one.take(1_000).await && !other.take(1_000).await);
        assert!(one.take(1_100).await && !other.take(1_200).await);
        assert!(other.take(1_251).await && !one.take(1_252).await);
        // A clock that had gone wrong holds nobody up for long.
        assert!(one.take(1_000_000).await);
        assert!(other.take(2_000).await);
    }
}
