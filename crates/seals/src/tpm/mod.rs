//! The TPM seal: the root key is in an object that only the machine's TPM 2.0 opens, and, where
//! registers are named, only while the machine has started as it had when the seal was made.
//!
//! We speak the protocol ourselves: eight commands. The libraries for it are C (`tpm2-tss`), which a
//! machine that builds this program need not have; `tpm2-protocol` has the structures but not
//! sessions, which are the greater half.
//!
//! ```text
//! owner's hierarchy ─ storage key (P-256, made anew each time, never stored)
//!                        └── sealed object: root key and directory id   [policy: PCRs]
//! seal.json keeps: the object, encrypted by the storage key; the storage key's name
//! ```
//!
//! Who taps the bus between processor and TPM does not see the root key (`session`). The storage
//! key's name is noted when the seal is made: at every later start a key that somebody on the bus
//! puts in its place is refused. When the seal is made the bus must be honest.

mod commands;
mod marshal;
mod pcrs;
mod session;
mod transport;

use commands::{SealedObject, Tpm};
use pcrs::Pcrs;
use ringfence_keyring::{Blob, HeldKind, HeldSeal, HolderFailed, SealedPlace, SecretBytes};
use std::net::SocketAddr;
use transport::{DEFAULT_DEVICE, Location};
use zeroize::Zeroizing;

/// A seal by a TPM.
#[derive(Debug)]
pub(crate) struct TpmSeal {
    location: Location,
    pcrs: Option<Pcrs>,
}

/// Why a TPM did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TpmError {
    #[error("no TPM answers at {0}")]
    NotThere(String),
    #[error("it is busy")]
    Busy,
    #[error("it gave a response that is none")]
    Malformed,
    #[error("a response was altered on the way, or is another TPM's")]
    Tampered,
    #[error("a key could not be made or used")]
    Cryptography,
    #[error(
        "the machine has started otherwise than when it was sealed: a register (PCR) has changed"
    )]
    RegistersChanged,
    #[error("this is another TPM than the one that sealed this store, or it was cleared")]
    AnotherTpm,
    #[error("the owner's hierarchy has a password, which this program does not know")]
    OwnerPassword,
    #[error("it refused with code {0:#x}")]
    Refused(u32),
}

impl TpmError {
    /// What a response code says (Part 2, section 6.6).
    fn of_response(code: u32) -> Result<(), Self> {
        const FORMAT_ONE: u32 = 0x80;
        match code {
            0 => return Ok(()),
            // RC_YIELDED, RC_TESTING, RC_RETRY: ask again.
            0x908 | 0x90a | 0x922 => return Err(Self::Busy),
            _ => {}
        }
        // Format one has the number of the error in six bits; the others tell what it is about.
        let error = if code & FORMAT_ONE != 0 { code & 0xbf } else { code };
        Err(match error {
            // RC_POLICY_FAIL, RC_PCR_CHANGED
            0x9d | 0x128 => Self::RegistersChanged,
            // RC_INTEGRITY
            0x9f => Self::AnotherTpm,
            // RC_AUTH_FAIL, RC_BAD_AUTH
            0x8e | 0xa2 => Self::OwnerPassword,
            _ => Self::Refused(code),
        })
    }
}

impl From<TpmError> for HolderFailed {
    fn from(error: TpmError) -> Self {
        Self(error.to_string())
    }
}

impl TpmSeal {
    /// Reads what stands behind `tpm:`: a device, or `tcp:ADDRESS` on loopback, and then perhaps
    /// `,pcrs=…`. `None` for what is neither.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (place, pcrs) = match text.split_once(",pcrs=") {
            Some((place, pcrs)) => (place, Some(Pcrs::parse(pcrs)?)),
            None => (text, None),
        };
        let location = match place {
            "" => Location::Device(DEFAULT_DEVICE.into()),
            path if path.starts_with('/') => Location::Device(path.into()),
            place => {
                let address: SocketAddr = place.strip_prefix("tcp:")?.parse().ok()?;
                // What is in software is for tests and virtual machines: nobody else's may answer.
                Location::Socket(Some(address).filter(|address| address.ip().is_loopback())?)
            }
        };
        Some(Self { location, pcrs })
    }

    fn open(&self) -> Result<Tpm, TpmError> {
        Ok(Tpm::over(self.location.open()?))
    }
}

const PUBLIC: &str = "public";
const PRIVATE: &str = "private";
const STORAGE_KEY: &str = "storage_key";
const PCRS: &str = "pcrs";

impl HeldSeal for TpmSeal {
    fn kind(&self) -> HeldKind {
        HeldKind::Tpm
    }

    fn in_words(&self) -> String {
        match &self.location {
            Location::Device(path) => format!("TPM {}", path.display()),
            Location::Socket(address) => format!("TPM in software at {address}"),
        }
    }

    fn wrap(&self, root: &SecretBytes, place: &SealedPlace) -> Result<Blob, HolderFailed> {
        let mut tpm = self.open()?;
        let key = tpm.storage_key()?;
        let policy = match &self.pcrs {
            Some(pcrs) => Some(tpm.policy_of_now(&key, pcrs)?),
            None => None,
        };
        let mut data = Zeroizing::new(Vec::with_capacity(root.len() + place.id.len()));
        data.extend(root.expose());
        data.extend(place.id);
        let data = SecretBytes::new(std::mem::take(&mut *data));
        let object = tpm.seal(&key, &data, policy.as_deref())?;
        let mut blob = Blob::default();
        if let Some(pcrs) = &self.pcrs {
            blob.about.insert(PCRS.to_owned(), pcrs.text());
        }
        for (name, bytes) in
            [(PUBLIC, object.public), (PRIVATE, object.private), (STORAGE_KEY, key.name.clone())]
        {
            blob.data.insert(name.to_owned(), bytes);
        }
        Ok(blob)
    }

    fn unwrap(&self, blob: &Blob, place: &SealedPlace) -> Result<SecretBytes, HolderFailed> {
        let object = SealedObject {
            public: blob.data(PUBLIC)?.to_vec(),
            private: blob.data(PRIVATE)?.to_vec(),
        };
        // Those that it was sealed to, whatever the next seal is to have.
        let pcrs = match blob.about.get(PCRS) {
            Some(text) => Some(Pcrs::parse(text).ok_or(TpmError::Malformed)?),
            None => None,
        };
        let mut tpm = self.open()?;
        let key = tpm.storage_key()?;
        if key.name != blob.data(STORAGE_KEY)? {
            return Err(TpmError::AnotherTpm.into());
        }
        let data = tpm.unseal(&key, &object, pcrs.as_ref())?;
        let split = data.len().checked_sub(place.id.len()).ok_or(TpmError::Malformed)?;
        let (root, id) = data.expose().split_at(split);
        if id != place.id {
            return Err(HolderFailed("the sealed object is of another data directory".into()));
        }
        Ok(SecretBytes::new(root.to_vec()))
    }
}

#[cfg(test)]
mod tests;
