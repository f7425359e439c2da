//! What a crash left: segments that nobody closed.
//!
//! Everything that was acknowledged stands in whole lines before whatever a crash tore, for lines are
//! written one behind the other and a sync is of all before it. So a segment is cut behind its last whole line, and
//! closed by a digest that says so.

use super::chain::{Chain, Lines, Mark, Recovered, Running, last_signed};
use super::segment::{DIGEST, LINES, MARKS, Name, PACKED, UNFINISHED, of_kind};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Closes every segment that is open, and clears away what was not finished.
pub(super) fn recover(dir: &Path, chain: &mut Chain) -> io::Result<()> {
    for name in of_kind(dir, UNFINISHED)? {
        std::fs::remove_file(name.file(dir, UNFINISHED))?;
    }
    for name in of_kind(dir, LINES)? {
        if name.file(dir, PACKED).exists() && name.file(dir, DIGEST).exists() {
            // Packed whole, and not yet removed.
            std::fs::remove_file(name.file(dir, LINES))?;
        } else if !name.file(dir, DIGEST).exists() {
            close(dir, &name, chain)?;
        }
    }
    Ok(())
}

/// Closes one segment by what there is of it on the disk.
pub(super) fn close(dir: &Path, name: &Name, chain: &mut Chain) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).open(name.file(dir, LINES))?;
    let len = file.metadata()?.len();
    if len == 0 {
        return std::fs::remove_file(name.file(dir, LINES));
    }
    let whole = end_of_last_line(&mut file, len)?;
    if whole < len {
        file.set_len(whole)?;
    }
    file.sync_all()?;
    let (as_marked, lines) = hash(&mut file, whole, &last_mark(dir, name, chain))?;
    if as_marked == Some(false) {
        tracing::error!(
            segment = %name,
            dir = %dir.display(),
            "audit events are other than they were before the stop: lost with the disk, or changed by hand"
        );
    }
    let recovered = Recovered { torn: len - whole, as_marked };
    chain.close_recovered(name, lines, recovered)
}

/// What the last mark of a segment vouched for.
fn last_mark(dir: &Path, name: &Name, chain: &Chain) -> Option<Mark> {
    let text = std::fs::read_to_string(name.file(dir, MARKS)).ok()?;
    let mark: Mark = last_signed(&chain.public()?, &text)?;
    (mark.segment == name.to_string()).then_some(mark)
}

/// The hash of a file's first `whole` bytes, and whether they begin as a mark says.
pub(super) fn hash(
    file: &mut (impl io::Read + io::Seek),
    whole: u64,
    mark: &Option<Mark>,
) -> io::Result<(Option<bool>, Lines)> {
    file.seek(SeekFrom::Start(0))?;
    let mut running = Running::new();
    let mut as_marked = None;
    if let Some(mark) = mark {
        running.add_from(file, mark.lines.bytes.min(whole))?;
        as_marked = Some(running.so_far() == mark.lines);
    }
    let left = whole - running.bytes();
    running.add_from(file, left)?;
    Ok((as_marked, running.so_far()))
}

/// Where the last whole line ends.
fn end_of_last_line(file: &mut File, len: u64) -> io::Result<u64> {
    const STEP: u64 = 64 * 1024;
    let mut end = len;
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        file.by_ref().take(end - start).read_to_end(&mut buffer)?;
        if let Some(at) = memchr::memrchr(b'\n', &buffer) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
