//! What policies and requests that were made to be slow may cost, in steps of matching: one compares a
//! character of a pattern with one of a text. `tests/allocations.rs` says what they may take of memory.
//! The bound is a product, so that documents of the size of a managed policy show it.

use crate::glob::steps;
use crate::{
    Context, Document, Kind, PolicySet, Principal, Request, decide, evaluate, explain, parse,
};
use serde_json::json;

/// Bytes of a document: what a managed policy may have.
const SIZE: usize = 6 * 1024;
/// Characters of an ARN that is asked for, and of the value of a condition key.
const ASKED: usize = 128;

/// Repeats a text until it has this many bytes.
fn of_size(text: &str, bytes: usize) -> String {
    text.repeat(bytes / text.len())
}

/// As many patterns as fill a document: each repeats one text up to a length.
fn patterns(prefix: &str, text: &str, length: usize) -> Vec<String> {
    let one = format!("{prefix}{}b", of_size(text, length - prefix.len() - 1));
    vec![one; SIZE / (length + 3)]
}

fn document(statements: serde_json::Value) -> Document {
    let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    assert!((SIZE / 2..SIZE * 2).contains(&text.len()), "{} bytes", text.len());
    parse(&text, Kind::Identity).unwrap()
}

/// Documents whose every statement must be looked at, and whose every pattern nearly matches `a…a`.
fn documents() -> Vec<(&'static str, Document)> {
    let texts = ["a", "*", "?", "*a", "*?", "a*a?", "**a", "?*"];
    let mut out = Vec::new();
    for length in [64, 3 * 1024] {
        for text in texts {
            let resources = patterns("arn:aws:s3:::*", text, length);
            let statement = json!({ "Effect": "Allow", "Action": "*", "Resource": resources });
            out.push(("resources", document(statement)));
            let resources = patterns("arn:aws:s3:a", text, length);
            let within: Vec<String> = resources.iter().map(|text| format!("{text}:x:*")).collect();
            let statement = json!({ "Effect": "Allow", "Action": "*", "Resource": within });
            out.push(("resources with wildcards inside a part", document(statement)));
            let actions = patterns("s3:*", text, length);
            let statement = json!({ "Effect": "Allow", "Action": actions, "Resource": "*" });
            out.push(("actions", document(statement)));
            let values = patterns("*", text, length);
            let condition = json!({ "StringLike": { "x:y": values } });
            let statement = json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition });
            out.push(("conditions", document(statement)));
        }
        let variables = patterns("arn:aws:s3:::*", "*${x:y}", length);
        let statement = json!({ "Effect": "Allow", "Action": "*", "Resource": variables });
        out.push(("variables", document(statement)));
        let open = patterns("arn:aws:s3:::*", "${", length);
        let statement = json!({ "Effect": "Allow", "Action": "*", "Resource": open });
        out.push(("variables without an end", document(statement)));
    }
    let many: Vec<_> = (0..SIZE / 100)
        .map(|number| {
            json!({ "Sid": format!("S{number}"), "Effect": "Deny", "Action": "s3:*b",
            "Resource": "arn:aws:s3:::*b" })
        })
        .collect();
    out.push(("statements", document(json!(many))));
    out
}

#[test]
fn a_decision_costs_at_most_the_product_of_policy_and_request() {
    let who = Principal::User { arn: "arn:aws:iam::123456789012:user/ann".into() };
    let asked = "a".repeat(ASKED);
    let mut context = Context::default();
    context.set("x:y", asked.as_str());
    let resource = format!("arn:aws:s3:{asked}::{asked}");
    let action = format!("s3:{asked}");
    let request = Request {
        principal: &who,
        action: &action,
        resource: &resource,
        resource_account: "123456789012".parse().unwrap(),
        context: &context,
    };
    // Every byte of the policy against every character asked for.
    let bound = (SIZE * resource.len()) as u64;
    let mut most = ("", 0);
    for (what, document) in documents() {
        let policies = PolicySet { identity: vec![&document], ..PolicySet::default() };
        steps::take();
        let fast = decide(&request, &policies);
        let of_fast = steps::take();
        // The fast form keeps rows: the second decision is no dearer than the first.
        assert_eq!(decide(&request, &policies), fast, "{what}");
        assert!(steps::take() <= of_fast, "{what}");
        assert!(of_fast <= bound, "{what}: {of_fast} steps");
        let why = explain(&request, &policies);
        assert_eq!(why.decision, fast, "{what}");
        let of_explanation = steps::take();
        assert!(of_explanation <= 2 * bound, "{what}: {of_explanation} steps");
        if of_fast > most.1 {
            most = (what, of_fast);
        }
    }
    assert!(most.1 > bound / 10, "nothing here is hostile: {most:?}");
}

#[test]
fn the_interpreter_is_bounded_too() {
    let who = Principal::User { arn: "arn:aws:iam::123456789012:user/ann".into() };
    let mut context = Context::default();
    context.set("x:y", "a".repeat(100));
    let resource = format!("arn:aws:s3:::{}", "a".repeat(100));
    let request = Request {
        principal: &who,
        action: "s3:aaaaaaaaaaaaaaaaaaaaaaaaa",
        resource: &resource,
        resource_account: "123456789012".parse().unwrap(),
        context: &context,
    };
    for (what, document) in documents() {
        let policies = PolicySet { identity: vec![&document], ..PolicySet::default() };
        steps::take();
        let slow = evaluate::decide(&request, &policies);
        let taken = steps::take();
        // A variable's value may be as long as the text, wherever the variable stands.
        let bound = (SIZE * 100 * resource.len()) as u64;
        assert!(taken <= bound, "{what}: {taken} steps");
        assert_eq!(decide(&request, &policies), slow, "{what}");
    }
}

#[test]
fn nesting_is_refused_before_it_is_deep() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = [open.repeat(100_000), "1".to_owned(), close.repeat(100_000)].concat();
        assert!(parse(&deep, Kind::Resource).is_err());
        let inside = format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": {deep}}}]}}"#
        );
        assert!(parse(&inside, Kind::Identity).is_err());
    }
}
