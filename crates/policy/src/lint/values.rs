//! What condition values hold: by their operator, and by their key.

use super::Class::{Error, Warning};
use super::facts::{Family, any_of};
use super::view::{Condition, Policy, Text};
use super::{ALL, Check, Sink};
use crate::condition::{date, network};
use crate::document::Comparison;
use crate::regions::is_region;
use base64::Engine as _;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "TYPE_MISMATCH_IP_RANGE",
        ALL,
        "A value under an operator of addresses is neither an address nor a CIDR range.",
        type_mismatch_ip_range,
    ),
    Check::new(
        Warning,
        "TYPE_MISMATCH_BOOLEAN",
        ALL,
        "A value under Bool or Null is neither true nor false.",
        type_mismatch_boolean,
    ),
    Check::new(
        Warning,
        "TYPE_MISMATCH_DATE",
        ALL,
        "A value under an operator of dates is neither a date nor a number.",
        type_mismatch_date,
    ),
    Check::new(
        Warning,
        "INVALID_DATE_VALUE",
        ALL,
        "A value under an operator of dates is a bare number, which counts seconds.",
        invalid_date_value,
    ),
    Check::new(
        Warning,
        "TYPE_MISMATCH_NUMBER",
        ALL,
        "A value under an operator of numbers is no number.",
        type_mismatch_number,
    ),
    Check::new(
        Warning,
        "TYPE_MISMATCH_STRING",
        ALL,
        "A value under BinaryEquals is not base64.",
        type_mismatch_string,
    ),
    Check::new(
        Warning,
        "WILDCARD_WITHOUT_LIKE_OPERATOR",
        ALL,
        "A value under an operator of text other than StringLike and StringNotLike has a wildcard.",
        wildcard_without_like_operator,
    ),
    Check::new(
        Error,
        "INVALID_REGION",
        ALL,
        "A value of aws:RequestedRegion or ec2:Region, without wildcards, is no Region.",
        invalid_region,
    ),
    Check::new(
        Error,
        "INVALID_VPC_FORMAT",
        ALL,
        "A value of aws:SourceVpc, without wildcards, is no VPC's id.",
        invalid_vpc_format,
    ),
    Check::new(
        Error,
        "INVALID_VPCE_FORMAT",
        ALL,
        "A value of aws:SourceVpce, without wildcards, is no VPC endpoint's id.",
        invalid_vpce_format,
    ),
    Check::new(
        Error,
        "INVALID_KMS_KEY_VALUE",
        ALL,
        "A value of S3's key of the encryption key, without wildcards, is no KMS key's ARN.",
        invalid_kms_key_value,
    ),
    Check::new(
        Error,
        "INVALID_SERVICE_PRINCIPAL_FORMAT",
        ALL,
        "A value, without wildcards, of a key that names a service is no service principal.",
        invalid_service_principal_format,
    ),
];

/// Values without variables under operators of a family.
fn under<'a>(
    policy: &'a Policy<'_>,
    families: &'a [Family],
) -> impl Iterator<Item = (&'a Condition<'a>, Text<'a>)> {
    let conditions = policy.conditions().map(|(_, condition)| condition);
    let conditions = conditions.filter(|c| c.family().is_some_and(|f| families.contains(&f)));
    let texts = conditions.flat_map(|c| c.texts().map(move |text| (c, text)));
    texts.filter(|(_, text)| !text.text.contains("${"))
}

fn type_mismatch_ip_range(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, text) in under(policy, &[Family::Address]) {
        if network(text.text).is_none() {
            sink.add(
                text.node,
                format_args!(
                    "The condition operator {} is used with an invalid IP range value. Specify the \
                     IP range in standard CIDR format.",
                    condition.block.key
                ),
            );
        }
    }
}

fn type_mismatch_boolean(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, text) in under(policy, &[Family::Boolean, Family::Null]) {
        if !any_of(&["true", "false"], text.text) {
            sink.add(
                text.node,
                format_args!(
                    "Add a valid Boolean value (true or false) for the condition operator {}.",
                    condition.block.key
                ),
            );
        }
    }
}

fn is_number(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok_and(f64::is_finite)
}

fn type_mismatch_date(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, text) in under(policy, &[Family::Date]) {
        if !is_number(text.text) && date(text.text).is_none() {
            sink.add(
                text.node,
                "The date condition operator is used with an invalid value. Specify a valid date \
                 using YYYY-MM-DD or other ISO 8601 date/time format.",
            );
        }
    }
}

fn invalid_date_value(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, text) in under(policy, &[Family::Date]).filter(|(_, text)| is_number(text.text)) {
        sink.add(
            text.node,
            format_args!(
                "The date {} might not resolve as expected. We recommend that you use the \
                 YYYY-MM-DD format.",
                text.text
            ),
        );
    }
}

fn type_mismatch_number(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, text) in under(policy, &[Family::Number]) {
        if !is_number(text.text) {
            sink.add(
                text.node,
                format_args!(
                    "Add a valid numeric value for the condition operator {}.",
                    condition.block.key
                ),
            );
        }
    }
}

fn type_mismatch_string(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, text) in under(policy, &[Family::Binary]) {
        if base64::engine::general_purpose::STANDARD.decode(text.text).is_err() {
            sink.add(
                text.node,
                format_args!(
                    "Add a valid base64-encoded string value for the condition operator {}.",
                    condition.block.key
                ),
            );
        }
    }
}

fn wildcard_without_like_operator(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (condition, text) in under(policy, &[Family::Text]) {
        let like = matches!(
            condition.comparison(),
            Some(Comparison::StringLike | Comparison::StringNotLike)
        );
        if !like && text.text.contains(['*', '?']) {
            sink.add(
                text.node,
                "Your condition value includes a * or ? character. If you meant to use a wildcard \
                 (*, ?), update the condition operator to include Like.",
            );
        }
    }
}

/// Values of keys that stand for themselves alone, under operators of text or ARNs.
fn of<'a>(policy: &'a Policy<'_>, keys: &'a [&str]) -> impl Iterator<Item = (&'a str, Text<'a>)> {
    under(policy, &[Family::Text, Family::Arn])
        .filter(|(condition, _)| any_of(keys, condition.key))
        .filter(|(_, text)| !text.text.contains(['*', '?']))
        .map(|(condition, text)| (condition.key, text))
}

fn invalid_region(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, text) in of(policy, &["aws:RequestedRegion", "ec2:Region"]) {
        if !is_region(text.text) {
            sink.add(
                text.node,
                format_args!(
                    "The Region {} is not valid. Update the condition value to a supported Region.",
                    text.text
                ),
            );
        }
    }
}

/// Whether a text is a prefix and 8 or 17 letters and digits.
fn is_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|id| {
        matches!(id.len(), 8 | 17) && id.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

fn invalid_vpc_format(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, text) in of(policy, &["aws:SourceVpc"]).filter(|(_, t)| !is_id(t.text, "vpc-")) {
        sink.add(
            text.node,
            "The VPC identifier in the condition key value is not valid. Use the prefix 'vpc-' \
             followed by 8 or 17 alphanumeric characters.",
        );
    }
}

fn invalid_vpce_format(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (_, text) in of(policy, &["aws:SourceVpce"]).filter(|(_, t)| !is_id(t.text, "vpce-")) {
        sink.add(
            text.node,
            "The VPCE identifier in the condition key value is not valid.  Use the prefix 'vpce-' \
             followed by 8 or 17 alphanumeric characters.",
        );
    }
}

/// Keys that hold the ARN of a KMS key. AWS's own list is not published.
const KMS_KEYS: &[&str] = &["s3:x-amz-server-side-encryption-aws-kms-key-id"];

fn invalid_kms_key_value(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for (key, text) in of(policy, KMS_KEYS) {
        let valid = crate::Arn::parse(text.text).is_ok_and(|arn| {
            let id = arn.resource.strip_prefix("key/").is_some_and(|id| !id.is_empty());
            arn.service == "kms" && !arn.region.is_empty() && arn.account_id().is_some() && id
        });
        if !valid {
            sink.add(
                text.node,
                format_args!("The {key} condition key value must be a valid KMS key ARN."),
            );
        }
    }
}

/// Keys that name a service by its principal.
const SERVICE_KEYS: &[&str] = &[
    "aws:CalledVia",
    "aws:CalledViaFirst",
    "aws:CalledViaLast",
    "aws:PrincipalServiceName",
    "aws:PrincipalServiceNamesList",
    "iam:AWSServiceName",
    "iam:PassedToService",
];

fn invalid_service_principal_format(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let domain = |text: &str| {
        let name = text.strip_suffix(".cn").unwrap_or(text).strip_suffix(".amazonaws.com");
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        name.filter(|name| !name.is_empty() && name.bytes().all(known)).map(str::to_owned)
    };
    for (_, text) in of(policy, SERVICE_KEYS).filter(|(_, text)| domain(text.text).is_none()) {
        sink.add(
            text.node,
            "The service principal does not match the expected format. Use the format \
             service-name.amazonaws.com.",
        );
    }
    for (_, text) in of(policy, &["kms:ViaService"]) {
        let name = domain(text.text);
        if !name.is_some_and(|name| name.rsplit_once('.').is_some_and(|(_, at)| is_region(at))) {
            sink.add(
                text.node,
                "The service principal does not match the expected format. Use the format \
                 service-name.region.amazonaws.com.",
            );
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case(
            "TYPE_MISMATCH_IP_RANGE",
            "identity",
            r#""Condition": {"NotIpAddress": {"aws:SourceIp": ["203.0.113.0/24", "203.0.113/24"]}}"#,
            r#""203.0.113/24""#,
        )
        .says(
            "The condition operator NotIpAddress is used with an invalid IP range value. Specify \
             the IP range in standard CIDR format.",
        )
        .but(r#""Condition": {"IpAddress": {"aws:SourceIp": ["203.0.113.1", "2001:db8::/32"]}}"#),
        case(
            "TYPE_MISMATCH_BOOLEAN",
            "identity",
            r#""Condition": {"Bool": {"aws:SecureTransport": "yes"}}"#,
            r#""yes""#,
        )
        .says("Add a valid Boolean value (true or false) for the condition operator Bool.")
        .but(r#""Condition": {"Bool": {"aws:SecureTransport": "True"}}"#),
        case(
            "TYPE_MISMATCH_DATE",
            "identity",
            r#""Condition": {"DateLessThan": {"aws:CurrentTime": "01/02/2030"}}"#,
            r#""01/02/2030""#,
        )
        .but(r#""Condition": {"DateLessThan": {"aws:CurrentTime": "2030-02-01T00:00:00Z"}}"#),
        case(
            "INVALID_DATE_VALUE",
            "identity",
            r#""Condition": {"DateGreaterThan": {"aws:CurrentTime": "2021"}}"#,
            r#""2021""#,
        )
        .says(
            "The date 2021 might not resolve as expected. We recommend that you use the YYYY-MM-DD \
             format.",
        )
        .but(r#""Condition": {"DateGreaterThan": {"aws:CurrentTime": "2021-01"}}"#),
        case(
            "TYPE_MISMATCH_NUMBER",
            "identity",
            r#""Condition": {"NumericLessThan": {"s3:max-keys": "ten"}}"#,
            r#""ten""#,
        )
        .says("Add a valid numeric value for the condition operator NumericLessThan.")
        .but(r#""Condition": {"NumericLessThan": {"s3:max-keys": ["10", "1.5"]}}"#),
        case(
            "TYPE_MISMATCH_STRING",
            "identity",
            r#""Condition": {"BinaryEquals": {"kms:ViaService": "%"}}"#,
            r#""%""#,
        )
        .says("Add a valid base64-encoded string value for the condition operator BinaryEquals.")
        .but(r#""Condition": {"BinaryEquals": {"kms:ViaService": "YQ=="}}"#),
        case(
            "WILDCARD_WITHOUT_LIKE_OPERATOR",
            "identity",
            r#""Condition": {"StringEquals": {"aws:username": "a*"}}"#,
            r#""a*""#,
        )
        .but(
            r#""Condition": {"StringLike": {"aws:username": "a*"}, "ArnEquals":
               {"aws:PrincipalArn": "*"}}"#,
        ),
        case(
            "INVALID_REGION",
            "scp",
            r#""Condition": {"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1", "eu-west"]}}"#,
            r#""eu-west""#,
        )
        .says("The Region eu-west is not valid. Update the condition value to a supported Region.")
        .but(r#""Condition": {"StringLike": {"aws:RequestedRegion": ["eu-*", "cn-north-1"]}}"#),
        case(
            "INVALID_VPC_FORMAT",
            "resource",
            r#""Condition": {"StringEquals": {"aws:SourceVpc": "vpc-123"}}"#,
            r#""vpc-123""#,
        )
        .but(r#""Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1234567890abcdef0"}}"#),
        case(
            "INVALID_VPCE_FORMAT",
            "resource",
            r#""Condition": {"StringEquals": {"aws:SourceVpce": "vpc-12345678"}}"#,
            r#""vpc-12345678""#,
        )
        .but(r#""Condition": {"StringEquals": {"aws:SourceVpce": "vpce-12345678"}}"#),
        case(
            "INVALID_KMS_KEY_VALUE",
            "identity",
            r#""Condition": {"StringEquals":
               {"s3:x-amz-server-side-encryption-aws-kms-key-id": "1234abcd"}}"#,
            r#""1234abcd""#,
        )
        .says(
            "The s3:x-amz-server-side-encryption-aws-kms-key-id condition key value must be a valid \
             KMS key ARN.",
        )
        .but(
            r#""Condition": {"ArnEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id":
               ["arn:aws:kms:us-east-1:123456789012:key/1234abcd", "arn:aws:kms:*:*:key/*"]}}"#,
        ),
        case(
            "INVALID_SERVICE_PRINCIPAL_FORMAT",
            "identity",
            r#""Condition": {"StringEquals": {"iam:PassedToService": "EC2.amazonaws.com"}}"#,
            r#""EC2.amazonaws.com""#,
        )
        .says(
            "The service principal does not match the expected format. Use the format \
             service-name.amazonaws.com.",
        )
        .but(
            r#""Condition": {"StringEquals": {"iam:PassedToService":
               ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"]}}"#,
        ),
        case(
            "INVALID_SERVICE_PRINCIPAL_FORMAT",
            "identity",
            r#""Condition": {"StringEquals": {"kms:ViaService": "s3.amazonaws.com"}}"#,
            r#""s3.amazonaws.com""#,
        )
        .says(
            "The service principal does not match the expected format. Use the format \
             service-name.region.amazonaws.com.",
        )
        .but(r#""Condition": {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}"#),
    ];
}
