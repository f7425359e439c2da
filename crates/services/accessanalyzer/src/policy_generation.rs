//! Policy generation: a job is started, looked at, listed and cancelled.

use crate::apart::apart;
use crate::generation::{self, Wanted};
use crate::jobs::{Cancel, End, Job, Jobs, Named, Started, State, Trails, failed};
use crate::{AccessAnalyzer, access_role, errors};
use ringfence_gateway::clock::Clock;
use ringfence_gateway::trail::Window;
use ringfence_gateway::transient::see_through;
use ringfence_gateway::{Answer, Call, Passing, Resolved, UnderWay};
use ringfence_model_accessanalyzer::{operations as ops, types};
use ringfence_policy::{AccountId, Arn};
use ringfence_wire::{ServiceError, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The longest time that one job looks back, in seconds: 90 days.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-quotas.html>
const LONGEST: i64 = 90 * 86_400;
/// How long a client token may be, how many trails and regions a request may name. AWS publishes none.
const LONGEST_TOKEN: usize = 256;
const MOST_NAMED: usize = 100;

pub(crate) async fn start_policy_generation(
    service: &AccessAnalyzer,
    call: Call<ops::StartPolicyGeneration>,
) -> Result<Passing<types::StartPolicyGenerationResponse>, ServiceError> {
    let input = &call.input;
    let account = call.account()?;
    let permit = call.allow(Resolved::any(account))?;
    let now = call.now();
    let token = input.client_token.as_ref();
    if token.is_some_and(|token| token.len() > LONGEST_TOKEN) {
        return Err(errors::invalid("clientToken", "It is too long."));
    }
    let details = input.cloud_trail_details.as_ref();
    let (from, until) = time_range(details, now)?;
    let trails = details.map(|details| trails(account, &details.trails)).transpose()?;
    let access_role = details.map(|details| access_role::pass(&call, &details.access_role));
    let access_role = access_role.transpose()?;
    let principal_arn = &input.policy_generation_details.principal_arn;
    let owner = Arn::parse(principal_arn).ok().and_then(|arn| arn.account_id());
    let directory = &call.shared().directory;
    // Another account's principals are nobody here, whether they are there or not.
    let principal_id = Some(account)
        .filter(|account| owner == Some(*account))
        .and_then(|_| directory.principal_id(principal_arn))
        .ok_or_else(|| errors::invalid("principalArn", "The principal was not found."))?;

    let answer = |id: &str| {
        let answer = permit.answer(types::StartPolicyGenerationResponse { job_id: id.to_owned() });
        match &access_role {
            Some(role) => Ok(role.answer(answer)),
            None => Ok(call.passes_nothing()?.answer(answer)),
        }
    };
    let cancel = Cancel::default();
    let mut random = [0; 16];
    call.shared().random.fill(&mut random).map_err(errors::failed)?;
    let id: Arc<str> = uuid::Builder::from_random_bytes(random).into_uuid().to_string().into();
    let job = Job {
        id: id.clone(),
        region: call.facts().region.clone().into(),
        principal_arn: principal_arn.as_str().into(),
        started: now,
        trail: details.map(|details| named(details, from, until)),
        token: token.map(|token| (token.clone(), fingerprint(input))),
        state: State::Running(UnderWay::at(now.seconds)),
    };
    if let Started::Before(id) = service.jobs.start(account, &job).await? {
        return answer(&id);
    }
    let wanted = Wanted {
        principal_id,
        // Both ends count.
        window: Window { account, from: from.seconds, until: until.seconds.saturating_add(1) },
        regions: regions(details),
        reader: access_role.as_deref().cloned().zip(trails),
    };
    let (shared, cancelled, (done, made)) =
        (call.facts().shared.clone(), cancel.clone(), oneshot::channel());
    let clock = shared.clock.clone();
    let work = move || {
        let ending =
            std::panic::AssertUnwindSafe(|| generation::generate(&shared, &wanted, &cancelled));
        let end = std::panic::catch_unwind(ending).unwrap_or_else(|_| {
            tracing::error!("a policy generation panicked");
            failed()
        });
        // Who waits for it may have gone with the server.
        drop(done.send(end));
        Ok(())
    };
    // The job goes on when its call is answered; how it ended is told by the job itself.
    drop(tokio::spawn(apart(work)));
    drop(tokio::spawn(keep(service.jobs.clone(), clock, (account, id.clone()), made, cancel)));
    answer(&id)
}

/// How often a server that works on a job looks whether somebody has cancelled it, wherever.
const LOOKED_EVERY: Duration = Duration::from_millis(500);

/// Keeps what a job made when it ends; one whose work was dropped has failed.
async fn keep(
    jobs: Arc<Jobs>,
    clock: Arc<dyn Clock>,
    (account, id): (AccountId, Arc<str>),
    made: oneshot::Receiver<End>,
    cancel: Cancel,
) {
    let note = async |state: State| {
        if let Err(error) = jobs.note(account, &id, clock.now(), state).await {
            tracing::error!(error = error.message, "what became of a job is not kept");
        }
    };
    let watch = async {
        while jobs.is_running(account, &id, clock.now()) {
            tokio::time::sleep(LOOKED_EVERY).await;
        }
        cancel.cancel();
        std::future::pending::<()>().await;
    };
    let still = || note(State::Running(UnderWay::at(clock.now().seconds)));
    let end = tokio::select! {
        end = see_through(made, still) => end.unwrap_or_else(failed),
        () = watch => failed(),
    };
    note(State::Ended(clock.now(), end)).await;
}

/// From when until when, both included.
fn time_range(
    details: Option<&types::CloudTrailDetails>,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), ServiceError> {
    let Some(details) = details else {
        return Ok((Timestamp::from_seconds(now.seconds.saturating_sub(LONGEST)), now));
    };
    let from = details.start_time;
    let until = details.end_time.unwrap_or(now).min(now);
    if from > until {
        return Err(errors::invalid("startTime", "The start time is not before the end time."));
    }
    if until.seconds.saturating_sub(from.seconds) > LONGEST {
        return Err(errors::invalid("startTime", "The time range is longer than 90 days."));
    }
    Ok((from, until))
}

/// The ARNs of trails that a request names. The audit log is one trail of each account, by any name.
/// Bytes of a trail's ARN, and of a region's name: both are kept with the job.
const LONGEST_ARN: usize = 1_024;
const LONGEST_REGION: usize = 64;

fn trails(account: AccountId, trails: &[types::Trail]) -> Result<Vec<String>, ServiceError> {
    let named =
        trails.iter().map(|trail| trail.regions.iter().flatten().count() + 1).sum::<usize>();
    if trails.is_empty() || named > MOST_NAMED {
        return Err(errors::invalid("trails", "Name at least one trail, and not too many."));
    }
    for trail in trails {
        let mut regions = trail.regions.iter().flatten();
        if trail.cloud_trail_arn.len() > LONGEST_ARN
            || regions.any(|one| one.len() > LONGEST_REGION)
        {
            return Err(errors::invalid("trails", "A name is too long."));
        }
        let arn = Arn::parse(&trail.cloud_trail_arn).ok();
        if arn.and_then(|arn| arn.account_id()) != Some(account) {
            return Err(errors::invalid("cloudTrailArn", "The trail was not found."));
        }
    }
    Ok(trails.iter().map(|trail| trail.cloud_trail_arn.clone()).collect())
}

/// The regions that the trails are asked for; none where one of them means all.
fn regions(details: Option<&types::CloudTrailDetails>) -> BTreeSet<String> {
    let trails = || details.into_iter().flat_map(|details| &details.trails);
    let of = |trail: &types::Trail| trail.regions.clone().unwrap_or_default();
    if trails().any(|trail| trail.all_regions == Some(true) || of(trail).is_empty()) {
        return BTreeSet::new();
    }
    trails().flat_map(of).collect()
}

/// What a job keeps of the details.
fn named(details: &types::CloudTrailDetails, from: Timestamp, until: Timestamp) -> Trails {
    let trail = |trail: &types::Trail| Named {
        arn: trail.cloud_trail_arn.clone(),
        regions: trail.regions.clone(),
        all_regions: trail.all_regions,
    };
    Trails { named: details.trails.iter().map(trail).collect(), from, until }
}

/// What tells one request from another with the same token.
fn fingerprint(input: &types::StartPolicyGenerationRequest) -> String {
    format!("{:?} {:?}", input.policy_generation_details, input.cloud_trail_details)
}

pub(crate) async fn get_generated_policy(
    service: &AccessAnalyzer,
    call: Call<ops::GetGeneratedPolicy>,
) -> Result<Answer<types::GetGeneratedPolicyResponse>, ServiceError> {
    let account = call.account()?;
    let permit = call.allow(Resolved::any(account))?;
    let now = call.now();
    let job = service.jobs.get(account, &call.facts().region, &call.input.job_id, now)?;
    let (mut policies, mut is_complete, mut job_error) = (None, None, None);
    match job.ended(now) {
        Some((_, End::Succeeded(made))) => {
            let each = |policy: &String| types::GeneratedPolicy { policy: policy.clone() };
            policies = Some(made.documents.iter().map(each).collect());
            is_complete = Some(made.is_complete);
        }
        Some((_, End::Failed(code, message))) => {
            job_error = Some(types::JobError { code, message });
        }
        None | Some((_, End::Cancelled)) => {}
    }
    // Every action is known with its resource: there are no placeholders to ask for, and no services
    // of which only the name is known.
    Ok(permit.answer(types::GetGeneratedPolicyResponse {
        job_details: types::JobDetails {
            job_id: job.id.to_string(),
            status: job.status(now),
            started_on: job.started,
            completed_on: job.completed(now),
            job_error,
        },
        generated_policy_result: types::GeneratedPolicyResult {
            properties: types::GeneratedPolicyProperties {
                is_complete,
                principal_arn: job.principal_arn.to_string(),
                cloud_trail_properties: job.trail.as_ref().map(Trails::told),
            },
            generated_policies: policies,
        },
    }))
}

pub(crate) async fn cancel_policy_generation(
    service: &AccessAnalyzer,
    call: Call<ops::CancelPolicyGeneration>,
) -> Result<Answer<types::CancelPolicyGenerationResponse>, ServiceError> {
    let account = call.account()?;
    let permit = call.allow(Resolved::any(account))?;
    let now = call.now();
    let job = service.jobs.get(account, &call.facts().region, &call.input.job_id, now)?;
    // What has ended stays as it ended.
    service.jobs.note(account, &job.id, now, State::Ended(now, End::Cancelled)).await?;
    Ok(permit.answer(types::CancelPolicyGenerationResponse {}))
}

pub(crate) async fn list_policy_generations(
    service: &AccessAnalyzer,
    call: Call<ops::ListPolicyGenerations>,
) -> Result<Answer<types::ListPolicyGenerationsResponse>, ServiceError> {
    let input = &call.input;
    let account = call.account()?;
    let permit = call.allow(Resolved::any(account))?;
    let now = call.now();
    let jobs = service.jobs.of(account, &call.facts().region, now).into_iter();
    let wanted = input.principal_arn.as_deref();
    let jobs = jobs.filter(|job| wanted.is_none_or(|arn| arn == &*job.principal_arn));
    // The newest first.
    let key = |job: &Job| format!("{:020}-{}", i64::MAX - job.started.seconds, job.id);
    let mut entries: Vec<_> = jobs
        .map(|job| {
            let entry = types::PolicyGeneration {
                job_id: job.id.to_string(),
                principal_arn: job.principal_arn.to_string(),
                status: job.status(now),
                started_on: job.started,
                completed_on: job.completed(now),
            };
            (key(&job), entry)
        })
        .collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let at = (input.next_token.as_deref(), input.max_results);
    let (policy_generations, next_token) =
        service.page(&call, wanted.unwrap_or_default(), at, entries)?;
    Ok(permit.answer(types::ListPolicyGenerationsResponse { policy_generations, next_token }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(regions: &[&str], all_regions: Option<bool>) -> types::Trail {
        let regions = regions.iter().map(|region| (*region).to_owned()).collect();
        types::Trail {
            cloud_trail_arn: "arn:aws:cloudtrail:eu-west-1:000000000007:trail/t".into(),
            regions: Some(regions),
            all_regions,
        }
    }

    fn details(
        trails: Vec<types::Trail>,
        from: i64,
        until: Option<i64>,
    ) -> types::CloudTrailDetails {
        types::CloudTrailDetails {
            trails,
            access_role: "arn:aws:iam::000000000007:role/r".into(),
            start_time: Timestamp::from_seconds(from),
            end_time: until.map(Timestamp::from_seconds),
        }
    }

    #[test]
    fn a_time_range_ends_now_and_is_ninety_days_at_most() {
        let now = Timestamp::from_seconds(LONGEST * 2);
        let range = |from, until| {
            let range = time_range(Some(&details(vec![], from, until)), now);
            range.map(|(from, until)| (from.seconds, until.seconds)).map_err(|error| error.code)
        };
        assert_eq!(range(LONGEST, None), Ok((LONGEST, LONGEST * 2)));
        assert_eq!(range(LONGEST, Some(LONGEST * 3)), Ok((LONGEST, LONGEST * 2)));
        assert!(range(LONGEST - 1, None).is_err());
        assert!(range(10, Some(9)).is_err());
        assert!(range(i64::MIN, Some(i64::MAX)).is_err());
        assert_eq!(time_range(None, now).unwrap().0.seconds, LONGEST);
    }

    #[test]
    fn one_trail_of_all_regions_means_all() {
        let of = |trails| regions(Some(&details(trails, 0, None)));
        let all =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(of(vec![trail(&["a"], None), trail(&["b"], Some(false))]), all(&["a", "b"]));
        assert_eq!(of(vec![trail(&["a"], None), trail(&["b"], Some(true))]), all(&[]));
        assert_eq!(of(vec![trail(&[], None)]), all(&[]));
        assert_eq!(regions(None), all(&[]));
    }

    #[test]
    fn a_trail_is_the_callers_accounts() {
        let of =
            |account: u64, named: &[types::Trail]| trails(AccountId::new(account).unwrap(), named);
        assert!(of(7, &[trail(&[], None)]).is_ok());
        assert!(of(8, &[trail(&[], None)]).is_err());
        assert!(of(7, &[]).is_err());
        assert!(of(7, &vec![trail(&["x"], None); 60]).is_err());
    }
}
