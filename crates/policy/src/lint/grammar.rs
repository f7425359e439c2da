//! The grammar of policies: their elements, which of them must be there, and what they may hold.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

use super::Class::{Error, Suggestion, Warning};
use super::PolicyKind::{Identity, Resource, ResourceControl, ServiceControl, Trust};
use super::tree::{Entry, Lines, Node, Place, Value};
use super::view::{Policy, Statement};
use super::{ALL, Check, Sink, WITH_PRINCIPALS, WITH_RESOURCES};
use std::collections::{HashMap, HashSet};

/// What is not JSON is no policy: this runs before any other check.
pub(super) const JSON_SYNTAX_ERROR: &str = "JSON_SYNTAX_ERROR";

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "DATA_TYPE_MISMATCH",
        ALL,
        "An element holds another JSON type than its own.",
        data_type_mismatch,
    ),
    Check::new(
        Error,
        "INVALID_POLICY_ELEMENT",
        ALL,
        "The policy or a statement has a key that is no element.",
        invalid_policy_element,
    ),
    Check::new(
        Error,
        "INVALID_VERSION",
        ALL,
        "Version is neither 2012-10-17 nor 2008-10-17.",
        invalid_version,
    ),
    Check::new(Warning, "MISSING_VERSION", ALL, "The policy has no Version.", missing_version),
    Check::new(
        Error,
        "MISSING_STATEMENT",
        ALL,
        "The policy has no Statement, or an empty array of them.",
        missing_statement,
    ),
    Check::new(Error, "MISSING_EFFECT", ALL, "A statement has no Effect.", missing_effect),
    Check::new(
        Error,
        "INVALID_EFFECT",
        ALL,
        "Effect is other text than Allow or Deny.",
        invalid_effect,
    ),
    Check::new(
        Error,
        "MISSING_ACTION",
        ALL,
        "A statement has neither Action nor NotAction.",
        missing_action,
    ),
    Check::new(
        Error,
        "MISSING_RESOURCE",
        WITH_RESOURCES,
        "A statement, but for one of sts actions in a resource policy, has neither Resource nor NotResource.",
        missing_resource,
    ),
    Check::new(
        Error,
        "MISSING_PRINCIPAL",
        WITH_PRINCIPALS,
        "A statement has neither Principal nor NotPrincipal.",
        missing_principal,
    ),
    Check::new(
        Error,
        "UNSUPPORTED_ELEMENT_COMBINATION",
        ALL,
        "A statement has an element and its Not form.",
        unsupported_element_combination,
    ),
    Check::new(
        Error,
        "UNSUPPORTED_SID",
        &[Identity, ServiceControl, ResourceControl, Trust],
        "A Sid has another character than a-z, A-Z, 0-9.",
        unsupported_sid,
    ),
    Check::new(
        Error,
        "UNIQUE_SIDS_REQUIRED",
        &[Identity, ServiceControl, ResourceControl, Trust],
        "Two statements have the same Sid, which is not empty.",
        unique_sids_required,
    ),
    Check::new(
        Warning,
        "UNIQUE_SIDS_RECOMMENDED",
        &[Resource],
        "Two statements have the same Sid, which is not empty.",
        unique_sids_recommended,
    ),
    Check::new(Suggestion, "EMPTY_SID_VALUE", ALL, "A Sid is the empty text.", empty_sid_value),
];

/// Reports where the document stops being JSON; positions count as locations do.
pub(super) fn json_syntax(sink: &mut Sink<'_>, lines: &Lines<'_>, place: Place<'_>, byte: usize) {
    let at = lines.position(byte);
    sink.add(
        place,
        format_args!(
            "Fix the JSON syntax error at index {} line {} column {}.",
            at.offset, at.line, at.column
        ),
    );
}

/// Reports keys that an object has twice, which the grammar forbids: which of the two counts is
/// anyone's guess.
pub(super) fn duplicate_keys(policy: &Policy<'_>, sink: &mut Sink<'_>, lines: &Lines<'_>) {
    let mut todo: Vec<&Node> = vec![policy.root];
    while let Some(node) = todo.pop() {
        match &node.value {
            Value::Map(entries) => {
                let mut seen = HashSet::new();
                for entry in entries {
                    if !seen.insert(&entry.key) {
                        json_syntax(sink, lines, Place::Key(entry), entry.key_at.start);
                    }
                    todo.push(&entry.node);
                }
            }
            Value::List(items) => todo.extend(items),
            _ => {}
        }
    }
}

fn mismatch(sink: &mut Sink<'_>, node: &Node, data_type: &str) {
    sink.add(
        node,
        format_args!("The text does not match the expected JSON data type {data_type}."),
    );
}

fn expect_text(sink: &mut Sink<'_>, entry: &Entry) {
    if entry.node.text().is_none() {
        mismatch(sink, &entry.node, "String");
    }
}

/// A string, or an array of strings.
fn expect_texts(sink: &mut Sink<'_>, node: &Node) {
    match &node.value {
        Value::Text(_) => {}
        Value::List(items) => {
            for item in items.iter().filter(|item| item.text().is_none()) {
                mismatch(sink, item, "String");
            }
        }
        _ => mismatch(sink, node, "String or String Array"),
    }
}

fn data_type_mismatch(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    if !matches!(policy.root.value, Value::Map(_)) {
        mismatch(sink, policy.root, "Object");
    }
    for entry in policy.root.entries() {
        match entry.key.as_str() {
            "Version" | "Id" => expect_text(sink, entry),
            "Statement" => match &entry.node.value {
                Value::Map(_) => {}
                Value::List(items) => {
                    for item in items.iter().filter(|item| !matches!(item.value, Value::Map(_))) {
                        mismatch(sink, item, "Object");
                    }
                }
                _ => mismatch(sink, &entry.node, "Object or Object Array"),
            },
            _ => {}
        }
    }
    for entry in policy.statements.iter().flat_map(|s| s.node.entries()) {
        match entry.key.as_str() {
            "Sid" | "Effect" => expect_text(sink, entry),
            "Action" | "NotAction" | "Resource" | "NotResource" => expect_texts(sink, &entry.node),
            "Principal" | "NotPrincipal" => {
                for value in entry.node.entries() {
                    expect_texts(sink, &value.node);
                }
            }
            "Condition" => condition_types(sink, &entry.node),
            _ => {}
        }
    }
}

fn condition_types(sink: &mut Sink<'_>, condition: &Node) {
    let is_map = |node: &Node| matches!(node.value, Value::Map(_));
    if !is_map(condition) {
        mismatch(sink, condition, "Object");
    }
    for block in condition.entries() {
        if !is_map(&block.node) {
            mismatch(sink, &block.node, "Object");
        }
        for key in block.node.entries() {
            for value in key.node.items().iter().filter(|value| value.scalar().is_none()) {
                mismatch(sink, value, "String or String Array");
            }
        }
    }
}

const STATEMENT_ELEMENTS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

fn invalid_policy_element(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let top = policy.root.entries().iter().map(|e| (e, ["Version", "Id", "Statement"].as_slice()));
    let inner = policy.statements.iter().flat_map(|s| s.node.entries());
    for (entry, known) in top.chain(inner.map(|e| (e, STATEMENT_ELEMENTS))) {
        if !known.contains(&entry.key.as_str()) {
            sink.add(
                Place::Key(entry),
                format_args!("The policy element {} is not valid.", entry.key),
            );
        }
    }
}

fn invalid_version(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let Some(entry) = policy.entry("Version") else { return };
    match entry.node.text() {
        None | Some("2012-10-17" | "2008-10-17") => {}
        Some(version) => sink.add(
            &entry.node,
            format_args!(
                "The version {version} is not valid. Use one of the following versions: \
                 2012-10-17, 2008-10-17"
            ),
        ),
    }
}

fn missing_version(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    if matches!(policy.root.value, Value::Map(_)) && policy.entry("Version").is_none() {
        sink.add(
            policy.root,
            "We recommend that you specify the Version element to help you with debugging \
             permission issues.",
        );
    }
}

fn missing_statement(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    const MESSAGE: &str = "Add a statement to the policy";
    match policy.entry("Statement") {
        Some(entry) if entry.node.is_empty_list() => sink.add(&entry.node, MESSAGE),
        None if matches!(policy.root.value, Value::Map(_)) => sink.add(policy.root, MESSAGE),
        _ => {}
    }
}

/// Statements in which none of some elements stands.
fn lacking<'a>(
    policy: &'a Policy<'_>,
    elements: &'static [&'static str],
) -> impl Iterator<Item = &'a Statement<'a>> {
    let has = move |s: &Statement<'_>| elements.iter().any(|element| s.entry(element).is_some());
    policy.statements.iter().filter(move |s| !has(s))
}

fn missing_effect(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in lacking(policy, &["Effect"]) {
        sink.add(
            statement.node,
            "Add an Effect element to the policy statement with a value of Allow or Deny.",
        );
    }
}

fn invalid_effect(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for entry in policy.statements.iter().filter_map(|s| s.entry("Effect")) {
        match entry.node.text() {
            None | Some("Allow" | "Deny") => {}
            Some(effect) => sink.add(
                &entry.node,
                format_args!("The effect {effect} is not valid. Use Allow or Deny."),
            ),
        }
    }
}

fn missing_action(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in lacking(policy, &["Action", "NotAction"]) {
        sink.add(statement.node, "Add an Action or NotAction element to the policy statement.");
    }
}

fn missing_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in lacking(policy, &["Resource", "NotResource"]) {
        // A trust policy that was sent as any resource policy.
        let sts = |action: &str| action.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("sts:"));
        let actions = statement.actions();
        let trust = !actions.is_empty() && actions.iter().all(|action| sts(action.text));
        if policy.kind != Resource || !trust {
            sink.add(
                statement.node,
                "Add a Resource or NotResource element to the policy statement.",
            );
        }
    }
}

fn missing_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in lacking(policy, &["Principal", "NotPrincipal"]) {
        sink.add(statement.node, "Add a Principal element to the policy statement.");
    }
}

fn unsupported_element_combination(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in &policy.statements {
        for (element, not) in
            [("Action", "NotAction"), ("Principal", "NotPrincipal"), ("Resource", "NotResource")]
        {
            if let (Some(one), Some(other)) = (statement.entry(element), statement.entry(not)) {
                sink.add_all(
                    [Place::Key(one), Place::Key(other)],
                    format_args!(
                        "The policy elements {element} and {not} can not be used in the same \
                         statement. Remove one of these elements."
                    ),
                );
            }
        }
    }
}

/// Every Sid that is text.
fn sids<'a>(policy: &'a Policy<'_>) -> impl Iterator<Item = (&'a Node, &'a str)> {
    let entries = policy.statements.iter().filter_map(|s| s.entry("Sid"));
    entries.filter_map(|entry| Some((&entry.node, entry.node.text()?)))
}

fn unsupported_sid(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (node, _) in sids(policy).filter(|(_, sid)| !sid.bytes().all(|b| b.is_ascii_alphanumeric()))
    {
        sink.add(
            node,
            "Update the characters in the Sid element to use one of the following character \
             types: [a-z, A-Z, 0-9]",
        );
    }
}

fn repeated_sids(policy: &Policy<'_>, sink: &mut Sink<'_>, message: &str) {
    let mut groups: HashMap<&str, Vec<&Node>> = HashMap::new();
    for (node, sid) in sids(policy).filter(|(_, sid)| !sid.is_empty()) {
        groups.entry(sid).or_default().push(node);
    }
    let mut repeated: Vec<_> = groups.into_values().filter(|nodes| nodes.len() > 1).collect();
    repeated.sort_by_key(|nodes| nodes[0].at.start);
    for nodes in repeated {
        sink.add_all(nodes.into_iter().map(Place::Node), message);
    }
}

fn unique_sids_required(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    repeated_sids(
        policy,
        sink,
        "Duplicate statement IDs are not supported for this policy type. Update the Sid value.",
    );
}

fn unique_sids_recommended(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    repeated_sids(
        policy,
        sink,
        "We recommend that you use statement IDs that are unique to your policy. Update the Sid \
         value.",
    );
}

fn empty_sid_value(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (node, _) in sids(policy).filter(|(_, sid)| sid.is_empty()) {
        sink.add(node, "Add a value to the empty string in the Sid element.");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case("JSON_SYNTAX_ERROR", "identity", r#"{"Version": "2012-10-17" "#, "")
            .says("Fix the JSON syntax error at index 25 line 1 column 25.")
            .but(r#"{"Version": "2012-10-17"}"#),
        case("JSON_SYNTAX_ERROR", "identity", r#"{"Id": "1", "Id": "2"}"#, r#""Id""#)
            .says("Fix the JSON syntax error at index 12 line 1 column 12.")
            .but(r#"{"Id": "1", "id": "2"}"#),
        case("DATA_TYPE_MISMATCH", "identity", r#"{"Version": 2012}"#, "2012")
            .says("The text does not match the expected JSON data type String.")
            .but(r#"{"Version": "2012"}"#),
        case("DATA_TYPE_MISMATCH", "identity", r#""Action": ["s3:GetObject", 1]"#, "1")
            .but(r#""Action": ["s3:GetObject"]"#),
        case(
            "DATA_TYPE_MISMATCH",
            "identity",
            r#""Condition": {"Bool": {"aws:SecureTransport": null}}"#,
            "null",
        )
        .says("The text does not match the expected JSON data type String or String Array.")
        .but(r#""Condition": {"Bool": {"aws:SecureTransport": true}}"#),
        case("DATA_TYPE_MISMATCH", "identity", "[]", "[]").but("{}"),
        case("INVALID_POLICY_ELEMENT", "identity", r#""Actoin": "s3:*""#, r#""Actoin""#)
            .says("The policy element Actoin is not valid.")
            .but(r#""Sid": "a""#),
        case(
            "INVALID_VERSION",
            "identity",
            r#"{"Version": "2012-10-18"}"#,
            r#""2012-10-18""#,
        )
        .says(
            "The version 2012-10-18 is not valid. Use one of the following versions: 2012-10-17, \
             2008-10-17",
        )
        .but(r#"{"Version": "2008-10-17"}"#),
        case("MISSING_VERSION", "identity", r#"{"Id": "a"}"#, r#"{"Id": "a"}"#)
            .but(r#"{"Version": "2008-10-17"}"#),
        case("MISSING_STATEMENT", "identity", r#"{"Statement": []}"#, "[]")
            .but(r#"{"Statement": [{}]}"#),
        case("MISSING_EFFECT", "identity", r#"{"Statement": [{}]}"#, "{}")
            .but(r#"{"Statement": [{"Effect": "allow"}]}"#),
        case("INVALID_EFFECT", "identity", r#""Effect": "allow""#, r#""allow""#)
            .says("The effect allow is not valid. Use Allow or Deny.")
            .but(r#""Effect": "Deny""#),
        case("MISSING_ACTION", "identity", r#"{"Statement": {}}"#, "{}")
            .but(r#""NotAction": "s3:*""#),
        case("MISSING_RESOURCE", "identity", r#"{"Statement": {}}"#, "{}")
            .but(r#""NotResource": "*""#),
        case("MISSING_RESOURCE", "resource", r#"{"Statement": {}}"#, "{}")
            .but(r#"{"Statement": {"Action": ["sts:AssumeRole", "sts:TagSession"]}}"#),
        case("MISSING_PRINCIPAL", "resource", r#"{"Statement": {}}"#, "{}")
            .but(r#""NotPrincipal": {"AWS": "123456789012"}"#),
        case(
            "UNSUPPORTED_ELEMENT_COMBINATION",
            "identity",
            r#""Action": "s3:*", "NotAction": "s3:*""#,
            r#""Action""#,
        )
        .says(
            "The policy elements Action and NotAction can not be used in the same statement. \
             Remove one of these elements.",
        )
        .but(r#""NotAction": "s3:*""#),
        case("UNSUPPORTED_SID", "identity", r#""Sid": "a b""#, r#""a b""#).but(r#""Sid": "aB1""#),
        case(
            "UNIQUE_SIDS_REQUIRED",
            "identity",
            r#"{"Statement": [{"Sid": "a"}, {"Sid": "b"}, {"Sid": "a"}]}"#,
            r#""a""#,
        )
        .but(r#"{"Statement": [{"Sid": ""}, {"Sid": ""}, {"Sid": "a"}, {"Sid": "A"}]}"#),
        case(
            "UNIQUE_SIDS_RECOMMENDED",
            "resource",
            r#"{"Statement": [{"Sid": "a"}, {"Sid": "a"}]}"#,
            r#""a""#,
        )
        .but(r#"{"Statement": [{"Sid": "a"}, {"Sid": "b"}]}"#),
        case("EMPTY_SID_VALUE", "identity", r#""Sid": """#, r#""""#).but(r#""Sid": "a""#),
    ];
}
