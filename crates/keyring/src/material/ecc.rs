//! The curves of NIST and SECG: ECDSA (FIPS 186-5) with the hash of the curve's length.

use super::signing::imported;
use super::{MaterialError, Message, Spec};
use crate::secret::SecretBytes;
use aws_lc_rs::agreement;
use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1,
    ECDSA_P256K1_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING,
    ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    EcdsaVerificationAlgorithm, KeyPair as _, ParsedPublicKey,
};

pub(super) struct Key {
    hash: &'static digest::Algorithm,
    signing: EcdsaKeyPair,
    /// Of the curves that agreement is offered on.
    pub(super) agreeing: Option<agreement::PrivateKey>,
}

/// A curve: how to sign, how to verify, and the hash.
type Curve = (
    &'static EcdsaSigningAlgorithm,
    &'static EcdsaVerificationAlgorithm,
    &'static digest::Algorithm,
);

fn curve(spec: Spec) -> Result<Curve, MaterialError> {
    Ok(match spec {
        Spec::EccNistP256 => (&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_ASN1, &SHA256),
        Spec::EccNistP384 => (&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1, &SHA384),
        Spec::EccNistP521 => (&ECDSA_P521_SHA512_ASN1_SIGNING, &ECDSA_P521_SHA512_ASN1, &SHA512),
        Spec::EccSecgP256K1 => {
            (&ECDSA_P256K1_SHA256_ASN1_SIGNING, &ECDSA_P256K1_SHA256_ASN1, &SHA256)
        }
        _ => return Err(MaterialError::Unsupported),
    })
}

pub(super) fn agreement_on(spec: Spec) -> Option<&'static agreement::Algorithm> {
    match spec {
        Spec::EccNistP256 => Some(&agreement::ECDH_P256),
        Spec::EccNistP384 => Some(&agreement::ECDH_P384),
        Spec::EccNistP521 => Some(&agreement::ECDH_P521),
        _ => None,
    }
}

impl Key {
    pub(super) fn new(spec: Spec, pkcs8: &[u8]) -> Result<Self, MaterialError> {
        let (algorithm, _, hash) = curve(spec)?;
        let signing =
            EcdsaKeyPair::from_pkcs8(algorithm, pkcs8).map_err(|_| MaterialError::Failed)?;
        let agreeing = agreement_on(spec)
            .map(|algorithm| agreement::PrivateKey::from_private_key_der(algorithm, pkcs8))
            .transpose()
            .map_err(|_| MaterialError::Failed)?;
        Ok(Self { hash, signing, agreeing })
    }

    pub(super) fn public_der(&self) -> Result<Vec<u8>, MaterialError> {
        let der: PublicKeyX509Der<'_> =
            self.signing.public_key().as_der().map_err(|_| MaterialError::Failed)?;
        Ok(der.as_ref().to_vec())
    }

    pub(super) fn sign(&self, message: Message<'_>) -> Result<Vec<u8>, MaterialError> {
        let signature = match message {
            Message::Raw(message) => self.signing.sign(&SystemRandom::new(), message),
            Message::Digest(bytes) => self.signing.sign_digest(&imported(self.hash, bytes)?),
            Message::ExternalMu(_) => return Err(MaterialError::Unsupported),
        };
        Ok(signature.map_err(|_| MaterialError::Failed)?.as_ref().to_vec())
    }
}

pub(super) fn generate(spec: Spec) -> Result<SecretBytes, MaterialError> {
    let pair = EcdsaKeyPair::generate(curve(spec)?.0).map_err(|_| MaterialError::Failed)?;
    kept(&pair)
}

/// The scalar, the curve and the point: the scalar alone decides.
pub(super) fn import(spec: Spec, bytes: &[u8]) -> Result<SecretBytes, MaterialError> {
    // Checks that the scalar is in range and the point belongs to it.
    let pair = EcdsaKeyPair::from_pkcs8(curve(spec)?.0, bytes).map_err(|_| {
        MaterialError::Rejected("it is no private key on the spec's curve in PKCS #8")
    })?;
    kept(&pair)
}

fn kept(pair: &EcdsaKeyPair) -> Result<SecretBytes, MaterialError> {
    let der = pair.to_pkcs8v1().map_err(|_| MaterialError::Failed)?;
    Ok(SecretBytes::new(der.as_ref().to_vec()))
}

pub(super) struct Public {
    hash: &'static digest::Algorithm,
    key: ParsedPublicKey,
}

impl Public {
    pub(super) fn from_der(spec: Spec, der: &[u8]) -> Result<Self, MaterialError> {
        let (_, algorithm, hash) = curve(spec)?;
        Ok(Self { hash, key: parsed(algorithm, der)? })
    }

    pub(super) fn verify(
        &self,
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<(), MaterialError> {
        match message {
            Message::Raw(message) => self.key.verify_sig(message, signature),
            Message::Digest(bytes) => {
                self.key.verify_digest_sig(&imported(self.hash, bytes)?, signature)
            }
            Message::ExternalMu(_) => return Err(MaterialError::Unsupported),
        }
        .map_err(|_| MaterialError::Signature)
    }
}

/// A key that is written the one way that aws-lc writes it; it reads others too.
pub(super) fn parsed(
    algorithm: &'static dyn aws_lc_rs::signature::VerificationAlgorithm,
    der: &[u8],
) -> Result<ParsedPublicKey, MaterialError> {
    let key = ParsedPublicKey::new(algorithm, der).map_err(|_| MaterialError::PublicKey)?;
    let again: PublicKeyX509Der<'_> = key.as_der().map_err(|_| MaterialError::PublicKey)?;
    if again.as_ref() == der { Ok(key) } else { Err(MaterialError::PublicKey) }
}
