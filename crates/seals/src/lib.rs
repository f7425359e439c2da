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

mod credentials;
mod kms;
mod pkcs11;
mod tpm;

use ringfence_keyring::{HeldSeal, KeyringError, SealSpec};
use std::path::Path;

/// Reads the text of `--seal`.
///
/// # Errors
/// Those of [`SealSpec::parse`].
pub fn parse(text: &str, data_dir: &Path) -> Result<SealSpec, KeyringError> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    let held: Box<dyn HeldSeal> = match kind {
        "tpm" => Box::new(tpm::TpmSeal::parse(rest).ok_or(KeyringError::UnknownSeal)?),
        "pkcs11" => Box::new(pkcs11::Pkcs11Seal::parse(rest).ok_or(KeyringError::UnknownSeal)?),
        "kms" => Box::new(kms::KmsSeal::parse(rest).ok_or(KeyringError::UnknownSeal)?),
        _ => return SealSpec::parse(text, data_dir),
    };
    Ok(SealSpec::Held(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_named_by_its_kind_and_what_is_behind_it() {
        let key = "arn:aws:kms:us-east-1:123456789012:key/abc";
        for (text, words) in [
            ("file", "key file /data/root.key"),
            ("file:/etc/ringfence.key", "key file /etc/ringfence.key"),
            ("tpm", "TPM /dev/tpmrm0"),
            ("tpm:/dev/tpm1,pcrs=7", "TPM /dev/tpm1"),
            ("pkcs11:token=t;object=o?module-path=/m", "PKCS#11 token `t`, key `o`"),
            (
                &format!("kms:{key}@http://127.0.0.1:1"),
                &format!("KMS key {key} at http://127.0.0.1:1"),
            ),
        ] {
            assert_eq!(parse(text, Path::new("/data")).unwrap().in_words(), words);
        }
    }

    #[test]
    fn other_text_is_refused_without_repeating_it() {
        for text in ["tpm:hunter2", "pkcs11:hunter2", "kms:hunter2", "kms", "pkcs11", "hunter2"] {
            let error = parse(text, Path::new("/data")).unwrap_err();
            assert!(matches!(error, KeyringError::UnknownSeal), "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }
}
