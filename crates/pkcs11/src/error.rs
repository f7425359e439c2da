//! What can go wrong with a module, by what a caller can do about it.

use cryptoki::error::{Error as Raw, RvError};

/// Why a module did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The library cannot be loaded, or is no PKCS#11 module.
    #[error("the PKCS#11 module cannot be used: {0}")]
    Module(String),
    /// No token, or more than one, has this label.
    #[error("{found} tokens are labelled `{label}`")]
    Token { label: String, found: usize },
    /// The token refuses the PIN.
    #[error("the token refuses the PIN")]
    Pin,
    /// The token takes no PIN any longer, or none has been set.
    #[error("the PIN of the token is locked, expired or not set")]
    PinLocked,
    /// One wrong PIN more would lock the token, so that ours is not tried.
    #[error("the token allows one try more of its PIN, which is left to its owner")]
    PinLastTry,
    /// The token has no key, or more than one, of this label.
    #[error("{found} keys are labelled `{label}`")]
    Key { label: String, found: usize },
    /// There is a key of this label already.
    #[error("a key is labelled `{0}` already")]
    KeyExists(String),
    /// The key can leave the token, or was not made in it.
    #[error("the key `{0}` is not bound to its token")]
    Exposed(String),
    /// The ciphertext is not whole, or not of this key, or was bound to something else.
    #[error("the ciphertext does not open")]
    Ciphertext,
    /// The token or what leads to it is gone, for now.
    #[error("the token does not answer: {0}")]
    Lost(String),
    /// The module took too long, or has too much to do.
    #[error("the token did not answer in time")]
    Late,
    /// The module cannot do this.
    #[error("the module does not support this: {0}")]
    Unsupported(String),
    /// The module has failed otherwise.
    #[error("the module failed: {0}")]
    Failed(String),
}

impl Error {
    /// What the module's own answer means.
    pub(crate) fn of(raw: &Raw) -> Self {
        let text = raw.to_string();
        let Raw::Pkcs11(code, _) = raw else {
            return match raw {
                Raw::LibraryLoading(_) | Raw::MissingSymbol(_) => Self::Module(text),
                Raw::NotSupported | Raw::NullFunctionPointer => Self::Unsupported(text),
                _ => Self::Failed(text),
            };
        };
        match code {
            RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange => Self::Pin,
            RvError::PinLocked | RvError::PinExpired | RvError::UserPinNotInitialized => {
                Self::PinLocked
            }
            RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange => Self::Ciphertext,
            RvError::FunctionNotSupported | RvError::MechanismInvalid => Self::Unsupported(text),
            // Handles and logins go with the session; a device or library that has failed may be well
            // again in a new one.
            RvError::SessionHandleInvalid
            | RvError::SessionClosed
            | RvError::DeviceRemoved
            | RvError::DeviceError
            | RvError::TokenNotPresent
            | RvError::TokenNotRecognized
            | RvError::SlotIdInvalid
            | RvError::CryptokiNotInitialized
            | RvError::UserNotLoggedIn
            | RvError::KeyHandleInvalid
            | RvError::ObjectHandleInvalid
            | RvError::OperationActive
            | RvError::OperationNotInitialized
            | RvError::GeneralError
            | RvError::FunctionFailed => Self::Lost(text),
            _ => Self::Failed(text),
        }
    }
}

impl From<Raw> for Error {
    fn from(raw: Raw) -> Self {
        Self::of(&raw)
    }
}
