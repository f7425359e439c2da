//! The embedded engine: SQLite in WAL mode, every commit synced before it is acknowledged.
//!
//! Of SQLite, redb, fjall and LMDB it alone reopened from every enumerated crash state. Three
//! tables: `entries` holds sealed values, `heads` the revision of each partition, `changes` what
//! watchers read.
//!
//! `tests/crash_states.rs` enumerates what crashes leave, and makes calls fail. Six things are done here
//! because it showed that SQLite alone does not do them:
//!
//! - **The journal mode is looked at** after it was set, and whether anything can be written: where a call
//!   fails meanwhile, SQLite may stay in another mode, or open the files for reading alone, without an
//!   error.
//! - **The directory is synced** when the store is opened, and opening fails where that fails. SQLite
//!   syncs it too, and passes over an error.
//! - **The log that a crash left is written over itself and synced** before anything is read: a process
//!   that was killed may have left a commit that is in the kernel's memory alone, which would be read,
//!   believed, and lost with the next loss of power. Then it is brought into the database and cut, because
//!   values that a commit destroyed just before the crash would stay in it.
//! - **A log that is cut is synced**: else a loss of power brings back its former length, and with it
//!   the values that were destroyed.
//! - **Gaps between cells are cleared** when something must be forgotten ([`crate::gaps`]): `secure_delete`
//!   leaves copies of values in them.
//! - **What a failed commit left in the log is cut off**, before its caller hears of it; until that is done
//!   no other commit is taken. Left there, a restart could bring back what was said to have failed. And
//!   when a sync fails, Linux takes the pages for clean: later syncs pass over them and succeed
//!   (<https://www.usenix.org/conference/atc20/presentation/rebello>). Nothing that such a sync covered is
//!   built on here: commits before it were synced by syncs of their own, and those after it are written
//!   anew where it was. A checkpoint whose sync fails is done again, from the first page on.

use crate::engine::{Engine, Reader, SealedEntry, SealedNews, Transaction, prefix_end};
use crate::{Change, Commit, Partition, Revision, StoreError, gaps};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The format of the tables, kept in `user_version`.
const FORMAT: i64 = 1;
/// Marks the file as ours: `RNGF`.
const APPLICATION_ID: i64 = 0x524e_4746;
/// How many changes are kept for watchers.
const KEPT_CHANGES: u64 = 100_000;
/// What precedes the frames in SQLite's log, and the page in each frame.
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

const TABLES: &str = "
CREATE TABLE entries (
    partition TEXT NOT NULL,
    key BLOB NOT NULL,
    revision INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (partition, key)
) WITHOUT ROWID;
CREATE TABLE heads (
    partition TEXT NOT NULL PRIMARY KEY,
    revision INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE changes (
    position INTEGER NOT NULL PRIMARY KEY,
    partition TEXT NOT NULL,
    revision INTEGER NOT NULL,
    key BLOB NOT NULL,
    deleted INTEGER NOT NULL
);
";

/// How long it is waited for those who read the file.
const LONG_WAIT: Duration = Duration::from_secs(5);
const SHORT_WAIT: Duration = Duration::from_millis(50);
/// Before what could not be forgotten is tried again.
const FORGET_AGAIN: Duration = Duration::from_secs(1);

/// An open database.
pub struct Sqlite {
    connection: Connection,
    readers: Arc<Readers>,
    /// Heads read so far; emptied when a transaction fails, since its changes are then undone.
    heads: HashMap<Partition, Revision>,
    last_position: u64,
    trimmed_to: u64,
    /// A commit failed, and may lie at the end of the log.
    in_doubt: bool,
    /// [`Engine::forget`] did not come to its end.
    must_forget: bool,
    /// When it is tried again: while somebody reads the file, it cannot.
    forget_at: Instant,
    page_size: u64,
    /// Held for as long as the engine lives: one process at a time.
    _lock: File,
}

/// Connections for reading, made as they are needed.
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    /// The database's file, for its gaps; none where it is only read. It is closed last of all: closing it
    /// ends the locks that this process has on it by way of SQLite.
    /// <https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>
    file: Option<File>,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(error.to_string()),
            _ => Self::Engine(error.to_string()),
        }
    }
}

impl Sqlite {
    /// Opens `DIR/store.db`, made if need be. The folder must exist.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let lock = lock(&dir.join("store.lock"))?;
        let path = dir.join("store.db");
        let log_was_left = settle_log(&path)?;
        let connection = Connection::open(&path)?;
        set_wal(&connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
        // What is overwritten or removed is zeroed in the pages that held it.
        // https://www.sqlite.org/pragma.html#pragma_secure_delete
        connection.pragma_update(None, "secure_delete", true)?;
        connection.pragma_update(None, "cache_size", -4096)?;
        connection.set_prepared_statement_cache_capacity(32);
        prepare(&connection)?;
        // What SQLite cannot open for writing it opens for reading: the database, or its log.
        if connection.is_readonly(rusqlite::MAIN_DB)? {
            return Err(StoreError::Engine(format!("{} cannot be written", path.display())));
        }
        connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
        let file = File::options().read(true).write(true).open(&path);
        let file = file.map_err(|error| failed(&path, &error))?;
        sync(dir)?;
        let last_position = connection
            .query_row("SELECT max(position) FROM changes", [], |row| row.get::<_, Option<i64>>(0))?
            .map_or(0, unsigned);
        let trimmed_to = connection
            .query_row("SELECT min(position) FROM changes", [], |row| row.get::<_, Option<i64>>(0))?
            .map_or(last_position, |first| unsigned(first).saturating_sub(1));
        let readers = Arc::new(Readers { path, idle: Mutex::default(), file: Some(file) });
        let heads = HashMap::new();
        let page_size =
            connection.pragma_query_value(None, "page_size", |row| row.get(0)).map(unsigned)?;
        let mut engine = Self {
            connection,
            readers,
            heads,
            last_position,
            trimmed_to,
            in_doubt: false,
            must_forget: false,
            forget_at: Instant::now(),
            page_size,
            _lock: lock,
        };
        if log_was_left && let Err(error) = engine.forget() {
            tracing::error!(%error, "former values may still lie in the store's files");
        }
        Ok(engine)
    }
}

impl Drop for Sqlite {
    /// The connection that writes is to be the last that is closed: then SQLite clears its log away.
    fn drop(&mut self) {
        self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Sqlite {
    /// Cuts off what lies behind the last commit in the log, durably.
    /// <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>
    fn cut_tail(&mut self) -> Result<(), StoreError> {
        let end = match checkpoint(&self.connection, "NOOP")? {
            0 => 0,
            frames => LOG_HEADER + frames * (FRAME_HEADER + self.page_size),
        };
        let path = log_of(&self.readers.path);
        let cut = |file: File| {
            if file.metadata()?.len() > end {
                file.set_len(end)?;
            }
            file.sync_all()
        };
        let log = File::options().write(true).open(&path).and_then(cut);
        log.map_err(|error| failed(&path, &error))?;
        self.in_doubt = false;
        Ok(())
    }
}

/// A database for reading alone, which another process may have open: what it has committed is
/// seen.
pub struct ReadOnly(Arc<Readers>);

impl ReadOnly {
    /// Opens `DIR/store.db`, which must be there.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let readers = Readers { path: dir.join("store.db"), idle: Mutex::default(), file: None };
        readers.with(check_format)?;
        Ok(Self(Arc::new(readers)))
    }
}

impl ReadOnly {
    /// Copies what is committed at this moment into a new file, whether or not another process writes. The copy
    /// is synced; its name is not.
    /// <https://www.sqlite.org/lang_vacuum.html#vacuum_with_an_into_clause>
    ///
    /// # Errors
    /// [`StoreError::Engine`], where the file is there too; [`StoreError::Full`].
    pub fn copy_into(&self, path: &Path) -> Result<(), StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0.path, flags)?;
        connection.busy_timeout(LONG_WAIT)?;
        let Some(name) = path.to_str() else {
            return Err(StoreError::Engine(format!("{} is not UTF-8", path.display())));
        };
        connection.execute("VACUUM INTO ?1", [name])?;
        sync(path)
    }

    /// Looks at every page of the file: `None` where all are sound, or else what is wrong first.
    /// <https://www.sqlite.org/pragma.html#pragma_integrity_check>
    ///
    /// # Errors
    /// [`StoreError::Engine`]
    pub fn unsound(&self) -> Result<Option<String>, StoreError> {
        self.0.with(|connection| {
            let sql = "PRAGMA integrity_check(1)";
            let found = connection.query_row(sql, [], |row| row.get::<_, String>(0))?;
            Ok((found != "ok").then_some(found))
        })
    }
}

impl Engine for ReadOnly {
    fn begin(&mut self, _group: &[Commit]) -> Result<Box<dyn Transaction + '_>, StoreError> {
        Err(StoreError::Engine("it was opened for reading alone".into()))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(self.0.clone())
    }
}

/// SQLite's integers are signed; revisions never come near the difference.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// Chooses the write-ahead log. Where a call fails, SQLite stays in another mode and says so in the row, or
/// by an error behind it.
fn set_wal(connection: &Connection) -> Result<(), StoreError> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL")?;
    let modes = statement.query_map([], |row| row.get::<_, String>(0))?;
    match modes.collect::<Result<Vec<_>, _>>()?.as_slice() {
        [mode] if mode == "wal" => Ok(()),
        modes => Err(StoreError::Engine(format!("the database stays in journal mode {modes:?}"))),
    }
}

/// Takes the lock that keeps a second process out.
fn lock(path: &Path) -> Result<File, StoreError> {
    let options = File::options().create(true).truncate(false).write(true).open(path);
    let file = options.map_err(|error| failed(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.display().to_string())),
        Err(TryLockError::Error(error)) => Err(failed(path, &error)),
    }
}

/// The file of SQLite's log.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// Makes what an earlier process left in the log as durable as it looks: it may be in the kernel's memory
/// alone, and of pages whose sync failed a sync writes nothing until they are written to again. Returns
/// whether there was anything.
fn settle_log(path: &Path) -> Result<bool, StoreError> {
    let path = log_of(path);
    let failed = |error: io::Error| failed(&path, &error);
    let file = match File::options().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    let len = file.metadata().map_err(failed)?.len();
    let mut chunk = vec![0; 1 << 16];
    for at in (0..len).step_by(chunk.len()) {
        let part = usize::try_from(len - at).unwrap_or(usize::MAX).min(chunk.len());
        file.read_exact_at(&mut chunk[..part], at).map_err(failed)?;
        file.write_all_at(&chunk[..part], at).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    Ok(len > 0)
}

/// Brings the log into the database. `FULL` leaves it as it is, `TRUNCATE` cuts it to nothing; `NOOP` does
/// nothing. Returns how many frames are in the log.
/// <https://www.sqlite.org/pragma.html#pragma_wal_checkpoint>
fn checkpoint(connection: &Connection, how: &str) -> Result<u64, StoreError> {
    let sql = format!("PRAGMA wal_checkpoint({how})");
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    match connection.query_row(&sql, [], row)? {
        (0, frames) => {
            u64::try_from(frames).map_err(|_| StoreError::Engine("the database has no log".into()))
        }
        _ => Err(StoreError::Engine("somebody reads on, and the log cannot be cut".into())),
    }
}

/// Makes a file, or the names in a directory, durable.
fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed(path, &error))
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full(text),
        _ => StoreError::Engine(text),
    }
}

/// Makes the tables of a new database, and refuses one that is not ours or is newer.
fn prepare(connection: &Connection) -> Result<(), StoreError> {
    if marks(connection)? != (0, 0) {
        return check_format(connection);
    }
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()?;
    Ok(())
}

/// Whose file it is and of which format; zeros in one that is new.
fn marks(connection: &Connection) -> Result<(i64, i64), StoreError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((pragma("application_id")?, pragma("user_version")?))
}

/// Refuses a database that is not ours or is newer.
fn check_format(connection: &Connection) -> Result<(), StoreError> {
    match marks(connection)? {
        (APPLICATION_ID, FORMAT) => Ok(()),
        (APPLICATION_ID, found) => Err(StoreError::Newer { found, known: FORMAT }),
        _ => Err(StoreError::Engine("the file is no store of Ringfence".into())),
    }
}

impl Engine for Sqlite {
    fn begin(&mut self, _group: &[Commit]) -> Result<Box<dyn Transaction + '_>, StoreError> {
        if self.in_doubt {
            self.cut_tail()?;
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let position = self.last_position;
        Ok(Box::new(Group { engine: self, position, moved: Vec::new(), done: false }))
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(self.readers.clone())
    }

    /// Pages that were freed are zeroed already. What was moved within the database left copies in gaps, and
    /// the log holds former states of both. It goes last, and is not cleared away before: while it is there,
    /// the next start does this again.
    fn forget(&mut self) -> Result<(), StoreError> {
        // Whoever commits waits for it: for long the first time, when it is the caller's own wish.
        let wait = if self.must_forget { SHORT_WAIT } else { LONG_WAIT };
        self.must_forget = true;
        self.forget_at = Instant::now() + FORGET_AGAIN;
        self.connection.busy_timeout(wait)?;
        let forgotten = self.forget_all();
        self.connection.busy_timeout(LONG_WAIT)?;
        if forgotten.is_ok() {
            self.must_forget = false;
        }
        forgotten
    }

    fn must_forget(&self) -> bool {
        self.must_forget && Instant::now() >= self.forget_at
    }
}

impl Sqlite {
    fn forget_all(&mut self) -> Result<(), StoreError> {
        let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        self.connection.set_db_config(keep_log, true)?;
        checkpoint(&self.connection, "FULL")?;
        if let Some(file) = &self.readers.file {
            gaps::clear(file).map_err(|error| failed(&self.readers.path, &error))?;
        }
        // Pages in memory have their gaps as they were, and would bring them back.
        self.connection.execute_batch("PRAGMA shrink_memory")?;
        checkpoint(&self.connection, "TRUNCATE")?;
        sync(&log_of(&self.readers.path))?;
        self.connection.set_db_config(keep_log, false)?;
        Ok(())
    }
}

/// A transaction for a group of commits.
struct Group<'e> {
    engine: &'e mut Sqlite,
    position: u64,
    /// Heads to write at the end: one row a partition however many commits the group holds.
    moved: Vec<Partition>,
    done: bool,
}

impl Group<'_> {
    fn log(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        deleted: bool,
    ) -> Result<(), StoreError> {
        self.position += 1;
        self.engine
            .connection
            .prepare_cached("INSERT INTO changes VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![
            signed(self.position),
            partition.as_str(),
            signed(revision),
            key,
            deleted
        ])?;
        Ok(())
    }

    /// Forgets the oldest changes, a batch at a time.
    fn trim(&mut self) -> Result<u64, StoreError> {
        let keep_after = self.position.saturating_sub(KEPT_CHANGES);
        if keep_after < self.engine.trimmed_to + KEPT_CHANGES / 10 {
            return Ok(self.engine.trimmed_to);
        }
        self.engine
            .connection
            .prepare_cached("DELETE FROM changes WHERE position <= ?1")?
            .execute([signed(keep_after)])?;
        Ok(keep_after)
    }
}

impl Transaction for Group<'_> {
    fn head(&mut self, partition: &Partition) -> Result<Revision, StoreError> {
        if let Some(head) = self.engine.heads.get(partition) {
            return Ok(*head);
        }
        let head = self
            .engine
            .connection
            .prepare_cached("SELECT revision FROM heads WHERE partition = ?1")?
            .query_row([partition.as_str()], |row| row.get(0))
            .optional()?
            .map_or(0, unsigned);
        self.engine.heads.insert(partition.clone(), head);
        Ok(head)
    }

    fn revision(&mut self, partition: &Partition, key: &[u8]) -> Result<Revision, StoreError> {
        Ok(self
            .engine
            .connection
            .prepare_cached("SELECT revision FROM entries WHERE partition = ?1 AND key = ?2")?
            .query_row(params![partition.as_str(), key], |row| row.get(0))
            .optional()?
            .map_or(0, unsigned))
    }

    fn put(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        self.engine
            .connection
            .prepare_cached("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![partition.as_str(), key, signed(revision), sealed])?;
        self.log(partition, key, revision, false)
    }

    fn delete(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        _note: &[u8],
    ) -> Result<(), StoreError> {
        self.engine
            .connection
            .prepare_cached("DELETE FROM entries WHERE partition = ?1 AND key = ?2")?
            .execute(params![partition.as_str(), key])?;
        self.log(partition, key, revision, true)
    }

    fn rewrite(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        self.engine
            .connection
            .prepare_cached(
                "UPDATE entries SET value = ?4 WHERE partition = ?1 AND key = ?2 AND revision = ?3",
            )?
            .execute(params![partition.as_str(), key, signed(revision), sealed])?;
        Ok(())
    }

    fn set_head(&mut self, partition: &Partition, revision: Revision) -> Result<(), StoreError> {
        self.engine.heads.insert(partition.clone(), revision);
        if !self.moved.contains(partition) {
            self.moved.push(partition.clone());
        }
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        for partition in std::mem::take(&mut self.moved) {
            let head = self.head(&partition)?;
            self.engine
                .connection
                .prepare_cached("INSERT OR REPLACE INTO heads VALUES (?1, ?2)")?
                .execute(params![partition.as_str(), signed(head)])?;
        }
        let trimmed_to = self.trim()?;
        self.engine.in_doubt = true;
        self.engine.connection.execute_batch("COMMIT")?;
        self.engine.in_doubt = false;
        self.engine.last_position = self.position;
        self.engine.trimmed_to = trimmed_to;
        self.done = true;
        Ok(())
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.engine.heads.clear();
            // SQLite has rolled back by itself after some errors; then this one says so.
            if let Err(error) = self.engine.connection.execute_batch("ROLLBACK") {
                tracing::debug!(%error, "nothing to roll back");
            }
            // Before the caller hears that the commit failed, so that it is so.
            if self.engine.in_doubt
                && let Err(error) = self.engine.cut_tail()
            {
                tracing::error!(%error, "no commit is taken until a failed one is cut off");
            }
        }
    }
}

impl Readers {
    /// Runs `read` in one read transaction.
    fn with<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(&self.path, flags)?;
                connection.busy_timeout(LONG_WAIT)?;
                connection.pragma_update(None, "cache_size", -1024)?;
                connection
            }
        };
        let transaction = connection.unchecked_transaction()?;
        let result = read(&transaction)?;
        transaction.commit()?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(result)
    }
}

impl Reader for Arc<Readers> {
    fn get(
        &self,
        partition: &Partition,
        key: &[u8],
    ) -> Result<Option<(Revision, Vec<u8>)>, StoreError> {
        self.with(|connection| {
            Ok(connection
                .prepare_cached(
                    "SELECT revision, value FROM entries WHERE partition = ?1 AND key = ?2",
                )?
                .query_row(params![partition.as_str(), key], |row| {
                    Ok((unsigned(row.get(0)?), row.get(1)?))
                })
                .optional()?)
        })
    }

    fn range(
        &self,
        partition: &Partition,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Revision, Vec<SealedEntry>), StoreError> {
        self.with(|connection| {
            let head = connection
                .prepare_cached("SELECT revision FROM heads WHERE partition = ?1")?
                .query_row([partition.as_str()], |row| row.get(0))
                .optional()?
                .map_or(0, unsigned);
            let after = after.filter(|after| *after >= prefix);
            let mut statement = connection.prepare_cached(
                "SELECT key, revision, value FROM entries
                 WHERE partition = ?1 AND key >= ?2 AND (?3 IS NULL OR key > ?3)
                   AND (?4 IS NULL OR key < ?4)
                 ORDER BY key LIMIT ?5",
            )?;
            let entries = statement
                .query_map(
                    params![
                        partition.as_str(),
                        after.unwrap_or(prefix),
                        after,
                        prefix_end(prefix),
                        signed(limit as u64)
                    ],
                    |row| Ok((row.get(0)?, unsigned(row.get(1)?), row.get(2)?)),
                )?
                .collect::<Result<Vec<_>, _>>()?;
            Ok((head, entries))
        })
    }

    fn partitions(&self) -> Result<Vec<Partition>, StoreError> {
        self.with(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT partition FROM heads ORDER BY partition")?;
            let rows =
                statement.query_map([], |row| Ok(Partition::new(&row.get::<_, String>(0)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    fn last_position(&self) -> Result<u64, StoreError> {
        self.with(|connection| {
            let sql = "SELECT max(position) FROM changes";
            let last = connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0))?;
            Ok(last.map_or(0, unsigned))
        })
    }

    /// One process has it to itself: there is nothing that it has not written.
    fn news(&self, _after: u64) -> Result<Vec<SealedNews>, StoreError> {
        Ok(Vec::new())
    }

    fn changes(&self, after: u64, limit: usize) -> Result<Vec<Change>, StoreError> {
        self.with(|connection| {
            let first = connection
                .query_row("SELECT min(position) FROM changes", [], |row| {
                    row.get::<_, Option<i64>>(0)
                })?
                .map_or(1, unsigned);
            if after + 1 < first {
                return Err(StoreError::Trimmed(after));
            }
            let mut statement = connection.prepare_cached(
                "SELECT position, partition, revision, key, deleted FROM changes
                 WHERE position > ?1 ORDER BY position LIMIT ?2",
            )?;
            let rows = statement.query_map([signed(after), signed(limit as u64)], |row| {
                Ok(Change {
                    position: unsigned(row.get(0)?),
                    partition: Partition::new(&row.get::<_, String>(1)?),
                    revision: unsigned(row.get(2)?),
                    key: row.get(3)?,
                    deleted: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}
