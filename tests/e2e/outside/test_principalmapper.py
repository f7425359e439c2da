"""Principal Mapper draws who can become whom, and its own simulation decides as the server does."""

import json
import re
from pathlib import Path

import pytest

from world import World, allow, deny, trust

pytestmark = pytest.mark.timeout(600)
PROGRAM = Path(__file__).with_name("pmapper.py")


@pytest.fixture(scope="module")
def account(server):
    """Users and roles with one way up each, and one with none."""
    world = World(server.root())
    world.role(allow("*"), name="boss", trusted=[trust(world.account_principal)])
    world.user(allow("*"), name="admin")
    who = {
        "admin": world.arn("user/admin"),
        "key-maker": world.user(allow("iam:CreateAccessKey", world.arn("user/*")), name="key-maker").arn,
        "assumer": world.user(allow("sts:AssumeRole", world.arn("role/boss")), name="assumer").arn,
        "truster": world.user(
            allow("iam:UpdateAssumeRolePolicy", world.arn("role/boss")), name="truster"
        ).arn,
        "password-setter": world.user(
            allow("iam:CreateLoginProfile", world.arn("user/admin")), name="password-setter"
        ).arn,
        "reader": world.user(
            allow(["iam:Get*", "iam:List*"]), deny("iam:GetRole", world.arn("role/boss")), name="reader"
        ).arn,
    }
    bounded = world.user(
        allow("*"), name="bounded", boundary=world.managed_policy(allow("iam:GetUser"), name="boundary")
    )
    who["bounded"] = bounded.arn
    group = world.group(allow("iam:GetGroup"), attached=[world.managed_policy(allow("iam:GetPolicy*"))])
    member = world.user(name="member")
    world.iam.add_user_to_group(GroupName=group, UserName="member")
    who["member"] = member.arn
    return world, who


@pytest.fixture(scope="module")
def pmapper(tool, account):
    """Its command line, after it has drawn the graph."""
    installed = tool("principalmapper")
    env = {**account[0].root.environment(), "PMAPPER_STORAGE": str(installed.home / "graphs")}

    def run(*args, **kwargs):
        return installed.run("python", PROGRAM, *args, env=env, **kwargs)

    # Other services, which are not built, are left out.
    drawn = run("graph", "create", "--ignore-orgs", "--include-services", "iam", "sts",
                "--include-regions", "us-east-1")
    assert "Traceback" not in drawn.stderr, drawn.stderr
    return run


def test_the_graph_has_every_user_and_role(pmapper, account):
    world, who = account
    shown = pmapper("--account", world.account, "graph", "display").stdout
    count = re.search(r"# of Nodes:\s+(\d+) \((\d+) admins\)", shown)
    assert (int(count[1]), int(count[2])) == (len(who) + 1, 2), shown


def test_its_findings_name_each_way_up(pmapper, account):
    world, _ = account
    told = pmapper("--account", world.account, "query", "preset privesc *").stdout
    lines = [line for line in told.splitlines() if "can escalate privileges" in line]
    escalating = {line.split(" can escalate")[0] for line in lines}
    assert escalating == {f"user/{name}" for name in ("key-maker", "assumer", "truster", "password-setter")}, told
    report = json.loads(
        pmapper("--account", world.account, "analysis", "--output-type", "json").stdout
    )
    assert "IAM Principals Can Escalate Privileges" in {one["title"] for one in report["findings"]}


def test_its_simulation_decides_as_the_server_does(pmapper, account):
    world, who = account
    pairs = [
        ("iam:GetUser", world.arn("user/reader")),
        ("iam:GetRole", world.arn("role/boss")),
        ("iam:ListUsers", "*"),
        ("iam:CreateAccessKey", world.arn("user/admin")),
        ("iam:CreateAccessKey", world.arn("role/admin")),
        ("iam:CreateLoginProfile", world.arn("user/admin")),
        ("iam:CreateLoginProfile", world.arn("user/reader")),
        ("iam:UpdateAssumeRolePolicy", world.arn("role/boss")),
        ("iam:GetGroup", world.arn("group/any")),
        ("iam:GetPolicyVersion", world.arn("policy/any")),
        ("iam:DeleteUser", world.arn("user/reader")),
        ("s3:GetObject", "arn:aws:s3:::bucket/key"),
        ("sts:AssumeRole", world.arn("role/boss")),
    ]
    asked = [(arn, action, resource) for arn in who.values() for action, resource in pairs]
    theirs = json.loads(pmapper("decide", world.account, input=json.dumps(asked)).stdout)
    ours = []
    for arn, action, resource in asked:
        answer = world.iam.simulate_principal_policy(
            PolicySourceArn=arn, ActionNames=[action], ResourceArns=[resource]
        )
        ours.append(answer["EvaluationResults"][0]["EvalDecision"] == "allowed")
    assert [one for one, a, b in zip(asked, theirs, ours) if a != b] == []
    assert len(set(ours)) == 2
