"""Passing a role to a service: `iam:PassRole`, by the one operation that is built and takes a role.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
"""

import subprocess

import pytest

from clients import IDENTITY_DENY, IDENTITY_SILENT, assert_denied, refusal
from world import allow, deny, trust, unique

PASS = "iam:PassRole"
ADD = allow("iam:AddRoleToInstanceProfile")


def passed_to(service, **rest):
    return {"Condition": {"StringEquals": {"iam:PassedToService": service}}, **rest}


def to_instances(world, **rest):
    """As the page of AddRoleToInstanceProfile says that the key is."""
    arn = f"arn:aws:ec2:*:{world.account}:instance/*"
    return {"Condition": {"StringEquals": {"iam:AssociatedResourceArn": arn}}, **rest}


@pytest.fixture
def profile(world):
    name = unique("profile")
    world.iam.create_instance_profile(InstanceProfileName=name)
    return name


@pytest.fixture(scope="module")
def role(world):
    """The ARN of a tagged role at a path."""
    trusted = [trust({"Service": "ec2.amazonaws.com"})]
    return world.role(path="/app/", tagged={"team": "blue"}, trusted=trusted)


def add(principal, profile, role):
    principal.iam.add_role_to_instance_profile(
        InstanceProfileName=profile, RoleName=role.rsplit("/", 1)[1]
    )


def refused(principal, profile, role):
    return refusal(
        principal.iam.add_role_to_instance_profile,
        InstanceProfileName=profile,
        RoleName=role.rsplit("/", 1)[1],
    )


ALLOWED = {
    "anything": lambda world, role: [allow(PASS)],
    "this role": lambda world, role: [allow(PASS, role)],
    "to EC2": lambda world, role: [allow(PASS, role, **passed_to("ec2.amazonaws.com"))],
    "to instances": lambda world, role: [allow(PASS, role, **to_instances(world))],
    "by its tag": lambda world, role: [
        allow(PASS, Condition={"StringEquals": {"aws:ResourceTag/team": "blue"}})
    ],
    "by IAM's own tag key": lambda world, role: [
        allow(PASS, Condition={"StringEquals": {"iam:ResourceTag/team": "blue"}})
    ],
}


@pytest.mark.parametrize("why", ALLOWED)
def test_who_may_pass_a_role_puts_it_into_a_profile(world, profile, role, why):
    add(world.user(ADD, *ALLOWED[why](world, role)), profile, role)
    (held,) = world.iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
    assert held["Arn"] == role


DENIED = {
    "nothing said": (lambda world, role: [], IDENTITY_SILENT),
    "another role": (lambda world, role: [allow(PASS, role + "x")], IDENTITY_SILENT),
    "its name at another path": (
        lambda world, role: [allow(PASS, role.replace("/app/", "/"))], IDENTITY_SILENT
    ),
    "another service": (
        lambda world, role: [allow(PASS, **passed_to("lambda.amazonaws.com"))], IDENTITY_SILENT
    ),
    "EC2 denied": (
        lambda world, role: [allow(PASS), deny(PASS, **passed_to("ec2.amazonaws.com"))],
        IDENTITY_DENY,
    ),
    "one instance": (
        lambda world, role: [
            allow(PASS, Condition={"StringEquals": {
                "iam:AssociatedResourceArn": f"arn:aws:ec2:us-east-1:{world.account}:instance/i-1"
            }})
        ],
        IDENTITY_SILENT,
    ),
    "another tag": (
        lambda world, role: [
            allow(PASS, Condition={"StringEquals": {"aws:ResourceTag/team": "red"}})
        ],
        IDENTITY_SILENT,
    ),
}


@pytest.mark.parametrize("why", DENIED)
def test_who_may_not_pass_a_role_does_not(world, profile, role, why):
    statements, reason = DENIED[why]
    user = world.user(ADD, *statements(world, role))
    assert_denied(refused(user, profile, role), user.arn, PASS, reason, role)
    assert world.iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"] == []


def test_the_operation_itself_is_asked_for_first(world, profile, role):
    user = world.user(allow(PASS))
    answer = refused(user, profile, role)
    assert_denied(
        answer, user.arn, "iam:AddRoleToInstanceProfile", IDENTITY_SILENT,
        world.arn(f"instance-profile/{profile}"),
    )


def test_only_who_may_pass_it_hears_that_a_role_is_missing(world, profile):
    missing = world.arn("role/missing")
    nobody = world.user(ADD)
    assert_denied(refused(nobody, profile, missing), nobody.arn, PASS, IDENTITY_SILENT, missing)
    answer = refused(world.user(ADD, allow(PASS)), profile, missing)
    assert (answer.code, answer.status) == ("NoSuchEntity", 404)
    assert answer.message == "The role with name missing cannot be found."


def test_a_profile_takes_a_role_that_does_not_trust_ec2(world, profile):
    # LocalStack's recordings put roles of any trust into profiles.
    add(world.user(ADD, allow(PASS)), profile, world.role())


def test_the_decision_is_recorded(start_server, aws_command, tmp_path):
    from world import World

    server = start_server()
    world = World(server.root())
    role, name = world.role(), unique("profile")
    world.iam.create_instance_profile(InstanceProfileName=name)
    user = world.user(ADD)
    done = subprocess.run(
        [aws_command, "iam", "add-role-to-instance-profile", "--instance-profile-name", name,
         "--role-name", role.rsplit("/", 1)[1]],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **user.environment(),
             "AWS_MAX_ATTEMPTS": "1"},
        capture_output=True, text=True, timeout=60,
    )
    assert done.returncode != 0 and "iam:PassRole" in done.stderr
    server.stop()
    lines = [
        line
        for line in server.audit_text().splitlines()
        if '"AddRoleToInstanceProfile"' in line
    ]
    assert len(lines) == 1 and '"iam:PassRole"' in lines[0] and role in lines[0]
