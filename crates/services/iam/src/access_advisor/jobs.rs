//! The jobs of access reports: an account's last ones, for a week, in the store. One server works on each; when that
//! ends before the job does, the job has failed.

use super::report::{Plan, Report};
use crate::Iam;
use crate::errors;
use ringfence_gateway::caller::{Caller, Identity};
use ringfence_gateway::clock::Clock;
use ringfence_gateway::transient::{moment, see_through};
use ringfence_gateway::{Call, Trail, Transient, Transients, UnderWay};
use ringfence_policy::AccountId;
use ringfence_store::{Store, StoreError};
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Jobs that an account has at most; the oldest that is finished goes first.
const MOST: usize = 100;
/// Jobs of an account that wait or run.
const UNFINISHED: usize = 10;
/// Entries of an account's reports together: some tens of megabytes.
const MOST_ENTRIES: usize = 200_000;
/// Seconds that a job is known.
const KEPT: i64 = 7 * 24 * 60 * 60;

/// The jobs of every account.
pub(crate) struct Jobs(pub(crate) Arc<Transients<Job>>);

/// One job.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub id: String,
    /// Counts those of the account: a smaller one was begun before.
    number: u64,
    owner: String,
    pub actions: bool,
    #[serde(with = "moment")]
    pub created: Timestamp,
    state: State,
}

#[derive(Clone, Serialize, Deserialize)]
enum State {
    Working(UnderWay),
    Ended {
        #[serde(with = "moment")]
        at: Timestamp,
        /// `None` where it failed.
        report: Option<Arc<Report>>,
    },
}

/// How a job ended.
#[derive(Clone, Copy)]
pub(crate) struct Outcome<'j> {
    pub at: Timestamp,
    /// `None` where it failed.
    pub report: Option<&'j Report>,
}

impl Job {
    /// How it ended; `None` while it is under way.
    pub fn outcome(&self, now: Timestamp) -> Option<Outcome<'_>> {
        match &self.state {
            State::Ended { at, report } => Some(Outcome { at: *at, report: report.as_deref() }),
            State::Working(by) if by.is_abandoned(now.seconds) => {
                Some(Outcome { at: Timestamp::from_seconds(by.until()), report: None })
            }
            State::Working(_) => None,
        }
    }

    fn weight(&self) -> usize {
        match &self.state {
            State::Ended { report: Some(report), .. } => report.weight(),
            _ => 0,
        }
    }
}

impl Transient for Job {
    type Of = AccountId;
    const KIND: &'static str = "iam-access-report";

    fn name(&self) -> &str {
        &self.id
    }

    fn is_over(&self, now: i64) -> bool {
        now.saturating_sub(self.created.seconds) >= KEPT
    }
}

/// Whose jobs a caller's are: a user's whatever the key, a session's of a role that session's alone.
fn owner(caller: &Caller) -> String {
    match &caller.identity {
        Identity::Root { .. } | Identity::User { .. } => caller.identity.user_id().into_owned(),
        _ => caller.access_key_id.to_string(),
    }
}

impl Jobs {
    /// Those that were begun before.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load(store: Arc<Store>) -> Result<Self, StoreError> {
        Ok(Self(Arc::new(Transients::load(store)?)))
    }

    async fn add(&self, account: AccountId, job: &Job) -> Result<(), ServiceError> {
        let now = job.created;
        self.0
            .change(account, now.seconds, |known| {
                let mut jobs: Vec<_> = known.iter().cloned().collect();
                jobs.sort_unstable_by_key(|job| job.number);
                if jobs.iter().filter(|job| job.outcome(now).is_none()).count() >= UNFINISHED {
                    return Err(errors::too_many_jobs());
                }
                let number = jobs.last().map_or(0, |job| job.number.saturating_add(1));
                let mut count = jobs.len() + 1;
                let mut weight: usize = jobs.iter().map(|job| job.weight()).sum();
                for oldest in jobs.iter().filter(|job| job.outcome(now).is_some()) {
                    if count <= MOST && weight <= MOST_ENTRIES {
                        break;
                    }
                    known.take(&oldest.id);
                    count -= 1;
                    weight -= oldest.weight();
                }
                known.put(Job { number, ..job.clone() });
                Ok(())
            })
            .await
    }

    /// A job of the caller's.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub fn get(
        &self,
        account: AccountId,
        caller: &Caller,
        id: &str,
        now: Timestamp,
    ) -> Result<Arc<Job>, ServiceError> {
        let job = self.0.get(account, id, now.seconds);
        job.filter(|job| job.owner == owner(caller)).ok_or_else(|| errors::no_such_job(id))
    }
}

/// Changes how far a job is, unless it has ended: the first end counts.
async fn note(jobs: &Transients<Job>, account: AccountId, id: &str, now: i64, state: State) {
    let noted = jobs
        .change(account, now, |known| {
            let job = known.get(id).filter(|job| matches!(job.state, State::Working(_)));
            if let Some(job) = job.map(|job| Job { state: state.clone(), ..Job::clone(job) }) {
                known.put(job);
            }
            Ok(())
        })
        .await;
    if let Err(error) = noted {
        tracing::error!(error = error.message, "what became of an access report is not kept");
    }
}

/// Keeps a report when it is made; a job whose work was dropped has failed.
async fn keep(
    jobs: Arc<Transients<Job>>,
    clock: Arc<dyn Clock>,
    (account, id): (AccountId, String),
    made: oneshot::Receiver<Option<Report>>,
) {
    let note = |at: Timestamp, state| note(&jobs, account, &id, at.seconds, state);
    let still = || {
        let at = clock.now();
        note(at, State::Working(UnderWay::at(at.seconds)))
    };
    let report = see_through(made, still).await.flatten().map(Arc::new);
    let at = clock.now();
    note(at, State::Ended { at, report }).await;
}

/// Begins a job and returns its id.
///
/// # Errors
/// `Throttling` where the account has too many under way; `ServiceFailure`.
pub(crate) async fn begin<O: TypedOperation>(
    iam: &Iam,
    call: &Call<O>,
    plan: Plan,
) -> Result<String, ServiceError> {
    let mut bytes = [0; 16];
    iam.random.fill(&mut bytes).map_err(errors::failed)?;
    let now = call.now();
    let job = Job {
        id: uuid::Builder::from_random_bytes(bytes).into_uuid().to_string(),
        number: 0,
        owner: owner(call.caller()),
        actions: plan.actions,
        created: now,
        state: State::Working(UnderWay::at(now.seconds)),
    };
    let account = plan.account;
    iam.access_jobs.add(account, &job).await?;
    let (done, made) = oneshot::channel();
    let trail: Trail = call.shared().trail.clone();
    // Work that is refused is dropped, and its job has failed by that.
    let begun = iam.background.run(account, move || {
        let report = Report::make(plan, &trail)
            .map_err(|error| tracing::error!(%error, "an access report failed"));
        // Who waits for it may have gone with the server.
        drop(done.send(report.ok()));
    });
    let (jobs, clock, id) = (iam.access_jobs.0.clone(), iam.clock.clone(), job.id.clone());
    tokio::spawn(keep(jobs, clock, (account, id), made));
    begun.map(|()| job.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER, store};

    fn caller(identity: Identity, key: &str) -> Caller {
        Caller { identity, access_key_id: key.into(), session: None }
    }

    fn ann(key: &str) -> Caller {
        let identity = Identity::User {
            account: ID,
            name: "ann".into(),
            path: "/".into(),
            id: "AIDA1".into(),
        };
        caller(identity, key)
    }

    fn session(key: &str) -> Caller {
        let identity = Identity::AssumedRole {
            account: ID,
            role_name: "r".into(),
            role_path: "/".into(),
            role_id: "AROA1".into(),
            session_name: "s".into(),
        };
        caller(identity, key)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn jobs() -> Jobs {
        Jobs::load(store()).unwrap()
    }

    async fn add(
        jobs: &Jobs,
        account: AccountId,
        id: &str,
        of: &Caller,
    ) -> Result<(), ServiceError> {
        jobs.add(account, &job(id, of, 1)).await
    }

    fn job(id: &str, of: &Caller, now: i64) -> Job {
        Job {
            id: id.into(),
            number: 0,
            owner: owner(of),
            actions: false,
            created: at(now),
            state: State::Working(UnderWay::at(now)),
        }
    }

    async fn finish(jobs: &Jobs, id: &str) {
        let report = Some(Arc::new(Report::default()));
        note(&jobs.0, ID, id, 2, State::Ended { at: at(2), report }).await;
    }

    #[tokio::test]
    async fn a_job_is_its_users_whatever_the_key_and_its_sessions_alone() {
        let jobs = jobs();
        add(&jobs, ID, "1", &ann("AKIA1")).await.unwrap();
        add(&jobs, ID, "2", &session("ASIA1")).await.unwrap();
        let root = caller(Identity::Root { account: ID }, "AKIA1");
        for (id, account, of, seen) in [
            ("1", ID, ann("AKIA1"), true),
            ("1", ID, ann("AKIA2"), true),
            ("1", OTHER, ann("AKIA1"), false),
            ("1", ID, root, false),
            ("1", ID, session("AKIA1"), false),
            ("2", ID, session("ASIA1"), true),
            ("2", ID, session("ASIA2"), false),
            ("3", ID, ann("AKIA1"), false),
        ] {
            let got = jobs.get(account, &of, id, at(1));
            assert_eq!(got.is_ok(), seen, "{id}");
            if let Err(error) = got {
                assert_eq!(error.message, format!("Job {id} does not exist."));
            }
        }
        assert!(jobs.get(ID, &ann("AKIA1"), "1", at(KEPT)).is_ok());
        assert!(jobs.get(ID, &ann("AKIA1"), "1", at(1 + KEPT)).is_err());
    }

    #[tokio::test]
    async fn an_account_has_few_jobs_under_way_and_not_many_in_all() {
        let jobs = jobs();
        let ann = ann("k");
        add(&jobs, ID, "first", &ann).await.unwrap();
        for number in 1..UNFINISHED {
            add(&jobs, ID, &number.to_string(), &ann).await.unwrap();
        }
        let refused = add(&jobs, ID, "more", &ann).await.unwrap_err();
        assert_eq!((&*refused.code, refused.status), ("Throttling", 400));
        assert!(add(&jobs, OTHER, "x", &ann).await.is_ok());
        finish(&jobs, "first").await;
        for number in 0..2 * MOST {
            let id = format!("n{number}");
            add(&jobs, ID, &id, &ann).await.unwrap();
            finish(&jobs, &id).await;
        }
        assert_eq!(jobs.0.of(ID, 1).len(), MOST);
        // What is under way stays.
        assert!(jobs.get(ID, &ann, "1", at(1)).is_ok());
        assert!(jobs.get(ID, &ann, "first", at(1)).is_err());
    }

    #[tokio::test]
    async fn a_job_that_is_left_has_failed_and_one_that_has_ended_stays_as_it_ended() {
        let (jobs, clock) = (jobs(), Arc::new(ringfence_gateway::clock::MovedClock::default()));
        let now = clock.now().seconds;
        for id in ["dropped", "abandoned"] {
            jobs.add(ID, &job(id, &ann("k"), now)).await.unwrap();
        }
        let outcome = |id: &str, seconds| {
            let job = jobs.get(ID, &ann("k"), id, at(seconds)).unwrap();
            job.outcome(at(seconds)).map(|outcome| outcome.report.is_some())
        };
        assert_eq!(outcome("dropped", now), None);
        let (done, made) = oneshot::channel();
        drop(done);
        keep(jobs.0.clone(), clock, (ID, "dropped".into()), made).await;
        assert_eq!(outcome("dropped", now), Some(false));
        finish(&jobs, "dropped").await;
        assert_eq!(outcome("dropped", now), Some(false));
        let until = UnderWay::at(now).until();
        assert_eq!(outcome("abandoned", until - 1), None);
        assert_eq!(outcome("abandoned", until), Some(false));
    }

    #[test]
    fn a_job_reads_back_as_it_was_written() {
        use super::super::report::{Attempt, Principal, ServiceUse};
        let attempt = Attempt { at: 7, region: "eu-west-1".into() };
        let used = ServiceUse {
            name: "AWS Security Token Service".into(),
            attempts: [(0, attempt.clone())].into(),
            actions: vec![("AssumeRole".into(), Some((0, attempt))), ("TagSession".into(), None)],
        };
        let principal = Principal {
            arn: "arn".into(),
            name: "ann".into(),
            kind: "USER".into(),
            id: "AIDA1".into(),
            path: "/".into(),
        };
        let report =
            Report { principals: vec![principal], services: [("sts".into(), used)].into() };
        let job = Job {
            id: "1".into(),
            number: 3,
            owner: "AIDA1".into(),
            actions: true,
            created: Timestamp { seconds: 5, nanos: 6 },
            state: State::Ended { at: at(9), report: Some(Arc::new(report)) },
        };
        let bytes = rmp_serde::to_vec_named(&job).unwrap();
        let read: Job = rmp_serde::from_slice(&bytes).unwrap();
        let (before, after) = (job.outcome(at(9)).unwrap(), read.outcome(at(9)).unwrap());
        assert_eq!((read.created, after.at), (job.created, before.at));
        assert_eq!(format!("{:?}", after.report), format!("{:?}", before.report));
    }
}
