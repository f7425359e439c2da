//! `ringfence backup`, `restore`, `check` and `migrate`: copies of a store, looked at value by value.
//!
//! | file of a backup | holds |
//! |---|---|
//! | `store.db` | the store at one moment, its values sealed |
//! | `seal.json` | what protects the root key, and the base keys that it wraps |
//! | `manifest.json` | what there is, by count and digest |
//!
//! The root key is in none of them: a backup opens with what its store is sealed by, and with nothing
//! else. Events are not in it.

use crate::cli::{Backup, Check, Migrate, Restore};
use crate::house::{self, House, Seal};
use crate::inventory::{Inventory, open_all};
use anyhow::{Context as _, bail, ensure};
use ringfence_gateway::clock::{Clock as _, SystemClock};
use ringfence_keyring::{Keyring, adopt_seal_file, follow_seal_file, seal_file};
use ringfence_store::Store;
use ringfence_store::engine::{Engine as _, copy};
use ringfence_store::sqlite::{ReadOnly, Sqlite};
use ringfence_wire::shape::TimestampFormat;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

const STORE: &str = "store.db";
const SEAL: &str = "seal.json";
const MANIFEST: &str = "manifest.json";

/// The newest form of a backup that is known here.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    made: String,
    #[serde(flatten)]
    inventory: Inventory,
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Copies a data directory's store, whether or not its server runs.
pub fn backup(options: &Backup) -> anyhow::Result<()> {
    let dir = house::existing(options.data.as_deref())?;
    let to = &options.to;
    let made = DirBuilder::new().mode(0o700).create(to);
    made.with_context(|| format!("{} cannot be made: a backup has a new directory", to.display()))?;
    ReadOnly::open(&dir)?.copy_into(&to.join(STORE))?;
    // After the store: it has every base key that a value of the copy is sealed under.
    let seal = seal_file(&dir)?.context("there is no seal.json")?;
    write(&to.join(SEAL), &seal)?;
    // Read back from the copy.
    let inventory = Inventory::of(&*ReadOnly::open(to)?.reader())?;
    let said = inventory.in_words();
    let made = SystemClock.now().format(TimestampFormat::DateTime);
    let manifest = Manifest { format: FORMAT, made, inventory };
    // Last of all: without it there is no backup.
    write(&to.join(MANIFEST), &serde_json::to_vec_pretty(&manifest)?)?;
    sync_dir(to)?;
    say(&said)
}

/// Makes a data directory of a backup, once every value of it has opened.
pub fn restore(options: &Restore) -> anyhow::Result<()> {
    let (from, dir) = (&options.from, &options.data);
    let manifest = fs::read(from.join(MANIFEST))
        .with_context(|| format!("{} is no whole backup: it has no {MANIFEST}", from.display()))?;
    let manifest: Manifest = serde_json::from_slice(&manifest).context(MANIFEST)?;
    ensure!(
        manifest.format <= FORMAT,
        "the backup has format {}, this program reads up to {FORMAT}",
        manifest.format
    );
    let copy = ReadOnly::open(from)?;
    if let Some(wrong) = copy.unsound()? {
        bail!("the backup's store is damaged: {wrong}");
    }
    let inventory = Inventory::of(&*copy.reader())?;
    ensure!(
        inventory == manifest.inventory,
        "the backup is not what its manifest says: {}, not {}",
        inventory.in_words(),
        manifest.inventory.in_words()
    );
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    for name in [STORE, SEAL] {
        ensure!(!dir.join(name).exists(), "there is a {name} in {} already", dir.display());
    }
    let spec = ringfence_seals::parse(&options.seal, dir)?;
    let seal = seal_file(from)?.with_context(|| format!("the backup has no {SEAL}"))?;
    adopt_seal_file(dir, &seal)?;
    let restored = || {
        let keyring = Keyring::open(dir, &spec)?;
        let opened = open_all(&Store::open(copy, Seal::of(&keyring))?)?;
        ensure!(opened == inventory.values, "{opened} values open");
        let new = dir.join("store.db.new");
        fs::copy(from.join(STORE), &new)?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, dir.join(STORE))?;
        sync_dir(dir)
    };
    if let Err(error) = restored() {
        // As it was: what protects nothing is in the way of another attempt.
        fs::remove_file(dir.join(SEAL)).ok();
        fs::remove_file(dir.join("store.db.new")).ok();
        return Err(error);
    }
    say(&format!("{}, all opened; made {}", inventory.in_words(), manifest.made))
}

/// Looks at every page and opens every value.
pub fn check(options: &Check) -> anyhow::Result<()> {
    let place = &options.place;
    if place.store.is_none() {
        let dir = house::existing(place.data.as_deref())?;
        if let Some(wrong) = ReadOnly::open(&dir)?.unsound()? {
            bail!("the store is damaged: {wrong}");
        }
    }
    let house = House::open_to_read(place)?;
    let opened = open_all(&house.store)?;
    say(&format!("sound: {opened} values open"))
}

/// Copies a store from a data directory into a PostgreSQL, or back. No server may run on either.
pub fn migrate(options: &Migrate) -> anyhow::Result<()> {
    let mut last = 0;
    let progress = |count: usize| {
        if count >= last + 10_000 {
            last = count;
            tracing::info!(values = count, "copied");
        }
    };
    let (from, into) = match (&options.to, &options.from) {
        (Some(url), None) => {
            let dir = house::existing(options.data.as_deref())?;
            // Held to the end: nobody writes meanwhile.
            let source = Sqlite::open(&dir).map_err(house::explain)?;
            let mut target = house::shared(url)?;
            house::begin_migration(&dir, &mut target)?;
            copy(&*source.reader(), &mut target, progress)?;
            let both = (Inventory::of(&*source.reader())?, Inventory::of(&*target.reader())?);
            if both.0 == both.1 {
                house::end_migration(&dir, &mut target)?;
            }
            both
        }
        (None, Some(url)) => {
            let dir = house::data_dir(options.data.as_deref())?;
            let source = house::shared(url)?;
            fs::create_dir_all(&dir)?;
            let seal = house::shared_seal(&source)?;
            ensure!(!dir.join(STORE).exists(), "there is a {STORE} in {} already", dir.display());
            follow_seal_file(&dir, &seal)?;
            // What is not whole has another name: no server takes it for a store.
            let incoming = dir.join("migrating");
            fs::create_dir_all(&incoming)?;
            let mut target = Sqlite::open(&incoming).map_err(house::explain)?;
            copy(&*source.reader(), &mut target, progress)?;
            let both = (Inventory::of(&*source.reader())?, Inventory::of(&*target.reader())?);
            // Closed, it has brought its log in.
            drop(target);
            let log = incoming.join("store.db-wal");
            ensure!(!log.exists(), "{} was left: start it again", log.display());
            if both.0 == both.1 {
                fs::rename(incoming.join(STORE), dir.join(STORE))?;
                sync_dir(&dir)?;
                fs::remove_dir_all(&incoming)?;
            }
            both
        }
        _ => bail!("give either --to or --from"),
    };
    ensure!(
        from == into,
        "the copy differs: {} there, {} here; let nobody write to either, empty what was copied into, and \
         start again",
        into.in_words(),
        from.in_words()
    );
    say(&into.in_words())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = File::create_new(path).with_context(|| format!("{}", path.display()))?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

/// Makes names durable.
fn sync_dir(dir: &Path) -> anyhow::Result<()> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.with_context(|| format!("{}", dir.display()))
}
