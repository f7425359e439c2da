"""`ringfence policy`: decisions by policy files alone."""

import json

import pytest

from world import allow, deny, policy, trust

ANN = "arn:aws:iam::123456789012:user/ann"
OBJECT = "arn:aws:s3:::bucket/ann/file"


@pytest.fixture
def explain(ringfence, tmp_path):
    """Runs `policy explain` with documents written to files: (exit code, parsed JSON)."""

    def run(*args, **documents):
        files = []
        for option, document in documents.items():
            path = tmp_path / f"{option}.json"
            path.write_text(document)
            files += [f"--{option.replace('_', '-')}", path]
        done = ringfence("policy", "explain", "--json", *args, *files, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    return run


def asks(action, resource=OBJECT, principal=ANN):
    return ("--principal", principal, "--action", action, "--resource", resource)


OWN_FOLDER = policy(allow("s3:Get*", "arn:aws:s3:::bucket/${aws:username}/*"))


@pytest.mark.parametrize(
    "documents,decision,by",
    [
        ({"identity": OWN_FOLDER}, "allowed", None),
        ({}, "implicitDeny", "identity-based policy"),
        ({"identity": policy(allow("*"), deny("s3:*"))}, "explicitDeny", "identity-based policy"),
        ({"identity": OWN_FOLDER, "boundary": policy(allow("ec2:*"))}, "implicitDeny", "permissions boundary"),
        ({"identity": OWN_FOLDER, "session": policy(allow("ec2:*"))}, "implicitDeny", "session policy"),
        ({"identity": OWN_FOLDER, "scp": policy(allow("ec2:*"))}, "implicitDeny", "service control policy"),
        (
            {"identity": OWN_FOLDER, "rcp": policy({**deny("s3:*"), "Principal": "*"}, {**allow("*"), "Principal": "*"})},
            "explicitDeny", "resource control policy",
        ),
        ({"resource_policy": policy({**allow("s3:*"), "Principal": {"AWS": ANN}})}, "allowed", None),
        ({"identity": OWN_FOLDER, "key_policy": policy({**allow("s3:*"), "Principal": {"Service": "a.b"}})},
         "implicitDeny", "resource-based policy"),
    ],
)
def test_each_layer_of_the_command_line_bears_on_the_decision(documents, decision, by, explain):
    code, why = explain(*asks("s3:GetObject"), **documents)
    assert (why["decision"], why.get("decidedBy")) == (decision, by), why
    assert code == (0 if decision == "allowed" else 3)


def test_a_trust_policy_and_context_keys_decide_who_assumes_a_role(explain):
    role = "arn:aws:iam::123456789012:role/ops"
    document = policy(trust(ANN, Condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}))
    tags = ("--context", "aws:TagKeys=a", "--context", "aws:TagKeys=c")
    assert explain(*asks("sts:AssumeRole", role), trust=document)[1]["decision"] == "allowed"
    code, why = explain(*asks("sts:AssumeRole", role), *tags, trust=document)
    assert (code, why["decidedBy"]) == (3, "role trust policy")
    (statement,) = why["layers"][0]["policies"][0]["statements"]
    assert statement["verdict"] == "conditionFails"
    assert (statement["key"], statement["found"]) == ("aws:TagKeys", ["a", "c"])
    assert why["sentence"].endswith("because no role trust policy allows the sts:AssumeRole action")


def test_without_json_a_tree_is_printed_for_people(ringfence, tmp_path):
    path = tmp_path / "p.json"
    path.write_text(OWN_FOLDER)
    done = ringfence("policy", "explain", *asks("s3:PutObject"), "--identity", path, check=False)
    assert done.returncode == 3
    first, _, tree = done.stdout.partition("\n\n")
    assert first == (
        f"User: {ANN} is not authorized to perform: s3:PutObject on resource: {OBJECT} because no"
        " identity-based policy allows the s3:PutObject action"
    )
    assert "identity-based policy: says nothing" in tree and "speaks of other actions" in tree


@pytest.mark.parametrize(
    "args,documents,said",
    [
        (asks("s3:GetObject"), {"identity": '{"Version": "2012-10-17"}'}, "Syntax errors in policy."),
        (asks("s3:GetObject", principal="ann"), {}, "`ann` is no principal"),
        ((*asks("s3:GetObject"), "--context", "x"), {}, "KEY=VALUE"),
        (("--principal", "anonymous", "--action", "s3:GetObject"), {}, "--resource-account"),
    ],
)
def test_what_is_wrong_with_the_command_line_is_said(args, documents, said, explain):
    code, stderr = explain(*args, **documents)
    assert code == 1 and said in stderr
