//! The decision, in the slow and obvious form: the reference that a faster one must agree with.

use crate::context::Context;
use crate::document::Document;
use crate::{AccountId, Arn};

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
            Self::User { arn } | Self::FederatedUser { arn } => Arn::parse(arn).ok()?.account_id(),
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
    /// The VPC endpoint's policy.
    pub endpoint: Option<&'a Document>,
}

/// A resource's policy, and how it combines with identity policies.
#[derive(Debug, Clone, Copy)]
pub enum ResourcePolicy<'a> {
    /// In one account, its allow or that of an identity policy is enough.
    Ordinary(&'a Document),
    /// A role's trust policy: no identity policy can stand in for it, unless it trusts the account.
    Trust(&'a Document),
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

/// Decides.
pub fn decide(_request: &Request<'_>, _policies: &PolicySet<'_>) -> Decision {
    Decision::ImplicitDeny(Layer::Identity)
}
