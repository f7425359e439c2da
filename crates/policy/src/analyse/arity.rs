//! Which condition keys hold one value and which a set.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html>

/// How many values a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arity {
    /// One at most.
    One,
    /// Any number.
    Many,
    /// Nothing here says.
    Unknown,
}

/// The global keys that hold sets. All other global keys hold one value.
const GLOBAL_SETS: [&str; 8] = [
    "aws:calledvia",
    "aws:principalorgpaths",
    "aws:principalservicenameslist",
    "aws:resourceorgpaths",
    "aws:sourceorgpaths",
    "aws:tagkeys",
    "aws:vpceorgpaths",
    "aws:chatbotsourcearns",
];

/// Services' keys that hold one value, those that policies name most. An end of `/` or `:` stands for
/// every name after it.
/// <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>
const SERVICE_SINGLES: [&str; 62] = [
    "accounts.google.com:aud",
    "accounts.google.com:sub",
    "cognito-identity.amazonaws.com:aud",
    "cognito-identity.amazonaws.com:sub",
    "dynamodb:returnvalues",
    "dynamodb:select",
    "ec2:availabilityzone",
    "ec2:createaction",
    "ec2:encrypted",
    "ec2:imagetype",
    "ec2:instancetype",
    "ec2:metadatahttptokens",
    "ec2:owner",
    "ec2:region",
    "ec2:resourcetag/",
    "ec2:rootdevicetype",
    "ec2:subnet",
    "ec2:tenancy",
    "ec2:volumesize",
    "ec2:volumetype",
    "ec2:vpc",
    "elasticfilesystem:accessedviamounttarget",
    "elasticfilesystem:accesspointarn",
    "iam:associatedresourcearn",
    "iam:awsservicename",
    "iam:passedtoservice",
    "iam:permissionsboundary",
    "iam:policyarn",
    "iam:resourcetag/",
    "kms:calleraccount",
    "kms:customermasterkeyspec",
    "kms:encryptioncontext:",
    "kms:grantconstrainttype",
    "kms:granteeprincipal",
    "kms:grantisforawsresource",
    "kms:keyorigin",
    "kms:keyspec",
    "kms:keyusage",
    "kms:multiregion",
    "kms:requestalias",
    "kms:scheduledeletionpendingwindowindays",
    "kms:viaservice",
    "lambda:functionarn",
    "lambda:functionurlauthtype",
    "lambda:principal",
    "s3:authtype",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
    "s3:delimiter",
    "s3:existingobjecttag/",
    "s3:locationconstraint",
    "s3:max-keys",
    "s3:prefix",
    "s3:requestobjecttag/",
    "s3:resourceaccount",
    "s3:signatureversion",
    "s3:tlsversion",
    "s3:versionid",
    "s3:x-amz-",
    "sts:externalid",
    "sts:rolesessionname",
    "sts:sourceidentity",
];

/// What is known of a key, whatever its case.
pub(super) fn of(key: &str) -> Arity {
    let key = key.to_ascii_lowercase();
    if GLOBAL_SETS.contains(&key.as_str()) {
        return Arity::Many;
    }
    let single = |known: &str| {
        let open = known.ends_with(['/', ':', '-']);
        if open { key.starts_with(known) } else { key == known }
    };
    if key.starts_with("aws:") || SERVICE_SINGLES.iter().any(|known| single(known)) {
        return Arity::One;
    }
    Arity::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_keys_are_known_and_unlisted_keys_of_services_are_not() {
        for (key, want) in [
            ("aws:SourceIp", Arity::One),
            ("aws:PrincipalTag/team", Arity::One),
            ("AWS:TagKeys", Arity::Many),
            ("s3:x-amz-acl", Arity::One),
            ("kms:EncryptionContext:stage", Arity::One),
            ("kms:EncryptionContextKeys", Arity::Unknown),
            ("x:unlisted", Arity::Unknown),
        ] {
            assert_eq!(of(key), want, "{key}");
        }
    }
}
