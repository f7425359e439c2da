//! Policy documents and decisions.
//!
//! Parts stand between lines of `---`: a policy, a second policy, the request (`ACTION RESOURCE
//! PRINCIPAL`), then condition keys (`key=value`, or `key=value|value` for a set). No text makes the
//! parser or the decision panic or take long; the fast decision is the slow one's; a limiting layer never turns a denial into an
//! allowance; an anonymous caller gets nothing from identity policies.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_policy::{
    AccountId, Arn, Context, Decision, Document, Kind, PolicySet, Principal, Request,
    ResourcePolicy, decide, denial, evaluate, explain, message, parse,
};
use std::time::{Duration, Instant};

const KINDS: [Kind; 4] = [Kind::Identity, Kind::Managed, Kind::Resource, Kind::Trust];
/// Far more than a decision over a few kilobytes needs, sanitizer included.
const LONGEST: Duration = Duration::from_secs(10);

fn principal(text: &str) -> Principal {
    match Arn::parse(text) {
        Ok(arn) if arn.resource.starts_with("user/") => Principal::User { arn: text.into() },
        Ok(arn) if arn.resource.starts_with("federated-user/") => {
            let user_arn = text.replace(":sts:", ":iam:").replace("federated-user/", "user/");
            Principal::FederatedUser { arn: text.into(), user_arn: Some(user_arn) }
        }
        Ok(arn) if arn.resource == "root" => {
            arn.account_id().map_or(Principal::Anonymous, Principal::Root)
        }
        Ok(arn) => {
            let name = arn.resource_id().split('/').next().unwrap_or_default();
            Principal::AssumedRole {
                role_arn: format!("arn:{}:iam::{}:role/{name}", arn.partition, arn.account),
                session_arn: text.into(),
            }
        }
        Err(_) if text.contains('.') => Principal::Service(text.into()),
        Err(_) if text.is_empty() => Principal::Anonymous,
        Err(_) => Principal::Federated { provider: text.into() },
    }
}

fn context(text: &str) -> Context {
    let mut out = Context::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        if value.contains('|') {
            out.set_many(key.to_owned(), value.split('|').map(str::to_owned).collect());
        } else {
            out.set(key.to_owned(), value);
        }
    }
    out
}

fuzz_target!(|text: &str| {
    let started = Instant::now();
    let mut parts = text.split("\n---\n");
    let mut next = || parts.next().unwrap_or_default();
    let (first, second, asked, keys) = (next(), next(), next(), next());
    let parsed = |kind| {
        let parse =
            |text| parse(text, kind).inspect_err(|e| assert!(!e.to_string().is_empty())).ok();
        (parse(first), parse(second))
    };
    let documents: Vec<(Option<Document>, Option<Document>)> =
        KINDS.into_iter().map(parsed).collect();
    // What a managed policy may be, an inline one may be too.
    assert!(documents[1].0.is_none() || documents[0].0 == documents[1].0);
    assert!(started.elapsed() < LONGEST, "parsing took too long");

    let mut words = asked.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let (action, resource, who) = (next(), next(), principal(next()));
    let context = context(keys);
    let account = |arn: Option<AccountId>| arn.or(AccountId::new(123_456_789_012));
    let owner = account(Arn::parse(resource).ok().and_then(|arn| arn.account_id()));
    let Some(resource_account) = owner else { return };
    let request =
        Request { principal: &who, action, resource, resource_account, context: &context };
    let ask = |set: &PolicySet<'_>| {
        let decision = decide(&request, set);
        // The fast form decides as the slow one, over rows that are new and over rows that are kept.
        assert_eq!(decision, evaluate::decide(&request, set));
        assert_eq!(decision, decide(&request, set));
        // What is said of it fits it.
        let why = explain(&request, set);
        assert_eq!(why.decision, decision);
        assert!(!why.to_string().is_empty() && why.json().is_object());
        let denies = denial(&request, set).map(|denial| Decision::ExplicitDeny(denial.layer));
        assert_eq!(denies.is_some(), matches!(decision, Decision::ExplicitDeny(_)));
        assert!(denies.is_none_or(|denies| denies == decision));
        let words = message::denied("arn", action, resource, decision, None);
        assert!(words.contains(action));
        decision
    };

    for (first, second) in &documents {
        let (Some(first), second) = (first.as_ref(), second.as_ref()) else { continue };
        let both = std::iter::once(first).chain(second);
        for document in both.clone() {
            let sets = [
                PolicySet { identity: vec![document], ..PolicySet::default() },
                PolicySet {
                    identity: vec![document],
                    resource: Some(ResourcePolicy::Ordinary(first)),
                    ..PolicySet::default()
                },
                PolicySet {
                    resource: Some(ResourcePolicy::Trust(document)),
                    ..PolicySet::default()
                },
                PolicySet { resource: Some(ResourcePolicy::Key(document)), ..PolicySet::default() },
            ];
            for set in sets {
                let before = ask(&set);
                if who == Principal::Anonymous && set.resource.is_none() {
                    assert_ne!(before, Decision::Allow);
                }
                let limits = [
                    PolicySet { boundary: Some(first), ..set.clone() },
                    PolicySet { session: Some(vec![first]), ..set.clone() },
                    PolicySet { service_control: vec![vec![first], vec![document]], ..set.clone() },
                    PolicySet { resource_control: vec![vec![first]], ..set.clone() },
                    PolicySet { endpoint: Some(first), ..set },
                ];
                for limited in limits {
                    let after = ask(&limited);
                    assert!(
                        before.is_allowed() || !after.is_allowed(),
                        "{before:?} then {after:?}"
                    );
                }
            }
        }
    }
    assert!(started.elapsed() < LONGEST, "deciding took too long");
});
