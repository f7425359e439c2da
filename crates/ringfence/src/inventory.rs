//! What a store has, counted and digested: two stores with the same inventory have the same values, sealed
//! alike, under the same revisions.

use anyhow::Context as _;
use aws_lc_rs::digest::{Context, SHA256};
use ringfence_store::engine::Reader;
use ringfence_store::{Partition, StoreError};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub partitions: usize,
    pub values: usize,
    /// SHA-256 of all partitions with their heads, and of all keys, revisions and sealed values, in order.
    pub digest: String,
}

impl Inventory {
    /// That of a store. It must not change meanwhile.
    pub fn of(reader: &dyn Reader) -> anyhow::Result<Self> {
        let mut digest = Context::new(&SHA256);
        let mut add = |bytes: &[u8]| {
            // What is of any length has its length before it.
            digest.update(&(bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        let partitions = reader.partitions()?;
        let mut values = 0;
        for partition in &partitions {
            add(partition.as_str().as_bytes());
            let head = each(reader, partition, |key, revision, sealed| {
                add(key);
                add(&revision.to_be_bytes());
                add(sealed);
                values += 1;
                Ok(())
            })?;
            add(&head.to_be_bytes());
        }
        let digest = digest.finish();
        let digest = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { partitions: partitions.len(), values, digest })
    }

    /// In a line.
    pub fn in_words(&self) -> String {
        let Self { partitions, values, digest } = self;
        format!("{values} values in {partitions} partitions, SHA-256 {digest}")
    }
}

/// Goes through the values of a partition; its head.
fn each(
    reader: &dyn Reader,
    partition: &Partition,
    mut look: impl FnMut(&[u8], u64, &[u8]) -> Result<(), StoreError>,
) -> anyhow::Result<u64> {
    const AT_ONCE: usize = 1_000;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let (head, page) = reader.range(partition, b"", after.as_deref(), AT_ONCE)?;
        for (key, revision, sealed) in &page {
            look(key, *revision, sealed)?;
        }
        match page.last() {
            Some((key, ..)) if page.len() == AT_ONCE => after = Some(key.clone()),
            _ => return Ok(head),
        }
    }
}

/// Opens every value: whether the keyring is the store's, and nothing was changed.
pub fn open_all(store: &ringfence_store::Store) -> anyhow::Result<usize> {
    const AT_ONCE: usize = 1_000;
    let mut count = 0;
    for partition in store.partitions()? {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let (_, page) = store
                .range(&partition, b"", after.as_deref(), AT_ONCE)
                .with_context(|| format!("partition {}", partition.as_str()))?;
            count += page.len();
            match page.last() {
                Some((key, _)) if page.len() == AT_ONCE => after = Some(key.clone()),
                _ => break,
            }
        }
    }
    Ok(count)
}
