//! RSA public keys for SSH, as `ssh-rsa` lines and as PEM.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UploadSSHPublicKey.html>

use md5::{Digest, Md5};
use pkcs1::UintRef;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use ssh_key::public::{KeyData, RsaPublicKey};
use ssh_key::{Mpint, PublicKey};
use x509_cert::der::asn1::{AnyRef, BitStringRef};
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Decode, Encode, EncodePem};
use x509_cert::spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};

/// `rsaEncryption`, RFC 8017.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// The least and the most bits of a modulus; the least is AWS's.
const BITS: std::ops::RangeInclusive<usize> = 2048..=16_384;

/// Why a text is no key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// Neither an `ssh-rsa` line nor PEM.
    Encoding,
    /// Broken, or of another kind or size.
    Invalid,
}

/// How a key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Ssh,
    Pem,
}

/// A key.
#[derive(Debug)]
pub(crate) struct Key {
    /// How it came.
    pub form: Form,
    key: PublicKey,
}

impl Key {
    /// Reads a key.
    pub fn read(body: &str) -> Result<Self, NoKey> {
        let body = body.trim();
        let (form, key) = if body.starts_with("ssh-rsa") {
            (Form::Ssh, from_line(body).ok_or(NoKey::Invalid)?)
        } else if body.starts_with("-----BEGIN ") {
            (Form::Pem, from_pem(body).ok_or(NoKey::Invalid)?)
        } else {
            return Err(NoKey::Encoding);
        };
        let (n, e) = numbers(&key).ok_or(NoKey::Invalid)?;
        let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let odd = e.last().is_some_and(|byte| byte & 1 == 1) && e != [1];
        if BITS.contains(&bits) && odd { Ok(Self { form, key }) } else { Err(NoKey::Invalid) }
    }

    /// The MD5 of the key as SSH sends it, as `ssh-keygen -E md5 -l` prints it.
    pub fn fingerprint(&self) -> Option<String> {
        let digest = Md5::digest(self.key.to_bytes().ok()?);
        Some(digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
    }

    /// Whether it is the same key, however it is written.
    pub fn is(&self, other: &Key) -> bool {
        self.key.key_data() == other.key.key_data()
    }

    /// The key written in a form, without a comment.
    pub fn to(&self, form: Form) -> Option<String> {
        match form {
            Form::Ssh => PublicKey::from(self.key.key_data().clone()).to_openssh().ok(),
            Form::Pem => {
                let (n, e) = numbers(&self.key)?;
                let (modulus, public_exponent) = (UintRef::new(n).ok()?, UintRef::new(e).ok()?);
                let bits = pkcs1::RsaPublicKey { modulus, public_exponent }.to_der().ok()?;
                let info = SubjectPublicKeyInfoRef {
                    algorithm: AlgorithmIdentifierRef { oid: RSA, parameters: Some(AnyRef::NULL) },
                    subject_public_key: BitStringRef::from_bytes(&bits).ok()?,
                };
                info.to_pem(LineEnding::LF).ok()
            }
        }
    }
}

fn from_line(line: &str) -> Option<PublicKey> {
    if line.lines().count() != 1 {
        return None;
    }
    let mut parts = line.split_ascii_whitespace();
    let (algorithm, key) = (parts.next()?, parts.next()?);
    PublicKey::from_openssh(&format!("{algorithm} {key}")).ok()
}

fn from_pem(pem: &str) -> Option<PublicKey> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).ok()?;
    let info = SubjectPublicKeyInfoRef::from_der(&der).ok()?;
    if info.algorithm.oid != RSA {
        return None;
    }
    let key = pkcs1::RsaPublicKey::from_der(info.subject_public_key.as_bytes()?).ok()?;
    let number = |number: UintRef<'_>| Mpint::from_positive_bytes(number.as_bytes()).ok();
    let (n, e) = (number(key.modulus)?, number(key.public_exponent)?);
    Some(KeyData::Rsa(RsaPublicKey { e, n }).into())
}

/// The modulus and the public exponent.
fn numbers(key: &PublicKey) -> Option<(&[u8], &[u8])> {
    let key = key.key_data().rsa()?;
    Some((key.n.as_positive_bytes()?, key.e.as_positive_bytes()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// An `ssh-rsa` line of numbers that need be no product of primes.
    fn line(bits: usize, exponent: &[u8]) -> String {
        let mut modulus = vec![0xff; bits / 8];
        modulus[0] = 0x80;
        let mut blob = Vec::new();
        for part in [b"ssh-rsa".as_slice(), exponent, &[&[0], modulus.as_slice()].concat()] {
            blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            blob.extend(part);
        }
        format!("ssh-rsa {} ann@example.com", STANDARD.encode(blob))
    }

    const F4: &[u8] = &[1, 0, 1];

    #[test]
    fn a_key_is_the_same_in_either_form() {
        let key = Key::read(&line(2048, F4)).unwrap();
        assert_eq!(key.form, Form::Ssh);
        let pem = key.to(Form::Pem).unwrap();
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n"), "{pem}");
        let again = Key::read(&pem).unwrap();
        assert_eq!(again.form, Form::Pem);
        assert!(again.is(&key));
        assert_eq!(again.fingerprint(), key.fingerprint());
        let written = again.to(Form::Ssh).unwrap();
        assert_eq!(written, line(2048, F4).strip_suffix(" ann@example.com").unwrap());
        assert!(!key.is(&Key::read(&line(4096, F4)).unwrap()));
    }

    #[test]
    fn a_key_that_is_short_broken_or_of_another_kind_is_invalid() {
        let good = line(2048, F4);
        let truncated = good.replacen("AAAA", "AAA", 1);
        for (why, body) in [
            ("short", line(1024, F4)),
            ("an even exponent", line(2048, &[2])),
            ("an exponent of one", line(2048, &[1])),
            ("broken", truncated),
            ("two lines", format!("{good}\n{good}")),
            ("nothing", "ssh-rsa".into()),
            ("another kind inside", good.replacen("ssh-rsa ", "ssh-rsa-x ", 1)),
            ("no PEM", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".into()),
        ] {
            assert_eq!(Key::read(&body).unwrap_err(), NoKey::Invalid, "{why}");
        }
        for body in ["", "ssh-ed25519 AAAA", "nonsense", "\u{ff}\u{ff}"] {
            assert_eq!(Key::read(body).unwrap_err(), NoKey::Encoding, "{body}");
        }
    }
}
