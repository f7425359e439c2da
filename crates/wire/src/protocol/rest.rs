//! HTTP bindings: members in labels, query strings, headers and the status, the rest in a body of
//! JSON or XML.

use super::text::{Place, TextReader, TextWriter, join_header, split_header};
use super::{Body, Reply, Request, append, json, query, xml};
use crate::constraint::At;
use crate::service::Operation;
use crate::shape::{Kind, Location, Member, StructureShape};
use crate::value::{
    Entries, ReadError, Reader, Seen, Structure, Value, Writer, check_required, read_member,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// The format of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// restJson1.
    Json,
    /// restXml.
    Xml,
}

/// Reads an input from all the places where its members travel.
pub(crate) fn read_into(
    format: Format,
    operation: &'static Operation,
    request: &Request<'_>,
    into: &mut dyn Structure,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let root = &operation.input;
    let Some(shape) = root.shape.as_structure() else { return Ok(()) };
    let mut seen = Seen::default();
    read_labels(operation, shape, request, into, &mut seen, at)?;
    read_query(shape, request, into, &mut seen, at)?;
    read_headers(shape, request, into, &mut seen, at)?;
    match shape.payload.and_then(|index| Some((index, shape.members.get(index)?))) {
        Some((index, member)) => {
            read_payload(format, shape, index, member, request.body, into, &mut seen, at)?;
        }
        None if shape.members.iter().any(|m| m.location == Location::Body) => {
            read_body(format, root, shape, request.body, into, &mut seen, at)?;
        }
        None => {}
    }
    check_required(shape, &seen, at);
    Ok(())
}

fn decode(part: &str) -> Result<String, ReadError> {
    percent_decode_str(part)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| ReadError::new("the path or query string is not UTF-8"))
}

/// One piece of a URI pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment<'p> {
    /// Must stand there as it is.
    Literal(&'p str),
    /// `{Name}`: one segment.
    Label(&'p str),
    /// `{Name+}`: all that is left, at least one character, up to the literals that follow it.
    Greedy(&'p str),
}

/// The segments of a pattern's path.
pub fn segments(pattern: &str) -> impl Iterator<Item = Segment<'_>> {
    let path = pattern.split('?').next().unwrap_or_default();
    path.trim_start_matches('/').split('/').filter(|s| !s.is_empty()).map(|segment| {
        match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('+') {
                Some(name) => Segment::Greedy(name),
                None => Segment::Label(name),
            },
            None => Segment::Literal(segment),
        }
    })
}

/// Matches a path against a pattern; the labels' texts, still encoded, or `None`.
pub fn match_path<'a>(pattern: &'a str, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let pattern: Vec<Segment<'a>> = segments(pattern).collect();
    let rest = path.strip_prefix('/').unwrap_or(path);
    let parts: Vec<&'a str> = if rest.is_empty() { Vec::new() } else { rest.split('/').collect() };
    // A slash at the end makes no segment, but inside a greedy label it is kept.
    let greedy = pattern.iter().position(|s| matches!(s, Segment::Greedy(_)));
    let mut labels = Vec::new();
    match greedy {
        None => {
            let trailing = parts.last().is_some_and(|p| p.is_empty());
            let count = if trailing { parts.len() - 1 } else { parts.len() };
            if count != pattern.len() {
                return None;
            }
            match_segments(&pattern, &parts[..count], &mut labels)?;
        }
        Some(at) => {
            let after = pattern.len() - at - 1;
            if parts.len() < at + 1 + after {
                return None;
            }
            match_segments(&pattern[..at], &parts[..at], &mut labels)?;
            let end = parts.len() - after;
            match_segments(&pattern[at + 1..], &parts[end..], &mut labels)?;
            let from = parts[..at].iter().map(|p| p.len() + 1).sum::<usize>();
            let tail = parts[end..].iter().map(|p| p.len() + 1).sum::<usize>();
            let text = rest.get(from..rest.len().checked_sub(tail)?)?;
            if text.is_empty() {
                return None;
            }
            if let Segment::Greedy(name) = pattern[at] {
                labels.push((name, text));
            }
        }
    }
    Some(labels)
}

fn match_segments<'a>(
    pattern: &[Segment<'a>],
    parts: &[&'a str],
    labels: &mut Vec<(&'a str, &'a str)>,
) -> Option<()> {
    for (segment, part) in pattern.iter().zip(parts) {
        match segment {
            Segment::Literal(text) if text == part => {}
            Segment::Label(name) if !part.is_empty() => labels.push((name, part)),
            _ => return None,
        }
    }
    Some(())
}

/// Reads one member from texts.
fn read_texts(
    shape: &'static StructureShape,
    index: usize,
    texts: &[String],
    place: Place,
    into: &mut dyn Structure,
    seen: &mut Seen,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let mut reader = TextReader { texts, place };
    read_member(&mut reader, shape, into, index, seen, at)
}

fn read_labels(
    operation: &'static Operation,
    shape: &'static StructureShape,
    request: &Request<'_>,
    into: &mut dyn Structure,
    seen: &mut Seen,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let has_labels = shape.members.iter().any(|m| m.location == Location::Uri);
    if !has_labels {
        return Ok(());
    }
    let labels = match_path(operation.uri, request.path)
        .ok_or_else(|| ReadError::new("the path is not that of the operation"))?;
    for (name, text) in labels {
        let found = shape
            .members
            .iter()
            .position(|m| m.location == Location::Uri && m.wire_or_name() == name);
        if let Some(index) = found {
            read_texts(shape, index, &[decode(text)?], Place::Label, into, seen, at)?;
        }
    }
    Ok(())
}

fn read_query(
    shape: &'static StructureShape,
    request: &Request<'_>,
    into: &mut dyn Structure,
    seen: &mut Seen,
    at: &At<'_>,
) -> Result<(), ReadError> {
    if !shape.members.iter().any(|m| m.location == Location::QueryString) {
        return Ok(());
    }
    let mut params: Vec<(String, String)> = Vec::new();
    for pair in request.query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        params.push((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?));
    }
    for (index, member) in shape.members.iter().enumerate() {
        if member.location != Location::QueryString {
            continue;
        }
        if let Kind::Map(map) = &member.shape.kind {
            // A map takes every parameter, those that other members name too: Smithy's
            // `httpQueryParams`.
            if !params.is_empty() {
                let many = matches!(map.value.shape.kind, Kind::List(_));
                let mut reader = ParamsReader { params: &params, many };
                read_member(&mut reader, shape, into, index, seen, at)?;
            }
            continue;
        }
        let texts: Vec<String> = params
            .iter()
            .filter(|(name, _)| name == member.wire_or_name())
            .map(|(_, value)| value.clone())
            .collect();
        if !texts.is_empty() {
            read_texts(shape, index, &texts, Place::Query, into, seen, at)?;
        }
    }
    Ok(())
}

/// Reads a map from parameters or headers: keys to one text, or to several.
struct ParamsReader<'p> {
    params: &'p [(String, String)],
    many: bool,
}

impl Reader for ParamsReader<'_> {
    fn null(&mut self) -> Result<bool, ReadError> {
        Ok(false)
    }

    fn map(
        &mut self,
        member: &'static Member,
        into: &mut dyn Entries,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        let Kind::Map(map) = &member.shape.kind else { return Ok(()) };
        let mut texts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, value) in self.params {
            let same = texts.entry(name).or_default();
            if self.many || same.is_empty() {
                same.push(value.clone());
            }
        }
        for (name, texts) in texts {
            let mut reader = TextReader { texts: &texts, place: Place::Query };
            let at = at.entry(name);
            into.entry(name.to_owned()).read(&mut reader, &map.value, &at)?;
        }
        Ok(())
    }

    fn structure(
        &mut self,
        _member: &'static Member,
        _shape: &'static StructureShape,
        _into: &mut dyn Structure,
        _seen: &mut Seen,
        _at: &At<'_>,
    ) -> Result<(), ReadError> {
        Err(not_a_map())
    }

    fn list(
        &mut self,
        _member: &'static Member,
        _into: &mut dyn crate::value::Items,
        _at: &At<'_>,
    ) -> Result<(), ReadError> {
        Err(not_a_map())
    }

    fn string(&mut self, _member: &'static Member) -> Result<String, ReadError> {
        Err(not_a_map())
    }

    fn boolean(&mut self, _member: &'static Member) -> Result<bool, ReadError> {
        Err(not_a_map())
    }

    fn integer(&mut self, _member: &'static Member) -> Result<i64, ReadError> {
        Err(not_a_map())
    }

    fn float(&mut self, _member: &'static Member) -> Result<f64, ReadError> {
        Err(not_a_map())
    }

    fn blob(&mut self, _member: &'static Member) -> Result<Bytes, ReadError> {
        Err(not_a_map())
    }

    fn timestamp(&mut self, _member: &'static Member) -> Result<crate::Timestamp, ReadError> {
        Err(not_a_map())
    }

    fn document(&mut self, _member: &'static Member) -> Result<crate::value::Document, ReadError> {
        Err(not_a_map())
    }
}

fn not_a_map() -> ReadError {
    ReadError::new("only a map can stand here")
}

fn read_headers(
    shape: &'static StructureShape,
    request: &Request<'_>,
    into: &mut dyn Structure,
    seen: &mut Seen,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let text = |value: &http::HeaderValue| {
        std::str::from_utf8(value.as_bytes())
            .map(str::to_owned)
            .map_err(|_| ReadError::new("a header is not UTF-8"))
    };
    for (index, member) in shape.members.iter().enumerate() {
        match member.location {
            Location::Header => {
                let mut texts = Vec::new();
                for value in request.headers.get_all(member.wire_or_name()) {
                    texts.extend(split_header(&text(value)?, member)?);
                }
                if request.headers.contains_key(member.wire_or_name()) {
                    read_texts(shape, index, &texts, Place::Header, into, seen, at)?;
                }
            }
            Location::Headers => {
                let prefix = member.wire_or_name().to_ascii_lowercase();
                let mut found = Vec::new();
                for (name, value) in request.headers {
                    if let Some(rest) = name.as_str().strip_prefix(prefix.as_str()) {
                        found.push((rest.to_owned(), text(value)?));
                    }
                }
                if !found.is_empty() {
                    let mut reader = ParamsReader { params: &found, many: false };
                    read_member(&mut reader, shape, into, index, seen, at)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads the member that is the whole body.
#[allow(clippy::too_many_arguments)]
fn read_payload(
    format: Format,
    shape: &'static StructureShape,
    index: usize,
    member: &'static Member,
    body: &Bytes,
    into: &mut dyn Structure,
    seen: &mut Seen,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let raw = matches!(member.shape.kind, Kind::Blob(_) | Kind::String(_));
    if member.is_streaming() {
        // The gateway hands the body over as it comes.
        seen.mark(index);
        return Ok(());
    }
    if body.is_empty() {
        return Ok(());
    }
    if raw {
        return read_member(&mut RawReader(body), shape, into, index, seen, at);
    }
    match format {
        Format::Json => {
            let mut reader = json::JsonReader::new(body);
            read_member(&mut reader, shape, into, index, seen, at)?;
            reader.finish()
        }
        Format::Xml => xml::with_root(body, |node| {
            let nodes = [node];
            let mut reader = xml::XmlReader { nodes: &nodes, depth: 0 };
            read_member(&mut reader, shape, into, index, seen, at)
        }),
    }
}

/// Reads the members that are left in the body.
fn read_body(
    format: Format,
    root: &'static Member,
    shape: &'static StructureShape,
    body: &Bytes,
    into: &mut dyn Structure,
    seen: &mut Seen,
    at: &At<'_>,
) -> Result<(), ReadError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    match format {
        Format::Json => {
            let mut reader = json::JsonReader::new(body);
            let mut filtered = BodyOnly { into, shape };
            reader.structure(root, shape, &mut filtered, seen, at)?;
            reader.finish()
        }
        Format::Xml => xml::with_root(body, |node| {
            let nodes = [node];
            let mut reader = xml::XmlReader { nodes: &nodes, depth: 0 };
            let mut filtered = BodyOnly { into, shape };
            reader.structure(root, shape, &mut filtered, seen, at)
        }),
    }
}

/// A view of an input that has only the members of the body: a body must not reach a member that
/// travels in the path or a header, which authorisation has looked at.
#[derive(Debug)]
struct BodyOnly<'s> {
    into: &'s mut dyn Structure,
    shape: &'static StructureShape,
}

impl Structure for BodyOnly<'_> {
    fn shape(&self) -> &'static crate::shape::Shape {
        self.into.shape()
    }

    fn member(&self, index: usize) -> Option<&dyn Value> {
        self.into.member(index)
    }

    fn member_mut(&mut self, index: usize) -> Option<&mut dyn Value> {
        let member = self.shape.members.get(index)?;
        (member.location == Location::Body).then(|| self.into.member_mut(index))?
    }
}

/// Reads bytes or text as they are.
struct RawReader<'b>(&'b Bytes);

impl Reader for RawReader<'_> {
    fn null(&mut self) -> Result<bool, ReadError> {
        Ok(false)
    }

    fn string(&mut self, _member: &'static Member) -> Result<String, ReadError> {
        std::str::from_utf8(self.0)
            .map(str::to_owned)
            .map_err(|_| ReadError::new("the body is not UTF-8"))
    }

    fn blob(&mut self, _member: &'static Member) -> Result<Bytes, ReadError> {
        Ok(self.0.clone())
    }

    fn structure(
        &mut self,
        _member: &'static Member,
        _shape: &'static StructureShape,
        _into: &mut dyn Structure,
        _seen: &mut Seen,
        _at: &At<'_>,
    ) -> Result<(), ReadError> {
        Err(raw())
    }

    fn list(
        &mut self,
        _member: &'static Member,
        _into: &mut dyn crate::value::Items,
        _at: &At<'_>,
    ) -> Result<(), ReadError> {
        Err(raw())
    }

    fn map(
        &mut self,
        _member: &'static Member,
        _into: &mut dyn Entries,
        _at: &At<'_>,
    ) -> Result<(), ReadError> {
        Err(raw())
    }

    fn boolean(&mut self, _member: &'static Member) -> Result<bool, ReadError> {
        Err(raw())
    }

    fn integer(&mut self, _member: &'static Member) -> Result<i64, ReadError> {
        Err(raw())
    }

    fn float(&mut self, _member: &'static Member) -> Result<f64, ReadError> {
        Err(raw())
    }

    fn timestamp(&mut self, _member: &'static Member) -> Result<crate::Timestamp, ReadError> {
        Err(raw())
    }

    fn document(&mut self, _member: &'static Member) -> Result<crate::value::Document, ReadError> {
        Err(raw())
    }
}

fn raw() -> ReadError {
    ReadError::new("the body is bytes or text")
}

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

/// Whether a request's query string has the constants that a pattern asks for: `?tagging`,
/// `?list-type=2`.
pub fn match_query(pattern: &str, params: &query::Params) -> bool {
    let Some((_, constants)) = pattern.split_once('?') else { return true };
    constants.split('&').filter(|part| !part.is_empty()).all(|part| match part.split_once('=') {
        Some((name, value)) => params.get(name) == Some(value),
        None => params.get(part).is_some(),
    })
}

#[cfg(test)]
mod tests;
