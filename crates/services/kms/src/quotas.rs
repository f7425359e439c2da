//! Resource quotas of an account in a region: AWS's defaults.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html>

/// How many of each there may be.
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// Customer managed keys, in whatever state.
    pub keys: usize,
    /// Aliases of a key.
    pub aliases_per_key: usize,
    /// Grants on a key.
    pub grants_per_key: usize,
    /// Bytes of a key policy.
    pub key_policy_size: usize,
    /// Tags of a key.
    pub tags: usize,
    /// Rotations of a key that are asked for.
    pub rotations_on_demand: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            keys: 100_000,
            aliases_per_key: 50,
            grants_per_key: 50_000,
            key_policy_size: 32 * 1024,
            tags: 50,
            rotations_on_demand: 25,
        }
    }
}
