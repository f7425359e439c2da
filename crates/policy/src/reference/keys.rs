//! Condition keys: those of every service, and how a policy's key is found among the reference's.

use super::{ConditionKey, service};
use crate::glob;

const fn key(name: &'static str, value_type: &'static str) -> ConditionKey {
    ConditionKey { name, value_type }
}

/// The condition keys that are not of one service, which the service authorization reference lacks.
/// `aws:EpochTime` is a date and a number: operators of either kind take it.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
const GLOBAL: &[ConditionKey] = &[
    // Of the principal.
    key("aws:PrincipalArn", "ARN"),
    key("aws:PrincipalAccount", "String"),
    key("aws:PrincipalOrgPaths", "ArrayOfString"),
    key("aws:PrincipalOrgID", "String"),
    key("aws:PrincipalTag/${TagKey}", "String"),
    key("aws:PrincipalIsAWSService", "Bool"),
    key("aws:PrincipalServiceName", "String"),
    key("aws:PrincipalServiceNamesList", "ArrayOfString"),
    key("aws:PrincipalType", "String"),
    key("aws:userid", "String"),
    key("aws:username", "String"),
    // Of its session.
    key("aws:AssumedRoot", "Bool"),
    key("aws:FederatedProvider", "String"),
    key("aws:TokenIssueTime", "Date"),
    key("aws:MultiFactorAuthAge", "Numeric"),
    key("aws:MultiFactorAuthPresent", "Bool"),
    key("aws:ChatbotSourceArn", "ARN"),
    key("aws:Ec2InstanceSourceVpc", "String"),
    key("aws:Ec2InstanceSourcePrivateIPv4", "IPAddress"),
    key("aws:SignInSessionArn", "ARN"),
    key("aws:SourceIdentity", "String"),
    key("codebuild:BuildArn", "ARN"),
    key("codebuild:ProjectArn", "ARN"),
    key("ec2:RoleDelivery", "Numeric"),
    key("ec2:SourceInstanceArn", "ARN"),
    key("glue:RoleAssumedBy", "String"),
    key("glue:CredentialIssuingService", "String"),
    key("identitystore:UserId", "String"),
    key("lambda:SourceFunctionArn", "ARN"),
    key("ssm:SourceInstanceArn", "ARN"),
    // Of the network.
    key("aws:SourceIp", "IPAddress"),
    key("aws:SourceVpc", "String"),
    key("aws:SourceVpcArn", "ARN"),
    key("aws:SourceVpce", "String"),
    key("aws:VpceAccount", "String"),
    key("aws:VpceOrgID", "String"),
    key("aws:VpceOrgPaths", "ArrayOfString"),
    key("aws:VpcSourceIp", "IPAddress"),
    // Of the resource.
    key("aws:ResourceAccount", "String"),
    key("aws:ResourceOrgID", "String"),
    key("aws:ResourceOrgPaths", "ArrayOfString"),
    key("aws:ResourceTag/${TagKey}", "String"),
    // Of the request.
    key("aws:CalledVia", "ArrayOfString"),
    key("aws:CalledViaAWSMCP", "String"),
    key("aws:CalledViaFirst", "String"),
    key("aws:CalledViaLast", "String"),
    key("aws:ViaAWSMCPService", "Bool"),
    key("aws:ViaAWSService", "Bool"),
    key("aws:IsMcpServiceAction", "Bool"),
    key("aws:CurrentTime", "Date"),
    key("aws:EpochTime", "Date"),
    key("aws:referer", "String"),
    key("aws:RequestedRegion", "String"),
    key("aws:RequestTag/${TagKey}", "String"),
    key("aws:TagKeys", "ArrayOfString"),
    key("aws:SecureTransport", "Bool"),
    key("aws:SourceAccount", "String"),
    key("aws:SourceArn", "ARN"),
    key("aws:SourceOrgID", "String"),
    key("aws:SourceOrgPaths", "ArrayOfString"),
    key("aws:SourceOwner", "String"),
    key("aws:UserAgent", "String"),
];

/// The condition keys that are not of one service: `aws:PrincipalArn`.
pub fn global_condition_keys() -> impl Iterator<Item = ConditionKey> {
    GLOBAL.iter().copied()
}

/// The condition key of a name as a policy writes it: `s3:ExistingObjectTag/team`. Case does not matter.
pub fn condition_key(name: &str) -> Option<ConditionKey> {
    let (prefix, _) = name.split_once(':')?;
    let own = service(prefix).into_iter().flat_map(|service| service.condition_keys());
    // The keys of identity providers, `accounts.google.com:aud`, are listed with STS.
    let providers = service("sts").into_iter().flat_map(|service| service.condition_keys());
    global_condition_keys()
        .chain(own.copied())
        .chain(providers.copied())
        .find(|known| known.is_called(name))
}

impl ConditionKey {
    /// Whether it holds a set of values, and not one.
    pub fn is_set(&self) -> bool {
        self.value_type.starts_with("ArrayOf")
    }

    /// What stands before the first placeholder of its name; `None` where it has none. The reference
    /// writes most of them `${TagKey}`, some `<key>` or `tag-key`, and leaves some out.
    pub(crate) fn before_placeholder(&self) -> Option<&'static str> {
        if let Some(at) = self.name.find(['$', '<']) {
            return Some(&self.name[..at]);
        }
        let tag = self.name.strip_suffix("tag-key").unwrap_or(self.name);
        tag.ends_with('/').then_some(tag)
    }

    /// Whether a policy's key is this one. A placeholder stands for one character or more.
    pub fn is_called(&self, key: &str) -> bool {
        let Some(fixed) = self.before_placeholder() else {
            return self.name.eq_ignore_ascii_case(key);
        };
        let Some((start, rest)) = key.split_at_checked(fixed.len()) else { return false };
        if !start.eq_ignore_ascii_case(fixed) || rest.is_empty() {
            return false;
        }
        let template = &self.name[fixed.len()..];
        !template.starts_with("${") || glob::matches(&glob::template(template), rest, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_of_a_key_stands_for_one_character_or_more() {
        let is = |name, given: &str| key(name, "String").is_called(given);
        assert!(is("aws:ResourceTag/${TagKey}", "aws:resourceTag/a"));
        assert!(!is("aws:ResourceTag/${TagKey}", "aws:ResourceTag/"));
        assert!(is("s3:prefix", "S3:Prefix"));
        assert!(!is("s3:prefix", "s3:prefixes"));
        assert!(is("s3:ExistingObjectTag/<key>", "s3:ExistingObjectTag/a"));
        assert!(is("ssm:resourceTag/tag-key", "ssm:resourceTag/a"));
        assert!(is("glacier:ResourceTag/", "glacier:ResourceTag/a"));
        assert!(!is("glacier:ResourceTag/", "glacier:ResourceTag/"));
        let named = "codebuild:secondarySources/${sourceIdentifier}.location";
        assert!(is(named, "codebuild:secondarySources/a.location"));
        assert!(!is(named, "codebuild:secondarySources/a.buildspec"));
    }

    #[test]
    fn a_key_is_found_among_the_global_ones_its_services_and_the_providers() {
        let kind = |name| condition_key(name).map(|key| (key.name, key.value_type));
        assert_eq!(kind("AWS:sourceip"), Some(("aws:SourceIp", "IPAddress")));
        assert_eq!(kind("aws:PrincipalTag/a/b"), Some(("aws:PrincipalTag/${TagKey}", "String")));
        assert_eq!(kind("s3:max-keys"), Some(("s3:max-keys", "Numeric")));
        assert_eq!(kind("accounts.google.com:AUD").map(|key| key.1), Some("String"));
        assert!(condition_key("aws:TagKeys").unwrap().is_set());
        for name in ["s3:no-such", "aws:nothing", "aws", "", "nowhere:prefix"] {
            assert_eq!(kind(name), None, "{name}");
        }
    }
}
