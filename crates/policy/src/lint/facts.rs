//! AWS's published lists of sensitive condition keys; and the types of condition keys.

use crate::document::Comparison;
use crate::reference::{self, ConditionKey};
use std::sync::LazyLock;

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
        Some(match name {
            "String" => Self::Text,
            "ARN" => Self::Arn,
            "Bool" => Self::Boolean,
            "Date" => Self::Date,
            "Numeric" => Self::Number,
            "IPAddress" => Self::Address,
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

/// How many values a condition key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arity {
    One,
    Several,
    /// One for some actions, several for others.
    Either,
}

/// What is known of a condition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyType {
    pub family: Family,
    pub arity: Arity,
}

/// Keys that one of their actions fills with one value, and another with several: `events:PutRule` has
/// the one type of its rule's pattern, `events:PutEvents` that of each event. Amazon Q and IAM Identity
/// Center fill the user's id differently.
const OF_EITHER_ARITY: &[&str] = &["events:detail-type", "events:source", "identitystore:UserId"];

/// What the reference has under the name of a condition key. Some services list keys that begin with
/// the prefix of another, or with none that a service has: `catalog:ChangeType` is AWS Marketplace's.
pub(super) fn condition_key(name: &str) -> Option<ConditionKey> {
    static FOREIGN: LazyLock<Vec<ConditionKey>> = LazyLock::new(|| {
        let own = |prefix: &str, key: &ConditionKey| {
            key.name.split_once(':').is_some_and(|(own, _)| own == prefix || own == "aws")
        };
        let of = |service: &'static reference::Service| {
            service.condition_keys().copied().filter(move |key| !own(service.prefix, key))
        };
        reference::services().flat_map(of).collect()
    });
    let foreign = || FOREIGN.iter().copied().find(|key| key.is_called(name));
    reference::condition_key(name).or_else(foreign)
}

/// Condition keys that the reference does not list with their actions, though AWS says that they have
/// them.
/// <https://docs.aws.amazon.com/marketplace/latest/buyerguide/buyer-iam-users-groups-policies.html>
pub(super) const UNLISTED_KEYS: &[(&str, &[&str])] =
    &[("aws-marketplace:ProductId", &["aws-marketplace:Subscribe", "aws-marketplace:Unsubscribe"])];

impl KeyType {
    /// What a key of the reference holds.
    pub fn of(key: &ConditionKey) -> Option<Self> {
        if key.name == "aws:EpochTime" {
            return Some(Self { family: Family::DateOrNumber, arity: Arity::One });
        }
        let arity = match key.is_set() {
            _ if OF_EITHER_ARITY.contains(&key.name) => Arity::Either,
            true => Arity::Several,
            false => Arity::One,
        };
        let item = key.value_type.strip_prefix("ArrayOf").unwrap_or(key.value_type);
        Some(Self { family: Family::of_type(item)?, arity })
    }
}

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
