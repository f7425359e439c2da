//! `GetFederationToken`: part of a user's rights for someone whom a broker knows by a name.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetFederationToken.html>

use crate::Sts;
use crate::callers::{self, Operation};
use crate::credentials::{self, Draft};
use crate::packed_size::PackedSize;
use crate::session_tags::SessionTags;
use crate::{durations, session_policies};
use ringfence_gateway::call::Answer;
use ringfence_gateway::{Call, Identity, Resolved};
use ringfence_model_sts::operations as ops;
use ringfence_model_sts::types::{FederatedUser, GetFederationTokenResponse};
use ringfence_wire::ServiceError;

/// Makes a federated user's session. It may what both its issuer's policies and its session policies
/// allow: without session policies, nothing but what resources' own policies grant it by name.
pub async fn get_federation_token(
    _: &Sts,
    call: Call<ops::GetFederationToken>,
) -> Result<Answer<GetFederationTokenResponse>, ServiceError> {
    callers::check(call.caller(), Operation::GetFederationToken)?;
    let account = call.account()?;
    let input = &call.input;
    let shared = call.shared();
    let issuer = call.caller().identity.clone();

    let tags = SessionTags::new(input.tags.as_deref().unwrap_or_default(), &[], None)?;
    let policies = session_policies::read(input.policy.as_deref(), input.policy_arns.as_deref())?
        .unwrap_or_default();
    let passed = || tags.passed.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let packed = PackedSize::of(policies.inline.as_deref(), &policies.managed, passed());
    let packed_policy_size = Some(packed.percent()?);

    let root = matches!(issuer, Identity::Root { .. });
    let seconds = durations::of_user_session(input.duration_seconds, root);
    let identity = Identity::FederatedUser {
        account,
        name: input.name.as_str().into(),
        issuer: Box::new(issuer),
    };
    let (arn, federated_user_id) = (identity.arn(), identity.user_id().into_owned());

    let resolved = || Resolved::new(arn.as_str(), account, ()).requesting_tags(passed());
    let permit = call.allow(resolved())?;
    if !tags.is_empty() {
        call.allow_action("sts:TagSession", resolved())?;
    }
    session_policies::check_managed(&policies, account, &*shared.directory)?;

    let draft = Draft {
        policies: Some(policies),
        tags: tags.all(),
        ..Draft::new(identity, account, seconds)
    };
    let issued = credentials::issue(shared, draft, input.minimum_session_token_size)?;
    Ok(permit.answer(GetFederationTokenResponse {
        credentials: Some(issued.credentials),
        federated_user: Some(FederatedUser { federated_user_id, arn }),
        packed_policy_size,
        session_token_utilization: Some(issued.token_utilization),
        session_token_size: Some(issued.token_size),
    }))
}
