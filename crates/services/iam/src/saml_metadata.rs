//! SAML metadata: what an identity provider says of itself.
//! <https://docs.oasis-open.org/security/saml/v2.0/saml-metadata-2.0-os.pdf>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_wire::Timestamp;
use ringfence_wire::shape::TimestampFormat;
use roxmltree::{Document, Node, ParsingOptions};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";

/// Certificates of one provider, and XML nodes of its document.
const MOST_CERTIFICATES: usize = 20;
const MOST_NODES: u32 = 100_000;

/// What counts of a metadata document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The issuer of assertions.
    pub entity_id: String,
    /// Certificates by whose keys it signs, as DER.
    pub certificates: Vec<Vec<u8>>,
    /// When the document ends, in seconds since 1970.
    pub valid_until: Option<i64>,
}

/// Why a document is no metadata of an identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoMetadata(&'static str);

impl std::fmt::Display for NoMetadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl Metadata {
    /// Reads a document. One with a document type is refused, so that no entity can expand.
    ///
    /// # Errors
    /// [`NoMetadata`].
    pub fn parse(text: &str) -> Result<Self, NoMetadata> {
        let options =
            ParsingOptions { allow_dtd: false, nodes_limit: MOST_NODES, ..Default::default() };
        let document = Document::parse_with_options(text.trim_start(), options)
            .map_err(|_| NoMetadata("it is no XML"))?;
        let entity = document.root_element();
        if !entity.has_tag_name((METADATA, "EntityDescriptor")) {
            return Err(NoMetadata("its root is no EntityDescriptor"));
        }
        let entity_id = entity.attribute("entityID").filter(|id| (1..=1024).contains(&id.len()));
        let entity_id = entity_id.ok_or(NoMetadata("it has no entityID"))?;
        let roles: Vec<Node<'_, '_>> = children(entity, METADATA, "IDPSSODescriptor").collect();
        if roles.is_empty() {
            return Err(NoMetadata("it describes no identity provider"));
        }
        let mut certificates = Vec::new();
        let signing = roles
            .iter()
            .flat_map(|role| children(*role, METADATA, "KeyDescriptor"))
            .filter(|key| key.attribute("use").is_none_or(|use_| use_ == "signing"))
            .flat_map(|key| key.descendants())
            .filter(|node| node.has_tag_name((SIGNATURE, "X509Certificate")));
        for node in signing {
            let der = certificate(node.text().unwrap_or_default())
                .ok_or(NoMetadata("a certificate is none"))?;
            if !certificates.contains(&der) {
                certificates.push(der);
            }
        }
        if certificates.is_empty() || certificates.len() > MOST_CERTIFICATES {
            return Err(NoMetadata("it has no signing certificate, or more than 20"));
        }
        let valid_until = match entity.attribute("validUntil") {
            None => None,
            Some(text) => {
                let at = Timestamp::parse(text, TimestampFormat::DateTime);
                Some(at.ok_or(NoMetadata("its validUntil is no time"))?.seconds)
            }
        };
        Ok(Self { entity_id: entity_id.to_owned(), certificates, valid_until })
    }
}

fn children<'a, 'i: 'a>(
    node: Node<'a, 'i>,
    namespace: &'static str,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name((namespace, name)))
}

/// A certificate as DER, from its Base64, which may be broken into lines.
fn certificate(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_ascii_whitespace().collect();
    let der = STANDARD.decode(text).ok()?;
    Certificate::from_der(&der).ok()?;
    Some(der)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A self-signed EC certificate, for tests alone.
    const CERTIFICATE: &str = include_str!("testdata/saml_certificate.txt");

    /// A metadata document with these parts.
    pub fn document(attributes: &str, inside: &str) -> String {
        format!(
            r#"<?xml version="1.0"?><md:EntityDescriptor xmlns:md="{METADATA}" entityID="https://idp.example.com/saml" {attributes}>{inside}</md:EntityDescriptor>"#
        )
    }

    /// An identity provider with one key.
    pub fn idp(use_: &str) -> String {
        format!(
            r#"<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><md:KeyDescriptor {use_}><ds:KeyInfo xmlns:ds="{SIGNATURE}"><ds:X509Data><ds:X509Certificate>{CERTIFICATE}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor></md:IDPSSODescriptor>"#
        )
    }

    #[test]
    fn issuer_certificates_and_end_are_read() {
        let read = Metadata::parse(&document("", &idp(r#"use="signing""#))).unwrap();
        assert_eq!(read.entity_id, "https://idp.example.com/saml");
        assert_eq!((read.certificates.len(), read.valid_until), (1, None));
        let until = r#"validUntil="2040-01-01T00:00:00Z""#;
        let read = Metadata::parse(&document(until, &idp("")));
        assert_eq!(read.unwrap().valid_until, Some(2_208_988_800));
        let twice = format!("{}{}", idp(""), idp(r#"use="encryption""#));
        assert_eq!(Metadata::parse(&document("", &twice)).unwrap().certificates.len(), 1);
    }

    #[test]
    fn what_is_no_metadata_is_refused() {
        let good = document("", &idp(""));
        assert!(Metadata::parse(&good).is_ok());
        for text in [
            String::new(),
            "no XML".into(),
            good.replace("EntityDescriptor", "EntitiesDescriptor"),
            good.replace("IDPSSODescriptor", "SPSSODescriptor"),
            good.replace(METADATA, "urn:other"),
            good.replace("https://idp.example.com/saml", ""),
            document("", &idp(r#"use="encryption""#)),
            document(r#"validUntil="soon""#, &idp("")),
            good.replace("<ds:X509Certificate>MI", "<ds:X509Certificate>AA"),
            good.replace("<?xml version=\"1.0\"?>", "<!DOCTYPE a [<!ENTITY b \"c\">]>"),
        ] {
            assert!(Metadata::parse(&text).is_err(), "{text}");
        }
    }
}
