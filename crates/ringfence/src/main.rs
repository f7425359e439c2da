//! The `ringfence` command.

mod account;
mod audit;
mod backup;
mod cli;
mod env;
mod exports;
mod house;
mod inventory;
mod lease;
mod logs;
mod mfa;
mod notify;
mod policy;
mod process;
mod seal;
mod serve;
mod world;
mod xks;

use clap::{CommandFactory as _, Parser as _};
use cli::{Cli, Command};
use std::io::Write as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    logs::start();
    match run(command) {
        Ok(code) => code,
        // Whoever read the output has had enough of it.
        Err(error) if is_broken_pipe(&error) => ExitCode::FAILURE,
        Err(error) => {
            // Nowhere is left to complain to where this fails.
            let _ = writeln!(std::io::stderr(), "ringfence: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    process::keep_to_the_owner()?;
    match command {
        Command::Serve(options) => serve::serve(&options)?,
        Command::Env(options) => env::env(&options)?,
        Command::Account(cli::Account::Create(options)) => account::create(&options)?,
        Command::Mfa(cli::Mfa::Import(options)) => mfa::import(&options)?,
        Command::Xks(command) => xks::xks(&command)?,
        Command::Seal(command) => seal::seal(&command)?,
        Command::Backup(options) => backup::backup(&options)?,
        Command::Restore(options) => backup::restore(&options)?,
        Command::Check(options) => backup::check(&options)?,
        Command::Migrate(options) => backup::migrate(&options)?,
        Command::Audit(command) => return audit::audit(&command),
        Command::Policy(command) => return policy::policy(&command),
        Command::Version => {
            writeln!(std::io::stdout(), "ringfence {}", env!("CARGO_PKG_VERSION"))?;
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ringfence", &mut script);
            std::io::stdout().write_all(&script)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
