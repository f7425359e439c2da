//! An account's issuer of tokens, as it is stored: its identifier and its signing keys.
//!
//! A key signs for 90 days. Its successor is published five minutes before it signs, so that no
//! verifier holds a key set without it; then the old private key is destroyed, and the public one
//! stays published until the last token that it may have signed has ended.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringfence_keyring::{
    KeyringError, SecretBytes, SigningAlgorithm, SigningKey, VerifyingKey, sealed_only,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use std::sync::Arc;

/// Seconds for which a key signs.
const SIGNS: i64 = 90 * 24 * 60 * 60;
/// Seconds for which a verifier may keep the key set, and a new key waits.
pub(crate) const KEPT: u32 = 300;
/// Seconds of the longest token, and what a verifier's clock may be off.
const LONGEST_TOKEN: i64 = 3600 + 300;

/// An account's issuer. Its identifier is random: it does not tell the account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TokenIssuer {
    /// A UUID.
    pub id: Arc<str>,
    /// Tokens are issued. The keys of one that issues none stay published.
    pub enabled: bool,
    /// In the order in which they were made.
    #[serde(default)]
    pub keys: Vec<IssuerKey>,
}

/// A signing key of an issuer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct IssuerKey {
    #[serde(with = "algorithm")]
    pub algorithm: SigningAlgorithm,
    /// Counts the keys of the algorithm, from 1.
    pub number: u32,
    /// When it signs first.
    pub from: i64,
    /// PKCS #8; destroyed when its successor signs.
    #[serde(default, serialize_with = "write_key", deserialize_with = "read_key")]
    pub private: Option<Arc<SecretBytes>>,
    /// The public key: a JSON web key without `kid`.
    pub public: Box<str>,
}

impl IssuerKey {
    /// As AWS names its keys: `RSA_1`, `EC384_1`.
    pub fn kid(&self) -> String {
        let kind = match self.algorithm {
            SigningAlgorithm::Rs256 => "RSA",
            SigningAlgorithm::Es384 => "EC384",
        };
        format!("{kind}_{}", self.number)
    }

    /// The public key as a key set has it.
    fn jwk(&self) -> Option<Value> {
        let mut jwk: Value = serde_json::from_str(&self.public).ok()?;
        jwk["kid"] = self.kid().into();
        Some(jwk)
    }

    /// Claims as a signed JSON web token (RFC 7515, compact form).
    ///
    /// # Errors
    /// When the key was destroyed, or is none.
    pub fn token(&self, claims: &str) -> Result<String, KeyringError> {
        let private = self.private.as_ref().ok_or(KeyringError::SigningKey)?;
        let key = SigningKey::open(self.algorithm, private)?;
        let header = json!({"alg": name(self.algorithm), "kid": self.kid(), "typ": "JWT"});
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = key.sign(token.as_bytes())?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }
}

/// A key that was just made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    algorithm: SigningAlgorithm,
    private: Arc<SecretBytes>,
    public: Box<str>,
}

impl Made {
    /// Makes one: see [`SigningKey::generate`].
    ///
    /// # Errors
    /// When none can be made.
    pub fn new(algorithm: SigningAlgorithm) -> Result<Self, KeyringError> {
        let private = SigningKey::generate(algorithm)?;
        let public = match SigningKey::open(algorithm, &private)?.verifying_key() {
            VerifyingKey::Rsa { modulus, exponent } => json!({
                "kty": "RSA",
                "n": URL_SAFE_NO_PAD.encode(modulus),
                "e": URL_SAFE_NO_PAD.encode(exponent),
                "alg": name(algorithm),
                "use": "sig",
            }),
            VerifyingKey::P384 { x, y } => json!({
                "kty": "EC",
                "crv": "P-384",
                "x": URL_SAFE_NO_PAD.encode(x),
                "y": URL_SAFE_NO_PAD.encode(y),
                "alg": name(algorithm),
                "use": "sig",
            }),
        };
        Ok(Self { algorithm, private: Arc::new(private), public: public.to_string().into() })
    }
}

impl TokenIssuer {
    /// A new one, whose keys sign from `now` on.
    pub fn new(id: Arc<str>, keys: &[Made], now: i64) -> Self {
        let mut issuer = Self { id, enabled: true, keys: Vec::new() };
        keys.iter().for_each(|key| issuer.add(key, now));
        issuer
    }

    fn of(
        &self,
        algorithm: SigningAlgorithm,
    ) -> impl DoubleEndedIterator<Item = &IssuerKey> + Clone {
        self.keys.iter().filter(move |key| key.algorithm == algorithm)
    }

    /// The key that signs now; before the first one's time, where the clock was set back, that one.
    pub fn signer(&self, algorithm: SigningAlgorithm, now: i64) -> Option<&IssuerKey> {
        let mut able = self.of(algorithm).filter(|key| key.private.is_some());
        let current = able.clone().rfind(|key| key.from <= now);
        current.or_else(|| able.next())
    }

    /// Whether the algorithm has no key, or its last is to have a successor.
    pub fn needs_key(&self, algorithm: SigningAlgorithm, now: i64) -> bool {
        self.of(algorithm).next_back().is_none_or(|last| now.saturating_sub(last.from) >= SIGNS)
    }

    /// Whether a private key is there whose successor signs, or a public key that verifies nothing.
    pub fn needs_tidying(&self, now: i64) -> bool {
        self.keys.iter().any(|key| {
            self.successor(key).is_some_and(|next| match key.private {
                Some(_) => next.from <= now,
                None => !self.is_published(key, now),
            })
        })
    }

    /// Destroys the private keys whose successors sign, and forgets those that verify nothing.
    pub fn tidy(&mut self, now: i64) {
        let before = self.clone();
        self.keys.retain(|key| before.is_published(key, now));
        for key in &mut self.keys {
            if before.successor(key).is_some_and(|next| next.from <= now) {
                key.private = None;
            }
        }
    }

    /// Takes a new key in. The first of its algorithm signs at once.
    pub fn add(&mut self, made: &Made, now: i64) {
        let last = self.of(made.algorithm).next_back();
        let (number, from) = match last {
            Some(last) => (last.number.saturating_add(1), now.saturating_add(KEPT.into())),
            None => (1, now),
        };
        self.keys.push(IssuerKey {
            algorithm: made.algorithm,
            number,
            from,
            private: Some(made.private.clone()),
            public: made.public.clone(),
        });
    }

    fn successor(&self, key: &IssuerKey) -> Option<&IssuerKey> {
        self.of(key.algorithm).find(|other| other.number == key.number.saturating_add(1))
    }

    /// Whether a token that the key signed may still be good.
    fn is_published(&self, key: &IssuerKey, now: i64) -> bool {
        let next = self.successor(key);
        next.is_none_or(|next| now < next.from.saturating_add(LONGEST_TOKEN))
    }

    /// The key set (RFC 7517).
    pub fn key_set(&self, now: i64) -> Value {
        let published = self.keys.iter().filter(|key| self.is_published(key, now));
        json!({ "keys": published.filter_map(IssuerKey::jwk).collect::<Vec<_>>() })
    }
}

fn name(algorithm: SigningAlgorithm) -> &'static str {
    match algorithm {
        SigningAlgorithm::Rs256 => "RS256",
        SigningAlgorithm::Es384 => "ES384",
    }
}

/// An algorithm by its name in RFC 7518.
mod algorithm {
    use super::{Deserialize, Deserializer, Serializer, SigningAlgorithm, name};

    pub fn serialize<S: Serializer>(is: &SigningAlgorithm, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(name(*is))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SigningAlgorithm, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        [SigningAlgorithm::Rs256, SigningAlgorithm::Es384]
            .into_iter()
            .find(|one| name(*one) == text)
            .ok_or_else(|| serde::de::Error::custom("no signing algorithm"))
    }
}

fn write_key<S: Serializer>(key: &Option<Arc<SecretBytes>>, to: S) -> Result<S::Ok, S::Error> {
    sealed_only::serialize(&key.as_ref().map(|key| key.duplicate()), to)
}

fn read_key<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<SecretBytes>>, D::Error> {
    Ok(sealed_only::deserialize::<Option<SecretBytes>, D>(from)?.map(Arc::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use SigningAlgorithm::{Es384, Rs256};

    const NOW: i64 = 1_700_000_000;

    fn issuer() -> TokenIssuer {
        let made = Made::new(Es384).unwrap();
        TokenIssuer::new("id".into(), &[made], NOW)
    }

    fn kids(issuer: &TokenIssuer, now: i64) -> Vec<String> {
        let set = issuer.key_set(now);
        let keys = set["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_key_set_holds_public_keys_and_nothing_private() {
        let made = [Made::new(Rs256).unwrap(), Made::new(Es384).unwrap()];
        let issuer = TokenIssuer::new("id".into(), &made, NOW);
        let set = issuer.key_set(NOW);
        for (key, members) in set["keys"].as_array().unwrap().iter().zip([
            &["alg", "e", "kid", "kty", "n", "use"][..],
            &["alg", "crv", "kid", "kty", "use", "x", "y"],
        ]) {
            let mut found: Vec<&str> =
                key.as_object().unwrap().keys().map(String::as_str).collect();
            found.sort_unstable();
            assert_eq!(found, members);
        }
        assert_eq!(kids(&issuer, NOW), ["RSA_1", "EC384_1"]);
        assert!(format!("{issuer:?}").contains("Secret(..)"));
    }

    #[test]
    fn a_successor_is_published_first_then_signs_and_the_old_key_goes_when_its_tokens_have_ended() {
        let mut issuer = issuer();
        let signer = |issuer: &TokenIssuer, now| issuer.signer(Es384, now).unwrap().kid();
        assert!(issuer.needs_key(Rs256, NOW));
        assert!(!issuer.needs_key(Es384, NOW + SIGNS - 1));
        let due = NOW + SIGNS;
        assert!(issuer.needs_key(Es384, due));
        issuer.add(&Made::new(Es384).unwrap(), due);
        assert!(!issuer.needs_key(Es384, due));
        assert_eq!(kids(&issuer, due), ["EC384_1", "EC384_2"]);

        let changes = due + i64::from(KEPT);
        assert_eq!(signer(&issuer, changes - 1), "EC384_1");
        assert!(!issuer.needs_tidying(changes - 1));
        assert_eq!(signer(&issuer, changes), "EC384_2");
        assert!(issuer.needs_tidying(changes));
        issuer.tidy(changes);
        assert!(!issuer.needs_tidying(changes));
        assert!(issuer.keys[0].private.is_none() && issuer.keys[1].private.is_some());
        assert!(issuer.keys[0].token("{}").is_err());

        let ended = changes + LONGEST_TOKEN;
        assert_eq!(kids(&issuer, ended - 1), ["EC384_1", "EC384_2"]);
        assert_eq!(kids(&issuer, ended), ["EC384_2"]);
        assert!(issuer.needs_tidying(ended));
        issuer.tidy(ended);
        assert_eq!(issuer.keys.len(), 1);
        // Numbers go on: no `kid` is used twice.
        issuer.add(&Made::new(Es384).unwrap(), ended);
        assert_eq!(kids(&issuer, ended), ["EC384_2", "EC384_3"]);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_an_issuer() {
        assert_eq!(issuer().signer(Es384, 0).unwrap().kid(), "EC384_1");
    }

    #[test]
    fn a_record_keeps_its_keys() {
        let mut issuer = issuer();
        issuer.add(&Made::new(Es384).unwrap(), NOW);
        issuer.tidy(NOW + i64::from(KEPT));
        let bytes = rmp_serde::to_vec_named(&issuer).unwrap();
        let read: TokenIssuer = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(rmp_serde::to_vec_named(&read).unwrap(), bytes);
        assert_eq!(read.key_set(NOW), issuer.key_set(NOW));
        assert!(read.keys[0].private.is_none() && read.keys[1].token("{}").is_ok());
    }
}
