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
mod recover;
pub(crate) mod segment;
pub mod verify;

use archive::Archive;
pub use archive::OnClosed;
use chain::Chain;
pub use chain::Head;
use ringfence_keyring::LogKey;
use segment::{Name, Segment};
use std::fs::File;
use std::io;
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
    lines: Vec<u8>,
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
        let _ = chain.head().map(|head| say.send(head.clone()));
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
        let syncing = Syncing { chain, say };
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
        let segment = Segment::begin(&self.dir, self.next)?;
        self.next += 1;
        Ok(segment)
    }

    /// Ends the segment that is written to.
    fn end(&mut self, how: impl FnOnce(u64) -> End) {
        if let Some(segment) = self.segment.take() {
            self.unsynced.of(&segment).end = Some(how(segment.len));
        }
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
            self.end(|_| End::Broken);
        }
        // Nobody else writes a batch.
        let _ = std::mem::take(&mut self.batch).0.set(result.is_ok());
        self.lines = lines;
        self.lines.clear();
    }

    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        let full = |segment: &Segment| segment.len >= SEGMENT || segment.begun.elapsed() >= OLDEST;
        if self.segment.as_ref().is_some_and(full) {
            self.end(End::Full);
        }
        if self.segment.is_none() {
            let mut segment = self.begin()?;
            segment.take_room(self.places * LONGEST_EVENT)?;
            self.segment = Some(segment);
        }
        let Some(segment) = &mut self.segment else { return Err(io::ErrorKind::NotFound.into()) };
        segment.append(lines)?;
        self.unsynced.of(segment).lines.extend_from_slice(lines);
        Ok(())
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

    /// Whether a batch was written, which is done now unless another call did it.
    fn written(&self, batch: &Batch) -> bool {
        if let Some(written) = batch.0.get() {
            return *written;
        }
        self.lock().write();
        batch.0.get().copied().unwrap_or(false)
    }

    /// The syncing thread: until the log closes.
    fn sync_lines(&self, mut syncing: Syncing) {
        let mut state = self.lock();
        loop {
            let Some(since) = state.unsynced.since else {
                if state.closing {
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
            state.write();
            let Unsynced { segments, waiting, .. } = std::mem::take(&mut state.unsynced);
            drop(state);
            let synced: Vec<_> = segments.iter().map(|written| written.file.sync_data()).collect();
            let failed = synced.iter().find_map(|result| result.as_ref().err());
            state = self.lock();
            if let Some(error) = failed {
                tracing::error!(%error, dir = %state.dir.display(), "audit events were not synced");
                // What the kernel could not write it may have dropped: do not build on it.
                state.end(|_| End::Broken);
            }
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
        }
    }
}

/// What the syncing thread alone has.
struct Syncing {
    chain: Chain,
    say: mpsc::Sender<Head>,
}

impl Syncing {
    /// Takes what was synced into the chain, and closes a segment that has ended.
    fn vouch(&mut self, dir: &Path, written: &Written, synced: &io::Result<()>) {
        if !written.lines.is_empty() {
            self.chain.add(&written.name, &written.lines);
        }
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
                written.file.set_len(*len).and_then(|()| self.chain.close(&written.name))
            }
            (Some(_), _) => recover::close(dir, &written.name, &mut self.chain),
        };
        match closed {
            Ok(()) => {
                // The other thread ends after this one.
                let _ = self.chain.head().map(|head| self.say.send(head.clone()));
            }
            Err(error) => tracing::error!(
                %error,
                segment = %written.name,
                "an audit segment is not closed: that is done at the next start"
            ),
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
mod tests {
    use super::*;
    use ringfence_keyring::SecretBytes;

    /// One key of all logs of a test.
    fn pkcs8() -> &'static SecretBytes {
        static KEY: OnceLock<SecretBytes> = OnceLock::new();
        KEY.get_or_init(|| LogKey::generate().unwrap())
    }

    fn open(dir: &Path, rule: SyncRule) -> io::Result<Audit> {
        Audit::open(dir, rule, LogKey::open(pkcs8()).unwrap(), Box::new(|_| {}))
    }

    async fn say(audit: &Audit, text: &str) {
        audit.reserve().unwrap().record(text.into(), true).await.unwrap();
    }

    /// A log of so many segments, of one event each: `event 1`, `event 2`, …
    async fn log_of(dir: &Path, segments: u32) {
        for number in 1..=segments {
            let audit = open(dir, SyncRule::Grouped).unwrap();
            say(&audit, &format!("event {number}")).await;
        }
    }

    fn verified(dir: &Path, head: Option<&Head>) -> verify::Report {
        let key = LogKey::open(pkcs8()).unwrap().public().unwrap();
        verify::verify(dir, &key, head).unwrap()
    }

    /// The files of a directory that end so, in the order of their names.
    fn files(dir: &Path, ending: &str) -> Vec<std::path::PathBuf> {
        let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = all.filter(|path| path.to_str().unwrap().ends_with(ending)).collect();
        all.sort();
        all
    }

    fn lines(dir: &Path) -> Vec<String> {
        let mut all = segment::of_kind(dir, segment::LINES).unwrap();
        all.extend(segment::of_kind(dir, segment::PACKED).unwrap());
        all.sort();
        all.dedup();
        let packed = |name: &Name| {
            let file = File::open(name.file(dir, segment::PACKED)).ok()?;
            io::read_to_string(flate2::read::GzDecoder::new(file)).ok()
        };
        let plain = |name: &Name| std::fs::read_to_string(name.file(dir, segment::LINES)).ok();
        // It may be packed meanwhile.
        let text = |name: &Name| packed(name).or_else(|| plain(name)).or_else(|| packed(name));
        all.iter()
            .flat_map(|name| text(name).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// Waits until what is closed is packed.
    fn until_packed(dir: &Path, segments: usize) {
        let until = Instant::now() + Duration::from_secs(20);
        while files(dir, ".jsonl.gz").len() < segments || !files(dir, ".jsonl").is_empty() {
            assert!(Instant::now() < until, "{:?}", files(dir, ""));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[tokio::test]
    async fn a_line_is_written_when_record_returns_and_each_start_begins_a_segment() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..2 {
            let audit = open(dir.path(), SyncRule::Grouped).unwrap();
            for i in 0..3 {
                let place = audit.reserve().unwrap();
                place.record(format!("{round}.{i}"), i == 1).await.unwrap();
                assert_eq!(lines(dir.path()).last().unwrap(), &format!("{round}.{i}"));
            }
        }
        assert_eq!(lines(dir.path()), ["0.0", "0.1", "0.2", "1.0", "1.1", "1.2"]);
        assert_eq!(files(dir.path(), ".digest").len(), 2);
    }

    #[tokio::test]
    async fn what_is_said_in_one_turn_is_one_batch_in_the_order_said() {
        let dir = tempfile::tempdir().unwrap();
        let audit = open(dir.path(), SyncRule::Grouped).unwrap();
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
        let audit = open(&dir.path().join("audit"), SyncRule::Every).unwrap();
        std::fs::remove_dir(dir.path().join("audit")).unwrap();
        assert!(matches!(audit.reserve(), Err(Unwritable)));
        std::fs::create_dir(dir.path().join("audit")).unwrap();
        audit.reserve().unwrap().record("a".into(), false).await.unwrap();
        assert_eq!(lines(&dir.path().join("audit")), ["a"]);
    }

    #[tokio::test]
    async fn a_place_that_is_not_used_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let audit = open(dir.path(), SyncRule::Grouped).unwrap();
        for _ in 0..10 {
            drop(audit.reserve().unwrap());
        }
        let log = audit.0.as_ref().unwrap();
        assert_eq!(log.shared.lock().places, 0);
        let taken = log.shared.lock().segment.as_ref().unwrap().taken;
        assert!(taken.is_none_or(|taken| taken == LONGEST_EVENT), "{taken:?}");
    }

    #[tokio::test]
    async fn closed_segments_are_packed_and_a_whole_log_verifies() {
        let dir = tempfile::tempdir().unwrap();
        log_of(dir.path(), 3).await;
        let audit = open(dir.path(), SyncRule::Grouped).unwrap();
        until_packed(dir.path(), 3);
        say(&audit, "event 4").await;
        let report = verified(dir.path(), None);
        assert!(report.faults.is_empty(), "{report:?}");
        assert_eq!((report.segments, report.events, report.begins_after), (3, 3, None));
        assert_eq!(lines(dir.path()), ["event 1", "event 2", "event 3", "event 4"]);
    }

    #[tokio::test]
    async fn every_change_to_a_closed_segment_shows() {
        type Harm = fn(&Path);
        let harms: [(&str, Harm); 7] = [
            ("an event changed", |dir| {
                std::fs::write(&files(dir, ".jsonl")[1], "event 9\n").unwrap();
            }),
            ("an event cut", |dir| std::fs::write(&files(dir, ".jsonl")[1], "").unwrap()),
            ("an event added", |dir| {
                std::fs::write(&files(dir, ".jsonl")[1], "event 2\nevent 9\n").unwrap();
            }),
            ("events removed", |dir| std::fs::remove_file(&files(dir, ".jsonl")[1]).unwrap()),
            ("a segment removed", |dir| {
                std::fs::remove_file(&files(dir, ".jsonl")[1]).unwrap();
                std::fs::remove_file(&files(dir, ".digest")[1]).unwrap();
            }),
            ("a digest removed", |dir| std::fs::remove_file(&files(dir, ".digest")[1]).unwrap()),
            ("a digest changed", |dir| {
                let path = &files(dir, ".digest")[1];
                let text = std::fs::read_to_string(path).unwrap();
                std::fs::write(path, text.replace("\"events\":1", "\"events\":2")).unwrap();
            }),
        ];
        for (what, harm) in harms {
            let dir = tempfile::tempdir().unwrap();
            log_of(dir.path(), 3).await;
            unpack(dir.path());
            assert!(verified(dir.path(), None).faults.is_empty());
            harm(dir.path());
            let report = verified(dir.path(), None);
            assert!(!report.faults.is_empty(), "{what}: {report:?}");
        }
    }

    #[tokio::test]
    async fn a_packed_segment_that_was_changed_shows() {
        let dir = tempfile::tempdir().unwrap();
        log_of(dir.path(), 2).await;
        drop(open(dir.path(), SyncRule::Grouped).unwrap());
        let audit = open(dir.path(), SyncRule::Grouped).unwrap();
        until_packed(dir.path(), 2);
        drop(audit);
        let packed = files(dir.path(), ".jsonl.gz").remove(0);
        let bytes = std::fs::read(&packed).unwrap();
        std::fs::write(&packed, &bytes[..bytes.len() / 2]).unwrap();
        assert_eq!(verified(dir.path(), None).faults.len(), 1);
    }

    #[tokio::test]
    async fn the_oldest_segments_may_go_and_the_newest_only_unnoticed_without_the_head() {
        let dir = tempfile::tempdir().unwrap();
        log_of(dir.path(), 3).await;
        let head = Chain::after(dir.path(), LogKey::open(pkcs8()).unwrap()).unwrap();
        let head = head.head().unwrap().clone();
        let remove = |which: usize| {
            for path in [&files(dir.path(), ".digest")[which], &files(dir.path(), ".jsonl")[which]]
            {
                std::fs::remove_file(path).unwrap();
            }
        };
        unpack(dir.path());
        remove(0);
        let report = verified(dir.path(), Some(&head));
        assert!(report.faults.is_empty() && report.begins_after.is_some(), "{report:?}");
        remove(1);
        assert!(verified(dir.path(), None).faults.is_empty());
        assert_eq!(verified(dir.path(), Some(&head)).faults.len(), 1);
    }

    /// Unpacks what is packed.
    fn unpack(dir: &Path) {
        for packed in files(dir, ".jsonl.gz") {
            let text =
                io::read_to_string(flate2::read::GzDecoder::new(File::open(&packed).unwrap()));
            std::fs::write(packed.with_extension(""), text.unwrap()).unwrap();
            std::fs::remove_file(packed).unwrap();
        }
    }

    #[tokio::test]
    async fn what_a_crash_left_is_cut_behind_its_last_line_and_closed() {
        let dir = tempfile::tempdir().unwrap();
        log_of(dir.path(), 1).await;
        std::fs::write(dir.path().join("000002-20260101T000000Z.jsonl"), "event 2\neve").unwrap();
        std::fs::write(dir.path().join("000003-20260101T000000Z.jsonl"), "").unwrap();
        std::fs::write(dir.path().join("000003-20260101T000000Z.tmp"), "x").unwrap();
        let audit = open(dir.path(), SyncRule::Grouped).unwrap();
        say(&audit, "event 3").await;
        let report = verified(dir.path(), None);
        assert!(report.faults.is_empty(), "{report:?}");
        assert_eq!((report.segments, report.events), (2, 2));
        assert_eq!(lines(dir.path()), ["event 1", "event 2", "event 3"]);
        let digest = std::fs::read_to_string(&files(dir.path(), ".digest")[1]).unwrap();
        assert!(digest.contains(r#""recovered":{"torn":3,"asMarked":null}"#), "{digest}");
        assert!(!dir.path().join("000003-20260101T000000Z.tmp").exists());
    }

    #[tokio::test]
    async fn what_was_marked_and_is_changed_shows_while_open_and_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let audit = open(dir.path(), SyncRule::Grouped).unwrap();
        say(&audit, "event 1").await;
        let until = Instant::now() + Duration::from_secs(20);
        while verified(dir.path(), None).marked == 0 {
            assert!(Instant::now() < until, "no mark");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // As a crash leaves it.
        let copy = tempfile::tempdir().unwrap();
        for path in files(dir.path(), "") {
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        let segment = files(copy.path(), ".jsonl").remove(0);
        assert!(verified(copy.path(), None).faults.is_empty());
        std::fs::write(&segment, "event 9\n").unwrap();
        assert_eq!(verified(copy.path(), None).faults.len(), 1);
        std::fs::write(&segment, "").unwrap();
        assert_eq!(verified(copy.path(), None).faults.len(), 1);
        std::fs::write(&segment, "event 9\n").unwrap();
        drop(open(copy.path(), SyncRule::Grouped).unwrap());
        assert_eq!(verified(copy.path(), None).faults.len(), 1);
    }

    #[tokio::test]
    async fn segments_that_are_full_or_old_are_closed_while_the_log_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let its = heads.clone();
        let key = LogKey::open(pkcs8()).unwrap();
        let kept = Box::new(move |head: &Head| its.lock().unwrap().push(head.clone()));
        let audit = Audit::open(dir.path(), SyncRule::Grouped, key, kept).unwrap();
        say(&audit, "event 1").await;
        let old = Instant::now().checked_sub(OLDEST).unwrap();
        audit.0.as_ref().unwrap().shared.lock().segment.as_mut().unwrap().begun = old;
        say(&audit, "event 2").await;
        let until = Instant::now() + Duration::from_secs(20);
        while files(dir.path(), ".jsonl.gz").is_empty() {
            assert!(Instant::now() < until, "not closed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(lines(dir.path()), ["event 1", "event 2"]);
        drop(audit);
        let heads = heads.lock().unwrap();
        assert_eq!(heads.len(), 2);
        assert!(verified(dir.path(), heads.last()).faults.is_empty());
    }
}
