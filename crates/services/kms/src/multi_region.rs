//! Multi-Region keys: one id and one material in several regions, each a key of its own otherwise.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html>
//!
//! Each region's state changes by commits of its own, so nothing hangs on two regions changing at once:
//!
//! - A key knows the regions where one of its id *may* be. Those that are there are its family.
//! - Which one is the primary key says whoever in the family knows of the most changes of it. The old one
//!   gives its place away by a commit of its own, and from then on does nothing that only a primary key
//!   may; then the new one takes the place, and what the old one was, by one of its own; the others hear
//!   of it afterwards. So at most one has the place, and nobody counts the same change as another.
//! - A rotation is first kept at the primary key, then brought to every replica, and only then used
//!   (`rotation.rs`).
//!
//! What a crash cut short in between, the upkeep carries on.

use crate::arn::key_arn;
use crate::key_policies;
use crate::policy::KeyPolicy;
use crate::records::{Key, MaterialId, MultiRegion, Record, Version};
use crate::resolve::{self, By};
use crate::{Kms, errors, home, rotation, tags};
use ringfence_gateway::{Answer, Call, Regional, Resolved};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{self, KeyState, Tag};
use ringfence_wire::ServiceError;
use ringfence_wire::value::Empty;
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The keys of one id.
#[derive(Debug, Clone)]
pub(crate) struct Family {
    /// The primary key's region.
    pub primary: SmolStr,
    /// Every member by its region.
    pub members: BTreeMap<SmolStr, Arc<Key>>,
    /// How often the primary key has changed.
    changes: u64,
}

impl Family {
    /// The regions of the replicas.
    pub fn replicas(&self) -> impl Iterator<Item = (&SmolStr, &Arc<Key>)> {
        self.members.iter().filter(|(region, _)| **region != self.primary)
    }

    /// The primary key.
    pub fn primary(&self) -> Option<&Arc<Key>> {
        self.members.get(&self.primary)
    }
}

/// The key of this id in another region.
pub(crate) fn there(home: &Regional, region: &SmolStr) -> Regional {
    Regional { account: home.account, region: region.clone() }
}

impl Kms {
    /// The family of a key; `None` for a key of one region.
    pub(crate) fn family(&self, home: &Regional, key: &Key) -> Option<Family> {
        let own = key.multi_region.as_ref()?;
        let mut members = BTreeMap::new();
        let mut regions: BTreeSet<SmolStr> = own.regions.clone();
        let mut todo: Vec<SmolStr> = regions.iter().cloned().collect();
        let (mut primary, mut changes) = (own.primary.clone(), own.changes);
        while let Some(region) = todo.pop() {
            let now = self.clock.now().seconds;
            let member = if region == home.region {
                self.key_in(home, &key.id)
            } else {
                self.key_in(&there(home, &region), &key.id)
            };
            let Some(member) = member.filter(|member| !member.is_over(now)) else { continue };
            if let Some(its) = &member.multi_region {
                if (its.changes, &its.primary) > (changes, &primary) {
                    (primary, changes) = (its.primary.clone(), its.changes);
                }
                let more = its.regions.iter().filter(|one| regions.insert((*one).clone()));
                todo.extend(more.cloned());
            }
            members.insert(region, member);
        }
        Some(Family { primary, members, changes })
    }

    /// The key of an id in a region.
    pub(crate) fn key_in(&self, home: &Regional, id: &str) -> Option<Arc<Key>> {
        self.ledgers.get(home)?.for_deciding().keys.get(id).cloned()
    }

    /// Whether a key is the replica of another.
    pub(crate) fn is_replica(&self, home: &Regional, key: &Key) -> bool {
        self.family(home, key).is_some_and(|family| family.primary != home.region)
    }

    /// The primary key of a multi-Region key.
    pub(crate) fn primary_of(&self, home: &Regional, key: &Key) -> Option<Arc<Key>> {
        self.family(home, key)?.primary().cloned()
    }

    /// Changes a key in some region, without a caller who asked for it there.
    pub(crate) async fn change_in(
        &self,
        home: &Regional,
        id: &str,
        mut change: impl FnMut(&mut Key) -> bool,
    ) -> Result<(), ServiceError> {
        let Some(ledger) = self.ledgers.get(home) else { return Ok(()) };
        ledger
            .write_unasked(|region, batch| {
                let Some(key) = region.keys.get(id) else { return Ok(()) };
                let mut key = Key::clone(key);
                if change(&mut key) {
                    batch.put(Record::Key(Arc::new(key)));
                }
                Ok(())
            })
            .await
    }

    /// Takes material that is to encrypt next from the replicas of a key.
    pub(crate) async fn drop_next_of_replicas(
        &self,
        home: &Regional,
        key: &Key,
        id: &MaterialId,
    ) -> Result<(), ServiceError> {
        let Some(family) = self.family(home, key) else { return Ok(()) };
        for (region, _) in family.replicas() {
            self.change_in(&there(home, region), &key.id, |replica| {
                let is_it = replica.next.as_ref().is_some_and(|next| next.id == *id);
                if is_it {
                    replica.next = None;
                }
                is_it
            })
            .await?;
        }
        Ok(())
    }

    /// Tells every member of a family what the newest of them knows.
    pub(crate) async fn tell_family(&self, home: &Regional, key: &Key) -> Result<(), ServiceError> {
        let Some(family) = self.family(home, key) else { return Ok(()) };
        let now = MultiRegion {
            primary: family.primary.clone(),
            changes: family.changes,
            regions: family.members.keys().cloned().collect(),
            handing_over: None,
        };
        for (region, member) in &family.members {
            // What is not there yet may be about to be made: a region is never forgotten here.
            let knows = member.multi_region.as_ref().is_some_and(|its| {
                its.changes == now.changes && its.regions.is_superset(&now.regions)
            });
            if knows {
                continue;
            }
            self.change_in(&there(home, region), &key.id, |member| {
                let Some(its) = &mut member.multi_region else { return false };
                if its.changes > now.changes {
                    return false;
                }
                if its.changes < now.changes {
                    its.primary = now.primary.clone();
                    its.changes = now.changes;
                    its.handing_over = None;
                }
                its.regions.extend(now.regions.iter().cloned());
                true
            })
            .await?;
        }
        Ok(())
    }
}

/// What a replica begins with: the primary key's material, but for what its owner imports again.
fn copied(key: &Key) -> (Vec<Version>, Option<Version>) {
    let copy = |version: &Version| {
        let mut version = version.clone();
        if key.is_imported() {
            version.material = None;
            if let Some(import) = &mut version.import {
                import.expires = None;
            }
        }
        version
    };
    let next = key.next.as_ref().filter(|_| !key.is_imported()).map(copy);
    (key.versions.iter().map(copy).collect(), next)
}

fn not_primary(arn: &str) -> ServiceError {
    errors::unsupported(format!("{arn} is not a multi-Region primary key."))
}

/// The region that a decision is for, where it is not the one that was called.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-requestedregion>
const REQUESTED_REGION: &str = "aws:RequestedRegion";

/// The condition keys of a replica that is to be made.
fn as_replica<T>(key: &Key, resolved: Resolved<T>) -> Resolved<T> {
    resolve::kind(resolved, key.spec, &key.usage, &key.origin, Some("REPLICA"))
}

pub(crate) async fn replicate_key(
    kms: &Kms,
    call: Call<ops::ReplicateKey>,
) -> Result<Answer<types::ReplicateKeyResponse>, ServiceError> {
    let input = &call.input;
    let bypass = input.bypass_policy_lockout_safety_check.unwrap_or_default();
    let given = input.tags.as_deref().unwrap_or_default();
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| {
        found.key("kms:ReplicaRegion", input.replica_region.as_str())
    })?;
    let here = home(&call)?;
    allowed.of_own_account(here.account)?;
    let region: SmolStr = input.replica_region.as_str().into();
    let target = there(&here, &region);
    let key = allowed.found()?.clone();
    // The replica is a new key of its region.
    // https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-auth.html
    call.allow_action(
        "kms:CreateKey",
        resolve::asking(as_replica(&key, Resolved::any(here.account)), here.account, call.facts())
            .key("kms:PrimaryRegion", here.region.to_string())
            .key("kms:BypassPolicyLockoutSafetyCheck", bypass.to_string())
            .key(REQUESTED_REGION, &*region)
            .requesting_tags(tags::pairs(given)),
    )?;
    if !given.is_empty() {
        call.allow_action(
            "kms:TagResource",
            resolve::asking(
                as_replica(&key, Resolved::new(key_arn(&target, &key.id), here.account, ())),
                here.account,
                call.facts(),
            )
            .key(REQUESTED_REGION, &*region)
            .requesting_tags(tags::pairs(given)),
        )?;
    }
    let arn = allowed.arn()?;
    match kms.family(&here, &key) {
        Some(family) if family.primary == here.region => {}
        _ => return Err(not_primary(&arn)),
    }
    match key.state(allowed.at) {
        KeyState::Enabled | KeyState::PendingImport => {}
        KeyState::Disabled => return Err(errors::disabled(&arn)),
        state => return Err(errors::in_state(&arn, &state)),
    }
    if region == here.region || !ringfence_policy::regions::is_region(&region) {
        return Err(errors::validation(format!(
            "ReplicaRegion {region} is not a Region that the key can be replicated to."
        )));
    }
    let policy = match &input.policy {
        None => KeyPolicy::standard(here.account),
        Some(text) => {
            let policy = KeyPolicy::parse(text, &*call.shared().directory)?;
            let tags = tags::with(&Default::default(), given, kms.quotas.tags)?;
            let replica = Resolved::new(key_arn(&target, &key.id), here.account, ());
            let replica = as_replica(&key, replica.tagged(&tags, None));
            key_policies::check(kms, &call, &policy, replica, bypass)?;
            policy
        }
    };
    let tags = Arc::new(tags::with(&Default::default(), given, kms.quotas.tags)?);
    // The primary key knows of the region before there is a replica in it.
    allowed
        .change(|_, key| {
            key.living(&here)?;
            key.holding_place(&here)?;
            match &mut key.multi_region {
                Some(its) => Ok(its.regions.insert(region.clone())),
                None => Err(not_primary(&arn)),
            }
        })
        .await?;
    let description: Arc<str> = input.description.as_deref().unwrap_or_default().into();
    let ledger = kms.ledgers.get_or_make(&target).map_err(errors::failed)?;
    let replica = ledger
        .write(&allowed.permit, |region, batch| {
            if region.keys.contains_key(&key.id) {
                return Err(errors::replica_exists(&key_arn(&target, &key.id)));
            }
            if region.keys.len() >= kms.quotas.keys {
                return Err(errors::over_quota("You have reached the limit for KMS keys."));
            }
            // As the primary key is at this moment.
            let source = kms.key_in(&here, &key.id).unwrap_or_else(|| key.clone());
            source.living(&here)?;
            let (versions, next) = copied(&source);
            let replica = Arc::new(Key {
                created: allowed.at,
                description: description.clone(),
                enabled: true,
                deletion: None,
                policy: policy.clone(),
                versions,
                next,
                rotating: None,
                schedule: None,
                rotations_on_demand: 0,
                tags: tags.clone(),
                last_used: Arc::default(),
                ..Key::clone(&source)
            });
            batch.put(Record::Key(replica.clone()));
            Ok(replica)
        })
        .await?;
    // A rotation that another server has begun since is known then, or that one knows of this replica.
    kms.ledgers.hear_all().await;
    kms.tell_family(&here, &replica).await?;
    // A rotation that came between reaches the new replica, too.
    kms.carry_on_rotation(&here, &key.id).await?;
    let shown = kms.describe(&replica, &target, allowed.at);
    Ok(allowed.permit.answer(types::ReplicateKeyResponse {
        // It is there and can be used; AWS says `Creating` for some seconds.
        replica_key_metadata: Some(shown),
        replica_policy: Some(replica.policy.text(&*call.shared().directory).to_string()),
        replica_tags: Some(
            replica
                .tags
                .iter()
                .map(|(name, value)| Tag { tag_key: name.clone(), tag_value: value.clone() })
                .collect(),
        ),
    }))
}

pub(crate) async fn update_primary_region(
    kms: &Kms,
    call: Call<ops::UpdatePrimaryRegion>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| {
        found.key("kms:PrimaryRegion", input.primary_region.as_str())
    })?;
    let here = home(&call)?;
    allowed.of_own_account(here.account)?;
    let key = allowed.found()?.clone();
    let arn = allowed.arn()?;
    let to: SmolStr = input.primary_region.as_str().into();
    let target = there(&here, &to);
    // Asked for on both keys, each in its region.
    kms.allow_at(&call, &target, &key.id, |found| {
        found.key("kms:PrimaryRegion", &*to).key(REQUESTED_REGION, &*to)
    })?;
    let family = kms
        .family(&here, &key)
        .filter(|family| family.primary == here.region)
        .ok_or_else(|| not_primary(&arn))?;
    let replica = family
        .members
        .get(&to)
        .filter(|_| to != here.region)
        .ok_or_else(|| errors::no_such_key(&key_arn(&target, &key.id)))?;
    for (key, home) in [(&key, &here), (replica, &target)] {
        match key.state(allowed.at) {
            KeyState::Enabled | KeyState::PendingImport => {}
            KeyState::Disabled => return Err(errors::disabled(&key.arn(home))),
            state => return Err(errors::in_state(&key.arn(home), &state)),
        }
    }
    kms.carry_on_rotation(&here, &key.id).await?;
    allowed
        .change(|_, key| {
            key.living(&here)?;
            key.holding_place(&here)?;
            if key.rotating.is_some() {
                return Err(errors::conflict(&arn));
            }
            let its = key.multi_region.as_mut().ok_or_else(|| not_primary(&arn))?;
            its.handing_over = Some(to.clone());
            Ok(true)
        })
        .await?;
    if !kms.carry_on_handover(&here, &key.id).await? {
        return Err(errors::no_such_key(&key_arn(&target, &key.id)));
    }
    kms.tell_family(&here, &key).await?;
    Ok(allowed.permit.answer(Empty::default()))
}

impl Kms {
    /// Lets the key that a primary key hands its place over to take it. Where that key is gone, the
    /// primary key keeps its place, and the answer is `false`.
    ///
    /// While the place is handed over the old primary key does not rotate, nor is it replicated, so that
    /// what the new one takes is all there is, whoever carries this on.
    pub(crate) async fn carry_on_handover(
        &self,
        home: &Regional,
        id: &str,
    ) -> Result<bool, ServiceError> {
        let Some(old) = self.key_in(home, id) else { return Ok(true) };
        let Some(its) = &old.multi_region else { return Ok(true) };
        let Some(to) = its.handing_over.clone() else { return Ok(true) };
        let now = self.clock.now().seconds;
        let ledger = self.ledgers.get_or_make(there(home, &to)).map_err(errors::failed)?;
        let taken = ledger
            .write_unasked(|region, batch| {
                let Some(key) = region.keys.get(id).filter(|key| !key.is_over(now)) else {
                    return Ok(false);
                };
                let Some(theirs) = key.multi_region.as_ref().filter(|it| it.changes <= its.changes)
                else {
                    return Ok(true);
                };
                let mut new = Key::clone(key);
                rotation::follow(&mut new, &old);
                new.schedule = old.schedule;
                new.rotations_on_demand = old.rotations_on_demand;
                if let Some(deletion) = &mut new.deletion {
                    // Now it waits for its replicas.
                    deletion.at = None;
                }
                new.multi_region = Some(MultiRegion {
                    primary: to.clone(),
                    changes: its.changes + 1,
                    regions: theirs.regions.union(&its.regions).cloned().collect(),
                    handing_over: None,
                });
                batch.put(Record::Key(Arc::new(new)));
                Ok(true)
            })
            .await?;
        if !taken {
            self.change_in(home, id, |key| match &mut key.multi_region {
                Some(now) if now == its => {
                    now.handing_over = None;
                    true
                }
                _ => false,
            })
            .await?;
        }
        Ok(taken)
    }
}
