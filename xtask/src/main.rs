//! Generators and chores of this repository: `cargo xtask --help`.

mod coverage;
mod models;
mod operations;
mod reference;
mod sources;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", about = "Generators and chores of Ringfence")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Writes the crates under crates/models from botocore's service models.
    Models(models::Options),
    /// Writes the data under crates/policy/data from the service authorization reference and AWS's
    /// managed policies.
    Reference(reference::Options),
    /// Writes docs/coverage.md: which operations of the models are built.
    Coverage(coverage::Options),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().chore {
        Chore::Models(options) => models::run(&options),
        Chore::Reference(options) => reference::run(&options),
        Chore::Coverage(options) => coverage::run(&options),
    }
}
