//! Statements that let roles be passed to services, or service-linked roles be made, more widely than
//! they may mean to.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>

use super::Class::{SecurityWarning, Warning};
use super::PolicyKind::Identity;
use super::pattern::{overlap, tokens};
use super::tree::Place;
use super::view::{Policy, Statement, Text, split_arn};
use super::{Check, PolicyKind, Sink};
use crate::glob;
use crate::glob::{Token, template};
use crate::reference;

const KINDS: &[PolicyKind] = &[Identity];

pub(super) const CHECKS: &[Check] = &[
    Check::new(
        SecurityWarning,
        "PASS_ROLE_WITH_STAR_IN_RESOURCE",
        KINDS,
        "iam:PassRole is allowed on a pattern of roles, with no condition on iam:PassedToService.",
        pass_role_with_star_in_resource,
    ),
    Check::new(
        SecurityWarning,
        "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE",
        KINDS,
        "A pattern of actions allows iam:PassRole on a pattern of roles, with no condition on iam:PassedToService.",
        pass_role_with_star_in_action_and_resource,
    ),
    Check::new(
        SecurityWarning,
        "PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION",
        KINDS,
        "NotAction allows iam:PassRole on a pattern of roles, with no condition on iam:PassedToService.",
        pass_role_with_star_in_resource_and_not_action,
    ),
    Check::new(
        SecurityWarning,
        "PASS_ROLE_WITH_NOT_RESOURCE",
        KINDS,
        "iam:PassRole is allowed on all but some resources.",
        pass_role_with_not_resource,
    ),
    Check::new(
        SecurityWarning,
        "PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE",
        KINDS,
        "A pattern of actions allows iam:PassRole on all but some resources.",
        pass_role_with_star_in_action_and_not_resource,
    ),
    Check::new(
        SecurityWarning,
        "PASS_ROLE_WITH_NOT_ACTION_AND_NOT_RESOURCE",
        KINDS,
        "NotAction allows iam:PassRole on all but some resources.",
        pass_role_with_not_action_and_not_resource,
    ),
    Check::new(
        Warning,
        "CREATE_SLR_WITH_STAR_IN_RESOURCE",
        KINDS,
        "iam:CreateServiceLinkedRole is allowed on a pattern of more than one service's roles, with no condition on iam:AWSServiceName.",
        create_slr_with_star_in_resource,
    ),
    Check::new(
        Warning,
        "CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE",
        KINDS,
        "A pattern of actions allows iam:CreateServiceLinkedRole on a pattern of more than one service's roles, with no condition on iam:AWSServiceName.",
        create_slr_with_star_in_action_and_resource,
    ),
    Check::new(
        Warning,
        "CREATE_SLR_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION",
        KINDS,
        "NotAction allows iam:CreateServiceLinkedRole on a pattern of more than one service's roles, with no condition on iam:AWSServiceName.",
        create_slr_with_star_in_resource_and_not_action,
    ),
    Check::new(
        Warning,
        "CREATE_SLR_WITH_NOT_RESOURCE",
        KINDS,
        "iam:CreateServiceLinkedRole is allowed on all but some resources.",
        create_slr_with_not_resource,
    ),
    Check::new(
        Warning,
        "CREATE_SLR_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE",
        KINDS,
        "A pattern of actions allows iam:CreateServiceLinkedRole on all but some resources.",
        create_slr_with_star_in_action_and_not_resource,
    ),
    Check::new(
        Warning,
        "CREATE_SLR_WITH_NOT_ACTION_AND_NOT_RESOURCE",
        KINDS,
        "NotAction allows iam:CreateServiceLinkedRole on all but some resources.",
        create_slr_with_not_action_and_not_resource,
    ),
];

/// How a statement comes to allow an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Name,
    Pattern,
    NotAction,
}

/// On what a statement allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Pattern,
    NotResource,
}

/// An action on roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    PassRole,
    CreateServiceLinkedRole,
}

impl Deed {
    const fn action(self) -> &'static str {
        match self {
            Self::PassRole => "iam:PassRole",
            Self::CreateServiceLinkedRole => "iam:CreateServiceLinkedRole",
        }
    }

    /// The condition key that says for which service.
    const fn key(self) -> &'static str {
        match self {
            Self::PassRole => "iam:PassedToService",
            Self::CreateServiceLinkedRole => "iam:AWSServiceName",
        }
    }
}

/// Where a statement allows an action in a way.
fn by<'a>(statement: &'a Statement<'a>, by: By, action: &str) -> Option<Place<'a>> {
    let element = statement.action.as_ref()?;
    let covers = |text: &&Text<'_>| glob::action(text.text, action);
    if element.negated {
        let covered = element.texts.iter().any(|text| covers(&text));
        return (by == By::NotAction && !covered).then_some(Place::Key(element.entry));
    }
    let mut covering = element.texts.iter().filter(covers);
    let named = element.texts.iter().find(|text| text.text.eq_ignore_ascii_case(action));
    match by {
        By::Name => named.map(|text| Place::Node(text.node)),
        By::Pattern if named.is_none() => covering.next().map(|text| Place::Node(text.node)),
        By::Pattern | By::NotAction => None,
    }
}

/// Where a statement's resources are a pattern of roles, or all but some.
fn on<'a>(statement: &'a Statement<'a>, on: On, deed: Deed) -> Option<Place<'a>> {
    let element = statement.resource.as_ref()?;
    if element.negated {
        return (on == On::NotResource).then_some(Place::Key(element.entry));
    }
    if on == On::NotResource {
        return None;
    }
    let mut texts = element.texts.iter();
    texts.find(|text| is_wide(text.text, deed)).map(|text| Place::Node(text.node))
}

/// Whether a resource stands for more roles than one service's.
fn is_wide(resource: &str, deed: Deed) -> bool {
    if resource == "*" {
        return true;
    }
    let parts = split_arn(resource);
    let [_, _, service, _, _, role] = parts.as_slice() else { return false };
    // The formats are short, and each resource is looked at once for each check.
    let meets = |format: &[Token], text: &str| overlap(format, &tokens(text), false, |_| true);
    let iam = meets(&tokens("iam"), service);
    let is_role = meets(&template("role/${Name}"), role);
    let Some(at) = role.find(['*', '?']) else { return false };
    let fixed = &role[..at];
    let of_service = match deed {
        // Roles named after a service are for it to be passed to.
        Deed::PassRole => {
            let name = fixed.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
            let name = name.strip_prefix("aws").or(name.strip_prefix("amazon")).unwrap_or(&name);
            reference::services().any(|service| name.starts_with(service.prefix))
        }
        Deed::CreateServiceLinkedRole => {
            let path = fixed.strip_prefix("role/aws-service-role/");
            path.is_some_and(|path| path.contains('/'))
        }
    };
    iam && is_role && !of_service
}

fn report(policy: &Policy<'_>, sink: &mut Sink<'_>, how: (By, On), deed: Deed, message: &str) {
    for statement in policy.statements.iter().filter(|s| s.allows()) {
        let Some(action) = by(statement, how.0, deed.action()) else { continue };
        let excused = how.1 == On::Pattern && statement.has_key(&[deed.key()]);
        if !excused && let Some(resource) = on(statement, how.1, deed) {
            sink.add_all([action, resource], message);
        }
    }
}

fn pass_role_with_star_in_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::Name, On::Pattern),
        Deed::PassRole,
        "Using the iam:PassRole action with wildcards (*) in the resource can be overly permissive \
         because it allows iam:PassRole permissions on multiple resources. We recommend that you \
         specify resource ARNs or add the iam:PassedToService condition key to your statement.",
    );
}

fn pass_role_with_star_in_action_and_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::Pattern, On::Pattern),
        Deed::PassRole,
        "Using wildcards (*) in the action and the resource can be overly permissive because it \
         allows iam:PassRole permissions on all resources. We recommend that you specify resource \
         ARNs or add the iam:PassedToService condition key to your statement.",
    );
}

fn pass_role_with_star_in_resource_and_not_action(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::NotAction, On::Pattern),
        Deed::PassRole,
        "Using a resource with wildcards (*) and NotAction can be overly permissive because it \
         allows iam:PassRole permissions on all resources. We recommend that you specify resource \
         ARNs or add the iam:PassedToService condition key to your statement.",
    );
}

fn pass_role_with_not_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::Name, On::NotResource),
        Deed::PassRole,
        "Using the iam:PassRole action with NotResource can be overly permissive because it can \
         allow iam:PassRole permissions on multiple resources. We recommend that you specify \
         resource ARNs instead.",
    );
}

fn pass_role_with_star_in_action_and_not_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::Pattern, On::NotResource),
        Deed::PassRole,
        "Using an action with a wildcard (*) and NotResource can be overly permissive because it \
         can allow iam:PassRole permissions on multiple resources. We recommend that you specify \
         resource ARNs instead.",
    );
}

fn pass_role_with_not_action_and_not_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::NotAction, On::NotResource),
        Deed::PassRole,
        // The two full stops are AWS's.
        "Using NotAction with NotResource can be overly permissive because it can allow \
         iam:PassRole permissions on multiple resources.. We recommend that you specify resource \
         ARNs instead.",
    );
}

fn create_slr_with_star_in_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::Name, On::Pattern),
        Deed::CreateServiceLinkedRole,
        "Using the iam:CreateServiceLinkedRole action with wildcards (*) in the resource can allow \
         creation of unintended service-linked roles. We recommend that you specify resource ARNs \
         instead.",
    );
}

fn create_slr_with_star_in_action_and_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::Pattern, On::Pattern),
        Deed::CreateServiceLinkedRole,
        "Using wildcards (*) in the action and the resource can allow creation of unintended \
         service-linked roles because it allows iam:CreateServiceLinkedRole permissions on all \
         resources. We recommend that you specify resource ARNs instead.",
    );
}

fn create_slr_with_star_in_resource_and_not_action(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::NotAction, On::Pattern),
        Deed::CreateServiceLinkedRole,
        "Using a resource with wildcards (*) and NotAction can allow creation of unintended \
         service-linked roles because it allows iam:CreateServiceLinkedRole permissions on all \
         resources. We recommend that you specify resource ARNs instead.",
    );
}

fn create_slr_with_not_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::Name, On::NotResource),
        Deed::CreateServiceLinkedRole,
        "Using the iam:CreateServiceLinkedRole action with NotResource can allow creation of \
         unintended service-linked roles for multiple resources. We recommend that you specify \
         resource ARNs instead.",
    );
}

fn create_slr_with_star_in_action_and_not_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::Pattern, On::NotResource),
        Deed::CreateServiceLinkedRole,
        "Using an action with a wildcard(*) and NotResource can allow creation of unintended \
         service-linked roles because it can allow iam:CreateServiceLinkedRole permissions on \
         multiple resources. We recommend that you specify resource ARNs instead.",
    );
}

fn create_slr_with_not_action_and_not_resource(policy: &Policy<'_>, sink: &mut Sink<'_>) {
    report(
        policy,
        sink,
        (By::NotAction, On::NotResource),
        Deed::CreateServiceLinkedRole,
        "Using NotAction with NotResource can allow creation of unintended service-linked roles \
         because it allows iam:CreateServiceLinkedRole permissions on multiple resources. We \
         recommend that you specify resource ARNs instead.",
    );
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::{Case, case};

    pub const CASES: &[Case] = &[
        case(
            "PASS_ROLE_WITH_STAR_IN_RESOURCE",
            "identity",
            r#""Action": ["iam:GetRole", "iam:passrole"], "Resource": "*""#,
            r#""iam:passrole""#,
        )
        .but(
            r#""Action": ["iam:GetRole", "iam:PassRole"], "Resource": "*",
               "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}"#,
        ),
        case(
            "PASS_ROLE_WITH_STAR_IN_RESOURCE",
            "identity",
            r#""Action": "iam:PassRole", "Resource": "arn:aws:iam::*:role/*""#,
            r#""iam:PassRole""#,
        )
        .but(
            r#""Action": "iam:PassRole", "Resource":
               ["arn:aws:iam::*:role/app", "arn:aws:iam::*:role/Ec2*", "arn:aws:s3:::b/*"]"#,
        ),
        case(
            "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE",
            "identity",
            r#""Action": "*", "Resource": "*""#,
            r#""*""#,
        )
        .but(r#""Effect": "Deny", "Action": "*", "Resource": "*""#),
        case(
            "PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION",
            "identity",
            r#""NotAction": "s3:*", "Resource": "*""#,
            r#""NotAction""#,
        )
        .but(r#""NotAction": "iam:*", "Resource": "*""#),
        case(
            "PASS_ROLE_WITH_NOT_RESOURCE",
            "identity",
            r#""Action": "iam:PassRole", "NotResource": "arn:aws:iam::*:role/a""#,
            r#""iam:PassRole""#,
        )
        .but(r#""Action": "iam:PassRole", "Resource": "arn:aws:iam::*:role/a""#),
        case(
            "PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE",
            "identity",
            r#""Action": "iam:Pass*", "NotResource": "arn:aws:iam::*:role/a""#,
            r#""iam:Pass*""#,
        )
        .but(r#""Action": "iam:Get*", "NotResource": "arn:aws:iam::*:role/a""#),
        case(
            "PASS_ROLE_WITH_NOT_ACTION_AND_NOT_RESOURCE",
            "identity",
            r#""NotAction": "s3:*", "NotResource": "arn:aws:iam::*:role/a""#,
            r#""NotAction""#,
        )
        .but(r#""NotAction": "iam:Pass*", "NotResource": "arn:aws:iam::*:role/a""#),
        case(
            "CREATE_SLR_WITH_STAR_IN_RESOURCE",
            "identity",
            r#""Action": "iam:CreateServiceLinkedRole",
               "Resource": "arn:aws:iam::*:role/aws-service-role/*""#,
            r#""iam:CreateServiceLinkedRole""#,
        )
        .but(
            r#""Action": "iam:CreateServiceLinkedRole",
               "Resource": "arn:aws:iam::*:role/aws-service-role/ecs.amazonaws.com/AWSService*""#,
        ),
        case(
            "CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE",
            "identity",
            r#""Action": ["s3:*", "iam:Create*"], "Resource": "*""#,
            r#""iam:Create*""#,
        )
        .but(r#""Action": ["s3:*", "iam:Get*"], "Resource": "*""#),
        case(
            "CREATE_SLR_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION",
            "identity",
            r#""NotAction": "s3:*", "Resource": "*""#,
            r#""NotAction""#,
        )
        .but(r#""NotAction": "s3:*", "Resource": "arn:aws:s3:::*""#),
        case(
            "CREATE_SLR_WITH_NOT_RESOURCE",
            "identity",
            r#""Action": "iam:CreateServiceLinkedRole", "NotResource": "arn:aws:s3:::b""#,
            r#""iam:CreateServiceLinkedRole""#,
        )
        .but(r#""Action": "iam:Create*", "NotResource": "arn:aws:s3:::b""#),
        case(
            "CREATE_SLR_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE",
            "identity",
            r#""Action": "iam:Create*", "NotResource": "arn:aws:s3:::b""#,
            r#""iam:Create*""#,
        )
        .but(r#""Action": "iam:CreateServiceLinkedRole", "NotResource": "arn:aws:s3:::b""#),
        case(
            "CREATE_SLR_WITH_NOT_ACTION_AND_NOT_RESOURCE",
            "identity",
            r#""NotAction": "s3:*", "NotResource": "arn:aws:s3:::b""#,
            r#""NotAction""#,
        )
        .but(r#""NotAction": "s3:*", "Resource": "*""#),
    ];
}
