//! SSH public keys of users.

use crate::Iam;
use crate::errors;
use crate::key_records::SshKey;
use crate::listed::position;
use crate::owner::{Owner, status};
use crate::records::KeyId;
use crate::ssh::{Form, Key, NoKey};
use ringfence_gateway::ids::{IdKind, access_key_id};
use ringfence_gateway::{Answer, Call};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, EncodingType};
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};

pub(crate) async fn upload_ssh_public_key(
    iam: &Iam,
    call: Call<ops::UploadSSHPublicKey>,
) -> Result<Answer<types::UploadSSHPublicKeyResponse>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, Some(&input.user_name))?;
    let body = input.ssh_public_key_body.trim();
    let key = Key::read(body).map_err(|why| match why {
        NoKey::Encoding => errors::unknown_key_encoding(),
        NoKey::Invalid => errors::invalid_public_key(),
    })?;
    let mut new = SshKey {
        id: iam.ssh_key_id(owner.id)?,
        body: body.into(),
        active: true,
        uploaded: call.now().seconds,
    };
    let limit = iam.quotas.ssh_public_keys;
    owner
        .change(|account, credentials, _| {
            // As with access keys, an id may be taken once in very many times.
            while account.ssh_key_owner(&new.id).is_some() {
                new.id = iam.ssh_key_id(owner.id)?;
            }
            let mut keys = credentials.ssh_keys.to_vec();
            if keys.iter().any(|old| Key::read(&old.body).is_ok_and(|old| old.is(&key))) {
                return Err(errors::duplicate_ssh_key());
            }
            if keys.len() >= limit {
                return Err(errors::over_quota("SSHPublicKeysPerUser", limit));
            }
            keys.push(new.clone());
            credentials.ssh_keys = keys.into();
            Ok(true)
        })
        .await?;
    let shown = describe(&owner, &new, &key, body.to_owned())?;
    Ok(owner.permit.answer(types::UploadSSHPublicKeyResponse { ssh_public_key: Some(shown) }))
}

fn describe(
    owner: &Owner,
    stored: &SshKey,
    key: &Key,
    body: String,
) -> Result<types::SSHPublicKey, ServiceError> {
    Ok(types::SSHPublicKey {
        user_name: owner.name().unwrap_or_default(),
        ssh_public_key_id: stored.id.as_str().to_owned(),
        fingerprint: key.fingerprint().ok_or_else(unreadable)?,
        ssh_public_key_body: body,
        status: status(stored.active),
        upload_date: Some(Timestamp::from_seconds(stored.uploaded)),
    })
}

fn unreadable() -> ServiceError {
    errors::failed("a stored SSH public key does not read")
}

pub(crate) async fn get_ssh_public_key(
    iam: &Iam,
    call: Call<ops::GetSSHPublicKey>,
) -> Result<Answer<types::GetSSHPublicKeyResponse>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, Some(&input.user_name))?;
    let form = match input.encoding {
        EncodingType::SSH => Form::Ssh,
        EncodingType::PEM => Form::Pem,
        _ => return Err(errors::unknown_key_encoding()),
    };
    let credentials = owner.credentials(&owner.ledger.view(&owner.permit))?;
    let stored = &credentials.ssh_keys[position(&credentials.ssh_keys, &input.ssh_public_key_id)?];
    let key = Key::read(&stored.body).map_err(|_| unreadable())?;
    let body = if key.form == form { Some(stored.body.to_string()) } else { key.to(form) };
    let shown = describe(&owner, stored, &key, body.ok_or_else(unreadable)?)?;
    Ok(owner.permit.answer(types::GetSSHPublicKeyResponse { ssh_public_key: Some(shown) }))
}

pub(crate) async fn list_ssh_public_keys(
    iam: &Iam,
    call: Call<ops::ListSSHPublicKeys>,
) -> Result<Answer<types::ListSSHPublicKeysResponse>, ServiceError> {
    let input = &call.input;
    let named = input.user_name.as_deref();
    let owner = Owner::allow_user_with(iam, &call, named, |_, resolved| resolved)?;
    let narrowed = owner.user.as_deref().unwrap_or_default();
    let pager = iam.pager(&call, &[narrowed], input.marker.as_deref(), input.max_items)?;
    let credentials = owner.credentials(&owner.ledger.view(&owner.permit))?;
    let mut keys: Vec<&SshKey> = credentials.ssh_keys.iter().collect();
    keys.sort_by_key(|key| key.id);
    let page = pager.cut(keys.into_iter().map(|key| (key.id.as_str(), key)))?.map(|key| {
        types::SSHPublicKeyMetadata {
            user_name: owner.name().unwrap_or_default(),
            ssh_public_key_id: key.id.as_str().to_owned(),
            status: status(key.active),
            upload_date: Timestamp::from_seconds(key.uploaded),
        }
    });
    Ok(owner.permit.answer(types::ListSSHPublicKeysResponse {
        is_truncated: page.truncated(),
        ssh_public_keys: Some(page.items),
        marker: page.marker,
    }))
}

pub(crate) async fn update_ssh_public_key(
    iam: &Iam,
    call: Call<ops::UpdateSSHPublicKey>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, Some(&input.user_name))?;
    owner.switch::<SshKey>(&input.ssh_public_key_id, &input.status).await?;
    Ok(owner.permit.answer(Empty::default()))
}

pub(crate) async fn delete_ssh_public_key(
    iam: &Iam,
    call: Call<ops::DeleteSSHPublicKey>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, Some(&input.user_name))?;
    owner.discard::<SshKey>(&input.ssh_public_key_id, |_, _, _| ()).await?;
    Ok(owner.permit.answer(Empty::default()))
}

impl Iam {
    /// Draws the id of an SSH public key. It carries its account, as an access key's does: over SSH
    /// it is all that a client says of itself.
    fn ssh_key_id(&self, id: AccountId) -> Result<KeyId, ServiceError> {
        let id = access_key_id(IdKind::PublicKey, id, &*self.random).map_err(errors::failed)?;
        KeyId::new(&id).ok_or_else(|| errors::failed("a key id of odd length"))
    }
}
