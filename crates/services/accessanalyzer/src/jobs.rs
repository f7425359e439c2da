//! The jobs that make policies, and what became of them: in the store, for seven days. One server works on each; when
//! that ends before the job does, the job has failed.
//!
//! Quotas: <https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-quotas.html>. AWS counts
//! them in each region; here an account's regions are counted together, which bounds what is kept.

use crate::errors;
use ringfence_gateway::transient::moment;
use ringfence_gateway::{Transient, Transients, UnderWay};
use ringfence_model_accessanalyzer::types::{
    CloudTrailProperties, JobErrorCode, JobStatus, TrailProperties,
};
use ringfence_policy::AccountId;
use ringfence_store::{Store, StoreError};
use ringfence_wire::{ServiceError, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// "Lists all of the policy generations requested in the last seven days."
/// <https://docs.aws.amazon.com/access-analyzer/latest/APIReference/API_ListPolicyGenerations.html>
const KEPT: i64 = 7 * DAY;
const DAY: i64 = 86_400;
/// Policy generations a day, cancelled ones included.
const A_DAY: usize = 50;
/// Policy generations at once.
const AT_ONCE: usize = 1;

/// A job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub id: Arc<str>,
    pub region: Arc<str>,
    pub principal_arn: Arc<str>,
    #[serde(with = "moment")]
    pub started: Timestamp,
    pub trail: Option<Trails>,
    /// The client token with the request that came with it.
    pub token: Option<(String, String)>,
    pub state: State,
}

/// Which trails a job was asked to read, and from when until when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Trails {
    pub named: Vec<Named>,
    #[serde(with = "moment")]
    pub from: Timestamp,
    #[serde(with = "moment")]
    pub until: Timestamp,
}

/// A trail as a request names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Named {
    pub arn: String,
    pub regions: Option<Vec<String>>,
    pub all_regions: Option<bool>,
}

impl Trails {
    /// As `GetGeneratedPolicy` repeats them.
    pub fn told(&self) -> CloudTrailProperties {
        let trail = |trail: &Named| TrailProperties {
            cloud_trail_arn: trail.arn.clone(),
            regions: trail.regions.clone(),
            all_regions: trail.all_regions,
        };
        let trail_properties = self.named.iter().map(trail).collect();
        CloudTrailProperties { trail_properties, start_time: self.from, end_time: self.until }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum State {
    Running(UnderWay),
    Ended(#[serde(with = "moment")] Timestamp, End),
}

/// How a job ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum End {
    Succeeded(Arc<Policies>),
    Failed(#[serde(with = "code")] JobErrorCode, String),
    Cancelled,
}

/// What a job made.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Policies {
    pub documents: Vec<String>,
    /// Nothing that was seen is left out.
    pub is_complete: bool,
}

/// Why a job failed, as the wire has it.
mod code {
    use super::*;

    pub fn serialize<S: Serializer>(code: &JobErrorCode, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(code.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<JobErrorCode, D::Error> {
        Ok(JobErrorCode::from(&*String::deserialize(from)?))
    }
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

/// How a job ends that fails on this side.
pub(crate) fn failed() -> End {
    End::Failed(JobErrorCode::ServiceError, "The policy generation failed.".to_owned())
}

impl Job {
    /// When and how it ended; `None` while it is under way.
    pub fn ended(&self, now: Timestamp) -> Option<(Timestamp, End)> {
        match &self.state {
            State::Ended(at, end) => Some((*at, end.clone())),
            State::Running(by) if by.is_abandoned(now.seconds) => {
                Some((Timestamp::from_seconds(by.until()), failed()))
            }
            State::Running(_) => None,
        }
    }

    pub fn status(&self, now: Timestamp) -> JobStatus {
        match self.ended(now) {
            None => JobStatus::InProgress,
            Some((_, End::Succeeded(_))) => JobStatus::Succeeded,
            Some((_, End::Failed(..))) => JobStatus::Failed,
            Some((_, End::Cancelled)) => JobStatus::Canceled,
        }
    }

    pub fn completed(&self, now: Timestamp) -> Option<Timestamp> {
        self.ended(now).map(|(at, _)| at)
    }
}

impl Transient for Job {
    type Of = AccountId;
    const KIND: &'static str = "accessanalyzer-generation";

    fn name(&self) -> &str {
        &self.id
    }

    fn is_over(&self, now: i64) -> bool {
        self.started.seconds <= now.saturating_sub(KEPT)
    }
}

/// Every account's jobs.
pub(crate) struct Jobs(pub(crate) Transients<Job>);

/// What became of a request to start a job.
pub(crate) enum Started {
    /// It runs: whoever asked must see to it.
    Fresh,
    /// An earlier request with the same token made this one.
    Before(Arc<str>),
}

impl Jobs {
    /// Those that were begun before.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load(store: Arc<Store>) -> Result<Self, StoreError> {
        Transients::load(store).map(Self)
    }

    /// Takes a job in that is about to run.
    ///
    /// # Errors
    /// `ConflictException`, `ServiceQuotaExceededException`; or when the store cannot keep it.
    pub async fn start(&self, account: AccountId, job: &Job) -> Result<Started, ServiceError> {
        let now = job.started;
        self.0
            .change(account, now.seconds, |known| {
                if let Some(token) = &job.token {
                    let same = |known: &&Arc<Job>| {
                        let own = known.token.as_ref().filter(|_| known.region == job.region);
                        own.is_some_and(|own| own.0 == token.0)
                    };
                    if let Some(known) = known.iter().find(same) {
                        return match known.token == job.token {
                            true => Ok(Started::Before(known.id.clone())),
                            false => Err(errors::token_used(&known.id)),
                        };
                    }
                }
                if known.iter().filter(|job| job.ended(now).is_none()).count() >= AT_ONCE {
                    let message =
                        format!("Cannot exceed quota of concurrent policy generations: {AT_ONCE}");
                    return Err(errors::over_quota(message, &job.principal_arn));
                }
                let today = |known: &&Arc<Job>| known.started.seconds > now.seconds - DAY;
                if known.iter().filter(today).count() >= A_DAY {
                    let message =
                        format!("Cannot exceed quota of policy generations per day: {A_DAY}");
                    return Err(errors::over_quota(message, &job.principal_arn));
                }
                known.put(job.clone());
                Ok(Started::Fresh)
            })
            .await
    }

    /// Changes how far a job is, unless it has ended.
    ///
    /// # Errors
    /// `InternalServerException` when the store cannot keep it.
    pub async fn note(
        &self,
        account: AccountId,
        id: &str,
        at: Timestamp,
        state: State,
    ) -> Result<(), ServiceError> {
        self.0
            .change(account, at.seconds, |known| {
                let job = known.get(id).filter(|job| matches!(job.state, State::Running(_)));
                if let Some(job) = job.map(|job| Job { state: state.clone(), ..Job::clone(job) }) {
                    known.put(job);
                }
                Ok(())
            })
            .await
    }

    /// Whether a job is under way, as far as this server knows.
    pub fn is_running(&self, account: AccountId, id: &str, now: Timestamp) -> bool {
        let job = self.0.get(account, id, now.seconds);
        job.is_some_and(|job| matches!(job.state, State::Running(_)))
    }

    /// The jobs of a region.
    pub fn of(&self, account: AccountId, region: &str, now: Timestamp) -> Vec<Arc<Job>> {
        let mut jobs = self.0.of(account, now.seconds);
        jobs.retain(|job| &*job.region == region);
        jobs
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
    ) -> Result<Arc<Job>, ServiceError> {
        let job = self.0.get(account, id, now.seconds);
        job.filter(|job| &*job.region == region).ok_or_else(errors::no_such_job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use ringfence_store::model::Model;
    use ringfence_store::seal::Unsealed;

    fn jobs() -> Jobs {
        Jobs::load(Arc::new(Store::open(Model::default(), Unsealed).unwrap())).unwrap()
    }

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
            token: token.map(|(token, request)| (token.into(), request.into())),
            state: State::Running(UnderWay::at(at)),
        }
    }

    async fn start(jobs: &Jobs, job: Job) -> Result<String, String> {
        let id = job.id.to_string();
        match jobs.start(ACCOUNT, &job).await {
            Ok(Started::Fresh) => Ok(id),
            Ok(Started::Before(id)) => Ok(id.to_string()),
            Err(error) => Err(error.code.to_string()),
        }
    }

    async fn ended(jobs: &Jobs, id: &str, at: i64) {
        let at = Timestamp::from_seconds(at);
        jobs.note(ACCOUNT, id, at, State::Ended(at, End::Cancelled)).await.unwrap();
    }

    #[tokio::test]
    async fn one_job_runs_at_a_time_and_fifty_a_day() {
        let jobs = jobs();
        start(&jobs, job("0", 0, None)).await.unwrap();
        assert_eq!(
            start(&jobs, job("x", 0, None)).await.unwrap_err(),
            "ServiceQuotaExceededException"
        );
        ended(&jobs, "0", 0).await;
        for at in 1..50 {
            start(&jobs, job(&at.to_string(), at, None)).await.unwrap();
            ended(&jobs, &at.to_string(), at).await;
        }
        assert_eq!(
            start(&jobs, job("x", 51, None)).await.unwrap_err(),
            "ServiceQuotaExceededException"
        );
        start(&jobs, job("y", DAY, None)).await.unwrap();
    }

    #[tokio::test]
    async fn a_token_means_the_same_job_again_and_no_other() {
        let jobs = jobs();
        start(&jobs, job("a", 0, Some(("t", "one")))).await.unwrap();
        assert_eq!(start(&jobs, job("b", 1, Some(("t", "one")))).await.unwrap(), "a");
        let error = start(&jobs, job("c", 1, Some(("t", "two")))).await.unwrap_err();
        assert_eq!(error, "ConflictException");
    }

    #[tokio::test]
    async fn a_job_is_there_for_seven_days_in_its_region_and_account() {
        let jobs = jobs();
        start(&jobs, job("a", 0, None)).await.unwrap();
        let at = Timestamp::from_seconds;
        assert!(jobs.get(ACCOUNT, "eu-west-1", "a", at(KEPT - 1)).is_ok());
        assert!(jobs.get(ACCOUNT, "us-east-1", "a", at(1)).is_err());
        let other = AccountId::new(8).unwrap();
        assert!(jobs.get(other, "eu-west-1", "a", at(1)).is_err());
        assert!(jobs.get(ACCOUNT, "eu-west-1", "a", at(KEPT)).is_err());
    }

    #[tokio::test]
    async fn what_has_ended_stays_as_it_ended_and_what_nobody_works_on_has_failed() {
        let jobs = jobs();
        let at = Timestamp::from_seconds;
        start(&jobs, job("a", 0, None)).await.unwrap();
        assert!(jobs.is_running(ACCOUNT, "a", at(1)));
        ended(&jobs, "a", 5).await;
        assert!(!jobs.is_running(ACCOUNT, "a", at(5)));
        let made = State::Ended(at(9), End::Succeeded(Arc::default()));
        jobs.note(ACCOUNT, "a", at(9), made).await.unwrap();
        let job_a = jobs.get(ACCOUNT, "eu-west-1", "a", at(9)).unwrap();
        assert_eq!(
            (job_a.status(at(9)), job_a.completed(at(9))),
            (JobStatus::Canceled, Some(at(5)))
        );

        start(&jobs, job("b", 10, None)).await.unwrap();
        let until = at(UnderWay::at(10).until());
        let job_b = jobs.get(ACCOUNT, "eu-west-1", "b", until).unwrap();
        assert_eq!(job_b.status(at(11)), JobStatus::InProgress);
        assert_eq!((job_b.status(until), job_b.completed(until)), (JobStatus::Failed, Some(until)));
        // It is in nobody's way any more.
        start(&jobs, job("c", until.seconds, None)).await.unwrap();
    }
}
