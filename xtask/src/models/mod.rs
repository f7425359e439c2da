//! `cargo xtask models`: from botocore's `service-2.json` to a crate of types and tables a service.
//!
//! 1. [`sources`](crate::sources) brings the pinned packages into the ignored `.cache` folder; the models
//!    of our own operations stand in `xtask/models`, in botocore's form;
//! 2. a merge patch in `xtask/patches/SERVICE.json` mends what the published model has wrong;
//! 3. [`names`] turns AWS's names into Rust's, [`pattern`] its patterns into `regex`'s;
//! 4. [`emit`] writes the crate.
//!
//! The output holds names, types and constraints only, no documentation text, and depends on
//! nothing but its inputs: running it twice changes nothing.

mod authorization;
mod emit;
mod names;
mod passing;
mod pattern;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Options {
    /// Services to generate, by botocore's folder name.
    #[arg(default_values_t = COMMITTED.map(String::from))]
    services: Vec<String>,
    /// Where the crates go.
    #[arg(long, default_value = "crates/models")]
    out: PathBuf,
    /// Change nothing; fail if anything would change.
    #[arg(long)]
    check: bool,
    /// List the operations without an authorisation row and go on, for trying a new service. Needs
    /// `--out`: such a crate is not for committing.
    #[arg(long, requires = "out", conflicts_with = "check")]
    trial: bool,
}

/// The services whose crates are committed.
const COMMITTED: [&str; 5] = ["accessanalyzer", "iam", "kms", "ringfence", "sts"];

/// What the models do not say of a service.
pub struct Facts {
    /// botocore's folder name.
    pub folder: &'static str,
    /// The prefix of its actions in policies.
    pub action_prefix: &'static str,
    /// The code of constraint violations.
    pub validation_code: &'static str,
    /// One region serves all.
    pub global: bool,
    /// Its model is written by hand, in `xtask/models`.
    pub own: bool,
}

const fn facts(folder: &'static str) -> Facts {
    Facts {
        folder,
        action_prefix: folder,
        validation_code: "ValidationException",
        global: false,
        own: false,
    }
}

/// A row a service, where it differs from the rule.
fn facts_of(folder: &str) -> Result<Facts> {
    const VALIDATION_ERROR: &str = "ValidationError";
    let row = match folder {
        "iam" => Facts { validation_code: VALIDATION_ERROR, global: true, ..facts("iam") },
        "sts" => Facts { validation_code: VALIDATION_ERROR, ..facts("sts") },
        // Our own operations, which ask for IAM's actions.
        "ringfence" => Facts { action_prefix: "iam", own: true, ..facts("ringfence") },
        "kms" => facts("kms"),
        "accessanalyzer" => Facts { action_prefix: "access-analyzer", ..facts("accessanalyzer") },
        "ec2" => Facts { validation_code: "InvalidParameterValue", ..facts("ec2") },
        "s3" => Facts { validation_code: "InvalidArgument", ..facts("s3") },
        "cognito-idp" => {
            Facts { validation_code: "InvalidParameterException", ..facts("cognito-idp") }
        }
        "wafv2" => Facts { validation_code: "WAFInvalidParameterException", ..facts("wafv2") },
        "ssm" => facts("ssm"),
        "cloudwatch" => facts("cloudwatch"),
        _ => bail!("no row of facts for `{folder}` in xtask/src/models/mod.rs"),
    };
    Ok(row)
}

pub fn run(options: &Options) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace root")?;
    let sources = crate::sources::Sources::fetch(root)?;
    let mut stale = Vec::new();
    for service in &options.services {
        let facts = facts_of(service)?;
        if facts.own != sources.is_own(service) {
            bail!("`{service}` is written by hand or botocore's: its row and xtask/models differ");
        }
        let mut model = sources.model(service)?;
        patch_from(&root.join("xtask/patches").join(format!("{service}.json")), &mut model)?;
        let paginators = sources.paginators(service)?;
        let mut reference = sources.reference(facts.action_prefix)?;
        reference.trial = options.trial;
        let files = emit::service(&facts, &model, &paginators, &reference)
            .with_context(|| format!("service `{service}`"))?;
        let dir = root.join(&options.out).join(service);
        let lines: usize = files.values().map(|text| text.lines().count()).sum();
        println!("{service}: {lines} lines");
        stale.extend(write(&dir, &files, options.check)?);
    }
    if options.check && !stale.is_empty() {
        for path in &stale {
            println!("stale: {}", path.display());
        }
        bail!("generated crates differ from their models; run `cargo xtask models`");
    }
    Ok(())
}

/// Writes what differs; returns the paths that did.
fn write(dir: &Path, files: &BTreeMap<String, String>, check: bool) -> Result<Vec<PathBuf>> {
    let mut changed = Vec::new();
    for (name, text) in files {
        let path = dir.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == *text) {
            continue;
        }
        if !check {
            let parent = path.parent().context("a file has a folder")?;
            std::fs::create_dir_all(parent)?;
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        changed.push(path);
    }
    Ok(changed)
}

/// Applies a JSON merge patch (RFC 7386) from a file, if there is one.
fn patch_from(path: &Path, model: &mut Value) -> Result<()> {
    if path.exists() {
        let patch = std::fs::read_to_string(path)?;
        merge(model, serde_json::from_str(&patch).with_context(|| path.display().to_string())?);
    }
    Ok(())
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(&key);
            } else {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}
