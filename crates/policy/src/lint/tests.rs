//! How checks are tested: each has documents that it reports, with the place, and near misses.

use super::*;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// A document that a check reports, and one that it nearly does.
pub(super) struct Case {
    code: &'static str,
    on: &'static str,
    bad: &'static str,
    at: &'static str,
    message: &'static str,
    good: &'static str,
}

/// A check reports `bad`, the first time at the text `at`.
///
/// `on` is a kind of policy, or a resource type of the API. A document that does not begin with a brace
/// or bracket is the members of a statement; those left out are the plainest.
pub(super) const fn case(
    code: &'static str,
    on: &'static str,
    bad: &'static str,
    at: &'static str,
) -> Case {
    Case { code, on, bad, at, message: "", good: "" }
}

fn kind(name: &str) -> Option<PolicyKind> {
    Some(match name {
        "identity" => Identity,
        "resource" => Resource,
        "scp" => ServiceControl,
        "rcp" => ResourceControl,
        "trust" => Trust,
        _ => return None,
    })
}

impl Case {
    /// In these words.
    pub const fn says(self, message: &'static str) -> Self {
        Self { message, ..self }
    }

    /// And does not report this.
    pub const fn but(self, good: &'static str) -> Self {
        Self { good, ..self }
    }

    fn lint(&self, document: &str) -> Vec<Finding> {
        let kind = kind(self.on);
        let resource_type = kind.is_none().then_some(self.on);
        let kind = kind.unwrap_or(Resource);
        lint(document, kind, resource_type)
    }

    fn document(&self, text: &str) -> String {
        if text.starts_with(['{', '[']) {
            return text.to_owned();
        }
        let mut members = vec![text.to_owned()];
        let mut fill = |element: &str, value: &str| {
            if !text.contains(&format!("{element}\":")) {
                members.push(format!("\"{element}\": {value}"));
            }
        };
        fill("Effect", r#""Allow""#);
        if self.on == "trust" {
            fill("Action", r#""sts:AssumeRole""#);
        } else {
            fill("Action", r#""s3:GetObject""#);
            fill("Resource", r#""arn:aws:s3:::bucket/key""#);
        }
        match self.on {
            "identity" | "scp" => {}
            "rcp" => fill("Principal", r#""*""#),
            _ => fill("Principal", r#"{"AWS": "123456789012"}"#),
        }
        let statement = members.join(", ");
        format!("{{\"Version\": \"2012-10-17\", \"Statement\": [{{{statement}}}]}}")
    }
}

fn cases() -> impl Iterator<Item = &'static Case> {
    [
        grammar::tests::CASES,
        empty::tests::CASES,
        principals::tests::CASES,
        actions::tests::CASES,
        resources::tests::CASES,
        conditions::tests::CASES,
        keys::tests::CASES,
        values::tests::CASES,
        addresses::tests::CASES,
        variables::tests::CASES,
        wildcards::tests::CASES,
        passing::tests::CASES,
        security::tests::CASES,
        tags::tests::CASES,
        trust::tests::CASES,
        organizations::tests::CASES,
        redundancy::tests::CASES,
    ]
    .into_iter()
    .flatten()
}

/// The text of a span, which counts in characters.
fn text_at(document: &str, span: Span) -> String {
    let length = span.end.offset - span.start.offset;
    document.chars().skip(span.start.offset).take(length).collect()
}

#[test]
fn every_check_reports_what_is_wrong_at_its_place_and_not_the_near_miss() {
    let mut wrong = Vec::new();
    for case in cases() {
        let bad = case.document(case.bad);
        let findings = case.lint(&bad);
        match findings.iter().find(|finding| finding.code == case.code) {
            None => wrong.push(format!("{} is not reported of {bad}: {findings:#?}", case.code)),
            Some(found) => {
                let at = text_at(&bad, found.locations[0].span);
                if at != case.at {
                    wrong.push(format!("{} is at {at} in {bad}", case.code));
                }
                if !case.message.is_empty() && found.message != case.message {
                    wrong.push(format!("{} says {}", case.code, found.message));
                }
            }
        }
        let good = case.document(case.good);
        if case.lint(&good).iter().any(|finding| finding.code == case.code) {
            wrong.push(format!("{} is reported of {good}", case.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_check_has_a_case() {
    let tested = cases().map(|case| case.code).chain(size::tests::CODES.iter().copied());
    let tested: HashSet<&str> = tested.collect();
    let untested: Vec<_> = implemented().map(|c| c.code).filter(|c| !tested.contains(c)).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

/// What AWS's page lists, retired codes with it, with the class of each.
const CATALOGUE: &str = include_str!("catalogue.txt");

#[test]
fn every_code_of_aws_is_built_or_has_its_reason() {
    let built: HashMap<&str, Class> = implemented().map(|c| (c.code, c.class)).collect();
    let not_built: HashMap<&str, &str> = NOT_BUILT.iter().copied().collect();
    assert_eq!(built.len(), implemented().count(), "a code stands twice");
    let mut codes = 0;
    for line in CATALOGUE.lines() {
        let (class, code) = line.split_once(' ').unwrap();
        codes += 1;
        match (built.get(code), not_built.get(code)) {
            (Some(own), None) => assert_eq!(own.name(), class, "{code}"),
            (None, Some(reason)) => assert!(!reason.is_empty(), "{code}"),
            _ => panic!("{code} is neither built nor listed, or both"),
        }
    }
    assert_eq!(codes, built.len() + not_built.len());
    assert!(implemented().all(|c| c.rule.ends_with('.') && !c.kinds.is_empty()));
}

/// The text of a document with what stands between two of its marks replaced.
fn between(text: &str, mark: &str, new: &str) -> String {
    let (before, rest) = text.split_once(mark).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    format!("{before}{mark}\n{new}<!-- end -->{after}")
}

/// With `UPDATE_DOCS=1` in its environment it writes the tables anew.
#[test]
fn the_users_page_lists_every_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy-lint.md");
    let text = std::fs::read_to_string(path).unwrap();
    let short = |kind: &PolicyKind| match kind {
        Identity => "identity",
        Resource => "resource",
        ServiceControl => "scp",
        ResourceControl => "rcp",
        Trust => "trust",
    };
    let mut checks: Vec<_> = implemented().collect();
    checks.sort_by_key(|check| (check.class, check.code));
    let mut codes =
        String::from("| code | class | policies | reported when |\n|---|---|---|---|\n");
    for check in checks {
        let kinds = if check.kinds == ALL {
            "all".to_owned()
        } else {
            check.kinds.iter().map(short).collect::<Vec<_>>().join(", ")
        };
        let Implemented { code, class, rule, .. } = check;
        codes += &format!("| `{code}` | {} | {kinds} | {rule} |\n", class.name());
    }
    let mut missing = String::from("| code | why |\n|---|---|\n");
    for (code, reason) in NOT_BUILT.iter().filter(|(_, reason)| !reason.starts_with("retired")) {
        missing += &format!("| `{code}` | {reason} |\n");
    }
    let current = between(&text, "<!-- not built -->", &missing);
    let current = between(&current, "<!-- codes -->", &codes);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(path, &current).unwrap();
    }
    assert!(
        text == current,
        "run this test with UPDATE_DOCS=1 to bring docs/policy-lint.md up to date"
    );
}

/// A policy that is as AWS recommends has no findings.
#[test]
fn plain_policies_have_no_findings() {
    for (kind, document) in [
        (
            Identity,
            r#"{"Version": "2012-10-17", "Statement": [{"Sid": "Read", "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:ListBucket", "kms:Decrypt"],
                "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/${aws:username}/*",
                    "arn:aws:kms:eu-west-1:123456789012:key/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "true"},
                    "IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "2001:db8::/32"]}}}]}"#,
        ),
        (
            Trust,
            r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}}"#,
        ),
        (
            Trust,
            r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow",
                "Principal": {"Federated":
                    "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"},
                "Action": "sts:AssumeRoleWithWebIdentity", "Condition": {"StringEquals": {
                    "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                    "token.actions.githubusercontent.com:sub": "repo:o/r:ref:refs/heads/main"}}}}"#,
        ),
        (
            Resource,
            r#"{"Version": "2012-10-17", "Id": "queue", "Statement": [{"Sid": "From the bucket",
                "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:eu-west-1:123456789012:q",
                "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::bucket"},
                    "StringEquals": {"aws:SourceAccount": "123456789012"}}}]}"#,
        ),
        (
            ServiceControl,
            r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*",
                "Resource": "*"}, {"Effect": "Deny", "NotAction": ["iam:*", "sts:*"], "Resource": "*",
                "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1"]}}}]}"#,
        ),
        (
            ResourceControl,
            r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*",
                "Action": "s3:*", "Resource": "*", "Condition": {
                    "StringNotEqualsIfExists": {"aws:PrincipalOrgID": "o-a1b2c3d4e5"},
                    "BoolIfExists": {"aws:PrincipalIsAWSService": "false"}}}]}"#,
        ),
    ] {
        let findings = lint(document, kind, None);
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

/// What may be reported as an error or a security warning of AWS's own policies, and how often at most.
/// Those that speak of names are for what the reference no longer has, or never had: services that were
/// shut, actions that AWS keeps to itself. The others are faults, or breadth, that the policies have.
const OF_AWS: &[(&str, usize)] = &[
    ("INVALID_SERVICE_IN_ACTION", 217),
    ("INVALID_ACTION", 53),
    ("INVALID_SERVICE", 3),
    ("INVALID_GLOBAL_CONDITION_KEY", 2),
    ("INVALID_SERVICE_CONDITION_KEY", 1),
    ("INVALID_ARN_RESOURCE", 41),
    ("MISSING_ARN_ACCOUNT", 2),
    ("UNSUPPORTED_ACTION_FOR_CONDITION_KEY", 26),
    ("FORALLVALUES_WITH_SINGLE_VALUED_KEY", 2),
    ("PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE", 3),
    ("PASS_ROLE_WITH_STAR_IN_RESOURCE", 12),
    ("STRING_LIKE_OPERATOR_WITH_ARN_CONDITION_KEYS", 17),
];

#[test]
fn the_policies_of_aws_have_few_errors_and_none_of_their_form() {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for policy in crate::reference::managed::policies() {
        for finding in lint(policy.document, Identity, None) {
            if matches!(finding.class, Class::Error | Class::SecurityWarning) {
                *counts.entry(finding.code).or_default() += 1;
            }
        }
    }
    let most: HashMap<&str, usize> = OF_AWS.iter().copied().collect();
    counts.retain(|code, count| most.get(code).is_none_or(|most| *count > *most));
    assert!(counts.is_empty(), "{counts:?}");
}

/// Policies as AWS's guides show them, each behind its kind: of S3, SQS, SNS, KMS, roles, organizations.
const EXAMPLES: &str = include_str!("examples.txt");

#[test]
fn policies_that_the_guides_of_aws_show_have_no_errors() {
    for line in EXAMPLES.lines() {
        let (kind_name, document) = line.split_once(' ').unwrap();
        let findings = lint(document, kind(kind_name).unwrap(), None);
        let errors: Vec<_> = findings.iter().filter(|f| f.class == Class::Error).collect();
        assert!(errors.is_empty(), "{document}: {errors:#?}");
    }
}

/// What `ValidatePolicy` is shown to answer, with the places. The page's last one ends two characters
/// further on: the value that it shows is shorter than the one that was asked about.
/// <https://docs.aws.amazon.com/cli/latest/reference/accessanalyzer/validate-policy.html>
#[test]
fn the_findings_of_the_command_lines_example_are_those_of_aws() {
    let document = r#"{
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "",
            "Effect": "Allow",
            "Principal": {
                "Federated": "cognito-identity.amazonaws.com"
            },
            "Action": [
                "sts:AssumeRole",
                "sts:TagSession"
            ],
            "Condition": {
                "StringEquals": {
                    "cognito-identity.amazonaws.com:aud": "us-west-2_EXAMPLE"
                }
            }
        }
    ]
}"#;
    let place = |location: &Location| {
        let path = location.path.iter().map(|element| match element {
            PathElement::Index(index) => index.to_string(),
            PathElement::Value(key) => key.clone(),
            other => panic!("{other:?}"),
        });
        let (start, end) = (location.span.start, location.span.end);
        let path = path.collect::<Vec<_>>().join(" ");
        (path, (start.line, start.column, start.offset), (end.line, end.column, end.offset))
    };
    let of = |path: &str, start, end| (path.to_owned(), start, end);
    let found: Vec<_> = lint(document, Resource, None)
        .iter()
        .map(|f| (f.class.name(), f.code, f.locations.iter().map(place).collect::<Vec<_>>()))
        .collect();
    assert_eq!(
        found,
        [
            (
                "SUGGESTION",
                "EMPTY_SID_VALUE",
                vec![of("Statement 0 Sid", (5, 19, 79), (5, 21, 81))],
            ),
            (
                "ERROR",
                "MISMATCHED_ACTION_FOR_PRINCIPAL",
                vec![
                    of("Statement 0 Action 0", (11, 16, 258), (11, 32, 274)),
                    of("Statement 0 Principal Federated", (8, 29, 170), (8, 61, 202)),
                ],
            ),
            (
                "ERROR",
                "UNSUPPORTED_ACTION_FOR_CONDITION_KEY",
                vec![
                    of("Statement 0 Action 1", (12, 16, 292), (12, 32, 308)),
                    of(
                        "Statement 0 Condition StringEquals cognito-identity.amazonaws.com:aud",
                        (16, 58, 443),
                        (16, 77, 462),
                    ),
                ],
            ),
        ]
    );
}

#[test]
fn a_trust_policy_is_one_by_its_resource_type_too() {
    let document = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": "*",
        "Action": "sts:AssumeRole", "Resource": "*"}}"#;
    let by_type = lint(document, Resource, Some("AWS::IAM::AssumeRolePolicyDocument"));
    assert_eq!(by_type, lint(document, Trust, None));
    assert!(by_type.iter().any(|f| f.code == "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE"));
}

#[test]
fn a_misspelt_name_is_told_from_another() {
    let known = ["GetObject", "PutObject", "ListBucket"];
    assert_eq!(nearest("getObjekt", known), Some("GetObject"));
    assert_eq!(nearest("GteObject", known), Some("GetObject"));
    assert_eq!(nearest("DeleteBucket", known), None);
}

fn sound(document: &str) {
    let end = document.chars().count();
    for kind in ALL {
        for finding in lint(document, *kind, Some("AWS::S3::Bucket")) {
            assert!(!finding.locations.is_empty(), "{finding:?}");
            for Location { span: Span { start, end: after }, .. } in &finding.locations {
                assert!(start.offset <= after.offset && after.offset <= end, "{finding:?}");
                assert!(start.line >= 1 && start.column <= start.offset, "{finding:?}");
            }
        }
    }
}

thread_local! {
    /// The steps that lints of this thread took in the loops that a document could make long.
    pub(super) static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// What a document of the API's greatest length may cost: a second on a slow machine.
const MOST: u64 = 100_000_000;

/// A statement whose element is as many items as the API's greatest length holds.
fn filled(members: &str, element: &str, item: impl Fn(usize) -> String) -> String {
    let mut items = Vec::new();
    let mut left = 128 * 1024 - members.len() - element.len() - 60;
    for at in 0.. {
        let item = item(at);
        let Some(rest) = left.checked_sub(item.len() + 1) else { break };
        left = rest;
        items.push(item);
    }
    let (open, close) = if element.is_empty() { ("", "") } else { ("[", "]") };
    let items = items.join(",");
    format!(
        "{{\"Version\": \"2012-10-17\", \"Statement\": [{{\"Effect\": \"Allow\", {members}{element}{open}{items}{close}}}]}}"
    )
}

#[test]
fn documents_that_are_made_to_take_long_do_not() {
    let actions = |item: &dyn Fn(usize) -> String| filled("", "\"Action\":", item);
    let resources = |item: &dyn Fn(usize) -> String| filled("", "\"Resource\":", item);
    let stars =
        |begin: &str, length: usize, at: usize| format!("\"{begin}{}{at}*\"", "*a".repeat(length));
    let tags: Vec<_> = (0..2_000).map(|i| format!("\"aws:ResourceTag/a{i}\": \"a\"")).collect();
    let tags = format!("\"Condition\": {{\"StringEquals\": {{{}}}}}, ", tags.join(", "));
    let providers: Vec<_> = (0..4_000).map(|i| format!("\"a{i}.com\"")).collect();
    let providers = format!("\"Principal\": {{\"Federated\": [{}]}}, ", providers.join(", "));
    let mut documents = vec![
        "[".repeat(131_072),
        "{\"a\":".repeat(21_000),
        actions(&|_| "\"ec2:Foo\"".into()),
        actions(&|i| format!("\"ec2:DescribeInstance{i}\"")),
        actions(&|i| format!("\"service{i}:Get\"")),
        actions(&|i| stars("s3:", 12_000, i)),
        resources(&|_| "\"arn:aws:s3:x:y:**z\"".into()),
        resources(&|_| format!("\"{}\"", "${".repeat(60_000))),
        filled("\"Condition\": {", "", |_| "\"StringLike\": {\"aws:ResourceTag/a\": \"*\"}".into())
            .replace("}]}", "}}]}"),
        filled(&tags, "\"Action\":", |_| "\"ec2:Describe*\"".into()),
        filled(&tags, "\"Action\":", |i| format!("\"ec2:*{i}\"")),
        filled(&tags, "\"Action\":", |_| "\"ec2:DescribeInstances\"".into()),
        filled(&providers, "\"Action\":", |_| "\"sts:AssumeRoleWithSAML\"".into()),
    ];
    documents.push(actions(&|i| stars("nothing:", 4_000, i)));
    documents.push(resources(&|i| stars("arn:aws:s3:::", 20, i)));
    for document in documents {
        STEPS.set(0);
        let findings = lint(&document, Resource, None);
        let size: usize = findings.iter().map(|f| f.message.len()).sum();
        assert!(size <= OUTPUT + document.len());
        let (steps, start) = (STEPS.get(), &document[..100.min(document.len())]);
        assert!(steps <= MOST, "{steps} steps for {start}");
    }
}

/// Text of policies' own words, so that many documents are nearly policies.
fn nearly_a_policy() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[ -~é\n]{0,12}",
        Just("*".to_owned()),
        Just("${aws:username, 'x'}".to_owned()),
        Just("arn:aws:s3:::b*/${aws:username".to_owned()),
        Just("arn:aws:iam::123456789012:role/*".to_owned()),
        Just("s3:Get*".to_owned()),
        Just("iam:PassRole".to_owned()),
        Just("10.0.0.1/8".to_owned()),
        Just("token.actions.githubusercontent.com".to_owned()),
        Just("Allow".to_owned()),
    ];
    let key = prop_oneof![
        Just("Version".to_owned()),
        Just("Statement".to_owned()),
        Just("Sid".to_owned()),
        Just("Effect".to_owned()),
        Just("Principal".to_owned()),
        Just("AWS".to_owned()),
        Just("Federated".to_owned()),
        Just("Action".to_owned()),
        Just("NotAction".to_owned()),
        Just("Resource".to_owned()),
        Just("Condition".to_owned()),
        Just("ForAllValues:StringLikeIfExists".to_owned()),
        Just("IpAddress".to_owned()),
        Just("aws:SourceIp".to_owned()),
        Just("aws:userid".to_owned()),
        Just("s3:prefix".to_owned()),
        "[ -~é]{0,8}",
    ];
    let leaf = prop_oneof![
        3 => word.prop_map(serde_json::Value::from),
        1 => any::<bool>().prop_map(serde_json::Value::from),
        1 => any::<f64>().prop_map(serde_json::Value::from),
        1 => Just(serde_json::Value::Null),
    ];
    let value = leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    });
    value.prop_map(|value| value.to_string())
}

proptest! {
    #[test]
    fn no_text_panics_and_spans_lie_in_it(text in "[\\[\\]{}\":,0-9a-z\\\\ \néu$*]{0,60}") {
        sound(&text);
    }

    #[test]
    fn no_policy_panics_and_spans_lie_in_it(text in nearly_a_policy()) {
        sound(&text);
        let cut = text.len() / 2;
        sound(text.get(..cut).unwrap_or_default());
    }

    #[test]
    fn no_statement_panics_and_spans_lie_in_it(text in nearly_a_policy()) {
        for element in ["Action", "Resource", "Principal", "Condition"] {
            sound(&format!("{{\"Statement\": [{{\"Effect\": \"Allow\", \"{element}\": {text}}}]}}"));
            sound(&format!(
                "{{\"Statement\": {{\"Condition\": {{\"StringLike\": {{\"aws:userid\": {text}}}}}}}}}"
            ));
        }
    }
}
