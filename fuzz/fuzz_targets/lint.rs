//! The lint of policies.
//!
//! A first line `identity`, `scp`, `rcp`, `trust`, `resource` or `resource TYPE` says what the rest is;
//! any other text is an identity policy whole. No text makes the lint panic or take long; every finding
//! is of a code that is listed, and its places lie in the text; a second run finds the same; what is
//! found can be written as JSON and as SARIF.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_policy::lint::report::{self, Linted};
use ringfence_policy::lint::{PathElement, PolicyKind, Position, implemented, lint};
use std::collections::HashSet;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Far more than a lint needs, sanitizer included.
const LONGEST: Duration = Duration::from_secs(20);

static CODES: LazyLock<HashSet<&str>> = LazyLock::new(|| implemented().map(|c| c.code).collect());

fn kind(line: &str) -> Option<(PolicyKind, Option<&str>)> {
    let (word, resource_type) = line.split_once(' ').map_or((line, None), |(w, t)| (w, Some(t)));
    let kind = match word {
        "identity" => PolicyKind::Identity,
        "resource" => PolicyKind::Resource,
        "scp" => PolicyKind::ServiceControl,
        "rcp" => PolicyKind::ResourceControl,
        "trust" => PolicyKind::Trust,
        _ => return None,
    };
    Some((kind, resource_type))
}

fuzz_target!(|text: &str| {
    let headed = text.split_once('\n').and_then(|(line, rest)| Some((kind(line)?, rest)));
    let ((kind, resource_type), document) = headed.unwrap_or(((PolicyKind::Identity, None), text));
    // The reference is read at its first use, and that is not the document's fault.
    LazyLock::force(&CODES);
    let started = Instant::now();
    let findings = lint(document, kind, resource_type);
    assert!(started.elapsed() < LONGEST, "it took too long");
    assert_eq!(findings, lint(document, kind, resource_type));

    let characters = document.chars().count();
    let lines = document.split('\n').count();
    for finding in &findings {
        assert!(CODES.contains(finding.code), "{finding:?}");
        assert!(!finding.message.is_empty() && !finding.locations.is_empty(), "{finding:?}");
        for place in &finding.locations {
            let (start, end) = (place.span.start, place.span.end);
            assert!(start.offset <= end.offset && end.offset <= characters, "{finding:?}");
            for Position { line, column, offset } in [start, end] {
                assert!((1..=lines).contains(&line) && column <= offset, "{finding:?}");
            }
            let inner = place.path.iter().rev().skip(1);
            for element in inner {
                assert!(
                    matches!(element, PathElement::Value(_) | PathElement::Index(_)),
                    "{finding:?}"
                );
            }
        }
    }
    let documents = [Linted { name: "a.json", findings }];
    assert!(report::json(&documents)[0]["findings"].is_array());
    // Its list of rules takes far longer than a lint: some inputs are enough.
    if characters.is_multiple_of(32) {
        assert!(report::sarif(&documents, "0")["runs"][0]["results"].is_array());
    }
});
