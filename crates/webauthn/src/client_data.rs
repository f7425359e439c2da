//! What the browser says of a ceremony: its kind, its challenge, and the page that asked.
//! <https://www.w3.org/TR/webauthn-3/#dictionary-client-data>

use crate::{Challenge, Refused, RelyingParty};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Which ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ceremony {
    Create,
    Get,
}

/// `CollectedClientData`; what it has more is left alone, as the standard asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    #[serde(default)]
    top_origin: Option<String>,
}

/// Checks it, and gives the hash that is signed.
pub(crate) fn check(
    json: &[u8],
    ceremony: Ceremony,
    party: &RelyingParty,
    challenge: &Challenge,
) -> Result<[u8; 32], Refused> {
    // A list would be taken for the fields in their order.
    if json.first() != Some(&b'{') {
        return Err(Refused::Malformed("clientDataJSON is no JSON object"));
    }
    let data: ClientData = serde_json::from_slice(json)
        .map_err(|_| Refused::Malformed("clientDataJSON is no JSON of client data"))?;
    let expected = match ceremony {
        Ceremony::Create => "webauthn.create",
        Ceremony::Get => "webauthn.get",
    };
    if data.r#type != expected {
        return Err(Refused::WrongCeremony);
    }
    let shown = URL_SAFE_NO_PAD.decode(&data.challenge).map_err(|_| Refused::WrongChallenge)?;
    if verify_slices_are_equal(&shown, challenge.as_bytes()).is_err() {
        return Err(Refused::WrongChallenge);
    }
    if !party.takes(&data.origin) {
        return Err(Refused::WrongOrigin);
    }
    if data.cross_origin || data.top_origin.is_some() {
        return Err(Refused::CrossOrigin);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, json).as_ref());
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_counts() {
        let party = RelyingParty::new("localhost", &["http://localhost:4566"]).unwrap();
        let challenge = Challenge::from([7; 32]);
        let text = URL_SAFE_NO_PAD.encode([7; 32]);
        let other = URL_SAFE_NO_PAD.encode([8; 32]);
        let with = |kind: &str, challenge: &str, origin: &str, more: &str| {
            let json = format!(
                r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{more}}}"#
            );
            check(json.as_bytes(), Ceremony::Get, &party, &Challenge::from([7; 32])).map(drop)
        };
        let here = "http://localhost:4566";
        let get = "webauthn.get";
        for (got, expected) in [
            (with(get, &text, here, ""), Ok(())),
            (with(get, &text, here, r#","crossOrigin":false,"extra":[1]"#), Ok(())),
            (with("webauthn.create", &text, here, ""), Err(Refused::WrongCeremony)),
            (with(get, &other, here, ""), Err(Refused::WrongChallenge)),
            (with(get, &text[1..], here, ""), Err(Refused::WrongChallenge)),
            (with(get, "", here, ""), Err(Refused::WrongChallenge)),
            (with(get, &text, "http://localhost:4567", ""), Err(Refused::WrongOrigin)),
            (with(get, &text, "https://localhost:4566", ""), Err(Refused::WrongOrigin)),
            (with(get, &text, "http://localhost:4566/", ""), Err(Refused::WrongOrigin)),
            (with(get, &text, here, r#","crossOrigin":true"#), Err(Refused::CrossOrigin)),
            (with(get, &text, here, r#","topOrigin":"https://e.org""#), Err(Refused::CrossOrigin)),
        ] {
            assert_eq!(got, expected);
        }
        let list = format!(r#"["{get}","{text}","{here}",false]"#);
        for bad in [&b"{}"[..], b"", b"\xff", b"null", list.as_bytes()] {
            let got = check(bad, Ceremony::Get, &party, &challenge);
            assert!(matches!(got, Err(Refused::Malformed(_))), "{bad:?}");
        }
        // A field that stands twice is none that two readers would agree on.
        let twice = with(get, &text, here, r#","origin":"http://localhost:4566""#);
        assert!(matches!(twice, Err(Refused::Malformed(_))));
    }
}
