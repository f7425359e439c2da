//! Central root access: whether an organization rules the root users of its member accounts from
//! its management account, and for which tasks.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_root-enable-root-access.html>
//!
//! The features are an organization's. They are kept in its management account's settings, with
//! the organization's id: another organization of the same account starts without.

use crate::Iam;
use crate::errors;
use crate::settings;
use crate::state::Account;
use ringfence_gateway::{Answer, Call, Ledger, Organization, Organizations, Permit, Resolved};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{
    DisableOrganizationsRootCredentialsManagementResponse,
    DisableOrganizationsRootSessionsResponse, EnableOrganizationsRootCredentialsManagementResponse,
    EnableOrganizationsRootSessionsResponse, FeatureType, ListOrganizationsFeaturesResponse,
};
use ringfence_policy::AccountId;
use ringfence_wire::{ServiceError, TypedOperation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What organizations know IAM as.
const SERVICE: &str = "iam.amazonaws.com";

/// Where AWS's policies for root users' tasks are.
const TASKS: &str = "arn:aws:iam::aws:policy/root-task/";

/// What is central.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Feature {
    /// The root users' credentials.
    RootCredentialsManagement,
    /// What else needs a root user: policies that lock everyone out.
    RootSessions,
}

impl Feature {
    /// The feature that a task belongs to; `None` for what is no task.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_root-user-privileged-task.html>
    fn of_task(arn: &str) -> Option<Self> {
        Some(match arn.strip_prefix(TASKS)? {
            "IAMAuditRootUserCredentials"
            | "IAMCreateRootUserPassword"
            | "IAMDeleteRootUserCredentials" => Self::RootCredentialsManagement,
            "S3UnlockBucketPolicy" | "SQSUnlockQueuePolicy" => Self::RootSessions,
            _ => return None,
        })
    }
}

/// The features of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootAccess {
    /// `o-…`
    pub organization: Box<str>,
    pub features: BTreeSet<Feature>,
}

/// The features of this organization, in its management account's state.
fn features(account: &Account, organization: &Organization) -> BTreeSet<Feature> {
    let access = account.settings.root_access.as_ref();
    let access = access.filter(|access| *access.organization == *organization.id);
    access.map(|access| access.features.clone()).unwrap_or_default()
}

fn listed(features: &BTreeSet<Feature>) -> Option<Vec<FeatureType>> {
    let each = features.iter().map(|feature| match feature {
        Feature::RootCredentialsManagement => FeatureType::RootCredentialsManagement,
        Feature::RootSessions => FeatureType::RootSessions,
    });
    Some(each.collect())
}

/// Who may change the features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// The management account alone.
    Management,
    /// A delegated administrator too.
    Administrator,
}

/// The caller's organization, which it administers.
///
/// # Errors
/// Those that the model has for these operations.
fn administered(
    organizations: &dyn Organizations,
    caller: AccountId,
    who: Who,
) -> Result<Arc<Organization>, ServiceError> {
    let organization = organizations.of(caller).ok_or_else(errors::no_organization)?;
    if organization.management_account != caller {
        if !organizations.is_delegated(&organization, caller, SERVICE) {
            return Err(errors::not_an_administrator());
        }
        if who == Who::Management {
            return Err(errors::not_the_management_account());
        }
    }
    if !organization.all_features {
        return Err(errors::not_all_features());
    }
    if !organizations.trusts(&organization, SERVICE) {
        return Err(errors::service_not_trusted());
    }
    Ok(organization)
}

/// An organization whose features the caller may see, and the account that keeps them.
struct Ruled {
    organization: Arc<Organization>,
    ledger: Arc<Ledger<Account>>,
    permit: Permit<()>,
}

impl Ruled {
    fn allow<O: TypedOperation>(iam: &Iam, call: &Call<O>, who: Who) -> Result<Self, ServiceError> {
        let id = call.account()?;
        let permit = call.allow(Resolved::any(id))?;
        let organization = administered(iam.organizations(), id, who)?;
        let ledger = iam.ledger(organization.management_account)?;
        Ok(Self { organization, ledger, permit })
    }

    /// Enables or disables a feature; the features then.
    async fn set(&self, feature: Feature, on: bool) -> Result<BTreeSet<Feature>, ServiceError> {
        settings::change_with(&self.ledger, &self.permit, |account, settings| {
            let mut features = features(account, &self.organization);
            if on {
                features.insert(feature);
            } else {
                features.remove(&feature);
            }
            let organization = self.organization.id.as_str().into();
            settings.root_access = Some(RootAccess { organization, features: features.clone() });
            Ok(features)
        })
        .await
    }
}

macro_rules! switch {
    ($handler:ident, $operation:ident, $response:ident, $feature:ident, $who:ident, $on:literal) => {
        pub(crate) async fn $handler(
            iam: &Iam,
            call: Call<ops::$operation>,
        ) -> Result<Answer<$response>, ServiceError> {
            let ruled = Ruled::allow(iam, &call, Who::$who)?;
            let features = ruled.set(Feature::$feature, $on).await?;
            Ok(ruled.permit.answer($response {
                organization_id: Some(ruled.organization.id.clone()),
                enabled_features: listed(&features),
            }))
        }
    };
}

// The model has `CallerIsNotManagementAccount` for enabling alone.
switch!(
    enable_organizations_root_credentials_management,
    EnableOrganizationsRootCredentialsManagement,
    EnableOrganizationsRootCredentialsManagementResponse,
    RootCredentialsManagement,
    Management,
    true
);
switch!(
    enable_organizations_root_sessions,
    EnableOrganizationsRootSessions,
    EnableOrganizationsRootSessionsResponse,
    RootSessions,
    Management,
    true
);
switch!(
    disable_organizations_root_credentials_management,
    DisableOrganizationsRootCredentialsManagement,
    DisableOrganizationsRootCredentialsManagementResponse,
    RootCredentialsManagement,
    Administrator,
    false
);
switch!(
    disable_organizations_root_sessions,
    DisableOrganizationsRootSessions,
    DisableOrganizationsRootSessionsResponse,
    RootSessions,
    Administrator,
    false
);

pub(crate) async fn list_organizations_features(
    iam: &Iam,
    call: Call<ops::ListOrganizationsFeatures>,
) -> Result<Answer<ListOrganizationsFeaturesResponse>, ServiceError> {
    let ruled = Ruled::allow(iam, &call, Who::Administrator)?;
    let features = features(&ruled.ledger.view(&ruled.permit), &ruled.organization);
    Ok(ruled.permit.answer(ListOrganizationsFeaturesResponse {
        organization_id: Some(ruled.organization.id.clone()),
        enabled_features: listed(&features),
    }))
}

impl Iam {
    /// Gives the organizations that are asked from now on. The first word counts.
    pub fn ask_organizations(&self, organizations: Arc<dyn Organizations>) {
        if self.organizations.set(organizations).is_err() {
            tracing::error!("the organizations are given twice");
        }
    }

    pub(crate) fn organizations(&self) -> &dyn Organizations {
        match self.organizations.get() {
            Some(organizations) => &**organizations,
            None => &ringfence_gateway::NoOrganizations,
        }
    }

    /// Whether an account may take over the root user of a member account for a task.
    pub(crate) fn rules_root(&self, account: AccountId, member: AccountId, task: &str) -> bool {
        let organizations = self.organizations();
        let Some(feature) = Feature::of_task(task) else { return false };
        let Ok(ours) = administered(organizations, account, Who::Administrator) else {
            return false;
        };
        // The management account's own root user is nobody's to take over.
        let is_member = member != ours.management_account
            && organizations.of(member).is_some_and(|theirs| theirs.id == ours.id);
        let Some(ledger) = self.ledgers.get(ours.management_account) else { return false };
        is_member && features(&ledger.for_deciding(), &ours).contains(&feature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Record;
    use crate::settings::Settings;
    use crate::testing::{ID, OTHER, iam_over, store};
    use ringfence_gateway::Directory as _;

    const DELEGATED: AccountId = AccountId::new(111_111_111_111).unwrap();
    const MEMBER: AccountId = AccountId::new(222_222_222_222).unwrap();

    /// An organization of three, managed by `ID`. `OTHER` has none.
    #[derive(Clone)]
    struct MadeUp {
        id: &'static str,
        all_features: bool,
        trusted: bool,
    }

    const GOOD: MadeUp = MadeUp { id: "o-aaaaaaaaaa", all_features: true, trusted: true };

    impl Organizations for MadeUp {
        fn of(&self, account: AccountId) -> Option<Arc<Organization>> {
            [ID, DELEGATED, MEMBER].contains(&account).then(|| {
                Arc::new(Organization {
                    id: self.id.into(),
                    management_account: ID,
                    all_features: self.all_features,
                })
            })
        }

        fn path(&self, _: AccountId) -> Option<String> {
            Some(format!("{}/r-ab12/", self.id))
        }

        fn trusts(&self, _: &Organization, service: &str) -> bool {
            self.trusted && service == "iam.amazonaws.com"
        }

        fn is_delegated(&self, _: &Organization, account: AccountId, service: &str) -> bool {
            account == DELEGATED && service == "iam.amazonaws.com"
        }
    }

    #[test]
    fn who_may_change_what_is_central_is_refused_by_the_models_errors() {
        let simple = MadeUp { all_features: false, ..GOOD };
        let untrusted = MadeUp { trusted: false, ..GOOD };
        let neither = MadeUp { all_features: false, trusted: false, ..GOOD };
        for (organizations, caller, who, expected) in [
            (&GOOD, ID, Who::Management, ""),
            (&GOOD, ID, Who::Administrator, ""),
            (&GOOD, DELEGATED, Who::Administrator, ""),
            (&GOOD, DELEGATED, Who::Management, "CallerIsNotManagementAccountException"),
            (
                &GOOD,
                MEMBER,
                Who::Management,
                "AccountNotManagementOrDelegatedAdministratorException",
            ),
            (
                &neither,
                MEMBER,
                Who::Administrator,
                "AccountNotManagementOrDelegatedAdministratorException",
            ),
            (&GOOD, OTHER, Who::Management, "OrganizationNotFoundException"),
            (&simple, ID, Who::Management, "OrganizationNotInAllFeaturesModeException"),
            (&neither, ID, Who::Management, "OrganizationNotInAllFeaturesModeException"),
            (&untrusted, ID, Who::Management, "ServiceAccessNotEnabledException"),
            (&untrusted, DELEGATED, Who::Administrator, "ServiceAccessNotEnabledException"),
        ] {
            let got = administered(organizations, caller, who);
            match got {
                Ok(organization) => assert_eq!((expected, &*organization.id), ("", GOOD.id)),
                Err(refused) => {
                    assert_eq!((&*refused.code, refused.status), (expected, 400), "{caller}");
                }
            }
        }
    }

    async fn with(features: &[Feature], organizations: MadeUp) -> Arc<Iam> {
        let store = store();
        let iam = iam_over(&store);
        iam.create_account(ID, "management").await.unwrap();
        let root_access = Some(RootAccess {
            organization: GOOD.id.into(),
            features: features.iter().copied().collect(),
        });
        let settings = Arc::new(Settings { root_access, ..Settings::default() });
        let ledger = iam.ledger(ID).unwrap();
        ledger
            .write_unasked(|_, batch| {
                batch.put(Record::Settings(settings.clone()));
                Ok(())
            })
            .await
            .unwrap();
        // As a restart finds them.
        let iam = iam_over(&store);
        iam.ask_organizations(Arc::new(organizations));
        iam
    }

    #[tokio::test]
    async fn a_root_user_is_taken_over_by_its_organization_for_a_task_whose_feature_is_on() {
        let task = |name: &str| format!("{TASKS}{name}");
        let (audit, unlock) = (task("IAMAuditRootUserCredentials"), task("S3UnlockBucketPolicy"));
        let credentials = with(&[Feature::RootCredentialsManagement], GOOD).await;
        let sessions = with(&[Feature::RootSessions], GOOD).await;
        for (iam, account, member, task, allowed) in [
            (&credentials, ID, MEMBER, &audit, true),
            (&credentials, DELEGATED, MEMBER, &audit, true),
            (&credentials, ID, DELEGATED, &audit, true),
            (&credentials, ID, MEMBER, &unlock, false),
            (&sessions, ID, MEMBER, &unlock, true),
            (&sessions, ID, MEMBER, &audit, false),
            // Its own, the management account's, an outsider's; and by one who does not administer.
            (&credentials, ID, ID, &audit, false),
            (&credentials, DELEGATED, ID, &audit, false),
            (&credentials, ID, OTHER, &audit, false),
            (&credentials, MEMBER, DELEGATED, &audit, false),
            (&credentials, OTHER, MEMBER, &audit, false),
            (&credentials, ID, MEMBER, &task("Other"), false),
            (&credentials, ID, MEMBER, &"arn:aws:iam::aws:policy/ReadOnlyAccess".into(), false),
        ] {
            let got = iam.administers_root(account, member, task);
            assert_eq!(got, allowed, "{account} {member} {task}");
        }
        assert_eq!(credentials.organization(MEMBER).as_deref(), Some(GOOD.id));
        assert_eq!(credentials.organization(OTHER), None);
    }

    #[tokio::test]
    async fn features_are_one_organizations_and_need_its_trust() {
        let audit = format!("{TASKS}IAMAuditRootUserCredentials");
        for organizations in [
            MadeUp { id: "o-bbbbbbbbbb", ..GOOD },
            MadeUp { trusted: false, ..GOOD },
            MadeUp { all_features: false, ..GOOD },
        ] {
            let iam = with(&[Feature::RootCredentialsManagement], organizations).await;
            assert!(!iam.administers_root(ID, MEMBER, &audit));
        }
    }

    #[test]
    fn every_task_of_awss_belongs_to_a_feature() {
        let tasks = crate::aws_managed::all().filter(|(_, policy)| policy.path == "/root-task/");
        let tasks: Vec<&str> = tasks.map(|(_, policy)| policy.arn).collect();
        assert_eq!(tasks.len(), 5);
        assert!(tasks.iter().all(|arn| Feature::of_task(arn).is_some()), "{tasks:?}");
    }
}
