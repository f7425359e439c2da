//! From JSON to a [`Document`], with AWS's words for what is wrong.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>
//!
//! AWS publishes no list of its messages; those here are the ones that it is known to answer.

use crate::AccountId;
use crate::document::{
    Condition, Document, Effect, Matching, Operator, PrincipalPattern, Statement, Version,
};
use crate::tree::Node;

/// Where a document is to be used: the rules differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Attached to a user, group or role, or a boundary or session policy: no `Principal`.
    Identity,
    /// Attached to a resource: a `Principal`.
    Resource,
    /// A role's trust policy: a `Principal`, no `Resource`.
    Trust,
}

/// A document that is no policy. Its text is the message of AWS's `MalformedPolicyDocument`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

type Result<T> = std::result::Result<T, Malformed>;

fn malformed<T>(message: impl Into<String>) -> Result<T> {
    Err(Malformed(message.into()))
}

/// What AWS says of everything that its grammar does not know.
fn syntax<T>() -> Result<T> {
    malformed("Syntax errors in policy.")
}

/// Parses and validates.
///
/// # Errors
/// [`Malformed`] with AWS's message.
pub fn parse(text: &str, kind: Kind) -> Result<Document> {
    let tree: Node = match serde_json::from_str(text) {
        Ok(tree) => tree,
        Err(error) if error.is_data() => return syntax(),
        Err(_) => return malformed("This policy contains invalid Json"),
    };
    let Node::Map(entries) = tree else { return syntax() };
    let mut version = Version::default();
    let mut id = None;
    let mut statements = None;
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("Version", Node::Text(text)) => {
                version = match text.as_str() {
                    "2012-10-17" => Version::V2012,
                    "2008-10-17" => Version::V2008,
                    _ => {
                        return malformed("Policy document must be version 2012-10-17 or greater.");
                    }
                };
            }
            ("Id", Node::Text(text)) => id = Some(text),
            ("Statement", Node::List(list)) => statements = Some(list),
            ("Statement", one @ Node::Map(_)) => statements = Some(vec![one]),
            _ => return syntax(),
        }
    }
    let Some(list) = statements.filter(|list| !list.is_empty()) else { return syntax() };
    let statements = list.into_iter().map(|s| statement(s, kind)).collect::<Result<Vec<_>>>()?;
    let mut sids: Vec<&str> = statements.iter().filter_map(|s| s.sid.as_deref()).collect();
    sids.sort_unstable();
    if sids.windows(2).any(|pair| pair[0] == pair[1] && !pair[0].is_empty()) {
        return malformed("Statement IDs (SID) in a single policy must be unique.");
    }
    Ok(Document { version, id, statements })
}

/// A scalar or a list of scalars.
fn texts(node: Node) -> Result<Vec<String>> {
    match node {
        Node::List(list) => list
            .iter()
            .map(|item| match item {
                Node::Text(text) => Ok(text.clone()),
                _ => syntax(),
            })
            .collect(),
        Node::Text(text) => Ok(vec![text]),
        _ => syntax(),
    }
}

/// Takes an element or its `Not` form; both at once are an error.
fn element<T>(slot: &mut Option<Matching<T>>, value: Matching<T>) -> Result<()> {
    if slot.is_some() {
        return syntax();
    }
    *slot = Some(value);
    Ok(())
}

fn statement(node: Node, kind: Kind) -> Result<Statement> {
    let Node::Map(entries) = node else { return syntax() };
    let (mut sid, mut effect) = (None, None);
    let (mut principal, mut action, mut resource) = (None, None, None);
    let mut conditions = Vec::new();
    for (key, value) in entries {
        match key.as_str() {
            "Sid" => match value {
                Node::Text(text) => sid = Some(check_sid(text, kind)?),
                _ => return syntax(),
            },
            "Effect" => match value {
                Node::Text(text) if text == "Allow" => effect = Some(Effect::Allow),
                Node::Text(text) if text == "Deny" => effect = Some(Effect::Deny),
                _ => return syntax(),
            },
            "Principal" | "NotPrincipal" if kind == Kind::Identity => {
                return malformed("Policy document should not specify a principal.");
            }
            "Principal" => element(&mut principal, Matching::These(principals(value)?))?,
            "NotPrincipal" => element(&mut principal, Matching::AllBut(principals(value)?))?,
            "Action" => element(&mut action, Matching::These(texts(value)?))?,
            "NotAction" => element(&mut action, Matching::AllBut(texts(value)?))?,
            "Resource" | "NotResource" if kind == Kind::Trust => {
                return malformed(format!("Has prohibited field {key}"));
            }
            "Resource" => element(&mut resource, Matching::These(texts(value)?))?,
            "NotResource" => element(&mut resource, Matching::AllBut(texts(value)?))?,
            "Condition" => conditions = self::conditions(value)?,
            _ => return syntax(),
        }
    }
    let Some(effect) = effect else {
        return if kind == Kind::Trust {
            malformed("Missing required field Effect")
        } else {
            syntax()
        };
    };
    let action = match action {
        Some(action) if !action.patterns().is_empty() => action,
        _ if kind == Kind::Trust => return malformed("Missing required field Action"),
        _ => return malformed("Policy statement must contain actions."),
    };
    for pattern in action.patterns() {
        check_action(pattern, kind)?;
    }
    let has_principal =
        principal.as_ref().is_some_and(|p: &Matching<Vec<_>>| !p.patterns().is_empty());
    match kind {
        Kind::Identity => {}
        Kind::Trust | Kind::Resource if !has_principal => {
            return malformed("Missing required field Principal");
        }
        Kind::Trust | Kind::Resource => {}
    }
    if kind == Kind::Trust {
        return Ok(Statement { sid, effect, principal, action, resource: None, conditions });
    }
    let resource = match resource {
        Some(resource) if !resource.patterns().is_empty() => Some(resource),
        _ => return malformed("Policy statement must contain resources."),
    };
    for pattern in resource.iter().flat_map(|resource| resource.patterns()) {
        check_resource(pattern)?;
    }
    Ok(Statement { sid, effect, principal, action, resource, conditions })
}

fn check_sid(text: String, kind: Kind) -> Result<String> {
    // Policies of some resources may hold any text here; IAM's may not.
    if kind != Kind::Resource && !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return malformed(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the \
             regular expression [0-9A-Za-z]*",
        );
    }
    Ok(text)
}

fn check_action(pattern: &str, kind: Kind) -> Result<()> {
    if pattern == "*" && kind != Kind::Trust {
        return Ok(());
    }
    let Some((vendor, name)) = pattern.split_once(':') else {
        return malformed(
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        );
    };
    if name.contains(':') {
        return malformed("Actions/Condition can contain only one colon.");
    }
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '*' | '?');
    if vendor.is_empty() || !vendor.chars().all(known) {
        return malformed(format!("Vendor {vendor} is not valid"));
    }
    if name.is_empty() || !name.chars().all(known) {
        return syntax();
    }
    if kind == Kind::Trust && !vendor.eq_ignore_ascii_case("sts") {
        return malformed("AssumeRole policy may only specify STS AssumeRole actions.");
    }
    Ok(())
}

fn check_resource(pattern: &str) -> Result<()> {
    if pattern == "*" {
        return Ok(());
    }
    let Some(rest) = pattern.strip_prefix("arn:") else {
        // A wildcard may stand for the beginning of an ARN too.
        if pattern.starts_with('*') || pattern.starts_with("${") {
            return Ok(());
        }
        return malformed(format!("Resource {pattern} must be in ARN format or \"*\"."));
    };
    let partition = rest.split(':').next().unwrap_or_default();
    let wild = partition.contains(['*', '?', '$']);
    let known = partition == "aws" || partition.starts_with("aws-");
    if !wild && !known {
        return malformed(format!(
            "Partition \"{partition}\" is not valid for resource \"{pattern}\"."
        ));
    }
    Ok(())
}

fn invalid_principal<T>(kind: &str, value: &str) -> Result<T> {
    malformed(format!("Invalid principal in policy: \"{kind}\":\"{value}\""))
}

fn principals(node: Node) -> Result<Vec<PrincipalPattern>> {
    let entries = match node {
        Node::Text(text) if text == "*" => return Ok(vec![PrincipalPattern::Anyone]),
        Node::Text(text) => return invalid_principal("AWS", &text),
        Node::Map(entries) => entries,
        _ => return syntax(),
    };
    let mut out = Vec::new();
    for (kind, values) in entries {
        for value in texts(values)? {
            out.push(match kind.as_str() {
                "AWS" => aws_principal(value)?,
                "Service" if value.contains('.') && !value.contains(['*', ':', '/']) => {
                    PrincipalPattern::Service(value)
                }
                "Service" => return invalid_principal("SERVICE", &value),
                "Federated" if value.is_empty() => return invalid_principal("FEDERATED", &value),
                "Federated" if value == "*" => PrincipalPattern::Anyone,
                "Federated" => PrincipalPattern::Federated(value),
                "CanonicalUser" => PrincipalPattern::CanonicalUser(value),
                _ => return syntax(),
            });
        }
    }
    Ok(out)
}

/// A value of `{"AWS": …}`.
fn aws_principal(value: String) -> Result<PrincipalPattern> {
    if value == "*" {
        return Ok(PrincipalPattern::Anyone);
    }
    if let Ok(account) = value.parse::<AccountId>() {
        return Ok(PrincipalPattern::Account(account));
    }
    if value.len() >= 16
        && (value.starts_with("AIDA") || value.starts_with("AROA"))
        && value.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    {
        return Ok(PrincipalPattern::UniqueId(value));
    }
    let Ok(arn) = crate::Arn::parse(&value) else { return invalid_principal("AWS", &value) };
    let Some(account) = arn.account_id() else { return invalid_principal("AWS", &value) };
    let named =
        |prefix: &str| arn.resource.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty());
    // A wildcard stands for all principals or none: it cannot be part of a name.
    let plain = !value.contains(['*', '?']);
    match (arn.service, arn.resource) {
        ("iam", "root") => Ok(PrincipalPattern::Account(account)),
        ("iam", _) if plain && (named("user/") || named("role/")) => {
            Ok(PrincipalPattern::Arn(value))
        }
        ("sts", _) if plain && (named("assumed-role/") || named("federated-user/")) => {
            Ok(PrincipalPattern::Arn(value))
        }
        _ => invalid_principal("AWS", &value),
    }
}

fn conditions(node: Node) -> Result<Vec<Condition>> {
    let Node::Map(operators) = node else { return syntax() };
    let mut out = Vec::new();
    for (operator, keys) in operators {
        let Some(operator) = Operator::parse(&operator) else { return syntax() };
        let Node::Map(keys) = keys else { return syntax() };
        for (key, values) in keys {
            if !key.contains(':') {
                return malformed(
                    "Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
                );
            }
            let values = match values {
                Node::List(list) => list.iter().map(Node::scalar).collect::<Option<Vec<_>>>(),
                one => one.scalar().map(|value| vec![value]),
            };
            let Some(values) = values else { return syntax() };
            out.push(Condition { operator, key, values });
        }
    }
    Ok(out)
}
