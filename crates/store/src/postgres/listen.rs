//! How processes hear of each other's commits.

use super::connect::{Connector, Session};
use super::schema;
use crate::StoreError;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

const CHANNEL: &str = "ringfence";

/// How often it is looked whether there is something that nobody told of.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Between attempts to connect.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells others of this process's commits, and calls `wake` for theirs, until the process no longer
/// commits.
pub(super) async fn listen(
    connector: Connector,
    mut committed: watch::Receiver<u64>,
    wake: impl Fn() + Send + 'static,
) {
    loop {
        let (heard, mut hearing) = mpsc::unbounded_channel();
        let listened = async {
            let session = connector.connect(Some(heard)).await?;
            session.client.batch_execute(&format!("LISTEN {CHANNEL}")).await?;
            // What was committed before that nobody has told of.
            wake();
            follow(&session, &mut committed, &mut hearing, &wake).await
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
    hearing: &mut mpsc::UnboundedReceiver<()>,
    wake: &impl Fn(),
) -> Result<(), StoreError> {
    let mut known = schema::position(&session.client).await?;
    let mut look = Instant::now() + LOOK;
    loop {
        tokio::select! {
            told = committed.changed() => {
                if told.is_err() {
                    return Ok(());
                }
                // Many commits that come meanwhile are told of by the next one.
                session.client.batch_execute(&format!("NOTIFY {CHANNEL}")).await?;
            }
            heard = hearing.recv() => {
                if heard.is_none() {
                    return Err(StoreError::Engine("the connection ended".into()));
                }
                while hearing.try_recv().is_ok() {}
                wake();
            }
            () = sleep_until(look) => {
                let now = schema::position(&session.client).await?;
                if now != known {
                    known = now;
                    wake();
                }
                look = Instant::now() + LOOK;
            }
        }
    }
}
