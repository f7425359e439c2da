//! JSON as a tree that knows where each of its parts stands in the text. Keys that stand twice are
//! both kept.

use super::finding::{Location, PathElement, Position, Span};
use jiter::{Jiter, JiterResult, Peek};
use std::ops::Range;

/// How deep values may nest. A policy needs six levels; a reader of serde_json's stops here too.
const DEPTH: usize = 128;

/// A value and its place, in bytes; a string's includes its quotes.
#[derive(Debug)]
pub(crate) struct Node {
    pub at: Range<usize>,
    pub value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// A number as it is written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of an object and its value.
#[derive(Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub key_at: Range<usize>,
    pub node: Node,
}

impl Node {
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of an object; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of an array; anything else is its own one item.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// Whether it is `[]`.
    pub fn is_empty_list(&self) -> bool {
        matches!(&self.value, Value::List(items) if items.is_empty())
    }

    /// Whether it is `{}`.
    pub fn is_empty_map(&self) -> bool {
        matches!(&self.value, Value::Map(entries) if entries.is_empty())
    }

    /// The text of a string, number or Boolean, as conditions read it.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            Value::Bool(true) => Some("true"),
            Value::Bool(false) => Some("false"),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }
}

/// Reads a document; the error is where it stops being JSON, in bytes.
pub(crate) fn read(text: &str) -> Result<Node, usize> {
    let mut reader = Reader { jiter: Jiter::new(text.as_bytes()), bytes: text.as_bytes() };
    let read = reader.document();
    read.map_err(|Fault(at)| floor(text, at))
}

/// The start of the character that a byte belongs to.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Where it stops being JSON, or goes too deep.
struct Fault(usize);

impl From<jiter::JiterError> for Fault {
    fn from(error: jiter::JiterError) -> Self {
        Self(error.index)
    }
}

struct Reader<'a> {
    jiter: Jiter<'a>,
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Node, Fault> {
        let peek = self.jiter.peek()?;
        let node = self.value(peek, 0)?;
        self.jiter.finish()?;
        Ok(node)
    }

    /// Reads the value that has been peeked at.
    fn value(&mut self, peek: Peek, depth: usize) -> Result<Node, Fault> {
        let start = self.jiter.current_index();
        if depth == DEPTH {
            return Err(Fault(start));
        }
        let value = match peek {
            Peek::Null => {
                self.jiter.known_null()?;
                Value::Null
            }
            Peek::True | Peek::False => Value::Bool(self.jiter.known_bool(peek)?),
            Peek::String => Value::Text(self.jiter.known_str()?.to_owned()),
            Peek::Array => {
                let mut items = Vec::new();
                let mut next = self.jiter.known_array()?;
                while let Some(peek) = next {
                    items.push(self.value(peek, depth + 1)?);
                    next = self.jiter.array_step()?;
                }
                Value::List(items)
            }
            Peek::Object => Value::Map(self.entries(depth)?),
            _ => {
                let digits = self.jiter.known_number_bytes(peek)?;
                Value::Number(String::from_utf8_lossy(digits).into_owned())
            }
        };
        Ok(Node { at: start..self.jiter.current_index(), value })
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<Entry>, Fault> {
        let mut entries = Vec::new();
        let mut key_at = self.key_after(self.jiter.current_index() + 1);
        let mut next = owned(self.jiter.known_object())?;
        while let Some(key) = next {
            let peek = self.jiter.peek()?;
            let node = self.value(peek, depth + 1)?;
            entries.push(Entry { key, key_at, node });
            key_at = self.key_after(self.jiter.current_index());
            next = owned(self.jiter.next_key())?;
        }
        Ok(entries)
    }

    /// Where the key stands that comes next, behind a comma and blanks.
    fn key_after(&self, at: usize) -> Range<usize> {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b',');
        let start = at + rest.iter().take_while(|b| blank(b)).count();
        if self.bytes.get(start) != Some(&b'"') {
            return start..start;
        }
        let mut end = start + 1;
        while let Some(byte) = self.bytes.get(end) {
            match byte {
                b'"' => return start..end + 1,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        start..self.bytes.len()
    }
}

fn owned(key: JiterResult<Option<&str>>) -> Result<Option<String>, Fault> {
    Ok(key?.map(str::to_owned))
}

/// What a finding points at.
#[derive(Debug, Clone)]
pub(crate) enum Place<'a> {
    /// A value.
    Node(&'a Node),
    /// The key of an entry.
    Key(&'a Entry),
    /// Part of a string, in bytes of its text.
    Within(&'a Node, Range<usize>),
    /// A place of the text where there is no JSON.
    At(usize),
}

impl<'a> From<&'a Node> for Place<'a> {
    fn from(node: &'a Node) -> Self {
        Self::Node(node)
    }
}

/// The text's lines, and what is needed to count in characters.
pub(crate) struct Lines<'a> {
    text: &'a str,
    /// Where each line begins, in bytes.
    starts: Vec<usize>,
    /// Where each character begins, in bytes; empty where every character is one byte.
    chars: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(breaks).collect();
        let chars = if text.is_ascii() {
            Vec::new()
        } else {
            text.char_indices().map(|(at, _)| at).collect()
        };
        Self { text, starts, chars }
    }

    fn chars_before(&self, byte: usize) -> usize {
        if self.chars.is_empty() { byte } else { self.chars.partition_point(|at| *at < byte) }
    }

    pub fn position(&self, byte: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = self.starts.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        let offset = self.chars_before(byte);
        Position { line, column: offset - self.chars_before(start), offset }
    }

    pub fn span(&self, at: &Range<usize>) -> Span {
        Span { start: self.position(at.start), end: self.position(at.end) }
    }

    /// The path and the span of a place.
    pub fn locate(&self, root: &Node, place: &Place<'_>) -> Location {
        match place {
            Place::Node(node) => Location { path: path(root, &node.at), span: self.span(&node.at) },
            Place::Key(entry) => {
                Location { path: path(root, &entry.key_at), span: self.span(&entry.key_at) }
            }
            Place::Within(node, part) => {
                let text = node.text().unwrap_or_default();
                let mut path = path(root, &node.at);
                path.push(PathElement::Substring {
                    start: text[..part.start].chars().count(),
                    length: text[part.clone()].chars().count(),
                });
                // Where the string has escapes, its text is not that of the document.
                let plain = node.at.len() == text.len() + 2;
                let at = if plain {
                    node.at.start + 1 + part.start..node.at.start + 1 + part.end
                } else {
                    node.at.clone()
                };
                Location { path, span: self.span(&at) }
            }
            Place::At(at) => {
                let rest = self.text.get(*at..).unwrap_or_default();
                let end = at + rest.chars().next().map_or(0, char::len_utf8);
                Location { path: Vec::new(), span: self.span(&(*at..end)) }
            }
        }
    }
}

/// The path to what stands at a place. No two parts of a document stand at the same.
fn path(root: &Node, at: &Range<usize>) -> Vec<PathElement> {
    let mut path = Vec::new();
    let mut here = root;
    while here.at != *at {
        match &here.value {
            Value::Map(entries) => {
                let after = entries.partition_point(|entry| entry.key_at.start <= at.start);
                let Some(entry) = after.checked_sub(1).and_then(|i| entries.get(i)) else { break };
                if entry.key_at == *at {
                    path.push(PathElement::Key(entry.key.clone()));
                    break;
                }
                path.push(PathElement::Value(entry.key.clone()));
                here = &entry.node;
            }
            Value::List(items) => {
                let after = items.partition_point(|item| item.at.start <= at.start);
                let Some(index) = after.checked_sub(1) else { break };
                path.push(PathElement::Index(index));
                here = &items[index];
            }
            _ => break,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_knows_its_place() {
        let text =
            "{ \"a\\\"é\" :\n [1.50, true, null, \"x\\n\"],\"a\" : {\"b\":\"éé*\"} , \"a\": 2}";
        let root = read(text).unwrap();
        let [first, second, third] = root.entries() else { panic!("three entries") };
        assert_eq!(first.key, "a\"é");
        assert_eq!(&text[first.key_at.clone()], r#""a\"é""#);
        let items: Vec<_> = first.node.items().iter().map(|n| &text[n.at.clone()]).collect();
        assert_eq!(items, ["1.50", "true", "null", r#""x\n""#]);
        assert_eq!((&*second.key, &*third.key), ("a", "a"));
        let b = &second.node.entries()[0];
        let lines = Lines::new(text);
        let location = lines.locate(&root, &Place::Within(&b.node, 4..5));
        assert_eq!(
            location.path,
            [
                PathElement::Value("a".into()),
                PathElement::Value("b".into()),
                PathElement::Substring { start: 2, length: 1 },
            ]
        );
        let Position { line, column, offset } = location.span.start;
        assert_eq!((line, column), (2, 41));
        assert_eq!(text.chars().nth(offset), Some('*'));
    }

    #[test]
    fn what_is_no_json_is_found_where_it_ends() {
        for (text, want) in [
            ("", 0),
            ("{", 1),
            (r#"{"a": }"#, 6),
            (r#"{"a": 1,}"#, 8),
            ("[1 2]", 3),
            ("{} x", 3),
            ("\u{feff}{}", 0),
            ("{'a': 1}", 1),
            ("[NaN]", 1),
        ] {
            assert_eq!(read(text).unwrap_err(), want, "{text}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
        assert!(read(&format!("{}{}", "[".repeat(128), "]".repeat(128))).is_ok());
    }
}
