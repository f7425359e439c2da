//! ARNs taken apart by the formats of the service reference.

use crate::Arn;
use crate::reference::Action;

/// An ARN as one of a resource type that an action takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken<'a> {
    /// The type's name.
    pub type_name: &'static str,
    /// The ARN format that it fits.
    pub format: &'static str,
    /// The ARN's parts before the resource.
    pub head: [&'a str; 4],
    /// What stands for each placeholder of the format's resource part, in order.
    pub values: Vec<&'a str>,
}

/// One piece of a format's resource part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(&'static str),
    /// The placeholder's name: `BucketName`.
    Placeholder(&'static str),
}

/// The five first parts of a format, the first being `arn`, and the resource.
pub(super) fn parts(format: &'static str) -> Option<Arn<'static>> {
    Arn::parse(format).ok()
}

/// The pieces of a format's resource part; `None` where it has none that could be told apart.
pub(super) fn pieces(format: &'static str) -> Option<Vec<Piece>> {
    let mut rest = parts(format)?.resource;
    if rest.contains('*') {
        return None;
    }
    let mut out = Vec::new();
    while !rest.is_empty() {
        match rest.find("${") {
            Some(0) => {
                let (name, after) = rest[2..].split_once('}')?;
                if matches!(out.last(), Some(Piece::Placeholder(_))) {
                    return None;
                }
                out.push(Piece::Placeholder(name));
                rest = after;
            }
            found => {
                let (literal, after) = rest.split_at(found.unwrap_or(rest.len()));
                out.push(Piece::Literal(literal));
                rest = after;
            }
        }
    }
    Some(out)
}

/// The type of an action that an ARN is of: that whose format says the most about it.
pub(super) fn take<'a>(action: &Action, arn: &'a str) -> Option<Taken<'a>> {
    let arn = Arn::parse(arn).ok()?;
    let formats = action.resource_types().flat_map(|of| {
        of.resource_type.arn_formats().map(move |format| (of.resource_type.name, format))
    });
    let fitting = formats.filter_map(|(name, format)| {
        let values = fit(&arn, format)?;
        let head = [arn.partition, arn.service, arn.region, arn.account];
        Some(Taken { type_name: name, format, head, values })
    });
    // The first of those that say as much: `max_by_key` takes the last.
    let all: Vec<Taken<'a>> = fitting.collect();
    all.into_iter().rev().max_by_key(|taken| said(taken.format))
}

/// How many characters of a format are its own.
fn said(format: &'static str) -> usize {
    let all = pieces(format).unwrap_or_default().into_iter();
    let own = all.map(|piece| match piece {
        Piece::Literal(text) => text.len(),
        Piece::Placeholder(_) => 0,
    });
    own.sum()
}

/// What stands for the placeholders of a format's resource part, where an ARN is of it.
fn fit<'a>(arn: &Arn<'a>, format: &'static str) -> Option<Vec<&'a str>> {
    let wanted = parts(format)?;
    let head = [
        (wanted.partition, arn.partition),
        (wanted.service, arn.service),
        (wanted.region, arn.region),
        (wanted.account, arn.account),
    ];
    let fits = |(wanted, own): (&str, &str)| match wanted.starts_with("${") {
        true => !own.is_empty(),
        false => wanted == own || wanted == "*",
    };
    if !head.into_iter().all(fits) {
        return None;
    }
    let pieces = pieces(format)?;
    let mut rest = arn.resource;
    let mut values = Vec::new();
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        at += 1;
        match (piece, pieces.get(at)) {
            (Piece::Literal(text), _) => rest = rest.strip_prefix(text)?,
            (Piece::Placeholder(_), None) => {
                values.push(std::mem::take(&mut rest));
            }
            (Piece::Placeholder(_), Some(Piece::Literal(next))) => {
                // A placeholder stands for one character or more; the last one for all that is left.
                let last = at + 1 == pieces.len();
                let first = rest.chars().next()?.len_utf8();
                let end = match last {
                    true => rest.len().checked_sub(next.len()).filter(|_| rest.ends_with(next))?,
                    false => first + rest[first..].find(next)?,
                };
                let (value, after) = rest.split_at(end);
                values.push(value);
                rest = after;
            }
            (Piece::Placeholder(_), Some(Piece::Placeholder(_))) => return None,
        }
    }
    (rest.is_empty() && values.iter().all(|value| !value.is_empty())).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::action;

    #[test]
    fn an_arn_is_of_the_type_whose_format_says_most_of_it() {
        for (name, arn, kind, values) in [
            ("s3:GetObject", "arn:aws:s3:::b/k/e/y", "object", vec!["b", "k/e/y"]),
            ("s3:ListBucket", "arn:aws:s3:::b", "bucket", vec!["b"]),
            ("iam:GetUser", "arn:aws:iam::123456789012:user/p/ann", "user", vec!["p/ann"]),
            (
                "dynamodb:Query",
                "arn:aws:dynamodb:eu-west-1:123456789012:table/t/index/i",
                "index",
                vec!["t", "i"],
            ),
        ] {
            let taken = take(action(name).unwrap(), arn).unwrap();
            assert_eq!((taken.type_name, taken.values), (kind, values), "{name}");
        }
        for (name, arn) in [
            ("iam:GetUser", "arn:aws:iam::123456789012:role/ann"),
            ("iam:GetUser", "arn:aws:iam::123456789012:user/"),
            ("iam:GetUser", "arn:aws:iam:::user/ann"),
            ("iam:GetUser", "*"),
        ] {
            assert_eq!(take(action(name).unwrap(), arn), None, "{arn}");
        }
    }
}
