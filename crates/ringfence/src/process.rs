//! What the operating system is told about this process: its files and memory are its owner's.

use anyhow::Context as _;
use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Raises the limit on open files as far as it may be raised, and tells it: a connection takes one.
pub fn raise_open_files() -> usize {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => limit.current,
    };
    now.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// New files are for their owner alone; no core is dumped, and nobody but root may look into the
/// memory, where keys are.
pub fn keep_to_the_owner() -> anyhow::Result<()> {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none).context("core dumps cannot be turned off")?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context("the process's memory cannot be closed to others")
}
