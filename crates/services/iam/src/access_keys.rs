//! Access keys of users and of root.

use crate::Iam;
use crate::entity::resolve;
use crate::errors;
use crate::owner::{Owner, status};
use crate::records::{AccessKey, KeyId, User};
use crate::users::forget_use;
use ringfence_gateway::ids::{IdKind, access_key_id, account_of, secret_access_key};
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_keyring::SecretString;
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, StatusType};
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

impl Iam {
    /// Draws a new, active access key.
    ///
    /// # Errors
    /// `ServiceFailure` when the system has no random bytes.
    pub(crate) fn draw_key(&self, id: AccountId, created: i64) -> Result<AccessKey, ServiceError> {
        let key = access_key_id(IdKind::AccessKey, id, &*self.random).map_err(errors::failed)?;
        let secret = secret_access_key(&*self.random).map_err(errors::failed)?;
        Ok(AccessKey {
            id: KeyId::new(&key).ok_or_else(|| errors::failed("an access key id of odd length"))?,
            secret: Arc::new(secret),
            active: true,
            created,
        })
    }
}

pub(crate) async fn create_access_key(
    iam: &Iam,
    call: Call<ops::CreateAccessKey>,
) -> Result<Answer<types::CreateAccessKeyResponse>, ServiceError> {
    let owner = Owner::allow(iam, &call, call.input.user_name.as_deref())?;
    let created = call.now().seconds;
    let mut key = iam.draw_key(owner.id, created)?;
    owner
        .change(|account, credentials, _| {
            // An id is drawn from 39 bits in an account: once in very many times it is taken.
            while account.has_key(&key.id) {
                key = iam.draw_key(owner.id, created)?;
            }
            let mut keys = credentials.keys.to_vec();
            if keys.len() >= iam.quotas.access_keys {
                return Err(errors::over_quota("AccessKeysPerUser", iam.quotas.access_keys));
            }
            keys.push(key.clone());
            credentials.keys = keys.into();
            Ok(true)
        })
        .await?;
    let access_key = types::AccessKey {
        user_name: owner.name_or_account(),
        access_key_id: key.id.as_str().to_owned(),
        status: StatusType::Active,
        // The one time that the secret is told.
        secret_access_key: SecretString::expose(&key.secret).to_owned(),
        create_date: Some(Timestamp::from_seconds(key.created)),
    };
    Ok(owner.permit.answer(types::CreateAccessKeyResponse { access_key }))
}

pub(crate) async fn update_access_key(
    iam: &Iam,
    call: Call<ops::UpdateAccessKey>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, input.user_name.as_deref())?;
    owner.switch::<AccessKey>(&input.access_key_id, &input.status).await?;
    Ok(owner.permit.answer(Empty::default()))
}

pub(crate) async fn delete_access_key(
    iam: &Iam,
    call: Call<ops::DeleteAccessKey>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, input.user_name.as_deref())?;
    owner
        .discard(&input.access_key_id, |gone: &AccessKey, account, batch| {
            forget_use(account, gone.id.as_str(), batch);
        })
        .await?;
    Ok(owner.permit.answer(Empty::default()))
}

pub(crate) async fn list_access_keys(
    iam: &Iam,
    call: Call<ops::ListAccessKeys>,
) -> Result<Answer<types::ListAccessKeysResponse>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, input.user_name.as_deref())?;
    let narrowed = owner.user.as_deref().unwrap_or_default();
    let pager = iam.pager(&call, &[narrowed], input.marker.as_deref(), input.max_items)?;
    let credentials = owner.credentials(&owner.ledger.view(&owner.permit))?;
    let mut keys: Vec<&AccessKey> = credentials.keys.iter().collect();
    keys.sort_by_key(|key| key.id);
    let page = pager.cut(keys.into_iter().map(|key| (key.id.as_str(), key)))?.map(|key| {
        types::AccessKeyMetadata {
            user_name: owner.name(),
            access_key_id: Some(key.id.as_str().to_owned()),
            status: Some(status(key.active)),
            create_date: Some(Timestamp::from_seconds(key.created)),
        }
    });
    Ok(owner.permit.answer(types::ListAccessKeysResponse {
        is_truncated: page.truncated(),
        access_key_metadata: page.items,
        marker: page.marker,
    }))
}

pub(crate) async fn get_access_key_last_used(
    iam: &Iam,
    call: Call<ops::GetAccessKeyLastUsed>,
) -> Result<Answer<types::GetAccessKeyLastUsedResponse>, ServiceError> {
    let text = &call.input.access_key_id;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let nobodys = || errors::unknown_key_last_used(&call.caller().identity.arn(), text);
    // A key of nobody is refused like one that the caller may not ask about.
    let key = KeyId::new(text)
        .filter(|_| account_of(text) == Some(id))
        .filter(|key| ledger.for_deciding().key_owner(key).is_some())
        .ok_or_else(nobodys)?;
    let resolved = ledger.resolve(|account| match account.key_owner(&key).flatten() {
        Some(user) => resolve::<ops::GetAccessKeyLastUsed, User>(account, id, &user.name),
        None => Resolved::new(id.root_arn(), id, None),
    });
    // One text for both, or the refusal would tell whose key it is.
    let permit = call.allow(resolved).map_err(|_| nobodys())?;
    let used = iam.last_used.of(&ledger.view(&permit), text);
    let none = || "N/A".to_owned();
    Ok(permit.answer(types::GetAccessKeyLastUsedResponse {
        user_name: permit.as_ref().map(|user| user.name.to_string()),
        access_key_last_used: Some(types::AccessKeyLastUsed {
            last_used_date: used.as_ref().map(|used| Timestamp::from_seconds(used.at)),
            service_name: used.as_ref().map_or_else(none, |used| used.service.to_string()),
            region: used.as_ref().map_or_else(none, |used| used.region.to_string()),
        }),
    }))
}
