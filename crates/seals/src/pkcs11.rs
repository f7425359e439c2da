//! The PKCS#11 seal: the root key is encrypted by an AES-256 key that a token made and that never
//! leaves it.
//!
//! The token is named by a URI (RFC 7512):
//! `pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE`. A PIN in the URI itself
//! (`pin-value`) is refused, because command lines are public; without `pin-source` it is taken
//! from the environment variable `RINGFENCE_PKCS11_PIN`.

use percent_encoding::percent_decode_str;
use ringfence_keyring::{
    Blob, HeldKind, HeldSeal, HolderFailed, SealedPlace, SecretBytes, SecretString,
};
use ringfence_pkcs11::{Module, Sealed, Token};
use std::path::PathBuf;

/// Where the PIN is where no file is named.
const PIN_VARIABLE: &str = "RINGFENCE_PKCS11_PIN";

/// Bytes of a file with a PIN; more is none.
const LONGEST_PIN: u64 = 1024;

/// A seal by a token.
#[derive(Debug)]
pub(crate) struct Pkcs11Seal {
    uri: Uri,
}

#[derive(Debug, PartialEq, Eq)]
struct Uri {
    token: String,
    object: String,
    module: PathBuf,
    pin: Option<PathBuf>,
}

impl Uri {
    /// Reads what stands behind `pkcs11:`. An attribute that this program would not heed is refused:
    /// the URI might mean another key.
    fn parse(text: &str) -> Option<Self> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut token, mut object, mut module, mut pin) = (None, None, None, None);
        for (name, value) in path.split(';').filter(|part| !part.is_empty()).map(attribute) {
            match name {
                "token" => set(&mut token, value?)?,
                "object" => set(&mut object, value?)?,
                "type" if value.as_deref() == Some("secret-key") => {}
                _ => return None,
            }
        }
        for (name, value) in query.split('&').filter(|part| !part.is_empty()).map(attribute) {
            match name {
                "module-path" => set(&mut module, value?)?,
                // A path, or a `file:` URI (section 2.4).
                "pin-source" => set(&mut pin, value?)?,
                _ => return None,
            }
        }
        let path_of = |source: String| {
            let path = source.strip_prefix("file:").unwrap_or(&source);
            let path = path.strip_prefix("//").unwrap_or(path);
            path.starts_with('/').then(|| PathBuf::from(path))
        };
        let pin = match pin {
            Some(source) => Some(path_of(source)?),
            None => None,
        };
        let module = PathBuf::from(module?);
        Some(Self { token: token?, object: object?, module, pin })
            .filter(|uri| uri.module.is_absolute())
    }
}

fn attribute(part: &str) -> (&str, Option<String>) {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    let value = percent_decode_str(value).decode_utf8().ok().map(|value| value.into_owned());
    (name, value.filter(|value| !value.is_empty()))
}

/// Each attribute stands once (section 2.3).
fn set(slot: &mut Option<String>, value: String) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

impl Pkcs11Seal {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Uri::parse(text).map(|uri| Self { uri })
    }

    fn pin(&self) -> Result<SecretString, HolderFailed> {
        match &self.uri.pin {
            // The same rules as for a passphrase in a file.
            Some(path) => ringfence_keyring::secret_line(path, LONGEST_PIN).map_err(failed),
            None => std::env::var(PIN_VARIABLE)
                .map(SecretString::new)
                // The error of `env::var` holds the value when it is not UTF-8.
                .map_err(|_| {
                    HolderFailed(format!(
                        "there is no PIN: name a file by `pin-source`, or set {PIN_VARIABLE}"
                    ))
                }),
        }
    }

    fn open(&self) -> Result<Token, HolderFailed> {
        let module = Module::load(&self.uri.module).map_err(failed)?;
        Token::open(module, &self.uri.token, self.pin()?).map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> HolderFailed {
    HolderFailed(error.to_string())
}

/// What a wrapped root key is bound to.
fn associated_data(place: &SealedPlace) -> Vec<u8> {
    [b"ringfence root key, wrapped by a token, 1", &place.id[..]].concat()
}

const IV: &str = "iv";
const CIPHERTEXT: &str = "ciphertext";

impl HeldSeal for Pkcs11Seal {
    fn kind(&self) -> HeldKind {
        HeldKind::Pkcs11
    }

    fn in_words(&self) -> String {
        format!("PKCS#11 token `{}`, key `{}`", self.uri.token, self.uri.object)
    }

    /// Makes the key where the token has none of that label.
    fn wrap(&self, root: &SecretBytes, place: &SealedPlace) -> Result<Blob, HolderFailed> {
        let token = self.open()?;
        let key = &self.uri.object;
        if !token.has_key(key).map_err(failed)? {
            token.make_key(key).map_err(failed)?;
        }
        let Sealed { iv, ciphertext } =
            token.encrypt(key, &associated_data(place), root.expose()).map_err(failed)?;
        let mut blob = Blob::default();
        blob.about.insert("token".to_owned(), self.uri.token.clone());
        blob.about.insert("object".to_owned(), key.clone());
        blob.data.insert(IV.to_owned(), iv.to_vec());
        blob.data.insert(CIPHERTEXT.to_owned(), ciphertext);
        Ok(blob)
    }

    fn unwrap(&self, blob: &Blob, place: &SealedPlace) -> Result<SecretBytes, HolderFailed> {
        let iv = blob.data(IV)?.try_into();
        let iv = iv.map_err(|_| HolderFailed("`seal.json` was altered".into()))?;
        let sealed = Sealed { iv, ciphertext: blob.data(CIPHERTEXT)?.to_vec() };
        self.open()?.decrypt(&self.uri.object, &associated_data(place), &sealed).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_token_key_module_and_where_the_pin_is() {
        let uri = Uri::parse(
            "token=My%20HSM;object=root?module-path=/usr/lib/hsm.so&pin-source=file:///run/pin",
        );
        assert_eq!(
            uri,
            Some(Uri {
                token: "My HSM".into(),
                object: "root".into(),
                module: "/usr/lib/hsm.so".into(),
                pin: Some("/run/pin".into()),
            })
        );
        for source in ["/run/pin", "file:/run/pin"] {
            let text =
                format!("object=o;token=t;type=secret-key?pin-source={source}&module-path=/m");
            assert_eq!(Uri::parse(&text).unwrap().pin, Some("/run/pin".into()));
        }
        assert_eq!(Uri::parse("token=t;object=o?module-path=/m").unwrap().pin, None);
    }

    #[test]
    fn a_uri_with_a_pin_or_with_what_is_not_heeded_is_refused() {
        for text in [
            "",
            "token=t;object=o",
            "token=t?module-path=/m",
            "object=o?module-path=/m",
            "token=t;object=o?module-path=m.so",
            "token=t;token=u;object=o?module-path=/m",
            "token=t;object=o;serial=1?module-path=/m",
            "token=t;object=o?module-path=/m&pin-value=1234",
            "token=t;object=o?module-path=/m&pin-source=|cat",
            "token=t;object=o;type=private?module-path=/m",
            "token=t;object=?module-path=/m",
        ] {
            assert_eq!(Uri::parse(text), None, "{text}");
        }
    }
}
