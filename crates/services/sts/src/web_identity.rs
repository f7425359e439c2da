//! `AssumeRoleWithWebIdentity`: a session of a role that trusts the issuer of a token.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
//!
//! Nobody signs the call: the token says who calls. What a caller hears before its token is
//! verified is what AWS tells as well: that the role's account does not know the issuer, or that
//! the issuer's keys are not to be had. Times, audience and claims are judged after the signature.

use crate::Sts;
use crate::federated::{self, Asked, invalid_token};
use crate::oidc::{Claims, NoKeys, Token, Trusted};
use crate::role_arn::RoleArn;
use crate::{durations, errors, session_policies, token_tags};
use ringfence_gateway::call::Answer;
use ringfence_gateway::{Call, Federated, FederatedKind, Federation, OidcProvider, Resolved};
use ringfence_model_sts::operations as ops;
use ringfence_model_sts::types::{
    AssumeRoleWithWebIdentityRequest, AssumeRoleWithWebIdentityResponse, ExpiredTokenException,
    IDPCommunicationErrorException,
};
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, TypedOperation as _};
use std::collections::BTreeMap;

/// Seconds that an issuer's clock may be off.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_oidc.html>
const SKEW: i64 = 300;

/// Characters of a subject, as the answer carries it, and of an audience.
const LONGEST: usize = 255;

/// The claims that every provider's condition keys are made of. `email` is undocumented:
/// <https://repost.aws/questions/QUX1SlRBh8TaqOYKoSISv2Mw>
const COMMON: &[&str] = &["amr", "email"];

/// The issuers that AWS knows without a provider of the account. They are their own principals.
const BUILT_IN: &[&str] = &["accounts.google.com", "cognito-identity.amazonaws.com"];

/// Makes a session of a role.
pub async fn assume_role_with_web_identity(
    sts: &Sts,
    call: Call<ops::AssumeRoleWithWebIdentity>,
) -> Result<Answer<AssumeRoleWithWebIdentityResponse>, ServiceError> {
    let input = &call.input;
    if input.provider_id.is_some() {
        return Err(errors::not_implemented("AssumeRoleWithWebIdentity", "ProviderId"));
    }
    let arn = RoleArn::parse(&input.role_arn)?;
    let seconds = durations::of_role_session(input.duration_seconds, false)?;
    let policies = session_policies::read(input.policy.as_deref(), input.policy_arns.as_deref())?;
    let verified = Verified::of(sts, &call, input, arn.account).await?;
    call.prove(verified.federated(arn.account))?;
    let asked = Asked {
        arn,
        role_arn: &input.role_arn,
        session_name: &input.role_session_name,
        seconds,
        policies,
        tags: token_tags::of(&verified.claims)?,
        source_identity: token_tags::source_identity(&verified.claims)?,
        federation: verified.federation(),
        least_token: input.minimum_session_token_size,
    };
    let keys = verified.keys();
    let given = federated::assume(&call, asked, "sts:AssumeRoleWithWebIdentity", |resolved| {
        keys.iter().fold(resolved, |resolved, (key, values)| resolved.provider_key(key, values))
    })?;
    Ok(given.permit.answer(AssumeRoleWithWebIdentityResponse {
        credentials: Some(given.issued.credentials),
        subject_from_web_identity_token: Some(verified.subject),
        assumed_role_user: Some(given.user),
        packed_policy_size: given.packed_policy_size,
        provider: Some(verified.provider.principal),
        audience: Some(verified.audience),
        source_identity: given.source_identity,
        session_token_utilization: Some(given.issued.token_utilization),
        session_token_size: Some(given.issued.token_size),
    }))
}

/// An issuer that the role's account trusts.
struct Provider {
    /// As policies name it: its ARN, or a host name.
    principal: String,
    /// What its condition keys begin with: the issuer without its scheme.
    name: String,
    /// The audiences that it takes; `None` where conditions alone decide.
    client_ids: Option<Vec<String>>,
}

/// A token that its issuer signed, and that is for here and now.
struct Verified {
    provider: Provider,
    claims: Claims,
    subject: String,
    audience: String,
    /// `aud` where `azp` takes its place.
    other_audience: Option<String>,
}

impl Verified {
    /// Verifies the token of a call.
    ///
    /// # Errors
    /// `InvalidIdentityToken`, `ExpiredTokenException`, `IDPCommunicationError`.
    async fn of(
        sts: &Sts,
        call: &Call<ops::AssumeRoleWithWebIdentity>,
        input: &AssumeRoleWithWebIdentityRequest,
        account: AccountId,
    ) -> Result<Self, ServiceError> {
        let token = Token::parse(&input.web_identity_token).map_err(|_| {
            invalid_token(
                "The ID Token provided is not a valid JWT. (You may see this error if you sent an \
                 Access Token)",
            )
        })?;
        let issuer = token.claimed_issuer().ok_or_else(|| missing("iss"))?;
        let name = issuer.split_once("://").map_or(issuer, |(_, name)| name);
        let known = call.shared().directory.oidc_provider(account, name);
        let known = known.filter(|provider| provider.issuer == issuer);
        let (provider, trusted) = match known {
            Some(known) => of_account(known, name),
            None => built_in(issuer).ok_or_else(|| {
                invalid_token(format!(
                    "No OpenIDConnect provider found in your account for {}",
                    errors::cut(issuer)
                ))
            })?,
        };
        let keys = sts.issuers.keys(&trusted, &token).await.map_err(|why| match why {
            NoKeys::Unknown => invalid_token(
                "Couldn't retrieve verification key from your identity provider,  please \
                 reference AssumeRoleWithWebIdentity documentation for requirements",
            ),
            NoKeys::Unreachable => IDPCommunicationErrorException::error(
                "The identity provider that was asked to verify the incoming identity token could \
                 not be reached.",
            ),
        })?;
        let claims = token
            .verified(&keys)
            .ok_or_else(|| invalid_token("The signature of the token is not valid"))?;
        check_times(&claims, call.shared().clock.now().seconds)?;
        Self::judged(provider, claims)
    }

    /// Looks at whom the token is of and for.
    fn judged(provider: Provider, claims: Claims) -> Result<Self, ServiceError> {
        let bounded = |text: &&str| !text.is_empty() && text.chars().count() <= LONGEST;
        let subject = claims.text("sub").filter(bounded).ok_or_else(|| missing("sub"))?.to_owned();
        let incorrect = || invalid_token("Incorrect token audience");
        let audiences = claims.audiences().ok_or_else(|| missing("aud"))?;
        // The party that a token was issued to, where it says so, stands for the audience: AWS then
        // has what `aud` says under `oaud`, for Google. Of several audiences none can stand for it.
        let authorized = claims.text("azp");
        let audience = match (authorized, &audiences[..]) {
            (Some(party), _) => party,
            (None, [one]) => one,
            (None, _) => return Err(incorrect()),
        };
        let taken = provider
            .client_ids
            .as_ref()
            .is_none_or(|clients| clients.iter().any(|client| client == audience));
        if !taken || !bounded(&audience) {
            return Err(incorrect());
        }
        let audience = audience.to_owned();
        let google = provider.name == BUILT_IN[0];
        let other_audience = authorized
            .filter(|_| google)
            .and_then(|_| audiences.first())
            .map(|other| (*other).to_owned());
        Ok(Self { provider, subject, audience, other_audience, claims })
    }

    /// Who calls.
    fn federated(&self, account: AccountId) -> Federated {
        let provider = &self.provider.principal;
        Federated {
            kind: FederatedKind::WebIdentity,
            provider: provider.clone(),
            account,
            principal_id: format!("{provider}:{}:{}", self.audience, self.subject),
            user_name: self.subject.clone(),
            identity_provider: provider.clone(),
        }
    }

    /// The provider's condition keys.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif>
    fn keys(&self) -> BTreeMap<String, Vec<String>> {
        let name = &self.provider.name;
        let mut keys = BTreeMap::new();
        let specific = ops::AssumeRoleWithWebIdentity::OPERATION
            .authorization
            .condition_keys
            .iter()
            .filter_map(|key| key.split_once(':'))
            .filter(|(issuer, _)| is_of(issuer, name))
            .map(|(_, claim)| claim);
        for claim in specific.chain(COMMON.iter().copied()) {
            if let Some(values) = self.claims.values(claim) {
                keys.insert(format!("{name}:{claim}"), values);
            }
        }
        keys.insert(format!("{name}:aud"), vec![self.audience.clone()]);
        keys.insert(format!("{name}:sub"), vec![self.subject.clone()]);
        if let Some(other) = &self.other_audience {
            keys.insert(format!("{name}:oaud"), vec![other.clone()]);
        }
        keys
    }

    /// What the session keeps: later policies may look at these.
    fn federation(&self) -> Federation {
        let lasting = ["aud", "sub", "amr"].map(|key| format!("{}:{key}", self.provider.name));
        let mut keys = self.keys();
        keys.retain(|key, _| lasting.contains(key));
        Federation { provider: self.provider.principal.clone(), keys }
    }
}

fn of_account(known: OidcProvider, name: &str) -> (Provider, Trusted) {
    let provider = Provider {
        principal: known.arn,
        name: name.to_owned(),
        client_ids: Some(known.client_ids),
    };
    let OidcProvider { id, issuer, thumbprints, .. } = known;
    (provider, Trusted { by: id, issuer, thumbprints })
}

fn built_in(issuer: &str) -> Option<(Provider, Trusted)> {
    // Google's tokens name it either way.
    let name = issuer.strip_prefix("https://").unwrap_or(issuer);
    let name = BUILT_IN.iter().find(|known| **known == name)?;
    let provider = Provider { principal: (*name).into(), name: (*name).into(), client_ids: None };
    let issuer = format!("https://{name}");
    Some((provider, Trusted { by: String::new(), issuer, thumbprints: Vec::new() }))
}

/// Whether the issuer of a condition key of the service reference is this one:
/// `token.actions.${Domain}.ghe.com`.
fn is_of(pattern: &str, name: &str) -> bool {
    match pattern.split_once("${") {
        None => pattern.eq_ignore_ascii_case(name),
        Some((before, rest)) => {
            let Some(((_, after), tail)) =
                rest.split_once('}').zip(name.get(before.len()..)).filter(|_| {
                    name.get(..before.len()).is_some_and(|head| head.eq_ignore_ascii_case(before))
                })
            else {
                return false;
            };
            let variable = tail.len().checked_sub(after.len()).filter(|length| *length > 0);
            variable.is_some_and(|length| {
                tail.is_char_boundary(length)
                    && tail[length..].eq_ignore_ascii_case(after)
                    && !tail[..length].contains('/')
            })
        }
    }
}

fn missing(claim: &str) -> ServiceError {
    invalid_token(format!("Missing a required claim: {claim}"))
}

/// Checks when the token was issued, begins and ends.
fn check_times(claims: &Claims, now: i64) -> Result<(), ServiceError> {
    let ends = claims.time("exp").ok_or_else(|| missing("exp"))?;
    let issued = claims.time("iat").ok_or_else(|| missing("iat"))?;
    if now >= ends.saturating_add(SKEW) {
        return Err(ExpiredTokenException::error(format!(
            "Token expired: current date/time {now} must be before the expiration date/time{ends}"
        )));
    }
    let begins = match claims.get("nbf") {
        None => issued,
        Some(_) => claims.time("nbf").ok_or_else(|| missing("nbf"))?.max(issued),
    };
    if now < begins.saturating_sub(SKEW) {
        return Err(invalid_token(format!(
            "Token is not yet valid: current date/time {now} must be after {begins}"
        )));
    }
    Ok(())
}

trait ProviderKey {
    fn provider_key(self, key: &str, values: &[String]) -> Self;
}

impl<T> ProviderKey for Resolved<T> {
    fn provider_key(self, key: &str, values: &[String]) -> Self {
        match values {
            [one] => self.key(key.to_owned(), one.as_str()),
            many => self.keys(key.to_owned(), many.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    #[test]
    fn a_templates_variable_is_one_part_of_a_name() {
        for (pattern, name, is) in [
            ("gitlab.com", "gitlab.com", true),
            ("gitlab.com", "GitLab.com", true),
            ("gitlab.com", "gitlab.com/x", false),
            ("token.actions.${Domain}.ghe.com", "token.actions.octo.ghe.com", true),
            ("token.actions.${Domain}.ghe.com", "token.actions..ghe.com", false),
            ("token.actions.${Domain}.ghe.com", "token.actions.ghe.com", false),
            ("token.actions.${Domain}.ghe.com", "token.actions.a/b.ghe.com", false),
            ("token.actions.${Domain}.ghe.com", "token.actions.é.ghe.com", true),
            ("idcs-${Id}.identity.oraclecloud.com", "idcs-1.identity.oraclecloud.com", true),
            ("oidc.circleci.com/org/${OrgId}", "oidc.circleci.com/org/7", true),
            ("oidc.circleci.com/org/${OrgId}", "oidc.circleci.com/org/", false),
            ("oidc.circleci.com/org/${OrgId}", "oidc", false),
        ] {
            assert_eq!(is_of(pattern, name), is, "{pattern} {name}");
        }
    }

    fn claims(json: &str) -> Claims {
        let part = |text: &str| {
            base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text)
        };
        let text = format!("{}.{}.AA", part(r#"{"alg":"ES256"}"#), part(json));
        Token::parse(&text).unwrap().unverified()
    }

    #[test]
    fn times_are_kept_to_the_second_with_their_skew() {
        for (exp, iat, nbf, code) in [
            (NOW - 299, NOW - 900, None, None),
            (NOW - 300, NOW - 900, None, Some("ExpiredTokenException")),
            (NOW + 900, NOW + 300, None, None),
            (NOW + 900, NOW + 301, None, Some("InvalidIdentityToken")),
            (NOW + 900, NOW, Some(NOW + 300), None),
            (NOW + 900, NOW, Some(NOW + 301), Some("InvalidIdentityToken")),
            (i64::MIN, NOW, None, Some("ExpiredTokenException")),
            (i64::MAX, i64::MIN, Some(i64::MIN), None),
        ] {
            let nbf = nbf.map(|nbf| format!(r#","nbf":{nbf}"#)).unwrap_or_default();
            let claims = claims(&format!(r#"{{"exp":{exp},"iat":{iat}{nbf}}}"#));
            let refused = check_times(&claims, NOW).err().map(|error| error.code.to_string());
            assert_eq!(refused.as_deref(), code, "{exp} {iat} {nbf}");
        }
    }

    #[test]
    fn google_and_cognito_are_known_and_nobody_who_looks_like_them() {
        for issuer in ["accounts.google.com", "https://accounts.google.com"] {
            assert_eq!(built_in(issuer).unwrap().1.issuer, "https://accounts.google.com");
        }
        for issuer in [
            "http://accounts.google.com",
            "https://accounts.google.com/",
            "https://accounts.google.com.evil.example",
            "https://Accounts.Google.com",
            "",
        ] {
            assert!(built_in(issuer).is_none(), "{issuer}");
        }
    }
}
