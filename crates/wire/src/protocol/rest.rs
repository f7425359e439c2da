//! HTTP bindings: members in labels, query strings, headers and the status, the rest in a body of
//! JSON or XML.

mod patterns;
mod writing;

pub use patterns::{Segment, match_path, match_query, segments};
pub(crate) use writing::{bind_header, write};

use super::text::{Place, TextReader, split_header};
use super::{Request, json, query, xml};
use crate::constraint::At;
use crate::service::Operation;
use crate::shape::{Kind, Location, Member, StructureShape};
use crate::value::{
    Entries, ReadError, Reader, Seen, Structure, Value, check_required, read_member,
};
use bytes::Bytes;
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

#[cfg(test)]
mod tests;
