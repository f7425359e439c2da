//! Signing: what this program does where it is the client of another service.
//!
//! ```
//! use http::{HeaderMap, HeaderValue};
//! use ringfence_wire::sigv4::{PathRule, Received, Signer, hex_sha256};
//! use ringfence_wire::Timestamp;
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("host", HeaderValue::from_static("kms.us-east-1.amazonaws.com"));
//! headers.insert("x-amz-target", HeaderValue::from_static("TrentService.Decrypt"));
//! let signer = Signer {
//!     access_key_id: "AKIDEXAMPLE",
//!     secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
//!     token: None,
//!     region: "us-east-1",
//!     service: "kms",
//! };
//! let request = Received { method: "POST", path: "/", query: "", headers: &headers };
//! let now = Timestamp::from_seconds(1_440_938_160);
//! let signed = signer.sign(&request, PathRule::Normalized, &hex_sha256(b"{}"), now).unwrap();
//! headers.extend(signed);
//! assert!(headers.contains_key("authorization") && headers.contains_key("x-amz-date"));
//! ```

use super::{Algorithm, PathRule, Payload, Received, Signature, canonical, keys, parse};
use crate::timestamp::Timestamp;
use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::fmt;

/// Headers that proxies and clients change on the way, and which are therefore not signed.
const CHANGED_ON_THE_WAY: &[HeaderName] = &[
    header::CONNECTION,
    header::EXPECT,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
];

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Who signs, and for which service: `AWS4-HMAC-SHA256` in the `Authorization` header.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// The access key.
    pub access_key_id: &'a str,
    /// Its secret.
    pub secret: &'a str,
    /// The session token of temporary credentials.
    pub token: Option<&'a str>,
    /// The region of the scope.
    pub region: &'a str,
    /// The service of the scope.
    pub service: &'a str,
}

/// Why a request was not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsignable {
    /// The host is always part of the signature.
    #[error("a request without a `host` header cannot be signed")]
    NoHost,
    /// It was signed before.
    #[error("the request has an `authorization` or `x-amz-date` header already")]
    Signed,
    /// The access key, the region or the service has characters that no header may hold.
    #[error("the credentials or their scope cannot stand in a header")]
    Credentials,
}

impl Signer<'_> {
    /// The headers to add to a request: `x-amz-date`, `x-amz-security-token` where there is one,
    /// and `authorization`. Every header that the request has is signed, `host` among them, except
    /// those that are changed on the way. `body_hash` is the SHA-256 of the body in lower-case
    /// hexadecimal.
    ///
    /// # Errors
    /// [`Unsignable`].
    pub fn sign(
        &self,
        request: &Received<'_>,
        rule: PathRule,
        body_hash: &str,
        now: Timestamp,
    ) -> Result<HeaderMap, Unsignable> {
        if !request.headers.contains_key(header::HOST) {
            return Err(Unsignable::NoHost);
        }
        if request.headers.contains_key(header::AUTHORIZATION)
            || request.headers.contains_key(AMZ_DATE)
        {
            return Err(Unsignable::Signed);
        }
        let time_text = parse::basic(now.seconds);
        let mut added = HeaderMap::new();
        added.insert(AMZ_DATE, value(&time_text)?);
        if let Some(token) = self.token {
            let mut token = value(token)?;
            token.set_sensitive(true);
            added.insert(AMZ_SECURITY_TOKEN, token);
        }
        let mut headers = request.headers.clone();
        headers.extend(added.clone());
        let mut signed_headers: Vec<&str> = headers
            .keys()
            .filter(|name| !CHANGED_ON_THE_WAY.contains(name))
            .map(HeaderName::as_str)
            .collect();
        signed_headers.sort_unstable();
        let mut signature = Signature {
            algorithm: Algorithm::V4,
            access_key_id: self.access_key_id.into(),
            date: time_text.get(..8).unwrap_or_default().into(),
            region: self.region.into(),
            service: self.service.into(),
            time: now,
            time_text: (&*time_text).into(),
            signed_headers: signed_headers.join(";").into(),
            signature: "".into(),
            token: None,
            expires: None,
            payload: Payload::Implied,
        };
        let canonical = canonical::request(
            &Received { headers: &headers, ..*request },
            &signature,
            rule,
            body_hash,
        );
        let key = keys::derive(self.secret, &signature.date, self.region, self.service);
        let text = signature.string_to_sign(&canonical);
        signature.signature = hex::encode(hmac::sign(&key, text.as_bytes())).into();
        added.insert(header::AUTHORIZATION, authorization(&signature)?);
        Ok(added)
    }
}

fn authorization(signature: &Signature<'_>) -> Result<HeaderValue, Unsignable> {
    value(&format!(
        "{} Credential={}/{}, SignedHeaders={}, Signature={}",
        signature.algorithm.name(),
        signature.access_key_id,
        signature.scope(),
        signature.signed_headers,
        signature.signature
    ))
}

fn value(text: &str) -> Result<HeaderValue, Unsignable> {
    HeaderValue::from_str(text).map_err(|_| Unsignable::Credentials)
}

impl fmt::Debug for Signer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("access_key_id", &self.access_key_id)
            .field("region", &self.region)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::{KeyCache, hex_sha256, parse as parse_request};

    const SIGNER: Signer<'static> = Signer {
        access_key_id: "AKIDEXAMPLE",
        secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        token: None,
        region: "us-east-1",
        service: "service",
    };

    fn host() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("example.amazonaws.com"));
        headers
    }

    fn at() -> Timestamp {
        Timestamp::from_seconds(1_440_938_160)
    }

    /// The case `get-vanilla` of AWS's signing suite.
    #[test]
    fn a_signature_is_the_one_that_awss_own_signer_makes() {
        let headers = host();
        let request = Received { method: "GET", path: "/", query: "", headers: &headers };
        let added = SIGNER.sign(&request, PathRule::Normalized, &hex_sha256(b""), at()).unwrap();
        assert_eq!(added["x-amz-date"], "20150830T123600Z");
        assert_eq!(
            added["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=\
             5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    #[test]
    fn what_is_signed_verifies_with_its_token_and_all_its_headers_but_the_loose_ones() {
        let mut headers = host();
        headers.insert("x-amz-target", HeaderValue::from_static("TrentService.Decrypt"));
        headers.insert("user-agent", HeaderValue::from_static("ringfence"));
        headers.append("x-twice", HeaderValue::from_static("b"));
        headers.append("x-twice", HeaderValue::from_static("a"));
        let (path, query, body) = ("/a%20b", "z=1&a=%2F", b"{}");
        let unsigned = Received { method: "POST", path, query, headers: &headers };
        let signer = Signer { token: Some("session-token"), ..SIGNER };
        let added = signer.sign(&unsigned, PathRule::Normalized, &hex_sha256(body), at()).unwrap();
        headers.extend(added);
        // Whoever stands in between may change this one.
        headers.insert("user-agent", HeaderValue::from_static("proxy"));
        let received = Received { method: "POST", path, query, headers: &headers };
        let signature = parse_request(&received).unwrap().unwrap();
        assert_eq!(signature.token.as_deref(), Some("session-token"));
        let verify = |secret: &str| {
            let keys = KeyCache::default();
            let hash = hex_sha256(body);
            signature.verify(&received, secret, &keys, PathRule::Normalized, &hash, false)
        };
        verify(SIGNER.secret).unwrap();
        assert!(verify("another secret").is_err());
        assert!(signature.signed_headers.contains(&"x-twice".to_owned()));
        assert!(!signature.signed_headers.contains(&"user-agent".to_owned()));
    }

    #[test]
    fn a_request_without_host_or_signed_already_is_refused() {
        let refused = |headers: &HeaderMap, signer: Signer<'_>| {
            let request = Received { method: "GET", path: "/", query: "", headers };
            signer.sign(&request, PathRule::Normalized, "", at()).unwrap_err()
        };
        assert_eq!(refused(&HeaderMap::new(), SIGNER), Unsignable::NoHost);
        let mut signed = host();
        signed.insert("authorization", HeaderValue::from_static("Bearer x"));
        assert_eq!(refused(&signed, SIGNER), Unsignable::Signed);
        let strange = Signer { access_key_id: "AKID\n", ..SIGNER };
        assert_eq!(refused(&host(), strange), Unsignable::Credentials);
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?}", Signer { token: Some("token"), ..SIGNER });
        assert!(!shown.contains(SIGNER.secret) && !shown.contains("token"), "{shown}");
    }
}
