//! What closed segments are known by: digests, each of which names the one before, signed.
//!
//! ```text
//!   000001-….digest ◄─────────── 000002-….digest ◄─── …    ◄─── (open) 000009-….marks
//!     sha256 of the events         previous: sha256 of the         sha256 of the first n bytes
//!     signature                    file on the left; signature     of its events; signature
//! ```
//!
//! A file of either kind is pairs of lines: a statement, which is JSON, and its Ed25519 signature in
//! base64. Whoever has the public key verifies them with any OpenSSL. A changed, cut or removed event
//! changes the hash of its segment; a removed segment leaves a digest that names one that is not there.
//! What is behind the last mark of the open segment, a second at most, is vouched for by nothing yet.
//! CloudTrail's own digest files are the model:
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html>

use super::segment::{DIGEST, MARKS, Name, UNFINISHED, of_kind};
use crate::clock::{Clock as _, SystemClock};
use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringfence_keyring::{LogKey, LogPublicKey};
use ringfence_wire::shape::TimestampFormat;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The newest form of a digest that is known here.
const FORMAT: u32 = 1;

/// Digests among which the last one is looked for.
const RECENT: usize = 64;

/// Least time between two marks.
const MARK_EVERY: Duration = Duration::from_secs(1);

/// What a closed segment is known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Digest {
    pub format: u32,
    pub segment: String,
    #[serde(flatten)]
    pub lines: Lines,
    /// When it was closed.
    pub closed: String,
    /// There where a crash had left it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered: Option<Recovered>,
    /// The segment that was closed before it.
    pub previous: Option<Head>,
}

/// The events from the beginning of a segment up to some point of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lines {
    pub events: u64,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

/// What was found of a segment that a crash had left open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recovered {
    /// Bytes of a torn last line that were cut off: its call was not answered.
    pub torn: u64,
    /// Whether the events are still those that the last mark had vouched for, if there was one.
    pub as_marked: Option<bool>,
}

/// The last digest of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The segment's name.
    pub segment: String,
    /// Of the file of its digest, in hexadecimal digits.
    pub sha256: String,
}

/// How far an open segment is vouched for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub segment: String,
    #[serde(flatten)]
    pub lines: Lines,
    pub time: String,
}

/// Lines while they are hashed.
pub(crate) struct Running {
    sha256: Context,
    events: u64,
    bytes: u64,
}

impl Running {
    pub fn new() -> Self {
        Self { sha256: Context::new(&SHA256), events: 0, bytes: 0 }
    }

    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn add(&mut self, lines: &[u8]) {
        self.sha256.update(lines);
        self.bytes += lines.len() as u64;
        self.events += memchr::memchr_iter(b'\n', lines).count() as u64;
    }

    /// Adds `bytes` of a reader, or as many as it has.
    pub fn add_from(&mut self, reader: &mut dyn io::Read, bytes: u64) -> io::Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        let mut reader = reader.take(bytes);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => self.add(buffer.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub fn so_far(&self) -> Lines {
        let sha256 = hex::encode(self.sha256.clone().finish());
        Lines { events: self.events, bytes: self.bytes, sha256 }
    }
}

/// A statement and its signature, a line each.
fn signed(key: &LogKey, statement: &impl Serialize) -> io::Result<String> {
    let statement = serde_json::to_string(statement)?;
    let signature = STANDARD.encode(key.sign(statement.as_bytes()));
    Ok(format!("{statement}\n{signature}\n"))
}

/// The last statement of a file's text, where its signature holds.
pub(crate) fn last_signed<T: DeserializeOwned>(key: &LogPublicKey, text: &str) -> Option<T> {
    // What follows the last line break was torn.
    let (whole, _) = text.rsplit_once('\n')?;
    let mut lines = whole.lines();
    let mut last = None;
    while let (Some(statement), Some(signature)) = (lines.next(), lines.next()) {
        last = Some((statement, signature));
    }
    let (statement, signature) = last?;
    let signature = STANDARD.decode(signature).ok()?;
    key.verifies(statement.as_bytes(), &signature).then(|| serde_json::from_str(statement).ok())?
}

/// What a digest's file is named by in the next one.
pub(crate) fn head_of(segment: &str, file: &[u8]) -> Head {
    let sha256 = hex::encode(digest(&SHA256, file));
    Head { segment: segment.to_owned(), sha256 }
}

/// The chain of one directory's segments while it grows.
pub(super) struct Chain {
    dir: PathBuf,
    key: LogKey,
    head: Option<Head>,
    open: Option<Open>,
}

/// The segment whose lines come in.
struct Open {
    name: Name,
    running: Running,
    marks: Option<File>,
    marked: Instant,
    /// There is more than the last mark tells.
    more: bool,
}

impl Chain {
    /// Goes on after the segment that was closed last.
    pub fn after(dir: &Path, key: LogKey) -> io::Result<Self> {
        let mut heads = Vec::new();
        let mut named = Vec::new();
        // One that was closed late, after a failure of the disk, may not have the highest number.
        for name in of_kind(dir, DIGEST)?.iter().rev().take(RECENT) {
            let text = std::fs::read_to_string(name.file(dir, DIGEST))?;
            heads.push(head_of(&name.to_string(), text.as_bytes()));
            let statement = text.lines().next().unwrap_or_default();
            named.extend(serde_json::from_str::<Digest>(statement).ok().and_then(|d| d.previous));
        }
        let head = heads.into_iter().find(|head| !named.contains(head));
        Ok(Self { dir: dir.to_owned(), key, head, open: None })
    }

    pub fn public(&self) -> Option<LogPublicKey> {
        self.key.public().ok()
    }

    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Takes in lines that were written to a segment.
    pub fn add(&mut self, name: &Name, lines: &[u8]) {
        if self.open.as_ref().is_none_or(|open| open.name != *name) {
            let (name, marked) = (name.clone(), Instant::now());
            let running = Running::new();
            self.open = Some(Open { name, running, marks: None, marked, more: false });
        }
        if let Some(open) = &mut self.open {
            open.running.add(lines);
            open.more = true;
        }
    }

    /// Vouches for what has come in, when the last mark is old enough.
    pub fn mark(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if !open.more || open.marked.elapsed() < MARK_EVERY {
            return Ok(());
        }
        let mark = Mark {
            segment: open.name.to_string(),
            lines: open.running.so_far(),
            time: SystemClock.now().format(TimestampFormat::DateTime),
        };
        let text = signed(&self.key, &mark)?;
        if open.marks.is_none() {
            let path = open.name.file(&self.dir, MARKS);
            let file = File::options().append(true).create(true).mode(0o600).open(path)?;
            open.marks = Some(file);
        }
        if let Some(mut marks) = open.marks.as_ref() {
            marks.write_all(text.as_bytes())?;
        }
        (open.marked, open.more) = (Instant::now(), false);
        Ok(())
    }

    /// When the next mark is due.
    pub fn mark_due(&self) -> Option<Duration> {
        let open = self.open.as_ref().filter(|open| open.more)?;
        Some(MARK_EVERY.saturating_sub(open.marked.elapsed()))
    }

    /// Closes a segment that holds what came in of it.
    pub fn close(&mut self, name: &Name) -> io::Result<()> {
        let open = self.open.take_if(|open| open.name == *name);
        let running = open.map_or_else(Running::new, |open| open.running);
        self.digest(name, running.so_far(), None)
    }

    /// Closes a segment that holds other than what came in of it, as a crash may have left it.
    pub fn close_recovered(
        &mut self,
        name: &Name,
        lines: Lines,
        recovered: Recovered,
    ) -> io::Result<()> {
        self.open.take_if(|open| open.name == *name);
        self.digest(name, lines, Some(recovered))
    }

    fn digest(
        &mut self,
        name: &Name,
        lines: Lines,
        recovered: Option<Recovered>,
    ) -> io::Result<()> {
        let digest = Digest {
            format: FORMAT,
            segment: name.to_string(),
            lines,
            closed: SystemClock.now().format(TimestampFormat::DateTime),
            recovered,
            previous: self.head.clone(),
        };
        let text = signed(&self.key, &digest)?;
        let unfinished = name.file(&self.dir, UNFINISHED);
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, name.file(&self.dir, DIGEST))?;
        File::open(&self.dir)?.sync_all()?;
        self.head = Some(head_of(&digest.segment, text.as_bytes()));
        // Its digest says all that its marks did.
        match std::fs::remove_file(name.file(&self.dir, MARKS)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_statement_counts_and_only_with_its_signature() {
        let key = LogKey::open(&LogKey::generate().unwrap()).unwrap();
        let public = key.public().unwrap();
        let one = signed(&key, &1).unwrap();
        let two = signed(&key, &2).unwrap();
        let read = |text: &str| last_signed::<u32>(&public, text);
        assert_eq!(read(&one), Some(1));
        assert_eq!(read(&format!("{one}{two}")), Some(2));
        assert_eq!(read(&format!("{one}{}", &two[..two.len() - 1])), Some(1));
        assert_eq!(read(&format!("{one}3\n{}", two.split_once('\n').unwrap().1)), None);
        assert_eq!(read(""), None);
        assert_eq!(read("1\nAAAA\n"), None);
    }
}
