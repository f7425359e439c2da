//! Fetches an issuer's keys: its discovery document, and the key set that this names.
//! <https://openid.net/specs/openid-connect-discovery-1_0.html>
//!
//! Time and size are bounded, nothing is followed elsewhere, and what was fetched is shown to
//! nobody. Without TLS only a loopback address is asked, and only where the issuer is one itself.
//! TLS trusts the machine's roots, and the certificates whose thumbprints the provider lists.

use super::keys::KeySet;
use ringfence_outbound::Ask;
pub(super) use ringfence_outbound::{LONGEST, NotAnswered as NotFetched};
use std::time::Duration;

/// Time for both documents together.
const TIME: Duration = Duration::from_secs(5);

fn unusable(why: impl Into<String>) -> NotFetched {
    NotFetched::Unusable(why.into())
}

/// Asks issuers.
#[derive(Debug, Default)]
pub(super) struct Fetcher;

impl Fetcher {
    /// The key set of an issuer.
    pub async fn key_set(
        &self,
        issuer: &str,
        thumbprints: &[String],
    ) -> Result<KeySet, NotFetched> {
        let plain = issuer.starts_with("http://");
        let get = async |url: &str| Ask::of(url).plain(plain).trusting(thumbprints).get().await;
        let fetching = async {
            // Section 4 of the specification: a slash at the end is taken off first.
            let base = issuer.strip_suffix('/').unwrap_or(issuer);
            let found = get(&format!("{base}/.well-known/openid-configuration")).await?;
            let found: serde_json::Value = serde_json::from_slice(&found)
                .map_err(|_| unusable("the discovery document is no JSON"))?;
            if found["issuer"] != issuer {
                return Err(unusable("the discovery document is another issuer's"));
            }
            let keys = found["jwks_uri"].as_str().ok_or_else(|| unusable("no `jwks_uri`"))?;
            let keys = get(keys).await?;
            KeySet::parse(&keys).map_err(|why| unusable(why.to_string()))
        };
        let timed_out = |why: tokio::time::error::Elapsed| NotFetched::Unreachable(why.to_string());
        tokio::time::timeout(TIME, fetching).await.map_err(timed_out)?
    }
}
