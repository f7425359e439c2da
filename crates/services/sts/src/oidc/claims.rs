//! What a token says.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// A token's claims.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// A claim.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Every claim.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// A time, which must be a whole number.
    pub fn time(&self, name: &str) -> Option<i64> {
        self.get(name)?.as_i64()
    }

    /// The audiences: one, or a list; `None` where the claim is missing or something else.
    pub fn audiences(&self) -> Option<Vec<&str>> {
        match self.get("aud")? {
            Value::String(one) => Some(vec![one]),
            Value::Array(many) => many.iter().map(Value::as_str).collect(),
            _ => None,
        }
    }

    /// A claim as the values of a condition key: a text, number or truth value, or a list of them.
    /// `a/b` is the claim of this name, or else `b` inside of `a`.
    pub fn values(&self, name: &str) -> Option<Vec<String>> {
        let value = match self.get(name) {
            Some(value) => value,
            None => {
                let (outer, inner) = name.split_once('/')?;
                self.get(outer)?.get(inner)?
            }
        };
        match value {
            Value::Array(many) => many.iter().map(scalar).collect(),
            one => scalar(one).map(|one| vec![one]),
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A JSON object none of whose names stands twice: readers that differ in which one they take must
/// not be played against each other (RFC 7515, section 4).
pub(super) fn unique(json: &[u8]) -> Option<Map<String, Value>> {
    serde_json::from_slice::<Unique>(json).ok().map(|unique| unique.0)
}

struct Unique(Map<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut all = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if all.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(Unique(all))
            }
        }

        from.deserialize_map(Names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_stands_twice_makes_no_object() {
        assert!(unique(br#"{"a":1,"b":{"c":1}}"#).is_some());
        for json in [r#"{"aud":"a","aud":"b"}"#, "[]", "\"a\"", "{", "{}x"] {
            assert!(unique(json.as_bytes()).is_none(), "{json}");
        }
    }

    #[test]
    fn claims_are_values_of_condition_keys() {
        let claims = unique(
            br#"{"s":"x","n":7,"t":true,"l":["a",1],"o":{"p":"q"},"a/b":"z","z":null,"m":[{}]}"#,
        );
        let claims = Claims::new(claims.unwrap());
        for (name, values) in [
            ("s", Some(vec!["x"])),
            ("n", Some(vec!["7"])),
            ("t", Some(vec!["true"])),
            ("l", Some(vec!["a", "1"])),
            ("o/p", Some(vec!["q"])),
            ("a/b", Some(vec!["z"])),
            ("o", None),
            ("z", None),
            ("m", None),
            ("none", None),
        ] {
            let got = claims.values(name);
            assert_eq!(
                got.as_deref(),
                values.map(|v| v.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()).as_deref(),
                "{name}"
            );
        }
    }
}
