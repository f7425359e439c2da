//! The event of a call, as CloudTrail lays it out.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>
//!
//! What the caller claimed and did not prove never stands in `userIdentity`. Beside CloudTrail's
//! fields, `additionalEventData` holds the decisions: which action was asked for on which resource,
//! and which layer of policies denied it.

use crate::call::Decided;
use crate::caller::{Caller, Federated, FederatedKind, Identity, Session};
use crate::clock::Second;
use crate::ids::CallId;
use crate::inside::Via;
use ringfence_policy::context::Values;
use ringfence_policy::{AccountId, Context, Decision, message};
use ringfence_wire::protocol::record;
use ringfence_wire::service::{Operation, Service};
use ringfence_wire::shape::TimestampFormat;
use ringfence_wire::{ServiceError, Structure, Timestamp};
use smol_str::SmolStr;
use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

/// The version of the layout.
pub(crate) const VERSION: &str = "1.11";

/// Longest user agent, error code and error message, in bytes, as CloudTrail cuts them.
const LONGEST_TEXT: usize = 1024;

/// Longest request parameters and response elements, in bytes. CloudTrail leaves out longer ones.
const LONGEST_PARAMETERS: usize = 100 * 1024;

/// Longest condition keys of a decision, in bytes of JSON; further ones are left out.
const LONGEST_KEYS: usize = 1500;

/// Longest line whose memory a thread keeps for the next one.
const LONGEST_KEPT: usize = 64 * 1024;

/// Most decisions that an event lists. No call makes more; the rest would only be repetition.
const MOST_DECISIONS: usize = 32;

/// One call, told while it is on its way.
pub(crate) struct Event {
    pub request_id: CallId,
    pub event_id: CallId,
    pub at: Timestamp,
    pub source_ip: SmolStr,
    pub user_agent: SmolStr,
    pub service: &'static Service,
    /// The name of the operation as the request gave it.
    pub name: Cow<'static, str>,
    pub operation: Option<&'static Operation>,
    pub region: SmolStr,
    /// Who called, once that is proved.
    pub caller: Option<Arc<Caller>>,
    /// The outside identity that a token or assertion proved.
    pub proved: Option<Federated>,
    /// The service that makes the call for its caller.
    pub via: Option<Via>,
    /// The access key that a caller claimed and did not prove to have.
    pub claimed_key: Option<String>,
    pub secure: bool,
    /// JSON.
    pub parameters: Option<String>,
    /// JSON.
    pub response: Option<String>,
    pub decisions: Vec<Decided>,
    /// The ARNs of KMS keys that the call was about beside those of its decisions.
    pub keys: Vec<String>,
    pub error: Option<(String, String)>,
}

impl Event {
    /// Notes the input: now, because the handler will own it.
    pub fn note_input(&mut self, input: &dyn Structure) {
        self.parameters = json_of(input);
    }

    /// Notes the output of a call that changed something.
    pub fn note_output(&mut self, output: &dyn Structure) {
        if !self.is_read_only() {
            self.response = json_of(output);
        }
    }

    /// Notes what the call was refused with.
    pub fn note_error(&mut self, error: &ServiceError) {
        self.error = Some((error.code.to_string(), error.message.clone()));
        self.response = None;
    }

    /// Whether CloudTrail calls it read-only. An operation that is not known changes nothing.
    pub fn is_read_only(&self) -> bool {
        self.operation.is_none_or(|op| op.authorization.access_level.is_read_only())
    }

    /// What is done with the event as one line of JSON, in memory that a thread's events have in turn. `owner` is
    /// the account that hears of calls which no account made.
    pub fn told<R>(&self, owner: AccountId, told: impl FnOnce(&str) -> R) -> R {
        thread_local! {
            static LINE: RefCell<String> = const { RefCell::new(String::new()) };
        }
        let mut line = LINE.take();
        line.clear();
        self.write(owner, &mut line);
        let result = told(&line);
        if line.capacity() <= LONGEST_KEPT {
            LINE.set(line);
        }
        result
    }

    fn write(&self, owner: AccountId, out: &mut String) {
        let mut event = Object::open(out);
        event.text(name!("eventVersion"), VERSION);
        event.object(name!("userIdentity"), |who| self.identity(who));
        event.text(name!("eventTime"), &Second::of(self.at.seconds).date_time);
        let source = match self.service.endpoint_prefix {
            "" => "ringfence",
            prefix => prefix,
        };
        event.key(name!("eventSource"));
        for part in ["\"", source, ".amazonaws.com\""] {
            event.out.push_str(part);
        }
        event.text(name!("eventName"), &self.name);
        event.text(name!("awsRegion"), &self.region);
        match self.via {
            None => {
                event.text(name!("sourceIPAddress"), &self.source_ip);
                event.text(name!("userAgent"), cut(&self.user_agent));
            }
            Some(via) => {
                event.text(name!("sourceIPAddress"), &format!("{via}.amazonaws.com"));
                event.text(name!("userAgent"), &format!("{via}.amazonaws.com"));
            }
        }
        if let Some((code, message)) = &self.error {
            event.text(name!("errorCode"), cut(code));
            event.text(name!("errorMessage"), cut(message));
        }
        event.json(name!("requestParameters"), self.parameters.as_deref().unwrap_or("null"));
        event.json(name!("responseElements"), self.response.as_deref().unwrap_or("null"));
        if !self.decisions.is_empty() || self.claimed_key.is_some() {
            event.object(name!("additionalEventData"), |more| self.additional(more));
        }
        event.text(name!("requestID"), &self.request_id);
        event.text(name!("eventID"), &self.event_id);
        event.flag(name!("readOnly"), self.is_read_only());
        self.resources(&mut event);
        event.text(name!("eventType"), "AwsApiCall");
        event.flag(name!("managementEvent"), true);
        let account = match &self.proved {
            Some(federated) => Some(federated.account),
            None => self.caller.as_ref().and_then(|caller| caller.identity.account()),
        };
        event.text(name!("recipientAccountId"), &account.unwrap_or(owner).digits());
        event.text(name!("eventCategory"), "Management");
        if self.secure {
            event.object(name!("tlsDetails"), |_| {});
        }
        event.close();
    }

    /// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html>
    fn identity(&self, who: &mut Object<'_>) {
        if let Some(federated) = &self.proved {
            who.text(
                name!("type"),
                match federated.kind {
                    FederatedKind::WebIdentity => "WebIdentityUser",
                    FederatedKind::Saml => "SAMLUser",
                },
            );
            who.text(name!("principalId"), cut(&federated.principal_id));
            who.text(name!("userName"), cut(&federated.user_name));
            return who.text(name!("identityProvider"), cut(&federated.identity_provider));
        }
        let Some(caller) = &self.caller else { return who.text(name!("type"), "Unknown") };
        let identity = &caller.identity;
        let Some(account) = identity.account() else {
            who.text(name!("type"), "AWSAccount");
            who.text(name!("principalId"), "");
            return who.text(name!("accountId"), "ANONYMOUS_PRINCIPAL");
        };
        who.text(name!("type"), kind(identity));
        who.text(name!("principalId"), &identity.user_id());
        who.text(name!("arn"), &identity.arn());
        who.text(name!("accountId"), &account.digits());
        if !caller.access_key_id.is_empty() {
            who.text(name!("accessKeyId"), &caller.access_key_id);
        }
        if let Identity::User { name, .. } = identity {
            who.text(name!("userName"), name);
        }
        if let Some(via) = self.via {
            who.text(name!("invokedBy"), &format!("{via}.amazonaws.com"));
        }
        if let Some(session) = &caller.session {
            who.object(name!("sessionContext"), |context| session_context(session, context));
            // https://docs.aws.amazon.com/IAM/latest/UserGuide/temporary-delegation-cloudtrail.html
            if let Some(delegation) = &session.delegation {
                who.object(name!("invokedByDelegate"), |delegate| {
                    delegate.text(name!("accountId"), &delegation.requestor.to_string());
                });
            }
        }
    }

    /// The KMS keys that the call was about.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/logging-using-cloudtrail.html>
    fn resources(&self, event: &mut Object<'_>) {
        let mut keys: Vec<(&str, &str)> = Vec::new();
        let decided = self.decisions.iter().map(|decided| &*decided.resource);
        let arns = decided.chain(self.keys.iter().map(|arn| &**arn)).take(MOST_DECISIONS);
        for arn in arns {
            let Some(account) = account_of_key(arn) else { continue };
            if !keys.contains(&(arn, account)) {
                keys.push((arn, account));
            }
        }
        if keys.is_empty() {
            return;
        }
        event.objects(name!("resources"), keys, |entry, (arn, account)| {
            entry.text(name!("accountId"), account);
            entry.text(name!("type"), "AWS::KMS::Key");
            entry.text(name!("ARN"), cut(arn));
        });
    }

    fn additional(&self, more: &mut Object<'_>) {
        if let Some(claimed) = &self.claimed_key {
            more.text(name!("claimedAccessKeyId"), claimed);
        }
        if self.decisions.is_empty() {
            return;
        }
        let decisions = self.decisions.iter().take(MOST_DECISIONS);
        more.objects(name!("decisions"), decisions, |entry, decided| {
            entry.text(name!("action"), decided.action);
            entry.text(name!("resource"), cut(&decided.resource));
            // The words of `EvalDecision` in IAM's policy simulator.
            let (word, layer) = match decided.decision {
                Decision::Allow => ("allowed", None),
                Decision::ExplicitDeny(layer) => ("explicitDeny", Some(layer)),
                Decision::ImplicitDeny(layer) => ("implicitDeny", Some(layer)),
            };
            entry.text(name!("decision"), word);
            if let Some(layer) = layer {
                entry.text(name!("layer"), message::name(layer));
            }
            if let Some(policy) = &decided.policy {
                entry.text(name!("policy"), policy);
            }
            if own_keys(&decided.keys).next().is_some() {
                entry.object(name!("keys"), |keys| write_keys(own_keys(&decided.keys), keys));
            }
        });
    }
}

/// The service's own keys of a request that say something: not tags, nor sets of nothing, nor what another key
/// says too.
fn own_keys(all: &Context) -> impl Iterator<Item = (&str, &Values)> {
    all.iter().filter(|(key, values)| {
        let own = !key.starts_with("aws:") && !key.contains('/');
        own && !values.as_slice().is_empty() && !OTHER_NAMES.contains(key)
    })
}

/// Deprecated names of keys that are recorded under their present ones.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html>
const OTHER_NAMES: [&str; 2] = ["kms:CustomerMasterKeySpec", "kms:CustomerMasterKeyUsage"];

/// The keys of a decision, each with its values.
fn write_keys<'k>(all: impl Iterator<Item = (&'k str, &'k Values)>, keys: &mut Object<'_>) {
    let before = keys.out.len();
    for (key, values) in all {
        keys.chosen_key(key);
        let listed = keys.out.len();
        keys.out.push('[');
        for (index, value) in values.as_slice().iter().enumerate() {
            if index > 0 {
                keys.out.push(',');
            }
            record::quote(keys.out, value);
        }
        keys.out.push(']');
        if keys.out.len() - before > LONGEST_KEYS {
            // That it was there is told; what it was has no room.
            keys.out.truncate(listed);
            keys.out.push_str("[]");
        }
    }
}

const fn kind(identity: &Identity) -> &'static str {
    match identity {
        Identity::Root { .. } => "Root",
        Identity::User { .. } => "IAMUser",
        Identity::AssumedRole { .. } => "AssumedRole",
        Identity::FederatedUser { .. } => "FederatedUser",
        Identity::Anonymous => "AWSAccount",
    }
}

fn session_context(session: &Session, context: &mut Object<'_>) {
    let account = session.identity.account().map(|account| account.to_string());
    let account = account.unwrap_or_default();
    match &session.identity {
        Identity::AssumedRole { role_name, role_id, .. } => {
            context.object(name!("sessionIssuer"), |issuer| {
                issuer.text(name!("type"), "Role");
                issuer.text(name!("principalId"), role_id);
                issuer.text(name!("arn"), &session.identity.principal_arn());
                issuer.text(name!("accountId"), &account);
                issuer.text(name!("userName"), role_name);
            });
        }
        Identity::FederatedUser { issuer: own, .. } => {
            context.object(name!("sessionIssuer"), |issuer| {
                issuer.text(name!("type"), kind(own));
                issuer.text(name!("principalId"), &own.user_id());
                issuer.text(name!("arn"), &own.arn());
                issuer.text(name!("accountId"), &account);
                if let Identity::User { name, .. } = &**own {
                    issuer.text(name!("userName"), name);
                }
            });
        }
        _ => {}
    }
    context.object(name!("attributes"), |attributes| {
        let issued = Timestamp::from_seconds(session.issued).format(TimestampFormat::DateTime);
        attributes.text(name!("creationDate"), &issued);
        let mfa = if session.mfa.is_some() { "true" } else { "false" };
        attributes.text(name!("mfaAuthenticated"), mfa);
    });
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-track-privileged-tasks.html
    if session.root_task.is_some() {
        context.text(name!("assumedRoot"), "true");
    }
    if let Some(source) = &session.source_identity {
        context.text(name!("sourceIdentity"), source);
    }
}

/// A structure as JSON, what is sensitive left out; `None` where it is empty.
fn json_of(structure: &dyn Structure) -> Option<String> {
    let mut out = String::with_capacity(256);
    record::write(&mut out, structure);
    if out == "{}" {
        return None;
    }
    if out.len() > LONGEST_PARAMETERS {
        let size = out.len();
        return Some(format!(
            "{{\"omitted\":true,\"originalSize\":{size},\"reason\":\"longer than 100 KB\"}}"
        ));
    }
    Some(out)
}

/// A text as long as CloudTrail lets one be.
pub(crate) fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(LONGEST_TEXT)).rev().find(|i| text.is_char_boundary(*i));
    &text[..end.unwrap_or(0)]
}

/// The name of an entry, as it is written behind another entry: `,"name":`. [`name!`] makes one, of a name in which
/// nothing is escaped.
#[derive(Clone, Copy)]
pub(crate) struct Name(pub &'static str);

macro_rules! name {
    ($name:literal) => {
        $crate::event::Name(concat!(",\"", $name, "\":"))
    };
}
pub(crate) use name;

/// A JSON object while it is written.
pub(crate) struct Object<'o> {
    pub out: &'o mut String,
    first: bool,
}

impl<'o> Object<'o> {
    pub fn open(out: &'o mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    pub fn close(self) {
        self.out.push('}');
    }

    /// Begins an entry.
    pub fn key(&mut self, name: Name) {
        let written = if self.first { name.0.get(1..).unwrap_or_default() } else { name.0 };
        self.first = false;
        self.out.push_str(written);
    }

    /// Begins an entry under a name that a request has chosen.
    fn chosen_key(&mut self, name: &str) {
        self.next();
        record::quote(self.out, name);
        self.out.push(':');
    }

    /// A text under such a name.
    pub fn chosen_text(&mut self, name: &str, value: &str) {
        self.chosen_key(name);
        record::quote(self.out, value);
    }

    fn next(&mut self) {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
    }

    pub fn text(&mut self, name: Name, value: &str) {
        self.key(name);
        record::quote(self.out, value);
    }

    pub fn flag(&mut self, name: Name, value: bool) {
        self.json(name, if value { "true" } else { "false" });
    }

    /// A value that is JSON already.
    pub fn json(&mut self, name: Name, value: &str) {
        self.key(name);
        self.out.push_str(value);
    }

    /// A list of objects, one of each.
    pub fn objects<T>(
        &mut self,
        name: Name,
        all: impl IntoIterator<Item = T>,
        fill: impl Fn(&mut Object<'_>, T),
    ) {
        self.key(name);
        self.out.push('[');
        for (index, one) in all.into_iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            let mut inner = Object::open(self.out);
            fill(&mut inner, one);
            inner.close();
        }
        self.out.push(']');
    }

    pub fn object(&mut self, name: Name, fill: impl FnOnce(&mut Object<'_>)) {
        self.key(name);
        let mut inner = Object::open(self.out);
        fill(&mut inner);
        inner.close();
    }
}

/// The account of a KMS key's ARN.
fn account_of_key(arn: &str) -> Option<&str> {
    let (_, rest) = arn.strip_prefix("arn:aws:kms:")?.split_once(':')?;
    let (account, resource) = rest.split_once(':')?;
    resource.starts_with("key/").then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::NO_SERVICE;

    fn event() -> Event {
        Event {
            request_id: "r".into(),
            event_id: "e".into(),
            at: Timestamp { seconds: 0, nanos: 5 },
            source_ip: "127.0.0.1".into(),
            user_agent: "a\"\u{7}é".repeat(1000).into(),
            service: &NO_SERVICE,
            name: "Op".into(),
            operation: None,
            region: "us-east-1".into(),
            caller: None,
            proved: None,
            via: None,
            claimed_key: None,
            secure: false,
            parameters: None,
            response: None,
            decisions: Vec::new(),
            keys: Vec::new(),
            error: Some(("Code".into(), "x".repeat(5000))),
        }
    }

    fn parsed(event: &Event) -> serde_json::Value {
        event.told(AccountId::new(7).unwrap(), |line| {
            assert!(!line.contains('\n'));
            serde_json::from_str(line).unwrap()
        })
    }

    #[test]
    fn nobodys_event_has_no_identity_and_bounded_texts() {
        let event = parsed(&event());
        assert_eq!(event["userIdentity"], serde_json::json!({"type": "Unknown"}));
        assert_eq!(event["recipientAccountId"], "000000000007");
        assert_eq!(event["eventTime"], "1970-01-01T00:00:00Z");
        assert!(event["userAgent"].as_str().unwrap().len() <= LONGEST_TEXT);
        assert_eq!(event["errorMessage"].as_str().unwrap().len(), LONGEST_TEXT);
    }

    #[test]
    fn the_keys_of_a_call_without_decisions_are_its_resources() {
        let mut event = event();
        let arn = "arn:aws:kms:us-east-1:000000000001:key/k";
        event.keys = vec![arn.into(), arn.into(), "arn:aws:s3:::bucket".into()];
        let told = serde_json::json!(
            [{"accountId": "000000000001", "type": "AWS::KMS::Key", "ARN": arn}]
        );
        assert_eq!(parsed(&event)["resources"], told);
    }

    #[test]
    fn the_longest_event_fits_its_place() {
        let mut event = event();
        event.parameters = Some(format!("\"{}\"", "p".repeat(LONGEST_PARAMETERS)));
        event.response = event.parameters.clone();
        // A control character takes six bytes in JSON.
        event.user_agent = "\u{1}".repeat(9000).into();
        event.error = Some(("\u{1}".repeat(9000), "\u{1}".repeat(9000)));
        let mut keys = Context::default();
        (0..50).for_each(|i| keys.set(format!("iam:Key{i}"), "\u{1}".repeat(100)));
        let decided = Decided {
            action: "iam:ADeleteServiceLinkedRoleAsLongAsAnActionOfAWSIsAtMost",
            resource: "\u{1}".repeat(9000),
            decision: Decision::ExplicitDeny(ringfence_policy::Layer::Identity),
            policy: Some("p".repeat(LONGEST_TEXT).into()),
            keys,
        };
        event.decisions = vec![decided; MOST_DECISIONS + 1];
        let length = event.told(AccountId::new(7).unwrap(), str::len);
        assert!((length as u64) < crate::audit::LONGEST_EVENT);
    }

    #[test]
    fn a_sessions_event_names_its_issuer() {
        let account = AccountId::new(1).unwrap();
        let role = Identity::AssumedRole {
            account,
            role_name: "r".into(),
            role_path: "/p/".into(),
            role_id: "AROA".into(),
            session_name: "s".into(),
        };
        let session = Session {
            identity: role.clone(),
            access_key_id: "ASIA".into(),
            issued: 60,
            expires: 120,
            policies: None,
            tags: Default::default(),
            transitive_tags: Vec::new(),
            source_identity: Some("ann".into()),
            mfa: None,
            chained: false,
            federation: None,
            delegation: None,
            root_task: None,
        };
        let mut event = event();
        let (access_key_id, session) = ("ASIA".into(), Some(Arc::new(session)));
        event.caller = Some(Arc::new(Caller { identity: role, access_key_id, session }));
        let who = &parsed(&event)["userIdentity"];
        assert_eq!(who["arn"], "arn:aws:sts::000000000001:assumed-role/r/s");
        let context = &who["sessionContext"];
        assert_eq!(context["sessionIssuer"]["arn"], "arn:aws:iam::000000000001:role/p/r");
        assert_eq!(context["attributes"]["creationDate"], "1970-01-01T00:01:00Z");
        assert_eq!(context["sourceIdentity"], "ann");
    }
}
