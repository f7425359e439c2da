//! The custom policy checks: `PASS` is a proof over all requests, `FAIL` has a witness, and where there
//! is neither the answer is `UnprocessableEntityException`.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-custom-policy-checks.html>

use crate::apart::apart;
use crate::{AccessAnalyzer, errors};
use ringfence_gateway::{Answer, Call, Resolved};
use ringfence_model_accessanalyzer::types::{
    AccessCheckPolicyType, AccessCheckResourceType, CheckAccessNotGrantedResult,
    CheckNoNewAccessResult, CheckNoPublicAccessResult, ReasonSummary,
};
use ringfence_model_accessanalyzer::{operations as ops, types};
use ringfence_policy::analyse::{self, Access, Side, Undecided, Witness};
use ringfence_policy::document::Effect;
use ringfence_policy::{Arn, Document, Kind, parse};
use ringfence_wire::ServiceError;

/// The answer of a check.
enum Found {
    Passed,
    Failed(Vec<ReasonSummary>),
}

pub(crate) async fn check_no_new_access(
    _: &AccessAnalyzer,
    call: Call<ops::CheckNoNewAccess>,
) -> Result<Answer<types::CheckNoNewAccessResponse>, ServiceError> {
    let permit = call.allow(Resolved::any(call.account()?))?;
    let input = &call.input;
    let texts = [input.existing_policy_document.clone(), input.new_policy_document.clone()];
    let kinds = kinds(&input.policy_type)?;
    let found = apart(move || {
        let ([existing, new], kind) = read(&texts, kinds)?;
        let answer = analyse::check_no_new_access(&existing, &new, kind);
        found(&new, answer, |witness| {
            let each = analyse::new_access_by_statement(&existing, &new, kind).into_iter();
            let proved = each.filter(|(_, answer)| answer.witness().is_some());
            let places: Vec<usize> = proved.map(|(place, _)| place).collect();
            if places.is_empty() { granting(&new, witness) } else { places }
        })
    })
    .await?;
    let of = |reason: &str| format!("New access in the statement with {reason}.");
    let (passed, reasons) = told(found, of);
    let (result, message) = match passed {
        true => (
            CheckNoNewAccessResult::Pass,
            "The modified permissions do not grant new access compared to your existing policy.",
        ),
        false => (
            CheckNoNewAccessResult::Fail,
            "The modified permissions grant new access compared to your existing policy.",
        ),
    };
    Ok(permit.answer(types::CheckNoNewAccessResponse {
        result: Some(result),
        message: Some(message.to_owned()),
        reasons,
    }))
}

pub(crate) async fn check_access_not_granted(
    _: &AccessAnalyzer,
    call: Call<ops::CheckAccessNotGranted>,
) -> Result<Answer<types::CheckAccessNotGrantedResponse>, ServiceError> {
    let permit = call.allow(Resolved::any(call.account()?))?;
    let input = &call.input;
    let access: Vec<Access> = input.access.iter().map(wanted).collect::<Result<_, _>>()?;
    if access.is_empty() {
        return Err(errors::bad_parameter("The access to check is empty."));
    }
    let texts = [input.policy_document.clone()];
    let kinds = kinds(&input.policy_type)?;
    let found = apart(move || {
        let ([document], kind) = read(&texts, kinds)?;
        let answer = analyse::check_access_not_granted(&document, &access, kind);
        found(&document, answer, |witness| granting(&document, witness))
    })
    .await?;
    let of = |reason: &str| {
        format!("One or more of the listed actions or resources in the statement with {reason}.")
    };
    let (passed, reasons) = told(found, of);
    let (result, message) = match passed {
        true => (
            CheckAccessNotGrantedResult::Pass,
            "The policy document does not grant access to perform one or more of the listed actions or resources.",
        ),
        false => (
            CheckAccessNotGrantedResult::Fail,
            "The policy document grants access to perform one or more of the listed actions or resources.",
        ),
    };
    Ok(permit.answer(types::CheckAccessNotGrantedResponse {
        result: Some(result),
        message: Some(message.to_owned()),
        reasons,
    }))
}

pub(crate) async fn check_no_public_access(
    _: &AccessAnalyzer,
    call: Call<ops::CheckNoPublicAccess>,
) -> Result<Answer<types::CheckNoPublicAccessResponse>, ServiceError> {
    let permit = call.allow(Resolved::any(call.account()?))?;
    let input = &call.input;
    let texts = [input.policy_document.clone()];
    let kinds: &[Kind] = match input.resource_type {
        AccessCheckResourceType::AWSIAMAssumeRolePolicyDocument => &[Kind::Trust],
        _ => &[Kind::Resource],
    };
    let found = apart(move || {
        let ([document], kind) = read(&texts, kinds)?;
        let answer = analyse::check_no_public_access(&document, kind);
        found(&document, answer, |witness| granting(&document, witness))
    })
    .await?;
    let of =
        |reason: &str| format!("Public access granted in the following statement with {reason}.");
    let (passed, reasons) = told(found, of);
    let (result, message) = match passed {
        true => (
            CheckNoPublicAccessResult::Pass,
            "The resource policy does not grant public access for the given resource type.",
        ),
        false => (
            CheckNoPublicAccessResult::Fail,
            "The resource policy grants public access for the given resource type.",
        ),
    };
    Ok(permit.answer(types::CheckNoPublicAccessResponse {
        result: Some(result),
        message: Some(message.to_owned()),
        reasons,
    }))
}

/// What documents of a type may be. Trust policies are resource policies in the API.
fn kinds(of: &AccessCheckPolicyType) -> Result<&'static [Kind], ServiceError> {
    match of {
        AccessCheckPolicyType::IdentityPolicy => Ok(&[Kind::Identity]),
        AccessCheckPolicyType::ResourcePolicy => Ok(&[Kind::Resource, Kind::Trust]),
        _ => Err(errors::invalid("policyType", "The policy type is not known.")),
    }
}

/// Reads documents as the first of the kinds that all of them are.
fn read<const N: usize>(
    texts: &[String; N],
    kinds: &[Kind],
) -> Result<([Document; N], Kind), ServiceError> {
    let of = |kind: Kind| {
        let all = texts.iter().map(|text| parse(text, kind).ok()).collect::<Option<Vec<_>>>()?;
        Some((<[Document; N]>::try_from(all).ok()?, kind))
    };
    let mut kinds = kinds.iter().copied();
    kinds.find_map(of).ok_or_else(|| {
        errors::bad_parameter("A policy document is not valid for the type of the policy.")
    })
}

/// What is to be checked. What is no action or resource is granted by no policy: to say that it passes
/// would mislead.
fn wanted(access: &types::Access) -> Result<Access, ServiceError> {
    let actions = access.actions.clone().unwrap_or_default();
    let resources = access.resources.clone().unwrap_or_default();
    let is_action = |text: &str| {
        let parts = text.split_once(':');
        text == "*"
            || parts.is_some_and(|(vendor, name)| {
                let plain = |part: &str| {
                    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*?".contains(&byte);
                    !part.is_empty() && part.bytes().all(known)
                };
                plain(vendor) && plain(name)
            })
    };
    if actions.is_empty() && resources.is_empty() {
        return Err(errors::bad_parameter("The access to check names no action and no resource."));
    }
    if !actions.iter().all(|action| is_action(action)) {
        return Err(errors::bad_parameter("An action of the access to check is not valid."));
    }
    // "You can only use a wildcard in the portion of the ARN that specifies the resource ID."
    // https://docs.aws.amazon.com/access-analyzer/latest/APIReference/API_Access.html
    let is_resource = |text: &String| {
        let head = |arn: Arn<'_>| {
            let parts = [arn.partition, arn.service, arn.region, arn.account];
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            parts.iter().all(|part| part.bytes().all(plain))
        };
        text == "*" || Arn::parse(text).is_ok_and(head)
    };
    if !resources.iter().all(is_resource) {
        return Err(errors::bad_parameter("A resource of the access to check is not valid."));
    }
    Ok(Access { actions, resources })
}

/// The statements that let a request pass.
fn granting(document: &Document, witness: &Witness) -> Vec<usize> {
    let mut places = analyse::applying(document, &witness.request());
    places.retain(|at| document.statements.get(*at).is_some_and(|s| s.effect == Effect::Allow));
    places
}

/// The answer of the analysis, with the statements of the document that it comes from.
fn found(
    document: &Document,
    answer: analyse::Answer,
    places: impl FnOnce(&Witness) -> Vec<usize>,
) -> Result<Found, ServiceError> {
    match answer {
        analyse::Answer::Proved => Ok(Found::Passed),
        analyse::Answer::Undecided(why) => Err(unknown(&why)),
        analyse::Answer::Counterexample(witness) => {
            let reason = |at: usize| ReasonSummary {
                description: None,
                statement_index: i32::try_from(at).ok(),
                statement_id: document.statements.get(at).and_then(|s| s.sid.clone()),
            };
            Ok(Found::Failed(places(&witness).into_iter().map(reason).collect()))
        }
    }
}

/// Which construct could not be decided, by its place: the document itself is sensitive.
fn unknown(why: &Undecided) -> ServiceError {
    let document = match why.document {
        Side::Only => "the policy",
        Side::Existing => "the existing policy",
        Side::New => "the new policy",
    };
    let place = why.statement.map(|at| format!("statement {at} of ")).unwrap_or_default();
    errors::undecided(format!("The check could not be decided: {place}{document}: {}.", why.why))
}

/// Whether a check passed, and its reasons with their descriptions.
fn told(found: Found, describe: impl Fn(&str) -> String) -> (bool, Option<Vec<ReasonSummary>>) {
    let Found::Failed(mut reasons) = found else { return (true, None) };
    for reason in &mut reasons {
        let place = match (&reason.statement_id, reason.statement_index) {
            (Some(sid), _) if !sid.is_empty() => format!("sid: {sid}"),
            (_, index) => format!("index: {}", index.unwrap_or_default()),
        };
        reason.description = Some(describe(&place));
    }
    (false, Some(reasons))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: &str = r#"{"Version": "2012-10-17", "Statement": [{"Sid": "A", "Effect": "Allow",
        "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}]}"#;

    #[test]
    fn a_trust_policy_is_a_resource_policy() {
        let trust = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Action": "sts:AssumeRole", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}]}"#;
        let kind = |text: &str, of| {
            let kinds = kinds(&of).unwrap();
            read(&[text.to_owned()], kinds).map(|(_, kind)| kind).map_err(|error| error.code)
        };
        assert_eq!(kind(trust, AccessCheckPolicyType::ResourcePolicy), Ok(Kind::Trust));
        assert_eq!(kind(ALLOW, AccessCheckPolicyType::IdentityPolicy), Ok(Kind::Identity));
        let error = kind(ALLOW, AccessCheckPolicyType::ResourcePolicy).unwrap_err();
        assert_eq!(error, "InvalidParameterException");
    }

    #[test]
    fn a_refusal_repeats_nothing_of_a_document() {
        let text = ALLOW.replace("s3:GetObject", "secret").replace("arn:aws:s3:::b/*", "secret");
        let error = read(&[text], &[Kind::Identity]).unwrap_err();
        assert!(!error.message.contains("secret"), "{}", error.message);
        let why = Undecided {
            document: Side::New,
            statement: Some(2),
            construct: "secret".into(),
            why: "it is too long".into(),
        };
        let error = unknown(&why);
        assert_eq!(error.code, "UnprocessableEntityException");
        assert!(error.message.contains("statement 2") && !error.message.contains("secret"));
    }

    #[test]
    fn only_actions_and_resources_are_checked() {
        let check = |actions: &[&str], resources: &[&str]| {
            let texts = |all: &[&str]| Some(all.iter().map(|text| (*text).to_owned()).collect());
            wanted(&types::Access { actions: texts(actions), resources: texts(resources) }).is_ok()
        };
        assert!(check(&["s3:*", "*"], &[]) && check(&[], &["arn:aws:s3:::b/*", "*"]));
        for (actions, resources) in [
            (&[][..], &[][..]),
            (&["s3"][..], &[][..]),
            (&["s3:a:b"][..], &[][..]),
            (&[][..], &["b"][..]),
            (&[][..], &["arn:*:s3:::b"][..]),
        ] {
            assert!(!check(actions, resources), "{actions:?} {resources:?}");
        }
    }
}
