//! What `aws iam get-account-authorization-details` prints, read page by page.
//!
//! The command line prints policies as JSON objects, the API itself answers them as JSON that is
//! percent-encoded; both are read.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html>

use super::reader::{Reader, Result};
use std::borrow::Cow;

/// Why a text is no page of an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON.
    #[error("no JSON at line {line}, column {column}: {why}")]
    NoJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What was found.
        why: String,
    },
    /// A field is missing or has another type.
    #[error("`{field}` {why}")]
    Field {
        /// As `RoleDetailList[3].Arn`.
        field: String,
        /// What is wrong.
        why: String,
    },
    /// None of its lists is there.
    #[error(
        "no output of `aws iam get-account-authorization-details`: it has none of UserDetailList, \
         GroupDetailList, RoleDetailList and Policies"
    )]
    NoExport,
}

/// One page. It borrows from its text until an [`Account`](super::Account) is made of it.
#[derive(Debug, Default)]
pub struct Page<'t> {
    pub(super) users: Vec<Entity<'t>>,
    pub(super) groups: Vec<Entity<'t>>,
    pub(super) roles: Vec<Entity<'t>>,
    pub(super) policies: Vec<Managed<'t>>,
    /// Another page follows it.
    pub(super) is_cut: bool,
}

/// A user, a group or a role; each has some of these.
#[derive(Debug, Default)]
pub(super) struct Entity<'t> {
    pub arn: Cow<'t, str>,
    pub name: Cow<'t, str>,
    pub id: Option<Cow<'t, str>>,
    pub path: Cow<'t, str>,
    pub inline: Vec<Inline<'t>>,
    pub attached: Vec<Cow<'t, str>>,
    pub groups: Vec<Cow<'t, str>>,
    pub boundary: Option<Cow<'t, str>>,
    pub tags: Vec<(Cow<'t, str>, Cow<'t, str>)>,
    pub trust: Option<Cow<'t, str>>,
}

/// An inline policy: its name, and its document as JSON.
#[derive(Debug)]
pub(super) struct Inline<'t> {
    pub name: Cow<'t, str>,
    pub document: Cow<'t, str>,
}

/// A managed policy and the document of its default version, as JSON.
#[derive(Debug)]
pub(super) struct Managed<'t> {
    pub arn: Cow<'t, str>,
    pub document: Option<Cow<'t, str>>,
}

impl<'t> Page<'t> {
    /// Reads a page.
    ///
    /// # Errors
    /// [`Unreadable`], naming the field.
    pub fn read(text: &'t str) -> std::result::Result<Self, Unreadable> {
        const FIELDS: &[&str] = &[
            "UserDetailList",
            "GroupDetailList",
            "RoleDetailList",
            "Policies",
            "IsTruncated",
            "NextToken",
        ];
        // As editors of some systems save it.
        let mut reader = Reader::new(text.strip_prefix('\u{feff}').unwrap_or(text));
        let mut page = Self::default();
        let mut is_export = false;
        reader.fields(FIELDS, |reader, field| {
            is_export |= field.ends_with("List") || field == "Policies";
            match field {
                "UserDetailList" => page.users = reader.list(|reader| entity(reader, USER))?,
                "GroupDetailList" => page.groups = reader.list(|reader| entity(reader, GROUP))?,
                "RoleDetailList" => page.roles = reader.list(|reader| entity(reader, ROLE))?,
                "Policies" => page.policies = reader.list(managed)?,
                "IsTruncated" => page.is_cut |= reader.flag()?,
                // Of the command line's own `--max-items`.
                _ => page.is_cut |= !reader.null()? && reader.text().map(|_| true)?,
            }
            Ok(())
        })?;
        reader.end()?;
        if is_export { Ok(page) } else { Err(Unreadable::NoExport) }
    }
}

/// The fields of users, groups and roles: the first three are required, and of a role the fourth.
const USER: &[&str] = &[
    "Arn",
    "UserName",
    "Path",
    "UserId",
    "UserPolicyList",
    "AttachedManagedPolicies",
    "GroupList",
    "PermissionsBoundary",
    "Tags",
];
const GROUP: &[&str] =
    &["Arn", "GroupName", "Path", "GroupId", "GroupPolicyList", "AttachedManagedPolicies"];
const ROLE: &[&str] = &[
    "Arn",
    "RoleName",
    "Path",
    "AssumeRolePolicyDocument",
    "RoleId",
    "RolePolicyList",
    "AttachedManagedPolicies",
    "PermissionsBoundary",
    "Tags",
];

fn entity<'t>(reader: &mut Reader<'t>, fields: &'static [&'static str]) -> Result<Entity<'t>> {
    let (mut arn, mut name, mut path) = (None, None, None);
    let mut out = Entity::default();
    reader.fields(fields, |reader, field| {
        match field {
            "Arn" => arn = Some(reader.text()?),
            "UserName" | "GroupName" | "RoleName" => name = Some(reader.text()?),
            "Path" => path = Some(reader.text()?),
            "UserId" | "GroupId" | "RoleId" => out.id = Some(reader.text()?),
            "UserPolicyList" | "GroupPolicyList" | "RolePolicyList" => {
                out.inline = reader.list(inline)?;
            }
            "AttachedManagedPolicies" => {
                out.attached = reader.list(|reader| one(reader, &["PolicyArn"]))?;
            }
            "GroupList" => out.groups = reader.list(Reader::text)?,
            "PermissionsBoundary" if !reader.null()? => {
                out.boundary = Some(one(reader, &["PermissionsBoundaryArn"])?);
            }
            "Tags" => out.tags = reader.list(|reader| pair(reader, &["Key", "Value"]))?,
            "AssumeRolePolicyDocument" => out.trust = Some(document(reader)?),
            _ => {}
        }
        Ok(())
    })?;
    out.arn = reader.required("Arn", arn)?;
    out.name = reader.required(fields.get(1).copied().unwrap_or("Arn"), name)?;
    out.path = reader.required("Path", path)?;
    if fields.contains(&"AssumeRolePolicyDocument") {
        out.trust = Some(reader.required("AssumeRolePolicyDocument", out.trust)?);
    }
    Ok(out)
}

/// The one field that an object must have.
fn one<'t>(reader: &mut Reader<'t>, name: &'static [&'static str; 1]) -> Result<Cow<'t, str>> {
    let mut value = None;
    reader.fields(name, |reader, _| {
        value = Some(reader.text()?);
        Ok(())
    })?;
    reader.required(name[0], value)
}

/// The two fields that an object must have.
fn pair<'t>(
    reader: &mut Reader<'t>,
    names: &'static [&'static str; 2],
) -> Result<(Cow<'t, str>, Cow<'t, str>)> {
    let (mut first, mut second) = (None, None);
    reader.fields(names, |reader, field| {
        let slot = if field == names[0] { &mut first } else { &mut second };
        *slot = Some(reader.text()?);
        Ok(())
    })?;
    Ok((reader.required(names[0], first)?, reader.required(names[1], second)?))
}

fn inline<'t>(reader: &mut Reader<'t>) -> Result<Inline<'t>> {
    let (mut name, mut text) = (None, None);
    reader.fields(&["PolicyName", "PolicyDocument"], |reader, field| {
        match field {
            "PolicyName" => name = Some(reader.text()?),
            _ => text = Some(document(reader)?),
        }
        Ok(())
    })?;
    let name = reader.required("PolicyName", name)?;
    Ok(Inline { name, document: reader.required("PolicyDocument", text)? })
}

fn managed<'t>(reader: &mut Reader<'t>) -> Result<Managed<'t>> {
    let (mut arn, mut default) = (None, None);
    let mut versions: Vec<Version<'t>> = Vec::new();
    reader.fields(&["Arn", "DefaultVersionId", "PolicyVersionList"], |reader, field| {
        match field {
            "Arn" => arn = Some(reader.text()?),
            "DefaultVersionId" => default = Some(reader.text()?),
            _ => versions = reader.list(version)?,
        }
        Ok(())
    })?;
    let arn = reader.required("Arn", arn)?;
    let is_default = |version: &Version<'t>| match &default {
        Some(id) => version.id.as_ref() == Some(id),
        None => version.is_default,
    };
    let version = versions.into_iter().find(is_default);
    Ok(Managed { arn, document: version.and_then(|version| version.document) })
}

struct Version<'t> {
    id: Option<Cow<'t, str>>,
    is_default: bool,
    document: Option<Cow<'t, str>>,
}

fn version<'t>(reader: &mut Reader<'t>) -> Result<Version<'t>> {
    let mut out = Version { id: None, is_default: false, document: None };
    reader.fields(&["VersionId", "IsDefaultVersion", "Document"], |reader, field| {
        match field {
            "VersionId" => out.id = Some(reader.text()?),
            "IsDefaultVersion" => out.is_default = reader.flag()?,
            _ => out.document = Some(document(reader)?),
        }
        Ok(())
    })?;
    Ok(out)
}

/// A policy document as JSON text: an object as it stands, or a string that holds one, which may be
/// percent-encoded.
fn document<'t>(reader: &mut Reader<'t>) -> Result<Cow<'t, str>> {
    let text = reader.object_or_text()?;
    if text.trim_start().starts_with('{') {
        return Ok(text);
    }
    match percent_decoded(&text) {
        Some(decoded) => Ok(Cow::Owned(decoded)),
        None => Err(reader.wrong("is no percent-encoded text")),
    }
}

/// <https://datatracker.ietf.org/doc/html/rfc3986#section-2.1>
fn percent_decoded(text: &str) -> Option<String> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_as_an_object_as_text_and_percent_encoded() {
        let object = r#"{"Version":"2012-10-17","Statement":[]}"#;
        let encoded: String = object.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let quoted = serde_json::to_string(object).unwrap();
        for written in [object.to_owned(), format!("{encoded:?}"), quoted] {
            let text = format!(
                r#"{{"GroupDetailList": [{{"Arn": "a", "GroupName": "g", "Path": "/",
                    "GroupPolicyList": [{{"PolicyName": "p\u0041", "PolicyDocument": {written}}}]}}]}}"#
            );
            let page = Page::read(&text).unwrap();
            let inline = &page.groups[0].inline[0];
            assert_eq!((&*inline.name, &*inline.document), ("pA", object));
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_field() {
        let user = |rest: &str| {
            format!(r#"{{"UserDetailList": [{{"Arn": "a", "UserName": "n", "Path": "/"{rest}}}]}}"#)
        };
        for (text, said) in [
            (
                r#"{"UserDetailList": [{"Arn": "a"}]}"#.into(),
                "`UserDetailList[0].UserName` is missing",
            ),
            (r#"{"UserDetailList": 5}"#.into(), "`UserDetailList` must be a list"),
            (user(r#", "Arn": "b""#), "`UserDetailList[0].Arn` stands twice"),
            (user(r#", "Tags": [{"Key": "k"}]"#), "`UserDetailList[0].Tags[0].Value` is missing"),
            (
                user(r#", "GroupList": ["g", null]"#),
                "`UserDetailList[0].GroupList[1]` must be a string",
            ),
            (
                user(r#", "UserPolicyList": [{"PolicyName": "p", "PolicyDocument": "%7"}]"#),
                "`UserDetailList[0].UserPolicyList[0].PolicyDocument` is no percent-encoded text",
            ),
            (
                r#"{"RoleDetailList": [{"Arn": "a", "RoleName": "n", "Path": "/"}]}"#.into(),
                "`RoleDetailList[0].AssumeRolePolicyDocument` is missing",
            ),
            ("[]".into(), "`the whole` must be an object"),
            (r#"{"Users": []}"#.into(), "no output of `aws iam get-account-authorization-details`"),
            (r#"{"UserDetailList": ["#.into(), "no JSON at line 1, column 20"),
            (user("") + "x", "no JSON at line 1"),
            (String::new(), "no JSON at line 1"),
            (format!(r#"{{"x": {}"#, "[".repeat(1 << 20)), "no JSON at line 1"),
        ] {
            let error = Page::read(&text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_page_that_another_follows_says_so() {
        for (rest, cut) in [
            ("", false),
            (r#", "IsTruncated": false"#, false),
            (r#", "IsTruncated": true, "Marker": "m""#, true),
            (r#", "NextToken": "t""#, true),
            (r#", "NextToken": null"#, false),
        ] {
            let text = format!(r#"{{"Policies": []{rest}}}"#);
            assert_eq!(Page::read(&text).unwrap().is_cut, cut, "{rest}");
        }
    }
}
