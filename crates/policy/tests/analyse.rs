//! The checks of policies over all requests, a table each. A test's name is the rule. `UG` is
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/>, `samples` the reference policies that AWS
//! publishes for its custom policy checks:
//! <https://github.com/aws-samples/iam-access-analyzer-custom-policy-check-samples>.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests, helpers included.

use ringfence_policy::analyse::{
    self, Access, Answer, Side, check_access_not_granted, check_never_applies,
    check_no_external_access, check_no_new_access, check_no_public_access, equivalent,
};
use ringfence_policy::{Document, Kind, Principal, parse};
use serde_json::{Value, json};

fn document(statements: &Value, kind: Kind) -> Document {
    versioned("2012-10-17", statements, kind)
}

fn versioned(version: &str, statements: &Value, kind: Kind) -> Document {
    let text = json!({ "Version": version, "Statement": statements }).to_string();
    parse(&text, kind).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A short word for an answer.
fn word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Proved => "proved",
        Answer::Counterexample(_) => "found",
        Answer::Undecided(_) => "undecided",
    }
}

fn new_access(existing: &Value, new: &Value, kind: Kind) -> Answer {
    let (existing, new) = (document(existing, kind), document(new, kind));
    let answer = check_no_new_access(&existing, &new, kind);
    if let Some(witness) = answer.witness() {
        assert!(analyse::allows(&new, kind, &witness.request()), "{witness:?}");
        assert!(!analyse::allows(&existing, kind, &witness.request()), "{witness:?}");
    }
    answer
}

/// Each pair both ways: whether the second allows no more than the first, and the first no more than
/// the second.
fn both_ways(kind: Kind, cases: &[(Value, Value, &str, &str)]) {
    for (a, b, forth, back) in cases {
        let answer = new_access(a, b, kind);
        assert_eq!(word(&answer), *forth, "existing {a}\nnew {b}\n{answer:?}");
        let answer = new_access(b, a, kind);
        assert_eq!(word(&answer), *back, "existing {b}\nnew {a}\n{answer:?}");
    }
}

fn allow(action: Value, resource: Value) -> Value {
    json!({ "Effect": "Allow", "Action": action, "Resource": resource })
}

fn deny(action: Value, resource: Value) -> Value {
    json!({ "Effect": "Deny", "Action": action, "Resource": resource })
}

/// Everything, under this condition.
fn when(condition: Value) -> Value {
    json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition })
}

/// Everything but under this condition.
fn unless(condition: Value) -> Value {
    json!([{ "Effect": "Allow", "Action": "*", "Resource": "*" },
           { "Effect": "Deny", "Action": "*", "Resource": "*", "Condition": condition }])
}

// ---- new access: actions and resources ---------------------------------------------------------

#[test]
fn actions_are_compared_by_what_they_match() {
    let all = || json!("*");
    both_ways(
        Kind::Identity,
        &[
            (allow(json!("s3:*"), all()), allow(json!("s3:GetObject"), all()), "proved", "found"),
            (allow(json!("s3:get*"), all()), allow(json!("S3:Get*"), all()), "proved", "proved"),
            (allow(json!("*"), all()), allow(json!("*:*"), all()), "proved", "proved"),
            (
                allow(json!("s3:Get*"), all()),
                allow(json!(["s3:Get*", "s3:GetObject"]), all()),
                "proved",
                "proved",
            ),
            (
                allow(json!(["s3:Get*", "s3:Put*"]), all()),
                json!([allow(json!("s3:Put*"), all()), allow(json!("s3:Get*"), all())]),
                "proved",
                "proved",
            ),
            (
                allow(json!("s3:?etObject"), all()),
                allow(json!("s3:*Object"), all()),
                "found",
                "proved",
            ),
            (
                json!([allow(json!("*"), all()), deny(json!("s3:*"), all())]),
                json!({ "Effect": "Allow", "NotAction": "s3:*", "Resource": "*" }),
                "proved",
                "proved",
            ),
            (
                json!([allow(json!("s3:*"), all()), deny(json!("s3:Delete*"), all())]),
                allow(json!(["s3:Get*", "s3:Put*"]), all()),
                "proved",
                "found",
            ),
            (
                json!([allow(json!("s3:*"), all()), deny(json!("s3:Delete*"), all())]),
                allow(json!(["s3:Get*", "s3:De*"]), all()),
                "found",
                "found",
            ),
            (
                allow(json!("*"), all()),
                json!([allow(json!("*"), all()), deny(json!("iam:*"), all())]),
                "proved",
                "found",
            ),
        ],
    );
}

#[test]
fn resources_are_compared_by_what_they_match() {
    let on = |resource: &str| allow(json!("s3:GetObject"), json!(resource));
    both_ways(
        Kind::Identity,
        &[
            (on("arn:aws:s3:::b/*"), on("arn:aws:s3:::b/c/*"), "proved", "found"),
            (on("arn:aws:s3:::b*"), on("arn:aws:s3:::b/*"), "proved", "found"),
            (on("*"), on("arn:aws:s3:::*"), "proved", "found"),
            (on("arn:aws:s3"), on("arn:aws:s3:*:*:*"), "proved", "proved"),
            (on("arn:aws:s3:::*"), on("arn:aws:s3:::?*"), "proved", "proved"),
            // A star that ends its part reaches beyond, one in the midst does not.
            (on("arn:aws:sqs:*:1:q"), on("arn:aws:sqs:*:*:q"), "found", "proved"),
            (on("arn:aws:sqs:us-*-1:1:q"), on("arn:aws:sqs:us-east-1:1:q"), "proved", "found"),
            (on("arn:aws:sqs:us*:1:q"), on("arn:aws:sqs:us*1:1:q"), "proved", "found"),
            (
                json!([
                    on("arn:aws:s3:::b/*"),
                    deny(json!("s3:*"), json!("arn:aws:s3:::b/secret/*"))
                ]),
                on("arn:aws:s3:::b/secret/*"),
                "found",
                "found",
            ),
            (
                json!([on("*"),
                       { "Effect": "Deny", "Action": "*", "NotResource": "arn:aws:s3:::b/*" }]),
                on("arn:aws:s3:::b/*"),
                "proved",
                "proved",
            ),
        ],
    );
}

#[test]
fn a_witness_is_a_request_that_one_would_write() {
    let existing = document(&allow(json!("s3:Get*"), json!("arn:aws:s3:::b/*")), Kind::Identity);
    let new = document(&allow(json!("s3:*"), json!("arn:aws:s3:::b/*")), Kind::Identity);
    let answer = check_no_new_access(&existing, &new, Kind::Identity);
    let witness = answer.witness().unwrap();
    assert_eq!(
        (witness.action.as_str(), witness.resource.as_str()),
        ("s3:AbortMultipartUpload", "arn:aws:s3:::b/example")
    );
    assert_eq!(
        witness.principal,
        Principal::User { arn: "arn:aws:iam::111122223333:user/example".into() }
    );
}

// ---- new access: conditions --------------------------------------------------------------------

#[test]
fn conditions_narrow_what_is_allowed() {
    both_ways(
        Kind::Identity,
        &[
            (
                when(json!({})),
                when(json!({ "StringEquals": { "aws:RequestedRegion": "eu-west-1" } })),
                "proved",
                "found",
            ),
            (
                when(
                    json!({ "StringEquals": { "aws:RequestedRegion": ["eu-west-1", "eu-west-2"] } }),
                ),
                when(json!({ "StringEquals": { "aws:RequestedRegion": "eu-west-1" } })),
                "proved",
                "found",
            ),
            (
                when(json!({ "StringLike": { "aws:RequestedRegion": "eu-*" } })),
                when(json!({ "StringEquals": { "aws:requestedregion": "eu-west-1" } })),
                "proved",
                "found",
            ),
            (
                when(json!({ "StringEquals": { "aws:RequestedRegion": "a" } })),
                when(json!({ "StringEqualsIgnoreCase": { "aws:RequestedRegion": "A" } })),
                "found",
                "proved",
            ),
            // The Kelvin sign's small letter is a `k`.
            (
                when(json!({ "StringEquals": { "aws:RequestedRegion": ["k", "K"] } })),
                when(json!({ "StringEqualsIgnoreCase": { "aws:RequestedRegion": "K" } })),
                "found",
                "proved",
            ),
            // What a negated condition denies is what the other allows.
            (
                when(json!({ "StringEquals": { "aws:SourceVpc": "vpc-1" } })),
                unless(json!({ "StringNotEquals": { "aws:SourceVpc": "vpc-1" } })),
                "proved",
                "proved",
            ),
            (
                when(json!({ "StringEqualsIfExists": { "aws:SourceVpc": "vpc-1" } })),
                unless(json!({ "StringNotEquals": { "aws:SourceVpc": "vpc-1" } })),
                "proved",
                "found",
            ),
            // An absent key satisfies a negated operator: the classic mistake.
            (
                when(json!({ "Null": { "aws:SourceVpc": "false" } })),
                when(json!({ "StringNotEquals": { "aws:SourceVpc": "vpc-1" } })),
                "found",
                "found",
            ),
            (
                when(json!({ "Bool": { "aws:SecureTransport": "true" } })),
                unless(json!({ "Bool": { "aws:SecureTransport": "false" } })),
                "found",
                "proved",
            ),
            (
                when(json!({ "Bool": { "aws:MultiFactorAuthPresent": "true" } })),
                when(json!({ "BoolIfExists": { "aws:MultiFactorAuthPresent": "true" } })),
                "found",
                "proved",
            ),
            (
                when(json!({ "NumericLessThan": { "s3:max-keys": "10" } })),
                when(json!({ "NumericLessThanEquals": { "s3:max-keys": "9.99" } })),
                "proved",
                "found",
            ),
            (
                when(json!({ "NumericLessThan": { "s3:max-keys": "10" } })),
                unless(json!({ "NumericGreaterThanEquals": { "s3:max-keys": "10" } })),
                "found",
                "proved",
            ),
            (
                when(json!({ "DateLessThan": { "aws:CurrentTime": "2030-01-01T00:00:00Z" } })),
                when(json!({ "DateLessThan": { "aws:CurrentTime": "2029-12-31T23:59:59.9Z" } })),
                "proved",
                "found",
            ),
            (
                when(json!({ "DateGreaterThan": { "aws:CurrentTime": "2030-01-01" },
                             "DateLessThan": { "aws:CurrentTime": "2029-01-01" } })),
                deny(json!("*"), json!("*")),
                "proved",
                "proved",
            ),
            (
                when(json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/8" } })),
                when(json!({ "IpAddress": { "aws:SourceIp": ["10.0.0.0/9", "10.128.0.0/9"] } })),
                "proved",
                "proved",
            ),
            (
                when(json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/8" } })),
                when(json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/7" } })),
                "found",
                "proved",
            ),
            (
                when(json!({ "IpAddress": { "aws:SourceIp": "2001:db8::/32" } })),
                when(json!({ "IpAddress": { "aws:SourceIp": "2001:db8:1::/48" } })),
                "proved",
                "found",
            ),
            (
                when(json!({ "ArnLike": { "aws:SourceArn": "arn:aws:sns:*:111122223333:*" } })),
                when(
                    json!({ "ArnEquals": { "aws:SourceArn": "arn:aws:sns:eu-west-1:111122223333:t" } }),
                ),
                "proved",
                "found",
            ),
            // Part by part, and as text.
            (
                when(json!({ "StringLike": { "aws:SourceArn": "arn:aws:sns:*:1:t" } })),
                when(json!({ "ArnLike": { "aws:SourceArn": "arn:aws:sns:*:1:t" } })),
                "proved",
                "found",
            ),
            (
                when(json!({ "BinaryEquals": { "x:k": "YQ==" } })),
                when(json!({ "StringEquals": { "x:k": ["a", "YQ=="] } })),
                "proved",
                "proved",
            ),
            (
                when(json!({ "Bool": { "aws:SecureTransport": "true" } })),
                when(json!({ "StringEquals": { "aws:SecureTransport": "true" } })),
                "proved",
                "found",
            ),
        ],
    );
}

/// UG reference_policies_condition-single-vs-multi-valued-context-keys.html
#[test]
fn set_operators_are_decided_over_sets() {
    let tags = |operator: &str, values: Value| when(json!({ operator: { "aws:TagKeys": values } }));
    both_ways(
        Kind::Identity,
        &[
            (
                tags("ForAllValues:StringEquals", json!(["a", "b"])),
                tags("ForAllValues:StringEquals", json!(["a"])),
                "proved",
                "found",
            ),
            (
                tags("ForAnyValue:StringEquals", json!(["a", "b"])),
                tags("ForAnyValue:StringEquals", json!(["a"])),
                "proved",
                "found",
            ),
            // No tags at all, or only some: neither implies the other.
            (
                tags("ForAllValues:StringEquals", json!(["a", "b"])),
                tags("ForAnyValue:StringEquals", json!(["a", "b"])),
                "found",
                "found",
            ),
            (
                tags("ForAllValues:StringEquals", json!(["a", "b"])),
                unless(json!({ "ForAnyValue:StringNotEquals": { "aws:TagKeys": ["a", "b"] } })),
                // An empty text counts as no value to the one and as a value to the other.
                "proved",
                "found",
            ),
            // The pair that AWS recommends: both, and at least one.
            (
                tags("ForAnyValue:StringLike", json!("*")),
                when(json!({ "ForAllValues:StringEquals": { "aws:TagKeys": ["a", "b"] },
                             "Null": { "aws:TagKeys": "false" } })),
                "proved",
                "found",
            ),
            // Two conditions that one value cannot satisfy, but two can.
            (
                deny(json!("*"), json!("*")),
                when(json!({ "ForAnyValue:StringEquals": { "aws:TagKeys": "a" },
                             "ForAnyValue:StringLike": { "aws:TagKeys": "b" } })),
                "found",
                "proved",
            ),
            (
                deny(json!("*"), json!("*")),
                when(json!({ "StringEquals": { "aws:SourceVpc": "a" },
                             "StringLike": { "aws:SourceVpc": "b" } })),
                "proved",
                "proved",
            ),
        ],
    );
}

#[test]
fn where_a_key_may_hold_one_value_or_several_and_it_matters_it_is_undecided() {
    let both = when(json!({ "StringEquals": { "x:k": "a" }, "StringLike": { "x:k": "b" } }));
    let answer = new_access(&deny(json!("*"), json!("*")), &both, Kind::Identity);
    let Answer::Undecided(undecided) = answer else { panic!("{answer:?}") };
    assert_eq!(
        (undecided.document, undecided.statement, undecided.construct.as_str()),
        (Side::New, Some(0), "x:k")
    );
    assert!(undecided.to_string().contains("one value or several"), "{undecided}");
}

#[test]
fn a_key_that_is_compared_as_text_and_as_a_number_is_decided_where_the_texts_at_hand_suffice() {
    let when = |condition| when(condition);
    both_ways(
        Kind::Identity,
        &[
            (
                when(json!({ "NumericLessThan": { "s3:max-keys": "10" } })),
                when(json!({ "StringEquals": { "s3:max-keys": "5" },
                             "NumericLessThan": { "s3:max-keys": "10" } })),
                "proved",
                "found",
            ),
            // That `5` is less than ten is not known of the text.
            (
                when(json!({ "NumericLessThan": { "s3:max-keys": "10" } })),
                when(json!({ "StringEquals": { "s3:max-keys": "5" } })),
                "undecided",
                "found",
            ),
            (
                when(json!({ "NumericLessThan": { "s3:max-keys": "10" } })),
                when(json!({ "StringEquals": { "s3:max-keys": "50" } })),
                "found",
                "found",
            ),
        ],
    );
}

/// Twenty independent patterns have more combinations than are looked at.
#[test]
fn past_the_limits_there_are_witnesses_but_no_proofs() {
    let patterns: Vec<String> =
        ('a'..='t').map(|c| format!("arn:aws:s3:::*{c}*{}*", c.to_ascii_uppercase())).collect();
    let each: Vec<Value> =
        patterns.iter().map(|pattern| allow(json!("s3:Get*"), json!(pattern))).collect();
    let answer = new_access(&json!(each), &allow(json!("s3:Get*"), json!("*")), Kind::Identity);
    assert_eq!(word(&answer), "found", "{answer:?}");
    let answer = new_access(&json!(each), &json!(each[..19]), Kind::Identity);
    let Answer::Undecided(undecided) = answer else { panic!("{answer:?}") };
    assert_eq!((undecided.construct.as_str(), undecided.statement), ("Resource", None));
}

#[test]
fn new_access_is_told_of_each_statement_that_gives_it() {
    let existing = document(&json!([allow(json!("s3:Get*"), json!("*"))]), Kind::Identity);
    let new = document(
        &json!([
            deny(json!("*"), json!("arn:aws:s3:::secret/*")),
            allow(json!("s3:GetObject"), json!("*")),
            allow(json!("s3:PutObject"), json!("*")),
            allow(json!("s3:PutObject"), json!("arn:aws:s3:::secret/a")),
            allow(json!("ec2:*"), json!("*")),
        ]),
        Kind::Identity,
    );
    let found = analyse::new_access_by_statement(&existing, &new, Kind::Identity);
    let found: Vec<(usize, &str)> = found
        .iter()
        .map(|(at, answer)| {
            let witness = answer.witness().unwrap();
            assert_eq!(analyse::applying(&new, &witness.request()), [*at]);
            (*at, witness.action.as_str())
        })
        .collect();
    assert_eq!(found, [(2, "s3:PutObject"), (4, "ec2:AcceptAddressTransfer")]);
    let variable = allow(json!("*"), json!("arn:aws:s3:::${aws:username}"));
    let new =
        json!([deny(json!("iam:*"), json!("*")), allow(json!("s3:Get*"), json!("*")), variable]);
    let other = json!([allow(json!("*"), json!("arn:aws:s3:::${aws:userid}"))]);
    let found = analyse::new_access_by_statement(
        &document(&other, Kind::Identity),
        &document(&new, Kind::Identity),
        Kind::Identity,
    );
    assert_eq!(found.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2]);
}

// ---- new access: variables ---------------------------------------------------------------------

#[test]
fn variables_are_the_same_wherever_they_stand() {
    let on = |resource: &str| allow(json!("s3:GetObject"), json!(resource));
    both_ways(
        Kind::Identity,
        &[
            (
                on("arn:aws:s3:::b/${aws:username}/*"),
                json!([on("arn:aws:s3:::b/${aws:username}/*"), deny(json!("s3:*"), json!("*"))]),
                "proved",
                "found",
            ),
            (on("arn:aws:s3:::b/*"), on("arn:aws:s3:::b/${aws:username}/*"), "proved", "found"),
            (
                on("arn:aws:s3:::b/${aws:username}/*"),
                on("arn:aws:s3:::b/${aws:username}/docs/*"),
                "proved",
                "found",
            ),
            // A variable's value may be longer than one character.
            (
                on("arn:aws:s3:::b/?/${aws:username}"),
                on("arn:aws:s3:::b/${aws:PrincipalTag/a}/${aws:username}"),
                "found",
                "found",
            ),
            (
                on("arn:aws:s3:::b/${aws:username}/*"),
                on("arn:aws:s3:::b/${aws:userid}/*"),
                "found",
                "found",
            ),
            (on("arn:aws:s3:::b/${aws:username}"), on("arn:aws:s3:::b/example"), "found", "found"),
            (
                json!([on("*"), { "Effect": "Deny", "Action": "*",
                                  "NotResource": "arn:aws:s3:::b/${aws:username}/*" }]),
                on("arn:aws:s3:::b/${aws:username}/*"),
                "proved",
                "proved",
            ),
            (
                when(json!({ "StringLike": { "s3:prefix": ["${aws:username}/*", "public/*"] } })),
                when(json!({ "StringLike": { "s3:prefix": "${aws:username}/*" } })),
                "proved",
                "found",
            ),
            (
                when(json!({ "StringEquals": { "aws:PrincipalOrgID": "${aws:ResourceOrgID}" } })),
                unless(
                    json!({ "StringNotEquals": { "aws:PrincipalOrgID": "${aws:ResourceOrgID}" } }),
                ),
                "proved",
                "proved",
            ),
            (
                when(
                    json!({ "StringEquals": { "aws:ResourceTag/team": "${aws:PrincipalTag/team}" } }),
                ),
                when(json!({ "StringEquals": { "aws:ResourceTag/team": "red",
                                               "aws:PrincipalTag/team": "red" } })),
                // True, but to know it the two keys' values would have to be compared.
                "undecided",
                "found",
            ),
            (
                when(
                    json!({ "StringEquals": { "aws:ResourceTag/team": "${aws:PrincipalTag/team}" } }),
                ),
                when(json!({ "StringEquals": { "aws:ResourceTag/team": "red" } })),
                "found",
                "found",
            ),
        ],
    );
}

#[test]
fn a_document_of_the_older_version_has_no_variables() {
    let statement = allow(json!("s3:*"), json!("arn:aws:s3:::${aws:username}"));
    let old = versioned("2008-10-17", &statement, Kind::Identity);
    let new = document(&statement, Kind::Identity);
    let literal =
        document(&allow(json!("s3:*"), json!("arn:aws:s3:::${$}{aws:username}")), Kind::Identity);
    assert_eq!(word(&check_no_new_access(&old, &new, Kind::Identity)), "found");
    assert_eq!(word(&check_no_new_access(&old, &literal, Kind::Identity)), "proved");
    assert_eq!(word(&equivalent(&old, &literal, Kind::Identity)), "proved");
    assert_eq!(word(&equivalent(&old, &new, Kind::Identity)), "found");
}

#[test]
fn an_undecided_answer_names_the_construct_and_where_it_stands() {
    let existing =
        when(json!({ "StringEquals": { "aws:ResourceTag/team": "${aws:PrincipalTag/team}" } }));
    let new = json!([
        allow(json!("s3:GetObject"), json!("*")),
        when(
            json!({ "StringEquals": { "aws:ResourceTag/team": "red", "aws:PrincipalTag/team": "red" } })
        ),
    ]);
    let existing = json!([allow(json!("s3:GetObject"), json!("*")), existing]);
    let answer = new_access(&existing, &new, Kind::Identity);
    let Answer::Undecided(undecided) = answer else { panic!("{answer:?}") };
    assert_eq!((undecided.document, undecided.statement), (Side::Existing, Some(1)));
    assert!(undecided.construct.contains("${aws:PrincipalTag/team}"), "{undecided}");
}

// ---- new access: principals --------------------------------------------------------------------

fn trust(principal: Value) -> Value {
    json!({ "Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole" })
}

/// samples: resource-policies/role-trust-policies
#[test]
fn trust_policies_are_compared_by_whom_they_name() {
    let other_actions =
        |not: Value| json!({ "Effect": "Allow", "Principal": { "AWS": "*" }, "NotAction": not });
    let accounts = json!([
        trust(json!({ "AWS": ["111111111111", "222222222222"] })),
        other_actions(json!("sts:AssumeRole")),
    ]);
    let services = json!([
        trust(json!({ "Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"] })),
        other_actions(json!("sts:AssumeRole")),
    ]);
    let web = |provider: &str| {
        json!({ "Effect": "Allow", "Principal": { "Federated": provider },
                "Action": "sts:AssumeRoleWithWebIdentity" })
    };
    let own = "arn:aws:iam::111111111111:oidc-provider/MyProvider";
    let provider = json!([
        web(own),
        other_actions(json!(["sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity"])),
    ]);
    for (existing, new, want) in [
        (&accounts, trust(json!({ "AWS": "111111111111" })), "proved"),
        (&accounts, trust(json!({ "AWS": "arn:aws:iam::222222222222:role/MyRole" })), "proved"),
        (&accounts, web(own), "proved"),
        (&accounts, trust(json!({ "Service": "glue.amazonaws.com" })), "found"),
        (&accounts, trust(json!({ "AWS": "333333333333" })), "found"),
        (&accounts, trust(json!({ "AWS": "arn:aws:iam::333333333333:role/NotMyRole" })), "found"),
        (&accounts, trust(json!({ "AWS": "*" })), "found"),
        (&services, trust(json!({ "Service": "ec2.amazonaws.com" })), "proved"),
        (&services, web(own), "proved"),
        (&services, trust(json!({ "Service": "glue.amazonaws.com" })), "found"),
        (&services, trust(json!({ "AWS": "111111111111" })), "found"),
        (&services, trust(json!({ "AWS": "arn:aws:iam::111111111111:role/MyRole" })), "found"),
        (&provider, web(own), "proved"),
        (&provider, trust(json!({ "Service": "ec2.amazonaws.com" })), "proved"),
        (&provider, web("graph.facebook.com"), "found"),
        (
            &provider,
            json!({ "Effect": "Allow", "Principal": { "Federated": "arn:aws:iam::111111111111:saml-provider/p" },
                    "Action": "sts:AssumeRoleWithSAML" }),
            "found",
        ),
        (
            &provider,
            json!([web("*"),
                   { "Effect": "Deny", "Action": "sts:AssumeRoleWithWebIdentity",
                     "Principal": { "Federated": "arn:aws:iam::111111111111:oidc-provider/Not" } }]),
            "found",
        ),
    ] {
        let answer = new_access(existing, &new, Kind::Trust);
        assert_eq!(word(&answer), want, "existing {existing}\nnew {new}\n{answer:?}");
    }
}

/// UG reference_policies_elements_principal.html, reference_policies_elements_notprincipal.html
#[test]
fn principals_are_compared_by_whom_they_reach() {
    let to = |principal: Value| json!({ "Effect": "Allow", "Principal": principal, "Action": "s3:*", "Resource": "*" });
    let (ann, ops) =
        ("arn:aws:iam::111111111111:user/ann", "arn:aws:iam::111111111111:role/path/ops");
    let session = "arn:aws:sts::111111111111:assumed-role/ops/ann";
    let without = |element: &str, principal: Value| {
        json!([to(json!("*")),
               { "Effect": "Deny", element: principal, "Action": "s3:*", "Resource": "*" }])
    };
    both_ways(
        Kind::Resource,
        &[
            (to(json!("*")), to(json!({ "AWS": "*" })), "proved", "proved"),
            (to(json!({ "AWS": "111111111111" })), to(json!({ "AWS": ann })), "proved", "found"),
            (to(json!({ "AWS": ops })), to(json!({ "AWS": session })), "found", "found"),
            (
                to(json!({ "AWS": "111111111111" })),
                to(json!({ "AWS": "arn:aws:iam::111111111111:root" })),
                "proved",
                "proved",
            ),
            (
                without("NotPrincipal", json!({ "AWS": ["111111111111", ann] })),
                to(json!({ "AWS": ann })),
                // A session of a federated user that ann got is denied, and so is not ann's.
                "found",
                "found",
            ),
            (
                without("Principal", json!({ "AWS": "111111111111" })),
                to(json!({ "AWS": "222222222222" })),
                "proved",
                "found",
            ),
            (
                to(json!({ "AWS": "AIDAEXAMPLEEXAMPLE12" })),
                to(json!({ "AWS": ["AIDAEXAMPLEEXAMPLE12", "AROAEXAMPLEEXAMPLE12"] })),
                "found",
                "proved",
            ),
            // Whom S3's ids name is not known here.
            (to(json!({ "AWS": "*" })), to(json!({ "CanonicalUser": "79a5" })), "proved", "found"),
            (
                to(json!({ "AWS": ann })),
                to(json!({ "CanonicalUser": "79a5" })),
                "undecided",
                "found",
            ),
        ],
    );
}

#[test]
fn unique_ids_beside_a_condition_on_them_are_undecided() {
    let to = |id: &str, condition: Value| {
        json!({ "Effect": "Allow", "Principal": { "AWS": id }, "Action": "s3:*", "Resource": "*",
                "Condition": condition })
    };
    let answer = new_access(
        &to("AIDAEXAMPLEEXAMPLE12", json!({ "StringLike": { "aws:userid": "AIDA*" } })),
        &to("AIDAEXAMPLEEXAMPLE12", json!({})),
        Kind::Resource,
    );
    let Answer::Undecided(undecided) = answer else { panic!("{answer:?}") };
    assert_eq!((undecided.document, undecided.statement), (Side::Existing, Some(0)));
}

// ---- new access: AWS's reference policies ------------------------------------------------------

/// samples: identity-policies, resource-policies/check-who-is-granted-access
#[test]
fn reference_policies_of_aws_pass_and_fail_as_published() {
    let all = || json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
    let tag = "aws:RequestTag/stage";
    let tagged = json!([all(), { "Effect": "Deny", "Action": "ec2:RunInstances", "Resource": "*",
                                 "Condition": { "Null": { tag: "true" } } }]);
    let run = |condition: Value| json!({ "Effect": "Allow", "Action": "ec2:RunInstances", "Resource": "*", "Condition": condition });
    let escalation = json!([
        all(),
        { "Effect": "Deny", "Action": ["iam:PassRole"], "NotResource": "arn:aws:iam::*:role/PassableRoles/*" },
        { "Effect": "Deny", "Action": ["sts:AssumeRole"], "NotResource": "arn:aws:iam::*:role/AssumableRoles/*" },
        { "Effect": "Deny", "Action": ["iam:CreateUser", "iam:PutRolePolicy"], "Resource": "*" },
    ]);
    for (existing, new, want) in [
        (&tagged, run(json!({ "StringEquals": { tag: "prod" } })), "proved"),
        (&tagged, run(json!({ "Null": { tag: "false" } })), "proved"),
        (&tagged, run(json!({})), "found"),
        (&tagged, run(json!({ "StringEqualsIfExists": { tag: "prod" } })), "found"),
        (
            &escalation,
            allow(
                json!("iam:PassRole"),
                json!("arn:aws:iam::111111111111:role/PassableRoles/MyRole"),
            ),
            "proved",
        ),
        (&escalation, allow(json!("ec2:RunInstances"), json!("*")), "proved"),
        (
            &escalation,
            json!([allow(json!("sts:AssumeRole"), json!("*")),
                   { "Effect": "Deny", "Action": "sts:AssumeRole",
                     "NotResource": "arn:aws:iam::*:role/AssumableRoles/MyRole" }]),
            "proved",
        ),
        (
            &escalation,
            allow(json!("iam:PassRole"), json!("arn:aws:iam::111111111111:role/WrongPath/MyRole")),
            "found",
        ),
        (
            &escalation,
            allow(
                json!("iam:PutRolePolicy"),
                json!("arn:aws:iam::111111111111:role/PrivilegedRole"),
            ),
            "found",
        ),
    ] {
        let answer = new_access(existing, &new, Kind::Identity);
        assert_eq!(word(&answer), want, "existing {existing}\nnew {new}\n{answer:?}");
    }
    let roles = json!(["arn:aws:iam::111111111111:role/One", "arn:aws:iam::111111111111:role/Two"]);
    let who = json!([
        { "Effect": "Allow", "Principal": { "AWS": roles }, "Action": "s3:PutObject", "Resource": "*" },
        { "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": "s3:PutObject", "Resource": "*",
          "Condition": { "ArnLike": { "aws:PrincipalArn": roles } } },
        { "Effect": "Allow", "Principal": "*", "NotAction": "s3:PutObject", "Resource": "*" },
    ]);
    let put = |principal: Value, condition: Value| {
        json!({ "Effect": "Allow", "Principal": principal, "Action": "s3:PutObject",
                "Resource": "arn:aws:s3:::b/*", "Condition": condition })
    };
    let one = json!("arn:aws:iam::111111111111:role/One");
    for (new, want) in [
        (put(json!({ "AWS": one }), json!({})), "proved"),
        (put(json!("*"), json!({ "StringEquals": { "aws:PrincipalArn": one } })), "proved"),
        (put(json!("*"), json!({ "StringNotEquals": { "aws:PrincipalArn": one } })), "found"),
        (put(json!({ "AWS": "111111111111" }), json!({})), "found"),
    ] {
        let answer = new_access(&who, &new, Kind::Resource);
        assert_eq!(word(&answer), want, "{new}\n{answer:?}");
    }
}

// ---- access not granted ------------------------------------------------------------------------

/// API_CheckAccessNotGranted: at least one of the actions, on at least one of the resources.
#[test]
fn access_is_granted_if_one_action_is_on_one_resource() {
    let policy = json!([
        allow(json!(["s3:GetObject", "iam:PassRole"]), json!("arn:aws:s3:::b/*")),
        allow(json!("ec2:*"), json!("*")),
        deny(json!("ec2:Terminate*"), json!("*")),
    ]);
    let document = document(&policy, Kind::Identity);
    let access = |actions: &[&str], resources: &[&str]| Access {
        actions: actions.iter().map(ToString::to_string).collect(),
        resources: resources.iter().map(ToString::to_string).collect(),
    };
    for (asked, want) in [
        (vec![access(&["iam:CreateUser"], &[])], "proved"),
        (vec![access(&["iam:CreateUser", "s3:GETOBJECT"], &[])], "found"),
        (vec![access(&["ec2:TerminateInstances"], &[])], "proved"),
        (vec![access(&["ec2:*"], &[])], "found"),
        (vec![access(&[], &["arn:aws:s3:::b/secret"])], "found"),
        (vec![access(&["s3:GetObject"], &["arn:aws:s3:::b/secret"])], "found"),
        (vec![access(&["s3:GetObject"], &["arn:aws:s3:::c/*", "arn:aws:s3:::d"])], "proved"),
        (vec![access(&["s3:GetObject"], &["arn:aws:s3:::c/*", "arn:aws:s3:::*/x"])], "found"),
        (vec![access(&["s3:PutObject"], &["arn:aws:s3:::b/*"])], "proved"),
        (
            vec![access(&["s3:PutObject"], &[]), access(&["iam:PassRole"], &["arn:aws:s3:::b/*"])],
            "found",
        ),
        (vec![], "proved"),
        (vec![access(&[], &[])], "found"),
    ] {
        let answer = check_access_not_granted(&document, &asked, Kind::Identity);
        assert_eq!(word(&answer), want, "{asked:?} {answer:?}");
        if let Some(witness) = answer.witness() {
            assert!(analyse::allows(&document, Kind::Identity, &witness.request()));
        }
    }
    let trust = versioned("2012-10-17", &trust(json!({ "AWS": "111111111111" })), Kind::Trust);
    let asked = [access(&["sts:AssumeRole"], &[])];
    assert_eq!(word(&check_access_not_granted(&trust, &asked, Kind::Trust)), "found");
    let asked = [access(&["sts:TagSession"], &[])];
    assert_eq!(word(&check_access_not_granted(&trust, &asked, Kind::Trust)), "proved");
}

// ---- public access -----------------------------------------------------------------------------

/// S3's meaning of "public": AmazonS3/latest/userguide/access-control-block-public-access.html
#[test]
fn a_resource_policy_is_public_unless_it_picks_out_its_callers() {
    let to = |principal: Value, condition: Value| {
        json!({ "Effect": "Allow", "Principal": principal, "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::b/*", "Condition": condition })
    };
    let anyone = |condition: Value| to(json!("*"), condition);
    let but = |condition: Value| {
        json!([anyone(json!({})),
               { "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*",
                 "Condition": condition }])
    };
    for (policy, want) in [
        (anyone(json!({})), "found"),
        (to(json!({ "AWS": "*" }), json!({})), "found"),
        (to(json!({ "AWS": "111111111111" }), json!({})), "proved"),
        (to(json!({ "AWS": "arn:aws:iam::111111111111:role/r" }), json!({})), "proved"),
        (to(json!({ "Service": "sns.amazonaws.com" }), json!({})), "proved"),
        (anyone(json!({ "StringEquals": { "aws:PrincipalOrgID": "o-1" } })), "proved"),
        (anyone(json!({ "StringLike": { "aws:PrincipalOrgID": "o-*" } })), "found"),
        (anyone(json!({ "StringEqualsIfExists": { "aws:PrincipalOrgID": "o-1" } })), "found"),
        (anyone(json!({ "StringNotEquals": { "aws:PrincipalOrgID": "o-1" } })), "found"),
        (
            anyone(json!({ "StringEquals": { "aws:PrincipalOrgID": "${aws:ResourceOrgID}" } })),
            "proved",
        ),
        (
            anyone(json!({ "StringEquals": { "aws:PrincipalAccount": "${aws:PrincipalTag/a}" } })),
            "found",
        ),
        (
            anyone(json!({ "ForAnyValue:StringLike": { "aws:PrincipalOrgPaths": "o-1/r-1/*" } })),
            "proved",
        ),
        (
            anyone(json!({ "ForAllValues:StringLike": { "aws:PrincipalOrgPaths": "o-1/r-1/*" } })),
            "found",
        ),
        (anyone(json!({ "StringEquals": { "aws:SourceVpce": "vpce-1" } })), "proved"),
        (anyone(json!({ "StringEquals": { "aws:SourceVpc": ["vpc-1", "vpc-2"] } })), "proved"),
        (anyone(json!({ "StringLike": { "aws:SourceVpc": "vpc-*" } })), "found"),
        (anyone(json!({ "IpAddress": { "aws:SourceIp": "203.0.113.0/24" } })), "proved"),
        (anyone(json!({ "IpAddress": { "aws:SourceIp": "0.0.0.0/0" } })), "found"),
        (
            anyone(json!({ "IpAddress": { "aws:SourceIp": ["203.0.113.0/24", "128.0.0.0/1"] } })),
            "found",
        ),
        (anyone(json!({ "NotIpAddress": { "aws:SourceIp": "203.0.113.0/24" } })), "found"),
        (
            anyone(json!({ "ArnLike": { "aws:SourceArn": "arn:aws:sns:*:111111111111:*" } })),
            "proved",
        ),
        (anyone(json!({ "ArnLike": { "aws:SourceArn": "arn:aws:sns:*:*:topic" } })), "found"),
        (anyone(json!({ "ArnEquals": { "aws:SourceArn": "arn:aws:s3:::mine" } })), "proved"),
        (anyone(json!({ "ArnLike": { "aws:PrincipalArn": "arn:aws:iam::*:role/ops" } })), "found"),
        (anyone(json!({ "StringLike": { "aws:userid": "AROAEXAMPLE:*" } })), "proved"),
        (anyone(json!({ "Bool": { "aws:PrincipalIsAWSService": "true" } })), "proved"),
        (anyone(json!({ "Bool": { "aws:SecureTransport": "true" } })), "found"),
        (anyone(json!({ "StringLike": { "aws:Referer": "https://example.com/*" } })), "found"),
        (but(json!({ "StringNotEquals": { "aws:SourceVpce": "vpce-1" } })), "proved"),
        (but(json!({ "StringNotEqualsIfExists": { "aws:SourceVpce": "vpce-1" } })), "proved"),
        (but(json!({ "Bool": { "aws:SecureTransport": "false" } })), "found"),
        (
            json!({ "Effect": "Allow", "NotPrincipal": { "AWS": "111111111111" },
                    "Action": "s3:GetObject", "Resource": "*" }),
            "found",
        ),
        (
            json!({ "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "*" }),
            "proved",
        ),
    ] {
        let document = document(&policy, Kind::Resource);
        let answer = check_no_public_access(&document, Kind::Resource);
        assert_eq!(word(&answer), want, "{policy}\n{answer:?}");
        if let Some(witness) = answer.witness() {
            assert!(analyse::allows(&document, Kind::Resource, &witness.request()));
        }
    }
}

#[test]
fn a_trust_policy_is_public_if_anyone_can_have_what_it_asks_for() {
    let web = |provider: &str, condition: Value| {
        json!({ "Effect": "Allow", "Principal": { "Federated": provider },
                "Action": "sts:AssumeRoleWithWebIdentity", "Condition": condition })
    };
    let github = "arn:aws:iam::111111111111:oidc-provider/token.actions.githubusercontent.com";
    let sub = "token.actions.githubusercontent.com:sub";
    for (policy, want) in [
        (trust(json!({ "AWS": "111111111111" })), "proved"),
        (trust(json!({ "AWS": "*" })), "found"),
        (trust(json!({ "Service": "ec2.amazonaws.com" })), "proved"),
        (web("*", json!({})), "found"),
        (web("accounts.google.com", json!({})), "found"),
        (
            web(
                "accounts.google.com",
                json!({ "StringEquals": { "accounts.google.com:aud": "mine" } }),
            ),
            "proved",
        ),
        (web("arn:aws:iam::111111111111:saml-provider/corp", json!({})), "proved"),
        (web(github, json!({})), "found"),
        (web(github, json!({ "StringLike": { sub: "repo:octo-org/octo-repo:*" } })), "proved"),
        (web(github, json!({ "StringLike": { sub: "repo:*" } })), "found"),
    ] {
        let document = document(&policy, Kind::Trust);
        let answer = check_no_public_access(&document, Kind::Trust);
        assert_eq!(word(&answer), want, "{policy}\n{answer:?}");
    }
}

#[test]
fn external_access_is_that_of_any_other_account() {
    let own = ["111111111111".parse().unwrap()];
    let to = |principal: Value, condition: Value| {
        json!({ "Effect": "Allow", "Principal": principal, "Action": "s3:*", "Resource": "*",
                "Condition": condition })
    };
    for (policy, want) in [
        (to(json!({ "AWS": "111111111111" }), json!({})), "proved"),
        (to(json!({ "AWS": "arn:aws:iam::111111111111:user/ann" }), json!({})), "proved"),
        (to(json!({ "AWS": ["111111111111", "222222222222"] }), json!({})), "found"),
        (to(json!({ "AWS": "arn:aws:iam::222222222222:role/r" }), json!({})), "found"),
        (to(json!("*"), json!({})), "found"),
        (
            to(json!("*"), json!({ "StringEquals": { "aws:PrincipalAccount": "111111111111" } })),
            "proved",
        ),
        (
            to(json!("*"), json!({ "StringEquals": { "aws:PrincipalAccount": "222222222222" } })),
            "found",
        ),
        (
            to(
                json!("*"),
                json!({ "ArnLike": { "aws:PrincipalArn": "arn:aws:iam::111111111111:role/*" } }),
            ),
            "proved",
        ),
        (to(json!("*"), json!({ "StringEquals": { "aws:PrincipalOrgID": "o-1" } })), "found"),
        (to(json!({ "Service": "sns.amazonaws.com" }), json!({})), "proved"),
        (
            to(json!({ "Federated": "arn:aws:iam::111111111111:saml-provider/p" }), json!({})),
            "proved",
        ),
        (
            to(json!({ "Federated": "arn:aws:iam::222222222222:saml-provider/p" }), json!({})),
            "found",
        ),
        (to(json!({ "CanonicalUser": "79a5" }), json!({})), "undecided"),
    ] {
        let document = document(&policy, Kind::Resource);
        let answer = check_no_external_access(&document, &own, Kind::Resource);
        assert_eq!(word(&answer), want, "{policy}\n{answer:?}");
    }
}

#[test]
fn public_access_is_no_question_to_a_policy_without_principals() {
    let document = document(&allow(json!("s3:*"), json!("*")), Kind::Identity);
    assert_eq!(word(&check_no_public_access(&document, Kind::Identity)), "undecided");
    assert_eq!(word(&check_no_external_access(&document, &[], Kind::Identity)), "undecided");
}

// ---- single statements -------------------------------------------------------------------------

#[test]
fn a_statement_that_no_request_can_meet_never_applies() {
    for (statement, want) in [
        (deny(json!("s3:*"), json!("*")), "found"),
        (when(json!({ "StringEquals": { "aws:SourceVpc": [] } })), "proved"),
        (
            when(
                json!({ "Null": { "aws:SourceVpc": "true" }, "StringEquals": { "aws:SourceVpc": "a" } }),
            ),
            "proved",
        ),
        (
            when(json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/8" },
                      "NotIpAddress": { "aws:SourceIp": "10.0.0.0/7" } })),
            "proved",
        ),
        (when(json!({ "NumericEquals": { "s3:max-keys": "ten" } })), "proved"),
        (
            when(json!({ "StringLike": { "aws:PrincipalTag/a": "x*" },
                      "StringNotLike": { "aws:PrincipalTag/a": "*y" } })),
            "found",
        ),
        (when(json!({ "StringLike": { "aws:PrincipalTag/a": "${aws:PrincipalTag/b}" } })), "found"),
        (when(json!({ "NumericEquals": { "s3:max-keys": "${aws:username}" } })), "proved"),
        (when(json!({ "StringEqualsIgnoreCase": { "aws:PrincipalTag/a": "É" } })), "found"),
    ] {
        let document = document(&statement, Kind::Identity);
        let answer = check_never_applies(&document, 0, Kind::Identity);
        assert_eq!(word(&answer), want, "{statement}\n{answer:?}");
    }
}

#[test]
fn what_anyone_can_claim_identifies_nobody() {
    const GITHUB: &str = "token.actions.githubusercontent.com";
    let trust = |provider: &str, condition: serde_json::Value| {
        let text = serde_json::json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": {"Federated": format!("arn:aws:iam::123456789012:oidc-provider/{provider}")},
            "Condition": condition}});
        ringfence_policy::parse(&text.to_string(), Kind::Trust).unwrap()
    };
    let resource = |condition: serde_json::Value| {
        let text = serde_json::json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "sqs:SendMessage", "Principal": "*", "Resource": "*",
            "Condition": condition}});
        ringfence_policy::parse(&text.to_string(), Kind::Resource).unwrap()
    };
    let is_public = |document: &Document, kind| !check_no_public_access(document, kind).is_proved();
    for (operator, claim, value, public) in [
        ("StringEquals", "aud", "sts.amazonaws.com", true),
        ("StringLike", "sub", "repo*", true),
        ("StringLike", "sub", "repo:octo*", true),
        ("StringLike", "ref", "refs/heads/main", true),
        ("StringLike", "sub", "repo:octo/*", false),
        ("StringEquals", "repository_owner", "octo", false),
    ] {
        let condition = serde_json::json!({operator: {format!("{GITHUB}:{claim}"): value}});
        let document = trust(GITHUB, condition);
        assert_eq!(is_public(&document, Kind::Trust), public, "{operator} {claim} {value}");
    }
    let blocks = |count: u32| (0..count).map(|i| format!("{}.0.0.0/8", i + 20)).collect::<Vec<_>>();
    for (count, public) in [(1, false), (2, true), (200, true)] {
        let document = resource(serde_json::json!({"IpAddress": {"aws:SourceIp": blocks(count)}}));
        assert_eq!(is_public(&document, Kind::Resource), public, "{count} blocks");
    }
    for (operator, key, value, public) in [
        // The wildcards of strings reach over colons.
        ("StringLike", "aws:PrincipalArn", "arn:*:iam::123456789012:role/*", true),
        ("StringLike", "aws:SourceArn", "arn:aws:logs:*:123456789012:*", true),
        ("ArnLike", "aws:SourceArn", "arn:aws:logs:*:123456789012:*", false),
        ("StringLike", "aws:PrincipalArn", "arn:aws:iam::123456789012:role/*", false),
        ("IpAddress", "aws:VpcSourceIp", "10.0.0.0/8", true),
    ] {
        let document = resource(serde_json::json!({operator: {key: value}}));
        assert_eq!(is_public(&document, Kind::Resource), public, "{operator} {key} {value}");
    }
}
