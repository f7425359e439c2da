//! Private keys of certificates, as their owners hand them in: PEM without a passphrase.

use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, KeyPair,
};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

use crate::SecretString;

/// The public key that belongs to a private one, as the bits of a `subjectPublicKey` (RFC 5280,
/// section 4.1): an `RSAPublicKey` (RFC 8017) or an uncompressed point (RFC 5480).
///
/// Reads the first private key of the text: PKCS #1, PKCS #8 or SEC 1; RSA of 2,048 to 8,192 bits, or
/// a key on P-256, P-384 or P-521. `None` where there is none of these, or it is encrypted or not
/// consistent in itself.
pub fn public_key_of(pem: &SecretString) -> Option<Vec<u8>> {
    let key = Zeroizing::new(PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).ok()?);
    match &*key {
        PrivateKeyDer::Pkcs1(key) => rsa(RsaKeyPair::from_der(key.secret_pkcs1_der()).ok()?),
        PrivateKeyDer::Sec1(key) => elliptic(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(key) => {
            let key = key.secret_pkcs8_der();
            RsaKeyPair::from_pkcs8(key).ok().and_then(rsa).or_else(|| elliptic(key))
        }
        _ => None,
    }
}

fn rsa(pair: RsaKeyPair) -> Option<Vec<u8>> {
    Some(pair.public_key().as_ref().to_vec())
}

fn elliptic(der: &[u8]) -> Option<Vec<u8>> {
    [
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        &ECDSA_P384_SHA384_ASN1_SIGNING,
        &ECDSA_P521_SHA512_ASN1_SIGNING,
    ]
    .into_iter()
    .find_map(|curve| EcdsaKeyPair::from_private_key_der(curve, der).ok())
    .map(|pair| pair.public_key().as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    fn pem(label: &str, der: &[u8]) -> SecretString {
        let body = STANDARD.encode(der);
        SecretString::new(format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"))
    }

    #[test]
    fn a_private_key_tells_its_public_key() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let key = pem("PRIVATE KEY", pair.to_pkcs8v1().unwrap().as_ref());
        assert_eq!(public_key_of(&key).unwrap(), pair.public_key().as_ref());

        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let key = pem("PRIVATE KEY", der.as_ref());
        assert_eq!(public_key_of(&key).unwrap(), pair.public_key().as_ref());
    }

    #[test]
    fn what_is_no_plain_private_key_has_none() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        for label in ["ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "CERTIFICATE"] {
            assert!(public_key_of(&pem(label, der.as_ref())).is_none(), "{label}");
        }
        let short = der.as_ref().split_last().unwrap().1;
        assert!(public_key_of(&pem("PRIVATE KEY", short)).is_none());
        assert!(public_key_of(&SecretString::new("nonsense".into())).is_none());
    }
}
