//! Random bytes: from the system, or behind a trait so that tests can choose them.
//!
//! The trait is for what a service draws (identifiers, access keys, tokens). Sealing does not take
//! it: a repeated salt under one domain key would break AES-GCM, so [`Domain`](crate::Domain) asks
//! the system always.

use crate::errors::KeyringError;

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `out` whole.
    ///
    /// # Errors
    /// [`KeyringError::Random`]; `out` must not be used then.
    fn fill(&self, out: &mut [u8]) -> Result<(), KeyringError>;
}

/// The system's generator, by way of aws-lc's CTR-DRBG, which reseeds after a fork.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), KeyringError> {
        fill(out)
    }
}

/// Fills `out` from the system's generator.
///
/// # Errors
/// [`KeyringError::Random`] when the system gives none; `out` must not be used then.
pub fn fill(out: &mut [u8]) -> Result<(), KeyringError> {
    aws_lc_rs::rand::fill(out).map_err(|_| KeyringError::Random)
}

/// **For tests only**: the same bytes in the same order for the same seed.
#[cfg(any(test, feature = "test-support"))]
pub struct SeededRandom {
    key: aws_lc_rs::hmac::Key,
    fills: std::sync::atomic::AtomicU64,
}

#[cfg(any(test, feature = "test-support"))]
impl SeededRandom {
    pub fn new(seed: u64) -> Self {
        Self {
            key: aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &seed.to_be_bytes()),
            fills: std::sync::atomic::AtomicU64::new(0),
        }
    }
}

#[cfg(any(test, feature = "test-support"))]
impl Random for SeededRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), KeyringError> {
        let fill = self.fills.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        for (block, chunk) in (0u64..).zip(out.chunks_mut(32)) {
            let input = [fill.to_be_bytes(), block.to_be_bytes()].concat();
            let bytes = aws_lc_rs::hmac::sign(&self.key, &input);
            chunk.copy_from_slice(&bytes.as_ref()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(random: &dyn Random, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        random.fill(&mut out).unwrap();
        out
    }

    #[test]
    fn a_seed_gives_the_same_bytes_again_and_another_seed_gives_others() {
        let (a, b, c) = (SeededRandom::new(1), SeededRandom::new(1), SeededRandom::new(2));
        let (first, second) = (draw(&a, 77), draw(&a, 77));
        assert_ne!(first, second);
        assert_eq!((first, second), (draw(&b, 77), draw(&b, 77)));
        assert_ne!(draw(&SeededRandom::new(1), 77), draw(&c, 77));
    }

    #[test]
    fn the_system_gives_other_bytes_each_time() {
        assert_ne!(draw(&SystemRandom, 32), draw(&SystemRandom, 32));
    }
}
