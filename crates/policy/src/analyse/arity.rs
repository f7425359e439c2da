//! Which condition keys hold one value and which a set.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html>

use crate::reference::{condition_key, global_condition_keys};

/// How many values a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arity {
    /// One at most.
    One,
    /// One by the reference of its service, which says so of some that hold more.
    Listed,
    /// Any number.
    Many,
    /// Nothing says.
    Unknown,
}

/// Keys that hold sets, of which the reference says one value: their own pages know better.
/// <https://docs.aws.amazon.com/cognito/latest/developerguide/role-trust-and-permissions.html>
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-saml>
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-conditions-route53.html>
const SETS: [&str; 6] = [
    "autoscaling:instancetypes",
    "cloudformation:importresourcetypes",
    "cognito-identity.amazonaws.com:amr",
    "route53:vpcs",
    "s3-outposts:requestobjecttagkeys",
    "saml:edu",
];

/// What is known of a key, whatever its case.
pub(super) fn of(key: &str) -> Arity {
    let small = key.to_ascii_lowercase();
    if SETS.iter().any(|set| small == *set || (*set == "saml:edu" && small.starts_with(set))) {
        return Arity::Many;
    }
    match condition_key(key) {
        Some(known) if known.is_set() => Arity::Many,
        Some(known) if global_condition_keys().any(|global| global == known) => Arity::One,
        Some(_) => Arity::Listed,
        None if is_claim_of_one(&small) => Arity::One,
        None => Arity::Unknown,
    }
}

/// Whether a key is a claim of an OIDC provider that holds one value: `gitlab.example.com/oidc:sub`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html#condition-keys-wif>
fn is_claim_of_one(key: &str) -> bool {
    key.rsplit_once(':').is_some_and(|(host, claim)| {
        host.split('/').next().is_some_and(|host| host.contains('.'))
            && matches!(claim, "aud" | "sub")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_what_the_reference_says_and_one_that_it_lacks_what_nobody_knows() {
        for (key, want) in [
            ("aws:SourceIp", Arity::One),
            ("aws:PrincipalTag/team", Arity::One),
            ("AWS:TagKeys", Arity::Many),
            ("aws:CalledVia", Arity::Many),
            ("aws:unlisted", Arity::Unknown),
            ("s3:x-amz-acl", Arity::Listed),
            ("kms:EncryptionContext:stage", Arity::Listed),
            ("kms:EncryptionContextKeys", Arity::Many),
            ("dynamodb:LeadingKeys", Arity::Many),
            ("accounts.google.com:aud", Arity::Listed),
            ("cognito-identity.amazonaws.com:AMR", Arity::Many),
            ("saml:eduPersonAffiliation", Arity::Many),
            ("oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE:sub", Arity::One),
            ("oidc.example.com:groups", Arity::Unknown),
            ("x:unlisted", Arity::Unknown),
        ] {
            assert_eq!(of(key), want, "{key}");
        }
    }
}
