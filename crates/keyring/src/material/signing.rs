//! Signing, and the kinds of message that are signed.

use super::{Material, MaterialError, Parsed, SigningAlgorithm};
use aws_lc_rs::digest::{self, Digest};

/// A message, as `MessageType` tells it.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html>
#[derive(Debug, Clone, Copy)]
pub enum Message<'a> {
    /// `RAW`: the message itself.
    Raw(&'a [u8]),
    /// `DIGEST`: its hash, by the hash of the signing algorithm. For `ED25519_PH_SHA_512`, which
    /// hashes by itself, a message of 64 bytes that is hashed once more.
    Digest(&'a [u8]),
    /// `EXTERNAL_MU`: its representative of ML-DSA, 64 bytes (FIPS 204, section 6.2).
    ExternalMu(&'a [u8]),
}

/// A digest that was made elsewhere.
pub(super) fn imported(
    algorithm: &'static digest::Algorithm,
    bytes: &[u8],
) -> Result<Digest, MaterialError> {
    Digest::import_less_safe(bytes, algorithm)
        .map_err(|_| MaterialError::DigestLength { expected: algorithm.output_len() })
}

impl Material {
    /// Signs. RSA's signatures are as long as the modulus, ECDSA's are DER (RFC 3279, section 2.2.3),
    /// Ed25519's are 64 bytes (RFC 8032), ML-DSA's are of FIPS 204 with an empty context, hedged.
    ///
    /// # Errors
    /// [`MaterialError::Unsupported`] for an algorithm that the spec has not, or a kind of message
    /// that the algorithm has not; [`MaterialError::DigestLength`].
    pub fn sign(
        &self,
        algorithm: SigningAlgorithm,
        message: Message<'_>,
    ) -> Result<Vec<u8>, MaterialError> {
        if !self.spec().signing_algorithms().contains(&algorithm) {
            return Err(MaterialError::Unsupported);
        }
        match self.parsed()? {
            Parsed::Rsa(key) => key.sign(algorithm, message),
            Parsed::Ecc(key) => key.sign(message),
            Parsed::Ed25519(key) => key.sign(algorithm, message, self.secret()),
            Parsed::MlDsa(key) => key.sign(self.spec(), message, self.secret()),
            Parsed::Symmetric(_) | Parsed::Hmac(_) | Parsed::MlKem(_) => {
                Err(MaterialError::Unsupported)
            }
        }
    }
}
