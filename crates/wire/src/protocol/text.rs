//! Values as plain text: headers, labels, query strings, XML attributes and element content.

use crate::constraint::At;
use crate::shape::{Kind, Member, StructureShape, TimestampFormat};
use crate::timestamp::Timestamp;
use crate::value::{Document, Entries, Items, ReadError, Reader, Seen, Structure, Writer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// Reads a boolean as XML and query strings write it.
pub(crate) fn boolean(text: &str) -> Result<bool, ReadError> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err(ReadError::new("expected true or false")),
    }
}

/// Reads a whole number.
pub(crate) fn integer(text: &str) -> Result<i64, ReadError> {
    text.parse().map_err(|_| ReadError::new("expected a whole number"))
}

/// Reads a float, or a name of what floats have beside numbers.
pub(crate) fn float(text: &str) -> Result<f64, ReadError> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => special_float(text),
    }
}

/// `NaN`, `Infinity` or `-Infinity`.
pub(crate) fn special_float(text: &str) -> Result<f64, ReadError> {
    match text {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        _ => Err(ReadError::new("expected a number")),
    }
}

/// Writes a float.
pub(crate) fn write_float(value: f64) -> String {
    if value.is_infinite() {
        (if value > 0.0 { "Infinity" } else { "-Infinity" }).into()
    } else {
        value.to_string()
    }
}

/// Reads Base64.
pub(crate) fn blob(text: &str) -> Result<Bytes, ReadError> {
    STANDARD.decode(text).map(Bytes::from).map_err(|_| ReadError::new("expected Base64"))
}

/// Reads a point in time in whichever format.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, ReadError> {
    Timestamp::parse_any(text).ok_or_else(|| ReadError::new("expected a timestamp"))
}

/// Where a text stands: formats differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Header,
    Label,
    Query,
}

impl Place {
    fn timestamp_format(self) -> TimestampFormat {
        match self {
            Self::Header => TimestampFormat::HttpDate,
            Self::Label | Self::Query => TimestampFormat::DateTime,
        }
    }
}

/// Reads one member from texts: one, or several where the member is a list.
pub(crate) struct TextReader<'t> {
    pub texts: &'t [String],
    pub place: Place,
}

impl TextReader<'_> {
    fn one(&self) -> Result<&str, ReadError> {
        self.texts.first().map(String::as_str).ok_or_else(|| ReadError::new("expected a value"))
    }
}

fn unsupported<T>() -> Result<T, ReadError> {
    Err(ReadError::new("a structure cannot stand here"))
}

impl Reader for TextReader<'_> {
    fn null(&mut self) -> Result<bool, ReadError> {
        Ok(false)
    }

    fn structure(
        &mut self,
        _member: &'static Member,
        _shape: &'static StructureShape,
        _into: &mut dyn Structure,
        _seen: &mut Seen,
        _at: &At<'_>,
    ) -> Result<(), ReadError> {
        unsupported()
    }

    fn list(
        &mut self,
        member: &'static Member,
        into: &mut dyn Items,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        let Kind::List(list) = &member.shape.kind else { return unsupported() };
        for text in self.texts {
            let mut reader = TextReader { texts: std::slice::from_ref(text), place: self.place };
            let at = at.element(into.len() + 1);
            into.push().read(&mut reader, &list.element, &at)?;
        }
        Ok(())
    }

    fn map(
        &mut self,
        _member: &'static Member,
        _into: &mut dyn Entries,
        _at: &At<'_>,
    ) -> Result<(), ReadError> {
        unsupported()
    }

    fn string(&mut self, member: &'static Member) -> Result<String, ReadError> {
        let text = self.one()?;
        if member.is_json_value() && self.place == Place::Header {
            let bytes = blob(text)?;
            return String::from_utf8(bytes.into())
                .map_err(|_| ReadError::new("expected Base64 of JSON"));
        }
        Ok(text.to_owned())
    }

    fn boolean(&mut self, _member: &'static Member) -> Result<bool, ReadError> {
        boolean(self.one()?)
    }

    fn integer(&mut self, _member: &'static Member) -> Result<i64, ReadError> {
        integer(self.one()?)
    }

    fn float(&mut self, _member: &'static Member) -> Result<f64, ReadError> {
        float(self.one()?)
    }

    fn blob(&mut self, _member: &'static Member) -> Result<Bytes, ReadError> {
        blob(self.one()?)
    }

    fn timestamp(&mut self, _member: &'static Member) -> Result<Timestamp, ReadError> {
        timestamp(self.one()?)
    }

    fn document(&mut self, _member: &'static Member) -> Result<Document, ReadError> {
        unsupported()
    }
}

/// Gathers the texts of one member: one, or several where it is a list.
pub(crate) struct TextWriter {
    pub texts: Vec<String>,
    pub place: Place,
}

impl TextWriter {
    pub fn new(place: Place) -> Self {
        Self { texts: Vec::new(), place }
    }
}

impl Writer for TextWriter {
    fn null(&mut self, _member: &'static Member) {}

    fn structure(&mut self, _member: &'static Member, _value: &dyn Structure) {}

    fn list(&mut self, member: &'static Member, items: &dyn Items) {
        let Kind::List(list) = &member.shape.kind else { return };
        for index in 0..items.len() {
            if let Some(item) = items.get(index) {
                item.write(self, &list.element);
            }
        }
    }

    fn map(&mut self, _member: &'static Member, _entries: &dyn Entries) {}

    fn string(&mut self, member: &'static Member, value: &str) {
        self.texts.push(if member.is_json_value() && self.place == Place::Header {
            STANDARD.encode(value)
        } else {
            value.to_owned()
        });
    }

    fn boolean(&mut self, _member: &'static Member, value: bool) {
        self.texts.push(value.to_string());
    }

    fn integer(&mut self, _member: &'static Member, value: i64) {
        self.texts.push(value.to_string());
    }

    fn float(&mut self, _member: &'static Member, value: f64) {
        self.texts.push(write_float(value));
    }

    fn blob(&mut self, _member: &'static Member, value: &[u8]) {
        self.texts.push(STANDARD.encode(value));
    }

    fn timestamp(&mut self, member: &'static Member, value: Timestamp) {
        let format = member.timestamp_format(self.place.timestamp_format());
        self.texts.push(value.format(format));
    }

    fn document(&mut self, _member: &'static Member, value: &Document) {
        self.texts.push(value.to_string());
    }
}

/// Cuts a header that holds a list: at commas outside quotes, and for dates in HTTP's format at
/// every second comma.
pub(crate) fn split_header(text: &str, member: &'static Member) -> Result<Vec<String>, ReadError> {
    let element = match &member.shape.kind {
        Kind::List(list) => &list.element,
        _ => return Ok(vec![text.to_owned()]),
    };
    let http_dates = matches!(element.shape.kind, Kind::Timestamp(_))
        && element.timestamp_format(TimestampFormat::HttpDate) == TimestampFormat::HttpDate;
    if http_dates {
        let parts: Vec<&str> = text.split(',').collect();
        return Ok(parts.chunks(2).map(|pair| pair.join(",").trim().to_owned()).collect());
    }
    let mut out = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let after = if let Some(quoted) = rest.strip_prefix('"') {
            let (value, after) = unquote(quoted)?;
            out.push(value);
            after.trim_start()
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            out.push(rest[..end].trim().to_owned());
            &rest[end..]
        };
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return Err(ReadError::new("a header's list is not separated by commas")),
        };
    }
    Ok(out)
}

/// The text of a quoted string whose opening quote is gone, and what follows the closing one.
fn unquote(text: &str) -> Result<(String, &str), ReadError> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &text[i + 1..])),
            '\\' => out.extend(chars.next().map(|(_, c)| c)),
            c => out.push(c),
        }
    }
    Err(ReadError::new("a quote in a header is not closed"))
}

/// Joins texts into a header that holds a list, quoting what needs it.
pub(crate) fn join_header(texts: &[String], member: &'static Member) -> String {
    let quotes = matches!(&member.shape.kind, Kind::List(list)
        if matches!(list.element.shape.kind, Kind::String(_)));
    let parts: Vec<String> = texts
        .iter()
        .map(|text| {
            if quotes && text.contains(['"', ',']) {
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            } else {
                text.clone()
            }
        })
        .collect();
    parts.join(", ")
}
