//! How a request names a key: by id, by ARN, or by one of its aliases.
//! <https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id>

use crate::errors;
use ringfence_gateway::Regional;
use ringfence_policy::{AccountId, Arn};
use ringfence_wire::ServiceError;

/// What a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyName {
    /// Where it is.
    pub home: Regional,
    pub name: Name,
}

/// A key by its id, or an alias, `alias/` before its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Key(String),
    Alias(String),
}

/// Before an alias's name.
pub(crate) const ALIAS: &str = "alias/";

impl KeyName {
    /// Reads what a request in `home` names.
    ///
    /// # Errors
    /// `InvalidArnException`; `NotFoundException` for what is no id, and for ARNs of other regions.
    pub fn parse(text: &str, home: &Regional) -> Result<Self, ServiceError> {
        if !text.starts_with("arn:") {
            return Ok(Self { home: home.clone(), name: Name::parse(text)? });
        }
        let arn = Arn::parse(text).map_err(|_| errors::invalid_arn(text))?;
        let account: AccountId = arn.account_id().ok_or_else(|| errors::invalid_arn(text))?;
        if arn.service != "kms" || arn.partition != "aws" {
            return Err(errors::invalid_arn(text));
        }
        if arn.region != &*home.region {
            return Err(errors::other_region(arn.region));
        }
        let name = match arn.resource.split_once('/') {
            Some(("key", id)) => Name::Key(checked_id(id)?),
            Some(("alias", _)) => Name::Alias(arn.resource.to_owned()),
            _ => return Err(errors::invalid_arn(text)),
        };
        Ok(Self { home: Regional { account, region: home.region.clone() }, name })
    }

    /// Its ARN.
    pub fn arn(&self) -> String {
        match &self.name {
            Name::Key(id) => key_arn(&self.home, id),
            Name::Alias(alias) => alias_arn(&self.home, alias),
        }
    }
}

impl Name {
    fn parse(text: &str) -> Result<Self, ServiceError> {
        if text.starts_with(ALIAS) {
            return Ok(Self::Alias(text.to_owned()));
        }
        checked_id(text).map(Self::Key)
    }
}

/// An id of a key.
fn checked_id(text: &str) -> Result<String, ServiceError> {
    if is_key_id(text) { Ok(text.to_owned()) } else { Err(errors::invalid_key_id(text)) }
}

/// Whether a text is an id of a key: a UUID in lower case, or `mrk-` and 32 hexadecimal digits.
pub(crate) fn is_key_id(text: &str) -> bool {
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match text.as_bytes() {
        [b'm', b'r', b'k', b'-', digits @ ..] => digits.len() == 32 && digits.iter().all(is_hex),
        bytes => {
            let fits = |(at, byte): (usize, &u8)| match at {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => is_hex(byte),
            };
            bytes.len() == 36 && bytes.iter().enumerate().all(fits)
        }
    }
}

/// The ARN of a key.
pub(crate) fn key_arn(home: &Regional, id: &str) -> String {
    ["arn:aws:kms:", &home.region, ":", &home.account.digits(), ":key/", id].concat()
}

/// The ARN of an alias, given with its `alias/`.
pub(crate) fn alias_arn(home: &Regional, alias: &str) -> String {
    format!("arn:aws:kms:{}:{}:{alias}", home.region, home.account)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Regional {
        "123456789012/eu-central-1".parse().unwrap()
    }

    #[test]
    fn a_key_is_named_by_id_arn_or_alias() {
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        let mrk = "mrk-1234abcd12ab34cd56ef1234567890ab";
        let key = |id: &str| Name::Key(id.to_owned());
        for (text, account, name) in [
            (id.to_owned(), "123456789012", key(id)),
            (mrk.to_owned(), "123456789012", key(mrk)),
            (format!("arn:aws:kms:eu-central-1:210987654321:key/{id}"), "210987654321", key(id)),
            ("alias/a/b".into(), "123456789012", Name::Alias("alias/a/b".into())),
            (
                "arn:aws:kms:eu-central-1:210987654321:alias/x".into(),
                "210987654321",
                Name::Alias("alias/x".into()),
            ),
        ] {
            let named = KeyName::parse(&text, &home()).unwrap();
            assert_eq!((named.home.account.to_string().as_str(), &named.name), (account, &name));
        }
        let named = KeyName::parse("alias/a", &home()).unwrap();
        assert_eq!(named.arn(), "arn:aws:kms:eu-central-1:123456789012:alias/a");
    }

    #[test]
    fn what_names_no_key_is_refused_as_aws_refuses_it() {
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        for (text, code, message) in [
            ("fake-key-id".to_owned(), "NotFoundException", "Invalid keyId 'fake-key-id'"),
            ("mrk-fake".into(), "NotFoundException", "Invalid keyId 'mrk-fake'"),
            (id.to_uppercase(), "NotFoundException", ""),
            (format!("{id}0"), "NotFoundException", ""),
            (
                format!("arn:aws:kms:us-east-1:123456789012:key/{id}"),
                "NotFoundException",
                "Invalid arn us-east-1",
            ),
            ("arn:aws:kms:eu-central-1:123456789012:key/x".into(), "NotFoundException", ""),
            ("arn:aws:kms:eu-central-1:123456789012:keys/x".into(), "InvalidArnException", ""),
            ("arn:aws:kms:eu-central-1::alias/x".into(), "InvalidArnException", ""),
            ("arn:aws:s3:eu-central-1:123456789012:alias/x".into(), "InvalidArnException", ""),
            ("arn:aws:kms".into(), "InvalidArnException", ""),
            (
                format!("arn:aws-cn:kms:eu-central-1:123456789012:key/{id}"),
                "InvalidArnException",
                "",
            ),
        ] {
            let error = KeyName::parse(&text, &home()).unwrap_err();
            assert_eq!(error.code, code, "{text}");
            assert!(error.message.starts_with(message), "{text}: {}", error.message);
        }
    }
}
