//! `AssumeRoot`: a session of a member account's root user, for one task.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoot.html>
//!
//! The root user trusts whoever administers its organization, for the tasks whose feature is on: that
//! is decided as a role's trust policy is, which must allow in every case, and the caller's own
//! policies must allow the call as well. So who does not administer hears the same of every account,
//! whether or not it is there, its own included.

use crate::Sts;
use crate::callers::{self, Operation};
use crate::credentials::{self, Draft};
use crate::errors::{check_endpoint, validation};
use ringfence_gateway::call::Answer;
use ringfence_gateway::{Call, Identity, Resolved};
use ringfence_model_sts::operations as ops;
use ringfence_model_sts::types::AssumeRootResponse;
use ringfence_policy::document::{Document, Version};
use ringfence_policy::{AccountId, Arn, Kind, parse};
use ringfence_wire::ServiceError;
use std::sync::Arc;

/// Seconds of a session, where the call does not say.
const SECONDS: i32 = 900;

/// Where AWS's policies for root users' tasks are, which are all that it takes.
const TASKS: &str = "arn:aws:iam::aws:policy/root-task/";

/// Makes a session of a root user.
pub async fn assume_root(
    _: &Sts,
    call: Call<ops::AssumeRoot>,
) -> Result<Answer<AssumeRootResponse>, ServiceError> {
    check_endpoint(&call.facts().host, "AssumeRoot")?;
    callers::check(call.caller(), Operation::AssumeRoot)?;
    let input = &call.input;
    let shared = call.shared();
    let member = target(&input.target_principal)?;
    let task = task(input.task_policy_arn.arn.as_deref())?;
    let account = call.account()?;

    let trusted = shared.directory.administers_root(account, member, task);
    let resolved = Resolved::new(member.root_arn(), member, ())
        .trust(Arc::new(trust(account, trusted)?))
        .key("sts:TaskPolicyArn", task);
    let permit = call.allow(resolved).map_err(no_role)?;

    let calling = call.caller().session.as_deref();
    let source_identity = calling.and_then(|session| session.source_identity.clone());
    let draft = Draft {
        source_identity: source_identity.clone(),
        root_task: Some(task.to_owned()),
        chained: calling.is_some(),
        ..Draft::new(
            Identity::Root { account: member },
            member,
            input.duration_seconds.unwrap_or(SECONDS),
        )
    };
    let draft = draft.made_by(calling, shared.clock.now());
    let issued = credentials::issue(shared, draft, input.minimum_session_token_size)?;
    Ok(permit.answer(AssumeRootResponse {
        credentials: Some(issued.credentials),
        source_identity,
        session_token_utilization: Some(issued.token_utilization),
        session_token_size: Some(issued.token_size),
    }))
}

/// The account that is meant: "the member account principal ARN or account ID".
fn target(text: &str) -> Result<AccountId, ServiceError> {
    let invalid = || validation(format!("{} is invalid", crate::errors::cut(text)));
    if let Ok(account) = text.parse::<AccountId>() {
        return Ok(account);
    }
    let account = Arn::parse(text).ok().and_then(|arn| arn.account_id());
    account.filter(|account| account.root_arn() == text).ok_or_else(invalid)
}

/// The task that is meant.
fn task(arn: Option<&str>) -> Result<&str, ServiceError> {
    let Some(arn) = arn else {
        return Err(validation(
            "1 validation error detected: Value null at 'taskPolicyArn.arn' failed to satisfy \
             constraint: Member must not be null",
        ));
    };
    let known =
        arn.starts_with(TASKS) && ringfence_policy::reference::managed::policy(arn).is_some();
    if known { Ok(arn) } else { Err(validation(format!("{} is invalid", crate::errors::cut(arn)))) }
}

/// A denial by the root user, which is no role.
fn no_role(mut denied: ServiceError) -> ServiceError {
    denied.message = denied.message.replace("no role trust policy", "no resource-based policy");
    denied
}

/// What stands in for a policy of the root user: it trusts an account that administers it, and
/// nobody else.
fn trust(account: AccountId, trusted: bool) -> Result<Document, ServiceError> {
    if !trusted {
        return Ok(Document::new(Version::V2012, None, Vec::new()));
    }
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{}"}},
            "Action":"sts:AssumeRoot"}}]}}"#,
        account.root_arn()
    );
    parse(&text, Kind::Trust).map_err(|why| {
        tracing::error!(%why, "a policy of this server is not understood");
        ServiceError::internal()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_root_user_is_named_by_its_account_or_its_arn() {
        for text in ["123456789012", "arn:aws:iam::123456789012:root"] {
            assert_eq!(target(text).unwrap(), testing::ACCOUNT, "{text}");
        }
        for text in [
            "1234567890123",
            "12345678901a",
            "arn:aws:iam::123456789012:user/root",
            "arn:aws:sts::123456789012:root",
            "arn:aws:iam::123456789012:root/x",
            "arn:aws:iam:us-east-1:123456789012:root",
        ] {
            let refused = target(text).unwrap_err();
            assert_eq!(refused.code, "ValidationError", "{text}");
        }
    }

    #[test]
    fn a_task_is_one_of_awss_policies_for_root_users() {
        for name in [
            "IAMAuditRootUserCredentials",
            "IAMCreateRootUserPassword",
            "IAMDeleteRootUserCredentials",
            "S3UnlockBucketPolicy",
            "SQSUnlockQueuePolicy",
        ] {
            assert!(task(Some(&format!("{TASKS}{name}"))).is_ok(), "{name}");
        }
        for arn in [
            None,
            Some("arn:aws:iam::aws:policy/AdministratorAccess"),
            Some("arn:aws:iam::aws:policy/root-task/Nothing"),
            Some("arn:aws:iam::123456789012:policy/root-task/S3UnlockBucketPolicy"),
        ] {
            assert_eq!(task(arn).unwrap_err().code, "ValidationError", "{arn:?}");
        }
    }

    #[test]
    fn a_root_user_trusts_its_administrator_or_nobody() {
        let denied =
            ServiceError::access_denied("because no role trust policy allows the x action");
        assert_eq!(no_role(denied).message, "because no resource-based policy allows the x action");
        assert_eq!(trust(testing::ACCOUNT, true).unwrap().statements.len(), 1);
        assert!(trust(testing::ACCOUNT, false).unwrap().statements.is_empty());
    }
}
