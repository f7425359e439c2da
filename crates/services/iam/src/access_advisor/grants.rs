//! Which policies grant a user, group or role access to services.

use super::granted::{Granted, Work};
use super::{HeldPolicy, Source, Subject};
use crate::Iam;
use crate::errors;
use ringfence_gateway::{Answer, Call};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, PolicyType};
use ringfence_policy::reference;
use ringfence_wire::ServiceError;

/// More than there can be namespaces in a request.
const ALL: i32 = 1000;

pub(crate) async fn list_policies_granting_service_access(
    iam: &Iam,
    call: Call<ops::ListPoliciesGrantingServiceAccess>,
) -> Result<Answer<types::ListPoliciesGrantingServiceAccessResponse>, ServiceError> {
    let (id, input) = (call.account()?, &call.input);
    let arn = input.arn.as_str();
    let subject = Subject::allow(iam, &call, arn, id, || errors::no_entity_in_arn(arn))?;
    if matches!(subject, Subject::Policy(_)) {
        return Err(errors::unsupported_arn(arn));
    }
    let mut services = Vec::new();
    let mut unknown = Vec::new();
    for namespace in input.service_namespaces.iter().map(String::as_str) {
        match reference::service(namespace).filter(|service| service.prefix == namespace) {
            None => unknown.push(namespace),
            // Each once, in the order of the request.
            Some(service) if services.iter().any(|(prefix, _)| *prefix == service.prefix) => {}
            Some(service) => services.push((service.prefix, service)),
        }
    }
    if !unknown.is_empty() {
        return Err(errors::no_such_namespaces(&unknown));
    }
    let pager = iam.pager(&call, &[arn], input.marker.as_deref(), Some(ALL))?;
    let account = subject.view();
    let held = subject.policies(&account);
    let work = Work::of_call();
    let granted: Vec<_> =
        held.iter().map(|one| Granted::of([&**one.policy.document()], &work)).collect();
    let entries = services.iter().enumerate().map(|(place, (prefix, service))| {
        let all = held.iter().zip(&granted).filter(|(_, granted)| granted.names(service));
        let mut policies: Vec<types::PolicyGrantingServiceAccess> = Vec::new();
        for (held, _) in all {
            let policy = shown(held);
            // A managed policy may come by way of several groups.
            if policy.policy_arn.is_none()
                || !policies.iter().any(|one| one.policy_arn == policy.policy_arn)
            {
                policies.push(policy);
            }
        }
        let entry = types::ListPoliciesGrantingServiceAccessEntry {
            service_namespace: Some((*prefix).to_owned()),
            policies: Some(policies),
        };
        (format!("{place:04}"), entry)
    });
    let page = pager.cut(entries)?;
    Ok(subject.answer(types::ListPoliciesGrantingServiceAccessResponse {
        is_truncated: page.truncated(),
        policies_granting_service_access: page.items,
        marker: page.marker,
    }))
}

fn shown(held: &HeldPolicy<'_>) -> types::PolicyGrantingServiceAccess {
    match &held.source {
        Source::Inline { name, owner, owner_name } => types::PolicyGrantingServiceAccess {
            policy_name: (*name).to_owned(),
            policy_type: PolicyType::Inline,
            policy_arn: None,
            entity_type: Some(owner.clone()),
            entity_name: Some((*owner_name).to_owned()),
        },
        Source::Managed { arn } => types::PolicyGrantingServiceAccess {
            policy_name: arn.rsplit('/').next().unwrap_or(arn).to_owned(),
            policy_type: PolicyType::Managed,
            policy_arn: Some((*arn).to_owned()),
            entity_type: None,
            entity_name: None,
        },
    }
}
