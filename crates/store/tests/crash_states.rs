#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests, helpers included.

#[path = "crash_states/check.rs"]
mod check;
#[path = "crash_states/disk.rs"]
mod disk;
#[path = "crash_states/random.rs"]
mod random;
#[path = "crash_states/trace.rs"]
mod trace;
#[path = "crash_states/workload.rs"]
mod workload;

use check::{Known, Plan, Tally};
use disk::{Disk, Kind, Leaves, Past};
use libtest_mimic::{Arguments, Trial};
use random::Random;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use trace::{Fault, Strace};
use workload::{About, History, Life};

/// What the program is called with to be the process that is watched.
const LIVE: &str = "live";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, dir, marks, life @ ..] = arguments.as_slice()
        && first == LIVE
    {
        Life::from_args(life).live(Path::new(dir), Path::new(marks));
        return ExitCode::SUCCESS;
    }
    let strace = Strace::find();
    if strace.is_none() {
        eprintln!(
            "RINGFENCE_STRACE names no strace that may trace here: crash states are passed over \
             (make unit sets it)"
        );
    }
    let trial = |name: &'static str, test: fn(&Lab)| {
        let without = strace.is_none();
        Trial::test(name, move || {
            test(&Lab::new(name));
            Ok(())
        })
        .with_ignored_flag(without)
    };
    let trials = vec![
        Trial::test("the_model_of_a_disk_keeps_its_own_rules", || {
            disk::keeps_its_own_rules();
            Ok(())
        }),
        trial("no_crash_state_loses_what_was_acknowledged", everything),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
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
    fn rounds(&self, mut round: impl FnMut(u64)) {
        let mut seed = self.seed;
        loop {
            round(seed);
            seed += 1;
            if Instant::now() >= self.until {
                return;
            }
        }
    }

    /// A life in the directory `data`, which holds what `past` comes to.
    fn live(&self, life: Life, past: Past, fault: Option<&Fault>) -> Past {
        let (dir, marks) = (self.path("data"), self.path("marks"));
        std::fs::create_dir_all(&dir).unwrap();
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.arg(LIVE).arg(&dir).arg(&marks).args(life.to_args());
        let (output, past) = self.strace.record(&mut program, &dir, &marks, past, fault);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{life:?} {fault:?} ended with {}: {said}", output.status);
        trace::assert_complete(&past, &dir);
        past
    }

    fn report(&self, tally: &Tally) {
        println!("{}: {tally}", self.name);
        for (state, failure) in tally.failures.iter().take(if std::env::var_os("ALL").is_some() {10000} else {5}) {
            println!("  {state}: {failure}");
        }
    }
}

fn everything(lab: &Lab) {
    let mut tally = Tally::default();
    lab.rounds(|seed| {
        let _ = std::fs::remove_dir_all(lab.path("data"));
        let t = Instant::now();
        let history = History::of(About::Everything, seed);
        println!("history {:?} {}", t.elapsed(), history.last());
        let life = Life {
            about: About::Everything,
            seed,
            generation: 1,
            commits: usize::MAX,
            patience: 0,
            closes: true,
        };
        let past = lab.live(life, Past::default(), None);
        println!("lived {:?}, {} calls", t.elapsed(), past.ops.len());
        let plan = Plan { from: 0, known: Known { newest: 1, oldest: 1, ..Known::default() }, random: 1000, syncs_in_hundred: 100 };
        check::enumerate(&past, &history, &plan, &lab.path("state"), &mut Random::new(seed), &mut tally);
        println!("done {:?}", t.elapsed());
    });
    lab.report(&tally);
    assert!(tally.failures.is_empty());
}
