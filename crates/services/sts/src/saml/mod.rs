//! SAML responses: which part of one is signed, and what that part says.
//!
//! ```text
//!   Base64 ──► XML tree ──► signature of Response or Assertion ──► the signed bytes ──► read anew
//!              no DTD       one reference, to its own parent       canonical XML        nothing else
//! ```
//!
//! What is believed is read from the very bytes that the digest was taken of, parsed a second time
//! as a document of their own. So no other assertion, wherever it stands, can be taken for the
//! signed one, and a comment cannot cut a text: canonical XML has none. Besides, a response is
//! refused that holds more than one assertion, or a signature anywhere but in Response or Assertion.
//!
//! A signature is what SAML lets it be and no more (SAML core, section 5.4): one reference, by ID, to
//! the element that holds it; the enveloped-signature transform and canonical XML; keys of the
//! provider's metadata alone. Of the crates for XML security only canonicalisation is used: theirs
//! is the general case, with far more transforms, keys and documents than may count here, and none
//! of them keeps a caller from reading what was not signed.

mod assertion;
mod encryption;
mod signature;
mod xml;

pub use assertion::Assertion;
pub use signature::Keys;

use ringfence_keyring::DecryptingKey;
use xml::{ASSERTION, PROTOCOL, SIGNATURE, Tree};

/// Why a response is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unbelieved {
    /// It is no response with a single assertion.
    #[error("no response with a single assertion")]
    Form,
    /// Nothing is signed by the provider.
    #[error("nothing that counts is signed by the provider")]
    Signature,
    /// The assertion is not encrypted, and must be; or no key of the provider opens it.
    #[error("the assertion is not encrypted for this provider")]
    Encryption,
}

/// How a provider's responses are judged.
pub struct Judge<'a> {
    /// The keys that they may be signed with.
    pub keys: &'a Keys,
    /// The keys that open an encrypted assertion.
    pub private_keys: &'a [DecryptingKey],
    /// The assertion must be encrypted.
    pub encrypted: bool,
}

impl Judge<'_> {
    /// The signed assertion of a response.
    ///
    /// # Errors
    /// [`Unbelieved`].
    pub fn assertion(&self, response: &str) -> Result<Assertion, Unbelieved> {
        let tree = Tree::parse(response).ok_or(Unbelieved::Form)?;
        let root = tree.root().filter(|root| tree.is(*root, PROTOCOL, "Response"));
        let root = root.ok_or(Unbelieved::Form)?;
        let status = tree.child(root, PROTOCOL, "Status").ok_or(Unbelieved::Form)?;
        let code = tree.child(status, PROTOCOL, "StatusCode").ok_or(Unbelieved::Form)?;
        if tree.attribute(code, "Value") != Some("urn:oasis:names:tc:SAML:2.0:status:Success") {
            return Err(Unbelieved::Form);
        }
        let plain = tree.all(ASSERTION, "Assertion");
        let sealed = tree.all(ASSERTION, "EncryptedAssertion");
        let holder = match (&plain[..], &sealed[..]) {
            ([one], []) if !self.encrypted => *one,
            ([], [one]) => *one,
            ([_], []) => return Err(Unbelieved::Encryption),
            _ => return Err(Unbelieved::Form),
        };
        if tree.parent(holder) != Some(root) {
            return Err(Unbelieved::Form);
        }
        let placed = |one| tree.parent(one).is_some_and(|at| at == root || at == holder);
        if !tree.all(SIGNATURE, "Signature").into_iter().all(placed) {
            return Err(Unbelieved::Form);
        }

        let signed_response = signature::signed(&tree, root, self.keys)?;
        if sealed.is_empty() {
            let signed = signature::signed(&tree, holder, self.keys)?;
            return match (signed, signed_response) {
                (Some(assertion), _) => Assertion::of_signed(&assertion),
                (None, Some(response)) => {
                    let tree = Tree::parse(&response).ok_or(Unbelieved::Form)?;
                    let root = tree.root().ok_or(Unbelieved::Form)?;
                    let one = tree.child(root, ASSERTION, "Assertion").ok_or(Unbelieved::Form)?;
                    Assertion::read(&tree, one)
                }
                (None, None) => Err(Unbelieved::Signature),
            };
        }
        // Where the response is signed, the ciphertext is what was signed.
        let opened = match &signed_response {
            None => encryption::open(&tree, holder, self.private_keys),
            Some(response) => {
                let tree = Tree::parse(response).ok_or(Unbelieved::Form)?;
                let root = tree.root().ok_or(Unbelieved::Form)?;
                let one = tree.child(root, ASSERTION, "EncryptedAssertion");
                encryption::open(&tree, one.ok_or(Unbelieved::Form)?, self.private_keys)
            }
        };
        let opened = opened.ok_or(Unbelieved::Encryption)?;
        let tree = Tree::parse(&opened).ok_or(Unbelieved::Encryption)?;
        let root = tree.root().filter(|root| tree.is(*root, ASSERTION, "Assertion"));
        let root = root.ok_or(Unbelieved::Encryption)?;
        let single = tree.all(ASSERTION, "Assertion").len() == 1
            && tree.all(SIGNATURE, "Signature").into_iter().all(|s| tree.parent(s) == Some(root));
        if !single {
            return Err(Unbelieved::Form);
        }
        match (signature::signed(&tree, root, self.keys)?, signed_response) {
            (Some(assertion), _) => Assertion::of_signed(&assertion),
            (None, Some(_)) => Assertion::read(&tree, root),
            (None, None) => Err(Unbelieved::Signature),
        }
    }
}
