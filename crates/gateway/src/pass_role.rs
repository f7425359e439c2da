//! Passing a role to a service: `iam:PassRole`, asked in one place for every service.
//!
//! ```text
//!   ARN or name ─► of the caller's account? ─► iam:PassRole ─► is there ─► does it trust ─► Passed
//!                  another's is refused       iam:PassedToService  one?     the service?
//! ```
//!
//! Which operations are passed roles stands in the models: [`Authorization::passes`]. Three things
//! hold a handler of such an operation to asking:
//!
//! - it is mounted with [`Handlers::on_passing`](crate::Handlers::on_passing) or does not compile;
//! - its answer, [`Passing`], is made by a [`Passed`] role alone, or by [`NothingPassed`], which the
//!   input must bear out;
//! - the gateway compares what the input names with what was asked, and answers an internal failure
//!   where a role was not asked for. That is a defect, and the log says so.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>
//!
//! ```compile_fail,E0080
//! # use ringfence_gateway::{Answer, Call, Handlers, Resolved};
//! # use ringfence_wire::service::*;
//! # use ringfence_wire::shape::{Member, Shape, prelude};
//! # use ringfence_wire::value::Empty;
//! # static OPERATION: Operation = Operation {
//! #     name: "TakeRole", service: &SERVICE, method: "POST", uri: "/", status: 200,
//! #     input: Member::new("Empty", &prelude::EMPTY), output: Member::new("Empty", &prelude::EMPTY),
//! #     result_wrapper: None, input_namespace: None, errors: &[], auth: Auth::SigV4, pagination: None,
//! #     authorization: Authorization {
//! #         source: AuthorizationSource::Table, actions: &["made-up:TakeRole"],
//! #         access_level: AccessLevel::Write, resources: &[], condition_keys: &[],
//! #         passes: &["RoleArn"] } };
//! # static SERVICE: Service = Service {
//! #     id: "Made Up", signing_name: "made-up", endpoint_prefix: "made-up", action_prefix: "made-up",
//! #     api_version: "", target_prefix: None, xml_namespace: None, protocols: &[],
//! #     query_compatible: false, global: false, validation_code: "", operations: &[] };
//! # struct TakeRole;
//! # impl TypedOperation for TakeRole {
//! #     type Input = Empty; type Output = Empty;
//! #     const OPERATION: &'static Operation = &OPERATION;
//! # }
//! # async fn take_role(_: &(), call: Call<TakeRole>) -> Result<Answer<Empty>, ringfence_wire::ServiceError> {
//! #     let permit = call.allow(Resolved::any(call.account()?))?;
//! #     Ok(permit.answer(Empty::default()))
//! # }
//! // `TakeRole` is passed a role: a handler that answers without one is not mounted.
//! Handlers::new(&SERVICE, ().into()).on::<TakeRole, _>(take_role);
//! ```

use crate::call::{Answer, Call, Decided, Resolved};
use crate::directory::RoleFacts;
use ringfence_policy::account::{Assumption, Known, assume};
use ringfence_policy::{
    AccountId, Arn, Document, PolicySet, Principal, Request, ResourcePolicy, decide,
};
use ringfence_wire::service::Operation;
use ringfence_wire::{ServiceError, Structure, TypedOperation, members};
use std::ops::Deref;

#[cfg(doc)]
use ringfence_wire::service::Authorization;

/// The action.
const PASS_ROLE: &str = "iam:PassRole";

/// A role that a request hands to a service.
#[derive(Debug, Clone, Copy)]
pub struct PassRole<'a> {
    role: Named<'a>,
    service: &'a str,
    associated: Option<&'a str>,
    trust: bool,
}

#[derive(Debug, Clone, Copy)]
enum Named<'a> {
    Arn(&'a str),
    Name(&'a str),
}

impl<'a> PassRole<'a> {
    /// The role of this ARN, to a service by its principal: `lambda.amazonaws.com`.
    pub const fn by_arn(arn: &'a str, service: &'a str) -> Self {
        Self { role: Named::Arn(arn), service, associated: None, trust: true }
    }

    /// The role of this name in the caller's account.
    pub const fn by_name(name: &'a str, service: &'a str) -> Self {
        Self { role: Named::Name(name), service, associated: None, trust: true }
    }

    /// The ARN of what will have the role, where the service tells it: `iam:AssociatedResourceArn`.
    pub const fn for_resource(mut self, arn: &'a str) -> Self {
        self.associated = Some(arn);
        self
    }

    /// Leaves out whether the role trusts the service: where AWS finds that out when the role is used.
    pub const fn untested(mut self) -> Self {
        self.trust = false;
        self
    }
}

/// A role that the caller may pass, and that the service may have.
#[derive(Debug, Clone)]
pub struct Passed {
    role: RoleFacts,
    arn: String,
}

impl Passed {
    /// Its ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The answer to a call that passed it.
    pub fn answer<T>(&self, answer: Answer<T>) -> Passing<T> {
        Passing { answer }
    }
}

impl Deref for Passed {
    type Target = RoleFacts;

    fn deref(&self) -> &RoleFacts {
        &self.role
    }
}

/// The input names no role.
#[derive(Debug)]
pub struct NothingPassed(());

impl NothingPassed {
    /// The answer to a call that passed none.
    pub fn answer<T>(&self, answer: Answer<T>) -> Passing<T> {
        Passing { answer }
    }
}

/// The answer to a call of an operation that is passed roles.
pub struct Passing<T> {
    answer: Answer<T>,
}

impl<T> Passing<T> {
    pub(crate) fn into_output(self) -> T {
        self.answer.into_output()
    }
}

/// Why a role is not passed. Services word all but the first differently.
#[derive(Debug)]
pub enum NotPassed {
    /// The caller may not: AWS's words.
    Denied(ServiceError),
    /// The text is no ARN of a role.
    NoRole,
    /// The role is of another account. Nothing was asked.
    OtherAccount,
    /// There is no such role; told to those only who may pass it.
    Missing,
    /// The role's trust policy does not let the service assume it.
    Untrusting,
}

impl NotPassed {
    /// The refusal: that of the decision, or the service's own words.
    pub fn or(self, words: impl FnOnce(&Self) -> ServiceError) -> ServiceError {
        match self {
            Self::Denied(error) => error,
            other => words(&other),
        }
    }

    /// `AccessDenied` for a role of another account, in the words that most services have.
    pub fn cross_account() -> ServiceError {
        ServiceError::access_denied("Cross-account pass role is not allowed.")
    }
}

impl<O: TypedOperation> Call<O> {
    /// Asks whether the caller may pass a role to a service, and only then whether there is such a
    /// role and whether it trusts the service.
    ///
    /// # Errors
    /// [`NotPassed`].
    pub fn pass_role(&self, pass: &PassRole<'_>) -> Result<Passed, NotPassed> {
        let account = self.account().map_err(NotPassed::Denied)?;
        let directory = &self.shared().directory;
        let (arn, role) = match pass.role {
            Named::Arn(arn) => {
                let (owner, path, name) = cut(arn).ok_or(NotPassed::NoRole)?;
                if owner != account {
                    return Err(NotPassed::OtherAccount);
                }
                let role = directory.role(account, name);
                (arn.to_owned(), role.filter(|role| role.path == path && role.name == name))
            }
            Named::Name(name) => {
                let role = directory.role(account, name);
                let (path, name) =
                    role.as_ref().map_or(("/", name), |role| (&*role.path, &*role.name));
                (format!("arn:aws:iam::{account}:role{path}{name}"), role)
            }
        };
        let mut resolved = Resolved::new(arn.as_str(), account, role)
            .key("iam:PassedToService", pass.service)
            .key_if("iam:AssociatedResourceArn", pass.associated);
        if let Some(tags) = resolved.look(|role| role.as_ref().map(|role| role.tags.clone())) {
            resolved = resolved.tagged(&tags, Some("iam"));
        }
        let permit = self.allow_action(PASS_ROLE, resolved).map_err(NotPassed::Denied)?;
        let (Some(role), _) = permit.take() else { return Err(NotPassed::Missing) };
        if pass.trust && !trusts(&role.trust, &arn, account, pass.service) {
            return Err(NotPassed::Untrusting);
        }
        Ok(Passed { role, arn })
    }

    /// That this call passes no role: every member by which it could is absent.
    ///
    /// # Errors
    /// An internal failure where one is there.
    pub fn passes_nothing(&self) -> Result<NothingPassed, ServiceError> {
        if named(O::OPERATION, &self.input).is_empty() {
            return Ok(NothingPassed(()));
        }
        tracing::error!(operation = O::OPERATION.name, "a role is passed, and was taken for none");
        Err(ServiceError::internal())
    }
}

/// The account, path and name of a role's ARN.
fn cut(text: &str) -> Option<(AccountId, &str, &str)> {
    let arn = Arn::parse(text).ok()?;
    if (arn.partition, arn.service, arn.region) != ("aws", "iam", "") {
        return None;
    }
    let rest = arn.resource.strip_prefix("role")?;
    let (path, name) = rest.split_at(rest.rfind('/')? + 1);
    (path.starts_with('/') && !name.is_empty()).then_some((arn.account_id()?, path, name))
}

/// Whether a trust policy lets a service assume its role, for some resource of this account: which
/// one will use it is often not known yet, so that conditions on it are taken to hold.
fn trusts(trust: &Document, arn: &str, account: AccountId, service: &str) -> bool {
    let mut known = Known::default();
    known.set("aws:PrincipalIsAWSService", "true");
    known.set("aws:PrincipalServiceName", service);
    known.set("aws:SourceAccount", account.to_string());
    let trust = assume(trust, &known, Assumption::Optimistic);
    let principal = Principal::Service(service.to_owned());
    let request = Request {
        principal: &principal,
        action: "sts:AssumeRole",
        resource: arn,
        resource_account: account,
        context: known.context(),
    };
    let resource = Some(ResourcePolicy::Trust(&trust));
    decide(&request, &PolicySet { resource, ..PolicySet::default() }).is_allowed()
}

/// The roles, and instance profiles, that an input names. An empty text names none: it takes a role
/// away.
pub(crate) fn named(operation: &Operation, input: &dyn Structure) -> Vec<String> {
    let paths = operation.authorization.passes.iter();
    let all = paths.flat_map(|path| members::texts(input, path));
    all.filter(|text| !text.is_empty()).collect()
}

/// Whether the call asked for each role that its input named: by its ARN, where it is one, else for
/// any, since a name alone does not tell the ARN.
pub(crate) fn was_asked(roles: &[String], decided: &[Decided]) -> bool {
    let allowed = |one: &&Decided| one.action == PASS_ROLE && one.decision.is_allowed();
    let asked = || decided.iter().filter(allowed);
    roles.iter().all(|role| match cut(role) {
        Some(_) => asked().any(|one| one.resource == *role),
        None => asked().next().is_some(),
    })
}

#[cfg(test)]
mod tests;
