//! The model's constraints, checked while a request is read, every violation gathered and worded as
//! AWS words it:
//!
//! `2 validation errors detected: Value '' at 'keyId' failed to satisfy constraint: Member must
//! have length greater than or equal to 1; Value null at 'plaintext' failed to satisfy …`

use crate::shape::{Kind, Member, Pattern, StringShape};
use crate::value::is_sensitive;
use regex::Regex;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock, RwLock};

/// At most this many violations are worded; the rest would only repeat them.
const MOST_VIOLATIONS: usize = 100;

/// Longest value that a message repeats, in bytes.
const LONGEST_VALUE: usize = 2048;

/// One constraint that one value does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, as AWS writes it: `tags.1.member.key`.
    pub path: String,
    /// The value as it is repeated to the caller; `None` when it is sensitive.
    pub value: Option<String>,
    /// What it must be.
    pub rule: Rule,
}

/// A constraint, as a message states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The member must be there.
    NotNull,
    /// Length at least.
    MinLength(u64),
    /// Length at most.
    MaxLength(u64),
    /// Number at least.
    MinValue(String),
    /// Number at most.
    MaxValue(String),
    /// Whole value matches.
    Pattern(&'static str),
    /// One of a set.
    Values(&'static [&'static str]),
}

/// The violations of one request.
#[derive(Debug, Default)]
pub struct Violations(RefCell<Vec<Violation>>);

impl Violations {
    /// What was gathered.
    pub fn into_vec(self) -> Vec<Violation> {
        self.0.into_inner()
    }

    fn add(&self, violation: Violation) {
        let mut all = self.0.borrow_mut();
        if all.len() < MOST_VIOLATIONS {
            all.push(violation);
        }
    }
}

/// The message for these violations.
pub fn message(violations: &[Violation]) -> String {
    let count = violations.len();
    let mut out =
        format!("{count} validation error{} detected: ", if count == 1 { "" } else { "s" });
    for (index, violation) in violations.iter().enumerate() {
        if index > 0 {
            out.push_str("; ");
        }
        // Writing to a String cannot fail.
        let _ = write!(out, "{violation}");
    }
    out
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.rule, &self.value) {
            (Rule::NotNull, _) => f.write_str("Value null")?,
            (_, Some(value)) => write!(f, "Value '{value}'")?,
            (_, None) => f.write_str("Value")?,
        }
        write!(f, " at '{}' failed to satisfy constraint: Member must ", self.path)?;
        match &self.rule {
            Rule::NotNull => f.write_str("not be null"),
            Rule::MinLength(n) => write!(f, "have length greater than or equal to {n}"),
            Rule::MaxLength(n) => write!(f, "have length less than or equal to {n}"),
            Rule::MinValue(n) => write!(f, "have value greater than or equal to {n}"),
            Rule::MaxValue(n) => write!(f, "have value less than or equal to {n}"),
            Rule::Pattern(source) => write!(f, "satisfy regular expression pattern: {source}"),
            Rule::Values(values) => write!(f, "satisfy enum value set: [{}]", values.join(", ")),
        }
    }
}

/// A position in the input being read: a chain of stack frames, so that it costs nothing until a
/// violation needs its text.
pub struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
    violations: &'a Violations,
}

enum Step<'a> {
    Root,
    Member(&'static Member),
    Element(usize),
    Key(&'a str),
    Entry(&'a str),
}

impl<'a> At<'a> {
    /// The whole input; violations go to `violations`.
    pub fn root(violations: &'a Violations) -> Self {
        Self { parent: None, step: Step::Root, violations }
    }

    /// A member of the structure here.
    pub fn member<'b>(&'b self, member: &'static Member) -> At<'b> {
        At { parent: Some(self), step: Step::Member(member), violations: self.violations }
    }

    /// The element with this number (from 1) of the list here.
    pub fn element(&self, number: usize) -> At<'_> {
        At { parent: Some(self), step: Step::Element(number), violations: self.violations }
    }

    /// A key of the map here.
    pub fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        At { parent: Some(self), step: Step::Key(key), violations: self.violations }
    }

    /// The value of a key of the map here.
    pub fn entry<'b>(&'b self, key: &'b str) -> At<'b> {
        At { parent: Some(self), step: Step::Entry(key), violations: self.violations }
    }

    /// The path as messages write it: members begin in lower case.
    pub fn path(&self) -> String {
        let mut out = self.parent.map(At::path).unwrap_or_default();
        let dot = if out.is_empty() { "" } else { "." };
        match self.step {
            Step::Root => {}
            Step::Member(member) => {
                let mut rest = member.name.chars();
                let first = rest.next().map(|c| c.to_ascii_lowercase());
                out.push_str(dot);
                out.extend(first);
                out.push_str(rest.as_str());
            }
            // Writing to a String cannot fail.
            Step::Element(number) => drop(write!(out, "{dot}{number}.member")),
            Step::Key(key) => drop(write!(out, "{dot}{key}.key")),
            Step::Entry(key) => drop(write!(out, "{dot}{key}.member")),
        }
        out
    }

    fn violate(&self, member: &'static Member, rule: Rule, value: impl FnOnce() -> String) {
        let value = (!is_sensitive(member.shape)).then(|| {
            let mut text = value();
            if text.len() > LONGEST_VALUE {
                let cut = (0..=LONGEST_VALUE).rev().find(|i| text.is_char_boundary(*i));
                text.truncate(cut.unwrap_or(0));
                text.push('…');
            }
            text
        });
        self.violations.add(Violation { path: self.path(), value, rule });
    }
}

pub(crate) fn missing(member: &'static Member, at: &At<'_>) {
    at.violations.add(Violation {
        path: at.member(member).path(),
        value: None,
        rule: Rule::NotNull,
    });
}

/// Checks text against its shape.
pub(crate) fn check_text(text: &str, member: &'static Member, at: &At<'_>) {
    let Kind::String(StringShape { min, max, pattern, values }) = &member.shape.kind else {
        return;
    };
    if min.is_some() || max.is_some() {
        let length = text.chars().count() as u64;
        if let Some(max) = max.filter(|max| length > *max) {
            at.violate(member, Rule::MaxLength(max), || text.to_owned());
        }
        if let Some(min) = min.filter(|min| length < *min) {
            at.violate(member, Rule::MinLength(min), || text.to_owned());
        }
    }
    if let Some(pattern) = pattern
        && !matches(pattern, text)
    {
        at.violate(member, Rule::Pattern(pattern.source), || text.to_owned());
    }
    if !values.is_empty() && !values.contains(&text) {
        at.violate(member, Rule::Values(values), || text.to_owned());
    }
}

/// Checks the length of a list or map.
pub(crate) fn check_count(
    count: usize,
    member: &'static Member,
    at: &At<'_>,
    text: &dyn Fn() -> String,
) {
    let (min, max) = match &member.shape.kind {
        Kind::List(list) => (list.min, list.max),
        Kind::Map(map) => (map.min, map.max),
        _ => (None, None),
    };
    check_length(count as u64, min, max, member, at, text);
}

/// Checks the length of bytes.
pub(crate) fn check_bytes(bytes: &[u8], member: &'static Member, at: &At<'_>) {
    if let Kind::Blob(blob) = &member.shape.kind {
        // AWS prints a Java buffer here, whose text is its position and size.
        check_length(bytes.len() as u64, blob.min, blob.max, member, at, &|| {
            let n = bytes.len();
            format!("java.nio.HeapByteBuffer[pos=0 lim={n} cap={n}]")
        });
    }
}

fn check_length(
    length: u64,
    min: Option<u64>,
    max: Option<u64>,
    member: &'static Member,
    at: &At<'_>,
    text: &dyn Fn() -> String,
) {
    if let Some(max) = max.filter(|max| length > *max) {
        at.violate(member, Rule::MaxLength(max), text);
    }
    if let Some(min) = min.filter(|min| length < *min) {
        at.violate(member, Rule::MinLength(min), text);
    }
}

/// Checks a whole number.
pub(crate) fn check_integer(value: i64, member: &'static Member, at: &At<'_>) {
    if let Kind::Integer(shape) = &member.shape.kind {
        if let Some(max) = shape.max.filter(|max| value > *max) {
            at.violate(member, Rule::MaxValue(max.to_string()), || value.to_string());
        }
        if let Some(min) = shape.min.filter(|min| value < *min) {
            at.violate(member, Rule::MinValue(min.to_string()), || value.to_string());
        }
    }
}

/// Checks a float.
pub(crate) fn check_float(value: f64, member: &'static Member, at: &At<'_>) {
    if let Kind::Float(shape) = &member.shape.kind {
        if let Some(max) = shape.max.filter(|max| value > *max) {
            at.violate(member, Rule::MaxValue(max.to_string()), || value.to_string());
        }
        if let Some(min) = shape.min.filter(|min| value < *min) {
            at.violate(member, Rule::MinValue(min.to_string()), || value.to_string());
        }
    }
}

/// Whether the whole text matches. Patterns are compiled when first used, and kept.
fn matches(pattern: &Pattern, text: &str) -> bool {
    static COMPILED: OnceLock<RwLock<HashMap<&'static str, Option<Arc<Regex>>>>> = OnceLock::new();
    let Some(source) = pattern.regex else { return true };
    let compiled = COMPILED.get_or_init(RwLock::default);
    let known = match compiled.read() {
        Ok(map) => map.get(source).cloned(),
        Err(_) => None,
    };
    let regex = known.unwrap_or_else(|| {
        let regex = Regex::new(&format!(r"\A(?:{source})\z")).ok().map(Arc::new);
        if let Ok(mut map) = compiled.write() {
            map.insert(source, regex.clone());
        }
        regex
    });
    // A pattern that does not compile constrains nothing; `xtask models` refuses to emit one.
    regex.is_none_or(|regex| regex.is_match(text))
}
