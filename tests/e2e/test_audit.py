"""Every call becomes one event of CloudTrail's form, in segments of JSON lines.

Field names: AWS CloudTrail User Guide, "CloudTrail record contents" and "CloudTrail userIdentity
element".
"""

import re
import time
from collections import Counter

import pytest

from clients import refusal
from signer import Signer
from world import allow, tags, unique

FIELDS = {
    "eventVersion", "userIdentity", "eventTime", "eventSource", "eventName", "awsRegion",
    "sourceIPAddress", "userAgent", "requestParameters", "responseElements", "requestID",
    "eventID", "readOnly", "eventType", "managementEvent", "recipientAccountId", "eventCategory",
}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def event_of(server, answer):
    """The event of one answer, found by its request id."""
    request_id = answer["ResponseMetadata"]["RequestId"]
    return server.audit_event(lambda event: event["requestID"] == request_id)


def named(server, event_name, access_key_id=None):
    return server.audit_event(
        lambda event: event["eventName"] == event_name
        and access_key_id in (None, event["userIdentity"].get("accessKeyId"))
    )


def test_a_write_is_recorded_whole(server, world):
    name = unique("audited")
    answer = world.iam.create_user(UserName=name, Path="/a/", Tags=tags(team="blue"))
    event = event_of(server, answer)
    assert FIELDS <= set(event), FIELDS - set(event)
    assert (event["eventSource"], event["eventName"]) == ("iam.amazonaws.com", "CreateUser")
    assert event["awsRegion"] == "us-east-1" and event["readOnly"] is False
    assert (event["eventType"], event["eventCategory"]) == ("AwsApiCall", "Management")
    assert event["managementEvent"] is True and re.match(r"1\.\d+$", event["eventVersion"])
    assert event["recipientAccountId"] == world.account
    assert event["sourceIPAddress"] == "127.0.0.1" and "Botocore" in event["userAgent"]
    assert UUID.fullmatch(event["eventID"]) and UUID.fullmatch(event["requestID"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event["eventTime"])
    # Members are spelled with a small first letter in events.
    assert event["requestParameters"]["userName"] == name
    assert event["requestParameters"]["path"] == "/a/"
    assert event["responseElements"]["user"]["arn"] == answer["User"]["Arn"]
    assert "errorCode" not in event and "errorMessage" not in event


def test_a_read_is_recorded_without_its_answer(server, world):
    event = event_of(server, world.iam.list_users(MaxItems=1))
    assert event["eventName"] == "ListUsers" and event["readOnly"] is True
    assert event["responseElements"] is None


def test_every_kind_of_caller_is_recorded(server, world):
    def identity(principal):
        answer = principal.sts.get_caller_identity()
        return event_of(server, answer)["userIdentity"]

    root = identity(world.root)
    assert (root["type"], root["arn"]) == ("Root", world.account_principal)
    user = world.user(allow("sts:*"))
    recorded = identity(user)
    assert recorded["type"] == "IAMUser" and recorded["userName"] == user.name
    assert (recorded["arn"], recorded["accountId"]) == (user.arn, world.account)
    assert recorded["accessKeyId"] == user.access_key_id
    assert recorded["principalId"] == user.identity["UserId"]
    role = world.role()
    session = user.assume(role, "audited")
    recorded = identity(session)
    assert recorded["type"] == "AssumedRole" and recorded["arn"] == session.arn
    assert recorded["accessKeyId"] == session.access_key_id
    issuer = recorded["sessionContext"]["sessionIssuer"]
    assert (issuer["type"], issuer["arn"]) == ("Role", role)
    assert recorded["sessionContext"]["attributes"]["mfaAuthenticated"] == "false"
    federated = user.session_from(user.sts.get_federation_token(Name="bob")["Credentials"])
    assert identity(federated)["type"] == "FederatedUser"


def test_a_denied_call_is_recorded_with_its_denial(server, world):
    user = world.user()
    refused = refusal(user.iam.create_user, UserName=unique("never"))
    event = named(server, "CreateUser", user.access_key_id)
    assert event["errorCode"] == "AccessDenied" and event["errorMessage"] == refused.message
    assert event["responseElements"] is None and event["userIdentity"]["arn"] == user.arn


def test_a_failed_call_is_recorded_with_its_error(server, world):
    name = unique("none")
    refused = refusal(world.iam.delete_user, UserName=name)
    event = server.audit_event(
        lambda event: event["eventName"] == "DeleteUser"
        and (event["requestParameters"] or {}).get("userName") == name
    )
    assert event["errorMessage"] == refused.message
    assert event["errorCode"] in ("NoSuchEntity", "NoSuchEntityException")


def test_an_unbuilt_operation_is_recorded(server, world):
    call = world.root.iam_unchecked.get_role_template_version
    assert refusal(call, TemplateArn="arn:aws:iam::aws:role-template/x").status == 501
    event = named(server, "GetRoleTemplateVersion", world.root.access_key_id)
    assert event["errorCode"]


def test_a_forged_call_is_recorded_as_nobodys(server, world):
    agent = unique("forger")
    answer = Signer(world.root).query(
        "iam", {"Action": "ListUsers"}, secret="w" * 40, headers={"User-Agent": agent}
    )
    assert answer.status == 403
    event = server.audit_event(lambda event: event["userAgent"] == agent)
    assert event["errorCode"] == "SignatureDoesNotMatch"
    # A claim that did not hold is not the identity of an event.
    assert event["userIdentity"].get("type") not in ("Root", "IAMUser", "AssumedRole")
    assert "arn" not in event["userIdentity"]


def test_one_call_is_one_event(server, world):
    agent = unique("counter")
    iam = world.root.client("iam", user_agent=agent)
    for _ in range(7):
        iam.list_users(MaxItems=1)
    server.audit_event(lambda event: event["userAgent"] == agent)
    time.sleep(0.3)
    events = [event for event in server.audit_events() if event["userAgent"] == agent]
    assert Counter(event["eventName"] for event in events) == {"ListUsers": 7}
    assert len({event["eventID"] for event in events}) == 7


def test_the_region_is_the_one_signed_for(server, world):
    answer = world.root.client("sts", region="eu-west-1").get_caller_identity()
    assert event_of(server, answer)["awsRegion"] == "eu-west-1"


def test_no_secret_is_recorded(server, world):
    user = world.user(allow("sts:*"))
    session = user.assume(world.role(), Tags=tags(team="blue"))
    token = user.sts.get_session_token()["Credentials"]
    federated = user.sts.get_federation_token(Name="bob")["Credentials"]
    session.sts.get_caller_identity()
    time.sleep(0.3)
    text = server.audit_text()
    assert user.access_key_id in text and session.access_key_id in text
    secrets = [
        world.root.secret, user.secret, session.secret, session.token,
        token["SecretAccessKey"], token["SessionToken"],
        federated["SecretAccessKey"], federated["SessionToken"],
    ]
    assert not [secret for secret in secrets if secret in text]


def test_the_event_of_a_write_is_on_disk_when_it_is_acknowledged(start_server):
    server = start_server()
    root = server.root()
    for index in range(20):
        name = f"now-{index}"
        request_id = root.iam.create_user(UserName=name)["ResponseMetadata"]["RequestId"]
        # No waiting here: what is in the file at this moment counts.
        assert any(event["requestID"] == request_id for event in server.audit_events())
    server.kill()
    names = [
        event["requestParameters"]["userName"]
        for event in server.audit_events()
        if event["eventName"] == "CreateUser"
    ]
    assert sorted(names) == sorted(f"now-{index}" for index in range(20))


def test_with_every_answer_synced_a_read_is_on_disk_too(start_server):
    server = start_server("--audit-sync", "every")
    answer = server.root().sts.get_caller_identity()
    server.kill()
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert any(event["requestID"] == request_id for event in server.audit_events())


@pytest.mark.one_process("the files of one data directory")
def test_events_go_on_after_a_restart_and_after_a_torn_line(start_server):
    server = start_server()
    server.root().iam.create_user(UserName="before")
    server.kill()
    newest = sorted(server.audit.glob("*.jsonl"))[-1]
    with newest.open("ab") as segment:
        segment.write(b'{"eventVersion":"1.')
    server.start()
    server.root().iam.create_user(UserName="after")
    server.stop()
    # The torn line is cut off: all there is are events.
    names = [
        event["requestParameters"]["userName"]
        for event in server.audit_events() if event["eventName"] == "CreateUser"
    ]
    assert names == ["before", "after"]


@pytest.mark.one_process("the disk of one process")
def test_a_call_whose_event_cannot_be_written_is_refused(start_server, binary, tmp_path):
    # The shell that starts the server limits every file to 1 MiB (a block is 512 bytes), and has a
    # write beyond that fail instead of killing.
    limited = tmp_path / "limited"
    limited.write_text(f"#!/bin/sh\ntrap '' XFSZ\nulimit -f 2048\nexec '{binary}' \"$@\"\n")
    limited.chmod(0o700)
    server = start_server()
    server.stop()
    server.binary = limited
    server.start()
    signer = Signer(server.root())
    # A long user agent makes a long event.
    agent = {"User-Agent": "f" * 6000}
    answers = []
    for _ in range(3000):
        answers.append(signer.query("sts", {"Action": "GetCallerIdentity"}, headers=agent).status)
        if answers[-1] != 200:
            break
    assert answers[0] == 200 and answers[-1] >= 500, "1 MiB was passed, and no call was refused"
    server.stop()
