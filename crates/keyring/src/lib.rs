//! Key material: secrets in memory, and what seals them on disk.

mod errors;
pub mod random;
pub mod sealed_only;
mod secret;

pub use errors::KeyringError;
pub use random::{Random, SystemRandom};
pub use secret::{SecretBytes, SecretString};
