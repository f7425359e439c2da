//! What can go wrong with key material, said without saying any of it.

/// Every failure of key material. A service words its own errors from these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaterialError {
    #[error("keys of this spec do not do that, or not with this algorithm or kind of message")]
    Unsupported,

    #[error("a digest of {expected} bytes is wanted")]
    DigestLength { expected: usize },

    /// Why material was not taken: for its owner to read, who knows it.
    #[error("the key material cannot be used: {0}")]
    Rejected(&'static str),

    #[error("the plaintext is too long for the key")]
    PlaintextTooLong,

    /// One for every reason on purpose: which of them it was would help only a forger.
    #[error("not encrypted by this key, or for another context, or altered")]
    Ciphertext,

    #[error("the signature is not valid")]
    Signature,

    #[error("the public key cannot be used")]
    PublicKey,

    #[error("the system gave no random bytes")]
    Random,

    #[error("a cryptographic operation failed")]
    Failed,
}
