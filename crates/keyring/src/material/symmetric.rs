//! Symmetric encryption keys: AES-256-GCM under a key a message, as the store's values are sealed.
//!
//! ```text
//! base key    = HKDF-SHA256(material, "message keys")
//! message key = HMAC-SHA256(base key, header of the blob)
//! ciphertext, tag = AES-256-GCM(message key, nonce 0, header and context, plaintext)
//! ```
//!
//! Why a key a message: see [`domain`](crate::Domain)'s module, whose argument this is. A KMS key has
//! no limit of messages, and AES-GCM with random nonces under one key has: the header's 192-bit salt
//! takes the nonce's place, and each message key encrypts once. The key's id is in the header, so
//! material that was imported under two ids has no message key in common.

use super::blob::{self, Blob, EncryptionContext};
use super::{Material, MaterialError, Parsed, derive};
use crate::random;
use crate::secret::SecretBytes;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

pub(super) const KEY_LEN: usize = 32;

/// Derives message keys. Wiped on drop by aws-lc (`HMAC_CTX_cleanup`).
pub(super) struct Key(hmac::Key);

impl Key {
    pub(super) fn new(secret: &[u8]) -> Self {
        let mut base = Zeroizing::new([0; 32]);
        derive(secret, &[b"message keys"], &mut base);
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*base))
    }

    fn message_key(&self, header: &[u8]) -> Result<LessSafeKey, MaterialError> {
        // Not `hmac::sign`: the `Tag` that it returns is not wiped on drop.
        let mut key = Zeroizing::new([0; 32]);
        hmac::sign_to_buffer(&self.0, header, &mut *key).map_err(|_| MaterialError::Failed)?;
        let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| MaterialError::Failed)?;
        Ok(LessSafeKey::new(key))
    }
}

/// INVARIANT: only for a message key whose header has a fresh salt (encrypt) or was read (decrypt).
fn constant_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

pub(super) fn import(bytes: &[u8]) -> Result<SecretBytes, MaterialError> {
    if bytes.len() != KEY_LEN {
        return Err(MaterialError::Rejected("a symmetric key has 32 bytes"));
    }
    Ok(SecretBytes::new(bytes.to_vec()))
}

impl Material {
    fn symmetric(&self) -> Result<&Key, MaterialError> {
        match self.parsed()? {
            Parsed::Symmetric(key) => Ok(key),
            _ => Err(MaterialError::Unsupported),
        }
    }

    /// Encrypts to a blob that names `key_id` and opens with the same context alone. The salt is the
    /// system's always: a repeated one would break AES-GCM.
    ///
    /// # Errors
    /// [`MaterialError::Unsupported`] for another spec, or an id that is empty or longer than
    /// [`Blob::MAX_KEY_ID`]; [`MaterialError::Random`].
    pub fn encrypt(
        &self,
        key_id: &[u8],
        context: &EncryptionContext,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, MaterialError> {
        let key = self.symmetric()?;
        let (mut blob, header_len) = blob::begun(key_id, plaintext.len())?;
        let (header, sealed) = blob.split_at_mut(header_len);
        random::fill(&mut header[header_len - blob::SALT_LEN..])
            .map_err(|_| MaterialError::Random)?;
        let (ciphertext, tag) = sealed.split_at_mut(plaintext.len());
        let aad = Aad::from(context.bound_to(header));
        key.message_key(header)?
            .seal_out_of_place_scatter(constant_nonce(), aad, plaintext, ciphertext, &[], tag)
            .map_err(|_| MaterialError::PlaintextTooLong)?;
        Ok(blob)
    }

    /// The plaintext of a blob.
    ///
    /// # Errors
    /// [`MaterialError::Ciphertext`] for a blob of another key or context, or an altered one;
    /// [`MaterialError::Unsupported`] for another spec.
    pub fn decrypt(
        &self,
        blob: &Blob<'_>,
        context: &EncryptionContext,
    ) -> Result<SecretBytes, MaterialError> {
        let key = self.symmetric()?.message_key(blob.header())?;
        let mut plaintext = SecretBytes::new(vec![0; blob.ciphertext().len()]);
        key.open_separate_gather(
            constant_nonce(),
            Aad::from(context.bound_to(blob.header())),
            blob.ciphertext(),
            blob.tag(),
            plaintext.expose_mut(),
        )
        .map_err(|_| MaterialError::Ciphertext)?;
        Ok(plaintext)
    }
}
