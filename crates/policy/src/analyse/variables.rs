//! Policy variables, which tie one fact of a request to another.
//!
//! A pattern with variables is bounded: it matches no less than nothing and no more than it would with
//! a wildcard for each variable. In between the analysis knows of it only that the same pattern has the
//! same answer wherever it stands. And with values chosen for the variables, a document becomes one
//! without any, in which concrete requests can be looked for.

use super::automaton::{Language, Pattern, Piece};
use super::budget::Budget;
use super::key::spelled;
use crate::context::Context;
use crate::document::{Comparison as C, Condition, Document, Matching, Version};
use crate::variable::{self, Part, Reading, split_arn};
use std::collections::BTreeMap;

/// What stands for itself: `${*}`, `${?}` and `${$}`.
fn is_escape(name: &str) -> bool {
    matches!(name, "*" | "?" | "$")
}

/// The pieces of a text of version 2012-10-17.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    variable::parts(text, Version::V2012)
}

/// Whether a text says different things of different requests. One with a variable that cannot be read
/// matches nothing, which is known.
fn has_variable(text: &str) -> bool {
    let names = || {
        parts(text).filter_map(|part| match part {
            Part::Variable(name) => Some(name),
            Part::Char(_) => None,
        })
    };
    text.contains("${")
        && names().any(|name| !is_escape(name))
        && names().all(|name| variable::named(name).is_some())
}

/// Whether a condition's operator reads variables.
const fn reads_variables(comparison: C) -> bool {
    super::pattern::is_of_texts(comparison) && !matches!(comparison, C::BinaryEquals)
}

/// The part of a resource pattern that may have variables: what follows the fifth colon.
fn variable_part(pattern: &str) -> Option<&str> {
    split_arn(pattern).get(5).copied()
}

/// Whether a value of a condition has variables.
pub(super) fn in_value(value: &str, comparison: C, version: Version) -> bool {
    version >= Version::V2012 && reads_variables(comparison) && has_variable(value)
}

/// Whether any value of a condition has variables.
pub(super) fn in_condition(condition: &Condition, version: Version) -> bool {
    condition.values.iter().any(|value| in_value(value, condition.operator.comparison, version))
}

/// Keys whose values are compared without regard to the case of letters beyond ASCII. They are no
/// variables, but requests are looked for in the same way: with values that the document has.
pub(super) fn keys_beyond_ascii(document: &Document) -> BTreeMap<String, String> {
    let conditions = document.statements.iter().flat_map(|statement| &statement.conditions);
    let beyond = conditions.filter(|c| {
        ignores_case(c.operator.comparison) && c.values.iter().any(|value| !value.is_ascii())
    });
    beyond.map(|c| (spelled(&c.key), c.key.clone())).collect()
}

const fn ignores_case(comparison: C) -> bool {
    matches!(comparison, C::StringEqualsIgnoreCase | C::StringNotEqualsIgnoreCase)
}

/// Whether a pattern of a `Resource` element has variables.
pub(super) fn in_resource(pattern: &str, version: Version) -> bool {
    version >= Version::V2012 && variable_part(pattern).is_some_and(has_variable)
}

/// The keys that a document's variables name: as equal ones are spelled, and as they are written.
pub(super) fn keys(document: &Document) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let version = document.version;
    let mut note = |text: &str| {
        out.extend(parts(text).filter_map(|part| match part {
            Part::Variable(name) if !is_escape(name) => {
                let key = name.split_once(',').map_or(name, |(key, _)| key).trim();
                Some((spelled(key), key.to_owned()))
            }
            _ => None,
        }));
    };
    for statement in &document.statements {
        for pattern in statement.resource.iter().flat_map(|resource| resource.patterns()) {
            if in_resource(pattern, version) {
                variable_part(pattern).into_iter().for_each(&mut note);
            }
        }
        for condition in &statement.conditions {
            let comparison = condition.operator.comparison;
            for value in condition.values.iter().filter(|v| in_value(v, comparison, version)) {
                note(value);
            }
        }
    }
    out
}

/// A text with the variables' values in it, as characters; `None` where one has no value.
fn grounded(text: &str, context: &Context) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            // A `${` without its end would find one in an escape that follows.
            Part::Char('$') => out.push_str("${$}"),
            Part::Char(c) => out.push(c),
            Part::Variable(name) if is_escape(name) => out.extend(["${", name, "}"]),
            Part::Variable(name) => {
                let reading = Reading { version: Version::V2012, context, wildcards: false };
                for c in reading.text(&format!("${{{name}}}"))?.chars() {
                    match c {
                        '*' | '?' | '$' => out.extend(["${", c.encode_utf8(&mut [0; 4]), "}"]),
                        c => out.push(c),
                    }
                }
            }
        }
    }
    Some(out)
}

/// The document with the values of this context for its variables.
///
/// INVARIANT: no value holds a colon, which would cut an ARN where the variable does not.
pub(super) fn ground(document: &Document, context: &Context) -> Document {
    let mut out = document.clone();
    if document.version < Version::V2012 {
        return out;
    }
    for statement in &mut out.statements {
        if let Some(Matching::These(patterns) | Matching::AllBut(patterns)) =
            &mut statement.resource
        {
            let ground = |pattern: &String| {
                if !in_resource(pattern, Version::V2012) {
                    return Some(pattern.clone());
                }
                let last = variable_part(pattern)?;
                let before = &pattern[..pattern.len() - last.len()];
                Some(format!("{before}{}", grounded(last, context)?))
            };
            *patterns = patterns.iter().filter_map(ground).collect();
        }
        for condition in &mut statement.conditions {
            let comparison = condition.operator.comparison;
            let ground = |value: &String| {
                if in_value(value, comparison, Version::V2012) {
                    grounded(value, context)
                } else {
                    Some(value.clone())
                }
            };
            condition.values = condition.values.iter().filter_map(ground).collect();
        }
    }
    out
}

/// A resource pattern with a wildcard for each variable.
pub(super) fn widest_resource(pattern: &str) -> String {
    let Some(last) = variable_part(pattern) else { return pattern.to_owned() };
    format!("{}{}", &pattern[..pattern.len() - last.len()], widened(last, false))
}

/// A text with a wildcard for each variable, and its own wildcards as characters if they are not ones.
fn widened(text: &str, wildcards_are_characters: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            // A `${` without its end would find one in an escape that follows.
            Part::Char('$') => out.push_str("${$}"),
            Part::Char(c @ ('*' | '?')) if wildcards_are_characters => {
                out.extend(["${", c.encode_utf8(&mut [0; 4]), "}"]);
            }
            Part::Char(c) => out.push(c),
            Part::Variable(name) if is_escape(name) => out.extend(["${", name, "}"]),
            Part::Variable(_) => out.push('*'),
        }
    }
    out
}

/// Two conditions without variables, one that is hit by no more and one that is hit by no fewer values
/// of a request. They are the same where the condition can be modelled as it is.
pub(super) fn bounds(condition: &Condition, version: Version) -> (Condition, Condition) {
    let comparison = condition.operator.comparison;
    // Small letters beyond ASCII have rules of their own.
    let beyond = |value: &String| ignores_case(comparison) && !value.is_ascii();
    let varies = |value: &String| in_value(value, comparison, version) || beyond(value);
    if !condition.values.iter().any(varies) {
        return (condition.clone(), condition.clone());
    }
    let mut low = condition.clone();
    low.values.retain(|value| !varies(value));
    let mut high = condition.clone();
    match comparison {
        C::StringEquals | C::StringNotEquals => {
            high.operator.comparison = like(comparison);
            high.values = high.values.iter().map(|value| widened(value, true)).collect();
        }
        C::StringEqualsIgnoreCase | C::StringNotEqualsIgnoreCase => {
            high.operator.comparison = like(comparison);
            high.values = vec!["*".to_owned()];
        }
        C::Bool => high.values = vec!["true".to_owned(), "false".to_owned()],
        _ => high.values = high.values.iter().map(|value| widened(value, false)).collect(),
    }
    (low, high)
}

const fn like(comparison: C) -> C {
    if comparison.is_negated() { C::StringNotLike } else { C::StringLike }
}

/// Variables as characters of their own, by which patterns with variables can be compared.
///
/// If every text of one pattern is of another, each variable read as one character that neither has
/// otherwise, then so it is whatever the variables' values are: take a text of the first, put the
/// characters where its variables are; it is of the second, and remains so when the values come back,
/// for the second's variables get theirs and its `*` matches anything. Its other wildcards would not:
/// with those in it a pattern is not compared.
#[derive(Debug, Default)]
pub(super) struct Symbols(Vec<String>);

/// The first character that stands for a variable; the plane is one of private use.
const FIRST_SYMBOL: u32 = 0xf_0000;

impl Symbols {
    /// The pattern of a resource.
    pub fn resource(&mut self, pattern: &str) -> Option<Pattern> {
        let last = variable_part(pattern)?;
        let before = &pattern[..pattern.len() - last.len()];
        let mut out = super::pattern::resource(&format!("{before}*"), Version::V2012)?;
        out.pop();
        out.extend(self.text(last, true)?);
        Some(out)
    }

    /// The values of a condition.
    pub fn condition(&mut self, condition: &Condition) -> Option<Language> {
        let wildcards = match condition.operator.comparison {
            C::StringEquals | C::StringNotEquals => false,
            C::StringLike | C::StringNotLike => true,
            _ => return None,
        };
        condition.values.iter().map(|value| self.text(value, wildcards)).collect()
    }

    fn text(&mut self, text: &str, wildcards: bool) -> Option<Pattern> {
        let mut out = Pattern::new();
        for part in parts(text) {
            out.push(match part {
                Part::Char('*') if wildcards => Piece::Any,
                Part::Char('?') if wildcards => Piece::One,
                Part::Char(c) if u32::from(c) < FIRST_SYMBOL => Piece::Char(c),
                Part::Char(_) => return None,
                Part::Variable(name) if is_escape(name) => Piece::Char(name.chars().next()?),
                Part::Variable(name) => {
                    let known = self.0.iter().position(|known| known == name);
                    let at = known.unwrap_or_else(|| {
                        self.0.push(name.to_owned());
                        self.0.len() - 1
                    });
                    Piece::Char(char::from_u32(FIRST_SYMBOL + u32::try_from(at).ok()?)?)
                }
            });
        }
        Some(out)
    }
}

/// Whether the one is of the other whatever the variables' values are.
pub(super) fn implies(inner: &Language, outer: &Language, budget: &Budget) -> bool {
    let plain = |piece: &Piece| matches!(piece, Piece::Char(_) | Piece::Any);
    outer.iter().flatten().all(plain) && super::automaton::includes(outer, inner, budget)
}
