//! What a signed assertion says.
//! <https://docs.oasis-open.org/security/saml/v2.0/saml-core-2.0-os.pdf>

use super::Unbelieved;
use super::xml::{ASSERTION, Tree};
use ringfence_wire::Timestamp;
use ringfence_wire::shape::TimestampFormat;
use uppsala::NodeId;

const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const UNSPECIFIED: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified";

/// An assertion. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    pub issuer: String,
    pub issued: i64,
    pub subject: String,
    /// The format of the subject's name, as it stands.
    pub format: String,
    /// Where and until when a bearer may present it.
    pub confirmations: Vec<Confirmation>,
    pub not_before: Option<i64>,
    pub not_on_or_after: Option<i64>,
    /// What each restriction of audience lets in: all must.
    pub audiences: Vec<Vec<String>>,
    pub session_not_on_or_after: Option<i64>,
    pub attributes: Vec<Attribute>,
}

/// How a bearer confirms to be the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    pub recipient: String,
    pub not_before: Option<i64>,
    pub not_on_or_after: Option<i64>,
}

/// An attribute of the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub friendly: Option<String>,
    pub values: Vec<String>,
}

impl Assertion {
    /// Reads the bytes that a signature covers.
    ///
    /// # Errors
    /// [`Unbelieved::Form`].
    pub fn of_signed(text: &str) -> Result<Self, Unbelieved> {
        let tree = Tree::parse(text).ok_or(Unbelieved::Form)?;
        let root = tree.root().filter(|root| tree.is(*root, ASSERTION, "Assertion"));
        Self::read(&tree, root.ok_or(Unbelieved::Form)?)
    }

    /// Reads an assertion of a tree that is signed as a whole.
    ///
    /// # Errors
    /// [`Unbelieved::Form`].
    pub fn read(tree: &Tree<'_>, node: NodeId) -> Result<Self, Unbelieved> {
        Self::of(tree, node).ok_or(Unbelieved::Form)
    }

    fn of(tree: &Tree<'_>, node: NodeId) -> Option<Self> {
        if tree.attribute(node, "Version")? != "2.0" {
            return None;
        }
        let text = |node| Some(tree.text(node)?.trim().to_owned()).filter(|text| !text.is_empty());
        let subject = tree.child(node, ASSERTION, "Subject")?;
        let name = tree.child(subject, ASSERTION, "NameID")?;
        let confirmations = tree
            .children(subject, ASSERTION, "SubjectConfirmation")
            .into_iter()
            .filter(|one| tree.attribute(*one, "Method") == Some(BEARER))
            .map(|one| {
                let data = tree.child(one, ASSERTION, "SubjectConfirmationData")?;
                Some(Confirmation {
                    recipient: tree.attribute(data, "Recipient")?.to_owned(),
                    not_before: time(tree, data, "NotBefore")?,
                    not_on_or_after: time(tree, data, "NotOnOrAfter")?,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        let conditions = tree.child(node, ASSERTION, "Conditions")?;
        let audiences = tree
            .children(conditions, ASSERTION, "AudienceRestriction")
            .into_iter()
            .map(|one| tree.children(one, ASSERTION, "Audience").into_iter().map(text).collect())
            .collect::<Option<Vec<_>>>()?;
        let mut session_ends: Option<i64> = None;
        for statement in tree.children(node, ASSERTION, "AuthnStatement") {
            if let Some(end) = time(tree, statement, "SessionNotOnOrAfter")? {
                session_ends = Some(session_ends.map_or(end, |other| other.min(end)));
            }
        }
        let mut attributes = Vec::new();
        for statement in tree.children(node, ASSERTION, "AttributeStatement") {
            for attribute in tree.children(statement, ASSERTION, "Attribute") {
                let values = tree.children(attribute, ASSERTION, "AttributeValue");
                // A value that is no text, as `eduPersonTargetedID` may be, is passed over.
                let values = values.into_iter().filter_map(|value| tree.text(value));
                attributes.push(Attribute {
                    name: tree.attribute(attribute, "Name")?.to_owned(),
                    friendly: tree.attribute(attribute, "FriendlyName").map(str::to_owned),
                    values: values.map(|value| value.trim().to_owned()).collect(),
                });
            }
        }
        Some(Self {
            issuer: text(tree.child(node, ASSERTION, "Issuer")?)?,
            issued: time(tree, node, "IssueInstant")??,
            subject: text(name)?,
            format: tree.attribute(name, "Format").unwrap_or(UNSPECIFIED).to_owned(),
            confirmations,
            not_before: time(tree, conditions, "NotBefore")?,
            not_on_or_after: time(tree, conditions, "NotOnOrAfter")?,
            audiences,
            session_not_on_or_after: session_ends,
            attributes,
        })
    }

    /// The values of every attribute of a name.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.attributes.iter().filter(|attribute| attribute.name == name);
        named.flat_map(|attribute| attribute.values.iter().map(String::as_str)).collect()
    }
}

/// A time that an attribute tells: `Some(None)` where there is none, `None` where it is no time.
fn time(tree: &Tree<'_>, node: NodeId, name: &str) -> Option<Option<i64>> {
    match tree.attribute(node, name) {
        None => Some(None),
        Some(text) => Some(Some(Timestamp::parse(text, TimestampFormat::DateTime)?.seconds)),
    }
}
