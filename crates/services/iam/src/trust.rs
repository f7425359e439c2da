//! Trust policies, and the principals that they name.
//!
//! A user or role that a trust policy names by ARN must exist when the policy is written, and it is
//! that very user or role that is trusted: its unique id is kept beside the text as a **pin**.
//!
//! ```text
//!  written                      kept                             afterwards
//!  "AWS": "arn:…:user/ann"  ──► text, pin ARN → AIDA1        ──► ann renamed:  her new ARN
//!                                                                ann deleted:  "AWS": "AIDA1"
//!                                                                another ann:  "AWS": "AIDA1"
//! ```
//!
//! So a principal made anew under an old name inherits no trust.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

use crate::arn;
use crate::entity::Entity;
use crate::errors;
use crate::state::{Account, Role, User};
use ringfence_policy::document::{PrincipalPattern, Version};
use ringfence_policy::{AccountId, Arn, Document, Kind, parse};
use ringfence_wire::ServiceError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A role's trust policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub(crate) struct TrustPolicy {
    text: Arc<str>,
    /// ARN as written → unique id.
    pins: Arc<BTreeMap<String, String>>,
    document: Arc<Document>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    text: Arc<str>,
    #[serde(default)]
    pins: Arc<BTreeMap<String, String>>,
}

impl From<Kept> for TrustPolicy {
    fn from(Kept { text, pins }: Kept) -> Self {
        let document = parse(&text, Kind::Trust).unwrap_or_else(|why| {
            tracing::error!(%why, "a stored trust policy is not understood: it trusts nobody");
            Document { version: Version::V2012, id: None, statements: Vec::new() }
        });
        Self { text, pins, document: Arc::new(document) }
    }
}

impl From<TrustPolicy> for Kept {
    fn from(trust: TrustPolicy) -> Self {
        Self { text: trust.text, pins: trust.pins }
    }
}

/// The state of the accounts of this server, for looking up principals.
pub(crate) trait Accounts {
    /// Looks into one account; `None` where there is no such account.
    fn look<R>(&self, account: AccountId, look: impl FnOnce(&Account) -> R) -> Option<R>;
}

impl TrustPolicy {
    /// Parses a document that a caller gave. Its principals are looked up by [`TrustPolicy::pin`].
    ///
    /// # Errors
    /// `MalformedPolicyDocument`.
    pub fn parse(text: &str) -> Result<Self, ServiceError> {
        let document = parse(text, Kind::Trust).map_err(|why| errors::malformed(&why))?;
        Ok(Self { text: text.into(), pins: Arc::default(), document: Arc::new(document) })
    }

    /// Looks up the principals that it names and pins them.
    ///
    /// # Errors
    /// `MalformedPolicyDocument` for one that is not there.
    pub fn pin(mut self, accounts: &impl Accounts) -> Result<Self, ServiceError> {
        let mut pins = BTreeMap::new();
        for pattern in principals(&self.document) {
            match pattern {
                PrincipalPattern::Arn(text) => match look_up(accounts, text) {
                    Some(Named::Principal(id)) => {
                        pins.insert(text.clone(), id);
                    }
                    Some(Named::Session) => {}
                    None => return Err(errors::invalid_principal(text)),
                },
                PrincipalPattern::UniqueId(id) => return Err(errors::invalid_principal(id)),
                _ => {}
            }
        }
        self.pins = Arc::new(pins);
        Ok(self)
    }

    /// As it is decided on now: whoever it named and is gone, matches nobody.
    pub fn document(&self, accounts: &impl Accounts) -> Arc<Document> {
        let moved = self.moved(accounts);
        if moved.is_empty() {
            return self.document.clone();
        }
        let mut document = Document::clone(&self.document);
        for statement in &mut document.statements {
            let Some(matching) = &mut statement.principal else { continue };
            let (ringfence_policy::document::Matching::These(patterns)
            | ringfence_policy::document::Matching::AllBut(patterns)) = matching;
            for pattern in patterns {
                if let PrincipalPattern::Arn(text) = pattern
                    && let Some(now) = moved.get(text.as_str())
                {
                    *pattern = match now {
                        Now::Arn(arn) => PrincipalPattern::Arn(arn.clone()),
                        Now::Gone(id) => PrincipalPattern::UniqueId((*id).to_owned()),
                    };
                }
            }
        }
        Arc::new(document)
    }

    /// As it is shown now: as it was given, while nobody that it names has moved or gone.
    pub fn text(&self, accounts: &impl Accounts) -> Arc<str> {
        let moved = self.moved(accounts);
        if moved.is_empty() {
            return self.text.clone();
        }
        let Ok(mut json) = serde_json::from_str::<serde_json::Value>(&self.text) else {
            return self.text.clone();
        };
        let statements = match json.get_mut("Statement") {
            Some(serde_json::Value::Array(list)) => list.iter_mut().collect(),
            Some(one) => vec![one],
            None => Vec::new(),
        };
        for statement in statements {
            for element in ["Principal", "NotPrincipal"] {
                let Some(value) = statement.get_mut(element).and_then(|p| p.get_mut("AWS")) else {
                    continue;
                };
                let values = match value {
                    serde_json::Value::Array(list) => list.iter_mut().collect(),
                    one => vec![one],
                };
                for value in values {
                    if let Some(now) = value.as_str().and_then(|text| moved.get(text)) {
                        *value = match now {
                            Now::Arn(arn) => arn.as_str().into(),
                            Now::Gone(id) => (*id).into(),
                        };
                    }
                }
            }
        }
        json.to_string().into()
    }

    /// The pinned ARNs that no longer mean whom they meant.
    fn moved(&self, accounts: &impl Accounts) -> BTreeMap<&str, Now<'_>> {
        let mut moved = BTreeMap::new();
        for (written, id) in &*self.pins {
            let now = Arn::parse(written)
                .ok()
                .and_then(|arn| arn.account_id())
                .and_then(|owner| {
                    accounts.look(owner, |account| arn_of(account, owner, written, id))
                })
                .flatten();
            match now {
                Some(arn) if arn == *written => {}
                Some(arn) => drop(moved.insert(written.as_str(), Now::Arn(arn))),
                None => drop(moved.insert(written.as_str(), Now::Gone(id))),
            }
        }
        moved
    }
}

/// What has become of a pinned ARN.
enum Now<'a> {
    /// The principal has this ARN now.
    Arn(String),
    /// The principal of this unique id is gone.
    Gone(&'a str),
}

enum Named {
    /// A user or role, by its unique id.
    Principal(String),
    /// A session: there is nothing to pin.
    Session,
}

fn principals(document: &Document) -> impl Iterator<Item = &PrincipalPattern> {
    document.statements.iter().filter_map(|s| s.principal.as_ref()).flat_map(|p| p.patterns())
}

/// Finds what an ARN names. Accounts that are not here have no principals that could be known.
fn look_up(accounts: &impl Accounts, text: &str) -> Option<Named> {
    let cut = Arn::parse(text).ok()?;
    let owner = cut.account_id()?;
    if cut.partition != "aws" || !cut.region.is_empty() {
        return None;
    }
    accounts.look(owner, |account| match cut.service {
        "iam" => {
            if let Some((path, name)) = arn::path_and_name(cut.resource, "user") {
                let user = User::find(account, name).filter(|u| u.is_at(path, name))?;
                return Some(Named::Principal(user.id.to_string()));
            }
            let (path, name) = arn::path_and_name(cut.resource, "role")?;
            let role = Role::find(account, name).filter(|r| r.is_at(path, name))?;
            Some(Named::Principal(role.id.to_string()))
        }
        "sts" => match cut.resource.split_once('/')? {
            ("assumed-role", rest) => {
                let (role, session) = rest.split_once('/')?;
                let found = Role::find(account, role).is_some_and(|r| &*r.name == role);
                (found && !session.is_empty() && !session.contains(['/', '*', '?']))
                    .then_some(Named::Session)
            }
            ("federated-user", name) => {
                (!name.is_empty() && !name.contains(['/', '*', '?'])).then_some(Named::Session)
            }
            _ => None,
        },
        _ => None,
    })?
}

/// The ARN that the principal of this unique id has now; `None` where it is gone.
fn arn_of(account: &Account, owner: AccountId, written: &str, id: &str) -> Option<String> {
    let name = written.rsplit('/').next()?;
    if let Some(role) = Role::find(account, name).filter(|role| *role.id == *id) {
        return Some(role.arn(owner));
    }
    let user = match User::find(account, name).filter(|user| *user.id == *id) {
        Some(user) => user,
        None => account.renamed(id)?,
    };
    Some(user.arn(owner))
}
