//! When access keys and roles were last used: noted in memory at each call, kept by a flush.

use crate::Iam;
use crate::records::{KeyId, Record, Used};
use crate::state::{Account, key_of};
use ringfence_gateway::caller::Identity;
use ringfence_gateway::directory::Use;
use ringfence_policy::AccountId;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;

/// Uses that are not stored yet.
#[derive(Default)]
pub(crate) struct LastUsed {
    hasher: RandomState,
    shards: [Mutex<HashMap<Arc<str>, Noted>>; SHARDS],
}

struct Noted {
    account: AccountId,
    used: Used,
}

impl LastUsed {
    fn shard(&self, id: &str) -> MutexGuard<'_, HashMap<Arc<str>, Noted>> {
        let at = (self.hasher.hash_one(id) % SHARDS as u64) as usize;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a use. Nothing is allocated when the same service was used in the same region before.
    pub fn note(&self, used: &Use<'_>) {
        let (account, id, role) = match used.identity {
            Identity::Root { account } | Identity::User { account, .. } => {
                (*account, used.access_key_id, None)
            }
            Identity::AssumedRole { account, role_id, role_name, .. } => {
                (*account, role_id.as_str(), Some(role_name))
            }
            Identity::FederatedUser { .. } | Identity::Anonymous => return,
        };
        // Temporary keys of users are not in the list of keys.
        if id.is_empty() || id.starts_with("ASIA") {
            return;
        }
        let mut shard = self.shard(id);
        if let Some(noted) = shard.get_mut(id) {
            let now = &mut noted.used;
            now.at = now.at.max(used.at.seconds);
            if *now.service != *used.service {
                now.service = used.service.into();
            }
            if *now.region != *used.region {
                now.region = used.region.into();
            }
            return;
        }
        let id: Arc<str> = id.into();
        let noted = Used {
            id: id.clone(),
            role: role.map(|name| key_of(&name.as_str().into())),
            at: used.at.seconds,
            service: used.service.into(),
            region: used.region.into(),
        };
        shard.insert(id, Noted { account, used: noted });
    }

    /// The last use of a key or role: one here, or one that another server has stored.
    pub fn of(&self, account: &Account, id: &str) -> Option<Used> {
        let noted = self.shard(id).get(id).map(|noted| noted.used.clone());
        let stored = account.used.get(id).map(|used| Used::clone(used));
        stored.into_iter().chain(noted).max_by_key(|used| used.at)
    }

    fn by_account(&self) -> HashMap<AccountId, Vec<Used>> {
        let mut all: HashMap<AccountId, Vec<Used>> = HashMap::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for noted in shard.values() {
                all.entry(noted.account).or_default().push(noted.used.clone());
            }
        }
        all
    }

    /// Forgets what has been stored, and has not changed since.
    fn stored(&self, used: &[Used]) {
        for used in used {
            if let Entry::Occupied(noted) = self.shard(&used.id).entry(used.id.clone())
                && noted.get().used == *used
            {
                noted.remove();
            }
        }
    }
}

/// Whether what was used is still there.
fn exists(account: &Account, used: &Used) -> bool {
    match &used.role {
        Some(role) => account.roles.get(role).is_some_and(|role| *role.id == *used.id),
        None => KeyId::new(&used.id).is_some_and(|id| account.key_owner(&id).is_some()),
    }
}

/// Last uses that one commit stores.
const BATCH: usize = 1000;

impl Iam {
    /// Stores the last uses noted since the last flush. What cannot be stored is tried again at
    /// the next.
    pub async fn flush_last_used(&self) {
        for (id, all) in self.last_used.by_account() {
            let Ok(ledger) = self.ledger(id) else { continue };
            for some in all.chunks(BATCH) {
                let written = ledger
                    .write_unasked(|account, batch| {
                        // Another server may have stored a later one.
                        let is_last = |used: &&Used| {
                            account.used.get(&used.id).is_none_or(|there| there.at <= used.at)
                        };
                        let known = some.iter().filter(|used| exists(account, used));
                        for used in known.filter(is_last) {
                            batch.put(Record::Used(Arc::new(used.clone())));
                        }
                        Ok(())
                    })
                    .await;
                match written {
                    Ok(()) => self.last_used.stored(some),
                    Err(error) => tracing::warn!(%error, account = %id, "last uses not stored"),
                }
            }
        }
    }
}
