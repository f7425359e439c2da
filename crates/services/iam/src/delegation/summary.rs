//! `GetHumanReadableSummary`: what a delegation request asks for, in plain English.
//!
//! AWS has a language model write it. Here it is made from the permission policy and AWS's service
//! reference, so that it says what the policy says, and the same each time.

use super::records::DelegationRequest;
use super::{KIND, requestor_of, templates};
use crate::Iam;
use crate::errors::{self, invalid_input};
use ringfence_gateway::{Answer, Call};
use ringfence_model_iam::operations as ops;
use ringfence_model_iam::types::{GetHumanReadableSummaryResponse, SummaryStateType};
use ringfence_policy::Arn;
use ringfence_policy::document::{
    Comparison, Condition, Document, Effect, Matching, SetPrefix, Statement,
};
use ringfence_policy::reference::{self, AccessLevel};
use ringfence_wire::ServiceError;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Characters of the longest summary, as the model bounds it.
const LONGEST: usize = 10_000;
/// Names that are listed before the rest is counted.
const LISTED: usize = 8;

/// The languages of AWS's console, of which English alone is served here.
/// <https://docs.aws.amazon.com/awsconsolehelpdocs/latest/gsg/change-language.html>
const LOCALES: &[&str] = &[
    "en", "en-us", "en-gb", "id", "id-id", "de", "de-de", "es", "es-es", "fr", "fr-fr", "ja",
    "ja-jp", "it", "it-it", "pt", "pt-br", "ko", "ko-kr", "zh", "zh-cn", "zh-tw", "tr", "tr-tr",
];

pub(crate) async fn get_human_readable_summary(
    iam: &Iam,
    call: Call<ops::GetHumanReadableSummary>,
) -> Result<Answer<GetHumanReadableSummaryResponse>, ServiceError> {
    let input = &call.input;
    let own = call.account()?;
    // The account in an ARN is the one that it was given out for: the caller's, or the requestor's.
    let named = Arn::parse(&input.entity_arn).ok().and_then(|arn| {
        let id = arn.resource.strip_prefix(KIND)?.strip_prefix('/')?;
        let is_iam = (arn.partition, arn.service, arn.region) == ("aws", "iam", "");
        is_iam.then_some((arn.account_id()?, id))
    });
    let Some((account, id)) = named else {
        return Err(invalid_input("The ARN is not one of a delegation request."));
    };
    let allowed = iam.allow_delegation(&call, id)?;
    if account != own && Some(account) != requestor_of(id) {
        return Err(errors::no_such_delegation(id));
    }
    let request = allowed.found()?;
    let locale = input.locale.as_deref().unwrap_or("en");
    let folded = locale.to_ascii_lowercase().replace('_', "-");
    if !LOCALES.contains(&folded.as_str()) {
        return Err(invalid_input(format!("Locale {locale} is not supported.")));
    }
    let english = folded == "en" || folded.starts_with("en-");
    let (content, state) = match english {
        true => (Some(summary(request)), SummaryStateType::Available),
        false => (None, SummaryStateType::NotSupported),
    };
    Ok(allowed.permit.answer(GetHumanReadableSummaryResponse {
        summary_content: content,
        locale: Some(locale.to_owned()),
        summary_state: Some(state),
    }))
}

/// The summary of a request.
fn summary(request: &DelegationRequest) -> String {
    let (name, requestor) = (&request.requestor_name, request.requestor);
    let who = match name.as_str() {
        "" => format!("Account {requestor}"),
        name => format!("{name} (account {requestor})"),
    };
    let account = match request.owner_account {
        Some(account) => format!("account {account}"),
        None => "your account".to_owned(),
    };
    let lasts = duration(request.duration);
    let mut out = format!(
        "{who} asks for access to {account} for {lasts}. It may do what the identity that accepts \
         this request may do itself, within these permissions:\n"
    );
    permissions(&mut out, request.policy.document());
    let boundaries = templates::boundaries(request.policy.document());
    if !boundaries.is_empty() {
        let _ = writeln!(
            out,
            "\nRoles that it makes must have one of these permissions boundaries: {}.",
            listed(&boundaries).replace(char::is_control, " ")
        );
    }
    if request.only_send_by_owner {
        out.push_str("\nOnly the owner of this request may release the access.\n");
    }
    out.trim_end().chars().take(LONGEST).collect()
}

fn duration(seconds: i32) -> String {
    let count = |number: i32, noun: &str| match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    };
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let parts = [(hours, "hour"), (minutes, "minute"), (rest, "second")];
    let parts = parts.into_iter().filter(|(number, _)| *number > 0);
    and(&parts.map(|(number, noun)| count(number, noun)).collect::<Vec<_>>())
}

/// A line for each statement, allowing ones first, as long as there is room.
fn permissions(out: &mut String, document: &Document) {
    // Room for what comes after.
    let most = LONGEST - 2000;
    let of = |effect| document.statements.iter().filter(move |one| one.effect == effect);
    let mut left_out = 0;
    for statement in of(Effect::Allow).chain(of(Effect::Deny)) {
        // A text of the policy must not look like a line of the summary's own.
        let line = sentence(statement);
        let line = line.trim_end().replace(char::is_control, " ") + "\n";
        if left_out > 0 || out.chars().count() + line.chars().count() > most {
            left_out += 1;
        } else {
            out.push_str(&line);
        }
    }
    if left_out > 0 {
        let _ = writeln!(out, "- and {left_out} more statements; see the permission policy.");
    }
}

fn sentence(statement: &Statement) -> String {
    let may = match statement.effect {
        Effect::Allow => "may",
        Effect::Deny => "may never",
    };
    let mut line = format!("- It {may} {}", actions(&statement.action));
    match &statement.resource {
        None => {}
        Some(Matching::These(all)) if all.iter().any(|one| one == "*") => {
            line.push_str(", on any resource");
        }
        Some(Matching::These(these)) => {
            let _ = write!(line, ", on {}", listed(these));
        }
        Some(Matching::AllBut(these)) => {
            let _ = write!(line, ", on any resource except {}", listed(these));
        }
    }
    if !statement.conditions.is_empty() {
        let conditions: Vec<String> = statement.conditions.iter().map(condition).collect();
        let _ = write!(line, ", only if {}", conditions.join(" and "));
    }
    line.push_str(".\n");
    line
}

/// What a statement's actions are, by service and access level.
fn actions(matching: &Matching<Vec<String>>) -> String {
    match matching {
        Matching::AllBut(patterns) => {
            format!("use every action of every service except {}", listed(patterns))
        }
        Matching::These(patterns) if patterns.iter().any(|one| one == "*" || one == "*:*") => {
            "use every action of every service".into()
        }
        Matching::These(patterns) => {
            let mut services: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for pattern in patterns {
                let (prefix, name) = pattern.split_once(':').unwrap_or((pattern, ""));
                services.entry(prefix).or_default().push(name);
            }
            let each = services.into_iter().map(|(prefix, names)| of_service(prefix, &names));
            and(&each.collect::<Vec<_>>())
        }
    }
}

/// The actions of one service.
fn of_service(prefix: &str, patterns: &[&str]) -> String {
    let as_written = |patterns: &[&str]| {
        let full = patterns.iter().map(|name| format!("{prefix}:{name}"));
        format!("use {}", listed(&full.collect::<Vec<_>>()))
    };
    let Some(service) = reference::service(prefix) else { return as_written(patterns) };
    if patterns.contains(&"*") {
        return format!("use every action of {}", service.name);
    }
    let mut levels: [Vec<&str>; 5] = Default::default();
    let mut unknown = Vec::new();
    for &pattern in patterns {
        let mut any = false;
        for action in reference::actions_matching(&format!("{}:{pattern}", service.prefix)) {
            any = true;
            let level = &mut levels[match action.access_level {
                AccessLevel::List => 0,
                AccessLevel::Read => 1,
                AccessLevel::Write => 2,
                AccessLevel::Tagging => 3,
                AccessLevel::PermissionsManagement => 4,
            }];
            if !level.contains(&action.name) {
                level.push(action.name);
            }
        }
        if !any {
            unknown.push(pattern);
        }
    }
    let verbs = ["list", "read", "write", "change tags", "manage permissions"];
    let mut parts: Vec<String> = Vec::new();
    for (verb, names) in verbs.into_iter().zip(&levels).filter(|(_, names)| !names.is_empty()) {
        parts.push(format!("{verb} ({})", listed(names)));
    }
    if parts.is_empty() {
        return as_written(patterns);
    }
    if !unknown.is_empty() {
        parts.push(as_written(&unknown));
    }
    format!("in {} {}", service.name, and(&parts))
}

fn condition(condition: &Condition) -> String {
    let Condition { operator, key, values } = condition;
    if operator.comparison == Comparison::Null {
        let absent = values.iter().any(|value| value.eq_ignore_ascii_case("true"));
        return format!("{key} is {}", if absent { "absent" } else { "present" });
    }
    let compared = match operator.comparison {
        Comparison::StringEquals
        | Comparison::StringEqualsIgnoreCase
        | Comparison::NumericEquals
        | Comparison::DateEquals
        | Comparison::Bool
        | Comparison::BinaryEquals
        | Comparison::Null => "is",
        Comparison::StringNotEquals
        | Comparison::StringNotEqualsIgnoreCase
        | Comparison::NumericNotEquals
        | Comparison::DateNotEquals => "is not",
        // Both compare ARNs by their parts, with wildcards.
        Comparison::StringLike | Comparison::ArnEquals | Comparison::ArnLike => "is like",
        Comparison::StringNotLike | Comparison::ArnNotEquals | Comparison::ArnNotLike => {
            "is not like"
        }
        Comparison::NumericLessThan => "is less than",
        Comparison::NumericLessThanEquals => "is at most",
        Comparison::NumericGreaterThan => "is more than",
        Comparison::NumericGreaterThanEquals => "is at least",
        Comparison::DateLessThan => "is before",
        Comparison::DateLessThanEquals => "is not after",
        Comparison::DateGreaterThan => "is after",
        Comparison::DateGreaterThanEquals => "is not before",
        Comparison::IpAddress => "is within",
        Comparison::NotIpAddress => "is outside of",
    };
    let of = match operator.set {
        None => "",
        Some(SetPrefix::ForAllValues) => "every value of ",
        Some(SetPrefix::ForAnyValue) => "some value of ",
    };
    let present = if operator.if_exists { " (where it is present)" } else { "" };
    // No value of a negated comparison may match, any of another.
    let joined = if operator.comparison.is_negated() { " nor " } else { " or " };
    let shown: Vec<&str> = values.iter().take(LISTED).map(String::as_str).collect();
    let more = values.len() - shown.len();
    let more = if more > 0 { format!("{joined}{more} more") } else { String::new() };
    format!("{of}{key} {compared} {}{more}{present}", shown.join(joined))
}

/// The first of several, and how many more there are.
fn listed<T: AsRef<str>>(all: &[T]) -> String {
    let shown: Vec<&str> = all.iter().take(LISTED).map(AsRef::as_ref).collect();
    match all.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn and(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::IdentityPolicy;
    use crate::testing::{ID, delegation_request};

    fn of(statements: &str) -> String {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
        let policy = IdentityPolicy::parse_managed(&text).unwrap();
        summary(&DelegationRequest { policy, ..delegation_request("a", ID) })
    }

    #[test]
    fn a_summary_tells_who_asks_for_what_and_for_how_long() {
        let got =
            of(r#"{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject","s3:PutBucketPolicy"],
                "Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"],
                "Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","192.0.2.0/24"]},
                             "StringNotEqualsIfExists":{"aws:RequestedRegion":"eu-west-1"}}},
               {"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::b/secret/*"}"#);
        let expected = "Partner (account 123456789012) asks for access to your account for 1 hour. It may do what \
             the identity that accepts this request may do itself, within these permissions:\n\
             - It may in Amazon S3 read (GetObject), write (PutObject) and manage permissions \
             (PutBucketPolicy), on arn:aws:s3:::b, arn:aws:s3:::b/*, only if aws:SourceIp is \
             within 10.0.0.0/8 or 192.0.2.0/24 and aws:RequestedRegion is not eu-west-1 (where it \
             is present).\n\
             - It may never use every action of Amazon S3, on arn:aws:s3:::b/secret/*.";
        assert_eq!(got, expected);
    }

    #[test]
    fn every_form_of_a_statement_is_told() {
        for (statement, part) in [
            (
                r#""Action":"*","Resource":"*""#,
                "It may use every action of every service, on any resource.",
            ),
            (r#""NotAction":"iam:*","Resource":"*""#, "every service except iam:*, on any"),
            (r#""Action":"nosuch:Thing","Resource":"*""#, "It may use nosuch:Thing, on"),
            (
                r#""Action":"s3:Get*","NotResource":"arn:aws:s3:::b""#,
                "on any resource except arn:aws:s3:::b.",
            ),
            (r#""Action":"s3:Get*","Resource":"*""#, " more)"),
            (
                r#""Action":["s3:GetObject","sqs:SendMessage"],"Resource":"*""#,
                "in Amazon S3 read (GetObject) and in Amazon SQS write (SendMessage)",
            ),
            (
                r#""Action":"iam:CreateRole","Resource":"*","Condition":{"StringEquals":{"iam:PermissionsBoundary":"arn:aws:iam::1:policy/b"}}"#,
                "must have one of these permissions boundaries: arn:aws:iam::1:policy/b.",
            ),
            (
                r#""Action":"s3:GetObject","Resource":"*","Condition":{"Null":{"aws:TokenIssueTime":"false"},"ForAnyValue:StringLike":{"aws:TagKeys":"a*"}}"#,
                "only if aws:TokenIssueTime is present and some value of aws:TagKeys is like a*.",
            ),
        ] {
            let got = of(&format!(r#"{{"Effect":"Allow",{statement}}}"#));
            assert!(got.contains(part), "{statement}: {got}");
        }
    }

    #[test]
    fn a_summary_is_no_longer_than_the_model_lets_it_be() {
        let one = r#"{"Effect":"Allow","Action":["ec2:*e*","iam:*e*","s3:*e*"],"Resource":"*"}"#;
        let many = vec![one; 60].join(",");
        let got = of(&many);
        assert!(got.chars().count() <= LONGEST, "{}", got.len());
        assert!(got.contains("more statements"), "{got}");
    }

    #[test]
    fn durations_are_told_in_hours_minutes_and_seconds() {
        for (seconds, words) in [
            (300, "5 minutes"),
            (3600, "1 hour"),
            (43_200, "12 hours"),
            (3661, "1 hour, 1 minute and 1 second"),
        ] {
            assert_eq!(duration(seconds), words);
        }
    }
}
