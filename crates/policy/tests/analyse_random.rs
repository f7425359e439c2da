//! The checks against brute force: random small documents, and every answer tried on random requests
//! of the same small alphabet. A witness is what it is said to be, by the evaluator; against a proof no
//! request is found.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests, helpers included.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRng;
use ringfence_policy::analyse::{
    Access, Answer, allows, check_access_not_granted, check_never_applies, check_no_new_access,
    equivalent,
};
use ringfence_policy::{AccountId, Context, Document, Kind, Principal, Request, parse};
use serde_json::{Map, Value, json};

// ---- documents ---------------------------------------------------------------------------------

fn one_or_more(from: &'static [&'static str]) -> impl Strategy<Value = Value> {
    subsequence(from, 1..=2).prop_map(|list| json!(list))
}

const ACTIONS: &[&str] = &["*", "a:*", "a:b", "a:B?", "a:b*", "A:c", "*:b", "a:*c", "b:*", "a:?"];

const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:s:::*",
    "arn:aws:s:::a",
    "arn:aws:s:::a*",
    "arn:aws:s:::a/*",
    "arn:aws:s:::*/b",
    "arn:aws:s:::?",
    "arn:aws:s",
    "arn:aws:s:*:1:a",
    "arn:aws:s:*:*:a",
    "arn:aws:s:x*y::a",
    "arn:aws:*:::a",
    "arn:aws:s:::${aws:username}",
    "arn:aws:s:::${aws:username}/*",
    "arn:aws:s:::a/${x:k, 'b'}",
    "arn:aws:s:::${*}",
    "arn:aws:s:::${x:k, b}",
    "arn:aws:s:::${aws:username}${*",
    "arn:aws:s:${aws:username}::a",
    "arn:*:s:::a",
];

const TEXT_OPERATORS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "Bool",
    "BinaryEquals",
];

const TEXTS: &[&str] = &[
    "a",
    "b",
    "A",
    "ab",
    "a*",
    "*b",
    "?",
    "*",
    "",
    "true",
    "false",
    "YQ==",
    "k",
    "${aws:username}",
    "${x:k}*",
    "${x:l, 'a'}",
    "a${*}",
    "${x:k}${*",
    "${x:l, a}",
    "É",
];

const NUMBERS: &[&str] = &["1", "2", "2.5", "x", "-1", "-0", "1e999", " 2 "];
const DATES: &[&str] = &[
    "2020-01-01",
    "2020-01-01T00:00:01Z",
    "1577836800.5",
    "2020-01-01T01:00:00.5+01:00",
    "-9223372036854775808.5",
];
const BLOCKS: &[&str] = &[
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.3",
    "::/0",
    "2001:db8::/32",
    "0.0.0.0/0",
    "::ffff:10.1.0.0/112",
];
const ARNS: &[&str] =
    &["arn:aws:s:::a", "arn:aws:s:*:*:a*", "arn:aws:*:::?", "*", "a", "arn:*:s:::${x:k}"];

fn condition(keys: &'static [&'static str]) -> impl Strategy<Value = (String, String, Value)> {
    let set = || select(&["", "", "", "ForAllValues:", "ForAnyValue:"][..]);
    let if_exists = || select(&["", "", "IfExists"][..]);
    let named = move |operators: &'static [&'static str], values: &'static [&'static str]| {
        (set(), select(operators), if_exists(), subsequence(values, 0..=2)).prop_map(
            |(set, operator, if_exists, values)| {
                (format!("{set}{operator}{if_exists}"), json!(values))
            },
        )
    };
    let numbers = &[
        "NumericEquals",
        "NumericNotEquals",
        "NumericLessThan",
        "NumericLessThanEquals",
        "NumericGreaterThan",
        "NumericGreaterThanEquals",
    ];
    let dates = &[
        "DateEquals",
        "DateNotEquals",
        "DateLessThan",
        "DateLessThanEquals",
        "DateGreaterThan",
        "DateGreaterThanEquals",
    ];
    let operation = prop_oneof![
        6 => named(TEXT_OPERATORS, TEXTS),
        2 => named(numbers, NUMBERS),
        1 => named(dates, DATES),
        2 => named(&["IpAddress", "NotIpAddress"], BLOCKS),
        2 => named(&["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"], ARNS),
        1 => one_or_more(&["true", "false"]).prop_map(|values| ("Null".to_owned(), values)),
    ];
    (select(keys), operation)
        .prop_map(|(key, (operator, values))| (operator, key.to_owned(), values))
}

/// One that holds one value, one that AWS lists as a set, one that it does not list, two that variables
/// name, and a tag in two spellings.
const KEYS: &[&str] = &[
    "aws:UserAgent",
    "aws:TagKeys",
    "x:k",
    "X:K",
    "x:l",
    "aws:username",
    "aws:RequestTag/ab",
    "AWS:requesttag/AB",
];

fn conditions(keys: &'static [&'static str], most: usize) -> impl Strategy<Value = Value> {
    prop::collection::vec(condition(keys), 0..=most).prop_map(|list| {
        let mut out = Map::new();
        for (operator, key, values) in list {
            let keys = out.entry(operator).or_insert_with(|| json!({}));
            keys[key] = values;
        }
        Value::Object(out)
    })
}

fn principal() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("*")),
        subsequence(
            &[
                "111111111111",
                "222222222222",
                "arn:aws:iam::111111111111:user/ann",
                "arn:aws:iam::111111111111:role/p/ops",
                "arn:aws:sts::111111111111:assumed-role/ops/ann",
                "arn:aws:sts::222222222222:federated-user/guest",
                "arn:aws-cn:iam::111111111111:role/p/ops",
                "arn:aws-cn:sts::111111111111:assumed-role/ops/ann",
                "AIDAEXAMPLEEXAMPLE12"
            ][..],
            1..=3
        )
        .prop_map(|list| json!({ "AWS": list })),
        Just(json!({ "Service": "sns.amazonaws.com" })),
        select(&["*", "accounts.google.com"][..]).prop_map(|p| json!({ "Federated": p })),
    ]
}

fn statement(kind: Kind) -> impl Strategy<Value = Value> {
    let not = || prop::bool::weighted(0.2);
    (
        prop::bool::weighted(0.35),
        (not(), one_or_more(ACTIONS)),
        (not(), one_or_more(RESOURCES)),
        (not(), principal()),
        conditions(KEYS, 2),
    )
        .prop_map(move |(deny, action, resource, principal, conditions)| {
            let name =
                |not: bool, name: &str| if not { format!("Not{name}") } else { name.to_owned() };
            let mut out = Map::new();
            out.insert("Effect".into(), json!(if deny { "Deny" } else { "Allow" }));
            out.insert(name(action.0, "Action"), action.1);
            out.insert(name(resource.0, "Resource"), resource.1);
            if kind == Kind::Resource {
                out.insert(name(principal.0, "Principal"), principal.1);
            }
            out.insert("Condition".into(), conditions);
            Value::Object(out)
        })
}

fn document(kind: Kind) -> impl Strategy<Value = Document> {
    let version = select(&["2012-10-17", "2012-10-17", "2012-10-17", "2008-10-17"][..]);
    (version, prop::collection::vec(statement(kind), 1..=3)).prop_map(
        move |(version, statements)| {
            let text = json!({ "Version": version, "Statement": statements }).to_string();
            parse(&text, kind).unwrap_or_else(|e| panic!("{e}: {text}"))
        },
    )
}

/// A document about nothing but one or two keys, so that what a condition says is seen.
fn about_keys(keys: &'static [&'static str]) -> impl Strategy<Value = Document> {
    let statement =
        (prop::bool::weighted(0.3), conditions(keys, 2)).prop_map(|(deny, conditions)| {
            json!({ "Effect": if deny { "Deny" } else { "Allow" }, "Action": "*", "Resource": "*",
                "Condition": conditions })
        });
    prop::collection::vec(statement, 1..=2).prop_map(|statements| {
        let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        parse(&text, Kind::Identity).unwrap_or_else(|e| panic!("{e}: {text}"))
    })
}

/// A document about one key, with so few operators and values that two of them often meet.
fn tiny(
    operators: &'static [&'static str],
    key: &'static str,
    values: &'static [&'static str],
) -> impl Strategy<Value = Document> {
    let condition = (select(operators), subsequence(values, 1..=2));
    let conditions = prop::collection::vec(condition, 1..=2);
    let statement = (prop::bool::weighted(0.3), conditions).prop_map(move |(deny, conditions)| {
        let conditions: Map<String, Value> = conditions
            .into_iter()
            .map(|(operator, values)| (operator.to_owned(), json!({ key: values })))
            .collect();
        json!({ "Effect": if deny { "Deny" } else { "Allow" }, "Action": "*", "Resource": "*",
                "Condition": conditions })
    });
    prop::collection::vec(statement, 1..=2).prop_map(|statements| {
        let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        parse(&text, Kind::Identity).unwrap_or_else(|e| panic!("{e}: {text}"))
    })
}

fn tiny_pair() -> impl Strategy<Value = (Document, Document)> {
    const SETS: &[&str] = &[
        "ForAllValues:StringEquals",
        "ForAnyValue:StringEquals",
        "ForAllValues:StringNotEquals",
        "ForAnyValue:StringNotEquals",
        "StringLike",
        "StringNotLike",
        "StringEquals",
    ];
    const TEXTS: &[&str] = &[
        "StringEquals",
        "StringNotEquals",
        "StringLike",
        "StringNotLikeIfExists",
        "StringEqualsIgnoreCase",
        "StringEqualsIfExists",
    ];
    const NUMBERS: &[&str] = &[
        "NumericEquals",
        "NumericLessThan",
        "NumericGreaterThanEquals",
        "NumericNotEquals",
        "NumericGreaterThanIfExists",
    ];
    const BLOCKS: &[&str] = &["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::/0"];
    let pair =
        |operators, key, values| (tiny(operators, key, values), tiny(operators, key, values));
    prop_oneof![
        3 => pair(SETS, "aws:TagKeys", &["a", "b"]),
        1 => pair(TEXTS, "aws:UserAgent", &["a", "k", "*"]),
        3 => pair(TEXTS, "aws:UserAgent", &["a", "${x:l}", "${x:l}*"]),
        1 => pair(SETS, "aws:TagKeys", &["a", "${x:l}"]),
        1 => pair(NUMBERS, "aws:UserAgent", &["1", "2"]),
        1 => pair(&["IpAddress", "NotIpAddress", "NotIpAddressIfExists"], "aws:UserAgent", BLOCKS),
        1 => pair(&["ArnLike", "StringLike", "ArnNotLike"], "aws:UserAgent", &["arn:aws:s:*:1:a", "*"]),
    ]
}

/// A document about nothing but resources.
fn about_resources() -> impl Strategy<Value = Document> {
    let statement = (prop::bool::weighted(0.3), prop::bool::weighted(0.2), one_or_more(RESOURCES))
        .prop_map(|(deny, not, resources)| {
            json!({ "Effect": if deny { "Deny" } else { "Allow" }, "Action": "*",
                    if not { "NotResource" } else { "Resource" }: resources })
        });
    prop::collection::vec(statement, 1..=2).prop_map(|statements| {
        let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        parse(&text, Kind::Identity).unwrap_or_else(|e| panic!("{e}: {text}"))
    })
}

const TAGS: &[&str] = &["aws:RequestTag/ab", "AWS:requesttag/AB", "aws:RequestTag/aB"];

/// Two documents about the same.
fn narrow_pair() -> impl Strategy<Value = (Document, Document)> {
    prop_oneof![
        2 => (about_keys(&["aws:UserAgent"]), about_keys(&["aws:UserAgent"])),
        3 => (about_keys(&["aws:TagKeys"]), about_keys(&["aws:TagKeys"])),
        3 => (about_keys(&["x:k"]), about_keys(&["x:k"])),
        1 => (about_keys(&["x:k", "x:l"]), about_keys(&["x:k", "aws:username"])),
        2 => (about_keys(TAGS), about_keys(TAGS)),
        3 => (about_resources(), about_resources()),
    ]
}

/// A document, and one that differs from it by a statement or not at all related to it.
fn pair(kind: Kind) -> impl Strategy<Value = (Document, Document)> {
    (document(kind), document(kind), 0..4_usize).prop_map(|(a, b, how)| {
        let mut edited = a.clone();
        match how {
            0 => return (a, b),
            1 => edited.statements.extend(b.statements),
            2 => {
                edited.statements.pop();
                edited.statements.extend(b.statements);
            }
            _ => edited.statements.insert(0, b.statements[0].clone()),
        }
        if how == 1 { (edited, a) } else { (a, edited) }
    })
}

// ---- requests ----------------------------------------------------------------------------------

const REQUEST_ACTIONS: &[&str] =
    &["a:b", "a:c", "a:bb", "a:cc", "a:bc", "b:b", "b:c", "c:c", "A:B", "a:x"];
const REQUEST_RESOURCES: &[&str] = &[
    "*",
    "arn:aws:s:::a",
    "arn:aws:s:::b",
    "arn:aws:s:::*",
    "arn:aws:s:::aa",
    "arn:aws:s:::a/b",
    "arn:aws:s:::a/x/b",
    "arn:aws:s:::ann",
    "arn:aws:s:::ann/x",
    "arn:aws:s:r:1:a",
    "arn:aws:s:r:2:a",
    "arn:aws:s:xy::a",
    "arn:aws:s:x:y::a",
    "arn:aws:s:r:1:2:a",
    "arn:aws:t:::a",
    "arn:aws-cn:s:::a",
    "arn:aws:s:::ann${*",
    "arn:aws:s:${aws:username}::a",
];
const REQUEST_VALUES: &[&str] = &[
    "a",
    "b",
    "A",
    "ab",
    "bb",
    "x",
    "",
    "true",
    "FALSE",
    "YQ==",
    "ann",
    "a*",
    "k",
    "K",
    "\u{212a}",
    "1",
    "2",
    "1.5",
    "2.5",
    "3",
    "-2",
    "2020-01-01",
    "2019-12-31",
    "1577836800.25",
    "1577836801",
    "1577836802",
    "1577836800.5",
    "-9223372036854775808.75",
    "é",
    "a${*",
    "-0",
    "10.0.0.1",
    "10.1.9.9",
    "10.1.2.3",
    "11.1.1.1",
    "2001:db8::1",
    "::1",
    "::ffff:10.1.2.3",
    "arn:aws:s:::a",
    "arn:aws:s:r:1:ab",
    "arn:aws:t:::b",
    "arn:aws-cn:s:::ann",
    "arn:aws:s:r:1:2:a",
];

struct Draw {
    principal: Principal,
    action: &'static str,
    resource: &'static str,
    context: Context,
}

fn pick<T: Copy>(rng: &mut TestRng, list: &[T]) -> T {
    list[rng.random_range(0..list.len())]
}

fn draw(rng: &mut TestRng, kind: Kind) -> Draw {
    let mut context = Context::default();
    for (key, sets) in [
        ("aws:UserAgent", false),
        ("aws:tagkeys", true),
        ("x:k", true),
        ("x:l", true),
        ("aws:username", false),
        ("aws:requestTag/ab", false),
        ("aws:requestTag/AB", false),
        ("aws:requestTag/aB", false),
    ] {
        match rng.random_range(0..if sets { 4 } else { 3 }) {
            0 => {}
            1 | 2 => context.set(key, pick(rng, REQUEST_VALUES)),
            _ => {
                let size = rng.random_range(0..=3);
                context.set_many(key, (0..size).map(|_| pick(rng, REQUEST_VALUES)));
            }
        }
    }
    let principal = if kind == Kind::Identity {
        Principal::User { arn: "arn:aws:iam::111122223333:user/x".into() }
    } else {
        let account = pick(rng, &["111111111111", "222222222222", "333333333333"]);
        let name = pick(rng, &["ann", "bob"]);
        let partition = pick(rng, &["aws", "aws", "aws-cn"]);
        let role = |role: &str, name: &str, session: &str| Principal::AssumedRole {
            role_arn: format!("arn:{partition}:iam::{account}:role/{role}"),
            session_arn: format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session}"),
        };
        let user = format!("arn:aws:iam::{account}:user/{name}");
        match rng.random_range(0..10) {
            0 => Principal::Root(account.parse().unwrap()),
            1 | 2 => {
                if rng.random_range(0..2) == 0 {
                    let id = pick(rng, &["AIDAEXAMPLEEXAMPLE12", "AIDAEXAMPLEEXAMPLE13"]);
                    context.set("aws:userid", id);
                }
                Principal::User { arn: user }
            }
            3 => role("p/ops", "ops", name),
            4 => role("ops", "ops", name),
            5 => role("q", "q", name),
            6 => Principal::FederatedUser {
                arn: format!(
                    "arn:aws:sts::{account}:federated-user/{}",
                    pick(rng, &["guest", "x"])
                ),
                user_arn: pick(rng, &[true, false]).then_some(user),
            },
            7 => Principal::Service(pick(rng, &["sns.amazonaws.com", "sqs.amazonaws.com"]).into()),
            8 => Principal::Federated {
                provider: pick(rng, &["accounts.google.com", "www.amazon.com"]).into(),
            },
            _ => Principal::Anonymous,
        }
    };
    Draw {
        principal,
        action: pick(rng, REQUEST_ACTIONS),
        resource: pick(rng, REQUEST_RESOURCES),
        context,
    }
}

impl Draw {
    fn request(&self) -> Request<'_> {
        Request {
            principal: &self.principal,
            action: self.action,
            resource: self.resource,
            resource_account: AccountId::new(111_122_223_333).unwrap(),
            context: &self.context,
        }
    }
}

// ---- the properties ----------------------------------------------------------------------------

/// How often an answer was which.
#[derive(Debug, Default)]
struct Count {
    proved: usize,
    found: usize,
    undecided: usize,
}

impl Count {
    fn add(&mut self, answer: &Answer) {
        match answer {
            Answer::Proved => self.proved += 1,
            Answer::Counterexample(_) => self.found += 1,
            Answer::Undecided(_) => self.undecided += 1,
        }
    }
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

/// Runs a property over random values, counting the answers.
fn run<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
    mut test: impl FnMut(&T, &mut TestRng) -> Answer,
) {
    let config =
        ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let mut count = Count::default();
    for _ in 0..cases() {
        let value = strategy.new_tree(&mut runner).unwrap().current();
        let mut rng = runner.new_rng();
        let answer = test(&value, &mut rng);
        if let Answer::Undecided(undecided) = &answer {
            assert!(!undecided.why.contains("does not agree"), "{undecided} {value:?}");
            assert!(!undecided.why.contains("too many"), "{undecided} {value:?}");
        }
        count.add(&answer);
    }
    println!("{count:?}");
    assert!(count.proved > 0 && count.found > 0, "{count:?}");
    // The alphabet is full of variables, sets and keys of mixed types: a third may be undecided.
    assert!(count.undecided * 3 < count.proved + count.found + count.undecided, "{count:?}");
}

const REQUESTS: usize = 3000;

fn new_access_is_new(kind: Kind, pairs: impl Strategy<Value = (Document, Document)>) {
    run(pairs, |(existing, new), rng| {
        let answer = check_no_new_access(existing, new, kind);
        match &answer {
            Answer::Proved => {
                for _ in 0..REQUESTS {
                    let draw = draw(rng, kind);
                    let request = draw.request();
                    assert!(
                        !allows(new, kind, &request) || allows(existing, kind, &request),
                        "proved, but {request:?}\nexisting {existing:#?}\nnew {new:#?}"
                    );
                }
            }
            Answer::Counterexample(witness) => {
                let request = witness.request();
                assert!(
                    allows(new, kind, &request) && !allows(existing, kind, &request),
                    "{request:?}"
                );
            }
            Answer::Undecided(_) => {}
        }
        answer
    });
}

#[test]
fn new_access_of_identity_policies_is_new_and_proofs_hold() {
    new_access_is_new(Kind::Identity, pair(Kind::Identity));
}

#[test]
fn new_access_under_conditions_is_new_and_proofs_hold() {
    new_access_is_new(Kind::Identity, narrow_pair());
}

#[test]
fn new_access_under_one_condition_is_new_and_proofs_hold() {
    new_access_is_new(Kind::Identity, tiny_pair());
}

#[test]
fn new_access_of_resource_policies_is_new_and_proofs_hold() {
    new_access_is_new(Kind::Resource, pair(Kind::Resource));
}

#[test]
fn equivalent_documents_allow_the_same() {
    run(pair(Kind::Identity), |(a, b), rng| {
        let answer = equivalent(a, b, Kind::Identity);
        match &answer {
            Answer::Proved => {
                for _ in 0..REQUESTS {
                    let draw = draw(rng, Kind::Identity);
                    let request = draw.request();
                    assert_eq!(
                        allows(a, Kind::Identity, &request),
                        allows(b, Kind::Identity, &request),
                        "{request:?} {a:#?} {b:#?}"
                    );
                }
            }
            Answer::Counterexample(witness) => {
                let request = witness.request();
                assert_ne!(
                    allows(a, Kind::Identity, &request),
                    allows(b, Kind::Identity, &request),
                    "{request:?}"
                );
            }
            Answer::Undecided(_) => {}
        }
        answer
    });
}

#[test]
fn access_that_is_not_granted_is_not() {
    let access =
        (subsequence(REQUEST_ACTIONS, 0..=2), subsequence(&REQUEST_RESOURCES[1..3], 0..=2));
    run((document(Kind::Resource), access), |(document, (actions, resources)), rng| {
        let list = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let access = Access { actions: list(actions), resources: list(resources) };
        let answer = check_access_not_granted(document, &[access], Kind::Resource);
        let asked = |request: &Request<'_>| {
            let same = |a: &&str| a.eq_ignore_ascii_case(request.action);
            (actions.is_empty() || actions.iter().any(same))
                && (resources.is_empty() || resources.contains(&request.resource))
        };
        match &answer {
            Answer::Proved => {
                for _ in 0..REQUESTS {
                    let draw = draw(rng, Kind::Resource);
                    let request = draw.request();
                    assert!(
                        !asked(&request) || !allows(document, Kind::Resource, &request),
                        "{request:?} {document:#?}"
                    );
                }
            }
            Answer::Counterexample(witness) => {
                let request = witness.request();
                assert!(
                    asked(&request) && allows(document, Kind::Resource, &request),
                    "{request:?}"
                );
            }
            Answer::Undecided(_) => {}
        }
        answer
    });
}

#[test]
fn a_statement_that_never_applies_does_not() {
    run(document(Kind::Resource), |document, rng| {
        let answer = check_never_applies(document, 0, Kind::Resource);
        let mut alone = document.clone();
        alone.statements.truncate(1);
        alone.statements[0].effect = ringfence_policy::document::Effect::Allow;
        match &answer {
            Answer::Proved => {
                for _ in 0..REQUESTS {
                    let draw = draw(rng, Kind::Resource);
                    assert!(!allows(&alone, Kind::Resource, &draw.request()), "{alone:#?}");
                }
            }
            Answer::Counterexample(witness) => {
                assert!(allows(&alone, Kind::Resource, &witness.request()), "{witness:?}");
            }
            Answer::Undecided(_) => {}
        }
        answer
    });
}
