//! The analyses of policies: what is proved, against requests.
//!
//! Parts stand between lines of `---`: two policies, then a request (`ACTION RESOURCE PRINCIPAL`) and its
//! condition keys (`key=value`, or `key=value|value` for a set). A policy is JSON, or lines of which nearly
//! every change is a policy again: `2008` for the older version, and for each statement `A` or `D` and
//! words (`a=` actions, `r=` resources, `p=` principals, in capitals for their `Not` forms; else
//! `Operator@key=value`; lists with `|`).
//!
//! Against a proof no request is found: not the one given, and none of many made of what the policies
//! say. A witness is what it is said to be. No text makes an analysis panic or take long.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringfence_policy::analyse::{
    Access, Answer, allows, check_access_not_granted, check_never_applies,
    check_no_external_access, check_no_new_access, check_no_public_access, equivalent,
};
use ringfence_policy::context::Values;
use ringfence_policy::document::{Effect, PrincipalPattern};
use ringfence_policy::reference::condition_key;
use ringfence_policy::{AccountId, Arn, Context, Document, Kind, Principal, Request, parse};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

const KINDS: [Kind; 3] = [Kind::Identity, Kind::Resource, Kind::Trust];
/// Far more than the analyses' own bounds, sanitizer included.
const LONGEST: Duration = Duration::from_secs(100);
/// Requests against each proof.
const REQUESTS: usize = 60;

// ---- policies ----------------------------------------------------------------------------------

fn statement(line: &str) -> Value {
    let mut out = Map::new();
    let (effect, words) = line.split_once(' ').unwrap_or((line, ""));
    out.insert("Effect".into(), json!(if effect == "D" { "Deny" } else { "Allow" }));
    let mut conditions: Map<String, Value> = Map::new();
    for word in words.split(' ') {
        let Some((name, values)) = word.split_once('=') else { continue };
        let values: Vec<&str> = values.split('|').filter(|value| !value.is_empty()).collect();
        let element = match name {
            "a" => "Action",
            "A" => "NotAction",
            "r" => "Resource",
            "R" => "NotResource",
            "p" | "P" => {
                let name = if name == "p" { "Principal" } else { "NotPrincipal" };
                out.insert(name.into(), principals(&values));
                continue;
            }
            _ => {
                if let Some((operator, key)) = name.split_once('@') {
                    let keys = conditions.entry(operator).or_insert_with(|| json!({}));
                    keys[key] = json!(values);
                }
                continue;
            }
        };
        out.insert(element.into(), json!(values));
    }
    out.insert("Condition".into(), Value::Object(conditions));
    Value::Object(out)
}

fn principals(names: &[&str]) -> Value {
    let mut out = json!({});
    for name in names {
        let kind = match name.split_once('!') {
            Some(("fed", _)) => "Federated",
            Some(("user", _)) => "CanonicalUser",
            _ if name.ends_with(".com") => "Service",
            _ => "AWS",
        };
        let name = name.split_once('!').map_or(*name, |(_, name)| name);
        let list = &mut out[kind];
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut().expect("made as one").push(json!(name));
    }
    out
}

fn document(text: &str, kind: Kind) -> Option<Document> {
    if text.starts_with('{') {
        return parse(text, kind).ok();
    }
    let old = text.starts_with("2008");
    let statements: Vec<Value> =
        text.lines().filter(|line| line.starts_with(['A', 'D'])).map(statement).collect();
    let version = if old { "2008-10-17" } else { "2012-10-17" };
    parse(&json!({ "Version": version, "Statement": statements }).to_string(), kind).ok()
}

// ---- requests ----------------------------------------------------------------------------------

struct Asked {
    principal: Principal,
    action: String,
    resource: String,
    context: Context,
}

impl Asked {
    fn request(&self) -> Request<'_> {
        let account = Arn::parse(&self.resource).ok().and_then(|arn| arn.account_id());
        Request {
            principal: &self.principal,
            action: &self.action,
            resource: &self.resource,
            resource_account: account.or(AccountId::new(123_456_789_012)).expect("twelve digits"),
            context: &self.context,
        }
    }

    /// Whether the request is of those that a proof covers.
    fn is_well_formed(&self) -> bool {
        let action = self.action.split_once(':').is_some_and(|(vendor, name)| {
            !vendor.is_empty() && !name.is_empty() && !name.contains(':')
        });
        let resource = self.resource == "*"
            || Arn::parse(&self.resource)
                .is_ok_and(|arn| ![arn.partition, arn.service, arn.resource].contains(&""));
        action
            && resource
            && self
                .context
                .iter()
                .all(|(key, values)| matches!(values, Values::One(_)) || may_be_set(key))
    }
}

/// Whether a key may hold several values.
fn may_be_set(key: &str) -> bool {
    let claim = key.rsplit_once(':').is_some_and(|(host, claim)| {
        host.contains('.')
            && (claim.eq_ignore_ascii_case("aud") || claim.eq_ignore_ascii_case("sub"))
    });
    condition_key(key).map_or(!claim, |known| known.is_set())
}

/// Who this is, if anyone is.
fn principal(text: &str) -> Option<Principal> {
    let Ok(arn) = Arn::parse(text) else {
        return Some(match text {
            "" => Principal::Anonymous,
            _ if text.ends_with(".com") => Principal::Service(text.into()),
            _ => Principal::Federated { provider: text.into() },
        });
    };
    let account = arn.account_id()?;
    let (kind, name) = arn.resource.split_once('/').unwrap_or((arn.resource, ""));
    let iam = format!("arn:{}:iam::{account}", arn.partition);
    Some(match (arn.service, kind) {
        ("iam", "root") => Principal::Root(account),
        ("iam", "user") if !name.is_empty() => Principal::User { arn: text.into() },
        ("iam", "role") => {
            let name = name.rsplit('/').next().filter(|name| !name.is_empty())?;
            let session_arn = format!("arn:{}:sts::{account}:assumed-role/{name}/s", arn.partition);
            Principal::AssumedRole { role_arn: text.into(), session_arn }
        }
        ("sts", "assumed-role") => {
            let (role, session) = name.split_once('/')?;
            if role.is_empty() || session.is_empty() || session.contains('/') {
                return None;
            }
            Principal::AssumedRole {
                role_arn: format!("{iam}:role/{role}"),
                session_arn: text.into(),
            }
        }
        ("sts", "federated-user") if !name.is_empty() => {
            let user_arn = Some(format!("{iam}:user/{name}"));
            Principal::FederatedUser { arn: text.into(), user_arn }
        }
        _ => return None,
    })
}

/// A small generator of numbers, the same for the same input.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }

    fn pick<'t>(&mut self, list: &'t [String]) -> &'t str {
        let at = self.roll(list.len());
        list.get(at).map_or("x", String::as_str)
    }
}

/// What the policies say, to make requests of.
#[derive(Default)]
struct Said {
    actions: Vec<String>,
    resources: Vec<String>,
    principals: Vec<Principal>,
    keys: Vec<String>,
    values: Vec<String>,
}

impl Said {
    fn add(&mut self, document: &Document) {
        for statement in &document.statements {
            self.actions.extend(statement.action.patterns().iter().cloned());
            let resources = statement.resource.iter().flat_map(|resource| resource.patterns());
            for pattern in resources {
                self.keys_of(pattern);
                self.resources.push(pattern.clone());
            }
            for pattern in statement.principal.iter().flat_map(|p| p.patterns()) {
                self.name(pattern);
            }
            for condition in &statement.conditions {
                self.keys.push(condition.key.clone());
                if let Some((name, tag)) = condition.key.split_once('/') {
                    self.keys.push(format!("{name}/{}", flipped(tag)));
                }
                for value in &condition.values {
                    self.keys_of(value);
                    self.values.push(value.clone());
                }
            }
        }
    }

    fn keys_of(&mut self, text: &str) {
        for piece in text.split("${").skip(1) {
            let name = piece.split(['}', ',']).next().unwrap_or_default();
            self.keys.push(name.trim().to_owned());
        }
    }

    fn name(&mut self, pattern: &PrincipalPattern) {
        match pattern {
            PrincipalPattern::Arn(arn) => {
                self.principals.extend(principal(arn));
                // The role of a session, and a session of a role, with each other's names.
                if let (Some(Principal::AssumedRole { role_arn, .. }), true) =
                    (principal(arn), arn.contains(":role/"))
                {
                    let name = role_arn.rsplit('/').next().unwrap_or_default();
                    let session_arn = arn.replace(":iam:", ":sts:");
                    let session_arn = session_arn
                        .split(":role/")
                        .next()
                        .map(|start| format!("{start}:assumed-role/{name}/ann"));
                    self.principals.extend(
                        session_arn
                            .map(|session_arn| Principal::AssumedRole { role_arn, session_arn }),
                    );
                }
            }
            PrincipalPattern::Account(account) => {
                self.principals.push(Principal::Root(*account));
                self.principals.extend(principal(&format!("arn:aws:iam::{account}:user/x")));
            }
            PrincipalPattern::UniqueId(id) => self.values.push(id.clone()),
            PrincipalPattern::Service(name) => self.principals.extend(principal(name)),
            PrincipalPattern::Federated(name) => {
                self.principals.push(Principal::Federated { provider: name.clone() });
            }
            PrincipalPattern::Anyone | PrincipalPattern::CanonicalUser(_) => {}
        }
    }

    fn draw(&self, dice: &mut Dice, kind: Kind) -> Asked {
        let mut context = Context::default();
        for _ in 0..dice.roll(2 * self.keys.len() + 1).min(12) {
            let key = dice.pick(&self.keys).to_owned();
            if dice.roll(4) == 0 && may_be_set(&key) {
                let values = (0..dice.roll(4)).map(|_| self.value(dice, &context)).collect();
                context.set_many(key, values);
            } else {
                let value = self.value(dice, &context);
                context.set(key, value);
            }
        }
        let mut principal = Principal::User { arn: "arn:aws:iam::123456789012:user/x".into() };
        if kind != Kind::Identity {
            match dice.roll(self.principals.len() + 2) {
                0 => principal = Principal::Anonymous,
                1 => {}
                at => principal = self.principals[at - 2].clone(),
            }
        }
        let resource = match dice.pick(&self.resources) {
            "*" => "*".to_owned(),
            text => {
                // A pattern that is cut short is completed.
                let missing = 5_usize.saturating_sub(text.matches(':').count());
                fill(&format!("{text}{}", ":*".repeat(missing)), dice, &context)
            }
        };
        let action = fill(dice.pick(&self.actions), dice, &context);
        let action = if action.contains(':') { action } else { "a:b".to_owned() };
        Asked { principal, action, resource, context }
    }

    fn value(&self, dice: &mut Dice, context: &Context) -> String {
        let text = dice.pick(&self.values);
        match dice.roll(10) {
            0 => String::new(),
            1 => "x".to_owned(),
            2 => text.to_owned(),
            3 => flipped(text),
            4 => text.split('/').next().unwrap_or_default().to_owned(),
            5 => text
                .parse::<f64>()
                .map_or(text.to_owned(), |n| (n + [1.0, -1.0, 0.5][dice.roll(3)]).to_string()),
            _ => fill(text, dice, context),
        }
    }
}

/// A text with its letters in the other case.
fn flipped(text: &str) -> String {
    let flip = |c: char| {
        if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }
    };
    text.chars().map(flip).collect()
}

/// A text that a pattern may match.
fn fill(pattern: &str, dice: &mut Dice, context: &Context) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        if let Some((name, after)) = rest.strip_prefix("${").and_then(|r| r.split_once('}')) {
            let (key, default) = name.split_once(',').unwrap_or((name, "'x'"));
            match context.get(key.trim()) {
                Some(values) => out.extend(values.as_slice().first().cloned()),
                None if matches!(name, "*" | "?" | "$") => out.push_str(name),
                None => out.push_str(default.trim().trim_matches('\'')),
            }
            rest = after;
            continue;
        }
        match c {
            '*' => out.push_str(["", "x", "ab", "x:y", "a/b"][dice.roll(5)]),
            '?' => out.push(['x', 'a', ':'][dice.roll(3)]),
            c => out.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    out
}

// ---- the promises ------------------------------------------------------------------------------

fn keys(text: &str) -> Context {
    let mut out = Context::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        if value.contains('|') && may_be_set(key) {
            out.set_many(key.to_owned(), value.split('|').map(str::to_owned).collect());
        } else {
            out.set(key.to_owned(), value);
        }
    }
    out
}

/// A witness does what it is said to do; against a proof no request does.
fn holds(answer: &Answer, requests: &[Asked], does: impl Fn(&Request<'_>) -> bool) {
    match answer {
        Answer::Counterexample(witness) => assert!(does(&witness.request()), "{witness:?}"),
        Answer::Proved => {
            for asked in requests.iter().filter(|asked| asked.is_well_formed()) {
                assert!(!does(&asked.request()), "proved, but {:?}", asked.request());
            }
        }
        Answer::Undecided(undecided) => assert!(!undecided.to_string().is_empty()),
    }
}

fuzz_target!(|text: &str| {
    let started = Instant::now();
    let mut parts = text.split("\n---\n");
    let mut next = || parts.next().unwrap_or_default();
    let (first, second, asked, given) = (next(), next(), next(), next());
    let seed = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for kind in KINDS {
        let (Some(a), Some(b)) = (document(first, kind), document(second, kind)) else { continue };
        let mut said = Said::default();
        said.add(&a);
        said.add(&b);
        let mut dice = Dice(seed | 1);
        let mut requests: Vec<Asked> = (0..REQUESTS).map(|_| said.draw(&mut dice, kind)).collect();
        let mut words = asked.split(' ');
        let mut next = || words.next().unwrap_or_default();
        let (action, resource, who) = (next().to_owned(), next().to_owned(), principal(next()));
        if let Some(principal) = who {
            requests.push(Asked { principal, action, resource, context: keys(given) });
        }
        let allowed = |document: &Document, request: &Request<'_>| allows(document, kind, request);

        let forth = check_no_new_access(&a, &b, kind);
        holds(&forth, &requests, |request| allowed(&b, request) && !allowed(&a, request));
        let back = check_no_new_access(&b, &a, kind);
        holds(&back, &requests, |request| allowed(&a, request) && !allowed(&b, request));
        let same = equivalent(&a, &b, kind);
        holds(&same, &requests, |request| allowed(&a, request) != allowed(&b, request));
        assert_eq!(same.is_proved(), forth.is_proved() && back.is_proved());

        let mut alone = a.clone();
        alone.statements.truncate(1);
        alone.statements[0].effect = Effect::Allow;
        let never = check_never_applies(&a, 0, kind);
        holds(&never, &requests, |request| allowed(&alone, request));

        let asked = &b.statements[0];
        let access = Access {
            actions: asked.action.patterns().clone(),
            resources: asked.resource.iter().flat_map(|r| r.patterns()).cloned().collect(),
        };
        // No pattern has a variable here.
        let mut within = Document::new(
            ringfence_policy::document::Version::V2008,
            None,
            vec![alone.statements[0].clone()],
        );
        within.statements[0].conditions.clear();
        within.statements[0].principal = None;
        within.statements[0].action =
            ringfence_policy::document::Matching::These(access.actions.clone());
        within.statements[0].resource = (kind != Kind::Trust)
            .then(|| ringfence_policy::document::Matching::These(access.resources.clone()));
        let granted = check_access_not_granted(&a, &[access], kind);
        holds(&granted, &requests, |request| {
            allowed(&a, request) && allows(&within, Kind::Identity, request)
        });
        for answer in [
            check_no_public_access(&a, kind),
            check_no_external_access(
                &a,
                &AccountId::new(111_111_111_111).into_iter().collect::<Vec<_>>(),
                kind,
            ),
        ] {
            holds(&answer, &[], |request| allowed(&a, request));
        }
    }
    assert!(started.elapsed() < LONGEST, "the analyses took too long");
});
