//! Key policies: read, put, and kept from locking everybody out.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying.html>

use crate::policy::{KeyPolicy, NAME};
use crate::resolve::{self, By};
use crate::{Kms, errors};
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_kms::operations as ops;
use ringfence_model_kms::types;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, TypedOperation};

/// Whether a key may have this policy: it is not too long, and its caller can put another one later,
/// unless that check is passed over. `key` is the key as a decision on it sees it.
///
/// # Errors
/// `LimitExceededException`, `MalformedPolicyDocumentException`.
pub(crate) fn check<O: TypedOperation>(
    kms: &Kms,
    call: &Call<O>,
    policy: &KeyPolicy,
    key: Resolved<()>,
    bypass: bool,
) -> Result<(), ServiceError> {
    if policy.length() > kms.quotas.key_policy_size {
        return Err(errors::over_quota("Key policy is too long."));
    }
    let again = resolve::asking(key, call.account()?, call.facts())
        .key_policy(policy.document(&*call.shared().directory))
        .key("kms:BypassPolicyLockoutSafetyCheck", "false");
    if !bypass && !call.might("kms:PutKeyPolicy", &again) {
        return Err(errors::locked_out());
    }
    Ok(())
}

/// A key policy has one name.
fn named(name: Option<&str>) -> Result<(), ServiceError> {
    match name {
        None | Some(NAME) => Ok(()),
        Some(other) => Err(errors::no_such_policy(other)),
    }
}

pub(crate) async fn get_key_policy(
    kms: &Kms,
    call: Call<ops::GetKeyPolicy>,
) -> Result<Answer<types::GetKeyPolicyResponse>, ServiceError> {
    let input = &call.input;
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| found)?;
    allowed.of_own_account(call.account()?)?;
    let key = allowed.found()?;
    named(input.policy_name.as_deref())?;
    Ok(allowed.permit.answer(types::GetKeyPolicyResponse {
        policy: Some(key.policy.text(&*call.shared().directory).to_string()),
        policy_name: Some(NAME.to_owned()),
    }))
}

pub(crate) async fn put_key_policy(
    kms: &Kms,
    call: Call<ops::PutKeyPolicy>,
) -> Result<Answer<Empty>, ServiceError> {
    let input = &call.input;
    let bypass = input.bypass_policy_lockout_safety_check.unwrap_or_default();
    let allowed = kms.allow(&call, &input.key_id, By::Id, |found| {
        found.key("kms:BypassPolicyLockoutSafetyCheck", bypass.to_string())
    })?;
    let account = call.account()?;
    allowed.of_own_account(account)?;
    let arn = allowed.arn()?;
    named(input.policy_name.as_deref())?;
    let policy = KeyPolicy::parse(&input.policy, &*call.shared().directory)?;
    let own = allowed.found()?;
    let key = Resolved::new(arn, account, ()).tagged(&own.tags, None);
    let in_regions = own.in_regions(&allowed.home.region);
    let key = resolve::kind(key, own.spec, &own.usage, &own.origin, in_regions);
    check(kms, &call, &policy, key, bypass)?;
    allowed
        .change(|_, key| {
            key.policy = policy.clone();
            Ok(true)
        })
        .await?;
    Ok(allowed.permit.answer(Empty::default()))
}

pub(crate) async fn list_key_policies(
    kms: &Kms,
    call: Call<ops::ListKeyPolicies>,
) -> Result<Answer<types::ListKeyPoliciesResponse>, ServiceError> {
    let allowed = kms.allow(&call, &call.input.key_id, By::Id, |found| found)?;
    allowed.of_own_account(call.account()?)?;
    allowed.found()?;
    Ok(allowed.permit.answer(types::ListKeyPoliciesResponse {
        policy_names: Some(vec![NAME.to_owned()]),
        next_marker: None,
        truncated: Some(false),
    }))
}
