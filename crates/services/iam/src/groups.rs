//! Groups and their members.

use crate::entity::{Entity, allow_list, resolve_at};
use crate::errors;
use crate::names::{self, folded};
use crate::records::{Group, Permissions, Record, User, shared_path};
use crate::state::Account;
use crate::{Iam, arn, users};
use ringfence_gateway::ids::IdKind;
use ringfence_gateway::{Answer, Call, Resolved, State};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

fn describe(group: &Group, id: AccountId) -> types::Group {
    types::Group {
        path: group.path.to_string(),
        group_name: group.name.to_string(),
        group_id: group.id.to_string(),
        arn: group.arn(id),
        create_date: Timestamp::from_seconds(group.created),
    }
}

pub(crate) async fn create_group(
    iam: &Iam,
    call: Call<ops::CreateGroup>,
) -> Result<Answer<types::CreateGroupResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let path = input.path.as_deref().unwrap_or("/");
    let arn = arn::of(Group::KIND, id, path, &input.group_name);
    let permit = call.allow(Resolved::new(arn, id, ()))?;
    let group = Arc::new(Group {
        name: input.group_name.as_str().into(),
        path: shared_path(names::path(input.path.as_deref())?),
        id: iam.unique_id(IdKind::Group)?,
        created: call.now().seconds,
        permissions: Permissions::default(),
    });
    ledger
        .write(&permit, |account, batch| {
            if Group::find(account, &group.name).is_some() {
                return Err(errors::already("Group", &group.name));
            }
            if account.groups.len() >= iam.quotas.groups {
                return Err(errors::over_quota("GroupsPerAccount", iam.quotas.groups));
            }
            batch.put(Record::Group(group.clone()));
            Ok(())
        })
        .await?;
    Ok(permit.answer(types::CreateGroupResponse { group: describe(&group, id) }))
}

pub(crate) async fn get_group(
    iam: &Iam,
    call: Call<ops::GetGroup>,
) -> Result<Answer<types::GetGroupResponse>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<Group, _>(&call, &input.group_name)?;
    let group = allowed.found()?;
    let pager = iam.pager(&call, &[&group.id], input.marker.as_deref(), input.max_items)?;
    let account = allowed.view();
    let members = account.members(&group.id).into_iter().flatten();
    let page = pager
        .cut(members.filter_map(|name| Some((name, account.users.get(name)?))))?
        .map(|user| users::summary(user, allowed.id));
    Ok(allowed.permit.answer(types::GetGroupResponse {
        group: describe(group, allowed.id),
        is_truncated: page.truncated(),
        users: page.items,
        marker: page.marker,
    }))
}

pub(crate) async fn update_group(
    iam: &Iam,
    call: Call<ops::UpdateGroup>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<Group, _>(&call, &input.group_name)?;
    let (name, path) = (input.new_group_name.as_deref(), input.new_path.as_deref());
    // A move asks for the right at both ends.
    // <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_groups_manage_rename.html>
    let group = allowed.found()?;
    let (old, new) = (group.arn(allowed.id), {
        let (path, name) = (path.unwrap_or(&group.path), name.unwrap_or(&group.name));
        arn::of(Group::KIND, allowed.id, path, name)
    });
    if new != old {
        call.allow(resolve_at::<ops::UpdateGroup, Group>(new, allowed.id, Some(group.clone())))?;
    }
    let path = path.map(|path| names::path(Some(path))).transpose()?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let now = allowed.now(account)?;
            let mut group = Group::clone(now);
            if let Some(path) = path {
                group.path = shared_path(path);
            }
            if let Some(name) = name {
                let stays = folded(name) == folded(&group.name);
                if !stays && Group::find(account, name).is_some() {
                    return Err(errors::already("Group", name));
                }
                if !stays {
                    batch.delete(Account::key(&Record::Group(now.clone())));
                }
                group.name = name.into();
            }
            batch.put(Record::Group(Arc::new(group)));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn delete_group(
    iam: &Iam,
    call: Call<ops::DeleteGroup>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = iam.allow::<Group, _>(&call, &call.input.group_name)?;
    allowed.found()?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let group = allowed.now(account)?;
            let must = if account.members(&group.id).is_some() {
                "remove users from group"
            } else if !group.permissions.attached.is_empty() {
                "detach all policies"
            } else if !group.permissions.inline.is_empty() {
                "delete policies"
            } else {
                batch.delete(Account::key(&Record::Group(group.clone())));
                return Ok(());
            };
            Err(errors::in_use(must))
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn list_groups(
    iam: &Iam,
    call: Call<ops::ListGroups>,
) -> Result<Answer<types::ListGroupsResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let prefix = call.input.path_prefix.as_deref().unwrap_or("/");
    let permit = allow_list::<Group, _>(&call, prefix)?;
    let pager = iam.pager(&call, &[prefix], call.input.marker.as_deref(), call.input.max_items)?;
    let account = ledger.view(&permit);
    let page = pager
        .cut(pager.of(&account.groups).filter(|(_, group)| group.path.starts_with(prefix)))?
        .map(|group| describe(group, id));
    Ok(permit.answer(types::ListGroupsResponse {
        is_truncated: page.truncated(),
        groups: page.items,
        marker: page.marker,
    }))
}

pub(crate) async fn add_user_to_group(
    iam: &Iam,
    call: Call<ops::AddUserToGroup>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<Group, _>(&call, &input.group_name)?;
    let limit = iam.quotas.groups_per_user;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let user = User::get(account, &input.user_name)?;
            let group = allowed.now(account)?;
            if user.groups.contains(&group.id) {
                return Ok(());
            }
            if user.groups.len() >= limit {
                return Err(errors::over_quota("GroupsPerUser", limit));
            }
            let mut user = User::clone(user);
            user.groups = user.groups.iter().chain([&group.id]).cloned().collect();
            batch.put(Record::User(Arc::new(user)));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn remove_user_from_group(
    iam: &Iam,
    call: Call<ops::RemoveUserFromGroup>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<Group, _>(&call, &input.group_name)?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            // The user is looked for first, as AWS does.
            let user = User::get(account, &input.user_name)?;
            let group = allowed.now(account)?;
            if user.groups.contains(&group.id) {
                let mut user = User::clone(user);
                user.groups = user.groups.iter().filter(|id| **id != group.id).cloned().collect();
                batch.put(Record::User(Arc::new(user)));
            }
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn list_groups_for_user(
    iam: &Iam,
    call: Call<ops::ListGroupsForUser>,
) -> Result<Answer<types::ListGroupsForUserResponse>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<User, _>(&call, &input.user_name)?;
    let user = allowed.found()?;
    let pager = iam.pager(&call, &[&user.id], input.marker.as_deref(), input.max_items)?;
    let account = allowed.view();
    let mut groups: Vec<(String, &Arc<Group>)> = user
        .groups
        .iter()
        .filter_map(|id| account.group(id))
        .map(|group| (folded(&group.name).into_owned(), group))
        .collect();
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    let page = pager.cut(groups.into_iter())?.map(|group| describe(group, allowed.id));
    Ok(allowed.permit.answer(types::ListGroupsForUserResponse {
        is_truncated: page.truncated(),
        groups: page.items,
        marker: page.marker,
    }))
}
