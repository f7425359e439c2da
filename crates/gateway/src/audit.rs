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
//! Segments are `audit/NUMBER-TIME.jsonl`, in the order of their numbers. Every start begins a new
//! one, so that a line torn by a crash is the last of its file.

use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
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

/// A segment that has grown to this many bytes is the last one's predecessor.
const SEGMENT: u64 = 64 * 1024 * 1024;

/// The event of a call cannot be written: the call is refused. The cause is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log cannot be written")]
pub struct Unwritable;

/// The log.
pub struct Audit(Option<Log>);

struct Log {
    shared: Arc<Shared>,
    rule: SyncRule,
    syncer: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    dir: PathBuf,
    /// The number of the next segment.
    next: u64,
    segment: Option<Segment>,
    /// Calls that hold a place.
    places: u64,
    /// Lines that wait to be written together.
    lines: Vec<u8>,
    batch: Arc<Batch>,
    unsynced: Unsynced,
    closing: bool,
}

/// Lines that are written together: whether they were, once that is known.
#[derive(Default)]
struct Batch(OnceLock<bool>);

struct Segment {
    file: Arc<File>,
    /// Whole lines.
    len: u64,
    /// Up to where room is taken; `None` where the file system takes none in advance.
    taken: Option<u64>,
}

#[derive(Default)]
struct Unsynced {
    /// The files with unsynced lines: more than one when a segment has just ended.
    files: Vec<Arc<File>>,
    /// When the oldest line that is not synced came, written or not.
    since: Option<Instant>,
    waiting: Vec<(Arc<Batch>, oneshot::Sender<bool>)>,
}

/// The right to record one event.
pub struct Place<'a>(Option<&'a Log>);

impl Audit {
    /// A log in a directory, which is made if need be.
    ///
    /// # Errors
    /// When the directory cannot be made or read, or the syncing thread cannot be started.
    pub fn open(dir: &Path, rule: SyncRule) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let state = State {
            dir: dir.to_owned(),
            next: last_number(dir)? + 1,
            segment: None,
            places: 0,
            lines: Vec::new(),
            batch: Arc::default(),
            unsynced: Unsynced::default(),
            closing: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        let its = shared.clone();
        let syncer = std::thread::Builder::new()
            .name("audit-sync".into())
            .spawn(move || its.sync_lines())?;
        Ok(Self(Some(Log { shared, rule, syncer: Some(syncer) })))
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
        let mut state = log.shared.lock();
        state.reserve().map_err(|error| {
            tracing::error!(%error, dir = %state.dir.display(), "no room for an audit event");
            Unwritable
        })?;
        Ok(Place(Some(log)))
    }
}

impl Place<'_> {
    /// Records the event: one line of JSON, without its line break. When this returns the line is
    /// written, and synced where `durable` or the log's rule asks for it.
    ///
    /// # Errors
    /// [`Unwritable`] when the line could not be written or synced.
    pub async fn record(self, mut line: String, durable: bool) -> Result<(), Unwritable> {
        let Some(log) = self.0 else { return Ok(()) };
        line.push('\n');
        let durable = durable || log.rule == SyncRule::Every;
        let (batch, synced, wake) = {
            let mut state = log.shared.lock();
            let (batch, first) = state.append(line.as_bytes());
            let synced = durable.then(|| {
                let (done, synced) = oneshot::channel();
                state.unsynced.waiting.push((batch.clone(), done));
                synced
            });
            (batch, synced, first || durable)
        };
        if wake {
            log.shared.wake.notify_one();
        }
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

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(log) = self.0 {
            log.shared.lock().places -= 1;
        }
    }
}

impl State {
    fn reserve(&mut self) -> io::Result<()> {
        if self.segment.is_none() {
            self.segment = Some(self.begin()?);
        }
        let places = self.places + 1;
        if let Some(segment) = &mut self.segment {
            segment.take_room(places * LONGEST_EVENT)?;
        }
        self.places = places;
        Ok(())
    }

    /// Begins a segment.
    fn begin(&mut self) -> io::Result<Segment> {
        let time = crate::clock::Clock::now(&crate::clock::SystemClock)
            .format(ringfence_wire::shape::TimestampFormat::DateTime)
            .replace(['-', ':'], "");
        let path = self.dir.join(format!("{:06}-{time}.jsonl", self.next));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        // The name itself must survive a power cut.
        File::open(&self.dir)?.sync_all()?;
        self.next += 1;
        Ok(Segment { file: Arc::new(file), len: 0, taken: Some(0) })
    }

    /// Adds a line to those that wait to be written. Returns their batch, and whether nothing else
    /// was unsynced before.
    fn append(&mut self, line: &[u8]) -> (Arc<Batch>, bool) {
        self.lines.extend_from_slice(line);
        let first = self.unsynced.since.is_none();
        self.unsynced.since.get_or_insert_with(Instant::now);
        (self.batch.clone(), first)
    }

    /// Writes the lines that wait, and says so to those who wait for them.
    fn write(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.lines);
        let result = self.write_lines(&lines);
        if let Err(error) = &result {
            tracing::error!(%error, dir = %self.dir.display(), "audit events were not written");
            // Whatever part of the lines is there stays the last of its file.
            self.segment = None;
        }
        // Nobody else writes a batch.
        let _ = std::mem::take(&mut self.batch).0.set(result.is_ok());
        self.lines = lines;
        self.lines.clear();
    }

    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.segment.as_ref().is_none_or(|segment| segment.len >= SEGMENT) {
            let mut segment = self.begin()?;
            segment.take_room(self.places * LONGEST_EVENT)?;
            self.segment = Some(segment);
        }
        let Some(segment) = &mut self.segment else { return Err(io::ErrorKind::NotFound.into()) };
        segment.append(lines)?;
        let file = &segment.file;
        if !self.unsynced.files.iter().any(|known| Arc::ptr_eq(known, file)) {
            self.unsynced.files.push(file.clone());
        }
        Ok(())
    }
}

impl Segment {
    /// Sees to it that `bytes` more fit.
    fn take_room(&mut self, bytes: u64) -> io::Result<()> {
        let Some(taken) = self.taken else { return Ok(()) };
        let end = self.len + bytes;
        if taken >= end {
            return Ok(());
        }
        // A step at a time: the last stretch of a full disk is of use too.
        let step = end.div_ceil(LONGEST_EVENT) * LONGEST_EVENT;
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, taken, step - taken) {
            Ok(()) => self.taken = Some(step),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                tracing::warn!("this file system takes no room in advance for audit events");
                self.taken = None;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all_at(line, self.len)?;
        self.len += line.len() as u64;
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a batch was written, which is done now unless another call did it.
    fn written(&self, batch: &Batch) -> bool {
        if let Some(written) = batch.0.get() {
            return *written;
        }
        self.lock().write();
        batch.0.get().copied().unwrap_or(false)
    }

    /// The syncing thread: until the log closes.
    fn sync_lines(&self) {
        let mut state = self.lock();
        loop {
            let Some(since) = state.unsynced.since else {
                if state.closing {
                    return;
                }
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = LONGEST_UNSYNCED.saturating_sub(since.elapsed());
            if state.unsynced.waiting.is_empty() && !state.closing && !left.is_zero() {
                let woken = self.wake.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            state.write();
            let Unsynced { files, waiting, .. } = std::mem::take(&mut state.unsynced);
            drop(state);
            let result = files.iter().try_for_each(|file| file.sync_data());
            state = self.lock();
            if let Err(error) = &result {
                tracing::error!(%error, dir = %state.dir.display(), "audit events were not synced");
                // What the kernel could not write it may have dropped: do not build on it.
                state.segment = None;
            }
            for (batch, done) in waiting {
                let written = batch.0.get().is_some_and(|written| *written);
                // Its caller may have gone.
                let _ = done.send(written && result.is_ok());
            }
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
        if self.syncer.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the audit log's syncing thread panicked");
        }
        // Gives back the room that was taken and not used.
        if let Some(segment) = &self.shared.lock().segment
            && let Err(error) = segment.file.set_len(segment.len)
        {
            tracing::warn!(%error, "the last audit segment keeps the room it took");
        }
    }
}

/// The highest number of the segments in a directory.
fn last_number(dir: &Path) -> io::Result<u64> {
    let mut last = 0;
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.split_once('-')).map(|(number, _)| number);
        last = last.max(number.and_then(|number| number.parse().ok()).unwrap_or(0));
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(dir: &Path) -> Vec<String> {
        let mut files: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
            .iter()
            .flat_map(|file| {
                let text = std::fs::read_to_string(file).unwrap();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    #[tokio::test]
    async fn a_line_is_written_when_record_returns_and_each_start_begins_a_segment() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..2 {
            let audit = Audit::open(dir.path(), SyncRule::Grouped).unwrap();
            for i in 0..3 {
                let place = audit.reserve().unwrap();
                place.record(format!("{round}.{i}"), i == 1).await.unwrap();
                assert_eq!(lines(dir.path()).last().unwrap(), &format!("{round}.{i}"));
            }
        }
        assert_eq!(lines(dir.path()), ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn what_is_said_in_one_turn_is_one_batch_in_the_order_said() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::open(dir.path(), SyncRule::Grouped).unwrap();
        let say = |text: &str| audit.reserve().unwrap().record(text.into(), false);
        let first = audit.0.as_ref().unwrap().shared.lock().batch.clone();
        let (a, b, c) = tokio::join!(say("a"), say("b"), say("c"));
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
        assert_eq!(first.0.get(), Some(&true));
        assert_eq!(lines(dir.path()), ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_written_gives_no_place_and_recovers() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::open(&dir.path().join("audit"), SyncRule::Every).unwrap();
        std::fs::remove_dir(dir.path().join("audit")).unwrap();
        assert!(matches!(audit.reserve(), Err(Unwritable)));
        std::fs::create_dir(dir.path().join("audit")).unwrap();
        audit.reserve().unwrap().record("a".into(), false).await.unwrap();
        assert_eq!(lines(&dir.path().join("audit")), ["a"]);
    }

    #[tokio::test]
    async fn a_place_that_is_not_used_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::open(dir.path(), SyncRule::Grouped).unwrap();
        for _ in 0..10 {
            drop(audit.reserve().unwrap());
        }
        let log = audit.0.as_ref().unwrap();
        assert_eq!(log.shared.lock().places, 0);
        let taken = log.shared.lock().segment.as_ref().unwrap().taken;
        assert!(taken.is_none_or(|taken| taken == LONGEST_EVENT), "{taken:?}");
    }
}
