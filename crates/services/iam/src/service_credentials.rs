//! Credentials for one service alone: user names with passwords, and API keys.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_service-specific-creds.html>

use crate::Iam;
use crate::arn;
use crate::entity::Entity;
use crate::errors;
use crate::key_records::ServiceCredential;
use crate::owner::{Owner, status, wanted};
use crate::pages::Page;
use crate::records::{Credentials, User};
use crate::state::Account;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_gateway::ids::{IdKind, service_password};
use ringfence_gateway::{Answer, Call, Identity, Resolved, ServiceCredentials};
use ringfence_keyring::{Blinder, SecretBytes, SecretString, Zeroizing};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{self, ServiceSpecificCredentialMetadata, StatusType};
use ringfence_policy::AccountId;
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// How a service takes credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As a user name and a password.
    Password,
    /// As one API key that begins so: the rest is Base64 of alias, colon and password.
    ApiKey(&'static str),
}

/// The services that take credentials of their own, and how.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_api_keys_for_aws_services.html>
const SERVICES: [(&str, Kind); 4] = [
    ("codecommit.amazonaws.com", Kind::Password),
    ("cassandra.amazonaws.com", Kind::Password),
    ("bedrock.amazonaws.com", Kind::ApiKey("ABSK")),
    ("logs.amazonaws.com", Kind::ApiKey("ACWL")),
];

fn kind(service: &str) -> Option<Kind> {
    SERVICES.iter().find(|(name, _)| *name == service).map(|(_, kind)| *kind)
}

fn supported(service: &str) -> Result<Kind, ServiceError> {
    kind(service).ok_or_else(|| errors::no_such_service(service))
}

/// What is kept of a password.
fn proof(passwords: &Blinder, id: &str, password: &[u8]) -> SecretBytes {
    SecretBytes::new(passwords.blind(&[id.as_bytes(), password]).to_vec())
}

pub(crate) async fn create_service_specific_credential(
    iam: &Iam,
    call: Call<ops::CreateServiceSpecificCredential>,
) -> Result<Answer<types::CreateServiceSpecificCredentialResponse>, ServiceError> {
    let input = &call.input;
    let (service, days) = (input.service_name.as_str(), input.credential_age_days);
    let owner = Owner::allow_user_with(iam, &call, Some(&input.user_name), |_, resolved| {
        resolved
            .key(SERVICE_KEY, service)
            .key_if("iam:ServiceSpecificCredentialAgeDays", days.map(|days| days.to_string()))
    })?;
    let kind = supported(service)?;
    if days.is_some() && kind == Kind::Password {
        return Err(errors::validation(format!(
            "CredentialAgeDays is not supported for service {service}."
        )));
    }
    let created = call.now().seconds;
    let id = iam.unique_id(IdKind::ServiceCredential)?;
    let password = service_password(&*iam.random).map_err(errors::failed)?;
    let mut new = ServiceCredential {
        id,
        service: service.into(),
        name: "".into(),
        proof: Arc::new(proof(&iam.service_passwords, &id, password.expose().as_bytes())),
        active: true,
        created,
        expires: days.map(|days| created + i64::from(days) * DAY),
    };
    let user = owner.name().unwrap_or_default();
    owner
        .change(|account, credentials, _| {
            new.name = add(iam, account, owner.id, &user, credentials, &new)?;
            Ok(true)
        })
        .await?;
    let shown = describe(&user, &new, created, Some(&password));
    let service_specific_credential = Some(shown);
    Ok(owner
        .permit
        .answer(types::CreateServiceSpecificCredentialResponse { service_specific_credential }))
}

/// The condition key that names the service.
const SERVICE_KEY: &str = "iam:ServiceSpecificCredentialServiceName";

/// Adds a credential under a name that no other of its service has, and says which:
/// `jane-at-123456789012`, then `jane+1-at-123456789012`.
fn add(
    iam: &Iam,
    account: &Account,
    id: AccountId,
    user: &str,
    credentials: &mut Credentials,
    new: &ServiceCredential,
) -> Result<Arc<str>, ServiceError> {
    let mut all = credentials.service_credentials.to_vec();
    let limit = iam.quotas.service_credentials;
    if all.iter().filter(|other| other.service == new.service).count() >= limit {
        return Err(errors::over_quota("ServiceSpecificCredentialsPerUser", limit));
    }
    // There are fewer credentials than numbers, so that one is free.
    let name: Arc<str> = (0u32..)
        .map(|number| match number {
            0 => format!("{user}-at-{id}"),
            _ => format!("{user}+{number}-at-{id}"),
        })
        .find(|name| account.service_credential_owner(&new.service, name).is_none())
        .ok_or_else(|| errors::failed("no name is free"))?
        .into();
    all.push(ServiceCredential { name: name.clone(), ..new.clone() });
    credentials.service_credentials = all.into();
    Ok(name)
}

fn shown_status(credential: &ServiceCredential, now: i64) -> StatusType {
    if credential.is_expired(now) { StatusType::Expired } else { status(credential.active) }
}

/// A credential as it is shown; with its password the one time that there is one.
fn describe(
    user: &str,
    credential: &ServiceCredential,
    now: i64,
    password: Option<&SecretString>,
) -> types::ServiceSpecificCredential {
    let (name, password) = (Some(credential.name.to_string()), password.map(SecretString::expose));
    let mut shown = types::ServiceSpecificCredential {
        create_date: Timestamp::from_seconds(credential.created),
        expiration_date: credential.expires.map(Timestamp::from_seconds),
        service_name: credential.service.to_string(),
        service_specific_credential_id: credential.id.to_string(),
        user_name: user.to_owned(),
        status: shown_status(credential, now),
        ..types::ServiceSpecificCredential::default()
    };
    match kind(&credential.service) {
        Some(Kind::ApiKey(prefix)) => {
            shown.service_credential_secret = password.map(|password| {
                let plain = Zeroizing::new(format!("{}:{password}", credential.name));
                format!("{prefix}{}", STANDARD.encode(plain.as_bytes()))
            });
            shown.service_credential_alias = name;
        }
        _ => {
            shown.service_password = password.map(ToOwned::to_owned);
            shown.service_user_name = name;
        }
    }
    shown
}

pub(crate) async fn list_service_specific_credentials(
    iam: &Iam,
    call: Call<ops::ListServiceSpecificCredentials>,
) -> Result<Answer<types::ListServiceSpecificCredentialsResponse>, ServiceError> {
    let input = &call.input;
    let (service, named) = (input.service_name.as_deref(), input.user_name.as_deref());
    let now = call.now().seconds;
    let chosen = |credential: &&ServiceCredential| {
        service.is_none_or(|service| *credential.service == *service)
    };
    if input.all_users == Some(true) {
        if named.is_some() {
            return Err(errors::validation("UserName and AllUsers cannot be specified together."));
        }
        let id = call.account()?;
        let ledger = iam.ledger(id)?;
        let permit = call.allow(Resolved::new(arn::of(User::KIND, id, "/", "*"), id, ()))?;
        service.map(supported).transpose()?;
        let place = ["all users", service.unwrap_or_default()];
        let pager = iam.pager(&call, &place, input.marker.as_deref(), input.max_items)?;
        let account = ledger.view(&permit);
        let mut all: Vec<(String, &User, &ServiceCredential)> = account
            .users_with_service_credentials()
            .flat_map(|(key, user)| {
                let credentials = user.credentials.service_credentials.iter().filter(chosen);
                credentials.map(move |one| (format!("{key}/{}", &*one.id), &**user, one))
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let page = pager.cut(all.into_iter().map(|(key, user, one)| (key, (user, one))))?;
        return Ok(permit.answer(listed(page.map(|(user, one)| entry(&user.name, one, now)))));
    }
    let owner = Owner::allow_user_with(iam, &call, named, |_, resolved| resolved)?;
    service.map(supported).transpose()?;
    let place =
        ["one user", owner.user.as_deref().unwrap_or_default(), service.unwrap_or_default()];
    let pager = iam.pager(&call, &place, input.marker.as_deref(), input.max_items)?;
    let credentials = owner.credentials(&owner.ledger.view(&owner.permit))?;
    let mut own: Vec<_> = credentials.service_credentials.iter().filter(chosen).collect();
    own.sort_by_key(|credential| credential.id);
    let user = owner.name().unwrap_or_default();
    let page = pager.cut(own.into_iter().map(|one| (&*one.id, one)))?;
    Ok(owner.permit.answer(listed(page.map(|one| entry(&user, one, now)))))
}

fn listed(
    page: Page<ServiceSpecificCredentialMetadata>,
) -> types::ListServiceSpecificCredentialsResponse {
    types::ListServiceSpecificCredentialsResponse {
        is_truncated: page.truncated(),
        service_specific_credentials: Some(page.items),
        marker: page.marker,
    }
}

fn entry(
    user: &str,
    credential: &ServiceCredential,
    now: i64,
) -> ServiceSpecificCredentialMetadata {
    let shown = describe(user, credential, now, None);
    ServiceSpecificCredentialMetadata {
        user_name: shown.user_name,
        status: shown.status,
        service_user_name: shown.service_user_name,
        service_credential_alias: shown.service_credential_alias,
        create_date: shown.create_date,
        expiration_date: shown.expiration_date,
        service_specific_credential_id: shown.service_specific_credential_id,
        service_name: shown.service_name,
    }
}

/// Asks for the right to a credential: its service is a condition key.
macro_rules! allow {
    ($iam:expr, $call:expr) => {{
        let input = &$call.input;
        Owner::allow_user_with($iam, &$call, input.user_name.as_deref(), |user, resolved| {
            let service = user.and_then(|user| {
                let all = &user.credentials.service_credentials;
                all.iter().find(|one| *one.id == *input.service_specific_credential_id)
            });
            resolved.key_if(SERVICE_KEY, service.map(|one| &*one.service))
        })?
    }};
}

pub(crate) async fn update_service_specific_credential(
    iam: &Iam,
    call: Call<ops::UpdateServiceSpecificCredential>,
) -> Result<Answer<Empty>, ServiceError> {
    let owner = allow!(iam, call);
    let active = wanted(&call.input.status)?;
    owner
        .change(|_, credentials, _| {
            let one = find(credentials, &call.input.service_specific_credential_id)?;
            let changes = one.active != active;
            one.active = active;
            Ok(changes)
        })
        .await?;
    Ok(owner.permit.answer(Empty::default()))
}

pub(crate) async fn reset_service_specific_credential(
    iam: &Iam,
    call: Call<ops::ResetServiceSpecificCredential>,
) -> Result<Answer<types::ResetServiceSpecificCredentialResponse>, ServiceError> {
    let owner = allow!(iam, call);
    let id = &call.input.service_specific_credential_id;
    let password = service_password(&*iam.random).map_err(errors::failed)?;
    let fresh = Arc::new(proof(&iam.service_passwords, id, password.expose().as_bytes()));
    let mut reset = None;
    owner
        .change(|_, credentials, _| {
            let one = find(credentials, id)?;
            one.proof = fresh.clone();
            reset = Some(one.clone());
            Ok(true)
        })
        .await?;
    let user = owner.name().unwrap_or_default();
    let service_specific_credential =
        reset.map(|one| describe(&user, &one, call.now().seconds, Some(&password)));
    Ok(owner
        .permit
        .answer(types::ResetServiceSpecificCredentialResponse { service_specific_credential }))
}

pub(crate) async fn delete_service_specific_credential(
    iam: &Iam,
    call: Call<ops::DeleteServiceSpecificCredential>,
) -> Result<Answer<Empty>, ServiceError> {
    let owner = allow!(iam, call);
    let id = &call.input.service_specific_credential_id;
    owner
        .change(|_, credentials, _| {
            find(credentials, id)?;
            let mut all = credentials.service_credentials.to_vec();
            all.retain(|one| *one.id != **id);
            credentials.service_credentials = all.into();
            Ok(true)
        })
        .await?;
    Ok(owner.permit.answer(Empty::default()))
}

fn find<'c>(
    credentials: &'c mut Credentials,
    id: &str,
) -> Result<&'c mut ServiceCredential, ServiceError> {
    let all = credentials.service_credentials.iter_mut();
    all.into_iter().find(|one| *one.id == *id).ok_or_else(|| errors::no_such_service_credential(id))
}

impl ServiceCredentials for Iam {
    fn by_password(&self, service: &str, name: &str, password: &[u8]) -> Option<Identity> {
        let id: AccountId = name.rsplit_once("-at-")?.1.parse().ok()?;
        let ledger = self.ledgers.get(id)?;
        let account = ledger.for_deciding();
        let user = account.service_credential_owner(service, name)?;
        let all = &user.credentials.service_credentials;
        let one = all.iter().find(|one| *one.service == *service && *one.name == *name)?;
        let matches = one.proof.matches(proof(&self.service_passwords, &one.id, password).expose());
        let good = matches && one.active && !one.is_expired(self.clock.now().seconds);
        good.then(|| Identity::User {
            account: id,
            name: (&*user.name).into(),
            path: (&*user.path).into(),
            id: (&*user.id).into(),
        })
    }

    fn by_api_key(&self, service: &str, key: &str) -> Option<Identity> {
        let Some(Kind::ApiKey(prefix)) = kind(service) else { return None };
        let plain = Zeroizing::new(STANDARD.decode(key.strip_prefix(prefix)?).ok()?);
        let colon = plain.iter().position(|byte| *byte == b':')?;
        let (alias, password) = plain.split_at(colon);
        self.by_password(service, std::str::from_utf8(alias).ok()?, password.get(1..)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Record;
    use crate::testing::{ID, iam_over, store, user};
    use ringfence_gateway::State;

    fn credential(
        iam: &Iam,
        service: &str,
        password: &str,
        expires: Option<i64>,
    ) -> ServiceCredential {
        let id = iam.unique_id(IdKind::ServiceCredential).unwrap();
        ServiceCredential {
            id,
            service: service.into(),
            name: "".into(),
            proof: Arc::new(proof(&iam.service_passwords, &id, password.as_bytes())),
            active: true,
            created: 0,
            expires,
        }
    }

    /// A user with these credentials, in the account and in its ledger.
    async fn holding(iam: &Iam, given: &[(&str, &str, Option<i64>)]) -> Vec<ServiceCredential> {
        iam.ensure_account(ID).await.unwrap();
        let mut account = Account::default();
        let mut ann = user("Ann", "/", "AIDA1");
        for (service, password, expires) in given {
            let new = credential(iam, service, password, *expires);
            add(iam, &account, ID, "Ann", &mut ann.credentials, &new).unwrap();
            account.put(Record::User(Arc::new(ann.clone())));
        }
        let record = Arc::new(ann.clone());
        let ledger = iam.ledger(ID).unwrap();
        ledger
            .write_unasked(|_, batch| {
                batch.put(Record::User(record.clone()));
                Ok(())
            })
            .await
            .unwrap();
        ann.credentials.service_credentials.to_vec()
    }

    const GIT: &str = "codecommit.amazonaws.com";
    const MODELS: &str = "bedrock.amazonaws.com";

    #[tokio::test]
    async fn names_are_numbered_and_two_is_the_most_for_a_service() {
        let iam = iam_over(&store());
        let all = holding(&iam, &[(GIT, "a", None), (GIT, "b", None), (MODELS, "c", None)]).await;
        let names: Vec<&str> = all.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["Ann-at-123456789012", "Ann+1-at-123456789012", "Ann-at-123456789012"]);
        let mut credentials = Credentials::default();
        credentials.service_credentials = all.into();
        let third = credential(&iam, GIT, "d", None);
        let refused = add(&iam, &Account::default(), ID, "Ann", &mut credentials, &third);
        assert_eq!(refused.unwrap_err().code, "LimitExceeded");
    }

    #[tokio::test]
    async fn a_password_is_good_for_its_own_name_and_service_while_active_and_in_time() {
        let iam = iam_over(&store());
        let now = iam.clock.now().seconds;
        let given =
            [(GIT, "right", None), (MODELS, "key", Some(now + 10)), (MODELS, "over", Some(now))];
        let all = holding(&iam, &given).await;
        let who = iam.by_password(GIT, &all[0].name, b"right").unwrap();
        assert_eq!(who.arn(), "arn:aws:iam::123456789012:user/Ann");
        for (service, name, password) in [
            (GIT, "Ann-at-123456789012", "wrong"),
            (GIT, "Ann-at-123456789012", ""),
            (GIT, "ann-at-123456789012", "right"),
            (GIT, "Ann-at-999999999999", "right"),
            (GIT, "Ann", "right"),
            (MODELS, "Ann-at-123456789012", "right"),
            (MODELS, "Ann+1-at-123456789012", "over"),
        ] {
            assert!(iam.by_password(service, name, password.as_bytes()).is_none(), "{name}");
        }

        let password = SecretString::new("key".into());
        let shown = describe("Ann", &all[1], now, Some(&password));
        let key = shown.service_credential_secret.unwrap();
        assert!(key.starts_with("ABSK") && shown.service_password.is_none());
        assert!(iam.by_api_key(MODELS, &key).is_some());
        assert!(iam.by_api_key("logs.amazonaws.com", &key).is_none());
        assert!(iam.by_api_key(GIT, &key).is_none());
        for broken in ["", "ABSK", "ABSKAAAA", &key[1..], &key[..key.len() - 4]] {
            assert!(iam.by_api_key(MODELS, broken).is_none(), "{broken}");
        }
        assert_eq!(describe("Ann", &all[2], now, None).status, StatusType::Expired);
    }
}
