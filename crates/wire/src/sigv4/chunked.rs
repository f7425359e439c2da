//! `aws-chunked` bodies: chunks with a signature each or none, and trailing headers.
//!
//! The decoder does no I/O: it is fed bytes as they come and gives back the bytes of chunks whose
//! signature has been checked. No byte of a chunk is given out before its signature is.
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>

use super::{Algorithm, KeyCache, Payload, Signature, hex_sha256, wrong_signature};
use crate::error::ServiceError;
use aws_lc_rs::hmac;
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// Largest chunk in bytes: a signed chunk is held until its signature is checked.
const LARGEST_CHUNK: usize = 16 << 20;
/// Longest line of a chunk's head or a trailer.
const LONGEST_LINE: usize = 4096;
/// Most trailing headers.
const MOST_TRAILERS: usize = 16;

/// Decodes one body.
pub struct Decoder {
    buffer: BytesMut,
    state: State,
    signer: Option<Signer>,
    with_trailer: bool,
    trailers: Vec<(String, String)>,
    /// Bytes given out so far.
    decoded: u64,
    /// `x-amz-decoded-content-length`.
    expected: Option<u64>,
}

enum State {
    Head,
    Data { size: usize, signature: Option<String> },
    Trailers,
    Done,
}

/// What signed chunks are checked with: each signature covers the one before it.
struct Signer {
    key: Arc<hmac::Key>,
    time: String,
    scope: String,
    previous: String,
}

fn malformed() -> ServiceError {
    ServiceError::new("IncompleteBody", 400, "The request body terminated unexpectedly")
}

impl Decoder {
    /// A decoder for the body of a request whose own signature has been verified. `expected` is
    /// the value of `x-amz-decoded-content-length`.
    ///
    /// # Errors
    /// `NotImplemented` for chunks signed with SigV4A, `InvalidRequest` for other payloads.
    pub fn new(
        signature: &Signature<'_>,
        secret: &str,
        keys: &KeyCache,
        expected: Option<u64>,
    ) -> Result<Self, ServiceError> {
        let (signer, with_trailer) = match (&signature.payload, signature.algorithm) {
            (Payload::UnsignedChunksTrailer, _) => (None, true),
            (Payload::SignedChunks { trailer }, Algorithm::V4) => {
                let signer = Signer {
                    key: keys.v4(signature, secret).0,
                    time: signature.time_text.to_string(),
                    scope: signature.scope(),
                    previous: signature.signature.to_string(),
                };
                (Some(signer), *trailer)
            }
            (Payload::SignedChunks { .. }, Algorithm::V4a) => {
                return Err(ServiceError::new(
                    "NotImplemented",
                    501,
                    "Chunks signed with AWS4-ECDSA-P256-SHA256 are not implemented.",
                ));
            }
            _ => {
                return Err(ServiceError::new(
                    "InvalidRequest",
                    400,
                    "The body is not in aws-chunked encoding.",
                ));
            }
        };
        Ok(Self {
            buffer: BytesMut::new(),
            state: State::Head,
            signer,
            with_trailer,
            trailers: Vec::new(),
            decoded: 0,
            expected,
        })
    }

    /// Takes bytes as they came; gives the bytes of every chunk that is now whole and verified.
    ///
    /// # Errors
    /// `SignatureDoesNotMatch` for a wrong signature, `IncompleteBody` for a malformed body. The
    /// decoder is of no more use after an error.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, ServiceError> {
        self.buffer.extend_from_slice(bytes);
        let mut out = Vec::new();
        while self.step(&mut out)? {}
        Ok(out)
    }

    /// The body has ended; its trailing headers, names in lower case.
    ///
    /// # Errors
    /// `IncompleteBody` when it ended too early or has another length than was said.
    pub fn finish(self) -> Result<Vec<(String, String)>, ServiceError> {
        let length = self.expected.is_none_or(|expected| expected == self.decoded);
        if matches!(self.state, State::Done) && self.buffer.is_empty() && length {
            Ok(self.trailers)
        } else {
            Err(malformed())
        }
    }

    /// One step; whether another may follow.
    fn step(&mut self, out: &mut Vec<Bytes>) -> Result<bool, ServiceError> {
        match &self.state {
            State::Done if self.buffer.is_empty() => Ok(false),
            State::Done => Err(malformed()),
            State::Head => {
                let Some(line) = self.line()? else { return Ok(false) };
                self.state = self.head(&line)?;
                Ok(true)
            }
            State::Data { size, signature } => {
                let (size, signature) = (*size, signature.clone());
                if self.buffer.len() < size + 2 {
                    return Ok(false);
                }
                let data = self.buffer.split_to(size).freeze();
                if self.buffer.split_to(2).as_ref() != b"\r\n" {
                    return Err(malformed());
                }
                self.chunk(&data, signature)?;
                self.decoded += size as u64;
                if self.expected.is_some_and(|expected| self.decoded > expected) {
                    return Err(malformed());
                }
                out.push(data);
                self.state = State::Head;
                Ok(true)
            }
            State::Trailers => {
                let Some(line) = self.line()? else { return Ok(false) };
                self.trailer(&line)?;
                Ok(true)
            }
        }
    }

    /// The next line without its end; `None` until it is whole.
    fn line(&mut self) -> Result<Option<String>, ServiceError> {
        let end = self.buffer.windows(2).take(LONGEST_LINE).position(|pair| pair == b"\r\n");
        let Some(end) = end else {
            return if self.buffer.len() > LONGEST_LINE { Err(malformed()) } else { Ok(None) };
        };
        let line = self.buffer.split_to(end + 2);
        let text = std::str::from_utf8(&line[..end]).map_err(|_| malformed())?;
        Ok(Some(text.to_owned()))
    }

    /// `SIZE` or `SIZE;chunk-signature=…`
    fn head(&mut self, line: &str) -> Result<State, ServiceError> {
        let (size, extension) = line.split_once(';').unwrap_or((line, ""));
        if size.is_empty() || size.len() > 8 || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        let size = usize::from_str_radix(size, 16).map_err(|_| malformed())?;
        if size > LARGEST_CHUNK {
            return Err(ServiceError::new(
                "EntityTooLarge",
                400,
                "A chunk is larger than allowed.",
            ));
        }
        let signature = extension.trim().strip_prefix("chunk-signature=").map(str::to_owned);
        if self.signer.is_some() && signature.is_none() {
            return Err(wrong_signature());
        }
        if size > 0 {
            return Ok(State::Data { size, signature });
        }
        self.chunk(&Bytes::new(), signature)?;
        // Without trailers an empty line ends the body; it reads as their end.
        Ok(State::Trailers)
    }

    /// Checks a chunk's signature, where chunks are signed.
    fn chunk(&mut self, data: &Bytes, signature: Option<String>) -> Result<(), ServiceError> {
        let Some(signer) = &mut self.signer else { return Ok(()) };
        let text = format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{}\n{}",
            signer.time,
            signer.scope,
            signer.previous,
            hex_sha256(b""),
            hex_sha256(data)
        );
        signer.check(&text, signature.as_deref().unwrap_or_default())
    }

    /// `name:value`, the signature of the trailers, or the empty line that ends them.
    fn trailer(&mut self, line: &str) -> Result<(), ServiceError> {
        if line.is_empty() {
            let signed = self.with_trailer && !self.trailers.is_empty() && self.signer.is_some();
            // A signed trailer ends with its signature; here none came.
            if signed {
                return Err(wrong_signature());
            }
            self.state = State::Done;
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or_else(malformed)?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if !self.with_trailer || self.trailers.len() >= MOST_TRAILERS {
            return Err(malformed());
        }
        if name == "x-amz-trailer-signature" {
            let text: String =
                self.trailers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
            if let Some(signer) = &mut self.signer {
                let text = format!(
                    "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{}\n{}",
                    signer.time,
                    signer.scope,
                    signer.previous,
                    hex_sha256(text.as_bytes())
                );
                signer.check(&text, value)?;
                // Verified: the end may follow.
                self.signer = None;
            }
            return Ok(());
        }
        self.trailers.push((name, value.to_owned()));
        Ok(())
    }
}

impl Signer {
    fn check(&mut self, text: &str, signature: &str) -> Result<(), ServiceError> {
        let expected = hmac::sign(&self.key, text.as_bytes());
        let given = hex::decode(signature).map_err(|_| wrong_signature())?;
        aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), &given)
            .map_err(|_| wrong_signature())?;
        signature.clone_into(&mut self.previous);
        Ok(())
    }
}
