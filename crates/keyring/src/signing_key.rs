//! Keys that this server signs tokens with: RSA and P-384, for JSON web signatures (RFC 7518).

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use std::fmt;

use crate::errors::KeyringError;
use crate::secret::SecretBytes;

/// Bytes of a coordinate on P-384.
const COORDINATE: usize = 48;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, by a key of 2,048 bits.
    Rs256,
    /// ECDSA on P-384 with SHA-384; the signature is R and S, 48 bytes each.
    Es384,
}

/// What verifies signatures, in the parts of a JSON web key (RFC 7518, section 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyingKey {
    /// Modulus and exponent, big-endian, no leading zero.
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    /// The coordinates of the point, 48 bytes each.
    P384 { x: Vec<u8>, y: Vec<u8> },
}

/// A private key, for signing.
pub struct SigningKey(Pair);

enum Pair {
    Rsa(RsaKeyPair),
    P384(EcdsaKeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Makes a key, as PKCS #8, to be kept sealed. An RSA key takes a tenth of a second: not on a
    /// thread that serves.
    ///
    /// # Errors
    /// [`KeyringError::SigningKey`] when none can be made.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<SecretBytes, KeyringError> {
        let no_key = |_| KeyringError::SigningKey;
        match algorithm {
            SigningAlgorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(no_key)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(no_key)?;
                Ok(SecretBytes::new(der.as_ref().to_vec()))
            }
            SigningAlgorithm::Es384 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING);
                let der = pair.and_then(|pair| pair.to_pkcs8v1()).map_err(no_key)?;
                Ok(SecretBytes::new(der.as_ref().to_vec()))
            }
        }
    }

    /// A key that was made by [`SigningKey::generate`].
    ///
    /// # Errors
    /// [`KeyringError::SigningKey`] for anything else.
    pub fn open(algorithm: SigningAlgorithm, pkcs8: &SecretBytes) -> Result<Self, KeyringError> {
        let no_key = |_| KeyringError::SigningKey;
        Ok(Self(match algorithm {
            SigningAlgorithm::Rs256 => {
                Pair::Rsa(RsaKeyPair::from_pkcs8(pkcs8.expose()).map_err(no_key)?)
            }
            SigningAlgorithm::Es384 => {
                let curve = &ECDSA_P384_SHA384_FIXED_SIGNING;
                Pair::P384(EcdsaKeyPair::from_pkcs8(curve, pkcs8.expose()).map_err(no_key)?)
            }
        }))
    }

    /// What others verify its signatures by.
    pub fn verifying_key(&self) -> VerifyingKey {
        match &self.0 {
            Pair::Rsa(pair) => {
                let key = pair.public_key();
                VerifyingKey::Rsa {
                    modulus: key.modulus().big_endian_without_leading_zero().to_vec(),
                    exponent: key.exponent().big_endian_without_leading_zero().to_vec(),
                }
            }
            Pair::P384(pair) => {
                // An uncompressed point: 4, then the coordinates.
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at(COORDINATE);
                VerifyingKey::P384 { x: x.to_vec(), y: y.to_vec() }
            }
        }
    }

    /// The signature of a message, as a JSON web signature has it.
    ///
    /// # Errors
    /// [`KeyringError::SigningKey`] when the key does not sign.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let random = SystemRandom::new();
        let failed = |_| KeyringError::SigningKey;
        match &self.0 {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Pair::P384(pair) => Ok(pair.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{
        ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey,
    };

    /// Whether the parts of a web key verify a signature.
    fn verifies(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
        match key {
            VerifyingKey::Rsa { modulus, exponent } => {
                RsaPublicKeyComponents { n: modulus, e: exponent }
                    .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                    .is_ok()
            }
            VerifyingKey::P384 { x, y } => {
                let point = [&[4][..], x, y].concat();
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
                    .verify(message, signature)
                    .is_ok()
            }
        }
    }

    #[test]
    fn what_a_kept_key_signs_its_own_public_key_alone_verifies() {
        for (algorithm, length) in [(SigningAlgorithm::Rs256, 256), (SigningAlgorithm::Es384, 96)] {
            let kept = SigningKey::generate(algorithm).unwrap();
            let key = SigningKey::open(algorithm, &kept).unwrap();
            let signature = key.sign(b"message").unwrap();
            assert_eq!(signature.len(), length);
            assert!(verifies(&key.verifying_key(), b"message", &signature));
            assert!(!verifies(&key.verifying_key(), b"messagE", &signature));
            let other = SigningKey::generate(algorithm).unwrap();
            let other = SigningKey::open(algorithm, &other).unwrap();
            assert!(!verifies(&other.verifying_key(), b"message", &signature));
        }
    }

    #[test]
    fn what_is_no_key_of_the_algorithm_does_not_open() {
        let kept = SigningKey::generate(SigningAlgorithm::Es384).unwrap();
        assert!(SigningKey::open(SigningAlgorithm::Rs256, &kept).is_err());
        let cut = SecretBytes::new(kept.expose()[1..].to_vec());
        assert!(SigningKey::open(SigningAlgorithm::Es384, &cut).is_err());
    }
}
