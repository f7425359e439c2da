//! The identifiers that AWS makes up: unique ids, access key ids, secrets.

use base32::{decode_account, encode};
use ringfence_keyring::KeyringError;
use ringfence_keyring::SecretString;
use ringfence_keyring::random::Random;
use ringfence_policy::AccountId;
use std::cell::RefCell;
use std::fmt;
use std::ops::Deref;

/// What an identifier stands for, told by its first four letters.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdKind {
    /// A user.
    User,
    /// A group.
    Group,
    /// A role.
    Role,
    /// An instance profile.
    InstanceProfile,
    /// A managed policy.
    ManagedPolicy,
    /// A long-term access key.
    AccessKey,
    /// A temporary access key.
    SessionKey,
    /// An SSH public key.
    PublicKey,
    /// A server certificate.
    ServerCertificate,
    /// A credential for one service alone.
    ServiceCredential,
}

impl IdKind {
    /// The first four letters.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::User => "AIDA",
            Self::Group => "AGPA",
            Self::Role => "AROA",
            Self::InstanceProfile => "AIPA",
            Self::ManagedPolicy => "ANPA",
            Self::AccessKey => "AKIA",
            Self::SessionKey => "ASIA",
            Self::PublicKey => "APKA",
            Self::ServerCertificate => "ASCA",
            Self::ServiceCredential => "ACCA",
        }
    }
}

/// A random UUID.
///
/// # Errors
/// When the system has no random bytes.
pub fn uuid(random: &dyn Random) -> Result<String, KeyringError> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// A random UUID for a call or an event. Every call has two, and they are no secrets: each thread draws
/// for many at once.
///
/// # Errors
/// When the system has no random bytes.
pub(crate) fn of_call(random: &dyn Random) -> Result<CallId, KeyringError> {
    thread_local! {
        static DRAWN: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
    }
    DRAWN.with_borrow_mut(|drawn| {
        let bytes = match drawn.pop() {
            Some(bytes) => bytes,
            None => {
                let mut new = [[0; 16]; 64];
                random.fill(new.as_flattened_mut())?;
                let [first, rest @ ..] = new;
                drawn.extend(rest);
                first
            }
        };
        let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
        let mut text = [0; 36];
        id.hyphenated().encode_lower(&mut text);
        Ok(CallId(text))
    })
}

/// The id of a call or of its event: a UUID, in lower case, where it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId([u8; 36]);

impl Deref for CallId {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
impl From<&str> for CallId {
    /// The first 36 bytes of a text, or as many and spaces.
    fn from(text: &str) -> Self {
        let mut bytes = [b' '; 36];
        bytes.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Self(bytes)
    }
}

/// A unique id: four letters that tell its kind, and seventeen random ones.
///
/// # Errors
/// When the system has no random bytes.
pub fn unique_id(kind: IdKind, random: &dyn Random) -> Result<String, KeyringError> {
    let mut bytes = [0; 11];
    random.fill(&mut bytes)?;
    let mut id = kind.prefix().to_owned();
    id.push_str(&encode(&bytes)[..17]);
    Ok(id)
}

/// An access key id: it carries its account, as AWS's do, so that `GetAccessKeyInfo` and the way to
/// the account's state need no index.
///
/// # Errors
/// When the system has no random bytes.
pub fn access_key_id(
    kind: IdKind,
    account: AccountId,
    random: &dyn Random,
) -> Result<String, KeyringError> {
    let mut bytes = [0; 10];
    random.fill(&mut bytes)?;
    // Bit 47 is set, the account lies in bits 7 to 46, the rest is random.
    let low = u64::from(bytes[5] & 0x7f);
    let head = (1 << 47) | (account.number() << 7) | low;
    bytes[..6].copy_from_slice(&head.to_be_bytes()[2..]);
    Ok(format!("{}{}", kind.prefix(), encode(&bytes)))
}

/// The id of a signing certificate: thirty-two letters, 160 random bits.
///
/// # Errors
/// When the system has no random bytes.
pub fn certificate_id(random: &dyn Random) -> Result<String, KeyringError> {
    let mut bytes = [0; 20];
    random.fill(&mut bytes)?;
    Ok(encode(&bytes))
}

/// A password that a service-specific credential is made with: sixty characters of Base64, 352 random
/// bits.
///
/// # Errors
/// When the system has no random bytes.
pub fn service_password(random: &dyn Random) -> Result<SecretString, KeyringError> {
    use base64::Engine as _;
    let mut bytes = [0; 44];
    random.fill(&mut bytes)?;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    bytes.fill(0);
    Ok(SecretString::new(text))
}

/// The account that an access key id carries; `None` where the text is no access key id.
pub fn account_of(access_key_id: &str) -> Option<AccountId> {
    let rest = access_key_id
        .strip_prefix(IdKind::AccessKey.prefix())
        .or_else(|| access_key_id.strip_prefix(IdKind::SessionKey.prefix()))?;
    decode_account(rest)
}

/// A secret access key: forty characters of Base64's alphabet, 240 random bits.
///
/// # Errors
/// When the system has no random bytes.
pub fn secret_access_key(random: &dyn Random) -> Result<SecretString, KeyringError> {
    use base64::Engine as _;
    let mut bytes = [0; 30];
    random.fill(&mut bytes)?;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    bytes.fill(0);
    Ok(SecretString::new(text))
}

mod base32 {
    //! RFC 4648's alphabet, without padding.

    use ringfence_policy::AccountId;

    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    pub fn encode(bytes: &[u8]) -> String {
        let bits = bytes.len() * 8;
        (0..bits.div_ceil(5))
            .map(|i| {
                let value = (0..5).fold(0u8, |value, bit| {
                    let at = i * 5 + bit;
                    let byte = bytes.get(at / 8).copied().unwrap_or(0);
                    (value << 1) | ((byte >> (7 - at % 8)) & 1)
                });
                char::from(ALPHABET[usize::from(value)])
            })
            .collect()
    }

    /// The account in the first 48 bits of sixteen letters.
    pub fn decode_account(text: &str) -> Option<AccountId> {
        if text.len() != 16 {
            return None;
        }
        let mut head = 0u64;
        for (i, letter) in text.bytes().enumerate() {
            let value = ALPHABET.iter().position(|a| *a == letter)? as u64;
            if i < 10 {
                head = (head << 5) | value;
            }
        }
        // Ten letters are 50 bits; the account lies in bits 7 to 46 of the first 48.
        AccountId::new((head >> 2 >> 7) & 0xff_ffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_keyring::random::SystemRandom;

    #[test]
    fn an_access_key_id_carries_its_account() {
        for number in [0, 1, 123_456_789_012, 999_999_999_999] {
            let account = AccountId::new(number).unwrap();
            let id = access_key_id(IdKind::AccessKey, account, &SystemRandom).unwrap();
            assert_eq!(id.len(), 20);
            assert_eq!(account_of(&id), Some(account));
        }
        for text in ["", "AKIA", "AIDAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPL1"] {
            assert_eq!(account_of(text), None, "{text}");
        }
    }

    #[test]
    fn no_two_calls_have_one_id() {
        let ids = (0..1000).map(|_| of_call(&SystemRandom).unwrap());
        assert_eq!(ids.collect::<std::collections::HashSet<_>>().len(), 1000);
    }

    #[test]
    fn identifiers_have_the_lengths_of_awss() {
        let id = unique_id(IdKind::Role, &SystemRandom).unwrap();
        assert!(id.starts_with("AROA") && id.len() == 21, "{id}");
        assert_eq!(secret_access_key(&SystemRandom).unwrap().expose().len(), 40);
        assert_eq!(certificate_id(&SystemRandom).unwrap().len(), 32);
        let password = service_password(&SystemRandom).unwrap();
        assert!(password.expose().len() == 60 && password.expose().ends_with('='));
    }
}
