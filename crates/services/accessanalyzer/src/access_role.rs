//! The role with which AWS's Access Analyzer reads trails. Here nothing needs it to read; it is asked
//! for and looked at all the same, so that what passes here passes there.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-policy-generation.html#access-analyzer-policy-generation-perms>

use crate::errors;
use ringfence_gateway::directory::RoleFacts;
use ringfence_gateway::{Call, Directory, Identity, NotPassed, PassRole, Passed};
use ringfence_policy::account::{Assumption, Known, assume};
use ringfence_policy::{AccountId, PolicySet, Principal, Request, ResourcePolicy, decide};
use ringfence_wire::{ServiceError, TypedOperation};

/// The service's principal.
const SERVICE: &str = "access-analyzer.amazonaws.com";

/// Asks whether the caller may pass the role to Access Analyzer. Whether the role trusts it is found out
/// by the job.
pub(crate) fn pass<O: TypedOperation>(call: &Call<O>, arn: &str) -> Result<Passed, ServiceError> {
    call.pass_role(&PassRole::by_arn(arn, SERVICE).untested()).map_err(|why| {
        why.or(|why| match why {
            NotPassed::OtherAccount => NotPassed::cross_account(),
            NotPassed::NoRole => errors::invalid("accessRole", "It is no ARN of a role."),
            _ => errors::invalid("accessRole", "The access role was not found."),
        })
    })
}

/// Whether the role trusts Access Analyzer, and may look at the trails. The words say which fails.
pub(crate) fn can_read(
    directory: &dyn Directory,
    account: AccountId,
    role: &RoleFacts,
    trails: &[String],
) -> Result<(), String> {
    let identity = Identity::AssumedRole {
        account,
        role_name: (&*role.name).into(),
        role_path: (&*role.path).into(),
        role_id: (&*role.id).into(),
        session_name: "AccessAnalyzer".into(),
    };
    let arn = identity.principal_arn();
    let mut known = Known::default();
    known.set("aws:PrincipalIsAWSService", "true");
    known.set("aws:PrincipalServiceName", SERVICE);
    known.set("aws:SourceAccount", account.to_string());
    // Conditions on keys that only AWS's own call would have are taken to hold.
    let trust = assume(&role.trust, &known, Assumption::Optimistic);
    let service = Principal::Service(SERVICE.to_owned());
    let request = Request {
        principal: &service,
        action: "sts:AssumeRole",
        resource: &arn,
        resource_account: account,
        context: known.context(),
    };
    let resource = Some(ResourcePolicy::Trust(&trust));
    if !decide(&request, &PolicySet { resource, ..PolicySet::default() }).is_allowed() {
        return Err(format!("The role {arn} cannot be assumed by {SERVICE}."));
    }
    let Some(authority) = directory.authority(&identity) else {
        return Err(format!("The role {arn} was not found."));
    };
    let principal = identity.principal();
    let mut known = Known::default();
    known.set("aws:PrincipalArn", arn.as_str());
    known.set("aws:PrincipalAccount", account.to_string());
    let context = known.context();
    for trail in trails {
        let action = "cloudtrail:GetTrail";
        let request = Request {
            principal: &principal,
            action,
            resource: trail,
            resource_account: account,
            context,
        };
        let policies = PolicySet {
            identity: authority.policies.iter().map(|policy| &*policy.document).collect(),
            boundary: authority.boundary.as_ref().map(|policy| &*policy.document),
            ..PolicySet::default()
        };
        if !decide(&request, &policies).is_allowed() {
            return Err(format!(
                "The role {arn} is not authorized to perform {action} on {trail}."
            ));
        }
    }
    Ok(())
}
