//! Keys: made, described, listed, switched on and off.

use crate::apart::apart;
use crate::import::material_id;
use crate::key_stores::in_store::{self, Wanted};
use crate::multi_region::there;
use crate::policy::KeyPolicy;
use crate::records::{Key, MultiRegion, Record, Version};
use crate::resolve::{self, By};
use crate::{Kms, errors, home, key_policies, specs, tags};
use ringfence_gateway::ids::uuid;
use ringfence_gateway::{Answer, Call, Regional, Resolved};
use ringfence_keyring::material::{Material, Spec};
use ringfence_keyring::random::Random;
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{
    self, CreateKeyRequest, CustomerMasterKeySpec, EncapsulationAlgorithmSpec, ExpirationModelType,
    KeyAgreementAlgorithmSpec, KeyManagerType, KeySpec, KeyState, KeyUsageType,
    MultiRegionConfiguration, MultiRegionKey, MultiRegionKeyType, OriginType,
};
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};
use smol_str::SmolStr;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Keys of a page where `Limit` is not given.
const PAGE: usize = 100;

pub(crate) async fn create_key(
    kms: &Kms,
    call: Call<ops::CreateKey>,
) -> Result<Answer<types::CreateKeyResponse>, ServiceError> {
    let input = &call.input;
    let home = home(&call)?;
    let asked = Asked::read(input)?;
    let given = input.tags.as_deref().unwrap_or_default();
    let bypass = input.bypass_policy_lockout_safety_check.unwrap_or_default();
    let any = || {
        let any = resolve::asking(Resolved::any(home.account), home.account, call.facts());
        asked.told(any)
    };
    let permit = call.allow(
        any()
            .key("kms:BypassPolicyLockoutSafetyCheck", bypass.to_string())
            .requesting_tags(tags::pairs(given)),
    )?;
    if !given.is_empty() {
        call.allow_action("kms:TagResource", any().requesting_tags(tags::pairs(given)))?;
    }
    let id = asked.draw_id(&call)?;
    let policy = match &input.policy {
        None => KeyPolicy::standard(home.account),
        Some(text) => {
            let policy = KeyPolicy::parse(text, &*call.shared().directory)?;
            let key = Resolved::new(crate::arn::key_arn(&home, &id), home.account, ());
            let tags = tags::with(&Default::default(), given, kms.quotas.tags)?;
            let key = asked.told(key.tagged(&tags, None));
            key_policies::check(kms, &call, &policy, key, bypass)?;
            policy
        }
    };
    let ledger = kms.own(&call)?;
    let (version, in_store) = match (&asked.store, &asked.origin) {
        (Some(wanted), _) => {
            let region = ledger.view(&permit);
            let making = Box::pin(in_store::make(kms, &call, &home, &region, &id, wanted));
            let (version, in_store) = making.await?;
            (Some(version), Some(in_store))
        }
        (None, OriginType::External) => (None, None),
        (None, _) => (Some(draw(asked.spec, &home, &id, &call).await?), None),
    };
    let key = Arc::new(Key {
        id: id.into(),
        created: call.now().seconds,
        spec: asked.spec,
        usage: asked.usage,
        origin: asked.origin,
        description: input.description.as_deref().unwrap_or_default().into(),
        enabled: true,
        deletion: None,
        policy,
        versions: version.into_iter().collect(),
        next: None,
        rotating: None,
        schedule: None,
        rotations_on_demand: 0,
        tags: Arc::new(tags::with(&Default::default(), given, kms.quotas.tags)?),
        multi_region: asked.multi_region.then(|| MultiRegion {
            primary: home.region.clone(),
            changes: 0,
            regions: BTreeSet::from([home.region.clone()]),
            handing_over: None,
        }),
        of_service: false,
        in_store,
        last_used: Arc::default(),
    });
    let written = ledger
        .write(&permit, |region, batch| {
            if let Some(own) = &key.in_store {
                in_store::check(region, own, &key.origin, key.created)?;
            }
            if region.keys.len() >= kms.quotas.keys {
                return Err(errors::over_quota("You have reached the limit for KMS keys."));
            }
            batch.put(Record::Key(key.clone()));
            Ok(())
        })
        .await;
    if let (Err(_), Some(own)) = (&written, &key.in_store) {
        in_store::unmake(kms, &home, &ledger.view(&permit), &key.id, own).await;
    }
    written?;
    let key_metadata = Some(kms.describe(&key, &home, key.created));
    Ok(permit.answer(types::CreateKeyResponse { key_metadata }))
}

/// A version of new material.
async fn draw(
    spec: Spec,
    home: &Regional,
    id: &str,
    call: &Call<ops::CreateKey>,
) -> Result<Version, ServiceError> {
    let material = generate(home.account, spec, &call.shared().random).await?;
    let id = material_id(home, id, &material);
    let since = call.now().seconds;
    Ok(Version { id, since, by: None, material: Some(material), import: None })
}

/// New material; that of RSA beside the calls, since its primes have to be found.
async fn generate(
    account: AccountId,
    spec: Spec,
    random: &Arc<dyn Random>,
) -> Result<Material, ServiceError> {
    let made = match spec {
        Spec::Rsa2048 | Spec::Rsa3072 | Spec::Rsa4096 => {
            let random = random.clone();
            apart(account, move || Material::generate(spec, &*random)).await?
        }
        _ => Material::generate(spec, &**random),
    };
    made.map_err(errors::failed)
}

/// What a new key is to be.
struct Asked {
    spec: Spec,
    usage: KeyUsageType,
    origin: OriginType,
    multi_region: bool,
    /// The custom key store that it is to be in.
    store: Option<Wanted>,
}

impl Asked {
    fn read(input: &CreateKeyRequest) -> Result<Self, ServiceError> {
        let old = input.customer_master_key_spec.as_ref();
        let name = match (&input.key_spec, old) {
            (Some(_), Some(_)) => {
                return Err(errors::validation(
                    "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. \
                     CustomerMasterKeySpec is deprecated.",
                ));
            }
            (Some(spec), None) => spec.as_str(),
            (None, Some(old)) => old.as_str(),
            (None, None) => Spec::SymmetricDefault.as_str(),
        };
        // `SM2` is offered in China alone.
        let spec = Spec::parse(name).ok_or_else(|| {
            errors::unsupported(format!("KeySpec {name} is not supported in this Region."))
        })?;
        let usages = specs::usages(spec);
        let usage = match &input.key_usage {
            Some(usage) => usage.clone(),
            None if spec == Spec::SymmetricDefault => KeyUsageType::EncryptDecrypt,
            None => {
                return Err(errors::validation(
                    "You must specify a KeyUsage value for all KMS keys except for symmetric \
                     encryption keys.",
                ));
            }
        };
        if !usages.contains(&usage) {
            return Err(errors::validation(format!(
                "KeyUsage {} is not compatible with KeySpec {}",
                usage.as_str(),
                spec.as_str()
            )));
        }
        let origin = input.origin.clone().unwrap_or(OriginType::AwsKms);
        let store = Wanted::read(input, spec)?;
        let multi_region = input.multi_region.unwrap_or_default();
        Ok(Self { spec, usage, origin, multi_region, store })
    }

    /// Sets the condition keys of it.
    fn told<T>(&self, resolved: Resolved<T>) -> Resolved<T> {
        let in_regions = self.multi_region.then_some("PRIMARY");
        resolve::kind(resolved, self.spec, &self.usage, &self.origin, in_regions)
    }

    /// A new key's id.
    fn draw_id(&self, call: &Call<ops::CreateKey>) -> Result<String, ServiceError> {
        let id = uuid(&*call.shared().random).map_err(errors::failed)?;
        Ok(match self.multi_region {
            true => format!("mrk-{}", id.replace('-', "")),
            false => id,
        })
    }
}

/// Names as the model has them.
fn names<'n, T: From<&'n str>>(all: impl Iterator<Item = &'n str>) -> Vec<T> {
    all.map(T::from).collect()
}

impl Kms {
    /// A key as answers carry it.
    pub(crate) fn describe(&self, key: &Key, home: &Regional, now: i64) -> types::KeyMetadata {
        let in_store = key.in_store.as_ref().map(|own| own.with_store(self, home));
        let state = match &in_store {
            None => key.state(now),
            Some(own) => own.state(key.state(now)),
        };
        let import =
            key.current().filter(|version| key.is_imported() && version.material(now).is_some());
        let expires = import.and_then(|version| version.import.as_ref()?.expires);
        let family = self.family(home, key);
        let of = |usage: KeyUsageType| key.usage == usage;
        types::KeyMetadata {
            aws_account_id: Some(home.account.to_string()),
            key_id: key.id.to_string(),
            arn: Some(key.arn(home)),
            creation_date: Some(Timestamp::from_seconds(key.created)),
            enabled: Some(state == KeyState::Enabled),
            description: Some(key.description.to_string()),
            key_usage: Some(key.usage.clone()),
            deletion_date: key
                .deletion
                .and_then(|deletion| deletion.at)
                .map(Timestamp::from_seconds),
            pending_deletion_window_in_days: key
                .deletion
                .filter(|_| state == KeyState::PendingReplicaDeletion)
                .map(|deletion| deletion.days),
            key_state: Some(state),
            valid_to: expires.map(Timestamp::from_seconds),
            expiration_model: import.map(|_| match expires {
                Some(_) => ExpirationModelType::KeyMaterialExpires,
                None => ExpirationModelType::KeyMaterialDoesNotExpire,
            }),
            origin: Some(key.origin.clone()),
            custom_key_store_id: in_store.as_ref().map(|own| own.id()),
            cloud_hsm_cluster_id: in_store.as_ref().and_then(|own| own.cluster()),
            xks_key_configuration: in_store.as_ref().and_then(|own| own.xks_key()),
            // A key in a custom key store has no material that it could change.
            current_key_material_id: (key.spec == Spec::SymmetricDefault && in_store.is_none())
                .then(|| key.current().map(|version| version.id.to_string()))
                .flatten(),
            key_manager: Some(match key.of_service {
                true => KeyManagerType::AWS,
                false => KeyManagerType::Customer,
            }),
            customer_master_key_spec: Some(CustomerMasterKeySpec::from(key.spec.as_str())),
            key_spec: Some(KeySpec::from(key.spec.as_str())),
            encryption_algorithms: of(KeyUsageType::EncryptDecrypt)
                .then(|| names(key.spec.encryption_algorithms().iter().map(|one| one.as_str()))),
            signing_algorithms: of(KeyUsageType::SignVerify)
                .then(|| names(key.spec.signing_algorithms().iter().map(|one| one.as_str()))),
            mac_algorithms: of(KeyUsageType::GenerateVerifyMac)
                .then(|| names(key.spec.mac_algorithms().iter().map(|one| one.as_str()))),
            key_agreement_algorithms: of(KeyUsageType::KeyAgreement)
                .then(|| vec![KeyAgreementAlgorithmSpec::Ecdh]),
            encapsulation_algorithms: of(KeyUsageType::EncapsulateDecapsulate)
                .then(|| vec![EncapsulationAlgorithmSpec::MlKem]),
            multi_region: Some(key.multi_region.is_some()),
            multi_region_configuration: family.map(|family| {
                let at = |region: &SmolStr| MultiRegionKey {
                    arn: Some(key.arn(&there(home, region))),
                    region: Some(region.to_string()),
                };
                MultiRegionConfiguration {
                    multi_region_key_type: Some(match family.primary == home.region {
                        true => MultiRegionKeyType::Primary,
                        false => MultiRegionKeyType::Replica,
                    }),
                    primary_key: Some(at(&family.primary)),
                    replica_keys: Some(family.replicas().map(|(region, _)| at(region)).collect()),
                }
            }),
        }
    }
}

pub(crate) async fn describe_key(
    kms: &Kms,
    call: Call<ops::DescribeKey>,
) -> Result<Answer<types::DescribeKeyResponse>, ServiceError> {
    kms.check_tokens(&call, call.input.grant_tokens.as_deref())?;
    kms.ensure_managed(&call, &call.input.key_id).await?;
    let allowed = kms.allow(&call, &call.input.key_id, By::IdOrAlias, |found| found)?;
    let key_metadata = Some(kms.describe(allowed.found()?, &allowed.home, allowed.at));
    Ok(allowed.permit.answer(types::DescribeKeyResponse { key_metadata }))
}

pub(crate) async fn list_keys(
    kms: &Kms,
    call: Call<ops::ListKeys>,
) -> Result<Answer<types::ListKeysResponse>, ServiceError> {
    let input = &call.input;
    let home = home(&call)?;
    let permit =
        call.allow(resolve::asking(Resolved::any(home.account), home.account, call.facts()))?;
    let pager = kms.pager(&call, &[], input.marker.as_deref(), input.limit, PAGE)?;
    let region = kms.view(&call, &permit)?;
    let now = call.now().seconds;
    let page = pager.cut(pager.of(&region.keys).filter(|(_, key)| !key.is_over(now)))?.map(|key| {
        types::KeyListEntry { key_id: Some(key.id.to_string()), key_arn: Some(key.arn(&home)) }
    });
    Ok(permit.answer(types::ListKeysResponse {
        truncated: page.truncated(),
        keys: Some(page.items),
        next_marker: page.marker,
    }))
}

/// Switches a key on or off.
async fn switch<O: ringfence_wire::TypedOperation>(
    kms: &Kms,
    call: &Call<O>,
    key_id: &str,
    enabled: bool,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = kms.allow(call, key_id, By::Id, |found| found)?;
    allowed.of_own_account(call.account()?)?;
    allowed
        .change(|_, key| {
            key.living(&allowed.home)?;
            if key.state(allowed.at) == KeyState::PendingImport {
                return Err(errors::in_state(&key.arn(&allowed.home), &KeyState::PendingImport));
            }
            let was = std::mem::replace(&mut key.enabled, enabled);
            Ok(was != enabled)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn enable_key(
    kms: &Kms,
    call: Call<ops::EnableKey>,
) -> Result<Answer<Empty>, ServiceError> {
    switch(kms, &call, &call.input.key_id, true).await
}

pub(crate) async fn disable_key(
    kms: &Kms,
    call: Call<ops::DisableKey>,
) -> Result<Answer<Empty>, ServiceError> {
    switch(kms, &call, &call.input.key_id, false).await
}

pub(crate) async fn update_key_description(
    kms: &Kms,
    call: Call<ops::UpdateKeyDescription>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| found)?;
    allowed.of_own_account(call.account()?)?;
    allowed
        .change(|_, key| {
            key.living(&allowed.home)?;
            key.description = input.description.as_str().into();
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}
