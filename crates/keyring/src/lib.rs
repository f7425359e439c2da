//! Key material: secrets in memory, and what seals them on disk.

mod domain;
mod errors;
mod parts;
pub mod random;
mod root_key;
pub mod sealed_only;
mod secret;

pub use domain::Domain;
pub use errors::KeyringError;
pub use random::{Random, SystemRandom};
pub use secret::{SecretBytes, SecretString};
pub use zeroize::Zeroizing;
