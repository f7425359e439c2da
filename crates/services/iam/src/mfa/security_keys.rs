//! Security keys and passkeys: registered for a user or for root, by operations of our own.
//!
//! AWS's console registers them, by calls that no public API of AWS's has and that policies know as
//! `iam:EnableMFADevice`: once to begin, where `iam:RegisterSecurityKey` is `Create`, and once to
//! end, where it is `Activate` and the keys `iam:FIDO-…` tell how the key is certified.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_mfa_fido_supported_configurations.html>
//!
//! How a key is certified is in the FIDO Alliance's metadata, which is not here: those condition keys
//! are absent, as for a key that the metadata does not know, so that a policy that asks for one refuses.

use super::ceremonies::{Purpose, SECONDS};
use super::owners::Owner;
use super::{Enabled, SecurityKey};
use crate::Iam;
use crate::errors;
use crate::records::Record;
use crate::state::Account;
use ringfence_gateway::{Answer, Call, Handlers, Mounted, Resolved};
use ringfence_model_ringfence::SERVICE;
use ringfence_model_ringfence::operations as ops;
use ringfence_model_ringfence::types::{
    BeginSecurityKeyRegistrationResponse, FinishSecurityKeyRegistrationResponse,
    UserVerificationType,
};
use ringfence_policy::AccountId;
use ringfence_webauthn::{
    CreationOptions, Registered, Registration, RelyingParty, User, UserVerification,
};
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

/// The relying party's name, which authenticators show.
const PARTY: &str = "Ringfence";
/// Random bytes at the end of a serial number; 26 letters, as AWS's have.
const SERIAL_BYTES: usize = 16;
/// What a browser is told of the time that a ceremony lasts.
pub(super) const MILLISECONDS: u32 = SECONDS as u32 * 1000;

impl Iam {
    /// Takes security keys, made for this relying party. Takes effect once.
    pub fn accept_security_keys(&self, party: RelyingParty) {
        // A second one would be a fault of the program's own start.
        if self.relying_party.set(party).is_err() {
            tracing::error!("IAM was told twice whom security keys are made for");
        }
    }

    pub(super) fn relying_party(&self) -> Result<&RelyingParty, ServiceError> {
        self.relying_party.get().ok_or_else(|| errors::failed("no relying party"))
    }

    /// The part of our own operations that registers security keys.
    pub fn security_keys(self: &Arc<Self>) -> Mounted {
        Handlers::new(&SERVICE, self.clone())
            .on::<ops::BeginSecurityKeyRegistration, _>(begin_security_key_registration)
            .on::<ops::FinishSecurityKeyRegistration, _>(finish_security_key_registration)
            .finish()
    }
}

/// The security keys among devices.
pub(super) fn among<'a>(
    account: &'a Account,
    devices: &'a [Enabled],
) -> impl Iterator<Item = &'a Arc<SecurityKey>> {
    devices.iter().filter_map(|device| account.security_keys.get(&device.serial))
}

/// What an authenticator knows a user by: an id that tells nothing of who it is.
pub(super) fn handle(id: AccountId, user: Option<&str>) -> String {
    user.map_or_else(|| id.to_string(), str::to_owned)
}

/// Says which of the two calls it is.
fn stage<T>(stage: &'static str) -> impl FnOnce(Resolved<T>) -> Resolved<T> {
    move |resolved| resolved.key("iam:RegisterSecurityKey", stage)
}

async fn begin_security_key_registration(
    iam: &Iam,
    call: Call<ops::BeginSecurityKeyRegistration>,
) -> Result<Answer<BeginSecurityKeyRegistrationResponse>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow_with(iam, &call, input.user_name.as_deref(), stage("Create"))?;
    let party = iam.relying_party()?;
    let verification = match input.user_verification {
        Some(UserVerificationType::Required) => UserVerification::Required,
        Some(UserVerificationType::Discouraged) => UserVerification::Discouraged,
        _ => UserVerification::Preferred,
    };
    let account = owner.ledger.view(&owner.permit);
    let devices = owner.devices(&account)?;
    room_for_one(iam, devices)?;

    let now = call.now().seconds;
    let user = owner.permit.as_ref();
    let purpose = Purpose::Registration {
        owner: user.map(|user| user.id),
        device: input.device_name.as_str().into(),
        verification,
    };
    let whose = (owner.id, &call.caller().identity);
    let (ceremony, challenge) = iam.ceremonies.begin(&*iam.random, whose, purpose, now).await?;
    let handle = handle(owner.id, user.map(|user| &*user.id));
    let known: Vec<_> =
        among(&account, devices).map(|key| (&*key.credential_id, &*key.transports)).collect();
    let options = CreationOptions::new(
        party,
        PARTY,
        User { handle: handle.as_bytes(), name: &owner.name() },
        &challenge,
        verification,
        MILLISECONDS,
        &known,
    );
    Ok(owner.permit.answer(BeginSecurityKeyRegistrationResponse {
        ceremony,
        creation_options: options.to_string(),
        expiration: Timestamp::from_seconds(now.saturating_add(SECONDS)),
    }))
}

async fn finish_security_key_registration(
    iam: &Iam,
    call: Call<ops::FinishSecurityKeyRegistration>,
) -> Result<Answer<FinishSecurityKeyRegistrationResponse>, ServiceError> {
    let input = &call.input;
    let owner = Owner::allow_with(iam, &call, input.user_name.as_deref(), stage("Activate"))?;
    let now = call.now().seconds;
    let user = owner.permit.as_ref();
    let whose = (owner.id, &call.caller().identity);
    let ceremony = iam.ceremonies.take(whose, &input.ceremony, now, |purpose| {
        matches!(purpose, Purpose::Registration { owner, .. } if *owner == user.map(|u| u.id))
    });
    let ceremony = ceremony.await?;
    let Purpose::Registration { device, verification, .. } = ceremony.purpose else {
        return Err(errors::no_ceremony());
    };
    let party = iam.relying_party()?;
    let registered = Registration::parse(&input.response)
        .and_then(|response| response.check(party, &ceremony.challenge, verification))
        .map_err(|why| errors::security_key_refused(&why))?;
    let key = Arc::new(SecurityKey {
        verifies: verification == UserVerification::Required,
        ..keep(serial(iam, &owner, &device)?, registered)
    });
    owner
        .ledger
        .write(&owner.permit, |account, batch| {
            let mut devices = owner.devices(account)?.to_vec();
            room_for_one(iam, &devices)?;
            // Step 26 of registration, within the account: a key pair has one owner.
            if account.security_key(&key.credential_id).is_some() {
                return Err(errors::security_key_registered());
            }
            devices.push(Enabled { serial: key.serial.clone(), at: now });
            batch.put(owner.with(account, devices)?);
            batch.put(Record::SecurityKey(key.clone()));
            Ok(())
        })
        .await?;
    Ok(owner.permit.answer(FinishSecurityKeyRegistrationResponse {
        user_name: owner.name(),
        serial_number: key.serial.to_string(),
        enable_date: Timestamp::from_seconds(now),
    }))
}

fn room_for_one(iam: &Iam, devices: &[Enabled]) -> Result<(), ServiceError> {
    let limit = iam.quotas.mfa_devices;
    if devices.len() < limit {
        return Ok(());
    }
    Err(errors::over_quota("MFADevicesPerUser", limit))
}

/// `arn:aws:iam::ACCOUNT:u2f/user/NAME/DEVICE-RANDOM`, and `…:u2f/root/DEVICE-RANDOM`.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetMFADevice.html>
fn serial(iam: &Iam, owner: &Owner, device: &str) -> Result<Arc<str>, ServiceError> {
    let mut bytes = [0; SERIAL_BYTES];
    iam.random.fill(&mut bytes).map_err(errors::failed)?;
    let random = data_encoding::BASE32_NOPAD.encode(&bytes);
    let of = match owner.permit.as_ref() {
        Some(user) => format!("user/{}", user.name),
        None => "root".to_owned(),
    };
    Ok(format!("arn:aws:iam::{}:u2f/{of}/{device}-{random}", owner.id).into())
}

fn keep(serial: Arc<str>, registered: Registered) -> SecurityKey {
    SecurityKey {
        serial,
        credential_id: registered.credential_id.into(),
        public_key: registered.public_key.into(),
        counter: registered.counter,
        backup_eligible: registered.backup_eligible,
        verifies: false,
        aaguid: registered.aaguid,
        transports: registered.transports.into(),
    }
}
