//! The static tables that describe a service's types: what a member is called on each wire, where
//! it travels, and which values it may hold. Generated crates fill them; nothing else does.
//!
//! Facts only: the tables come from botocore's `service-2.json` files, and the builders below are
//! `const` so that a generated line is as short as the fact that it states.

/// A named type of a service's model.
#[derive(Debug)]
pub struct Shape {
    /// The model's own name of the shape.
    pub name: &'static str,
    /// What kind of value it is, with the constraints of that kind.
    pub kind: Kind,
    /// Values of this shape never reach a log, an error message or an audit event.
    pub sensitive: bool,
}

/// The kinds of value that AWS's models know.
#[derive(Debug)]
pub enum Kind {
    /// Named members.
    Structure(StructureShape),
    /// Elements of one shape.
    List(ListShape),
    /// String keys to values of one shape.
    Map(MapShape),
    /// Text, enumerations included.
    String(StringShape),
    /// Whole numbers.
    Integer(IntegerShape),
    /// IEEE floats.
    Float(FloatShape),
    /// `true` or `false`.
    Boolean,
    /// Bytes.
    Blob(BlobShape),
    /// A point in time, with the format that the shape asks for in place of its protocol's own.
    Timestamp(Option<TimestampFormat>),
    /// Free-form JSON.
    Document,
}

/// A structure, union, or error.
#[derive(Debug)]
pub struct StructureShape {
    /// The members, in the model's order.
    pub members: &'static [Member],
    /// Exactly one member is present.
    pub union: bool,
    /// Index of the member that is the whole HTTP body.
    pub payload: Option<usize>,
    /// Present on error shapes.
    pub error: Option<ErrorShape>,
    /// The XML element name where the shape sets one.
    pub wire_name: Option<&'static str>,
    /// The XML namespace where the shape sets one.
    pub xml_namespace: Option<Namespace>,
    /// The structure is an event stream.
    pub event_stream: bool,
}

/// What an error looks like on the wire.
#[derive(Debug, Clone, Copy)]
pub struct ErrorShape {
    /// The code that clients match on.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// Whether the caller is at fault.
    pub sender: bool,
}

/// A list and its element.
#[derive(Debug)]
pub struct ListShape {
    /// The element, whose wire name is `member` unless the model sets one.
    pub element: Member,
    /// Fewest elements.
    pub min: Option<u64>,
    /// Most elements.
    pub max: Option<u64>,
    /// Null elements are kept.
    pub sparse: bool,
    /// The list shape itself is flattened wherever it is used.
    pub flattened: bool,
}

/// A map with its key and value.
#[derive(Debug)]
pub struct MapShape {
    /// The key.
    pub key: Member,
    /// The value.
    pub value: Member,
    /// Fewest entries.
    pub min: Option<u64>,
    /// Most entries.
    pub max: Option<u64>,
    /// Null values are kept.
    pub sparse: bool,
    /// The map shape itself is flattened wherever it is used.
    pub flattened: bool,
}

/// Text and its constraints. Lengths count Unicode code points.
#[derive(Debug)]
pub struct StringShape {
    /// Fewest characters.
    pub min: Option<u64>,
    /// Most characters.
    pub max: Option<u64>,
    /// The pattern as AWS prints it in messages.
    pub pattern: Option<Pattern>,
    /// The values of an enumeration; empty for free text.
    pub values: &'static [&'static str],
}

/// A pattern as its model prints it, and as the `regex` crate reads it.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    /// The model's own text.
    pub source: &'static str,
    /// The same language for `regex`; `None` where the constraint cannot be stated in it.
    pub regex: Option<&'static str>,
}

/// A whole number and its constraints.
#[derive(Debug)]
pub struct IntegerShape {
    /// Bits on the wire: 32 for `integer`, 64 for `long`.
    pub bits: u8,
    /// Smallest value.
    pub min: Option<i64>,
    /// Largest value.
    pub max: Option<i64>,
}

/// A float and its constraints.
#[derive(Debug)]
pub struct FloatShape {
    /// 32 for `float`, 64 for `double`.
    pub bits: u8,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
}

/// Bytes and their constraints.
#[derive(Debug)]
pub struct BlobShape {
    /// Fewest bytes.
    pub min: Option<u64>,
    /// Most bytes.
    pub max: Option<u64>,
    /// The body is never gathered.
    pub streaming: bool,
}

/// How a timestamp is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    /// `2015-01-25T08:00:00Z`
    DateTime,
    /// Seconds since 1970, with a fraction.
    EpochSeconds,
    /// `Sun, 25 Jan 2015 08:00:00 GMT`
    HttpDate,
}

/// Where a member travels in a REST request or response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// In the body.
    Body,
    /// In a `{label}` of the path.
    Uri,
    /// In the query string.
    QueryString,
    /// In one header.
    Header,
    /// In all headers with a prefix.
    Headers,
    /// It is the status code.
    StatusCode,
}

/// An XML namespace.
#[derive(Debug, Clone, Copy)]
pub struct Namespace {
    /// The URI.
    pub uri: &'static str,
    /// The prefix, empty for the default namespace.
    pub prefix: &'static str,
}

/// A place that holds a value: a structure's member, a list's element, a map's key or value.
#[derive(Debug)]
pub struct Member {
    /// The model's name.
    pub name: &'static str,
    /// The name on the wire where the model sets another (`locationName`).
    pub wire_name: Option<&'static str>,
    /// The name in ec2Query requests where the model sets another.
    pub query_name: Option<&'static str>,
    /// What it holds.
    pub shape: &'static Shape,
    /// Where it travels.
    pub location: Location,
    /// XML namespace of the element.
    pub xml_namespace: Option<Namespace>,
    /// The format that this member asks for in place of its shape's.
    pub timestamp: Option<TimestampFormat>,
    /// One bit a fact: see the `FLAG_*` constants.
    flags: u16,
}

const FLAG_REQUIRED: u16 = 1;
const FLAG_FLATTENED: u16 = 2;
const FLAG_XML_ATTRIBUTE: u16 = 4;
const FLAG_IDEMPOTENCY_TOKEN: u16 = 8;
const FLAG_JSON_VALUE: u16 = 16;
const FLAG_HOST_LABEL: u16 = 32;
const FLAG_STREAMING: u16 = 64;
const FLAG_EVENT_PAYLOAD: u16 = 128;

impl Member {
    /// A member of the body with no traits.
    pub const fn new(name: &'static str, shape: &'static Shape) -> Self {
        Self {
            name,
            wire_name: None,
            query_name: None,
            shape,
            location: Location::Body,
            xml_namespace: None,
            timestamp: None,
            flags: 0,
        }
    }

    /// Sets the wire name.
    pub const fn wire(mut self, name: &'static str) -> Self {
        self.wire_name = Some(name);
        self
    }

    /// Sets the name in ec2Query requests.
    pub const fn query(mut self, name: &'static str) -> Self {
        self.query_name = Some(name);
        self
    }

    /// Sets where the member travels.
    pub const fn at(mut self, location: Location) -> Self {
        self.location = location;
        self
    }

    /// Sets the XML namespace.
    pub const fn namespace(mut self, uri: &'static str, prefix: &'static str) -> Self {
        self.xml_namespace = Some(Namespace { uri, prefix });
        self
    }

    /// Sets the timestamp format.
    pub const fn format(mut self, format: TimestampFormat) -> Self {
        self.timestamp = Some(format);
        self
    }

    const fn flag(mut self, flag: u16) -> Self {
        self.flags |= flag;
        self
    }

    /// The member must be present.
    pub const fn required(self) -> Self {
        self.flag(FLAG_REQUIRED)
    }

    /// The list or map has no element of its own around its entries.
    pub const fn flattened(self) -> Self {
        self.flag(FLAG_FLATTENED)
    }

    /// The value is an XML attribute.
    pub const fn xml_attribute(self) -> Self {
        self.flag(FLAG_XML_ATTRIBUTE)
    }

    /// Clients fill it with a fresh token when it is left out.
    pub const fn idempotency_token(self) -> Self {
        self.flag(FLAG_IDEMPOTENCY_TOKEN)
    }

    /// The text holds JSON; in a header it is Base64 of it.
    pub const fn json_value(self) -> Self {
        self.flag(FLAG_JSON_VALUE)
    }

    /// The value is part of the host name.
    pub const fn host_label(self) -> Self {
        self.flag(FLAG_HOST_LABEL)
    }

    /// The payload is never gathered.
    pub const fn streaming(self) -> Self {
        self.flag(FLAG_STREAMING)
    }

    /// The member is the payload of an event.
    pub const fn event_payload(self) -> Self {
        self.flag(FLAG_EVENT_PAYLOAD)
    }

    /// Whether the member must be present.
    pub const fn is_required(&self) -> bool {
        self.flags & FLAG_REQUIRED != 0
    }

    /// Whether the list or map has no element of its own, by the member or by its shape.
    pub const fn is_flattened(&self) -> bool {
        self.flags & FLAG_FLATTENED != 0
            || match &self.shape.kind {
                Kind::List(list) => list.flattened,
                Kind::Map(map) => map.flattened,
                _ => false,
            }
    }

    /// Whether the value is an XML attribute.
    pub const fn is_xml_attribute(&self) -> bool {
        self.flags & FLAG_XML_ATTRIBUTE != 0
    }

    /// Whether clients fill it with a fresh token when it is left out.
    pub const fn is_idempotency_token(&self) -> bool {
        self.flags & FLAG_IDEMPOTENCY_TOKEN != 0
    }

    /// Whether the text holds JSON.
    pub const fn is_json_value(&self) -> bool {
        self.flags & FLAG_JSON_VALUE != 0
    }

    /// Whether the payload is never gathered.
    pub const fn is_streaming(&self) -> bool {
        self.flags & FLAG_STREAMING != 0
            || matches!(&self.shape.kind, Kind::Blob(BlobShape { streaming: true, .. }))
    }

    /// The name on the wire.
    pub const fn wire_or_name(&self) -> &'static str {
        match self.wire_name {
            Some(name) => name,
            None => self.name,
        }
    }

    /// The timestamp format, `fallback` being the protocol's own for this place.
    pub const fn timestamp_format(&self, fallback: TimestampFormat) -> TimestampFormat {
        match (self.timestamp, &self.shape.kind) {
            (Some(format), _) => format,
            (None, Kind::Timestamp(Some(format))) => *format,
            _ => fallback,
        }
    }
}

impl Shape {
    const fn of(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, sensitive: false }
    }

    /// A structure.
    pub const fn structure(name: &'static str, members: &'static [Member]) -> Self {
        Self::of(
            name,
            Kind::Structure(StructureShape {
                members,
                union: false,
                payload: None,
                error: None,
                wire_name: None,
                xml_namespace: None,
                event_stream: false,
            }),
        )
    }

    /// A list.
    pub const fn list(name: &'static str, element: Member) -> Self {
        Self::of(
            name,
            Kind::List(ListShape {
                element,
                min: None,
                max: None,
                sparse: false,
                flattened: false,
            }),
        )
    }

    /// A map.
    pub const fn map(name: &'static str, key: Member, value: Member) -> Self {
        Self::of(
            name,
            Kind::Map(MapShape {
                key,
                value,
                min: None,
                max: None,
                sparse: false,
                flattened: false,
            }),
        )
    }

    /// Free text.
    pub const fn string(name: &'static str) -> Self {
        Self::of(
            name,
            Kind::String(StringShape { min: None, max: None, pattern: None, values: &[] }),
        )
    }

    /// A 32-bit whole number.
    pub const fn integer(name: &'static str) -> Self {
        Self::of(name, Kind::Integer(IntegerShape { bits: 32, min: None, max: None }))
    }

    /// A 64-bit whole number.
    pub const fn long(name: &'static str) -> Self {
        Self::of(name, Kind::Integer(IntegerShape { bits: 64, min: None, max: None }))
    }

    /// A 32-bit float.
    pub const fn float(name: &'static str) -> Self {
        Self::of(name, Kind::Float(FloatShape { bits: 32, min: None, max: None }))
    }

    /// A 64-bit float.
    pub const fn double(name: &'static str) -> Self {
        Self::of(name, Kind::Float(FloatShape { bits: 64, min: None, max: None }))
    }

    /// A boolean.
    pub const fn boolean(name: &'static str) -> Self {
        Self::of(name, Kind::Boolean)
    }

    /// Bytes.
    pub const fn blob(name: &'static str) -> Self {
        Self::of(name, Kind::Blob(BlobShape { min: None, max: None, streaming: false }))
    }

    /// A timestamp.
    pub const fn timestamp(name: &'static str) -> Self {
        Self::of(name, Kind::Timestamp(None))
    }

    /// Free-form JSON.
    pub const fn document(name: &'static str) -> Self {
        Self::of(name, Kind::Document)
    }

    /// Values never reach a log, an error message or an audit event.
    pub const fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Smallest length.
    pub const fn min(mut self, n: u64) -> Self {
        match &mut self.kind {
            Kind::String(s) => s.min = Some(n),
            Kind::List(s) => s.min = Some(n),
            Kind::Map(s) => s.min = Some(n),
            Kind::Blob(s) => s.min = Some(n),
            _ => {}
        }
        self
    }

    /// Largest length.
    pub const fn max(mut self, n: u64) -> Self {
        match &mut self.kind {
            Kind::String(s) => s.max = Some(n),
            Kind::List(s) => s.max = Some(n),
            Kind::Map(s) => s.max = Some(n),
            Kind::Blob(s) => s.max = Some(n),
            _ => {}
        }
        self
    }

    /// Smallest whole number.
    pub const fn at_least(mut self, n: i64) -> Self {
        if let Kind::Integer(s) = &mut self.kind {
            s.min = Some(n);
        }
        self
    }

    /// Largest whole number.
    pub const fn at_most(mut self, n: i64) -> Self {
        if let Kind::Integer(s) = &mut self.kind {
            s.max = Some(n);
        }
        self
    }

    /// Smallest and largest float.
    pub const fn between(mut self, low: Option<f64>, high: Option<f64>) -> Self {
        if let Kind::Float(s) = &mut self.kind {
            s.min = low;
            s.max = high;
        }
        self
    }

    /// The pattern, as the model prints it and as `regex` reads it.
    pub const fn pattern(mut self, source: &'static str, regex: Option<&'static str>) -> Self {
        if let Kind::String(s) = &mut self.kind {
            s.pattern = Some(Pattern { source, regex });
        }
        self
    }

    /// The values of an enumeration.
    pub const fn values(mut self, values: &'static [&'static str]) -> Self {
        if let Kind::String(s) = &mut self.kind {
            s.values = values;
        }
        self
    }

    /// The timestamp format that the shape asks for.
    pub const fn format(mut self, format: TimestampFormat) -> Self {
        if let Kind::Timestamp(f) = &mut self.kind {
            *f = Some(format);
        }
        self
    }

    /// The structure is a union.
    pub const fn union(mut self) -> Self {
        if let Kind::Structure(s) = &mut self.kind {
            s.union = true;
        }
        self
    }

    /// The member at `index` is the whole HTTP body.
    pub const fn payload(mut self, index: usize) -> Self {
        if let Kind::Structure(s) = &mut self.kind {
            s.payload = Some(index);
        }
        self
    }

    /// The structure is an error.
    pub const fn error(mut self, code: &'static str, status: u16, sender: bool) -> Self {
        if let Kind::Structure(s) = &mut self.kind {
            s.error = Some(ErrorShape { code, status, sender });
        }
        self
    }

    /// The XML element name of the structure.
    pub const fn wire(mut self, name: &'static str) -> Self {
        if let Kind::Structure(s) = &mut self.kind {
            s.wire_name = Some(name);
        }
        self
    }

    /// The XML namespace of the structure.
    pub const fn namespace(mut self, uri: &'static str, prefix: &'static str) -> Self {
        if let Kind::Structure(s) = &mut self.kind {
            s.xml_namespace = Some(Namespace { uri, prefix });
        }
        self
    }

    /// The structure is an event stream.
    pub const fn event_stream(mut self) -> Self {
        if let Kind::Structure(s) = &mut self.kind {
            s.event_stream = true;
        }
        self
    }

    /// The bytes are never gathered.
    pub const fn streaming(mut self) -> Self {
        if let Kind::Blob(s) = &mut self.kind {
            s.streaming = true;
        }
        self
    }

    /// Null elements or values are kept.
    pub const fn sparse(mut self) -> Self {
        match &mut self.kind {
            Kind::List(s) => s.sparse = true,
            Kind::Map(s) => s.sparse = true,
            _ => {}
        }
        self
    }

    /// The list or map is flattened wherever it is used.
    pub const fn flattened(mut self) -> Self {
        match &mut self.kind {
            Kind::List(s) => s.flattened = true,
            Kind::Map(s) => s.flattened = true,
            _ => {}
        }
        self
    }

    /// The structure's table; `None` for other kinds.
    pub const fn as_structure(&self) -> Option<&StructureShape> {
        match &self.kind {
            Kind::Structure(s) => Some(s),
            _ => None,
        }
    }
}

impl StructureShape {
    /// The index of the member with this wire name. `hint` is where the search starts: writers
    /// keep the model's order, so the next index is right nearly always.
    pub fn index_of(&self, wire_name: &str, hint: usize) -> Option<usize> {
        if self.members.get(hint).is_some_and(|m| m.wire_or_name() == wire_name) {
            return Some(hint);
        }
        self.members.iter().position(|m| m.wire_or_name() == wire_name)
    }
}

/// Shapes that every service shares.
pub mod prelude {
    use super::Shape;

    /// A structure without members: the input or output of an operation that has none.
    pub static EMPTY: Shape = Shape::structure("Empty", &[]);
}
