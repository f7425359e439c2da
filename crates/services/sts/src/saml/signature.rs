//! XML signatures, as far as SAML has them.
//! <https://www.w3.org/TR/xmldsig-core1/>

use super::Unbelieved;
use super::xml::{SIGNATURE, Tree};
use aws_lc_rs::signature::{self as algorithms, UnparsedPublicKey, VerificationAlgorithm};
use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra_c14n::{C14nMode, canonicalize_doc};
use bergshamra_xml::NodeSet;
use uppsala::NodeId;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::ObjectIdentifier;

const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

/// Public keys that a response may be signed with.
#[derive(Debug, Default)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
enum Key {
    /// PKCS #1.
    Rsa(Vec<u8>),
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
    P521(Vec<u8>),
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

impl Keys {
    /// The keys of certificates. Whoever made the provider trusts these very certificates: neither
    /// who signed them nor when they end is looked at.
    pub fn of(certificates: &[Vec<u8>]) -> Self {
        Self(certificates.iter().filter_map(|der| Key::of(der)).collect())
    }
}

impl Key {
    fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let info = certificate.tbs_certificate.subject_public_key_info;
        let key = info.subject_public_key.as_bytes()?.to_vec();
        let curve = || info.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok();
        match info.algorithm.oid {
            RSA => Some(Self::Rsa(key)),
            EC => match curve()? {
                P256 => Some(Self::P256(key)),
                P384 => Some(Self::P384(key)),
                P521 => Some(Self::P521(key)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it made a signature by the algorithm of this name. SHA-1 is not among them.
    fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        let Some(name) = algorithm.strip_prefix("http://www.w3.org/2001/04/xmldsig-more#") else {
            return false;
        };
        let (key, known): (&[u8], &'static dyn VerificationAlgorithm) = match (self, name) {
            (Self::Rsa(key), "rsa-sha256") => (key, &algorithms::RSA_PKCS1_2048_8192_SHA256),
            (Self::Rsa(key), "rsa-sha384") => (key, &algorithms::RSA_PKCS1_2048_8192_SHA384),
            (Self::Rsa(key), "rsa-sha512") => (key, &algorithms::RSA_PKCS1_2048_8192_SHA512),
            (Self::P256(key), "ecdsa-sha256") => (key, &algorithms::ECDSA_P256_SHA256_FIXED),
            (Self::P384(key), "ecdsa-sha384") => (key, &algorithms::ECDSA_P384_SHA384_FIXED),
            (Self::P521(key), "ecdsa-sha512") => (key, &algorithms::ECDSA_P521_SHA512_FIXED),
            _ => return false,
        };
        UnparsedPublicKey::new(known, key).verify(message, signature).is_ok()
    }
}

/// The bytes of an element that its own signature covers, as canonical XML without that signature;
/// `None` where it holds no signature.
///
/// # Errors
/// [`Unbelieved::Signature`] for a signature that is not valid, or not of SAML's form.
pub fn signed(tree: &Tree<'_>, element: NodeId, keys: &Keys) -> Result<Option<String>, Unbelieved> {
    let signature = match tree.children(element, SIGNATURE, "Signature")[..] {
        [] => return Ok(None),
        [one] => one,
        _ => return Err(Unbelieved::Signature),
    };
    verified(tree, element, signature, keys).map(Some).ok_or(Unbelieved::Signature)
}

fn verified(tree: &Tree<'_>, element: NodeId, signature: NodeId, keys: &Keys) -> Option<String> {
    let info = tree.child(signature, SIGNATURE, "SignedInfo")?;
    let method = tree.child(info, SIGNATURE, "CanonicalizationMethod")?;
    let form = Canonical::of(tree, method)?;
    let info = form.text(tree, &NodeSet::tree_without_comments(info, &tree.0))?;
    let value = base64_of(tree, tree.child(signature, SIGNATURE, "SignatureValue")?)?;

    // From here on the signature is read from what it signs.
    let signed_info = Tree::parse(&info)?;
    let info_node = signed_info.root()?;
    let algorithm = signed_info.child(info_node, SIGNATURE, "SignatureMethod")?;
    let algorithm = signed_info.attribute(algorithm, "Algorithm")?;
    if !keys.0.iter().any(|key| key.verifies(algorithm, info.as_bytes(), &value)) {
        return None;
    }
    let reference = signed_info.child(info_node, SIGNATURE, "Reference")?;
    let id = signed_info.attribute(reference, "URI")?.strip_prefix('#')?;
    if id.is_empty() || tree.attribute(element, "ID") != Some(id) || tree.with_id(id) != 1 {
        return None;
    }
    let form = transforms(&signed_info, reference)?;
    let without = NodeSet::tree_with_comments(signature, &tree.0);
    let covered = NodeSet::tree_without_comments(element, &tree.0).subtract(&without);
    let covered = form.text(tree, &covered)?;
    let method = signed_info.child(reference, SIGNATURE, "DigestMethod")?;
    let expected =
        base64_of(&signed_info, signed_info.child(reference, SIGNATURE, "DigestValue")?)?;
    let hash =
        digest::digest(hash_of(signed_info.attribute(method, "Algorithm")?)?, covered.as_bytes());
    constant_time::verify_slices_are_equal(hash.as_ref(), &expected).ok()?;
    Some(covered)
}

/// The one canonical form that a reference's transforms come to: the signature is taken out first,
/// and nothing else is done.
fn transforms(tree: &Tree<'_>, reference: NodeId) -> Option<Canonical> {
    let transforms = tree.child(reference, SIGNATURE, "Transforms")?;
    let listed = tree.children(transforms, SIGNATURE, "Transform");
    if listed.len() != tree.elements(transforms).len() {
        return None;
    }
    let (first, form) = match listed[..] {
        // Without a canonical form, it is the inclusive one.
        [first] => (first, Canonical { mode: C14nMode::Inclusive, prefixes: Vec::new() }),
        [first, form] => (first, Canonical::of(tree, form)?),
        _ => return None,
    };
    (tree.attribute(first, "Algorithm")? == ENVELOPED).then_some(form)
}

/// A canonical form without comments.
struct Canonical {
    mode: C14nMode,
    prefixes: Vec<String>,
}

impl Canonical {
    /// The form that an element names.
    fn of(tree: &Tree<'_>, method: NodeId) -> Option<Self> {
        let mode = C14nMode::from_uri(tree.attribute(method, "Algorithm")?)?;
        if mode.with_comments() {
            return None;
        }
        let prefixes = match tree.elements(method)[..] {
            [] => Vec::new(),
            [one] if mode.is_exclusive() && tree.is(one, EXCLUSIVE, "InclusiveNamespaces") => {
                let list = tree.attribute(one, "PrefixList").unwrap_or_default();
                list.split_ascii_whitespace().map(str::to_owned).collect()
            }
            _ => return None,
        };
        Some(Self { mode, prefixes })
    }

    fn text(&self, tree: &Tree<'_>, nodes: &NodeSet) -> Option<String> {
        let bytes = canonicalize_doc(&tree.0, self.mode, Some(nodes), &self.prefixes).ok()?;
        String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
    }
}

fn hash_of(name: &str) -> Option<&'static digest::Algorithm> {
    Some(match name {
        "http://www.w3.org/2001/04/xmlenc#sha256" => &digest::SHA256,
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => &digest::SHA384,
        "http://www.w3.org/2001/04/xmlenc#sha512" => &digest::SHA512,
        _ => return None,
    })
}

/// The bytes of an element that holds Base64, which may be broken into lines.
pub fn base64_of(tree: &Tree<'_>, node: NodeId) -> Option<Vec<u8>> {
    let text: String = tree.text(node)?.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok()
}
