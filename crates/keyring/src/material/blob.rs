//! The ciphertext blobs of symmetric keys, and the encryption context that is bound to them.
//!
//! ```text
//! format (1) | length of the key's id (1) | key's id | salt (24) | ciphertext | tag (16)
//! └───────────────────────── header ────────────────────────────┘
//! ```
//!
//! The header stands in clear, so that the key is known before anything is decrypted, and is
//! authenticated with the context. What it says is a claim until then.

use super::MaterialError;
use crate::parts;
use std::collections::BTreeMap;

const FORMAT: u8 = 1;
const ID_AT: usize = 2;
pub(super) const SALT_LEN: usize = 24;
pub(super) const TAG_LEN: usize = 16;

/// A ciphertext blob, split into its parts.
#[derive(Debug, Clone, Copy)]
pub struct Blob<'a> {
    key_id: &'a [u8],
    header: &'a [u8],
    ciphertext: &'a [u8],
    tag: &'a [u8],
}

impl<'a> Blob<'a> {
    /// The longest id of a key, in bytes.
    pub const MAX_KEY_ID: usize = 255;

    /// How many bytes longer a blob is than its plaintext.
    pub const fn overhead(key_id_len: usize) -> usize {
        ID_AT + key_id_len + SALT_LEN + TAG_LEN
    }

    /// Splits a blob. Nothing is verified: anybody can write a blob that names any key.
    ///
    /// # Errors
    /// [`MaterialError::Ciphertext`] for what is no blob.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MaterialError> {
        Self::split(bytes).ok_or(MaterialError::Ciphertext)
    }

    fn split(bytes: &'a [u8]) -> Option<Self> {
        let (&[FORMAT, len], rest) = bytes.split_first_chunk::<ID_AT>()? else { return None };
        let (key_id, rest) = rest.split_at_checked(usize::from(len))?;
        let (_salt, sealed) = rest.split_at_checked(SALT_LEN)?;
        let (ciphertext, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG_LEN)?)?;
        if key_id.is_empty() {
            return None;
        }
        let header = &bytes[..ID_AT + key_id.len() + SALT_LEN];
        Some(Self { key_id, header, ciphertext, tag })
    }

    /// The id that the blob claims to be encrypted under.
    pub fn key_id(&self) -> &'a [u8] {
        self.key_id
    }

    pub(super) fn header(&self) -> &'a [u8] {
        self.header
    }

    pub(super) fn ciphertext(&self) -> &'a [u8] {
        self.ciphertext
    }

    pub(super) fn tag(&self) -> &'a [u8] {
        self.tag
    }
}

/// Room for a blob, with all of its header but the salt; and where the header ends.
pub(super) fn begun(
    key_id: &[u8],
    plaintext_len: usize,
) -> Result<(Vec<u8>, usize), MaterialError> {
    let len = match u8::try_from(key_id.len()) {
        Ok(len) if len > 0 => len,
        _ => return Err(MaterialError::Unsupported),
    };
    let mut blob = vec![0; Blob::overhead(key_id.len()) + plaintext_len];
    blob[..ID_AT].copy_from_slice(&[FORMAT, len]);
    blob[ID_AT..ID_AT + key_id.len()].copy_from_slice(key_id);
    Ok((blob, ID_AT + key_id.len() + SALT_LEN))
}

/// What a blob is bound to besides its key: pairs of text, in no order.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html>
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EncryptionContext(Vec<u8>);

impl EncryptionContext {
    /// Of two pairs of one name the later counts.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let sorted: BTreeMap<&str, &str> = pairs.into_iter().collect();
        Self::of(sorted.into_iter())
    }

    /// Of a map's pairs: sorted, and each name once.
    pub fn of_map(pairs: &BTreeMap<String, String>) -> Self {
        Self::of(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    fn of<'a>(sorted: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let parts: Vec<&[u8]> =
            sorted.flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]).collect();
        Self(parts::joined(&parts))
    }

    /// The bytes that the tag of a blob is over.
    pub(super) fn bound_to(&self, header: &[u8]) -> Vec<u8> {
        parts::joined(&[header, &self.0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn contexts_are_equal_when_their_pairs_are_whatever_the_order() {
        let a = EncryptionContext::new([("a", "1"), ("b", "2")]);
        assert_eq!(a, EncryptionContext::new([("b", "2"), ("a", "1")]));
        let others: [&[(&str, &str)]; 6] = [
            &[],
            &[("a", "1")],
            &[("a", "2"), ("b", "1")],
            &[("a1", ""), ("b", "2")],
            &[("a", "1b"), ("2", "")],
            &[("a", "1"), ("b", "2"), ("", "")],
        ];
        for other in others {
            assert_ne!(a, EncryptionContext::new(other.iter().copied()), "{other:?}");
        }
        assert_eq!(EncryptionContext::default(), EncryptionContext::new([]));
        let map = [("b", "2"), ("a", "1")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(a, EncryptionContext::of_map(&map.into()));
    }

    #[test]
    fn a_key_has_an_id_of_at_most_255_bytes() {
        assert!(begun(&[7; 255], 3).is_ok());
        assert!(begun(&[7; 256], 3).is_err());
        assert!(begun(&[], 3).is_err());
    }

    proptest! {
        #[test]
        fn what_was_begun_splits_where_it_was_put_together(
            key_id in prop::collection::vec(any::<u8>(), 1..=255),
            len in 0usize..300,
        ) {
            let (bytes, header_len) = begun(&key_id, len).unwrap();
            let blob = Blob::parse(&bytes).unwrap();
            prop_assert_eq!(blob.key_id(), key_id);
            prop_assert_eq!(blob.header(), &bytes[..header_len]);
            prop_assert_eq!(blob.ciphertext().len(), len);
            prop_assert_eq!(blob.tag().len(), TAG_LEN);
        }

        #[test]
        fn any_bytes_parse_or_are_refused_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            plausible in any::<bool>(),
        ) {
            let mut bytes = bytes;
            if plausible && let Some(first) = bytes.first_mut() {
                *first = FORMAT;
            }
            if let Ok(blob) = Blob::parse(&bytes) {
                prop_assert_eq!([blob.header(), blob.ciphertext(), blob.tag()].concat(), bytes);
            }
        }
    }
}
