//! A server with accounts, for tests that go the whole way of a call.

use super::*;
use aws_lc_rs::{digest, hmac};
use ringfence_gateway::clock::SystemClock;
use ringfence_gateway::{Audit, Gateway, Limits, Server, SyncRule};
use ringfence_iam::RootCredentials;
use ringfence_keyring::LogKey;
use ringfence_store::model::Model;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use time::OffsetDateTime;
use time::macros::format_description;

pub const MANAGEMENT: AccountId = AccountId::new(111_111_111_111).unwrap();
pub const DELEGATED: AccountId = AccountId::new(222_222_222_222).unwrap();
pub const MEMBER: AccountId = AccountId::new(333_333_333_333).unwrap();
pub const OUTSIDER: AccountId = AccountId::new(999_999_999_999).unwrap();

/// What a world is made of.
pub struct Parts {
    pub iam: Arc<Iam>,
    pub kms: Arc<Kms>,
    pub analyzer: Arc<AccessAnalyzer>,
    pub keyring: Keyring,
    pub clock: Arc<SystemClock>,
}

/// A server of four accounts.
pub struct House {
    address: String,
    server: Option<Server>,
    roots: Vec<(AccountId, RootCredentials)>,
    audit: tempfile::TempDir,
    pub tokens: Tokens,
}

impl House {
    /// Starts it with what `world` makes of its parts.
    pub fn open(world: impl FnOnce(&Parts) -> World) -> Self {
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
        let kms = kms(store.clone(), &keyring, clock.clone(), Default::default()).unwrap();
        let analyzer = access_analyzer(store, &keyring, clock.clone()).unwrap();
        let parts = Parts { iam, kms, analyzer, keyring, clock };
        let world = world(&parts);
        let Parts { keyring, .. } = parts;
        let audit = tempfile::tempdir().unwrap();
        let key = LogKey::open(&LogKey::generate().unwrap()).unwrap();
        let dir = audit.path().join("audit");
        let log = Audit::open(&dir, SyncRule::Every, key, Box::new(|_| {})).unwrap();
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

    pub fn root(&self, account: AccountId) -> Caller<'_> {
        let (_, key) = self.roots.iter().find(|(id, _)| *id == account).unwrap();
        Caller {
            house: self,
            id: key.access_key_id.clone(),
            secret: key.secret_access_key.expose().to_owned(),
            token: None,
        }
    }

    /// A user of an account with a policy.
    pub fn user(&self, account: AccountId, name: &str, statement: &str) -> Caller<'_> {
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

    pub fn events(&self) -> String {
        let files = std::fs::read_dir(self.audit.path().join("audit")).unwrap();
        let segments = files.map(|file| file.unwrap().path());
        let lines = segments.filter(|path| path.extension().is_some_and(|kind| kind == "jsonl"));
        lines.map(|path| std::fs::read_to_string(path).unwrap()).collect()
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
pub struct Caller<'h> {
    pub house: &'h House,
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl<'h> Caller<'h> {
    /// A call's status and body.
    pub fn call(&self, service: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        self.call_at("localhost", service, parameters)
    }

    pub fn call_at(&self, host: &str, service: &str, parameters: &[(&str, &str)]) -> (u16, String) {
        let version = if service == "iam" { "2010-05-08" } else { "2011-06-15" };
        let mut body = format!("Version={version}");
        for (name, value) in parameters {
            body.push_str(&format!("&{name}={}", encode(value)));
        }
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.send(host, service, "/", &form, &body)
    }

    /// A signed request's status and body.
    pub fn send(
        &self,
        host: &str,
        service: &str,
        path: &str,
        more: &[(&'static str, &str)],
        body: &str,
    ) -> (u16, String) {
        let now = OffsetDateTime::now_utc();
        let day = now.format(format_description!("[year][month][day]")).unwrap();
        let stamp = format_description!("[year][month][day]T[hour][minute][second]Z");
        let stamp = now.format(stamp).unwrap();
        let mut headers = vec![("host", host.to_owned()), ("x-amz-date", stamp.clone())];
        headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        headers.extend(self.token.clone().map(|token| ("x-amz-security-token", token)));
        headers.sort();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("POST\n{path}\n\n{lines}\n{names}\n{}", sha256(body));
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
            "POST {path} HTTP/1.1\r\n{fields}connection: close\r\ncontent-length: {}\r\n\
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

    pub fn ok(&self, service: &str, parameters: &[(&str, &str)]) -> String {
        let (status, body) = self.call(service, parameters);
        assert_eq!(status, 200, "{parameters:?}: {body}");
        body
    }

    /// The code of a refusal.
    pub fn refused(&self, service: &str, parameters: &[(&str, &str)]) -> String {
        let (status, body) = self.call(service, parameters);
        assert_ne!(status, 200, "{parameters:?}: {body}");
        element(&body, "Code")
    }

    pub fn assume(&self, member: AccountId, task: &str) -> (u16, String) {
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

    pub fn session(&self, member: AccountId, task: &str) -> Caller<'h> {
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

pub fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

pub fn sha256(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

pub fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The text of the first element of a name.
pub fn element(body: &str, name: &str) -> String {
    let after = body.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{name}: {body}")).1;
    after.split_once('<').unwrap().0.to_owned()
}
