//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use ringfence_gateway::SyncRule;
use ringfence_policy::AccountId;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The security layer of AWS as software that you run.
#[derive(Debug, Parser)]
#[command(name = "ringfence", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Serve),
    /// Print shell exports of an account's root credentials
    Env(Env),
    /// Work on the accounts of a data directory
    #[command(subcommand)]
    Account(Account),
    /// Decide and explain by policy files alone, without a server
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Print the version
    Version,
    /// Print a shell's completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where the data is and what opens it.
#[derive(Debug, Args)]
pub struct Place {
    /// The data directory [default: ringfence under your data home]
    #[arg(long, value_name = "DIR", env = "RINGFENCE_DATA")]
    pub data: Option<PathBuf>,

    /// What protects the root key: file, file:PATH, passphrase:env:VARIABLE or passphrase:file:PATH
    #[arg(long, value_name = "SEAL", env = "RINGFENCE_SEAL", default_value = "file")]
    pub seal: String,
}

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub place: Place,

    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4566")]
    pub listen: SocketAddr,

    /// Keep nothing, and take any secret from made-up credentials; on loopback only
    #[arg(long)]
    pub dev: bool,

    /// The management account's id, twelve digits: of the first start [default: random], or of
    /// --dev's credentials that name none [default: 000000000000]
    #[arg(long, value_name = "ID")]
    pub account: Option<AccountId>,

    /// Which answers wait until their audit event is on the disk
    #[arg(long, value_name = "WHICH", value_enum, default_value = "grouped")]
    pub audit_sync: AuditSync,

    /// Set a quota, for example iam:users=20000
    #[arg(long, value_name = "SERVICE:NAME=N", value_parser = Quota::parse)]
    pub quota: Vec<Quota>,

    /// Serving threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

#[derive(Debug, Args)]
pub struct Env {
    #[command(flatten)]
    pub place: Place,

    /// The account [default: the management account]
    #[arg(long, value_name = "ID")]
    pub account: Option<AccountId>,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Decide a request, and say what every statement had to do with it; ends with 3 where it is
    /// denied
    Explain(Box<Explain>),
}

#[derive(Debug, Args)]
pub struct Explain {
    /// Who asks: an ARN, an account id, a service such as ec2.amazonaws.com, or `anonymous`
    #[arg(long, value_name = "ARN")]
    pub principal: String,

    /// The action, for example s3:GetObject
    #[arg(long, value_name = "ACTION")]
    pub action: String,

    /// The ARN of the resource, or * for an action that has none
    #[arg(long, value_name = "ARN", default_value = "*")]
    pub resource: String,

    /// Whose the resource is [default: the account in its ARN, or else the principal's]
    #[arg(long, value_name = "ID")]
    pub resource_account: Option<AccountId>,

    /// A policy of the user, its groups or the role; may be given again
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,

    /// The permissions boundary
    #[arg(long, value_name = "FILE")]
    pub boundary: Option<PathBuf>,

    /// A session policy; may be given again
    #[arg(long, value_name = "FILE")]
    pub session: Vec<PathBuf>,

    /// The resource's policy
    #[arg(long, value_name = "FILE", group = "of_resource")]
    pub resource_policy: Option<PathBuf>,

    /// The trust policy, where the resource is a role
    #[arg(long, value_name = "FILE", group = "of_resource")]
    pub trust: Option<PathBuf>,

    /// The key policy, where the resource is a KMS key
    #[arg(long, value_name = "FILE", group = "of_resource")]
    pub key_policy: Option<PathBuf>,

    /// The service control policies of one level, from the root down; give it again for each level
    #[arg(long, value_name = "FILE,FILE…")]
    pub scp: Vec<String>,

    /// The resource control policies of one level, likewise
    #[arg(long, value_name = "FILE,FILE…")]
    pub rcp: Vec<String>,

    /// The VPC endpoint's policy
    #[arg(long, value_name = "FILE")]
    pub endpoint: Option<PathBuf>,

    /// A condition key; one that is given again holds a set
    #[arg(long, value_name = "KEY=VALUE")]
    pub context: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Account {
    /// Make an account, and print shell exports of its root credentials
    Create(CreateAccount),
}

#[derive(Debug, Args)]
pub struct CreateAccount {
    #[command(flatten)]
    pub place: Place,

    /// The account's name
    #[arg(long)]
    pub name: String,

    /// The account's id, twelve digits [default: random]
    #[arg(long, value_name = "ID")]
    pub id: Option<AccountId>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum AuditSync {
    /// Those of successful writes; other events reach the disk within 100 ms
    Grouped,
    /// All
    Every,
}

impl From<AuditSync> for SyncRule {
    fn from(sync: AuditSync) -> Self {
        match sync {
            AuditSync::Grouped => Self::Grouped,
            AuditSync::Every => Self::Every,
        }
    }
}

/// A quota of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    pub service: String,
    pub name: String,
    pub value: usize,
}

impl Quota {
    fn parse(text: &str) -> Result<Self, String> {
        let cut = text.split_once(':').and_then(|(service, rest)| {
            let (name, value) = rest.split_once('=')?;
            Some(Self { service: service.into(), name: name.into(), value: value.parse().ok()? })
        });
        cut.ok_or_else(|| "expected SERVICE:NAME=N, for example iam:users=20000".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_whole() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_quota_is_a_service_a_name_and_a_number() {
        let quota = Quota::parse("iam:users=7").unwrap();
        assert_eq!(quota, Quota { service: "iam".into(), name: "users".into(), value: 7 });
        for text in ["", "iam", "iam:users", "iam:users=", "iam:users=x", "users=7"] {
            assert!(Quota::parse(text).is_err(), "{text}");
        }
    }
}
