//! The engine for many machines: PostgreSQL, which several processes share.
//!
//! ```text
//!   committer's thread ── a transaction a group ──► primary ── synchronous standbys
//!   store-postgres     ── reads, LISTEN and NOTIFY ─►
//! ```
//!
//! The three tables are those of the embedded engine. What is different is that others write too:
//!
//! - A group locks the heads of its partitions, in the order of their names, and only then looks at what
//!   its commits expect. So of two processes that write one partition the second sees what the first
//!   has done. Groups of other partitions go beside it.
//! - The position of a change is drawn from one row, which a group locks last. So positions become
//!   visible in their order, and none is skipped: a watcher that has read up to one has read all.
//! - Whoever has committed tells the others, by NOTIFY on a connection of its own and for many groups at
//!   once; inside the transaction it would make all commits wait for each other. Who hears nothing,
//!   because the connection is gone, say, looks by itself every [`LOOK`](listen::LOOK).
//!
//! **Acknowledged is durable** as far as the database's own settings go: with synchronous standbys a
//! commit returns when a standby has it. Where that wait is called off, PostgreSQL says so in a warning
//! and reports success all the same; it counts as a failure here. A connection that is lost in the
//! middle of a commit leaves open whether it was made; then the caller hears of a failure, and what
//! there is comes in as another's change would.
//!
//! **What was never acknowledged may be read, and be gone.** A primary that crashes while commits wait for a
//! standby shows them once it has recovered; another that takes its place then lacks them, and gives
//! their positions to other changes. Each change of primary begins a timeline, and whoever follows
//! finds that it has changed reads everything anew.
//!
//! Nothing is used that databases of the same protocol lack but that: no sequence, foreign key, trigger or
//! savepoint. Reads go to the primary.

mod connect;
mod group;
mod listen;
mod nodes;
mod reader;
mod schema;

use crate::engine::{Engine, Fitness, Reader, Transaction, Wake};
use crate::{Commit, Revision, StoreError};
use connect::{Connector, Session};
use nodes::{Lease, Others};
use reader::Remote;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

/// How long a group waits for a primary to be there before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between attempts to put a shared file.
const PAUSE: Duration = Duration::from_millis(200);
/// How long the database may take for anything else. A lock of another process is waited for at most half of it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// How long a page of a store may take.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// How long a commit may take. After that nobody knows whether it was made.
const LONGEST_COMMIT: Duration = Duration::from_secs(30);

/// When a write is acknowledged, and by what a server decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// When the database has it. Other servers hear of it a moment later.
    Relaxed,
    /// When every server that decides has taken it in. See `nodes.rs`.
    Strict,
}

/// A shared database.
pub struct Postgres {
    connector: Connector,
    runtime: Runtime,
    session: Option<Session>,
    remote: Remote,
    others: Others,
    /// Changes up to here were dropped by this process, or before it.
    trimmed_to: u64,
}

impl Postgres {
    /// Connects to `postgres://USER:PASSWORD@HOST,HOST/DATABASE?…`, and makes the tables if need be.
    ///
    /// # Errors
    /// [`StoreError::Engine`] where it cannot be reached, [`StoreError::Newer`] where a newer program has
    /// made the tables.
    pub fn open(url: &str, consistency: Consistency) -> Result<Self, StoreError> {
        let connector = Connector::parse(url)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Engine(error.to_string()))?;
        let mut session = runtime.block_on(connector.until_there(PATIENCE))?;
        runtime.block_on(schema::prepare(&mut session))?;
        let lease = match consistency {
            Consistency::Relaxed => None,
            Consistency::Strict => Some(Arc::new(Lease::new()?)),
        };
        let remote = Remote::start(connector.clone(), lease)?;
        let others = Others::default();
        Ok(Self { connector, runtime, session: Some(session), remote, others, trimmed_to: 0 })
    }

    /// A file that all processes of the database share, in clear, and its revision; `None` where nobody has
    /// put it there.
    ///
    /// # Errors
    /// [`StoreError::Engine`]
    pub fn shared_file(&self, name: &str) -> Result<Option<(Revision, Vec<u8>)>, StoreError> {
        self.reader().get(&schema::files(), name.as_bytes())
    }

    /// Puts such a file there, where its revision is `before` or, for 0, where it is not there; whether it
    /// was. Each time its revision goes up by one.
    ///
    /// # Errors
    /// [`StoreError`]. Whether it was put there is then open, and may be for a while: see
    /// [`settle_shared_file`](Self::settle_shared_file).
    pub fn share_file(
        &mut self,
        name: &str,
        before: Revision,
        bytes: &[u8],
    ) -> Result<bool, StoreError> {
        let session = match self.session.take().filter(Session::is_open) {
            Some(session) => session,
            None => self.runtime.block_on(self.connector.until_there(PATIENCE))?,
        };
        let putting = schema::put_file(&session, name, before, bytes);
        let put = self.runtime.block_on(async { timeout(LONGEST_COMMIT, putting).await });
        // One that does not answer is given up.
        let put = put.map_err(|_| StoreError::Engine("it takes too long".into()))?;
        self.session = Some(session);
        put
    }

    /// The same, until it is certain whether it was put there: a database that is away is waited for, as long
    /// as `patience` goes.
    ///
    /// # Errors
    /// [`StoreError`], the last one, where it stayed open.
    pub fn settle_shared_file(
        &mut self,
        name: &str,
        mut before: Revision,
        bytes: &[u8],
        patience: Duration,
    ) -> Result<Option<Revision>, StoreError> {
        let until = Instant::now() + patience;
        let mut in_doubt = false;
        loop {
            match self.settle_once(name, &mut before, bytes, in_doubt) {
                Ok(settled) => return Ok(settled),
                Err(error) if Instant::now() > until => return Err(error),
                Err(error) => {
                    in_doubt = true;
                    tracing::debug!(%error, "a shared file is in doubt");
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Its revision when it is there for certain, `None` when another was quicker.
    fn settle_once(
        &mut self,
        name: &str,
        before: &mut Revision,
        bytes: &[u8],
        in_doubt: bool,
    ) -> Result<Option<Revision>, StoreError> {
        if self.share_file(name, *before, bytes)? {
            return Ok(Some(*before + 1));
        }
        match self.shared_file(name)? {
            // What was sent before has arrived after all. Written once more, standbys have it too.
            Some((revision, there)) if in_doubt && there == bytes => {
                *before = revision;
                let written = self.share_file(name, revision, bytes)?;
                Ok(written.then_some(revision + 1))
            }
            _ => Ok(None),
        }
    }
}

impl Engine for Postgres {
    fn begin(&mut self, group: &[Commit]) -> Result<Box<dyn Transaction + '_>, StoreError> {
        Ok(Box::new(group::Group::begin(self, group)?))
    }

    fn join_others(&mut self, wake: Wake, followed: watch::Receiver<u64>) {
        self.remote.join_others(wake, followed);
    }

    fn fitness(&self) -> Option<Fitness> {
        let lease = self.remote.lease.clone()?;
        Some(Arc::new(move || lease.holds()))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(self.remote.clone())
    }

    /// Former values stay in the database's files until it vacuums them, and in its log and its standbys
    /// for longer: nothing here reaches them.
    fn forget(&mut self) -> Result<(), StoreError> {
        tracing::debug!("PostgreSQL keeps former values until it vacuums");
        Ok(())
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let told = match error.as_db_error() {
            Some(told) => told.message().to_owned(),
            None => match std::error::Error::source(&error) {
                Some(cause) => format!("{error}: {cause}"),
                None => error.to_string(),
            },
        };
        match error.code() {
            Some(&SqlState::DISK_FULL) => Self::Full(told),
            Some(
                &SqlState::T_R_SERIALIZATION_FAILURE
                | &SqlState::T_R_DEADLOCK_DETECTED
                | &SqlState::LOCK_NOT_AVAILABLE,
            ) => Self::Again(told),
            _ => Self::Engine(told),
        }
    }
}

/// PostgreSQL's integers are signed; revisions never come near the difference.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}
