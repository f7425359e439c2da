//! Base keys: what domain keys are derived from, by generation, and how the root key wraps them.
//!
//! The root key wraps the list of base keys, so that another root key, or another seal over it,
//! costs one small file and touches no value. A value names the generation that it was sealed
//! under; the newest generation seals, the others still open. Names are blinded under the first
//! generation's key always, because a name must have the same pseudonym for ever; a first
//! generation that is retired is kept for that alone.
//!
//! In the first format there was no list: the root key itself was base key 1.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::domain;
use crate::errors::KeyringError;
use crate::parent_key::{ParentKey, ROOT_KEY_LEN};
use crate::secret::SecretBytes;

/// Far more than anybody rotates to; so that `seal.json` stays small.
const MOST_GENERATIONS: usize = 256;

/// What is known of a base key without its root key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseKeyInfo {
    /// Ascending from 1; values name it.
    pub generation: NonZeroU32,
    /// When it was made, in seconds since 1970; 0 where that was not noted.
    pub since: u64,
    /// It blinds names and opens no value any more: only ever the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub names_only: bool,
}

/// The base keys of a data directory, in memory.
pub(crate) struct BaseKeys(Vec<BaseKey>);

struct BaseKey {
    info: BaseKeyInfo,
    /// Kept beside what is derived from it, because another root key must wrap it.
    bytes: SecretBytes,
    key: ParentKey,
}

impl BaseKey {
    fn new(info: BaseKeyInfo, bytes: SecretBytes) -> Self {
        Self { info, key: ParentKey::new(&bytes), bytes }
    }
}

// INVARIANT: the list is never empty, its first is generation 1, its generations ascend, and only
// the first of several may be for names only. `first`, `append`, `retire_earlier` and `unwrap` hold
// it.
impl BaseKeys {
    /// One key, of generation 1.
    pub(crate) fn first(bytes: SecretBytes) -> Self {
        Self::first_since(bytes, 0)
    }

    pub(crate) fn first_since(bytes: SecretBytes, since: u64) -> Self {
        let info = BaseKeyInfo { generation: NonZeroU32::MIN, since, names_only: false };
        Self(vec![BaseKey::new(info, bytes)])
    }

    /// Adds a generation, which seals from now on.
    ///
    /// # Errors
    /// [`KeyringError::TooManyGenerations`].
    pub(crate) fn append(&mut self, bytes: SecretBytes, since: u64) -> Result<(), KeyringError> {
        let next = self.current().0.checked_add(1).filter(|_| self.0.len() < MOST_GENERATIONS);
        let generation = next.ok_or(KeyringError::TooManyGenerations)?;
        self.0.push(BaseKey::new(BaseKeyInfo { generation, since, names_only: false }, bytes));
        Ok(())
    }

    /// Drops every generation but the newest, and keeps the first for names.
    pub(crate) fn retire_earlier(&mut self) {
        let newest = self.current().0;
        self.0.retain_mut(|base| {
            let is_newest = base.info.generation == newest;
            base.info.names_only = !is_newest;
            is_newest || base.info.generation == NonZeroU32::MIN
        });
    }

    /// The newest, which seals.
    pub(crate) fn current(&self) -> (NonZeroU32, &ParentKey) {
        let newest = &self.0[self.0.len() - 1];
        (newest.info.generation, &newest.key)
    }

    /// The others that open values.
    pub(crate) fn earlier(&self) -> impl Iterator<Item = (NonZeroU32, &ParentKey)> {
        let newest = self.current().0;
        self.0
            .iter()
            .filter(move |base| base.info.generation != newest && !base.info.names_only)
            .map(|base| (base.info.generation, &base.key))
    }

    /// The first, which blinds names.
    pub(crate) fn names(&self) -> &ParentKey {
        &self.0[0].key
    }

    pub(crate) fn infos(&self) -> Vec<BaseKeyInfo> {
        self.0.iter().map(|base| base.info.clone()).collect()
    }

    /// The list, wrapped for the data directory `id` by its root key.
    ///
    /// # Errors
    /// [`KeyringError::Random`].
    pub(crate) fn wrap(&self, root: &ParentKey, id: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let infos = self.infos();
        let mut bytes = SecretBytes::new(vec![0; ROOT_KEY_LEN * self.0.len()]);
        for (out, base) in bytes.expose_mut().chunks_mut(ROOT_KEY_LEN).zip(&self.0) {
            out.copy_from_slice(base.bytes.expose());
        }
        domain::seal_under(&root.wrapping_key(), &place(id, &infos), bytes.expose())
    }

    /// The list that [`wrap`](Self::wrap) made with the same root key, `id` and `infos`; `None` for
    /// everything else.
    pub(crate) fn unwrap(
        root: &ParentKey,
        id: &[u8],
        infos: &[BaseKeyInfo],
        wrapped: &[u8],
    ) -> Option<Self> {
        if !sound(infos) {
            return None;
        }
        let bytes = domain::open_under(&root.wrapping_key(), &place(id, infos), wrapped).ok()?;
        if bytes.len() != ROOT_KEY_LEN * infos.len() {
            return None;
        }
        let keys = bytes.chunks(ROOT_KEY_LEN).zip(infos);
        Some(Self(
            keys.map(|(key, info)| BaseKey::new(info.clone(), SecretBytes::new(key.to_vec())))
                .collect(),
        ))
    }
}

fn sound(infos: &[BaseKeyInfo]) -> bool {
    infos.len() <= MOST_GENERATIONS
        && infos.first().is_some_and(|first| first.generation == NonZeroU32::MIN)
        && infos.windows(2).all(|pair| pair[0].generation < pair[1].generation)
        && infos.iter().skip(1).all(|info| !info.names_only)
        && (infos.len() > 1 || infos.iter().all(|info| !info.names_only))
}

/// What the wrapped list is bound to: its directory, and what is said of it in clear.
fn place(id: &[u8], infos: &[BaseKeyInfo]) -> Vec<Vec<u8>> {
    let mut parts = vec![b"base keys".to_vec(), id.to_vec()];
    parts.extend(infos.iter().map(|info| {
        let mut part = info.generation.get().to_be_bytes().to_vec();
        part.extend(info.since.to_be_bytes());
        part.push(info.names_only.into());
        part
    }));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretBytes {
        SecretBytes::new(vec![byte; ROOT_KEY_LEN])
    }

    fn three() -> BaseKeys {
        let mut bases = BaseKeys::first_since(key(1), 100);
        bases.append(key(2), 200).unwrap();
        bases.append(key(3), 300).unwrap();
        bases
    }

    #[test]
    fn a_wrapped_list_opens_with_its_root_key_in_its_directory_and_as_it_was_described() {
        let root = ParentKey::new(&key(9));
        let bases = three();
        let (infos, wrapped) = (bases.infos(), bases.wrap(&root, b"id").unwrap());
        let opened = BaseKeys::unwrap(&root, b"id", &infos, &wrapped).unwrap();
        assert_eq!(opened.infos(), infos);
        assert_eq!(opened.current().1.check_value(), ParentKey::new(&key(3)).check_value());
        assert_eq!(opened.names().check_value(), ParentKey::new(&key(1)).check_value());

        let refused = |root: &ParentKey, id: &[u8], infos: &[BaseKeyInfo]| {
            BaseKeys::unwrap(root, id, infos, &wrapped).is_none()
        };
        assert!(refused(&ParentKey::new(&key(8)), b"id", &infos));
        assert!(refused(&root, b"other", &infos));
        assert!(refused(&root, b"id", &infos[..2]));
        assert!(refused(&root, b"id", &[]));
        type Alter = fn(&mut Vec<BaseKeyInfo>);
        let alterations: [Alter; 3] = [
            |infos| infos[1].since += 1,
            |infos| infos[0].names_only = true,
            |infos| infos.swap(0, 1),
        ];
        for alter in alterations {
            let mut altered = infos.clone();
            alter(&mut altered);
            assert!(refused(&root, b"id", &altered));
        }
    }

    #[test]
    fn retiring_leaves_the_newest_and_the_first_for_names() {
        let mut bases = three();
        bases.retire_earlier();
        let left: Vec<_> =
            bases.infos().iter().map(|info| (info.generation.get(), info.names_only)).collect();
        assert_eq!(left, [(1, true), (3, false)]);
        assert_eq!(bases.earlier().count(), 0);
        let root = ParentKey::new(&key(9));
        let wrapped = bases.wrap(&root, b"id").unwrap();
        assert!(BaseKeys::unwrap(&root, b"id", &bases.infos(), &wrapped).is_some());

        let mut one = BaseKeys::first(key(1));
        one.retire_earlier();
        assert!(!one.infos()[0].names_only);
    }

    #[test]
    fn there_is_a_most_of_generations() {
        let mut bases = BaseKeys::first(key(1));
        for _ in 1..MOST_GENERATIONS {
            bases.append(key(2), 0).unwrap();
        }
        assert!(matches!(bases.append(key(2), 0), Err(KeyringError::TooManyGenerations)));
    }
}
