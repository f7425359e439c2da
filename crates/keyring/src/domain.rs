//! Domain keys: sealing values and tokens, each purpose under a key of its own.
//!
//! A sealed value is
//!
//! ```text
//! format (1) | generation (4, big-endian) | salt (24) | ciphertext | tag (16)
//! └────────────────── header ─────────────────────────┘
//! message key = HMAC-SHA256(domain key of that generation's base key, header)
//! ciphertext, tag = AES-256-GCM(message key, nonce 0, associated data, plaintext)
//! ```
//!
//! Why a key a message. AES-GCM fails wholly when a nonce repeats under one key, and its 96-bit
//! nonce, drawn at random, may serve 2^32 messages at most (NIST SP 800-38D, section 8.3): too few
//! for a store. Here the 192-bit salt takes the nonce's place: after 2^48 messages under one
//! domain key the chance that any two share a salt is below 2^-96. As each message key encrypts
//! once, the nonce can be a constant. It is the idea of XAES-256-GCM (C2SP), with HMAC for the
//! derivation because its keyed state can be kept ready.
//!
//! Why fresh random bytes each time, though a counter would be quicker: two copies of a process (a
//! virtual machine restored twice from one snapshot) would go on with the same counter.
//!
//! Measured on a shared 2-core AMD EPYC with 300 bytes (`benches/domain.rs`): open 0.75 µs, seal
//! 1.2 µs, of which random 0.39, HMAC 0.22, AES key schedule 0.16 and GCM 0.18. Nothing is cached
//! but the domain key.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::base_keys::BaseKeys;
use crate::errors::KeyringError;
use crate::parent_key::ParentKey;
use crate::parts;
use crate::random;

const FORMAT: u8 = 1;
const GENERATION_AT: usize = 1;
const SALT_AT: usize = 5;
const HEADER_LEN: usize = 29;
const TAG_LEN: usize = 16;

/// A domain's key: seals and opens what belongs to one purpose. Cheap to clone, and shared.
#[derive(Clone)]
pub struct Domain(Arc<Inner>);

struct Inner {
    name: &'static str,
    current: Generation,
    /// Those that still open values and seal none.
    earlier: Vec<Generation>,
}

struct Generation {
    number: NonZeroU32,
    /// Wiped on drop by aws-lc (`HMAC_CTX_cleanup`).
    key: hmac::Key,
}

impl Domain {
    /// How many bytes longer a sealed value is than its plaintext.
    pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;

    pub(crate) fn new(bases: &BaseKeys, name: &'static str) -> Self {
        let of = |number, key: &ParentKey| Generation { number, key: key.domain_key(name, number) };
        let (number, key) = bases.current();
        let earlier = bases.earlier().map(|(number, key)| of(number, key)).collect();
        Self(Arc::new(Inner { name, current: of(number, key), earlier }))
    }

    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// The generation that [`seal`](Self::seal) uses. [`open`](Self::open) takes every one that the
    /// data directory still has.
    pub fn generation(&self) -> NonZeroU32 {
        self.0.current.number
    }

    /// The generation that a sealed value was sealed under; `None` for what is none.
    pub fn generation_of(sealed: &[u8]) -> Option<NonZeroU32> {
        if sealed.len() < Self::OVERHEAD || sealed.first() != Some(&FORMAT) {
            return None;
        }
        generation_of(sealed).ok()
    }

    /// Encrypts `plaintext` and binds it to `aad`: it opens only with the same parts, in the same
    /// order, split in the same places. The length of `plaintext` shows; `aad` is not stored.
    ///
    /// # Errors
    /// [`KeyringError::Random`] when the system gives no random bytes; [`KeyringError::TooLong`]
    /// past AES-GCM's 64 GiB.
    pub fn seal(&self, aad: &[&[u8]], plaintext: &[u8]) -> Result<Vec<u8>, KeyringError> {
        seal(&self.0.current, &parts::joined(aad), plaintext)
    }

    /// The plaintext of what [`seal`](Self::seal) made with the same `aad`, under any generation
    /// that the data directory still has.
    ///
    /// # Errors
    /// [`KeyringError::Open`] for everything else, of any length and content.
    pub fn open(&self, aad: &[&[u8]], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let number = generation_of(sealed)?;
        let generation = std::iter::once(&self.0.current)
            .chain(&self.0.earlier)
            .find(|generation| generation.number == number)
            .ok_or(KeyringError::Open)?;
        open(&generation.key, &parts::joined(aad), sealed)
    }

    /// [`seal`](Self::seal), in base64 (RFC 4648 section 4), for tokens.
    ///
    /// # Errors
    /// Those of [`seal`](Self::seal).
    pub fn seal_text(&self, aad: &[&[u8]], plaintext: &[u8]) -> Result<String, KeyringError> {
        Ok(STANDARD.encode(self.seal(aad, plaintext)?))
    }

    /// The plaintext of what [`seal_text`](Self::seal_text) made.
    ///
    /// # Errors
    /// [`KeyringError::Open`] for everything else. One token has one spelling: base64 with other
    /// padding, white space or stray last bits is refused.
    pub fn open_text(
        &self,
        aad: &[&[u8]],
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let sealed = STANDARD.decode(sealed).map_err(|_| KeyringError::Open)?;
        self.open(aad, &sealed)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain")
            .field("name", &self.0.name)
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

fn seal(generation: &Generation, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyringError> {
    let mut sealed = vec![0; Domain::OVERHEAD + plaintext.len()];
    let (header, body) = sealed.split_at_mut(HEADER_LEN);
    header[0] = FORMAT;
    header[GENERATION_AT..SALT_AT].copy_from_slice(&generation.number.get().to_be_bytes());
    random::fill(&mut header[SALT_AT..])?;

    let (ciphertext, tag) = body.split_at_mut(plaintext.len());
    message_key(&generation.key, header)?
        .seal_out_of_place_scatter(
            constant_nonce(),
            Aad::from(aad),
            plaintext,
            ciphertext,
            &[],
            tag,
        )
        .map_err(|_| KeyringError::TooLong)?;
    Ok(sealed)
}

fn open(key: &hmac::Key, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let (header, body) = sealed.split_at_checked(HEADER_LEN).ok_or(KeyringError::Open)?;
    let text_len = body.len().checked_sub(TAG_LEN).ok_or(KeyringError::Open)?;
    let (ciphertext, tag) = body.split_at(text_len);
    if header[0] != FORMAT {
        return Err(KeyringError::Open);
    }
    let mut plaintext = Zeroizing::new(vec![0; text_len]);
    message_key(key, header)?
        .open_separate_gather(constant_nonce(), Aad::from(aad), ciphertext, tag, &mut plaintext)
        .map_err(|_| KeyringError::Open)?;
    Ok(plaintext)
}

/// Seals under one key that is no domain's, as generation 1.
///
/// # Errors
/// Those of [`Domain::seal`].
pub(crate) fn seal_under(
    key: &hmac::Key,
    aad: &[Vec<u8>],
    plaintext: &[u8],
) -> Result<Vec<u8>, KeyringError> {
    let generation = Generation { number: NonZeroU32::MIN, key: key.clone() };
    seal(&generation, &joined(aad), plaintext)
}

/// What [`seal_under`] made.
///
/// # Errors
/// [`KeyringError::Open`].
pub(crate) fn open_under(
    key: &hmac::Key,
    aad: &[Vec<u8>],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    open(key, &joined(aad), sealed)
}

fn joined(aad: &[Vec<u8>]) -> Vec<u8> {
    parts::joined(&aad.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

fn message_key(domain_key: &hmac::Key, header: &[u8]) -> Result<LessSafeKey, KeyringError> {
    // Not `hmac::sign`: the `Tag` that it returns is not wiped on drop.
    let mut key = Zeroizing::new([0; 32]);
    hmac::sign_to_buffer(domain_key, header, &mut *key).map_err(|_| KeyringError::Derivation)?;
    let key = UnboundKey::new(&AES_256_GCM, &*key).map_err(|_| KeyringError::Derivation)?;
    Ok(LessSafeKey::new(key))
}

/// INVARIANT: only for a key from [`message_key`] with a header whose salt is fresh (seal) or read
/// (open).
fn constant_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn generation_of(header: &[u8]) -> Result<NonZeroU32, KeyringError> {
    header
        .get(GENERATION_AT..SALT_AT)
        .and_then(|bytes| bytes.try_into().ok())
        .and_then(|bytes| NonZeroU32::new(u32::from_be_bytes(bytes)))
        .ok_or(KeyringError::Open)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::secret::SecretBytes;

    const AAD: [&[u8]; 2] = [b"ab", b"c"];

    fn key(byte: u8) -> SecretBytes {
        SecretBytes::new((byte..byte + 32).collect())
    }

    /// Base keys whose first bytes are these, from generation 1 on.
    fn bases(bytes: &[u8]) -> BaseKeys {
        bytes.iter().skip(1).fold(BaseKeys::first(key(bytes[0])), |mut bases, byte| {
            bases.append(key(*byte), 0).unwrap();
            bases
        })
    }

    fn domain() -> Domain {
        Domain::new(&bases(&[0]), "store")
    }

    fn refuses(domain: &Domain, aad: &[&[u8]], sealed: &[u8]) -> bool {
        matches!(domain.open(aad, sealed), Err(KeyringError::Open))
    }

    /// Sealed by Python's `cryptography` 48, after the drawing at the head of this file: base key
    /// 00 01 .. 1f, domain `store`, salt 100 .. 123. A store written once must open for ever.
    #[test]
    fn what_another_implementation_sealed_opens() {
        for sealed in [
            "AQAAAAFkZWZnaGlqa2xtbm9wcXJzdHV2d3h5env6n60gUtFF5HnEeDnXr/uD13QJ63TZKRHVWL+5hi4=",
            "AQAAAAJkZWZnaGlqa2xtbm9wcXJzdHV2d3h5enuCVFpm83SEww/4wosvBOuwA9eBoGXXGhBT4dxCagM=",
        ] {
            let domain = Domain::new(&bases(&[0, 0]), "store");
            assert_eq!(domain.open_text(&AAD, sealed).unwrap().as_slice(), b"attack at dawn");
        }
    }

    #[test]
    fn sealing_twice_gives_different_bytes() {
        let domain = domain();
        let (a, b) = (domain.seal(&AAD, b"same").unwrap(), domain.seal(&AAD, b"same").unwrap());
        assert_ne!(a[SALT_AT..HEADER_LEN], b[SALT_AT..HEADER_LEN]);
        assert_ne!(a[HEADER_LEN..], b[HEADER_LEN..]);
        assert_eq!(a.len(), 4 + Domain::OVERHEAD);
    }

    #[test]
    fn every_altered_bit_is_refused() {
        let domain = domain();
        let sealed = domain.seal(&AAD, b"attack at dawn").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(refuses(&domain, &AAD, &altered), "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_and_extension_is_refused() {
        let domain = domain();
        for plaintext in [&b""[..], b"attack at dawn"] {
            let mut sealed = domain.seal(&AAD, plaintext).unwrap();
            for len in 0..sealed.len() {
                assert!(refuses(&domain, &AAD, &sealed[..len]), "{len}");
                assert!(refuses(&domain, &AAD, &sealed[sealed.len() - len..]), "{len}");
            }
            sealed.push(0);
            assert!(refuses(&domain, &AAD, &sealed));
        }
    }

    #[test]
    fn associated_data_must_be_the_same_parts() {
        let domain = domain();
        let sealed = domain.seal(&AAD, b"attack at dawn").unwrap();
        let others: [&[&[u8]]; 7] = [
            &[],
            &[b"abc"],
            &[b"a", b"bc"],
            &[b"c", b"ab"],
            &[b"ab", b"c", b""],
            &[b"ab"],
            &[b"ab", b"d"],
        ];
        for other in others {
            assert!(refuses(&domain, other, &sealed), "{other:?}");
        }
    }

    #[test]
    fn domains_cannot_open_each_others_values() {
        let store = domain();
        let sealed = store.seal(&AAD, b"attack at dawn").unwrap();
        for other in [
            Domain::new(&bases(&[0]), "session-token"),
            Domain::new(&bases(&[0]), "stor"),
            Domain::new(&bases(&[0]), ""),
            Domain::new(&bases(&[1]), "store"),
        ] {
            assert!(refuses(&other, &AAD, &sealed), "{other:?}");
            assert!(refuses(&store, &AAD, &other.seal(&AAD, b"attack at dawn").unwrap()));
        }
    }

    #[test]
    fn a_new_generation_seals_under_its_own_key_and_earlier_values_open() {
        let first = domain();
        let second = Domain::new(&bases(&[0, 9]), "store");
        let (old, new) = (first.seal(&AAD, b"old").unwrap(), second.seal(&AAD, b"new").unwrap());
        assert_eq!(second.open(&AAD, &old).unwrap().as_slice(), b"old");
        assert_eq!(second.open(&AAD, &new).unwrap().as_slice(), b"new");
        assert!(refuses(&first, &AAD, &new));
        let of = |sealed: &[u8]| Domain::generation_of(sealed).unwrap().get();
        assert_eq!((of(&old), of(&new)), (1, 2));

        for other in [0u32, 1, 3, u32::MAX] {
            let mut relabelled = new.clone();
            relabelled[GENERATION_AT..SALT_AT].copy_from_slice(&other.to_be_bytes());
            assert!(refuses(&second, &AAD, &relabelled), "{other}");
        }
    }

    #[test]
    fn a_retired_generation_opens_nothing() {
        let old = domain().seal(&AAD, b"old").unwrap();
        let mut bases = bases(&[0, 9]);
        bases.retire_earlier();
        assert!(refuses(&Domain::new(&bases, "store"), &AAD, &old));
    }

    #[test]
    fn a_token_has_one_spelling() {
        let domain = domain();
        // 46 bytes: base64 ends in one character of padding with two unused bits before it.
        let text = domain.seal_text(&AAD, b"x").unwrap();
        assert_eq!(domain.open_text(&AAD, &text).unwrap().as_slice(), b"x");
        let trimmed = text.trim_end_matches('=');
        assert_ne!(trimmed, text);
        let last = trimmed.as_bytes()[trimmed.len() - 1];
        let stray = format!("{}{}==", &trimmed[..trimmed.len() - 1], char::from(last + 1));
        for other in
            [trimmed, &format!("{text}="), &format!(" {text}"), &format!("{text}\n"), &stray, ""]
        {
            assert!(matches!(domain.open_text(&AAD, other), Err(KeyringError::Open)), "{other}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", domain()), r#"Domain { name: "store", generation: 1, .. }"#);
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(
            aad in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4),
            plaintext in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let domain = domain();
            let aad: Vec<&[u8]> = aad.iter().map(Vec::as_slice).collect();
            let sealed = domain.seal(&aad, &plaintext).unwrap();
            prop_assert_eq!(domain.open(&aad, &sealed).unwrap().to_vec(), plaintext.clone());
            let text = domain.seal_text(&aad, &plaintext).unwrap();
            prop_assert_eq!(domain.open_text(&aad, &text).unwrap().to_vec(), plaintext);
        }

        #[test]
        fn random_bytes_are_refused_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            plausible in any::<bool>(),
        ) {
            let mut bytes = bytes;
            if plausible && bytes.len() >= SALT_AT {
                bytes[..SALT_AT].copy_from_slice(&[FORMAT, 0, 0, 0, 1]);
            }
            prop_assert!(refuses(&domain(), &AAD, &bytes));
        }

        #[test]
        fn random_text_is_refused_without_a_panic(text in ".{0,200}") {
            prop_assert!(domain().open_text(&AAD, &text).is_err());
        }
    }
}
