//! Signatures and aws-chunked bodies.
//!
//! The input reads as HTTP: `METHOD TARGET`, headers, an empty line, the body. No request makes the
//! parser, the checks of time and region, or the verification panic, and none verifies against a
//! secret that it was not signed with. A chunked body gives the same bytes, or an error, however it is
//! cut into pieces, and any bytes put into chunks come out again.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use ringfence_wire::Timestamp;
use ringfence_wire::sigv4::chunked::Decoder;
use ringfence_wire::sigv4::{
    Algorithm, KeyCache, PathRule, Payload, Received, Signature, hex_sha256, parse,
};
use std::sync::LazyLock;

const SECRET: &str = "a secret that signs nothing";

/// Deriving keys would take most of the time.
static KEYS: LazyLock<KeyCache> = LazyLock::new(KeyCache::default);

fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn decode(signature: &Signature, body: &[u8], piece: usize) -> Option<(Vec<u8>, usize)> {
    let mut decoder = Decoder::new(signature, SECRET, &KEYS, None).ok()?;
    let mut out = Vec::new();
    for bytes in body.chunks(piece.max(1)) {
        for chunk in decoder.push(bytes).ok()? {
            out.extend_from_slice(&chunk);
        }
    }
    Some((out, decoder.finish().ok()?.len()))
}

/// The seeds' example request, for bodies of requests that have no signature of their own.
fn any_signature() -> Signature {
    Signature {
        algorithm: Algorithm::V4,
        access_key_id: "AKIDEXAMPLE".into(),
        date: "20150830".into(),
        region: "us-east-1".into(),
        service: "s3".into(),
        time: Timestamp { seconds: 1_440_938_160, nanos: 0 },
        time_text: "20150830T123600Z".into(),
        signed_headers: vec!["host".into()],
        signature: "00".repeat(32),
        token: None,
        expires: None,
        payload: Payload::UnsignedChunksTrailer,
    }
}

fuzz_target!(|data: &[u8]| {
    let split = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..split], data.get(split + 2..).unwrap_or_default());
    let mut head = lines(head);
    let first = String::from_utf8_lossy(head.next().unwrap_or_default());
    let (method, target) = first.split_once(' ').unwrap_or((&first, "/"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for line in head {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let request = Received { method, path, query, headers: &headers };

    let mut signature = any_signature();
    if let Ok(Some(parsed)) = parse(&request) {
        for seconds in [i64::MIN, 0, parsed.time.seconds, 1_440_938_160, i64::MAX] {
            let _ = parsed.check_time(Timestamp { seconds, nanos: 0 });
        }
        let _ = parsed.covers_region("us-east-1");
        for rule in [PathRule::Normalized, PathRule::AsIs, PathRule::S3] {
            let hash = hex_sha256(body);
            assert!(parsed.verify(&request, SECRET, &KEYS, rule, &hash, true).is_err());
        }
        signature = parsed;
    }

    for payload in [
        signature.payload.clone(),
        Payload::UnsignedChunksTrailer,
        Payload::SignedChunks { trailer: true },
    ] {
        let signature = Signature { payload, ..signature.clone() };
        let whole = decode(&signature, body, usize::MAX);
        for piece in [1, 7] {
            assert_eq!(decode(&signature, body, piece), whole);
        }
    }

    let mut chunked = Vec::new();
    for chunk in body.chunks(1 + method.len()) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let signature = Signature { payload: Payload::UnsignedChunksTrailer, ..any_signature() };
    assert_eq!(decode(&signature, &chunked, 3), Some((body.to_vec(), 0)));
});
