//! `ringfence policy explain`: one decision, and what every statement had to do with it.

use super::NO;
use super::account::{Pages, Sources};
use super::files;
use super::request::Asked;
use super::table::plain;
use ringfence_policy::Layer;
use ringfence_policy::account::Policies;
use ringfence_policy::explain::Named;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    asked: Asked,

    #[command(flatten)]
    pages: Pages,

    #[command(flatten)]
    policies: files::Named,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn explain(options: &Options) -> anyhow::Result<ExitCode> {
    let Asked { principal, action, resource, facts } = &options.asked;
    let sources = Sources::read(&options.pages, &options.policies)?;
    let case = sources.case(principal, action, resource, facts)?;
    let request = case.request();
    let set = case.policies.set();
    let names = names(&case.policies, options.json);
    let mut why = ringfence_policy::explain(&request, &set);
    why.locate(|layer, level, policy| {
        let (name, text) = names.get(&(layer, level, policy))?;
        Some(Named { name, text })
    });
    let sentence = why.sentence(principal, &request);
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

/// What people know each policy by, and its text where that is a file's; by layer, level and place.
fn names<'a>(
    policies: &Policies<'a>,
    json: bool,
) -> BTreeMap<(Layer, usize, usize), (String, &'a str)> {
    let layers = policies.layers().flat_map(|of| {
        let places = of.policies.iter().enumerate();
        places.map(move |(place, policy)| ((of.layer, of.level.unwrap_or(0), place), policy))
    });
    let named = layers.map(|(place, policy)| {
        let name = policy.source.to_string();
        let name = if json { name } else { plain(&name) };
        (place, (name, policy.text.unwrap_or_default()))
    });
    named.collect()
}
