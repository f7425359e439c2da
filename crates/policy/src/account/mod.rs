//! A whole account at rest: who is there, which policies bear on whom, and who can do what.
//!
//! - [`Page`] reads what `aws iam get-account-authorization-details` prints;
//! - [`Account`] is made of its pages: users, groups, roles, and every policy that they use;
//! - [`Around`] holds what such an export lacks: organization policies and resources' policies;
//! - [`Account::policies_for`] gathers what bears on one principal's request, each policy with where
//!   it comes from ([`Source`]);
//! - [`Known`] is what is known of the request's context, and what is not;
//! - [`assume`](fn@assume) makes of a document one that hangs on nothing unknown;
//! - [`Account::standing`] is what one principal has, for comparing two exports;
//! - [`who_can`](fn@who_can) asks for everyone, and says who can, who cannot, and on what it depends.
//!
//! ```
//! use ringfence_policy::account::{Access, Account, Around, Page, Question, who_can};
//!
//! let text = r#"{"UserDetailList": [{
//!     "Arn": "arn:aws:iam::123456789012:user/ann", "UserName": "ann", "Path": "/",
//!     "UserPolicyList": [{"PolicyName": "own", "PolicyDocument": {
//!         "Version": "2012-10-17",
//!         "Statement": {"Effect": "Allow", "Action": "sqs:*", "Resource": "*",
//!             "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}}}]}]}"#;
//! let account = Account::new(vec![Page::read(text)?])?;
//! let question = Question::new("sqs:SendMessage", "arn:aws:sqs:eu-west-1:123456789012:q", account.id());
//! let around = Around::default();
//! let answers = who_can(&account, &around, &question)?;
//! let ann = answers.iter().find(|answer| answer.who.text.ends_with("user/ann")).unwrap();
//! let Access::Depends { on, .. } = &ann.access else { panic!("{ann:?}") };
//! assert_eq!(on[0].open[0].unknown, ["aws:MultiFactorAuthPresent"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assume;
mod context;
mod export;
mod known;
mod outsiders;
mod policies;
mod principals;
mod reader;
mod standing;
mod who_can;

#[cfg(test)]
mod tests;

pub use assume::{Assumption, Open, assume, open};
pub use export::{Page, Unreadable};
pub use known::Known;
pub use policies::{Around, Given, Holder, OfResource, Policies, Source, Sourced, is_trust};
pub use principals::{NoSuchPrincipal, Who};
pub use standing::{Standing, merged};
pub use who_can::{
    Access, Answer, Hinge, NoSuchRole, Question, Someone, SomeoneKind, hinges, who_can,
};

use crate::parse::{Kind, Malformed, parse};
use crate::reference::managed;
use crate::{AccountId, Arn, Document};
use export::Entity;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The users, groups and roles of an account, and the policies that they use.
#[derive(Debug)]
pub struct Account {
    id: AccountId,
    partition: String,
    /// By ARN.
    users: BTreeMap<String, User>,
    /// By name.
    groups: BTreeMap<String, Group>,
    /// By ARN.
    roles: BTreeMap<String, Role>,
    /// The managed policies that are attached to anything, by ARN.
    managed: BTreeMap<String, Document>,
}

#[derive(Debug)]
struct User {
    name: String,
    id: Option<String>,
    groups: Vec<String>,
    permissions: Permissions,
    tags: Vec<(String, String)>,
}

#[derive(Debug)]
struct Group {
    name: String,
    permissions: Permissions,
}

#[derive(Debug)]
struct Role {
    name: String,
    path: String,
    id: Option<String>,
    trust: Document,
    permissions: Permissions,
    tags: Vec<(String, String)>,
}

#[derive(Debug)]
struct Permissions {
    inline: Vec<(String, Document)>,
    /// ARNs.
    attached: Vec<String>,
    /// An ARN.
    boundary: Option<String>,
}

/// Something in the export that keeps it from being a whole account. An answer that passed over it
/// could be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A document does not parse.
    #[error("{of}: {policy}: {why}")]
    Malformed {
        /// Whose it is: `user ann`.
        of: String,
        /// Which: `inline policy x`.
        policy: String,
        /// AWS's message.
        why: Malformed,
    },
    /// An attached policy is nowhere.
    #[error("{of}: {arn} is attached, but is neither in the export nor a policy of AWS's")]
    Missing {
        /// Whose it is.
        of: String,
        /// The policy.
        arn: String,
    },
    /// A managed policy lacks its default version's document.
    #[error("{arn}: the export has no document of its default version")]
    NoDefaultVersion {
        /// The policy.
        arn: String,
    },
    /// A user is in a group that is nowhere.
    #[error("user {user}: the group {group} is not in the export")]
    NoGroup {
        /// The user.
        user: String,
        /// The group.
        group: String,
    },
    /// Something stands in the export twice.
    #[error("{0} stands in the export twice")]
    Twice(String),
    /// An ARN is none.
    #[error("`{arn}` is no ARN of an IAM {kind}")]
    NoArn {
        /// What stands there.
        arn: String,
        /// What it should be of: `user`, `group`, `role` or `policy`.
        kind: String,
    },
    /// Nothing names the account.
    #[error("the export is empty: nothing in it names an account")]
    NoAccount,
    /// Pages of several accounts.
    #[error("the export is of account {0} and of account {1}")]
    TwoAccounts(AccountId, AccountId),
    /// The last page is not among those given.
    #[error("the export is cut short: every page says that another follows; give them all")]
    Cut,
}

/// All that is wrong with an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{problem}")?;
        }
        Ok(())
    }
}

impl Account {
    /// The account that pages tell of, in whichever order.
    ///
    /// # Errors
    /// [`Problems`]: all of them, not the first.
    pub fn new(pages: Vec<Page<'_>>) -> Result<Self, Problems> {
        let mut reading = Reading::default();
        if pages.iter().all(|page| page.is_cut) {
            reading.problems.push(Problem::Cut);
        }
        let mut policies = Vec::new();
        for page in pages {
            for user in page.users {
                reading.user(user);
            }
            for group in page.groups {
                reading.group(group);
            }
            for role in page.roles {
                reading.role(role);
            }
            policies.extend(page.policies);
        }
        reading.managed(policies);
        reading.finish()
    }

    /// Its number.
    pub fn id(&self) -> AccountId {
        self.id
    }

    /// The ARN of its root user.
    pub fn root_arn(&self) -> String {
        format!("arn:{}:iam::{}:root", self.partition, self.id)
    }

    /// The ARNs of its root user, its users and its roles.
    pub fn principals(&self) -> impl Iterator<Item = String> {
        std::iter::once(self.root_arn())
            .chain(self.users.keys().cloned())
            .chain(self.roles.keys().cloned())
    }
}

/// An account while it is read.
#[derive(Default)]
struct Reading {
    account: Option<(AccountId, String)>,
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, Group>,
    roles: BTreeMap<String, Role>,
    managed: BTreeMap<String, Document>,
    /// Attached policies, and what the first of them is attached to.
    used: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Reading {
    fn user(&mut self, entity: Entity<'_>) {
        let of = format!("user {}", entity.name);
        let (arn, name) = (entity.arn.to_string(), entity.name.to_string());
        self.note(&arn, "user/");
        let id = entity.id.as_deref().map(str::to_owned);
        let groups = owned(&entity.groups);
        let tags = pairs(&entity.tags);
        let permissions = self.permissions(&of, entity);
        let user = User { name, id, groups, permissions, tags };
        if self.users.insert(arn, user).is_some() {
            self.problems.push(Problem::Twice(of));
        }
    }

    fn group(&mut self, entity: Entity<'_>) {
        let of = format!("group {}", entity.name);
        self.note(&entity.arn, "group/");
        let name = entity.name.to_string();
        let permissions = self.permissions(&of, entity);
        if self.groups.insert(name.clone(), Group { name, permissions }).is_some() {
            self.problems.push(Problem::Twice(of));
        }
    }

    fn role(&mut self, entity: Entity<'_>) {
        let of = format!("role {}", entity.name);
        let (arn, name) = (entity.arn.to_string(), entity.name.to_string());
        self.note(&arn, "role/");
        let (path, id) = (entity.path.to_string(), entity.id.as_deref().map(str::to_owned));
        let tags = pairs(&entity.tags);
        let trust = entity.trust.as_deref().unwrap_or_default();
        let trust = self.document(&of, "trust policy", trust, Kind::Trust);
        let permissions = self.permissions(&of, entity);
        let Some(trust) = trust else { return };
        let role = Role { name, path, id, trust, permissions, tags };
        if self.roles.insert(arn, role).is_some() {
            self.problems.push(Problem::Twice(of));
        }
    }

    fn permissions(&mut self, of: &str, entity: Entity<'_>) -> Permissions {
        let mut inline = Vec::with_capacity(entity.inline.len());
        for policy in entity.inline {
            let what = format!("inline policy {}", policy.name);
            if let Some(document) = self.document(of, &what, &policy.document, Kind::Identity) {
                inline.push((policy.name.into_owned(), document));
            }
        }
        let attached = owned(&entity.attached);
        let boundary = entity.boundary.map(std::borrow::Cow::into_owned);
        for arn in attached.iter().chain(&boundary) {
            self.used.entry(arn.clone()).or_insert_with(|| of.to_owned());
        }
        Permissions { inline, attached, boundary }
    }

    fn document(&mut self, of: &str, policy: &str, text: &str, kind: Kind) -> Option<Document> {
        match parse(text, kind) {
            Ok(document) => Some(document),
            Err(why) => {
                let (of, policy) = (of.to_owned(), policy.to_owned());
                self.problems.push(Problem::Malformed { of, policy, why });
                None
            }
        }
    }

    /// Reads the managed policies that something uses; nothing hangs on the others.
    fn managed(&mut self, policies: Vec<export::Managed<'_>>) {
        let mut seen = BTreeSet::new();
        for policy in policies {
            let arn = policy.arn.to_string();
            // Policies of AWS's own are of the account `aws`.
            if Arn::parse(&arn).map_or(true, |arn| arn.account != "aws") {
                self.note(&arn, "policy/");
            }
            if !seen.insert(arn.clone()) {
                self.problems.push(Problem::Twice(arn.clone()));
            }
            let Some(of) = self.used.remove(&arn) else { continue };
            let Some(text) = policy.document else {
                self.problems.push(Problem::NoDefaultVersion { arn });
                continue;
            };
            if let Some(document) = self.document(&of, &arn, &text, Kind::Identity) {
                self.managed.insert(arn, document);
            }
        }
        for (arn, of) in std::mem::take(&mut self.used) {
            let Some(policy) = managed::policy(&arn) else {
                self.problems.push(Problem::Missing { of, arn });
                continue;
            };
            if let Some(document) = self.document(&of, &arn, policy.document, Kind::Identity) {
                self.managed.insert(arn, document);
            }
        }
    }

    /// Takes the account from an ARN of a kind, which must be the same in all of them.
    fn note(&mut self, text: &str, kind: &str) {
        let is_one = |arn: &Arn<'_>| arn.service == "iam" && arn.resource.starts_with(kind);
        let arn = Arn::parse(text).ok().filter(is_one);
        let Some((arn, id)) = arn.and_then(|arn| Some((arn, arn.account_id()?))) else {
            let (arn, kind) = (text.to_owned(), kind.trim_end_matches('/').to_owned());
            self.problems.push(Problem::NoArn { arn, kind });
            return;
        };
        match &self.account {
            None => self.account = Some((id, arn.partition.to_owned())),
            Some((known, _)) if *known == id => {}
            Some((known, _)) => {
                let problem = Problem::TwoAccounts(*known, id);
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
            }
        }
    }

    fn finish(mut self) -> Result<Account, Problems> {
        for user in self.users.values() {
            let missing = user.groups.iter().filter(|group| !self.groups.contains_key(*group));
            self.problems.extend(
                missing.map(|group| Problem::NoGroup {
                    user: user.name.clone(),
                    group: group.clone(),
                }),
            );
        }
        let Some((id, partition)) = self.account else {
            self.problems.push(Problem::NoAccount);
            return Err(Problems(self.problems));
        };
        if !self.problems.is_empty() {
            return Err(Problems(self.problems));
        }
        let Self { users, groups, roles, managed, .. } = self;
        Ok(Account { id, partition, users, groups, roles, managed })
    }
}

fn owned(texts: &[std::borrow::Cow<'_, str>]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn pairs(tags: &[(std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)]) -> Vec<(String, String)> {
    tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}
