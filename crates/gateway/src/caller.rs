//! Who calls: what authentication found out, and nothing that the caller merely claims.

use ringfence_policy::{AccountId, Principal};
use ringfence_wire::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who it is.
    pub identity: Identity,
    /// The access key that signed; empty where nothing signed.
    pub access_key_id: SmolStr,
    /// The session behind temporary credentials.
    pub session: Option<Arc<Session>>,
}

/// A principal of an account, by its names and unique ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// An account's root user.
    Root {
        /// The account.
        account: AccountId,
    },
    /// An IAM user.
    User {
        /// Its account.
        account: AccountId,
        /// Its name.
        name: SmolStr,
        /// Its path, `/` or `/…/`.
        path: SmolStr,
        /// `AIDA…`
        id: SmolStr,
    },
    /// A session of a role.
    AssumedRole {
        /// The role's account.
        account: AccountId,
        /// The role's name.
        role_name: SmolStr,
        /// The role's path.
        role_path: SmolStr,
        /// `AROA…`
        role_id: SmolStr,
        /// The session's name.
        session_name: SmolStr,
    },
    /// A session of `GetFederationToken`.
    FederatedUser {
        /// The account.
        account: AccountId,
        /// The name that the token was asked for.
        name: SmolStr,
        /// The user, or root, that asked for it.
        issuer: Box<Identity>,
    },
    /// Nobody: the request was not signed.
    Anonymous,
}

impl Identity {
    /// The account; `None` for anonymous callers.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Root { account }
            | Self::User { account, .. }
            | Self::AssumedRole { account, .. }
            | Self::FederatedUser { account, .. } => Some(*account),
            Self::Anonymous => None,
        }
    }

    /// Gives the user behind it the path that it has now: ARNs follow a user that moves.
    pub(crate) fn moved_to(&mut self, now: &str) {
        match self {
            Self::User { path, .. } if path != now => *path = now.into(),
            Self::FederatedUser { issuer, .. } => issuer.moved_to(now),
            _ => {}
        }
    }

    /// The ARN that AWS shows for the caller: a session's own where it is one.
    pub fn arn(&self) -> String {
        match self {
            Self::Root { account } => account.root_arn(),
            Self::User { account, name, path, .. } => {
                ["arn:aws:iam::", &account.digits(), ":user", path, name].concat()
            }
            Self::AssumedRole { account, role_name, session_name, .. } => {
                let account = account.digits();
                ["arn:aws:sts::", &account, ":assumed-role/", role_name, "/", session_name].concat()
            }
            Self::FederatedUser { account, name, .. } => {
                format!("arn:aws:sts::{account}:federated-user/{name}")
            }
            Self::Anonymous => "anonymous".into(),
        }
    }

    /// `aws:PrincipalArn`: the role's ARN where the caller is its session.
    pub fn principal_arn(&self) -> String {
        match self {
            Self::AssumedRole { account, role_name, role_path, .. } => {
                ["arn:aws:iam::", &account.digits(), ":role", role_path, role_name].concat()
            }
            _ => self.arn(),
        }
    }

    /// `aws:userid`, and the `UserId` of `GetCallerIdentity`.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-infotouse>
    pub fn user_id(&self) -> Cow<'_, str> {
        match self {
            Self::Root { account } => account.to_string().into(),
            Self::User { id, .. } => id.as_str().into(),
            Self::AssumedRole { role_id, session_name, .. } => {
                [role_id, ":", session_name].concat().into()
            }
            Self::FederatedUser { account, name, .. } => format!("{account}:{name}").into(),
            Self::Anonymous => "anonymous".into(),
        }
    }

    /// `aws:PrincipalType`.
    pub fn principal_type(&self) -> &'static str {
        match self {
            Self::Root { .. } => "Account",
            Self::User { .. } => "User",
            Self::AssumedRole { .. } => "AssumedRole",
            Self::FederatedUser { .. } => "FederatedUser",
            Self::Anonymous => "Anonymous",
        }
    }

    /// The principal as the policy engine knows it.
    pub fn principal(&self) -> Principal {
        match self {
            Self::Root { account } => Principal::Root(*account),
            Self::User { .. } => Principal::User { arn: self.arn() },
            Self::AssumedRole { .. } => {
                Principal::AssumedRole { role_arn: self.principal_arn(), session_arn: self.arn() }
            }
            Self::FederatedUser { issuer, .. } => {
                let user_arn = matches!(**issuer, Self::User { .. }).then(|| issuer.arn());
                Principal::FederatedUser { arn: self.arn(), user_arn }
            }
            Self::Anonymous => Principal::Anonymous,
        }
    }
}

/// What temporary credentials carry. The session token is these facts, sealed: the server keeps no
/// list of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Who the session is.
    pub identity: Identity,
    /// The access key id that the token belongs to.
    pub access_key_id: String,
    /// When it was issued: `aws:TokenIssueTime`.
    pub issued: i64,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
    /// Session policies as JSON text; `None` when none was passed, and the session is not limited.
    pub policies: Option<SessionPolicies>,
    /// Session tags.
    pub tags: BTreeMap<String, String>,
    /// The keys of tags that stay on chained sessions.
    pub transitive_tags: Vec<String>,
    /// `aws:SourceIdentity`, which stays on chained sessions.
    pub source_identity: Option<String>,
    /// When the caller showed an MFA code.
    pub mfa: Option<i64>,
    /// The role was assumed with another role's session: an hour at most.
    pub chained: bool,
    /// The outside provider whose identity assumed the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub federation: Option<Federation>,
    /// The delegation request under which another account uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegation>,
    /// The task that a session of `AssumeRoot` is for: the ARN of AWS's policy. What this policy
    /// does not deny, the root user may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_task: Option<String>,
}

/// A temporary delegation, as far as a session of it keeps: what it lets its holder do is looked up
/// at each call.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies-temporary-delegation.html>
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// The account that asked for it, and holds the session.
    pub requestor: AccountId,
    /// The delegation request's id.
    pub request: String,
    /// The id of the trade-in token that the session was given for.
    pub token: String,
}

/// What a session keeps of the outside identity that it was issued to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Federation {
    /// `aws:FederatedProvider`: the provider's ARN, or the host name of one that AWS knows.
    pub provider: String,
    /// The condition keys of the provider that later calls still have, `saml:sub` for one.
    pub keys: BTreeMap<String, Vec<String>>,
}

/// An identity of an outside provider, as a token or assertion proved it: the caller of an operation
/// that is not signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Federated {
    /// How it was proved.
    pub kind: FederatedKind,
    /// The provider as policies name it: an ARN, or a host name such as `accounts.google.com`.
    pub provider: String,
    /// The account whose provider it is, which hears of the call.
    pub account: AccountId,
    /// `principalId` of the event.
    pub principal_id: String,
    /// `userName` of the event: what the provider calls the user.
    pub user_name: String,
    /// `identityProvider` of the event.
    pub identity_provider: String,
}

/// What proves an identity of an outside provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FederatedKind {
    /// An OpenID Connect token.
    WebIdentity,
    /// A SAML assertion.
    Saml,
}

/// The policies that limit a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPolicies {
    /// The inline document.
    pub inline: Option<String>,
    /// ARNs of managed policies, looked up at each decision.
    pub managed: Vec<String>,
}

impl Session {
    /// Whether it has ended.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now.seconds >= self.expires
    }
}

impl Caller {
    /// Nobody.
    pub fn anonymous() -> Self {
        Self { identity: Identity::Anonymous, access_key_id: SmolStr::default(), session: None }
    }

    /// Whether the caller is a session of `AssumeRoot`.
    pub fn is_assumed_root(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.root_task.is_some())
    }

    /// Whether temporary credentials signed.
    pub fn is_temporary(&self) -> bool {
        self.session.is_some()
    }
}
