//! Documents in which what hangs on unknown facts was assumed.
//!
//! A decision grows with what allows and shrinks with what denies. So a document is bounded from above
//! by one whose allowing statements apply wherever they may, and whose denying ones apply only where
//! they must; and from below by the reverse. What both bounds decide alike is decided, whatever the
//! unknown keys turn out to be.

use super::known::Known;
use crate::Document;
use crate::document::Version;
use crate::document::{Comparison as C, Condition, Effect, Matching, PrincipalPattern, Statement};
use crate::variable::{Named, Part, named, parts, split_arn};
use std::borrow::Cow;

/// How unknown facts are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumption {
    /// As favourable as they may be: allowing statements apply, denying ones do not.
    Optimistic,
    /// The reverse.
    Pessimistic,
    /// No statement applies that need not: neither those that allow nor those that deny.
    Silent,
}

impl Assumption {
    /// Whether a statement is taken to apply where that is not known.
    pub(super) const fn applies(self, effect: Effect) -> bool {
        match self {
            Self::Optimistic => matches!(effect, Effect::Allow),
            Self::Pessimistic => matches!(effect, Effect::Deny),
            Self::Silent => false,
        }
    }
}

/// An element of a statement that hangs on something unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The condition's operator, or else the element: `Resource`, `NotResource`, `Principal`,
    /// `NotPrincipal`.
    pub operator: String,
    /// The condition's key as it is written.
    pub key: Option<String>,
    /// The values of the condition, or those of the element that hang on something unknown.
    pub values: Vec<String>,
    /// The keys that are not known, as they are written; none where a role's session is not known.
    pub unknown: Vec<String>,
    /// Which element.
    at: Place,
}

/// Where an element stands in its statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Principal,
    Resource,
    Condition(usize),
}

/// A document that hangs on known keys alone; the same one where it did so before. A statement that
/// is assumed not to apply is left out.
///
/// ```
/// use ringfence_policy::account::{Assumption, Known, assume};
/// use ringfence_policy::{Kind, parse};
///
/// let document = parse(
///     r#"{"Version": "2012-10-17", "Statement": {
///         "Effect": "Allow", "Action": "s3:*", "Resource": "*",
///         "Condition": {"Bool": {"aws:SecureTransport": "true"}}}}"#,
///     Kind::Identity,
/// )?;
/// let known = Known::default();
/// assert!(assume(&document, &known, Assumption::Pessimistic).statements.is_empty());
/// let best = assume(&document, &known, Assumption::Optimistic);
/// assert!(best.statements[0].conditions.is_empty());
/// # Ok::<(), ringfence_policy::Malformed>(())
/// ```
pub fn assume<'d>(
    document: &'d Document,
    known: &Known,
    assumption: Assumption,
) -> Cow<'d, Document> {
    let version = document.version;
    if document.statements.iter().all(|statement| places(statement, version, known).is_empty()) {
        return Cow::Borrowed(document);
    }
    let statements = document.statements.iter().filter_map(|statement| {
        let applies = assumption.applies(statement.effect);
        assumed(statement, version, known, |_| applies)
    });
    Cow::Owned(Document::new(version, document.id.clone(), statements.collect()))
}

/// The elements of a statement that hang on something unknown.
pub fn open(statement: &Statement, version: Version, known: &Known) -> Vec<Open> {
    places(statement, version, known)
        .into_iter()
        .map(|at| described(statement, version, known, at))
        .collect()
}

fn described(statement: &Statement, version: Version, known: &Known, at: Place) -> Open {
    let form = |not: bool, name: &str| if not { format!("Not{name}") } else { name.to_owned() };
    let mut out =
        Open { operator: String::new(), key: None, values: Vec::new(), unknown: Vec::new(), at };
    let note = |out: &mut Open, key: &str| {
        if !out.unknown.iter().any(|known| known == key) {
            out.unknown.push(key.to_owned());
        }
    };
    match at {
        Place::Condition(index) => {
            let Some(condition) = statement.conditions.get(index) else { return out };
            out.operator = condition.operator.to_string();
            out.key = Some(condition.key.clone());
            out.values.clone_from(&condition.values);
            if !known.is_known(&condition.key) {
                note(&mut out, &condition.key);
            }
            for value in &condition.values {
                for key in unknown_in_value(condition, value, version, known) {
                    note(&mut out, key);
                }
            }
        }
        Place::Resource => {
            out.operator =
                form(matches!(statement.resource, Some(Matching::AllBut(_))), "Resource");
            for pattern in statement.resource.iter().flat_map(Matching::patterns) {
                let unknown = unknown_in_resource(pattern, version, known);
                if !unknown.is_empty() {
                    out.values.push(pattern.clone());
                }
                unknown.iter().for_each(|key| note(&mut out, key));
            }
        }
        Place::Principal => {
            out.operator =
                form(matches!(statement.principal, Some(Matching::AllBut(_))), "Principal");
            let patterns = statement.principal.iter().flat_map(Matching::patterns);
            out.values = patterns
                .filter_map(|pattern| match pattern {
                    PrincipalPattern::Arn(arn) => known.session_like(arn).map(|_| arn.clone()),
                    _ => None,
                })
                .collect();
        }
    }
    out
}

/// Which elements of a statement hang on something unknown.
fn places(statement: &Statement, version: Version, known: &Known) -> Vec<Place> {
    let mut out = Vec::new();
    let principals = statement.principal.iter().flat_map(|principal| principal.patterns());
    if principals.into_iter().any(|pattern| is_open_principal(pattern, known)) {
        out.push(Place::Principal);
    }
    let resources = statement.resource.iter().flat_map(|resource| resource.patterns());
    if resources.into_iter().any(|p| !unknown_in_resource(p, version, known).is_empty()) {
        out.push(Place::Resource);
    }
    let conditions = statement.conditions.iter().enumerate();
    let hang = conditions.filter(|(_, condition)| is_open_condition(condition, version, known));
    out.extend(hang.map(|(index, _)| Place::Condition(index)));
    out
}

fn is_open_condition(condition: &Condition, version: Version, known: &Known) -> bool {
    let Condition { operator, key, values } = condition;
    if known.is_known(key) {
        // Of a key that is absent the policy's values are not looked at.
        return known.is_present(key)
            && values.iter().any(|value| is_open_value(condition, value, version, known));
    }
    let is_settled = |beginning: &str| {
        let mut values = values.iter();
        values.all(|value| is_settled_by(beginning, operator.comparison, value, version))
    };
    !known.beginning(key).is_some_and(is_settled)
}

/// Whether all texts that begin so compare alike with a policy's value: none matches one that begins
/// otherwise, and all match one of a shorter beginning and a wildcard.
fn is_settled_by(beginning: &str, comparison: C, value: &str, version: Version) -> bool {
    let wildcards = match comparison {
        C::Null => return true,
        C::StringEquals | C::StringNotEquals => false,
        C::StringLike | C::StringNotLike => true,
        _ => return false,
    };
    let has_variables = version >= Version::V2012 && value.contains("${");
    let cut = value.find(['*', '?']).filter(|_| wildcards).unwrap_or(value.len());
    let Some((literal, pattern)) = value.split_at_checked(cut).filter(|_| !has_variables) else {
        return false;
    };
    let differs = !literal.starts_with(beginning) && !beginning.starts_with(literal);
    differs
        || beginning.starts_with(literal)
            && (pattern == "*" || pattern.is_empty() && literal.len() < beginning.len())
}

/// A statement in which each open element is assumed to be satisfied or not; `None` where it can be
/// told that it does not apply.
fn assumed(
    statement: &Statement,
    version: Version,
    known: &Known,
    satisfied: impl Fn(Place) -> bool,
) -> Option<Statement> {
    let open = places(statement, version, known);
    let mut out = statement.clone();
    for place in &open {
        match place {
            Place::Principal => principal(&mut out, known, satisfied(*place)),
            Place::Resource => resource(&mut out, version, known, satisfied(*place)),
            Place::Condition(_) => {}
        }
    }
    out.conditions.clear();
    for (index, condition) in statement.conditions.iter().enumerate() {
        let place = Place::Condition(index);
        if !open.contains(&place) {
            out.conditions.push(condition.clone());
            continue;
        }
        match bounded(condition, version, known, satisfied(place)) {
            Bound::Holds => {}
            Bound::Fails => return None,
            Bound::As(condition) => out.conditions.push(condition),
        }
    }
    Some(out)
}

/// A statement in which all open elements are satisfied, or all but one, or none.
pub(super) fn variant(
    statement: &Statement,
    version: Version,
    known: &Known,
    satisfied: Satisfied<'_>,
) -> Option<Statement> {
    assumed(statement, version, known, |place| match satisfied {
        Satisfied::All => true,
        Satisfied::AllBut(open) => place != open.at,
        Satisfied::None => false,
    })
}

/// Which open elements are assumed to be satisfied.
#[derive(Debug, Clone, Copy)]
pub(super) enum Satisfied<'o> {
    All,
    AllBut(&'o Open),
    None,
}

/// What bounds a condition.
enum Bound {
    Holds,
    Fails,
    As(Condition),
}

/// Bounds a condition from above, so that it holds wherever it may, or from below.
fn bounded(condition: &Condition, version: Version, known: &Known, above: bool) -> Bound {
    if !known.is_known(&condition.key) {
        return if above { Bound::Holds } else { Bound::Fails };
    }
    // A value that hangs on an unknown key may match or not. One value more can only make an operator
    // hold, or, of a negated one, fail: so leaving those values out is the one bound.
    let negated = condition.operator.comparison.is_negated();
    match (above, negated) {
        (true, false) => Bound::Holds,
        (false, true) => Bound::Fails,
        (true, true) | (false, false) => {
            let certain = |value: &&String| !is_open_value(condition, value, version, known);
            let values: Vec<String> = condition.values.iter().filter(certain).cloned().collect();
            Bound::As(Condition { values, ..condition.clone() })
        }
    }
}

/// Bounds a `Resource` element. A variable stands for any text, so its pattern matches no more than one
/// with a wildcard there, and no less than nothing.
fn resource(statement: &mut Statement, version: Version, known: &Known, above: bool) {
    let widened = |pattern: &str| {
        let wide = widened(pattern, version, known);
        wide.unwrap_or_else(|| pattern.to_owned())
    };
    let certain = |pattern: &String| unknown_in_resource(pattern, version, known).is_empty();
    let wide = |patterns: &mut Vec<String>| {
        for pattern in patterns {
            *pattern = widened(pattern);
        }
    };
    match (&mut statement.resource, above) {
        (Some(Matching::These(patterns)), true) | (Some(Matching::AllBut(patterns)), false) => {
            wide(patterns);
        }
        (Some(Matching::These(patterns)), false) | (Some(Matching::AllBut(patterns)), true) => {
            patterns.retain(certain);
        }
        (None, _) => {}
    }
}

/// Bounds a `Principal` element that names sessions of a role of which it is not known which session
/// asks.
fn principal(statement: &mut Statement, known: &Known, above: bool) {
    match (&mut statement.principal, above) {
        (Some(Matching::These(patterns)), true) | (Some(Matching::AllBut(patterns)), false) => {
            for pattern in patterns {
                if let PrincipalPattern::Arn(arn) = pattern
                    && let Some(own) = known.session_like(arn)
                {
                    own.clone_into(arn);
                }
            }
        }
        (Some(Matching::These(patterns)), false) | (Some(Matching::AllBut(patterns)), true) => {
            patterns.retain(|pattern| !is_open_principal(pattern, known));
        }
        (None, _) => {}
    }
}

fn is_open_principal(pattern: &PrincipalPattern, known: &Known) -> bool {
    matches!(pattern, PrincipalPattern::Arn(arn) if known.session_like(arn).is_some())
}

/// The keys of a text's variables.
fn keys(text: &str, version: Version) -> impl Iterator<Item = &str> {
    // Few texts have any.
    let text = if text.contains("${") { text } else { "" };
    parts(text, version).filter_map(|part| match part {
        Part::Variable(name) => match named(name)? {
            Named::Key { key, .. } => Some(key),
            Named::Literal(_) => None,
        },
        Part::Char(_) => None,
    })
}

/// The unknown keys in a pattern of a `Resource` element, which has variables only in its last part.
fn unknown_in_resource<'p>(pattern: &'p str, version: Version, known: &Known) -> Vec<&'p str> {
    let last = if pattern.contains("${") { split_arn(pattern).get(5).copied() } else { None };
    let last = last.into_iter().flat_map(|last| keys(last, version));
    last.filter(|key| !known.is_known(key)).collect()
}

/// The unknown keys in a value of a condition. Operators on numbers, dates, addresses and bytes read
/// no variables.
fn unknown_in_value<'v>(
    condition: &Condition,
    value: &'v str,
    version: Version,
    known: &Known,
) -> Vec<&'v str> {
    let comparison = condition.operator.comparison;
    let reads = !comparison.is_numeric()
        && !comparison.is_date()
        && !matches!(comparison, C::BinaryEquals | C::IpAddress | C::NotIpAddress | C::Null);
    if !reads {
        return Vec::new();
    }
    keys(value, version).filter(|key| !known.is_known(key)).collect()
}

/// Whether a condition's value has a variable of an unknown key.
fn is_open_value(condition: &Condition, value: &str, version: Version, known: &Known) -> bool {
    !unknown_in_value(condition, value, version, known).is_empty()
}

/// A resource pattern with a wildcard for each variable of an unknown key.
fn widened(pattern: &str, version: Version, known: &Known) -> Option<String> {
    let cut = split_arn(pattern);
    let last = cut.get(5)?;
    let mut out = pattern.get(..pattern.len().checked_sub(last.len())?)?.to_owned();
    for part in parts(last, version) {
        match part {
            Part::Char(c) => out.push(c),
            Part::Variable(name) => match named(name) {
                Some(Named::Key { key, .. }) if !known.is_known(key) => out.push('*'),
                _ => {
                    out.push_str("${");
                    out.push_str(name);
                    out.push('}');
                }
            },
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;
    use crate::condition;
    use crate::document::Operator;

    /// Every text of these letters up to a length.
    fn texts(letters: &str, length: usize) -> Vec<String> {
        let mut out = vec![String::new()];
        let mut last = out.clone();
        for _ in 0..length {
            let longer = |text: &String| letters.chars().map(|c| format!("{text}{c}")).collect();
            last = last.iter().flat_map(|text| -> Vec<String> { longer(text) }).collect();
            out.extend(last.clone());
        }
        out
    }

    #[test]
    fn what_is_settled_by_the_beginning_of_a_text_is_so_for_every_text_that_begins_so() {
        let mut settled = [0, 0];
        for comparison in [C::StringEquals, C::StringNotEquals, C::StringLike, C::StringNotLike] {
            let operator = Operator { set: None, comparison, if_exists: false };
            for value in texts("ab*?", 3) {
                let condition =
                    Condition { operator, key: "x:a".into(), values: vec![value.clone()] };
                for beginning in texts("ab", 2).iter().filter(|text| !text.is_empty()) {
                    if !is_settled_by(beginning, comparison, &value, Version::V2012) {
                        continue;
                    }
                    let holds = |rest: &String| {
                        let mut context = Context::default();
                        context.set("x:a", [beginning.as_str(), rest].concat());
                        condition::holds(&condition, Version::V2012, &context)
                    };
                    let each: Vec<bool> = texts("ab", 3).iter().map(holds).collect();
                    let alike = each.iter().all(|holds| *holds == each[0]);
                    assert!(alike, "{comparison:?} `{value}` `{beginning}`");
                    settled[usize::from(each[0])] += 1;
                }
            }
        }
        assert!(settled.iter().all(|count| *count > 500), "{settled:?}");
    }
}
