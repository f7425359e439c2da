//! Key policies: who may do what with a key, from which everything else follows.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html>
//!
//! A user or role that a key policy names by ARN must be there when the policy is put, and it is that very
//! one that is meant: its unique id is kept beside the text as a **pin**. Whoever is made anew under an old
//! name is another, and neither let nor denied by it.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

use crate::errors;
use ringfence_gateway::Directory;
use ringfence_policy::document::{Effect, Matching, PrincipalPattern, Statement, Version};
use ringfence_policy::{AccountId, Arn, Document, Kind, parse};
use ringfence_wire::ServiceError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The one name that a key policy has.
pub(crate) const NAME: &str = "default";

/// A key's policy: the text as it was given, whom it names, and the document that is decided on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub(crate) struct KeyPolicy {
    text: Arc<str>,
    /// ARN as written → unique id.
    pins: Arc<BTreeMap<String, String>>,
    document: Arc<Document>,
    /// The document last decided on while some of the pinned were gone.
    without: Arc<Mutex<Option<Without>>>,
}

/// A document in which unique ids stand for those who are gone.
#[derive(Debug)]
struct Without {
    /// Their ARNs: with the pins, all that the document hangs on.
    gone: Vec<String>,
    document: Arc<Document>,
}

/// What is stored of it. A text alone names nobody, or was stored before there were pins.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    Text(Arc<str>),
    Pinned { text: Arc<str>, pins: Arc<BTreeMap<String, String>> },
}

impl KeyPolicy {
    /// Parses a document that a caller gave, and pins the principals that it names.
    ///
    /// # Errors
    /// `MalformedPolicyDocumentException`, also for a principal that is not there.
    pub fn parse(text: &str, directory: &dyn Directory) -> Result<Self, ServiceError> {
        let document = parse(text, Kind::Resource).map_err(|why| {
            // What cannot name anybody, and what names nobody, are one to KMS.
            if why.0.starts_with("Invalid principal in policy") {
                errors::invalid_principals()
            } else {
                errors::malformed_policy(why)
            }
        })?;
        let mut pins = BTreeMap::new();
        for pattern in principals(&document) {
            match pattern {
                PrincipalPattern::Arn(arn) => match directory.principal_id(arn) {
                    Some(id) => drop(pins.insert(arn.clone(), id)),
                    None if names_session(arn, directory) => {}
                    None => return Err(errors::invalid_principals()),
                },
                PrincipalPattern::UniqueId(_) => return Err(errors::invalid_principals()),
                _ => {}
            }
        }
        Ok(Self::of(text.into(), Arc::new(pins), document))
    }

    fn of(text: Arc<str>, pins: Arc<BTreeMap<String, String>>, document: Document) -> Self {
        Self { text, pins, document: Arc::new(document), without: Arc::default() }
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
        Self::of(text.into(), Arc::default(), of_account(account))
    }

    /// The policy of a key that a service manages: whoever may use the service, through the service
    /// alone; what the key is may be seen by the account.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#aws-managed-key>
    pub fn managed(account: AccountId, service: &str, region: &str) -> Self {
        let text = format!(
            r#"{{
  "Version" : "2012-10-17",
  "Id" : "auto-{service}-1",
  "Statement" : [ {{
    "Sid" : "Use by all principals of the account through {service}",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "*"
    }},
    "Action" : [ "kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey" ],
    "Resource" : "*",
    "Condition" : {{
      "StringEquals" : {{
        "kms:CallerAccount" : "{account}",
        "kms:ViaService" : "{service}.{region}.amazonaws.com"
      }}
    }}
  }}, {{
    "Sid" : "Metadata to the account",
    "Effect" : "Allow",
    "Principal" : {{
      "AWS" : "arn:aws:iam::{account}:root"
    }},
    "Action" : [ "kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant" ],
    "Resource" : "*"
  }} ]
}}"#
        );
        Kept::Text(text.into()).into()
    }

    /// How long it is, in bytes.
    pub fn length(&self) -> usize {
        self.text.len()
    }

    /// As it is shown now: as it was given, with the unique ids of those who are no longer there under the
    /// ARN by which it named them.
    pub fn text(&self, directory: &dyn Directory) -> Arc<str> {
        let gone = self.gone(directory);
        if gone.is_empty() {
            return self.text.clone();
        }
        rewritten(&self.text, &gone).map_or_else(|| self.text.clone(), Into::into)
    }

    /// As it is decided on now.
    pub fn document(&self, directory: &dyn Directory) -> Arc<Document> {
        self.document_without(self.gone(directory))
    }

    /// As it is decided on while these are gone. What is made for them is kept until others are: each
    /// call on the key asks for it, a stranger's too.
    fn document_without(&self, gone: BTreeMap<&str, &str>) -> Arc<Document> {
        if gone.is_empty() {
            return self.document.clone();
        }
        let mut kept = self.without.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(without) = kept.as_ref().filter(|kept| gone.keys().eq(kept.gone.iter())) {
            return without.document.clone();
        }
        let document = Arc::new(self.rewrite(&gone));
        let gone = gone.into_keys().map(ToOwned::to_owned).collect();
        *kept = Some(Without { gone, document: document.clone() });
        document
    }

    /// The document with unique ids in place of the ARNs of those who are gone.
    fn rewrite(&self, gone: &BTreeMap<&str, &str>) -> Document {
        let mut document = Document::clone(&self.document);
        for statement in &mut document.statements {
            let Some(matching) = &mut statement.principal else { continue };
            let (Matching::These(patterns) | Matching::AllBut(patterns)) = matching;
            for pattern in patterns {
                if let PrincipalPattern::Arn(arn) = pattern
                    && let Some(id) = gone.get(arn.as_str())
                {
                    *pattern = PrincipalPattern::UniqueId((*id).to_owned());
                }
            }
        }
        document
    }

    /// The pinned ARNs that no longer mean whom they meant, and who that was.
    fn gone(&self, directory: &dyn Directory) -> BTreeMap<&str, &str> {
        let pins =
            self.pins.iter().filter(|(arn, id)| directory.principal_id(arn).as_ref() != Some(*id));
        pins.map(|(arn, id)| (arn.as_str(), id.as_str())).collect()
    }
}

fn principals(document: &Document) -> impl Iterator<Item = &PrincipalPattern> {
    let named = document.statements.iter().filter_map(|one| one.principal.as_ref());
    named.flat_map(|matching| matching.patterns())
}

/// Whether an ARN is of this partition and of no Region, as those of principals are.
pub(crate) fn is_global(arn: &Arn<'_>) -> bool {
    arn.partition == "aws" && arn.region.is_empty()
}

/// Whether an ARN names a session that there can be: of a role that is there, or a federated user.
pub(crate) fn names_session(arn: &str, directory: &dyn Directory) -> bool {
    let cut = Arn::parse(arn).ok().filter(|cut| cut.service == "sts" && is_global(cut));
    let Some(cut) = cut else { return false };
    let Some(account) = cut.account_id() else { return false };
    let one = |name: &str| !name.is_empty() && !name.contains(['/', '*', '?']);
    match cut.resource.split_once('/') {
        Some(("assumed-role", rest)) => rest
            .split_once('/')
            .is_some_and(|(role, session)| one(session) && directory.role(account, role).is_some()),
        Some(("federated-user", name)) => one(name) && directory.account_exists(account),
        _ => false,
    }
}

/// A policy's text with unique ids in place of ARNs.
fn rewritten(text: &str, ids: &BTreeMap<&str, &str>) -> Option<String> {
    fn each(value: &mut Value) -> &mut [Value] {
        match value {
            Value::Array(list) => list,
            one => std::slice::from_mut(one),
        }
    }
    let mut json: Value = serde_json::from_str(text).ok()?;
    for statement in each(json.get_mut("Statement")?) {
        for element in ["Principal", "NotPrincipal"] {
            let named = statement.get_mut(element).and_then(|named| named.get_mut("AWS"));
            for value in named.map(each).into_iter().flatten() {
                if let Some(id) = value.as_str().and_then(|arn| ids.get(arn)) {
                    *value = (*id).into();
                }
            }
        }
    }
    Some(json.to_string())
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

impl From<Kept> for KeyPolicy {
    fn from(kept: Kept) -> Self {
        let (text, pins) = match kept {
            Kept::Text(text) => (text, Arc::default()),
            Kept::Pinned { text, pins } => (text, pins),
        };
        let document = parse(&text, Kind::Resource).unwrap_or_else(|why| {
            tracing::error!(%why, "a stored key policy is not understood: it allows nobody");
            of_nobody()
        });
        Self::of(text, pins, document)
    }
}

impl From<KeyPolicy> for Kept {
    fn from(policy: KeyPolicy) -> Self {
        match policy.pins.is_empty() {
            true => Self::Text(policy.text),
            false => Self::Pinned { text: policy.text, pins: policy.pins },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_policy_is_what_its_text_says() {
        let account = AccountId::new(7).unwrap();
        let standard = KeyPolicy::standard(account);
        let parsed = KeyPolicy::from(Kept::Text(standard.text.clone()));
        let statement = &parsed.document.statements[0];
        let of_account = &of_account(account).statements[0];
        assert_eq!(statement.principal, of_account.principal);
        assert_eq!(
            (&statement.action, &statement.resource),
            (&of_account.action, &of_account.resource)
        );
        assert_eq!(statement.effect, of_account.effect);
    }

    #[test]
    fn a_document_for_those_who_are_gone_is_made_once() {
        let text = r#"{"Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*","Principal":
            {"AWS":["arn:aws:iam::123456789012:user/ann","arn:aws:iam::123456789012:user/bob"]}}}"#;
        let policy = KeyPolicy::from(Kept::Text(text.into()));
        let (ann, bob) = (
            ("arn:aws:iam::123456789012:user/ann", "AIDA1"),
            ("arn:aws:iam::123456789012:user/bob", "AIDA2"),
        );
        let ids = |document: &Document| {
            let named = principals(document);
            let ids = named.filter_map(|one| match one {
                PrincipalPattern::UniqueId(id) => Some(id.clone()),
                _ => None,
            });
            ids.collect::<Vec<_>>()
        };
        let without = |gone: &[(&'static str, &'static str)]| {
            policy.document_without(gone.iter().copied().collect())
        };
        let once = without(&[ann]);
        assert_eq!(ids(&once), ["AIDA1"]);
        assert!(Arc::ptr_eq(&once, &without(&[ann])));
        assert!(Arc::ptr_eq(&once, &policy.clone().document_without([ann].into())));
        assert_eq!(ids(&without(&[bob])), ["AIDA2"]);
        assert_eq!(ids(&without(&[ann, bob])), ["AIDA1", "AIDA2"]);
        assert!(ids(&without(&[])).is_empty());
    }

    #[test]
    fn pins_are_kept_beside_the_text_and_a_text_alone_is_read() {
        let standard = KeyPolicy::standard(AccountId::new(7).unwrap());
        let pins = BTreeMap::from([("arn:aws:iam::7:user/ann".to_owned(), "AIDA1".to_owned())]);
        let pinned = KeyPolicy { pins: Arc::new(pins), ..standard.clone() };
        for policy in [standard, pinned] {
            let bytes = rmp_serde::to_vec_named(&policy).unwrap();
            let read: KeyPolicy = rmp_serde::from_slice(&bytes).unwrap();
            assert_eq!((&read.text, &read.pins), (&policy.text, &policy.pins));
        }
    }

    #[test]
    fn a_text_shows_the_ids_of_those_who_are_gone_in_principals_alone() {
        let ann = "arn:aws:iam::123456789012:user/ann";
        let text = format!(
            r#"{{"Statement":{{"NotPrincipal":{{"AWS":["{ann}","*"]}},"Condition":{{"ArnEquals":{{"a":"{ann}"}}}}}}}}"#
        );
        let shown = rewritten(&text, &BTreeMap::from([(ann, "AIDA1")])).unwrap();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let statement = &shown["Statement"];
        assert_eq!(statement["NotPrincipal"]["AWS"], serde_json::json!(["AIDA1", "*"]));
        assert_eq!(statement["Condition"]["ArnEquals"]["a"], ann);
    }
}
