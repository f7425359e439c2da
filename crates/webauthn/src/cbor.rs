//! CBOR as authenticators write it: definite lengths, no key twice, nothing behind.
//! <https://fidoalliance.org/specs/fido-v2.1-ps-20210615/fido-client-to-authenticator-protocol-v2.1-ps-errata-20220621.html#message-encoding>

use crate::Refused;
use minicbor::Decoder;
use minicbor::data::Type;

/// Most entries of a map that is read.
const MOST_ENTRIES: u64 = 32;

fn malformed<E>(_: E) -> Refused {
    Refused::Malformed("no CBOR as authenticators write it")
}

/// The key of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key<'b> {
    Number(i64),
    Text(&'b str),
}

/// A value, its own bytes where it is none of the simple ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'b> {
    Number(i64),
    Bytes(&'b [u8]),
    Text(&'b str),
    Other(&'b [u8]),
}

/// A map of a few entries, in the order in which they were written.
#[derive(Debug)]
pub(crate) struct Entries<'b>(Vec<(Key<'b>, Value<'b>)>);

impl<'b> Entries<'b> {
    /// The map that `bytes` begin with, and how many of them it takes.
    pub fn first(bytes: &'b [u8]) -> Result<(Self, usize), Refused> {
        let mut decoder = Decoder::new(bytes);
        let length = decoder.map().map_err(malformed)?.ok_or_else(|| malformed(()))?;
        if length > MOST_ENTRIES {
            return Err(malformed(()));
        }
        let mut entries: Vec<(Key<'b>, Value<'b>)> = Vec::new();
        for _ in 0..length {
            let key = match value(&mut decoder)? {
                Value::Number(number) => Key::Number(number),
                Value::Text(text) => Key::Text(text),
                _ => return Err(malformed(())),
            };
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(malformed(()));
            }
            entries.push((key, value(&mut decoder)?));
        }
        Ok((Self(entries), decoder.position()))
    }

    /// The map that `bytes` are, to the last.
    pub fn whole(bytes: &'b [u8]) -> Result<Self, Refused> {
        match Self::first(bytes)? {
            (entries, length) if length == bytes.len() => Ok(entries),
            _ => Err(malformed(())),
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, key: Key<'_>) -> Option<Value<'b>> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }

    pub fn number(&self, key: Key<'_>) -> Option<i64> {
        match self.get(key)? {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    pub fn bytes(&self, key: Key<'_>) -> Option<&'b [u8]> {
        match self.get(key)? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn text(&self, key: Key<'_>) -> Option<&'b str> {
        match self.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a map or list.
    pub fn other(&self, key: Key<'_>) -> Option<&'b [u8]> {
        match self.get(key)? {
            Value::Other(bytes) => Some(bytes),
            _ => None,
        }
    }
}

fn value<'b>(decoder: &mut Decoder<'b>) -> Result<Value<'b>, Refused> {
    Ok(match decoder.datatype().map_err(malformed)? {
        Type::Bytes => Value::Bytes(decoder.bytes().map_err(malformed)?),
        Type::String => Value::Text(decoder.str().map_err(malformed)?),
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64 => Value::Number(decoder.i64().map_err(malformed)?),
        _ => {
            let start = decoder.position();
            decoder.skip().map_err(malformed)?;
            let bytes = decoder.input().get(start..decoder.position());
            Value::Other(bytes.ok_or_else(|| malformed(()))?)
        }
    })
}

/// A list of byte strings.
pub(crate) fn byte_strings(bytes: &[u8]) -> Result<Vec<&[u8]>, Refused> {
    let mut decoder = Decoder::new(bytes);
    let length = decoder.array().map_err(malformed)?.ok_or_else(|| malformed(()))?;
    if length > MOST_ENTRIES {
        return Err(malformed(()));
    }
    let all = (0..length).map(|_| decoder.bytes().map_err(malformed)).collect();
    if decoder.position() == bytes.len() { all } else { Err(malformed(())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_a_length_no_key_twice_and_an_end() {
        let good = [0xa2, 0x01, 0x26, 0x61, b'a', 0x41, 0x07];
        let map = Entries::whole(&good).unwrap();
        assert_eq!(map.number(Key::Number(1)), Some(-7));
        assert_eq!(map.bytes(Key::Text("a")), Some(&[7][..]));
        assert_eq!((map.len(), map.text(Key::Number(1))), (2, None));
        for (bad, why) in [
            (&[0xa2, 0x01, 0x02, 0x01, 0x02][..], "a key twice"),
            (&[0xbf, 0x01, 0x02, 0xff], "no length"),
            (&[0xa1, 0x01, 0x02, 0x00], "more behind"),
            (&[0xa2, 0x01, 0x02], "less than it says"),
            (&[0xa1, 0x41, 0x01, 0x02], "a key of bytes"),
            (&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "too long"),
            (&[0xa1, 0x01, 0x5f, 0x41, 0x00, 0xff], "bytes without a length"),
            (&[0x81, 0x01], "a list"),
            (&[], "nothing"),
        ] {
            let got = Entries::whole(bad).map(|map| map.0.len());
            if why == "bytes without a length" {
                // Skipped as another kind of value; nobody who wants bytes gets them.
                assert_eq!(Entries::whole(bad).unwrap().bytes(Key::Number(1)), None);
            } else {
                assert!(got.is_err(), "{why}");
            }
        }
    }
}
