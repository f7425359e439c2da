//! The permissions of a delegation request: a template with parameters in its places.
//!
//! AWS keeps templates that partners registered with it, outside of any API. Here a template is a
//! managed policy, of the requestor's own account or of AWS's: `@{NAME}` in it stands for the
//! parameter of that name. What comes of it is kept in the request, so that what was accepted stays
//! what it was.

use super::records::Parameter;
use crate::Iam;
use crate::arn::{PolicyArn, PolicyOwner};
use crate::aws_managed;
use crate::documents::IdentityPolicy;
use crate::entity::Entity as _;
use crate::errors::invalid_input;
use crate::quotas::size;
use crate::records::Policy;
use crate::state::Account;
use ringfence_model_iam::types::{PolicyParameter, PolicyParameterTypeEnum};
use ringfence_policy::document::{Comparison, Effect, Matching};
use ringfence_policy::{AccountId, Document};
use ringfence_wire::ServiceError;
use serde_json::Value;
use std::collections::BTreeSet;

/// Reads the parameters that a call passes.
///
/// # Errors
/// `InvalidInput` for one without a name, two of one name, and a string that is not one value.
pub(crate) fn parameters(given: &[PolicyParameter]) -> Result<Vec<Parameter>, ServiceError> {
    let mut names = BTreeSet::new();
    given
        .iter()
        .map(|one| {
            let Some(name) = one.name.as_deref().filter(|name| !name.contains('}')) else {
                return Err(invalid_input("A policy parameter must have a name."));
            };
            if !names.insert(name) {
                return Err(invalid_input(format!("The policy parameter {name} is given twice.")));
            }
            let values = one.values.clone().unwrap_or_default();
            let list = match &one.r#type {
                None | Some(PolicyParameterTypeEnum::String) => false,
                Some(PolicyParameterTypeEnum::StringList) => true,
                Some(_) => return Err(invalid_input("There is no such type of policy parameter.")),
            };
            if values.is_empty() || (!list && values.len() != 1) {
                return Err(invalid_input(format!(
                    "The policy parameter {name} does not have as many values as its type takes."
                )));
            }
            Ok(Parameter { name: name.to_owned(), values, list })
        })
        .collect()
}

impl Iam {
    /// The policy that is a template for an account.
    ///
    /// # Errors
    /// `InvalidInput` where there is none.
    pub(crate) fn template(
        &self,
        own: AccountId,
        account: &Account,
        arn: &str,
    ) -> Result<IdentityPolicy, ServiceError> {
        let unknown = || invalid_input(format!("Policy template {arn} was not found."));
        if let Some(policy) = aws_managed::find(arn) {
            return Ok(policy.policy().clone());
        }
        let cut = PolicyArn::parse(arn).map_err(|_| unknown())?;
        Policy::find(account, cut.name)
            .filter(|policy| {
                cut.owner == PolicyOwner::Account(own) && policy.is_at(cut.path, cut.name)
            })
            .and_then(|policy| policy.default_version())
            .map(|version| version.policy.clone())
            .ok_or_else(unknown)
    }
}

/// Puts the parameters in their places. `most` is how many characters the policy may have.
///
/// # Errors
/// `InvalidInput` for a place without a parameter, a parameter without a place, a policy that is too
/// long, and one that is none any more.
pub(crate) fn filled(
    template: &str,
    parameters: &[Parameter],
    most: usize,
) -> Result<IdentityPolicy, ServiceError> {
    let mut value: Value = serde_json::from_str(template)
        .map_err(|_| invalid_input("The policy template is not valid JSON."))?;
    // Parts of a text that come one after the other are counted again: eight times is room for that.
    let left = most.saturating_mul(8);
    let mut filling = Filling { parameters, used: BTreeSet::new(), most, left };
    filling.fill(&mut value)?;
    if let Some(idle) = parameters.iter().find(|one| !filling.used.contains(one.name.as_str())) {
        return Err(invalid_input(format!("The policy template has no parameter {}.", idle.name)));
    }
    let text = value.to_string();
    if size(&text) > most {
        return Err(too_long(most));
    }
    IdentityPolicy::parse_managed(&text).map_err(|why| {
        invalid_input(format!("The permission policy is not valid: {}", why.message))
    })
}

fn too_long(most: usize) -> ServiceError {
    invalid_input(format!("The permission policy is longer than {most} characters."))
}

struct Filling<'a> {
    parameters: &'a [Parameter],
    used: BTreeSet<&'a str>,
    /// Characters that the policy may have.
    most: usize,
    /// Bytes of texts that may still be made.
    left: usize,
}

impl<'a> Filling<'a> {
    fn fill(&mut self, value: &mut Value) -> Result<(), ServiceError> {
        match value {
            Value::String(text) => {
                let mut texts = self.texts(text)?;
                *value = match texts.pop() {
                    Some(one) if texts.is_empty() => Value::String(one),
                    last => texts.into_iter().chain(last).map(Value::String).collect(),
                };
            }
            Value::Array(items) => {
                let mut filled = Vec::with_capacity(items.len());
                for mut item in std::mem::take(items) {
                    let text = item.is_string();
                    self.fill(&mut item)?;
                    match item {
                        Value::Array(several) if text => filled.extend(several),
                        one => filled.push(one),
                    }
                }
                *items = filled;
            }
            Value::Object(members) => {
                for (key, member) in members.iter_mut() {
                    if key.contains("@{") {
                        return Err(invalid_input("A policy parameter cannot stand in a key."));
                    }
                    self.fill(member)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }

    /// A text with every parameter in its place: several where a list is among them.
    fn texts(&mut self, text: &str) -> Result<Vec<String>, ServiceError> {
        let mut texts = vec![String::new()];
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("@{") {
            let Some((name, after)) = after.split_once('}') else { break };
            let Some(parameter) = self.parameters.iter().find(|one| one.name == name) else {
                return Err(invalid_input(format!("The policy parameter {name} is missing.")));
            };
            self.used.insert(&parameter.name);
            let mut next = Vec::new();
            for text in &texts {
                for value in &parameter.values {
                    self.spend(text.len() + before.len() + value.len())?;
                    next.push([text, before, value].concat());
                }
            }
            (texts, rest) = (next, after);
        }
        for text in &mut texts {
            self.spend(rest.len())?;
            text.push_str(rest);
        }
        Ok(texts)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), ServiceError> {
        // A text without bytes counts too, for it takes room as well.
        let left = self.left.checked_sub(bytes.max(1));
        self.left = left.ok_or_else(|| too_long(self.most))?;
        Ok(())
    }
}

/// The permissions boundaries that roles must have which the policy lets be made.
pub(crate) fn boundaries(policy: &Document) -> Vec<String> {
    let makes_roles = |pattern: &String| {
        ringfence_policy::is_like(&pattern.to_ascii_lowercase(), "iam:createrole")
    };
    let mut found = Vec::new();
    for statement in policy.statements.iter().filter(|one| one.effect == Effect::Allow) {
        let makes = match &statement.action {
            Matching::These(patterns) => patterns.iter().any(makes_roles),
            Matching::AllBut(patterns) => !patterns.iter().any(makes_roles),
        };
        for condition in statement.conditions.iter().filter(|_| makes) {
            let equals = matches!(
                condition.operator.comparison,
                Comparison::StringEquals
                    | Comparison::StringLike
                    | Comparison::ArnEquals
                    | Comparison::ArnLike
            );
            if equals && condition.key.eq_ignore_ascii_case("iam:PermissionsBoundary") {
                let new = condition.values.iter().filter(|value| !found.contains(*value));
                let new: Vec<String> = new.cloned().collect();
                found.extend(new);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, values: &[&str], list: bool) -> Parameter {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Parameter { name: name.into(), values, list }
    }

    fn template(resource: &str) -> String {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"s3:GetObject","Resource":{resource}}}]}}"#
        )
    }

    #[test]
    fn parameters_are_put_in_their_places() {
        let bucket = one("Bucket", &["b\",\"x"], false);
        let names = one("Names", &["a", "b"], true);
        for (resource, parameters, expected) in [
            (r#""*""#, vec![], r#""*""#),
            // A value is a text, whatever it holds.
            (r#""arn:aws:s3:::@{Bucket}/*""#, vec![bucket], r#""arn:aws:s3:::b\",\"x/*""#),
            (
                r#"["arn:aws:s3:::@{Names}/*","arn:aws:s3:::c"]"#,
                vec![names.clone()],
                r#"["arn:aws:s3:::a/*","arn:aws:s3:::b/*","arn:aws:s3:::c"]"#,
            ),
            (
                r#""arn:aws:s3:::@{Names}/@{Names}""#,
                vec![names],
                r#"["arn:aws:s3:::a/a","arn:aws:s3:::a/b","arn:aws:s3:::b/a","arn:aws:s3:::b/b"]"#,
            ),
        ] {
            let policy = filled(&template(resource), &parameters, 6144).unwrap();
            assert_eq!(policy.text(), template(expected));
        }
    }

    #[test]
    fn what_does_not_fit_the_template_is_refused() {
        let long = "x".repeat(7000);
        let many: Vec<&str> = vec!["y"; 90];
        for (resource, parameters, part) in [
            (r#""@{Bucket}""#, vec![], "parameter Bucket is missing"),
            (r#""*""#, vec![one("Bucket", &["b"], false)], "has no parameter Bucket"),
            (r#""@{Bucket}""#, vec![one("Bucket", &[&long], false)], "longer than 6144"),
            (
                r#""@{Names}@{Names}@{Names}@{Names}@{Names}@{Names}""#,
                vec![one("Names", &many, true)],
                "longer than",
            ),
            (r#""@{Bucket}""#, vec![one("Bucket", &["no arn"], false)], "is not valid"),
        ] {
            let refused = filled(&template(resource), &parameters, 6144).unwrap_err();
            assert_eq!(refused.code, "InvalidInput");
            assert!(refused.message.contains(part), "{}", refused.message);
        }
    }

    #[test]
    fn parameters_have_a_name_of_their_own_and_the_values_of_their_type() {
        let given = |name: Option<&str>, values: &[&str], kind| PolicyParameter {
            name: name.map(str::to_owned),
            values: Some(values.iter().map(|value| (*value).to_owned()).collect()),
            r#type: kind,
        };
        let list = || Some(PolicyParameterTypeEnum::StringList);
        assert_eq!(
            parameters(&[given(Some("Names"), &["a", "b"], list())]).unwrap(),
            [one("Names", &["a", "b"], true)]
        );
        for bad in [
            vec![given(None, &["a"], None)],
            vec![given(Some("Names"), &["a", "b"], None)],
            vec![given(Some("Names"), &[], list())],
            vec![given(Some("Names"), &["a"], None), given(Some("Names"), &["b"], None)],
        ] {
            assert_eq!(parameters(&bad).unwrap_err().code, "InvalidInput");
        }
    }

    #[test]
    fn the_boundaries_of_roles_are_told_where_roles_may_be_made() {
        let arn = "arn:aws:iam::123456789012:policy/b";
        for (action, found) in
            [("iam:CreateRole", true), ("iam:Create*", true), ("*", true), ("iam:GetRole", false)]
        {
            let text = format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"*","Condition":{{"StringEquals":{{"iam:PermissionsBoundary":"{arn}"}}}}}}]}}"#
            );
            let policy = IdentityPolicy::parse_managed(&text).unwrap();
            let expected: Vec<&str> = found.then_some(arn).into_iter().collect();
            assert_eq!(boundaries(policy.document()), expected, "{action}");
        }
    }
}
