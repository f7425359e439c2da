//! The end of keys: scheduled, called off, and carried out when its time has come.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/deleting-keys.html>

use crate::records::Deletion;
use crate::resolve::By;
use crate::state::{Region, alias_key, grant_key, key_key};
use crate::{Kms, errors};
use ringfence_gateway::{Answer, Batch, Call};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{self, KeyState};
use ringfence_wire::{ServiceError, Timestamp};

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
    /// gone with them. What cannot be deleted is tried again the next time.
    pub async fn delete_due_keys(&self) {
        let now = self.clock.now().seconds;
        for home in self.ledgers.areas() {
            let Some(ledger) = self.ledgers.get(&home) else { continue };
            if due(&ledger.for_deciding(), now).next().is_none() {
                continue;
            }
            let written = ledger
                .write_unasked(|region, batch| {
                    due(region, now).for_each(|id| delete(region, &id, batch));
                    Ok(())
                })
                .await;
            if let Err(error) = written {
                tracing::warn!(%error, %home, "keys whose time has come are still there");
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
    region.aliases_of(id).for_each(|name| batch.delete(alias_key(name)));
    region.grants_of(id).for_each(|grant| batch.delete(grant_key(&grant.id)));
}
