//! Whatever was seen, the policy made of it allows it, is found faultless, and fits its quota.

use proptest::prelude::*;
use ringfence_policy::analyse::allows;
use ringfence_policy::generate::{Generator, MANAGED_POLICY, Note, Observation, Options};
use ringfence_policy::lint::{PolicyKind, lint};
use ringfence_policy::{AccountId, Context, Document, Kind, Principal, Request, parse, reference};
use std::collections::BTreeSet;

const VENDORS: [&str; 8] =
    ["iam", "s3", "kms", "sts", "dynamodb", "lambda", "logs", "secretsmanager"];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..40u8).prop_map(|i| format!("app-{i}")),
        (0..40u8).prop_map(|i| format!("team/{i}.log")),
        "[a-z]{1,6}",
        "[a-zé*?$ {}-]{1,8}",
    ]
}

/// An action of the reference on a resource of one of its types.
fn question() -> impl Strategy<Value = Observation> {
    // What a service can have put there: the lint knows the forms of the first two.
    let key = prop_oneof![
        Just(("iam:PassedToService", "lambda.amazonaws.com")),
        Just(("iam:PassedToService", "ec2.amazonaws.com")),
        Just(("iam:PolicyARN", "arn:aws:iam::aws:policy/P")),
        Just(("sts:ExternalId", "one")),
        Just(("sts:ExternalId", "x*")),
        Just(("sts:ExternalId", "${y}")),
    ];
    let parts = (0..VENDORS.len(), any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let keys = prop::option::of(key);
    (parts, prop::collection::vec(name(), 4), keys).prop_map(
        |((vendor, action, kind), names, key)| {
            let actions: Vec<_> =
                reference::service(VENDORS[vendor]).into_iter().flat_map(|s| s.actions()).collect();
            let action = actions[action.index(actions.len())];
            let formats: Vec<&str> =
                action.resource_types().flat_map(|of| of.resource_type.arn_formats()).collect();
            let resource = match formats.is_empty() {
                true => "*".to_owned(),
                false => filled(formats[kind.index(formats.len())], &names),
            };
            // No name of IAM's has a wildcard; what an ARN of another vendor has is anybody's.
            let resource = match resource.contains(":iam:") {
                true => resource.replace(['*', '?'], "+"),
                false => resource,
            };
            let observation = Observation::new(action.full_name(), resource);
            match key {
                Some((key, value)) => observation.key(key, value),
                None => observation,
            }
        },
    )
}

fn filled(format: &str, names: &[String]) -> String {
    let format = format.replace("${Partition}", "aws").replace("${Account}", "123456789012");
    let format = format.replace("${Region}", "eu-west-1").replace('*', "any");
    let mut pieces = format.split("${");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for (piece, name) in pieces.zip(names.iter().cycle()) {
        out.push_str(name);
        out.push_str(piece.split_once('}').map_or("", |(_, after)| after));
    }
    out
}

fn passes(document: &Document, asked: &Observation) -> bool {
    let mut context = Context::default();
    for (key, values) in &asked.keys {
        context.set(key.clone(), values[0].as_str());
    }
    let Some(account) = AccountId::new(123_456_789_012) else { return false };
    let request = Request {
        principal: &Principal::Root(account),
        action: &asked.action,
        resource: &asked.resource,
        resource_account: account,
        context: &context,
    };
    allows(document, Kind::Identity, &request)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn every_call_that_was_seen_is_allowed(
        all in prop::collection::vec(question(), 1..80),
        few in prop_oneof![Just(0usize), Just(2), Just(5), Just(usize::MAX)],
    ) {
        let mut generator = Generator::new(Options { few, ..Options::default() });
        all.iter().cloned().for_each(|one| generator.observe(one));
        let got = generator.generate();
        prop_assert!(!got.notes.iter().any(|note| matches!(note, Note::NotAllowed(..))));
        let mut documents = Vec::new();
        for document in &got.documents {
            let text = document.to_string();
            prop_assert!(text.chars().filter(|c| !c.is_whitespace()).count() <= MANAGED_POLICY);
            prop_assert_eq!(lint(&text, PolicyKind::Identity, None), vec![], "{}", text);
            documents.push(parse(&text, Kind::Managed).unwrap());
        }
        for one in &all {
            // `*` of an action that has none.
            let none = reference::action(&one.action).unwrap().resource_types().next().is_none();
            let asked = if none { Observation { resource: "*".into(), ..one.clone() } } else { one.clone() };
            prop_assert!(documents.iter().any(|document| passes(document, &asked)), "{:?}", asked);
        }
        // Little else: no action that was not seen, on any resource that was.
        let seen: BTreeSet<&str> = all.iter().map(|one| &*one.action).collect();
        for one in all.iter().take(8) {
            let vendor = one.action.split(':').next().unwrap();
            for other in reference::service(vendor).into_iter().flat_map(|s| s.actions()) {
                let other = other.full_name();
                if !seen.contains(&*other) {
                    let asked = Observation { action: other, ..one.clone() };
                    prop_assert!(!documents.iter().any(|document| passes(document, &asked)));
                }
            }
        }
    }
}
