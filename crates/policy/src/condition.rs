//! Condition operators.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>

use crate::context::Context;
use crate::document::{Comparison, Condition, SetPrefix, Version};
use crate::glob::{self, Token};
use crate::variable::{Reading, split_arn};
use base64::Engine as _;
use ipnet::IpNet;
use std::net::IpAddr;
use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime, Time};

/// Whether a condition holds.
pub(crate) fn holds(condition: &Condition, version: Version, context: &Context) -> bool {
    let operator = condition.operator;
    let found = context.get(&condition.key).map(crate::context::Values::as_slice);
    let present = found.is_some_and(|values| !values.is_empty());

    if operator.comparison == Comparison::Null {
        return condition.values.iter().any(|value| value.eq_ignore_ascii_case("true") != present);
    }
    let values = match found {
        Some(values) if present => values,
        _ => {
            return match operator.set {
                // Every one of no values matches.
                Some(SetPrefix::ForAllValues) => true,
                Some(SetPrefix::ForAnyValue) => operator.if_exists,
                // What is not there is not equal to anything.
                None => operator.if_exists || operator.comparison.is_negated(),
            };
        }
    };
    let reading = Reading { version, context, wildcards: true };
    // Whether one value of the request satisfies the operator against all of the policy's.
    let satisfies = |value: &String| {
        let mut hits =
            condition.values.iter().map(|p| compare(operator.comparison, p, value, reading));
        if operator.comparison.is_negated() {
            hits.all(|hit| hit == Some(false))
        } else {
            hits.any(|hit| hit == Some(true))
        }
    };
    match operator.set {
        Some(SetPrefix::ForAllValues) => values.iter().all(satisfies),
        Some(SetPrefix::ForAnyValue) => values.iter().any(satisfies),
        // A key of several values without a set operator: AWS does not say. None may hit a negated
        // operator, some must hit another.
        None if operator.comparison.is_negated() => values.iter().all(satisfies),
        None => values.iter().any(satisfies),
    }
}

/// Compares one value of the policy with one of the request; `None` where they cannot be compared,
/// which satisfies no operator, negated or not. Negation itself is the caller's.
fn compare(
    comparison: Comparison,
    policy: &str,
    value: &str,
    reading: Reading<'_>,
) -> Option<bool> {
    use Comparison as C;
    match comparison {
        C::StringEquals | C::StringNotEquals => {
            // A variable without a value equals nothing.
            Some(reading.text(policy).is_some_and(|text| text == value))
        }
        C::StringEqualsIgnoreCase | C::StringNotEqualsIgnoreCase => {
            let same = |text: String| text.to_lowercase() == value.to_lowercase();
            Some(reading.text(policy).is_some_and(same))
        }
        C::StringLike | C::StringNotLike => {
            let hit = |tokens: Vec<Token>| glob::matches(&tokens, value, false);
            Some(reading.tokens(policy).is_some_and(hit))
        }
        C::ArnEquals | C::ArnLike | C::ArnNotEquals | C::ArnNotLike => {
            Some(arn(policy, value, reading))
        }
        C::NumericEquals
        | C::NumericNotEquals
        | C::NumericLessThan
        | C::NumericLessThanEquals
        | C::NumericGreaterThan
        | C::NumericGreaterThanEquals => {
            let policy = number(&reading.text(policy)?)?;
            let value = number(value)?;
            Some(ordered(comparison, value.partial_cmp(&policy)?))
        }
        C::DateEquals
        | C::DateNotEquals
        | C::DateLessThan
        | C::DateLessThanEquals
        | C::DateGreaterThan
        | C::DateGreaterThanEquals => {
            let policy = date(&reading.text(policy)?)?;
            Some(ordered(comparison, date(value)?.cmp(&policy)))
        }
        C::Bool => {
            let policy = reading.text(policy)?;
            Some(policy.eq_ignore_ascii_case(value))
        }
        C::BinaryEquals => {
            let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).ok();
            Some(decode(policy)? == decode(value)?)
        }
        C::IpAddress | C::NotIpAddress => {
            let network = network(&reading.text(policy)?)?;
            Some(network.contains(&value.parse::<IpAddr>().ok()?.to_canonical()))
        }
        C::Null => None,
    }
}

fn ordered(comparison: Comparison, order: std::cmp::Ordering) -> bool {
    use Comparison as C;
    match comparison {
        C::NumericLessThan | C::DateLessThan => order.is_lt(),
        C::NumericLessThanEquals | C::DateLessThanEquals => order.is_le(),
        C::NumericGreaterThan | C::DateGreaterThan => order.is_gt(),
        C::NumericGreaterThanEquals | C::DateGreaterThanEquals => order.is_ge(),
        _ => order.is_eq(),
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|n| n.is_finite())
}

/// A CIDR block, or an address that stands for itself.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// A date in nanoseconds since 1970: ISO 8601 in W3C's shorter and longer forms, or seconds.
pub(crate) fn date(text: &str) -> Option<i128> {
    let text = text.trim();
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(at.unix_timestamp_nanos());
    }
    // `2013-06-30T00:00Z`
    if let Some((day, time)) = text.split_once('T') {
        let zone = time.find(['Z', '+', '-'])?;
        let (clock, zone) = time.split_at(zone);
        if clock.len() != 5 {
            return None;
        }
        let full = format!("{day}T{clock}:00{zone}");
        return Some(OffsetDateTime::parse(&full, &Rfc3339).ok()?.unix_timestamp_nanos());
    }
    let parts: Vec<&str> = text.split('-').collect();
    let whole = |at: usize, len: usize| {
        let part = parts.get(at)?;
        (part.len() == len && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse().ok())?
    };
    if let (2..=3, Some(year)) = (parts.len(), whole(0, 4)) {
        let month: u16 = whole(1, 2)?;
        let day: u16 = if parts.len() == 3 { whole(2, 2)? } else { 1 };
        let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
        let date =
            Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
        return Some(date.with_time(Time::MIDNIGHT).assume_utc().unix_timestamp_nanos());
    }
    let seconds = number(text)?;
    (seconds.abs() < 1e12).then_some((seconds * 1e9) as i128)
}

/// Compares ARNs part by part: each of the six may hold wildcards, none of which reaches across a
/// colon.
fn arn(pattern: &str, value: &str, reading: Reading<'_>) -> bool {
    if pattern == "*" {
        return true;
    }
    let patterns = split_arn(pattern);
    let values: Vec<&str> = value.splitn(6, ':').collect();
    patterns.len() == 6
        && values.len() == 6
        && patterns.iter().zip(&values).all(|(pattern, value)| {
            reading.tokens(pattern).is_some_and(|tokens| glob::matches(&tokens, value, false))
        })
}

/// Whether a request's resource matches a pattern of a `Resource` element. A pattern that is cut
/// short is completed with wildcards: `arn:aws:sqs` is `arn:aws:sqs:*:*:*`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>
pub(crate) fn resource(pattern: &str, resource: &str, version: Version, context: &Context) -> bool {
    let reading = Reading { version, context, wildcards: true };
    let hit = |pattern: &str, text: &str| {
        reading.tokens(pattern).is_some_and(|tokens| glob::matches(&tokens, text, false))
    };
    let values: Vec<&str> = resource.splitn(6, ':').collect();
    if !pattern.starts_with("arn:") || values.len() != 6 {
        return hit(pattern, resource);
    }
    let patterns = split_arn(pattern);
    values.iter().enumerate().all(|(i, value)| hit(patterns.get(i).unwrap_or(&"*"), value))
}
