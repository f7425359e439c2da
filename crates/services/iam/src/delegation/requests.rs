//! Delegation requests: making one, looking at it, and every step but the sending of its token.

use super::records::{Approver, DelegationRequest, Notice, Stage, Step, same};
use super::{KIND, check, granting, not_lent, templates};
use crate::Iam;
use crate::arn;
use crate::errors::{self, invalid_input};
use crate::records::Record;
use crate::state::{Account, store_key};
use ringfence_gateway::{Answer, Call, Identity, Resolved};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{
    CreateDelegationRequestResponse, DelegationPermission, DelegationRequest as Shown,
    GetDelegationRequestResponse, ListDelegationRequestsResponse, PermissionCheckStatusType,
    PolicyParameter, PolicyParameterTypeEnum,
};
use ringfence_policy::document::PrincipalPattern;
use ringfence_policy::{AccountId, Arn};
use ringfence_wire::value::Empty;
use ringfence_wire::{ServiceError, Timestamp};
use std::sync::Arc;

/// Seconds of the longest delegation that a root user may accept.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies-temporary-delegation.html>
const LONGEST_OF_ROOT: i32 = 4 * 60 * 60;

/// Characters of a requestor's name, as the model bounds them.
const LONGEST_NAME: usize = 30;

impl Iam {
    /// Random digits in hex.
    pub(super) fn draw_hex<const N: usize>(&self) -> Result<String, ServiceError> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes).map_err(errors::failed)?;
        Ok(hex::encode(bytes))
    }

    /// The id of a new request: the shape of a UUID, its last group being the requestor's number.
    fn draw_request_id(&self, requestor: AccountId) -> Result<String, ServiceError> {
        let drawn = self.draw_hex::<10>()?;
        let (a, b, c, d) = (&drawn[..8], &drawn[8..12], &drawn[12..16], &drawn[16..]);
        Ok(format!("{a}-{b}-{c}-{d}-{requestor}"))
    }

    /// Notes that the topic of a request is to hear of its state.
    fn notice(&self, request: &mut DelegationRequest, id: &str, at: i64) {
        if self.notify().reaches(&request.channel) {
            let (id, state) = (id.to_owned(), request.state);
            request.notices.push(Notice { id, state, at });
        }
    }
}

/// Whether a topic is one of the account's own.
fn is_topic_of(text: &str, account: AccountId) -> bool {
    Arn::parse(text).is_ok_and(|arn| {
        (arn.partition, arn.service) == ("aws", "sns")
            && !arn.region.is_empty()
            && arn.account_id() == Some(account)
            && !arn.resource.is_empty()
            && !arn.resource.contains(':')
    })
}

/// A requestor's name as the model lets it be.
fn requestor_name(account: &Account) -> String {
    let name = account.root.as_ref().map_or("", |root| &root.name);
    let shown = |c: &char| matches!(*c, '\u{20}'..='\u{7e}' | '\u{a1}'..='\u{ff}');
    name.chars().filter(shown).take(LONGEST_NAME).collect()
}

pub(crate) async fn create_delegation_request(
    iam: &Iam,
    call: Call<ops::CreateDelegationRequest>,
) -> Result<Answer<CreateDelegationRequestResponse>, ServiceError> {
    let input = &call.input;
    let own = call.account()?;
    not_lent(&call)?;
    let ledger = iam.ledger(own)?;
    let id: Arc<str> = iam.draw_request_id(own)?.into();
    let asked = input.permissions.policy_template_arn.as_deref();
    let resolved = Resolved::new(arn::of(KIND, own, "/", &id), own, ())
        .key("iam:DelegationDuration", input.session_duration.to_string())
        .key("iam:NotificationChannel", input.notification_channel.as_str())
        .key_if("iam:TemplateArn", asked);
    let permit = call.allow(resolved)?;

    if !is_topic_of(&input.notification_channel, own) {
        return Err(invalid_input(
            "The notification channel must be the ARN of an SNS topic of the requesting account.",
        ));
    }
    let owner_account = match input.owner_account_id.as_deref().map(str::parse) {
        None => None,
        Some(Ok(account)) => Some(account),
        Some(Err(_)) => return Err(invalid_input("The owner account is no account.")),
    };
    let account = ledger.view(&permit);
    let template =
        asked.ok_or_else(|| invalid_input("Permissions must name a policy template."))?;
    let text = iam.template(own, &account, template)?;
    let given = input.permissions.parameters.as_deref().unwrap_or_default();
    let parameters = templates::parameters(given)?;
    let policy = templates::filled(text.text(), &parameters, iam.quotas.policy_size)?;
    let now = call.now().seconds;
    let request = Arc::new(DelegationRequest {
        id: id.clone(),
        requestor: own,
        requestor_name: requestor_name(&account),
        workflow: input.requestor_workflow_id.as_str().into(),
        created: now,
        updated: now,
        state: Stage::Unassigned,
        since: now,
        owner_account,
        owner: None,
        approver: None,
        description: input.description.clone(),
        message: input.request_message.clone(),
        template: template.to_owned(),
        parameters,
        policy,
        channel: input.notification_channel.clone(),
        redirect: input.redirect_url.clone(),
        duration: input.session_duration,
        only_send_by_owner: input.only_send_by_owner.unwrap_or(false),
        notes: None,
        rejection: None,
        token: None,
        notices: Vec::new(),
    });
    ledger
        .write(&permit, |account, batch| {
            let stale = create(account, &request, iam.quotas.delegation_requests, now)?;
            stale.iter().for_each(|id| batch.delete(store_key(KIND, id)));
            batch.put(Record::DelegationRequest(request.clone()));
            Ok(())
        })
        .await?;
    Ok(permit.answer(CreateDelegationRequestResponse {
        // There is no console to link to.
        console_deep_link: None,
        delegation_request_id: Some(id.to_string()),
    }))
}

/// Whether an account may have another request, and the ids of those that need not be kept any more.
///
/// # Errors
/// `EntityAlreadyExists` for a workflow id that a request has; `LimitExceeded`.
fn create(
    account: &Account,
    request: &DelegationRequest,
    quota: usize,
    now: i64,
) -> Result<Vec<Arc<str>>, ServiceError> {
    let all = &account.delegation_requests;
    let stale = all.values().filter(|one| one.is_stale(now)).map(|one| one.id.clone()).collect();
    let mut open = 0;
    for other in all.values().filter(|one| !one.is_stale(now)) {
        if other.workflow == request.workflow {
            return Err(errors::workflow_exists(&request.workflow));
        }
        open += usize::from(!other.is_expired(now));
    }
    if open >= quota {
        return Err(errors::over_quota("DelegationRequestsPerAccount", quota));
    }
    Ok(stale)
}

pub(crate) async fn get_delegation_request(
    iam: &Iam,
    call: Call<ops::GetDelegationRequest>,
) -> Result<Answer<GetDelegationRequestResponse>, ServiceError> {
    let allowed = iam.allow_delegation(&call, &call.input.delegation_request_id)?;
    let request = allowed.found()?.clone();
    let shown = describe(&request, call.now().seconds);
    let (status, result) = match call.input.delegation_permission_check {
        Some(true) => match check::of(call.facts(), request.policy.document()).await? {
            Some(result) => (Some(PermissionCheckStatusType::Complete), Some(result)),
            None => (Some(PermissionCheckStatusType::InProgress), None),
        },
        _ => (None, None),
    };
    Ok(allowed.permit.answer(GetDelegationRequestResponse {
        delegation_request: Some(shown),
        permission_check_status: status,
        permission_check_result: result,
    }))
}

pub(crate) async fn list_delegation_requests(
    iam: &Iam,
    call: Call<ops::ListDelegationRequests>,
) -> Result<Answer<ListDelegationRequestsResponse>, ServiceError> {
    let input = &call.input;
    let own = call.account()?;
    not_lent(&call)?;
    let owner = input.owner_id.as_deref();
    let mut resolved = Resolved::any(own).key_if("iam:DelegationRequestOwner", owner);
    // Everyone may list what they own themselves.
    let caller = call.caller().identity.arn();
    if owner == Some(caller.as_str()) {
        let actions = &["iam:ListDelegationRequests"];
        resolved = resolved.policy(granting(actions, PrincipalPattern::Arn(caller)));
    }
    let permit = call.allow(resolved)?;
    if owner.is_some_and(|owner| Arn::parse(owner).is_err()) {
        return Err(invalid_input("The owner id is no ARN."));
    }
    let narrowed = owner.unwrap_or_default();
    let pager = iam.pager(&call, &[narrowed], input.marker.as_deref(), input.max_items)?;
    // By its own ARN a caller means itself, and not who had its name before.
    let identity = &call.caller().identity;
    let all = iam.owned_requests(own)?.into_iter().filter(|request| match owner {
        None => true,
        Some(owner) => request
            .owner
            .as_ref()
            .is_some_and(|it| it.arn() == owner && (identity.arn() != owner || same(it, identity))),
    });
    let now = call.now().seconds;
    let page = pager
        .cut(all.map(|request| (request.id.clone(), request)))?
        .map(|request| describe(&request, now));
    Ok(permit.answer(ListDelegationRequestsResponse {
        is_truncated: page.truncated(),
        delegation_requests: Some(page.items),
        marker: page.marker,
    }))
}

pub(crate) async fn associate_delegation_request(
    iam: &Iam,
    call: Call<ops::AssociateDelegationRequest>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = iam.allow_delegation(&call, &call.input.delegation_request_id)?;
    let (own, owner) = (call.account()?, &call.caller().identity);
    let (now, id) = (call.now().seconds, iam.draw_hex::<16>()?);
    iam.across()?.owned.note(own, &allowed.found()?.id);
    allowed
        .change(|request| {
            request.take(Step::Associate, now)?;
            request.owner_account = Some(own);
            request.owner = Some(owner.clone());
            iam.notice(request, &id, now);
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty {}))
}

pub(crate) async fn update_delegation_request(
    iam: &Iam,
    call: Call<ops::UpdateDelegationRequest>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = iam.allow_delegation(&call, &call.input.delegation_request_id)?;
    let (now, id) = (call.now().seconds, iam.draw_hex::<16>()?);
    allowed
        .change(|request| {
            let before = request.state;
            request.take(Step::Update, now)?;
            if let Some(notes) = &call.input.notes {
                request.notes = Some(notes.clone());
            }
            if request.state != before {
                iam.notice(request, &id, now);
            }
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty {}))
}

pub(crate) async fn accept_delegation_request(
    iam: &Iam,
    call: Call<ops::AcceptDelegationRequest>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = iam.allow_delegation(&call, &call.input.delegation_request_id)?;
    let caller = call.caller();
    let root = matches!(caller.identity, Identity::Root { .. });
    let approver =
        Approver { identity: caller.identity.clone(), session: caller.session.as_deref().cloned() };
    let (now, id) = (call.now().seconds, iam.draw_hex::<16>()?);
    allowed
        .change(|request| {
            request.take(Step::Accept, now)?;
            if root && request.duration > LONGEST_OF_ROOT {
                return Err(errors::too_long_for_root());
            }
            request.approver = Some(approver.clone());
            iam.notice(request, &id, now);
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty {}))
}

pub(crate) async fn reject_delegation_request(
    iam: &Iam,
    call: Call<ops::RejectDelegationRequest>,
) -> Result<Answer<Empty>, ServiceError> {
    let allowed = iam.allow_delegation(&call, &call.input.delegation_request_id)?;
    let (now, id) = (call.now().seconds, iam.draw_hex::<16>()?);
    allowed
        .change(|request| {
            request.take(Step::Reject, now)?;
            request.rejection.clone_from(&call.input.notes);
            // One that was on its way and did not arrive, as far as is known.
            request.token = None;
            iam.notice(request, &id, now);
            Ok(())
        })
        .await?;
    Ok(allowed.permit.answer(Empty {}))
}

/// A request as answers show it.
fn describe(request: &DelegationRequest, now: i64) -> Shown {
    let boundaries = templates::boundaries(request.policy.document());
    let parameters = request.parameters.iter().map(|one| PolicyParameter {
        name: Some(one.name.clone()),
        values: Some(one.values.clone()),
        r#type: Some(match one.list {
            true => PolicyParameterTypeEnum::StringList,
            false => PolicyParameterTypeEnum::String,
        }),
    });
    Shown {
        delegation_request_id: Some(request.id.to_string()),
        owner_account_id: request.owner_account.map(|account| account.to_string()),
        description: Some(request.description.clone()),
        request_message: request.message.clone(),
        permissions: Some(DelegationPermission {
            policy_template_arn: Some(request.template.clone()),
            parameters: Some(parameters.collect()).filter(|all: &Vec<_>| !all.is_empty()),
        }),
        permission_policy: Some(request.policy.text().to_owned()),
        role_permission_restriction_arns: Some(boundaries).filter(|all| !all.is_empty()),
        owner_id: request.owner.as_ref().map(Identity::arn),
        approver_id: request.approver.as_ref().map(|approver| approver.identity.arn()),
        state: Some(request.shown(now)),
        expiration_time: Some(Timestamp::from_seconds(request.expires())),
        requestor_id: Some(request.requestor.to_string()),
        requestor_name: Some(request.requestor_name.clone()).filter(|name| !name.is_empty()),
        create_date: Some(Timestamp::from_seconds(request.created)),
        session_duration: Some(request.duration),
        redirect_url: request.redirect.clone(),
        notes: request.notes.clone(),
        rejection_reason: request.rejection.clone(),
        only_send_by_owner: Some(request.only_send_by_owner),
        updated_time: Some(Timestamp::from_seconds(request.updated)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER, delegation_request};
    use ringfence_gateway::State as _;

    #[test]
    fn a_workflow_has_one_request_and_an_account_so_many() {
        let mut account = Account::default();
        let first = DelegationRequest { workflow: "first".into(), ..delegation_request("a", ID) };
        account.put(Record::DelegationRequest(Arc::new(first.clone())));
        let now = first.since;
        let again = DelegationRequest { workflow: "first".into(), ..delegation_request("b", ID) };
        assert_eq!(create(&account, &again, 9, now).unwrap_err().code, "EntityAlreadyExists");
        let other = DelegationRequest { workflow: "other".into(), ..delegation_request("b", ID) };
        assert_eq!(create(&account, &other, 1, now).unwrap_err().code, "LimitExceeded");
        assert!(create(&account, &other, 2, now).unwrap().is_empty());
        // What has expired does not count; and goes, with its workflow, when it has long expired.
        assert!(create(&account, &other, 1, first.expires()).unwrap().is_empty());
        assert!(create(&account, &again, 1, first.expires()).is_err());
        let later = first.expires() + 31 * 86_400;
        assert_eq!(create(&account, &again, 1, later).unwrap(), [first.id]);
    }

    #[test]
    fn a_channel_is_a_topic_of_the_requestor() {
        for (arn, is) in [
            ("arn:aws:sns:us-east-1:123456789012:topic", true),
            ("arn:aws:sns:us-east-1:999999999999:topic", false),
            ("arn:aws:sqs:us-east-1:123456789012:topic", false),
            ("arn:aws:sns::123456789012:topic", false),
            ("arn:aws:sns:us-east-1:123456789012:topic:subscription", false),
            ("topic", false),
        ] {
            assert_eq!(is_topic_of(arn, ID), is, "{arn}");
        }
        assert!(is_topic_of("arn:aws:sns:eu-west-1:999999999999:t", OTHER));
    }
}
