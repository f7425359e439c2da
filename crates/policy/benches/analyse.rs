//! What comparing two documents costs: it is asked of every policy that is saved, and in reviews.

#![expect(clippy::expect_used, reason = "a bench has nobody to report to")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ringfence_policy::analyse::{
    Access, check_access_not_granted, check_no_new_access, check_no_public_access,
};
use ringfence_policy::{Document, Kind, parse};
use serde_json::{Value, json};

fn document(statements: &Value, kind: Kind) -> Document {
    let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    parse(&text, kind).expect("a policy")
}

/// A reference policy in the style of AWS's samples: all but what escalates privileges.
fn escalation() -> Document {
    let statements = json!([
        { "Effect": "Allow", "Action": "*", "Resource": "*" },
        { "Effect": "Deny", "Action": "iam:PassRole", "NotResource": "arn:aws:iam::*:role/Passable/*" },
        { "Effect": "Deny", "Action": "sts:AssumeRole", "NotResource": "arn:aws:iam::*:role/Assumable/*" },
        { "Effect": "Deny", "Resource": "*", "Action": [
            "iam:CreateUser", "iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:AttachUserPolicy",
            "iam:PutUserPolicy", "iam:UpdateLoginProfile", "iam:AttachGroupPolicy", "iam:PutGroupPolicy",
            "iam:AddUserToGroup", "iam:CreateRole", "iam:AttachRolePolicy", "iam:PutRolePolicy",
            "iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion", "iam:UpdateAssumeRolePolicy"] },
    ]);
    document(&statements, Kind::Identity)
}

/// An application's policy, ten statements with conditions and variables.
fn application(extra: &str) -> Document {
    let statements = json!([
        { "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", extra],
          "Resource": ["arn:aws:s3:::app-data/*", "arn:aws:s3:::app-logs/${aws:username}/*"] },
        { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::app-data",
          "Condition": { "StringLike": { "s3:prefix": ["home/${aws:username}/*", "public/*"] } } },
        { "Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem"],
          "Resource": "arn:aws:dynamodb:*:111122223333:table/app-*",
          "Condition": { "ForAllValues:StringEquals": { "dynamodb:LeadingKeys": ["a", "b"] } } },
        { "Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey*"], "Resource": "*",
          "Condition": { "StringEquals": { "kms:ViaService": "s3.eu-west-1.amazonaws.com" } } },
        { "Effect": "Allow", "Action": "sqs:*", "Resource": "arn:aws:sqs:*:111122223333:app-*" },
        { "Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::111122223333:role/app",
          "Condition": { "StringEquals": { "iam:PassedToService": "ecs-tasks.amazonaws.com" } } },
        { "Effect": "Allow", "Action": ["logs:*", "cloudwatch:Put*"], "Resource": "*" },
        { "Effect": "Deny", "Action": "*", "Resource": "*",
          "Condition": { "Bool": { "aws:SecureTransport": "false" } } },
        { "Effect": "Deny", "NotAction": ["iam:*", "sts:*"], "Resource": "*",
          "Condition": { "StringNotEquals": { "aws:RequestedRegion": ["eu-west-1", "eu-central-1"] } } },
        { "Effect": "Deny", "Action": "s3:*", "Resource": "*",
          "Condition": { "NotIpAddress": { "aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"] },
                         "Null": { "aws:SourceVpce": "true" } } },
    ]);
    document(&statements, Kind::Identity)
}

fn bucket() -> Document {
    let statements = json!([
        { "Effect": "Allow", "Principal": { "AWS": ["111111111111", "arn:aws:iam::222222222222:role/r"] },
          "Action": "s3:*", "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"] },
        { "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*",
          "Condition": { "StringEquals": { "aws:PrincipalOrgID": "o-1" } } },
        { "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
          "Condition": { "Bool": { "aws:SecureTransport": "false" } } },
    ]);
    document(&statements, Kind::Resource)
}

fn analyse(criterion: &mut Criterion) {
    let (escalation, bucket) = (escalation(), bucket());
    let (smaller, larger) = (application("s3:GetObjectTagging"), application("s3:Get*"));
    let kind = Kind::Identity;
    let compare = |existing: &Document, new: &Document| {
        check_no_new_access(black_box(existing), black_box(new), kind)
    };
    let proved = compare(&larger, &smaller);
    assert!(proved.is_proved(), "{proved:?}");
    assert!(compare(&smaller, &larger).witness().is_some());
    assert!(compare(&escalation, &larger).witness().is_some());

    let mut group = criterion.benchmark_group("analyse");
    group.bench_function("no new access, ten statements, proved", |bencher| {
        bencher.iter(|| compare(&larger, &smaller));
    });
    group.bench_function("no new access, ten statements, found", |bencher| {
        bencher.iter(|| compare(&smaller, &larger));
    });
    group.bench_function("no new access, reference policy, found", |bencher| {
        bencher.iter(|| compare(&escalation, &larger));
    });
    let access = [Access { actions: vec!["iam:PassRole".to_owned()], resources: vec![] }];
    group.bench_function("access not granted", |bencher| {
        bencher.iter(|| check_access_not_granted(black_box(&larger), &access, kind));
    });
    group.bench_function("no public access", |bencher| {
        bencher.iter(|| check_no_public_access(black_box(&bucket), Kind::Resource));
    });
    group.finish();
}

criterion_group!(benches, analyse);
criterion_main!(benches);
