//! `DelegationPermissionCheck`: whether a caller may itself what a delegation request asks for.
//!
//! It is asked of the analysis of policies, over all requests at once: identity policies, boundary
//! and session policies must each allow whatever the request's permissions allow.

use crate::errors;
use ringfence_gateway::{CallFacts, Identity};
use ringfence_model_iam::types::PermissionCheckResultType;
use ringfence_policy::analyse::{Answer, check_no_new_access};
use ringfence_policy::document::Version;
use ringfence_policy::{AccountId, Document, Kind};
use ringfence_wire::ServiceError;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Checks at a time: one takes a second and more where policies are made for it.
static TURNS: Semaphore = Semaphore::const_new(2);

/// The accounts that have a check under way. Each has one, so that none can keep the others waiting,
/// nor heap up calls that wait: a call goes on when its client has gone.
static UNDER_WAY: Mutex<BTreeSet<AccountId>> = Mutex::new(BTreeSet::new());

/// A check that is under way, until it is dropped.
struct UnderWay(AccountId);

impl UnderWay {
    fn of(account: AccountId) -> Option<Self> {
        let mut all = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(account).then_some(Self(account))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// What the caller's own permissions say of the request's; `None` while another check of the account
/// is under way.
///
/// # Errors
/// `ServiceFailure` when the check was broken off.
pub(crate) async fn of(
    facts: &CallFacts,
    asked: &Arc<Document>,
) -> Result<Option<PermissionCheckResultType>, ServiceError> {
    let Some(account) = facts.caller.identity.account() else { return Ok(None) };
    let Some(under_way) = UnderWay::of(account) else { return Ok(None) };
    let authority = &facts.authority;
    let mut layers = Vec::new();
    if !matches!(facts.caller.identity, Identity::Root { .. }) {
        layers.push(authority.policies.iter().map(|one| one.document.clone()).collect());
    }
    layers.extend(authority.boundary.iter().map(|one| vec![one.document.clone()]));
    layers.extend(facts.session_documents());
    let asked = asked.clone();
    let _turn = TURNS.acquire().await.map_err(errors::failed)?;
    let checking = tokio::task::spawn_blocking(move || {
        let _under_way = under_way;
        covered(&layers, &asked)
    });
    checking.await.map(Some).map_err(errors::failed)
}

/// Whether every layer allows what is asked for.
fn covered(layers: &[Vec<Arc<Document>>], asked: &Document) -> PermissionCheckResultType {
    let mut result = PermissionCheckResultType::Allowed;
    for layer in layers {
        // What it says of variables differs between versions of the language.
        let old = layer.iter().any(|one| one.version == Version::V2008);
        let statements = layer.iter().flat_map(|one| one.statements.iter().cloned()).collect();
        let together = Document::new(Version::V2012, None, statements);
        let conditions = together.statements.iter().any(|one| !one.conditions.is_empty());
        match check_no_new_access(&together, asked, Kind::Identity) {
            Answer::Proved if !old => {}
            Answer::Counterexample(_) if !old && !conditions => {
                return PermissionCheckResultType::Denied;
            }
            _ => result = PermissionCheckResultType::Unsure,
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_policy::parse;

    fn policy(version: &str, statements: &str) -> Arc<Document> {
        let text = format!(r#"{{"Version":"{version}","Statement":[{statements}]}}"#);
        Arc::new(parse(&text, Kind::Identity).unwrap())
    }

    fn of(statements: &str) -> Arc<Document> {
        policy("2012-10-17", statements)
    }

    #[test]
    fn every_layer_must_allow_what_is_asked_for() {
        let all = of(r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#);
        let read = of(r#"{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}"#);
        let asked =
            of(r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}"#);
        let write = of(r#"{"Effect":"Allow","Action":"s3:PutObject","Resource":"*"}"#);
        let no = of(r#"{"Effect":"Deny","Action":"s3:*","Resource":"*"}"#);
        let mfa = of(
            r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}"#,
        );
        let old = policy("2008-10-17", r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#);
        for (layers, expected) in [
            (vec![], "ALLOWED"),
            (vec![vec![all.clone()]], "ALLOWED"),
            (vec![vec![write.clone(), read.clone()]], "ALLOWED"),
            (vec![vec![write.clone()]], "DENIED"),
            (vec![vec![]], "DENIED"),
            (vec![vec![all.clone(), no]], "DENIED"),
            (vec![vec![all.clone()], vec![write]], "DENIED"),
            (vec![vec![all.clone()], vec![read]], "ALLOWED"),
            (vec![vec![mfa.clone()]], "UNSURE"),
            (vec![vec![mfa], vec![]], "DENIED"),
            (vec![vec![old]], "UNSURE"),
        ] {
            assert_eq!(covered(&layers, &asked).as_str(), expected, "{layers:?}");
        }
    }
}
