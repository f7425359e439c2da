//! Why a request is allowed or denied: what each statement of each policy said of it.
//!
//! The decision is [`decide`](fn@crate::decide)'s own, and each statement is tested by the code that
//! it decides with; here every statement is looked at, and what it failed on is kept.

use crate::compile::{Failed, speaks_of};
use crate::context::Values;
use crate::decide::{Asked, Denial};
use crate::document::{Document, Effect, Operator};
use crate::evaluate::{Decision, Layer, PolicySet, Principal, Request};
use crate::grant::{self, Constraint, EncryptionContext};
use crate::source::{Source, Span};
use crate::{acl, message};
use serde::Serialize;
use smol_str::SmolStr;
use std::fmt;

/// A decision and what every policy had to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// The decision.
    pub decision: Decision,
    /// The layers that bear on the request, in the order in which they are asked.
    pub layers: Vec<LayerReport<'a>>,
    /// Grants on the KMS key, and of the S3 access control lists.
    pub grants: Vec<GrantReport<'a>>,
}

/// What the policies of one layer said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerReport<'a> {
    /// Which.
    #[serde(serialize_with = "layer_name")]
    pub layer: Layer,
    /// Of organization policies: the level from the root down, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<usize>,
    /// What they come to.
    pub says: Says,
    /// Each policy.
    pub policies: Vec<PolicyReport<'a>>,
}

/// What a grant on a KMS key, or of an S3 access control list, said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantReport<'a> {
    /// Where it is from.
    pub of: GrantSource,
    /// Its place there, from 0.
    pub grant: usize,
    /// Whether it applies, or what keeps it from applying.
    #[serde(flatten)]
    pub verdict: Verdict<'a>,
}

/// What has grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GrantSource {
    /// A KMS key.
    Key,
    /// The access control list of a bucket.
    BucketAcl,
    /// That of an object.
    ObjectAcl,
}

/// What a layer comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Says {
    /// A statement denies.
    Denies,
    /// None denies, and one allows.
    Allows,
    /// None denies, and none allows.
    Nothing,
}

/// What one policy said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReport<'a> {
    /// Its place in its layer, from 0.
    pub policy: usize,
    /// Its name, where it has been [located](Explanation::locate): a file, an ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Each statement.
    pub statements: Vec<StatementReport<'a>>,
}

/// What one statement said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementReport<'a> {
    /// Its place in its policy, from 0.
    pub statement: usize,
    /// Its `Sid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<&'a str>,
    /// `Allow` or `Deny`.
    #[serde(serialize_with = "effect_name")]
    pub effect: Effect,
    /// Whether it applies, or what keeps it from applying.
    #[serde(flatten)]
    pub verdict: Verdict<'a>,
    /// Where what the verdict speaks of stands in the policy's text, where that has been
    /// [given](Explanation::locate): the statement, or the element or condition that does not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Span>,
}

/// Whether a statement or grant applies; if not, the first of its elements that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "verdict")]
pub enum Verdict<'a> {
    /// It applies.
    Applies,
    /// It speaks of other actions.
    OtherAction,
    /// It speaks of other principals.
    OtherPrincipal,
    /// It speaks of other resources.
    OtherResource,
    /// A condition does not hold.
    ConditionFails {
        /// The operator.
        #[serde(serialize_with = "as_text")]
        operator: Operator,
        /// The key as it is written.
        key: &'a str,
        /// The policy's values.
        wanted: &'a [String],
        /// The request's values; `None` where the key is absent.
        found: Option<&'a [SmolStr]>,
        /// Its place among the statement's conditions, from 0.
        #[serde(skip)]
        place: usize,
    },
    /// A grant's constraint is not met by the encryption context.
    EncryptionContextDiffers {
        /// What the grant asks for.
        constraint: &'a Constraint,
        /// That of the request.
        found: &'a EncryptionContext,
    },
    /// A grant is for another source.
    OtherSource {
        /// The grant's.
        wanted: &'a str,
        /// The request's `aws:SourceArn`.
        found: Option<&'a [SmolStr]>,
    },
}

/// A policy's name and text, as who has them calls it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// A file, an ARN, the name of an inline policy.
    pub name: &'a str,
    /// The document's text.
    pub text: &'a str,
}

fn layer_name<S: serde::Serializer>(layer: &Layer, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(message::name(*layer))
}

fn as_text<T: fmt::Display, S: serde::Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn effect_name<S: serde::Serializer>(effect: &Effect, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(effect.name())
}

/// Decides, and says why.
pub fn explain<'a>(request: &'a Request<'a>, policies: &'a PolicySet<'a>) -> Explanation<'a> {
    let asked = Asked::new(request, policies);
    let decision = asked.decide(policies);
    let mut layers = Vec::new();
    let mut add = |layer, level, documents: &[&'a Document]| {
        layers.push(report(&asked, layer, level, documents));
    };
    for (level, documents) in asked.resource_control(policies).iter().enumerate() {
        add(Layer::ResourceControl, Some(level), documents);
    }
    for (level, documents) in asked.service_control(policies).iter().enumerate() {
        add(Layer::ServiceControl, Some(level), documents);
    }
    if let Some(document) = policies.endpoint {
        add(Layer::Endpoint, None, &[document]);
    }
    if let Some(policy) = policies.resource {
        add(policy.layer(), None, &[policy.document()]);
    }
    let by_identity =
        request.principal.account().is_some() && !matches!(request.principal, Principal::Root(_));
    if by_identity || !policies.identity.is_empty() {
        add(Layer::Identity, None, &policies.identity);
    }
    if let Some(document) = policies.boundary {
        add(Layer::Boundary, None, &[document]);
    }
    if let Some(documents) = &policies.session {
        add(Layer::Session, None, documents);
    }
    Explanation { decision, layers, grants: grants(request, policies) }
}

/// What each grant said.
fn grants<'a>(request: &'a Request<'a>, policies: &'a PolicySet<'a>) -> Vec<GrantReport<'a>> {
    let of_key = policies.grants.grants.iter().enumerate().map(|(grant, own)| {
        let verdict = match policies.grants.fits(own, request) {
            Ok(_) => Verdict::Applies,
            Err(grant::Unfit::Operation) => Verdict::OtherAction,
            Err(grant::Unfit::Grantee) => Verdict::OtherPrincipal,
            Err(grant::Unfit::EncryptionContext { constraint, found }) => {
                Verdict::EncryptionContextDiffers { constraint, found }
            }
            Err(grant::Unfit::SourceArn { wanted }) => {
                Verdict::OtherSource { wanted, found: found(request, "aws:SourceArn") }
            }
        };
        GrantReport { of: GrantSource::Key, grant, verdict }
    });
    let buckets = policies.acls.bucket.len();
    let of_lists = policies.acls.each(request).enumerate().map(|(at, (of_bucket, fits))| {
        let (of, grant) = match of_bucket {
            true => (GrantSource::BucketAcl, at),
            false => (GrantSource::ObjectAcl, at - buckets),
        };
        let verdict = match fits {
            Ok(_) => Verdict::Applies,
            Err(acl::Unfit::Action) => Verdict::OtherAction,
            Err(acl::Unfit::Grantee) => Verdict::OtherPrincipal,
        };
        GrantReport { of, grant, verdict }
    });
    of_key.chain(of_lists).collect()
}

/// The request's values of a key.
fn found<'a>(request: &'a Request<'a>, key: &str) -> Option<&'a [SmolStr]> {
    request.context.get(key).map(Values::as_slice)
}

fn report<'a>(
    asked: &Asked<'a>,
    layer: Layer,
    level: Option<usize>,
    documents: &[&'a Document],
) -> LayerReport<'a> {
    let mut says = Says::Nothing;
    let mut policies = Vec::with_capacity(documents.len());
    for (policy, document) in documents.iter().enumerate() {
        let mut statements = Vec::with_capacity(document.statements.len());
        for (statement, own) in document.statements.iter().enumerate() {
            let verdict = verdict(asked, document, statement);
            if verdict == Verdict::Applies {
                says = match (own.effect, says) {
                    (Effect::Deny, _) | (_, Says::Denies) => Says::Denies,
                    (Effect::Allow, _) => Says::Allows,
                };
            }
            let (sid, effect) = (own.sid.as_deref(), own.effect);
            statements.push(StatementReport { statement, sid, effect, verdict, place: None });
        }
        policies.push(PolicyReport { policy, name: None, statements });
    }
    LayerReport { layer, level, says, policies }
}

fn verdict<'a>(asked: &Asked<'a>, document: &'a Document, index: usize) -> Verdict<'a> {
    let Some(statement) = document.statements.get(index) else { return Verdict::OtherAction };
    if !speaks_of(statement, asked.request.action) {
        return Verdict::OtherAction;
    }
    let named = match statement.effect {
        Effect::Deny => asked.denies_whom(statement),
        Effect::Allow => asked.named(statement),
    };
    if named.is_none() {
        return Verdict::OtherPrincipal;
    }
    match asked.test(document, index) {
        Ok(()) => Verdict::Applies,
        Err(Failed::Resource) => Verdict::OtherResource,
        Err(Failed::Condition(at)) => {
            let Some(condition) = statement.conditions.get(at) else {
                return Verdict::OtherResource;
            };
            Verdict::ConditionFails {
                operator: condition.operator,
                key: &condition.key,
                wanted: &condition.values,
                found: found(asked.request, &condition.key),
                place: at,
            }
        }
    }
}

impl<'a> Explanation<'a> {
    /// Gives each policy its name, and each verdict its place in the policy's text. `of` knows the
    /// policies by layer, level (0 where the layer has none) and place in it, as
    /// [`PolicySet`] has them.
    pub fn locate(&mut self, of: impl Fn(Layer, usize, usize) -> Option<Named<'a>>) {
        for layer in &mut self.layers {
            for report in &mut layer.policies {
                let Some(named) = of(layer.layer, layer.level.unwrap_or(0), report.policy) else {
                    continue;
                };
                report.name = Some(named.name);
                let Some(source) = Source::read(named.text) else { continue };
                for own in &mut report.statements {
                    let at = own.statement;
                    own.place = match &own.verdict {
                        // Grants have no text.
                        Verdict::Applies
                        | Verdict::EncryptionContextDiffers { .. }
                        | Verdict::OtherSource { .. } => None,
                        Verdict::OtherAction => source.element(at, "Action"),
                        Verdict::OtherPrincipal => source.element(at, "Principal"),
                        Verdict::OtherResource => source.element(at, "Resource"),
                        Verdict::ConditionFails { place, .. } => source.condition(at, *place),
                    }
                    .or_else(|| source.statement(at));
                }
            }
        }
    }

    /// The statements that deny, in the order of the layers.
    pub fn denying(&self) -> impl Iterator<Item = Denial> {
        self.layers.iter().flat_map(|layer| {
            layer.policies.iter().flat_map(move |policy| {
                let denying = policy.statements.iter().filter(|statement| {
                    statement.effect == Effect::Deny && statement.verdict == Verdict::Applies
                });
                denying.map(move |statement| Denial {
                    layer: layer.layer,
                    level: layer.level.unwrap_or(0),
                    policy: policy.policy,
                    statement: statement.statement,
                })
            })
        })
    }

    /// One sentence in AWS's words, as a denied caller hears it.
    pub fn sentence(&self, principal_arn: &str, request: &Request<'_>) -> String {
        let Request { action, resource, .. } = request;
        match self.decision {
            Decision::Allow => {
                format!(
                    "User: {principal_arn} is authorized to perform: {action} on resource: {resource}"
                )
            }
            denied => message::denied(principal_arn, action, resource, denied, None),
        }
    }

    /// As JSON: the words of `EvalDecision` in IAM's policy simulator, and the layers.
    pub fn json(&self) -> serde_json::Value {
        let (decision, layer) = match self.decision {
            Decision::Allow => ("allowed", None),
            Decision::ExplicitDeny(layer) => ("explicitDeny", Some(layer)),
            Decision::ImplicitDeny(layer) => ("implicitDeny", Some(layer)),
        };
        let mut out = serde_json::json!({ "decision": decision, "layers": self.layers });
        if !self.grants.is_empty() {
            out["grants"] = serde_json::json!(self.grants);
        }
        if let Some(layer) = layer {
            out["decidedBy"] = message::name(layer).into();
        }
        out
    }

    /// Whether a layer settled the decision.
    fn settled_by(&self, layer: &LayerReport<'_>) -> bool {
        match self.decision {
            Decision::Allow => false,
            Decision::ExplicitDeny(by) => by == layer.layer && layer.says == Says::Denies,
            Decision::ImplicitDeny(by) => by == layer.layer && layer.says != Says::Allows,
        }
    }
}

/// A tree for a terminal: layers, policies, statements.
impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, by) = match self.decision {
            Decision::Allow => ("allowed", None),
            Decision::ExplicitDeny(layer) => ("denied", Some(layer)),
            Decision::ImplicitDeny(layer) => ("denied: nothing allows it", Some(layer)),
        };
        match by {
            Some(layer) => writeln!(f, "{word} ({})", message::name(layer))?,
            None => writeln!(f, "{word}")?,
        }
        for layer in &self.layers {
            let says = match layer.says {
                Says::Denies => "denies",
                Says::Allows => "allows",
                Says::Nothing => "says nothing",
            };
            let mark = if self.settled_by(layer) { "  ◄ settles it" } else { "" };
            let level = layer.level.map(|level| format!(", level {level}")).unwrap_or_default();
            writeln!(f, "├─ {}{level}: {says}{mark}", message::name(layer.layer))?;
            for policy in &layer.policies {
                match &policy.name {
                    Some(name) => writeln!(f, "│  ├─ {name}")?,
                    None => writeln!(f, "│  ├─ policy {}", policy.policy)?,
                }
                for statement in &policy.statements {
                    write!(f, "│  │  ├─ {statement}")?;
                    // Editors count columns from 1.
                    match (&policy.name, statement.place) {
                        (Some(name), Some(Span { start, .. })) => {
                            writeln!(f, "  [{name}:{}:{}]", start.line, start.column + 1)?;
                        }
                        _ => writeln!(f)?,
                    }
                }
            }
        }
        for grant in &self.grants {
            let of = match grant.of {
                GrantSource::Key => "grant",
                GrantSource::BucketAcl => "grant of the bucket's access control list",
                GrantSource::ObjectAcl => "grant of the object's access control list",
            };
            writeln!(f, "├─ {of} {}: {}", grant.grant, grant.verdict)?;
        }
        Ok(())
    }
}

impl fmt::Display for StatementReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statement {}", self.statement)?;
        if let Some(sid) = &self.sid {
            write!(f, " ({sid})")?;
        }
        write!(f, ", {}: {}", self.effect.name(), self.verdict)
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Applies => f.write_str("applies"),
            Verdict::OtherAction => f.write_str("speaks of other actions"),
            Verdict::OtherPrincipal => f.write_str("speaks of other principals"),
            Verdict::OtherResource => f.write_str("speaks of other resources"),
            Verdict::ConditionFails { operator, key, wanted, found, .. } => {
                write!(f, "{operator} on {key} does not hold: the policy has ")?;
                listed(f, wanted)?;
                match found {
                    Some(found) => {
                        f.write_str(", the request ")?;
                        listed(f, found)
                    }
                    None => f.write_str(", the request has no such key"),
                }
            }
            Verdict::EncryptionContextDiffers { constraint, found } => {
                let name = constraint.name();
                write!(f, "{name} is not met: it asks for {:?}, the request ", constraint.pairs())?;
                write!(f, "has {found:?}")
            }
            Verdict::OtherSource { wanted, found } => {
                write!(f, "is for the source `{wanted}`, the request has ")?;
                listed(f, found.unwrap_or_default())
            }
        }
    }
}

fn listed(f: &mut fmt::Formatter<'_>, values: &[impl fmt::Display]) -> fmt::Result {
    if values.is_empty() {
        return f.write_str("no value");
    }
    for (index, value) in values.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}`{value}`")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Context, Kind, parse};

    fn document(statements: &str) -> Document {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#);
        parse(&text, Kind::Identity).unwrap()
    }

    #[test]
    fn every_statement_says_what_kept_it_from_applying() {
        let identity = document(
            r#"{"Sid": "Read", "Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::a/*"},
               {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::b/*"},
               {"Effect": "Deny", "Action": "ec2:*", "Resource": "*"},
               {"Effect": "Deny", "Action": "s3:*", "Resource": "*",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}}}"#,
        );
        let boundary = document(r#"{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}"#);
        let who = Principal::User { arn: "arn:aws:iam::123456789012:user/ann".into() };
        let mut context = Context::default();
        context.set("aws:SecureTransport", "true");
        let request = Request {
            principal: &who,
            action: "s3:GetObject",
            resource: "arn:aws:s3:::a/key",
            resource_account: "123456789012".parse().unwrap(),
            context: &context,
        };
        let policies = PolicySet {
            identity: vec![&identity],
            boundary: Some(&boundary),
            ..PolicySet::default()
        };
        let why = explain(&request, &policies);
        assert_eq!(why.decision, Decision::ImplicitDeny(Layer::Boundary));
        let [identity, boundary] = &why.layers[..] else { panic!("{why}") };
        assert_eq!((identity.says, boundary.says), (Says::Allows, Says::Nothing));
        let verdicts: Vec<&Verdict<'_>> =
            identity.policies[0].statements.iter().map(|s| &s.verdict).collect();
        let failing = Verdict::ConditionFails {
            operator: crate::document::Operator::parse("Bool").unwrap(),
            key: "aws:SecureTransport",
            wanted: &["false".to_owned()],
            found: Some(&["true".into()]),
            place: 0,
        };
        let expected =
            [&Verdict::Applies, &Verdict::OtherResource, &Verdict::OtherAction, &failing];
        assert_eq!(verdicts, expected);
        let tree = why.to_string();
        assert!(tree.starts_with("denied: nothing allows it (permissions boundary)\n"), "{tree}");
        assert!(tree.contains("├─ permissions boundary: says nothing  ◄ settles it"), "{tree}");
        assert!(tree.contains("statement 0 (Read), Allow: applies"), "{tree}");
        let json = why.json();
        assert_eq!(json["decision"], "implicitDeny");
        assert_eq!(json["decidedBy"], "permissions boundary");
        assert_eq!(json["layers"][0]["policies"][0]["statements"][3]["key"], "aws:SecureTransport");
        assert_eq!(
            why.sentence("arn:aws:iam::123456789012:user/ann", &request),
            "User: arn:aws:iam::123456789012:user/ann is not authorized to perform: s3:GetObject on \
             resource: arn:aws:s3:::a/key because no permissions boundary allows the s3:GetObject \
             action"
        );
    }
}
