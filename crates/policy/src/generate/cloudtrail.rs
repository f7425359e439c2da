//! What AWS's own CloudTrail says that was asked: a record names an operation and the request, and not
//! the actions and resources that were put to the policies, which are found here as far as they follow
//! from it.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>
//!
//! - the **action** is that of the operation by AWS's pages ([`actions_of_operation`]); an operation
//!   that may ask for several is [`Unclear`];
//! - the **resource** is an ARN of the record that is of a type which the action takes: in `resources`,
//!   else in the request, else made of the request's names by the type's ARN format;
//! - an action that needs none, and of which the record names none, has `*`.

use super::formats::{self, Piece};
use super::{Keys, Observation};
use crate::reference::{self, AccessLevel, Action, actions_of_operation};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// What a record says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// The questions.
    pub observations: Vec<Observation>,
    /// What is taken to be so without being said.
    pub taken: Vec<Taken>,
}

/// What a record does not say, and is taken to be so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Taken {
    /// The ARN is that of a thing at the path `/`: CloudTrail gives its name alone.
    RootPath(String),
    /// The request of the action names a role. If it was passed, `iam:PassRole` is needed, of which
    /// CloudTrail has no event; it is not among the observations.
    NamesRole(String, String),
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootPath(arn) => write!(f, "taken to be at the path /: {}", arn.escape_debug()),
            Self::NamesRole(action, role) => {
                let role = role.escape_debug();
                write!(f, "{action} names {role}: if it passes it, add iam:PassRole on it")
            }
        }
    }
}

/// Why a record says nothing that a policy could be made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unclear {
    /// It is no record of a call: the members that say so are missing, or it is of another kind.
    NoCall,
    /// Nobody has looked up what the operation asks for, or there is no such.
    Operation(String),
    /// Its request decides which of these actions the operation asks for.
    Several(String, Vec<String>),
    /// The record does not say on which resource the action was asked for.
    Resource(String, String),
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCall => f.write_str("records that are no calls of an API"),
            Self::Operation(operation) => {
                write!(f, "{}: what it asks for is not known", operation.escape_debug())
            }
            Self::Several(operation, actions) => {
                write!(f, "{operation}: asks for one or more of {}", actions.join(", "))
            }
            Self::Resource(operation, action) => {
                let operation = operation.escape_debug();
                write!(f, "{operation}: on which resource it asked for {action} is not recorded")
            }
        }
    }
}

/// Words in the codes of errors that are a denial, in lower case: services spell them in many ways.
const DENIALS: [&str; 6] = [
    "accessdenied",
    "unauthorized",
    "notauthorized",
    "forbidden",
    "authorizationerror",
    "authfailure",
];

/// Members of requests that hold what somebody wrote, and name nothing.
const FREE_TEXTS: [&str; 10] = [
    "description",
    "comment",
    "message",
    "tags",
    "tagset",
    "taglist",
    "value",
    "note",
    "reason",
    "metadata",
];

/// Services whose name in events is no prefix of actions.
const EVENT_SOURCES: [(&str, &str); 3] =
    [("monitoring", "cloudwatch"), ("tagging", "tag"), ("email", "ses")];

/// What a request's member of another name stands for in ARN formats: service, placeholder, member.
const MEMBERS: [(&str, &str, &str); 3] =
    [("s3", "ObjectName", "key"), ("sns", "TopicName", "name"), ("kms", "Alias", "aliasName")];

/// Members of requests that are condition keys.
const MEMBER_KEYS: [(&str, &str, &str); 5] = [
    ("sts", "externalId", "sts:ExternalId"),
    ("sts", "roleSessionName", "sts:RoleSessionName"),
    ("iam", "policyArn", "iam:PolicyARN"),
    ("iam", "permissionsBoundary", "iam:PermissionsBoundary"),
    ("iam", "aWSServiceName", "iam:AWSServiceName"),
];

/// How deep a request is looked into.
const DEEPEST: usize = 16;

/// Reads a record.
///
/// # Errors
/// Why it says nothing.
pub fn asked(record: &Value) -> Result<Asked, Unclear> {
    let text = |name: &str| record[name].as_str();
    let (Some(source), Some(event)) = (text("eventSource"), text("eventName")) else {
        return Err(Unclear::NoCall);
    };
    if text("eventType").is_some_and(|kind| kind != "AwsApiCall") {
        return Err(Unclear::NoCall);
    }
    let operation = format!("{source} {event}");
    let actions = actions(source.trim_end_matches(".amazonaws.com"), event);
    let action = match actions.as_slice() {
        [] => return Err(Unclear::Operation(operation)),
        [one] => *one,
        all => {
            let names = all.iter().map(|action| action.full_name()).collect();
            return Err(Unclear::Several(operation, names));
        }
    };
    let allowed = !text("errorCode").is_some_and(|code| {
        let code = code.to_ascii_lowercase();
        DENIALS.iter().any(|word| code.contains(word))
    });
    let mut out = Asked::default();
    let resources = resources(record, action, &mut out.taken);
    if resources.is_empty() {
        return Err(Unclear::Resource(operation, action.full_name()));
    }
    let keys = keys(record, action);
    let see = |resource| Observation {
        action: action.full_name(),
        resource,
        keys: keys.clone(),
        allowed,
    };
    out.observations = resources.into_iter().map(see).collect();
    let roles = named_roles(record, action).into_iter();
    out.taken.extend(roles.map(|role| Taken::NamesRole(action.full_name(), role)));
    Ok(out)
}

/// The actions that the operation of an event asks for.
fn actions(source: &str, event: &str) -> Vec<&'static Action> {
    let alias = EVENT_SOURCES.iter().find(|(name, _)| *name == source);
    let source = alias.map_or(source, |(_, prefix)| prefix);
    let of = |event: &str| {
        let apis = reference::apis().filter(|(api, prefix)| *api == source || *prefix == source);
        let mut all: Vec<_> = apis.flat_map(|(api, _)| actions_of_operation(api, event)).collect();
        all.sort_by_key(|action| (action.prefix, action.name));
        all.dedup_by_key(|action| (action.prefix, action.name));
        all
    };
    // `CreateFunction20150331`, `UpdateFunctionCode20150331v2`, `CreateDistribution2020_05_31`
    let bare = event.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_' || c == 'v');
    let versioned = event.len() - bare.len() >= 8;
    let all = of(event);
    if all.is_empty() && versioned { of(bare) } else { all }
}

/// The resources of an action in a record.
fn resources(record: &Value, action: &Action, taken: &mut Vec<Taken>) -> BTreeSet<String> {
    let fits = |arn: &&str| formats::take(action, arn).is_some();
    let listed = record["resources"].as_array().into_iter().flatten();
    let listed = listed.filter_map(|resource| resource["ARN"].as_str());
    let of_type: BTreeSet<String> = listed.filter(fits).map(str::to_owned).collect();
    if !of_type.is_empty() {
        return of_type;
    }
    let mut texts = Vec::new();
    gather(&record["requestParameters"], DEEPEST, &mut texts);
    let named: BTreeSet<String> =
        texts.iter().map(|(_, text)| *text).filter(fits).map(str::to_owned).collect();
    if !named.is_empty() {
        return named;
    }
    let made = made(record, action, taken);
    let needs_none = action.resource_types().all(|of| !of.required);
    made.or_else(|| needs_none.then(|| "*".to_owned())).into_iter().collect()
}

/// The one resource whose ARN can be made of the request's names.
fn made(record: &Value, action: &Action, taken: &mut Vec<Taken>) -> Option<String> {
    let formats = action.resource_types().flat_map(|of| of.resource_type.arn_formats());
    let mut all: Vec<(usize, bool, String)> =
        formats.filter_map(|format| filled(record, action, format)).collect();
    all.sort_by_key(|(names, ..)| std::cmp::Reverse(*names));
    all.dedup();
    let most = all.first()?.0;
    let mut best = all.into_iter().filter(|(names, ..)| *names == most);
    let (_, with_path, arn) = best.next()?;
    if best.next().is_some() {
        return None;
    }
    if with_path {
        taken.push(Taken::RootPath(arn.clone()));
    }
    Some(arn)
}

/// A format with the names of the request in it: how many, whether one may lack its path, and the ARN.
fn filled(record: &Value, action: &Action, format: &'static str) -> Option<(usize, bool, String)> {
    let own = formats::parts(format)?;
    let caller = record["userIdentity"]["arn"].as_str().and_then(|arn| crate::Arn::parse(arn).ok());
    let head = |part: &'static str| {
        let value = match part {
            "${Partition}" => caller.map_or("aws", |arn| arn.partition),
            "${Region}" => record["awsRegion"].as_str()?,
            "${Account}" => record["recipientAccountId"].as_str()?,
            part if part.contains("${") => return None,
            part => part,
        };
        Some(value)
    };
    let mut arn = format!("arn:{}:{}", head(own.partition)?, head(own.service)?);
    arn.push_str(&format!(":{}:{}:", head(own.region)?, head(own.account)?));
    let (mut names, mut with_path) = (0, false);
    for piece in formats::pieces(format)? {
        match piece {
            Piece::Literal(text) => arn.push_str(text),
            Piece::Placeholder(name) => {
                let bare = name.strip_suffix("WithPath").unwrap_or(name);
                arn.push_str(member(&record["requestParameters"], action.prefix, bare)?);
                names += 1;
                with_path |= bare.len() < name.len();
            }
        }
    }
    (names > 0).then_some((names, with_path, arn))
}

/// The member of a request that a placeholder is named after.
fn member<'r>(request: &'r Value, prefix: &str, placeholder: &str) -> Option<&'r str> {
    let other =
        MEMBERS.iter().find(|(service, name, _)| *service == prefix && *name == placeholder);
    let wanted = other.map_or(placeholder, |(.., member)| member);
    let members = request.as_object()?;
    let found = members.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    if let Some((_, value)) = found {
        let text = value.as_str()?;
        // An object's key may be anything; other names are one part of an ARN.
        let is_key = wanted == "key";
        return (!text.is_empty() && (is_key || !text.contains([':', '/']))).then_some(text);
    }
    // https://sqs.eu-west-1.amazonaws.com/123456789012/queue
    if placeholder == "QueueName" {
        return members
            .get("queueUrl")?
            .as_str()?
            .rsplit('/')
            .next()
            .filter(|name| !name.is_empty());
    }
    None
}

/// Every text of a request with the name that it has.
fn gather<'r>(value: &'r Value, depth: usize, out: &mut Vec<(&'r str, &'r str)>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if FREE_TEXTS.iter().any(|free| name.eq_ignore_ascii_case(free)) {
                    continue;
                }
                match value.as_str() {
                    Some(text) => out.push((name, text)),
                    None => gather(value, depth, out),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match item.as_str() {
                    Some(text) => out.push(("", text)),
                    None => gather(item, depth, out),
                }
            }
        }
        _ => {}
    }
}

/// The condition keys that a record tells.
fn keys(record: &Value, action: &Action) -> Keys {
    let mut out = Keys::new();
    let mut set = |key: &str, value: &str| {
        out.insert(key.to_owned(), vec![value.to_owned()]);
    };
    for (prefix, name, key) in MEMBER_KEYS {
        if action.prefix == prefix
            && let Some(value) = record["requestParameters"][name].as_str()
        {
            set(key, value);
        }
    }
    if let Some(region) = record["awsRegion"].as_str() {
        set("aws:RequestedRegion", region);
    }
    if let Some(address) = record["sourceIPAddress"].as_str()
        && address.parse::<IpAddr>().is_ok()
    {
        set("aws:SourceIp", address);
    }
    if record["tlsDetails"].is_object() {
        set("aws:SecureTransport", "true");
    }
    let attributes = &record["userIdentity"]["sessionContext"]["attributes"];
    if let Some(mfa) = attributes["mfaAuthenticated"].as_str() {
        set("aws:MultiFactorAuthPresent", mfa);
    }
    out
}

/// The roles that a request names and that are not what the action is on. IAM and STS pass none.
fn named_roles(record: &Value, action: &Action) -> BTreeSet<String> {
    let Some(pass) = reference::action("iam:PassRole") else { return BTreeSet::new() };
    if ["iam", "sts"].contains(&action.prefix) || action.access_level != AccessLevel::Write {
        return BTreeSet::new();
    }
    let mut texts = Vec::new();
    gather(&record["requestParameters"], DEEPEST, &mut texts);
    let roles = texts.into_iter().map(|(_, text)| text);
    roles.filter(|text| formats::take(pass, text).is_some()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(source: &str, name: &str, request: Value, more: Value) -> Value {
        let mut out = json!({
            "eventSource": format!("{source}.amazonaws.com"), "eventName": name,
            "eventType": "AwsApiCall", "awsRegion": "eu-west-1", "sourceIPAddress": "198.51.100.7",
            "recipientAccountId": "123456789012", "requestParameters": request,
            "userIdentity": {"arn": "arn:aws:iam::123456789012:user/ann"},
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            out[name] = value.clone();
        }
        out
    }

    fn seen(record: &Value) -> Vec<String> {
        let asked = asked(record).unwrap();
        let all = asked.observations.iter();
        all.map(|one| format!("{} {}", one.action, one.resource)).collect()
    }

    #[test]
    fn actions_and_resources_are_found_where_the_record_says_them() {
        let account = "123456789012";
        for (record, wanted) in [
            // In `resources`,
            (
                record(
                    "s3",
                    "GetObject",
                    json!({"bucketName": "b", "key": "k/l"}),
                    json!({"resources": [
                    {"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::b/k/l"},
                    {"accountId": account, "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::b"}]}),
                ),
                "s3:GetObject arn:aws:s3:::b/k/l".to_owned(),
            ),
            // in the request,
            (
                record(
                    "sns",
                    "Publish",
                    json!({"topicArn": format!("arn:aws:sns:eu-west-1:{account}:t")}),
                    json!({}),
                ),
                format!("sns:Publish arn:aws:sns:eu-west-1:{account}:t"),
            ),
            // or made of its names.
            (
                record(
                    "dynamodb",
                    "PutItem",
                    json!({"tableName": "t", "key": {"id": "x"}}),
                    json!({}),
                ),
                format!("dynamodb:PutItem arn:aws:dynamodb:eu-west-1:{account}:table/t"),
            ),
            (
                record("s3", "ListObjectsV2", json!({"bucketName": "b", "Host": "h"}), json!({})),
                "s3:ListBucket arn:aws:s3:::b".to_owned(),
            ),
            (
                record(
                    "sqs",
                    "SendMessage",
                    json!({"queueUrl": format!("https://sqs.x/{account}/q")}),
                    json!({}),
                ),
                format!("sqs:SendMessage arn:aws:sqs:eu-west-1:{account}:q"),
            ),
            (
                record("ec2", "DescribeInstances", json!({}), json!({})),
                "ec2:DescribeInstances *".into(),
            ),
            (
                record("monitoring", "PutMetricData", json!({}), json!({})),
                "cloudwatch:PutMetricData *".into(),
            ),
        ] {
            assert_eq!(seen(&record), [wanted]);
        }
    }

    #[test]
    fn what_is_taken_to_be_so_is_told() {
        let user = asked(&record("iam", "GetUser", json!({"userName": "bob"}), json!({}))).unwrap();
        let arn = "arn:aws:iam::123456789012:user/bob";
        assert_eq!(user.observations[0].resource, arn);
        assert_eq!(user.taken, [Taken::RootPath(arn.into())]);
        let role = "arn:aws:iam::123456789012:role/app";
        let made = json!({"functionName": "f", "role": role});
        let function = record("lambda", "CreateFunction20150331", made, json!({}));
        assert_eq!(
            seen(&function),
            ["lambda:CreateFunction arn:aws:lambda:eu-west-1:123456789012:function:f"]
        );
        let names = Taken::NamesRole("lambda:CreateFunction".into(), role.into());
        assert_eq!(asked(&function).unwrap().taken, [names]);
    }

    #[test]
    fn what_is_not_clear_is_no_observation() {
        let unclear = |record: Value| asked(&record).unwrap_err();
        let empty = || json!({});
        assert_eq!(unclear(empty()), Unclear::NoCall);
        let sign_in =
            record("signin", "ConsoleLogin", empty(), json!({"eventType": "AwsConsoleSignIn"}));
        assert_eq!(unclear(sign_in), Unclear::NoCall);
        let named = |source: &str, name: &str| record(source, name, empty(), empty());
        assert!(matches!(unclear(named("nosuch", "Thing")), Unclear::Operation(_)));
        assert!(
            matches!(unclear(named("kms", "ReEncrypt")), Unclear::Several(_, all) if all.len() == 2)
        );
        assert!(matches!(unclear(named("dynamodb", "PutItem")), Unclear::Resource(..)));
        // A name that is no plain one could be anything.
        let odd = record("lambda", "Invoke", json!({"functionName": "f:alias"}), empty());
        assert!(matches!(unclear(odd), Unclear::Resource(..)));
    }

    #[test]
    fn a_denial_and_the_keys_are_read() {
        let request = json!({"roleArn": "arn:aws:iam::210987654321:role/r", "externalId": "x"});
        let more = json!({"errorCode": "AccessDenied", "tlsDetails": {"tlsVersion": "TLSv1.3"}});
        let asked = asked(&record("sts", "AssumeRole", request, more)).unwrap();
        let one = &asked.observations[0];
        assert!(!one.allowed);
        assert_eq!(one.keys["sts:ExternalId"], ["x"]);
        assert_eq!(one.keys["aws:SecureTransport"], ["true"]);
        assert_eq!(one.keys["aws:SourceIp"], ["198.51.100.7"]);
    }
}
