//! Documents made to take long: as large as may be, of what the analysis is slowest at.

use super::budget::{Budget, WORK};
use super::principal::Caller;
use super::question::Question;
use super::{Answer, Side};
use crate::document::{Document, Version};
use crate::parse::{Kind, parse};
use serde_json::{Value, json};
use std::time::Instant;

/// Far above what AWS takes of any policy. Where the compiler does not optimise, an eighth is enough.
const LARGEST: usize = if cfg!(debug_assertions) { 16 * 1024 } else { 128 * 1024 };
const UNITS: usize = if cfg!(debug_assertions) { WORK / 64 } else { WORK };

/// As many statements as fit.
fn full(kind: Kind, statement: impl Fn(usize) -> Value) -> Document {
    let (mut statements, mut size) = (Vec::new(), 100);
    loop {
        let one = statement(statements.len());
        size += one.to_string().len() + 1;
        if size > LARGEST {
            break;
        }
        statements.push(one);
    }
    let text = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    parse(&text, kind).unwrap_or_else(|error| panic!("{error}"))
}

/// As many texts as fit.
fn texts(text: impl Fn(usize) -> String) -> Vec<String> {
    let mut size = 400;
    let fits = |text: &String| {
        size += text.len() + 3;
        size <= LARGEST
    };
    (0..).map(text).take_while(fits).collect()
}

fn hostile() -> Vec<(&'static str, Kind, Document)> {
    let identity = |name, statement: &dyn Fn(usize) -> Value| {
        (name, Kind::Identity, full(Kind::Identity, statement))
    };
    let one = |kind, statement: Value| {
        let text = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
        parse(&text, kind).unwrap_or_else(|error| panic!("{error}"))
    };
    let when = |condition: Value| json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition });
    let about =
        |name, condition: Value| (name, Kind::Identity, one(Kind::Identity, when(condition)));
    let resources = |name, list: Vec<String>| {
        let statement = json!({ "Effect": "Allow", "Action": "*", "Resource": list });
        (name, Kind::Identity, one(Kind::Identity, statement))
    };
    let letter = |n: usize, k: usize| char::from(b'a' + u8::try_from((n >> k) % 26).unwrap());
    let users = texts(|n| match n % 2 {
        0 => format!("arn:aws:iam::111111111111:user/u{n}"),
        _ => format!("arn:aws:sts::111111111111:federated-user/f{n}"),
    });
    let principals = |list: Vec<String>| {
        one(
            Kind::Trust,
            json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "AWS": list } }),
        )
    };
    vec![
        identity("actions", &|n| {
            let action = format!("s3:*{}*{}*{n}", letter(n, 0), letter(n, 3));
            json!({ "Effect": "Allow", "Action": action, "Resource": "*" })
        }),
        resources("globs", texts(|n| format!("arn:aws:s3:::*{n}*"))),
        resources("within parts", texts(|n| format!("arn:aws:s*{n}x:a*{n}*b:*:*{n}*:*"))),
        resources("variables", texts(|n| format!("arn:aws:s3:::${{a:{n}}}*"))),
        resources("one variable", texts(|n| format!("arn:aws:s3:::*{n}${{a:b}}*"))),
        identity("variables each", &|n| {
            let resource = format!("arn:aws:s3:::*{}${{a:b}}*", letter(n, 0));
            json!({ "Effect": "Allow", "Action": "*", "NotResource": resource,
                "Condition": { "StringLike": { format!("k:{n}"): format!("${{a:{n}}}*") } } })
        }),
        identity("keys", &|n| when(json!({ "StringLike": { format!("k:{n}"): "a*" } }))),
        identity("denials of keys", &|n| {
            json!({ "Effect": if n == 0 { "Allow" } else { "Deny" }, "Action": "*", "Resource": "*",
                "Condition": { "StringLike": { format!("k:{}", n % 60): "a*",
                    format!("l:{}", n % 59): "b*", format!("m:{}", n % 61): "*c" } } })
        }),
        about("numbers", json!({ "NumericEquals": { "a:b": texts(|n| n.to_string()) } })),
        about("texts", json!({ "StringLike": { "a:b": texts(|n| format!("*{n}*")) } })),
        about("literals", json!({ "StringEquals": { "a:b": texts(|n| format!("{n:07}")) } })),
        about(
            "blocks",
            json!({ "NotIpAddress": { "aws:SourceIp":
            texts(|n| format!("{}.{}.{}.0/24", n % 251, n % 241, n % 239)) } }),
        ),
        identity("sets", &|n| {
            when(json!({ "ForAllValues:StringEquals": { "aws:TagKeys": [n.to_string(), "a"] } }))
        }),
        ("users", Kind::Trust, principals(users)),
        ("accounts", Kind::Trust, principals(texts(|n| format!("{n:012}")))),
    ]
}

/// A document that allows one thing.
fn one(kind: Kind) -> Document {
    let statement = match kind {
        Kind::Trust => json!({ "Effect": "Allow", "Action": "sts:TagSession",
            "Principal": { "Service": "a.amazonaws.com" } }),
        _ => json!({ "Effect": "Allow", "Action": "a:b", "Resource": "arn:aws:a:::b" }),
    };
    let text = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
    parse(&text, kind).unwrap()
}

/// What is counted is what takes time: `cargo test --release -p ringfence-policy --lib hostile --
/// --nocapture` shows that.
#[test]
fn hostile_documents_are_answered_within_the_budget() {
    for (name, kind, document) in hostile() {
        let mut same = document.clone();
        same.statements.insert(0, document.statements[0].clone());
        let one = one(kind);
        let ask = |existing: &Document, new: &Document| {
            let question = Question {
                kind,
                allows: new,
                unless: Some(existing),
                within: Document::new(Version::V2008, None, Vec::new()),
                accounts: &[],
                who: &|_: &Caller| true,
                sides: [Side::New, Side::Existing],
            };
            let (started, budget) = (Instant::now(), Budget::new(UNITS));
            let answer = question.answer_within(&budget);
            let spent = UNITS - budget.left();
            let word = match &answer {
                Answer::Proved => "proved",
                Answer::Counterexample(_) => "found",
                Answer::Undecided(undecided) => &undecided.why,
            };
            println!("{name}: {:.2?}, {spent} units, {word}", started.elapsed());
            // Whoever has nothing left has no proof.
            assert!(!(answer.is_proved() && budget.left() == 0), "{name}");
            answer
        };
        assert!(ask(&same, &document).witness().is_none(), "{name}");
        assert!(ask(&document, &same).witness().is_none(), "{name}");
        assert!(!ask(&one, &document).is_proved(), "{name}");
        assert!(!ask(&document, &one).is_proved(), "{name}");
    }
}
