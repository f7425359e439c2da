//! Seals of the root key that something else holds, and the text by which an operator names any.
//!
//! The keyring knows what a seal is (`HeldSeal`) and needs neither network nor hardware; the kinds
//! that do are here:
//!
//! | text | seal | what it needs at every start |
//! |---|---|---|
//! | `tpm`, `tpm:/dev/tpmrm0`, `…,pcrs=7+11` | TPM 2.0 | the machine, started as it had been |
//! | `pkcs11:token=…;object=…?module-path=…` | a token behind PKCS#11 (RFC 7512) | the token and its PIN |
//! | `kms:KEY_ARN`, `kms:KEY_ARN@ENDPOINT` | a key of another KMS | that KMS, and credentials for it |
//!
//! Everything else is the keyring's: `file`, `passphrase`, `systemd`.

mod tpm;

use ringfence_keyring::{KeyringError, SealSpec};
use std::path::Path;

/// Reads the text of `--seal`.
///
/// # Errors
/// Those of [`SealSpec::parse`].
pub fn parse(text: &str, data_dir: &Path) -> Result<SealSpec, KeyringError> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "tpm" => match tpm::TpmSeal::parse(rest) {
            Some(seal) => Ok(SealSpec::Held(Box::new(seal))),
            None => Err(KeyringError::UnknownSeal),
        },
        _ => SealSpec::parse(text, data_dir),
    }
}
