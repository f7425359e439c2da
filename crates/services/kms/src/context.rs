//! The encryption context of a request: bound to ciphertexts, asked for by policies and grants.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html>

use crate::errors;
use ringfence_gateway::Resolved;
use ringfence_keyring::material::{EncryptionAlgorithm, EncryptionContext};
use ringfence_policy::grant;
use ringfence_wire::ServiceError;
use ringfence_wire::value::Map;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Most bytes of an encryption context.
const LONGEST: usize = 8 * 1024;

/// The pairs of a request's encryption context.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs<'a>(Cow<'a, grant::EncryptionContext>);

impl<'a> Pairs<'a> {
    /// Reads a request's.
    ///
    /// # Errors
    /// `ValidationException` where it is too long, or has one name in two spellings.
    pub fn read(given: Option<&'a Map<String>>) -> Result<Self, ServiceError> {
        let pairs = given.map_or_else(Cow::default, Cow::Borrowed);
        let length: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if length > LONGEST {
            return Err(errors::validation("The encryption context is too long."));
        }
        one_spelling(&pairs)?;
        Ok(Self(pairs))
    }

    /// Those that a grant's constraint asks for.
    pub fn of(pairs: grant::EncryptionContext) -> Self {
        Self(Cow::Owned(pairs))
    }

    /// Asymmetric algorithms take none.
    ///
    /// # Errors
    /// `ValidationException`, for which no recording was found.
    pub fn fits(&self, algorithm: EncryptionAlgorithm) -> Result<(), ServiceError> {
        if self.0.is_empty() || algorithm == EncryptionAlgorithm::SymmetricDefault {
            return Ok(());
        }
        Err(errors::validation(format!(
            "Algorithm {} does not support an encryption context.",
            algorithm.as_str()
        )))
    }

    /// As it is bound to a ciphertext.
    pub fn bound(&self) -> EncryptionContext {
        EncryptionContext::of_map(&self.0)
    }

    /// As grants ask for it.
    pub fn pairs(&self) -> &grant::EncryptionContext {
        &self.0
    }

    /// Sets the condition keys of it.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-encryption-context>
    pub fn told<T>(&self, mut found: Resolved<T>) -> Resolved<T> {
        for (name, value) in &*self.0 {
            found = found.key(["kms:EncryptionContext:", name].concat(), value.as_str());
        }
        if self.0.is_empty() {
            return found;
        }
        found.keys("kms:EncryptionContextKeys", self.0.keys())
    }
}

/// No name may be there in two spellings. To condition keys, whose names compare without regard to case,
/// both would be one: whichever value counted, the other would get past a policy that is about it. AWS
/// advises against such pairs, and does not say which of them a policy sees.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html>
///
/// # Errors
/// `ValidationException`.
pub(crate) fn one_spelling(pairs: &grant::EncryptionContext) -> Result<(), ServiceError> {
    let twice = match pairs.len() {
        0 | 1 => false,
        // Few are told apart without copies of them.
        2..=8 => pairs.keys().enumerate().any(|(at, name)| {
            pairs.keys().skip(at + 1).any(|other| name.eq_ignore_ascii_case(other))
        }),
        _ => {
            let mut seen = BTreeSet::new();
            !pairs.keys().all(|name| seen.insert(name.to_ascii_lowercase()))
        }
    };
    match twice {
        false => Ok(()),
        true => Err(errors::validation(
            "The encryption context has pairs whose names differ only by case.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_in_two_spellings_is_refused_among_few_pairs_and_many() {
        for many in [0, 1, 5, 6, 7, 20] {
            let others = (0..many).map(|number| (format!("name-{number}"), String::new()));
            let mut pairs: grant::EncryptionContext = others.collect();
            pairs.insert("Team".into(), String::new());
            assert!(one_spelling(&pairs).is_ok(), "{many}");
            pairs.insert("team".into(), String::new());
            assert!(one_spelling(&pairs).is_err(), "{many}");
        }
    }
}
