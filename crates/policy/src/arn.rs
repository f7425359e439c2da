//! Account ids and ARNs, parsed at the edge once.

use std::fmt;
use std::str::FromStr;

/// A twelve-digit AWS account number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

/// One more than the largest account number.
const ACCOUNTS: u64 = 1_000_000_000_000;

/// Text that is no account id or no ARN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// An account id has twelve digits.
    #[error("`{0}` is not an account id of twelve digits")]
    Account(String),
    /// An ARN has six parts.
    #[error("`{0}` is not an ARN")]
    Arn(String),
}

impl AccountId {
    /// The account of this number; `None` past twelve digits.
    pub const fn new(number: u64) -> Option<Self> {
        if number < ACCOUNTS { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// `arn:aws:iam::ACCOUNT:root`, which stands for the account in policies.
    pub fn root_arn(self) -> String {
        ["arn:aws:iam::", &self.digits(), ":root"].concat()
    }

    /// Its twelve digits, on the stack: every call writes some.
    pub fn digits(self) -> Digits {
        let (mut digits, mut rest) = ([b'0'; 12], self.0);
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        Digits(digits)
    }
}

/// The digits of an account id, as text.
#[derive(Clone, Copy)]
pub struct Digits([u8; 12]);

impl std::ops::Deref for Digits {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.digits())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AccountId {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let digits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Self(number)),
            _ => Err(ArnError::Account(text.to_owned())),
        }
    }
}

impl serde::Serialize for AccountId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for AccountId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An ARN cut into its parts: `arn:partition:service:region:account:resource`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arn<'a> {
    /// `aws`, `aws-cn`, …
    pub partition: &'a str,
    /// `iam`, `s3`, …
    pub service: &'a str,
    /// Empty for services of one region.
    pub region: &'a str,
    /// Twelve digits, `aws`, or empty.
    pub account: &'a str,
    /// All that follows the fifth colon.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Cuts text at its first five colons. The parts are not checked further: policies hold
    /// patterns in each of them.
    pub fn parse(text: &'a str) -> Result<Self, ArnError> {
        let mut rest = text;
        let mut next = || {
            // Parts are short: a plain loop is quicker than a search that is made for long texts.
            let colon = rest.bytes().position(|byte| byte == b':')?;
            let part = &rest[..colon];
            rest = &rest[colon + 1..];
            Some(part)
        };
        let parts = (|| Some((next()?, next()?, next()?, next()?, next()?)))();
        match parts {
            Some(("arn", partition, service, region, account)) => {
                Ok(Self { partition, service, region, account, resource: rest })
            }
            _ => Err(ArnError::Arn(text.to_owned())),
        }
    }

    /// The account, where the part is one.
    pub fn account_id(&self) -> Option<AccountId> {
        self.account.parse().ok()
    }

    /// The resource without its type: `a/b/name` of `user/a/b/name`; the whole where there is no
    /// slash or colon.
    pub fn resource_id(&self) -> &'a str {
        self.resource.split_once(['/', ':']).map_or(self.resource, |(_, id)| id)
    }
}

impl fmt::Display for Arn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_id_has_exactly_twelve_digits() {
        assert_eq!("000000000012".parse::<AccountId>().unwrap().to_string(), "000000000012");
        for text in ["", "12", "1234567890123", "+12345678901", "12345678901x", "١٢٣٤٥٦٧٨٩٠١٢"]
        {
            assert!(text.parse::<AccountId>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_arn_keeps_the_colons_of_its_resource() {
        let arn = Arn::parse("arn:aws:logs:us-east-1:123456789012:log-group:a:*").unwrap();
        assert_eq!(arn.resource, "log-group:a:*");
        assert_eq!(arn.to_string(), "arn:aws:logs:us-east-1:123456789012:log-group:a:*");
        assert!(Arn::parse("arn:aws:s3::bucket").is_err());
        assert!(Arn::parse("urn:aws:s3:::bucket").is_err());
    }
}
