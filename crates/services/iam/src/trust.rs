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
use crate::records::{Role, User};
use crate::state::Account;
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
            Document::new(Version::V2012, None, Vec::new())
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
        // An account by its number is kept as its root's ARN, as AWS keeps it.
        let account = |value: &str| Some(value.parse::<AccountId>().ok()?.root_arn());
        let text = rewritten(text, account).unwrap_or_else(|| text.to_owned());
        Ok(Self { text: text.into(), pins: Arc::default(), document: Arc::new(document) })
    }

    #[cfg(test)]
    pub fn of(text: &str, document: Document) -> Self {
        Self { text: text.into(), pins: Arc::default(), document: Arc::new(document) }
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
                // A provider need not be there, and is trusted by its name whenever it is.
                PrincipalPattern::Federated(name) if !names_provider(name) => {
                    return Err(errors::invalid_federated_principal(name));
                }
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
        let now = |written: &str| match moved.get(written)? {
            Now::Arn(arn) => Some(arn.clone()),
            Now::Gone(id) => Some((*id).to_owned()),
        };
        rewritten(&self.text, now).map_or_else(|| self.text.clone(), Into::into)
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

/// A trust policy's text with other values of `AWS` principals; `None` where none is another.
fn rewritten(text: &str, other: impl Fn(&str) -> Option<String>) -> Option<String> {
    use serde_json::Value;

    fn each(value: &mut Value) -> &mut [Value] {
        match value {
            Value::Array(list) => list,
            one => std::slice::from_mut(one),
        }
    }

    let mut json: Value = serde_json::from_str(text).ok()?;
    let mut changed = false;
    for statement in each(json.get_mut("Statement")?) {
        for element in ["Principal", "NotPrincipal"] {
            let Some(values) = statement.get_mut(element).and_then(|p| p.get_mut("AWS")) else {
                continue;
            };
            for value in each(values) {
                if let Some(now) = value.as_str().and_then(&other) {
                    *value = now.into();
                    changed = true;
                }
            }
        }
    }
    changed.then(|| json.to_string())
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

/// Whether a text may name an identity provider: by ARN, or by the domain of one that AWS knows.
fn names_provider(text: &str) -> bool {
    if let Ok(arn) = Arn::parse(text) {
        let named = ["oidc-provider/", "saml-provider/"]
            .iter()
            .any(|kind| arn.resource.strip_prefix(kind).is_some_and(|name| !name.is_empty()));
        return (arn.partition, arn.service, arn.region) == ("aws", "iam", "")
            && arn.account_id().is_some()
            && named;
    }
    let label = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    let domain = |part: &str| !part.is_empty() && part.bytes().all(label);
    text == "*" || (text.contains('.') && text.split('.').all(domain))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER, role, trusting, user};
    use ringfence_gateway::State;
    use std::collections::HashMap;

    struct Here(HashMap<AccountId, Account>);

    impl Accounts for Here {
        fn look<R>(&self, account: AccountId, look: impl FnOnce(&Account) -> R) -> Option<R> {
            self.0.get(&account).map(look)
        }
    }

    fn here() -> Here {
        let mut account = Account::default();
        account.put(User::record(Arc::new(user("Ann", "/dev/", "AIDA1"))));
        account.put(Role::record(Arc::new(role("ops", "/", "AROA1"))));
        Here(HashMap::from([(ID, account)]))
    }

    const ANN: &str = "arn:aws:iam::123456789012:user/dev/Ann";

    #[test]
    fn a_trusted_principal_must_be_there() {
        let accounts = here();
        for there in [
            ANN,
            "arn:aws:iam::123456789012:role/ops",
            "arn:aws:sts::123456789012:assumed-role/ops/session",
            "arn:aws:sts::123456789012:federated-user/guest",
        ] {
            assert!(trusting(there).pin(&accounts).is_ok(), "{there}");
        }
        for missing in [
            "arn:aws:iam::123456789012:user/Ann",
            "arn:aws:iam::123456789012:user/dev/ann",
            "arn:aws:iam::123456789012:user/dev/*",
            "arn:aws:iam::123456789012:role/nobody",
            "arn:aws:iam::123456789012:group/dev/Ann",
            "arn:aws:sts::123456789012:assumed-role/nobody/session",
            "arn:aws:sts::123456789012:assumed-role/ops/*",
            "arn:aws:iam::999999999999:user/somebody",
            "nonsense",
        ] {
            let refused = trusting(missing).pin(&accounts).unwrap_err();
            assert_eq!(refused.code, "MalformedPolicyDocument", "{missing}");
            assert_eq!(
                refused.message,
                format!("Invalid principal in policy: \"AWS\":\"{missing}\"")
            );
        }
    }

    /// What the trust policy's one principal is decided on as, and shown as.
    fn now(trust: &TrustPolicy, accounts: &Here) -> (PrincipalPattern, String) {
        let document = trust.document(accounts);
        let pattern = principals(&document).next().unwrap().clone();
        let json: serde_json::Value = serde_json::from_str(&trust.text(accounts)).unwrap();
        let shown = json["Statement"][0]["Principal"]["AWS"].as_str().unwrap().to_owned();
        (pattern, shown)
    }

    #[test]
    fn trust_stays_with_the_one_who_was_named() {
        let mut accounts = here();
        let trust = trusting(ANN).pin(&accounts).unwrap();
        assert_eq!(now(&trust, &accounts), (PrincipalPattern::Arn(ANN.into()), ANN.into()));

        let account = accounts.0.get_mut(&ID).unwrap();
        account.delete("iam/user/ann");
        let gone = (PrincipalPattern::UniqueId("AIDA1".into()), "AIDA1".to_owned());
        assert_eq!(now(&trust, &accounts), gone);

        let account = accounts.0.get_mut(&ID).unwrap();
        account.put(User::record(Arc::new(user("Ann", "/dev/", "AIDA2"))));
        assert_eq!(now(&trust, &accounts), gone);
    }

    #[test]
    fn trust_follows_a_rename() {
        let mut accounts = here();
        let trust = trusting(ANN).pin(&accounts).unwrap();
        let account = accounts.0.get_mut(&ID).unwrap();
        account.delete("iam/user/ann");
        let renamed = User { renamed: true, ..user("Eve", "/", "AIDA1") };
        account.put(User::record(Arc::new(renamed)));
        let eve = "arn:aws:iam::123456789012:user/Eve";
        assert_eq!(now(&trust, &accounts), (PrincipalPattern::Arn(eve.into()), eve.into()));
    }

    #[test]
    fn an_account_is_trusted_wherever_it_is_and_written_as_its_root() {
        let text = |principal: &str| {
            format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":{principal}}},"Action":"sts:AssumeRole"}}]}}"#
            )
        };
        let root = format!("\"{}\"", OTHER.root_arn());
        for given in [format!("\"{OTHER}\""), root.clone()] {
            let trust = TrustPolicy::parse(&text(&given)).unwrap().pin(&here()).unwrap();
            assert_eq!(*trust.text(&here()), text(&root));
            assert_eq!(
                *principals(&trust.document).next().unwrap(),
                PrincipalPattern::Account(OTHER)
            );
        }
    }

    #[test]
    fn a_service_is_trusted_by_its_name_as_it_was_given() {
        let text = r#"{ "Version":"2012-10-17", "Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
        let trust = TrustPolicy::parse(text).unwrap().pin(&here()).unwrap();
        assert_eq!(*trust.text(&here()), *text);
    }

    #[test]
    fn an_identity_provider_is_trusted_by_its_name_and_need_not_be_there() {
        let trust = |name: &str| {
            let text = format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Federated":"{name}"}},"Action":"sts:AssumeRoleWithWebIdentity"}}]}}"#
            );
            TrustPolicy::parse(&text).unwrap().pin(&here())
        };
        for name in [
            "arn:aws:iam::123456789012:oidc-provider/a.example.com/realms/b",
            "arn:aws:iam::999999999999:saml-provider/a",
            "accounts.google.com",
        ] {
            let shown = trust(name).unwrap().text(&here());
            assert!(shown.contains(name), "{name}");
        }
        for name in [
            "https://a.example.com",
            "arn:aws:iam::123456789012:role/a",
            "arn:aws:iam::123456789012:oidc-provider/",
            "arn:aws:sts::123456789012:oidc-provider/a",
            "nonsense",
        ] {
            let refused = trust(name).unwrap_err();
            assert_eq!(refused.code, "MalformedPolicyDocument", "{name}");
        }
    }

    #[test]
    fn pins_are_kept_with_the_text() {
        let accounts = here();
        let trust = trusting(ANN).pin(&accounts).unwrap();
        let bytes = rmp_serde::to_vec_named(&trust).unwrap();
        let read: TrustPolicy = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(read.text, trust.text);
        assert_eq!(read.pins, trust.pins);
    }

    #[test]
    fn an_account_that_is_not_here_has_no_known_principals() {
        let accounts = here();
        let trust = trusting(&format!("arn:aws:iam::{OTHER}:role/ops"));
        assert!(trust.pin(&accounts).is_err());
    }
}
