//! Serialisation of secrets, for records that are sealed as a whole before they are written.
//!
//! Neither secret type implements `Serialize`, so a record that holds one does not derive it until
//! its author writes, field by field:
//!
//! ```
//! use ringfence_keyring::{SecretString, sealed_only};
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct AccessKey {
//!     id: String,
//!     // The store seals the whole record with its `Domain`.
//!     #[serde(with = "sealed_only")]
//!     secret: SecretString,
//!     #[serde(with = "sealed_only", default)]
//!     previous: Option<SecretString>,
//! }
//! ```
//!
//! INVARIANT: what this module writes goes to [`Domain::seal`](crate::Domain::seal) and nowhere
//! else. Searching the code for `sealed_only` finds every place that must keep it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::material::Material;
use crate::secret::{SecretBytes, SecretString};

/// The types that `#[serde(with = "sealed_only")]` takes: [`SecretString`], [`SecretBytes`],
/// [`Material`], and an `Option` of any. Closed to other crates.
pub trait SealedOnly: Sized + closed::Field {}

impl<T: closed::Field> SealedOnly for T {}

/// For `#[serde(with = "ringfence_keyring::sealed_only")]`.
pub fn serialize<T: SealedOnly, S: Serializer>(
    secret: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret.write(serializer)
}

/// For `#[serde(with = "ringfence_keyring::sealed_only")]`.
pub fn deserialize<'de, T: SealedOnly, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    T::read(deserializer)
}

mod closed {
    use super::{Deserializer, Serializer};

    pub trait Field: Sized {
        fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
        fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
    }
}

use closed::Field;

impl Field for SecretString {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Field for SecretBytes {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.expose())
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor)
    }
}

/// The store's format is no text, so a text format is a mistake and refused.
impl Field for Material {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return Err(serde::ser::Error::custom("key material is not written as text"));
        }
        serializer.serialize_bytes(&self.to_kept())
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kept = deserializer.deserialize_byte_buf(BytesVisitor)?;
        Self::from_kept(kept.expose())
            .ok_or_else(|| serde::de::Error::custom("no key material of a known spec"))
    }
}

impl<T: Field> Field for Option<T> {
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(secret) => serializer.serialize_some(&Wrapped(secret)),
            None => serializer.serialize_none(),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<Unwrapped<T>>::deserialize(deserializer)?.map(|unwrapped| unwrapped.0))
    }
}

/// Gives `serialize_some` the `Serialize` it wants, without giving it to the secret types.
struct Wrapped<'a, T>(&'a T);

impl<T: Field> Serialize for Wrapped<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

struct Unwrapped<T>(T);

impl<'de, T: Field> Deserialize<'de> for Unwrapped<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = SecretBytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<SecretBytes, E> {
        Ok(SecretBytes::new(bytes.to_vec()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<SecretBytes, E> {
        Ok(SecretBytes::new(bytes))
    }

    // Formats without a type for bytes, such as JSON, write a sequence of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<SecretBytes, A::Error> {
        let mut bytes = Zeroizing::new(Vec::new());
        while let Some(byte) = seq.next_element()? {
            if bytes.len() == bytes.capacity() {
                // `Vec` would free the old allocation unwiped.
                let mut grown = Zeroizing::new(Vec::with_capacity((bytes.len() * 2).max(64)));
                grown.extend_from_slice(&bytes);
                bytes = grown;
            }
            bytes.push(byte);
        }
        Ok(SecretBytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Record {
        #[serde(with = "crate::sealed_only")]
        text: SecretString,
        #[serde(with = "crate::sealed_only")]
        bytes: SecretBytes,
        #[serde(with = "crate::sealed_only", default)]
        maybe: Option<SecretBytes>,
    }

    #[test]
    fn a_record_with_secrets_survives_a_round_trip() {
        for maybe in [None, Some(SecretBytes::new(vec![3; 200]))] {
            let record = Record {
                text: SecretString::new("hunter2".into()),
                bytes: SecretBytes::new((0..=255).collect()),
                maybe,
            };
            let written = serde_json::to_vec(&record).unwrap();
            let read: Record = serde_json::from_slice(&written).unwrap();
            assert!(read.text.matches(b"hunter2"));
            assert!(read.bytes.matches(record.bytes.expose()));
            assert_eq!(
                read.maybe.as_ref().map(SecretBytes::expose),
                record.maybe.as_ref().map(SecretBytes::expose)
            );
        }
    }

    #[test]
    fn an_absent_optional_secret_is_none() {
        let read: Record = serde_json::from_str(r#"{"text":"a","bytes":[]}"#).unwrap();
        assert!(read.maybe.is_none());
    }

    #[test]
    fn a_value_that_is_no_byte_is_refused() {
        assert!(serde_json::from_str::<Record>(r#"{"text":"a","bytes":[256]}"#).is_err());
    }
}
