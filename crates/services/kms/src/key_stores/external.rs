//! Stores behind external key store proxies.
//!
//! The words of refusals are those of the specification:
//! <https://github.com/aws/aws-kms-xksproxy-api-spec/blob/main/xks_proxy_api_spec.md#error-codes>

use super::KeyStores;
use super::records::XksProxy;
use crate::errors;
use ringfence_gateway::Regional;
use ringfence_gateway::clock::{Clock as _, SystemClock};
use ringfence_keyring::SecretBytes;
use ringfence_model_kms::types::{self, ConnectionErrorCodeType as Code};
use ringfence_wire::{ServiceError, Timestamp};
use ringfence_xks::{
    Credential, ErrorName, Failure, Health, KeyMetadata, Proxy, RequestMetadata, Wrapped,
};
use std::time::Instant;

/// What a request to a proxy is for: the same failure has other exceptions in other operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// CreateCustomKeyStore and UpdateCustomKeyStore.
    Store,
    CreateKey,
    /// A cryptographic operation.
    Use,
}

/// The time that signatures carry: the machine's, whatever time records are kept by.
fn now() -> Timestamp {
    SystemClock.now()
}

impl KeyStores {
    /// Runs `ask` with the client of a proxy.
    async fn through<T>(
        &self,
        proxy: &XksProxy,
        home: &Regional,
        ask: impl AsyncFnOnce(&Proxy<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let credential = Credential {
            access_key_id: proxy.access_key_id.to_string(),
            secret: proxy.secret.duplicate(),
        };
        let client = Proxy {
            endpoint: self.backends().reached(home.account, &proxy.endpoint),
            path: &proxy.path,
            credential: &credential,
            region: &home.region,
            patience: self.backends().xks_patience,
        };
        let done = ask(&client).await;
        if let Err(failure) = &done
            && let Some(untold) = self.warnings.due(&proxy.endpoint, Instant::now())
        {
            tracing::warn!(
                proxy = &*proxy.endpoint,
                %failure,
                untold,
                "an external key store proxy failed"
            );
        }
        done
    }

    /// Asks whether a proxy can work.
    pub(super) async fn health(
        &self,
        proxy: &XksProxy,
        home: &Regional,
        of: RequestMetadata,
    ) -> Result<Health, Failure> {
        self.through(proxy, home, async |client| client.health(of, now()).await).await
    }

    pub(super) async fn metadata(
        &self,
        proxy: &XksProxy,
        home: &Regional,
        key: &str,
        of: RequestMetadata,
    ) -> Result<KeyMetadata, Failure> {
        self.through(proxy, home, async |client| client.metadata(key, of, now()).await).await
    }

    pub(super) async fn wrap(
        &self,
        proxy: &XksProxy,
        home: &Regional,
        key: &str,
        of: RequestMetadata,
        aad: &[u8],
        plaintext: SecretBytes,
    ) -> Result<Wrapped, Failure> {
        self.through(proxy, home, async |client| {
            client.encrypt(key, of, aad, plaintext, now()).await
        })
        .await
    }

    pub(super) async fn unwrap(
        &self,
        proxy: &XksProxy,
        home: &Regional,
        key: &str,
        of: RequestMetadata,
        aad: &[u8],
        wrapped: Wrapped,
    ) -> Result<SecretBytes, Failure> {
        self.through(proxy, home, async |client| client.decrypt(key, of, aad, wrapped, now()).await)
            .await
    }
}

/// Whether the key behind a proxy can be a KMS key's.
///
/// # Errors
/// `XksKeyInvalidConfigurationException`.
pub(super) fn check_key(key: &KeyMetadata) -> Result<(), ServiceError> {
    let can = |usage: &str| key.key_usage.iter().any(|one| one == usage);
    let text = if key.key_status != "ENABLED" {
        NOT_ENABLED
    } else if key.key_spec != "AES_256" || !can("ENCRYPT") || !can("DECRYPT") {
        NOT_SUPPORTED
    } else {
        return Ok(());
    };
    Err(types::XksKeyInvalidConfigurationException::error(text))
}

/// Why a store cannot be connected.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_CustomKeyStoresListEntry.html>
pub(super) fn connection_error(failure: &Failure) -> Code {
    use ErrorName as E;
    match failure {
        Failure::Unreachable(_) => Code::XksProxyNotReachable,
        Failure::Untrusted(_) => Code::XksProxyInvalidTlsConfiguration,
        Failure::Late => Code::XksProxyTimedOut,
        Failure::Malformed(_) => Code::XksProxyInvalidResponse,
        Failure::Refused { name, .. } => match name {
            E::AuthenticationFailedException => Code::InvalidCredentials,
            E::AccessDeniedException => Code::XksProxyAccessDenied,
            E::InvalidUriPathException => Code::XksProxyInvalidConfiguration,
            E::DependencyTimeoutException => Code::XksProxyTimedOut,
            E::ThrottlingException | E::InternalException | E::InvalidStateException => {
                Code::XksProxyNotReachable
            }
            _ => Code::XksProxyInvalidResponse,
        },
    }
}

const UNREADABLE: &str = "AWS KMS cannot interpret the response from the external key store proxy. If you \
     see this error repeatedly, report it to your external key store proxy administrator.";
const NOT_ENABLED: &str = "The external key associated with this KMS key in an external key store is not \
     enabled in the external key manager. Enable the external key in the external key manager and retry \
     the request.";
const NOT_SUPPORTED: &str = "The external key associated with this KMS key in an external key store does \
     not support the requested operation. Enable the operation on the key in your external key manager, \
     and try the request again.";
const UNREACHABLE: &str = "AWS KMS cannot communicate with the external key store proxy. This might be a \
     transient network issue. If you see this error repeatedly, verify that your external key store proxy \
     is active and is connected to the network, and that its endpoint URI is correct in your external \
     keystore.";

/// All managers behind a proxy are unavailable.
pub(super) fn unavailable() -> ServiceError {
    types::XksProxyUriUnreachableException::error(
        "The external key store proxy reports that all external key manager instances are unavailable.",
    )
}

/// What a caller hears of a proxy that failed.
pub(super) fn refused(failure: &Failure, at: At) -> ServiceError {
    use ErrorName as E;
    let name = match failure {
        Failure::Refused { name, .. } => Some(*name),
        _ => None,
    };
    let text = match failure {
        Failure::Unreachable(_) => UNREACHABLE,
        Failure::Untrusted(_) => {
            "AWS KMS cannot establish a TLS connection to the external key store proxy. Verify the TLS \
             configuration, including its certificate."
        }
        Failure::Late => {
            "AWS KMS rejected the request because the external key store proxy did not respond in time. \
             Retry the request. If you see this error repeatedly, report it to your external key store \
             proxy administrator."
        }
        Failure::Malformed(_) => UNREADABLE,
        Failure::Refused { name, .. } => match name {
            E::ValidationException => UNREADABLE,
            E::InvalidStateException => NOT_ENABLED,
            E::InvalidCiphertextException => {
                "The external key store proxy rejected the request because the specified ciphertext or \
                 encryption context is corrupted, missing, or otherwise invalid."
            }
            E::InvalidKeyUsageException => NOT_SUPPORTED,
            E::AuthenticationFailedException => {
                "The external key store proxy rejected the request because it could not authenticate AWS \
                 KMS. Verify the XKS proxy authentication credentials for your external key store and \
                 update if necessary."
            }
            E::AccessDeniedException => {
                "The external key store proxy denied access to the operation. Verify that the user and \
                 the external key are both authorized for this operation, and try the request again."
            }
            E::KeyNotFoundException => {
                "The external key associated with this KMS key in an external key store was not found in \
                 its external key manager. If the external key ID associated with this KMS key is \
                 incorrect, create a new KMS key with the correct external key ID."
            }
            E::InvalidUriPathException => {
                "The external key store proxy rejected the request because of an invalid URI path. Verify \
                 the URI path for your external key store and update if necessary."
            }
            E::UnsupportedOperationException => {
                "The external key store proxy rejected the request because it does not support the \
                 requested operation. If you see this error repeatedly, report it to your external key \
                 store proxy administrator."
            }
            E::DependencyTimeoutException => {
                "The external key store proxy did not respond to the request in the time allotted. Retry \
                 the request. If you see this error repeatedly, report it to your external key store \
                 proxy administrator."
            }
            E::ThrottlingException => {
                "The external key store proxy rejected the request due to a very high request rate. \
                 Reduce the frequency of your calls using KMS keys in this external key store."
            }
            E::InternalException => {
                "The external key store proxy rejected the request because it cannot communicate with the \
                 external key manager. Verify that the external key store proxy configuration is correct \
                 and that the external key manager is available."
            }
        },
    };
    match (at, name) {
        (At::Use, _) | (At::CreateKey, Some(E::AccessDeniedException)) => {
            types::KMSInvalidStateException::error(text)
        }
        (At::CreateKey, Some(E::InvalidStateException | E::InvalidKeyUsageException)) => {
            types::XksKeyInvalidConfigurationException::error(text)
        }
        (At::CreateKey, Some(E::KeyNotFoundException)) => {
            types::XksKeyNotFoundException::error(text)
        }
        (At::CreateKey, _) => types::CustomKeyStoreInvalidStateException::error(text),
        (At::Store, Some(E::AuthenticationFailedException)) => {
            types::XksProxyIncorrectAuthenticationCredentialException::error(text)
        }
        (At::Store, Some(E::InvalidUriPathException)) => {
            types::XksProxyInvalidConfigurationException::error(text)
        }
        (At::Store, Some(E::DependencyTimeoutException | E::ThrottlingException)) => {
            types::XksProxyUriUnreachableException::error(text)
        }
        (At::Store, Some(_)) => types::XksProxyInvalidResponseException::error(text),
        (At::Store, None) if matches!(failure, Failure::Malformed(_)) => {
            types::XksProxyInvalidResponseException::error(text)
        }
        (At::Store, None) => types::XksProxyUriUnreachableException::error(text),
    }
}

/// What a proxy decrypted is not what we encrypted.
pub(super) fn invalid_plaintext() -> ServiceError {
    errors::bad_ciphertext()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exception_of_a_failure_is_that_of_its_operation() {
        let named = |name| Failure::Refused { name, message: "secret reason".into() };
        for (failure, store, key, used) in [
            (
                named(ErrorName::KeyNotFoundException),
                "XksProxyInvalidResponseException",
                "XksKeyNotFoundException",
                "KMSInvalidStateException",
            ),
            (
                named(ErrorName::AuthenticationFailedException),
                "XksProxyIncorrectAuthenticationCredentialException",
                "CustomKeyStoreInvalidStateException",
                "KMSInvalidStateException",
            ),
            (
                named(ErrorName::AccessDeniedException),
                "XksProxyInvalidResponseException",
                "KMSInvalidStateException",
                "KMSInvalidStateException",
            ),
            (
                Failure::Late,
                "XksProxyUriUnreachableException",
                "CustomKeyStoreInvalidStateException",
                "KMSInvalidStateException",
            ),
            (
                Failure::Malformed("x".into()),
                "XksProxyInvalidResponseException",
                "CustomKeyStoreInvalidStateException",
                "KMSInvalidStateException",
            ),
        ] {
            for (at, code) in [(At::Store, store), (At::CreateKey, key), (At::Use, used)] {
                let error = refused(&failure, at);
                assert_eq!(error.code, code, "{failure:?} {at:?}");
                // What a proxy says is for the log.
                assert!(!error.message.contains("secret reason"));
            }
        }
    }

    #[test]
    fn an_external_key_is_an_enabled_aes_256_key_for_both_ways() {
        let sound = KeyMetadata {
            key_spec: "AES_256".into(),
            key_usage: vec!["WRAP".into(), "DECRYPT".into(), "ENCRYPT".into()],
            key_status: "ENABLED".into(),
        };
        assert!(check_key(&sound).is_ok());
        for other in [
            KeyMetadata { key_spec: "AES_128".into(), ..sound.clone() },
            KeyMetadata { key_usage: vec!["ENCRYPT".into()], ..sound.clone() },
            KeyMetadata { key_status: "DISABLED".into(), ..sound },
        ] {
            let error = check_key(&other).unwrap_err();
            assert_eq!(error.code, "XksKeyInvalidConfigurationException");
        }
    }
}
