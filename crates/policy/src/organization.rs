//! Whom the policies of an organization bind.
//!
//! Service control policies bind the principals of member accounts, resource control policies the
//! resources of member accounts, and both leave out the management account and service-linked roles.
//! <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html#not-restricted-by-scp>
//! <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html#actions-not-restricted-by-rcps>

use crate::evaluate::{Principal, Request};
use crate::{AccountId, Arn};

/// The prefixes of the services whose resources obey resource control policies, in order.
/// <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html#rcp-supported-services>
pub const RCP_SERVICES: &[&str] = &[
    "aoss",
    "appconfig",
    "appstream",
    "autoscaling",
    "autoscaling-plans",
    "budgets",
    "clouddirectory",
    "cloudfront",
    "cloudsearch",
    "cloudtrail-data",
    "codeartifact",
    "codebuild",
    "codecommit",
    "codepipeline",
    "cognito-identity",
    "cognito-idp",
    "comprehend",
    "comprehendmedical",
    "compute-optimizer",
    "cost-optimization-hub",
    "dax",
    "dsql",
    "dynamodb",
    "ecr",
    "ecr-public",
    "events",
    "firehose",
    "fis",
    "fms",
    "gamelift",
    "health",
    "inspector-scan",
    "kendra",
    "kinesisvideo",
    "kms",
    "logs",
    "memorydb",
    "networkmonitor",
    "notifications",
    "opensearch",
    "pca-connector-ad",
    "personalize",
    "polly",
    "pricing",
    "resource-groups",
    "rolesanywhere",
    "s3",
    "secretsmanager",
    "servicediscovery",
    "signin",
    "sqs",
    "sts",
    "support",
    "swf",
    "textract",
    "timestream-influxdb",
    "transcribe",
    "transfer",
    "translate",
    "wafv2",
    "workspaces",
    "xray",
];

/// Whether service control policies bind a principal of an account that is no service-linked role.
pub(crate) fn binds_principal(own: Option<AccountId>, management: Option<AccountId>) -> bool {
    own.is_some() && own != management
}

/// Whether resource control policies bind what is asked by anyone but a service-linked role. The keys
/// that AWS manages are left out by whoever knows them: such a key has no such policies.
pub(crate) fn binds_resource(request: &Request<'_>, management: Option<AccountId>) -> bool {
    let retire = request.action.eq_ignore_ascii_case("kms:RetireGrant");
    let supported = request.action.split_once(':').is_some_and(|(prefix, _)| {
        // Most ask in small letters.
        RCP_SERVICES.binary_search(&prefix).is_ok()
            || RCP_SERVICES.binary_search(&&*prefix.to_ascii_lowercase()).is_ok()
    });
    supported && !retire && Some(request.resource_account) != management
}

/// Whether it is the session of a role that is linked to a service.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create-service-linked-role.html>
pub(crate) fn is_service_linked(principal: &Principal) -> bool {
    let Principal::AssumedRole { role_arn, .. } = principal else { return false };
    Arn::parse(role_arn).is_ok_and(|arn| arn.resource.starts_with("role/aws-service-role/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_of_resource_control_policies_are_sorted_and_known() {
        assert!(RCP_SERVICES.is_sorted());
        for service in RCP_SERVICES {
            assert!(crate::reference::service(service).is_some(), "{service}");
        }
    }
}
