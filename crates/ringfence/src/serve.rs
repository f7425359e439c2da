//! `ringfence serve`: the server, from its start to its end.

use crate::audit;
use crate::cli::{self, Place};
use crate::exports::Exports;
use crate::house::{House, Seal, draw_account};
use crate::lease::Lease;
use crate::notify::Topics;
use crate::process;
use crate::world::{self, AllQuotas, Named};
use anyhow::{Context as _, anyhow, bail};
use ringfence_gateway::clock::{MovedClock, SystemClock};
use ringfence_gateway::follow::follow;
use ringfence_gateway::server::until_asked_to_stop;
use ringfence_gateway::{
    Audit, Dev, Directory as _, Follow, Gateway, Limits, Server, Trail, World,
};
use ringfence_iam::{Iam, RootCredentials};
use ringfence_keyring::Keyring;
use ringfence_kms::Backends;
use ringfence_policy::AccountId;
use ringfence_store::model::Model;
use ringfence_store::{Store, StoreError};
use ringfence_sts::Issuers;
use ringfence_webauthn::RelyingParty;
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// How often services do what is due, and write down the last uses of keys and roles.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);

/// Runs the server until it is asked to stop.
pub fn serve(options: &cli::Serve) -> anyhow::Result<()> {
    let quotas = world::quotas(&options.quota, options.dev)?;
    let issuers =
        Issuers::by_hand(&options.oidc_keys).map_err(|why| anyhow!(why).context("--oidc-keys"))?;
    if options.dev && !options.listen.ip().is_loopback() {
        bail!("--dev listens on a loopback address only: it takes any secret");
    }
    // First of all: whoever cannot listen must not make a store.
    let listener =
        listen(options.listen).with_context(|| format!("cannot listen on {}", options.listen))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let topics = Topics::of(&options.notify).map_err(|why| anyhow!(why).context("--notify"))?;
    let party = relying_party(options, listener.local_addr()?.port())?;
    let start = Start { options, listener, runtime, issuers: Arc::new(issuers), topics, party };
    if options.dev { start.relaxed(quotas) } else { start.durable(quotas) }
}

/// A start that has its socket.
struct Start<'o> {
    options: &'o cli::Serve,
    listener: TcpListener,
    runtime: Runtime,
    issuers: Arc<Issuers>,
    topics: Topics,
    party: RelyingParty,
}

impl Start<'_> {
    /// A server over a data directory.
    fn durable(self, quotas: AllQuotas) -> anyhow::Result<()> {
        process::lock_memory();
        let house = House::open_to_serve(&self.options.place, self.options.consistency.into())?;
        let clock = Arc::new(SystemClock);
        let loaded_from = (house.store.epoch()?, house.store.last_position()?);
        let iam =
            world::iam_opened(house.store.clone(), &house.keyring, clock.clone(), quotas.iam)?;
        let kms = world::kms(house.store.clone(), &house.keyring, clock.clone(), quotas.kms)?;
        let analyzer = world::access_analyzer(house.store.clone(), &house.keyring, clock.clone())?;
        if self.options.place.store.is_some() {
            let services: Vec<Arc<dyn Follow>> = vec![iam.clone(), kms.clone(), analyzer.clone()];
            follow(house.store.clone(), loaded_from, services)?;
        }
        let fitness = house.store.fitness();
        if let Some(fit) = &fitness {
            self.runtime.block_on(until_fit(&**fit))?;
        }
        self.topics.serve(&iam)?;
        iam.accept_security_keys(self.party.clone());
        let (management, first) = self.management(&house, &iam)?;
        kms.back_key_stores(world::backends(self.options, management));
        let log = audit::Log::of(&house, self.options.audit.as_deref())?;
        log.look_for_the_head()?;
        let rule = self.options.audit_sync.into();
        let audit = Audit::open(&log.dir, rule, log.key()?, log.noting_the_head())
            .with_context(|| format!("{}", log.dir.display()))?;
        let endpoint = self.endpoint()?;
        world::introduce(&iam, &self.issuer_url(&endpoint));
        let world = world::world(
            &iam,
            &kms,
            &analyzer,
            &house.keyring,
            clock,
            self.issuers.clone(),
            Trail::in_directory(&log.all),
        );
        let world = world.while_fit(fitness);
        let gateway = Arc::new(Gateway::new(world, audit, management, None)?);

        house.note_endpoint(&endpoint)?;
        let dir = house.dir.display();
        let accounts = iam.count_accounts();
        let said = format!(
            "{NAME}: every call is authenticated, authorised and recorded; enforcement is on\n\
             listen  {endpoint}\n\
             data    {dir}, audit events in {}\n\
             seal    {}; without it nobody can open the data: keep a copy elsewhere\n\
             store   {}, {accounts} account{}, management account {management}\n",
            if self.options.audit.is_some() {
                log.dir.display().to_string()
            } else {
                "audit/".into()
            },
            house.seal,
            if self.options.place.store.is_some() { "postgres" } else { "sqlite" },
            if accounts == 1 { "" } else { "s" },
        );
        // Said before the first answer: who finds the server healthy finds its credentials too.
        announce(&said, first.as_ref(), &endpoint)?;
        let server = self.start(&gateway)?;
        let loaded = load_the_rest(iam.clone())?;
        house.seal_anew();
        let lease = match self.options.place.store {
            Some(_) => Some(Lease::new(house.store.clone())?),
            None => None,
        };
        let upkeep = async {
            loaded.await.context("what loads accounts has ended")??;
            loop {
                let ours = match &lease {
                    Some(lease) => lease.take(Instant::now()).await,
                    None => true,
                };
                if ours {
                    gateway.carry_on().await;
                }
                tokio::time::sleep(UPKEEP_EVERY).await;
                gateway.keep_notes().await;
            }
        };
        let ended = self.until_stopped(upkeep);
        server.stop();
        if let Some(lease) = &lease {
            self.runtime.block_on(lease.leave());
        }
        self.runtime.block_on(gateway.keep_notes());
        // Its log closes, and notes that in the store.
        drop(gateway);
        house.store.close();
        tracing::info!("stopped");
        ended
    }

    /// A server that keeps nothing: `--dev`.
    fn relaxed(self, quotas: AllQuotas) -> anyhow::Result<()> {
        if let Place { data: Some(dir), .. } = &self.options.place {
            bail!("--dev keeps nothing: it takes no --data {}", dir.display());
        }
        if self.options.place.store.is_some() {
            bail!("--dev keeps nothing: it takes no --store");
        }
        let account = self.options.account.map_or_else(|| AccountId::new(0).context("0"), Ok)?;
        let clock = Arc::new(MovedClock::default());
        let endpoint = self.endpoint()?;
        let fresh = Fresh {
            account,
            clock: clock.clone(),
            quotas,
            backends: world::backends(self.options, account),
            issuers: self.issuers.clone(),
            topics: self.topics.clone(),
            issuer_url: self.issuer_url(&endpoint),
            party: self.party.clone(),
        };
        let make = move || fresh.world().map_err(|e| format!("{e:#}"));
        let world = make().map_err(|error| anyhow!(error))?;
        let dev = Dev { account, clock, make: Box::new(make) };
        let gateway = Arc::new(Gateway::new(world, Audit::nothing(), account, Some(dev))?);

        let said = format!(
            "{NAME} --dev: for tests and laptops; users, roles and keys made inside are enforced\n\
             listen  {endpoint}, loopback only\n\
             relaxed a key id of twelve digits is root of that account, with any secret; so is any\n\
             \x20       other that is not AKIA… or ASIA…, of account {account}\n\
             kept    nothing: the store is in memory and ends with the process; so do the last 64 MiB of events\n",
        );
        announce(&said, None, &endpoint)?;
        let server = self.start(&gateway)?;
        self.until_stopped(std::future::pending())?;
        server.stop();
        Ok(())
    }

    /// The management account, made on the first start; then its credentials too.
    fn management(
        &self,
        house: &House,
        iam: &Iam,
    ) -> anyhow::Result<(AccountId, Option<RootCredentials>)> {
        let asked = self.options.account;
        let management = match house.management()? {
            Some(there) => {
                if let Some(asked) = asked.filter(|asked| *asked != there) {
                    bail!("the management account of this store is {there}, not {asked}");
                }
                there
            }
            None => {
                let chosen = asked.map_or_else(draw_account, Ok)?;
                house.choose_management(chosen)?
            }
        };
        // A first start may have been cut short between the two.
        if iam.account_exists(management) {
            return Ok((management, None));
        }
        let made = self.runtime.block_on(iam.create_account(management, "management"));
        match made {
            Ok(made) => Ok((management, Some(made))),
            // Another server of the same store has just made it.
            Err(_) if iam.account_exists(management) => Ok((management, None)),
            Err(error) => bail!("the management account was not made: {}", error.message),
        }
    }

    fn start(&self, gateway: &Arc<Gateway>) -> anyhow::Result<Server> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = self.options.threads.map_or_else(cores, usize::from);
        // The store, the audit log and the runtimes need some files too.
        let mut limits = Limits::default();
        let files = process::raise_open_files().saturating_sub(128) / threads.max(1);
        limits.connections = limits.connections.min(files.max(1));
        Ok(Server::start(gateway, &self.listener, threads, limits)?)
    }

    /// Waits for the signal to stop, doing `upkeep` meanwhile; whether that failed.
    fn until_stopped(
        &self,
        upkeep: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            tokio::select! {
                asked = until_asked_to_stop() => {
                    tracing::info!(signal = asked?, "stopping");
                    Ok(())
                }
                ended = upkeep => ended,
            }
        })
    }

    /// What the issuers of tokens begin with.
    fn issuer_url(&self, endpoint: &str) -> String {
        self.options.issuer_url.clone().unwrap_or_else(|| endpoint.to_owned())
    }

    /// The URL for a client on this machine.
    fn endpoint(&self) -> anyhow::Result<String> {
        let mut address = self.listener.local_addr()?;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Ok(format!("http://{address}"))
    }
}

/// Loads the accounts that nobody has asked for yet, beside the threads that serve: so a server answers at
/// once however many there are, and soon needs the store for none of them. A store that is away is waited
/// for; one that cannot be read is an error, which the receiver hears.
fn load_the_rest(iam: Arc<Iam>) -> std::io::Result<oneshot::Receiver<anyhow::Result<()>>> {
    const PAUSE: Duration = Duration::from_secs(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).saturating_sub(1);
    let (reply, loaded) = oneshot::channel();
    let load = move || {
        let ended = loop {
            match iam.load_the_rest(threads) {
                Err(error @ (StoreError::Engine(_) | StoreError::Again(_))) => {
                    tracing::warn!(%error, "accounts are not loaded yet");
                    std::thread::sleep(PAUSE);
                }
                ended => break ended.context("an account cannot be loaded"),
            }
        };
        drop(reply.send(ended));
    };
    std::thread::Builder::new().name("load-accounts".into()).spawn(load)?;
    Ok(loaded)
}

/// Waits until this server is one of those that decide.
async fn until_fit(fit: &(dyn Fn() -> Option<u64> + Send + Sync)) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let waiting = async {
        while fit().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.context("this server gets no lease of the store")
}

const NAME: &str = concat!("ringfence ", env!("CARGO_PKG_VERSION"));

/// What makes a world with nothing in it, again and again.
struct Fresh {
    account: AccountId,
    clock: Arc<MovedClock>,
    quotas: AllQuotas,
    backends: Backends,
    issuers: Arc<Issuers>,
    topics: Topics,
    issuer_url: String,
    party: RelyingParty,
}

impl Fresh {
    fn world(&self) -> anyhow::Result<World> {
        let (clock, quotas) = (self.clock.clone(), self.quotas.clone());
        let keyring = Keyring::ephemeral()?;
        let store = Arc::new(Store::open(Model::default(), Seal::of(&keyring))?);
        let iam = world::iam(store.clone(), &keyring, clock.clone(), quotas.iam)?;
        let kms = world::kms(store.clone(), &keyring, clock.clone(), quotas.kms)?;
        let analyzer = world::access_analyzer(store, &keyring, clock.clone())?;
        kms.back_key_stores(self.backends.clone());
        self.topics.serve(&iam)?;
        world::introduce(&iam, &self.issuer_url);
        iam.accept_security_keys(self.party.clone());
        let issuers = self.issuers.clone();
        let world =
            world::world(&iam, &kms, &analyzer, &keyring, clock, issuers, Trail::in_memory());
        Ok(world.relaxed(self.account, Arc::new(Named(iam))))
    }
}

/// Whom security keys are made for. Browsers take none for an address, and trust no page without TLS
/// but one of this very machine: hence localhost, unless told.
fn relying_party(options: &cli::Serve, port: u16) -> anyhow::Result<RelyingParty> {
    let origins = &options.webauthn_origin;
    if origins.is_empty() {
        return Ok(RelyingParty::new("localhost", &[format!("http://localhost:{port}")])?);
    }
    let party = match &options.webauthn_domain {
        Some(domain) => RelyingParty::new(domain, origins),
        None => RelyingParty::of_origins(origins),
    };
    party.context("--webauthn-origin")
}

/// A socket that listens, and that no other process shares.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port whose last connections are still closing can be taken again at once.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Says what was started; on the first start, the root credentials too.
fn announce(said: &str, first: Option<&RootCredentials>, endpoint: &str) -> anyhow::Result<()> {
    let mut out = said.to_owned();
    if let Some(credentials) = first {
        out.push_str(
            "\n# Credentials of the root user, shown once; `ringfence env` shows them again.\n",
        );
        write!(out, "{}", Exports { endpoint, credentials })?;
    }
    let mut stdout = std::io::stdout();
    stdout.write_all(out.as_bytes())?;
    Ok(stdout.flush()?)
}
