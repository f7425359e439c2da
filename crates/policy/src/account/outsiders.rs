//! Whom a resource's policy names beside the account's own principals: other accounts, services,
//! identities of providers, anyone.
//!
//! Each is asked for as what it stands for. The policies that another account has for its own
//! principals are not known, so these can at best if their account lets them.

use super::policies::{Policies, Source, Sourced};
use super::who_can::{Access, Also, Answer, Case, Question, Someone, SomeoneKind};
use super::{Account, Around, Known};
use crate::compile::speaks_of;
use crate::document::{Effect, Matching, PrincipalPattern, Statement, Version};
use crate::{AccountId, Arn, Document, Principal};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// What another account may have for its principals at best.
static ANYTHING: LazyLock<Document> = LazyLock::new(|| {
    let any = || vec!["*".to_owned()];
    let statement = Statement {
        sid: None,
        effect: Effect::Allow,
        principal: None,
        action: Matching::These(any()),
        resource: Some(Matching::These(any())),
        conditions: Vec::new(),
    };
    Document::new(Version::V2012, None, vec![statement])
});

pub(super) fn answers<'a>(
    account: &'a Account,
    around: &'a Around,
    question: &Question,
) -> Vec<Answer<'a>> {
    let Question { action, resource, resource_account, .. } = question;
    let policies = account.policies_at(around, action, resource, *resource_account);
    let Some((_, policy)) = policies.resource else { return Vec::new() };
    let mut out = Vec::new();
    for who in named(policy.document, action) {
        let Some((principal, mut known)) = as_asked(account, &who, question) else {
            // Requests of theirs cannot be told: that they are named has to do.
            if who.kind == SomeoneKind::CanonicalUser {
                let access = Access::Depends { on: Vec::new(), also: Some(Also::CanonicalUser) };
                out.push(Answer { who, access });
            }
            continue;
        };
        known = question.give(known);
        let mut policies = policies.clone();
        bind(account, around, &principal, &mut policies);
        let case = Case { principal: &principal, question, known: &known, policies: &policies };
        let foreign = principal.account().is_some_and(|own| own != account.id());
        let access = match (case.access(), foreign) {
            (Access::Allowed { .. }, true) => {
                Access::Depends { on: Vec::new(), also: Some(Also::OwnPolicies) }
            }
            (Access::Depends { on, .. }, true) => {
                Access::Depends { on, also: Some(Also::OwnPolicies) }
            }
            (access, _) => access,
        };
        out.push(Answer { who, access });
    }
    out
}

/// Adds what bears on an outsider beside the resource's policy.
fn bind<'a>(
    account: &'a Account,
    around: &'a Around,
    principal: &Principal,
    policies: &mut Policies<'a>,
) {
    match principal.account() {
        Some(own) if own == account.id() => {
            let levels = around.service_control.iter();
            policies.service_control =
                levels.map(|level| level.iter().map(Sourced::from).collect()).collect();
        }
        Some(_) => {
            let source = Source::Given("the policies of its own account");
            policies.identity = vec![Sourced { source, document: &ANYTHING, text: None }];
        }
        None => {}
    }
}

/// Whom the statements of a resource's policy let do something; and whom they spare where they deny
/// all others, since what is for anyone may be left to these.
fn named(document: &Document, action: &str) -> BTreeSet<Someone> {
    let mut out = BTreeSet::new();
    for statement in document.statements.iter().filter(|own| speaks_of(own, action)) {
        let patterns = match (&statement.principal, statement.effect) {
            (Some(Matching::These(patterns)), Effect::Allow)
            | (Some(Matching::AllBut(patterns)), Effect::Deny) => patterns.as_slice(),
            (Some(Matching::AllBut(_)), Effect::Allow) => &[PrincipalPattern::Anyone],
            (Some(Matching::These(_)), Effect::Deny) | (None, _) => &[],
        };
        out.extend(patterns.iter().filter_map(|pattern| {
            let (kind, text) = match pattern {
                PrincipalPattern::Anyone => (SomeoneKind::Anyone, "*".to_owned()),
                PrincipalPattern::Account(id) => (SomeoneKind::Account, id.to_string()),
                PrincipalPattern::Arn(arn) => (SomeoneKind::Outsider, arn.clone()),
                PrincipalPattern::Service(name) => (SomeoneKind::Service, name.clone()),
                PrincipalPattern::Federated(name) => (SomeoneKind::Federated, name.clone()),
                PrincipalPattern::CanonicalUser(id) => (SomeoneKind::CanonicalUser, id.clone()),
                // The account's own are asked for by their ids; others were deleted.
                PrincipalPattern::UniqueId(_) => return None,
            };
            Some(Someone { kind, text })
        }));
    }
    out
}

/// Someone as the engine knows them, and what is known of their requests. `None` for principals of the
/// account, who are asked for one by one, and for those of whom nothing can be told.
fn as_asked(account: &Account, who: &Someone, question: &Question) -> Option<(Principal, Known)> {
    let Question { action, resource, resource_account, .. } = question;
    let mut known = account.known_at(action, resource, *resource_account);
    let principal = match who.kind {
        SomeoneKind::Anyone => Principal::Anonymous,
        SomeoneKind::Service => {
            known.set("aws:PrincipalIsAWSService", "true");
            known.set("aws:PrincipalServiceName", who.text.as_str());
            known.close("aws:username");
            known.close("aws:PrincipalTag/");
            Principal::Service(who.text.clone())
        }
        SomeoneKind::Federated => Principal::Federated { provider: who.text.clone() },
        SomeoneKind::Account => Principal::Root(who.text.parse().ok()?),
        SomeoneKind::Outsider => outsider(&who.text, &mut known)?,
        _ => return None,
    };
    if let Some(own) = principal.account() {
        known.set("aws:PrincipalAccount", own.to_string());
        known.set("aws:PrincipalIsAWSService", "false");
        known.close("aws:PrincipalServiceName");
    }
    let asked_for = |own: AccountId| {
        own == account.id() && !matches!(principal, Principal::FederatedUser { .. })
    };
    (!principal.account().is_some_and(asked_for)).then_some((principal, known))
}

/// A user, role or session that a policy names by ARN.
fn outsider(text: &str, known: &mut Known) -> Option<Principal> {
    let arn = Arn::parse(text).ok()?;
    let (kind, path) = arn.resource.split_once('/')?;
    let (partition, account) = (arn.partition, arn.account);
    Some(match (arn.service, kind) {
        ("iam", "user") => {
            known.set("aws:PrincipalArn", text);
            known.set("aws:PrincipalType", "User");
            known.set("aws:username", path.rsplit('/').next().unwrap_or(path));
            Principal::User { arn: text.to_owned() }
        }
        ("iam", "role") => {
            known.set("aws:PrincipalArn", text);
            known.set("aws:PrincipalType", "AssumedRole");
            known.close("aws:username");
            let name = path.rsplit('/').next().unwrap_or(path);
            let session_arn = format!("arn:{partition}:sts::{account}:assumed-role/{name}/session");
            known.any_session_as(&session_arn);
            Principal::AssumedRole { role_arn: text.to_owned(), session_arn }
        }
        ("sts", "assumed-role") => {
            known.set("aws:PrincipalType", "AssumedRole");
            known.close("aws:username");
            let (name, _) = path.split_once('/')?;
            // The role's path is not known, so neither is `aws:PrincipalArn`.
            let role_arn = format!("arn:{partition}:iam::{account}:role/{name}");
            Principal::AssumedRole { role_arn, session_arn: text.to_owned() }
        }
        ("sts", "federated-user") => {
            known.set("aws:PrincipalArn", text);
            known.set("aws:PrincipalType", "FederatedUser");
            known.close("aws:username");
            Principal::FederatedUser { arn: text.to_owned(), user_arn: None }
        }
        _ => return None,
    })
}
