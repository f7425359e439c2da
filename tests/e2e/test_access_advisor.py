"""Access Advisor: which services policies allow, when they were last tried, and which policies grant them."""

import json
import re
import subprocess
import time
import uuid
from datetime import datetime, timezone

import pytest

from clients import IDENTITY_SILENT, Principal, assert_denied, refusal
from ringfence_server import until_the_next_second
from world import World, allow, deny, policy, unique

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ADVISOR = [
    "iam:GenerateServiceLastAccessedDetails",
    "iam:GetServiceLastAccessedDetails",
    "iam:GetServiceLastAccessedDetailsWithEntities",
    "iam:ListPoliciesGrantingServiceAccess",
]


def begin(iam, arn, **parameters):
    return iam.generate_service_last_accessed_details(Arn=arn, **parameters)["JobId"]


def finished(iam, job, **parameters):
    """The answer to a job that has ended."""
    deadline = time.monotonic() + 30
    while True:
        answer = iam.get_service_last_accessed_details(JobId=job, **parameters)
        answer.pop("ResponseMetadata")
        if answer["JobStatus"] != "IN_PROGRESS":
            return answer
        # Recorded: what is not known yet is left out.
        assert answer.keys() == {"JobStatus", "JobCreationDate", "IsTruncated"}
        assert time.monotonic() < deadline
        time.sleep(0.02)


def report(iam, arn, **parameters):
    """What a report says of each service, by namespace."""
    answer = finished(iam, begin(iam, arn, **parameters))
    assert answer["JobStatus"] == "COMPLETED", answer
    return {one["ServiceNamespace"]: one for one in answer["ServicesLastAccessed"]}


def entities(iam, job, namespace, **parameters):
    finished(iam, job)
    answer = iam.get_service_last_accessed_details_with_entities(
        JobId=job, ServiceNamespace=namespace, **parameters
    )
    answer.pop("ResponseMetadata")
    return answer


def granting(iam, arn, *namespaces):
    answer = iam.list_policies_granting_service_access(Arn=arn, ServiceNamespaces=namespaces)
    assert answer["IsTruncated"] is False
    return {
        entry["ServiceNamespace"]: [one["PolicyName"] for one in entry["Policies"]]
        for entry in answer["PoliciesGrantingServiceAccess"]
    }


def is_recent(moment):
    return abs((datetime.now(timezone.utc) - moment).total_seconds()) < 60


@pytest.fixture
def iam(root):
    return root.iam


def test_a_user_s_services_are_told_with_what_it_tried(iam, world):
    user = world.user(allow(["iam:GetUser", "iam:PassRole", "sts:*", "s3:GetObject"]))
    arn = user.user_arn
    job = begin(iam, arn)
    assert UUID.fullmatch(job)
    answer = finished(iam, job)
    assert answer.keys() == {
        "JobStatus", "JobType", "JobCreationDate", "JobCompletionDate", "ServicesLastAccessed",
        "IsTruncated",
    }
    assert (answer["JobStatus"], answer["JobType"]) == ("COMPLETED", "SERVICE_LEVEL")
    assert answer["JobCreationDate"] <= answer["JobCompletionDate"]
    assert is_recent(answer["JobCreationDate"]) and answer["IsTruncated"] is False
    services = answer["ServicesLastAccessed"]
    assert [one["ServiceNamespace"] for one in services] == ["iam", "s3", "sts"]
    for one in services:
        assert one.keys() == {"ServiceName", "ServiceNamespace", "TotalAuthenticatedEntities"}
        assert one["TotalAuthenticatedEntities"] == 0
    assert services[0]["ServiceName"].startswith("AWS Identity and Access Management")

    user.client("sts", region="eu-west-1").get_caller_identity()
    # An attempt counts, whatever became of it.
    assert refusal(user.iam.list_users).code == "AccessDenied"
    told = report(iam, arn, Granularity="ACTION_LEVEL")
    assert is_recent(told["sts"]["LastAuthenticated"]) and is_recent(told["iam"]["LastAuthenticated"])
    assert told["sts"]["LastAuthenticatedEntity"] == told["iam"]["LastAuthenticatedEntity"] == arn
    assert told["sts"]["LastAuthenticatedRegion"] == "eu-west-1"
    assert told["iam"]["LastAuthenticatedRegion"] == "us-east-1"
    assert told["iam"]["TotalAuthenticatedEntities"] == 1
    # PassRole is no call, ListUsers not allowed: neither is listed; nor is any action of s3.
    assert told["iam"]["TrackedActionsLastAccessed"] == [{"ActionName": "GetUser"}]
    assert "TrackedActionsLastAccessed" not in told["s3"]
    actions = {one["ActionName"]: one for one in told["sts"]["TrackedActionsLastAccessed"]}
    assert "TagSession" not in actions and actions["AssumeRole"] == {"ActionName": "AssumeRole"}
    identity = actions["GetCallerIdentity"]
    assert identity["LastAccessedEntity"] == arn and identity["LastAccessedRegion"] == "eu-west-1"
    assert is_recent(identity["LastAccessedTime"])
    # The first report is as it was.
    assert finished(iam, job) == answer
    assert "TrackedActionsLastAccessed" not in report(iam, arn)["iam"]


def test_a_role_s_sessions_are_the_role(iam, world):
    arn = world.role(allow("sts:GetCallerIdentity"))
    world.user(allow("sts:*")).assume(arn, "one").sts.get_caller_identity()
    told = report(iam, arn)["sts"]
    assert told["LastAuthenticatedEntity"] == arn and told["TotalAuthenticatedEntities"] == 1


def test_a_federated_user_s_calls_are_its_issuer_s(iam, world):
    user = world.user(allow("sts:*"))
    token = user.sts.get_federation_token(Name="fed", Policy=policy(allow("sts:*")))
    assert report(iam, user.user_arn)["sts"]["LastAuthenticatedRegion"] == "us-east-1"
    federated = user.session_from(token["Credentials"])
    until_the_next_second()
    federated.client("sts", region="eu-west-1").get_caller_identity()
    told = report(iam, user.user_arn)["sts"]
    assert told["LastAuthenticatedRegion"] == "eu-west-1"
    assert told["LastAuthenticatedEntity"] == user.user_arn
    assert told["TotalAuthenticatedEntities"] == 1


def test_who_is_made_anew_under_an_old_name_has_tried_nothing(iam, world):
    user = world.user(allow("sts:*"))
    user.sts.get_caller_identity()
    assert report(iam, user.user_arn)["sts"]["TotalAuthenticatedEntities"] == 1
    iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    iam.delete_user_policy(UserName=user.name, PolicyName="inline")
    iam.delete_user(UserName=user.name)
    again = world.user(allow("sts:*"), name=user.name)
    assert again.user_arn == user.user_arn
    assert report(iam, user.user_arn)["sts"]["TotalAuthenticatedEntities"] == 0


def test_a_group_s_members_use_its_permissions_and_no_others(iam, world):
    one, other, outsider = (world.user() for _ in range(3))
    group = world.group(allow("sts:GetCallerIdentity"), members=[one, other])
    outsider.sts.get_caller_identity()
    arn = world.arn(f"group/{group}")
    assert report(iam, arn)["sts"]["TotalAuthenticatedEntities"] == 0
    other.sts.get_caller_identity()
    time.sleep(1.1)
    one.sts.get_caller_identity()
    job = begin(iam, arn)
    (told,) = finished(iam, job)["ServicesLastAccessed"]
    assert told["TotalAuthenticatedEntities"] == 2
    assert told["LastAuthenticatedEntity"] == one.user_arn
    answer = entities(iam, job, "sts")
    assert answer.keys() == {
        "JobStatus", "JobCreationDate", "JobCompletionDate", "EntityDetailsList", "IsTruncated",
    }
    # The last to try comes first.
    assert [e["EntityInfo"]["Arn"] for e in answer["EntityDetailsList"]] == [
        one.user_arn, other.user_arn,
    ]
    first = answer["EntityDetailsList"][0]
    assert is_recent(first["LastAuthenticated"])
    assert first["EntityInfo"] == {
        "Arn": one.user_arn,
        "Name": one.name,
        "Type": "USER",
        "Id": one.identity["UserId"],
        "Path": "/",
    }
    # A service that the group does not give has none.
    assert entities(iam, job, "iam")["EntityDetailsList"] == []


def test_a_policy_is_used_by_whom_it_is_attached_to(iam, world):
    arn = world.managed_policy(allow(["sts:GetCallerIdentity", "iam:GetUser"]))
    assert report(iam, arn)["sts"]["TotalAuthenticatedEntities"] == 0
    member, direct = world.user(name=unique("b")), world.user(attached=[arn], name=unique("a"))
    world.group(members=[member, direct], attached=[arn])
    role = world.role(attached=[arn])
    job = begin(iam, arn)
    listed = entities(iam, job, "sts")["EntityDetailsList"]
    # Users by name, then roles; whoever has it twice is there once.
    assert [one["EntityInfo"]["Arn"] for one in listed] == [direct.user_arn, member.user_arn, role]
    assert [one["EntityInfo"]["Type"] for one in listed] == ["USER", "USER", "ROLE"]
    assert all("LastAuthenticated" not in one for one in listed)
    member.sts.get_caller_identity()
    world.user(allow("sts:*")).assume(role).sts.get_caller_identity()
    job = begin(iam, arn)
    told = {one["ServiceNamespace"]: one for one in finished(iam, job)["ServicesLastAccessed"]}
    assert told["sts"]["TotalAuthenticatedEntities"] == 2
    assert told["iam"]["TotalAuthenticatedEntities"] == 0
    listed = entities(iam, job, "sts")["EntityDetailsList"]
    assert listed[-1]["EntityInfo"]["Arn"] == direct.user_arn and len(listed) == 3
    # Who is gone is passed over, and a user that has moved is told where it is now.
    iam.update_user(UserName=member.name, NewPath="/moved/")
    iam.detach_role_policy(RoleName=role.rsplit("/", 1)[1], PolicyArn=arn)
    iam.delete_role(RoleName=role.rsplit("/", 1)[1])
    listed = entities(iam, job, "sts")["EntityDetailsList"]
    assert {one["EntityInfo"]["Arn"] for one in listed} == {
        direct.user_arn, world.arn(f"user/moved/{member.name}"),
    }


def test_a_policy_of_aws_s_own_is_reported_on(iam, world):
    arn = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
    user = world.user(attached=[arn])
    user.iam.list_users(MaxItems=1)
    told = report(iam, arn)
    assert list(told) == ["iam"]
    assert told["iam"]["LastAuthenticatedEntity"] == user.user_arn


SELECTION = {
    # As AWS answered: (statements, services of the report, policies that grant s3).
    "allow": ([allow("s3:GetObject")], ["s3"], True),
    "deny_alone": ([deny("s3:*")], [], False),
    "allow_and_deny_all": ([allow("s3:GetObject"), deny("s3:*")], [], False),
    "condition": (
        [allow("s3:GetObject", Condition={"StringEquals": {"aws:username": "nobody"}})], ["s3"], True,
    ),
    "conditional_deny": (
        [
            allow("s3:GetObject"),
            deny("s3:*", Condition={"StringEquals": {"aws:username": "nobody"}}),
        ],
        ["s3"],
        True,
    ),
    "unknown_action": ([allow("s3:NoSuchAction")], [], True),
    "unknown_service": ([allow("nosuchservice:Read")], [], False),
    "pass_role": ([allow("iam:PassRole")], ["iam"], False),
    "denied_on_the_same": (
        [allow("s3:GetObject", "arn:aws:s3:::a/*"), deny("s3:*", "arn:aws:s3:::a/*")], [], True,
    ),
}


@pytest.mark.parametrize("name", SELECTION)
def test_what_policies_allow_is_what_is_listed(name, iam, world):
    statements, services, grants = SELECTION[name]
    user = world.user(*statements)
    assert list(report(iam, user.user_arn)) == services
    assert granting(iam, user.user_arn, "s3") == {"s3": ["inline"] if grants else []}


def test_boundaries_do_not_count_and_groups_do(iam, world):
    user = world.user(allow("s3:GetObject"), boundary=world.managed_policy(allow("sqs:*")))
    world.group(allow("lambda:ListFunctions"), members=[user])
    world.group(deny("s3:*"), allow("ec2:DescribeInstances"), members=[user])
    assert list(report(iam, user.user_arn)) == ["ec2", "lambda"]


def test_the_policies_that_grant_a_service_are_told_by_where_they_are(iam, world):
    shared = world.managed_policy(allow(["sqs:SendMessage", "s3:GetObject"]))
    user = world.user(allow("s3:GetObject"), deny("sqs:*"), attached=[shared])
    group = world.group(allow("iam:GetUser"), members=[user], attached=[shared])
    answer = iam.list_policies_granting_service_access(
        Arn=user.user_arn, ServiceNamespaces=["sqs", "s3", "iam", "s3", "dynamodb"]
    )
    entries = answer["PoliciesGrantingServiceAccess"]
    # In the order of the request, each once.
    assert [entry["ServiceNamespace"] for entry in entries] == ["sqs", "s3", "iam", "dynamodb"]
    managed = {
        "PolicyName": shared.rsplit("/", 1)[1], "PolicyType": "MANAGED", "PolicyArn": shared,
    }
    own = {
        "PolicyName": "inline", "PolicyType": "INLINE", "EntityType": "USER", "EntityName": user.name,
    }
    of_group = {**own, "EntityType": "GROUP", "EntityName": group}
    by_name = {entry["ServiceNamespace"]: entry["Policies"] for entry in entries}
    assert by_name["sqs"] == [managed]
    assert by_name["s3"] == [own, managed]
    assert by_name["iam"] == [of_group] and by_name["dynamodb"] == []
    role = world.role(allow("kms:ListKeys"))
    assert granting(iam, role, "kms", "sts") == {"kms": ["inline"], "sts": []}
    assert granting(iam, world.arn(f"group/{group}"), "iam") == {"iam": ["inline"]}


def test_pages_hold_each_service_and_entity_once(iam, world):
    arn = world.managed_policy(allow(["iam:*", "sts:*", "kms:*", "s3:*", "sqs:*"]))
    users = [world.user(attached=[arn]) for _ in range(3)]
    job = begin(iam, arn)
    whole = finished(iam, job)["ServicesLastAccessed"]
    found, marker = [], {}
    while True:
        page = finished(iam, job, MaxItems=2, **marker)
        found += page["ServicesLastAccessed"]
        if not page["IsTruncated"]:
            assert "Marker" not in page
            break
        assert len(page["ServicesLastAccessed"]) == 2
        marker = {"Marker": page["Marker"]}
    assert found == whole and len(whole) == 5
    page = entities(iam, job, "s3", MaxItems=2)
    rest = entities(iam, job, "s3", MaxItems=2, Marker=page["Marker"])
    arns = [e["EntityInfo"]["Arn"] for e in page["EntityDetailsList"] + rest["EntityDetailsList"]]
    assert arns == sorted(user.user_arn for user in users) and rest["IsTruncated"] is False
    # A marker is of one job and one list.
    other = begin(iam, arn)
    finished(iam, other)
    assert refusal(iam.get_service_last_accessed_details, JobId=other, **marker).status == 400
    refused = refusal(iam.get_service_last_accessed_details, JobId=job, Marker="invalid")
    assert (refused.code, refused.message) == ("ValidationError", "Invalid Marker.")
    refused = refusal(
        iam.get_service_last_accessed_details, JobId=job, Marker=page["Marker"]
    )
    assert refused.status == 400


def test_all_services_come_on_pages_of_two_hundred(iam, world):
    user = world.user(allow("*"))
    job = begin(iam, user.user_arn, Granularity="ACTION_LEVEL")
    first = finished(iam, job)
    assert first["IsTruncated"] is True and len(first["ServicesLastAccessed"]) == 200
    whole = finished(iam, job, MaxItems=1000)["ServicesLastAccessed"]
    names = [one["ServiceNamespace"] for one in whole]
    assert names == sorted(names) and len(names) > 400


NO_ARN = {
    "missing_user": ("user/nobody", "NoSuchEntity", "ARN {arn} does not exist."),
    "missing_group": ("group/nobody", "NoSuchEntity", "ARN {arn} does not exist."),
    "missing_role": ("role/x/nobody", "NoSuchEntity", "ARN {arn} does not exist."),
    "missing_policy": ("policy/nobody", "NoSuchEntity", "ARN {arn} does not exist."),
    "other_kind": ("mfa/a", "InvalidInput", "Invalid Entity Arn: {arn} is not supported."),
    "root": ("root", "InvalidInput", "Invalid Entity Arn: {arn} is not supported."),
}


@pytest.mark.parametrize("name", NO_ARN)
def test_what_has_no_report_is_refused(name, iam, world):
    resource, code, words = NO_ARN[name]
    arn = world.arn(resource)
    refused = refusal(iam.generate_service_last_accessed_details, Arn=arn)
    status = 404 if code == "NoSuchEntity" else 400
    assert (refused.status, refused.code, refused.message) == (status, code, words.format(arn=arn))


def test_an_arn_of_elsewhere_is_refused(iam, world):
    for arn, code, words in (
        ("arn:aws:s3:::user/somebody", "ValidationError", "Invalid service in ARN"),
        (
            f"arn:aws-cn:iam::{world.account}:user/somebody",
            "ValidationError",
            "Invalid ARN partition",
        ),
        ("arn:aws:iam::999999999999:user/somebody", "AccessDenied", None),
        ("arn:aws:iam::999999999999:policy/some", "AccessDenied", None),
        ("x" * 30, "InvalidInput", None),
    ):
        for refused in (
            refusal(iam.generate_service_last_accessed_details, Arn=arn),
            refusal(iam.list_policies_granting_service_access, Arn=arn, ServiceNamespaces=["s3"]),
        ):
            assert refused.code == code, arn
            assert words is None or refused.message == words
    refused = refusal(
        iam.list_policies_granting_service_access,
        Arn=world.arn("root"),
        ServiceNamespaces=["s3"],
    )
    assert refused.message == f"Could not extract entity from ARN : {world.arn('root')}"
    arn = world.managed_policy(allow("s3:*"))
    refused = refusal(
        iam.list_policies_granting_service_access, Arn=arn, ServiceNamespaces=["s3"]
    )
    assert refused.message == f"Invalid Entity Arn: {arn} is not supported."


def test_a_user_is_found_whatever_path_its_arn_has(iam, world):
    user = world.user(allow("s3:GetObject"), path="/a/")
    assert list(report(iam, world.arn(f"user/other/{user.name}"))) == ["s3"]


def test_services_that_there_are_not_are_refused(iam, world):
    user = world.user(allow("s3:GetObject"))
    refused = refusal(
        iam.list_policies_granting_service_access,
        Arn=user.user_arn,
        ServiceNamespaces=["S3", "s3", "nosuch_service"],
    )
    assert (refused.code, refused.message) == (
        "InvalidInput", "Invalid service namespace: [S3, nosuch_service]",
    )
    job = begin(iam, user.user_arn)
    for namespace in ("S3", "nosuchservice"):
        refused = refusal(
            iam.get_service_last_accessed_details_with_entities,
            JobId=job,
            ServiceNamespace=namespace,
        )
        assert (refused.code, refused.message) == (
            "InvalidInput", f"Service namepace {namespace} is either invalid or unsupported.",
        )


def test_a_job_is_its_caller_s_alone(server, iam, world):
    one, other = world.user(allow(ADVISOR)), world.user(allow(ADVISOR))
    target = world.user(allow("s3:*"))
    job = begin(one.iam, target.user_arn)
    finished(one.iam, job)
    key = iam.create_access_key(UserName=one.name)["AccessKey"]
    second = Principal(server.url, key["AccessKeyId"], key["SecretAccessKey"])
    assert finished(second.iam, job)["JobStatus"] == "COMPLETED"
    unknown = str(uuid.uuid4())
    for who, asked in ((other, job), (world.root, job), (one, unknown), (one, "x" * 36)):
        for refused in (
            refusal(who.iam.get_service_last_accessed_details, JobId=asked),
            refusal(
                who.iam.get_service_last_accessed_details_with_entities,
                JobId=asked,
                ServiceNamespace="s3",
            ),
        ):
            assert (refused.status, refused.code) == (404, "NoSuchEntity")
            assert refused.message == f"Job {asked} does not exist."
    role = world.role(allow(ADVISOR))
    caller = world.user(allow("sts:AssumeRole"))
    session, another = caller.assume(role, "same"), caller.assume(role, "same")
    job = begin(session.iam, target.user_arn)
    assert finished(session.iam, job)["JobStatus"] == "COMPLETED"
    assert refusal(another.iam.get_service_last_accessed_details, JobId=job).code == "NoSuchEntity"


def test_each_operation_asks_before_it_tells(iam, world):
    nobody = world.user(deny("iam:ListRoles"))
    there, missing = world.user().user_arn, world.arn("user/nobody")
    job = begin(iam, there)
    for arn in (there, missing):
        refused = refusal(nobody.iam.generate_service_last_accessed_details, Arn=arn)
        action = "iam:GenerateServiceLastAccessedDetails"
        assert_denied(refused, nobody.user_arn, action, IDENTITY_SILENT, arn)
        refused = refusal(
            nobody.iam.list_policies_granting_service_access, Arn=arn, ServiceNamespaces=["x"]
        )
        action = "iam:ListPoliciesGrantingServiceAccess"
        assert_denied(refused, nobody.user_arn, action, IDENTITY_SILENT, arn)
    for call, parameters in (
        ("GetServiceLastAccessedDetails", {}),
        ("GetServiceLastAccessedDetailsWithEntities", {"ServiceNamespace": "nosuch"}),
    ):
        name = re.sub("([A-Z])", lambda m: "_" + m[1].lower(), call)[1:]
        for asked in (job, str(uuid.uuid4())):
            refused = refusal(getattr(nobody.iam, name), JobId=asked, **parameters)
            assert_denied(refused, nobody.user_arn, f"iam:{call}", IDENTITY_SILENT)
    # On one thing alone.
    some = world.user(allow("iam:GenerateServiceLastAccessedDetails", there))
    assert begin(some.iam, there)
    refused = refusal(some.iam.generate_service_last_accessed_details, Arn=missing)
    assert refused.code == "AccessDenied"


PATH = "o-a1b2c3d4e5/r-f6g7h8i9j0example/ou-rge0-awsabcde"


def test_there_is_no_organization_to_report_on(iam, world):
    refused = refusal(iam.generate_organizations_access_report, EntityPath=PATH)
    assert (refused.status, refused.code) == (403, "AccessDenied") and PATH in refused.message
    job = str(uuid.uuid4())
    refused = refusal(iam.get_organizations_access_report, JobId=job)
    assert (refused.code, refused.message) == ("NoSuchEntity", f"Job {job} does not exist.")
    nobody = world.user(allow("iam:GetUser"))
    refused = refusal(nobody.iam.generate_organizations_access_report, EntityPath=PATH)
    action = "iam:GenerateOrganizationsAccessReport"
    report = f"arn:aws:iam::{world.account}:access-report/{PATH}"
    assert_denied(refused, nobody.user_arn, action, IDENTITY_SILENT, report)
    refused = refusal(nobody.iam.get_organizations_access_report, JobId=job)
    assert_denied(refused, nobody.user_arn, "iam:GetOrganizationsAccessReport", IDENTITY_SILENT)


def test_jobs_and_what_was_recorded_outlive_a_crash(start_server):
    server = start_server()
    world = World(server.root())
    user = world.user(allow("sts:GetCallerIdentity"))
    user.sts.get_caller_identity()
    job = begin(world.iam, user.user_arn)
    before = finished(world.iam, job)["ServicesLastAccessed"]
    server.kill()
    server.start()
    assert finished(world.iam, job)["ServicesLastAccessed"] == before
    assert list(report(world.iam, user.user_arn).values()) == before
    assert before[0]["TotalAuthenticatedEntities"] == 1
    server.stop()


@pytest.mark.one_process("the files of one data directory")
def test_a_log_that_cannot_be_read_fails_the_job(start_server):
    server = start_server()
    world = World(server.root())
    user = world.user(allow("sts:*"))
    segments = sorted(server.audit.glob("*.jsonl"))
    for segment in segments:
        segment.rename(segment.with_suffix(".away"))
        segment.mkdir()
    answer = finished(world.iam, begin(world.iam, user.user_arn))
    assert answer["JobStatus"] == "FAILED" and answer["Error"]["Code"] == "ServiceFailure"
    assert "ServicesLastAccessed" not in answer and str(server.data) not in str(answer)
    server.stop()


def test_attempts_of_the_last_four_hundred_days_count(dev):
    dev.post_json("/_ringfence/reset", {})
    world = World(dev.principal("123456789012", "x"))
    user = world.user(allow("sts:*"))
    user.sts.get_caller_identity()
    for days, total in ((399, 1), (2, 0)):
        dev.post_json("/_ringfence/clock", {"advance_seconds": days * 86400})
        assert report(world.iam, user.user_arn)["sts"]["TotalAuthenticatedEntities"] == total
    dev.post_json("/_ringfence/reset", {})


def test_accounts_know_nothing_of_each_other_s_reports(dev):
    dev.post_json("/_ringfence/reset", {})
    one = World(dev.principal("111111111111", "x"))
    other = World(dev.principal("222222222222", "x"))
    user = one.user(allow("sts:*"))
    user.sts.get_caller_identity()
    job = begin(one.iam, user.user_arn)
    assert finished(one.iam, job)["ServicesLastAccessed"][0]["TotalAuthenticatedEntities"] == 1
    assert refusal(other.iam.get_service_last_accessed_details, JobId=job).code == "NoSuchEntity"
    assert refusal(other.iam.generate_service_last_accessed_details, Arn=user.user_arn).status == 403


def test_the_aws_command_line_makes_and_reads_one(aws_command, root, world):
    def run(*words):
        done = subprocess.run(
            [aws_command, "iam", *words, "--output", "json"],
            env={"PATH": "/usr/bin:/bin", **root.environment()},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    user = world.user(allow("sts:GetCallerIdentity"))
    user.sts.get_caller_identity()
    job = run("generate-service-last-accessed-details", "--arn", user.user_arn)["JobId"]
    finished(root.iam, job)
    answer = run("get-service-last-accessed-details", "--job-id", job)
    assert answer["ServicesLastAccessed"][0]["LastAuthenticatedEntity"] == user.user_arn
    listed = run(
        "list-policies-granting-service-access", "--arn", user.user_arn,
        "--service-namespaces", "sts", "s3",
    )
    assert [len(one["Policies"]) for one in listed["PoliciesGrantingServiceAccess"]] == [1, 0]
