//! The least privilege that still passes: an identity policy made from the calls that were seen.
//!
//! ```text
//!   Observation ──gather──► by action ──► conditions ──► resources ──► statements ──► documents
//!   action, resource,       and           constant       exact, or     by what they   6,144
//!   keys, allowed?          resource      keys           a pattern     have in common characters
//! ```
//!
//! - `conditions` keeps the keys that were the same whenever an action was used on a resource;
//! - `resources` names them one by one while they are few, and else by a wildcard in the part that
//!   varies, of one resource type and one region and account;
//! - `statements` puts actions with the same resources and conditions together;
//! - `documents` cuts what is too long for one managed policy.
//!
//! At the end every observation is put to the policy: one that is not allowed is told in a note.
//! The same observations in whatever order give the same policy.
//!
//! ```
//! use ringfence_policy::generate::{Generator, Observation, Options};
//!
//! let mut generator = Generator::new(Options::default());
//! generator.observe(Observation::new("s3:GetObject", "arn:aws:s3:::photos/cat.jpg"));
//! generator.observe(Observation::new("s3:ListAllMyBuckets", "*"));
//! let generated = generator.generate();
//! assert_eq!(generated.documents[0]["Statement"][0]["Action"][0], "s3:GetObject");
//! assert_eq!(generated.documents[0]["Statement"][0]["Resource"], "arn:aws:s3:::photos/cat.jpg");
//! assert_eq!(generated.documents[0]["Statement"][1]["Resource"], "*");
//! ```

pub mod cloudtrail;
mod conditions;
mod documents;
mod formats;
mod replay;
mod resources;
mod statements;
#[cfg(test)]
mod tests;
mod widen;

use crate::{Arn, reference};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Condition keys with their values.
pub type Keys = BTreeMap<String, Vec<String>>;

/// One question to the policies that was seen, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Observation {
    /// `s3:GetObject`.
    pub action: String,
    /// An ARN, or `*` where the action was asked for without a resource.
    pub resource: String,
    /// The condition keys of the request that are known, the global ones among them.
    pub keys: Keys,
    /// Whether it was allowed.
    pub allowed: bool,
}

impl Observation {
    /// An action that was allowed on a resource, of which no keys are known.
    pub fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        let (action, resource) = (action.into(), resource.into());
        Self { action, resource, keys: Keys::new(), allowed: true }
    }

    /// The same with a condition key of one value.
    pub fn key(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.keys.insert(key.into(), vec![value.into()]);
        self
    }
}

/// What kind of policy is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// Allow what was denied, too.
    pub denied: bool,
    /// Limit statements to the values that the services' own keys had, `iam:PassedToService` for one.
    pub conditions: bool,
    /// The global keys that statements are limited to as well: `aws:RequestedRegion`.
    pub global_keys: BTreeSet<&'static str>,
    /// Up to how many resources of one type are named one by one; more are where they share a part of
    /// their names. `usize::MAX` names all.
    pub few: usize,
    /// The longest document, in characters that are no blanks.
    pub longest: usize,
    /// The most different observations that are kept. More are counted, and not in the policy.
    pub most: usize,
}

/// The characters of a managed policy, blanks not counted.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
pub const MANAGED_POLICY: usize = 6_144;

/// The global keys that a generated policy can be limited to.
pub const GLOBAL_KEYS: [&str; 4] =
    ["aws:RequestedRegion", "aws:SourceIp", "aws:SecureTransport", "aws:MultiFactorAuthPresent"];

/// Most notes on single calls that are kept.
const MOST_NOTES: usize = 1_000;

/// Actions that are for one service by a condition on a key.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>
const OF_ONE_SERVICE: [(&str, &str); 2] = [
    ("iam:PassRole", "iam:PassedToService"),
    ("iam:CreateServiceLinkedRole", "iam:AWSServiceName"),
];

impl Default for Options {
    fn default() -> Self {
        Self {
            denied: false,
            conditions: true,
            global_keys: BTreeSet::new(),
            few: 5,
            longest: MANAGED_POLICY,
            most: 1_000_000,
        }
    }
}

/// What was made.
#[derive(Debug, Clone, Default)]
pub struct Generated {
    /// The policies; together they allow what was seen. None where nothing was.
    pub documents: Vec<Value>,
    /// How many different questions they answer.
    pub observations: usize,
    /// How many questions were seen, repeated ones included.
    pub seen: u64,
    /// What a reader should know, in a fixed order.
    pub notes: Vec<Note>,
}

/// What is not plain from the policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// Questions that were denied, and are left out: the action, and how many.
    Denied(String, u64),
    /// What is no action or no resource in a policy, and is left out.
    Malformed(String, String),
    /// AWS's reference does not know the action: its resources are named one by one.
    UnknownAction(String),
    /// The action was asked for without a resource, and AWS lists resources for it: it is allowed on all.
    OnEverything(String),
    /// A wildcard, the action that it is for, and how many resources of those seen it stands for.
    Widened(String, String, usize),
    /// A condition key whose values varied too much for a condition: the action and the key.
    Varied(String, String),
    /// A question that the policy does not allow: the action and the resource.
    NotAllowed(String, String),
    /// More different questions than are kept; these many were passed over.
    TooMany(u64),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(action, n) => write!(f, "left out: {action}, denied {n} times"),
            Self::Malformed(action, resource) => {
                let (action, resource) = (action.escape_debug(), resource.escape_debug());
                write!(f, "left out: `{action}` on `{resource}`, which no policy can say")
            }
            Self::UnknownAction(action) => {
                write!(f, "{action}: AWS's reference has no such action; its resources are exact")
            }
            Self::OnEverything(action) => {
                write!(f, "{action}: asked for without a resource, and so allowed on all")
            }
            Self::Widened(pattern, action, n) => {
                write!(f, "{action}: {pattern} stands for {n} resources")
            }
            Self::Varied(action, key) => {
                write!(f, "{action}: {key} had too many values for a condition")
            }
            Self::NotAllowed(action, resource) => {
                write!(f, "NOT ALLOWED by the policy: {action} on {resource}")
            }
            Self::TooMany(n) => write!(f, "left out: {n} calls, past the limit of different ones"),
        }
    }
}

/// Gathers observations, and makes the policy.
#[derive(Debug)]
pub struct Generator {
    options: Options,
    /// Action, resource, and each set of keys that they were seen with.
    gathered: BTreeMap<String, BTreeMap<String, BTreeSet<Keys>>>,
    kept: usize,
    seen: u64,
    denied: BTreeMap<String, u64>,
    notes: BTreeSet<Note>,
    passed_over: u64,
}

impl Generator {
    /// One that has seen nothing.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            gathered: BTreeMap::new(),
            kept: 0,
            seen: 0,
            denied: BTreeMap::new(),
            notes: BTreeSet::new(),
            passed_over: 0,
        }
    }

    /// Takes an observation in.
    pub fn observe(&mut self, observation: Observation) {
        let Observation { action, resource, keys, allowed } = observation;
        self.seen += 1;
        if !is_action(&action) || !is_resource(&resource) {
            // Each is a note, and there must be an end to them.
            if self.notes.len() < 1_000 {
                self.notes.insert(Note::Malformed(action, resource));
            }
            return;
        }
        let known = reference::action(&action);
        let action = known.map_or(action, reference::Action::full_name);
        if !allowed && !self.options.denied {
            *self.denied.entry(action).or_default() += 1;
            return;
        }
        // Of an action that has none the resource says nothing.
        let none = known.is_some_and(|action| action.resource_types().next().is_none());
        let resource = if none { "*".to_owned() } else { resource };
        let keys = conditions::usable(known, &self.options, keys);
        // A value of these that no condition can say leaves out its call, and never the condition:
        // whoever is watched could else take the condition away by one such call.
        let odd = |key: &str, all: &[String]| {
            all.is_empty() || !all.iter().all(|value| conditions::is_plain(key, value))
        };
        if keys.iter().any(|(key, all)| conditions::guards(key) && odd(key, all)) {
            if self.notes.len() < MOST_NOTES {
                self.notes.insert(Note::Malformed(action, resource));
            }
            return;
        }
        let known = self.gathered.get(&action).and_then(|all| all.get(&resource));
        if known.is_some_and(|all| all.contains(&keys)) {
            return;
        }
        if self.kept >= self.options.most {
            self.passed_over += 1;
            return;
        }
        self.gathered.entry(action).or_default().entry(resource).or_default().insert(keys);
        self.kept += 1;
    }

    /// How many questions were passed over, there being too many different ones.
    pub fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// The policy of what was seen.
    pub fn generate(self) -> Generated {
        let Self { options, gathered, kept, seen, denied, mut notes, passed_over } = self;
        notes.extend(denied.into_iter().map(|(action, n)| Note::Denied(action, n)));
        if passed_over > 0 {
            notes.insert(Note::TooMany(passed_over));
        }
        let mut grants = statements::Grants::default();
        for (action, seen) in &gathered {
            let known = reference::action(action);
            if known.is_none() {
                notes.insert(Note::UnknownAction(action.clone()));
            } else if seen.contains_key("*")
                && known.is_some_and(|known| known.resource_types().next().is_some())
            {
                notes.insert(Note::OnEverything(action.clone()));
            }
            for (under, resources) in conditions::constant(action, seen, &mut notes) {
                // Without it, a pattern would be of roles for whatever service.
                let mut of_one = OF_ONE_SERVICE.iter();
                let exact = of_one.any(|(name, key)| action == name && !under.contains_key(*key));
                let few = if exact { usize::MAX } else { options.few };
                let patterns = resources::named(known, &resources, few);
                notes.extend(patterns.iter().filter(|named| named.stands_for > 1).map(|named| {
                    Note::Widened(named.pattern.clone(), action.clone(), named.stands_for)
                }));
                let patterns = patterns.into_iter().map(|named| named.pattern).collect();
                grants.add(action, patterns, under);
            }
        }
        let documents = documents::of(grants.statements(), options.longest);
        let replay = replay::Replay::of(&documents);
        for (action, resource, keys) in each(&gathered) {
            if !replay.allows(action, resource, keys) {
                notes.insert(Note::NotAllowed(action.to_owned(), resource.to_owned()));
            }
        }
        Generated { documents, observations: kept, seen, notes: notes.into_iter().collect() }
    }
}

fn each(
    gathered: &BTreeMap<String, BTreeMap<String, BTreeSet<Keys>>>,
) -> impl Iterator<Item = (&str, &str, &Keys)> {
    gathered.iter().flat_map(|(action, resources)| {
        resources.iter().flat_map(move |(resource, all)| {
            all.iter().map(move |keys| (&**action, &**resource, keys))
        })
    })
}

/// Whether a text is a whole action.
fn is_action(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    text.len() <= 256
        && text.split_once(':').is_some_and(|(vendor, name)| plain(vendor) && plain(name))
}

/// Whether a text is a resource as a policy may name one: `*`, or an ARN of plain text whose first
/// parts are no patterns.
fn is_resource(text: &str) -> bool {
    let head = |arn: &Arn<'_>| {
        let parts = [arn.partition, arn.service, arn.region, arn.account];
        !arn.partition.is_empty()
            && !arn.service.is_empty()
            && !arn.resource.is_empty()
            && parts
                .iter()
                .all(|part| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)))
    };
    text == "*"
        || (text.len() <= 2_048
            && !text.chars().any(char::is_control)
            && Arn::parse(text).is_ok_and(|arn| head(&arn)))
}
