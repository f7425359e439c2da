"""Credentials for one service alone: user names with passwords, and API keys."""

import base64
import json
import re
import subprocess
import time
from datetime import timedelta

import pytest

from clients import IDENTITY_SILENT, assert_denied, refusal
from test_secrets_at_rest import occurrences
from world import World, allow, unique

GIT = "codecommit.amazonaws.com"
KEYSPACES = "cassandra.amazonaws.com"
BEDROCK = "bedrock.amazonaws.com"
MISSING = "ACCAXXXXXXXXXXXXXXXXX"


@pytest.fixture
def iam(root):
    return root.iam


@pytest.fixture
def user(world):
    name = unique("user")
    world.iam.create_user(UserName=name)
    return name


def create(iam, user, service=GIT, **more):
    answer = iam.create_service_specific_credential(UserName=user, ServiceName=service, **more)
    return answer["ServiceSpecificCredential"]


def listed(iam, **given):
    return iam.list_service_specific_credentials(**given)["ServiceSpecificCredentials"]


def named(user, credential):
    return {
        "UserName": user,
        "ServiceSpecificCredentialId": credential["ServiceSpecificCredentialId"],
    }


def without(credential, *members):
    return {name: value for name, value in credential.items() if name not in members}


@pytest.mark.parametrize("service", [GIT, KEYSPACES])
def test_a_password_is_made_reset_switched_and_deleted(service, iam, user, world):
    made = create(iam, user, service)
    assert made.keys() == {
        "CreateDate", "ServiceName", "ServiceUserName", "ServicePassword",
        "ServiceSpecificCredentialId", "UserName", "Status",
    }
    assert made["ServiceUserName"] == f"{user}-at-{world.account}"
    assert re.fullmatch("[A-Za-z0-9+/]{59}=", made["ServicePassword"])
    assert re.fullmatch("ACCA[A-Z2-7]{17}", made["ServiceSpecificCredentialId"])
    assert (made["UserName"], made["ServiceName"], made["Status"]) == (user, service, "Active")

    shown = without(made, "ServicePassword")
    assert listed(iam, UserName=user) == [shown]
    reset = iam.reset_service_specific_credential(**named(user, made))["ServiceSpecificCredential"]
    assert without(reset, "ServicePassword") == shown
    assert reset["ServicePassword"] != made["ServicePassword"]
    iam.update_service_specific_credential(Status="Inactive", **named(user, made))
    assert listed(iam, UserName=user) == [{**shown, "Status": "Inactive"}]
    iam.delete_service_specific_credential(**named(user, made))
    assert listed(iam, UserName=user) == []


def test_an_api_key_is_its_alias_and_a_secret_and_may_end(iam, user, world):
    made = create(iam, user, BEDROCK, CredentialAgeDays=30)
    assert made.keys() == {
        "CreateDate", "ExpirationDate", "ServiceName", "ServiceCredentialAlias",
        "ServiceCredentialSecret", "ServiceSpecificCredentialId", "UserName", "Status",
    }
    assert made["ExpirationDate"] - made["CreateDate"] == timedelta(days=30)
    assert made["ServiceCredentialAlias"] == f"{user}-at-{world.account}"
    secret = made["ServiceCredentialSecret"]
    assert secret.startswith("ABSK")
    alias, _, password = base64.b64decode(secret[4:]).decode().partition(":")
    assert alias == made["ServiceCredentialAlias"] and len(password) == 60
    assert listed(iam, UserName=user) == [without(made, "ServiceCredentialSecret")]
    forever = create(iam, user, BEDROCK)
    assert "ExpirationDate" not in forever
    assert forever["ServiceCredentialAlias"] != alias


def test_an_api_key_has_expired_after_its_days(dev):
    iam = dev.principal("test", "test").iam
    iam.create_user(UserName="late")
    made = create(iam, "late", BEDROCK, CredentialAgeDays=1)
    dev.post_json("/_ringfence/clock", {"advance_seconds": 86399})
    statuses = [listed(iam, UserName="late")[0]["Status"]]
    dev.post_json("/_ringfence/clock", {"advance_seconds": 2})
    statuses.append(listed(iam, UserName="late")[0]["Status"])
    assert statuses == ["Active", "Expired"]
    refused = refusal(
        iam.update_service_specific_credential, Status="Expired", **named("late", made)
    )
    assert (refused.code, refused.status) == ("ValidationError", 400)


def test_two_for_each_service_are_the_most(iam, user, world):
    names = [create(iam, user)["ServiceUserName"] for _ in range(2)]
    assert names == [f"{user}-at-{world.account}", f"{user}+1-at-{world.account}"]
    refused = refusal(create, iam, user)
    assert (refused.code, refused.status) == ("LimitExceeded", 409)
    assert create(iam, user, KEYSPACES)["ServiceUserName"] == names[0]
    assert len(listed(iam, UserName=user)) == 3
    assert len(listed(iam, UserName=user, ServiceName=GIT)) == 2


def test_a_service_user_name_is_nobody_elses_after_a_rename(iam, user):
    made = create(iam, user)
    renamed = unique("renamed")
    iam.update_user(UserName=user, NewUserName=renamed)
    iam.create_user(UserName=user)
    assert create(iam, user)["ServiceUserName"] != made["ServiceUserName"]
    assert listed(iam, UserName=renamed)[0]["ServiceUserName"] == made["ServiceUserName"]


def test_services_credentials_and_users_that_are_not_there_are_named(iam, user):
    made = create(iam, user)
    other = iam.create_user(UserName=unique("other"))["User"]["UserName"]
    for call in (iam.create_service_specific_credential, iam.list_service_specific_credentials):
        refused = refusal(call, UserName=user, ServiceName="s3.amazonaws.com")
        assert (refused.code, refused.status) == ("NoSuchEntity", 404)
        assert refused.message == (
            "No such service s3.amazonaws.com is supported for Service Specific Credentials"
        )
        refused = refusal(call, UserName="nobody", ServiceName=GIT)
        assert refused.message == "The user with name nobody cannot be found."
    for method, more in {
        "update_service_specific_credential": {"Status": "Inactive"},
        "reset_service_specific_credential": {},
        "delete_service_specific_credential": {},
    }.items():
        call = getattr(iam, method)
        refused = refusal(call, UserName=user, ServiceSpecificCredentialId=MISSING, **more)
        assert (refused.code, refused.status) == ("NoSuchEntity", 404)
        assert refused.message == f"No such credential {MISSING} exists"
        # Another user's is not there either.
        assert refusal(call, **named(other, made), **more).code == "NoSuchEntity"
        refused = refusal(call, **named("nobody", made), **more)
        assert refused.message == "The user with name nobody cannot be found."
    refused = refusal(create, iam, user, GIT, CredentialAgeDays=1)
    assert (refused.code, refused.status) == ("ValidationError", 400)


def test_a_user_with_a_service_credential_is_not_deleted(iam, user):
    made = create(iam, user)
    refused = refusal(iam.delete_user, UserName=user)
    assert (refused.code, refused.status) == ("DeleteConflict", 409)
    assert refused.message == "Cannot delete entity, must remove referenced objects first."
    iam.delete_service_specific_credential(**named(user, made))
    iam.delete_user(UserName=user)


def test_credentials_of_all_users_come_in_pages(start_server):
    world = World(start_server().root())
    made = set()
    for _ in range(3):
        name = unique("user")
        world.iam.create_user(UserName=name)
        made |= {create(world.iam, name, service)["ServiceSpecificCredentialId"] for service in (GIT, BEDROCK)}
    found, marker = [], {}
    while True:
        page = world.iam.list_service_specific_credentials(AllUsers=True, MaxItems=4, **marker)
        found.append([one["ServiceSpecificCredentialId"] for one in page["ServiceSpecificCredentials"]])
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert [len(page) for page in found] == [4, 2]
    assert {one for page in found for one in page} == made
    only = listed(world.iam, AllUsers=True, ServiceName=BEDROCK)
    assert len(only) == 3 and {one["ServiceName"] for one in only} == {BEDROCK}
    refused = refusal(
        world.iam.list_service_specific_credentials, AllUsers=True, UserName="user"
    )
    assert (refused.code, refused.status) == ("ValidationError", 400)

    own = world.user(allow("iam:ListServiceSpecificCredentials", world.arn("user/${aws:username}")))
    assert listed(own.iam) == []
    refused = refusal(own.iam.list_service_specific_credentials, AllUsers=True)
    assert_denied(
        refused, own.arn, "iam:ListServiceSpecificCredentials", IDENTITY_SILENT, world.arn("user/*")
    )
    every = world.user(allow("iam:ListServiceSpecificCredentials", world.arn("user/*")))
    assert len(listed(every.iam, AllUsers=True)) == 6


@pytest.mark.parametrize(
    "method,more",
    [
        ("create_service_specific_credential", {"ServiceName": "nonsense"}),
        ("list_service_specific_credentials", {"ServiceName": "nonsense"}),
        ("update_service_specific_credential", {"ServiceSpecificCredentialId": MISSING, "Status": "Active"}),
        ("reset_service_specific_credential", {"ServiceSpecificCredentialId": MISSING}),
        ("delete_service_specific_credential", {"ServiceSpecificCredentialId": MISSING}),
    ],
)
def test_who_may_not_hears_nothing_of_what_is_there(method, more, world, user):
    caller = world.user(allow("iam:GetUser"))
    action = "iam:" + "".join(word.capitalize() for word in method.split("_"))
    for name in (user, "nobody"):
        refused = refusal(getattr(caller.iam, method), UserName=name, **more)
        assert_denied(refused, caller.arn, action, IDENTITY_SILENT, world.arn(f"user/{name}"))


def test_service_and_age_are_condition_keys(iam, user, world):
    only_git = {"StringEquals": {"iam:ServiceSpecificCredentialServiceName": GIT}}
    short = {"NumericLessThanEquals": {"iam:ServiceSpecificCredentialAgeDays": "7"}}
    git = world.user(allow("iam:*ServiceSpecificCredential", Condition=only_git)).iam
    made = create(git, user)
    assert refusal(create, git, user, BEDROCK).code == "AccessDenied"
    other = create(iam, user, BEDROCK)
    for method, more in {
        "update_service_specific_credential": {"Status": "Active"},
        "reset_service_specific_credential": {},
        "delete_service_specific_credential": {},
    }.items():
        assert refusal(getattr(git, method), **named(user, other), **more).code == "AccessDenied"
        getattr(git, method)(**named(user, made), **more)
    brief = world.user(allow("iam:CreateServiceSpecificCredential", Condition=short)).iam
    create(brief, user, BEDROCK, CredentialAgeDays=7)
    for days in ({"CredentialAgeDays": 8}, {}):
        assert refusal(create, brief, user, BEDROCK, **days).code == "AccessDenied"


def test_a_user_acts_on_its_own_by_default_and_root_must_name_one(world):
    caller = world.user(allow("iam:*ServiceSpecificCredential*"))
    made = create(caller.iam, caller.name)
    assert [one["UserName"] for one in listed(caller.iam)] == [caller.name]
    own = {"ServiceSpecificCredentialId": made["ServiceSpecificCredentialId"]}
    caller.iam.reset_service_specific_credential(**own)
    caller.iam.delete_service_specific_credential(**own)
    refused = refusal(world.iam.list_service_specific_credentials)
    assert (refused.code, refused.status) == ("ValidationError", 400)


def test_credentials_survive_a_crash_and_no_password_is_on_disk(start_server):
    server = start_server()
    iam = server.root().iam
    iam.create_user(UserName="ann")
    git, key = create(iam, "ann"), create(iam, "ann", BEDROCK)
    reset = iam.reset_service_specific_credential(**named("ann", key))["ServiceSpecificCredential"]
    server.kill()
    server.start()
    assert {one["ServiceSpecificCredentialId"] for one in listed(iam, UserName="ann")} == {
        git["ServiceSpecificCredentialId"], key["ServiceSpecificCredentialId"],
    }
    time.sleep(0.2)
    server.stop()
    names = [event["eventName"] for event in server.audit_events()]
    assert "CreateServiceSpecificCredential" in names
    assert "ResetServiceSpecificCredential" in names
    secrets = [
        git["ServicePassword"], key["ServiceCredentialSecret"], reset["ServiceCredentialSecret"],
    ]
    secrets += [base64.b64decode(secret[4:]).decode().partition(":")[2] for secret in secrets[1:]]
    assert not occurrences(server.data, dict(enumerate(secrets)))
    audit = server.audit_text()
    # JSON may write a slash in two ways.
    assert not [s for s in secrets if s in audit.replace("\\/", "/")]


def test_the_aws_command_makes_and_lists_credentials(root, user, aws_command, tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **root.environment()}

    def aws(*args):
        command = [aws_command, "iam", *args, "--output", "json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    made = aws("create-service-specific-credential", "--user-name", user, "--service-name", GIT)
    assert made["ServiceSpecificCredential"]["ServicePassword"]
    shown = aws("list-service-specific-credentials", "--user-name", user, "--service-name", GIT)
    assert [one["ServiceUserName"] for one in shown["ServiceSpecificCredentials"]] == [
        made["ServiceSpecificCredential"]["ServiceUserName"]
    ]
