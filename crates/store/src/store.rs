//! The store that services see: commits gathered into groups, values sealed on the way.

use crate::engine::{
    Engine, Fitness, Reader, SealedEntry, SealedNews, Transaction, epoch_of, mark,
};
use crate::seal::Sealer;
use crate::{Chain, Change, Commit, Entry, Expect, Partition, Revision, StoreError, Write};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// Most commits that share one sync.
const LARGEST_GROUP: usize = 1024;

/// How often a group is applied once more, where another writer came between.
const TRIES: usize = 5;

/// How long the committer waits for something to do before it looks at what it owes.
const IDLE: Duration = Duration::from_secs(1);

/// A key and its entry.
pub type Keyed = (Vec<u8>, Entry);

/// Told how a commit ended, on the committer's thread, in the order of commits.
type Done = Box<dyn FnOnce(Result<Revision, StoreError>) + Send>;

/// What the committer is asked to do.
enum Job {
    Commit(Commit, Done),
    Reseal(Resealed, Box<dyn FnOnce(Result<(), StoreError>) + Send>),
}

/// Values of one partition, sealed anew for the revisions that they have.
struct Resealed {
    partition: Partition,
    entries: Vec<SealedEntry>,
}

/// An open store. Dropping it waits for commits under way.
pub struct Store {
    queue: Mutex<Option<Sender<Job>>>,
    committer: Mutex<Option<JoinHandle<()>>>,
    reader: Box<dyn Reader>,
    sealer: Arc<dyn Sealer>,
    /// Moves whenever somebody may have committed something.
    commits: watch::Receiver<u64>,
    /// Up to where this process has taken in what was changed: a [`mark`].
    followed: watch::Sender<u64>,
    fitness: Option<Fitness>,
}

impl Store {
    /// A store over an engine, its values sealed by `sealer`.
    pub fn open(mut engine: impl Engine, sealer: impl Sealer) -> Result<Self, StoreError> {
        let (signal, commits) = watch::channel(0);
        let signal = Arc::new(signal);
        // It is the committer's: when that ends, whoever waits hears of it.
        let weak = Arc::downgrade(&signal);
        let wake = Arc::new(move || {
            if let Some(signal) = weak.upgrade() {
                signal.send_modify(|count| *count += 1);
            }
        });
        let followed = watch::Sender::new(0);
        engine.join_others(wake, followed.subscribe());
        let fitness = engine.fitness();
        let sealer: Arc<dyn Sealer> = Arc::new(sealer);
        let reader = engine.reader();
        let (queue, waiting) = channel();
        let group = Committer { engine, sealer: sealer.clone(), signal };
        let committer = std::thread::Builder::new()
            .name("store-commit".into())
            .spawn(move || group.run(&waiting))
            .map_err(|error| StoreError::Engine(error.to_string()))?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            committer: Mutex::new(Some(committer)),
            reader,
            sealer,
            commits,
            followed,
            fitness,
        })
    }

    /// Queues a commit. `done` is called on the committer's thread when the commit is durable or
    /// has failed, in the order in which commits were queued; it must be quick.
    pub fn submit(
        &self,
        mut commit: Commit,
        done: impl FnOnce(Result<Revision, StoreError>) + Send + 'static,
    ) {
        commit.epoch = epoch_of(*self.followed.borrow());
        if let Err(Job::Commit(_, done)) = self.queue(Job::Commit(commit, Box::new(done))) {
            done(Err(StoreError::Closed));
        }
    }

    /// Queues a job, or gives it back where the store is closed.
    fn queue(&self, job: Job) -> Result<(), Job> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match &*queue {
            Some(queue) => queue.send(job).map_err(|refused| refused.0),
            None => Err(job),
        }
    }

    /// Commits; returns when the commit is durable.
    pub async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        let (reply, answer) = oneshot::channel();
        // The receiver goes when its caller does; the commit stands all the same.
        self.submit(commit, |result| drop(reply.send(result)));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Commits and waits on this thread. For start-up and tests.
    pub fn commit_blocking(&self, commit: Commit) -> Result<Revision, StoreError> {
        let (reply, answer) = channel();
        self.submit(commit, move |result| drop(reply.send(result)));
        answer.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// The value of a key.
    pub fn get(&self, partition: &Partition, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let Some((revision, sealed)) = self.reader.get(partition, key)? else { return Ok(None) };
        let value = open(&*self.sealer, partition, key, revision, &sealed)?;
        Ok(Some(Entry { revision, value }))
    }

    /// Keys with this prefix in order, those after `after`, at most `limit`; and the partition's
    /// revision at that point in time.
    pub fn range(
        &self,
        partition: &Partition,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Revision, Vec<Keyed>), StoreError> {
        let (head, sealed) = self.reader.range(partition, prefix, after, limit)?;
        let mut entries = Vec::with_capacity(sealed.len());
        for (key, revision, sealed) in sealed {
            let value = open(&*self.sealer, partition, &key, revision, &sealed)?;
            entries.push((key, Entry { revision, value }));
        }
        Ok((head, entries))
    }

    /// A key under `prefix` that does not tell the name it stands for: for state that is found by
    /// name or read whole, and never by the order of its names.
    pub fn blind_key(&self, partition: &Partition, prefix: &str, name: &str) -> Vec<u8> {
        let mut key = prefix.as_bytes().to_vec();
        key.extend(self.sealer.blind(&[partition.as_str().as_bytes(), name.as_bytes()]));
        key
    }

    /// Seals anew what is not sealed under the newest key: up to `limit` values are looked at, from
    /// where `at` left off, which begins with the default. Values keep their revisions, and no
    /// watcher hears of it; what somebody changes meanwhile is sealed anew by that. Returns how many
    /// were sealed anew, or `None` when the end is reached. Waits on this thread.
    ///
    /// # Errors
    /// [`StoreError`]; values that were done stay done.
    pub fn reseal(&self, at: &mut ResealedTo, limit: usize) -> Result<Option<usize>, StoreError> {
        let partitions = self.reader.partitions()?;
        let next = |partition: &&Partition| match &at.partition {
            Some(done) => *partition >= done,
            None => true,
        };
        let Some(partition) = partitions.iter().find(next) else { return Ok(None) };
        let after = at.key.as_deref().filter(|_| at.partition.as_ref() == Some(partition));
        let (_, read) = self.reader.range(partition, b"", after, limit.max(1))?;
        let Some((last, ..)) = read.last() else {
            // The end of this partition: what follows is the next one.
            let Some(following) = partitions.iter().find(|other| *other > partition) else {
                return Ok(None);
            };
            *at = ResealedTo { partition: Some(following.clone()), key: None };
            return Ok(Some(0));
        };
        let reached = ResealedTo { partition: Some(partition.clone()), key: Some(last.clone()) };
        let mut entries = Vec::new();
        for (key, revision, sealed) in read {
            if self.sealer.is_current(&sealed) {
                continue;
            }
            let value = open(&*self.sealer, partition, &key, revision, &sealed)?;
            let place = revision.to_be_bytes();
            let sealed = self.sealer.seal(&self::place(partition, &key, &place), &value)?;
            entries.push((key, revision, sealed));
        }
        let count = entries.len();
        if count > 0 {
            let (reply, answer) = channel();
            let resealed = Resealed { partition: partition.clone(), entries };
            let done = Box::new(move |result| drop(reply.send(result)));
            self.queue(Job::Reseal(resealed, done)).map_err(|_| StoreError::Closed)?;
            answer.recv().unwrap_or(Err(StoreError::Closed))?;
        }
        *at = reached;
        Ok(Some(count))
    }

    /// Every partition that was ever written.
    pub fn partitions(&self) -> Result<Vec<Partition>, StoreError> {
        self.reader.partitions()
    }

    /// Follows the changes after a position.
    pub fn watch(&self, after: u64) -> Watch<'_> {
        Watch { store: self, after, commits: self.commits.clone() }
    }

    /// The position of the last change.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn last_position(&self) -> Result<u64, StoreError> {
        self.reader.last_position()
    }

    /// What positions are of. When it changes, what was read before may never have been: everything must be read
    /// anew.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn epoch(&self) -> Result<u64, StoreError> {
        self.reader.epoch()
    }

    /// What [`followed`](Self::followed) comes to when the last change was taken in.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn last_mark(&self) -> Result<u64, StoreError> {
        Ok(mark(self.epoch()?, self.last_position()?))
    }

    /// All that was changed after a position, whoever did it, as it is now. Waits on this thread.
    ///
    /// # Errors
    /// [`StoreError::Trimmed`] where that is too long ago: then everything must be read anew.
    pub fn news(&self, after: u64) -> Result<News, StoreError> {
        let mut news = News { position: after, partitions: BTreeMap::new() };
        for SealedNews { change, now, note } in self.reader.news(after)? {
            let Change { position, partition, revision, key, .. } = change;
            news.position = position;
            let value = match &now {
                Some((at, sealed)) => Some(open(&*self.sealer, &partition, &key, *at, sealed)?),
                None => None,
            };
            let note = match note.is_empty() {
                true => note,
                false => open(&*self.sealer, &partition, &key, revision, &note)?,
            };
            let place = news.partitions.entry(partition).or_default();
            place.0 = revision;
            place.1.insert(key, Changed { value, note });
        }
        Ok(news)
    }

    /// Moves whenever somebody, in this process or another, may have committed something; ends when the
    /// store is closed.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }

    /// Whether this process may decide by what it knows, where that is not always so.
    pub fn fitness(&self) -> Option<Fitness> {
        self.fitness.clone()
    }

    /// Says that this process has taken in everything up to a position of an epoch.
    pub fn note_followed(&self, epoch: u64, position: u64) {
        self.followed.send_replace(mark(epoch, position));
    }

    /// Moves when this process has taken in more; it stays at 0 where the process follows nothing.
    pub fn followed(&self) -> watch::Receiver<u64> {
        self.followed.subscribe()
    }

    /// Finishes what is queued and stops: later commits fail as closed.
    pub fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let committer = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if committer.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's committer panicked");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

/// How far [`Store::reseal`] has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResealedTo {
    partition: Option<Partition>,
    key: Option<Vec<u8>>,
}

/// A place in the changes of a store.
pub struct Watch<'s> {
    store: &'s Store,
    after: u64,
    commits: watch::Receiver<u64>,
}

impl Watch<'_> {
    /// Changes not seen yet, at most `limit`; possibly none.
    pub fn poll(&mut self, limit: usize) -> Result<Vec<Change>, StoreError> {
        let changes = self.store.reader.changes(self.after, limit)?;
        if let Some(last) = changes.last() {
            self.after = last.position;
        }
        Ok(changes)
    }

    /// Waits until there are changes not seen yet, then returns them.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<Change>, StoreError> {
        loop {
            // Marked as seen before the look: a commit in between wakes the wait below.
            self.commits.borrow_and_update();
            let changes = self.poll(limit)?;
            if !changes.is_empty() {
                return Ok(changes);
            }
            if self.commits.changed().await.is_err() {
                return Err(StoreError::Closed);
            }
        }
    }
}

/// What was changed, by partition: its revision, and the keys.
#[derive(Debug)]
pub struct News {
    /// The position of the last of these changes.
    pub position: u64,
    pub partitions: BTreeMap<Partition, (Revision, BTreeMap<Vec<u8>, Changed>)>,
}

/// A key that was changed.
pub struct Changed {
    /// What it has now; `None` where it was removed.
    pub value: Option<Vec<u8>>,
    /// The note of its removal.
    pub note: Vec<u8>,
}

impl fmt::Debug for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").field("removed", &self.value.is_none()).finish_non_exhaustive()
    }
}

/// What a sealed value is bound to.
fn place<'a>(partition: &'a Partition, key: &'a [u8], revision: &'a [u8; 8]) -> [&'a [u8]; 3] {
    [partition.as_str().as_bytes(), key, revision]
}

fn open(
    sealer: &dyn Sealer,
    partition: &Partition,
    key: &[u8],
    revision: Revision,
    sealed: &[u8],
) -> Result<Vec<u8>, StoreError> {
    sealer.open(&place(partition, key, &revision.to_be_bytes()), sealed)
}

/// The one writer of the engine.
struct Committer<E> {
    engine: E,
    sealer: Arc<dyn Sealer>,
    signal: Arc<watch::Sender<u64>>,
}

impl<E: Engine> Committer<E> {
    fn run(mut self, waiting: &Receiver<Job>) {
        loop {
            let first = match waiting.recv_timeout(IDLE) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.forget_if_owed(false);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (mut commits, mut done, mut reseal) = (Vec::new(), Vec::new(), None);
            let mut next = Some(first);
            while let Some(job) = next.take() {
                match job {
                    Job::Commit(commit, told) => {
                        commits.push(commit);
                        done.push(told);
                    }
                    Job::Reseal(resealed, told) => reseal = Some((resealed, told)),
                }
                if commits.len() < LARGEST_GROUP && reseal.is_none() {
                    next = waiting.try_recv().ok();
                }
            }
            if !commits.is_empty() {
                self.commit(&commits, done);
            }
            if let Some((resealed, told)) = reseal {
                told(self.rewrite(&resealed));
            }
        }
    }

    fn commit(&mut self, commits: &[Commit], done: Vec<Done>) {
        let mut applied = self.apply(commits);
        for _ in 0..TRIES {
            let Err(StoreError::Again(why)) = &applied else { break };
            tracing::debug!(why, "a group is applied once more");
            applied = self.apply(commits);
        }
        let results = match applied {
            Ok(results) => results,
            // The engine failed: nothing of the group was applied, or nobody knows.
            Err(error) => {
                commits
                    .iter()
                    .filter_map(|commit| commit.chain.as_ref())
                    .for_each(Chain::break_off);
                commits.iter().map(|_| Err(error.clone())).collect()
            }
        };
        for (done, result) in done.into_iter().zip(results) {
            done(result);
        }
        self.signal.send_modify(|count| *count += 1);
    }

    fn rewrite(&mut self, resealed: &Resealed) -> Result<(), StoreError> {
        let mut transaction = self.engine.begin(&[])?;
        for (key, revision, sealed) in &resealed.entries {
            transaction.rewrite(&resealed.partition, key, *revision, sealed)?;
        }
        transaction.commit()
    }

    /// Applies a group in one transaction. A commit whose expectations fail is left out alone.
    fn apply(
        &mut self,
        commits: &[Commit],
    ) -> Result<Vec<Result<Revision, StoreError>>, StoreError> {
        let mut transaction = self.engine.begin(commits)?;
        let mut results = Vec::with_capacity(commits.len());
        let mut changed = false;
        for commit in commits {
            let result = apply_one(&mut *transaction, &*self.sealer, commit)?;
            if let (Err(_), Some(chain)) = (&result, &commit.chain) {
                chain.break_off();
            }
            changed |= result.is_ok();
            results.push(result);
        }
        if changed {
            transaction.commit()?;
        } else {
            drop(transaction);
        }
        let forgets = |(commit, result): (&Commit, &Result<_, _>)| commit.forgets && result.is_ok();
        self.forget_if_owed(commits.iter().zip(&results).any(forgets));
        Ok(results)
    }

    /// Leaves nothing of former values, where that is asked for now or could not be done before.
    fn forget_if_owed(&mut self, asked: bool) {
        if (asked || self.engine.must_forget())
            && let Err(error) = self.engine.forget()
        {
            // What was written stands. It is tried again in a moment, and at the next start.
            tracing::error!(%error, "former values may still lie in the store's files");
        }
    }
}

/// The outer error ends the group; the inner one is this commit's alone.
fn apply_one(
    transaction: &mut dyn Transaction,
    sealer: &dyn Sealer,
    commit: &Commit,
) -> Result<Result<Revision, StoreError>, StoreError> {
    let partition = &commit.partition;
    let head = transaction.head(partition)?;
    if commit.chain.as_ref().is_some_and(Chain::is_broken) {
        return Ok(Err(StoreError::Conflict { head }));
    }
    // Another database may have given the revisions that are expected to something else.
    let (computed, now) = (commit.epoch, transaction.epoch());
    if !commit.expect.is_empty() && computed != 0 && now != 0 && computed != now {
        return Ok(Err(StoreError::Conflict { head }));
    }
    for expect in &commit.expect {
        let holds = match expect {
            Expect::Head(revision) => *revision == head,
            Expect::Key(key, revision) => transaction.revision(partition, key)? == *revision,
        };
        if !holds {
            return Ok(Err(StoreError::Conflict { head }));
        }
    }
    let revision = head + 1;
    for (key, write) in &commit.changes {
        match write {
            Write::Put(value) => {
                let sealed = sealer.seal(&place(partition, key, &revision.to_be_bytes()), value)?;
                transaction.put(partition, key, revision, &sealed)?;
            }
            Write::Delete(note) if note.is_empty() => {
                transaction.delete(partition, key, revision, note)?;
            }
            Write::Delete(note) => {
                let sealed = sealer.seal(&place(partition, key, &revision.to_be_bytes()), note)?;
                transaction.delete(partition, key, revision, &sealed)?;
            }
        }
    }
    transaction.set_head(partition, revision)?;
    Ok(Ok(revision))
}
