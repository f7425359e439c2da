//! The command line.

use crate::notify::Endpoint;
use clap::{Args, Parser, Subcommand, ValueEnum};
use ringfence_gateway::SyncRule;
use ringfence_kms::{Endpoint as XksEndpoint, Hsm};
use ringfence_policy::AccountId;
use ringfence_sts::KeysByHand;
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
    /// Print an account's root credentials, as shell exports or for a profile
    Env(Env),
    /// Work on the accounts of a data directory
    #[command(subcommand)]
    Account(Account),
    /// Work on the MFA devices of a data directory
    #[command(subcommand)]
    Mfa(Mfa),
    /// Let another KMS use keys of a data directory, as external keys of its own
    #[command(subcommand)]
    Xks(Xks),
    /// Tell and change what protects the root key of a data directory
    #[command(subcommand)]
    Seal(Seal),
    /// Copy a data directory's store, sealed as it is, while its server runs
    Backup(Backup),
    /// Make a data directory of a backup
    Restore(Restore),
    /// Look at every page of a store, and open every value
    Check(Check),
    /// Copy a store from a data directory into a PostgreSQL, or back; its servers must have stopped
    Migrate(Migrate),
    /// Verify the audit log of a data directory
    #[command(subcommand)]
    Audit(Audit),
    /// Decide and explain by policy files alone, without a server
    #[command(subcommand)]
    Policy(crate::policy::Command),
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

    /// A PostgreSQL that keeps the store, for several servers at once:
    /// postgres://USER:PASSWORD@HOST,HOST/DATABASE, or @FILE with that in a file [default: the data
    /// directory]
    #[arg(long, value_name = "URL", env = "RINGFENCE_STORE", hide_env_values = true)]
    pub store: Option<String>,

    /// What protects the root key: file, file:PATH, passphrase:env:VARIABLE, passphrase:file:PATH,
    /// systemd:NAME, tpm, tpm:DEVICE, pkcs11:URI, kms:KEY_ARN or kms:KEY_ARN@ENDPOINT
    #[arg(long, value_name = "SEAL", env = "RINGFENCE_SEAL", default_value = "file")]
    pub seal: String,
}

#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    pub place: Place,

    /// Of a store that several servers share: when a write is acknowledged
    #[arg(long, value_name = "WHICH", value_enum, default_value = "relaxed", requires = "store")]
    pub consistency: Consistency,

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

    /// Where events are written, in a folder of this server's own: a directory that the servers of a
    /// store may share, so that each reports on what any of them recorded [default: audit in the data
    /// directory]
    #[arg(long, value_name = "DIR")]
    pub audit: Option<PathBuf>,

    /// Which answers wait until their audit event is on the disk
    #[arg(long, value_name = "WHICH", value_enum, default_value = "grouped")]
    pub audit_sync: AuditSync,

    /// Set a quota, for example iam:users=20000 or kms:CreateKey-requests=50
    #[arg(long, value_name = "SERVICE:NAME=N", value_parser = Quota::parse)]
    pub quota: Vec<Quota>,

    /// Take the keys of an OpenID Connect issuer from a JSON web key set in a file, which is read
    /// again when it changes, and never ask the issuer: https://issuer.example.com=FILE.json
    #[arg(long, value_name = "ISSUER=FILE", value_parser = keys_by_hand)]
    pub oidc_keys: Vec<KeysByHand>,

    /// Deliver the messages of an SNS topic to an endpoint, by HTTPS, or by HTTP on this machine:
    /// arn:aws:sns:us-east-1:123456789012:topic=https://example.com/hook, or =@FILE with the URL in a
    /// file, where the URL is a secret
    #[arg(long, value_name = "TOPIC=URL", value_parser = Endpoint::parse)]
    pub notify: Vec<Endpoint>,

    /// A cluster for CloudHSM key stores of KMS: a token of a PKCS#11 module, for example
    /// cluster-abcdefg2345=module:/usr/lib/softhsm/libsofthsm2.so,token:kms. It may go on with
    /// ,user:NAME where PINs are NAME:PASSWORD, with ,anchor:FILE, the certificate that the cluster is
    /// known by, and with ,account:ID, whose it is [default: the management account's]
    #[arg(long, value_name = "CLUSTER=PARTS", value_parser = Hsm::parse)]
    pub hsm: Vec<Hsm>,

    /// Where an endpoint of external key store proxies is reached, if not under its own name:
    /// https://xks.example.com=http://127.0.0.1:8000. It may go on with ,account:ID, whose it is
    /// [default: the management account's]
    #[arg(long, value_name = "ENDPOINT=URL", value_parser = XksEndpoint::parse)]
    pub xks_endpoint: Vec<XksEndpoint>,

    /// Milliseconds that an external key store proxy may take to answer
    #[arg(long, value_name = "MS", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub xks_timeout: u32,

    /// Where this server is reached by those who check its tokens: accounts' issuers are
    /// URL/_ringfence/oidc/UUID [default: the endpoint that it listens on]
    #[arg(long, value_name = "URL", value_parser = base_url)]
    pub issuer_url: Option<String>,

    /// The origin of a page that may register security keys and sign in by them, for example
    /// https://login.example.com; several may be given [default: http://localhost:PORT]
    #[arg(long, value_name = "ORIGIN")]
    pub webauthn_origin: Vec<String>,

    /// The domain that security keys are made for, which all their origins lie in; keys made for
    /// another are of no use [default: the host of the first origin]
    #[arg(long, value_name = "DOMAIN", requires = "webauthn_origin")]
    pub webauthn_domain: Option<String>,

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

    /// Shell exports, or what a profile's credential_process prints
    #[arg(long, value_enum, default_value_t = Form::Env)]
    pub format: Form,
}

/// The names are those of `aws configure export-credentials`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Env,
    Process,
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

#[derive(Debug, Subcommand)]
pub enum Seal {
    /// Tell what protects the root key, and since when; opens nothing
    Status(SealPlace),
    /// Make a new root key under the same seal; servers may run
    Rotate(SealRotate),
    /// Make a new root key under another seal; the server may run, and is started with the other
    /// seal from then on
    Migrate(SealMigrate),
    /// Drop earlier base keys, once nothing is sealed under them; the server must have stopped
    Retire(Place),
}

#[derive(Debug, Args)]
pub struct SealPlace {
    /// The data directory [default: ringfence under your data home]
    #[arg(long, value_name = "DIR", env = "RINGFENCE_DATA")]
    pub data: Option<PathBuf>,

    /// The PostgreSQL that keeps the store, as the server's --store names it
    #[arg(long, value_name = "URL", env = "RINGFENCE_STORE", hide_env_values = true)]
    pub store: Option<String>,
}

#[derive(Debug, Args)]
pub struct Backup {
    /// The data directory [default: ringfence under your data home]
    #[arg(long, value_name = "DIR", env = "RINGFENCE_DATA")]
    pub data: Option<PathBuf>,

    /// The backup's directory, which must not be there yet
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

#[derive(Debug, Args)]
pub struct Restore {
    /// The backup's directory
    #[arg(long, value_name = "DIR")]
    pub from: PathBuf,

    /// The new data directory; a key file may be there already
    #[arg(long, value_name = "DIR", env = "RINGFENCE_DATA")]
    pub data: PathBuf,

    /// What protects the backup's root key, as the server's --seal names it
    #[arg(long, value_name = "SEAL", env = "RINGFENCE_SEAL", default_value = "file")]
    pub seal: String,
}

#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub place: Place,
}

#[derive(Debug, Args)]
pub struct Migrate {
    /// The data directory [default: ringfence under your data home]; with --from, a new one
    #[arg(long, value_name = "DIR", env = "RINGFENCE_DATA")]
    pub data: Option<PathBuf>,

    /// The PostgreSQL to copy into, as the server's --store names it
    #[arg(long, value_name = "URL", conflicts_with = "from")]
    pub to: Option<String>,

    /// The PostgreSQL to copy from
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Hold the events to what they were signed with; exits with 1 where something is wrong
    Verify(VerifyAudit),
    /// Print the public key that verifies the log, in PEM
    PublicKey(AuditPlace),
}

#[derive(Debug, Args)]
pub struct AuditPlace {
    #[command(flatten)]
    pub place: Place,

    /// The directory that the server's --audit names [default: audit in the data directory]
    #[arg(long, value_name = "DIR")]
    pub audit: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct VerifyAudit {
    #[command(flatten)]
    pub place: AuditPlace,

    /// Verify by this public key alone, and open no store: that the newest segments are gone is not
    /// noticed then
    #[arg(long, value_name = "FILE", requires = "audit")]
    pub public_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SealRotate {
    #[command(flatten)]
    pub place: Place,

    /// Make a new base key too: from the server's next start on it seals what is written, and what
    /// was written before is sealed anew under it while the server serves
    #[arg(long)]
    pub base_key: bool,
}

#[derive(Debug, Args)]
pub struct SealMigrate {
    #[command(flatten)]
    pub place: Place,

    /// The other seal, as --seal names it
    #[arg(long, value_name = "SEAL")]
    pub to: String,
}

#[derive(Debug, Subcommand)]
pub enum Mfa {
    /// Take in the seeds of hardware tokens, which users can enable then
    Import(ImportTokens),
}

#[derive(Debug, Args)]
pub struct ImportTokens {
    #[command(flatten)]
    pub place: Place,

    /// The account whose users have the tokens [default: the management account]
    #[arg(long, value_name = "ID")]
    pub account: Option<AccountId>,

    /// How the seeds of a list are written
    #[arg(long, value_name = "ENCODING", value_enum, default_value = "hex")]
    pub seeds: SeedEncoding,

    /// A list of lines `serial,seed`, or a key container in PSKC (RFC 6030)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum Xks {
    /// Make a credential of a region's proxy, and print what the other KMS is told of the proxy
    Credential(XksProxy),
    /// Take a credential away
    Revoke {
        #[command(flatten)]
        proxy: XksProxy,

        /// The credential's access key id
        #[arg(value_name = "ACCESS_KEY_ID")]
        access_key_id: String,
    },
    /// Let those who have a credential use a key
    Open {
        #[command(flatten)]
        proxy: XksProxy,

        /// What the other KMS calls the key [default: its id]
        #[arg(long, value_name = "ID")]
        id: Option<String>,

        /// The key's id or ARN
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Let nobody use a key any longer; what was encrypted under it does not open until it is opened again
    Close {
        #[command(flatten)]
        proxy: XksProxy,

        /// What the other KMS calls the key
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// The proxy of a region of an account.
#[derive(Debug, Args)]
pub struct XksProxy {
    #[command(flatten)]
    pub place: Place,

    /// The account whose keys it opens [default: the management account]
    #[arg(long, value_name = "ID")]
    pub account: Option<AccountId>,

    /// The region
    #[arg(long, value_name = "REGION", default_value = "us-east-1", env = "AWS_DEFAULT_REGION")]
    pub region: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SeedEncoding {
    Hex,
    Base32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Consistency {
    /// When the database has it; other servers hear of it within milliseconds
    Relaxed,
    /// When every server has taken it in; one that is cut off decides nothing
    Strict,
}

impl From<Consistency> for ringfence_store::postgres::Consistency {
    fn from(consistency: Consistency) -> Self {
        match consistency {
            Consistency::Relaxed => Self::Relaxed,
            Consistency::Strict => Self::Strict,
        }
    }
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

fn keys_by_hand(text: &str) -> Result<KeysByHand, String> {
    let cut = text.split_once('=').filter(|(issuer, file)| {
        (issuer.starts_with("https://") || issuer.starts_with("http://")) && !file.is_empty()
    });
    match cut {
        Some((issuer, file)) => Ok(KeysByHand { issuer: issuer.into(), file: file.into() }),
        None => Err("expected ISSUER=FILE, for example https://id.example.com=keys.json".into()),
    }
}

/// A URL to which a path can be added; a slash at its end is taken off.
fn base_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let sound = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&b);
    let base = text.strip_suffix('/').unwrap_or(text);
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && rest.bytes().all(sound) => {
            Ok(base.into())
        }
        _ => Err("expected a URL without query, for example https://id.example.com".into()),
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
    fn a_base_url_has_a_host_and_no_query() {
        for (text, base) in [
            ("https://id.example.com", "https://id.example.com"),
            ("https://id.example.com/", "https://id.example.com"),
            ("http://[::1]:4566/a/b", "http://[::1]:4566/a/b"),
        ] {
            assert_eq!(base_url(text).as_deref(), Ok(base));
        }
        for text in [
            "",
            "id.example.com",
            "ftp://a",
            "https://",
            "https:///a",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            "https://a b",
        ] {
            assert!(base_url(text).is_err(), "{text}");
        }
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
