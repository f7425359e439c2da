//! Closed segments are packed: gzip, as CloudTrail's own files are, so that they can lie in a bucket as
//! they are.

use super::chain::{Digest, Head, Running, last_signed};
use super::segment::{DIGEST, LINES, Name, PACKED, UNFINISHED, of_kind};
use flate2::Compression;
use flate2::write::GzEncoder;
use ringfence_keyring::LogPublicKey;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

/// Told of every segment that is closed, on a thread that may block.
pub type OnClosed = Box<dyn Fn(&Head) + Send>;

/// Packs what is closed and what will be.
pub(super) struct Archive {
    pub dir: PathBuf,
    pub key: LogPublicKey,
    pub closed: Receiver<Head>,
    pub on_closed: OnClosed,
    pub stopping: Arc<AtomicBool>,
}

impl Archive {
    /// Until the log closes.
    pub fn run(self) {
        // The queue of what is closed from here on fills meanwhile.
        match of_kind(&self.dir, LINES) {
            Ok(names) => names.iter().for_each(|name| self.pack(name)),
            Err(error) => tracing::warn!(%error, "earlier audit segments are not packed"),
        }
        while let Ok(head) = self.closed.recv() {
            (self.on_closed)(&head);
            if let Some(name) = Name::parse(&head.segment) {
                self.pack(&name);
            }
        }
    }

    fn pack(&self, name: &Name) {
        if self.stopping.load(Ordering::Relaxed) || !name.file(&self.dir, DIGEST).exists() {
            return;
        }
        if let Err(error) = pack(&self.dir, name, &self.key, &self.stopping) {
            tracing::warn!(%error, segment = %name, "an audit segment is not packed");
        }
    }
}

/// Packs one segment, where its events are those of its digest.
fn pack(dir: &Path, name: &Name, key: &LogPublicKey, stopping: &AtomicBool) -> io::Result<()> {
    let plain = name.file(dir, LINES);
    let text = std::fs::read_to_string(name.file(dir, DIGEST))?;
    let digest: Digest = last_signed(key, &text)
        .ok_or_else(|| io::Error::other("the signature of its digest does not hold"))?;
    let mut from = match File::open(&plain) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let unfinished = name.file(dir, UNFINISHED);
    let file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    let mut packed = GzEncoder::new(file, Compression::fast());
    let mut running = Running::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        if stopping.load(Ordering::Relaxed) {
            return std::fs::remove_file(&unfinished);
        }
        let read = from.read(&mut buffer)?;
        let Some(lines) = buffer.get(..read).filter(|lines| !lines.is_empty()) else { break };
        running.add(lines);
        packed.write_all(lines)?;
    }
    if running.so_far() != digest.lines {
        std::fs::remove_file(&unfinished)?;
        return Err(io::Error::other("its events are not those of its digest"));
    }
    packed.finish()?.sync_all()?;
    std::fs::rename(&unfinished, name.file(dir, PACKED))?;
    File::open(dir)?.sync_all()?;
    std::fs::remove_file(&plain)
}
