//! `AssumeRole`: a session of a role that trusts the caller.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
//!
//! What the request alone tells is checked first; then the MFA code, which the decision looks at;
//! then the decision; and only then what the role and its account would tell of themselves.

use crate::Sts;
use crate::callers::{self, Credentials, Operation};
use crate::credentials::{self, Draft};
use crate::packed_size::PackedSize;
use crate::role_arn::RoleArn;
use crate::session_tags::SessionTags;
use crate::{durations, errors, mfa, session_policies, source_identity};
use ringfence_gateway::call::Answer;
use ringfence_gateway::directory::RoleFacts;
use ringfence_gateway::{Call, Identity, Resolved, SessionPolicies};
use ringfence_model_sts::operations as ops;
use ringfence_model_sts::types::{AssumeRoleRequest, AssumeRoleResponse, AssumedRoleUser};
use ringfence_policy::document::{Document, Version};
use ringfence_wire::ServiceError;
use std::sync::Arc;

/// Makes a session of a role. A role that is missing, is named by another path or belongs to a
/// service is answered for as one that trusts nobody.
pub async fn assume_role(
    _: &Sts,
    call: Call<ops::AssumeRole>,
) -> Result<Answer<AssumeRoleResponse>, ServiceError> {
    callers::check(call.caller(), Operation::AssumeRole)?;
    let input = &call.input;
    let shared = call.shared();
    let calling = call.caller().session.as_deref();
    if input.provided_contexts.as_ref().is_some_and(|contexts| !contexts.is_empty()) {
        return Err(errors::not_implemented("AssumeRole", "ProvidedContexts"));
    }

    let arn = RoleArn::parse(&input.role_arn)?;
    let chained = callers::credentials(call.caller()) != Credentials::LongTerm;
    let seconds = durations::of_role_session(input.duration_seconds, chained)?;
    let asked = Asked {
        tags: SessionTags::new(
            input.tags.as_deref().unwrap_or_default(),
            input.transitive_tag_keys.as_deref().unwrap_or_default(),
            calling,
        )?,
        source_identity: source_identity::resolve(input.source_identity.as_deref(), calling)?,
        policies: session_policies::read(input.policy.as_deref(), input.policy_arns.as_deref())?,
    };
    let packed_policy_size = asked.packed_size()?;
    let (serial, code) = (input.serial_number.as_deref(), input.token_code.as_deref());
    let mfa = mfa::check(&*shared.directory, call.caller(), serial, code, call.now()).await?;

    let role = arn.look_up(&*shared.directory);
    let resolved = || asked.resolved(input, &arn, role.as_ref(), mfa.is_some());
    let foreign = call.account()? != arn.account;
    let permission = |action| {
        call.allow_action(action, resolved()).map_err(|denied| match foreign {
            true => errors::to_another_account(denied, action),
            false => denied,
        })
    };
    let permit = permission("sts:AssumeRole")?;
    if !asked.tags.is_empty() {
        permission("sts:TagSession")?;
    }
    if asked.source_identity.is_some() {
        permission("sts:SetSourceIdentity")?;
    }
    // INVARIANT: a missing role trusts nobody, so a caller that was allowed has its role.
    let (Some(role), permit) = permit.take() else {
        tracing::error!("a role that is not there was allowed");
        return Err(ServiceError::internal());
    };
    durations::within_role_maximum(seconds, role.max_session_duration)?;
    if let Some(policies) = &asked.policies {
        session_policies::check_managed(policies, arn.account, &*shared.directory)?;
    }

    let identity = Identity::AssumedRole {
        account: arn.account,
        role_name: role.name.into(),
        role_path: role.path.into(),
        role_id: role.id.into(),
        session_name: input.role_session_name.as_str().into(),
    };
    let assumed_role_user =
        AssumedRoleUser { assumed_role_id: identity.user_id().into_owned(), arn: identity.arn() };
    let source_identity = asked.source_identity.clone();
    // The session does not tell of the MFA code: it decided who may assume the role, and no more.
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_mfa_configure-api-require.html
    let draft = Draft {
        tags: asked.tags.all(),
        transitive_tags: asked.tags.transitive(),
        policies: asked.policies,
        source_identity: asked.source_identity,
        chained,
        ..Draft::new(identity, arn.account, seconds)
    };
    let draft = draft.made_by(calling, shared.clock.now());
    let issued = credentials::issue(shared, draft, input.minimum_session_token_size)?;
    Ok(permit.answer(AssumeRoleResponse {
        credentials: Some(issued.credentials),
        assumed_role_user: Some(assumed_role_user),
        packed_policy_size,
        source_identity,
        session_token_utilization: Some(issued.token_utilization),
        session_token_size: Some(issued.token_size),
    }))
}

/// What a call asks its session to be.
struct Asked {
    tags: SessionTags,
    source_identity: Option<String>,
    policies: Option<SessionPolicies>,
}

impl Asked {
    /// The packed size in percent; `None` where there is nothing to pack.
    fn packed_size(&self) -> Result<Option<i32>, ServiceError> {
        if self.policies.is_none() && self.tags.is_empty() {
            return Ok(None);
        }
        let (inline, managed) = match &self.policies {
            Some(policies) => (policies.inline.as_deref(), &policies.managed[..]),
            None => (None, &[][..]),
        };
        let all = self.tags.all();
        let tags = all.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        PackedSize::of(inline, managed, tags).percent().map(Some)
    }

    /// The role as the decision sees it: its trust policy and tags, and the keys of the request.
    /// `aws:RequestTag` and `sts:TransitiveTagKeys` hold what *this* call passes; inherited tags are
    /// the calling session's own, `aws:PrincipalTag`.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#ck_transitivetagkeys>
    fn resolved(
        &self,
        input: &AssumeRoleRequest,
        arn: &RoleArn<'_>,
        role: Option<&RoleFacts>,
        mfa: bool,
    ) -> Resolved<Option<RoleFacts>> {
        let trust = match role {
            Some(role) => role.trust.clone(),
            None => Arc::new(trust_in_nobody()),
        };
        let passed = self.tags.passed.iter();
        let mut resolved = Resolved::new(input.role_arn.as_str(), arn.account, role.cloned())
            .trust(trust)
            .key("sts:RoleSessionName", input.role_session_name.as_str())
            .key_if("sts:ExternalId", input.external_id.as_deref())
            .key_if("sts:SourceIdentity", self.source_identity.as_deref())
            .requesting_tags(passed.map(|(key, value)| (key.as_str(), value.as_str())));
        if !self.tags.passed_transitive.is_empty() {
            resolved = resolved.keys("sts:TransitiveTagKeys", self.tags.passed_transitive.clone());
        }
        if mfa {
            resolved = resolved
                .key("aws:MultiFactorAuthPresent", "true")
                .key("aws:MultiFactorAuthAge", "0");
        }
        match role {
            Some(role) => resolved.tagged(&role.tags, Some("iam")),
            None => resolved,
        }
    }
}

/// The trust policy of a role that is not there.
fn trust_in_nobody() -> Document {
    Document::new(Version::V2012, None, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use ringfence_gateway::Session;

    fn asked(tags: SessionTags, policies: Option<SessionPolicies>) -> Asked {
        Asked { tags, source_identity: None, policies }
    }

    #[test]
    fn nothing_passed_packs_to_no_size_at_all() {
        assert_eq!(asked(SessionTags::default(), None).packed_size().unwrap(), None);
        let policies = Some(SessionPolicies { inline: None, managed: vec!["x".repeat(44)] });
        let got = asked(SessionTags::default(), policies).packed_size().unwrap();
        assert_eq!(got, Some(9));
    }

    #[test]
    fn inherited_tags_take_room_in_the_next_session() {
        let calling = Session {
            tags: [("Star".to_owned(), "1".repeat(450))].into(),
            transitive_tags: vec!["Star".into()],
            ..testing::session(testing::role_session())
        };
        let tags = SessionTags::new(&[], &[], Some(&calling)).unwrap();
        assert_eq!(asked(tags, None).packed_size().unwrap(), Some(99));
    }
}
