//! The principals of an account, by ARN, with the policies that they have.

use super::policies::{Holder, Sourced};
use super::{Account, Role, User};
use crate::{AccountId, Arn, Principal};

/// A principal of the account.
#[derive(Debug, Clone)]
pub struct Who<'a> {
    /// As the engine knows it. A role stands for a session of it.
    pub principal: Principal,
    pub(super) kind: Of<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Of<'a> {
    Root,
    User(&'a User),
    Role {
        role: &'a Role,
        arn: &'a str,
        /// The session was named, and does not stand for all of them.
        session: bool,
    },
}

/// A text that names none of the account's principals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no user, role, role session or root user in the export")]
pub struct NoSuchPrincipal(pub String);

/// What a session is called that stands for any of its role.
const ANY_SESSION: &str = "session";

impl Account {
    /// The principal of an ARN: the root user, a user, a role, or a session of a role. An account's
    /// number names its root user.
    ///
    /// # Errors
    /// [`NoSuchPrincipal`].
    pub fn who(&self, text: &str) -> Result<Who<'_>, NoSuchPrincipal> {
        let none = || NoSuchPrincipal(text.to_owned());
        if text.parse() == Ok(self.id) || text == self.root_arn() {
            return Ok(Who { principal: Principal::Root(self.id), kind: Of::Root });
        }
        if let Some(user) = self.users.get(text) {
            let principal = Principal::User { arn: text.to_owned() };
            return Ok(Who { principal, kind: Of::User(user) });
        }
        if let Some((arn, role)) = self.roles.get_key_value(text) {
            return Ok(self.role(arn, role, None));
        }
        let arn = Arn::parse(text).ok().filter(|arn| arn.service == "sts").ok_or_else(none)?;
        let session = arn.resource.strip_prefix("assumed-role/").and_then(|s| s.split_once('/'));
        let (name, session) =
            session.filter(|_| arn.account_id() == Some(self.id)).ok_or_else(none)?;
        // Sessions are named without the role's path.
        let mut roles = self.roles.iter();
        let (arn, role) = roles.find(|(_, role)| role.name == name).ok_or_else(none)?;
        Ok(self.role(arn, role, Some(session)))
    }

    /// Every principal: the root user, the users, the roles.
    pub(super) fn everyone(&self) -> impl Iterator<Item = (String, Who<'_>)> {
        let root = Who { principal: Principal::Root(self.id), kind: Of::Root };
        let users = self.users.iter().map(|(arn, user)| {
            let principal = Principal::User { arn: arn.clone() };
            (arn.clone(), Who { principal, kind: Of::User(user) })
        });
        let roles = self.roles.iter().map(|(arn, role)| (arn.clone(), self.role(arn, role, None)));
        std::iter::once((self.root_arn(), root)).chain(users).chain(roles)
    }

    fn role<'a>(&'a self, arn: &'a str, role: &'a Role, session: Option<&str>) -> Who<'a> {
        let (partition, id, name) = (&self.partition, self.id, &role.name);
        let called = session.unwrap_or(ANY_SESSION);
        let session_arn = format!("arn:{partition}:sts::{id}:assumed-role/{name}/{called}");
        let principal = Principal::AssumedRole { role_arn: arn.to_owned(), session_arn };
        Who { principal, kind: Of::Role { role, arn, session: session.is_some() } }
    }
}

impl Role {
    /// Whether it belongs to a service.
    pub(super) fn is_service_linked(&self) -> bool {
        self.path.starts_with("/aws-service-role/")
    }
}

impl<'a> Who<'a> {
    /// Its account.
    pub fn account(&self) -> Option<AccountId> {
        self.principal.account()
    }

    pub(super) fn identity(&self, account: &'a Account) -> Vec<Sourced<'a>> {
        match self.kind {
            Of::Root => Vec::new(),
            Of::User(user) => {
                let groups = user.groups.iter().filter_map(|name| account.groups.get(name));
                let own = account.held(Holder::User(&user.name), &user.permissions);
                own.chain(
                    groups.flat_map(|group| {
                        account.held(Holder::Group(&group.name), &group.permissions)
                    }),
                )
                .collect()
            }
            Of::Role { role, .. } => {
                account.held(Holder::Role(&role.name), &role.permissions).collect()
            }
        }
    }

    pub(super) fn boundary(&self, account: &'a Account) -> Option<Sourced<'a>> {
        let (holder, permissions) = match self.kind {
            Of::Root => return None,
            Of::User(user) => (Holder::User(&user.name), &user.permissions),
            Of::Role { role, .. } => (Holder::Role(&role.name), &role.permissions),
        };
        account.managed_policy(permissions.boundary.as_deref()?, holder)
    }
}
