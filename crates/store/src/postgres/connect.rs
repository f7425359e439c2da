//! Connections to whichever host is the primary.

use super::group::Statements;
use super::schema;
use crate::StoreError;
use crate::engine::mark;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::future::{Future, poll_fn};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::config::{LoadBalanceHosts, SslMode, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long one attempt to reach a host may take.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long it may take until a connection can be used: a host that is reached may say nothing.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// How long what was sent may be left unacknowledged by a host: one that was cut off sends no word of it, and
/// the system's own patience is a quarter of an hour. For as long the database keeps the locks of who is cut off
/// in the middle of a transaction: if it is reached again by then, that goes on.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
/// Between attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Whatever the database's own defaults are. Locks of a process that has gone silent in the middle of a
/// transaction are given back.
const SETTINGS: &str = "SET default_transaction_isolation = 'read committed';
    SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'";

/// Our own parameter of the URL: the file of the authorities that may vouch for the server, instead of
/// the machine's.
const ROOTS: &str = "sslrootcert";

/// What makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    /// The newest timeline of any primary that was connected to. One of an earlier has been followed by another,
    /// though it may not know: it takes commits that no standby confirms, and shows what is no longer so.
    newest: Arc<AtomicU64>,
}

/// A notification.
pub(super) struct Heard {
    pub channel: String,
    pub text: String,
}

/// A connection, and whoever drives it.
pub(super) struct Session {
    pub client: Client,
    driver: JoinHandle<()>,
    /// A wait for standbys was called off.
    unsynced: Arc<AtomicBool>,
    /// Of the primary.
    pub timeline: u64,
    newest: Arc<AtomicU64>,
    /// It was waited for in vain.
    given_up: AtomicBool,
    /// Those of groups, prepared once.
    pub statements: Option<Statements>,
}

fn failed(why: impl std::fmt::Display) -> StoreError {
    StoreError::Engine(why.to_string())
}

impl Connector {
    /// Reads the URL. No message tells of its password.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let (url, roots) = take_roots(url);
        let mut config: Config =
            url.parse().map_err(|_| failed("the store's URL is none that PostgreSQL knows"))?;
        config
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(ATTEMPT)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3)
            .application_name("ringfence")
            // A host that stands still, or was the primary and has not noticed, is not asked first each time.
            .load_balance_hosts(LoadBalanceHosts::Random);
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(ACKNOWLEDGED_WITHIN);
        }
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(tls(roots.as_deref())?),
        };
        Ok(Self { config, tls, newest: Arc::default() })
    }

    /// A connection to the primary.
    pub async fn connect(
        &self,
        heard: Option<mpsc::UnboundedSender<Heard>>,
    ) -> Result<Session, StoreError> {
        let connected = tokio::time::timeout(CONNECTED_WITHIN, self.connect_to_one(heard)).await;
        connected.unwrap_or_else(|_| Err(failed("the database does not answer")))
    }

    async fn connect_to_one(
        &self,
        heard: Option<mpsc::UnboundedSender<Heard>>,
    ) -> Result<Session, StoreError> {
        let unsynced = Arc::new(AtomicBool::new(false));
        let (client, driver) = match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                (client, drive(connection, heard, unsynced.clone()))
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                (client, drive(connection, heard, unsynced.clone()))
            }
        };
        let given_up = AtomicBool::new(false);
        let (newest, statements) = (self.newest.clone(), None);
        let mut session =
            Session { client, driver, unsynced, timeline: 0, newest, given_up, statements };
        session.client.batch_execute(SETTINGS).await?;
        session.timeline = schema::timeline(&session.client).await?;
        self.newest.fetch_max(session.timeline, Ordering::SeqCst);
        match session.is_followed() {
            false => Ok(session),
            true => Err(failed("this primary has been followed by another")),
        }
    }

    /// The same, tried again for a while: a primary may be about to take another's place.
    pub async fn until_there(&self, patience: Duration) -> Result<Session, StoreError> {
        let until = Instant::now() + patience;
        loop {
            match self.connect(None).await {
                Ok(session) => return Ok(session),
                Err(error) if Instant::now() + PAUSE >= until => return Err(error),
                Err(error) => tracing::debug!(%error, "no primary yet"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Drives a connection until it ends. Notifications go to `heard`; of the server's notices the one that
/// matters is kept.
fn drive<S, T>(
    mut connection: tokio_postgres::Connection<S, T>,
    heard: Option<mpsc::UnboundedSender<Heard>>,
    unsynced: Arc<AtomicBool>,
) -> JoinHandle<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            match poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notice(notice))) => {
                    tracing::debug!(message = notice.message(), "the database says");
                    // It comes before the answer to the commit that it is about. The words are those
                    // of SyncRepWaitForLSN; its code, that of any warning, does not tell.
                    if notice.message().contains("synchronous replication") {
                        unsynced.store(true, Ordering::SeqCst);
                    }
                }
                Some(Ok(AsyncMessage::Notification(told))) => {
                    if let Some(heard) = &heard {
                        let (channel, text) = (told.channel().into(), told.payload().into());
                        heard.send(Heard { channel, text }).ok();
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::debug!(%error, "a connection to the database ended");
                    break;
                }
                None => break,
            }
        }
    })
}

impl Session {
    /// A position of this primary's among those of all that there were.
    pub fn mark(&self, position: u64) -> u64 {
        mark(self.timeline, position)
    }

    pub fn is_open(&self) -> bool {
        !self.client.is_closed() && !self.given_up.load(Ordering::SeqCst) && !self.is_followed()
    }

    /// Whether another primary has taken this one's place.
    fn is_followed(&self) -> bool {
        self.timeline < self.newest.load(Ordering::SeqCst)
    }

    /// Waits for answers. Where they take too long the connection is given up: a server that stands still keeps
    /// it, and would be waited for without end.
    pub async fn within<T, E: Into<StoreError>>(
        &self,
        limit: Duration,
        answers: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(limit, answers).await {
            Ok(answered) => answered.map_err(Into::into),
            Err(_) => {
                self.given_up.store(true, Ordering::SeqCst);
                self.driver.abort();
                Err(failed("the database does not answer"))
            }
        }
    }

    /// Whether the last commit may be known to the primary alone.
    pub fn was_not_synced(&self) -> bool {
        self.unsynced.swap(false, Ordering::SeqCst)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Takes our own parameter out of a URL.
fn take_roots(url: &str) -> (String, Option<String>) {
    let Some((before, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let mut roots = None;
    let rest: Vec<&str> = query
        .split('&')
        .filter(|pair| match pair.split_once('=') {
            Some((ROOTS, path)) => {
                let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
                roots = Some(path.into_owned());
                false
            }
            _ => true,
        })
        .collect();
    match rest.is_empty() {
        true => (before.to_owned(), roots),
        false => (format!("{before}?{}", rest.join("&")), roots),
    }
}

fn tls(roots: Option<&str>) -> Result<MakeRustlsConnect, StoreError> {
    let mut trusted = RootCertStore::empty();
    match roots {
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(Path::new(path))
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|why| failed(format!("{path}: {why}")))?;
            trusted.add_parsable_certificates(certificates);
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            trusted.add_parsable_certificates(found.certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_are_ours_and_the_rest_is_postgresqls() {
        let taken = take_roots("postgres://h/d?sslmode=require&sslrootcert=%2Fa%20b.pem&x=y");
        assert_eq!(taken, ("postgres://h/d?sslmode=require&x=y".into(), Some("/a b.pem".into())));
        assert_eq!(take_roots("postgres://h/d?sslrootcert=a").0, "postgres://h/d");
        assert_eq!(take_roots("postgres://h/d"), ("postgres://h/d".into(), None));
    }

    #[test]
    fn a_url_that_is_none_tells_no_password() {
        let Err(error) = Connector::parse("postgres://u:hunter2@h:port/d") else {
            panic!("it is taken");
        };
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
