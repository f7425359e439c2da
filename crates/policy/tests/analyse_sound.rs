//! Pairs of documents made to mislead the analysis: each differs by one request that an analysis may
//! easily leave out. A proof here would be wrong.

#![allow(clippy::unwrap_used, clippy::panic)] // Tests, helpers included.

use ringfence_policy::analyse::{
    Answer, allows, check_never_applies, check_no_external_access, check_no_new_access, equivalent,
};
use ringfence_policy::{Context, Document, Kind, Principal, Request, parse};
use serde_json::{Value, json};

fn document(version: &str, statements: &Value, kind: Kind) -> Document {
    let text = json!({ "Version": version, "Statement": statements }).to_string();
    parse(&text, kind).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn identity(statements: &Value) -> Document {
    document("2012-10-17", statements, Kind::Identity)
}

/// Everything under a condition.
fn when(condition: Value) -> Value {
    json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition })
}

fn trust(effect: &str, principal: Value) -> Value {
    json!({ "Effect": effect, "Action": "sts:AssumeRole", "Principal": principal })
}

/// `new` allows what `existing` does not, and a witness is found.
fn differs(existing: &Document, new: &Document, kind: Kind) {
    let answer = check_no_new_access(existing, new, kind);
    let Some(witness) = answer.witness() else {
        panic!("{answer:?}\nexisting {existing:#?}\nnew {new:#?}")
    };
    let request = witness.request();
    assert!(allows(new, kind, &request) && !allows(existing, kind, &request), "{request:?}");
}

/// `new` allows what `existing` does not; a witness may be too hard to find.
fn is_no_proof(existing: &Document, new: &Document, kind: Kind) {
    let answer = check_no_new_access(existing, new, kind);
    assert!(!answer.is_proved(), "existing {existing:#?}\nnew {new:#?}");
}

fn conditions_differ(pairs: &[(Value, Value)]) {
    for (existing, new) in pairs {
        let (existing, new) = (identity(&when(existing.clone())), identity(&when(new.clone())));
        differs(&existing, &new, Kind::Identity);
    }
}

#[test]
fn tags_in_two_spellings_are_two_keys() {
    let team = |operator: &str, key: &str, value: &str| json!({ operator: { key: value } });
    let (upper, lower) = ("aws:ResourceTag/Team", "aws:resourcetag/team");
    conditions_differ(&[
        (team("StringEquals", upper, "a"), team("StringEquals", lower, "a")),
        (team("StringEquals", lower, "a"), team("StringEquals", upper, "a")),
        (team("StringEquals", upper, "a"), team("Null", lower, "false")),
        (
            json!({ "Null": { upper: "false" } }),
            json!({ "Null": { lower: "false", "aws:ResourceTag/TEAM": "true" } }),
        ),
        (
            team("StringNotEquals", "aws:RequestTag/Team", "${aws:PrincipalTag/x}"),
            team("StringNotEquals", "aws:RequestTag/team", "${aws:PrincipalTag/x}"),
        ),
    ]);
    // Where every letter is taken there is no third spelling that would leave one of two absent.
    let both = json!({ "Null": { "aws:ResourceTag/t": "false", "aws:ResourceTag/T": "true" } });
    let nothing = identity(&when(json!({ "StringEquals": { "aws:username": [] } })));
    let answer = check_no_new_access(&nothing, &identity(&when(both)), Kind::Identity);
    assert!(matches!(answer, Answer::Undecided(_)), "{answer:?}");
    // The name before the slash is the same in any case.
    let same = |key: &str| identity(&when(team("StringEquals", key, "a")));
    let answer = equivalent(&same("aws:ResourceTag/a"), &same("AWS:RESOURCETAG/a"), Kind::Identity);
    assert!(answer.is_proved(), "{answer:?}");
}

#[test]
fn one_text_in_two_versions_is_two_patterns() {
    let condition = json!({ "StringEqualsIgnoreCase": { "x:k": "${aws:username}É" } });
    let old = document("2008-10-17", &when(condition.clone()), Kind::Identity);
    let new = identity(&when(condition));
    is_no_proof(&old, &new, Kind::Identity);
    is_no_proof(&new, &old, Kind::Identity);
    let resource =
        json!({ "Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::${aws:username}" });
    let old = document("2008-10-17", &resource, Kind::Identity);
    differs(&old, &identity(&resource), Kind::Identity);
    differs(&identity(&resource), &old, Kind::Identity);
}

#[test]
fn a_variable_without_its_end_is_text_beside_one_that_has_it() {
    let nothing = identity(&when(json!({ "StringEquals": { "x:k": [] } })));
    for value in ["${aws:username}${*", "${aws:username}${?", "${aws:username}$"] {
        let new = identity(&when(json!({ "StringEquals": { "x:k": value } })));
        differs(&nothing, &new, Kind::Identity);
    }
    let resource = |text: &str| {
        identity(&json!({ "Effect": "Allow", "Action": "*",
            "Resource": format!("arn:aws:s3:::{text}") }))
    };
    differs(&resource("x"), &resource("${aws:username}${*"), Kind::Identity);
}

#[test]
fn a_session_is_of_a_role_of_its_own_partition() {
    for partition in ["aws", "aws-cn", "aws-us-gov"] {
        let role = json!({ "AWS": format!("arn:{partition}:iam::111111111111:role/p/ops") });
        let session = format!("arn:{partition}:sts::111111111111:assumed-role/ops/ann");
        let session = json!({ "AWS": session });
        let document = |statements: Value| document("2012-10-17", &statements, Kind::Trust);
        let existing = document(json!([trust("Allow", role.clone()), trust("Deny", session)]));
        differs(&existing, &document(json!([trust("Allow", role)])), Kind::Trust);
    }
}

#[test]
fn values_at_the_ends_of_their_types_are_values() {
    let date = |operator: &str, text: &str| json!({ operator: { "aws:CurrentTime": text } });
    conditions_differ(&[
        (
            date("DateEquals", "-9223372036854775808.7"),
            date("DateEquals", "-9223372036854775808.5"),
        ),
        (
            date("DateGreaterThanEquals", "-9223372036854775808.5"),
            json!({ "Null": { "aws:CurrentTime": "false" }, "DateLessThan": { "aws:CurrentTime": "0" } }),
        ),
        (
            date("DateLessThanEquals", "9223372036854775807"),
            json!({ "DateGreaterThan": { "aws:CurrentTime": "0" } }),
        ),
    ]);
    let number = |operator: &str, text: &str| json!({ operator: { "s3:max-keys": text } });
    conditions_differ(&[
        (number("NumericEquals", "1"), number("NumericEquals", "1.0000000000000002")),
        (
            number("NumericLessThan", "-1.7976931348623157e308"),
            number("NumericLessThanEquals", "-1.7976931348623157e308"),
        ),
        (number("NumericLessThan", "1e999"), number("NumericLessThan", "1e308")),
        (number("NumericLessThan", "0"), number("NumericLessThanEquals", "-0")),
        (number("NumericEquals", "ten"), number("NumericNotEquals", "10")),
    ]);
    // What is no number satisfies no operator, negated or not.
    let none = identity(&when(number("NumericEquals", "ten")));
    let negated = identity(&when(number("NumericNotEquals", "ten")));
    let absent = identity(&when(json!({ "Null": { "s3:max-keys": "true" } })));
    assert!(check_no_new_access(&none, &none, Kind::Identity).is_proved());
    assert!(equivalent(&negated, &absent, Kind::Identity).is_proved());
    differs(&none, &negated, Kind::Identity);
}

#[test]
fn addresses_are_told_apart_as_conditions_tell_them() {
    let ip = |operator: &str, block: &str| json!({ operator: { "aws:SourceIp": block } });
    conditions_differ(&[
        (ip("IpAddress", "::/0"), ip("IpAddress", "10.0.0.0/8")),
        (ip("IpAddress", "0.0.0.0/0"), ip("IpAddress", "2001:db8::/32")),
        (ip("IpAddress", "10.0.0.0/8"), ip("IpAddress", "::ffff:10.0.0.0/103")),
        (ip("IpAddress", "::/0"), ip("IpAddress", "::ffff:0:0/96")),
        (ip("NotIpAddress", "0.0.0.0/0"), ip("NotIpAddress", "::/0")),
        (ip("IpAddress", "10.0.0.0/9"), ip("IpAddress", "10.128.0.0/9")),
        (ip("IpAddress", "255.255.255.254"), ip("IpAddress", "255.255.255.254/31")),
    ]);
    let mapped = identity(&when(ip("IpAddress", "::ffff:10.0.0.0/104")));
    let block = identity(&when(ip("IpAddress", "10.0.0.0/8")));
    assert!(equivalent(&mapped, &block, Kind::Identity).is_proved());
}

#[test]
fn absent_empty_and_several_values_are_told_apart() {
    let of = |operator: &str, values: Value| json!({ operator: { "aws:TagKeys": values } });
    conditions_differ(&[
        // An empty text is no value to `ForAllValues`, and one to the others.
        (of("ForAnyValue:StringEquals", json!("a")), of("ForAllValues:StringEquals", json!("a"))),
        (of("StringEquals", json!(["a"])), of("ForAnyValue:StringEquals", json!(["a", ""]))),
        (
            json!({ "ForAllValues:StringEquals": { "aws:TagKeys": "a" }, "Null": { "aws:TagKeys": "true" } }),
            json!({ "ForAllValues:StringEquals": { "aws:TagKeys": "b" }, "Null": { "aws:TagKeys": "false" } }),
        ),
        (of("ForAllValues:StringEquals", json!("a")), of("StringEquals", json!(["a"]))),
        (of("StringNotEquals", json!("a")), of("ForAnyValue:StringNotEquals", json!("a"))),
        (
            of("ForAnyValue:StringNotEquals", json!("a")),
            of("ForAllValues:StringNotEquals", json!("a")),
        ),
        (
            json!({ "ForAnyValue:StringEquals": { "aws:TagKeys": ["a", "b"] } }),
            json!({ "ForAllValues:StringEquals": { "aws:TagKeys": [""] } }),
        ),
        (
            of("ForAnyValue:StringEquals", json!("a")),
            of("ForAnyValue:StringEqualsIfExists", json!("a")),
        ),
    ]);
}

#[test]
fn resources_are_told_apart_as_patterns_tell_them() {
    let resource =
        |text: &str| identity(&json!({ "Effect": "Allow", "Action": "*", "Resource": text }));
    for (existing, new) in [
        ("arn:aws:s3:::a*", "arn:aws:s3:*:*:a*"),
        // A star at the end of a part reaches beyond it, any other stays within.
        ("arn:aws:s3:x*y::a", "arn:aws:s3:x*::a"),
        ("arn:aws:s3:?::a", "arn:aws:s3:*::a"),
        ("arn:aws:*::1:a", "arn:aws:*:a"),
        ("arn:aws:s3:*:1:a", "arn:aws:s3"),
        ("arn:aws:s3:::${?}", "arn:aws:s3:::?"),
        ("arn:aws:s3:::a", "arn:aws:s3:::A"),
        // Before the fifth colon there are no variables.
        ("arn:aws:s3:::a", "arn:aws:s3:${aws:username}::a"),
        ("arn:aws:s3:*:*:*", "*"),
    ] {
        differs(&resource(existing), &resource(new), Kind::Identity);
    }
    let star = resource("arn:aws:s3:::${*}");
    assert!(check_no_new_access(&resource("arn:aws:s3:::?"), &star, Kind::Identity).is_proved());
    // A default without quotes cannot be read: the pattern matches nothing.
    let unread = resource("arn:aws:s3:::${x:k, d}");
    assert!(check_never_applies(&unread, 0, Kind::Identity).is_proved());
    let statement = |name: &str, resource: &str| {
        identity(&json!({ "Effect": "Allow", "Action": "*", name: resource }))
    };
    for variable in ["arn:aws:s3:::${aws:username}", "arn:aws:s3:::${x:k, 'd'}"] {
        differs(
            &statement("Resource", variable),
            &statement("NotResource", variable),
            Kind::Identity,
        );
        differs(&statement("NotResource", variable), &resource("*"), Kind::Identity);
    }
    differs(
        &statement("Resource", "arn:aws:s3:::${x:k, 'd'}"),
        &statement("Resource", "arn:aws:s3:::${x:k, 'e'}"),
        Kind::Identity,
    );
}

#[test]
fn actions_are_the_same_in_any_case_and_texts_are_not() {
    let action = |name: &str, text: &str| {
        identity(&json!({ "Effect": "Allow", name: text, "Resource": "*" }))
    };
    let same =
        equivalent(&action("Action", "S3:GET*"), &action("Action", "s3:get*"), Kind::Identity);
    assert!(same.is_proved(), "{same:?}");
    differs(&action("Action", "s3:Get*"), &action("NotAction", "s3:GetObject"), Kind::Identity);
    differs(&action("Action", "s3:Get?*"), &action("Action", "s3:get*"), Kind::Identity);
    conditions_differ(&[
        (
            json!({ "StringEquals": { "x:k": "a" } }),
            json!({ "StringEqualsIgnoreCase": { "x:k": "a" } }),
        ),
        // The Kelvin sign is a `k` to those that ignore case.
        (
            json!({ "StringEquals": { "x:k": ["k", "K"] } }),
            json!({ "StringEqualsIgnoreCase": { "x:k": "k" } }),
        ),
        (json!({ "Bool": { "x:k": "true" } }), json!({ "StringEquals": { "x:k": "TRUE1" } })),
        (
            json!({ "StringEquals": { "x:k": ["true", "TRUE"] } }),
            json!({ "Bool": { "x:k": "true" } }),
        ),
        (
            json!({ "StringEquals": { "x:k": "YQ==" } }),
            json!({ "BinaryEquals": { "x:k": "YQ==" } }),
        ),
        (json!({ "ArnLike": { "x:k": "arn:*:*:*:*:*" } }), json!({ "ArnLike": { "x:k": "*" } })),
        (
            json!({ "ArnLike": { "x:k": "arn:aws:s3:*:1:a" } }),
            json!({ "StringLike": { "x:k": "arn:aws:s3:*:1:a" } }),
        ),
    ]);
}

#[test]
fn a_character_that_no_pattern_has_is_found_among_very_many() {
    // Every character that the analysis would take first for "any other".
    let all = ('a'..='z').chain('0'..='9').chain('\u{4e00}'..='\u{9fff}');
    let values: Vec<String> = all.map(|c| c.to_string()).collect();
    let existing = identity(&when(json!({ "StringEquals": { "x:k": values } })));
    let new = identity(&when(json!({ "StringLike": { "x:k": "?" } })));
    is_no_proof(&existing, &new, Kind::Identity);
}

#[test]
fn a_denial_with_not_principal_exempts_who_is_listed_in_full() {
    const KIND: Kind = Kind::Resource;
    let statement = |effect: &str, element: &str, list: Value| json!({ "Effect": effect, element: { "AWS": list }, "Action": "s3:*", "Resource": "*" });
    let document = |statements: Value| document("2012-10-17", &statements, KIND);
    let all_but = |list: Value| {
        document(json!([
            statement("Allow", "Principal", json!("*")),
            statement("Deny", "NotPrincipal", list)
        ]))
    };
    let user = "arn:aws:iam::111111111111:user/ann";
    differs(&all_but(json!([user])), &all_but(json!([user, "111111111111"])), KIND);
    let role = "arn:aws:iam::111111111111:role/ops";
    let session = "arn:aws:sts::111111111111:assumed-role/ops/ann";
    differs(
        &all_but(json!([role, "111111111111"])),
        &all_but(json!([role, "111111111111", session])),
        KIND,
    );
    // Nothing of an account is listed by its user alone.
    let answer = equivalent(&all_but(json!([user])), &all_but(json!([role])), KIND);
    assert!(answer.is_proved(), "{answer:?}");
    // To an allowance any part is enough.
    let allowed = |list: Value| document(statement("Allow", "NotPrincipal", list));
    differs(&allowed(json!([role])), &allowed(json!([session])), KIND);
    assert!(!check_never_applies(&all_but(json!([user])), 1, KIND).is_proved());
}

#[test]
fn an_identity_policy_says_of_everyone_the_same() {
    let document = identity(&json!([
        { "Effect": "Allow", "Action": "s3:*", "Resource": "*" },
        { "Effect": "Deny", "Action": "s3:Put*", "Resource": "*" },
    ]));
    let account = "111111111111".parse().unwrap();
    let user = Principal::User { arn: "arn:aws:iam::111111111111:user/ann".into() };
    let context = Context::default();
    for principal in [user, Principal::Root(account), Principal::Anonymous] {
        let allowed = ["s3:GetObject", "s3:PutObject", "ec2:RunInstances"].map(|action| {
            let request = Request {
                principal: &principal,
                action,
                resource: "arn:aws:s3:::a",
                resource_account: account,
                context: &context,
            };
            allows(&document, Kind::Identity, &request)
        });
        assert_eq!(allowed, [true, false, false], "{principal:?}");
    }
}

#[test]
fn external_access_is_found_where_an_id_of_an_outsider_is_all_that_is_named() {
    let document = |statements: Value| document("2012-10-17", &statements, Kind::Trust);
    let inside = ["111111111111".parse().unwrap()];
    let id = document(json!([trust("Allow", json!({ "AWS": "AIDAEXAMPLEEXAMPLE12" }))]));
    assert!(!check_no_external_access(&id, &inside, Kind::Trust).is_proved());
    let host = document(json!([{ "Effect": "Allow", "Principal": { "Federated": "*" },
        "Action": "sts:AssumeRoleWithWebIdentity" }]));
    assert!(check_no_external_access(&host, &inside, Kind::Trust).witness().is_some());
}
