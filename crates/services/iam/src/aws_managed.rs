//! The managed policies that AWS owns: the policy crate's embedded ones, each read when it is asked
//! for.

use crate::arn::PolicyArn;
use crate::documents::IdentityPolicy;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE32;
use ringfence_gateway::ids::IdKind;
use ringfence_policy::reference::managed::{self, ManagedPolicy};
use ringfence_wire::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

/// A policy of AWS's, with its current version.
#[derive(Debug)]
pub(crate) struct AwsPolicy {
    pub arn: &'static str,
    pub name: Arc<str>,
    pub path: String,
    pub id: String,
    /// The number of the current version.
    pub version: u32,
    pub created: Timestamp,
    pub updated: Timestamp,
    text: &'static str,
    policy: OnceLock<IdentityPolicy>,
}

/// By name in lower case.
static POLICIES: LazyLock<BTreeMap<String, AwsPolicy>> = LazyLock::new(|| {
    managed::policies()
        .filter_map(|policy| {
            let read = AwsPolicy::read(policy);
            if read.is_none() {
                tracing::error!(arn = policy.arn, "an embedded policy is not understood");
            }
            read
        })
        .map(|policy| (policy.name.to_ascii_lowercase(), policy))
        .collect()
});

impl AwsPolicy {
    fn read(from: &ManagedPolicy) -> Option<Self> {
        let cut = PolicyArn::parse(from.arn).ok()?;
        Some(Self {
            arn: from.arn,
            name: cut.name.into(),
            path: cut.path.to_owned(),
            id: unique_id(from.arn),
            version: from.version.strip_prefix('v')?.parse().ok()?,
            created: Timestamp::parse_any(from.created)?,
            updated: Timestamp::parse_any(from.updated)?,
            text: from.document,
            policy: OnceLock::new(),
        })
    }

    /// The current document.
    pub fn policy(&self) -> &IdentityPolicy {
        self.policy.get_or_init(|| IdentityPolicy::trusted(self.text))
    }
}

/// The unique id of a policy. AWS's own ids are not among the embedded facts, and clients take a policy
/// to have one; so it is of this house, and drawn from the ARN, so that every account and every start
/// gives the same.
fn unique_id(arn: &str) -> String {
    let drawn = BASE32.encode(digest(&SHA256, arn.as_bytes()).as_ref());
    format!("{}{}", IdKind::ManagedPolicy.prefix(), drawn.get(..17).unwrap_or_default())
}

/// The policy of this ARN.
pub(crate) fn find(arn: &str) -> Option<&'static AwsPolicy> {
    if !arn.starts_with("arn:aws:iam::aws:policy/") {
        return None;
    }
    let name = arn.rsplit('/').next()?.to_ascii_lowercase();
    POLICIES.get(&name).filter(|policy| policy.arn == arn)
}

/// Every one, by name.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static AwsPolicy)> {
    POLICIES.iter().map(|(key, policy)| (key.as_str(), policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_policy_is_found_by_its_arn() {
        assert_eq!(all().count(), managed::policies().count());
        for policy in managed::policies() {
            assert_eq!(find(policy.arn).unwrap().arn, policy.arn);
        }
    }

    #[test]
    fn every_embedded_policy_has_an_id_of_its_own() {
        let ids: std::collections::BTreeSet<_> = all().map(|(_, policy)| &policy.id).collect();
        assert_eq!(ids.len(), managed::policies().count());
        assert!(ids.iter().all(|id| id.len() == 21 && id.starts_with("ANPA")));
    }

    #[test]
    fn an_arn_that_is_not_embedded_is_not_found() {
        for arn in [
            "arn:aws:iam::aws:policy/administratoraccess",
            "arn:aws:iam::aws:policy/x/AdministratorAccess",
            "arn:aws:iam::123456789012:policy/AdministratorAccess",
        ] {
            assert!(find(arn).is_none(), "{arn}");
        }
    }
}
