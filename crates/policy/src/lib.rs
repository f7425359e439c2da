//! The IAM policy language: parse, validate, decide. No I/O, no async, no clock.

pub mod arn;
pub mod context;
pub mod document;
pub mod evaluate;
pub mod message;
pub mod parse;

pub use arn::{AccountId, Arn, ArnError};
pub use context::Context;
pub use document::Document;
pub use evaluate::{Decision, Layer, PolicySet, Principal, Request, ResourcePolicy, decide};
pub use parse::{Kind, Malformed, parse};
