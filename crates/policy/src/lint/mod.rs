//! IAM Access Analyzer's `ValidatePolicy`: what is wrong, risky or needless in a policy, with AWS's
//! codes and words, and the place in the text.
//!
//! A document is read into a tree that knows where each part stands (`tree`), seen as a policy
//! (`view`), and handed to every check of its kind. A check is a function in a row of its family's
//! table, with its code and its rule; [`implemented`] lists the rows, [`NOT_BUILT`] what AWS has
//! beside them, and why it is not here. What AWS's services have comes from the [reference].
//!
//! AWS publishes what its checks report, but not how they find it. Where its page leaves that open,
//! a check stays silent rather than call a working policy an error.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html>
//!
//! [reference]: crate::reference
//!
//! ```
//! use ringfence_policy::lint::{PolicyKind, lint};
//!
//! let findings = lint(
//!     r#"{"Version": "2012-10-17", "Statement": {
//!         "Effect": "Allow", "Action": "iam:PassRole", "Resource": "*"}}"#,
//!     PolicyKind::Identity,
//!     None,
//! );
//! assert_eq!(findings[0].code, "PASS_ROLE_WITH_STAR_IN_RESOURCE");
//! assert_eq!(findings[0].locations[0].span.start.line, 2);
//! ```

mod actions;
mod addresses;
mod conditions;
mod empty;
mod facts;
mod finding;
mod formats;
mod grammar;
mod keys;
mod not_built;
mod organizations;
mod passing;
pub(crate) mod pattern;
mod principals;
mod redundancy;
pub mod report;
mod resources;
mod security;
mod size;
mod tags;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
mod trust;
mod values;
mod variables;
mod view;
mod wildcards;

pub use finding::{Class, Finding, Location, PathElement, Position, Span, response};
pub use not_built::NOT_BUILT;

use std::fmt;
use tree::{Lines, Node, Place};
use view::Policy;

/// Where a policy is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Attached to a user, group or role, or a session or boundary policy.
    Identity,
    /// Attached to a resource.
    Resource,
    /// A service control policy of an organization.
    ServiceControl,
    /// A resource control policy of an organization.
    ResourceControl,
    /// A role's trust policy.
    Trust,
}

use PolicyKind::{Identity, Resource, ResourceControl, ServiceControl, Trust};

/// Every kind.
const ALL: &[PolicyKind] = &[Identity, Resource, ServiceControl, ResourceControl, Trust];
/// The kinds whose statements have resources.
const WITH_RESOURCES: &[PolicyKind] = &[Identity, Resource, ServiceControl, ResourceControl];
/// The kinds whose statements have principals.
const WITH_PRINCIPALS: &[PolicyKind] = &[Resource, ResourceControl, Trust];
/// The kinds that name principals; a resource control policy can only name all.
const NAMING_PRINCIPALS: &[PolicyKind] = &[Resource, Trust];

/// A check: what it reports, for which policies, and how it finds it.
struct Check {
    code: &'static str,
    class: Class,
    kinds: &'static [PolicyKind],
    rule: &'static str,
    run: Run,
}

type Run = fn(&Policy<'_>, &mut Sink<'_>);

impl Check {
    const fn new(
        class: Class,
        code: &'static str,
        kinds: &'static [PolicyKind],
        rule: &'static str,
        run: Run,
    ) -> Self {
        Self { code, class, kinds, rule, run }
    }
}

/// The tables of the families.
const FAMILIES: &[&[Check]] = &[
    grammar::CHECKS,
    empty::CHECKS,
    principals::CHECKS,
    actions::CHECKS,
    resources::CHECKS,
    conditions::CHECKS,
    keys::CHECKS,
    values::CHECKS,
    addresses::CHECKS,
    variables::CHECKS,
    wildcards::CHECKS,
    passing::CHECKS,
    security::CHECKS,
    tags::CHECKS,
    trust::CHECKS,
    organizations::CHECKS,
    redundancy::CHECKS,
    size::CHECKS,
];

fn checks() -> impl Iterator<Item = &'static Check> {
    FAMILIES.iter().copied().flatten()
}

/// A check that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Implemented {
    /// AWS's issue code.
    pub code: &'static str,
    /// How much its findings matter.
    pub class: Class,
    /// The kinds of policies that it looks at.
    pub kinds: &'static [PolicyKind],
    /// When it reports, in a line.
    pub rule: &'static str,
}

impl Implemented {
    /// The section of AWS's page that explains it.
    pub fn link(&self) -> String {
        finding::link(self.class, self.code)
    }
}

/// Every check, in the order in which they run.
pub fn implemented() -> impl Iterator<Item = Implemented> {
    let json = Implemented {
        code: grammar::JSON_SYNTAX_ERROR,
        class: Class::Error,
        kinds: ALL,
        rule: "The document is not JSON, or an object in it has a key twice.",
    };
    let row = |check: &Check| {
        let Check { code, class, kinds, rule, .. } = *check;
        Implemented { code, class, kinds, rule }
    };
    std::iter::once(json).chain(checks().map(row))
}

/// Checks a policy. Findings come in the order of the text.
///
/// `resource_type` is that of the API (`AWS::S3::Bucket`), for resource policies; with
/// `AWS::IAM::AssumeRolePolicyDocument` the policy is a trust policy.
pub fn lint(text: &str, kind: PolicyKind, resource_type: Option<&str>) -> Vec<Finding> {
    let role = kind == Resource && resource_type == Some("AWS::IAM::AssumeRolePolicyDocument");
    let kind = if role { Trust } else { kind };
    let lines = Lines::new(text);
    let root = match tree::read(text) {
        Ok(root) => root,
        Err(at) => {
            let root = Node { at: 0..text.len(), value: tree::Value::Null };
            let mut sink = Sink::new(&root, &lines);
            grammar::json_syntax(&mut sink, &lines, Place::At(at), at);
            return sink.findings;
        }
    };
    let policy = Policy::new(text, &root, kind, resource_type);
    let mut sink = Sink::new(&root, &lines);
    grammar::duplicate_keys(&policy, &mut sink, &lines);
    for check in checks().filter(|check| check.kinds.contains(&kind)) {
        sink.check = (check.class, check.code);
        (check.run)(&policy, &mut sink);
    }
    sink.findings.sort_by_key(|finding| finding.locations.first().map(|l| l.span.start.offset));
    sink.findings
}

/// How much text all findings of a lint may hold, in bytes: a document that was made to have countless
/// findings gets the first of them.
const OUTPUT: usize = 4 << 20;

/// Where checks put what they find.
struct Sink<'a> {
    root: &'a Node,
    lines: &'a Lines<'a>,
    /// The class and the code of the check that runs.
    check: (Class, &'static str),
    findings: Vec<Finding>,
    size: usize,
}

impl<'a> Sink<'a> {
    fn new(root: &'a Node, lines: &'a Lines<'a>) -> Self {
        let check = (Class::Error, grammar::JSON_SYNTAX_ERROR);
        Self { root, lines, check, findings: Vec::new(), size: 0 }
    }

    /// Whether no more findings are taken.
    fn is_full(&self) -> bool {
        self.size > OUTPUT
    }

    /// A finding at one place.
    fn add<'p>(&mut self, place: impl Into<Place<'p>>, message: impl fmt::Display) {
        self.add_all(std::iter::once(place.into()), message);
    }

    /// A finding at several places.
    fn add_all<'p>(
        &mut self,
        places: impl IntoIterator<Item = Place<'p>>,
        message: impl fmt::Display,
    ) {
        if self.is_full() {
            return;
        }
        let (class, code) = self.check;
        let message = message.to_string();
        self.size += message.len() + 256;
        let mut locations = Vec::new();
        for place in places {
            let location = self.lines.locate(self.root, &place);
            self.size += 64 * location.path.len() + location.text_len();
            locations.push(location);
            if self.is_full() {
                break;
            }
        }
        self.findings.push(Finding { class, code, message, locations });
    }
}

impl Location {
    /// The bytes of the keys on its path.
    fn text_len(&self) -> usize {
        let of = |element: &PathElement| match element {
            PathElement::Key(key) | PathElement::Value(key) => key.len(),
            PathElement::Index(_) | PathElement::Substring { .. } => 0,
        };
        self.path.iter().map(of).sum()
    }
}

/// Counts steps of the loops that a document could make long, for the test that bounds them.
#[inline]
fn count(steps: usize) {
    #[cfg(test)]
    tests::STEPS.with(|sum| sum.set(sum.get() + steps as u64));
    #[cfg(not(test))]
    let _ = steps;
}

/// The same name, but for some letters: what a misspelt name was likely meant to be.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let near = 1 + name.len() / 5;
    let distance = |other: &&str| {
        count(name.len() * other.len());
        strsim::osa_distance(&name, &other.to_ascii_lowercase())
    };
    known
        .into_iter()
        .filter(|other| other.len().abs_diff(name.len()) <= near)
        .map(|other| (distance(&other), other))
        .filter(|(distance, _)| *distance <= near)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}
