//! Questions about the account of `tests/data/account.json`.

use super::*;
use crate::Decision;
use crate::document::Effect;
use crate::evaluate::Layer;
use crate::explain::explain;

const EXPORT: &str = include_str!("../../tests/data/account.json");
const BEN: &str = "arn:aws:iam::123456789012:user/ben";
const REPORT: &str = "arn:aws:s3:::reports/web/q1";

fn account() -> Account {
    Account::new(vec![Page::read(EXPORT).unwrap()]).unwrap()
}

fn given(text: &str, kind: Kind) -> Given {
    Given { name: "given.json".into(), text: text.into(), document: parse(text, kind).unwrap() }
}

/// `{"Version": …, "Statement": […]}`
fn document(statements: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

fn question(action: &str, resource: &str) -> Question {
    Question::new(action, resource, "123456789012".parse().unwrap())
}

/// Every answer as `NAME: ANSWER`.
fn ask(account: &Account, around: &Around, question: &Question) -> Vec<String> {
    let said = |access: &Access<'_>| match access {
        Access::Allowed { by: Some(source) } => format!("allowed by {source}"),
        Access::Allowed { by: None } => "allowed".to_owned(),
        Access::Denied(Decision::ExplicitDeny(layer)) => format!("explicit deny, {layer:?}"),
        Access::Denied(Decision::ImplicitDeny(layer)) => format!("denied, {layer:?}"),
        Access::Denied(Decision::Allow) => unreachable!(),
        Access::RootAssumesNoRole => "root assumes no role".to_owned(),
        Access::Depends { on, also } => {
            let mut out = "depends".to_owned();
            for hinge in on {
                for open in &hinge.open {
                    let (effect, source) = (hinge.effect.name(), hinge.source);
                    let keys = open.unknown.join(", ");
                    out += &format!(" | {effect} of {source}: {} {keys}", open.operator);
                }
            }
            if let Some(also) = also {
                out += &format!(" | {also:?}");
            }
            out
        }
    };
    let answers = who_can(account, around, question).unwrap();
    let name = |text: &str| text.rsplit(['/', ':']).next().unwrap_or(text).to_owned();
    answers.iter().map(|one| format!("{}: {}", name(&one.who.text), said(&one.access))).collect()
}

#[test]
fn everyone_of_an_account_is_told_apart() {
    let answers = ask(&account(), &Around::default(), &question("s3:GetObject", REPORT));
    let mfa =
        "Deny of group admins, inline policy MfaOnly: BoolIfExists aws:MultiFactorAuthPresent";
    let expected = [
        "root: allowed".to_owned(),
        format!("ada: depends | {mfa}"),
        "ben: allowed by group developers, arn:aws:iam::123456789012:policy/Developer".into(),
        // Without a tag the pattern of the developers' policy matches nothing.
        "cleo: denied, Identity".into(),
        "dan: denied, Identity".into(),
        "eve: depends | Allow of group auditors, inline policy Read: IpAddress aws:SourceIp".into(),
        "fay: denied, Identity".into(),
        "AWSServiceRoleForSupport: denied, Identity".into(),
        "deploy: denied, Identity".into(),
        "ops: allowed by arn:aws:iam::aws:policy/AdministratorAccess".into(),
        "partner: denied, Identity".into(),
        "worker: allowed by role worker, inline policy Bucket".into(),
    ];
    let sorted = |all: &[String]| {
        let mut all = all.to_vec();
        all.sort();
        all
    };
    assert_eq!(sorted(&answers), sorted(&expected));
}

#[test]
fn a_key_that_is_given_settles_what_depended_on_it() {
    let mut question = question("s3:GetObject", REPORT);
    question.given.push(("aws:sourceip".into(), vec!["10.1.2.3".into()]));
    question.given.push(("aws:MultiFactorAuthPresent".into(), vec!["false".into()]));
    let answers = ask(&account(), &Around::default(), &question);
    assert!(
        answers.contains(&"eve: allowed by group auditors, inline policy Read".into()),
        "{answers:?}"
    );
    assert!(answers.contains(&"ada: explicit deny, Identity".into()), "{answers:?}");
}

#[test]
fn a_denial_that_is_certain_is_no_dependence() {
    let around = Around {
        service_control: vec![vec![given(
            &document(
                r#"{"Effect": "Allow", "Action": "*", "Resource": "*"},
                       {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*",
                        "Condition": {"StringNotEquals": {"aws:PrincipalArn": [
                            "arn:aws:iam::123456789012:role/aws-service-role/support.amazonaws.com/AWSServiceRoleForSupport",
                            "arn:aws:iam::123456789012:user/eve"]}}}"#,
            ),
            Kind::Identity,
        )]],
        ..Around::default()
    };
    let answers = ask(&account(), &around, &question("s3:GetObject", REPORT));
    let denied = |answer: &&String| answer.ends_with(": explicit deny, ServiceControl");
    // All but eve and the service-linked role, which no such policy binds.
    assert_eq!(answers.iter().filter(denied).count(), 10, "{answers:?}");
    assert!(answers.iter().any(|answer| answer.starts_with("eve: depends")), "{answers:?}");
}

#[test]
fn what_is_allowed_anyhow_does_not_hang_on_what_else_may_allow_it() {
    let around = Around {
        resources: vec![(
            "arn:aws:s3:::reports".into(),
            given(
                &document(
                    r#"{"Effect": "Allow", "Principal": {"AWS": "123456789012"},
                        "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/*",
                        "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
                       {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:user/fay"},
                        "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/*",
                        "Condition": {"Bool": {"aws:SecureTransport": "true"}}}"#,
                ),
                Kind::Resource,
            ),
        )],
        ..Around::default()
    };
    let answers = ask(&account(), &around, &question("s3:GetObject", REPORT));
    let ben = "ben: allowed by group developers, arn:aws:iam::123456789012:policy/Developer";
    assert!(answers.contains(&ben.into()), "{answers:?}");
    assert!(
        answers.contains(&"fay: depends | Allow of given.json: Bool aws:SecureTransport".into()),
        "{answers:?}"
    );
}

#[test]
fn who_may_become_a_role_is_in_its_trust_policy() {
    let account = account();
    let ask = |action, role: &str| {
        let role = format!("arn:aws:iam::123456789012:role/{role}");
        ask(&account, &Around::default(), &question(action, &role))
    };
    let ops = ask("sts:AssumeRole", "ops");
    let mfa = "Allow of role ops, trust policy: Bool aws:MultiFactorAuthPresent";
    assert!(ops.contains(&"root: root assumes no role".into()), "{ops:?}");
    assert!(ops.contains(&format!("ben: depends | {mfa}")), "{ops:?}");
    assert!(ops.contains(&"fay: denied, Identity".into()), "{ops:?}");

    let partner = ask("sts:AssumeRole", "partner");
    assert!(partner.contains(&"ben: denied, Trust".into()), "{partner:?}");
    let external = "Allow of role partner, trust policy: StringEquals sts:ExternalId";
    assert!(
        partner.contains(&format!("210987654321: depends | {external} | OwnPolicies")),
        "{partner:?}"
    );
    assert!(partner.contains(&"audit: depends | OwnPolicies".into()), "{partner:?}");

    let worker = ask("sts:AssumeRole", "worker");
    assert!(
        worker.contains(&"lambda.amazonaws.com: allowed by role worker, trust policy".into()),
        "{worker:?}"
    );

    let deploy = ask("sts:AssumeRoleWithWebIdentity", "ci/deploy");
    let github = deploy.iter().find(|one| one.starts_with("token.actions")).unwrap();
    assert!(github.contains("StringLike token.actions.githubusercontent.com:sub"), "{github}");
    assert!(deploy.iter().all(|one| !one.contains(": allowed")), "{deploy:?}");

    let gone = question("sts:AssumeRole", "arn:aws:iam::123456789012:role/gone");
    assert!(who_can(&account, &Around::default(), &gone).is_err());
}

#[test]
fn organization_policies_pass_service_linked_roles_by() {
    let deny = document(r#"{"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}"#);
    let around =
        Around { resource_control: vec![vec![given(&deny, Kind::Resource)]], ..Around::default() };
    let account = account();
    let denied = "explicit deny, ResourceControl";
    let linked = "arn:aws:iam::123456789012:role/aws-service-role/support.amazonaws.com/AWSServiceRoleForSupport";
    let worker = "arn:aws:iam::123456789012:role/worker";
    let assumed = |role| ask(&account, &around, &question("sts:AssumeRole", role));
    let support = assumed(linked);
    let by = "support.amazonaws.com: allowed by role AWSServiceRoleForSupport, trust policy";
    assert!(support.contains(&by.into()), "{support:?}");
    let lambda = assumed(worker);
    assert!(lambda.contains(&format!("lambda.amazonaws.com: {denied}")), "{lambda:?}");
    let cases = ask(&account, &around, &question("support:DescribeCases", "*"));
    assert!(cases.contains(&format!("ada: {denied}")), "{cases:?}");
    assert!(!cases.contains(&format!("AWSServiceRoleForSupport: {denied}")), "{cases:?}");
    let around = Around { management_account: Some(account.id()), ..around };
    let unbound = ask(&account, &around, &question("support:DescribeCases", "*"));
    assert!(!unbound.iter().any(|answer| answer.ends_with(denied)), "{unbound:?}");
}

#[test]
fn anyone_and_whom_s3_names_by_an_id_are_among_the_answers() {
    let bucket = |principal: &str| Around {
        resources: vec![(
            "arn:aws:s3:::reports".into(),
            given(
                &document(&format!(
                    r#"{{"Effect": "Allow", "Principal": {principal}, "Action": "s3:GetObject",
                        "Resource": "arn:aws:s3:::reports/*"}}"#
                )),
                Kind::Resource,
            ),
        )],
        ..Around::default()
    };
    let account = account();
    let question = question("s3:GetObject", REPORT);
    let anyone = ask(&account, &bucket(r#""*""#), &question);
    assert!(anyone.contains(&"*: allowed by given.json".into()), "{anyone:?}");
    assert!(anyone.contains(&"fay: allowed by given.json".into()), "{anyone:?}");
    let id = ask(&account, &bucket(r#"{"CanonicalUser": "79a59df9"}"#), &question);
    assert!(id.contains(&"79a59df9: depends | CanonicalUser".into()), "{id:?}");
    // Another resource's policy is beside the point.
    let other = Question::new("s3:GetObject", "arn:aws:s3:::reports2/x", account.id());
    assert!(!ask(&account, &bucket(r#""*""#), &other).contains(&"*: allowed by given.json".into()));
}

#[test]
fn a_session_that_is_named_is_a_dependence_unless_it_is_the_one_asked_for() {
    let session = "arn:aws:sts::123456789012:assumed-role/partner/alice";
    let around = Around {
        resources: vec![(
            "arn:aws:sqs:eu-west-1:123456789012:q".into(),
            given(
                &document(&format!(
                    r#"{{"Effect": "Allow", "Principal": {{"AWS": "{session}"}}, "Action": "sqs:*",
                        "Resource": "*"}}"#
                )),
                Kind::Resource,
            ),
        )],
        ..Around::default()
    };
    let account = account();
    let question = question("sqs:SendMessage", "arn:aws:sqs:eu-west-1:123456789012:q");
    let answers = ask(&account, &around, &question);
    assert!(
        answers.contains(&"partner: depends | Allow of given.json: Principal ".into()),
        "{answers:?}"
    );
    for (text, allowed) in [(session, true), (&session.replace("alice", "bob"), false)] {
        let who = account.who(text).unwrap();
        let (action, resource, id) = (&*question.action, &*question.resource, account.id());
        let known = account.known_for(&who, action, resource, id);
        let policies = account.policies_for(&who, &around, action, resource, id);
        let request = crate::Request {
            principal: &who.principal,
            action,
            resource,
            resource_account: id,
            context: known.context(),
        };
        assert_eq!(crate::decide(&request, &policies.set()).is_allowed(), allowed, "{text}");
        assert!(hinges(&policies, &known, &who.principal, &question).is_empty());
    }
}

#[test]
fn a_denial_that_spares_one_session_is_a_dependence_of_its_role_alone() {
    let spared = r#"{"AWS": ["123456789012", "arn:aws:iam::123456789012:role/ops",
        "arn:aws:sts::123456789012:assumed-role/ops/alice"]}"#;
    let around = Around {
        resources: vec![(
            "arn:aws:sqs:eu-west-1:123456789012:q".into(),
            given(
                &document(&format!(
                    r#"{{"Effect": "Deny", "NotPrincipal": {spared}, "Action": "sqs:*", "Resource": "*"}}"#
                )),
                Kind::Resource,
            ),
        )],
        ..Around::default()
    };
    let question = question("sqs:SendMessage", "arn:aws:sqs:eu-west-1:123456789012:q");
    let answers = ask(&account(), &around, &question);
    for said in [
        "root: allowed",
        "ops: depends | Deny of given.json: NotPrincipal ",
        "ben: explicit deny, Resource",
        "deploy: explicit deny, Resource",
    ] {
        assert!(answers.contains(&said.into()), "{said}: {answers:?}");
    }
}

#[test]
fn whom_a_denial_of_all_others_spares_is_asked_for() {
    let spared = r#"{"AWS": ["210987654321", "arn:aws:iam::210987654321:user/guest"]}"#;
    let around = Around {
        resources: vec![(
            "arn:aws:s3:::reports".into(),
            given(
                &document(&format!(
                    r#"{{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "*"}},
                       {{"Effect": "Deny", "NotPrincipal": {spared}, "Action": "s3:*", "Resource": "*"}}"#
                )),
                Kind::Resource,
            ),
        )],
        ..Around::default()
    };
    let answers = ask(&account(), &around, &question("s3:GetObject", REPORT));
    for said in ["*: explicit deny, Resource", "guest: depends | OwnPolicies"] {
        assert!(answers.contains(&said.into()), "{said}: {answers:?}");
    }
}

#[test]
fn a_role_is_told_by_the_beginning_of_its_sessions_ids() {
    // As AWS shows it for buckets that only a role may use.
    // https://aws.amazon.com/blogs/security/how-to-restrict-amazon-s3-bucket-access-to-a-specific-iam-role/
    let account = account();
    let ops = account.roles["arn:aws:iam::123456789012:role/ops"].id.clone().unwrap();
    let asked = |pattern: &str| {
        let around = Around {
            resources: vec![(
                "arn:aws:s3:::reports".into(),
                given(
                    &document(&format!(
                        r#"{{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
                            "Condition": {{"StringNotLike": {{"aws:userId": ["{pattern}", "AIDAX"]}}}}}}"#
                    )),
                    Kind::Resource,
                ),
            )],
            ..Around::default()
        };
        let answers = ask(&account, &around, &question("s3:GetObject", REPORT));
        let is = |name: &&String| name.starts_with("ops: ") || name.starts_with("worker: ");
        answers.iter().filter(is).map(|one| one[..14].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(asked(&format!("{ops}:*")), ["ops: allowed b", "worker: explic"]);
    assert_eq!(asked(&format!("{ops}:a*")), ["ops: depends |", "worker: explic"]);
    assert_eq!(asked("*"), ["ops: allowed b", "worker: allowe"]);
}

#[test]
fn policies_are_named_by_where_they_come_from() {
    let account = account();
    let who = account.who(BEN).unwrap();
    let around = Around::default();
    let policies = account.policies_for(&who, &around, "s3:GetObject", REPORT, account.id());
    let known = account.known_for(&who, "s3:GetObject", REPORT, account.id());
    let request = crate::Request {
        principal: &who.principal,
        action: "s3:GetObject",
        resource: REPORT,
        resource_account: account.id(),
        context: known.context(),
    };
    let set = policies.set();
    let why = explain(&request, &set);
    let layer = &why.layers[0];
    let source = policies.find(layer.layer, layer.level, layer.policies[0].policy).unwrap().source;
    assert_eq!(source.to_string(), "group developers, arn:aws:iam::123456789012:policy/Developer");
    // The default version is not the first one that was made.
    assert_eq!(layer.policies[0].statements[0].sid, Some("Team"));
    assert!(policies.find(Layer::Identity, None, 1).is_none());
    let cleo = account.who("arn:aws:iam::123456789012:user/contractors/cleo").unwrap();
    let policies = account.policies_for(&cleo, &around, "s3:GetObject", REPORT, account.id());
    let boundary = policies.find(Layer::Boundary, None, 0).unwrap().source;
    assert_eq!(boundary.to_string(), "arn:aws:iam::123456789012:policy/ContractorLimits");
    // The layers are named in the order of an explanation.
    let mut layers: Vec<_> = policies.layers().map(|of| (of.layer, of.level)).collect();
    let set = policies.set();
    let why = explain(&request, &set);
    layers.retain(|(layer, _)| *layer != Layer::Session);
    let explained: Vec<_> = why.layers.iter().map(|of| (of.layer, of.level)).collect();
    assert_eq!(layers, explained);
}

#[test]
fn the_keys_of_a_principal_are_known_and_those_of_its_session_are_not() {
    let account = account();
    let known = |arn: &str, resource: &str| {
        let who = account.who(arn).unwrap();
        account.known_for(&who, "iam:GetRole", resource, account.id())
    };
    let ops = "arn:aws:iam::123456789012:role/ops";
    let ben = known(BEN, ops);
    let value = |known: &Known, key: &str| known.context().get(key).map(|v| v.as_slice().concat());
    for (key, wanted) in [
        ("aws:username", Some("ben")),
        ("aws:PrincipalArn", Some(BEN)),
        ("aws:PrincipalTag/team", Some("web")),
        ("aws:PrincipalTag/other", None),
        ("aws:ResourceTag/team", Some("ops")),
        ("iam:ResourceTag/other", None),
        ("aws:PrincipalServiceName", None),
    ] {
        assert!(ben.is_known(key), "{key}");
        assert_eq!(value(&ben, key).as_deref(), wanted, "{key}");
    }
    assert!(value(&ben, "aws:userid").unwrap().starts_with("AIDA"));
    assert!(!ben.is_known("aws:MultiFactorAuthPresent") && !ben.is_known("aws:SourceIp"));

    let session = known("arn:aws:sts::123456789012:assumed-role/deploy/run", BEN);
    assert!(session.is_known("aws:userid"));
    assert!(value(&session, "aws:userid").unwrap().ends_with(":run"));
    let any = known("arn:aws:iam::123456789012:role/ci/deploy", BEN);
    assert!(!any.is_known("aws:userid"));
    assert_eq!(value(&any, "aws:PrincipalArn"), value(&session, "aws:PrincipalArn"));
    assert_eq!(value(&any, "aws:username"), None);
    let root = known("123456789012", BEN);
    assert_eq!(value(&root, "aws:PrincipalType").as_deref(), Some("Account"));
}

#[test]
fn all_that_is_wrong_with_an_export_is_said_at_once() {
    let role = |name: &str, rest: &str| {
        format!(
            r#"{{"Arn": "arn:aws:iam::123456789012:role/{name}", "RoleName": "{name}", "Path": "/",
                "AssumeRolePolicyDocument": {{}} {rest}}}"#
        )
    };
    let text = format!(
        r#"{{"IsTruncated": true,
            "UserDetailList": [{{"Arn": "arn:aws:iam::123456789012:user/u", "UserName": "u", "Path": "/",
                "GroupList": ["g"],
                "UserPolicyList": [{{"PolicyName": "p", "PolicyDocument": "{{}}"}}],
                "AttachedManagedPolicies": [{{"PolicyName": "x", "PolicyArn": "arn:aws:iam::123456789012:policy/x"}}],
                "PermissionsBoundary": {{"PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/y"}}}}],
            "RoleDetailList": [{}],
            "Policies": [
                {{"Arn": "arn:aws:iam::123456789012:policy/y", "DefaultVersionId": "v2", "PolicyVersionList": []}},
                {{"Arn": "arn:aws:iam::210987654321:policy/z", "PolicyVersionList": null}},
                {{"Arn": "z", "PolicyVersionList": null}}]}}"#,
        role("r", "")
    );
    let problems = Account::new(vec![Page::read(&text).unwrap()]).unwrap_err().to_string();
    for said in [
        "every page says that another follows",
        "user u: inline policy p: Syntax errors in policy.",
        "user u: arn:aws:iam::123456789012:policy/x is attached, but is neither in the export nor",
        "user u: the group g is not in the export",
        "role r: trust policy: Syntax errors in policy.",
        "policy/y: the export has no document of its default version",
        "the export is of account 123456789012 and of account 210987654321",
        "`z` is no ARN of an IAM policy",
    ] {
        assert!(problems.contains(said), "{said}:\n{problems}");
    }
    let twice = vec![Page::read(EXPORT).unwrap(), Page::read(EXPORT).unwrap()];
    let problems = Account::new(twice).unwrap_err();
    assert!(problems.0.contains(&Problem::Twice("role ops".into())), "{problems}");
    let empty = Page::read(r#"{"Policies": []}"#).unwrap();
    assert_eq!(Account::new(vec![empty]).unwrap_err(), Problems(vec![Problem::NoAccount]));
}

#[test]
fn an_effect_of_a_hinge_is_that_of_its_statement() {
    let account = account();
    let who = account.who("arn:aws:iam::123456789012:user/ada").unwrap();
    let question = question("iam:ListUsers", "*");
    let known = account.known_for(&who, &question.action, "*", account.id());
    let around = Around::default();
    let policies = account.policies_for(&who, &around, &question.action, "*", account.id());
    let hinges = hinges(&policies, &known, &who.principal, &question);
    let [hinge] = &hinges[..] else { panic!("{hinges:?}") };
    assert_eq!((hinge.effect, hinge.sid, hinge.statement), (Effect::Deny, Some("WithoutMfa"), 0));
    assert_eq!(hinge.open[0].values, ["false"]);
}
