//! Reading, by a thread of its own that also hears and tells of commits (`listen.rs`). Whoever asks waits.

use super::connect::{Connector, Session};
use super::nodes::Lease;
use super::{PATIENCE, READ_WITHIN, listen, schema, signed, unsigned};
use crate::engine::{Reader, SealedEntry, SealedNews, Wake, prefix_end};
use crate::{Change, Partition, Revision, StoreError};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use tokio::sync::{mpsc, watch};
use tokio_postgres::{Client, Row};

/// Most changes that are told one by one. Who is further behind reads everything anew.
const MOST_NEWS: i64 = 20_000;

/// Something that the thread does.
type Job = Box<dyn FnOnce(Arc<Reading>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The way to the thread. It ends with the last of its handles.
#[derive(Clone)]
pub(super) struct Remote {
    jobs: mpsc::UnboundedSender<Job>,
    /// The position of this process's own last commit.
    committed: watch::Sender<u64>,
    joined: watch::Sender<Option<Joined>>,
    pub lease: Option<Arc<Lease>>,
}

/// How the process is told of others, and what it has taken in.
#[derive(Clone)]
pub(super) struct Joined {
    pub wake: Wake,
    pub followed: watch::Receiver<u64>,
}

/// What the thread reads with.
struct Reading {
    connector: Connector,
    session: tokio::sync::Mutex<Option<Arc<Session>>>,
}

impl Reading {
    async fn session(&self) -> Result<Arc<Session>, StoreError> {
        let mut held = self.session.lock().await;
        if let Some(session) = held.as_ref().filter(|session| session.is_open()) {
            return Ok(session.clone());
        }
        let session = Arc::new(self.connector.until_there(PATIENCE).await?);
        *held = Some(session.clone());
        Ok(session)
    }
}

impl Remote {
    pub fn start(connector: Connector, lease: Option<Arc<Lease>>) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| StoreError::Engine(error.to_string());
        let (jobs, mut waiting) = mpsc::unbounded_channel::<Job>();
        let (committed, told) = watch::channel(0);
        let (joined, mut joining) = watch::channel(None::<Joined>);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let own = lease.clone();
        let run = async move {
            let to = connector.clone();
            tokio::spawn(async move {
                let joined = joining.wait_for(Option::is_some).await;
                let Some(joined) = joined.ok().and_then(|joined| joined.clone()) else { return };
                let keeping = own.clone().map(|lease| (lease, to.clone(), joined.followed.clone()));
                if let Some((lease, to, followed)) = keeping {
                    tokio::spawn(async move { lease.keep(&to, followed).await });
                }
                listen::listen(to, told, joined, own).await;
            });
            let reading = Arc::new(Reading { connector, session: tokio::sync::Mutex::default() });
            while let Some(job) = waiting.recv().await {
                tokio::spawn(job(reading.clone()));
            }
        };
        std::thread::Builder::new()
            .name("store-postgres".into())
            .spawn(move || runtime.block_on(run))
            .map_err(failed)?;
        Ok(Self { jobs, committed, joined, lease })
    }

    pub fn join_others(&self, wake: Wake, followed: watch::Receiver<u64>) {
        self.joined.send_replace(Some(Joined { wake, followed }));
    }

    /// Tells the other processes of a commit.
    pub fn tell_others(&self, position: u64) {
        self.committed.send_if_modified(|last| {
            let later = position > *last;
            *last = position.max(*last);
            later
        });
    }

    /// Reads, and waits for it on this thread.
    fn read<T, F, R>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send,
        R: Fn(Arc<Session>) -> F + Send + Sync + 'static,
    {
        let (reply, answer) = sync_channel(1);
        let job: Job = Box::new(move |reading| {
            Box::pin(async move {
                drop(reply.send(twice(&reading, &read).await));
            })
        });
        self.jobs.send(job).map_err(|_| StoreError::Closed)?;
        answer.recv().unwrap_or(Err(StoreError::Closed))
    }
}

/// Reads; once more where the connection was lost meanwhile.
async fn twice<T, F>(
    reading: &Reading,
    read: &(impl Fn(Arc<Session>) -> F + Send + Sync),
) -> Result<T, StoreError>
where
    T: Send,
    F: Future<Output = Result<T, StoreError>> + Send,
{
    let session = reading.session().await?;
    match session.within(READ_WITHIN, read(session.clone())).await {
        Err(_) if !session.is_open() => {
            let session = reading.session().await?;
            session.within(READ_WITHIN, read(session.clone())).await
        }
        read => read,
    }
}

const GET: &str = "SELECT revision, value FROM ringfence_entries WHERE partition = $1 AND key = $2";

/// One statement, and so one point in time. Where there is no entry, one row tells the head.
const RANGE: &str = "
SELECT h.revision, e.key, e.revision, e.value
FROM (SELECT coalesce((SELECT revision FROM ringfence_heads WHERE partition = $1), 0) AS revision) h
LEFT JOIN LATERAL (
    SELECT key, revision, value FROM ringfence_entries
    WHERE partition = $1 AND key >= $2
        AND ($3::bytea IS NULL OR key > $3) AND ($4::bytea IS NULL OR key < $4)
    ORDER BY key LIMIT $5
) e ON true
ORDER BY e.key";

const CHANGES: &str = "SELECT position, partition, revision, key, deleted FROM ringfence_changes
    WHERE position > $1 ORDER BY position LIMIT $2";

const NEWS: &str = "
SELECT c.position, c.partition, c.revision, c.key, c.deleted, c.note, e.revision, e.value
FROM ringfence_changes c
LEFT JOIN ringfence_entries e ON e.partition = c.partition AND e.key = c.key
WHERE c.position > $1 ORDER BY c.position LIMIT $2";

/// Whether changes after a position are kept: the one that follows it, where there is any.
const KEPT: &str =
    "SELECT coalesce((SELECT min(position) FROM ringfence_changes) <= $1::bigint + 1,
    (SELECT revision FROM ringfence_heads WHERE partition = '') <= $1::bigint)";

async fn check_kept(client: &Client, after: u64) -> Result<(), StoreError> {
    match client.query_one(KEPT, &[&signed(after)]).await?.get::<_, bool>(0) {
        true => Ok(()),
        false => Err(StoreError::Trimmed(after)),
    }
}

fn change(row: &Row) -> Change {
    Change {
        position: unsigned(row.get(0)),
        partition: Partition::new(row.get(1)),
        revision: unsigned(row.get(2)),
        key: row.get(3),
        deleted: row.get(4),
    }
}

impl Reader for Remote {
    fn get(
        &self,
        partition: &Partition,
        key: &[u8],
    ) -> Result<Option<(Revision, Vec<u8>)>, StoreError> {
        let (partition, key) = (partition.clone(), key.to_vec());
        self.read(move |session| {
            let (partition, key) = (partition.clone(), key.clone());
            async move {
                let found = session.client.query_opt(GET, &[&partition.as_str(), &key]).await?;
                Ok(found.map(|row| (unsigned(row.get(0)), row.get(1))))
            }
        })
    }

    fn range(
        &self,
        partition: &Partition,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Revision, Vec<SealedEntry>), StoreError> {
        let partition = partition.clone();
        let after = after.filter(|after| *after >= prefix).map(<[u8]>::to_vec);
        let (prefix, end) = (prefix.to_vec(), prefix_end(prefix));
        self.read(move |session| {
            let (partition, prefix) = (partition.clone(), prefix.clone());
            let (after, end) = (after.clone(), end.clone());
            async move {
                let from = after.as_ref().unwrap_or(&prefix);
                let rows = session
                    .client
                    .query(RANGE, &[&partition.as_str(), from, &after, &end, &signed(limit as u64)])
                    .await?;
                let head = rows.first().map_or(0, |row| unsigned(row.get(0)));
                let entries = rows.iter().filter_map(|row| {
                    let key: Option<Vec<u8>> = row.get(1);
                    Some((key?, unsigned(row.get(2)), row.get(3)))
                });
                Ok((head, entries.collect()))
            }
        })
    }

    fn partitions(&self) -> Result<Vec<Partition>, StoreError> {
        self.read(|session| async move {
            let sql = format!(
                "SELECT partition FROM ringfence_heads WHERE {} ORDER BY partition",
                schema::OF_USERS
            );
            let rows = session.client.query(&sql, &[]).await?;
            Ok(rows.iter().map(|row| Partition::new(row.get(0))).collect())
        })
    }

    fn changes(&self, after: u64, limit: usize) -> Result<Vec<Change>, StoreError> {
        self.read(move |session| async move {
            let limit = signed(limit as u64);
            let rows = session.client.query(CHANGES, &[&signed(after), &limit]).await?;
            // Looked at afterwards: what has gone meanwhile is missed in the rows.
            check_kept(&session.client, after).await?;
            Ok(rows.iter().map(change).collect())
        })
    }

    fn last_position(&self) -> Result<u64, StoreError> {
        self.read(|session| async move { schema::position(&session.client).await })
    }

    fn epoch(&self) -> Result<u64, StoreError> {
        self.read(|session| async move { Ok(session.timeline) })
    }

    fn news(&self, after: u64) -> Result<Vec<SealedNews>, StoreError> {
        self.read(move |session| async move {
            let rows = session.client.query(NEWS, &[&signed(after), &MOST_NEWS]).await?;
            check_kept(&session.client, after).await?;
            if rows.len() as i64 >= MOST_NEWS {
                return Err(StoreError::Trimmed(after));
            }
            let news = rows.iter().map(|row| SealedNews {
                change: change(row),
                note: row.get(5),
                now: row.get::<_, Option<i64>>(6).map(|at| (unsigned(at), row.get(7))),
            });
            Ok(news.collect())
        })
    }
}
