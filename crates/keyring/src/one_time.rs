//! One-time codes of six digits, made from a seed and a counter: HOTP, RFC 4226. With time steps for
//! a counter they are TOTP, RFC 6238.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};

use crate::secret::SecretBytes;

/// A device's seed, ready to make codes.
pub struct OneTime(hmac::Key);

impl OneTime {
    /// The codes of a seed.
    pub fn new(seed: &SecretBytes) -> Self {
        // SHA-1 is what devices and phones compute; HMAC does not rest on its collisions.
        Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, seed.expose()))
    }

    /// Whether `code` is the code of a counter. Takes the same time for every code of six bytes.
    pub fn is_code(&self, counter: u64, code: &str) -> bool {
        constant_time::verify_slices_are_equal(&self.code(counter), code.as_bytes()).is_ok()
    }

    /// The code of a counter, as a device would show it. For tests alone.
    #[cfg(feature = "test-support")]
    pub fn shown(&self, counter: u64) -> String {
        self.code(counter).iter().copied().map(char::from).collect()
    }

    /// Dynamic truncation, RFC 4226 section 5.3.
    fn code(&self, counter: u64) -> [u8; 6] {
        let tag = hmac::sign(&self.0, &counter.to_be_bytes());
        let tag = tag.as_ref();
        let at = usize::from(tag[19] & 0xf);
        let cut = [tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]];
        let mut rest = u32::from_be_bytes(cut);
        let mut code = [0; 6];
        for digit in code.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        code
    }
}

impl fmt::Debug for OneTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTime(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seed: &[u8]) -> OneTime {
        OneTime::new(&SecretBytes::new(seed.to_vec()))
    }

    #[test]
    fn codes_are_those_of_rfc_4226() {
        // Appendix D.
        let codes = of(b"12345678901234567890");
        for (counter, code) in [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(codes.is_code(counter as u64, code), "{counter}");
            assert!(!codes.is_code(counter as u64 + 1, code), "{counter}");
        }
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, SHA-1, cut to six digits; the counter is the time in steps of 30 seconds.
        let codes = of(b"12345678901234567890");
        for (seconds, code) in [
            (59_u64, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert!(codes.is_code(seconds / 30, code), "{seconds}");
        }
    }

    #[test]
    fn a_text_of_another_length_is_no_code_and_no_seed_is_shown() {
        let codes = of(b"12345678901234567890");
        for text in ["", "75522", "7552244", "755224 ", "٧٥٥"] {
            assert!(!codes.is_code(0, text), "{text}");
        }
        assert_eq!(format!("{codes:?}"), "OneTime(..)");
    }
}
