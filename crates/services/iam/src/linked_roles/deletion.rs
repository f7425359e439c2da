//! The tasks that delete service-linked roles.
//!
//! A task is a record: what it has come to is durable before anybody hears of it. It is worked on as
//! soon as it is kept; one that a stop cut short is carried on at the next start, and by whoever looks
//! at it. Its end is one commit with the role's: a role is never gone without its task saying so.

use crate::Iam;
use crate::entity::Entity;
use crate::records::{Record, Role, UniqueId};
use crate::state::{Account, store_key};
use crate::users;
use ringfence_gateway::clock::Clock;
use ringfence_gateway::{Batch, Ledger, State};
use ringfence_model_iam::types::{self, DeletionTaskStatusType};
use ringfence_policy::AccountId;
use ringfence_wire::ServiceError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Ended tasks that an account keeps; the oldest go first.
pub(super) const ENDED_KEPT: usize = 100;

/// A task that deletes a role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RoleDeletion {
    pub id: Arc<str>,
    /// The service principal.
    pub service: Arc<str>,
    /// The role's name.
    pub role: Arc<str>,
    /// Its unique id: a role made anew under the name is another.
    pub role_id: UniqueId,
    pub created: i64,
    pub stage: Stage,
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    NotStarted,
    InProgress,
    Succeeded { at: i64 },
    Failed { at: i64, reason: String, usage: Vec<RoleUsage> },
}

/// Where a role is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleUsage {
    /// The region.
    pub region: String,
    /// The ARNs of what uses it there.
    pub resources: Vec<String>,
}

/// A service-linked role, as the service that owns it is asked about it.
#[derive(Debug, Clone, Copy)]
pub struct LinkedRole<'a> {
    /// The account.
    pub account: AccountId,
    /// The role's ARN.
    pub arn: &'a str,
    /// Its unique id.
    pub id: &'a str,
}

/// Why a role cannot be deleted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// In the service's words.
    pub reason: String,
    /// By what, region by region.
    pub usage: Vec<RoleUsage>,
}

/// A service that has linked roles. It is asked before one is deleted.
pub trait RoleUsers: Send + Sync {
    /// What of the service uses a role; `None` where nothing does, sessions included. A role that was
    /// found free is deleted at once: what begins to use it afterwards must find it gone.
    ///
    /// # Errors
    /// Where that cannot be told now: the deletion is tried again later.
    fn users<'a>(
        &'a self,
        role: LinkedRole<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Option<InUse>, ServiceError>> + Send + 'a>>;
}

impl RoleDeletion {
    pub fn new(id: Arc<str>, service: &str, role: &Role, created: i64) -> Self {
        Self {
            id,
            service: service.into(),
            role: role.name.clone(),
            role_id: role.id,
            created,
            stage: Stage::NotStarted,
        }
    }

    /// When it ended.
    fn ended(&self) -> Option<i64> {
        match self.stage {
            Stage::NotStarted | Stage::InProgress => None,
            Stage::Succeeded { at } | Stage::Failed { at, .. } => Some(at),
        }
    }

    fn now(&self, stage: Stage) -> Record {
        Record::RoleDeletion(Arc::new(Self { stage, ..self.clone() }))
    }

    /// As `GetServiceLinkedRoleDeletionStatus` tells it.
    pub fn shown(&self) -> types::GetServiceLinkedRoleDeletionStatusResponse {
        let (status, reason) = match &self.stage {
            Stage::NotStarted => (DeletionTaskStatusType::NotStarted, None),
            Stage::InProgress => (DeletionTaskStatusType::InProgress, None),
            Stage::Succeeded { .. } => (DeletionTaskStatusType::Succeeded, None),
            Stage::Failed { reason, usage, .. } => {
                let usage = usage.iter().map(|one| types::RoleUsageType {
                    region: Some(one.region.clone()),
                    resources: Some(one.resources.clone()),
                });
                let reason = types::DeletionTaskFailureReasonType {
                    reason: Some(reason.clone()),
                    role_usage_list: Some(usage.collect()),
                };
                (DeletionTaskStatusType::Failed, Some(reason))
            }
        };
        types::GetServiceLinkedRoleDeletionStatusResponse { status, reason }
    }
}

/// A task's name: `task/aws-service-role/SERVICE/ROLE/UUID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskId<'a> {
    pub service: &'a str,
    pub role: &'a str,
    pub uuid: &'a str,
}

impl<'a> TaskId<'a> {
    pub fn of(task: &'a RoleDeletion) -> Self {
        Self { service: &task.service, role: &task.role, uuid: &task.id }
    }

    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix("task/aws-service-role/")?.split('/');
        let id = Self { service: parts.next()?, role: parts.next()?, uuid: parts.next()? };
        let whole = [id.service, id.role, id.uuid].iter().all(|part| !part.is_empty());
        (parts.next().is_none() && whole).then_some(id)
    }
}

impl fmt::Display for TaskId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, role, uuid } = self;
        write!(f, "task/aws-service-role/{service}/{role}/{uuid}")
    }
}

/// The task that is to delete a role and has not ended.
pub(crate) fn under_way<'a>(account: &'a Account, role_id: &str) -> Option<&'a Arc<RoleDeletion>> {
    let mut tasks = account.role_deletions.values();
    tasks.find(|task| *task.role_id == *role_id && task.ended().is_none())
}

/// Forgets ended tasks, so that there is room for one more.
pub(crate) fn make_room(account: &Account, batch: &mut Batch<Account>) {
    let ended = account.role_deletions.values().filter_map(|task| Some((task.ended()?, &task.id)));
    let mut ended: Vec<(i64, &Arc<str>)> = ended.collect();
    ended.sort();
    for (_, id) in ended.iter().take((ended.len() + 1).saturating_sub(ENDED_KEPT)) {
        batch.delete(store_key(RoleDeletion::KIND, id));
    }
}

impl RoleDeletion {
    /// Its kind in the keys of the store.
    pub const KIND: &'static str = "role-deletion";
}

/// Who is asked, and which tasks are being worked on in this process.
#[derive(Default)]
pub(crate) struct Deletions {
    services: RwLock<BTreeMap<&'static str, Arc<dyn RoleUsers>>>,
    at_work: Mutex<BTreeSet<Arc<str>>>,
}

impl Deletions {
    fn at_work(&self) -> MutexGuard<'_, BTreeSet<Arc<str>>> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn service(&self, principal: &str) -> Option<Arc<dyn RoleUsers>> {
        let services = self.services.read().unwrap_or_else(PoisonError::into_inner);
        services.get(principal).cloned()
    }
}

/// One task being worked on: by one worker at a time.
pub(crate) struct Work {
    deletions: Arc<Deletions>,
    ledger: Arc<Ledger<Account>>,
    account: AccountId,
    clock: Arc<dyn Clock>,
    task: Arc<str>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.deletions.at_work().remove(&self.task);
    }
}

impl Work {
    /// Works until the task has ended. Where that cannot be now, it is left for later.
    pub async fn run(self) {
        if let Err(error) = self.try_run().await {
            let (task, account) = (&*self.task, self.account);
            tracing::warn!(%error, task, %account, "the deletion of a role waits");
        }
    }

    async fn try_run(&self) -> Result<(), ServiceError> {
        let begun = self
            .ledger
            .write_unasked(|account, batch| {
                let Some(task) = self.open(account) else { return Ok(None) };
                if task.stage == Stage::NotStarted {
                    batch.put(task.now(Stage::InProgress));
                }
                Ok(Some(task.clone()))
            })
            .await?;
        let Some(task) = begun else { return Ok(()) };
        let in_use = match self.deletions.service(&task.service) {
            Some(service) => {
                let path = super::path_of(&task.service);
                let arn = crate::arn::of(Role::KIND, self.account, &path, &task.role);
                let role = LinkedRole { account: self.account, arn: &arn, id: &task.role_id };
                service.users(role).await?
            }
            // Nothing here is of a service that is not here.
            None => None,
        };
        let at = self.clock.now().seconds;
        self.ledger
            .write_unasked(|account, batch| {
                let Some(task) = self.open(account) else { return Ok(()) };
                let role = Role::find(account, &task.role).filter(|role| role.id == task.role_id);
                let stage = match (role, &in_use) {
                    (Some(_), Some(InUse { reason, usage })) => {
                        Stage::Failed { at, reason: reason.clone(), usage: usage.clone() }
                    }
                    (Some(role), None) => {
                        batch.delete(Account::key(&Record::Role(role.clone())));
                        users::forget_use(account, &role.id, batch);
                        Stage::Succeeded { at }
                    }
                    (None, _) => Stage::Succeeded { at },
                };
                batch.put(task.now(stage));
                Ok(())
            })
            .await
    }

    /// The task, while it has not ended.
    fn open<'a>(&self, account: &'a Account) -> Option<&'a Arc<RoleDeletion>> {
        account.role_deletions.get(&self.task).filter(|task| task.ended().is_none())
    }
}

impl Iam {
    /// Has a service asked, by its principal, before one of its linked roles is deleted.
    pub fn ask_role_users(&self, service: &'static str, users: Arc<dyn RoleUsers>) {
        let services = &self.deletions.services;
        let mut services = services.write().unwrap_or_else(PoisonError::into_inner);
        services.insert(service, users);
    }

    /// Carries on the deletions of roles that a stop cut short, or that their services could not tell
    /// about.
    pub async fn carry_on_deletions(&self) {
        for (id, _) in self.accounts() {
            let Ok(ledger) = self.ledger(id) else { continue };
            let open: Vec<Arc<str>> = {
                let account = ledger.for_deciding();
                let open = account.role_deletions.values().filter(|task| task.ended().is_none());
                open.map(|task| task.id.clone()).collect()
            };
            for task in open {
                if let Ok(Some(work)) = self.work_on(id, &task) {
                    work.run().await;
                }
            }
        }
    }

    /// The work on a task; `None` where it has ended or another works on it.
    ///
    /// # Errors
    /// When the account is not here.
    pub(crate) fn work_on(
        &self,
        id: AccountId,
        task: &Arc<str>,
    ) -> Result<Option<Work>, ServiceError> {
        let ledger = self.ledger(id)?;
        let ended =
            ledger.for_deciding().role_deletions.get(task).is_none_or(|t| t.ended().is_some());
        if ended || !self.deletions.at_work().insert(task.clone()) {
            return Ok(None);
        }
        let (deletions, clock) = (self.deletions.clone(), self.clock.clone());
        Ok(Some(Work { deletions, ledger, account: id, clock, task: task.clone() }))
    }
}
