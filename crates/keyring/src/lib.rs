//! Keys: the seal over the root key, the domain keys under it, the material of KMS keys, and secrets
//! in memory.
//!
//! # The words
//!
//! - A **root key** is 32 random bytes, one for a data directory at a time. It wraps the base keys,
//!   so whoever has it and the directory has everything, and without it nothing can be read.
//! - A **seal** is what protects the root key while the program does not run: a *key file* that
//!   its owner alone can use, a *passphrase*, a *systemd credential*, or a holder that the crates
//!   above bring ([`HeldSeal`]): a TPM, a PKCS#11 token, another KMS. `seal.json` says which, with
//!   what is needed to recognise the right one; it exists if and only if the store does.
//! - A **base key** is 32 random bytes. The newest of them seals, the earlier ones still open. A new
//!   root key, or another seal, wraps the same base keys: see [`SealChange`].
//! - A **domain** is one purpose, such as `store` or `session-token`. Its key comes from a base key
//!   and the domain's name, so what one domain seals no other opens.
//! - A **message key** encrypts one value and nothing else.
//! - **Key material** is the secret behind a KMS key, kept in records that a domain seals: see
//!   [`material`].
//!
//! ```text
//!   key file (0600) ────────────────────────┐
//!   passphrase, credential ─argon2id─► unwrap ├─► root key ─► unwrap ─► base keys ─HKDF─► domain key
//!   TPM, token, KMS ─────────────────► unwrap ┘                 ▲      (in memory)   name    │
//!                                        ▲                      │                            │ HMAC
//!                                        └────── seal.json ─────┘            message key ◄───┘ salt,
//!                                                                                 │       one a value
//!                                                                            AES-256-GCM
//! ```
//!
//! # What it promises
//!
//! - Nothing secret is in the data directory in clear but the key file, where that is the seal and
//!   lies there.
//! - A change of the seal that is cut short leaves a store that opens with the old seal or with the
//!   new one.
//! - A first start that is cut short, or two at once, end with one root key or none: never with
//!   half of one, and never with two.
//! - Once there is a store, a missing or wrong key file or passphrase is an error. It never makes
//!   a new root key.
//! - No secret is in an error or in the `Debug` of a type.
//!
//! # What it does not
//!
//! - It cannot tell an old sealed value from the current one, if somebody puts the old one back
//!   under the same associated data. Bind what changes (a revision) into that.
//! - Sealing hides content, not length.
//! - It does not keep memory from being swapped, dumped or read by a debugger: a process's own
//!   limits are the program's to set.
//!
//! # Example
//!
//! ```
//! use ringfence_keyring::{Keyring, Opened, SealSpec};
//!
//! let data_dir = tempfile::tempdir()?;
//! let data_dir = data_dir.path();
//! let seal = SealSpec::parse("", data_dir)?; // a key file in the data directory
//!
//! let (keyring, opened) = Keyring::open_or_create(data_dir, &seal)?;
//! assert_eq!(opened, Opened::Created);
//! assert_eq!(keyring.seal_kind(), "key file");
//!
//! // The store binds each value to its place, so that values cannot be swapped.
//! let store = keyring.domain("store");
//! let sealed = store.seal(&[b"account 1", b"secret/db", b"revision 7"], b"hunter2")?;
//!
//! // After a restart, the same root key opens it, in its place and in no other.
//! let (keyring, opened) = Keyring::open_or_create(data_dir, &seal)?;
//! assert_eq!(opened, Opened::Existing);
//! let store = keyring.domain("store");
//! let opened = store.open(&[b"account 1", b"secret/db", b"revision 7"], &sealed)?;
//! assert_eq!(opened.as_slice(), b"hunter2");
//! assert!(store.open(&[b"account 2", b"secret/db", b"revision 7"], &sealed).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(not(unix))]
compile_error!("ringfence-keyring protects its files by Unix owners and permissions");

mod base64_field;
mod base_keys;
mod blind;
mod decrypting_key;
mod domain;
mod errors;
mod held_seal;
mod key_file;
mod key_pair;
mod keyring;
mod log_key;
pub mod material;
mod one_time;
mod parent_key;
mod parts;
mod passphrase;
mod password;
pub mod random;
mod seal_change;
mod seal_file;
mod seal_spec;
pub mod sealed_only;
mod secret;
mod shared_seal;
mod signing_key;
mod whole_file;

pub use base_keys::BaseKeyInfo;
pub use blind::Blinder;
pub use decrypting_key::{DecryptingKey, MessageCipher, Oaep, Unopened};
pub use domain::Domain;
pub use errors::KeyringError;
pub use held_seal::{Blob, HeldKind, HeldSeal, HolderFailed, SealedPlace};
pub use key_pair::public_key_of;
pub use keyring::{Keyring, Opened};
pub use log_key::{LogKey, LogPublicKey};
pub use one_time::OneTime;
pub use password::PasswordHash;
pub use random::{Random, SystemRandom};
pub use seal_change::{SealChange, SealStatus};
pub use seal_file::{adopt_seal_file, seal_file};
pub use seal_spec::{SealSpec, secret_file, secret_line};
pub use secret::{SecretBytes, SecretString};
pub use shared_seal::{SharedFailed, SharedSeal, follow_seal_file};
pub use signing_key::{SigningAlgorithm, SigningKey, VerifyingKey};
/// What [`Domain::open`] returns its plaintext in: wiped on drop, otherwise the bytes.
pub use zeroize::Zeroizing;
