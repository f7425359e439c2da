//! The dimension of principals: everyone whom the documents name, and for everyone else one of each
//! kind, of each account that is named and of one that is not.
//!
//! A `Principal` element compares names for equality, so a user that nobody names stands for every
//! other of its account, and an account that nobody names for every other.

use super::bits::Bits;
use crate::context::Context;
use crate::document::{Document, Matching, PrincipalPattern, Statement, Version};
use crate::evaluate::{self, Principal, Request};
use crate::{AccountId, Arn};
use std::collections::BTreeSet;

/// One point of the dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// `None` for who is named by an id of S3, which no principal has here.
    pub principal: Option<Principal>,
    /// `aws:userid`, where some document names unique ids.
    pub unique_id: Option<String>,
    /// The canonical user id.
    pub canonical: Option<String>,
    /// Whether it is of an account, or of a provider of identities, that no document names.
    pub is_unnamed: bool,
}

/// Names and accounts of the documents' principals.
#[derive(Default)]
struct Names {
    accounts: BTreeSet<AccountId>,
    users: BTreeSet<String>,
    roles: BTreeSet<String>,
    sessions: BTreeSet<String>,
    federated_users: BTreeSet<String>,
    unique_ids: BTreeSet<String>,
    services: BTreeSet<String>,
    providers: BTreeSet<String>,
    canonical: BTreeSet<String>,
}

impl Names {
    fn add(&mut self, pattern: &PrincipalPattern) {
        match pattern {
            PrincipalPattern::Anyone => {}
            PrincipalPattern::Account(account) => {
                self.accounts.insert(*account);
            }
            PrincipalPattern::Arn(text) => {
                let Ok(arn) = Arn::parse(text) else { return };
                self.accounts.extend(arn.account_id());
                let kind = arn.resource.split('/').next().unwrap_or_default();
                let named = match kind {
                    "role" => &mut self.roles,
                    "assumed-role" => &mut self.sessions,
                    "federated-user" => &mut self.federated_users,
                    _ => &mut self.users,
                };
                named.insert(text.clone());
            }
            PrincipalPattern::UniqueId(id) => {
                self.unique_ids.insert(id.clone());
            }
            PrincipalPattern::Service(name) => {
                self.services.insert(name.clone());
            }
            PrincipalPattern::Federated(name) if name == "*" => {}
            PrincipalPattern::Federated(name) => {
                self.providers.insert(name.clone());
            }
            PrincipalPattern::CanonicalUser(id) => {
                self.canonical.insert(id.clone());
            }
        }
    }

    /// The first of these that nobody names.
    fn fresh(known: &BTreeSet<String>, name: impl Fn(&str) -> String) -> String {
        let mut out = name("example");
        let mut n = 2;
        while known.contains(&out) {
            out = name(&format!("example{n}"));
            n += 1;
        }
        out
    }
}

/// Whether any document names unique ids.
pub(super) fn names_unique_ids(documents: &[&Document]) -> bool {
    patterns(documents).any(|pattern| matches!(pattern, PrincipalPattern::UniqueId(_)))
}

fn patterns<'a>(documents: &'a [&Document]) -> impl Iterator<Item = &'a PrincipalPattern> {
    let statements = documents.iter().flat_map(|document| &document.statements);
    statements.flat_map(|statement| statement.principal.iter()).flat_map(Matching::patterns)
}

const USUAL_ACCOUNT: u64 = 111_122_223_333;

/// An account that is not among these.
pub(super) fn other_account(accounts: &BTreeSet<AccountId>) -> Option<AccountId> {
    (USUAL_ACCOUNT..).filter_map(AccountId::new).find(|account| !accounts.contains(account))
}

/// How many callers there may be.
const CALLERS: usize = 2048;

/// The callers that stand for all others.
#[derive(Debug)]
pub(super) struct Callers {
    pub all: Vec<Caller>,
    /// Whether everyone is stood for.
    pub is_complete: bool,
}

impl Callers {
    /// Adds one, if there is room.
    fn add(&mut self, caller: Caller) {
        if self.has_room() {
            self.all.push(caller);
        } else {
            self.is_complete = false;
        }
    }

    const fn has_room(&self) -> bool {
        self.all.len() < CALLERS
    }
}

/// The points. Accounts that matter besides those of the documents are given too.
pub(super) fn callers(documents: &[&Document], accounts: &[AccountId]) -> Callers {
    let mut out = Callers { all: Vec::new(), is_complete: true };
    let named = documents
        .iter()
        .any(|document| document.statements.iter().any(|statement| statement.principal.is_some()));
    if !named {
        // Identity policies: who asks is whoever they are attached to.
        let arn = format!("arn:aws:iam::{USUAL_ACCOUNT}:user/example");
        out.add(caller(Principal::User { arn }, false));
        return out;
    }
    let mut names = Names::default();
    names.accounts.extend(accounts);
    patterns(documents).for_each(|pattern| names.add(pattern));
    out.add(caller(Principal::Anonymous, false));
    let other = other_account(&names.accounts);
    for account in names.accounts.iter().copied().chain(other) {
        let before = out.all.len();
        of_account(account, &names, &mut out);
        out.all[before..].iter_mut().for_each(|c| c.is_unnamed = Some(account) == other);
    }
    let service = Names::fresh(&names.services, |name| format!("{name}.amazonaws.com"));
    for name in names.services.iter().cloned().chain([service]) {
        out.add(caller(Principal::Service(name), false));
    }
    let fresh = Names::fresh(&names.providers, |name| format!("{name}.com"));
    for provider in names.providers.iter().chain([&fresh]) {
        out.add(caller(Principal::Federated { provider: provider.clone() }, *provider == fresh));
    }
    let without = out.all.len();
    for id in &names.unique_ids {
        for at in 0..without {
            if out.has_room()
                && let Some(caller) = with_unique_id(&out.all[at], id)
            {
                out.add(caller);
            }
        }
    }
    for id in &names.canonical {
        let canonical = Some(id.clone());
        out.add(Caller { principal: None, unique_id: None, canonical, is_unnamed: false });
    }
    // With no room left someone with a unique id may have been passed over.
    out.is_complete &= out.has_room();
    out
}

const fn caller(principal: Principal, is_unnamed: bool) -> Caller {
    Caller { principal: Some(principal), unique_id: None, canonical: None, is_unnamed }
}

fn with_unique_id(caller: &Caller, id: &str) -> Option<Caller> {
    let unique_id = match caller.principal {
        Some(Principal::User { .. }) => id.to_owned(),
        Some(Principal::AssumedRole { .. }) => format!("{id}:example"),
        _ => return None,
    };
    Some(Caller { unique_id: Some(unique_id), ..caller.clone() })
}

/// Everyone of one account.
fn of_account(account: AccountId, names: &Names, out: &mut Callers) {
    if !out.has_room() {
        out.is_complete = false;
        return;
    }
    let own = |arns: &BTreeSet<String>| -> Vec<String> {
        let own =
            |arn: &&String| Arn::parse(arn).ok().and_then(|a| a.account_id()) == Some(account);
        arns.iter().filter(own).cloned().collect()
    };
    let user = Names::fresh(&names.users, |name| format!("arn:aws:iam::{account}:user/{name}"));
    let users: Vec<String> = own(&names.users).into_iter().chain([user]).collect();

    // A session with its role: partition, account and name agree, the path is the role's own.
    let role = Names::fresh(&names.roles, |name| format!("arn:aws:iam::{account}:role/{name}"));
    let roles = own(&names.roles).into_iter().chain([role]);
    let sessions = own(&names.sessions);
    let of_roles = roles.flat_map(|role_arn| {
        let name = role_arn.rsplit('/').next().unwrap_or_default();
        let prefix = format!("arn:{}:sts::{account}:assumed-role/{name}/", partition(&role_arn));
        let named: Vec<String> =
            sessions.iter().filter(|s| s.starts_with(&prefix)).cloned().collect();
        let fresh = Names::fresh(&names.sessions, |session| format!("{prefix}{session}"));
        named.into_iter().chain([fresh]).map(move |session_arn| Principal::AssumedRole {
            role_arn: role_arn.clone(),
            session_arn,
        })
    });
    let of_sessions = sessions.iter().map(|session_arn| {
        let name = session_arn.split('/').nth(1).unwrap_or_default();
        let iam = format!("arn:{}:iam::{account}:role", partition(session_arn));
        let role_arn = Names::fresh(&names.roles, |path| match path {
            "example" => format!("{iam}/{name}"),
            path => format!("{iam}/{path}/{name}"),
        });
        Principal::AssumedRole { role_arn, session_arn: session_arn.clone() }
    });

    let guest = Names::fresh(&names.federated_users, |name| {
        format!("arn:aws:sts::{account}:federated-user/{name}")
    });
    let guests = own(&names.federated_users).into_iter().chain([guest]).flat_map(|arn| {
        let behind = users.iter().map(Some).chain([None]);
        behind
            .map(move |user| Principal::FederatedUser { arn: arn.clone(), user_arn: user.cloned() })
    });
    let all = users
        .iter()
        .map(|arn| Principal::User { arn: arn.clone() })
        .chain(of_roles)
        .chain(of_sessions)
        .chain(guests)
        .chain([Principal::Root(account)]);
    for principal in all {
        if !out.has_room() {
            out.is_complete = false;
            return;
        }
        out.add(caller(principal, false));
    }
}

fn partition(arn: &str) -> &str {
    Arn::parse(arn).map_or("aws", |arn| arn.partition)
}

/// Which callers a statement's principal element names.
pub(super) fn named(statement: &Statement, callers: &[Caller]) -> Bits {
    let Some(principal) = &statement.principal else { return Bits::all(callers.len()) };
    let document = Document::new(Version::default(), None, Vec::new());
    let bare = Statement {
        sid: None,
        effect: statement.effect,
        principal: statement.principal.clone(),
        action: Matching::These(vec!["*".to_owned()]),
        resource: None,
        conditions: Vec::new(),
    };
    Bits::of(callers.len(), |at| {
        let caller = &callers[at];
        let Some(who) = &caller.principal else {
            let hit = |pattern: &PrincipalPattern| match pattern {
                PrincipalPattern::Anyone => true,
                PrincipalPattern::CanonicalUser(id) => Some(id) == caller.canonical.as_ref(),
                _ => false,
            };
            return principal.holds(principal.patterns().iter().any(hit));
        };
        let mut context = Context::default();
        if let Some(id) = &caller.unique_id {
            context.set("aws:userid", id.as_str());
        }
        let request = Request {
            principal: who,
            action: "example:Action",
            resource: "*",
            resource_account: who.account().unwrap_or(ACCOUNT),
            context: &context,
        };
        evaluate::matches(&request, &document, &bare).is_some()
    })
}

/// Any account: `matches` does not look at it. The compiler sees that it has twelve digits.
const ACCOUNT: AccountId = match AccountId::new(USUAL_ACCOUNT) {
    Some(account) => account,
    None => unreachable!(),
};

/// The account that owns a resource, as far as its ARN tells; else the caller's, else some account.
pub(super) fn owner(resource: &str, principal: &Principal) -> AccountId {
    let of_arn = Arn::parse(resource).ok().and_then(|arn| arn.account_id());
    of_arn.or_else(|| principal.account()).unwrap_or(ACCOUNT)
}
