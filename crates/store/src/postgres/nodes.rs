//! Leases, by which no server decides on what is no longer so: `--consistency strict`.
//!
//! ```text
//!   a server:  ── renew every 500 ms ─► its row     decides only while its lease holds
//!              ── NOTIFY what it has taken in ─►
//!   a writer:  commit ─► rows of all ─► each has taken it in, or its row was taken away ─► acknowledge
//! ```
//!
//! A server reckons by its own clock that does not jump: its lease holds for [`LEASE`] from the moment at which
//! it *began* to renew it. A writer that waits for a server whose row stays the same for longer than that and
//! [`MARGIN`], again by its own clock, takes the row away; only then is the server not waited for. So by the time
//! that a write is acknowledged without a server, that server has stopped deciding. It finds its row gone,
//! and takes in everything that there is before it decides again. Nothing hangs on what two clocks say, but on
//! how fast they go.
//!
//! A new server writes its row before it reads the store: whoever commits afterwards waits for it.
//!
//! What a server has taken in is said as a [`mark`](crate::engine::mark), since another primary may have given the
//! position to another change.

use super::connect::{Connector, Session};
use super::{ANSWERED_WITHIN, signed, unsigned};
use crate::StoreError;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_postgres::Client;

/// How long a lease holds.
pub(super) const LEASE: Duration = Duration::from_secs(2);
/// How often it is renewed.
pub(super) const RENEW: Duration = Duration::from_millis(500);
/// How much longer a writer waits before it takes a lease away: clocks do not go equally fast.
const MARGIN: Duration = Duration::from_millis(500);

/// How long a writer waits at most.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How often it looks, where nobody tells.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Where the rows are: a server's name, how often it has renewed its lease, and what it has taken in.
const PARTITION: &str = "~nodes";

/// Writes a server's row anew. It may not decide yet: it may be behind.
pub(super) async fn register(session: &Session, name: &str) -> Result<u64, StoreError> {
    let sql = "INSERT INTO ringfence_entries VALUES ($1, $2, 1, $3)
        ON CONFLICT (partition, key) DO UPDATE SET revision = ringfence_entries.revision + 1
        RETURNING revision";
    let (key, nothing) = (name.as_bytes(), 0u64.to_be_bytes());
    let row = session.client.query_one(sql, &[&PARTITION, &key, &&nothing[..]]).await?;
    confirmed(session)?;
    Ok(unsigned(row.get(0)))
}

/// Renews a lease; its next number, or `None` where it was taken away.
pub(super) async fn renew(
    session: &Session,
    name: &str,
    number: u64,
    applied: u64,
) -> Result<Option<u64>, StoreError> {
    let sql = "UPDATE ringfence_entries SET revision = revision + 1, value = $4
        WHERE partition = $1 AND key = $2 AND revision = $3";
    let (key, applied) = (name.as_bytes(), applied.to_be_bytes());
    let renewed =
        session.client.execute(sql, &[&PARTITION, &key, &signed(number), &&applied[..]]).await?;
    confirmed(session)?;
    Ok((renewed == 1).then_some(number + 1))
}

/// Takes a server's row away at its end.
pub(super) async fn leave(session: &Session, name: &str) -> Result<(), StoreError> {
    let sql = "DELETE FROM ringfence_entries WHERE partition = $1 AND key = $2";
    session.client.execute(sql, &[&PARTITION, &name.as_bytes()]).await?;
    Ok(())
}

/// A lease that the primary alone knows of is none: another that takes its place has an older one.
fn confirmed(session: &Session) -> Result<(), StoreError> {
    match session.was_not_synced() {
        false => Ok(()),
        true => Err(StoreError::Engine("no standby has confirmed a lease".into())),
    }
}

/// This process's own lease.
pub(super) struct Lease {
    /// What the process is known by, made at its start.
    pub name: String,
    began: Instant,
    /// Until when it holds, in milliseconds since `began`; 0 while it does not.
    until: AtomicU64,
    /// How often it was taken; between two of these others may have gone on without this process.
    tenure: AtomicU64,
    /// What others have said that they have taken in.
    heard: watch::Sender<HashMap<String, u64>>,
}

impl Lease {
    pub fn new() -> Result<Self, StoreError> {
        let mut name = [0; 16];
        rustls::crypto::aws_lc_rs::default_provider()
            .secure_random
            .fill(&mut name)
            .map_err(|_| StoreError::Engine("no random bytes".into()))?;
        let name = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let heard = watch::Sender::new(HashMap::new());
        Ok(Self {
            name,
            began: Instant::now(),
            until: AtomicU64::new(0),
            tenure: AtomicU64::new(0),
            heard,
        })
    }

    /// In which tenure it holds, if it does.
    pub fn holds(&self) -> Option<u64> {
        let tenure = self.tenure.load(Ordering::SeqCst);
        let now = self.began.elapsed().as_millis() as u64;
        let holds = now < self.until.load(Ordering::SeqCst);
        (holds && tenure == self.tenure.load(Ordering::SeqCst)).then_some(tenure)
    }

    /// It was renewed by something that began then.
    fn renewed(&self, began: Instant) {
        let until = (began + LEASE).saturating_duration_since(self.began).as_millis() as u64;
        self.until.store(until, Ordering::SeqCst);
    }

    fn lost(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// Takes in what another has said.
    pub fn hear(&self, text: &str) {
        let told =
            text.split_once(' ').and_then(|(name, at)| Some((name, at.parse::<u64>().ok()?)));
        if let Some((name, at)) = told {
            self.heard.send_modify(|all| {
                let known = all.entry(name.to_owned()).or_default();
                *known = at.max(*known);
            });
        }
    }

    /// Has a lease for as long as the process lives.
    pub async fn keep(&self, connector: &Connector, mut followed: watch::Receiver<u64>) {
        loop {
            if let Err(error) = self.keep_one(connector, &mut followed).await {
                tracing::debug!(%error, "the lease is not renewed");
            }
            if followed.has_changed().is_err() {
                return;
            }
            tokio::time::sleep(RENEW).await;
        }
    }

    /// Has one until it is lost or the connection is.
    async fn keep_one(
        &self,
        connector: &Connector,
        followed: &mut watch::Receiver<u64>,
    ) -> Result<(), StoreError> {
        let session = connector.connect(None).await?;
        self.tenure.fetch_add(1, Ordering::SeqCst);
        let registering = register(&session, &self.name);
        let mut number = session.within(ANSWERED_WITHIN, registering).await?;
        // All that was acknowledged without this server.
        let position = super::schema::position(&session.client);
        let behind_until = session.mark(session.within(ANSWERED_WITHIN, position).await?);
        while *followed.borrow_and_update() < behind_until {
            if followed.changed().await.is_err() {
                return Ok(());
            }
        }
        let (mut there, mut level_at) = (behind_until, Instant::now());
        loop {
            let began = Instant::now();
            let applied = *followed.borrow_and_update();
            if applied >= there {
                level_at = began;
            } else if level_at.elapsed() > LEASE {
                // Writers would wait for it without end.
                self.lost();
                tracing::error!(
                    "this server does not take in what others write: it gives up its lease"
                );
                return leave(&session, &self.name).await;
            }
            let position = super::schema::position(&session.client);
            there = session.mark(session.within(LEASE, position).await?);
            let renewal = renew(&session, &self.name, number, applied);
            match session.within(LEASE, renewal).await? {
                Some(next) => {
                    number = next;
                    self.renewed(began);
                }
                None => {
                    self.lost();
                    tracing::warn!("this server was silent for too long: it has lost its lease");
                    return Ok(());
                }
            }
            if followed.has_changed().is_err() {
                self.lost();
                return leave(&session, &self.name).await;
            }
            tokio::time::sleep(RENEW).await;
            if !session.is_open() {
                return Err(StoreError::Engine("another primary leads".into()));
            }
        }
    }

    /// Waits until every server that decides has taken in a position.
    pub async fn known_to_all(
        &self,
        session: &Session,
        others: &mut Others,
        position: u64,
    ) -> Result<(), StoreError> {
        let until = Instant::now() + LONGEST_WAIT;
        let position = session.mark(position);
        let mut heard = self.heard.subscribe();
        loop {
            let told = heard.borrow_and_update().clone();
            let at = |name: &str| told.get(name).copied().unwrap_or(0);
            let behind = others.behind(&session.client, &self.name, position, at).await?;
            // A lease that the primary alone knows to be taken away may hold where another takes its place.
            confirmed(session)?;
            let Some(behind) = behind else { return Ok(()) };
            if Instant::now() > until {
                return Err(StoreError::Engine(format!(
                    "a commit is in doubt: server {behind} has not taken it in"
                )));
            }
            let changed = heard.changed();
            tokio::time::timeout(LOOK_AGAIN, changed).await.map(drop).unwrap_or_default();
        }
    }
}

/// What a writer knows of the others.
#[derive(Default)]
pub(super) struct Others {
    /// By name: the number of the lease that was seen last, and since when.
    seen: HashMap<String, (u64, Instant)>,
}

impl Others {
    /// Who has not taken in a position yet, `None` where all have. `heard` is what servers have told
    /// meanwhile. Who has been silent for too long loses its lease.
    pub async fn behind(
        &mut self,
        client: &Client,
        own: &str,
        position: u64,
        heard: impl Fn(&str) -> u64,
    ) -> Result<Option<String>, StoreError> {
        let sql = "SELECT key, revision, value FROM ringfence_entries WHERE partition = $1";
        let rows = client.query(sql, &[&PARTITION]).await?;
        let mut behind = None;
        let mut there = HashMap::new();
        for row in rows {
            let name = String::from_utf8_lossy(row.get::<_, &[u8]>(0)).into_owned();
            if name == own {
                continue;
            }
            let number = unsigned(row.get(1));
            let applied = <[u8; 8]>::try_from(row.get::<_, &[u8]>(2)).map_or(0, u64::from_be_bytes);
            let since = match self.seen.get(&name) {
                Some((seen, since)) if *seen == number => *since,
                _ => Instant::now(),
            };
            if since.elapsed() > LEASE + MARGIN {
                let sql = "DELETE FROM ringfence_entries
                    WHERE partition = $1 AND key = $2 AND revision = $3";
                let key = name.as_bytes();
                client.execute(sql, &[&PARTITION, &key, &signed(number)]).await?;
                tracing::warn!(server = name, "a server is silent: its lease is taken away");
                // Where it has renewed it in this very moment, the next look finds it.
                behind = Some(name);
                continue;
            }
            if applied.max(heard(&name)) < position {
                behind = Some(name.clone());
            }
            there.insert(name, (number, since));
        }
        self.seen = there;
        Ok(behind)
    }
}
