//! Keys that other keys are derived from (HKDF-SHA256, RFC 5869): the root key, and the base keys
//! that it wraps. A base key may be an earlier root key, so one derivation serves both.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{hkdf, hmac};

use crate::parts;
use crate::secret::SecretBytes;

/// Length of the root key, and of a base key, in bytes.
pub(crate) const ROOT_KEY_LEN: usize = 32;

/// Length of a key-check value in bytes: long enough that no two root keys share one by chance.
pub(crate) const CHECK_LEN: usize = 16;

/// Separates these derivations from any other use of the same 32 bytes. It is the same for both kinds:
/// the first format had one key for all. Changing it makes every
/// store unreadable.
const SALT: &[u8] = b"ringfence keyring 1";

pub(crate) struct ParentKey(hkdf::Prk);

impl ParentKey {
    /// The bytes are copied into memory that aws-lc-rs wipes on drop; `bytes` itself can go.
    pub(crate) fn new(bytes: &SecretBytes) -> Self {
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(bytes.expose()))
    }

    /// The key that wraps the base keys.
    pub(crate) fn wrapping_key(&self) -> hmac::Key {
        let mut key = SecretBytes::new(vec![0; 32]);
        self.derive(&[b"base key wrapping"], key.expose_mut());
        hmac::Key::new(hmac::HMAC_SHA256, key.expose())
    }

    /// The key of a domain, in the form that derives message keys fastest: with HMAC's two padded
    /// key blocks already hashed.
    pub(crate) fn domain_key(&self, name: &str, generation: NonZeroU32) -> hmac::Key {
        let mut key = SecretBytes::new(vec![0; 32]);
        self.derive(
            &[b"domain key", name.as_bytes(), &generation.get().to_be_bytes()],
            key.expose_mut(),
        );
        hmac::Key::new(hmac::HMAC_SHA256, key.expose())
    }

    /// The key of the pseudonyms of a purpose.
    pub(crate) fn blind_key(&self, name: &str) -> hmac::Key {
        let mut key = SecretBytes::new(vec![0; 32]);
        self.derive(&[b"blind key", name.as_bytes()], key.expose_mut());
        hmac::Key::new(hmac::HMAC_SHA256, key.expose())
    }

    /// Tells root keys apart and reveals nothing of them: an HKDF output of its own, which no key
    /// can be computed from.
    pub(crate) fn check_value(&self) -> [u8; CHECK_LEN] {
        let mut check = [0; CHECK_LEN];
        self.derive(&[b"key check value"], &mut check);
        check
    }

    // INVARIANT: `out` is at most 255 * 32 bytes, the only thing that HKDF-Expand can refuse
    // (RFC 5869, section 2.3); its callers' lengths are constants. Memory running out aside, which
    // ends a Rust program anyhow, nothing here can fail.
    #[expect(clippy::expect_used, reason = "cannot fail for the lengths asked; see above")]
    fn derive(&self, info: &[&[u8]], out: &mut [u8]) {
        self.0
            .expand(&[&parts::joined(info)], OutputLen(out.len()))
            .and_then(|okm| okm.fill(out))
            .expect("an output of at most 255 blocks");
    }
}

impl fmt::Debug for ParentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ParentKey(..)")
    }
}

struct OutputLen(usize);

impl hkdf::KeyType for OutputLen {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn the_check_value_is_what_another_implementation_computes() {
        let root = ParentKey::new(&SecretBytes::new((0..32).collect()));
        assert_eq!(STANDARD.encode(root.check_value()), "0NQ5y2s5QovVFQATBOCDyw==");
    }

    #[test]
    fn debug_shows_no_secret() {
        let root = ParentKey::new(&SecretBytes::new(vec![0xab; 32]));
        assert_eq!(format!("{root:?}"), "ParentKey(..)");
    }
}
