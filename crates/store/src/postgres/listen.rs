//! How processes hear of each other's commits, and of what others have taken in.

use super::connect::{Connector, Heard, Session};
use super::nodes::Lease;
use super::reader::Joined;
use super::{ANSWERED_WITHIN, schema};
use crate::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::types::ToSql;

/// Where commits are told of.
const COMMITTED: &str = "ringfence";
/// Where servers that have a lease tell what they have taken in.
const TAKEN_IN: &str = "ringfence_taken_in";

/// How often it is looked whether there is something that nobody told of.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Between attempts to connect.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells others of this process's commits, and wakes it for theirs, until it no longer commits.
pub(super) async fn listen(
    connector: Connector,
    mut committed: watch::Receiver<u64>,
    mut joined: Joined,
    lease: Option<Arc<Lease>>,
) {
    loop {
        let (heard, mut hearing) = mpsc::unbounded_channel();
        let listened = async {
            let session = connector.connect(Some(heard)).await?;
            let channels = format!("LISTEN {COMMITTED}; LISTEN {TAKEN_IN}");
            session.within(ANSWERED_WITHIN, session.client.batch_execute(&channels)).await?;
            // What was committed before that nobody has told of.
            (joined.wake)();
            follow(&session, &mut committed, &mut hearing, &mut joined, lease.as_deref()).await
        };
        match listened.await {
            Ok(()) => return,
            Err(error) => tracing::debug!(%error, "commits of others are not heard of"),
        }
        sleep(PAUSE).await;
    }
}

async fn follow(
    session: &Session,
    committed: &mut watch::Receiver<u64>,
    hearing: &mut mpsc::UnboundedReceiver<Heard>,
    joined: &mut Joined,
    lease: Option<&Lease>,
) -> Result<(), StoreError> {
    let position = || session.within(ANSWERED_WITHIN, schema::position(&session.client));
    let mut known = position().await?;
    let mut look = Instant::now() + LOOK;
    loop {
        tokio::select! {
            told = committed.changed() => {
                if told.is_err() {
                    return Ok(());
                }
                // Many commits that come meanwhile are told of by the next one.
                let tell = format!("NOTIFY {COMMITTED}");
                session.within(ANSWERED_WITHIN, session.client.batch_execute(&tell)).await?;
            }
            heard = hearing.recv() => {
                let Some(heard) = heard else {
                    return Err(StoreError::Engine("the connection ended".into()));
                };
                match (&*heard.channel, lease) {
                    (TAKEN_IN, Some(lease)) => lease.hear(&heard.text),
                    (TAKEN_IN, None) => {}
                    _ => (joined.wake)(),
                }
            }
            Ok(()) = joined.followed.changed(), if lease.is_some() => {
                let at = *joined.followed.borrow_and_update();
                let name = lease.map(|lease| &*lease.name).unwrap_or_default();
                let text = format!("{name} {at}");
                let tell = "SELECT pg_notify($1, $2)";
                let parameters: [&(dyn ToSql + Sync); 2] = [&TAKEN_IN, &text];
                let told = session.client.execute(tell, &parameters);
                session.within(ANSWERED_WITHIN, told).await?;
            }
            () = sleep_until(look) => {
                if !session.is_open() {
                    return Err(StoreError::Engine("another primary leads".into()));
                }
                let now = position().await?;
                if now != known {
                    known = now;
                    (joined.wake)();
                }
                look = Instant::now() + LOOK;
            }
        }
    }
}
