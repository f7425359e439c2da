//! From JSON to a [`Document`], with AWS's words for what is wrong.

use crate::document::Document;

/// Where a document is to be used: the rules differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Attached to a user, group or role, or a boundary or session policy: no `Principal`.
    Identity,
    /// Attached to a resource: a `Principal`.
    Resource,
    /// A role's trust policy: a `Principal`, no `Resource`.
    Trust,
}

/// A document that is no policy. Its text is the message of AWS's `MalformedPolicyDocument`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// Parses and validates.
pub fn parse(_text: &str, _kind: Kind) -> Result<Document, Malformed> {
    Err(Malformed("This policy contains invalid Json".into()))
}
