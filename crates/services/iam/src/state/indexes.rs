//! What is derived from an account's records when one comes in or goes: who holds what, and who is found
//! by which id.

use super::{Account, Uses};
use crate::records::{Credentials, Group, Permissions, Profile, Role, Root, User};
use imbl::{OrdMap, OrdSet};
use std::sync::Arc;

impl Account {
    /// Gives out what others hold already in place of the same.
    pub(super) fn share(&mut self, permissions: &mut Permissions) {
        let Some(own) = permissions.alike() else { return };
        let Some((known, holders)) = self.held.get_key_value(&own) else {
            self.held.insert(own, 1);
            return;
        };
        let (known, holders) = (known.clone(), holders + 1);
        *permissions = known.clone().into();
        self.held.insert(known, holders);
    }

    /// Takes back what was given out.
    pub(super) fn unshare(&mut self, permissions: &Permissions) {
        let Some(own) = permissions.alike() else { return };
        match self.held.get(&own) {
            Some(holders) if *holders > 1 => {
                let holders = holders - 1;
                self.held.insert(own, holders);
            }
            _ => drop(self.held.remove(&own)),
        }
    }

    pub(super) fn index_user(&mut self, key: &Arc<str>, user: &User, on: bool) {
        for access_key in &user.credentials.keys {
            set(&mut self.keys, access_key.id, Some(key.clone()), on);
        }
        for enabled in &user.credentials.mfa {
            set(&mut self.mfa, enabled.serial.clone(), Some(key.clone()), on);
        }
        for ssh_key in &user.credentials.ssh_keys {
            set(&mut self.ssh_keys, ssh_key.id, key.clone(), on);
        }
        self.index_certificates(&user.credentials, on);
        for one in &user.credentials.service_credentials {
            let name = (one.service.clone(), one.name.clone());
            set(&mut self.service_credentials, name, key.clone(), on);
        }
        for group in &user.groups {
            member(&mut self.members, group, key, on);
        }
        if user.renamed {
            set(&mut self.renamed, user.id, key.clone(), on);
        }
        self.index_uses(&user.permissions, key, on, |uses| {
            (&mut uses.users, Some(&mut uses.bounded_users))
        });
    }

    pub(super) fn index_group(&mut self, key: &Arc<str>, group: &Group, on: bool) {
        set(&mut self.group_names, group.id, key.clone(), on);
        self.index_uses(&group.permissions, key, on, |uses| (&mut uses.groups, None));
    }

    pub(super) fn index_role(&mut self, key: &Arc<str>, role: &Role, on: bool) {
        self.index_uses(&role.permissions, key, on, |uses| {
            (&mut uses.roles, Some(&mut uses.bounded_roles))
        });
    }

    #[allow(clippy::type_complexity)]
    pub(super) fn index_uses(
        &mut self,
        permissions: &Permissions,
        key: &Arc<str>,
        on: bool,
        sets: fn(&mut Uses) -> (&mut OrdSet<Arc<str>>, Option<&mut OrdSet<Arc<str>>>),
    ) {
        if !on {
            self.unshare(permissions);
        }
        let mut note = |arn: &Arc<str>, bounds: bool| {
            let uses = self.uses.entry(arn.clone()).or_default();
            let (attached, bounded) = sets(uses);
            if let Some(set) = if bounds { bounded } else { Some(attached) } {
                if on {
                    set.insert(key.clone());
                } else {
                    set.remove(key);
                }
            }
            if uses.attachments() + uses.boundaries() == 0 {
                self.uses.remove(arn);
            }
        };
        for arn in &permissions.attached {
            note(arn, false);
        }
        if let Some(arn) = &permissions.boundary {
            note(arn, true);
        }
    }

    pub(super) fn index_root(&mut self, root: &Root, on: bool) {
        for key in &root.credentials.keys {
            set(&mut self.keys, key.id, None, on);
        }
        for enabled in &root.credentials.mfa {
            set(&mut self.mfa, enabled.serial.clone(), None, on);
        }
        self.index_certificates(&root.credentials, on);
    }

    pub(super) fn index_certificates(&mut self, credentials: &Credentials, on: bool) {
        for certificate in &credentials.certificates {
            if on {
                self.signing_certificates.insert(certificate.fingerprint.clone());
            } else {
                self.signing_certificates.remove(&certificate.fingerprint);
            }
        }
    }

    pub(super) fn index_profile(&mut self, key: &Arc<str>, profile: &Profile, on: bool) {
        if let Some(role) = &profile.role {
            member(&mut self.profiles_of, role, key, on);
        }
    }
}

fn set<K: Ord + Clone, V: Clone>(map: &mut OrdMap<K, V>, key: K, value: V, on: bool) {
    if on {
        map.insert(key, value);
    } else {
        map.remove(&key);
    }
}

fn member<K: Ord + Clone>(
    map: &mut OrdMap<K, OrdSet<Arc<str>>>,
    set: &K,
    member: &Arc<str>,
    on: bool,
) {
    if on {
        map.entry(set.clone()).or_default().insert(member.clone());
    } else if let Some(members) = map.get_mut(set) {
        members.remove(member);
        if members.is_empty() {
            map.remove(set);
        }
    }
}
