//! The judge is AWS's own signing suite in `../shared/data/sigv4`, read from the verifier's side:
//! what AWS's signer made must verify, and any change to it must not.

use super::*;
use http::{HeaderName, HeaderValue};
use std::path::{Path, PathBuf};

/// Cases that no server sees, with the reason.
const PASSED_OVER: &[(&str, &str)] = &[
    ("get-vanilla-query-order-key", "v4a: the suite has no signature for it"),
    ("get-vanilla-query-order-value", "v4a: the suite has no signature for it"),
    ("get-header-value-multiline", "HTTP/1.1 forbids folded headers and hyper refuses them"),
    (
        "post-sts-header-after/query",
        "a token added to a signed query string changes what is signed",
    ),
];

fn data() -> Option<PathBuf> {
    let dir = match std::env::var_os("RINGFENCE_SHARED_DATA") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let dir = dir.join("sigv4");
    if dir.is_dir() {
        return Some(dir);
    }
    println!("passed over: AWS's signing suite is not at {}", dir.display());
    None
}

/// A parsed request file.
struct Case {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Case {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let request = lines.next().unwrap();
        let (method, rest) = request.split_once(' ').unwrap();
        let target = rest.strip_suffix(" HTTP/1.1").unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let (method, path, query) = (method.into(), path.into(), query.into());
        Self { method, path, query, headers, body: body.as_bytes().to_vec() }
    }

    fn received(&self) -> Received<'_> {
        Received {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
        }
    }

    fn verify(&self, secret: &str, rule: PathRule) -> Result<Signature<'_>, ServiceError> {
        let signature = parse(&self.received())?.expect("a signed request");
        let hash = hex_sha256(&self.body);
        let keys = KeyCache::default();
        signature.verify(&self.received(), secret, &keys, rule, &hash, false)?;
        Ok(signature)
    }
}

fn field(json: &serde_json::Value, path: &[&str]) -> String {
    path.iter().fold(json, |at, key| &at[key]).as_str().unwrap_or_default().to_owned()
}

#[test]
fn awss_signing_suite_verifies_and_any_change_to_it_does_not() {
    let Some(data) = data() else { return };
    let mut verified = 0;
    for version in ["v4", "v4a"] {
        let mut folders: Vec<_> =
            std::fs::read_dir(data.join(version)).unwrap().map(|e| e.unwrap().path()).collect();
        folders.sort();
        for folder in folders {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            let context = std::fs::read_to_string(folder.join("context.json")).unwrap();
            let context: serde_json::Value = serde_json::from_str(&context).unwrap();
            let secret = field(&context, &["credentials", "secret_access_key"]);
            let rule =
                if context["normalize"] == true { PathRule::Normalized } else { PathRule::AsIs };
            for kind in ["header", "query"] {
                let over = |(n, _): &&(&str, &str)| *n == name || *n == format!("{name}/{kind}");
                if let Some((_, why)) = PASSED_OVER.iter().find(over) {
                    println!("passed over: {version} {name} {kind}: {why}");
                    continue;
                }
                let case = Case::read(&folder.join(format!("{kind}-signed-request.txt")));
                let signature = case
                    .verify(&secret, rule)
                    .unwrap_or_else(|error| panic!("{version} {name} {kind}: {error}"));
                signature.check_time(signature.time).unwrap();
                if version == "v4" {
                    let expected = folder.join(format!("{kind}-signature.txt"));
                    let expected = std::fs::read_to_string(expected).unwrap();
                    assert_eq!(signature.signature, expected.trim());
                }
                refuses_changes(&case, &secret, rule, &format!("{version} {name} {kind}"));
                verified += 1;
            }
            if version == "v4a" && folder.join("public-key.json").exists() {
                let public = std::fs::read_to_string(folder.join("public-key.json")).unwrap();
                let public: serde_json::Value = serde_json::from_str(&public).unwrap();
                let id = field(&context, &["credentials", "access_key_id"]);
                let (x, y) = v4a::derive(&id, &secret).unwrap().coordinates();
                assert_eq!((x, y), (field(&public, &["X"]), field(&public, &["Y"])), "{name}");
            }
        }
    }
    println!("{verified} signatures verified");
    assert!(verified > 140);
}

/// Every change to what is signed breaks the signature.
fn refuses_changes(case: &Case, secret: &str, rule: PathRule, name: &str) {
    let change = |edit: &dyn Fn(&mut Case)| {
        let mut changed = Case {
            method: case.method.clone(),
            path: case.path.clone(),
            query: case.query.clone(),
            headers: case.headers.clone(),
            body: case.body.clone(),
        };
        edit(&mut changed);
        changed.verify(secret, rule).map(|_| ())
    };
    assert!(change(&|c| c.method = "PUT".into()).is_err(), "{name}: method");
    assert!(change(&|c| c.path.push('x')).is_err(), "{name}: path");
    assert!(change(&|c| c.query.push_str("&x=1")).is_err(), "{name}: query");
    assert!(change(&|c| c.body.push(b'x')).is_err(), "{name}: body");
    let host = |c: &mut Case| {
        c.headers.insert("host", HeaderValue::from_static("evil.example"));
    };
    assert!(change(&host).is_err(), "{name}: host");
    let loose = |c: &mut Case| {
        c.headers.insert("x-amz-target", HeaderValue::from_static("Evil.Action"));
    };
    assert!(change(&loose).is_err(), "{name}: a header that is not signed");
    assert!(case.verify("another secret", rule).is_err(), "{name}: secret");
}

fn signature(time_text: &str, expires: Option<u32>) -> Signature<'_> {
    Signature {
        algorithm: Algorithm::V4,
        access_key_id: "AKID".into(),
        date: "20150830".into(),
        region: "us-east-1".into(),
        service: "iam".into(),
        time: parse::parse_basic(time_text).unwrap(),
        time_text: time_text.into(),
        signed_headers: "host".into(),
        signature: "00".into(),
        token: None,
        expires,
        payload: Payload::Implied,
    }
}

#[test]
fn a_time_has_sixteen_characters_and_is_one() {
    let read = |text| parse::parse_basic(text).map(|at| at.seconds);
    assert_eq!(read("20150830T123600Z"), Some(1_440_938_160));
    for text in ["20150830T123600", "20150830 123600Z", "2015083xT123600Z", "20150230T123600Z"] {
        assert_eq!(read(text), None, "{text}");
    }
    for text in ["20151330T123600Z", "20150830T240000Z", "+0150830T123600Z", "é0150830T12360Z"] {
        assert_eq!(read(text), None, "{text}");
    }
}

#[test]
fn a_signature_is_good_for_five_minutes_either_way() {
    let at = signature("20150830T123600Z", None);
    let now = |offset: i64| Timestamp::from_seconds(at.time.seconds + offset);
    for offset in [-300, 0, 300] {
        at.check_time(now(offset)).unwrap();
    }
    let late = at.check_time(now(301)).unwrap_err();
    assert_eq!(
        late.message,
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z \
         (20150830T124101Z - 5 min.)"
    );
    let early = at.check_time(now(-301)).unwrap_err();
    assert_eq!(
        early.message,
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z \
         (20150830T123059Z + 5 min.)"
    );
}

#[test]
fn a_presigned_url_lives_as_long_as_it_says_and_not_before_its_time() {
    let at = signature("20150830T123600Z", Some(3600));
    let now = |offset: i64| Timestamp::from_seconds(at.time.seconds + offset);
    at.check_time(now(3600)).unwrap();
    assert!(at.check_time(now(3601)).is_err());
    assert!(at.check_time(now(-301)).is_err());
}

#[test]
fn the_scope_must_be_of_the_day_that_was_signed() {
    let at = signature("20150831T000001Z", None);
    let error = at.check_time(at.time).unwrap_err();
    assert!(error.message.contains("'20150830' != '20150831'"), "{error}");
}

#[test]
fn an_unsigned_payload_is_refused_where_the_operation_does_not_allow_it() {
    let mut case = Case {
        method: "POST".into(),
        path: "/".into(),
        query: String::new(),
        headers: HeaderMap::new(),
        body: b"Action=DeleteUser".to_vec(),
    };
    case.headers.insert("host", HeaderValue::from_static("h"));
    case.headers.insert("x-amz-date", HeaderValue::from_static("20150830T123600Z"));
    case.headers.insert("x-amz-content-sha256", HeaderValue::from_static("UNSIGNED-PAYLOAD"));
    let names = "host;x-amz-content-sha256;x-amz-date";
    let sign = |case: &mut Case| {
        let value = format!(
            "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders={names}, Signature=00"
        );
        case.headers.insert("authorization", HeaderValue::from_str(&value).unwrap());
        let unsigned = parse(&case.received()).unwrap().unwrap();
        let canonical = canonical::request(
            &case.received(),
            &unsigned,
            PathRule::Normalized,
            "UNSIGNED-PAYLOAD",
        );
        let key = KeyCache::default().v4(&unsigned, "secret").0;
        let text = unsigned.string_to_sign(&canonical);
        let value =
            value.replace("=00", &format!("={}", hex::encode(hmac::sign(&key, text.as_bytes()))));
        case.headers.insert("authorization", HeaderValue::from_str(&value).unwrap());
    };
    sign(&mut case);
    let signature = parse(&case.received()).unwrap().unwrap();
    let verify = |allowed: bool| {
        let hash = hex_sha256(&case.body);
        let keys = KeyCache::default();
        signature.verify(&case.received(), "secret", &keys, PathRule::Normalized, &hash, allowed)
    };
    assert!(verify(true).is_ok());
    assert!(verify(false).is_err());
}

#[test]
fn incomplete_signatures_are_told_apart_from_wrong_ones() {
    for (header, date, code) in [
        ("AWS4-HMAC-SHA256", true, "IncompleteSignature"),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=0",
            false,
            "IncompleteSignature",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=0",
            true,
            "IncompleteSignature",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws3_request, SignedHeaders=host, Signature=0",
            true,
            "SignatureDoesNotMatch",
        ),
        ("AWS2 x", true, "IncompleteSignature"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static(header));
        if date {
            headers.insert("x-amz-date", HeaderValue::from_static("20150830T123600Z"));
        }
        let received = Received { method: "GET", path: "/", query: "", headers: &headers };
        assert_eq!(parse(&received).unwrap_err().code, code, "{header}");
    }
    let headers = HeaderMap::new();
    let received = Received { method: "GET", path: "/", query: "", headers: &headers };
    assert_eq!(parse(&received).unwrap(), None);
}

mod chunks {
    //! The example of AWS's page on signed chunks, and changes to it.
    //! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html#example-signature-calculations-streaming>

    use super::*;
    use crate::sigv4::chunked::Decoder;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    const FIRST: &str = "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648";
    const SECOND: &str = "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497";
    const LAST: &str = "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9";

    fn signature(payload: Payload<'_>) -> Signature<'_> {
        Signature {
            algorithm: Algorithm::V4,
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            date: "20130524".into(),
            region: "us-east-1".into(),
            service: "s3".into(),
            time: Timestamp::from_seconds(1_369_353_600),
            time_text: "20130524T000000Z".into(),
            signed_headers: "host".into(),
            signature: SEED.into(),
            token: None,
            expires: None,
            payload,
        }
    }

    fn body() -> Vec<u8> {
        let mut out = format!("10000;chunk-signature={FIRST}\r\n").into_bytes();
        out.extend(vec![b'a'; 65_536]);
        out.extend(format!("\r\n400;chunk-signature={SECOND}\r\n").into_bytes());
        out.extend(vec![b'a'; 1024]);
        out.extend(format!("\r\n0;chunk-signature={LAST}\r\n\r\n").into_bytes());
        out
    }

    fn decode(payload: Payload, body: &[u8], piece: usize) -> Result<Vec<u8>, ServiceError> {
        let keys = KeyCache::default();
        let mut decoder = Decoder::new(&signature(payload), SECRET, &keys, None)?;
        let mut out = Vec::new();
        for piece in body.chunks(piece) {
            for chunk in decoder.push(piece)? {
                out.extend_from_slice(&chunk);
            }
        }
        decoder.finish()?;
        Ok(out)
    }

    #[test]
    fn awss_example_decodes_however_it_is_cut() {
        for piece in [1, 7, 1000, 100_000] {
            let out = decode(Payload::SignedChunks { trailer: false }, &body(), piece).unwrap();
            assert_eq!(out, vec![b'a'; 66_560], "pieces of {piece}");
        }
    }

    #[test]
    fn a_changed_reordered_or_cut_body_is_refused() {
        let payload = || Payload::SignedChunks { trailer: false };
        let whole = body();
        let mut changed = whole.clone();
        changed[1000] = b'b';
        assert!(decode(payload(), &changed, 4096).is_err());
        assert!(decode(payload(), &whole[..whole.len() - 90], 4096).is_err());
        assert!(decode(payload(), &[whole.as_slice(), b"x"].concat(), 4096).is_err());
        let second = whole.iter().position(|b| *b == b'\n').unwrap() + 65_539;
        let without_first = [&whole[second..]].concat();
        assert!(decode(payload(), &without_first, 4096).is_err());
    }

    #[test]
    fn unsigned_chunks_carry_trailers() {
        let body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
        let keys = KeyCache::default();
        let signature = signature(Payload::UnsignedChunksTrailer);
        let mut decoder = Decoder::new(&signature, SECRET, &keys, Some(5)).unwrap();
        let out = decoder.push(body).unwrap();
        assert_eq!(out.concat(), b"hello");
        let trailers = decoder.finish().unwrap();
        assert_eq!(trailers, [("x-amz-checksum-crc32".to_owned(), "NhCmhg==".to_owned())]);
    }

    #[test]
    fn a_signed_trailer_must_verify() {
        let key = KeyCache::default().v4(&signature(Payload::Unsigned), SECRET).0;
        let sign = |text: String| hex::encode(hmac::sign(&key, text.as_bytes()));
        let scope = "20130524/us-east-1/s3/aws4_request";
        let empty = hex_sha256(b"");
        let end = sign(format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n{scope}\n{SEED}\n{empty}\n{empty}"
        ));
        let trailer = "x-amz-checksum-crc32c:sOO8/Q==";
        let hash = hex_sha256(format!("{trailer}\n").as_bytes());
        let seal =
            sign(format!("AWS4-HMAC-SHA256-TRAILER\n20130524T000000Z\n{scope}\n{end}\n{hash}"));
        let body = |trailer: &str, seal: &str| {
            format!("0;chunk-signature={end}\r\n{trailer}\r\n{seal}\r\n").into_bytes()
        };
        let line = format!("x-amz-trailer-signature:{seal}\r\n");
        let payload = || Payload::SignedChunks { trailer: true };
        decode(payload(), &body(trailer, &line), 5).unwrap();
        assert!(decode(payload(), &body("x-amz-checksum-crc32c:AAAA/Q==", &line), 5).is_err());
        assert!(decode(payload(), &body(trailer, ""), 5).is_err(), "no signature");
    }

    #[test]
    fn a_huge_or_nonsensical_head_is_refused_at_once() {
        for head in ["ffffffff;chunk-signature=00\r\n", "-1\r\n", "\r\n", "zz\r\n", "10000\r\n"] {
            let result = decode(Payload::SignedChunks { trailer: false }, head.as_bytes(), 64);
            assert!(result.is_err(), "{head:?}");
        }
    }
}
