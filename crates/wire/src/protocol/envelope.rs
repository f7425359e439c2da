//! What stands around a result or an error in each protocol.

use super::xml::{XmlWriter, escape};
use super::{Body, REQUEST_ID, Reply, SMITHY_PROTOCOL, XML_REQUEST_ID, append, json, rest};
use crate::error::ServiceError;
use crate::service::{Operation, Protocol, Service};
use crate::shape::Member;
use crate::value::Structure;
use http::HeaderName;

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");
const XML_TYPE: &str = "text/xml";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

pub(crate) const fn json_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::AwsJson10 => "application/x-amz-json-1.0",
        Protocol::AwsJson11 => "application/x-amz-json-1.1",
        _ => "application/json",
    }
}

fn tag(out: &mut String, name: &str, text: &str) {
    out.push('<');
    out.push_str(name);
    out.push('>');
    escape(out, text);
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// `<XResponse xmlns="…">`
fn open_response(out: &mut String, operation: &Operation) {
    out.push('<');
    out.push_str(operation.name);
    out.push_str("Response");
    if let Some(namespace) = operation.service.xml_namespace {
        out.push_str(" xmlns=\"");
        escape(out, namespace);
        out.push('"');
    }
    out.push('>');
}

pub(crate) fn query_reply(
    operation: &'static Operation,
    output: &dyn Structure,
    request_id: &str,
) -> Reply {
    let mut writer = XmlWriter::default();
    // Room for a small answer at once.
    writer.out.reserve(1024);
    open_response(&mut writer.out, operation);
    if let Some(wrapper) = operation.result_wrapper {
        for part in ["<", wrapper, ">"] {
            writer.out.push_str(part);
        }
        writer.members(output);
        for part in ["</", wrapper, ">"] {
            writer.out.push_str(part);
        }
    } else {
        writer.members(output);
    }
    let mut out = writer.out;
    out.push_str("<ResponseMetadata>");
    tag(&mut out, "RequestId", request_id);
    out.push_str("</ResponseMetadata></");
    out.push_str(operation.name);
    out.push_str("Response>\n");
    Reply::new(200, XML_TYPE, out).header(REQUEST_ID, request_id)
}

pub(crate) fn ec2_reply(
    operation: &'static Operation,
    output: &dyn Structure,
    request_id: &str,
) -> Reply {
    let mut writer = XmlWriter::default();
    writer.out.push_str(DECLARATION);
    open_response(&mut writer.out, operation);
    tag(&mut writer.out, "requestId", request_id);
    writer.members(output);
    let mut out = writer.out;
    out.push_str("</");
    out.push_str(operation.name);
    out.push_str("Response>\n");
    Reply::new(200, "text/xml;charset=UTF-8", out).header(REQUEST_ID, request_id)
}

/// The members of a modeled error other than its message, which is written apart.
struct Fields<'e> {
    error: &'e ServiceError,
}

impl Fields<'_> {
    fn for_each(&self, mut each: impl FnMut(&'static Member, &dyn crate::Value)) {
        let Some(fields) = &self.error.fields else { return };
        let members = fields.shape().as_structure().map_or(&[][..], |shape| shape.members);
        for (index, member) in members.iter().enumerate() {
            if member.name.eq_ignore_ascii_case("message") {
                continue;
            }
            if let Some(field) = fields.member(index).filter(|field| !field.is_absent()) {
                each(member, field);
            }
        }
    }

    /// The name under which the model carries the message.
    fn message_name(&self) -> &'static str {
        let shape = self.error.fields.as_ref().and_then(|f| f.shape().as_structure());
        let members = shape.map_or(&[][..], |shape| shape.members);
        members
            .iter()
            .find(|member| member.name.eq_ignore_ascii_case("message"))
            .map_or("message", Member::wire_or_name)
    }

    /// The message, unless it is empty, and the members in the body.
    fn xml(&self) -> String {
        let mut writer = XmlWriter::default();
        if !self.error.message.is_empty() {
            tag(&mut writer.out, "Message", &self.error.message);
        }
        self.for_each(|member, field| {
            if member.location.is_reply_body() {
                field.write(&mut writer, member);
            }
        });
        writer.out
    }
}

pub(crate) fn error_reply(
    protocol: Protocol,
    service: &'static Service,
    error: &ServiceError,
    request_id: &str,
) -> Reply {
    let mut reply = match protocol {
        Protocol::AwsQuery => query_error(service, error, request_id),
        Protocol::Ec2Query => ec2_error(error, request_id),
        Protocol::RestXml => rest_xml_error(service, error, request_id),
        Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RestJson1 => {
            json_error(protocol, service, error, request_id)
        }
        Protocol::RpcV2Cbor => cbor_error(service, error, request_id),
    };
    for (name, value) in &error.headers {
        append(&mut reply.headers, name, value.clone());
    }
    reply
}

fn query_error(service: &Service, error: &ServiceError, request_id: &str) -> Reply {
    let mut out = String::from("<ErrorResponse");
    if let Some(namespace) = service.xml_namespace {
        out.push_str(" xmlns=\"");
        escape(&mut out, namespace);
        out.push('"');
    }
    out.push_str("><Error>");
    tag(&mut out, "Type", if error.sender { "Sender" } else { "Receiver" });
    tag(&mut out, "Code", &error.code);
    out.push_str(&Fields { error }.xml());
    out.push_str("</Error>");
    tag(&mut out, "RequestId", request_id);
    out.push_str("</ErrorResponse>\n");
    Reply::new(error.status, XML_TYPE, out).header(REQUEST_ID, request_id)
}

fn ec2_error(error: &ServiceError, request_id: &str) -> Reply {
    let mut out = format!("{DECLARATION}<Response><Errors><Error>");
    tag(&mut out, "Code", &error.code);
    out.push_str(&Fields { error }.xml());
    out.push_str("</Error></Errors>");
    tag(&mut out, "RequestID", request_id);
    out.push_str("</Response>\n");
    Reply::new(error.status, "text/xml;charset=UTF-8", out).header(REQUEST_ID, request_id)
}

fn rest_xml_error(service: &Service, error: &ServiceError, request_id: &str) -> Reply {
    let mut out = String::from(DECLARATION);
    // S3 alone has no envelope around its error.
    let wrapped = service.id != "S3";
    if wrapped {
        out.push_str("<ErrorResponse");
        if let Some(namespace) = service.xml_namespace {
            out.push_str(" xmlns=\"");
            escape(&mut out, namespace);
            out.push('"');
        }
        out.push('>');
    }
    out.push_str("<Error>");
    if wrapped {
        tag(&mut out, "Type", if error.sender { "Sender" } else { "Receiver" });
    }
    tag(&mut out, "Code", &error.code);
    out.push_str(&Fields { error }.xml());
    if !wrapped {
        tag(&mut out, "RequestId", request_id);
    }
    out.push_str("</Error>");
    if wrapped {
        tag(&mut out, "RequestId", request_id);
        out.push_str("</ErrorResponse>");
    }
    let mut reply =
        Reply::new(error.status, "application/xml", out).header(XML_REQUEST_ID, request_id);
    bind_headers(&mut reply, error);
    reply
}

/// The code on wires that name errors by their shape.
fn shape_name(error: &ServiceError) -> &str {
    match (error.shape, error.code.as_ref()) {
        (Some(shape), _) => shape,
        // Common errors have other names outside awsQuery.
        (None, "AccessDenied") => "AccessDeniedException",
        (None, "InvalidClientTokenId") => "UnrecognizedClientException",
        (None, "SignatureDoesNotMatch") => "InvalidSignatureException",
        (None, "MissingAuthenticationToken") => "MissingAuthenticationTokenException",
        (None, "ExpiredToken") => "ExpiredTokenException",
        (None, "IncompleteSignature") => "IncompleteSignatureException",
        (None, "InvalidAction") => "UnknownOperationException",
        (None, "Throttling") => "ThrottlingException",
        (None, code) => code,
    }
}

/// The status on wires that name errors by their shape: their services answer 400 where awsQuery
/// answers 403, denials included.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html>
fn shape_status(error: &ServiceError) -> u16 {
    if error.shape.is_none() && error.status == 403 { 400 } else { error.status }
}

/// `Code;Sender`, which SDKs prefer where a service once spoke awsQuery.
fn query_code(service: &Service, error: &ServiceError) -> Option<String> {
    let fault = if error.sender { "Sender" } else { "Receiver" };
    service.query_compatible.then(|| format!("{};{fault}", error.code))
}

fn bind_headers(reply: &mut Reply, error: &ServiceError) {
    Fields { error }.for_each(|member, field| rest::bind_header(&mut reply.headers, member, field));
}

fn json_error(
    protocol: Protocol,
    service: &'static Service,
    error: &ServiceError,
    request_id: &str,
) -> Reply {
    let rest = protocol == Protocol::RestJson1;
    let name = shape_name(error);
    let fields = Fields { error };
    let mut writer = json::JsonWriter::new();
    writer.out.push('{');
    if !rest {
        writer.key("__type");
        json::quote(&mut writer.out, name);
    }
    if !error.message.is_empty() {
        writer.key(fields.message_name());
        json::quote(&mut writer.out, &error.message);
    }
    fields.for_each(|member, field| {
        if member.location.is_reply_body() {
            writer.key(member.wire_or_name());
            field.write(&mut writer, member);
        }
    });
    writer.out.push('}');
    let status = if rest { error.status } else { shape_status(error) };
    let mut reply = Reply::new(status, json_type(protocol), writer.out)
        .header(ERROR_TYPE, name)
        .header(REQUEST_ID, request_id);
    if let Some(code) = query_code(service, error) {
        reply = reply.header(QUERY_ERROR, &code);
    }
    if rest {
        bind_headers(&mut reply, error);
    }
    reply
}

fn cbor_error(service: &'static Service, error: &ServiceError, request_id: &str) -> Reply {
    let fields = Fields { error };
    let message = Some((fields.message_name(), error.message.as_str()));
    let message = message.filter(|(_, text)| !text.is_empty());
    let body = super::cbor::write_error(shape_name(error), message, |each| fields.for_each(each));
    let mut reply = Reply::new(shape_status(error), "application/cbor", body)
        .header(SMITHY_PROTOCOL, "rpc-v2-cbor")
        .header(REQUEST_ID, request_id);
    if let Some(code) = query_code(service, error) {
        reply = reply.header(QUERY_ERROR, &code);
    }
    reply
}

impl Body {
    /// The bytes, where they are in memory.
    pub fn as_bytes(&self) -> Option<&bytes::Bytes> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Stream(_) => None,
        }
    }
}
