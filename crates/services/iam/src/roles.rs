//! Roles.

use crate::documents::encoded;
use crate::entity::{Entity, allow_list};
use crate::quotas::size;
use crate::records::{Held, Record, Role, shared_path, shared_tags};
use crate::state::Account;
use crate::tags::{self, pairs};
use crate::trust::TrustPolicy;
use crate::{Iam, arn, boundaries, errors, names, users};
use ringfence_gateway::ids::IdKind;
use ringfence_gateway::{Answer, Call, Resolved, State, Tags};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, RoleLastUsed};
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

/// Seconds of a session where a role does not say.
const DEFAULT_SESSION: i32 = 3600;

/// A role as `CreateRole` and instance profiles show it: what every answer has.
pub(crate) fn summary(iam: &Iam, role: &Role, id: AccountId) -> types::Role {
    types::Role {
        path: role.path.to_string(),
        role_name: role.name.to_string(),
        role_id: role.id.to_string(),
        arn: role.arn(id),
        create_date: Timestamp::from_seconds(role.created),
        assume_role_policy_document: Some(encoded(&role.trust.text(iam))),
        ..types::Role::default()
    }
}

/// A role as `ListRoles` shows it.
fn listed(iam: &Iam, role: &Role, id: AccountId) -> types::Role {
    types::Role {
        description: role.description.as_deref().map(str::to_owned),
        max_session_duration: Some(role.max_session_duration),
        ..summary(iam, role, id)
    }
}

/// A role as `GetRole` shows it.
fn describe(iam: &Iam, account: &Account, role: &Role, id: AccountId) -> types::Role {
    types::Role {
        permissions_boundary: role.permissions.boundary.as_deref().map(boundaries::shown),
        tags: tags::listed_if_any(&role.tags),
        role_last_used: Some(last_used(iam, account, role)),
        ..listed(iam, role, id)
    }
}

/// When a role was last used: empty where it never was.
pub(crate) fn last_used(iam: &Iam, account: &Account, role: &Role) -> RoleLastUsed {
    iam.last_used.of(account, &role.id).map_or_else(RoleLastUsed::default, |used| RoleLastUsed {
        last_used_date: Some(Timestamp::from_seconds(used.at)),
        region: Some(used.region.into()),
    })
}

fn trust(iam: &Iam, document: &str) -> Result<TrustPolicy, ServiceError> {
    let trust = TrustPolicy::parse(document)?;
    let limit = iam.quotas.trust_policy_size;
    if size(document) > limit {
        return Err(errors::over_quota("ACLSizePerRole", limit));
    }
    Ok(trust)
}

pub(crate) async fn create_role(
    iam: &Iam,
    call: Call<ops::CreateRole>,
) -> Result<Answer<types::CreateRoleResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let given = input.tags.as_deref().unwrap_or_default();
    let path = input.path.as_deref().unwrap_or("/");
    let boundary = input.permissions_boundary.as_deref();
    let target = || {
        Resolved::new(arn::of(Role::KIND, id, path, &input.role_name), id, ())
            .key_if("iam:PermissionsBoundary", boundary)
            .requesting_tags(pairs(given))
    };
    let permit = call.allow(target())?;
    if !given.is_empty() {
        call.allow_action("iam:TagRole", target())?;
    }
    let path = names::path(input.path.as_deref())?;
    if path.starts_with(names::SERVICE_LINKED) {
        return Err(errors::reserved_path());
    }
    let tags = tags::with(&Tags::new(), given, true, iam.quotas.tags)?;
    let trust = trust(iam, &input.assume_role_policy_document)?;
    let role = Role {
        name: input.role_name.as_str().into(),
        path: shared_path(path),
        id: iam.unique_id(IdKind::Role)?,
        created: call.now().seconds,
        trust,
        description: input.description.as_deref().map(Into::into),
        max_session_duration: input.max_session_duration.unwrap_or(DEFAULT_SESSION),
        tags: shared_tags(tags),
        permissions: Held { boundary: boundary.map(Into::into), ..Held::default() }.into(),
    };
    let role = ledger
        .write(&permit, |account, batch| {
            if Role::find(account, &role.name).is_some() {
                return Err(errors::already("Role", &role.name));
            }
            if account.roles.len() >= iam.quotas.roles {
                return Err(errors::over_quota("RolesPerAccount", iam.quotas.roles));
            }
            if let Some(arn) = boundary {
                boundaries::check(account, id, arn)?;
            }
            let trust = role.trust.clone().pin(&iam.during(id, account))?;
            let role = Arc::new(Role { trust, ..role.clone() });
            batch.put(Record::Role(role.clone()));
            Ok(role)
        })
        .await?;
    let shown = types::Role {
        permissions_boundary: boundary.map(boundaries::shown),
        tags: input.tags.clone().filter(|tags| !tags.is_empty()),
        ..summary(iam, &role, id)
    };
    Ok(permit.answer(types::CreateRoleResponse { role: shown }))
}

pub(crate) async fn get_role(
    iam: &Iam,
    call: Call<ops::GetRole>,
) -> Result<Answer<types::GetRoleResponse>, ServiceError> {
    let allowed = iam.allow::<Role, _>(&call, &call.input.role_name)?;
    let role = describe(iam, &allowed.view(), allowed.found()?, allowed.id);
    Ok(allowed.permit.answer(types::GetRoleResponse { role }))
}

pub(crate) async fn update_role(
    iam: &Iam,
    call: Call<ops::UpdateRole>,
) -> Result<Answer<types::UpdateRoleResponse>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<Role, _>(&call, &input.role_name)?;
    // Of a service-linked role the description is the account's to set, and nothing else.
    allowed
        .change_any(|_, role| {
            if input.max_session_duration.is_some() {
                role.modifiable()?;
            }
            if let Some(description) = &input.description {
                role.description = Some(description.as_str().into());
            }
            if let Some(seconds) = input.max_session_duration {
                role.max_session_duration = seconds;
            }
            Ok(input.description.is_some() || input.max_session_duration.is_some())
        })
        .await?;
    Ok(allowed.permit.answer(types::UpdateRoleResponse::default()))
}

pub(crate) async fn update_role_description(
    iam: &Iam,
    call: Call<ops::UpdateRoleDescription>,
) -> Result<Answer<types::UpdateRoleDescriptionResponse>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<Role, _>(&call, &input.role_name)?;
    let description = Some(input.description.as_str().into());
    allowed
        .change_any(|_, role| {
            role.description.clone_from(&description);
            Ok(true)
        })
        .await?;
    let role = types::Role {
        description: Some(input.description.clone()),
        ..summary(iam, allowed.found()?, allowed.id)
    };
    Ok(allowed.permit.answer(types::UpdateRoleDescriptionResponse { role: Some(role) }))
}

pub(crate) async fn update_assume_role_policy(
    iam: &Iam,
    call: Call<ops::UpdateAssumeRolePolicy>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = iam.allow::<Role, _>(&call, &input.role_name)?;
    allowed.found()?.modifiable()?;
    let trust = trust(iam, &input.policy_document)?;
    allowed
        .change(|account, role| {
            role.trust = trust.clone().pin(&iam.during(allowed.id, account))?;
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn delete_role(
    iam: &Iam,
    call: Call<ops::DeleteRole>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = iam.allow::<Role, _>(&call, &call.input.role_name)?;
    allowed.found()?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let role = allowed.now(account)?;
            role.modifiable()?;
            let must = if account.profiles_of(&names::folded(&role.name)).is_some() {
                "remove roles from instance profile"
            } else if !role.permissions.attached.is_empty() {
                "detach all policies"
            } else if !role.permissions.inline.is_empty() {
                "delete policies"
            } else {
                batch.delete(Account::key(&Record::Role(role.clone())));
                users::forget_use(account, &role.id, batch);
                return Ok(());
            };
            Err(errors::in_use(must))
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn list_roles(
    iam: &Iam,
    call: Call<ops::ListRoles>,
) -> Result<Answer<types::ListRolesResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let prefix = call.input.path_prefix.as_deref().unwrap_or("/");
    let permit = allow_list::<Role, _>(&call, prefix)?;
    let pager = iam.pager(&call, &[prefix], call.input.marker.as_deref(), call.input.max_items)?;
    let account = ledger.view(&permit);
    let page = pager
        .cut(pager.of(&account.roles).filter(|(_, role)| role.path.starts_with(prefix)))?
        .map(|role| listed(iam, role, id));
    Ok(permit.answer(types::ListRolesResponse {
        is_truncated: page.truncated(),
        roles: page.items,
        marker: page.marker,
    }))
}
