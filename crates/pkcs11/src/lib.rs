//! Keys inside a hardware security module, by PKCS#11.
//!
//! ```text
//!   Module ── a maker's library, loaded once a process
//!     └── Token ── found by its label, opened with a PIN; sessions are pooled
//!           └── keys: AES-256, made inside, found by their label, never out of it
//! ```
//!
//! A [`Token`] does what is asked on the thread that asks, which may block for as long as the module
//! does; an asynchronous caller asks by [`Token::apart`]. Sessions that have broken, because a token was
//! pulled and put back or a cluster was restarted, are replaced once before a call fails.
//!
//! ```no_run
//! use ringfence_keyring::SecretString;
//! use ringfence_pkcs11::{Module, Token};
//! # fn example() -> Result<(), ringfence_pkcs11::Error> {
//! let module = Module::load("/usr/lib/softhsm/libsofthsm2.so".as_ref())?;
//! let token = Token::open(module, "ringfence", SecretString::new("1234".into()))?;
//! token.make_key("root")?;
//! let sealed = token.encrypt("root", b"what for", b"a secret")?;
//! assert_eq!(token.decrypt("root", b"what for", &sealed)?.expose(), b"a secret");
//! # Ok(())
//! # }
//! ```
//!
//! # Initialization vectors
//!
//! AES-GCM must never see the same initialization vector twice under one key. Each encryption takes a
//! 96-bit vector from the system's generator; a module that makes its own writes it over ours, and what
//! it wrote is kept. Modules that insist on their own (those of FIPS 140 in approved mode) are given
//! zeros, and their answer is refused while it is still zeros. Random vectors repeat with a probability
//! below 2^-32 for as long as a key encrypts fewer than 2^32 messages (NIST SP 800-38D, section 8.3).

mod apart;
mod error;
mod key;
mod module;
mod token;

pub use error::Error;
pub use key::Sealed;
pub use module::Module;
pub use token::{Token, TokenInfo};
