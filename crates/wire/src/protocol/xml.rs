//! XML: bodies of restXml, and the results of awsQuery and ec2Query.

use super::text::{self, Place, TextWriter};
use super::{DEEPEST, too_deep};
use crate::constraint::At;
use crate::shape::{Kind, Member, Namespace, StructureShape, TimestampFormat};
use crate::timestamp::Timestamp;
use crate::value::{
    Document, Entries, Items, ReadError, Reader, Seen, Structure, Value, Writer, read_element,
    read_entry, read_member,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use roxmltree::Node;

/// Parses a body and hands its root element on. The parser takes any depth without recursion; the
/// reader says how deep it follows.
pub(crate) fn with_root<T>(
    body: &[u8],
    read: impl FnOnce(Node<'_, '_>) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let invalid = || ReadError::new("the body is not valid XML");
    let text = std::str::from_utf8(body).map_err(|_| invalid())?;
    let tree = roxmltree::Document::parse(text).map_err(|_| invalid())?;
    read(tree.root_element())
}

/// Reads one value: an element, or for flattened lists and maps all elements of one name.
pub(crate) struct XmlReader<'n, 'a, 'i> {
    pub nodes: &'n [Node<'a, 'i>],
    pub depth: usize,
}

impl<'a, 'i> XmlReader<'_, 'a, 'i> {
    fn node(&self) -> Result<Node<'a, 'i>, ReadError> {
        self.nodes.first().copied().ok_or_else(|| ReadError::new("expected an element"))
    }

    fn text(&self) -> Result<String, ReadError> {
        Ok(self.node()?.children().filter(Node::is_text).filter_map(|n| n.text()).collect())
    }

    fn trimmed(&self) -> Result<String, ReadError> {
        Ok(self.text()?.trim().to_owned())
    }

    fn deeper(&self) -> Result<usize, ReadError> {
        if self.depth >= DEEPEST { Err(too_deep()) } else { Ok(self.depth + 1) }
    }

    /// The elements of a list or map: this element's children, or the elements themselves where
    /// it is flattened.
    fn entries(&self, member: &'static Member) -> Result<Vec<Node<'a, 'i>>, ReadError> {
        if member.is_flattened() {
            return Ok(self.nodes.to_vec());
        }
        Ok(self.node()?.children().filter(Node::is_element).collect())
    }
}

impl Reader for XmlReader<'_, '_, '_> {
    fn null(&mut self) -> Result<bool, ReadError> {
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
        let node = self.node()?;
        let depth = self.deeper()?;
        for (index, member) in shape.members.iter().enumerate() {
            if member.is_xml_attribute() {
                let name = member.wire_or_name();
                let local = name.rsplit(':').next().unwrap_or(name);
                if let Some(attribute) = node.attributes().find(|a| a.name() == local) {
                    let texts = [attribute.value().to_owned()];
                    let mut reader = text::TextReader { texts: &texts, place: Place::Query };
                    read_member(&mut reader, shape, into, index, seen, at)?;
                }
                continue;
            }
            let name = member.name_in_parent();
            let nodes: Vec<Node<'_, '_>> = node
                .children()
                .filter(|child| child.is_element() && child.tag_name().name() == name)
                .collect();
            if !nodes.is_empty() {
                let mut reader = XmlReader { nodes: &nodes, depth };
                read_member(&mut reader, shape, into, index, seen, at)?;
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        member: &'static Member,
        into: &mut dyn Items,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        let depth = self.deeper()?;
        for node in self.entries(member)? {
            let nodes = [node];
            read_element(&mut XmlReader { nodes: &nodes, depth }, member, into, at)?;
        }
        Ok(())
    }

    fn map(
        &mut self,
        member: &'static Member,
        into: &mut dyn Entries,
        at: &At<'_>,
    ) -> Result<(), ReadError> {
        let Kind::Map(map) = &member.shape.kind else { return Ok(()) };
        let depth = self.deeper()?;
        for entry in self.entries(member)? {
            let child = |name: &str| {
                entry.children().find(|n| n.is_element() && n.tag_name().name() == name)
            };
            let missing = |what: &str| ReadError::new(format!("an entry has no {what}"));
            let key = child(map.key.wire_or_name()).ok_or_else(|| missing("key"))?;
            let value = child(map.value.wire_or_name()).ok_or_else(|| missing("value"))?;
            let key = XmlReader { nodes: &[key], depth }.text()?;
            let nodes = [value];
            read_entry(&mut XmlReader { nodes: &nodes, depth }, member, key, into, at)?;
        }
        Ok(())
    }

    fn string(&mut self, _member: &'static Member) -> Result<String, ReadError> {
        self.text()
    }

    fn boolean(&mut self, _member: &'static Member) -> Result<bool, ReadError> {
        text::boolean(&self.trimmed()?)
    }

    fn integer(&mut self, _member: &'static Member) -> Result<i64, ReadError> {
        text::integer(&self.trimmed()?)
    }

    fn float(&mut self, _member: &'static Member) -> Result<f64, ReadError> {
        text::float(&self.trimmed()?)
    }

    fn blob(&mut self, _member: &'static Member) -> Result<Bytes, ReadError> {
        text::blob(&self.trimmed()?)
    }

    fn timestamp(&mut self, _member: &'static Member) -> Result<Timestamp, ReadError> {
        text::timestamp(&self.trimmed()?)
    }

    fn document(&mut self, _member: &'static Member) -> Result<Document, ReadError> {
        Err(ReadError::new("a document cannot stand in XML"))
    }
}

/// Writes elements.
#[derive(Default)]
pub(crate) struct XmlWriter {
    pub out: String,
    /// The element's name where the writer's caller chooses it: a payload, or a list's element.
    name: Option<&'static str>,
}

/// Appends text with XML's five characters escaped, and what XML cannot hold replaced.
pub(crate) fn escape(out: &mut String, text: &str) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let (escaped, length) = match byte {
            b'&' => ("&amp;", 1),
            b'<' => ("&lt;", 1),
            b'>' => ("&gt;", 1),
            b'"' => ("&quot;", 1),
            b'\r' => ("&#xD;", 1),
            b'\t' | b'\n' => continue,
            0..b' ' => ("\u{FFFD}", 1),
            // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
            0xEF if text[at..].starts_with(['\u{FFFE}', '\u{FFFF}']) => ("\u{FFFD}", 3),
            _ => continue,
        };
        out.push_str(&text[from..at]);
        out.push_str(escaped);
        from = at + length;
    }
    out.push_str(&text[from..]);
}

impl XmlWriter {
    /// Writes ` xmlns="…"` or ` xmlns:p="…"`.
    fn namespace(&mut self, namespace: Option<&Namespace>) {
        if let Some(Namespace { uri, prefix }) = namespace {
            self.out.push_str(" xmlns");
            if !prefix.is_empty() {
                self.out.push(':');
                self.out.push_str(prefix);
            }
            self.out.push_str("=\"");
            escape(&mut self.out, uri);
            self.out.push('"');
        }
    }

    fn open(&mut self, member: &'static Member) -> &'static str {
        let name = self.name.take().unwrap_or_else(|| member.wire_or_name());
        self.out.push('<');
        self.out.push_str(name);
        self.namespace(member.xml_namespace.as_ref());
        name
    }

    fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    fn element(&mut self, member: &'static Member, text: &str) {
        let name = self.open(member);
        self.out.push('>');
        escape(&mut self.out, text);
        self.close(name);
    }

    /// Writes a value under a name of the caller's choice.
    pub(crate) fn named(&mut self, name: &'static str, member: &'static Member, value: &dyn Value) {
        self.name = Some(name);
        value.write(self, member);
    }

    /// Writes a structure as the root of a document.
    pub(crate) fn document_root(
        &mut self,
        name: &str,
        namespace: Option<&'static str>,
        member: &'static Member,
        value: &dyn Structure,
    ) {
        self.out.push('<');
        self.out.push_str(name);
        let shape = value.shape().as_structure().and_then(|shape| shape.xml_namespace);
        let fallback = namespace.map(|uri| Namespace { uri, prefix: "" });
        self.namespace(member.xml_namespace.or(shape).or(fallback).as_ref());
        self.attributes(value);
        self.out.push('>');
        self.members(value);
        self.close(name);
    }

    /// Writes the members that are attributes.
    fn attributes(&mut self, value: &dyn Structure) {
        let members = value.shape().as_structure().map_or(&[][..], |shape| shape.members);
        for (index, member) in members.iter().enumerate().filter(|(_, m)| m.is_xml_attribute()) {
            if let Some(field) = value.member(index).filter(|field| !field.is_absent()) {
                let mut writer = TextWriter::new(Place::Query);
                field.write(&mut writer, member);
                self.out.push(' ');
                self.out.push_str(member.wire_or_name());
                self.out.push_str("=\"");
                escape(&mut self.out, writer.texts.first().map_or("", String::as_str));
                self.out.push('"');
            }
        }
    }

    /// Writes the members that are elements, without an element around them.
    pub(crate) fn members(&mut self, value: &dyn Structure) {
        let members = value.shape().as_structure().map_or(&[][..], |shape| shape.members);
        for (index, member) in members.iter().enumerate() {
            if member.is_xml_attribute() || !member.location.is_reply_body() {
                continue;
            }
            if let Some(field) = value.member(index).filter(|field| !field.is_absent()) {
                field.write(self, member);
            }
        }
    }
}

impl Writer for XmlWriter {
    fn null(&mut self, member: &'static Member) {
        let _ = self.open(member);
        self.out.push_str("/>");
    }

    fn structure(&mut self, member: &'static Member, value: &dyn Structure) {
        let name = self.open(member);
        if member.xml_namespace.is_none() {
            let shape = value.shape().as_structure();
            self.namespace(shape.and_then(|shape| shape.xml_namespace.as_ref()));
        }
        self.attributes(value);
        self.out.push('>');
        self.members(value);
        self.close(name);
    }

    fn list(&mut self, member: &'static Member, items: &dyn Items) {
        let Kind::List(list) = &member.shape.kind else { return };
        let flattened = member.is_flattened();
        let around = (!flattened).then(|| {
            let name = self.open(member);
            self.out.push('>');
            name
        });
        let element_name = if flattened {
            member.name_in_parent()
        } else {
            list.element.wire_name.unwrap_or("member")
        };
        for index in 0..items.len() {
            if let Some(item) = items.get(index) {
                self.name = Some(element_name);
                item.write(self, &list.element);
            }
        }
        if let Some(name) = around {
            self.close(name);
        }
        self.name = None;
    }

    fn map(&mut self, member: &'static Member, entries: &dyn Entries) {
        let Kind::Map(map) = &member.shape.kind else { return };
        let around = (!member.is_flattened()).then(|| {
            let name = self.open(member);
            self.out.push('>');
            name
        });
        let entry_name = if around.is_some() { "entry" } else { member.wire_or_name() };
        let entry_namespace = if around.is_some() { None } else { member.xml_namespace };
        entries.for_each(&mut |key, value| {
            self.out.push('<');
            self.out.push_str(entry_name);
            self.namespace(entry_namespace.as_ref());
            self.out.push('>');
            self.name = Some(map.key.wire_or_name());
            self.element(&map.key, key);
            self.name = Some(map.value.wire_or_name());
            value.write(self, &map.value);
            self.name = None;
            self.close(entry_name);
        });
        if let Some(name) = around {
            self.close(name);
        }
    }

    fn string(&mut self, member: &'static Member, value: &str) {
        self.element(member, value);
    }

    fn boolean(&mut self, member: &'static Member, value: bool) {
        self.element(member, if value { "true" } else { "false" });
    }

    fn integer(&mut self, member: &'static Member, value: i64) {
        self.element(member, &value.to_string());
    }

    fn float(&mut self, member: &'static Member, value: f64) {
        self.element(member, &text::write_float(value));
    }

    fn blob(&mut self, member: &'static Member, value: &[u8]) {
        self.element(member, &STANDARD.encode(value));
    }

    fn timestamp(&mut self, member: &'static Member, value: Timestamp) {
        let format = member.timestamp_format(TimestampFormat::DateTime);
        self.element(member, &value.format(format));
    }

    fn document(&mut self, member: &'static Member, value: &Document) {
        self.element(member, &value.to_string());
    }
}
