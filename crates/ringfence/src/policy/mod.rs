//! `ringfence policy`: the policy engine for people who have nothing but JSON files: single policies, or
//! the export of an account.
//!
//! Each command is a file with its options. A command that answers a question ends with 0 where the
//! answer is the one hoped for (allowed, no finding), with [`NO`] where it is not, and with 1 where
//! there is no answer. A question over all requests that cannot be decided ends with
//! [`witness::UNDECIDED`].

mod account;
mod check_access;
mod diff;
mod diff_accounts;
mod explain;
mod files;
mod generate;
mod lint;
mod request;
mod simulate;
mod table;
mod who_can;
mod witness;

use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Decide a request, and say what every statement had to do with it; ends with 3 where it is
    /// denied
    Explain(Box<explain::Options>),

    /// Decide many requests, as IAM's policy simulator does; ends with 3 where any is denied
    Simulate(Box<simulate::Options>),

    /// Say who in an account can do something, or may under conditions; ends with 3 where --expect is
    /// given and someone else can
    WhoCan(Box<who_can::Options>),

    /// Say what is wrong, risky or needless in policies, as IAM Access Analyzer does; ends with 3
    /// where that includes an error or a security warning
    Lint(lint::Options),

    /// Find out whether a policy grants access that it should not, to anyone; ends with 3 where it
    /// does, with 4 where that cannot be decided
    CheckAccess(check_access::Options),

    /// Find out what one policy allows and another does not; ends with 3 where they differ, with 4
    /// where that cannot be decided
    Diff(diff::Options),

    /// Make the policy that allows what a principal was seen to do, and little else; ends with 3 where
    /// nothing was seen
    Generate(generate::Options),
}

/// Runs a command on policies.
pub fn policy(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Explain(options) => explain::explain(options),
        Command::Simulate(options) => simulate::simulate(options),
        Command::WhoCan(options) => who_can::who_can(options),
        Command::Lint(options) => lint::lint(options),
        Command::CheckAccess(options) => check_access::check_access(options),
        Command::Diff(options) => diff::diff(options),
        Command::Generate(options) => generate::generate(options),
    }
}

/// What an answer of "denied" or "found something" ends with: a script can tell it from an error,
/// which ends with 1, and from a wrong command line, which ends with 2.
const NO: u8 = 3;
