//! A made-up service that is passed roles, whole and with the defects that the guard is there for.

use super::*;
use crate::audit::Audit;
use crate::caller::Identity;
use crate::clock::{Clock, SystemClock};
use crate::dev::OpenAccounts;
use crate::directory::{AccessKey, Authority, Directory, MfaCheck, Use};
use crate::gateway::{Gateway, Incoming, World};
use crate::session::Tokens;
use crate::{AuthorizationMessages, Handlers, Shared, Trail};
use ringfence_keyring::Keyring;
use ringfence_keyring::random::SystemRandom;
use ringfence_policy::{Context, Kind, parse};
use ringfence_wire::Timestamp;
use ringfence_wire::protocol::Body;
use ringfence_wire::service::{
    AccessLevel, Auth, Authorization, AuthorizationSource, Protocol, Service,
};
use ringfence_wire::shape::{Member, Shape, TimestampFormat, prelude};
use ringfence_wire::value::Empty;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

const ACCOUNT: AccountId = AccountId::new(111_122_223_333).unwrap();
const SERVICE_PRINCIPAL: &str = "made-up.amazonaws.com";
const ROLE: &str = "arn:aws:iam::111122223333:role/jobs/worker";

static TEXT: Shape = Shape::string("Text");
static RULE: Shape = Shape::structure("Rule", &[Member::new("RoleArn", &TEXT)]);
static RULES: Shape = Shape::list("Rules", Member::new("member", &RULE));
static JOB: Shape = Shape::structure(
    "Job",
    &[
        Member::new("How", &TEXT),
        Member::new("RoleArn", &TEXT),
        Member::new("RoleName", &TEXT),
        Member::new("Rules", &RULES),
    ],
);
ringfence_wire::structure! { Rule = RULE { 0 role_arn: Option<String> } }
ringfence_wire::structure! { Job = JOB {
0 how: String,
1 role_arn: Option<String>,
2 role_name: Option<String>,
3 rules: Option<Vec<Rule>>, } }

static SERVICE: Service = Service {
    id: "Made Up",
    signing_name: "made-up",
    endpoint_prefix: "made-up",
    action_prefix: "made-up",
    api_version: "2026-01-01",
    target_prefix: Some("MadeUp"),
    xml_namespace: None,
    protocols: &[Protocol::AwsJson11],
    query_compatible: false,
    global: false,
    validation_code: "ValidationException",
    operations: &OPERATIONS,
};
static OPERATIONS: [Operation; 1] = [Operation {
    name: "StartJob",
    service: &SERVICE,
    method: "POST",
    uri: "/",
    status: 200,
    input: Member::new("Job", &JOB),
    output: Member::new("Empty", &prelude::EMPTY),
    result_wrapper: None,
    input_namespace: None,
    errors: &[],
    auth: Auth::SigV4,
    pagination: None,
    authorization: Authorization {
        source: AuthorizationSource::Table,
        actions: &["made-up:StartJob"],
        access_level: AccessLevel::Write,
        resources: &[],
        condition_keys: &[],
        passes: &["RoleArn", "RoleName", "Rules.RoleArn"],
    },
}];

struct StartJob;
impl TypedOperation for StartJob {
    type Input = Job;
    type Output = Empty;
    const OPERATION: &'static Operation = &OPERATIONS[0];
}

/// Says why a role was not passed.
fn words(why: &NotPassed) -> ServiceError {
    match why {
        NotPassed::OtherAccount => NotPassed::cross_account(),
        why => ServiceError::new(format!("{why:?}"), 400, ""),
    }
}

/// Passes what `how` says, and answers whatever the input named.
async fn start_job(_: &(), call: Call<StartJob>) -> Result<Passing<Empty>, ServiceError> {
    let input = &call.input;
    let permit = call.allow(Resolved::any(call.account()?))?;
    let answer = permit.answer(Empty::default());
    let pass = match (&*input.how, &input.role_arn, &input.role_name) {
        ("nothing", _, _) => return Ok(call.passes_nothing()?.answer(answer)),
        ("another", _, _) => PassRole::by_name("worker", SERVICE_PRINCIPAL),
        ("untested", Some(arn), _) => PassRole::by_arn(arn, SERVICE_PRINCIPAL).untested(),
        (_, Some(arn), _) => PassRole::by_arn(arn, SERVICE_PRINCIPAL),
        (_, _, Some(name)) => PassRole::by_name(name, SERVICE_PRINCIPAL),
        _ => return Err(ServiceError::new("NoRole", 400, "")),
    };
    let passed = call.pass_role(&pass).map_err(|why| why.or(words))?;
    Ok(passed.answer(answer))
}

/// Roles: `/jobs/worker` trusts the service for this account alone, `/other` another service.
struct Roles;

impl Directory for Roles {
    fn access_key(&self, _: &str) -> Option<AccessKey> {
        None
    }

    fn authority(&self, _: &Identity) -> Option<Authority> {
        Some(Authority::default())
    }

    fn managed_policy(&self, _: AccountId, _: &str) -> Option<Arc<Document>> {
        None
    }

    fn role(&self, account: AccountId, name: &str) -> Option<RoleFacts> {
        let (path, trusted) = match name {
            "worker" => ("/jobs/", SERVICE_PRINCIPAL),
            "other" => ("/", "other.amazonaws.com"),
            _ => return None,
        };
        let trust = format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Action": "sts:AssumeRole",
                "Principal": {{"Service": "{trusted}"}}, "Condition": {{
                "StringEquals": {{"aws:SourceAccount": "{ACCOUNT}"}},
                "ArnLike": {{"aws:SourceArn": "arn:aws:made-up:*:{ACCOUNT}:job/*"}}}}}}}}"#
        );
        Some(RoleFacts {
            name: name.to_owned(),
            path: path.to_owned(),
            id: "AROAEXAMPLEEXAMPLEROL".into(),
            trust: Arc::new(parse(&trust, Kind::Trust).unwrap()),
            max_session_duration: 3600,
            tags: Arc::default(),
            service_linked: false,
        })
        .filter(|_| account == ACCOUNT)
    }

    fn account_exists(&self, _: AccountId) -> bool {
        true
    }

    fn organization(&self, _: AccountId) -> Option<String> {
        None
    }

    fn check_mfa<'a>(
        &'a self,
        _: &'a Identity,
        _: &'a str,
        _: &'a str,
        _: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<MfaCheck, ServiceError>> + 'a>> {
        Box::pin(std::future::ready(Ok(MfaCheck::NoDevice)))
    }

    fn note_use(&self, _: &Use<'_>) {}
}

struct AllOpen;

impl OpenAccounts for AllOpen {
    fn ensure<'a>(
        &'a self,
        _: AccountId,
    ) -> Pin<Box<dyn Future<Output = Result<(), ServiceError>> + 'a>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The status and code of the answer to a job.
async fn answer(job: &str) -> (u16, String) {
    let keyring = Keyring::ephemeral().unwrap();
    let shared = Shared {
        directory: Arc::new(Roles),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        tokens: Tokens::new(&keyring),
        authorization_messages: AuthorizationMessages::new(&keyring),
        trail: Trail::in_memory(),
    };
    let mounted = Handlers::new(&SERVICE, Arc::new(())).on_passing::<StartJob, _>(start_job);
    let world = World::new(vec![mounted.finish()], Arc::new(shared));
    let world = world.relaxed(ACCOUNT, Arc::new(AllOpen));
    let gateway = Gateway::new(world, Audit::nothing(), ACCOUNT, None).unwrap();
    let now = SystemClock.now().format(TimestampFormat::DateTime);
    let now = now[..19].replace(['-', ':'], "") + "Z";
    let scope = format!("{ACCOUNT}/{}/us-east-1/made-up/aws4_request", &now[..8]);
    let signature = "0".repeat(64);
    let request = http::Request::post("/")
        .header("host", "localhost")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "MadeUp.StartJob")
        .header("x-amz-date", now)
        .header(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, \
                 Signature={signature}"
            ),
        )
        .body(())
        .unwrap();
    let (parts, ()) = request.into_parts();
    let reply = gateway
        .answer(Box::new(Incoming {
            parts,
            body: job.to_owned().into(),
            source_ip: "127.0.0.1".into(),
            secure: false,
        }))
        .await;
    let Body::Whole(body) = reply.body else { panic!("a whole body") };
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = body["__type"].as_str().unwrap_or_default();
    (reply.status, code.rsplit('#').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn what_an_input_names_is_asked_for_or_nobody_is_answered() {
    let internal = "InternalFailure";
    for (job, status, code) in [
        // The shared check.
        (format!(r#"{{"How": "arn", "RoleArn": "{ROLE}"}}"#), 200, ""),
        (r#"{"How": "name", "RoleName": "worker"}"#.into(), 200, ""),
        (r#"{"How": "nothing"}"#.into(), 200, ""),
        (r#"{"How": "nothing", "RoleArn": ""}"#.into(), 200, ""),
        (r#"{"How": "arn", "RoleArn": "worker"}"#.into(), 400, "NoRole"),
        (r#"{"How": "arn", "RoleArn": "arn:aws:iam::111122223333:user/a"}"#.into(), 400, "NoRole"),
        (
            r#"{"How": "arn", "RoleArn": "arn:aws:iam::999999999999:role/worker"}"#.into(),
            400,
            "AccessDeniedException",
        ),
        // Its path and the case of its name are the role's own.
        (
            r#"{"How": "arn", "RoleArn": "arn:aws:iam::111122223333:role/worker"}"#.into(),
            400,
            "Missing",
        ),
        (r#"{"How": "name", "RoleName": "nobody"}"#.into(), 400, "Missing"),
        (
            r#"{"How": "arn", "RoleArn": "arn:aws:iam::111122223333:role/other"}"#.into(),
            400,
            "Untrusting",
        ),
        (
            r#"{"How": "untested", "RoleArn": "arn:aws:iam::111122223333:role/other"}"#.into(),
            200,
            "",
        ),
        // The guard: a role is named, and nobody was asked about it.
        (format!(r#"{{"How": "nothing", "RoleArn": "{ROLE}"}}"#), 500, internal),
        (format!(r#"{{"How": "nothing", "Rules": [{{"RoleArn": "{ROLE}"}}]}}"#), 500, internal),
        (
            r#"{"How": "another", "RoleArn": "arn:aws:iam::111122223333:role/other"}"#.into(),
            500,
            internal,
        ),
        (
            format!(
                r#"{{"How": "arn", "RoleArn": "{ROLE}", "Rules": [{{"RoleArn": "{ROLE}"}},
                    {{"RoleArn": "arn:aws:iam::111122223333:role/other"}}]}}"#
            ),
            500,
            internal,
        ),
        (
            format!(r#"{{"How": "arn", "RoleArn": "{ROLE}", "Rules": [{{"RoleArn": "{ROLE}"}}]}}"#),
            200,
            "",
        ),
    ] {
        assert_eq!(answer(&job).await, (status, code.to_owned()), "{job}");
    }
}

#[test]
fn a_name_is_answered_for_by_any_role_and_an_arn_by_its_own() {
    let allowed = |resource: &str, decision| Decided {
        action: PASS_ROLE,
        resource: resource.to_owned(),
        decision,
        policy: None,
        keys: Context::default(),
    };
    use ringfence_policy::{Decision, Layer};
    let asked = [allowed(ROLE, Decision::Allow)];
    let denied = [allowed(ROLE, Decision::ImplicitDeny(Layer::Identity))];
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert!(was_asked(&[], &[]));
    assert!(was_asked(&names(&[ROLE, "worker"]), &asked));
    assert!(!was_asked(&names(&["worker"]), &[]));
    assert!(!was_asked(&names(&["arn:aws:iam::111122223333:role/b"]), &asked));
    assert!(!was_asked(&names(&[ROLE]), &denied));
}
