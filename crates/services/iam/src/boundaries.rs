//! Permissions boundaries of users and roles.

use crate::Iam;
use crate::arn::PolicyArn;
use crate::entity::{Allowed, Holder};
use crate::errors;
use crate::managed_policies;
use crate::records::{Role, User};
use crate::state::Account;
use ringfence_gateway::{Answer, Call};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{AttachedPermissionsBoundary, PermissionsBoundaryAttachmentType};
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use ringfence_wire::value::Empty;
use std::sync::Arc;

/// A boundary as answers show it. On the wire its type is `Policy`, whatever the model lists.
pub(crate) fn shown(arn: &str) -> AttachedPermissionsBoundary {
    AttachedPermissionsBoundary {
        permissions_boundary_type: Some(PermissionsBoundaryAttachmentType::from("Policy")),
        permissions_boundary_arn: Some(arn.to_owned()),
    }
}

/// Checks that a boundary is a policy that this account has.
///
/// # Errors
/// `ValidationError`, `InvalidInput`, `NoSuchEntity`.
pub(crate) fn check(account: &Account, id: AccountId, arn: &str) -> Result<(), ServiceError> {
    let cut = PolicyArn::parse(arn)?;
    if managed_policies::exists(account, id, arn, &cut) {
        Ok(())
    } else {
        Err(errors::no_such_boundary(arn))
    }
}

async fn put<H: Holder>(allowed: &Allowed<H>, arn: &str) -> Result<Answer<Empty>, ServiceError> {
    allowed.found()?.modifiable()?;
    let arn: Arc<str> = arn.into();
    allowed
        .change(|account, holder| {
            check(account, allowed.id, &arn)?;
            let boundary = &mut holder.permissions_mut().boundary;
            Ok(boundary.replace(arn.clone()).is_none_or(|old| old != arn))
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

async fn delete<H: Holder>(allowed: &Allowed<H>) -> Result<Answer<Empty>, ServiceError> {
    allowed
        .change(|_, holder| match holder.permissions_mut().boundary.take() {
            Some(_) => Ok(true),
            None => Err(errors::no_boundary(H::KIND, holder.name())),
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn put_user_permissions_boundary(
    iam: &Iam,
    call: Call<ops::PutUserPermissionsBoundary>,
) -> Result<Answer<Empty>, ServiceError> {
    let arn = &call.input.permissions_boundary;
    // `iam:PermissionsBoundary` is the boundary that is asked for, not the one there is.
    let allowed = iam.allow_with::<User, _>(&call, &call.input.user_name, |resolved| {
        resolved.key("iam:PermissionsBoundary", arn)
    })?;
    put(&allowed, arn).await
}

pub(crate) async fn delete_user_permissions_boundary(
    iam: &Iam,
    call: Call<ops::DeleteUserPermissionsBoundary>,
) -> Result<Answer<Empty>, ServiceError> {
    delete(&iam.allow::<User, _>(&call, &call.input.user_name)?).await
}

pub(crate) async fn put_role_permissions_boundary(
    iam: &Iam,
    call: Call<ops::PutRolePermissionsBoundary>,
) -> Result<Answer<Empty>, ServiceError> {
    let arn = &call.input.permissions_boundary;
    let allowed = iam.allow_with::<Role, _>(&call, &call.input.role_name, |resolved| {
        resolved.key("iam:PermissionsBoundary", arn)
    })?;
    put(&allowed, arn).await
}

pub(crate) async fn delete_role_permissions_boundary(
    iam: &Iam,
    call: Call<ops::DeleteRolePermissionsBoundary>,
) -> Result<Answer<Empty>, ServiceError> {
    delete(&iam.allow::<Role, _>(&call, &call.input.role_name)?).await
}
