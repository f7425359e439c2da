//! A data directory: its root key, its store, and the management account.
//!
//! | file | holds |
//! |---|---|
//! | `seal.json` | what protects the root key, and the base keys that it wraps |
//! | `root.key` | the root key, where the seal is a key file of no other place |
//! | `seal.lock` | locked by the one process that changes the seal; the check value of the root key that it puts beside a key file |
//! | `store.db`, `-wal`, `-shm` | the store, its values sealed |
//! | `store.lock` | locked by the one process that writes |
//! | `endpoint` | where the server last listened, for `ringfence env` |
//! | `audit/` | the events, where the server has no `--audit` |
//! | `node` | the server's name among those that share a store |

use crate::cli::Place;
use crate::seal;
use anyhow::{Context as _, bail, ensure};
use ringfence_keyring::{
    Blinder, Domain, Keyring, Random as _, SealChange, SealSpec, SealStatus, SharedFailed,
    SharedSeal, SystemRandom, Zeroizing,
};
use ringfence_policy::AccountId;
use ringfence_store::postgres::{Consistency, Postgres};
use ringfence_store::seal::Sealer;
use ringfence_store::sqlite::{ReadOnly, Sqlite};
use ringfence_store::{Commit, Expect, Partition, Revision, Store, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where the server listens when nothing else is known.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4566";

/// The key of the management account's id in the global partition.
const MANAGEMENT: &str = "house/management";

/// An open data directory.
pub struct House {
    pub dir: PathBuf,
    pub keyring: Keyring,
    pub store: Arc<Store>,
    /// What protects the root key, in words.
    pub seal: String,
}

impl House {
    /// Opens a data directory for writing, and makes it if there is none.
    pub fn open_or_make(place: &Place) -> anyhow::Result<Self> {
        Self::open_to_serve(place, Consistency::Relaxed)
    }

    /// The same, for a server of a store that others may share.
    pub fn open_to_serve(place: &Place, consistency: Consistency) -> anyhow::Result<Self> {
        let dir = data_dir(place.data.as_deref())?;
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("{} cannot be made", dir.display()))?;
        let spec = ringfence_seals::parse(&place.seal, &dir)?;
        if let Some(named) = &place.store {
            let mut engine = Postgres::open(&store_url(named)?, consistency)?;
            let keyring = shared_keyring(&dir, &spec, &mut engine)?;
            let store = Arc::new(Store::open(engine, Seal::of(&keyring))?);
            return Ok(Self { seal: spec.in_words(), dir, keyring, store });
        }
        // Where a store is, a lost seal must not be replaced by a new one.
        let mut keyring = if has_store(&dir) {
            Keyring::open(&dir, &spec)?
        } else {
            Keyring::open_or_create(&dir, &spec)?.0
        };
        let engine = Sqlite::open(&dir).map_err(explain)?;
        // From here on no base key is retired. One that was, a moment ago, must not be sealed under.
        if seal::has_other_base_keys(&dir, &keyring)? {
            keyring = Keyring::open(&dir, &spec)?;
        }
        let store = Store::open(engine, Seal::of(&keyring))?;
        Ok(Self { seal: spec.in_words(), dir, keyring, store: Arc::new(store) })
    }

    /// Opens a data directory that is there for writing. The server must have stopped.
    pub fn open(place: &Place) -> anyhow::Result<Self> {
        if place.store.is_none() {
            existing(place.data.as_deref())?;
        }
        Self::open_or_make(place)
    }

    /// Opens a data directory that is there for reading alone, whether or not a server runs.
    pub fn open_to_read(place: &Place) -> anyhow::Result<Self> {
        if place.store.is_some() {
            return Self::open_or_make(place);
        }
        let dir = existing(place.data.as_deref())?;
        let spec = ringfence_seals::parse(&place.seal, &dir)?;
        let keyring = Keyring::open(&dir, &spec)?;
        let store = Store::open(ReadOnly::open(&dir)?, Seal::of(&keyring))?;
        Ok(Self { seal: spec.in_words(), dir, keyring, store: Arc::new(store) })
    }

    /// Seals values anew that an earlier base key seals, on a thread of its own, until there are none
    /// or the store is closed.
    pub fn seal_anew(&self) {
        if self.keyring.base_keys().iter().filter(|base| !base.names_only).count() < 2 {
            return;
        }
        let store = self.store.clone();
        let started = std::thread::Builder::new().name("reseal".into()).spawn(move || {
            match seal_anew(&store) {
                Ok(count) => tracing::info!(
                    count,
                    "no value is sealed under an earlier base key: `ringfence seal retire` drops them"
                ),
                Err(StoreError::Closed) => {}
                Err(error) => tracing::error!(%error, "values could not be sealed anew"),
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "values are not sealed anew");
        }
    }

    /// The management account, where it was chosen.
    pub fn management(&self) -> anyhow::Result<Option<AccountId>> {
        let Some(entry) = self.store.get(&Partition::global(), MANAGEMENT.as_bytes())? else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&entry.value).ok();
        match text.and_then(|text| text.parse().ok()) {
            Some(account) => Ok(Some(account)),
            None => bail!("the store's management account is no account id"),
        }
    }

    /// Chooses the management account of a new store; the one that it has then, which another server may
    /// have chosen.
    pub fn choose_management(&self, account: AccountId) -> anyhow::Result<AccountId> {
        let commit = Commit::to(Partition::global())
            .expect(Expect::Key(MANAGEMENT.into(), 0))
            .put(MANAGEMENT, account.to_string());
        match self.store.commit_blocking(commit) {
            Ok(_) => Ok(account),
            Err(StoreError::Conflict { .. }) => {
                self.management()?.context("the store's management account is gone")
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Notes where the server listens.
    pub fn note_endpoint(&self, endpoint: &str) -> anyhow::Result<()> {
        let path = self.dir.join("endpoint");
        std::fs::write(&path, endpoint).with_context(|| format!("{}", path.display()))
    }

    /// Where the server listens, or last did.
    pub fn endpoint(&self) -> String {
        std::fs::read_to_string(self.dir.join("endpoint"))
            .ok()
            .filter(|noted| is_endpoint(noted))
            .unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned())
    }
}

/// The URL of a shared store, or what the file that is named holds.
fn store_url(named: &str) -> anyhow::Result<Zeroizing<String>> {
    let url = match named.strip_prefix('@') {
        None => Zeroizing::new(named.to_owned()),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
            Zeroizing::new(text.trim().to_owned())
        }
    };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        bail!("a shared store is named by postgres://…, or by @FILE with such a URL in it");
    }
    Ok(url)
}

/// The database of a shared store.
pub fn shared(named: &str) -> anyhow::Result<Postgres> {
    Ok(Postgres::open(&store_url(named)?, Consistency::Relaxed)?)
}

/// What protects the root key of a shared store.
pub fn shared_seal(engine: &Postgres) -> anyhow::Result<Vec<u8>> {
    let (_, seal) = engine.shared_file(SEAL_FILE)?.context("there is no store in this database")?;
    Ok(seal)
}

/// Gives an empty database what protects a data directory's root key, and says that a copy is under way. One
/// of the same directory that was cut short goes on.
pub fn begin_migration(dir: &Path, engine: &mut Postgres) -> anyhow::Result<()> {
    let ours = ringfence_keyring::seal_file(dir)?.context("there is no seal.json")?;
    match engine.shared_file(SEAL_FILE)? {
        None => {
            engine.share_file(MIGRATION, 0, UNDER_WAY)?;
            ensure!(engine.share_file(SEAL_FILE, 0, &ours)?, "another has made a store there");
        }
        Some((_, theirs)) if theirs == ours => {
            ensure!(
                is_migrated_into(engine)?,
                "this store is in the database already, and servers may have changed it there"
            );
        }
        Some(_) => bail!("another store is in this database, or this one under another seal"),
    }
    Ok(())
}

/// Lets servers use what was copied.
pub fn end_migration(dir: &Path, engine: &mut Postgres) -> anyhow::Result<()> {
    let ours = ringfence_keyring::seal_file(dir)?.context("there is no seal.json")?;
    ensure!(shared_seal(engine)? == ours, "the seal was changed meanwhile: empty the database");
    match engine.shared_file(MIGRATION)? {
        Some((revision, state)) if state == UNDER_WAY => {
            ensure!(engine.share_file(MIGRATION, revision, b"done")?, "another copies too");
        }
        _ => bail!("another copies too"),
    }
    Ok(())
}

/// How far a copy into a database has come: one that is under way is not for servers.
const MIGRATION: &str = "migration";
const UNDER_WAY: &[u8] = b"under way";

const SEAL_FILE: &str = "seal.json";

/// Whether a copy into the database is not whole.
fn is_migrated_into(engine: &Postgres) -> anyhow::Result<bool> {
    Ok(engine.shared_file(MIGRATION)?.is_some_and(|(_, state)| state == UNDER_WAY))
}

/// Refuses a database into which a copy is under way.
fn refuse_half_a_copy(engine: &Postgres) -> anyhow::Result<()> {
    if is_migrated_into(engine)? {
        bail!("a copy into this database is under way, or was cut short: see `ringfence migrate`");
    }
    Ok(())
}

/// The keyring of a store that several servers share: `seal.json` lies in it too, and each server has a copy
/// in its data directory. What opens it, a key file say, each server is given by its operator.
fn shared_keyring(dir: &Path, spec: &SealSpec, engine: &mut Postgres) -> anyhow::Result<Keyring> {
    refuse_half_a_copy(engine)?;
    let mut seal = InDatabase::of(engine);
    match Keyring::open_shared(dir, spec, &mut seal) {
        Ok(Some(keyring)) => return Ok(keyring),
        Ok(None) => {}
        Err(refused) => {
            let changed = seal.described();
            return Err(anyhow::Error::new(refused).context(changed));
        }
    }
    let (keyring, _) = Keyring::open_or_create(dir, spec)?;
    let ours = ringfence_keyring::seal_file(dir)?.context("there is no seal.json")?;
    if !engine.share_file(SEAL_FILE, 0, &ours)? {
        bail!(
            "another server has made this store in the same moment: remove {} and start again with \
             its root key",
            dir.display()
        );
    }
    Ok(keyring)
}

/// Puts a new root key under a shared store, from one server's data directory. Servers may run.
pub fn change_shared_seal(
    named: &str,
    dir: &Path,
    from: &SealSpec,
    to: &SealSpec,
) -> anyhow::Result<SealStatus> {
    let mut engine = shared(named)?;
    refuse_half_a_copy(&engine)?;
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    Ok(SealChange::shared_root_key(dir, from, to, &mut InDatabase::of(&mut engine))?)
}

/// The `seal.json` that lies in a database.
struct InDatabase<'e> {
    engine: &'e mut Postgres,
    /// What was read or written last.
    last: Option<(Revision, Vec<u8>)>,
}

impl<'e> InDatabase<'e> {
    /// How long a database that is away is waited for, in the middle of a change.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn of(engine: &'e mut Postgres) -> Self {
        Self { engine, last: None }
    }

    /// What was read last, for one whom it refuses.
    fn described(&self) -> String {
        let status = self.last.as_ref().and_then(|(_, bytes)| SealStatus::of_bytes(bytes).ok());
        match status {
            Some(status) => format!(
                "the shared store is sealed by a {}, and its root key is number {}",
                status.kind, status.generation
            ),
            None => "the shared store does not open".to_owned(),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), SharedFailed> {
        let before = self.last.as_ref().map_or(0, |(revision, _)| *revision);
        let put = self.engine.settle_shared_file(SEAL_FILE, before, bytes, Self::PATIENCE);
        match put {
            Ok(Some(revision)) => {
                self.last = Some((revision, bytes.to_vec()));
                Ok(())
            }
            Ok(None) => Err(SharedFailed("another has changed it in the same moment".into())),
            Err(error) => Err(SharedFailed(format!(
                "nobody knows whether it was changed, so keep what opens it now and what was to open it; \
                 `ringfence seal status` tells when the database is there: {error}"
            ))),
        }
    }
}

impl SharedSeal for InDatabase<'_> {
    fn read(&mut self) -> Result<Option<Vec<u8>>, SharedFailed> {
        self.last =
            self.engine.shared_file(SEAL_FILE).map_err(|error| SharedFailed(error.to_string()))?;
        Ok(self.last.as_ref().map(|(_, bytes)| bytes.clone()))
    }

    fn confirm(&mut self) -> Result<(), SharedFailed> {
        match self.last.clone() {
            Some((_, bytes)) => self.put(&bytes),
            None => Err(SharedFailed("there is none".into())),
        }
    }

    fn replace(&mut self, bytes: &[u8]) -> Result<(), SharedFailed> {
        self.put(bytes)
    }
}

/// A few values at a time, with a pause in between: those who write must hardly notice.
fn seal_anew(store: &Store) -> Result<usize, StoreError> {
    const AT_ONCE: usize = 200;
    const PAUSE: Duration = Duration::from_millis(5);
    let (mut at, mut count) = (Default::default(), 0);
    while let Some(done) = store.reseal(&mut at, AT_ONCE)? {
        count += done;
        if done > 0 {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(count)
}

/// Whether a text is an endpoint as [`House::note_endpoint`] notes it. A shell will read it: whoever
/// can write into the data directory must not choose what it says.
fn is_endpoint(text: &str) -> bool {
    text.strip_prefix("http://").is_some_and(|rest| rest.parse::<std::net::SocketAddr>().is_ok())
}

/// An account id that nobody chose: any of twelve digits without a leading zero.
pub fn draw_account() -> anyhow::Result<AccountId> {
    let mut bytes = [0; 8];
    SystemRandom.fill(&mut bytes)?;
    let number = 100_000_000_000 + u64::from_be_bytes(bytes) % 900_000_000_000;
    AccountId::new(number).context("the drawn number is no account id")
}

pub fn data_dir(data: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(dir) = data {
        // Absolute, so that what is printed holds in any directory.
        return std::path::absolute(dir).with_context(|| format!("{}", dir.display()));
    }
    let bases = directories::BaseDirs::new().context("there is no home directory: give --data")?;
    Ok(bases.data_local_dir().join("ringfence"))
}

fn has_store(dir: &Path) -> bool {
    dir.join("store.db").exists()
}

/// The data directory that is named, or the default one, where there is a store in it.
pub fn existing(data: Option<&Path>) -> anyhow::Result<PathBuf> {
    let dir = data_dir(data)?;
    if !has_store(&dir) {
        bail!("there is no store in {}", dir.display());
    }
    Ok(dir)
}

/// Says who it is that has the store open.
pub fn explain(error: StoreError) -> anyhow::Error {
    let locked = matches!(error, StoreError::Locked(_));
    let error = anyhow::Error::new(error);
    if locked { error.context("a server runs on this data directory") } else { error }
}

/// Seals the store's values and blinds its names under the root key.
pub struct Seal {
    values: Domain,
    names: Blinder,
}

impl Seal {
    pub fn of(keyring: &Keyring) -> Self {
        Self { values: keyring.domain("store"), names: keyring.blinder("store-names") }
    }
}

impl Sealer for Seal {
    fn seal(&self, place: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.values.seal(place, value).map_err(|error| StoreError::Seal(error.to_string()))
    }

    fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut opened =
            self.values.open(place, sealed).map_err(|error| StoreError::Seal(error.to_string()))?;
        Ok(std::mem::take(&mut *opened))
    }

    fn is_current(&self, sealed: &[u8]) -> bool {
        Domain::generation_of(sealed) == Some(self.values.generation())
    }

    fn blind(&self, name: &[&[u8]]) -> Vec<u8> {
        self.names.blind(name).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_and_a_socket_address_and_nothing_for_a_shell() {
        assert!(is_endpoint("http://127.0.0.1:4566") && is_endpoint("http://[::1]:80"));
        for text in ["", "127.0.0.1:1", "http://evil:80", "http://127.0.0.1:1;id", "http://$(id)"] {
            assert!(!is_endpoint(text), "{text}");
        }
    }
}
