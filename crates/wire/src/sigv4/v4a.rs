//! SigV4A: ECDSA over P-256 with a key pair derived from the secret access key.
//!
//! The derivation is the counter-mode KDF of NIST SP 800-108 with HMAC-SHA256, repeated until the
//! candidate lies in the order of the curve.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

/// The public half of a derived pair, as an uncompressed point.
pub(super) struct PublicKey(Vec<u8>);

/// The order of P-256, less two.
const ORDER_LESS_TWO: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x4f,
];

/// The public key of a secret access key.
pub(super) fn derive(access_key_id: &str, secret: &str) -> Option<PublicKey> {
    let mut input = Vec::with_capacity(5 + secret.len());
    input.extend_from_slice(b"AWS4A");
    input.extend_from_slice(secret.as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &input);
    input.fill(0);
    for counter in 1..=254u8 {
        let mut fixed = Vec::new();
        fixed.extend_from_slice(&1u32.to_be_bytes());
        fixed.extend_from_slice(b"AWS4-ECDSA-P256-SHA256");
        fixed.push(0);
        fixed.extend_from_slice(access_key_id.as_bytes());
        fixed.push(counter);
        fixed.extend_from_slice(&256u32.to_be_bytes());
        let mut candidate: [u8; 32] = hmac::sign(&key, &fixed).as_ref().try_into().ok()?;
        if candidate > ORDER_LESS_TWO {
            continue;
        }
        // The private scalar is the candidate plus one; the bound above keeps it in the order.
        for byte in candidate.iter_mut().rev() {
            let (sum, carry) = byte.overflowing_add(1);
            *byte = sum;
            if !carry {
                break;
            }
        }
        let private = PrivateKey::from_private_key(&ECDH_P256, &candidate);
        candidate.fill(0);
        let public = private.ok()?.compute_public_key().ok()?;
        return Some(PublicKey(public.as_ref().to_vec()));
    }
    None
}

/// A signature that does not verify.
pub(super) struct Wrong;

/// Verifies a signature in hexadecimal of DER.
pub(super) fn verify(key: &PublicKey, text: &str, signature: &str) -> Result<(), Wrong> {
    let signature = hex::decode(signature).map_err(|_| Wrong)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key.0)
        .verify(text.as_bytes(), &signature)
        .map_err(|_| Wrong)
}

#[cfg(test)]
impl PublicKey {
    /// The coordinates in hexadecimal.
    pub(super) fn coordinates(&self) -> (String, String) {
        (hex::encode(&self.0[1..33]), hex::encode(&self.0[33..]))
    }
}
