//! Managed policies and their versions.

use crate::arn::{PolicyArn, PolicyOwner};
use crate::aws_managed::{self, AwsPolicy};
use crate::documents::IdentityPolicy;
use crate::entity::{Allowed, Entity, allow_list, resolve_at};
use crate::quotas::size;
use crate::records::{Policy, PolicyVersion, Record, shared_path, shared_tags};
use crate::state::Account;
use crate::tags::{self, pairs};
use crate::{Iam, arn, errors, names};
use ringfence_gateway::ids::IdKind;
use ringfence_gateway::{Answer, Call, Ledger, Permit, Resolved, State, Tags};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, PolicyScopeType, PolicyUsageType};
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp, TypedOperation};
use std::sync::Arc;

/// Where AWS's policies for sessions of `AssumeRoot` are, which nothing else can have: "some managed
/// policies can't be attached to your IAM entities".
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AttachRolePolicy.html>
const ROOT_TASKS: &str = "/root-task/";

/// Where AWS's policies for service-linked roles are.
const SERVICE_ROLES: &str = "/aws-service-role/";

/// Refuses a policy that belongs to service-linked roles alone, which no caller changes.
///
/// # Errors
/// `PolicyNotAttachable`.
pub(crate) fn not_of_a_service(kind: &str, cut: &PolicyArn<'_>) -> Result<(), ServiceError> {
    match (cut.owner, cut.path) {
        (PolicyOwner::Aws, SERVICE_ROLES) => Err(errors::service_role_policy(kind)),
        _ => Ok(()),
    }
}

/// Whether an ARN names a policy that this account can attach.
pub(crate) fn exists(account: &Account, id: AccountId, arn: &str, cut: &PolicyArn<'_>) -> bool {
    match cut.owner {
        PolicyOwner::Aws => cut.path != ROOT_TASKS && aws_managed::find(arn).is_some(),
        PolicyOwner::Account(owner) => {
            owner == id
                && Policy::find(account, cut.name).is_some_and(|p| p.is_at(cut.path, cut.name))
        }
    }
}

/// Resolves a policy of the caller's own account by its ARN and asks for the action on it.
///
/// # Errors
/// `AccessDenied`, for another account's and AWS's policies too; those of a malformed ARN.
pub(crate) fn allow_own<O: TypedOperation>(
    iam: &Iam,
    call: &Call<O>,
    arn: &str,
    keys: impl FnOnce(Resolved<Option<Arc<Policy>>>) -> Resolved<Option<Arc<Policy>>>,
) -> Result<Allowed<Policy>, ServiceError> {
    let id = call.account()?;
    let cut = PolicyArn::parse(arn)?;
    if cut.owner != PolicyOwner::Account(id) {
        return Err(errors::outside_account());
    }
    let ledger = iam.ledger(id)?;
    let resolved = ledger.resolve(|account| {
        let found = Policy::find(account, cut.name).filter(|p| p.is_at(cut.path, cut.name));
        keys(resolve_at::<O, Policy>(arn.to_owned(), id, found.cloned()))
    });
    let permit = call.allow(resolved)?;
    Ok(Allowed { ledger, id, permit, name: cut.name.to_owned(), shown: arn.to_owned() })
}

/// A policy that the caller may read: the account's own, or AWS's.
pub(crate) enum Readable {
    Own(Allowed<Policy>),
    Aws {
        ledger: Arc<Ledger<Account>>,
        permit: Permit<()>,
        policy: Option<&'static AwsPolicy>,
        arn: String,
    },
}

/// A version of either kind of policy.
pub(crate) struct Version<'a> {
    number: u32,
    created: Timestamp,
    policy: &'a IdentityPolicy,
    default: bool,
}

impl Version<'_> {
    /// As answers carry it, with or without its document.
    pub fn shown(&self, document: bool) -> types::PolicyVersion {
        types::PolicyVersion {
            document: document.then(|| self.policy.encoded()),
            version_id: Some(format!("v{}", self.number)),
            is_default_version: Some(self.default),
            create_date: Some(self.created),
        }
    }
}

impl Readable {
    /// Answers the call.
    pub fn answer<O>(&self, output: O) -> Answer<O> {
        match self {
            Self::Own(allowed) => allowed.permit.answer(output),
            Self::Aws { permit, .. } => permit.answer(output),
        }
    }

    /// The account's state.
    pub fn view(&self) -> Account {
        match self {
            Self::Own(allowed) => allowed.view(),
            Self::Aws { ledger, permit, .. } => ledger.view(permit),
        }
    }

    /// Refuses where there is no such policy.
    ///
    /// # Errors
    /// `NoSuchEntity`.
    pub fn found(&self) -> Result<(), ServiceError> {
        match self {
            Self::Own(allowed) => allowed.found().map(drop),
            Self::Aws { policy: Some(_), .. } => Ok(()),
            Self::Aws { arn, .. } => Err(errors::no_such_policy(arn)),
        }
    }

    /// Its versions, the newest first.
    fn versions(&self) -> Vec<Version<'_>> {
        match self {
            Self::Own(allowed) => allowed.permit.as_deref().map_or_else(Vec::new, versions),
            Self::Aws { policy, .. } => policy.map_or_else(Vec::new, aws_versions),
        }
    }
}

/// A policy's versions, the newest first.
pub(crate) fn versions(policy: &Policy) -> Vec<Version<'_>> {
    let newest_first = policy.versions.iter().rev();
    newest_first
        .map(|version| Version {
            number: version.number,
            created: Timestamp::from_seconds(version.created),
            policy: &version.policy,
            default: version.number == policy.default,
        })
        .collect()
}

/// The versions of one of AWS's: its current one alone.
pub(crate) fn aws_versions(policy: &AwsPolicy) -> Vec<Version<'_>> {
    vec![Version {
        number: policy.version,
        created: policy.updated,
        policy: policy.policy(),
        default: true,
    }]
}

/// Resolves a policy by its ARN, the account's own or AWS's, and asks for the action on it.
///
/// # Errors
/// `AccessDenied`, for another account's policies too; those of a malformed ARN.
pub(crate) fn allow_any<O: TypedOperation>(
    iam: &Iam,
    call: &Call<O>,
    arn: &str,
) -> Result<Readable, ServiceError> {
    if PolicyArn::parse(arn)?.owner != PolicyOwner::Aws {
        return allow_own(iam, call, arn, |resolved| resolved).map(Readable::Own);
    }
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::new(arn, id, ()))?;
    Ok(Readable::Aws { ledger, permit, policy: aws_managed::find(arn), arn: arn.to_owned() })
}

fn counts(account: &Account, arn: &str) -> (i32, i32) {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    account.uses(arn).map_or((0, 0), |uses| (count(uses.attachments()), count(uses.boundaries())))
}

/// A policy as lists show it: without description and tags.
pub(crate) fn summary(account: &Account, policy: &Policy, id: AccountId) -> types::Policy {
    let arn = policy.arn(id);
    let (attachments, boundaries) = counts(account, &arn);
    types::Policy {
        policy_name: Some(policy.name.to_string()),
        policy_id: Some(policy.id.to_string()),
        arn: Some(arn),
        path: Some(policy.path.to_string()),
        default_version_id: Some(format!("v{}", policy.default)),
        attachment_count: Some(attachments),
        permissions_boundary_usage_count: Some(boundaries),
        is_attachable: Some(true),
        description: None,
        create_date: Some(Timestamp::from_seconds(policy.created)),
        update_date: Some(Timestamp::from_seconds(policy.updated)),
        tags: None,
    }
}

/// One of AWS's policies. Its description is not among the embedded facts.
pub(crate) fn aws_summary(account: &Account, policy: &AwsPolicy) -> types::Policy {
    let (attachments, boundaries) = counts(account, policy.arn);
    types::Policy {
        policy_name: Some(policy.name.to_string()),
        policy_id: Some(policy.id.clone()),
        arn: Some(policy.arn.to_owned()),
        path: Some(policy.path.clone()),
        default_version_id: Some(format!("v{}", policy.version)),
        attachment_count: Some(attachments),
        permissions_boundary_usage_count: Some(boundaries),
        is_attachable: Some(true),
        description: None,
        create_date: Some(policy.created),
        update_date: Some(policy.updated),
        tags: None,
    }
}

fn document(iam: &Iam, text: &str) -> Result<IdentityPolicy, ServiceError> {
    let policy = IdentityPolicy::parse_managed(text)?;
    if size(text) > iam.quotas.policy_size {
        return Err(errors::over_quota("PolicySize", iam.quotas.policy_size));
    }
    Ok(policy)
}

pub(crate) async fn create_policy(
    iam: &Iam,
    call: Call<ops::CreatePolicy>,
) -> Result<Answer<types::CreatePolicyResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let given = input.tags.as_deref().unwrap_or_default();
    let path = input.path.as_deref().unwrap_or("/");
    let target = || {
        Resolved::new(arn::of(Policy::KIND, id, path, &input.policy_name), id, ())
            .requesting_tags(pairs(given))
    };
    let permit = call.allow(target())?;
    if !given.is_empty() {
        call.allow_action("iam:TagPolicy", target())?;
    }
    let path = names::path(input.path.as_deref())?;
    let tags = tags::with(&Tags::new(), given, false, iam.quotas.tags)?;
    let document = document(iam, &input.policy_document)?;
    let now = call.now().seconds;
    let policy = Arc::new(Policy {
        name: input.policy_name.as_str().into(),
        path: shared_path(path),
        id: iam.unique_id(IdKind::ManagedPolicy)?,
        created: now,
        updated: now,
        description: input.description.as_deref().map(Into::into),
        versions: vec![PolicyVersion { number: 1, created: now, policy: document }],
        default: 1,
        next: 2,
        tags: shared_tags(tags),
    });
    ledger
        .write(&permit, |account, batch| {
            if Policy::find(account, &policy.name).is_some() {
                return Err(errors::policy_exists(&policy.name));
            }
            if account.policies.len() >= iam.quotas.policies {
                return Err(errors::over_quota("PoliciesPerAccount", iam.quotas.policies));
            }
            batch.put(Record::Policy(policy.clone()));
            Ok(())
        })
        .await?;
    let shown = types::Policy {
        tags: input.tags.clone().filter(|tags| !tags.is_empty()),
        ..summary(&ledger.view(&permit), &policy, id)
    };
    Ok(permit.answer(types::CreatePolicyResponse { policy: Some(shown) }))
}

pub(crate) async fn get_policy(
    iam: &Iam,
    call: Call<ops::GetPolicy>,
) -> Result<Answer<types::GetPolicyResponse>, ServiceError> {
    let readable = allow_any(iam, &call, &call.input.policy_arn)?;
    readable.found()?;
    let account = readable.view();
    let policy = match &readable {
        Readable::Own(allowed) => {
            let policy = allowed.found()?;
            types::Policy {
                description: policy.description.as_deref().map(str::to_owned),
                tags: Some(tags::listed(&policy.tags)),
                ..summary(&account, policy, allowed.id)
            }
        }
        Readable::Aws { policy, .. } => types::Policy {
            tags: Some(Vec::new()),
            ..policy.map_or_else(types::Policy::default, |p| aws_summary(&account, p))
        },
    };
    Ok(readable.answer(types::GetPolicyResponse { policy: Some(policy) }))
}

pub(crate) async fn delete_policy(
    iam: &Iam,
    call: Call<ops::DeletePolicy>,
) -> Result<Answer<Empty>, ServiceError> {
    let arn = &call.input.policy_arn;
    let allowed = allow_own(iam, &call, arn, |resolved| resolved)?;
    allowed.found()?;
    allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let policy = allowed.now(account)?;
            if account.uses(arn).is_some() {
                return Err(errors::conflict("Cannot delete a policy attached to entities."));
            }
            if policy.versions.len() > 1 {
                return Err(errors::conflict(
                    "This policy has more than one version. Before you delete a policy, you must \
                     delete the policy's versions. The default version is deleted with the policy.",
                ));
            }
            batch.delete(Account::key(&Record::Policy(policy.clone())));
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn list_policies(
    iam: &Iam,
    call: Call<ops::ListPolicies>,
) -> Result<Answer<types::ListPoliciesResponse>, ServiceError> {
    let input = &call.input;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let permit = allow_list::<Policy, _>(&call, prefix)?;
    let scope = input.scope.clone().unwrap_or(PolicyScopeType::All);
    let only_attached = input.only_attached.unwrap_or(false);
    let usage = input.policy_usage_filter.as_ref();
    let narrowed = [
        prefix,
        scope.as_str(),
        if only_attached { "attached" } else { "" },
        usage.map_or("", |usage| usage.as_str()),
    ];
    let pager = iam.pager(&call, &narrowed, input.marker.as_deref(), input.max_items)?;
    let account = ledger.view(&permit);
    let wanted = |policy: &types::Policy| {
        let attached = policy.attachment_count.unwrap_or(0) > 0;
        let bounds = policy.permissions_boundary_usage_count.unwrap_or(0) > 0;
        // A usage asks for policies used so; without one, any use is a use.
        let used = match usage {
            Some(PolicyUsageType::PermissionsPolicy) => attached,
            Some(PolicyUsageType::PermissionsBoundary) => bounds,
            _ => attached || bounds,
        };
        used || (usage.is_none() && !only_attached)
    };
    let own = account
        .policies
        .iter()
        .filter(|(_, policy)| scope != PolicyScopeType::AWS && policy.path.starts_with(prefix))
        .map(|(key, policy)| (format!("own/{key}"), summary(&account, policy, id)));
    let aws = aws_managed::all()
        .filter(|(_, policy)| scope != PolicyScopeType::Local && policy.path.starts_with(prefix))
        .map(|(key, policy)| (format!("aws/{key}"), aws_summary(&account, policy)));
    let page = pager.cut(aws.chain(own).filter(|(_, policy)| wanted(policy)))?;
    Ok(permit.answer(types::ListPoliciesResponse {
        is_truncated: page.truncated(),
        policies: Some(page.items),
        marker: page.marker,
    }))
}

pub(crate) async fn create_policy_version(
    iam: &Iam,
    call: Call<ops::CreatePolicyVersion>,
) -> Result<Answer<types::CreatePolicyVersionResponse>, ServiceError> {
    let input = &call.input;
    let allowed = allow_own(iam, &call, &input.policy_arn, |resolved| resolved)?;
    allowed.found()?;
    let document = document(iam, &input.policy_document)?;
    let now = call.now().seconds;
    let default = input.set_as_default.unwrap_or(false);
    let number = allowed
        .ledger
        .write(&allowed.permit, |account, batch| {
            let mut policy = Policy::clone(allowed.now(account)?);
            let number =
                add_version(&mut policy, &document, default, now, iam.quotas.policy_versions)?;
            batch.put(Record::Policy(Arc::new(policy)));
            Ok(number)
        })
        .await?;
    let version =
        Version { number, created: Timestamp::from_seconds(now), policy: &document, default };
    Ok(allowed
        .permit
        .answer(types::CreatePolicyVersionResponse { policy_version: Some(version.shown(false)) }))
}

fn add_version(
    policy: &mut Policy,
    document: &IdentityPolicy,
    default: bool,
    now: i64,
    limit: usize,
) -> Result<u32, ServiceError> {
    if policy.versions.len() >= limit {
        return Err(errors::too_many_versions(limit));
    }
    let number = policy.next;
    policy.next += 1;
    policy.versions.push(PolicyVersion { number, created: now, policy: document.clone() });
    policy.updated = now;
    if default {
        policy.default = number;
    }
    Ok(number)
}

/// The number of a version id, `v3`; `None` for forms that this server does not give out.
fn number(version_id: &str) -> Option<u32> {
    version_id.strip_prefix('v')?.parse().ok()
}

pub(crate) async fn get_policy_version(
    iam: &Iam,
    call: Call<ops::GetPolicyVersion>,
) -> Result<Answer<types::GetPolicyVersionResponse>, ServiceError> {
    let input = &call.input;
    let readable = allow_any(iam, &call, &input.policy_arn)?;
    let shown = readable
        .versions()
        .iter()
        .find(|version| number(&input.version_id) == Some(version.number))
        .map(|version| version.shown(true))
        .ok_or_else(|| errors::no_such_version(&input.policy_arn, &input.version_id))?;
    Ok(readable.answer(types::GetPolicyVersionResponse { policy_version: Some(shown) }))
}

pub(crate) async fn list_policy_versions(
    iam: &Iam,
    call: Call<ops::ListPolicyVersions>,
) -> Result<Answer<types::ListPolicyVersionsResponse>, ServiceError> {
    let input = &call.input;
    let readable = allow_any(iam, &call, &input.policy_arn)?;
    readable.found()?;
    let pager = iam.pager(&call, &[&input.policy_arn], input.marker.as_deref(), input.max_items)?;
    // The newest first: the key counts down.
    let versions = readable.versions();
    let entries = versions.iter().map(|v| (format!("{:010}", u32::MAX - v.number), v.shown(false)));
    let page = pager.cut(entries)?;
    Ok(readable.answer(types::ListPolicyVersionsResponse {
        is_truncated: page.truncated(),
        versions: Some(page.items),
        marker: page.marker,
    }))
}

pub(crate) async fn delete_policy_version(
    iam: &Iam,
    call: Call<ops::DeletePolicyVersion>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = allow_own(iam, &call, &input.policy_arn, |resolved| resolved)?;
    let missing = || errors::no_such_version(&input.policy_arn, &input.version_id);
    allowed.found().map_err(|_| missing())?;
    allowed
        .change(|_, policy| {
            let number = number(&input.version_id);
            let at = policy.versions.iter().position(|v| Some(v.number) == number);
            let at = at.ok_or_else(missing)?;
            if policy.versions[at].number == policy.default {
                return Err(errors::conflict("Cannot delete the default version of a policy."));
            }
            policy.versions.remove(at);
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn set_default_policy_version(
    iam: &Iam,
    call: Call<ops::SetDefaultPolicyVersion>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let allowed = allow_own(iam, &call, &input.policy_arn, |resolved| resolved)?;
    let missing = || errors::no_such_version(&input.policy_arn, &input.version_id);
    allowed.found().map_err(|_| missing())?;
    let now = call.now().seconds;
    allowed
        .change(|_, policy| {
            let number = number(&input.version_id)
                .filter(|number| policy.version(*number).is_some())
                .ok_or_else(missing)?;
            if policy.default == number {
                return Ok(false);
            }
            policy.default = number;
            policy.updated = now;
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{allowing, policy};

    #[test]
    fn a_version_number_is_not_used_twice_and_five_are_the_most() {
        let mut policy = policy("p");
        for expected in 2..=5 {
            let default = expected == 3;
            let made = add_version(&mut policy, &allowing("s3:*"), default, 9, 5).unwrap();
            assert_eq!(made, expected);
        }
        assert_eq!((policy.default, policy.updated), (3, 9));
        let refused = add_version(&mut policy, &allowing("s3:*"), true, 9, 5).unwrap_err();
        assert_eq!(refused.code, "LimitExceeded");
        policy.versions.retain(|version| version.number != 5);
        assert_eq!(add_version(&mut policy, &allowing("s3:*"), false, 9, 5).unwrap(), 6);
        let numbers: Vec<u32> = versions(&policy).iter().map(|version| version.number).collect();
        assert_eq!(numbers, [6, 4, 3, 2, 1]);
    }

    #[test]
    fn a_version_id_is_v_and_a_number() {
        assert_eq!(number("v3"), Some(3));
        for text in ["3", "v", "vx", "v3.a", "v99999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
