//! The end of keys: scheduled, called off, and carried out when its time has come.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html>

use crate::key_stores::in_store;
use crate::records::{Deletion, Key};
use crate::resolve::By;
use crate::state::{Region, alias_key, grant_key, key_key, open_key_key, used_key};
use crate::{Kms, errors, import};
use ringfence_gateway::{Answer, Batch, Call, Recorder, Regional};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{self, KeyState};
use ringfence_wire::{ServiceError, Timestamp};
use std::collections::HashSet;

const DAY: i64 = 24 * 60 * 60;

/// Days of the window where none are given, and the fewest and most.
const USUAL: i32 = 30;
const FEWEST: i32 = 7;

pub(crate) async fn schedule_key_deletion(
    kms: &Kms,
    call: Call<ops::ScheduleKeyDeletion>,
) -> Result<Answer<types::ScheduleKeyDeletionResponse>, ServiceError> {
    let input = &call.input;
    let days = input.pending_window_in_days.unwrap_or(USUAL);
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| {
        found.key("kms:ScheduleKeyDeletionPendingWindowInDays", days.to_string())
    })?;
    allowed.of_own_account(call.account()?)?;
    if !(FEWEST..=USUAL).contains(&days) {
        return Err(errors::validation(
            "PendingWindowInDays must be between 7 and 30 days, inclusive.",
        ));
    }
    let arn = allowed.arn()?;
    // A primary key waits for its replicas to go first; its window begins then.
    // https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-delete.html
    let mut at = None;
    allowed
        .change(|_, key| {
            key.living(&allowed.home)?;
            if key.multi_region.as_ref().is_some_and(|its| its.handing_over.is_some()) {
                key.holding_place(&allowed.home)?;
            }
            let waits = has_replicas(kms, &allowed.home, key);
            at = (!waits).then(|| allowed.at + i64::from(days) * DAY);
            key.deletion = Some(Deletion { at, days });
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(types::ScheduleKeyDeletionResponse {
        key_id: Some(arn),
        deletion_date: at.map(Timestamp::from_seconds),
        key_state: Some(match at {
            Some(_) => KeyState::PendingDeletion,
            None => KeyState::PendingReplicaDeletion,
        }),
        pending_window_in_days: Some(days),
    }))
}

pub(crate) async fn cancel_key_deletion(
    kms: &Kms,
    call: Call<ops::CancelKeyDeletion>,
) -> Result<Answer<types::CancelKeyDeletionResponse>, ServiceError> {
    let allowed = kms.allow(&call, &call.input.key_id, By::Id, |found| found)?;
    allowed.of_own_account(call.account()?)?;
    let arn = allowed.arn()?;
    allowed
        .change(|_, key| {
            if key.deletion.take().is_none() {
                return Err(errors::invalid_state(&arn, "not pending deletion"));
            }
            // It comes back switched off.
            key.enabled = false;
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(types::CancelKeyDeletionResponse { key_id: Some(arn) }))
}

/// Whether a key is a primary key of which there are replicas.
fn has_replicas(kms: &Kms, home: &Regional, key: &Key) -> bool {
    let family = kms.family(home, key).filter(|family| family.primary == home.region);
    family.is_some_and(|family| family.replicas().next().is_some())
}

impl Kms {
    /// Deletes a region's keys whose time has come, with their aliases and grants: their only material
    /// is gone with them, and that of a key in a token is destroyed there first. What cannot be deleted
    /// is tried again the next time.
    pub(crate) async fn delete_due_keys(&self, home: &Regional, now: i64, recorder: &Recorder) {
        let Some(ledger) = self.ledgers.get(home) else { return };
        let region = Region::clone(&ledger.for_deciding());
        if due(&region, now).next().is_none() {
            return;
        }
        let left = self.destroy_due(home, &region, now).await;
        let written = ledger
            .write_unasked(|region, batch| {
                let gone: Vec<_> = due(region, now).filter(|id| !left.contains(id)).collect();
                gone.iter().for_each(|id| delete(region, id, batch));
                Ok(gone)
            })
            .await;
        match written {
            // https://docs.aws.amazon.com/kms/latest/developerguide/ct-delete-key.html
            Ok(gone) => {
                for id in gone {
                    self.record(recorder, "DeleteKey", home, &id, Vec::new()).await;
                }
            }
            Err(error) => {
                tracing::warn!(%error, %home, "keys whose time has come are still there");
            }
        }
    }

    /// Destroys what keys whose time has come have in tokens; those that still have it then. Nobody can
    /// use one of those, whatever becomes of its token.
    async fn destroy_due(&self, home: &Regional, region: &Region, now: i64) -> HashSet<String> {
        let (mut left, mut lost) = (HashSet::new(), HashSet::new());
        for id in due(region, now) {
            let own = region.keys.get(id.as_str()).and_then(|key| key.in_store.as_ref());
            let Some(own) = own else { continue };
            // A store that does not answer is asked once, and not once for each of its keys.
            if lost.contains(&own.store) {
                left.insert(id);
            } else if let Err(error) = in_store::destroy(self, home, region, &id, own).await {
                tracing::warn!(%error, key = id, "a deleted key is still in its token");
                left.insert(id);
                lost.insert(own.store.clone());
            }
        }
        left
    }

    /// Makes primary keys wait whose window began just before a replica of theirs was there.
    pub(crate) async fn hold_back(&self, home: &Regional) {
        let Some(ledger) = self.ledgers.get(home) else { return };
        let due: Vec<_> = {
            let region = ledger.for_deciding();
            let keys = region.keys.values();
            let counts = |key: &&std::sync::Arc<Key>| {
                key.multi_region.is_some() && key.deletion.is_some_and(|it| it.at.is_some())
            };
            keys.filter(counts).cloned().collect()
        };
        for key in due.into_iter().filter(|key| has_replicas(self, home, key)) {
            let held = self.change_in(home, &key.id, |key| match &mut key.deletion {
                Some(deletion) => deletion.at.take().is_some(),
                None => false,
            });
            if let Err(error) = held.await {
                tracing::warn!(%error, %home, "a primary key does not wait for its replicas");
            }
        }
    }

    /// Begins the window of primary keys whose last replica has gone.
    pub(crate) async fn begin_windows(&self, home: &Regional, now: i64) {
        let Some(ledger) = self.ledgers.get(home) else { return };
        let waiting: Vec<_> = {
            let region = ledger.for_deciding();
            let keys = region.keys.values();
            let waits =
                |key: &&std::sync::Arc<Key>| key.state(now) == KeyState::PendingReplicaDeletion;
            keys.filter(waits).cloned().collect()
        };
        for key in waiting.into_iter().filter(|key| !has_replicas(self, home, key)) {
            let begun = self.change_in(home, &key.id, |key| match &mut key.deletion {
                Some(deletion) if deletion.at.is_none() => {
                    deletion.at = Some(now + i64::from(deletion.days) * DAY);
                    true
                }
                _ => false,
            });
            if let Err(error) = begun.await {
                tracing::warn!(%error, %home, "a deletion's window has not begun");
            }
        }
    }

    /// Takes away imported material that has expired.
    pub(crate) async fn drop_expired_material(
        &self,
        home: &Regional,
        now: i64,
        recorder: &Recorder,
    ) {
        let Some(ledger) = self.ledgers.get(home) else { return };
        let over = import::expired(&ledger.for_deciding(), now);
        for (key, id) in over {
            let mut gone = false;
            let dropped = self.change_in(home, &key.id, |key| {
                let still = key.version(&id).is_some_and(|version| version.has_expired(now));
                if still {
                    import::forget(key, &id);
                }
                gone = still;
                still
            });
            match dropped.await {
                // https://docs.aws.amazon.com/kms/latest/developerguide/ct-deleteexpiredkeymaterial.html
                Ok(()) if gone => {
                    let material = vec![("keyMaterialId", id.to_string())];
                    self.record(recorder, "DeleteExpiredKeyMaterial", home, &key.id, material)
                        .await;
                }
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, %home, "material that has expired is still kept");
                }
            }
        }
    }
}

/// The keys whose time has come.
fn due(region: &Region, now: i64) -> impl Iterator<Item = String> {
    let keys = region.keys.values();
    keys.filter(move |key| key.is_over(now)).map(|key| key.id.to_string())
}

fn delete(region: &Region, id: &str, batch: &mut Batch<Region>) {
    batch.delete(key_key(id));
    batch.delete(used_key(id));
    region.aliases_of(id).for_each(|name| batch.delete(alias_key(name)));
    region.grants_of(id).for_each(|grant| batch.delete(grant_key(&grant.id)));
    let open = region.open_keys.values().filter(|open| *open.key == *id);
    open.for_each(|open| batch.delete(open_key_key(&open.id)));
}
