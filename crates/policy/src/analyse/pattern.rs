//! From texts of a document to globs. Each function here says of a text what the evaluator says of it;
//! none of the texts has variables any more.

use super::automaton::{Language, Pattern, Piece};
use crate::condition::boolean;
use crate::context::Context;
use crate::document::{Comparison as C, Condition, Version};
use crate::glob::{self, Token};
use crate::reference;
use crate::variable::{Reading, split_arn};
use base64::Engine as _;

/// Well-formed actions: `vendor:name`.
pub(super) fn actions() -> Language {
    vec![vec![
        Piece::OneWithinPart,
        Piece::AnyWithinPart,
        Piece::Char(':'),
        Piece::OneWithinPart,
        Piece::AnyWithinPart,
    ]]
}

/// Well-formed resources: `*`, for an action that has none, and ARNs of six parts, of which region and
/// account may be empty.
pub(super) fn resources() -> Language {
    let mut arn: Pattern = "arn:".chars().map(Piece::Char).collect();
    for may_be_empty in [false, false, true, true] {
        if !may_be_empty {
            arn.push(Piece::OneWithinPart);
        }
        arn.extend([Piece::AnyWithinPart, Piece::Char(':')]);
    }
    arn.extend([Piece::One, Piece::Any]);
    vec![vec![Piece::Char('*')], arn]
}

/// Every text.
pub(super) fn texts() -> Language {
    vec![vec![Piece::Any]]
}

/// A pattern of an `Action` element.
pub(super) fn action(text: &str) -> Pattern {
    let pieces = glob::wildcards(text).into_iter().map(piece);
    pieces
        .map(|piece| match piece {
            Piece::Char(c) if c.is_ascii_alphabetic() => Piece::Letter(c.to_ascii_lowercase()),
            other => other,
        })
        .collect()
}

/// A pattern of a `Resource` element.
pub(super) fn resource(text: &str, version: Version) -> Option<Pattern> {
    if text == "*" {
        return Some(vec![Piece::Any]);
    }
    let parts = split_arn(text);
    let mut out = Pattern::with_capacity(text.len());
    for part in 0..6 {
        let text = parts.get(part).copied().unwrap_or("*");
        if part == 5 {
            out.extend(tokens(text, version, true)?.into_iter().map(piece));
        } else {
            out.extend(glob::within_part(text).into_iter().map(piece));
            out.push(Piece::Char(':'));
        }
    }
    Some(out)
}

/// The texts that hit a condition's values; `None` where its operator is not one of texts.
pub(super) fn hits(condition: &Condition, version: Version) -> Option<Language> {
    let comparison = condition.operator.comparison;
    let mut out = Language::new();
    for value in &condition.values {
        match comparison {
            C::StringEquals | C::StringNotEquals => {
                out.extend(literal(value, version));
            }
            C::StringEqualsIgnoreCase | C::StringNotEqualsIgnoreCase => {
                // Letters beyond ASCII have been taken out.
                let lowered = |piece| match piece {
                    Piece::Char(c) if c.is_ascii_alphabetic() => {
                        Piece::Lowered(c.to_ascii_lowercase())
                    }
                    other => other,
                };
                let text = literal(value, version);
                out.extend(text.map(|text| text.into_iter().map(lowered).collect::<Pattern>()));
            }
            C::StringLike | C::StringNotLike => {
                let tokens = tokens(value, version, true);
                out.extend(tokens.map(|tokens| tokens.into_iter().map(piece).collect::<Pattern>()));
            }
            C::ArnEquals | C::ArnLike | C::ArnNotEquals | C::ArnNotLike => {
                out.extend(arn(value, version));
            }
            C::Bool => {
                let literal = Reading { version, context: &Context::default(), wildcards: false };
                let truth = literal.text(value).and_then(|text| boolean(&text));
                out.extend(truth.map(|truth| action(if truth { "true" } else { "false" })));
            }
            C::BinaryEquals => {
                let engine = base64::engine::general_purpose::STANDARD;
                let Ok(bytes) = engine.decode(value) else { continue };
                // The one encoding that decodes to these bytes.
                out.push(engine.encode(&bytes).chars().map(Piece::Char).collect());
                if let Ok(text) = String::from_utf8(bytes) {
                    out.push(text.chars().map(Piece::Char).collect());
                }
            }
            _ => return None,
        }
    }
    // Without values the operator still says of what kind it is.
    (is_of_texts(comparison)).then_some(out)
}

/// Whether a comparison is decided by the value's text alone.
pub(super) const fn is_of_texts(comparison: C) -> bool {
    matches!(
        comparison,
        C::StringEquals
            | C::StringNotEquals
            | C::StringEqualsIgnoreCase
            | C::StringNotEqualsIgnoreCase
            | C::StringLike
            | C::StringNotLike
            | C::ArnEquals
            | C::ArnLike
            | C::ArnNotEquals
            | C::ArnNotLike
            | C::Bool
            | C::BinaryEquals
    )
}

/// An ARN compared part by part: no wildcard reaches across one of the first five colons.
fn arn(text: &str, version: Version) -> Option<Pattern> {
    if text == "*" {
        return Some(vec![Piece::Any]);
    }
    let parts = split_arn(text);
    if parts.len() != 6 {
        return None;
    }
    let mut out = Pattern::with_capacity(text.len());
    for (at, part) in parts.iter().enumerate() {
        let tokens = tokens(part, version, true)?;
        if at == 5 {
            out.extend(tokens.into_iter().map(piece));
            break;
        }
        for token in tokens {
            out.push(match token {
                Token::Any | Token::AnyWithinPart => Piece::AnyWithinPart,
                Token::One | Token::OneWithinPart => Piece::OneWithinPart,
                // A part of a value holds no colon.
                Token::Char(':') => return None,
                Token::Char(c) => Piece::Char(c),
            });
        }
        out.push(Piece::Char(':'));
    }
    Some(out)
}

fn literal(text: &str, version: Version) -> Option<Pattern> {
    Some(tokens(text, version, false)?.into_iter().map(piece).collect())
}

fn tokens(text: &str, version: Version, wildcards: bool) -> Option<Vec<Token>> {
    Reading { version, context: &Context::default(), wildcards }.tokens(text)
}

const fn piece(token: Token) -> Piece {
    match token {
        Token::Char(c) => Piece::Char(c),
        Token::One => Piece::One,
        Token::Any => Piece::Any,
        Token::OneWithinPart => Piece::OneWithinPart,
        Token::AnyWithinPart => Piece::AnyWithinPart,
    }
}

/// Natural texts that a pattern may match: its wildcards filled in.
pub(super) fn fillings(text: &str) -> [String; 2] {
    [text.replace('*', "example").replace('?', "x"), text.replace('*', "").replace('?', "x")]
}

/// How many of AWS's actions are tried for one pattern.
const ACTIONS: usize = 4;

/// Natural actions that a pattern may match: AWS's own, and one that is none.
pub(super) fn action_fillings(text: &str) -> Vec<String> {
    let of_service = |(vendor, name): (&str, &str)| -> Vec<String> {
        let Some(service) = reference::service(vendor) else { return Vec::new() };
        let matching = service.actions().filter(|action| glob::action(name, action.name));
        matching.take(ACTIONS).map(reference::Action::full_name).collect()
    };
    let mut out = text.split_once(':').map(of_service).unwrap_or_default();
    out.push(match text {
        "*" | "*:*" => "example:Action".to_owned(),
        _ => text.replace('*', "Action").replace('?', "x"),
    });
    out
}

/// A natural resource that a pattern may match.
pub(super) fn resource_filling(text: &str) -> String {
    let parts = split_arn(text);
    let usual = ["arn", "aws", "s3", "us-east-1", "111122223333", "example"];
    let fill = |(part, usual): (usize, &&str)| match parts.get(part).copied().unwrap_or("*") {
        "*" => (*usual).to_owned(),
        text => text.replace('*', "example").replace('?', "x"),
    };
    usual.iter().enumerate().map(fill).collect::<Vec<_>>().join(":")
}
