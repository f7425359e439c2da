//! IAM: the principals of every account, their policies and their keys.
//!
//! # The words
//!
//! - An **account** has a **root** user, who may all in it, and holds everything else.
//! - **Users** and **roles** are principals: they call. **Groups** only hand policies to users.
//! - Users, groups and roles hold policies: **inline** ones of their own, and **managed** ones
//!   that are **attached** by ARN, where one policy in several versions serves many. A
//!   **boundary** is a managed policy that a user or role cannot exceed.
//! - A role's **trust policy** says who may assume it; see `trust`.
//! - A **name** is unique in its kind, whatever the case of its letters; a **unique id**
//!   (`AIDA…`, `AROA…`) is never used twice, so whoever is made anew under an old name is another.
//!
//! # The way of a request
//!
//! ```text
//!   handler ──► Iam::allow::<User>(name) ──► Allowed<User> ──► found / change ──► answer
//!               resolve in the ledger:        the permit
//!               ARN, tags, boundary           and what was found
//!               ask the policy engine
//! ```
//!
//! One file a noun. Reads look at the durable state of the account's ledger; writes compute new
//! records from the newest state in a closure, where every check that must be exact stands: a name
//! that is taken, a quota, a thing in use. The records and what is derived from them are in
//! `state`; the words of refusals in `errors`.
//!
//! [`Iam`] is also the [`Directory`](ringfence_gateway::Directory): what a principal may is
//! gathered from documents that were parsed when their records came in.

mod access_advisor;
mod access_keys;
mod account;
mod across;
mod aliases;
mod arn;
mod attachments;
mod authorization_details;
mod aws_managed;
mod background;
mod boundaries;
mod credential_report;
mod delegation;
mod directory;
mod documents;
mod entity;
mod errors;
mod groups;
mod inline_policies;
mod instance_profiles;
mod issuer_records;
mod key_records;
mod last_used;
mod linked_roles;
mod listed;
mod login_profiles;
mod managed_policies;
mod mfa;
mod names;
mod oidc_providers;
mod outbound_federation;
mod owner;
mod pages;
mod password_policy;
mod passwords;
#[cfg(feature = "populate")]
mod populate;
mod provider_records;
mod provider_tags;
mod quotas;
mod records;
mod roles;
mod root_access;
mod root_login;
mod saml_metadata;
mod saml_providers;
mod server_certificates;
mod service_credentials;
mod settings;
mod signing_certificates;
mod simulate;
mod simulation;
mod ssh;
mod ssh_public_keys;
mod state;
mod tags;
#[cfg(test)]
mod testing;
mod trust;
mod users;
mod x509;

pub use linked_roles::deletion::{InUse, LinkedRole, RoleUsage, RoleUsers};
pub use login_profiles::PasswordCheck;
pub use mfa::tokens::{Imported, TokenSeed, is_token_serial};
pub use outbound_federation::PUBLISHED_AS;
pub use quotas::Quotas;
pub use server_certificates::CertificateServers;

use crate::access_advisor::jobs::Jobs;
use crate::across::AcrossAccounts;
use crate::aliases::Claimed;
use crate::background::Background;
use crate::credential_report::CredentialReport;
use crate::last_used::LastUsed;
use crate::passwords::Hashing;
use crate::records::{AccessKey, Credentials, Proofs, Record, Root};
use crate::state::Account;
use ringfence_gateway::clock::Clock;
use ringfence_gateway::notify::{NoTopics, Notify};
use ringfence_gateway::upkeep::Work;
use ringfence_gateway::{
    Follow, Handlers, Ledger, Ledgers, Mounted, Organizations, Recorder, Transients, Upkeep,
};
use ringfence_keyring::{Blinder, Domain, Keyring, Random, SecretString};
use ringfence_model_iam::SERVICE;
use ringfence_model_iam::operations as ops;
use ringfence_policy::AccountId;
use ringfence_store::{News, Store, StoreError};
use ringfence_webauthn::RelyingParty;
use ringfence_wire::ServiceError;
use std::sync::{Arc, OnceLock};

/// The service.
pub struct Iam {
    ledgers: Ledgers<Account>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    markers: Domain,
    quotas: Quotas,
    last_used: Arc<LastUsed>,
    background: Background,
    credential_reports: Arc<Transients<CredentialReport>>,
    access_jobs: Jobs,
    across: AcrossAccounts,
    alias_claims: Transients<Claimed>,
    hashing: Hashing,
    mfa_attempts: mfa::attempts::Attempts,
    ceremonies: mfa::ceremonies::Ceremonies,
    relying_party: OnceLock<RelyingParty>,
    service_passwords: Blinder,
    servers: OnceLock<Arc<dyn CertificateServers>>,
    deletions: Arc<linked_roles::deletion::Deletions>,
    trade_in_tokens: Domain,
    notify: OnceLock<Arc<dyn Notify>>,
    notice_claims: Transients<delegation::notices::Claimed>,
    issuers: outbound_federation::Issuers,
    organizations: OnceLock<Arc<dyn Organizations>>,
}

/// An access key of a root user.
#[derive(Debug)]
pub struct RootCredentials {
    /// The account.
    pub account: AccountId,
    /// The key's id.
    pub access_key_id: String,
    /// The key's secret.
    pub secret_access_key: Arc<SecretString>,
}

impl Iam {
    /// Loads every account of the store.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load(
        store: Arc<Store>,
        keyring: &Keyring,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        quotas: Quotas,
    ) -> Result<Arc<Self>, StoreError> {
        let iam = Self::open(store, keyring, clock, random, quotas)?;
        iam.load_the_rest(1)?;
        Ok(iam)
    }

    /// The same, each account when it is first asked for: see [`load_the_rest`](Self::load_the_rest).
    ///
    /// # Errors
    /// When the store fails.
    pub fn open(
        store: Arc<Store>,
        keyring: &Keyring,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        quotas: Quotas,
    ) -> Result<Arc<Self>, StoreError> {
        Ok(Arc::new(Self {
            alias_claims: Transients::load(store.clone())?,
            notice_claims: Transients::load(store.clone())?,
            credential_reports: Arc::new(Transients::load(store.clone())?),
            access_jobs: Jobs::load(store.clone())?,
            mfa_attempts: mfa::attempts::Attempts::load(store.clone())?,
            ceremonies: mfa::ceremonies::Ceremonies::load(store.clone())?,
            across: AcrossAccounts::default(),
            issuers: outbound_federation::Issuers::default(),
            hashing: Hashing::default(),
            ledgers: Ledgers::open(store)?,
            clock,
            random,
            markers: keyring.domain("iam-marker"),
            quotas,
            last_used: Arc::default(),
            background: Background::default(),
            relying_party: OnceLock::new(),
            service_passwords: keyring.blinder("iam-service-password"),
            servers: OnceLock::new(),
            deletions: Arc::default(),
            trade_in_tokens: keyring.domain("iam-trade-in-token"),
            notify: OnceLock::new(),
            organizations: OnceLock::new(),
        }))
    }

    /// Loads every account that was not asked for yet, on so many threads.
    ///
    /// # Errors
    /// When the store fails or a record does not decode.
    pub fn load_the_rest(&self, threads: usize) -> Result<(), StoreError> {
        self.ledgers.fill(threads)
    }

    /// How many accounts there are.
    pub fn count_accounts(&self) -> usize {
        self.ledgers.areas().len()
    }

    /// Says who delivers messages to topics. Without, no topic reaches anybody. It is said once; what
    /// is said again counts for nothing.
    pub fn notify_by(&self, notify: Arc<dyn Notify>) {
        let _ = self.notify.set(notify);
    }

    pub(crate) fn notify(&self) -> &dyn Notify {
        self.notify.get().map_or(&NoTopics, |notify| &**notify)
    }

    /// Makes an account and its root user's first access key.
    ///
    /// # Errors
    /// `EntityAlreadyExists`, or `ServiceFailure` when the store cannot keep it.
    pub async fn create_account(
        &self,
        id: AccountId,
        name: &str,
    ) -> Result<RootCredentials, ServiceError> {
        let created = self.clock.now().seconds;
        let key = self.draw_key(id, created)?;
        let proofs = Proofs { keys: [key.clone()].into(), ..Proofs::default() };
        let root = Root { name: name.to_owned(), created, credentials: proofs.into() };
        let root = Arc::new(root);
        self.make_ledger(id)?
            .write_unasked(|account, batch| {
                if account.root.is_some() {
                    return Err(errors::already("Account", &id.to_string()));
                }
                batch.put(Record::Account(root.clone()));
                Ok(())
            })
            .await?;
        Ok(credentials(id, &key))
    }

    /// Makes an account without access keys, unless it is there: for `--dev`, where credentials
    /// name any account.
    ///
    /// # Errors
    /// `ServiceFailure` when the store cannot keep it.
    pub async fn ensure_account(&self, id: AccountId) -> Result<(), ServiceError> {
        let ledger = self.make_ledger(id)?;
        if ledger.for_deciding().root.is_some() {
            return Ok(());
        }
        let created = self.clock.now().seconds;
        ledger
            .write_unasked(|account, batch| {
                if account.root.is_none() {
                    let credentials = Credentials::default();
                    let root = Root { name: id.to_string(), created, credentials };
                    batch.put(Record::Account(Arc::new(root)));
                }
                Ok(())
            })
            .await
    }

    /// Every account with its name, in the order of their numbers.
    pub fn accounts(&self) -> Vec<(AccountId, String)> {
        let mut all: Vec<(AccountId, String)> = self
            .ledgers
            .areas()
            .into_iter()
            .filter_map(|id| {
                let ledger = self.ledgers.get(id)?;
                let name = ledger.for_deciding().root.as_ref()?.name.clone();
                Some((id, name))
            })
            .collect();
        all.sort();
        all
    }

    /// An active access key of an account's root user. For the owner of the data directory alone.
    pub fn root_credentials(&self, id: AccountId) -> Option<RootCredentials> {
        let ledger = self.ledgers.get(id)?;
        let account = ledger.for_deciding();
        let key = account.root.as_ref()?.credentials.keys.iter().find(|key| key.active)?;
        Some(credentials(id, key))
    }

    /// The account's ledger. Every caller has one: an account that is gone authenticates nobody.
    pub(crate) fn ledger(&self, id: AccountId) -> Result<Arc<Ledger<Account>>, ServiceError> {
        self.ledgers.get(id).ok_or_else(|| errors::failed("the caller's account is not here"))
    }

    fn make_ledger(&self, id: AccountId) -> Result<Arc<Ledger<Account>>, ServiceError> {
        self.ledgers.get_or_make(id).map_err(errors::failed)
    }

    /// The operations that are built.
    pub fn handlers(self: &Arc<Self>) -> Mounted {
        Handlers::new(&SERVICE, self.clone())
            // Users.
            .on::<ops::CreateUser, _>(users::create_user)
            .on::<ops::GetUser, _>(users::get_user)
            .on::<ops::UpdateUser, _>(users::update_user)
            .on::<ops::DeleteUser, _>(users::delete_user)
            .on::<ops::ListUsers, _>(users::list_users)
            // Groups.
            .on::<ops::CreateGroup, _>(groups::create_group)
            .on::<ops::GetGroup, _>(groups::get_group)
            .on::<ops::UpdateGroup, _>(groups::update_group)
            .on::<ops::DeleteGroup, _>(groups::delete_group)
            .on::<ops::ListGroups, _>(groups::list_groups)
            .on::<ops::AddUserToGroup, _>(groups::add_user_to_group)
            .on::<ops::RemoveUserFromGroup, _>(groups::remove_user_from_group)
            .on::<ops::ListGroupsForUser, _>(groups::list_groups_for_user)
            // Roles.
            .on::<ops::CreateRole, _>(roles::create_role)
            .on::<ops::GetRole, _>(roles::get_role)
            .on::<ops::UpdateRole, _>(roles::update_role)
            .on::<ops::UpdateRoleDescription, _>(roles::update_role_description)
            .on::<ops::UpdateAssumeRolePolicy, _>(roles::update_assume_role_policy)
            .on::<ops::DeleteRole, _>(roles::delete_role)
            .on::<ops::ListRoles, _>(roles::list_roles)
            // Service-linked roles.
            .on::<ops::CreateServiceLinkedRole, _>(linked_roles::create_service_linked_role)
            .on::<ops::DeleteServiceLinkedRole, _>(linked_roles::delete_service_linked_role)
            .on::<ops::GetServiceLinkedRoleDeletionStatus, _>(
                linked_roles::get_service_linked_role_deletion_status,
            )
            // Managed policies.
            .on::<ops::CreatePolicy, _>(managed_policies::create_policy)
            .on::<ops::GetPolicy, _>(managed_policies::get_policy)
            .on::<ops::DeletePolicy, _>(managed_policies::delete_policy)
            .on::<ops::ListPolicies, _>(managed_policies::list_policies)
            .on::<ops::CreatePolicyVersion, _>(managed_policies::create_policy_version)
            .on::<ops::GetPolicyVersion, _>(managed_policies::get_policy_version)
            .on::<ops::ListPolicyVersions, _>(managed_policies::list_policy_versions)
            .on::<ops::DeletePolicyVersion, _>(managed_policies::delete_policy_version)
            .on::<ops::SetDefaultPolicyVersion, _>(managed_policies::set_default_policy_version)
            .on::<ops::ListEntitiesForPolicy, _>(attachments::list_entities_for_policy)
            // Inline policies.
            .on::<ops::PutUserPolicy, _>(inline_policies::put_user_policy)
            .on::<ops::GetUserPolicy, _>(inline_policies::get_user_policy)
            .on::<ops::DeleteUserPolicy, _>(inline_policies::delete_user_policy)
            .on::<ops::ListUserPolicies, _>(inline_policies::list_user_policies)
            .on::<ops::PutGroupPolicy, _>(inline_policies::put_group_policy)
            .on::<ops::GetGroupPolicy, _>(inline_policies::get_group_policy)
            .on::<ops::DeleteGroupPolicy, _>(inline_policies::delete_group_policy)
            .on::<ops::ListGroupPolicies, _>(inline_policies::list_group_policies)
            .on::<ops::PutRolePolicy, _>(inline_policies::put_role_policy)
            .on::<ops::GetRolePolicy, _>(inline_policies::get_role_policy)
            .on::<ops::DeleteRolePolicy, _>(inline_policies::delete_role_policy)
            .on::<ops::ListRolePolicies, _>(inline_policies::list_role_policies)
            // Attachments.
            .on::<ops::AttachUserPolicy, _>(attachments::attach_user_policy)
            .on::<ops::DetachUserPolicy, _>(attachments::detach_user_policy)
            .on::<ops::ListAttachedUserPolicies, _>(attachments::list_attached_user_policies)
            .on::<ops::AttachGroupPolicy, _>(attachments::attach_group_policy)
            .on::<ops::DetachGroupPolicy, _>(attachments::detach_group_policy)
            .on::<ops::ListAttachedGroupPolicies, _>(attachments::list_attached_group_policies)
            .on::<ops::AttachRolePolicy, _>(attachments::attach_role_policy)
            .on::<ops::DetachRolePolicy, _>(attachments::detach_role_policy)
            .on::<ops::ListAttachedRolePolicies, _>(attachments::list_attached_role_policies)
            // Delegation requests.
            .on::<ops::CreateDelegationRequest, _>(delegation::requests::create_delegation_request)
            .on::<ops::GetDelegationRequest, _>(delegation::requests::get_delegation_request)
            .on::<ops::ListDelegationRequests, _>(delegation::requests::list_delegation_requests)
            .on::<ops::AssociateDelegationRequest, _>(
                delegation::requests::associate_delegation_request,
            )
            .on::<ops::UpdateDelegationRequest, _>(delegation::requests::update_delegation_request)
            .on::<ops::AcceptDelegationRequest, _>(delegation::requests::accept_delegation_request)
            .on::<ops::RejectDelegationRequest, _>(delegation::requests::reject_delegation_request)
            .on::<ops::SendDelegationToken, _>(delegation::tokens::send_delegation_token)
            .on::<ops::GetHumanReadableSummary, _>(delegation::summary::get_human_readable_summary)
            // Boundaries.
            .on::<ops::PutUserPermissionsBoundary, _>(boundaries::put_user_permissions_boundary)
            .on::<ops::DeleteUserPermissionsBoundary, _>(
                boundaries::delete_user_permissions_boundary,
            )
            .on::<ops::PutRolePermissionsBoundary, _>(boundaries::put_role_permissions_boundary)
            .on::<ops::DeleteRolePermissionsBoundary, _>(
                boundaries::delete_role_permissions_boundary,
            )
            // Access keys.
            .on::<ops::SimulateCustomPolicy, _>(simulate::simulate_custom_policy)
            .on::<ops::SimulatePrincipalPolicy, _>(simulate::simulate_principal_policy)
            .on::<ops::GetContextKeysForCustomPolicy, _>(
                simulate::get_context_keys_for_custom_policy,
            )
            .on::<ops::GetContextKeysForPrincipalPolicy, _>(
                simulate::get_context_keys_for_principal_policy,
            )
            .on::<ops::CreateAccessKey, _>(access_keys::create_access_key)
            .on::<ops::UpdateAccessKey, _>(access_keys::update_access_key)
            .on::<ops::DeleteAccessKey, _>(access_keys::delete_access_key)
            .on::<ops::ListAccessKeys, _>(access_keys::list_access_keys)
            .on::<ops::GetAccessKeyLastUsed, _>(access_keys::get_access_key_last_used)
            // MFA devices.
            .on::<ops::CreateVirtualMFADevice, _>(mfa::virtual_devices::create_virtual_mfa_device)
            .on::<ops::DeleteVirtualMFADevice, _>(mfa::virtual_devices::delete_virtual_mfa_device)
            .on::<ops::ListVirtualMFADevices, _>(mfa::virtual_devices::list_virtual_mfa_devices)
            .on::<ops::EnableMFADevice, _>(mfa::owners::enable_mfa_device)
            .on::<ops::ResyncMFADevice, _>(mfa::owners::resync_mfa_device)
            .on::<ops::DeactivateMFADevice, _>(mfa::owners::deactivate_mfa_device)
            .on::<ops::ListMFADevices, _>(mfa::owners::list_mfa_devices)
            .on::<ops::GetMFADevice, _>(mfa::owners::get_mfa_device)
            .on::<ops::TagMFADevice, _>(mfa::virtual_devices::tag_mfa_device)
            .on::<ops::UntagMFADevice, _>(mfa::virtual_devices::untag_mfa_device)
            .on::<ops::ListMFADeviceTags, _>(mfa::virtual_devices::list_mfa_device_tags)
            // SSH public keys.
            .on::<ops::UploadSSHPublicKey, _>(ssh_public_keys::upload_ssh_public_key)
            .on::<ops::GetSSHPublicKey, _>(ssh_public_keys::get_ssh_public_key)
            .on::<ops::ListSSHPublicKeys, _>(ssh_public_keys::list_ssh_public_keys)
            .on::<ops::UpdateSSHPublicKey, _>(ssh_public_keys::update_ssh_public_key)
            .on::<ops::DeleteSSHPublicKey, _>(ssh_public_keys::delete_ssh_public_key)
            // Signing certificates.
            .on::<ops::UploadSigningCertificate, _>(
                signing_certificates::upload_signing_certificate,
            )
            .on::<ops::ListSigningCertificates, _>(signing_certificates::list_signing_certificates)
            .on::<ops::UpdateSigningCertificate, _>(
                signing_certificates::update_signing_certificate,
            )
            .on::<ops::DeleteSigningCertificate, _>(
                signing_certificates::delete_signing_certificate,
            )
            // Server certificates.
            .on::<ops::UploadServerCertificate, _>(server_certificates::upload_server_certificate)
            .on::<ops::GetServerCertificate, _>(server_certificates::get_server_certificate)
            .on::<ops::ListServerCertificates, _>(server_certificates::list_server_certificates)
            .on::<ops::UpdateServerCertificate, _>(server_certificates::update_server_certificate)
            .on::<ops::DeleteServerCertificate, _>(server_certificates::delete_server_certificate)
            .on::<ops::TagServerCertificate, _>(tags::tag_server_certificate)
            .on::<ops::UntagServerCertificate, _>(tags::untag_server_certificate)
            .on::<ops::ListServerCertificateTags, _>(tags::list_server_certificate_tags)
            // Credentials for one service alone.
            .on::<ops::CreateServiceSpecificCredential, _>(
                service_credentials::create_service_specific_credential,
            )
            .on::<ops::ListServiceSpecificCredentials, _>(
                service_credentials::list_service_specific_credentials,
            )
            .on::<ops::UpdateServiceSpecificCredential, _>(
                service_credentials::update_service_specific_credential,
            )
            .on::<ops::ResetServiceSpecificCredential, _>(
                service_credentials::reset_service_specific_credential,
            )
            .on::<ops::DeleteServiceSpecificCredential, _>(
                service_credentials::delete_service_specific_credential,
            )
            // Instance profiles.
            .on::<ops::CreateInstanceProfile, _>(instance_profiles::create_instance_profile)
            .on::<ops::GetInstanceProfile, _>(instance_profiles::get_instance_profile)
            .on::<ops::DeleteInstanceProfile, _>(instance_profiles::delete_instance_profile)
            .on::<ops::ListInstanceProfiles, _>(instance_profiles::list_instance_profiles)
            .on::<ops::ListInstanceProfilesForRole, _>(
                instance_profiles::list_instance_profiles_for_role,
            )
            .on_passing::<ops::AddRoleToInstanceProfile, _>(
                instance_profiles::add_role_to_instance_profile,
            )
            .on::<ops::RemoveRoleFromInstanceProfile, _>(
                instance_profiles::remove_role_from_instance_profile,
            )
            // Tags.
            .on::<ops::TagUser, _>(tags::tag_user)
            .on::<ops::UntagUser, _>(tags::untag_user)
            .on::<ops::ListUserTags, _>(tags::list_user_tags)
            .on::<ops::TagRole, _>(tags::tag_role)
            .on::<ops::UntagRole, _>(tags::untag_role)
            .on::<ops::ListRoleTags, _>(tags::list_role_tags)
            .on::<ops::TagPolicy, _>(tags::tag_policy)
            .on::<ops::UntagPolicy, _>(tags::untag_policy)
            .on::<ops::ListPolicyTags, _>(tags::list_policy_tags)
            .on::<ops::TagInstanceProfile, _>(tags::tag_instance_profile)
            .on::<ops::UntagInstanceProfile, _>(tags::untag_instance_profile)
            .on::<ops::ListInstanceProfileTags, _>(tags::list_instance_profile_tags)
            // Console passwords.
            .on::<ops::CreateLoginProfile, _>(login_profiles::create_login_profile)
            .on::<ops::GetLoginProfile, _>(login_profiles::get_login_profile)
            .on::<ops::UpdateLoginProfile, _>(login_profiles::update_login_profile)
            .on::<ops::DeleteLoginProfile, _>(login_profiles::delete_login_profile)
            .on::<ops::ChangePassword, _>(login_profiles::change_password)
            .on::<ops::UpdateAccountPasswordPolicy, _>(
                password_policy::update_account_password_policy,
            )
            .on::<ops::GetAccountPasswordPolicy, _>(password_policy::get_account_password_policy)
            .on::<ops::DeleteAccountPasswordPolicy, _>(
                password_policy::delete_account_password_policy,
            )
            // OpenID Connect providers.
            .on::<ops::CreateOpenIDConnectProvider, _>(
                oidc_providers::create_open_id_connect_provider,
            )
            .on::<ops::GetOpenIDConnectProvider, _>(oidc_providers::get_open_id_connect_provider)
            .on::<ops::ListOpenIDConnectProviders, _>(
                oidc_providers::list_open_id_connect_providers,
            )
            .on::<ops::DeleteOpenIDConnectProvider, _>(
                oidc_providers::delete_open_id_connect_provider,
            )
            .on::<ops::AddClientIDToOpenIDConnectProvider, _>(
                oidc_providers::add_client_id_to_open_id_connect_provider,
            )
            .on::<ops::RemoveClientIDFromOpenIDConnectProvider, _>(
                oidc_providers::remove_client_id_from_open_id_connect_provider,
            )
            .on::<ops::UpdateOpenIDConnectProviderThumbprint, _>(
                oidc_providers::update_open_id_connect_provider_thumbprint,
            )
            .on::<ops::TagOpenIDConnectProvider, _>(provider_tags::tag_open_id_connect_provider)
            .on::<ops::UntagOpenIDConnectProvider, _>(provider_tags::untag_open_id_connect_provider)
            .on::<ops::ListOpenIDConnectProviderTags, _>(
                provider_tags::list_open_id_connect_provider_tags,
            )
            // SAML providers.
            .on::<ops::CreateSAMLProvider, _>(saml_providers::create_saml_provider)
            .on::<ops::GetSAMLProvider, _>(saml_providers::get_saml_provider)
            .on::<ops::ListSAMLProviders, _>(saml_providers::list_saml_providers)
            .on::<ops::UpdateSAMLProvider, _>(saml_providers::update_saml_provider)
            .on::<ops::DeleteSAMLProvider, _>(saml_providers::delete_saml_provider)
            .on::<ops::TagSAMLProvider, _>(provider_tags::tag_saml_provider)
            .on::<ops::UntagSAMLProvider, _>(provider_tags::untag_saml_provider)
            .on::<ops::ListSAMLProviderTags, _>(provider_tags::list_saml_provider_tags)
            // Reports.
            .on::<ops::GenerateCredentialReport, _>(credential_report::generate_credential_report)
            .on::<ops::GetCredentialReport, _>(credential_report::get_credential_report)
            .on::<ops::GenerateServiceLastAccessedDetails, _>(
                access_advisor::details::generate_service_last_accessed_details,
            )
            .on::<ops::GetServiceLastAccessedDetails, _>(
                access_advisor::details::get_service_last_accessed_details,
            )
            .on::<ops::GetServiceLastAccessedDetailsWithEntities, _>(
                access_advisor::details::get_service_last_accessed_details_with_entities,
            )
            .on::<ops::ListPoliciesGrantingServiceAccess, _>(
                access_advisor::grants::list_policies_granting_service_access,
            )
            .on::<ops::GenerateOrganizationsAccessReport, _>(
                access_advisor::organizations::generate_organizations_access_report,
            )
            .on::<ops::GetOrganizationsAccessReport, _>(
                access_advisor::organizations::get_organizations_access_report,
            )
            // Outbound identity federation.
            .on::<ops::EnableOutboundWebIdentityFederation, _>(
                outbound_federation::enable_outbound_web_identity_federation,
            )
            .on::<ops::DisableOutboundWebIdentityFederation, _>(
                outbound_federation::disable_outbound_web_identity_federation,
            )
            .on::<ops::GetOutboundWebIdentityFederationInfo, _>(
                outbound_federation::get_outbound_web_identity_federation_info,
            )
            // Central root access.
            .on::<ops::EnableOrganizationsRootCredentialsManagement, _>(
                root_access::enable_organizations_root_credentials_management,
            )
            .on::<ops::EnableOrganizationsRootSessions, _>(
                root_access::enable_organizations_root_sessions,
            )
            .on::<ops::DisableOrganizationsRootCredentialsManagement, _>(
                root_access::disable_organizations_root_credentials_management,
            )
            .on::<ops::DisableOrganizationsRootSessions, _>(
                root_access::disable_organizations_root_sessions,
            )
            .on::<ops::ListOrganizationsFeatures, _>(root_access::list_organizations_features)
            // The account.
            .on::<ops::CreateAccountAlias, _>(aliases::create_account_alias)
            .on::<ops::DeleteAccountAlias, _>(aliases::delete_account_alias)
            .on::<ops::ListAccountAliases, _>(aliases::list_account_aliases)
            .on::<ops::GetAccountProperties, _>(settings::get_account_properties)
            .on::<ops::PutAccountProperties, _>(settings::put_account_properties)
            .on::<ops::SetSecurityTokenServicePreferences, _>(
                settings::set_security_token_service_preferences,
            )
            .on::<ops::GetAccountSummary, _>(account::get_account_summary)
            .on::<ops::GetAccountAuthorizationDetails, _>(
                authorization_details::get_account_authorization_details,
            )
            .finish()
    }
}

fn credentials(account: AccountId, key: &AccessKey) -> RootCredentials {
    RootCredentials {
        account,
        access_key_id: key.id.as_str().to_owned(),
        secret_access_key: key.secret.clone(),
    }
}

/// Service-linked roles whose deletion was asked for go.
impl Iam {
    fn transients(&self) -> [&dyn Follow; 6] {
        [
            &self.alias_claims,
            &self.notice_claims,
            &*self.credential_reports,
            &*self.access_jobs.0,
            &self.mfa_attempts.0,
            &self.ceremonies.0,
        ]
    }

    /// Removes what is over.
    async fn sweep(&self) {
        let now = self.clock.now().seconds;
        self.alias_claims.sweep(now).await;
        self.notice_claims.sweep(now).await;
        self.credential_reports.sweep(now).await;
        self.access_jobs.0.sweep(now).await;
        self.mfa_attempts.0.sweep(now).await;
        self.ceremonies.0.sweep(now).await;
    }
}

impl Follow for Iam {
    fn follow(&self, news: &News) -> Result<(), StoreError> {
        self.ledgers.follow(news)?.into_iter().for_each(|id| self.note_across(id));
        self.transients().into_iter().try_for_each(|kind| kind.follow(news))
    }

    fn read_anew(&self) -> Result<(), StoreError> {
        self.ledgers.read_anew()?;
        self.ledgers.areas().into_iter().for_each(|id| self.note_across(id));
        self.transients().into_iter().try_for_each(|kind| kind.read_anew())
    }
}

impl Upkeep for Iam {
    fn carry_on<'a>(&'a self, _: &'a Recorder) -> Work<'a> {
        Box::pin(async {
            self.carry_on_deletions().await;
            self.sweep().await;
        })
    }

    fn keep_notes(&self) -> Work<'_> {
        Box::pin(self.flush_last_used())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER, iam_over, store};
    use ringfence_gateway::{Directory, Identity};

    #[tokio::test]
    async fn an_account_is_made_once_with_a_key_that_is_roots() {
        let store = store();
        let iam = iam_over(&store);
        assert!(!iam.account_exists(ID));
        let root = iam.create_account(ID, "first").await.unwrap();
        let refused = iam.create_account(ID, "again").await.unwrap_err();
        assert_eq!(refused.code, "EntityAlreadyExists");

        // Everything acknowledged is there for the next start.
        let iam = iam_over(&store);
        assert_eq!(iam.accounts(), [(ID, "first".to_owned())]);
        let key = iam.access_key(&root.access_key_id).unwrap();
        assert_eq!(key.owner, Identity::Root { account: ID });
        assert!(key.active && key.secret.matches(root.secret_access_key.expose().as_bytes()));
        let told = iam.root_credentials(ID).unwrap();
        assert_eq!(told.access_key_id, root.access_key_id);
        assert!(!format!("{told:?}").contains(root.secret_access_key.expose()));
    }

    #[tokio::test]
    async fn an_account_that_is_ensured_has_no_key() {
        let iam = iam_over(&store());
        iam.ensure_account(ID).await.unwrap();
        iam.ensure_account(ID).await.unwrap();
        assert!(iam.account_exists(ID) && !iam.account_exists(OTHER));
        assert!(iam.root_credentials(ID).is_none());
    }

    #[test]
    fn only_operations_of_the_model_are_built() {
        let iam = iam_over(&store());
        let mounted = iam.handlers();
        assert!(mounted.built().count() > 80);
        assert!(mounted.built().all(|name| SERVICE.operation(name).is_some()));
    }

    #[tokio::test]
    async fn a_user_that_another_server_renames_keeps_its_key_here() {
        use crate::entity::Entity as _;
        use crate::testing::user;
        use ringfence_gateway::State as _;
        let store = store();
        let here = iam_over(&store);
        here.create_account(ID, "test").await.unwrap();
        let key = here.draw_key(ID, 1).unwrap();
        let id = key.id;
        let mut ann = user("user-0", "/", "AIDA1");
        ann.credentials = Proofs { keys: [key].into(), ..Proofs::default() }.into();
        let mut heard = 0;
        let there = iam_over(&store);
        // The order of keys in the store is not that of names.
        for number in 0..16 {
            let renamed = records::User { name: format!("user-{number}").into(), ..ann.clone() };
            let gone = state::Account::key(&records::User::record(Arc::new(ann.clone())));
            here.ledger(ID)
                .unwrap()
                .write_unasked(|_, batch| {
                    batch.delete(gone.clone());
                    batch.put(records::User::record(Arc::new(renamed.clone())));
                    Ok(())
                })
                .await
                .unwrap();
            let news = store.news(heard).unwrap();
            heard = news.position;
            there.follow(&news).unwrap();
            let account = there.ledger(ID).unwrap();
            assert!(account.for_deciding().key_owner(&id).is_some(), "{number}");
            ann = renamed;
        }
    }
}
