//! No process is begun while another test has a store open.
//!
//! A process that is begun is for a moment a copy of this one, with all its files and so with the locks on
//! them: a store that is closed in that moment stays locked for as long. Test programs are the only ones
//! that begin processes beside stores.

use std::io;
use std::process::{Child, Command};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

static STORES: RwLock<()> = RwLock::new(());

/// To be held as long as a store is open.
pub fn none() -> RwLockReadGuard<'static, ()> {
    STORES.read().unwrap_or_else(PoisonError::into_inner)
}

/// Begins a process.
pub fn begin(command: &mut Command) -> Child {
    try_to_begin(command).unwrap()
}

/// Whether a program is there, and ends well.
pub fn succeeds(command: &mut Command) -> bool {
    try_to_begin(command).and_then(|mut child| child.wait()).is_ok_and(|status| status.success())
}

fn try_to_begin(command: &mut Command) -> io::Result<Child> {
    let _no_store = STORES.write().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}
