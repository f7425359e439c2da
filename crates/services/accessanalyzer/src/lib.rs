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
//! Jobs are kept in memory, for as long as AWS keeps them. Analyzers and their findings are not built.

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
use ringfence_gateway::{Handlers, Mounted};
use ringfence_keyring::{Domain, Keyring};
use ringfence_model_accessanalyzer::{SERVICE, operations as ops};
use std::sync::Arc;

/// The service.
pub struct AccessAnalyzer {
    jobs: Arc<Jobs>,
    tokens: Domain,
}

impl AccessAnalyzer {
    /// The service, without jobs.
    pub fn new(keyring: &Keyring) -> Arc<Self> {
        let tokens = keyring.domain("access-analyzer-pages");
        Arc::new(Self { jobs: Arc::default(), tokens })
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
