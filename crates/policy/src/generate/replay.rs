//! What was seen, put to the policy that was made of it.
//!
//! The statements may name very many resources. A question is put to those alone that have its action
//! and its very resource, or a pattern: the evaluator decides on that part of the statement as it
//! stands in the document.

use super::Keys;
use super::resources::literal;
use crate::analyse::allows;
use crate::document::{Matching, Statement};
use crate::{AccountId, Arn, Context, Document, Kind, Principal, Request, parse, reference};
use serde_json::Value;
use std::collections::HashMap;

/// The statements of the policies, by what they name.
pub(super) struct Replay {
    /// Each with its resources taken out.
    statements: Vec<Statement>,
    /// By action and resource.
    exact: HashMap<String, HashMap<String, Vec<usize>>>,
    /// The patterns for an action.
    patterns: HashMap<String, Vec<(usize, String)>>,
}

impl Replay {
    pub fn of(documents: &[Value]) -> Self {
        let mut out =
            Self { statements: Vec::new(), exact: HashMap::new(), patterns: HashMap::new() };
        let parsed =
            documents.iter().filter_map(|text| parse(&text.to_string(), Kind::Identity).ok());
        for mut statement in parsed.flat_map(|document| document.statements) {
            let at = out.statements.len();
            let (Matching::These(actions), Some(Matching::These(resources))) =
                (statement.action.clone(), statement.resource.take())
            else {
                continue;
            };
            for action in &actions {
                for resource in &resources {
                    let bare =
                        ["${*}", "${?}"].iter().fold(resource.clone(), |t, v| t.replace(v, ""));
                    if bare.contains(['*', '?']) {
                        let all = out.patterns.entry(action.clone()).or_default();
                        all.push((at, resource.clone()));
                    } else {
                        let all = out.exact.entry(action.clone()).or_default();
                        all.entry(resource.clone()).or_default().push(at);
                    }
                }
            }
            out.statements.push(statement);
        }
        out
    }

    /// Whether the policies allow a question.
    pub fn allows(&self, action: &str, resource: &str, keys: &Keys) -> bool {
        let named = if resource == "*" { resource.to_owned() } else { literal(resource) };
        let exact = self.exact.get(action).and_then(|all| all.get(&named));
        let exact = exact.into_iter().flatten().map(|at| (*at, &named));
        let patterns = self.patterns.get(action).into_iter().flatten();
        let mut all = exact.chain(patterns.map(|(at, pattern)| (*at, pattern)));
        all.any(|(at, pattern)| {
            let Some(statement) = self.statements.get(at) else { return false };
            let resource_element = Some(Matching::These(vec![pattern.clone()]));
            let part = Statement { resource: resource_element, ..statement.clone() };
            let document = Document::new(crate::document::Version::V2012, None, vec![part]);
            is_allowed(&document, action, resource, keys)
        })
    }
}

/// Whether a document allows what was seen.
pub(super) fn is_allowed(document: &Document, action: &str, resource: &str, keys: &Keys) -> bool {
    let mut context = Context::default();
    for (key, values) in keys {
        match values.as_slice() {
            [one] if !reference::condition_key(key).is_some_and(|key| key.is_set()) => {
                context.set(key.clone(), one.as_str());
            }
            many => context.set_many(key.clone(), many.to_vec()),
        }
    }
    let Some(account) = AccountId::new(0) else { return false };
    let account = Arn::parse(resource).ok().and_then(|arn| arn.account_id()).unwrap_or(account);
    let principal = Principal::Root(account);
    let request = Request {
        principal: &principal,
        action,
        resource,
        resource_account: account,
        context: &context,
    };
    allows(document, Kind::Identity, &request)
}
