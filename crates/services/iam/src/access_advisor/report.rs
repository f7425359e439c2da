//! A report: what may be used, and what was tried of it.

use super::granted::{Granted, Work};
use super::tracked::is_tracked;
use ringfence_gateway::Trail;
use ringfence_gateway::trail::{Recorded, Window};
use ringfence_model_iam::types::PolicyOwnerEntityType;
use ringfence_policy::reference::{self, Service};
use ringfence_policy::{AccountId, Document};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

/// How long attempts count, in seconds: 400 days.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_last-accessed.html>
const TRACKED_FOR: i64 = 400 * 24 * 60 * 60;

/// One who can use the permissions that a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Principal {
    pub arn: Arc<str>,
    pub name: Arc<str>,
    #[serde(with = "kind")]
    pub kind: PolicyOwnerEntityType,
    /// The unique id.
    pub id: Arc<str>,
    pub path: Arc<str>,
}

/// A kind of principal, as the wire has it.
mod kind {
    use super::*;

    pub fn serialize<S: Serializer>(
        kind: &PolicyOwnerEntityType,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(kind.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<PolicyOwnerEntityType, D::Error> {
        Ok(PolicyOwnerEntityType::from(&*String::deserialize(from)?))
    }
}

/// What a report is made of.
pub(crate) struct Plan {
    pub account: AccountId,
    pub documents: Vec<Arc<Document>>,
    pub principals: Vec<Principal>,
    /// Actions are told of, too.
    pub actions: bool,
    /// When the report was asked for, in seconds.
    pub now: i64,
}

/// A report.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub principals: Vec<Principal>,
    /// By namespace.
    pub services: BTreeMap<Cow<'static, str>, ServiceUse>,
}

/// A service that may be used.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ServiceUse {
    pub name: Cow<'static, str>,
    /// The last attempt of each who tried, by place in the report's principals.
    pub attempts: HashMap<usize, Attempt>,
    /// The tracked actions that may be used, with the last attempt.
    pub actions: Vec<(Cow<'static, str>, Last)>,
}

/// Who tried last, by place in the report's principals, and when.
type Last = Option<(usize, Attempt)>;

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub at: i64,
    pub region: Arc<str>,
}

impl ServiceUse {
    /// Who tried last, and when.
    pub fn last(&self) -> Option<(usize, &Attempt)> {
        let attempts = self.attempts.iter().map(|(principal, attempt)| (*principal, attempt));
        // Of two in one second the first listed.
        attempts.max_by_key(|(principal, attempt)| (attempt.at, std::cmp::Reverse(*principal)))
    }
}

impl Report {
    /// Makes it. Reads what was recorded: it takes long.
    ///
    /// # Errors
    /// When what was recorded cannot be read.
    pub fn make(plan: Plan, trail: &Trail) -> io::Result<Self> {
        let work = Work::of_report();
        let granted = Granted::of(plan.documents.iter().map(|document| &**document), &work);
        let services = reference::services().filter_map(|service| {
            let used = allowed(&granted, service, plan.actions)?;
            Some((Cow::Borrowed(service.prefix), used))
        });
        let services: BTreeMap<_, _> = services.collect();
        let mut report = Self { principals: plan.principals, services };
        if report.services.is_empty() || report.principals.is_empty() {
            return Ok(report);
        }
        let by_id = report.principals.iter().enumerate();
        let by_id: HashMap<Arc<str>, usize> = by_id.map(|(at, one)| (one.id.clone(), at)).collect();
        let ids: HashSet<&str> = by_id.keys().map(|id| &**id).collect();
        let from = plan.now.saturating_sub(TRACKED_FOR);
        let window = Window { account: plan.account, from, until: plan.now.saturating_add(1) };
        let unread = trail.read_of(&ids, window, |event| {
            if let Some(principal) = by_id.get(event.user_identity.unique_id()) {
                report.note(*principal, event);
            }
            ControlFlow::Continue(())
        })?;
        if unread.lines > 0 {
            tracing::warn!(lines = unread.lines, "lines of the audit log are no events");
        }
        Ok(report)
    }

    fn note(&mut self, principal: usize, event: &Recorded<'_>) {
        let source = event.event_source.split('.').next().unwrap_or_default();
        let Some(used) = self.services.get_mut(source) else { return };
        // Regions are few: those of one service's attempts are kept once.
        let attempts = &mut used.attempts;
        let region = attempts.get(&principal).map(|attempt| &attempt.region);
        let region = region.filter(|region| ***region == *event.aws_region);
        let region = region.cloned().unwrap_or_else(|| Arc::from(&*event.aws_region));
        let attempt = Attempt { at: event.event_time, region };
        let action = used.actions.iter_mut().find(|(name, _)| *name == event.event_name);
        if let Some((_, last)) = action
            && last.as_ref().is_none_or(|(_, last)| last.at <= attempt.at)
        {
            *last = Some((principal, attempt.clone()));
        }
        let last = attempts.entry(principal).or_insert_with(|| attempt.clone());
        if last.at <= attempt.at {
            *last = attempt;
        }
    }

    /// About how much memory it takes, in entries.
    pub fn weight(&self) -> usize {
        let services = self.services.values();
        self.principals.len()
            + services.map(|one| 1 + one.actions.len() + one.attempts.len()).sum::<usize>()
    }
}

/// A service, where something of it may be used.
fn allowed(granted: &Granted<'_>, service: &'static Service, actions: bool) -> Option<ServiceUse> {
    let within = granted.within(service);
    if within.is_empty() {
        return None;
    }
    let mut allowed = service.actions().filter(|action| within.allows(action)).peekable();
    allowed.peek()?;
    let mut used =
        ServiceUse { name: service.name.into(), attempts: HashMap::new(), actions: Vec::new() };
    if actions {
        used.actions =
            allowed.filter(|one| is_tracked(one)).map(|one| (one.name.into(), None)).collect();
    }
    Some(used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ID, OTHER, allowing};

    const NOW: i64 = 1_790_000_000;

    fn principal(id: &str, kind: PolicyOwnerEntityType) -> Principal {
        let (name, path): (Arc<str>, Arc<str>) = (id.into(), "/".into());
        Principal { arn: format!("arn:{id}").into(), name, kind, id: id.into(), path }
    }

    fn plan(actions: &[&str], principals: &[&str]) -> Plan {
        let documents = actions.iter().map(|one| allowing(one).document().clone());
        Plan {
            account: ID,
            documents: documents.collect(),
            principals: principals
                .iter()
                .map(|id| principal(id, PolicyOwnerEntityType::User))
                .collect(),
            actions: true,
            now: NOW,
        }
    }

    struct Call<'c> {
        who: &'c str,
        what: (&'c str, &'c str),
        at: i64,
        region: &'c str,
        account: AccountId,
    }

    const CALL: Call<'_> =
        Call { who: "AIDA1", what: ("iam", "GetUser"), at: NOW, region: "us-east-1", account: ID };

    fn line(call: &Call<'_>) -> String {
        use ringfence_wire::Timestamp;
        use ringfence_wire::shape::TimestampFormat;
        serde_json::json!({
            "userIdentity": {"type": "IAMUser", "principalId": call.who, "arn": "arn"},
            "eventTime": Timestamp::from_seconds(call.at).format(TimestampFormat::DateTime),
            "eventSource": format!("{}.amazonaws.com", call.what.0), "eventName": call.what.1,
            "awsRegion": call.region, "sourceIPAddress": "127.0.0.1", "userAgent": "a",
            "errorCode": "AccessDenied", "requestParameters": null, "eventID": "e",
            "readOnly": true, "recipientAccountId": call.account.to_string(),
        })
        .to_string()
    }

    fn made(plan: Plan, calls: &[Call<'_>]) -> Report {
        let dir = tempfile::tempdir().unwrap();
        let lines: String = calls.iter().map(|call| line(call) + "\n").collect();
        std::fs::write(dir.path().join("000001-20200101T000000Z.jsonl"), lines).unwrap();
        Report::make(plan, &Trail::in_directory(dir.path())).unwrap()
    }

    #[test]
    fn services_are_those_that_policies_allow_and_attempts_those_of_the_principals() {
        let report = made(
            plan(&["iam:GetUser", "iam:PassRole", "sts:*"], &["AIDA1", "AIDA2"]),
            &[
                Call { at: NOW - 9, ..CALL },
                Call { who: "AIDA2", region: "eu-west-1", at: NOW - 5, ..CALL },
                Call { at: NOW - 7, what: ("iam", "ListUsers"), ..CALL },
                Call { who: "AIDA3", ..CALL },
                Call { account: OTHER, ..CALL },
                Call { what: ("kms", "ListKeys"), ..CALL },
                Call { at: NOW + 5, ..CALL },
                Call { at: NOW - TRACKED_FOR - 1, what: ("sts", "AssumeRole"), ..CALL },
            ],
        );
        assert_eq!(report.services.keys().collect::<Vec<_>>(), ["iam", "sts"]);
        let iam = &report.services["iam"];
        assert_eq!(iam.name, "AWS Identity and Access Management (IAM)");
        let region = |region: &str| Arc::<str>::from(region);
        let last = Attempt { at: NOW - 5, region: region("eu-west-1") };
        assert_eq!(iam.last(), Some((1, &last)));
        assert_eq!(iam.attempts[&0], Attempt { at: NOW - 7, region: region("us-east-1") });
        assert_eq!(iam.actions, [("GetUser".into(), Some((1, last)))]);
        let sts = &report.services["sts"];
        assert!(sts.attempts.is_empty() && sts.last().is_none());
        let tracked: Vec<&str> = sts.actions.iter().map(|(name, _)| &**name).collect();
        assert!(tracked.contains(&"AssumeRole") && !tracked.contains(&"TagSession"));
        assert!(sts.actions.iter().all(|(_, attempt)| attempt.is_none()));
    }

    #[test]
    fn the_first_second_of_the_window_counts() {
        let first = NOW - TRACKED_FOR;
        let calls = [Call { at: first, ..CALL }];
        let report = made(plan(&["iam:GetUser"], &["AIDA1"]), &calls);
        assert_eq!(report.services["iam"].attempts[&0].at, first);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_what_need_not_be_is_not_read() {
        let gone = Trail::in_directory(std::path::Path::new("/nonexistent/audit"));
        assert!(Report::make(plan(&["iam:GetUser"], &["AIDA1"]), &gone).is_err());
        for nothing in [plan(&[], &["AIDA1"]), plan(&["iam:GetUser"], &[])] {
            assert!(Report::make(nothing, &gone).is_ok());
        }
    }

    #[test]
    fn all_that_all_policies_allow_is_found_soon() {
        let begun = std::time::Instant::now();
        let report = made(plan(&["*"], &["AIDA1"]), &[CALL]);
        assert_eq!(report.services.len(), reference::services().count());
        assert!(begun.elapsed() < std::time::Duration::from_secs(20));
    }
}
