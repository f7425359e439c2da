//! The canonical request: what is hashed into the string to sign.

use super::{Received, Signature};
use percent_encoding::percent_decode_str;

/// How a path becomes canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathRule {
    /// Dot segments and doubled slashes are removed, and the path is encoded once more: every
    /// service but S3.
    Normalized,
    /// Encoded once more as it is.
    AsIs,
    /// Decoded and encoded again, once: S3, whose keys may hold dots and doubled slashes.
    S3,
}

pub(super) fn request(
    request: &Received<'_>,
    signature: &Signature<'_>,
    rule: PathRule,
    payload_hash: &str,
) -> String {
    let mut out = String::with_capacity(1024);
    out.push_str(request.method);
    out.push('\n');
    path(&mut out, request.path, rule);
    out.push('\n');
    query(&mut out, request.query);
    out.push('\n');
    for name in signature.signed_headers.split(';') {
        out.push_str(name);
        out.push(':');
        let mut first = true;
        for value in request.headers.get_all(name) {
            if !first {
                out.push(',');
            }
            first = false;
            header(&mut out, value.as_bytes());
        }
        out.push('\n');
    }
    out.push('\n');
    out.push_str(&signature.signed_headers);
    out.push('\n');
    out.push_str(payload_hash);
    out
}

/// A header's value: trimmed, runs of spaces made one.
fn header(out: &mut String, value: &[u8]) {
    let text = String::from_utf8_lossy(value);
    if !text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return out.push_str(&text);
    }
    let mut first = true;
    for word in text.split_ascii_whitespace() {
        if !first {
            out.push(' ');
        }
        first = false;
        out.push_str(word);
    }
}

fn unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn encode(out: &mut String, bytes: &[u8], keep_slash: bool) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if unreserved(byte) || (keep_slash && byte == b'/') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn path(out: &mut String, path: &str, rule: PathRule) {
    match rule {
        PathRule::AsIs => encode(out, path.as_bytes(), true),
        PathRule::S3 => {
            let decoded: Vec<u8> = percent_decode_str(path).collect();
            encode(out, &decoded, true);
        }
        PathRule::Normalized => {
            let mut segments: Vec<&str> = Vec::new();
            for segment in path.split('/') {
                match segment {
                    "" | "." => {}
                    ".." => drop(segments.pop()),
                    segment => segments.push(segment),
                }
            }
            let folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
            for segment in &segments {
                out.push('/');
                encode(out, segment.as_bytes(), false);
            }
            if segments.is_empty() || folder {
                out.push('/');
            }
        }
    }
}

/// The parameters but the signature, each encoded, sorted by name and then value.
fn query(out: &mut String, query: &str) {
    if query.is_empty() {
        return;
    }
    let mut params: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (recode(name), recode(value)))
        .collect();
    params.sort();
    for (i, (name, value)) in params.iter().enumerate() {
        if i > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
}

/// A bare `+` is the space that a query string's readers take it for: were it signed as `%2B`, the
/// one could be put for the other under the same signature.
fn recode(part: &str) -> String {
    let spaced = part.replace('+', " ");
    let decoded: Vec<u8> = percent_decode_str(&spaced).collect();
    let mut out = String::with_capacity(decoded.len());
    encode(&mut out, &decoded, false);
    out
}
