//! AES-256 keys in a token: made inside, used inside, destroyed inside.

use crate::error::Error;
use crate::token::Token;
use cryptoki::error::{Error as Raw, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use ringfence_keyring::{Random as _, SecretBytes, SystemRandom};

/// Bytes of an initialization vector, and of a tag.
const IV: usize = 12;
const TAG: usize = 16;

/// Bytes of a key.
const KEY: u64 = 32;

/// A ciphertext of AES-256-GCM and the initialization vector that it was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    pub iv: [u8; IV],
    /// Its last 16 bytes are the tag.
    pub ciphertext: Vec<u8>,
}

impl Token {
    /// Makes an AES-256 key that never leaves the token.
    ///
    /// # Errors
    /// [`Error::KeyExists`]; [`Error::Exposed`] for a module that did not bind the key as it was told:
    /// then there is no key.
    pub fn make_key(&self, label: &str) -> Result<(), Error> {
        self.run(|session| {
            // Also where a first attempt made the key and was cut short before it said so.
            if !session.find_objects(&template(label))?.is_empty() {
                return Err(Error::KeyExists(label.to_owned()));
            }
            let key = session.generate_key(&Mechanism::AesKeyGen, &new_key(label))?;
            bound(session, key, label).inspect_err(|_| drop(session.destroy_object(key)))
        })
    }

    /// Whether it has the key of a label, and whether that is bound to it.
    ///
    /// # Errors
    /// [`Error::Exposed`]; [`Error::Key`] where there are several.
    pub fn has_key(&self, label: &str) -> Result<bool, Error> {
        match self.run(|session| find(session, label)) {
            Ok(_) => Ok(true),
            Err(Error::Key { found: 0, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Encrypts by AES-256-GCM, binding `aad`.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Lost`].
    pub fn encrypt(&self, label: &str, aad: &[u8], plaintext: &[u8]) -> Result<Sealed, Error> {
        self.run(|session| {
            let key = find(session, label)?;
            let mut iv = [0; IV];
            SystemRandom.fill(&mut iv).map_err(|why| Error::Failed(why.to_string()))?;
            let ciphertext = match gcm(session, key, &mut iv, aad, plaintext) {
                // It makes its own, and takes nothing else for an answer.
                Err(Raw::Pkcs11(RvError::MechanismParamInvalid | RvError::ArgumentsBad, _)) => {
                    iv = [0; IV];
                    gcm(session, key, &mut iv, aad, plaintext)?
                }
                done => done?,
            };
            if iv == [0; IV] {
                return Err(Error::Unsupported("no initialization vector was made".into()));
            }
            if ciphertext.len() != plaintext.len() + TAG {
                return Err(Error::Failed("a ciphertext of another length".into()));
            }
            Ok(Sealed { iv, ciphertext })
        })
    }

    /// Decrypts what [`Token::encrypt`] made with the same `aad`.
    ///
    /// # Errors
    /// [`Error::Ciphertext`], [`Error::Key`], [`Error::Lost`].
    pub fn decrypt(&self, label: &str, aad: &[u8], sealed: &Sealed) -> Result<SecretBytes, Error> {
        if sealed.ciphertext.len() < TAG {
            return Err(Error::Ciphertext);
        }
        self.run(|session| {
            let key = find(session, label)?;
            let mut iv = sealed.iv;
            let gcm = GcmParams::new(&mut iv, aad, TAG_BITS.into())?;
            let opened = session.decrypt(&Mechanism::AesGcm(gcm), key, &sealed.ciphertext);
            let opened = opened.map(SecretBytes::new).map_err(|raw| match raw {
                // Modules do not agree on how they say that a tag is wrong.
                Raw::Pkcs11(
                    RvError::GeneralError
                    | RvError::FunctionFailed
                    | RvError::DataInvalid
                    | RvError::DataLenRange
                    | RvError::SignatureInvalid,
                    _,
                ) if session.get_session_info().is_ok() => Error::Ciphertext,
                raw => Error::of(&raw),
            })?;
            if opened.len() + TAG != sealed.ciphertext.len() {
                return Err(Error::Failed("a plaintext of another length".into()));
            }
            Ok(opened)
        })
    }

    /// Destroys the key of a label. A key that is not there is destroyed.
    ///
    /// # Errors
    /// [`Error::Lost`], [`Error::Failed`] where the token does not let it.
    pub fn destroy_key(&self, label: &str) -> Result<(), Error> {
        self.run(|session| {
            for key in session.find_objects(&template(label))? {
                session.destroy_object(key)?;
            }
            Ok(())
        })
    }
}

const TAG_BITS: u64 = 8 * TAG as u64;

fn gcm(
    session: &Session,
    key: ObjectHandle,
    iv: &mut [u8; IV],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Raw> {
    let gcm = GcmParams::new(iv, aad, TAG_BITS.into())?;
    session.encrypt(&Mechanism::AesGcm(gcm), key, plaintext)
}

/// What finds the key of a label.
fn template(label: &str) -> [Attribute; 4] {
    [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
        Attribute::Label(label.as_bytes().to_vec()),
    ]
}

/// What a new key is to be.
fn new_key(label: &str) -> Vec<Attribute> {
    let mut all = template(label).to_vec();
    all.extend([
        Attribute::Id(label.as_bytes().to_vec()),
        Attribute::ValueLen(KEY.into()),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
    ]);
    all
}

fn find(session: &Session, label: &str) -> Result<ObjectHandle, Error> {
    let found = session.find_objects(&template(label))?;
    let [key] = found.as_slice() else {
        return Err(Error::Key { label: label.to_owned(), found: found.len() });
    };
    bound(session, *key, label)?;
    Ok(*key)
}

/// A key must be sensitive, not extractable, and have been so since it was made in the token: then
/// nobody, its owner and ourselves included, has ever seen it.
fn bound(session: &Session, key: ObjectHandle, label: &str) -> Result<(), Error> {
    let asked = [
        AttributeType::Sensitive,
        AttributeType::AlwaysSensitive,
        AttributeType::Extractable,
        AttributeType::NeverExtractable,
        AttributeType::Local,
    ];
    let said = session.get_attributes(key, &asked)?;
    let is = |wanted: &Attribute| said.contains(wanted);
    let bound = is(&Attribute::Sensitive(true))
        && is(&Attribute::AlwaysSensitive(true))
        && is(&Attribute::Extractable(false))
        && is(&Attribute::NeverExtractable(true))
        && is(&Attribute::Local(true));
    if bound { Ok(()) } else { Err(Error::Exposed(label.to_owned())) }
}
