//! Patterns of resources and texts, split into pieces that are compared with a request's text as they
//! stand: variables are looked up, and nothing is put together.

use crate::condition;
use crate::context::{Context, Values};
use crate::document::Version;
use crate::glob::{self, Token};
use crate::variable::{self, Named, split_arn};

/// A pattern.
pub(crate) enum Pattern {
    /// Everything.
    Any,
    /// Just this.
    Text(Box<str>),
    /// Whatever begins with this.
    Prefix(Box<str>),
    /// Pieces one after another.
    Pieces(Box<[Piece]>),
    /// Nothing: a variable in it can have no value.
    Nothing,
    /// A wildcard must stay within its part of an ARN: the interpreter's own way, which costs more.
    Interpreted(Box<str>),
}

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This text.
    Text(String),
    /// Any run of characters.
    Star,
    /// One character.
    One,
    /// One character but a colon.
    OneWithinPart,
    /// The value of a key, or else the default; its number among the pattern's variables.
    Variable { key: String, default: Option<String>, number: usize },
}

/// Pieces while they are gathered.
struct Gathered {
    /// `None` once one can match nothing.
    pieces: Option<Vec<Piece>>,
    variables: usize,
}

impl Gathered {
    fn push(&mut self, piece: Piece) {
        let Some(pieces) = &mut self.pieces else { return };
        match (pieces.last_mut(), piece) {
            (Some(Piece::Text(text)), Piece::Text(more)) => text.push_str(&more),
            (Some(Piece::Star), Piece::Star) => {}
            (_, piece) => pieces.push(piece),
        }
    }

    fn text(&mut self, text: impl Into<String>) {
        self.push(Piece::Text(text.into()));
    }

    /// Adds a text with its variables and, where it has them, wildcards.
    fn read(&mut self, text: &str, version: Version, wildcards: bool) {
        for part in variable::parts(text, version) {
            match part {
                variable::Part::Char('*') if wildcards => self.push(Piece::Star),
                variable::Part::Char('?') if wildcards => self.push(Piece::One),
                variable::Part::Char(c) => self.text(c),
                variable::Part::Variable(name) => match variable::named(name) {
                    Some(Named::Literal(text)) => self.text(text),
                    Some(Named::Key { key, default }) => {
                        let number = self.variables;
                        self.variables += 1;
                        let default = default.map(str::to_owned);
                        self.push(Piece::Variable { key: key.to_owned(), default, number });
                    }
                    None => self.pieces = None,
                },
            }
        }
    }

    fn finish(self) -> Pattern {
        let Some(mut pieces) = self.pieces else { return Pattern::Nothing };
        match pieces.as_mut_slice() {
            [] => Pattern::Text("".into()),
            [Piece::Star] => Pattern::Any,
            [Piece::Text(text)] => Pattern::Text(std::mem::take(text).into()),
            [Piece::Text(text), Piece::Star] => Pattern::Prefix(std::mem::take(text).into()),
            _ => Pattern::Pieces(pieces.into()),
        }
    }
}

impl Pattern {
    /// A pattern of a `Resource` element: see [`condition::resource`].
    pub fn of_resource(source: &str, version: Version) -> Self {
        if source == "*" {
            return Self::Any;
        }
        let patterns = split_arn(source);
        let mut gathered = Gathered { pieces: Some(Vec::new()), variables: 0 };
        for part in 0..5 {
            let text = patterns.get(part).copied().unwrap_or("*");
            for token in glob::within_part(text) {
                match token {
                    Token::Char(c) => gathered.text(c),
                    Token::Any => gathered.push(Piece::Star),
                    Token::One => gathered.push(Piece::One),
                    Token::OneWithinPart => gathered.push(Piece::OneWithinPart),
                    Token::AnyWithinPart => return Self::Interpreted(source.into()),
                }
            }
            gathered.text(':');
        }
        gathered.read(patterns.get(5).copied().unwrap_or("*"), version, true);
        gathered.finish()
    }

    /// A text with variables, and with wildcards where the operator has them.
    pub fn of_text(source: &str, version: Version, wildcards: bool) -> Self {
        let mut gathered = Gathered { pieces: Some(Vec::new()), variables: 0 };
        gathered.read(source, version, wildcards);
        gathered.finish()
    }

    /// Whether a text matches.
    pub fn matches(&self, text: &str, version: Version, context: &Context) -> bool {
        match self {
            Self::Any => true,
            Self::Text(own) => **own == *text,
            Self::Prefix(own) => text.starts_with(&**own),
            Self::Pieces(pieces) => pieces_match(pieces, text, context),
            Self::Nothing => false,
            Self::Interpreted(source) => condition::resource(source, text, version, context),
        }
    }
}

/// The text that a variable stands for; `None` where it has no value, and the pattern matches nothing.
fn value<'v>(key: &str, default: Option<&'v str>, context: &'v Context) -> Option<&'v str> {
    match context.get(key) {
        Some(Values::One(value)) => Some(value),
        // A key of many values has no one value to put in.
        Some(Values::Many(_)) => None,
        None => default,
    }
}

/// Values of variables that are looked up once for a match. A pattern with more looks the others up
/// wherever it meets them.
const REMEMBERED: usize = 8;

/// As [`glob`]'s way by the last star, over pieces.
fn pieces_match(pieces: &[Piece], text: &str, context: &Context) -> bool {
    let mut needed = 0;
    let mut values = [""; REMEMBERED];
    let mut variables = 0;
    for piece in pieces {
        needed += match piece {
            Piece::Text(text) => text.len(),
            Piece::Star => 0,
            Piece::One | Piece::OneWithinPart => 1,
            Piece::Variable { key, default, .. } => match value(key, default.as_deref(), context) {
                Some(value) => {
                    if let Some(place) = values.get_mut(variables) {
                        *place = value;
                    }
                    variables += 1;
                    value.len()
                }
                None => return false,
            },
        };
    }
    if needed > text.len() {
        return false;
    }
    let (mut at, mut rest) = (0, text);
    // What follows the last star, and the text that it has not taken.
    let mut last: Option<(usize, &str)> = None;
    loop {
        glob::steps::add(match pieces.get(at) {
            Some(Piece::Text(text)) => text.len().min(rest.len()) + 1,
            Some(Piece::Variable { .. }) => rest.len() + 1,
            _ => 1,
        });
        let after = match pieces.get(at) {
            Some(Piece::Star) => {
                at += 1;
                if at == pieces.len() {
                    return true;
                }
                last = Some((at, rest));
                continue;
            }
            None if rest.is_empty() => return true,
            None => None,
            Some(Piece::Text(text)) => rest.strip_prefix(text.as_str()),
            Some(Piece::One) => rest.chars().next().map(|c| &rest[c.len_utf8()..]),
            Some(Piece::OneWithinPart) => {
                rest.chars().next().filter(|c| *c != ':').map(|c| &rest[c.len_utf8()..])
            }
            Some(Piece::Variable { key, default, number }) => match values.get(*number) {
                Some(value) => rest.strip_prefix(value),
                None => value(key, default.as_deref(), context)
                    .and_then(|value| rest.strip_prefix(value)),
            },
        };
        if let Some(after) = after {
            (at, rest) = (at + 1, after);
            continue;
        }
        let Some((follows, from)) = &mut last else { return false };
        let Some(c) = from.chars().next() else { return false };
        *from = &from[c.len_utf8()..];
        (at, rest) = (*follows, from);
    }
}
