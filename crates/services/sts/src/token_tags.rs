//! Session tags and source identity, as a token carries them.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html#id_session-tags_adding-assume-role-idp>

use crate::federated::invalid_token;
use crate::oidc::Claims;
use crate::session_tags::SessionTags;
use ringfence_model_sts::types::Tag;
use ringfence_wire::ServiceError;
use serde_json::Value;

const TAGS: &str = "https://aws.amazon.com/tags";
const SOURCE_IDENTITY: &str = "https://aws.amazon.com/source_identity";

/// Tags of a session, characters of a key and of a value: what the model says where tags are
/// parameters.
const MOST: usize = 50;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;

/// The session tags of a token, in the nested or the flattened form.
///
/// # Errors
/// `InvalidIdentityToken`.
pub fn of(claims: &Claims) -> Result<SessionTags, ServiceError> {
    let mut tags = Vec::new();
    let mut transitive = Vec::new();
    if let Some(nested) = claims.get(TAGS) {
        let principal = nested.get("principal_tags").and_then(Value::as_object);
        for (key, value) in principal.ok_or_else(malformed)? {
            tags.push(tag(key, value)?);
        }
        if let Some(keys) = nested.get("transitive_tag_keys") {
            transitive.extend(texts(keys)?);
        }
    }
    for (name, value) in claims.iter() {
        let Some(rest) = name.strip_prefix(TAGS).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        if let Some(key) = rest.strip_prefix("principal_tags/") {
            tags.push(tag(key, value)?);
        } else if rest == "transitive_tag_keys" {
            transitive.extend(texts(value)?);
        }
    }
    checked(&tags, &transitive)
}

/// Session tags that an outside provider vouches for, held to what the model says of parameters.
///
/// # Errors
/// `InvalidIdentityToken`.
pub fn checked(tags: &[Tag], transitive: &[String]) -> Result<SessionTags, ServiceError> {
    if tags.len() > MOST || transitive.len() > MOST {
        return Err(invalid_token("The token holds more than 50 session tags"));
    }
    let sound = |text: &str| text.chars().all(is_tag_character);
    for Tag { key, value } in tags {
        let (keys, values) = (key.chars().count(), value.chars().count());
        if keys == 0 || keys > LONGEST_KEY || values > LONGEST_VALUE || !sound(key) || !sound(value)
        {
            return Err(malformed());
        }
    }
    // The words of what a call passes; the code is a token's.
    SessionTags::new(tags, transitive, None).map_err(|refused| invalid_token(refused.message))
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`
fn is_tag_character(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}

/// One tag: its value is a text, or a list of a single one.
fn tag(key: &str, value: &Value) -> Result<Tag, ServiceError> {
    let value = match value {
        Value::String(one) => one,
        Value::Array(list) => match &list[..] {
            [Value::String(one)] => one,
            _ => return Err(malformed()),
        },
        _ => return Err(malformed()),
    };
    Ok(Tag { key: key.to_owned(), value: value.clone() })
}

fn texts(value: &Value) -> Result<Vec<String>, ServiceError> {
    let text = |one: &Value| one.as_str().map(str::to_owned);
    match value {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(list) => list.iter().map(text).collect(),
        _ => None,
    }
    .ok_or_else(malformed)
}

fn malformed() -> ServiceError {
    invalid_token("The session tags of the token are malformed")
}

/// The source identity of a token.
///
/// # Errors
/// `InvalidIdentityToken`.
pub fn source_identity(claims: &Claims) -> Result<Option<String>, ServiceError> {
    match claims.get(SOURCE_IDENTITY) {
        None => Ok(None),
        Some(value) => checked_source_identity(value.as_str().unwrap_or_default()).map(Some),
    }
}

/// A source identity that an outside provider vouches for.
///
/// # Errors
/// `InvalidIdentityToken`, in the words of
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_saml.html>
pub fn checked_source_identity(text: &str) -> Result<String, ServiceError> {
    if is_session_name(text) && !text.to_ascii_lowercase().starts_with("aws:") {
        return Ok(text.to_owned());
    }
    Err(invalid_token(
        "Source Identity must match [a-zA-Z_0-9+=,.@-]{2,64} and not begin with \"aws:\"",
    ))
}

/// `[a-zA-Z_0-9+=,.@-]{2,64}`
pub fn is_session_name(text: &str) -> bool {
    let sound = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-".contains(&b);
    (2..=64).contains(&text.len()) && text.bytes().all(sound)
}
