//! The way through: every call is routed, authenticated, decoded, handled and recorded here.

pub mod call;
pub mod caller;
pub mod clock;
pub mod context;
pub mod directory;
pub mod errors;
pub mod ids;
pub mod ledger;
pub mod service;
pub mod session;

pub use call::{Answer, Call, CallFacts, Permit, Resolved, Shared};
pub use caller::{Caller, Identity, Session, SessionPolicies};
pub use directory::{Authority, Directory, Tags};
pub use ledger::{Batch, Ledger, Ledgers, State};
pub use service::{Handlers, Mounted};
