//! Which condition keys a statement is limited to: those that were the same each time.

use super::{GLOBAL_KEYS, Keys, Note, Options};
use crate::reference::{self, Action, ConditionKey};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Keys with the values that a condition lets through.
pub(super) type Conditions = BTreeMap<String, BTreeSet<String>>;

/// The most values of one key in a condition.
const MOST_VALUES: usize = 5;
/// The most different conditions on one action. With more, one is made for all of its resources.
const MOST_CONDITIONS: usize = 5;

/// Without a condition on these an action is worth far more: it is never given up, however many values
/// they had.
const GUARDS: [&str; 4] =
    ["iam:PassedToService", "iam:AWSServiceName", "iam:PolicyARN", "iam:PermissionsBoundary"];

/// Whether a key is one of those.
pub(super) fn guards(key: &str) -> bool {
    GUARDS.contains(&key)
}

/// Keys that say how one request was made, and not what it was for: the next request has another value.
const OF_ONE_REQUEST: [&str; 12] = [
    "sts:RoleSessionName",
    "sts:SourceIdentity",
    "s3:prefix",
    "s3:delimiter",
    "s3:authType",
    "s3:signatureversion",
    "s3:x-amz-content-sha256",
    "s3:VersionId",
    "s3:TlsVersion",
    "kms:MessageType",
    "kms:RequestAlias",
    "kms:WrappingKeySpec",
];

/// Of the keys of a request those that a condition can be made of, as the reference spells them. What
/// the action does not take by the reference would make no difference, or a needless one.
pub(super) fn usable(action: Option<&Action>, options: &Options, keys: Keys) -> Keys {
    let mut out = Keys::new();
    for (key, mut values) in keys {
        let global = GLOBAL_KEYS.iter().find(|name| name.eq_ignore_ascii_case(&key));
        let name = match global {
            Some(name) => options.global_keys.contains(name).then_some(*name),
            None => own(action.filter(|_| options.conditions), &key),
        };
        let Some(name) = name else { continue };
        values.sort_unstable();
        values.dedup();
        out.insert(name.to_owned(), values);
    }
    out
}

/// The key of the action that has this name, holds one text, and lasts longer than one request.
fn own(action: Option<&Action>, key: &str) -> Option<&'static str> {
    let action = action?;
    let of_resources = action.resource_types().flat_map(|of| {
        of.condition_keys().chain(of.resource_type.condition_keys()).collect::<Vec<_>>()
    });
    let mut all = action.condition_keys().chain(of_resources);
    let known = all.find(|known| known.name.eq_ignore_ascii_case(key))?;
    let is_plain = matches!(known.value_type, "String" | "ARN" | "Bool");
    let lasts = !OF_ONE_REQUEST.iter().any(|one| one.eq_ignore_ascii_case(key));
    let global = known.name.starts_with("aws:");
    (is_plain && lasts && !global).then_some(known.name)
}

/// The resources of an action by the conditions that they were all used under.
pub(super) fn constant<'s>(
    action: &str,
    seen: &'s BTreeMap<String, BTreeSet<Keys>>,
    notes: &mut BTreeSet<Note>,
) -> Vec<(Conditions, BTreeSet<&'s str>)> {
    let mut out: BTreeMap<Conditions, BTreeSet<&str>> = BTreeMap::new();
    for (resource, all) in seen {
        out.entry(common(action, all.iter(), notes)).or_default().insert(resource);
    }
    let guarded = out.keys().any(|all| all.keys().any(|key| guards(key)));
    if out.len() > MOST_CONDITIONS && !guarded {
        let all = common(action, seen.values().flatten(), notes);
        return vec![(all, seen.keys().map(String::as_str).collect())];
    }
    out.into_iter().collect()
}

/// The keys that were there each time, with all their values, where these are few.
fn common<'k>(
    action: &str,
    mut all: impl Iterator<Item = &'k Keys> + Clone,
    notes: &mut BTreeSet<Note>,
) -> Conditions {
    let mut out = Conditions::new();
    let Some(first) = all.clone().next() else { return out };
    for key in first.keys() {
        let mut values = BTreeSet::new();
        let always = all.by_ref().clone().all(|keys| match keys.get(key).map(Vec::as_slice) {
            Some([one]) => {
                values.insert(one.clone());
                true
            }
            _ => false,
        });
        if !always || !values.iter().all(|value| is_plain(key, value)) {
            continue;
        }
        if values.len() > MOST_VALUES && !guards(key) {
            notes.insert(Note::Varied(action.to_owned(), key.clone()));
        } else if says_something(key, &values) {
            out.insert(key.clone(), values);
        }
    }
    out
}

/// Whether a condition on the key can have a value as it is. One with wildcards or variables would mean
/// something else in some operator, and an address of a private network never reaches AWS's.
pub(super) fn is_plain(key: &str, value: &str) -> bool {
    let kind = value_type(key);
    let fits = match kind {
        "ARN" => crate::Arn::parse(value).is_ok(),
        "IPAddress" => value.parse().is_ok_and(is_public),
        "Bool" => matches!(value, "true" | "false"),
        _ => true,
    };
    fits && !value.is_empty()
        && !value.contains(['*', '?', '$'])
        && !value.contains(char::is_control)
}

fn is_public(address: IpAddr) -> bool {
    !matches!(address, IpAddr::V4(address) if address.is_private())
}

/// A truth value of both kinds is no condition, nor that a call was not protected.
fn says_something(key: &str, values: &BTreeSet<String>) -> bool {
    let protective = ["aws:SecureTransport", "aws:MultiFactorAuthPresent"].contains(&key);
    let both = value_type(key) == "Bool" && values.len() > 1;
    let unprotected = protective && values.contains("false");
    !both && !unprotected
}

fn value_type(key: &str) -> &'static str {
    reference::condition_key(key).map_or("String", |ConditionKey { value_type, .. }| value_type)
}

/// The operator that compares a key with whole values.
pub(super) fn operator(key: &str) -> &'static str {
    match value_type(key) {
        "ARN" => "ArnEquals",
        "Bool" => "Bool",
        "IPAddress" => "IpAddress",
        _ => "StringEquals",
    }
}
