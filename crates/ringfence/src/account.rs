//! `ringfence account`: the accounts of a data directory, while its server is stopped.

use crate::cli::CreateAccount;
use crate::exports::Exports;
use crate::house::{House, draw_account};
use crate::world;
use anyhow::anyhow;
use ringfence_gateway::clock::SystemClock;
use ringfence_iam::Quotas;
use std::io::Write as _;
use std::sync::Arc;

/// Makes an account and prints the exports of its root user.
pub fn create(options: &CreateAccount) -> anyhow::Result<()> {
    let house = House::open(&options.place)?;
    let id = options.id.map_or_else(draw_account, Ok)?;
    let clock = Arc::new(SystemClock);
    let iam = world::iam(house.store.clone(), &house.keyring, clock, Quotas::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let credentials = runtime
        .block_on(iam.create_account(id, &options.name))
        .map_err(|error| anyhow!("account {id} was not made: {}", error.message))?;
    let endpoint = house.endpoint();
    write!(std::io::stdout(), "{}", Exports { endpoint: &endpoint, credentials: &credentials })?;
    Ok(())
}
