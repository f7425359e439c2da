//! Answers compared as they are written: status, headers, and bodies by structure.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use ringfence_wire::protocol::Reply;
use ringfence_wire::{Operation, Protocol, shape::Kind};
use roxmltree::Node;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// What JSON and CBOR have in common, so that one comparison and one reader serve both.
#[derive(Debug, Clone)]
pub enum Tree {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
    Tag(u64, Box<Tree>),
}

impl PartialEq for Tree {
    /// Numbers are equal by value, however they are written; so are NaNs.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Integer(a), Self::Float(b)) | (Self::Float(b), Self::Integer(a)) => {
                *a as f64 == *b
            }
            (Self::Float(a), Self::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Tag(a, x), Self::Tag(b, y)) => a == b && x == y,
            _ => false,
        }
    }
}

impl From<Json> for Tree {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Boolean(value),
            Json::Number(number) => match number.as_i128() {
                Some(value) => Self::Integer(value),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(value) => Self::Text(value),
            Json::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Json::Object(entries) => {
                Self::Map(entries.into_iter().map(|(key, value)| (key, value.into())).collect())
            }
        }
    }
}

impl Tree {
    /// A body of the protocol; an empty one is an empty map.
    pub fn parse(protocol: Protocol, body: &[u8]) -> Result<Self, String> {
        if body.is_empty() {
            return Ok(Self::Map(BTreeMap::new()));
        }
        if protocol == Protocol::RpcV2Cbor {
            let mut decoder = Decoder::new(body);
            let tree = cbor(&mut decoder).map_err(|error| error.to_string())?;
            return match decoder.position() == body.len() {
                true => Ok(tree),
                false => Err("bytes are left over".into()),
            };
        }
        serde_json::from_slice::<Json>(body).map(Self::from).map_err(|error| error.to_string())
    }

    /// Free-form JSON, as a document holds it.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Boolean(value) => Json::from(*value),
            Self::Integer(value) => Json::from(*value as i64),
            Self::Float(value) => Json::from(*value),
            Self::Text(value) => Json::from(value.as_str()),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(entries) => Json::Object(
                entries.iter().map(|(key, value)| (key.clone(), value.to_json())).collect(),
            ),
            Self::Bytes(_) | Self::Tag(..) => panic!("{self:?} cannot stand in a document"),
        }
    }
}

fn cbor(decoder: &mut Decoder<'_>) -> Result<Tree, Error> {
    Ok(match decoder.datatype()? {
        Type::Null | Type::Undefined => {
            decoder.skip()?;
            Tree::Null
        }
        Type::Bool => Tree::Boolean(decoder.bool()?),
        Type::F16 | Type::F32 | Type::F64 => Tree::Float(decoder.f64()?),
        Type::String | Type::StringIndef => {
            Tree::Text(decoder.str_iter()?.collect::<Result<String, _>>()?)
        }
        Type::Bytes | Type::BytesIndef => {
            Tree::Bytes(decoder.bytes_iter()?.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Type::Array | Type::ArrayIndef => {
            let length = decoder.array()?;
            let mut items = Vec::new();
            while another(decoder, length, items.len())? {
                items.push(cbor(decoder)?);
            }
            Tree::List(items)
        }
        Type::Map | Type::MapIndef => {
            let length = decoder.map()?;
            let mut entries = BTreeMap::new();
            while another(decoder, length, entries.len())? {
                let key = decoder.str_iter()?.collect::<Result<String, _>>()?;
                entries.insert(key, cbor(decoder)?);
            }
            Tree::Map(entries)
        }
        Type::Tag => Tree::Tag(decoder.tag()?.as_u64(), Box::new(cbor(decoder)?)),
        _ => Tree::Integer(decoder.int()?.into()),
    })
}

fn another(decoder: &mut Decoder<'_>, length: Option<u64>, read: usize) -> Result<bool, Error> {
    match length {
        Some(length) => Ok((read as u64) < length),
        None if decoder.datatype()? == Type::Break => decoder.skip().map(|()| false),
        None => Ok(true),
    }
}

/// Says in what a reply differs from the one that a case expects. Headers beyond the expected ones,
/// the order of members and white space between elements are no difference, nor is the request's
/// id, which the cases write in some bodies and leave out of others.
pub fn difference(
    protocol: Protocol,
    operation: &Operation,
    expected: &Json,
    reply: &Reply,
    body: &[u8],
) -> Result<(), String> {
    let status = expected["status_code"].as_u64();
    if status != Some(u64::from(reply.status)) {
        return Err(format!("status is {}", reply.status));
    }
    for (name, value) in expected["headers"].as_object().into_iter().flatten() {
        let name = name.to_ascii_lowercase();
        let found = match name.as_str() {
            "content-length" => Some(body.len().to_string()),
            _ => reply.headers.get(&name).map(|value| value.to_str().unwrap().to_owned()),
        };
        if found.as_deref() != value.as_str() {
            return Err(format!("`{name}` is {found:?}, expected {value}"));
        }
    }
    let Some(text) = expected["body"].as_str() else { return Ok(()) };
    let raw = operation.output.shape.as_structure().is_some_and(|shape| {
        shape
            .payload
            .and_then(|index| shape.members.get(index))
            .is_some_and(|member| matches!(member.shape.kind, Kind::Blob(_) | Kind::String(_)))
    });
    let same = match protocol {
        _ if raw || text.is_empty() || body.is_empty() => text.as_bytes() == body,
        Protocol::AwsQuery | Protocol::Ec2Query | Protocol::RestXml => {
            let ours = std::str::from_utf8(body).map_err(|error| error.to_string())?;
            let ours = roxmltree::Document::parse(ours).map_err(|error| error.to_string())?;
            let expected = roxmltree::Document::parse(text).map_err(|error| error.to_string())?;
            canonical(expected.root_element(), true) == canonical(ours.root_element(), true)
        }
        Protocol::RpcV2Cbor => {
            Tree::parse(protocol, &decode(text))? == Tree::parse(protocol, body)?
        }
        _ => Tree::parse(protocol, text.as_bytes())? == Tree::parse(protocol, body)?,
    };
    match same {
        true => Ok(()),
        false => Err(format!("the body is {}", String::from_utf8_lossy(body))),
    }
}

/// The bytes of a CBOR body, which the cases write in Base64.
pub fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).expect("a CBOR body is Base64")
}

/// Where the envelopes of replies carry the request's id.
const REQUEST_ID: [&str; 4] = ["ResponseMetadata", "RequestId", "RequestID", "requestId"];

/// An element as text in which neither order nor white space between elements matters. The order of
/// a list is left to the client that reads the answer.
fn canonical(node: Node<'_, '_>, root: bool) -> String {
    let mut children: Vec<String> = node
        .children()
        .filter(|child| child.is_element())
        .filter(|child| !(root && REQUEST_ID.contains(&child.tag_name().name())))
        .map(|child| canonical(child, false))
        .collect();
    children.sort();
    let elements = node.children().any(|child| child.is_element());
    let text = if elements { String::new() } else { super::client::content(node) };
    let attributes: BTreeMap<_, _> = node.attributes().map(|a| (a.name(), a.value())).collect();
    let prefixes: BTreeMap<_, _> =
        node.namespaces().filter_map(|ns| Some((ns.name()?, ns.uri()))).collect();
    format!("{:?} {attributes:?} {prefixes:?} {text:?} {children:?}", node.tag_name())
}
