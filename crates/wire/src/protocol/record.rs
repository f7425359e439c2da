//! Input and output as CloudTrail records them: JSON with member names in lower camel case, nothing
//! sensitive, and no bytes (of KMS's events: "The ciphertext in the request and the plaintext in the
//! response are omitted").

pub use super::json::quote;
use crate::shape::{Kind, Location, Member, TimestampFormat};
use crate::timestamp::Timestamp;
use crate::value::{Document, Entries, Items, Structure, Writer, is_sensitive};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What stands in place of a sensitive value, as CloudTrail writes it.
const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// Shapes that no event carries. Of `CreateGrant`, CloudTrail shows the grant's id, and of
/// `RetireGrant` by a token nothing of the request.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/ct-creategrant.html>
const LEFT_OUT: &[&str] = &["GrantTokenType", "GrantTokenList"];

/// Longest text of one value, in bytes: an event is a line of a log, not a copy of the request.
const LONGEST: usize = 4096;

/// Appends a structure as one JSON object.
pub fn write(out: &mut String, value: &dyn Structure) {
    let mut writer = RecordWriter { out };
    writer.object(value);
}

struct RecordWriter<'o> {
    out: &'o mut String,
}

impl RecordWriter<'_> {
    fn object(&mut self, value: &dyn Structure) {
        let members = value.shape().as_structure().map_or(&[][..], |shape| shape.members);
        self.out.push('{');
        let mut first = true;
        for (index, member) in members.iter().enumerate() {
            let Some(field) = value.member(index).filter(|field| !field.is_absent()) else {
                continue;
            };
            let bytes = matches!(member.shape.kind, Kind::Blob(_));
            if bytes
                || LEFT_OUT.contains(&member.shape.name)
                || member.is_streaming()
                || member.location == Location::StatusCode
            {
                continue;
            }
            if !first {
                self.out.push(',');
            }
            first = false;
            // Names of members are words: nothing in them is escaped.
            let mut chars = member.name.chars();
            self.out.push('"');
            self.out.extend(chars.next().map(|first| first.to_ascii_lowercase()));
            self.out.push_str(chars.as_str());
            self.out.push_str("\":");
            if is_sensitive(member.shape) || value.shape().sensitive {
                quote(self.out, HIDDEN);
            } else {
                field.write(self, member);
            }
        }
        self.out.push('}');
    }
}

impl Writer for RecordWriter<'_> {
    fn null(&mut self, _member: &'static Member) {
        self.out.push_str("null");
    }

    fn structure(&mut self, _member: &'static Member, value: &dyn Structure) {
        self.object(value);
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
        let mut first = true;
        entries.for_each(&mut |key, value| {
            if !first {
                self.out.push(',');
            }
            first = false;
            quote(self.out, key);
            self.out.push(':');
            value.write(self, &map.value);
        });
        self.out.push('}');
    }

    fn string(&mut self, _member: &'static Member, value: &str) {
        if value.len() <= LONGEST {
            return quote(self.out, value);
        }
        let cut = (0..=LONGEST).rev().find(|i| value.is_char_boundary(*i)).unwrap_or(0);
        quote(self.out, &format!("{}…", &value[..cut]));
    }

    fn boolean(&mut self, _member: &'static Member, value: bool) {
        self.out.push_str(if value { "true" } else { "false" });
    }

    fn integer(&mut self, _member: &'static Member, value: i64) {
        self.out.push_str(&value.to_string());
    }

    fn float(&mut self, _member: &'static Member, value: f64) {
        if value.is_finite() {
            self.out.push_str(&value.to_string());
        } else {
            quote(self.out, &super::text::write_float(value));
        }
    }

    fn blob(&mut self, _member: &'static Member, value: &[u8]) {
        let shown = &value[..value.len().min(LONGEST)];
        quote(self.out, &STANDARD.encode(shown));
    }

    fn timestamp(&mut self, _member: &'static Member, value: Timestamp) {
        quote(self.out, &value.format(TimestampFormat::DateTime));
    }

    fn document(&mut self, _member: &'static Member, value: &Document) {
        self.out.push_str(&value.to_string());
    }
}
