//! Closed segments are packed: gzip, as CloudTrail's own files are, so that they can lie in a bucket as
//! they are. One is packed while its lines come, and takes their place once it is closed; what is left by a
//! crash or a failure is read, held to its digest, and packed then.

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

/// A segment that was closed, and how far it is packed.
pub(super) struct Closed {
    pub head: Head,
    pub packing: Option<Packing>,
}

/// A segment that is packed while its lines come: they need not be read, nor hashed, once more.
pub(super) struct Packing {
    name: Arc<Name>,
    unfinished: PathBuf,
    /// `None` once it has failed: the segment is packed after it is closed.
    to: Option<GzEncoder<File>>,
}

impl Packing {
    /// Packs a segment from its first line on.
    pub fn begin(dir: &Path, name: &Arc<Name>) -> Self {
        let unfinished = name.file(dir, &format!("{PACKED}.{UNFINISHED}"));
        let mut packing = Self { name: name.clone(), unfinished, to: None };
        match create(&packing.unfinished) {
            Ok(file) => packing.to = Some(GzEncoder::new(file, Compression::fast())),
            Err(error) => packing.give_up(&error),
        }
        packing
    }

    /// Whether it is of this segment.
    pub fn is_of(&self, name: &Name) -> bool {
        *self.name == *name
    }

    /// Takes the next lines.
    pub fn add(&mut self, lines: &[u8]) {
        if let Some(Err(error)) = self.to.as_mut().map(|to| to.write_all(lines)) {
            self.give_up(&error);
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        tracing::warn!(%error, segment = %self.name, "an audit segment is packed later");
        self.to = None;
        let _ = std::fs::remove_file(&self.unfinished);
    }

    /// Puts what is packed in the place of the lines.
    fn finish(mut self, dir: &Path) -> io::Result<()> {
        let to = self.to.take().ok_or_else(|| io::Error::other("it was given up"))?;
        to.finish()?.sync_all()?;
        replace(dir, &self.name, &self.unfinished)
    }
}

impl Drop for Packing {
    fn drop(&mut self) {
        // Where it was finished it has another name.
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

/// Packs what is closed and what will be.
pub(super) struct Archive {
    pub dir: PathBuf,
    pub key: LogPublicKey,
    pub closed: Receiver<Closed>,
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
        while let Ok(Closed { head, packing }) = self.closed.recv() {
            (self.on_closed)(&head);
            // A stop does not wait for it: the next start packs what is left.
            let packing = packing.filter(|_| !self.stopping.load(Ordering::Relaxed));
            let packed = packing.is_some_and(|packing| packing.finish(&self.dir).is_ok());
            if let Some(name) = Name::parse(&head.segment).filter(|_| !packed) {
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
    let mut packed = GzEncoder::new(create(&unfinished)?, Compression::fast());
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
    replace(dir, name, &unfinished)
}

fn create(unfinished: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(unfinished)
}

/// Puts a segment's packed lines in the place of the lines themselves.
fn replace(dir: &Path, name: &Name, unfinished: &Path) -> io::Result<()> {
    std::fs::rename(unfinished, name.file(dir, PACKED))?;
    File::open(dir)?.sync_all()?;
    std::fs::remove_file(name.file(dir, LINES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_on_its_way_takes_the_place_of_the_lines_or_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let name = Arc::new(Name::now(1));
        let files = || std::fs::read_dir(dir.path()).unwrap().count();
        std::fs::write(name.file(dir.path(), LINES), "one\ntwo\n").unwrap();
        let mut packing = Packing::begin(dir.path(), &name);
        packing.add(b"one\n");
        assert_eq!(files(), 2);
        drop(packing);
        assert_eq!(files(), 1);
        let mut packing = Packing::begin(dir.path(), &name);
        packing.add(b"one\n");
        packing.add(b"two\n");
        packing.finish(dir.path()).unwrap();
        assert_eq!(files(), 1);
        let packed = File::open(name.file(dir.path(), PACKED)).unwrap();
        let text = io::read_to_string(flate2::read::GzDecoder::new(packed)).unwrap();
        assert_eq!(text, "one\ntwo\n");
        // Where it cannot be written, nothing comes of it.
        let mut packing = Packing::begin(&dir.path().join("gone"), &name);
        packing.add(b"one\n");
        assert!(packing.finish(dir.path()).is_err());
        assert_eq!(files(), 1);
    }
}
