//! Where the parts of a policy stand in its text.

use crate::lint::tree::{self, Lines, Node};
use serde::Serialize;

/// A stretch of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Its first character.
    pub start: Position,
    /// The character after its last.
    pub end: Position,
}

/// A place in a text, counted in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 0, within the line.
    pub column: usize,
    /// From 0, within the text.
    pub offset: usize,
}

/// The text of a policy, read for its places.
pub struct Source<'t> {
    root: Node,
    lines: Lines<'t>,
}

impl<'t> Source<'t> {
    /// Reads a text; `None` where it is not JSON.
    pub fn read(text: &'t str) -> Option<Self> {
        let root = tree::read(text).ok()?;
        Some(Self { root, lines: Lines::new(text) })
    }

    fn node(&self, index: usize) -> Option<&Node> {
        let statements = self.root.entries().iter().find(|entry| entry.key == "Statement")?;
        statements.node.items().get(index)
    }

    /// The statement at a place of the policy, from 0.
    pub fn statement(&self, index: usize) -> Option<Span> {
        Some(self.lines.span(&self.node(index)?.at))
    }

    /// One of its elements or their `Not` forms, the key with its value: `Action`.
    pub fn element(&self, statement: usize, name: &str) -> Option<Span> {
        let is = |key: &str| key == name || key.strip_prefix("Not") == Some(name);
        let entry = self.node(statement)?.entries().iter().find(|entry| is(&entry.key))?;
        Some(self.lines.span(&(entry.key_at.start..entry.node.at.end)))
    }

    /// Its condition at a place, from 0, in the order of the text: the key with its values.
    pub fn condition(&self, statement: usize, place: usize) -> Option<Span> {
        let entries = self.node(statement)?.entries();
        let conditions = entries.iter().find(|entry| entry.key == "Condition")?;
        let operators = conditions.node.entries().iter();
        let entry = operators.flat_map(|operator| operator.node.entries()).nth(place)?;
        Some(self.lines.span(&(entry.key_at.start..entry.node.at.end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_elements_and_conditions_are_found_where_they_stand() {
        let text = r#"{"Statement": [
            {"Effect": "Allow", "NotAction": "a:b", "Condition": {
                "Bool": {"aws:SecureTransport": "true"},
                "StringEquals": {"aws:username": ["é", "b"], "aws:userid": "c"}}},
            {"Effect": "Deny"}]}"#;
        let source = Source::read(text).unwrap();
        let at = |span: Option<Span>| {
            let Span { start, end } = span.unwrap();
            text.chars().skip(start.offset).take(end.offset - start.offset).collect::<String>()
        };
        assert_eq!(at(source.statement(1)), r#"{"Effect": "Deny"}"#);
        assert_eq!(at(source.element(0, "Action")), r#""NotAction": "a:b""#);
        assert_eq!(at(source.condition(0, 1)), r#""aws:username": ["é", "b"]"#);
        assert_eq!(at(source.condition(0, 2)), r#""aws:userid": "c""#);
        assert_eq!(source.statement(1).unwrap().start.line, 5);
        assert_eq!(source.condition(0, 3), None);
        assert_eq!(source.element(1, "Action"), None);
        let one = r#"{"Statement": {"Effect": "Deny"}}"#;
        assert_eq!(Source::read(one).unwrap().statement(0).unwrap().start.offset, 14);
        assert!(Source::read("{").is_none());
    }
}
