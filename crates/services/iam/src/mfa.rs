//! MFA devices: what a user or root proves itself by beside its access keys.
//!
//! - A **virtual device** is made here with its seed, has an ARN, a path and tags, and is its
//!   account's whether or not anybody uses it.
//! - A **hardware token** comes with its seed on a file, which whoever runs the server imports. It
//!   goes by its serial number.
//! - Either is **enabled** for one user or for root by two codes in a row.
//! - A **security key**, or passkey, is its user's from the moment that it is registered (WebAuthn),
//!   and gone when it is deactivated. AWS's console registers them and signs in by them; here
//!   operations of our own do.
//!
//! Which devices a user has lies in the user's record, what a device is told by in the device's own: a
//! sign-in writes that alone.
//!
//! ```text
//!   user ann ──mfa──► arn:aws:iam::123456789012:mfa/ann ──► seed, last step used, drift
//!   root     ──mfa──► GAHT12345678                      ──► seed, last step used, drift
//!   user ann ──mfa──► arn:aws:iam::123456789012:u2f/user/ann/blue-… ──► public key, signature counter
//! ```
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_mfa.html>

mod assertions;
pub(crate) mod attempts;
pub(crate) mod ceremonies;
mod check;
pub(crate) mod owners;
pub(crate) mod security_keys;
mod seeds;
pub(crate) mod tokens;
pub(crate) mod totp;
pub(crate) mod virtual_devices;

use crate::entity::Entity;
use crate::errors;
use crate::records::{Record, UniqueId, is_untagged, no_tags, read_path, read_tags};
use crate::state::{Account, Names};
use ringfence_gateway::Tags;
use ringfence_policy::{AccountId, Arn};
use ringfence_wire::{ServiceError, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use totp::Totp;

/// A device that a user or root has enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Enabled {
    /// A virtual device's ARN, a token's serial number.
    pub serial: Arc<str>,
    pub at: i64,
}

/// A virtual device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Device {
    pub name: Arc<str>,
    #[serde(deserialize_with = "read_path")]
    pub path: Arc<str>,
    /// Tells it from another of the same name; AWS gives such devices no unique id, and it is not
    /// shown.
    pub id: UniqueId,
    pub created: i64,
    #[serde(
        default = "no_tags",
        deserialize_with = "read_tags",
        skip_serializing_if = "is_untagged"
    )]
    pub tags: Arc<Tags>,
    pub totp: Totp,
}

/// A hardware token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    pub serial: Arc<str>,
    pub imported: i64,
    pub totp: Totp,
}

/// A security key or passkey. None of it is secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SecurityKey {
    /// Its ARN.
    pub serial: Arc<str>,
    /// What it calls its key pair.
    pub credential_id: Arc<[u8]>,
    /// A `COSE_Key`.
    pub public_key: Arc<[u8]>,
    /// The last signature counter; 0 where it does not count.
    pub counter: u32,
    /// It may be copied to other devices, as passkeys are.
    pub backup_eligible: bool,
    /// It was registered to verify its user, so it must at each sign-in.
    pub verifies: bool,
    /// Its model; zero where it is not told.
    pub aaguid: [u8; 16],
    /// How a browser may reach it.
    #[serde(default)]
    pub transports: Arc<[String]>,
}

impl Entity for Device {
    const KIND: &'static str = "mfa";
    fn all(account: &Account) -> &Names<Self> {
        &account.mfa_devices
    }
    fn record(this: Arc<Self>) -> Record {
        Record::MfaDevice(this)
    }
    fn name(&self) -> &Arc<str> {
        &self.name
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn id(&self) -> &str {
        &self.id
    }
    fn tags(&self) -> Option<&Arc<Tags>> {
        Some(&self.tags)
    }
    // Requests name devices by ARN.
    fn missing(serial: &str) -> ServiceError {
        errors::no_such_mfa(serial)
    }
}

impl crate::entity::Tagged for Device {
    const FOLDED: bool = false;
    fn tags_mut(&mut self) -> &mut Arc<Tags> {
        &mut self.tags
    }
}

/// Path and name of the virtual device that a serial number means; `None` for a token's, and for
/// what is no ARN of this account.
fn path_and_name(serial: &str, id: AccountId) -> Option<(&str, &str)> {
    let arn = Arn::parse(serial).ok()?;
    let here = (arn.partition, arn.service, arn.region) == ("aws", "iam", "");
    if !here || arn.account_id() != Some(id) {
        return None;
    }
    crate::arn::path_and_name(arn.resource, Device::KIND)
}

/// A device of any kind.
pub(crate) enum Found<'a> {
    Virtual(&'a Arc<Device>),
    Token(&'a Arc<Token>),
    SecurityKey(&'a Arc<SecurityKey>),
}

impl<'a> Found<'a> {
    /// The device of a serial number.
    pub fn by_serial(account: &'a Account, id: AccountId, serial: &str) -> Option<Self> {
        match path_and_name(serial, id) {
            Some((path, name)) => Device::find(account, name)
                .filter(|device| device.is_at(path, name))
                .map(Self::Virtual),
            None => account
                .mfa_tokens
                .get(serial)
                .map(Self::Token)
                .or_else(|| account.security_keys.get(serial).map(Self::SecurityKey)),
        }
    }

    /// What its codes are told by; a security key has none.
    pub fn totp(&self) -> Option<&'a Totp> {
        match self {
            Self::Virtual(device) => Some(&device.totp),
            Self::Token(token) => Some(&token.totp),
            Self::SecurityKey(_) => None,
        }
    }

    /// Its record after a code; `None` where that is wrong.
    pub fn shown(&self, code: &str, now: Timestamp) -> Option<Record> {
        self.with(self.totp()?.shown(code, now)?)
    }

    /// Its record after two codes in a row; `None` where they are wrong.
    pub fn synchronised(&self, first: &str, second: &str, now: Timestamp) -> Option<Record> {
        self.with(self.totp()?.synchronised(first, second, now)?)
    }

    fn with(&self, totp: Totp) -> Option<Record> {
        match self {
            Self::Virtual(device) => {
                Some(Record::MfaDevice(Arc::new(Device { totp, ..Device::clone(device) })))
            }
            Self::Token(token) => {
                Some(Record::MfaToken(Arc::new(Token { totp, ..Token::clone(token) })))
            }
            Self::SecurityKey(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER, mfa_device};

    #[test]
    fn a_serial_number_is_a_virtual_devices_arn_in_its_own_account() {
        let arn = |account: AccountId, rest: &str| format!("arn:aws:iam::{account}:{rest}");
        assert_eq!(path_and_name(&arn(ID, "mfa/a//b/ann"), ID), Some(("/a//b/", "ann")));
        for other in [
            arn(OTHER, "mfa/ann"),
            arn(ID, "user/ann"),
            arn(ID, "mfa/"),
            arn(ID, "mfaa/ann"),
            format!("arn:aws:sts::{ID}:mfa/ann"),
            format!("arn:aws-cn:iam::{ID}:mfa/ann"),
            "GAHT12345678".to_owned(),
        ] {
            assert_eq!(path_and_name(&other, ID), None, "{other}");
        }
    }

    #[test]
    fn a_device_is_found_by_its_very_arn() {
        let mut account = Account::default();
        ringfence_gateway::State::put(&mut account, Device::record(Arc::new(mfa_device("Ann"))));
        let found = |rest: &str| {
            Found::by_serial(&account, ID, &format!("arn:aws:iam::{ID}:{rest}")).is_some()
        };
        assert!(found("mfa/Ann"));
        assert!(!found("mfa/ann") && !found("mfa/x/Ann") && !found("user/Ann"));
    }
}
