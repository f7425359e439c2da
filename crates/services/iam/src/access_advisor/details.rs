//! Reports on last accesses: begun, and read when they are done.

use super::Subject;
use super::jobs::{self, Job};
use super::report::{Attempt, Plan, Principal, Report, ServiceUse};
use crate::Iam;
use crate::errors;
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{
    self, AccessAdvisorUsageGranularityType, ErrorDetails, JobStatusType,
};
use ringfence_policy::reference;
use ringfence_wire::{ServiceError, Timestamp};

/// Services of a page where `MaxItems` is not given. AWS's page says 100, and 200 come.
const SERVICES: i32 = 200;

pub(crate) async fn generate_service_last_accessed_details(
    iam: &Iam,
    call: Call<ops::GenerateServiceLastAccessedDetails>,
) -> Result<Answer<types::GenerateServiceLastAccessedDetailsResponse>, ServiceError> {
    let (id, arn) = (call.account()?, call.input.arn.as_str());
    let subject = Subject::allow(iam, &call, arn, id, || errors::unsupported_arn(arn))?;
    let account = subject.view();
    let documents = subject.policies(&account);
    let plan = Plan {
        account: id,
        documents: documents.iter().map(|held| held.policy.document().clone()).collect(),
        principals: subject.principals(&account, id),
        actions: call.input.granularity == Some(AccessAdvisorUsageGranularityType::ActionLevel),
        now: call.now().seconds,
    };
    let job_id = Some(jobs::begin(iam, &call, plan).await?);
    Ok(subject.answer(types::GenerateServiceLastAccessedDetailsResponse { job_id }))
}

/// How a job stands, as both answers tell it.
struct Standing<'j> {
    status: JobStatusType,
    completed: Option<Timestamp>,
    report: Option<&'j Report>,
    error: Option<ErrorDetails>,
}

impl<'j> Standing<'j> {
    fn of(job: &'j Job, now: Timestamp) -> Self {
        let outcome = job.outcome(now);
        let report = outcome.and_then(|outcome| outcome.report);
        let (status, error) = match (outcome, report) {
            (None, _) => (JobStatusType::InProgress, None),
            (Some(_), Some(_)) => (JobStatusType::Completed, None),
            (Some(_), None) => {
                let failure = errors::report_failed();
                let code = failure.code.into_owned();
                (JobStatusType::Failed, Some(ErrorDetails { code, message: failure.message }))
            }
        };
        Self { status, completed: outcome.map(|outcome| outcome.at), report, error }
    }
}

pub(crate) async fn get_service_last_accessed_details(
    iam: &Iam,
    call: Call<ops::GetServiceLastAccessedDetails>,
) -> Result<Answer<types::GetServiceLastAccessedDetailsResponse>, ServiceError> {
    let (id, input, now) = (call.account()?, &call.input, call.now());
    let permit = call.allow(Resolved::any(id))?;
    let job = iam.access_jobs.get(id, call.caller(), &input.job_id, now)?;
    let max_items = input.max_items.or(Some(SERVICES));
    let pager = iam.pager(&call, &[&job.id], input.marker.as_deref(), max_items)?;
    let standing = Standing::of(&job, now);
    let page = pager.cut(standing.report.into_iter().flat_map(|report| {
        report.services.iter().map(|(prefix, used)| (&**prefix, service(report, prefix, used)))
    }))?;
    let kind = match job.actions {
        true => AccessAdvisorUsageGranularityType::ActionLevel,
        false => AccessAdvisorUsageGranularityType::ServiceLevel,
    };
    let done = standing.completed.is_some();
    Ok(permit.answer(types::GetServiceLastAccessedDetailsResponse {
        job_status: standing.status,
        job_type: done.then_some(kind),
        job_creation_date: job.created,
        is_truncated: page.truncated(),
        services_last_accessed: standing.report.map(|_| page.items),
        job_completion_date: standing.completed,
        marker: page.marker,
        error: standing.error,
    }))
}

/// An attempt as answers carry it: who, when, where.
fn told(
    report: &Report,
    attempt: Option<(usize, &Attempt)>,
) -> (Option<String>, Option<Timestamp>, Option<String>) {
    let Some((principal, attempt)) = attempt else { return (None, None, None) };
    (
        report.principals.get(principal).map(|principal| principal.arn.to_string()),
        Some(Timestamp::from_seconds(attempt.at)),
        Some(attempt.region.to_string()),
    )
}

fn service(report: &Report, prefix: &str, used: &ServiceUse) -> types::ServiceLastAccessed {
    let (entity, at, region) = told(report, used.last());
    let actions = used.actions.iter().map(|(name, attempt)| {
        let (entity, at, region) = told(report, attempt.as_ref().map(|(who, how)| (*who, how)));
        types::TrackedActionLastAccessed {
            action_name: Some(name.to_string()),
            last_accessed_entity: entity,
            last_accessed_time: at,
            last_accessed_region: region,
        }
    });
    let actions: Vec<_> = actions.collect();
    types::ServiceLastAccessed {
        service_name: used.name.to_string(),
        last_authenticated: at,
        service_namespace: prefix.to_owned(),
        last_authenticated_entity: entity,
        last_authenticated_region: region,
        total_authenticated_entities: i32::try_from(used.attempts.len()).ok(),
        tracked_actions_last_accessed: (!actions.is_empty()).then_some(actions),
    }
}

pub(crate) async fn get_service_last_accessed_details_with_entities(
    iam: &Iam,
    call: Call<ops::GetServiceLastAccessedDetailsWithEntities>,
) -> Result<Answer<types::GetServiceLastAccessedDetailsWithEntitiesResponse>, ServiceError> {
    let (id, input, now) = (call.account()?, &call.input, call.now());
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    let job = iam.access_jobs.get(id, call.caller(), &input.job_id, now)?;
    let namespace = input.service_namespace.as_str();
    if reference::service(namespace).is_none_or(|service| service.prefix != namespace) {
        return Err(errors::no_such_namespace(namespace));
    }
    let pager = iam.pager(&call, &[&job.id], input.marker.as_deref(), input.max_items)?;
    let standing = Standing::of(&job, now);
    let account = ledger.view(&permit);
    let entities = standing.report.map_or_else(Vec::new, |report| entities(report, namespace));
    // Who is there no more is passed over; places are told by the frozen list.
    let entities = entities.into_iter().enumerate().filter_map(|(place, (principal, at))| {
        Some((format!("{place:010}"), entity(&principal.now(&account, id)?, at)))
    });
    let page = pager.cut(entities)?;
    Ok(permit.answer(types::GetServiceLastAccessedDetailsWithEntitiesResponse {
        job_status: standing.status,
        job_creation_date: job.created,
        is_truncated: page.truncated(),
        job_completion_date: standing.completed,
        entity_details_list: standing.report.map(|_| page.items),
        marker: page.marker,
        error: standing.error,
    }))
}

/// Those who can use a service, who used it last first.
fn entities<'r>(report: &'r Report, namespace: &str) -> Vec<(&'r Principal, Option<i64>)> {
    let Some(used) = report.services.get(namespace) else { return Vec::new() };
    let at = |place: usize| used.attempts.get(&place).map(|attempt| attempt.at);
    let all = report.principals.iter().enumerate();
    let mut all: Vec<_> = all.map(|(place, principal)| (principal, at(place))).collect();
    all.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
    all
}

fn entity(principal: &Principal, at: Option<i64>) -> types::EntityDetails {
    types::EntityDetails {
        entity_info: types::EntityInfo {
            arn: principal.arn.to_string(),
            name: principal.name.to_string(),
            r#type: principal.kind.clone(),
            id: principal.id.to_string(),
            path: Some(principal.path.to_string()),
        },
        last_authenticated: at.map(Timestamp::from_seconds),
    }
}
