//! Conditions with their values parsed.

use super::pattern::Pattern;
use crate::condition::{self as interpreted, boolean, date, network, number, ordered};
use crate::context::{Context, Values};
use crate::document::{Comparison, Condition, SetPrefix, Version};
use crate::variable::{Reading, split_arn};
use ipnet::IpNet;
use smol_str::SmolStr;
use std::cmp::Ordering;
use std::net::IpAddr;

/// One operator on one key.
pub(crate) struct Test {
    condition: Condition,
    values: Box<[Value]>,
}

/// One value of the policy. `None` within: the text is no such value, and is compared with nothing.
enum Value {
    Text(Pattern),
    Folded(Box<str>),
    Arn(Option<Box<[Pattern; 6]>>),
    AnyArn,
    Number(Option<f64>),
    Date(Option<i128>),
    Bool(Option<bool>),
    Network(Option<IpNet>),
    /// Compared as the interpreter does.
    Interpreted,
}

impl Value {
    fn new(comparison: Comparison, text: &str, version: Version) -> Self {
        use Comparison as C;
        let variables = version >= Version::V2012 && text.contains("${");
        match comparison {
            C::StringEquals | C::StringNotEquals => {
                Self::Text(Pattern::of_text(text, version, false))
            }
            C::StringLike | C::StringNotLike => Self::Text(Pattern::of_text(text, version, true)),
            C::StringEqualsIgnoreCase | C::StringNotEqualsIgnoreCase
                if !variables && text.is_ascii() =>
            {
                Self::Folded(text.to_ascii_lowercase().into())
            }
            C::ArnEquals | C::ArnLike | C::ArnNotEquals | C::ArnNotLike if text == "*" => {
                Self::AnyArn
            }
            C::ArnEquals | C::ArnLike | C::ArnNotEquals | C::ArnNotLike => {
                let parts = split_arn(text);
                let patterns: Vec<Pattern> =
                    parts.iter().map(|part| Pattern::of_text(part, version, true)).collect();
                Self::Arn(patterns.try_into().ok().map(Box::new))
            }
            _ if comparison.is_numeric() => Self::Number(number(text)),
            _ if comparison.is_date() => Self::Date(date(text)),
            C::Bool if !variables => Self::Bool(boolean(text)),
            C::IpAddress | C::NotIpAddress => Self::Network(network(text)),
            _ => Self::Interpreted,
        }
    }
}

/// One value of the request, parsed for the operator once.
enum Asked {
    Text,
    Number(Option<f64>),
    Date(Option<i128>),
    Bool(Option<bool>),
    Address(Option<IpAddr>),
}

impl Asked {
    fn new(comparison: Comparison, text: &str) -> Self {
        use Comparison as C;
        match comparison {
            _ if comparison.is_numeric() => Self::Number(number(text)),
            _ if comparison.is_date() => Self::Date(date(text)),
            C::Bool => Self::Bool(boolean(text)),
            C::IpAddress | C::NotIpAddress => {
                Self::Address(text.parse::<IpAddr>().ok().map(|address| address.to_canonical()))
            }
            _ => Self::Text,
        }
    }
}

impl Test {
    pub fn new(condition: &Condition, version: Version) -> Self {
        let comparison = condition.operator.comparison;
        let values =
            condition.values.iter().map(|text| Value::new(comparison, text, version)).collect();
        Self { condition: condition.clone(), values }
    }

    /// Whether it holds. The rules are [`interpreted::holds`]'s.
    pub fn holds(&self, version: Version, context: &Context) -> bool {
        let operator = self.condition.operator;
        let values = match context.get(&self.condition.key).map(Values::as_slice) {
            Some(values) if !values.is_empty() && operator.comparison != Comparison::Null => values,
            _ => return interpreted::holds(&self.condition, version, context),
        };
        let satisfies = |text: &SmolStr| {
            let asked = Asked::new(operator.comparison, text);
            let mut hits =
                self.values.iter().zip(&self.condition.values).map(|(value, source)| {
                    self.compare(value, source, text, &asked, version, context)
                });
            if operator.comparison.is_negated() {
                hits.all(|hit| hit == Some(false))
            } else {
                hits.any(|hit| hit == Some(true))
            }
        };
        match operator.set {
            Some(SetPrefix::ForAllValues) => {
                values.iter().filter(|value| !value.is_empty()).all(satisfies)
            }
            Some(SetPrefix::ForAnyValue) => values.iter().any(satisfies),
            None if operator.comparison.is_negated() => values.iter().all(satisfies),
            None => values.iter().any(satisfies),
        }
    }

    fn compare(
        &self,
        value: &Value,
        source: &str,
        text: &str,
        asked: &Asked,
        version: Version,
        context: &Context,
    ) -> Option<bool> {
        let comparison = self.condition.operator.comparison;
        let order = |order: Option<Ordering>| Some(ordered(comparison, order?));
        match (value, asked) {
            (Value::Text(pattern), _) => Some(pattern.matches(text, version, context)),
            (Value::Folded(own), _) if text.is_ascii() => Some(own.eq_ignore_ascii_case(text)),
            (Value::AnyArn, _) => Some(true),
            (Value::Arn(patterns), _) => Some(patterns.as_ref().is_some_and(|patterns| {
                let mut parts = text.splitn(6, ':');
                patterns.iter().all(|pattern| {
                    parts.next().is_some_and(|part| pattern.matches(part, version, context))
                })
            })),
            (Value::Number(own), Asked::Number(asked)) => {
                order(asked.as_ref()?.partial_cmp(own.as_ref()?))
            }
            (Value::Date(own), Asked::Date(asked)) => {
                order(Some(asked.as_ref()?.cmp(own.as_ref()?)))
            }
            (Value::Bool(own), Asked::Bool(asked)) => Some((*asked)? == (*own)?),
            (Value::Network(own), Asked::Address(asked)) => {
                Some(own.as_ref()?.contains(asked.as_ref()?))
            }
            _ => {
                let reading = Reading { version, context, wildcards: true };
                interpreted::compare(comparison, source, text, reading)
            }
        }
    }
}
