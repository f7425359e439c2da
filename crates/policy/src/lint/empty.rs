//! Elements that hold nothing.

use super::Class::Suggestion;
use super::tree::{Entry, Node};
use super::view::{Condition, Policy};
use super::{ALL, Check, Sink, WITH_PRINCIPALS, WITH_RESOURCES};
use crate::document::{Operator, SetPrefix};

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Suggestion,
        "EMPTY_ARRAY_ACTION",
        ALL,
        "Action or NotAction is an empty array.",
        empty_array_action,
    ),
    Check::new(
        Suggestion,
        "EMPTY_ARRAY_RESOURCE",
        WITH_RESOURCES,
        "Resource or NotResource is an empty array.",
        empty_array_resource,
    ),
    Check::new(
        Suggestion,
        "EMPTY_ARRAY_PRINCIPAL",
        WITH_PRINCIPALS,
        "Principal or NotPrincipal, or a key in it, is an empty array.",
        empty_array_principal,
    ),
    Check::new(
        Suggestion,
        "EMPTY_OBJECT_PRINCIPAL",
        WITH_PRINCIPALS,
        "Principal or NotPrincipal is an empty object.",
        empty_object_principal,
    ),
    Check::new(
        Suggestion,
        "EMPTY_OBJECT_CONDITION",
        ALL,
        "Condition, or an operator in it, is an empty object.",
        empty_object_condition,
    ),
    Check::new(
        Suggestion,
        "EMPTY_ARRAY_CONDITION",
        ALL,
        "A condition key without set prefix and IfExists has an empty array of values.",
        empty_array_condition,
    ),
    Check::new(
        Suggestion,
        "EMPTY_ARRAY_CONDITION_FORALLVALUES",
        ALL,
        "A condition key under ForAllValues has an empty array of values.",
        empty_array_condition_forallvalues,
    ),
    Check::new(
        Suggestion,
        "EMPTY_ARRAY_CONDITION_FORANYVALUE",
        ALL,
        "A condition key under ForAnyValue has an empty array of values.",
        empty_array_condition_foranyvalue,
    ),
    Check::new(
        Suggestion,
        "EMPTY_ARRAY_CONDITION_IFEXISTS",
        ALL,
        "A condition key with IfExists and no set prefix has an empty array of values.",
        empty_array_condition_ifexists,
    ),
];

fn entries<'a>(
    policy: &'a Policy<'_>,
    names: &'static [&'static str],
) -> impl Iterator<Item = &'a Entry> {
    policy.statements.iter().flat_map(|s| names.iter().filter_map(|name| s.entry(name)))
}

fn empty_array_action(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for entry in entries(policy, &["Action", "NotAction"]).filter(|e| e.node.is_empty_list()) {
        sink.add(
            &entry.node,
            "This statement includes no actions and does not affect the policy. Specify actions.",
        );
    }
}

fn empty_array_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for entry in entries(policy, &["Resource", "NotResource"]).filter(|e| e.node.is_empty_list()) {
        sink.add(
            &entry.node,
            "This statement includes no resources and does not affect the policy. Specify \
             resources.",
        );
    }
}

const NO_PRINCIPALS: &str =
    "This statement includes no principals and does not affect the policy. Specify principals.";

fn empty_array_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for entry in entries(policy, &["Principal", "NotPrincipal"]) {
        let inner = entry.node.entries().iter().map(|entry| &entry.node);
        let empty = std::iter::once(&entry.node).chain(inner).filter(|node| node.is_empty_list());
        empty.for_each(|node| sink.add(node, NO_PRINCIPALS));
    }
}

fn empty_object_principal(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for entry in entries(policy, &["Principal", "NotPrincipal"]).filter(|e| e.node.is_empty_map()) {
        sink.add(&entry.node, NO_PRINCIPALS);
    }
}

fn empty_object_condition(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for entry in entries(policy, &["Condition"]) {
        let inner = entry.node.entries().iter().map(|entry| &entry.node);
        let nodes = std::iter::once(&entry.node).chain(inner);
        for node in nodes.filter(|node| node.is_empty_map()) {
            sink.add(
                node,
                "This condition block is empty and it does not affect the policy. Specify \
                 conditions.",
            );
        }
    }
}

/// Condition keys without values whose operator is of a kind.
fn valueless<'a>(
    policy: &'a Policy<'_>,
    is: impl Fn(Operator) -> bool + 'a,
) -> impl Iterator<Item = (&'a Node, &'a str)> {
    let empty = |c: &&Condition<'_>| c.entry.node.is_empty_list();
    let found = policy.conditions().map(|(_, c)| c).filter(empty);
    let found = found.filter(move |c| c.operator.is_some_and(&is));
    found.map(|c| (&c.entry.node, c.key))
}

fn empty_array_condition(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (node, key) in valueless(policy, |o| o.set.is_none() && !o.if_exists) {
        sink.add(
            node,
            format_args!(
                "There are no values for the condition key {key} and it does not affect the \
                 policy. Specify conditions."
            ),
        );
    }
}

fn empty_array_condition_forallvalues(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (node, key) in valueless(policy, |o| o.set == Some(SetPrefix::ForAllValues)) {
        sink.add(
            node,
            format_args!(
                "The ForAllValues prefix with an empty condition key matches only if the key {key} \
                 is missing from the request context. To determine if the request context is empty, \
                 we recommend that you use the Null condition operator with the value of true \
                 instead."
            ),
        );
    }
}

fn empty_array_condition_foranyvalue(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (node, key) in valueless(policy, |o| o.set == Some(SetPrefix::ForAnyValue)) {
        sink.add(
            node,
            format_args!(
                "The ForAnyValue prefix with an empty condition key {key} never matches the request \
                 context and it does not affect the policy. Specify conditions."
            ),
        );
    }
}

fn empty_array_condition_ifexists(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (node, key) in valueless(policy, |o| o.set.is_none() && o.if_exists) {
        sink.add(
            node,
            format_args!(
                "The IfExists suffix with an empty condition key matches only if the key {key} is \
                 missing from the request context. To determine if the request context is empty, we \
                 recommend that you use the Null condition operator with the value of true instead."
            ),
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case("EMPTY_ARRAY_ACTION", "identity", r#""NotAction": []"#, "[]")
            .but(r#""Action": ["s3:*"]"#),
        case("EMPTY_ARRAY_RESOURCE", "identity", r#""Resource": []"#, "[]")
            .but(r#""Resource": ["*"]"#),
        case("EMPTY_ARRAY_PRINCIPAL", "resource", r#""Principal": {"AWS": []}"#, "[]")
            .but(r#""Principal": {"AWS": ["123456789012"]}"#),
        case("EMPTY_OBJECT_PRINCIPAL", "resource", r#""Principal": {}"#, "{}")
            .but(r#""Principal": {"AWS": []}"#),
        case("EMPTY_OBJECT_CONDITION", "identity", r#""Condition": {"Bool": {}}"#, "{}")
            .but(r#""Condition": {"Bool": {"aws:SecureTransport": []}}"#),
        case(
            "EMPTY_ARRAY_CONDITION",
            "identity",
            r#""Condition": {"StringEquals": {"aws:username": []}}"#,
            "[]",
        )
        .says(
            "There are no values for the condition key aws:username and it does not affect the \
             policy. Specify conditions.",
        )
        .but(r#""Condition": {"StringEqualsIfExists": {"aws:username": []}}"#),
        case(
            "EMPTY_ARRAY_CONDITION_FORALLVALUES",
            "identity",
            r#""Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": []}}"#,
            "[]",
        )
        .but(r#""Condition": {"ForAnyValue:StringEquals": {"aws:TagKeys": []}}"#),
        case(
            "EMPTY_ARRAY_CONDITION_FORANYVALUE",
            "identity",
            r#""Condition": {"ForAnyValue:StringEquals": {"aws:TagKeys": []}}"#,
            "[]",
        )
        .but(r#""Condition": {"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}"#),
        case(
            "EMPTY_ARRAY_CONDITION_IFEXISTS",
            "identity",
            r#""Condition": {"StringEqualsIfExists": {"aws:username": []}}"#,
            "[]",
        )
        .but(r#""Condition": {"StringEquals": {"aws:username": []}}"#),
    ];
}
