//! Rotation: new material for a key, by the calendar or on demand. What was encrypted before still
//! decrypts, since a ciphertext names its material.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/rotate-keys.html>
//!
//! A key of one region rotates in one commit. A multi-Region key's new material is kept at the primary
//! key as its `next`, brought to every replica, where it decrypts, and becomes current only then.

use crate::import::{import_state, material_id};
use crate::multi_region::there;
use crate::records::{Key, MaterialId, Rotating, RotationKind, Schedule, Version};
use crate::resolve::{Allowed, By};
use crate::state::Region;
use crate::{Kms, errors};
use ringfence_gateway::{Answer, Call, Recorder, Regional};
use ringfence_keyring::material::{Material, Spec};
use ringfence_keyring::random::Random;
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{
    self, ExpirationModelType, IncludeKeyMaterial, KeyMaterialState, KeyState, OriginType,
    RotationType, RotationsListEntry,
};
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};

const DAY: i64 = 24 * 60 * 60;

/// Days between automatic rotations where none are given.
const USUAL: i32 = 365;

/// Rotations of a page where `Limit` is not given.
const PAGE: usize = 100;

/// The key, where it can be rotated by the calendar, and is in a state for it.
fn scheduled<O: TypedOperation>(
    kms: &Kms,
    call: &Call<O>,
    allowed: &Allowed,
) -> Result<(), ServiceError> {
    allowed.of_own_account(call.account()?)?;
    let key = allowed.found()?;
    let arn = allowed.arn()?;
    if key.spec != Spec::SymmetricDefault {
        return Err(errors::no_rotation(&arn));
    }
    // https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
    if key.origin != OriginType::AwsKms {
        return Err(errors::wrong_origin(&arn, key.origin.as_str()));
    }
    if key.of_service {
        return Err(errors::managed_by_aws(&arn));
    }
    if kms.is_replica(&allowed.home, key) {
        return Err(errors::unsupported(format!(
            "{arn} is a multi-Region replica key: rotation is set on the primary key."
        )));
    }
    match key.state(allowed.at) {
        KeyState::Enabled => Ok(()),
        KeyState::Disabled => Err(errors::disabled(&arn)),
        state => Err(errors::in_state(&arn, &state)),
    }
}

pub(crate) async fn enable_key_rotation(
    kms: &Kms,
    call: Call<ops::EnableKeyRotation>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let days = input.rotation_period_in_days;
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| {
        found.key("kms:RotationPeriodInDays", days.unwrap_or(USUAL).to_string())
    })?;
    scheduled(kms, &call, &allowed)?;
    allowed
        .change(|_, key| {
            key.holding_place(&allowed.home)?;
            // Switched on once more without a period, it stays as it is.
            if days.is_none() && key.schedule.is_some() {
                return Ok(false);
            }
            let days = days.unwrap_or(USUAL);
            key.schedule = Some(Schedule { days, next: allowed.at + i64::from(days) * DAY });
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn disable_key_rotation(
    kms: &Kms,
    call: Call<ops::DisableKeyRotation>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = kms.allow(&call, &call.input.key_id, By::Id, |found| found)?;
    scheduled(kms, &call, &allowed)?;
    allowed
        .change(|_, key| {
            key.holding_place(&allowed.home)?;
            Ok(key.schedule.take().is_some())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

/// Days between the rotations of keys that services manage, which AWS rotates every year.
const OF_SERVICES: i32 = 365;

pub(crate) async fn get_key_rotation_status(
    kms: &Kms,
    call: Call<ops::GetKeyRotationStatus>,
) -> Result<Answer<types::GetKeyRotationStatusResponse>, ServiceError> {
    let allowed = kms.allow(&call, &call.input.key_id, By::Id, |found| found)?;
    let key = allowed.found()?;
    if key.spec != Spec::SymmetricDefault
        || !matches!(key.origin, OriginType::AwsKms | OriginType::External)
    {
        return Err(errors::no_rotation(&allowed.arn()?));
    }
    // What the primary key is set to holds for its replicas.
    let primary = kms.primary_of(&allowed.home, key).unwrap_or_else(|| key.clone());
    let schedule = match primary.of_service {
        true => Some(Schedule { days: OF_SERVICES, next: next_of_service(&primary) }),
        false => primary.schedule.filter(|_| key.deletion.is_none()),
    };
    let rotating = primary.rotating.filter(|rotating| rotating.by == RotationKind::OnDemand);
    Ok(allowed.permit.answer(types::GetKeyRotationStatusResponse {
        key_rotation_enabled: Some(schedule.is_some()),
        key_id: Some(allowed.arn()?),
        rotation_period_in_days: schedule.map(|schedule| schedule.days),
        next_rotation_date: schedule.map(|schedule| Timestamp::from_seconds(schedule.next)),
        on_demand_rotation_start_date: rotating.map(|at| Timestamp::from_seconds(at.since)),
    }))
}

/// When a key that a service manages is rotated next.
fn next_of_service(key: &Key) -> i64 {
    let since = key.current().map_or(key.created, |version| version.since);
    since + i64::from(OF_SERVICES) * DAY
}

pub(crate) async fn rotate_key_on_demand(
    kms: &Kms,
    call: Call<ops::RotateKeyOnDemand>,
) -> Result<Answer<types::RotateKeyOnDemandResponse>, ServiceError> {
    let allowed = kms.allow(&call, &call.input.key_id, By::Id, |found| found)?;
    allowed.of_own_account(call.account()?)?;
    let key = allowed.found()?;
    let arn = allowed.arn()?;
    if key.spec != Spec::SymmetricDefault
        || !matches!(key.origin, OriginType::AwsKms | OriginType::External)
    {
        return Err(errors::no_rotation(&arn));
    }
    if key.of_service {
        return Err(errors::managed_by_aws(&arn));
    }
    if kms.is_replica(&allowed.home, key) {
        return Err(errors::unsupported(format!(
            "{arn} is a multi-Region replica key: rotate the primary key."
        )));
    }
    match key.state(allowed.at) {
        KeyState::Enabled => {}
        KeyState::Disabled => return Err(errors::disabled(&arn)),
        state => return Err(errors::in_state(&arn, &state)),
    }
    if key.is_imported() {
        match &key.next {
            Some(next) if kms.is_everywhere(&allowed.home, key, &next.id, allowed.at) => {}
            _ => return Err(errors::nothing_to_rotate_to(&arn)),
        }
    }
    let fresh = fresh(key, &allowed.home, &*call.shared().random, allowed.at)?;
    allowed
        .change(|_, key| {
            key.holding_place(&allowed.home)?;
            if key.rotating.is_some() {
                return Err(errors::conflict(&arn));
            }
            if key.rotations_on_demand as usize >= kms.quotas.rotations_on_demand {
                return Err(errors::over_rotations(&arn));
            }
            key.rotations_on_demand += 1;
            match begin(key, fresh.as_ref(), allowed.at, RotationKind::OnDemand) {
                Begun::Yes => Ok(true),
                Begun::Busy => Err(errors::conflict(&arn)),
                Begun::NothingToRotateTo => Err(errors::nothing_to_rotate_to(&arn)),
            }
        })
        .await?;
    if key.multi_region.is_some() {
        // Another server may have just made a replica.
        kms.ledgers.hear_all().await;
    }
    kms.carry_on_rotation(&allowed.home, &key.id).await?;
    Ok(allowed.permit.answer(types::RotateKeyOnDemandResponse { key_id: Some(arn) }))
}

/// New material for a key that does not take its material from outside.
fn fresh(
    key: &Key,
    home: &Regional,
    random: &dyn Random,
    now: i64,
) -> Result<Option<Version>, ServiceError> {
    if key.is_imported() {
        return Ok(None);
    }
    let material = Material::generate(key.spec, random).map_err(errors::failed)?;
    let id = material_id(home, &key.id, &material);
    Ok(Some(Version { id, since: now, by: None, material: Some(material), import: None }))
}

/// What became of a rotation that was to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
    Yes,
    /// Former material is still on its way.
    Busy,
    NothingToRotateTo,
}

/// Begins a rotation, and ends it at once where there is one region. Where it does not, nothing changes.
fn begin(key: &mut Key, fresh: Option<&Version>, now: i64, by: RotationKind) -> Begun {
    match (&key.next, fresh) {
        // Somebody may have encrypted under it: it is never replaced.
        (Some(next), Some(_)) if next.material.is_some() => return Begun::Busy,
        (None, None) => return Begun::NothingToRotateTo,
        (_, Some(fresh)) => key.next = Some(fresh.clone()),
        (Some(_), None) => {}
    }
    key.rotating = Some(Rotating { since: now, by });
    if key.multi_region.is_none() {
        end(key);
    }
    Begun::Yes
}

/// Makes the next material the current one.
fn end(key: &mut Key) {
    let Some(Rotating { since, by }) = key.rotating.take() else { return };
    if let Some(next) = key.next.take() {
        key.versions.push(Version { since, by: Some(by), ..next });
    }
}

impl Kms {
    /// Whether every replica of a key has the material of this id.
    fn is_everywhere(&self, home: &Regional, key: &Key, id: &MaterialId, now: i64) -> bool {
        let has = |member: &Key| member.version(id).is_some_and(|one| one.material(now).is_some());
        match self.family(home, key) {
            None => has(key),
            Some(family) => family.members.values().all(|member| has(member)),
        }
    }

    /// Carries on a multi-Region key's rotation as far as it goes.
    pub(crate) async fn carry_on_rotation(
        &self,
        home: &Regional,
        id: &str,
    ) -> Result<(), ServiceError> {
        let key = self.ledgers.get(home).and_then(|it| it.for_deciding().keys.get(id).cloned());
        let Some(key) = key.filter(|key| key.multi_region.is_some()) else { return Ok(()) };
        let Some(family) = self.family(home, &key) else { return Ok(()) };
        let Some(primary) = family.primary().cloned() else { return Ok(()) };
        let at = there(home, &family.primary);
        if let (Some(_), Some(next)) = (primary.rotating, &primary.next) {
            for (region, _) in family.replicas() {
                self.change_in(&there(home, region), id, |replica| {
                    let missing = replica.version(&next.id).is_none() && !replica.is_imported();
                    if missing {
                        // What it has of an earlier rotation finds its place first.
                        follow(replica, &primary);
                        replica.next = replica.next.take().or_else(|| Some(next.clone()));
                    }
                    missing
                })
                .await?;
            }
            // INVARIANT: a replica that is made from now on copies the primary key with its next
            // material, so that none is left behind.
            if self.is_everywhere(home, &primary, &next.id, self.clock.now().seconds) {
                let next = next.id;
                self.change_in(&at, id, |key| {
                    let same = key.next.as_ref().is_some_and(|there| there.id == next);
                    if same {
                        end(key);
                    }
                    same
                })
                .await?;
            }
        }
        self.follow_primary(&at, id).await
    }

    /// Makes current in the replicas what is current in the primary key.
    async fn follow_primary(&self, at: &Regional, id: &str) -> Result<(), ServiceError> {
        let primary = self.ledgers.get(at).and_then(|it| it.for_deciding().keys.get(id).cloned());
        let Some(primary) = primary else { return Ok(()) };
        let Some(family) = self.family(at, &primary) else { return Ok(()) };
        for (region, replica) in family.replicas() {
            if !follows(replica, &primary) {
                // Read anew for each: what is followed is never older than what was before.
                self.change_in(&there(at, region), id, |replica| {
                    let primary = self.key_in(at, id).unwrap_or_else(|| primary.clone());
                    let behind = !follows(replica, &primary);
                    if behind {
                        follow(replica, &primary);
                    }
                    behind
                })
                .await?;
            }
        }
        Ok(())
    }

    /// Rotates the keys whose day has come.
    pub(crate) async fn rotate_due_keys(&self, home: &Regional, now: i64, recorder: &Recorder) {
        let Some(ledger) = self.ledgers.get(home) else { return };
        let due: Vec<_> = due(&ledger.for_deciding(), now);
        for key in due {
            if self.is_replica(home, &key) {
                continue;
            }
            let mut begun = false;
            let rotated = async {
                let fresh = fresh(&key, home, &*self.random, now)?;
                self.change_in(home, &key.id, |key| {
                    let again = is_due(key, now)
                        && key.rotating.is_none()
                        && key.holding_place(home).is_ok()
                        && begin(key, fresh.as_ref(), now, RotationKind::Automatic) == Begun::Yes;
                    if again && let Some(schedule) = &mut key.schedule {
                        // Late by however much, it stays in step.
                        let step = i64::from(schedule.days) * DAY;
                        let missed = (now - schedule.next) / step + 1;
                        schedule.next += missed * step;
                    }
                    begun = again;
                    again
                })
                .await
            };
            match rotated.await {
                // https://docs.aws.amazon.com/kms/latest/developerguide/ct-rotatekey.html
                Ok(()) if begun => {
                    let how = vec![("rotationType", "AUTOMATIC".to_owned())];
                    self.record(recorder, "RotateKey", home, &key.id, how).await;
                }
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, %home, key = %key.id, "a key is not rotated");
                }
            }
        }
    }

    /// Carries on what rotations and changes of primary keys were cut short.
    pub(crate) async fn settle_families(&self, home: &Regional) {
        let Some(ledger) = self.ledgers.get(home) else { return };
        let members: Vec<_> = {
            let region = ledger.for_deciding();
            region.keys.values().filter(|key| key.multi_region.is_some()).cloned().collect()
        };
        if !members.is_empty() {
            self.ledgers.hear_all().await;
        }
        for key in members {
            let settled = async {
                self.carry_on_handover(home, &key.id).await?;
                self.tell_family(home, &key).await?;
                if !self.is_replica(home, &key) {
                    self.carry_on_rotation(home, &key.id).await?;
                }
                Ok::<_, ServiceError>(())
            };
            if let Err(error) = settled.await {
                tracing::warn!(%error, %home, key = %key.id, "a multi-Region key is not settled");
            }
        }
    }
}

/// Whether a replica's material is in the order of its primary key's.
fn follows(replica: &Key, primary: &Key) -> bool {
    let ids = |key: &Key| key.versions.iter().map(|version| version.id).collect::<Vec<_>>();
    ids(replica).ends_with(&ids(primary))
}

/// Puts a replica's material into the order of its primary key's. What it has not, it waits for; what
/// the primary key has not, it keeps to decrypt with.
pub(crate) fn follow(replica: &mut Key, primary: &Key) {
    let there = primary.versions.iter().map(|there| match replica.version(&there.id) {
        Some(own) => Version { since: there.since, by: there.by, ..own.clone() },
        None => Version {
            material: match replica.is_imported() {
                true => None,
                false => there.material.as_ref().map(Material::duplicate),
            },
            ..there.clone()
        },
    });
    let there: Vec<Version> = there.collect();
    let settled = |own: &Version| there.iter().any(|version| version.id == own.id);
    let alone = |own: &&Version| !settled(own) && own.material.is_some();
    let mut versions: Vec<Version> = replica.versions.iter().filter(alone).cloned().collect();
    if replica.next.as_ref().is_some_and(settled) {
        replica.next = None;
    }
    versions.extend(there);
    replica.versions = versions;
}

/// Whether the day of a key's rotation has come. A key that is switched off, or waits for its deletion,
/// is rotated when it comes back.
fn is_due(key: &Key, now: i64) -> bool {
    let at = match key.of_service {
        true => Some(next_of_service(key)),
        false => key.schedule.map(|schedule| schedule.next),
    };
    at.is_some_and(|at| at <= now) && key.state(now) == KeyState::Enabled
}

fn due(region: &Region, now: i64) -> Vec<std::sync::Arc<Key>> {
    region.keys.values().filter(|key| is_due(key, now)).cloned().collect()
}

pub(crate) async fn list_key_rotations(
    kms: &Kms,
    call: Call<ops::ListKeyRotations>,
) -> Result<Answer<types::ListKeyRotationsResponse>, ServiceError> {
    let input = &call.input;
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| found)?;
    allowed.of_own_account(call.account()?)?;
    let key = allowed.found()?;
    if key.spec != Spec::SymmetricDefault
        || !matches!(key.origin, OriginType::AwsKms | OriginType::External)
    {
        return Err(errors::no_rotation(&allowed.arn()?));
    }
    let all = input.include_key_material == Some(IncludeKeyMaterial::AllKeyMaterial);
    let narrowed = [&*key.id, if all { "all" } else { "" }];
    let pager = kms.pager(&call, &narrowed, input.marker.as_deref(), input.limit, PAGE)?;
    let next = key.next.as_ref().filter(|next| {
        // Of a rotation on its way to all regions, nothing is told before it is there.
        key.is_imported() && next.material.is_some()
    });
    let shown = key.versions.iter().filter(|version| all || version.by.is_some());
    let shown = shown.chain(next.filter(|_| all)).enumerate();
    let shown = shown.map(|(at, version)| (format!("{at:06}"), version)).collect::<Vec<_>>();
    let page = pager.cut(shown.iter().map(|(at, version)| (at.as_str(), *version)))?;
    let page = page.map(|version| entry(kms, &allowed, key, version));
    Ok(allowed.permit.answer(types::ListKeyRotationsResponse {
        truncated: page.truncated(),
        rotations: Some(page.items),
        next_marker: page.marker,
    }))
}

/// A version as answers carry it.
fn entry(kms: &Kms, allowed: &Allowed, key: &Key, version: &Version) -> RotationsListEntry {
    let now = allowed.at;
    let is = |of: Option<&Version>| of.is_some_and(|other| other.id == version.id);
    let state = match () {
        () if is(key.next.as_ref()) => {
            match kms.is_everywhere(&allowed.home, key, &version.id, now) {
                true => KeyMaterialState::PendingRotation,
                false => KeyMaterialState::PendingMultiRegionImportAndRotation,
            }
        }
        () if is(key.current()) => KeyMaterialState::Current,
        () => KeyMaterialState::NonCurrent,
    };
    let import = version.import.as_ref().filter(|_| key.is_imported());
    let expires = import.and_then(|import| import.expires).filter(|at| *at > now);
    RotationsListEntry {
        key_id: Some(key.arn(&allowed.home)),
        key_material_id: Some(version.id.to_string()),
        key_material_description: import
            .and_then(|import| import.description.as_ref().map(ToString::to_string)),
        import_state: key.is_imported().then(|| import_state(version, now)),
        key_material_state: Some(state),
        expiration_model: import.filter(|_| version.material(now).is_some()).map(
            |_| match expires {
                Some(_) => ExpirationModelType::KeyMaterialExpires,
                None => ExpirationModelType::KeyMaterialDoesNotExpire,
            },
        ),
        valid_to: expires.map(Timestamp::from_seconds),
        rotation_date: version.by.map(|_| Timestamp::from_seconds(version.since)),
        rotation_type: version.by.map(|by| match by {
            RotationKind::Automatic => RotationType::Automatic,
            RotationKind::OnDemand => RotationType::OnDemand,
        }),
    }
}
