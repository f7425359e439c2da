//! The packed size of session policies and session tags: how much of a session token's room they
//! take. Both count against one budget, and inherited tags count with the passed ones.
//!
//! AWS does not publish the packing. What people measured on AWS fits this model, which is ours:
//! a tag costs its key and value and two bytes for each; a policy costs a byte for each word of the
//! policy language, object and list, and every other text itself and two bytes; a managed policy its
//! path and name and two bytes; the room is [`ROOM`] bytes. It gives 498% for nine tags of 252 bytes,
//! as AWS did (<https://github.com/aws-actions/configure-aws-credentials/issues/1898>), and tags add up without
//! compressing each other
//! (<https://github.com/aws/containers-roadmap/issues/2413>).

use ringfence_model_sts::types::PackedPolicyTooLargeException;
use ringfence_policy::document::Operator;
use ringfence_wire::ServiceError;
use serde_json::Value;

/// Bytes of packed policies and tags that a session has room for.
pub const ROOM: usize = 462;

/// What stands before a text: its kind and its length.
const HEADER: usize = 2;

/// The words of the policy language that pack to one byte.
const WORDS: &[&str] = &[
    "Version",
    "2008-10-17",
    "2012-10-17",
    "Id",
    "Statement",
    "Sid",
    "Effect",
    "Allow",
    "Deny",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
    "*",
    "true",
    "false",
];

/// Bytes of policies and of tags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PackedSize {
    policies: usize,
    tags: usize,
}

impl PackedSize {
    /// Measures.
    pub fn of<'t>(
        inline: Option<&str>,
        managed: &[String],
        tags: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Self {
        let inline = inline.map_or(0, |text| match serde_json::from_str(text) {
            Ok(value) => of_json(&value),
            Err(_) => text.len(),
        });
        // What stands before a policy's path and name is one of two: AWS's, or the account's.
        let path_and_name = |arn: &String| arn.split_once("/").map_or(arn.len(), |(_, p)| p.len());
        let managed: usize = managed.iter().map(|arn| path_and_name(arn) + HEADER).sum();
        let tags = tags.into_iter().map(|(key, value)| key.len() + value.len() + 2 * HEADER).sum();
        Self { policies: inline + managed, tags }
    }

    /// The share of the room in whole percent.
    ///
    /// # Errors
    /// `PackedPolicyTooLarge` past 100.
    pub fn percent(self) -> Result<i32, ServiceError> {
        let percent = (self.policies + self.tags) * 100 / ROOM;
        if percent <= 100 {
            return Ok(percent as i32);
        }
        // https://repost.aws/knowledge-center/iam-role-aws-sts-error
        Err(PackedPolicyTooLargeException::error(if self.policies == 0 {
            format!("Packed size of session tags consumes {percent}% of allotted space.")
        } else {
            format!(
                "Packed policy consumes {percent}% of allotted space, please use smaller policy."
            )
        }))
    }
}

fn of_json(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => number.to_string().len() + HEADER,
        Value::String(text) => of_text(text),
        Value::Array(values) => 1 + values.iter().map(of_json).sum::<usize>(),
        Value::Object(members) => {
            1 + members.iter().map(|(key, value)| of_text(key) + of_json(value)).sum::<usize>()
        }
    }
}

fn of_text(text: &str) -> usize {
    if WORDS.contains(&text) || Operator::parse(text).is_some() { 1 } else { text.len() + HEADER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_take_the_room_that_was_measured_on_aws() {
        let value = "a".repeat(250);
        let keys: Vec<String> = (1..=9).map(|i| format!("T{i}")).collect();
        let tags = keys.iter().map(|key| (key.as_str(), value.as_str()));
        let error = PackedSize::of(None, &[], tags).percent().unwrap_err();
        assert_eq!(error.code, "PackedPolicyTooLarge");
        assert_eq!(error.status, 400);
        assert_eq!(error.message, "Packed size of session tags consumes 498% of allotted space.");
    }

    #[test]
    fn words_of_the_language_weigh_less_than_names_in_it() {
        let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Action": "s3:GetObject", "Resource": "*",
            "Condition": {"StringLikeIfExists": {"s3:prefix": ["a/*"]}}}]}"#;
        // Ten words, four objects and two lists; then twelve, nine and three letters with two
        // bytes each.
        let expected = 10 + 4 + 2 + (12 + 2) + (9 + 2) + (3 + 2);
        let size = PackedSize::of(Some(policy), &[], []);
        assert_eq!(size, PackedSize { policies: expected, tags: 0 });
        assert_eq!(size.percent().unwrap(), 9);
    }

    #[test]
    fn policies_and_tags_share_the_room() {
        let arn = "x".repeat(300);
        let tag = "y".repeat(200);
        let managed = [arn];
        let fits = PackedSize::of(None, &managed, []);
        assert_eq!(fits.percent().unwrap(), 65);
        let error = PackedSize::of(None, &managed, [("k", tag.as_str())]).percent().unwrap_err();
        let words = "Packed policy consumes 109% of allotted space, please use smaller policy.";
        assert_eq!(error.message, words);
        assert_eq!(PackedSize::default().percent().unwrap(), 0);
    }
}
