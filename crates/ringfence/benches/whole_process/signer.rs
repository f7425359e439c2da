//! Signs requests as a client does, ahead of the measurement.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use aws_lc_rs::{digest, hmac};
use time::OffsetDateTime;
use time::macros::format_description;

/// A long-term access key.
pub struct Signer {
    id: String,
    secret: String,
}

impl Signer {
    /// A signer with this key.
    pub const fn new(id: String, secret: String) -> Self {
        Self { id, secret }
    }

    /// A form-encoded POST, signed now, as bytes.
    pub fn post(&self, service: &str, body: &str) -> Vec<u8> {
        let kind = "application/x-www-form-urlencoded; charset=utf-8";
        self.signed(service, "/", kind, "", body)
    }

    /// A POST in AWS's JSON to an operation of KMS, signed now, as bytes.
    pub fn kms(&self, operation: &str, body: &str) -> Vec<u8> {
        let target = format!("TrentService.{operation}");
        self.signed("kms", "/", "application/x-amz-json-1.1", &target, body)
    }

    /// A POST of JSON to a path, signed now, as bytes.
    pub fn json(&self, service: &str, path: &str, body: &str) -> Vec<u8> {
        self.signed(service, path, "application/json", "", body)
    }

    fn signed(&self, service: &str, path: &str, kind: &str, target: &str, body: &str) -> Vec<u8> {
        let now = OffsetDateTime::now_utc();
        let day = format_description!("[year][month][day]");
        let stamp = format_description!("[year][month][day]T[hour][minute][second]Z");
        let (day, stamp) = (now.format(day).expect("a day"), now.format(stamp).expect("a time"));
        let (line, header, name) = match target {
            "" => Default::default(),
            _ => (
                format!("x-amz-target:{target}\n"),
                format!("x-amz-target: {target}\r\n"),
                ";x-amz-target",
            ),
        };
        let names = format!("content-type;host;x-amz-date{name}");
        let canonical = format!(
            "POST\n{path}\n\ncontent-type:{kind}\nhost:localhost\nx-amz-date:{stamp}\n{line}\n\
             {names}\n{}",
            sha256(body)
        );
        let scope = format!("{day}/us-east-1/{service}/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", sha256(&canonical));
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [&*day, "us-east-1", service, "aws4_request"] {
            key = mac(&key, part);
        }
        let signature = hex::encode(mac(&key, &to_sign));
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\nx-amz-date: {stamp}\r\n\
             {header}authorization: AWS4-HMAC-SHA256 Credential={}/{scope}, \
             SignedHeaders={names}, Signature={signature}\r\n\
             user-agent: bench\r\ncontent-length: {}\r\n\r\n{body}",
            self.id,
            body.len()
        )
        .into_bytes()
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn sha256(text: &str) -> String {
    hex::encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

/// Percent-encodes a form's value.
pub fn encode(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
}
