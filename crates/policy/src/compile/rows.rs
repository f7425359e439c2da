//! Which statements of a document speak of an action, kept by action.

use crate::document::{Document, Effect, Statement};
use crate::glob;
use std::ops::Deref;
use std::sync::OnceLock;

/// Places for rows in a document; an action has two of them to choose from.
const PLACES: usize = 32;

/// An action that is asked for, with its hash.
pub(crate) struct Action<'a> {
    name: &'a str,
    hash: u64,
}

impl<'a> Action<'a> {
    pub fn new(name: &'a str) -> Self {
        // FNV-1a: some twenty letters, whose case does not count.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
        });
        Self { name, hash }
    }

    fn places(&self) -> [usize; 2] {
        [self.hash, self.hash >> 32].map(|hash| (hash % PLACES as u64) as usize)
    }
}

/// The statements that deny an action and those that allow it, by index.
pub(crate) struct Statements {
    hash: u64,
    action: Box<str>,
    pub deny: Box<[u32]>,
    pub allow: Box<[u32]>,
}

impl Statements {
    fn of(document: &Document, asked: &Action<'_>) -> Self {
        let Action { name: action, hash } = *asked;
        let speaking = |effect: Effect| {
            (0u32..)
                .zip(&document.statements)
                .filter(|(_, statement)| statement.effect == effect && speaks_of(statement, action))
                .map(|(index, _)| index)
                .collect()
        };
        let (deny, allow) = (speaking(Effect::Deny), speaking(Effect::Allow));
        Self { hash, action: action.into(), deny, allow }
    }

    /// Whether they are those of an action. Most ask for it in the same letters.
    fn are_of(&self, action: &Action<'_>) -> bool {
        self.hash == action.hash
            && (*self.action == *action.name || self.action.eq_ignore_ascii_case(action.name))
    }
}

/// Whether a statement speaks of an action.
pub(crate) fn speaks_of(statement: &Statement, action: &str) -> bool {
    let mut patterns = statement.action.patterns().iter();
    statement.action.holds(patterns.any(|pattern| glob::action(pattern, action)))
}

/// A row: kept, or made for this once.
pub(crate) enum Row<'c> {
    Kept(&'c Statements),
    Made(Statements),
}

impl Deref for Row<'_> {
    type Target = Statements;

    fn deref(&self) -> &Statements {
        match self {
            Self::Kept(statements) => statements,
            Self::Made(statements) => statements,
        }
    }
}

/// The rows of a document. Nothing is taken before the first question.
#[derive(Default)]
pub(crate) struct Rows(OnceLock<Box<[OnceLock<Box<Statements>>; PLACES]>>);

impl Rows {
    pub fn get(&self, action: &Action<'_>, document: &Document) -> Row<'_> {
        let places = self.0.get_or_init(|| Box::new([const { OnceLock::new() }; PLACES]));
        for place in action.places() {
            let row = places[place].get_or_init(|| Box::new(Statements::of(document, action)));
            if row.are_of(action) {
                return Row::Kept(row);
            }
        }
        Row::Made(Statements::of(document, action))
    }
}
