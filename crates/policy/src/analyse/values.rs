//! Numbers, dates and addresses: texts that stand for all others.
//!
//! What such operators say of a text depends on the number (or date, or address) that it is, if it is
//! one. The policies' own numbers cut the line into points and open intervals, their blocks cut the
//! addresses into ranges; one text from each, and one that is no number at all, are all there is.

use crate::condition::{date, network, number};
use crate::document::Comparison as C;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A kind of value that is more than its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Number,
    Date,
    Address,
}

impl Type {
    /// The type that an operator compares; `None` for operators of texts, and for `Null`.
    pub const fn of(comparison: C) -> Option<Self> {
        match comparison {
            C::NumericEquals
            | C::NumericNotEquals
            | C::NumericLessThan
            | C::NumericLessThanEquals
            | C::NumericGreaterThan
            | C::NumericGreaterThanEquals => Some(Self::Number),
            C::IpAddress | C::NotIpAddress => Some(Self::Address),
            _ if comparison.is_date() => Some(Self::Date),
            _ => None,
        }
    }

    /// Texts of which one is treated as any text is by every comparison of this type with these
    /// values. Those that look most natural come first.
    pub fn samples<'a>(self, values: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut out = match self {
            Self::Number => numbers(values.filter_map(number).collect()),
            Self::Date => dates(values.filter_map(date).collect()),
            Self::Address => addresses(values.filter_map(network).collect()),
        };
        out.push("none".to_owned());
        out
    }
}

fn numbers(mut points: Vec<f64>) -> Vec<String> {
    points.sort_by(f64::total_cmp);
    points.dedup();
    let (Some(&first), Some(&last)) = (points.first(), points.last()) else {
        return vec!["1".to_owned()];
    };
    let mut out = Vec::new();
    out.extend(between(f64::MIN.next_down(), first));
    for pair in points.windows(2) {
        out.push(pair[0]);
        out.extend(between(pair[0], pair[1]));
    }
    out.push(last);
    out.extend(between(last, f64::MAX.next_up()));
    out.into_iter().map(|n| n.to_string()).collect()
}

/// A number strictly between two, a round one if there is one.
fn between(low: f64, high: f64) -> Option<f64> {
    let inside = |n: &f64| low < *n && *n < high && n.is_finite();
    let round = [(low + 1.0).floor(), (high - 1.0).ceil(), low / 2.0 + high / 2.0];
    round
        .into_iter()
        .find(inside)
        .or_else(|| [low.next_up(), high.next_down()].into_iter().find(inside))
}

const SECOND: i128 = 1_000_000_000;

fn dates(mut points: Vec<i128>) -> Vec<String> {
    points.sort_unstable();
    points.dedup();
    let mut out = Vec::new();
    for (at, &point) in points.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| points[before]);
        // A day, a second or an instant earlier, whichever is after the point before and can be written.
        let earlier = [86_400 * SECOND, SECOND, 1].map(|step| point - step);
        let is_between =
            |n: &i128| before.is_none_or(|before| before < *n) && written(*n).is_some();
        out.extend(earlier.into_iter().find(is_between));
        out.push(point);
    }
    let Some(&last) = points.last() else { return vec!["2030-01-01T00:00:00Z".to_owned()] };
    // The last date that can be written down has none after it.
    out.extend([86_400 * SECOND, SECOND, 1].map(|step| last + step));
    out.into_iter().filter_map(written).collect()
}

/// A date as text; `None` where none reads as it.
fn written(nanoseconds: i128) -> Option<String> {
    let (seconds, part) = (nanoseconds.div_euclid(SECOND), nanoseconds.rem_euclid(SECOND));
    let mut forms = Vec::new();
    if part == 0 {
        forms.extend(i64::try_from(seconds).map(iso));
        forms.push(seconds.to_string());
    } else {
        forms.push(format!("{seconds}.{part:09}"));
        // Below zero the digits after the point count down.
        forms.push(format!("{}.{:09}", seconds + 1, SECOND - part));
        forms.push(format!("-0.{:09}", SECOND - part));
    }
    forms.into_iter().find(|text| date(text) == Some(nanoseconds))
}

/// `YYYY-MM-DDThh:mm:ssZ`, where the year has four digits; the caller reads it back.
fn iso(seconds: i64) -> String {
    let (days, clock) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years that begin in March end with their leap day; four hundred of them are 146,097 days.
    let shifted = i128::from(days) + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + later;
    let (hours, minutes) = (clock / 3600, clock / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{:02}Z", clock % 60)
}

/// The first IPv6 address that is one of IPv4, and the first after.
const MAPPED: (u128, u128) = (0xffff_0000_0000, 0x1_0000_0000_0000);

fn addresses(blocks: Vec<ipnet::IpNet>) -> Vec<String> {
    let (mut four, mut six) = (vec![0_u64], vec![0_u128, MAPPED.0, MAPPED.1]);
    for block in &blocks {
        match block {
            ipnet::IpNet::V4(block) => {
                four.push(u64::from(u32::from(block.network())));
                four.push(u64::from(u32::from(block.broadcast())) + 1);
            }
            ipnet::IpNet::V6(block) => {
                six.push(u128::from(block.network()));
                six.extend(u128::from(block.broadcast()).checked_add(1));
            }
        }
    }
    // Addresses of documentation look most natural.
    let mut out = vec![
        IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7)),
    ];
    // From one cut to the next all addresses are in the same blocks.
    four.sort_unstable();
    four.dedup();
    for (at, &from) in four.iter().enumerate() {
        let end = four.get(at + 1).copied().unwrap_or(1 << 32);
        // The second address of a range is rather a host's than the first.
        let pick = if from + 1 < end { from + 1 } else { from };
        out.extend(u32::try_from(pick).ok().map(|n| IpAddr::V4(n.into())));
    }
    six.sort_unstable();
    six.dedup();
    for &from in &six {
        if !(MAPPED.0..MAPPED.1).contains(&from) {
            out.push(IpAddr::V6(from.into()));
        }
    }
    out.iter().map(IpAddr::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_each_point_and_interval() {
        let found = Type::Number.samples(["10", "5", "10.0", "ten"].into_iter());
        assert_eq!(found, ["4", "5", "6", "10", "11", "none"]);
        let next = 1.0_f64.next_up().to_string();
        let found = Type::Number.samples(["1", next.as_str()].into_iter());
        assert_eq!(found, ["0", "1", next.as_str(), "2", "none"]);
        let largest = f64::MAX.to_string();
        let found = Type::Number.samples([largest.as_str()].into_iter());
        assert_eq!(found.len(), 3, "{found:?}");
    }

    #[test]
    fn a_date_stands_for_each_point_and_interval_and_reads_as_it() {
        let found = Type::Date.samples(["2020-02-29T12:00:00Z"].into_iter());
        assert_eq!(
            found,
            [
                "2020-02-28T12:00:00Z",
                "2020-02-29T12:00:00Z",
                "2020-03-01T12:00:00Z",
                "2020-02-29T12:00:01Z",
                "1582977600.000000001",
                "none"
            ]
        );
        for point in [-SECOND - 1, -1, 0, 1, SECOND + 1, -86_400 * SECOND * 800_000] {
            assert_eq!(date(&written(point).unwrap()), Some(point));
        }
        assert_eq!(written(i128::from(i64::MAX) * SECOND + SECOND), None);
        // The earliest date that can be written, and the one after it.
        let earliest = i128::from(i64::MIN) * SECOND - (SECOND - 1);
        assert_eq!(
            (date(&written(earliest).unwrap()), written(earliest - 1)),
            (Some(earliest), None)
        );
        let found = Type::Date.samples(["-9223372036854775808.999999998"].into_iter());
        assert!(found.contains(&written(earliest).unwrap()), "{found:?}");
    }

    #[test]
    fn an_address_stands_for_each_range() {
        let found =
            Type::Address.samples(["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"].into_iter());
        for text in ["0.0.0.1", "10.0.0.1", "10.1.0.1", "10.2.0.1", "11.0.0.1", "2001:db8::", "::"]
        {
            assert!(found.iter().any(|found| found == text), "{text} {found:?}");
        }
        assert!(found.iter().all(|text| !text.starts_with("::ffff:")), "{found:?}");
    }
}
