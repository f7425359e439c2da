//! The work of a job: from the audit log to policies.

use crate::access_role;
use crate::jobs::{Cancel, End, Policies};
use ringfence_gateway::directory::RoleFacts;
use ringfence_gateway::trail::Window;
use ringfence_gateway::{Shared, observed};
use ringfence_model_accessanalyzer::types::JobErrorCode;
use ringfence_policy::generate::{Generator, Note, Options};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The most different questions, and policies, that one job keeps.
const MOST: usize = 20_000;
const MOST_POLICIES: usize = 100;

/// What a job is to do.
pub(crate) struct Wanted {
    /// The unique id of the principal: one made anew under an old name is another.
    pub principal_id: String,
    pub window: Window,
    /// Events of these regions alone; none given means all.
    pub regions: BTreeSet<String>,
    /// Who would read the trails in AWS.
    pub reader: Option<(RoleFacts, Vec<String>)>,
}

/// Does it. This blocks, and takes long where the log is long.
pub(crate) fn generate(shared: &Shared, wanted: &Wanted, cancel: &Cancel) -> End {
    if let Some((role, trails)) = &wanted.reader {
        let directory = &*shared.directory;
        if let Err(why) = access_role::can_read(directory, wanted.window.account, role, trails) {
            return End::Failed(JobErrorCode::AuthorizationError, why);
        }
    }
    let mut generator = Generator::new(Options { most: MOST, ..Options::default() });
    let read = shared.trail.read(wanted.window, |event| {
        let is_in = wanted.regions.is_empty() || wanted.regions.contains(&*event.aws_region);
        if is_in && event.user_identity.unique_id() == wanted.principal_id {
            observed::observations(event).into_iter().for_each(|one| generator.observe(one));
        }
        match cancel.is_cancelled() || generator.passed_over() > 0 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    if cancel.is_cancelled() {
        return End::Cancelled;
    }
    let unread = match read {
        Ok(unread) => unread,
        Err(error) => {
            tracing::error!(%error, "the audit log cannot be read");
            let message = "The events could not be read.".to_owned();
            return End::Failed(JobErrorCode::ServiceError, message);
        }
    };
    let over = |what: &str| End::Failed(JobErrorCode::ServiceQuotaExceededError, what.to_owned());
    if generator.passed_over() > 0 {
        return over("The principal used too many actions and resources: take a shorter time.");
    }
    let generated = generator.generate();
    if generated.documents.len() > MOST_POLICIES {
        return over("The policies would be too many: take a shorter time.");
    }
    let lacks = |note: &Note| matches!(note, Note::NotAllowed(..) | Note::Malformed(..));
    let is_complete = unread.lines == 0 && !generated.notes.iter().any(lacks);
    let documents = generated.documents.iter().map(|document| format!("{document:#}")).collect();
    End::Succeeded(Arc::new(Policies { documents, is_complete }))
}
