//! What services do of their own accord: at every start, once a minute, and when `--dev`'s clock has
//! been moved.

use crate::service_event::Recorder;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Work that nobody waits for.
pub type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// A service that has such work.
pub trait Upkeep: Send + Sync + 'static {
    /// Does what is due by now, and carries on what was cut short. What fails is left for the next
    /// time. What CloudTrail has events for is recorded.
    fn carry_on<'a>(&'a self, recorder: &'a Recorder) -> Work<'a>;

    /// Keeps what was noted in memory since the last time.
    fn keep_notes(&self) -> Work<'_>;
}

/// The services of a server that have such work.
#[derive(Default)]
pub(crate) struct Upkeeps(Vec<Arc<dyn Upkeep>>);

impl Upkeeps {
    pub fn add(&mut self, upkeep: Arc<dyn Upkeep>) {
        self.0.push(upkeep);
    }

    pub async fn carry_on(&self, recorder: &Recorder) {
        for upkeep in &self.0 {
            upkeep.carry_on(recorder).await;
        }
    }

    pub async fn keep_notes(&self) {
        for upkeep in &self.0 {
            upkeep.keep_notes().await;
        }
    }
}
