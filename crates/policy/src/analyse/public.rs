//! Who an outsider is.
//!
//! A resource's policy is public if it lets in someone whom nothing about the resource's owner picks
//! out. AWS publishes no definition for its check; S3 has one for its own, which is followed in its
//! spirit: a policy is not public where it is limited to *fixed* values of the keys that identify a
//! caller, a network or the source of a service's call.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status>
//!
//! So an outsider is anonymous, or of an account that the policy does not name, or has an identity
//! of a provider at which anyone can get one; whose identifying keys have none of the fixed values that
//! the policy compares them with (or are absent); and who sets every other key at will.

use super::principal::Caller;
use crate::condition::network;
use crate::document::{Comparison as C, Condition, Document, Operator, Statement};
use crate::evaluate::Principal;
use crate::{AccountId, Arn};
use std::net::IpAddr;

/// Keys that say who asks, from where, or on whose behalf.
const IDENTIFYING: [&str; 23] = [
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourcearn",
    "aws:sourceaccount",
    "aws:sourceowner",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourcevpc",
    "aws:sourcevpcarn",
    "aws:sourcevpce",
    "aws:vpceaccount",
    "aws:vpceorgid",
    "aws:vpceorgpaths",
    "aws:sourceip",
    "aws:userid",
    "kms:calleraccount",
    "lambda:eventsourcetoken",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
    "s3:accessgrantsinstancearn",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
];

/// Variables whose values are the resource's own.
const OF_THE_RESOURCE: [&str; 4] =
    ["aws:resourceaccount", "aws:resourceorgid", "aws:resourceorgpaths", "s3:resourceaccount"];

/// Providers of identities that anyone can have.
const OPEN_PROVIDERS: [&str; 9] = [
    "accounts.google.com",
    "agent.buildkite.com",
    "app.terraform.io",
    "cognito-identity.amazonaws.com",
    "gitlab.com",
    "graph.facebook.com",
    "oidc.circleci.com",
    "token.actions.githubusercontent.com",
    "www.amazon.com",
];

/// Whether anyone can have an identity of this provider: a host's name, or the ARN of an OIDC provider.
fn is_open_provider(provider: &str) -> bool {
    let host = Arn::parse(provider).map_or(provider, |arn| arn.resource_id());
    let host = host.split('/').next().unwrap_or_default();
    OPEN_PROVIDERS.iter().any(|open| host.eq_ignore_ascii_case(open))
}

/// Whether a caller may be an outsider to a document that names whom it names.
pub(super) fn may_be_outsider(caller: &Caller) -> bool {
    match &caller.principal {
        Some(Principal::Anonymous) => true,
        Some(Principal::Federated { provider }) => caller.is_unnamed || is_open_provider(provider),
        // AWS's services act for their customers under rules of their own.
        Some(Principal::Service(_)) | None => false,
        Some(_) => caller.is_unnamed && caller.unique_id.is_none(),
    }
}

/// Whether a caller is outside of these accounts.
pub(super) fn is_external(caller: &Caller, accounts: &[AccountId]) -> bool {
    match &caller.principal {
        Some(Principal::Anonymous) => true,
        Some(Principal::Service(_)) => false,
        Some(Principal::Federated { provider }) => {
            let account = Arn::parse(provider).ok().and_then(|arn| arn.account_id());
            account.is_none_or(|account| !accounts.contains(&account))
        }
        Some(principal) => principal.account().is_some_and(|account| !accounts.contains(&account)),
        None => true,
    }
}

/// A statement that applies to the requests that these conditions leave.
fn narrowed(conditions: Vec<Condition>) -> Statement {
    Statement { conditions, resource: None, ..super::full_access() }
}

fn condition(comparison: C, if_exists: bool, key: &str, values: Vec<String>) -> Condition {
    let operator = Operator { set: None, comparison, if_exists };
    Condition { operator, key: key.to_owned(), values }
}

/// No service calls, and no mount target is used.
fn direct() -> Vec<Condition> {
    vec![
        condition(C::Bool, true, "aws:PrincipalIsAWSService", vec!["false".to_owned()]),
        condition(C::Null, false, "aws:PrincipalServiceName", vec!["true".to_owned()]),
        condition(C::Null, false, "aws:PrincipalServiceNamesList", vec!["true".to_owned()]),
        condition(
            C::Bool,
            true,
            "elasticfilesystem:AccessedViaMountTarget",
            vec!["false".to_owned()],
        ),
    ]
}

/// Those of the direct call's conditions that make a difference: on keys that the document looks at.
fn relevant(conditions: Vec<Condition>, document: &Document) -> Vec<Condition> {
    let mut out = conditions;
    out.retain(|condition| {
        let statements = document.statements.iter();
        let mut all = statements.flat_map(|statement| &statement.conditions);
        all.any(|other| other.key.eq_ignore_ascii_case(&condition.key))
    });
    out
}

/// The requests of outsiders to a document.
pub(super) fn outsiders(document: &Document) -> Statement {
    let mut out = relevant(direct(), document);
    for statement in &document.statements {
        for own in &statement.conditions {
            let Some(comparison) = opposite(own.operator.comparison) else { continue };
            let mut values = own.values.clone();
            values.retain(|value| is_fixed(own, value, document));
            if is_great_part(&values) {
                continue;
            }
            if !values.is_empty() && is_identifying(&own.key) {
                out.push(condition(comparison, false, &own.key, values));
            }
        }
    }
    narrowed(out)
}

/// The requests of callers outside of these accounts.
pub(super) fn externals(document: &Document, accounts: &[AccountId]) -> Statement {
    let own: Vec<String> = accounts.iter().map(AccountId::to_string).collect();
    let arns = own.iter().map(|account| format!("arn:*:*:*:{account}:*")).collect();
    let mut out = direct();
    out.push(condition(C::StringNotEquals, false, "aws:PrincipalAccount", own.clone()));
    out.push(condition(C::StringNotEquals, false, "kms:CallerAccount", own));
    out.push(condition(C::ArnNotLike, false, "aws:PrincipalArn", arns));
    narrowed(relevant(out, document))
}

fn is_identifying(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let of_provider = key.rsplit_once(':').is_some_and(|(provider, claim)| {
        let host = provider.split('/').next().unwrap_or_default();
        is_open_provider(provider) && identifying_claims(host).contains(&claim)
    });
    IDENTIFYING.contains(&key.as_str()) || of_provider
}

/// The claims that say whose identity it is. An audience does so only where the provider gives it out
/// to one owner; elsewhere whoever asks for a token chooses it.
fn identifying_claims(host: &str) -> &'static [&'static str] {
    match host {
        "accounts.google.com" => &["aud", "oaud", "sub"],
        "cognito-identity.amazonaws.com" => &["aud", "sub"],
        "graph.facebook.com" => &["app_id", "id"],
        "www.amazon.com" => &["app_id", "user_id"],
        "token.actions.githubusercontent.com" => &[
            "sub",
            "repository",
            "repository_id",
            "repository_owner",
            "repository_owner_id",
            "job_workflow_ref",
        ],
        _ => &["sub"],
    }
}

/// The comparison that holds where none of the values hits.
const fn opposite(comparison: C) -> Option<C> {
    Some(match comparison {
        C::StringEquals | C::StringNotEquals => C::StringNotEquals,
        C::StringEqualsIgnoreCase | C::StringNotEqualsIgnoreCase => C::StringNotEqualsIgnoreCase,
        C::StringLike | C::StringNotLike => C::StringNotLike,
        C::ArnEquals | C::ArnLike | C::ArnNotEquals | C::ArnNotLike => C::ArnNotLike,
        C::IpAddress | C::NotIpAddress => C::NotIpAddress,
        _ => return None,
    })
}

/// Whether a value picks out someone whom an outsider cannot be.
fn is_fixed(condition: &Condition, value: &str, document: &Document) -> bool {
    let comparison = condition.operator.comparison;
    if matches!(comparison, C::IpAddress | C::NotIpAddress) {
        return network(value).is_some_and(|network| is_narrow(&network));
    }
    if super::variables::in_value(value, comparison, document.version) {
        let only = value.strip_prefix("${").and_then(|v| v.strip_suffix('}'));
        return only
            .is_some_and(|name| OF_THE_RESOURCE.contains(&name.to_ascii_lowercase().as_str()));
    }
    let wild = match comparison {
        C::StringLike
        | C::StringNotLike
        | C::ArnEquals
        | C::ArnLike
        | C::ArnNotEquals
        | C::ArnNotLike => value.find(['*', '?']),
        _ => None,
    };
    let Some(wild) = wild else { return true };
    let key = condition.key.to_ascii_lowercase();
    if key.ends_with("arn") {
        // An ARN of one account is nobody else's.
        // The wildcards of strings reach over colons: there the account stands before the first.
        let strings = matches!(comparison, C::StringLike | C::StringNotLike);
        let plain = if strings { &value[..wild] } else { value };
        return Arn::parse(plain).is_ok_and(|arn| arn.account_id().is_some());
    }
    let before = &value[..wild];
    match key.as_str() {
        // An organization, before its units.
        _ if key.ends_with("orgpaths") => before.contains('/'),
        // A role's or user's unique id, before the session.
        "aws:userid" => before.contains(':'),
        // A repository's whole owner, after the word for what it is: `repo:octo*` is anyone's.
        _ if key.ends_with(":sub") => before
            .split_once(':')
            .and_then(|(_, own)| own.split_once(['/', ':']))
            .is_some_and(|(owner, _)| !owner.is_empty()),
        _ => false,
    }
}

/// Whether blocks, each narrow, are together a great part of all addresses from which anybody may call.
fn is_great_part(values: &[String]) -> bool {
    let sizes = values.iter().filter_map(|value| match network(value)? {
        ipnet::IpNet::V4(block) if !block.addr().is_private() => {
            Some(1_u64 << (32 - u32::from(block.prefix_len())))
        }
        _ => None,
    });
    sizes.sum::<u64>() > 1 << 24
}

/// Whether a block is that of someone: not a great part of all addresses, unless nobody can call from it.
fn is_narrow(network: &ipnet::IpNet) -> bool {
    match network.addr() {
        // Private blocks are no wider.
        IpAddr::V4(_) => network.prefix_len() >= 8,
        IpAddr::V6(address) => {
            network.prefix_len() >= if address.is_unique_local() { 7 } else { 32 }
        }
    }
}
