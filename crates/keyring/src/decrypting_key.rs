//! RSA keys of others that what was encrypted for their owner is opened with: SAML assertions.
//! <https://www.w3.org/TR/xmlenc-core1/>

use crate::secret::{SecretBytes, SecretString};
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{self, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{self, OaepAlgorithm, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use std::fmt;
use zeroize::Zeroizing;

/// The hash of RSA-OAEP and of its mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oaep {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Oaep {
    fn algorithm(self) -> &'static OaepAlgorithm {
        match self {
            Self::Sha1 => &rsa::OAEP_SHA1_MGF1SHA1,
            Self::Sha256 => &rsa::OAEP_SHA256_MGF1SHA256,
            Self::Sha384 => &rsa::OAEP_SHA384_MGF1SHA384,
            Self::Sha512 => &rsa::OAEP_SHA512_MGF1SHA512,
        }
    }
}

/// The cipher of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageCipher {
    Aes128Cbc,
    Aes256Cbc,
    Aes128Gcm,
    Aes256Gcm,
}

/// A key that is no RSA key of 2,048 to 8,192 bits, or a message that it does not open: no more is
/// told, so that nobody learns by asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the private key does not open it")]
pub struct Unopened;

/// An RSA key, for opening.
pub struct DecryptingKey(OaepPrivateDecryptingKey);

impl fmt::Debug for DecryptingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecryptingKey")
    }
}

/// What stands before an RSA key in PKCS #1 to make it PKCS #8: version and algorithm.
const RSA_IN_PKCS8: &[u8] =
    &[0x02, 1, 0, 0x30, 13, 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 0x05, 0];

impl DecryptingKey {
    /// The key of a PEM file, PKCS #8 or PKCS #1, that is not itself encrypted.
    ///
    /// # Errors
    /// [`Unopened`] for anything else.
    pub fn from_pem(pem: &SecretString) -> Result<Self, Unopened> {
        let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| Unopened)?;
        let pkcs8 = match &key {
            PrivateKeyDer::Pkcs8(key) => Zeroizing::new(key.secret_pkcs8_der().to_vec()),
            PrivateKeyDer::Pkcs1(key) => {
                let key = der(0x04, &[key.secret_pkcs1_der()])?;
                der(0x30, &[RSA_IN_PKCS8, &key])?
            }
            _ => return Err(Unopened),
        };
        let key = PrivateDecryptingKey::from_pkcs8(&pkcs8).map_err(|_| Unopened)?;
        OaepPrivateDecryptingKey::new(key).map(Self).map_err(|_| Unopened)
    }

    /// Opens a message whose key was wrapped for this one.
    ///
    /// # Errors
    /// [`Unopened`].
    pub fn open(
        &self,
        oaep: Oaep,
        wrapped: &[u8],
        cipher: MessageCipher,
        message: &[u8],
    ) -> Result<SecretBytes, Unopened> {
        let mut room = Zeroizing::new(vec![0; self.0.min_output_size()]);
        let key =
            self.0.decrypt(oaep.algorithm(), wrapped, &mut room, None).map_err(|_| Unopened)?;
        match cipher {
            MessageCipher::Aes128Cbc => cbc(&cipher::AES_128, key, message),
            MessageCipher::Aes256Cbc => cbc(&cipher::AES_256, key, message),
            MessageCipher::Aes128Gcm => gcm(&aead::AES_128_GCM, key, message),
            MessageCipher::Aes256Gcm => gcm(&aead::AES_256_GCM, key, message),
        }
    }
}

/// A DER value whose content is these parts.
fn der(tag: u8, parts: &[&[u8]]) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u16::try_from(length).map_err(|_| Unopened)?.to_be_bytes();
    let mut out = Zeroizing::new(vec![tag, 0x82, length[0], length[1]]);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Ok(out)
}

/// An initialisation vector, then whole blocks, the last byte telling how many bytes are padding.
fn cbc(
    algorithm: &'static cipher::Algorithm,
    key: &[u8],
    message: &[u8],
) -> Result<SecretBytes, Unopened> {
    let (iv, rest) = message.split_first_chunk::<16>().ok_or(Unopened)?;
    let key = UnboundCipherKey::new(algorithm, key).map_err(|_| Unopened)?;
    let key = cipher::DecryptingKey::cbc(key).map_err(|_| Unopened)?;
    let mut blocks = Zeroizing::new(rest.to_vec());
    let iv = DecryptionContext::Iv128(FixedLength::from(iv));
    let plain = key.decrypt(&mut blocks, iv).map_err(|_| Unopened)?;
    let padding = usize::from(*plain.last().ok_or(Unopened)?);
    let end = plain.len().checked_sub(padding).filter(|_| (1..=16).contains(&padding));
    Ok(SecretBytes::new(plain[..end.ok_or(Unopened)?].to_vec()))
}

/// A nonce, then the message and its tag.
fn gcm(
    algorithm: &'static aead::Algorithm,
    key: &[u8],
    message: &[u8],
) -> Result<SecretBytes, Unopened> {
    let (nonce, rest) = message.split_first_chunk::<12>().ok_or(Unopened)?;
    let key = LessSafeKey::new(UnboundKey::new(algorithm, key).map_err(|_| Unopened)?);
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let mut sealed = Zeroizing::new(rest.to_vec());
    let plain = key.open_in_place(nonce, Aad::empty(), &mut sealed).map_err(|_| Unopened)?;
    Ok(SecretBytes::new(plain.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeySize, OaepPublicEncryptingKey};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn pem(kind: &str, der: &[u8]) -> SecretString {
        SecretString::new(format!(
            "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
            STANDARD.encode(der)
        ))
    }

    #[test]
    fn a_message_opens_by_its_key_whichever_form_that_has() {
        let key = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = key.as_der().unwrap();
        let pkcs8 = pkcs8.as_ref().to_vec();
        // The PKCS #1 key is the last part of the PKCS #8 one.
        let pkcs1 = &pkcs8[26..];
        let message_key = [7; 16];
        let public = OaepPublicEncryptingKey::new(key.public_key()).unwrap();
        let mut wrapped = vec![0; public.ciphertext_size()];
        public.encrypt(&rsa::OAEP_SHA1_MGF1SHA1, &message_key, &mut wrapped, None).unwrap();
        let sealing = LessSafeKey::new(UnboundKey::new(&aead::AES_128_GCM, &message_key).unwrap());
        let mut message = b"assertion".to_vec();
        let nonce = Nonce::assume_unique_for_key([1; 12]);
        sealing.seal_in_place_append_tag(nonce, Aad::empty(), &mut message).unwrap();
        let message = [&[1; 12][..], &message].concat();
        for pem in [pem("PRIVATE KEY", &pkcs8), pem("RSA PRIVATE KEY", pkcs1)] {
            let key = DecryptingKey::from_pem(&pem).unwrap();
            let open = |oaep, cipher, message| key.open(oaep, &wrapped, cipher, message);
            let opened = open(Oaep::Sha1, MessageCipher::Aes128Gcm, &message).unwrap();
            assert_eq!(opened.expose(), b"assertion");
            assert!(open(Oaep::Sha256, MessageCipher::Aes128Gcm, &message).is_err());
            assert!(open(Oaep::Sha1, MessageCipher::Aes256Gcm, &message).is_err());
            assert!(open(Oaep::Sha1, MessageCipher::Aes128Gcm, &message[1..]).is_err());
            assert!(open(Oaep::Sha1, MessageCipher::Aes128Cbc, &message[..9]).is_err());
            assert!(!format!("{key:?}").contains('7'));
        }
    }

    #[test]
    fn what_is_no_rsa_key_is_refused() {
        for text in ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
        {
            assert_eq!(
                DecryptingKey::from_pem(&SecretString::new(text.into())).err(),
                Some(Unopened)
            );
        }
    }
}
