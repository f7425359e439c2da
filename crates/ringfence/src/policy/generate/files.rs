//! The files in which AWS CloudTrail delivers events, and the answers of `LookupEvents`.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html>

use super::{Read, Whose};
use anyhow::{Context as _, bail};
use flate2::read::MultiGzDecoder;
use ringfence_policy::generate::{Generator, cloudtrail};
use ringfence_wire::Timestamp;
use serde_json::Value;
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

/// The most bytes of a file, unpacked: CloudTrail's have some megabytes.
const LONGEST: u64 = 64 << 20;
/// How deep folders are looked into: CloudTrail's lie under account, region, year, month and day.
const DEEPEST: usize = 16;

/// Reads every file.
pub fn read(
    paths: &[PathBuf],
    whose: &Whose<'_>,
    generator: &mut Generator,
) -> anyhow::Result<Read> {
    let mut files = Vec::new();
    for path in paths {
        find(path, DEEPEST, &mut files).with_context(|| path.display().to_string())?;
    }
    if files.is_empty() {
        bail!("there are no files of CloudTrail");
    }
    let mut read = Read::default();
    // A record may be delivered twice.
    let mut known = HashSet::new();
    for file in files {
        let name = || file.display().to_string();
        let content = content(&file).with_context(name)?;
        for record in records(content).with_context(name)? {
            let id = record["eventID"].as_str().map(str::to_owned);
            if id.is_none_or(|id| known.insert(id)) {
                take(&record, whose, generator, &mut read);
            }
        }
    }
    Ok(read)
}

/// A file, or those of a folder that are named as CloudTrail names them, in their order.
fn find(path: &Path, depth: usize, out: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !path.is_dir() {
        out.push(path.to_owned());
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else { bail!("the folders are too deep") };
    let mut inside = std::fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    inside.sort();
    for path in inside {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // What lies there are signatures of the files beside it.
        if name == "CloudTrail-Digest" {
            continue;
        }
        if path.is_dir() || name.ends_with(".json") || name.ends_with(".json.gz") {
            find(&path, depth, out)?;
        }
    }
    Ok(())
}

fn content(path: &Path) -> anyhow::Result<Value> {
    let file = BufReader::new(File::open(path)?);
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let mut bytes = Vec::new();
    if packed {
        MultiGzDecoder::new(file).take(LONGEST + 1).read_to_end(&mut bytes)?;
    } else {
        file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > LONGEST {
        bail!("the file is longer than 64 MiB");
    }
    Ok(serde_json::from_slice(&bytes)?)
}

/// The records of a file: `Records`, or `Events` as `aws cloudtrail lookup-events` prints them.
fn records(mut content: Value) -> anyhow::Result<Vec<Value>> {
    if !content.is_object() {
        bail!("the file has no `Records`: it is none of CloudTrail's");
    }
    if let Value::Array(records) = content["Records"].take() {
        return Ok(records);
    }
    let Value::Array(events) = content["Events"].take() else {
        bail!("the file has no `Records`: it is none of CloudTrail's");
    };
    let text = |event: &Value| event["CloudTrailEvent"].as_str().map(str::to_owned);
    events
        .iter()
        .map(|event| Ok(serde_json::from_str(&text(event).context("an event has no record")?)?))
        .collect()
}

fn take(record: &Value, whose: &Whose<'_>, generator: &mut Generator, read: &mut Read) {
    let at = record["eventTime"].as_str().and_then(Timestamp::parse_any);
    let Some(at) = at.map(|at| at.seconds) else {
        read.unclear("records without a time", 1);
        return;
    };
    let who = &record["userIdentity"];
    let arns = [&who["arn"], &who["sessionContext"]["sessionIssuer"]["arn"]];
    let is_theirs = arns.into_iter().any(|arn| arn.as_str() == Some(whose.principal));
    if !is_theirs || !(whose.from..whose.until).contains(&at) {
        read.others += 1;
        return;
    }
    read.events += 1;
    match cloudtrail::asked(record) {
        Ok(asked) => {
            asked.taken.iter().for_each(|taken| read.unclear(taken, 1));
            asked.observations.into_iter().for_each(|one| generator.observe(one));
        }
        Err(why) => read.unclear(format_args!("left out: {why}"), 1),
    }
}
