//! The tables, and the format that they have.
//!
//! Beside those of partitions, `ringfence_heads` has three rows of its own: `''` counts the changes, and
//! `~format` tells the format. What is kept in partition `~files` is not sealed.

use super::connect::Session;
use super::{signed, unsigned};
use crate::{Partition, Revision, StoreError};
use tokio_postgres::error::SqlState;

/// The format of the tables.
const FORMAT: i64 = 1;

/// Told apart from the locks of other programs: `RNGF`.
const LOCK: i64 = 0x524e_4746;

/// Keys are compared byte by byte, whatever the database's collation is.
const TABLES: &str = r#"
CREATE TABLE ringfence_entries (
    partition text COLLATE "C" NOT NULL,
    key bytea NOT NULL,
    revision bigint NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (partition, key)
);
CREATE TABLE ringfence_heads (
    partition text COLLATE "C" NOT NULL PRIMARY KEY,
    revision bigint NOT NULL
);
CREATE TABLE ringfence_changes (
    position bigint NOT NULL PRIMARY KEY,
    partition text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    key bytea NOT NULL,
    deleted boolean NOT NULL,
    note bytea NOT NULL
);
INSERT INTO ringfence_heads VALUES ('', 0), ('~format', 1);
"#;

/// Makes the tables of a new database, and refuses those of a newer program. One process at a time does.
pub(super) async fn prepare(session: &mut Session) -> Result<(), StoreError> {
    let transaction = session.client.transaction().await?;
    transaction.query("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let there = transaction
        .query_one("SELECT to_regclass('ringfence_heads') IS NOT NULL", &[])
        .await?
        .get::<_, bool>(0);
    if there {
        let sql = "SELECT revision FROM ringfence_heads WHERE partition = '~format'";
        let found = transaction.query_opt(sql, &[]).await?;
        match found.map(|row| row.get::<_, i64>(0)) {
            Some(FORMAT) => {}
            Some(found) => return Err(StoreError::Newer { found, known: FORMAT }),
            None => return Err(StoreError::Engine("the tables are none of Ringfence's".into())),
        }
    } else {
        transaction.batch_execute(TABLES).await?;
    }
    Ok(transaction.commit().await?)
}

/// Where shared files are.
pub(super) fn files() -> Partition {
    Partition::new("~files")
}

/// Whether a partition is one of the store's users.
pub(super) const OF_USERS: &str = "partition <> '' AND left(partition, 1) <> '~' AND revision > 0";

/// Puts a shared file where its revision is `before`, 0 where it is not there; whether it was.
///
/// Whoever is told that it was not may rely on it: no statement that expects this revision and is
/// still under way is applied later, as rows are locked while they are written, and no revision comes twice.
pub(super) async fn put_file(
    session: &Session,
    name: &str,
    before: Revision,
    bytes: &[u8],
) -> Result<bool, StoreError> {
    let (partition, name) = (files(), name.as_bytes());
    let partition = partition.as_str();
    let changed = if before == 0 {
        let sql = "INSERT INTO ringfence_entries VALUES ($1, $2, 1, $3) ON CONFLICT DO NOTHING";
        session.client.execute(sql, &[&partition, &name, &bytes]).await?
    } else {
        let sql = "UPDATE ringfence_entries SET value = $4, revision = revision + 1
                   WHERE partition = $1 AND key = $2 AND revision = $3";
        session.client.execute(sql, &[&partition, &name, &signed(before), &bytes]).await?
    };
    if session.was_not_synced() {
        return Err(StoreError::Engine("no standby has confirmed a shared file".into()));
    }
    Ok(changed == 1)
}

/// The primary's timeline, which every change of primary makes a new one of: the first eight hexadecimal digits of
/// a file of its log. <https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-TIMELINES>
///
/// 0 where the database has none, as those that merely speak PostgreSQL's protocol.
pub(super) async fn timeline(client: &tokio_postgres::Client) -> Result<u64, StoreError> {
    let sql = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)";
    let digits: String = match client.query_one(sql, &[]).await {
        Ok(row) => row.get(0),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_FUNCTION) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    u64::from_str_radix(&digits, 16)
        .map_err(|_| StoreError::Engine(format!("{digits} is no timeline")))
}

/// The number of changes so far.
pub(super) async fn position(client: &tokio_postgres::Client) -> Result<u64, StoreError> {
    let sql = "SELECT revision FROM ringfence_heads WHERE partition = ''";
    Ok(unsigned(client.query_one(sql, &[]).await?.get(0)))
}
