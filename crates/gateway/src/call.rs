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

mod deciding;

use crate::authorization_message::AuthorizationMessages;
use crate::caller::{Caller, Federated};
use crate::clock::Clock;
use crate::directory::{Authority, Directory, Tags};
use crate::ids::CallId;
use crate::inside::{Inside, Via};
use crate::session::Tokens;
use crate::trail::Trail;
use ringfence_keyring::random::Random;
use ringfence_policy::{
    AccountId, Context, Decision, Document,
    grant::{EncryptionContext, Grant, Grants},
};
use ringfence_wire::service::{Auth, AuthorizationSource};
use ringfence_wire::{Operation, ServiceError, Structure, Timestamp, TypedOperation};
use smol_str::SmolStr;
use std::any::Any;
use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

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
    pub region: SmolStr,
    /// When the call came.
    pub now: Timestamp,
    /// The request id that the answer and the audit event carry.
    pub request_id: CallId,
    /// The id of its audit event.
    pub event_id: CallId,
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
