//! `AssumeRoleWithSAML`: a session of a role that trusts an identity provider's assertion.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithSAML.html>
//!
//! What an assertion must hold is AWS's:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_create_saml_assertions.html>
//! Refusals are in the words of
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_saml.html>

use crate::Sts;
use crate::federated::{self, Asked, invalid_token};
use crate::role_arn::RoleArn;
use crate::saml::{Assertion, Judge, Keys, Unbelieved};
use crate::token_tags::{self, is_session_name};
use crate::{durations, session_policies};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_gateway::call::Answer;
use ringfence_gateway::{Call, Federated, FederatedKind, Federation, SamlProvider};
use ringfence_keyring::DecryptingKey;
use ringfence_model_sts::operations as ops;
use ringfence_model_sts::types::{
    AssumeRoleWithSAMLRequest, AssumeRoleWithSAMLResponse, ExpiredTokenException, Tag,
};
use ringfence_policy::{AccountId, Arn};
use ringfence_wire::{ServiceError, TypedOperation as _};
use std::collections::BTreeMap;

/// Seconds that the provider's clock may be off.
const SKEW: i64 = 300;
/// Seconds in which an assertion must be presented.
const REDEEMED_WITHIN: i64 = 300;

const ATTRIBUTES: &str = "https://aws.amazon.com/SAML/Attributes/";
const FORMATS: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:";

/// Makes a session of a role.
pub async fn assume_role_with_saml(
    _: &Sts,
    call: Call<ops::AssumeRoleWithSAML>,
) -> Result<Answer<AssumeRoleWithSAMLResponse>, ServiceError> {
    let input = &call.input;
    let arn = RoleArn::parse(&input.role_arn)?;
    let seconds = durations::of_role_session(input.duration_seconds, false)?;
    let policies = session_policies::read(input.policy.as_deref(), input.policy_arns.as_deref())?;
    let now = call.shared().clock.now().seconds;
    let verified = Verified::of(&call, input, arn.account, now)?;
    call.prove(verified.federated(arn.account))?;
    if !verified.offers(&input.role_arn) {
        return Err(ServiceError::access_denied(
            "Not authorized to perform sts:AssumeRoleWithSAML",
        ));
    }
    let session_name = verified.session_name()?;
    let asked = Asked {
        arn,
        role_arn: &input.role_arn,
        session_name: &session_name,
        seconds: verified.until_session_ends(seconds, now)?,
        policies,
        tags: verified.tags()?,
        source_identity: verified.source_identity()?,
        federation: verified.federation(),
        least_token: input.minimum_session_token_size,
    };
    let keys = verified.keys();
    let given = federated::assume(&call, asked, "sts:AssumeRoleWithSAML", |resolved| {
        keys.iter().fold(resolved, |resolved, (key, values)| match &values[..] {
            [one] => resolved.key(key.clone(), one.as_str()),
            many => resolved.keys(key.clone(), many.to_vec()),
        })
    })?;
    Ok(given.permit.answer(AssumeRoleWithSAMLResponse {
        credentials: Some(given.issued.credentials),
        assumed_role_user: Some(given.user),
        packed_policy_size: given.packed_policy_size,
        subject_type: Some(verified.subject_type().to_owned()),
        name_qualifier: Some(verified.name_qualifier),
        subject: Some(verified.assertion.subject),
        issuer: Some(verified.assertion.issuer),
        audience: Some(verified.recipient),
        source_identity: given.source_identity,
        session_token_utilization: Some(given.issued.token_utilization),
        session_token_size: Some(given.issued.token_size),
    }))
}

/// An assertion that its provider signed, and that is for here and now.
struct Verified {
    provider: SamlProvider,
    account: AccountId,
    assertion: Assertion,
    recipient: String,
    name_qualifier: String,
}

impl Verified {
    /// Verifies the response of a call.
    ///
    /// # Errors
    /// `InvalidIdentityToken`, `ExpiredTokenException`.
    fn of(
        call: &Call<ops::AssumeRoleWithSAML>,
        input: &AssumeRoleWithSAMLRequest,
        account: AccountId,
        now: i64,
    ) -> Result<Self, ServiceError> {
        let provider = provider_name(&input.principal_arn, account)
            .and_then(|name| call.shared().directory.saml_provider(account, name))
            .filter(|provider| provider.arn == input.principal_arn)
            .ok_or_else(|| invalid_token("Specified provider doesn't exist"))?;
        let text: String = input.saml_assertion.split_ascii_whitespace().collect();
        let text = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| invalid_token("Invalid base64 SAMLResponse"))?;
        let keys = Keys::of(&provider.certificates);
        let private_keys: Vec<DecryptingKey> = provider
            .private_keys
            .iter()
            .filter_map(|pem| DecryptingKey::from_pem(pem).ok())
            .collect();
        let judge =
            Judge { keys: &keys, private_keys: &private_keys, encrypted: provider.encrypted };
        let assertion = judge.assertion(&text).map_err(|why| {
            tracing::debug!(%why, "a SAML response was refused");
            invalid_token(match why {
                Unbelieved::Form => "The SAML response is not valid",
                Unbelieved::Signature => "Response signature invalid",
                Unbelieved::Encryption => "The SAML assertion could not be decrypted",
            })
        })?;
        if assertion.issuer != provider.entity_id {
            return Err(invalid_token("Issuer not present in specified provider"));
        }
        check_times(&assertion, provider.valid_until, now)?;
        let recipient = recipient(&assertion, &provider.id, now)?;
        if assertion.audiences.is_empty()
            || !assertion.audiences.iter().all(|let_in| let_in.iter().any(|one| is_audience(one)))
        {
            return Err(invalid_token("Response does not contain the required audience."));
        }
        let qualified = format!("{}{account}/{}", assertion.issuer, provider.name);
        let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, qualified.as_bytes());
        let name_qualifier = STANDARD.encode(hash);
        Ok(Self { provider, account, assertion, recipient, name_qualifier })
    }

    fn federated(&self, account: AccountId) -> Federated {
        Federated {
            kind: FederatedKind::Saml,
            provider: self.provider.arn.clone(),
            account,
            principal_id: format!("{}:{}", self.name_qualifier, self.assertion.subject),
            user_name: self.assertion.subject.clone(),
            identity_provider: self.name_qualifier.clone(),
        }
    }

    /// Whether the assertion offers this role by this provider: a pair of ARNs in either order.
    fn offers(&self, role: &str) -> bool {
        let pairs = self.assertion.values(&format!("{ATTRIBUTES}Role"));
        pairs.iter().filter_map(|pair| pair.split_once(',')).any(|(one, other)| {
            let pair = (one.trim(), other.trim());
            let provider = self.provider.arn.as_str();
            pair == (role, provider) || pair == (provider, role)
        })
    }

    /// The single value of one of AWS's attributes.
    fn single(&self, name: &str) -> Option<&str> {
        match self.assertion.values(&format!("{ATTRIBUTES}{name}"))[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    fn session_name(&self) -> Result<String, ServiceError> {
        let name = self
            .single("RoleSessionName")
            .ok_or_else(|| invalid_token("RoleSessionName is required in AuthnResponse"))?;
        if !is_session_name(name) {
            return Err(invalid_token(
                "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}",
            ));
        }
        Ok(name.to_owned())
    }

    fn source_identity(&self) -> Result<Option<String>, ServiceError> {
        match self.assertion.values(&format!("{ATTRIBUTES}SourceIdentity"))[..] {
            [] => Ok(None),
            [one] => token_tags::checked_source_identity(one).map(Some),
            _ => token_tags::checked_source_identity("").map(Some),
        }
    }

    /// The session tags: attributes `PrincipalTag:KEY`, each of one value, and `TransitiveTagKeys`.
    fn tags(&self) -> Result<crate::session_tags::SessionTags, ServiceError> {
        let mut tags = Vec::new();
        for attribute in &self.assertion.attributes {
            let key = attribute.name.strip_prefix(ATTRIBUTES);
            let Some(key) = key.and_then(|name| name.strip_prefix("PrincipalTag:")) else {
                continue;
            };
            let [value] = &attribute.values[..] else {
                return Err(invalid_token("A session tag must have exactly one value"));
            };
            tags.push(Tag { key: key.to_owned(), value: value.clone() });
        }
        let transitive = self.assertion.values(&format!("{ATTRIBUTES}TransitiveTagKeys"));
        let transitive: Vec<String> = transitive.into_iter().map(str::to_owned).collect();
        token_tags::checked(&tags, &transitive)
    }

    /// How long the session may last: no longer than the provider's own.
    fn until_session_ends(&self, seconds: i32, now: i64) -> Result<i32, ServiceError> {
        let Some(end) = self.assertion.session_not_on_or_after else { return Ok(seconds) };
        match i32::try_from(end.saturating_sub(now)) {
            Ok(left) if left <= 0 => Err(expired()),
            Ok(left) => Ok(seconds.min(left)),
            Err(_) if end < now => Err(expired()),
            Err(_) => Ok(seconds),
        }
    }

    fn subject_type(&self) -> &str {
        let format = &self.assertion.format;
        format.strip_prefix(FORMATS).unwrap_or(format)
    }

    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-saml>
    fn keys(&self) -> BTreeMap<String, Vec<String>> {
        let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let listed = ops::AssumeRoleWithSAML::OPERATION.authorization.condition_keys;
        for attribute in &self.assertion.attributes {
            let friendly = attribute.friendly.as_deref();
            let Some(name) = directory_attribute(&attribute.name).or(friendly) else { continue };
            let own = |key: &&&str| {
                key.strip_prefix("saml:").is_some_and(|key| key.eq_ignore_ascii_case(name))
            };
            if let Some(key) = listed.iter().find(own) {
                let values = keys.entry((*key).to_owned()).or_default();
                values.extend(attribute.values.iter().cloned());
            }
        }
        // What the server itself knows stands last, so that no attribute can take its place.
        let account = self.account;
        for (key, value) in [
            ("saml:aud", self.recipient.clone()),
            ("saml:iss", self.assertion.issuer.clone()),
            ("saml:sub", self.assertion.subject.clone()),
            ("saml:sub_type", self.subject_type().to_owned()),
            ("saml:namequalifier", self.name_qualifier.clone()),
            ("saml:doc", format!("{account}/{}", self.provider.name)),
        ] {
            keys.insert(key.to_owned(), vec![value]);
        }
        keys.retain(|_, values| !values.is_empty());
        keys
    }

    /// What later calls still have.
    fn federation(&self) -> Federation {
        let mut keys = self.keys();
        let lasting = ["saml:namequalifier", "saml:sub", "saml:sub_type"];
        keys.retain(|key, _| lasting.contains(&key.as_str()));
        Federation { provider: self.provider.arn.clone(), keys }
    }
}

/// The name of a SAML provider's ARN in an account.
fn provider_name(text: &str, account: AccountId) -> Option<&str> {
    let arn = Arn::parse(text).ok()?;
    let sound = (arn.partition, arn.service, arn.region) == ("aws", "iam", "")
        && arn.account_id() == Some(account);
    arn.resource.strip_prefix("saml-provider/").filter(|_| sound)
}

fn expired() -> ServiceError {
    ExpiredTokenException::error("Token must be redeemed within 5 minutes of issuance")
}

fn check_times(
    assertion: &Assertion,
    valid_until: Option<i64>,
    now: i64,
) -> Result<(), ServiceError> {
    if now >= assertion.issued.saturating_add(REDEEMED_WITHIN)
        || assertion.not_on_or_after.is_some_and(|end| now >= end)
    {
        return Err(expired());
    }
    let begins = assertion.not_before.unwrap_or(i64::MIN).max(assertion.issued);
    if now < begins.saturating_sub(SKEW) {
        return Err(invalid_token("The SAML assertion is not yet valid"));
    }
    if valid_until.is_some_and(|end| now >= end) {
        return Err(invalid_token("The metadata of the specified provider has expired"));
    }
    Ok(())
}

/// Where the assertion may be presented: one of AWS's endpoints, and now.
fn recipient(assertion: &Assertion, provider: &str, now: i64) -> Result<String, ServiceError> {
    let mut ended = false;
    for one in &assertion.confirmations {
        // SAML's web profile wants an end, and no beginning (profiles, section 4.1.4.2).
        let Some(end) = one.not_on_or_after.filter(|_| one.not_before.is_none()) else { continue };
        if !is_endpoint(&one.recipient, provider) {
            continue;
        }
        if now < end {
            return Ok(one.recipient.clone());
        }
        ended = true;
    }
    match ended {
        true => Err(expired()),
        false => Err(invalid_token("The SAML assertion is not for this recipient")),
    }
}

/// `https://signin.aws.amazon.com/saml`, or a region's, perhaps with the provider's own id.
fn is_endpoint(url: &str, provider: &str) -> bool {
    let Some((host, path)) = url.strip_prefix("https://").and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let own = path.strip_prefix("saml/acs/").is_some_and(|id| id == provider);
    is_sign_in(host) && (path == "saml" || own)
}

fn is_sign_in(host: &str) -> bool {
    match host.strip_suffix("signin.aws.amazon.com") {
        Some("") => true,
        Some(region) => region.strip_suffix('.').is_some_and(|region| {
            let label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            !region.is_empty() && region.bytes().all(label)
        }),
        None => false,
    }
}

fn is_audience(text: &str) -> bool {
    text == "urn:amazon:webservices"
        || text
            .strip_prefix("https://")
            .and_then(|rest| rest.strip_suffix("/saml"))
            .is_some_and(is_sign_in)
}

/// What AWS calls an attribute of LDAP or Active Directory.
fn directory_attribute(name: &str) -> Option<&'static str> {
    Some(match name {
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.1" => "edupersonaffiliation",
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.2" => "edupersonnickname",
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.3" => "edupersonorgdn",
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.4" => "edupersonorgunitdn",
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.5" => "edupersonprimaryaffiliation",
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.6" => "edupersonprincipalname",
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.7" => "edupersonentitlement",
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.8" => "edupersonprimaryorgunitdn",
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.9" => "edupersonscopedaffiliation",
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.10" => "edupersontargetedid",
        "urn:oid:1.3.6.1.4.1.5923.1.1.1.11" => "edupersonassurance",
        "urn:oid:1.3.6.1.4.1.5923.1.2.1.2" => "eduorghomepageuri",
        "urn:oid:1.3.6.1.4.1.5923.1.2.1.3" => "eduorgidentityauthnpolicyuri",
        "urn:oid:1.3.6.1.4.1.5923.1.2.1.4" => "eduorglegalname",
        "urn:oid:1.3.6.1.4.1.5923.1.2.1.5" => "eduorgsuperioruri",
        "urn:oid:1.3.6.1.4.1.5923.1.2.1.6" => "eduorgwhitepagesuri",
        "urn:oid:2.5.4.3" => "cn",
        "urn:oid:2.5.4.4" => "surname",
        "urn:oid:2.5.4.41" => "name",
        "urn:oid:2.5.4.42" => "givenName",
        "urn:oid:2.5.4.45" => "x500UniqueIdentifier",
        "urn:oid:0.9.2342.19200300.100.1.1" => "uid",
        "urn:oid:0.9.2342.19200300.100.1.3" => "mail",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name" => "name",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname" => "givenName",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname" => "surname",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress" => "mail",
        "http://schemas.xmlsoap.org/claims/CommonName" => "commonName",
        "http://schemas.microsoft.com/ws/2008/06/identity/claims/primarygroupsid" => {
            "primaryGroupSID"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_and_audiences_are_awss_own() {
        for (url, is) in [
            ("https://signin.aws.amazon.com/saml", true),
            ("https://us-west-2.signin.aws.amazon.com/saml", true),
            ("https://us-west-2.signin.aws.amazon.com/saml/acs/SAMLSP1", true),
            ("https://us-west-2.signin.aws.amazon.com/saml/acs/SAMLSP2", false),
            ("https://signin.aws.amazon.com/saml/", false),
            ("http://signin.aws.amazon.com/saml", false),
            ("https://xsignin.aws.amazon.com/saml", false),
            ("https://.signin.aws.amazon.com/saml", false),
            ("https://a@b.signin.aws.amazon.com/saml", false),
            ("https://evil.example/x.signin.aws.amazon.com/saml", false),
            ("https://signin.aws.amazon.com.evil.example/saml", false),
        ] {
            assert_eq!(is_endpoint(url, "SAMLSP1"), is, "{url}");
        }
        for (text, is) in [
            ("urn:amazon:webservices", true),
            ("https://signin.aws.amazon.com/saml", true),
            ("urn:amazon:webservices:evil", false),
            ("https://evil.example/saml", false),
        ] {
            assert_eq!(is_audience(text), is, "{text}");
        }
    }

    #[test]
    fn every_attribute_of_a_directory_is_a_condition_key() {
        let listed = ops::AssumeRoleWithSAML::OPERATION.authorization.condition_keys;
        for number in 1..=11 {
            let name = directory_attribute(&format!("urn:oid:1.3.6.1.4.1.5923.1.1.1.{number}"));
            assert!(listed.contains(&format!("saml:{}", name.unwrap()).as_str()), "{name:?}");
        }
    }
}
