//! Names that say nothing: what a thing is called, for those who may look it up but not read it.

use std::fmt;

use aws_lc_rs::hmac;

use crate::parts;

/// Turns names into pseudonyms under a key of its own: the same name has the same pseudonym, always,
/// and without the root key neither tells the other. A pseudonym is half of an HMAC-SHA256, so that
/// no two of 2^48 names share one but with a chance below 2^-32.
#[derive(Clone)]
pub struct Blinder(hmac::Key);

impl Blinder {
    pub(crate) fn new(key: hmac::Key) -> Self {
        Self(key)
    }

    /// The pseudonym of a name in parts. Parts split elsewhere are another name.
    pub fn blind(&self, name: &[&[u8]]) -> [u8; 16] {
        let tag = hmac::sign(&self.0, &parts::joined(name));
        let mut half = [0; 16];
        half.copy_from_slice(&tag.as_ref()[..16]);
        half
    }
}

impl fmt::Debug for Blinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blinder(..)")
    }
}

#[cfg(test)]
mod tests {
    use crate::Keyring;

    #[test]
    fn a_name_has_one_pseudonym_under_one_root_key() {
        let keyring = Keyring::ephemeral().unwrap();
        let blinder = keyring.blinder("names");
        let pseudonym = blinder.blind(&[b"account", b"user/ann"]);
        assert_eq!(keyring.blinder("names").blind(&[b"account", b"user/ann"]), pseudonym);
        for other in [
            blinder.blind(&[b"account", b"user/bob"]),
            blinder.blind(&[b"accountu", b"ser/ann"]),
            keyring.blinder("others").blind(&[b"account", b"user/ann"]),
            Keyring::ephemeral().unwrap().blinder("names").blind(&[b"account", b"user/ann"]),
        ] {
            assert_ne!(other, pseudonym);
        }
    }
}
