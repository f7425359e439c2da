//! X.509 certificates in PEM: reading them, and whether one signed another.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_2048_8192_SHA384, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::der::{Decode, Encode};
use x509_cert::time::Time;

/// A certificate.
pub(crate) struct Certificate {
    parsed: x509_cert::Certificate,
    der: Vec<u8>,
}

/// The certificates of a text of PEM sections; `None` where there are more than `most`, or anything
/// else: text between the sections is what AWS refuses too, <https://github.com/aws/aws-cli/issues/715>.
pub(crate) fn read_all(pem: &str, most: usize) -> Option<Vec<Certificate>> {
    let sections = sections(pem).filter(|sections| *sections <= most)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|der| Certificate::read(der.ok()?.as_ref()))
        .collect::<Option<_>>()?;
    (found.len() == sections).then_some(found)
}

/// The one certificate of a text.
pub(crate) fn read_one(pem: &str) -> Option<Certificate> {
    read_all(pem, 1)?.pop()
}

/// How many certificates' sections a text has, and nothing else.
fn sections(pem: &str) -> Option<usize> {
    let (mut sections, mut inside) = (0, false);
    for line in pem.lines().map(str::trim) {
        inside = match (inside, line) {
            (false, "") => false,
            (false, "-----BEGIN CERTIFICATE-----") => true,
            (true, "-----END CERTIFICATE-----") => {
                sections += 1;
                false
            }
            (true, line) if !line.starts_with('-') => true,
            _ => return None,
        }
    }
    (!inside && sections > 0).then_some(sections)
}

impl Certificate {
    fn read(der: &[u8]) -> Option<Self> {
        let parsed = x509_cert::Certificate::from_der(der).ok()?;
        Some(Self { parsed, der: der.to_vec() })
    }

    /// The SHA-256 of its DER, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        hex::encode(digest(&SHA256, &self.der))
    }

    /// When it ends, in seconds.
    pub fn not_after(&self) -> i64 {
        seconds(&self.parsed.tbs_certificate.validity.not_after)
    }

    /// Whether it is good at a time.
    pub fn is_good_at(&self, now: i64) -> bool {
        seconds(&self.parsed.tbs_certificate.validity.not_before) <= now && now <= self.not_after()
    }

    /// Its `subjectPublicKey`.
    pub fn public_key(&self) -> &[u8] {
        let info = &self.parsed.tbs_certificate.subject_public_key_info;
        info.subject_public_key.as_bytes().unwrap_or_default()
    }

    /// Whether another one's subject is this one's issuer, and its key made this one's signature.
    pub fn is_signed_by(&self, issuer: &Certificate) -> bool {
        let (own, by) = (&self.parsed.tbs_certificate, &issuer.parsed.tbs_certificate);
        let Some(signature) = self.parsed.signature.as_bytes() else { return false };
        let Ok(signed) = own.to_der() else { return false };
        own.issuer == by.subject
            && algorithms(&self.parsed.signature_algorithm.oid.to_string()).iter().any(
                |algorithm| {
                    UnparsedPublicKey::new(*algorithm, issuer.public_key())
                        .verify(&signed, signature)
                        .is_ok()
                },
            )
    }
}

fn seconds(time: &Time) -> i64 {
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

/// What a signature algorithm may mean: the curve is the key's to tell, and the hash of RSASSA-PSS
/// its parameters'. RFC 8017, RFC 5758, RFC 8410.
fn algorithms(oid: &str) -> &'static [&'static dyn VerificationAlgorithm] {
    match oid {
        "1.2.840.113549.1.1.5" => &[&RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY],
        "1.2.840.113549.1.1.11" => &[&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY],
        "1.2.840.113549.1.1.12" => &[&RSA_PKCS1_2048_8192_SHA384],
        "1.2.840.113549.1.1.13" => &[&RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY],
        "1.2.840.113549.1.1.10" => {
            &[&RSA_PSS_2048_8192_SHA256, &RSA_PSS_2048_8192_SHA384, &RSA_PSS_2048_8192_SHA512]
        }
        "1.2.840.10045.4.3.2" => {
            &[&ECDSA_P256_SHA256_ASN1, &ECDSA_P384_SHA256_ASN1, &ECDSA_P521_SHA256_ASN1]
        }
        "1.2.840.10045.4.3.3" => {
            &[&ECDSA_P256_SHA384_ASN1, &ECDSA_P384_SHA384_ASN1, &ECDSA_P521_SHA384_ASN1]
        }
        "1.2.840.10045.4.3.4" => {
            &[&ECDSA_P256_SHA512_ASN1, &ECDSA_P384_SHA512_ASN1, &ECDSA_P521_SHA512_ASN1]
        }
        "1.3.101.112" => &[&ED25519],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made by `openssl`: a leaf on P-256, the root that signed it, and another of the root's name.
    const LEAF: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBGjCBwQIUPNIYGN0VayriNp7I/PTE0eSJpHUwCgYIKoZIzj0EAwIwDzENMAsG\n\
A1UEAwwEUm9vdDAgFw0yNjExMjYwOTU0MjhaGA8yMTI2MTEwMjA5NTQyOFowDzEN\n\
MAsGA1UEAwwEbGVhZjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBUGdfwJ7QWm\n\
yAMtc/1+VvAeFh8IgPyh50otoVFeB9dtJW7yyIve1y37KUtgD3XNU8yQiD8Gi1Sn\n\
C8LV59CY2MQwCgYIKoZIzj0EAwIDSAAwRQIhAMJ1g9Gwwpn03cDyBmo8023x8q37\n\
gRkSZsLBLpRuq2R9AiBjoxgRX5atLeQ+wGHaU+UbdGTrUxo1/uiRqp7pnbUd+Q==\n\
-----END CERTIFICATE-----\n\
";
    const ROOT: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBdTCCARugAwIBAgIUVOjby+DKQIknpLMrs8tzRPKS+wYwCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEUm9vdDAgFw0yNjExMjYwOTU0MjhaGA8yMTI2MTEwMjA5NTQy\n\
OFowDzENMAsGA1UEAwwEUm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABEhg\n\
K8HHhhR4Hh6y3xJQfu+upTdQ/OTTCKQ5cgkVxAlB7Wni5+hhVv4HrmwplJaFYEF/\n\
VjWzhak3QfoqExYTtHGjUzBRMB0GA1UdDgQWBBSEv8Tw5/8xBjJHGZYqJ3EkqwBw\n\
BDAfBgNVHSMEGDAWgBSEv8Tw5/8xBjJHGZYqJ3EkqwBwBDAPBgNVHRMBAf8EBTAD\n\
AQH/MAoGCCqGSM49BAMCA0gAMEUCIQC1hwkYX+ENKfw7Vk4xifLcCqdamAWyjqQu\n\
g7/PkPkHPQIgMF7LgecUl6Covy+X2lIEWlynOrnYEJK+i5DlqkPIxgI=\n\
-----END CERTIFICATE-----\n\
";
    const FAKE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBsTCCATigAwIBAgIUDDIMOGhM0jhRAum7LHrq62EtgL0wCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEUm9vdDAgFw0yNjExMjYwOTU0MjhaGA8yMTI2MTEwMjA5NTQy\n\
OFowDzENMAsGA1UEAwwEUm9vdDB2MBAGByqGSM49AgEGBSuBBAAiA2IABG0QBjEW\n\
b/bgCjhcX3o2Rv5zTZjZ+KK6lMTjt+Rrt9M70DApHHEZWkLEnPEt/PYVOIYoM1K7\n\
OyDZ1CToXzcU46pmQpvcjnc0gJ3IklE/1KlzisiSTiRVuKrA65GThb26o6NTMFEw\n\
HQYDVR0OBBYEFN/ZJQ36X0qfYL7wurGDeZLit/DaMB8GA1UdIwQYMBaAFN/ZJQ36\n\
X0qfYL7wurGDeZLit/DaMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDZwAw\n\
ZAIwN5Yz6dUEwAu+sK1IMOycOrLXJwHwJQyksgbt86pWWgQMjHYWE/XHL/Lq6Ph2\n\
AMRVAjAKUSEpc5s9Vd+AUQVoGlGcSfzpLt4uEXNC7rJTvW7EzlQkeLVUmz4KzNNF\n\
JmFRyzc=\n\
-----END CERTIFICATE-----\n\
";

    #[test]
    fn a_certificate_is_signed_by_its_issuers_key_and_no_other_of_the_name() {
        let [leaf, root, fake] = [LEAF, ROOT, FAKE].map(|pem| read_one(pem).unwrap());
        assert!(leaf.is_signed_by(&root) && root.is_signed_by(&root) && fake.is_signed_by(&fake));
        assert!(!leaf.is_signed_by(&fake) && !root.is_signed_by(&leaf));
        assert_eq!(leaf.public_key().len(), 65);
    }

    #[test]
    fn a_certificate_is_good_from_its_first_second_to_its_last() {
        let leaf = read_one(LEAF).unwrap();
        let first = 1_795_686_868;
        let last = leaf.not_after();
        assert_eq!(last - first, 36_500 * 86_400);
        for (at, good) in [(first - 1, false), (first, true), (last, true), (last + 1, false)] {
            assert_eq!(leaf.is_good_at(at), good, "{at}");
        }
    }

    #[test]
    fn a_text_is_certificates_and_nothing_else() {
        let both = format!("{LEAF}\n\n{ROOT}");
        assert_eq!(read_all(&both, 2).unwrap().len(), 2);
        assert!(read_one(&both).is_none() && read_all(&both, 1).is_none());
        assert_eq!(read_all(&LEAF.replace('\n', "\r\n"), 9).unwrap().len(), 1);
        let key = LEAF.replace("CERTIFICATE", "PUBLIC KEY");
        for text in [
            "",
            "nonsense",
            &format!("Certificate:\n{LEAF}"),
            &format!("{LEAF}trailing"),
            &LEAF.replace("-----END CERTIFICATE-----", ""),
            &format!("{LEAF}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"),
            &LEAF.replace("MIIB", "MIIC"),
            &format!("{LEAF}{key}"),
            &key,
        ] {
            assert!(read_all(text, 9).is_none(), "{text}");
        }
    }
}
