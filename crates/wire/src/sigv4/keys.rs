//! Signing keys, kept for the day and scope that they are good for: deriving one costs four HMACs.

use super::{Signature, v4a};
use aws_lc_rs::hmac;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Most keys kept of each algorithm. A full cache is emptied: it fills again in microseconds.
const MOST_KEYS: usize = 10_000;

/// Signing keys by access key and scope. An access key's secret never changes while it lives, so
/// an entry is good until the key is deactivated; then [`KeyCache::forget`] it.
#[derive(Default)]
pub struct KeyCache {
    v4: RwLock<HashMap<String, Vec<Scoped>, RandomState>>,
    v4a: RwLock<HashMap<String, Arc<v4a::PublicKey>>>,
}

/// A signing key and the scope that it is for.
struct Scoped {
    date: Box<str>,
    region: Box<str>,
    service: Box<str>,
    key: Arc<hmac::Key>,
}

impl Scoped {
    fn is_of(&self, signature: &Signature<'_>) -> bool {
        *self.date == *signature.date
            && *self.region == *signature.region
            && *self.service == *signature.service
    }
}

impl KeyCache {
    /// The signing key of a signature's scope, and whether it is kept already. A new one is for
    /// [`KeyCache::keep`] once the signature has proved right: what a forger claims takes no room.
    pub(super) fn v4(&self, signature: &Signature<'_>, secret: &str) -> (Arc<hmac::Key>, bool) {
        let known = self.v4.read().unwrap_or_else(PoisonError::into_inner);
        let scopes = known.get(&*signature.access_key_id);
        let of_scope = scopes.and_then(|scopes| scopes.iter().find(|one| one.is_of(signature)));
        if let Some(scoped) = of_scope {
            return (scoped.key.clone(), true);
        }
        drop(known);
        let key = derive(secret, &signature.date, &signature.region, &signature.service);
        (Arc::new(key), false)
    }

    /// Keeps the signing key of a signature that it has verified.
    pub(super) fn keep(&self, signature: &Signature<'_>, key: Arc<hmac::Key>) {
        let mut keys = self.v4.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MOST_KEYS {
            keys.clear();
        }
        let scopes = keys.entry(signature.access_key_id.to_string()).or_default();
        if scopes.iter().any(|one| one.is_of(signature)) {
            return;
        }
        // Scopes are the caller's choice: an access key keeps a few of them.
        if scopes.len() >= 64 {
            scopes.clear();
        }
        let [date, region, service] =
            [&signature.date, &signature.region, &signature.service].map(|text| (**text).into());
        scopes.push(Scoped { date, region, service, key });
    }

    /// The public key that SigV4A derives from a secret.
    pub(super) fn v4a(&self, id: &str, secret: &str) -> Option<Arc<v4a::PublicKey>> {
        let known = self.v4a.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known.get(id) {
            return Some(key.clone());
        }
        drop(known);
        let key = Arc::new(v4a::derive(id, secret)?);
        let mut keys = self.v4a.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MOST_KEYS {
            keys.clear();
        }
        keys.insert(id.to_owned(), key.clone());
        Some(key)
    }

    /// Drops what is kept for an access key that was deactivated or deleted.
    pub fn forget(&self, access_key_id: &str) {
        // Most of those who come here never had one: they must not hold up the others.
        if self.v4.read().unwrap_or_else(PoisonError::into_inner).contains_key(access_key_id) {
            self.v4.write().unwrap_or_else(PoisonError::into_inner).remove(access_key_id);
        }
        if self.v4a.read().unwrap_or_else(PoisonError::into_inner).contains_key(access_key_id) {
            self.v4a.write().unwrap_or_else(PoisonError::into_inner).remove(access_key_id);
        }
    }
}

/// `HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), service), "aws4_request")`
pub(super) fn derive(secret: &str, date: &str, region: &str, service: &str) -> hmac::Key {
    let mut start = Vec::with_capacity(4 + secret.len());
    start.extend_from_slice(b"AWS4");
    start.extend_from_slice(secret.as_bytes());
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, &start);
    start.fill(0);
    for part in [date, region, service, "aws4_request"] {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    key
}
