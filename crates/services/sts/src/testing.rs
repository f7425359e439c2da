//! Principals, a directory that knows a few, and what services share, for this crate's tests.

use ringfence_gateway::clock::Clock;
use ringfence_gateway::directory::{AccessKey, MfaCheck, RoleFacts, Use};
use ringfence_gateway::session::Tokens;
use ringfence_gateway::{
    Authority, AuthorizationMessages, Caller, Directory, Identity, Session, Shared,
};
use ringfence_keyring::Keyring;
use ringfence_keyring::random::SystemRandom;
use ringfence_policy::document::{Document, Version};
use ringfence_policy::{AccountId, Arn};
use ringfence_wire::{ServiceError, Timestamp};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub const ACCOUNT: AccountId = AccountId::new(123_456_789_012).unwrap();
pub const NOW: i64 = 1_700_000_000;
pub const USER_ID: &str = "AIDAEXAMPLEEXAMPLEUSR";
pub const MFA_SERIAL: &str = "arn:aws:iam::123456789012:mfa/ana";
pub const MFA_CODE: &str = "123456";
pub const POLICY_ARN: &str = "arn:aws:iam::123456789012:policy/known";

pub fn root() -> Identity {
    Identity::Root { account: ACCOUNT }
}

pub fn user() -> Identity {
    Identity::User {
        account: ACCOUNT,
        name: "ana".into(),
        path: "/dev/".into(),
        id: USER_ID.into(),
    }
}

pub fn role_session() -> Identity {
    Identity::AssumedRole {
        account: ACCOUNT,
        role_name: "deployer".into(),
        role_path: "/ops/".into(),
        role_id: "AROAEXAMPLEEXAMPLEROL".into(),
        session_name: "deploy-1".into(),
    }
}

pub fn federated() -> Identity {
    Identity::FederatedUser { account: ACCOUNT, name: "guest".into(), issuer: Box::new(user()) }
}

pub fn session(identity: Identity) -> Session {
    Session {
        identity,
        access_key_id: "ASIAEXAMPLE".into(),
        issued: NOW,
        expires: NOW + 900,
        policies: None,
        tags: BTreeMap::new(),
        transitive_tags: Vec::new(),
        source_identity: None,
        mfa: None,
        chained: false,
        federation: None,
        delegation: None,
        root_task: None,
    }
}

pub fn long_term(identity: Identity) -> Caller {
    Caller { identity, access_key_id: "AKIAEXAMPLE".into(), session: None }
}

pub fn temporary(identity: Identity) -> Caller {
    Caller {
        session: Some(Arc::new(session(identity.clone()))),
        identity,
        access_key_id: "ASIAEXAMPLE".into(),
    }
}

pub fn shared() -> Shared {
    Shared {
        directory: Arc::new(FakeDirectory),
        clock: Arc::new(StoppedClock),
        random: Arc::new(SystemRandom),
        trail: ringfence_gateway::Trail::in_memory(),
        tokens: Tokens::new(&Keyring::ephemeral().unwrap()),
        authorization_messages: AuthorizationMessages::new(&Keyring::ephemeral().unwrap()),
    }
}

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(NOW)
    }
}

/// One account with the roles `/ops/deployer`, `/plain` and one of a service, and the managed
/// policy `known`.
#[derive(Default)]
pub struct FakeDirectory;

fn nothing() -> Arc<Document> {
    Arc::new(Document::new(Version::V2012, None, Vec::new()))
}

impl Directory for FakeDirectory {
    fn access_key(&self, _: &str) -> Option<AccessKey> {
        None
    }

    fn authority(&self, _: &Identity) -> Option<Authority> {
        Some(Authority::default())
    }

    fn managed_policy(&self, _: AccountId, arn: &str) -> Option<Arc<Document>> {
        // It knows `known` in every account: which account may use it is not its to say.
        let name = Arn::parse(arn).ok()?.resource_id();
        ["known", "ReadOnlyAccess"].contains(&name).then(nothing)
    }

    fn role(&self, account: AccountId, name: &str) -> Option<RoleFacts> {
        let path = match name {
            "deployer" => "/ops/",
            "plain" => "/",
            "AWSServiceRoleForX" => "/aws-service-role/x.amazonaws.com/",
            _ => return None,
        };
        (account == ACCOUNT).then(|| RoleFacts {
            name: name.to_owned(),
            path: path.to_owned(),
            id: "AROAEXAMPLEEXAMPLEROL".into(),
            trust: nothing(),
            max_session_duration: 3600,
            tags: Arc::default(),
            service_linked: path.starts_with("/aws-service-role/"),
        })
    }

    fn account_exists(&self, account: AccountId) -> bool {
        account == ACCOUNT
    }

    fn organization(&self, _: AccountId) -> Option<String> {
        None
    }

    fn check_mfa<'a>(
        &'a self,
        _: &'a Identity,
        serial: &'a str,
        code: &'a str,
        _: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<MfaCheck, ServiceError>> + 'a>> {
        let checked = match (serial, code) {
            (MFA_SERIAL, MFA_CODE) => MfaCheck::Accepted,
            (MFA_SERIAL, _) => MfaCheck::WrongCode,
            _ => MfaCheck::NoDevice,
        };
        Box::pin(std::future::ready(Ok(checked)))
    }

    fn note_use(&self, _: &Use<'_>) {}
}
