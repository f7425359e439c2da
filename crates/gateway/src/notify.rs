//! Messages to topics: how a service tells somebody outside of this server.
//!
//! IAM publishes to the topics of partners through this trait. A topic is named by its ARN, as SNS
//! names it. A server without SNS delivers to the endpoints that its owner configured; a topic that
//! reaches nobody is an error, for a message that is lost was not sent.

use std::future::Future;
use std::pin::Pin;

/// A message to a topic.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The topic's ARN.
    pub topic: &'a str,
    /// The message's id: one that is delivered again has the same.
    pub id: &'a str,
    /// When it was made, in seconds since 1970.
    pub at: i64,
    /// The text. It may be a secret: nothing of it may be logged.
    pub text: &'a str,
}

/// A message was not handed over: why, in words for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotDelivered(pub String);

/// Delivers messages.
pub trait Notify: Send + Sync + 'static {
    /// Whether a message to this topic has somewhere to go.
    fn reaches(&self, topic: &str) -> bool;

    /// Hands a message over. It returns when the receiver has taken it.
    fn publish<'a>(
        &'a self,
        message: Message<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotDelivered>> + Send + 'a>>;
}

/// No topic reaches anybody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTopics;

impl Notify for NoTopics {
    fn reaches(&self, _: &str) -> bool {
        false
    }

    fn publish<'a>(
        &'a self,
        message: Message<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotDelivered>> + Send + 'a>> {
        let why = format!("the topic {} has no endpoint", message.topic);
        Box::pin(std::future::ready(Err(NotDelivered(why))))
    }
}
