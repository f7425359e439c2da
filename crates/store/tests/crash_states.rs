//! The fault laboratory: what a crash, or a call that fails, may do to the store.
//!
//! A process works on a store under `strace`, which shows every write, sync, cut and name of a file in the
//! order in which they were made, and between them what the process says: this commit is handed in, that
//! one acknowledged ([`workload`], [`trace`]). A model of a file system with a page cache knows what of that
//! a crash may leave at any point ([`disk`]). Each such state is made a directory, opened by the store, and
//! compared with the store's model ([`check`]):
//!
//! - It opens.
//! - It holds what some commit left, all of it and the log of changes with it: one between the last that
//!   was acknowledged and the last that was handed in. So nothing acknowledged is lost, and no commit is
//!   there by half.
//! - It can be written, and what is written is there when it is opened once more.
//! - A value that an acknowledged commit destroyed is in no file, neither as the crash left it nor after.
//! - Once it is said that all values are sealed anew, none is sealed as before.
//!
//! Looked at are the states before and after every sync, with all or nothing of what was not durable, and
//! states at random points with anything in between. Recovery is work too, and is watched and cut short
//! like any other. So are processes whose calls fail. That the laboratory finds what it looks for is
//! shown by processes whose syncs do nothing.
//!
//! | variable | |
//! |---|---|
//! | `RINGFENCE_STRACE` | the program `strace`; `make unit` fetches it. Without it most of this is passed over |
//! | `RINGFENCE_CRASH_SEED` | chooses histories and crashes; threads still run as they like |
//! | `RINGFENCE_CRASH_SECONDS` | each test goes on with further seeds for so long; `make crash-states SECONDS=3600` divides its time among them |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests, helpers included.

#[path = "crash_states/check.rs"]
mod check;
#[path = "crash_states/disk.rs"]
mod disk;
#[path = "crash_states/forks.rs"]
mod forks;
#[path = "crash_states/place.rs"]
mod place;
#[path = "crash_states/random.rs"]
mod random;
#[path = "crash_states/trace.rs"]
mod trace;
#[path = "crash_states/workload.rs"]
mod workload;

use check::{Known, Plan, Tally};
use disk::{Disk, Kind, Leaves, Op, Past};
use libtest_mimic::{Arguments, Trial};
use random::Random;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use trace::{Fault, Recording, Strace};
use workload::{About, History, Life};

/// What the program is called with to be the process that is watched.
const LIVE: &str = "live";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [what, dir, rest @ ..] = arguments.as_slice()
        && works(what, Path::new(dir), rest)
    {
        return ExitCode::SUCCESS;
    }
    let (watched, mounted) = (Strace::find().is_some(), place::can_mount());
    if !watched {
        eprintln!(
            "RINGFENCE_STRACE names no strace that may trace here: crash states and failing calls are \
             passed over (make unit sets it)"
        );
    }
    if !mounted {
        eprintln!("no file system can be mounted here: full and read-only ones are passed over");
    }
    let plain = |name: &'static str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let watching = |name: &'static str, test: fn(&Lab)| {
        let trial = Trial::test(name, move || {
            test(&Lab::new(name));
            Ok(())
        });
        trial.with_ignored_flag(!watched)
    };
    let mounting = |name, test| plain(name, test).with_ignored_flag(!mounted);
    let trials = vec![
        plain("the_model_of_a_disk_keeps_its_own_rules", disk::keeps_its_own_rules),
        watching("a_crash_loses_nothing_acknowledged", crashes),
        watching("a_crash_while_a_long_log_is_brought_in_loses_nothing", long_log),
        watching("a_crash_during_recovery_loses_nothing", recovery),
        watching("a_crash_after_a_failed_sync_loses_nothing_acknowledged", failed_syncs),
        watching("a_store_that_does_not_sync_is_found_out", found_out),
        watching("a_call_that_fails_loses_nothing_and_is_got_over", failing_calls),
        mounting("a_full_disk_refuses_writes_until_there_is_room", full_disk),
        mounting("a_directory_that_is_read_only_is_refused_in_words", read_only),
        plain("a_second_process_is_kept_out", place::keeps_a_second_process_out),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Is the process that is watched, if that is what it was called for.
fn works(what: &str, dir: &Path, rest: &[String]) -> bool {
    match what {
        LIVE => Life::from_args(rest).live(dir),
        place::FILL => place::fill(dir),
        place::PREPARE => place::prepare(dir),
        place::READ => place::read(dir),
        place::HOLD => place::hold(dir),
        _ => return false,
    }
    true
}

/// A bench to work on.
struct Lab {
    name: &'static str,
    strace: Strace,
    scratch: tempfile::TempDir,
    seed: u64,
    /// Until when it goes on, past the least that it does.
    until: Instant,
}

/// A life that is whole and without faults.
fn life(about: About, seed: u64) -> Life {
    Life { about, seed, generation: 1, commits: usize::MAX, patience: 0, closes: true }
}

/// What is known of a store before anything is done to it.
fn nothing() -> Known {
    Known { oldest: 1, newest: 1, ..Known::default() }
}

impl Lab {
    fn new(name: &'static str) -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = number("RINGFENCE_CRASH_SEED").unwrap_or(now.as_nanos() as u64 % 1_000_000_007);
        let until = Instant::now()
            + Duration::from_secs(number("RINGFENCE_CRASH_SECONDS").unwrap_or_default());
        // Memory, where there is a file system of it: thousands of directories are written and read.
        let memory = Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir());
        let scratch = tempfile::tempdir_in(memory.unwrap_or_else(std::env::temp_dir)).unwrap();
        println!("{name}: RINGFENCE_CRASH_SEED={seed}");
        Self { name, strace: Strace::find().unwrap(), scratch, seed, until }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().canonicalize().unwrap().join(name)
    }

    /// Runs rounds, each of a seed of its own: one at least, and as many as there is time for.
    fn rounds(&self, mut round: impl FnMut(u64, &mut Random)) {
        for seed in self.seed.. {
            round(seed, &mut Random::new(seed));
            if Instant::now() >= self.until {
                return;
            }
        }
    }

    /// A life in a directory that is empty.
    fn live(&self, life: Life, fault: Option<&Fault>) -> Recording {
        check::rebuild(&self.path("data"), &disk::Files::new());
        self.live_on(life, Past::default(), fault)
    }

    /// A life in the directory `data`, which holds what `past` comes to.
    fn live_on(&self, life: Life, past: Past, fault: Option<&Fault>) -> Recording {
        let dir = self.path("data");
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.arg(LIVE).arg(&dir).args(life.to_args());
        let recording = self.strace.record(&program, &dir, past, fault);
        let said = String::from_utf8_lossy(&recording.output.stderr);
        let status = recording.output.status;
        assert!(status.success(), "{life:?} under {fault:?} ended with {status}: {said}");
        trace::assert_complete(&recording.past, &dir);
        recording
    }

    fn enumerate(
        &self,
        past: &Past,
        history: &History,
        plan: &Plan,
        random: &mut Random,
        tally: &mut Tally,
    ) {
        check::enumerate(past, history, plan, &self.path("state"), random, tally);
    }

    /// Says what was found, which must be nothing.
    fn report(&self, tally: &Tally) {
        println!("{}: {tally}", self.name);
        for (state, failure) in tally.failures.iter().take(9) {
            println!("  {state}: {failure}");
        }
        if !tally.failures.is_empty() {
            println!("  the first of these states lies in {}", check::KEPT);
        }
        assert!(tally.failures.is_empty(), "{} states failed", tally.failures.len());
    }
}

fn crashes(lab: &Lab) {
    let mut tally = Tally::keeping();
    lab.rounds(|seed, random| {
        let history = History::of(About::Everything, seed);
        let past = lab.live(life(About::Everything, seed), None).past;
        let plan =
            Plan { from: 0, known: nothing(), random: 1800, syncs_in_hundred: 100, faulty: false };
        lab.enumerate(&past, &history, &plan, random, &mut tally);
    });
    lab.report(&tally);
    assert!(tally.distinct() >= 1000, "too few states: {}", tally.distinct());
}

fn long_log(lab: &Lab) {
    let mut tally = Tally::keeping();
    lab.rounds(|seed, random| {
        let history = History::of(About::LongLog, seed);
        let past = lab.live(life(About::LongLog, seed), None).past;
        assert!(past.begins_anew("store.db-wal"), "the log is not long");
        // Where it has its length.
        let from = past.ops.len() / 2;
        let known = nothing().by(&past.ops[..from]);
        let plan = Plan { from, known, random: 20, syncs_in_hundred: 20, faulty: false };
        lab.enumerate(&past, &history, &plan, random, &mut tally);
    });
    lab.report(&tally);
}

fn recovery(lab: &Lab) {
    let mut tally = Tally::keeping();
    lab.rounds(|seed, random| {
        let history = History::of(About::Everything, seed);
        let first = lab.live(life(About::Everything, seed), None).past;
        for number in 0..8 {
            let at = random.below(first.ops.len());
            let known = nothing().by(&first.ops[..at]);
            let kind = random.one_of(&[Kind::Posix, Kind::Journalled]);
            let mut disk = Disk::new(kind, &first.at_first);
            first.ops[..at].iter().enumerate().for_each(|(at, op)| disk.apply(at, op));
            // Every other time the process is killed, and power fails while the next one recovers.
            let killed = number % 2 == 0;
            let leaves = if killed { Leaves::Everything } else { random.one_of(&Leaves::RANDOM) };
            let files = check::with_any_index(disk.crash(leaves, random), random);
            check::rebuild(&lab.path("data"), &files);
            let past = if killed {
                Past { at_first: first.at_first.clone(), ops: first.ops[..at].to_vec() }
            } else {
                Past { at_first: files, ops: Vec::new() }
            };
            let from = past.ops.len();
            let next = Life {
                generation: known.newest,
                commits: random.below(12),
                closes: random.in_hundred(50),
                ..life(About::Everything, seed)
            };
            let past = lab.live_on(next, past, None).past;
            let plan = Plan { from, known, random: 40, syncs_in_hundred: 60, faulty: false };
            lab.enumerate(&past, &history, &plan, random, &mut tally);
        }
    });
    lab.report(&tally);
}

fn failed_syncs(lab: &Lab) {
    let mut tally = Tally::keeping();
    let mut failed = 0;
    lab.rounds(|seed, random| {
        let history = History::of(About::Little, seed);
        let mut number = 1 + random.below(2);
        loop {
            let more = random.one_of(&["", "", "..+1", "..+3"]);
            let (calls, outcome, when) = ("fsync,fdatasync", "error=EIO", span(number, more));
            let fault = Fault { calls, outcome, when };
            let patient = Life { patience: 40, ..life(About::Little, seed) };
            let recording = lab.live(patient, Some(&fault));
            if recording.injected == 0 {
                return;
            }
            failed += recording.injected;
            let known = Known { refusals_hold: more.is_empty(), ..nothing() };
            let plan = Plan { from: 0, known, random: 12, syncs_in_hundred: 8, faulty: true };
            lab.enumerate(&recording.past, &history, &plan, random, &mut tally);
            number += 1 + random.below(3);
            // The process is killed before it can do anything about it. What the next one finds is in the
            // kernel's memory, and no sync brings it to the disk.
            let fails = |op: &Op| matches!(op, Op::Sync { failed: true, .. });
            if let Some(at) = recording.past.ops.iter().position(fails) {
                let ops = recording.past.ops[..=at].to_vec();
                let (from, known) = (ops.len(), nothing().by(&ops));
                let past = Past { ops, ..recording.past };
                check::rebuild(&lab.path("data"), &disk::seen(&past));
                let generation = known.newest;
                let next = Life { generation, commits: 2, ..life(About::Little, seed) };
                let past = lab.live_on(next, past, None).past;
                let plan = Plan { from, known, random: 12, syncs_in_hundred: 50, faulty: true };
                lab.enumerate(&past, &history, &plan, random, &mut tally);
            }
        }
    });
    println!("{}: {failed} syncs failed", lab.name);
    lab.report(&tally);
    assert!(failed > 0);
}

/// From the first call that fails, and how many more: `3`, `3..6`, `3+`.
fn span(first: usize, more: &str) -> String {
    match more.strip_prefix("..+") {
        Some(more) => format!("{first}..{}", first + more.parse::<usize>().unwrap()),
        None => format!("{first}{more}"),
    }
}

/// What a store would lose that left out some of its syncs. It is one history, whatever the seed, in which each
/// kind of loss is to be had.
fn found_out(lab: &Lab) {
    const SEED: u64 = 5;
    let history = History::of(About::Little, SEED);
    // As with `PRAGMA synchronous=OFF`: the process is told that its syncs went well.
    let (calls, when) = ("fsync,fdatasync", "1+".to_owned());
    let deceived = Fault { calls, outcome: "retval=0", when };
    let deceived = lab.live(life(About::Little, SEED), Some(&deceived)).past;
    let past = lab.live(life(About::Little, SEED), None).past;
    type Found = fn(&Tally) -> usize;
    let cases: [(&str, Past, Found); 5] = [
        ("no sync", deceived, Tally::lost),
        // As with `PRAGMA synchronous=NORMAL`, almost.
        ("no sync of the log", past.without_syncs_of("store.db-wal"), Tally::lost),
        ("no sync of what is cut", past.without_syncs_of_cuts(), Tally::remaining),
        ("no sync of the database", past.without_syncs_of("store.db"), Tally::broken),
        ("no sync of the directory", past.without_syncs_of(""), Tally::lost),
    ];
    for (what, past, found) in cases {
        let random = &mut Random::new(SEED);
        let mut tally = Tally::default();
        let plan =
            Plan { from: 0, known: nothing(), random: 100, syncs_in_hundred: 100, faulty: false };
        lab.enumerate(&past, &history, &plan, random, &mut tally);
        println!("{}: with {what}: {tally}", lab.name);
        assert!(found(&tally) > 0, "{what} is not noticed");
    }
}

fn failing_calls(lab: &Lab) {
    let (mut runs, mut failed, mut gave_up, mut acknowledged) = (0, 0, 0, 0);
    lab.rounds(|seed, random| {
        let history = History::of(About::Little, seed);
        // Sometimes what is destroyed last is what cannot be destroyed.
        let last = history.forgetting.last().copied().filter(|_| random.in_hundred(50));
        let commits = last.unwrap_or(usize::MAX);
        let closes = random.in_hundred(50);
        let patient = Life { patience: 40, commits, closes, ..life(About::Little, seed) };
        // How many calls there are to fail.
        let never = "65535".to_owned();
        let calls = "pwrite64,fsync,fdatasync,ftruncate,openat,unlink";
        let count = Fault { calls, outcome: "error=EIO", when: never };
        let made = lab.live(patient, Some(&count)).calls;
        let mut jobs = Vec::new();
        for call in calls.split(',') {
            for number in 1..=made.get(call).copied().unwrap_or(0) {
                for outcome in ["error=ENOSPC", "error=EIO"] {
                    jobs.extend(["", "..+5", "+"].map(|more| (call, number, outcome, more)));
                }
            }
        }
        // By chance, and so that each call has its share however often it is made: some of them, or all
        // where there is time.
        for (n, call) in calls.split(',').cycle().enumerate() {
            if jobs.is_empty() || n >= 72 && Instant::now() >= lab.until {
                break;
            }
            let of_call: Vec<_> = (0..jobs.len()).filter(|job| jobs[*job].0 == call).collect();
            if of_call.is_empty() {
                continue;
            }
            let (calls, number, outcome, more) = jobs.swap_remove(random.one_of(&of_call));
            let fault = Fault { calls, outcome, when: span(number, more) };
            let recording = lab.live(patient, Some(&fault));
            runs += 1;
            failed += usize::from(recording.injected > 0);
            let known = Known { refusals_hold: more.is_empty(), ..nothing() };
            let known = known.by(&recording.past.ops);
            acknowledged += known.acknowledged;
            let ended = recording.past.said().contains(&"gave up");
            gave_up += usize::from(ended);
            let said = recording.past.said();
            let said = &said[said.len().saturating_sub(5)..];
            assert!(!ended || more == "+", "{fault:?} is not got over: {said:?}");
            // When nothing fails any more, it serves.
            if let Err(failure) = check::reopens(&lab.path("data"), &history, &known) {
                panic!("after {fault:?}: {failure}");
            }
        }
    });
    println!(
        "{}: {runs} runs, {failed} with failing calls, {gave_up} ended because nothing went any more; \
         {acknowledged} acknowledged commits, lost 0",
        lab.name
    );
    assert!(failed * 2 > runs && gave_up > 0);
}

/// Runs a script with file systems of its own, which must end well.
fn mounted(script: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = place::shell(dir.path(), script);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = forks::begin(&mut shell).wait_with_output().unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    let status = output.status;
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "it was written outside of the mount");
}

fn full_disk() {
    mounted("mount -t tmpfs -o size=2m none \"$dir\"; \"$program\" fill \"$dir\"");
}

fn read_only() {
    mounted(
        "mount -t tmpfs -o size=2m none \"$dir\"; mkdir \"$dir/empty\" \"$dir/data\"
         \"$program\" prepare \"$dir/data\"; mount -o remount,ro \"$dir\"
         \"$program\" read \"$dir/data\"",
    );
}
