//! Delivers messages of topics to the endpoints that `--notify` names, as SNS delivers to HTTP and
//! HTTPS subscriptions: a JSON document in a POST, taken when it is answered with success.
//! <https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html>
//!
//! There is no SNS here yet. A message is not signed, for there is no certificate of SNS's to sign it
//! with: an endpoint knows its sender by what only the two know, such as a secret in its URL.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use ringfence_gateway::Notify;
use ringfence_gateway::notify::{Message, NotDelivered};
use ringfence_iam::Iam;
use ringfence_outbound::Ask;
use ringfence_policy::Arn;
use ringfence_wire::Timestamp;
use ringfence_wire::shape::TimestampFormat;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Time for an endpoint to take a message.
const TIME: Duration = Duration::from_secs(5);
/// How often it is looked for what a topic has not heard yet.
const EVERY: Duration = Duration::from_millis(500);
/// How soon that is tried again which an endpoint did not take.
const AGAIN: Duration = Duration::from_secs(10);

/// A topic and its endpoint: `--notify TOPIC=URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub topic: String,
    pub url: String,
}

impl Endpoint {
    pub fn parse(text: &str) -> Result<Self, String> {
        let cut = text.split_once('=');
        // Whoever is on this machine reads its command lines: a URL with a secret lies in a file.
        let read = match cut.and_then(|(topic, rest)| Some((topic, rest.strip_prefix('@')?))) {
            None => None,
            Some((topic, file)) => {
                let url = std::fs::read_to_string(file).map_err(|why| format!("{file}: {why}"))?;
                Some((topic, url.trim().to_owned()))
            }
        };
        let cut = read.as_ref().map(|(topic, url)| (*topic, &**url)).or(cut);
        let cut = cut.filter(|(topic, url)| {
            Arn::parse(topic).is_ok_and(|arn| arn.service == "sns")
                && (url.starts_with("https://") || url.starts_with("http://"))
                && url.parse::<http::Uri>().is_ok()
        });
        match cut {
            Some((topic, url)) => Ok(Self { topic: topic.into(), url: url.into() }),
            None => Err("expected TOPIC=URL, for example \
                         arn:aws:sns:us-east-1:123456789012:topic=https://example.com/hook"
                .into()),
        }
    }
}

/// The endpoints of topics.
#[derive(Debug, Clone, Default)]
pub struct Topics(Arc<BTreeMap<String, String>>);

impl Topics {
    /// These endpoints.
    ///
    /// # Errors
    /// In words, where a topic has two.
    pub fn of(endpoints: &[Endpoint]) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        for Endpoint { topic, url } in endpoints {
            if all.insert(topic.clone(), url.clone()).is_some() {
                return Err(format!("two endpoints for {topic}"));
            }
        }
        Ok(Self(Arc::new(all)))
    }

    /// Lets IAM's messages go to them, for as long as it is there.
    pub fn serve(&self, iam: &Arc<Iam>) -> std::io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        iam.notify_by(Arc::new(self.clone()));
        let iam = Arc::downgrade(iam);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let deliver = async move {
            while let Some(iam) = iam.upgrade() {
                let pause = if iam.deliver_notices().await { EVERY } else { AGAIN };
                drop(iam);
                tokio::time::sleep(pause).await;
            }
        };
        // A thread of its own: an endpoint that takes its time keeps nobody else waiting.
        let named = std::thread::Builder::new().name("notices".into());
        named.spawn(move || runtime.block_on(deliver)).map(drop)
    }
}

impl Notify for Topics {
    fn reaches(&self, topic: &str) -> bool {
        self.0.contains_key(topic)
    }

    fn publish<'a>(
        &'a self,
        message: Message<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotDelivered>> + Send + 'a>> {
        Box::pin(async move {
            let url = self.0.get(message.topic);
            let url = url.ok_or_else(|| NotDelivered("the topic has no endpoint".into()))?;
            let headers = headers(&message).map_err(|why| NotDelivered(why.to_string()))?;
            let asking = Ask::of(url).plain(true).post(headers, envelope(&message).into());
            match tokio::time::timeout(TIME, asking).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(why)) => Err(NotDelivered(why.to_string())),
                Err(_) => Err(NotDelivered("no answer in time".into())),
            }
        })
    }
}

fn headers(
    message: &Message<'_>,
) -> Result<[(HeaderName, HeaderValue); 4], http::header::InvalidHeaderValue> {
    let of = |name| HeaderName::from_static(name);
    Ok([
        (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8")),
        (of("x-amz-sns-message-type"), HeaderValue::from_static("Notification")),
        (of("x-amz-sns-message-id"), HeaderValue::from_str(&message_id(message.id))?),
        (of("x-amz-sns-topic-arn"), HeaderValue::from_str(message.topic)?),
    ])
}

fn envelope(message: &Message<'_>) -> String {
    serde_json::json!({
        "Type": "Notification",
        "MessageId": message_id(message.id),
        "TopicArn": message.topic,
        "Message": message.text,
        "Timestamp": Timestamp::from_seconds(message.at).format(TimestampFormat::DateTime),
    })
    .to_string()
}

/// An id of 32 digits in the shape of a UUID, as SNS's are.
fn message_id(id: &str) -> String {
    match (id.get(..8), id.get(8..12), id.get(12..16), id.get(16..20), id.get(20..32)) {
        (Some(a), Some(b), Some(c), Some(d), Some(e)) => [a, b, c, d, e].join("-"),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_topic_and_a_url() {
        let topic = "arn:aws:sns:us-east-1:123456789012:t";
        let endpoint = Endpoint::parse(&format!("{topic}=https://example.com/a?b=c")).unwrap();
        assert_eq!((&*endpoint.topic, &*endpoint.url), (topic, "https://example.com/a?b=c"));
        assert!(Topics::of(&[endpoint.clone(), endpoint.clone()]).is_err());
        assert!(Topics::of(&[endpoint]).unwrap().reaches(topic));
        for text in [
            "",
            topic,
            &format!("{topic}=example.com"),
            "arn:aws:sqs:us-east-1:123456789012:t=https://example.com",
            "t=https://example.com",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_has_the_shape_of_snss() {
        let id = "00112233445566778899aabbccddeeff";
        let message = Message { topic: "arn:t", id, at: 0, text: "{\"a\":1}" };
        let shown: serde_json::Value = serde_json::from_str(&envelope(&message)).unwrap();
        assert_eq!(shown["MessageId"], "00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(shown["Message"], "{\"a\":1}");
        assert_eq!(headers(&message).unwrap()[3].1, "arn:t");
    }
}
