//! One request decided by Ringfence's engine, by its reference interpreter and by Cedar.
//!
//! Cedar has one kind of policy. So each layer of the scene is a Cedar policy set of its own, with each
//! statement as a policy, and the request is put to all of them: identity, boundary, session and four
//! levels each of service and resource control policies must allow, the resource's policy must not deny. A
//! second row puts the same policies into one set and asks once, which is less than the whole decision.
//! Entities, context and request are made before.

#![expect(clippy::expect_used, reason = "a bench has nobody to report to")]

#[path = "../../../crates/policy/benches/decide/scene.rs"]
mod scene;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, RestrictedExpression,
};
use criterion::{Criterion, criterion_group, criterion_main};
use ringfence_policy::{decide, evaluate};
use scene::Scene;
use std::hint::black_box;

fn identity(number: usize) -> String {
    let last = match number {
        7 => {
            r#"permit (principal, action, resource) when {
                (context.action == "s3:GetObject" || context.action like "s3:PutObject*") &&
                context.resource like "arn:aws:s3:::data-*/blue/*" &&
                (context.sourceIp.isInRange(ip("10.0.0.0/8")) ||
                 context.sourceIp.isInRange(ip("192.0.2.0/24"))) &&
                context.secureTransport };"#
        }
        _ => "",
    };
    format!(
        r#"permit (principal, action, resource) when {{ context.action like "ec2:Describe*" ||
               context.action like "logs:*" || context.action == "sqs:SendMessage" }};
           permit (principal, action, resource) when {{ context.action like "dynamodb:*" &&
               context.resource like "arn:aws:dynamodb:*:*:table/t{number}-*" }};
           forbid (principal, action, resource) when {{
               context.action == "s3:DeleteBucket" || context.action like "iam:*" }};
           {last}"#
    )
}

const BOUNDARY: &str = r#"
    permit (principal, action, resource) when { context.action like "s3:*" ||
        context.action like "ec2:*" || context.action like "dynamodb:*" };
    forbid (principal, action, resource) when {
        !(context.requestedRegion == "eu-west-1" || context.requestedRegion == "eu-central-1") };"#;
const SESSION: &str =
    r#"permit (principal, action, resource) when { context.action like "s3:Get*" };"#;
const RESOURCE: &str = r#"
    permit (principal, action, resource);
    forbid (principal, action, resource) when {
        context.action like "s3:*" && !context.secureTransport };"#;
const SCP: &str = r#"
    permit (principal, action, resource);
    forbid (principal, action, resource) when {
        (context.action == "organizations:LeaveOrganization" || context.action like "s3:Delete*") &&
        !(context.principalArn like "arn:aws:iam::*:role/admin/*") };"#;
const RCP: &str = r#"
    permit (principal, action, resource);
    forbid (principal, action, resource) when {
        (context.action like "s3:*" || context.action == "sts:AssumeRole") &&
        context has principalOrgId && context.principalOrgId != "o-abcdefghij" &&
        !context.principalIsAwsService };"#;

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

/// The twenty keys of the scene, action and resource.
fn context(resource: &str) -> Context {
    let flag = RestrictedExpression::new_bool;
    let keys = [
        ("action", text("s3:GetObject")),
        ("resource", text(resource)),
        ("principalArn", text("arn:aws:iam::123456789012:role/app/worker")),
        ("principalAccount", text("123456789012")),
        ("principalType", text("AssumedRole")),
        ("principalOrgId", text("o-abcdefghij")),
        ("userid", text("AROAEXAMPLEEXAMPLE12:work")),
        ("tagTeam", text("blue")),
        ("tagStage", text("prod")),
        ("tokenIssueTime", text("2026-01-01T00:00:00Z")),
        ("mfaPresent", flag(false)),
        ("sourceIp", RestrictedExpression::new_ip("10.1.2.3")),
        ("userAgent", text("aws-sdk-rust/1.0")),
        ("currentTime", text("2026-01-01T00:10:00Z")),
        ("epochTime", RestrictedExpression::new_long(1_767_226_200)),
        ("secureTransport", flag(true)),
        ("requestedRegion", text("eu-west-1")),
        ("resourceAccount", text("123456789012")),
        ("viaAwsService", flag(false)),
        ("principalIsAwsService", flag(false)),
        ("resourceTagTeam", text("blue")),
        ("prefix", text("blue/")),
    ];
    let pairs = keys.into_iter().map(|(name, value)| (name.to_owned(), value));
    Context::from_pairs(pairs).expect("a context")
}

fn set(text: &str) -> PolicySet {
    text.parse().expect("policies")
}

fn entity(text: &str) -> EntityUid {
    text.parse().expect("an entity")
}

fn decisions(criterion: &mut Criterion) {
    let scene = Scene::new();
    let policies = scene.policies();
    let identity: String = (0..10).map(identity).collect();
    let mut layers = vec![set(&identity), set(BOUNDARY), set(SESSION), set(RESOURCE)];
    layers.extend((0..4).flat_map(|_| [set(SCP), set(RCP)]));
    let all = set(&[identity.as_str(), BOUNDARY, SESSION, RESOURCE, SCP, RCP].concat());
    let (authorizer, entities) = (Authorizer::new(), Entities::empty());
    let mut group = criterion.benchmark_group("one request");
    for (name, own) in [("allowed", scene.allowed()), ("denied", scene.denied())] {
        let request = Request::new(
            entity(r#"Role::"worker""#),
            entity(r#"Action::"s3:GetObject""#),
            entity(r#"Object::"part""#),
            context(own.resource),
            None,
        )
        .expect("a request");
        let asked = |policies: &PolicySet| {
            authorizer.is_authorized(&request, policies, &entities).decision() == Decision::Allow
        };
        let by_cedar = || layers.iter().all(&asked);
        let allowed = name == "allowed";
        assert_eq!(decide(&own, &policies).is_allowed(), allowed);
        assert_eq!(by_cedar(), allowed);
        group.bench_function(format!("{name}, ringfence"), |bencher| {
            bencher.iter(|| decide(black_box(&own), black_box(&policies)));
        });
        group.bench_function(format!("{name}, reference interpreter"), |bencher| {
            bencher.iter(|| evaluate::decide(black_box(&own), black_box(&policies)));
        });
        group.bench_function(format!("{name}, cedar, layer by layer"), |bencher| {
            bencher.iter(|| black_box(by_cedar()));
        });
        group.bench_function(format!("{name}, cedar, all in one set"), |bencher| {
            bencher.iter(|| asked(black_box(&all)));
        });
    }
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
