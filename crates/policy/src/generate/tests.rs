use super::replay::is_allowed;
use super::*;
use crate::analyse::{Answer, check_no_new_access};
use crate::lint::{PolicyKind, lint};
use crate::{Document, Kind, parse};

const ACCOUNT: &str = "123456789012";

fn generated(options: Options, all: &[Observation]) -> Generated {
    let mut generator = Generator::new(options);
    all.iter().cloned().for_each(|one| generator.observe(one));
    generator.generate()
}

fn parsed(generated: &Generated) -> Vec<Document> {
    let texts = generated.documents.iter().map(Value::to_string);
    texts.map(|text| parse(&text, Kind::Managed).unwrap()).collect()
}

/// Whether the policies allow a question.
fn passes(documents: &[Document], asked: &Observation) -> bool {
    let allowed = |document| is_allowed(document, &asked.action, &asked.resource, &asked.keys);
    documents.iter().any(allowed)
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

/// What a deployment did.
fn deployment() -> Vec<Observation> {
    let see = |action: &str, resource: String| Observation::new(action, resource);
    let mut all = vec![
        see("iam:PassRole", role("app")).key("iam:PassedToService", "lambda.amazonaws.com"),
        see("iam:AttachRolePolicy", role("app"))
            .key("iam:PolicyARN", "arn:aws:iam::aws:policy/ReadOnlyAccess"),
        see("iam:GetRole", role("app")),
        see("iam:ListRoles", format!("arn:aws:iam::{ACCOUNT}:role/")),
        see("iam:ListUsers", "*".into()),
        see("sts:AssumeRole", "arn:aws:iam::210987654321:role/other".into())
            .key("sts:ExternalId", "x-1")
            .key("sts:RoleSessionName", "now-1234"),
        see("s3:ListBucket", "arn:aws:s3:::logs".into()).key("s3:prefix", "2026/"),
        see("kms:Decrypt", format!("arn:aws:kms:eu-west-1:{ACCOUNT}:key/1-2-3"))
            .key("aws:RequestedRegion", "eu-west-1"),
    ];
    for day in 1..=12 {
        all.push(see("s3:GetObject", format!("arn:aws:s3:::logs/2026/{day:02}.json")));
        all.push(see("s3:PutObject", format!("arn:aws:s3:::logs/2026/{day:02}.json")));
    }
    all
}

#[test]
fn a_generated_policy_is_readable() {
    let got = generated(Options::default(), &deployment());
    let wanted = serde_json::json!([{"Version": "2012-10-17", "Statement": [
        {"Sid": "IamManageRole", "Effect": "Allow", "Action": ["iam:AttachRolePolicy"],
         "Resource": role("app"),
         "Condition": {"ArnEquals": {"iam:PolicyARN": "arn:aws:iam::aws:policy/ReadOnlyAccess"}}},
        {"Sid": "IamReadRole", "Effect": "Allow", "Action": ["iam:GetRole"], "Resource": role("app")},
        {"Sid": "IamWriteRole", "Effect": "Allow", "Action": ["iam:PassRole"],
         "Resource": role("app"),
         "Condition": {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}},
        {"Sid": "IamList", "Effect": "Allow", "Action": ["iam:ListRoles", "iam:ListUsers"],
         "Resource": "*"},
        {"Sid": "KmsWriteKey", "Effect": "Allow", "Action": ["kms:Decrypt"],
         "Resource": format!("arn:aws:kms:eu-west-1:{ACCOUNT}:key/1-2-3")},
        {"Sid": "S3ReadWriteObject", "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"],
         "Resource": "arn:aws:s3:::logs/2026/*.json"},
        {"Sid": "S3ListBucket", "Effect": "Allow", "Action": ["s3:ListBucket"],
         "Resource": "arn:aws:s3:::logs"},
        {"Sid": "StsWriteRole", "Effect": "Allow", "Action": ["sts:AssumeRole"],
         "Resource": "arn:aws:iam::210987654321:role/other",
         "Condition": {"StringEquals": {"sts:ExternalId": "x-1"}}},
    ]}]);
    assert_eq!(serde_json::json!(got.documents), wanted, "{:#}", got.documents[0]);
}

#[test]
fn neighbours_of_what_was_seen_are_denied() {
    let all = deployment();
    let options = Options { global_keys: ["aws:RequestedRegion"].into(), ..Options::default() };
    let documents = parsed(&generated(options, &all));
    for seen in &all {
        assert!(passes(&documents, seen), "{seen:?}");
        // Other actions of the service, but for those seen on the same resource.
        let vendor = seen.action.split(':').next().unwrap();
        for other in reference::service(vendor).unwrap().actions() {
            let other = Observation { action: other.full_name(), ..seen.clone() };
            let was_seen = all.iter().any(|one| one.action == other.action);
            assert!(was_seen || !passes(&documents, &other), "{other:?}");
        }
        if seen.resource.starts_with("arn:") && !seen.action.contains(":List") {
            let shifted = [
                format!("{}x", seen.resource.trim_end_matches(".json")),
                seen.resource.replace("logs", "other").replace("app", "web").replace("-3", "-4"),
                seen.resource.replace(ACCOUNT, "999999999999").replace(":::", "::1:"),
                seen.resource.replace("eu-west-1", "us-east-1"),
            ];
            for resource in shifted.into_iter().filter(|resource| *resource != seen.resource) {
                let other = Observation { resource, ..seen.clone() };
                let is_seen = all
                    .iter()
                    .any(|s| (&s.action, &s.resource) == (&other.action, &other.resource));
                assert!(is_seen || !passes(&documents, &other), "{other:?}");
            }
        }
    }
    let without = |action: &str, key: &str| {
        let mut one = all.iter().find(|one| one.action == action).unwrap().clone();
        one.keys.remove(key).unwrap();
        assert!(!passes(&documents, &one), "{one:?}");
        one.keys.insert(key.to_owned(), vec!["something.else".to_owned()]);
        assert!(!passes(&documents, &one), "{one:?}");
    };
    without("iam:PassRole", "iam:PassedToService");
    without("iam:AttachRolePolicy", "iam:PolicyARN");
    without("sts:AssumeRole", "sts:ExternalId");
    without("kms:Decrypt", "aws:RequestedRegion");
}

#[test]
fn a_generated_policy_is_within_a_bound_written_by_hand() {
    let bound = |text: &str| parse(text, Kind::Identity).unwrap();
    let documents = parsed(&generated(Options::default(), &deployment()));
    let wide = bound(
        r#"{"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["iam:ListRoles", "iam:ListUsers"], "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:*", "Resource": "arn:aws:iam::123456789012:role/app"},
        {"Effect": "Allow", "Action": "s3:*Object", "Resource": "arn:aws:s3:::logs/2026/*"},
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::logs"},
        {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:eu-west-1:*:key/*"},
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::210987654321:role/other",
         "Condition": {"StringEquals": {"sts:ExternalId": "x-1"}}}]}"#,
    );
    assert_eq!(check_no_new_access(&wide, &documents[0], Kind::Identity), Answer::Proved);
    // The bound without the role's statement is passed.
    let mut narrow = wide.statements.clone();
    narrow.remove(1);
    let narrow = Document::new(wide.version, None, narrow);
    assert!(check_no_new_access(&narrow, &documents[0], Kind::Identity).witness().is_some());
}

#[test]
fn the_lint_finds_nothing_in_generated_policies() {
    let mut all = deployment();
    // Every action of some services, on a resource of each of its types.
    for vendor in ["iam", "s3", "kms", "sts", "dynamodb", "sqs", "secretsmanager"] {
        for action in reference::service(vendor).unwrap().actions() {
            for of in action.resource_types() {
                for format in of.resource_type.arn_formats() {
                    let arn = format.replace("${Partition}", "aws").replace("${Account}", ACCOUNT);
                    let arn = arn.replace("${Region}", "eu-west-1");
                    let mut parts = arn.split("${");
                    let mut text = parts.next().unwrap().to_owned();
                    for part in parts {
                        text.push_str("name-x");
                        text.push_str(part.split_once('}').unwrap().1);
                    }
                    all.push(Observation::new(action.full_name(), text.replace('*', "any")));
                }
            }
        }
    }
    for options in [
        Options::default(),
        Options { few: 0, ..Options::default() },
        Options { conditions: false, few: usize::MAX, ..Options::default() },
    ] {
        let got = generated(options, &all);
        assert!(!got.notes.iter().any(|note| matches!(note, Note::NotAllowed(..))));
        for document in &got.documents {
            let text = format!("{document:#}");
            assert_eq!(lint(&text, PolicyKind::Identity, None), [], "{text}");
        }
    }
}

#[test]
fn what_no_pattern_may_say_is_named_one_by_one() {
    let many = |action: &str, arn: &dyn Fn(usize) -> String| -> Vec<String> {
        let all: Vec<_> = (0..9).map(|i| Observation::new(action, arn(i))).collect();
        let got = generated(Options::default(), &all);
        let resources = &got.documents[0]["Statement"][0]["Resource"];
        match resources.as_array() {
            Some(all) => all.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
            None => vec![resources.as_str().unwrap().to_owned()],
        }
    };
    let words = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibex"];
    let user = |name: String| format!("arn:aws:iam::{ACCOUNT}:user/{name}");
    // Many users that have nothing in common are not all users.
    assert_eq!(many("iam:GetUser", &|i| user(words[i].into())).len(), 9);
    assert_eq!(many("iam:GetUser", &|i| user(format!("ci-{i}"))), [user("ci-*".into())]);
    // A pattern of buckets would be other accounts' buckets, too: their ARNs name no account.
    assert_eq!(many("s3:ListBucket", &|i| format!("arn:aws:s3:::logs-{i}")).len(), 9);
    // A table's pattern would be its indexes', too, where the action takes those.
    let table = |i| format!("arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/app-{i}");
    assert_eq!(many("dynamodb:Query", &table).len(), 9);
    assert_eq!(many("dynamodb:GetItem", &table).len(), 1);
    // Never across regions or accounts.
    let keys = |i| format!("arn:aws:sqs:eu-west-{i}:{ACCOUNT}:queue");
    assert_eq!(many("sqs:SendMessage", &keys).len(), 9);
    // Objects of one bucket, which share its name alone; of many buckets each.
    assert_eq!(
        many("s3:GetObject", &|i| format!("arn:aws:s3:::b/{}", words[i])),
        ["arn:aws:s3:::b/*"]
    );
    let object = |i| format!("arn:aws:s3:::logs-{i}/index");
    assert_eq!(many("s3:GetObject", &object).len(), 9);
    // One of them is covered by the pattern of the others.
    let nested = |i: usize| match i {
        8 => "arn:aws:s3:::b/log-1/deep".to_owned(),
        i => format!("arn:aws:s3:::b/log-{i}"),
    };
    assert_eq!(many("s3:GetObject", &nested), ["arn:aws:s3:::b/log-*"]);
    // An action that nobody knows.
    assert_eq!(many("nosuch:Thing", &|i| format!("arn:aws:nosuch:::thing/a-{i}")).len(), 9);
}

#[test]
fn a_pattern_of_roles_is_passed_to_one_service_or_is_none() {
    let pass = |i| Observation::new("iam:PassRole", role(&format!("app-{i}")));
    let resource = |all: &[Observation]| {
        let got = generated(Options::default(), all);
        got.documents[0]["Statement"][0]["Resource"].clone()
    };
    let bare: Vec<_> = (0..9).map(pass).collect();
    assert_eq!(resource(&bare).as_array().map(Vec::len), Some(9));
    let to = |one: Observation| one.key("iam:PassedToService", "ec2.amazonaws.com");
    let all: Vec<_> = bare.into_iter().map(to).collect();
    assert_eq!(resource(&all), role("app-*"));
}

#[test]
fn wildcards_and_variables_in_names_stand_for_themselves() {
    let odd = "arn:aws:s3:::b/a*b?c${aws:username}$";
    let documents =
        parsed(&generated(Options::default(), &[Observation::new("s3:GetObject", odd)]));
    assert!(passes(&documents, &Observation::new("s3:GetObject", odd)));
    for other in ["arn:aws:s3:::b/aXb?c${aws:username}$", "arn:aws:s3:::b/a*bXc${aws:username}$"] {
        assert!(!passes(&documents, &Observation::new("s3:GetObject", other)), "{other}");
    }
}

#[test]
fn a_condition_that_varies_is_none_and_says_so() {
    let pass = |role: &str, to: usize| {
        let arn = format!("arn:aws:iam::{ACCOUNT}:role/{role}");
        Observation::new("iam:PassRole", arn)
            .key("iam:PassedToService", format!("s{to}.amazonaws.com"))
    };
    let conditions = |all: &[Observation]| {
        let got = generated(Options::default(), all);
        let documents = parsed(&got);
        all.iter().for_each(|one| assert!(passes(&documents, one)));
        let statements = got.documents[0]["Statement"].as_array().unwrap().clone();
        (
            statements.iter().filter(|s| s.get("Condition").is_some()).count(),
            statements.len(),
            got.notes,
        )
    };
    // Each role to its own service; a role to several, to many; and many roles to their own.
    assert_eq!(conditions(&[pass("a", 1), pass("b", 2)]), (2, 2, vec![]));
    assert_eq!(conditions(&[pass("a", 1), pass("a", 2)]), (1, 1, vec![]));
    let many: Vec<_> = (0..7).map(|to| pass("a", to)).collect();
    assert_eq!(conditions(&many), (1, 1, vec![]));
    let many: Vec<_> = (0..7).map(|to| pass(&format!("x{to}y"), to)).collect();
    assert_eq!(conditions(&many), (7, 7, vec![]));
    // What guards nothing is given up when it varies too much.
    let secret = |id: usize| {
        Observation::new("sts:AssumeRole", format!("arn:aws:iam::{ACCOUNT}:role/a"))
            .key("sts:ExternalId", format!("id-{id}"))
    };
    let many: Vec<_> = (0..7).map(secret).collect();
    let varied = Note::Varied("sts:AssumeRole".into(), "sts:ExternalId".into());
    assert_eq!(conditions(&many), (0, 1, vec![varied]));
    // Once without the key: no condition on that role.
    let bare = Observation { keys: Keys::new(), ..pass("a", 1) };
    assert_eq!(conditions(&[bare, pass("a", 1), pass("b", 1)]), (1, 2, vec![]));
}

#[test]
fn a_call_with_a_value_that_no_condition_can_say_takes_no_condition_away() {
    let attach = |policy: &str| {
        Observation::new("iam:AttachRolePolicy", format!("arn:aws:iam::{ACCOUNT}:role/app"))
            .key("iam:PolicyARN", format!("arn:aws:iam::{ACCOUNT}:policy/team/{policy}"))
    };
    let unsaid = Observation { keys: [("iam:PolicyARN".to_owned(), vec![])].into(), ..attach("x") };
    let got = generated(Options::default(), &[attach("p1"), attach("*"), unsaid, attach("p1")]);
    let condition = &got.documents[0]["Statement"][0]["Condition"]["ArnEquals"]["iam:PolicyARN"];
    assert_eq!(condition, &format!("arn:aws:iam::{ACCOUNT}:policy/team/p1"));
    assert!(matches!(&got.notes[..], [Note::Malformed(..)]), "{:?}", got.notes);
}

#[test]
fn denied_calls_and_nonsense_are_left_out_and_told() {
    let denied =
        Observation { allowed: false, ..Observation::new("s3:GetObject", "arn:aws:s3:::b/k") };
    let all = [
        denied.clone(),
        denied.clone(),
        Observation::new("s3:*", "*"),
        Observation::new("s3:Get", "b"),
    ];
    let got = generated(Options::default(), &all);
    assert_eq!((got.documents.len(), got.observations, got.seen), (0, 0, 4));
    assert_eq!(got.notes.len(), 3);
    assert!(got.notes.contains(&Note::Denied("s3:GetObject".into(), 2)));
    let got = generated(Options { denied: true, ..Options::default() }, &all);
    assert!(passes(&parsed(&got), &denied));
    let most = Options { most: 1, ..Options::default() };
    let two =
        ["a", "b", "b"].map(|k| Observation::new("s3:GetObject", format!("arn:aws:s3:::b/{k}")));
    assert_eq!(generated(most, &two).notes, [Note::TooMany(2)]);
}

#[test]
fn global_keys_are_conditions_where_asked_for_and_true_of_all() {
    let see = |secure: &str, address: &str| {
        Observation::new("s3:GetObject", "arn:aws:s3:::b/k")
            .key("aws:SecureTransport", secure)
            .key("aws:SourceIp", address)
            .key("aws:RequestedRegion", "eu-west-1")
    };
    let condition = |all: &[Observation]| {
        let got = generated(Options { global_keys: GLOBAL_KEYS.into(), ..Options::default() }, all);
        all.iter().for_each(|one| assert!(passes(&parsed(&got), one)));
        got.documents[0]["Statement"][0]["Condition"].clone()
    };
    let region = || serde_json::json!({"aws:RequestedRegion": "eu-west-1"});
    assert_eq!(
        condition(&[see("true", "198.51.100.7"), see("true", "2001:db8::1")]),
        serde_json::json!({"Bool": {"aws:SecureTransport": "true"}, "StringEquals": region(),
            "IpAddress": {"aws:SourceIp": ["198.51.100.7", "2001:db8::1"]}})
    );
    // A private address is not what AWS sees; a call in clear is nothing to ask for.
    assert_eq!(
        condition(&[see("false", "10.0.0.1")]),
        serde_json::json!({"StringEquals": region()})
    );
}

#[test]
fn a_long_policy_is_cut_into_documents_within_the_quota() {
    let users = (0..400).map(|i| {
        let name: String = format!("{i:03}").bytes().map(|b| char::from(b - b'0' + b'a')).collect();
        let arn = format!("arn:aws:iam::{ACCOUNT}:user/{name}");
        Observation::new("iam:GetUser", arn)
    });
    let all: Vec<_> = users.chain(deployment()).collect();
    let got = generated(Options::default(), &all);
    assert!(got.documents.len() > 3);
    let documents = parsed(&got);
    all.iter().for_each(|one| assert!(passes(&documents, one), "{one:?}"));
    for document in &got.documents {
        assert!(documents::length(&document.to_string()) <= MANAGED_POLICY);
        assert_eq!(lint(&format!("{document:#}"), PolicyKind::Identity, None), []);
    }
}

#[test]
fn the_order_of_observations_makes_no_difference() {
    let mut all = deployment();
    let first = generated(Options::default(), &all);
    all.reverse();
    all.extend(deployment());
    let second = generated(Options::default(), &all);
    assert_eq!((first.documents, first.notes), (second.documents, second.notes));
}

#[test]
fn very_many_names_take_no_more_time_than_they_are() {
    let name = |i: usize| -> String {
        let letters = [i / 17_576, i / 676 % 26, i / 26 % 26, i % 26].map(|c| b'a' + c as u8);
        letters.map(char::from).iter().collect()
    };
    let mut generator = Generator::new(Options::default());
    for i in 0..20_000 {
        let arn = format!("arn:aws:iam::{ACCOUNT}:user/{}", name(i));
        generator.observe(Observation::new("iam:GetUser", arn));
    }
    let begun = std::time::Instant::now();
    let got = generator.generate();
    assert_eq!((got.observations, got.notes.len()), (20_000, 0));
    // Twenty thousand by twenty thousand comparisons would take minutes.
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}
