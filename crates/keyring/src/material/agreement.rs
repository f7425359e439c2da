//! Key agreement on the curves of NIST: the raw shared secret of ECDH.

use super::ecc::agreement_on;
use super::{Material, MaterialError, Parsed, Spec};
use crate::secret::SecretBytes;
use aws_lc_rs::agreement::{self, ParsedPublicKey, ParsedPublicKeyFormat, UnparsedPublicKey};

impl Material {
    /// The shared secret with the owner of a public key on the same curve, given in DER as
    /// `SubjectPublicKeyInfo`: the x coordinate, as long as the curve's field.
    /// <https://docs.aws.amazon.com/kms/latest/APIReference/API_DeriveSharedSecret.html>
    ///
    /// # Errors
    /// [`MaterialError::PublicKey`] for what is no public key on the curve;
    /// [`MaterialError::Unsupported`] for another spec.
    pub fn agree(&self, peer: &[u8]) -> Result<SecretBytes, MaterialError> {
        let Parsed::Ecc(key) = self.parsed()? else { return Err(MaterialError::Unsupported) };
        let (Some(private), Some(algorithm)) = (&key.agreeing, agreement_on(self.spec())) else {
            return Err(MaterialError::Unsupported);
        };
        if !names_its_curve(self.spec(), peer) {
            return Err(MaterialError::PublicKey);
        }
        let peer = ParsedPublicKey::try_from(UnparsedPublicKey::new(algorithm, peer))
            .map_err(|_| MaterialError::PublicKey)?;
        if peer.format() != ParsedPublicKeyFormat::X509 {
            return Err(MaterialError::PublicKey);
        }
        agreement::agree(private, peer, MaterialError::PublicKey, |secret| {
            Ok(SecretBytes::new(secret.to_vec()))
        })
    }
}

/// Whether the key names the curve of the spec. aws-lc takes keys that spell a curve out as well, and
/// does not look at all that they say of it; RFC 5480, section 2.1.1, forbids them.
fn names_its_curve(spec: Spec, spki: &[u8]) -> bool {
    const P256: &[u8] =
        b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    const P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
    const P521: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23";
    let algorithm = match spec {
        Spec::EccNistP256 => P256,
        Spec::EccNistP384 => P384,
        Spec::EccNistP521 => P521,
        _ => return false,
    };
    // Behind the tag and the length of the whole, which is one byte or two.
    [2, 3].into_iter().any(|at| spki.get(at..).is_some_and(|rest| rest.starts_with(algorithm)))
}
