//! What a lint needs to know of AWS's services. Without it, the checks that need it find nothing.

use crate::glob;

/// A source of service data, such as the service authorization reference.
///
/// Names compare without regard to case. Condition keys and ARN formats are written as the reference
/// writes them, with their placeholders: `s3:ExistingObjectTag/${TagKey}`,
/// `arn:${Partition}:s3:::${BucketName}`.
pub trait ServiceData {
    /// The service of a prefix: `s3`.
    fn service(&self, prefix: &str) -> Option<Service<'_>>;

    /// Every service's prefix.
    fn prefixes(&self) -> Vec<&str>;

    /// The action of a name: `s3:GetObject`.
    fn action(&self, name: &str) -> Option<Action<'_>>;

    /// The actions that a pattern with a literal prefix matches: `s3:Get*`.
    fn actions_matching(&self, pattern: &str) -> Vec<Action<'_>>;

    /// The condition key of a name as a policy writes it: `s3:ExistingObjectTag/team`.
    fn condition_key(&self, name: &str) -> Option<ConditionKey<'_>>;

    /// The condition keys of every service: `aws:PrincipalArn`.
    fn global_condition_keys(&self) -> Vec<ConditionKey<'_>>;
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service<'a> {
    /// `s3`.
    pub prefix: &'a str,
    /// The names of its actions, without the prefix.
    pub actions: Vec<&'a str>,
    /// The types of resources that it has.
    pub resource_types: Vec<ResourceType<'a>>,
    /// The condition keys that it defines.
    pub condition_keys: Vec<&'a str>,
}

/// A type of resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceType<'a> {
    /// `bucket`.
    pub name: &'a str,
    /// How its ARNs look.
    pub arn_formats: Vec<&'a str>,
    /// The condition keys that an action on it has.
    pub condition_keys: Vec<&'a str>,
}

/// An action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action<'a> {
    /// The prefix of its service.
    pub service: &'a str,
    /// `GetObject`.
    pub name: &'a str,
    /// What it acts on; empty where it acts on no resource in particular.
    pub resource_types: Vec<ActionResource<'a>>,
    /// The condition keys that it has whatever it acts on.
    pub condition_keys: Vec<&'a str>,
}

/// A type of resource that an action acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionResource<'a> {
    /// `object`.
    pub resource_type: &'a str,
    /// The condition keys that the action has on it, beside its own and the type's.
    pub condition_keys: Vec<&'a str>,
}

/// A condition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConditionKey<'a> {
    /// `s3:ExistingObjectTag/${TagKey}`.
    pub name: &'a str,
    /// The reference's type: `String`, `ARN`, `Bool`, `Numeric`, `Date`, `IPAddress`, `Binary`, or
    /// `ArrayOf…` one of them for a key of several values.
    pub value_type: &'a str,
}

/// What stands before the first placeholder of a condition key's name; `None` where it has none. The
/// reference writes most of them `${TagKey}`, some `<key>` or `tag-key`, and leaves some out.
pub(super) fn before_placeholder(name: &str) -> Option<&str> {
    if let Some(at) = name.find(['$', '<']) {
        return Some(&name[..at]);
    }
    let tag = name.strip_suffix("tag-key").unwrap_or(name);
    tag.ends_with('/').then_some(tag)
}

/// Whether a condition key of a policy is that of a name with placeholders. A placeholder stands for
/// one character or more.
pub(super) fn key_matches(name: &str, key: &str) -> bool {
    let Some(fixed) = before_placeholder(name) else { return name.eq_ignore_ascii_case(key) };
    let Some((start, rest)) = key.split_at_checked(fixed.len()) else { return false };
    if !start.eq_ignore_ascii_case(fixed) || rest.is_empty() {
        return false;
    }
    let template = &name[fixed.len()..];
    !template.starts_with("${") || glob::matches(&glob::template(template), rest, true)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A handful of services, written by hand.
    pub struct Sample;

    fn types(prefix: &str) -> Vec<ResourceType<'static>> {
        let row =
            |name, arn_formats: &[&'static str], condition_keys: &[&'static str]| ResourceType {
                name,
                arn_formats: arn_formats.to_vec(),
                condition_keys: condition_keys.to_vec(),
            };
        match prefix {
            "s3" => vec![
                row("bucket", &["arn:${Partition}:s3:::${BucketName}"], &[]),
                row("object", &["arn:${Partition}:s3:::${BucketName}/${ObjectName}"], &[]),
                row(
                    "accesspoint",
                    &["arn:${Partition}:s3:${Region}:${Account}:accesspoint/${AccessPointName}"],
                    &[],
                ),
            ],
            "iam" => vec![
                row(
                    "role",
                    &["arn:${Partition}:iam::${Account}:role/${RoleNameWithPath}"],
                    &["aws:ResourceTag/${TagKey}"],
                ),
                row("user", &["arn:${Partition}:iam::${Account}:user/${UserNameWithPath}"], &[]),
            ],
            "sts" => vec![row("root-user", &["arn:${Partition}:iam::${Account}:root"], &[])],
            "backup" => vec![row(
                "recoveryPoint",
                &["arn:${Partition}:${Vendor}:${Region}:*:${ResourceType}:${RecoveryPointId}"],
                &[],
            )],
            "sqs" => vec![row(
                "queue",
                &["arn:${Partition}:sqs:${Region}:${Account}:${QueueName}"],
                &["aws:ResourceTag/${TagKey}"],
            )],
            "kms" => vec![row(
                "key",
                &["arn:${Partition}:kms:${Region}:${Account}:key/${KeyId}"],
                &["aws:ResourceTag/${TagKey}"],
            )],
            "dynamodb" => vec![row(
                "table",
                &["arn:${Partition}:dynamodb:${Region}:${Account}:table/${TableName}"],
                &[],
            )],
            _ => Vec::new(),
        }
    }

    /// Prefix, name, resource type, condition keys.
    type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

    const ACTIONS: &[Row] = &[
        ("s3", "GetObject", "object", &["s3:ExistingObjectTag/${TagKey}", "s3:ResourceAccount"]),
        ("s3", "PutObject", "object", &["s3:x-amz-server-side-encryption-aws-kms-key-id"]),
        ("s3", "ListBucket", "bucket", &["s3:prefix", "s3:max-keys"]),
        ("s3", "ListAllMyBuckets", "", &[]),
        ("iam", "GetRole", "role", &[]),
        ("iam", "PassRole", "role", &["iam:PassedToService"]),
        ("iam", "CreateServiceLinkedRole", "role", &["iam:AWSServiceName"]),
        ("iam", "CreateUser", "user", &["aws:TagKeys"]),
        ("iam", "ListUsers", "", &[]),
        ("sqs", "SendMessage", "queue", &[]),
        ("sqs", "ReceiveMessage", "queue", &[]),
        ("kms", "Decrypt", "key", &["kms:ViaService", "kms:EncryptionContext:${Key}"]),
        ("kms", "ListKeys", "", &[]),
        ("dynamodb", "GetItem", "table", &["dynamodb:Attributes", "dynamodb:Select"]),
        ("dynamodb", "PutItem", "table", &["dynamodb:Attributes"]),
        ("sts", "AssumeRole", "", &["sts:SourceIdentity"]),
        ("sts", "AssumeRoleWithSAML", "", &["saml:aud"]),
        ("sts", "AssumeRoleWithWebIdentity", "", &["cognito-identity.amazonaws.com:aud"]),
        ("sts", "SetSourceIdentity", "", &["sts:SourceIdentity"]),
        ("sts", "TagSession", "", &["aws:TagKeys"]),
        ("ec2", "RunInstances", "", &["ec2:Region"]),
        ("backup", "DeleteRecoveryPoint", "recoveryPoint", &[]),
    ];

    const KEYS: &[(&str, &str)] = &[
        ("s3:ExistingObjectTag/${TagKey}", "String"),
        ("s3:x-amz-server-side-encryption-aws-kms-key-id", "ARN"),
        ("s3:prefix", "String"),
        ("s3:max-keys", "Numeric"),
        ("s3:ResourceAccount", "String"),
        ("iam:PassedToService", "String"),
        ("iam:AWSServiceName", "String"),
        ("kms:ViaService", "String"),
        ("kms:EncryptionContext:${Key}", "String"),
        ("dynamodb:Attributes", "ArrayOfString"),
        ("dynamodb:Select", "String"),
        ("sts:SourceIdentity", "String"),
        ("saml:aud", "String"),
        ("cognito-identity.amazonaws.com:aud", "String"),
        ("ec2:Region", "String"),
    ];

    fn action(row: &Row) -> Action<'static> {
        let on = (!row.2.is_empty())
            .then(|| ActionResource { resource_type: row.2, condition_keys: Vec::new() });
        Action {
            service: row.0,
            name: row.1,
            resource_types: on.into_iter().collect(),
            condition_keys: row.3.to_vec(),
        }
    }

    impl ServiceData for Sample {
        fn service(&self, prefix: &str) -> Option<Service<'_>> {
            let prefix = self.prefixes().into_iter().find(|p| p.eq_ignore_ascii_case(prefix))?;
            let of = |key: &&str| key.split_once(':').is_some_and(|(own, _)| own == prefix);
            Some(Service {
                prefix,
                actions: ACTIONS.iter().filter(|row| row.0 == prefix).map(|row| row.1).collect(),
                resource_types: types(prefix),
                condition_keys: KEYS.iter().map(|(key, _)| *key).filter(of).collect(),
            })
        }

        fn prefixes(&self) -> Vec<&str> {
            let mut prefixes: Vec<_> = ACTIONS.iter().map(|row| row.0).collect();
            prefixes.dedup();
            prefixes
        }

        fn action(&self, name: &str) -> Option<Action<'_>> {
            let same = |row: &&Row| format!("{}:{}", row.0, row.1).eq_ignore_ascii_case(name);
            ACTIONS.iter().find(same).map(action)
        }

        fn actions_matching(&self, pattern: &str) -> Vec<Action<'_>> {
            let hit = |row: &&Row| glob::action(pattern, &format!("{}:{}", row.0, row.1));
            ACTIONS.iter().filter(hit).map(action).collect()
        }

        fn condition_key(&self, name: &str) -> Option<ConditionKey<'_>> {
            let (name, value_type) = KEYS.iter().find(|(key, _)| key_matches(key, name))?;
            Some(ConditionKey { name, value_type })
        }

        fn global_condition_keys(&self) -> Vec<ConditionKey<'_>> {
            Vec::new()
        }
    }

    #[test]
    fn a_placeholder_of_a_key_stands_for_one_character_or_more() {
        assert!(key_matches("aws:ResourceTag/${TagKey}", "aws:resourceTag/a"));
        assert!(!key_matches("aws:ResourceTag/${TagKey}", "aws:ResourceTag/"));
        assert!(key_matches("s3:prefix", "S3:Prefix"));
        assert!(!key_matches("s3:prefix", "s3:prefixes"));
        assert!(key_matches("s3:ExistingObjectTag/<key>", "s3:ExistingObjectTag/a"));
        assert!(key_matches("ssm:resourceTag/tag-key", "ssm:resourceTag/a"));
        assert!(key_matches("glacier:ResourceTag/", "glacier:ResourceTag/a"));
        assert!(!key_matches("glacier:ResourceTag/", "glacier:ResourceTag/"));
        let named = "codebuild:secondarySources/${sourceIdentifier}.location";
        assert!(key_matches(named, "codebuild:secondarySources/a.location"));
        assert!(!key_matches(named, "codebuild:secondarySources/a.buildspec"));
    }
}
