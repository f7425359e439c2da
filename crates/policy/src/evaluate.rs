//! The decision, in the slow and obvious form: the reference that a faster one must agree with.

use crate::acl::Acls;
use crate::context::{Context, Values};
use crate::document::{Document, Effect, Matching, PrincipalPattern, Statement};
use crate::grant::Grants;
use crate::{AccountId, Arn, condition, glob, organization};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// An account's root user.
    Root(AccountId),
    /// An IAM user.
    User {
        /// `arn:aws:iam::ID:user/path/name`.
        arn: String,
    },
    /// A role's session.
    AssumedRole {
        /// `arn:aws:iam::ID:role/path/name`.
        role_arn: String,
        /// `arn:aws:sts::ID:assumed-role/name/session`.
        session_arn: String,
    },
    /// A session of `GetFederationToken`.
    FederatedUser {
        /// `arn:aws:sts::ID:federated-user/name`.
        arn: String,
        /// The IAM user that asked for it; `None` where root did. A grant to the user reaches the
        /// session, limited by boundary and session policies.
        user_arn: Option<String>,
    },
    /// An identity of an outside provider, before it has assumed a role.
    Federated {
        /// The provider: an ARN, or a host name such as `accounts.google.com`.
        provider: String,
    },
    /// An AWS service acting for itself.
    Service(String),
    /// No credentials.
    Anonymous,
}

impl Principal {
    /// The account that it belongs to.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Root(account) => Some(*account),
            Self::User { arn } | Self::FederatedUser { arn, .. } => {
                Arn::parse(arn).ok()?.account_id()
            }
            Self::AssumedRole { role_arn, .. } => Arn::parse(role_arn).ok()?.account_id(),
            Self::Federated { .. } | Self::Service(_) | Self::Anonymous => None,
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// `iam:CreateUser`.
    pub action: &'a str,
    /// The ARN of the resource, or `*` for an action that has none.
    pub resource: &'a str,
    /// The account that owns the resource.
    pub resource_account: AccountId,
    /// The facts that conditions look at.
    pub context: &'a Context,
}

/// The policies that bear on a request.
#[derive(Debug, Clone, Default)]
pub struct PolicySet<'a> {
    /// Identity policies of the user, its groups, or the role.
    pub identity: Vec<&'a Document>,
    /// The permissions boundary.
    pub boundary: Option<&'a Document>,
    /// Session policies; `Some` of an empty list allows nothing.
    pub session: Option<Vec<&'a Document>>,
    /// The resource's policy.
    pub resource: Option<ResourcePolicy<'a>>,
    /// Service control policies, a list for each level from the root down.
    pub service_control: Vec<Vec<&'a Document>>,
    /// Resource control policies, a list for each level from the root down.
    pub resource_control: Vec<Vec<&'a Document>>,
    /// The organization's management account: service control policies do not bind its principals,
    /// resource control policies not its resources.
    pub management_account: Option<AccountId>,
    /// The VPC endpoint's policy.
    pub endpoint: Option<&'a Document>,
    /// Grants on the KMS key.
    pub grants: Grants<'a>,
    /// Access control lists of the S3 bucket and object.
    pub acls: Acls<'a>,
}

/// A resource's policy, and how it combines with identity policies.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html#policy-eval-denyallow>
#[derive(Debug, Clone, Copy)]
pub enum ResourcePolicy<'a> {
    /// In one account, its allow or that of an identity policy is enough.
    Ordinary(&'a Document),
    /// A role's trust policy: no identity policy can stand in for it, unless it trusts the account.
    Trust(&'a Document),
    /// A KMS key's policy, which nothing stands in for either.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html>
    Key(&'a Document),
}

impl<'a> ResourcePolicy<'a> {
    /// The document, whichever kind.
    pub const fn document(self) -> &'a Document {
        match self {
            Self::Ordinary(document) | Self::Trust(document) | Self::Key(document) => document,
        }
    }

    /// The layer that a denial by it is told as.
    pub const fn layer(self) -> Layer {
        match self {
            Self::Trust(_) => Layer::Trust,
            Self::Ordinary(_) | Self::Key(_) => Layer::Resource,
        }
    }
}

/// The answer, and the layer that settled it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Allowed.
    Allow,
    /// A statement of this layer denies.
    ExplicitDeny(Layer),
    /// No statement of this layer allows.
    ImplicitDeny(Layer),
}

impl Decision {
    /// Whether the request may go on.
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// A kind of policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// Identity policies.
    Identity,
    /// The resource's policy.
    Resource,
    /// A role's trust policy.
    Trust,
    /// The permissions boundary.
    Boundary,
    /// Session policies.
    Session,
    /// Service control policies.
    ServiceControl,
    /// Resource control policies.
    ResourceControl,
    /// The VPC endpoint's policy.
    Endpoint,
}

/// How a statement's `Principal` came to match: what it grants differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Named {
    /// The account was named: it grants what identity policies grant.
    Account,
    /// The role, or the user behind a federated one, was named: boundaries and session policies still limit.
    Role,
    /// The user or the session itself was named, or anyone: nothing that is merely silent limits it.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html#principal-roles>
    Itself,
}

/// Decides.
///
/// An explicit deny anywhere ends it. Otherwise every layer that is there must allow, with the
/// exceptions that AWS documents for resource policies.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html>
pub fn decide(request: &Request<'_>, policies: &PolicySet<'_>) -> Decision {
    if let Some(layer) = explicit_deny(request, policies) {
        return Decision::ExplicitDeny(layer);
    }
    for level in resource_control(request, policies) {
        if !allows(request, level) {
            return Decision::ImplicitDeny(Layer::ResourceControl);
        }
    }
    for level in service_control(request, policies) {
        if !allows(request, level) {
            return Decision::ImplicitDeny(Layer::ServiceControl);
        }
    }
    if policies.endpoint.is_some_and(|document| !allows(request, &[document])) {
        return Decision::ImplicitDeny(Layer::Endpoint);
    }

    let same_account = request.principal.account() == Some(request.resource_account);
    let granted = match policies.resource {
        Some(
            ResourcePolicy::Ordinary(document)
            | ResourcePolicy::Trust(document)
            | ResourcePolicy::Key(document),
        ) => granted(request, document),
        None => None,
    };
    let granted = granted.max(policies.grants.reach(request)).max(policies.acls.reach(request));
    match (policies.resource, granted) {
        // A trust policy must allow: no identity policy can stand in for it.
        (Some(ResourcePolicy::Trust(_)), None) => return Decision::ImplicitDeny(Layer::Trust),
        (Some(ResourcePolicy::Key(_)), None) => return Decision::ImplicitDeny(Layer::Resource),
        // Without an account there are no identity policies: the resource's policy alone decides.
        (_, Some(_)) if request.principal.account().is_none() => return Decision::Allow,
        (_, None) if request.principal.account().is_none() => {
            return Decision::ImplicitDeny(Layer::Resource);
        }
        // Across accounts both sides must allow.
        (_, None) if !same_account => return Decision::ImplicitDeny(Layer::Resource),
        (_, Some(Named::Itself)) if same_account => return Decision::Allow,
        _ => {}
    }
    let by_resource = same_account && granted == Some(Named::Role);
    let root = matches!(request.principal, Principal::Root(_));
    if !by_resource && !root && !allows(request, &policies.identity) {
        return Decision::ImplicitDeny(Layer::Identity);
    }
    if policies.boundary.is_some_and(|document| !allows(request, &[document])) {
        return Decision::ImplicitDeny(Layer::Boundary);
    }
    if policies.session.as_ref().is_some_and(|documents| !allows(request, documents)) {
        return Decision::ImplicitDeny(Layer::Session);
    }
    Decision::Allow
}

/// The service control policies that bind who asks.
fn service_control<'a>(
    request: &Request<'_>,
    policies: &'a PolicySet<'_>,
) -> &'a [Vec<&'a Document>] {
    let Request { principal, .. } = *request;
    let bound = organization::binds_principal(principal.account(), policies.management_account)
        && !organization::is_service_linked(principal);
    if bound { &policies.service_control } else { &[] }
}

/// The resource control policies that bind what is asked.
fn resource_control<'a>(
    request: &Request<'_>,
    policies: &'a PolicySet<'_>,
) -> &'a [Vec<&'a Document>] {
    let bound = organization::binds_resource(request, policies.management_account)
        && !organization::is_service_linked(request.principal);
    if bound { &policies.resource_control } else { &[] }
}

/// The first layer with a statement that denies.
fn explicit_deny(request: &Request<'_>, policies: &PolicySet<'_>) -> Option<Layer> {
    let denies = |documents: &[&Document]| {
        documents.iter().any(|document| {
            document.statements.iter().any(|statement| {
                statement.effect == Effect::Deny
                    && (matches(request, document, statement).is_some()
                        || denies_bounded(request, policies, document, statement))
            })
        })
    };
    let resource = policies.resource.map(|policy| match policy {
        ResourcePolicy::Ordinary(document) | ResourcePolicy::Key(document) => {
            (Layer::Resource, document)
        }
        ResourcePolicy::Trust(document) => (Layer::Trust, document),
    });
    if service_control(request, policies).iter().any(|level| denies(level)) {
        Some(Layer::ServiceControl)
    } else if resource_control(request, policies).iter().any(|level| denies(level)) {
        Some(Layer::ResourceControl)
    } else if denies(&policies.identity) {
        Some(Layer::Identity)
    } else if let Some((layer, document)) = resource
        && denies(&[document])
    {
        Some(layer)
    } else if policies.boundary.is_some_and(|document| denies(&[document])) {
        Some(Layer::Boundary)
    } else if policies.session.as_ref().is_some_and(|documents| denies(documents)) {
        Some(Layer::Session)
    } else if policies.endpoint.is_some_and(|document| denies(&[document])) {
        Some(Layer::Endpoint)
    } else {
        None
    }
}

/// A `Deny` with `NotPrincipal` denies whoever has a permissions boundary, even whom it names.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html>
fn denies_bounded(
    request: &Request<'_>,
    policies: &PolicySet<'_>,
    document: &Document,
    statement: &Statement,
) -> bool {
    policies.boundary.is_some()
        && matches!(statement.principal, Some(Matching::AllBut(_)))
        && applies(request, document, statement)
}

/// Whether any statement of any document allows.
fn allows(request: &Request<'_>, documents: &[&Document]) -> bool {
    documents.iter().any(|document| {
        document.statements.iter().any(|statement| {
            statement.effect == Effect::Allow && matches(request, document, statement).is_some()
        })
    })
}

/// How far a resource's policy grants the request: the farthest of its allowing statements.
fn granted(request: &Request<'_>, document: &Document) -> Option<Named> {
    let allowing = document.statements.iter().filter(|s| s.effect == Effect::Allow);
    allowing.filter_map(|statement| matches(request, document, statement)).max()
}

/// Whether a statement applies to the request, and how its principal was named. A statement without
/// a principal belongs to an identity policy and names nobody.
pub(crate) fn matches(
    request: &Request<'_>,
    document: &Document,
    statement: &Statement,
) -> Option<Named> {
    let named = match &statement.principal {
        None => Named::Account,
        Some(Matching::These(patterns)) => patterns
            .iter()
            .filter_map(|pattern| names(pattern, request.principal, request.context))
            .max()?,
        Some(Matching::AllBut(patterns)) => {
            if exempt(patterns, request, statement.effect) {
                return None;
            }
            Named::Role
        }
    };
    applies(request, document, statement).then_some(named)
}

/// Whether a statement speaks of the request's action and resource, and its conditions hold.
fn applies(request: &Request<'_>, document: &Document, statement: &Statement) -> bool {
    let (version, context) = (document.version, request.context);
    let action = statement.action.patterns().iter().any(|p| glob::action(p, request.action));
    let resource = statement.resource.as_ref().is_none_or(|resources| {
        let hit =
            |pattern: &String| condition::resource(pattern, request.resource, version, context);
        resources.holds(resources.patterns().iter().any(hit))
    });
    statement.action.holds(action)
        && resource
        && statement.conditions.iter().all(|c| condition::holds(c, version, context))
}

/// Whether and how a pattern names a principal.
pub(crate) fn names(
    pattern: &PrincipalPattern,
    principal: &Principal,
    context: &Context,
) -> Option<Named> {
    match pattern {
        PrincipalPattern::Anyone => Some(Named::Itself),
        PrincipalPattern::Account(account) => {
            (principal.account() == Some(*account)).then_some(Named::Account)
        }
        PrincipalPattern::Arn(arn) => match principal {
            Principal::User { arn: own } | Principal::FederatedUser { arn: own, .. }
                if own == arn =>
            {
                Some(Named::Itself)
            }
            Principal::FederatedUser { user_arn: Some(user), .. } if user == arn => {
                Some(Named::Role)
            }
            Principal::AssumedRole { session_arn, .. } if session_arn == arn => Some(Named::Itself),
            Principal::AssumedRole { role_arn, .. } if role_arn == arn => Some(Named::Role),
            _ => None,
        },
        PrincipalPattern::UniqueId(id) => {
            // `aws:userid` is `AIDA…` for a user and `AROA…:session` for a role's session.
            let Some(Values::One(own)) = context.get("aws:userid") else { return None };
            match (principal, own.split_once(':')) {
                (Principal::User { .. }, None) if own == id => Some(Named::Itself),
                (Principal::AssumedRole { .. }, Some((role, _))) if role == id => Some(Named::Role),
                _ => None,
            }
        }
        PrincipalPattern::Service(name) => {
            matches!(principal, Principal::Service(own) if own == name).then_some(Named::Itself)
        }
        PrincipalPattern::Federated(name) => {
            let Principal::Federated { provider } = principal else { return None };
            (name == "*" || name == provider).then_some(Named::Itself)
        }
        // Canonical user ids are S3's; no principal of another kind has one.
        PrincipalPattern::CanonicalUser(_) => None,
    }
}

/// Whether `NotPrincipal` leaves a principal out. From a denial only if every part of it is listed: the
/// account, the role, and the session. From an allowance if any part is.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html>
pub(crate) fn exempt(patterns: &[PrincipalPattern], request: &Request<'_>, effect: Effect) -> bool {
    let any = || patterns.iter().any(|p| names(p, request.principal, request.context).is_some());
    if effect == Effect::Allow || patterns.contains(&PrincipalPattern::Anyone) {
        return any();
    }
    let lists =
        |arn: &str| patterns.iter().any(|p| matches!(p, PrincipalPattern::Arn(a) if a == arn));
    let account = request.principal.account().is_some_and(|account| {
        patterns.iter().any(|p| matches!(p, PrincipalPattern::Account(a) if *a == account))
    });
    match request.principal {
        Principal::Root(_) => account,
        Principal::User { arn } | Principal::FederatedUser { arn, .. } => account && lists(arn),
        Principal::AssumedRole { role_arn, session_arn } => {
            account && lists(role_arn) && lists(session_arn)
        }
        Principal::Federated { .. } | Principal::Service(_) | Principal::Anonymous => any(),
    }
}
