//! The policy files that a command line names.

use anyhow::Context as _;
use ringfence_policy::{Document, Kind, PolicySet, ResourcePolicy, parse};
use std::path::{Path, PathBuf};

/// The files, by the layer of their policies.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// A policy of the user, its groups or the role; may be given again
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,

    /// The permissions boundary
    #[arg(long, value_name = "FILE")]
    pub boundary: Option<PathBuf>,

    /// A session policy; may be given again
    #[arg(long, value_name = "FILE")]
    pub session: Vec<PathBuf>,

    /// The resource's policy
    #[arg(long, value_name = "FILE", group = "of_resource")]
    pub resource_policy: Option<PathBuf>,

    /// The trust policy, where the resource is a role
    #[arg(long, value_name = "FILE", group = "of_resource")]
    pub trust: Option<PathBuf>,

    /// The key policy, where the resource is a KMS key
    #[arg(long, value_name = "FILE", group = "of_resource")]
    pub key_policy: Option<PathBuf>,

    /// The service control policies of one level, from the root down; give it again for each level
    #[arg(long, value_name = "FILE,FILE…")]
    pub scp: Vec<String>,

    /// The resource control policies of one level, likewise
    #[arg(long, value_name = "FILE,FILE…")]
    pub rcp: Vec<String>,

    /// The VPC endpoint's policy
    #[arg(long, value_name = "FILE")]
    pub endpoint: Option<PathBuf>,
}

/// Documents of one level.
type Level = Vec<Document>;

/// What is in them.
pub struct Files {
    identity: Level,
    boundary: Option<Document>,
    session: Option<Level>,
    resource: Option<Document>,
    trust: Option<Document>,
    key: Option<Document>,
    service_control: Vec<Level>,
    resource_control: Vec<Level>,
    endpoint: Option<Document>,
}

impl Files {
    pub fn read(options: &Named) -> anyhow::Result<Self> {
        let one = |path: &Option<PathBuf>, kind| path.as_deref().map(|p| read(p, kind)).transpose();
        let all = |paths: &[PathBuf], kind| {
            paths.iter().map(|path| read(path, kind)).collect::<anyhow::Result<Level>>()
        };
        let levels = |levels: &[String], kind| {
            let files = |level: &String| level.split(',').map(PathBuf::from).collect::<Vec<_>>();
            levels.iter().map(|level| all(&files(level), kind)).collect::<anyhow::Result<_>>()
        };
        Ok(Self {
            identity: all(&options.identity, Kind::Identity)?,
            boundary: one(&options.boundary, Kind::Identity)?,
            session: match options.session.is_empty() {
                true => None,
                false => Some(all(&options.session, Kind::Identity)?),
            },
            resource: one(&options.resource_policy, Kind::Resource)?,
            trust: one(&options.trust, Kind::Trust)?,
            key: one(&options.key_policy, Kind::Resource)?,
            service_control: levels(&options.scp, Kind::Identity)?,
            resource_control: levels(&options.rcp, Kind::Resource)?,
            endpoint: one(&options.endpoint, Kind::Resource)?,
        })
    }

    /// As the engine takes them.
    pub fn set(&self) -> PolicySet<'_> {
        fn levels(levels: &[Level]) -> Vec<Vec<&Document>> {
            levels.iter().map(|level| level.iter().collect()).collect()
        }
        PolicySet {
            identity: self.identity.iter().collect(),
            boundary: self.boundary.as_ref(),
            session: self.session.as_ref().map(|documents| documents.iter().collect()),
            resource: (self.resource.as_ref().map(ResourcePolicy::Ordinary))
                .or(self.trust.as_ref().map(ResourcePolicy::Trust))
                .or(self.key.as_ref().map(ResourcePolicy::Key)),
            service_control: levels(&self.service_control),
            resource_control: levels(&self.resource_control),
            endpoint: self.endpoint.as_ref(),
            ..PolicySet::default()
        }
    }
}

/// Reads a policy of a kind from a file.
pub fn read(path: &Path, kind: Kind) -> anyhow::Result<Document> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text, kind).with_context(|| path.display().to_string())
}
