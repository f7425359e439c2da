"""`ringfence policy generate`: the policy that allows what was seen, and little else.

A user works with broad rights. The policy made of the log takes their place: the same work passes
again, and what lies beside it is denied.
"""

import datetime
import gzip
import json
import time

import pytest

from clients import IDENTITY_DENY, assert_denied, refusal
from ringfence_server import until_the_next_second
from world import allow, deny, policy, trust, unique

READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
EXTERNAL_ID = "shared-secret-7"


def work(principal, role, names):
    """What a deployment does, from the beginning each time."""
    iam = principal.iam
    for name in names:
        iam.create_user(UserName=name, Path="/ci/", Tags=[{"Key": "team", "Value": "ci"}])
        iam.get_user(UserName=name)
    iam.list_users(PathPrefix="/ci/")
    iam.create_role(
        RoleName="deployer",
        AssumeRolePolicyDocument=policy(trust({"Service": "ec2.amazonaws.com"})),
    )
    iam.attach_role_policy(RoleName="deployer", PolicyArn=READ_ONLY)
    iam.create_instance_profile(InstanceProfileName="deployer")
    iam.add_role_to_instance_profile(InstanceProfileName="deployer", RoleName="deployer")
    principal.assume(role, ExternalId=EXTERNAL_ID)
    principal.sts.get_caller_identity()
    iam.remove_role_from_instance_profile(InstanceProfileName="deployer", RoleName="deployer")
    iam.delete_instance_profile(InstanceProfileName="deployer")
    iam.detach_role_policy(RoleName="deployer", PolicyArn=READ_ONLY)
    iam.delete_role(RoleName="deployer")
    for name in names:
        iam.delete_user(UserName=name)


@pytest.fixture(scope="module")
def generate(ringfence, server):
    """Runs the command over the server's log; the policies, the report and the code."""

    def run(principal, *args, check=True):
        done = ringfence(
            "policy", "generate", "--principal", principal, "--data", server.data, *args,
            check=check,
        )
        made = json.loads(done.stdout) if done.stdout else []
        return (made if isinstance(made, list) else [made]), done.stderr, done.returncode

    return run


def attach_instead(world, user, documents):
    """Gives a user these policies in place of its inline one."""
    for document in documents:
        arn = world.iam.create_policy(
            PolicyName=unique("generated"), PolicyDocument=json.dumps(document)
        )["Policy"]["Arn"]
        world.iam.attach_user_policy(UserName=user.name, PolicyArn=arn)
    world.iam.delete_user_policy(UserName=user.name, PolicyName="inline")


def actions(documents):
    return {
        action
        for document in documents
        for statement in document["Statement"]
        for action in statement["Action"]
    }


def test_the_work_passes_again_under_the_generated_policy_and_nothing_beside_it(
    world, generate, ringfence, tmp_path
):
    external = {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}
    role = world.role(trusted=[trust(world.account_principal, Condition=external)])
    other_role = world.role(trusted=[trust(world.account_principal)])
    user = world.user(allow(["iam:*", "sts:*"]), deny("iam:CreateGroup"))
    names = [f"ci-{number}" for number in range(7)]
    work(user, role, names)
    assert_denied(
        refusal(user.iam.create_group, GroupName="g"), user.arn, "iam:CreateGroup", IDENTITY_DENY
    )

    documents, report, _ = generate(user.arn)
    assert len(documents) == 1
    assert "left out: iam:CreateGroup, denied 1 times" in report
    assert "NOT ALLOWED" not in report
    # Seven users by a pattern of theirs, which the report says.
    pattern = world.arn("user/ci/ci-*")
    assert f"iam:CreateUser: {pattern} stands for 7 resources" in report
    statements = documents[0]["Statement"]
    by_action = {action: one for one in statements for action in one["Action"]}
    assert by_action["iam:CreateUser"]["Resource"] == pattern
    assert by_action["iam:TagUser"]["Resource"] == pattern
    passing = by_action["iam:PassRole"]
    assert passing["Resource"] == world.arn("role/deployer")
    assert passing["Condition"] == {
        "StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}
    }
    assert by_action["iam:AttachRolePolicy"]["Condition"] == {
        "ArnEquals": {"iam:PolicyARN": READ_ONLY}
    }
    assert by_action["sts:AssumeRole"]["Condition"] == external
    assert by_action["iam:ListUsers"]["Resource"] == "*"
    assert "iam:CreateGroup" not in by_action

    # The lint has nothing to say of it.
    file = tmp_path / "generated.json"
    file.write_text(json.dumps(documents[0]))
    assert ringfence("policy", "lint", "--fail-on", "suggestion", file).stdout == ""

    attach_instead(world, user, documents)
    work(user, role, names)

    iam = user.iam
    for call, parameters, action in [
        (iam.create_user, {"UserName": "ci-1", "Path": "/other/"}, "iam:CreateUser"),
        (iam.create_user, {"UserName": "web-1", "Path": "/ci/"}, "iam:CreateUser"),
        (iam.update_user, {"UserName": user.name}, "iam:UpdateUser"),
        (iam.get_role, {"RoleName": "deployer"}, "iam:GetRole"),
        (iam.list_groups, {}, "iam:ListGroups"),
        (iam.delete_role, {"RoleName": other_role.rsplit("/", 1)[1]}, "iam:DeleteRole"),
        (
            iam.attach_role_policy,
            {"RoleName": "deployer", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
            "iam:AttachRolePolicy",
        ),
        (
            user.sts.assume_role,
            {"RoleArn": role, "RoleSessionName": "other", "ExternalId": "another"},
            "sts:AssumeRole",
        ),
    ]:
        refused = refusal(call, **parameters)
        assert (refused.status, refused.code) == (403, "AccessDenied"), f"{action}: {refused}"
        assert action in refused.message


def test_a_roles_sessions_are_the_roles(world, generate):
    role = world.role(allow("iam:*"))
    user = world.user(allow("sts:AssumeRole"))
    user.assume(role).iam.list_groups()
    documents, report, _ = generate(role)
    assert actions(documents) == {"iam:ListGroups"}
    assert "read: 1 calls of the principal" in report
    # One session of it by its own ARN.
    session = role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/") + "/session"
    assert actions(generate(session)[0]) == {"iam:ListGroups"}


def test_time_conditions_and_denials_are_options(world, generate):
    user = world.user(allow(["iam:GetUser", "iam:ListUsers"]))
    user.iam.get_user()
    refusal(user.iam.list_groups)
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp = (now + datetime.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    time.sleep(1.2)
    user.iam.list_users()

    assert actions(generate(user.arn)[0]) == {"iam:GetUser", "iam:ListUsers"}
    assert actions(generate(user.arn, "--until", stamp)[0]) == {"iam:GetUser"}
    assert actions(generate(user.arn, "--from", stamp)[0]) == {"iam:ListUsers"}
    assert "iam:ListGroups" in actions(generate(user.arn, "--with-denied")[0])
    documents, _, _ = generate(user.arn, "--condition", "region", "--condition", "tls")
    for statement in documents[0]["Statement"]:
        # The server speaks without TLS, which is nothing to ask for.
        assert statement["Condition"] == {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}
    nothing, report, code = generate(user.arn, "--from", "2100-01-01", check=False)
    assert (nothing, code) == ([], 3) and "nothing was seen" in report


def test_what_cannot_be_read_is_an_error(world, ringfence, tmp_path):
    arn = world.arn("user/ann")
    for args, told in [
        (["--principal", "ann", "--data", tmp_path], "`ann` is no ARN"),
        (["--principal", arn, "--data", tmp_path], "there is no audit log"),
        (["--principal", arn, tmp_path], "there are no files of CloudTrail"),
        (["--principal", arn, tmp_path / "missing.json"], "missing.json"),
    ]:
        done = ringfence("policy", "generate", *args, check=False)
        assert (done.returncode, told in done.stderr) == (1, True), done.stderr
    assert ringfence("policy", "generate", "--principal", arn, check=False).returncode == 2


ACCOUNT = "123456789012"
ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"


def record(number, source, name, request=None, **more):
    """A record as AWS's CloudTrail writes it."""
    return {
        "eventVersion": "1.08",
        "userIdentity": {"type": "IAMUser", "arn": ANN, "accountId": ACCOUNT},
        "eventTime": f"2026-11-01T10:00:{number:02}Z",
        "eventSource": f"{source}.amazonaws.com",
        "eventName": name,
        "awsRegion": "eu-west-1",
        "sourceIPAddress": "198.51.100.7",
        "userAgent": "aws-cli",
        "requestParameters": request,
        "responseElements": None,
        "eventID": f"event-{number}",
        "readOnly": True,
        "eventType": "AwsApiCall",
        "recipientAccountId": ACCOUNT,
        **more,
    }


def test_files_of_aws_cloudtrail_are_read_packed_or_not_and_once(ringfence, tmp_path):
    objects = [
        record(
            number, "s3", "GetObject", {"bucketName": "logs", "key": f"2026/{number}.json"},
            resources=[
                {"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::logs/2026/{number}.json"},
                {"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::logs", "accountId": ACCOUNT},
            ],
        )
        for number in range(8)
    ]
    others = [
        record(20, "dynamodb", "PutItem", {"tableName": "orders", "key": {"id": "1"}}),
        record(21, "ec2", "DescribeInstances"),
        record(22, "lambda", "Invoke", {"functionName": "f"}),
        record(23, "sqs", "DeleteQueue", None, errorCode="AccessDenied"),
        record(24, "kms", "ReEncrypt"),
        record(25, "nosuch", "Thing"),
        record(26, "iam", "GetRole", {"roleName": "app"}),
        record(27, "s3", "ListBuckets", userIdentity={"type": "Root", "arn": "arn:other"}),
    ]
    folder = tmp_path / "AWSLogs" / ACCOUNT / "CloudTrail"
    folder.mkdir(parents=True)
    with gzip.open(folder / "one.json.gz", "wt") as packed:
        json.dump({"Records": objects}, packed)
    (folder / "two.json").write_text(json.dumps({"Records": others + objects[:3]}))
    (folder / "notes.txt").write_text("no JSON")

    done = ringfence("policy", "generate", "--principal", ANN, tmp_path)
    document = json.loads(done.stdout)
    granted = {
        action: one["Resource"] for one in document["Statement"] for action in one["Action"]
    }
    assert granted == {
        "dynamodb:PutItem": f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/orders",
        "ec2:DescribeInstances": "*",
        "iam:GetRole": f"arn:aws:iam::{ACCOUNT}:role/app",
        "lambda:InvokeFunction": f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f",
        "s3:GetObject": "arn:aws:s3:::logs/2026/*.json",
    }
    for told in [
        "read: 15 calls of the principal, 1 events of others",
        "asks for one or more of kms:ReEncryptFrom, kms:ReEncryptTo",
        "nosuch.amazonaws.com Thing: what it asks for is not known",
        "on which resource it asked for sqs:DeleteQueue is not recorded",
        f"taken to be at the path /: arn:aws:iam::{ACCOUNT}:role/app",
    ]:
        assert told in done.stderr, done.stderr

    # As `aws cloudtrail lookup-events` prints them.
    events = {"Events": [{"EventId": "1", "CloudTrailEvent": json.dumps(others[1])}]}
    looked_up = tmp_path / "events.json"
    looked_up.write_text(json.dumps(events))
    done = ringfence("policy", "generate", "--principal", ANN, looked_up)
    assert actions([json.loads(done.stdout)]) == {"ec2:DescribeInstances"}
    (tmp_path / "other.json").write_text('{"Version": "2012-10-17"}')
    done = ringfence("policy", "generate", "--principal", ANN, tmp_path / "other.json", check=False)
    assert done.returncode == 1 and "none of CloudTrail's" in done.stderr


def test_whoever_had_the_name_before_is_another(world, generate):
    user = world.user(allow("iam:*"))
    user.iam.list_roles()
    iam = world.iam
    iam.delete_user_policy(UserName=user.name, PolicyName="inline")
    iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    iam.delete_user(UserName=user.name)
    until_the_next_second()
    world.user(allow("iam:ListGroups"), name=user.name).iam.list_groups()
    documents, report, _ = generate(user.arn)
    assert actions(documents) == {"iam:ListGroups"}
    assert "left out: calls of who had this name before (1×)" in report
