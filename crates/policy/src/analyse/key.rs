//! The dimension of one condition key: absent, or one of finitely many values or sets of values that
//! stand for all others.
//!
//! A condition asks of each value whether it satisfies an operator, and of the set whether all do or
//! some. Values that satisfy the same operators are of one class, and one of them stands for it. What
//! a set says is settled by which of the conditions' deciding values it holds ("one that does not
//! satisfy" for *all*, "one that does" for *some*), so that sets are joined from classes until nothing
//! new comes.

use super::Stop;
use super::arity::{self, Arity};
use super::automaton::{self, Language};
use super::bits::Bits;
use super::budget::Budget;
use super::pattern;
use super::values::Type;
use crate::condition;
use crate::context::{Context, Values};
use crate::document::{Comparison, Condition, SetPrefix, Version};
use std::collections::HashSet;

/// A key with the conditions on it, none of which has variables any more.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// As it is written first.
    pub name: String,
    pub conditions: Vec<(Condition, Version)>,
    /// The conditions without their set prefixes.
    bare: Vec<Condition>,
    /// The value that a variable was replaced with; then the key has no other.
    pub pinned: Option<Option<String>>,
}

/// One point of the dimension.
#[derive(Debug, Clone)]
pub(super) struct Point {
    /// `None` where the key is absent; also where no text was found, if `doubt` says so.
    pub values: Option<Values>,
    /// Why no request may have this point after all.
    pub doubt: Option<&'static str>,
    /// Which of the conditions hold.
    pub holds: Bits,
}

pub(super) const MIXED: &str =
    "the key is compared as text and as a number, date or address, or as two of these";
pub(super) const SETS: &str =
    "it is not known whether the key holds one value or several, and it makes a difference";

/// How many sets of values a key may have.
const SETS_OF_VALUES: usize = 1024;

/// What it costs to read a value, in units of the budget.
const VALUE: usize = 8;

/// The name of a key as those are spelled that are the same: in small letters, but for the key of a
/// tag. A request may have `aws:ResourceTag/Team` and `aws:ResourceTag/team` with a value each, and a
/// condition on the one reads the other only where there is but one.
pub(super) fn spelled(key: &str) -> String {
    let tag = key.find('/').map_or(key.len(), |slash| slash + 1);
    let (name, tag) = key.split_at(tag);
    [&name.to_ascii_lowercase(), tag].concat()
}

/// A class of values.
#[derive(Clone)]
struct Class {
    text: Option<String>,
    is_empty: bool,
    /// For each condition, whether the value satisfies its operator.
    satisfies: Bits,
}

impl Key {
    pub const fn new(name: String, pinned: Option<Option<String>>) -> Self {
        Self { name, conditions: Vec::new(), bare: Vec::new(), pinned }
    }

    /// Adds a condition, if it is not there, and gives its number.
    pub fn add(&mut self, condition: Condition, version: Version) -> usize {
        let same = |(c, v): &(Condition, Version)| {
            c.operator == condition.operator && c.values == condition.values && *v == version
        };
        self.conditions.iter().position(same).unwrap_or_else(|| {
            let mut bare = condition.clone();
            bare.operator.set = None;
            self.bare.push(bare);
            self.conditions.push((condition, version));
            self.conditions.len() - 1
        })
    }

    /// The points, the absence of the key first, and why they may not be all.
    pub fn points(&self, budget: &Budget) -> (Vec<Point>, Option<Stop>) {
        let size = self.conditions.len();
        let absent = Point {
            values: None,
            doubt: None,
            holds: Bits::of(size, |c| {
                let (condition, version) = &self.conditions[c];
                condition::holds(condition, *version, &Context::default())
            }),
        };
        if let Some(pinned) = &self.pinned {
            let point = match pinned {
                None => absent,
                Some(text) => Point {
                    values: Some(Values::One(text.into())),
                    doubt: None,
                    holds: Bits::of(size, |c| self.alone(c, text)),
                },
            };
            return (vec![point], None);
        }
        let (classes, mut missing) = self.classes(budget);
        let nulls = self.nulls();
        let mut points = vec![absent];
        for class in &classes {
            if budget.take(size + 1).is_err() {
                missing = missing.or_else(|| Some(self.too_many()));
                break;
            }
            points.push(Point {
                values: class.text.as_ref().map(|text| Values::One(text.into())),
                doubt: class.text.is_none().then_some(MIXED),
                holds: self.set_holds(&self.contribution(class), &nulls),
            });
        }
        let quantified = self.conditions.iter().any(|(c, _)| c.operator.set.is_some());
        // A policy that quantifies a key says that it holds a set.
        let doubt = match arity::of(&self.name) {
            Arity::One => return (points, missing),
            Arity::Listed if !quantified => return (points, missing),
            Arity::Listed => Some(SETS),
            Arity::Unknown if !quantified => Some(SETS),
            Arity::Unknown | Arity::Many => None,
        };
        missing = missing.or(self.join(&classes, doubt, &nulls, &mut points, budget));
        (points, missing)
    }

    /// Whether a condition holds of a key with this one value.
    fn alone(&self, condition: usize, text: &str) -> bool {
        let (condition, version) = &self.conditions[condition];
        let mut context = Context::default();
        context.set(self.name.clone(), text);
        condition::holds(condition, *version, &context)
    }

    /// Which conditions on the key's presence hold where it is present.
    fn nulls(&self) -> Bits {
        Bits::of(self.conditions.len(), |c| {
            self.conditions[c].0.operator.comparison == Comparison::Null && self.alone(c, "present")
        })
    }

    fn too_many(&self) -> Stop {
        Stop::at_key(&self.name, "its values have too many combinations")
    }

    /// Which conditions a value decides, if a set holds it.
    fn contribution(&self, class: &Class) -> Bits {
        Bits::of(self.conditions.len(), |c| {
            let operator = self.conditions[c].0.operator;
            let satisfies = class.satisfies.contains(c);
            match operator.set {
                Some(SetPrefix::ForAllValues) => !class.is_empty && !satisfies,
                Some(SetPrefix::ForAnyValue) => satisfies,
                None if operator.comparison.is_negated() => !satisfies,
                None => satisfies,
            }
        })
    }

    /// Which conditions hold of a set with these contributions.
    fn set_holds(&self, decided: &Bits, nulls: &Bits) -> Bits {
        Bits::of(self.conditions.len(), |c| {
            let operator = self.conditions[c].0.operator;
            match operator.set {
                _ if operator.comparison == Comparison::Null => nulls.contains(c),
                Some(SetPrefix::ForAllValues) => !decided.contains(c),
                Some(SetPrefix::ForAnyValue) => decided.contains(c),
                None => decided.contains(c) != operator.comparison.is_negated(),
            }
        })
    }

    /// Adds the sets of two and more classes that say what no smaller one says.
    fn join(
        &self,
        classes: &[Class],
        doubt: Option<&'static str>,
        nulls: &Bits,
        points: &mut Vec<Point>,
        budget: &Budget,
    ) -> Option<Stop> {
        let mut sets: Vec<(Bits, Vec<usize>)> =
            classes.iter().enumerate().map(|(at, c)| (self.contribution(c), vec![at])).collect();
        let singles = sets.clone();
        let mut seen: HashSet<Bits> = sets.iter().map(|(bits, _)| bits.clone()).collect();
        let mut at = 0;
        while at < sets.len() {
            if budget.take(singles.len() * (nulls.words() + 1)).is_err() {
                return Some(self.too_many());
            }
            for (bits, single) in &singles {
                let mut joined = sets[at].0.clone();
                joined.extend(bits);
                if seen.insert(joined.clone()) {
                    if sets.len() >= SETS_OF_VALUES || budget.take(self.conditions.len()).is_err() {
                        return Some(Stop::at_key(&self.name, "its sets of values are too many"));
                    }
                    let members = [sets[at].1.as_slice(), single].concat();
                    let texts: Option<Vec<_>> =
                        members.iter().map(|m| classes[*m].text.as_ref().map(Into::into)).collect();
                    points.push(Point {
                        doubt: if texts.is_none() { Some(MIXED) } else { doubt },
                        values: texts.map(Values::Many),
                        holds: self.set_holds(&joined, nulls),
                    });
                    sets.push((joined, members));
                }
            }
            at += 1;
        }
        None
    }

    /// The classes of values, and why they may not be all.
    fn classes(&self, budget: &Budget) -> (Vec<Class>, Option<Stop>) {
        let mut missing = None;
        let all = 0..self.conditions.len();
        let comparison = |c: usize| self.conditions[c].0.operator.comparison;
        let quantified =
            self.conditions.iter().any(|(c, _)| c.operator.set == Some(SetPrefix::ForAllValues));
        // What each kind of operator says of a value, each kind for itself.
        let mut kinds: Vec<Vec<Class>> = Vec::new();
        let of_texts: Vec<usize> =
            all.clone().filter(|c| pattern::is_of_texts(comparison(*c))).collect();
        if !of_texts.is_empty() {
            let (classes, incomplete) = self.text_classes(&of_texts, quantified, budget);
            missing = incomplete;
            kinds.push(classes);
        }
        for kind in [Type::Number, Type::Date, Type::Address] {
            let of_kind: Vec<usize> =
                all.clone().filter(|c| Type::of(comparison(*c)) == Some(kind)).collect();
            if of_kind.is_empty() {
                continue;
            }
            let values = of_kind.iter().flat_map(|c| &self.conditions[*c].0.values);
            let mut texts = kind.samples(values.map(String::as_str));
            if quantified {
                texts.push(String::new());
            }
            let count = texts.len();
            let values = of_kind.iter().map(|c| self.conditions[*c].0.values.len());
            let reading = VALUE * values.sum::<usize>();
            let texts = texts.into_iter().take_while(|_| budget.take(reading).is_ok());
            let classes: Vec<Class> =
                texts.map(|text| self.class(text, &of_kind, quantified)).collect();
            if classes.len() < count {
                missing = missing.or_else(|| Some(self.too_many()));
            }
            kinds.push(distinct(classes.into_iter()));
        }
        match kinds.as_slice() {
            [] => (vec![self.class("example".to_owned(), &[], false)], None),
            [one] => (one.clone(), missing),
            _ => {
                let (classes, incomplete) = self.mixed(&kinds, quantified, budget);
                (classes, missing.or(incomplete))
            }
        }
    }

    fn class(&self, text: String, conditions: &[usize], quantified: bool) -> Class {
        let mut satisfies = Bits::none(self.conditions.len());
        let mut context = Context::default();
        context.set(self.name.clone(), text.as_str());
        for &c in conditions {
            if condition::holds(&self.bare[c], self.conditions[c].1, &context) {
                satisfies.insert(c);
            }
        }
        Class { is_empty: quantified && text.is_empty(), satisfies, text: Some(text) }
    }

    /// The classes that operators of texts tell apart.
    fn text_classes(
        &self,
        conditions: &[usize],
        quantified: bool,
        budget: &Budget,
    ) -> (Vec<Class>, Option<Stop>) {
        let mut languages: Vec<Language> = Vec::new();
        let mut seeds = Vec::new();
        for &c in conditions {
            let (condition, version) = &self.conditions[c];
            languages.push(pattern::hits(condition, *version).unwrap_or_default());
            for value in &condition.values {
                if !value.contains("${") {
                    seeds.extend(pattern::fillings(value));
                }
            }
        }
        if quantified {
            languages.push(vec![vec![]]);
        }
        seeds.push("example".to_owned());
        let samples = automaton::sample(&pattern::texts(), &languages, &seeds, budget);
        let missing = (!samples.is_complete)
            .then(|| Stop::at_key(&self.name, "its patterns have too many combinations"));
        let class = |(at, text): (usize, String)| {
            let mut satisfies = Bits::none(self.conditions.len());
            for (members, &c) in samples.members.iter().zip(conditions) {
                let negated = self.conditions[c].0.operator.comparison.is_negated();
                if members.contains(at) != negated {
                    satisfies.insert(c);
                }
            }
            Class { is_empty: quantified && text.is_empty(), satisfies, text: Some(text) }
        };
        (samples.texts.iter().cloned().enumerate().map(class).collect(), missing)
    }

    /// Classes of values that operators of several kinds compare: every combination, of which those
    /// that some text at hand belongs to are sure.
    fn mixed(
        &self,
        kinds: &[Vec<Class>],
        quantified: bool,
        budget: &Budget,
    ) -> (Vec<Class>, Option<Stop>) {
        let all: Vec<usize> = (0..self.conditions.len()).collect();
        let null = |c: &&usize| self.conditions[**c].0.operator.comparison != Comparison::Null;
        let all: Vec<usize> = all.iter().filter(null).copied().collect();
        let texts = kinds.iter().flatten().filter_map(|class| class.text.clone());
        let values = all.iter().map(|c| self.conditions[*c].0.values.len());
        let reading = VALUE * values.sum::<usize>();
        // Those that are left out remain as combinations.
        let texts = texts.take_while(|_| budget.take(reading).is_ok());
        let mut out = distinct(texts.map(|text| self.class(text, &all, quantified)));
        let mut combinations = vec![Class {
            text: None,
            is_empty: false,
            satisfies: Bits::none(self.conditions.len()),
        }];
        for kind in kinds {
            if combinations.len() * kind.len() > SETS_OF_VALUES {
                return (out, Some(self.too_many()));
            }
            let with = |base: &Class| -> Vec<Class> {
                let each = kind.iter().map(|class| {
                    let mut satisfies = base.satisfies.clone();
                    satisfies.extend(&class.satisfies);
                    Class { text: None, is_empty: base.is_empty | class.is_empty, satisfies }
                });
                each.collect()
            };
            combinations = combinations.iter().flat_map(with).collect();
        }
        out.extend(combinations);
        (distinct(out.into_iter()), None)
    }
}

/// The first of each class.
fn distinct(classes: impl Iterator<Item = Class>) -> Vec<Class> {
    let mut seen = HashSet::new();
    classes.filter(|class| seen.insert((class.satisfies.clone(), class.is_empty))).collect()
}
