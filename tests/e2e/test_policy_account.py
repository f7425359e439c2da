"""`ringfence policy who-can`, `simulate` and `explain` on the export of an account: what they say is
what the server answers."""

import json

import pytest
from botocore.exceptions import ClientError

from world import allow, deny, policy, trust, unique

HERE = {"Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}}


class Estate:
    """An account with some of everything, and the files of its export."""

    def __init__(self, world, directory):
        self.world = world
        account = world.account_principal
        limits = world.managed_policy(allow(["iam:*", "sts:*"]), deny("iam:DeleteUser"))
        path = f"/{unique('staff')}/"
        self.target = world.arn(f"user{path}target")
        world.user(name="target", path=path, tagged={"team": "a"})
        self.users = {
            "plain": world.user(),
            "reader": world.user(allow("iam:Get*")),
            "grouped": world.user(),
            "here": world.user(allow("iam:*", **HERE)),
            "abac": world.user(
                allow(
                    "iam:GetUser",
                    Condition={"StringEquals": {"iam:ResourceTag/team": "${aws:PrincipalTag/team}"}},
                ),
                tagged={"team": "a"},
            ),
            "bounded": world.user(
                allow("*"), deny("iam:ListUsers"), boundary=limits, path="/x/y/"
            ),
            "admin": world.user(attached=["arn:aws:iam::aws:policy/AdministratorAccess"]),
        }
        self.group = world.group(
            allow(["iam:GetUser", "sts:AssumeRole"]),
            members=[self.users["grouped"]],
            attached=["arn:aws:iam::aws:policy/job-function/ViewOnlyAccess"],
        )
        self.role = world.role(
            allow("iam:GetUser"),
            trusted=[
                trust(account, Condition={"StringLike": {"aws:username": "user-*"}}),
                trust(self.users["plain"].arn),
                trust({"Service": "lambda.amazonaws.com"}),
                trust("arn:aws:iam::210987654321:root"),
            ],
        )
        self.pages = self.export(directory)

    def export(self, directory):
        """The account as the aws command line prints it, in pages."""
        files, marker = [], {}
        while True:
            page = self.world.iam.get_account_authorization_details(MaxItems=5, **marker)
            page.pop("ResponseMetadata")
            files.append(directory / f"page{len(files)}.json")
            files[-1].write_text(json.dumps(page, default=str))
            if not page["IsTruncated"]:
                return files
            marker = {"Marker": page["Marker"]}

    def options(self):
        return [word for page in self.pages for word in ("--account", page)]

    def call(self, user, action, resource):
        """Whether the server lets a user do something."""
        calls = {
            "iam:GetUser": lambda: user.iam.get_user(UserName=resource.rsplit("/", 1)[-1]),
            "iam:ListUsers": lambda: user.iam.list_users(),
            "iam:TagUser": lambda: user.iam.tag_user(
                UserName=resource.rsplit("/", 1)[-1], Tags=[{"Key": "k", "Value": "v"}]
            ),
            "sts:AssumeRole": lambda: user.assume(resource),
        }
        try:
            calls[action]()
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDenied", error
            return False
        return True


@pytest.fixture(scope="module")
def estate(world, tmp_path_factory):
    return Estate(world, tmp_path_factory.mktemp("export"))


@pytest.fixture
def run(ringfence, estate):
    """Runs a policy command on the export: (exit code, parsed JSON or what went wrong)."""

    def run(command, *args):
        done = ringfence("policy", command, *args, *estate.options(), "--json", check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr

    return run


def questions(estate):
    return [
        ("iam:GetUser", estate.target),
        ("iam:TagUser", estate.target),
        ("sts:AssumeRole", estate.role),
    ]


def test_the_commands_say_what_the_server_answers(estate, run):
    assert len(estate.pages) > 1
    for action, resource in questions(estate):
        here = ("--context", "aws:SourceIp=127.0.0.1", "--context", "aws:TagKeys=k")
        _, who = run("who-can", action, resource, "--all", *here)
        access = {one["principal"]: one["access"] for one in who["principals"]}
        for name, user in estate.users.items():
            allowed = estate.call(user, action, resource)
            assert access[user.arn] == ("allowed" if allowed else "denied"), (name, action)
            asked = ("--principal", user.arn, "--action", action, "--resource", resource)
            code, simulated = run("simulate", *asked, *here)
            (result,) = simulated["EvaluationResults"]
            assert (result["EvalDecision"] == "allowed") == allowed, (name, action, result)
            code_of_explain, why = run("explain", *asked, *here)
            assert code == code_of_explain == (0 if allowed else 3)
            assert (why["decision"] == "allowed") == allowed, (name, action, why)


def test_what_hangs_on_an_unknown_key_depends_and_names_it(estate, run):
    code, who = run("who-can", "iam:GetUser", estate.target)
    assert code == 0
    found = {one["principal"]: one for one in who["principals"]}
    assert estate.users["plain"].arn not in found
    here = found[estate.users["here"].arn]
    assert here["access"] == "depends"
    (hinge,) = here["on"]
    assert hinge["policy"] == f"user {estate.users['here'].name}, inline policy inline"
    assert (hinge["statement"], hinge["effect"]) == (0, "Allow")
    assert hinge["conditions"] == [
        {
            "operator": "IpAddress",
            "key": "aws:SourceIp",
            "values": ["127.0.0.0/8"],
            "unknown": ["aws:SourceIp"],
        }
    ]
    asked = ("--principal", estate.users["here"].arn, "--action", "iam:GetUser")
    code, simulated = run("simulate", *asked)
    (result,) = simulated["EvaluationResults"]
    assert (code, result["EvalDecision"]) == (3, "implicitDeny")
    assert result["MissingContextValues"] == ["aws:SourceIp"]


def test_whom_a_trust_policy_names_is_listed_with_the_account_s_own(estate, run):
    _, who = run("who-can", "sts:AssumeRole", estate.role, "--all")
    found = {one["principal"]: one for one in who["principals"]}
    assert found["lambda.amazonaws.com"]["access"] == "allowed"
    assert found["210987654321"]["access"] == "depends" and "also" in found["210987654321"]
    assert found[estate.world.account_principal]["because"] == "a root user assumes no role"


def test_anyone_who_is_not_expected_ends_with_three(estate, run):
    action, resource = "iam:GetUser", estate.target
    everyone = [one["principal"] for one in run("who-can", action, resource)[1]["principals"]]
    expect = [word for arn in everyone for word in ("--expect", arn)]
    code, who = run("who-can", action, resource, *expect)
    assert (code, who["unexpected"]) == (0, [])
    code, who = run("who-can", action, resource, *expect[:-2])
    assert (code, who["unexpected"]) == (3, everyone[-1:])


def test_policies_are_told_by_their_names(estate, ringfence):
    grouped = estate.users["grouped"].arn
    asked = ("--principal", grouped, "--action", "iam:GetUser", "--resource", estate.target)
    done = ringfence("policy", "explain", *asked, *estate.options())
    assert f"group {estate.group}, inline policy inline" in done.stdout
    assert (
        f"group {estate.group}, arn:aws:iam::aws:policy/job-function/ViewOnlyAccess" in done.stdout
    )
    bounded = estate.users["bounded"].arn
    asked = ("--principal", bounded, "--action", "iam:Delete*", "--action", "iam:ListUsers")
    done = ringfence("policy", "simulate", *asked, *estate.options(), check=False)
    lines = {line.split()[1]: line for line in done.stdout.splitlines()}
    assert len(lines) > 10 and done.returncode == 3
    assert lines["iam:DeleteUser"].startswith("explicitDeny")
    assert "permissions boundary: arn:aws:iam::" in lines["iam:DeleteUser"]
    assert "identity-based policy: user " in lines["iam:ListUsers"]
    assert lines["iam:DeleteRole"].startswith("allowed")


def test_statements_of_files_are_told_by_their_positions(ringfence, tmp_path):
    file = tmp_path / "own.json"
    file.write_text('{"Version": "2012-10-17", "Statement": [\n  {"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}]}')
    asked = ("--principal", "arn:aws:iam::123456789012:user/ann", "--action", "sqs:ListQueues")
    done = ringfence("policy", "simulate", *asked, "--identity", file, "--json")
    (result,) = json.loads(done.stdout)["EvaluationResults"]
    assert result["MatchedStatements"] == [
        {
            "SourcePolicyId": str(file),
            "SourcePolicyType": "none",
            "Statement": 0,
            "Sid": "All",
            "StartPosition": {"Line": 2, "Column": 3},
            "EndPosition": {"Line": 2, "Column": 68},
        }
    ]


def test_policies_around_an_account_are_given_as_files(estate, run, tmp_path):
    region = tmp_path / "scp.json"
    region.write_text(
        policy(
            allow("*"),
            deny("s3:*", Condition={"StringNotEquals": {"aws:RequestedRegion": "eu-west-1"}}),
        )
    )
    bucket = tmp_path / "bucket.json"
    plain = estate.users["plain"].arn
    bucket.write_text(policy({**allow("s3:GetObject", "arn:aws:s3:::b/*"), "Principal": {"AWS": plain}}))
    around = ("--scp", region, "--resource-policy", f"arn:aws:s3:::b={bucket}")
    _, who = run("who-can", "s3:GetObject", "arn:aws:s3:::b/key", *around)
    found = {one["principal"]: one for one in who["principals"]}
    (hinge,) = found[plain]["on"]
    assert (hinge["layer"], hinge["level"], hinge["policy"]) == (
        "service control policy", 0, str(region),
    )
    here = ("--context", "aws:RequestedRegion=eu-west-1")
    _, who = run("who-can", "s3:GetObject", "arn:aws:s3:::b/key", *around, *here)
    assert {one["principal"]: one["access"] for one in who["principals"]}[plain] == "allowed"


@pytest.mark.parametrize(
    "args,code,said",
    [
        (("s3:Get*", "*"), 1, "`s3:Get*` is not one action"),
        (("s3:GetObject", "arn:aws:s3:::b/*"), 1, "is not one resource"),
        (("sts:AssumeRole", "arn:aws:iam::ACCOUNT:role/gone"), 1, "the export has no role"),
        (("s3:GetObject", "*", "--resource-policy", "arn:aws:s3:::b"), 1, "names no file"),
    ],
)
def test_what_cannot_be_answered_is_said(args, code, said, estate, run):
    args = [arg.replace("ACCOUNT", estate.world.account) for arg in args]
    assert run("who-can", *args)[0] == code
    assert said in run("who-can", *args)[1]


@pytest.mark.parametrize(
    "export,said",
    [
        ('{"UserDetailList": [{"Arn": 5}]}', "export.json: `UserDetailList[0].Arn` must be a string"),
        ('{"Users": []}', "export.json: no output of `aws iam get-account-authorization-details`"),
        ("", "export.json: no JSON at line 1"),
        ('{"Policies": [], "IsTruncated": true}', "every page says that another follows"),
    ],
)
def test_what_is_wrong_with_an_export_is_said(export, said, ringfence, tmp_path):
    file = tmp_path / "export.json"
    file.write_text(export)
    done = ringfence("policy", "who-can", "s3:GetObject", "*", "--account", file, check=False)
    assert done.returncode == 1 and said in done.stderr
