//! What is authenticated with a ciphertext, and the value by which damage on the way is found.

use aws_lc_rs::digest::{SHA256, digest};

/// The additional data of AES-GCM inside a proxy: both parts behind their lengths, so that none can be
/// taken for the other.
pub fn authenticated(aad: &[u8], metadata: &[u8]) -> Option<Vec<u8>> {
    let mut all = Vec::with_capacity(3 + aad.len() + metadata.len());
    all.extend(u16::try_from(aad.len()).ok()?.to_be_bytes());
    all.extend(aad);
    all.push(u8::try_from(metadata.len()).ok()?);
    all.extend(metadata);
    Some(all)
}

/// `ciphertextDataIntegrityValue` by SHA-256.
pub(crate) fn integrity_value(parts: [&[u8]; 5]) -> Vec<u8> {
    digest(&SHA256, &parts.concat()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// The example of the specification's appendix C.
    #[test]
    fn the_integrity_value_is_the_specifications() {
        let part = |text: &str| STANDARD.decode(text).unwrap();
        let parts = [
            "cHJvamVjdD1uaWxlLGRlcGFydG1lbnQ9bWFya2V0aW5n",
            "a2V5X3ZlcnNpb249MQ==",
            "HMrlRw85cAJUd5Ax",
            "ghxkK1txeDNn3q8Y",
            "vBxN2ncH1oEkR8WVXpmyYQ==",
        ]
        .map(part);
        let value = integrity_value([&parts[0], &parts[1], &parts[2], &parts[3], &parts[4]]);
        assert_eq!(STANDARD.encode(value), "qHA/ImC9h5HsLRXqCyPmWgYx7tzyoTplzILbP0fPXsc=");
    }

    #[test]
    fn metadata_is_never_taken_for_additional_data() {
        assert_ne!(authenticated(b"ab", b""), authenticated(b"", b"ab"));
        assert_eq!(authenticated(b"ab", b"c").unwrap(), [0, 2, b'a', b'b', 1, b'c']);
        assert_eq!(authenticated(&[0; 70_000], b""), None);
        assert_eq!(authenticated(b"", &[0; 256]), None);
    }
}
