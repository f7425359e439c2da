//! The audit log of a server: where it is, what signs it, and `ringfence audit`.
//!
//! In the store, sealed as everything there is:
//!
//! | key of the global partition | holds |
//! |---|---|
//! | `house/audit-key` | the private key that signs digests, of all servers of the store |
//! | `house/audit-head/NODE` | the segment that a server closed last |

use crate::cli::{Audit as Command, VerifyAudit};
use crate::house::House;
use anyhow::{Context as _, bail};
use ringfence_gateway::audit::verify::{self, Report};
use ringfence_gateway::audit::{Head, OnClosed};
use ringfence_keyring::{LogKey, LogPublicKey, Random as _, SecretBytes, SystemRandom};
use ringfence_store::{Commit, Expect, Partition, Store, StoreError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const KEY: &str = "house/audit-key";
const HEAD: &str = "house/audit-head/";

/// The file of a data directory with the server's name, and the name of its folder in `--audit DIR`.
const NODE: &str = "node";

/// The log of one server.
pub struct Log {
    /// Where its segments are.
    pub dir: PathBuf,
    /// Where those of all servers are that share the directory.
    pub all: PathBuf,
    node: String,
    store: Arc<Store>,
}

impl Log {
    /// The log of a data directory, which lies in it, or in a folder of the directory that `--audit` named.
    pub fn of(house: &House, named: Option<&Path>) -> anyhow::Result<Self> {
        let node = node(&house.dir)?;
        let (dir, all) = match named {
            None => (house.dir.join("audit"), house.dir.join("audit")),
            Some(all) => (all.join(&node), all.to_owned()),
        };
        Ok(Self { dir, all, node, store: house.store.clone() })
    }

    /// What signs its digests: made when it is first asked for.
    pub fn key(&self) -> anyhow::Result<LogKey> {
        if let Some(key) = key(&self.store)? {
            return Ok(key);
        }
        let commit = Commit::to(Partition::global())
            .expect(Expect::Key(KEY.into(), 0))
            .put(KEY, LogKey::generate()?.expose().to_vec());
        match self.store.commit_blocking(commit) {
            // Another server may have made it in the same moment.
            Ok(_) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        key(&self.store)?.context("the key of the audit log is gone")
    }

    /// Notes which segment was closed last, in the store.
    pub fn noting_the_head(&self) -> OnClosed {
        let (store, at) = (self.store.clone(), self.head_key());
        Box::new(move |closed| {
            // Each start tells the last one again, which the stop before it may not have noted.
            if head(&store, &at).is_ok_and(|noted| noted.as_ref() == Some(closed)) {
                return;
            }
            let noted = serde_json::to_vec(closed).map_err(anyhow::Error::new).and_then(|text| {
                Ok(store.commit_blocking(Commit::to(Partition::global()).put(&*at, text))?)
            });
            if let Err(error) = noted {
                tracing::warn!(%error, segment = closed.segment, "the last audit segment is not noted");
            }
        })
    }

    /// Complains where the segment that was closed last is gone.
    pub fn look_for_the_head(&self) -> anyhow::Result<()> {
        if let Some(head) = self.head()?
            && !verify::has(&self.dir, &head)
        {
            tracing::error!(
                segment = head.segment,
                dir = %self.dir.display(),
                "the audit segment that was closed last is gone or changed"
            );
        }
        Ok(())
    }

    fn head_key(&self) -> String {
        format!("{HEAD}{}", self.node)
    }

    fn head(&self) -> anyhow::Result<Option<Head>> {
        head(&self.store, &self.head_key())
    }
}

fn key(store: &Store) -> anyhow::Result<Option<LogKey>> {
    let Some(kept) = store.get(&Partition::global(), KEY.as_bytes())? else { return Ok(None) };
    Ok(Some(LogKey::open(&SecretBytes::new(kept.value))?))
}

fn head(store: &Store, key: &str) -> anyhow::Result<Option<Head>> {
    let Some(kept) = store.get(&Partition::global(), key.as_bytes())? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&kept.value)?))
}

/// The name of a data directory's server among those that share a log's directory.
fn node(dir: &Path) -> anyhow::Result<String> {
    let path = dir.join(NODE);
    match std::fs::read_to_string(&path) {
        Ok(text) if is_node(text.trim()) => Ok(text.trim().to_owned()),
        Ok(_) => bail!("{} does not name this server", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut bytes = [0; 8];
            SystemRandom.fill(&mut bytes)?;
            let made = format!("{:016x}", u64::from_be_bytes(bytes));
            std::fs::write(&path, &made).with_context(|| path.display().to_string())?;
            Ok(made)
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Whether a text is such a name: a path is made of it.
fn is_node(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `ringfence audit`.
pub fn audit(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::PublicKey(place) => {
            let house = House::open_to_read(&place.place)?;
            let key = key(&house.store)?.context("no server has recorded anything yet")?;
            write!(std::io::stdout(), "{}", key.public()?.pem())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify(options) => verify_all(options),
    }
}

/// Verifies the log of a data directory, or those of a directory's folders.
fn verify_all(options: &VerifyAudit) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let (key, store, own) = match &options.public_key {
        Some(path) => {
            let pem = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let key = LogPublicKey::of_pem(&pem)
                .with_context(|| format!("{} has no Ed25519 public key", path.display()))?;
            (key, None, None)
        }
        None => {
            let house = House::open_to_read(&options.place.place)?;
            let key = key(&house.store)?.context("no server has recorded anything yet")?;
            let node = node(&house.dir)?;
            (key.public()?, Some(house.store), Some((house.dir.join("audit"), node)))
        }
    };
    let mut logs = Vec::new();
    match (&options.place.audit, own) {
        (None, Some(own)) => logs.push(own),
        (None, None) => bail!("--public-key verifies the log that --audit names"),
        (Some(all), _) => {
            for entry in std::fs::read_dir(all).with_context(|| all.display().to_string())? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if entry.file_type()?.is_dir() && is_node(&name) {
                    logs.push((entry.path(), name));
                }
            }
            logs.sort();
            if logs.is_empty() {
                logs.push((all.clone(), String::new()));
            }
        }
    }
    let mut sound = true;
    for (dir, node) in logs {
        let head = match &store {
            Some(store) => head(store, &format!("{HEAD}{node}"))?,
            None => None,
        };
        let report =
            verify::verify(&dir, &key, head.as_ref()).with_context(|| dir.display().to_string())?;
        sound &= report.faults.is_empty();
        say(&mut out, &dir, &report)?;
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(out: &mut impl std::io::Write, dir: &Path, report: &Report) -> anyhow::Result<()> {
    let Report { segments, events, marked, unmarked, .. } = report;
    for fault in &report.faults {
        writeln!(out, "{}: {fault}", dir.display())?;
    }
    let word = if report.faults.is_empty() { "sound" } else { "not sound" };
    writeln!(
        out,
        "{}: {word}: {segments} closed segments with {events} events, and {marked} events of the open one; \
         its last {unmarked} bytes are not vouched for yet",
        dir.display()
    )?;
    if let Some(before) = &report.begins_after {
        writeln!(out, "{}: it begins after {before}", dir.display())?;
    }
    Ok(())
}
