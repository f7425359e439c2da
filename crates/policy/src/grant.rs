//! Grants on KMS keys: they allow beside the key's policy, and deny nothing.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/grants.html>

use crate::condition;
use crate::context::Values;
use crate::document::{Comparison, PrincipalPattern, Version};
use crate::evaluate::{Named, Request, names};
use crate::variable::Reading;
use serde::Serialize;
use std::collections::BTreeMap;

/// Pairs of an encryption context. Their order does not matter.
pub type EncryptionContext = BTreeMap<String, String>;

/// One grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who is let: an account, a user, a role, a session or a service.
    pub grantee: PrincipalPattern,
    /// What it lets them do, as the API names it: `GenerateDataKey`.
    pub operations: Vec<String>,
    /// Restricts the operations that take an encryption context.
    pub encryption_context: Option<Constraint>,
    /// The resource on whose behalf a service asks; it restricts everything but `RetireGrant`.
    pub source_arn: Option<String>,
}

/// What a grant asks of the encryption context of a request. The names of pairs compare without regard
/// to case, their values with it.
/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html>
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum Constraint {
    /// It is just this.
    #[serde(rename = "EncryptionContextEquals")]
    Equals(EncryptionContext),
    /// These pairs are in it.
    #[serde(rename = "EncryptionContextSubset")]
    Subset(EncryptionContext),
}

/// The grants that bear on a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Grants<'a> {
    /// Those of the key, and those whose tokens came with the request.
    pub grants: &'a [Grant],
    /// The encryption context of the request; `None` where its operation or key takes none, and then
    /// constraints on it do not apply.
    pub encryption_context: Option<&'a EncryptionContext>,
}

/// What keeps a grant from applying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit<'a> {
    Operation,
    Grantee,
    EncryptionContext { constraint: &'a Constraint, found: &'a EncryptionContext },
    SourceArn { wanted: &'a str },
}

impl<'a> Grants<'a> {
    /// How far the grants reach: as the statement of a key's policy with the grantee as its principal.
    pub(crate) fn reach(&self, request: &Request<'_>) -> Option<Named> {
        self.grants.iter().filter_map(|grant| self.fits(grant, request).ok()).max()
    }

    /// How a grant names who asks, or what does not fit.
    pub(crate) fn fits(&self, grant: &'a Grant, request: &Request<'_>) -> Result<Named, Unfit<'a>> {
        let operation = match request.action.split_once(':') {
            Some((service, operation)) if service.eq_ignore_ascii_case("kms") => operation,
            _ => return Err(Unfit::Operation),
        };
        if !grant.operations.iter().any(|granted| granted.eq_ignore_ascii_case(operation)) {
            return Err(Unfit::Operation);
        }
        let named =
            names(&grant.grantee, request.principal, request.context).ok_or(Unfit::Grantee)?;
        if let (Some(constraint), Some(found)) =
            (&grant.encryption_context, self.encryption_context)
            && !constraint.holds(found)
        {
            return Err(Unfit::EncryptionContext { constraint, found });
        }
        let retires = operation.eq_ignore_ascii_case("RetireGrant");
        if let Some(wanted) = grant.source_arn.as_deref().filter(|_| !retires) {
            // It is as `aws:SourceArn` in a condition, and names one resource.
            let reading =
                Reading { version: Version::V2008, context: request.context, wildcards: true };
            let asks_for = |own: &str| {
                condition::compare(Comparison::ArnEquals, wanted, own, reading) == Some(true)
            };
            if !matches!(request.context.get("aws:SourceArn"), Some(Values::One(own)) if asks_for(own))
            {
                return Err(Unfit::SourceArn { wanted });
            }
        }
        Ok(named)
    }
}

impl Grant {
    /// Whether who was granted this may grant `child` on: no further operation, and constraints that are as
    /// strict at least.
    /// <https://docs.aws.amazon.com/kms/latest/developerguide/create-grant-overview.html#grant-creategrant>
    pub fn covers(&self, child: &Self) -> bool {
        let operations = child.operations.iter().all(|one| self.operations.contains(one));
        let context = match (&self.encryption_context, &child.encryption_context) {
            (None, _) => true,
            (Some(_), None) | (Some(Constraint::Equals(_)), Some(Constraint::Subset(_))) => false,
            (Some(own), Some(child)) => own.holds(child.pairs()),
        };
        operations && context && (self.source_arn.is_none() || self.source_arn == child.source_arn)
    }
}

impl Constraint {
    fn holds(&self, context: &EncryptionContext) -> bool {
        let has = |name: &str, value: &str| {
            context.iter().any(|(own, other)| own.eq_ignore_ascii_case(name) && other == value)
        };
        match self {
            Self::Subset(pairs) => pairs.iter().all(|(name, value)| has(name, value)),
            Self::Equals(pairs) => {
                pairs.len() == context.len() && pairs.iter().all(|(name, value)| has(name, value))
            }
        }
    }

    /// The pairs that it asks for.
    pub fn pairs(&self) -> &EncryptionContext {
        match self {
            Self::Equals(pairs) | Self::Subset(pairs) => pairs,
        }
    }

    /// Its name in the API.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Equals(_) => "EncryptionContextEquals",
            Self::Subset(_) => "EncryptionContextSubset",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(operations: &[&str], encryption_context: Option<Constraint>) -> Grant {
        Grant {
            grantee: PrincipalPattern::Anyone,
            operations: operations.iter().map(ToString::to_string).collect(),
            encryption_context,
            source_arn: None,
        }
    }

    fn pairs(pairs: &[(&str, &str)]) -> EncryptionContext {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn a_grant_covers_what_gives_no_more_than_it() {
        let (one, two) = (pairs(&[("a", "1")]), pairs(&[("a", "1"), ("b", "2")]));
        let subset = |pairs: &EncryptionContext| Some(Constraint::Subset(pairs.clone()));
        let equals = |pairs: &EncryptionContext| Some(Constraint::Equals(pairs.clone()));
        for (parent, child, covered) in [
            (None, None, true),
            (None, subset(&one), true),
            (subset(&one), None, false),
            (subset(&one), subset(&one), true),
            (subset(&one), subset(&two), true),
            (subset(&two), subset(&one), false),
            (subset(&one), equals(&two), true),
            (subset(&two), equals(&one), false),
            (equals(&one), equals(&one), true),
            (equals(&one), equals(&two), false),
            (equals(&one), subset(&one), false),
        ] {
            let parent = grant(&["Encrypt", "Decrypt"], parent);
            assert_eq!(
                parent.covers(&grant(&["Decrypt"], child.clone())),
                covered,
                "{parent:?} {child:?}"
            );
            assert!(!parent.covers(&grant(&["Decrypt", "Sign"], child)));
        }
        let bound = Grant { source_arn: Some("arn:aws:s3:::a".into()), ..grant(&["Sign"], None) };
        assert!(bound.covers(&bound) && !bound.covers(&grant(&["Sign"], None)));
    }
}
