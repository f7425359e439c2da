//! A token's two parts and its signature (RFC 7515, compact form).

use super::claims::{Claims, unique};
use super::keys::{Algorithm, KeySet};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A token that has been read, and that nothing is believed of yet.
#[derive(Debug)]
pub struct Token<'t> {
    signed: &'t [u8],
    signature: Vec<u8>,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Claims,
}

/// It is no signed token, or one of a kind that AWS does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the text is no signed JSON web token")]
pub struct NotAToken;

impl<'t> Token<'t> {
    /// Reads one.
    ///
    /// # Errors
    /// [`NotAToken`]; an algorithm that needs no key, or a secret one, is none.
    pub fn parse(text: &'t str) -> Result<Self, NotAToken> {
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAToken);
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| NotAToken);
        let header = unique(&decode(header)?).ok_or(NotAToken)?;
        let claims = unique(&decode(payload)?).ok_or(NotAToken)?;
        // What must be understood and is not (RFC 7515, section 4.1.11), and unencoded payloads.
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(NotAToken);
        }
        let algorithm = header.get("alg").and_then(|alg| Algorithm::of(alg.as_str()?));
        let kid = match header.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(NotAToken)?.to_owned()),
        };
        let end = text.rfind('.').unwrap_or_default();
        Ok(Self {
            signed: &text.as_bytes()[..end],
            signature: decode(signature)?,
            algorithm: algorithm.ok_or(NotAToken)?,
            kid,
            claims: Claims::new(claims),
        })
    }

    /// Who claims to have issued it: what picks the keys, and nothing else.
    pub fn claimed_issuer(&self) -> Option<&str> {
        self.claims.text("iss")
    }

    /// Whether the keys hold one that may have signed it.
    pub fn has_key_in(&self, keys: &KeySet) -> bool {
        keys.candidates(self.algorithm, self.kid.as_deref()).next().is_some()
    }

    /// Its claims, if one of the keys signed it.
    pub fn verified(self, keys: &KeySet) -> Option<Claims> {
        let mut candidates = keys.candidates(self.algorithm, self.kid.as_deref());
        candidates
            .any(|key| key.verifies(self.algorithm, self.signed, &self.signature))
            .then_some(self.claims)
    }

    #[cfg(test)]
    pub fn unverified(self) -> Claims {
        self.claims
    }
}
