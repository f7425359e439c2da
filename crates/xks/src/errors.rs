//! The errors of the API, and their HTTP status codes.

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($($name:ident = $status:literal),* $(,)?) => {
        /// What a proxy calls an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorName { $($name,)* }

        impl ErrorName {
            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// Reads a name.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }
        }
    };
}

names! {
    ValidationException = 400,
    InvalidStateException = 400,
    InvalidCiphertextException = 400,
    InvalidKeyUsageException = 400,
    AuthenticationFailedException = 401,
    AccessDeniedException = 403,
    KeyNotFoundException = 404,
    InvalidUriPathException = 404,
    ThrottlingException = 429,
    UnsupportedOperationException = 501,
    DependencyTimeoutException = 503,
    InternalException = 500,
}

/// Most characters of a message.
const LONGEST: usize = 511;

/// Why a proxy did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", name.as_str())]
pub struct Refusal {
    pub name: ErrorName,
    pub message: String,
}

impl Refusal {
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Self { name, message: message.into() }
    }

    /// As the answer's body carries it: printable ASCII, fewer than 512 characters.
    pub(crate) fn body(&self) -> Body {
        let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
        let message = self.message.chars().map(printable).take(LONGEST).collect();
        Body { error_name: self.name.as_str().to_owned(), error_message: Some(message) }
    }
}

/// The body of an error.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Body {
    pub error_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_message_is_printable_and_short() {
        let long = Refusal::new(ErrorName::InternalException, "é\n".repeat(400));
        let body = long.body();
        let message = body.error_message.unwrap();
        assert_eq!((message.len(), body.error_name.as_str()), (511, "InternalException"));
        assert!(message.bytes().all(|b| (0x20..=0x7e).contains(&b)));
        assert_eq!(ErrorName::parse("InternalException"), Some(ErrorName::InternalException));
        assert_eq!(ErrorName::parse("Exception"), None);
    }
}
