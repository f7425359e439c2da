//! In `--dev` any web page could call as root: its requests are told by what browsers add to them.
//!
//! A page of another origin may send simple requests to loopback without asking, and a name that its
//! owner points at loopback (DNS rebinding) makes the answers readable too. Neither is an AWS client.

use http::{HeaderMap, header};
use ringfence_wire::ServiceError;
use std::net::IpAddr;

/// Whether a request comes from a web page, or for a host that is not this machine.
pub(crate) fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let fetched =
        text("sec-fetch-site").is_some_and(|site| !matches!(site, "none" | "same-origin"));
    let here = text(header::HOST.as_str()).is_none_or(is_this_machine);
    headers.contains_key(header::ORIGIN) || fetched || !here
}

/// A loopback address, `localhost` and what is under it, or one of AWS's own names, which only this
/// machine's own configuration can point here.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<IpAddr>().map_or_else(
        |_| {
            let name = name.to_ascii_lowercase();
            let under = |domain: &str| name.strip_suffix(domain).is_some_and(|n| n.ends_with('.'));
            name == "localhost" || under("localhost") || under("amazonaws.com")
        },
        |address| address.to_canonical().is_loopback(),
    )
}

/// What such a request is answered.
pub(crate) fn refused() -> ServiceError {
    ServiceError::access_denied(
        "This server runs with --dev, which takes no requests from web pages and none for a host \
         other than this machine.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_web_page_and_a_foreign_host_are_told_from_a_client() {
        for (name, value, foreign) in [
            ("host", "localhost:4566", false),
            ("host", "127.0.0.1:4566", false),
            ("host", "[::1]:4566", false),
            ("host", "bucket.localhost", false),
            ("host", "sts.eu-west-1.amazonaws.com", false),
            ("host", "evil.example:4566", true),
            ("host", "notlocalhost", true),
            ("host", "10.0.0.1", true),
            ("origin", "http://evil.example", true),
            ("origin", "null", true),
            ("sec-fetch-site", "cross-site", true),
            ("sec-fetch-site", "none", false),
            ("user-agent", "aws-cli", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(is_foreign(&headers), foreign, "{name}: {value}");
        }
    }
}
