//! Which services there are, and what they share.

use crate::cli::{Quota, Serve};
use anyhow::bail;
use ringfence_accessanalyzer::AccessAnalyzer;
use ringfence_gateway::clock::Clock;
use ringfence_gateway::session::Tokens;
use ringfence_gateway::{
    AuthorizationMessages, Directory, NoOrganizations, OpenAccounts, Shared, Trail, World,
};
use ringfence_iam::{Iam, Quotas};
use ringfence_keyring::{Keyring, Random, SystemRandom};
use ringfence_kms::{Backends, Kms, XKS_PROXY, XksProxies};
use ringfence_policy::AccountId;
use ringfence_store::{Store, StoreError};
use ringfence_sts::{Issuers, Sts};
use ringfence_wire::ServiceError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// IAM over a store.
pub fn iam(
    store: Arc<Store>,
    keyring: &Keyring,
    clock: Arc<dyn Clock>,
    quotas: Quotas,
) -> Result<Arc<Iam>, StoreError> {
    Iam::load(store, keyring, clock, Arc::new(SystemRandom), quotas)
}

/// The same, that reads an account when it is first asked for.
pub fn iam_opened(
    store: Arc<Store>,
    keyring: &Keyring,
    clock: Arc<dyn Clock>,
    quotas: Quotas,
) -> Result<Arc<Iam>, StoreError> {
    Iam::open(store, keyring, clock, Arc::new(SystemRandom), quotas)
}

/// KMS over a store.
pub fn kms(
    store: Arc<Store>,
    keyring: &Keyring,
    clock: Arc<dyn Clock>,
    quotas: ringfence_kms::Quotas,
) -> Result<Arc<Kms>, StoreError> {
    Kms::load(store, keyring, clock, Arc::new(SystemRandom), quotas)
}

/// Access Analyzer over a store.
pub fn access_analyzer(
    store: Arc<Store>,
    keyring: &Keyring,
    clock: Arc<dyn Clock>,
) -> Result<Arc<AccessAnalyzer>, StoreError> {
    AccessAnalyzer::load(store, keyring, clock)
}

/// What backs the custom key stores of KMS, as the command line says. Clusters and endpoints that name
/// no account are `owner`'s.
pub fn backends(options: &Serve, owner: AccountId) -> Backends {
    Backends {
        hsms: options.hsm.clone(),
        endpoints: options.xks_endpoint.clone(),
        xks_patience: Duration::from_millis(options.xks_timeout.into()),
        owner: Some(owner),
    }
}

/// Tells IAM of what is around it. `issuer_url` is where this server is reached from outside: what
/// the issuers of its accounts' tokens begin with.
pub fn introduce(iam: &Iam, issuer_url: &str) {
    iam.issue_tokens_at(issuer_url);
    // Until a service knows better.
    iam.ask_organizations(Arc::new(NoOrganizations));
}

/// Every service.
pub fn world(
    iam: &Arc<Iam>,
    kms: &Arc<Kms>,
    analyzer: &Arc<AccessAnalyzer>,
    keyring: &Keyring,
    clock: Arc<dyn Clock>,
    issuers: Arc<Issuers>,
    trail: Trail,
) -> World {
    let sts = Arc::new(Sts::with_issuers(issuers).issuing(iam.clone()));
    let services = vec![
        iam.handlers(),
        sts.handlers(),
        iam.security_keys().join(sts.security_key_sessions()),
        analyzer.handlers(),
        kms.handlers(),
    ];
    let directory: Arc<dyn Directory> = iam.clone();
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let shared = Shared {
        directory,
        clock,
        random,
        tokens: Tokens::new(keyring),
        authorization_messages: AuthorizationMessages::new(keyring),
        trail,
    };
    World::new(services, Arc::new(shared))
        .publishing(ringfence_iam::PUBLISHED_AS, iam.clone())
        .beside(XKS_PROXY, XksProxies::new(kms.clone()))
        .keeping_up(iam.clone())
        .keeping_up(kms.clone())
        .keeping_up(analyzer.clone())
}

/// The quotas of every service.
#[derive(Clone)]
pub struct AllQuotas {
    pub iam: Quotas,
    pub kms: ringfence_kms::Quotas,
}

/// AWS's quotas, changed as the command line says. `--dev` counts no calls, unless told.
pub fn quotas(changes: &[Quota], dev: bool) -> anyhow::Result<AllQuotas> {
    let mut quotas = AllQuotas {
        iam: Quotas::default(),
        kms: match dev {
            true => ringfence_kms::Quotas::without_rates(),
            false => ringfence_kms::Quotas::default(),
        },
    };
    for Quota { service, name, value } in changes {
        let known = match service.as_str() {
            "iam" => quotas.iam.set(name, *value),
            "kms" => quotas.kms.set(name, *value),
            _ => false,
        };
        if !known {
            bail!("there is no quota `{service}:{name}`");
        }
    }
    Ok(quotas)
}

/// Makes the accounts that `--dev`'s credentials name.
pub struct Named(pub Arc<Iam>);

impl OpenAccounts for Named {
    fn ensure<'a>(
        &'a self,
        id: AccountId,
    ) -> Pin<Box<dyn Future<Output = Result<(), ServiceError>> + 'a>> {
        Box::pin(self.0.ensure_account(id))
    }
}

#[cfg(test)]
mod root_access;
#[cfg(test)]
mod tenure;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod via_service;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_that_is_none_is_refused() {
        let quota = |service: &str, name: &str| Quota {
            service: service.into(),
            name: name.into(),
            value: 7,
        };
        let set = |service: &str, name: &str| quotas(&[quota(service, name)], false);
        assert_eq!(set("iam", "users").unwrap().iam.users, 7);
        assert_eq!(set("kms", "keys").unwrap().kms.keys, 7);
        for (service, name) in [("iam", "moons"), ("kms", "users"), ("s3", "users")] {
            assert!(set(service, name).is_err(), "{service}:{name}");
        }
    }
}
