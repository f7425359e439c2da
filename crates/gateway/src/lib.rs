//! The way through: every call is routed, authenticated, decoded, handled and recorded here.
//!
//! ```text
//!   bytes ─ server ─ route ─ authenticate ─ decode ─ handle ──────────────── encode ─ bytes
//!           limits   which    who calls?     typed    resolve → allow → act             │
//!                    one?                    input    (one store transaction)        audit
//! ```
//!
//! What a service needs of this crate is its **call interface**: [`Handlers`] to mount operations,
//! [`Call`] with `resolve` and `allow`, [`Ledger`] for its state. What the binary needs is
//! [`World`], [`Gateway`] and [`server`]. The rest is the way between them.

pub mod audit;
mod authenticate;
pub mod authorization_message;
pub mod beside;
mod browser;
pub mod call;
pub mod caller;
pub mod clock;
pub mod context;
pub mod dev;
pub mod directory;
pub mod errors;
mod event;
pub mod follow;
mod gateway;
mod idle;
pub mod ids;
mod inside;
pub mod ledger;
mod metrics;
pub mod notify;
pub mod observed;
mod operator;
pub mod organizations;
pub mod pages;
pub mod pass_role;
mod published;
mod route;
pub mod server;
pub mod service;
mod service_credentials;
pub mod service_event;
pub mod session;
pub mod trail;
pub mod transient;
pub mod upkeep;
pub mod web_identity;

pub use audit::{Audit, SyncRule};
pub use authorization_message::AuthorizationMessages;
pub use beside::{Beside, BesideAnswer, BesideRequest};
pub use call::{Answer, Call, CallFacts, Permit, Resolved, Shared};
pub use caller::{
    Caller, Delegation, Federated, FederatedKind, Federation, Identity, Session, SessionPolicies,
};
pub use dev::{Dev, OpenAccounts};
pub use directory::{Attached, Authority, Directory, OidcProvider, SamlProvider, Tags};
pub use follow::Follow;
pub use gateway::{Gateway, World};
pub use inside::Via;
pub use ledger::{Area, Batch, Ledger, Ledgers, NoRegional, Regional, State};
pub use notify::Notify;
pub use organizations::{NoOrganizations, Organization, Organizations};
pub use pass_role::{NotPassed, PassRole, Passed, Passing};
pub use published::{Published, Publisher};
pub use server::{Limits, Server};
pub use service::{Handlers, Mounted};
pub use service_credentials::ServiceCredentials;
pub use service_event::{Recorder, ServiceEvent};
pub use trail::Trail;
pub use transient::{Transient, Transients, UnderWay};
pub use upkeep::Upkeep;
pub use web_identity::TokenIssuer;
