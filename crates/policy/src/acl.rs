//! Access control lists of S3: they allow beside a bucket's policy, and deny nothing.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html>
//!
//! Where a bucket's owner owns all objects in it, S3 has no such lists, and who asks gives none.

use crate::AccountId;
use crate::evaluate::{Named, Principal, Request};

/// One grant of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AclGrant {
    /// To whom.
    pub grantee: Grantee,
    /// What.
    pub permission: Permission,
}

/// Whom a list lets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grantee {
    /// An account, which a list names by its canonical user id.
    Account(AccountId),
    /// Whoever has an account of AWS's.
    AuthenticatedUsers,
    /// Anyone.
    AllUsers,
    /// The service that delivers server access logs.
    LogDelivery,
}

/// What a list lets them do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// `READ`
    Read,
    /// `WRITE`, of buckets alone.
    Write,
    /// `READ_ACP`
    ReadAcp,
    /// `WRITE_ACP`
    WriteAcp,
    /// `FULL_CONTROL`: all of them.
    FullControl,
}

/// The lists that bear on a request: an object's bucket has one of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Acls<'a> {
    /// The bucket's.
    pub bucket: &'a [AclGrant],
    /// The object's.
    pub object: &'a [AclGrant],
}

/// Which list a permission is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Bucket,
    Object,
}

/// The permission that an action asks for, and whether only of the bucket's owner.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#acl-access-policy-permission-mapping>
const PERMISSIONS: &[(&str, Of, Permission, bool)] = &[
    ("ListBucket", Of::Bucket, Permission::Read, false),
    ("ListBucketVersions", Of::Bucket, Permission::Read, false),
    ("ListBucketMultipartUploads", Of::Bucket, Permission::Read, false),
    ("PutObject", Of::Bucket, Permission::Write, false),
    ("DeleteObject", Of::Bucket, Permission::Write, true),
    ("DeleteObjectVersion", Of::Bucket, Permission::Write, true),
    ("GetBucketAcl", Of::Bucket, Permission::ReadAcp, false),
    ("PutBucketAcl", Of::Bucket, Permission::WriteAcp, false),
    ("GetObject", Of::Object, Permission::Read, false),
    ("GetObjectVersion", Of::Object, Permission::Read, false),
    ("GetObjectAcl", Of::Object, Permission::ReadAcp, false),
    ("GetObjectVersionAcl", Of::Object, Permission::ReadAcp, false),
    ("PutObjectAcl", Of::Object, Permission::WriteAcp, false),
    ("PutObjectVersionAcl", Of::Object, Permission::WriteAcp, false),
];

/// What keeps a grant of a list from applying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    Action,
    Grantee,
}

impl Acls<'_> {
    /// How far the lists reach. What an account is granted is its to give: its principals need an
    /// identity policy beside.
    pub(crate) fn reach(&self, request: &Request<'_>) -> Option<Named> {
        self.each(request).filter_map(|(_, fits)| fits.ok()).max()
    }

    /// Every grant with whether it is the bucket's, and how it names who asks.
    pub(crate) fn each(
        &self,
        request: &Request<'_>,
    ) -> impl Iterator<Item = (bool, Result<Named, Unfit>)> {
        let asked = request.action.split_once(':').and_then(|(service, name)| {
            let mut rows = PERMISSIONS.iter();
            rows.find(|row| service.eq_ignore_ascii_case("s3") && row.0.eq_ignore_ascii_case(name))
        });
        let fits = move |of: Of, grant: &AclGrant| {
            let &(_, list, permission, owner_alone) = asked.ok_or(Unfit::Action)?;
            let covers = [permission, Permission::FullControl].contains(&grant.permission);
            if list != of || !covers {
                return Err(Unfit::Action);
            }
            let owner = grant.grantee == Grantee::Account(request.resource_account);
            let named = names(grant.grantee, request.principal).filter(|_| owner || !owner_alone);
            named.ok_or(Unfit::Grantee)
        };
        let bucket = self.bucket.iter().map(move |grant| (true, fits(Of::Bucket, grant)));
        bucket.chain(self.object.iter().map(move |grant| (false, fits(Of::Object, grant))))
    }
}

fn names(grantee: Grantee, principal: &Principal) -> Option<Named> {
    match (grantee, principal) {
        (Grantee::AllUsers, _) => Some(Named::Itself),
        (Grantee::AuthenticatedUsers, _) => principal.account().map(|_| Named::Itself),
        (Grantee::Account(account), _) => {
            (principal.account() == Some(account)).then_some(Named::Account)
        }
        (Grantee::LogDelivery, Principal::Service(name)) => {
            (name == "logging.s3.amazonaws.com").then_some(Named::Itself)
        }
        (Grantee::LogDelivery, _) => None,
    }
}

impl Grantee {
    /// As a list names it; an account by its number.
    pub fn name(self) -> String {
        match self {
            Self::Account(account) => account.to_string(),
            Self::AuthenticatedUsers => "AuthenticatedUsers".to_owned(),
            Self::AllUsers => "AllUsers".to_owned(),
            Self::LogDelivery => "LogDelivery".to_owned(),
        }
    }
}

impl Permission {
    /// As a list names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Write => "WRITE",
            Self::ReadAcp => "READ_ACP",
            Self::WriteAcp => "WRITE_ACP",
            Self::FullControl => "FULL_CONTROL",
        }
    }
}
