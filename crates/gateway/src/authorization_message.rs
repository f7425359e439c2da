//! What a denial was about, sealed: the text that `sts:DecodeAuthorizationMessage` opens.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_DecodeAuthorizationMessage.html>
//!
//! A denial tells its caller little. The whole story (the statements that denied, and every condition
//! key of the request) goes along in a header of the answer, [`HEADER`], which only this server can
//! read, and tells only to those of the caller's account who may ask. In AWS a few services put the
//! same text into their messages, EC2 first of all; none of those is here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringfence_keyring::{Domain, Keyring};
use ringfence_policy::document::{Condition, Matching, Statement};
use ringfence_policy::{AccountId, Decision, Layer, PolicySet, Request, explain};
use serde_json::{Value, json};

/// The header of a denial that holds its message.
pub const HEADER: &str = "x-ringfence-authorization-message";

/// Most bytes of a message: what it comes to in base64 fits a header, and the 10,240 characters that
/// `DecodeAuthorizationMessage` takes. Condition keys that find no room are counted instead.
const LONGEST: usize = 5000;

/// Most bytes of the statements in it.
const LONGEST_STATEMENTS: usize = 2500;

/// Most bytes of a text in it.
const LONGEST_TEXT: usize = 600;

/// Seals and opens authorization messages.
#[derive(Clone)]
pub struct AuthorizationMessages {
    domain: Domain,
}

/// Who was denied.
pub(crate) struct Denied<'d> {
    pub account: AccountId,
    /// Its unique id, of a session also the session's name.
    pub id: &'d str,
    /// Its name, where it is a user.
    pub name: Option<&'d str>,
    pub arn: &'d str,
    /// The ARN of what it asked for, as it may hear it.
    pub resource: &'d str,
}

impl AuthorizationMessages {
    /// Those of this root key.
    pub fn new(keyring: &Keyring) -> Self {
        Self { domain: keyring.domain("authorization-message") }
    }

    /// The message of a denial; `None` where it cannot be sealed.
    pub(crate) fn encode(
        &self,
        denied: &Denied<'_>,
        request: &Request<'_>,
        policies: &PolicySet<'_>,
        decision: Decision,
    ) -> Option<String> {
        let text = tell(denied, request, policies, decision).to_string();
        let sealed = self.domain.seal(&place(&denied.account.to_string()), text.as_bytes());
        match sealed {
            Ok(sealed) => Some(URL_SAFE_NO_PAD.encode(sealed)),
            Err(error) => {
                tracing::error!(%error, "an authorization message was not sealed");
                None
            }
        }
    }

    /// What a message says, as JSON; `None` where it was not made here, or for another account.
    pub fn decode(&self, account: AccountId, message: &str) -> Option<String> {
        let sealed = URL_SAFE_NO_PAD.decode(message).ok()?;
        let text = self.domain.open(&place(&account.to_string()), &sealed).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

/// What a message is bound to.
fn place(account: &str) -> [&[u8]; 2] {
    [b"authorization-message", account.as_bytes()]
}

/// The form is AWS's, as people have published what they decoded.
fn tell(
    denied: &Denied<'_>,
    request: &Request<'_>,
    policies: &PolicySet<'_>,
    decision: Decision,
) -> Value {
    // What another account's policies say is told to that account alone.
    let own = |layer| {
        request.resource_account == denied.account
            || !matches!(layer, Layer::Resource | Layer::Trust | Layer::ResourceControl)
    };
    let explicit = matches!(decision, Decision::ExplicitDeny(layer) if own(layer));
    let mut statements = Vec::new();
    if explicit {
        let explanation = explain(request, policies);
        let denying = explanation.denying().filter(|denial| own(denial.layer));
        let mut room = LONGEST_STATEMENTS;
        for statement in denying.filter_map(|denial| policies.statement(&denial)) {
            let told = describe(statement, denied.id);
            let Some(left) = room.checked_sub(told.to_string().len()) else { break };
            room = left;
            statements.push(told);
        }
    }
    let mut principal = json!({ "id": denied.id });
    if let Some(name) = denied.name {
        principal["name"] = name.into();
    }
    principal["arn"] = denied.arn.into();
    let mut message = json!({
        "allowed": false,
        "explicitDeny": explicit,
        "matchedStatements": { "items": statements },
        "failures": { "items": [] },
        "context": {
            "principal": principal,
            "action": request.action,
            "resource": cut(denied.resource),
            "conditions": { "items": [] },
        },
    });
    let mut room = LONGEST.saturating_sub(message.to_string().len());
    let (mut items, mut omitted) = (Vec::new(), 0);
    // What another account's resource is like, and whether it is there, is that account's to tell.
    // Most of KMS's keys are about the key.
    let of_resource = |key: &str| {
        key.contains(":ResourceTag/") || key == "aws:ResourceOrgID" || key.starts_with("kms:")
    };
    let foreign = request.resource_account != denied.account;
    for (key, values) in request.context.iter().filter(|(key, _)| !(foreign && of_resource(key))) {
        let told = pair(key, values.as_slice());
        // A comma between two.
        match room.checked_sub(told.to_string().len() + 1) {
            Some(left) => {
                room = left;
                items.push(told);
            }
            None => omitted += 1,
        }
    }
    message["context"]["conditions"]["items"] = items.into();
    if omitted > 0 {
        message["context"]["conditions"]["omitted"] = omitted.into();
    }
    message
}

fn describe(statement: &Statement, principal_id: &str) -> Value {
    let patterns = |matching: &Matching<Vec<String>>| list(matching.patterns());
    let conditions = statement.conditions.iter();
    let conditions = conditions.map(|Condition { key, values, .. }| pair(key, values));
    json!({
        "statementId": statement.sid.as_deref().unwrap_or_default(),
        "effect": "DENY",
        "principals": list(&[principal_id.to_owned()]),
        "principalGroups": list::<&str>(&[]),
        "actions": patterns(&statement.action),
        "resources": statement.resource.as_ref().map_or_else(|| list::<&str>(&[]), patterns),
        "conditions": { "items": conditions.collect::<Vec<Value>>() },
    })
}

fn pair(key: &str, values: &[impl AsRef<str>]) -> Value {
    json!({ "key": cut(key), "values": list(values) })
}

fn list<T: AsRef<str>>(values: &[T]) -> Value {
    let item = |value: &T| json!({ "value": cut(value.as_ref()) });
    let items: Vec<Value> = values.iter().map(item).collect();
    json!({ "items": items })
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(LONGEST_TEXT).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_policy::{Context, Document, Kind, Principal, ResourcePolicy, decide, parse};

    const OWN: AccountId = match AccountId::new(7) {
        Some(account) => account,
        None => unreachable!(),
    };
    const OTHER: AccountId = match AccountId::new(8) {
        Some(account) => account,
        None => unreachable!(),
    };

    fn messages() -> AuthorizationMessages {
        AuthorizationMessages::new(&Keyring::ephemeral().unwrap())
    }

    fn document(statement: Value, kind: Kind) -> Document {
        let text = json!({ "Version": "2012-10-17", "Statement": [statement] });
        parse(&text.to_string(), kind).unwrap()
    }

    /// What a denied request's message says.
    fn told(policies: &PolicySet<'_>, of: AccountId, context: &Context) -> (usize, Value) {
        let arn = "arn:aws:iam::000000000007:user/ann";
        let principal = Principal::User { arn: arn.into() };
        let request = Request {
            principal: &principal,
            action: "s3:GetObject",
            resource: "arn:aws:s3:::b/o",
            resource_account: of,
            context,
        };
        let denied =
            Denied { account: OWN, id: "AIDA", name: Some("ann"), arn, resource: request.resource };
        let (messages, decision) = (messages(), decide(&request, policies));
        assert!(!decision.is_allowed());
        let message = messages.encode(&denied, &request, policies, decision).unwrap();
        assert_eq!(messages.decode(OTHER, &message), None);
        assert_eq!(messages.decode(OWN, &message[1..]), None);
        let text = messages.decode(OWN, &message).unwrap();
        (message.len(), serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_message_tells_its_own_account_what_denied() {
        let statement = json!({"Sid": "No", "Effect": "Deny", "Action": ["s3:*"], "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}}});
        let document = document(statement, Kind::Identity);
        let policies = PolicySet { identity: vec![&document], ..PolicySet::default() };
        let mut context = Context::default();
        context.set("aws:SecureTransport", "false");
        let (_, told) = told(&policies, OWN, &context);
        let items = |values: &[&str]| json!({"items": values.iter().map(|v| json!({"value": v})).collect::<Vec<_>>()});
        let condition = json!({"key": "aws:SecureTransport", "values": items(&["false"])});
        assert_eq!(
            told,
            json!({
                "allowed": false,
                "explicitDeny": true,
                "matchedStatements": {"items": [{
                    "statementId": "No",
                    "effect": "DENY",
                    "principals": items(&["AIDA"]),
                    "principalGroups": items(&[]),
                    "actions": items(&["s3:*"]),
                    "resources": items(&["*"]),
                    "conditions": {"items": [condition.clone()]},
                }]},
                "failures": {"items": []},
                "context": {
                    "principal": {"id": "AIDA", "name": "ann",
                        "arn": "arn:aws:iam::000000000007:user/ann"},
                    "action": "s3:GetObject",
                    "resource": "arn:aws:s3:::b/o",
                    "conditions": {"items": [condition]},
                },
            })
        );
    }

    #[test]
    fn what_another_accounts_policy_says_is_not_told() {
        let statement = json!({"Effect": "Deny", "Principal": "*", "Action": "s3:*",
            "Resource": "*"});
        let document = document(statement, Kind::Resource);
        let policies = PolicySet {
            resource: Some(ResourcePolicy::Ordinary(&document)),
            ..PolicySet::default()
        };
        let (_, own) = told(&policies, OWN, &Context::default());
        assert_eq!(own["explicitDeny"], true);
        let (_, others) = told(&policies, OTHER, &Context::default());
        assert_eq!(others["explicitDeny"], false);
        assert_eq!(others["matchedStatements"], json!({"items": []}));
    }

    #[test]
    fn what_another_accounts_key_is_like_is_not_told() {
        let mut context = Context::default();
        for key in ["kms:KeySpec", "aws:ResourceTag/a", "aws:RequestedRegion"] {
            context.set(key, "x");
        }
        let keys = |told: &Value| {
            let items = told["context"]["conditions"]["items"].as_array().unwrap().iter();
            items.map(|item| item["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let (_, own) = told(&PolicySet::default(), OWN, &context);
        assert_eq!(keys(&own).len(), 3);
        let (_, others) = told(&PolicySet::default(), OTHER, &context);
        assert_eq!(keys(&others), ["aws:RequestedRegion"]);
    }

    #[test]
    fn a_message_is_no_longer_than_decoding_takes() {
        let statement = |i: usize| {
            json!({"Effect": "Deny", "Action": "s3:*",
                "Resource": format!("arn:aws:s3:::{}{i}*", "*".repeat(40))})
        };
        let text = json!({"Version": "2012-10-17",
            "Statement": (0..20).map(|i| match i { 0 => json!({"Effect": "Deny", "Action": "s3:*",
                "Resource": "*"}), _ => statement(i) }).collect::<Vec<_>>()});
        let document = parse(&text.to_string(), Kind::Identity).unwrap();
        let policies = PolicySet { identity: vec![&document], ..PolicySet::default() };
        let mut context = Context::default();
        for i in 0..100 {
            context.set(format!("aws:PrincipalTag/{i}"), "\u{1}é".repeat(200));
        }
        let (length, told) = told(&policies, OWN, &context);
        assert!(length <= 10_240 && length > 4000, "{length}");
        assert!(told["context"]["conditions"]["omitted"].as_u64().unwrap() > 80);
    }
}
