//! Who can do something: everyone of an account is asked for, and whom a resource's policy names beside.

use super::assume::{Assumption, Open, Satisfied, assume, open, variant};
use super::policies::{OfLayer, OfResource, Policies, Source, Sourced, is_trust};
use super::{Account, Around, Known, outsiders};
use crate::compile::speaks_of;
use crate::document::{Effect, Matching, Statement};
use crate::evaluate::{self, Decision, Layer, Principal, Request};
use crate::{AccountId, Arn, Document, decide, organization};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Question {
    /// `s3:GetObject`
    pub action: String,
    /// The ARN of the resource, or `*` for an action that has none. It is no pattern.
    pub resource: String,
    /// Whose the resource is.
    pub resource_account: AccountId,
    /// Condition keys that are known of every request, with their values.
    pub given: Vec<(String, Vec<String>)>,
}

impl Question {
    /// A question of which no condition key is known.
    pub fn new(action: &str, resource: &str, resource_account: AccountId) -> Self {
        let (action, resource) = (action.to_owned(), resource.to_owned());
        Self { action, resource, resource_account, given: Vec::new() }
    }

    /// Adds the keys that are known of every request.
    pub(super) fn give(&self, mut known: Known) -> Known {
        for (key, values) in &self.given {
            known.give(key, values.clone());
        }
        known
    }
}

/// One of those who were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Who.
    pub who: Someone,
    /// Whether it can.
    pub access: Access<'a>,
}

/// Someone as policies name them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Someone {
    /// What it is.
    pub kind: SomeoneKind,
    /// An ARN, an account, the name of a service or of an identity provider, or `*`.
    pub text: String,
}

/// What someone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SomeoneKind {
    /// The account's root user.
    Root,
    /// One of its users.
    User,
    /// Sessions of one of its roles.
    Role,
    /// Anyone, even without credentials.
    Anyone,
    /// Principals of another account.
    Account,
    /// One principal of another account, or a federated user.
    Outsider,
    /// A service.
    Service,
    /// Identities of a provider.
    Federated,
    /// Whom an id of S3's names.
    CanonicalUser,
}

impl SomeoneKind {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
            Self::Role => "role",
            Self::Anyone => "anyone",
            Self::Account => "account",
            Self::Outsider => "outsider",
            Self::Service => "service",
            Self::Federated => "federated",
            Self::CanonicalUser => "canonicalUser",
        }
    }
}

/// Whether someone can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access<'a> {
    /// Whatever the unknown keys are.
    Allowed {
        /// The first policy that grants it; none where a root user needs no grant.
        by: Option<Source<'a>>,
    },
    /// It hangs on what is not known.
    Depends {
        /// The statements that hang on unknown keys.
        on: Vec<Hinge<'a>>,
        /// What else is not known.
        also: Option<Also>,
    },
    /// Never, whatever the unknown keys are.
    Denied(Decision),
    /// AWS refuses it whatever policies say.
    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
    RootAssumesNoRole,
}

/// What an account's export cannot tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Also {
    /// The policies of the other account must allow it too.
    OwnPolicies,
    /// Whom an id of S3's names.
    CanonicalUser,
}

impl fmt::Display for Also {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnPolicies => {
                "the policies of its own account, which are not known here, allow it too"
            }
            Self::CanonicalUser => "this id of S3's is theirs",
        })
    }
}

/// A statement that may apply or not, and would change the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hinge<'a> {
    /// The layer of its policy.
    pub layer: Layer,
    /// Of organization policies: the level from the root down, from 0.
    pub level: Option<usize>,
    /// Its policy.
    pub source: Source<'a>,
    /// Its place in its policy, from 0.
    pub statement: usize,
    /// Its `Sid`.
    pub sid: Option<&'a str>,
    /// Whether it allows or denies.
    pub effect: Effect,
    /// The elements that hang on unknown keys, every one of which must hold for it to apply.
    pub open: Vec<Open>,
}

/// A question about a role that the export does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the export has no role `{0}`, whose trust policy would have to be asked")]
pub struct NoSuchRole(pub String);

/// Asks for the root user, every user and every role of an account, and for whoever else the resource's
/// policy names.
///
/// # Errors
/// [`NoSuchRole`].
pub fn who_can<'a>(
    account: &'a Account,
    around: &'a Around,
    question: &Question,
) -> Result<Vec<Answer<'a>>, NoSuchRole> {
    let Question { action, resource, resource_account, .. } = question;
    let is_role = OfResource::at(resource) == OfResource::Trust && is_trust(action);
    let own = Arn::parse(resource).ok().and_then(|arn| arn.account_id()) == Some(account.id);
    if is_role && own && !account.roles.contains_key(resource) {
        return Err(NoSuchRole(resource.clone()));
    }
    let mut out = Vec::new();
    for (text, who) in account.everyone() {
        let kind = match &who.principal {
            Principal::User { .. } => SomeoneKind::User,
            Principal::AssumedRole { .. } => SomeoneKind::Role,
            _ => SomeoneKind::Root,
        };
        let someone = Someone { kind, text };
        if kind == SomeoneKind::Root && action.eq_ignore_ascii_case("sts:AssumeRole") {
            out.push(Answer { who: someone, access: Access::RootAssumesNoRole });
            continue;
        }
        let known = account.known_for(&who, action, resource, *resource_account);
        let known = question.give(known);
        let policies = account.policies_for(&who, around, action, resource, *resource_account);
        let case = Case { principal: &who.principal, question, known: &known, policies: &policies };
        out.push(Answer { who: someone, access: case.access() });
    }
    out.extend(outsiders::answers(account, around, question));
    Ok(out)
}

/// The statements that may apply to a request or not, for want of keys: of every layer, whether or
/// not they change the answer.
pub fn hinges<'a>(
    policies: &Policies<'a>,
    known: &Known,
    principal: &Principal,
    question: &Question,
) -> Vec<Hinge<'a>> {
    Case { principal, question, known, policies }.hinges(|_, _, _, _| true)
}

/// How far a layer certainly allows, looked for once.
type Certain = OnceCell<Option<evaluate::Named>>;

/// One principal's part of a question.
pub(super) struct Case<'q, 'a> {
    pub principal: &'q Principal,
    pub question: &'q Question,
    pub known: &'q Known,
    pub policies: &'q Policies<'a>,
}

impl<'q, 'a> Case<'q, 'a> {
    fn request(&self) -> Request<'q> {
        Request {
            principal: self.principal,
            action: &self.question.action,
            resource: &self.question.resource,
            resource_account: self.question.resource_account,
            context: self.known.context(),
        }
    }

    /// The decision under an assumption, and whether anything had to be assumed.
    fn decide(&self, assumption: Assumption) -> (Decision, bool) {
        let policies = self.policies.layers().flat_map(|layer| layer.policies);
        let documents: Vec<Cow<'_, Document>> =
            policies.map(|policy| assume(policy.document, self.known, assumption)).collect();
        let mut next = documents.iter();
        let set = self.policies.set_of(|policy| next.next().map_or(policy.document, |own| own));
        let assumed = documents.iter().any(|document| matches!(document, Cow::Owned(_)));
        (decide(&self.request(), &set), assumed)
    }

    pub fn access(&self) -> Access<'a> {
        let (best, assumed) = self.decide(Assumption::Optimistic);
        if !best.is_allowed() {
            return Access::Denied(best);
        }
        if !assumed || self.decide(Assumption::Pessimistic).0.is_allowed() {
            return Access::Allowed { by: self.granting() };
        }
        Access::Depends { on: self.decisive(), also: None }
    }

    /// The policy that grants what is certainly allowed: the resource's, where it names who asks and not
    /// merely the account, or else an identity policy.
    fn granting(&self) -> Option<Source<'a>> {
        let least = match self.principal.account() {
            Some(_) => evaluate::Named::Role,
            None => evaluate::Named::Account,
        };
        let of_resource = self.policies.resource.as_ref().map(|(_, policy)| policy);
        let by_resource = of_resource.filter(|policy| self.certain(policy) >= Some(least));
        let by_identity =
            || self.policies.identity.iter().find(|policy| self.certain(policy).is_some());
        by_resource.or_else(by_identity).map(|policy| policy.source)
    }

    /// The statements on which an answer hangs.
    fn decisive(&self) -> Vec<Hinge<'a>> {
        // Where all that is certain to be allowed is enough, what else may be allowed is beside the
        // point, and only what may be denied counts.
        let (enough, _) = self.decide(Assumption::Silent);
        self.hinges(|certain, layer, document, statement| {
            statement.effect == Effect::Deny
                || !enough.is_allowed() && !self.is_settled(certain, layer, document, statement)
        })
    }

    /// Whether a layer certainly allows as much as a statement of it may.
    fn is_settled(
        &self,
        certain: &Certain,
        layer: OfLayer<'_, 'a>,
        document: &Document,
        statement: &Statement,
    ) -> bool {
        let most = self.named(document, statement, Satisfied::All);
        // In one account a grant to the account is no more than its identity policies grant.
        let ordinary = matches!(self.policies.resource, Some((OfResource::Ordinary, _)));
        let same_account = self.principal.account() == Some(self.question.resource_account);
        if layer.layer == Layer::Resource
            && ordinary
            && same_account
            && most == Some(evaluate::Named::Account)
        {
            return true;
        }
        let of_all = || layer.policies.iter().filter_map(|policy| self.certain(policy)).max();
        *certain.get_or_init(of_all) >= most
    }

    /// How far a policy certainly allows.
    fn certain(&self, policy: &Sourced<'a>) -> Option<evaluate::Named> {
        let document = policy.document;
        let speaking = document.statements.iter().filter(|statement| {
            statement.effect == Effect::Allow && speaks_of(statement, &self.question.action)
        });
        speaking.filter_map(|s| self.named(document, s, Satisfied::None)).max()
    }

    /// How a statement names who asks where it applies, its open elements being satisfied or not.
    fn named(
        &self,
        document: &Document,
        statement: &Statement,
        satisfied: Satisfied<'_>,
    ) -> Option<evaluate::Named> {
        let assumed = variant(statement, document.version, self.known, satisfied)?;
        evaluate::matches(&self.request(), document, &assumed)
    }

    /// The statements that may apply or not, of those that `counts`.
    fn hinges(
        &self,
        counts: impl Fn(&Certain, OfLayer<'_, 'a>, &Document, &Statement) -> bool,
    ) -> Vec<Hinge<'a>> {
        let mut out = Vec::new();
        for layer in self.policies.layers() {
            if !self.binds(layer.layer) {
                continue;
            }
            let certain = Certain::new();
            for policy in layer.policies {
                let document: &'a Document = policy.document;
                for (index, statement) in document.statements.iter().enumerate() {
                    let open = self.open(document, statement);
                    if open.is_empty() || !counts(&certain, layer, document, statement) {
                        continue;
                    }
                    out.push(Hinge {
                        layer: layer.layer,
                        level: layer.level,
                        source: policy.source,
                        statement: index,
                        sid: statement.sid.as_deref(),
                        effect: statement.effect,
                        open,
                    });
                }
            }
        }
        out
    }

    /// Whether the policies of a layer bind who asks and what is asked.
    fn binds(&self, layer: Layer) -> bool {
        let management = self.policies.management_account;
        let bound = match layer {
            Layer::ServiceControl => {
                organization::binds_principal(self.principal.account(), management)
            }
            Layer::ResourceControl => organization::binds_resource(&self.request(), management),
            _ => return true,
        };
        bound && !organization::is_service_linked(self.principal)
    }

    /// What a statement's application to the request hangs on; nothing where it applies anyhow, or does
    /// not.
    fn open(&self, document: &Document, statement: &Statement) -> Vec<Open> {
        if !speaks_of(statement, &self.question.action) {
            return Vec::new();
        }
        let mut open = open(statement, document.version, self.known);
        if open.is_empty() || !self.applies(document, statement, Satisfied::All) {
            return Vec::new();
        }
        open.retain(|one| !self.applies(document, statement, Satisfied::AllBut(one)));
        open
    }

    fn applies(
        &self,
        document: &Document,
        statement: &Statement,
        satisfied: Satisfied<'_>,
    ) -> bool {
        let assumed = variant(statement, document.version, self.known, satisfied);
        let Some(mut assumed) = assumed else { return false };
        // Such a denial is of whoever has a boundary: see `evaluate`.
        if self.policies.boundary.is_some()
            && assumed.effect == Effect::Deny
            && matches!(assumed.principal, Some(Matching::AllBut(_)))
        {
            assumed.principal = None;
        }
        evaluate::matches(&self.request(), document, &assumed).is_some()
    }
}
