//! A document seen as a policy: statements, their elements, and what the reference says of them.
//! What is not of the grammar is left out here; the grammar's own checks speak of it.

use super::PolicyKind;
use super::facts::{Family, KeyType, condition_key};
use super::formats::{self, Format};
use super::tree::{Entry, Node, Value};
use crate::document::{Comparison, Effect, Operator};
use crate::glob;
use crate::reference::ConditionKey;
use std::cell::Cell;
use std::ops::Range;

/// How many steps of comparing patterns one lint may take: a policy of AWS's greatest size stays far
/// below, and a document that was made to take long is looked at in part.
const EFFORT: u64 = 10_000_000;

/// How many conditions of a statement are looked at.
const CONDITIONS: usize = 5_000;

/// A document to be checked.
pub(super) struct Policy<'a> {
    pub text: &'a str,
    pub root: &'a Node,
    pub kind: PolicyKind,
    pub resource: Option<ResourceKind>,
    pub statements: Vec<Statement<'a>>,
    /// The resources that begin as ARNs do, however many parts they have.
    pub arns: Vec<ResourceArn<'a>>,
    effort: Cell<u64>,
}

/// The resources that `ValidatePolicy` knows by their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResourceKind {
    Bucket,
    AccessPoint,
    MultiRegionAccessPoint,
    ObjectLambdaAccessPoint,
    Table,
}

impl ResourceKind {
    /// Reads a `validatePolicyResourceType`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "AWS::S3::Bucket" => Self::Bucket,
            "AWS::S3::AccessPoint" => Self::AccessPoint,
            "AWS::S3::MultiRegionAccessPoint" => Self::MultiRegionAccessPoint,
            "AWS::S3ObjectLambda::AccessPoint" => Self::ObjectLambdaAccessPoint,
            "AWS::DynamoDB::Table" => Self::Table,
            _ => return None,
        })
    }

    /// What messages call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bucket => "S3 Bucket",
            Self::AccessPoint => "S3 Access Point",
            Self::MultiRegionAccessPoint => "S3 Multi-Region Access Point",
            Self::ObjectLambdaAccessPoint => "S3 Object Lambda Access Point",
            Self::Table => "DynamoDB Table",
        }
    }
}

/// One statement that is an object.
pub(super) struct Statement<'a> {
    pub node: &'a Node,
    /// `None` where the document has none that is valid.
    pub effect: Option<Effect>,
    pub action: Option<Element<'a>>,
    pub resource: Option<Element<'a>>,
    /// `Principal` or `NotPrincipal`, whatever it holds.
    pub principal: Option<&'a Entry>,
    pub principals: Vec<PrincipalValue<'a>>,
    pub conditions: Vec<Condition<'a>>,
}

/// `Action` or `Resource`, or the `Not` form.
pub(super) struct Element<'a> {
    pub entry: &'a Entry,
    pub negated: bool,
    pub texts: Vec<Text<'a>>,
}

/// A string of the document.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub node: &'a Node,
    pub text: &'a str,
}

/// A resource ARN.
pub(super) struct ResourceArn<'a> {
    pub text: Text<'a>,
    /// Six, where it is whole.
    pub parts: Vec<&'a str>,
    /// The formats of its service that it may be of; `None` where that is not known.
    pub formats: Option<Vec<&'static Format>>,
}

/// A value under a key of `Principal`.
#[derive(Clone, Copy)]
pub(super) struct PrincipalValue<'a> {
    pub entry: &'a Entry,
    pub node: &'a Node,
    pub text: &'a str,
}

impl PrincipalValue<'_> {
    /// Whether it stands under this key: `AWS`, `Service`, `Federated`, `CanonicalUser`.
    pub fn is(&self, key: &str) -> bool {
        self.entry.key == key
    }
}

/// One key under one operator.
pub(super) struct Condition<'a> {
    /// The entry of the operator.
    pub block: &'a Entry,
    /// `None` where there is no such operator.
    pub operator: Option<Operator>,
    /// The entry of the key.
    pub entry: &'a Entry,
    pub key: &'a str,
    /// What the reference has under that key.
    pub known: Option<ConditionKey>,
    pub values: Vec<&'a Node>,
}

impl<'a> Policy<'a> {
    pub fn new(
        text: &'a str,
        root: &'a Node,
        kind: PolicyKind,
        resource_type: Option<&str>,
    ) -> Self {
        let statements = root.entries().iter().filter(|entry| entry.key == "Statement");
        let statements = statements.flat_map(|entry| entry.node.items());
        let is_map = |node: &&Node| matches!(node.value, Value::Map(_));
        let mut policy = Self {
            text,
            root,
            kind,
            resource: resource_type.and_then(ResourceKind::parse),
            statements: statements.filter(is_map).map(Statement::new).collect(),
            arns: Vec::new(),
            effort: Cell::new(EFFORT),
        };
        policy.arns = policy.read_arns();
        policy
    }

    /// The entry of a top-level element.
    pub fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.root.entries().iter().find(|entry| entry.key == key)
    }

    /// Every key under every operator, with its statement.
    pub fn conditions(&self) -> impl Iterator<Item = (&Statement<'a>, &Condition<'a>)> {
        self.statements.iter().flat_map(|s| s.conditions.iter().map(move |c| (s, c)))
    }

    /// Every entry of `Action` and `NotAction`.
    pub fn actions(&self) -> impl Iterator<Item = Text<'a>> {
        self.statements.iter().flat_map(|s| s.action.iter()).flat_map(|e| e.texts.iter().copied())
    }

    /// Every entry of `Resource` and `NotResource`.
    pub fn resources(&self) -> impl Iterator<Item = Text<'a>> {
        self.statements.iter().flat_map(|s| s.resource.iter()).flat_map(|e| e.texts.iter().copied())
    }

    fn read_arns(&self) -> Vec<ResourceArn<'a>> {
        let all = self.resources().map(|text| (text, split_arn(text.text)));
        all.filter(|(_, parts)| parts.len() > 1 && parts.first() == Some(&"arn"))
            .map(|(text, parts)| {
                let formats = formats::fitting(self, &parts);
                ResourceArn { text, parts, formats }
            })
            .collect()
    }

    /// Takes steps of the effort that the lint has; false where it is spent.
    pub fn spend(&self, steps: usize) -> bool {
        let left = self.effort.get().saturating_sub(steps as u64);
        self.effort.set(left);
        left > 0
    }
}

impl<'a> Statement<'a> {
    fn new(node: &'a Node) -> Self {
        let find = |key: &str| node.entries().iter().find(|entry| entry.key == key);
        let element = |key: &str, not: &str| {
            let (entry, negated) = match find(key) {
                Some(entry) => (entry, false),
                None => (find(not)?, true),
            };
            let texts = entry.node.items().iter();
            let texts = texts.filter_map(|node| Some(Text { node, text: node.text()? })).collect();
            Some(Element { entry, negated, texts })
        };
        let principal = find("Principal").or_else(|| find("NotPrincipal"));
        let entries = principal.map_or(&[][..], |entry| entry.node.entries());
        let principals = entries.iter().flat_map(|entry| {
            let values = entry.node.items().iter();
            values.filter_map(move |node| Some(PrincipalValue { entry, node, text: node.text()? }))
        });
        let blocks = find("Condition").map_or(&[][..], |entry| entry.node.entries());
        let conditions = blocks.iter().flat_map(|block| {
            let operator = Operator::parse(&block.key);
            block.node.entries().iter().map(move |entry| Condition {
                block,
                operator,
                entry,
                key: &entry.key,
                known: condition_key(&entry.key),
                values: entry.node.items().iter().collect(),
            })
        });
        Self {
            node,
            effect: match find("Effect").and_then(|entry| entry.node.text()) {
                Some("Allow") => Some(Effect::Allow),
                Some("Deny") => Some(Effect::Deny),
                _ => None,
            },
            action: element("Action", "NotAction"),
            resource: element("Resource", "NotResource"),
            principal,
            principals: principals.collect(),
            conditions: conditions.take(CONDITIONS).collect(),
        }
    }

    pub fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.node.entries().iter().find(|entry| entry.key == key)
    }

    pub fn allows(&self) -> bool {
        self.effect == Some(Effect::Allow)
    }

    pub fn denies(&self) -> bool {
        self.effect == Some(Effect::Deny)
    }

    /// The entries of `Action`; none for `NotAction`.
    pub fn actions(&self) -> &[Text<'a>] {
        self.action.as_ref().filter(|e| !e.negated).map_or(&[], |e| &e.texts)
    }

    /// Whether an entry of `Action` matches an action.
    pub fn names_action(&self, action: &str) -> bool {
        self.actions().iter().any(|text| glob::action(text.text, action))
    }

    /// Whether any condition is on one of these keys.
    pub fn has_key(&self, keys: &[&str]) -> bool {
        self.conditions.iter().any(|c| super::facts::any_of(keys, c.key))
    }
}

impl<'a> Condition<'a> {
    pub fn comparison(&self) -> Option<Comparison> {
        self.operator.map(|operator| operator.comparison)
    }

    pub fn family(&self) -> Option<Family> {
        self.comparison().map(Family::of)
    }

    pub fn is(&self, key: &str) -> bool {
        self.key.eq_ignore_ascii_case(key)
    }

    /// What its key holds, where that is known.
    pub fn key_type(&self) -> Option<KeyType> {
        KeyType::of(self.known.as_ref()?)
    }

    /// Its values as text, with their places.
    pub fn texts(&self) -> impl Iterator<Item = Text<'a>> {
        self.values.iter().filter_map(|node| Some(Text { node, text: node.scalar()? }))
    }

    /// Whether `*` and `?` are wildcards in its values.
    pub fn has_wildcards(&self) -> bool {
        use Comparison as C;
        matches!(
            self.comparison(),
            Some(
                C::StringLike
                    | C::StringNotLike
                    | C::ArnEquals
                    | C::ArnLike
                    | C::ArnNotEquals
                    | C::ArnNotLike
            )
        )
    }
}

/// A policy variable.
pub(super) struct Variable<'a> {
    /// Where it stands, `${` and `}` with it.
    pub at: Range<usize>,
    /// What stands between them.
    pub inner: &'a str,
}

impl Variable<'_> {
    /// The key that it names.
    pub fn key(&self) -> &str {
        self.inner.split_once(',').map_or(self.inner, |(key, _)| key).trim()
    }
}

/// The variables of a text.
pub(super) fn variables(text: &str) -> Vec<Variable<'_>> {
    let mut out = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("${").map(|at| from + at) {
        let Some(end) = text[start..].find('}').map(|at| start + at) else { break };
        out.push(Variable { at: start..end + 1, inner: &text[start + 2..end] });
        from = end + 1;
    }
    out
}

/// Where a variable begins that does not end.
pub(super) fn open_variable(text: &str) -> Option<usize> {
    let from = variables(text).last().map_or(0, |variable| variable.at.end);
    text[from..].find("${").map(|at| from + at)
}

/// Cuts an ARN at its first five colons, but not inside variables, whose names hold colons too.
pub(super) fn split_arn(text: &str) -> Vec<&str> {
    let mut inside = variables(text).into_iter().map(|variable| variable.at).peekable();
    let mut parts = Vec::with_capacity(6);
    let mut from = 0;
    for (at, _) in text.match_indices(':') {
        if parts.len() == 5 {
            break;
        }
        while inside.next_if(|variable| variable.end <= at).is_some() {}
        if inside.peek().is_none_or(|variable| at < variable.start) {
            parts.push(&text[from..at]);
            from = at + 1;
        }
    }
    parts.push(&text[from..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arns_are_cut_as_evaluation_cuts_them(text in "[a:${}]{0,20}") {
            prop_assert_eq!(split_arn(&text), crate::variable::split_arn(&text));
        }
    }
}
