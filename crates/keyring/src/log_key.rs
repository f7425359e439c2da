//! The key that signs what a log is known by: Ed25519 (RFC 8032), which any OpenSSL verifies.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

use crate::errors::KeyringError;
use crate::secret::SecretBytes;

/// A private key, for signing.
pub struct LogKey(Ed25519KeyPair);

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogKey")
    }
}

impl LogKey {
    /// Makes a key, as PKCS #8, to be kept sealed.
    ///
    /// # Errors
    /// [`KeyringError::SigningKey`] when none can be made.
    pub fn generate() -> Result<SecretBytes, KeyringError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyringError::SigningKey)?;
        let der = pair.to_pkcs8v1().map_err(|_| KeyringError::SigningKey)?;
        Ok(SecretBytes::new(der.as_ref().to_vec()))
    }

    /// A key that was made by [`LogKey::generate`].
    ///
    /// # Errors
    /// [`KeyringError::SigningKey`] for anything else.
    pub fn open(pkcs8: &SecretBytes) -> Result<Self, KeyringError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.expose());
        Ok(Self(pair.map_err(|_| KeyringError::SigningKey)?))
    }

    /// The signature of a text: 64 bytes.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.0.sign(text).as_ref().to_vec()
    }

    /// What its signatures are verified by.
    ///
    /// # Errors
    /// [`KeyringError::SigningKey`] when it has no encoding, which does not happen.
    pub fn public(&self) -> Result<LogPublicKey, KeyringError> {
        let der: PublicKeyX509Der<'_> =
            self.0.public_key().as_der().map_err(|_| KeyringError::SigningKey)?;
        LogPublicKey::of_der(der.as_ref())
    }
}

/// What verifies the signatures of a [`LogKey`].
pub struct LogPublicKey {
    key: ParsedPublicKey,
    der: Vec<u8>,
}

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

impl LogPublicKey {
    fn of_der(der: &[u8]) -> Result<Self, KeyringError> {
        let key = ParsedPublicKey::new(&ED25519, der).map_err(|_| KeyringError::SigningKey)?;
        Ok(Self { key, der: der.to_vec() })
    }

    /// Reads a `SubjectPublicKeyInfo` in PEM (RFC 7468).
    ///
    /// # Errors
    /// [`KeyringError::SigningKey`] for what is none, or of another kind of key.
    pub fn of_pem(pem: &str) -> Result<Self, KeyringError> {
        let body = pem.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
        let text: String = body.map_or("", |(body, _)| body).split_whitespace().collect();
        let der = STANDARD.decode(text).map_err(|_| KeyringError::SigningKey)?;
        Self::of_der(&der)
    }

    /// Itself in PEM.
    pub fn pem(&self) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(&self.der))
    }

    /// Whether a signature is of this text by the key's other half.
    pub fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(text, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_text_by_one_key() {
        let kept = LogKey::generate().unwrap();
        let key = LogKey::open(&kept).unwrap();
        let public = LogPublicKey::of_pem(&key.public().unwrap().pem()).unwrap();
        let signature = key.sign(b"text");
        assert!(public.verifies(b"text", &signature));
        assert!(!public.verifies(b"Text", &signature));
        assert!(!public.verifies(b"text", &signature[1..]));
        let other = LogKey::open(&LogKey::generate().unwrap()).unwrap().public().unwrap();
        assert!(!other.verifies(b"text", &signature));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(LogKey::open(&SecretBytes::new(vec![7; 48])).is_err());
        for pem in ["", BEGIN, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"] {
            assert!(LogPublicKey::of_pem(pem).is_err(), "{pem}");
        }
    }
}
