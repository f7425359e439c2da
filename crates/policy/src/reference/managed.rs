//! The managed policies that AWS owns, each with its current version.

use super::text;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static TEXT: LazyLock<String> =
    LazyLock::new(|| text::unpack(include_bytes!("../../data/managed.br")));

static POLICIES: LazyLock<BTreeMap<&str, ManagedPolicy>> = LazyLock::new(|| {
    let policies = TEXT.lines().filter_map(ManagedPolicy::read);
    policies.map(|policy| (policy.arn, policy)).collect()
});

/// A managed policy of AWS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManagedPolicy {
    /// `arn:aws:iam::aws:policy/PATH/NAME`.
    pub arn: &'static str,
    /// The current version: `v3`.
    pub version: &'static str,
    /// When it was first published, as `2015-02-06T18:39:46.000Z`.
    pub created: &'static str,
    /// When its current version was.
    pub updated: &'static str,
    /// The current document as JSON.
    pub document: &'static str,
}

impl ManagedPolicy {
    fn read(line: &'static str) -> Option<Self> {
        let mut fields = line.splitn(5, '\t');
        let mut next = || fields.next();
        let (arn, version, created, updated) = (next()?, next()?, next()?, next()?);
        Some(Self { arn, version, created, updated, document: next()? })
    }
}

/// Every one, by ARN.
pub fn policies() -> impl Iterator<Item = &'static ManagedPolicy> {
    POLICIES.values()
}

/// The one of this ARN, as it is written.
pub fn policy(arn: &str) -> Option<&'static ManagedPolicy> {
    POLICIES.get(arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, parse};

    #[test]
    fn every_document_is_a_policy_that_anyone_may_write() {
        assert!(policies().count() > 1_500);
        for policy in policies() {
            if let Err(why) = parse(policy.document, Kind::Identity) {
                panic!("{}: {why}", policy.arn);
            }
        }
    }

    #[test]
    fn a_policy_is_found_by_its_arn_as_it_is_written() {
        let admin = policy("arn:aws:iam::aws:policy/AdministratorAccess").unwrap();
        assert_eq!((admin.version, admin.created), ("v1", "2015-02-06T18:39:46.000Z"));
        assert!(policy("arn:aws:iam::aws:policy/administratoraccess").is_none());
    }
}
