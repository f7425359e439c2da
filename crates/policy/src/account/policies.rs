//! The policies that bear on a request, each with where it comes from.

use super::{Account, Permissions, Role, Who};
use crate::{AccountId, Arn, Document, Layer, PolicySet, ResourcePolicy};
use std::fmt;

/// A policy that was given beside the export: its name and its document.
#[derive(Debug)]
pub struct Given {
    /// What people know it by: a file's name.
    pub name: String,
    /// Its text, for the places of what is said of it.
    pub text: String,
    /// What it says.
    pub document: Document,
}

/// What an account's export does not hold.
#[derive(Debug, Default)]
pub struct Around {
    /// The service control policies that bind the account, a list for each level from the root down.
    pub service_control: Vec<Vec<Given>>,
    /// The resource control policies that bind it, likewise.
    pub resource_control: Vec<Vec<Given>>,
    /// The organization's management account, which neither kind binds.
    pub management_account: Option<AccountId>,
    /// Resources' policies, by ARN.
    pub resources: Vec<(String, Given)>,
}

impl Around {
    /// The policy of a resource. That of an S3 bucket is its objects' too.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/security_iam_service-with-iam.html#security_iam_service-with-iam-resource-based-policies>
    pub fn policy_of(&self, resource: &str) -> Option<&Given> {
        let of = |arn: &str| self.resources.iter().find(|(own, _)| own == arn);
        let bucket = || {
            let arn = Arn::parse(resource).ok().filter(|arn| arn.service == "s3")?;
            // Access points have an account, and policies of their own.
            let (_, key) = arn.resource.split_once('/').filter(|_| arn.account.is_empty())?;
            of(resource.get(..resource.len() - key.len() - 1)?)
        };
        of(resource).or_else(bucket).map(|(_, given)| given)
    }
}

/// Where a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// It is part of a user, a group or a role.
    Inline {
        /// Whose.
        holder: Holder<'a>,
        /// Its name.
        name: &'a str,
    },
    /// A managed policy.
    Managed {
        /// Its ARN.
        arn: &'a str,
        /// What it is attached to.
        holder: Holder<'a>,
    },
    /// The trust policy of a role.
    Trust {
        /// The role's name.
        role: &'a str,
    },
    /// It was given by this name.
    Given(&'a str),
}

/// What a policy is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// The user of this name.
    User(&'a str),
    /// The group of this name.
    Group(&'a str),
    /// The role of this name.
    Role(&'a str),
}

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Role(name) => write!(f, "role {name}"),
        }
    }
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline { holder, name } => write!(f, "{holder}, inline policy {name}"),
            Self::Managed { arn, holder: Holder::Group(group) } => {
                write!(f, "group {group}, {arn}")
            }
            Self::Managed { arn, .. } => f.write_str(arn),
            Self::Trust { role } => write!(f, "role {role}, trust policy"),
            Self::Given(name) => f.write_str(name),
        }
    }
}

/// A policy and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Sourced<'a> {
    /// Where from.
    pub source: Source<'a>,
    /// What it says.
    pub document: &'a Document,
    /// Its text, where that is at hand.
    pub text: Option<&'a str>,
}

impl<'a> From<&'a Given> for Sourced<'a> {
    fn from(given: &'a Given) -> Self {
        let Given { name, text, document } = given;
        Self { source: Source::Given(name), document, text: Some(text) }
    }
}

/// How a resource's policy combines with identity policies: see [`ResourcePolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfResource {
    /// As most do.
    Ordinary,
    /// As a role's trust policy.
    Trust,
    /// As a KMS key's policy.
    Key,
}

impl OfResource {
    /// As the policy of the resource of an ARN does.
    pub fn at(arn: &str) -> Self {
        match Arn::parse(arn) {
            Ok(arn) if arn.service == "iam" && arn.resource.starts_with("role/") => Self::Trust,
            Ok(arn) if arn.service == "kms" && arn.resource.starts_with("key/") => Self::Key,
            _ => Self::Ordinary,
        }
    }

    const fn with(self, document: &Document) -> ResourcePolicy<'_> {
        match self {
            Self::Ordinary => ResourcePolicy::Ordinary(document),
            Self::Trust => ResourcePolicy::Trust(document),
            Self::Key => ResourcePolicy::Key(document),
        }
    }
}

/// As [`PolicySet`], each policy with where it comes from.
#[derive(Debug, Clone, Default)]
pub struct Policies<'a> {
    /// Identity policies of the user, its groups, or the role.
    pub identity: Vec<Sourced<'a>>,
    /// The permissions boundary.
    pub boundary: Option<Sourced<'a>>,
    /// Session policies.
    pub session: Option<Vec<Sourced<'a>>>,
    /// The resource's policy.
    pub resource: Option<(OfResource, Sourced<'a>)>,
    /// Service control policies by level.
    pub service_control: Vec<Vec<Sourced<'a>>>,
    /// Resource control policies by level.
    pub resource_control: Vec<Vec<Sourced<'a>>>,
    /// The organization's management account.
    pub management_account: Option<AccountId>,
    /// The VPC endpoint's policy.
    pub endpoint: Option<Sourced<'a>>,
}

/// The policies of one layer, or of one level of it.
#[derive(Debug, Clone, Copy)]
pub struct OfLayer<'p, 'a> {
    /// Which layer.
    pub layer: Layer,
    /// Of organization policies: the level from the root down, from 0.
    pub level: Option<usize>,
    /// Its policies, in the order of the [`PolicySet`].
    pub policies: &'p [Sourced<'a>],
}

impl<'a> Policies<'a> {
    /// As the engine takes them.
    pub fn set(&self) -> PolicySet<'a> {
        self.set_of(|policy| policy.document)
    }

    /// The same with another document for each; asked for in the order of [`layers`](Self::layers).
    pub(super) fn set_of<'b>(
        &self,
        mut of: impl FnMut(&Sourced<'a>) -> &'b Document,
    ) -> PolicySet<'b> {
        let mut levels = |levels: &[Vec<Sourced<'a>>]| -> Vec<Vec<&'b Document>> {
            levels.iter().map(|level| level.iter().map(&mut of).collect()).collect()
        };
        let resource_control = levels(&self.resource_control);
        let service_control = levels(&self.service_control);
        let endpoint = self.endpoint.as_ref().map(&mut of);
        let resource = self.resource.as_ref().map(|(kind, policy)| kind.with(of(policy)));
        let identity = self.identity.iter().map(&mut of).collect();
        let boundary = self.boundary.as_ref().map(&mut of);
        let session = self.session.as_ref().map(|all| all.iter().map(&mut of).collect());
        PolicySet {
            identity,
            boundary,
            session,
            resource,
            service_control,
            resource_control,
            management_account: self.management_account,
            endpoint,
            ..PolicySet::default()
        }
    }

    /// Every layer that is there, in the order in which they are asked.
    pub fn layers(&self) -> impl Iterator<Item = OfLayer<'_, 'a>> {
        fn levels<'p, 'a>(
            layer: Layer,
            levels: &'p [Vec<Sourced<'a>>],
        ) -> impl Iterator<Item = OfLayer<'p, 'a>> {
            let numbered = levels.iter().enumerate();
            numbered.map(move |(level, policies)| OfLayer { layer, level: Some(level), policies })
        }
        fn one<'p, 'a>(layer: Layer, policy: Option<&'p Sourced<'a>>) -> Option<OfLayer<'p, 'a>> {
            let policies = std::slice::from_ref(policy?);
            Some(OfLayer { layer, level: None, policies })
        }
        let of_resource = self.resource.as_ref().and_then(|(kind, policy)| {
            let trust = *kind == OfResource::Trust;
            one(if trust { Layer::Trust } else { Layer::Resource }, Some(policy))
        });
        let identity = OfLayer { layer: Layer::Identity, level: None, policies: &self.identity };
        let session = self.session.as_deref();
        levels(Layer::ResourceControl, &self.resource_control)
            .chain(levels(Layer::ServiceControl, &self.service_control))
            .chain(one(Layer::Endpoint, self.endpoint.as_ref()))
            .chain(of_resource)
            .chain([identity])
            .chain(one(Layer::Boundary, self.boundary.as_ref()))
            .chain(session.map(|all| OfLayer { layer: Layer::Session, level: None, policies: all }))
    }

    /// A policy by its place, as an [`Explanation`](crate::Explanation) names it.
    pub fn find(&self, layer: Layer, level: Option<usize>, policy: usize) -> Option<Sourced<'a>> {
        let found = self.layers().find(|of| of.layer == layer && of.level == level)?;
        found.policies.get(policy).copied()
    }
}

/// Whether a role's trust policy decides an action on it: it is about becoming a session of the role.
/// Of all else that is done to roles it says nothing.
pub fn is_trust(action: &str) -> bool {
    action.get(..4).is_some_and(|service| service.eq_ignore_ascii_case("sts:"))
}

impl Account {
    /// What bears on a request of one of the account's principals.
    pub fn policies_for<'a>(
        &'a self,
        who: &Who<'a>,
        around: &'a Around,
        action: &str,
        resource: &str,
        resource_account: AccountId,
    ) -> Policies<'a> {
        Policies {
            identity: who.identity(self),
            boundary: who.boundary(self),
            service_control: levels(&around.service_control),
            ..self.policies_at(around, action, resource, resource_account)
        }
    }

    /// What bears on a request whoever asks: the resource's policy and, where it is this account's,
    /// resource control policies.
    pub fn policies_at<'a>(
        &'a self,
        around: &'a Around,
        action: &str,
        resource: &str,
        resource_account: AccountId,
    ) -> Policies<'a> {
        // These do not keep services from the roles that are linked to them.
        // https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html#actions-not-restricted-by-rcps
        let is_linked = self.roles.get(resource).is_some_and(Role::is_service_linked);
        let controlled = resource_account == self.id && !(is_linked && is_trust(action));
        let kind = OfResource::at(resource);
        let policy = match (kind, self.roles.get(resource)) {
            (OfResource::Trust, _) if !is_trust(action) => None,
            (OfResource::Trust, Some(role)) => {
                let source = Source::Trust { role: &role.name };
                Some(Sourced { source, document: &role.trust, text: None })
            }
            _ => around.policy_of(resource).map(Sourced::from),
        };
        Policies {
            resource: policy.map(|policy| (kind, policy)),
            resource_control: if controlled {
                levels(&around.resource_control)
            } else {
                Vec::new()
            },
            management_account: around.management_account,
            ..Policies::default()
        }
    }

    /// The policies of a user, a group or a role itself.
    pub(super) fn held<'a>(
        &'a self,
        holder: Holder<'a>,
        permissions: &'a Permissions,
    ) -> impl Iterator<Item = Sourced<'a>> {
        let inline = permissions.inline.iter();
        let inline = inline.map(move |(name, document)| Sourced {
            source: Source::Inline { holder, name },
            document,
            text: None,
        });
        let attached = permissions.attached.iter();
        inline.chain(attached.filter_map(move |arn| self.managed_policy(arn, holder)))
    }

    pub(super) fn managed_policy<'a>(
        &'a self,
        arn: &'a str,
        holder: Holder<'a>,
    ) -> Option<Sourced<'a>> {
        let document = self.managed.get(arn)?;
        Some(Sourced { source: Source::Managed { arn, holder }, document, text: None })
    }
}

fn levels(levels: &[Vec<Given>]) -> Vec<Vec<Sourced<'_>>> {
    levels.iter().map(|level| level.iter().map(Sourced::from).collect()).collect()
}
