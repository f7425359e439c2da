//! How the resources of an action are named: one by one while they are few, and by a wildcard in the
//! part that varies where many of one type, region and account have the rest in common.

use super::formats::{self, Piece, Taken};
use super::widen::{Widened, widen};
use crate::glob::{Token, template};
use crate::lint::pattern::{covers, overlap};
use crate::reference::Action;
use std::collections::{BTreeMap, BTreeSet};

/// A resource that was seen, and the type that it is of.
type Seen<'a> = (&'a str, Taken<'a>);

/// A text of a `Resource` element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub pattern: String,
    /// How many resources that were seen it stands for.
    pub stands_for: usize,
}

impl Named {
    fn exactly(resource: &str) -> Self {
        let pattern = if resource == "*" { resource.to_owned() } else { literal(resource) };
        Self { pattern, stands_for: 1 }
    }
}

/// The texts for the resources that an action was used on.
pub(super) fn named(
    action: Option<&Action>,
    resources: &BTreeSet<&str>,
    few: usize,
) -> BTreeSet<Named> {
    if resources.contains("*") {
        // What is asked for without a resource is allowed by this alone, and it covers the others.
        return BTreeSet::from([Named::exactly("*")]);
    }
    let mut out = BTreeSet::new();
    let mut classes: BTreeMap<(&str, [&str; 4]), Vec<Seen<'_>>> = BTreeMap::new();
    for resource in resources {
        match action.and_then(|action| Some((action, formats::take(action, resource)?))) {
            Some((_, taken)) => {
                classes.entry((taken.format, taken.head)).or_default().push((resource, taken));
            }
            None => {
                out.insert(Named::exactly(resource));
            }
        }
    }
    for all in classes.into_values() {
        match action {
            Some(action) if all.len() > few => out.extend(of_class(action, all, few)),
            _ => out.extend(all.iter().map(|(resource, _)| Named::exactly(resource))),
        }
    }
    without_covered(out)
}

/// The texts without those that a pattern among them covers: a wildcard may reach over a slash.
fn without_covered(all: BTreeSet<Named>) -> BTreeSet<Named> {
    let tokens = |named: &Named| {
        // In a variable a wildcard stands for itself.
        let mut inside = false;
        let of = named.pattern.chars().map(|c| {
            inside = (inside || c == '$') && c != '}';
            if c == '*' && !inside { Token::Any } else { Token::Char(c) }
        });
        of.collect::<Vec<_>>()
    };
    let patterns: Vec<(&Named, Vec<Token>)> = all
        .iter()
        .map(|named| (named, tokens(named)))
        .filter(|(_, tokens)| tokens.contains(&Token::Any))
        .collect();
    if patterns.is_empty() {
        return all;
    }
    let is_covered = |named: &Named| {
        let own = tokens(named);
        let mut others = patterns.iter().filter(|(other, _)| *other != named);
        others.any(|(_, pattern)| covers(pattern, &own, false, |_| true))
    };
    all.iter().filter(|named| !is_covered(named)).cloned().collect()
}

/// The texts for many resources of one type, region and account.
fn of_class<'a>(action: &Action, all: Vec<Seen<'a>>, few: usize) -> Vec<Named> {
    let mut out = Vec::new();
    let mut left = all;
    let placeholders = left.first().map_or(0, |(_, taken)| taken.values.len());
    // The last part first: the objects of a bucket are many before the buckets are.
    for at in (0..placeholders).rev() {
        // Where an ARN has no account its first name is the owner's: a pattern of it is others', too.
        if at == 0 && left.first().is_some_and(|(_, taken)| taken.head[3].is_empty()) {
            break;
        }
        let mut alike: BTreeMap<Vec<&str>, Vec<Seen<'_>>> = BTreeMap::new();
        for (resource, taken) in std::mem::take(&mut left) {
            let mut rest = taken.values.clone();
            rest.remove(at);
            alike.entry(rest).or_default().push((resource, taken));
        }
        for group in alike.into_values() {
            if group.len() <= few {
                left.extend(group);
                continue;
            }
            let mut by_value: BTreeMap<&str, Seen<'_>> =
                group.into_iter().map(|one| (one.1.values[at], one)).collect();
            let values: Vec<&str> = by_value.keys().copied().collect();
            let Some(like) = by_value.values().next().map(|(_, taken)| taken.clone()) else {
                continue;
            };
            // Where nothing else is known of them, all names that there may be are not meant.
            let bare = placeholders > 1;
            for widened in widen(&values, few, bare) {
                match written(action, &like, at, &widened) {
                    Some(pattern) => {
                        out.push(Named { pattern, stands_for: widened.names.len() });
                    }
                    None => left.extend(widened.names.iter().filter_map(|n| by_value.remove(n))),
                }
            }
        }
    }
    out.extend(left.iter().map(|(resource, _)| Named::exactly(resource)));
    out
}

/// The ARN of a pattern in one placeholder; `None` where it is no pattern, or where it could be an ARN
/// of another type that the action takes.
fn written(action: &Action, like: &Taken<'_>, at: usize, widened: &Widened<'_>) -> Option<String> {
    let suffix = widened.suffix?;
    let mut pattern = Pattern::default();
    let mut values = like.values.iter().enumerate();
    for piece in formats::pieces(like.format)? {
        match piece {
            Piece::Literal(own) => pattern.literal(own),
            Piece::Placeholder(_) => match values.next()? {
                (place, _) if place == at => {
                    pattern.literal(widened.prefix);
                    pattern.star();
                    pattern.literal(suffix);
                }
                (_, value) => pattern.literal(value),
            },
        }
    }
    let Pattern { text, tokens } = pattern;
    let others = action.resource_types().flat_map(|of| of.resource_type.arn_formats());
    let mut others = others.filter(|format| *format != like.format && has_head(like, format));
    let crosses = |format: &str| {
        formats_resource(format).is_none_or(|own| overlap(&tokens, &template(own), false, |_| true))
    };
    if others.any(crosses) {
        return None;
    }
    let [partition, service, region, account] = like.head;
    Some(format!("arn:{partition}:{service}:{region}:{account}:{text}"))
}

fn formats_resource(format: &str) -> Option<&str> {
    crate::Arn::parse(format).ok().map(|arn| arn.resource)
}

/// Whether an ARN of a format may have the same parts before the resource.
fn has_head(like: &Taken<'_>, format: &str) -> bool {
    let Ok(own) = crate::Arn::parse(format) else { return true };
    let parts = [own.partition, own.service, own.region, own.account];
    parts.iter().zip(like.head).all(|(own, head)| match own.starts_with("${") {
        true => !head.is_empty(),
        false => *own == head || *own == "*",
    })
}

/// The resource part of a pattern, as a policy's text and as tokens.
#[derive(Default)]
struct Pattern {
    text: String,
    tokens: Vec<Token>,
}

impl Pattern {
    fn literal(&mut self, raw: &str) {
        self.text.push_str(&literal(raw));
        self.tokens.extend(raw.chars().map(Token::Char));
    }

    fn star(&mut self) {
        self.text.push('*');
        self.tokens.push(Token::Any);
    }
}

/// A text in which nothing is a wildcard or a variable.
pub(super) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '?' | '$' => out.extend(["${", c.encode_utf8(&mut [0; 4]), "}"]),
            c => out.push(c),
        }
    }
    out
}
