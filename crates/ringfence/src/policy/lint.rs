//! `ringfence policy lint`: what is wrong, risky or needless in policies, as IAM Access Analyzer says it.

use super::NO;
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use ringfence_policy::lint::report::{self, Linted};
use ringfence_policy::lint::{Class, Finding, NOT_BUILT, PolicyKind, implemented, lint as check};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Files that hold a policy each; - is standard input
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,

    /// What the policies are for [default: identity, or resource with --resource-type]
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<Kind>,

    /// The type of the resource that the policies are of
    #[arg(long, value_name = "TYPE", value_parser = RESOURCE_TYPES)]
    resource_type: Option<String>,

    /// How to print what was found
    #[arg(long, default_value = "text")]
    format: Format,

    /// Leave out a code; may be given again
    #[arg(long, value_name = "CODE", value_parser = code)]
    ignore: Vec<String>,

    /// The least that ends with 3
    #[arg(long, value_name = "LEVEL", default_value = "security-warning")]
    fail_on: Level,
}

/// The types that `ValidatePolicy` takes.
const RESOURCE_TYPES: [&str; 6] = [
    "AWS::S3::Bucket",
    "AWS::S3::AccessPoint",
    "AWS::S3::MultiRegionAccessPoint",
    "AWS::S3ObjectLambda::AccessPoint",
    "AWS::IAM::AssumeRolePolicyDocument",
    "AWS::DynamoDB::Table",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Attached to a user, group or role; a boundary or session policy
    Identity,
    /// Attached to a resource
    Resource,
    /// A service control policy
    Scp,
    /// A resource control policy
    Rcp,
    /// A role's trust policy
    Trust,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A line a finding, as compilers print them
    Text,
    /// The answers of `ValidatePolicy`
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    Error,
    SecurityWarning,
    Warning,
    Suggestion,
    Never,
}

impl Level {
    const fn class(self) -> Option<Class> {
        match self {
            Self::Error => Some(Class::Error),
            Self::SecurityWarning => Some(Class::SecurityWarning),
            Self::Warning => Some(Class::Warning),
            Self::Suggestion => Some(Class::Suggestion),
            Self::Never => None,
        }
    }
}

/// One of AWS's codes, in whatever letters.
fn code(text: &str) -> Result<String, String> {
    let code = text.to_ascii_uppercase();
    let retired = NOT_BUILT.iter().any(|(known, _)| *known == code);
    if retired || implemented().any(|known| known.code == code) {
        Ok(code)
    } else {
        Err("there is no such code".to_owned())
    }
}

pub fn lint(options: &Options) -> anyhow::Result<ExitCode> {
    let kind = match (options.kind, &options.resource_type) {
        (None, None) | (Some(Kind::Identity), None) => PolicyKind::Identity,
        (None | Some(Kind::Resource), _) => PolicyKind::Resource,
        (Some(Kind::Scp), None) => PolicyKind::ServiceControl,
        (Some(Kind::Rcp), None) => PolicyKind::ResourceControl,
        (Some(Kind::Trust), None) => PolicyKind::Trust,
        (Some(_), Some(_)) => bail!("--resource-type is for policies of --type resource"),
    };
    let names: Vec<String> = options.files.iter().map(|path| name(path)).collect();
    let mut documents = Vec::new();
    for (path, name) in options.files.iter().zip(&names) {
        let text = read(path).with_context(|| name.clone())?;
        let mut findings = check(&text, kind, options.resource_type.as_deref());
        findings.retain(|finding| !options.ignore.iter().any(|code| code == finding.code));
        documents.push(Linted { name, findings });
    }
    let mut out = std::io::stdout().lock();
    match options.format {
        Format::Text => print(&mut out, &documents)?,
        Format::Json => writeln!(out, "{:#}", report::json(&documents))?,
        Format::Sarif => {
            writeln!(out, "{:#}", report::sarif(&documents, env!("CARGO_PKG_VERSION")))?;
        }
    }
    let counts = |finding: &Finding| options.fail_on.class().is_some_and(|l| finding.class <= l);
    let found = documents.iter().flat_map(|document| &document.findings).any(counts);
    Ok(if found { ExitCode::from(NO) } else { ExitCode::SUCCESS })
}

fn name(path: &Path) -> String {
    if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() }
}

fn read(path: &Path) -> std::io::Result<String> {
    if path != Path::new("-") {
        return std::fs::read_to_string(path);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn print(out: &mut impl std::io::Write, documents: &[Linted<'_>]) -> std::io::Result<()> {
    for Linted { name, findings } in documents {
        for finding in findings {
            let Some(start) = finding.locations.first().map(|place| place.span.start) else {
                continue;
            };
            let class = finding.class.name().to_ascii_lowercase().replace('_', "-");
            // A policy's words may hold what a terminal obeys.
            let message = finding.message.replace(char::is_control, "\u{fffd}");
            writeln!(
                out,
                "{name}:{}:{}: {class} {}: {message} ({})",
                start.line,
                start.column + 1,
                finding.code,
                finding.link()
            )?;
        }
    }
    Ok(())
}
