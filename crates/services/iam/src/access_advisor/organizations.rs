//! Access reports of an organization. No account here is in one yet, so that there is nothing to
//! report on, and no job of such a report.

use crate::Iam;
use crate::errors;
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_wire::ServiceError;

/// Refuses a path of an organization that the caller's account is not in, as AWS refuses any other
/// organization's.
pub(crate) async fn generate_organizations_access_report(
    _: &Iam,
    call: Call<ops::GenerateOrganizationsAccessReport>,
) -> Result<Answer<types::GenerateOrganizationsAccessReportResponse>, ServiceError> {
    let (id, path) = (call.account()?, call.input.entity_path.as_str());
    let arn = format!("arn:aws:iam::{id}:access-report/{path}");
    let policy = call.input.organizations_policy_id.as_deref();
    call.allow(Resolved::new(&arn, id, ()).key_if("iam:OrganizationsPolicyId", policy))?;
    Err(errors::outside(&call.caller().identity.arn(), path))
}

pub(crate) async fn get_organizations_access_report(
    _: &Iam,
    call: Call<ops::GetOrganizationsAccessReport>,
) -> Result<Answer<types::GetOrganizationsAccessReportResponse>, ServiceError> {
    call.allow(Resolved::any(call.account()?))?;
    Err(errors::no_such_job(&call.input.job_id))
}
