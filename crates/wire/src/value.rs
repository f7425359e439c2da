//! Typed values that a protocol can read and write without knowing their types.
//!
//! A generated structure is an indexable row of `dyn` [`Value`]s beside its static
//! [`Shape`](crate::shape::Shape): a protocol walks the two together. There is one reader and one
//! writer a protocol, and none of their code is repeated per type.
//!
//! Reading checks the model's constraints on the way and gathers every violation with its path;
//! see [`crate::constraint`].

mod types;

pub use types::Boxed;

use crate::constraint::{At, check_text, missing};
use crate::shape::{Kind, Member, Shape, StructureShape};
use crate::timestamp::Timestamp;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;

/// Free-form JSON.
pub type Document = serde_json::Value;

/// Why bytes are not a message of their protocol. The text is safe to show to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReadError(pub String);

impl ReadError {
    /// An error with this text.
    #[cold]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A value that stands in a [`Member`].
pub trait Value: fmt::Debug + Send + Sync {
    /// Takes the value at the reader's position.
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError>;

    /// Hands the value to the writer.
    fn write(&self, writer: &mut dyn Writer, member: &'static Member);

    /// Whether there is nothing to write.
    fn is_absent(&self) -> bool {
        false
    }

    /// The value as a streaming body, where it is one.
    fn as_stream(&mut self) -> Option<&mut crate::stream::ByteStream> {
        None
    }
}

/// A generated structure: its members by index, in the order of its shape's table.
pub trait Structure: fmt::Debug + Send + Sync {
    /// The structure's shape.
    fn shape(&self) -> &'static Shape;
    /// The member at `index`; `None` past the end.
    fn member(&self, index: usize) -> Option<&dyn Value>;
    /// The member at `index`; `None` past the end.
    fn member_mut(&mut self, index: usize) -> Option<&mut dyn Value>;

    /// For unions: the member at `index` starts existing, and every other one stops.
    fn select(&mut self, _index: usize) {}
}

/// A list being read or written.
pub trait Items {
    /// Elements so far.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The element at `index`.
    fn get(&self, index: usize) -> Option<&dyn Value>;
    /// Appends a default element to read into.
    fn push(&mut self) -> &mut dyn Value;
}

/// A map being read or written.
pub trait Entries {
    /// Entries so far.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Calls `each` with every key and value.
    fn for_each(&self, each: &mut dyn FnMut(&str, &dyn Value));
    /// The entry of this key, made if need be, to read into.
    fn entry(&mut self, key: String) -> &mut dyn Value;
}

/// A protocol's way of taking values from bytes.
pub trait Reader {
    /// Consumes a null if one stands here.
    fn null(&mut self) -> Result<bool, ReadError>;
    /// Reads members into `into`, and says which were there through [`Seen`].
    fn structure(
        &mut self,
        member: &'static Member,
        shape: &'static StructureShape,
        into: &mut dyn Structure,
        seen: &mut Seen,
        at: &At<'_>,
    ) -> Result<(), ReadError>;
    /// Reads elements into `into`.
    fn list(
        &mut self,
        member: &'static Member,
        into: &mut dyn Items,
        at: &At<'_>,
    ) -> Result<(), ReadError>;
    /// Reads entries into `into`.
    fn map(
        &mut self,
        member: &'static Member,
        into: &mut dyn Entries,
        at: &At<'_>,
    ) -> Result<(), ReadError>;
    /// Reads text.
    fn string(&mut self, member: &'static Member) -> Result<String, ReadError>;
    /// Reads a boolean.
    fn boolean(&mut self, member: &'static Member) -> Result<bool, ReadError>;
    /// Reads a whole number.
    fn integer(&mut self, member: &'static Member) -> Result<i64, ReadError>;
    /// Reads a float.
    fn float(&mut self, member: &'static Member) -> Result<f64, ReadError>;
    /// Reads bytes.
    fn blob(&mut self, member: &'static Member) -> Result<Bytes, ReadError>;
    /// Reads a point in time.
    fn timestamp(&mut self, member: &'static Member) -> Result<Timestamp, ReadError>;
    /// Reads free-form JSON.
    fn document(&mut self, member: &'static Member) -> Result<Document, ReadError>;
}

/// A protocol's way of turning values into bytes.
pub trait Writer {
    /// Writes a null: an absent element of a sparse list or map.
    fn null(&mut self, member: &'static Member);
    /// Writes the members that are not absent.
    fn structure(&mut self, member: &'static Member, value: &dyn Structure);
    /// Writes elements.
    fn list(&mut self, member: &'static Member, items: &dyn Items);
    /// Writes entries.
    fn map(&mut self, member: &'static Member, entries: &dyn Entries);
    /// Writes text.
    fn string(&mut self, member: &'static Member, value: &str);
    /// Writes a boolean.
    fn boolean(&mut self, member: &'static Member, value: bool);
    /// Writes a whole number.
    fn integer(&mut self, member: &'static Member, value: i64);
    /// Writes a float.
    fn float(&mut self, member: &'static Member, value: f64);
    /// Writes bytes.
    fn blob(&mut self, member: &'static Member, value: &[u8]);
    /// Writes a point in time.
    fn timestamp(&mut self, member: &'static Member, value: Timestamp);
    /// Writes free-form JSON.
    fn document(&mut self, member: &'static Member, value: &Document);
}

/// The members of one structure that were present.
#[derive(Default)]
pub struct Seen {
    low: u128,
    high: Vec<usize>,
}

impl Seen {
    /// Notes that the member at `index` was present.
    pub fn mark(&mut self, index: usize) {
        if index < 128 {
            self.low |= 1 << index;
        } else if !self.contains(index) {
            self.high.push(index);
        }
    }

    /// Whether the member at `index` was present.
    pub fn contains(&self, index: usize) -> bool {
        if index < 128 { self.low & (1 << index) != 0 } else { self.high.contains(&index) }
    }
}

/// Gathers violations for required members that were not there.
pub(crate) fn check_required(shape: &'static StructureShape, seen: &Seen, at: &At<'_>) {
    for (index, member) in shape.members.iter().enumerate() {
        if member.is_required() && !seen.contains(index) {
            missing(member, at);
        }
    }
}

/// What keeps `read` honest when a shape and a type disagree: generated code never does.
fn mismatch(member: &'static Member) -> ReadError {
    ReadError::new(format!("`{}` has another type in the model", member.name))
}

impl<T: Structure> Value for T {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        read_structure(self, reader, member, at)
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        writer.structure(member, self);
    }
}

fn read_structure(
    into: &mut dyn Structure,
    reader: &mut dyn Reader,
    member: &'static Member,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let shape = member.shape.as_structure().ok_or_else(|| mismatch(member))?;
    let mut seen = Seen::default();
    reader.structure(member, shape, into, &mut seen, at)?;
    check_required(shape, &seen, at);
    Ok(())
}

/// Reads the member at `index` of `into`, unless a null stands there.
pub(crate) fn read_member(
    reader: &mut dyn Reader,
    shape: &'static StructureShape,
    into: &mut dyn Structure,
    index: usize,
    seen: &mut Seen,
    at: &At<'_>,
) -> Result<(), ReadError> {
    if reader.null()? {
        return Ok(());
    }
    let Some(member) = shape.members.get(index) else { return Ok(()) };
    if shape.union {
        into.select(index);
    }
    let value = into.member_mut(index).ok_or_else(|| mismatch(member))?;
    seen.mark(index);
    value.read(reader, member, &at.member(member))
}

/// Reads one element into `into`; a null is kept only by a sparse list.
pub(crate) fn read_element(
    reader: &mut dyn Reader,
    member: &'static Member,
    into: &mut dyn Items,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let Kind::List(list) = &member.shape.kind else { return Err(mismatch(member)) };
    if reader.null()? {
        if list.sparse {
            into.push();
        }
        return Ok(());
    }
    let at = at.element(into.len() + 1);
    into.push().read(reader, &list.element, &at)
}

/// Reads the value of one entry into `into`; a null is kept only by a sparse map.
pub(crate) fn read_entry(
    reader: &mut dyn Reader,
    member: &'static Member,
    key: String,
    into: &mut dyn Entries,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let Kind::Map(map) = &member.shape.kind else { return Err(mismatch(member)) };
    check_text(&key, &map.key, &at.key(&key));
    if reader.null()? {
        if map.sparse {
            into.entry(key);
        }
        return Ok(());
    }
    let name = key.clone();
    into.entry(key).read(reader, &map.value, &at.entry(&name))
}

/// A map's keys are text, so that every protocol can write them.
pub type Map<T> = BTreeMap<String, T>;

/// Prints a structure with its sensitive members hidden.
pub fn debug_structure(value: &dyn Structure, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let shape = value.shape();
    let mut out = f.debug_struct(shape.name);
    for (index, member) in shape.as_structure().map_or(&[][..], |s| s.members).iter().enumerate() {
        match value.member(index) {
            Some(field) if field.is_absent() => {}
            Some(_) if shape.sensitive || is_sensitive(member.shape) => {
                out.field(member.name, &format_args!("(hidden)"));
            }
            Some(field) => {
                out.field(member.name, &field);
            }
            None => {}
        }
    }
    out.finish()
}

/// Whether a value of this shape must not be shown: the shape itself, or what it holds.
pub fn is_sensitive(shape: &'static Shape) -> bool {
    shape.sensitive
        || match &shape.kind {
            Kind::List(list) => is_sensitive(list.element.shape),
            Kind::Map(map) => is_sensitive(map.value.shape) || is_sensitive(map.key.shape),
            _ => false,
        }
}

/// Declares a structure over its shape's table.
#[macro_export]
macro_rules! structure {
    ($name:ident = $shape:ident { $($index:literal $field:ident : $type:ty),* $(,)? }) => {
        #[allow(missing_docs)]
        #[derive(Clone, Default, PartialEq)]
        pub struct $name { $(pub $field: $type),* }

        impl $crate::Structure for $name {
            fn shape(&self) -> &'static $crate::shape::Shape { &$shape }

            fn member(&self, index: usize) -> Option<&dyn $crate::Value> {
                match index {
                    $($index => Some(&self.$field),)*
                    _ => None,
                }
            }

            fn member_mut(&mut self, index: usize) -> Option<&mut dyn $crate::Value> {
                match index {
                    $($index => Some(&mut self.$field),)*
                    _ => None,
                }
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                $crate::value::debug_structure(self, f)
            }
        }
    };
}

/// Declares a union over its shape's table: at most one member is present.
#[macro_export]
macro_rules! union {
    ($name:ident = $shape:ident { $($index:literal $variant:ident ( $type:ty )),* $(,)? }) => {
        #[allow(missing_docs)]
        #[derive(Clone, Default, PartialEq)]
        #[non_exhaustive]
        pub enum $name {
            /// No member of the model was present.
            #[default]
            Unset,
            $($variant($type)),*
        }

        impl $crate::Structure for $name {
            fn shape(&self) -> &'static $crate::shape::Shape { &$shape }

            fn member(&self, index: usize) -> Option<&dyn $crate::Value> {
                match (index, self) {
                    $(($index, Self::$variant(value)) => Some(value),)*
                    _ => None,
                }
            }

            fn member_mut(&mut self, index: usize) -> Option<&mut dyn $crate::Value> {
                match (index, self) {
                    $(($index, Self::$variant(value)) => Some(value),)*
                    _ => None,
                }
            }

            fn select(&mut self, index: usize) {
                *self = match index {
                    $($index => Self::$variant(Default::default()),)*
                    _ => Self::Unset,
                };
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                $crate::value::debug_structure(self, f)
            }
        }
    };
}

/// Declares an error over its shape's table. Its message is the member called `message`.
#[macro_export]
macro_rules! error {
    ($name:ident = $shape:ident { $($index:literal $field:ident : $type:ty),* $(,)? }) => {
        $crate::structure! { $name = $shape { $($index $field : $type),* } }

        impl From<$name> for $crate::ServiceError {
            fn from(error: $name) -> Self {
                $crate::ServiceError::modeled(::std::sync::Arc::new(error))
            }
        }

        impl $name {
            /// The error with this message.
            pub fn error(message: impl Into<String>) -> $crate::ServiceError {
                $crate::ServiceError::from(Self::default()).with_message(message)
            }
        }
    };
}

/// Declares an enumeration that keeps values it does not know.
#[macro_export]
macro_rules! string_enum {
    ($name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        #[allow(missing_docs)]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($variant,)*
            /// A value that the model does not list.
            Other(String),
        }

        impl $name {
            /// The value on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl Default for $name {
            fn default() -> Self { Self::Other(String::new()) }
        }

        impl $crate::value::TextValue for $name {
            fn text(&self) -> &str { self.as_str() }
            fn set(&mut self, text: String) { *self = Self::from(text.as_str()); }
        }
        $crate::text_value!($name);
    };
}

/// A type that travels as text.
pub trait TextValue {
    /// The text.
    fn text(&self) -> &str;
    /// Takes the value of a text.
    fn set(&mut self, text: String);
}

/// Reads and writes a [`TextValue`] as a [`Value`].
#[macro_export]
macro_rules! text_value {
    ($name:ident) => {
        impl $crate::Value for $name {
            fn read(
                &mut self,
                reader: &mut dyn $crate::value::Reader,
                member: &'static $crate::shape::Member,
                at: &$crate::constraint::At<'_>,
            ) -> Result<(), $crate::value::ReadError> {
                $crate::value::read_text(self, reader, member, at)
            }

            fn write(
                &self,
                writer: &mut dyn $crate::value::Writer,
                member: &'static $crate::shape::Member,
            ) {
                writer.string(member, $crate::value::TextValue::text(self));
            }
        }
    };
}

/// Reads a [`TextValue`] and checks its constraints.
pub fn read_text(
    value: &mut dyn TextValue,
    reader: &mut dyn Reader,
    member: &'static Member,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let text = reader.string(member)?;
    check_text(&text, member, at);
    value.set(text);
    Ok(())
}

structure! { Empty = EMPTY {} }
use crate::shape::prelude::EMPTY;
