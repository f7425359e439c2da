//! What a lint answers: findings, where they are, and their JSON as `ValidatePolicy` answers it.
//! <https://docs.aws.amazon.com/access-analyzer/latest/APIReference/API_ValidatePolicyFinding.html>

pub use crate::source::{Position, Span};
use serde_json::{Value, json};

/// The page that explains every finding; a finding's anchor names its section.
const CHECKS_PAGE: &str =
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html";

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Part of the policy does not work.
    Error,
    /// The policy gives access that is likely wider than meant.
    SecurityWarning,
    /// The policy departs from good practice; nothing is less secure for it.
    Warning,
    /// The policy could be clearer; access does not change.
    Suggestion,
}

impl Class {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::SecurityWarning => "SECURITY_WARNING",
            Self::Warning => "WARNING",
            Self::Suggestion => "SUGGESTION",
        }
    }

    /// The name in the anchors of the page of checks.
    const fn anchor(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::SecurityWarning => "security-warning",
            Self::Warning => "general-warning",
            Self::Suggestion => "suggestion",
        }
    }
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub class: Class,
    /// AWS's issue code: `MISSING_VERSION`.
    pub code: &'static str,
    /// AWS's words, with what was found filled in.
    pub message: String,
    /// The places of the document that it speaks of; at least one.
    pub locations: Vec<Location>,
}

/// A place of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// From the document's root down; empty for the document itself.
    pub path: Vec<PathElement>,
    /// Where that stands in the text.
    pub span: Span,
}

/// One step from a JSON value into what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathElement {
    /// Into an array.
    Index(usize),
    /// A key of an object, the key itself being meant.
    Key(String),
    /// Part of a string, in characters.
    Substring {
        /// The first character, from 0.
        start: usize,
        /// How many.
        length: usize,
    },
    /// The value of a key of an object.
    Value(String),
}

/// The section of a check: its class, and its code with hyphens, make its anchor.
pub(super) fn link(class: Class, code: &str) -> String {
    let code = code.to_ascii_lowercase().replace('_', "-");
    format!("{CHECKS_PAGE}#access-analyzer-reference-policy-checks-{}-{code}", class.anchor())
}

impl Finding {
    /// The section of AWS's page that explains the check.
    pub fn link(&self) -> String {
        link(self.class, self.code)
    }

    /// A `ValidatePolicyFinding`.
    pub fn to_json(&self) -> Value {
        json!({
            "findingDetails": self.message,
            "findingType": self.class.name(),
            "issueCode": self.code,
            "learnMoreLink": self.link(),
            "locations": self.locations.iter().map(Location::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Location {
    fn to_json(&self) -> Value {
        let path: Vec<Value> = self.path.iter().map(PathElement::to_json).collect();
        let Span { start, end } = self.span;
        json!({"path": path, "span": {"start": start.to_json(), "end": end.to_json()}})
    }
}

impl PathElement {
    fn to_json(&self) -> Value {
        match self {
            Self::Index(index) => json!({"index": index}),
            Self::Key(key) => json!({"key": key}),
            Self::Substring { start, length } => {
                json!({"substring": {"start": start, "length": length}})
            }
            Self::Value(key) => json!({"value": key}),
        }
    }
}

impl Position {
    fn to_json(self) -> Value {
        json!({"line": self.line, "column": self.column, "offset": self.offset})
    }
}

/// The answer of `ValidatePolicy`, its findings on one page.
pub fn response(findings: &[Finding]) -> Value {
    json!({"findings": findings.iter().map(Finding::to_json).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::{PolicyKind, lint};

    #[test]
    fn a_response_has_the_members_of_the_api() {
        let text = r#"{"Version": "2012-10-17", "Statement": [
  {"Sid": "", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}"#;
        let findings = lint(text, PolicyKind::Identity, None);
        assert_eq!(
            response(&findings),
            json!({"findings": [{
                "findingDetails": "Add a value to the empty string in the Sid element.",
                "findingType": "SUGGESTION",
                "issueCode": "EMPTY_SID_VALUE",
                "learnMoreLink": "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html#access-analyzer-reference-policy-checks-suggestion-empty-sid-value",
                "locations": [{
                    "path": [{"value": "Statement"}, {"index": 0}, {"value": "Sid"}],
                    "span": {
                        "start": {"line": 2, "column": 10, "offset": 51},
                        "end": {"line": 2, "column": 12, "offset": 53},
                    },
                }],
            }]})
        );
    }
}
