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
use crate::parts;
use crate::random;
use crate::secret::SecretBytes;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

pub(super) const KEY_LEN: usize = 32;

/// Bytes of the salt and of the initialization vector of a [`Detached`] ciphertext.
const DETACHED_SALT: usize = 16;
const DETACHED_IV: usize = 12;

/// A ciphertext whose parts a protocol carries apart, in fields of its own. The salt is 128 bits and the
/// initialization vector 96, both random: together they repeat no sooner than a blob's salt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    pub salt: [u8; DETACHED_SALT],
    pub iv: [u8; DETACHED_IV],
    pub ciphertext: Vec<u8>,
    pub tag: [u8; blob::TAG_LEN],
}

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

/// What a detached ciphertext's message key is derived from. A blob's header begins with its format, 1;
/// this begins with the zeros of a length.
fn detached_header(salt: &[u8; DETACHED_SALT]) -> Vec<u8> {
    parts::joined(&[b"detached", salt])
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

    /// Encrypts to parts, binding what `bind` makes of the salt.
    ///
    /// # Errors
    /// [`MaterialError::Unsupported`] for another spec; [`MaterialError::Random`].
    pub fn encrypt_detached(
        &self,
        bind: impl FnOnce(&[u8; 16]) -> Vec<u8>,
        plaintext: &[u8],
    ) -> Result<Detached, MaterialError> {
        let key = self.symmetric()?;
        let (mut salt, mut iv) = ([0; DETACHED_SALT], [0; DETACHED_IV]);
        random::fill(&mut salt).map_err(|_| MaterialError::Random)?;
        random::fill(&mut iv).map_err(|_| MaterialError::Random)?;
        let (mut ciphertext, mut tag) = (vec![0; plaintext.len()], [0; blob::TAG_LEN]);
        key.message_key(&detached_header(&salt))?
            .seal_out_of_place_scatter(
                Nonce::assume_unique_for_key(iv),
                Aad::from(bind(&salt)),
                plaintext,
                &mut ciphertext,
                &[],
                &mut tag,
            )
            .map_err(|_| MaterialError::PlaintextTooLong)?;
        Ok(Detached { salt, iv, ciphertext, tag })
    }

    /// The plaintext of parts, with what was bound to them.
    ///
    /// # Errors
    /// As [`Material::decrypt`].
    pub fn decrypt_detached(
        &self,
        bound: &[u8],
        parts: &Detached,
    ) -> Result<SecretBytes, MaterialError> {
        let key = self.symmetric()?.message_key(&detached_header(&parts.salt))?;
        let mut plaintext = SecretBytes::new(vec![0; parts.ciphertext.len()]);
        key.open_separate_gather(
            Nonce::assume_unique_for_key(parts.iv),
            Aad::from(bound),
            &parts.ciphertext,
            &parts.tag,
            plaintext.expose_mut(),
        )
        .map_err(|_| MaterialError::Ciphertext)?;
        Ok(plaintext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::material::Spec;
    use crate::random::SystemRandom;

    #[test]
    fn a_detached_ciphertext_opens_whole_and_with_what_was_bound_alone() {
        let key = Material::generate(Spec::SymmetricDefault, &SystemRandom).unwrap();
        let made = key.encrypt_detached(|salt| salt.to_vec(), b"text").unwrap();
        let opened = |bound: &[u8], parts: &Detached| {
            key.decrypt_detached(bound, parts).ok().map(|text| text.expose().to_vec())
        };
        assert_eq!(opened(&made.salt, &made).as_deref(), Some(&b"text"[..]));
        assert_eq!(opened(b"other", &made), None);
        let spoil = |change: fn(&mut Detached)| {
            let mut other = made.clone();
            change(&mut other);
            other
        };
        for other in [
            spoil(|parts| parts.salt[0] ^= 1),
            spoil(|parts| parts.iv[0] ^= 1),
            spoil(|parts| parts.ciphertext[0] ^= 1),
            spoil(|parts| parts.tag[0] ^= 1),
        ] {
            assert_eq!(opened(&made.salt, &other), None);
        }
        let another = Material::generate(Spec::SymmetricDefault, &SystemRandom).unwrap();
        assert!(another.decrypt_detached(&made.salt, &made).is_err());
        let mac = Material::generate(Spec::Hmac256, &SystemRandom).unwrap();
        assert!(mac.encrypt_detached(|_| Vec::new(), b"text").is_err());
    }
}
