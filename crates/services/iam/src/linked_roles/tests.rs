//! Deletion tasks over a store, with services that answer as the tests say.

use super::deletion::{ENDED_KEPT, InUse, LinkedRole, RoleUsage, RoleUsers, Stage, make_room};
use super::*;
use crate::testing::{ID, iam_over, role, store, unique};
use ringfence_gateway::State;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

const SERVICE: &str = "batch.amazonaws.com";
const ROLE: &str = "AWSServiceRoleForBatch";

fn linked(id: &str) -> Role {
    role(ROLE, "/aws-service-role/batch.amazonaws.com/", id)
}

fn task(id: &str, role_id: &str, stage: Stage) -> Arc<RoleDeletion> {
    let task = RoleDeletion::new(id.into(), SERVICE, &linked(role_id), 1);
    Arc::new(RoleDeletion { stage, ..task })
}

async fn put(iam: &Iam, records: Vec<Record>) {
    let ledger = iam.ledger(ID).unwrap();
    ledger
        .write_unasked(|_, batch| {
            records.iter().cloned().for_each(|record| batch.put(record));
            Ok(())
        })
        .await
        .unwrap();
}

fn stage(iam: &Iam, id: &str) -> Stage {
    let ledger = iam.ledger(ID).unwrap();
    let account = ledger.for_deciding();
    account.role_deletions.get(id).unwrap().stage.clone()
}

fn has_role(iam: &Iam) -> bool {
    Role::find(&iam.ledger(ID).unwrap().for_deciding(), ROLE).is_some()
}

/// Answers in turn: it cannot tell, the role is used, it is free.
#[derive(Default)]
struct Service(AtomicUsize);

fn in_use() -> InUse {
    let resources = vec!["arn:aws:batch:eu-west-1:123456789012:compute-environment/a".to_owned()];
    let usage = vec![RoleUsage { region: "eu-west-1".into(), resources }];
    InUse { reason: "There are compute environments.".into(), usage }
}

impl RoleUsers for Service {
    fn users<'a>(
        &'a self,
        role: LinkedRole<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Option<InUse>, ServiceError>> + Send + 'a>> {
        assert_eq!(role.account, ID);
        assert_eq!(
            role.arn,
            "arn:aws:iam::123456789012:role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch"
        );
        let answer = match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Err(ServiceError::internal()),
            1 => Ok(Some(in_use())),
            _ => Ok(None),
        };
        Box::pin(std::future::ready(answer))
    }
}

#[tokio::test]
async fn a_role_is_deleted_once_its_service_says_that_nothing_uses_it() {
    let iam = iam_over(&store());
    iam.create_account(ID, "test").await.unwrap();
    iam.ask_role_users(SERVICE, Arc::new(Service::default()));
    let first = task("one", "AROA1", Stage::NotStarted);
    put(&iam, vec![Role::record(Arc::new(linked("AROA1"))), Record::RoleDeletion(first)]).await;

    // It cannot tell: the task waits, and so does the role.
    iam.carry_on_deletions().await;
    assert_eq!(stage(&iam, "one"), Stage::InProgress);
    assert!(has_role(&iam));

    iam.carry_on_deletions().await;
    let Stage::Failed { reason, usage, .. } = stage(&iam, "one") else { panic!("failed") };
    assert_eq!((reason, usage), (in_use().reason, in_use().usage));
    assert!(has_role(&iam));
    // An ended task is not taken up again.
    iam.carry_on_deletions().await;
    assert!(has_role(&iam));

    put(&iam, vec![Record::RoleDeletion(task("two", "AROA1", Stage::NotStarted))]).await;
    iam.carry_on_deletions().await;
    assert!(matches!(stage(&iam, "two"), Stage::Succeeded { .. }));
    assert!(!has_role(&iam));
}

#[tokio::test]
async fn a_task_that_was_cut_short_is_carried_on_at_the_next_start() {
    for cut_at in [Stage::NotStarted, Stage::InProgress] {
        let store = store();
        let iam = iam_over(&store);
        iam.create_account(ID, "test").await.unwrap();
        let cut = task("one", "AROA1", cut_at);
        put(&iam, vec![Role::record(Arc::new(linked("AROA1"))), Record::RoleDeletion(cut)]).await;
        drop(iam);

        let iam = iam_over(&store);
        iam.carry_on_deletions().await;
        assert!(matches!(stage(&iam, "one"), Stage::Succeeded { .. }));
        assert!(!has_role(&iam));
        // The role and the task are one commit.
        let iam = iam_over(&store);
        assert!(matches!(stage(&iam, "one"), Stage::Succeeded { .. }) && !has_role(&iam));
    }
}

#[tokio::test]
async fn a_role_made_anew_is_not_deleted_by_an_old_task() {
    let iam = iam_over(&store());
    iam.create_account(ID, "test").await.unwrap();
    let old = task("one", "AROA1", Stage::NotStarted);
    put(&iam, vec![Role::record(Arc::new(linked("AROA2"))), Record::RoleDeletion(old)]).await;
    iam.carry_on_deletions().await;
    assert!(matches!(stage(&iam, "one"), Stage::Succeeded { .. }));
    assert!(has_role(&iam));
}

#[tokio::test]
async fn one_worker_at_a_time_has_a_task() {
    let iam = iam_over(&store());
    iam.create_account(ID, "test").await.unwrap();
    put(&iam, vec![Record::RoleDeletion(task("one", "AROA1", Stage::NotStarted))]).await;
    let id: Arc<str> = "one".into();
    let work = iam.work_on(ID, &id).unwrap();
    assert!(work.is_some());
    assert!(iam.work_on(ID, &id).unwrap().is_none());
    drop(work);
    iam.work_on(ID, &id).unwrap().unwrap().run().await;
    assert!(iam.work_on(ID, &id).unwrap().is_none());
    assert!(iam.work_on(ID, &"none".into()).unwrap().is_none());
}

#[tokio::test]
async fn an_account_keeps_the_newest_ended_tasks_and_all_others() {
    let iam = iam_over(&store());
    iam.create_account(ID, "test").await.unwrap();
    let ended = |n: usize| {
        let at = i64::try_from(n).unwrap();
        Record::RoleDeletion(task(&format!("ended-{n}"), "AROA1", Stage::Succeeded { at }))
    };
    let mut records: Vec<Record> = (0..ENDED_KEPT + 5).map(ended).collect();
    records.push(Record::RoleDeletion(task("open", "AROA1", Stage::InProgress)));
    put(&iam, records).await;
    let ledger = iam.ledger(ID).unwrap();
    ledger
        .write_unasked(|account, batch| {
            make_room(account, batch);
            Ok(())
        })
        .await
        .unwrap();
    let account = ledger.for_deciding();
    assert_eq!(account.role_deletions.len(), ENDED_KEPT - 1 + 1);
    assert!(account.role_deletions.contains_key("open"));
    assert!(!account.role_deletions.contains_key("ended-5"));
    assert!(account.role_deletions.contains_key("ended-6"));
}

#[test]
fn a_task_id_reads_back_and_nothing_else_does() {
    let kept = task("0f0e", "AROA1", Stage::NotStarted);
    let text = TaskId::of(&kept).to_string();
    assert_eq!(text, "task/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch/0f0e");
    assert_eq!(TaskId::parse(&text), Some(TaskId::of(&kept)));
    for other in [
        "",
        "task/aws-service-role/",
        "task/aws-service-role/a/b",
        "task/aws-service-role/a/b/",
        "task/aws-service-role/a//c",
        "task/aws-service-role/a/b/c/d",
        "aws-service-role/a/b/c",
    ] {
        assert_eq!(TaskId::parse(other), None, "{other}");
    }
}

#[test]
fn a_role_is_of_the_service_in_its_path() {
    assert_eq!(linked("AROA1").linked_service(), Some(SERVICE));
    assert_eq!(role("r", "/", "AROA1").linked_service(), None);
    let mut account = Account::default();
    account.put(Record::RoleDeletion(task("one", "AROA1", Stage::InProgress)));
    account.put(Record::RoleDeletion(task("two", "AROA2", Stage::Succeeded { at: 1 })));
    let under_way = |id: &str| deletion::under_way(&account, &unique(id)).map(|t| t.id.to_string());
    assert_eq!(under_way("AROA1").as_deref(), Some("one"));
    assert_eq!(under_way("AROA2"), None);
}
