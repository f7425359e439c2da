//! The end of keys: scheduled, called off, and carried out when its time has come.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html>

use crate::key_stores::in_store;
use crate::records::Deletion;
use crate::resolve::By;
use crate::state::{Region, alias_key, grant_key, key_key};
use crate::{Kms, errors};
use ringfence_gateway::{Answer, Batch, Call, Regional};
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
    let deletion = Deletion { at: call.now().seconds + i64::from(days) * DAY, days };
    allowed
        .change(|_, key| {
            if key.deletion.is_some() {
                return Err(errors::invalid_state(&arn, "pending deletion"));
            }
            key.deletion = Some(deletion);
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(types::ScheduleKeyDeletionResponse {
        key_id: Some(arn),
        deletion_date: Some(Timestamp::from_seconds(deletion.at)),
        key_state: Some(KeyState::PendingDeletion),
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

impl Kms {
    /// Deletes the keys whose time has come, with their aliases and grants: their only material is
    /// gone with them, and that of a key in a token is destroyed there first. What cannot be deleted is
    /// tried again the next time.
    pub async fn delete_due_keys(&self) {
        let now = self.clock.now().seconds;
        for home in self.ledgers.areas() {
            let Some(ledger) = self.ledgers.get(&home) else { continue };
            let region = Region::clone(&ledger.for_deciding());
            if due(&region, now).next().is_none() {
                continue;
            }
            let left = self.destroy_due(&home, &region, now).await;
            let written = ledger
                .write_unasked(|region, batch| {
                    let gone = due(region, now).filter(|id| !left.contains(id));
                    gone.for_each(|id| delete(region, &id, batch));
                    Ok(())
                })
                .await;
            if let Err(error) = written {
                tracing::warn!(%error, %home, "keys whose time has come are still there");
            }
        }
    }
}

impl Kms {
    /// Destroys what keys whose time has come have in tokens; those that still have it then. Nobody can
    /// use one of those, whatever becomes of its token.
    async fn destroy_due(&self, home: &Regional, region: &Region, now: i64) -> HashSet<String> {
        let mut left = HashSet::new();
        for id in due(region, now) {
            let own = region.keys.get(id.as_str()).and_then(|key| key.in_store.as_ref());
            let Some(own) = own else { continue };
            if let Err(error) = in_store::destroy(self, home, region, &id, own).await {
                tracing::warn!(%error, key = id, "a deleted key is still in its token");
                left.insert(id);
            }
        }
        left
    }
}

/// The keys whose time has come.
fn due(region: &Region, now: i64) -> impl Iterator<Item = String> {
    let keys = region.keys.values();
    keys.filter(move |key| key.is_over(now)).map(|key| key.id.to_string())
}

fn delete(region: &Region, id: &str, batch: &mut Batch<Region>) {
    batch.delete(key_key(id));
    region.aliases_of(id).for_each(|name| batch.delete(alias_key(name)));
    region.grants_of(id).for_each(|grant| batch.delete(grant_key(&grant.id)));
}
