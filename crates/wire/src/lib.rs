//! AWS's wire protocols and signatures, for a server, driven by static schemas.
//!
//! Three ideas carry the crate:
//!
//! - **Schemas are data.** A service's model is a set of `static` [`shape::Shape`]s and
//!   [`service::Operation`]s, made by a generator from AWS's published models.
//! - **Types are rows of values.** A generated structure gives its members by index as `dyn`
//!   [`Value`]s. A protocol reads and writes any of them by walking the row beside its table.
//! - **A protocol is one reader and one writer.** Handlers see typed input and output, and never
//!   which protocol carried them: one service may speak several at once.
//!
//! Nothing here knows a service, opens a socket, or decides who may do what.
//!
//! ```
//! use ringfence_wire::shape::{Member, Shape};
//!
//! static NAME: Shape = Shape::string("Name").min(1).max(64);
//! static GREETING: Shape =
//!     Shape::structure("Greeting", &[Member::new("name", &NAME).required()]);
//! ringfence_wire::structure! { Greeting = GREETING { 0 name: String } }
//! static ROOT: Member = Member::new("Greeting", &GREETING);
//!
//! let greeting = ringfence_wire::protocol::json::read::<Greeting>(br#"{"name":"moon"}"#, &ROOT).unwrap();
//! assert_eq!(greeting.name, "moon");
//! assert_eq!(ringfence_wire::protocol::json::write(&greeting, &ROOT), r#"{"name":"moon"}"#);
//! ```

pub mod constraint;
pub mod error;
pub mod members;
pub mod protocol;
pub mod service;
pub mod shape;
pub mod sigv4;
pub mod stream;
pub mod timestamp;
pub mod value;

pub use error::ServiceError;
pub use service::{Operation, Protocol, Service, TypedOperation};
pub use timestamp::Timestamp;
pub use value::{Structure, Value};
