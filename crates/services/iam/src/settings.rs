//! What an account as a whole is set to: its properties, and which tokens STS's global endpoint
//! hands out. Its alias is in `aliases`, its password policy in `password_policy`.

use crate::Iam;
use crate::errors;
use crate::password_policy::PasswordPolicy;
use crate::records::Record;
use crate::root_access::RootAccess;
use crate::state::Account;
use ringfence_gateway::{Answer, Call, Ledger, Permit, Resolved};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{
    GetAccountPropertiesResponse, GlobalEndpointTokenVersion, PutAccountPropertiesResponse,
};
use ringfence_wire::ServiceError;
use ringfence_wire::value::Empty;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Properties that an account may have. AWS tells no limit; here it bounds a record.
const PROPERTIES: usize = 100;

/// An account's settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Unique over all accounts; see `aliases`.
    #[serde(default)]
    pub alias: Option<Box<str>>,
    #[serde(default)]
    pub password_policy: Option<PasswordPolicy>,
    #[serde(default)]
    pub token_version: TokenVersion,
    /// By `Namespace/PropertyName`.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Of the organization that the account manages; see `root_access`.
    #[serde(default)]
    pub root_access: Option<RootAccess>,
}

/// The version of the tokens of STS's global endpoint. An account has the first until it asks for
/// the second, and `GetAccountSummary` shows which. Tokens of this server work in every region,
/// whichever it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TokenVersion {
    #[default]
    V1,
    V2,
}

impl TokenVersion {
    /// As `GetAccountSummary` shows it.
    pub fn number(self) -> usize {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// Changes an account's settings, and returns what `change` does.
///
/// # Errors
/// Those of `change`.
pub(crate) async fn change<T, R>(
    ledger: &Arc<Ledger<Account>>,
    permit: &Permit<T>,
    mut change: impl FnMut(&mut Settings) -> Result<R, ServiceError>,
) -> Result<R, ServiceError> {
    change_with(ledger, permit, |_, settings| change(settings)).await
}

/// As [`change`], where it looks at the account.
///
/// # Errors
/// Those of `change`.
pub(crate) async fn change_with<T, R>(
    ledger: &Arc<Ledger<Account>>,
    permit: &Permit<T>,
    mut change: impl FnMut(&Account, &mut Settings) -> Result<R, ServiceError>,
) -> Result<R, ServiceError> {
    ledger
        .write(permit, |account, batch| {
            let mut settings = Settings::clone(&account.settings);
            let result = change(account, &mut settings)?;
            if settings != *account.settings {
                batch.put(Record::Settings(Arc::new(settings)));
            }
            Ok(result)
        })
        .await
}

pub(crate) async fn set_security_token_service_preferences(
    iam: &Iam,
    call: Call<ops::SetSecurityTokenServicePreferences>,
) -> Result<Answer<Empty>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id))?;
    let version = match call.input.global_endpoint_token_version {
        GlobalEndpointTokenVersion::V1Token => TokenVersion::V1,
        GlobalEndpointTokenVersion::V2Token => TokenVersion::V2,
        // The model lets no other through.
        _ => return Err(errors::invalid_input("Invalid token version.")),
    };
    change(&ledger, &permit, |settings| {
        settings.token_version = version;
        Ok(())
    })
    .await?;
    Ok(permit.answer(Empty::default()))
}

/// The namespace of a property: what stands before its one slash.
fn namespace(key: &str) -> Option<&str> {
    let (namespace, name) = key.split_once('/')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains('/')).then_some(namespace)
}

/// The namespaces of several properties, each once.
fn namespaces<'a>(keys: impl Iterator<Item = &'a String>) -> Vec<String> {
    let all: BTreeSet<&str> = keys.filter_map(|key| namespace(key)).collect();
    all.into_iter().map(str::to_owned).collect()
}

/// Which namespaces are read or modified: service authorization reference.
const NAMESPACES: &str = "iam:AccountPropertyNamespaces";

pub(crate) async fn get_account_properties(
    iam: &Iam,
    call: Call<ops::GetAccountProperties>,
) -> Result<Answer<GetAccountPropertiesResponse>, ServiceError> {
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(ledger.resolve(|account| {
        Resolved::any(id).keys(NAMESPACES, namespaces(account.settings.properties.keys()))
    }))?;
    let properties = ledger.view(&permit).settings.properties.clone();
    Ok(permit.answer(GetAccountPropertiesResponse { properties: Some(properties) }))
}

/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutAccountProperties.html>
pub(crate) async fn put_account_properties(
    iam: &Iam,
    call: Call<ops::PutAccountProperties>,
) -> Result<Answer<PutAccountPropertiesResponse>, ServiceError> {
    let given = &call.input.properties;
    let id = call.account()?;
    let ledger = iam.ledger(id)?;
    let permit = call.allow(Resolved::any(id).keys(NAMESPACES, namespaces(given.keys())))?;
    check_properties(given)?;
    change(&ledger, &permit, |settings| {
        settings.properties.extend(given.clone());
        if settings.properties.len() > PROPERTIES {
            return Err(errors::invalid_input(format!(
                "An account can have up to {PROPERTIES} properties."
            )));
        }
        Ok(())
    })
    .await?;
    Ok(permit.answer(PutAccountPropertiesResponse {}))
}

fn check_properties(given: &BTreeMap<String, String>) -> Result<(), ServiceError> {
    if given.is_empty() {
        return Err(errors::invalid_input("At least one property must be specified."));
    }
    let mut first = None;
    for key in given.keys() {
        let Some(namespace) = namespace(key) else {
            return Err(errors::invalid_input(format!(
                "Property key {key} is not in the format Namespace/PropertyName."
            )));
        };
        if *first.get_or_insert(namespace) != namespace {
            return Err(errors::invalid_input("All properties must belong to the same namespace."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_of_one_namespace_and_well_formed() {
        let check = |keys: &[&str]| {
            let given = keys.iter().map(|key| ((*key).to_owned(), "true".to_owned())).collect();
            check_properties(&given).map_err(|refused| refused.code.to_string())
        };
        assert_eq!(check(&["A/x", "A/y"]), Ok(()));
        for keys in [&["A/x", "B/x"][..], &["A"], &["A/"], &["/x"], &["A/x/y"], &["A//x"], &[]] {
            assert_eq!(check(keys), Err("InvalidInput".into()), "{keys:?}");
        }
    }

    #[test]
    fn namespaces_are_told_once() {
        let keys = ["B/x", "A/x", "A/y", "none"].map(str::to_owned);
        assert_eq!(namespaces(keys.iter()), ["A", "B"]);
    }
}
