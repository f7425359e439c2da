//! How an answer over all requests is told: a witness, or what kept it from being found.

use ringfence_policy::analyse::{Undecided, Witness, applying};
use ringfence_policy::document::Effect;
use ringfence_policy::{Context, Document, Kind, Principal};
use serde_json::{Map, Value, json};
use std::fmt;

/// What a policy is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Type {
    /// A user, group or role: the policy names no principal
    Identity,
    /// A resource, such as a bucket, queue or key
    Resource,
    /// A role: who may assume it
    Trust,
}

impl Type {
    pub const fn kind(self) -> Kind {
        match self {
            Self::Identity => Kind::Identity,
            Self::Resource => Kind::Resource,
            Self::Trust => Kind::Trust,
        }
    }
}

/// How an answer of "it could not be found out" ends.
pub const UNDECIDED: u8 = 4;

/// A request, for people and programs.
pub struct Told<'a> {
    pub witness: &'a Witness,
    pub policy_type: Type,
}

impl Told<'_> {
    /// Who asks. Whose an identity policy is, is not in it.
    fn principal(&self) -> Option<String> {
        if self.policy_type == Type::Identity {
            return None;
        }
        Some(match &self.witness.principal {
            Principal::Root(account) => account.root_arn(),
            Principal::User { arn } | Principal::FederatedUser { arn, .. } => arn.clone(),
            Principal::AssumedRole { session_arn, .. } => session_arn.clone(),
            Principal::Federated { provider } => provider.clone(),
            Principal::Service(name) => name.clone(),
            Principal::Anonymous => "anonymous".to_owned(),
        })
    }

    pub fn json(&self) -> Value {
        let mut out = json!({ "action": self.witness.action, "resource": self.witness.resource });
        if let Some(principal) = self.principal() {
            out["principal"] = principal.into();
        }
        if let Principal::AssumedRole { role_arn, .. } = &self.witness.principal {
            out["role"] = role_arn.as_str().into();
        }
        out["context"] = context(&self.witness.context);
        out
    }
}

fn context(context: &Context) -> Value {
    let keys = context.iter().map(|(key, values)| (key.to_owned(), json!(values.as_slice())));
    Value::Object(keys.collect::<Map<_, _>>())
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(principal) = self.principal() {
            writeln!(f, "  principal  {principal}")?;
        }
        writeln!(f, "  action     {}", self.witness.action)?;
        writeln!(f, "  resource   {}", self.witness.resource)?;
        for (at, (key, values)) in self.witness.context.iter().enumerate() {
            let title = if at == 0 { "context" } else { "" };
            writeln!(f, "  {title:10} {key}={}", values.as_slice().join("|"))?;
        }
        Ok(())
    }
}

/// The statements of an effect that apply to a request.
pub fn by(document: &Document, witness: &Witness, effect: Effect) -> Vec<usize> {
    let mut out = applying(document, &witness.request());
    out.retain(|at| document.statements.get(*at).is_some_and(|s| s.effect == effect));
    out
}

/// A statement as the other commands tell it: `statement 2 (ReadLogs)`.
pub fn named(document: &Document, statement: usize) -> String {
    let sid = document.statements.get(statement).and_then(|s| s.sid.as_ref());
    sid.map_or(format!("statement {statement}"), |sid| format!("statement {statement} ({sid})"))
}

pub fn statement_json(document: &Document, statement: usize) -> Value {
    let mut out = json!({ "statement": statement });
    if let Some(sid) = document.statements.get(statement).and_then(|s| s.sid.as_ref()) {
        out["sid"] = sid.as_str().into();
    }
    out
}

pub fn undecided_json(undecided: &Undecided) -> Value {
    let mut out = json!({ "construct": undecided.construct, "why": undecided.why });
    if let Some(statement) = undecided.statement {
        out["statement"] = statement.into();
    }
    out
}
