//! `GetWebIdentityToken`: a signed statement of who the caller is, for a service elsewhere.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html>
//!
//! The account's issuer and its keys are IAM's; here is what a token says.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html>

use crate::Sts;
use crate::callers::{self, Operation};
use crate::errors::{check_endpoint, cut, validation};
use crate::session_tags::SessionTags;
use ringfence_gateway::call::Answer;
use ringfence_gateway::{Call, Caller, Directory, Resolved, Session, Tags};
use ringfence_keyring::SigningAlgorithm;
use ringfence_model_sts::operations as ops;
use ringfence_model_sts::types::{
    GetWebIdentityTokenResponse, JWTPayloadSizeExceededException,
    OutboundWebIdentityFederationDisabledException, SessionDurationEscalationException,
};
use ringfence_policy::AccountId;
use ringfence_wire::shape::TimestampFormat;
use ringfence_wire::{ServiceError, Timestamp};
use serde_json::{Map, Value, json};

/// Seconds of a token, where the call does not say.
const SECONDS: i32 = 300;

/// Bytes of the longest payload. AWS names no figure; a token of this travels in a header.
const LONGEST_PAYLOAD: usize = 8192;

/// What AWS's own claims stand under.
const NAMESPACE: &str = "https://sts.amazonaws.com/";

/// Issues a token.
pub async fn get_web_identity_token(
    sts: &Sts,
    call: Call<ops::GetWebIdentityToken>,
) -> Result<Answer<GetWebIdentityTokenResponse>, ServiceError> {
    check_endpoint(&call.facts().host, "GetWebIdentityToken")?;
    callers::check(call.caller(), Operation::GetWebIdentityToken)?;
    // A token cannot be called back: who was lent a session would keep what is lent.
    if call.caller().session.as_ref().is_some_and(|session| session.delegation.is_some()) {
        return Err(crate::errors::session_credentials("GetWebIdentityToken"));
    }
    let input = &call.input;
    let (account, facts) = (call.account()?, call.facts());
    let algorithm = algorithm(&input.signing_algorithm)?;
    let tags = SessionTags::new(input.tags.as_deref().unwrap_or_default(), &[], None)?;
    let seconds = input.duration_seconds.unwrap_or(SECONDS);

    // The service reference has no resource for the action; policies that people have published name
    // `self`.
    let resolved = || {
        Resolved::new(format!("arn:aws:sts::{account}:self"), account, ())
            .keys("sts:IdentityTokenAudience", input.audience.clone())
            .key("sts:SigningAlgorithm", input.signing_algorithm.as_str())
            .key("sts:DurationSeconds", seconds.to_string())
            .requesting_tags(tags.passed.iter().map(|(key, value)| (&**key, &**value)))
    };
    let permit = call.allow(resolved())?;
    if !tags.is_empty() {
        call.allow_action("sts:TagGetWebIdentityToken", resolved())?;
    }

    let disabled = || {
        OutboundWebIdentityFederationDisabledException::error(
            "Outbound web identity federation is not enabled for this account.",
        )
    };
    let tokens = sts.tokens.as_ref().ok_or_else(disabled)?;
    let issuer = tokens.issuer(account).ok_or_else(disabled)?;
    let issued = call.now().seconds;
    let expires = issued.saturating_add(i64::from(seconds));
    check_session(call.caller().session.as_deref(), expires)?;
    let claims = Claims {
        issuer: &issuer,
        audience: &input.audience,
        caller: call.caller(),
        tags: &facts.authority.tags,
        request_tags: &tags.passed,
        region: &facts.region,
        issued,
        expires,
        id: uuid(&call)?,
    }
    .json(account, &*call.shared().directory)?;
    let token = tokens.sign(account, algorithm, &claims, issued).await?;
    Ok(permit.answer(GetWebIdentityTokenResponse {
        web_identity_token: Some(token.ok_or_else(disabled)?),
        expiration: Some(Timestamp::from_seconds(expires)),
    }))
}

fn algorithm(name: &str) -> Result<SigningAlgorithm, ServiceError> {
    match name {
        "RS256" => Ok(SigningAlgorithm::Rs256),
        "ES384" => Ok(SigningAlgorithm::Es384),
        other => Err(validation(format!(
            "1 validation error detected: Value '{}' at 'signingAlgorithm' failed to satisfy \
             constraint: Member must satisfy enum value set: [RS256, ES384]",
            cut(other)
        ))),
    }
}

/// A token must end with the session that asks for it, or before. The model's documentation.
fn check_session(session: Option<&Session>, expires: i64) -> Result<(), ServiceError> {
    if session.is_none_or(|session| expires <= session.expires) {
        return Ok(());
    }
    Err(SessionDurationEscalationException::error(
        "The requested token duration would extend the session beyond its original expiration \
         time.",
    ))
}

/// An identifier for one token.
fn uuid(call: &Call<ops::GetWebIdentityToken>) -> Result<String, ServiceError> {
    let mut bytes = [0; 16];
    call.shared().random.fill(&mut bytes).map_err(crate::errors::no_randomness)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// What a token is to say.
struct Claims<'a> {
    issuer: &'a str,
    audience: &'a [String],
    caller: &'a Caller,
    /// The principal's own.
    tags: &'a Tags,
    request_tags: &'a [(String, String)],
    region: &'a str,
    issued: i64,
    expires: i64,
    id: String,
}

impl Claims<'_> {
    /// The payload. Which claims there are, and their forms where the page leaves them open
    /// (`principal_id`, `original_session_exp`, `ou_path` as a list), is as tokens of AWS's show.
    ///
    /// # Errors
    /// `JWTPayloadSizeExceeded`.
    fn json(&self, account: AccountId, directory: &dyn Directory) -> Result<String, ServiceError> {
        let principal = self.caller.identity.principal_arn();
        let mut own = Map::new();
        own.insert("aws_account".into(), account.to_string().into());
        own.insert("source_region".into(), self.region.into());
        own.insert("principal_id".into(), principal.as_str().into());
        if let Some(organization) = directory.organization(account) {
            own.insert("org_id".into(), organization.into());
        }
        if let Some(path) = directory.organization_path(account) {
            own.insert("ou_path".into(), json!([path]));
        }
        let mut tags = self.tags.clone();
        if let Some(session) = &self.caller.session {
            // Session tags win over the principal's own, as in `aws:PrincipalTag`.
            tags.extend(session.tags.clone());
            let ends = Timestamp::from_seconds(session.expires);
            let ends = ends.format(TimestampFormat::DateTime);
            own.insert("original_session_exp".into(), ends.into());
            if let Some(source) = &session.source_identity {
                own.insert("source_identity".into(), source.as_str().into());
            }
            if let Some(federation) = &session.federation {
                own.insert("federated_provider".into(), federation.provider.as_str().into());
            }
        }
        if !tags.is_empty() {
            own.insert("principal_tags".into(), json!(tags));
        }
        if !self.request_tags.is_empty() {
            let tags: Tags = self.request_tags.iter().cloned().collect();
            own.insert("request_tags".into(), json!(tags));
        }
        let audience = match self.audience {
            [one] => Value::from(one.as_str()),
            many => json!(many),
        };
        let mut claims = json!({
            "aud": audience,
            "sub": principal,
            "iss": self.issuer,
            "exp": self.expires,
            "iat": self.issued,
            "jti": self.id,
        });
        claims[NAMESPACE] = own.into();
        let payload = claims.to_string();
        if payload.len() > LONGEST_PAYLOAD {
            return Err(JWTPayloadSizeExceededException::error(
                "The requested token payload size exceeds the maximum allowed size. Reduce the \
                 number of request tags.",
            ));
        }
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, FakeDirectory, NOW};
    use ringfence_gateway::{Federation, Identity};
    use std::sync::Arc;

    fn payload(
        caller: &Caller,
        audience: &[&str],
        tags: &[(&str, &str)],
        request_tags: &[(String, String)],
    ) -> Result<Value, ServiceError> {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let audience: Vec<String> = audience.iter().map(|one| (*one).to_owned()).collect();
        let claims = Claims {
            issuer: "https://issuer",
            audience: &audience,
            caller,
            tags: &tags.collect(),
            request_tags,
            region: "eu-west-1",
            issued: NOW,
            expires: NOW + 300,
            id: "id".into(),
        };
        let text = claims.json(testing::ACCOUNT, &FakeDirectory)?;
        Ok(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_users_token_says_who_it_is_and_little_else() {
        let caller = testing::long_term(testing::user());
        let arn = "arn:aws:iam::123456789012:user/dev/ana";
        assert_eq!(
            payload(&caller, &["https://a"], &[], &[]).unwrap(),
            json!({
                "iss": "https://issuer",
                "sub": arn,
                "aud": "https://a",
                "iat": NOW,
                "exp": NOW + 300,
                "jti": "id",
                "https://sts.amazonaws.com/": {
                    "aws_account": "123456789012",
                    "source_region": "eu-west-1",
                    "principal_id": arn,
                },
            })
        );
        let many = payload(&caller, &["a", "b"], &[], &[]).unwrap();
        assert_eq!(many["aud"], json!(["a", "b"]));
    }

    #[test]
    fn a_sessions_token_names_its_role_and_tells_of_the_session() {
        let session = Session {
            tags: [("Team".to_owned(), "b".to_owned())].into(),
            source_identity: Some("ana".into()),
            federation: Some(Federation { provider: "arn:p".into(), keys: Default::default() }),
            ..testing::session(testing::role_session())
        };
        let caller = Caller {
            session: Some(Arc::new(session)),
            ..testing::temporary(testing::role_session())
        };
        let asked = [("job".to_owned(), "7".to_owned())];
        let tags = [("Team", "a"), ("Env", "x")];
        let got = payload(&caller, &["a"], &tags, &asked).unwrap();
        let role = "arn:aws:iam::123456789012:role/ops/deployer";
        assert_eq!(got["sub"], role);
        assert_eq!(
            got["https://sts.amazonaws.com/"],
            json!({
                "aws_account": "123456789012",
                "source_region": "eu-west-1",
                "principal_id": role,
                "original_session_exp": "2023-11-14T22:28:20Z",
                "source_identity": "ana",
                "federated_provider": "arn:p",
                "principal_tags": {"Env": "x", "Team": "b"},
                "request_tags": {"job": "7"},
            })
        );
    }

    #[test]
    fn a_payload_that_no_header_takes_is_refused() {
        let caller = testing::long_term(testing::user());
        let tags = |count: usize| -> Vec<(String, String)> {
            (0..count).map(|i| (format!("{i:0128}"), "v".repeat(256))).collect()
        };
        assert!(payload(&caller, &["a"], &[], &tags(19)).is_ok());
        let refused = payload(&caller, &["a"], &[], &tags(21)).unwrap_err();
        assert_eq!(
            (refused.code.as_ref(), refused.status),
            ("JWTPayloadSizeExceededException", 400)
        );
    }

    #[test]
    fn a_token_ends_with_its_session_at_the_latest() {
        let session = testing::session(Identity::Root { account: testing::ACCOUNT });
        assert!(check_session(None, i64::MAX).is_ok());
        assert!(check_session(Some(&session), NOW + 900).is_ok());
        let refused = check_session(Some(&session), NOW + 901).unwrap_err();
        assert_eq!(
            (refused.code.as_ref(), refused.status),
            ("SessionDurationEscalationException", 403)
        );
    }

    #[test]
    fn two_algorithms_are_known() {
        assert_eq!(algorithm("RS256").unwrap(), SigningAlgorithm::Rs256);
        assert_eq!(algorithm("ES384").unwrap(), SigningAlgorithm::Es384);
        for name in ["HS256", "es384", "ES256", "none!"] {
            assert_eq!(algorithm(name).unwrap_err().code, "ValidationError", "{name}");
        }
    }
}
