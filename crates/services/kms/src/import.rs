//! Key material from outside: the means to wrap it, its import, and its end.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys.html>
//!
//! Nothing is kept between the two calls of an import: the import token holds the private half of the
//! wrapping key, sealed for the key that it was made for.

use crate::apart::apart;
use crate::records::{Import, Key, MaterialId, Version};
use crate::resolve::{Allowed, By};
use crate::state::Region;
use crate::{Kms, errors};
use bytes::Bytes;
use ringfence_gateway::{Answer, Call, Regional};
use ringfence_keyring::material::{Material, MaterialError, Spec, WrappingAlgorithm};
use ringfence_keyring::sealed_only;
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types::{self, ExpirationModelType, ImportType};
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use serde::{Deserialize, Serialize};

const DAY: i64 = 24 * 60 * 60;

/// How long the means to import are good.
const TOKEN_GOOD: i64 = DAY;

/// The longest that material may be good for.
const LONGEST: i64 = 365 * DAY;

/// What an import token holds.
#[derive(Serialize, Deserialize)]
struct Token {
    until: i64,
    algorithm: String,
    #[serde(with = "sealed_only")]
    wrapping: Material,
}

/// What a token is bound to.
fn bound(home: &Regional, key: &str) -> [Vec<u8>; 3] {
    [b"import-token".to_vec(), home.to_string().into_bytes(), key.as_bytes().to_vec()]
}

/// The id of material as a key's.
pub(crate) fn material_id(home: &Regional, key: &str, material: &Material) -> MaterialId {
    let account = home.account.to_string();
    MaterialId(material.fingerprint(&[account.as_bytes(), key.as_bytes()]))
}

/// The key, where it is one that takes imports, and in a state that does.
fn importable<'a, O: TypedOperation>(
    call: &Call<O>,
    allowed: &'a Allowed,
) -> Result<&'a Key, ServiceError> {
    allowed.of_own_account(call.account()?)?;
    let key = allowed.found()?;
    if !key.is_imported() {
        return Err(errors::wrong_origin(&allowed.arn()?, key.origin.as_str()));
    }
    key.living(&allowed.home)?;
    Ok(key)
}

pub(crate) async fn get_parameters_for_import(
    kms: &Kms,
    call: Call<ops::GetParametersForImport>,
) -> Result<Answer<types::GetParametersForImportResponse>, ServiceError> {
    let input = &call.input;
    let algorithm = input.wrapping_algorithm.as_str();
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| {
        found
            .key("kms:WrappingAlgorithm", algorithm)
            .key("kms:WrappingKeySpec", input.wrapping_key_spec.as_str())
    })?;
    let key = importable(&call, &allowed)?;
    // `RSAES_PKCS1_V1_5` ended in October 2023; SM2 is offered in China alone.
    let known = WrappingAlgorithm::parse(algorithm);
    let wrapping = Spec::parse(input.wrapping_key_spec.as_str());
    let fits = known.zip(wrapping).filter(|(known, wrapping)| known.wraps(key.spec, *wrapping));
    let Some((_, wrapping)) = fits else {
        return Err(errors::unsupported(format!(
            "Wrapping algorithm {algorithm} with wrapping key spec {} cannot be used for key \
             material of key spec {}.",
            input.wrapping_key_spec.as_str(),
            key.spec.as_str()
        )));
    };
    let random = call.shared().random.clone();
    let wrapping = apart(call.account()?, move || Material::generate(wrapping, &*random)).await?;
    let wrapping = wrapping.map_err(errors::failed)?;
    let public = wrapping.public_key().map_err(errors::failed)?;
    let public = Bytes::copy_from_slice(public.as_der());
    let until = call.now().seconds + TOKEN_GOOD;
    let token = Token { until, algorithm: algorithm.to_owned(), wrapping };
    Ok(allowed.permit.answer(types::GetParametersForImportResponse {
        key_id: Some(allowed.arn()?),
        import_token: Some(kms.seal_import(&allowed.home, &key.id, &token)?.into()),
        public_key: Some(public),
        parameters_valid_to: Some(Timestamp::from_seconds(until)),
    }))
}

impl Kms {
    fn seal_import(
        &self,
        home: &Regional,
        key: &str,
        token: &Token,
    ) -> Result<Vec<u8>, ServiceError> {
        let bytes = ringfence_keyring::Zeroizing::new(
            rmp_serde::to_vec_named(token).map_err(errors::failed)?,
        );
        let bound = bound(home, key);
        let bound: Vec<&[u8]> = bound.iter().map(Vec::as_slice).collect();
        self.imports.seal(&bound, &bytes).map_err(errors::failed)
    }

    /// Unwraps what a request imports.
    async fn unwrap(
        &self,
        home: &Regional,
        key: &Key,
        input: &types::ImportKeyMaterialRequest,
        now: i64,
    ) -> Result<Material, ServiceError> {
        let bound = bound(home, &key.id);
        let bound: Vec<&[u8]> = bound.iter().map(Vec::as_slice).collect();
        let opened = self.imports.open(&bound, &input.import_token);
        let opened = opened.map_err(|_| errors::bad_import_token())?;
        let token: Token =
            rmp_serde::from_slice(&opened).map_err(|_| errors::bad_import_token())?;
        if token.until <= now {
            return Err(errors::expired_import_token());
        }
        let algorithm = WrappingAlgorithm::parse(&token.algorithm);
        let algorithm = algorithm.ok_or_else(errors::bad_import_token)?;
        let (spec, wrapped) = (key.spec, input.encrypted_key_material.clone());
        // Parsing a foreign RSA key checks its primes.
        let material = apart(home.account, move || {
            let bytes = token.wrapping.unwrap(algorithm, &wrapped)?;
            Material::import(spec, &bytes)
        });
        material.await?.map_err(|error| match error {
            MaterialError::Ciphertext => errors::bad_ciphertext(),
            MaterialError::Rejected(why) => errors::wrong_material(why),
            error => errors::failed(error),
        })
    }
}

/// When the material is to expire.
fn expiry(input: &types::ImportKeyMaterialRequest, now: i64) -> Result<Option<i64>, ServiceError> {
    match (&input.expiration_model, input.valid_to) {
        // [rec]
        (None | Some(ExpirationModelType::KeyMaterialExpires), None) => Err(errors::validation(
            "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES",
        )),
        (Some(ExpirationModelType::KeyMaterialDoesNotExpire), None) => Ok(None),
        (None | Some(ExpirationModelType::KeyMaterialExpires), Some(at)) => {
            if at.seconds <= now {
                return Err(errors::validation("ValidTo must be in the future"));
            }
            if at.seconds > now + LONGEST {
                return Err(errors::validation("ValidTo must be within 365 days"));
            }
            Ok(Some(at.seconds))
        }
        (Some(_), _) => Err(errors::validation(
            "A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE",
        )),
    }
}

/// Material that has come in.
struct Incoming {
    version: Version,
    /// The request says that it has never been this key's.
    new: bool,
}

pub(crate) async fn import_key_material(
    kms: &Kms,
    call: Call<ops::ImportKeyMaterial>,
) -> Result<Answer<types::ImportKeyMaterialResponse>, ServiceError> {
    let input = &call.input;
    let now = call.now().seconds;
    let model = input.expiration_model.clone().unwrap_or(ExpirationModelType::KeyMaterialExpires);
    let valid_to = input.valid_to.map(|at| at.seconds.to_string());
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| {
        found.key("kms:ExpirationModel", model.as_str()).key_if("kms:ValidTo", valid_to)
    })?;
    let key = importable(&call, &allowed)?;
    let symmetric = key.spec == Spec::SymmetricDefault;
    let only = input.import_type.is_some()
        || input.key_material_description.is_some()
        || input.key_material_id.is_some();
    if !symmetric && only {
        return Err(errors::validation(
            "ImportType, KeyMaterialDescription and KeyMaterialId are only valid for symmetric \
             encryption keys.",
        ));
    }
    let new = match &input.import_type {
        None => key.versions.is_empty() && !kms.is_replica(&allowed.home, key),
        Some(ImportType::NewKeyMaterial) => true,
        Some(_) => false,
    };
    if new && input.key_material_id.is_some() {
        return Err(errors::validation(
            "KeyMaterialId cannot be given when ImportType is NEW_KEY_MATERIAL.",
        ));
    }
    let expires = expiry(input, now)?;
    let material = kms.unwrap(&allowed.home, key, input, now).await?;
    let id = material_id(&allowed.home, &key.id, &material);
    if input.key_material_id.as_deref().is_some_and(|named| named != id.to_string()) {
        return Err(errors::wrong_material("it is not the material of this KeyMaterialId"));
    }
    let description = input.key_material_description.as_deref().map(Into::into);
    let import = Some(Import { expires, description });
    let incoming = Incoming {
        version: Version { id, since: now, by: None, material: Some(material), import },
        new,
    };
    // What the primary key has, its replicas may have too.
    let elsewhere =
        kms.primary_of(&allowed.home, key).filter(|_| kms.is_replica(&allowed.home, key));
    allowed
        .change(|_, key| {
            key.living(&allowed.home)?;
            take_in(key, &incoming, elsewhere.as_deref(), &allowed.home)?;
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(types::ImportKeyMaterialResponse {
        key_id: Some(allowed.arn()?),
        key_material_id: symmetric.then(|| id.to_string()),
    }))
}

/// Puts material where it belongs: into the version that it was before, or as new material.
fn take_in(
    key: &mut Key,
    incoming: &Incoming,
    primary: Option<&Key>,
    home: &Regional,
) -> Result<(), ServiceError> {
    let Incoming { version, new } = incoming;
    let known = key.version(&version.id).is_some();
    if known && !new {
        if let Some(there) = key.version_mut(&version.id) {
            let description = version.import.as_ref().and_then(|import| import.description.clone());
            let before = there.import.take().and_then(|import| import.description);
            there.material = version.material.as_ref().map(Material::duplicate);
            there.import = Some(Import {
                expires: version.import.as_ref().and_then(|import| import.expires),
                description: description.or(before),
            });
        }
        return Ok(());
    }
    if let Some(primary) = primary {
        // New material comes to the primary key first.
        let of_primary = !new && primary.version(&version.id).is_some();
        if !of_primary {
            return Err(errors::wrong_material("it is not material of the primary key"));
        }
        key.next = Some(version.clone());
        return Ok(());
    }
    if key.versions.is_empty() {
        if !new {
            return Err(errors::wrong_material("no key material was imported before"));
        }
        key.versions.push(version.clone());
        return Ok(());
    }
    if known || !new || key.spec != Spec::SymmetricDefault {
        return Err(errors::wrong_material(if known {
            "it is already material of this key"
        } else {
            "it is not the material that was imported before"
        }));
    }
    if let Some(next) = &key.next {
        return Err(errors::another_is_pending(&key.arn(home), version.id, next.id));
    }
    key.next = Some(version.clone());
    Ok(())
}

pub(crate) async fn delete_imported_key_material(
    kms: &Kms,
    call: Call<ops::DeleteImportedKeyMaterial>,
) -> Result<Answer<types::DeleteImportedKeyMaterialResponse>, ServiceError> {
    let input = &call.input;
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| found)?;
    allowed.of_own_account(call.account()?)?;
    let key = allowed.found()?;
    if !key.is_imported() {
        return Err(errors::wrong_origin(&allowed.arn()?, key.origin.as_str()));
    }
    let id = match &input.key_material_id {
        None => key.current().map(|version| version.id),
        Some(named) => {
            let mut all = key.versions.iter().chain(&key.next);
            let found = all.find(|version| version.id.to_string() == *named);
            Some(found.ok_or_else(|| errors::no_such_material(named))?.id)
        }
    };
    let Some(id) = id else {
        // Nothing was imported yet: nothing is to be done.
        return Ok(allowed.permit.answer(types::DeleteImportedKeyMaterialResponse {
            key_id: Some(allowed.arn()?),
            key_material_id: None,
        }));
    };
    let was_next = key.next.as_ref().is_some_and(|next| next.id == id);
    allowed
        .change(|_, key| {
            forget(key, &id);
            Ok(true)
        })
        .await?;
    // Pending material of a primary key goes from its replicas too.
    if was_next && !kms.is_replica(&allowed.home, key) {
        kms.drop_next_of_replicas(&allowed.home, key, &id).await?;
    }
    Ok(allowed.permit.answer(types::DeleteImportedKeyMaterialResponse {
        key_id: Some(allowed.arn()?),
        key_material_id: Some(id.to_string()),
    }))
}

/// Takes material away. What never encrypted is no part of the key any longer; what did, is still known
/// by its id.
pub(crate) fn forget(key: &mut Key, id: &MaterialId) {
    if key.next.as_ref().is_some_and(|next| next.id == *id) {
        key.next = None;
    } else if let Some(version) = key.version_mut(id) {
        version.material = None;
        if let Some(import) = &mut version.import {
            import.expires = None;
        }
    }
}

/// What a region's upkeep has to take away: material that has expired.
pub(crate) fn expired(region: &Region, now: i64) -> Vec<(std::sync::Arc<Key>, MaterialId)> {
    let imported = region.keys.values().filter(|key| key.is_imported());
    imported
        .flat_map(|key| {
            let versions = key.versions.iter().chain(&key.next);
            let over = versions.filter(|one| one.material.is_some() && one.has_expired(now));
            over.map(|version| (key.clone(), version.id))
        })
        .collect()
}

/// Whether a version's material is there, as `ListKeyRotations` tells it.
pub(crate) fn import_state(version: &Version, now: i64) -> types::ImportState {
    match version.material(now) {
        Some(_) => types::ImportState::Imported,
        None => types::ImportState::PendingImport,
    }
}
