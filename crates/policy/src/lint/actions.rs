//! Actions: whether they are, whether the policy's resource has them, whether its conditions do.

use super::Class::Error;
use super::PolicyKind::{Identity, Resource, Trust};
use super::facts::any_of;
use super::keys::has_key;
use super::tree::Place;
use super::view::{Policy, ResourceKind};
use super::{ALL, Check, NAMING_PRINCIPALS, Sink, count, nearest};
use crate::glob;
use crate::reference;

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        Error,
        "INVALID_ACTION",
        ALL,
        "An action, or a pattern of actions, matches none of its service's, or names no service.",
        invalid_action,
    ),
    Check::new(
        Error,
        "INVALID_SERVICE_IN_ACTION",
        ALL,
        "No service has the prefix of an action.",
        invalid_service_in_action,
    ),
    Check::new(
        Error,
        "UNSUPPORTED_ACTION_IN_POLICY",
        NAMING_PRINCIPALS,
        "An action is not one of the resource that the policy is of: by its service, by the resources it acts on, or for a role, because it does not assume it.",
        unsupported_action_in_policy,
    ),
    Check::new(
        Error,
        "UNSUPPORTED_ACTION_FOR_CONDITION_KEY",
        ALL,
        "An action without wildcards never has the service's condition key that its statement asks for.",
        unsupported_action_for_condition_key,
    ),
    Check::new(
        Error,
        "MISSING_ACTION_FOR_CONDITION_KEY",
        &[Identity, Resource, Trust],
        "A statement allows by a key of the session, without the action that sets it: sts:SourceIdentity, sts:TransitiveTagKeys.",
        missing_action_for_condition_key,
    ),
];

/// Names of the API whose action is called otherwise.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>
const API_NAMES: &[(&str, &str)] = &[
    ("s3:ListBuckets", "s3:ListAllMyBuckets"),
    ("s3:ListObjects", "s3:ListBucket"),
    ("s3:ListObjectsV2", "s3:ListBucket"),
    ("s3:ListObjectVersions", "s3:ListBucketVersions"),
    ("s3:ListMultipartUploads", "s3:ListBucketMultipartUploads"),
    ("s3:HeadBucket", "s3:ListBucket"),
    ("s3:HeadObject", "s3:GetObject"),
    ("s3:CopyObject", "s3:PutObject"),
    ("s3:CreateMultipartUpload", "s3:PutObject"),
    ("s3:UploadPart", "s3:PutObject"),
    ("s3:DeleteObjects", "s3:DeleteObject"),
    ("lambda:Invoke", "lambda:InvokeFunction"),
];

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?']) || text.contains("${")
}

fn invalid_action(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for action in policy.actions() {
        let text = action.text;
        if text == "*" || text.contains("${") {
            continue;
        }
        let Some((prefix, name)) = text.split_once(':') else {
            sink.add(action.node, format_args!("The action {text} does not exist."));
            continue;
        };
        let Some(service) = reference::service(prefix) else { continue };
        if service.action(name).is_some() {
            continue;
        }
        let steps = service.actions().count() * (4 + name.len());
        if !policy.spend(steps) || sink.is_full() {
            return;
        }
        count(steps);
        let mut names = service.actions().map(|action| action.name);
        if is_pattern(name) {
            let pattern = glob::wildcards(name);
            if !names.any(|known| glob::matches(&pattern, known, true)) {
                sink.add(action.node, format_args!("The action {text} does not exist."));
            }
            continue;
        }
        let api = API_NAMES.iter().find(|(api, _)| api.eq_ignore_ascii_case(text));
        let place = action.node;
        match api.filter(|(_, action)| reference::action(action).is_some()) {
            Some((api, meant)) => {
                let api = api.split_once(':').map_or(*api, |(_, name)| name);
                sink.add(
                    place,
                    format_args!(
                        "The action {text} does not exist. Did you mean {meant}? The API called \
                         {api} authorizes against the IAM action {meant}."
                    ),
                );
            }
            None => match nearest(name, names) {
                Some(meant) => sink.add(
                    place,
                    format_args!(
                        "The action {text} does not exist. Did you mean {}:{meant}?",
                        service.prefix
                    ),
                ),
                None => sink.add(place, format_args!("The action {text} does not exist.")),
            },
        }
    }
}

fn invalid_service_in_action(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let prefixes: Vec<&str> = reference::services().map(|service| service.prefix).collect();
    for action in policy.actions() {
        let Some((prefix, _)) = action.text.split_once(':') else { continue };
        if is_pattern(prefix) || reference::service(prefix).is_some() {
            continue;
        }
        if !policy.spend(prefixes.len() * (1 + prefix.len())) || sink.is_full() {
            return;
        }
        match nearest(prefix, prefixes.iter().copied()) {
            Some(meant) => sink.add(
                action.node,
                format_args!(
                    "The service {prefix} specified in the action does not exist. Did you mean \
                     {meant}?"
                ),
            ),
            None => sink.add(
                action.node,
                format_args!("The service {prefix} specified in the action does not exist."),
            ),
        }
    }
}

/// What a trust policy can speak of.
const TRUST_ACTIONS: &[&str] = &[
    "sts:AssumeRole",
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:SetContext",
    "sts:SetSourceIdentity",
    "sts:TagSession",
];

/// The prefix of a resource's actions, and the types that they act on where those decide.
const fn actions_of(resource: ResourceKind) -> (&'static str, &'static [&'static str]) {
    match resource {
        ResourceKind::Bucket => ("s3", &["bucket", "object"]),
        ResourceKind::AccessPoint | ResourceKind::MultiRegionAccessPoint => ("s3", &[]),
        ResourceKind::ObjectLambdaAccessPoint => ("s3-object-lambda", &[]),
        ResourceKind::Table => ("dynamodb", &["table", "index", "stream"]),
    }
}

fn unsupported_action_in_policy(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    let resource = match (policy.kind, policy.resource) {
        (Trust, _) => None,
        (_, Some(resource)) => Some(resource),
        _ => return,
    };
    let fits = |text: &str| match resource {
        None => TRUST_ACTIONS.iter().any(|action| glob::action(text, action)),
        Some(resource) => {
            let (own, types) = actions_of(resource);
            let Some((prefix, _)) = text.split_once(':') else { return true };
            let named = !types.is_empty() && !is_pattern(text);
            let action = named.then(|| reference::action(text)).flatten();
            let acts_on_it = action.is_none_or(|action| {
                action.resource_types().any(|on| types.contains(&on.resource_type.name))
            });
            is_pattern(prefix) || (prefix.eq_ignore_ascii_case(own) && acts_on_it)
        }
    };
    let name = resource.map_or("IAM Role Trust Policy", ResourceKind::name);
    for action in policy.actions().filter(|action| !action.text.contains("${")) {
        if !fits(action.text) {
            sink.add(
                action.node,
                format_args!(
                    "The action {} is not supported for the resource-based policy attached to the \
                     resource type {name}.",
                    action.text
                ),
            );
        }
    }
}

fn unsupported_action_for_condition_key(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in &policy.statements {
        let actions = statement.actions().iter().filter(|action| !is_pattern(action.text));
        let actions: Vec<_> =
            actions.filter_map(|text| Some((text, reference::action(text.text)?))).collect();
        for condition in &statement.conditions {
            let key = condition.key;
            let Some(known) = condition.known else { continue };
            if reference::global_condition_keys().any(|global| global == known) {
                continue;
            }
            if !policy.spend(actions.len() * 50) {
                return;
            }
            let without: Vec<_> =
                actions.iter().filter(|(_, action)| !has_key(action, key)).collect();
            if without.is_empty() {
                continue;
            }
            let names: Vec<&str> = without.iter().map(|(text, _)| text.text).collect();
            let places = without.iter().map(|(text, _)| Place::Node(text.node));
            sink.add_all(
                places.chain(std::iter::once(Place::Node(&condition.entry.node))),
                format_args!(
                    "The following actions: {} are not supported by the condition key {key}. The \
                     condition will not be evaluated for these actions. We recommend that you move \
                     these actions to a different statement without this condition key.",
                    names.join(", ")
                ),
            );
        }
    }
}

/// Keys of a session, each with the action that lets it be set. AWS's own list is not published.
const SETTING: &[(&str, &str)] =
    &[("sts:SourceIdentity", "sts:SetSourceIdentity"), ("sts:TransitiveTagKeys", "sts:TagSession")];

fn missing_action_for_condition_key(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    for statement in policy.statements.iter().filter(|s| s.allows()) {
        for (key, action) in SETTING {
            if statement.actions().is_empty() || statement.names_action(action) {
                continue;
            }
            for condition in statement.conditions.iter().filter(|c| any_of(&[key], c.key)) {
                sink.add(
                    &condition.entry.node,
                    format_args!(
                        "The {action} action must be in the action block to allow setting values for \
                         the condition key {}. Add {action} to the action block.",
                        condition.key
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case(
            "INVALID_ACTION",
            "identity",
            r#""Action": ["sqs:SendMessage", "SQS:Receive"]"#,
            r#""SQS:Receive""#,
        )
        .says("The action SQS:Receive does not exist.")
        .but(r#""Action": ["SQS:sendmessage", "sqs:Receive*", "*", "s*:Nothing"]"#),
        case("INVALID_ACTION", "identity", r#""Action": "s3:GetObjects""#, r#""s3:GetObjects""#)
            .says("The action s3:GetObjects does not exist. Did you mean s3:GetObject?")
            .but(r#""Action": "none:GetObject""#),
        case("INVALID_ACTION", "identity", r#""Action": "s3:ListBuckets""#, r#""s3:ListBuckets""#)
            .says(
                "The action s3:ListBuckets does not exist. Did you mean s3:ListAllMyBuckets? The API \
                 called ListBuckets authorizes against the IAM action s3:ListAllMyBuckets.",
            )
            .but(r#""Action": "s3:List?ucket""#),
        case("INVALID_ACTION", "identity", r#""NotAction": "s3:Foo*""#, r#""s3:Foo*""#)
            .but(r#""NotAction": "s3:*Foo:*", "Action": "s3:*""#),
        case(
            "INVALID_SERVICE_IN_ACTION",
            "identity",
            r#""Action": "dynamobd:GetItem""#,
            r#""dynamobd:GetItem""#,
        )
        .says(
            "The service dynamobd specified in the action does not exist. Did you mean dynamodb?",
        )
        .but(r#""Action": "dynamo*:GetItem""#),
        case("INVALID_SERVICE_IN_ACTION", "identity", r#""Action": "nothing:*""#, r#""nothing:*""#)
            .says("The service nothing specified in the action does not exist.")
            .but(r#""Action": "S3:*""#),
        case(
            "UNSUPPORTED_ACTION_IN_POLICY",
            "AWS::S3::Bucket",
            r#""Action": ["s3:GetObject", "kms:Decrypt"]"#,
            r#""kms:Decrypt""#,
        )
        .says(
            "The action kms:Decrypt is not supported for the resource-based policy attached to the \
             resource type S3 Bucket.",
        )
        .but(r#""Action": ["s3:GetObject", "s3:*", "*"]"#),
        case(
            "UNSUPPORTED_ACTION_IN_POLICY",
            "AWS::S3::Bucket",
            r#""Action": "s3:ListAllMyBuckets""#,
            r#""s3:ListAllMyBuckets""#,
        )
        .but(r#""Action": "s3:ListBucket""#),
        case("UNSUPPORTED_ACTION_IN_POLICY", "trust", r#""Action": "s3:*""#, r#""s3:*""#)
            .but(r#""Action": ["sts:*", "sts:TagSession"]"#),
        case(
            "UNSUPPORTED_ACTION_FOR_CONDITION_KEY",
            "trust",
            r#""Action": ["sts:AssumeRoleWithWebIdentity", "sts:TagSession"], "Condition":
               {"StringEquals": {"cognito-identity.amazonaws.com:aud": "us-east-1:a"}}"#,
            r#""sts:TagSession""#,
        )
        .says(
            "The following actions: sts:TagSession are not supported by the condition key \
             cognito-identity.amazonaws.com:aud. The condition will not be evaluated for these \
             actions. We recommend that you move these actions to a different statement without \
             this condition key.",
        )
        .but(
            r#""Action": ["sts:AssumeRoleWithWebIdentity", "sts:Tag*"], "Condition":
               {"StringEquals": {"cognito-identity.amazonaws.com:aud": "us-east-1:a"}}"#,
        ),
        case(
            "UNSUPPORTED_ACTION_FOR_CONDITION_KEY",
            "identity",
            r#""Action": ["aws-marketplace:Subscribe", "aws-marketplace:ViewSubscriptions"],
               "Condition": {"StringEquals": {"aws-marketplace:ProductId": "a"}}"#,
            r#""aws-marketplace:ViewSubscriptions""#,
        )
        .but(
            r#""Action": ["aws-marketplace:Subscribe"],
               "Condition": {"StringEquals": {"aws-marketplace:ProductId": "a"}}"#,
        ),
        case(
            "MISSING_ACTION_FOR_CONDITION_KEY",
            "trust",
            r#""Condition": {"StringLike": {"sts:SourceIdentity": "a"}}"#,
            r#""a""#,
        )
        .says(
            "The sts:SetSourceIdentity action must be in the action block to allow setting values \
             for the condition key sts:SourceIdentity. Add sts:SetSourceIdentity to the action \
             block.",
        )
        .but(
            r#""Action": ["sts:AssumeRole", "sts:Set*"],
               "Condition": {"StringLike": {"sts:SourceIdentity": "a"}}"#,
        ),
    ];
}
