//! A whole decision, fast and slow: ten identity policies, a boundary, a session policy, a resource
//! policy, four levels of service control policies and twenty condition keys.

#![expect(clippy::expect_used, reason = "a bench has nobody to report to")]

use criterion::{Criterion, criterion_group, criterion_main};
use ringfence_policy::{
    Context, Decision, Document, Kind, PolicySet, Principal, Request, ResourcePolicy, decide,
    evaluate, explain, parse,
};
use std::hint::black_box;

fn document(statements: &str, kind: Kind) -> Document {
    let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#);
    parse(&text, kind).expect("a policy")
}

/// The policies of a team that has a few services, none of which is what is asked for but one.
fn identity(number: usize) -> Document {
    let last = match number {
        7 => {
            r#", {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject*"],
                "Resource": "arn:aws:s3:::data-*/${aws:PrincipalTag/team}/*",
                "Condition": {"IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.0.2.0/24"]},
                              "Bool": {"aws:SecureTransport": "true"}}}"#
        }
        _ => "",
    };
    document(
        &format!(
            r#"{{"Effect": "Allow", "Action": ["ec2:Describe*", "logs:*", "sqs:SendMessage"], "Resource": "*"}},
               {{"Effect": "Allow", "Action": "dynamodb:*", "Resource": "arn:aws:dynamodb:*:*:table/t{number}-*"}},
               {{"Effect": "Deny", "Action": ["s3:DeleteBucket", "iam:*"], "Resource": "*"}}{last}"#
        ),
        Kind::Identity,
    )
}

fn context() -> Context {
    let mut context = Context::default();
    for (key, value) in [
        ("aws:PrincipalArn", "arn:aws:iam::123456789012:role/app/worker"),
        ("aws:PrincipalAccount", "123456789012"),
        ("aws:PrincipalType", "AssumedRole"),
        ("aws:PrincipalOrgID", "o-abcdefghij"),
        ("aws:userid", "AROAEXAMPLEEXAMPLE12:work"),
        ("aws:PrincipalTag/team", "blue"),
        ("aws:PrincipalTag/stage", "prod"),
        ("aws:TokenIssueTime", "2026-01-01T00:00:00Z"),
        ("aws:MultiFactorAuthPresent", "false"),
        ("aws:SourceIp", "10.1.2.3"),
        ("aws:UserAgent", "aws-sdk-rust/1.0"),
        ("aws:CurrentTime", "2026-01-01T00:10:00Z"),
        ("aws:EpochTime", "1767226200"),
        ("aws:SecureTransport", "true"),
        ("aws:RequestedRegion", "eu-west-1"),
        ("aws:ResourceAccount", "123456789012"),
        ("aws:ViaAWSService", "false"),
        ("aws:PrincipalIsAWSService", "false"),
        ("aws:ResourceTag/team", "blue"),
        ("s3:prefix", "blue/"),
    ] {
        context.set(key, value);
    }
    context
}

fn decisions(criterion: &mut Criterion) {
    let identity: Vec<Document> = (0..10).map(identity).collect();
    let boundary = document(
        r#"{"Effect": "Allow", "Action": ["s3:*", "ec2:*", "dynamodb:*"], "Resource": "*"},
           {"Effect": "Deny", "Action": "*", "Resource": "*",
            "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1", "eu-central-1"]}}}"#,
        Kind::Identity,
    );
    let session =
        document(r#"{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}"#, Kind::Identity);
    let resource = document(
        r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
           {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
            "Action": "s3:ListBucket", "Resource": "*"}"#,
        Kind::Resource,
    );
    let scps: Vec<Document> = (0..4)
        .map(|_| {
            document(
                r#"{"Effect": "Allow", "Action": "*", "Resource": "*"},
                   {"Effect": "Deny", "Action": ["organizations:LeaveOrganization", "s3:Delete*"],
                    "Resource": "*", "Condition": {"StringNotLike":
                    {"aws:PrincipalArn": "arn:aws:iam::*:role/admin/*"}}}"#,
                Kind::Identity,
            )
        })
        .collect();
    let policies = PolicySet {
        identity: identity.iter().collect(),
        boundary: Some(&boundary),
        session: Some(vec![&session]),
        resource: Some(ResourcePolicy::Ordinary(&resource)),
        service_control: scps.iter().map(|scp| vec![scp]).collect(),
        ..PolicySet::default()
    };
    let context = context();
    let principal = Principal::AssumedRole {
        role_arn: "arn:aws:iam::123456789012:role/app/worker".into(),
        session_arn: "arn:aws:sts::123456789012:assumed-role/worker/work".into(),
    };
    let ask = |action, resource| Request {
        principal: &principal,
        action,
        resource,
        resource_account: "123456789012".parse().expect("an account"),
        context: &context,
    };
    let allowed = ask("s3:GetObject", "arn:aws:s3:::data-lake/blue/2026/01/part-0001");
    let denied = ask("s3:GetObject", "arn:aws:s3:::data-lake/red/2026/01/part-0001");
    assert_eq!(decide(&allowed, &policies), Decision::Allow);
    assert!(!decide(&denied, &policies).is_allowed());

    let mut group = criterion.benchmark_group("decide");
    for (name, request) in [("allowed", &allowed), ("denied", &denied)] {
        group.bench_function(format!("{name}, fast"), |bencher| {
            bencher.iter(|| decide(black_box(request), black_box(&policies)));
        });
        group.bench_function(format!("{name}, slow"), |bencher| {
            bencher.iter(|| evaluate::decide(black_box(request), black_box(&policies)));
        });
    }
    group.bench_function("explained", |bencher| {
        bencher.iter(|| explain(black_box(&allowed), black_box(&policies)));
    });
    group.bench_function("first decision of a policy that was just edited", |bencher| {
        bencher.iter_batched(
            || identity[7].clone(),
            |edited| {
                let policies = PolicySet { identity: vec![&edited], ..PolicySet::default() };
                decide(black_box(&allowed), &policies)
            },
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
