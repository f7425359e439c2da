//! `seal.json`: how a data directory's root key is protected. It holds no secret in clear.
//!
//! It is written last and once: a directory with it is a store, one without it is not yet one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::errors::KeyringError;
use crate::passphrase::Wrapped;
use crate::root_key::CHECK_LEN;
use crate::whole_file::{self, Placed};

const FORMAT: u32 = 1;

/// Far more than a `seal.json` ever has.
const MOST_BYTES: u64 = 64 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealFile {
    format: u32,
    /// Tells a wrong root key from the right one; see `RootKey::check_value`.
    #[serde(with = "crate::base64_field")]
    pub check: [u8; CHECK_LEN],
    pub seal: Seal,
}

/// What protects the root key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Seal {
    /// The file's path is not kept: directory and key file may each move.
    KeyFile {},
    Passphrase(Wrapped),
}

/// Read first, so that a later format is recognised whatever else it has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

pub(crate) fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("seal.json")
}

impl SealFile {
    pub(crate) fn new(check: [u8; CHECK_LEN], seal: Seal) -> Self {
        Self { format: FORMAT, check, seal }
    }

    /// The seal at `path`, or `None` when there is no such file.
    ///
    /// # Errors
    /// [`KeyringError::SealFormat`] when a later program wrote it, [`KeyringError::SealFile`] when
    /// it cannot be understood, [`KeyringError::Io`] when it cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, KeyringError> {
        let Some(contents) = whole_file::read(path, MOST_BYTES)? else { return Ok(None) };
        let malformed = |error: serde_json::Error| KeyringError::SealFile {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let Format { format } = serde_json::from_slice(&contents).map_err(malformed)?;
        if format != FORMAT {
            return Err(KeyringError::SealFormat { path: path.to_owned(), format, known: FORMAT });
        }
        serde_json::from_slice(&contents).map_err(malformed).map(Some)
    }

    /// Writes it to `path`, unless there is one already.
    ///
    /// # Errors
    /// Those of [`whole_file::place`].
    pub(crate) fn place(&self, path: &Path) -> Result<Placed, KeyringError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| KeyringError::SealFile {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
        text.push(b'\n');
        whole_file::place(path, &text)
    }
}

impl Seal {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::KeyFile {} => "key file",
            Self::Passphrase(_) => "passphrase",
        }
    }
}
