//! SAML providers: identity providers whose assertions roles may trust.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_saml.html>
//!
//! Refusals are in the words of
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_saml.html>

use crate::entity::Entity;
use crate::oidc_providers::{allow_provider, tagged};
use crate::records::{Record, SamlPrivateKey, SamlProvider};
use crate::saml_metadata::Metadata;
use crate::state::Account;
use crate::tags::{self, pairs};
use crate::{Iam, arn, errors};
use ringfence_gateway::{Answer, Call, Resolved, State, Tags};
use ringfence_keyring::{DecryptingKey, SecretString};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, AssertionEncryptionModeType as Mode};
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

/// Private keys of one provider.
const PRIVATE_KEYS: usize = 2;

/// Seconds of a hundred years, after which AWS lets a provider end whose metadata does not say.
const CENTURY: i64 = 36_525 * 86_400;

fn check_metadata(text: &str) -> Result<(), ServiceError> {
    match Metadata::parse(text) {
        Ok(_) => Ok(()),
        Err(why) => {
            tracing::debug!(%why, "metadata was refused");
            Err(errors::invalid_input("Could not parse metadata."))
        }
    }
}

/// Whether assertions must be encrypted.
fn must_encrypt(mode: Option<&Mode>) -> Result<Option<bool>, ServiceError> {
    match mode {
        None => Ok(None),
        Some(Mode::Required) => Ok(Some(true)),
        Some(Mode::Allowed) => Ok(Some(false)),
        Some(_) => Err(errors::invalid_input("Invalid assertion encryption mode.")),
    }
}

fn check_mode(provider: &SamlProvider) -> Result<(), ServiceError> {
    if provider.encrypted && provider.private_keys.is_empty() {
        return Err(errors::invalid_input(
            "Unable to set assertion encryption mode to Required because no private key is \
             provided.",
        ));
    }
    Ok(())
}

fn private_key(iam: &Iam, pem: &str, now: i64) -> Result<SamlPrivateKey, ServiceError> {
    let key = SecretString::new(pem.to_owned());
    if DecryptingKey::from_pem(&key).is_err() {
        return Err(errors::invalid_input("Invalid private key."));
    }
    Ok(SamlPrivateKey { id: iam.provider_id("SAMLPK")?, created: now, key: Arc::new(key) })
}

/// When the provider ends.
fn valid_until(provider: &SamlProvider) -> Timestamp {
    let said = Metadata::parse(&provider.metadata).ok().and_then(|metadata| metadata.valid_until);
    Timestamp::from_seconds(said.unwrap_or(provider.created.saturating_add(CENTURY)))
}

pub(crate) async fn create_saml_provider(
    iam: &Iam,
    call: Call<ops::CreateSAMLProvider>,
) -> Result<Answer<types::CreateSAMLProviderResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let given = input.tags.as_deref().unwrap_or_default();
    let target = || {
        Resolved::new(arn::of(SamlProvider::KIND, id, "/", &input.name), id, ())
            .requesting_tags(pairs(given))
    };
    let permit = call.allow(target())?;
    if !given.is_empty() {
        call.allow_action("iam:TagSAMLProvider", target())?;
    }
    check_metadata(&input.saml_metadata_document)?;
    let now = call.now().seconds;
    let key = input.add_private_key.as_deref().map(|pem| private_key(iam, pem, now)).transpose()?;
    let provider = Arc::new(SamlProvider {
        name: input.name.as_str().into(),
        id: iam.provider_id("SAMLSP")?,
        created: now,
        metadata: input.saml_metadata_document.as_str().into(),
        encrypted: must_encrypt(input.assertion_encryption_mode.as_ref())?.unwrap_or(false),
        private_keys: key.into_iter().collect(),
        tags: tagged(&Tags::new(), given, iam.quotas.tags)?,
    });
    check_mode(&provider)?;
    let limit = iam.quotas.saml_providers;
    ledger
        .write(&permit, |account, batch| {
            if SamlProvider::find(account, &provider.name).is_some() {
                return Err(errors::saml_provider_exists(&provider.name));
            }
            if account.saml_providers.len() >= limit {
                return Err(errors::over_quota("SAMLProvidersPerAccount", limit));
            }
            batch.put(Record::SamlProvider(provider.clone()));
            Ok(())
        })
        .await?;
    Ok(permit.answer(types::CreateSAMLProviderResponse {
        saml_provider_arn: Some(provider.arn(id)),
        tags: tags::listed_if_any(&provider.tags),
    }))
}

pub(crate) async fn get_saml_provider(
    iam: &Iam,
    call: Call<ops::GetSAMLProvider>,
) -> Result<Answer<types::GetSAMLProviderResponse>, ServiceError> {
    let arn = &call.input.saml_provider_arn;
    let allowed = allow_provider::<SamlProvider, _>(iam, &call, arn, |resolved| resolved)?;
    let provider = allowed.found()?;
    let key = |one: &SamlPrivateKey| types::SAMLPrivateKey {
        key_id: Some(one.id.to_string()),
        timestamp: Some(Timestamp::from_seconds(one.created)),
    };
    Ok(allowed.permit.answer(types::GetSAMLProviderResponse {
        saml_provider_uuid: Some(provider.id.to_string()),
        saml_metadata_document: Some(provider.metadata.to_string()),
        create_date: Some(Timestamp::from_seconds(provider.created)),
        valid_until: Some(valid_until(provider)),
        tags: Some(tags::listed(&provider.tags)),
        assertion_encryption_mode: Some(match provider.encrypted {
            true => Mode::Required,
            false => Mode::Allowed,
        }),
        private_key_list: Some(provider.private_keys.iter().map(key).collect()),
    }))
}

pub(crate) async fn list_saml_providers(
    iam: &Iam,
    call: Call<ops::ListSAMLProviders>,
) -> Result<Answer<types::ListSAMLProvidersResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::new(arn::of(SamlProvider::KIND, id, "/", "*"), id, ()))?;
    let account = ledger.view(&permit);
    let entry = |one: &Arc<SamlProvider>| types::SAMLProviderListEntry {
        arn: Some(one.arn(id)),
        valid_until: Some(valid_until(one)),
        create_date: Some(Timestamp::from_seconds(one.created)),
    };
    Ok(permit.answer(types::ListSAMLProvidersResponse {
        saml_provider_list: Some(account.saml_providers.values().map(entry).collect()),
    }))
}

pub(crate) async fn update_saml_provider(
    iam: &Iam,
    call: Call<ops::UpdateSAMLProvider>,
) -> Result<Answer<types::UpdateSAMLProviderResponse>, ServiceError> {
    let input = &call.input;
    let arn = &input.saml_provider_arn;
    let allowed = allow_provider::<SamlProvider, _>(iam, &call, arn, |resolved| resolved)?;
    allowed.found()?;
    let refused = |message: &str| Err(errors::invalid_input(message));
    let mode = must_encrypt(input.assertion_encryption_mode.as_ref())?;
    let (added, removed) = (&input.add_private_key, &input.remove_private_key);
    if input.saml_metadata_document.is_none()
        && mode.is_none()
        && added.is_none()
        && removed.is_none()
    {
        return refused(
            "Unable to update identity provider. No updates are defined for metadata or \
             encryption assertion.",
        );
    }
    if added.is_some() && removed.is_some() {
        return refused(
            "Unable to add and remove private keys in the same request. Set a value for only one \
             of the two parameters.",
        );
    }
    if let Some(metadata) = &input.saml_metadata_document {
        check_metadata(metadata)?;
    }
    let now = call.now().seconds;
    let added = added.as_deref().map(|pem| private_key(iam, pem, now)).transpose()?;
    allowed
        .change(|_, provider| {
            if let Some(metadata) = &input.saml_metadata_document {
                provider.metadata = metadata.as_str().into();
            }
            provider.encrypted = mode.unwrap_or(provider.encrypted);
            let mut keys = std::mem::take(&mut provider.private_keys).into_vec();
            if let Some(key) = &added {
                if keys.len() >= PRIVATE_KEYS {
                    return Err(errors::too_many_private_keys(PRIVATE_KEYS));
                }
                keys.push(key.clone());
            }
            if let Some(id) = removed {
                let Some(at) = keys.iter().position(|key| *key.id == **id) else {
                    return Err(errors::invalid_input(
                        "Failed to remove private key because the Key ID does not match a private \
                         key.",
                    ));
                };
                keys.remove(at);
                if keys.is_empty() && provider.encrypted {
                    return Err(errors::invalid_input("Failed to remove private key."));
                }
            }
            provider.private_keys = keys.into();
            check_mode(provider)?;
            Ok(true)
        })
        .await?;
    Ok(allowed
        .permit
        .answer(types::UpdateSAMLProviderResponse { saml_provider_arn: Some(arn.clone()) }))
}

pub(crate) async fn delete_saml_provider(
    iam: &Iam,
    call: Call<ops::DeleteSAMLProvider>,
) -> Result<Answer<Empty>, ServiceError> {
    let arn = &call.input.saml_provider_arn;
    let allowed = allow_provider::<SamlProvider, _>(iam, &call, arn, |resolved| resolved)?;
    allowed.found()?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let provider = allowed.now(account)?;
            batch.delete(Account::key(&Record::SamlProvider(provider.clone())));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}
