//! Form-encoded requests: awsQuery and ec2Query.
//!
//! Parameters are sorted once; a member, element or entry is then a range of them found by binary
//! search, so that a request with very many parameters costs no more than to sort it.

use super::{DEEPEST, Request, read_root, text, too_deep};
use crate::constraint::At;
use crate::shape::{Kind, Member, StructureShape};
use crate::timestamp::Timestamp;
use crate::value::{
    Document, Entries, Items, ReadError, Reader, Seen, Structure, read_element, read_entry,
    read_member,
};
use bytes::Bytes;
use percent_encoding::percent_decode_str;

/// The two forms differ in names and in how lists nest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// awsQuery.
    Aws,
    /// ec2Query.
    Ec2,
}

/// Decoded parameters, sorted by name.
#[derive(Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes a form or query string.
    ///
    /// # Errors
    /// When a name or value is not UTF-8.
    pub fn parse(form: &str) -> Result<Self, ReadError> {
        let mut params = Vec::new();
        for pair in form.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            params.push((decode(name)?, decode(value)?));
        }
        params.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self(params))
    }

    /// The parameter of exactly this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.partition_point(|(key, _)| key.as_str() < name);
        self.0.get(at).filter(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The parameters whose names begin with this.
    fn below(&self, prefix: &str) -> &[(String, String)] {
        let from = self.0.partition_point(|(key, _)| key.as_str() < prefix);
        let count = self.0[from..].partition_point(|(key, _)| key.starts_with(prefix));
        &self.0[from..from + count]
    }
}

fn decode(part: &str) -> Result<String, ReadError> {
    let spaced = part.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| ReadError::new("a parameter is not UTF-8"))
}

/// Reads a request: parameters stand in the body, or in the query string of a GET.
pub(crate) fn read_into(
    request: &Request<'_>,
    dialect: Dialect,
    into: &mut dyn Structure,
    root: &'static Member,
    at: &At<'_>,
) -> Result<(), ReadError> {
    let body = std::str::from_utf8(request.body)
        .map_err(|_| ReadError::new("the body is not UTF-8"))?
        .trim();
    let form = if body.is_empty() { request.query } else { body };
    let params = Params::parse(form)?;
    let mut reader = QueryReader { params: &params, prefix: String::new(), dialect, depth: 0 };
    read_root(&mut reader, into, root, at)
}

struct QueryReader<'p> {
    params: &'p Params,
    /// The name of the value being read, without a dot at its end.
    prefix: String,
    dialect: Dialect,
    depth: usize,
}

impl<'p> QueryReader<'p> {
    fn child(&self, prefix: String) -> Result<QueryReader<'p>, ReadError> {
        if self.depth >= DEEPEST {
            return Err(too_deep());
        }
        Ok(QueryReader {
            params: self.params,
            prefix,
            dialect: self.dialect,
            depth: self.depth + 1,
        })
    }

    fn join(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    /// Whether anything stands at or below a name.
    fn present(&self, name: &str) -> bool {
        self.params.get(name).is_some() || !self.params.below(&format!("{name}.")).is_empty()
    }

    /// The name of a member under this one.
    fn name_of(&self, member: &Member) -> String {
        let name = match (self.dialect, member.query_name, member.wire_name) {
            (Dialect::Aws, _, _) => member.wire_or_name().to_owned(),
            (Dialect::Ec2, Some(name), _) => name.to_owned(),
            (Dialect::Ec2, None, Some(name)) => {
                let mut chars = name.chars();
                let first = chars.next().map(|c| c.to_ascii_uppercase());
                first.into_iter().chain(chars).collect()
            }
            (Dialect::Ec2, None, None) => member.name.to_owned(),
        };
        self.join(&name)
    }

    /// The numbers that follow a prefix, in order: `1` and `2` of `Tags.member.1.Key`, ….
    fn numbers(&self, prefix: &str) -> Vec<u32> {
        let dotted = format!("{prefix}.");
        let mut numbers: Vec<u32> = self
            .params
            .below(&dotted)
            .iter()
            .filter_map(|(key, _)| key[dotted.len()..].split('.').next()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The prefixes under which this list's numbers may stand.
    fn list_prefix(&self, member: &'static Member) -> String {
        let Kind::List(list) = &member.shape.kind else { return self.prefix.clone() };
        if self.dialect == Dialect::Ec2 || member.is_flattened() {
            // Some models put the name of a flattened list on its element.
            if self.params.below(&format!("{}.", self.prefix)).is_empty()
                && let Some(name) = list.element.wire_name
            {
                return match self.prefix.rsplit_once('.') {
                    Some((parent, _)) => format!("{parent}.{name}"),
                    None => name.to_owned(),
                };
            }
            return self.prefix.clone();
        }
        self.join(list.element.wire_name.unwrap_or("member"))
    }

    fn text(&self) -> Result<&'p str, ReadError> {
        self.params
            .get(&self.prefix)
            .ok_or_else(|| ReadError::new(format!("`{}` is no single value", self.prefix)))
    }
}

impl Reader for QueryReader<'_> {
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
        for (index, member) in shape.members.iter().enumerate() {
            let name = self.name_of(member);
            let mut child = self.child(name)?;
            let there = child.present(&child.prefix)
                || (matches!(member.shape.kind, Kind::List(_))
                    && child.present(&child.list_prefix(member)));
            if there {
                read_member(&mut child, shape, into, index, seen, at)?;
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
        let prefix = self.list_prefix(member);
        for number in self.numbers(&prefix) {
            let mut child = self.child(format!("{prefix}.{number}"))?;
            read_element(&mut child, member, into, at)?;
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
        let prefix = if member.is_flattened() { self.prefix.clone() } else { self.join("entry") };
        for number in self.numbers(&prefix) {
            let entry = format!("{prefix}.{number}");
            let key = format!("{entry}.{}", map.key.wire_or_name());
            let Some(key) = self.params.get(&key) else {
                return Err(ReadError::new(format!("`{entry}` has no key")));
            };
            let mut child = self.child(format!("{entry}.{}", map.value.wire_or_name()))?;
            read_entry(&mut child, member, key.to_owned(), into, at)?;
        }
        Ok(())
    }

    fn string(&mut self, _member: &'static Member) -> Result<String, ReadError> {
        self.text().map(str::to_owned)
    }

    fn boolean(&mut self, _member: &'static Member) -> Result<bool, ReadError> {
        text::boolean(self.text()?)
    }

    fn integer(&mut self, _member: &'static Member) -> Result<i64, ReadError> {
        text::integer(self.text()?)
    }

    fn float(&mut self, _member: &'static Member) -> Result<f64, ReadError> {
        text::float(self.text()?)
    }

    fn blob(&mut self, _member: &'static Member) -> Result<Bytes, ReadError> {
        text::blob(self.text()?)
    }

    fn timestamp(&mut self, _member: &'static Member) -> Result<Timestamp, ReadError> {
        text::timestamp(self.text()?)
    }

    fn document(&mut self, _member: &'static Member) -> Result<Document, ReadError> {
        Err(ReadError::new("a document cannot stand in a form"))
    }
}
