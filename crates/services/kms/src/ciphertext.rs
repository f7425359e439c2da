//! What a ciphertext says of its key: account, material, and the key's id.
//!
//! ```text
//!   account (8) | id of the material (32) | the key's id
//! ```
//!
//! It stands in the header of the ciphertext, in clear and authenticated: it is a claim until the
//! ciphertext is opened.

use crate::arn::is_key_id;
use crate::errors;
use crate::records::MaterialId;
use ringfence_keyring::material::Blob;
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;

const ACCOUNT: usize = 8;
const MATERIAL: usize = 32;

/// The key of a ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Under {
    pub account: AccountId,
    pub material: MaterialId,
    pub key: String,
}

impl Under {
    /// As it stands in a ciphertext.
    pub fn written(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ACCOUNT + MATERIAL + self.key.len());
        out.extend(self.account.number().to_be_bytes());
        out.extend(self.material.0);
        out.extend(self.key.as_bytes());
        out
    }

    /// What a ciphertext claims.
    ///
    /// # Errors
    /// `InvalidCiphertextException`.
    pub fn claimed(blob: &Blob<'_>) -> Result<Self, ServiceError> {
        Self::read(blob.key_id()).ok_or_else(errors::bad_ciphertext)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (account, rest) = bytes.split_first_chunk::<ACCOUNT>()?;
        let (material, key) = rest.split_first_chunk::<MATERIAL>()?;
        Some(Self {
            account: AccountId::new(u64::from_be_bytes(*account))?,
            material: MaterialId(*material),
            key: std::str::from_utf8(key).ok().filter(|id| is_key_id(id))?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "mrk-1234abcd12ab34cd56ef1234567890ab";

    #[test]
    fn what_is_written_is_read_and_nothing_shorter() {
        let account = AccountId::new(210_987_654_321).unwrap();
        let under = Under { account, material: MaterialId([7; 32]), key: ID.into() };
        let bytes = under.written();
        assert_eq!(Under::read(&bytes), Some(under));
        for length in 0..bytes.len() {
            assert_eq!(Under::read(&bytes[..length]), None, "{length}");
        }
        assert_eq!(Under::read(&[0xff; 60]), None);
    }
}
