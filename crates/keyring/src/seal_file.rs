//! `seal.json`: how a data directory's root key is protected, and the base keys under it. It holds
//! no secret in clear.
//!
//! A first start writes it last and once: a directory with it is a store, one without it is not yet
//! one. Later it is replaced as a whole, and only by `seal_change`.
//!
//! | format | what is different |
//! |---|---|
//! | 1 | no id, no generations: the root key is itself base key 1 |
//! | 2 | the root key wraps a list of base keys |
//!
//! Both are read; format 2 is written.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base_keys::{BaseKeyInfo, BaseKeys};
use crate::errors::KeyringError;
use crate::held_seal::{Blob, HeldKind};
use crate::parent_key::{CHECK_LEN, ParentKey, ROOT_KEY_LEN};
use crate::passphrase::Wrapped;
use crate::secret::SecretBytes;
use crate::whole_file::{self, Placed};

const FIRST_FORMAT: u32 = 1;
const FORMAT: u32 = 2;

/// Far more than a `seal.json` ever has.
const MOST_BYTES: u64 = 64 * 1024;

#[derive(Debug)]
pub(crate) struct SealFile {
    /// The directory's own id; the first format has none.
    pub id: Option<[u8; 16]>,
    /// How many root keys there have been.
    pub generation: u32,
    /// When this root key was made, in seconds since 1970; the first format does not say.
    pub since: Option<u64>,
    /// Tells a wrong root key from the right one; see `ParentKey::check_value`.
    pub check: [u8; CHECK_LEN],
    pub seal: Seal,
    /// `None` in the first format: the root key is base key 1.
    pub base_keys: Option<WrappedBaseKeys>,
}

/// What protects the root key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Seal {
    /// The file's path is not kept: directory and key file may each move.
    KeyFile {
        /// Of the root key that the file held before this one: nothing else may be replaced.
        #[serde(
            default,
            skip_serializing_if = "Option::is_none",
            with = "crate::base64_field::optional"
        )]
        former: Option<[u8; CHECK_LEN]>,
    },
    Passphrase(Wrapped),
    /// A credential that systemd hands to the service.
    Systemd(Wrapped),
    Tpm(Blob),
    Pkcs11(Blob),
    Kms(Blob),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrappedBaseKeys {
    pub generations: Vec<BaseKeyInfo>,
    #[serde(with = "crate::base64_field::of_any_length")]
    wrapped: Vec<u8>,
}

/// Read first, so that a later format is recognised whatever else it has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    #[serde(rename = "format")]
    _format: u32,
    #[serde(with = "crate::base64_field")]
    check: [u8; CHECK_LEN],
    seal: Seal,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Second<S> {
    format: u32,
    #[serde(with = "crate::base64_field")]
    id: [u8; 16],
    generation: u32,
    since: u64,
    #[serde(with = "crate::base64_field")]
    check: [u8; CHECK_LEN],
    seal: S,
    base_keys: WrappedBaseKeys,
}

pub(crate) fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("seal.json")
}

/// The bytes of a directory's `seal.json`, which hold no secret in clear; `None` where it has none.
///
/// # Errors
/// [`KeyringError::Io`]
pub fn seal_file(data_dir: &Path) -> Result<Option<Vec<u8>>, KeyringError> {
    Ok(whole_file::read(&path_in(data_dir), MOST_BYTES)?.map(|bytes| bytes.to_vec()))
}

/// Gives a directory that has no `seal.json` another's: for processes that share a store. Whoever opens it
/// needs the same root key.
///
/// # Errors
/// [`KeyringError::Io`], where one is there too.
pub fn adopt_seal_file(data_dir: &Path, bytes: &[u8]) -> Result<(), KeyringError> {
    let path = path_in(data_dir);
    match whole_file::place(&path, bytes)? {
        Placed::ByUs => Ok(()),
        Placed::ByAnother => {
            let there = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            Err(KeyringError::io("make", &path)(there))
        }
    }
}

/// What a new `seal.json` says.
pub(crate) struct NewSeal<'a> {
    pub id: [u8; 16],
    pub generation: u32,
    pub since: u64,
    pub root: &'a ParentKey,
    pub seal: &'a Seal,
    pub base_keys: &'a BaseKeys,
}

impl NewSeal<'_> {
    /// The text of the file.
    ///
    /// # Errors
    /// [`KeyringError::Random`], [`KeyringError::SealFile`].
    pub(crate) fn text(&self, path: &Path) -> Result<Vec<u8>, KeyringError> {
        let file = Second {
            format: FORMAT,
            id: self.id,
            generation: self.generation,
            since: self.since,
            check: self.root.check_value(),
            seal: self.seal,
            base_keys: WrappedBaseKeys {
                generations: self.base_keys.infos(),
                wrapped: self.base_keys.wrap(self.root, &self.id)?,
            },
        };
        let mut text = serde_json::to_vec_pretty(&file).map_err(|error| malformed(path, &error))?;
        text.push(b'\n');
        if text.len() as u64 > MOST_BYTES {
            return Err(KeyringError::SealFile {
                path: path.to_owned(),
                reason: "what the seal keeps in it is too long".to_owned(),
            });
        }
        Ok(text)
    }

    /// Writes it to `path`, unless there is one already.
    ///
    /// # Errors
    /// Those of [`whole_file::place`], and [`KeyringError::Random`].
    pub(crate) fn place(&self, path: &Path) -> Result<Placed, KeyringError> {
        whole_file::place(path, &self.text(path)?)
    }
}

impl SealFile {
    /// The seal at `path`, or `None` when there is no such file.
    ///
    /// # Errors
    /// [`KeyringError::SealFormat`] when a later program wrote it, [`KeyringError::SealFile`] when
    /// it cannot be understood, [`KeyringError::Io`] when it cannot be read.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, KeyringError> {
        let Some(contents) = whole_file::read(path, MOST_BYTES)? else { return Ok(None) };
        Self::parse(path, &contents).map(Some)
    }

    /// The seal that a file says which is, or is to be, at `path`.
    ///
    /// # Errors
    /// [`KeyringError::SealFormat`], [`KeyringError::SealFile`].
    pub(crate) fn parse(path: &Path, contents: &[u8]) -> Result<Self, KeyringError> {
        let malformed = |error: serde_json::Error| malformed(path, &error);
        let Format { format } = serde_json::from_slice(contents).map_err(malformed)?;
        match format {
            FIRST_FORMAT => {
                let First { check, seal, .. } =
                    serde_json::from_slice(contents).map_err(malformed)?;
                if seal.as_held().is_some() {
                    return Err(KeyringError::SealFile {
                        path: path.to_owned(),
                        reason: "the first format knows no such seal".to_owned(),
                    });
                }
                let (id, generation, since, base_keys) = (None, 1, None, None);
                Ok(Self { id, generation, since, check, seal, base_keys })
            }
            FORMAT => {
                let Second { id, generation, since, check, seal, base_keys, .. } =
                    serde_json::from_slice::<Second<Seal>>(contents).map_err(malformed)?;
                let (id, since, base_keys) = (Some(id), Some(since), Some(base_keys));
                Ok(Self { id, generation, since, check, seal, base_keys })
            }
            _ => Err(KeyringError::SealFormat { path: path.to_owned(), format, known: FORMAT }),
        }
    }

    /// What may be known of its base keys.
    pub(crate) fn base_key_infos(&self) -> Vec<BaseKeyInfo> {
        match &self.base_keys {
            Some(wrapped) => wrapped.generations.clone(),
            None => BaseKeys::first(SecretBytes::new(vec![0; ROOT_KEY_LEN])).infos(),
        }
    }

    /// Whether it has every base key that another seal of the same directory has.
    pub(crate) fn has_base_keys_of(&self, other: &Self) -> bool {
        let ours = self.base_key_infos();
        other.base_key_infos().iter().all(|base| ours.contains(base))
    }

    /// The check value of the root key that the key file held before.
    pub(crate) fn former(&self) -> Option<&[u8; CHECK_LEN]> {
        match &self.seal {
            Seal::KeyFile { former } => former.as_ref(),
            _ => None,
        }
    }

    /// The base keys, which `root` wraps.
    ///
    /// # Errors
    /// [`KeyringError::SealFile`] where they were altered.
    pub(crate) fn base_keys(
        &self,
        path: &Path,
        root: &SecretBytes,
        key: &ParentKey,
    ) -> Result<BaseKeys, KeyringError> {
        let (Some(id), Some(WrappedBaseKeys { generations, wrapped })) =
            (&self.id, &self.base_keys)
        else {
            return Ok(BaseKeys::first(root.duplicate()));
        };
        BaseKeys::unwrap(key, id, generations, wrapped).ok_or_else(|| KeyringError::SealFile {
            path: path.to_owned(),
            reason: "its base keys were altered".to_owned(),
        })
    }
}

impl Seal {
    pub(crate) fn held(kind: HeldKind, blob: Blob) -> Self {
        match kind {
            HeldKind::Tpm => Self::Tpm(blob),
            HeldKind::Pkcs11 => Self::Pkcs11(blob),
            HeldKind::Kms => Self::Kms(blob),
        }
    }

    /// The holder's kind and blob.
    pub(crate) fn as_held(&self) -> Option<(HeldKind, &Blob)> {
        match self {
            Self::KeyFile { .. } | Self::Passphrase(_) | Self::Systemd(_) => None,
            Self::Tpm(blob) => Some((HeldKind::Tpm, blob)),
            Self::Pkcs11(blob) => Some((HeldKind::Pkcs11, blob)),
            Self::Kms(blob) => Some((HeldKind::Kms, blob)),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::KeyFile { .. } => "key file",
            Self::Passphrase(_) => "passphrase",
            Self::Systemd(_) => "systemd credential",
            Self::Tpm(_) => HeldKind::Tpm.name(),
            Self::Pkcs11(_) => HeldKind::Pkcs11.name(),
            Self::Kms(_) => HeldKind::Kms.name(),
        }
    }
}

fn malformed(path: &Path, error: &serde_json::Error) -> KeyringError {
    KeyringError::SealFile { path: path.to_owned(), reason: error.to_string() }
}
