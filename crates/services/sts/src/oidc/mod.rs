//! OpenID Connect tokens: reading one, the keys of its issuer, and its signature.
//!
//! ```text
//!   token ──► parse ──► issuer ──► provider of the role's account ──► keys ──► signature ──► claims
//!             nothing              decides which issuers count        by hand,  RSA or EC    may be
//!             is believed                                             or fetched             believed
//! ```
//!
//! The keys are always those of the issuer that the account trusts: what a token's header says of
//! keys (`jku`, `jwk`, `x5u`, `x5c`) is never looked at, and its `kid` only picks among them.
//!
//! Reading the two parts and picking an algorithm is all that a JWT crate would add to `aws-lc-rs`;
//! those that were looked at lack ES512, which AWS takes, or drop a whole key set over one key of a
//! kind that they do not know.

mod claims;
mod fetch;
mod issuers;
mod keys;
mod token;

pub use claims::Claims;
pub use issuers::{Issuers, KeysByHand, NoKeys, Trusted};
pub use token::Token;
