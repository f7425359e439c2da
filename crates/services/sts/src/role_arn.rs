//! The ARN of a role that a call names.

use crate::errors::validation;
use ringfence_gateway::Directory;
use ringfence_gateway::directory::RoleFacts;
use ringfence_policy::{AccountId, Arn};
use ringfence_wire::ServiceError;

/// An ARN that may name a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoleArn<'a> {
    /// The account, which owns the role.
    pub account: AccountId,
    /// The path and name; `None` where the ARN is of something else.
    role: Option<(&'a str, &'a str)>,
}

impl<'a> RoleArn<'a> {
    /// Reads an ARN. One that is well formed and names no role is not an error: AWS answers it, as
    /// it answers for roles that are missing, that the caller is not authorized.
    /// <https://github.com/amzn/selling-partner-api-models/issues/2523>
    ///
    /// # Errors
    /// `ValidationError` for what is no ARN, in the words that LocalStack recorded from AWS.
    pub fn parse(text: &'a str) -> Result<Self, ServiceError> {
        let invalid = || validation(format!("{text} is invalid"));
        let arn = Arn::parse(text).map_err(|_| invalid())?;
        if arn.partition.is_empty() || arn.service.is_empty() || arn.resource.is_empty() {
            return Err(invalid());
        }
        let account = arn.account_id().ok_or_else(invalid)?;
        let of_roles = arn.partition == "aws" && arn.service == "iam" && arn.region.is_empty();
        let role = arn
            .resource
            .strip_prefix("role")
            .filter(|rest| of_roles && rest.starts_with('/'))
            .and_then(|rest| rest.rsplit_once('/'))
            .filter(|(_, name)| !name.is_empty());
        Ok(Self { account, role })
    }

    /// The role, where there is one under this very path and callers may assume it: those that are
    /// linked to a service are its own.
    pub fn look_up(&self, directory: &dyn Directory) -> Option<RoleFacts> {
        let (path, name) = self.role?;
        let role = directory.role(self.account, name)?;
        // The ARN's path has lost its last slash to the cut.
        let same_path = role.path.strip_suffix('/') == Some(path);
        (same_path && role.name == name && !role.service_linked).then_some(role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeDirectory;

    #[test]
    fn what_is_no_arn_is_invalid_in_awss_words() {
        for text in [
            "nothing-valid-in-here",
            "arn::b:::something/test-role",
            "arn:a::::something/test-role",
            "arn:a:::something/test-role",
            "arn:a:a::aaaaaaaaaa:",
            "arn:aws:iam::12345678901:role/test-role",
        ] {
            let error = RoleArn::parse(text).unwrap_err();
            assert_eq!((error.code.as_ref(), error.status), ("ValidationError", 400));
            assert_eq!(error.message, format!("{text} is invalid"));
        }
    }

    #[test]
    fn a_role_is_found_only_under_its_own_arn_and_not_where_a_service_owns_it() {
        let directory = FakeDirectory;
        for (arn, found) in [
            ("arn:aws:iam::123456789012:role/ops/deployer", true),
            ("arn:aws:iam::123456789012:role/plain", true),
            ("arn:aws:iam::123456789012:role/deployer", false),
            ("arn:aws:iam::123456789012:role/ops/plain", false),
            ("arn:aws:iam::123456789012:role//plain", false),
            ("arn:aws:iam::123456789012:role/", false),
            ("arn:aws:iam::123456789012:roleplain", false),
            ("arn:aws:iam::123456789012:role/missing", false),
            ("arn:aws:iam::999999999999:role/plain", false),
            ("arn:aws:iam::123456789012:user/plain", false),
            ("arn:aws:sts::123456789012:role/plain", false),
            ("arn:aws-cn:iam::123456789012:role/plain", false),
            ("arn:aws:iam:us-east-1:123456789012:role/plain", false),
            (
                "arn:aws:iam::123456789012:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX",
                false,
            ),
        ] {
            let role = RoleArn::parse(arn).unwrap().look_up(&directory);
            assert_eq!(role.is_some(), found, "{arn}");
        }
    }
}
