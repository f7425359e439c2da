//! AWS's words for a denial.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>

use crate::evaluate::{Decision, Layer};

/// `User: ARN is not authorized to perform: ACTION on resource: ARN because …`
///
/// `policy` is the ARN of the policy that an explicit denial comes from, where it has one and the
/// caller may know it: AWS tells it where caller and resource are of one account or organization.
pub fn denied(
    principal_arn: &str,
    action: &str,
    resource: &str,
    decision: Decision,
    policy: Option<&str>,
) -> String {
    let mut out = format!("User: {principal_arn} is not authorized to perform: {action}");
    if resource != "*" {
        out.push_str(" on resource: ");
        out.push_str(resource);
    }
    match decision {
        Decision::Allow => {}
        Decision::ExplicitDeny(layer) => {
            out.push_str(" with an explicit deny in ");
            out.push_str(with_article(layer));
            if let Some(arn) = policy {
                out.push_str(": ");
                out.push_str(arn);
            }
        }
        Decision::ImplicitDeny(layer) => {
            out.push_str(" because no ");
            out.push_str(name(layer));
            out.push_str(" allows the ");
            out.push_str(action);
            out.push_str(" action");
        }
    }
    out
}

/// What AWS calls a layer.
pub const fn name(layer: Layer) -> &'static str {
    match layer {
        Layer::Identity => "identity-based policy",
        Layer::Resource => "resource-based policy",
        Layer::Trust => "role trust policy",
        Layer::Boundary => "permissions boundary",
        Layer::Session => "session policy",
        Layer::ServiceControl => "service control policy",
        Layer::ResourceControl => "resource control policy",
        Layer::Endpoint => "VPC endpoint policy",
    }
}

const fn with_article(layer: Layer) -> &'static str {
    match layer {
        Layer::Identity => "an identity-based policy",
        Layer::Resource => "a resource-based policy",
        Layer::Trust => "the role trust policy",
        Layer::Boundary => "a permissions boundary",
        Layer::Session => "a session policy",
        Layer::ServiceControl => "a service control policy",
        Layer::ResourceControl => "a resource control policy",
        Layer::Endpoint => "a VPC endpoint policy",
    }
}
