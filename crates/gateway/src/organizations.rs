//! What services ask of the one that knows organizations. Until there is such a service, no account
//! has one: [`NoOrganizations`].

use ringfence_policy::AccountId;
use std::sync::Arc;

/// An organization, as the services under it see it.
/// <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_getting-started_concepts.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// `o-…`
    pub id: String,
    /// Who made and rules it.
    pub management_account: AccountId,
    /// It has all features, not consolidated billing alone.
    pub all_features: bool,
}

/// The organizations of this server's accounts.
pub trait Organizations: Send + Sync + 'static {
    /// The organization of an account: its management account, or a member.
    fn of(&self, account: AccountId) -> Option<Arc<Organization>>;

    /// Where the account stands in it: `o-…/r-…/ou-…/`, as `aws:PrincipalOrgPaths` has it.
    fn path(&self, account: AccountId) -> Option<String>;

    /// Whether an organization trusts a service, `iam.amazonaws.com`, to act in its accounts.
    fn trusts(&self, organization: &Organization, service: &str) -> bool;

    /// Whether an account is the organization's delegated administrator for a service.
    fn is_delegated(&self, organization: &Organization, account: AccountId, service: &str) -> bool;
}

/// No account has an organization.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoOrganizations;

impl Organizations for NoOrganizations {
    fn of(&self, _: AccountId) -> Option<Arc<Organization>> {
        None
    }

    fn path(&self, _: AccountId) -> Option<String> {
        None
    }

    fn trusts(&self, _: &Organization, _: &str) -> bool {
        false
    }

    fn is_delegated(&self, _: &Organization, _: AccountId, _: &str) -> bool {
        false
    }
}
