//! How a key was last used: noted in memory at each use, kept by a flush.
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html>

use crate::Kms;
use crate::records::{Key, Record};
use crate::resolve::{Allowed, By};
use crate::state::Region;
use ringfence_gateway::ids::CallId;
use ringfence_gateway::{Answer, Batch, BesideRequest, Call, Regional};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{self, KeyLastUsageData, KeyLastUsageTrackingOperation};
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// The last use of a key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Used {
    /// The key's id.
    pub key: Arc<str>,
    pub operation: Arc<str>,
    pub at: i64,
    pub event_id: Arc<str>,
    pub request_id: Arc<str>,
}

/// The last use of a key since the server started.
#[derive(Debug, Default)]
pub(crate) struct LastUsed(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    last: Option<Use>,
    /// It waits for the next flush.
    waits: bool,
}

#[derive(Debug, Clone)]
struct Use {
    operation: &'static str,
    at: i64,
    event_id: CallId,
    request_id: CallId,
}

impl LastUsed {
    /// Notes a use; whether the key is to be put into the list of the next flush.
    fn note(&self, used: Use) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.last = Some(used);
        !std::mem::replace(&mut noted.waits, true)
    }

    fn get(&self) -> Option<Use> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }

    /// When it was.
    pub fn at(&self) -> Option<i64> {
        self.get().map(|used| used.at)
    }

    /// The last use, to be kept.
    fn take_waiting(&self) -> Option<Use> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.waits = false;
        noted.last.clone()
    }
}

impl Use {
    fn kept(self, key: &Arc<str>) -> Used {
        Used {
            key: key.clone(),
            operation: self.operation.into(),
            at: self.at,
            event_id: (&*self.event_id).into(),
            request_id: (&*self.request_id).into(),
        }
    }
}

impl Region {
    /// When a key was last used; when it was made, where it never was.
    pub(crate) fn last_use_of(&self, key: &Key) -> i64 {
        // One here, or one that another server has kept.
        let kept = self.used.get(&key.id).map(|used| used.at);
        key.last_used.at().max(kept).unwrap_or(key.created)
    }
}

impl Kms {
    /// Notes that a call has used a key.
    pub(crate) fn note_use<O: TypedOperation>(&self, call: &Call<O>, allowed: &Allowed) {
        let Ok(key) = allowed.found() else { return };
        let facts = call.facts();
        let used = Use {
            operation: O::OPERATION.name,
            at: facts.now.seconds,
            event_id: facts.event_id,
            request_id: facts.request_id,
        };
        self.note(&allowed.home, key, used);
    }

    /// Notes that another KMS has used a key, by a request of its own.
    pub(crate) fn note_use_beside(
        &self,
        home: &Regional,
        key: &Key,
        operation: &'static str,
        at: i64,
        request: &BesideRequest<'_>,
    ) {
        let BesideRequest { event_id, request_id, .. } = *request;
        self.note(home, key, Use { operation, at, event_id, request_id });
    }

    fn note(&self, home: &Regional, key: &Key, used: Use) {
        if key.last_used.note(used) {
            let mut waiting = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push((home.clone(), key.id.clone()));
        }
    }

    /// Keeps what was noted since the last time. A crash loses what was noted after it.
    pub(crate) async fn flush_last_used(&self) {
        let waiting: Vec<(Regional, Arc<str>)> =
            std::mem::take(&mut self.used.lock().unwrap_or_else(PoisonError::into_inner));
        let mut by_region: Vec<(Regional, Vec<Arc<str>>)> = Vec::new();
        for (home, id) in waiting {
            match by_region.iter_mut().find(|(region, _)| *region == home) {
                Some((_, ids)) => ids.push(id),
                None => by_region.push((home, vec![id])),
            }
        }
        for (home, ids) in by_region {
            let Some(ledger) = self.ledgers.get(&home) else { continue };
            let used: Vec<Arc<Used>> = {
                let region = ledger.for_deciding();
                let keys = ids.iter().filter_map(|id| region.keys.get(id));
                keys.filter_map(|key| Some(Arc::new(key.last_used.take_waiting()?.kept(&key.id))))
                    .collect()
            };
            let written = ledger
                .write_unasked(|region: &Region, batch: &mut Batch<Region>| {
                    let there = used.iter().filter(|used| region.keys.contains_key(&used.key));
                    // Another server may have kept a later one.
                    let last = there.filter(|used| {
                        region.used.get(&used.key).is_none_or(|kept| kept.at <= used.at)
                    });
                    last.for_each(|used| batch.put(Record::Used(used.clone())));
                    Ok(())
                })
                .await;
            if let Err(error) = written {
                tracing::warn!(%error, %home, "the last uses of keys are not kept");
            }
        }
    }
}

pub(crate) async fn get_key_last_usage(
    kms: &Kms,
    call: Call<ops::GetKeyLastUsage>,
) -> Result<Answer<types::GetKeyLastUsageResponse>, ServiceError> {
    let allowed = kms.allow(&call, &call.input.key_id, By::Id, |found| found)?;
    allowed.of_own_account(call.account()?)?;
    let key = allowed.found()?;
    let kept = allowed.view().used.get(&key.id).map(|used| Used::clone(used));
    let noted = key.last_used.get().map(|used| used.kept(&key.id));
    let used = kept.into_iter().chain(noted).max_by_key(|used| used.at);
    let shown = used.map_or_else(KeyLastUsageData::default, |used| KeyLastUsageData {
        operation: Some(KeyLastUsageTrackingOperation::from(&*used.operation)),
        timestamp: Some(Timestamp::from_seconds(used.at)),
        cloud_trail_event_id: Some(used.event_id.to_string()),
        kms_request_id: Some(used.request_id.to_string()),
    });
    let created = Some(Timestamp::from_seconds(key.created));
    Ok(allowed.permit.answer(types::GetKeyLastUsageResponse {
        key_id: Some(key.id.to_string()),
        key_last_usage: Some(shown),
        // Every use of a key is noted from its first day on.
        tracking_start_date: created,
        key_creation_date: created,
    }))
}
