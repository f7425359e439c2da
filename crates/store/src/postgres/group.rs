//! A group of commits as one transaction: what it looks at is read at its beginning, and what it writes is
//! gathered and sent at its end, so that a group of a thousand commits costs as many round trips as
//! one of one.

use super::connect::Session;
use super::nodes::LONGEST_WAIT;
use super::{ANSWERED_WITHIN, LONGEST_COMMIT, PATIENCE, Postgres, signed, unsigned};
use crate::engine::Transaction;
use crate::{Commit, Expect, Partition, Revision, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Statement};

/// Before a transaction begins anew.
const PAUSE: Duration = Duration::from_millis(50);

/// How many changes are kept for those who follow.
const KEPT_CHANGES: u64 = 100_000;

/// In the order of their names: two groups never wait for each other in a circle.
const LOCK: &str = "SELECT partition, revision FROM ringfence_heads
    WHERE partition = ANY($1) ORDER BY partition FOR UPDATE";

const MAKE_HEADS: &str = "INSERT INTO ringfence_heads
    SELECT partition, 0 FROM unnest($1::text[]) AS new(partition) ON CONFLICT DO NOTHING";

const REVISIONS: &str = "SELECT e.partition, e.key, e.revision
    FROM unnest($1::text[], $2::bytea[]) AS asked(partition, key)
    JOIN ringfence_entries e ON e.partition = asked.partition AND e.key = asked.key";

/// All of a group in one statement. The row that counts the changes is locked by it, last of all.
const APPLY: &str = "
WITH put AS (
    INSERT INTO ringfence_entries
    SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bytea[])
    ON CONFLICT (partition, key)
    DO UPDATE SET revision = EXCLUDED.revision, value = EXCLUDED.value
), gone AS (
    DELETE FROM ringfence_entries e
    USING unnest($5::text[], $6::bytea[]) AS g(partition, key)
    WHERE e.partition = g.partition AND e.key = g.key
), moved AS (
    UPDATE ringfence_heads h SET revision = m.revision
    FROM unnest($7::text[], $8::bigint[]) AS m(partition, revision)
    WHERE h.partition = m.partition
), counted AS (
    UPDATE ringfence_heads SET revision = revision + $9 WHERE partition = '' RETURNING revision
), logged AS (
    INSERT INTO ringfence_changes
    SELECT counted.revision - $9 + c.at, c.partition, c.revision, c.key, c.deleted, c.note
    FROM counted, unnest($10::text[], $11::bigint[], $12::bytea[], $13::boolean[], $14::bytea[])
        WITH ORDINALITY AS c(partition, revision, key, deleted, note, at)
)
SELECT revision FROM counted";

const REWRITE: &str = "UPDATE ringfence_entries e SET value = w.value
    FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bytea[]) AS w(partition, key, revision, value)
    WHERE e.partition = w.partition AND e.key = w.key AND e.revision = w.revision";

const TRIM: &str = "DELETE FROM ringfence_changes WHERE position <= $1";

type Place = (Partition, Vec<u8>);

/// A transaction for a group.
pub(super) struct Group<'e> {
    engine: &'e mut Postgres,
    /// Of a transaction that has begun; taken when it ends.
    session: Option<Session>,
    heads: BTreeMap<Partition, Revision>,
    moved: BTreeSet<Partition>,
    /// Revisions that were looked up, and those that the group has written since.
    revisions: BTreeMap<Place, Revision>,
    entries: BTreeMap<Place, Option<(Revision, Vec<u8>)>>,
    changes: Vec<Logged>,
    rewritten: Vec<(Place, Revision, Vec<u8>)>,
}

struct Logged {
    place: Place,
    revision: Revision,
    deleted: bool,
    note: Vec<u8>,
}

impl<'e> Group<'e> {
    pub fn begin(engine: &'e mut Postgres, group: &[Commit]) -> Result<Self, StoreError> {
        let partitions: BTreeSet<&Partition> =
            group.iter().map(|commit| &commit.partition).collect();
        let expected: BTreeSet<(&str, &[u8])> = group
            .iter()
            .flat_map(|commit| commit.expect.iter().map(move |expect| (commit, expect)))
            .filter_map(|(commit, expect)| match expect {
                Expect::Key(key, _) => Some((commit.partition.as_str(), key.as_slice())),
                Expect::Head(_) => None,
            })
            .collect();
        let until = Instant::now() + PATIENCE;
        loop {
            let session = engine.session.take().filter(Session::is_open);
            let begun = engine.runtime.block_on(async {
                let mut session = match session {
                    Some(session) => session,
                    None => engine.connector.until_there(PATIENCE).await?,
                };
                let taken = session.statements.take();
                let looking = async {
                    let statements = match taken {
                        Some(statements) => statements,
                        None => Statements::prepare(&session.client).await?,
                    };
                    let seen = look(&session.client, &statements, &partitions, &expected).await?;
                    Ok::<_, StoreError>((statements, seen))
                };
                let (statements, seen) = session.within(ANSWERED_WITHIN, looking).await?;
                session.statements = Some(statements);
                Ok((session, seen))
            });
            match begun {
                Ok((session, (heads, revisions))) => {
                    return Ok(Self {
                        engine,
                        session: Some(session),
                        heads,
                        moved: BTreeSet::new(),
                        revisions,
                        entries: BTreeMap::new(),
                        changes: Vec::new(),
                        rewritten: Vec::new(),
                    });
                }
                // Nothing was written: where the primary has gone, another's turn begins.
                Err(error) if Instant::now() >= until => return Err(error),
                Err(error @ (StoreError::Full(_) | StoreError::Newer { .. })) => return Err(error),
                Err(error) => tracing::debug!(%error, "a transaction begins anew"),
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn log(&mut self, place: Place, revision: Revision, deleted: bool, note: &[u8]) {
        self.changes.push(Logged { place, revision, deleted, note: note.to_vec() });
    }
}

/// What groups say to the database, prepared for one connection.
pub(super) struct Statements {
    lock: Statement,
    make_heads: Statement,
    revisions: Statement,
    apply: Statement,
    rewrite: Statement,
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, StoreError> {
        Ok(Self {
            lock: client.prepare(LOCK).await?,
            make_heads: client.prepare(MAKE_HEADS).await?,
            revisions: client.prepare(REVISIONS).await?,
            apply: client.prepare(APPLY).await?,
            rewrite: client.prepare(REWRITE).await?,
        })
    }
}

/// Begins a transaction: the heads of its partitions, locked, and the revisions of keys.
async fn look(
    client: &Client,
    statements: &Statements,
    partitions: &BTreeSet<&Partition>,
    expected: &BTreeSet<(&str, &[u8])>,
) -> Result<(BTreeMap<Partition, Revision>, BTreeMap<Place, Revision>), StoreError> {
    let Statements { lock, make_heads, revisions, .. } = statements;
    client.batch_execute("BEGIN").await?;
    let mut heads = BTreeMap::new();
    if !partitions.is_empty() {
        let names: Vec<&str> = partitions.iter().map(|partition| partition.as_str()).collect();
        let mut rows = client.query(lock, &[&names]).await?;
        if rows.len() < names.len() {
            client.execute(make_heads, &[&names]).await?;
            rows = client.query(lock, &[&names]).await?;
        }
        for row in rows {
            heads.insert(Partition::new(row.get(0)), unsigned(row.get(1)));
        }
    }
    let mut found: BTreeMap<Place, Revision> = BTreeMap::new();
    if !expected.is_empty() {
        let (of, keys): (Vec<&str>, Vec<&[u8]>) = expected.iter().copied().unzip();
        for (partition, key) in expected {
            found.insert((Partition::new(partition), key.to_vec()), 0);
        }
        for row in client.query(revisions, &[&of, &keys]).await? {
            found.insert((Partition::new(row.get(0)), row.get(1)), unsigned(row.get(2)));
        }
    }
    Ok((heads, found))
}

impl Transaction for Group<'_> {
    fn epoch(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.timeline)
    }

    fn head(&mut self, partition: &Partition) -> Result<Revision, StoreError> {
        let head = self.heads.get(partition).copied();
        head.ok_or_else(|| StoreError::Engine(format!("partition {partition:?} is not locked")))
    }

    fn revision(&mut self, partition: &Partition, key: &[u8]) -> Result<Revision, StoreError> {
        let place = (partition.clone(), key.to_vec());
        if let Some(written) = self.entries.get(&place) {
            return Ok(written.as_ref().map_or(0, |(revision, _)| *revision));
        }
        let found = self.revisions.get(&place).copied();
        found.ok_or_else(|| StoreError::Engine("a key's revision was not asked for".into()))
    }

    fn put(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        let place = (partition.clone(), key.to_vec());
        self.entries.insert(place.clone(), Some((revision, sealed.to_vec())));
        self.log(place, revision, false, &[]);
        Ok(())
    }

    fn delete(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        note: &[u8],
    ) -> Result<(), StoreError> {
        let place = (partition.clone(), key.to_vec());
        self.entries.insert(place.clone(), None);
        self.log(place, revision, true, note);
        Ok(())
    }

    fn rewrite(
        &mut self,
        partition: &Partition,
        key: &[u8],
        revision: Revision,
        sealed: &[u8],
    ) -> Result<(), StoreError> {
        self.rewritten.push(((partition.clone(), key.to_vec()), revision, sealed.to_vec()));
        Ok(())
    }

    fn set_head(&mut self, partition: &Partition, revision: Revision) -> Result<(), StoreError> {
        self.heads.insert(partition.clone(), revision);
        self.moved.insert(partition.clone());
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        let session = self.session.take().ok_or(StoreError::Closed)?;
        let written = self.engine.runtime.block_on(async {
            let position = session.within(ANSWERED_WITHIN, self.write(&session)).await?;
            let committed = session.client.batch_execute("COMMIT");
            let committed = tokio::time::timeout(LONGEST_COMMIT, committed).await;
            let in_doubt = |why: &str| StoreError::Engine(format!("a commit is in doubt: {why}"));
            committed.map_err(|_| in_doubt("it takes too long"))??;
            if session.was_not_synced() {
                return Err(in_doubt("no standby has confirmed it"));
            }
            Ok(position)
        });
        // Where it failed, the connection is in the middle of something, and not used again.
        let position = written?;
        self.engine.remote.tell_others(position);
        if let Some(lease) = self.engine.remote.lease.clone() {
            let others = &mut self.engine.others;
            let known = lease.known_to_all(&session, others, position);
            let known = session.within(2 * LONGEST_WAIT, known);
            self.engine.runtime.block_on(known)?;
        }
        self.trim(&session.client, position);
        self.engine.session = Some(session);
        Ok(())
    }
}

impl Group<'_> {
    /// Writes everything but the commit itself; the position of the last change.
    async fn write(&self, session: &Session) -> Result<u64, StoreError> {
        let client = &session.client;
        let statements = session.statements.as_ref().ok_or(StoreError::Closed)?;
        if !self.rewritten.is_empty() {
            let of: Vec<&str> = self.rewritten.iter().map(|((of, _), ..)| of.as_str()).collect();
            let keys: Vec<&[u8]> = self.rewritten.iter().map(|((_, key), ..)| &key[..]).collect();
            let at: Vec<i64> = self.rewritten.iter().map(|(_, at, _)| signed(*at)).collect();
            let values: Vec<&[u8]> = self.rewritten.iter().map(|(.., value)| &value[..]).collect();
            client.execute(&statements.rewrite, &[&of, &keys, &at, &values]).await?;
        }
        if self.moved.is_empty() {
            return Ok(0);
        }
        let put = || self.entries.iter().filter_map(|(at, now)| Some((at, now.as_ref()?)));
        let put_in: Vec<&str> = put().map(|((of, _), _)| of.as_str()).collect();
        let put_keys: Vec<&[u8]> = put().map(|((_, key), _)| &key[..]).collect();
        let put_at: Vec<i64> = put().map(|(_, (at, _))| signed(*at)).collect();
        let values: Vec<&[u8]> = put().map(|(_, (_, value))| &value[..]).collect();
        let gone = || self.entries.iter().filter(|(_, now)| now.is_none()).map(|(at, _)| at);
        let gone_in: Vec<&str> = gone().map(|(of, _)| of.as_str()).collect();
        let gone_keys: Vec<&[u8]> = gone().map(|(_, key)| &key[..]).collect();
        let moved: Vec<&str> = self.moved.iter().map(Partition::as_str).collect();
        let heads: Vec<i64> = self
            .moved
            .iter()
            .map(|one| signed(self.heads.get(one).copied().unwrap_or(0)))
            .collect();
        let count = signed(self.changes.len() as u64);
        let changed = || self.changes.iter();
        let changed_in: Vec<&str> = changed().map(|one| one.place.0.as_str()).collect();
        let changed_at: Vec<i64> = changed().map(|one| signed(one.revision)).collect();
        let changed_keys: Vec<&[u8]> = changed().map(|one| &one.place.1[..]).collect();
        let deleted: Vec<bool> = changed().map(|one| one.deleted).collect();
        let notes: Vec<&[u8]> = changed().map(|one| &one.note[..]).collect();
        let row = client
            .query_one(
                &statements.apply,
                &[
                    &put_in,
                    &put_keys,
                    &put_at,
                    &values,
                    &gone_in,
                    &gone_keys,
                    &moved,
                    &heads,
                    &count,
                    &changed_in,
                    &changed_at,
                    &changed_keys,
                    &deleted,
                    &notes,
                ],
            )
            .await?;
        Ok(unsigned(row.get(0)))
    }

    /// Drops the oldest changes, a batch at a time. What fails is done by the next group.
    fn trim(&mut self, client: &Client, position: u64) {
        let keep_after = position.saturating_sub(KEPT_CHANGES);
        if keep_after < self.engine.trimmed_to + KEPT_CHANGES / 10 {
            return;
        }
        match self.engine.runtime.block_on(client.execute(TRIM, &[&signed(keep_after)])) {
            Ok(_) => self.engine.trimmed_to = keep_after,
            Err(error) => tracing::warn!(%error, "old changes are kept for longer"),
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        // Of one that was not committed.
        if let Some(session) = self.session.take() {
            let back = session.within(ANSWERED_WITHIN, session.client.batch_execute("ROLLBACK"));
            if self.engine.runtime.block_on(back).is_ok() {
                self.engine.session = Some(session);
            }
        }
    }
}
