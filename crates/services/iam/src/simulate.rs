//! Simulation of policies, and the context keys that policies name.

use crate::Iam;
use crate::aws_managed;
use crate::documents::IdentityPolicy;
use crate::entity::{Allowed, Entity, Holder};
use crate::errors;
use crate::records::{Group, Permissions, Role, User};
use crate::simulation::{Simulation, actions, check_scenario, give, given, given_list};
use crate::state::Account;
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{
    self, EvaluationResult, PolicyIdentifier, SimulatePolicyResponse,
};
use ringfence_policy::account::{Given, Known};
use ringfence_policy::{AccountId, Arn, Document, Kind, Principal, is_like};
use ringfence_wire::{ServiceError, TypedOperation};
use std::sync::Arc;

pub(crate) async fn simulate_custom_policy(
    iam: &Iam,
    call: Call<ops::SimulateCustomPolicy>,
) -> Result<Answer<SimulatePolicyResponse>, ServiceError> {
    let id = call.account()?;
    let permit = call.allow(Resolved::new("*", id, ()))?;
    let input = &call.input;
    let pager = iam.pager(&call, &[], input.marker.as_deref(), input.max_items)?;
    let caller = input.caller_arn.as_deref();
    let resources = resources(input.resource_arns.as_deref());
    check_scenario(input.resource_handling_option.as_deref(), &resources)?;
    let levels = input.ordered_organization_policy_input_list.as_deref().unwrap_or_default();
    let service_control = levels.iter().enumerate().map(|(at, level)| {
        let parameter = format!("OrderedOrganizationPolicyInputList.{}", at + 1);
        let texts = level.service_control_policy_input_list.as_deref();
        given_list(&parameter, texts, Kind::Identity)
    });
    let (caller, mut known) = caller_of(caller, id)?;
    give(&mut known, input.context_entries.as_deref());
    let simulation = Simulation {
        owner: owner(input.resource_owner.as_deref(), &caller, id)?,
        caller,
        known,
        identity: given_list("PolicyInputList", Some(&input.policy_input_list), Kind::Identity)?,
        boundary: one_boundary(input.permissions_boundary_policy_input_list.as_deref())?,
        service_control: service_control.collect::<Result<_, _>>()?,
        resource_policy: resource_policy(input.resource_policy.as_deref(), &resources)?,
        actions: actions(&input.action_names)?,
        resources,
    };
    let page = pager.cut(numbered(simulation.results()))?;
    Ok(permit.answer(response(page)))
}

pub(crate) async fn simulate_principal_policy(
    iam: &Iam,
    call: Call<ops::SimulatePrincipalPolicy>,
) -> Result<Answer<SimulatePolicyResponse>, ServiceError> {
    let (id, input) = (call.account()?, &call.input);
    let source = Source::allow(iam, &call, &input.policy_source_arn, id)?;
    let account = source.view();
    let excluded = input.policy_exclusion_list.as_deref().unwrap_or_default();
    excluded.iter().try_for_each(check_exclusion)?;
    let mut identity = source.identity(&account, excluded)?;
    identity.extend(given_list(
        "PolicyInputList",
        input.policy_input_list.as_deref(),
        Kind::Identity,
    )?);
    let boundary = match one_boundary(input.permissions_boundary_policy_input_list.as_deref())? {
        Some(given) => Some(given),
        None => source.boundary(&account, excluded),
    };
    let pager =
        iam.pager(&call, &[&input.policy_source_arn], input.marker.as_deref(), input.max_items)?;
    let resources = resources(input.resource_arns.as_deref());
    check_scenario(input.resource_handling_option.as_deref(), &resources)?;
    let (caller, mut known) = match input.caller_arn.as_deref() {
        Some(arn) if arn != input.policy_source_arn => caller_of(Some(arn), id)?,
        _ => source.caller(id),
    };
    give(&mut known, input.context_entries.as_deref());
    let simulation = Simulation {
        owner: owner(input.resource_owner.as_deref(), &caller, id)?,
        caller,
        known,
        identity,
        boundary,
        service_control: Vec::new(),
        resource_policy: resource_policy(input.resource_policy.as_deref(), &resources)?,
        actions: actions(&input.action_names)?,
        resources,
    };
    let page = pager.cut(numbered(simulation.results()))?;
    Ok(source.answer(response(page)))
}

pub(crate) async fn get_context_keys_for_custom_policy(
    _: &Iam,
    call: Call<ops::GetContextKeysForCustomPolicy>,
) -> Result<Answer<types::GetContextKeysForPolicyResponse>, ServiceError> {
    let permit = call.allow(Resolved::new("*", call.account()?, ()))?;
    let policies =
        given_list("PolicyInputList", Some(&call.input.policy_input_list), Kind::Identity)?;
    Ok(permit.answer(context_keys(policies.iter())))
}

pub(crate) async fn get_context_keys_for_principal_policy(
    iam: &Iam,
    call: Call<ops::GetContextKeysForPrincipalPolicy>,
) -> Result<Answer<types::GetContextKeysForPolicyResponse>, ServiceError> {
    let (id, input) = (call.account()?, &call.input);
    let source = Source::allow(iam, &call, &input.policy_source_arn, id)?;
    let mut policies = source.identity(&source.view(), &[])?;
    let more = given_list("PolicyInputList", input.policy_input_list.as_deref(), Kind::Identity)?;
    policies.extend(more);
    Ok(source.answer(context_keys(policies.iter())))
}

/// The keys that policies name, each once.
fn context_keys<'a>(
    policies: impl Iterator<Item = &'a Given>,
) -> types::GetContextKeysForPolicyResponse {
    let mut names: Vec<String> = Vec::new();
    for key in policies.flat_map(|policy| policy.document.context_keys()) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(key)) {
            names.push(key.to_owned());
        }
    }
    types::GetContextKeysForPolicyResponse { context_key_names: Some(names) }
}

fn response(page: crate::pages::Page<EvaluationResult>) -> SimulatePolicyResponse {
    SimulatePolicyResponse {
        is_truncated: page.truncated(),
        evaluation_results: Some(page.items),
        marker: page.marker,
    }
}

/// Results with their places, by which pages are cut.
fn numbered(
    results: impl Iterator<Item = EvaluationResult>,
) -> impl Iterator<Item = (String, EvaluationResult)> {
    results.enumerate().map(|(place, result)| (format!("{place:010}"), result))
}

fn resources(arns: Option<&[String]>) -> Vec<String> {
    match arns {
        Some(arns) if !arns.is_empty() => arns.to_vec(),
        _ => vec!["*".to_owned()],
    }
}

/// A resource's policy, which is read as a trust policy where the resource is a role.
fn resource_policy(
    text: Option<&str>,
    resources: &[String],
) -> Result<Option<Given>, ServiceError> {
    let is_role = |arn: &String| {
        Arn::parse(arn).is_ok_and(|arn| arn.service == "iam" && arn.resource.starts_with("role/"))
    };
    let kind = if resources.iter().any(is_role) { Kind::Trust } else { Kind::Resource };
    text.map(|text| given("ResourcePolicy".to_owned(), text, kind)).transpose()
}

/// The boundary of a request, of which there may be one.
fn one_boundary(texts: Option<&[String]>) -> Result<Option<Given>, ServiceError> {
    let mut given = given_list("PermissionsBoundaryPolicyInputList", texts, Kind::Identity)?;
    if given.len() > 1 {
        return Err(errors::invalid_input("Only one permissions boundary policy may be given."));
    }
    Ok(given.pop())
}

/// Whose resources are that do not say: `ResourceOwner`, an ARN or an account, or else the caller's
/// account.
fn owner(text: Option<&str>, caller: &Principal, id: AccountId) -> Result<AccountId, ServiceError> {
    let Some(text) = text else { return Ok(caller.account().unwrap_or(id)) };
    let named = Arn::parse(text).ok().and_then(|arn| arn.account_id());
    named
        .or_else(|| text.parse().ok())
        .ok_or_else(|| errors::invalid_input(format!("Invalid resource owner: {text}")))
}

/// Who is simulated as the caller, and what follows from it. Without one it is some user of the account.
fn caller_of(arn: Option<&str>, id: AccountId) -> Result<(Principal, Known), ServiceError> {
    let Some(text) = arn else {
        let mut known = Known::default();
        known.set("aws:PrincipalAccount", id.to_string());
        return Ok((Principal::User { arn: format!("arn:aws:iam::{id}:user/simulated") }, known));
    };
    let invalid = || errors::invalid_input(format!("Invalid caller ARN: {text}"));
    let arn = Arn::parse(text).ok().filter(|arn| arn.service == "iam").ok_or_else(invalid)?;
    let account = arn.account_id().ok_or_else(invalid)?;
    let (kind, path) = arn.resource.split_once('/').ok_or_else(invalid)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    match kind {
        "user" | "group" | "role" => Ok(as_caller(kind, text, account, name)),
        _ => Err(invalid()),
    }
}

/// A user, group or role as a caller. A role stands for a session of it.
fn as_caller(kind: &str, arn: &str, account: AccountId, name: &str) -> (Principal, Known) {
    let mut known = Known::default();
    known.set("aws:PrincipalArn", arn);
    known.set("aws:PrincipalAccount", account.to_string());
    if kind == "role" {
        known.set("aws:PrincipalType", "AssumedRole");
        known.close("aws:username");
        let session_arn = format!("arn:aws:sts::{account}:assumed-role/{name}/simulated");
        return (Principal::AssumedRole { role_arn: arn.to_owned(), session_arn }, known);
    }
    known.set("aws:PrincipalType", "User");
    if kind == "user" {
        known.set("aws:username", name);
    }
    (Principal::User { arn: arn.to_owned() }, known)
}

/// The user, group or role whose policies are simulated.
enum Source {
    User(Allowed<User>),
    Group(Allowed<Group>),
    Role(Allowed<Role>),
}

impl Source {
    fn allow<O: TypedOperation>(
        iam: &Iam,
        call: &Call<O>,
        text: &str,
        id: AccountId,
    ) -> Result<Self, ServiceError> {
        let invalid = || errors::invalid_input(format!("Invalid Entity Arn: {text}"));
        let arn = Arn::parse(text).map_err(|_| invalid())?;
        let (kind, path) = arn.resource.split_once('/').ok_or_else(invalid)?;
        if arn.service != "iam" || arn.account_id() != Some(id) {
            return Err(invalid());
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let source = match kind {
            "user" => Self::User(at(iam.allow(call, name)?, text)?),
            "group" => Self::Group(at(iam.allow(call, name)?, text)?),
            "role" => Self::Role(at(iam.allow(call, name)?, text)?),
            _ => return Err(invalid()),
        };
        Ok(source)
    }

    fn view(&self) -> Account {
        match self {
            Self::User(allowed) => allowed.view(),
            Self::Group(allowed) => allowed.view(),
            Self::Role(allowed) => allowed.view(),
        }
    }

    fn answer<T>(self, output: T) -> Answer<T> {
        match self {
            Self::User(allowed) => allowed.permit.answer(output),
            Self::Group(allowed) => allowed.permit.answer(output),
            Self::Role(allowed) => allowed.permit.answer(output),
        }
    }

    /// Its policies, those of a user's groups among them, under the names that AWS gives them.
    fn identity(
        &self,
        account: &Account,
        excluded: &[PolicyIdentifier],
    ) -> Result<Vec<Given>, ServiceError> {
        let mut out = Vec::new();
        match self {
            Self::User(allowed) => {
                let user = allowed.found()?;
                gather(account, &**user, excluded, &mut out);
                for group in user.groups.iter().filter_map(|id| account.group(id)) {
                    gather(account, &**group, excluded, &mut out);
                }
            }
            Self::Group(allowed) => gather(account, &**allowed.found()?, excluded, &mut out),
            Self::Role(allowed) => gather(account, &**allowed.found()?, excluded, &mut out),
        }
        Ok(out)
    }

    fn permissions(&self) -> Option<&Permissions> {
        Some(match self {
            Self::User(allowed) => &allowed.permit.as_ref()?.permissions,
            Self::Group(allowed) => &allowed.permit.as_ref()?.permissions,
            Self::Role(allowed) => &allowed.permit.as_ref()?.permissions,
        })
    }

    fn boundary(&self, account: &Account, excluded: &[PolicyIdentifier]) -> Option<Given> {
        let arn = self.permissions()?.boundary.as_ref()?;
        let is_out = |one: &PolicyIdentifier| match one {
            PolicyIdentifier::PolicyType(kind) => kind.as_str() == "permission-boundary",
            PolicyIdentifier::PolicyArn(pattern) => is_like(pattern, arn),
            _ => false,
        };
        if excluded.iter().any(is_out) {
            return None;
        }
        // A boundary whose policy is gone allows nothing.
        Some(managed(account, arn).unwrap_or_else(|| Given {
            name: arn.to_string(),
            text: String::new(),
            document: Document::new(Default::default(), None, Vec::new()),
        }))
    }

    /// Itself as the caller, with what its record tells.
    fn caller(&self, id: AccountId) -> (Principal, Known) {
        fn of<E: Entity>(kind: &str, entity: Option<&Arc<E>>, id: AccountId) -> (Principal, Known) {
            let Some(entity) = entity else { return as_caller(kind, "", id, "") };
            let (principal, mut known) = as_caller(kind, &entity.arn(id), id, entity.name());
            match kind {
                "user" => known.set("aws:userid", entity.id()),
                "role" => {
                    known.set_beginning("aws:userid", format!("{}:", entity.id()), "simulated")
                }
                _ => {}
            }
            for (key, value) in entity.tags().into_iter().flat_map(|tags| tags.iter()) {
                known.set(format!("aws:PrincipalTag/{key}"), value.as_str());
            }
            known.close("aws:PrincipalTag/");
            (principal, known)
        }
        match self {
            Self::User(allowed) => of("user", allowed.permit.as_ref(), id),
            Self::Group(allowed) => of("group", allowed.permit.as_ref(), id),
            Self::Role(allowed) => of("role", allowed.permit.as_ref(), id),
        }
    }
}

/// What was allowed, provided that it is at this ARN.
fn at<E: Entity>(allowed: Allowed<E>, arn: &str) -> Result<Allowed<E>, ServiceError> {
    match allowed.found() {
        Ok(found) if found.arn(allowed.id) == arn => Ok(allowed),
        _ => Err(E::missing(&allowed.name)),
    }
}

/// Adds what a user, group or role holds: inline policies as `user_NAME_POLICY`, managed ones by name.
fn gather<E: Holder>(
    account: &Account,
    holder: &E,
    excluded: &[PolicyIdentifier],
    out: &mut Vec<Given>,
) {
    let (kind, name) = (E::KIND, holder.name());
    for one in &holder.permissions().inline {
        let is_out = |identifier: &PolicyIdentifier| match identifier {
            PolicyIdentifier::PolicyType(kind) => kind.as_str() == "inline",
            PolicyIdentifier::InlinePolicyIdentifier(own) => {
                *own.policy_name == *one.name
                    && own.attachment_type.as_str() == kind
                    && is_like(&own.attachment_name, name)
            }
            _ => false,
        };
        if !excluded.iter().any(is_out) {
            out.push(named(format!("{kind}_{name}_{}", one.name), &one.policy));
        }
    }
    for arn in &holder.permissions().attached {
        let kind = if arn.contains(":iam::aws:") { "aws-managed" } else { "user-managed" };
        let is_out = |identifier: &PolicyIdentifier| match identifier {
            PolicyIdentifier::PolicyType(own) => own.as_str() == kind,
            PolicyIdentifier::PolicyArn(pattern) => is_like(pattern, arn),
            _ => false,
        };
        if !excluded.iter().any(is_out) {
            out.extend(managed(account, arn));
        }
    }
}

fn named(name: String, policy: &IdentityPolicy) -> Given {
    let document = Document::clone(policy.document());
    Given { name, text: policy.text().to_owned(), document }
}

fn managed(account: &Account, arn: &str) -> Option<Given> {
    let policy = match aws_managed::find(arn) {
        Some(policy) => policy.policy(),
        None => account.managed_policy(arn)?,
    };
    Some(named(arn.rsplit('/').next().unwrap_or(arn).to_owned(), policy))
}

/// Refuses what names no policy.
fn check_exclusion(one: &PolicyIdentifier) -> Result<(), ServiceError> {
    let (text, name) = match one {
        PolicyIdentifier::PolicyArn(arn) => {
            let cut = Arn::parse(arn).ok().filter(|arn| arn.service == "iam");
            let path = cut.and_then(|arn| arn.resource.strip_prefix("policy/"));
            let Some(path) = path else {
                return Err(errors::invalid_input(format!("Invalid policy ARN: {arn}")));
            };
            let (before, name) =
                arn.split_at(arn.len() - path.rsplit('/').next().unwrap_or(path).len());
            if before.contains(['*', '?']) {
                return Err(errors::invalid_input(format!("Invalid policy ARN: {arn}")));
            }
            (arn, name)
        }
        PolicyIdentifier::InlinePolicyIdentifier(own) => {
            (&own.attachment_name, own.attachment_name.as_str())
        }
        _ => return Ok(()),
    };
    if name.matches('*').count() > 1 {
        return Err(errors::invalid_input(format!("At most one * may stand in {text}")));
    }
    Ok(())
}
