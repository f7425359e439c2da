//! The input members by which an operation is passed a role.
//!
//! ```text
//!   the reference: its action depends on iam:PassRole ─┐
//!   the model: members that name a role, or an         ├─► the row's `passes`
//!   instance profile that holds one                    │
//!   by hand: what those two get wrong ─────────────────┘
//! ```
//!
//! Neither source is whole: the reference leaves actions out (`ecs:RegisterTaskDefinition`), and the
//! model does not say which of its roles are passed. So where only one of them tells of a role, the
//! generator stops, and someone has to look it up.

use super::authorization;
use crate::sources::Reference;
use anyhow::{Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;

/// Shapes by name.
pub type Shapes<'m> = BTreeMap<&'m str, &'m Value>;

/// Members of operations that differ from what the sources say; none where nothing is passed.
fn exception(folder: &str, operation: &str) -> Option<&'static [&'static str]> {
    Some(match (folder, operation) {
        // The profile is what is changed.
        // https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddRoleToInstanceProfile.html
        ("iam", "AddRoleToInstanceProfile") => &["RoleName"],
        _ => return None,
    })
}

/// Services whose operations name roles as what they are about.
const ABOUT_ROLES: [&str; 2] = ["iam", "sts"];

/// The members of an operation, as paths of names with dots between them.
pub fn members(
    folder: &str,
    prefix: &str,
    operation: &str,
    input: Option<&str>,
    shapes: &Shapes<'_>,
    reference: &Reference,
) -> Result<Vec<String>> {
    if let Some(members) = exception(folder, operation) {
        return Ok(members.iter().map(|member| (*member).to_owned()).collect());
    }
    let mut found = Vec::new();
    if let Some(input) = input {
        Search { shapes, found: &mut found }.shape(input, &mut Vec::new(), &mut Vec::new());
    }
    let actions = authorization::actions(prefix, operation);
    let passes = actions.iter().any(|action| reference.passes_role(action));
    let problem = match (passes, found.is_empty()) {
        (true, true) => "passes a role, and no member of its input names one".to_owned(),
        (false, false) if !ABOUT_ROLES.contains(&folder) && !is_read(&actions, reference) => {
            format!("takes a role in {found:?}, and the reference does not say that it passes it")
        }
        (false, _) => return Ok(Vec::new()),
        (true, false) => return Ok(found),
    };
    if !reference.trial {
        bail!(
            "`{folder}:{operation}` {problem}: say in `exception` of xtask/src/models/passing.rs \
             what is true"
        );
    }
    println!("  {folder}:{operation} {problem}");
    Ok(found)
}

/// Whether an operation only reads, and so passes nothing on.
fn is_read(actions: &[String], reference: &Reference) -> bool {
    let level = actions.first().and_then(|action| reference.access_level(action));
    matches!(level, Some("List" | "Read"))
}

struct Search<'s, 'm> {
    shapes: &'s Shapes<'m>,
    found: &'s mut Vec<String>,
}

impl Search<'_, '_> {
    /// Looks into a shape under a path. `inside` are the shapes around it: one that holds itself is
    /// gone through once.
    fn shape(&mut self, name: &str, path: &mut Vec<String>, inside: &mut Vec<String>) {
        let Some(shape) = self.shapes.get(name).filter(|_| !inside.iter().any(|one| one == name))
        else {
            return;
        };
        inside.push(name.to_owned());
        let of = |key: &str| shape[key]["shape"].as_str();
        match shape["type"].as_str() {
            Some("structure") => {
                let members = shape["members"].as_object().into_iter().flatten();
                for (member, place) in members {
                    let Some(target) = place["shape"].as_str() else { continue };
                    path.push(member.clone());
                    if self.is_text(target) && tells_of_role(place) {
                        self.found.push(path.join("."));
                    } else {
                        self.shape(target, path, inside);
                    }
                    path.pop();
                }
            }
            Some("list") => of("member").into_iter().for_each(|it| self.shape(it, path, inside)),
            Some("map") => of("value").into_iter().for_each(|it| self.shape(it, path, inside)),
            Some("string") if names_role(path, shape) => self.found.push(path.join(".")),
            _ => {}
        }
        inside.pop();
    }

    fn is_text(&self, shape: &str) -> bool {
        self.shapes.get(shape).is_some_and(|shape| shape["type"] == "string")
    }
}

/// Whether a member's documentation says that it is the ARN of a role: some have names such as
/// `DeliverLogsPermissionArn`.
fn tells_of_role(place: &Value) -> bool {
    let text = place["documentation"].as_str().unwrap_or_default();
    text.split("ARN").skip(1).any(|after| {
        let after = after.strip_prefix(')').unwrap_or(after);
        let after = after.strip_prefix(" of ").or_else(|| after.strip_prefix(" for "));
        let after = after.unwrap_or_default().split(['.', ';', ':', '(']).next();
        let words = after.unwrap_or_default().split_whitespace().take(6);
        // "the IAM role", "an Identity and Access Management role".
        matches!(words.clone().next(), Some("the" | "an" | "a"))
            && words.clone().any(|word| matches!(word, "IAM" | "Identity"))
            && words.clone().any(|word| word == "role")
    })
}

/// Whether the text at a path is the ARN or name of a role, or of an instance profile.
fn names_role(path: &[String], shape: &Value) -> bool {
    if shape["pattern"].as_str().is_some_and(|pattern| pattern.contains(":role/")) {
        return true;
    }
    let mut names = path.iter().rev().map(|name| name.to_ascii_lowercase());
    let (last, around) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    let free = shape["enum"].is_null();
    let own = ["role", "roles", "rolearn", "rolearns", "rolename", "rolenames"];
    let profile = ["instanceprofile", "instanceprofilearn", "instanceprofilename"];
    free && (own.iter().chain(&profile).any(|end| last.ends_with(end))
        || (around.ends_with("instanceprofile") && matches!(&*last, "arn" | "name")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(model: &Value) -> Vec<String> {
        let shapes = model.as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v)).collect();
        let mut found = Vec::new();
        Search { shapes: &shapes, found: &mut found }.shape("In", &mut Vec::new(), &mut Vec::new());
        found
    }

    fn model() -> Value {
        json!({
            "In": {"type": "structure", "members": {
                "Arn": {"shape": "RoleArnText"},
                "ExecutionRoleArn": {"shape": "Text"},
                "IamInstanceProfile": {"shape": "Profile"},
                "Kind": {"shape": "RoleKind"},
                "Name": {"shape": "Text"},
                "PermissionArn": {"shape": "Text", "documentation": "<p>The ARN of the IAM role that…</p>"},
                "Rules": {"shape": "Rules"},
                "Self": {"shape": "In"},
                "Targets": {"shape": "ByName"},
                "TargetRoleArns": {"shape": "Texts"},
                "UserRole": {"shape": "RoleKind"}}},
            "ByName": {"type": "map", "key": {"shape": "Text"}, "value": {"shape": "Rule"}},
            "Profile": {"type": "structure", "members": {
                "Arn": {"shape": "Text"}, "Name": {"shape": "Text"}, "Other": {"shape": "Text"}}},
            "RoleArnText": {"type": "string", "pattern": "arn:aws:iam::[0-9]{12}:role/.+"},
            "RoleKind": {"type": "string", "enum": ["ADMIN", "USER"]},
            "Rule": {"type": "structure", "members": {"Role": {"shape": "Text"}}},
            "Rules": {"type": "list", "member": {"shape": "Rule"}},
            "Text": {"type": "string"},
            "Texts": {"type": "list", "member": {"shape": "Text"}}
        })
    }

    #[test]
    fn members_that_name_roles_are_found_however_deep() {
        assert_eq!(
            found(&model()),
            [
                "Arn",
                "ExecutionRoleArn",
                "IamInstanceProfile.Arn",
                "IamInstanceProfile.Name",
                "PermissionArn",
                "Rules.Role",
                "Targets.Role",
                "TargetRoleArns"
            ]
        );
    }

    fn of(operation: &str, reference: &Reference) -> Result<Vec<String>> {
        let model = model();
        let shapes = model.as_object().unwrap().iter().map(|(k, v)| (k.as_str(), v)).collect();
        let input = operation.starts_with("With").then_some("Rule");
        members("made-up", "made-up", operation, input, &shapes, reference)
    }

    #[test]
    fn where_one_source_alone_tells_of_a_role_the_generator_stops() {
        let mut reference = Reference::made_up(
            json!({
                "withrole": {"accessLevel": "Write"},
                "withunsaid": {"accessLevel": "Write"},
                "withread": {"accessLevel": "Read"},
                "bare": {"accessLevel": "Write"},
                "other": {"accessLevel": "Write"}
            }),
            ["made-up:withrole", "made-up:bare"],
        );
        assert_eq!(of("WithRole", &reference).unwrap(), ["Role"]);
        assert!(of("Other", &reference).unwrap().is_empty());
        assert!(of("WithRead", &reference).unwrap().is_empty());
        for stops in ["WithUnsaid", "Bare"] {
            assert!(of(stops, &reference).is_err(), "{stops}");
        }
        // A trial goes on, and guards what it found.
        reference.trial = true;
        assert_eq!(of("WithUnsaid", &reference).unwrap(), ["Role"]);
        assert!(of("Bare", &reference).unwrap().is_empty());
    }
}
