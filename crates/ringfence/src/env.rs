//! `ringfence env`: the root credentials again, for the owner of the data directory.

use crate::cli::{Env, Form};
use crate::exports::Exports;
use crate::house::House;
use crate::world;
use anyhow::Context as _;
use ringfence_gateway::clock::SystemClock;
use ringfence_iam::Quotas;
use std::io::Write as _;
use std::sync::Arc;

/// Prints the credentials of an account's root user.
pub fn env(options: &Env) -> anyhow::Result<()> {
    let house = House::open_to_read(&options.place)?;
    let account = match options.account {
        Some(account) => account,
        None => house.management()?.context("the store has no account yet: start the server")?,
    };
    let clock = Arc::new(SystemClock);
    let iam = world::iam(house.store.clone(), &house.keyring, clock, Quotas::default())?;
    let credentials = iam
        .root_credentials(account)
        .with_context(|| format!("account {account} has no active root access key"))?;
    let endpoint = house.endpoint();
    let exports = Exports { endpoint: &endpoint, credentials: &credentials };
    match options.format {
        Form::Env => write!(std::io::stdout(), "{exports}")?,
        Form::Process => exports.write_process(std::io::stdout())?,
    }
    Ok(())
}
