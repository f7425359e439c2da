//! Managed policies attached to users, groups and roles, and who uses a policy.

use crate::Iam;
use crate::arn::PolicyArn;
use crate::entity::{Allowed, Entity, Holder};
use crate::errors;
use crate::managed_policies;
use crate::pages::Page;
use crate::records::{Group, Role, User};
use ringfence_gateway::{Answer, Call};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, AttachedPolicy, EntityType, PolicyUsageType};
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, TypedOperation};
use std::sync::Arc;

fn allow<H: Holder, O: TypedOperation>(
    iam: &Iam,
    call: &Call<O>,
    name: &str,
    arn: &str,
) -> Result<Allowed<H>, ServiceError> {
    iam.allow_with(call, name, |resolved| resolved.key("iam:PolicyARN", arn))
}

async fn attach<H: Holder>(
    iam: &Iam,
    allowed: &Allowed<H>,
    arn: &str,
) -> Result<Answer<Empty>, ServiceError> {
    allowed.found()?.modifiable()?;
    let cut = PolicyArn::parse(arn)?;
    let limit = iam.quotas.attached_policies;
    let arn: Arc<str> = arn.into();
    allowed
        .change(|account, holder| {
            if !managed_policies::exists(account, allowed.id, &arn, &cut) {
                return Err(errors::not_attachable(&arn));
            }
            managed_policies::not_of_a_service(H::KIND, &cut)?;
            let attached = &mut holder.permissions_mut().attached;
            if attached.contains(&arn) {
                return Ok(false);
            }
            if attached.len() >= limit {
                return Err(errors::over_quota(H::ATTACHED_QUOTA, limit));
            }
            *attached = attached.iter().cloned().chain([arn.clone()]).collect();
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

async fn detach<H: Holder>(allowed: &Allowed<H>, arn: &str) -> Result<Answer<Empty>, ServiceError> {
    allowed.found()?.modifiable()?;
    PolicyArn::parse(arn)?;
    allowed
        .change(|_, holder| {
            let attached = &mut holder.permissions_mut().attached;
            if !attached.iter().any(|one| **one == *arn) {
                return Err(errors::no_such_policy(arn));
            }
            *attached = attached.iter().filter(|one| ***one != *arn).cloned().collect();
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

/// The name at the end of a policy's ARN.
fn name_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// A policy as lists of attachments show it.
pub(crate) fn attached(arn: &str) -> AttachedPolicy {
    AttachedPolicy { policy_name: Some(name_of(arn).to_owned()), policy_arn: Some(arn.to_owned()) }
}

fn list<H: Holder, O: TypedOperation>(
    iam: &Iam,
    call: &Call<O>,
    allowed: &Allowed<H>,
    prefix: Option<&str>,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<AttachedPolicy>, ServiceError> {
    let holder = allowed.found()?;
    let prefix = prefix.unwrap_or("/");
    let pager = iam.pager(call, &[holder.id(), prefix], marker, max_items)?;
    // The key is name first: a policy's ARN can be longer than a marker may be.
    let mut arns: Vec<(String, &Arc<str>)> = holder
        .permissions()
        .attached
        .iter()
        .filter(|arn| PolicyArn::parse(arn).is_ok_and(|arn| arn.path.starts_with(prefix)))
        .map(|arn| (format!("{}:{}", name_of(arn), arn.contains("::aws:")), arn))
        .collect();
    arns.sort();
    Ok(pager.cut(arns.into_iter())?.map(|arn| attached(arn)))
}

macro_rules! attachments {
    ($Holder:ident, $name:ident, $attach:ident, $detach:ident, $list:ident, $Attach:ident,
     $Detach:ident, $List:ident, $Response:ident) => {
        pub(crate) async fn $attach(
            iam: &Iam,
            call: Call<ops::$Attach>,
        ) -> Result<Answer<Empty>, ServiceError> {
            let input = &call.input;
            let allowed = allow::<$Holder, _>(iam, &call, &input.$name, &input.policy_arn)?;
            attach(iam, &allowed, &input.policy_arn).await
        }

        pub(crate) async fn $detach(
            iam: &Iam,
            call: Call<ops::$Detach>,
        ) -> Result<Answer<Empty>, ServiceError> {
            let input = &call.input;
            let allowed = allow::<$Holder, _>(iam, &call, &input.$name, &input.policy_arn)?;
            detach(&allowed, &input.policy_arn).await
        }

        pub(crate) async fn $list(
            iam: &Iam,
            call: Call<ops::$List>,
        ) -> Result<Answer<types::$Response>, ServiceError> {
            let input = &call.input;
            let allowed = iam.allow::<$Holder, _>(&call, &input.$name)?;
            let (prefix, marker) = (input.path_prefix.as_deref(), input.marker.as_deref());
            let page = list(iam, &call, &allowed, prefix, marker, input.max_items)?;
            Ok(allowed.permit.answer(types::$Response {
                is_truncated: page.truncated(),
                attached_policies: Some(page.items),
                marker: page.marker,
            }))
        }
    };
}

attachments!(
    User,
    user_name,
    attach_user_policy,
    detach_user_policy,
    list_attached_user_policies,
    AttachUserPolicy,
    DetachUserPolicy,
    ListAttachedUserPolicies,
    ListAttachedUserPoliciesResponse
);
attachments!(
    Group,
    group_name,
    attach_group_policy,
    detach_group_policy,
    list_attached_group_policies,
    AttachGroupPolicy,
    DetachGroupPolicy,
    ListAttachedGroupPolicies,
    ListAttachedGroupPoliciesResponse
);
attachments!(
    Role,
    role_name,
    attach_role_policy,
    detach_role_policy,
    list_attached_role_policies,
    AttachRolePolicy,
    DetachRolePolicy,
    ListAttachedRolePolicies,
    ListAttachedRolePoliciesResponse
);

/// One that uses a policy.
enum Entry {
    Group(types::PolicyGroup),
    Role(types::PolicyRole),
    User(types::PolicyUser),
}

pub(crate) async fn list_entities_for_policy(
    iam: &Iam,
    call: Call<ops::ListEntitiesForPolicy>,
) -> Result<Answer<types::ListEntitiesForPolicyResponse>, ServiceError> {
    let input = &call.input;
    let policy = managed_policies::allow_any(iam, &call, &input.policy_arn)?;
    policy.found()?;
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let wanted = |kind: EntityType| input.entity_filter.as_ref().is_none_or(|only| *only == kind);
    let usage = input.policy_usage_filter.as_ref();
    let attached = usage != Some(&PolicyUsageType::PermissionsBoundary);
    let bounded = usage != Some(&PolicyUsageType::PermissionsPolicy);
    let narrowed = [
        input.policy_arn.as_str(),
        prefix,
        input.entity_filter.as_ref().map_or("", |only| only.as_str()),
        usage.map_or("", |usage| usage.as_str()),
    ];
    let pager = iam.pager(&call, &narrowed, input.marker.as_deref(), input.max_items)?;
    let account = policy.view();
    let mut entries: Vec<(String, Entry)> = Vec::new();
    if let Some(uses) = account.uses(&input.policy_arn) {
        let names = |sets: [(&imbl::OrdSet<Arc<str>>, bool); 2]| {
            let mut names: Vec<Arc<str>> = Vec::new();
            for (set, counts) in sets {
                if counts {
                    names.extend(set.iter().cloned());
                }
            }
            names.sort();
            names.dedup();
            names
        };
        if wanted(EntityType::Group) {
            for name in names([(&uses.groups, attached), (&uses.groups, false)]) {
                if let Some(group) =
                    Group::find(&account, &name).filter(|g| g.path.starts_with(prefix))
                {
                    let shown = types::PolicyGroup {
                        group_name: Some(group.name.to_string()),
                        group_id: Some(group.id.to_string()),
                    };
                    entries.push((format!("group/{name}"), Entry::Group(shown)));
                }
            }
        }
        if wanted(EntityType::Role) {
            for name in names([(&uses.roles, attached), (&uses.bounded_roles, bounded)]) {
                if let Some(role) =
                    Role::find(&account, &name).filter(|r| r.path.starts_with(prefix))
                {
                    let shown = types::PolicyRole {
                        role_name: Some(role.name.to_string()),
                        role_id: Some(role.id.to_string()),
                    };
                    entries.push((format!("role/{name}"), Entry::Role(shown)));
                }
            }
        }
        if wanted(EntityType::User) {
            for name in names([(&uses.users, attached), (&uses.bounded_users, bounded)]) {
                if let Some(user) =
                    User::find(&account, &name).filter(|u| u.path.starts_with(prefix))
                {
                    let shown = types::PolicyUser {
                        user_name: Some(user.name.to_string()),
                        user_id: Some(user.id.to_string()),
                    };
                    entries.push((format!("user/{name}"), Entry::User(shown)));
                }
            }
        }
    }
    let page = pager.cut(entries.into_iter())?;
    let mut answer = types::ListEntitiesForPolicyResponse {
        is_truncated: page.truncated(),
        marker: page.marker,
        ..types::ListEntitiesForPolicyResponse::default()
    };
    let (mut groups, mut roles, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for entry in page.items {
        match entry {
            Entry::Group(group) => groups.push(group),
            Entry::Role(role) => roles.push(role),
            Entry::User(user) => users.push(user),
        }
    }
    answer.policy_groups = Some(groups);
    answer.policy_roles = Some(roles);
    answer.policy_users = Some(users);
    Ok(policy.answer(answer))
}
