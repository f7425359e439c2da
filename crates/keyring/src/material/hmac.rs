//! HMAC keys: message authentication codes.

use super::{MacAlgorithm, Material, MaterialError, Parsed, Spec};
use crate::secret::SecretBytes;
use aws_lc_rs::hmac;
use std::ops::RangeInclusive;

/// Wiped on drop by aws-lc (`HMAC_CTX_cleanup`).
pub(super) struct Key(hmac::Key);

impl Key {
    pub(super) fn new(spec: Spec, secret: &[u8]) -> Result<Self, MaterialError> {
        let algorithm = match spec {
            Spec::Hmac224 => hmac::HMAC_SHA224,
            Spec::Hmac256 => hmac::HMAC_SHA256,
            Spec::Hmac384 => hmac::HMAC_SHA384,
            Spec::Hmac512 => hmac::HMAC_SHA512,
            _ => return Err(MaterialError::Unsupported),
        };
        Ok(Self(hmac::Key::new(algorithm, secret)))
    }
}

/// From the length of the hash to its block, which longer keys are hashed down to anyhow.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-conceptual.html#importing-keys-material-requirements>
fn lengths(spec: Spec) -> Result<RangeInclusive<usize>, MaterialError> {
    match spec {
        Spec::Hmac224 => Ok(28..=64),
        Spec::Hmac256 => Ok(32..=64),
        Spec::Hmac384 => Ok(48..=128),
        Spec::Hmac512 => Ok(64..=128),
        _ => Err(MaterialError::Unsupported),
    }
}

pub(super) fn generated_len(spec: Spec) -> Result<usize, MaterialError> {
    lengths(spec).map(|lengths| *lengths.start())
}

pub(super) fn import(spec: Spec, bytes: &[u8]) -> Result<SecretBytes, MaterialError> {
    if !lengths(spec)?.contains(&bytes.len()) {
        return Err(MaterialError::Rejected("an HMAC key of this spec has another length"));
    }
    Ok(SecretBytes::new(bytes.to_vec()))
}

impl Material {
    fn hmac(&self, algorithm: MacAlgorithm) -> Result<&hmac::Key, MaterialError> {
        match self.parsed()? {
            Parsed::Hmac(key) if self.spec().mac_algorithms().contains(&algorithm) => Ok(&key.0),
            _ => Err(MaterialError::Unsupported),
        }
    }

    /// The message's code, whole.
    ///
    /// # Errors
    /// [`MaterialError::Unsupported`] for another spec or algorithm.
    pub fn mac(&self, algorithm: MacAlgorithm, message: &[u8]) -> Result<Vec<u8>, MaterialError> {
        Ok(hmac::sign(self.hmac(algorithm)?, message).as_ref().to_vec())
    }

    /// Whether `mac` is the message's code. Takes the same time wherever the first difference is.
    ///
    /// # Errors
    /// [`MaterialError::Signature`] when it is not, a shortened one included;
    /// [`MaterialError::Unsupported`] for another spec or algorithm.
    pub fn verify_mac(
        &self,
        algorithm: MacAlgorithm,
        message: &[u8],
        mac: &[u8],
    ) -> Result<(), MaterialError> {
        hmac::verify(self.hmac(algorithm)?, message, mac).map_err(|_| MaterialError::Signature)
    }
}
