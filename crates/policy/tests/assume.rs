//! What is decided over assumed documents is decided by the documents themselves, whatever the unknown
//! keys turn out to be.

#![allow(clippy::unwrap_used)] // Tests, helpers included.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use ringfence_policy::account::{
    Access, Account, Around, Assumption, Given, Known, Page, Question, assume, who_can,
};
use ringfence_policy::{
    AccountId, Context, Document, Kind, PolicySet, Principal, Request, ResourcePolicy, decide,
    parse,
};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;

const OWN: &str = "123456789012";
const OTHER: &str = "210987654321";

const KEYS: &[&str] =
    &["x:a", "X:A", "x:b", "x:many", "aws:ResourceTag/Team", "aws:ResourceTag/team"];
const OPERATORS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericLessThan",
    "NumericNotEquals",
    "DateGreaterThan",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnLike",
    "ArnNotLike",
    "Null",
];
const POLICY_VALUES: &[&str] = &[
    "a",
    "*",
    "a*",
    "b*",
    "a/?",
    "10",
    "true",
    "10.0.0.0/8",
    "2020-01-01",
    "${x:a}",
    "${x:b}*",
    "${x:b, 'a'}",
    "${x:many}",
    "${aws:ResourceTag/Team}",
    "${aws:ResourceTag/team, 'a'}",
    "${$}",
    "arn:aws:s3:::${x:a}",
];
const REQUEST_VALUES: &[&str] =
    &["", "a", "A", "b", "9", "10", "true", "false", "10.1.2.3", "*", "a/k", "arn:aws:s3:::a"];
const RESOURCES: &[&str] = &["*", "arn:aws:s3:::a", "arn:aws:s3:::a/k", "arn:aws:s3:::b/a/k"];
const RESOURCE_PATTERNS: &[&str] = &[
    "*",
    "arn:aws:s3:::a",
    "arn:aws:s3:::a/*",
    "arn:aws:s3:::${x:a}/*",
    "arn:aws:s3:::*/${x:b}/k",
    "arn:aws:s3:::${x:b, 'a'}",
    "arn:aws:s3:::${x:many}",
    "arn:aws:s3:::${aws:ResourceTag/Team}/k",
    "arn:aws:s*3:::${x:a}",
];

fn condition() -> impl Strategy<Value = (String, Value)> {
    let set = select(vec!["", "", "ForAllValues:", "ForAnyValue:"]);
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
    let resource = (0..4u8, vec(select(RESOURCE_PATTERNS), 1..3));
    let principal = (0..5u8, any::<bool>());
    (0..3u8, any::<bool>(), resource, vec(condition(), 0..3), principal).prop_map(
        move |(effect, all, (not_resource, resources), conditions, (who, not))| {
            let mut out = json!({ "Effect": if effect == 0 { "Deny" } else { "Allow" } });
            out["Action"] = json!(if all { "s3:*" } else { "s3:PutObject" });
            out[if not_resource == 0 { "NotResource" } else { "Resource" }] = json!(resources);
            if !conditions.is_empty() {
                out["Condition"] = conditions.into_iter().collect::<serde_json::Map<_, _>>().into();
            }
            if kind == Kind::Resource {
                out[if not && who > 0 { "NotPrincipal" } else { "Principal" }] = match who {
                    0 => json!("*"),
                    1 => json!({ "AWS": OWN }),
                    2 => json!({ "AWS": format!("arn:aws:iam::{OWN}:role/ops") }),
                    3 => json!({ "AWS": format!("arn:aws:sts::{OWN}:assumed-role/ops/s") }),
                    _ => json!({ "AWS": format!("arn:aws:iam::{OWN}:user/ann") }),
                };
            }
            out
        },
    )
}

fn text(kind: Kind) -> impl Strategy<Value = String> {
    let version = select(vec!["2012-10-17", "2012-10-17", "2012-10-17", "2008-10-17"]);
    (version, vec(statement(kind), 1..4)).prop_filter_map(
        "a malformed policy",
        move |(version, statements)| {
            let text = json!({ "Version": version, "Statement": statements }).to_string();
            parse(&text, kind).is_ok().then_some(text)
        },
    )
}

fn document(kind: Kind) -> impl Strategy<Value = Document> {
    text(kind).prop_map(move |text| parse(&text, kind).unwrap())
}

/// What is known of a key.
#[derive(Debug, Clone, Copy)]
enum State {
    Known(&'static str),
    Given(&'static str),
    Likely(&'static str),
    Begins(&'static str),
    Absent,
    Unknown,
}

fn state() -> impl Strategy<Value = State> {
    let value = || select(REQUEST_VALUES);
    prop_oneof![
        2 => value().prop_map(State::Known),
        1 => value().prop_map(State::Given),
        1 => value().prop_map(State::Likely),
        1 => select(vec!["a", "a/", "1"]).prop_map(State::Begins),
        1 => Just(State::Absent),
        3 => Just(State::Unknown),
    ]
}

const SINGLE: [&str; 2] = ["x:a", "x:b"];
const TAGS: [&str; 2] = ["aws:ResourceTag/Team", "aws:ResourceTag/team"];

/// The known keys, and contexts that are so and that may be so.
fn facts() -> impl Strategy<Value = (Known, Vec<Context>)> {
    let many = option::of(vec(select(REQUEST_VALUES), 0..3));
    let tags = (any::<bool>(), vec(option::of(select(REQUEST_VALUES)), 2));
    let values = || vec(option::of(select(REQUEST_VALUES)), 4);
    let completions = vec((values(), option::of(vec(select(REQUEST_VALUES), 0..3))), 4);
    (vec(state(), 2), many, tags, completions).prop_map(|(single, many, tags, completions)| {
        let (closed, tags) = tags;
        let mut known = Known::default();
        for (key, state) in SINGLE.into_iter().zip(&single) {
            match state {
                State::Known(value) => known.set(key, *value),
                State::Given(value) => known.give(key, vec![(*value).to_owned()]),
                State::Likely(value) => known.set_likely(key, *value),
                State::Begins(text) => known.set_beginning(key, (*text).to_owned(), "k"),
                State::Absent => known.close(key),
                State::Unknown => {}
            }
        }
        if let Some(many) = &many {
            // Of two values or none: one is not a set.
            let values: Vec<String> = many.iter().map(ToString::to_string).collect();
            if values.len() != 1 {
                known.give("x:many", values);
            }
        }
        for (key, value) in TAGS.into_iter().zip(&tags) {
            if let Some(value) = value {
                known.set(key, *value);
            }
        }
        if closed {
            known.close("aws:ResourceTag/");
        }
        let contexts = completions.into_iter().map(|(values, set)| {
            let mut context = known.context().clone();
            for ((key, state), value) in SINGLE.into_iter().zip(&single).zip(&values) {
                match (state, value) {
                    (State::Unknown | State::Likely(_), Some(value)) => context.set(key, *value),
                    (State::Begins(text), Some(value)) => {
                        context.set(key, [*text, *value].concat());
                    }
                    _ => {}
                }
            }
            for (key, value) in TAGS.into_iter().zip(values.iter().skip(2)) {
                if let Some(value) = value
                    && !known.is_known(key)
                {
                    context.set(key, *value);
                }
            }
            if let Some(set) = set
                && !known.is_known("x:many")
            {
                context.set_many("x:many", set);
            }
            context
        });
        let contexts = contexts.collect();
        (known, contexts)
    })
}

fn principal() -> impl Strategy<Value = Principal> {
    select(vec![
        Principal::Root(OWN.parse::<AccountId>().unwrap()),
        Principal::User { arn: format!("arn:aws:iam::{OWN}:user/ann") },
        Principal::AssumedRole {
            role_arn: format!("arn:aws:iam::{OWN}:role/ops"),
            session_arn: format!("arn:aws:sts::{OWN}:assumed-role/ops/s"),
        },
        Principal::Anonymous,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_certain_holds_in_every_completion_of_the_context(
        (known, contexts) in facts(),
        who in principal(),
        resource in select(RESOURCES),
        owner in select(vec![OWN, OWN, OTHER]),
        identity in vec(document(Kind::Identity), 1..3),
        limits in vec(option::weighted(0.2, document(Kind::Identity)), 2),
        of_resource in option::of((0..3u8, document(Kind::Resource))),
        resource_control in option::weighted(0.2, document(Kind::Resource)),
    ) {
        let decided = |context: &Context, assumption: Option<Assumption>| {
            let document = |document| match assumption {
                Some(assumption) => assume(document, &known, assumption),
                None => Cow::Borrowed(document),
            };
            let identity: Vec<_> = identity.iter().map(document).collect();
            let limits: Vec<_> = limits.iter().map(|one| one.as_ref().map(document)).collect();
            let control = resource_control.as_ref().map(document);
            let policy = of_resource.as_ref().map(|(form, one)| (form, document(one)));
            let set = PolicySet {
                identity: identity.iter().map(|one| &**one).collect(),
                boundary: limits[0].as_deref(),
                service_control: limits[1].iter().map(|one| vec![&**one]).collect(),
                resource_control: control.iter().map(|one| vec![&**one]).collect(),
                resource: policy.as_ref().map(|(form, one)| match form {
                    0 => ResourcePolicy::Ordinary(one),
                    1 => ResourcePolicy::Trust(one),
                    _ => ResourcePolicy::Key(one),
                }),
                ..PolicySet::default()
            };
            let resource_account = owner.parse().unwrap();
            let action = "s3:PutObject";
            decide(&Request { principal: &who, action, resource, resource_account, context }, &set)
        };
        let best = decided(known.context(), Some(Assumption::Optimistic)).is_allowed();
        let worst = decided(known.context(), Some(Assumption::Pessimistic)).is_allowed();
        let silent = decided(known.context(), Some(Assumption::Silent)).is_allowed();
        prop_assert!(best || !worst);
        prop_assert!(best || !silent);
        prop_assert!(silent || !worst);
        for context in contexts.iter().chain([known.context()]) {
            let really = decided(context, None).is_allowed();
            prop_assert!(really || !worst, "certainly allowed, but denied with {context:?}");
            prop_assert!(best || !really, "certainly denied, but allowed with {context:?}");
        }
    }
}

/// An account of one user and one role, of the same inline policies.
fn account(policies: &[String], boundary: Option<&String>) -> Account {
    let inline = policies
        .iter()
        .enumerate()
        .map(|(index, text)| json!({ "PolicyName": format!("p{index}"), "PolicyDocument": text }));
    let inline: Vec<Value> = inline.collect();
    let arn = |path: &str| format!("arn:aws:iam::{OWN}:{path}");
    let mut user = json!({ "Arn": arn("user/ann"), "UserName": "ann", "Path": "/" });
    user["UserPolicyList"] = json!(inline);
    let trust = json!({ "Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Principal": { "AWS": OWN }, "Action": "sts:AssumeRole" } });
    let mut role = json!({ "Arn": arn("role/ops"), "RoleName": "ops", "Path": "/" });
    role["AssumeRolePolicyDocument"] = trust;
    role["RolePolicyList"] = json!(inline);
    let mut limits = Vec::new();
    if let Some(boundary) = boundary {
        let bound = json!({ "PermissionsBoundaryArn": arn("policy/limits") });
        user["PermissionsBoundary"] = bound.clone();
        role["PermissionsBoundary"] = bound;
        limits.push(json!({ "Arn": arn("policy/limits"), "DefaultVersionId": "v1",
            "PolicyVersionList": [{ "VersionId": "v1", "Document": boundary }] }));
    }
    let export = json!({ "UserDetailList": [user], "RoleDetailList": [role], "Policies": limits });
    Account::new(vec![Page::read(&export.to_string()).unwrap()]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nothing_depends_once_the_keys_that_it_depended_on_are_given(
        identity in vec(text(Kind::Identity), 1..3),
        boundary in option::weighted(0.3, text(Kind::Identity)),
        control in option::weighted(0.3, document(Kind::Identity)),
        of_resource in option::of(document(Kind::Resource)),
        resource in select(&RESOURCES[1..]),
        values in vec(select(REQUEST_VALUES), 8),
    ) {
        let account = account(&identity, boundary.as_ref());
        let given = |document: Document| Given { name: String::new(), text: String::new(), document };
        let around = Around {
            service_control: control.into_iter().map(|one| vec![given(one)]).collect(),
            resources: of_resource.into_iter().map(|one| (resource.to_owned(), given(one))).collect(),
            ..Around::default()
        };
        let question = Question::new("s3:PutObject", resource, account.id());
        let answers = who_can(&account, &around, &question).unwrap();
        for answer in answers {
            let Access::Depends { on, also } = &answer.access else { continue };
            prop_assert!(!on.is_empty() || also.is_some(), "{answer:?}");
            let open = || on.iter().flat_map(|hinge| &hinge.open);
            prop_assert!(on.iter().all(|hinge| !hinge.open.is_empty()), "{answer:?}");
            // Which session it is cannot be given.
            if also.is_some() || open().any(|open| open.unknown.is_empty()) {
                continue;
            }
            let unknown: BTreeSet<&String> = open().flat_map(|open| &open.unknown).collect();
            let given = unknown.into_iter().zip(&values);
            let given = given.map(|(key, value)| (key.clone(), vec![(*value).to_owned()]));
            let again = Question { given: given.collect(), ..question.clone() };
            let again = who_can(&account, &around, &again).unwrap();
            let again = again.iter().find(|other| other.who == answer.who).unwrap();
            prop_assert!(
                !matches!(again.access, Access::Depends { .. }),
                "{answer:?} became {again:?}"
            );
        }
    }
}
