//! AWS Signature Version 4 and 4A, for the side that checks them; and version 4 for the side that
//! signs ([`Signer`]).
//!
//! ```text
//! parse ──► Signature ──► check_time ──► (find the secret) ──► verify
//!  what the request says of its own        constant-time comparison;
//!  signature: key, scope, headers          the body's hash is part of it
//! ```
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>

mod canonical;
pub mod chunked;
mod keys;
mod parse;
mod sign;
mod v4a;

pub use canonical::PathRule;
pub use keys::KeyCache;
pub use sign::{Signer, Unsignable};

use crate::error::ServiceError;
use crate::timestamp::Timestamp;
use aws_lc_rs::{digest, hmac};
use data_encoding::HEXLOWER;
use http::HeaderMap;
use std::borrow::Cow;

/// The algorithm of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `AWS4-HMAC-SHA256`: one region, a shared secret.
    V4,
    /// `AWS4-ECDSA-P256-SHA256`: a set of regions, a key pair derived from the secret.
    V4a,
}

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::V4 => "AWS4-HMAC-SHA256",
            Self::V4a => "AWS4-ECDSA-P256-SHA256",
        }
    }
}

/// What a request says of its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'r> {
    /// Nothing: its hash is part of the signature all the same.
    Implied,
    /// Its SHA-256 in lower-case hexadecimal.
    Hash(Cow<'r, str>),
    /// It is not signed.
    Unsigned,
    /// aws-chunked: each chunk is signed.
    SignedChunks {
        /// Trailing headers follow, signed too.
        trailer: bool,
    },
    /// aws-chunked without signatures, with trailing headers.
    UnsignedChunksTrailer,
}

/// A request as it was received.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The method in upper case.
    pub method: &'a str,
    /// The path as it came, percent-encoded.
    pub path: &'a str,
    /// The query string as it came, without `?`.
    pub query: &'a str,
    /// The headers. HTTP/2 requests need `host` set from `:authority`.
    pub headers: &'a HeaderMap,
}

/// What a request says of its signature. Nothing of it is believed before [`Signature::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature<'r> {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The access key that is said to have signed.
    pub access_key_id: Cow<'r, str>,
    /// `YYYYMMDD` of the scope.
    pub date: Cow<'r, str>,
    /// The region of the scope; for V4a the regions allowed, separated by commas.
    pub region: Cow<'r, str>,
    /// The service of the scope.
    pub service: Cow<'r, str>,
    /// When it was signed.
    pub time: Timestamp,
    /// The same as it was written.
    pub time_text: Cow<'r, str>,
    /// The headers that are signed, in lower case, in order, a semicolon between two.
    pub signed_headers: Cow<'r, str>,
    /// The signature in hexadecimal.
    pub signature: Cow<'r, str>,
    /// The session token of temporary credentials.
    pub token: Option<Cow<'r, str>>,
    /// Present where the query string carries the signature: seconds that it is good for.
    pub expires: Option<u32>,
    /// What is said of the payload.
    pub payload: Payload<'r>,
}

/// Longest difference between the signer's clock and ours, in seconds.
pub const SKEW: i64 = 300;

const SIGNATURE_DOES_NOT_MATCH: &str = "SignatureDoesNotMatch";

fn mismatch(message: impl Into<String>) -> ServiceError {
    ServiceError::new(SIGNATURE_DOES_NOT_MATCH, 403, message)
}

fn wrong_signature() -> ServiceError {
    mismatch(
        "The request signature we calculated does not match the signature you provided. Check \
         your AWS Secret Access Key and signing method. Consult the service documentation for \
         details.",
    )
}

/// Reads a request's signature; `None` where it has none.
///
/// # Errors
/// `IncompleteSignature` where it has one that is not whole.
pub fn parse<'r>(request: &Received<'r>) -> Result<Option<Signature<'r>>, ServiceError> {
    parse::parse(request)
}

impl Signature<'_> {
    /// Refuses a signature that is too old or lies in the future, or whose scope names another day.
    ///
    /// # Errors
    /// `SignatureDoesNotMatch` with the times in AWS's words.
    pub fn check_time(&self, now: Timestamp) -> Result<(), ServiceError> {
        let day = &self.time_text[..8.min(self.time_text.len())];
        if day != self.date {
            return Err(mismatch(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP: '{}' != '{day}', from '{}'.",
                self.date, self.time_text
            )));
        }
        let signed = self.time.seconds;
        let (now_text, window) = (|| parse::basic(now.seconds), SKEW / 60);
        let last = signed.saturating_add(self.expires.map_or(SKEW, i64::from));
        if now.seconds > last {
            if self.expires.is_some() {
                return Err(mismatch(format!(
                    "Signature expired: {} is now earlier than {}",
                    parse::basic(last),
                    now_text()
                )));
            }
            return Err(mismatch(format!(
                "Signature expired: {} is now earlier than {} ({} - {window} min.)",
                self.time_text,
                parse::basic(now.seconds - SKEW),
                now_text()
            )));
        }
        if signed > now.seconds.saturating_add(SKEW) {
            return Err(mismatch(format!(
                "Signature not yet current: {} is still later than {} ({} + {window} min.)",
                self.time_text,
                parse::basic(now.seconds + SKEW),
                now_text()
            )));
        }
        Ok(())
    }

    /// The scope as it stands in the string to sign.
    pub fn scope(&self) -> String {
        let mut out = String::new();
        self.write_scope(&mut out);
        out
    }

    fn write_scope(&self, out: &mut String) {
        let region: &[&str] = match self.algorithm {
            Algorithm::V4 => &[&self.region, "/"],
            Algorithm::V4a => &[],
        };
        let parts = [&self.date, "/"].into_iter().chain(region.iter().copied());
        out.extend(parts.chain([&self.service, "/aws4_request"]));
    }

    /// Whether the signature is good in this region.
    pub fn covers_region(&self, region: &str) -> bool {
        match self.algorithm {
            Algorithm::V4 => self.region == region,
            Algorithm::V4a => self.region.split(',').any(|pattern| {
                let pattern = pattern.trim();
                match pattern.strip_suffix('*') {
                    Some(prefix) => region.starts_with(prefix),
                    None => pattern == region,
                }
            }),
        }
    }

    /// Checks the signature against the secret. `body_hash` is the SHA-256 of the body that came,
    /// in hexadecimal; `unsigned_payload` says whether the operation lets a payload be unsigned.
    ///
    /// # Errors
    /// `SignatureDoesNotMatch`, or `AccessDenied` where headers came that are not signed.
    pub fn verify(
        &self,
        request: &Received<'_>,
        secret: &str,
        keys: &KeyCache,
        rule: PathRule,
        body_hash: &str,
        unsigned_payload: bool,
    ) -> Result<(), ServiceError> {
        self.check_headers(request)?;
        let hash = match &self.payload {
            Payload::Hash(claimed) if *claimed != body_hash => return Err(wrong_payload_hash()),
            Payload::Hash(_) | Payload::Implied => body_hash,
            Payload::Unsigned if unsigned_payload => "UNSIGNED-PAYLOAD",
            Payload::SignedChunks { trailer } if unsigned_payload => {
                parse::streaming_name(self.algorithm, *trailer)
            }
            Payload::UnsignedChunksTrailer if unsigned_payload => parse::UNSIGNED_TRAILER,
            _ => body_hash,
        };
        let canonical = canonical::request(request, self, rule, hash);
        let text = self.string_to_sign(&canonical);
        match self.algorithm {
            Algorithm::V4 => {
                let (key, kept) = keys.v4(self, secret);
                let expected = hmac::sign(&key, text.as_bytes());
                let mut given = [0; digest::SHA256_OUTPUT_LEN];
                hex::decode_to_slice(&*self.signature, &mut given)
                    .map_err(|_| wrong_signature())?;
                aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), &given)
                    .map_err(|_| wrong_signature())?;
                if !kept {
                    keys.keep(self, key);
                }
                Ok(())
            }
            Algorithm::V4a => {
                let key = keys.v4a(&self.access_key_id, secret).ok_or_else(wrong_signature)?;
                v4a::verify(&key, &text, &self.signature).map_err(|_| wrong_signature())
            }
        }
    }

    fn string_to_sign(&self, canonical: &str) -> String {
        let mut out = String::with_capacity(192);
        out.extend([self.algorithm.name(), "\n", &self.time_text, "\n"]);
        self.write_scope(&mut out);
        out.push('\n');
        let hash = digest::digest(&digest::SHA256, canonical.as_bytes());
        HEXLOWER.encode_append(hash.as_ref(), &mut out);
        out
    }

    /// `host` must be signed, and so must every header that a service acts on. The session token
    /// may be added after signing: it is authenticated by itself and bound to its access key.
    fn check_headers(&self, request: &Received<'_>) -> Result<(), ServiceError> {
        let signed = |name: &str| self.signed_headers.split(';').any(|signed| signed == name);
        if !signed("host") {
            return Err(mismatch(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        let loose = request.headers.keys().map(http::HeaderName::as_str).find(|name| {
            name.starts_with("x-amz-") && *name != "x-amz-security-token" && !signed(name)
        });
        match loose {
            Some(_) => Err(ServiceError::access_denied(
                "There were headers present in the request which were not signed",
            )),
            None => Ok(()),
        }
    }
}

fn wrong_payload_hash() -> ServiceError {
    ServiceError::new(
        "XAmzContentSHA256Mismatch",
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
}

/// The SHA-256 of some bytes in lower-case hexadecimal.
pub fn hex_sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests;
