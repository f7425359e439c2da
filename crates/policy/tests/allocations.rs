//! What decisions and documents take of memory.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests, helpers included.

#[path = "../benches/decide/scene.rs"]
mod scene;

use allocation_counter::measure;
use ringfence_policy::{Kind, PolicySet, decide, parse};
use scene::{Scene, managed_policies};

#[test]
fn a_decision_allocates_nothing() {
    let scene = Scene::new();
    let policies = scene.policies();
    for request in [scene.allowed(), scene.denied()] {
        // Rows are filled at the first question.
        let first = decide(&request, &policies);
        let taken = measure(|| assert_eq!(decide(&request, &policies), first));
        assert_eq!(taken.count_total, 0, "{taken:?}");
    }
    let (documents, _) = managed_policies();
    let policies = PolicySet { identity: documents.iter().collect(), ..PolicySet::default() };
    let request = scene.request("s3:GetBucketLocation", "arn:aws:s3:::data-lake");
    decide(&request, &policies);
    let taken = measure(|| assert!(decide(&request, &policies).is_allowed()));
    assert_eq!(taken.count_total, 0, "{taken:?}");
}

#[test]
fn a_document_and_its_fast_form_take_a_multiple_of_its_text() {
    let scene = Scene::new();
    let request = scene.allowed();
    let hostile = |statement: &str, text: &str| {
        let body = vec![text; 100 * 1024 / (text.len() + 3)];
        statement.replace("THESE", &format!("\"{}\"", body.join("\",\"")))
    };
    let actions = r#"{"Effect": "Allow", "Action": [THESE], "Resource": "*"}"#;
    let resources = r#"{"Effect": "Allow", "Action": "*", "Resource": [THESE]}"#;
    let values = r#"{"Effect": "Allow", "Action": "*", "Resource": "*",
        "Condition": {"StringLike": {"aws:SourceIp": [THESE]}}}"#;
    let statement = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let statements = vec![statement; 100 * 1024 / statement.len()].join(",");
    let texts = [
        hostile(actions, "s3:*"),
        hostile(actions, &format!("s3:{}", "?*".repeat(20))),
        hostile(resources, "*"),
        hostile(resources, "arn:aws:s3:::*?*?*?*?*?*?*?*?*?*?"),
        hostile(resources, "arn:aws:s3:::${a}${b}${c}${d}${e}"),
        hostile(resources, &format!("arn:aws:s3:::{}", "a".repeat(30_000))),
        hostile(values, "?*?*?*?*?*"),
        statements,
    ];
    for text in texts {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{text}]}}"#);
        let mut kept = None;
        let taken = measure(|| {
            let document = parse(&text, Kind::Identity).expect("a policy");
            let policies = PolicySet { identity: vec![&document], ..PolicySet::default() };
            decide(&request, &policies);
            kept = Some(document);
        });
        let times = taken.bytes_max as usize / text.len();
        assert!(times < 64, "{times} times {} bytes: {:.60}", text.len(), text);
        let rows = measure(|| {
            let policies = PolicySet { identity: kept.iter().collect(), ..PolicySet::default() };
            for action in 0..1000 {
                let action = format!("s3:Action{action}");
                decide(&scene.request(&action, "*"), &policies);
            }
        });
        // However many actions are asked for, rows are kept for a few.
        let times = rows.bytes_current as usize / text.len();
        assert!(times < 10, "rows of {times} times {} bytes", text.len());
    }
}
