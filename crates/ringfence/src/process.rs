//! What the operating system is told about this process: its files and memory are its owner's.

use anyhow::Context as _;
use rustix::fs::Mode;
#[cfg(target_os = "linux")]
use rustix::mm::MlockAllFlags;
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
    keep_memory_out_of_dumps();
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context("the process's memory cannot be closed to others")
}

/// Should root have a core written all the same, by `gcore` say, then without anonymous memory, where
/// every key is: `MADV_DONTDUMP` for the whole of it. After the process is not dumpable any more this
/// file is no longer its own.
/// <https://man7.org/linux/man-pages/man5/core.5.html>
fn keep_memory_out_of_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = std::fs::write("/proc/self/coredump_filter", "0") {
        // Where /proc is not mounted. There is no core that it would be about.
        tracing::debug!(%error, "memory is not kept out of dumps");
    }
}

/// Keeps memory from being swapped to a disk, where the system lets it: with `LimitMEMLOCK=infinity`
/// or CAP_SYS_RESOURCE. A limit that is finite would be reached some day, and then memory could not be
/// had any more: so it is all or nothing.
pub fn lock_memory() {
    #[cfg(target_os = "linux")]
    {
        let unlimited = Rlimit { current: None, maximum: None };
        let locked = rustix::process::setrlimit(Resource::Memlock, unlimited).and_then(|()| {
            // Pages are locked as they are first used: what is only reserved takes no memory.
            rustix::mm::mlockall(
                MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT,
            )
        });
        match locked {
            Ok(()) => tracing::info!("memory is kept from being swapped"),
            Err(_) => tracing::info!("memory may be swapped: the limit on locked memory is finite"),
        }
    }
}
