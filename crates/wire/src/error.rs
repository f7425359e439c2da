//! An error on its way to a client, before a protocol has written it.

use crate::shape::ErrorShape;
use crate::value::Structure;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// An error of a service: code, message, status, and the members of its shape where it has one.
#[derive(Clone)]
pub struct ServiceError {
    /// The code that clients match on, for example `NoSuchEntity`.
    pub code: Cow<'static, str>,
    /// The shape's name, which json and CBOR clients match on where it differs from the code.
    pub shape: Option<&'static str>,
    /// What a person reads.
    pub message: String,
    /// HTTP status.
    pub status: u16,
    /// Whether the caller is at fault.
    pub sender: bool,
    /// The error's members, for those that have more than a message.
    pub fields: Option<Arc<dyn Structure>>,
    /// Further headers of the answer, by their names in lower case.
    pub headers: Vec<(&'static str, String)>,
}

impl ServiceError {
    /// An error that no model lists: the common errors of AWS.
    // Errors are rare: what leads to them is laid out of the way of what does not, here and below.
    #[cold]
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        status: u16,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code: code.into(),
            shape: None,
            message: message.into(),
            status,
            sender: status < 500,
            fields: None,
            headers: Vec::new(),
        }
    }

    /// An error of a service's model.
    #[cold]
    pub fn modeled(fields: Arc<dyn Structure>) -> Self {
        let shape = fields.shape();
        let ErrorShape { code, status, sender } = shape
            .as_structure()
            .and_then(|s| s.error)
            .unwrap_or(ErrorShape { code: shape.name, status: 400, sender: true });
        Self {
            code: code.into(),
            shape: Some(shape.name),
            message: String::new(),
            status,
            sender,
            fields: Some(fields),
            headers: Vec::new(),
        }
    }

    /// The same error with this message.
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// `AccessDenied`, as query services name it. Other protocols rename it when they write it.
    #[cold]
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new("AccessDenied", 403, message)
    }

    /// Something failed on this side. The message tells the caller nothing of why; log that apart.
    #[cold]
    pub fn internal() -> Self {
        Self::new(
            "InternalFailure",
            500,
            "The request processing has failed because of an unknown error, exception or failure.",
        )
    }
}

impl fmt::Debug for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.code, self.status, self.message)
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ServiceError {}
