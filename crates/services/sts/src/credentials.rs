//! Temporary credentials: a session, its access key, and the token that carries both.

use crate::errors::no_randomness;
use ringfence_gateway::ids::{self, IdKind};
use ringfence_gateway::{Delegation, Federation, Identity, Session, SessionPolicies, Shared};
use ringfence_model_sts::types::{Credentials, PackedPolicyTooLargeException};
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, Timestamp};
use std::collections::BTreeMap;

/// Bytes of the longest session token: it must travel in a header with room to spare.
const LONGEST_TOKEN: usize = 8192;

/// A session before it has an access key and a time.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Who the session is.
    pub identity: Identity,
    /// Its account, which the access key id carries: a role's own, not its caller's.
    pub account: AccountId,
    /// How long it lasts, in seconds.
    pub seconds: i32,
    /// What `aws:TokenIssueTime` is to be, where it is not the time at which it is made.
    pub issued: Option<i64>,
    /// What limits it.
    pub policies: Option<SessionPolicies>,
    /// Every session tag.
    pub tags: BTreeMap<String, String>,
    /// The keys of those that it hands on.
    pub transitive_tags: Vec<String>,
    /// The source identity.
    pub source_identity: Option<String>,
    /// When its caller showed an MFA code, where the session is to tell.
    pub mfa: Option<i64>,
    /// It was made with temporary credentials.
    pub chained: bool,
    /// The outside identity that it is issued to.
    pub federation: Option<Federation>,
    /// The delegation under which another account is to use it.
    pub delegation: Option<Delegation>,
    /// The task of a session of `AssumeRoot`.
    pub root_task: Option<String>,
}

impl Draft {
    /// A session that nothing limits or marks.
    pub fn new(identity: Identity, account: AccountId, seconds: i32) -> Self {
        Self {
            identity,
            account,
            seconds,
            issued: None,
            policies: None,
            tags: BTreeMap::new(),
            transitive_tags: Vec::new(),
            source_identity: None,
            mfa: None,
            chained: false,
            federation: None,
            delegation: None,
            root_task: None,
        }
    }

    /// What a session that is lent makes is lent as well: under the same delegation, and no longer
    /// than itself.
    pub fn made_by(mut self, calling: Option<&Session>, now: Timestamp) -> Self {
        let Some(session) = calling else { return self };
        if let Some(delegation) = &session.delegation {
            let left = session.expires.saturating_sub(now.seconds);
            self.seconds = self.seconds.min(i32::try_from(left).unwrap_or(i32::MAX));
            self.delegation = Some(delegation.clone());
        }
        self
    }

    /// The session that begins now under this access key.
    pub fn session(self, access_key_id: &str, now: Timestamp) -> Session {
        Session {
            identity: self.identity,
            access_key_id: access_key_id.to_owned(),
            issued: self.issued.unwrap_or(now.seconds),
            expires: now.seconds.saturating_add(i64::from(self.seconds)),
            policies: self.policies,
            tags: self.tags,
            transitive_tags: self.transitive_tags,
            source_identity: self.source_identity,
            mfa: self.mfa,
            chained: self.chained,
            federation: self.federation,
            delegation: self.delegation,
            root_task: self.root_task,
        }
    }
}

/// Credentials on their way to the caller, and how large their token is.
pub struct Issued {
    /// The credentials.
    pub credentials: Credentials,
    /// The token's size in bytes.
    pub token_size: i32,
    /// Its share of the longest token, in whole percent.
    pub token_utilization: i32,
}

/// Makes the credentials of a session. `least` is the size that the caller wants its token to have
/// at least, `MinimumSessionTokenSize`.
///
/// # Errors
/// `PackedPolicyTooLarge` where the token would not fit a header; an internal failure without
/// randomness.
pub fn issue(shared: &Shared, draft: Draft, least: Option<i32>) -> Result<Issued, ServiceError> {
    let random = &*shared.random;
    let access_key_id =
        ids::access_key_id(IdKind::SessionKey, draft.account, random).map_err(no_randomness)?;
    let secret = ids::secret_access_key(random).map_err(no_randomness)?;
    let session = draft.session(&access_key_id, shared.clock.now());
    let least = least.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    let token = shared.tokens.seal_at_least(&session, &secret, least)?;
    if token.len() > LONGEST_TOKEN {
        return Err(PackedPolicyTooLargeException::error("Serialized token too large for session"));
    }
    let token_size = token.len();
    Ok(Issued {
        credentials: Credentials {
            access_key_id,
            secret_access_key: secret.expose().to_owned(),
            session_token: token,
            expiration: Timestamp::from_seconds(session.expires),
        },
        // Both are at most the longest token's size.
        token_size: token_size as i32,
        token_utilization: (token_size * 100 / LONGEST_TOKEN) as i32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn credentials_open_to_the_session_that_they_were_made_for() {
        let shared = testing::shared();
        let draft = Draft {
            policies: Some(SessionPolicies::default()),
            tags: BTreeMap::from([("Team".into(), "a".into())]),
            transitive_tags: vec!["Team".into()],
            source_identity: Some("ana".into()),
            chained: true,
            ..Draft::new(testing::role_session(), testing::ACCOUNT, 900)
        };
        let issued = issue(&shared, draft.clone(), None).unwrap();
        let Credentials { access_key_id, secret_access_key, session_token, expiration } =
            issued.credentials;
        assert!(access_key_id.starts_with("ASIA") && access_key_id.len() == 20);
        assert_eq!(ids::account_of(&access_key_id), Some(testing::ACCOUNT));
        assert_eq!(expiration.seconds, testing::NOW + 900);
        assert_eq!(issued.token_size as usize, session_token.len());

        let (session, secret) = shared.tokens.open(&session_token).unwrap();
        assert!(secret.matches(secret_access_key.as_bytes()));
        let now = Timestamp::from_seconds(testing::NOW);
        assert_eq!(session, draft.session(&access_key_id, now));
        assert!(!session.is_expired(Timestamp::from_seconds(testing::NOW + 899)));
        assert!(session.is_expired(Timestamp::from_seconds(testing::NOW + 900)));
    }

    #[test]
    fn two_sessions_share_neither_key_nor_secret() {
        let shared = testing::shared();
        let draft = Draft::new(testing::user(), testing::ACCOUNT, 900);
        let first = issue(&shared, draft.clone(), None).unwrap().credentials;
        let second = issue(&shared, draft, None).unwrap().credentials;
        assert_ne!(first.access_key_id, second.access_key_id);
        assert_ne!(first.secret_access_key, second.secret_access_key);
    }

    #[test]
    fn a_token_is_at_least_as_large_as_its_caller_asks() {
        let shared = testing::shared();
        for least in [0, 1, 1500, 2047, 2048, 4096] {
            let draft = Draft::new(testing::user(), testing::ACCOUNT, 900);
            let issued = issue(&shared, draft, Some(least)).unwrap();
            assert!(issued.token_size >= least, "{} of {least}", issued.token_size);
            assert!(shared.tokens.open(&issued.credentials.session_token).is_some());
        }
    }

    #[test]
    fn a_token_that_no_header_takes_is_refused() {
        let shared = testing::shared();
        let draft = Draft {
            tags: BTreeMap::from([("k".into(), "v".repeat(7000))]),
            ..Draft::new(testing::user(), testing::ACCOUNT, 900)
        };
        let error = issue(&shared, draft, None).map(|_| ()).unwrap_err();
        assert_eq!(error.code, "PackedPolicyTooLarge");
    }
}
