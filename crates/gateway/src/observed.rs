//! What an event says that was asked of the policies, for policies that are generated from calls.

use crate::trail::Recorded;
use ringfence_policy::generate::{Keys, Observation};

/// The principal whose calls are meant: by the ARN of a user or role, of a session of it, or of an
/// account's root user.
pub fn is_by(event: &Recorded<'_>, principal_arn: &str) -> bool {
    let identity = &event.user_identity;
    identity.principal_arn() == principal_arn || identity.arn == principal_arn
}

/// The questions of an event with the global keys that its call had. A call of which any was denied was
/// denied whole: what else it asked for led to nothing.
pub fn observations(event: &Recorded<'_>) -> Vec<Observation> {
    let decisions = &event.additional_event_data.decisions;
    let allowed = decisions.iter().all(|decided| decided.is_allowed());
    let all = decisions.iter().map(|decided| Observation {
        action: decided.action.clone(),
        resource: decided.resource.clone(),
        keys: global_keys(event, decided.keys.clone()),
        allowed,
    });
    all.collect()
}

fn global_keys(event: &Recorded<'_>, mut keys: Keys) -> Keys {
    let mut set = |key: &str, value: &str| {
        keys.insert(key.to_owned(), vec![value.to_owned()]);
    };
    set("aws:RequestedRegion", &event.aws_region);
    set("aws:SourceIp", &event.source_ip_address);
    set("aws:SecureTransport", if event.tls_details.is_some() { "true" } else { "false" });
    if event.user_identity.session_context.is_some() {
        let mfa = event.user_identity.mfa_authenticated();
        set("aws:MultiFactorAuthPresent", if mfa { "true" } else { "false" });
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(second: &str, context: bool) -> String {
        let mut event = serde_json::json!({
            "userIdentity": {"type": "AssumedRole", "principalId": "AROA:s", "arn": "session"},
            "eventTime": "2026-01-02T03:04:05Z", "eventSource": "iam.amazonaws.com",
            "eventName": "CreateUser", "awsRegion": "us-east-1", "sourceIPAddress": "127.0.0.1",
            "userAgent": "", "requestParameters": null, "eventID": "1", "readOnly": false,
            "additionalEventData": {"decisions": [
                {"action": "iam:CreateUser", "resource": "r", "decision": "allowed",
                 "keys": {"iam:PermissionsBoundary": ["p"]}},
                {"action": "iam:TagUser", "resource": "r", "decision": second}]},
            "recipientAccountId": "000000000007", "tlsDetails": {"tlsVersion": "TLSv1.3"},
        });
        if context {
            event["userIdentity"]["sessionContext"] = serde_json::json!({
                "sessionIssuer": {"principalId": "AROA", "arn": "role"},
                "attributes": {"mfaAuthenticated": "true", "creationDate": ""}});
        }
        event.to_string()
    }

    #[test]
    fn a_call_of_which_a_part_was_denied_was_denied_whole() {
        for (second, allowed) in [("allowed", true), ("implicitDeny", false)] {
            let text = event(second, true);
            let event: Recorded<'_> = serde_json::from_str(&text).unwrap();
            let all = observations(&event);
            assert_eq!(all.iter().map(|one| one.allowed).collect::<Vec<_>>(), [allowed; 2]);
            assert!(is_by(&event, "role") && is_by(&event, "session") && !is_by(&event, "AROA"));
        }
    }

    #[test]
    fn an_observation_has_its_own_keys_and_the_calls() {
        let keys = |context| {
            let text = event("allowed", context);
            observations(&serde_json::from_str(&text).unwrap())[0].keys.clone()
        };
        let session = keys(true);
        assert_eq!(session["iam:PermissionsBoundary"], ["p"]);
        assert_eq!(session["aws:SecureTransport"], ["true"]);
        assert_eq!(session["aws:MultiFactorAuthPresent"], ["true"]);
        // Long-term keys have no such key.
        assert!(!keys(false).contains_key("aws:MultiFactorAuthPresent"));
    }
}
