//! A POSIX file system with a page cache: what of it a crash may leave.
//!
//! A process sees every call that it made. The disk holds what was synced; of everything since, a
//! crash leaves whatever the disk and the kernel happened to have written:
//!
//! - **Data.** `fsync` and `fdatasync` make durable what was written to that file before they began. Each
//!   write since is there, not there, or torn: some of its 512-byte sectors, or of its 4,096-byte pages,
//!   are there and others are not. Writes reach the disk in any order. Where a file had grown, its length
//!   may be there without the bytes: zeros then, or what the blocks held when they were another file's.
//! - **Names and lengths.** Two kinds of file systems are modelled, because each allows what the other
//!   forbids:
//!   - [`Kind::Posix`], the letter of the standard: a name that was made, renamed or removed is durable with
//!     the sync of its directory and with nothing else; a length that was cut, with the sync of its file.
//!     Of those that are not, any may be there without the others.
//!   - [`Kind::Journalled`], what ext4 (`data=ordered`) and XFS do: names and lengths go through one
//!     journal, in the order of the calls, which any sync writes out. After a crash some first part of
//!     it is there. <https://docs.kernel.org/filesystems/ext4/journal.html>
//! - **Failed syncs.** When `fsync` fails, Linux marks the pages clean all the same: no later sync writes
//!   them, and the next one succeeds (Rebello and others, Can applications recover from fsync failures?,
//!   2020, <https://www.usenix.org/conference/atc20/presentation/rebello>). Here the data of a failed sync
//!   may be gone or not at every later crash, whatever is synced after it, until it is written anew. Names
//!   and lengths wait for the next sync: a journal that cannot be written ends the file system.
//!
//! A process that is killed alone, while the machine runs on, leaves everything: the state that drops
//! nothing. What is not modelled: a disk that lies about a sync, and bits that change at rest.

use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A file, whatever its names.
pub type Inode = usize;

/// The contents of a directory.
pub type Files = BTreeMap<String, Arc<Vec<u8>>>;

/// A call that changes files, or says something about them.
#[derive(Debug, Clone)]
pub enum Op {
    /// A name for a file, in place of what had it.
    Name { name: String, inode: Inode },
    /// A name is gone.
    Unname { name: String },
    /// One name becomes another, at once.
    Rename { from: String, to: String },
    /// Bytes at a place in a file.
    Write { inode: Inode, at: usize, bytes: Arc<[u8]> },
    /// A file is cut or lengthened.
    Resize { inode: Inode, len: usize },
    /// A file is synced: those of its calls that came before `covers`.
    Sync { inode: Inode, covers: usize, failed: bool },
    /// The directory is synced.
    SyncNames { covers: usize, failed: bool },
    /// The workload says something.
    Mark(String),
}

impl Op {
    pub fn is_sync(&self) -> bool {
        matches!(self, Self::Sync { .. } | Self::SyncNames { .. })
    }

    fn mark(&self) -> Option<&str> {
        match self {
            Self::Mark(mark) => Some(mark),
            _ => None,
        }
    }

    /// Whether it is a mark of this word.
    pub fn says(&self, word: &str) -> bool {
        self.mark().is_some_and(|mark| mark.split(' ').next() == Some(word))
    }

    fn is_name(&self) -> bool {
        matches!(self, Self::Name { .. } | Self::Unname { .. } | Self::Rename { .. })
    }

    /// What a journal holds.
    fn is_metadata(&self) -> bool {
        self.is_name() || matches!(self, Self::Resize { .. })
    }
}

/// What a directory held at first, durably, and every call since. The first files are the inodes 0, 1, …
/// in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct Past {
    pub at_first: Files,
    pub ops: Vec<Op>,
}

impl Past {
    /// The marks.
    pub fn said(&self) -> Vec<&str> {
        self.ops.iter().filter_map(Op::mark).collect()
    }

    /// Whether a file is written from its beginning again, without having been cut.
    pub fn begins_anew(&self, file: &str) -> bool {
        let mut begun = BTreeMap::new();
        let mut names = BTreeMap::new();
        self.ops.iter().any(|op| {
            match op {
                Op::Name { name, inode } => drop(names.insert(*inode, name.clone())),
                Op::Resize { inode, .. } => drop(begun.remove(inode)),
                Op::Write { inode, at: 0, .. } if names.get(inode).is_some_and(|n| n == file) => {
                    return begun.insert(*inode, ()).is_some();
                }
                _ => {}
            }
            false
        })
    }

    /// The same past without the syncs of a file of this name, or of the directory, whose is empty.
    pub fn without_syncs_of(&self, of: &str) -> Self {
        let named = |wanted: Inode| {
            let mut first = self.at_first.keys().enumerate();
            let first = first.any(|(inode, name)| inode == wanted && name == of);
            let since =
                |op: &Op| matches!(op, Op::Name { name, inode } if *inode == wanted && name == of);
            first || self.ops.iter().any(since)
        };
        self.without(|op| match op {
            Op::Sync { inode, .. } => named(*inode),
            Op::SyncNames { .. } => of.is_empty(),
            _ => false,
        })
    }

    /// The same past without the syncs of files that were just cut to nothing.
    pub fn without_syncs_of_cuts(&self) -> Self {
        let mut cut = BTreeSet::new();
        self.without(|op| match op {
            Op::Resize { inode, len: 0 } => {
                cut.insert(*inode);
                false
            }
            Op::Write { inode, .. } => {
                cut.remove(inode);
                false
            }
            Op::Sync { inode, .. } => cut.contains(inode),
            _ => false,
        })
    }

    /// Calls that remain keep their places, which syncs tell.
    fn without(&self, mut gone: impl FnMut(&Op) -> bool) -> Self {
        let mut past = self.clone();
        for op in &mut past.ops {
            if gone(op) {
                *op = Op::Mark("no sync".into());
            }
        }
        past
    }
}

/// What a file system promises about names and lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Posix,
    Journalled,
}

/// What a crash leaves of the calls that are not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaves {
    /// All of them: the process was killed, or luck.
    Everything,
    /// None.
    Nothing,
    /// The first ones, the last of these torn.
    Beginning,
    /// Some, each whole.
    Some,
    /// Some, cut at sectors or pages.
    Torn,
    /// Some; where the others made a file longer, zeros.
    Zeros,
    /// Some; where the others made a file longer, what the blocks held before.
    Stale,
}

impl Leaves {
    /// Those that chance has a part in.
    pub const RANDOM: [Self; 5] =
        [Self::Beginning, Self::Some, Self::Torn, Self::Zeros, Self::Stale];
}

impl fmt::Display for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => "everything",
            Self::Nothing => "nothing",
            Self::Beginning => "beginning",
            Self::Some => "some",
            Self::Torn => "torn",
            Self::Zeros => "zeros",
            Self::Stale => "stale",
        })
    }
}

const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// What is durable, and what waits.
#[derive(Clone)]
pub struct Disk {
    kind: Kind,
    contents: BTreeMap<Inode, Arc<Vec<u8>>>,
    names: BTreeMap<String, Inode>,
    waiting: Vec<Waiting>,
}

/// A call that is not durable yet.
#[derive(Clone)]
struct Waiting {
    at: usize,
    op: Op,
    /// A sync of it failed: no later one makes it durable.
    forsaken: bool,
}

impl Disk {
    pub fn new(kind: Kind, at_first: &Files) -> Self {
        let names = at_first.keys().cloned().enumerate().map(|(inode, name)| (name, inode));
        let contents = at_first.values().cloned().enumerate();
        Self { kind, contents: contents.collect(), names: names.collect(), waiting: Vec::new() }
    }

    /// The call at this place in the past.
    pub fn apply(&mut self, at: usize, op: &Op) {
        match op {
            Op::Mark(_) => {}
            Op::Sync { inode, covers, failed: true } => {
                for waiting in &mut self.waiting {
                    let data = matches!(&waiting.op, Op::Write { inode: of, .. } if of == inode);
                    waiting.forsaken |= data && waiting.at < *covers;
                }
            }
            Op::SyncNames { failed: true, .. } => {}
            Op::Sync { inode, covers, .. } => self.settle(*covers, Some(*inode)),
            Op::SyncNames { covers, .. } => self.settle(*covers, None),
            _ => self.waiting.push(Waiting { at, op: op.clone(), forsaken: false }),
        }
    }

    /// Makes durable what a sync of a file, or of the directory, covers.
    fn settle(&mut self, covers: usize, file: Option<Inode>) {
        let mut still: Vec<Waiting> = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            let durable = match &waiting.op {
                Op::Write { inode, .. } => file == Some(*inode) && !waiting.forsaken,
                op if self.kind == Kind::Journalled => op.is_metadata(),
                Op::Resize { inode, .. } => file == Some(*inode),
                op => op.is_name() && file.is_none(),
            };
            if !durable || waiting.at >= covers {
                still.push(waiting);
                continue;
            }
            // What still waits from before must not come out on top of this later call.
            match &waiting.op {
                Op::Write { inode, at, bytes } => {
                    still = still
                        .into_iter()
                        .flat_map(|w| w.outside(*inode, *at, at + bytes.len()))
                        .collect();
                }
                Op::Resize { inode, len } => {
                    still = still
                        .into_iter()
                        .flat_map(|w| w.outside(*inode, *len, usize::MAX))
                        .collect();
                }
                _ => {}
            }
            leave(&mut self.contents, &mut self.names, &waiting.op);
        }
        self.waiting = still;
    }

    /// A directory that a crash now may leave.
    pub fn crash(&self, leaves: Leaves, random: &mut Random) -> Files {
        let (mut contents, mut names) = (self.contents.clone(), self.names.clone());
        let share = random.one_of(&[10, 50, 90]);
        let first = random.below(self.waiting.len() + 1);
        let journal = self.waiting.iter().filter(|waiting| waiting.op.is_metadata()).count();
        let mut journal = random.below(journal + 1);
        for (n, Waiting { op, .. }) in self.waiting.iter().enumerate() {
            let kept = match leaves {
                Leaves::Everything => true,
                Leaves::Nothing => false,
                Leaves::Beginning => n < first,
                _ if op.is_metadata() && self.kind == Kind::Journalled => {
                    let kept = journal > 0;
                    journal = journal.saturating_sub(1);
                    kept
                }
                _ => random.in_hundred(share),
            };
            let Op::Write { inode, at, bytes } = op else {
                if kept {
                    leave(&mut contents, &mut names, op);
                }
                continue;
            };
            let torn = match leaves {
                Leaves::Beginning => n + 1 == first,
                Leaves::Torn => kept && random.in_hundred(50),
                _ => false,
            };
            if torn {
                let unit = random.one_of(&[SECTOR, PAGE]);
                let mut from = 0;
                while from < bytes.len() {
                    let to = ((at + from) / unit * unit + unit - at).min(bytes.len());
                    if random.in_hundred(50) {
                        write(&mut contents, *inode, at + from, &bytes[from..to]);
                    }
                    from = to;
                }
            } else if kept {
                write(&mut contents, *inode, *at, bytes);
            } else if matches!(leaves, Leaves::Zeros | Leaves::Stale) && random.in_hundred(50) {
                let content = Arc::make_mut(contents.entry(*inode).or_default());
                let end = at + bytes.len();
                while content.len() < end {
                    let stale = leaves == Leaves::Stale && content.len() >= *at;
                    content.push(if stale { random.next() as u8 } else { 0 });
                }
            }
        }
        names
            .into_iter()
            .map(|(name, inode)| (name, contents.get(&inode).cloned().unwrap_or_default()))
            .collect()
    }

    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Posix => "POSIX",
            Kind::Journalled => "journalled",
        }
    }

    /// How many calls are not durable.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

impl Waiting {
    /// The parts of it that do not lie between two places of a file.
    fn outside(self, of: Inode, from: usize, to: usize) -> Vec<Self> {
        let Op::Write { inode, at, bytes } = &self.op else { return vec![self] };
        let end = at + bytes.len();
        if *inode != of || end <= from || *at >= to {
            return vec![self];
        }
        let part = |from: usize, to: usize| {
            (from < to).then(|| {
                let bytes = bytes[from - at..to - at].into();
                Self { op: Op::Write { inode: of, at: from, bytes }, ..self.clone() }
            })
        };
        part(*at, from.clamp(*at, end)).into_iter().chain(part(to.clamp(*at, end), end)).collect()
    }
}

fn write(contents: &mut BTreeMap<Inode, Arc<Vec<u8>>>, inode: Inode, at: usize, bytes: &[u8]) {
    let content = Arc::make_mut(contents.entry(inode).or_default());
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Does what a call does, for good.
fn leave(
    contents: &mut BTreeMap<Inode, Arc<Vec<u8>>>,
    names: &mut BTreeMap<String, Inode>,
    op: &Op,
) {
    match op {
        Op::Name { name, inode } => drop(names.insert(name.clone(), *inode)),
        Op::Unname { name } => drop(names.remove(name)),
        Op::Rename { from, to } => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
        Op::Write { inode, at, bytes } => write(contents, *inode, *at, bytes),
        Op::Resize { inode, len } => {
            Arc::make_mut(contents.entry(*inode).or_default()).resize(*len, 0);
        }
        Op::Sync { .. } | Op::SyncNames { .. } | Op::Mark(_) => {}
    }
}

/// What the process saw in the end.
pub fn seen(past: &Past) -> Files {
    let mut disk = Disk::new(Kind::Posix, &past.at_first);
    for (at, op) in past.ops.iter().enumerate() {
        disk.apply(at, op);
    }
    disk.crash(Leaves::Everything, &mut Random::new(0))
}

/// The rules of the model, each on the smallest past that shows it.
pub fn keeps_its_own_rules() {
    use Kind::{Journalled, Posix};
    use Leaves::{Beginning, Everything, Nothing, Some, Torn, Zeros};
    let text = |files: &Files| -> Vec<String> {
        let show = |(name, content): (&String, &Arc<Vec<u8>>)| {
            format!("{name}={}", String::from_utf8_lossy(content).replace('\0', "0"))
        };
        files.iter().map(show).collect()
    };
    let name = |name: &str, inode| Op::Name { name: name.into(), inode };
    let write = |at, bytes: &str| Op::Write { inode: 0, at, bytes: bytes.as_bytes().into() };
    let sync = |covers| Op::Sync { inode: 0, covers, failed: false };
    let fails = |covers| Op::Sync { inode: 0, covers, failed: true };
    let names = |covers| Op::SyncNames { covers, failed: false };
    let cut = |len| Op::Resize { inode: 0, len };
    let all = |kind, ops: &[Op]| {
        let mut disk = Disk::new(kind, &Files::new());
        for (at, op) in ops.iter().enumerate() {
            disk.apply(at, op);
        }
        let mut random = Random::new(1);
        let mut states = BTreeSet::new();
        // But what blocks held before, which is anything.
        for leaves in [Everything, Nothing, Beginning, Some, Torn, Zeros] {
            states.extend((0..40).map(|_| text(&disk.crash(leaves, &mut random)).join(" ")));
        }
        states.into_iter().collect::<Vec<_>>()
    };
    // A name is durable with its directory; in a journal with any sync that follows.
    let made = [name("a", 0), write(0, "x"), sync(2)];
    assert_eq!(all(Posix, &made), ["", "a=x"]);
    assert_eq!(all(Journalled, &made), ["a=x"]);
    // A write is there or not, and where the length is there without it, zeros.
    assert_eq!(all(Posix, &[name("a", 0), names(1), write(0, "x")]), ["a=", "a=0", "a=x"]);
    // Writes reach the disk in any order.
    let two = [name("a", 0), names(1), write(0, "xy"), sync(3), write(0, "X"), write(1, "Y")];
    assert_eq!(all(Posix, &two), ["a=XY", "a=Xy", "a=xY", "a=xy"]);
    // A cut waits for the sync of its file, or for any sync of the journal; what follows it does not.
    let other = Op::Sync { inode: 1, covers: 6, failed: false };
    let shorter = [name("a", 0), names(1), write(0, "xy"), sync(3), cut(0), other];
    assert_eq!(all(Posix, &shorter), ["a=", "a=xy"]);
    assert_eq!(all(Journalled, &shorter), ["a="]);
    // What came before a durable cut is never on top of it.
    let waits = [name("a", 0), names(1), write(0, "xy"), cut(1), names(4)];
    assert!(!all(Journalled, &waits).contains(&"a=xy".to_owned()));
    // The data of a failed sync is in doubt whatever is synced later, and certain once written anew.
    let failed = [name("a", 0), names(1), write(0, "x"), fails(3), sync(4)];
    assert_eq!(all(Posix, &failed), ["a=", "a=0", "a=x"]);
    let mut anew = failed.to_vec();
    anew.extend([write(0, "y"), sync(6)]);
    assert_eq!(all(Posix, &anew), ["a=y"]);
    // A sync covers what came before it began.
    assert_eq!(all(Posix, &[name("a", 0), names(1), write(0, "x"), sync(2)]), ["a=", "a=0", "a=x"]);
    // A rename is one step.
    let two =
        [name("a", 0), name("b", 1), names(2), Op::Rename { from: "a".into(), to: "b".into() }];
    assert_eq!(all(Posix, &two), ["a= b=", "b="]);
    // A write is torn at sectors.
    let long = "x".repeat(SECTOR) + &"y".repeat(SECTOR);
    let states = all(Posix, &[name("a", 0), names(1), write(0, &long)]);
    assert!(states.contains(&format!("a={}", "x".repeat(SECTOR))));
    assert!(states.contains(&format!("a={}{}", "0".repeat(SECTOR), "y".repeat(SECTOR))));
}
