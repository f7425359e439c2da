//! AWS managed keys: one for a service in each region of an account, under `alias/aws/SERVICE`, made
//! when the service first asks for it.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#aws-managed-key>

use crate::import::material_id;
use crate::policy::KeyPolicy;
use crate::records::{Alias, Key, Record, Version};
use crate::{Kms, errors, home};
use ringfence_gateway::Call;
use ringfence_gateway::ids::uuid;
use ringfence_keyring::material::{Material, Spec};
use ringfence_model_kms::types::{KeyUsageType, OriginType};
use ringfence_wire::{ServiceError, TypedOperation};
use std::sync::Arc;

impl Kms {
    /// Makes the managed key that a service asks for by its alias, where it is not there. Nobody needs
    /// a permission for that; whether the caller may use it is decided after.
    pub(crate) async fn ensure_managed<O: TypedOperation>(
        &self,
        call: &Call<O>,
        text: &str,
    ) -> Result<(), ServiceError> {
        let Some(via) = call.facts().via else { return Ok(()) };
        if text.strip_prefix("alias/aws/") != Some(via) {
            return Ok(());
        }
        let home = home(call)?;
        let ledger = self.ledgers.get_or_make(&home).map_err(errors::failed)?;
        if ledger.for_deciding().aliases.contains_key(text) {
            return Ok(());
        }
        let (now, random) = (call.now().seconds, &*call.shared().random);
        let id = uuid(random).map_err(errors::failed)?;
        let spec = Spec::SymmetricDefault;
        let material = Material::generate(spec, random).map_err(errors::failed)?;
        let version = Version {
            id: material_id(&home, &id, &material),
            since: now,
            by: None,
            material: Some(material),
            import: None,
        };
        let key = Arc::new(Key {
            id: id.as_str().into(),
            created: now,
            spec,
            usage: KeyUsageType::EncryptDecrypt,
            origin: OriginType::AwsKms,
            description: format!("Default key that protects what {via} keeps").into(),
            enabled: true,
            deletion: None,
            policy: KeyPolicy::managed(home.account, via, &home.region),
            versions: vec![version],
            next: None,
            rotating: None,
            schedule: None,
            rotations_on_demand: 0,
            tags: Arc::default(),
            multi_region: None,
            of_service: true,
            last_used: Arc::default(),
        });
        ledger
            .write_unasked(|region, batch| {
                // Somebody else may have been quicker.
                if region.aliases.contains_key(text) {
                    return Ok(());
                }
                batch.put(Record::Key(key.clone()));
                batch.put(Record::Alias(Arc::new(Alias {
                    name: text.into(),
                    target: Some(key.id.clone()),
                    created: now,
                    updated: now,
                })));
                Ok(())
            })
            .await
    }
}
