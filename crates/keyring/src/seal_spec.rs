//! Which seal the operator asked for: the text of `--seal`.

use std::env;
use std::path::{Path, PathBuf};

use crate::errors::KeyringError;
use crate::held_seal::HeldSeal;
use crate::secret::{SecretBytes, SecretString};
use crate::whole_file;

/// Name of the key file in a data directory when no other is given.
pub(crate) const DEFAULT_KEY_FILE: &str = "root.key";

const MOST_PASSPHRASE_BYTES: u64 = 64 * 1024;

/// How the root key is protected.
#[derive(Debug)]
pub enum SealSpec {
    /// By a file of 32 bytes that its owner alone can use. Whoever has the file has the store, so
    /// keep a copy of it, and keep it apart from the store's.
    KeyFile(PathBuf),
    /// By a passphrase, of at least 12 characters for a new store. It is used byte for byte: no
    /// Unicode normalisation.
    Passphrase(SecretString),
    /// By a credential that systemd hands to the service, of at least 12 bytes, byte for byte.
    Systemd(SecretBytes),
    /// By something that holds it: a TPM, a token, another KMS.
    Held(Box<dyn HeldSeal>),
}

impl SealSpec {
    /// The seal of a store for which none was asked: `root.key` in its data directory.
    pub fn default_for(data_dir: &Path) -> Self {
        Self::KeyFile(data_dir.join(DEFAULT_KEY_FILE))
    }

    /// Reads the text of `--seal`:
    ///
    /// | text | seal |
    /// |---|---|
    /// | empty, or `file` | the key file `root.key` in `data_dir` |
    /// | `file:PATH` | the key file PATH, from the working directory if relative |
    /// | `passphrase:env:VARIABLE` | the passphrase in an environment variable |
    /// | `passphrase:file:PATH` | the passphrase in a file, without its last line break |
    /// | `systemd:NAME` | the credential NAME of the service (`systemd.exec(5)`, Credentials) |
    ///
    /// The kinds that something else holds are read by the crates that implement them.
    ///
    /// Prefer the file: a process's environment is inherited by its children and can be read in
    /// `/proc`. The passphrase file's mode is not judged, as container platforms mount secrets
    /// readable by all inside a container, and it may be a pipe. A passphrase cannot be given in
    /// the text itself, because command lines are public.
    ///
    /// # Errors
    /// [`KeyringError::UnknownSeal`], which does not repeat the text;
    /// [`KeyringError::PassphraseVariable`], [`KeyringError::SecretFile`],
    /// [`KeyringError::NoCredential`] and [`KeyringError::Io`] when the secret cannot be had.
    pub fn parse(text: &str, data_dir: &Path) -> Result<Self, KeyringError> {
        if matches!(text, "" | "file") {
            return Ok(Self::default_for(data_dir));
        }
        match text.split_once(':') {
            Some(("file", path)) if !path.is_empty() => Ok(Self::KeyFile(path.into())),
            Some(("passphrase", source)) => match source.split_once(':') {
                Some(("env", variable)) if !variable.is_empty() => from_environment(variable),
                Some(("file", path)) if !path.is_empty() => from_file(Path::new(path)),
                _ => Err(KeyringError::UnknownSeal),
            },
            Some(("systemd", name)) if is_credential_name(name) => {
                credential(env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from), name)
            }
            _ => Err(KeyringError::UnknownSeal),
        }
    }

    /// `key file`, `passphrase`, `systemd credential`, or the holder's kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::KeyFile(_) => "key file",
            Self::Passphrase(_) => "passphrase",
            Self::Systemd(_) => "systemd credential",
            Self::Held(held) => held.kind().name(),
        }
    }

    /// In words, for the operator. No secret.
    pub fn in_words(&self) -> String {
        match self {
            Self::KeyFile(path) => format!("key file {}", path.display()),
            Self::Passphrase(_) | Self::Systemd(_) => self.kind().to_owned(),
            Self::Held(held) => held.in_words(),
        }
    }
}

/// A file name and no way out of the directory, as systemd asks of credentials too.
/// <https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#LoadCredential=ID:PATH>
fn is_credential_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && !name.contains('/') && !matches!(name, "." | "..")
}

fn credential(directory: Option<PathBuf>, name: &str) -> Result<SealSpec, KeyringError> {
    let none = || KeyringError::NoCredential { name: name.to_owned() };
    let path = directory.filter(|directory| directory.is_absolute()).ok_or_else(none)?.join(name);
    // systemd bounds all credentials of a service by a megabyte.
    let bytes = whole_file::read(&path, 1024 * 1024)?.ok_or_else(none)?;
    Ok(SealSpec::Systemd(SecretBytes(bytes)))
}

fn from_environment(variable: &str) -> Result<SealSpec, KeyringError> {
    env::var(variable)
        .map(|value| SealSpec::Passphrase(SecretString::new(value)))
        // The error of `env::var` holds the value when it is not UTF-8.
        .map_err(|_| KeyringError::PassphraseVariable { variable: variable.to_owned() })
}

fn from_file(path: &Path) -> Result<SealSpec, KeyringError> {
    secret_line(path, MOST_PASSPHRASE_BYTES).map(SealSpec::Passphrase)
}

/// The secret in a file, without its last line break.
///
/// # Errors
/// [`KeyringError::SecretFile`] where it is no text; [`KeyringError::Io`] where it is not there, is
/// longer than `limit` bytes, or cannot be read.
pub fn secret_line(path: &Path, limit: u64) -> Result<SecretString, KeyringError> {
    let text = secret_file(path, limit)?.ok_or_else(|| KeyringError::Io {
        action: "open",
        path: path.to_owned(),
        cause: std::io::ErrorKind::NotFound.into(),
    })?;
    let text = text.expose();
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(SecretString::new(line.to_owned()))
}

/// The text of a file that holds a secret; `None` where there is no such file.
///
/// # Errors
/// As [`secret_line`].
pub fn secret_file(path: &Path, limit: u64) -> Result<Option<SecretString>, KeyringError> {
    let Some(contents) = whole_file::read(path, limit)? else { return Ok(None) };
    let text = str::from_utf8(&contents)
        .map_err(|_| KeyringError::SecretFile { path: path.to_owned() })?;
    Ok(Some(SecretString::new(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn parse(text: &str) -> Result<SealSpec, KeyringError> {
        SealSpec::parse(text, Path::new("/data"))
    }

    #[test]
    fn a_key_file_is_named_or_lies_in_the_data_directory() {
        for (text, expected) in [
            ("", "/data/root.key"),
            ("file", "/data/root.key"),
            ("file:/etc/ringfence/key", "/etc/ringfence/key"),
            ("file:a:b", "a:b"),
        ] {
            match parse(text).unwrap() {
                SealSpec::KeyFile(path) => assert_eq!(path, Path::new(expected), "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_passphrase_comes_from_the_environment() {
        // Cargo sets this one; a test cannot set its own without unsafe code.
        match parse("passphrase:env:CARGO_PKG_NAME").unwrap() {
            SealSpec::Passphrase(passphrase) => assert!(passphrase.matches(b"ringfence-keyring")),
            other => panic!("{other:?}"),
        }
        let error = parse("passphrase:env:RINGFENCE_NOT_SET").unwrap_err();
        assert!(error.to_string().contains("RINGFENCE_NOT_SET"));
    }

    #[test]
    fn a_passphrase_comes_from_a_file_without_its_last_line_break() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        let text = format!("passphrase:file:{}", path.display());
        for (contents, expected) in [
            ("correct horse", "correct horse"),
            ("correct horse\n", "correct horse"),
            ("correct horse\r\n", "correct horse"),
            ("correct horse\n\n", "correct horse\n"),
            (" correct horse \r", " correct horse \r"),
        ] {
            fs::write(&path, contents).unwrap();
            match parse(&text).unwrap() {
                SealSpec::Passphrase(passphrase) => {
                    assert_eq!(passphrase.expose(), expected, "{contents:?}");
                }
                other => panic!("{contents:?}: {other:?}"),
            }
        }
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(parse(&text), Err(KeyringError::SecretFile { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(parse(&text), Err(KeyringError::Io { .. })));
    }

    #[test]
    fn a_credential_is_its_files_bytes_and_nothing_is_taken_off() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("root"), b"bytes of any kind\xff\n").unwrap();
        match credential(Some(directory.path().into()), "root").unwrap() {
            SealSpec::Systemd(bytes) => assert!(bytes.matches(b"bytes of any kind\xff\n")),
            other => panic!("{other:?}"),
        }
        for directory in [Some(directory.path().into()), Some("relative".into()), None] {
            let error = credential(directory, "absent").unwrap_err();
            assert!(matches!(error, KeyringError::NoCredential { .. }), "{error}");
        }
    }

    #[test]
    fn other_text_is_refused_without_repeating_it() {
        for text in [
            "hunter2",
            "passphrase:hunter2",
            "passphrase:env:",
            "passphrase:file:",
            "passphrase:",
            "file:",
            "FILE:/hunter2",
            "tpm:hunter2",
            "systemd:",
            "systemd:../hunter2",
            "systemd:..",
        ] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, KeyringError::UnknownSeal), "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn debug_shows_no_passphrase() {
        let spec = SealSpec::Passphrase(SecretString::new("hunter2".into()));
        assert_eq!(format!("{spec:?}"), "Passphrase(Secret(..))");
    }
}
