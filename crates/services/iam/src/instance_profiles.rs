//! Instance profiles and the role that each may hold.

use crate::entity::{Entity, allow_list};
use crate::names::folded;
use crate::records::{Profile, Record, Role, shared_path, shared_tags};
use crate::state::{Account, key_of};
use crate::tags::{self, pairs};
use crate::{Iam, arn, errors, names, roles};
use ringfence_gateway::ids::IdKind;
use ringfence_gateway::{Answer, Call, PassRole, Passing, Resolved, State, Tags};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

/// An instance profile as lists show it: without tags.
pub(crate) fn summary(
    iam: &Iam,
    account: &Account,
    profile: &Profile,
    id: AccountId,
) -> types::InstanceProfile {
    let role = profile.role.as_ref().and_then(|name| account.roles.get(name));
    types::InstanceProfile {
        path: profile.path.to_string(),
        instance_profile_name: profile.name.to_string(),
        instance_profile_id: profile.id.to_string(),
        arn: profile.arn(id),
        create_date: Timestamp::from_seconds(profile.created),
        roles: role.iter().map(|role| roles::summary(iam, role, id)).collect(),
        tags: None,
    }
}

pub(crate) async fn create_instance_profile(
    iam: &Iam,
    call: Call<ops::CreateInstanceProfile>,
) -> Result<Answer<types::CreateInstanceProfileResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let given = input.tags.as_deref().unwrap_or_default();
    let path = input.path.as_deref().unwrap_or("/");
    let target = || {
        Resolved::new(arn::of(Profile::KIND, id, path, &input.instance_profile_name), id, ())
            .requesting_tags(pairs(given))
    };
    let permit = call.allow(target())?;
    if !given.is_empty() {
        call.allow_action("iam:TagInstanceProfile", target())?;
    }
    let path = names::path(input.path.as_deref())?;
    let tags = tags::with(&Tags::new(), given, false, iam.quotas.tags)?;
    let profile = Arc::new(Profile {
        name: input.instance_profile_name.as_str().into(),
        path: shared_path(path),
        id: iam.unique_id(IdKind::InstanceProfile)?,
        created: call.now().seconds,
        role: None,
        tags: shared_tags(tags),
    });
    let limit = iam.quotas.instance_profiles;
    ledger
        .write(&permit, |account, batch| {
            if Profile::find(account, &profile.name).is_some() {
                return Err(errors::profile_exists(&profile.name));
            }
            if account.profiles.len() >= limit {
                return Err(errors::over_quota("InstanceProfilesPerAccount", limit));
            }
            batch.put(Record::Profile(profile.clone()));
            Ok(())
        })
        .await?;
    let instance_profile = types::InstanceProfile {
        tags: input.tags.clone().filter(|tags| !tags.is_empty()),
        ..summary(iam, &ledger.view(&permit), &profile, id)
    };
    Ok(permit.answer(types::CreateInstanceProfileResponse { instance_profile }))
}

pub(crate) async fn get_instance_profile(
    iam: &Iam,
    call: Call<ops::GetInstanceProfile>,
) -> Result<Answer<types::GetInstanceProfileResponse>, ServiceError> {
    let allowed = iam.allow::<Profile, _>(&call, &call.input.instance_profile_name)?;
    let profile = allowed.found()?;
    let instance_profile = types::InstanceProfile {
        tags: Some(tags::listed(&profile.tags)),
        ..summary(iam, &allowed.view(), profile, allowed.id)
    };
    Ok(allowed.permit.answer(types::GetInstanceProfileResponse { instance_profile }))
}

pub(crate) async fn delete_instance_profile(
    iam: &Iam,
    call: Call<ops::DeleteInstanceProfile>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = iam.allow::<Profile, _>(&call, &call.input.instance_profile_name)?;
    allowed.found()?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let profile = allowed.now(account)?;
            if profile.role.is_some() {
                return Err(errors::in_use("remove roles from instance profile"));
            }
            batch.delete(Account::key(&Record::Profile(profile.clone())));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn list_instance_profiles(
    iam: &Iam,
    call: Call<ops::ListInstanceProfiles>,
) -> Result<Answer<types::ListInstanceProfilesResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let prefix = call.input.path_prefix.as_deref().unwrap_or("/");
    let permit = allow_list::<Profile, _>(&call, prefix)?;
    let pager = iam.pager(&call, &[prefix], call.input.marker.as_deref(), call.input.max_items)?;
    let account = ledger.view(&permit);
    let page = pager
        .cut(pager.of(&account.profiles).filter(|(_, one)| one.path.starts_with(prefix)))?
        .map(|profile| summary(iam, &account, profile, id));
    Ok(permit.answer(types::ListInstanceProfilesResponse {
        is_truncated: page.truncated(),
        instance_profiles: page.items,
        marker: page.marker,
    }))
}

pub(crate) async fn list_instance_profiles_for_role(
    iam: &Iam,
    call: Call<ops::ListInstanceProfilesForRole>,
) -> Result<Answer<types::ListInstanceProfilesForRoleResponse>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<Role, _>(&call, &input.role_name)?;
    let role = allowed.found()?;
    let pager = iam.pager(&call, &[&role.id], input.marker.as_deref(), input.max_items)?;
    let account = allowed.view();
    let profiles = account.profiles_of(&folded(&role.name)).into_iter().flatten();
    let page = pager
        .cut(profiles.filter_map(|name| Some((name, account.profiles.get(name)?))))?
        .map(|profile| summary(iam, &account, profile, allowed.id));
    Ok(allowed.permit.answer(types::ListInstanceProfilesForRoleResponse {
        is_truncated: page.truncated(),
        instance_profiles: page.items,
        marker: page.marker,
    }))
}

pub(crate) async fn add_role_to_instance_profile(
    iam: &Iam,
    call: Call<ops::AddRoleToInstanceProfile>,
) -> Result<Passing<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<Profile, _>(&call, &input.instance_profile_name)?;
    allowed.found()?;
    // Whoever puts a role into a profile hands it to EC2, and must be allowed to: to any instance of
    // the account. Whether the role trusts EC2 is not asked before an instance has it.
    // <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddRoleToInstanceProfile.html>
    let instances = format!("arn:aws:ec2:*:{}:instance/*", allowed.id);
    let pass = PassRole::by_name(&input.role_name, "ec2.amazonaws.com");
    let passed = call
        .pass_role(&pass.for_resource(&instances).untested())
        .map_err(|not| not.or(|_| Role::missing(&input.role_name)))?;
    allowed
        .change(|account, profile| {
            let role = Role::get(account, &input.role_name)?;
            if *role.id != *passed.id {
                return Err(Role::missing(&input.role_name));
            }
            role.modifiable()?;
            if profile.role.is_some() {
                return Err(errors::over_quota("InstanceSessionsPerInstanceProfile", 1));
            }
            profile.role = Some(key_of(&role.name));
            Ok(true)
        })
        .await?;
    Ok(passed.answer(allowed.permit.answer(Empty::default())))
}

pub(crate) async fn remove_role_from_instance_profile(
    iam: &Iam,
    call: Call<ops::RemoveRoleFromInstanceProfile>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<Profile, _>(&call, &input.instance_profile_name)?;
    allowed
        .change(|account, profile| {
            let role = Role::get(account, &input.role_name)?;
            if profile.role.as_deref() != Some(&*folded(&role.name)) {
                return Err(errors::not_in_profile(&role.name, &profile.name));
            }
            profile.role = None;
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}
