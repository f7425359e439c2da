//! ARNs of `Resource` and `NotResource`.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>

use super::Class::{Error, Suggestion};
use super::PolicyKind::Resource;
use super::formats::{self, Format};
use super::pattern::{overlap, tokens};
use super::view::{Policy, ResourceArn, ResourceKind, split_arn};
use super::{Check, Sink, WITH_RESOURCES};
use crate::regions::{PARTITIONS, is_region};

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "INVALID_ARN_PREFIX",
        WITH_RESOURCES,
        "A resource is neither * nor begins with arn.",
        invalid_arn_prefix,
    ),
    Check::new(
        Error,
        "MISSING_ARN_FIELD",
        WITH_RESOURCES,
        "A resource ARN has fewer than six fields.",
        missing_arn_field,
    ),
    Check::new(
        Error,
        "INVALID_PARTITION",
        WITH_RESOURCES,
        "A resource ARN names no partition of AWS.",
        invalid_partition,
    ),
    Check::new(
        Error,
        "INVALID_ARN_SERVICE_CASE",
        WITH_RESOURCES,
        "A resource ARN has capital letters in its service.",
        invalid_arn_service_case,
    ),
    Check::new(
        Suggestion,
        "WILDCARD_IN_SERVICE_NAME",
        WITH_RESOURCES,
        "The service of a resource ARN has a wildcard, and is not * alone.",
        wildcard_in_service_name,
    ),
    Check::new(
        Error,
        "INVALID_ARN_REGION",
        WITH_RESOURCES,
        "A resource ARN names no Region of its partition.",
        invalid_arn_region,
    ),
    Check::new(
        Error,
        "MISSING_ARN_REGION",
        WITH_RESOURCES,
        "A resource ARN has no Region, and every ARN format that it fits has one.",
        missing_arn_region,
    ),
    Check::new(
        Error,
        "ARN_REGION_NOT_ALLOWED",
        WITH_RESOURCES,
        "A resource ARN has a Region, and no ARN format that it fits has one.",
        arn_region_not_allowed,
    ),
    Check::new(
        Error,
        "INVALID_ARN_ACCOUNT",
        WITH_RESOURCES,
        "The account of a resource ARN has not twelve digits, and is no word that AWS uses there.",
        invalid_arn_account,
    ),
    Check::new(
        Error,
        "MISSING_ARN_ACCOUNT",
        WITH_RESOURCES,
        "A resource ARN has no account, and every ARN format that it fits has one.",
        missing_arn_account,
    ),
    Check::new(
        Error,
        "ARN_ACCOUNT_NOT_ALLOWED",
        WITH_RESOURCES,
        "A resource ARN has an account, and no ARN format that it fits has one.",
        arn_account_not_allowed,
    ),
    Check::new(
        Error,
        "INVALID_ARN_RESOURCE",
        WITH_RESOURCES,
        "What follows the account in a resource ARN fits no ARN format of the service.",
        invalid_arn_resource,
    ),
    Check::new(
        Error,
        "UNSUPPORTED_RESOURCE_ARN_IN_POLICY",
        &[Resource],
        "A resource cannot be of the type that the policy is of.",
        unsupported_resource_arn_in_policy,
    ),
];

/// Whether a part of an ARN stands for more than itself.
fn is_open(text: &str) -> bool {
    text.contains(['*', '?']) || text.contains("${")
}

/// The ARNs that have a part.
fn part<'a>(
    policy: &'a Policy<'_>,
    at: usize,
) -> impl Iterator<Item = (&'a ResourceArn<'a>, &'a str)> {
    policy.arns.iter().filter_map(move |arn| Some((arn, *arn.parts.get(at)?)))
}

fn invalid_arn_prefix(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for resource in policy.resources() {
        let first = split_arn(resource.text).first().copied().unwrap_or_default();
        let whole = first.len() == resource.text.len();
        // API Gateway completes the ARN of its API itself.
        // https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-examples.html
        let of_api = policy.kind == Resource && first == "execute-api";
        if resource.text != "*"
            && !of_api
            && (first != "arn" || whole)
            && (whole || !is_open(first))
        {
            sink.add(resource.node, "Add the required prefix (arn) to the resource ARN.");
        }
    }
}

fn missing_arn_field(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for arn in policy.arns.iter().filter(|arn| arn.parts.len() < 6) {
        sink.add(
            arn.text.node,
            "Resource ARNs must include at least 6 fields in the following structure: \
             arn:partition:service:region:account:resource",
        );
    }
}

fn invalid_partition(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let names: Vec<&str> = PARTITIONS.iter().map(|(name, _)| *name).collect();
    for (arn, partition) in part(policy, 1) {
        if !is_open(partition) && !names.contains(&partition) {
            sink.add(
                arn.text.node,
                format_args!(
                    "The resource ARN for the service {} does not support the partition \
                     {partition}. Use the supported values: {}",
                    arn.parts.get(2).copied().unwrap_or_default(),
                    names.join(", ")
                ),
            );
        }
    }
}

fn invalid_arn_service_case(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (arn, service) in part(policy, 2) {
        if !service.contains("${") && service.bytes().any(|b| b.is_ascii_uppercase()) {
            sink.add(
                arn.text.node,
                format_args!(
                    "Update the service name {service} in the resource ARN to use all lowercase \
                     letters."
                ),
            );
        }
    }
}

fn wildcard_in_service_name(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (arn, service) in part(policy, 2) {
        if service != "*" && service.contains(['*', '?']) && arn.parts.len() > 3 {
            sink.add(
                arn.text.node,
                "Avoid using wildcards (*, ?) in the service name because it might grant unintended \
                 access to other AWS services with similar names.",
            );
        }
    }
}

fn invalid_arn_region(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (arn, region) in part(policy, 3) {
        let partition = arn.parts[1];
        let known = PARTITIONS.iter().find(|(name, _)| *name == partition);
        let valid = match known {
            Some((_, regions)) => regions.contains(&region),
            None => is_region(region) || !is_open(partition),
        };
        // A format may have another word there.
        let valid = valid || formats::of(arn.parts[2]).iter().any(|format| format.region == region);
        if !region.is_empty() && !is_open(region) && !valid {
            sink.add(
                arn.text.node,
                format_args!(
                    "The Region {region} is not valid for this resource. Update the resource ARN to \
                     include a supported Region."
                ),
            );
        }
    }
}

/// ARNs of six parts with the formats that they fit, of which there are some.
fn fitting<'a>(
    policy: &'a Policy<'_>,
) -> impl Iterator<Item = (&'a ResourceArn<'a>, &'a [&'static Format])> {
    policy.arns.iter().filter_map(|arn| {
        let formats = arn.formats.as_deref()?;
        (!formats.is_empty()).then_some((arn, formats))
    })
}

fn missing_arn_region(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (arn, fits) in fitting(policy) {
        if arn.parts[3].is_empty() && fits.iter().all(|format| !format.region.is_empty()) {
            sink.add(
                arn.text.node,
                format_args!("Add a Region to the {} resource ARN.", arn.parts[2]),
            );
        }
    }
}

fn arn_region_not_allowed(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (arn, fits) in fitting(policy) {
        let region = arn.parts[3];
        if !region.is_empty() && region != "*" && fits.iter().all(|format| format.region.is_empty())
        {
            sink.add(
                arn.text.node,
                format_args!(
                    "The service {} does not support specifying a Region in the resource ARN.",
                    arn.parts[2]
                ),
            );
        }
    }
}

/// Words that stand for an account in ARNs of AWS's own resources.
const ACCOUNT_WORDS: &[&str] = &["aws", "aws-managed", "aws-marketplace", "cloudfront"];

fn invalid_arn_account(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (arn, account) in part(policy, 4) {
        let digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        let word = ACCOUNT_WORDS.contains(&account)
            || formats::of(arn.parts[2]).iter().any(|format| format.account == account);
        if !account.is_empty() && !digits && !word && !is_open(account) {
            sink.add(
                arn.text.node,
                format_args!(
                    "The resource ARN account ID {account} is not valid. Provide a 12-digit account \
                     ID."
                ),
            );
        }
    }
}

/// Whether a resource is, by its name, one of those that AWS shares with every account, whose ARNs have
/// none: `document/AWS-RunShellScript`, `parameter/aws/service/…`, and all such documents.
fn is_of_aws(arn: &ResourceArn<'_>) -> bool {
    let name = arn.parts[5].split_once(['/', ':']).map_or("", |(_, name)| name);
    let begins =
        |word: &str| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    begins("aws") || begins("amazon") || arn.parts[2] == "ssm"
}

fn missing_arn_account(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (arn, fits) in fitting(policy) {
        let Some(first) = fits.first() else { continue };
        if arn.parts[4].is_empty()
            && fits.iter().all(|format| !format.account.is_empty())
            && !is_of_aws(arn)
        {
            sink.add(
                arn.text.node,
                format_args!(
                    "The resource {} in the arn is missing an account id. Please provide a 12 digit \
                     account id.",
                    first.name
                ),
            );
        }
    }
}

fn arn_account_not_allowed(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (arn, fits) in fitting(policy) {
        let account = arn.parts[4];
        if !account.is_empty()
            && account != "*"
            && fits.iter().all(|format| format.account.is_empty())
        {
            sink.add(
                arn.text.node,
                format_args!(
                    "The service {} does not support specifying an account ID in the resource ARN.",
                    arn.parts[2]
                ),
            );
        }
    }
}

fn invalid_arn_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for arn in &policy.arns {
        if arn.formats.as_ref().is_some_and(Vec::is_empty) {
            sink.add(
                arn.text.node,
                "Resource ARN does not match the expected ARN format. Update the resource portion of \
                 the ARN.",
            );
        }
    }
}

/// How ARNs of a resource, and of what is in it, look.
const fn formats_of(resource: ResourceKind) -> &'static [&'static str] {
    match resource {
        ResourceKind::Bucket => &["arn:*:s3:::*"],
        ResourceKind::AccessPoint => &["arn:*:s3:*:*:accesspoint/*"],
        ResourceKind::MultiRegionAccessPoint => &["arn:*:s3::*:accesspoint/*"],
        ResourceKind::ObjectLambdaAccessPoint => &["arn:*:s3-object-lambda:*:*:accesspoint/*"],
        ResourceKind::Table => &["arn:*:dynamodb:*:*:table/*"],
    }
}

fn unsupported_resource_arn_in_policy(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let Some(resource) = policy.resource else { return };
    for text in policy.resources() {
        let parts = split_arn(text.text);
        // A lone `*`, which is every resource, is none of them for a bucket.
        let supported = formats_of(resource).iter().any(|format| {
            let format: Vec<&str> = format.split(':').collect();
            let meets = |(own, format): (&&str, &&str)| {
                overlap(&tokens(format), &tokens(own), false, |steps| policy.spend(steps))
            };
            parts.len() == 6 && parts.iter().zip(&format).all(meets)
        });
        if !supported {
            sink.add(
                text.node,
                format_args!(
                    "The resource ARN is not supported for the resource-based policy attached to the \
                     resource type {}.",
                    resource.name()
                ),
            );
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case("INVALID_ARN_PREFIX", "identity", r#""Resource": ["*", "bucket"]"#, r#""bucket""#)
            .but(r#""Resource": ["*", "arn:aws:s3:::bucket"]"#),
        case("INVALID_ARN_PREFIX", "identity", r#""Resource": "urn:aws:s3:::b""#, r#""urn:aws:s3:::b""#)
            .but(r#""Resource": "a*n:aws:s3:::b""#),
        case(
            "INVALID_ARN_PREFIX",
            "identity",
            r#""Resource": "execute-api:/*""#,
            r#""execute-api:/*""#,
        )
        .but(r#""Resource": "arn:aws:execute-api:*:*:*/*""#),
        case("MISSING_ARN_FIELD", "identity", r#""Resource": "arn:aws:sqs:*""#, r#""arn:aws:sqs:*""#)
            .but(r#""Resource": "arn:aws:sqs:*:*:*""#),
        case(
            "INVALID_PARTITION",
            "identity",
            r#""Resource": "arn:amazon:s3:::b""#,
            r#""arn:amazon:s3:::b""#,
        )
        .says(
            "The resource ARN for the service s3 does not support the partition amazon. Use the \
             supported values: aws, aws-cn, aws-us-gov, aws-eusc, aws-iso, aws-iso-b, aws-iso-e, \
             aws-iso-f",
        )
        .but(r#""Resource": "arn:aws-c?:s3:::b""#),
        case("INVALID_ARN_SERVICE_CASE", "identity", r#""Resource": "arn:aws:S3:::b""#, r#""arn:aws:S3:::b""#)
            .says("Update the service name S3 in the resource ARN to use all lowercase letters.")
            .but(r#""Resource": "arn:aws:s3:::B""#),
        case(
            "WILDCARD_IN_SERVICE_NAME",
            "identity",
            r#""Resource": "arn:aws:*code*::111122223333:*""#,
            r#""arn:aws:*code*::111122223333:*""#,
        )
        .but(r#""Resource": "arn:aws:*:*:111122223333:code*""#),
        case(
            "INVALID_ARN_REGION",
            "identity",
            r#""Resource": "arn:aws:sqs:us-east-3:123456789012:q""#,
            r#""arn:aws:sqs:us-east-3:123456789012:q""#,
        )
        .says(
            "The Region us-east-3 is not valid for this resource. Update the resource ARN to include \
             a supported Region.",
        )
        .but(r#""Resource": "arn:aws:sqs:us-east-?:123456789012:q""#),
        case(
            "INVALID_ARN_REGION",
            "identity",
            r#""Resource": "arn:aws:sqs:cn-north-1:123456789012:q""#,
            r#""arn:aws:sqs:cn-north-1:123456789012:q""#,
        )
        .but(r#""Resource": "arn:aws-cn:sqs:cn-north-1:123456789012:q""#),
        case(
            "MISSING_ARN_REGION",
            "identity",
            r#""Resource": "arn:aws:sqs::123456789012:q""#,
            r#""arn:aws:sqs::123456789012:q""#,
        )
        .says("Add a Region to the sqs resource ARN.")
        .but(r#""Resource": "arn:aws:sqs:*:123456789012:q""#),
        case(
            "ARN_REGION_NOT_ALLOWED",
            "identity",
            r#""Resource": "arn:aws:iam:us-east-1:123456789012:role/a""#,
            r#""arn:aws:iam:us-east-1:123456789012:role/a""#,
        )
        .says("The service iam does not support specifying a Region in the resource ARN.")
        .but(r#""Resource": "arn:aws:s3:us-east-1:123456789012:accesspoint/a""#),
        case(
            "INVALID_ARN_ACCOUNT",
            "identity",
            r#""Resource": "arn:aws:sqs:us-east-1:1234:q""#,
            r#""arn:aws:sqs:us-east-1:1234:q""#,
        )
        .says("The resource ARN account ID 1234 is not valid. Provide a 12-digit account ID.")
        .but(r#""Resource": ["arn:aws:iam::aws:role/a", "arn:aws:iam::${aws:PrincipalAccount}:role/a"]"#),
        case(
            "MISSING_ARN_ACCOUNT",
            "identity",
            r#""Resource": "arn:aws:sqs:us-east-1::q""#,
            r#""arn:aws:sqs:us-east-1::q""#,
        )
        .says(
            "The resource queue in the arn is missing an account id. Please provide a 12 digit \
             account id.",
        )
        .but(r#""Resource": ["arn:aws:s3:::q", "arn:aws:sqs:us-east-1::q/AWS-q"]"#),
        case(
            "ARN_ACCOUNT_NOT_ALLOWED",
            "identity",
            r#""Resource": "arn:aws:s3::123456789012:bucket""#,
            r#""arn:aws:s3::123456789012:bucket""#,
        )
        .says("The service s3 does not support specifying an account ID in the resource ARN.")
        .but(r#""Resource": "arn:aws:s3:*:*:*""#),
        case(
            "INVALID_ARN_RESOURCE",
            "identity",
            r#""Resource": "arn:aws:iam::123456789012:roles/a""#,
            r#""arn:aws:iam::123456789012:roles/a""#,
        )
        .but(r#""Resource": ["arn:aws:iam::123456789012:ro*", "arn:aws:nothing:us-east-1::x",
               "arn:aws:iam::123456789012:root",
               "arn:aws:backup:eu-west-1:123456789012:recovery-point:a",
               "arn:aws:apigateway:eu-west-1::/tags", "arn:aws:apigateway:*::/v2/apis/*",
               "arn:aws:cloudformation:eu-west-1:aws:transform/Serverless-2016-10-31"]"#),
        case("UNSUPPORTED_RESOURCE_ARN_IN_POLICY", "AWS::S3::Bucket", r#""Resource": "*""#, r#""*""#)
            .says(
                "The resource ARN is not supported for the resource-based policy attached to the \
                 resource type S3 Bucket.",
            )
            .but(r#""Resource": ["arn:aws:s3:::bucket/*", "arn:*:s3:::bucket"]"#),
        case(
            "UNSUPPORTED_RESOURCE_ARN_IN_POLICY",
            "AWS::DynamoDB::Table",
            r#""Resource": "arn:aws:kms:us-east-1:123456789012:key/a""#,
            r#""arn:aws:kms:us-east-1:123456789012:key/a""#,
        )
        .but(r#""Resource": "arn:aws:dynamodb:us-east-1:123456789012:table/t/index/*""#),
    ];
}
