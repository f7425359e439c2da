//! Public keys as authenticators show them, and their signatures.
//! <https://www.w3.org/TR/webauthn-3/#sctn-encoded-credPubKey-examples>, RFC 9053

use crate::Refused;
use crate::cbor::{Entries, Key};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};

/// Algorithms of keys that are taken, by their numbers, the best liked first.
pub(crate) const ALGORITHMS: [i64; 3] = [ES256, EDDSA, RS256];

pub(crate) const ES256: i64 = -7;
pub(crate) const EDDSA: i64 = -8;
pub(crate) const RS256: i64 = -257;

/// Bytes of the shortest and longest modulus: 2048 and 4096 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=512;

/// A public key.
#[derive(Debug)]
pub(crate) enum PublicKey {
    /// A point of P-256, uncompressed.
    Es256(ParsedPublicKey, [u8; 65]),
    Ed25519(ParsedPublicKey),
    Rs256 {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

fn malformed<E>(_: E) -> Refused {
    Refused::Malformed("the public key is no key of its algorithm")
}

impl PublicKey {
    /// Reads a `COSE_Key`.
    pub fn parse(cose: &[u8]) -> Result<Self, Refused> {
        const KTY: Key<'_> = Key::Number(1);
        const ALG: Key<'_> = Key::Number(3);
        const CRV: Key<'_> = Key::Number(-1);
        let map = Entries::whole(cose)?;
        let bytes = |label| map.bytes(Key::Number(label)).ok_or_else(|| malformed(()));
        match (map.number(ALG), map.number(KTY), map.number(CRV)) {
            (Some(ES256), Some(2), Some(1)) => {
                let (x, y) = (bytes(-2)?, bytes(-3)?);
                if x.len() != 32 || y.len() != 32 {
                    return Err(malformed(()));
                }
                let point: [u8; 65] = [&[4], x, y].concat().try_into().map_err(malformed)?;
                let key =
                    ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).map_err(malformed)?;
                Ok(Self::Es256(key, point))
            }
            (Some(EDDSA), Some(1), Some(6)) => {
                let key = ParsedPublicKey::new(&ED25519, bytes(-2)?).map_err(malformed)?;
                Ok(Self::Ed25519(key))
            }
            (Some(RS256), Some(3), _) => {
                let (n, e) = (bytes(-1)?, bytes(-2)?);
                let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
                let bare = |number: &[u8]| number.first().is_some_and(|first| *first != 0);
                let sane = MODULUS.contains(&n.len()) && (1..=4).contains(&e.len());
                if !sane || e == [1] || ![n, e].into_iter().all(|one| odd(one) && bare(one)) {
                    return Err(malformed(()));
                }
                Ok(Self::Rs256 { n: n.to_vec(), e: e.to_vec() })
            }
            (Some(ES256 | EDDSA | RS256), _, _) => Err(malformed(())),
            _ => Err(Refused::UnsupportedAlgorithm),
        }
    }

    /// The number of its algorithm.
    pub fn algorithm(&self) -> i64 {
        match self {
            Self::Es256(..) => ES256,
            Self::Ed25519(_) => EDDSA,
            Self::Rs256 { .. } => RS256,
        }
    }

    /// Its point, as U2F signs it, where it is one.
    pub fn point(&self) -> Option<&[u8; 65]> {
        match self {
            Self::Es256(_, point) => Some(point),
            _ => None,
        }
    }

    /// Checks a signature.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Refused> {
        match self {
            Self::Es256(key, _) | Self::Ed25519(key) => key.verify_sig(message, signature),
            Self::Rs256 { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
        }
        .map_err(|_| Refused::BadSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minicbor::Encoder;

    /// A map of numbers to numbers and bytes.
    fn cose(entries: &[(i64, Result<i64, &[u8]>)]) -> Vec<u8> {
        let mut encoder = Encoder::new(Vec::new());
        encoder.map(entries.len() as u64).unwrap();
        for (label, value) in entries {
            encoder.i64(*label).unwrap();
            match value {
                Ok(number) => encoder.i64(*number).unwrap(),
                Err(bytes) => encoder.bytes(bytes).unwrap(),
            };
        }
        encoder.into_writer()
    }

    #[test]
    fn a_key_is_whole_of_its_algorithm_and_on_its_curve() {
        // The generator of P-256 (SEC 2, section 2.4.2).
        let x = hex::decode("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296");
        let y = hex::decode("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5");
        let (x, y) = (x.unwrap(), y.unwrap());
        let es256 = |alg, crv, x: &[u8], y: &[u8]| {
            let map = [(1, Ok(2)), (3, Ok(alg)), (-1, Ok(crv)), (-2, Err(x)), (-3, Err(y))];
            PublicKey::parse(&cose(&map)).map(|key| key.algorithm())
        };
        let malformed: Result<i64, Refused> = Err(malformed(()));
        assert_eq!(es256(-7, 1, &x, &y), Ok(-7));
        assert_eq!(es256(-7, 2, &x, &y), malformed);
        assert_eq!(es256(-7, 1, &y, &x), malformed);
        assert_eq!(es256(-7, 1, &x[1..], &y), malformed);
        for other in [-35, -36, -47, -65535, 0, 7] {
            assert_eq!(es256(other, 1, &x, &y), Err(Refused::UnsupportedAlgorithm), "{other}");
        }
        let rs256 = |n: &[u8], e: &[u8]| {
            let map = [(1, Ok(3)), (3, Ok(-257)), (-1, Err(n)), (-2, Err(e))];
            PublicKey::parse(&cose(&map)).map(|key| key.algorithm())
        };
        let e = [1, 0, 1];
        assert_eq!(rs256(&[0xff; 256], &e), Ok(-257));
        assert_eq!(rs256(&[0xff; 512], &e), Ok(-257));
        for (n, e) in [
            (&[0xff; 255][..], &e[..]),
            (&[0xff; 513], &e),
            (&[0xfe; 256], &e),
            (&[&[0][..], &[0xff; 256]].concat(), &e),
            (&[0xff; 256], &[1]),
            (&[0xff; 256], &[2]),
            (&[0xff; 256], &[]),
            (&[0xff; 256], &[1; 5]),
        ] {
            assert_eq!(rs256(n, e), malformed, "{} {e:?}", n.len());
        }
        let ed25519 = |crv, x: &[u8]| {
            let map = [(1, Ok(1)), (3, Ok(-8)), (-1, Ok(crv)), (-2, Err(x))];
            PublicKey::parse(&cose(&map)).map(|key| key.algorithm())
        };
        assert_eq!(ed25519(6, &[9; 32]), Ok(-8));
        assert_eq!(ed25519(7, &[9; 57]), malformed);
        assert_eq!(ed25519(6, &[9; 31]), malformed);
    }
}
