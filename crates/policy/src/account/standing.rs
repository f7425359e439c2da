//! What a principal's policies come to, for comparing two exports of an account.

use super::{Account, NoSuchPrincipal};
use crate::Document;
use crate::document::{Statement, Version};

/// The policies of a user or role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Its identity policies, those of its groups among them.
    pub identity: Vec<&'a Document>,
    /// Its permissions boundary.
    pub boundary: Option<&'a Document>,
    /// Of a role: its trust policy.
    pub trust: Option<&'a Document>,
}

impl Account {
    /// The policies of a user or role, by ARN.
    ///
    /// # Errors
    /// [`NoSuchPrincipal`].
    pub fn standing(&self, arn: &str) -> Result<Standing<'_>, NoSuchPrincipal> {
        let who = self.who(arn)?;
        Ok(Standing {
            identity: who.identity(self).into_iter().map(|policy| policy.document).collect(),
            boundary: who.boundary(self).map(|policy| policy.document),
            trust: self.roles.get(arn).map(|role| &role.trust),
        })
    }

    /// The ARNs of its users and roles.
    pub fn users_and_roles(&self) -> impl Iterator<Item = &str> {
        self.users.keys().chain(self.roles.keys()).map(String::as_str)
    }
}

/// One document that says what several say together. `None` where they are of both versions of the
/// language and mean different things by `${`.
pub fn merged(documents: &[&Document]) -> Option<Document> {
    let newest = documents.iter().map(|document| document.version).max().unwrap_or_default();
    let differs = |document: &&&Document| {
        document.version < newest && document.statements.iter().any(has_dollar)
    };
    if newest == Version::V2012 && documents.iter().any(|document| differs(&document)) {
        return None;
    }
    let statements = documents.iter().flat_map(|document| document.statements.iter().cloned());
    Some(Document::new(newest, None, statements.collect()))
}

/// Whether a text of a statement could be read as a variable.
fn has_dollar(statement: &Statement) -> bool {
    let resources = statement.resource.iter().flat_map(|resource| resource.patterns());
    let values = statement.conditions.iter().flat_map(|condition| &condition.values);
    resources.chain(values).any(|text| text.contains("${"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, parse};

    #[test]
    fn documents_are_merged_where_they_are_of_one_language() {
        let document = |version: &str, resource: &str| {
            let text = format!(
                r#"{{"Version": "{version}", "Statement":
                    [{{"Effect": "Allow", "Action": "s3:*", "Resource": "{resource}"}}]}}"#
            );
            parse(&text, Kind::Identity).unwrap()
        };
        let new = document("2012-10-17", "arn:aws:s3:::${aws:username}/*");
        let old = document("2008-10-17", "arn:aws:s3:::b/*");
        let odd = document("2008-10-17", "arn:aws:s3:::${aws:username}/*");
        let both = merged(&[&new, &old]).unwrap();
        assert_eq!((both.version, both.statements.len()), (Version::V2012, 2));
        assert_eq!(merged(&[&new, &odd]), None);
        assert_eq!(merged(&[&old, &odd]).unwrap().version, Version::V2008);
        assert!(merged(&[]).unwrap().statements.is_empty());
    }
}
