//! The keys of issuers: given by hand in files, or fetched and kept.
//!
//! A key set is fetched when a token first needs it, again when a token names a key that is not in
//! it, at most once a minute, and when it is an hour old, so that a key which its issuer withdrew
//! ends. An issuer that cannot be reached then is believed for a day by the keys that are known.

use super::fetch::{self, Fetcher, NotFetched};
use super::keys::KeySet;
use super::token::Token;
use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How soon a key set may be fetched again.
const AGAIN: Duration = Duration::from_secs(60);
/// How soon, where the last try failed.
const AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// How old a key set may be before it is looked at again.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How old it may be where its issuer cannot be reached.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// Issuers whose keys are kept.
const KEPT: usize = 10_000;

/// An issuer, as far as it is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Trusted {
    /// Who trusts it: a provider's unique id. Keys that one provider's thumbprints let in are not
    /// another's.
    pub by: String,
    /// Its URL.
    pub issuer: String,
    /// SHA-1 of certificates that count beside the machine's roots.
    pub thumbprints: Vec<String>,
}

/// Why there are no keys for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKeys {
    /// The issuer did not answer.
    Unreachable,
    /// It answered, and not with a key that may have signed the token.
    Unknown,
}

/// The keys of every issuer.
#[derive(Default)]
pub struct Issuers {
    by_hand: BTreeMap<String, KeyFile>,
    fetched: Mutex<HashMap<Trusted, Arc<tokio::sync::Mutex<Fetched>>>>,
    fetcher: Fetcher,
}

/// Key sets in files: `--oidc-keys ISSUER=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysByHand {
    /// The issuer's URL, as tokens name it.
    pub issuer: String,
    /// A JSON web key set.
    pub file: PathBuf,
}

/// What was fetched of one issuer.
#[derive(Default)]
struct Fetched {
    keys: Option<(Arc<KeySet>, Instant)>,
    tried: Option<(Instant, Option<NoKeys>)>,
}

impl Issuers {
    /// Issuers of which some have their keys in files. Those are never asked.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub fn by_hand(given: &[KeysByHand]) -> Result<Self, String> {
        let mut by_hand = BTreeMap::new();
        for KeysByHand { issuer, file } in given {
            let file = KeyFile { path: file.clone(), read: Mutex::default() };
            file.keys().map_err(|why| format!("{}: {why}", file.path.display()))?;
            if by_hand.insert(issuer.clone(), file).is_some() {
                return Err(format!("two files hold the keys of {issuer}"));
            }
        }
        Ok(Self { by_hand, ..Self::default() })
    }

    /// The keys of an issuer, one of which may have signed the token.
    ///
    /// # Errors
    /// [`NoKeys`].
    pub async fn keys(&self, trusted: &Trusted, token: &Token<'_>) -> Result<Arc<KeySet>, NoKeys> {
        if let Some(file) = self.by_hand.get(&trusted.issuer) {
            let keys = file.keys().map_err(|why| {
                tracing::error!(file = %file.path.display(), %why, "an issuer has no keys");
                NoKeys::Unreachable
            })?;
            return if token.has_key_in(&keys) { Ok(keys) } else { Err(NoKeys::Unknown) };
        }
        let place = self.place(trusted);
        // One fetch at a time and issuer: whoever comes meanwhile waits, and takes what it brought.
        let mut fetched = place.lock().await;
        let now = Instant::now();
        if !fetched.is_due(token, now) {
            return fetched.answer(token, now);
        }
        let outcome = self.fetcher.key_set(&trusted.issuer, &trusted.thumbprints).await;
        let now = Instant::now();
        match outcome {
            Ok(keys) => {
                tracing::info!(issuer = trusted.issuer, keys = keys.len(), "keys fetched");
                *fetched = Fetched { keys: Some((Arc::new(keys), now)), tried: Some((now, None)) };
            }
            Err(why) => {
                tracing::warn!(issuer = trusted.issuer, %why, "keys not fetched");
                let kind = match why {
                    NotFetched::Unreachable(_) | NotFetched::Untrusted(_) => NoKeys::Unreachable,
                    NotFetched::Unusable(_) => NoKeys::Unknown,
                };
                fetched.tried = Some((now, Some(kind)));
            }
        }
        fetched.answer(token, now)
    }

    fn place(&self, trusted: &Trusted) -> Arc<tokio::sync::Mutex<Fetched>> {
        let mut all = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = all.get(trusted) {
            return place.clone();
        }
        if all.len() >= KEPT {
            all.clear();
        }
        let place = Arc::<tokio::sync::Mutex<Fetched>>::default();
        all.insert(trusted.clone(), place.clone());
        place
    }
}

impl Fetched {
    /// Whether the issuer is to be asked before a token is judged.
    fn is_due(&self, token: &Token<'_>, now: Instant) -> bool {
        let wanted = match &self.keys {
            Some((keys, at)) => now - *at >= FRESH || !token.has_key_in(keys),
            None => true,
        };
        let soon = self.tried.is_some_and(|(at, failed)| {
            now - at < if failed.is_some() { AGAIN_AFTER_FAILURE } else { AGAIN }
        });
        wanted && !soon
    }

    fn answer(&self, token: &Token<'_>, now: Instant) -> Result<Arc<KeySet>, NoKeys> {
        match &self.keys {
            Some((keys, at)) if now - *at < STALE => {
                if token.has_key_in(keys) {
                    Ok(keys.clone())
                } else {
                    Err(NoKeys::Unknown)
                }
            }
            _ => Err(self.tried.and_then(|(_, failed)| failed).unwrap_or(NoKeys::Unreachable)),
        }
    }
}

/// A key set in a file, which is read again when it changes.
struct KeyFile {
    path: PathBuf,
    read: Mutex<Option<(Stamp, Arc<KeySet>)>>,
}

/// What tells that a file has changed.
type Stamp = (Option<SystemTime>, u64);

impl KeyFile {
    /// # Errors
    /// Why the file has no keys now.
    fn keys(&self) -> Result<Arc<KeySet>, String> {
        let stamp = stamp(&self.path).map_err(|error| error.to_string())?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, keys)) = &*read
            && *at == stamp
        {
            return Ok(keys.clone());
        }
        let mut bytes = Vec::new();
        std::fs::File::open(&self.path)
            .and_then(|file| file.take(fetch::LONGEST as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| error.to_string())?;
        if bytes.len() > fetch::LONGEST {
            return Err(format!("it is longer than {} bytes", fetch::LONGEST));
        }
        let keys = Arc::new(KeySet::parse(&bytes).map_err(|error| error.to_string())?);
        *read = Some((stamp, keys.clone()));
        Ok(keys)
    }
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let facts = std::fs::metadata(path)?;
    Ok((facts.modified().ok(), facts.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const EC: &str = r#"{"kty":"EC","kid":"e","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    /// Header `{"alg":"ES256","kid":"e"}`, no claims, no signature.
    const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImUifQ.e30.AA";

    fn trusted(issuer: &str) -> Trusted {
        Trusted { by: "p".into(), issuer: issuer.into(), thumbprints: Vec::new() }
    }

    fn keys() -> Arc<KeySet> {
        Arc::new(KeySet::parse(format!("{{\"keys\":[{EC}]}}").as_bytes()).unwrap())
    }

    #[tokio::test]
    async fn a_file_of_keys_is_read_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys.json");
        let given = [KeysByHand { issuer: "https://a".into(), file: file.clone() }];
        assert!(Issuers::by_hand(&given).is_err());
        fs::write(&file, "{\"keys\":[]}").unwrap();
        let issuers = Issuers::by_hand(&given).unwrap();
        let token = Token::parse(TOKEN).unwrap();
        let trusted = trusted("https://a");
        assert_eq!(issuers.keys(&trusted, &token).await, Err(NoKeys::Unknown));
        fs::write(&file, format!("{{\"keys\":[{EC}]}}")).unwrap();
        assert_eq!(issuers.keys(&trusted, &token).await, Ok(keys()));
        // What cannot be read is no key, and not the last one that could.
        fs::write(&file, "{\"keys\":").unwrap();
        assert_eq!(issuers.keys(&trusted, &token).await, Err(NoKeys::Unreachable));
        fs::remove_file(&file).unwrap();
        assert_eq!(issuers.keys(&trusted, &token).await, Err(NoKeys::Unreachable));
    }

    #[test]
    fn an_issuer_is_asked_no_more_often_than_it_may_be() {
        let token = Token::parse(TOKEN).unwrap();
        let long_ago = Instant::now();
        let at = |seconds: u64| long_ago + Duration::from_secs(seconds);
        let mut fetched = Fetched::default();
        assert!(fetched.is_due(&token, at(0)));
        // A try that failed.
        fetched.tried = Some((at(0), Some(NoKeys::Unreachable)));
        assert!(!fetched.is_due(&token, at(9)));
        assert!(fetched.is_due(&token, at(10)));
        assert_eq!(fetched.answer(&token, at(9)), Err(NoKeys::Unreachable));
        // An answer without the key.
        let empty = Arc::new(KeySet::default());
        fetched = Fetched { keys: Some((empty, at(0))), tried: Some((at(0), None)) };
        assert!(!fetched.is_due(&token, at(59)));
        assert!(fetched.is_due(&token, at(60)));
        assert_eq!(fetched.answer(&token, at(59)), Err(NoKeys::Unknown));
        // An answer with it.
        fetched = Fetched { keys: Some((keys(), at(0))), tried: Some((at(0), None)) };
        assert!(!fetched.is_due(&token, at(3599)));
        assert!(fetched.is_due(&token, at(3600)));
        fetched.tried = Some((at(3600), Some(NoKeys::Unreachable)));
        assert_eq!(fetched.answer(&token, at(86_399)), Ok(keys()));
        assert_eq!(fetched.answer(&token, at(86_400)), Err(NoKeys::Unreachable));
    }
}
