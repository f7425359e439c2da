//! The ARN formats of the reference, by the service that an ARN names.

use super::pattern::{overlap, tokens};
use super::view::{Policy, split_arn};
use crate::glob::{Token, template};
use crate::reference;
use std::collections::HashMap;
use std::sync::LazyLock;

/// One format of a resource type's ARNs.
pub(super) struct Format {
    /// The resource type.
    pub name: &'static str,
    pub region: &'static str,
    pub account: &'static str,
    resource: Vec<Token>,
}

/// ARNs that policies need, and AWS's pages show, but the reference lacks: by the page of each.
const UNLISTED: &[(&str, &str)] = &[
    // https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html
    ("path", "arn:${Partition}:apigateway:${Region}::/${Path}"),
    // https://docs.aws.amazon.com/autoscaling/application/APIReference/API_ScalingPolicy.html
    (
        "scalingPolicy",
        "arn:${Partition}:autoscaling:${Region}:${Account}:scalingPolicy:${Id}:resource/${Resource}",
    ),
    // https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/control-access-with-iam.html
    ("transform", "arn:${Partition}:cloudformation:${Region}:${Account}:transform/${Name}"),
    ("transform", "arn:${Partition}:cloudformation:${Region}:aws:transform/${Name}"),
    // https://docs.aws.amazon.com/waf/latest/developerguide/classic-waf-auth-and-access-control.html
    ("changetoken", "arn:${Partition}:waf::${Account}:changetoken/${Token}"),
    ("changetoken", "arn:${Partition}:waf-regional:${Region}:${Account}:changetoken/${Token}"),
];

/// By what stands where ARNs have their service. One service may list ARNs of another: `sts` has
/// accounts' roots, which are `iam`'s. A format whose service is a placeholder stands under the service
/// that lists it: AWS Backup's recovery points are of any service.
static FORMATS: LazyLock<HashMap<&str, Vec<Format>>> = LazyLock::new(|| {
    let mut out: HashMap<&str, Vec<Format>> = HashMap::new();
    let mut add = |prefix: &'static str, name: &'static str, format: &'static str| {
        let [_, _, own, region, account, rest] = *split_arn(format) else { return };
        let own = if own.contains("${") { prefix } else { own };
        let format = Format { name, region, account, resource: template(rest) };
        out.entry(own).or_default().push(format);
    };
    for service in reference::services() {
        for kind in service.resource_types() {
            kind.arn_formats().for_each(|format| add(service.prefix, kind.name, format));
        }
    }
    UNLISTED.iter().for_each(|(name, format)| add("", name, format));
    out
});

/// The formats of a service's ARNs.
pub(super) fn of(service: &str) -> &'static [Format] {
    FORMATS.get(service).map_or(&[], Vec::as_slice)
}

/// The formats that an ARN of six parts may be of, by its service and its resource; `None` where none is
/// known of its service, or the lint's effort is spent.
pub(super) fn fitting(policy: &Policy<'_>, parts: &[&str]) -> Option<Vec<&'static Format>> {
    let [_, _, service, _, _, resource] = *parts else { return None };
    let known = of(service);
    let resource = tokens(resource);
    if known.is_empty() {
        return None;
    }
    let fits = |format: &&Format| {
        policy.spend(1) && overlap(&format.resource, &resource, false, |steps| policy.spend(steps))
    };
    let found = known.iter().filter(fits).collect();
    policy.spend(1).then_some(found)
}
