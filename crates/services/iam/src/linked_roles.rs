//! Service-linked roles: made from a service's template, owned by the service, deleted by a task.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html>
//!
//! ```text
//!   CreateServiceLinkedRole ──► templates ──► a role at /aws-service-role/SERVICE/
//!
//!   DeleteServiceLinkedRole ──► a task, kept ──► who uses it? ──► nobody: role gone, SUCCEEDED
//!                               NOT_STARTED      IN_PROGRESS  └─► somebody: FAILED, and what
//! ```
//!
//! Nobody changes such a role but for its description and tags:
//! [`Entity::modifiable`](crate::entity::Entity::modifiable) refuses the rest, and STS gives nobody a
//! session of it.

pub(crate) mod deletion;
pub(crate) mod templates;

use crate::Iam;
use crate::entity::{Allowed, Entity, resolve};
use crate::records::{Held, Record, Role, no_tags};
use crate::state::Account;
use crate::trust::TrustPolicy;
use crate::{arn, errors, names, roles};
use deletion::{RoleDeletion, TaskId};
use ringfence_gateway::ids::{IdKind, uuid};
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types;
use ringfence_wire::ServiceError;
use std::sync::Arc;

/// Seconds of a session.
const SESSION: i32 = 3600;

/// Longest name of a role.
const LONGEST_NAME: usize = 64;

impl Role {
    /// The principal of the service that owns it.
    pub fn linked_service(&self) -> Option<&str> {
        self.path.strip_prefix(names::SERVICE_LINKED)?.strip_suffix('/')
    }
}

/// The path of a service's roles.
fn path_of(service: &str) -> String {
    format!("{}{service}/", names::SERVICE_LINKED)
}

/// The trust policy of a service's role, as LocalStack's tests recorded it from AWS.
fn trust_of(service: &str) -> Result<TrustPolicy, ServiceError> {
    TrustPolicy::parse(&format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"}}]}}"#
    ))
}

pub(crate) async fn create_service_linked_role(
    iam: &Iam,
    call: Call<ops::CreateServiceLinkedRole>,
) -> Result<Answer<types::CreateServiceLinkedRoleResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let (service, suffix) = (&*input.aws_service_name, input.custom_suffix.as_deref());
    let template = templates::of(service);
    // Which services have a role is no secret; the name is a part of what is asked for.
    let name = template.map_or_else(|| templates::PREFIX.to_owned(), |one| one.name(suffix));
    let path = path_of(service);
    let target = Resolved::new(arn::of(Role::KIND, id, &path, &name), id, ());
    let permit = call.allow(target.key("iam:AWSServiceName", service))?;
    let template = template.ok_or_else(|| errors::no_service_role(service))?;
    if suffix.is_some() && !template.suffix {
        return Err(errors::no_suffix(service));
    }
    if name.len() > LONGEST_NAME {
        return Err(errors::long_role_name(&name, LONGEST_NAME));
    }
    let role = Arc::new(Role {
        name: name.as_str().into(),
        path: path.into(),
        id: iam.unique_id(IdKind::Role)?,
        created: call.now().seconds,
        trust: trust_of(service)?,
        description: input.description.as_deref().map(Into::into),
        max_session_duration: SESSION,
        tags: no_tags(),
        permissions: Held { attached: [template.policy.as_str().into()].into(), ..Held::default() }
            .into(),
    });
    ledger
        .write(&permit, |account, batch| {
            if Role::find(account, &role.name).is_some() {
                return Err(errors::service_role_exists(&role.name));
            }
            // "Service-linked roles count toward your IAM roles limit. If you have reached it, you can
            // still create service-linked roles." There are as many as there are services; of those
            // with suffixes there could be any number.
            // <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_create-service-linked-role.html>
            let linked = || account.roles.values().filter(|role| role.is_service_linked()).count();
            if suffix.is_some() && linked() >= iam.quotas.roles {
                return Err(errors::over_quota("RolesPerAccount", iam.quotas.roles));
            }
            batch.put(Record::Role(role.clone()));
            Ok(())
        })
        .await?;
    let shown =
        types::Role { description: input.description.clone(), ..roles::summary(iam, &role, id) };
    Ok(permit.answer(types::CreateServiceLinkedRoleResponse { role: Some(shown) }))
}

pub(crate) async fn delete_service_linked_role(
    iam: &Iam,
    call: Call<ops::DeleteServiceLinkedRole>,
) -> Result<Answer<types::DeleteServiceLinkedRoleResponse>, ServiceError> {
    let name = &call.input.role_name;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let resolved = ledger.resolve(|account| {
        let service = Role::find(account, name).and_then(|role| role.linked_service());
        resolve::<ops::DeleteServiceLinkedRole, Role>(account, id, name)
            .key_if("iam:AWSServiceName", service)
    });
    let permit = call.allow(resolved)?;
    let allowed = Allowed { ledger, id, permit, name: name.clone(), shown: name.clone() };
    let service = allowed.found()?.linked_service().ok_or_else(|| errors::not_linked(name))?;
    let fresh: Arc<str> = uuid(&*iam.random).map_err(errors::failed)?.into();
    let task = allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let role = allowed.now(account)?;
            // A second request is answered with the task of the first.
            if let Some(task) = deletion::under_way(account, &role.id) {
                return Ok(task.clone());
            }
            let task =
                Arc::new(RoleDeletion::new(fresh.clone(), service, role, call.now().seconds));
            deletion::make_room(account, batch);
            batch.put(Record::RoleDeletion(task.clone()));
            Ok(task)
        })
        .await?;
    if let Some(work) = iam.work_on(id, &task.id)? {
        tokio::spawn(work.run());
    }
    let deletion_task_id = TaskId::of(&task).to_string();
    Ok(allowed.permit.answer(types::DeleteServiceLinkedRoleResponse { deletion_task_id }))
}

pub(crate) async fn get_service_linked_role_deletion_status(
    iam: &Iam,
    call: Call<ops::GetServiceLinkedRoleDeletionStatus>,
) -> Result<Answer<types::GetServiceLinkedRoleDeletionStatusResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let named = TaskId::parse(&call.input.deletion_task_id);
    let permit = call.allow(match &named {
        Some(task) => {
            Resolved::new(arn::of(Role::KIND, id, &path_of(task.service), task.role), id, ())
                .key("iam:AWSServiceName", task.service)
        }
        None => Resolved::any(id),
    })?;
    let named = named.ok_or_else(|| errors::bad_deletion_task(&call.input.deletion_task_id))?;
    let find = |account: &Account| {
        let task = account.role_deletions.get(named.uuid);
        task.filter(|task| TaskId::of(task) == named).cloned()
    };
    let missing = || errors::no_deletion_task(&call.input.deletion_task_id);
    let task = find(&ledger.view(&permit)).ok_or_else(missing)?;
    // A task that a stop of the server cut short is carried on by whoever looks at it first.
    if let Some(work) = iam.work_on(id, &task.id)? {
        work.run().await;
    }
    let task = find(&ledger.view(&permit)).ok_or_else(missing)?;
    Ok(permit.answer(task.shown()))
}

#[cfg(test)]
mod tests;
