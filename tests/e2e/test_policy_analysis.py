"""`ringfence policy check-access` and `policy diff`: questions over all requests."""

import json

import pytest

from world import allow, deny, policy, trust

INSIDE, OUTSIDE = "111111111111", "222222222222"


@pytest.fixture
def ask(ringfence, tmp_path):
    """Runs a command on documents written to files: (exit code, parsed JSON or what was said)."""

    def run(command, *documents, args=(), type="identity", as_json=True):
        files = []
        for at, document in enumerate(documents):
            path = tmp_path / f"{at}.json"
            path.write_text(document)
            files.append(path)
        form = ["--json"] if as_json else []
        done = ringfence("policy", command, *files, "--type", type, *form, *args, check=False)
        said = done.stdout if done.returncode in (0, 3, 4) else done.stderr
        return done.returncode, json.loads(said) if as_json and done.returncode != 1 else said

    return run


def bucket(*statements):
    return policy(*({"Principal": "*", **statement} for statement in statements))


BUILDER = policy(
    {"Sid": "Store", **allow(["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::artifacts/*")},
    {"Sid": "Pass", **allow("iam:PassRole", "arn:aws:iam::*:role/build-*")},
    deny("s3:*", Condition={"Bool": {"aws:SecureTransport": "false"}}),
)


# ---- check-access --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args,result,by",
    [
        (("--action", "ec2:*", "s3:DeleteObject"), "PASS", None),
        (("--action", "ec2:*", "iam:passrole"), "FAIL", "Pass"),
        (("--resource", "arn:aws:s3:::artifacts/a"), "FAIL", "Store"),
        (("--resource", "arn:aws:s3:::other/*"), "PASS", None),
        (("--action", "s3:PutObject", "--resource", "arn:aws:s3:::other/*", "arn:aws:s3:::artifacts/x"), "FAIL", "Store"),
        (("--action", "iam:*", "--resource", "arn:aws:s3:::*"), "PASS", None),
    ],
)
def test_access_that_a_policy_grants_is_found_with_a_request(args, result, by, ask):
    code, answer = ask("check-access", BUILDER, args=args)
    assert (code, answer["result"]) == (0 if result == "PASS" else 3, result), answer
    if by:
        assert [statement["sid"] for statement in answer["allowedBy"]] == [by]
        assert "principal" not in answer["witness"]


@pytest.mark.parametrize(
    "document,type,args,code",
    [
        (bucket(allow("s3:GetObject")), "resource", ["--public"], 3),
        (bucket(allow("s3:GetObject", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})), "resource", ["--public"], 0),
        (policy(trust(INSIDE)), "trust", ["--public"], 0),
        (policy(trust({"AWS": "*"})), "trust", ["--public"], 3),
        (policy(trust({"AWS": [INSIDE, OUTSIDE]})), "trust", ["--external", INSIDE], 3),
        (policy(trust({"AWS": [INSIDE, OUTSIDE]})), "trust", ["--external", INSIDE, OUTSIDE], 0),
        (policy(trust({"Service": "ec2.amazonaws.com"})), "trust", ["--external", INSIDE], 0),
    ],
)
def test_outsiders_are_found_in_resource_and_trust_policies(document, type, args, code, ask):
    assert ask("check-access", document, type=type, args=args)[0] == code


def test_a_witness_is_told_as_a_request(ask):
    document = policy(trust({"AWS": OUTSIDE}, Condition={"StringEquals": {"sts:ExternalId": "x"}}))
    code, answer = ask("check-access", document, type="trust", args=["--external", INSIDE])
    assert code == 3
    assert answer["witness"]["action"] == "sts:AssumeRole"
    assert f"::{OUTSIDE}:" in answer["witness"]["principal"]
    assert answer["witness"]["context"] == {"sts:ExternalId": ["x"]}
    assert answer["allowedBy"] == [{"statement": 0}]
    code, said = ask("check-access", document, type="trust", args=["--external", INSIDE], as_json=False)
    assert said.startswith("FAIL: external access is granted, for example to\n")
    assert "context    sts:ExternalId=x" in said and "allowed by statement 0" in said


def test_what_cannot_be_decided_is_named(ask):
    # No request meets both, which is not found out.
    condition = {
        "StringEquals": {"aws:username": "${aws:PrincipalTag/a}"},
        "StringNotEquals": {"aws:PrincipalTag/a": "${aws:username}"},
    }
    document = policy(allow("ec2:*"), allow("s3:*", Condition=condition))
    code, answer = ask("check-access", document, args=["--action", "s3:*"])
    assert (code, answer["result"]) == (4, "UNDECIDED"), answer
    assert answer["undecided"]["statement"] == 1
    assert "${aws:" in answer["undecided"]["construct"] and "variables" in answer["undecided"]["why"]
    code, said = ask("check-access", document, args=["--action", "s3:*"], as_json=False)
    assert code == 4 and said.startswith("UNDECIDED: `String") and "in statement 1" in said


@pytest.mark.parametrize(
    "document,args,said",
    [
        (BUILDER, ["--action", "GetObject"], "`GetObject` is no action"),
        (BUILDER, ["--resource", "bucket"], "`bucket` is no resource"),
        (BUILDER, ["--public"], "whom an identity policy is for is not in it"),
        ("{", ["--action", "s3:*"], "Syntax errors in policy."),
    ],
)
def test_what_is_wrong_with_the_command_line_is_said(document, args, said, ask):
    code, stderr = ask("check-access", document, args=args)
    assert code == 1 and said in stderr


def test_a_question_is_needed_and_only_one(ask, ringfence):
    for args in ([], ["--public", "--action", "s3:*"], ["--public", "--external", INSIDE]):
        assert ringfence("policy", "check-access", "p.json", "--type", "resource", *args, check=False).returncode == 2


def test_an_action_that_does_not_exist_is_remarked_on(ringfence, tmp_path):
    path = tmp_path / "p.json"
    path.write_text(BUILDER)
    done = ringfence("policy", "check-access", path, "--type", "identity", "--action", "s3:GetObjet")
    assert "AWS lists no action `s3:GetObjet`" in done.stderr


# ---- diff ----------------------------------------------------------------------------------------

READ = policy(allow("s3:Get*", "arn:aws:s3:::logs/*"))


@pytest.mark.parametrize(
    "old,new,args,code,gained,lost",
    [
        (READ, policy(allow("S3:GET*", "arn:aws:s3:::logs/*"), deny("s3:Put*")), [], 0, "none", "none"),
        (READ, policy(allow("s3:*", "arn:aws:s3:::logs/*")), [], 3, "found", "none"),
        (READ, policy(allow("s3:GetObject", "arn:aws:s3:::logs/*")), [], 3, "none", "found"),
        (READ, policy(allow("s3:GetObject", "arn:aws:s3:::logs/*")), ["--no-new-access"], 0, "none", "found"),
        (READ, policy(allow("s3:Get*", "arn:aws:s3:::*")), ["--no-new-access"], 3, "found", "none"),
        (READ, policy(allow("s3:Put*", "arn:aws:s3:::logs/*")), [], 3, "found", "found"),
    ],
)
def test_new_and_lost_access_are_told_apart(old, new, args, code, gained, lost, ask):
    found, answer = ask("diff", old, new, args=args)
    assert (answer["newAccess"]["result"], answer["lostAccess"]["result"]) == (gained, lost), answer
    assert (found, answer["equivalent"]) == (code, (gained, lost) == ("none", "none"))


def test_each_statement_that_gives_new_access_has_a_request(ask):
    new = policy(
        {"Sid": "Logs", **allow("s3:Get*", "arn:aws:s3:::logs/*")},
        {"Sid": "Write", **allow("s3:PutObject", "arn:aws:s3:::logs/*")},
        {"Sid": "Compute", **allow("ec2:RunInstances")},
        deny("ec2:*", Condition={"StringEquals": {"aws:RequestedRegion": "us-east-1"}}),
    )
    _, answer = ask("diff", READ, new)
    requests = answer["newAccess"]["requests"]
    assert [request["action"] for request in requests] == ["s3:PutObject", "ec2:RunInstances"]
    assert [request["allowedBy"][0]["sid"] for request in requests] == ["Write", "Compute"]
    code, said = ask("diff", READ, new, as_json=False)
    assert code == 3
    assert said.startswith("NEW allows what OLD does not, for example\n") and said.endswith("OLD allows nothing that NEW does not\n")
    assert "allowed by statement 2 (Compute) of NEW" in said


def test_a_denial_that_is_taken_away_is_named(ask):
    old = policy(allow("s3:*"), {"Sid": "Keep", **deny("s3:DeleteBucket")})
    code, answer = ask("diff", old, policy(allow("s3:*")))
    (request,) = answer["newAccess"]["requests"]
    assert (code, request["action"], request["deniedBy"]) == (3, "s3:DeleteBucket", [{"statement": 1, "sid": "Keep"}])


def test_a_difference_that_cannot_be_decided_names_where_it_stands(ask):
    def of(pattern):
        return policy(allow("ec2:*"), allow("s3:*", "arn:aws:s3:::${aws:PrincipalTag/a}" + pattern))

    code, answer = ask("diff", of("?*"), of("xy"), args=["--no-new-access"])
    why = answer["newAccess"]["undecided"]
    assert (code, answer["equivalent"], why["policy"], why["statement"]) == (4, False, "new", 1), answer
    assert why["construct"] == "arn:aws:s3:::${aws:PrincipalTag/a}xy"
    # What is found the other way round settles it.
    assert ask("diff", of("?*"), of("xy"))[0] == 3
    _, said = ask("diff", of("?*"), of("xy"), as_json=False)
    assert "whether NEW allows what OLD does not is undecided:\n  `arn:aws:s3:::${" in said
    assert "in statement 1 of NEW" in said
    assert ask("diff", of("?*"), of("?*"))[1]["equivalent"]
