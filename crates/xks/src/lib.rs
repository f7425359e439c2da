//! The external key store proxy API, version 1: how KMS uses keys that lie outside of it.
//! <https://github.com/aws/aws-kms-xksproxy-api-spec/blob/main/xks_proxy_api_spec.md>
//!
//! ```text
//!   KMS ──── POST PATH/keys/ID/encrypt, JSON, SigV4 for `kms-xks-proxy` ────► proxy ──► key manager
//!   client   PATH/keys/ID/decrypt, PATH/keys/ID/metadata, PATH/health         `answer`  `Keys`
//! ```
//!
//! `PATH` ends in `/kms/xks/v1`. Both sides are here: [`Proxy`] asks a proxy as AWS KMS does, and
//! [`answer`] is a proxy over whatever implements [`Keys`], so that AWS's own KMS can use its keys.
//!
//! Key names and algorithms are fixed by the version: AES-256-GCM, a vector of 12 or 16 bytes, a tag of
//! 16, up to 20 bytes that the proxy may add (`ciphertextMetadata`), which are authenticated too.

mod client;
mod errors;
mod integrity;
mod messages;
mod proxy;

pub use client::{Credential, Failure, Health, Proxy, Wrapped};
pub use errors::{ErrorName, Refusal};
pub use integrity::authenticated;
pub use messages::{
    DecryptRequest, DecryptResponse, EkmFleetDetail, EncryptRequest, EncryptResponse,
    HealthResponse, KeyMetadata, Plain, RequestMetadata,
};
pub use proxy::{Answered, Asked, Incoming, Keys, Operation, Secrets, answer, parse_path};

/// The service of the signatures' scope.
pub const SERVICE: &str = "kms-xks-proxy";

/// How the path of every proxy ends.
pub const VERSION_PATH: &str = "/kms/xks/v1";

/// Most bytes of a plaintext or ciphertext that every proxy takes.
pub const LONGEST_PLAINTEXT: usize = 4300;

/// Most bytes of additional authenticated data that every proxy takes.
pub const LONGEST_AAD: usize = 8192;

/// Most bytes of a ciphertext's metadata.
pub const LONGEST_METADATA: usize = 20;

/// Bytes of a tag.
pub const TAG: usize = 16;
