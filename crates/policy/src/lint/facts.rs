//! AWS's published lists: partitions, Regions, global condition keys, services of resource control
//! policies.

use crate::document::Comparison;

/// Partitions with their Regions.
/// <https://docs.aws.amazon.com/general/latest/gr/rande.html>
pub(super) const PARTITIONS: &[(&str, &[&str])] = &[
    (
        "aws",
        &[
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "ca-central-1",
            "ca-west-1",
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "mx-central-1",
            "sa-east-1",
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
        ],
    ),
    ("aws-cn", &["cn-north-1", "cn-northwest-1"]),
    ("aws-us-gov", &["us-gov-east-1", "us-gov-west-1"]),
    ("aws-eusc", &["eusc-de-east-1"]),
    ("aws-iso", &["us-iso-east-1", "us-iso-west-1"]),
    ("aws-iso-b", &["us-isob-east-1", "us-isob-west-1"]),
    ("aws-iso-e", &["eu-isoe-west-1"]),
    ("aws-iso-f", &["us-isof-east-1", "us-isof-south-1"]),
];

/// Whether there is such a Region in any partition.
pub(super) fn is_region(text: &str) -> bool {
    PARTITIONS.iter().any(|(_, regions)| regions.contains(&text))
}

/// What a condition key holds, and with which operators it compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Text,
    Arn,
    Boolean,
    Date,
    Number,
    /// `aws:EpochTime`, which dates and numbers both compare with.
    DateOrNumber,
    Address,
    Binary,
    Null,
}

impl Family {
    /// The family of an operator.
    pub const fn of(comparison: Comparison) -> Self {
        use Comparison as C;
        match comparison {
            C::StringEquals
            | C::StringNotEquals
            | C::StringEqualsIgnoreCase
            | C::StringNotEqualsIgnoreCase
            | C::StringLike
            | C::StringNotLike => Self::Text,
            C::NumericEquals
            | C::NumericNotEquals
            | C::NumericLessThan
            | C::NumericLessThanEquals
            | C::NumericGreaterThan
            | C::NumericGreaterThanEquals => Self::Number,
            C::DateEquals
            | C::DateNotEquals
            | C::DateLessThan
            | C::DateLessThanEquals
            | C::DateGreaterThan
            | C::DateGreaterThanEquals => Self::Date,
            C::Bool => Self::Boolean,
            C::BinaryEquals => Self::Binary,
            C::IpAddress | C::NotIpAddress => Self::Address,
            C::ArnEquals | C::ArnLike | C::ArnNotEquals | C::ArnNotLike => Self::Arn,
            C::Null => Self::Null,
        }
    }

    /// The family of a type of the service reference.
    pub fn of_type(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "string" => Self::Text,
            "arn" => Self::Arn,
            "bool" | "boolean" => Self::Boolean,
            "date" => Self::Date,
            "numeric" | "long" => Self::Number,
            "ipaddress" => Self::Address,
            "binary" => Self::Binary,
            _ => return None,
        })
    }

    /// The name of its operators' type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "String",
            Self::Arn => "ARN",
            Self::Boolean => "Boolean",
            Self::Date => "Date",
            Self::Number => "Numeric",
            Self::DateOrNumber => "Date, Numeric",
            Self::Address => "IP address",
            Self::Binary => "Binary",
            Self::Null => "Null",
        }
    }
}

/// What is known of a condition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyType {
    pub family: Family,
    /// Whether it holds several values.
    pub many: bool,
}

const fn one(name: &'static str, family: Family) -> (&'static str, KeyType) {
    (name, KeyType { family, many: false })
}

const fn many(name: &'static str) -> (&'static str, KeyType) {
    (name, KeyType { family: Family::Text, many: true })
}

/// The condition keys of all services, and those that a service sets on calls to others.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
pub(super) const GLOBAL_KEYS: &[(&str, KeyType)] = &[
    one("aws:PrincipalAccount", Family::Text),
    one("aws:PrincipalOrgID", Family::Text),
    one("aws:PrincipalTag/${TagKey}", Family::Text),
    one("aws:PrincipalServiceName", Family::Text),
    one("aws:PrincipalType", Family::Text),
    one("aws:userid", Family::Text),
    one("aws:username", Family::Text),
    one("aws:FederatedProvider", Family::Text),
    one("aws:Ec2InstanceSourceVpc", Family::Text),
    one("aws:SourceIdentity", Family::Text),
    one("aws:SourceVpc", Family::Text),
    one("aws:SourceVpce", Family::Text),
    one("aws:VpceAccount", Family::Text),
    one("aws:VpceOrgID", Family::Text),
    one("aws:ResourceAccount", Family::Text),
    one("aws:ResourceOrgID", Family::Text),
    one("aws:ResourceTag/${TagKey}", Family::Text),
    one("aws:CalledViaFirst", Family::Text),
    one("aws:CalledViaLast", Family::Text),
    one("aws:CalledViaAWSMCP", Family::Text),
    one("aws:referer", Family::Text),
    one("aws:RequestedRegion", Family::Text),
    one("aws:RequestTag/${TagKey}", Family::Text),
    one("aws:SourceAccount", Family::Text),
    one("aws:SourceOrgID", Family::Text),
    one("aws:UserAgent", Family::Text),
    one("identitystore:UserId", Family::Text),
    one("glue:RoleAssumedBy", Family::Text),
    one("glue:CredentialIssuingService", Family::Text),
    many("aws:PrincipalOrgPaths"),
    many("aws:PrincipalServiceNamesList"),
    many("aws:VpceOrgPaths"),
    many("aws:ResourceOrgPaths"),
    many("aws:CalledVia"),
    many("aws:TagKeys"),
    many("aws:SourceOrgPaths"),
    one("aws:PrincipalArn", Family::Arn),
    one("aws:SignInSessionArn", Family::Arn),
    one("aws:ChatbotSourceArn", Family::Arn),
    one("aws:SourceVpcArn", Family::Arn),
    one("aws:SourceArn", Family::Arn),
    one("ec2:SourceInstanceArn", Family::Arn),
    one("codebuild:BuildArn", Family::Arn),
    one("codebuild:ProjectArn", Family::Arn),
    one("lambda:SourceFunctionArn", Family::Arn),
    one("ssm:SourceInstanceArn", Family::Arn),
    one("aws:PrincipalIsAWSService", Family::Boolean),
    one("aws:AssumedRoot", Family::Boolean),
    one("aws:MultiFactorAuthPresent", Family::Boolean),
    one("aws:ViaAWSService", Family::Boolean),
    one("aws:ViaAWSMCPService", Family::Boolean),
    one("aws:SecureTransport", Family::Boolean),
    one("aws:IsMcpServiceAction", Family::Boolean),
    one("aws:TokenIssueTime", Family::Date),
    one("aws:CurrentTime", Family::Date),
    one("aws:EpochTime", Family::DateOrNumber),
    one("aws:MultiFactorAuthAge", Family::Number),
    one("ec2:RoleDelivery", Family::Number),
    one("aws:SourceIp", Family::Address),
    one("aws:VpcSourceIp", Family::Address),
    one("aws:Ec2InstanceSourcePrivateIPv4", Family::Address),
];

/// Keys whose values decide between organizations, accounts or networks: a pattern in their values
/// opens more than it seems to.
pub(super) const SENSITIVE_KEYS: &[&str] = &[
    "aws:PrincipalAccount",
    "aws:PrincipalOrgID",
    "aws:ResourceAccount",
    "aws:ResourceOrgID",
    "aws:SourceAccount",
    "aws:SourceOrgID",
    "aws:SourceVpc",
    "aws:SourceVpce",
    "aws:VpceAccount",
    "aws:VpceOrgID",
];

/// Whether a key is one of a list.
pub(super) fn any_of(list: &[&str], key: &str) -> bool {
    list.iter().any(|known| known.eq_ignore_ascii_case(key))
}

/// The services that have resource control policies.
/// <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html>
pub(super) const RCP_SERVICES: &[&str] = &[
    "appstream",
    "dsql",
    "clouddirectory",
    "cloudfront",
    "cloudsearch",
    "logs",
    "networkmonitor",
    "cognito-identity",
    "cognito-idp",
    "comprehend",
    "comprehendmedical",
    "firehose",
    "dynamodb",
    "dax",
    "autoscaling",
    "ecr",
    "ecr-public",
    "gamelift",
    "inspector-scan",
    "kendra",
    "kinesisvideo",
    "memorydb",
    "aoss",
    "personalize",
    "polly",
    "s3",
    "swf",
    "sqs",
    "textract",
    "timestream-influxdb",
    "transcribe",
    "translate",
    "workspaces",
    "appconfig",
    "autoscaling-plans",
    "budgets",
    "servicediscovery",
    "cloudtrail-data",
    "codeartifact",
    "codebuild",
    "codecommit",
    "codepipeline",
    "compute-optimizer",
    "cost-optimization-hub",
    "events",
    "fms",
    "fis",
    "health",
    "rolesanywhere",
    "kms",
    "opensearch",
    "pricing",
    "pca-connector-ad",
    "resource-groups",
    "secretsmanager",
    "sts",
    "signin",
    "support",
    "transfer",
    "notifications",
    "wafv2",
    "xray",
];

/// The services that set `aws:VpceAccount`, `aws:VpceOrgID` and `aws:VpceOrgPaths`, all three.
const VPCE_SERVICES: &[&str] = &[
    "apprunner",
    "discovery",
    "athena",
    "servicediscovery",
    "applicationinsights",
    "cloudformation",
    "comprehendmedical",
    "compute-optimizer",
    "ecr",
    "ecs",
    "kinesisanalytics",
    "route53",
    "datasync",
    "dynamodb",
    "ebs",
    "scheduler",
    "firehose",
    "gamelift",
    "medical-imaging",
    "healthlake",
    "omics",
    "iam",
    "iotfleetwise",
    "iotwireless",
    "kms",
    "lambda",
    "payment-cryptography",
    "polly",
    "acm-pca",
    "rbin",
    "rekognition",
    "servicequotas",
    "s3",
    "shield",
    "storagegateway",
    "ssm-contacts",
    "textract",
    "transcribe",
    "transfer",
];

/// The services that set `aws:VpceOrgID` besides.
const VPCE_ORG_SERVICES: &[&str] = &[
    "b2bi",
    "cognito-identity",
    "dms",
    "ds-data",
    "identitystore",
    "iottwinmaker",
    "cassandra",
    "network-firewall",
    "sms-voice",
    "pricing",
    "ses",
    "sqs",
    "workmail",
];

/// Whether a service sets a key that only some services set; `None` for keys that all set.
pub(super) fn sets_key(service: &str, key: &str) -> Option<bool> {
    let with_org = key.eq_ignore_ascii_case("aws:VpceOrgID");
    if !with_org && !any_of(&["aws:VpceAccount", "aws:VpceOrgPaths"], key) {
        return None;
    }
    let sets = any_of(VPCE_SERVICES, service) || (with_org && any_of(VPCE_ORG_SERVICES, service));
    Some(sets)
}
