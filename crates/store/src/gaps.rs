//! The bytes of SQLite's pages that belong to nothing.
//!
//! A page of a tree holds, after its header and the list of where its cells are, a gap, and then the cells,
//! which grow towards the gap (<https://www.sqlite.org/fileformat2.html#b_tree_pages>). With `secure_delete`
//! SQLite zeroes a cell that is deleted. But when it balances a tree, cells move to another page, and
//! what they leave behind lies in the gap of the page that they come from: a value that is
//! deleted later, where it lies then, stays there in a copy. [`clear`] zeroes gaps.
//!
//! Nobody reads a gap. So this may be done beside readers, and a crash in the middle does no harm.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// How much is read at once; a multiple of every size of page.
const CHUNK: usize = 1 << 20;
/// The header of the file, before the first page's own.
const FILE_HEADER: usize = 100;
/// The first byte of an overflow page, or of a free one, is of the number of another page. From this
/// many pages on it might be taken for the kind of a page of a tree.
const MOST_PAGES: u64 = 2 << 24;

/// Zeroes the gaps of all pages, and syncs. The file must be what a complete checkpoint left, and nobody
/// may write it meanwhile.
///
/// # Errors
/// When it cannot be read or written, and where a page is not as the format says. What was zeroed stays so.
pub(crate) fn clear(file: &File) -> io::Result<()> {
    let mut header = [0; FILE_HEADER];
    file.read_exact_at(&mut header, 0)?;
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 1 << 16,
        size if size.is_power_of_two() && size >= 512 => usize::from(size),
        size => return Err(malformed(&format!("its pages have {size} bytes"))),
    };
    let len = file.metadata()?.len();
    if len / page_size as u64 >= MOST_PAGES {
        return Err(malformed("it has too many pages"));
    }
    let mut chunk = vec![0; CHUNK];
    let mut changed = false;
    for start in (0..len).step_by(CHUNK) {
        let read = usize::try_from(len - start).unwrap_or(CHUNK).min(CHUNK);
        file.read_exact_at(&mut chunk[..read], start)?;
        for (n, page) in chunk[..read].chunks(page_size).enumerate() {
            let at = start + (n * page_size) as u64;
            let Some((from, to)) = gap(page, if at == 0 { FILE_HEADER } else { 0 })? else {
                continue;
            };
            if page[from..to].iter().any(|byte| *byte != 0) {
                file.write_all_at(&vec![0; to - from], at + from as u64)?;
                changed = true;
            }
        }
    }
    if changed { file.sync_all() } else { Ok(()) }
}

/// Where the gap of a page begins and ends, if it is one of a tree.
fn gap(page: &[u8], header: usize) -> io::Result<Option<(usize, usize)>> {
    let Some(fields) = page.get(header..header + 8) else {
        return Err(malformed("it ends in the middle of a page"));
    };
    let header_len = match fields[0] {
        // The inner pages of indexes and tables, and their leaves.
        2 | 5 => 12,
        10 | 13 => 8,
        _ => return Ok(None),
    };
    let cells = usize::from(u16::from_be_bytes([fields[3], fields[4]]));
    let content = match u16::from_be_bytes([fields[5], fields[6]]) {
        0 => 1 << 16,
        content => usize::from(content),
    };
    let from = header + header_len + 2 * cells;
    if from > content || content > page.len() {
        return Err(malformed("the cells of a page overlap"));
    }
    Ok(Some((from, content)))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the file is no database as known: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// How many pages have something in their gaps, and how many are pages of trees.
    fn pages(file: &[u8]) -> (usize, usize) {
        let (mut filled, mut all) = (0, 0);
        for (n, page) in file.chunks(4096).enumerate() {
            if let Some((from, to)) = gap(page, if n == 0 { FILE_HEADER } else { 0 }).unwrap() {
                all += 1;
                filled += usize::from(page[from..to].iter().any(|byte| *byte != 0));
            }
        }
        (filled, all)
    }

    #[test]
    fn gaps_are_cleared_and_the_database_is_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "secure_delete", true).unwrap();
        connection
            .execute_batch("CREATE TABLE t (k TEXT PRIMARY KEY, v BLOB) WITHOUT ROWID")
            .unwrap();
        let mut number = 7u64;
        for _ in 0..400 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (key, len) = (number >> 58, (number >> 40) % 900);
            let sql = "INSERT OR REPLACE INTO t VALUES (?1, ?2)";
            connection.execute(sql, (key.to_string(), vec![7; len as usize])).unwrap();
        }
        let all = || -> Vec<(String, Vec<u8>)> {
            let mut statement = connection.prepare("SELECT k, v FROM t ORDER BY k").unwrap();
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let held = all();
        let (filled, of) = pages(&std::fs::read(&path).unwrap());
        assert!(filled > 0 && of > 5, "SQLite leaves nothing behind any more: {filled} of {of}");

        let file = File::options().read(true).write(true).open(&path).unwrap();
        clear(&file).unwrap();
        assert_eq!(pages(&std::fs::read(&path).unwrap()), (0, of));
        connection.execute_batch("PRAGMA shrink_memory").unwrap();
        assert_eq!(all(), held);
        let sound =
            connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
        assert_eq!(sound.unwrap(), "ok");
        drop((connection, file));
    }

    #[test]
    fn what_is_no_database_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let mut torn = vec![0; 4096 + 100];
        torn[16] = 16; // pages of 4,096 bytes
        torn[4096] = 13;
        torn[4096 + 3] = 255;
        for content in [vec![], vec![7; 50], vec![7; 8192], torn] {
            std::fs::write(&path, &content).unwrap();
            let file = File::options().read(true).write(true).open(&path).unwrap();
            assert!(clear(&file).is_err());
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }
}
