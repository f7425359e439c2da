//! A region's state: its records, the keys they are stored under, and what is derived from them.
//!
//! | key | record |
//! |---|---|
//! | `kms/key/ID` | a key with its policy, tags and material |
//! | `kms/alias/NAME` | an alias |
//! | `kms/grant/ID` | a grant |
//! | `kms/store/ID` | a custom key store |
//! | `kms/credential/ID` | a credential of the external key store proxy |
//! | `kms/open/ID` | a key that is open to those who have one |
//! | `kms/used/ID` | how a key was last used |
//!
//! The aliases and grants of a key, those for an account, and those that somebody may retire, are
//! derived when a record comes in, and never stored.

use crate::key_stores::records::KeyStore;
use crate::last_used::Used;
use crate::records::{Alias, Grant, Key, MaterialId, Party, Record};
use crate::xks_proxy::records::{OpenKey, ProxyCredential};
use imbl::{OrdMap, OrdSet};
use ringfence_gateway::{Regional, State};
use ringfence_policy::AccountId;
use std::sync::Arc;

/// A key's id, and the account of grantees; `None` of services.
type For = (Arc<str>, Option<AccountId>);

/// The keys, aliases and grants of a region. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Region {
    /// By id.
    pub keys: OrdMap<Arc<str>, Arc<Key>>,
    /// By name, `alias/` before it.
    pub aliases: OrdMap<Arc<str>, Arc<Alias>>,
    /// By id.
    pub grants: OrdMap<Arc<str>, Arc<Grant>>,
    /// Custom key stores, by id.
    pub stores: OrdMap<Arc<str>, Arc<KeyStore>>,
    /// Of the external key store proxy, by access key id.
    pub proxy_credentials: OrdMap<Arc<str>, Arc<ProxyCredential>>,
    /// Keys that are open to another KMS, by what it calls them.
    pub open_keys: OrdMap<Arc<str>, Arc<OpenKey>>,
    /// By the key's id.
    pub used: OrdMap<Arc<str>, Arc<Used>>,
    /// A key's id → the names of its aliases.
    aliases_of: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// A key's id → the ids of its grants.
    grants_of: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
    /// A key and whose grants on it → their ids.
    grants_for: OrdMap<For, OrdSet<Arc<str>>>,
    /// Who may retire grants → their ids.
    retirable: OrdMap<Arc<str>, OrdSet<Arc<str>>>,
}

impl Region {
    /// The names of a key's aliases, in their order.
    pub fn aliases_of(&self, key: &str) -> impl Iterator<Item = &Arc<str>> {
        self.aliases_of.get(key).into_iter().flat_map(|names| names.iter())
    }

    /// A key's grants, in the order of their ids.
    pub fn grants_of(&self, key: &str) -> impl Iterator<Item = &Arc<Grant>> {
        let ids = self.grants_of.get(key).into_iter().flat_map(|ids| ids.iter());
        ids.filter_map(|id| self.grants.get(id))
    }

    /// A key's grants for principals of an account, and for services.
    pub fn grants_for(
        &self,
        key: &Arc<str>,
        account: AccountId,
    ) -> impl Iterator<Item = &Arc<Grant>> {
        let of = |account| self.grants_for.get(&(key.clone(), account)).into_iter();
        let ids = of(Some(account)).chain(of(None)).flat_map(|ids| ids.iter());
        ids.filter_map(|id| self.grants.get(id))
    }

    /// How many grants a key has.
    pub fn grants_count(&self, key: &str) -> usize {
        self.grants_of.get(key).map_or(0, |ids| ids.len())
    }

    /// The grants that a principal or service may retire, in the order of their ids.
    pub fn retirable_by(&self, who: &str) -> impl Iterator<Item = &Arc<Grant>> {
        let ids = self.retirable.get(who).into_iter().flat_map(|ids| ids.iter());
        ids.filter_map(|id| self.grants.get(id))
    }

    fn index_alias(&mut self, alias: &Alias, there: bool) {
        if let Some(target) = &alias.target {
            note(&mut self.aliases_of, target, &alias.name, there);
        }
    }

    fn index_grant(&mut self, grant: &Grant, there: bool) {
        note(&mut self.grants_of, &grant.key, &grant.id, there);
        let whose = (grant.key.clone(), grant.grantee_account());
        note(&mut self.grants_for, &whose, &grant.id, there);
        let who = grant.retiring.as_ref().map(|party| match party {
            Party::Principal { arn, .. } => arn,
            Party::Service(name) => name,
        });
        if let Some(who) = who {
            note(&mut self.retirable, who, &grant.id, there);
        }
    }
}

/// Puts an entry into a set of an index, or takes it out.
fn note<K: Ord + Clone>(
    index: &mut OrdMap<K, OrdSet<Arc<str>>>,
    of: &K,
    entry: &Arc<str>,
    there: bool,
) {
    let mut set = index.get(of).cloned().unwrap_or_default();
    if there {
        set.insert(entry.clone());
    } else {
        set.remove(entry);
    }
    if set.is_empty() {
        index.remove(of);
    } else {
        index.insert(of.clone(), set);
    }
}

/// The store's key of a key.
pub(crate) fn key_key(id: &str) -> String {
    format!("kms/key/{id}")
}

/// The store's key of an alias, given with its `alias/`.
pub(crate) fn alias_key(name: &str) -> String {
    format!("kms/{name}")
}

/// The store's key of a grant.
pub(crate) fn grant_key(id: &str) -> String {
    format!("kms/grant/{id}")
}

/// The store's key of a custom key store.
pub(crate) fn store_key(id: &str) -> String {
    format!("kms/store/{id}")
}

/// The store's key of a credential of the external key store proxy.
pub(crate) fn proxy_credential_key(id: &str) -> String {
    format!("kms/credential/{id}")
}

/// The store's key of a key that is open to another KMS.
pub(crate) fn open_key_key(id: &str) -> String {
    format!("kms/open/{id}")
}

/// The store's key of a key's last use.
pub(crate) fn used_key(id: &str) -> String {
    format!("kms/used/{id}")
}

impl State for Region {
    type Area = Regional;
    type Record = Record;
    const PREFIX: &'static str = "kms/";

    fn key(record: &Record) -> String {
        match record {
            Record::Key(key) => key_key(&key.id),
            Record::Alias(alias) => alias_key(&alias.name),
            Record::Grant(grant) => grant_key(&grant.id),
            Record::KeyStore(store) => store_key(&store.id),
            Record::ProxyCredential(one) => proxy_credential_key(&one.access_key_id),
            Record::OpenKey(open) => open_key_key(&open.id),
            Record::Used(used) => used_key(&used.key),
        }
    }

    fn take_in(&mut self, gone: Vec<String>, now: Vec<Record>) {
        // In place: nothing is found here by what another record had, and a key keeps the uses that were noted.
        gone.iter().for_each(|key| self.delete(key));
        now.into_iter().for_each(|record| self.put(record));
    }

    fn put(&mut self, record: Record) {
        match record {
            Record::Key(mut key) => {
                // Uses that were noted and are not kept yet stay the key's, whoever has written it.
                if let Some(old) = self.keys.get(&key.id)
                    && !Arc::ptr_eq(&old.last_used, &key.last_used)
                {
                    Arc::make_mut(&mut key).last_used = old.last_used.clone();
                }
                self.keys.insert(key.id.clone(), key);
            }
            Record::Alias(alias) => {
                if let Some(old) = self.aliases.insert(alias.name.clone(), alias.clone()) {
                    self.index_alias(&old, false);
                }
                self.index_alias(&alias, true);
            }
            Record::Grant(grant) => {
                if let Some(old) = self.grants.insert(grant.id.clone(), grant.clone()) {
                    self.index_grant(&old, false);
                }
                self.index_grant(&grant, true);
            }
            Record::KeyStore(store) => {
                self.stores.insert(store.id.clone(), store);
            }
            Record::ProxyCredential(one) => {
                self.proxy_credentials.insert(one.access_key_id.clone(), one);
            }
            Record::OpenKey(open) => {
                self.open_keys.insert(open.id.clone(), open);
            }
            Record::Used(used) => {
                self.used.insert(used.key.clone(), used);
            }
        }
    }

    fn delete(&mut self, key: &str) {
        let Some((kind, name)) = key.strip_prefix(Self::PREFIX).and_then(|key| key.split_once('/'))
        else {
            return;
        };
        match kind {
            "key" => {
                self.keys.remove(name);
            }
            "store" => {
                self.stores.remove(name);
            }
            "credential" => {
                self.proxy_credentials.remove(name);
            }
            "open" => {
                self.open_keys.remove(name);
            }
            "used" => {
                self.used.remove(name);
            }
            "alias" => {
                if let Some(old) = self.aliases.remove(&format!("alias/{name}") as &str) {
                    self.index_alias(&old, false);
                }
            }
            "grant" => {
                if let Some(old) = self.grants.remove(name) {
                    self.index_grant(&old, false);
                }
            }
            _ => {}
        }
    }

    /// A key that goes, or is kept without some of its material, takes the only copy with it.
    fn destroys(&self, key: &str, now: Option<&Record>) -> bool {
        let id = key.strip_prefix(Self::PREFIX).and_then(|key| key.strip_prefix("key/"));
        let Some(old) = id.and_then(|id| self.keys.get(id)) else { return false };
        let kept = |id: &MaterialId| {
            let Some(Record::Key(new)) = now else { return false };
            new.version(id).is_some_and(|version| version.material.is_some())
        };
        let held = old.versions.iter().chain(&old.next).filter(|one| one.material.is_some());
        held.map(|version| &version.id).any(|id| !kept(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(name: &str, target: &str) -> Record {
        let target = Some(target.into());
        Record::Alias(Arc::new(Alias { name: name.into(), target, created: 0, updated: 0 }))
    }

    fn of<'r>(region: &'r Region, key: &str) -> Vec<&'r str> {
        region.aliases_of(key).map(|name| &**name).collect()
    }

    #[test]
    fn the_grants_for_an_account_are_those_of_its_principals_and_of_services() {
        let mut region = Region::default();
        let principal = |arn: &str| Party::Principal { arn: arn.into(), id: None };
        for (id, key, grantee) in [
            ("1", "k", principal("arn:aws:iam::000000000007:root")),
            ("2", "k", principal("arn:aws:sts::000000000007:assumed-role/r/s")),
            ("3", "k", principal("arn:aws:iam::000000000008:user/ann")),
            ("4", "k", Party::Service("s3.amazonaws.com".into())),
            ("5", "other", principal("arn:aws:iam::000000000007:root")),
        ] {
            region.put(Record::Grant(Arc::new(Grant {
                id: id.into(),
                key: key.into(),
                name: None,
                created: 0,
                issuer: "".into(),
                grantee,
                retiring: None,
                operations: Vec::new(),
                constraint: None,
                source_arn: None,
            })));
        }
        let of = |region: &Region, account: u64| {
            let key = "k".into();
            let grants = region.grants_for(&key, AccountId::new(account).unwrap());
            grants.map(|grant| grant.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(of(&region, 7), ["1", "2", "4"]);
        assert_eq!(of(&region, 8), ["3", "4"]);
        assert_eq!(of(&region, 9), ["4"]);
        region.delete(&grant_key("1"));
        region.delete(&grant_key("4"));
        assert_eq!(of(&region, 7), ["2"]);
        region.delete(&grant_key("2"));
        assert!(of(&region, 7).is_empty());
        assert_eq!(region.grants_for.len(), 2);
    }

    #[test]
    fn an_alias_is_its_keys_wherever_it_is_moved() {
        let mut region = Region::default();
        region.put(alias("alias/b", "1"));
        region.put(alias("alias/a", "1"));
        assert_eq!(of(&region, "1"), ["alias/a", "alias/b"]);
        region.put(alias("alias/a", "2"));
        assert_eq!((of(&region, "1"), of(&region, "2")), (vec!["alias/b"], vec!["alias/a"]));
        region.delete(&alias_key("alias/a"));
        assert!(of(&region, "2").is_empty() && region.aliases_of.get("2").is_none());
        assert_eq!(region.aliases.len(), 1);
    }
}
