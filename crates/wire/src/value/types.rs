//! The types that members have: each as every protocol reads and writes it, its constraints checked.

use super::{Document, Entries, Items, Map, ReadError, Reader, Value, Writer};
use crate::constraint::{At, check_bytes, check_count, check_float, check_integer, check_text};
use crate::shape::Member;
use crate::timestamp::Timestamp;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;

impl Value for String {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        *self = reader.string(member)?;
        check_text(self, member, at);
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.string(member, self);
    }
}

impl Value for bool {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        _at: &At<'_>,
    ) -> Result<(), ReadError> {
        *self = reader.boolean(member)?;
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.boolean(member, *self);
    }
}

impl Value for i32 {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        let value = reader.integer(member)?;
        *self = i32::try_from(value)
            .map_err(|_| ReadError::new(format!("{value} is not a 32-bit whole number")))?;
        check_integer(value, member, at);
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.integer(member, i64::from(*self));
    }
}

impl Value for i64 {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        *self = reader.integer(member)?;
        check_integer(*self, member, at);
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.integer(member, *self);
    }
}

impl Value for f32 {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        let value = reader.float(member)?;
        *self = value as f32;
        check_float(value, member, at);
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        // Through its shortest text, so that 0.1f32 is written 0.1.
        let value = self.to_string().parse().unwrap_or_else(|_| f64::from(*self));
        writer.float(member, value);
    }
}

impl Value for f64 {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        *self = reader.float(member)?;
        check_float(*self, member, at);
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.float(member, *self);
    }
}

impl Value for Bytes {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        *self = reader.blob(member)?;
        check_bytes(self, member, at);
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.blob(member, self);
    }
}

impl Value for Timestamp {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        _at: &At<'_>,
    ) -> Result<(), ReadError> {
        *self = reader.timestamp(member)?;
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.timestamp(member, *self);
    }
}

impl Value for Document {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        _at: &At<'_>,
    ) -> Result<(), ReadError> {
        *self = reader.document(member)?;
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.document(member, self);
    }
}

impl<T: Value + Default> Value for Option<T> {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        self.insert(T::default()).read(reader, member, at)
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        match self {
            Some(value) => value.write(writer, member),
            None => writer.null(member),
        }
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn as_stream(&mut self) -> Option<&mut crate::stream::ByteStream> {
        self.as_mut()?.as_stream()
    }
}

impl<T: Value + Default> Items for Vec<T> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn get(&self, index: usize) -> Option<&dyn Value> {
        <[T]>::get(self, index).map(|value| value as &dyn Value)
    }

    fn push(&mut self) -> &mut dyn Value {
        Vec::push(self, T::default());
        let last = self.len() - 1;
        &mut self[last]
    }
}

impl<T: Value + Default> Value for Vec<T> {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        self.clear();
        reader.list(member, self, at)?;
        check_count(self.len(), member, at, &|| format!("{self:?}"));
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.list(member, self);
    }
}

impl<T: Value + Default> Entries for Map<T> {
    fn len(&self) -> usize {
        BTreeMap::len(self)
    }

    fn for_each(&self, each: &mut dyn FnMut(&str, &dyn Value)) {
        for (key, value) in self {
            each(key, value);
        }
    }

    fn entry(&mut self, key: String) -> &mut dyn Value {
        BTreeMap::entry(self, key).or_default()
    }
}

impl<T: Value + Default> Value for Map<T> {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        self.clear();
        reader.map(member, self, at)?;
        check_count(self.len(), member, at, &|| format!("{self:?}"));
        Ok(())
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.map(member, self);
    }
}

/// A boxed structure, where a shape contains itself.
#[derive(Clone, Default, PartialEq)]
pub struct Boxed<T>(pub Box<T>);

impl<T> std::ops::Deref for Boxed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Boxed<T> {
    fn from(value: T) -> Self {
        Self(Box::new(value))
    }
}

impl<T: fmt::Debug> fmt::Debug for Boxed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Value + Default> Value for Boxed<T> {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        self.0.read(reader, member, at)
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        self.0.write(writer, member);
    }
}
