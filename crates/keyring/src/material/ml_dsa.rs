//! ML-DSA (FIPS 204): pure, with an empty context, over a message or its representative mu.

use super::ecc::parsed;
use super::{MaterialError, Message, Spec};
use crate::random;
use crate::secret::SecretBytes;
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{
    KeyPair as _, ML_DSA_44, ML_DSA_44_SIGNING, ML_DSA_65, ML_DSA_65_SIGNING, ML_DSA_87,
    ML_DSA_87_SIGNING, ParsedPublicKey, PqdsaKeyPair, PqdsaSigningAlgorithm,
    PqdsaVerificationAlgorithm,
};
use ml_dsa::signature::rand_core::{TryCryptoRng, TryRng};
use ml_dsa::{MlDsa44, MlDsa65, MlDsa87, MlDsaParams, Signature, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

pub(super) const SEED_LEN: usize = 32;
const MU_LEN: usize = 64;

pub(super) struct Key(PqdsaKeyPair);

fn algorithms(
    spec: Spec,
) -> Result<(&'static PqdsaSigningAlgorithm, &'static PqdsaVerificationAlgorithm), MaterialError> {
    match spec {
        Spec::MlDsa44 => Ok((&ML_DSA_44_SIGNING, &ML_DSA_44)),
        Spec::MlDsa65 => Ok((&ML_DSA_65_SIGNING, &ML_DSA_65)),
        Spec::MlDsa87 => Ok((&ML_DSA_87_SIGNING, &ML_DSA_87)),
        _ => Err(MaterialError::Unsupported),
    }
}

impl Key {
    pub(super) fn new(spec: Spec, seed: &[u8]) -> Result<Self, MaterialError> {
        let pair = PqdsaKeyPair::from_seed(algorithms(spec)?.0, seed);
        pair.map(Self).map_err(|_| MaterialError::Failed)
    }

    pub(super) fn public_der(&self) -> Result<Vec<u8>, MaterialError> {
        let der: PublicKeyX509Der<'_> =
            self.0.public_key().as_der().map_err(|_| MaterialError::Failed)?;
        Ok(der.as_ref().to_vec())
    }

    pub(super) fn sign(
        &self,
        spec: Spec,
        message: Message<'_>,
        seed: &[u8],
    ) -> Result<Vec<u8>, MaterialError> {
        match message {
            Message::Raw(message) => {
                let mut signature = vec![0; self.0.algorithm().signature_len()];
                self.0.sign(message, &mut signature).map_err(|_| MaterialError::Failed)?;
                Ok(signature)
            }
            Message::ExternalMu(mu) => match spec {
                Spec::MlDsa44 => sign_mu::<MlDsa44>(seed, mu),
                Spec::MlDsa65 => sign_mu::<MlDsa65>(seed, mu),
                Spec::MlDsa87 => sign_mu::<MlDsa87>(seed, mu),
                _ => Err(MaterialError::Unsupported),
            },
            Message::Digest(_) => Err(MaterialError::Unsupported),
        }
    }
}

fn representative(mu: &[u8]) -> Result<&[u8; MU_LEN], MaterialError> {
    mu.try_into().map_err(|_| MaterialError::DigestLength { expected: MU_LEN })
}

/// The key is expanded for this signature and wiped: kept, it would be one more copy of the secret.
fn sign_mu<P: MlDsaParams>(seed: &[u8], mu: &[u8]) -> Result<Vec<u8>, MaterialError> {
    let mu = representative(mu)?;
    let seed: &[u8; SEED_LEN] = seed.try_into().map_err(|_| MaterialError::Failed)?;
    let signature = SigningKey::<P>::from_seed(seed.into())
        .expanded_key()
        .sign_mu_randomized(mu.into(), &mut System)
        .map_err(|_| MaterialError::Failed)?;
    Ok(signature.encode().to_vec())
}

/// The system's random bytes, as ml-dsa takes them.
struct System;

impl TryRng for System {
    type Error = NoRandom;

    fn try_next_u32(&mut self) -> Result<u32, NoRandom> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, NoRandom> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), NoRandom> {
        random::fill(out).map_err(|_| NoRandom)
    }
}

impl TryCryptoRng for System {}

#[derive(Debug, thiserror::Error)]
#[error("the system gave no random bytes")]
struct NoRandom;

/// PKCS #8 with the seed, alone or beside the expanded key (RFC 9881, section 6). An expanded key alone
/// is refused: the seed cannot be had from it, and the seed is what is kept.
pub(super) fn import(spec: Spec, bytes: &[u8]) -> Result<SecretBytes, MaterialError> {
    let algorithm = algorithms(spec)?.0;
    let pair = PqdsaKeyPair::from_pkcs8(algorithm, bytes)
        .map_err(|_| MaterialError::Rejected("it is no private key of the spec in PKCS #8"))?;
    // aws-lc writes the seed alone, and it ends what it writes.
    let der = pair
        .to_pkcs8v1()
        .map_err(|_| MaterialError::Rejected("the private key comes without its seed"))?;
    let seed = der.as_ref().last_chunk::<SEED_LEN>().ok_or(MaterialError::Failed)?;
    let seed = SecretBytes(Zeroizing::new(seed.to_vec()));
    let again = Key::new(spec, seed.expose())?;
    if again.0.public_key().as_ref() != pair.public_key().as_ref() {
        return Err(MaterialError::Failed);
    }
    Ok(seed)
}

pub(super) struct Public(ParsedPublicKey);

impl Public {
    pub(super) fn from_der(spec: Spec, der: &[u8]) -> Result<Self, MaterialError> {
        parsed(algorithms(spec)?.1, der).map(Self)
    }

    pub(super) fn verify(
        &self,
        spec: Spec,
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<(), MaterialError> {
        let der = self.0.as_ref();
        let valid = match message {
            Message::Raw(message) => self.0.verify_sig(message, signature).is_ok(),
            Message::ExternalMu(mu) => match spec {
                Spec::MlDsa44 => verify_mu::<MlDsa44, 1312>(der, mu, signature)?,
                Spec::MlDsa65 => verify_mu::<MlDsa65, 1952>(der, mu, signature)?,
                Spec::MlDsa87 => verify_mu::<MlDsa87, 2592>(der, mu, signature)?,
                _ => return Err(MaterialError::Unsupported),
            },
            Message::Digest(_) => return Err(MaterialError::Unsupported),
        };
        if valid { Ok(()) } else { Err(MaterialError::Signature) }
    }
}

/// The raw key is the last part of its DER.
fn verify_mu<P: MlDsaParams, const LEN: usize>(
    der: &[u8],
    mu: &[u8],
    signature: &[u8],
) -> Result<bool, MaterialError> {
    let mu = representative(mu)?;
    let raw = der.last_chunk::<LEN>().ok_or(MaterialError::PublicKey)?;
    let raw = raw.as_slice().try_into().map_err(|_| MaterialError::PublicKey)?;
    let Ok(signature) = Signature::<P>::try_from(signature) else { return Ok(false) };
    Ok(VerifyingKey::<P>::decode(&raw).verify_mu(mu.into(), &signature))
}
