//! Who calls: the signature, the key behind it, the session behind that.
//!
//! The order of the checks is the order of what may be learned. What the request says of itself
//! (scope, time) is judged first, then the key, then the signature; only a caller with the right
//! secret hears whether a session has ended or its principal is gone.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>

use crate::caller::{Caller, Identity, Session};
use crate::clock::{Clock, SystemClock};
use crate::directory::Authority;
use crate::errors::{expired_token, invalid_client_token};
use crate::gateway::World;
use crate::ids::{IdKind, account_of};
use ringfence_policy::AccountId;
use ringfence_policy::regions::is_region;
use ringfence_wire::ServiceError;
use ringfence_wire::service::{Auth, Operation, Service};
use ringfence_wire::sigv4::{Algorithm, PathRule, Received, Signature, hex_sha256};
use std::sync::Arc;

/// A request whose signature is to be checked.
pub(crate) struct Claim<'a> {
    pub service: &'static Service,
    pub operation: Option<&'static Operation>,
    pub received: Received<'a>,
    pub body: &'a [u8],
    pub signature: &'a Signature<'a>,
}

/// The region where a global service is signed for.
/// <https://docs.aws.amazon.com/general/latest/gr/iam-service.html>
pub(crate) const GLOBAL_REGION: &str = "us-east-1";

/// Finds out who signed.
///
/// # Errors
/// `SignatureDoesNotMatch`, `InvalidClientTokenId`, `ExpiredToken`: see the module.
pub(crate) fn authenticate(
    world: &World,
    claim: &Claim<'_>,
) -> Result<(Caller, Authority), ServiceError> {
    world.tenure()?;
    let signature = claim.signature;
    check_scope(claim.service, signature)?;
    // The caller's clock is compared with the machine's: moving the time of what is stored must not
    // shut out every client.
    signature.check_time(SystemClock.now())?;
    let mut caller = if let Some(account) = world.relaxed_root(&signature.access_key_id) {
        let identity = Identity::Root { account };
        Caller { identity, access_key_id: signature.access_key_id.as_ref().into(), session: None }
    } else if signature.access_key_id.starts_with(IdKind::SessionKey.prefix()) {
        temporary(world, claim)?
    } else {
        long_term(world, claim)?
    };
    let authority = world.shared.directory.authority(&caller.identity);
    let authority = authority.ok_or_else(invalid_client_token)?;
    if let Some(path) = &authority.path {
        caller.identity.moved_to(path);
    }
    Ok((caller, authority))
}

/// The account whose root user an access key id names in `--dev`: twelve digits are that account,
/// anything that does not look like AWS's own is the default account.
pub(crate) fn relaxed_root(access_key_id: &str, default: AccountId) -> Option<AccountId> {
    let looks_like_aws = [IdKind::AccessKey, IdKind::SessionKey]
        .iter()
        .any(|kind| access_key_id.starts_with(kind.prefix()));
    if looks_like_aws {
        return None;
    }
    let digits = access_key_id.len() == 12 && access_key_id.bytes().all(|b| b.is_ascii_digit());
    let named = digits.then(|| access_key_id.parse().ok()).flatten();
    Some(named.unwrap_or(default))
}

/// A key of a user or of root.
fn long_term(world: &World, claim: &Claim<'_>) -> Result<Caller, ServiceError> {
    let id = &claim.signature.access_key_id;
    let key = world.shared.directory.access_key(id).filter(|key| key.active);
    // A session token belongs to a key of its own, and never to this one.
    let Some(key) = key.filter(|_| claim.signature.token.is_none()) else {
        world.keys.forget(id);
        return Err(invalid_client_token());
    };
    verify(world, claim, key.secret.expose())?;
    Ok(Caller { identity: key.owner, access_key_id: id.as_ref().into(), session: None })
}

/// A key that came with a session token: the token holds the session, and is bound to the key.
fn temporary(world: &World, claim: &Claim<'_>) -> Result<Caller, ServiceError> {
    let signature = claim.signature;
    let token = signature.token.as_deref().ok_or_else(invalid_client_token)?;
    let (session, secret) = world.shared.tokens.open(token).ok_or_else(invalid_client_token)?;
    if session.access_key_id != signature.access_key_id {
        return Err(invalid_client_token());
    }
    verify(world, claim, secret.expose())?;
    if session.is_expired(world.shared.clock.now()) {
        world.keys.forget(&signature.access_key_id);
        return Err(expired_token());
    }
    if is_iams(claim.service, claim.operation) && is_closed_to_iam(&session) {
        return Err(invalid_client_token());
    }
    if let Some(delegation) = &session.delegation
        && world.shared.directory.delegation(delegation).is_none()
    {
        return Err(invalid_client_token());
    }
    Ok(Caller {
        identity: session.identity.clone(),
        access_key_id: signature.access_key_id.as_ref().into(),
        session: Some(Arc::new(session)),
    })
}

/// Whether an operation is IAM's: by its service, or by the action that it asks for, as those are by
/// which security keys are registered.
fn is_iams(service: &Service, operation: Option<&Operation>) -> bool {
    let action = operation.and_then(|operation| operation.authorization.actions.first());
    service.signing_name == "iam" || action.is_some_and(|action| action.starts_with("iam:"))
}

/// IAM does not take the sessions of `GetFederationToken`, nor those of `GetSessionToken` that no
/// MFA code was shown for.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html>
fn is_closed_to_iam(session: &Session) -> bool {
    session.delegation.is_none()
        && match session.identity {
            Identity::FederatedUser { .. } => true,
            // `AssumeRoot` is there for IAM's tasks, among others.
            Identity::Root { .. } if session.root_task.is_some() => false,
            Identity::User { .. } | Identity::Root { .. } => session.mfa.is_none(),
            Identity::AssumedRole { .. } | Identity::Anonymous => false,
        }
}

/// The scope must name the service that is called, and a region where it is.
fn check_scope(service: &Service, signature: &Signature<'_>) -> Result<(), ServiceError> {
    let refuse = |message: String| Err(ServiceError::new("SignatureDoesNotMatch", 403, message));
    if signature.service != service.signing_name {
        return refuse(format!(
            "Credential should be scoped to correct service: '{}'. ",
            service.signing_name
        ));
    }
    let valid = match signature.algorithm {
        Algorithm::V4 if service.global => signature.region == GLOBAL_REGION,
        Algorithm::V4 => is_region(&signature.region),
        // Its set of regions must hold the one that the call is decided for.
        Algorithm::V4a => signature.covers_region(GLOBAL_REGION),
    };
    if !valid {
        return refuse("Credential should be scoped to a valid region. ".into());
    }
    Ok(())
}

fn verify(world: &World, claim: &Claim<'_>, secret: &str) -> Result<(), ServiceError> {
    let is_s3 = claim.service.id == "S3";
    let rule = if is_s3 { PathRule::S3 } else { PathRule::Normalized };
    let unsigned_payload =
        is_s3 || claim.operation.is_some_and(|op| op.auth == Auth::SigV4UnsignedPayload);
    let hash = hex_sha256(claim.body);
    claim.signature.verify(&claim.received, secret, &world.keys, rule, &hash, unsigned_payload)
}

/// Whether a claimed access key id has the form of one, so that it may be recorded.
pub(crate) fn is_access_key_id(claimed: &str) -> bool {
    account_of(claimed).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_dev_a_key_that_does_not_look_like_awss_is_a_root_user() {
        let default = AccountId::new(0).unwrap();
        for (id, account) in [
            ("111122223333", Some("111122223333")),
            ("000000000001", Some("000000000001")),
            ("test", Some("000000000000")),
            ("12345678901", Some("000000000000")),
            ("1234567890123", Some("000000000000")),
            ("AKIAIOSFODNN7EXAMPLE", None),
            ("ASIA", None),
        ] {
            let found = relaxed_root(id, default).map(|account| account.to_string());
            assert_eq!(found.as_deref(), account, "{id}");
        }
    }
}
