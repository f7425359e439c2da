//! Secrets in memory: wiped when dropped, never printed, never copied or serialised by accident.
//!
//! The bytes live on the heap and do not move with the value, so a drop wipes the only copy that
//! these types made. What a caller copies out of `expose` is the caller's to wipe.

use std::fmt;

use aws_lc_rs::constant_time;
use zeroize::Zeroizing;

use crate::errors::KeyringError;
use crate::random::{Random, SystemRandom};

/// Secret bytes. No `Clone`, `Display`, `PartialEq` or `Serialize`; `Debug` prints `Secret(..)`.
///
/// To keep one in a record that is sealed as a whole, see [`sealed_only`](crate::sealed_only).
pub struct SecretBytes(pub(crate) Zeroizing<Vec<u8>>);

impl SecretBytes {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// `len` bytes from the system's generator.
    ///
    /// # Errors
    /// [`KeyringError::Random`] when the system gives none.
    pub fn random(len: usize) -> Result<Self, KeyringError> {
        let mut secret = Self(Zeroizing::new(vec![0; len]));
        SystemRandom.fill(&mut secret.0)?;
        Ok(secret)
    }

    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `candidate` is this secret. Takes the same time wherever the first difference is;
    /// the time does tell whether the lengths are equal.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.0, candidate).is_ok()
    }

    /// A second copy, on purpose.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    pub(crate) fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Secret text. No `Clone`, `Display`, `PartialEq` or `Serialize`; `Debug` prints `Secret(..)`.
///
/// To keep one in a record that is sealed as a whole, see [`sealed_only`](crate::sealed_only).
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `candidate` is this secret. Takes the same time wherever the first difference is;
    /// the time does tell whether the lengths are equal.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), candidate).is_ok()
    }

    /// A second copy, on purpose.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", SecretBytes::new(b"hunter2".to_vec())), "Secret(..)");
        assert_eq!(format!("{:#?}", SecretString::new("hunter2".into())), "Secret(..)");
    }

    #[test]
    fn matches_only_the_very_same_bytes() {
        let secret = SecretString::new("hunter2".into());
        assert!(secret.matches(b"hunter2"));
        for other in [&b"hunter3"[..], b"Hunter2", b"hunter", b"hunter22", b""] {
            assert!(!secret.matches(other));
            assert!(!SecretBytes::new(b"hunter2".to_vec()).matches(other));
        }
    }

    #[test]
    fn random_secrets_have_the_length_asked_for_and_differ() {
        let (a, b) = (SecretBytes::random(32).unwrap(), SecretBytes::random(32).unwrap());
        assert_eq!(a.len(), 32);
        assert!(!a.matches(b.expose()));
        assert!(SecretBytes::random(0).unwrap().is_empty());
    }

    #[test]
    fn duplicate_is_equal() {
        let secret = SecretString::new("hunter2".into());
        assert!(secret.matches(secret.duplicate().expose().as_bytes()));
    }
}
