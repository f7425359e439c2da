//! What bears on a decision beside documents: who is exempt from an organization's policies, grants on
//! KMS keys, access control lists of S3. A test's name is the rule; its page stands above it.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests, helpers included.

use ringfence_policy::acl::{AclGrant, Acls, Grantee, Permission};
use ringfence_policy::document::PrincipalPattern;
use ringfence_policy::grant::{Constraint, EncryptionContext, Grant, Grants};
use ringfence_policy::{
    AccountId, Context, Decision, Document, Kind, Layer, PolicySet, Principal, Request,
    ResourcePolicy, parse,
};
use serde_json::{Value, json};

const MEMBER: &str = "123456789012";
const MANAGEMENT: &str = "999999999999";
const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/1";
const OBJECT: &str = "arn:aws:s3:::bucket/key";
const BUCKET: &str = "arn:aws:s3:::bucket";

fn account(id: &str) -> AccountId {
    id.parse().unwrap()
}

fn document(statement: Value, kind: Kind) -> Document {
    let text = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
    parse(&text, kind).unwrap()
}

fn all(effect: &str) -> Document {
    document(json!({ "Effect": effect, "Action": "*", "Resource": "*" }), Kind::Identity)
}

fn all_of_anyone(effect: &str) -> Document {
    let statement = json!({ "Effect": effect, "Action": "*", "Resource": "*", "Principal": "*" });
    document(statement, Kind::Resource)
}

fn user(id: &str) -> Principal {
    Principal::User { arn: format!("arn:aws:iam::{id}:user/ann") }
}

fn role(id: &str, path: &str) -> Principal {
    Principal::AssumedRole {
        role_arn: format!("arn:aws:iam::{id}:role/{path}ops"),
        session_arn: format!("arn:aws:sts::{id}:assumed-role/ops/ann"),
    }
}

/// The decision, in which the fast form, the slow one and the explanation agree.
fn decide(
    who: &Principal,
    action: &str,
    resource: &str,
    owner: &str,
    set: &PolicySet<'_>,
) -> Decision {
    decide_with(who, action, resource, owner, set, &Context::default())
}

fn decide_with(
    principal: &Principal,
    action: &str,
    resource: &str,
    owner: &str,
    set: &PolicySet<'_>,
    context: &Context,
) -> Decision {
    let resource_account = account(owner);
    let request = Request { principal, action, resource, resource_account, context };
    let decision = ringfence_policy::decide(&request, set);
    assert_eq!(decision, ringfence_policy::evaluate::decide(&request, set), "{request:?}");
    let why = ringfence_policy::explain(&request, set);
    assert_eq!(decision, why.decision);
    assert_eq!(
        why.grants.len(),
        set.grants.grants.len() + set.acls.bucket.len() + set.acls.object.len()
    );
    decision
}

/// <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps.html>
#[test]
fn service_control_policies_do_not_bind_the_management_account_or_service_linked_roles() {
    let (allow, deny) = (all("Allow"), all("Deny"));
    let linked = "aws-service-role/ops.amazonaws.com/";
    let denied = Decision::ExplicitDeny(Layer::ServiceControl);
    for (who, decision) in [
        (user(MEMBER), denied),
        (role(MEMBER, ""), denied),
        (Principal::Root(account(MEMBER)), denied),
        // A role whose path merely resembles that of the linked ones is as any other.
        (role(MEMBER, "x/aws-service-role/"), denied),
        (role(MEMBER, linked), Decision::Allow),
        (user(MANAGEMENT), Decision::Allow),
        (role(MANAGEMENT, ""), Decision::Allow),
        (Principal::Root(account(MANAGEMENT)), Decision::Allow),
    ] {
        let own = who.account().unwrap().to_string();
        let set = PolicySet {
            identity: vec![&allow],
            service_control: vec![vec![&deny]],
            management_account: Some(account(MANAGEMENT)),
            ..PolicySet::default()
        };
        assert_eq!(decide(&who, "s3:GetObject", OBJECT, &own, &set), decision, "{who:?}");
        // Nor does a level that allows nothing.
        let set = PolicySet { service_control: vec![vec![]], ..set };
        let silent = decision.is_allowed().then_some(Decision::Allow);
        let silent = silent.unwrap_or(Decision::ImplicitDeny(Layer::ServiceControl));
        assert_eq!(decide(&who, "s3:GetObject", OBJECT, &own, &set), silent, "{who:?}");
    }
}

/// <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html>
#[test]
fn resource_control_policies_bind_the_resources_of_members_in_services_that_have_them() {
    let (open, deny) = (all_of_anyone("Allow"), all_of_anyone("Deny"));
    let denied = Decision::ExplicitDeny(Layer::ResourceControl);
    let service = Principal::Service("ops.amazonaws.com".into());
    for (who, action, owner, decision) in [
        (user(MEMBER), "s3:GetObject", MEMBER, denied),
        (user(MANAGEMENT), "s3:GetObject", MEMBER, denied),
        (Principal::Anonymous, "s3:GetObject", MEMBER, denied),
        (service, "S3:getobject", MEMBER, denied),
        (user(MEMBER), "sts:AssumeRole", MEMBER, denied),
        (user(MANAGEMENT), "s3:GetObject", MANAGEMENT, Decision::Allow),
        (
            role(MEMBER, "aws-service-role/a.amazonaws.com/"),
            "s3:GetObject",
            MEMBER,
            Decision::Allow,
        ),
        (user(MEMBER), "ec2:RunInstances", MEMBER, Decision::Allow),
        (user(MEMBER), "kms:Decrypt", MEMBER, denied),
        (user(MEMBER), "kms:RetireGrant", MEMBER, Decision::Allow),
    ] {
        let allow = all("Allow");
        let set = PolicySet {
            identity: vec![&allow],
            resource: Some(ResourcePolicy::Ordinary(&open)),
            resource_control: vec![vec![&open], vec![&deny]],
            management_account: Some(account(MANAGEMENT)),
            ..PolicySet::default()
        };
        assert_eq!(decide(&who, action, "*", owner, &set), decision, "{who:?} {action}");
    }
}

fn context_of(pairs: &[(&str, &str)]) -> EncryptionContext {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn grant(grantee: PrincipalPattern, operations: &[&str]) -> Grant {
    Grant {
        grantee,
        operations: operations.iter().map(|operation| (*operation).to_owned()).collect(),
        encryption_context: None,
        source_arn: None,
    }
}

fn arn_of(resource: &str) -> PrincipalPattern {
    PrincipalPattern::Arn(format!("arn:aws:iam::{MEMBER}:{resource}"))
}

/// A key whose policy names nobody who asks here.
fn closed_key() -> Document {
    let statement = json!({ "Effect": "Allow", "Action": "kms:*", "Resource": "*",
        "Principal": { "AWS": "arn:aws:iam::123456789012:user/keeper" } });
    document(statement, Kind::Resource)
}

/// <https://docs.aws.amazon.com/kms/latest/developerguide/grants.html>
#[test]
fn a_grant_lets_its_grantee_do_its_operations_beside_the_key_policy() {
    let key = closed_key();
    let none = Decision::ImplicitDeny(Layer::Resource);
    for (grantee, who, action, decision) in [
        (arn_of("user/ann"), user(MEMBER), "kms:Decrypt", Decision::Allow),
        (arn_of("user/ann"), user(MEMBER), "KMS:decrypt", Decision::Allow),
        (arn_of("user/ann"), user(MEMBER), "kms:Encrypt", none),
        (arn_of("user/ann"), user(MEMBER), "s3:Decrypt", none),
        (arn_of("user/bob"), user(MEMBER), "kms:Decrypt", none),
        (arn_of("role/ops"), role(MEMBER, ""), "kms:Decrypt", Decision::Allow),
        (arn_of("role/ops"), user(MEMBER), "kms:Decrypt", none),
        (
            PrincipalPattern::Service("ops.amazonaws.com".into()),
            Principal::Service("ops.amazonaws.com".into()),
            "kms:Decrypt",
            Decision::Allow,
        ),
    ] {
        let grants = [grant(grantee, &["Decrypt", "DescribeKey"])];
        let set = PolicySet {
            resource: Some(ResourcePolicy::Key(&key)),
            grants: Grants { grants: &grants, encryption_context: None },
            ..PolicySet::default()
        };
        assert_eq!(
            decide(&who, action, KEY, MEMBER, &set),
            decision,
            "{who:?} {action} {grants:?}"
        );
    }
}

/// <https://docs.aws.amazon.com/kms/latest/developerguide/grants.html#grant-concepts>
/// <https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html>
#[test]
fn a_grant_overrides_no_denial_and_gives_an_account_no_more_than_it_can_give_on() {
    let (key, allow, deny) = (closed_key(), all("Allow"), all("Deny"));
    let to_user = [grant(arn_of("user/ann"), &["Decrypt"])];
    let to_role = [grant(arn_of("role/ops"), &["Decrypt"])];
    let to_account = [grant(PrincipalPattern::Account(account(MEMBER)), &["Decrypt"])];
    fn set<'a>(key: &'a Document, grants: &'a [Grant]) -> PolicySet<'a> {
        PolicySet {
            resource: Some(ResourcePolicy::Key(key)),
            grants: Grants { grants, encryption_context: None },
            ..PolicySet::default()
        }
    }
    let ask = |who: &Principal, owner: &str, set: PolicySet<'_>| {
        decide(who, "kms:Decrypt", KEY, owner, &set)
    };
    let by_identity = PolicySet { identity: vec![&deny], ..set(&key, &to_user) };
    assert_eq!(ask(&user(MEMBER), MEMBER, by_identity), Decision::ExplicitDeny(Layer::Identity));
    let controlled = PolicySet { service_control: vec![vec![]], ..set(&key, &to_user) };
    assert_eq!(
        ask(&user(MEMBER), MEMBER, controlled),
        Decision::ImplicitDeny(Layer::ServiceControl)
    );
    // An account gives on what it has by identity policies; so does the grantee's in another account.
    let none = Decision::ImplicitDeny(Layer::Identity);
    assert_eq!(ask(&user(MEMBER), MEMBER, set(&key, &to_account)), none);
    let given_on = PolicySet { identity: vec![&allow], ..set(&key, &to_account) };
    assert_eq!(ask(&user(MEMBER), MEMBER, given_on), Decision::Allow);
    assert_eq!(ask(&user(MEMBER), MANAGEMENT, set(&key, &to_user)), none);
    let both = PolicySet { identity: vec![&allow], ..set(&key, &to_user) };
    assert_eq!(ask(&user(MEMBER), MANAGEMENT, both), Decision::Allow);
    // A role that is named is limited by its boundary, a user is not: as with a policy's principals.
    let silent =
        document(json!({ "Effect": "Allow", "Action": "s3:*", "Resource": "*" }), Kind::Identity);
    let bounded = PolicySet { boundary: Some(&silent), ..set(&key, &to_role) };
    assert_eq!(ask(&role(MEMBER, ""), MEMBER, bounded), Decision::ImplicitDeny(Layer::Boundary));
    let bounded = PolicySet { boundary: Some(&silent), ..set(&key, &to_user) };
    assert_eq!(ask(&user(MEMBER), MEMBER, bounded), Decision::Allow);
}

/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html>
#[test]
fn a_grants_constraint_is_on_the_encryption_context_where_there_is_one() {
    let key = closed_key();
    let pairs = context_of(&[("Team", "red")]);
    let more = context_of(&[("team", "red"), ("stage", "prod")]);
    let same = context_of(&[("team", "red")]);
    let other = context_of(&[("team", "Red")]);
    let empty = EncryptionContext::new();
    let (equals, subset) = (Constraint::Equals(pairs.clone()), Constraint::Subset(pairs));
    for (constraint, found, allowed) in [
        (&equals, Some(&same), true),
        (&equals, Some(&more), false),
        (&equals, Some(&other), false),
        (&equals, Some(&empty), false),
        (&subset, Some(&same), true),
        (&subset, Some(&more), true),
        (&subset, Some(&other), false),
        (&subset, Some(&empty), false),
        // `DescribeKey`, or an asymmetric key.
        (&equals, None, true),
        (&subset, None, true),
    ] {
        let grants = [Grant {
            encryption_context: Some(constraint.clone()),
            ..grant(arn_of("user/ann"), &["Decrypt"])
        }];
        let set = PolicySet {
            resource: Some(ResourcePolicy::Key(&key)),
            grants: Grants { grants: &grants, encryption_context: found },
            ..PolicySet::default()
        };
        let decision = decide(&user(MEMBER), "kms:Decrypt", KEY, MEMBER, &set);
        assert_eq!(decision.is_allowed(), allowed, "{constraint:?} {found:?}");
    }
}

/// <https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html>
#[test]
fn a_grants_source_is_the_resource_on_whose_behalf_a_service_asks() {
    let key = closed_key();
    let source = "arn:aws:s3:::bucket";
    let grants = [Grant {
        source_arn: Some(source.into()),
        ..grant(PrincipalPattern::Service("s3.amazonaws.com".into()), &["Decrypt", "RetireGrant"])
    }];
    let set = PolicySet {
        resource: Some(ResourcePolicy::Key(&key)),
        grants: Grants { grants: &grants, encryption_context: None },
        ..PolicySet::default()
    };
    let who = Principal::Service("s3.amazonaws.com".into());
    for (action, asks_for, allowed) in [
        ("kms:Decrypt", Some(source), true),
        ("kms:Decrypt", Some("arn:aws:s3:::other"), false),
        ("kms:Decrypt", None, false),
        ("kms:RetireGrant", None, true),
    ] {
        let mut context = Context::default();
        if let Some(arn) = asks_for {
            context.set("aws:SourceArn", arn);
        }
        let decision = decide_with(&who, action, KEY, MEMBER, &set, &context);
        assert_eq!(decision.is_allowed(), allowed, "{action} {asks_for:?}");
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#acl-access-policy-permission-mapping>
#[test]
fn each_permission_of_an_access_control_list_is_for_its_actions() {
    use Permission::{FullControl, Read, ReadAcp, Write, WriteAcp};
    let of_bucket = [
        (
            Read,
            ["s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"].as_slice(),
        ),
        (Write, &["s3:PutObject"]),
        (ReadAcp, &["s3:GetBucketAcl"]),
        (WriteAcp, &["s3:PutBucketAcl"]),
    ];
    let of_object = [
        (Read, ["s3:GetObject", "s3:GetObjectVersion"].as_slice()),
        (Write, &[]),
        (ReadAcp, &["s3:GetObjectAcl", "s3:GetObjectVersionAcl"]),
        (WriteAcp, &["s3:PutObjectAcl", "s3:PutObjectVersionAcl"]),
    ];
    for (on_bucket, lists) in [(true, of_bucket), (false, of_object)] {
        for granted in [Read, Write, ReadAcp, WriteAcp, FullControl] {
            let grants = [AclGrant { grantee: Grantee::AllUsers, permission: granted }];
            let acls = match on_bucket {
                true => Acls { bucket: &grants, object: &[] },
                false => Acls { bucket: &[], object: &grants },
            };
            let set = PolicySet { acls, ..PolicySet::default() };
            for (permission, actions) in of_bucket.iter().chain(&of_object) {
                let mine = lists.iter().any(|(own, of)| own == permission && of == actions);
                for action in *actions {
                    let decision = decide(&Principal::Anonymous, action, OBJECT, MEMBER, &set);
                    let allowed = mine && (granted == *permission || granted == FullControl);
                    assert_eq!(decision.is_allowed(), allowed, "{granted:?} {on_bucket} {action}");
                }
            }
            // What no list can give.
            for action in ["s3:DeleteObject", "s3:PutBucketPolicy", "sqs:GetObject", "GetObject"] {
                let decision = decide(&Principal::Anonymous, action, OBJECT, MEMBER, &set);
                assert!(!decision.is_allowed(), "{granted:?} {action}");
            }
        }
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#specifying-grantee>
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-s3-evaluates-access-control.html>
#[test]
fn an_access_control_list_lets_whom_it_grants_and_an_accounts_principals_need_its_leave() {
    let allow = all("Allow");
    let other = "210987654321";
    let to = |grantee| [AclGrant { grantee, permission: Permission::Read }];
    let of_other = Grantee::Account(account(other));
    let logs = Principal::Service("logging.s3.amazonaws.com".into());
    for (grantee, who, identity, allowed) in [
        (Grantee::AllUsers, Principal::Anonymous, false, true),
        (Grantee::AllUsers, user(MEMBER), false, true),
        // In another account its own policies must let it as well.
        (Grantee::AllUsers, user(other), false, false),
        (Grantee::AllUsers, user(other), true, true),
        (Grantee::AuthenticatedUsers, Principal::Anonymous, false, false),
        (Grantee::AuthenticatedUsers, user(other), true, true),
        (of_other, Principal::Root(account(other)), false, true),
        (of_other, user(other), false, false),
        (of_other, user(other), true, true),
        (of_other, user(MANAGEMENT), true, false),
        (of_other, Principal::Anonymous, false, false),
        (Grantee::Account(account(MEMBER)), user(MEMBER), false, false),
        (Grantee::LogDelivery, logs, false, true),
        (Grantee::LogDelivery, Principal::Service("ec2.amazonaws.com".into()), false, false),
        (Grantee::LogDelivery, user(other), true, false),
    ] {
        let grants = to(grantee);
        let set = PolicySet {
            identity: if identity { vec![&allow] } else { vec![] },
            acls: Acls { bucket: &grants, object: &[] },
            ..PolicySet::default()
        };
        let decision = decide(&who, "s3:ListBucket", BUCKET, MEMBER, &set);
        assert_eq!(decision.is_allowed(), allowed, "{grantee:?} {who:?}");
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#permissions>
#[test]
fn write_lets_none_but_the_buckets_owner_delete() {
    let allow = all("Allow");
    let other = "210987654321";
    for (id, allowed) in [(MEMBER, true), (other, false)] {
        let grants =
            [AclGrant { grantee: Grantee::Account(account(id)), permission: Permission::Write }];
        let set = PolicySet {
            identity: vec![&allow],
            acls: Acls { bucket: &grants, object: &[] },
            ..PolicySet::default()
        };
        for action in ["s3:DeleteObject", "s3:DeleteObjectVersion"] {
            let decision = decide(&user(id), action, OBJECT, MEMBER, &set);
            assert_eq!(decision.is_allowed(), allowed, "{id} {action}");
        }
        assert!(decide(&user(id), "s3:PutObject", OBJECT, MEMBER, &set).is_allowed());
    }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-denyallow.html>
#[test]
fn an_explicit_deny_beats_an_access_control_list() {
    let deny = all_of_anyone("Deny");
    let grants = [AclGrant { grantee: Grantee::AllUsers, permission: Permission::Read }];
    let set = PolicySet {
        resource: Some(ResourcePolicy::Ordinary(&deny)),
        acls: Acls { bucket: &grants, object: &[] },
        ..PolicySet::default()
    };
    let decision = decide(&Principal::Anonymous, "s3:ListBucket", BUCKET, MEMBER, &set);
    assert_eq!(decision, Decision::ExplicitDeny(Layer::Resource));
}
