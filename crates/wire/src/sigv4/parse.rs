//! Reading a signature from the `Authorization` header or the query string.

use super::{Algorithm, Payload, Received, Signature, mismatch};
use crate::error::ServiceError;
use crate::timestamp::{Timestamp, digits};
use http::header::{AUTHORIZATION, DATE, HeaderName};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use time::{Date, Month, OffsetDateTime};

const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const X_AMZ_REGION_SET: HeaderName = HeaderName::from_static("x-amz-region-set");
const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Longest life of a presigned URL: seven days.
const LONGEST_EXPIRES: u32 = 604_800;

pub(super) const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

pub(super) fn streaming_name(algorithm: Algorithm, trailer: bool) -> &'static str {
    match (algorithm, trailer) {
        (Algorithm::V4, false) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        (Algorithm::V4, true) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        (Algorithm::V4a, false) => "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        (Algorithm::V4a, true) => "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER",
    }
}

fn incomplete(message: impl Into<String>) -> ServiceError {
    ServiceError::new("IncompleteSignature", 400, message)
}

/// `20150830T123600Z`
pub(super) fn basic(seconds: i64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(seconds) else { return seconds.to_string() };
    let mut out = String::with_capacity(16);
    digits(&mut out, u32::try_from(at.year()).unwrap_or_default(), 4, "");
    digits(&mut out, u8::from(at.month()).into(), 2, "");
    digits(&mut out, at.day().into(), 2, "T");
    digits(&mut out, at.hour().into(), 2, "");
    digits(&mut out, at.minute().into(), 2, "");
    digits(&mut out, at.second().into(), 2, "Z");
    out
}

pub(super) fn parse_basic(text: &str) -> Option<Timestamp> {
    let &[y1, y2, y3, y4, m1, m2, d1, d2, b'T', h1, h2, n1, n2, s1, s2, b'Z'] = text.as_bytes()
    else {
        return None;
    };
    let year = i32::from(pair(y1, y2)?) * 100 + i32::from(pair(y3, y4)?);
    let month = Month::try_from(pair(m1, m2)?).ok()?;
    let date = Date::from_calendar_date(year, month, pair(d1, d2)?).ok()?;
    let at = date.with_hms(pair(h1, h2)?, pair(n1, n2)?, pair(s1, s2)?).ok()?;
    Some(Timestamp::from_seconds(at.assume_utc().unix_timestamp()))
}

/// The number of two digits.
fn pair(tens: u8, ones: u8) -> Option<u8> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| byte - b'0');
    Some(digit(tens)? * 10 + digit(ones)?)
}

pub(super) fn parse<'r>(request: &Received<'r>) -> Result<Option<Signature<'r>>, ServiceError> {
    if let Some(header) = request.headers.get(AUTHORIZATION) {
        let header = header.to_str().map_err(|_| incomplete("Authorization is not text."))?;
        return from_header(request, header);
    }
    if request.query.contains("X-Amz-Algorithm=") {
        return from_query(request).map(Some);
    }
    Ok(None)
}

fn text<'a>(request: &Received<'a>, name: HeaderName) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

fn from_header<'r>(
    request: &Received<'r>,
    header: &'r str,
) -> Result<Option<Signature<'r>>, ServiceError> {
    let (name, rest) = header.split_once(' ').unwrap_or((header, ""));
    let algorithm = match name {
        "AWS4-HMAC-SHA256" => Algorithm::V4,
        "AWS4-ECDSA-P256-SHA256" => Algorithm::V4a,
        // Bearer and other schemes are for the operation to judge.
        _ if !name.starts_with("AWS") => return Ok(None),
        _ => {
            return Err(incomplete(format!(
                "Unsupported AWS 'algorithm': '{name}'. Authorization={name}"
            )));
        }
    };
    let mut fields = [None; 3];
    const NAMES: [&str; 3] = ["Credential", "SignedHeaders", "Signature"];
    for part in rest.split(',') {
        let (name, value) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
        if let Some(at) = NAMES.iter().position(|n| *n == name) {
            fields[at] = Some(value);
        }
    }
    let time_text = text(request, X_AMZ_DATE);
    let date = text(request, DATE);
    let mut missing = String::new();
    for at in [0, 2, 1] {
        if fields[at].is_none_or(str::is_empty) {
            missing.push_str(&format!("Authorization header requires '{}' parameter. ", NAMES[at]));
        }
    }
    if time_text.is_none() && date.is_none() {
        missing.push_str(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
        );
    }
    let [Some(credential), Some(signed_headers), Some(signature)] = fields else {
        return Err(incomplete(format!("{missing}Authorization={name}")));
    };
    if !missing.is_empty() {
        return Err(incomplete(format!("{missing}Authorization={name}")));
    }
    let time = match time_text {
        Some(text) => parse_basic(text),
        None => date.and_then(Timestamp::parse_any),
    };
    let time = time.ok_or_else(|| {
        incomplete(
            "Date must be in ISO-8601 'basic format'. See \
             http://en.wikipedia.org/wiki/ISO_8601",
        )
    })?;
    let scope = Scope::parse(algorithm, credential)?;
    let region = match algorithm {
        Algorithm::V4 => scope.region,
        Algorithm::V4a => text(request, X_AMZ_REGION_SET).unwrap_or_default(),
    };
    Ok(Some(Signature {
        algorithm,
        access_key_id: scope.access_key_id.into(),
        date: scope.date.into(),
        region: region.into(),
        service: scope.service.into(),
        time,
        time_text: time_text.map_or_else(|| basic(time.seconds).into(), Cow::Borrowed),
        signed_headers: lowercase(signed_headers.into()),
        signature: signature.into(),
        token: text(request, X_AMZ_SECURITY_TOKEN).map(Cow::Borrowed),
        expires: None,
        payload: payload(text(request, X_AMZ_CONTENT_SHA256).map(Cow::Borrowed), algorithm)?,
    }))
}

/// The text in lower case, which it nearly always is in.
fn lowercase(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => text.to_ascii_lowercase().into(),
        false => text,
    }
}

fn payload<'r>(
    header: Option<Cow<'r, str>>,
    algorithm: Algorithm,
) -> Result<Payload<'r>, ServiceError> {
    let Some(header) = header else { return Ok(Payload::Implied) };
    Ok(match &*header {
        "UNSIGNED-PAYLOAD" => Payload::Unsigned,
        UNSIGNED_TRAILER => Payload::UnsignedChunksTrailer,
        text if text == streaming_name(algorithm, false) => {
            Payload::SignedChunks { trailer: false }
        }
        text if text == streaming_name(algorithm, true) => Payload::SignedChunks { trailer: true },
        text if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Payload::Hash(lowercase(header))
        }
        _ => {
            return Err(ServiceError::new(
                "InvalidRequest",
                400,
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, \
                 STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, \
                 STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, \
                 STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, \
                 STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
            ));
        }
    })
}

fn from_query<'r>(request: &Received<'r>) -> Result<Signature<'r>, ServiceError> {
    let get = |name: &str| -> Result<Option<Cow<'r, str>>, ServiceError> {
        let found = request.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        });
        found
            .map(|value| {
                let decoded = percent_decode_str(value).decode_utf8();
                decoded.map_err(|_| incomplete(format!("{name} is not UTF-8.")))
            })
            .transpose()
    };
    let need = |name: &str| -> Result<Cow<'r, str>, ServiceError> {
        get(name)?.filter(|value| !value.is_empty()).ok_or_else(|| {
            incomplete(format!("AWS query-string parameters must include '{name}'."))
        })
    };
    let algorithm = match &*need("X-Amz-Algorithm")? {
        "AWS4-HMAC-SHA256" => Algorithm::V4,
        "AWS4-ECDSA-P256-SHA256" => Algorithm::V4a,
        other => return Err(incomplete(format!("Unsupported AWS 'algorithm': '{other}'."))),
    };
    let credential = need("X-Amz-Credential")?;
    let scope = Scope::parse(algorithm, &credential)?;
    let time_text = need("X-Amz-Date")?;
    let time = parse_basic(&time_text)
        .ok_or_else(|| incomplete("X-Amz-Date must be formatted via ISO8601 Long format"))?;
    let expires = match get("X-Amz-Expires")? {
        None => 300,
        Some(text) => match text.parse::<u32>() {
            Ok(0) | Err(_) => return Err(incomplete("X-Amz-Expires should be a number")),
            Ok(seconds) if seconds > LONGEST_EXPIRES => {
                return Err(mismatch(
                    "X-Amz-Expires must be less than a week (in seconds); that is, the given \
                     X-Amz-Expires must be less than 604800 seconds",
                ));
            }
            Ok(seconds) => seconds,
        },
    };
    let region = match algorithm {
        Algorithm::V4 => scope.region.to_owned().into(),
        Algorithm::V4a => get("X-Amz-Region-Set")?.unwrap_or_default(),
    };
    let content = match text(request, X_AMZ_CONTENT_SHA256) {
        Some(text) => Some(text.into()),
        None => get("X-Amz-Content-Sha256")?,
    };
    Ok(Signature {
        algorithm,
        access_key_id: scope.access_key_id.to_owned().into(),
        date: scope.date.to_owned().into(),
        region,
        service: scope.service.to_owned().into(),
        time,
        time_text,
        signed_headers: lowercase(need("X-Amz-SignedHeaders")?),
        signature: need("X-Amz-Signature")?,
        token: get("X-Amz-Security-Token")?,
        expires: Some(expires),
        payload: payload(content, algorithm)?,
    })
}

/// `KEY/DATE/REGION/SERVICE/aws4_request`, without the region for V4a.
struct Scope<'r> {
    access_key_id: &'r str,
    date: &'r str,
    region: &'r str,
    service: &'r str,
}

impl<'r> Scope<'r> {
    fn parse(algorithm: Algorithm, credential: &'r str) -> Result<Self, ServiceError> {
        let mut all = credential.split('/');
        // One more than there may be.
        let parts: [Option<&str>; 6] = std::array::from_fn(|_| all.next());
        let (access_key_id, date, region, service, end) = match (algorithm, parts) {
            (
                Algorithm::V4,
                [Some(key), Some(date), Some(region), Some(service), Some(end), None],
            ) => (key, date, region, service, end),
            (Algorithm::V4a, [Some(key), Some(date), Some(service), Some(end), None, None]) => {
                (key, date, "", service, end)
            }
            (Algorithm::V4, _) => {
                return Err(incomplete(format!(
                    "Credential must have exactly 5 slash-delimited elements, e.g. \
                     keyid/date/region/service/term, got '{credential}'"
                )));
            }
            (Algorithm::V4a, _) => {
                return Err(incomplete(format!(
                    "Credential must have exactly 4 slash-delimited elements, e.g. \
                     keyid/date/service/term, got '{credential}'"
                )));
            }
        };
        if end != "aws4_request" {
            return Err(mismatch(format!(
                "Credential should be scoped with a valid terminator: 'aws4_request', not '{end}'."
            )));
        }
        Ok(Self { access_key_id, date, region, service })
    }
}
