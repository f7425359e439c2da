//! Unpacks an embedded text.

use std::io::Read as _;

/// The text of Brotli bytes. What does not unpack is empty: a test says that the embedded ones do.
pub(super) fn unpack(packed: &[u8]) -> String {
    let mut text = String::new();
    let mut reader = brotli_decompressor::Decompressor::new(packed, 1 << 16);
    match reader.read_to_string(&mut text) {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}
