//! Public keys: what the owner of a key pair lets others have, and what can be done with it alone.

use super::{EncryptionAlgorithm, MaterialError, Message, SigningAlgorithm, Spec};
use super::{ecc, ed25519, ml_dsa, ml_kem, rsa};
use std::fmt;

/// The public half of a key pair.
pub struct PublicKey {
    spec: Spec,
    der: Vec<u8>,
    form: Form,
}

enum Form {
    Rsa(rsa::Public),
    Ecc(ecc::Public),
    Ed25519(ed25519::Public),
    MlDsa(ml_dsa::Public),
    MlKem(ml_kem::Public),
}

impl PublicKey {
    /// A key in DER, as `SubjectPublicKeyInfo` (RFC 5280, section 4.1) and in no other spelling.
    ///
    /// # Errors
    /// [`MaterialError::PublicKey`] for what is no key of the spec; [`MaterialError::Unsupported`] for
    /// a spec without public keys.
    pub fn from_der(spec: Spec, der: &[u8]) -> Result<Self, MaterialError> {
        let form = match spec {
            Spec::Rsa2048 | Spec::Rsa3072 | Spec::Rsa4096 => {
                Form::Rsa(rsa::Public::from_der(spec, der)?)
            }
            Spec::EccNistP256 | Spec::EccNistP384 | Spec::EccNistP521 | Spec::EccSecgP256K1 => {
                Form::Ecc(ecc::Public::from_der(spec, der)?)
            }
            Spec::EccNistEdwards25519 => Form::Ed25519(ed25519::Public::from_der(der)?),
            Spec::MlDsa44 | Spec::MlDsa65 | Spec::MlDsa87 => {
                Form::MlDsa(ml_dsa::Public::from_der(spec, der)?)
            }
            Spec::MlKem512 | Spec::MlKem768 | Spec::MlKem1024 => {
                Form::MlKem(ml_kem::Public::from_der(spec, der)?)
            }
            Spec::SymmetricDefault
            | Spec::Hmac224
            | Spec::Hmac256
            | Spec::Hmac384
            | Spec::Hmac512 => return Err(MaterialError::Unsupported),
        };
        Ok(Self { spec, der: der.to_vec(), form })
    }

    pub fn spec(&self) -> Spec {
        self.spec
    }

    /// In DER, as `SubjectPublicKeyInfo`: what `GetPublicKey` returns.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Whether the signature is this key's, of this message.
    ///
    /// # Errors
    /// [`MaterialError::Signature`] when it is not; [`MaterialError::Unsupported`] and
    /// [`MaterialError::DigestLength`] as for [`Material::sign`](super::Material::sign).
    pub fn verify(
        &self,
        algorithm: SigningAlgorithm,
        message: Message<'_>,
        signature: &[u8],
    ) -> Result<(), MaterialError> {
        if !self.spec.signing_algorithms().contains(&algorithm) {
            return Err(MaterialError::Unsupported);
        }
        match &self.form {
            Form::Rsa(key) => key.verify(&self.der, algorithm, message, signature),
            Form::Ecc(key) => key.verify(message, signature),
            Form::Ed25519(key) => key.verify(algorithm, message, signature),
            Form::MlDsa(key) => key.verify(self.spec, message, signature),
            Form::MlKem(_) => Err(MaterialError::Unsupported),
        }
    }

    /// Encrypts for the key's owner, with RSA.
    ///
    /// # Errors
    /// [`MaterialError::PlaintextTooLong`]; [`MaterialError::Unsupported`] for another spec or
    /// algorithm.
    pub fn encrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, MaterialError> {
        match &self.form {
            Form::Rsa(key) => key.encrypt(&self.der, algorithm, plaintext),
            _ => Err(MaterialError::Unsupported),
        }
    }

    /// A new shared secret, with ML-KEM.
    ///
    /// # Errors
    /// [`MaterialError::Unsupported`] for another spec.
    pub fn encapsulate(&self) -> Result<ml_kem::Encapsulated, MaterialError> {
        match &self.form {
            Form::MlKem(key) => key.encapsulate(),
            _ => Err(MaterialError::Unsupported),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("spec", &self.spec).finish_non_exhaustive()
    }
}
