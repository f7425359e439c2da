//! What others change in a store that several processes share comes in here.
//!
//! ```text
//!   another process ── commit ──► database ── told, or looked ──► news ──► each service's ledgers
//! ```
//!
//! A thread waits for commits, reads what was changed since, as it is at one point in time, and hands it to
//! every service. Own commits come along the same way: a ledger that has them already passes over them.
//!
//! Where another database takes the place of the one that was read, it may lack what that showed and never
//! acknowledged: then everything is read anew.

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

/// Follows a store from a position of an epoch on, which must be of before its services were loaded, until it is
/// closed.
///
/// # Errors
/// When there is no thread to be had.
pub fn follow(
    store: Arc<Store>,
    from: (u64, u64),
    services: Vec<Arc<dyn Follow>>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut epoch, mut at) = from;
    store.note_followed(epoch, at);
    let run = async move {
        let mut commits = store.commits();
        loop {
            commits.borrow_and_update();
            match take_in(&store, (epoch, at), &services) {
                Ok(now) if now != (epoch, at) => {
                    (epoch, at) = now;
                    store.note_followed(epoch, at);
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

/// Takes in what was changed after a position of an epoch; up to where it is known then.
fn take_in(
    store: &Store,
    (before, after): (u64, u64),
    services: &[Arc<dyn Follow>],
) -> Result<(u64, u64), StoreError> {
    loop {
        let epoch = store.epoch()?;
        let news = match epoch == before {
            true => store.news(after),
            false => {
                tracing::info!("another database has taken the place of the one that was read");
                Err(StoreError::Trimmed(after))
            }
        };
        match news {
            Ok(news) => {
                // They may be those of another already.
                if store.epoch()? != epoch {
                    continue;
                }
                if news.position > after {
                    services.iter().try_for_each(|service| service.follow(&news))?;
                }
                return Ok((epoch, news.position));
            }
            Err(StoreError::Trimmed(_)) => {
                let position = store.last_position()?;
                services.iter().try_for_each(|service| service.read_anew())?;
                if store.epoch()? == epoch {
                    return Ok((epoch, position));
                }
            }
            Err(error) => return Err(error),
        }
    }
}
