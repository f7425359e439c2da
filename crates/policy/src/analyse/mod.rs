//! What documents allow, over all requests: is there new access, is this access granted, is it public?
//!
//! The questions are those of IAM Access Analyzer's custom policy checks. Each is whether some request
//! exists, and its answer is a proof that none does, a request that does, or the construct that kept
//! it from being decided.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-custom-policy-checks.html>
//!
//! ```
//! use ringfence_policy::analyse::{Answer, check_no_new_access};
//! use ringfence_policy::{Kind, parse};
//!
//! let policy = |resource: &str| {
//!     let text = format!(
//!         r#"{{"Version": "2012-10-17", "Statement":
//!             {{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "{resource}"}}}}"#
//!     );
//!     parse(&text, Kind::Identity)
//! };
//! let (all, some) = (policy("arn:aws:s3:::photos/*")?, policy("arn:aws:s3:::photos/2024/*")?);
//! assert_eq!(check_no_new_access(&all, &some, Kind::Identity), Answer::Proved);
//! let Answer::Counterexample(witness) = check_no_new_access(&some, &all, Kind::Identity) else {
//!     panic!("`all` allows more");
//! };
//! assert_eq!((witness.action.as_str(), witness.resource.as_str()),
//!            ("s3:GetObject", "arn:aws:s3:::photos/example"));
//! # Ok::<(), ringfence_policy::Malformed>(())
//! ```
//!
//! # Method
//!
//! A request is a point of a product: the caller, the action, the resource, and each condition key that
//! the documents look at. A document tells only finitely many values of each dimension apart, so each
//! is cut into classes, and one concrete value stands for a class: `automaton` does so for texts, by
//! running the globs of all statements side by side; `values` for numbers, dates and addresses;
//! `principal` for callers; `key` for a key's absence, values and sets of values. A statement is
//! then a region, a set of classes in each dimension, and a document its allowing regions without its
//! denying ones. Whether some regions cover another is found by splitting (`cover`), with a limit
//! after which the question is undecided. `question` puts a found point, as a request, to the
//! evaluator before it is an answer.
//!
//! # What a proof says
//!
//! It is about what a document says of a request by itself, as [`allows`] does: some statement allows
//! it and none denies it, whatever else other policies say. An account that is named counts as everyone in
//! it. It covers every well-formed request: an action of a vendor and a name, a resource that is `*` or an
//! ARN of six parts, any principal, any condition keys. A key that holds one value, as AWS documents it
//! (`arity`), is not thought to hold more. Keys are independent of each other and of the principal: a
//! witness may have an `aws:PrincipalArn` that is not its principal's, which makes it a request that is not
//! seen in practice, never a proof that is wrong.
//!
//! # What is not decided
//!
//! - A pattern with variables has bounds, and is known to be the same as itself and to imply a wider one
//!   (`variables`); a proof that needs more, such as what the variable's own value is, is not found.
//! - Which texts are also numbers of a range, where one key is compared as both.
//! - Whether a key that AWS's pages do not list holds one value or several, where that matters; nor of a
//!   service's key that they list with one value, where a policy uses a set operator on it.
//! - Whom an id of S3 names; unique ids beside conditions on `aws:userid`; the case of letters beyond ASCII.
//! - What is past the limits on states of the automata, callers, sets of values, and work (`budget`): there
//!   witnesses may be found, proofs not.

mod arity;
mod automaton;
mod bits;
mod budget;
mod cover;
#[cfg(test)]
mod hostile;
mod key;
mod pattern;
mod principal;
mod public;
mod question;
mod space;
mod statements;
mod values;
mod variables;

use crate::AccountId;
use crate::context::Context;
use crate::document::{Document, Effect, Matching, Statement, Version};
use crate::evaluate::{Principal, Request};
use crate::parse::Kind;
use principal::Caller;
use question::Question;
use std::fmt;

pub use statements::{applying, new_access_by_statement};

/// The answer to a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// No request does what the check forbids.
    Proved,
    /// This one does: the evaluator has confirmed it.
    Counterexample(Box<Witness>),
    /// It could not be found out.
    Undecided(Undecided),
}

impl Answer {
    /// Whether it is a proof.
    pub const fn is_proved(&self) -> bool {
        matches!(self, Self::Proved)
    }

    /// The request that does what the check forbids.
    pub fn witness(&self) -> Option<&Witness> {
        match self {
            Self::Counterexample(witness) => Some(witness),
            Self::Proved | Self::Undecided(_) => None,
        }
    }
}

/// A concrete request.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Who asks.
    pub principal: Principal,
    /// `s3:GetObject`.
    pub action: String,
    /// An ARN, or `*`.
    pub resource: String,
    /// The account that owns the resource, as far as its ARN tells.
    pub resource_account: AccountId,
    /// The condition keys.
    pub context: Context,
}

impl Witness {
    /// The request, for the evaluator.
    pub fn request(&self) -> Request<'_> {
        Request {
            principal: &self.principal,
            action: &self.action,
            resource: &self.resource,
            resource_account: self.resource_account,
            context: &self.context,
        }
    }
}

impl PartialEq for Witness {
    fn eq(&self, other: &Self) -> bool {
        self.principal == other.principal
            && self.action == other.action
            && self.resource == other.resource
            && self.resource_account == other.resource_account
            && self.context.iter().eq(other.context.iter())
    }
}

impl Eq for Witness {}

/// Why a check has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    /// The document with the construct.
    pub document: Side,
    /// The index of its statement; `None` where it is none in particular.
    pub statement: Option<usize>,
    /// The construct: an element, a condition key, or a pattern.
    pub construct: String,
    /// What about it could not be modelled.
    pub why: String,
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.construct)?;
        if let Some(statement) = self.statement {
            write!(f, " in statement {statement}")?;
        }
        let document = match self.document {
            Side::Only => "",
            Side::Existing => " of the existing policy",
            Side::New => " of the new policy",
        };
        write!(f, "{document}: {}", self.why)
    }
}

/// One of the documents of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The only one; of two that are compared for equality, either.
    Only,
    /// The document that is there.
    Existing,
    /// The document that is to be.
    New,
}

/// Access that a document should not grant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Actions, which may have wildcards; any action if there are none.
    pub actions: Vec<String>,
    /// Resources, which may have wildcards; any resource if there are none.
    pub resources: Vec<String>,
}

/// What stopped the analysis.
#[derive(Debug)]
struct Stop {
    construct: String,
    place: Option<(usize, usize)>,
    why: &'static str,
}

impl Stop {
    fn new(construct: impl Into<String>, why: &'static str) -> Self {
        Self { construct: construct.into(), place: None, why }
    }

    /// Its place is found by the key.
    fn at_key(key: &str, why: &'static str) -> Self {
        Self::new(key, why)
    }
}

/// A statement that allows everything.
fn full_access() -> Statement {
    let everything = || Matching::These(vec!["*".to_owned()]);
    Statement {
        sid: None,
        effect: Effect::Allow,
        principal: None,
        action: everything(),
        resource: Some(everything()),
        conditions: Vec::new(),
    }
}

/// Whether a document, by itself, allows a request.
pub fn allows(document: &Document, kind: Kind, request: &Request<'_>) -> bool {
    question::allowed(document, kind, request)
}

/// Whether the new document allows only what the existing one allows.
/// <https://docs.aws.amazon.com/access-analyzer/latest/APIReference/API_CheckNoNewAccess.html>
pub fn check_no_new_access(existing: &Document, new: &Document, kind: Kind) -> Answer {
    compare(existing, new, kind, [Side::New, Side::Existing])
}

/// Whether two documents allow the same. A witness is a request that one allows and the other does not.
pub fn equivalent(a: &Document, b: &Document, kind: Kind) -> Answer {
    match compare(a, b, kind, [Side::Only; 2]) {
        Answer::Proved => compare(b, a, kind, [Side::Only; 2]),
        found @ Answer::Counterexample(_) => found,
        // The other way round there may be a witness all the same.
        undecided @ Answer::Undecided(_) => match compare(b, a, kind, [Side::Only; 2]) {
            found @ Answer::Counterexample(_) => found,
            _ => undecided,
        },
    }
}

fn compare(existing: &Document, new: &Document, kind: Kind, sides: [Side; 2]) -> Answer {
    if existing.version == new.version && existing.statements == new.statements {
        return Answer::Proved;
    }
    let question = Question {
        kind,
        allows: new,
        unless: Some(existing),
        within: Document::new(Version::V2008, None, Vec::new()),
        accounts: &[],
        who: &|_: &Caller| true,
        sides,
    };
    question.answer()
}

/// Whether a document grants none of this access: for each, none of its actions on any of its resources.
/// <https://docs.aws.amazon.com/access-analyzer/latest/APIReference/API_CheckAccessNotGranted.html>
pub fn check_access_not_granted(document: &Document, access: &[Access], kind: Kind) -> Answer {
    if access.is_empty() {
        return Answer::Proved;
    }
    let statements = access.iter().map(|access| {
        let mut statement = Statement { resource: None, ..full_access() };
        if !access.actions.is_empty() {
            statement.action = Matching::These(access.actions.clone());
        }
        if !access.resources.is_empty() {
            statement.resource = Some(Matching::These(access.resources.clone()));
        }
        statement
    });
    // The older version has no variables.
    let within = Document::new(Version::V2008, None, statements.collect());
    only(document, kind, within, &[], &|_: &Caller| true)
}

/// Whether a resource's policy or a role's trust policy lets in no outsider: nobody whom it does not
/// identify, by principal, account, organization, network or source.
/// <https://docs.aws.amazon.com/access-analyzer/latest/APIReference/API_CheckNoPublicAccess.html>
pub fn check_no_public_access(document: &Document, kind: Kind) -> Answer {
    if let Some(undecided) = without_principal(document) {
        return Answer::Undecided(undecided);
    }
    let statements = vec![public::outsiders(document)];
    let within = Document::new(document.version, None, statements);
    only(document, kind, within, &[], &public::may_be_outsider)
}

/// Whether a resource's policy or a role's trust policy lets in nobody outside of these accounts, but for
/// AWS's services.
pub fn check_no_external_access(document: &Document, accounts: &[AccountId], kind: Kind) -> Answer {
    if let Some(undecided) = without_principal(document) {
        return Answer::Undecided(undecided);
    }
    let statements = vec![public::externals(document, accounts)];
    let within = Document::new(document.version, None, statements);
    only(document, kind, within, accounts, &|caller| public::is_external(caller, accounts))
}

/// Who uses an identity policy is not in it.
fn without_principal(document: &Document) -> Option<Undecided> {
    let statement =
        document.statements.iter().position(|statement| statement.principal.is_none())?;
    Some(Undecided {
        document: Side::Only,
        statement: Some(statement),
        construct: "Principal".to_owned(),
        why: "the statement names no principal: whom the policy is for is not in it".to_owned(),
    })
}

/// Whether the statement of this index applies to no request at all. A witness is one that it does apply
/// to, whatever its effect and whatever the document's other statements say.
///
/// A document without such a statement has none that applies.
pub fn check_never_applies(document: &Document, statement: usize, kind: Kind) -> Answer {
    let Some(statement) = document.statements.get(statement) else { return Answer::Proved };
    let alone = Statement { effect: Effect::Allow, ..statement.clone() };
    let document = Document::new(document.version, document.id.clone(), vec![alone]);
    only(&document, kind, Document::new(Version::V2008, None, Vec::new()), &[], &|_: &Caller| true)
}

fn only(
    document: &Document,
    kind: Kind,
    within: Document,
    accounts: &[AccountId],
    who: &dyn Fn(&Caller) -> bool,
) -> Answer {
    let sides = [Side::Only; 2];
    Question { kind, allows: document, unless: None, within, accounts, who, sides }.answer()
}
