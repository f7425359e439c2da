//! Key policies: who may do what with a key, from which everything else follows.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html>

use crate::errors;
use ringfence_policy::document::{Effect, Matching, PrincipalPattern, Statement, Version};
use ringfence_policy::{AccountId, Document, Kind, parse};
use ringfence_wire::ServiceError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// The one name that a key policy has.
pub(crate) const NAME: &str = "default";

/// A key's policy: the text as it was given, and as it is decided on.
#[derive(Debug, Clone)]
pub(crate) struct KeyPolicy {
    text: Arc<str>,
    document: Arc<Document>,
}

impl KeyPolicy {
    /// Parses a document that a caller gave.
    ///
    /// # Errors
    /// `MalformedPolicyDocumentException`.
    pub fn parse(text: &str) -> Result<Self, ServiceError> {
        let document = parse(text, Kind::Resource).map_err(errors::malformed_policy)?;
        Ok(Self { text: text.into(), document: Arc::new(document) })
    }

    /// The policy of a key that was made without one: the account decides by IAM's policies.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html>
    pub fn standard(account: AccountId) -> Self {
        let text = format!(
            r#"{{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {{
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "arn:aws:iam::{account}:root"
    }},
    "Action" : "kms:*",
    "Resource" : "*"
  }} ]
}}"#
        );
        Self { document: Arc::new(of_account(account)), text: text.into() }
    }

    /// As it was given.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// As it is decided on.
    pub fn document(&self) -> &Arc<Document> {
        &self.document
    }
}

/// A document by which an account decides by IAM's policies: it stands for the policy of a key that is
/// not there, so that whoever may ask for it hears that, and nobody else does.
pub(crate) fn of_account(account: AccountId) -> Document {
    let allowing = Statement {
        sid: None,
        effect: Effect::Allow,
        principal: Some(Matching::These(vec![PrincipalPattern::Account(account)])),
        action: Matching::These(vec!["kms:*".into()]),
        resource: Some(Matching::These(vec!["*".into()])),
        conditions: Vec::new(),
    };
    Document::new(Version::V2012, None, vec![allowing])
}

/// A document that allows nobody: grants alone decide.
pub(crate) fn of_nobody() -> Document {
    Document::new(Version::V2012, None, Vec::new())
}

/// What is kept is the text alone.
impl Serialize for KeyPolicy {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for KeyPolicy {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Arc::<str>::deserialize(from)?;
        let document = parse(&text, Kind::Resource).unwrap_or_else(|why| {
            tracing::error!(%why, "a stored key policy is not understood: it allows nobody");
            Document::new(Version::V2012, None, Vec::new())
        });
        Ok(Self { text, document: Arc::new(document) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_policy_is_what_its_text_says() {
        let account = AccountId::new(7).unwrap();
        let standard = KeyPolicy::standard(account);
        let parsed = KeyPolicy::parse(standard.text()).unwrap();
        let statement = &parsed.document().statements[0];
        let of_account = &of_account(account).statements[0];
        assert_eq!(statement.principal, of_account.principal);
        assert_eq!(
            (&statement.action, &statement.resource),
            (&of_account.action, &of_account.resource)
        );
        assert_eq!(statement.effect, of_account.effect);
    }
}
