//! Reading a signature from the `Authorization` header or the query string.

use super::{Algorithm, Payload, Received, Signature, mismatch};
use crate::error::ServiceError;
use crate::timestamp::{Timestamp, digits};
use percent_encoding::percent_decode_str;
use time::OffsetDateTime;

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

fn parse_basic(text: &str) -> Option<Timestamp> {
    let digits = text.as_bytes();
    if digits.len() != 16 || digits[8] != b'T' || digits[15] != b'Z' || !text.is_ascii() {
        return None;
    }
    let extended = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &text[..4],
        &text[4..6],
        &text[6..8],
        &text[9..11],
        &text[11..13],
        &text[13..15]
    );
    Timestamp::parse(&extended, crate::shape::TimestampFormat::DateTime)
}

pub(super) fn parse(request: &Received<'_>) -> Result<Option<Signature>, ServiceError> {
    if let Some(header) = request.headers.get("authorization") {
        let header = header.to_str().map_err(|_| incomplete("Authorization is not text."))?;
        return from_header(request, header);
    }
    if request.query.contains("X-Amz-Algorithm=") {
        return from_query(request).map(Some);
    }
    Ok(None)
}

fn text<'a>(request: &Received<'a>, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

fn from_header(request: &Received<'_>, header: &str) -> Result<Option<Signature>, ServiceError> {
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
    let time_text = text(request, "x-amz-date");
    let date = text(request, "date");
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
        Algorithm::V4a => text(request, "x-amz-region-set").unwrap_or_default().to_owned(),
    };
    Ok(Some(Signature {
        algorithm,
        access_key_id: scope.access_key_id,
        date: scope.date,
        region,
        service: scope.service,
        time,
        time_text: time_text.map_or_else(|| basic(time.seconds), str::to_owned),
        signed_headers: signed_headers.split(';').map(str::to_ascii_lowercase).collect(),
        signature: signature.to_owned(),
        token: text(request, "x-amz-security-token").map(str::to_owned),
        expires: None,
        payload: payload(text(request, "x-amz-content-sha256"), algorithm)?,
    }))
}

fn payload(header: Option<&str>, algorithm: Algorithm) -> Result<Payload, ServiceError> {
    let Some(header) = header else { return Ok(Payload::Implied) };
    Ok(match header {
        "UNSIGNED-PAYLOAD" => Payload::Unsigned,
        UNSIGNED_TRAILER => Payload::UnsignedChunksTrailer,
        text if text == streaming_name(algorithm, false) => {
            Payload::SignedChunks { trailer: false }
        }
        text if text == streaming_name(algorithm, true) => Payload::SignedChunks { trailer: true },
        text if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Payload::Hash(text.to_ascii_lowercase())
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

fn from_query(request: &Received<'_>) -> Result<Signature, ServiceError> {
    let get = |name: &str| -> Result<Option<String>, ServiceError> {
        let found = request.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        });
        found
            .map(|value| {
                let decoded = percent_decode_str(value).decode_utf8();
                decoded.map(String::from).map_err(|_| incomplete(format!("{name} is not UTF-8.")))
            })
            .transpose()
    };
    let need = |name: &str| -> Result<String, ServiceError> {
        get(name)?.filter(|value| !value.is_empty()).ok_or_else(|| {
            incomplete(format!("AWS query-string parameters must include '{name}'."))
        })
    };
    let algorithm = match need("X-Amz-Algorithm")?.as_str() {
        "AWS4-HMAC-SHA256" => Algorithm::V4,
        "AWS4-ECDSA-P256-SHA256" => Algorithm::V4a,
        other => return Err(incomplete(format!("Unsupported AWS 'algorithm': '{other}'."))),
    };
    let scope = Scope::parse(algorithm, &need("X-Amz-Credential")?)?;
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
        Algorithm::V4 => scope.region,
        Algorithm::V4a => get("X-Amz-Region-Set")?.unwrap_or_default(),
    };
    let content = match text(request, "x-amz-content-sha256") {
        Some(text) => Some(text.to_owned()),
        None => get("X-Amz-Content-Sha256")?,
    };
    Ok(Signature {
        algorithm,
        access_key_id: scope.access_key_id,
        date: scope.date,
        region,
        service: scope.service,
        time,
        time_text,
        signed_headers: need("X-Amz-SignedHeaders")?
            .split(';')
            .map(str::to_ascii_lowercase)
            .collect(),
        signature: need("X-Amz-Signature")?,
        token: get("X-Amz-Security-Token")?,
        expires: Some(expires),
        payload: payload(content.as_deref(), algorithm)?,
    })
}

/// `KEY/DATE/REGION/SERVICE/aws4_request`, without the region for V4a.
struct Scope {
    access_key_id: String,
    date: String,
    region: String,
    service: String,
}

impl Scope {
    fn parse(algorithm: Algorithm, credential: &str) -> Result<Self, ServiceError> {
        let parts: Vec<&str> = credential.split('/').collect();
        let (access_key_id, date, region, service, end) = match (algorithm, parts.as_slice()) {
            (Algorithm::V4, [key, date, region, service, end]) => {
                (*key, *date, *region, *service, *end)
            }
            (Algorithm::V4a, [key, date, service, end]) => (*key, *date, "", *service, *end),
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
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
        })
    }
}
