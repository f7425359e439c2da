//! What the gateway asks of the service that knows principals. IAM answers; the gateway, STS and
//! every later service ask through this trait alone.

use crate::caller::{Delegation, Identity, Session};
use ringfence_keyring::SecretString;
use ringfence_policy::{AccountId, Document};
use ringfence_wire::{ServiceError, Timestamp};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Tags of a principal or resource.
pub type Tags = BTreeMap<String, String>;

/// A long-term access key.
#[derive(Debug, Clone)]
pub struct AccessKey {
    /// The secret.
    pub secret: Arc<SecretString>,
    /// Whose it is: a root user or an IAM user.
    pub owner: Identity,
    /// An inactive key signs nothing.
    pub active: bool,
}

/// A policy that bears on a principal.
#[derive(Debug, Clone)]
pub struct Attached {
    /// What it says.
    pub document: Arc<Document>,
    /// The ARN of a managed policy; an inline one has none.
    pub arn: Option<Arc<str>>,
}

/// What a principal may, and what is known of it when it calls.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    /// Identity policies: inline, attached, and those of its groups.
    pub policies: Vec<Attached>,
    /// The permissions boundary. A boundary whose policy is gone allows nothing: an empty document.
    pub boundary: Option<Attached>,
    /// The principal's own tags.
    pub tags: Arc<Tags>,
    /// The path of a user, which may have moved since a session of its own was issued.
    pub path: Option<SmolStr>,
}

/// A role as STS needs it.
#[derive(Debug, Clone)]
pub struct RoleFacts {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// `AROA…`
    pub id: String,
    /// The trust policy.
    pub trust: Arc<Document>,
    /// Longest session in seconds.
    pub max_session_duration: i32,
    /// Its tags.
    pub tags: Arc<Tags>,
    /// It belongs to a service and no one else assumes it.
    pub service_linked: bool,
}

/// An OpenID Connect provider as STS needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcProvider {
    /// Its ARN.
    pub arn: String,
    /// Its unique id: a provider made anew at the same URL is another.
    pub id: String,
    /// The issuer: its URL with the scheme.
    pub issuer: String,
    /// The audiences that it takes.
    pub client_ids: Vec<String>,
    /// SHA-1 of certificates that are trusted for it, in lower-case hex.
    pub thumbprints: Vec<String>,
}

/// A SAML provider as STS needs it.
#[derive(Debug, Clone)]
pub struct SamlProvider {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Its unique id, `SAMLSP…`, which an endpoint's URL may end with.
    pub id: String,
    /// The issuer of its assertions.
    pub entity_id: String,
    /// The certificates, as DER, by whose keys assertions may be signed.
    pub certificates: Vec<Vec<u8>>,
    /// When its metadata ends, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// Assertions must be encrypted.
    pub encrypted: bool,
    /// The keys that decrypt assertions, PEM.
    pub private_keys: Vec<Arc<SecretString>>,
}

/// A delegation as STS needs it: whose session its token is good for.
#[derive(Debug, Clone)]
pub struct Delegated {
    /// The principal that accepted the request.
    pub identity: Identity,
    /// The session that it accepted the request with, where it was one: its policies, tags and
    /// source identity bind the delegate too.
    pub accepted_in: Option<Session>,
    /// Since when the approver's rights are lent, in seconds since 1970: since its session began, or the
    /// token was sent.
    pub since: i64,
    /// When the delegation ends, in seconds since 1970.
    pub expires: i64,
    /// The delegation.
    pub delegation: Delegation,
    /// The share of the largest permission policy that it has, in percent.
    pub packed_policy_size: i32,
}

/// What a trade-in token is good for.
#[derive(Debug, Clone)]
pub enum TradeIn {
    /// Nothing: it was not made here, or not for this account.
    Unknown,
    /// Nothing any more: its time is over, or the delegation was withdrawn.
    Expired,
    /// A session.
    Good(Box<Delegated>),
}

/// An MFA device as STS needs it: STS asks whether a code is right, and learns nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MfaCheck {
    /// The code was right, and cannot be used again.
    Accepted,
    /// No such device of this user.
    NoDevice,
    /// The code was wrong, or used before.
    WrongCode,
}

/// A sign-in by a security key, begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChallenge {
    /// What its end must name.
    pub ceremony: String,
    /// `PublicKeyCredentialRequestOptionsJSON`, for the browser.
    pub options: String,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
}

/// What ends a sign-in by a security key, before it is checked.
#[derive(Debug, Clone, Copy)]
pub struct KeyResponse<'a> {
    /// The ceremony that it ends.
    pub ceremony: &'a str,
    /// `AuthenticationResponseJSON`, from the browser.
    pub response: &'a str,
}

/// A use of an access key or role, for the last-used fields.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// Who called.
    pub identity: &'a Identity,
    /// The access key that signed.
    pub access_key_id: &'a str,
    /// The service called, by its signing name.
    pub service: &'a str,
    /// The region called.
    pub region: &'a str,
    /// When.
    pub at: Timestamp,
}

/// The principals of every account of this server.
pub trait Directory: Send + Sync + 'static {
    /// A long-term access key by its id.
    fn access_key(&self, id: &str) -> Option<AccessKey>;

    /// What a principal may; `None` when it no longer exists, by name *and* unique id: a role made
    /// anew under an old name is another role.
    fn authority(&self, identity: &Identity) -> Option<Authority>;

    /// The default version of a managed policy that `account` can see: its own, or AWS's.
    fn managed_policy(&self, account: AccountId, arn: &str) -> Option<Arc<Document>>;

    /// A role by account and name. The path must be the role's own where the caller gave an ARN.
    fn role(&self, account: AccountId, name: &str) -> Option<RoleFacts>;

    /// The unique id of the user or role that has this ARN.
    fn principal_id(&self, arn: &str) -> Option<String> {
        let _ = arn;
        None
    }

    /// The account's OpenID Connect provider at a URL, which is given without its scheme.
    fn oidc_provider(&self, account: AccountId, url: &str) -> Option<OidcProvider> {
        let _ = (account, url);
        None
    }

    /// The account's SAML provider of a name.
    fn saml_provider(&self, account: AccountId, name: &str) -> Option<SamlProvider> {
        let _ = (account, name);
        None
    }

    /// What a trade-in token is good for in the hands of an account.
    fn trade_in(&self, account: AccountId, token: &str, now: Timestamp) -> TradeIn {
        let _ = (account, token, now);
        TradeIn::Unknown
    }

    /// What a delegation permits; `None` when it was withdrawn, or when its owner or whoever accepted
    /// it no longer exists.
    fn delegation(&self, delegation: &Delegation) -> Option<Arc<Document>> {
        let _ = delegation;
        None
    }

    /// Whether the account exists here.
    fn account_exists(&self, account: AccountId) -> bool;

    /// The organization of an account, `o-…`, where it has one.
    fn organization(&self, account: AccountId) -> Option<String>;

    /// Where the account stands in its organization: `o-…/r-…/ou-…/`.
    fn organization_path(&self, account: AccountId) -> Option<String> {
        let _ = account;
        None
    }

    /// Whether `account` may take over the root user of `member` for a task, which goes by the ARN
    /// of AWS's policy: it administers the organization of both, whose features let it.
    fn administers_root(&self, account: AccountId, member: AccountId, task: &str) -> bool {
        let _ = (account, member, task);
        false
    }

    /// Checks an MFA code of a user's or root's device. That a right code was used is durable before
    /// it is told that it was right.
    ///
    /// # Errors
    /// `ServiceFailure` when that cannot be kept.
    fn check_mfa<'a>(
        &'a self,
        identity: &'a Identity,
        serial: &'a str,
        code: &'a str,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<MfaCheck, ServiceError>> + 'a>>;

    /// Begins a sign-in by a security key of a user's or root's own: by this one, or by any.
    ///
    /// # Errors
    /// `NoSuchEntity` where there is none, `ServiceFailure` when it cannot be kept.
    fn begin_assertion<'a>(
        &'a self,
        identity: &'a Identity,
        serial: Option<&'a str>,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<KeyChallenge, ServiceError>> + 'a>> {
        let _ = (identity, serial, now);
        Box::pin(std::future::ready(Err(ServiceError::internal())))
    }

    /// Ends it; the serial number of the key that signed. That it signed is durable before it is told,
    /// and neither ceremony nor signature can be used again.
    ///
    /// # Errors
    /// `CeremonyNotFound` for one that is not the caller's, is over or was used; `SecurityKeyRefused`;
    /// `ServiceFailure` when it cannot be kept.
    fn finish_assertion<'a>(
        &'a self,
        identity: &'a Identity,
        response: KeyResponse<'a>,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<str>, ServiceError>> + 'a>> {
        let _ = (identity, response, now);
        Box::pin(std::future::ready(Err(ServiceError::internal())))
    }

    /// Notes a use. Called for every authenticated call: it must be quick and never wait.
    fn note_use(&self, used: &Use<'_>);
}
