//! What others change in a store that several processes share comes in here.
//!
//! ```text
//!   another process ── commit ──► database ── told, or looked ──► news ──► each service's ledgers
//! ```
//!
//! A thread waits for commits, reads what was changed since, as it is at one point in time, and hands it to
//! every service. Own commits come along the same way: a ledger that has them already passes over them.

use ringfence_store::{News, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// A service with state that others may change.
pub trait Follow: Send + Sync + 'static {
    /// Takes in what was changed.
    ///
    /// # Errors
    /// Where a record does not decode, or the store fails: it is given the same again.
    fn follow(&self, news: &News) -> Result<(), StoreError>;

    /// Reads everything anew.
    ///
    /// # Errors
    /// As [`Follow::follow`].
    fn read_anew(&self) -> Result<(), StoreError>;
}

/// Before what failed is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// Follows a store from a position on, which must be of before its services were loaded, until it is
/// closed.
///
/// # Errors
/// When there is no thread to be had.
pub fn follow(store: Arc<Store>, from: u64, services: Vec<Arc<dyn Follow>>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    store.note_followed(from);
    let run = async move {
        let mut commits = store.commits();
        let mut at = from;
        loop {
            commits.borrow_and_update();
            match take_in(&store, at, &services) {
                Ok(position) if position > at => {
                    at = position;
                    store.note_followed(at);
                    continue;
                }
                Ok(_) => {}
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "what others have changed is not known here");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            if commits.changed().await.is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("store-follow".into()).spawn(move || runtime.block_on(run))?;
    Ok(())
}

/// Takes in what was changed after a position; the position that it is known up to then.
fn take_in(store: &Store, after: u64, services: &[Arc<dyn Follow>]) -> Result<u64, StoreError> {
    match store.news(after) {
        Ok(news) => {
            if news.position > after {
                services.iter().try_for_each(|service| service.follow(&news))?;
            }
            Ok(news.position)
        }
        Err(StoreError::Trimmed(_)) => {
            let position = store.last_position()?;
            services.iter().try_for_each(|service| service.read_anew())?;
            Ok(position)
        }
        Err(error) => Err(error),
    }
}
