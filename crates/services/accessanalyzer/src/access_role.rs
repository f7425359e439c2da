//! The role with which AWS's Access Analyzer reads trails. Here nothing needs it to read; it is asked
//! for and looked at all the same, so that what passes here passes there.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-policy-generation.html#access-analyzer-policy-generation-perms>

use crate::errors;
use ringfence_gateway::directory::RoleFacts;
use ringfence_gateway::{Call, Directory, Identity, Resolved};
use ringfence_policy::account::{Assumption, Known, assume};
use ringfence_policy::{AccountId, Arn, PolicySet, Principal, Request, ResourcePolicy, decide};
use ringfence_wire::{ServiceError, TypedOperation};

/// The service's principal.
const SERVICE: &str = "access-analyzer.amazonaws.com";

/// Asks whether the caller may pass the role to Access Analyzer, and only then whether there is one.
pub(crate) fn pass<O: TypedOperation>(
    call: &Call<O>,
    account: AccountId,
    arn: &str,
) -> Result<RoleFacts, ServiceError> {
    let Some((owner, path, name)) = cut(arn) else {
        return Err(errors::invalid("accessRole", "It is no ARN of a role."));
    };
    if owner != account {
        return Err(ServiceError::access_denied("Cross-account pass role is not allowed."));
    }
    let role = call.shared().directory.role(account, name);
    let role = role.filter(|role| role.path == path && role.name == name);
    let resolved = Resolved::new(arn, account, role).key("iam:PassedToService", SERVICE);
    let (role, _) = call.allow_action("iam:PassRole", resolved)?.take();
    role.ok_or_else(|| errors::invalid("accessRole", "The access role was not found."))
}

/// The account, path and name of a role's ARN.
fn cut(text: &str) -> Option<(AccountId, &str, &str)> {
    let arn = Arn::parse(text).ok().filter(|arn| arn.service == "iam" && arn.region.is_empty())?;
    let rest = arn.resource.strip_prefix("role")?;
    let (path, name) = rest.split_at(rest.rfind('/')? + 1);
    (path.starts_with('/') && !name.is_empty()).then_some((arn.account_id()?, path, name))
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
        role_name: role.name.clone(),
        role_path: role.path.clone(),
        role_id: role.id.clone(),
        session_name: "AccessAnalyzer".to_owned(),
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
