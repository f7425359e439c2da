//! The facts of a request that conditions and variables look at.

use std::collections::BTreeMap;

/// Condition keys with their values. Names compare without regard to case; a key may be there with
/// no value at all, which is not the same as its absence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    keys: BTreeMap<String, Values>,
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
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.keys.insert(key.to_ascii_lowercase(), Values::One(value.into()));
    }

    /// Sets a key that holds a set of values.
    pub fn set_many(&mut self, key: &str, values: Vec<String>) {
        self.keys.insert(key.to_ascii_lowercase(), Values::Many(values));
    }

    /// The values of a key; `None` where it is absent.
    pub fn get(&self, key: &str) -> Option<&Values> {
        if key.bytes().any(|b| b.is_ascii_uppercase()) {
            self.keys.get(&key.to_ascii_lowercase())
        } else {
            self.keys.get(key)
        }
    }

    /// Every key in lower case with its values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Values)> {
        self.keys.iter().map(|(key, values)| (key.as_str(), values))
    }
}
