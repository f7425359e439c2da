//! The fast form and the slow one decide alike, whatever the policies and the request.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests, helpers included.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ringfence_policy::acl::{AclGrant, Acls, Grantee, Permission};
use ringfence_policy::document::PrincipalPattern;
use ringfence_policy::explain::Says;
use ringfence_policy::grant::{Grant, Grants};
use ringfence_policy::{
    AccountId, Context, Decision, Document, Kind, Layer, PolicySet, Principal, Request,
    ResourcePolicy, evaluate, parse,
};
use serde_json::{Value, json};

const OWN: &str = "123456789012";
const OTHER: &str = "210987654321";

const ACTIONS: &[&str] =
    &["s3:GetObject", "S3:getobject", "s3:PutObject", "iam:PassRole", "kms:Decrypt", "x:Y"];
const ACTION_PATTERNS: &[&str] =
    &["*", "s3:*", "s3:Get*", "S3:GET*", "s3:?etObject", "s3:PutObject", "iam:Pass*", "*:*"];
const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:s3:::bucket/key",
    "arn:aws:s3:::bucket/ann/key",
    "arn:aws:iam::123456789012:role/ops",
    "arn:aws:iam::123456789012:role/x:y/ops",
    "no arn",
];
const RESOURCE_PATTERNS: &[&str] = &[
    "*",
    "arn:aws:s3:::bucket/key",
    "arn:aws:s3:::bucket/*",
    "arn:aws:s3:::*/key",
    "arn:aws:s3:::bucket/${x:name}/*",
    "arn:aws:s3:::bucket/${x:gone, 'ann'}/k?y",
    "arn:aws:s3:::bucket/${x:gone}/*",
    "arn:aws:s3:::bucket/${x:many}/*",
    "arn:aws:s3:::bucket/${*}",
    "arn:*:s3:::*",
    "arn:aws:s*3:::bucket/key",
    "arn:aws:?3:::bucket/*y",
    "arn:aws:iam::*:role/ops",
    "arn:aws:iam::1*2:role/ops",
    "arn:aws:iam::123456789012:role/*:*",
    "arn:aws:iam",
];
const OPERATORS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
    "Null",
];
const KEYS: &[&str] = &["x:name", "X:NAME", "x:many", "x:gone", "aws:ResourceTag/Team"];
const POLICY_VALUES: &[&str] = &[
    "",
    "*",
    "ann",
    "ANN",
    "a?n",
    "a*",
    "${x:name}",
    "${x:name}*",
    "${x:gone, 'ann'}",
    "${x:many}",
    "${$}",
    "ärger",
    "ÄRGER",
    "10",
    "10.0",
    "1e400",
    "true",
    "False",
    "${x:name, 'x'}",
    "YW5u",
    "2020-01-01",
    "2020-01-01T00:00:00Z",
    "1577836800",
    "10.0.0.0/8",
    "10.1.2.3",
    "::ffff:a00:0/104",
    "arn:aws:s3:::bucket/*",
    "arn:*:s3:*:*:bucket/key",
    "arn:aws:s3:::${x:name}",
];
const REQUEST_VALUES: &[&str] = &[
    "",
    "ann",
    "Ann",
    "aan",
    "*",
    "ärger",
    "Ärger",
    "10",
    "9.5",
    "x",
    "TRUE",
    "false",
    "YW5u",
    "2020-01-01T00:00:00Z",
    "1577836801",
    "10.1.2.3",
    "11.1.2.3",
    "::ffff:10.0.0.1",
    "2001:db8::1",
    "arn:aws:s3:::bucket/key",
    "arn:aws:s3:::ann",
    "$",
];
const PRINCIPALS: &[&str] = &[
    "arn:aws:iam::123456789012:root",
    "arn:aws:iam::210987654321:root",
    "arn:aws:iam::123456789012:user/ann",
    "arn:aws:iam::123456789012:role/ops",
    "arn:aws:sts::123456789012:assumed-role/ops/ann",
    "*",
];

fn condition() -> impl Strategy<Value = (String, Value)> {
    let set = select(vec!["", "", "", "ForAllValues:", "ForAnyValue:"]);
    let exists = select(vec!["", "", "IfExists"]);
    let values = vec(select(POLICY_VALUES), 1..3);
    (set, select(OPERATORS), exists, select(KEYS), values).prop_map(
        |(set, operator, exists, key, values)| {
            let exists = if operator == "Null" { "" } else { exists };
            (format!("{set}{operator}{exists}"), json!({ key: values }))
        },
    )
}

fn statement(kind: Kind) -> impl Strategy<Value = Value> {
    let action = (any::<bool>(), vec(select(ACTION_PATTERNS), 1..3));
    let resource = (any::<bool>(), vec(select(RESOURCE_PATTERNS), 1..3));
    let principal = (0..4u8, vec(select(PRINCIPALS), 1..3));
    (any::<bool>(), action, resource, vec(condition(), 0..3), principal).prop_map(
        move |(allow, (not_action, actions), (not_resource, resources), conditions, principal)| {
            let mut out = json!({ "Effect": if allow { "Allow" } else { "Deny" } });
            out[if not_action { "NotAction" } else { "Action" }] = json!(actions);
            out[if not_resource { "NotResource" } else { "Resource" }] = json!(resources);
            if !conditions.is_empty() {
                out["Condition"] = conditions.into_iter().collect::<serde_json::Map<_, _>>().into();
            }
            if kind == Kind::Resource {
                let (form, arns) = principal;
                out[if form == 0 { "NotPrincipal" } else { "Principal" }] = match form {
                    1 => json!("*"),
                    2 => json!({ "Service": "ec2.amazonaws.com" }),
                    _ => json!({ "AWS": arns }),
                };
            }
            out
        },
    )
}

fn document(kind: Kind) -> impl Strategy<Value = Document> {
    let version = select(vec!["2012-10-17", "2012-10-17", "2008-10-17"]);
    (version, vec(statement(kind), 1..4)).prop_filter_map(
        "a malformed policy",
        move |(version, statements)| {
            let text = json!({ "Version": version, "Statement": statements }).to_string();
            parse(&text, kind).ok()
        },
    )
}

fn principal() -> impl Strategy<Value = Principal> {
    let own = || OWN.parse::<AccountId>().unwrap();
    select(vec![
        Principal::Root(own()),
        Principal::User { arn: format!("arn:aws:iam::{OWN}:user/ann") },
        Principal::User { arn: format!("arn:aws:iam::{OTHER}:user/ann") },
        Principal::AssumedRole {
            role_arn: format!("arn:aws:iam::{OWN}:role/ops"),
            session_arn: format!("arn:aws:sts::{OWN}:assumed-role/ops/ann"),
        },
        Principal::FederatedUser {
            arn: format!("arn:aws:sts::{OWN}:federated-user/guest"),
            user_arn: Some(format!("arn:aws:iam::{OWN}:user/ann")),
        },
        Principal::Service("ec2.amazonaws.com".into()),
        Principal::Anonymous,
    ])
}

fn context() -> impl Strategy<Value = Context> {
    let name = proptest::option::of(select(REQUEST_VALUES));
    let many = proptest::option::of(vec(select(REQUEST_VALUES), 0..3));
    let tags = vec((select(vec!["Team", "team"]), select(REQUEST_VALUES)), 0..3);
    (name, many, tags).prop_map(|(name, many, tags)| {
        let mut out = Context::default();
        if let Some(name) = name {
            out.set("x:name", name);
        }
        if let Some(many) = many {
            out.set_many("x:many", many);
        }
        for (key, value) in tags {
            out.set(format!("aws:ResourceTag/{key}"), value);
        }
        out
    })
}

fn account(id: &str) -> AccountId {
    id.parse().unwrap()
}

fn grant() -> impl Strategy<Value = Grant> {
    let grantee = select(PRINCIPALS).prop_map(|arn| match arn {
        "*" => PrincipalPattern::Service("ec2.amazonaws.com".into()),
        root if root.ends_with(":root") => PrincipalPattern::Account(account(OWN)),
        arn => PrincipalPattern::Arn(arn.into()),
    });
    (grantee, vec(select(vec!["Decrypt", "Encrypt"]), 0..3)).prop_map(|(grantee, operations)| {
        Grant {
            grantee,
            operations: operations.into_iter().map(str::to_owned).collect(),
            encryption_context: None,
            source_arn: None,
        }
    })
}

fn acl_grant() -> impl Strategy<Value = AclGrant> {
    let grantee = select(vec![
        Grantee::AllUsers,
        Grantee::AuthenticatedUsers,
        Grantee::Account(account(OWN)),
        Grantee::Account(account(OTHER)),
    ]);
    let permission = select(vec![Permission::Read, Permission::Write, Permission::FullControl]);
    (grantee, permission).prop_map(|(grantee, permission)| AclGrant { grantee, permission })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_fast_form_decides_as_the_slow_one(
        who in principal(),
        action in select(ACTIONS),
        resource in select(RESOURCES),
        owner in select(vec![OWN, OTHER]),
        context in context(),
        identity in vec(document(Kind::Identity), 0..3),
        limits in vec(proptest::option::weighted(0.3, document(Kind::Identity)), 4),
        resource_policy in proptest::option::of((0..3u8, document(Kind::Resource))),
        resource_control in proptest::option::weighted(0.3, document(Kind::Resource)),
        management in proptest::bool::weighted(0.2),
        grants in vec(grant(), 0..2),
        lists in vec(acl_grant(), 0..2),
    ) {
        let all: Vec<&Document> = identity.iter().collect();
        let one = |at: usize| limits[at].as_ref();
        let policies = PolicySet {
            identity: all,
            boundary: one(0),
            session: one(1).map(|document| vec![document]),
            resource: resource_policy.as_ref().map(|(form, document)| match form {
                0 => ResourcePolicy::Ordinary(document),
                1 => ResourcePolicy::Trust(document),
                _ => ResourcePolicy::Key(document),
            }),
            service_control: one(2).map(|document| vec![document]).into_iter().collect(),
            resource_control: resource_control.as_ref().map(|d| vec![d]).into_iter().collect(),
            endpoint: one(3),
            management_account: management.then_some(account(OWN)),
            grants: Grants { grants: &grants, encryption_context: None },
            acls: Acls { bucket: &lists, object: &lists },
        };
        let resource_account = owner.parse().unwrap();
        let request = Request { principal: &who, action, resource, resource_account, context: &context };
        let slow = evaluate::decide(&request, &policies);
        // Twice: the second time over rows that are kept.
        for _ in 0..2 {
            prop_assert_eq!(ringfence_policy::decide(&request, &policies), slow);
        }
        // What is said of the layers fits the decision.
        let why = ringfence_policy::explain(&request, &policies);
        prop_assert_eq!(why.decision, slow);
        let denies = |layer| why.layers.iter().any(|l| l.layer == layer && l.says == Says::Denies);
        let silent = |layer| {
            let mut of = why.layers.iter().filter(|l| l.layer == layer).peekable();
            of.peek().is_none() || of.any(|l| l.says != Says::Allows)
        };
        match slow {
            Decision::Allow => prop_assert!(why.layers.iter().all(|l| l.says != Says::Denies)),
            Decision::ExplicitDeny(layer) => prop_assert!(denies(layer), "{}", why),
            // What a resource's policy grants counts for less across accounts than in its own.
            Decision::ImplicitDeny(layer) => {
                prop_assert!(layer == Layer::Resource || silent(layer), "{}", why);
            }
        }
    }

    #[test]
    fn more_actions_than_there_are_places_for_are_decided_alike(
        document in document(Kind::Identity),
        actions in vec("[a-c]{1,2}:[A-C]{1,3}", 100),
    ) {
        let who = Principal::User { arn: format!("arn:aws:iam::{OWN}:user/ann") };
        let context = Context::default();
        let resource_account = OWN.parse().unwrap();
        let policies = PolicySet { identity: vec![&document], ..PolicySet::default() };
        for action in &actions {
            let request = Request { principal: &who, action, resource: "*", resource_account, context: &context };
            prop_assert_eq!(ringfence_policy::decide(&request, &policies), evaluate::decide(&request, &policies));
        }
    }
}
