//! What can go wrong with key material, said without saying any of it.

use std::io;
use std::path::{Path, PathBuf};

/// Every failure of this crate. No variant carries a secret, nor text that a user may have typed
/// where a secret belongs, so an error may be logged and shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    #[error(
        "unknown seal: expected `file:PATH`, `passphrase:env:VARIABLE`, `passphrase:file:PATH`, \
         `systemd:NAME`, `tpm:DEVICE`, `pkcs11:URI` or `kms:KEY_ARN@ENDPOINT`"
    )]
    UnknownSeal,

    #[error(
        "there is no systemd credential `{name}`: the service manager hands them over in \
         $CREDENTIALS_DIRECTORY (LoadCredential=, LoadCredentialEncrypted=)"
    )]
    NoCredential { name: String },

    #[error("the credential is too short: a seal needs one of at least {least} bytes")]
    CredentialTooShort { least: usize },

    #[error(
        "this is not the credential that seals this store (or `{}` was altered)",
        path.display()
    )]
    WrongCredential { path: PathBuf },

    /// What a [`HeldSeal`](crate::HeldSeal) said.
    #[error("the seal by a {kind} failed: {reason}")]
    Holder { kind: &'static str, reason: String },

    #[error("another process changes the seal of this store: `{}` is locked", path.display())]
    SealLocked { path: PathBuf },

    /// What a [`SharedSeal`](crate::SharedSeal) said.
    #[error("the seal of the shared store: {reason}")]
    Shared { reason: String },

    #[error(
        "`{}` has root key {here} and the shared store only root key {there}: was the database restored \
         from a backup? `ringfence seal rotate` from this directory puts that right; to go back to \
         the former root key, move the file away",
        path.display()
    )]
    SealAhead { path: PathBuf, here: u32, there: u32 },

    #[error(
        "`{}` is of another store than the shared one, or has another root key of the same number: \
         give each server of a store a data directory of its own, and move the file away where it is \
         to have the shared one",
        path.display()
    )]
    SealApart { path: PathBuf },

    #[error("there are too many generations of base keys: retire the earlier ones")]
    TooManyGenerations,

    #[error("the passphrase's environment variable `{variable}` is not set, or is not valid UTF-8")]
    PassphraseVariable { variable: String },

    #[error("the file `{}` with a secret is not valid UTF-8", path.display())]
    SecretFile { path: PathBuf },

    #[error("the passphrase is too short: a new store needs one of at least {least} characters")]
    PassphraseTooShort { least: usize },

    #[error(
        "wrong passphrase (or `{}` was altered): the root key could not be unwrapped",
        path.display()
    )]
    WrongPassphrase { path: PathBuf },

    #[error(
        "this store has no seal: `{}` does not exist",
        path.display()
    )]
    NoSeal { path: PathBuf },

    #[error(
        "this store is sealed by a {stored}, but a {given} seal was asked for (`{}` says so)",
        path.display()
    )]
    WrongSealKind { path: PathBuf, stored: &'static str, given: &'static str },

    #[error("`{}` cannot be used: {reason}", path.display())]
    SealFile { path: PathBuf, reason: String },

    #[error(
        "`{}` has format {format}, and this program reads format {known}: use a newer ringfence",
        path.display()
    )]
    SealFormat { path: PathBuf, format: u32, known: u32 },

    #[error(
        "the key file `{}` is missing: this store is sealed by it and cannot be read without it; \
         restore it from a copy",
        path.display()
    )]
    KeyFileMissing { path: PathBuf },

    #[error(
        "the key file `{}` is not the one that seals this store",
        path.display()
    )]
    WrongKeyFile { path: PathBuf },

    #[error(
        "the key file `{}` exists but `seal.json` beside it does not: this looks like a store \
         sealed by that key file; name it with `file:`, or move it away to start a new store",
        path.display()
    )]
    KeyFileWithoutSeal { path: PathBuf },

    #[error(
        "the key file `{}` is a symbolic link: a new root key would have to take its place; name \
         the file itself, or move to another seal",
        path.display()
    )]
    KeyFileIsLink { path: PathBuf },

    #[error(
        "there is a file at `{}` already: name another, or move it away",
        path.display()
    )]
    KeyFileThere { path: PathBuf },

    #[error(
        "the key file `{}` can be used by others (mode {mode:04o}): make it its owner's alone, \
         with `chmod 600`",
        path.display()
    )]
    KeyFileExposed { path: PathBuf, mode: u32 },

    #[error(
        "the file system of `{}` keeps no permissions (a new file has mode {mode:04o}), so nothing \
         secret can be kept there",
        path.display()
    )]
    PermissionsNotKept { path: PathBuf, mode: u32 },

    #[error(
        "the key file `{}` belongs to user id {owner}, but this process runs as user id {process}",
        path.display()
    )]
    KeyFileForeign { path: PathBuf, owner: u32, process: u32 },

    #[error("the key file `{}` is not usable: {reason}", path.display())]
    KeyFileContent { path: PathBuf, reason: &'static str },

    // The cause is in the message and not a `source`, so that it is said once however the error
    // is printed.
    #[error("could not {action} `{}`: {cause}", path.display())]
    Io { action: &'static str, path: PathBuf, cause: io::Error },

    #[error("the system gave no random bytes")]
    Random,

    #[error("key derivation failed")]
    Derivation,

    #[error("a signing key could not be made, read or used")]
    SigningKey,

    #[error("the value is too long to be sealed")]
    TooLong,

    /// One message for every reason on purpose: which of them it was would help only a forger.
    #[error("not sealed here, sealed for something else, or altered")]
    Open,
}

impl KeyringError {
    /// For `map_err` on a file operation: names what was tried and on which path.
    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |cause| Self::Io { action, path: path.to_owned(), cause }
    }
}
