//! The condition keys that follow from who asks and from the resource.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>

use super::principals::Of;
use super::{Account, Known, Role, Who};
use crate::compile::speaks_of;
use crate::document::Effect;
use crate::reference::{self, ConditionKey};
use crate::{AccountId, Principal};

impl Account {
    /// What is known of a request of one of the account's principals.
    pub fn known_for(
        &self,
        who: &Who<'_>,
        action: &str,
        resource: &str,
        resource_account: AccountId,
    ) -> Known {
        let mut known = self.known_at(action, resource, resource_account);
        known.set("aws:PrincipalAccount", self.id.to_string());
        known.set("aws:PrincipalIsAWSService", "false");
        known.close("aws:PrincipalServiceName");
        known.close("aws:PrincipalServiceNamesList");
        if is_of(action, "kms") {
            known.set("kms:CallerAccount", self.id.to_string());
        }
        let tag = |known: &mut Known, tags: &[(String, String)]| {
            for (key, value) in tags {
                known.set(format!("aws:PrincipalTag/{key}"), value.as_str());
            }
        };
        match (who.kind, &who.principal) {
            (Of::User(user), Principal::User { arn }) => {
                known.set("aws:PrincipalArn", arn.as_str());
                known.set("aws:PrincipalType", "User");
                known.set("aws:username", user.name.as_str());
                if let Some(id) = &user.id {
                    known.set("aws:userid", id.as_str());
                }
                tag(&mut known, &user.tags);
                known.close("aws:PrincipalTag/");
            }
            (Of::Role { role, arn, session }, Principal::AssumedRole { session_arn, .. }) => {
                known.set("aws:PrincipalArn", arn);
                known.set("aws:PrincipalType", "AssumedRole");
                known.close("aws:username");
                let name = session_arn.rsplit('/').next().unwrap_or_default();
                match &role.id {
                    Some(id) if session => known.set("aws:userid", format!("{id}:{name}")),
                    Some(id) => known.set_beginning("aws:userid", format!("{id}:"), name),
                    None => {}
                }
                if !session {
                    known.any_session_as(session_arn);
                }
                tag(&mut known, &role.tags);
                if lets_tag_sessions(role) {
                    // A session's own tags win over the role's.
                    // https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_know
                    known.likely("aws:PrincipalTag/");
                } else {
                    known.close("aws:PrincipalTag/");
                }
            }
            _ => {
                known.set("aws:PrincipalArn", self.root_arn());
                known.set("aws:PrincipalType", "Account");
                known.set("aws:userid", self.id.to_string());
                known.close("aws:username");
                known.close("aws:PrincipalTag/");
            }
        }
        known
    }

    /// What is known whoever asks.
    pub fn known_at(&self, action: &str, resource: &str, owner: AccountId) -> Known {
        let mut known = Known::default();
        known.set("aws:ResourceAccount", owner.to_string());
        if is_of(action, "s3") {
            known.set("s3:ResourceAccount", owner.to_string());
        }
        let user = self.users.get(resource).map(|user| &user.tags);
        let Some(tags) = user.or_else(|| self.roles.get(resource).map(|role| &role.tags)) else {
            return known;
        };
        let takes = |key: &str| takes(action, key);
        for (beginning, takes) in [
            ("aws:ResourceTag/", takes("aws:ResourceTag/${TagKey}")),
            ("iam:ResourceTag/", takes("iam:ResourceTag/${TagKey}")),
        ] {
            for (key, value) in tags.iter().filter(|_| takes) {
                known.set(format!("{beginning}{key}"), value.as_str());
            }
            known.close(beginning);
        }
        known
    }
}

fn is_of(action: &str, service: &str) -> bool {
    action.split_once(':').is_some_and(|(prefix, _)| prefix.eq_ignore_ascii_case(service))
}

/// Whether an action takes a condition key, by itself or by a type of its resources. One that the
/// reference does not know may take any.
fn takes(action: &str, key: &str) -> bool {
    let Some(action) = reference::action(action) else { return true };
    let is = |own: ConditionKey| own.name == key;
    action.condition_keys().any(is)
        || action
            .resource_types()
            .any(|of| of.condition_keys().any(is) || of.resource_type.condition_keys().any(is))
}

/// Whether anyone may give tags to sessions of a role.
fn lets_tag_sessions(role: &Role) -> bool {
    let allows = |s: &&crate::document::Statement| s.effect == Effect::Allow;
    role.trust.statements.iter().filter(allows).any(|s| speaks_of(s, "sts:TagSession"))
}
