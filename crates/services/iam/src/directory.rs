//! The principals of every account, for the gateway, STS and the services to come.

use crate::Iam;
use crate::aws_managed;
use crate::entity::Entity;
use crate::password_policy::OWN_PASSWORD;
use crate::records::{KeyId, OidcProvider, Permissions, Role, SamlProvider, User};
use crate::saml_metadata::Metadata;
use crate::state::Account;
use crate::trust::Accounts;
use ringfence_gateway::caller::{Delegation, Identity};
use ringfence_gateway::directory::{
    self as facts, AccessKey, KeyChallenge, KeyResponse, MfaCheck, RoleFacts, Use,
};
use ringfence_gateway::ids::account_of;
use ringfence_gateway::{Attached, Authority, Directory};
use ringfence_policy::document::Version;
use ringfence_policy::{AccountId, Arn, Document};
use ringfence_wire::{ServiceError, Timestamp};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

/// What stands for a boundary whose policy is gone: it allows nothing.
static NOTHING: LazyLock<Arc<Document>> =
    LazyLock::new(|| Arc::new(Document::new(Version::V2012, None, Vec::new())));

/// The default version of a policy that an account has attached.
fn managed<'a>(account: &'a Account, arn: &str) -> Option<&'a Arc<Document>> {
    match aws_managed::find(arn) {
        Some(policy) => Some(policy.policy().document()),
        None => account.managed(arn),
    }
}

/// Adds what something holds.
fn gather(account: &Account, permissions: &Permissions, policies: &mut Vec<Attached>) {
    policies.extend(
        permissions
            .inline
            .iter()
            .map(|one| Attached { document: one.policy.document().clone(), arn: None }),
    );
    policies.extend(permissions.attached.iter().filter_map(|arn| {
        Some(Attached { document: managed(account, arn)?.clone(), arn: Some(arn.clone()) })
    }));
}

fn boundary(account: &Account, permissions: &Permissions) -> Option<Attached> {
    let arn = permissions.boundary.as_ref()?;
    let document = managed(account, arn).unwrap_or_else(|| &NOTHING).clone();
    Some(Attached { document, arn: Some(arn.clone()) })
}

/// What a user may: its own policies and those of its groups.
fn of_user(account: &Account, name: &str, id: &str) -> Option<Authority> {
    let user = User::find(account, name).filter(|user| *user.id == *id)?;
    let mut policies = Vec::with_capacity(4);
    gather(account, &user.permissions, &mut policies);
    for group in user.groups.iter().filter_map(|id| account.group(id)) {
        gather(account, &group.permissions, &mut policies);
    }
    let boundary = boundary(account, &user.permissions);
    let path = Some((&*user.path).into());
    Some(Authority { policies, boundary, tags: user.tags.clone(), path })
}

/// What a role may.
fn of_role(account: &Account, name: &str, id: &str) -> Option<Authority> {
    let role = Role::find(account, name).filter(|role| *role.id == *id)?;
    let mut policies = Vec::new();
    gather(account, &role.permissions, &mut policies);
    let boundary = boundary(account, &role.permissions);
    Some(Authority { policies, boundary, tags: role.tags.clone(), path: None })
}

impl Directory for Iam {
    fn access_key(&self, id: &str) -> Option<AccessKey> {
        let owner = account_of(id)?;
        let key_id = KeyId::new(id)?;
        let ledger = self.ledgers.get(owner)?;
        let account = ledger.for_deciding();
        let (keys, identity) = match account.key_owner(&key_id)? {
            Some(user) => (
                &user.credentials.keys,
                Identity::User {
                    account: owner,
                    name: (&*user.name).into(),
                    path: (&*user.path).into(),
                    id: (&*user.id).into(),
                },
            ),
            None => (&account.root.as_ref()?.credentials.keys, Identity::Root { account: owner }),
        };
        let key = keys.iter().find(|key| key.id == key_id)?;
        Some(AccessKey { secret: key.secret.clone(), owner: identity, active: key.active })
    }

    fn authority(&self, identity: &Identity) -> Option<Authority> {
        let ledger = self.ledgers.get(identity.account()?)?;
        let account = ledger.for_deciding();
        account.root.as_ref()?;
        match identity {
            Identity::Root { .. } => Some(Authority::default()),
            Identity::User { name, id, .. } => {
                let mut authority = of_user(&account, name, id)?;
                let policy = account.settings.password_policy.as_ref();
                if policy.is_some_and(|policy| policy.allow_users_to_change_password) {
                    let document = OWN_PASSWORD.clone();
                    authority.policies.push(Attached { document, arn: None });
                }
                Some(authority)
            }
            Identity::AssumedRole { role_name, role_id, .. } => {
                of_role(&account, role_name, role_id)
            }
            Identity::FederatedUser { issuer, .. } => match &**issuer {
                Identity::User { name, id, .. } => of_user(&account, name, id),
                // Root may all, and lends as much as the session's policies let through.
                Identity::Root { .. } => {
                    let all = aws_managed::find("arn:aws:iam::aws:policy/AdministratorAccess")?;
                    let (document, arn) = (all.policy().document().clone(), Some(all.arn.into()));
                    let policies = vec![Attached { document, arn }];
                    Some(Authority { policies, ..Authority::default() })
                }
                _ => None,
            },
            Identity::Anonymous => None,
        }
    }

    fn managed_policy(&self, account: AccountId, arn: &str) -> Option<Arc<Document>> {
        if let Some(policy) = aws_managed::find(arn) {
            return Some(policy.policy().document().clone());
        }
        let cut = crate::arn::PolicyArn::parse(arn).ok()?;
        if cut.owner != crate::arn::PolicyOwner::Account(account) {
            return None;
        }
        let ledger = self.ledgers.get(account)?;
        let state = ledger.for_deciding();
        let policy = crate::records::Policy::find(&state, cut.name)?;
        let policy = Some(policy).filter(|policy| policy.is_at(cut.path, cut.name))?;
        policy.default_version().map(|version| version.policy.document().clone())
    }

    fn role(&self, account: AccountId, name: &str) -> Option<RoleFacts> {
        let ledger = self.ledgers.get(account)?;
        let role = Role::find(&ledger.for_deciding(), name)?.clone();
        Some(RoleFacts {
            name: role.name.to_string(),
            path: role.path.to_string(),
            id: role.id.to_string(),
            trust: role.trust.document(self),
            max_session_duration: role.max_session_duration,
            tags: role.tags.clone(),
            service_linked: role.is_service_linked(),
        })
    }

    fn principal_id(&self, arn: &str) -> Option<String> {
        let cut = Arn::parse(arn).ok().filter(|cut| cut.service == "iam")?;
        let account = cut.account_id()?;
        let ledger = self.ledgers.get(account)?;
        let state = ledger.for_deciding();
        let name = cut.resource.rsplit('/').next().unwrap_or_default();
        // A name is found in any letters, and means one thing at one path.
        if cut.resource.starts_with("user/") {
            let user = User::find(&state, name).filter(|user| user.arn(account) == arn)?;
            return Some(user.id.to_string());
        }
        let role = Role::find(&state, name).filter(|role| role.arn(account) == arn)?;
        Some(role.id.to_string())
    }

    fn oidc_provider(&self, account: AccountId, url: &str) -> Option<facts::OidcProvider> {
        let ledger = self.ledgers.get(account)?;
        let provider = OidcProvider::find(&ledger.for_deciding(), url)?.clone();
        let scheme = if provider.plain { "http" } else { "https" };
        Some(facts::OidcProvider {
            arn: provider.arn(account),
            id: provider.id.to_string(),
            issuer: format!("{scheme}://{}", provider.url),
            client_ids: provider.clients.clone(),
            thumbprints: provider.thumbprints.to_vec(),
        })
    }

    fn saml_provider(&self, account: AccountId, name: &str) -> Option<facts::SamlProvider> {
        let ledger = self.ledgers.get(account)?;
        let provider = SamlProvider::find(&ledger.for_deciding(), name)?.clone();
        let metadata = Metadata::parse(&provider.metadata)
            .inspect_err(|why| tracing::error!(%why, "stored SAML metadata is not understood"))
            .ok()?;
        let keys = provider.private_keys.iter().map(|one| one.key.clone());
        Some(facts::SamlProvider {
            arn: provider.arn(account),
            name: provider.name.to_string(),
            id: provider.id.to_string(),
            entity_id: metadata.entity_id,
            certificates: metadata.certificates,
            valid_until: metadata.valid_until,
            encrypted: provider.encrypted,
            private_keys: keys.collect(),
        })
    }

    fn trade_in(&self, account: AccountId, token: &str, now: Timestamp) -> facts::TradeIn {
        self.traded_in(account, token, now)
    }

    fn delegation(&self, delegation: &Delegation) -> Option<Arc<Document>> {
        self.permitted(delegation)
    }

    fn account_exists(&self, account: AccountId) -> bool {
        self.look(account, |account| account.root.is_some()).unwrap_or(false)
    }

    fn organization(&self, account: AccountId) -> Option<String> {
        Some(self.organizations().of(account)?.id.clone())
    }

    fn organization_path(&self, account: AccountId) -> Option<String> {
        self.organizations().path(account)
    }

    fn administers_root(&self, account: AccountId, member: AccountId, task: &str) -> bool {
        self.rules_root(account, member, task)
    }

    fn check_mfa<'a>(
        &'a self,
        identity: &'a Identity,
        serial: &'a str,
        code: &'a str,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<MfaCheck, ServiceError>> + 'a>> {
        Box::pin(self.use_code(identity, serial, code, now))
    }

    fn begin_assertion<'a>(
        &'a self,
        identity: &'a Identity,
        serial: Option<&'a str>,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<KeyChallenge, ServiceError>> + 'a>> {
        Box::pin(self.begin_sign_in(identity, serial, now))
    }

    fn finish_assertion<'a>(
        &'a self,
        identity: &'a Identity,
        response: KeyResponse<'a>,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Arc<str>, ServiceError>> + 'a>> {
        Box::pin(self.finish_sign_in(identity, response, now))
    }

    fn note_use(&self, used: &Use<'_>) {
        self.last_used.note(used);
    }
}

/// The durable state of every account.
impl Accounts for Iam {
    fn look<R>(&self, account: AccountId, look: impl FnOnce(&Account) -> R) -> Option<R> {
        let ledger = self.ledgers.get(account)?;
        let state = ledger.for_deciding();
        state.root.is_some().then(|| look(&state))
    }
}

/// The durable state of every account but one, which is in the middle of a write.
pub(crate) struct During<'a> {
    iam: &'a Iam,
    id: AccountId,
    account: &'a Account,
}

impl Iam {
    /// The accounts as a write to one of them sees them.
    pub(crate) fn during<'a>(&'a self, id: AccountId, account: &'a Account) -> During<'a> {
        During { iam: self, id, account }
    }
}

impl Accounts for During<'_> {
    fn look<R>(&self, account: AccountId, look: impl FnOnce(&Account) -> R) -> Option<R> {
        if account == self.id { Some(look(self.account)) } else { self.iam.look(account, look) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password_policy::PasswordPolicy;
    use crate::records::{Group, Held, Inline, Policy, Record};
    use crate::settings::Settings;
    use crate::testing::{
        ID, OTHER, allowing, group, iam_over, loosest, policy, role, store, unique, user,
    };

    fn identity(name: &str, id: &str) -> Identity {
        Identity::User { account: ID, name: name.into(), path: "/".into(), id: id.into() }
    }

    fn session(role: &str, id: &str) -> Identity {
        Identity::AssumedRole {
            account: ID,
            role_name: role.into(),
            role_path: "/".into(),
            role_id: id.into(),
            session_name: "s".into(),
        }
    }

    fn holding(action: &str, attached: &[&str], boundary: Option<&str>) -> Permissions {
        Permissions::from(Held {
            inline: [Inline { name: "inline".into(), policy: allowing(action) }].into(),
            attached: attached.iter().map(|arn| Arc::from(*arn)).collect(),
            boundary: boundary.map(Arc::from),
        })
    }

    async fn with(records: Vec<Record>) -> Arc<Iam> {
        let iam = iam_over(&store());
        iam.create_account(ID, "test").await.unwrap();
        let ledger = iam.ledger(ID).unwrap();
        ledger
            .write_unasked(|_, batch| {
                records.iter().cloned().for_each(|record| batch.put(record));
                Ok(())
            })
            .await
            .unwrap();
        iam
    }

    fn actions(authority: &Authority) -> Vec<&str> {
        let statements = authority.policies.iter().flat_map(|policy| &policy.document.statements);
        statements.flat_map(|s| s.action.patterns()).map(String::as_str).collect()
    }

    #[tokio::test]
    async fn a_user_may_what_it_and_its_groups_hold() {
        let arn = "arn:aws:iam::123456789012:policy/p";
        let ann = User {
            permissions: holding("s3:*", &[arn], Some("arn:aws:iam::123456789012:policy/gone")),
            groups: [unique("AGPA1")].into(),
            ..user("ann", "/", "AIDA1")
        };
        let iam = with(vec![
            Policy::record(Arc::new(policy("p"))),
            Group::record(Arc::new(Group {
                permissions: holding("kms:*", &[], None),
                ..group("g", "AGPA1")
            })),
            User::record(Arc::new(ann)),
        ])
        .await;
        let authority = iam.authority(&identity("ann", "AIDA1")).unwrap();
        assert_eq!(actions(&authority), ["s3:*", "sts:*", "kms:*"]);
        // The boundary's policy is gone: it allows nothing.
        assert!(authority.boundary.unwrap().document.statements.is_empty());
    }

    #[tokio::test]
    async fn users_may_change_their_own_password_where_the_account_says_so() {
        let own = ["iam:ChangePassword", "iam:GetAccountPasswordPolicy"];
        for (allowed, actions_of_ann) in [(false, &[][..]), (true, &own)] {
            let policy = PasswordPolicy { allow_users_to_change_password: allowed, ..loosest() };
            let set = Settings { password_policy: Some(policy), ..Settings::default() };
            let iam = with(vec![
                User::record(Arc::new(user("ann", "/", "AIDA1"))),
                Role::record(Arc::new(role("r", "/", "AROA1"))),
                Record::Settings(Arc::new(set)),
            ])
            .await;
            let ann = identity("ann", "AIDA1");
            assert_eq!(actions(&iam.authority(&ann).unwrap()), actions_of_ann);
            // Users alone, and not what they lend to federated ones.
            let federated =
                Identity::FederatedUser { account: ID, name: "f".into(), issuer: Box::new(ann) };
            for other in [session("r", "AROA1"), federated] {
                assert!(iam.authority(&other).unwrap().policies.is_empty());
            }
        }
    }

    #[tokio::test]
    async fn a_principal_made_anew_is_another() {
        let iam = with(vec![
            User::record(Arc::new(user("ann", "/", "AIDA2"))),
            Role::record(Arc::new(role("r", "/", "AROA2"))),
        ])
        .await;
        assert!(iam.authority(&identity("ann", "AIDA1")).is_none());
        assert!(iam.authority(&identity("ann", "AIDA2")).is_some());
        assert!(iam.authority(&session("r", "AROA1")).is_none());
        assert!(iam.authority(&session("r", "AROA2")).is_some());
        assert!(iam.authority(&Identity::Root { account: ID }).is_some());
        assert!(iam.authority(&Identity::Root { account: OTHER }).is_none());
    }

    #[tokio::test]
    async fn a_managed_policy_is_seen_by_its_own_account_alone() {
        let iam = with(vec![Policy::record(Arc::new(policy("P")))]).await;
        let arn = "arn:aws:iam::123456789012:policy/P";
        assert!(iam.managed_policy(ID, arn).is_some());
        assert!(iam.managed_policy(OTHER, arn).is_none());
        // An ARN is compared as it is written: conditions on it are, too.
        assert!(iam.managed_policy(ID, "arn:aws:iam::123456789012:policy/p").is_none());
        assert!(iam.managed_policy(ID, "arn:aws:iam::123456789012:policy/x/P").is_none());
    }

    #[tokio::test]
    async fn a_service_linked_role_is_told_as_one_and_not_changed() {
        let linked = role("AWSServiceRoleForX", "/aws-service-role/x.amazonaws.com/", "AROA1");
        assert_eq!(linked.modifiable().unwrap_err().code, "UnmodifiableEntity");
        let iam = with(vec![Role::record(Arc::new(linked))]).await;
        assert!(iam.role(ID, "AWSServiceRoleForX").unwrap().service_linked);
        assert!(iam.role(OTHER, "AWSServiceRoleForX").is_none());
    }

    #[tokio::test]
    async fn the_last_use_is_known_at_once_and_after_a_flush() {
        let store = store();
        let iam = iam_over(&store);
        let root = iam.create_account(ID, "test").await.unwrap();
        let caller = Identity::Root { account: ID };
        for (at, region) in [(5, "us-east-1"), (9, "eu-west-1")] {
            iam.note_use(&Use {
                identity: &caller,
                access_key_id: &root.access_key_id,
                service: "sts",
                region,
                at: Timestamp::from_seconds(at),
            });
        }
        iam.note_use(&Use {
            identity: &session("gone", "AROA1"),
            access_key_id: "ASIAAAAAAAAAAAAAAAAA",
            service: "sts",
            region: "us-east-1",
            at: Timestamp::from_seconds(9),
        });
        let used = |iam: &Iam| {
            let ledger = iam.ledger(ID).unwrap();
            let used = iam.last_used.of(&ledger.for_deciding(), &root.access_key_id);
            used.map(|used| (used.at, used.region.to_string()))
        };
        let expected = Some((9, "eu-west-1".to_owned()));
        assert_eq!(used(&iam), expected);
        iam.flush_last_used().await;
        assert_eq!(used(&iam), expected);
        let again = iam_over(&store);
        assert_eq!(used(&again), expected);
        assert_eq!(again.ledger(ID).unwrap().for_deciding().used.len(), 1);
    }
}
