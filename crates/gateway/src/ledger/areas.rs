//! The ledgers of every area, each read from the store when it is first asked for.

use super::{HEARS_WITHIN, Ledger, State};
use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use ringfence_store::{News, Store, StoreError};
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The ledgers of every area, each read from the store when it is first asked for, and all of them by
/// [`fill`](Ledgers::fill).
///
/// What others change in an area that was not read yet is passed over: whoever reads it afterwards reads
/// that too.
pub struct Ledgers<S: State> {
    store: Arc<Store>,
    areas: ArcSwap<Areas<S>>,
    making: Mutex<()>,
}

type Areas<S> = HashMap<<S as State>::Area, Arc<Slot<S>>, RandomState>;

/// The place of one area's ledger.
struct Slot<S: State> {
    ledger: OnceLock<Arc<Ledger<S>>>,
    /// Held while it is read: who follows changes waits for the end of that.
    reading: Mutex<()>,
}

impl<S: State> Slot<S> {
    fn new() -> Arc<Self> {
        Arc::new(Self { ledger: OnceLock::new(), reading: Mutex::default() })
    }

    /// The ledger, read now if need be.
    fn ledger(&self, store: &Arc<Store>, area: &S::Area) -> Result<Arc<Ledger<S>>, StoreError> {
        if let Some(ledger) = self.ledger.get() {
            return Ok(ledger.clone());
        }
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ledger) = self.ledger.get() {
            return Ok(ledger.clone());
        }
        let ledger = Ledger::load(store.clone(), area)?;
        Ok(self.ledger.get_or_init(|| ledger).clone())
    }

    /// The ledger, where it was read. INVARIANT: where this is `None`, who reads it begins later.
    fn if_read(&self) -> Option<Arc<Ledger<S>>> {
        if let Some(ledger) = self.ledger.get() {
            return Some(ledger.clone());
        }
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.ledger.get().cloned()
    }
}

/// How long a store that does not answer is asked for an area, where somebody waits for it.
const ASKED_FOR: Duration = Duration::from_secs(10);

/// Before it is asked again.
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(200);

impl<S: State> Ledgers<S> {
    /// Knows which areas the store has, and has read none.
    ///
    /// # Errors
    /// When the store fails.
    pub fn open(store: Arc<Store>) -> Result<Self, StoreError> {
        let named = store.partitions()?;
        let areas = named.iter().filter_map(|partition| partition.as_str().parse::<S::Area>().ok());
        let areas = areas.map(|area| (area, Slot::new())).collect();
        Ok(Self { store, areas: ArcSwap::from_pointee(areas), making: Mutex::default() })
    }

    /// Reads the state of every area that the store knows.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load(store: Arc<Store>) -> Result<Self, StoreError> {
        let ledgers = Self::open(store)?;
        ledgers.fill(1)?;
        Ok(ledgers)
    }

    /// Reads whatever was not read yet, on so many threads.
    ///
    /// # Errors
    /// As [`load`](Self::load): the first failure, where there are several.
    pub fn fill(&self, threads: usize) -> Result<(), StoreError> {
        let areas = self.areas.load_full();
        let left = Mutex::new(areas.iter());
        let fill = || {
            loop {
                let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((area, slot)) = next else { return Ok(()) };
                slot.ledger(&self.store, area)?;
            }
        };
        if threads <= 1 {
            return fill();
        }
        std::thread::scope(|scope| {
            let filling: Vec<_> = (0..threads).map(|_| scope.spawn(fill)).collect();
            let panicked = || StoreError::Engine("a thread that reads accounts panicked".into());
            filling.into_iter().try_for_each(|one| one.join().unwrap_or_else(|_| Err(panicked())))
        })
    }

    /// The ledger of an area; `None` for one that was never made, and where the store cannot be read,
    /// which the log tells.
    pub fn get(&self, area: impl Borrow<S::Area>) -> Option<Arc<Ledger<S>>> {
        let area = area.borrow();
        let areas = self.areas.load();
        let slot = areas.get(area)?;
        if let Some(ledger) = slot.ledger.get() {
            return Some(ledger.clone());
        }
        let until = Instant::now() + ASKED_FOR;
        loop {
            match slot.ledger(&self.store, area) {
                Ok(ledger) => return Some(ledger),
                Err(error) => {
                    tracing::error!(%error, %area, "an account cannot be read");
                    let passes = matches!(error, StoreError::Engine(_) | StoreError::Again(_));
                    if !passes || Instant::now() > until {
                        return None;
                    }
                    std::thread::sleep(ASKED_AGAIN_AFTER);
                }
            }
        }
    }

    /// Those that were read so far.
    pub fn read_so_far(&self) -> Vec<(S::Area, Arc<Ledger<S>>)> {
        let areas = self.areas.load();
        let read = areas.iter().filter_map(|(area, slot)| Some((area, slot.ledger.get()?)));
        read.map(|(area, ledger)| (area.clone(), ledger.clone())).collect()
    }

    /// The ledger of an area, made if need be.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn get_or_make(&self, area: impl Borrow<S::Area>) -> Result<Arc<Ledger<S>>, StoreError> {
        let area = area.borrow();
        self.slot(area).ledger(&self.store, area)
    }

    /// The place of an area, made if need be.
    fn slot(&self, area: &S::Area) -> Arc<Slot<S>> {
        if let Some(slot) = self.areas.load().get(area) {
            return slot.clone();
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = self.areas.load().get(area) {
            return slot.clone();
        }
        let slot = Slot::new();
        let mut areas = HashMap::clone(&self.areas.load());
        areas.insert(area.clone(), slot.clone());
        self.areas.store(Arc::new(areas));
        slot
    }

    /// Takes in what was changed in the areas that were read; those where something was.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn follow(&self, news: &News) -> Result<Vec<S::Area>, StoreError> {
        let mut changed = Vec::new();
        for (partition, (head, keys)) in &news.partitions {
            let Ok(area) = partition.as_str().parse::<S::Area>() else { continue };
            if let Some(ledger) = self.slot(&area).if_read() {
                ledger.follow(*head, keys)?;
            }
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
        let last = tokio::task::spawn_blocking(move || store.last_mark()).await;
        let Ok(Ok(last)) = last else {
            tracing::warn!("what other processes wrote last is not known");
            return;
        };
        let heard = followed.wait_for(|mark| *mark >= last);
        if tokio::time::timeout(HEARS_WITHIN, heard).await.is_err() {
            tracing::warn!("what other processes wrote last is not heard of");
        }
    }

    /// Reads everything anew that was read before.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn read_anew(&self) -> Result<(), StoreError> {
        let there = self.store.partitions()?;
        let mut areas: HashSet<_> =
            there.iter().filter_map(|one| one.as_str().parse().ok()).collect();
        // Those that are known and are not there any more too.
        areas.extend(self.areas());
        let read = areas.iter().filter_map(|area| self.slot(area).if_read());
        read.collect::<Vec<_>>().iter().try_for_each(|ledger| ledger.read_anew())
    }

    /// Every area.
    pub fn areas(&self) -> Vec<S::Area> {
        self.areas.load().keys().cloned().collect()
    }
}
