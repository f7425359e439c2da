//! The store that services see: commits gathered into groups, values sealed on the way.

use crate::engine::{Engine, Reader, SealedEntry, Transaction};
use crate::seal::Sealer;
use crate::{Change, Commit, Entry, Expect, Partition, Revision, StoreError};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{oneshot, watch};

/// Most commits that share one sync.
const LARGEST_GROUP: usize = 1024;

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
    commits: watch::Receiver<u64>,
}

impl Store {
    /// A store over an engine, its values sealed by `sealer`.
    pub fn open(engine: impl Engine, sealer: impl Sealer) -> Result<Self, StoreError> {
        let sealer: Arc<dyn Sealer> = Arc::new(sealer);
        let reader = engine.reader();
        let (queue, waiting) = channel();
        let (signal, commits) = watch::channel(0);
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
        })
    }

    /// Queues a commit. `done` is called on the committer's thread when the commit is durable or
    /// has failed, in the order in which commits were queued; it must be quick.
    pub fn submit(
        &self,
        commit: Commit,
        done: impl FnOnce(Result<Revision, StoreError>) + Send + 'static,
    ) {
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
    signal: watch::Sender<u64>,
}

impl<E: Engine> Committer<E> {
    fn run(mut self, waiting: &Receiver<Job>) {
        while let Ok(first) = waiting.recv() {
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
        let results = match self.apply(commits) {
            Ok(results) => results,
            // The engine failed: nothing of the group was applied.
            Err(error) => commits.iter().map(|_| Err(error.clone())).collect(),
        };
        for (done, result) in done.into_iter().zip(results) {
            done(result);
        }
        self.signal.send_modify(|count| *count += 1);
    }

    fn rewrite(&mut self, resealed: &Resealed) -> Result<(), StoreError> {
        let mut transaction = self.engine.begin()?;
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
        let mut transaction = self.engine.begin()?;
        let mut results = Vec::with_capacity(commits.len());
        let mut changed = false;
        for commit in commits {
            let result = apply_one(&mut *transaction, &*self.sealer, commit)?;
            changed |= result.is_ok();
            results.push(result);
        }
        if changed {
            transaction.commit()?;
        } else {
            drop(transaction);
        }
        let forgets = |(commit, result): (&Commit, &Result<_, _>)| commit.forgets && result.is_ok();
        let forget = commits.iter().zip(&results).any(forgets) || self.engine.must_forget();
        if forget && let Err(error) = self.engine.forget() {
            // What was written stands. The next group tries again, and so does the next start.
            tracing::error!(%error, "former values may still lie in the store's files");
        }
        Ok(results)
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
    for (key, value) in &commit.changes {
        match value {
            Some(value) => {
                let sealed = sealer.seal(&place(partition, key, &revision.to_be_bytes()), value)?;
                transaction.put(partition, key, revision, &sealed)?;
            }
            None => transaction.delete(partition, key, revision)?,
        }
    }
    transaction.set_head(partition, revision)?;
    Ok(Ok(revision))
}
