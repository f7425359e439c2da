//! Stores on clusters of hardware security modules: a token of a PKCS#11 module.

use super::KeyStores;
use super::backends::Hsm;
use super::records::{Cluster, KeyStore};
use super::slot::{Found, Outcome, Slot};
use crate::errors;
use ringfence_keyring::SecretString;
use ringfence_model_kms::types::{self, ConnectionErrorCodeType as Code};
use ringfence_pkcs11::{Error, Token};
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a module's answer is waited for: to opening its token, and to what is asked of it then.
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

    /// The open token of a store, opened where it is not. The opening goes on when nobody waits for it
    /// any longer: whether the token refuses the PIN is known also where it takes its time to say so.
    ///
    /// # Errors
    /// Why it cannot be; [`Error::Late`].
    async fn token(
        &self,
        account: AccountId,
        store: &KeyStore,
        cluster: &Cluster,
    ) -> Result<Arc<Token>, Error> {
        let slot = self.slot(&store.id);
        let mut outcome = match slot.token(store.changes)? {
            Found::Open(token) => return Ok(token),
            Found::Opening(outcome) => outcome,
            Found::Nothing(tell, outcome) => {
                let hsm = self.backends().hsm(account, &cluster.id).cloned();
                let pin = hsm.as_ref().map(|hsm| hsm.pin(&cluster.password));
                tokio::spawn(open(slot, store.changes, hsm.zip(pin), tell));
                outcome
            }
        };
        let heard = outcome.wait_for(Option::is_some).await.map_err(|_| Error::Late)?;
        heard.clone().unwrap_or(Err(Error::Late))
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
        let deadline = Instant::now() + PATIENCE;
        let token = tokio::time::timeout_at(deadline, self.token(account, store, cluster)).await;
        let token = token.map_err(|_| Error::Late)??;
        let left = deadline.saturating_duration_since(Instant::now());
        let done = token.apart(left, work).await;
        if let Err(error) = &done {
            tracing::warn!(store = &*store.id, cluster = &*cluster.id, %error, "a token failed");
        }
        done
    }
}

/// Opens a token, and tells those who wait for it.
async fn open(
    slot: Arc<Slot>,
    state: u64,
    at: Option<(Hsm, SecretString)>,
    tell: watch::Sender<Outcome>,
) {
    let opened = match at {
        Some((hsm, pin)) => Token::open_apart(hsm.module, hsm.token, pin).await,
        None => Err(Error::Module("no --hsm names the cluster".into())),
    };
    slot.opened(state, &opened);
    tell.send_replace(Some(opened));
}

/// Why a store cannot be connected.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/fix-keystore.html#fix-keystore-failed>
pub(super) fn connection_error(error: &Error) -> Code {
    match error {
        Error::Pin => Code::InvalidCredentials,
        Error::PinLocked | Error::PinLastTry => Code::UserLockedOut,
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
        Error::Pin | Error::PinLocked | Error::PinLastTry => {
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
