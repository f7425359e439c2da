"""Service-linked roles: made from a service's template, changed by nobody, deleted by a task.

https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html
"""

import json
import re
import subprocess
import time

import pytest

from clients import IDENTITY_DENY, IDENTITY_SILENT, assert_denied, refusal
from world import World, allow, deny, policy, tags, unique

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
AWS = "arn:aws:iam::aws:policy"


@pytest.fixture
def iam(root):
    return root.iam


def make(iam, service, **parameters):
    return iam.create_service_linked_role(AWSServiceName=service, **parameters)["Role"]


def suffixed(iam, **parameters):
    """A role that no other test has."""
    return make(iam, "autoscaling.amazonaws.com", CustomSuffix=unique("s"), **parameters)


def delete(iam, name):
    return iam.delete_service_linked_role(RoleName=name)["DeletionTaskId"]


def status(iam, task):
    answer = iam.get_service_linked_role_deletion_status(DeletionTaskId=task)
    answer.pop("ResponseMetadata")
    return answer


def ended(iam, task):
    """The status of a task once it has ended."""
    for _ in range(100):
        now = status(iam, task)
        if now["Status"] not in ("NOT_STARTED", "IN_PROGRESS"):
            return now
        time.sleep(0.1)
    raise AssertionError(f"{task} does not end: {now}")


def expect(call, code, http, message, **parameters):
    refused = refusal(call, **parameters)
    assert (refused.code, refused.status, refused.message) == (code, http, message)


# Of LocalStack's recordings of AWS, `TestIAMServiceRoles`: path, name, trust and policy.
MADE = [
    ("batch.amazonaws.com", "AWSServiceRoleForBatch", "BatchServiceRolePolicy"),
    ("ecs.amazonaws.com", "AWSServiceRoleForECS", "AmazonECSServiceRolePolicy"),
    ("dms.amazonaws.com", "AWSServiceRoleForDMSServerless", "AWSDMSServerlessServiceRolePolicy"),
    (
        "cks.kms.amazonaws.com",
        "AWSServiceRoleForKeyManagementServiceCustomKeyStores",
        "AWSKeyManagementServiceCustomKeyStoresServiceRolePolicy",
    ),
    (
        "cassandra.application-autoscaling.amazonaws.com",
        "AWSServiceRoleForApplicationAutoScaling_CassandraTable",
        "AWSApplicationAutoscalingCassandraTablePolicy",
    ),
    ("guardduty.amazonaws.com", "AWSServiceRoleForAmazonGuardDuty", "AmazonGuardDutyServiceRolePolicy"),
    ("support.amazonaws.com", "AWSServiceRoleForSupport", "AWSSupportServiceRolePolicy"),
]


@pytest.mark.parametrize("service,name,managed", MADE, ids=[row[0] for row in MADE])
def test_a_role_is_what_its_service_says(iam, world, service, name, managed):
    made = make(iam, service)
    arn = world.arn(f"role/aws-service-role/{service}/{name}")
    assert (made["RoleName"], made["Path"], made["Arn"]) == (name, f"/aws-service-role/{service}/", arn)
    assert re.fullmatch(r"AROA[A-Z2-7]{17}", made["RoleId"])
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        ],
    }
    assert made["AssumeRolePolicyDocument"] == trust
    read = iam.get_role(RoleName=name)["Role"]
    assert read["AssumeRolePolicyDocument"] == trust and read["RoleId"] == made["RoleId"]
    assert read["MaxSessionDuration"] == 3600 and read["RoleLastUsed"] == {}
    assert "Description" not in read and "Tags" not in read
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == []
    held = [{"PolicyName": managed, "PolicyArn": f"{AWS}/aws-service-role/{managed}"}]
    assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == held
    listed = iam.list_roles(PathPrefix=f"/aws-service-role/{service}/")["Roles"]
    assert [role["Arn"] for role in listed] == [arn]

    details = iam.get_account_authorization_details(Filter=["Role"])["RoleDetailList"]
    (detail,) = [role for role in details if role["RoleName"] == name]
    assert detail["AttachedManagedPolicies"] == held and detail["RolePolicyList"] == []
    assert detail["InstanceProfileList"] == []
    users = iam.list_entities_for_policy(PolicyArn=held[0]["PolicyArn"])["PolicyRoles"]
    assert [user["RoleName"] for user in users] == [name]

    expect(
        iam.create_service_linked_role, "InvalidInput", 400,
        f"Service role name {name} has been taken in this account, please try a different suffix.",
        AWSServiceName=service,
    )
    expect(
        iam.create_service_linked_role, "InvalidInput", 400,
        f"Custom suffix is not allowed for {service}", AWSServiceName=service, CustomSuffix="x",
    )


SUFFIXED = ["autoscaling.amazonaws.com", "connect.amazonaws.com", "lexv2.amazonaws.com"]


@pytest.mark.parametrize("service", SUFFIXED)
def test_some_services_take_a_suffix_and_a_description(iam, service):
    suffix = unique("one")
    made = make(iam, service, CustomSuffix=suffix, Description="mine")
    assert made["RoleName"].startswith("AWSServiceRoleFor")
    assert made["RoleName"].endswith(f"_{suffix}") and made["Description"] == "mine"
    assert iam.get_role(RoleName=made["RoleName"])["Role"]["Description"] == "mine"
    other = make(iam, service, CustomSuffix=f"{suffix}-2")
    assert other["RoleName"] == made["RoleName"] + "-2"
    refused = refusal(iam.create_service_linked_role, AWSServiceName=service, CustomSuffix="x" * 60)
    assert (refused.code, refused.status) == ("ValidationError", 400)
    assert "at 'roleName' failed to satisfy constraint" in refused.message


# As AWS's users report it.
UNKNOWN = ["nothing.amazonaws.com", "Batch.amazonaws.com", "batch", "logs.amazonaws.com", "a..b"]


@pytest.mark.parametrize("service", UNKNOWN)
def test_an_unknown_service_has_no_role(iam, service):
    expect(
        iam.create_service_linked_role, "AccessDenied", 403,
        f"Cannot find Service Linked Role template for {service}", AWSServiceName=service,
    )


def test_nobody_changes_a_service_linked_role_but_for_description_and_tags(iam, world):
    name = suffixed(iam)["RoleName"]
    profile = unique("profile")
    iam.create_instance_profile(InstanceProfileName=profile)
    own = world.managed_policy(allow("s3:*"))
    service_policy = f"{AWS}/aws-service-role/AutoScalingServiceRolePolicy"
    document = policy(allow("s3:*"))
    before = iam.get_role(RoleName=name)["Role"]
    for call, parameters in [
        (iam.attach_role_policy, {"PolicyArn": own}),
        (iam.attach_role_policy, {"PolicyArn": service_policy}),
        (iam.detach_role_policy, {"PolicyArn": service_policy}),
        (iam.put_role_policy, {"PolicyName": "p", "PolicyDocument": document}),
        (iam.delete_role_policy, {"PolicyName": "p"}),
        (iam.update_assume_role_policy, {"PolicyDocument": document}),
        (iam.put_role_permissions_boundary, {"PermissionsBoundary": own}),
        (iam.delete_role_permissions_boundary, {}),
        (iam.update_role, {"MaxSessionDuration": 7200}),
        (iam.update_role, {"MaxSessionDuration": 7200, "Description": "no"}),
        (iam.delete_role, {}),
        (iam.add_role_to_instance_profile, {"InstanceProfileName": profile}),
    ]:
        expect(
            call, "UnmodifiableEntity", 400,
            f"Cannot perform the operation on the protected role '{name}' - this role is only "
            "modifiable by AWS",
            RoleName=name, **parameters,
        )
    assert iam.get_role(RoleName=name)["Role"] == before

    iam.update_role(RoleName=name, Description="one")
    assert iam.get_role(RoleName=name)["Role"]["Description"] == "one"
    iam.update_role_description(RoleName=name, Description="two")
    assert iam.get_role(RoleName=name)["Role"]["Description"] == "two"
    # "The role can be a regular role or a service-linked role." API_TagRole
    iam.tag_role(RoleName=name, Tags=tags(team="a", cost="b"))
    iam.untag_role(RoleName=name, TagKeys=["cost"])
    assert iam.list_role_tags(RoleName=name)["Tags"] == tags(team="a")


def test_nobody_but_the_service_assumes_it(iam, world):
    made = suffixed(iam)
    user = world.user(allow("sts:AssumeRole"))
    refused = refusal(user.sts.assume_role, RoleArn=made["Arn"], RoleSessionName="session")
    assert (refused.code, refused.status) == ("AccessDenied", 403)


def test_a_role_is_deleted_by_a_task(iam):
    made = make(iam, "elasticache.amazonaws.com")
    name = made["RoleName"]
    task = delete(iam, name)
    assert re.fullmatch(
        rf"task/aws-service-role/elasticache.amazonaws.com/AWSServiceRoleForElastiCache/{UUID}", task
    )
    assert ended(iam, task) == {"Status": "SUCCEEDED"}
    assert refusal(iam.get_role, RoleName=name).code == "NoSuchEntity"
    expect(
        iam.delete_service_linked_role, "NoSuchEntity", 404,
        f"The role with name {name} cannot be found.", RoleName=name,
    )
    # Another one of the name is another, and the old task leaves it alone.
    again = make(iam, "elasticache.amazonaws.com")
    assert again["RoleId"] != made["RoleId"]
    assert status(iam, task) == {"Status": "SUCCEEDED"}
    assert iam.get_role(RoleName=name)["Role"]["RoleId"] == again["RoleId"]


def test_what_is_no_task_or_no_service_linked_role_is_refused(iam, world):
    plain = world.role().rsplit("/", 1)[1]
    assert refusal(iam.delete_service_linked_role, RoleName=plain).code == "NoSuchEntity"
    assert iam.get_role(RoleName=plain)["Role"]["RoleName"] == plain
    task = delete(iam, suffixed(iam)["RoleName"])
    unknown = task[:-1] + ("0" if task[-1] != "0" else "1")
    for wrong in [unknown, task.replace("autoscaling", "batch"), task.replace("ForAuto", "ForX")]:
        refused = refusal(iam.get_service_linked_role_deletion_status, DeletionTaskId=wrong)
        assert (refused.code, refused.status) == ("NoSuchEntity", 404), wrong
    for wrong in ["x", "task/aws-service-role/a/b", task + "/x", "a" * 1000]:
        refused = refusal(iam.get_service_linked_role_deletion_status, DeletionTaskId=wrong)
        assert (refused.code, refused.status) == ("InvalidInput", 400), wrong


def test_service_linked_roles_count_and_are_made_beyond_the_quota(start_server):
    server = start_server("--quota", "iam:roles=2")
    iam = server.root().iam
    world = World(server.root())
    world.role(), world.role()
    refused = refusal(
        iam.create_role, RoleName="third", AssumeRolePolicyDocument=policy(allow("sts:AssumeRole"))
    )
    assert refused.code in ("LimitExceeded", "MalformedPolicyDocument")
    make(iam, "batch.amazonaws.com")
    make(iam, "ecs.amazonaws.com")
    summary = iam.get_account_summary()["SummaryMap"]
    assert (summary["Roles"], summary["RolesQuota"]) == (4, 2)
    expect(
        iam.create_service_linked_role, "LimitExceeded", 409,
        "Cannot exceed quota for RolesPerAccount: 2",
        AWSServiceName="autoscaling.amazonaws.com", CustomSuffix="x",
    )
    server.stop()


# --- who may ------------------------------------------------------------------------------------


def test_the_service_is_a_condition_of_all_three(iam, world):
    batch = {"Condition": {"StringEquals": {"iam:AWSServiceName": "comprehend.amazonaws.com"}}}
    scaling = {"Condition": {"StringEquals": {"iam:AWSServiceName": "autoscaling.amazonaws.com"}}}
    actions = [
        "iam:CreateServiceLinkedRole",
        "iam:DeleteServiceLinkedRole",
        "iam:GetServiceLinkedRoleDeletionStatus",
    ]
    may = world.user(allow(actions, **scaling))
    may_not = world.user(allow(actions, **batch))
    arn = world.arn("role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling_{}")
    suffix = unique("c")
    arn = arn.format(suffix)
    create = {"AWSServiceName": "autoscaling.amazonaws.com", "CustomSuffix": suffix}
    refused = refusal(may_not.iam.create_service_linked_role, **create)
    assert_denied(refused, may_not.arn, actions[0], IDENTITY_SILENT, arn)
    name = make(may.iam, **{"service": create["AWSServiceName"], "CustomSuffix": suffix})["RoleName"]
    refused = refusal(may_not.iam.delete_service_linked_role, RoleName=name)
    assert_denied(refused, may_not.arn, actions[1], IDENTITY_SILENT, arn)
    task = delete(may.iam, name)
    refused = refusal(may_not.iam.get_service_linked_role_deletion_status, DeletionTaskId=task)
    assert_denied(refused, may_not.arn, actions[2], IDENTITY_SILENT, arn)
    assert ended(may.iam, task) == {"Status": "SUCCEEDED"}


def test_who_may_not_hears_nothing_of_what_is_there(iam, world):
    nobody = world.user(deny("iam:*"))
    there = suffixed(iam)
    task = delete(iam, suffixed(iam)["RoleName"])
    base = world.arn("role/aws-service-role")
    for call, action, parameters, resource in [
        # Taken, free, and of no service.
        ("create_service_linked_role", "iam:CreateServiceLinkedRole",
         {"AWSServiceName": "autoscaling.amazonaws.com",
          "CustomSuffix": there["RoleName"].split("_", 1)[1]}, there["Arn"]),
        ("create_service_linked_role", "iam:CreateServiceLinkedRole",
         {"AWSServiceName": "rds.amazonaws.com"},
         f"{base}/rds.amazonaws.com/AWSServiceRoleForRDS"),
        ("create_service_linked_role", "iam:CreateServiceLinkedRole",
         {"AWSServiceName": "nothing.amazonaws.com"},
         f"{base}/nothing.amazonaws.com/AWSServiceRoleFor"),
        ("delete_service_linked_role", "iam:DeleteServiceLinkedRole",
         {"RoleName": there["RoleName"]}, there["Arn"]),
        ("delete_service_linked_role", "iam:DeleteServiceLinkedRole",
         {"RoleName": "none"}, world.arn("role/none")),
        ("get_service_linked_role_deletion_status", "iam:GetServiceLinkedRoleDeletionStatus",
         {"DeletionTaskId": task}, None),
        ("get_service_linked_role_deletion_status", "iam:GetServiceLinkedRoleDeletionStatus",
         {"DeletionTaskId": "task/aws-service-role/a/b/c"}, f"{base}/a/b"),
        ("get_service_linked_role_deletion_status", "iam:GetServiceLinkedRoleDeletionStatus",
         {"DeletionTaskId": "nonsense"}, None),
    ]:
        refused = refusal(getattr(nobody.iam, call), **parameters)
        assert_denied(refused, nobody.arn, action, IDENTITY_DENY, resource)


def test_a_task_is_seen_by_its_own_account_alone(start_server):
    server = start_server(dev=True)
    from clients import Principal

    one = Principal(server.url, "111111111111", "x").iam
    other = Principal(server.url, "222222222222", "x").iam
    task = delete(one, make(one, "batch.amazonaws.com")["RoleName"])
    assert ended(one, task) == {"Status": "SUCCEEDED"}
    refused = refusal(other.get_service_linked_role_deletion_status, DeletionTaskId=task)
    assert refused.code == "NoSuchEntity"
    server.stop()


# --- what a crash leaves --------------------------------------------------------------------------


def test_tasks_are_carried_on_after_a_crash(start_server):
    server = start_server()
    iam = server.root().iam
    names = [suffixed(iam)["RoleName"] for _ in range(8)]
    kept = make(iam, "batch.amazonaws.com")
    tasks = [delete(iam, name) for name in names]
    server.kill()
    server.start()
    iam = server.root().iam
    for task, name in zip(tasks, names):
        assert ended(iam, task) == {"Status": "SUCCEEDED"}
        assert refusal(iam.get_role, RoleName=name).code == "NoSuchEntity"
    assert iam.get_role(RoleName=kept["RoleName"])["Role"]["RoleId"] == kept["RoleId"]
    server.stop()


# --- the aws command line -------------------------------------------------------------------------


def test_the_command_line_makes_and_deletes_roles(aws_command, tmp_path, root):
    def aws(*arguments):
        return subprocess.run(
            [aws_command, "iam", *arguments, "--output", "json"],
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **root.environment(),
                 "AWS_MAX_ATTEMPTS": "1"},
            capture_output=True, text=True, timeout=60,
        )

    done = aws("create-service-linked-role", "--aws-service-name", "lex.amazonaws.com",
               "--description", "My service-linked role to support Lex")
    made = json.loads(done.stdout)["Role"]
    assert made["RoleName"] == "AWSServiceRoleForLexBots", done.stderr
    assert made["Path"] == "/aws-service-role/lex.amazonaws.com/"
    done = aws("create-service-linked-role", "--aws-service-name", "lex.amazonaws.com")
    assert "InvalidInput" in done.stderr and "has been taken in this account" in done.stderr
    done = aws("delete-service-linked-role", "--role-name", "AWSServiceRoleForLexBots")
    task = json.loads(done.stdout)["DeletionTaskId"]
    assert ended(root.iam, task) == {"Status": "SUCCEEDED"}
    done = aws("get-service-linked-role-deletion-status", "--deletion-task-id", task)
    assert json.loads(done.stdout) == {"Status": "SUCCEEDED"}, done.stderr
