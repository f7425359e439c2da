//! Grants gathered into statements: actions of one service with the same resources and conditions.

use super::conditions::{self, Conditions};
use super::formats;
use crate::reference::{self, AccessLevel, Action};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A statement before it is JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub sid: String,
    pub actions: Vec<String>,
    pub resources: Vec<String>,
    pub conditions: Conditions,
}

/// What is to be granted, by service, conditions and resources.
#[derive(Debug, Default)]
pub(super) struct Grants(BTreeMap<(String, Conditions, BTreeSet<String>), BTreeSet<String>>);

impl Grants {
    /// An action on resources under conditions.
    pub fn add(&mut self, action: &str, resources: BTreeSet<String>, conditions: Conditions) {
        let vendor = action.split(':').next().unwrap_or_default().to_owned();
        self.0.entry((vendor, conditions, resources)).or_default().insert(action.to_owned());
    }

    /// Statements in an order for readers: by service; what is on named resources first; by action.
    pub fn statements(self) -> Vec<Statement> {
        let mut out: Vec<Statement> = self
            .0
            .into_iter()
            .map(|((_, conditions, resources), actions)| Statement {
                sid: sid(&actions, &resources),
                actions: actions.into_iter().collect(),
                resources: resources.into_iter().collect(),
                conditions,
            })
            .collect();
        out.sort_by(|a, b| order(a).cmp(&order(b)));
        number(&mut out);
        out
    }
}

fn order(statement: &Statement) -> (&str, bool, &[String], &[String], &Conditions) {
    let vendor = statement.actions.first().and_then(|action| action.split(':').next());
    let on_all = statement.resources.first().is_some_and(|resource| resource == "*");
    let Statement { actions, resources, conditions, .. } = statement;
    (vendor.unwrap_or_default(), on_all, actions, resources, conditions)
}

/// Gives those of the same name numbers: a document has a Sid once.
pub(super) fn number(statements: &mut [Statement]) {
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for statement in statements {
        let n = taken.entry(statement.sid.clone()).or_default();
        *n += 1;
        if *n > 1 {
            // A name ends in a letter, so that its numbers are no other's.
            statement.sid = format!("{}{n}", statement.sid);
        }
    }
}

/// What a statement is about: the service, the access levels, the type of resource: `S3ReadObject`.
fn sid(actions: &BTreeSet<String>, resources: &BTreeSet<String>) -> String {
    let mut out = String::new();
    let known: Vec<&Action> = actions.iter().filter_map(|name| reference::action(name)).collect();
    let vendor = actions.first().and_then(|action| action.split(':').next()).unwrap_or_default();
    push_words(&mut out, vendor);
    let mut levels = ["List", "Read", "Write", "Tag", "Manage"]
        .into_iter()
        .filter(|level| known.iter().any(|action| *level == word(action.access_level)));
    let mut any = false;
    for level in levels.by_ref() {
        out.push_str(level);
        any = true;
    }
    if !any || known.len() < actions.len() {
        out.push_str("Use");
    }
    if let Some(kind) = type_of(&known, resources) {
        push_words(&mut out, kind);
    }
    if out.ends_with(|c: char| c.is_ascii_digit()) {
        out.push('x');
    }
    out
}

const fn word(level: AccessLevel) -> &'static str {
    match level {
        AccessLevel::List => "List",
        AccessLevel::Read => "Read",
        AccessLevel::Write => "Write",
        AccessLevel::Tagging => "Tag",
        AccessLevel::PermissionsManagement => "Manage",
    }
}

/// The one type that all of the resources are of.
fn type_of(known: &[&Action], resources: &BTreeSet<String>) -> Option<&'static str> {
    let action = known.first()?;
    let mut types = resources.iter().map(|arn| formats::take(action, arn).map(|t| t.type_name));
    let first = types.next()??;
    types.all(|other| other == Some(first)).then_some(first)
}

/// Adds letters and digits, each run of letters with a capital at its head.
fn push_words(out: &mut String, text: &str) {
    let mut head = true;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(if head { c.to_ascii_uppercase() } else { c });
            head = false;
        } else {
            head = true;
        }
    }
}

impl Statement {
    /// As JSON. A lone resource or value is no list.
    pub fn json(&self) -> Value {
        let mut out = Map::new();
        out.insert("Sid".into(), self.sid.clone().into());
        out.insert("Effect".into(), "Allow".into());
        out.insert("Action".into(), self.actions.clone().into());
        out.insert("Resource".into(), one_or_all(self.resources.iter()));
        if !self.conditions.is_empty() {
            let mut block: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
            for (key, values) in &self.conditions {
                let of_operator = block.entry(conditions::operator(key)).or_default();
                of_operator.insert(key.clone(), one_or_all(values.iter()));
            }
            out.insert("Condition".into(), json!(block));
        }
        Value::Object(out)
    }
}

fn one_or_all<'t>(texts: impl ExactSizeIterator<Item = &'t String>) -> Value {
    let mut all: Vec<&String> = texts.collect();
    match all.as_mut_slice() {
        [one] => Value::String((*one).clone()),
        _ => all.into_iter().cloned().collect(),
    }
}
