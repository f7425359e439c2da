//! The log of events on disk: one line of JSON an event, appended to segment files.
//!
//! ```text
//!   reserve ──────────► (the call runs) ──────────► Place::record ──► answer
//!   room on the disk                                 written; a write's
//!   for its event, or                                event is also synced
//!   the call is refused
//! ```
//!
//! Room is taken from the file system before a call is let through, so that a full disk refuses the
//! call and not its event. Lines are written before the answer leaves: they survive `kill -9`. The
//! lines of calls that end in the same turn of a serving thread's loop are one batch and one write.
//! One thread syncs them, at once where an acknowledged write waits for it and within
//! [`LONGEST_UNSYNCED`] otherwise, many events at a time.
//!
//! A segment that is full or an hour old is closed by a digest that names the one before ([`chain`]), and
//! packed ([`archive`]). Every start begins a new one, once what a crash left open is closed
//! ([`recover`]); [`verify`] holds the events to the digests.

mod archive;
pub(crate) mod chain;
mod places;
mod recover;
pub(crate) mod segment;
pub mod verify;

pub use archive::OnClosed;
use archive::{Archive, Closed, Packing};
use chain::Chain;
pub use chain::Head;
use places::Places;
use ringfence_keyring::LogKey;
use segment::{Name, Segment};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// When an answer waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncRule {
    /// Those of writes do; other events are synced within [`LONGEST_UNSYNCED`].
    Grouped,
    /// Every answer does.
    Every,
}

/// Longest that an event which nobody waits for stays unsynced. Half of the 100 ms that are
/// promised, which leaves the rest for the sync itself.
pub const LONGEST_UNSYNCED: Duration = Duration::from_millis(50);

/// Longest event in bytes: the limits of its members in [`event`](crate::event) and room to spare.
pub(crate) const LONGEST_EVENT: u64 = 512 * 1024;

/// A segment that has grown to this many bytes is closed.
const SEGMENT: u64 = 64 * 1024 * 1024;

/// Rooms for lines that are kept, and bytes of the largest of them: those of a busy server's batches in the time
/// between two syncs.
const MOST_SPARE: usize = 128;
const LARGEST_SPARE: usize = 128 * 1024;

/// A segment that is so old is closed by the next event.
const OLDEST: Duration = Duration::from_secs(60 * 60);

/// The event of a call cannot be written: the call is refused. The cause is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct Unwritable;

/// The log.
pub struct Audit(Option<Log>);

struct Log {
    shared: Arc<Shared>,
    rule: SyncRule,
    threads: Vec<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
}

struct Shared {
    state: Mutex<State>,
    /// Held, and taken before the state, by whoever writes lines or ends a segment: the state need not be held
    /// while the kernel takes the lines, and others may reserve and append meanwhile.
    writing: Mutex<()>,
    wake: Condvar,
    places: Arc<Places>,
}

struct State {
    dir: PathBuf,
    /// The number of the next segment.
    next: u64,
    segment: Option<Segment>,
    places: Arc<Places>,
    /// Lines that wait to be written together.
    lines: Vec<u8>,
    batch: Arc<Batch>,
    unsynced: Unsynced,
    /// Room for further lines, which was made for earlier ones.
    spare: Vec<Vec<u8>>,
    closing: bool,
}

/// Lines that are written together: whether they were, once that is known.
#[derive(Default)]
struct Batch(OnceLock<bool>);

#[derive(Default)]
struct Unsynced {
    /// More than one when a segment has just ended.
    segments: Vec<Written>,
    /// When the oldest line that is not synced came, written or not.
    since: Option<Instant>,
    waiting: Vec<(Arc<Batch>, oneshot::Sender<bool>)>,
}

/// What was written to a segment and is not synced.
struct Written {
    name: Arc<Name>,
    file: Arc<File>,
    /// Batch by batch.
    lines: Vec<Vec<u8>>,
    /// Nothing more is written to it.
    end: Option<End>,
}

/// How a segment ended.
enum End {
    /// It holds so many bytes of whole lines.
    Full(u64),
    /// A write failed: what it holds must be looked at.
    Broken,
}

/// The right to record one event.
pub struct Place<'a>(Option<&'a Log>);

impl Audit {
    /// A log in a directory, which is made if need be; `key` signs what its segments are known by.
    ///
    /// # Errors
    /// When the directory cannot be made or read, what a crash left cannot be closed, or a thread
    /// cannot be started.
    pub fn open(dir: &Path, rule: SyncRule, key: LogKey, on_closed: OnClosed) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let public = key.public().map_err(io::Error::other)?;
        let (say, closed) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let archive = Archive {
            dir: dir.to_owned(),
            key: public,
            closed,
            on_closed,
            stopping: stopping.clone(),
        };
        let mut chain = Chain::after(dir, key)?;
        recover::recover(dir, &mut chain)?;
        // What was closed as the last server stopped, it may not have told.
        if let Some(head) = chain.head().cloned() {
            let _ = say.send(Closed { head, packing: None });
        }
        let places = Arc::new(Places::default());
        let state = State {
            dir: dir.to_owned(),
            next: last_number(dir)? + 1,
            segment: None,
            places: places.clone(),
            lines: Vec::new(),
            batch: Arc::default(),
            unsynced: Unsynced::default(),
            spare: Vec::new(),
            closing: false,
        };
        let (state, writing, wake) = (Mutex::new(state), Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { state, writing, wake, places });
        let its = shared.clone();
        let syncing = Syncing { chain, packing: None, say };
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        let threads = vec![
            thread("audit-sync").spawn(move || its.sync_lines(syncing))?,
            thread("audit-archive").spawn(move || archive.run())?,
        ];
        Ok(Self(Some(Log { shared, rule, threads, stopping })))
    }

    /// A log that keeps nothing, for `--dev`.
    pub const fn nothing() -> Self {
        Self(None)
    }

    /// Takes room for one event.
    ///
    /// # Errors
    /// [`Unwritable`] when there is none.
    pub fn reserve(&self) -> Result<Place<'_>, Unwritable> {
        let Some(log) = &self.0 else { return Ok(Place(None)) };
        let fits = log.shared.places.hold();
        let place = Place(Some(log));
        if fits {
            return Ok(place);
        }
        let mut state = log.shared.lock();
        match state.make_room() {
            Ok(()) => Ok(place),
            Err(error) => {
                tracing::error!(%error, dir = %state.dir.display(), "no room for an audit event");
                Err(Unwritable)
            }
        }
    }
}

impl<'a> Place<'a> {
    /// Records the event: one line of JSON. It is taken at once, and written when what is returned has ended;
    /// synced too, where `durable` or the log's rule asks for it.
    ///
    /// # Errors
    /// [`Unwritable`] when the line could not be written or synced.
    pub fn record(
        self,
        line: &str,
        durable: bool,
    ) -> impl Future<Output = Result<(), Unwritable>> + use<'a> {
        let taken = self.0.map(|log| log.take(line, durable));
        async move {
            // The place is held for as long.
            let place = self;
            let (Some(log), Some(Taken { batch, synced })) = (place.0, taken) else {
                return Ok(());
            };
            let kept = match synced {
                Some(synced) => synced.await.unwrap_or(false),
                None => {
                    // What other calls of this turn have to say goes into the same batch.
                    tokio::task::yield_now().await;
                    log.shared.written(&batch)
                }
            };
            if kept { Ok(()) } else { Err(Unwritable) }
        }
    }
}

/// A line that was taken into a batch, and what tells that it was synced where somebody waits for that.
struct Taken {
    batch: Arc<Batch>,
    synced: Option<oneshot::Receiver<bool>>,
}

impl Log {
    fn take(&self, line: &str, durable: bool) -> Taken {
        let durable = durable || self.rule == SyncRule::Every;
        let mut state = self.shared.lock();
        let (batch, first) = state.append(line.as_bytes());
        let synced = durable.then(|| {
            let (done, synced) = oneshot::channel();
            state.unsynced.waiting.push((batch.clone(), done));
            synced
        });
        drop(state);
        if first || durable {
            self.shared.wake.notify_one();
        }
        Taken { batch, synced }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(log) = self.0 {
            log.shared.places.release();
        }
    }
}

impl State {
    /// Sees to it that there is room for every place that is held.
    fn make_room(&mut self) -> io::Result<()> {
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.begin()?,
        };
        let made = segment.make_room(self.places.held());
        self.segment = Some(segment);
        self.tell_room();
        made
    }

    /// Tells for how many places there is room, whenever that has changed.
    fn tell_room(&self) {
        self.places.tell(self.segment.as_ref().map_or(0, Segment::places));
    }

    /// Begins a segment.
    fn begin(&mut self) -> io::Result<Segment> {
        let segment = Segment::begin(&self.dir, self.next)?;
        self.next += 1;
        Ok(segment)
    }

    /// Ends the segment that is written to.
    fn end(&mut self, how: impl FnOnce(u64) -> End) {
        if let Some(segment) = self.segment.take() {
            self.tell_room();
            self.unsynced.of(&segment).end = Some(how(segment.len));
        }
    }

    /// Adds a line to those that wait to be written. Returns their batch, and whether nothing else
    /// was unsynced before.
    fn append(&mut self, line: &[u8]) -> (Arc<Batch>, bool) {
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        let first = self.unsynced.since.is_none();
        self.unsynced.since.get_or_insert_with(Instant::now);
        (self.batch.clone(), first)
    }

    /// Takes the lines that wait, to write them; `None` where there are none.
    fn begin_write(&mut self) -> Option<Write> {
        if self.lines.is_empty() {
            return None;
        }
        let room = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(self.lines.len()));
        let lines = std::mem::replace(&mut self.lines, room);
        let batch = std::mem::take(&mut self.batch);
        Some(Write { to: self.end_of_segment(), lines, batch })
    }

    /// Where the next lines go.
    fn end_of_segment(&mut self) -> io::Result<(Arc<File>, u64)> {
        let full = |segment: &Segment| segment.len >= SEGMENT || segment.begun.elapsed() >= OLDEST;
        if self.segment.as_ref().is_some_and(full) {
            self.end(End::Full);
        }
        if self.segment.is_none() {
            self.make_room()?;
        }
        let Some(segment) = &self.segment else { return Err(io::ErrorKind::NotFound.into()) };
        Ok((segment.file.clone(), segment.len))
    }

    /// Takes in what became of lines, and says so to those who wait for them.
    fn end_write(&mut self, carried_out: CarriedOut) {
        let CarriedOut { lines, batch, result } = carried_out;
        match (&result, &mut self.segment) {
            (Ok(()), Some(segment)) => {
                segment.len += lines.len() as u64;
                debug_assert!(segment.taken.is_none_or(|taken| taken >= segment.len));
                self.unsynced.of(segment).lines.push(lines);
            }
            (Ok(()), None) => tracing::error!("an audit segment ended while it was written to"),
            (Err(error), _) => {
                tracing::error!(%error, dir = %self.dir.display(), "audit events were not written");
                // Whatever part of the lines is there stays the last of its file.
                self.end(|_| End::Broken);
            }
        }
        self.tell_room();
        // Nobody else writes a batch.
        let _ = batch.0.set(result.is_ok());
    }

    /// Keeps the room of lines that were synced for further ones.
    fn keep_room(&mut self, segments: Vec<Written>) {
        for mut lines in segments.into_iter().flat_map(|written| written.lines) {
            if self.spare.len() == MOST_SPARE {
                return;
            }
            if lines.capacity() <= LARGEST_SPARE {
                lines.clear();
                self.spare.push(lines);
            }
        }
    }
}

/// Lines that are to be written, and where.
struct Write {
    to: io::Result<(Arc<File>, u64)>,
    lines: Vec<u8>,
    batch: Arc<Batch>,
}

/// What became of them.
struct CarriedOut {
    lines: Vec<u8>,
    batch: Arc<Batch>,
    result: io::Result<()>,
}

impl Write {
    fn carry_out(self) -> CarriedOut {
        let Self { to, lines, batch } = self;
        let result = to.and_then(|(file, end)| file.write_all_at(&lines, end));
        CarriedOut { lines, batch, result }
    }
}

impl Unsynced {
    /// What is unsynced of a segment.
    fn of(&mut self, segment: &Segment) -> &mut Written {
        let known = self.segments.iter().position(|written| written.name == segment.name);
        let at = known.unwrap_or_else(|| {
            self.segments.push(Written {
                name: segment.name.clone(),
                file: segment.file.clone(),
                lines: Vec::new(),
                end: None,
            });
            self.segments.len() - 1
        });
        &mut self.segments[at]
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a batch was written, which is done now unless another call did it.
    fn written(&self, batch: &Batch) -> bool {
        if let Some(written) = batch.0.get() {
            return *written;
        }
        let _writing = self.lock_writing();
        if batch.0.get().is_none() {
            let begun = self.lock().begin_write();
            if let Some(write) = begun {
                let carried_out = write.carry_out();
                self.lock().end_write(carried_out);
            }
        }
        batch.0.get().copied().unwrap_or(false)
    }

    /// The syncing thread: until the log closes.
    fn sync_lines(&self, mut syncing: Syncing) {
        let mut state = self.lock();
        loop {
            let Some(since) = state.unsynced.since else {
                if state.closing {
                    // No call is left that writes.
                    state.end(End::Full);
                    let last = std::mem::take(&mut state.unsynced.segments);
                    let dir = state.dir.clone();
                    drop(state);
                    last.iter().for_each(|written| syncing.vouch(&dir, written, &Ok(())));
                    return;
                }
                let due = syncing.chain.mark_due();
                state = match due {
                    Some(due) if due.is_zero() => {
                        drop(state);
                        syncing.mark();
                        self.lock()
                    }
                    Some(due) => {
                        let woken = self.wake.wait_timeout(state, due);
                        woken.unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                };
                continue;
            };
            let left = LONGEST_UNSYNCED.saturating_sub(since.elapsed());
            if state.unsynced.waiting.is_empty() && !state.closing && !left.is_zero() {
                let woken = self.wake.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            drop(state);
            let writing = self.lock_writing();
            state = self.lock();
            // What comes meanwhile is for the next turn: so nobody may append before all is taken.
            if let Some(write) = state.begin_write() {
                state.end_write(write.carry_out());
            }
            let Unsynced { segments, waiting, .. } = std::mem::take(&mut state.unsynced);
            drop((state, writing));
            let synced: Vec<_> = segments.iter().map(|written| written.file.sync_data()).collect();
            let failed = synced.iter().find_map(|result| result.as_ref().err());
            let writing = failed.map(|_| self.lock_writing());
            state = self.lock();
            if let Some(error) = failed {
                tracing::error!(%error, dir = %state.dir.display(), "audit events were not synced");
                // What the kernel could not write it may have dropped: do not build on it.
                state.end(|_| End::Broken);
            }
            drop(writing);
            for (batch, done) in waiting {
                let written = batch.0.get().is_some_and(|written| *written);
                // Its caller may have gone.
                let _ = done.send(written && failed.is_none());
            }
            let dir = state.dir.clone();
            drop(state);
            for (written, synced) in segments.iter().zip(&synced) {
                syncing.vouch(&dir, written, synced);
            }
            syncing.mark();
            state = self.lock();
            state.keep_room(segments);
        }
    }
}

/// What the syncing thread alone has.
struct Syncing {
    chain: Chain,
    /// The segment whose lines come in, on its way to the archive.
    packing: Option<Packing>,
    say: mpsc::Sender<Closed>,
}

impl Syncing {
    /// Takes what was synced into the chain, and closes a segment that has ended.
    fn vouch(&mut self, dir: &Path, written: &Written, synced: &io::Result<()>) {
        for lines in &written.lines {
            self.chain.add(&written.name, lines);
            self.pack(dir, &written.name, lines);
        }
        let mut packing = None;
        let closed = match (&written.end, synced) {
            // One that could not be synced has been ended, which is told in the next turn.
            (None, _) => return,
            // Room was taken for events that did not come.
            (Some(End::Full(0)), Ok(())) => {
                if let Err(error) = std::fs::remove_file(written.name.file(dir, segment::LINES)) {
                    tracing::warn!(%error, "an empty audit segment is left");
                }
                return;
            }
            // Gives back the room that was taken and not used.
            (Some(End::Full(len)), Ok(())) => {
                packing = self.packing.take_if(|packing| packing.is_of(&written.name));
                written.file.set_len(*len).and_then(|()| self.chain.close(&written.name))
            }
            (Some(_), _) => {
                // It may hold other lines than came in.
                self.packing.take_if(|packing| packing.is_of(&written.name));
                recover::close(dir, &written.name, &mut self.chain)
            }
        };
        match closed {
            Ok(()) => {
                // The other thread ends after this one.
                if let Some(head) = self.chain.head().cloned() {
                    let _ = self.say.send(Closed { head, packing });
                }
            }
            Err(error) => tracing::error!(
                %error,
                segment = %written.name,
                "an audit segment is not closed: that is done at the next start"
            ),
        }
    }

    /// Packs lines that were vouched for with those before them.
    fn pack(&mut self, dir: &Path, name: &Arc<Name>, lines: &[u8]) {
        if self.packing.as_ref().is_none_or(|packing| !packing.is_of(name)) {
            self.packing = Some(Packing::begin(dir, name));
        }
        if let Some(packing) = &mut self.packing {
            packing.add(lines);
        }
    }

    fn mark(&mut self) {
        if let Err(error) = self.chain.mark() {
            tracing::warn!(%error, "the last audit events are not marked");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.stopping.store(true, Ordering::Relaxed);
        self.shared.wake.notify_one();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the audit log panicked");
            }
        }
    }
}

/// The highest number of the segments in a directory, in whatever form.
fn last_number(dir: &Path) -> io::Result<u64> {
    let mut last = 0;
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        last = last.max(name.to_str().and_then(Name::parse).map_or(0, |name| name.number));
    }
    Ok(last)
}

#[cfg(test)]
mod tests;
