//! The space of requests, and statements as regions of it.
//!
//! The dimensions are the caller, the action, the resource, each condition key, and for each pattern
//! with variables whether it matches. Every point of a dimension stands for all values that the
//! documents' patterns cannot tell from it, so that the space is finite and leaves out no request.

use super::Stop;
use super::automaton::{self, Language, Samples};
use super::bits::Bits;
use super::budget::{Budget, Spent};
use super::cover::{Region, uncovered};
use super::key::{Key, Point, spelled};
use super::pattern;
use super::principal::{self, Caller};
use super::variables::{self, Symbols};
use crate::AccountId;
use crate::document::{
    Comparison as C, Condition, Document, Effect, Matching, SetPrefix, Statement, Version,
};
use std::collections::{BTreeMap, HashMap};

/// A pattern of which only bounds are known, and whether it matches.
#[derive(Debug)]
pub(super) struct Opaque {
    /// What is the same wherever the same pattern stands.
    identity: String,
    /// The pattern as it is written.
    pub construct: String,
    /// Which of the documents, and which of its statements.
    pub place: (usize, usize),
    /// Why it is not known whether it matches.
    pub why: &'static str,
    /// What it is compared with when another is of the same group.
    group: String,
    language: Option<Language>,
}

const VARIABLES: &str = "no request was found, and none can be ruled out: it is not known which values \
                         its variables have together with the rest of the request";
const LETTERS: &str = "capital and small letters beyond ASCII are not modelled";

/// The space that these documents span.
#[derive(Debug)]
pub(super) struct Space {
    pub callers: Vec<Caller>,
    pub actions: Vec<String>,
    pub resources: Vec<String>,
    pub keys: Vec<(String, Vec<Point>)>,
    pub opaque: Vec<Opaque>,
    /// For each document, the regions of its statements.
    pub regions: Vec<Regions>,
    /// Regions without requests: a narrow pattern matches and a wider one does not.
    impossible: Vec<Region>,
    /// Why some requests may be left out; then it proves nothing.
    pub missing: Option<Stop>,
}

/// The regions of one document.
#[derive(Debug, Default)]
pub(super) struct Regions {
    pub allow: Vec<Region>,
    pub deny: Vec<Region>,
}

/// Where a statement's pieces are in the dimensions.
struct Shape<'a> {
    statement: &'a Statement,
    action: usize,
    /// The language of the patterns without variables, and the others' with what is not known.
    resource: Option<(usize, Vec<(usize, usize)>)>,
    conditions: Vec<ConditionShape>,
}

struct ConditionShape {
    key: usize,
    low: usize,
    high: usize,
    /// What is not known, and whether the condition is it or its opposite.
    opaque: Option<(usize, bool)>,
}

/// Languages of one dimension; equal ones are kept once.
#[derive(Default)]
struct Languages {
    all: Vec<Language>,
    known: HashMap<Language, usize>,
}

impl Languages {
    fn add(&mut self, language: Language) -> usize {
        if let Some(&at) = self.known.get(&language) {
            return at;
        }
        self.all.push(language.clone());
        self.known.insert(language, self.all.len() - 1);
        self.all.len() - 1
    }
}

/// The values that variables were replaced with, by their keys as [`spelled`].
pub(super) type Pinned = BTreeMap<String, Option<String>>;

/// How many regions one statement may fall apart into.
const REGIONS: usize = 256;

/// What a word of a region costs that is kept, in units of the budget.
const REGION: usize = 16;

/// What it costs to compare a caller with a principal, in units of the budget.
const NAME: usize = 4;

/// How much work it may take to find which patterns with variables imply which.
const IMPLICATIONS: usize = super::budget::WORK / 8;

fn too_many() -> Stop {
    Stop::new("Statement", "the statements have too many combinations")
}

#[derive(Default)]
struct Builder<'p> {
    actions: Languages,
    action_seeds: Vec<String>,
    resources: Languages,
    resource_seeds: Vec<String>,
    keys: Vec<Key>,
    key_numbers: HashMap<String, usize>,
    opaque: Vec<Opaque>,
    opaque_numbers: HashMap<String, usize>,
    symbols: Symbols,
    pinned: Option<&'p Pinned>,
}

impl<'p> Builder<'p> {
    fn shape<'a>(
        &mut self,
        statement: &'a Statement,
        version: Version,
        place: (usize, usize),
    ) -> Shape<'a> {
        let patterns = statement.action.patterns();
        self.action_seeds.extend(patterns.iter().flat_map(|p| pattern::action_fillings(p)));
        let action = self.actions.add(patterns.iter().map(|p| pattern::action(p)).collect());
        let resource =
            statement.resource.as_ref().map(|resource| self.resource(resource, version, place));
        let conditions =
            statement.conditions.iter().map(|c| self.condition(c, version, place)).collect();
        Shape { statement, action, resource, conditions }
    }

    fn resource(
        &mut self,
        resource: &Matching<Vec<String>>,
        version: Version,
        place: (usize, usize),
    ) -> (usize, Vec<(usize, usize)>) {
        let (varying, plain): (Vec<&String>, Vec<&String>) =
            resource.patterns().iter().partition(|p| variables::in_resource(p, version));
        let plain_patterns = plain.iter().filter_map(|p| pattern::resource(p, version));
        let language = self.resources.add(plain_patterns.collect());
        self.resource_seeds.extend(plain.iter().map(|p| pattern::resource_filling(p)));
        let mut out = Vec::new();
        for text in varying {
            let widest = variables::widest_resource(text);
            self.resource_seeds.push(pattern::resource_filling(&widest));
            let high = pattern::resource(&widest, version).into_iter().collect();
            let symbolic = self.symbols.resource(text).map(|pattern| vec![pattern]);
            let opaque = self.opaque(Opaque {
                identity: format!("resource {text}"),
                construct: text.clone(),
                place,
                why: VARIABLES,
                group: "resource".to_owned(),
                language: symbolic,
            });
            out.push((self.resources.add(high), opaque));
        }
        (language, out)
    }

    fn condition(
        &mut self,
        condition: &Condition,
        version: Version,
        place: (usize, usize),
    ) -> ConditionShape {
        let name = spelled(&condition.key);
        let known = self.key_numbers.get(&name).copied();
        let key = known.unwrap_or_else(|| {
            let pinned = self.pinned.and_then(|p| p.get(&name)).cloned();
            self.keys.push(Key::new(condition.key.clone(), pinned));
            self.key_numbers.insert(name.clone(), self.keys.len() - 1);
            self.keys.len() - 1
        });
        let (low, high) = variables::bounds(condition, version);
        let opaque = (low != high).then(|| {
            let operator = condition.operator;
            let negated = operator.comparison.is_negated() && operator.set.is_none();
            let positive = if operator.set.is_none() || !operator.comparison.is_negated() {
                positive(operator.comparison)
            } else {
                operator.comparison
            };
            let mut values = condition.values.clone();
            values.sort();
            let comparable = negated || !operator.comparison.is_negated();
            let language = if comparable { self.symbols.condition(condition) } else { None };
            // Some value that hits, or all; that is what wider patterns do too.
            let all = operator.set == Some(SetPrefix::ForAllValues);
            let at = self.opaque(Opaque {
                identity: format!("{version:?} {all} {comparable} {positive:?} {name} {values:?}"),
                construct: format!("{operator} {} {:?}", condition.key, condition.values),
                place,
                why: if variables::in_condition(condition, version) { VARIABLES } else { LETTERS },
                group: format!("{all} {name}"),
                language,
            });
            (at, !negated)
        });
        let key_conditions = &mut self.keys[key];
        let (low, high) = (key_conditions.add(low, version), key_conditions.add(high, version));
        ConditionShape { key, low, high, opaque }
    }

    fn opaque(&mut self, opaque: Opaque) -> usize {
        let known = self.opaque_numbers.get(&opaque.identity).copied();
        known.unwrap_or_else(|| {
            self.opaque_numbers.insert(opaque.identity.clone(), self.opaque.len());
            self.opaque.push(opaque);
            self.opaque.len() - 1
        })
    }
}

/// The comparison that this one is the opposite of, or the same as.
const fn positive(comparison: C) -> C {
    match comparison {
        C::StringNotEquals => C::StringEquals,
        C::StringNotEqualsIgnoreCase => C::StringEqualsIgnoreCase,
        C::StringNotLike => C::StringLike,
        C::ArnEquals | C::ArnNotEquals | C::ArnNotLike => C::ArnLike,
        other => other,
    }
}

impl Space {
    /// The space of these documents, of which those after the first have the statements that narrow
    /// the question.
    pub fn new(
        documents: &[&Document],
        accounts: &[AccountId],
        pinned: Option<&Pinned>,
        budget: &Budget,
    ) -> Result<Self, Stop> {
        let mut builder = Builder { pinned, ..Builder::default() };
        let mut shapes: Vec<Vec<Shape<'_>>> = Vec::new();
        for (at, document) in documents.iter().enumerate() {
            let statements = document.statements.iter().enumerate();
            shapes.push(
                statements
                    .map(|(s, statement)| builder.shape(statement, document.version, (at, s)))
                    .collect(),
            );
        }
        let callers = principal::callers(documents, accounts);
        let actions = automaton::sample(
            &pattern::actions(),
            &builder.actions.all,
            &builder.action_seeds,
            budget,
        );
        builder.resource_seeds.push("arn:aws:s3:::example".to_owned());
        let resources = automaton::sample(
            &pattern::resources(),
            &builder.resources.all,
            &builder.resource_seeds,
            budget,
        );
        let mut missing = (!callers.is_complete)
            .then(|| Stop::new("Principal", "its principals have too many combinations"));
        for (element, samples) in [("Action", &actions), ("Resource", &resources)] {
            if !samples.is_complete {
                missing = Some(Stop::new(element, "its patterns have too many combinations"));
            }
        }
        let mut points = Vec::new();
        for key in &builder.keys {
            let (of_key, incomplete) = key.points(budget);
            points.push(of_key);
            missing = missing.or(incomplete);
        }

        let callers = callers.all;
        let sizes: Vec<usize> = [callers.len(), actions.texts.len(), resources.texts.len()]
            .into_iter()
            .chain(points.iter().map(Vec::len))
            .chain(builder.opaque.iter().map(|_| 2))
            .collect();
        let dimensions = Dimensions { sizes, callers, actions, resources, points };
        let size = dimensions.whole().size();
        let mut regions = Vec::new();
        for shapes in &shapes {
            let mut own = Regions::default();
            for shape in shapes {
                let principals = shape.statement.principal.as_ref();
                let patterns = principals.map_or(0, |principal| principal.patterns().len());
                let names = dimensions.callers.len() * patterns * NAME;
                budget.take(names).map_err(|Spent| too_many())?;
                let list = match shape.statement.effect {
                    Effect::Allow => &mut own.allow,
                    Effect::Deny => &mut own.deny,
                };
                let of_statement = dimensions.regions(shape)?;
                // They are held in memory all at once.
                budget.take(of_statement.len() * size * REGION).map_err(|Spent| too_many())?;
                list.extend(of_statement);
            }
            regions.push(own);
        }
        let impossible = dimensions.impossible(&builder.opaque, &budget.share(IMPLICATIONS));
        let names = builder.keys.into_iter().map(|key| key.name);
        Ok(Self {
            callers: dimensions.callers,
            actions: dimensions.actions.texts,
            resources: dimensions.resources.texts,
            keys: names.zip(dimensions.points).collect(),
            opaque: builder.opaque,
            regions,
            impossible,
            missing,
        })
    }

    /// All of it, but for callers that are not asked about, and doubtful points if only sure ones are.
    pub fn whole(&self, who: impl Fn(&Caller) -> bool, only_sure: bool) -> Region {
        let callers = Bits::of(self.callers.len(), |at| {
            let caller = &self.callers[at];
            who(caller) && !(only_sure && caller.principal.is_none())
        });
        let mut out = vec![callers, Bits::all(self.actions.len()), Bits::all(self.resources.len())];
        for (_, points) in &self.keys {
            out.push(Bits::of(points.len(), |at| !only_sure || points[at].doubt.is_none()));
        }
        out.extend(self.opaque.iter().map(|_| Bits::all(2)));
        Region(out)
    }

    /// A point of `within` that the first document allows and, if there is a second, it does not.
    pub fn find(
        &self,
        within: &[Region],
        allows: usize,
        unless: Option<usize>,
        budget: &Budget,
    ) -> Result<Option<Vec<usize>>, Spent> {
        let own = &self.regions[allows];
        let denied: Vec<&Region> = own.deny.iter().chain(&self.impossible).collect();
        let other = unless.map(|at| &self.regions[at]);
        for within in within {
            for allow in &own.allow {
                budget.take(allow.size())?;
                let mut region = allow.clone();
                region.retain(within);
                if region.is_empty() {
                    continue;
                }
                let mut covers = denied.clone();
                covers.extend(other.iter().flat_map(|other| &other.allow));
                if let Some(point) = uncovered(region.clone(), &covers, budget)? {
                    return Ok(Some(point));
                }
                for deny in other.iter().flat_map(|other| &other.deny) {
                    let mut region = region.clone();
                    region.retain(deny);
                    if let Some(point) = uncovered(region, &denied, budget)? {
                        return Ok(Some(point));
                    }
                }
            }
        }
        Ok(None)
    }
}

struct Dimensions {
    sizes: Vec<usize>,
    callers: Vec<Caller>,
    actions: Samples,
    resources: Samples,
    points: Vec<Vec<Point>>,
}

const CALLER: usize = 0;
const ACTION: usize = 1;
const RESOURCE: usize = 2;
const FIRST_KEY: usize = 3;

impl Dimensions {
    fn whole(&self) -> Region {
        Region(self.sizes.iter().map(|size| Bits::all(*size)).collect())
    }

    fn opaque(&self, at: usize) -> usize {
        FIRST_KEY + self.points.len() + at
    }

    /// The regions whose union is the statement.
    fn regions(&self, shape: &Shape<'_>) -> Result<Vec<Region>, Stop> {
        let mut first = self.whole();
        first.0[CALLER] = principal::named(shape.statement, &self.callers);
        let actions = &self.actions.members[shape.action];
        keep(&mut first.0[ACTION], actions, matches!(shape.statement.action, Matching::These(_)));
        let mut out = vec![first];
        if let Some((plain, varying)) = &shape.resource {
            let these = matches!(shape.statement.resource, Some(Matching::These(_)));
            out = self.resources(out, *plain, varying, these)?;
        }
        for condition in &shape.conditions {
            out = self.condition(out, condition);
            out.retain(|region| !region.is_empty());
            if out.len() > REGIONS {
                return Err(Stop::new("Condition", "its variables have too many combinations"));
            }
        }
        out.retain(|region| !region.is_empty());
        Ok(out)
    }

    fn resources(
        &self,
        regions: Vec<Region>,
        plain: usize,
        varying: &[(usize, usize)],
        these: bool,
    ) -> Result<Vec<Region>, Stop> {
        let too_many = || Stop::new("Resource", "its variables have too many combinations");
        let members = &self.resources.members;
        let mut out = Vec::new();
        if these {
            if varying.len() > REGIONS {
                return Err(too_many());
            }
            for region in &regions {
                let mut sure = region.clone();
                sure.0[RESOURCE].retain(&members[plain]);
                out.push(sure);
                for &(high, opaque) in varying {
                    let mut maybe = region.clone();
                    maybe.0[RESOURCE].retain(&members[high]);
                    maybe.0[RESOURCE].remove(&members[plain]);
                    maybe.0[self.opaque(opaque)] = Bits::of(2, |truth| truth == 1);
                    out.push(maybe);
                }
            }
            return Ok(out);
        }
        // Not the plain ones, and of each other one: not within its bounds, or within them and not it.
        out = regions;
        out.iter_mut().for_each(|region| region.0[RESOURCE].remove(&members[plain]));
        for &(high, opaque) in varying {
            let split = |region: Region| {
                let (mut outside, mut inside) = (region.clone(), region);
                outside.0[RESOURCE].remove(&members[high]);
                inside.0[RESOURCE].retain(&members[high]);
                inside.0[self.opaque(opaque)] = Bits::of(2, |truth| truth == 0);
                [outside, inside]
            };
            out = out.into_iter().flat_map(split).filter(|region| !region.is_empty()).collect();
            if out.len() > REGIONS {
                return Err(too_many());
            }
        }
        Ok(out)
    }

    fn condition(&self, regions: Vec<Region>, condition: &ConditionShape) -> Vec<Region> {
        let points = &self.points[condition.key];
        let dimension = FIRST_KEY + condition.key;
        let holds = |c: usize| Bits::of(points.len(), |at| points[at].holds.contains(c));
        let (low, high) = (holds(condition.low), holds(condition.high));
        let mut sure = low.clone();
        sure.retain(&high);
        let Some((opaque, truth)) = condition.opaque else {
            let narrow = |mut region: Region| {
                region.0[dimension].retain(&sure);
                region
            };
            return regions.into_iter().map(narrow).collect();
        };
        let mut maybe = low;
        maybe.extend(&high);
        maybe.remove(&sure);
        let split = |region: Region| {
            let (mut first, mut second) = (region.clone(), region);
            first.0[dimension].retain(&sure);
            second.0[dimension].retain(&maybe);
            second.0[self.opaque(opaque)].retain(&Bits::of(2, |at| (at == 1) == truth));
            [first, second]
        };
        regions.into_iter().flat_map(split).collect()
    }

    /// What cannot be: that a narrow pattern matches and a wider one does not. Where there is no work
    /// left to find it out, more is thought possible than is.
    fn impossible(&self, opaque: &[Opaque], budget: &Budget) -> Vec<Region> {
        let mut groups: BTreeMap<&str, Vec<(usize, &Language)>> = BTreeMap::new();
        for (at, opaque) in opaque.iter().enumerate() {
            if let Some(language) = &opaque.language {
                groups.entry(&opaque.group).or_default().push((at, language));
            }
        }
        let pairs = groups.values().flat_map(|group| {
            group.iter().flat_map(|narrow| group.iter().map(move |wide| (narrow, wide)))
        });
        let size = self.whole().size();
        let mut out = Vec::new();
        for (&(a, narrow), &(b, wide)) in pairs.take_while(|_| budget.take(1).is_ok()) {
            if a != b
                && variables::implies(narrow, wide, budget)
                && budget.take(size * REGION).is_ok()
            {
                let mut region = self.whole();
                region.0[self.opaque(a)] = Bits::of(2, |truth| truth == 1);
                region.0[self.opaque(b)] = Bits::of(2, |truth| truth == 0);
                out.push(region);
            }
        }
        out
    }
}

fn keep(bits: &mut Bits, members: &Bits, these: bool) {
    if these { bits.retain(members) } else { bits.remove(members) }
}
