//! Values whose types are known at run time only, for models that no generator has seen.

use bytes::Bytes;
use ringfence_wire::constraint::At;
use ringfence_wire::shape::{Kind, Member, Shape};
use ringfence_wire::value::{Document, Map, ReadError, Reader, Writer};
use ringfence_wire::{Structure, Timestamp, Value};
use serde_json::{Value as Json, json};

/// A member that may be absent.
#[derive(Debug, Default)]
pub struct Dyn(Option<Held>);

#[derive(Debug)]
enum Held {
    Structure(Fields),
    List(Vec<Dyn>),
    Map(Map<Dyn>),
    Text(String),
    Integer(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Boolean(bool),
    Blob(Bytes),
    Timestamp(Timestamp),
    Document(Document),
}

/// A structure of any shape.
#[derive(Debug)]
pub struct Fields {
    shape: &'static Shape,
    members: Vec<Dyn>,
}

impl Fields {
    /// Every member absent.
    pub fn new(shape: &'static Shape) -> Self {
        let count = shape.as_structure().map_or(0, |structure| structure.members.len());
        Self { shape, members: std::iter::repeat_with(Dyn::default).take(count).collect() }
    }

    /// The members that a case names.
    pub fn from_json(shape: &'static Shape, json: &Json) -> Self {
        let mut out = Self::new(shape);
        let table = shape.as_structure().expect("a structure's shape");
        for (name, value) in json.as_object().expect("a structure is an object") {
            let index = table.members.iter().position(|member| member.name == name);
            let index = index.unwrap_or_else(|| panic!("`{}` has no `{name}`", shape.name));
            out.members[index] = Dyn::from_json(table.members[index].shape, value);
        }
        out
    }

    /// The members in the notation of the cases.
    pub fn to_json(&self) -> Json {
        let table = self.shape.as_structure().map_or(&[][..], |structure| structure.members);
        let present = table.iter().zip(&self.members).filter(|(_, value)| !value.is_absent());
        Json::Object(
            present.map(|(member, value)| (member.name.to_owned(), value.to_json())).collect(),
        )
    }
}

impl Structure for Fields {
    fn shape(&self) -> &'static Shape {
        self.shape
    }

    fn member(&self, index: usize) -> Option<&dyn Value> {
        self.members.get(index).map(|value| value as &dyn Value)
    }

    fn member_mut(&mut self, index: usize) -> Option<&mut dyn Value> {
        self.members.get_mut(index).map(|value| value as &mut dyn Value)
    }

    fn select(&mut self, index: usize) {
        for (other, value) in self.members.iter_mut().enumerate() {
            if other != index {
                value.0 = None;
            }
        }
    }
}

impl Held {
    fn new(shape: &'static Shape) -> Self {
        match &shape.kind {
            Kind::Structure(_) => Self::Structure(Fields::new(shape)),
            Kind::List(_) => Self::List(Vec::new()),
            Kind::Map(_) => Self::Map(Map::new()),
            Kind::String(_) => Self::Text(String::new()),
            Kind::Integer(integer) if integer.bits == 32 => Self::Integer(0),
            Kind::Integer(_) => Self::Long(0),
            Kind::Float(float) if float.bits == 32 => Self::Float(0.0),
            Kind::Float(_) => Self::Double(0.0),
            Kind::Boolean => Self::Boolean(false),
            Kind::Blob(_) => Self::Blob(Bytes::new()),
            Kind::Timestamp(_) => Self::Timestamp(Timestamp::default()),
            Kind::Document => Self::Document(Document::Null),
        }
    }

    fn value(&self) -> &dyn Value {
        match self {
            Self::Structure(value) => value,
            Self::List(value) => value,
            Self::Map(value) => value,
            Self::Text(value) => value,
            Self::Integer(value) => value,
            Self::Long(value) => value,
            Self::Float(value) => value,
            Self::Double(value) => value,
            Self::Boolean(value) => value,
            Self::Blob(value) => value,
            Self::Timestamp(value) => value,
            Self::Document(value) => value,
        }
    }

    fn value_mut(&mut self) -> &mut dyn Value {
        match self {
            Self::Structure(value) => value,
            Self::List(value) => value,
            Self::Map(value) => value,
            Self::Text(value) => value,
            Self::Integer(value) => value,
            Self::Long(value) => value,
            Self::Float(value) => value,
            Self::Double(value) => value,
            Self::Boolean(value) => value,
            Self::Blob(value) => value,
            Self::Timestamp(value) => value,
            Self::Document(value) => value,
        }
    }
}

impl Value for Dyn {
    fn read(
        &mut self,
        reader: &mut dyn Reader,
        member: &'static Member,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        self.0.insert(Held::new(member.shape)).value_mut().read(reader, member, at)
    }

    fn write(&self, writer: &mut dyn Writer, member: &'static Member) {
        match &self.0 {
            Some(held) => held.value().write(writer, member),
            None => writer.null(member),
        }
    }

    fn is_absent(&self) -> bool {
        self.0.is_none()
    }
}

/// A float that the cases write as a number, or as the name of what no number is.
fn float(json: &Json) -> f64 {
    match json.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        _ => json.as_f64().unwrap_or_else(|| panic!("{json} is no float")),
    }
}

/// A float in the notation of the cases.
pub fn float_to_json(value: f64) -> Json {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}

/// A point in time in the notation of the cases: seconds.
pub fn timestamp_to_json(value: Timestamp) -> Json {
    if value.nanos == 0 { json!(value.seconds) } else { json!(value.epoch()) }
}

impl Dyn {
    fn from_json(shape: &'static Shape, json: &Json) -> Self {
        if json.is_null() && !matches!(shape.kind, Kind::Document) {
            return Self(None);
        }
        let text = || json.as_str().unwrap_or_else(|| panic!("{json} is no text")).to_owned();
        let integer = || json.as_i64().unwrap_or_else(|| panic!("{json} is no whole number"));
        Self(Some(match &shape.kind {
            Kind::Structure(_) => Held::Structure(Fields::from_json(shape, json)),
            Kind::List(list) => {
                let items = json.as_array().expect("a list is an array");
                let element = list.element.shape;
                Held::List(items.iter().map(|item| Self::from_json(element, item)).collect())
            }
            Kind::Map(map) => {
                let entries = json.as_object().expect("a map is an object");
                let value = |json| Self::from_json(map.value.shape, json);
                Held::Map(entries.iter().map(|(key, json)| (key.clone(), value(json))).collect())
            }
            Kind::String(_) => Held::Text(text()),
            Kind::Integer(shape) if shape.bits == 32 => {
                Held::Integer(integer().try_into().expect("32 bits"))
            }
            Kind::Integer(_) => Held::Long(integer()),
            Kind::Float(shape) if shape.bits == 32 => Held::Float(float(json) as f32),
            Kind::Float(_) => Held::Double(float(json)),
            Kind::Boolean => Held::Boolean(json.as_bool().expect("a boolean")),
            Kind::Blob(_) => Held::Blob(text().into()),
            Kind::Timestamp(_) => {
                Held::Timestamp(Timestamp::from_epoch(float(json)).expect("a date"))
            }
            Kind::Document => Held::Document(json.clone()),
        }))
    }

    fn to_json(&self) -> Json {
        match &self.0 {
            None => Json::Null,
            Some(Held::Structure(value)) => value.to_json(),
            Some(Held::List(items)) => items.iter().map(Self::to_json).collect(),
            Some(Held::Map(entries)) => Json::Object(
                entries.iter().map(|(key, value)| (key.clone(), value.to_json())).collect(),
            ),
            Some(Held::Text(value)) => json!(value),
            Some(Held::Integer(value)) => json!(value),
            Some(Held::Long(value)) => json!(value),
            // Through its shortest text, so that 0.1f32 is 0.1.
            Some(Held::Float(value)) => float_to_json(value.to_string().parse().expect("a float")),
            Some(Held::Double(value)) => float_to_json(*value),
            Some(Held::Boolean(value)) => json!(value),
            Some(Held::Blob(value)) => json!(String::from_utf8_lossy(value)),
            Some(Held::Timestamp(value)) => timestamp_to_json(*value),
            Some(Held::Document(value)) => value.clone(),
        }
    }
}
