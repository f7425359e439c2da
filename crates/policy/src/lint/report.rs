//! The findings of several documents, as JSON for programs and as SARIF for code scanning.

use super::{Class, Finding, Location, implemented, response};
use serde_json::{Value, json};
use std::collections::HashMap;

/// A document with its findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linted<'a> {
    /// The path of its file.
    pub name: &'a str,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// An array: of each document the answer of `ValidatePolicy`, its name with it as `file`.
pub fn json(documents: &[Linted<'_>]) -> Value {
    let one = |document: &Linted<'_>| {
        let mut answer = response(&document.findings);
        answer["file"] = document.name.into();
        answer
    };
    documents.iter().map(one).collect()
}

/// How many places of a finding are given: GitHub keeps this many, and refuses a thousand.
/// <https://docs.github.com/en/code-security/reference/code-scanning/sarif-support>
const PLACES: usize = 100;

/// A SARIF 2.1.0 log with one run of `ringfence`, in a version of it.
/// <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>
pub fn sarif(documents: &[Linted<'_>], version: &str) -> Value {
    let rules: Vec<Value> = implemented()
        .map(|check| {
            let mut properties = json!({
                "tags": ["security", "iam"],
                "problem.severity": severity(check.class),
                "precision": "high",
            });
            if check.class == Class::SecurityWarning {
                // GitHub's `medium` begins at 4.
                properties["security-severity"] = "5.0".into();
            }
            json!({
                "id": check.code,
                "shortDescription": {"text": check.rule},
                "fullDescription": {"text": check.rule},
                "help": {"text": format!("{} See {}", check.rule, check.link())},
                "helpUri": check.link(),
                "defaultConfiguration": {"level": level(check.class)},
                "properties": properties,
            })
        })
        .collect();
    let indices: HashMap<&str, usize> = implemented().map(|check| check.code).zip(0..).collect();
    let results = documents.iter().flat_map(|document| {
        let uri = uri(document.name);
        let indices = &indices;
        document.findings.iter().map(move |finding| result(finding, &uri, indices))
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "ringfence", "semanticVersion": version, "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

fn result(finding: &Finding, uri: &str, indices: &HashMap<&str, usize>) -> Value {
    let mut places = finding.locations.iter().take(PLACES).map(|place| physical(place, uri));
    let first: Vec<Value> = places.next().into_iter().collect();
    let mut out = json!({
        "ruleId": finding.code,
        "level": level(finding.class),
        "message": {"text": finding.message},
        "locations": first,
    });
    if let Some(index) = indices.get(finding.code) {
        out["ruleIndex"] = (*index).into();
    }
    let related: Vec<Value> = places
        .map(|mut place| {
            place["message"] = json!({"text": "and here"});
            place
        })
        .collect();
    if !related.is_empty() {
        out["relatedLocations"] = related.into();
    }
    out
}

/// Lines and columns count from 1 in SARIF; the end is the column behind the last.
fn physical(location: &Location, uri: &str) -> Value {
    let (start, end) = (location.span.start, location.span.end);
    json!({"physicalLocation": {
        "artifactLocation": {"uri": uri},
        "region": {
            "startLine": start.line,
            "startColumn": start.column + 1,
            "endLine": end.line,
            "endColumn": end.column + 1,
        },
    }})
}

const fn level(class: Class) -> &'static str {
    match class {
        Class::Error => "error",
        Class::SecurityWarning | Class::Warning => "warning",
        Class::Suggestion => "note",
    }
}

const fn severity(class: Class) -> &'static str {
    match class {
        Class::Error => "error",
        Class::SecurityWarning | Class::Warning => "warning",
        Class::Suggestion => "recommendation",
    }
}

/// A path as a URI reference, relative where the path is.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut out = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::{PolicyKind, lint};

    #[test]
    fn a_log_has_a_result_for_each_finding_at_its_rule_and_place() {
        let text = "{\"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Allow\",\n \
                    \"Action\": [\"é:*\", \"iam:PassRole\"], \"Resource\": \"*\"}]}";
        let findings = lint(text, PolicyKind::Identity, None);
        let log = sarif(&[Linted { name: "./a b.json", findings }], "1.2.3");
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), implemented().count());
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), 2, "{results:?}");
        for result in results {
            let index = result["ruleIndex"].as_u64().unwrap();
            assert_eq!(rules[index as usize]["id"], result["ruleId"]);
        }
        let pass_role = &results[1];
        assert_eq!(pass_role["ruleId"], "PASS_ROLE_WITH_STAR_IN_RESOURCE");
        assert_eq!(
            pass_role["locations"][0]["physicalLocation"],
            json!({
                "artifactLocation": {"uri": "a%20b.json"},
                "region": {"startLine": 2, "startColumn": 20, "endLine": 2, "endColumn": 34},
            })
        );
        assert_eq!(pass_role["relatedLocations"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn a_path_becomes_a_uri_that_says_the_same() {
        for (path, want) in [
            ("policies/a.json", "policies/a.json"),
            ("./a:b.json", "a%3Ab.json"),
            ("/tmp/é", "file:///tmp/%C3%A9"),
            ("../a", "../a"),
        ] {
            assert_eq!(uri(path), want);
        }
    }
}
