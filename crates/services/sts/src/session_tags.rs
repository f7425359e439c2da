//! Session tags: what a call passes, what a chained call inherits, and what the new session has.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>
//!
//! Counts, lengths and characters are constraints of the model and have been checked before. The
//! wordings are those that LocalStack recorded from AWS in
//! `tests/aws/services/sts/test_sts.snapshot.json`.

use crate::errors::invalid_parameter;
use ringfence_gateway::Session;
use ringfence_model_sts::types::Tag;
use ringfence_wire::ServiceError;
use std::collections::BTreeMap;

/// The tags of a call and of the session that it asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionTags {
    /// What the call passes: `aws:RequestTag/…` and `aws:TagKeys`.
    pub passed: Vec<(String, String)>,
    /// Which of them it sets as transitive: `sts:TransitiveTagKeys`.
    pub passed_transitive: Vec<String>,
    /// What the calling session's transitive tags add.
    pub inherited: BTreeMap<String, String>,
}

impl SessionTags {
    /// Checks what a call passes, on top of what its session hands on.
    ///
    /// # Errors
    /// `InvalidParameterValue` for a reserved key or value, a key given twice in any case, a
    /// transitive key that is not among the tags, and a key that is inherited.
    pub fn new(
        passed: &[Tag],
        transitive: &[String],
        calling: Option<&Session>,
    ) -> Result<Self, ServiceError> {
        let inherited = calling.map(inherited).unwrap_or_default();
        let mut seen = Vec::new();
        for Tag { key, value } in passed {
            if is_reserved(key) || is_reserved(value) {
                return Err(invalid_parameter(
                    "Tag keys and values that begin with aws: are reserved for system use.",
                ));
            }
            let folded = key.to_lowercase();
            if seen.contains(&folded) {
                return Err(invalid_parameter(
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
                ));
            }
            seen.push(folded);
        }
        if transitive.iter().any(|key| !seen.contains(&key.to_lowercase())) {
            return Err(invalid_parameter(
                "The specified transitive tag key must be included in the requested tags.",
            ));
        }
        if inherited.keys().any(|key| seen.contains(&key.to_lowercase())) {
            return Err(invalid_parameter(
                "One of the specified transitive tag keys can't be set because it conflicts with \
                 a transitive tag key from the calling session.",
            ));
        }
        let passed = passed.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
        Ok(Self { passed, passed_transitive: transitive.to_vec(), inherited })
    }

    /// Whether the new session has any: `sts:TagSession` is needed then. Inherited tags need it as
    /// passed ones do, at every step of a chain.
    /// <https://github.com/aws/copilot-cli/issues/5358>
    pub fn is_empty(&self) -> bool {
        self.passed.is_empty() && self.inherited.is_empty()
    }

    /// Every tag of the new session.
    pub fn all(&self) -> BTreeMap<String, String> {
        let mut all = self.inherited.clone();
        all.extend(self.passed.iter().cloned());
        all
    }

    /// The keys that the new session hands on in its turn.
    pub fn transitive(&self) -> Vec<String> {
        let folded: Vec<String> =
            self.passed_transitive.iter().map(|key| key.to_lowercase()).collect();
        let passed = self.passed.iter().map(|(key, _)| key);
        let chosen = passed.filter(|key| folded.contains(&key.to_lowercase()));
        self.inherited.keys().chain(chosen).cloned().collect()
    }
}

/// The tags that a session hands on.
fn inherited(session: &Session) -> BTreeMap<String, String> {
    let keys = session.transitive_tags.iter();
    keys.filter_map(|key| Some((key.clone(), session.tags.get(key)?.clone()))).collect()
}

fn is_reserved(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn tags(pairs: &[(&str, &str)]) -> Vec<Tag> {
        let pairs = pairs.iter();
        pairs.map(|(key, value)| Tag { key: (*key).into(), value: (*value).into() }).collect()
    }

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    fn calling(pairs: &[(&str, &str)], transitive: &[&str]) -> Session {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Session {
            tags: pairs.collect(),
            transitive_tags: keys(transitive),
            ..testing::session(testing::role_session())
        }
    }

    #[test]
    fn tags_that_aws_refuses_are_refused_in_its_words() {
        let session = calling(&[("Star", "1"), ("Moon", "1")], &["Star"]);
        for (passed, transitive, part) in [
            (&[("Team", "a"), ("team", "b")][..], &[][..], "Duplicate tag keys found."),
            (&[("aws:x", "1")], &[], "reserved"),
            (&[("x", "AWS:1")], &[], "reserved"),
            (&[("Team", "a")], &["Project"], "must be included in the requested tags"),
            (&[("Star", "2")], &[], "conflicts with a transitive tag key"),
            (&[("STAR", "1")], &["STAR"], "conflicts with a transitive tag key"),
        ] {
            let error =
                SessionTags::new(&tags(passed), &keys(transitive), Some(&session)).unwrap_err();
            assert_eq!((error.code.as_ref(), error.status), ("InvalidParameterValue", 400));
            assert!(error.message.contains(part), "{}", error.message);
        }
    }

    #[test]
    fn transitive_tags_alone_are_inherited_and_stay_transitive() {
        let session = calling(&[("Star", "1"), ("Moon", "1")], &["Star"]);
        let passed = tags(&[("Moon", "2"), ("Sun", "3")]);
        let got = SessionTags::new(&passed, &keys(&["SUN"]), Some(&session)).unwrap();
        assert_eq!(got.inherited, BTreeMap::from([("Star".into(), "1".into())]));
        let all = got.all();
        let pairs: Vec<_> = all.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("Moon", "2"), ("Star", "1"), ("Sun", "3")]);
        assert_eq!(got.transitive(), ["Star", "Sun"]);
    }

    #[test]
    fn a_chained_call_without_tags_still_has_those_it_inherits() {
        let session = calling(&[("Star", "1")], &["Star"]);
        assert!(!SessionTags::new(&[], &[], Some(&session)).unwrap().is_empty());
        let session = calling(&[("Star", "1")], &[]);
        assert!(SessionTags::new(&[], &[], Some(&session)).unwrap().is_empty());
    }
}
