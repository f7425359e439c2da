//! Documents in the form for deciding: made once, filled as actions are asked for.
//!
//! ```text
//!  Document ──once──► Compiled: each statement's patterns split into pieces, its condition values
//!                     parsed
//!               └───► rows: action ──first asked for──► the statements that deny it, and those
//!                                                       that allow it
//! ```
//!
//! A decision looks a row up and tests what is left of the few statements in it: resource, principal
//! and conditions. It allocates nothing, but for the rare pattern with a wildcard inside a part of an
//! ARN, and for an action whose place among the rows is taken.

mod condition;
mod pattern;
mod rows;

pub(crate) use rows::{Action, Row, speaks_of};

use crate::context::Context;
use crate::document::{Document, Matching, Version};
use condition::Test;
use pattern::Pattern;
use rows::Rows;

/// A document's statements, ready.
pub(crate) struct Compiled {
    statements: Box<[Statement]>,
    rows: Rows,
}

/// What a statement asks beside action and principal.
struct Statement {
    resource: Option<Matching<Box<[Pattern]>>>,
    conditions: Box<[Test]>,
}

impl Compiled {
    pub fn new(document: &Document) -> Self {
        let version = document.version;
        let resources = |patterns: &Vec<String>| -> Box<[Pattern]> {
            patterns.iter().map(|text| Pattern::of_resource(text, version)).collect()
        };
        let statements = document
            .statements
            .iter()
            .map(|statement| Statement {
                resource: statement.resource.as_ref().map(|resource| match resource {
                    Matching::These(patterns) => Matching::These(resources(patterns)),
                    Matching::AllBut(patterns) => Matching::AllBut(resources(patterns)),
                }),
                conditions: statement.conditions.iter().map(|c| Test::new(c, version)).collect(),
            })
            .collect();
        Self { statements, rows: Rows::default() }
    }

    /// The statements of a document that speak of an action.
    pub fn row<'c>(&'c self, document: &Document, action: &Action<'_>) -> Row<'c> {
        self.rows.get(action, document)
    }

    /// Whether a statement speaks of the resource, and its conditions hold; or what fails first.
    pub fn test(
        &self,
        index: usize,
        version: Version,
        resource: &str,
        context: &Context,
    ) -> Result<(), Failed> {
        let statement = self.statements.get(index).ok_or(Failed::Resource)?;
        let resource = statement.resource.as_ref().is_none_or(|resources| {
            let mut patterns = resources.patterns().iter();
            resources.holds(patterns.any(|pattern| pattern.matches(resource, version, context)))
        });
        if !resource {
            return Err(Failed::Resource);
        }
        match statement.conditions.iter().position(|test| !test.holds(version, context)) {
            Some(at) => Err(Failed::Condition(at)),
            None => Ok(()),
        }
    }
}

/// What keeps a statement from applying, apart from its action and principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It speaks of other resources.
    Resource,
    /// The condition at this place does not hold.
    Condition(usize),
}
