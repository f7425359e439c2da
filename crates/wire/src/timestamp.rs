//! Points in time as AWS writes them.

use crate::shape::TimestampFormat;
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time: whole seconds since 1970 and the nanoseconds after them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1,000,000,000.
    pub nanos: u32,
}

/// The years that every format can express.
const YEARS: std::ops::RangeInclusive<i32> = 0..=9999;

impl Timestamp {
    /// A whole second.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }

    /// Reads a number of seconds; `None` when no calendar date is meant by it.
    pub fn from_epoch(seconds: f64) -> Option<Self> {
        let whole = seconds.floor();
        if !seconds.is_finite() || whole.abs() > 253_402_300_799.0 {
            return None;
        }
        // Milliseconds are AWS's finest unit; rounding keeps 0.1 from becoming 0.0999….
        let millis = ((seconds - whole) * 1e3).round() as u32;
        let (extra, millis) = (millis / 1000, millis % 1000);
        Some(Self { seconds: whole as i64 + i64::from(extra), nanos: millis * 1_000_000 })
    }

    /// Reads one format.
    pub fn parse(text: &str, format: TimestampFormat) -> Option<Self> {
        match format {
            TimestampFormat::DateTime => Self::parse_date_time(text),
            TimestampFormat::EpochSeconds => Self::from_epoch(text.parse().ok()?),
            TimestampFormat::HttpDate => Self::parse_http_date(text),
        }
    }

    /// Reads whichever format the text is in: servers accept all three wherever a timestamp may
    /// stand, because SDKs differ.
    pub fn parse_any(text: &str) -> Option<Self> {
        Self::parse_date_time(text)
            .or_else(|| Self::from_epoch(text.parse().ok()?))
            .or_else(|| Self::parse_http_date(text))
    }

    fn parse_date_time(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(Self { seconds: at.unix_timestamp(), nanos: at.nanosecond() })
    }

    /// `Sun, 25 Jan 2015 08:00:00 GMT`, with an optional fraction as Smithy allows.
    fn parse_http_date(text: &str) -> Option<Self> {
        let bare;
        let (text, nanos) = match (text.find('.'), text.find(" GMT")) {
            (Some(dot), Some(end)) if dot < end => {
                let digits = &text[dot + 1..end];
                if digits.is_empty()
                    || digits.len() > 9
                    || !digits.bytes().all(|b| b.is_ascii_digit())
                {
                    return None;
                }
                let nanos = digits.parse::<u32>().ok()? * 10u32.pow(9 - digits.len() as u32);
                bare = format!("{}{}", &text[..dot], &text[end..]);
                (bare.as_str(), nanos)
            }
            _ => (text, 0),
        };
        let at = httpdate::parse_http_date(text).ok()?;
        let seconds = at.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
        Some(Self { seconds: i64::try_from(seconds).ok()?, nanos })
    }

    /// Writes one format. A point outside the years 0 to 9999 is written as seconds.
    pub fn format(self, format: TimestampFormat) -> String {
        let at = OffsetDateTime::from_unix_timestamp(self.seconds)
            .ok()
            .filter(|at| YEARS.contains(&at.year()));
        let (Some(at), false) = (at, format == TimestampFormat::EpochSeconds) else {
            return self.epoch().to_string();
        };
        let (date, time) = (at.date(), at.time());
        let year = u32::try_from(date.year()).unwrap_or_default();
        let mut out = String::with_capacity(32);
        match format {
            TimestampFormat::DateTime | TimestampFormat::EpochSeconds => {
                digits(&mut out, year, 4, "-");
                digits(&mut out, u8::from(date.month()).into(), 2, "-");
                digits(&mut out, date.day().into(), 2, "T");
            }
            TimestampFormat::HttpDate => {
                out.push_str(&date.weekday().to_string()[..3]);
                out.push_str(", ");
                digits(&mut out, date.day().into(), 2, " ");
                out.push_str(&date.month().to_string()[..3]);
                out.push(' ');
                digits(&mut out, year, 4, " ");
            }
        }
        digits(&mut out, time.hour().into(), 2, ":");
        digits(&mut out, time.minute().into(), 2, ":");
        digits(&mut out, time.second().into(), 2, "");
        match self.nanos / 1_000_000 {
            0 => {}
            millis => {
                out.push('.');
                digits(&mut out, millis, 3, "");
            }
        }
        out.push_str(if format == TimestampFormat::HttpDate { " GMT" } else { "Z" });
        out
    }

    /// Seconds with their fraction.
    pub fn epoch(self) -> f64 {
        self.seconds as f64 + f64::from(self.nanos) / 1e9
    }
}

/// Appends a number in as many digits, and what stands after it. Every call formats a few times;
/// the formatter's machinery would cost more than all else of it.
pub(crate) fn digits(out: &mut String, number: u32, width: u32, then: &str) {
    for place in (0..width).rev() {
        let digit = number / 10u32.pow(place) % 10;
        out.push(char::from(b'0' + digit as u8));
    }
    out.push_str(then);
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format(TimestampFormat::DateTime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_reads_back_what_it_writes() {
        let at = Timestamp { seconds: 1_422_172_800, nanos: 123_000_000 };
        for format in
            [TimestampFormat::DateTime, TimestampFormat::EpochSeconds, TimestampFormat::HttpDate]
        {
            let text = at.format(format);
            assert_eq!(Timestamp::parse(&text, format), Some(at), "{text}");
            assert_eq!(Timestamp::parse_any(&text), Some(at), "{text}");
        }
    }

    #[test]
    fn nonsense_is_no_time() {
        for text in
            ["", "yesterday", "NaN", "1e300", "2015-01-25", "Sun, 25 Jan 2015 08:00:00. GMT"]
        {
            assert_eq!(Timestamp::parse_any(text), None, "{text}");
        }
    }
}
