//! A process under `strace`: each call that it makes on the files of a directory, as an [`Op`].
//!
//! A call that changes files and is not known here ends the test: what is not seen cannot be lost. When
//! the process has ended, what the calls come to is compared with what the directory holds.

use crate::disk::{self, Inode, Op, Past};
use crate::forks;
use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The calls that change files. Duplicates of an open file are not followed: what is written through one
/// is missed in the end.
const CALLS: &str = "open,openat,openat2,creat,close,write,pwrite64,writev,pwritev,\
                     pwritev2,sendfile,copy_file_range,splice,ftruncate,truncate,fallocate,fsync,fdatasync,\
                     sync,syncfs,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,link,linkat,\
                     symlink,symlinkat,mkdir,mkdirat,rmdir,io_uring_setup,io_submit";

/// Where `strace` is: `RINGFENCE_STRACE`, if it may trace here.
pub struct Strace(PathBuf);

/// What goes wrong on purpose: calls, the error, and which of the calls of each thread.
#[derive(Debug, Clone)]
pub struct Fault {
    pub calls: &'static str,
    /// As `strace` says it: `error=EIO`; or `retval=0`, which does nothing and says that it went well.
    pub outcome: &'static str,
    /// `3`, `3..7`, `3+`.
    pub when: String,
}

/// What a process did.
pub struct Recording {
    pub output: Output,
    pub past: Past,
    /// How many calls were made to fail.
    pub injected: usize,
    /// How often each call was made, by the thread that made it most often.
    pub calls: HashMap<String, usize>,
}

/// The names in a store's directory, the calls on which may fail.
const NAMES: [&str; 5] =
    ["store.db", "store.db-journal", "store.db-wal", "store.db-shm", "store.lock"];

impl Strace {
    pub fn find() -> Option<Self> {
        let path = PathBuf::from(std::env::var_os("RINGFENCE_STRACE").filter(|p| !p.is_empty())?);
        let strace = Self(path);
        let mut tried = strace.command();
        tried.args(["-o", "/dev/null", "true"]).stderr(Stdio::null());
        forks::succeeds(&mut tried).then_some(strace)
    }

    /// The libraries that Debian's package needs lie beside it.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        let beside = self.0.parent().and_then(Path::parent).map(|usr| usr.join("lib"));
        let folders = beside.and_then(|lib| fs::read_dir(lib).ok()).into_iter().flatten().flatten();
        let folders: Vec<_> = folders
            .map(|folder| folder.path())
            .filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))
            .collect();
        if let Ok(joined) = std::env::join_paths(folders) {
            command.env("LD_LIBRARY_PATH", joined).args(["-E", "LD_LIBRARY_PATH"]);
        }
        command
    }

    /// Runs a program on a directory, which holds what `past` comes to, and adds its calls to that. What it
    /// writes to its standard output are marks.
    pub fn record(
        &self,
        program: &Command,
        dir: &Path,
        past: Past,
        fault: Option<&Fault>,
    ) -> Recording {
        let (trace, marks) = (dir.with_extension("trace"), dir.with_extension("marks"));
        let mut strace = self.command();
        strace.args(["-f", "-qq", "-xx", "-s", "16777216", "-o"]).arg(&trace);
        match fault {
            None => {
                strace.args(["--seccomp-bpf", "-e", &format!("trace={CALLS}")]);
            }
            Some(fault) => {
                // Faults come to calls that are traced: those on the directory's own names.
                strace.args(["-e", &format!("trace={CALLS}"), "-P"]).arg(&marks).arg("-P").arg(dir);
                for name in NAMES {
                    strace.arg("-P").arg(dir.join(name));
                }
                let Fault { calls, outcome, when } = fault;
                strace.args(["-e", &format!("inject={calls}:{outcome}:when={when}")]);
            }
        }
        strace.arg(program.get_program()).args(program.get_args()).stdin(Stdio::null());
        strace.stdout(File::create(&marks).unwrap()).stderr(Stdio::piped());
        let output = forks::begin(&mut strace).wait_with_output().unwrap();
        let text = fs::read(&trace).unwrap();
        let mut reading = Reading::new(dir, past);
        reading.read(&text);
        let injected = memchr::memmem::find_iter(&text, b"(INJECTED)").count();
        Recording { output, past: reading.past, injected, calls: reading.calls }
    }
}

/// What a number of an open file stands for.
enum Open {
    File { inode: Inode, at: usize, appends: bool },
    Directory,
    Marks,
}

struct Reading<'d> {
    dir: &'d Path,
    past: Past,
    names: HashMap<String, Inode>,
    lengths: HashMap<Inode, usize>,
    open: HashMap<i64, Open>,
    /// Calls that another thread's came in between of: what was said of them, and how many calls were
    /// done when they began.
    halves: HashMap<String, (Vec<u8>, usize)>,
    made: HashMap<(String, String), usize>,
    calls: HashMap<String, usize>,
}

impl<'d> Reading<'d> {
    fn new(dir: &'d Path, past: Past) -> Self {
        let mut reading = Self {
            dir,
            past: Past::default(),
            names: HashMap::new(),
            lengths: HashMap::new(),
            // The standard output.
            open: HashMap::from([(1, Open::Marks)]),
            halves: HashMap::new(),
            made: HashMap::new(),
            calls: HashMap::new(),
        };
        for (inode, (name, content)) in past.at_first.iter().enumerate() {
            reading.names.insert(name.clone(), inode);
            reading.lengths.insert(inode, content.len());
        }
        reading.past.at_first = past.at_first;
        past.ops.into_iter().for_each(|op| reading.add(op));
        reading
    }

    fn add(&mut self, op: Op) {
        match &op {
            Op::Name { name, inode } => {
                self.names.insert(name.clone(), *inode);
                self.lengths.entry(*inode).or_default();
            }
            Op::Unname { name } => drop(self.names.remove(name)),
            Op::Rename { from, to } => {
                let inode = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), inode);
            }
            Op::Write { inode, at, bytes } => {
                let len = self.lengths.entry(*inode).or_default();
                *len = (*len).max(at + bytes.len());
            }
            Op::Resize { inode, len } => drop(self.lengths.insert(*inode, *len)),
            Op::Sync { .. } | Op::SyncNames { .. } | Op::Mark(_) => {}
        }
        self.past.ops.push(op);
    }

    fn read(&mut self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let at = memchr::memchr(b' ', line).unwrap();
            let thread = String::from_utf8_lossy(&line[..at]).into_owned();
            let call = line[at..].trim_ascii();
            if call.starts_with(b"+++") || call.starts_with(b"---") {
                continue;
            }
            if let Some(end) = memchr::memchr(b'(', call).filter(|_| !call.starts_with(b"<...")) {
                let name = String::from_utf8_lossy(&call[..end]).into_owned();
                let made = self.made.entry((thread.clone(), name.clone())).or_default();
                *made += 1;
                let most = self.calls.entry(name).or_default();
                *most = (*most).max(*made);
            }
            if let Some(begun) = call.strip_suffix(b" <unfinished ...>") {
                // Another thread may get the number of a file before its closing is said to be done.
                if begun.starts_with(b"close(") {
                    self.call(&[begun, b") = 0"].concat(), 0);
                }
                self.halves.insert(thread, (begun.to_vec(), self.past.ops.len()));
            } else if call.starts_with(b"<... ") {
                let end = memchr::memmem::find(call, b" resumed>").unwrap() + " resumed>".len();
                let (mut whole, began) = self.halves.remove(&thread).unwrap();
                whole.extend_from_slice(&call[end..]);
                if !whole.starts_with(b"close(") {
                    self.call(&whole, began);
                }
            } else {
                self.call(call, self.past.ops.len());
            }
        }
    }

    /// The name of a path in the directory; the directory's own is empty.
    fn name(&self, path: &[u8]) -> Option<String> {
        let path = Path::new(std::str::from_utf8(path).ok()?);
        Some(path.strip_prefix(self.dir).ok()?.to_str()?.to_owned())
    }

    fn call(&mut self, call: &[u8], began: usize) {
        let open = memchr::memchr(b'(', call).unwrap();
        let name = std::str::from_utf8(&call[..open]).unwrap();
        let end = memchr::memmem::rfind(call, b" = ").unwrap_or(call.len());
        let arguments = Argument::all(&call[open + 1..end]);
        let outcome = String::from_utf8_lossy(&call[end..]).into_owned();
        // A process that ends in the middle of a call has no result of it.
        let Some(result) = outcome.split_whitespace().nth(1) else { return };
        let Ok(result) = result.parse::<i64>() else { return };
        let injected = outcome.contains("(INJECTED)");
        let number = |n: usize| arguments[n].number();
        let paths: Vec<String> =
            arguments.iter().filter_map(|a| self.name(a.bytes.as_deref()?)).collect();
        match name {
            // One that was made to do nothing, and said that it went well, did nothing.
            "fsync" | "fdatasync" if result == 0 && injected => {}
            "fsync" | "fdatasync" => {
                let (covers, failed) = (began, result < 0);
                let op = match self.open.get(&number(0)) {
                    Some(Open::File { inode, .. }) => Op::Sync { inode: *inode, covers, failed },
                    Some(Open::Directory) => Op::SyncNames { covers, failed },
                    _ => return,
                };
                self.add(op);
            }
            _ if result < 0 => {}
            "open" | "openat" => {
                let flags =
                    arguments.iter().find(|a| a.text.contains("O_RD") || a.text.contains("O_WR"));
                let flags = flags.map_or("", |flags| flags.text.as_str());
                let path = arguments.iter().find_map(|a| a.bytes.as_deref()).unwrap();
                self.opened(result, path, flags);
            }
            "close" => drop(self.open.remove(&number(0))),
            "write" | "pwrite64" => {
                let Some(target) = self.open.get(&number(0)) else { return };
                let bytes = arguments[1].bytes.as_deref().unwrap();
                let bytes = &bytes[..result as usize];
                let op = match target {
                    Open::Marks => Op::Mark(String::from_utf8_lossy(bytes).trim_end().to_owned()),
                    Open::Directory => panic!("a directory is written to"),
                    Open::File { inode, at, appends } => {
                        let at = match name {
                            "pwrite64" => number(3) as usize,
                            _ if *appends => self.lengths[inode],
                            _ => *at,
                        };
                        Op::Write { inode: *inode, at, bytes: bytes.into() }
                    }
                };
                if let (Some(Open::File { at, .. }), "write") =
                    (self.open.get_mut(&number(0)), name)
                {
                    *at += bytes.len();
                }
                self.add(op);
            }
            "ftruncate" => {
                if let Some(Open::File { inode, .. }) = self.open.get(&number(0)) {
                    self.add(Op::Resize { inode: *inode, len: number(1) as usize });
                }
            }
            "unlink" | "unlinkat" => {
                for name in paths {
                    self.add(Op::Unname { name });
                }
            }
            "rename" | "renameat" | "renameat2" => match paths.as_slice() {
                [] => {}
                [from, to] => self.add(Op::Rename { from: from.clone(), to: to.clone() }),
                _ => panic!("a file leaves the directory or comes into it"),
            },
            "link" | "linkat" => match paths.as_slice() {
                [] => {}
                [from, to] => {
                    let inode = self.names[from];
                    self.add(Op::Name { name: to.clone(), inode });
                }
                _ => panic!("a file leaves the directory or comes into it"),
            },
            _ => {
                let numbers = arguments.iter().filter_map(|a| a.text.parse::<i64>().ok());
                let ours = numbers.into_iter().any(|n| self.open.contains_key(&n));
                assert!(!ours && paths.is_empty(), "{name} is not modelled");
            }
        }
    }

    fn opened(&mut self, number: i64, path: &[u8], flags: &str) {
        self.open.remove(&number);
        let Some(name) = self.name(path) else { return };
        if name.is_empty() {
            self.open.insert(number, Open::Directory);
            return;
        }
        let has = |flag: &str| flags.split('|').any(|known| known == flag);
        let inode = match self.names.get(&name) {
            Some(inode) => *inode,
            None => {
                assert!(has("O_CREAT"), "{name} is opened, and nobody made it");
                let inode = self.lengths.keys().max().map_or(0, |last| last + 1);
                self.add(Op::Name { name, inode });
                inode
            }
        };
        if has("O_TRUNC") {
            self.add(Op::Resize { inode, len: 0 });
        }
        self.open.insert(number, Open::File { inode, at: 0, appends: has("O_APPEND") });
    }
}

/// An argument of a call: as it stands, and the bytes of one in quotes.
struct Argument {
    text: String,
    bytes: Option<Vec<u8>>,
}

impl Argument {
    fn number(&self) -> i64 {
        self.text.parse().unwrap()
    }

    fn all(mut text: &[u8]) -> Vec<Self> {
        let mut all = Vec::new();
        loop {
            text = text.trim_ascii_start();
            if let Some(quoted) = text.strip_prefix(b"\"") {
                let end = memchr::memchr(b'"', quoted).unwrap();
                all.push(Self { text: String::new(), bytes: Some(unhex(&quoted[..end])) });
                text = &quoted[end + 1..];
                assert!(!text.starts_with(b"..."), "strace cut an argument short");
            } else {
                let end = memchr::memchr2(b',', b'"', text).unwrap_or(text.len());
                let argument = String::from_utf8_lossy(&text[..end]);
                let argument = argument.trim().trim_end_matches(')').to_owned();
                all.push(Self { text: argument, bytes: None });
                text = &text[end..];
            }
            match memchr::memchr2(b',', b'"', text) {
                Some(at) if text[at] == b',' => text = &text[at + 1..],
                Some(at) => text = &text[at..],
                None => return all,
            }
        }
    }
}

/// `\x41\x42`.
fn unhex(text: &[u8]) -> Vec<u8> {
    let digit = |byte: u8| if byte < b'a' { byte - b'0' } else { byte - b'a' + 10 };
    text.chunks_exact(4).map(|escape| digit(escape[2]) << 4 | digit(escape[3])).collect()
}

/// What the calls come to is what the directory holds. The file that SQLite maps into memory is written
/// to without calls.
pub fn assert_complete(past: &Past, dir: &Path) {
    let mut seen = disk::seen(past);
    let mut held = crate::check::files_of(dir);
    for files in [&mut seen, &mut held] {
        files.retain(|name, _| !name.ends_with("-shm"));
    }
    let names = |files: &disk::Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&seen), names(&held), "calls were not seen");
    for (name, content) in &held {
        assert!(seen[name] == *content, "calls on {name} were not seen");
    }
}
