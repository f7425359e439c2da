//! The devices of a user or of root: enabled, synchronised, deactivated, listed.

use super::{Enabled, Found};
use crate::Iam;
use crate::entity::{Entity, resolve};
use crate::errors;
use crate::records::{Record, User};
use crate::state::Account;
use crate::users::{Whom, named_or_caller};
use ringfence_gateway::caller::Identity;
use ringfence_gateway::{Answer, Call, Ledger, Permit, Resolved, State};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use std::sync::Arc;

/// Whose devices a call is about, and the right to it.
pub(super) struct Owner {
    pub ledger: Arc<Ledger<Account>>,
    pub id: AccountId,
    /// The user's name; `None` for root.
    user: Option<String>,
    pub permit: Permit<Option<Arc<User>>>,
}

/// Root names itself by its account's number, where a user must be named. An IAM user of that name
/// is not meant: whoever makes one must not be handed root's device.
fn whom<O: TypedOperation>(call: &Call<O>, named: Option<&str>) -> Result<Whom, ServiceError> {
    match (&call.caller().identity, named) {
        (Identity::Root { account }, Some(name)) if *name == account.to_string() => {
            Ok(Whom::Root(*account))
        }
        _ => named_or_caller(call, named),
    }
}

impl Owner {
    fn allow<O: TypedOperation>(
        iam: &Iam,
        call: &Call<O>,
        named: Option<&str>,
    ) -> Result<Self, ServiceError> {
        Self::allow_with(iam, call, named, |resolved| resolved)
    }

    /// As `allow`, with more condition keys.
    pub fn allow_with<O: TypedOperation>(
        iam: &Iam,
        call: &Call<O>,
        named: Option<&str>,
        keys: impl FnOnce(Resolved<Option<Arc<User>>>) -> Resolved<Option<Arc<User>>>,
    ) -> Result<Self, ServiceError> {
        let id = call.account()?;
        let ledger = iam.ledger(id)?;
        let (user, resolved) = match whom(call, named)? {
            Whom::User(name) => {
                let resolved = ledger.resolve(|account| resolve::<O, User>(account, id, &name));
                (Some(name), resolved)
            }
            Whom::Root(_) => (None, Resolved::new(id.root_arn(), id, None)),
        };
        let permit = call.allow(keys(resolved))?;
        if let (Some(name), None) = (&user, &*permit) {
            return Err(User::missing(name));
        }
        Ok(Self { ledger, id, user, permit })
    }

    /// The devices as they are now.
    pub fn devices<'a>(&self, account: &'a Account) -> Result<&'a [Enabled], ServiceError> {
        match (&self.user, &*self.permit) {
            (None, _) => Ok(account.root.as_ref().map_or(&[], |root| &root.credentials.mfa)),
            (Some(name), Some(allowed)) => {
                let user = User::get(account, name)?;
                // Made anew under the same name since the caller was allowed: another user.
                if user.id == allowed.id {
                    Ok(&user.credentials.mfa)
                } else {
                    Err(User::missing(name))
                }
            }
            (Some(name), None) => Err(User::missing(name)),
        }
    }

    /// The device of a serial number that is enabled for the owner.
    fn device<'a>(
        &self,
        account: &'a Account,
        serial: &str,
    ) -> Result<(&'a Enabled, Found<'a>), ServiceError> {
        let missing = || errors::no_such_mfa(serial);
        let enabled = self.devices(account)?.iter().find(|one| *one.serial == *serial);
        let found = Found::by_serial(account, self.id, serial);
        Ok((enabled.ok_or_else(missing)?, found.ok_or_else(missing)?))
    }

    /// The record with other devices.
    pub fn with(&self, account: &Account, devices: Vec<Enabled>) -> Result<Record, ServiceError> {
        let devices = devices.into_boxed_slice();
        match &self.user {
            Some(name) => {
                let mut user = User::clone(User::get(account, name)?);
                user.credentials.mfa = devices;
                Ok(Record::User(Arc::new(user)))
            }
            None => {
                let root = account.root.as_deref().cloned();
                let mut root = root.ok_or_else(|| errors::failed("an account without a record"))?;
                root.credentials.mfa = devices;
                Ok(Record::Account(Arc::new(root)))
            }
        }
    }

    /// As answers name it: root goes by its account's number.
    pub fn name(&self) -> String {
        self.permit.as_ref().map_or_else(|| self.id.to_string(), |user| user.name.to_string())
    }
}

/// The device after two codes in a row. A security key shows none, so none are its.
fn synchronised(
    found: &Found<'_>,
    codes: (&str, &str),
    now: Timestamp,
) -> Result<Record, ServiceError> {
    found.synchronised(codes.0, codes.1, now).ok_or_else(errors::wrong_codes)
}

pub(crate) async fn enable_mfa_device(
    iam: &Iam,
    call: Call<ops::EnableMFADevice>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, Some(&input.user_name))?;
    let codes = (input.authentication_code1.as_str(), input.authentication_code2.as_str());
    let (now, limit) = (call.now(), iam.quotas.mfa_devices);
    owner
        .ledger
        .write(&owner.permit, |account, batch| {
            let mut devices = owner.devices(account)?.to_vec();
            let found = Found::by_serial(account, owner.id, &input.serial_number)
                .ok_or_else(|| errors::no_such_mfa(&input.serial_number))?;
            if account.mfa_owner(&input.serial_number).is_some() {
                return Err(errors::mfa_already_in_use());
            }
            if devices.len() >= limit {
                return Err(errors::over_quota("MFADevicesPerUser", limit));
            }
            let synchronised = synchronised(&found, codes, now)?;
            devices.push(Enabled { serial: input.serial_number.as_str().into(), at: now.seconds });
            batch.put(owner.with(account, devices)?);
            batch.put(synchronised);
            Ok(())
        })
        .await?;
    iam.mfa_attempts.forget(owner.id, &input.serial_number, call.now().seconds).await;
    Ok(owner.permit.answer(Empty::default()))
}

pub(crate) async fn resync_mfa_device(
    iam: &Iam,
    call: Call<ops::ResyncMFADevice>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, Some(&input.user_name))?;
    let codes = (input.authentication_code1.as_str(), input.authentication_code2.as_str());
    let now = call.now();
    owner
        .ledger
        .write(&owner.permit, |account, batch| {
            let (_, found) = owner.device(account, &input.serial_number)?;
            batch.put(synchronised(&found, codes, now)?);
            Ok(())
        })
        .await?;
    iam.mfa_attempts.forget(owner.id, &input.serial_number, call.now().seconds).await;
    Ok(owner.permit.answer(Empty::default()))
}

pub(crate) async fn deactivate_mfa_device(
    iam: &Iam,
    call: Call<ops::DeactivateMFADevice>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    // "When you make this request with root user credentials, you must use an AssumeRoot session to
    // omit the user name."
    // <https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeactivateMFADevice.html>
    let root = matches!(call.caller().identity, Identity::Root { .. });
    if root && input.user_name.is_none() && !call.caller().is_assumed_root() {
        return Err(errors::must_name_user());
    }
    let owner = Owner::allow(iam, &call, input.user_name.as_deref())?;
    owner
        .ledger
        .write(&owner.permit, |account, batch| {
            let mut devices = owner.devices(account)?.to_vec();
            let at = devices.iter().position(|one| *one.serial == *input.serial_number);
            devices.remove(at.ok_or_else(|| errors::no_such_mfa(&input.serial_number))?);
            batch.put(owner.with(account, devices)?);
            // A security key is nothing without its user.
            let found = Found::by_serial(account, owner.id, &input.serial_number);
            if let Some(Found::SecurityKey(key)) = found {
                batch.delete(Account::key(&Record::SecurityKey(key.clone())));
            }
            Ok(())
        })
        .await?;
    iam.mfa_attempts.forget(owner.id, &input.serial_number, call.now().seconds).await;
    Ok(owner.permit.answer(Empty::default()))
}

pub(crate) async fn list_mfa_devices(
    iam: &Iam,
    call: Call<ops::ListMFADevices>,
) -> Result<Answer<types::ListMFADevicesResponse>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, input.user_name.as_deref())?;
    let narrowed = owner.permit.as_ref().map_or("", |user| &user.id);
    let pager = iam.pager(&call, &[narrowed], input.marker.as_deref(), input.max_items)?;
    let account = owner.ledger.view(&owner.permit);
    let mut devices: Vec<&Enabled> = owner.devices(&account)?.iter().collect();
    devices.sort_by(|a, b| a.serial.cmp(&b.serial));
    let page = pager.cut(devices.into_iter().map(|one| (&*one.serial, one)))?.map(|one| {
        types::MFADevice {
            user_name: owner.name(),
            serial_number: one.serial.to_string(),
            enable_date: Timestamp::from_seconds(one.at),
        }
    });
    Ok(owner.permit.answer(types::ListMFADevicesResponse {
        is_truncated: page.truncated(),
        mfa_devices: page.items,
        marker: page.marker,
    }))
}

/// A device of the owner's. AWS tells of security keys alone; what is known of the others is told too.
/// Certifications come of the FIDO Alliance's metadata, which is not here: no key has any.
pub(crate) async fn get_mfa_device(
    iam: &Iam,
    call: Call<ops::GetMFADevice>,
) -> Result<Answer<types::GetMFADeviceResponse>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow(iam, &call, input.user_name.as_deref())?;
    let account = owner.ledger.view(&owner.permit);
    let (enabled, _) = owner.device(&account, &input.serial_number)?;
    Ok(owner.permit.answer(types::GetMFADeviceResponse {
        user_name: Some(owner.name()),
        serial_number: enabled.serial.to_string(),
        enable_date: Some(Timestamp::from_seconds(enabled.at)),
        certifications: None,
    }))
}
