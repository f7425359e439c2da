//! IAM Access Analyzer: policies made from recorded calls, and policies validated and checked.
//!
//! ```text
//!   StartPolicyGeneration ──► a job on a thread of its own ──► the audit log ──► policy::generate
//!   GetGeneratedPolicy    ◄── what became of it, for seven days
//!
//!   ValidatePolicy        ──► policy::lint
//!   CheckNoNewAccess …    ──► policy::analyse: PASS is a proof, FAIL has a witness, and what is
//!                             neither is an error
//! ```
//!
//! Jobs are kept for as long as AWS keeps them. Analyzers and their findings are not built.

mod access_role;
mod apart;
mod checks;
mod errors;
mod generation;
mod jobs;
mod pages;
mod policy_generation;
mod validation;

use jobs::Jobs;
use ringfence_gateway::clock::Clock;
use ringfence_gateway::upkeep::Work;
use ringfence_gateway::{Follow, Handlers, Mounted, Recorder, Upkeep};
use ringfence_keyring::{Domain, Keyring};
use ringfence_model_accessanalyzer::{SERVICE, operations as ops};
use ringfence_store::{News, Store, StoreError};
use std::sync::Arc;

/// The service.
pub struct AccessAnalyzer {
    jobs: Arc<Jobs>,
    tokens: Domain,
    clock: Arc<dyn Clock>,
}

impl AccessAnalyzer {
    /// The service over a store.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load(
        store: Arc<Store>,
        keyring: &Keyring,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StoreError> {
        let tokens = keyring.domain("access-analyzer-pages");
        Ok(Arc::new(Self { jobs: Arc::new(Jobs::load(store)?), tokens, clock }))
    }

    /// Its operations.
    pub fn handlers(self: &Arc<Self>) -> Mounted {
        Handlers::new(&SERVICE, self.clone())
            .on::<ops::CancelPolicyGeneration, _>(policy_generation::cancel_policy_generation)
            .on::<ops::CheckAccessNotGranted, _>(checks::check_access_not_granted)
            .on::<ops::CheckNoNewAccess, _>(checks::check_no_new_access)
            .on::<ops::CheckNoPublicAccess, _>(checks::check_no_public_access)
            .on::<ops::GetGeneratedPolicy, _>(policy_generation::get_generated_policy)
            .on::<ops::ListPolicyGenerations, _>(policy_generation::list_policy_generations)
            .on_passing::<ops::StartPolicyGeneration, _>(policy_generation::start_policy_generation)
            .on::<ops::ValidatePolicy, _>(validation::validate_policy)
            .finish()
    }
}

impl Follow for AccessAnalyzer {
    fn follow(&self, news: &News) -> Result<(), StoreError> {
        self.jobs.0.follow(news)
    }

    fn read_anew(&self) -> Result<(), StoreError> {
        self.jobs.0.read_anew()
    }
}

impl Upkeep for AccessAnalyzer {
    fn carry_on<'a>(&'a self, _: &'a Recorder) -> Work<'a> {
        Box::pin(self.jobs.0.sweep(self.clock.now().seconds))
    }

    fn keep_notes(&self) -> Work<'_> {
        Box::pin(std::future::ready(()))
    }
}
