//! Passwords of users, kept as argon2id hashes.
//!
//! A hash keeps its salt and its cost, so that passwords outlive a change of the cost. All that one
//! user has had may be kept under one salt: whether a new one was had before is then asked at the
//! cost of one hash. Hashing takes tens of milliseconds and 19 MiB: keep it off threads that serve.

use serde::{Deserialize, Serialize};

use crate::errors::KeyringError;
use crate::passphrase::{Cost, argon2id};
use crate::random;
use crate::sealed_only;
use crate::secret::{SecretBytes, SecretString};

const SALT_LEN: usize = 16;

/// A password's hash, for a record that is sealed as a whole. Only the hash itself is secret.
#[derive(Debug, Serialize, Deserialize)]
pub struct PasswordHash {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    #[serde(with = "crate::base64_field")]
    salt: [u8; SALT_LEN],
    #[serde(with = "sealed_only")]
    hash: SecretBytes,
}

impl PasswordHash {
    /// Under a new salt and the cost of today.
    ///
    /// # Errors
    /// [`KeyringError::Random`] when the system gives no salt; [`KeyringError::Derivation`].
    pub fn new(password: &SecretString) -> Result<Self, KeyringError> {
        let mut salt = [0; SALT_LEN];
        random::fill(&mut salt)?;
        Self::under(password, salt, Cost::PASSWORD)
    }

    /// Another password under the salt and cost of this one, so that the two compare.
    ///
    /// # Errors
    /// [`KeyringError::Derivation`] when the cost that was stored is out of bounds.
    pub fn again(&self, password: &SecretString) -> Result<Self, KeyringError> {
        Self::under(password, self.salt, self.cost())
    }

    /// Whether it has the cost of today: one that has not is better replaced.
    pub fn is_current(&self) -> bool {
        self.cost() == Cost::PASSWORD
    }

    /// Whether two hashes can be compared: they have one salt and one cost.
    pub fn is_comparable(&self, other: &Self) -> bool {
        self.salt == other.salt && self.cost() == other.cost()
    }

    /// Whether two hashes that can be compared are of one password. Takes the same time wherever
    /// the first difference is.
    pub fn matches(&self, other: &Self) -> bool {
        self.is_comparable(other) && self.hash.matches(other.hash.expose())
    }

    fn under(
        password: &SecretString,
        salt: [u8; SALT_LEN],
        cost: Cost,
    ) -> Result<Self, KeyringError> {
        let hash =
            argon2id(password.expose().as_bytes(), &salt, cost).ok_or(KeyringError::Derivation)?;
        let Cost { memory_kib, passes, lanes } = cost;
        Ok(Self { memory_kib, passes, lanes, salt, hash: SecretBytes::new(hash.to_vec()) })
    }

    fn cost(&self) -> Cost {
        Cost { memory_kib: self.memory_kib, passes: self.passes, lanes: self.lanes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(password: &str) -> SecretString {
        SecretString::new(password.into())
    }

    #[test]
    fn only_the_same_password_matches_and_only_under_the_same_salt() {
        let kept = PasswordHash::new(&text("hunter2")).unwrap();
        assert!(kept.matches(&kept.again(&text("hunter2")).unwrap()));
        for other in ["", "hunter", "hunter22", "Hunter2"] {
            assert!(!kept.matches(&kept.again(&text(other)).unwrap()), "{other}");
        }
        let salted_anew = PasswordHash::new(&text("hunter2")).unwrap();
        assert!(!kept.is_comparable(&salted_anew) && !kept.matches(&salted_anew));
    }

    #[test]
    fn a_hash_survives_a_round_trip_with_its_cost_and_tells_nothing() {
        let cheap = Cost { memory_kib: 64, passes: 1, lanes: 1 };
        let kept = PasswordHash::under(&text("hunter2"), [7; SALT_LEN], cheap).unwrap();
        assert!(!kept.is_current() && PasswordHash::new(&text("a")).unwrap().is_current());
        let written = serde_json::to_vec(&kept).unwrap();
        let read: PasswordHash = serde_json::from_slice(&written).unwrap();
        assert!(read.matches(&kept.again(&text("hunter2")).unwrap()));
        assert!(format!("{kept:?}").contains("hash: Secret(..)"));
        assert!(!String::from_utf8(written).unwrap().contains("hunter2"));
    }

    #[test]
    fn a_cost_out_of_bounds_is_refused() {
        let mut kept = PasswordHash::new(&text("a")).unwrap();
        kept.memory_kib = u32::MAX;
        assert!(matches!(kept.again(&text("a")), Err(KeyringError::Derivation)));
    }
}
