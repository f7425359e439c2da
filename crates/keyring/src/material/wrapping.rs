//! Unwrapping key material that is imported.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-get-public-key-and-token.html>

use super::{EncryptionAlgorithm, Material, MaterialError, Parsed, Spec, WrappingAlgorithm};
use crate::secret::SecretBytes;
use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrapPadded as _};

impl WrappingAlgorithm {
    fn oaep(self) -> EncryptionAlgorithm {
        match self {
            Self::RsaesOaepSha1 | Self::RsaAesKeyWrapSha1 => EncryptionAlgorithm::RsaesOaepSha1,
            Self::RsaesOaepSha256 | Self::RsaAesKeyWrapSha256 => {
                EncryptionAlgorithm::RsaesOaepSha256
            }
        }
    }

    fn wraps_directly(self) -> bool {
        matches!(self, Self::RsaesOaepSha1 | Self::RsaesOaepSha256)
    }

    /// Whether material of a spec can be wrapped this way for a wrapping key. RSA keys, which are too
    /// long, cannot be wrapped directly, nor P-521 keys for RSA of 2,048 bits.
    /// <https://docs.aws.amazon.com/kms/latest/APIReference/API_GetParametersForImport.html>
    pub fn wraps(self, material: Spec, wrapping: Spec) -> bool {
        wrapping.rsa_bits().is_some()
            && !(self.wraps_directly()
                && (material.rsa_bits().is_some()
                    || (material == Spec::EccNistP521 && wrapping == Spec::Rsa2048)))
    }
}

impl Material {
    /// What was wrapped with the public key of this pair, which was made for one import.
    ///
    /// `RSA_AES_KEY_WRAP` is an AES key of 256 or 128 bits under OAEP and the material under that key
    /// (AES-KWP, RFC 5649), one after the other: `CKM_RSA_AES_KEY_WRAP` of PKCS #11.
    ///
    /// # Errors
    /// [`MaterialError::Ciphertext`] for anything else; [`MaterialError::Unsupported`] when this is
    /// no RSA key.
    pub fn unwrap(
        &self,
        algorithm: WrappingAlgorithm,
        wrapped: &[u8],
    ) -> Result<SecretBytes, MaterialError> {
        let Parsed::Rsa(key) = self.parsed()? else { return Err(MaterialError::Unsupported) };
        if algorithm.wraps_directly() {
            return key.decrypt(algorithm.oaep(), wrapped);
        }
        let (wrapped_key, wrapped) =
            wrapped.split_at_checked(key.modulus_len()).ok_or(MaterialError::Ciphertext)?;
        let aes = key.decrypt(algorithm.oaep(), wrapped_key)?;
        unwrap_padded(aes.expose(), wrapped)
    }
}

fn unwrap_padded(key: &[u8], wrapped: &[u8]) -> Result<SecretBytes, MaterialError> {
    let cipher = match key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return Err(MaterialError::Ciphertext),
    };
    let key = AesKek::new(cipher, key).map_err(|_| MaterialError::Failed)?;
    let mut room = SecretBytes::new(vec![0; wrapped.len()]);
    let unwrapped = key
        .unwrap_with_padding(wrapped, room.expose_mut())
        .map_err(|_| MaterialError::Ciphertext)?;
    Ok(SecretBytes::new(unwrapped.to_vec()))
}
