//! The keys of an issuer, a JSON web key set (RFC 7517), and the signatures that they verify.

use aws_lc_rs::signature::{
    self, EcdsaVerificationAlgorithm, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Keys of one kind that one issuer may have, RSA's and EC's apart.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html>
const MOST: usize = 100;

/// Bits of an RSA modulus at least and at most.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// How a token is signed. AWS takes RSA and ECDSA; PS256 and its kin are RSA by a better padding.
/// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
}

impl Algorithm {
    /// The one of this name; `None` for `none`, for `HS256` and whatever else is not asymmetric.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            _ => return None,
        })
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Self::Es256 | Self::Es384 | Self::Es512 => return None,
        })
    }

    fn ec(self) -> Option<(Curve, &'static EcdsaVerificationAlgorithm)> {
        Some(match self {
            Self::Es256 => (Curve::P256, &signature::ECDSA_P256_SHA256_FIXED),
            Self::Es384 => (Curve::P384, &signature::ECDSA_P384_SHA384_FIXED),
            Self::Es512 => (Curve::P521, &signature::ECDSA_P521_SHA512_FIXED),
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// The curve of this name and the bytes of a coordinate on it.
    fn of(name: &str) -> Option<(Self, usize)> {
        Some(match name {
            "P-256" => (Self::P256, 32),
            "P-384" => (Self::P384, 48),
            "P-521" => (Self::P521, 66),
            _ => return None,
        })
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    kid: Option<String>,
    /// The one algorithm that it is for, where its issuer says so.
    only: Option<String>,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
}

impl Key {
    /// Reads one; `None` for a kind of key or a use that no token is signed with here.
    fn of(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        if text("use").is_some_and(|use_| use_ != "sig") {
            return None;
        }
        let material = match text("kty")? {
            "RSA" => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                let leading = n.iter().take_while(|byte| **byte == 0).count();
                let n = n.get(leading..)?.to_vec();
                let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
                RSA_BITS.contains(&bits).then_some(Material::Rsa { n, e })?
            }
            "EC" => {
                let (curve, size) = Curve::of(text("crv")?)?;
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != size || y.len() != size {
                    return None;
                }
                Material::Ec { curve, point: [&[4][..], &x, &y].concat() }
            }
            _ => return None,
        };
        let owned = |name: &str| text(name).map(str::to_owned);
        Some(Self { kid: owned("kid"), only: owned("alg"), material })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let meant = self.only.as_deref().is_none_or(|only| Algorithm::of(only) == Some(algorithm));
        meant
            && match self.material {
                Material::Rsa { .. } => algorithm.rsa().is_some(),
                Material::Ec { curve, .. } => algorithm.ec().is_some_and(|(own, _)| own == curve),
            }
    }

    /// Whether it made this signature.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match (&self.material, algorithm.rsa(), algorithm.ec()) {
            (Material::Rsa { n, e }, Some(parameters), _) => {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            }
            (Material::Ec { curve, point }, _, Some((own, parameters))) if *curve == own => {
                UnparsedPublicKey::new(parameters, point).verify(message, signature).is_ok()
            }
            _ => false,
        }
    }
}

/// An issuer's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

/// Why a text is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKeySet {
    /// It has no list of keys.
    #[error("it is no JSON web key set: an object with a list `keys`")]
    Form,
    /// AWS takes no more.
    #[error("it has more than 100 RSA keys or more than 100 EC keys")]
    TooMany,
}

impl KeySet {
    /// Reads a key set. Keys of kinds that are not known are passed over (RFC 7517, section 5).
    ///
    /// # Errors
    /// [`NoKeySet`].
    pub fn parse(json: &[u8]) -> Result<Self, NoKeySet> {
        let set: Value = serde_json::from_slice(json).map_err(|_| NoKeySet::Form)?;
        let listed = set.get("keys").and_then(Value::as_array).ok_or(NoKeySet::Form)?;
        let keys: Vec<Key> = listed.iter().filter_map(Key::of).collect();
        let rsa = keys.iter().filter(|key| matches!(key.material, Material::Rsa { .. })).count();
        if rsa > MOST || keys.len() - rsa > MOST {
            return Err(NoKeySet::TooMany);
        }
        Ok(Self(keys))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys that a token with this header may be signed with. One that names no key is for an
    /// issuer that has a single one.
    pub fn candidates(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> impl Iterator<Item = &Key> {
        let single = self.0.len() == 1;
        self.0.iter().filter(move |key| {
            let named = match kid {
                Some(kid) => key.kid.as_deref() == Some(kid),
                None => single,
            };
            named && key.fits(algorithm)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515, appendix A.2 and A.3: keys, and tokens that they signed.
    const RSA: &str = r#"{"kty":"RSA","kid":"r","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
    const EC: &str = r#"{"kty":"EC","kid":"e","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const RS256: (&str, &str) = (
        "eyJhbGciOiJSUzI1NiJ9",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    const ES256: (&str, &str) = (
        "eyJhbGciOiJFUzI1NiJ9",
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );

    fn set(keys: &[&str]) -> KeySet {
        KeySet::parse(format!("{{\"keys\":[{}]}}", keys.join(",")).as_bytes()).unwrap()
    }

    fn verified(keys: &KeySet, algorithm: Algorithm, (header, signature): (&str, &str)) -> bool {
        let message = format!("{header}.{PAYLOAD}");
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        keys.candidates(algorithm, None)
            .any(|key| key.verifies(algorithm, message.as_bytes(), &signature))
    }

    #[test]
    fn the_rfcs_examples_verify_by_their_own_key_and_algorithm_alone() {
        assert!(verified(&set(&[RSA]), Algorithm::Rs256, RS256));
        assert!(verified(&set(&[EC]), Algorithm::Es256, ES256));
        for (key, algorithm, token) in [
            (RSA, Algorithm::Rs512, RS256),
            (RSA, Algorithm::Ps256, RS256),
            (RSA, Algorithm::Es256, ES256),
            (EC, Algorithm::Es384, ES256),
            (EC, Algorithm::Rs256, RS256),
            (EC, Algorithm::Es256, RS256),
        ] {
            assert!(!verified(&set(&[key]), algorithm, token), "{algorithm:?}");
        }
    }

    #[test]
    fn a_token_without_a_kid_is_for_an_issuer_with_a_single_key() {
        let both = set(&[RSA, EC]);
        assert!(both.candidates(Algorithm::Rs256, None).next().is_none());
        assert!(both.candidates(Algorithm::Rs256, Some("r")).next().is_some());
        assert!(both.candidates(Algorithm::Rs256, Some("e")).next().is_none());
        assert!(both.candidates(Algorithm::Rs256, Some("../r")).next().is_none());
    }

    #[test]
    fn keys_for_other_ends_are_passed_over() {
        let with = |key: &str, more: &str| key.replacen('{', &format!("{{{more},"), 1);
        for key in [
            with(RSA, r#""use":"enc""#),
            r#"{"kty":"oct","k":"AAAA"}"#.to_owned(),
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#.to_owned(),
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#.to_owned(),
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#.to_owned(),
            "7".to_owned(),
        ] {
            assert_eq!(set(&[&key]).len(), 0, "{key}");
        }
        let only = set(&[&with(RSA, r#""use":"sig","alg":"RS512""#)]);
        assert!(only.candidates(Algorithm::Rs256, None).next().is_none());
        assert!(only.candidates(Algorithm::Rs512, None).next().is_some());
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        for json in ["", "[]", "{}", r#"{"keys":7}"#, "{\"keys\":[]"] {
            assert_eq!(KeySet::parse(json.as_bytes()), Err(NoKeySet::Form), "{json}");
        }
        let many = format!("{{\"keys\":[{}]}}", vec![EC; 101].join(","));
        assert_eq!(KeySet::parse(many.as_bytes()), Err(NoKeySet::TooMany));
    }

    #[test]
    fn no_algorithm_is_without_a_public_key() {
        for name in ["none", "None", "HS256", "HS384", "HS512", "EdDSA", "rs256", ""] {
            assert_eq!(Algorithm::of(name), None, "{name}");
        }
    }
}
