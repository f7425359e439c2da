//! What permissions policies may allow: for some resource, under some conditions.
//!
//! Conditions restrict nothing here, neither of what allows nor of what denies: only a denial without
//! conditions that covers all that a statement allows takes it away. AWS's reports have been seen to
//! do so.

use ringfence_policy::document::{Effect, Matching, Statement};
use ringfence_policy::reference::{Action, Service};
use ringfence_policy::{Document, is_like};
use std::cell::Cell;

/// How much work a question is worth, in comparisons of characters and of names. Whoever writes the
/// policies chooses how much they take; when it is spent, everything is taken to be granted, which is
/// what they may allow.
pub(crate) struct Work(Cell<usize>);

impl Work {
    /// Of a question that a serving thread answers: some 20 ms.
    pub fn of_call() -> Self {
        Self(Cell::new(1 << 23))
    }

    /// Of a report that is made aside: a second or so.
    pub fn of_report() -> Self {
        Self(Cell::new(1 << 28))
    }

    /// Takes some; `false` when it is spent.
    fn spend(&self, units: usize) -> bool {
        let left = self.0.get().checked_sub(units);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }
}

/// The statements of some policies, taken together.
pub(crate) struct Granted<'p> {
    allows: Vec<Rule<'p>>,
    denies: Vec<Rule<'p>>,
    /// Action patterns of all of them.
    size: usize,
    work: &'p Work,
}

/// One statement, its actions in lower case and cut at the colon.
struct Rule<'p> {
    actions: Vec<(String, String)>,
    all_but: bool,
    resources: Option<&'p Matching<Vec<String>>>,
}

impl<'p> Granted<'p> {
    pub fn of(documents: impl IntoIterator<Item = &'p Document>, work: &'p Work) -> Self {
        let (mut allows, mut denies) = (Vec::new(), Vec::new());
        for statement in documents.into_iter().flat_map(|document| &document.statements) {
            match statement.effect {
                Effect::Allow => allows.push(Rule::of(statement)),
                Effect::Deny if statement.conditions.is_empty() => denies.push(Rule::of(statement)),
                Effect::Deny => {}
            }
        }
        let size = allows.iter().chain(&denies).map(|rule: &Rule<'_>| rule.actions.len()).sum();
        Self { allows, denies, size, work }
    }

    /// The rules that are about a service at all.
    pub fn within(&self, service: &Service) -> Within<'_> {
        let (work, known) = (self.work, self.work.spend(self.size));
        let about = |rule: &&Rule<'_>| !known || rule.is_about(service.prefix);
        let allows: Vec<_> = self.allows.iter().filter(about).collect();
        let denies: Vec<_> = self.denies.iter().filter(about).collect();
        let size = allows.iter().chain(&denies).map(|rule| rule.actions.len()).sum();
        Within { allows, denies, size, work }
    }

    /// Whether the statements grant something of a service, as `ListPoliciesGrantingServiceAccess`
    /// asks of each policy alone: an action need not be known, and only a denial of the whole service
    /// takes it away.
    pub fn names(&self, service: &Service) -> bool {
        let rules = self.within(service);
        let denied = rules
            .denies
            .iter()
            .any(|rule| rule.is_whole(service.prefix) && rule.covered().any(is_everything));
        let formats = || service.resource_types().flat_map(|kind| kind.arn_formats());
        let meets = |pattern: &str| {
            is_everything(pattern)
                || formats().any(|format| {
                    !self.work.spend(pattern.len() * format.len()) || may_meet(pattern, format)
                })
        };
        !denied
            && rules
                .allows
                .iter()
                .any(|rule| rule.is_about(service.prefix) && rule.reaches_of(None).any(&meets))
    }
}

/// The rules that are about one service.
pub(crate) struct Within<'g> {
    allows: Vec<&'g Rule<'g>>,
    denies: Vec<&'g Rule<'g>>,
    size: usize,
    work: &'g Work,
}

impl Within<'_> {
    /// Whether nothing of the service can be allowed.
    pub fn is_empty(&self) -> bool {
        self.allows.is_empty()
    }

    /// Whether an action may be allowed on something.
    pub fn allows(&self, action: &Action) -> bool {
        if !self.work.spend(self.size) {
            return !self.is_empty();
        }
        let name = action.name.to_ascii_lowercase();
        let denies: Vec<&&Rule<'_>> =
            self.denies.iter().filter(|rule| rule.matches(action.prefix, &name)).collect();
        let denied = |pattern: &str| {
            denies.iter().any(|rule| {
                rule.covered().any(|denied| {
                    self.work.spend(denied.len() + pattern.len()) && covers(denied, pattern)
                })
            })
        };
        self.allows.iter().filter(|rule| rule.matches(action.prefix, &name)).any(|rule| {
            let mut reached = rule.reaches_of(Some((action, self.work)));
            reached.any(|pattern| !denied(pattern))
        })
    }
}

impl<'p> Rule<'p> {
    fn of(statement: &'p Statement) -> Self {
        let lower = |pattern: &String| {
            let pattern = pattern.to_ascii_lowercase();
            match pattern.split_once(':') {
                Some((prefix, name)) => (prefix.to_owned(), name.to_owned()),
                None => (pattern, "*".to_owned()),
            }
        };
        Self {
            actions: statement.action.patterns().iter().map(lower).collect(),
            all_but: matches!(statement.action, Matching::AllBut(_)),
            resources: statement.resource.as_ref(),
        }
    }

    /// Whether it can match an action of a service, a known one or not.
    fn is_about(&self, service: &str) -> bool {
        if self.all_but { !self.has_whole(service) } else { self.has_any(service) }
    }

    fn has_any(&self, service: &str) -> bool {
        self.actions.iter().any(|(prefix, _)| is_like(prefix, service))
    }

    fn has_whole(&self, service: &str) -> bool {
        self.actions.iter().any(|(prefix, name)| is_everything(name) && is_like(prefix, service))
    }

    /// Whether it matches every action of a service.
    fn is_whole(&self, service: &str) -> bool {
        if self.all_but { !self.has_any(service) } else { self.has_whole(service) }
    }

    fn matches(&self, service: &str, name: &str) -> bool {
        let hit = self
            .actions
            .iter()
            .any(|(prefix, pattern)| is_like(prefix, service) && is_like(pattern, name));
        hit != self.all_but
    }

    /// The resources that it allows and that an action can be on: patterns, `*` where it names what
    /// it leaves out. Without an action, those that it allows.
    fn reaches_of<'r>(
        &'r self,
        action: Option<(&'r Action, &'r Work)>,
    ) -> impl Iterator<Item = &'r str> {
        let patterns: &[String] = match self.resources {
            Some(Matching::These(patterns)) => patterns,
            _ => &[],
        };
        let left = match self.resources {
            Some(Matching::AllBut(patterns)) => {
                (!patterns.iter().any(|pattern| is_everything(pattern))).then_some("*")
            }
            _ => None,
        };
        let reached = patterns.iter().map(String::as_str).filter(move |pattern| match action {
            Some((action, work)) => may_be_on(action, pattern, work),
            None => true,
        });
        left.into_iter().chain(reached)
    }

    /// The resources that it denies for sure.
    fn covered(&self) -> impl Iterator<Item = &str> {
        let patterns: &[String] = match self.resources {
            Some(Matching::These(patterns)) => patterns,
            _ => &[],
        };
        patterns.iter().map(String::as_str)
    }
}

fn is_everything(pattern: &str) -> bool {
    !pattern.is_empty() && pattern.bytes().all(|byte| byte == b'*')
}

/// Whether an action can be asked for on a resource of this pattern.
fn may_be_on(action: &Action, pattern: &str, work: &Work) -> bool {
    is_everything(pattern)
        || action
            .resource_types()
            .flat_map(|one| one.resource_type.arn_formats().collect::<Vec<_>>())
            .any(|format| !work.spend(pattern.len() * format.len()) || may_meet(pattern, format))
}

/// Whether one pattern matches all that the other does, as far as their texts show.
fn covers(wide: &str, narrow: &str) -> bool {
    wide == narrow || (!wide.contains(['?', '$']) && is_like(wide, narrow))
}

#[derive(Clone, Copy, PartialEq)]
enum Piece {
    Char(char),
    One,
    Any,
    /// Any run without a colon: within a part of an ARN.
    Part,
}

/// A text in which `${…}` stands for anything, and `*` and `?` are wildcards.
fn pieces(text: &str) -> Vec<Piece> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let variable = rest.strip_prefix("${").and_then(|inner| inner.split_once('}'));
        if let Some((name, after)) = variable {
            out.push(if matches!(name, "Region" | "Account") { Piece::Part } else { Piece::Any });
            rest = after;
            continue;
        }
        out.push(match first {
            '*' => Piece::Any,
            '?' => Piece::One,
            other => Piece::Char(other),
        });
        rest = &rest[first.len_utf8()..];
    }
    out
}

/// A pattern of ARNs, whose wildcards stay within their part but in the resource.
fn pattern_pieces(pattern: &str) -> Vec<Piece> {
    let parts: Vec<&str> = pattern.splitn(6, ':').collect();
    let [before @ .., resource] = &*parts else { return Vec::new() };
    if parts.len() < 6 {
        return pieces(pattern);
    }
    let mut out = Vec::with_capacity(pattern.len());
    for part in before {
        let part = pieces(part).into_iter();
        out.extend(part.map(|piece| if piece == Piece::Any { Piece::Part } else { piece }));
        out.push(Piece::Char(':'));
    }
    out.extend(pieces(resource));
    out
}

/// Whether some ARN is of a policy's pattern and of a format of the reference. The partition is
/// AWS's own here. Time is at most the product of the lengths.
fn may_meet(pattern: &str, format: &str) -> bool {
    let format = format.replacen("${Partition}", "aws", 1);
    let (a, b) = (pattern_pieces(pattern), pieces(&format));
    // What stands before the first wildcard tells most apart.
    for (one, other) in a.iter().zip(&b) {
        match (one, other) {
            (Piece::Char(one), Piece::Char(other)) if one == other => {}
            (Piece::Char(_), Piece::Char(_)) => return false,
            _ => break,
        }
    }
    let is_within = |piece: &Piece| *piece != Piece::Char(':');
    // Whether what is left of `a` and of `b`, from each place of `b` on, have a text in common.
    let mut below = vec![false; b.len() + 1];
    for at in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for place in (0..=b.len()).rev() {
            row[place] = match (a.get(at), b.get(place)) {
                (None, None) => true,
                (Some(Piece::Any), other) => below[place] || (other.is_some() && row[place + 1]),
                (one, Some(Piece::Any)) => row[place + 1] || (one.is_some() && below[place]),
                (Some(Piece::Part), other) => {
                    below[place] || (other.is_some_and(is_within) && row[place + 1])
                }
                (one, Some(Piece::Part)) => {
                    row[place + 1] || (one.is_some_and(is_within) && below[place])
                }
                (Some(one), Some(other)) => {
                    let same = one == other || *one == Piece::One || *other == Piece::One;
                    same && below[place + 1]
                }
                _ => false,
            };
        }
        below = row;
    }
    below[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_policy::reference::{action, service};
    use ringfence_policy::{Kind, parse};

    fn document(statements: &str) -> Document {
        parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#), Kind::Identity)
            .unwrap()
    }

    fn statement(effect: &str, action: &str, resource: &str, rest: &str) -> String {
        format!(r#"{{"Effect":"{effect}","Action":"{action}","Resource":"{resource}"{rest}}}"#)
    }

    fn allow(action: &str, resource: &str) -> String {
        statement("Allow", action, resource, "")
    }

    const CONDITION: &str = r#","Condition":{"StringEquals":{"aws:username":"nobody"}}"#;

    /// As AWS answered for one policy: what its report lists for `s3:GetObject`, and whether the
    /// policy is listed as granting `s3`.
    #[test]
    fn a_service_is_granted_where_some_action_may_be_allowed_on_something() {
        let object = "arn:aws:s3:::a/*";
        let deny =
            |action: &str, resource: &str, rest: &str| statement("Deny", action, resource, rest);
        let both = |one: String, other: String| format!("{one},{other}");
        let not_action = r#"{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}"#.to_owned();
        let not_get = r#"{"Effect":"Allow","NotAction":"s3:Put*","Resource":"*"}"#.to_owned();
        let nowhere = r#"{"Effect":"Allow","Action":"s3:*","NotResource":"*"}"#.to_owned();
        let elsewhere =
            r#"{"Effect":"Allow","Action":"s3:*","NotResource":"arn:aws:s3:::a/*"}"#.to_owned();
        for (statements, allowed, named) in [
            (allow("s3:GetObject", "*"), true, true),
            (allow("S3:GETOBJECT", "*"), true, true),
            (allow("s3:Get*", "*"), true, true),
            (allow("*", "*"), true, true),
            (deny("s3:*", "*", ""), false, false),
            (both(allow("s3:GetObject", "*"), deny("s3:*", "*", "")), false, false),
            (both(allow("s3:GetObject", "*"), deny("s3:*", "*", CONDITION)), true, true),
            (both(allow("s3:GetObject", "*"), deny("s3:GetObject", "*", "")), false, true),
            (both(allow("s3:GetObject", object), deny("s3:*", object, "")), false, true),
            (both(allow("s3:GetObject", "*"), deny("s3:*", object, "")), true, true),
            (statement("Allow", "s3:GetObject", "*", CONDITION), true, true),
            (allow("s3:GetObject", "arn:aws:iam::123456789012:user/nobody"), false, false),
            (allow("s3:GetObject", object), true, true),
            (allow("s3:NoSuchAction", "*"), false, true),
            (allow("nosuchservice:GetObject", "*"), false, false),
            (allow("iam:GetUser", "*"), false, false),
            (not_action, false, false),
            (not_get, true, true),
            (nowhere, false, false),
            (elsewhere, true, true),
        ] {
            let document = document(&statements);
            let work = Work::of_report();
            let granted = Granted::of([&document], &work);
            let s3 = service("s3").unwrap();
            let get = action("s3:GetObject").unwrap();
            assert_eq!(granted.within(s3).allows(get), allowed, "{statements}");
            assert_eq!(granted.names(s3), named, "{statements}");
        }
    }

    #[test]
    fn a_denial_in_one_policy_is_about_all_of_them() {
        let one = document(&allow("sqs:SendMessage", "*"));
        let other = document(&statement("Deny", "sqs:*", "*", ""));
        let send = action("sqs:SendMessage").unwrap();
        let sqs = service("sqs").unwrap();
        assert!(!Granted::of([&one, &other], &Work::of_report()).within(sqs).allows(send));
        assert!(Granted::of([&one], &Work::of_report()).within(sqs).allows(send));
    }

    #[test]
    fn an_action_without_resources_is_allowed_by_a_star_alone() {
        let list = action("s3:ListAllMyBuckets").unwrap();
        let s3 = service("s3").unwrap();
        for (resource, allowed) in [("*", true), ("arn:aws:s3:::*", false)] {
            let document = document(&allow("s3:ListAllMyBuckets", resource));
            assert_eq!(
                Granted::of([&document], &Work::of_report()).within(s3).allows(list),
                allowed,
                "{resource}"
            );
        }
    }

    #[test]
    fn patterns_meet_where_some_arn_is_of_both() {
        let user = "arn:${Partition}:iam::${Account}:user/${UserNameWithPath}";
        for (pattern, meets) in [
            ("arn:aws:iam::123456789012:user/ann", true),
            ("arn:aws:iam::*:user/${aws:username}", true),
            ("arn:aws:iam::*:*", true),
            ("arn:*", true),
            ("arn:aws:iam::12345678901?:us?r/*", true),
            ("arn:aws:iam::*:role/*", false),
            ("arn:aws:iam::1:2:user/ann", false),
            ("arn:aws:s3:::a", false),
            ("arn:aws:iam::123456789012:user", false),
        ] {
            assert_eq!(may_meet(pattern, user), meets, "{pattern}");
        }
    }
}
