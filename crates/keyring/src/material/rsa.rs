//! RSA: OAEP, PSS and PKCS #1 v1.5 signatures (RFC 8017).
//!
//! PSS salts are as long as the hash, and its mask takes the same hash, as AWS documents.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html>

use super::signing::imported;
use super::{
    EncryptionAlgorithm, Material, MaterialError, Message, Parsed, SigningAlgorithm, Spec,
};
use crate::secret::SecretBytes;
use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeyPair, KeySize, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm,
    OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use aws_lc_rs::signature::{self, KeyPair as _, ParsedPublicKey, RsaEncoding, RsaParameters};
use std::sync::OnceLock;

pub(super) struct Key {
    signing: KeyPair,
    decrypting: OaepPrivateDecryptingKey,
}

/// One way of signing: how to sign, how to verify, and the hash.
type Scheme = (&'static dyn RsaEncoding, &'static RsaParameters, &'static digest::Algorithm);

fn scheme(algorithm: SigningAlgorithm) -> Result<Scheme, MaterialError> {
    use SigningAlgorithm as A;
    use signature as s;
    Ok(match algorithm {
        A::RsassaPssSha256 => (&s::RSA_PSS_SHA256, &s::RSA_PSS_2048_8192_SHA256, &SHA256),
        A::RsassaPssSha384 => (&s::RSA_PSS_SHA384, &s::RSA_PSS_2048_8192_SHA384, &SHA384),
        A::RsassaPssSha512 => (&s::RSA_PSS_SHA512, &s::RSA_PSS_2048_8192_SHA512, &SHA512),
        A::RsassaPkcs1V15Sha256 => (&s::RSA_PKCS1_SHA256, &s::RSA_PKCS1_2048_8192_SHA256, &SHA256),
        A::RsassaPkcs1V15Sha384 => (&s::RSA_PKCS1_SHA384, &s::RSA_PKCS1_2048_8192_SHA384, &SHA384),
        A::RsassaPkcs1V15Sha512 => (&s::RSA_PKCS1_SHA512, &s::RSA_PKCS1_2048_8192_SHA512, &SHA512),
        _ => return Err(MaterialError::Unsupported),
    })
}

fn oaep(algorithm: EncryptionAlgorithm) -> Result<&'static OaepAlgorithm, MaterialError> {
    match algorithm {
        EncryptionAlgorithm::RsaesOaepSha1 => Ok(&OAEP_SHA1_MGF1SHA1),
        EncryptionAlgorithm::RsaesOaepSha256 => Ok(&OAEP_SHA256_MGF1SHA256),
        EncryptionAlgorithm::SymmetricDefault => Err(MaterialError::Unsupported),
    }
}

impl Key {
    pub(super) fn new(pkcs8: &[u8]) -> Result<Self, MaterialError> {
        let signing = KeyPair::from_pkcs8(pkcs8).map_err(|_| MaterialError::Failed)?;
        let decrypting = PrivateDecryptingKey::from_pkcs8(pkcs8)
            .ok()
            .and_then(|key| OaepPrivateDecryptingKey::new(key).ok())
            .ok_or(MaterialError::Failed)?;
        Ok(Self { signing, decrypting })
    }

    pub(super) fn public_der(&self) -> Result<Vec<u8>, MaterialError> {
        let der: PublicKeyX509Der<'_> =
            self.signing.public_key().as_der().map_err(|_| MaterialError::Failed)?;
        Ok(der.as_ref().to_vec())
    }

    pub(super) fn sign(
        &self,
        algorithm: SigningAlgorithm,
        message: Message<'_>,
    ) -> Result<Vec<u8>, MaterialError> {
        let (encoding, _, hash) = scheme(algorithm)?;
        let mut signature = vec![0; self.signing.public_modulus_len()];
        let signed = match message {
            Message::Raw(message) => {
                self.signing.sign(encoding, &SystemRandom::new(), message, &mut signature)
            }
            Message::Digest(bytes) => {
                self.signing.sign_digest(encoding, &imported(hash, bytes)?, &mut signature)
            }
            Message::ExternalMu(_) => return Err(MaterialError::Unsupported),
        };
        signed.map_err(|_| MaterialError::Failed)?;
        Ok(signature)
    }

    pub(super) fn decrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<SecretBytes, MaterialError> {
        let algorithm = oaep(algorithm)?;
        let mut room = SecretBytes::new(vec![0; self.decrypting.min_output_size()]);
        let plaintext = self
            .decrypting
            .decrypt(algorithm, ciphertext, room.expose_mut(), None)
            .map_err(|_| MaterialError::Ciphertext)?;
        Ok(SecretBytes::new(plaintext.to_vec()))
    }

    pub(super) fn modulus_len(&self) -> usize {
        self.signing.public_modulus_len()
    }
}

pub(super) fn generate(spec: Spec) -> Result<SecretBytes, MaterialError> {
    let size = match spec {
        Spec::Rsa2048 => KeySize::Rsa2048,
        Spec::Rsa3072 => KeySize::Rsa3072,
        Spec::Rsa4096 => KeySize::Rsa4096,
        _ => return Err(MaterialError::Unsupported),
    };
    kept(&KeyPair::generate(size).map_err(|_| MaterialError::Failed)?)
}

fn kept(pair: &KeyPair) -> Result<SecretBytes, MaterialError> {
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| MaterialError::Failed)?;
    Ok(SecretBytes::new(der.as_ref().to_vec()))
}

/// What stands before the PKCS #1 key in the PKCS #8 that aws-lc writes for 2,048 bits and more.
const PKCS8_HEADER_LEN: usize = 26;

pub(super) fn import(spec: Spec, bytes: &[u8]) -> Result<SecretBytes, MaterialError> {
    // Checks that the modulus, the primes and the exponents belong together.
    let pair = KeyPair::from_pkcs8(bytes)
        .map_err(|_| MaterialError::Rejected("it is no consistent RSA private key in PKCS #8"))?;
    if spec.rsa_bits() != Some(bits(pair.public_key().modulus().big_endian_without_leading_zero()))
    {
        return Err(MaterialError::Rejected("the RSA key has another length than the spec"));
    }
    let secret = kept(&pair)?;
    let components = secret
        .expose()
        .get(PKCS8_HEADER_LEN..)
        .and_then(|der| pkcs1::RsaPrivateKey::try_from(der).ok())
        .ok_or(MaterialError::Failed)?;
    not_weak(&components)?;
    consistent(&secret)?;
    Ok(secret)
}

fn bits(big_endian: &[u8]) -> usize {
    big_endian.first().map_or(0, |first| big_endian.len() * 8 - first.leading_zeros() as usize)
}

/// FIPS 186-5, appendix A.1.1: the exponent is over 2^16, the primes are of half the length and
/// differ within their first 100 bits, or Fermat's method would factor the modulus.
fn not_weak(key: &pkcs1::RsaPrivateKey<'_>) -> Result<(), MaterialError> {
    let exponent = key.public_exponent.as_bytes();
    if bits(exponent) <= 16 {
        return Err(MaterialError::Rejected("the RSA key's public exponent is below 65537"));
    }
    let half = bits(key.modulus.as_bytes()) / 2;
    let (p, q) = (key.prime1.as_bytes(), key.prime2.as_bytes());
    if bits(p) != half || bits(q) != half {
        return Err(MaterialError::Rejected("the RSA key's primes are of different length"));
    }
    // 104 bits, in whole bytes: a sound pair fails by a chance of 2^-103.
    if p.iter().zip(q).take(13).all(|(p, q)| p == q) {
        return Err(MaterialError::Rejected("the RSA key's primes are too close"));
    }
    Ok(())
}

/// Signs and decrypts once. With a factor that is no prime the private exponent does not undo the
/// public one but by a rare chance (Fermat's little theorem), so this is a test of the primes too.
fn consistent(secret: &SecretBytes) -> Result<(), MaterialError> {
    const REJECTED: MaterialError = MaterialError::Rejected("the RSA key is not consistent");
    let key = Key::new(secret.expose()).map_err(|_| REJECTED)?;
    let (signing, oaep) = (SigningAlgorithm::RsassaPssSha256, EncryptionAlgorithm::RsaesOaepSha256);
    let message = Message::Raw(b"pairwise consistency");
    let der = key.public_der()?;
    let public = Public::default();
    let signature = key.sign(signing, message).map_err(|_| REJECTED)?;
    public.verify(&der, signing, message, &signature).map_err(|_| REJECTED)?;
    let ciphertext = public.encrypt(&der, oaep, b"pairwise consistency").map_err(|_| REJECTED)?;
    let opened = key.decrypt(oaep, &ciphertext).map_err(|_| REJECTED)?;
    if opened.matches(b"pairwise consistency") { Ok(()) } else { Err(REJECTED) }
}

/// Parsed once for each use that is made of it: aws-lc-rs binds a parsed key to its algorithm.
#[derive(Default)]
pub(super) struct Public {
    verifying: [OnceLock<ParsedPublicKey>; 6],
    encrypting: OnceLock<OaepPublicEncryptingKey>,
}

impl Public {
    pub(super) fn from_der(spec: Spec, der: &[u8]) -> Result<Self, MaterialError> {
        let key = PublicEncryptingKey::from_der(der).map_err(|_| MaterialError::PublicKey)?;
        let again: PublicKeyX509Der<'_> = key.as_der().map_err(|_| MaterialError::PublicKey)?;
        if again.as_ref() != der || spec.rsa_bits() != Some(key.key_size_bits()) {
            return Err(MaterialError::PublicKey);
        }
        Ok(Self::default())
    }

    pub(super) fn verify(
        &self,
        der: &[u8],
        algorithm: SigningAlgorithm,
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<(), MaterialError> {
        let (_, parameters, hash) = scheme(algorithm)?;
        let place = Spec::Rsa2048.signing_algorithms().iter().position(|one| *one == algorithm);
        let place = place.and_then(|place| self.verifying.get(place));
        let place = place.ok_or(MaterialError::Unsupported)?;
        let key = match place.get() {
            Some(key) => key,
            None => {
                let key = ParsedPublicKey::new(parameters, der);
                let key = key.map_err(|_| MaterialError::PublicKey)?;
                place.get_or_init(|| key)
            }
        };
        match message {
            Message::Raw(message) => key.verify_sig(message, signature),
            Message::Digest(bytes) => key.verify_digest_sig(&imported(hash, bytes)?, signature),
            Message::ExternalMu(_) => return Err(MaterialError::Unsupported),
        }
        .map_err(|_| MaterialError::Signature)
    }

    pub(super) fn encrypt(
        &self,
        der: &[u8],
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, MaterialError> {
        let algorithm = oaep(algorithm)?;
        let key = match self.encrypting.get() {
            Some(key) => key,
            None => {
                let key = PublicEncryptingKey::from_der(der)
                    .ok()
                    .and_then(|key| OaepPublicEncryptingKey::new(key).ok())
                    .ok_or(MaterialError::PublicKey)?;
                self.encrypting.get_or_init(|| key)
            }
        };
        if plaintext.len() > key.max_plaintext_size(algorithm) {
            return Err(MaterialError::PlaintextTooLong);
        }
        let mut ciphertext = vec![0; key.ciphertext_size()];
        key.encrypt(algorithm, plaintext, &mut ciphertext, None)
            .map_err(|_| MaterialError::Failed)?;
        Ok(ciphertext)
    }
}

impl Material {
    /// The plaintext of what was encrypted with the public key.
    ///
    /// # Errors
    /// [`MaterialError::Ciphertext`]; [`MaterialError::Unsupported`] for another spec or algorithm.
    pub fn decrypt_asymmetric(
        &self,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<SecretBytes, MaterialError> {
        match self.parsed()? {
            Parsed::Rsa(key) => key.decrypt(algorithm, ciphertext),
            _ => Err(MaterialError::Unsupported),
        }
    }
}
