//! Writing an output, or an error's members, into the places where they travel.

use super::Format;
use crate::protocol::text::{Place, TextWriter, join_header};
use crate::protocol::{Body, Reply, append, json, xml};
use crate::service::Operation;
use crate::shape::{Kind, Location, Member, StructureShape};
use crate::value::{Entries, Structure, Value, Writer};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

/// Writes an output into all the places where its members travel.
pub(crate) fn write(
    format: Format,
    operation: &'static Operation,
    output: &mut dyn Structure,
) -> Reply {
    let root = &operation.output;
    let content_type = match format {
        Format::Json => "application/json",
        Format::Xml => "application/xml",
    };
    let Some(shape) = root.shape.as_structure() else {
        return Reply::new(operation.status, content_type, Bytes::new());
    };
    let mut status = operation.status;
    let mut headers = HeaderMap::new();
    for (index, member) in shape.members.iter().enumerate() {
        let Some(field) = output.member(index).filter(|field| !field.is_absent()) else {
            continue;
        };
        if member.location == Location::StatusCode {
            let mut writer = TextWriter::new(Place::Header);
            field.write(&mut writer, member);
            status = writer.texts.first().and_then(|text| text.parse().ok()).unwrap_or(status);
        } else {
            bind_header(&mut headers, member, field);
        }
    }
    let (body, body_type) = match shape.payload.and_then(|i| Some((i, shape.members.get(i)?))) {
        Some((index, member)) => write_payload(format, index, member, output, content_type),
        None => write_body(format, operation, shape, output, content_type),
    };
    if let Some(body_type) = body_type {
        let content_type = HeaderValue::from_static(body_type);
        headers.entry(header::CONTENT_TYPE).or_insert(content_type);
    }
    Reply { status, headers, body }
}

/// Binds a member to a header, or to all headers of a prefix.
pub(crate) fn bind_header(headers: &mut HeaderMap, member: &'static Member, field: &dyn Value) {
    let name = member.wire_or_name().to_ascii_lowercase();
    match member.location {
        Location::Header => {
            let mut writer = TextWriter::new(Place::Header);
            field.write(&mut writer, member);
            if !writer.texts.is_empty() {
                append(headers, &name, join_header(&writer.texts, member));
            }
        }
        Location::Headers => {
            let mut writer = PrefixWriter { prefix: &name, headers };
            field.write(&mut writer, member);
        }
        _ => {}
    }
}

/// Writes a map as headers of a prefix.
struct PrefixWriter<'h> {
    prefix: &'h str,
    headers: &'h mut HeaderMap,
}

impl Writer for PrefixWriter<'_> {
    fn map(&mut self, member: &'static Member, entries: &dyn Entries) {
        let Kind::Map(map) = &member.shape.kind else { return };
        entries.for_each(&mut |key, value| {
            let mut writer = TextWriter::new(Place::Header);
            value.write(&mut writer, &map.value);
            let name = format!("{}{}", self.prefix, key.to_ascii_lowercase());
            append(self.headers, &name, writer.texts.join(", "));
        });
    }

    // Models bind maps alone to prefixes of headers.
    fn null(&mut self, _member: &'static Member) {}
    fn structure(&mut self, _member: &'static Member, _value: &dyn Structure) {}
    fn list(&mut self, _member: &'static Member, _items: &dyn crate::value::Items) {}
    fn string(&mut self, _member: &'static Member, _value: &str) {}
    fn boolean(&mut self, _member: &'static Member, _value: bool) {}
    fn integer(&mut self, _member: &'static Member, _value: i64) {}
    fn float(&mut self, _member: &'static Member, _value: f64) {}
    fn blob(&mut self, _member: &'static Member, _value: &[u8]) {}
    fn timestamp(&mut self, _member: &'static Member, _value: crate::Timestamp) {}
    fn document(&mut self, _member: &'static Member, _value: &crate::value::Document) {}
}

fn write_payload(
    format: Format,
    index: usize,
    member: &'static Member,
    output: &mut dyn Structure,
    content_type: &'static str,
) -> (Body, Option<&'static str>) {
    if let Some(stream) = output.member_mut(index).and_then(Value::as_stream) {
        return (Body::Stream(stream.clone()), Some("application/octet-stream"));
    }
    let Some(field) = output.member(index).filter(|field| !field.is_absent()) else {
        // An absent structure is `{}`, which would be no union.
        let json = format == Format::Json && member.shape.as_structure().is_some_and(|s| !s.union);
        let body = if json { Bytes::from_static(b"{}") } else { Bytes::new() };
        return (Body::Whole(body), json.then_some(content_type));
    };
    match (&member.shape.kind, format) {
        (Kind::Blob(_) | Kind::String(_), _) => {
            let mut writer = RawWriter(Vec::new());
            field.write(&mut writer, member);
            let raw_type = match member.shape.kind {
                Kind::Blob(_) => "application/octet-stream",
                _ => "text/plain",
            };
            (Body::Whole(writer.0.into()), Some(raw_type))
        }
        (_, Format::Json) => {
            let mut writer = json::JsonWriter::new();
            field.write(&mut writer, member);
            (Body::Whole(writer.out.into()), Some(content_type))
        }
        (_, Format::Xml) => {
            let mut writer = xml::XmlWriter::default();
            let shape = member.shape.as_structure();
            let name = member
                .wire_name
                .or_else(|| shape.and_then(|shape| shape.wire_name))
                .unwrap_or(member.shape.name);
            writer.named(name, member, field);
            (Body::Whole(writer.out.into()), Some(content_type))
        }
    }
}

/// Takes bytes or text as they are.
struct RawWriter(Vec<u8>);

impl Writer for RawWriter {
    fn string(&mut self, _member: &'static Member, value: &str) {
        self.0.extend_from_slice(value.as_bytes());
    }

    fn blob(&mut self, _member: &'static Member, value: &[u8]) {
        self.0.extend_from_slice(value);
    }

    // Payloads of other kinds have writers of their own.
    fn null(&mut self, _member: &'static Member) {}
    fn structure(&mut self, _member: &'static Member, _value: &dyn Structure) {}
    fn list(&mut self, _member: &'static Member, _items: &dyn crate::value::Items) {}
    fn map(&mut self, _member: &'static Member, _entries: &dyn Entries) {}
    fn boolean(&mut self, _member: &'static Member, _value: bool) {}
    fn integer(&mut self, _member: &'static Member, _value: i64) {}
    fn float(&mut self, _member: &'static Member, _value: f64) {}
    fn timestamp(&mut self, _member: &'static Member, _value: crate::Timestamp) {}
    fn document(&mut self, _member: &'static Member, _value: &crate::value::Document) {}
}

fn write_body(
    format: Format,
    operation: &'static Operation,
    shape: &'static StructureShape,
    output: &dyn Structure,
    content_type: &'static str,
) -> (Body, Option<&'static str>) {
    let any = shape.members.iter().any(|m| m.location.is_reply_body());
    match format {
        Format::Json if !operation.has_output() => (Body::Whole(Bytes::new()), None),
        Format::Json => {
            let out = json::write_bound(output);
            (Body::Whole(out.into()), Some(content_type))
        }
        Format::Xml if !any => (Body::Whole(Bytes::new()), None),
        Format::Xml => {
            let mut writer = xml::XmlWriter::default();
            let root = &operation.output;
            let name = root.wire_name.or(shape.wire_name).unwrap_or(root.shape.name);
            writer.document_root(name, operation.service.xml_namespace, root, output);
            (Body::Whole(writer.out.into()), Some(content_type))
        }
    }
}
