//! The ARNs of IAM's resources.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns>

use crate::errors;
use ringfence_policy::{AccountId, Arn};
use ringfence_wire::ServiceError;

/// `arn:aws:iam::ACCOUNT:KIND/PATH/NAME`.
pub(crate) fn of(kind: &str, account: AccountId, path: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:{kind}{path}{name}")
}

/// A resource part cut into path and name: `/a/b/` and `n` of `user/a/b/n`, for kind `user`.
pub(crate) fn path_and_name<'a>(resource: &'a str, kind: &str) -> Option<(&'a str, &'a str)> {
    let rest = resource.strip_prefix(kind)?;
    let at = rest.rfind('/')?;
    let (path, name) = rest.split_at(at + 1);
    (path.starts_with('/') && !name.is_empty()).then_some((path, name))
}

/// Who owns a managed policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolicyOwner {
    Aws,
    Account(AccountId),
}

/// The ARN of a managed policy, cut into its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PolicyArn<'a> {
    pub owner: PolicyOwner,
    pub path: &'a str,
    pub name: &'a str,
}

impl<'a> PolicyArn<'a> {
    /// Cuts it.
    ///
    /// # Errors
    /// `InvalidInput` for what is no ARN, and for an ARN of something else.
    pub fn parse(text: &'a str) -> Result<Self, ServiceError> {
        let cut = Arn::parse(text).ok().and_then(|arn| Self::of(&arn));
        cut.ok_or_else(|| errors::no_policy_arn(text))
    }

    fn of(arn: &Arn<'a>) -> Option<Self> {
        if (arn.partition, arn.service, arn.region) != ("aws", "iam", "") {
            return None;
        }
        let owner = match arn.account {
            "aws" => PolicyOwner::Aws,
            _ => PolicyOwner::Account(arn.account_id()?),
        };
        let (path, name) = path_and_name(arn.resource, "policy")?;
        Some(Self { owner, path, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_arn_has_an_owner_a_path_and_a_name() {
        let arn = PolicyArn::parse("arn:aws:iam::123456789012:policy/a/b/n").unwrap();
        assert_eq!(arn.owner, PolicyOwner::Account(AccountId::new(123_456_789_012).unwrap()));
        assert_eq!((arn.path, arn.name), ("/a/b/", "n"));
        let arn = PolicyArn::parse("arn:aws:iam::aws:policy/AdministratorAccess").unwrap();
        assert_eq!((arn.owner, arn.path), (PolicyOwner::Aws, "/"));
    }

    #[test]
    fn what_is_no_policy_arn_is_refused() {
        for text in [
            "longpolicynamebutnoarn",
            "arn:aws:iam::123456789012:user/n",
            "arn:aws:iam::123456789012:policy/",
            "arn:aws:iam::123456789012:policyx/n",
            "arn:aws:iam::12:policy/n",
            "arn:aws:s3::123456789012:policy/n",
        ] {
            assert_eq!(PolicyArn::parse(text).unwrap_err().code, "InvalidInput", "{text}");
        }
    }
}
