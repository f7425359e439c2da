//! What is done to the store, what it must hold after each commit, and the process that does it.
//!
//! A seed makes a history: commits in one order, handed in alone or several at once, with a reopening or
//! a resealing in between. The model is run over it once, so that what the store must hold after each commit
//! is known: [`History::after`]. The process says what it does, a mark a line, on its standard output,
//! where the trace shows it in its place among the other calls:
//!
//! | mark | says |
//! |---|---|
//! | `open N` | the store was opened, and holds what commit N left |
//! | `submit N` | commits up to N are handed in |
//! | `ack N` | commit N is acknowledged |
//! | `fail N …` | commit N was refused, and why |
//! | `reseal G`, `resealed G` | values are being sealed anew under generation G; all of them are |
//! | `gave up` | nothing went any more |
//!
//! Every value is one token over and over, so that a remnant of it in any file tells whose it is.

use crate::random::Random;
use ringfence_store::model::Model;
use ringfence_store::seal::{Sealer, Unsealed};
use ringfence_store::sqlite::Sqlite;
use ringfence_store::{Change, Commit, Expect, Partition, Revision, Store, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, mpsc};

/// What a history is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Everything that the store does, over partitions.
    Everything,
    /// A log so long that SQLite brings it into the database by itself and begins it anew.
    LongLog,
    /// A few of everything, one commit at a time: for faults.
    Little,
}

impl About {
    pub const ALL: [Self; 3] = [Self::Everything, Self::LongLog, Self::Little];

    pub fn name(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::LongLog => "long-log",
            Self::Little => "little",
        }
    }
}

/// A step of a history.
pub enum Step {
    /// Commits that are handed in at once; the number of the first.
    Commits(usize, Vec<Commit>),
    /// All values are sealed anew under this generation.
    Reseal(u8),
    /// The store is closed and opened.
    Reopen,
}

/// Which value, by its number, and its length.
pub type Value = (u64, usize);

/// Everything that a store tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    pub heads: BTreeMap<Partition, Revision>,
    pub entries: BTreeMap<(Partition, Vec<u8>), (Revision, Value)>,
    pub changes: Vec<Change>,
}

/// A history, and what it comes to.
pub struct History {
    pub steps: Vec<Step>,
    /// What each commit must be told. The first is none, so that commits count from one.
    pub results: Vec<Result<Revision, StoreError>>,
    /// What the store holds after each commit; before the first, nothing.
    pub after: Vec<Contents>,
    /// The commits that leave no former value in any file.
    pub forgetting: Vec<usize>,
    /// The commit at which a value ceased to be anything's.
    pub ended: BTreeMap<u64, usize>,
}

/// What a token begins with. A number and its check follow.
pub const MARK: [u8; 6] = *b"\xf1VALU\xf0";
pub const TOKEN_LEN: usize = 16;
/// A value of nobody's, to see whether the store can be written.
pub const PROBE: u64 = 1 << 40;

fn token(number: u64) -> [u8; TOKEN_LEN] {
    let check = Random::new(number).next().to_be_bytes();
    let token = [&MARK, &number.to_be_bytes()[2..], &check[..4]].concat();
    token.try_into().unwrap()
}

/// A value that is a token over and over.
pub fn value(number: u64, len: usize) -> Vec<u8> {
    token(number).repeat(len.div_ceil(TOKEN_LEN).max(1))
}

/// The number of the token that begins here, if it is one and whole: where a value goes on in another
/// page, its tokens are cut.
pub fn number_at(bytes: &[u8]) -> Option<u64> {
    let [high, rest @ ..] = bytes.get(MARK.len()..MARK.len() + 6)? else { return None };
    let number = rest.iter().fold(u64::from(*high), |n, byte| n << 8 | u64::from(*byte));
    bytes.starts_with(&token(number)).then_some(number)
}

fn parse(bytes: &[u8]) -> Option<Value> {
    let number = number_at(bytes)?;
    (bytes == value(number, bytes.len())).then_some((number, bytes.len()))
}

/// What a store holds, read through its own calls.
pub fn contents(store: &Store) -> Result<Contents, StoreError> {
    let mut contents = Contents::default();
    for partition in store.partitions()? {
        let (head, entries) = store.range(&partition, b"", None, usize::MAX)?;
        for (key, entry) in entries {
            let value = parse(&entry.value)
                .ok_or_else(|| StoreError::Engine("a value is not what was written".into()))?;
            contents.entries.insert((partition.clone(), key), (entry.revision, value));
        }
        contents.heads.insert(partition, head);
    }
    contents.changes = store.watch(0).poll(usize::MAX)?;
    Ok(contents)
}

impl History {
    pub fn of(about: About, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let store = Store::open(Model::default(), Unsealed).unwrap();
        let mut history = Self {
            steps: Vec::new(),
            results: vec![Ok(0)],
            after: vec![Contents::default()],
            forgetting: Vec::new(),
            ended: BTreeMap::new(),
        };
        let steps = match about {
            About::Everything => 70,
            About::LongLog => 26,
            About::Little => 14,
        };
        for step in 1..=steps {
            let group = match about {
                About::Everything if random.in_hundred(30) => 2 + random.below(6),
                _ => 1,
            };
            let first = history.after.len();
            let commits = (0..group).map(|_| history.commit(about, step, &store, &mut random));
            let commits = commits.collect();
            history.steps.push(Step::Commits(first, commits));
            match about {
                About::Everything if step % 23 == 0 => history.steps.push(Step::Reopen),
                About::Everything if step % 29 == 0 => {
                    history.steps.push(Step::Reseal(1 + (step / 29) as u8));
                }
                About::Little if step == 6 => history.steps.push(Step::Reseal(2)),
                About::Little if step == 9 => history.steps.push(Step::Reopen),
                _ => {}
            }
        }
        history
    }

    /// Makes a commit, and does it to the model.
    fn commit(&mut self, about: About, step: usize, store: &Store, random: &mut Random) -> Commit {
        let names = ["0", "111111111111", "111111111111/eu-west-1", "222222222222"];
        // Few places where there are few commits, so that values are replaced all the same.
        let (names, keys) = match about {
            About::Little => (&names[..2], 4),
            _ => (&names[..], 12),
        };
        let partition = Partition::new(random.one_of(names));
        let before = self.after.last().unwrap().clone();
        let number = self.after.len();
        let mut commit = Commit::to(partition.clone());
        // One in eight expects what is not so.
        let off = u64::from(random.in_hundred(12));
        if random.in_hundred(40) {
            let head = before.heads.get(&partition).copied().unwrap_or(0);
            commit = commit.expect(Expect::Head(head + off));
        }
        let changes = match about {
            About::LongLog => 1,
            _ => random.below(4),
        };
        for change in 0..=changes {
            let key = format!("kind/{:02}", random.below(keys));
            if change == 0 && random.in_hundred(40) {
                let place = (partition.clone(), key.clone().into_bytes());
                let revision = before.entries.get(&place).map_or(0, |(revision, _)| *revision);
                commit = commit.expect(Expect::Key(key.clone().into(), revision + off));
            }
            if random.in_hundred(20) {
                commit = commit.delete(key);
                continue;
            }
            let len = match about {
                About::LongLog => 400_000 + random.below(500_000),
                _ if random.in_hundred(6) => 10_000 + random.below(40_000),
                _ => TOKEN_LEN + random.below(1500),
            };
            commit = commit.put(key, value((number * 100 + change) as u64, len));
        }
        let forgets = match about {
            About::LongLog => step == 24,
            About::Little => step % 4 == 3,
            About::Everything => random.in_hundred(12),
        };
        if forgets {
            commit = commit.forgetting();
        }
        let result = store.commit_blocking(commit.clone());
        if forgets && result.is_ok() {
            self.forgetting.push(number);
        }
        self.results.push(result);
        let after = contents(store).unwrap();
        let values = |contents: &Contents| -> BTreeSet<u64> {
            contents.entries.values().map(|(_, (value, _))| *value).collect()
        };
        for ended in values(&before).difference(&values(&after)) {
            self.ended.insert(*ended, number);
        }
        self.after.push(after);
        commit
    }

    /// The number of the last commit.
    pub fn last(&self) -> usize {
        self.after.len() - 1
    }

    /// The latest commits in a span that leave just these contents; a refused one leaves what was there.
    pub fn left_by(
        &self,
        contents: &Contents,
        span: std::ops::RangeInclusive<usize>,
    ) -> Option<usize> {
        span.rev().find(|number| self.after[*number] == *contents)
    }

    /// Whether a value must be in no file once a commit is acknowledged.
    pub fn forgotten(&self, value: u64, commit: usize) -> bool {
        let last = self.forgetting.iter().rev().find(|number| **number <= commit);
        last.is_some_and(|last| self.ended.get(&value).is_some_and(|ended| ended <= last))
    }
}

/// Binds a value to its place and to a generation; hides nothing, so that remnants are found.
pub struct Generations {
    pub newest: AtomicU8,
    pub oldest: u8,
}

impl Sealer for Generations {
    fn seal(&self, place: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let place = place.join(&b'|');
        let head = [self.newest.load(Ordering::SeqCst), place.len() as u8];
        Ok([&head, place.as_slice(), value].concat())
    }

    fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let wrong = |what: &str| StoreError::Seal(what.to_owned());
        let [generation, len, rest @ ..] = sealed else { return Err(wrong("it is too short")) };
        if *generation < self.oldest {
            return Err(wrong("it is of a generation that is no more"));
        }
        let place = place.join(&b'|');
        match rest.strip_prefix(place.as_slice()) {
            Some(value) if usize::from(*len) == place.len() => Ok(value.to_vec()),
            _ => Err(wrong("it is another place's")),
        }
    }

    fn is_current(&self, sealed: &[u8]) -> bool {
        sealed.first() == Some(&self.newest.load(Ordering::SeqCst))
    }

    fn blind(&self, name: &[&[u8]]) -> Vec<u8> {
        Unsealed.blind(name)
    }
}

/// One more owner of a sealer, so that its generation can be moved while a store uses it.
struct Shared(Arc<Generations>);

impl Sealer for Shared {
    fn seal(&self, place: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.0.seal(place, value)
    }

    fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.0.open(place, sealed)
    }

    fn is_current(&self, sealed: &[u8]) -> bool {
        self.0.is_current(sealed)
    }

    fn blind(&self, name: &[&[u8]]) -> Vec<u8> {
        self.0.blind(name)
    }
}

/// How a process lives.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    pub about: About,
    pub seed: u64,
    /// The generation that it seals under.
    pub generation: u8,
    /// How many commits it makes at most.
    pub commits: usize,
    /// How often it tries what fails before it gives up.
    pub patience: usize,
    /// Whether it closes its store, or just ends.
    pub closes: bool,
}

impl Life {
    pub fn to_args(self) -> Vec<String> {
        vec![
            self.about.name().to_owned(),
            self.seed.to_string(),
            self.generation.to_string(),
            self.commits.to_string(),
            self.patience.to_string(),
            self.closes.to_string(),
        ]
    }

    pub fn from_args(args: &[String]) -> Self {
        let [about, seed, generation, commits, patience, closes] = args else {
            panic!("a life has six arguments: {args:?}");
        };
        Self {
            about: About::ALL.into_iter().find(|known| known.name() == about).unwrap(),
            seed: seed.parse().unwrap(),
            generation: generation.parse().unwrap(),
            commits: commits.parse().unwrap(),
            patience: patience.parse().unwrap(),
            closes: closes.parse().unwrap(),
        }
    }

    /// Lives in a directory. What must not be is a panic.
    pub fn live(self, dir: &Path) {
        let history = History::of(self.about, self.seed);
        let sealer = Arc::new(Generations { newest: self.generation.into(), oldest: 0 });
        let mut living = Living { life: self, dir, sealer, history: &history };
        match living.run() {
            Ok(store) if self.closes => drop(store),
            Ok(store) => std::mem::forget(store),
            Err(GaveUp) => mark("gave up"),
        }
    }
}

/// Says a line. A whole line is one call.
fn mark(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Nothing goes any more.
struct GaveUp;

struct Living<'h> {
    life: Life,
    dir: &'h Path,
    sealer: Arc<Generations>,
    history: &'h History,
}

impl Living<'_> {
    /// Tries until it goes, or patience ends. Every failure is an error in words.
    fn patiently<T>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, GaveUp> {
        for _ in 0..=self.life.patience {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(error) => {
                    assert!(self.life.patience > 0, "{what}: {error}");
                    // Nothing is lost and nothing is another's, whatever fails.
                    let expected = matches!(error, StoreError::Engine(_) | StoreError::Full(_));
                    assert!(expected && !error.to_string().is_empty(), "{what}: {error:?}");
                    mark(&format!("error {what}: {error}"));
                }
            }
        }
        Err(GaveUp)
    }

    fn open(&self) -> Result<Store, GaveUp> {
        self.patiently("open", || Store::open(Sqlite::open(self.dir)?, Shared(self.sealer.clone())))
    }

    fn run(&mut self) -> Result<Store, GaveUp> {
        let mut store = self.open()?;
        let held = self.patiently("read", || contents(&store))?;
        let history = self.history;
        let Some(opened) = history.left_by(&held, 0..=history.last()) else {
            panic!("the store holds what no commit left: {held:?}");
        };
        mark(&format!("open {opened}"));
        let until = opened.saturating_add(self.life.commits);
        for step in &history.steps {
            match step {
                Step::Commits(first, commits) => {
                    let later = opened.saturating_sub(first - 1).min(commits.len());
                    let commits = &commits[later..];
                    if commits.is_empty() {
                        continue;
                    }
                    if first + later > until {
                        break;
                    }
                    self.commit(&store, first + later, commits)?;
                }
                // One that an earlier life began is done again.
                Step::Reseal(generation) if *generation >= self.life.generation => {
                    self.reseal(&store, *generation)?;
                }
                Step::Reseal(_) => {}
                Step::Reopen => {
                    drop(store);
                    store = self.open()?;
                }
            }
        }
        Ok(store)
    }

    /// Hands in commits and waits for them.
    fn commit(&self, store: &Store, first: usize, commits: &[Commit]) -> Result<(), GaveUp> {
        let last = first + commits.len() - 1;
        // Commits that were handed in at once may fail apart; the order is known for one at a time.
        assert!(commits.len() == 1 || self.life.patience == 0);
        self.patiently("commit", || {
            mark(&format!("submit {last}"));
            let (sender, told) = mpsc::channel();
            for (number, commit) in (first..).zip(commits) {
                let sender = sender.clone();
                store.submit(commit.clone(), move |result| {
                    match &result {
                        Ok(_) | Err(StoreError::Conflict { .. }) => {
                            mark(&format!("ack {number}"));
                        }
                        Err(error) => mark(&format!("fail {number} {error}")),
                    }
                    drop(sender.send((number, result)));
                });
            }
            drop(sender);
            for (number, result) in told {
                match result {
                    Err(error @ (StoreError::Engine(_) | StoreError::Full(_))) => {
                        // Nothing of it is to be seen.
                        if let Ok(held) = contents(store) {
                            assert_eq!(held, self.history.after[number - 1], "after {error}");
                        }
                        return Err(error);
                    }
                    result => assert_eq!(result, self.history.results[number], "commit {number}"),
                }
            }
            Ok(())
        })?;
        if self.life.patience > 0 {
            let held = self.patiently("read", || contents(store))?;
            assert_eq!(held, self.history.after[last]);
        }
        Ok(())
    }

    fn reseal(&self, store: &Store, generation: u8) -> Result<(), GaveUp> {
        mark(&format!("reseal {generation}"));
        self.sealer.newest.store(generation, Ordering::SeqCst);
        let mut at = Default::default();
        while self.patiently("reseal", || store.reseal(&mut at, 7))?.is_some() {}
        mark(&format!("resealed {generation}"));
        Ok(())
    }
}
