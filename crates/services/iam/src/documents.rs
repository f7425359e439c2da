//! Identity policies as they are kept: the text as it was given, and the parsed document beside it.

use crate::errors;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ringfence_policy::document::{Effect, Matching, Statement, Version};
use ringfence_policy::{Document, Kind, parse};
use ringfence_wire::ServiceError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// A policy of a user, group or role, or a version of a managed one. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct IdentityPolicy {
    text: Arc<str>,
    document: Arc<Document>,
}

impl IdentityPolicy {
    /// Parses a document that a caller gave.
    ///
    /// # Errors
    /// `MalformedPolicyDocument`.
    pub fn parse(text: &str) -> Result<Self, ServiceError> {
        let document = parse(text, Kind::Identity).map_err(|why| errors::malformed(&why))?;
        Ok(Self { text: text.into(), document: Arc::new(document) })
    }

    /// As [`IdentityPolicy::parse`], for managed policies, which must be in the current language.
    ///
    /// # Errors
    /// `MalformedPolicyDocument`.
    pub fn parse_managed(text: &str) -> Result<Self, ServiceError> {
        let policy = Self::parse(text)?;
        match policy.document.version {
            Version::V2012 => Ok(policy),
            Version::V2008 => Err(errors::old_language()),
        }
    }

    #[cfg(test)]
    pub fn of(text: &str, document: Document) -> Self {
        Self { text: text.into(), document: Arc::new(document) }
    }

    /// As it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As answers carry it.
    pub fn encoded(&self) -> String {
        encoded(&self.text)
    }

    /// As it is decided on.
    pub fn document(&self) -> &Arc<Document> {
        &self.document
    }
}

/// What is kept is the text alone.
impl Serialize for IdentityPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for IdentityPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::trusted(Arc::<str>::deserialize(deserializer)?))
    }
}

impl IdentityPolicy {
    /// A policy that was accepted when it was written: one of the store's, or of AWS's own.
    pub fn trusted(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let document = parse(&text, Kind::Identity).unwrap_or_else(|why| {
            tracing::error!(%why, "a stored policy is not understood: it denies everything");
            deny_all()
        });
        Self { text, document: Arc::new(document) }
    }
}

/// What stands for a stored policy that a later program does not understand. An empty document
/// would drop the denials that it may hold.
fn deny_all() -> Document {
    Document::new(
        Version::V2012,
        None,
        vec![Statement {
            sid: None,
            effect: Effect::Deny,
            principal: None,
            action: Matching::These(vec!["*".into()]),
            resource: Some(Matching::These(vec!["*".into()])),
            conditions: Vec::new(),
        }],
    )
}

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A document as IAM's answers carry it: percent-encoded by RFC 3986.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_percent_encoded_but_for_unreserved_characters() {
        assert_eq!(encoded("{\"a\": \"b-._~*\"}"), "%7B%22a%22%3A%20%22b-._~%2A%22%7D");
    }

    #[test]
    fn a_managed_policy_is_in_the_current_language() {
        let text = |version: &str| {
            format!(
                r#"{{{version}"Statement":[{{"Effect":"Allow","Action":"s3:*","Resource":"*"}}]}}"#
            )
        };
        for old in ["", r#""Version":"2008-10-17","#] {
            assert!(IdentityPolicy::parse(&text(old)).is_ok());
            let refused = IdentityPolicy::parse_managed(&text(old)).unwrap_err();
            assert_eq!(refused.code, "MalformedPolicyDocument");
        }
        assert!(IdentityPolicy::parse_managed(&text(r#""Version":"2012-10-17","#)).is_ok());
    }

    #[test]
    fn a_stored_policy_that_is_not_understood_denies_everything() {
        let bytes = rmp_serde::to_vec("{ no policy").unwrap();
        let policy: IdentityPolicy = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(policy.text(), "{ no policy");
        assert_eq!(policy.document().statements[0].effect, Effect::Deny);
    }
}
