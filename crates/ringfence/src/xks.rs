//! `ringfence xks`: the external key store proxies of a data directory, while its server is stopped.

use crate::cli::{Xks, XksProxy};
use crate::house::House;
use crate::world;
use anyhow::Context as _;
use ringfence_gateway::Regional;
use ringfence_gateway::clock::SystemClock;
use ringfence_kms::{Kms, Quotas, xks_proxy_path};
use std::io::Write as _;
use std::sync::Arc;

/// Does what was asked to a proxy.
pub fn xks(command: &Xks) -> anyhow::Result<()> {
    match command {
        Xks::Credential(proxy) => {
            let at = At::open(proxy)?;
            let made = at.run(at.kms.make_proxy_credential(&at.home))?;
            // The file that AWS's console takes, in the form of the specification's.
            // https://github.com/aws/aws-kms-xksproxy-api-spec/blob/main/xks_proxy_api_spec.md#xks-proxy-configuration-in-aws-kms-console
            let file = serde_json::json!({
                "XksProxyUriPath": xks_proxy_path(&at.home),
                "XksProxyAuthenticationCredential": {
                    "AccessKeyId": made.access_key_id,
                    "RawSecretAccessKey": made.secret.expose(),
                },
            });
            writeln!(std::io::stdout(), "{file:#}")?;
        }
        Xks::Revoke { proxy, access_key_id } => {
            let at = At::open(proxy)?;
            at.run(at.kms.revoke_proxy_credential(&at.home, access_key_id))?;
        }
        Xks::Open { proxy, id, key } => {
            let at = At::open(proxy)?;
            let id = at.run(at.kms.open_key(&at.home, key, id.as_deref()))?;
            writeln!(std::io::stdout(), "{id}")?;
        }
        Xks::Close { proxy, id } => {
            let at = At::open(proxy)?;
            at.run(at.kms.close_key(&at.home, id))?;
        }
    }
    Ok(())
}

/// A proxy that is worked on.
struct At {
    home: Regional,
    kms: Arc<Kms>,
    /// Keeps the data directory this process's own.
    _house: House,
}

impl At {
    fn open(proxy: &XksProxy) -> anyhow::Result<Self> {
        let house = House::open(&proxy.place)?;
        let account = match proxy.account {
            Some(account) => account,
            None => {
                house.management()?.context("there is no management account: give --account")?
            }
        };
        let home = format!("{account}/{}", proxy.region);
        let home = home.parse().with_context(|| format!("`{}` is no region", proxy.region))?;
        let clock = Arc::new(SystemClock);
        let quotas = Quotas::default();
        let kms = world::kms(house.store.clone(), &house.keyring, clock, quotas)?;
        Ok(Self { home, kms, _house: house })
    }

    fn run<T>(
        &self,
        work: impl Future<Output = Result<T, ringfence_kms::NotDone>>,
    ) -> anyhow::Result<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(runtime.block_on(work)?)
    }
}
