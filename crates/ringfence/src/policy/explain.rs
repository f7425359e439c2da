//! `ringfence policy explain`: one decision, and what every statement had to do with it.

use super::NO;
use super::files::{Files, Named};
use super::request::Asked;
use std::io::Write as _;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    asked: Asked,

    #[command(flatten)]
    policies: Named,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn explain(options: &Options) -> anyhow::Result<ExitCode> {
    let asked = options.asked.read()?;
    let files = Files::read(&options.policies)?;
    let request = asked.request();
    let policies = files.set();
    let why = ringfence_policy::explain(&request, &policies);
    let sentence = why.sentence(&options.asked.principal, &request);
    let mut out = std::io::stdout().lock();
    if options.json {
        let mut json = why.json();
        json["sentence"] = sentence.into();
        writeln!(out, "{json:#}")?;
    } else {
        write!(out, "{sentence}\n\n{why}")?;
    }
    Ok(if why.decision.is_allowed() { ExitCode::SUCCESS } else { ExitCode::from(NO) })
}
