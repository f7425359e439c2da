//! Languages of globs, and for every way in which a text can be in some of them and not in others, one
//! text that is.
//!
//! All languages of a dimension run side by side: a state is the set of places that the patterns can
//! have reached. From a state only the characters that some pattern waits for can differ, with the
//! colon where a wildcard stays within a part of an ARN; every other character does the same. So a
//! search over the states, breadth first, sees every combination of languages that any text can have,
//! and the text that it finds first is among the shortest.

use super::bits::Bits;
use super::budget::{Budget, Spent};
use std::collections::HashSet;
use std::rc::Rc;

/// One piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Piece {
    /// This character.
    Char(char),
    /// This small ASCII letter, or its capital.
    Letter(char),
    /// A character whose small letter is this ASCII one: as the former, but the Kelvin sign is a `k`.
    Lowered(char),
    /// Any one character.
    One,
    /// Any run of characters.
    Any,
    /// As `One` and `Any`, but no colon.
    OneWithinPart,
    AnyWithinPart,
}

const KELVIN: char = '\u{212a}';

impl Piece {
    const fn is_run(self) -> bool {
        matches!(self, Self::Any | Self::AnyWithinPart)
    }

    fn takes(self, c: char) -> bool {
        match self {
            Self::Char(own) => own == c,
            Self::Letter(own) => own == c.to_ascii_lowercase(),
            Self::Lowered(own) => own == c.to_ascii_lowercase() || (own == 'k' && c == KELVIN),
            Self::One | Self::Any => true,
            Self::OneWithinPart | Self::AnyWithinPart => c != ':',
        }
    }
}

/// A glob.
pub(super) type Pattern = Vec<Piece>;

/// A union of globs.
pub(super) type Language = Vec<Pattern>;

/// How many states a search may see before it ends without having seen all.
const STATES: usize = 40_000;

/// How much work one search may take.
const WORK: usize = 1 << 24;

/// Texts that stand for all others.
#[derive(Debug, Clone)]
pub(super) struct Samples {
    /// No two are in the same languages.
    pub texts: Vec<String>,
    /// For each language, which texts are in it.
    pub members: Vec<Bits>,
    /// Whether every text is in the same languages as one of these.
    pub is_complete: bool,
}

struct Place {
    piece: Piece,
    language: u32,
    /// Whatever follows, the text is in the language.
    settled: bool,
}

/// The languages side by side.
struct Machine {
    /// `None` ends a pattern.
    places: Vec<(Option<Place>, u32)>,
    starts: Vec<u32>,
    languages: usize,
    /// A letter's case matters to some pattern.
    case_matters: bool,
    /// Which places are in the state that is being made.
    marks: Vec<u32>,
    mark: u32,
    /// For each language, the state that was made last in which it is settled, and by which place.
    settled: Vec<(u32, u32)>,
}

type State = Rc<[u32]>;

impl Machine {
    fn new(languages: &[&Language]) -> Self {
        let mut machine = Self {
            places: Vec::new(),
            starts: Vec::new(),
            languages: languages.len(),
            case_matters: false,
            marks: Vec::new(),
            mark: 0,
            settled: vec![(0, 0); languages.len()],
        };
        for (language, patterns) in languages.iter().enumerate() {
            let language = language as u32;
            for pattern in *patterns {
                machine.starts.push(machine.places.len() as u32);
                for (at, &piece) in pattern.iter().enumerate() {
                    machine.case_matters |= matches!(piece, Piece::Char(c) if c.is_ascii_alphabetic())
                        || matches!(piece, Piece::Lowered(_));
                    let settled = pattern[at..].iter().all(|p| *p == Piece::Any);
                    let place = Place { piece, language, settled };
                    machine.places.push((Some(place), language));
                }
                machine.places.push((None, language));
            }
        }
        machine.marks = vec![0; machine.places.len()];
        machine
    }

    /// Adds a place to the state that is being made, with those that follow runs of nothing.
    fn reach(&mut self, place: u32, into: &mut Vec<u32>) {
        let mut at = place as usize;
        loop {
            if self.marks[at] == self.mark {
                return;
            }
            self.marks[at] = self.mark;
            into.push(at as u32);
            match &self.places[at].0 {
                Some(place) if place.piece.is_run() => at += 1,
                _ => return,
            }
        }
    }

    /// Brings a state into the one form that it has: in order, and where a language is settled,
    /// without what else it waits for.
    fn finish(&mut self, mut state: Vec<u32>) -> State {
        let mut any = false;
        for &at in &state {
            if self.places[at as usize].0.as_ref().is_some_and(|place| place.settled) {
                any = true;
                let (mark, first) = &mut self.settled[self.places[at as usize].1 as usize];
                *first = if *mark == self.mark { at.min(*first) } else { at };
                *mark = self.mark;
            }
        }
        if any {
            state.retain(|at| {
                let (mark, first) = self.settled[self.places[*at as usize].1 as usize];
                mark != self.mark || first == *at
            });
        }
        state.sort_unstable();
        state.into()
    }

    fn start(&mut self) -> State {
        self.mark += 1;
        let mut state = Vec::new();
        for at in 0..self.starts.len() {
            let start = self.starts[at];
            self.reach(start, &mut state);
        }
        self.finish(state)
    }

    fn step(&mut self, state: &[u32], c: char) -> State {
        self.mark += 1;
        let mut next = Vec::with_capacity(state.len());
        for &at in state {
            let Some(place) = &self.places[at as usize].0 else { continue };
            if place.piece.takes(c) {
                let to = if place.piece.is_run() { at } else { at + 1 };
                self.reach(to, &mut next);
            }
        }
        self.finish(next)
    }

    /// The languages that a text is in whose state this is.
    fn accepted(&self, state: &[u32]) -> Bits {
        let mut bits = Bits::none(self.languages);
        for &at in state {
            match &self.places[at as usize].0 {
                None => bits.insert(self.places[at as usize].1 as usize),
                Some(place) if place.settled => bits.insert(place.language as usize),
                Some(_) => {}
            }
        }
        bits
    }

    /// Whether a text of this state can still come to be in a language.
    fn is_open(&self, state: &[u32], language: u32) -> bool {
        state.iter().any(|at| self.places[*at as usize].1 == language)
    }

    /// The characters that can differ from each other here, and one that stands for the rest.
    fn characters(&self, state: &[u32], into: &mut Vec<char>) {
        into.clear();
        for &at in state {
            match self.places[at as usize].0.as_ref().map(|place| place.piece) {
                Some(Piece::Char(c)) => into.push(c),
                Some(Piece::Letter(c)) => {
                    into.push(c);
                    if self.case_matters {
                        into.push(c.to_ascii_uppercase());
                    }
                }
                Some(Piece::Lowered(c)) => {
                    into.extend([c, c.to_ascii_uppercase()]);
                    if c == 'k' {
                        into.push(KELVIN);
                    }
                }
                Some(Piece::OneWithinPart | Piece::AnyWithinPart) => into.push(':'),
                Some(Piece::One | Piece::Any) | None => {}
            }
        }
        into.sort_unstable();
        into.dedup();
        // To a machine that ignores case a capital is its small letter, and none is in the list.
        let rest = ('a'..='z')
            .rev()
            .chain('0'..='9')
            .chain('\u{4e00}'..='\u{9fff}')
            .chain('\u{a0}'..=char::MAX)
            .find(|c| into.binary_search(c).is_err());
        into.extend(rest);
    }
}

/// The first text of each combination of languages.
#[derive(Default)]
struct Found {
    known: HashSet<Bits>,
    texts: Vec<(Bits, String)>,
}

impl Found {
    /// Notes a text of the universe, the first language, if it is the first of its combination.
    fn add(
        &mut self,
        accepted: Bits,
        budget: &Budget,
        text: impl FnOnce() -> String,
    ) -> Result<(), Spent> {
        if accepted.contains(0) && !self.known.contains(&accepted) {
            // Each language will be asked of it.
            budget.take(accepted.words() * 64)?;
            self.texts.push((accepted.clone(), text()));
            self.known.insert(accepted);
        }
        Ok(())
    }
}

impl Machine {
    /// Notes the seeds.
    fn follow(&mut self, seeds: &[String], budget: &Budget, found: &mut Found) {
        // They make answers more natural, and must leave something for what makes them true.
        let budget = budget.share(WORK / 4);
        let start = self.start();
        for seed in seeds {
            let mut state = start.clone();
            for c in seed.chars() {
                if budget.take(state.len() + 1).is_err() {
                    return;
                }
                state = self.step(&state, c);
                if state.is_empty() {
                    break;
                }
            }
            if found.add(self.accepted(&state), &budget, || seed.clone()).is_err() {
                return;
            }
        }
    }

    /// Notes a text for each state that there is.
    fn search(&mut self, budget: &Budget, found: &mut Found) -> Result<(), Spent> {
        // Each state with the one before it and the character between.
        let mut seen: HashSet<State> = HashSet::new();
        let start = self.start();
        budget.take(self.places.len())?;
        let mut order: Vec<(State, usize, char)> = vec![(start.clone(), 0, ' ')];
        seen.insert(start);
        let mut characters = Vec::new();
        let mut at = 0;
        while let Some((state, _, _)) = order.get(at) {
            let state = state.clone();
            found.add(self.accepted(&state), budget, || written(&order, at))?;
            self.characters(&state, &mut characters);
            budget.take(state.len() + characters.len())?;
            for &c in &characters {
                let next = self.step(&state, c);
                budget.take(state.len() + next.len())?;
                if !self.is_open(&next, 0) || seen.contains(&next) {
                    continue;
                }
                if order.len() >= STATES {
                    return Err(Spent);
                }
                order.push((next.clone(), at, c));
                seen.insert(next);
            }
            at += 1;
        }
        Ok(())
    }
}

/// The text that leads to a state.
fn written(order: &[(State, usize, char)], mut at: usize) -> String {
    let mut text = Vec::new();
    while at != 0 {
        text.push(order[at].2);
        at = order[at].1;
    }
    text.into_iter().rev().collect()
}

/// Finds a text of the universe for every combination of languages that one has. Of two texts that
/// are in the same languages the earlier seed is taken, else the shortest.
pub(super) fn sample(
    universe: &Language,
    languages: &[Language],
    seeds: &[String],
    budget: &Budget,
) -> Samples {
    let budget = budget.share(WORK);
    let mut all: Vec<&Language> = vec![universe];
    all.extend(languages);
    let mut machine = Machine::new(&all);
    let mut found = Found::default();
    machine.follow(seeds, &budget, &mut found);
    let is_complete = machine.search(&budget, &mut found).is_ok();
    let texts = found.texts;
    let members = (1..all.len())
        .map(|language| Bits::of(texts.len(), |text| texts[text].0.contains(language)))
        .collect();
    Samples { texts: texts.into_iter().map(|(_, text)| text).collect(), members, is_complete }
}

/// Whether every text of one language is of the other; `false` too where that was not found out.
pub(super) fn includes(outer: &Language, inner: &Language, budget: &Budget) -> bool {
    let samples = sample(&vec![vec![Piece::Any]], &[outer.clone(), inner.clone()], &[], budget);
    samples.is_complete && samples.members[1].is_subset(&samples.members[0])
}
