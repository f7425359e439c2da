//! ML-KEM (FIPS 203): shared secrets that are encapsulated for the owner of a key.

use super::{Material, MaterialError, Parsed, Spec};
use crate::secret::SecretBytes;
use aws_lc_rs::kem::{
    Algorithm, Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_512, ML_KEM_768, ML_KEM_1024,
};
// Deprecated as a form to keep keys in; it is the form that aws-lc-rs takes.
#[expect(deprecated, reason = "see above")]
use ml_kem::ExpandedKeyEncoding;
use ml_kem::{DecapsulationKey512, DecapsulationKey768, DecapsulationKey1024};
use zeroize::Zeroizing;

pub(super) const SEED_LEN: usize = 64;
const SHARED_SECRET_LEN: usize = 32;

/// A new shared secret, and what its owner recovers it from.
#[derive(Debug)]
pub struct Encapsulated {
    /// 32 bytes.
    pub shared_secret: SecretBytes,
    /// 768, 1,088 or 1,568 bytes.
    pub ciphertext: Vec<u8>,
}

pub(super) struct Key {
    decapsulating: DecapsulationKey,
    /// `SubjectPublicKeyInfo`.
    public_der: Vec<u8>,
}

/// A set of parameters: the algorithm, the last byte of its object identifier, the lengths of its
/// public key and ciphertext (FIPS 203, table 3).
struct Parameters {
    algorithm: &'static Algorithm,
    identifier: u8,
    public_len: usize,
    ciphertext_len: usize,
}

fn parameters(spec: Spec) -> Result<Parameters, MaterialError> {
    let (algorithm, identifier, public_len, ciphertext_len) = match spec {
        Spec::MlKem512 => (&ML_KEM_512, 1, 800, 768),
        Spec::MlKem768 => (&ML_KEM_768, 2, 1184, 1088),
        Spec::MlKem1024 => (&ML_KEM_1024, 3, 1568, 1568),
        _ => return Err(MaterialError::Unsupported),
    };
    Ok(Parameters { algorithm, identifier, public_len, ciphertext_len })
}

/// The algorithm identifier: 2.16.840.1.101.3.4.4.N, without parameters (RFC 9935, section 3).
fn algorithm_identifier(parameters: &Parameters) -> [u8; 13] {
    const ID: [u8; 12] = [0x30, 11, 0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 3, 4, 4];
    let mut out = [parameters.identifier; 13];
    out[..12].copy_from_slice(&ID);
    out
}

/// What stands before the raw public key in its `SubjectPublicKeyInfo` (RFC 9935, section 4).
fn spki_prefix(parameters: &Parameters) -> Vec<u8> {
    // INVARIANT: both lengths fit two bytes and need them; a bit string begins with a zero byte.
    let bits = (parameters.public_len as u16 + 1).to_be_bytes();
    let all = (parameters.public_len as u16 + 1 + 4 + 13).to_be_bytes();
    let mut out = vec![0x30, 0x82, all[0], all[1]];
    out.extend_from_slice(&algorithm_identifier(parameters));
    out.extend_from_slice(&[0x03, 0x82, bits[0], bits[1], 0]);
    out
}

/// What stands before the seed in its PKCS #8 (RFC 9935, section 6): `[0]`, 64 bytes.
fn pkcs8_prefix(parameters: &Parameters) -> Vec<u8> {
    let mut out = vec![0x30, 84, 0x02, 1, 0];
    out.extend_from_slice(&algorithm_identifier(parameters));
    out.extend_from_slice(&[0x04, 66, 0x80, 64]);
    out
}

pub(super) fn pkcs8(spec: Spec, seed: &[u8]) -> Result<SecretBytes, MaterialError> {
    let prefix = pkcs8_prefix(&parameters(spec)?);
    let mut out = Zeroizing::new(Vec::with_capacity(prefix.len() + seed.len()));
    out.extend_from_slice(&prefix);
    out.extend_from_slice(seed);
    Ok(SecretBytes(out))
}

/// PKCS #8 with the seed, alone or beside the expanded key that belongs to it (RFC 9935, section 6):
/// the first is what `GenerateDataKeyPair` writes, the second what OpenSSL does. Every seed is a key.
pub(super) fn import(spec: Spec, bytes: &[u8]) -> Result<SecretBytes, MaterialError> {
    const SEED_IN_BOTH: usize = 30;
    for at in [pkcs8_prefix(&parameters(spec)?).len(), SEED_IN_BOTH] {
        let Some(seed) = bytes.get(at..at + SEED_LEN) else { continue };
        let written =
            if at == SEED_IN_BOTH { pkcs8_of_both(spec, seed)? } else { pkcs8(spec, seed)? };
        if written.matches(bytes) {
            return Ok(SecretBytes::new(seed.to_vec()));
        }
    }
    Err(MaterialError::Rejected("it is no seed of the spec in PKCS #8"))
}

/// PKCS #8 with the seed and the expanded key.
pub(super) fn pkcs8_of_both(spec: Spec, seed: &[u8]) -> Result<SecretBytes, MaterialError> {
    let expanded = expanded(spec, seed)?;
    // INVARIANT: an expanded key has 1,632 to 3,168 bytes, so each of these lengths needs two.
    let long = |tag: u8, len: usize| [tag, 0x82, (len >> 8) as u8, len as u8];
    let both = 2 + SEED_LEN + 4 + expanded.len();
    let mut out = Zeroizing::new(Vec::with_capacity(28 + both));
    out.extend_from_slice(&long(0x30, 3 + 13 + 4 + 4 + both));
    out.extend_from_slice(&[0x02, 1, 0]);
    out.extend_from_slice(&algorithm_identifier(&parameters(spec)?));
    out.extend_from_slice(&long(0x04, 4 + both));
    out.extend_from_slice(&long(0x30, both));
    out.extend_from_slice(&[0x04, 64]);
    out.extend_from_slice(seed);
    out.extend_from_slice(&long(0x04, expanded.len()));
    out.extend_from_slice(&expanded);
    Ok(SecretBytes(out))
}

/// The private key as FIPS 203 keeps it.
#[expect(deprecated, reason = "the form that aws-lc-rs takes")]
fn expanded(spec: Spec, seed: &[u8]) -> Result<Zeroizing<Vec<u8>>, MaterialError> {
    let seed: Zeroizing<[u8; SEED_LEN]> =
        Zeroizing::new(seed.try_into().map_err(|_| MaterialError::Failed)?);
    let seed = (*seed).into();
    let mut out = Zeroizing::new(Vec::new());
    macro_rules! expand {
        ($key:ty) => {{
            let mut bytes = <$key>::from_seed(seed).to_expanded_bytes();
            out.extend_from_slice(&bytes);
            zeroize::Zeroize::zeroize(bytes.as_mut_slice());
        }};
    }
    match spec {
        Spec::MlKem512 => expand!(DecapsulationKey512),
        Spec::MlKem768 => expand!(DecapsulationKey768),
        Spec::MlKem1024 => expand!(DecapsulationKey1024),
        _ => return Err(MaterialError::Unsupported),
    }
    Ok(out)
}

impl Key {
    pub(super) fn new(spec: Spec, seed: &[u8]) -> Result<Self, MaterialError> {
        let parameters = parameters(spec)?;
        let expanded = expanded(spec, seed)?;
        let decapsulating = DecapsulationKey::new(parameters.algorithm, &expanded)
            .map_err(|_| MaterialError::Failed)?;
        // The public key, its hash and a secret of 32 bytes each end the expanded key (FIPS 203,
        // algorithm 16).
        let public = expanded
            .len()
            .checked_sub(64)
            .and_then(|end| expanded.get(end.checked_sub(parameters.public_len)?..end))
            .ok_or(MaterialError::Failed)?;
        let public_der = [&spki_prefix(&parameters), public].concat();
        Ok(Self { decapsulating, public_der })
    }

    pub(super) fn public_der(&self) -> Vec<u8> {
        self.public_der.clone()
    }
}

pub(super) struct Public(EncapsulationKey);

impl Public {
    pub(super) fn from_der(spec: Spec, der: &[u8]) -> Result<Self, MaterialError> {
        let parameters = parameters(spec)?;
        let raw = der
            .strip_prefix(spki_prefix(&parameters).as_slice())
            .filter(|raw| raw.len() == parameters.public_len && reduced(raw))
            .ok_or(MaterialError::PublicKey)?;
        EncapsulationKey::new(parameters.algorithm, raw)
            .map(Self)
            .map_err(|_| MaterialError::PublicKey)
    }

    pub(super) fn encapsulate(&self) -> Result<Encapsulated, MaterialError> {
        let (ciphertext, shared) = self.0.encapsulate().map_err(|_| MaterialError::Failed)?;
        let shared_secret = SecretBytes::new(shared.as_ref().to_vec());
        Ok(Encapsulated { shared_secret, ciphertext: ciphertext.as_ref().to_vec() })
    }
}

/// The modulus check of FIPS 203, section 7.2: each 12-bit coefficient is below 3,329.
fn reduced(public: &[u8]) -> bool {
    let (coefficients, _seed) = public.split_at(public.len() - 32);
    coefficients.chunks_exact(3).all(|three| {
        let [a, b, c] = [three[0], three[1], three[2]].map(u16::from);
        (a | (b & 0xf) << 8) < 3329 && (b >> 4 | c << 4) < 3329
    })
}

impl Material {
    /// The shared secret that a ciphertext stands for. A ciphertext of another key, or an altered one,
    /// gives another secret and no error: ML-KEM rejects implicitly.
    ///
    /// # Errors
    /// [`MaterialError::Ciphertext`] for one of another length; [`MaterialError::Unsupported`] for
    /// another spec.
    pub fn decapsulate(&self, ciphertext: &[u8]) -> Result<SecretBytes, MaterialError> {
        let Parsed::MlKem(key) = self.parsed()? else { return Err(MaterialError::Unsupported) };
        if ciphertext.len() != parameters(self.spec())?.ciphertext_len {
            return Err(MaterialError::Ciphertext);
        }
        let shared = key
            .decapsulating
            .decapsulate(Ciphertext::from(ciphertext))
            .map_err(|_| MaterialError::Failed)?;
        if shared.as_ref().len() != SHARED_SECRET_LEN {
            return Err(MaterialError::Failed);
        }
        Ok(SecretBytes::new(shared.as_ref().to_vec()))
    }
}
