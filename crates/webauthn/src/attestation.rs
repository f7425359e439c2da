//! Attestations: that a key was made as it is shown, and who says so.
//! <https://www.w3.org/TR/webauthn-3/#sctn-defined-attestation-formats>
//!
//! A statement is verified to be about this key and signed by the certificate that it brings. The
//! certificate itself proves nothing here: see the crate's first page.

use crate::Refused;
use crate::authenticator_data::Attested;
use crate::cbor::{Entries, Key, byte_strings};
use crate::key::{EDDSA, ES256, PublicKey, RS256};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use x509_cert::certificate::Version;
use x509_cert::der::asn1::{Any, OctetString};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::BasicConstraints;

/// What an attestation is about.
pub(crate) struct Subject<'a> {
    pub authenticator_data: &'a [u8],
    pub client_data_hash: &'a [u8; 32],
    /// The relying party's hash, as the authenticator data has it and it was checked.
    pub relying_party: &'a [u8],
    pub attested: &'a Attested<'a>,
    pub key: &'a PublicKey,
}

fn bad(why: &'static str) -> Refused {
    Refused::BadAttestation(why)
}

/// Verifies the statement of a format.
pub(crate) fn verify(format: &str, statement: &[u8], subject: &Subject<'_>) -> Result<(), Refused> {
    let statement = Entries::whole(statement)?;
    match format {
        "none" if statement.len() == 0 => Ok(()),
        "none" => Err(bad("none has no statement")),
        "packed" => packed(&statement, subject),
        "fido-u2f" => fido_u2f(&statement, subject),
        _ => Err(Refused::UnsupportedAttestation),
    }
}

/// <https://www.w3.org/TR/webauthn-3/#sctn-packed-attestation>
fn packed(statement: &Entries<'_>, subject: &Subject<'_>) -> Result<(), Refused> {
    let algorithm = statement.number(Key::Text("alg")).ok_or_else(|| bad("no algorithm"))?;
    let signature = statement.bytes(Key::Text("sig")).ok_or_else(|| bad("no signature"))?;
    let signed = [subject.authenticator_data, subject.client_data_hash].concat();
    let Some(chain) = statement.other(Key::Text("x5c")) else {
        // Of the key itself.
        if algorithm != subject.key.algorithm() {
            return Err(bad("another algorithm than the key's"));
        }
        return subject.key.verify(&signed, signature).map_err(|_| bad("the signature"));
    };
    let chain = byte_strings(chain)?;
    let certificate = Certificate::parse(chain.first().ok_or_else(|| bad("no certificate"))?)?;
    certificate.verify(algorithm, &signed, signature)?;
    certificate.is_of_an_authenticator(&subject.attested.aaguid)
}

/// <https://www.w3.org/TR/webauthn-3/#sctn-fido-u2f-attestation>
fn fido_u2f(statement: &Entries<'_>, subject: &Subject<'_>) -> Result<(), Refused> {
    let signature = statement.bytes(Key::Text("sig")).ok_or_else(|| bad("no signature"))?;
    let chain = statement.other(Key::Text("x5c")).ok_or_else(|| bad("no certificate"))?;
    let chain = byte_strings(chain)?;
    let [certificate] = chain.as_slice() else {
        return Err(bad("not one certificate"));
    };
    let point = subject.key.point().ok_or_else(|| bad("the key is none of U2F"))?;
    if subject.attested.aaguid != [0; 16] {
        return Err(bad("U2F has no model"));
    }
    let signed = [
        &[0],
        subject.relying_party,
        subject.client_data_hash,
        subject.attested.credential_id,
        point,
    ]
    .concat();
    Certificate::parse(certificate)?.verify(ES256, &signed, signature)
}

/// An attestation certificate.
struct Certificate(x509_cert::Certificate);

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EDWARDS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// The model of the authenticator.
const AAGUID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.45724.1.1.4");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");

impl Certificate {
    fn parse(der: &[u8]) -> Result<Self, Refused> {
        let parsed = x509_cert::Certificate::from_der(der);
        parsed.map(Self).map_err(|_| bad("the certificate is no X.509"))
    }

    /// Checks a signature by the certificate's key.
    fn verify(&self, algorithm: i64, message: &[u8], signature: &[u8]) -> Result<(), Refused> {
        let info = &self.0.tbs_certificate.subject_public_key_info;
        let curve = || -> Option<ObjectIdentifier> {
            info.algorithm.parameters.as_ref().and_then(|any: &Any| any.decode_as().ok())
        };
        let verification: &dyn VerificationAlgorithm = match (algorithm, info.algorithm.oid) {
            (ES256, EC_PUBLIC_KEY) if curve() == Some(P256) => &ECDSA_P256_SHA256_ASN1,
            (RS256, RSA) => &RSA_PKCS1_2048_8192_SHA256,
            (EDDSA, EDWARDS) => &ED25519,
            _ => return Err(bad("the certificate's key is of another algorithm")),
        };
        let key = info.subject_public_key.as_bytes().ok_or_else(|| bad("no key"))?;
        UnparsedPublicKey::new(verification, key)
            .verify(message, signature)
            .map_err(|_| bad("the signature"))
    }

    /// <https://www.w3.org/TR/webauthn-3/#sctn-packed-attestation-cert-requirements>
    fn is_of_an_authenticator(&self, aaguid: &[u8; 16]) -> Result<(), Refused> {
        /// Country, organization, organizational unit, common name.
        const NAMES: [ObjectIdentifier; 4] = [
            ObjectIdentifier::new_unwrap("2.5.4.6"),
            ObjectIdentifier::new_unwrap("2.5.4.10"),
            ObjectIdentifier::new_unwrap("2.5.4.11"),
            ObjectIdentifier::new_unwrap("2.5.4.3"),
        ];
        let certificate = &self.0.tbs_certificate;
        if certificate.version != Version::V3 {
            return Err(bad("the certificate is not of version 3"));
        }
        let named: Vec<_> = certificate.subject.0.iter().flat_map(|set| set.0.iter()).collect();
        if !NAMES.iter().all(|oid| named.iter().any(|name| name.oid == *oid)) {
            return Err(bad("the certificate names no maker"));
        }
        let unit = named.iter().find(|name| name.oid == NAMES[2]);
        if unit.is_none_or(|unit| unit.value.value() != b"Authenticator Attestation") {
            return Err(bad("the certificate is of no authenticator"));
        }
        let extensions = certificate.extensions.as_deref().unwrap_or_default();
        let extension = |oid| extensions.iter().find(|extension| extension.extn_id == oid);
        let constraints = extension(BASIC_CONSTRAINTS)
            .and_then(|one| BasicConstraints::from_der(one.extn_value.as_bytes()).ok());
        if constraints.is_none_or(|constraints| constraints.ca) {
            return Err(bad("the certificate is an authority's"));
        }
        if let Some(model) = extension(AAGUID) {
            let wanted = OctetString::new(&aaguid[..]).and_then(|octets| octets.to_der());
            let same = wanted.is_ok_and(|wanted| model.extn_value.as_bytes() == wanted);
            if !same || model.critical {
                return Err(bad("the certificate is of another model"));
            }
        }
        Ok(())
    }
}
