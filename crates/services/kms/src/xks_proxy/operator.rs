//! What the operator of a server does to its proxies, while it is stopped.

use super::records::{OpenKey, ProxyCredential};
use super::{can_be_open, key_id};
use crate::Kms;
use crate::records::Record;
use crate::state::{Region, open_key_key, proxy_credential_key};
use data_encoding::{BASE32_NOPAD, BASE64};
use ringfence_gateway::{Batch, Regional};
use ringfence_keyring::{SecretBytes, SecretString, Zeroizing};
use std::sync::Arc;

/// Credentials of a region's proxy: two at once, so that one can take the other's place, and some more.
const MOST_CREDENTIALS: usize = 10;

/// Bytes of a secret: 256 bits, as the specification's appendix A asks for.
const SECRET: usize = 32;

/// Why something was not done to a proxy.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    #[error("there is no key `{0}` in this account and region")]
    NoKey(String),
    #[error("the key `{0}` is no symmetric encryption key whose material is held here")]
    WrongKey(String),
    #[error(
        "`{0}` is no external key id: 1 to 128 letters, digits, hyphens, periods and underscores"
    )]
    BadId(String),
    #[error("`{0}` is open already")]
    Open(String),
    #[error("`{0}` is not open")]
    NotOpen(String),
    #[error("there is no credential `{0}`")]
    NoCredential(String),
    #[error("a proxy has at most {MOST_CREDENTIALS} credentials")]
    TooMany,
    #[error("{0}")]
    Failed(String),
}

/// A credential, shown once.
#[derive(Debug)]
pub struct NewCredential {
    pub access_key_id: String,
    pub secret: SecretString,
}

impl Kms {
    /// Makes a credential of a region's proxy.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn make_proxy_credential(&self, home: &Regional) -> Result<NewCredential, NotDone> {
        let failed = |why: &dyn std::fmt::Display| NotDone::Failed(why.to_string());
        // 26 characters of A to Z and 2 to 7; appendix A asks for 20 to 30.
        let mut id = [0; 16];
        self.random.fill(&mut id).map_err(|why| failed(&why))?;
        let access_key_id = BASE32_NOPAD.encode(&id);
        let secret = SecretBytes::random(SECRET).map_err(|why| failed(&why))?;
        let text = Zeroizing::new(BASE64.encode(secret.expose()));
        let secret = || SecretString::new(text.to_string());
        let credential = Arc::new(ProxyCredential {
            access_key_id: access_key_id.as_str().into(),
            created: self.clock.now().seconds,
            secret: secret(),
        });
        self.write(home, |region, batch| {
            if region.proxy_credentials.len() >= MOST_CREDENTIALS {
                return Err(NotDone::TooMany);
            }
            batch.put(Record::ProxyCredential(credential.clone()));
            Ok(())
        })
        .await?;
        Ok(NewCredential { access_key_id, secret: secret() })
    }

    /// Takes a credential away.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn revoke_proxy_credential(&self, home: &Regional, id: &str) -> Result<(), NotDone> {
        self.write(home, |region, batch| {
            if !region.proxy_credentials.contains_key(id) {
                return Err(NotDone::NoCredential(id.to_owned()));
            }
            batch.delete(proxy_credential_key(id));
            Ok(())
        })
        .await
    }

    /// Opens a key to those who have a credential; by its own id, unless another is given.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn open_key(
        &self,
        home: &Regional,
        key: &str,
        id: Option<&str>,
    ) -> Result<String, NotDone> {
        let no_key = || NotDone::NoKey(key.to_owned());
        let own = key_id(key, home).ok_or_else(no_key)?;
        let id = id.unwrap_or(&own);
        let sound = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=128).contains(&id.len()) || !id.bytes().all(sound) {
            return Err(NotDone::BadId(id.to_owned()));
        }
        let created = self.clock.now().seconds;
        self.write(home, |region, batch| {
            let found = region.keys.get(own.as_str()).filter(|key| !key.is_over(created));
            let found = found.ok_or_else(no_key)?;
            if !can_be_open(found) {
                return Err(NotDone::WrongKey(key.to_owned()));
            }
            if region.open_keys.contains_key(id) {
                return Err(NotDone::Open(id.to_owned()));
            }
            let open = OpenKey { id: id.into(), key: found.id.clone(), created };
            batch.put(Record::OpenKey(Arc::new(open)));
            Ok(())
        })
        .await?;
        Ok(id.to_owned())
    }

    /// Closes a key that was open. What was encrypted under it is of no use until it is opened again.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn close_key(&self, home: &Regional, id: &str) -> Result<(), NotDone> {
        self.write(home, |region, batch| {
            if !region.open_keys.contains_key(id) {
                return Err(NotDone::NotOpen(id.to_owned()));
            }
            batch.delete(open_key_key(id));
            Ok(())
        })
        .await
    }

    async fn write(
        &self,
        home: &Regional,
        mut write: impl FnMut(&Region, &mut Batch<Region>) -> Result<(), NotDone>,
    ) -> Result<(), NotDone> {
        let ledger = self.ledgers.get_or_make(home).map_err(|e| NotDone::Failed(e.to_string()))?;
        let mut refused = None;
        let written = ledger
            .write_unasked(|region, batch| {
                refused = write(region, batch).err();
                Ok(())
            })
            .await;
        match (refused, written) {
            (Some(refused), _) => Err(refused),
            (None, Err(error)) => Err(NotDone::Failed(error.message.to_string())),
            (None, Ok(())) => Ok(()),
        }
    }
}
