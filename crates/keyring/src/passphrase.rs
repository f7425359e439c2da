//! The passphrase seal and the systemd seal: the root key wrapped by a key that argon2id makes of a
//! passphrase, or of a credential's bytes, which may be one.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::errors::KeyringError;
use crate::parent_key::{CHECK_LEN, ROOT_KEY_LEN};
use crate::parts;
use crate::random;
use crate::secret::{SecretBytes, SecretString};

/// A passphrase faces guessing at the speed of the guesser's machines once a disk is stolen, so a
/// new store asks for more than the 8 characters that NIST SP 800-63B has for logins, which can be
/// throttled.
pub(crate) const LEAST_CHARACTERS: usize = 12;

const SALT_LEN: usize = 16;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;

/// What argon2id makes the key of. A root key that one kind wraps no other unwraps.
#[derive(Debug)]
pub(crate) enum Secret<'a> {
    Passphrase(&'a SecretString),
    Credential(&'a SecretBytes),
}

impl Secret<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Passphrase(passphrase) => passphrase.expose().as_bytes(),
            Self::Credential(credential) => credential.expose(),
        }
    }

    fn label(&self) -> &'static [u8] {
        match self {
            Self::Passphrase(_) => b"ringfence root key, wrapped by a passphrase, 1",
            Self::Credential(_) => b"ringfence root key, wrapped by a systemd credential, 1",
        }
    }

    fn check_length(&self) -> Result<(), KeyringError> {
        match self {
            Self::Passphrase(passphrase)
                if passphrase.expose().chars().count() < LEAST_CHARACTERS =>
            {
                Err(KeyringError::PassphraseTooShort { least: LEAST_CHARACTERS })
            }
            Self::Credential(credential) if credential.len() < LEAST_CHARACTERS => {
                Err(KeyringError::CredentialTooShort { least: LEAST_CHARACTERS })
            }
            _ => Ok(()),
        }
    }
}

/// What a guess at the passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Cost {
    /// More than the 46 MiB, 1 pass, 1 lane that the OWASP Password Storage Cheat Sheet has as
    /// the least, and RFC 9106's memory for the constrained; about a fifth of a second.
    pub(crate) const STANDARD: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    /// For passwords of users, which are checked while somebody waits: one of the choices that the
    /// OWASP Password Storage Cheat Sheet has as the least.
    /// <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>
    pub(crate) const PASSWORD: Self = Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

    /// So that an altered `seal.json` cannot make the next start take the machine's memory.
    const MOST: Self = Self { memory_kib: 1024 * 1024, passes: 64, lanes: 16 };

    fn params(self) -> Option<Params> {
        let within = self.memory_kib <= Self::MOST.memory_kib
            && self.passes <= Self::MOST.passes
            && self.lanes <= Self::MOST.lanes;
        if !within {
            return None;
        }
        Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok()
    }
}

/// A wrapped root key, as `seal.json` keeps it. Binary fields are base64.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wrapped {
    kdf: Kdf,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    #[serde(with = "crate::base64_field")]
    salt: [u8; SALT_LEN],
    #[serde(with = "crate::base64_field")]
    nonce: [u8; NONCE_LEN],
    #[serde(with = "crate::base64_field")]
    wrapped_root_key: [u8; ROOT_KEY_LEN + TAG_LEN],
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Kdf {
    /// RFC 9106, version 1.3.
    #[serde(rename = "argon2id")]
    Argon2id,
}

/// Why a root key was not unwrapped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Or an altered file: the two cannot be told apart.
    WrongPassphrase,
    BadParameters,
}

/// Wraps `root`, whose key-check value is `check`.
///
/// # Errors
/// [`KeyringError::PassphraseTooShort`], [`KeyringError::CredentialTooShort`];
/// [`KeyringError::Random`].
pub(crate) fn wrap(
    secret: &Secret<'_>,
    root: &SecretBytes,
    check: &[u8; CHECK_LEN],
    cost: Cost,
) -> Result<Wrapped, KeyringError> {
    secret.check_length()?;
    let mut salt = [0; SALT_LEN];
    random::fill(&mut salt)?;
    let mut nonce = [0; NONCE_LEN];
    random::fill(&mut nonce)?;

    let key = wrapping_key(secret, &salt, cost).ok_or(KeyringError::Derivation)?;
    let mut wrapped_root_key = [0; ROOT_KEY_LEN + TAG_LEN];
    let (ciphertext, tag) = wrapped_root_key.split_at_mut(ROOT_KEY_LEN);
    key.seal_out_of_place_scatter(
        Nonce::assume_unique_for_key(nonce),
        associated_data(secret, check),
        root.expose(),
        ciphertext,
        &[],
        tag,
    )
    .map_err(|_| KeyringError::Derivation)?;
    Ok(Wrapped {
        kdf: Kdf::Argon2id,
        memory_kib: cost.memory_kib,
        passes: cost.passes,
        lanes: cost.lanes,
        salt,
        nonce,
        wrapped_root_key,
    })
}

/// The root key in `wrapped`. The caller must compare its key-check value with `check`: AES-GCM
/// alone does not commit to a key, and a file could be made that opens under several passphrases.
pub(crate) fn unwrap(
    secret: &Secret<'_>,
    wrapped: &Wrapped,
    check: &[u8; CHECK_LEN],
) -> Result<SecretBytes, Failure> {
    let Kdf::Argon2id = wrapped.kdf;
    let cost =
        Cost { memory_kib: wrapped.memory_kib, passes: wrapped.passes, lanes: wrapped.lanes };
    let key = wrapping_key(secret, &wrapped.salt, cost).ok_or(Failure::BadParameters)?;
    let (ciphertext, tag) = wrapped.wrapped_root_key.split_at(ROOT_KEY_LEN);
    let mut root = SecretBytes::new(vec![0; ROOT_KEY_LEN]);
    key.open_separate_gather(
        Nonce::assume_unique_for_key(wrapped.nonce),
        associated_data(secret, check),
        ciphertext,
        tag,
        root.expose_mut(),
    )
    .map_err(|_| Failure::WrongPassphrase)?;
    Ok(root)
}

/// The parameters and the salt need no place here: they make the key.
fn associated_data(secret: &Secret<'_>, check: &[u8; CHECK_LEN]) -> Aad<Vec<u8>> {
    Aad::from(parts::joined(&[secret.label(), check]))
}

/// `None` when the parameters are out of bounds.
fn wrapping_key(secret: &Secret<'_>, salt: &[u8], cost: Cost) -> Option<LessSafeKey> {
    let key = argon2id(secret.bytes(), salt, cost)?;
    UnboundKey::new(&AES_256_GCM, &*key).ok().map(LessSafeKey::new)
}

/// `None` when the parameters are out of bounds.
pub(crate) fn argon2id(secret: &[u8], salt: &[u8], cost: Cost) -> Option<Zeroizing<[u8; 32]>> {
    let params = cost.params()?;
    // Our own memory, because argon2 frees its own unwiped.
    let mut memory = Zeroizing::new(vec![Block::default(); params.block_count()]);
    let mut out = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(secret, salt, &mut *out, memory.as_mut_slice())
        .ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };
    const CHECK: [u8; CHECK_LEN] = [9; CHECK_LEN];

    fn passphrase(text: &str) -> SecretString {
        SecretString::new(text.into())
    }

    fn wrapped() -> Wrapped {
        let root = SecretBytes::new(vec![7; ROOT_KEY_LEN]);
        wrap(&Secret::Passphrase(&passphrase("correct horse")), &root, &CHECK, CHEAP).unwrap()
    }

    fn unwrap(
        passphrase: &SecretString,
        wrapped: &Wrapped,
        check: &[u8; CHECK_LEN],
    ) -> Result<SecretBytes, Failure> {
        super::unwrap(&Secret::Passphrase(passphrase), wrapped, check)
    }

    #[test]
    fn a_credential_of_the_same_bytes_is_no_passphrase() {
        let credential = SecretBytes::new(b"correct horse".to_vec());
        let root = SecretBytes::new(vec![7; ROOT_KEY_LEN]);
        let by_credential = wrap(&Secret::Credential(&credential), &root, &CHECK, CHEAP).unwrap();
        assert!(unwrap(&passphrase("correct horse"), &by_credential, &CHECK).is_err());
        assert!(super::unwrap(&Secret::Credential(&credential), &wrapped(), &CHECK).is_err());
        let opened = super::unwrap(&Secret::Credential(&credential), &by_credential, &CHECK);
        assert!(opened.unwrap().matches(root.expose()));
        let short = SecretBytes::new(vec![1; 11]);
        assert!(matches!(
            wrap(&Secret::Credential(&short), &root, &CHECK, CHEAP),
            Err(KeyringError::CredentialTooShort { .. })
        ));
    }

    #[test]
    fn only_the_same_passphrase_unwraps() {
        let wrapped = wrapped();
        let root = unwrap(&passphrase("correct horse"), &wrapped, &CHECK).unwrap();
        assert!(root.matches(&[7; ROOT_KEY_LEN]));
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert_eq!(
                unwrap(&passphrase(wrong), &wrapped, &CHECK).unwrap_err(),
                Failure::WrongPassphrase
            );
        }
    }

    #[test]
    fn no_altered_field_unwraps() {
        type Alter = fn(&mut Wrapped);
        let alterations: [Alter; 6] = [
            |w| w.salt[0] ^= 1,
            |w| w.nonce[0] ^= 1,
            |w| w.wrapped_root_key[0] ^= 1,
            |w| w.wrapped_root_key[ROOT_KEY_LEN + TAG_LEN - 1] ^= 1,
            |w| w.passes += 1,
            |w| w.memory_kib += 8,
        ];
        for (i, alter) in alterations.iter().enumerate() {
            let mut wrapped = wrapped();
            alter(&mut wrapped);
            assert_eq!(
                unwrap(&passphrase("correct horse"), &wrapped, &CHECK).unwrap_err(),
                Failure::WrongPassphrase,
                "{i}"
            );
        }
        assert!(unwrap(&passphrase("correct horse"), &wrapped(), &[8; CHECK_LEN]).is_err());
    }

    #[test]
    fn parameters_out_of_bounds_are_refused_before_any_work() {
        type Alter = fn(&mut Wrapped);
        let alterations: [Alter; 6] = [
            |w| w.memory_kib = u32::MAX,
            |w| w.memory_kib = 0,
            |w| w.passes = u32::MAX,
            |w| w.passes = 0,
            |w| w.lanes = 17,
            |w| w.lanes = 0,
        ];
        for (i, alter) in alterations.iter().enumerate() {
            let mut wrapped = wrapped();
            alter(&mut wrapped);
            assert_eq!(
                unwrap(&passphrase("correct horse"), &wrapped, &CHECK).unwrap_err(),
                Failure::BadParameters,
                "{i}"
            );
        }
    }

    #[test]
    fn a_new_store_refuses_a_short_passphrase() {
        let root = SecretBytes::new(vec![7; ROOT_KEY_LEN]);
        for short in ["", "hunter2", "elevenchars", "ééééééééééé"] {
            assert!(matches!(
                wrap(&Secret::Passphrase(&passphrase(short)), &root, &CHECK, CHEAP),
                Err(KeyringError::PassphraseTooShort { .. })
            ));
        }
    }

    #[test]
    fn the_standard_cost_is_at_least_what_owasp_asks() {
        let Cost { memory_kib, passes, lanes } = Cost::STANDARD;
        assert!(memory_kib >= 64 * 1024 && passes >= 3 && lanes == 1);
        assert!(Cost::STANDARD.params().is_some());
    }
}
