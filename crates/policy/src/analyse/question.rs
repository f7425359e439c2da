//! A question about documents, and the way to its answer.
//!
//! 1. The space of requests is searched for a point that answers the question. There every pattern
//!    with variables may match or not, and every doubtful point counts: none found is a proof.
//! 2. A point found is made a request and put to the evaluator. If it is what the question asks for,
//!    it is the answer.
//! 3. Else the search goes on where nothing is in doubt: among the sure points, and with chosen values
//!    for the variables.
//! 4. What is left is undecided, and named.

use super::budget::{Budget, WORK};
use super::key::spelled;
use super::principal::{self, Caller};
use super::space::{Pinned, Space};
use super::{Answer, Side, Stop, Undecided, Witness, variables};
use crate::AccountId;
use crate::context::{Context, Values};
use crate::document::{Document, Effect, Version};
use crate::evaluate::{self, PolicySet, Principal, Request, ResourcePolicy, decide};
use crate::parse::Kind;
use std::collections::BTreeMap;

/// What is asked: is there a request that `allows` allows and `unless` does not, of one of these
/// callers, and to which one of the statements of `within` applies?
pub(super) struct Question<'a> {
    pub kind: Kind,
    pub allows: &'a Document,
    pub unless: Option<&'a Document>,
    /// A document whose statements narrow the question, if it has any.
    pub within: Document,
    /// Accounts that matter besides those of the documents.
    pub accounts: &'a [AccountId],
    pub who: &'a dyn Fn(&Caller) -> bool,
    /// What the documents are called in an answer.
    pub sides: [Side; 2],
}

/// How many choices of values for variables are tried.
const CHOICES: usize = 24;

/// The resource of a request that no statement asks about: trust policies have none.
const ROLE: &str = "arn:aws:iam::111122223333:role/example";

/// Whether a document, alone, allows a request: one of its statements allows it and none denies it.
pub(super) fn allowed(document: &Document, kind: Kind, request: &Request<'_>) -> bool {
    if matches!(kind, Kind::Identity | Kind::Managed) {
        if request.principal.account().is_none() || matches!(request.principal, Principal::Root(_))
        {
            // No identity policy is theirs, and the decision does not look for one.
            let mut effects = document
                .statements
                .iter()
                .filter(|statement| evaluate::matches(request, document, statement).is_some())
                .map(|statement| statement.effect)
                .peekable();
            return effects.peek().is_some() && effects.all(|effect| effect == Effect::Allow);
        }
        let set = PolicySet { identity: vec![document], ..PolicySet::default() };
        // An identity policy is that of whoever asks, in one account.
        let account = request.principal.account().unwrap_or(request.resource_account);
        return decide(&Request { resource_account: account, ..*request }, &set).is_allowed();
    }
    // Nothing else stands in for a trust policy, and nothing else limits it here.
    let mut full = Document::new(Version::V2012, None, Vec::new());
    full.statements.push(super::full_access());
    let set = PolicySet {
        identity: vec![&full],
        resource: Some(ResourcePolicy::Trust(document)),
        ..PolicySet::default()
    };
    decide(request, &set).is_allowed()
}

impl Question<'_> {
    /// Whether a request is what the question asks for, by the evaluator.
    fn is_answered_by(&self, witness: &Witness) -> bool {
        let request = witness.request();
        allowed(self.allows, self.kind, &request)
            && self.unless.is_none_or(|unless| !allowed(unless, self.kind, &request))
            && (self.within.statements.is_empty()
                || self.within.statements.iter().any(|statement| {
                    evaluate::matches(&request, &self.within, statement).is_some()
                }))
    }

    fn documents(&self) -> Vec<&Document> {
        std::iter::once(self.allows).chain(self.unless).chain([&self.within]).collect()
    }

    pub fn answer(&self) -> Answer {
        self.answer_within(&Budget::new(WORK))
    }

    pub fn answer_within(&self, budget: &Budget) -> Answer {
        self.decide(budget).unwrap_or_else(|stop| Answer::Undecided(self.undecided(stop)))
    }

    fn decide(&self, budget: &Budget) -> Result<Answer, Stop> {
        let documents = self.documents();
        let mut variables = BTreeMap::new();
        for document in &documents {
            variables.extend(variables::keys(document));
            variables.extend(variables::keys_beyond_ascii(document));
        }
        self.refuse_unique_ids(&variables)?;

        let space = Space::new(&documents, self.accounts, None, budget)?;
        let Some(first) = self.search(&space, false, budget)? else {
            return space.missing.map_or(Ok(Answer::Proved), Err);
        };
        if let Some(witness) = self.confirmed(&space, &first, None) {
            return Ok(Answer::Counterexample(Box::new(witness)));
        }
        let stop = doubt(&space, &first);
        // What follows looks for requests only: where it cannot, nothing is lost but the request.
        if let Ok(Some(point)) = self.search(&space, true, budget)
            && let Some(witness) = self.confirmed(&space, &point, None)
        {
            return Ok(Answer::Counterexample(Box::new(witness)));
        }
        if !variables.is_empty() {
            for pinned in choices(&variables, &documents) {
                if budget.left() == 0 {
                    break;
                }
                if let Some(witness) = self.with_values(&documents, &variables, &pinned, budget) {
                    return Ok(Answer::Counterexample(Box::new(witness)));
                }
            }
        }
        Err(stop)
    }

    /// A unique id is a fact of the caller and of `aws:userid` both.
    fn refuse_unique_ids(&self, variables: &BTreeMap<String, String>) -> Result<(), Stop> {
        let documents = self.documents();
        let mut conditions = documents
            .iter()
            .flat_map(|document| &document.statements)
            .flat_map(|statement| &statement.conditions);
        let used = conditions.any(|condition| condition.key.eq_ignore_ascii_case("aws:userid"))
            || variables.contains_key("aws:userid");
        if used && principal::names_unique_ids(&documents) {
            return Err(Stop::at_key(
                "aws:userid",
                "the documents name principals by unique ids and look at `aws:userid` too",
            ));
        }
        Ok(())
    }

    fn search(
        &self,
        space: &Space,
        only_sure: bool,
        budget: &Budget,
    ) -> Result<Option<Vec<usize>>, Stop> {
        let whole = space.whole(self.who, only_sure);
        let unless = self.unless.map(|_| 1);
        let narrow = &space.regions[1 + usize::from(self.unless.is_some())];
        let mut within = narrow.allow.clone();
        within.iter_mut().for_each(|region| region.retain(&whole));
        if self.within.statements.is_empty() {
            within.push(whole);
        }
        space
            .find(&within, 0, unless, budget)
            .map_err(|_| Stop::new("Statement", "the statements overlap in too many ways"))
    }

    /// Searches with these values for the variables.
    fn with_values(
        &self,
        documents: &[&Document],
        variables: &BTreeMap<String, String>,
        pinned: &Pinned,
        budget: &Budget,
    ) -> Option<Witness> {
        let mut context = Context::default();
        for (key, value) in pinned {
            if let (Some(value), Some(name)) = (value, variables.get(key)) {
                context.set(name.clone(), value.as_str());
            }
        }
        let grounded: Vec<Document> =
            documents.iter().map(|document| variables::ground(document, &context)).collect();
        let grounded: Vec<&Document> = grounded.iter().collect();
        let space = Space::new(&grounded, self.accounts, Some(pinned), budget).ok()?;
        let point = self.search(&space, false, budget).ok()??;
        self.confirmed(&space, &point, Some(&context)).or_else(|| {
            let point = self.search(&space, true, budget).ok()??;
            self.confirmed(&space, &point, Some(&context))
        })
    }

    /// The request of a point, if it is one and the evaluator agrees.
    fn confirmed(
        &self,
        space: &Space,
        point: &[usize],
        values: Option<&Context>,
    ) -> Option<Witness> {
        let caller = &space.callers[point[0]];
        let principal = caller.principal.clone()?;
        let mut context = values.cloned().unwrap_or_default();
        if let Some(id) = &caller.unique_id {
            context.set("aws:userid", id.as_str());
        }
        for ((name, points), at) in space.keys.iter().zip(&point[3..]) {
            if points[*at].doubt.is_some() {
                return None;
            }
            match &points[*at].values {
                Some(Values::One(value)) => context.set(name.clone(), value.as_str()),
                Some(Values::Many(values)) => context.set_many(name.clone(), values.clone()),
                None => {}
            }
        }
        tell_apart(&mut context, space.keys.iter().map(|(name, _)| name.as_str()));
        let trust = self.documents().iter().all(|document| {
            document.statements.iter().all(|statement| statement.resource.is_none())
        });
        let resource = if trust { ROLE.to_owned() } else { space.resources[point[2]].clone() };
        let witness = Witness {
            resource_account: principal::owner(&resource, &principal),
            principal,
            action: space.actions[point[1]].clone(),
            resource,
            context,
        };
        self.is_answered_by(&witness).then_some(witness)
    }

    /// Where the construct that stopped the analysis stands.
    fn undecided(&self, stop: Stop) -> Undecided {
        let documents = self.documents();
        let construct = spelled(&stop.construct);
        let place = stop.place.or_else(|| {
            documents.iter().enumerate().find_map(|(at, document)| {
                let names = |statement: &crate::document::Statement| {
                    statement.conditions.iter().any(|c| spelled(&c.key) == construct)
                };
                Some((at, document.statements.iter().position(names)?))
            })
        });
        let side = |at: usize| self.sides.get(at).copied().filter(|_| at + 1 < documents.len());
        Undecided {
            document: place.and_then(|(at, _)| side(at)).unwrap_or(self.sides[0]),
            statement: place.filter(|(at, _)| side(*at).is_some()).map(|(_, statement)| statement),
            construct: stop.construct,
            why: stop.why.to_owned(),
        }
    }
}

/// Adds tags so that a key without a value is absent where another spelling of it has one: a lone
/// spelling is read for every other, of several none is.
fn tell_apart<'a>(context: &mut Context, keys: impl Iterator<Item = &'a str> + Clone) {
    for absent in keys.clone().filter(|key| key.contains('/')) {
        if context.get(absent).is_none() {
            continue;
        }
        if context.iter().any(|(known, _)| spelled(known) == spelled(absent)) {
            continue;
        }
        let tag = absent.find('/').map_or(absent.len(), |slash| slash + 1);
        let letters = absent.char_indices().filter(|(at, c)| *at >= tag && c.is_ascii_alphabetic());
        let mut others = letters.map(|(at, c)| {
            let other = if c.is_ascii_lowercase() {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            };
            [&absent[..at], &other.to_string(), &absent[at + 1..]].concat()
        });
        let is_free = |other: &String| {
            keys.clone().all(|key| spelled(key) != spelled(other))
                && context.iter().all(|(known, _)| spelled(known) != spelled(other))
        };
        if let Some(other) = others.find(is_free) {
            context.set(other, "other");
        }
    }
}

/// What makes a point no sure request.
fn doubt(space: &Space, point: &[usize]) -> Stop {
    for ((name, points), at) in space.keys.iter().zip(&point[3..]) {
        if let Some(why) = points[*at].doubt {
            return Stop::at_key(name, why);
        }
    }
    let caller = &space.callers[point[0]];
    if caller.principal.is_none() {
        return Stop::new(
            format!("CanonicalUser {}", caller.canonical.as_deref().unwrap_or_default()),
            "whom an id of S3 names is not known",
        );
    }
    match space.opaque.first() {
        Some(opaque) => {
            Stop { construct: opaque.construct.clone(), place: Some(opaque.place), why: opaque.why }
        }
        None => Stop::new("Statement", "the evaluator does not agree with the analysis"),
    }
}

/// Values to try for the variables, the most natural first.
fn choices(variables: &BTreeMap<String, String>, documents: &[&Document]) -> Vec<Pinned> {
    let usual = |key: &str| match key {
        _ if key.ends_with("account") => "111122223333".to_owned(),
        _ if key.ends_with("orgid") => "o-example1234".to_owned(),
        _ => "example".to_owned(),
    };
    let of = |value: &dyn Fn(usize, &str) -> Option<String>| -> Pinned {
        let keys = variables.keys().enumerate();
        keys.map(|(at, key)| (key.clone(), value(at, key))).collect()
    };
    let base = of(&|_, key| Some(usual(key)));
    let mut out = vec![
        base.clone(),
        // Each another, and none that the documents are likely to hold.
        of(&|at, _| Some(format!("other{at}"))),
        of(&|_, _| None),
    ];
    for key in variables.keys() {
        let mut without = base.clone();
        without.insert(key.clone(), None);
        out.push(without);
        // What the documents compare the key with.
        let conditions = documents
            .iter()
            .flat_map(|document| &document.statements)
            .flat_map(|statement| &statement.conditions)
            .filter(|condition| spelled(&condition.key) == *key);
        for value in conditions.flat_map(|condition| &condition.values) {
            let value = value.replace('*', "example").replace('?', "x");
            // A colon would cut an ARN where the variable does not.
            if !value.contains([':', '$']) {
                let mut with = base.clone();
                with.insert(key.clone(), Some(value));
                out.push(with);
            }
        }
    }
    out.dedup();
    out.truncate(CHOICES);
    out
}
