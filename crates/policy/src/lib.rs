//! The IAM policy language: parse, validate, decide. No I/O, no async, no clock.
//!
//! - [`parse`](mod@parse) turns JSON into a [`Document`], refusing what AWS refuses in AWS's words;
//! - [`Context`] holds the condition keys of a request;
//! - [`decide`](fn@decide) combines identity, resource, trust, boundary, session and organization
//!   policies, and says which layer settled the matter, over documents compiled at their first use;
//!   [`evaluate::decide`] does the same in the slow and obvious form, and the two must agree;
//! - [`explain`](fn@explain) decides, and says what every statement had to do with it;
//! - [`analyse`] answers questions over all requests: new access, public access, equivalence;
//! - [`account`] reads the export of a whole account, and says who in it can do what;
//! - [`generate`] makes the policy that allows the calls which were seen, and little else;
//! - [`message`] words a denial;
//! - [`lint`] says what is wrong, risky or needless in a policy, as Access Analyzer does;
//! - [`mod@reference`] holds AWS's actions, resource types, condition keys and managed policies.
//!
//! ```
//! use ringfence_policy::{Context, Decision, Kind, Layer, PolicySet, Principal, Request, decide, parse};
//!
//! let policy = parse(
//!     r#"{"Version": "2012-10-17", "Statement": {
//!         "Effect": "Allow", "Action": "iam:Get*", "Resource": "arn:aws:iam::*:user/${aws:username}"}}"#,
//!     Kind::Identity,
//! )?;
//! let ann = Principal::User { arn: "arn:aws:iam::123456789012:user/ann".into() };
//! let mut context = Context::default();
//! context.set("aws:username", "ann");
//! let ask = |resource| {
//!     let request = Request {
//!         principal: &ann,
//!         action: "iam:GetUser",
//!         resource,
//!         resource_account: "123456789012".parse().unwrap(),
//!         context: &context,
//!     };
//!     decide(&request, &PolicySet { identity: vec![&policy], ..PolicySet::default() })
//! };
//! assert_eq!(ask("arn:aws:iam::123456789012:user/ann"), Decision::Allow);
//! assert_eq!(ask("arn:aws:iam::123456789012:user/bob"), Decision::ImplicitDeny(Layer::Identity));
//! # Ok::<(), ringfence_policy::Malformed>(())
//! ```

pub mod account;
pub mod acl;
pub mod analyse;
pub mod arn;
mod compile;
mod condition;
pub mod context;
pub mod decide;
pub mod document;
pub mod evaluate;
pub mod explain;
pub mod generate;
mod glob;
pub mod grant;
#[cfg(test)]
mod hostile;
pub mod lint;
pub mod message;
pub mod organization;
pub mod parse;
pub mod reference;
pub mod regions;
pub mod source;
mod tree;
mod variable;

pub use arn::{AccountId, Arn, ArnError, Digits};
pub use context::Context;
pub use decide::{Denial, decide, denial};
pub use document::Document;
pub use evaluate::{Decision, Layer, PolicySet, Principal, Request, ResourcePolicy};
pub use explain::{Explanation, explain};
pub use glob::is_like;
pub use parse::{Kind, Malformed, parse};
