//! Each of AWS's documented rules, as a test with a name and the page that says so.
//!
//! The rules lie in `rules/*.json`, a file a theme. A file has `cases`, which are decisions, or
//! `documents`, which are to parse or not, and may name once under `shared` what its cases have in
//! common:
//!
//! ```json
//! {
//!   "shared": {
//!     "request": { "principal": "ann", "action": "s3:GetObject", "resource": "arn:aws:s3:::bucket/key",
//!                  "resourceAccount": "111122223333" },
//!     "principals": { "ann": { "user": "arn:aws:iam::111122223333:user/ann" } },
//!     "policies": { "everything": { "Effect": "Allow", "Action": "*", "Resource": "*" } }
//!   },
//!   "cases": [
//!     { "name": "explicit_deny_in_scp_beats_allow_in_identity_policy",
//!       "page": "https://docs.aws.amazon.com/…",
//!       "identity": ["everything"],
//!       "scps": [["everything", { "Effect": "Deny", "Action": "s3:*", "Resource": "*" }]],
//!       "expect": { "explicitDeny": "serviceControl" } }
//!   ]
//! }
//! ```
//!
//! A policy is a name of `shared.policies`, a statement, a list of statements, or a whole document.
//! A case in which the engine and AWS's page disagree says why under `disputed`: it is listed as such,
//! and passes only as long as they do.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests, helpers included.

use libtest_mimic::{Arguments, Trial};
use ringfence_policy::{
    AccountId, Context, Decision, Document, Kind, Layer, PolicySet, Principal, Request,
    ResourcePolicy, parse,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;

/// Fewer rules than this, and some went missing.
const AT_LEAST: usize = 900;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    shared: Shared,
    #[serde(default)]
    cases: Vec<Case>,
    #[serde(default)]
    documents: Vec<Text>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Shared {
    request: Asked,
    principals: BTreeMap<String, Who>,
    policies: BTreeMap<String, Value>,
}

/// What is asked, in a case or, for those that leave it out, in `shared`.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Asked {
    principal: Option<Named>,
    action: Option<String>,
    resource: Option<String>,
    resource_account: Option<AccountId>,
    context: BTreeMap<String, Values>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    name: String,
    page: String,
    principal: Option<Named>,
    action: Option<String>,
    resource: Option<String>,
    resource_account: Option<AccountId>,
    #[serde(default)]
    context: BTreeMap<String, Values>,
    #[serde(default)]
    identity: Vec<Value>,
    boundary: Option<Value>,
    session: Option<Vec<Value>>,
    resource_policy: Option<Value>,
    trust_policy: Option<Value>,
    key_policy: Option<Value>,
    #[serde(default)]
    scps: Vec<Vec<Value>>,
    #[serde(default)]
    rcps: Vec<Vec<Value>>,
    endpoint: Option<Value>,
    expect: Expected,
    disputed: Option<String>,
}

/// A document that is to parse or not. A JSON text stands for itself, for what JSON's own values
/// cannot say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    name: String,
    page: String,
    kind: KindName,
    document: Value,
    expect: Verdict,
    disputed: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Named {
    /// A name of `shared.principals`.
    Shared(String),
    Given(Who),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
enum Who {
    Root(AccountId),
    User(String),
    RoleSession { role: String, session: String },
    FederatedUser { session: String, user: Option<String> },
    Provider(String),
    Service(String),
    Anonymous,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Expected {
    Allow,
    ExplicitDeny(LayerName),
    ImplicitDeny(LayerName),
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum LayerName {
    Identity,
    Resource,
    Trust,
    Boundary,
    Session,
    ServiceControl,
    ResourceControl,
    Endpoint,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum KindName {
    Identity,
    Managed,
    Resource,
    Trust,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Verdict {
    Parses,
    /// With this message.
    Refused(String),
    /// With a message that AWS does not tell.
    RefusedSomehow,
}

impl From<Decision> for Expected {
    fn from(decision: Decision) -> Self {
        let name = |layer| match layer {
            Layer::Identity => LayerName::Identity,
            Layer::Resource => LayerName::Resource,
            Layer::Trust => LayerName::Trust,
            Layer::Boundary => LayerName::Boundary,
            Layer::Session => LayerName::Session,
            Layer::ServiceControl => LayerName::ServiceControl,
            Layer::ResourceControl => LayerName::ResourceControl,
            Layer::Endpoint => LayerName::Endpoint,
        };
        match decision {
            Decision::Allow => Self::Allow,
            Decision::ExplicitDeny(layer) => Self::ExplicitDeny(name(layer)),
            Decision::ImplicitDeny(layer) => Self::ImplicitDeny(name(layer)),
        }
    }
}

impl Who {
    fn principal(&self) -> Principal {
        match self.clone() {
            Self::Root(account) => Principal::Root(account),
            Self::User(arn) => Principal::User { arn },
            Self::RoleSession { role, session } => {
                Principal::AssumedRole { role_arn: role, session_arn: session }
            }
            Self::FederatedUser { session, user } => {
                Principal::FederatedUser { arn: session, user_arn: user }
            }
            Self::Provider(provider) => Principal::Federated { provider },
            Self::Service(name) => Principal::Service(name),
            Self::Anonymous => Principal::Anonymous,
        }
    }
}

/// What is shared, and which names of it were asked for.
struct Names {
    shared: Shared,
    used: RefCell<BTreeSet<String>>,
}

type Result<T> = std::result::Result<T, String>;

impl Names {
    fn principal(&self, named: &Named) -> Result<Principal> {
        match named {
            Named::Given(who) => Ok(who.principal()),
            Named::Shared(name) => {
                self.used.borrow_mut().insert(name.clone());
                let who = self.shared.principals.get(name);
                who.map(Who::principal).ok_or_else(|| format!("no principal `{name}` is shared"))
            }
        }
    }

    fn policy(&self, policy: &Value, kind: Kind) -> Result<Document> {
        let policy = match policy.as_str() {
            None => policy,
            Some(name) => {
                self.used.borrow_mut().insert(name.to_owned());
                let policy = self.shared.policies.get(name);
                policy.ok_or_else(|| format!("no policy `{name}` is shared"))?
            }
        };
        let text = match policy.get("Statement") {
            Some(_) => policy.to_string(),
            None => json!({ "Version": "2012-10-17", "Statement": policy }).to_string(),
        };
        parse(&text, kind).map_err(|malformed| format!("{malformed} in {text}"))
    }

    fn policies(&self, policies: &[Value], kind: Kind) -> Result<Vec<Document>> {
        policies.iter().map(|policy| self.policy(policy, kind)).collect()
    }

    fn levels(&self, levels: &[Vec<Value>], kind: Kind) -> Result<Vec<Vec<Document>>> {
        levels.iter().map(|level| self.policies(level, kind)).collect()
    }

    /// A name that nobody asks for is a mistake in the file.
    fn all_used(&self) -> Result<()> {
        let used = self.used.borrow();
        let names = self.shared.principals.keys().chain(self.shared.policies.keys());
        let mut idle = names.filter(|name| !used.contains(*name));
        idle.next().map_or(Ok(()), |name| Err(format!("`{name}` is shared, but no case uses it")))
    }
}

/// A case with its documents parsed.
struct Prepared {
    principal: Principal,
    action: String,
    resource: String,
    resource_account: AccountId,
    context: Context,
    identity: Vec<Document>,
    boundary: Option<Document>,
    session: Option<Vec<Document>>,
    resource_policy: Option<(Form, Document)>,
    scps: Vec<Vec<Document>>,
    rcps: Vec<Vec<Document>>,
    endpoint: Option<Document>,
}

#[derive(Clone, Copy)]
enum Form {
    Ordinary,
    Trust,
    Key,
}

impl Prepared {
    fn new(case: &Case, names: &Names) -> Result<Self> {
        let asked = &names.shared.request;
        let missing = |what: &str| format!("the request has no {what}");
        let named = case.principal.as_ref().or(asked.principal.as_ref());
        let given = |own: &Option<String>, shared: &Option<String>| own.clone().or(shared.clone());
        let mut context = Context::default();
        for (key, values) in asked.context.iter().chain(&case.context) {
            match values.clone() {
                Values::One(value) => context.set(key.clone(), value),
                Values::Many(values) => context.set_many(key.clone(), values),
            }
        }
        let forms = [
            (Form::Ordinary, Kind::Resource, &case.resource_policy),
            (Form::Trust, Kind::Trust, &case.trust_policy),
            (Form::Key, Kind::Resource, &case.key_policy),
        ];
        let mut given_forms = forms.into_iter().filter_map(|(form, kind, policy)| {
            policy.as_ref().map(|policy| names.policy(policy, kind).map(|d| (form, d)))
        });
        let resource_policy = given_forms.next().transpose()?;
        if given_forms.next().is_some() {
            return Err("a resource has one policy".to_owned());
        }
        let one = |policy: &Option<Value>, kind| {
            policy.as_ref().map(|policy| names.policy(policy, kind)).transpose()
        };
        Ok(Self {
            principal: names.principal(named.ok_or_else(|| missing("principal"))?)?,
            action: given(&case.action, &asked.action).ok_or_else(|| missing("action"))?,
            resource: given(&case.resource, &asked.resource).ok_or_else(|| missing("resource"))?,
            resource_account: case
                .resource_account
                .or(asked.resource_account)
                .ok_or_else(|| missing("account of the resource"))?,
            context,
            identity: names.policies(&case.identity, Kind::Identity)?,
            boundary: one(&case.boundary, Kind::Managed)?,
            session: case
                .session
                .as_ref()
                .map(|policies| names.policies(policies, Kind::Identity))
                .transpose()?,
            resource_policy,
            scps: names.levels(&case.scps, Kind::Managed)?,
            rcps: names.levels(&case.rcps, Kind::Resource)?,
            endpoint: one(&case.endpoint, Kind::Resource)?,
        })
    }

    /// The decision of both engines, which must be one.
    fn decide(&self) -> Result<Expected> {
        let request = Request {
            principal: &self.principal,
            action: &self.action,
            resource: &self.resource,
            resource_account: self.resource_account,
            context: &self.context,
        };
        let policies = PolicySet {
            identity: self.identity.iter().collect(),
            boundary: self.boundary.as_ref(),
            session: self.session.as_ref().map(|policies| policies.iter().collect()),
            resource: self.resource_policy.as_ref().map(|(form, document)| match form {
                Form::Ordinary => ResourcePolicy::Ordinary(document),
                Form::Trust => ResourcePolicy::Trust(document),
                Form::Key => ResourcePolicy::Key(document),
            }),
            service_control: by_level(&self.scps),
            resource_control: by_level(&self.rcps),
            endpoint: self.endpoint.as_ref(),
            ..PolicySet::default()
        };
        let fast = ringfence_policy::decide(&request, &policies);
        let slow = ringfence_policy::evaluate::decide(&request, &policies);
        if fast != slow {
            return Err(format!("the fast engine says {fast:?}, the slow one {slow:?}"));
        }
        Ok(fast.into())
    }
}

fn by_level(levels: &[Vec<Document>]) -> Vec<Vec<&Document>> {
    levels.iter().map(|level| level.iter().collect()).collect()
}

impl Text {
    fn verdict(&self) -> Verdict {
        let kind = match self.kind {
            KindName::Identity => Kind::Identity,
            KindName::Managed => Kind::Managed,
            KindName::Resource => Kind::Resource,
            KindName::Trust => Kind::Trust,
        };
        let text = match &self.document {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match parse(&text, kind) {
            Ok(_) => Verdict::Parses,
            Err(malformed) => Verdict::Refused(malformed.0),
        }
    }
}

/// A name is a sentence in snake case, once in the whole table; a page is one of AWS's.
fn check(
    name: &str,
    page: &str,
    disputed: Option<&str>,
    seen: &mut BTreeSet<String>,
) -> Result<()> {
    let snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(snake) {
        return Err(format!("`{name}` is no name in snake case"));
    }
    if !seen.insert(name.to_owned()) {
        return Err(format!("`{name}` is there twice"));
    }
    let path = page.strip_prefix("https://docs.aws.amazon.com/");
    if !path.is_some_and(|path| path.contains(".html") && !path.contains(' ')) {
        return Err(format!("`{name}`: `{page}` is no page of AWS's documentation"));
    }
    match disputed {
        Some("") => Err(format!("`{name}` is disputed without a reason")),
        _ => Ok(()),
    }
}

/// A test of one case. `outcome` says how the engine departs from the page, if it does.
fn trial(
    theme: &str,
    name: &str,
    page: String,
    disputed: Option<String>,
    outcome: impl FnOnce() -> Result<Option<String>> + Send + 'static,
) -> Trial {
    let kind = if disputed.is_some() { "disputed" } else { "" };
    Trial::test(format!("{theme}::{name}"), move || match (outcome()?, disputed) {
        (None, None) => Ok(()),
        (Some(departure), Some(why)) => {
            println!("{departure}; disputed: {why} ({page})");
            Ok(())
        }
        (Some(departure), None) => Err(format!("{departure} ({page})").into()),
        (None, Some(why)) => Err(format!("the engine agrees, but is said not to: {why}").into()),
    })
    .with_kind(kind)
}

fn trials(theme: &str, text: &str, seen: &mut BTreeSet<String>) -> Result<Vec<Trial>> {
    let file: File = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let names = Names { shared: file.shared, used: RefCell::default() };
    if let Some(Named::Shared(name)) = &names.shared.request.principal {
        names.used.borrow_mut().insert(name.clone());
    }
    let mut out = Vec::new();
    for case in file.cases {
        check(&case.name, &case.page, case.disputed.as_deref(), seen)?;
        let prepared = Prepared::new(&case, &names).map_err(|e| format!("`{}`: {e}", case.name))?;
        let expected = case.expect;
        out.push(trial(theme, &case.name, case.page, case.disputed, move || {
            let found = prepared.decide()?;
            Ok((found != expected).then(|| format!("{found:?}, where {expected:?} is documented")))
        }));
    }
    for text in file.documents {
        check(&text.name, &text.page, text.disputed.as_deref(), seen)?;
        let (name, page) = (text.name.clone(), text.page.clone());
        let disputed = text.disputed.clone();
        out.push(trial(theme, &name, page, disputed, move || {
            let found = text.verdict();
            let agrees = match (&found, &text.expect) {
                (Verdict::Refused(_), Verdict::RefusedSomehow) => true,
                (found, expected) => found == expected,
            };
            Ok((!agrees).then(|| format!("{found:?}, where {:?} is documented", text.expect)))
        }));
    }
    names.all_used()?;
    Ok(out)
}

/// The theme of the one test that is asked for by its whole name, as nextest does: a process for each
/// need not read the whole table.
fn only_theme(arguments: &Arguments) -> Option<&str> {
    let name = arguments.filter.as_deref().filter(|_| arguments.exact)?;
    let name = name.strip_prefix("[disputed] ").unwrap_or(name);
    name.split_once("::").map(|(theme, _)| theme).filter(|theme| *theme != "table")
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut paths: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    let (mut all, mut seen, mut faults) = (Vec::new(), BTreeSet::new(), Vec::new());
    for path in &paths {
        let theme = path.file_stem().unwrap().to_string_lossy().into_owned();
        if only_theme(&arguments).is_some_and(|only| only != theme) {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        match trials(&theme, &text, &mut seen) {
            Ok(trials) => all.extend(trials),
            Err(fault) => faults.push(format!("{theme}: {fault}")),
        }
    }
    if seen.len() < AT_LEAST {
        faults.push(format!("{} rules, where there were {AT_LEAST}", seen.len()));
    }
    all.push(Trial::test("table::is_whole", move || match faults.is_empty() {
        true => Ok(()),
        false => Err(faults.join("\n").into()),
    }));
    libtest_mimic::run(&arguments, all).exit_code()
}
