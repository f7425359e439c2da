//! Condition keys: whether they are, whether they stand alone, whether they can be trusted.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>

use super::Class::{Error, SecurityWarning, Suggestion, Warning};
use super::PolicyKind::Resource;
use super::facts::{UNLISTED_KEYS, any_of, sets_key};
use super::tree::Place;
use super::view::{Condition, Policy, ResourceKind, Statement};
use super::{ALL, Check, Sink, count};
use crate::Arn;
use crate::reference::{self, Action, ConditionKey};

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "INVALID_CONDITION_KEY_FORMAT",
        ALL,
        "A condition key is not a service and a name with a colon between.",
        invalid_condition_key_format,
    ),
    Check::new(
        Error,
        "INVALID_GLOBAL_CONDITION_KEY",
        ALL,
        "A condition key begins with aws:, and is none of the global ones.",
        invalid_global_condition_key,
    ),
    Check::new(
        Error,
        "INVALID_SERVICE",
        ALL,
        "No service has the prefix of a condition key, and it is no identity provider's.",
        invalid_service,
    ),
    Check::new(
        Error,
        "INVALID_SERVICE_CONDITION_KEY",
        ALL,
        "A service has no condition key of this name.",
        invalid_service_condition_key,
    ),
    Check::new(
        Warning,
        "DEPRECATED_GLOBAL_CONDITION_KEY",
        ALL,
        "The condition key aws:ARN is used.",
        deprecated_global_condition_key,
    ),
    Check::new(
        Error,
        "MISSING_TAG_KEY_IN_CONDITION",
        ALL,
        "A condition key of tags names no tag.",
        missing_tag_key_in_condition,
    ),
    Check::new(
        SecurityWarning,
        "MISSING_PAIRED_CONDITION_KEYS",
        ALL,
        "A private address stands without its VPC; or an allowing aws:SourceArn names no account, and no aws:SourceAccount does.",
        missing_paired_condition_keys,
    ),
    Check::new(
        SecurityWarning,
        "UNTRUSTWORTHY_CONDITION_KEY",
        ALL,
        "The condition is on what the caller may say at will: aws:Referer, aws:UserAgent.",
        untrustworthy_condition_key,
    ),
    Check::new(
        Warning,
        "USE_CONDITION_KEY_ONLY_WITH_SUPPORTED_SERVICES",
        ALL,
        "A key of the VPC endpoint's owner is used with actions of services that do not set it.",
        use_condition_key_only_with_supported_services,
    ),
    Check::new(
        Suggestion,
        "IRRELEVANT_CONDITION_KEY_IN_POLICY",
        &[Resource],
        "The policy of a bucket or access point has the condition key s3:ResourceAccount.",
        irrelevant_condition_key_in_policy,
    ),
];

/// The prefix and the name of a key; `None` where it is not of both.
fn split(key: &str) -> Option<(&str, &str)> {
    key.split_once(':').filter(|(prefix, name)| !prefix.is_empty() && !name.is_empty())
}

fn invalid_condition_key_format(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, condition) in policy.conditions().filter(|(_, c)| split(c.key).is_none()) {
        sink.add(
            Place::Key(condition.entry),
            "The condition key format is not valid. Use the format service:keyname.",
        );
    }
}

/// Whether an action, or a resource that it acts on, has a condition key.
pub(super) fn has_key(action: &Action, key: &str) -> bool {
    let is_it = |known: ConditionKey| {
        count(1);
        known.is_called(key)
    };
    let unlisted = UNLISTED_KEYS.iter().find(|(unlisted, _)| unlisted.eq_ignore_ascii_case(key));
    action.condition_keys().any(is_it)
        || action.resource_types().any(|on| {
            on.condition_keys().any(is_it) || on.resource_type.condition_keys().any(is_it)
        })
        || unlisted.is_some_and(|(_, actions)| actions.contains(&&*action.full_name()))
}

/// What a key of tags that names no tag would begin with, if it is one. A key that is known by the very
/// name is no key of tags.
fn tagless<'a>(condition: &Condition<'a>) -> Option<&'a str> {
    let key = condition.key;
    let bare = key.strip_suffix('/').unwrap_or(key);
    let (prefix, name) = split(bare)?;
    if !name.get(name.len().wrapping_sub(3)..)?.eq_ignore_ascii_case("tag") {
        return None;
    }
    let same = |known: &ConditionKey| {
        let known = known.before_placeholder().and_then(|known| known.strip_suffix('/'));
        known.is_some_and(|known| known.eq_ignore_ascii_case(bare))
    };
    let own = reference::service(prefix).into_iter().flat_map(|service| service.condition_keys());
    let found =
        reference::global_condition_keys().any(|known| same(&known)) || own.into_iter().any(same);
    (found && condition.known.is_none()).then_some(bare)
}

fn missing_tag_key_in_condition(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, condition) in policy.conditions() {
        if let Some(name) = tagless(condition) {
            sink.add(
                Place::Key(condition.entry),
                format_args!(
                    "The condition key {name}/ must include a tag key to control access based on \
                     tags. Use the format {name}/tag-key and specify a key name for tag-key."
                ),
            );
        }
    }
}

fn is_global(key: &str) -> bool {
    key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

fn invalid_global_condition_key(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, condition) in policy.conditions() {
        let key = condition.key;
        let known = condition.known.is_some() || condition.is("aws:ARN");
        if is_global(key) && split(key).is_some() && !known && tagless(condition).is_none() {
            sink.add(
                Place::Key(condition.entry),
                format_args!("The condition key {key} does not exist. Use a valid condition key."),
            );
        }
    }
}

/// Keys that are neither known nor `aws:` ones, with what stands before their colon.
fn service_keys<'a>(policy: &'a Policy<'_>) -> impl Iterator<Item = (&'a Condition<'a>, &'a str)> {
    let unknown = policy.conditions().map(|(_, c)| c).filter(|c| c.known.is_none());
    unknown
        .filter(|condition| !is_global(condition.key))
        .filter_map(|condition| Some((condition, split(condition.key)?.0)))
}

fn invalid_service(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, prefix) in service_keys(policy) {
        // Identity providers' keys begin with their host, or with SAML's name.
        let provider = prefix.contains(['.', '/']) || any_of(&["saml", "ldap"], prefix);
        if !provider && reference::service(prefix).is_none() {
            sink.add(
                Place::Key(condition.entry),
                format_args!("The service {prefix} does not exist. Use a valid service name."),
            );
        }
    }
}

fn invalid_service_condition_key(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, prefix) in service_keys(policy) {
        let key = condition.key;
        if reference::service(prefix).is_some() && tagless(condition).is_none() {
            sink.add(
                Place::Key(condition.entry),
                format_args!(
                    "The condition key {key} does not exist in the service {prefix}. Use a valid \
                     condition key."
                ),
            );
        }
    }
}

fn deprecated_global_condition_key(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, condition) in policy.conditions().filter(|(_, c)| c.is("aws:ARN")) {
        sink.add(
            Place::Key(condition.entry),
            "We recommend that you update aws:ARN to use the newer condition key aws:PrincipalArn.",
        );
    }
}

/// A key, what makes it safe in AWS's words, and all that does. AWS's own list is not published; these
/// pairs are on its page of keys.
type Pair = (&'static str, &'static str, &'static [&'static str]);

const PAIRS: &[Pair] = &[
    (
        "aws:VpcSourceIp",
        "aws:SourceVpc, aws:SourceVpce",
        &["aws:SourceVpc", "aws:SourceVpce", "aws:SourceVpcArn"],
    ),
    ("aws:Ec2InstanceSourcePrivateIPv4", "aws:Ec2InstanceSourceVpc", &["aws:Ec2InstanceSourceVpc"]),
];

fn missing_paired_condition_keys(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let mut report = |condition: &Condition<'_>, recommended: &str| {
        sink.add(
            &condition.entry.node,
            format_args!(
                "Using the condition key {} can be overly permissive without also using the \
                 following condition keys: {recommended}. Condition keys like this one are more \
                 secure when paired with a related key. We recommend that you add the related \
                 condition keys to the same condition block.",
                condition.key
            ),
        );
    };
    for (statement, condition) in policy.conditions() {
        for (key, recommended, partners) in PAIRS {
            if condition.is(key) && !statement.has_key(partners) {
                report(condition, recommended);
            }
        }
        let partners = ["aws:SourceAccount", "aws:SourceOrgID", "aws:SourceOrgPaths"];
        if condition.is("aws:SourceArn")
            && statement.allows()
            && condition.comparison().is_some_and(|c| !c.is_negated())
            && condition.texts().any(|text| !names_account(text.text))
            && !statement.has_key(&partners)
        {
            report(condition, "aws:SourceAccount");
        }
    }
}

/// Whether an ARN says whose resource it names.
fn names_account(arn: &str) -> bool {
    Arn::parse(arn).is_ok_and(|arn| !arn.account.is_empty() && !arn.account.contains(['*', '?']))
}

fn untrustworthy_condition_key(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, condition) in policy.conditions() {
        if any_of(&["aws:Referer", "aws:UserAgent"], condition.key) {
            sink.add(
                Place::Key(condition.entry),
                format_args!(
                    "The {} condition key is not recommended for access control as it can be \
                     spoofed/manipulated by the caller.",
                    condition.key
                ),
            );
        }
    }
}

/// Whether every action of a statement is of a service that sets a key; `None` for keys that all
/// services set.
fn all_set(statement: &Statement<'_>, key: &str) -> Option<bool> {
    sets_key("", key)?;
    let actions = statement.actions();
    let sets = |action: &str| {
        let prefix = action.split_once(':').map_or("*", |(prefix, _)| prefix);
        sets_key(prefix, key) == Some(true) && !action.eq_ignore_ascii_case("iam:PassRole")
    };
    Some(!actions.is_empty() && actions.iter().all(|action| sets(action.text)))
}

fn use_condition_key_only_with_supported_services(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (statement, condition) in policy.conditions() {
        if all_set(statement, condition.key) == Some(false) {
            sink.add(
                Place::Key(condition.entry),
                format_args!(
                    "The condition key {} works only with specific AWS services and must be scoped \
                     to supported services in your policies.",
                    condition.key
                ),
            );
        }
    }
}

fn irrelevant_condition_key_in_policy(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let Some(resource @ (ResourceKind::Bucket | ResourceKind::AccessPoint)) = policy.resource
    else {
        return;
    };
    for (_, condition) in policy.conditions().filter(|(_, c)| c.is("s3:ResourceAccount")) {
        sink.add(
            Place::Key(condition.entry),
            format_args!(
                "The condition key {} is not relevant for the {} policy.  Use this key in an \
                 identity-based policy to govern access to this resource.",
                condition.key,
                resource.name()
            ),
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case(
            "INVALID_CONDITION_KEY_FORMAT",
            "identity",
            r#""Condition": {"StringEquals": {"username": "a"}}"#,
            r#""username""#,
        )
        .but(r#""Condition": {"StringEquals": {"kms:EncryptionContext:a": "a"}}"#),
        case(
            "INVALID_GLOBAL_CONDITION_KEY",
            "identity",
            r#""Condition": {"StringEquals": {"aws:PrincipalName": "a"}}"#,
            r#""aws:PrincipalName""#,
        )
        .says("The condition key aws:PrincipalName does not exist. Use a valid condition key.")
        .but(r#""Condition": {"StringEquals": {"AWS:UserName": "a", "aws:PrincipalTag/a": "a"}}"#),
        case(
            "INVALID_SERVICE",
            "identity",
            r#""Condition": {"StringEquals": {"s4:prefix": "a"}}"#,
            r#""s4:prefix""#,
        )
        .says("The service s4 does not exist. Use a valid service name.")
        .but(
            r#""Condition": {"StringEquals": {"S3:prefix": "a", "SAML:sub": "a",
               "oidc.eks.eu-west-1.amazonaws.com/id/ABC:sub": "a", "codebuild:BuildArn": "a",
               "catalog:ChangeType": "a"}}"#,
        ),
        case(
            "INVALID_SERVICE_CONDITION_KEY",
            "identity",
            r#""Condition": {"StringEquals": {"s3:prefixes": "a"}}"#,
            r#""s3:prefixes""#,
        )
        .says(
            "The condition key s3:prefixes does not exist in the service s3. Use a valid condition \
             key.",
        )
        .but(r#""Condition": {"StringEquals": {"s3:Prefix": "a", "s3:ExistingObjectTag/a": "b"}}"#),
        case(
            "DEPRECATED_GLOBAL_CONDITION_KEY",
            "identity",
            r#""Condition": {"ArnLike": {"aws:Arn": "a"}}"#,
            r#""aws:Arn""#,
        )
        .but(r#""Condition": {"ArnLike": {"aws:PrincipalArn": "a"}}"#),
        case(
            "MISSING_TAG_KEY_IN_CONDITION",
            "identity",
            r#""Condition": {"StringEquals": {"aws:ResourceTag/": "a"}}"#,
            r#""aws:ResourceTag/""#,
        )
        .says(
            "The condition key aws:ResourceTag/ must include a tag key to control access based on \
             tags. Use the format aws:ResourceTag/tag-key and specify a key name for tag-key.",
        )
        .but(r#""Condition": {"StringEquals": {"aws:ResourceTag/a": "a"}}"#),
        case(
            "MISSING_TAG_KEY_IN_CONDITION",
            "identity",
            r#""Condition": {"StringEquals": {"s3:ExistingObjectTag": "a"}}"#,
            r#""s3:ExistingObjectTag""#,
        )
        .but(r#""Condition": {"StringEquals": {"s3:prefix": "a"}}"#),
        case(
            "MISSING_PAIRED_CONDITION_KEYS",
            "identity",
            r#""Condition": {"IpAddress": {"aws:VpcSourceIp": "10.0.0.0/8"}}"#,
            r#""10.0.0.0/8""#,
        )
        .says(
            "Using the condition key aws:VpcSourceIp can be overly permissive without also using \
             the following condition keys: aws:SourceVpc, aws:SourceVpce. Condition keys like this \
             one are more secure when paired with a related key. We recommend that you add the \
             related condition keys to the same condition block.",
        )
        .but(
            r#""Condition": {"IpAddress": {"aws:VpcSourceIp": "10.0.0.0/8"},
               "StringEquals": {"aws:sourceVpc": "vpc-12345678"}}"#,
        ),
        case(
            "MISSING_PAIRED_CONDITION_KEYS",
            "resource",
            r#""Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::bucket"}}"#,
            r#""arn:aws:s3:::bucket""#,
        )
        .but(r#""Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:123456789012:a"}}"#),
        case(
            "UNTRUSTWORTHY_CONDITION_KEY",
            "resource",
            r#""Condition": {"StringLike": {"aws:Referer": "https://example.com/*"}}"#,
            r#""aws:Referer""#,
        )
        .says(
            "The aws:Referer condition key is not recommended for access control as it can be \
             spoofed/manipulated by the caller.",
        )
        .but(r#""Condition": {"StringLike": {"aws:PrincipalTag/Referer": "a"}}"#),
        case(
            "USE_CONDITION_KEY_ONLY_WITH_SUPPORTED_SERVICES",
            "identity",
            r#""Action": ["s3:*", "sqs:*"],
               "Condition": {"StringEquals": {"aws:VpceAccount": "123456789012"}}"#,
            r#""aws:VpceAccount""#,
        )
        .says(
            "The condition key aws:VpceAccount works only with specific AWS services and must be \
             scoped to supported services in your policies.",
        )
        .but(
            r#""Action": ["s3:*", "sqs:*"],
               "Condition": {"StringEquals": {"aws:VpceOrgID": "o-a1b2c3d4e5"}}"#,
        ),
        case(
            "IRRELEVANT_CONDITION_KEY_IN_POLICY",
            "AWS::S3::Bucket",
            r#""Condition": {"StringEquals": {"s3:ResourceAccount": "123456789012"}}"#,
            r#""s3:ResourceAccount""#,
        )
        .says(
            "The condition key s3:ResourceAccount is not relevant for the S3 Bucket policy.  Use \
             this key in an identity-based policy to govern access to this resource.",
        )
        .but(r#""Condition": {"StringEquals": {"aws:ResourceAccount": "123456789012"}}"#),
    ];
}
