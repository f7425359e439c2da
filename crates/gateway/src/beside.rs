//! APIs beside AWS's, under `/_ringfence/NAME/`: they authenticate their callers themselves, and their
//! calls are recorded as every call is.

use crate::ids::CallId;
use bytes::Bytes;
use http::HeaderMap;
use ringfence_policy::AccountId;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// A request that has come in whole.
#[derive(Debug, Clone, Copy)]
pub struct BesideRequest<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a Bytes,
    /// The ids of the call and of its event.
    pub request_id: CallId,
    pub event_id: CallId,
}

/// An answer in JSON, and what is recorded of it.
#[derive(Debug)]
pub struct BesideAnswer {
    pub status: u16,
    pub body: Bytes,
    /// What the event calls the operation.
    pub name: &'static str,
    /// Whose event it is; the management account's where it is nobody's.
    pub account: Option<AccountId>,
    pub region: Option<String>,
    /// What is told of the request: JSON, without secrets.
    pub parameters: Option<serde_json::Value>,
    /// The ARNs of the KMS keys that the request was about.
    pub keys: Vec<String>,
    /// A refusal's name and words.
    pub error: Option<(String, String)>,
}

/// Such an API.
pub trait Beside: Send + Sync + 'static {
    /// Answers a request. Whoever reaches the server may send one.
    fn answer<'a>(
        &'a self,
        request: BesideRequest<'a>,
    ) -> Pin<Box<dyn Future<Output = BesideAnswer> + 'a>>;
}

/// The APIs of a server, by name.
#[derive(Default)]
pub(crate) struct Besides(Vec<(&'static str, Arc<dyn Beside>)>);

impl Besides {
    pub fn add(&mut self, name: &'static str, api: Arc<dyn Beside>) {
        self.0.push((name, api));
    }

    /// The API of a path.
    pub fn find(&self, path: &str) -> Option<&Arc<dyn Beside>> {
        let (name, _) = path.strip_prefix("/_ringfence/")?.split_once('/')?;
        self.0.iter().find(|(known, _)| *known == name).map(|(_, api)| api)
    }
}
