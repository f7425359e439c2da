//! A client that reads answers as botocore does: the judge of answers that say the same as a case
//! in other bytes.

use super::answer::Tree;
use super::dynamic::{float_to_json, timestamp_to_json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_wire::protocol::Reply;
use ringfence_wire::shape::{Kind, Location, Member, Shape, TimestampFormat};
use ringfence_wire::{Operation, Protocol, Timestamp};
use roxmltree::Node;
use serde_json::{Map, Value as Json, json};

/// What a client makes of a reply.
#[derive(Debug)]
pub struct Answer {
    /// The members of the output, or of the error, in the notation of the cases.
    pub members: Json,
    /// The code and message of an error.
    pub error: Option<(String, Option<String>)>,
}

/// Reads a reply.
pub fn read(
    protocol: Protocol,
    operation: &'static Operation,
    reply: &Reply,
    body: &[u8],
) -> Result<Answer, String> {
    if reply.status < 300 {
        let members = match protocol {
            Protocol::RestJson1 | Protocol::RestXml => rest(protocol, operation, reply, body)?,
            Protocol::AwsQuery | Protocol::Ec2Query => with_root(body, |root| {
                let inner = operation.result_wrapper.and_then(|name| child(root, name));
                xml_structure(operation.output.shape, inner.unwrap_or(root))
            })?,
            _ => structure(operation.output.shape, &Tree::parse(protocol, body)?)?,
        };
        return Ok(Answer { members: Json::Object(members), error: None });
    }
    let shape = operation.errors.first().copied().ok_or("an error that no model lists")?;
    let (code, message, mut members) = match protocol {
        Protocol::AwsQuery | Protocol::Ec2Query | Protocol::RestXml => with_root(body, |root| {
            let outer = child(root, "Errors").unwrap_or(root);
            let error = child(outer, "Error").ok_or("no element `Error`")?;
            let code = child(error, "Code").map(content).ok_or("no element `Code`")?;
            let message = child(error, "Message").map(content);
            Ok((code, message, xml_structure(shape, error)?))
        })?,
        _ => {
            let tree = Tree::parse(protocol, body)?;
            let Tree::Map(entries) = &tree else { return Err("an error is no map".into()) };
            let text = |name: &str| match entries.get(name) {
                Some(Tree::Text(text)) => Some(text.clone()),
                _ => None,
            };
            let named = header(reply, "x-amzn-errortype").map(str::to_owned);
            let named = text("__type").or(named).or_else(|| text("code"));
            let name = named.ok_or("an error without a name")?;
            let name = name.rsplit('#').next().unwrap_or_default();
            let name = name.split(':').next().unwrap_or_default().to_owned();
            let code = header(reply, "x-amzn-query-error").and_then(|text| text.split(';').next());
            let message = text("message").or_else(|| text("Message"));
            (code.map_or(name, str::to_owned), message, structure(shape, &tree)?)
        }
    };
    if matches!(protocol, Protocol::RestJson1 | Protocol::RestXml) {
        bound(shape, reply, &mut members)?;
    }
    Ok(Answer { members: Json::Object(members), error: Some((code, message)) })
}

type Members = Map<String, Json>;

fn table(shape: &'static Shape) -> &'static [Member] {
    shape.as_structure().map_or(&[], |structure| structure.members)
}

fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply.headers.get(name).map(|value| value.to_str().unwrap())
}

fn rest(
    protocol: Protocol,
    operation: &'static Operation,
    reply: &Reply,
    body: &[u8],
) -> Result<Members, String> {
    let shape = operation.output.shape;
    let mut members = Members::new();
    let payload = shape.as_structure().and_then(|structure| structure.payload);
    if let Some(member) = payload.and_then(|index| table(shape).get(index)) {
        let value = match &member.shape.kind {
            _ if body.is_empty() => Json::Null,
            Kind::Blob(_) | Kind::String(_) => json!(String::from_utf8_lossy(body)),
            _ if protocol == Protocol::RestXml => with_root(body, |root| xml(member, &[root]))?,
            _ => value(member.shape, &Tree::parse(protocol, body)?)?,
        };
        members.insert(member.name.to_owned(), value);
    } else if protocol == Protocol::RestJson1 {
        members = structure(shape, &Tree::parse(protocol, body)?)?;
    } else if !body.is_empty() {
        members = with_root(body, |root| xml_structure(shape, root))?;
    }
    bound(shape, reply, &mut members)?;
    Ok(members)
}

/// Reads the members that travel outside the body.
fn bound(shape: &'static Shape, reply: &Reply, members: &mut Members) -> Result<(), String> {
    for member in table(shape) {
        let name = member.wire_or_name();
        let value = match member.location {
            Location::Header => match header(reply, name) {
                Some(text) => header_value(member, text)?,
                None => continue,
            },
            Location::Headers => {
                let prefix = name.to_ascii_lowercase();
                // With an empty prefix a client takes every header, those of the protocol too.
                let protocols = |name: &str| ["content-type", "x-amzn-requestid"].contains(&name);
                let with_prefix = reply.headers.iter().filter(|(n, _)| !protocols(n.as_str()));
                let with_prefix = with_prefix.filter_map(|(name, value)| {
                    let value = json!(value.to_str().unwrap());
                    Some((name.as_str().strip_prefix(&prefix)?.to_owned(), value))
                });
                Json::Object(with_prefix.collect())
            }
            Location::StatusCode => json!(reply.status),
            _ => continue,
        };
        members.insert(member.name.to_owned(), value);
    }
    Ok(())
}

fn header_value(member: &'static Member, header: &str) -> Result<Json, String> {
    let Kind::List(list) = &member.shape.kind else {
        let decoded = match member.is_json_value() {
            true => STANDARD.decode(header).map_err(|error| error.to_string())?,
            false => return text(member.shape, header),
        };
        return Ok(json!(String::from_utf8_lossy(&decoded)));
    };
    let dates = matches!(list.element.shape.kind, Kind::Timestamp(_))
        && list.element.timestamp_format(TimestampFormat::HttpDate) == TimestampFormat::HttpDate;
    let mut items = vec![String::new()];
    let (mut quoted, mut escaped, mut commas) = (false, false, 0);
    for c in header.chars() {
        let last = items.len() - 1;
        match c {
            _ if escaped => {
                escaped = false;
                items[last].push(c);
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                commas += 1;
                match dates && commas % 2 == 1 {
                    true => items[last].push(c),
                    false => items.push(String::new()),
                }
            }
            c => items[last].push(c),
        }
    }
    items.iter().map(|item| text(list.element.shape, item.trim())).collect()
}

/// A value that is written as text.
fn text(shape: &'static Shape, text: &str) -> Result<Json, String> {
    let trimmed = text.trim();
    let wrong = |what: &str| format!("`{text}` is no {what}");
    Ok(match &shape.kind {
        Kind::Integer(_) => json!(trimmed.parse::<i64>().map_err(|_| wrong("whole number"))?),
        Kind::Float(_) => float_to_json(trimmed.parse().map_err(|_| wrong("float"))?),
        Kind::Boolean => json!(trimmed.parse::<bool>().map_err(|_| wrong("boolean"))?),
        Kind::Timestamp(_) => {
            timestamp_to_json(Timestamp::parse_any(trimmed).ok_or_else(|| wrong("date"))?)
        }
        Kind::Blob(_) => {
            json!(String::from_utf8_lossy(&STANDARD.decode(trimmed).map_err(|_| wrong("Base64"))?))
        }
        _ => json!(text),
    })
}

fn structure(shape: &'static Shape, tree: &Tree) -> Result<Members, String> {
    let Tree::Map(entries) = tree else { return Err(format!("{tree:?} is no structure")) };
    let mut members = Members::new();
    for member in table(shape) {
        match entries.get(member.wire_or_name()) {
            None | Some(Tree::Null) => {}
            Some(tree) => {
                members.insert(member.name.to_owned(), value(member.shape, tree)?);
            }
        }
    }
    Ok(members)
}

fn value(shape: &'static Shape, tree: &Tree) -> Result<Json, String> {
    Ok(match (&shape.kind, tree) {
        (Kind::Document, tree) => tree.to_json(),
        (Kind::Structure(_), tree) => Json::Object(structure(shape, tree)?),
        (Kind::List(list), Tree::List(items)) => {
            let kept = items.iter().filter(|item| list.sparse || **item != Tree::Null);
            kept.map(|item| value(list.element.shape, item)).collect::<Result<_, _>>()?
        }
        (Kind::Map(map), Tree::Map(entries)) => {
            let kept = entries.iter().filter(|(_, entry)| map.sparse || **entry != Tree::Null);
            let read = kept.map(|(key, entry)| Ok((key.clone(), value(map.value.shape, entry)?)));
            Json::Object(read.collect::<Result<_, String>>()?)
        }
        (_, Tree::Null) => Json::Null,
        (Kind::Boolean, Tree::Boolean(value)) => json!(value),
        (Kind::Integer(_), Tree::Integer(value)) => json!(*value as i64),
        (Kind::Float(_) | Kind::Timestamp(_), Tree::Integer(value)) => json!(*value as i64),
        (Kind::Float(_) | Kind::Timestamp(_), Tree::Float(value)) => float_to_json(*value),
        (Kind::Timestamp(_), Tree::Tag(1, inner)) => value(shape, inner)?,
        (Kind::Blob(_), Tree::Bytes(bytes)) => json!(String::from_utf8_lossy(bytes)),
        (Kind::Integer(_) | Kind::Boolean, Tree::Text(_)) => {
            return Err(format!("{tree:?} is no {}", shape.name));
        }
        (_, Tree::Text(value)) => text(shape, value)?,
        _ => return Err(format!("{tree:?} is no {}", shape.name)),
    })
}

fn with_root<T>(
    body: &[u8],
    read: impl FnOnce(Node<'_, '_>) -> Result<T, String>,
) -> Result<T, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let document = roxmltree::Document::parse(text).map_err(|error| error.to_string())?;
    read(document.root_element())
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.is_element() && child.tag_name().name() == name)
}

fn named<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Vec<Node<'a, 'i>> {
    node.children().filter(|child| child.is_element() && child.tag_name().name() == name).collect()
}

/// The text of an element.
pub fn content(node: Node<'_, '_>) -> String {
    node.children().filter(Node::is_text).filter_map(|node| node.text()).collect()
}

fn xml_structure(shape: &'static Shape, node: Node<'_, '_>) -> Result<Members, String> {
    let mut members = Members::new();
    for member in table(shape) {
        let name = member.wire_or_name();
        let local = name.rsplit(':').next().unwrap_or(name);
        let value = if member.is_xml_attribute() {
            node.attributes()
                .find(|attribute| attribute.name() == local)
                .map(|attribute| text(member.shape, attribute.value()))
        } else {
            let element = match &member.shape.kind {
                Kind::List(list) if list.flattened && member.wire_name.is_none() => {
                    list.element.wire_name
                }
                _ => None,
            };
            let nodes = named(node, element.unwrap_or(name));
            (!nodes.is_empty()).then(|| xml(member, &nodes))
        };
        if let Some(value) = value {
            members.insert(member.name.to_owned(), value?);
        }
    }
    Ok(members)
}

fn xml(member: &'static Member, nodes: &[Node<'_, '_>]) -> Result<Json, String> {
    let Some(&node) = nodes.first() else { return Ok(Json::Null) };
    Ok(match &member.shape.kind {
        Kind::Structure(_) => Json::Object(xml_structure(member.shape, node)?),
        Kind::List(list) => {
            let items = match member.is_flattened() {
                true => nodes.to_vec(),
                false => named(node, list.element.wire_name.unwrap_or("member")),
            };
            items.iter().map(|item| xml(&list.element, &[*item])).collect::<Result<_, _>>()?
        }
        Kind::Map(map) => {
            let entries = match member.is_flattened() {
                true => nodes.to_vec(),
                false => named(node, "entry"),
            };
            let read = |entry: &Node<'_, '_>| {
                let part = |member: &Member| child(*entry, member.wire_or_name());
                let key = part(&map.key).ok_or("an entry has no key")?;
                let value = part(&map.value).ok_or("an entry has no value")?;
                Ok((content(key), xml(&map.value, &[value])?))
            };
            Json::Object(entries.iter().map(read).collect::<Result<_, String>>()?)
        }
        _ => text(member.shape, &content(node))?,
    })
}
