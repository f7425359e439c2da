//! What the calls have in common that nobody signs, and that an outside identity makes.

use crate::credentials::{self, Draft, Issued};
use crate::packed_size::PackedSize;
use crate::role_arn::RoleArn;
use crate::session_tags::SessionTags;
use crate::{durations, session_policies};
use ringfence_gateway::directory::RoleFacts;
use ringfence_gateway::{Call, Federation, Identity, Permit, Resolved, SessionPolicies};
use ringfence_model_sts::types::{AssumedRoleUser, InvalidIdentityTokenException};
use ringfence_policy::document::{Document, Version};
use ringfence_wire::{ServiceError, TypedOperation};
use std::sync::Arc;

/// `InvalidIdentityToken`.
pub fn invalid_token(message: impl Into<String>) -> ServiceError {
    InvalidIdentityTokenException::error(message)
}

/// What a proved call asks its session to be.
pub struct Asked<'a> {
    pub arn: RoleArn<'a>,
    pub role_arn: &'a str,
    pub session_name: &'a str,
    pub seconds: i32,
    pub policies: Option<SessionPolicies>,
    pub tags: SessionTags,
    pub source_identity: Option<String>,
    pub federation: Federation,
    pub least_token: Option<i32>,
}

/// The session that was given.
pub struct Given {
    pub permit: Permit<()>,
    pub issued: Issued,
    pub user: AssumedRoleUser,
    pub packed_policy_size: Option<i32>,
    pub source_identity: Option<String>,
}

/// Asks the role's trust policy, and issues the session. `keys` adds the condition keys of the
/// provider. A role that is missing is answered for as one that trusts nobody.
///
/// # Errors
/// `AccessDenied` in AWS's short words for such calls; those of the policies and the duration.
pub fn assume<O: TypedOperation>(
    call: &Call<O>,
    asked: Asked<'_>,
    action: &'static str,
    keys: impl Fn(Resolved<Option<RoleFacts>>) -> Resolved<Option<RoleFacts>>,
) -> Result<Given, ServiceError> {
    let shared = call.shared();
    let packed_policy_size = asked.packed_size()?;
    let role = asked.arn.look_up(&*shared.directory);
    let resolved = || keys(asked.resolved(role.as_ref()));
    let permit = call.allow_action(action, resolved())?;
    if !asked.tags.is_empty() {
        call.allow_action("sts:TagSession", resolved())?;
    }
    if asked.source_identity.is_some() {
        call.allow_action("sts:SetSourceIdentity", resolved())?;
    }
    // INVARIANT: a missing role trusts nobody, so a caller that was allowed has its role.
    let (Some(role), permit) = permit.take() else {
        tracing::error!("a role that is not there was allowed");
        return Err(ServiceError::internal());
    };
    durations::within_role_maximum(asked.seconds, role.max_session_duration)?;
    let account = asked.arn.account;
    if let Some(policies) = &asked.policies {
        session_policies::check_managed(policies, account, &*shared.directory)?;
    }
    let identity = Identity::AssumedRole {
        account,
        role_name: role.name.into(),
        role_path: role.path.into(),
        role_id: role.id.into(),
        session_name: asked.session_name.into(),
    };
    let user =
        AssumedRoleUser { assumed_role_id: identity.user_id().into_owned(), arn: identity.arn() };
    let source_identity = asked.source_identity.clone();
    let draft = Draft {
        tags: asked.tags.all(),
        transitive_tags: asked.tags.transitive(),
        policies: asked.policies,
        source_identity: asked.source_identity,
        federation: Some(asked.federation),
        ..Draft::new(identity, account, asked.seconds)
    };
    let issued = credentials::issue(shared, draft, asked.least_token)?;
    Ok(Given { permit, issued, user, packed_policy_size, source_identity })
}

impl Asked<'_> {
    /// The packed size in percent; `None` where there is nothing to pack.
    fn packed_size(&self) -> Result<Option<i32>, ServiceError> {
        if self.policies.is_none() && self.tags.is_empty() {
            return Ok(None);
        }
        let (inline, managed) = match &self.policies {
            Some(policies) => (policies.inline.as_deref(), &policies.managed[..]),
            None => (None, &[][..]),
        };
        let passed = self.tags.passed.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        PackedSize::of(inline, managed, passed).percent().map(Some)
    }

    /// The role as the decision sees it.
    fn resolved(&self, role: Option<&RoleFacts>) -> Resolved<Option<RoleFacts>> {
        let trust = match role {
            Some(role) => role.trust.clone(),
            None => Arc::new(Document::new(Version::V2012, None, Vec::new())),
        };
        let passed = self.tags.passed.iter();
        let mut resolved = Resolved::new(self.role_arn, self.arn.account, role.cloned())
            .trust(trust)
            .key("sts:RoleSessionName", self.session_name)
            .key_if("sts:SourceIdentity", self.source_identity.as_deref())
            .requesting_tags(passed.map(|(key, value)| (key.as_str(), value.as_str())));
        if !self.tags.passed_transitive.is_empty() {
            resolved = resolved.keys("sts:TransitiveTagKeys", self.tags.passed_transitive.clone());
        }
        match role {
            Some(role) => resolved.tagged(&role.tags, Some("iam")),
            None => resolved,
        }
    }
}
