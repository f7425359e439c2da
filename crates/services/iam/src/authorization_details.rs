//! `GetAccountAuthorizationDetails`: every user, group, role and policy of an account with all that
//! says what it may.

use crate::attachments::attached;
use crate::aws_managed;
use crate::documents::encoded;
use crate::entity::Entity;
use crate::names::folded;
use crate::records::{Group, Permissions, Policy, Role, User};
use crate::state::Account;
use crate::{Iam, boundaries, instance_profiles, managed_policies, roles, tags};
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, EntityType};
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

/// One entry of the answer.
enum Detail {
    User(types::UserDetail),
    Group(types::GroupDetail),
    Role(types::RoleDetail),
    Policy(types::ManagedPolicyDetail),
}

/// One thing of which there may be an entry.
enum Subject<'a> {
    User(&'a User),
    Group(&'a Group),
    Role(&'a Role),
    Policy(&'a Policy),
    Aws(&'static aws_managed::AwsPolicy),
}

pub(crate) async fn get_account_authorization_details(
    iam: &Iam,
    call: Call<ops::GetAccountAuthorizationDetails>,
) -> Result<Answer<types::GetAccountAuthorizationDetailsResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    let filter = input.filter.as_deref().unwrap_or_default();
    let wanted = |kind: EntityType| filter.is_empty() || filter.contains(&kind);
    let narrowed: Vec<&str> = filter.iter().map(EntityType::as_str).collect();
    let pager = iam.pager(&call, &narrowed, input.marker.as_deref(), input.max_items)?;
    let account = ledger.view(&permit);
    // One list after the other, their places told by a digit.
    let users = account.users.iter().map(|(key, user)| (format!("1/{key}"), Subject::User(user)));
    let groups =
        account.groups.iter().map(|(key, group)| (format!("2/{key}"), Subject::Group(group)));
    let roles = account.roles.iter().map(|(key, role)| (format!("3/{key}"), Subject::Role(role)));
    let policies =
        account.policies.iter().map(|(key, one)| (format!("4/{key}"), Subject::Policy(one)));
    let aws = aws_managed::all()
        .filter(|(_, policy)| account.uses(policy.arn).is_some())
        .map(|(key, policy)| (format!("5/{key}"), Subject::Aws(policy)));
    let subjects = users.chain(groups).chain(roles).chain(policies).chain(aws);
    let page = pager.cut(subjects.filter(|(_, subject)| {
        wanted(match subject {
            Subject::User(_) => EntityType::User,
            Subject::Group(_) => EntityType::Group,
            Subject::Role(_) => EntityType::Role,
            Subject::Policy(_) => EntityType::LocalManagedPolicy,
            Subject::Aws(_) => EntityType::AWSManagedPolicy,
        })
    }))?;
    let page = page.map(|subject| detail(iam, &account, id, &subject));
    let mut answer = types::GetAccountAuthorizationDetailsResponse {
        is_truncated: page.truncated(),
        marker: page.marker,
        ..types::GetAccountAuthorizationDetailsResponse::default()
    };
    for entry in page.items {
        match entry {
            Detail::User(user) => answer.user_detail_list.get_or_insert_default().push(user),
            Detail::Group(group) => answer.group_detail_list.get_or_insert_default().push(group),
            Detail::Role(role) => answer.role_detail_list.get_or_insert_default().push(role),
            Detail::Policy(policy) => answer.policies.get_or_insert_default().push(policy),
        }
    }
    // Lists are there also when they are empty.
    answer.user_detail_list.get_or_insert_default();
    answer.group_detail_list.get_or_insert_default();
    answer.role_detail_list.get_or_insert_default();
    answer.policies.get_or_insert_default();
    Ok(permit.answer(answer))
}

fn inline(permissions: &Permissions) -> Vec<types::PolicyDetail> {
    let detail = |one: &crate::records::Inline| types::PolicyDetail {
        policy_name: Some(one.name.to_string()),
        policy_document: Some(one.policy.encoded()),
    };
    permissions.inline.iter().map(detail).collect()
}

fn managed(permissions: &Permissions) -> Vec<types::AttachedPolicy> {
    permissions.attached.iter().map(|arn: &Arc<str>| attached(arn)).collect()
}

fn detail(iam: &Iam, account: &Account, id: AccountId, subject: &Subject<'_>) -> Detail {
    match subject {
        Subject::User(user) => Detail::User(types::UserDetail {
            path: Some(user.path.to_string()),
            user_name: Some(user.name.to_string()),
            user_id: Some(user.id.to_string()),
            arn: Some(user.arn(id)),
            create_date: Some(Timestamp::from_seconds(user.created)),
            user_policy_list: Some(inline(&user.permissions)),
            group_list: Some(
                user.groups
                    .iter()
                    .filter_map(|group| Some(account.group(group)?.name.to_string()))
                    .collect(),
            ),
            attached_managed_policies: Some(managed(&user.permissions)),
            permissions_boundary: user.permissions.boundary.as_deref().map(boundaries::shown),
            tags: Some(tags::listed(&user.tags)),
        }),
        Subject::Group(group) => Detail::Group(types::GroupDetail {
            path: Some(group.path.to_string()),
            group_name: Some(group.name.to_string()),
            group_id: Some(group.id.to_string()),
            arn: Some(group.arn(id)),
            create_date: Some(Timestamp::from_seconds(group.created)),
            group_policy_list: Some(inline(&group.permissions)),
            attached_managed_policies: Some(managed(&group.permissions)),
        }),
        Subject::Role(role) => Detail::Role(types::RoleDetail {
            path: Some(role.path.to_string()),
            role_name: Some(role.name.to_string()),
            role_id: Some(role.id.to_string()),
            arn: Some(role.arn(id)),
            create_date: Some(Timestamp::from_seconds(role.created)),
            assume_role_policy_document: Some(encoded(&role.trust.text(iam))),
            instance_profile_list: Some(
                account
                    .profiles_of(&folded(&role.name))
                    .into_iter()
                    .flatten()
                    .filter_map(|name| account.profiles.get(name))
                    .map(|profile| instance_profiles::summary(iam, account, profile, id))
                    .collect(),
            ),
            role_policy_list: Some(inline(&role.permissions)),
            attached_managed_policies: Some(managed(&role.permissions)),
            permissions_boundary: role.permissions.boundary.as_deref().map(boundaries::shown),
            tags: Some(tags::listed(&role.tags)),
            role_last_used: Some(roles::last_used(iam, account, role)),
        }),
        Subject::Policy(policy) => {
            let description = policy.description.as_deref().map(str::to_owned);
            let versions = managed_policies::versions(policy);
            let summary = managed_policies::summary(account, policy, id);
            Detail::Policy(policy_detail(summary, description, versions))
        }
        Subject::Aws(policy) => {
            let versions = managed_policies::aws_versions(policy);
            let summary = managed_policies::aws_summary(account, policy);
            Detail::Policy(policy_detail(summary, None, versions))
        }
    }
}

fn policy_detail(
    policy: types::Policy,
    description: Option<String>,
    versions: Vec<managed_policies::Version<'_>>,
) -> types::ManagedPolicyDetail {
    types::ManagedPolicyDetail {
        policy_name: policy.policy_name,
        policy_id: policy.policy_id,
        arn: policy.arn,
        path: policy.path,
        default_version_id: policy.default_version_id,
        attachment_count: policy.attachment_count,
        permissions_boundary_usage_count: policy.permissions_boundary_usage_count,
        is_attachable: policy.is_attachable,
        description,
        create_date: policy.create_date,
        update_date: policy.update_date,
        policy_version_list: Some(versions.iter().map(|version| version.shown(true)).collect()),
    }
}
