//! From JSON to a [`Document`], with AWS's words for what is wrong.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>
//!
//! AWS publishes no list of its messages; those here are the ones that it is known to answer.

use crate::AccountId;
use crate::condition::date;
use crate::document::{
    Condition, Document, Effect, Matching, Operator, PrincipalPattern, Statement, Version,
};
use crate::tree::Node;
use crate::variable::split_arn;

/// Where a document is to be used: the rules differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Attached to a user, group or role, or a session policy: no `Principal`.
    Identity,
    /// A customer managed policy, which boundaries are too: as the former, and of version 2012-10-17.
    Managed,
    /// Attached to a resource: a `Principal`.
    Resource,
    /// A role's trust policy: a `Principal`, no `Resource`.
    Trust,
}

impl Kind {
    /// Whether the policy belongs to who asks, and so names no principal.
    const fn is_identity(self) -> bool {
        matches!(self, Self::Identity | Self::Managed)
    }
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
        Err(error) if error.is_data() || kind.is_identity() => return syntax(),
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
                    _ => return syntax(),
                };
            }
            ("Id", Node::Text(text)) => id = Some(text),
            ("Statement", Node::List(list)) => statements = Some(list),
            ("Statement", one @ Node::Map(_)) => statements = Some(vec![one]),
            _ => return syntax(),
        }
    }
    let Some(list) = statements.filter(|list| !list.is_empty()) else { return syntax() };
    // One check after the other over the whole document: AWS reports the first check that fails,
    // not the first statement.
    let elements = list.into_iter().map(|s| elements(s, kind)).collect::<Result<Vec<_>>>()?;
    if kind == Kind::Managed && version < Version::V2012 {
        return malformed("Policy document must be version 2012-10-17 or greater.");
    }
    if elements.iter().any(|e| e.fails_legacy_parsing(kind)) {
        return malformed("The policy failed legacy parsing");
    }
    let mut sids: Vec<&str> = elements.iter().filter_map(|e| e.sid.as_deref()).collect();
    sids.sort_unstable();
    if sids.windows(2).any(|pair| pair[0] == pair[1] && !pair[0].is_empty()) {
        return malformed("Statement IDs (SID) in a single policy must be unique.");
    }
    let statements = elements.into_iter().map(|e| statement(e, kind)).collect::<Result<_>>()?;
    Ok(Document::new(version, id, statements))
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

/// The elements of a statement, read but not yet judged.
struct Elements {
    sid: Option<String>,
    effect: Option<String>,
    principal: Option<Matching<Vec<PrincipalPattern>>>,
    action: Option<Matching<Vec<String>>>,
    resource: Option<Matching<Vec<String>>>,
    conditions: Vec<Condition>,
}

fn elements(node: Node, kind: Kind) -> Result<Elements> {
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
                Node::Text(text) => effect = Some(text),
                _ => return syntax(),
            },
            "Principal" | "NotPrincipal" if kind.is_identity() => {
                return malformed("Policy document should not specify a principal.");
            }
            // As aws-cdk's source quotes AWS's answer; `{"AWS": "*"}` it takes.
            // https://github.com/aws/aws-cdk/pull/5746
            "Principal" | "NotPrincipal"
                if kind == Kind::Trust && matches!(&value, Node::Text(text) if text == "*") =>
            {
                return malformed(
                    "AssumeRolepolicy contained an invalid principal: \"STAR\":\"*\".",
                );
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
    match effect.as_deref() {
        None if kind == Kind::Trust => return malformed("Missing required field Effect"),
        Some(text) if ["Allow", "Deny"].iter().any(|e| text.eq_ignore_ascii_case(e)) => {}
        _ => return syntax(),
    }
    Ok(Elements { sid, effect, principal, action, resource, conditions })
}

impl Elements {
    /// What AWS's older parser refuses: an effect in other letters than `Allow` and `Deny`, a date
    /// that is none, an ARN that leaves parts out and has empty ones too.
    fn fails_legacy_parsing(&self, kind: Kind) -> bool {
        let effect = !matches!(self.effect.as_deref(), Some("Allow" | "Deny"));
        let date = self
            .conditions
            .iter()
            .any(|c| c.operator.comparison.is_date() && c.values.iter().any(|v| date(v).is_none()));
        let mut resources = self.resource.iter().flat_map(|resource| resource.patterns());
        let resource = kind.is_identity()
            && resources.any(|pattern| {
                let parts = split_arn(pattern);
                let short = parts.len() < 6 && pattern.contains("::");
                // A wrong partition has a message of its own.
                parts.get(1).is_some_and(|partition| is_partition(partition))
                    && (short || parts.get(2) == Some(&""))
            });
        effect || date || resource
    }
}

fn statement(elements: Elements, kind: Kind) -> Result<Statement> {
    let Elements { sid, effect, principal, action, resource, conditions } = elements;
    let effect = match effect.as_deref() {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => return syntax(),
    };
    let action = match action {
        Some(action) if !action.patterns().is_empty() => action,
        _ if kind == Kind::Trust => return malformed("Missing required field Action"),
        _ => return malformed("Policy statement must contain actions."),
    };
    for pattern in resource.iter().flat_map(|resource| resource.patterns()) {
        check_resource(pattern, kind)?;
    }
    for pattern in action.patterns() {
        check_action(pattern, kind)?;
    }
    let has_principal =
        principal.as_ref().is_some_and(|p: &Matching<Vec<_>>| !p.patterns().is_empty());
    if !kind.is_identity() && !has_principal {
        return malformed("Missing required field Principal");
    }
    if kind == Kind::Trust {
        return Ok(Statement { sid, effect, principal, action, resource: None, conditions });
    }
    let resource = match resource {
        Some(resource) if !resource.patterns().is_empty() => Some(resource),
        _ => return malformed("Policy statement must contain resources."),
    };
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
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if vendor != "*" && (vendor.is_empty() || !vendor.chars().all(known)) {
        return malformed(format!("Vendor {vendor} is not valid"));
    }
    if kind == Kind::Trust && !vendor.eq_ignore_ascii_case("sts") {
        return malformed("AssumeRole policy may only specify STS AssumeRole actions.");
    }
    Ok(())
}

/// What may stand at the beginning of an IAM resource, in the order of AWS's message.
const IAM_PATHS: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

/// What may stand there too, though that message does not say so.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html>
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html>
const MORE_IAM_PATHS: [&str; 5] =
    ["root", "assumed-role/", "contextProvider/", "delegation-request/", "role-template/"];

fn wild(text: &str) -> bool {
    text.contains(['*', '?', '$'])
}

fn is_partition(text: &str) -> bool {
    text == "aws" || text.starts_with("aws-") || wild(text)
}

fn check_resource(pattern: &str, kind: Kind) -> Result<()> {
    if pattern == "*" {
        return Ok(());
    }
    let parts = split_arn(pattern);
    let [_, partition, rest @ ..] = parts.as_slice() else {
        return malformed(format!("Resource {pattern} must be in ARN format or \"*\"."));
    };
    if !is_partition(partition) {
        let missing = ":*".repeat(6 - parts.len());
        return malformed(format!(
            "Partition \"{partition}\" is not valid for resource \"arn:{}{missing}\".",
            parts[1..].join(":")
        ));
    }
    if parts[0] != "arn" && !wild(parts[0]) {
        return malformed(format!("Resource {pattern} must be in ARN format or \"*\"."));
    }
    if !kind.is_identity() {
        return Ok(());
    }
    match rest {
        [] => malformed("Resource vendor must be fully qualified and cannot contain regexes."),
        ["iam", region, ..] if !region.is_empty() && !wild(region) => {
            malformed(format!("IAM resource {pattern} cannot contain region information."))
        }
        ["iam", _, _, path]
            if !path.starts_with('*')
                && !IAM_PATHS.iter().chain(&MORE_IAM_PATHS).any(|p| path.starts_with(p)) =>
        {
            malformed(format!(
                "IAM resource path must either be \"*\" or start with {}.",
                IAM_PATHS.join(", ")
            ))
        }
        // Access points have a region, and an account.
        ["s3", region, "", ..] if !region.is_empty() && !wild(region) => {
            malformed(format!("Resource {pattern} can not contain region information."))
        }
        _ => Ok(()),
    }
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
    let Some(account) = arn.account_id() else {
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-bucket-policies.html#example-bucket-policies-cloudfront
        let is_origin = (arn.service, arn.account) == ("iam", "cloudfront")
            && arn.resource.starts_with("user/CloudFront Origin Access Identity ");
        return match is_origin {
            true => Ok(PrincipalPattern::Arn(value)),
            false => invalid_principal("AWS", &value),
        };
    };
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
        let Node::Map(keys) = keys else { return syntax() };
        for (key, values) in keys {
            let Some(operator) = Operator::parse(&operator) else { return syntax() };
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
