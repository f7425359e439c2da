//! The model: a `BTreeMap` that does what an engine must do, plainly. Tests hold the engines to it,
//! and `serve --dev`, which keeps nothing, runs on it.

use crate::engine::{Engine, Reader, SealedEntry, SealedNews, Transaction, Wake};
use crate::{Change, Commit, Partition, Revision, StoreError};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How many changes are kept for watchers.
const KEPT_CHANGES: usize = 100_000;

/// A sealed value and the revision that wrote it.
type Sealed = (Revision, Vec<u8>);

#[derive(Default, Clone)]
struct State {
    entries: BTreeMap<(Partition, Vec<u8>), Sealed>,
    heads: BTreeMap<Partition, Revision>,
    /// Each with its note.
    changes: BTreeMap<u64, (Change, Vec<u8>)>,
    last_position: u64,
    wakes: Vec<Wake>,
}

/// An engine in memory. Clones share it, as processes share a database.
#[derive(Default, Clone)]
pub struct Model(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Held by a transaction from its beginning to its end.
    writer: Mutex<()>,
}

impl Model {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the map whole: every change to it is one call.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes are gathered and applied by `commit`.
struct Pending<'m> {
    model: &'m Model,
    entries: BTreeMap<(Partition, Vec<u8>), Option<Sealed>>,
    heads: BTreeMap<Partition, Revision>,
    changes: Vec<(Change, Vec<u8>)>,
    _alone: MutexGuard<'m, ()>,
}

impl Engine for Model {
    fn begin(&mut self, _group: &[Commit]) -> Result<Box<dyn Transaction + '_>, StoreError> {
        Ok(Box::new(Pending {
            model: self,
            entries: BTreeMap::new(),
            heads: BTreeMap::new(),
            changes: Vec::new(),
            _alone: self.0.writer.lock().unwrap_or_else(PoisonError::into_inner),
        }))
    }

    fn join_others(&mut self, wake: Wake, _: watch::Receiver<u64>) {
        self.lock().wakes.push(wake);
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

impl Pending<'_> {
    fn change(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        deleted: Option<&[u8]>,
    ) {
        let (partition, key) = (partition.clone(), key.to_vec());
        let note = deleted.map(<[u8]>::to_vec).unwrap_or_default();
        let deleted = deleted.is_some();
        self.changes.push((Change { position: 0, partition, revision, key, deleted }, note));
    }
}

impl Transaction for Pending<'_> {
    fn head(&mut self, partition: &Partition) -> Result<Revision, StoreError> {
        let written = self.heads.get(partition).copied();
        Ok(written.or_else(|| self.model.lock().heads.get(partition).copied()).unwrap_or(0))
    }

    fn revision(&mut self, partition: &Partition, key: &[u8]) -> Result<Revision, StoreError> {
        let place = (partition.clone(), key.to_vec());
        Ok(match self.entries.get(&place) {
            Some(written) => written.as_ref().map_or(0, |(revision, _)| *revision),
            None => self.model.lock().entries.get(&place).map_or(0, |(revision, _)| *revision),
        })
    }

    fn put(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        self.entries.insert((partition.clone(), key.to_vec()), Some((revision, sealed.to_vec())));
        self.change(partition, key, revision, None);
        Ok(())
    }

    fn delete(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        note: &[u8],
    ) -> Result<(), StoreError> {
        self.entries.insert((partition.clone(), key.to_vec()), None);
        self.change(partition, key, revision, Some(note));
        Ok(())
    }

    fn rewrite(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        if self.revision(partition, key)? == revision {
            let place = (partition.clone(), key.to_vec());
            self.entries.insert(place, Some((revision, sealed.to_vec())));
        }
        Ok(())
    }

    fn set_head(&mut self, partition: &Partition, revision: Revision) -> Result<(), StoreError> {
        self.heads.insert(partition.clone(), revision);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let mut state = self.model.lock();
        for (place, entry) in self.entries {
            match entry {
                Some(entry) => state.entries.insert(place, entry),
                None => state.entries.remove(&place),
            };
        }
        state.heads.extend(self.heads);
        for (mut change, note) in self.changes {
            state.last_position += 1;
            change.position = state.last_position;
            let position = change.position;
            state.changes.insert(position, (change, note));
        }
        while state.changes.len() > KEPT_CHANGES {
            state.changes.pop_first();
        }
        let wakes = state.wakes.clone();
        drop(state);
        wakes.iter().for_each(|wake| wake());
        Ok(())
    }
}

impl Reader for Model {
    fn get(
        &self,
        partition: &Partition,
        key: &[u8],
    ) -> Result<Option<(Revision, Vec<u8>)>, StoreError> {
        Ok(self.lock().entries.get(&(partition.clone(), key.to_vec())).cloned())
    }

    fn range(
        &self,
        partition: &Partition,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Revision, Vec<SealedEntry>), StoreError> {
        let state = self.lock();
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded((partition.clone(), after.to_vec())),
            None => Bound::Included((partition.clone(), prefix.to_vec())),
        };
        let entries = state
            .entries
            .range((from, Bound::Unbounded))
            .take_while(|((p, key), _)| p == partition && key.starts_with(prefix))
            .take(limit)
            .map(|((_, key), (revision, value))| (key.clone(), *revision, value.clone()))
            .collect();
        Ok((state.heads.get(partition).copied().unwrap_or(0), entries))
    }

    fn partitions(&self) -> Result<Vec<Partition>, StoreError> {
        Ok(self.lock().heads.keys().cloned().collect())
    }

    fn changes(&self, after: u64, limit: usize) -> Result<Vec<Change>, StoreError> {
        let state = self.lock();
        let kept = state.changes.keys().next().copied().unwrap_or(state.last_position + 1);
        if after + 1 < kept {
            return Err(StoreError::Trimmed(after));
        }
        Ok(state.changes.range(after + 1..).take(limit).map(|(_, (c, _))| c.clone()).collect())
    }

    fn last_position(&self) -> Result<u64, StoreError> {
        Ok(self.lock().last_position)
    }

    fn news(&self, after: u64) -> Result<Vec<SealedNews>, StoreError> {
        let state = self.lock();
        let kept = state.changes.keys().next().copied().unwrap_or(state.last_position + 1);
        if after + 1 < kept {
            return Err(StoreError::Trimmed(after));
        }
        let news = state.changes.range(after + 1..).map(|(_, (change, note))| {
            let now = state.entries.get(&(change.partition.clone(), change.key.clone())).cloned();
            SealedNews { change: change.clone(), now, note: note.clone() }
        });
        Ok(news.collect())
    }
}
