//! JSON bodies: awsJson 1.0 and 1.1, and the bodies of restJson1.

use super::{DEEPEST, read_root, too_deep};
use crate::constraint::{At, Violations};
use crate::protocol::Refused;
use crate::shape::{Kind, Member, StructureShape, TimestampFormat};
use crate::timestamp::Timestamp;
use crate::value::{
    Document, Entries, Items, ReadError, Reader, Seen, Structure, Writer, read_element, read_entry,
    read_member,
};
use base64_simd::STANDARD;
use bytes::Bytes;
use jiter::{Jiter, JiterError, JsonValue, NumberAny, NumberInt, Peek};
use memchr::memchr2;

/// Reads a structure.
///
/// # Errors
/// [`Refused`]: the bytes are malformed, or constraints do not hold.
pub fn read<T: Structure + Default>(bytes: &[u8], root: &'static Member) -> Result<T, Refused> {
    let violations = Violations::default();
    let mut value = T::default();
    read_into(bytes, &mut value, root, &At::root(&violations)).map_err(Refused::Malformed)?;
    let violations = violations.into_vec();
    if violations.is_empty() { Ok(value) } else { Err(Refused::Violations(violations)) }
}

/// Writes a structure.
pub fn write(value: &dyn Structure, root: &'static Member) -> String {
    let mut writer = JsonWriter::new();
    writer.structure(root, value);
    writer.out
}

/// Writes the members of a structure that travel in the body of a reply.
pub(crate) fn write_bound(value: &dyn Structure) -> String {
    let mut writer = JsonWriter::new();
    writer.object(value, |member| member.location.is_reply_body());
    writer.out
}

/// Reads a body; an empty one is an empty object.
pub(crate) fn read_into(
    body: &[u8],
    into: &mut dyn Structure,
    root: &'static Member,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    let mut reader = JsonReader::new(body);
    read_root(&mut reader, into, root, at)?;
    reader.finish()
}

/// Reads one value that is a whole body: an HTTP payload.
pub(crate) struct JsonReader<'j> {
    json: Jiter<'j>,
    /// What `json` reads.
    text: &'j [u8],
    depth: usize,
}

impl<'j> JsonReader<'j> {
    pub(crate) fn new(body: &'j [u8]) -> Self {
        Self { json: Jiter::new(body), text: body, depth: 0 }
    }

    pub(crate) fn finish(&mut self) -> Result<(), ReadError> {
        self.json.finish().map_err(malformed)
    }

    fn enter(&mut self) -> Result<(), ReadError> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(too_deep()) } else { Ok(()) }
    }

    /// The next value is of the wrong type: says what was wanted without repeating the value.
    fn expect(&mut self, wanted: &str, fits: impl Fn(Peek) -> bool) -> Result<Peek, ReadError> {
        let peek = self.json.peek().map_err(malformed)?;
        if fits(peek) {
            return Ok(peek);
        }
        let found = match peek {
            Peek::String => "a string",
            Peek::Array => "a list",
            Peek::Object => "a structure",
            Peek::True | Peek::False => "a boolean",
            Peek::Null => "null",
            _ => "a number",
        };
        Err(ReadError::new(format!("expected {wanted}, found {found}")))
    }
}

#[cold]
fn malformed(_error: JiterError) -> ReadError {
    ReadError::new("the body is not valid JSON")
}

impl Reader for JsonReader<'_> {
    fn null(&mut self) -> Result<bool, ReadError> {
        if self.json.peek().map_err(malformed)? != Peek::Null {
            return Ok(false);
        }
        self.json.known_null().map_err(malformed)?;
        Ok(true)
    }

    fn structure(
        &mut self,
        _member: &'static Member,
        shape: &'static StructureShape,
        into: &mut dyn Structure,
        seen: &mut Seen,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        self.enter()?;
        self.expect("a structure", |peek| peek == Peek::Object)?;
        let mut hint = 0;
        let mut found =
            self.json.known_object().map_err(malformed)?.map(|key| shape.index_of(key, hint));
        while let Some(index) = found {
            match index {
                Some(index) => {
                    read_member(self, shape, into, index, seen, at)?;
                    hint = index + 1;
                }
                None => self.json.next_skip().map_err(malformed)?,
            }
            found = self.json.next_key().map_err(malformed)?.map(|key| shape.index_of(key, hint));
        }
        self.depth -= 1;
        Ok(())
    }

    fn list(
        &mut self,
        member: &'static Member,
        into: &mut dyn Items,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        self.enter()?;
        self.expect("a list", |peek| peek == Peek::Array)?;
        let mut next = self.json.known_array().map_err(malformed)?;
        while next.is_some() {
            read_element(self, member, into, at)?;
            next = self.json.array_step().map_err(malformed)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn map(
        &mut self,
        member: &'static Member,
        into: &mut dyn Entries,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        self.enter()?;
        self.expect("a map", |peek| peek == Peek::Object)?;
        let mut next = self.json.known_object().map_err(malformed)?.map(str::to_owned);
        while let Some(key) = next {
            read_entry(self, member, key, into, at)?;
            next = self.json.next_key().map_err(malformed)?.map(str::to_owned);
        }
        self.depth -= 1;
        Ok(())
    }

    fn string(&mut self, _member: &'static Member) -> Result<String, ReadError> {
        self.expect("a string", |peek| peek == Peek::String)?;
        self.json.known_str().map(str::to_owned).map_err(malformed)
    }

    fn boolean(&mut self, _member: &'static Member) -> Result<bool, ReadError> {
        let peek = self.expect("a boolean", |peek| matches!(peek, Peek::True | Peek::False))?;
        self.json.known_bool(peek).map_err(malformed)
    }

    fn integer(&mut self, _member: &'static Member) -> Result<i64, ReadError> {
        let peek = self.expect("a number", |peek| peek.is_num())?;
        match self.json.known_number(peek).map_err(malformed)? {
            NumberAny::Int(NumberInt::Int(n)) => Ok(n),
            // Some clients write whole numbers with a fraction of zero.
            NumberAny::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Ok(f as i64),
            _ => Err(ReadError::new("expected a whole number")),
        }
    }

    fn float(&mut self, _member: &'static Member) -> Result<f64, ReadError> {
        let peek = self.expect("a number", |peek| peek.is_num() || peek == Peek::String)?;
        if peek == Peek::String {
            let text = self.json.known_str().map_err(malformed)?;
            return super::text::special_float(text);
        }
        self.json.known_number(peek).map(f64::from).map_err(malformed)
    }

    fn blob(&mut self, _member: &'static Member) -> Result<Bytes, ReadError> {
        self.expect("a string", |peek| peek == Peek::String)?;
        let decoded = |text: &[u8]| {
            let bytes = STANDARD.decode_to_vec(text);
            bytes.map(Bytes::from).map_err(|_| ReadError::new("expected Base64"))
        };
        // A text of Base64 ends at the next quotation mark: long ones are not looked at byte by byte, for escapes
        // and whether they are UTF-8.
        let text = self.text.get(self.json.current_index() + 1..).unwrap_or_default();
        match memchr2(b'"', b'\\', text).map(|end| text.split_at(end)) {
            Some((text, [b'"', rest @ ..])) => {
                (self.json, self.text) = (Jiter::new(rest), rest);
                decoded(text)
            }
            _ => decoded(self.json.known_str().map_err(malformed)?.as_bytes()),
        }
    }

    fn timestamp(&mut self, member: &'static Member) -> Result<Timestamp, ReadError> {
        let invalid = || ReadError::new("expected a timestamp");
        let peek = self.expect("a timestamp", |peek| peek.is_num() || peek == Peek::String)?;
        if peek == Peek::String {
            return Timestamp::parse_any(&self.string(member)?).ok_or_else(invalid);
        }
        let seconds = self.json.known_number(peek).map(f64::from).map_err(malformed)?;
        Timestamp::from_epoch(seconds).ok_or_else(invalid)
    }

    fn document(&mut self, _member: &'static Member) -> Result<Document, ReadError> {
        let value = self.json.next_value().map_err(malformed)?;
        Ok(document(&value))
    }
}

fn document(value: &JsonValue<'_>) -> Document {
    match value {
        JsonValue::Null => Document::Null,
        JsonValue::Bool(b) => Document::Bool(*b),
        JsonValue::Int(n) => Document::from(*n),
        JsonValue::BigInt(n) => n.to_string().parse::<f64>().map_or(Document::Null, Document::from),
        JsonValue::Float(f) => Document::from(*f),
        JsonValue::Str(s) => Document::from(s.as_ref()),
        JsonValue::Array(items) => Document::Array(items.iter().map(document).collect()),
        JsonValue::Object(entries) => Document::Object(
            entries.iter().map(|(key, value)| (key.to_string(), document(value))).collect(),
        ),
    }
}

/// Writes one JSON value.
pub(crate) struct JsonWriter {
    pub(crate) out: String,
}

impl JsonWriter {
    pub(crate) fn new() -> Self {
        Self { out: String::with_capacity(256) }
    }

    /// Begins an entry of the object that is open.
    pub(crate) fn key(&mut self, name: &str) {
        if !self.out.ends_with('{') {
            self.out.push(',');
        }
        quote(&mut self.out, name);
        self.out.push(':');
    }

    fn object(&mut self, value: &dyn Structure, keep: impl Fn(&Member) -> bool) {
        let members = value.shape().as_structure().map_or(&[][..], |shape| shape.members);
        self.out.push('{');
        for (index, member) in members.iter().enumerate() {
            let Some(field) =
                value.member(index).filter(|field| keep(member) && !field.is_absent())
            else {
                continue;
            };
            self.key(member.wire_or_name());
            field.write(self, member);
        }
        self.out.push('}');
    }
}

/// Appends a JSON string.
pub fn quote(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_escaped(rest.as_bytes()) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            byte => out.push_str(&format!("\\u{byte:04x}")),
        }
        // What is escaped is one byte long.
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Where the first byte is that does not stand for itself in a JSON string. Eight are looked at in one:
/// nearly every text of every answer and event has none.
fn first_escaped(text: &[u8]) -> Option<usize> {
    let (words, _) = text.as_chunks::<8>();
    let plain = words.iter().take_while(|word| !has_escaped(u64::from_ne_bytes(**word))).count();
    let escaped = |byte: &u8| matches!(byte, ..0x20 | b'"' | b'\\' | 0x7f);
    text[plain * 8..].iter().position(escaped).map(|at| plain * 8 + at)
}

/// Whether one of eight bytes is a control character, a quotation mark or a backslash: the high bit of a
/// byte is set where subtracting has borrowed, and was not set before.
const fn has_escaped(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    const fn below(word: u64, than: u8) -> u64 {
        word.wrapping_sub(ONES * than as u64) & !word
    }
    const fn is(word: u64, byte: u8) -> u64 {
        below(word ^ (ONES * byte as u64), 1)
    }
    (below(word, 0x20) | is(word, b'"') | is(word, b'\\') | is(word, 0x7f)) & HIGH != 0
}

/// Appends a JSON number, or the text that stands for what JSON has no number for.
fn number(out: &mut String, value: f64) {
    if value.is_nan() {
        out.push_str("\"NaN\"");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        out.push_str(&value.to_string());
    }
}

impl Writer for JsonWriter {
    fn null(&mut self, _member: &'static Member) {
        self.out.push_str("null");
    }

    fn structure(&mut self, _member: &'static Member, value: &dyn Structure) {
        self.object(value, |_| true);
    }

    fn list(&mut self, member: &'static Member, items: &dyn Items) {
        let Kind::List(list) = &member.shape.kind else { return };
        self.out.push('[');
        for index in 0..items.len() {
            if index > 0 {
                self.out.push(',');
            }
            if let Some(item) = items.get(index) {
                item.write(self, &list.element);
            }
        }
        self.out.push(']');
    }

    fn map(&mut self, member: &'static Member, entries: &dyn Entries) {
        let Kind::Map(map) = &member.shape.kind else { return };
        self.out.push('{');
        entries.for_each(&mut |key, value| {
            self.key(key);
            value.write(self, &map.value);
        });
        self.out.push('}');
    }

    fn string(&mut self, _member: &'static Member, value: &str) {
        quote(&mut self.out, value);
    }

    fn boolean(&mut self, _member: &'static Member, value: bool) {
        self.out.push_str(if value { "true" } else { "false" });
    }

    fn integer(&mut self, _member: &'static Member, value: i64) {
        self.out.push_str(&value.to_string());
    }

    fn float(&mut self, _member: &'static Member, value: f64) {
        number(&mut self.out, value);
    }

    fn blob(&mut self, _member: &'static Member, value: &[u8]) {
        // With room for the members beside it, so that it is moved once.
        self.out.reserve(STANDARD.encoded_length(value.len()) + 512);
        self.out.push('"');
        STANDARD.encode_append(value, &mut self.out);
        self.out.push('"');
    }

    fn timestamp(&mut self, member: &'static Member, value: Timestamp) {
        match member.timestamp_format(TimestampFormat::EpochSeconds) {
            TimestampFormat::EpochSeconds => number(&mut self.out, value.epoch()),
            format => quote(&mut self.out, &value.format(format)),
        }
    }

    fn document(&mut self, _member: &'static Member, value: &Document) {
        self.out.push_str(&value.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as OTHER;
    use proptest::prelude::*;

    proptest! {
        /// Padding, its absence, and bits behind the last byte included: there is one text for some bytes.
        #[test]
        fn base64_is_read_and_refused_as_by_another_reader(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            change in prop::option::of("[A-Za-z0-9+/=_ \\n-]"),
            cut in 0usize..3,
        ) {
            let mut text = STANDARD.encode_to_string(&bytes);
            prop_assert_eq!(&text, &OTHER.encode(&bytes));
            prop_assert_eq!(STANDARD.decode_to_vec(&text).ok(), Some(bytes));
            if let Some(change) = change && !text.is_empty() {
                let at = at.index(text.len());
                text.replace_range(at..=at, &change);
            }
            text.truncate(text.len().saturating_sub(cut));
            prop_assert_eq!(STANDARD.decode_to_vec(&text).ok(), OTHER.decode(&text).ok(), "{}", text);
        }
    }

    /// A list of blobs, and what stands behind it.
    fn blobs(text: &str) -> Result<Vec<Bytes>, ReadError> {
        static BLOB: Member = Member::new("Blob", &crate::shape::prelude::EMPTY);
        let mut reader = JsonReader::new(text.as_bytes());
        let mut all = Vec::new();
        let mut next = reader.json.next_array().map_err(malformed)?;
        while next.is_some() {
            all.push(reader.blob(&BLOB)?);
            next = reader.json.array_step().map_err(malformed)?;
        }
        reader.finish()?;
        Ok(all)
    }

    #[test]
    fn a_blob_is_read_to_its_end_and_what_follows_it_too() {
        let read = |text| blobs(text).unwrap().concat();
        assert_eq!(read(r#" [ "YQ==" , "", "Yg==","Y2Q=" ] "#), b"abcd");
        assert_eq!(read(r#"["\u0059Q==","+\/8=", "YmI="]"#), b"a\xfb\xffbb");
        for text in [
            r#"["YQ=="#,
            r#"["YQ==","#,
            r#"["YQ==" "YQ=="]"#,
            r#"["YQ=="]]"#,
            r#"["YQ==\"]"#,
            r#"["YQ"]"#,
            r#"["Y Q=="]"#,
            "[\"YQ==\n\"]",
            "[\"é\"]",
            "[1]",
            r#"["\"]"#,
            r#"["#,
            r#"["]"#,
            r#"[""#,
        ] {
            assert!(blobs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_quoted_text_reads_back_whatever_is_in_it_and_wherever() {
        for byte in 0..=0x7f_u8 {
            for before in 0..18 {
                for after in [0, 1, 9] {
                    let plain = |length: usize| "é".repeat(length / 2) + &"a".repeat(length % 2);
                    let text = [plain(before), char::from(byte).to_string(), plain(after)].concat();
                    let mut out = String::new();
                    quote(&mut out, &text);
                    assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text, "{out}");
                    assert!(out.bytes().all(|byte| byte >= 0x20 && byte != 0x7f), "{out}");
                }
            }
        }
    }
}
