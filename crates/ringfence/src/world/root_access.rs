//! Central root access through the whole way of a call, with an organization that is made up.

use super::*;
use aws_lc_rs::{digest, hmac};
use data_encoding::BASE64URL_NOPAD;
use ringfence_gateway::clock::SystemClock;
use ringfence_gateway::{
    Audit, Gateway, Identity, Limits, Organization, Organizations, Server, Session, SyncRule,
};
use ringfence_iam::RootCredentials;
use ringfence_keyring::SecretString;
use ringfence_store::model::Model;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use time::OffsetDateTime;
use time::macros::format_description;

const MANAGEMENT: AccountId = AccountId::new(111_111_111_111).unwrap();
const DELEGATED: AccountId = AccountId::new(222_222_222_222).unwrap();
const MEMBER: AccountId = AccountId::new(333_333_333_333).unwrap();
const OUTSIDER: AccountId = AccountId::new(999_999_999_999).unwrap();
const ORGANIZATION: &str = "o-aaaaaaaaaa";

struct MadeUp;

impl Organizations for MadeUp {
    fn of(&self, account: AccountId) -> Option<Arc<Organization>> {
        [MANAGEMENT, DELEGATED, MEMBER].contains(&account).then(|| {
            Arc::new(Organization {
                id: ORGANIZATION.into(),
                management_account: MANAGEMENT,
                all_features: true,
            })
        })
    }

    fn path(&self, account: AccountId) -> Option<String> {
        self.of(account).map(|organization| format!("{}/r-ab12/", organization.id))
    }

    fn trusts(&self, _: &Organization, service: &str) -> bool {
        service == "iam.amazonaws.com"
    }

    fn is_delegated(&self, _: &Organization, account: AccountId, service: &str) -> bool {
        account == DELEGATED && service == "iam.amazonaws.com"
    }
}

/// A server of four accounts, of which three are an organization.
struct House {
    address: String,
    server: Option<Server>,
    roots: Vec<(AccountId, RootCredentials)>,
    audit: tempfile::TempDir,
    tokens: Tokens,
}

impl House {
    fn open() -> Self {
        let keyring = Keyring::ephemeral().unwrap();
        let store = Store::open(Model::default(), crate::house::Seal::of(&keyring)).unwrap();
        let store = Arc::new(store);
        let clock = Arc::new(SystemClock);
        let iam = iam(store.clone(), &keyring, clock.clone(), Quotas::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let roots = [MANAGEMENT, DELEGATED, MEMBER, OUTSIDER].map(|account| {
            let made = runtime.block_on(iam.create_account(account, "test")).unwrap();
            (account, made)
        });
        iam.ask_organizations(Arc::new(MadeUp));
        iam.issue_tokens_at("https://id.example.com");
        let kms = kms(store, &keyring, clock.clone(), Default::default()).unwrap();
        let world = world(&iam, &kms, &keyring, clock, Arc::default(), Trail::in_memory());
        let audit = tempfile::tempdir().unwrap();
        let log = Audit::open(&audit.path().join("audit"), SyncRule::Every).unwrap();
        let gateway = Arc::new(Gateway::new(world, log, MANAGEMENT, None).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Server::start(&gateway, &listener, 1, Limits::default()).unwrap();
        Self {
            address,
            server: Some(server),
            roots: roots.into(),
            audit,
            tokens: Tokens::new(&keyring),
        }
    }

    fn root(&self, account: AccountId) -> Caller<'_> {
        let (_, key) = self.roots.iter().find(|(id, _)| *id == account).unwrap();
        Caller {
            house: self,
            id: key.access_key_id.clone(),
            secret: key.secret_access_key.expose().to_owned(),
            token: None,
        }
    }

    /// A user of an account with a policy.
    fn user(&self, account: AccountId, name: &str, statement: &str) -> Caller<'_> {
        let root = self.root(account);
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        root.ok("iam", &[("Action", "CreateUser"), ("UserName", name)]);
        root.ok(
            "iam",
            &[
                ("Action", "PutUserPolicy"),
                ("UserName", name),
                ("PolicyName", "inline"),
                ("PolicyDocument", &policy),
            ],
        );
        let key = root.ok("iam", &[("Action", "CreateAccessKey"), ("UserName", name)]);
        Caller {
            house: self,
            id: element(&key, "AccessKeyId"),
            secret: element(&key, "SecretAccessKey"),
            token: None,
        }
    }

    fn events(&self) -> String {
        let segments = std::fs::read_dir(self.audit.path().join("audit")).unwrap();
        segments.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }
}

/// Credentials that sign.
#[derive(Clone)]
struct Caller<'h> {
    house: &'h House,
    id: String,
    secret: String,
    token: Option<String>,
}

impl<'h> Caller<'h> {
    /// A call's status and body.
    fn call(&self, service: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        self.call_at("localhost", service, parameters)
    }

    fn call_at(&self, host: &str, service: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        let version = if service == "iam" { "2010-05-08" } else { "2011-06-15" };
        let mut body = format!("Version={version}");
        for (name, value) in parameters {
            body.push_str(&format!("&{name}={}", encode(value)));
        }
        let now = OffsetDateTime::now_utc();
        let day = now.format(format_description!("[year][month][day]")).unwrap();
        let stamp = format_description!("[year][month][day]T[hour][minute][second]Z");
        let stamp = now.format(stamp).unwrap();
        let kind = "application/x-www-form-urlencoded";
        let mut headers = vec![
            ("content-type", kind.to_owned()),
            ("host", host.to_owned()),
            ("x-amz-date", stamp.clone()),
        ];
        headers.extend(self.token.clone().map(|token| ("x-amz-security-token", token)));
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", sha256(&body));
        let scope = format!("{day}/us-east-1/{service}/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256(&canonical));
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [&*day, "us-east-1", service, "aws4_request"] {
            key = mac(&key, part);
        }
        let signature = hex::encode(mac(&key, &text));
        let fields: String =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "POST / HTTP/1.1\r\n{fields}connection: close\r\ncontent-length: {}\r\n\
             authorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, \
             Signature={signature}\r\n\r\n{body}",
            body.len(),
            self.id
        );
        let mut stream = TcpStream::connect(&self.house.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn ok(&self, service: &str, parameters: &[(&str, &str)]) -> String {
        let (status, body) = self.call(service, parameters);
        assert_eq!(status, 200, "{parameters:?}: {body}");
        body
    }

    /// The code of a refusal.
    fn refused(&self, service: &str, parameters: &[(&str, &str)]) -> String {
        let (status, body) = self.call(service, parameters);
        assert_ne!(status, 200, "{parameters:?}: {body}");
        element(&body, "Code")
    }

    fn assume(&self, member: AccountId, task: &str) -> (u16, String) {
        let task = format!("arn:aws:iam::aws:policy/root-task/{task}");
        self.call(
            "sts",
            &[
                ("Action", "AssumeRoot"),
                ("TargetPrincipal", &member.to_string()),
                ("TaskPolicyArn.arn", &task),
            ],
        )
    }

    fn session(&self, member: AccountId, task: &str) -> Caller<'h> {
        let (status, body) = self.assume(member, task);
        assert_eq!(status, 200, "{member} {task}: {body}");
        Caller {
            house: self.house,
            id: element(&body, "AccessKeyId"),
            secret: element(&body, "SecretAccessKey"),
            token: Some(element(&body, "SessionToken")),
        }
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn sha256(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The text of the first element of a name.
fn element(body: &str, name: &str) -> String {
    let after = body.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{name}: {body}")).1;
    after.split_once('<').unwrap().0.to_owned()
}

const MAY: &str = r#"{"Effect":"Allow","Action":"sts:AssumeRoot","Resource":"*"}"#;
const CREDENTIALS: &str = "EnableOrganizationsRootCredentialsManagement";

#[test]
fn features_are_switched_by_those_who_may_and_decide_which_tasks_there_are() {
    let house = House::open();
    let (root, delegated) = (house.root(MANAGEMENT), house.root(DELEGATED));
    let list = [("Action", "ListOrganizationsFeatures")];
    assert!(!root.ok("iam", &list).contains("<member>"));
    for (account, code) in [
        (DELEGATED, "CallerIsNotManagementAccountException"),
        (MEMBER, "AccountNotManagementOrDelegatedAdministratorException"),
        (OUTSIDER, "OrganizationNotFoundException"),
    ] {
        assert_eq!(house.root(account).refused("iam", &[("Action", CREDENTIALS)]), code);
    }

    let user = house.user(MANAGEMENT, "admin", MAY);
    let audit = "IAMAuditRootUserCredentials";
    assert_eq!(user.assume(MEMBER, audit).0, 403);
    let enabled = root.ok("iam", &[("Action", CREDENTIALS)]);
    assert!(enabled.contains(ORGANIZATION));
    assert_eq!(element(&enabled, "member"), "RootCredentialsManagement");
    assert_eq!(user.assume(MEMBER, audit).0, 200);
    assert_eq!(user.assume(MEMBER, "S3UnlockBucketPolicy").0, 403);
    let both = root.ok("iam", &[("Action", "EnableOrganizationsRootSessions")]);
    assert!(both.contains("<member>RootSessions</member>"));
    assert_eq!(user.assume(MEMBER, "S3UnlockBucketPolicy").0, 200);
    assert_eq!(element(&delegated.ok("iam", &list), "member"), "RootCredentialsManagement");

    // A delegated administrator may end it.
    let left = [("Action", "DisableOrganizationsRootCredentialsManagement")];
    assert_eq!(element(&delegated.ok("iam", &left), "member"), "RootSessions");
    assert_eq!(user.assume(MEMBER, audit).0, 403);
    let none = delegated.ok("iam", &[("Action", "DisableOrganizationsRootSessions")]);
    assert!(!none.contains("<member>"));
}

#[test]
fn a_root_user_is_taken_over_by_whom_its_organization_and_their_policies_let() {
    let house = House::open();
    house.root(MANAGEMENT).ok("iam", &[("Action", CREDENTIALS)]);
    let task = "IAMAuditRootUserCredentials";
    let user = house.user(MANAGEMENT, "admin", MAY);
    let nobody = house.user(MANAGEMENT, "nobody", &MAY.replace("sts:AssumeRoot", "s3:*"));
    let bound = house.user(
        MANAGEMENT,
        "bound",
        r#"{"Effect":"Allow","Action":"sts:AssumeRoot","Resource":"arn:aws:iam::333333333333:root",
            "Condition":{"StringEquals":{"sts:TaskPolicyArn":
            "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"}}}"#,
    );
    let delegate = house.user(DELEGATED, "admin", MAY);
    let member = house.user(MEMBER, "admin", MAY);
    let outsider = house.user(OUTSIDER, "admin", MAY);
    for (caller, account, task, status) in [
        (&user, MEMBER, task, 200),
        (&user, DELEGATED, task, 200),
        (&user, MANAGEMENT, task, 403),
        (&user, OUTSIDER, task, 403),
        (&nobody, MEMBER, task, 403),
        (&bound, MEMBER, task, 200),
        (&bound, MEMBER, "IAMDeleteRootUserCredentials", 403),
        (&bound, DELEGATED, task, 403),
        (&delegate, MEMBER, task, 200),
        (&delegate, MANAGEMENT, task, 403),
        (&member, MEMBER, task, 403),
        (&member, DELEGATED, task, 403),
        (&outsider, OUTSIDER, task, 403),
        (&outsider, MEMBER, task, 403),
        (&house.root(MANAGEMENT), MEMBER, task, 403),
    ] {
        let (got, body) = caller.assume(account, task);
        assert_eq!(got, status, "{account} {task}: {body}");
    }
    // Regional endpoints alone have it.
    let asked = [
        ("Action", "AssumeRoot"),
        ("TargetPrincipal", "333333333333"),
        ("TaskPolicyArn.arn", "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"),
    ];
    let (status, body) = user.call_at("sts.amazonaws.com", "sts", &asked);
    assert_eq!((status, &*element(&body, "Code")), (400, "InvalidAction"));
    assert_eq!(user.call_at("sts.eu-west-1.amazonaws.com", "sts", &asked).0, 200);
}

#[test]
fn a_session_is_the_root_user_within_its_task_and_is_recorded_as_such() {
    let house = House::open();
    house.root(MANAGEMENT).ok("iam", &[("Action", CREDENTIALS)]);
    let user = house.user(MANAGEMENT, "admin", MAY);
    house.root(MEMBER).ok("iam", &[("Action", "CreateUser"), ("UserName", "ann")]);

    let audit = user.session(MEMBER, "IAMAuditRootUserCredentials");
    let identity = audit.ok("sts", &[("Action", "GetCallerIdentity")]);
    assert_eq!(element(&identity, "Arn"), "arn:aws:iam::333333333333:root");
    let summary = audit.ok("iam", &[("Action", "GetAccountSummary")]);
    assert!(summary.contains("AccountAccessKeysPresent"));
    let keys = audit.ok("iam", &[("Action", "ListAccessKeys")]);
    let key = element(&keys, "AccessKeyId");
    assert!(key.starts_with("AKIA"));
    audit.ok("iam", &[("Action", "GetUser")]);
    audit.ok("iam", &[("Action", "ListMFADevices")]);
    audit.ok("iam", &[("Action", "ListSigningCertificates")]);
    audit.ok("iam", &[("Action", "GetAccessKeyLastUsed"), ("AccessKeyId", &key)]);
    assert_eq!(audit.refused("iam", &[("Action", "GetLoginProfile")]), "NoSuchEntity");
    for denied in [
        &[("Action", "ListAccessKeys"), ("UserName", "ann")][..],
        &[("Action", "ListUsers")],
        &[("Action", "DeleteAccessKey"), ("AccessKeyId", &key)],
        &[("Action", "CreateUser"), ("UserName", "eve")],
        &[("Action", "CreateLoginProfile")],
    ] {
        let (status, body) = audit.call("iam", denied);
        assert_eq!((status, &*element(&body, "Code")), (403, "AccessDenied"), "{denied:?}");
        let task = "session policy: arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials";
        assert!(body.contains(task), "{body}");
    }
    for action in ["AssumeRoot", "GetSessionToken", "GetWebIdentityToken"] {
        let more = [
            ("Action", action),
            ("TargetPrincipal", "222222222222"),
            ("TaskPolicyArn.arn", "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"),
            ("Audience.member.1", "a"),
            ("SigningAlgorithm", "ES384"),
        ];
        assert_eq!(audit.refused("sts", &more), "AccessDenied", "{action}");
    }

    let events = house.events();
    let event = events.lines().find(|line| line.contains("\"GetAccountSummary\"")).unwrap();
    let event: serde_json::Value = serde_json::from_str(event).unwrap();
    let who = &event["userIdentity"];
    assert_eq!(who["type"], "Root");
    assert_eq!(who["arn"], "arn:aws:iam::333333333333:root");
    assert_eq!(
        (&who["principalId"], &who["accountId"]),
        (&"333333333333".into(), &"333333333333".into())
    );
    assert_eq!(who["accessKeyId"], audit.id.as_str());
    assert_eq!(who["sessionContext"]["assumedRoot"], "true");
    assert_eq!(who["sessionContext"]["attributes"]["mfaAuthenticated"], "false");
    assert_eq!(event["recipientAccountId"], "333333333333");
    assert!(!events.contains(&audit.secret) && !events.contains(audit.token.as_ref().unwrap()));
}

#[test]
fn a_session_whose_task_is_not_known_may_nothing() {
    let house = House::open();
    for (task, status) in
        [("S3UnlockBucketPolicy", 403), ("Gone", 403), ("IAMAuditRootUserCredentials", 200)]
    {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let session = Session {
            identity: Identity::Root { account: MEMBER },
            access_key_id: "ASIAAAAAAAAAAAAAAAAA".into(),
            issued: now,
            expires: now + 60,
            policies: None,
            tags: Default::default(),
            transitive_tags: Vec::new(),
            source_identity: None,
            mfa: None,
            chained: false,
            federation: None,
            delegation: None,
            root_task: Some(format!("arn:aws:iam::aws:policy/root-task/{task}")),
        };
        let secret = "secret".to_owned();
        let token = house.tokens.seal(&session, &SecretString::new(secret.clone())).unwrap();
        let caller =
            Caller { house: &house, id: session.access_key_id, secret, token: Some(token) };
        assert_eq!(caller.call("iam", &[("Action", "GetAccountSummary")]).0, status, "{task}");
    }
}

#[test]
fn the_root_users_credentials_are_deleted_and_a_password_can_be_recovered() {
    let house = House::open();
    house.root(MANAGEMENT).ok("iam", &[("Action", CREDENTIALS)]);
    let user = house.user(MANAGEMENT, "admin", MAY);
    let make = user.session(MEMBER, "IAMCreateRootUserPassword");
    let delete = user.session(MEMBER, "IAMDeleteRootUserCredentials");

    let create = [("Action", "CreateLoginProfile")];
    let with_password = [create[0], ("Password", "Abcdefg1!")];
    assert_eq!(make.refused("iam", &with_password), "InvalidInput");
    assert_eq!(element(&make.ok("iam", &create), "UserName"), MEMBER.to_string());
    make.ok("iam", &[("Action", "GetLoginProfile")]);
    assert_eq!(make.refused("iam", &create), "EntityAlreadyExists");
    let other = [("Action", "CreateLoginProfile"), ("UserName", "ann"), ("Password", "Abcdefg1!")];
    assert_eq!(make.refused("iam", &other), "AccessDenied");
    assert_eq!(make.refused("iam", &[("Action", "DeleteLoginProfile")]), "AccessDenied");
    // The root user's own keys do not reach it.
    let direct = house.root(MEMBER).refused("iam", &[("Action", "GetLoginProfile")]);
    assert_eq!(direct, "ValidationError");

    delete.ok("iam", &[("Action", "DeleteLoginProfile")]);
    assert_eq!(delete.refused("iam", &[("Action", "DeleteLoginProfile")]), "NoSuchEntity");
    let device = ("SerialNumber", "arn:aws:iam::333333333333:mfa/root");
    let unknown = delete.refused("iam", &[("Action", "DeactivateMFADevice"), device]);
    assert_eq!(unknown, "NoSuchEntity");
    let key = element(&delete.ok("iam", &[("Action", "ListAccessKeys")]), "AccessKeyId");
    delete.ok("iam", &[("Action", "DeleteAccessKey"), ("AccessKeyId", &key)]);
    let gone = house.root(MEMBER).refused("iam", &[("Action", "ListUsers")]);
    assert_eq!(gone, "InvalidClientTokenId");
    assert_eq!(delete.refused("iam", &[("Action", "CreateAccessKey")]), "AccessDenied");
}

#[test]
fn a_token_tells_of_the_organization() {
    let house = House::open();
    let root = house.root(MEMBER);
    root.ok("iam", &[("Action", "EnableOutboundWebIdentityFederation")]);
    let asked = [
        ("Action", "GetWebIdentityToken"),
        ("Audience.member.1", "a"),
        ("SigningAlgorithm", "ES384"),
    ];
    let token = element(&root.ok("sts", &asked), "WebIdentityToken");
    let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    let own = &claims["https://sts.amazonaws.com/"];
    assert_eq!(own["org_id"], ORGANIZATION);
    assert_eq!(own["ou_path"], serde_json::json!(["o-aaaaaaaaaa/r-ab12/"]));
    let (status, body) = root.call_at("sts.amazonaws.com", "sts", &asked);
    assert_eq!((status, &*element(&body, "Code")), (400, "InvalidAction"));
}
