//! Events of what services do of their own accord: a key's end, a rotation by the calendar.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/non-api-aws-service-events.html>

use crate::audit::Audit;
use crate::clock::Second;
use crate::event::{Object, VERSION, name};
use crate::gateway::World;
use ringfence_policy::AccountId;
use ringfence_wire::service::Service;
use std::sync::Arc;

/// What a service did.
#[derive(Debug)]
pub struct ServiceEvent {
    pub service: &'static Service,
    /// As CloudTrail names it: `RotateKey`.
    pub name: &'static str,
    /// Whose resource it is, and where.
    pub account: AccountId,
    pub region: String,
    /// The KMS key's ARN.
    pub key: String,
    /// Further fields of `serviceEventDetails`, beside the key's id.
    pub details: Vec<(&'static str, String)>,
}

/// Writes such events.
#[derive(Clone)]
pub struct Recorder {
    pub(crate) world: Arc<World>,
    pub(crate) audit: Arc<Audit>,
}

impl Recorder {
    /// Records what was done; returns when it is durable. Where it cannot be, the log says so: what was
    /// done stands, as of a call that ends with its server.
    pub async fn record(&self, event: ServiceEvent) {
        let (name, key) = (event.name, event.key.clone());
        let written = async {
            let place = self.audit.reserve().ok()?;
            let [_, id] = self.world.draw_ids().ok()?;
            let at = Second::of(self.world.shared.clock.now().seconds).date_time;
            let line = event.line(&at, &id);
            self.world.shared.trail.keep(&line);
            place.record(&line, true).await.ok()
        };
        if written.await.is_none() {
            tracing::error!(name, key, "a service's event is not recorded");
        }
    }
}

impl ServiceEvent {
    fn line(&self, at: &str, id: &str) -> String {
        // https://docs.aws.amazon.com/kms/latest/developerguide/ct-delete-key.html
        const BY: &str = "AWS Internal";
        let account = self.account.to_string();
        let mut out = String::with_capacity(1024);
        let mut event = Object::open(&mut out);
        event.text(name!("eventVersion"), VERSION);
        event.object(name!("userIdentity"), |who| {
            who.text(name!("accountId"), &account);
            who.text(name!("invokedBy"), BY);
        });
        event.text(name!("eventTime"), at);
        event
            .text(name!("eventSource"), &format!("{}.amazonaws.com", self.service.endpoint_prefix));
        event.text(name!("eventName"), self.name);
        event.text(name!("awsRegion"), &self.region);
        event.text(name!("sourceIPAddress"), BY);
        event.text(name!("userAgent"), BY);
        event.json(name!("requestParameters"), "null");
        event.json(name!("responseElements"), "null");
        event.text(name!("eventID"), id);
        event.flag(name!("readOnly"), false);
        event.objects(name!("resources"), [&self.key], |entry, key| {
            entry.text(name!("accountId"), &account);
            entry.text(name!("type"), "AWS::KMS::Key");
            entry.text(name!("ARN"), key);
        });
        event.text(name!("eventType"), "AwsServiceEvent");
        event.flag(name!("managementEvent"), true);
        event.text(name!("recipientAccountId"), &account);
        event.object(name!("serviceEventDetails"), |details| {
            let (_, id) = self.key.rsplit_once('/').unwrap_or_default();
            details.text(name!("keyId"), id);
            self.details.iter().for_each(|(name, value)| details.chosen_text(name, value));
        });
        event.text(name!("eventCategory"), "Management");
        event.close();
        out
    }
}
