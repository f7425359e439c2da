//! The policy files that a command line names.

use anyhow::{Context as _, bail};
use ringfence_policy::account::{Around, Given, OfResource, Policies, Sourced, is_trust};
use ringfence_policy::{AccountId, Kind, parse};
use std::path::{Path, PathBuf};

/// The files, by the layer of their policies.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// A policy of the user, its groups or the role; may be given again
    #[arg(long, value_name = "FILE", conflicts_with = "account")]
    pub identity: Vec<PathBuf>,

    /// The permissions boundary
    #[arg(long, value_name = "FILE", conflicts_with = "account")]
    pub boundary: Option<PathBuf>,

    /// A session policy; may be given again
    #[arg(long, value_name = "FILE")]
    pub session: Vec<PathBuf>,

    /// The resource's policy; with an ARN that of one resource, and may be given again
    #[arg(long, value_name = "[ARN=]FILE", group = "of_resource")]
    pub resource_policy: Vec<String>,

    /// The trust policy, where the resource is a role
    #[arg(long, value_name = "FILE", group = "of_resource", conflicts_with = "account")]
    pub trust: Option<PathBuf>,

    /// The key policy, where the resource is a KMS key
    #[arg(long, value_name = "FILE", group = "of_resource", conflicts_with = "account")]
    pub key_policy: Option<PathBuf>,

    #[command(flatten)]
    pub organization: Levels,

    /// The VPC endpoint's policy
    #[arg(long, value_name = "FILE")]
    pub endpoint: Option<PathBuf>,
}

/// The files of organization policies.
#[derive(Debug, clap::Args)]
pub struct Levels {
    /// The service control policies of one level, from the root down; give it again for each level
    #[arg(long, value_name = "FILE,FILE…")]
    pub scp: Vec<String>,

    /// The resource control policies of one level, likewise
    #[arg(long, value_name = "FILE,FILE…")]
    pub rcp: Vec<String>,

    /// The organization's management account, which neither kind of them binds
    #[arg(long, value_name = "ID")]
    pub management_account: Option<AccountId>,
}

/// Policies of one level.
type Level = Vec<Given>;

/// What is in them.
pub struct Files {
    identity: Level,
    boundary: Option<Given>,
    session: Option<Level>,
    trust: Option<Given>,
    key: Option<Given>,
    endpoint: Option<Given>,
    /// The policy of whichever resource is asked for.
    any_resource: Option<Given>,
    /// Organization policies, and the policies of resources that are named.
    pub around: Around,
}

impl Files {
    pub fn read(options: &Named) -> anyhow::Result<Self> {
        let one =
            |path: &Option<PathBuf>, kind| path.as_deref().map(|p| given(p, kind)).transpose();
        let (around, any_resource) = around(&options.resource_policy, &options.organization)?;
        Ok(Self {
            identity: all(&options.identity, Kind::Identity)?,
            boundary: one(&options.boundary, Kind::Identity)?,
            session: match options.session.is_empty() {
                true => None,
                false => Some(all(&options.session, Kind::Identity)?),
            },
            trust: one(&options.trust, Kind::Trust)?,
            key: one(&options.key_policy, Kind::Resource)?,
            endpoint: one(&options.endpoint, Kind::Resource)?,
            any_resource,
            around,
        })
    }

    /// All that bear on an action on a resource.
    pub fn policies(&self, action: &str, resource: &str) -> Policies<'_> {
        let kind = OfResource::at(resource);
        let named = self.around.policy_of(resource).map(|given| (kind, Sourced::from(given)));
        Policies {
            identity: self.identity.iter().map(Sourced::from).collect(),
            boundary: self.boundary.as_ref().map(Sourced::from),
            resource: named
                .filter(|_| kind != OfResource::Trust || is_trust(action))
                .or(self.any_resource(OfResource::Ordinary))
                .or(self.trust.as_ref().map(|given| (OfResource::Trust, given.into())))
                .or(self.key.as_ref().map(|given| (OfResource::Key, given.into()))),
            service_control: levels(&self.around.service_control),
            resource_control: levels(&self.around.resource_control),
            management_account: self.around.management_account,
            ..self.beside(Policies::default())
        }
    }

    /// Adds to an account's policies what it does not have: a resource's policy, and those that limit
    /// the session and the way through an endpoint.
    pub fn beside<'a>(&'a self, policies: Policies<'a>) -> Policies<'a> {
        Policies {
            session: self.session.as_ref().map(|all| all.iter().map(Sourced::from).collect()),
            endpoint: self.endpoint.as_ref().map(Sourced::from),
            ..policies
        }
    }

    /// The policy of whichever resource is asked for, as that of a kind.
    pub fn any_resource(&self, kind: OfResource) -> Option<(OfResource, Sourced<'_>)> {
        self.any_resource.as_ref().map(|given| (kind, given.into()))
    }
}

/// Organization policies and resources' policies, and the one of these that names no resource.
pub fn around(
    resource_policies: &[String],
    organization: &Levels,
) -> anyhow::Result<(Around, Option<Given>)> {
    let levels = |levels: &[String], kind| {
        let files = |level: &String| level.split(',').map(PathBuf::from).collect::<Vec<_>>();
        levels.iter().map(|level| all(&files(level), kind)).collect::<anyhow::Result<_>>()
    };
    let mut around = Around {
        service_control: levels(&organization.scp, Kind::Identity)?,
        resource_control: levels(&organization.rcp, Kind::Resource)?,
        management_account: organization.management_account,
        resources: Vec::new(),
    };
    let mut any: Option<Given> = None;
    for text in resource_policies {
        match (of_resource(text)?, &any) {
            ((Some(arn), given), _) => around.resources.push((arn, given)),
            ((None, given), None) => any = Some(given),
            ((None, given), Some(other)) => {
                bail!("`{}` and `{}` are of which resources? give ARN=FILE", other.name, given.name)
            }
        }
    }
    Ok((around, any))
}

/// A resource's policy, `FILE` or `ARN=FILE`, read as its kind of resource wants it.
fn of_resource(text: &str) -> anyhow::Result<(Option<String>, Given)> {
    let Some((arn, file)) = text.split_once('=').filter(|(arn, _)| arn.starts_with("arn:")) else {
        if text.starts_with("arn:") {
            bail!("`{text}` names no file: give ARN=FILE");
        }
        return Ok((None, given(Path::new(text), Kind::Resource)?));
    };
    let kind = match OfResource::at(arn) {
        OfResource::Trust => Kind::Trust,
        OfResource::Ordinary | OfResource::Key => Kind::Resource,
    };
    Ok((Some(arn.to_owned()), given(Path::new(file), kind)?))
}

fn levels(levels: &[Level]) -> Vec<Vec<Sourced<'_>>> {
    levels.iter().map(|level| level.iter().map(Sourced::from).collect()).collect()
}

fn all(paths: &[PathBuf], kind: Kind) -> anyhow::Result<Level> {
    paths.iter().map(|path| given(path, kind)).collect()
}

/// Reads a policy, which people know by its file's name.
pub fn given(path: &Path, kind: Kind) -> anyhow::Result<Given> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
    let document = parse(&text, kind).with_context(|| name.clone())?;
    Ok(Given { name, text, document })
}
