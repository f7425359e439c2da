//! Ed25519 (RFC 8032, FIPS 186-5): pure, and over a hash (Ed25519ph).
//!
//! `ED25519_SHA_512` takes messages, `ED25519_PH_SHA_512` takes digests; and though it takes a digest,
//! KMS hashes that once more, as Ed25519ph does with its message.
//! <https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html>

use super::ecc::parsed;
use super::{MaterialError, Message, SigningAlgorithm};
use crate::secret::SecretBytes;
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use ed25519_dalek::{Digest as _, Sha512, Signature, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

pub(super) const SEED_LEN: usize = 32;
const DIGEST_LEN: usize = 64;

pub(super) struct Key(Ed25519KeyPair);

impl Key {
    pub(super) fn new(seed: &[u8]) -> Result<Self, MaterialError> {
        Ed25519KeyPair::from_seed_unchecked(seed).map(Self).map_err(|_| MaterialError::Failed)
    }

    pub(super) fn public_der(&self) -> Result<Vec<u8>, MaterialError> {
        let der: PublicKeyX509Der<'_> =
            self.0.public_key().as_der().map_err(|_| MaterialError::Failed)?;
        Ok(der.as_ref().to_vec())
    }

    pub(super) fn pkcs8(&self) -> Result<SecretBytes, MaterialError> {
        let der = self.0.to_pkcs8v1().map_err(|_| MaterialError::Failed)?;
        Ok(SecretBytes::new(der.as_ref().to_vec()))
    }

    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        message: Message<'_>,
        seed: &[u8],
    ) -> Result<Vec<u8>, MaterialError> {
        match (algorithm, message) {
            (SigningAlgorithm::Ed25519Sha512, Message::Raw(message)) => {
                let signature = self.0.try_sign(message).map_err(|_| MaterialError::Failed)?;
                Ok(signature.as_ref().to_vec())
            }
            (SigningAlgorithm::Ed25519PhSha512, Message::Digest(digest)) => {
                let seed: &[u8; SEED_LEN] = seed.try_into().map_err(|_| MaterialError::Failed)?;
                let signature = SigningKey::from_bytes(seed)
                    .sign_prehashed(hashed(digest)?, None)
                    .map_err(|_| MaterialError::Failed)?;
                Ok(signature.to_bytes().to_vec())
            }
            _ => Err(MaterialError::Unsupported),
        }
    }
}

/// The hash that Ed25519ph begins with, of what the caller calls a digest.
fn hashed(digest: &[u8]) -> Result<Sha512, MaterialError> {
    if digest.len() != DIGEST_LEN {
        return Err(MaterialError::DigestLength { expected: DIGEST_LEN });
    }
    Ok(Sha512::new_with_prefix(digest))
}

pub(super) fn import(bytes: &[u8]) -> Result<SecretBytes, MaterialError> {
    let pair = Ed25519KeyPair::from_pkcs8(bytes)
        .map_err(|_| MaterialError::Rejected("it is no Ed25519 private key in PKCS #8"))?;
    let seed = pair.seed().map_err(|_| MaterialError::Failed)?;
    let bytes = aws_lc_rs::encoding::AsBigEndian::as_be_bytes(&seed);
    let bytes: aws_lc_rs::encoding::Curve25519SeedBin<'_> =
        bytes.map_err(|_| MaterialError::Failed)?;
    let bytes = Zeroizing::new(bytes.as_ref().to_vec());
    Ok(SecretBytes(bytes))
}

pub(super) struct Public {
    key: ParsedPublicKey,
    prehashed: VerifyingKey,
}

impl Public {
    pub(super) fn from_der(der: &[u8]) -> Result<Self, MaterialError> {
        let key = parsed(&ED25519, der)?;
        // The raw key is the last part of its DER.
        let prehashed = der
            .last_chunk::<32>()
            .and_then(|raw| VerifyingKey::from_bytes(raw).ok())
            .ok_or(MaterialError::PublicKey)?;
        Ok(Self { key, prehashed })
    }

    pub(super) fn verify(
        &self,
        algorithm: SigningAlgorithm,
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<(), MaterialError> {
        match (algorithm, message) {
            (SigningAlgorithm::Ed25519Sha512, Message::Raw(message)) => {
                self.key.verify_sig(message, signature).map_err(|_| MaterialError::Signature)
            }
            (SigningAlgorithm::Ed25519PhSha512, Message::Digest(digest)) => {
                let digest = hashed(digest)?;
                Signature::from_slice(signature)
                    .and_then(|signature| self.prehashed.verify_prehashed(digest, None, &signature))
                    .map_err(|_| MaterialError::Signature)
            }
            _ => Err(MaterialError::Unsupported),
        }
    }
}
