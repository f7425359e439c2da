//! Accounts and what is in them, for this crate's tests.

use crate::delegation::records::{DelegationRequest, Notice, Parameter, Sent, Stage};
use crate::documents::IdentityPolicy;
use crate::key_records::{ServerCertificate, ServiceCredential, SigningCertificate, SshKey};
use crate::mfa::totp::Totp;
use crate::mfa::{Device, SecurityKey};
use crate::password_policy::PasswordPolicy;
use crate::passwords::{Hashed, LoginProfile};
use crate::records::{
    AccessKey, Credentials, Group, KeyId, OidcProvider, Permissions, Policy, PolicyVersion, Proofs,
    Role, SamlPrivateKey, SamlProvider, UniqueId, User, no_tags, shared_path,
};
use crate::root_access::{Feature, RootAccess};
use crate::settings::{Settings, TokenVersion};
use crate::trust::TrustPolicy;
use crate::{Iam, Quotas};
use ringfence_gateway::clock::MovedClock;
use ringfence_keyring::random::SeededRandom;
use ringfence_keyring::{Keyring, OneTime, SecretBytes, SecretString};
use ringfence_policy::document::{Effect, Matching, PrincipalPattern, Statement, Version};
use ringfence_policy::{AccountId, Document};
use ringfence_store::Store;
use ringfence_store::model::Model;
use ringfence_store::seal::Unsealed;
use std::sync::Arc;

pub const ID: AccountId = AccountId::new(123_456_789_012).unwrap();
pub const OTHER: AccountId = AccountId::new(999_999_999_999).unwrap();

/// A request of this account for an hour, that nobody owns.
pub fn delegation_request(id: &str, requestor: AccountId) -> DelegationRequest {
    DelegationRequest {
        id: id.into(),
        requestor,
        requestor_name: "Partner".into(),
        workflow: "workflow".into(),
        created: 1_700_000_000,
        updated: 1_700_000_000,
        state: Stage::Unassigned,
        since: 1_700_000_000,
        owner_account: None,
        owner: None,
        approver: None,
        description: "d".into(),
        message: None,
        template: "arn:aws:iam::123456789012:policy/t".into(),
        parameters: vec![Parameter { name: "Names".into(), values: vec!["a".into()], list: true }],
        policy: allowing("s3:GetObject"),
        channel: "arn:aws:sns:us-east-1:123456789012:t".into(),
        redirect: None,
        duration: 3600,
        only_send_by_owner: false,
        notes: None,
        rejection: None,
        token: Some(Sent { id: "t".into(), at: 1 }),
        notices: vec![Notice { id: "n".into(), state: Stage::Unassigned, at: 1 }],
    }
}

pub fn store() -> Arc<Store> {
    Arc::new(Store::open(Model::default(), Unsealed).unwrap())
}

pub fn iam_over(store: &Arc<Store>) -> Arc<Iam> {
    let keyring = Keyring::ephemeral().unwrap();
    let clock = Arc::new(MovedClock::default());
    let random = Arc::new(SeededRandom::new(1));
    Iam::load(store.clone(), &keyring, clock, random, Quotas::default()).unwrap()
}

fn statement(effect: Effect) -> Statement {
    Statement {
        sid: None,
        effect,
        principal: None,
        action: Matching::These(Vec::new()),
        resource: None,
        conditions: Vec::new(),
    }
}

fn document(statement: Statement) -> Document {
    Document::new(Version::V2012, None, vec![statement])
}

/// A policy that allows an action everywhere.
pub fn allowing(action: &str) -> IdentityPolicy {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"*"}}]}}"#
    );
    let statement = Statement {
        action: Matching::These(vec![action.to_owned()]),
        resource: Some(Matching::These(vec!["*".into()])),
        ..statement(Effect::Allow)
    };
    IdentityPolicy::of(&text, document(statement))
}

/// A trust policy for one principal.
pub fn trusting(arn: &str) -> TrustPolicy {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{arn}"}},"Action":"sts:AssumeRole"}}]}}"#
    );
    let statement = Statement {
        principal: Some(Matching::These(vec![PrincipalPattern::Arn(arn.to_owned())])),
        action: Matching::These(vec!["sts:AssumeRole".into()]),
        ..statement(Effect::Allow)
    };
    TrustPolicy::of(&text, document(statement))
}

pub fn unique(id: &str) -> UniqueId {
    UniqueId::new(id).unwrap()
}

pub fn user(name: &str, path: &str, id: &str) -> User {
    User {
        name: name.into(),
        path: shared_path(path),
        id: unique(id),
        created: 1,
        tags: no_tags(),
        permissions: Permissions::default(),
        groups: Box::default(),
        credentials: Credentials::default(),
        renamed: false,
    }
}

/// These access keys and nothing else.
pub fn holding<const N: usize>(keys: [AccessKey; N]) -> Credentials {
    Proofs { keys: keys.into(), ..Proofs::default() }.into()
}

/// One of each kind of what proves a user, but for access keys.
pub fn proofs() -> Credentials {
    let credential = ServiceCredential {
        id: unique("ACCA1"),
        service: "bedrock.amazonaws.com".into(),
        name: "ann-at-123456789012".into(),
        proof: Arc::new(SecretBytes::new(b"a proof".to_vec())),
        active: true,
        created: 1,
        expires: Some(2),
    };
    let certificate = SigningCertificate {
        id: "CERTIFICATE".into(),
        body: "pem".into(),
        fingerprint: "aa".into(),
        active: true,
        uploaded: 1,
    };
    let ssh_key = SshKey {
        id: KeyId::new("APKAAAAAAAAAAAAAAA01").unwrap(),
        body: "ssh-rsa A".into(),
        active: true,
        uploaded: 1,
    };
    Proofs {
        ssh_keys: [ssh_key].into(),
        certificates: [certificate].into(),
        service_credentials: [credential].into(),
        ..Proofs::default()
    }
    .into()
}

pub fn server_certificate(name: &str) -> ServerCertificate {
    ServerCertificate {
        name: name.into(),
        path: shared_path("/"),
        id: unique("ASCA1"),
        uploaded: 1,
        expires: 2,
        body: "pem".into(),
        chain: Some("pem".into()),
        private_key: Arc::new(SecretString::new("the private key".into())),
        tags: no_tags(),
    }
}

pub fn group(name: &str, id: &str) -> Group {
    Group {
        name: name.into(),
        path: shared_path("/"),
        id: unique(id),
        created: 1,
        permissions: Permissions::default(),
    }
}

pub fn role(name: &str, path: &str, id: &str) -> Role {
    Role {
        name: name.into(),
        path: shared_path(path),
        id: unique(id),
        created: 1,
        trust: trusting("arn:aws:iam::123456789012:user/nobody"),
        description: None,
        max_session_duration: 3600,
        tags: no_tags(),
        permissions: Permissions::default(),
    }
}

pub fn policy(name: &str) -> Policy {
    Policy {
        name: name.into(),
        path: shared_path("/"),
        id: unique("ANPA1"),
        created: 1,
        updated: 1,
        description: None,
        versions: vec![PolicyVersion { number: 1, created: 1, policy: allowing("sts:*") }],
        default: 1,
        next: 2,
        tags: no_tags(),
    }
}

/// The seed of `mfa_device`.
pub const MFA_SEED: &[u8] = b"12345678901234567890";

pub fn mfa_device(name: &str) -> Device {
    Device {
        name: name.into(),
        path: shared_path("/"),
        id: unique("AAAABBBBCCCCDDDD"),
        created: 1,
        tags: no_tags(),
        totp: Totp::new(SecretBytes::new(MFA_SEED.to_vec())),
    }
}

pub fn security_key(user: &str, credential_id: &[u8]) -> SecurityKey {
    SecurityKey {
        serial: format!("arn:aws:iam::{ID}:u2f/user/{user}/blue-AAAA").into(),
        credential_id: credential_id.into(),
        public_key: b"cose"[..].into(),
        counter: 1,
        backup_eligible: true,
        verifies: false,
        aaguid: [1; 16],
        transports: ["usb".to_owned()].into(),
    }
}

/// The code that a device with this seed shows at a time.
pub fn code(seed: &[u8], seconds: i64) -> String {
    let codes = OneTime::new(&SecretBytes::new(seed.to_vec()));
    codes.shown(u64::try_from(seconds / 30).unwrap())
}

pub fn oidc_provider(url: &str) -> OidcProvider {
    OidcProvider {
        url: url.into(),
        plain: false,
        id: "OIDC1".into(),
        created: 1,
        clients: vec!["client".into()],
        thumbprints: ["ab".repeat(20)].into(),
        tags: no_tags(),
    }
}

pub fn saml_provider(name: &str) -> SamlProvider {
    SamlProvider {
        name: name.into(),
        id: "SAMLSP1".into(),
        created: 1,
        metadata: "<md/>".into(),
        encrypted: true,
        private_keys: [SamlPrivateKey {
            id: "SAMLPK1".into(),
            created: 1,
            key: Arc::new(SecretString::new("a private key".into())),
        }]
        .into(),
        tags: no_tags(),
    }
}

pub fn key(number: u8) -> AccessKey {
    AccessKey {
        id: KeyId::new(&format!("AKIAAAAAAAAAAAAAAA{number:02}")).unwrap(),
        secret: Arc::new(SecretString::new(format!("secret number {number}"))),
        active: true,
        created: 1,
    }
}

/// A login profile, its password `Abcdefg1` set at 1.
pub fn login() -> LoginProfile {
    let password = SecretString::new("Abcdefg1".into());
    LoginProfile::new(&Hashed::new(&password, &[]).unwrap(), 1, true)
}

/// A password policy of six characters and nothing else.
pub fn loosest() -> PasswordPolicy {
    PasswordPolicy {
        minimum_password_length: 6,
        require_symbols: false,
        require_numbers: false,
        require_uppercase_characters: false,
        require_lowercase_characters: false,
        allow_users_to_change_password: false,
        max_password_age: None,
        password_reuse_prevention: None,
        hard_expiry: None,
    }
}

/// Settings with something of each.
pub fn settings() -> Settings {
    Settings {
        alias: Some("prod".into()),
        password_policy: Some(loosest()),
        token_version: TokenVersion::V2,
        properties: [("A/x".to_owned(), "true".to_owned())].into(),
        root_access: Some(RootAccess {
            organization: "o-aaaaaaaaaa".into(),
            features: [Feature::RootSessions].into(),
        }),
    }
}
