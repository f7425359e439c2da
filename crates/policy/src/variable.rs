//! Policy variables: `${aws:username}`, `${aws:PrincipalTag/team, 'none'}`, `${*}`.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>

use crate::context::{Context, Values};
use crate::document::Version;
use crate::glob::Token;

/// How a text of a document is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// Variables are of the language since 2012-10-17.
    pub version: Version,
    /// Where their values come from.
    pub context: &'a Context,
    /// Whether `*` and `?` are wildcards here.
    pub wildcards: bool,
}

impl Reading<'_> {
    /// The tokens of a text with its variables replaced; `None` where one has no value: then the
    /// text matches nothing.
    pub fn tokens(&self, text: &str) -> Option<Vec<Token>> {
        let mut out = Vec::with_capacity(text.len());
        for part in parts(text, self.version) {
            match part {
                Part::Variable(name) => out.extend(self.value(name)?.chars().map(Token::Char)),
                Part::Char('*') if self.wildcards => out.push(Token::Any),
                Part::Char('?') if self.wildcards => out.push(Token::One),
                Part::Char(c) => out.push(Token::Char(c)),
            }
        }
        Some(out)
    }

    /// The text with its variables replaced, for comparisons without wildcards.
    pub fn text(&self, text: &str) -> Option<String> {
        let tokens = Reading { wildcards: false, ..*self }.tokens(text)?;
        Some(
            tokens
                .into_iter()
                .filter_map(|token| match token {
                    Token::Char(c) => Some(c),
                    _ => None,
                })
                .collect(),
        )
    }

    /// The value of what stands between `${` and `}`.
    fn value(&self, name: &str) -> Option<String> {
        let (key, default) = match named(name)? {
            Named::Literal(text) => return Some(text.to_owned()),
            Named::Key { key, default } => (key, default),
        };
        match self.context.get(key) {
            Some(Values::One(value)) => Some(value.to_string()),
            // A key of many values has no one value to put in.
            Some(Values::Many(_)) => None,
            None => default.map(str::to_owned),
        }
    }
}

/// What stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'t> {
    /// A character.
    Char(char),
    /// What stands between `${` and `}`.
    Variable(&'t str),
}

/// The characters and, in documents that have them, variables of a text.
pub(crate) fn parts(text: &str, version: Version) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    // What is left of the text from its last `}` on.
    let last_close = text.rfind('}').map(|at| text.len() - at);
    std::iter::from_fn(move || {
        if version >= Version::V2012
            && let Some((name, after)) =
                variable(rest, last_close.is_some_and(|left| rest.len() > left))
        {
            rest = after;
            return Some(Part::Variable(name));
        }
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        Some(Part::Char(c))
    })
}

/// What a variable stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named<'t> {
    /// `${*}`, `${?}` and `${$}`: the character itself.
    Literal(&'t str),
    /// A condition key, and the text for where it is absent.
    Key { key: &'t str, default: Option<&'t str> },
}

/// Reads what stands between `${` and `}`; `None` for a default that is not quoted.
pub(crate) fn named(name: &str) -> Option<Named<'_>> {
    if matches!(name, "*" | "?" | "$") {
        return Some(Named::Literal(name));
    }
    let Some((key, default)) = name.split_once(',') else {
        return Some(Named::Key { key: name.trim(), default: None });
    };
    let quoted = default.trim().strip_prefix('\'').and_then(|d| d.strip_suffix('\''))?;
    Some(Named::Key { key: key.trim(), default: Some(quoted) })
}

/// The name of the variable at the start of a text, and what follows it. `${}` names nothing.
/// `closed` says whether a `}` is still to come: who does not know it looks to the end of the text
/// at every `${`.
fn variable(text: &str, closed: bool) -> Option<(&str, &str)> {
    let inner = text.strip_prefix("${").filter(|_| closed)?;
    let end = inner.find('}').filter(|end| *end > 0)?;
    Some((&inner[..end], &inner[end + 1..]))
}

/// Cuts a pattern at its colons, but not inside variables, whose names hold colons too.
pub(crate) fn split_arn(pattern: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut from = 0;
    let mut at = 0;
    let last_close = pattern.rfind('}');
    while at < pattern.len() && parts.len() < 5 {
        let rest = &pattern[at..];
        if let Some((name, _)) = variable(rest, last_close.is_some_and(|last| last > at)) {
            at += name.len() + 3;
            continue;
        }
        let c = rest.chars().next().map_or(1, char::len_utf8);
        if rest.starts_with(':') {
            parts.push(&pattern[from..at]);
            from = at + 1;
        }
        at += c;
    }
    parts.push(&pattern[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_needs_its_end_and_a_name() {
        let read = |text| parts(text, Version::V2012).collect::<Vec<_>>();
        assert_eq!(read("${a}"), [Part::Variable("a")]);
        assert_eq!(read("${a}${"), [Part::Variable("a"), Part::Char('$'), Part::Char('{')]);
        assert_eq!(read("${}"), [Part::Char('$'), Part::Char('{'), Part::Char('}')]);
        assert_eq!(read("}${a"), ['}', '$', '{', 'a'].map(Part::Char));
        assert_eq!(read("${${a}"), [Part::Variable("${a")]);
        assert_eq!(split_arn("arn:${a:b}:c"), ["arn", "${a:b}", "c"]);
        assert_eq!(split_arn("arn:${a:b"), ["arn", "${a", "b"]);
    }

    #[test]
    fn very_many_variables_without_an_end_are_read_in_passing() {
        // Looking for the end at each of them would take minutes.
        let text = "${".repeat(2_000_000);
        assert_eq!(parts(&text, Version::V2012).count(), text.len());
        assert_eq!(split_arn(&text), [text.as_str()]);
    }
}
