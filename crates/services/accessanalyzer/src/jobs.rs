//! The jobs that make policies, and what became of them: in memory, for seven days.
//!
//! Quotas: <https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-quotas.html>. AWS counts
//! them in each region; here an account's regions are counted together, which bounds what is kept.

use crate::errors;
use ringfence_model_accessanalyzer::types::{CloudTrailProperties, JobErrorCode, JobStatus};
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, Timestamp};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// "Lists all of the policy generations requested in the last seven days."
/// <https://docs.aws.amazon.com/access-analyzer/latest/APIReference/API_ListPolicyGenerations.html>
const KEPT: i64 = 7 * DAY;
const DAY: i64 = 86_400;
/// Policy generations a day, cancelled ones included.
const A_DAY: usize = 50;
/// Policy generations at once.
const AT_ONCE: usize = 1;

/// A job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub id: Arc<str>,
    pub region: Arc<str>,
    pub principal_arn: Arc<str>,
    pub started: Timestamp,
    pub trail: Option<Arc<CloudTrailProperties>>,
    /// The client token with the request that came with it.
    pub token: Option<Arc<(String, String)>>,
    pub state: State,
}

/// How far a job is.
#[derive(Debug, Clone)]
pub(crate) enum State {
    Running(Cancel),
    Ended(Timestamp, End),
}

/// How a job ended.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Succeeded(Arc<Policies>),
    Failed(JobErrorCode, String),
    Cancelled,
}

/// What a job made.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    pub documents: Vec<String>,
    /// Nothing that was seen is left out.
    pub is_complete: bool,
}

/// Says to a running job that nobody waits for it any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Job {
    pub fn status(&self) -> JobStatus {
        match &self.state {
            State::Running(_) => JobStatus::InProgress,
            State::Ended(_, End::Succeeded(_)) => JobStatus::Succeeded,
            State::Ended(_, End::Failed(..)) => JobStatus::Failed,
            State::Ended(_, End::Cancelled) => JobStatus::Canceled,
        }
    }

    pub fn completed(&self) -> Option<Timestamp> {
        match &self.state {
            State::Running(_) => None,
            State::Ended(at, _) => Some(*at),
        }
    }
}

/// Every account's jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs(Mutex<HashMap<AccountId, Vec<Job>>>);

/// What became of a request to start a job.
pub(crate) enum Started {
    /// It runs: whoever asked must see to it.
    Fresh,
    /// An earlier request with the same token made this one.
    Before(Arc<str>),
}

impl Jobs {
    /// Takes a job in that is about to run.
    ///
    /// # Errors
    /// `ConflictException`, `ServiceQuotaExceededException`.
    pub fn start(&self, account: AccountId, job: Job) -> Result<Started, ServiceError> {
        let mut all = self.lock();
        let jobs = all.entry(account).or_default();
        forget(jobs, job.started);
        if let Some(token) = &job.token {
            let same = |known: &&Job| {
                let own = known.token.as_ref().filter(|_| known.region == job.region);
                own.is_some_and(|own| own.0 == token.0)
            };
            if let Some(known) = jobs.iter().find(same) {
                return match known.token == job.token {
                    true => Ok(Started::Before(known.id.clone())),
                    false => Err(errors::token_used(&known.id)),
                };
            }
        }
        let running = |job: &&Job| matches!(job.state, State::Running(_));
        if jobs.iter().filter(running).count() >= AT_ONCE {
            let message =
                format!("Cannot exceed quota of concurrent policy generations: {AT_ONCE}");
            return Err(errors::over_quota(message, &job.principal_arn));
        }
        let today = |known: &&Job| known.started.seconds > job.started.seconds - DAY;
        if jobs.iter().filter(today).count() >= A_DAY {
            let message = format!("Cannot exceed quota of policy generations per day: {A_DAY}");
            return Err(errors::over_quota(message, &job.principal_arn));
        }
        jobs.push(job);
        Ok(Started::Fresh)
    }

    /// Ends a job, unless it has ended.
    pub fn end(&self, account: AccountId, id: &str, at: Timestamp, end: End) {
        let mut all = self.lock();
        let job = all.get_mut(&account).and_then(|jobs| jobs.iter_mut().find(|job| &*job.id == id));
        if let Some(job) = job
            && let State::Running(cancel) = &job.state
        {
            cancel.cancel();
            job.state = State::Ended(at, end);
        }
    }

    /// The jobs of a region, oldest first.
    pub fn of(&self, account: AccountId, region: &str, now: Timestamp) -> Vec<Job> {
        let mut all = self.lock();
        let Some(jobs) = all.get_mut(&account) else { return Vec::new() };
        forget(jobs, now);
        jobs.iter().filter(|job| &*job.region == region).cloned().collect()
    }

    /// A job by its id.
    ///
    /// # Errors
    /// `ValidationException` where there is none.
    pub fn get(
        &self,
        account: AccountId,
        region: &str,
        id: &str,
        now: Timestamp,
    ) -> Result<Job, ServiceError> {
        let mut jobs = self.of(account, region, now).into_iter();
        jobs.find(|job| &*job.id == id).ok_or_else(errors::no_such_job)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Vec<Job>>> {
        // The map is whole between any two statements that could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(jobs: &mut Vec<Job>, now: Timestamp) {
    jobs.retain(|job| job.started.seconds > now.seconds - KEPT);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: AccountId = match AccountId::new(7) {
        Some(account) => account,
        None => unreachable!(),
    };

    fn job(id: &str, at: i64, token: Option<(&str, &str)>) -> Job {
        Job {
            id: id.into(),
            region: "eu-west-1".into(),
            principal_arn: "arn".into(),
            started: Timestamp::from_seconds(at),
            trail: None,
            token: token.map(|(token, request)| Arc::new((token.into(), request.into()))),
            state: State::Running(Cancel::default()),
        }
    }

    fn start(jobs: &Jobs, job: Job) -> Result<String, String> {
        let id = job.id.to_string();
        match jobs.start(ACCOUNT, job) {
            Ok(Started::Fresh) => Ok(id),
            Ok(Started::Before(id)) => Ok(id.to_string()),
            Err(error) => Err(error.code.to_string()),
        }
    }

    fn ended(jobs: &Jobs, id: &str, at: i64) {
        jobs.end(ACCOUNT, id, Timestamp::from_seconds(at), End::Cancelled);
    }

    #[test]
    fn one_job_runs_at_a_time_and_fifty_a_day() {
        let jobs = Jobs::default();
        start(&jobs, job("0", 0, None)).unwrap();
        assert_eq!(start(&jobs, job("x", 0, None)).unwrap_err(), "ServiceQuotaExceededException");
        ended(&jobs, "0", 0);
        for at in 1..50 {
            start(&jobs, job(&at.to_string(), at, None)).unwrap();
            ended(&jobs, &at.to_string(), at);
        }
        assert_eq!(start(&jobs, job("x", 51, None)).unwrap_err(), "ServiceQuotaExceededException");
        start(&jobs, job("y", DAY, None)).unwrap();
    }

    #[test]
    fn a_token_means_the_same_job_again_and_no_other() {
        let jobs = Jobs::default();
        start(&jobs, job("a", 0, Some(("t", "one")))).unwrap();
        assert_eq!(start(&jobs, job("b", 1, Some(("t", "one")))).unwrap(), "a");
        let error = start(&jobs, job("c", 1, Some(("t", "two")))).unwrap_err();
        assert_eq!(error, "ConflictException");
    }

    #[test]
    fn a_job_is_there_for_seven_days_in_its_region_and_account() {
        let jobs = Jobs::default();
        start(&jobs, job("a", 0, None)).unwrap();
        let at = Timestamp::from_seconds;
        assert!(jobs.get(ACCOUNT, "eu-west-1", "a", at(KEPT - 1)).is_ok());
        assert!(jobs.get(ACCOUNT, "us-east-1", "a", at(1)).is_err());
        let other = AccountId::new(8).unwrap();
        assert!(jobs.get(other, "eu-west-1", "a", at(1)).is_err());
        assert!(jobs.get(ACCOUNT, "eu-west-1", "a", at(KEPT)).is_err());
    }

    #[test]
    fn what_has_ended_stays_as_it_ended_and_a_cancelled_job_hears_of_it() {
        let jobs = Jobs::default();
        let running = job("a", 0, None);
        let State::Running(cancel) = running.state.clone() else { panic!("it runs") };
        start(&jobs, running).unwrap();
        ended(&jobs, "a", 5);
        assert!(cancel.is_cancelled());
        jobs.end(ACCOUNT, "a", Timestamp::from_seconds(9), End::Succeeded(Arc::default()));
        let job = jobs.get(ACCOUNT, "eu-west-1", "a", Timestamp::from_seconds(9)).unwrap();
        assert_eq!((job.status(), job.completed().unwrap().seconds), (JobStatus::Canceled, 5));
    }
}
