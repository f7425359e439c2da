//! Key material of KMS: making, keeping and using the keys behind KMS keys.
//!
//! # The words
//!
//! - **Key material** is the secret of one version of a KMS key, of one [`Spec`]. [`Material`] holds
//!   it and does with it what the key is for; nobody outside this crate sees it.
//! - A **ciphertext blob** is what symmetric material encrypts to. It names its key, so that whoever
//!   decrypts need not say which key it was: [`Blob::parse`] tells, and promises nothing.
//! - An **encryption context** is bound to a blob and not kept in it.
//! - A **data key pair** is made for somebody else and forgotten: the one private key that is handed
//!   out.
//! - A **wrapping key** is an RSA key made for one import; what was wrapped for it becomes material.
//!
//! # How it is kept
//!
//! A record that holds material is sealed as a whole before it is written, and says so field by field
//! (`#[serde(with = "sealed_only")]`); a serializer of a text format is refused. Material is held in
//! one shape a spec, whichever way it came: the 32 bytes of a symmetric key, the bytes of an HMAC key,
//! the seed of Ed25519, ML-DSA and ML-KEM, PKCS #8 as aws-lc writes it for RSA and the elliptic
//! curves. So imported material is recognised when it comes again ([`Material::fingerprint`]).
//!
//! The parsed form is made on first use and kept with the bytes, because parsing costs as much as
//! using. Measured on a shared 2-core AMD EPYC (`benches/material.rs`): a signature of RSA-2048 takes
//! 0.37 ms, with parsing 1.06; of P-256 22 and 39 µs; of ML-DSA-65 0.14 and 0.27 ms. A
//! [`Material::duplicate`] shares both; when the last of them goes, both are wiped.
//!
//! # Example
//!
//! ```
//! use ringfence_keyring::SystemRandom;
//! use ringfence_keyring::material::{Blob, EncryptionContext, Material, Message};
//! use ringfence_keyring::material::{SigningAlgorithm, Spec};
//!
//! let key = Material::generate(Spec::SymmetricDefault, &SystemRandom)?;
//! let context = EncryptionContext::new([("purpose", "example")]);
//! let blob = key.encrypt(b"key 1, material 1", &context, b"hunter2")?;
//!
//! let blob = Blob::parse(&blob)?;
//! assert_eq!(blob.key_id(), b"key 1, material 1"); // Whose key and policy to ask for.
//! assert_eq!(key.decrypt(&blob, &context)?.expose(), b"hunter2");
//! assert!(key.decrypt(&blob, &EncryptionContext::default()).is_err());
//!
//! let key = Material::generate(Spec::EccNistP256, &SystemRandom)?;
//! let signature = key.sign(SigningAlgorithm::EcdsaSha256, Message::Raw(b"hello"))?;
//! key.public_key()?.verify(SigningAlgorithm::EcdsaSha256, Message::Raw(b"hello"), &signature)?;
//! # Ok::<(), ringfence_keyring::material::MaterialError>(())
//! ```

mod agreement;
mod blob;
mod ecc;
mod ed25519;
mod errors;
mod hmac;
mod ml_dsa;
mod ml_kem;
mod public_key;
mod rsa;
mod signing;
mod spec;
mod symmetric;
mod wrapping;

#[cfg(test)]
mod tests;

pub use blob::{Blob, EncryptionContext};
pub use errors::MaterialError;
pub use ml_kem::Encapsulated;
pub use public_key::PublicKey;
pub use signing::Message;
pub use spec::{EncryptionAlgorithm, MacAlgorithm, SigningAlgorithm, Spec, WrappingAlgorithm};
pub use symmetric::Detached;

use crate::parts;
use crate::random::Random;
use crate::secret::SecretBytes;
use aws_lc_rs::hkdf;
use std::fmt;
use std::sync::{Arc, OnceLock};
use zeroize::Zeroizing;

/// Separates what is derived from material here from every other use of the same bytes. Changing it
/// makes every ciphertext blob unreadable.
const SALT: &[u8] = b"ringfence key material 1";

/// The first byte of material that is kept.
const FORMAT: u8 = 1;

/// The secret of one version of a KMS key, and what it can do.
///
/// No `Clone`, `PartialEq` or `Serialize`; `Debug` shows the spec alone. To keep one in a record that
/// is sealed as a whole, see [`sealed_only`](crate::sealed_only).
pub struct Material(Arc<Inner>);

struct Inner {
    spec: Spec,
    /// In the one shape of the spec.
    secret: SecretBytes,
    parsed: OnceLock<Parsed>,
    public: OnceLock<PublicKey>,
}

enum Parsed {
    Symmetric(symmetric::Key),
    Rsa(Box<rsa::Key>),
    Ecc(Box<ecc::Key>),
    Ed25519(ed25519::Key),
    Hmac(hmac::Key),
    MlDsa(ml_dsa::Key),
    MlKem(ml_kem::Key),
}

impl Material {
    /// New material.
    ///
    /// RSA and the curves of NIST and SECG draw from the system whatever `random` is: aws-lc takes no
    /// other source for them.
    ///
    /// # Errors
    /// [`MaterialError::Random`] when there are no random bytes.
    pub fn generate(spec: Spec, random: &dyn Random) -> Result<Self, MaterialError> {
        let secret = match spec {
            Spec::SymmetricDefault => drawn(random, symmetric::KEY_LEN)?,
            Spec::Rsa2048 | Spec::Rsa3072 | Spec::Rsa4096 => rsa::generate(spec)?,
            Spec::EccNistP256 | Spec::EccNistP384 | Spec::EccNistP521 | Spec::EccSecgP256K1 => {
                ecc::generate(spec)?
            }
            Spec::EccNistEdwards25519 => drawn(random, ed25519::SEED_LEN)?,
            Spec::Hmac224 | Spec::Hmac256 | Spec::Hmac384 | Spec::Hmac512 => {
                drawn(random, hmac::generated_len(spec)?)?
            }
            Spec::MlDsa44 | Spec::MlDsa65 | Spec::MlDsa87 => drawn(random, ml_dsa::SEED_LEN)?,
            Spec::MlKem512 | Spec::MlKem768 | Spec::MlKem1024 => drawn(random, ml_kem::SEED_LEN)?,
        };
        Ok(Self::held(spec, secret))
    }

    /// Material that somebody else made, as `ImportKeyMaterial` takes it once unwrapped: 32 bytes for
    /// [`Spec::SymmetricDefault`], 28 to 128 bytes for HMAC, PKCS #8 in DER for the rest (ML-DSA and
    /// ML-KEM with their seed).
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-conceptual.html#importing-keys-material-requirements>
    ///
    /// It is checked to be of the spec, consistent in itself, and for RSA not weak in the known ways.
    ///
    /// # Errors
    /// [`MaterialError::Rejected`].
    pub fn import(spec: Spec, bytes: &SecretBytes) -> Result<Self, MaterialError> {
        let bytes = bytes.expose();
        let plain = spec == Spec::SymmetricDefault || !spec.mac_algorithms().is_empty();
        if !plain && !is_one_sequence(bytes) {
            return Err(MaterialError::Rejected("it is no private key in PKCS #8"));
        }
        let secret = match spec {
            Spec::SymmetricDefault => symmetric::import(bytes)?,
            Spec::Rsa2048 | Spec::Rsa3072 | Spec::Rsa4096 => rsa::import(spec, bytes)?,
            Spec::EccNistP256 | Spec::EccNistP384 | Spec::EccNistP521 | Spec::EccSecgP256K1 => {
                ecc::import(spec, bytes)?
            }
            Spec::EccNistEdwards25519 => ed25519::import(bytes)?,
            Spec::Hmac224 | Spec::Hmac256 | Spec::Hmac384 | Spec::Hmac512 => {
                hmac::import(spec, bytes)?
            }
            Spec::MlDsa44 | Spec::MlDsa65 | Spec::MlDsa87 => ml_dsa::import(spec, bytes)?,
            Spec::MlKem512 | Spec::MlKem768 | Spec::MlKem1024 => ml_kem::import(spec, bytes)?,
        };
        Ok(Self::held(spec, secret))
    }

    fn held(spec: Spec, secret: SecretBytes) -> Self {
        let (parsed, public) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { spec, secret, parsed, public }))
    }

    /// What the material is for.
    pub fn spec(&self) -> Spec {
        self.0.spec
    }

    /// The same material a second time, on purpose. Both are one in memory.
    pub fn duplicate(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    /// Tells the same material from other material without revealing any of it, once it is gone too:
    /// equal for equal material, spec and `place`, and otherwise never. Nothing that the material
    /// makes can be computed from it.
    pub fn fingerprint(&self, place: &[&[u8]]) -> [u8; 32] {
        let place = parts::joined(place);
        let mut out = [0; 32];
        let info: [&[u8]; 3] = [b"fingerprint", self.spec().as_str().as_bytes(), &place];
        derive(self.secret(), &info, &mut out);
        out
    }

    /// The public half of an asymmetric key.
    ///
    /// # Errors
    /// [`MaterialError::Unsupported`] for symmetric and HMAC keys; [`MaterialError::Failed`] for
    /// material that was kept and is none.
    pub fn public_key(&self) -> Result<&PublicKey, MaterialError> {
        if let Some(public) = self.0.public.get() {
            return Ok(public);
        }
        let der = match self.parsed()? {
            Parsed::Symmetric(_) | Parsed::Hmac(_) => return Err(MaterialError::Unsupported),
            Parsed::Rsa(key) => key.public_der()?,
            Parsed::Ecc(key) => key.public_der()?,
            Parsed::Ed25519(key) => key.public_der()?,
            Parsed::MlDsa(key) => key.public_der()?,
            Parsed::MlKem(key) => key.public_der(),
        };
        let public = PublicKey::from_der(self.spec(), &der).map_err(|_| MaterialError::Failed)?;
        Ok(self.0.public.get_or_init(|| public))
    }

    fn secret(&self) -> &[u8] {
        self.0.secret.expose()
    }

    /// The key in the form that is used, parsed once.
    fn parsed(&self) -> Result<&Parsed, MaterialError> {
        if let Some(parsed) = self.0.parsed.get() {
            return Ok(parsed);
        }
        let (spec, secret) = (self.spec(), self.secret());
        let parsed = match spec {
            Spec::SymmetricDefault => Parsed::Symmetric(symmetric::Key::new(secret)),
            Spec::Rsa2048 | Spec::Rsa3072 | Spec::Rsa4096 => {
                Parsed::Rsa(Box::new(rsa::Key::new(secret)?))
            }
            Spec::EccNistP256 | Spec::EccNistP384 | Spec::EccNistP521 | Spec::EccSecgP256K1 => {
                Parsed::Ecc(Box::new(ecc::Key::new(spec, secret)?))
            }
            Spec::EccNistEdwards25519 => Parsed::Ed25519(ed25519::Key::new(secret)?),
            Spec::Hmac224 | Spec::Hmac256 | Spec::Hmac384 | Spec::Hmac512 => {
                Parsed::Hmac(hmac::Key::new(spec, secret)?)
            }
            Spec::MlDsa44 | Spec::MlDsa65 | Spec::MlDsa87 => {
                Parsed::MlDsa(ml_dsa::Key::new(spec, secret)?)
            }
            Spec::MlKem512 | Spec::MlKem768 | Spec::MlKem1024 => {
                Parsed::MlKem(ml_kem::Key::new(spec, secret)?)
            }
        };
        Ok(self.0.parsed.get_or_init(|| parsed))
    }

    /// What a sealed record keeps: a format, the spec's name behind its length, the secret.
    pub(crate) fn to_kept(&self) -> Zeroizing<Vec<u8>> {
        let (name, secret) = (self.spec().as_str().as_bytes(), self.secret());
        let mut kept = Zeroizing::new(Vec::with_capacity(2 + name.len() + secret.len()));
        // INVARIANT: names of specs are short.
        kept.extend_from_slice(&[FORMAT, name.len() as u8]);
        kept.extend_from_slice(name);
        kept.extend_from_slice(secret);
        kept
    }

    /// What [`to_kept`](Self::to_kept) wrote. The secret is looked at when it is used.
    pub(crate) fn from_kept(kept: &[u8]) -> Option<Self> {
        let (&[FORMAT, len], rest) = kept.split_first_chunk::<2>()? else { return None };
        let (name, secret) = rest.split_at_checked(usize::from(len))?;
        let spec = Spec::parse(std::str::from_utf8(name).ok()?)?;
        Some(Self::held(spec, SecretBytes::new(secret.to_vec())))
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("spec", &self.spec()).finish_non_exhaustive()
    }
}

/// A key pair for use outside, as `GenerateDataKeyPair` gives it.
#[derive(Debug)]
pub struct DataKeyPair {
    /// PKCS #8 in DER; ML-KEM's with the seed alone.
    pub private_key: SecretBytes,
    pub public_key: PublicKey,
}

impl DataKeyPair {
    /// # Errors
    /// [`MaterialError::Unsupported`] for a spec that no data key pair has: symmetric, HMAC, ML-DSA.
    /// <https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKeyPair.html>
    pub fn generate(spec: Spec, random: &dyn Random) -> Result<Self, MaterialError> {
        if !spec.has_data_key_pairs() {
            return Err(MaterialError::Unsupported);
        }
        let pair = Material::generate(spec, random)?;
        let private_key = match pair.parsed()? {
            Parsed::Rsa(_) | Parsed::Ecc(_) => pair.0.secret.duplicate(),
            Parsed::Ed25519(key) => key.pkcs8()?,
            Parsed::MlKem(_) => ml_kem::pkcs8(spec, pair.secret())?,
            Parsed::Symmetric(_) | Parsed::Hmac(_) | Parsed::MlDsa(_) => {
                return Err(MaterialError::Unsupported);
            }
        };
        let public_key = PublicKey::from_der(spec, pair.public_key()?.as_der())?;
        Ok(Self { private_key, public_key })
    }
}

fn drawn(random: &dyn Random, len: usize) -> Result<SecretBytes, MaterialError> {
    let mut secret = SecretBytes::new(vec![0; len]);
    random.fill(secret.expose_mut()).map_err(|_| MaterialError::Random)?;
    Ok(secret)
}

/// Whether these bytes are one DER sequence and nothing behind it: aws-lc does not look there.
fn is_one_sequence(bytes: &[u8]) -> bool {
    let len = match bytes {
        [0x30, len @ ..=0x7f, rest @ ..] => Some((usize::from(*len), rest)),
        [0x30, 0x81, len, rest @ ..] => Some((usize::from(*len), rest)),
        [0x30, 0x82, high, low, rest @ ..] => {
            Some((usize::from(u16::from_be_bytes([*high, *low])), rest))
        }
        _ => None,
    };
    len.is_some_and(|(len, rest)| len == rest.len())
}

/// HKDF-SHA256 (RFC 5869) of material, for one purpose.
// INVARIANT: an output of one block is the only thing that HKDF-Expand is asked for.
#[expect(clippy::expect_used, reason = "cannot fail for the length asked; see above")]
fn derive(secret: &[u8], info: &[&[u8]], out: &mut [u8; 32]) {
    hkdf::Salt::new(hkdf::HKDF_SHA256, SALT)
        .extract(secret)
        .expand(&[&parts::joined(info)], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(out))
        .expect("an output of one block");
}
