//! Deciding a call: what the policies of its caller, its session and the resource say together, and in which
//! words it is denied.

use super::{CallFacts, Decided, PolicyForm, Resolved};
use crate::authorization_message::{self, Denied};
use crate::caller::Identity;
use crate::directory::{Attached, Authority};
use ringfence_policy::document::Version;
use ringfence_policy::{
    Context, Decision, Denial, Document, Layer, PolicySet, Principal, Request, ResourcePolicy,
    decide, denial, message as words,
};
use ringfence_wire::ServiceError;
use std::sync::{Arc, LazyLock};

/// A decision, with what it was made of.
pub(super) struct Weighed<'w> {
    request: &'w Request<'w>,
    policies: &'w PolicySet<'w>,
    /// The policies of the session, by their places in `policies`.
    session: Option<&'w [Attached]>,
    pub decision: Decision,
    /// The delegation under which the session was lent denies.
    by_delegation: bool,
}

impl CallFacts {
    /// Decides in a context, and hands the decision on with what it was made of: the request, the
    /// policies, and those of the session.
    pub(super) fn weigh<T, R>(
        &self,
        action: &str,
        resolved: &Resolved<T>,
        context: &Context,
        then: impl FnOnce(&Weighed<'_>) -> R,
    ) -> R {
        let proved = self.proved.get();
        let (session, missing_session) = match proved {
            Some(_) => (None, false),
            None => self.session_policies(),
        };
        let nothing = Authority::default();
        let authority = if proved.is_some() { &nothing } else { &self.authority };
        let lent = self.lent();
        let mut policies = PolicySet {
            identity: authority.policies.iter().map(|policy| &*policy.document).collect(),
            boundary: authority.boundary.as_ref().map(|policy| &*policy.document),
            session: match &session {
                _ if missing_session => Some(Vec::new()),
                Some(policies) => Some(policies.iter().map(|policy| &*policy.document).collect()),
                None => None,
            },
            resource: resolved.policy.as_ref().map(|(document, form)| match form {
                PolicyForm::Ordinary => ResourcePolicy::Ordinary(document),
                PolicyForm::Trust => ResourcePolicy::Trust(document),
                PolicyForm::Key => ResourcePolicy::Key(document),
            }),
            grants: resolved.granted.as_ref().map(|own| own.of()).unwrap_or_default(),
            ..PolicySet::default()
        };
        let principal = match proved {
            Some(federated) => Principal::Federated { provider: federated.provider.clone() },
            None => self.caller.identity.principal(),
        };
        let request = Request {
            principal: &principal,
            action,
            resource: &resolved.arn,
            resource_account: resolved.account,
            context,
        };
        let mut decision = decide(&request, &policies);
        if let Some(theirs) = denied_by_other_account(&request, &policies, decision) {
            decision = theirs;
        }
        let mut by_delegation = false;
        if decision.is_allowed()
            && let Some(permitted) = &lent
            && let Some(denied) = denied_to_delegate(&request, permitted)
        {
            (decision, by_delegation) = (denied, true);
            policies.session = Some(vec![permitted]);
        }
        then(&Weighed {
            request: &request,
            policies: &policies,
            session: session.as_deref(),
            decision,
            by_delegation,
        })
    }

    /// Decides, notes the decision, and words a denial. What was resolved is for whoever was allowed.
    pub(super) fn decide<T>(
        &self,
        action: &'static str,
        mut resolved: Resolved<T>,
    ) -> Result<T, ServiceError> {
        let mut context = std::mem::take(&mut resolved.keys);
        let own = context.len();
        crate::context::fill(self, resolved.account, &mut context);
        let (decision, policy, denied) = self
            .weigh(action, &resolved, &context, |weighed| self.word(action, &resolved, weighed));
        // Looked at afterwards: what was decided was so when it was.
        self.inside.check_tenure()?;
        context.truncate(own);
        let Resolved { arn: resource, value, .. } = resolved;
        self.decided.borrow_mut().push(Decided {
            action,
            resource,
            decision,
            policy,
            keys: context,
        });
        denied.map_or(Ok(value), Err)
    }

    /// A decision with the managed policy that denies and, of a denial, its error.
    fn word<T>(
        &self,
        action: &'static str,
        resolved: &Resolved<T>,
        weighed: &Weighed<'_>,
    ) -> (Decision, Option<Arc<str>>, Option<ServiceError>) {
        let Weighed { request, policies, session, decision, by_delegation } = *weighed;
        if decision.is_allowed() {
            return (decision, None, None);
        }
        let policy = match decision {
            Decision::ExplicitDeny(_) if !by_delegation => {
                denial(request, policies).and_then(|denial| self.policy_of(&denial, session))
            }
            _ => None,
        };
        if self.proved.get().is_some() {
            // https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_saml.html
            let text = format!("Not authorized to perform {action}");
            return (decision, policy, Some(ServiceError::access_denied(text)));
        }
        let identity = &self.caller.identity;
        let own = identity.account() == Some(resolved.account);
        let resource = match &resolved.named {
            Some(named) if !own => named,
            _ => &resolved.arn,
        };
        let arn = identity.arn();
        let message = identity.account().and_then(|account| {
            let name = match identity {
                Identity::User { name, .. } => Some(name.as_str()),
                _ => None,
            };
            let denied = Denied { account, id: &identity.user_id(), name, arn: &arn, resource };
            self.shared.authorization_messages.encode(&denied, request, policies, decision)
        });
        // Which policies an account has is told to itself alone.
        let told = policy.as_deref().filter(|_| own);
        let text = words::denied(&arn, action, resource, decision, told);
        let mut error = ServiceError::access_denied(text);
        error.headers.extend(message.map(|message| (authorization_message::HEADER, message)));
        (decision, policy, Some(error))
    }

    /// What the delegation permits under which the session is used: nothing, where it was withdrawn.
    /// `None` where there is no delegation.
    fn lent(&self) -> Option<Arc<Document>> {
        let delegation = self.caller.session.as_ref()?.delegation.as_ref()?;
        let nothing = || Arc::new(Document::new(Version::V2012, None, Vec::new()));
        Some(self.shared.directory.delegation(delegation).unwrap_or_else(nothing))
    }

    /// The documents of the policies that limit the session; `None` where none do.
    pub fn session_documents(&self) -> Option<Vec<Arc<Document>>> {
        let (session, unreadable) = self.session_policies();
        let documents = session?.into_iter().map(|policy| policy.document).collect();
        Some(if unreadable { Vec::new() } else { documents })
    }

    /// The ARN of the managed policy that denies.
    fn policy_of(&self, denial: &Denial, session: Option<&[Attached]>) -> Option<Arc<str>> {
        let policy = match denial.layer {
            Layer::Identity => self.authority.policies.get(denial.policy)?,
            Layer::Boundary => self.authority.boundary.as_ref()?,
            Layer::Session => session?.get(denial.policy)?,
            _ => return None,
        };
        policy.arn.clone()
    }

    /// The policies of a session of `AssumeRoot`. Where the task's own cannot be read, it may
    /// nothing.
    fn root_task(&self, task: &str) -> (Option<Vec<Attached>>, bool) {
        let account = self.caller.identity.account();
        let limit = account.and_then(|id| self.shared.directory.managed_policy(id, task));
        match (&*EVERYTHING, limit) {
            (Some(everything), Some(document)) => {
                let everything = Attached { document: everything.clone(), arn: None };
                let limit = Attached { document, arn: Some(task.into()) };
                (Some(vec![everything, limit]), false)
            }
            _ => (None, true),
        }
    }

    /// The policies that limit the session, and whether one that it names cannot be read: such a
    /// session may nothing.
    fn session_policies(&self) -> (Option<Vec<Attached>>, bool) {
        let Some(session) = &self.caller.session else { return (None, false) };
        if let Some(task) = &session.root_task {
            return self.root_task(task);
        }
        let Some(policies) = &session.policies else { return (None, false) };
        let mut attached = Vec::new();
        let mut unreadable = false;
        if let Some(text) = &policies.inline {
            match ringfence_policy::parse(text, ringfence_policy::Kind::Identity) {
                Ok(document) => {
                    attached.push(Attached { document: Arc::new(document), arn: None });
                }
                Err(_) => unreadable = true,
            }
        }
        if let Some(account) = session.identity.account() {
            // A managed policy that was deleted allows nothing; the others still do.
            let managed = policies.managed.iter();
            attached.extend(managed.filter_map(|arn| {
                let document = self.shared.directory.managed_policy(account, arn)?;
                Some(Attached { document, arn: Some(arn.as_str().into()) })
            }));
        }
        (Some(attached), unreadable)
    }
}

/// How the other account's side denies a request on its resource, where it does. It is told before
/// whatever the caller's own side says: policies that the caller's account writes see what the resource
/// is like, so that a denial by them would tell of a resource that nobody there has let it see.
fn denied_by_other_account(
    request: &Request<'_>,
    policies: &PolicySet<'_>,
    decision: Decision,
) -> Option<Decision> {
    let own = request.principal.account()?;
    if own == request.resource_account || decision.is_allowed() {
        return None;
    }
    let everything = EVERYTHING.as_deref()?;
    let theirs = PolicySet {
        identity: vec![everything],
        resource: policies.resource,
        grants: policies.grants,
        acls: policies.acls,
        ..PolicySet::default()
    };
    Some(decide(request, &theirs)).filter(|theirs| !theirs.is_allowed())
}

/// How a delegation's permissions deny a request that the delegated principal itself may make; `None`
/// where they allow it. They are asked by themselves: a resource's own policy that names the principal
/// means the principal, and not its delegate.
fn denied_to_delegate(request: &Request<'_>, permitted: &Document) -> Option<Decision> {
    // An identity that a token proved is not the one that signed, nor its delegate.
    let own = request.principal.account()?;
    let policies = PolicySet {
        identity: vec![permitted],
        session: Some(vec![permitted]),
        ..PolicySet::default()
    };
    match decide(&Request { resource_account: own, ..*request }, &policies) {
        Decision::Allow => None,
        Decision::ExplicitDeny(_) => Some(Decision::ExplicitDeny(Layer::Session)),
        Decision::ImplicitDeny(_) => Some(Decision::ImplicitDeny(Layer::Session)),
    }
}

/// What the root user lends a session of `AssumeRoot`: everything. AWS's policies for its tasks hold
/// nothing but denials.
static EVERYTHING: LazyLock<Option<Arc<Document>>> = LazyLock::new(|| {
    let text =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    ringfence_policy::parse(text, ringfence_policy::Kind::Identity).ok().map(Arc::new)
});
