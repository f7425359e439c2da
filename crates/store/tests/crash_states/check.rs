//! Each crash state as a directory: opened by the store, and held against what the model says.

use crate::disk::{Disk, Files, Kind, Leaves, Op, Past};
use crate::forks;
use crate::random::Random;
use crate::workload::{self, Contents, Generations, History, MARK, contents};
use md5::{Digest as _, Md5};
use ringfence_store::sqlite::Sqlite;
use ringfence_store::{Commit, Partition, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Where the first state that fails is kept.
pub const KEPT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/crash-state");

/// What is known to have happened at a point of a past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Known {
    /// All commits up to this one were acknowledged, or seen by who opened the store.
    pub acknowledged: usize,
    /// None after this one was handed in.
    pub submitted: usize,
    /// The oldest generation that values may be sealed under.
    pub oldest: u8,
    /// The newest one that some may be sealed under.
    pub newest: u8,
    /// Whether a commit that was refused is never there: where no more than one call in a row fails.
    pub refusals_hold: bool,
}

impl Known {
    /// Learns from a mark.
    pub fn learn(&mut self, mark: &str) {
        let mut words = mark.split(' ');
        let what = words.next().unwrap_or_default();
        let number = || mark.split(' ').nth(1).and_then(|n| n.parse::<usize>().ok()).unwrap();
        match what {
            // What it does not hold then was lost before, and does not come back.
            "open" => {
                self.acknowledged = self.acknowledged.max(number());
                self.submitted = number();
            }
            "ack" => self.acknowledged = self.acknowledged.max(number()),
            "submit" => self.submitted = self.submitted.max(number()),
            "reseal" => self.newest = self.newest.max(number() as u8),
            "resealed" => self.oldest = self.oldest.max(number() as u8),
            "fail" if self.refusals_hold => self.submitted = number() - 1,
            "fail" | "error" | "gave" | "no" => {}
            _ => panic!("a mark says nothing: {mark}"),
        }
    }

    /// All that a past tells up to a point.
    pub fn by(mut self, ops: &[Op]) -> Self {
        for op in ops {
            if let Op::Mark(mark) = op {
                self.learn(mark);
            }
        }
        self
    }
}

/// What must never be.
#[derive(Debug)]
pub enum Failure {
    Unopenable(String),
    Lost(String),
    NotWritable(String),
    Remains(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unopenable(why) => write!(f, "it does not open: {why}"),
            Self::Lost(what) => write!(f, "it holds what it must not: {what}"),
            Self::NotWritable(why) => write!(f, "it cannot be written: {why}"),
            Self::Remains(what) => write!(f, "a value that was destroyed remains: {what}"),
        }
    }
}

/// The files of a directory.
pub fn files_of(dir: &Path) -> Files {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, Arc::new(fs::read(entry.path()).unwrap()))
        })
        .collect()
}

/// Makes a directory hold these files and no others.
pub fn rebuild(dir: &Path, files: &Files) {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).unwrap();
    for (name, content) in files {
        fs::write(dir.join(name), content.as_slice()).unwrap();
    }
}

/// The values of which something is in a file.
fn remnants(files: &Files) -> BTreeSet<(u64, String)> {
    let finder = memchr::memmem::Finder::new(&MARK);
    let mut found = BTreeSet::new();
    for (name, content) in files {
        // A value is one token over and over.
        let mut last: &[u8] = &[0];
        for at in finder.find_iter(content.as_slice()) {
            let rest = &content[at..];
            if rest.starts_with(last) {
                continue;
            }
            if let Some(number) = workload::number_at(rest) {
                found.insert((number, name.clone()));
                last = &rest[..workload::TOKEN_LEN];
            }
        }
    }
    found
}

fn none_forgotten(
    when: &str,
    files: &Files,
    history: &History,
    commit: usize,
) -> Result<(), Failure> {
    let forgotten = |(value, _): &&(u64, String)| history.forgotten(*value, commit);
    match remnants(files).iter().find(forgotten) {
        None => Ok(()),
        Some((value, name)) => Err(Failure::Remains(format!(
            "{when}, value {value}, which commit {} replaced, lies in {name} after commit {commit}",
            history.ended[value]
        ))),
    }
}

/// Opens the store in a directory; returns the commit whose contents it holds.
pub fn reopens(dir: &Path, history: &History, known: &Known) -> Result<usize, Failure> {
    let _no_fork = forks::none();
    let open = |oldest: u8| -> Result<(Store, Contents), Failure> {
        let sealer = Generations { newest: known.newest.into(), oldest };
        let engine = Sqlite::open(dir).map_err(|error| Failure::Unopenable(error.to_string()))?;
        let store = Store::open(engine, sealer).map_err(|e| Failure::Unopenable(e.to_string()))?;
        let held = contents(&store).map_err(|error| Failure::Lost(error.to_string()))?;
        Ok((store, held))
    };
    let (store, held) = open(known.oldest)?;
    let span = known.acknowledged..=known.submitted.max(known.acknowledged);
    let Some(found) = history.left_by(&held, span.clone()) else {
        let other = history.left_by(&held, 0..=history.last());
        return Err(Failure::Lost(match other {
            Some(other) => format!("commit {other}'s contents, where {span:?} may be"),
            None => format!(
                "what no commit left, where {span:?} may be: heads {:?}, {} entries, {} changes",
                held.heads,
                held.entries.len(),
                held.changes.len()
            ),
        }));
    };
    // It serves; and what is destroyed is gone once the store is open.
    let mut files = files_of(dir);
    // SQLite's recovery copies memory into its index that it has not written (`aPrivate` of
    // `walIndexRecover`), where the log has no frame that counts. In this process, which opens one state after
    // another, values of others are in it.
    files.remove("store.db-shm");
    none_forgotten("once it is open", &files, history, found)?;
    let probe = Partition::new("probe");
    let written = store
        .commit_blocking(Commit::to(probe.clone()).put("k", workload::value(workload::PROBE, 99)));
    written.map_err(|error| Failure::NotWritable(error.to_string()))?;
    drop(store);
    let (store, mut again) = open(known.oldest)?;
    if store.get(&probe, b"k").ok().flatten().is_none() {
        return Err(Failure::Lost("not what was written after the crash".into()));
    }
    // But for the probe, it holds what it held.
    again.heads.remove(&probe);
    again.entries.retain(|(partition, _), _| *partition != probe);
    let position = again.changes.pop().map(|change| change.position);
    if position != Some(held.changes.last().map_or(0, |change| change.position) + 1) {
        return Err(Failure::Lost("the log of changes does not go on where it ended".into()));
    }
    if again != held {
        return Err(Failure::Lost("something changed by itself".into()));
    }
    Ok(found)
}

/// How many states, of which kind, and what was found.
#[derive(Default)]
pub struct Tally {
    pub states: BTreeMap<Leaves, usize>,
    pub kinds: BTreeMap<&'static str, usize>,
    distinct: BTreeSet<[u8; 16]>,
    pub at_syncs: usize,
    pub syncs: usize,
    pub acknowledged: usize,
    /// Whether the first state that fails is kept: not where all is meant to fail.
    pub keeps: bool,
    /// Each with the state that showed it.
    pub failures: Vec<(String, Failure)>,
}

impl Tally {
    pub fn keeping() -> Self {
        Self { keeps: true, ..Self::default() }
    }

    pub fn distinct(&self) -> usize {
        self.distinct.len()
    }

    /// Of a sort of failure, how many.
    fn count(&self, of: impl Fn(&Failure) -> bool) -> usize {
        self.failures.iter().filter(|(_, failure)| of(failure)).count()
    }

    pub fn lost(&self) -> usize {
        self.count(|failure| matches!(failure, Failure::Lost(_)))
    }

    pub fn unopenable(&self) -> usize {
        self.count(|failure| matches!(failure, Failure::Unopenable(_)))
    }

    /// Lost, or not to be opened.
    pub fn broken(&self) -> usize {
        self.lost() + self.unopenable()
    }

    pub fn remaining(&self) -> usize {
        self.count(|failure| matches!(failure, Failure::Remains(_)))
    }

    pub fn not_writable(&self) -> usize {
        self.count(|failure| matches!(failure, Failure::NotWritable(_)))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states: Vec<_> = self.states.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
        let kinds: Vec<_> = self.kinds.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
        write!(
            f,
            "{} distinct crash states ({}; {}), {} of them at {} syncs; {} acknowledged commits; \
             lost {}, unopenable {}, not writable {}, not destroyed {}",
            self.distinct(),
            kinds.join(", "),
            states.join(", "),
            self.at_syncs,
            self.syncs,
            self.acknowledged,
            self.lost(),
            self.unopenable(),
            self.not_writable(),
            self.remaining()
        )
    }
}

/// Which crash states of a past are looked at.
pub struct Plan {
    /// Those before this call belong to an earlier life.
    pub from: usize,
    /// What was known at the beginning.
    pub known: Known,
    /// States at random points.
    pub random: usize,
    /// Of a hundred syncs, those whose states are looked at.
    pub syncs_in_hundred: usize,
    /// Whether calls failed: then something may remain of what was destroyed, until the next start.
    pub faulty: bool,
}

/// The file that SQLite maps into memory is written to without calls: anything may be in it.
pub fn with_any_index(mut files: Files, random: &mut Random) -> Files {
    let Some(index) = files.get_mut("store.db-shm") else { return files };
    let len = index.len();
    *index = Arc::new(match random.below(3) {
        0 => vec![0; len],
        1 => {
            std::iter::repeat_with(|| random.next().to_le_bytes()).take(len / 8).flatten().collect()
        }
        _ => return files,
    });
    files
}

/// Looks at crash states of a past, each in a directory of its own.
pub fn enumerate(
    past: &Past,
    history: &History,
    plan: &Plan,
    dir: &Path,
    random: &mut Random,
    tally: &mut Tally,
) {
    let ops = &past.ops;
    let span = ops.len() - plan.from;
    let mut points: BTreeMap<usize, usize> = BTreeMap::new();
    for _ in 0..plan.random {
        *points.entry(plan.from + random.below(span + 1)).or_default() += 1;
    }
    let mut disks = [Kind::Posix, Kind::Journalled].map(|kind| Disk::new(kind, &past.at_first));
    let mut known = plan.known;
    let mut checked = BTreeSet::new();
    for at in 0..=ops.len() {
        let mut states = Vec::new();
        if at >= plan.from {
            let after = at > plan.from && ops[at - 1].is_sync();
            let before = ops.get(at).is_some_and(Op::is_sync) || at == ops.len();
            tally.syncs += usize::from(after);
            if (before || after) && random.in_hundred(plan.syncs_in_hundred) {
                for disk in &disks {
                    states.push((disk.clone(), Leaves::Everything, true));
                    states.push((disk.clone(), Leaves::Nothing, true));
                }
            }
            // Where a commit was refused, and the process is killed.
            if at > plan.from && ops[at - 1].says("fail") {
                states.push((disks[0].clone(), Leaves::Everything, false));
            }
            for _ in 0..points.get(&at).copied().unwrap_or(0) {
                let disk = &disks[random.below(disks.len())];
                states.push((disk.clone(), random.one_of(&Leaves::RANDOM), false));
            }
        }
        for (disk, leaves, at_sync) in states {
            let files = disk.crash(leaves, random);
            let digest = digest(&files);
            let files = with_any_index(files, random);
            if !checked.insert((digest, known)) {
                continue;
            }
            if tally.distinct.insert(digest) {
                *tally.states.entry(leaves).or_default() += 1;
                *tally.kinds.entry(disk.kind_name()).or_default() += 1;
                tally.at_syncs += usize::from(at_sync);
            }
            let destroyed = match plan.faulty {
                true => Ok(()),
                false => none_forgotten("at the crash", &files, history, known.acknowledged),
            };
            let result = destroyed.and_then(|()| {
                rebuild(dir, &files);
                reopens(dir, history, &known)
            });
            if let Err(failure) = result {
                let kind = disk.kind_name();
                let waiting = disk.waiting();
                let state = format!("{kind}, {leaves} of {waiting} calls left, before call {at}");
                if tally.keeps && tally.failures.is_empty() {
                    rebuild(Path::new(KEPT), &files);
                }
                tally.failures.push((state, failure));
            }
        }
        if let Some(op) = ops.get(at) {
            disks.iter_mut().for_each(|disk| disk.apply(at, op));
            known = if at >= plan.from { known.by(std::slice::from_ref(op)) } else { known };
        }
    }
    tally.acknowledged += known.acknowledged.saturating_sub(plan.known.acknowledged);
}

/// A directory's contents in few bytes; without the index, in which anything may be.
fn digest(files: &Files) -> [u8; 16] {
    let mut digest = Md5::new();
    for (name, content) in files.iter().filter(|(name, _)| !name.ends_with("-shm")) {
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name);
        digest.update((content.len() as u64).to_be_bytes());
        digest.update(content.as_slice());
    }
    digest.finalize().into()
}
