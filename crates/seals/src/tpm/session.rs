//! Sessions: what keeps a root key unread, and what is said unaltered, on the bus between processor
//! and TPM.
//!
//! A session is salted: its key comes from a Diffie-Hellman exchange with the storage key, so
//! whoever listens to the bus does not learn it. Under that key the first parameter of a command
//! and of its response is encrypted (AES-128-CFB), and both are authenticated (HMAC-SHA256).
//!
//! Numbers of sections are those of the Trusted Platform Module Library, Part 1: Architecture,
//! revision 1.59 (<https://trustedcomputinggroup.org/resource/tpm-library-specification/>).

use super::TpmError;
use super::marshal::Writer;
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{constant_time, digest, hmac};
use zeroize::Zeroizing;

/// Bytes of a nonce: as many as the session's hash has (section 19.6.3 asks for at least 16).
pub(super) const NONCE: usize = 32;

/// Bytes of a coordinate of P-256.
const COORDINATE: usize = 32;

/// `continueSession` clear: the session ends with the one command that it is for (Part 2, section
/// 8.4). `decrypt`: the command's first parameter is encrypted; `encrypt`: the response's is.
pub(super) const DECRYPT: u8 = 1 << 5;
pub(super) const ENCRYPT: u8 = 1 << 6;

/// A point of P-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Point {
    pub x: Vec<u8>,
    pub y: Vec<u8>,
}

/// What a session's key is to come from: a secret that the storage key alone can tell.
pub(super) struct Salt {
    secret: Zeroizing<[u8; 32]>,
    /// The point that tells it to the TPM.
    pub public: Point,
}

impl Salt {
    /// Draws a salt for the holder of a storage key (section C.6.4, "ECDH").
    pub(super) fn for_key(key: &Point) -> Result<Self, TpmError> {
        let private = EphemeralPrivateKey::generate(&agreement::ECDH_P256, &SystemRandom::new())
            .map_err(|_| TpmError::Cryptography)?;
        let public = private.compute_public_key().map_err(|_| TpmError::Cryptography)?;
        let (x, y) = public
            .as_ref()
            .strip_prefix(&[4])
            .and_then(|point| point.split_at_checked(COORDINATE))
            .ok_or(TpmError::Cryptography)?;
        let public = Point { x: x.to_vec(), y: y.to_vec() };
        let peer = [&[4][..], &padded(&key.x)?, &padded(&key.y)?].concat();
        let peer = UnparsedPublicKey::new(&agreement::ECDH_P256, peer);
        let static_x = padded(&key.x)?;
        let secret = agreement::agree_ephemeral(private, peer, TpmError::Malformed, |shared| {
            Ok(kdf_e(shared, b"SECRET", &public.x, &static_x))
        })?;
        Ok(Self { secret, public })
    }
}

/// A coordinate without its leading zeros has them put back.
fn padded(coordinate: &[u8]) -> Result<[u8; COORDINATE], TpmError> {
    let missing = COORDINATE.checked_sub(coordinate.len()).ok_or(TpmError::Malformed)?;
    let mut out = [0; COORDINATE];
    out[missing..].copy_from_slice(coordinate);
    Ok(out)
}

/// A session for one command.
pub(super) struct Session {
    pub handle: u32,
    key: Zeroizing<[u8; 32]>,
    nonce_caller: [u8; NONCE],
    nonce_tpm: Vec<u8>,
}

impl Session {
    /// A session that the TPM has started: `sessionKey = KDFa(hash, salt, "ATH", nonceTPM,
    /// nonceCaller, bits)` (section 19.6.8). `started_with` is the nonce that it was started with.
    pub(super) fn started(
        handle: u32,
        salt: &Salt,
        started_with: &[u8],
        nonce_tpm: &[u8],
    ) -> Result<Self, TpmError> {
        let key = kdf_a(salt.secret.as_slice(), b"ATH", nonce_tpm, started_with);
        Ok(Self { handle, key, nonce_caller: nonce()?, nonce_tpm: nonce_tpm.to_vec() })
    }

    /// Encrypts the first parameter of the command (section 21.3).
    pub(super) fn encrypt(&self, parameter: &mut [u8]) -> Result<(), TpmError> {
        let (key, iv) = self.cipher(&self.nonce_caller, &self.nonce_tpm)?;
        EncryptingKey::cfb128(key)
            .and_then(|key| key.less_safe_encrypt(parameter, EncryptionContext::Iv128(iv)))
            .map_err(|_| TpmError::Cryptography)?;
        Ok(())
    }

    /// The authorization area of the command (section 19.6.5).
    pub(super) fn authorize(
        &self,
        command_code: u32,
        names: &[&[u8]],
        parameters: &[u8],
        attributes: u8,
    ) -> Vec<u8> {
        let mut hashed = digest::Context::new(&digest::SHA256);
        hashed.update(&command_code.to_be_bytes());
        for name in names {
            hashed.update(name);
        }
        hashed.update(parameters);
        let hash = hashed.finish();
        let tag = self.hmac(hash.as_ref(), &self.nonce_caller, &self.nonce_tpm, attributes);
        Writer::default()
            .u32(self.handle)
            .sized(&self.nonce_caller)
            .u8(attributes)
            .sized(tag.as_ref())
            .0
    }

    /// Checks the response's authorization, and takes its nonce.
    pub(super) fn check(
        &mut self,
        command_code: u32,
        parameters: &[u8],
        nonce_tpm: &[u8],
        attributes: u8,
        tag: &[u8],
    ) -> Result<(), TpmError> {
        let mut hashed = digest::Context::new(&digest::SHA256);
        // The response code of what is authorized is success.
        hashed.update(&0u32.to_be_bytes());
        hashed.update(&command_code.to_be_bytes());
        hashed.update(parameters);
        let hash = hashed.finish();
        let expected = self.hmac(hash.as_ref(), nonce_tpm, &self.nonce_caller, attributes);
        constant_time::verify_slices_are_equal(expected.as_ref(), tag)
            .map_err(|_| TpmError::Tampered)?;
        self.nonce_tpm = nonce_tpm.to_vec();
        Ok(())
    }

    /// Decrypts the first parameter of a response that was checked.
    pub(super) fn decrypt(&self, parameter: &mut [u8]) -> Result<(), TpmError> {
        let (key, iv) = self.cipher(&self.nonce_tpm, &self.nonce_caller)?;
        DecryptingKey::cfb128(key)
            .and_then(|key| key.decrypt(parameter, DecryptionContext::Iv128(iv)).map(|_| ()))
            .map_err(|_| TpmError::Cryptography)
    }

    /// `KDFa(hash, sessionValue, "CFB", nonceNewer, nonceOlder, bits)`: a key and the vector behind
    /// it. What is authorized here has an empty authorization value, so the session's value is its
    /// key.
    fn cipher(
        &self,
        newer: &[u8],
        older: &[u8],
    ) -> Result<(UnboundCipherKey, FixedLength<16>), TpmError> {
        let bytes = kdf_a(self.key.as_slice(), b"CFB", newer, older);
        let (key, iv) = bytes.split_at(16);
        let key = UnboundCipherKey::new(&AES_128, key).map_err(|_| TpmError::Cryptography)?;
        let mut vector = [0; 16];
        vector.copy_from_slice(iv);
        Ok((key, FixedLength::from(vector)))
    }

    fn hmac(&self, hash: &[u8], newer: &[u8], older: &[u8], attributes: u8) -> hmac::Tag {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.as_slice());
        let mut context = hmac::Context::with_key(&key);
        for part in [hash, newer, older, &[attributes]] {
            context.update(part);
        }
        context.sign()
    }
}

pub(super) fn nonce() -> Result<[u8; NONCE], TpmError> {
    let mut nonce = [0; NONCE];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| TpmError::Cryptography)?;
    Ok(nonce)
}

/// `KDFa` for 256 bits: one round of the counter mode of NIST SP 800-108 (section 11.4.10.2).
fn kdf_a(key: &[u8], label: &[u8], u: &[u8], v: &[u8]) -> Zeroizing<[u8; 32]> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    for part in [&1u32.to_be_bytes()[..], label, &[0], u, v, &256u32.to_be_bytes()] {
        context.update(part);
    }
    let mut out = Zeroizing::new([0; 32]);
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// `KDFe` for 256 bits: one round of the hash of NIST SP 800-56A (section 11.4.10.3).
fn kdf_e(z: &[u8], label: &[u8], u: &[u8], v: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [&1u32.to_be_bytes()[..], z, label, &[0], u, v] {
        context.update(part);
    }
    let mut out = Zeroizing::new([0; 32]);
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(private: &EphemeralPrivateKey) -> Point {
        let public = private.compute_public_key().unwrap();
        let (x, y) = public.as_ref()[1..].split_at(COORDINATE);
        Point { x: x.to_vec(), y: y.to_vec() }
    }

    #[test]
    fn a_salt_is_what_the_holder_of_the_key_computes() {
        let holder =
            EphemeralPrivateKey::generate(&agreement::ECDH_P256, &SystemRandom::new()).unwrap();
        let static_point = point(&holder);
        let salt = Salt::for_key(&static_point).unwrap();
        let peer = [&[4], salt.public.x.as_slice(), &salt.public.y].concat();
        let peer = UnparsedPublicKey::new(&agreement::ECDH_P256, peer);
        let secret = agreement::agree_ephemeral(holder, peer, (), |shared| {
            Ok(kdf_e(shared, b"SECRET", &salt.public.x, &static_point.x))
        });
        assert_eq!(*secret.unwrap(), *salt.secret);
    }

    #[test]
    fn a_point_that_is_not_on_the_curve_is_refused() {
        for (x, y) in [(vec![1; 32], vec![1; 32]), (vec![0; 33], vec![0; 32]), (vec![], vec![])] {
            assert!(Salt::for_key(&Point { x, y }).is_err());
        }
    }

    #[test]
    fn a_response_that_was_altered_is_refused() {
        let salt = Salt { secret: Zeroizing::new([7; 32]), public: Point { x: vec![], y: vec![] } };
        let mut session = Session::started(1, &salt, &[1; NONCE], &[2; NONCE]).unwrap();
        let hash =
            digest::digest(&digest::SHA256, &[&[0; 4], &[0, 0, 1, 0x5e], &b"answer"[..]].concat());
        let tag = session.hmac(hash.as_ref(), &[3; NONCE], &session.nonce_caller, 0);
        let mut check = |parameters: &[u8], nonce: &[u8], attributes, tag: &[u8]| {
            session.check(0x15e, parameters, nonce, attributes, tag)
        };
        for (parameters, nonce, attributes, tag) in [
            (&b"answes"[..], [3; NONCE], 0, tag.as_ref()),
            (b"answer", [4; NONCE], 0, tag.as_ref()),
            (b"answer", [3; NONCE], 1, tag.as_ref()),
            (b"answer", [3; NONCE], 0, &[]),
        ] {
            assert_eq!(check(parameters, &nonce, attributes, tag), Err(TpmError::Tampered));
        }
        check(b"answer", &[3; NONCE], 0, tag.as_ref()).unwrap();
    }
}
