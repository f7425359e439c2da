//! The rules of the language, a table each. A test's name is the rule; the page that it comes from
//! stands above it. `UG` is <https://docs.aws.amazon.com/IAM/latest/UserGuide/>. How policies combine
//! is in `documented.rs`, and what no page says of it here.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests, helpers included.

use ringfence_policy::{
    AccountId, Context, Decision, Document, Kind, Layer, PolicySet, Principal, Request,
    ResourcePolicy, message, parse,
};
use serde_json::{Value, json};

/// The decision, in which the fast form and the slow one agree.
fn decide(request: &Request<'_>, policies: &PolicySet<'_>) -> Decision {
    let decision = ringfence_policy::decide(request, policies);
    assert_eq!(decision, ringfence_policy::evaluate::decide(request, policies), "{request:?}");
    decision
}

const OWN: &str = "123456789012";
const OTHER: &str = "210987654321";
const BUCKET: &str = "arn:aws:s3:::bucket/key";

fn account(id: &str) -> AccountId {
    id.parse().unwrap()
}

fn policy(statements: Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

fn document(statements: Value, kind: Kind) -> Document {
    parse(&policy(statements), kind).unwrap()
}

/// `"key": "value"` sets one value, `"key": ["…"]` a set.
fn context(keys: &Value) -> Context {
    let mut out = Context::default();
    for (key, value) in keys.as_object().unwrap() {
        match value {
            Value::Array(values) => {
                out.set_many(key.clone(), values.iter().map(|v| v.as_str().unwrap()));
            }
            one => out.set(key.clone(), one.as_str().unwrap()),
        }
    }
    out
}

fn user(id: &str) -> Principal {
    Principal::User { arn: format!("arn:aws:iam::{id}:user/ann") }
}

fn session(id: &str) -> Principal {
    Principal::AssumedRole {
        role_arn: format!("arn:aws:iam::{id}:role/path/ops"),
        session_arn: format!("arn:aws:sts::{id}:assumed-role/ops/ann"),
    }
}

/// Asks whether an identity policy of these statements allows a user this.
fn identity_allows(policy: &str, action: &str, resource: &str, keys: &Value) -> bool {
    let document = parse(policy, Kind::Identity).unwrap();
    let (principal, context) = (user(OWN), context(keys));
    let request = Request {
        principal: &principal,
        action,
        resource,
        resource_account: account(OWN),
        context: &context,
    };
    let set = PolicySet { identity: vec![&document], ..PolicySet::default() };
    decide(&request, &set).is_allowed()
}

// ---- documents ---------------------------------------------------------------------------------

/// What [`parse`] says of a document, `None` where it takes it.
fn refusal(text: &str, kind: Kind) -> Option<String> {
    parse(text, kind).err().map(|malformed| malformed.0)
}

const SYNTAX: &str = "Syntax errors in policy.";
const LEGACY: &str = "The policy failed legacy parsing";

/// UG reference_policies_grammar.html
#[test]
fn documents_outside_the_grammar_are_syntax_errors() {
    let ok = json!({ "Effect": "Allow", "Action": "s3:Get*", "Resource": "*" });
    let with = |key: &str, value: Value| {
        let mut statement = ok.clone();
        statement[key] = value;
        policy(statement)
    };
    for text in [
        "no json".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": []}"#.to_owned(),
        policy(json!([])),
        policy(json!(["text"])),
        json!({ "Version": "2013-10-17", "Statement": ok }).to_string(),
        json!({ "Version": 2012, "Statement": ok }).to_string(),
        json!({ "Version": "2012-10-17", "Statement": ok, "Extra": "x" }).to_string(),
        json!({ "Version": "2012-10-17", "Statement": ok, "Id": ["x"] }).to_string(),
        with("Extra", json!("x")),
        with("Sid", json!({})),
        with("Effect", json!("Maybe")),
        with("Effect", json!(["Allow"])),
        with("Action", json!({})),
        with("Action", json!([[]])),
        with("NotAction", json!("s3:*")),
        with("Resource", json!({ "a": "*" })),
        with("NotResource", json!("*")),
        with("Condition", json!([])),
        with("Condition", json!("a")),
        with("Condition", json!({ "StringEquals": "b" })),
        with("Condition", json!({ "StringEquals": [] })),
        with("Condition", json!({ "StringEquals": { "aws:a": {} } })),
        with("Condition", json!({ "StringEquals": { "aws:a": null } })),
        with("Condition", json!({ "StringSounds": { "aws:a": "b" } })),
        with("Condition", json!({ "ForAnyValue::StringEquals": { "aws:a": "b" } })),
        with("Condition", json!({ "ForSomeValues:StringEquals": { "aws:a": "b" } })),
        with("Condition", json!({ "NullIfExists": { "aws:a": "true" } })),
        with("Condition", json!({ "BinaryNotEquals": { "aws:a": "YQ==" } })),
    ] {
        assert_eq!(refusal(&text, Kind::Identity).as_deref(), Some(SYNTAX), "{text}");
    }
}

/// UG reference_policies_grammar.html
#[test]
fn documents_of_the_grammar_are_taken() {
    let ok = json!({ "Effect": "Allow", "Action": "s3:Get*", "Resource": "*" });
    let with = |key: &str, value: Value| {
        let mut statement = ok.clone();
        statement[key] = value;
        policy(statement)
    };
    for text in [
        policy(ok.clone()),
        policy(json!([ok, ok])),
        json!({ "Statement": ok }).to_string(),
        json!({ "Version": "2008-10-17", "Id": "x", "Statement": ok }).to_string(),
        with("Sid", json!("Reads1")),
        with("Sid", json!("")),
        with("Action", json!("*")),
        with("Action", json!("iam: any text ")),
        with("Action", json!("s3-x.y:Get")),
        with("Condition", json!({})),
        with("Condition", json!({ "NoOperator": {} })),
        with("Condition", json!({ "StringEquals": { "novendor": "x" } })),
        with("Condition", json!({ "DateLessThan": { "aws:CurrentTime": [] } })),
        with("Condition", json!({ "foranyvalue:stringlikeifexists": { "aws:a": "b" } })),
        with("Condition", json!({ "Bool": { "aws:a": true }, "NumericEquals": { "aws:b": 7 } })),
        with("Resource", json!(["arn:aws:s3:::bucket", "*"])),
        with("Resource", json!("arn:aws:fdsasf")),
        with("Resource", json!("arn:aws-cn:sqs")),
        with("Resource", json!("arn:*:s3:::bucket")),
        with("Resource", json!("arn:aws:s3:us-west-2:123456789012:accesspoint/x")),
        with("Resource", json!("arn:aws:iam::123456789012:user/ann")),
        with("Resource", json!("arn:aws:iam::*:*")),
    ] {
        assert_eq!(refusal(&text, Kind::Identity), None, "{text}");
    }
}

/// UG reference_policies_elements_version.html; CreatePolicy's answer to an older version.
#[test]
fn managed_policies_are_of_version_2012() {
    let words = "Policy document must be version 2012-10-17 or greater.";
    let statement = json!({ "Effect": "Allow", "Action": "s3:*", "Resource": "*" });
    for (version, want) in [
        (json!("2012-10-17"), None),
        (json!("2008-10-17"), Some(words)),
        (json!("2013-10-17"), Some(SYNTAX)),
    ] {
        let text = json!({ "Version": version, "Statement": statement }).to_string();
        assert_eq!(refusal(&text, Kind::Managed).as_deref(), want, "{text}");
    }
    // It goes before what is wrong inside, and after what is no policy at all.
    let bare = json!({ "Statement": { "Effect": "denY" } }).to_string();
    assert_eq!(refusal(&bare, Kind::Managed).as_deref(), Some(words));
    assert_eq!(refusal("{}", Kind::Managed).as_deref(), Some(SYNTAX));
}

/// The answers of IAM's CreatePolicy and PutUserPolicy, as its clients' test suites record them.
#[test]
fn each_fault_has_its_message() {
    let (vendor, colon) = (
        "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        "Actions/Condition can contain only one colon.",
    );
    let (no_actions, no_resources) =
        ("Policy statement must contain actions.", "Policy statement must contain resources.");
    let iam = "IAM resource path must either be \"*\" or start with user/, federated-user/, role/, \
               group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, \
               saml-provider/, oidc-provider/, report/, access-report/.";
    for (statement, want) in [
        (json!({ "Action": "invalid", "Resource": "*" }), vendor),
        (json!({ "Action": "invalid" }), vendor),
        (json!({ "NotAction": "", "Resource": "*" }), vendor),
        (json!({ "Action": "a a:List", "Resource": "*" }), "Vendor a a is not valid"),
        (json!({ "Action": "s3*:List", "Resource": "*" }), "Vendor s3* is not valid"),
        (json!({ "Action": "s3:List:Bucket", "Resource": "*" }), colon),
        (json!({ "Action": [], "Resource": "*" }), no_actions),
        (json!({ "Resource": "*" }), no_actions),
        (json!({}), no_actions),
        (json!({ "Action": "s3:*" }), no_resources),
        (json!({ "Action": "s3:*", "Resource": [] }), no_resources),
        (
            json!({ "Action": "s:3:List", "Resource": "bucket" }),
            "Resource bucket must be in ARN format or \"*\".",
        ),
        (json!({ "Action": "s3:*", "Resource": "" }), "Resource  must be in ARN format or \"*\"."),
        (
            json!({ "Action": "s3:*", "Resource": "a:b:c" }),
            "Partition \"b\" is not valid for resource \"arn:b:c:*:*:*\".",
        ),
        (
            json!({ "Action": "s3:*", "Resource": "aws:s3:::bucket" }),
            "Partition \"s3\" is not valid for resource \"arn:s3:::bucket:*\".",
        ),
        (
            json!({ "Action": "s3:*", "Resource": "arn:error:s3:::bucket" }),
            "Partition \"error\" is not valid for resource \"arn:error:s3:::bucket\".",
        ),
        (
            json!({ "Action": "s3:*", "Resource": "arn:aws" }),
            "Resource vendor must be fully qualified and cannot contain regexes.",
        ),
        (json!({ "Action": "s3:*", "Resource": "arn:aws:iam:::bucket" }), iam),
        (
            json!({ "Action": "s3:*", "Resource": "arn:aws:iam:us-east-1::bucket" }),
            "IAM resource arn:aws:iam:us-east-1::bucket cannot contain region information.",
        ),
        (
            json!({ "Action": "s3:*", "Resource": "arn:aws:s3:us-east-1::bucket" }),
            "Resource arn:aws:s3:us-east-1::bucket can not contain region information.",
        ),
        (
            json!({ "Action": "s3:*", "Resource": "*", "Principal": "*" }),
            "Policy document should not specify a principal.",
        ),
        (
            json!({ "Action": "s3:*", "Resource": "*", "Sid": "a b" }),
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the \
             regular expression [0-9A-Za-z]*",
        ),
    ] {
        let mut statement = statement;
        statement["Effect"] = json!("Allow");
        let text = policy(statement);
        assert_eq!(refusal(&text, Kind::Identity).as_deref(), Some(want), "{text}");
    }
    let twice = policy(json!([
        { "Sid": "a", "Effect": "Allow", "Action": "s3:*", "Resource": "*" },
        { "Sid": "a", "Effect": "Allow" },
    ]));
    assert_eq!(
        refusal(&twice, Kind::Identity).as_deref(),
        Some("Statement IDs (SID) in a single policy must be unique.")
    );
}

/// The same suites; dates: UG reference_policies_elements_condition_operators.html#Conditions_Date
#[test]
fn what_the_older_parser_refuses_is_refused() {
    let date = |value: &str| {
        json!({ "Effect": "Allow", "Action": "s3:*", "Resource": "*",
                "Condition": { "DateLessThan": { "aws:CurrentTime": value } } })
    };
    for (statement, want) in [
        (json!({ "Effect": "denY", "Action": "s3:*", "Resource": "*" }), Some(LEGACY)),
        (json!({ "Effect": "Allow", "Resource": "arn:aws:s3::bucket" }), Some(LEGACY)),
        (json!({ "Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws::x" }), Some(LEGACY)),
        (json!({ "Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws::::x" }), Some(LEGACY)),
        (date("sdfdsf"), Some(LEGACY)),
        (date("234-13"), Some(LEGACY)),
        (date("2016-12-13t2:00:00.593194+1"), Some(LEGACY)),
        (date("2016-12-13t2:00:00.1999999999+10:59"), Some(LEGACY)),
        (date("9223372036854775808"), Some(LEGACY)),
        (date("2016-02-30"), Some(LEGACY)),
        (date("2016-12-13T25:00Z"), Some(LEGACY)),
        (date("01T"), None),
        (date("-292275054"), None),
        (date("2016-12-13t2:00:00.593194+23"), None),
        (date("2016-12-13T21:20:37.593194+00:00"), None),
    ] {
        let text = policy(statement);
        assert_eq!(refusal(&text, Kind::Identity).as_deref(), want, "{text}");
    }
}

/// UG reference_policies_elements_principal.html and roles' UpdateAssumeRolePolicy.
#[test]
fn trust_policies_have_their_own_messages() {
    let base = json!({ "Effect": "Allow", "Action": "sts:AssumeRole",
                       "Principal": { "AWS": OWN } });
    let set = |key: &str, value: Value| {
        let mut statement = base.clone();
        statement[key] = value;
        statement
    };
    let unset = |key: &str| {
        let mut statement = base.clone();
        statement.as_object_mut().unwrap().remove(key);
        statement
    };
    let only = "AssumeRole policy may only specify STS AssumeRole actions.";
    for (statement, want) in [
        (base.clone(), None),
        (set("Action", json!(["sts:AssumeRole", "sts:TagSession"])), None),
        (set("Resource", json!("*")), Some("Has prohibited field Resource")),
        (set("NotResource", json!("*")), Some("Has prohibited field NotResource")),
        (unset("Effect"), Some("Missing required field Effect")),
        (unset("Action"), Some("Missing required field Action")),
        (unset("Principal"), Some("Missing required field Principal")),
        (set("Principal", json!({ "AWS": [] })), Some("Missing required field Principal")),
        (set("Action", json!("s3:GetObject")), Some(only)),
    ] {
        let text = policy(statement);
        assert_eq!(refusal(&text, Kind::Trust).as_deref(), want, "{text}");
    }
    assert_eq!(
        refusal("no json", Kind::Trust).as_deref(),
        Some("This policy contains invalid Json")
    );
}

/// UG reference_policies_elements_principal.html
#[test]
fn principals_name_someone_whole() {
    for (principal, want) in [
        // https://github.com/aws/aws-cdk/pull/5746
        (json!("*"), Some("AssumeRolepolicy contained an invalid principal: \"STAR\":\"*\".")),
        (json!({ "AWS": "*" }), None),
        (json!({ "AWS": OWN }), None),
        (json!({ "AWS": [OWN, OTHER] }), None),
        (json!({ "AWS": "arn:aws:iam::123456789012:root" }), None),
        (json!({ "AWS": "arn:aws:iam::123456789012:user/path/ann" }), None),
        (json!({ "AWS": "arn:aws:iam::123456789012:role/ops" }), None),
        (json!({ "AWS": "arn:aws:sts::123456789012:assumed-role/ops/ann" }), None),
        (json!({ "AWS": "arn:aws:sts::123456789012:federated-user/guest" }), None),
        (json!({ "AWS": "AROAEXAMPLEEXAMPLE12" }), None),
        (json!({ "Service": ["ec2.amazonaws.com", "sns.amazonaws.com"] }), None),
        (json!({ "Federated": "accounts.google.com" }), None),
        (json!({ "Federated": "arn:aws:iam::123456789012:saml-provider/corp" }), None),
        (json!({ "CanonicalUser": "79a59df900b949e55d96a1e698fbaced" }), None),
        (json!("ann"), Some("Invalid principal in policy: \"AWS\":\"ann\"")),
        (json!({ "AWS": "ann" }), Some("Invalid principal in policy: \"AWS\":\"ann\"")),
        (json!({ "AWS": "12345" }), Some("Invalid principal in policy: \"AWS\":\"12345\"")),
        (
            json!({ "AWS": "arn:aws:iam::123456789012:user/*" }),
            Some("Invalid principal in policy: \"AWS\":\"arn:aws:iam::123456789012:user/*\""),
        ),
        (
            json!({ "AWS": "arn:aws:iam::123456789012:group/g" }),
            Some("Invalid principal in policy: \"AWS\":\"arn:aws:iam::123456789012:group/g\""),
        ),
        (json!({ "Service": "ec2" }), Some("Invalid principal in policy: \"SERVICE\":\"ec2\"")),
        (json!({ "Federated": "" }), Some("Invalid principal in policy: \"FEDERATED\":\"\"")),
        (json!({ "Group": "g" }), Some(SYNTAX)),
        (json!(["*"]), Some(SYNTAX)),
    ] {
        let text = policy(
            json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole" }),
        );
        assert_eq!(refusal(&text, Kind::Trust).as_deref(), want, "{text}");
    }
}

/// UG reference_policies_elements_principal.html: a resource's policy has one.
#[test]
fn resource_policies_need_a_principal() {
    let text = policy(json!({ "Effect": "Allow", "Action": "s3:*", "Resource": "*" }));
    let missing = Some("Missing required field Principal");
    assert_eq!(refusal(&text, Kind::Resource).as_deref(), missing);
}

// ---- conditions --------------------------------------------------------------------------------

/// Whether a condition holds: `{operator: {"x:key": policy}}` of a request with these keys.
fn holds(operator: &str, policy_values: &Value, keys: &Value) -> bool {
    let text = policy(json!({ "Effect": "Allow", "Action": "*", "Resource": "*",
                              "Condition": { operator: { "x:key": policy_values } } }));
    identity_allows(&text, "s3:GetObject", BUCKET, keys)
}

/// For each operator: policy values, a value that matches, one that does not.
fn operators() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    vec![
        ("StringEquals", json!(["a", "b"]), "b", "B"),
        ("StringNotEquals", json!(["a", "b"]), "B", "b"),
        ("StringEqualsIgnoreCase", json!("Ab"), "aB", "abc"),
        ("StringNotEqualsIgnoreCase", json!("Ab"), "abc", "aB"),
        ("StringLike", json!(["a*c", "?"]), "abbc", "abbcd"),
        ("StringNotLike", json!(["a*c", "?"]), "abbcd", "x"),
        ("NumericEquals", json!("10"), "10.0", "11"),
        ("NumericNotEquals", json!("10"), "11", "10.0"),
        ("NumericLessThan", json!("10"), "9.5", "10"),
        ("NumericLessThanEquals", json!("10"), "10", "10.5"),
        ("NumericGreaterThan", json!("10"), "11", "10"),
        ("NumericGreaterThanEquals", json!("10"), "10", "-11"),
        ("DateEquals", json!("2020-01-01T00:00:00Z"), "1577836800", "1577836801"),
        ("DateNotEquals", json!("2020-01-01T00:00:00Z"), "1577836801", "1577836800"),
        ("DateLessThan", json!("2020-01-01"), "2019-12-31T23:59:59Z", "2020-01-01T00:00:00Z"),
        ("DateLessThanEquals", json!("2020-01-01"), "2020-01-01T00:00:00Z", "2020-01-01T00:00:01Z"),
        ("DateGreaterThan", json!("2020-01-01"), "2020-01-01T00:00:01Z", "2020-01-01T00:00:00Z"),
        (
            "DateGreaterThanEquals",
            json!("2020-01-01"),
            "2020-01-01T00:00:00Z",
            "2019-12-31T23:59:59Z",
        ),
        ("Bool", json!("true"), "True", "false"),
        ("BinaryEquals", json!("YnVja2V0"), "bucket", "basket"),
        ("IpAddress", json!(["203.0.113.0/24", "2001:db8::/32"]), "2001:db8::1", "203.0.114.1"),
        ("NotIpAddress", json!(["203.0.113.0/24", "2001:db8::/32"]), "203.0.114.1", "203.0.113.9"),
        ("ArnEquals", json!("arn:aws:sns:*:1:t?"), "arn:aws:sns:eu:1:tx", "arn:aws:sns:eu:1:t"),
        ("ArnLike", json!("arn:aws:sns:*:1:t?"), "arn:aws:sns:eu:1:tx", "arn:aws:sns:eu:2:tx"),
        ("ArnNotEquals", json!("arn:aws:sns:*:1:t?"), "arn:aws:sns:eu:1:t", "arn:aws:sns:eu:1:tx"),
        ("ArnNotLike", json!("arn:aws:sns:*:1:t?"), "arn:aws:sns:eu:2:tx", "arn:aws:sns:eu:1:tx"),
    ]
}

fn is_negated(operator: &str) -> bool {
    operator.contains("Not")
}

/// UG reference_policies_elements_condition_operators.html
#[test]
fn every_operator_matches_and_mismatches() {
    for (operator, values, hit, miss) in operators() {
        assert!(holds(operator, &values, &json!({ "x:key": hit })), "{operator} {hit}");
        assert!(!holds(operator, &values, &json!({ "x:key": miss })), "{operator} {miss}");
        // Names of keys and operators compare without regard to case.
        let shouted = operator.to_uppercase();
        assert!(holds(&shouted, &values, &json!({ "X:KEY": hit })), "{shouted} {hit}");
        assert!(!holds(operator, &json!([]), &json!({ "x:key": hit })) || is_negated(operator));
    }
}

/// The same page: an absent key matches nothing, which satisfies a negated operator; `IfExists`.
#[test]
fn an_absent_key_satisfies_negated_operators_and_if_exists() {
    for (operator, values, hit, miss) in operators() {
        assert_eq!(holds(operator, &values, &json!({})), is_negated(operator), "{operator}");
        let if_exists = format!("{operator}IfExists");
        assert!(holds(&if_exists, &values, &json!({})), "{if_exists}");
        assert!(holds(&if_exists, &values, &json!({ "x:key": hit })), "{if_exists} {hit}");
        assert!(!holds(&if_exists, &values, &json!({ "x:key": miss })), "{if_exists} {miss}");
    }
}

/// UG reference_policies_condition-single-vs-multi-valued-context-keys.html
#[test]
fn set_operators_quantify_over_the_requests_values() {
    for (operator, values, hit, miss) in operators() {
        let (all, any) = (format!("ForAllValues:{operator}"), format!("ForAnyValue:{operator}"));
        for (keys, want_all, want_any) in [
            (json!({}), true, false),
            (json!({ "x:key": [] }), true, false),
            (json!({ "x:key": [hit] }), true, true),
            (json!({ "x:key": [hit, hit] }), true, true),
            (json!({ "x:key": [hit, miss] }), false, true),
            (json!({ "x:key": [miss] }), false, false),
            (json!({ "x:key": hit }), true, true),
        ] {
            assert_eq!(holds(&all, &values, &keys), want_all, "{all} {keys}");
            assert_eq!(holds(&any, &values, &keys), want_any, "{any} {keys}");
        }
        assert!(holds(&format!("{any}IfExists"), &values, &json!({})));
    }
    // A null dataset, such as an empty text, counts as no value.
    assert!(holds("ForAllValues:StringEquals", &json!("a"), &json!({ "x:key": "" })));
    assert!(!holds("ForAnyValue:StringEquals", &json!("a"), &json!({ "x:key": "" })));
}

/// UG reference_policies_elements_condition_operators.html#Conditions_Null
#[test]
fn null_asks_whether_a_key_is_there() {
    for (value, present, absent) in [
        (json!("true"), false, true),
        (json!(true), false, true),
        (json!("false"), true, false),
        (json!("FALSE"), true, false),
        (json!(["true", "false"]), true, true),
        (json!("maybe"), false, false),
    ] {
        assert_eq!(holds("Null", &value, &json!({ "x:key": "v" })), present, "{value}");
        assert_eq!(holds("Null", &value, &json!({})), absent, "{value}");
        assert_eq!(holds("Null", &value, &json!({ "x:key": [] })), absent, "{value}");
    }
}

/// UG reference_policies_elements_condition_operators.html#Conditions_Date,
/// <https://www.w3.org/TR/NOTE-datetime>
#[test]
fn dates_have_every_w3c_form_and_epoch_seconds() {
    let instant = "1372550400"; // 2013-06-30T00:00:00Z
    for (text, seconds) in [
        ("2013-06-30", instant),
        ("2013-06-30T00:00Z", instant),
        ("2013-06-30T00:00:00Z", instant),
        ("2013-06-30t00:00:00z", instant),
        ("2013-06-30T00:00:00.000Z", instant),
        ("2013-06-30T02:00:00+02:00", instant),
        ("2013-06-29T19:30:00-04:30", instant),
        ("2013-06-30T00:00:00", instant),
        ("2013-06", "1370044800"),
        ("2013T", "1356998400"),
        ("1969-12-31T23:59:59Z", "-1"),
        ("2016-02-29", "1456704000"),
        ("1900-03-01", "-2203891200"),
        ("1372550400", instant),
        ("1372550400.25", "1372550400.25"),
        ("2013-06-30T00:00:00.25Z", "1372550400.25"),
    ] {
        assert!(holds("DateEquals", &json!(text), &json!({ "x:key": seconds })), "{text}");
        assert!(holds("DateEquals", &json!(seconds), &json!({ "x:key": text })), "{text}");
    }
    for text in ["", "now", "2013-13-01", "2013-02-29", "2013-06-30T00:00:60Z", "12:00"] {
        assert!(!holds("DateLessThan", &json!("2100-01-01"), &json!({ "x:key": text })), "{text}");
        assert!(!holds("DateNotEquals", &json!("2100-01-01"), &json!({ "x:key": text })), "{text}");
    }
}

/// UG reference_policies_elements_condition_operators.html#Conditions_IPAddress
#[test]
fn addresses_are_in_blocks_of_either_family() {
    for (block, address, want) in [
        ("203.0.113.7", "203.0.113.7", true),
        ("203.0.113.7", "203.0.113.8", false),
        ("203.0.113.7/24", "203.0.113.255", true),
        ("0.0.0.0/0", "198.51.100.1", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "198.51.100.1", false),
        ("2001:DB8:1234:5678::/64", "2001:db8:1234:5678::9", true),
        ("2001:DB8:1234:5678::/64", "2001:db8:1234:5679::9", false),
        ("2001:db8::1", "2001:db8:0:0::1", true),
        ("203.0.113.0/24", "::ffff:203.0.113.9", true),
        ("::ffff:203.0.113.0/120", "203.0.113.9", true),
        ("::ffff:203.0.113.0/120", "::ffff:203.0.114.9", false),
        ("*", "203.0.113.9", false),
        ("203.0.113.0/33", "203.0.113.0", false),
    ] {
        let found = holds("IpAddress", &json!(block), &json!({ "x:key": address }));
        assert_eq!(found, want, "{address} in {block}");
    }
    // What is no address is neither in a block nor out of it.
    assert!(!holds("IpAddress", &json!("0.0.0.0/0"), &json!({ "x:key": "here" })));
    assert!(!holds("NotIpAddress", &json!("0.0.0.0/0"), &json!({ "x:key": "here" })));
}

/// UG reference_policies_elements_condition_operators.html#Conditions_ARN
#[test]
fn arn_operators_compare_part_by_part() {
    let long = "arn:aws:x:us-east-2:999:store/abc:111:finance/doc";
    for (pattern, value, want) in [
        ("arn:aws:x:*:111:finance/*", long, false),
        ("arn:aws:x:*:999:*", long, true),
        ("arn:aws:x:us-*-2:99?:store/*", long, true),
        ("arn:aws:sns:*:*:a:b", "arn:aws:sns:eu:1:a:b", true),
        ("arn:aws:sns:eu:1", "arn:aws:sns:eu:1:t", false),
        ("arn:aws:sns:eu:1:T", "arn:aws:sns:eu:1:t", false),
        ("arn:aws:sns:eu:1:t", "t", false),
        ("*", long, true),
    ] {
        let found = holds("ArnLike", &json!(pattern), &json!({ "x:key": value }));
        assert_eq!(found, want, "{pattern} {value}");
    }
    // Where the texts compare whole, the star reaches further.
    assert!(holds("StringLike", &json!("arn:aws:x:*:111:finance/*"), &json!({ "x:key": long })));
}

/// UG reference_policies_elements_condition_operators.html: the value must be of the type.
#[test]
fn what_cannot_be_compared_satisfies_no_operator() {
    for (operator, values, value) in [
        ("NumericEquals", "ten", "ten"),
        ("NumericNotEquals", "10", "ten"),
        ("NumericLessThan", "10", ""),
        ("NumericEquals", "NaN", "NaN"),
        ("Bool", "yes", "yes"),
        ("BinaryEquals", "no base64!", "no base64!"),
    ] {
        assert!(!holds(operator, &json!(values), &json!({ "x:key": value })), "{operator}");
    }
}

/// UG reference_policies_multi-value-conditions.html: AND over operators and keys, OR over values.
#[test]
fn conditions_are_all_of_operators_and_keys_and_any_of_values() {
    let text = policy(json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {
        "StringEquals": { "x:a": ["1", "2"], "x:b": "3" },
        "Bool": { "x:c": "true" } } }));
    for (keys, want) in [
        (json!({ "x:a": "2", "x:b": "3", "x:c": "true" }), true),
        (json!({ "x:a": "4", "x:b": "3", "x:c": "true" }), false),
        (json!({ "x:a": "1", "x:b": "4", "x:c": "true" }), false),
        (json!({ "x:a": "1", "x:b": "3", "x:c": "false" }), false),
        (json!({ "x:a": "1", "x:b": "3" }), false),
    ] {
        assert_eq!(identity_allows(&text, "s3:GetObject", BUCKET, &keys), want, "{keys}");
    }
}

// ---- variables ---------------------------------------------------------------------------------

/// UG reference_policies_variables.html
#[test]
fn variables_take_the_requests_values() {
    let keys = json!({ "aws:username": "ann", "aws:PrincipalTag/team": "*", "x:set": ["a"],
                       "x:key": "" });
    for (pattern, value, want) in [
        ("${aws:username}", "ann", true),
        ("${AWS:UserName}/x", "ann/x", true),
        ("${aws:username}*", "annabel", true),
        ("${aws:none}", "", false),
        ("${aws:none, 'nobody'}", "nobody", true),
        ("${aws:none,'a, b'}", "a, b", true),
        ("${aws:none, ''}", "", true),
        ("${aws:username, 'nobody'}", "ann", true),
        ("${aws:none, nobody}", "nobody", false),
        // A value's wildcards are characters.
        ("${aws:PrincipalTag/team}", "*", true),
        ("${aws:PrincipalTag/team}", "any", false),
        ("a${*}b", "a*b", true),
        ("a${*}b", "axb", false),
        ("a${?}b", "a?b", true),
        ("a${?}b", "axb", false),
        ("${$}{aws:username}", "${aws:username}", true),
        // A key of many values has no one value.
        ("${x:set}", "a", false),
        ("${unclosed", "${unclosed", true),
        ("$aws", "$aws", true),
        ("${}", "${}", true),
    ] {
        let mut keys = keys.clone();
        keys["x:key"] = json!(value);
        let found = holds("StringLike", &json!(pattern), &keys);
        assert_eq!(found, want, "{pattern} {value}");
    }
    // Without a value the comparison fails, and its negation holds.
    assert!(holds("StringNotEquals", &json!("${aws:none}"), &json!({ "x:key": "v" })));
}

/// UG reference_policies_variables.html#policy-vars-conditionelement
#[test]
fn variables_are_of_the_text_and_arn_operators_and_bool() {
    let arn = json!({ "x:key": "arn:aws:sns:eu:1:t", "x:other": "t" });
    assert!(holds("ArnLike", &json!("arn:aws:sns:*:1:${x:other}"), &arn));
    for (operator, text, want) in [
        ("StringEquals", "v", true),
        ("StringEqualsIgnoreCase", "V", true),
        ("StringLike", "v", true),
        ("Bool", "true", true),
        ("NumericEquals", "7", false),
        ("BinaryEquals", "YQ==", false),
        ("IpAddress", "203.0.113.7", false),
    ] {
        let keys = json!({ "x:key": text, "x:other": text });
        assert_eq!(holds(operator, &json!("${x:other}"), &keys), want, "{operator}");
    }
}

/// UG reference_policies_elements_version.html
#[test]
fn version_2008_has_no_variables() {
    let statement = json!({ "Effect": "Allow", "Action": "s3:*",
                            "Resource": "arn:aws:s3:::${aws:username}" });
    let keys = json!({ "aws:username": "ann" });
    for (version, own, literal) in [("2012-10-17", true, false), ("2008-10-17", false, true)] {
        let text = json!({ "Version": version, "Statement": statement }).to_string();
        let ask = |resource| identity_allows(&text, "s3:GetObject", resource, &keys);
        assert_eq!(ask("arn:aws:s3:::ann"), own, "{version}");
        assert_eq!(ask("arn:aws:s3:::${aws:username}"), literal, "{version}");
    }
    // A document without a version is of the older one.
    let text = json!({ "Statement": statement }).to_string();
    assert!(!identity_allows(&text, "s3:GetObject", "arn:aws:s3:::ann", &keys));
}

/// UG reference_policies_variables.html#policy-vars-resourceelement
#[test]
fn variables_in_a_resource_stand_after_the_fifth_colon() {
    let keys = json!({ "x:account": OWN, "x:name": "a:b" });
    for (pattern, resource, want) in [
        ("arn:aws:sqs:us-east-1:123456789012:${x:name}", "a:b", true),
        ("arn:aws:sqs:us-east-1:${x:account}:q", "q", false),
    ] {
        let text = policy(json!({ "Effect": "Allow", "Action": "*", "Resource": pattern }));
        let resource = format!("arn:aws:sqs:us-east-1:{OWN}:{resource}");
        assert_eq!(identity_allows(&text, "sqs:SendMessage", &resource, &keys), want, "{pattern}");
    }
}

// ---- actions and resources ---------------------------------------------------------------------

/// UG reference_policies_elements_action.html, reference_policies_elements_notaction.html
#[test]
fn actions_match_without_regard_to_case_and_with_wildcards() {
    for (element, patterns, action, want) in [
        ("Action", json!("s3:GetObject"), "s3:getobject", true),
        ("Action", json!("S3:get*"), "s3:GetObject", true),
        ("Action", json!("s3:*Object"), "s3:PutObject", true),
        ("Action", json!("s3:?etObject"), "s3:GetObject", true),
        ("Action", json!("*"), "iam:CreateUser", true),
        ("Action", json!("*:*"), "iam:CreateUser", true),
        ("Action", json!("s3:Get"), "s3:GetObject", false),
        ("Action", json!("s3:*"), "s3express:CreateSession", false),
        ("Action", json!(["iam:*", "s3:List*"]), "s3:ListBucket", true),
        ("NotAction", json!("s3:*"), "s3:GetObject", false),
        ("NotAction", json!("s3:*"), "iam:CreateUser", true),
        ("NotAction", json!(["s3:*", "IAM:*"]), "iam:CreateUser", false),
    ] {
        let text = policy(json!({ "Effect": "Allow", element: patterns, "Resource": "*" }));
        let found = identity_allows(&text, action, BUCKET, &json!({}));
        assert_eq!(found, want, "{element} {patterns} {action}");
    }
}

/// UG reference_policies_elements_resource.html, reference_policies_elements_notresource.html
#[test]
fn resources_match_by_parts_and_with_regard_to_case() {
    let queue = "arn:aws:sqs:us-east-1:123456789012:jobs";
    for (element, patterns, resource, want) in [
        ("Resource", json!("*"), queue, true),
        ("Resource", json!("*"), "*", true),
        ("Resource", json!(queue), queue, true),
        ("Resource", json!("arn:aws:sqs:us-east-1:123456789012:Jobs"), queue, false),
        ("Resource", json!("arn:aws:sqs:*:*:j?bs"), queue, true),
        ("Resource", json!("arn:aws:sqs:us-*-1:*:*"), queue, true),
        ("Resource", json!("arn:aws:sqs:us*:123456789012:jobs"), queue, true),
        ("Resource", json!("arn:aws:sqs:eu-*-1:*:*"), queue, false),
        // Cut short, it is completed.
        ("Resource", json!("arn:aws:sqs"), queue, true),
        ("Resource", json!("arn:aws:sns"), queue, false),
        ("Resource", json!("arn:aws:sqs:us-east-1"), queue, true),
        // A star in the midst of a part stays in it; at its end it may reach beyond.
        ("Resource", json!("arn:aws:sqs:u*1:jobs"), queue, false),
        ("Resource", json!("arn:aws:sqs:us-e*t-1:123456789012:jobs"), queue, true),
        ("Resource", json!("arn:aws:x:*:z"), "arn:aws:x:a:b:z", false),
        ("Resource", json!("arn:aws:x:*:c:z"), "arn:aws:x:a:b:c:z", true),
        ("Resource", json!("arn:aws:x:*:*:z"), "arn:aws:x:a:b:c:d:z", true),
        // A request for no resource in particular is for `*` alone.
        ("Resource", json!("arn:aws:s3:::*"), "*", false),
        ("Resource", json!(["arn:aws:s3:::a", "arn:aws:s3:::b/*"]), "arn:aws:s3:::b/c/d", true),
        ("NotResource", json!("arn:aws:s3:::a*"), "arn:aws:s3:::b", true),
        ("NotResource", json!("arn:aws:s3:::a*"), "arn:aws:s3:::abc", false),
        ("NotResource", json!("arn:aws:s3:::a*"), "*", true),
    ] {
        let text = policy(json!({ "Effect": "Allow", "Action": "*", element: patterns }));
        let found = identity_allows(&text, "x:Do", resource, &json!({}));
        assert_eq!(found, want, "{element} {patterns} {resource}");
    }
}

// ---- the combination ---------------------------------------------------------------------------

fn grant(effect: &str, element: &str, principal: &Value) -> Document {
    document(
        json!({ "Effect": effect, element: principal, "Action": "*", "Resource": "*" }),
        Kind::Resource,
    )
}

fn ask(principal: &Principal, set: &PolicySet<'_>) -> Decision {
    let request = Request {
        principal,
        action: "s3:GetObject",
        resource: BUCKET,
        resource_account: account(OWN),
        context: &Context::default(),
    };
    decide(&request, set)
}

/// UG reference_policies_elements_principal.html; it says nothing of `*` for a provider.
#[test]
fn callers_without_an_account_are_judged_by_the_resource_alone() {
    let google = Principal::Federated { provider: "accounts.google.com".into() };
    let denied = Decision::ImplicitDeny(Layer::Resource);
    for (named, principal, want) in [
        (json!({ "Federated": "accounts.google.com" }), google.clone(), Decision::Allow),
        (json!({ "Federated": "www.amazon.com" }), google.clone(), denied),
        (json!({ "Federated": "*" }), google, Decision::Allow),
        (json!({ "Federated": "*" }), Principal::Anonymous, denied),
        (json!({ "CanonicalUser": "79a5" }), Principal::Anonymous, denied),
    ] {
        let grant = grant("Allow", "Principal", &named);
        let set =
            PolicySet { resource: Some(ResourcePolicy::Ordinary(&grant)), ..PolicySet::default() };
        assert_eq!(ask(&principal, &set), want, "{named} {principal:?}");
    }
}

/// UG reference_policies_elements_notprincipal.html, `NotPrincipal` with `Allow`, of which the page now
/// says that it is not supported.
#[test]
fn not_principal_allows_all_but_whom_it_names() {
    let ann = format!("arn:aws:iam::{OWN}:user/ann");
    let identity = Decision::ImplicitDeny(Layer::Identity);
    for (named, principal, want) in [
        (json!({ "AWS": ann }), user(OWN), identity),
        (json!({ "AWS": [ann, format!("{ann}a")] }), user(OWN), identity),
        (json!({ "AWS": OWN }), session(OWN), identity),
        (json!({ "AWS": ann }), session(OWN), Decision::Allow),
        (json!({ "AWS": ann }), Principal::Anonymous, Decision::Allow),
    ] {
        let document = grant("Allow", "NotPrincipal", &named);
        let set = PolicySet {
            resource: Some(ResourcePolicy::Ordinary(&document)),
            ..PolicySet::default()
        };
        assert_eq!(ask(&principal, &set), want, "{named} {principal:?}");
    }
}

/// UG troubleshoot_access-denied.html
#[test]
fn a_denial_names_its_layer_in_awss_words() {
    let arn = "arn:aws:iam::123456789012:user/ann";
    for (decision, want) in [
        (
            Decision::ImplicitDeny(Layer::Identity),
            "because no identity-based policy allows the s3:GetObject action",
        ),
        (
            Decision::ImplicitDeny(Layer::Resource),
            "because no resource-based policy allows the s3:GetObject action",
        ),
        (
            Decision::ImplicitDeny(Layer::ServiceControl),
            "because no service control policy allows the s3:GetObject action",
        ),
        (
            Decision::ImplicitDeny(Layer::Boundary),
            "because no permissions boundary allows the s3:GetObject action",
        ),
        (
            Decision::ImplicitDeny(Layer::Session),
            "because no session policy allows the s3:GetObject action",
        ),
        (
            Decision::ImplicitDeny(Layer::Endpoint),
            "because no VPC endpoint policy allows the s3:GetObject action",
        ),
        (
            Decision::ImplicitDeny(Layer::Trust),
            "because no role trust policy allows the s3:GetObject action",
        ),
        (
            Decision::ExplicitDeny(Layer::Identity),
            "with an explicit deny in an identity-based policy",
        ),
        (
            Decision::ExplicitDeny(Layer::Resource),
            "with an explicit deny in a resource-based policy",
        ),
        (
            Decision::ExplicitDeny(Layer::ServiceControl),
            "with an explicit deny in a service control policy",
        ),
        (
            Decision::ExplicitDeny(Layer::ResourceControl),
            "with an explicit deny in a resource control policy",
        ),
        (
            Decision::ExplicitDeny(Layer::Boundary),
            "with an explicit deny in a permissions boundary",
        ),
        (Decision::ExplicitDeny(Layer::Session), "with an explicit deny in a session policy"),
    ] {
        let found = message::denied(arn, "s3:GetObject", BUCKET, decision, None);
        let head = format!("User: {arn} is not authorized to perform: s3:GetObject");
        assert_eq!(found, format!("{head} on resource: {BUCKET} {want}"));
        let found = message::denied(arn, "s3:GetObject", "*", decision, None);
        assert_eq!(found, format!("{head} {want}"));
        // Only what denies explicitly is a policy that has an ARN.
        let policy = "arn:aws:iam::123456789012:policy/p";
        let found = message::denied(arn, "s3:GetObject", "*", decision, Some(policy));
        match decision {
            Decision::ExplicitDeny(_) => assert_eq!(found, format!("{head} {want}: {policy}")),
            _ => assert_eq!(found, format!("{head} {want}")),
        }
    }
}
