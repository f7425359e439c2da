//! The condition keys that the server fills in for every call.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>

use crate::call::CallFacts;
use crate::caller::Identity;
use crate::clock::Second;
use ringfence_policy::{AccountId, Context};
use ringfence_wire::Timestamp;
use ringfence_wire::shape::TimestampFormat;

/// Completes the context of a request on a resource of `resource_account`: it holds what the handler
/// knows of the resource and the request. Nothing here is what a caller merely claims.
pub fn fill(facts: &CallFacts, resource_account: AccountId, context: &mut Context) {
    // An identity of an outside provider has none of the keys of whoever signed.
    let signed = facts.proved.get().is_none();
    if signed {
        principal(facts, context);
    }
    let session = facts.caller.session.as_deref().filter(|_| signed);

    if let Some(session) = session {
        let issued = Timestamp::from_seconds(session.issued);
        context.set("aws:TokenIssueTime", issued.format(TimestampFormat::DateTime));
        if let Some(source) = &session.source_identity {
            context.set("aws:SourceIdentity", source.as_str());
        }
        if session.root_task.is_some() {
            context.set("aws:AssumedRoot", "true");
        }
        if let Some(federation) = &session.federation {
            context.set("aws:FederatedProvider", federation.provider.as_str());
            for (key, values) in &federation.keys {
                match &values[..] {
                    [one] => context.set(key.clone(), one.as_str()),
                    many => context.set_many(key.clone(), many),
                }
            }
        }
        // The key is there only with temporary credentials: long-term keys have none, and policies
        // that mean "no MFA" must say `BoolIfExists`. A handler that has just checked a code has
        // set it already, and that is the later truth.
        if context.get("aws:MultiFactorAuthPresent").is_none() {
            context.set("aws:MultiFactorAuthPresent", word(session.mfa.is_some()));
            if let Some(at) = session.mfa {
                let age = facts.now.seconds.saturating_sub(at).max(0);
                context.set("aws:MultiFactorAuthAge", age.to_string());
            }
        }
    }

    match facts.via {
        // Where a service calls, the address is the service's, and not told.
        // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-sourceip
        None => context.add("aws:SourceIp", facts.source_ip.clone()),
        Some(via) => {
            let principal = format!("{via}.amazonaws.com");
            context.set_many("aws:CalledVia", [principal.as_str()]);
            context.set("aws:CalledViaFirst", principal.as_str());
            context.set("aws:CalledViaLast", principal);
        }
    }
    context.add("aws:UserAgent", facts.user_agent.clone());
    let now = Second::of(facts.now.seconds);
    context.add("aws:CurrentTime", now.date_time);
    context.add("aws:EpochTime", now.epoch);
    context.add("aws:SecureTransport", word(facts.secure));
    // A handler that asks about another region has said so.
    if context.get("aws:RequestedRegion").is_none() {
        context.add("aws:RequestedRegion", facts.region.clone());
    }
    context.add("aws:ResourceAccount", &*resource_account.digits());
    context.add("aws:ViaAWSService", word(facts.via.is_some()));
    context.add("aws:PrincipalIsAWSService", "false");
    if let Some(organization) = facts.shared.directory.organization(resource_account) {
        context.set("aws:ResourceOrgID", organization);
    }
}

const fn word(is: bool) -> &'static str {
    if is { "true" } else { "false" }
}

/// The keys that tell of the caller.
fn principal(facts: &CallFacts, context: &mut Context) {
    let identity = &facts.caller.identity;
    let Some(account) = identity.account() else {
        context.add("aws:PrincipalType", identity.principal_type());
        context.add("aws:PrincipalAccount", "anonymous");
        context.add("aws:userid", "anonymous");
        return;
    };
    context.add("aws:PrincipalArn", identity.principal_arn());
    context.add("aws:PrincipalAccount", &*account.digits());
    context.add("aws:PrincipalType", identity.principal_type());
    context.add("aws:userid", identity.user_id());
    if let Identity::User { name, .. } = identity {
        context.add("aws:username", name.as_str());
    }
    if let Some(organization) = facts.shared.directory.organization(account) {
        context.set("aws:PrincipalOrgID", organization);
    }
    for (key, value) in facts.authority.tags.iter() {
        context.set(format!("aws:PrincipalTag/{key}"), value.as_str());
    }
    // Session tags win over the principal's own of the same key.
    if let Some(session) = &facts.caller.session {
        for (key, value) in &session.tags {
            context.set(format!("aws:PrincipalTag/{key}"), value.as_str());
        }
    }
}
