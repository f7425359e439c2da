//! What service-linked roles are made from, a row a service.

use crate::names;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// How each role's name begins.
pub(crate) const PREFIX: &str = "AWSServiceRoleFor";

/// The domain of service principals.
const DOMAIN: &str = ".amazonaws.com";

/// A service's role before it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    /// The service principal.
    pub service: String,
    /// The role's name without a suffix.
    pub role: String,
    /// The ARN of the managed policy that it holds.
    pub policy: String,
    /// A caller may add a suffix to the name.
    pub suffix: bool,
}

impl Template {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (service, role, policy) = (words.next()?, words.next()?, words.next()?);
        let suffix = match words.next() {
            None => false,
            Some("suffix") => true,
            Some(_) => return None,
        };
        Some(Self {
            service: format!("{service}{DOMAIN}"),
            role: format!("{PREFIX}{role}"),
            policy: format!("arn:aws:iam::aws:policy{}{policy}", names::SERVICE_LINKED),
            suffix,
        })
    }

    /// The role's name. Recorded: `AWSServiceRoleForAutoScaling_SUFFIX`.
    pub fn name(&self, suffix: Option<&str>) -> String {
        match suffix {
            Some(suffix) => format!("{}_{suffix}", self.role),
            None => self.role.clone(),
        }
    }
}

/// By service principal.
static TEMPLATES: LazyLock<BTreeMap<String, Template>> = LazyLock::new(|| {
    include_str!("templates.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(Template::read)
        .map(|template| (template.service.clone(), template))
        .collect()
});

/// The template of a service. Principals are told apart by case.
pub(crate) fn of(service: &str) -> Option<&'static Template> {
    TEMPLATES.get(service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws_managed;
    use ringfence_policy::reference::managed;

    const TEXT: &str = include_str!("templates.txt");

    fn rows() -> impl Iterator<Item = &'static str> {
        TEXT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    #[test]
    fn every_row_is_read_and_no_service_has_two() {
        assert!(rows().count() > 160);
        assert_eq!(TEMPLATES.len(), rows().count());
    }

    #[test]
    fn every_role_holds_a_policy_that_is_there() {
        for template in TEMPLATES.values() {
            assert!(aws_managed::find(&template.policy).is_some(), "{template:?}");
            assert!(template.role.len() <= 64, "{template:?}");
        }
    }

    #[test]
    fn what_is_said_to_be_named_by_policies_is() {
        let part = TEXT.split("## Named by policies").nth(1).unwrap();
        let part = part.split("## ").next().unwrap();
        let named = part.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', ' ']));
        let templates: Vec<Template> = named.filter_map(Template::read).collect();
        assert!(templates.len() > 70);
        for template in templates {
            let principal = format!("\"{}\"", template.service);
            let path = format!("{}{}/", names::SERVICE_LINKED, template.service);
            let mut documents = managed::policies().map(|policy| policy.document);
            let found = documents.any(|text| text.contains(&principal) || text.contains(&path));
            assert!(found, "{template:?}");
        }
    }

    #[test]
    fn a_suffix_stands_behind_the_name() {
        let template = of("autoscaling.amazonaws.com").unwrap();
        assert!(template.suffix);
        assert_eq!(template.name(Some("a")), "AWSServiceRoleForAutoScaling_a");
        assert_eq!(template.name(None), "AWSServiceRoleForAutoScaling");
        for other in ["Autoscaling.amazonaws.com", "autoscaling", "nothing.amazonaws.com", ""] {
            assert!(of(other).is_none(), "{other}");
        }
    }
}
