//! Session policies: an inline document and managed policies that a session is limited by.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session>

use crate::errors::validation;
use ringfence_gateway::{Directory, SessionPolicies};
use ringfence_model_sts::types::{MalformedPolicyDocumentException, PolicyDescriptorType};
use ringfence_policy::{AccountId, Arn, Kind, parse};
use ringfence_wire::ServiceError;

/// Characters of the inline document and the ARNs together.
const PLAINTEXT: usize = 2048;

/// Managed policies of a session.
const MANAGED: usize = 10;

/// Checks the policies that a call passes, but for whether the managed ones exist: see
/// [`check_managed`]. `None` where none was passed.
///
/// # Errors
/// `MalformedPolicyDocument` for a document that is no identity policy; `ValidationError` past the
/// limits and for an ARN that names no managed policy.
pub fn read(
    inline: Option<&str>,
    managed: Option<&[PolicyDescriptorType]>,
) -> Result<Option<SessionPolicies>, ServiceError> {
    let managed = managed.unwrap_or_default();
    if inline.is_none() && managed.is_empty() {
        return Ok(None);
    }
    if managed.len() > MANAGED {
        return Err(validation(format!(
            "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: \
             Member must have length less than or equal to {MANAGED}"
        )));
    }
    let mut arns = Vec::with_capacity(managed.len());
    for PolicyDescriptorType { arn } in managed {
        let Some(arn) = arn else {
            return Err(validation(format!(
                "1 validation error detected: Value null at 'policyArns.{}.member.arn' failed to \
                 satisfy constraint: Member must not be null",
                arns.len() + 1
            )));
        };
        if !is_managed_policy(arn) {
            return Err(validation(format!("{arn} is invalid")));
        }
        arns.push(arn.clone());
    }
    let characters = |text: &str| text.chars().count();
    let plaintext =
        inline.map_or(0, characters) + arns.iter().map(|a| characters(a)).sum::<usize>();
    if plaintext > PLAINTEXT {
        return Err(validation(format!(
            "1 validation error detected: Value at 'policy' failed to satisfy constraint: Member \
             must have length less than or equal to {PLAINTEXT}"
        )));
    }
    if let Some(text) = inline {
        parse(text, Kind::Identity)
            .map_err(|malformed| MalformedPolicyDocumentException::error(malformed.to_string()))?;
    }
    Ok(Some(SessionPolicies { inline: inline.map(str::to_owned), managed: arns }))
}

/// Checks that the managed policies exist, in `account` or as AWS's own. Asked only after the caller
/// was allowed, so that it tells nobody else what policies an account has.
///
/// # Errors
/// `ValidationError` for one that does not.
pub fn check_managed(
    policies: &SessionPolicies,
    account: AccountId,
    directory: &dyn Directory,
) -> Result<(), ServiceError> {
    for text in &policies.managed {
        let of_account = Arn::parse(text)
            .is_ok_and(|arn| arn.account == "aws" || arn.account_id() == Some(account));
        if !of_account || directory.managed_policy(account, text).is_none() {
            return Err(validation(format!("Policy {text} does not exist or is not attachable.")));
        }
    }
    Ok(())
}

fn is_managed_policy(text: &str) -> bool {
    Arn::parse(text).is_ok_and(|arn| {
        arn.partition == "aws"
            && arn.service == "iam"
            && arn.region.is_empty()
            && (arn.account == "aws" || arn.account_id().is_some())
            && arn.resource.strip_prefix("policy/").is_some_and(|name| !name.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, FakeDirectory};

    fn arns(texts: &[&str]) -> Vec<PolicyDescriptorType> {
        let texts = texts.iter();
        texts.map(|arn| PolicyDescriptorType { arn: Some((*arn).to_owned()) }).collect()
    }

    #[test]
    fn no_policies_are_not_an_empty_list_of_them() {
        assert_eq!(read(None, None).unwrap(), None);
        assert_eq!(read(None, Some(&[])).unwrap(), None);
        let managed = arns(&[testing::POLICY_ARN]);
        let got = read(None, Some(&managed)).unwrap().unwrap();
        assert_eq!(got.managed, [testing::POLICY_ARN]);
    }

    #[test]
    fn what_is_no_policy_is_malformed() {
        let error = read(Some("{"), None).unwrap_err();
        assert_eq!((error.code.as_ref(), error.status), ("MalformedPolicyDocument", 400));
        assert!(!error.message.is_empty());
    }

    #[test]
    fn limits_and_forms_are_checked() {
        let name = "n".repeat(300);
        let long = format!("arn:aws:iam::aws:policy/{name}");
        let eleven = vec![testing::POLICY_ARN; 11];
        for (managed, part) in [
            (arns(&eleven), "less than or equal to 10"),
            (arns(&[long.as_str(); 10]), "less than or equal to 2048"),
            (arns(&["arn:aws:iam::aws:role/x-y-z-1-2-3"]), "is invalid"),
            (arns(&["arn:aws:s3:::policy/x-y-z-1-2-3"]), "is invalid"),
            (arns(&["arn:aws:iam::12:policy/x-y-z"]), "is invalid"),
            (vec![PolicyDescriptorType { arn: None }], "'policyArns.1.member.arn'"),
        ] {
            let error = read(None, Some(&managed)).unwrap_err();
            assert_eq!((error.code.as_ref(), error.status), ("ValidationError", 400));
            assert!(error.message.contains(part), "{}", error.message);
        }
    }

    #[test]
    fn managed_policies_are_the_roles_accounts_or_awss_and_exist() {
        let directory = FakeDirectory;
        let other = "arn:aws:iam::999999999999:policy/known";
        for (arn, found) in [
            (testing::POLICY_ARN, true),
            ("arn:aws:iam::aws:policy/ReadOnlyAccess", true),
            ("arn:aws:iam::123456789012:policy/unknown", false),
            (other, false),
        ] {
            let policies = SessionPolicies { inline: None, managed: vec![arn.to_owned()] };
            let got = check_managed(&policies, testing::ACCOUNT, &directory);
            assert_eq!(got.is_ok(), found, "{arn}");
        }
    }
}
