//! The facts of a request that conditions and variables look at.

use std::borrow::Cow;

/// Condition keys with their values. Names compare without regard to case; a key may be there with
/// no value at all, which is not the same as its absence.
///
/// A request has some twenty keys: a list is searched as soon as a tree would be, and is made
/// without copying the names.
#[derive(Debug, Clone, Default)]
pub struct Context {
    keys: Vec<(Cow<'static, str>, Values)>,
}

/// The values of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// A key that holds one value, for example `aws:SourceIp`.
    One(String),
    /// A key that holds a set, for example `aws:TagKeys`; it may be empty.
    Many(Vec<String>),
}

impl Values {
    /// All of them.
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl Context {
    /// Sets a key that holds one value.
    pub fn set(&mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) {
        self.put(key.into(), Values::One(value.into()));
    }

    /// Sets a key that holds a set of values.
    pub fn set_many(&mut self, key: impl Into<Cow<'static, str>>, values: Vec<String>) {
        self.put(key.into(), Values::Many(values));
    }

    fn put(&mut self, key: Cow<'static, str>, values: Values) {
        match self.keys.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&key)) {
            Some((_, known)) => *known = values,
            None => self.keys.push((key, values)),
        }
    }

    /// Makes room for more keys.
    pub fn reserve(&mut self, more: usize) {
        self.keys.reserve(more);
    }

    /// The values of a key; `None` where it is absent.
    pub fn get(&self, key: &str) -> Option<&Values> {
        self.keys
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(key))
            .map(|(_, values)| values)
    }

    /// Every key as it was set, with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Values)> {
        self.keys.iter().map(|(key, values)| (&**key, values))
    }
}
