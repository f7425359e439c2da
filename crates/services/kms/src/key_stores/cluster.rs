//! Stores on clusters of hardware security modules: a token of a PKCS#11 module.

use super::KeyStores;
use super::backends::Hsm;
use super::records::{Cluster, KeyStore};
use crate::errors;
use ringfence_keyring::SecretString;
use ringfence_model_kms::types::{self, ConnectionErrorCodeType as Code};
use ringfence_pkcs11::{Error, Token};
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use std::sync::Arc;
use std::time::Duration;

/// How long a module's answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

impl Hsm {
    /// Checks the certificate by which its owner knows the cluster, where the operator has told one.
    ///
    /// # Errors
    /// `IncorrectTrustAnchorException`.
    pub(super) fn check_anchor(&self, given: &str) -> Result<(), ServiceError> {
        let certificate = body(given).ok_or_else(wrong_anchor)?;
        let Some(file) = &self.anchor else { return Ok(()) };
        let known = std::fs::read_to_string(file).map_err(errors::failed)?;
        if body(&known).as_ref() == Some(&certificate) { Ok(()) } else { Err(wrong_anchor()) }
    }

    fn pin(&self, password: &SecretString) -> SecretString {
        match &self.user {
            // https://docs.aws.amazon.com/cloudhsm/latest/userguide/pkcs11-pin.html
            Some(user) => SecretString::new(format!("{user}:{}", password.expose())),
            None => password.duplicate(),
        }
    }
}

/// The Base64 of a certificate in PEM, without its line ends.
fn body(pem: &str) -> Option<String> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    (!body.is_empty()).then_some(body)
}

fn wrong_anchor() -> ServiceError {
    types::IncorrectTrustAnchorException::error(
        "The trust anchor certificate is not that of the specified AWS CloudHSM cluster.",
    )
}

impl KeyStores {
    /// The cluster of an id.
    ///
    /// # Errors
    /// `CloudHsmClusterNotFoundException`.
    pub(super) fn cluster(&self, account: AccountId, id: &str) -> Result<&Hsm, ServiceError> {
        self.backends().hsm(account, id).ok_or_else(|| {
            types::CloudHsmClusterNotFoundException::error(format!("Cluster {id} is not found."))
        })
    }

    /// The open token of a store, opened where it is not.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) async fn token(
        &self,
        account: AccountId,
        store: &Arc<str>,
        cluster: &Cluster,
    ) -> Result<Arc<Token>, Error> {
        let slot = self.slot(store);
        let mut slot = slot.lock().await;
        if let Some(token) = &*slot {
            return Ok(token.clone());
        }
        let hsm = self
            .backends()
            .hsm(account, &cluster.id)
            .ok_or_else(|| Error::Module("no --hsm names the cluster".into()))?;
        let pin = hsm.pin(&cluster.password);
        let token = Token::open_apart(hsm.module.clone(), hsm.token.clone(), pin, PATIENCE).await?;
        *slot = Some(token.clone());
        Ok(token)
    }

    /// Has the token of a store do something.
    ///
    /// # Errors
    /// As [`KeyStores::token`], and those of `work`.
    pub(super) async fn in_token<T: Send + 'static>(
        &self,
        account: AccountId,
        store: &KeyStore,
        cluster: &Cluster,
        work: impl FnOnce(&Token) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let token = self.token(account, &store.id, cluster).await?;
        let done = token.apart(PATIENCE, work).await;
        if let Err(error) = &done {
            tracing::warn!(store = &*store.id, cluster = &*cluster.id, %error, "a token failed");
        }
        done
    }
}

/// Why a store cannot be connected.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/fix-keystore.html#fix-keystore-failed>
pub(super) fn connection_error(error: &Error) -> Code {
    match error {
        Error::Pin => Code::InvalidCredentials,
        Error::PinLocked => Code::UserLockedOut,
        Error::Token { .. } => Code::InsufficientCloudhsmHsms,
        Error::Lost(_) | Error::Late => Code::NetworkErrors,
        _ => Code::InternalError,
    }
}

/// What a caller hears of a token that failed: for keys in custom key stores one exception stands for
/// every cause.
pub(super) fn refused(error: &Error) -> ServiceError {
    let text = match error {
        Error::Ciphertext => return errors::bad_ciphertext(),
        Error::Late => {
            return types::DependencyTimeoutException::error(
                "The AWS CloudHSM cluster did not respond in the time allotted. Retry the request.",
            );
        }
        Error::Key { .. } | Error::Exposed(_) => {
            "The key material of this KMS key was not found in the AWS CloudHSM cluster that is \
             associated with the custom key store."
        }
        Error::Pin | Error::PinLocked => {
            "AWS KMS cannot log in to the AWS CloudHSM cluster that is associated with the custom key \
             store. Disconnect the custom key store, update its password, and connect it again."
        }
        _ => {
            "AWS KMS cannot communicate with the AWS CloudHSM cluster that is associated with the \
             custom key store. Verify that the cluster is active, and try the request again."
        }
    };
    types::KMSInvalidStateException::error(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_cluster_with_a_known_anchor_takes_no_other() {
        let pem = |body: &str| {
            format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(pem("QUJD\nREVG").as_bytes()).unwrap();
        let mut hsm = Hsm::parse("cluster-aaaaaaaaaaa=module:/x.so,token:t").unwrap();
        let refused = |hsm: &Hsm, given: &str| hsm.check_anchor(given).map_err(|e| e.code);
        let wrong = Err("IncorrectTrustAnchorException".into());
        assert_eq!(refused(&hsm, &pem("AAAA")), Ok(()));
        assert_eq!(refused(&hsm, "no certificate"), wrong);
        hsm.anchor = Some(file.path().into());
        assert_eq!(refused(&hsm, &pem("QUJDREVG")), Ok(()));
        assert_eq!(refused(&hsm, &pem("AAAA")), wrong);
    }
}
