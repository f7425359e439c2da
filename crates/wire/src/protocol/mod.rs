//! The protocols: how an operation's input is read from a request, and how its output or an error
//! is written into a reply.
//!
//! | protocol | request | reply | module |
//! |---|---|---|---|
//! | awsQuery, ec2Query | form | XML in an envelope | [`query`], [`xml`] |
//! | awsJson 1.0, 1.1 | JSON | JSON | [`json`] |
//! | restJson1 | HTTP bindings, JSON | HTTP bindings, JSON | [`rest`], [`json`] |
//! | restXml | HTTP bindings, XML | HTTP bindings, XML | [`rest`], [`xml`] |
//! | rpcv2Cbor | CBOR | CBOR | [`cbor`] |
//!
//! Handlers never see which of them carried a call.

pub mod cbor;
pub mod envelope;
pub mod json;
pub mod query;
pub mod record;
pub mod rest;
pub mod text;
pub mod xml;

use crate::constraint::{At, Violation, Violations};
use crate::error::ServiceError;
use crate::service::{Operation, Protocol, Service};
use crate::shape::Member;
use crate::stream::ByteStream;
use crate::value::{ReadError, Reader, Seen, Structure, check_required};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// How deep a message may nest. AWS's models need fewer than 20 levels; recursive shapes would
/// otherwise let a caller choose how much of the stack is used.
pub(crate) const DEEPEST: usize = 64;

pub(crate) fn too_deep() -> ReadError {
    ReadError::new("the message nests too deep")
}

/// A request as the protocols see it.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The path, still percent-encoded.
    pub path: &'a str,
    /// The query string without `?`, still percent-encoded.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The whole body; empty where the operation streams it.
    pub body: &'a Bytes,
}

/// Why a request has no input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The bytes are no message of the protocol.
    Malformed(ReadError),
    /// They are, but constraints of the model do not hold.
    Violations(Vec<Violation>),
}

/// An answer before it goes to HTTP.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
}

/// The body of a reply.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Whole(Bytes),
    /// In pieces.
    Stream(ByteStream),
}

/// The header of a request's id, and its name in S3 and other services of the REST protocol with XML.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const XML_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const SMITHY_PROTOCOL: HeaderName = HeaderName::from_static("smithy-protocol");

impl Reply {
    /// A reply of a content type.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers, body: Body::Whole(body.into()) }
    }

    /// The same with a further header; without it, which the log tells, where the value is none of a header.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => {
                self.headers.append(name, value);
            }
            Err(_) => is_none(name.as_str()),
        }
        self
    }
}

/// Adds a header that a model names; none, which the log tells, where name or value is none of a header.
fn append(headers: &mut HeaderMap, name: &str, value: String) {
    match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        (Ok(name), Ok(value)) => {
            headers.append(name, value);
        }
        _ => is_none(name),
    }
}

#[cold]
fn is_none(name: &str) {
    tracing::error!(name, "an answer's header is none");
}

/// Reads an operation's input into `into`, which holds defaults.
///
/// # Errors
/// [`Refused`]: the bytes are malformed, or constraints do not hold.
pub fn read_input(
    protocol: Protocol,
    operation: &'static Operation,
    request: &Request<'_>,
    into: &mut dyn Structure,
) -> Result<(), Refused> {
    let root = &operation.input;
    let violations = Violations::default();
    let at = At::root(&violations);
    match protocol {
        Protocol::AwsQuery => query::read_into(request, query::Dialect::Aws, into, root, &at),
        Protocol::Ec2Query => query::read_into(request, query::Dialect::Ec2, into, root, &at),
        Protocol::AwsJson10 | Protocol::AwsJson11 => json::read_into(request.body, into, root, &at),
        Protocol::RpcV2Cbor => cbor::read_into(request.body, into, root, &at),
        Protocol::RestJson1 => rest::read_into(rest::Format::Json, operation, request, into, &at),
        Protocol::RestXml => rest::read_into(rest::Format::Xml, operation, request, into, &at),
    }
    .map_err(Refused::Malformed)?;
    let violations = violations.into_vec();
    if violations.is_empty() { Ok(()) } else { Err(Refused::Violations(violations)) }
}

/// Writes an operation's output.
pub fn write_output(
    protocol: Protocol,
    operation: &'static Operation,
    output: &mut dyn Structure,
    request_id: &str,
) -> Reply {
    let root = &operation.output;
    match protocol {
        Protocol::AwsQuery => envelope::query_reply(operation, output, request_id),
        Protocol::Ec2Query => envelope::ec2_reply(operation, output, request_id),
        Protocol::AwsJson10 | Protocol::AwsJson11 => {
            let body = json::write(output, root);
            Reply::new(200, envelope::json_type(protocol), body).header(REQUEST_ID, request_id)
        }
        Protocol::RpcV2Cbor => {
            let reply = if operation.has_output() {
                Reply::new(200, "application/cbor", cbor::write(output, root))
            } else {
                Reply { status: 200, headers: HeaderMap::new(), body: Body::Whole(Bytes::new()) }
            };
            reply.header(SMITHY_PROTOCOL, "rpc-v2-cbor").header(REQUEST_ID, request_id)
        }
        Protocol::RestJson1 => {
            rest::write(rest::Format::Json, operation, output).header(REQUEST_ID, request_id)
        }
        Protocol::RestXml => {
            rest::write(rest::Format::Xml, operation, output).header(XML_REQUEST_ID, request_id)
        }
    }
}

/// Writes an error.
pub fn write_error(
    protocol: Protocol,
    service: &'static Service,
    error: &ServiceError,
    request_id: &str,
) -> Reply {
    envelope::error_reply(protocol, service, error, request_id)
}

/// Reads a whole structure at its root.
pub(crate) fn read_root(
    reader: &mut dyn Reader,
    into: &mut dyn Structure,
    root: &'static Member,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let shape =
        root.shape.as_structure().ok_or_else(|| ReadError::new("the root is no structure"))?;
    let mut seen = Seen::default();
    reader.structure(root, shape, into, &mut seen, at)?;
    check_required(shape, &seen, at);
    Ok(())
}
