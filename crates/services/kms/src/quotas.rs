//! Resource quotas of an account in a region: AWS's defaults.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/resource-limits.html>

use crate::rates::Rates;

/// How many of each there may be. `--quota` raises or lowers them.
#[derive(Debug, Clone, PartialEq)]
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
    pub rotations_on_demand: usize,
    /// Calls in a second.
    pub rates: Rates,
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
            rates: Rates::of_aws(),
        }
    }
}

impl Quotas {
    /// AWS's, but that no calls are counted.
    pub fn without_rates() -> Self {
        Self { rates: Rates::none(), ..Self::default() }
    }

    /// Sets a quota by its name, which is its field's with `-` for `_`, or one of calls in a second:
    /// `requests` for all, `CreateKey-requests`, `symmetric-requests` and so on. `false` where there is
    /// none of that name.
    pub fn set(&mut self, name: &str, value: usize) -> bool {
        let quota = match name {
            "keys" => &mut self.keys,
            "aliases-per-key" => &mut self.aliases_per_key,
            "grants-per-key" => &mut self.grants_per_key,
            "key-policy-size" => &mut self.key_policy_size,
            "tags" => &mut self.tags,
            "rotations-on-demand" => &mut self.rotations_on_demand,
            _ => return self.rates.set(name, value),
        };
        *quota = value;
        true
    }
}
