//! Whether a log's events are those that were recorded, by its digests and marks.

use super::chain::{Digest, Head, Lines, Mark, Running, head_of, last_signed};
use super::recover::hash;
use super::segment::{DIGEST, LINES, MARKS, Name, PACKED, of_kind};
use flate2::read::MultiGzDecoder;
use ringfence_keyring::LogPublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

/// What there is of a log, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Report {
    /// Closed segments.
    pub segments: usize,
    /// Events in them.
    pub events: u64,
    /// The segment that the first one follows, which is no longer there.
    pub begins_after: Option<String>,
    /// Events of the open segment that a mark vouches for.
    pub marked: u64,
    /// Bytes of the open segment that nothing vouches for yet.
    pub unmarked: u64,
    /// What is wrong, in words.
    pub faults: Vec<String>,
}

/// Holds the events of a directory to their digests, which `key` signed. `head` is the segment that
/// was closed last, where that is known: without it, the newest segments may be gone unnoticed.
///
/// # Errors
/// When a file cannot be read. A wrong file is no error but one of the faults.
pub fn verify(dir: &Path, key: &LogPublicKey, head: Option<&Head>) -> io::Result<Report> {
    let mut report = Report::default();
    let mut chain = Links::default();
    for name in of_kind(dir, DIGEST)? {
        let text = std::fs::read(name.file(dir, DIGEST))?;
        let text = String::from_utf8_lossy(&text);
        let digest: Option<Digest> = last_signed(key, &text);
        let Some(digest) = digest.filter(|digest| digest.segment == name.to_string()) else {
            report.faults.push(format!("{name}: its digest is not signed by this key"));
            continue;
        };
        closed(dir, &name, &digest, &mut report)?;
        chain.heads.insert(digest.segment.clone(), head_of(&digest.segment, text.as_bytes()));
        chain.links.insert(digest.segment, digest.previous);
    }
    chain.check(head, &mut report);
    let packed = of_kind(dir, PACKED)?;
    let plain = of_kind(dir, LINES)?;
    for name in packed.iter().chain(&plain) {
        if name.file(dir, DIGEST).exists() {
            continue;
        }
        match plain.last() == Some(name) {
            true => open(dir, name, key, &mut report)?,
            false => report.faults.push(format!("{name}: it has no digest")),
        }
    }
    Ok(report)
}

/// Whether the digest of a segment is there, unchanged.
pub fn has(dir: &Path, head: &Head) -> bool {
    let read = Name::parse(&head.segment).map(|name| std::fs::read(name.file(dir, DIGEST)));
    matches!(read, Some(Ok(file)) if head_of(&head.segment, &file) == *head)
}

/// A closed segment.
fn closed(dir: &Path, name: &Name, digest: &Digest, report: &mut Report) -> io::Result<()> {
    report.segments += 1;
    report.events += digest.lines.events;
    match lines(dir, name)? {
        None => report.faults.push(format!("{name}: its events are gone")),
        Some(lines) if lines != digest.lines => {
            report.faults.push(format!("{name}: its events are not those that it was closed with"));
        }
        Some(_) => {}
    }
    if digest.recovered.as_ref().is_some_and(|found| found.as_marked == Some(false)) {
        report.faults.push(format!(
            "{name}: after a stop its events were not those that had been vouched for"
        ));
    }
    Ok(())
}

/// The events of a segment in whichever form they are; `None` without any.
fn lines(dir: &Path, name: &Name) -> io::Result<Option<Lines>> {
    let mut running = Running::new();
    // Twice, for it may be packed meanwhile.
    for kind in [PACKED, LINES, PACKED] {
        let file = match File::open(name.file(dir, kind)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => BufReader::new(opened?),
        };
        let read = match kind {
            PACKED => running.add_from(&mut MultiGzDecoder::new(file), u64::MAX),
            _ => running.add_from(&mut { file }, u64::MAX),
        };
        return match read {
            // What does not unpack is not what was packed.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput
                        | io::ErrorKind::InvalidData
                        | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Ok(Some(running.so_far()))
            }
            Err(error) => Err(error),
            Ok(()) => Ok(Some(running.so_far())),
        };
    }
    Ok(None)
}

/// The open segment.
fn open(dir: &Path, name: &Name, key: &LogPublicKey, report: &mut Report) -> io::Result<()> {
    let marks = match std::fs::read(name.file(dir, MARKS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let mut file = match File::open(name.file(dir, LINES)) {
        // Closed and packed meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let len = file.metadata()?.len();
    let mark: Option<Mark> = last_signed(key, &String::from_utf8_lossy(&marks));
    let mark = mark.filter(|mark| mark.segment == name.to_string());
    if mark.is_none() && marks.contains(&b'\n') {
        report.faults.push(format!("{name}: its marks are not signed by this key"));
    }
    let vouched = mark.as_ref().map_or(0, |mark| mark.lines.bytes);
    report.marked = mark.as_ref().map_or(0, |mark| mark.lines.events);
    report.unmarked = len.saturating_sub(vouched);
    let (as_marked, _) = hash(&mut file, vouched.min(len), &mark)?;
    if as_marked == Some(false) {
        report
            .faults
            .push(format!("{name}: its events are not those that its last mark vouches for"));
    }
    Ok(())
}

/// Digests, and what each names as the one before.
#[derive(Default)]
struct Links {
    heads: BTreeMap<String, Head>,
    links: BTreeMap<String, Option<Head>>,
}

impl Links {
    /// They are one chain, of which only the beginning may be gone.
    fn check(&self, head: Option<&Head>, report: &mut Report) {
        let mut followed = BTreeSet::new();
        let mut began = false;
        for (segment, previous) in &self.links {
            if let Some(previous) = previous
                && self.heads.get(&previous.segment) == Some(previous)
            {
                if !followed.insert(&previous.segment) {
                    let before = &previous.segment;
                    report.faults.push(format!("{segment}: another one follows {before} too"));
                }
                continue;
            }
            let before = previous.as_ref().map(|previous| previous.segment.clone());
            if !began {
                (began, report.begins_after) = (true, before);
                continue;
            }
            report.faults.push(match before {
                Some(before) => {
                    format!("{segment}: {before}, which it follows, is gone or changed")
                }
                None => format!("{segment}: it follows none, and is not the first"),
            });
        }
        if let Some(head) = head
            && self.heads.get(&head.segment) != Some(head)
        {
            let last = &head.segment;
            report.faults.push(format!("{last}: it was closed last, and is gone or changed"));
        }
    }
}
