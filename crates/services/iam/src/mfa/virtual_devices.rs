//! Virtual MFA devices: made here, with seed and image; listed, tagged, deleted.

use super::totp::Totp;
use super::{Device, path_and_name, seeds};
use crate::entity::{Allowed, Entity, allow_list, resolve_at};
use crate::errors;
use crate::records::{Record, UniqueId, shared_path, shared_tags};
use crate::state::Account;
use crate::tags::{self, pairs};
use crate::users;
use crate::{Iam, arn};
use ringfence_gateway::{Answer, Call, Resolved, State, Tags};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, AssignmentStatusType};
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use std::sync::Arc;

/// Characters of a serial number, by the model's `serialNumberType`.
const LONGEST_SERIAL: usize = 256;

/// The device that a serial number means, for a caller who may do this to it.
fn allow<O: TypedOperation>(
    iam: &Iam,
    call: &Call<O>,
    serial: &str,
    keys: impl FnOnce(Resolved<Option<Arc<Device>>>) -> Resolved<Option<Arc<Device>>>,
) -> Result<Allowed<Device>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let shown = serial.to_owned();
    let (name, resolved) = match path_and_name(serial, id) {
        Some((path, name)) => {
            let resolved = ledger.resolve(|account| {
                let found = Device::find(account, name).filter(|device| device.is_at(path, name));
                keys(resolve_at::<O, Device>(shown.clone(), id, found.cloned()))
            });
            (name, resolved)
        }
        // No virtual device of this account goes by it.
        None => {
            let arn = if serial.starts_with("arn:") {
                serial.to_owned()
            } else {
                arn::of(Device::KIND, id, "/", serial)
            };
            (serial, keys(Resolved::new(arn, id, None)))
        }
    };
    let permit = call.allow(resolved)?;
    Ok(Allowed { ledger, id, permit, name: name.to_owned(), shown })
}

impl Iam {
    fn mfa_device_id(&self) -> Result<UniqueId, ServiceError> {
        let mut bytes = [0; 10];
        self.random.fill(&mut bytes).map_err(errors::failed)?;
        UniqueId::new(&data_encoding::BASE32.encode(&bytes))
            .ok_or_else(|| errors::failed("an id of odd length"))
    }
}

pub(crate) async fn create_virtual_mfa_device(
    iam: &Iam,
    call: Call<ops::CreateVirtualMFADevice>,
) -> Result<Answer<types::CreateVirtualMFADeviceResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let given = input.tags.as_deref().unwrap_or_default();
    // An empty segment is none too many here, as recordings show.
    let path = input.path.as_deref().unwrap_or("/");
    let serial = arn::of(Device::KIND, id, path, &input.virtual_mfa_device_name);
    let target = || Resolved::new(serial.as_str(), id, ()).requesting_tags(pairs(given));
    let permit = call.allow(target())?;
    if !given.is_empty() {
        call.allow_action("iam:TagMFADevice", target())?;
    }
    if serial.len() > LONGEST_SERIAL {
        return Err(errors::validation(
            "The specified value for virtualMFADeviceName is invalid. The serial number of the \
             device, which is its ARN, must have at most 256 characters.",
        ));
    }
    let tags = tags::with(&Tags::new(), given, false, iam.quotas.tags)?;
    let seed = seeds::draw(&*iam.random).map_err(errors::failed)?;
    let base32 = seeds::base32(&seed);
    let image = seeds::image(&input.virtual_mfa_device_name, &id.to_string(), &base32)?;
    let device = Arc::new(Device {
        name: input.virtual_mfa_device_name.as_str().into(),
        path: shared_path(path),
        id: iam.mfa_device_id()?,
        created: call.now().seconds,
        tags: shared_tags(tags),
        totp: Totp::new(seed),
    });
    ledger
        .write(&permit, |account, batch| {
            create(iam, account, &device)?;
            batch.put(Record::MfaDevice(device.clone()));
            Ok(())
        })
        .await?;
    let virtual_mfa_device = types::VirtualMFADevice {
        serial_number: serial.clone(),
        // The one time that the seed is told.
        base32_string_seed: Some(base32.expose().as_bytes().to_vec().into()),
        qr_code_png: Some(image.into()),
        tags: input.tags.clone().filter(|tags| !tags.is_empty()),
        ..types::VirtualMFADevice::default()
    };
    Ok(permit.answer(types::CreateVirtualMFADeviceResponse { virtual_mfa_device }))
}

fn create(iam: &Iam, account: &Account, device: &Device) -> Result<(), ServiceError> {
    if Device::find(account, &device.name).is_some() {
        return Err(errors::mfa_exists());
    }
    // As many as users: "Equal to the user quota for the account".
    // <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
    if account.mfa_devices.len() >= iam.quotas.users {
        return Err(errors::over_quota("VirtualMFADevicesPerAccount", iam.quotas.users));
    }
    Ok(())
}

pub(crate) async fn delete_virtual_mfa_device(
    iam: &Iam,
    call: Call<ops::DeleteVirtualMFADevice>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = allow(iam, &call, &call.input.serial_number, |resolved| resolved)?;
    allowed.found()?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let device = allowed.now(account)?;
            if account.mfa_owner(&allowed.shown).is_some() {
                return Err(errors::mfa_in_use());
            }
            batch.delete(Account::key(&Record::MfaDevice(device.clone())));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

/// A device as lists show it: without tags, and never with its seed.
fn summary(account: &Account, device: &Device, id: AccountId) -> types::VirtualMFADevice {
    let serial_number = device.arn(id);
    let (user, enabled) = match account.mfa_owner(&serial_number) {
        None => (None, None),
        Some(owner) => {
            let credentials = match owner {
                Some(user) => Some(&user.credentials),
                None => account.root.as_ref().map(|root| &root.credentials),
            };
            let enabled = credentials
                .and_then(|own| own.mfa.iter().find(|one| *one.serial == *serial_number))
                .map(|one| Timestamp::from_seconds(one.at));
            let user = owner
                .map_or_else(|| users::root_summary(account, id), |user| users::summary(user, id));
            (Some(user), enabled)
        }
    };
    types::VirtualMFADevice {
        serial_number,
        user,
        enable_date: enabled,
        ..types::VirtualMFADevice::default()
    }
}

pub(crate) async fn list_virtual_mfa_devices(
    iam: &Iam,
    call: Call<ops::ListVirtualMFADevices>,
) -> Result<Answer<types::ListVirtualMFADevicesResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = allow_list::<Device, _>(&call, "/")?;
    let status = input.assignment_status.clone().unwrap_or(AssignmentStatusType::Any);
    let narrowed = [status.as_str()];
    let pager = iam.pager(&call, &narrowed, input.marker.as_deref(), input.max_items)?;
    let account = ledger.view(&permit);
    let wanted = |device: &Device| match status {
        AssignmentStatusType::Assigned => account.mfa_owner(&device.arn(id)).is_some(),
        AssignmentStatusType::Unassigned => account.mfa_owner(&device.arn(id)).is_none(),
        _ => true,
    };
    let page = pager
        .cut(pager.of(&account.mfa_devices).filter(|(_, device)| wanted(device)))?
        .map(|device| summary(&account, device, id));
    Ok(permit.answer(types::ListVirtualMFADevicesResponse {
        is_truncated: page.truncated(),
        virtual_mfa_devices: page.items,
        marker: page.marker,
    }))
}

pub(crate) async fn tag_mfa_device(
    iam: &Iam,
    call: Call<ops::TagMFADevice>,
) -> Result<Answer<Empty>, ServiceError> {
    let given = &call.input.tags;
    let allowed = allow(iam, &call, &call.input.serial_number, |resolved| {
        resolved.requesting_tags(pairs(given))
    })?;
    tags::tag(iam, &allowed, given).await
}

pub(crate) async fn untag_mfa_device(
    iam: &Iam,
    call: Call<ops::UntagMFADevice>,
) -> Result<Answer<Empty>, ServiceError> {
    let keys = &call.input.tag_keys;
    let allowed = allow(iam, &call, &call.input.serial_number, |resolved| {
        resolved.requesting_tag_keys(keys)
    })?;
    tags::untag(&allowed, keys).await
}

pub(crate) async fn list_mfa_device_tags(
    iam: &Iam,
    call: Call<ops::ListMFADeviceTags>,
) -> Result<Answer<types::ListMFADeviceTagsResponse>, ServiceError> {
    let input = &call.input;
    let allowed = allow(iam, &call, &input.serial_number, |resolved| resolved)?;
    let page = tags::list(iam, &call, &allowed, input.marker.as_deref(), input.max_items)?;
    Ok(allowed.permit.answer(types::ListMFADeviceTagsResponse {
        is_truncated: page.truncated(),
        tags: page.items,
        marker: page.marker,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{iam_over, mfa_device, store};

    #[test]
    fn a_name_is_given_once_and_the_quota_is_that_of_users() {
        let iam = iam_over(&store());
        let mut account = Account::default();
        account.put(Device::record(Arc::new(mfa_device("Ann"))));
        let elsewhere = Device { path: "/x/".into(), ..mfa_device("aNN") };
        let refused = create(&iam, &account, &elsewhere).unwrap_err();
        assert_eq!((&*refused.code, refused.status), ("EntityAlreadyExists", 409));
        assert_eq!(refused.message, "MFA device already exists.");
        assert!(create(&iam, &account, &mfa_device("eve")).is_ok());
        for number in account.mfa_devices.len()..iam.quotas.users {
            account.put(Device::record(Arc::new(mfa_device(&format!("d{number}")))));
        }
        let refused = create(&iam, &account, &mfa_device("eve")).unwrap_err();
        assert_eq!(refused.code, "LimitExceeded");
    }
}
