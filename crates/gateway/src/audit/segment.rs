//! Segments: their names, and the one that is written to.
//!
//! | file | holds |
//! |---|---|
//! | `NUMBER-TIME.jsonl` | events, a line each |
//! | `NUMBER-TIME.marks` | how far the events of an open segment are vouched for |
//! | `NUMBER-TIME.digest` | what the events of a closed segment are known by |
//! | `NUMBER-TIME.jsonl.gz` | the events of a closed segment, in place of the first |

use super::LONGEST_EVENT;
use crate::clock::{Clock as _, SystemClock};
use ringfence_wire::shape::TimestampFormat;
use rustix::fs::{FallocateFlags, fallocate};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// The events of a segment that may grow.
pub(crate) const LINES: &str = "jsonl";
/// The events of one that is closed, in gzip.
pub(crate) const PACKED: &str = "jsonl.gz";
/// Marks.
pub(crate) const MARKS: &str = "marks";
/// A digest.
pub(crate) const DIGEST: &str = "digest";
/// A file that is not whole yet.
pub(crate) const UNFINISHED: &str = "tmp";

/// Places that are made beside those that are asked for, so that few calls ask the file system.
pub(super) const AHEAD: u64 = 4;

/// The name of a segment: its number, and when it was begun: `000001-20261126T110000Z`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub number: u64,
    text: String,
}

impl Name {
    /// The name of a segment that begins now.
    pub fn now(number: u64) -> Self {
        let time = SystemClock.now().format(TimestampFormat::DateTime).replace(['-', ':'], "");
        Self { number, text: format!("{number:06}-{time}") }
    }

    /// The segment that a text names.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, _) = text.split_once('-')?;
        Some(Self { number: number.parse().ok()?, text: text.to_owned() })
    }

    /// When it was begun: `20261126T110000Z`.
    pub fn time(&self) -> &str {
        self.text.split_once('-').map_or("", |(_, time)| time)
    }

    /// The file of a kind.
    pub fn file(&self, dir: &Path, kind: &str) -> PathBuf {
        dir.join(format!("{}.{kind}", self.text))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The segments of a directory that have a file of a kind, in the order of their numbers.
pub(crate) fn of_kind(dir: &Path, kind: &str) -> io::Result<Vec<Name>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let text = name.to_str().and_then(|name| name.strip_suffix(kind)?.strip_suffix('.'));
        all.extend(text.and_then(Name::parse));
    }
    all.sort();
    Ok(all)
}

/// The segment that is written to.
pub(super) struct Segment {
    pub name: Arc<Name>,
    pub file: Arc<File>,
    /// Bytes of whole lines.
    pub len: u64,
    pub begun: Instant,
    /// Up to where room is taken; `None` where the file system takes none in advance.
    pub taken: Option<u64>,
}

impl Segment {
    pub fn begin(dir: &Path, number: u64) -> io::Result<Self> {
        let name = Name::now(number);
        let path = name.file(dir, LINES);
        let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
        // The name itself must survive a power cut.
        File::open(dir)?.sync_all()?;
        let (name, file) = (Arc::new(name), Arc::new(file));
        Ok(Self { name, file, len: 0, begun: Instant::now(), taken: Some(0) })
    }

    /// Sees to it that so many events more fit, and a few beside them where there is room.
    pub fn make_room(&mut self, events: u64) -> io::Result<()> {
        if self.places() >= events {
            return Ok(());
        }
        // The last stretch of a full disk is of use too.
        self.take_room((events + AHEAD) * LONGEST_EVENT)
            .or_else(|_| self.take_room(events * LONGEST_EVENT))
    }

    /// For how many events more there is room.
    pub fn places(&self) -> u64 {
        self.taken.map_or(u64::MAX, |taken| taken.saturating_sub(self.len) / LONGEST_EVENT)
    }

    fn take_room(&mut self, bytes: u64) -> io::Result<()> {
        let Some(taken) = self.taken else { return Ok(()) };
        let end = (self.len + bytes).next_multiple_of(LONGEST_EVENT);
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, taken, end - taken) {
            Ok(()) => self.taken = Some(end),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                tracing::warn!("this file system takes no room in advance for audit events");
                self.taken = None;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
