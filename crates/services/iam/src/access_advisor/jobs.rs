//! The jobs of access reports: in memory, an account's last ones.

use super::report::{Plan, Report};
use crate::Iam;
use crate::errors;
use ringfence_gateway::caller::{Caller, Identity};
use ringfence_gateway::{Call, Trail};
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Jobs that an account has at most; the oldest that is finished goes first.
const MOST: usize = 100;
/// Jobs of an account that wait or run.
const UNFINISHED: usize = 10;
/// Entries of an account's reports together: some tens of megabytes.
const MOST_ENTRIES: usize = 200_000;

/// The jobs of every account, the oldest first.
#[derive(Default)]
pub(crate) struct Jobs(Mutex<HashMap<AccountId, VecDeque<Arc<Job>>>>);

/// One job.
pub(crate) struct Job {
    pub id: String,
    owner: String,
    pub actions: bool,
    pub created: Timestamp,
    outcome: OnceLock<Outcome>,
}

/// How a job ended.
pub(crate) struct Outcome {
    pub at: Timestamp,
    /// `None` where it failed.
    pub report: Option<Report>,
}

impl Job {
    /// How it ended; `None` while it is under way.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    fn weight(&self) -> usize {
        let report = self.outcome().and_then(|outcome| outcome.report.as_ref());
        report.map_or(0, Report::weight)
    }
}

/// Whose jobs a caller's are: a user's whatever the key, a session's of a role that session's alone.
fn owner(caller: &Caller) -> String {
    match &caller.identity {
        Identity::Root { .. } | Identity::User { .. } => caller.identity.user_id(),
        _ => caller.access_key_id.clone(),
    }
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, VecDeque<Arc<Job>>>> {
        // The lists are whole between any two statements that could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, account: AccountId, job: Arc<Job>) -> Result<(), ServiceError> {
        let mut all = self.lock();
        let jobs = all.entry(account).or_default();
        if jobs.iter().filter(|job| job.outcome().is_none()).count() >= UNFINISHED {
            return Err(errors::too_many_jobs());
        }
        jobs.push_back(job);
        let mut weight: usize = jobs.iter().map(|job| job.weight()).sum();
        while jobs.len() > MOST || weight > MOST_ENTRIES {
            let Some(oldest) = jobs.iter().position(|job| job.outcome().is_some()) else { break };
            weight -= jobs.remove(oldest).map_or(0, |job| job.weight());
        }
        Ok(())
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
    ) -> Result<Arc<Job>, ServiceError> {
        let all = self.lock();
        let owner = owner(caller);
        let mut jobs = all.get(&account).into_iter().flatten();
        let job = jobs.find(|job| job.id == id && job.owner == owner);
        job.cloned().ok_or_else(|| errors::no_such_job(id))
    }
}

/// A job that is worked on; one that is left unfinished has failed.
struct Working {
    job: Arc<Job>,
    clock: Arc<dyn ringfence_gateway::clock::Clock>,
}

impl Working {
    fn end(&self, report: Option<Report>) {
        // The first end counts.
        let _ = self.job.outcome.set(Outcome { at: self.clock.now(), report });
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.end(None);
    }
}

/// Begins a job and returns its id.
///
/// # Errors
/// `Throttling` where the account has too many under way; `ServiceFailure`.
pub(crate) fn begin<O: TypedOperation>(
    iam: &Iam,
    call: &Call<O>,
    plan: Plan,
) -> Result<String, ServiceError> {
    let mut bytes = [0; 16];
    iam.random.fill(&mut bytes).map_err(errors::failed)?;
    let job = Arc::new(Job {
        id: uuid::Builder::from_random_bytes(bytes).into_uuid().to_string(),
        owner: owner(call.caller()),
        actions: plan.actions,
        created: call.now(),
        outcome: OnceLock::new(),
    });
    let account = plan.account;
    iam.access_jobs.add(account, job.clone())?;
    let id = job.id.clone();
    let working = Working { job, clock: iam.clock.clone() };
    let trail: Trail = call.shared().trail.clone();
    iam.background.run(account, move || match Report::make(plan, &trail) {
        Ok(report) => working.end(Some(report)),
        Err(error) => tracing::error!(%error, "an access report failed"),
    })?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER};

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

    fn job(id: &str, of: &Caller) -> Arc<Job> {
        Arc::new(Job {
            id: id.into(),
            owner: owner(of),
            actions: false,
            created: Timestamp::from_seconds(1),
            outcome: OnceLock::new(),
        })
    }

    fn finish(job: &Job) {
        let outcome = Outcome { at: Timestamp::from_seconds(2), report: Some(Report::default()) };
        assert!(job.outcome.set(outcome).is_ok());
    }

    #[test]
    fn a_job_is_its_users_whatever_the_key_and_its_sessions_alone() {
        let jobs = Jobs::default();
        jobs.add(ID, job("1", &ann("AKIA1"))).unwrap();
        jobs.add(ID, job("2", &session("ASIA1"))).unwrap();
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
            let got = jobs.get(account, &of, id);
            assert_eq!(got.is_ok(), seen, "{id}");
            if let Err(error) = got {
                assert_eq!(error.message, format!("Job {id} does not exist."));
            }
        }
    }

    #[test]
    fn an_account_has_few_jobs_under_way_and_not_many_in_all() {
        let jobs = Jobs::default();
        let first = job("first", &ann("k"));
        jobs.add(ID, first.clone()).unwrap();
        for number in 1..UNFINISHED {
            jobs.add(ID, job(&number.to_string(), &ann("k"))).unwrap();
        }
        let refused = jobs.add(ID, job("more", &ann("k"))).unwrap_err();
        assert_eq!((&*refused.code, refused.status), ("Throttling", 400));
        assert!(jobs.add(OTHER, job("x", &ann("k"))).is_ok());
        finish(&first);
        for number in 0..2 * MOST {
            let one = job(&format!("n{number}"), &ann("k"));
            jobs.add(ID, one.clone()).unwrap();
            finish(&one);
        }
        assert_eq!(jobs.lock()[&ID].len(), MOST);
        // What is under way stays.
        assert!(jobs.get(ID, &ann("k"), "1").is_ok());
        assert!(jobs.get(ID, &ann("k"), "first").is_err());
    }

    #[test]
    fn a_job_that_is_left_has_failed() {
        let job = job("1", &ann("k"));
        let clock = Arc::new(ringfence_gateway::clock::MovedClock::default());
        drop(Working { job: job.clone(), clock: clock.clone() });
        assert!(job.outcome().unwrap().report.is_none());
        let working = Working { job, clock };
        working.end(Some(Report::default()));
        assert!(working.job.outcome().unwrap().report.is_none());
    }
}
