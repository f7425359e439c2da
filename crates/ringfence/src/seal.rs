//! `ringfence seal`: what protects a data directory's root key, and changing it.
//!
//! A new root key, or another seal, changes `seal.json` alone: the server may run. It has read what
//! it needs, and reads it again when it starts; then it must be told the new seal. A new base key
//! counts from the next start on, when the server begins to seal the store's older values anew.
//! Retiring earlier base keys needs the store's lock, so the server must have stopped.
//!
//! Of a store that several servers share the root key and the seal are changed from any one of their
//! data directories, and base keys are not: a server that runs would not have the new one.

use crate::cli::{Place, Seal, SealMigrate, SealPlace, SealRotate};
use crate::house;
use anyhow::{Context as _, bail};
use ringfence_keyring::{Domain, SealChange, SealStatus};
use ringfence_store::engine::{Engine as _, Reader};
use ringfence_store::sqlite::{ReadOnly, Sqlite};
use ringfence_wire::Timestamp;
use ringfence_wire::shape::TimestampFormat;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Values that are read at once, where they are counted.
const PAGE: usize = 1000;

/// Runs one of the commands.
pub fn seal(command: &Seal) -> anyhow::Result<()> {
    match command {
        Seal::Status(options) => status(options),
        Seal::Rotate(options) => rotate(options),
        Seal::Migrate(options) => migrate(options),
        Seal::Retire(options) => retire(options),
    }
}

fn status(options: &SealPlace) -> anyhow::Result<()> {
    let (status, counts) = match &options.store {
        None => {
            let dir = house::existing(options.data.as_deref())?;
            (SealStatus::of(&dir)?, count(&*ReadOnly::open(&dir)?.reader())?)
        }
        Some(named) => {
            let engine = house::shared(named)?;
            let status = SealStatus::of_bytes(&house::shared_seal(&engine)?)?;
            (status, count(&*engine.reader())?)
        }
    };
    say(&described(&status, &counts))
}

fn rotate(options: &SealRotate) -> anyhow::Result<()> {
    let place = &options.place;
    let status = if options.base_key {
        let dir = own(place)?;
        let spec = ringfence_seals::parse(&place.seal, &dir)?;
        SealChange::NewBaseKey.apply(&dir, &spec, &spec)?
    } else {
        new_root_key(place, &place.seal)?.0
    };
    let mut said = format!("root key {} is in force, under the same seal\n", status.generation);
    if options.base_key {
        said.push_str(
            "a new base key seals from the server's next start on; older values are then sealed anew \
             while it serves\n",
        );
    }
    say(&said)
}

fn migrate(options: &SealMigrate) -> anyhow::Result<()> {
    let place = &options.place;
    let (status, to) = new_root_key(place, &options.to)?;
    say(&format!(
        "root key {} is in force, under another seal: {to}\nstart {} with its --seal from now on\n",
        status.generation,
        if place.store.is_some() { "every server" } else { "the server" },
    ))
}

/// Puts a new root key under the seal `to`; what there is now, and that seal in words.
fn new_root_key(place: &Place, to: &str) -> anyhow::Result<(SealStatus, String)> {
    let dir = match &place.store {
        None => house::existing(place.data.as_deref())?,
        Some(_) => house::data_dir(place.data.as_deref())?,
    };
    let from = ringfence_seals::parse(&place.seal, &dir)?;
    let to = ringfence_seals::parse(to, &dir).context("the new seal")?;
    let status = match &place.store {
        None => SealChange::RootKey.apply(&dir, &from, &to)?,
        Some(named) => house::change_shared_seal(named, &dir, &from, &to)?,
    };
    Ok((status, to.in_words()))
}

fn retire(options: &Place) -> anyhow::Result<()> {
    let dir = own(options)?;
    let spec = ringfence_seals::parse(&options.seal, &dir)?;
    // Held to the end: who writes under an earlier base key must not do so meanwhile.
    let engine = Sqlite::open(&dir).map_err(house::explain)?;
    let status = SealStatus::of(&dir)?;
    let newest = newest_of(&status);
    let counts = count(&*engine.reader())?;
    let earlier: usize =
        counts.iter().filter(|(generation, _)| **generation != newest).map(|(_, n)| n).sum();
    if earlier > 0 {
        bail!(
            "{earlier} values are still sealed under earlier base keys: start the server, which \
             seals them anew, and stop it when `ringfence seal status` tells of none"
        );
    }
    let status = SealChange::RetireEarlier.apply(&dir, &spec, &spec)?;
    drop(engine);
    say(&described(&status, &counts))
}

/// The data directory of a store that no other server shares.
fn own(place: &Place) -> anyhow::Result<PathBuf> {
    if place.store.is_some() {
        bail!(
            "base keys of a store that servers share cannot be changed, since those that run have no \
             others: move it into a data directory with `ringfence migrate --from`, change them there, \
             and move it back"
        );
    }
    house::existing(place.data.as_deref())
}

/// How many values of a store each generation seals. What it is that they hold is not looked at.
fn count(reader: &dyn Reader) -> anyhow::Result<BTreeMap<u32, usize>> {
    let mut counts = BTreeMap::new();
    for partition in reader.partitions()? {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let (_, page) = reader.range(&partition, b"", after.as_deref(), PAGE)?;
            for (_, _, sealed) in &page {
                // What is no sealed value is counted under no generation, and so never retired.
                let generation = Domain::generation_of(sealed).map_or(0, |number| number.get());
                *counts.entry(generation).or_default() += 1;
            }
            match page.into_iter().next_back() {
                Some((key, ..)) => after = Some(key),
                None => break,
            }
        }
    }
    Ok(counts)
}

fn newest_of(status: &SealStatus) -> u32 {
    status.base_keys.iter().map(|base| base.generation.get()).max().unwrap_or_default()
}

fn described(status: &SealStatus, counts: &BTreeMap<u32, usize>) -> String {
    let since = |seconds: Option<u64>| match seconds.and_then(|s| i64::try_from(s).ok()) {
        Some(seconds) if seconds > 0 => {
            format!("since {}", Timestamp::from_seconds(seconds).format(TimestampFormat::DateTime))
        }
        _ => "since before that was noted".to_owned(),
    };
    let mut said = format!("seal      {}\n", status.kind);
    // A line each: what was altered in the file must not look like lines of ours.
    let plain = |text: &str| text.chars().filter(|c| !c.is_control()).collect::<String>();
    for (name, value) in &status.about {
        let _ = writeln!(said, "          {}: {}", plain(name), plain(value));
    }
    let _ = writeln!(said, "root key  {}, {}", status.generation, since(status.since));
    let newest = newest_of(status);
    for base in &status.base_keys {
        let number = base.generation.get();
        let count = counts.get(&number).copied().unwrap_or_default();
        let what = match (base.names_only, number == newest) {
            (true, _) => "retired; names are blinded under it for ever".to_owned(),
            (false, true) => format!("seals what is written; {count} values"),
            (false, false) if count == 0 => {
                "nothing is sealed under it any more; `ringfence seal retire` drops it".to_owned()
            }
            (false, false) => format!("{count} values are still sealed under it"),
        };
        let _ = writeln!(said, "base key  {number}, {}: {what}", since(Some(base.since)));
    }
    said
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Whether the base keys of a directory are other ones than those.
pub fn has_other_base_keys(
    dir: &Path,
    keyring: &ringfence_keyring::Keyring,
) -> anyhow::Result<bool> {
    Ok(SealStatus::of(dir)?.base_keys != keyring.base_keys())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_keyring::BaseKeyInfo;
    use std::num::NonZeroU32;

    #[test]
    fn a_status_tells_the_seal_its_root_key_and_what_each_base_key_is_for() {
        let base = |generation, since, names_only| BaseKeyInfo {
            generation: NonZeroU32::new(generation).unwrap(),
            since,
            names_only,
        };
        let status = SealStatus {
            kind: "TPM",
            about: vec![("pcrs".into(), "7\nroot key  9".into())],
            generation: 3,
            since: Some(1_440_938_160),
            base_keys: vec![base(1, 0, true), base(2, 1_440_938_160, false), base(3, 0, false)],
        };
        let counts = BTreeMap::from([(2, 7), (3, 12)]);
        assert_eq!(
            described(&status, &counts),
            "seal      TPM\n\
             \x20         pcrs: 7root key  9\n\
             root key  3, since 2015-08-30T12:36:00Z\n\
             base key  1, since before that was noted: retired; names are blinded under it for ever\n\
             base key  2, since 2015-08-30T12:36:00Z: 7 values are still sealed under it\n\
             base key  3, since before that was noted: seals what is written; 12 values\n"
        );
    }
}
