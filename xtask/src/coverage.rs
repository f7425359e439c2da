//! `cargo xtask coverage`: which operations of the models are built, in `docs/coverage.md`.
//!
//! An operation is built where its service registers a handler for it (`.on::<ops::NAME, _>`). What is in
//! a model and not built answers that it is not implemented. `coverage/SERVICE.txt` beside the patches
//! says why some never will be, an operation a line.

use anyhow::{Context, Result, bail};
use clap::Args;
use regex::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    /// Change nothing; fail if the page is stale.
    #[arg(long)]
    check: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace root")?;
    let mut services = BTreeMap::new();
    for model in folders(&root.join("crates/models"))? {
        let name = model.file_name().context("a name")?.to_string_lossy().into_owned();
        let operations = names(&model.join("src/operations.rs"), r"(?m)^pub struct (\w+);")?;
        let mut built = BTreeSet::new();
        for file in handlers_of(&name) {
            let handlers = root.join("crates/services").join(file);
            if handlers.exists() {
                built.extend(names(&handlers, r"\.on(?:_passing)?::<\s*ops::(\w+)")?);
            }
        }
        if let Some(stray) = built.difference(&operations).next() {
            bail!("{name} has a handler for {stray}, which is not in its model");
        }
        let reasons = reasons(&root.join(format!("xtask/coverage/{name}.txt")))?;
        if let Some((stray, _)) =
            reasons.iter().find(|(name, _)| !operations.contains(*name) || built.contains(*name))
        {
            bail!(
                "xtask/coverage/{name}.txt gives a reason for {stray}, which is built or no operation"
            );
        }
        services.insert(name, Service { operations, built, reasons });
    }
    let page = page(&services);
    let path = root.join("docs/coverage.md");
    if std::fs::read_to_string(&path).is_ok_and(|old| old == page) {
        return Ok(());
    }
    if options.check {
        bail!("docs/coverage.md is stale; run `cargo xtask coverage`");
    }
    std::fs::write(&path, page)?;
    Ok(())
}

/// The files that register a service's handlers. Those of our own operations lie with what they do.
fn handlers_of(service: &str) -> Vec<String> {
    match service {
        "ringfence" => {
            vec!["iam/src/mfa/security_keys.rs".into(), "sts/src/security_key_session.rs".into()]
        }
        _ => vec![format!("{service}/src/lib.rs")],
    }
}

struct Service {
    operations: BTreeSet<String>,
    built: BTreeSet<String>,
    /// Why an operation is not built.
    reasons: BTreeMap<String, String>,
}

fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path)?.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(entries.filter(|path| path.is_dir()).collect())
}

fn names(path: &Path, pattern: &str) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let pattern = Regex::new(pattern)?;
    Ok(pattern.captures_iter(&text).map(|found| found[1].to_owned()).collect())
}

/// `OPERATION: reason` a line.
fn reasons(path: &Path) -> Result<BTreeMap<String, String>> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(BTreeMap::new()) };
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, why) = line.split_once(": ").with_context(|| format!("`{line}`"))?;
            Ok((name.to_owned(), why.to_owned()))
        })
        .collect()
}

fn page(services: &BTreeMap<String, Service>) -> String {
    let mut out = String::from(
        "# Coverage\n\nMade by `cargo xtask coverage` from the models and the handlers; `make test` fails \
         where it is stale.\nWhat is not built answers HTTP 501 with a message that says so.\n\n\
         | service | operations | built |\n|---|---:|---:|\n",
    );
    for (name, service) in services {
        let (all, built) = (service.operations.len(), service.built.len());
        _ = writeln!(out, "| {name} | {all} | {built} |");
    }
    for (name, service) in services {
        let list = |of: Vec<&String>| {
            of.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        _ = write!(out, "\n## {name}\n\nBuilt: {}.\n", list(service.built.iter().collect()));
        let missing = service.operations.difference(&service.built);
        let (given, open): (Vec<&String>, Vec<&String>) =
            missing.partition(|name| service.reasons.contains_key(*name));
        if !open.is_empty() {
            _ = write!(out, "\nNot built: {}.\n", list(open));
        }
        for name in given {
            let why = service.reasons.get(name).map(String::as_str).unwrap_or_default();
            _ = write!(out, "\nNot built: `{name}`: {why}\n");
        }
    }
    out.replace("Built: .", "Nothing is built yet.")
}
