//! The call that a handler gets, and the types that make it ask before it answers.
//!
//! ```text
//!   Call ──resolve──► Resolved<T> ──allow──► Permit<T> ──answer──► Answer<Output>
//!         what is named,            the policy          the only way to an
//!         its ARN and tags;         engine's yes        Answer, and to what
//!         the value is shut                             was resolved
//! ```
//!
//! A handler returns `Result<Answer<Output>, ServiceError>`. An [`Answer`] is made by a [`Permit`]
//! alone, a `Permit` by [`Call::allow`] alone, and a [`Resolved`] value can be looked at only
//! through its `Permit`. A handler that forgets to ask does not compile.
//!
//! ```compile_fail,E0451
//! // Nobody answers without a permit,
//! let answer = ringfence_gateway::Answer { output: () };
//! ```
//! ```compile_fail,E0451
//! // makes one,
//! fn made(facts: std::rc::Rc<ringfence_gateway::CallFacts>) {
//!     let permit = ringfence_gateway::Permit { value: (), facts };
//! }
//! ```
//! ```compile_fail,E0616
//! // or looks at what was resolved before asking.
//! fn look(resolved: ringfence_gateway::Resolved<String>) -> String {
//!     resolved.value
//! }
//! ```

use crate::authorization_message::{self, AuthorizationMessages, Denied};
use crate::caller::{Caller, Federated, Identity};
use crate::clock::Clock;
use crate::directory::{Attached, Authority, Directory, Tags};
use crate::inside::{Inside, Via};
use crate::session::Tokens;
use crate::trail::Trail;
use ringfence_keyring::random::Random;
use ringfence_policy::document::Version;
use ringfence_policy::{
    AccountId, Context, Decision, Denial, Document, Layer, PolicySet, Principal, Request,
    ResourcePolicy, decide, denial,
    grant::{EncryptionContext, Grant, Grants},
    message as words,
};
use ringfence_wire::service::{Auth, AuthorizationSource};
use ringfence_wire::{Operation, ServiceError, Structure, Timestamp, TypedOperation};
use smol_str::SmolStr;
use std::any::Any;
use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

/// What every service shares.
pub struct Shared {
    /// The principals.
    pub directory: Arc<dyn Directory>,
    /// The time for whatever is stored or expires.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and secrets.
    pub random: Arc<dyn Random>,
    /// Session tokens.
    pub tokens: Tokens,
    /// What denials were about.
    pub authorization_messages: AuthorizationMessages,
    /// What was recorded.
    pub trail: Trail,
}

/// The facts of one call that do not depend on its operation's types.
pub struct CallFacts {
    /// The operation.
    pub operation: &'static Operation,
    /// Who calls.
    pub caller: Arc<Caller>,
    /// What it may.
    pub authority: Authority,
    /// The region of the credential scope.
    pub region: Arc<str>,
    /// When the call came.
    pub now: Timestamp,
    /// The request id that the answer and the audit event carry.
    pub request_id: Arc<str>,
    /// The id of its audit event.
    pub event_id: Arc<str>,
    /// Where it came from.
    pub source_ip: SmolStr,
    /// The host that it was sent to, in lower case.
    pub host: SmolStr,
    /// The client's `User-Agent`.
    pub user_agent: SmolStr,
    /// It came over TLS.
    pub secure: bool,
    /// The service that makes the call for its caller.
    pub via: Option<Via>,
    /// The way to other services.
    pub(crate) inside: Inside,
    /// What every service shares.
    pub shared: Arc<Shared>,
    /// What was decided, for the audit event.
    pub(crate) decided: RefCell<Vec<Decided>>,
    /// The outside identity that the handler of an unsigned operation proved.
    pub(crate) proved: OnceCell<Federated>,
}

/// One decision of a call.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The action asked for.
    pub action: &'static str,
    /// On this resource.
    pub resource: String,
    /// The answer.
    pub decision: Decision,
    /// The ARN of the managed policy that denies.
    pub policy: Option<Arc<str>>,
    /// The condition keys that its service set of the request and the resource.
    pub keys: Context,
}

/// A call of the operation `O`.
pub struct Call<O: TypedOperation> {
    /// The decoded, checked input.
    pub input: O::Input,
    facts: std::rc::Rc<CallFacts>,
}

/// Something that a call names, before the caller may see it.
pub struct Resolved<T> {
    arn: String,
    /// As the request names it, where that is not by its ARN.
    named: Option<String>,
    account: AccountId,
    keys: Context,
    policy: Option<(Arc<Document>, PolicyForm)>,
    granted: Option<Box<Granted>>,
    value: T,
}

/// What a key on which there are grants brings into a decision.
struct Granted {
    grants: Vec<Grant>,
    encryption_context: Option<EncryptionContext>,
}

#[derive(Clone, Copy)]
enum PolicyForm {
    Ordinary,
    Trust,
    Key,
}

/// The caller may: what was resolved, and the right to answer.
pub struct Permit<T> {
    value: T,
    facts: Rc<CallFacts>,
}

/// The answer to a call. Only a [`Permit`] makes one.
pub struct Answer<T> {
    output: T,
}

impl Granted {
    fn of(&self) -> Grants<'_> {
        Grants { grants: &self.grants, encryption_context: self.encryption_context.as_ref() }
    }
}

impl Resolved<()> {
    /// For an action that has no resource: `*`.
    pub fn any(account: AccountId) -> Self {
        Resolved::new("*", account, ())
    }
}

impl<T> Resolved<T> {
    /// A value under its ARN, in the account that owns it. The ARN is the one that the *request*
    /// names, whether or not the thing exists: existence is told to those who may know.
    pub fn new(arn: impl Into<String>, account: AccountId, value: T) -> Self {
        Self {
            arn: arn.into(),
            named: None,
            account,
            // Those of a service, and some twenty that all have.
            keys: Context::with_capacity(36),
            policy: None,
            granted: None,
            value,
        }
    }

    /// Says how the request names it, where that is by another ARN than the resource's own: other
    /// accounts hear of it under that name alone.
    pub fn named(mut self, arn: String) -> Self {
        self.named = Some(arn);
        self
    }

    /// Sets a condition key of this request, for example `iam:PolicyARN`.
    pub fn key(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<SmolStr>) -> Self {
        self.keys.set(key, value);
        self
    }

    /// Sets a condition key where there is a value.
    pub fn key_if(self, key: &'static str, value: Option<impl Into<SmolStr>>) -> Self {
        match value {
            Some(value) => self.key(key, value),
            None => self,
        }
    }

    /// Sets a condition key that holds a set.
    pub fn keys(
        mut self,
        key: impl Into<Cow<'static, str>>,
        values: impl IntoIterator<Item = impl Into<SmolStr>>,
    ) -> Self {
        self.keys.set_many(key, values);
        self
    }

    /// The tags that the resource has: `aws:ResourceTag/…`, and the service's own prefix where it
    /// has one (`iam:ResourceTag/…`).
    pub fn tagged(mut self, tags: &Tags, service_prefix: Option<&str>) -> Self {
        for (key, value) in tags {
            self.keys.set(format!("aws:ResourceTag/{key}"), value);
            if let Some(prefix) = service_prefix {
                self.keys.set(format!("{prefix}:ResourceTag/{key}"), value);
            }
        }
        self
    }

    /// The tags that the request carries: `aws:RequestTag/…` and `aws:TagKeys`.
    pub fn requesting_tags<'t>(
        mut self,
        tags: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Self {
        let mut keys = Vec::new();
        for (key, value) in tags {
            self.keys.set(format!("aws:RequestTag/{key}"), value);
            keys.push(key);
        }
        if !keys.is_empty() {
            self.keys.set_many("aws:TagKeys", keys);
        }
        self
    }

    /// The tag keys that the request names without values, as `UntagUser` does.
    pub fn requesting_tag_keys(mut self, keys: &[String]) -> Self {
        self.keys.set_many("aws:TagKeys", keys);
        self
    }

    /// The same, of another value: of a part of what was named, say.
    pub fn of<U>(self, value: U) -> Resolved<U> {
        let Self { arn, named, account, keys, policy, granted, .. } = self;
        Resolved { arn, named, account, keys, policy, granted, value }
    }

    /// Looks at the value, for what the decision itself needs of it.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.value)
    }

    /// The resource's own policy.
    pub fn policy(mut self, policy: Arc<Document>) -> Self {
        self.policy = Some((policy, PolicyForm::Ordinary));
        self
    }

    /// A KMS key's policy.
    pub fn key_policy(mut self, policy: Arc<Document>) -> Self {
        self.policy = Some((policy, PolicyForm::Key));
        self
    }

    /// Grants on a KMS key, and the encryption context that their constraints look at; `None` where
    /// the operation or the key takes none.
    pub fn grants(
        mut self,
        grants: Vec<Grant>,
        encryption_context: Option<&EncryptionContext>,
    ) -> Self {
        if !grants.is_empty() {
            let encryption_context = encryption_context.cloned();
            self.granted = Some(Box::new(Granted { grants, encryption_context }));
        }
        self
    }

    /// Leaves out the grants that do not count for this request.
    pub fn only_grants(mut self, counts: impl Fn(&Grant) -> bool) -> Self {
        if let Some(granted) = &mut self.granted {
            granted.grants.retain(counts);
        }
        self
    }

    /// The role's trust policy.
    pub fn trust(mut self, policy: Arc<Document>) -> Self {
        self.policy = Some((policy, PolicyForm::Trust));
        self
    }
}

impl<T> Permit<T> {
    /// Answers the call.
    pub fn answer<O>(&self, output: O) -> Answer<O> {
        Answer { output }
    }

    /// Lets something be written on the strength of it: not where this server has stopped deciding since
    /// the call began, as others may have decided otherwise meanwhile.
    ///
    /// # Errors
    /// `ServiceUnavailable`
    pub(crate) fn check_tenure(&self) -> Result<(), ServiceError> {
        self.facts.inside.check_tenure()
    }

    /// Takes out what was resolved, leaving the right to answer.
    pub fn take(self) -> (T, Permit<()>) {
        (self.value, Permit { value: (), facts: self.facts })
    }
}

impl<T> Deref for Permit<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Answer<T> {
    pub(crate) fn into_output(self) -> T {
        self.output
    }
}

impl<O: TypedOperation> Call<O> {
    pub(crate) fn new(input: O::Input, facts: Rc<CallFacts>) -> Self {
        Self { input, facts }
    }

    /// The call's facts.
    pub fn facts(&self) -> &CallFacts {
        &self.facts
    }

    /// Who calls.
    pub fn caller(&self) -> &Caller {
        &self.facts.caller
    }

    /// The caller's account.
    ///
    /// # Errors
    /// `MissingAuthenticationToken` for anonymous callers.
    pub fn account(&self) -> Result<AccountId, ServiceError> {
        self.facts.caller.identity.account().ok_or_else(crate::errors::missing_token)
    }

    /// When the call came.
    pub fn now(&self) -> Timestamp {
        self.facts.now
    }

    /// What every service shares.
    pub fn shared(&self) -> &Shared {
        &self.facts.shared
    }

    /// Says who calls an operation that is not signed: an identity of an outside provider, whose
    /// token or assertion the handler has verified. Decisions and the event are about it from now
    /// on, and nothing that signed the call counts.
    ///
    /// # Errors
    /// An internal failure on an operation that is signed, and the second time.
    pub fn prove(&self, federated: Federated) -> Result<(), ServiceError> {
        if O::OPERATION.auth != Auth::None || self.facts.proved.set(federated).is_err() {
            tracing::error!(operation = O::OPERATION.name, "no identity can be proved here");
            return Err(ServiceError::internal());
        }
        Ok(())
    }

    /// Asks whether the caller may do this operation's main action on what was resolved.
    ///
    /// # Errors
    /// `AccessDenied` with AWS's words.
    pub fn allow<T>(&self, resolved: Resolved<T>) -> Result<Permit<T>, ServiceError> {
        match O::OPERATION.authorization.actions.first() {
            Some(action) => self.allow_action(action, resolved),
            None => {
                tracing::error!(operation = O::OPERATION.name, "no action to ask for");
                Err(ServiceError::internal())
            }
        }
    }

    /// Asks for another action than the operation's own, for example `sts:TagSession`.
    ///
    /// # Errors
    /// `AccessDenied` with AWS's words.
    pub fn allow_action<T>(
        &self,
        action: &'static str,
        resolved: Resolved<T>,
    ) -> Result<Permit<T>, ServiceError> {
        let value = self.facts.decide(action, resolved)?;
        Ok(self.permit(value))
    }

    fn permit<T>(&self, value: T) -> Permit<T> {
        Permit { value, facts: self.facts.clone() }
    }

    /// Whether the caller might do something, were it asked. It gives no right to anything, and is
    /// not recorded.
    pub fn might<T>(&self, action: &str, resolved: &Resolved<T>) -> bool {
        let mut context = resolved.keys.clone();
        crate::context::fill(&self.facts, resolved.account, &mut context);
        self.facts.weigh(action, resolved, &context, |weighed| weighed.decision.is_allowed())
    }

    /// The right to answer an operation that needs no permission. It is an error on any other.
    ///
    /// # Errors
    /// An internal failure when the operation's row asks for an action.
    pub fn allow_anyone(&self) -> Result<Permit<()>, ServiceError> {
        if O::OPERATION.authorization.source != AuthorizationSource::NotNeeded {
            tracing::error!(operation = O::OPERATION.name, "this operation asks for an action");
            return Err(ServiceError::internal());
        }
        Ok(self.permit(()))
    }
}

/// A decision, with what it was made of.
struct Weighed<'w> {
    request: &'w Request<'w>,
    policies: &'w PolicySet<'w>,
    /// The policies of the session, by their places in `policies`.
    session: Option<&'w [Attached]>,
    decision: Decision,
    /// The delegation under which the session was lent denies.
    by_delegation: bool,
}

impl CallFacts {
    /// Decides in a context, and hands the decision on with what it was made of: the request, the
    /// policies, and those of the session.
    fn weigh<T, R>(
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
    fn decide<T>(
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

/// The erased result of a handler.
pub(crate) struct Outcome {
    pub output: Box<dyn Output>,
}

/// An operation's output, as a protocol sees it and as the service that asked for it.
pub(crate) trait Output {
    fn as_structure(&mut self) -> &mut dyn Structure;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<T: Structure + 'static> Output for T {
    fn as_structure(&mut self) -> &mut dyn Structure {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
