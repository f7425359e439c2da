//! Whom keys are made for, and the pages that may ask for them.

use aws_lc_rs::digest::{SHA256, digest};

/// A relying party: its id and the origins of its pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    origins: Vec<String>,
}

/// Why there is no such relying party.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRelyingParty {
    /// No domain.
    #[error("`{0}` is no domain name in lower case")]
    Id(String),
    /// No origin that a browser lets use keys.
    #[error(
        "`{0}` is no origin: https://HOST or https://HOST:PORT, or http with the host localhost"
    )]
    Origin(String),
    /// An origin outside of the domain.
    #[error("the origin `{0}` is not within the domain `{1}`")]
    Outside(String, String),
    /// None at all.
    #[error("a relying party has an origin")]
    NoOrigin,
}

/// A domain name in lower case. An address is none: browsers take no key for it.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// The host of an origin, and the origin as browsers write it: without the port that its scheme has
/// anyway.
fn host_and_origin(text: &str) -> Option<(&str, String)> {
    let (scheme, rest) = text.split_once("://")?;
    let (host, port) = match rest.split_once(':') {
        None => (rest, None),
        Some((host, port)) => (host, Some(port)),
    };
    let local = host == "localhost" || host.ends_with(".localhost");
    let usual = match scheme {
        "https" => 443,
        // Browsers trust no other page without TLS.
        "http" if local => 80,
        _ => return None,
    };
    if !is_domain(host) {
        return None;
    }
    let port = match port {
        None => None,
        Some(port) if port.starts_with(['0', '+']) => return None,
        Some(port) => Some(port.parse::<u16>().ok()?).filter(|port| *port != usual),
    };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Some((host, format!("{scheme}://{host}{port}")))
}

impl RelyingParty {
    /// A relying party of this id, whose pages have these origins.
    ///
    /// # Errors
    /// Where a browser would take no key for it.
    pub fn new(id: &str, origins: &[impl AsRef<str>]) -> Result<Self, BadRelyingParty> {
        if !is_domain(id) {
            return Err(BadRelyingParty::Id(id.to_owned()));
        }
        let mut all = Vec::with_capacity(origins.len());
        for origin in origins {
            let given = origin.as_ref();
            let (host, origin) =
                host_and_origin(given).ok_or_else(|| BadRelyingParty::Origin(given.to_owned()))?;
            let within = host == id || host.strip_suffix(id).is_some_and(|sub| sub.ends_with('.'));
            if !within {
                return Err(BadRelyingParty::Outside(given.to_owned(), id.to_owned()));
            }
            all.push(origin);
        }
        if all.is_empty() {
            return Err(BadRelyingParty::NoOrigin);
        }
        Ok(Self { id: id.to_owned(), origins: all })
    }

    /// A relying party of these origins, whose id is the first one's host.
    ///
    /// # Errors
    /// Where a browser would take no key for it.
    pub fn of_origins(origins: &[impl AsRef<str>]) -> Result<Self, BadRelyingParty> {
        let first = origins.first().ok_or(BadRelyingParty::NoOrigin)?.as_ref();
        let (host, _) =
            host_and_origin(first).ok_or_else(|| BadRelyingParty::Origin(first.to_owned()))?;
        Self::new(host, origins)
    }

    /// Its id: the domain that its keys are made for.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The origins of its pages.
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    pub(crate) fn takes(&self, origin: &str) -> bool {
        self.origins.iter().any(|one| one == origin)
    }

    /// What authenticator data names it by.
    pub(crate) fn has_hash(&self, hash: &[u8]) -> bool {
        digest(&SHA256, self.id.as_bytes()).as_ref() == hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_one_that_browsers_let_use_keys() {
        for (origin, expected) in [
            ("https://example.org", Some(("example.org", "https://example.org"))),
            ("https://example.org:443", Some(("example.org", "https://example.org"))),
            ("https://a.example.org:8443", Some(("a.example.org", "https://a.example.org:8443"))),
            ("http://localhost:4566", Some(("localhost", "http://localhost:4566"))),
            ("http://localhost:80", Some(("localhost", "http://localhost"))),
            ("http://a.localhost", Some(("a.localhost", "http://a.localhost"))),
            ("http://example.org", None),
            ("http://127.0.0.1:4566", None),
            ("https://127.0.0.1", None),
            ("https://[::1]", None),
            ("https://Example.org", None),
            ("https://example.org/", None),
            ("https://example.org:0443", None),
            ("https://example.org:99999", None),
            ("https://example.org:", None),
            ("https://user@example.org", None),
            ("ftp://localhost", None),
            ("example.org", None),
            ("", None),
        ] {
            let got = host_and_origin(origin);
            let got = got.as_ref().map(|(host, origin)| (*host, origin.as_str()));
            assert_eq!(got, expected, "{origin}");
        }
    }

    #[test]
    fn origins_lie_within_the_domain() {
        let party = |id, origin| RelyingParty::new(id, &[origin]);
        assert!(party("example.org", "https://login.example.org").is_ok());
        assert!(party("example.org", "https://badexample.org").is_err());
        assert!(party("login.example.org", "https://example.org").is_err());
        assert!(party("", "https://example.org").is_err());
        assert!(party("127.0.0.1", "https://example.org").is_err());
        let none: [&str; 0] = [];
        assert_eq!(RelyingParty::new("a.b", &none), Err(BadRelyingParty::NoOrigin));
        let party = RelyingParty::of_origins(&["https://a.b:8443", "https://c.a.b"]).unwrap();
        assert_eq!((party.id(), party.takes("https://c.a.b")), ("a.b", true));
        assert!(!party.takes("https://a.b") && !party.takes("https://c.a.b:443"));
    }
}
