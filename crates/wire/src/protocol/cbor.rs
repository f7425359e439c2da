//! CBOR bodies: rpcv2Cbor.

use super::{DEEPEST, read_root, too_deep};
use crate::constraint::At;
use crate::shape::{Kind, Member, StructureShape};
use crate::timestamp::Timestamp;
use crate::value::{
    Document, Entries, Items, ReadError, Reader, Seen, Structure, Writer, read_element, read_entry,
    read_member,
};
use bytes::Bytes;
use minicbor::data::{IanaTag, Tag, Type};
use minicbor::decode::Decoder;
use minicbor::encode::Encoder;

/// Writes a structure.
pub fn write(value: &dyn Structure, root: &'static Member) -> Vec<u8> {
    let mut writer = CborWriter(Encoder::new(Vec::with_capacity(256)));
    writer.structure(root, value);
    writer.0.into_writer()
}

/// Reads a body; an empty one is an empty map.
pub(crate) fn read_into(
    body: &[u8],
    into: &mut dyn Structure,
    root: &'static Member,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let body = if body.is_empty() { &[0xa0] } else { body };
    let mut reader = CborReader { cbor: Decoder::new(body), depth: 0 };
    read_root(&mut reader, into, root, at)?;
    if reader.cbor.position() < body.len() { Err(invalid()) } else { Ok(()) }
}

fn invalid() -> ReadError {
    ReadError::new("the body is not valid CBOR")
}

fn malformed(_error: minicbor::decode::Error) -> ReadError {
    invalid()
}

struct CborReader<'b> {
    cbor: Decoder<'b>,
    depth: usize,
}

impl CborReader<'_> {
    fn kind(&self) -> Result<Type, ReadError> {
        self.cbor.datatype().map_err(malformed)
    }

    fn enter(&mut self) -> Result<(), ReadError> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(too_deep()) } else { Ok(()) }
    }

    /// Whether another element follows in a container of `left` elements, or of unknown length.
    fn another(&mut self, left: &mut Option<u64>) -> Result<bool, ReadError> {
        match left {
            Some(0) => Ok(false),
            Some(n) => {
                *n -= 1;
                Ok(true)
            }
            None if self.kind()? == Type::Break => {
                self.cbor.skip().map_err(malformed)?;
                Ok(false)
            }
            None => Ok(true),
        }
    }

    fn text(&mut self) -> Result<String, ReadError> {
        match self.kind()? {
            Type::String => self.cbor.str().map(str::to_owned).map_err(malformed),
            Type::StringIndef => {
                let mut out = String::new();
                for piece in self.cbor.str_iter().map_err(malformed)? {
                    out.push_str(piece.map_err(malformed)?);
                }
                Ok(out)
            }
            _ => Err(ReadError::new("expected a string")),
        }
    }

    fn number(&mut self) -> Result<f64, ReadError> {
        match self.kind()? {
            Type::F16 | Type::F32 | Type::F64 => self.cbor.f64().map_err(malformed),
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::Int
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64 => {
                let n = self.cbor.int().map_err(malformed)?;
                Ok(i128::from(n) as f64)
            }
            _ => Err(ReadError::new("expected a number")),
        }
    }
}

impl Reader for CborReader<'_> {
    fn null(&mut self) -> Result<bool, ReadError> {
        if matches!(self.kind()?, Type::Null | Type::Undefined) {
            self.cbor.skip().map_err(malformed)?;
            return Ok(true);
        }
        Ok(false)
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
        if !matches!(self.kind()?, Type::Map | Type::MapIndef) {
            return Err(ReadError::new("expected a structure"));
        }
        let mut left = self.cbor.map().map_err(malformed)?;
        let mut hint = 0;
        while self.another(&mut left)? {
            let key = self.text()?;
            match shape.index_of(&key, hint) {
                Some(index) => {
                    read_member(self, shape, into, index, seen, at)?;
                    hint = index + 1;
                }
                None => self.cbor.skip().map_err(malformed)?,
            }
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
        if !matches!(self.kind()?, Type::Array | Type::ArrayIndef) {
            return Err(ReadError::new("expected a list"));
        }
        let mut left = self.cbor.array().map_err(malformed)?;
        while self.another(&mut left)? {
            read_element(self, member, into, at)?;
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
        if !matches!(self.kind()?, Type::Map | Type::MapIndef) {
            return Err(ReadError::new("expected a map"));
        }
        let mut left = self.cbor.map().map_err(malformed)?;
        while self.another(&mut left)? {
            let key = self.text()?;
            read_entry(self, member, key, into, at)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn string(&mut self, _member: &'static Member) -> Result<String, ReadError> {
        self.text()
    }

    fn boolean(&mut self, _member: &'static Member) -> Result<bool, ReadError> {
        if self.kind()? != Type::Bool {
            return Err(ReadError::new("expected a boolean"));
        }
        self.cbor.bool().map_err(malformed)
    }

    fn integer(&mut self, _member: &'static Member) -> Result<i64, ReadError> {
        let value = self.number()?;
        if value.fract() != 0.0 {
            return Err(ReadError::new("expected a whole number"));
        }
        Ok(value as i64)
    }

    fn float(&mut self, _member: &'static Member) -> Result<f64, ReadError> {
        self.number()
    }

    fn blob(&mut self, _member: &'static Member) -> Result<Bytes, ReadError> {
        match self.kind()? {
            Type::Bytes => self.cbor.bytes().map(Bytes::copy_from_slice).map_err(malformed),
            Type::BytesIndef => {
                let mut out = Vec::new();
                for piece in self.cbor.bytes_iter().map_err(malformed)? {
                    out.extend_from_slice(piece.map_err(malformed)?);
                }
                Ok(out.into())
            }
            _ => Err(ReadError::new("expected bytes")),
        }
    }

    fn timestamp(&mut self, _member: &'static Member) -> Result<Timestamp, ReadError> {
        if self.kind()? == Type::Tag {
            let tag = self.cbor.tag().map_err(malformed)?;
            if tag != Tag::from(IanaTag::Timestamp) {
                return Err(ReadError::new("expected a timestamp"));
            }
        }
        let seconds = self.number()?;
        Timestamp::from_epoch(seconds).ok_or_else(|| ReadError::new("expected a timestamp"))
    }

    fn document(&mut self, _member: &'static Member) -> Result<Document, ReadError> {
        Err(ReadError::new("rpcv2Cbor has no documents"))
    }
}

/// Writing to memory cannot fail, so the encoder's results say nothing.
struct CborWriter(Encoder<Vec<u8>>);

impl Writer for CborWriter {
    fn null(&mut self, _member: &'static Member) {
        let _ = self.0.null();
    }

    fn structure(&mut self, _member: &'static Member, value: &dyn Structure) {
        let members = value.shape().as_structure().map_or(&[][..], |shape| shape.members);
        let present: Vec<_> = members
            .iter()
            .enumerate()
            .filter_map(|(index, member)| Some((member, value.member(index)?)))
            .filter(|(_, field)| !field.is_absent())
            .collect();
        let _ = self.0.map(present.len() as u64);
        for (member, field) in present {
            let _ = self.0.str(member.wire_or_name());
            field.write(self, member);
        }
    }

    fn list(&mut self, member: &'static Member, items: &dyn Items) {
        let Kind::List(list) = &member.shape.kind else { return };
        let _ = self.0.array(items.len() as u64);
        for index in 0..items.len() {
            if let Some(item) = items.get(index) {
                item.write(self, &list.element);
            }
        }
    }

    fn map(&mut self, member: &'static Member, entries: &dyn Entries) {
        let Kind::Map(map) = &member.shape.kind else { return };
        let _ = self.0.map(entries.len() as u64);
        entries.for_each(&mut |key, value| {
            let _ = self.0.str(key);
            value.write(self, &map.value);
        });
    }

    fn string(&mut self, _member: &'static Member, value: &str) {
        let _ = self.0.str(value);
    }

    fn boolean(&mut self, _member: &'static Member, value: bool) {
        let _ = self.0.bool(value);
    }

    fn integer(&mut self, _member: &'static Member, value: i64) {
        let _ = self.0.i64(value);
    }

    fn float(&mut self, _member: &'static Member, value: f64) {
        let _ = self.0.f64(value);
    }

    fn blob(&mut self, _member: &'static Member, value: &[u8]) {
        let _ = self.0.bytes(value);
    }

    fn timestamp(&mut self, _member: &'static Member, value: Timestamp) {
        let _ = self.0.tag(Tag::from(IanaTag::Timestamp));
        let _ = if value.nanos == 0 {
            self.0.i64(value.seconds).map(drop)
        } else {
            self.0.f64(value.epoch()).map(drop)
        };
    }

    fn document(&mut self, _member: &'static Member, value: &Document) {
        let _ = self.0.str(&value.to_string());
    }
}

/// Writes an error: `__type`, the message, and the members that `fields` hands over.
pub(crate) fn write_error(
    name: &str,
    error: &crate::error::ServiceError,
    fields: impl Fn(&mut dyn FnMut(&'static Member, &dyn crate::Value)),
) -> Vec<u8> {
    let mut writer = CborWriter(Encoder::new(Vec::with_capacity(128)));
    let _ = writer.0.begin_map();
    let _ = writer.0.str("__type").and_then(|e| e.str(name));
    let _ = writer.0.str("message").and_then(|e| e.str(&error.message));
    fields(&mut |member, field| {
        let _ = writer.0.str(member.wire_or_name());
        field.write(&mut writer, member);
    });
    let _ = writer.0.end();
    writer.0.into_writer()
}
