//! What keys of custom key stores encrypt to.
//!
//! ```text
//!   2 | length (1) | under | initialization vector (12) | ciphertext | tag (16)          in a token
//!   3 | length (1) | under | length (1) | metadata | length (1) | vector | tag (16) | ciphertext
//!   └────── header ──────┘                                                               outside
//! ```
//!
//! `under` is what every ciphertext of KMS says of its key (`ciphertext.rs` above), in clear and
//! authenticated. The first byte of a ciphertext of material that is held here is 1. What is outside
//! encrypted is such a ciphertext: key stores of this kind encrypt twice.

use crate::ciphertext::Under;
use crate::context::Pairs;
use crate::errors;
use ringfence_wire::ServiceError;
use ringfence_wire::sigv4::hex_sha256;
use ringfence_xks::{LONGEST_METADATA, TAG, Wrapped};

const IN_TOKEN: u8 = 2;
const OUTSIDE: u8 = 3;

/// Bytes of a token's initialization vector.
const IV: usize = 12;

/// A ciphertext of a key in a custom key store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub under: Under,
    pub by: By,
}

/// What made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum By {
    Token(ringfence_pkcs11::Sealed),
    Proxy(Wrapped),
}

impl Sealed {
    /// As callers keep it.
    pub fn written(&self) -> Result<Vec<u8>, ServiceError> {
        let length = |part: &[u8]| u8::try_from(part.len()).map_err(errors::failed);
        let under = self.under.written();
        let mut out = Vec::new();
        out.push(match self.by {
            By::Token(_) => IN_TOKEN,
            By::Proxy(_) => OUTSIDE,
        });
        out.push(length(&under)?);
        out.extend(&under);
        match &self.by {
            By::Token(sealed) => {
                out.extend(sealed.iv);
                out.extend(&sealed.ciphertext);
            }
            By::Proxy(Wrapped { ciphertext, metadata, iv, tag }) => {
                out.push(length(metadata)?);
                out.extend(metadata);
                out.push(length(iv)?);
                out.extend(iv);
                out.extend(tag);
                out.extend(ciphertext);
            }
        }
        Ok(out)
    }

    /// Reads a ciphertext; `None` where it is of another form. What it says is a claim.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (&format @ (IN_TOKEN | OUTSIDE), rest) = bytes.split_first()? else { return None };
        let (under, rest) = prefixed(rest)?;
        let under = Under::read(under)?;
        let by = match format {
            IN_TOKEN => {
                let (iv, ciphertext) = rest.split_first_chunk::<IV>()?;
                By::Token(ringfence_pkcs11::Sealed { iv: *iv, ciphertext: ciphertext.to_vec() })
            }
            _ => {
                let (metadata, rest) = prefixed(rest)?;
                let (iv, rest) = prefixed(rest)?;
                let (tag, ciphertext) = rest.split_first_chunk::<TAG>()?;
                if metadata.len() > LONGEST_METADATA || !matches!(iv.len(), 12 | 16) {
                    return None;
                }
                By::Proxy(Wrapped {
                    ciphertext: ciphertext.to_vec(),
                    metadata: metadata.to_vec(),
                    iv: iv.to_vec(),
                    tag: *tag,
                })
            }
        };
        Some(Self { under, by })
    }
}

/// A part behind its length.
fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

/// What a token or a proxy authenticates with a plaintext: the key that is meant and the encryption
/// context, as a hash, because modules and proxies do not all take long additional data, and because
/// the context is nobody's business outside.
pub(crate) fn bound_to(under: &Under, context: &Pairs<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    let mut add = |part: &[u8]| {
        text.extend((part.len() as u64).to_be_bytes());
        text.extend(part);
    };
    add(&under.written());
    for (name, value) in context.pairs() {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    hex_sha256(&text).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::MaterialId;

    fn under(last: &str) -> Under {
        let account = "123456789012".parse().unwrap();
        let key = format!("mrk-1234abcd12ab34cd56ef1234567890a{last}");
        Under { account, material: MaterialId([7; 32]), key }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_shorter() {
        let token = ringfence_pkcs11::Sealed { iv: [1; 12], ciphertext: vec![2; 30] };
        let wrapped = Wrapped {
            ciphertext: vec![1; 40],
            metadata: vec![2; 20],
            iv: vec![3; 16],
            tag: [4; 16],
        };
        for by in [By::Token(token), By::Proxy(wrapped)] {
            let sealed = Sealed { under: under("1"), by };
            let bytes = sealed.written().unwrap();
            assert_eq!(Sealed::read(&bytes), Some(sealed.clone()));
            for length in 0..bytes.len() {
                assert_ne!(Sealed::read(&bytes[..length]), Some(sealed.clone()), "{length}");
            }
        }
        assert_eq!(Sealed::read(&[1; 200]), None);
        assert_eq!(Sealed::read(&[9; 200]), None);
    }

    #[test]
    fn what_is_bound_differs_by_key_and_by_context() {
        let pairs = |all: &[(&str, &str)]| {
            let all = all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Pairs::of(all.collect())
        };
        let all = [
            bound_to(&under("1"), &pairs(&[])),
            bound_to(&under("2"), &pairs(&[])),
            bound_to(&under("1"), &pairs(&[("a", "bc")])),
            bound_to(&under("1"), &pairs(&[("ab", "c")])),
            bound_to(&under("1"), &pairs(&[("a", ""), ("bc", "")])),
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == one), Some(at));
        }
    }
}
