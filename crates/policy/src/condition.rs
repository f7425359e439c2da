//! Condition operators.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>

use crate::context::Context;
use crate::document::{Comparison, Condition, SetPrefix, Version};
use crate::glob::{self, Token};
use crate::variable::{Reading, split_arn};
use base64::Engine as _;
use ipnet::IpNet;
use smol_str::SmolStr;
use std::net::IpAddr;

/// Whether a condition holds.
pub(crate) fn holds(condition: &Condition, version: Version, context: &Context) -> bool {
    let operator = condition.operator;
    let found = context.get(&condition.key).map(crate::context::Values::as_slice);
    let present = found.is_some_and(|values| !values.is_empty());

    if operator.comparison == Comparison::Null {
        let wanted = if present { "false" } else { "true" };
        return condition.values.iter().any(|value| value.eq_ignore_ascii_case(wanted));
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
    let satisfies = |value: &SmolStr| {
        let mut hits =
            condition.values.iter().map(|p| compare(operator.comparison, p, value, reading));
        if operator.comparison.is_negated() {
            hits.all(|hit| hit == Some(false))
        } else {
            hits.any(|hit| hit == Some(true))
        }
    };
    match operator.set {
        // An empty text counts as no value here.
        // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
        Some(SetPrefix::ForAllValues) => {
            values.iter().filter(|value| !value.is_empty()).all(satisfies)
        }
        Some(SetPrefix::ForAnyValue) => values.iter().any(satisfies),
        // A key of several values without a set operator: AWS does not say. None may hit a negated
        // operator, some must hit another.
        None if operator.comparison.is_negated() => values.iter().all(satisfies),
        None => values.iter().any(satisfies),
    }
}

/// Compares one value of the policy with one of the request; `None` where they cannot be compared,
/// which satisfies no operator, negated or not. Negation itself is the caller's. Variables are of the
/// text and ARN operators, and of `Bool`; elsewhere they are no number, date or address.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-conditionelement>
pub(crate) fn compare(
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
            Some(ordered(comparison, number(value)?.partial_cmp(&number(policy)?)?))
        }
        C::DateEquals
        | C::DateNotEquals
        | C::DateLessThan
        | C::DateLessThanEquals
        | C::DateGreaterThan
        | C::DateGreaterThanEquals => Some(ordered(comparison, date(value)?.cmp(&date(policy)?))),
        C::Bool => Some(boolean(value)? == boolean(&reading.text(policy)?)?),
        C::BinaryEquals => {
            // The policy's value is base64; the key's is compared by its bytes, or is base64 too
            // where bytes are no text.
            let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).ok();
            let policy = decode(policy)?;
            Some(policy == value.as_bytes() || decode(value).is_some_and(|value| value == policy))
        }
        C::IpAddress | C::NotIpAddress => {
            Some(network(policy)?.contains(&value.parse::<IpAddr>().ok()?.to_canonical()))
        }
        C::Null => None,
    }
}

pub(crate) fn ordered(comparison: Comparison, order: std::cmp::Ordering) -> bool {
    use Comparison as C;
    match comparison {
        C::NumericLessThan | C::DateLessThan => order.is_lt(),
        C::NumericLessThanEquals | C::DateLessThanEquals => order.is_le(),
        C::NumericGreaterThan | C::DateGreaterThan => order.is_gt(),
        C::NumericGreaterThanEquals | C::DateGreaterThanEquals => order.is_ge(),
        _ => order.is_eq(),
    }
}

pub(crate) fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|n| n.is_finite())
}

pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A CIDR block, or an address that stands for itself. A block of IPv4-mapped IPv6 addresses is one of
/// IPv4, as the addresses are.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    let network =
        text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    match (network.addr().to_canonical(), network.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(prefix)) if network.max_prefix_len() == 128 => {
            IpNet::new(IpAddr::V4(address), prefix).ok()
        }
        _ => Some(network),
    }
}

/// A date in nanoseconds since 1970: whole seconds since then, or ISO 8601 in the forms that W3C
/// lists (a year alone, which reads as seconds, needs its `T`). Time and zone may be left out; then
/// it is midnight, and UTC.
/// <https://www.w3.org/TR/NOTE-datetime>
pub(crate) fn date(text: &str) -> Option<i128> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(i128::from(seconds) * SECOND);
    }
    if let Some(seconds) = text.split_once('.').filter(|_| !text.contains(['T', 't'])) {
        return decimal_seconds(seconds);
    }
    let (day, time) = text.split_once(['T', 't']).unwrap_or((text, ""));
    let midnight = days(day)? * 86_400;
    let at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(at);
    Some(i128::from(midnight) * SECOND + clock_time(clock)? - i128::from(offset(zone)?) * SECOND)
}

const SECOND: i128 = 1_000_000_000;

/// Digits, and nothing but, from `min` to `max`.
fn digits(text: &str, min: i64, max: i64) -> Option<i64> {
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| all && (min..=max).contains(n))
}

/// Nanoseconds of the digits after a decimal point.
fn fraction(text: &str) -> Option<i128> {
    let padded = format!("{text:0<9}");
    (padded.len() == 9).then(|| digits(&padded, 0, 999_999_999)).flatten().map(i128::from)
}

fn decimal_seconds((whole, part): (&str, &str)) -> Option<i128> {
    let seconds = i128::from(whole.parse::<i64>().ok()?) * SECOND;
    let part = fraction(part)?;
    Some(if whole.starts_with('-') { seconds - part } else { seconds + part })
}

/// Days since 1970 of `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
fn days(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let mut parts = text.split('-');
    let year = sign * digits(parts.next()?, 0, 292_278_993)?;
    let month = parts.next().map_or(Some(1), |month| digits(month, 1, 12))?;
    let day = parts.next().map_or(Some(1), |day| digits(day, 1, 31))?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if day > longest || parts.next().is_some() {
        return None;
    }
    // Years that begin in March end with their leap day.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468)
}

/// Nanoseconds since midnight of `hh`, `hh:mm`, `hh:mm:ss`, `hh:mm:ss.s`, or nothing.
fn clock_time(text: &str) -> Option<i128> {
    if text.is_empty() {
        return Some(0);
    }
    let (text, part) = text.split_once('.').map_or((text, None), |(text, part)| (text, Some(part)));
    let mut parts = text.split(':');
    let hours = digits(parts.next()?, 0, 23)?;
    let minutes = parts.next().map_or(Some(0), |minutes| digits(minutes, 0, 59))?;
    let seconds = parts.next().map_or(Some(0), |seconds| digits(seconds, 0, 59))?;
    if parts.next().is_some() {
        return None;
    }
    let part = part.map_or(Some(0), fraction)?;
    Some(i128::from(hours * 3600 + minutes * 60 + seconds) * SECOND + part)
}

/// Seconds east of Greenwich of `Z`, `+hh:mm`, `+hhmm`, `+hh`, or nothing.
fn offset(text: &str) -> Option<i64> {
    let sign = match text.chars().next() {
        None | Some('Z' | 'z') if text.len() < 2 => return Some(0),
        Some('+') => 1,
        Some('-') => -1,
        _ => return None,
    };
    let text = text[1..].replacen(':', "", 1);
    let (hours, minutes) = text.split_at_checked(2)?;
    let minutes = if minutes.is_empty() {
        0
    } else {
        digits(minutes, 0, 59).filter(|_| minutes.len() == 2)?
    };
    Some(sign * (digits(hours, 0, 23)? * 3600 + minutes * 60))
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

/// Whether a request's resource matches a pattern of a `Resource` element.
///
/// A pattern that is cut short is completed with wildcards: `arn:aws:sqs` is `arn:aws:sqs:*:*:*`. A
/// wildcard stays within its part of the ARN, but a `*` that ends its part may reach beyond. Only what
/// follows the fifth colon has variables.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-resourceelement>
pub(crate) fn resource(pattern: &str, resource: &str, version: Version, context: &Context) -> bool {
    if pattern == "*" {
        return true;
    }
    let patterns = split_arn(pattern);
    let mut tokens = Vec::with_capacity(pattern.len());
    for part in 0..6 {
        let text = patterns.get(part).copied().unwrap_or("*");
        if part == 5 {
            let reading = Reading { version, context, wildcards: true };
            let Some(last) = reading.tokens(text) else { return false };
            tokens.extend(last);
        } else {
            tokens.extend(glob::within_part(text));
            tokens.push(Token::Char(':'));
        }
    }
    glob::matches(&tokens, resource, false)
}
