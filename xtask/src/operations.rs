//! Which actions each operation of each API asks for, as the policy crate embeds it.
//!
//! Nineteen of twenty operations ask for the action of their own name. `patches/operations.json` says
//! what the others ask for, with the page that says so; those that nobody has looked up are counted
//! and left out. A service's actions have one prefix: that of its signing name, endpoint or model, and
//! of these the one that knows the most of its operations.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// What is read of a model.
#[derive(Deserialize)]
struct Model {
    metadata: Metadata,
    operations: BTreeMap<String, Operation>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    endpoint_prefix: String,
    signing_name: Option<String>,
    service_id: Option<String>,
}

#[derive(Deserialize)]
struct Operation {
    http: Option<Http>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// What `patches/operations.json` says of a service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exceptions {
    /// The pages that say so.
    source: String,
    /// The prefix of its actions, where no name tells it.
    prefix: Option<String>,
    /// Actions are named after HTTP methods.
    #[serde(default)]
    by_method: bool,
    /// Operations with their actions.
    operations: BTreeMap<String, Vec<String>>,
}

/// The reference's actions by prefix, in lower case.
pub type Actions = BTreeMap<String, BTreeSet<String>>;

/// The lines of the table: `S`, service, prefix; `X`, operation, actions (`;`).
pub fn table(botocore: &Path, patches: &Path, actions: &Actions) -> Result<String> {
    let text = std::fs::read_to_string(patches).context("patches/operations.json")?;
    let mut exceptions: BTreeMap<String, Exceptions> = serde_json::from_str(&text)?;
    let (mut out, mut all, mut left) = (String::new(), 0, 0);
    let mut folders: Vec<_> = std::fs::read_dir(botocore)?.filter_map(|entry| entry.ok()).collect();
    folders.sort_by_key(std::fs::DirEntry::file_name);
    for folder in folders {
        let Some(model) = newest(&folder.path())? else { continue };
        let service = folder.file_name().to_string_lossy().into_owned();
        let own = exceptions.remove(&service);
        let prefix = own.as_ref().and_then(|own| own.prefix.clone());
        let Some(prefix) = prefix.or_else(|| prefix_of(&service, &model, actions)) else {
            all += model.operations.len();
            left += model.operations.len();
            continue;
        };
        let known = actions.get(&prefix).with_context(|| format!("no service `{prefix}`"))?;
        writeln!(out, "S\t{service}\t{prefix}")?;
        for (name, operation) in &model.operations {
            all += 1;
            let asked = match (&own, &operation.http) {
                (Some(own), Some(http)) if own.by_method => {
                    vec![format!("{prefix}:{}", http.method)]
                }
                (Some(own), _) => own.operations.get(name).cloned().unwrap_or_default(),
                (None, _) => Vec::new(),
            };
            for action in &asked {
                let (prefix, name) = action.split_once(':').context("an action")?;
                let known =
                    actions.get(prefix).is_some_and(|all| all.contains(&name.to_lowercase()));
                if !known {
                    bail!("{service}: the reference has no action `{action}`");
                }
            }
            if !asked.is_empty() {
                writeln!(out, "X\t{name}\t{}", asked.join(";"))?;
            } else if !known.contains(&name.to_lowercase()) {
                left += 1;
            }
        }
        let Some(own) = own else { continue };
        if !own.source.starts_with("https://docs.aws.amazon.com/") {
            bail!("{service}: `{}` is no page of AWS's", own.source);
        }
        if let Some(name) = own.operations.keys().find(|name| !model.operations.contains_key(*name))
        {
            bail!("{service} has no operation `{name}`");
        }
    }
    if let Some(service) = exceptions.keys().next() {
        bail!("botocore has no service `{service}`");
    }
    println!("operations: {all}, of which {left} have no action that is known");
    Ok(out)
}

fn newest(folder: &Path) -> Result<Option<Model>> {
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut versions: Vec<_> =
        std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    versions.sort();
    let found = versions.iter().rev().map(|version| version.join("service-2.json"));
    let Some(path) = { found }.find(|path| path.exists()) else { return Ok(None) };
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(Some(serde_json::from_slice(&text).with_context(|| path.display().to_string())?))
}

/// The prefix of a service's actions: of those that its names suggest the one that knows the most of its
/// operations. One that knows none of them is another service's.
fn prefix_of(service: &str, model: &Model, actions: &Actions) -> Option<String> {
    let Metadata { endpoint_prefix, signing_name, service_id } = &model.metadata;
    let id = service_id.as_ref().map(|id| id.to_lowercase().replace(' ', ""));
    let named = [signing_name.as_deref(), Some(service), Some(endpoint_prefix), id.as_deref()];
    let mut best: Option<(usize, &str)> = None;
    for prefix in named.into_iter().flatten() {
        let Some(known) = actions.get(prefix) else { continue };
        let hits =
            model.operations.keys().filter(|name| known.contains(&name.to_lowercase())).count();
        if hits > best.map_or(0, |(most, _)| most) {
            best = Some((hits, prefix));
        }
    }
    best.map(|(_, prefix)| prefix.to_owned())
}
