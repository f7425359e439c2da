"""The credential report: what it says of every user, and how it is made and kept."""

import base64
import csv
import io
import json
import re
import subprocess
import time

import pytest

from certificates import certificate
from clients import IDENTITY_SILENT, assert_denied, refusal
from totp import code_of
from world import World, allow, deny, unique

# As AWS answered in September 2026.
COLUMNS = (
    "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,"
    "password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,"
    "access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,"
    "access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,"
    "access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,"
    "cert_1_last_rotated,cert_2_active,cert_2_last_rotated"
).split(",")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PASSWORD = "Correct-Horse-1"


def generate(iam):
    """Has a report made; what the first call answered."""
    first = iam.generate_credential_report()
    deadline = time.monotonic() + 20
    while iam.generate_credential_report()["State"] != "COMPLETE":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return first


def report(iam):
    answer = iam.get_credential_report()
    text = answer["Content"].decode()
    lines = text.split("\n")
    assert lines[0] == ",".join(COLUMNS) and lines[-1]
    rows = list(csv.DictReader(io.StringIO(text)))
    return answer, rows


def fresh(iam):
    generate(iam)
    return {row["user"]: row for row in report(iam)[1]}


def seconds(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def iam(dev):
    """Root of an account of a server that has just begun anew."""
    dev.post_json("/_ringfence/reset", {})
    return dev.principal("123456789012", "x").iam


@pytest.fixture
def later(dev):
    yield lambda hours: dev.post_json("/_ringfence/clock", {"advance_seconds": int(hours * 3600)})
    dev.post_json("/_ringfence/reset", {})


def test_a_report_is_made_once_in_four_hours(iam, later):
    missing = refusal(iam.get_credential_report)
    assert (missing.code, missing.status) == ("ReportNotPresent", 410)
    begun = generate(iam)
    begun.pop("ResponseMetadata")
    assert begun == {
        "State": "STARTED",
        "Description": "No report exists. Starting a new report generation task",
    }
    answer, rows = report(iam)
    assert answer["ReportFormat"] == "text/csv"
    assert [row["user"] for row in rows] == ["<root_account>"]
    iam.create_user(UserName="ann")
    later(3.9)
    again = iam.generate_credential_report()
    again.pop("ResponseMetadata")
    assert again == {"State": "COMPLETE"}
    assert report(iam)[0]["Content"] == answer["Content"]
    assert report(iam)[0]["GeneratedTime"] == answer["GeneratedTime"]
    later(0.2)
    expired = refusal(iam.get_credential_report)
    assert (expired.code, expired.status) == ("ReportExpired", 410)
    assert generate(iam)["State"] == "STARTED"
    assert [row["user"] for row in report(iam)[1]] == ["<root_account>", "ann"]


def test_users_come_by_name_after_root(iam):
    for name in ("bob", "Ann", "carl,o", "Zoe"):
        iam.create_user(UserName=name, Path="/x/" if name == "bob" else "/")
    generate(iam)
    _, rows = report(iam)
    assert [row["user"] for row in rows] == ["<root_account>", "Ann", "bob", "carl,o", "Zoe"]
    assert rows[0]["arn"] == "arn:aws:iam::123456789012:root"
    assert rows[2]["arn"] == "arn:aws:iam::123456789012:user/x/bob"
    assert all(TIME.fullmatch(row["user_creation_time"]) for row in rows)
    # Of a user that has nothing.
    bare = {name: value for name, value in rows[1].items() if value not in ("false", "N/A")}
    assert bare.keys() == {"user", "arn", "user_creation_time"}
    assert {name for name, value in rows[1].items() if value == "false"} == {
        "password_enabled", "mfa_active", "access_key_1_active", "access_key_2_active",
        "cert_1_active", "cert_2_active",
    }
    assert rows[0]["password_next_rotation"] == "not_supported"
    assert rows[0]["password_enabled"] == "false"
    assert rows[0]["password_last_used"] == "no_information"


def test_a_password_its_age_and_its_rotation(iam, later):
    iam.create_user(UserName="ann")
    made = iam.create_login_profile(UserName="ann", Password=PASSWORD)["LoginProfile"]
    row = fresh(iam)["ann"]
    assert row["password_enabled"] == "true"
    assert row["password_last_used"] == "no_information"
    assert row["password_last_changed"] == seconds(made["CreateDate"])
    assert row["password_next_rotation"] == "N/A"
    iam.update_account_password_policy(MaxPasswordAge=2)
    later(5)
    iam.update_login_profile(UserName="ann", Password=PASSWORD + "2")
    row = fresh(iam)["ann"]
    changed = time.strptime(row["password_last_changed"], "%Y-%m-%dT%H:%M:%SZ")
    due = time.strptime(row["password_next_rotation"], "%Y-%m-%dT%H:%M:%SZ")
    assert time.mktime(due) - time.mktime(changed) == 2 * 86400
    assert time.mktime(changed) - made["CreateDate"].timestamp() >= 5 * 3600 - 2
    later(5)
    iam.delete_login_profile(UserName="ann")
    row = fresh(iam)["ann"]
    assert row["password_enabled"] == "false"
    for column in ("password_last_used", "password_last_changed", "password_next_rotation"):
        assert row[column] == "N/A"


@pytest.mark.one_process("last uses, which other servers know a minute later")
def test_keys_devices_and_certificates(start_server):
    # A server of its own: a report is not made again for four hours.
    server = start_server()
    root = server.root()
    world = World(root)
    user = world.user(allow("iam:GetUser"))
    iam, name = root.iam, user.name
    second = iam.create_access_key(UserName=name)["AccessKey"]
    iam.update_access_key(UserName=name, AccessKeyId=second["AccessKeyId"], Status="Inactive")
    user.client("iam", region="us-east-1").get_user()
    bodies = [certificate().pem for _ in range(2)]
    made = [
        iam.upload_signing_certificate(UserName=name, CertificateBody=body)["Certificate"]
        for body in bodies
    ]
    iam.update_signing_certificate(
        UserName=name, CertificateId=made[1]["CertificateId"], Status="Inactive"
    )
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]
    seed = base64.b32decode(device["Base32StringSeed"])
    step = int(time.time()) // 30
    iam.enable_mfa_device(
        UserName=name,
        SerialNumber=device["SerialNumber"],
        AuthenticationCode1=code_of(seed, step - 1),
        AuthenticationCode2=code_of(seed, step),
    )
    rows = fresh(iam)
    row = rows[name]
    keys = sorted(
        iam.list_access_keys(UserName=name)["AccessKeyMetadata"], key=lambda key: key["AccessKeyId"]
    )
    for place, key in enumerate(keys, 1):
        assert row[f"access_key_{place}_active"] == str(key["Status"] == "Active").lower()
        assert row[f"access_key_{place}_last_rotated"] == seconds(key["CreateDate"])
        used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"]
        date = seconds(used["LastUsedDate"]) if "LastUsedDate" in used else "N/A"
        assert row[f"access_key_{place}_last_used_date"] == date
        assert row[f"access_key_{place}_last_used_region"] == used["Region"]
        assert row[f"access_key_{place}_last_used_service"] == used["ServiceName"]
        assert (used["ServiceName"] == "iam") == (key["AccessKeyId"] == user.access_key_id)
    assert (row["cert_1_active"], row["cert_2_active"]) == ("false", "true")
    assert row["cert_1_last_rotated"] == seconds(made[1]["UploadDate"])
    assert row["cert_2_last_rotated"] == seconds(made[0]["UploadDate"])
    assert row["mfa_active"] == "true"
    first = rows["<root_account>"]
    assert (first["access_key_1_active"], first["access_key_2_active"]) == ("true", "false")
    assert first["access_key_1_last_used_service"] == "iam"
    assert TIME.fullmatch(first["access_key_1_last_used_date"])
    # No secret, and none of the report in the audit log.
    text = root.iam.get_credential_report()["Content"].decode()
    assert second["SecretAccessKey"] not in text
    event = server.audit_event(lambda event: event["eventName"] == "GetCredentialReport")
    assert event["responseElements"] is None
    server.stop()


def test_last_uses_of_before_a_restart_are_in_the_report(start_server):
    server = start_server()
    world = World(server.root())
    user = world.user(allow("sts:*"))
    user.sts.get_caller_identity()
    server.restart()
    iam = server.root().iam
    row = fresh(iam)[user.name]
    assert row["access_key_1_last_used_service"] == "sts"
    assert row["access_key_1_last_used_region"] == "us-east-1"
    # The report outlives a crash.
    before = iam.get_credential_report()
    server.kill()
    server.start()
    after = server.root().iam.get_credential_report()
    assert all(after[part] == before[part] for part in ("Content", "GeneratedTime"))
    server.stop()


def test_either_operation_needs_its_own_permission(server, root, world):
    generate(root.iam)
    maker = world.user(allow("iam:GenerateCredentialReport"))
    reader = world.user(allow("iam:GetCredentialReport"))
    assert maker.iam.generate_credential_report()["State"] == "COMPLETE"
    assert reader.iam.get_credential_report()["Content"]
    for who, call, action in (
        (maker, maker.iam.get_credential_report, "iam:GetCredentialReport"),
        (reader, reader.iam.generate_credential_report, "iam:GenerateCredentialReport"),
    ):
        assert_denied(refusal(call), who.arn, action, IDENTITY_SILENT)
    denied = world.user(allow("*"), deny("iam:GetCredentialReport"))
    assert refusal(denied.iam.get_credential_report).code == "AccessDenied"


def test_accounts_have_reports_of_their_own(dev, iam):
    generate(iam)
    other = dev.principal("210987654321", "x").iam
    assert refusal(other.get_credential_report).code == "ReportNotPresent"
    rows = fresh(other)
    assert rows["<root_account>"]["arn"] == "arn:aws:iam::210987654321:root"


def test_more_than_two_keys_are_told_of_in_a_further_column(start_server):
    server = start_server("--quota", "iam:access-keys=3", dev=True)
    iam = server.principal("123456789012", "x").iam
    iam.create_user(UserName=unique("user"))
    iam.create_user(UserName="many")
    for _ in range(3):
        iam.create_access_key(UserName="many")
    generate(iam)
    text = iam.get_credential_report()["Content"].decode()
    rows = {row["user"]: row for row in csv.DictReader(io.StringIO(text))}
    assert text.split("\n")[0].split(",") == COLUMNS + ["additional_credentials_info"]
    assert "ListAccessKeys" in rows["many"]["additional_credentials_info"]
    assert rows["<root_account>"]["additional_credentials_info"] == "N/A"
    server.stop()


def test_the_aws_command_line_makes_and_reads_one(aws_command, root):
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

    deadline = time.monotonic() + 60
    while run("generate-credential-report")["State"] != "COMPLETE":
        assert time.monotonic() < deadline
    told = run("get-credential-report", "--query", "{format: ReportFormat, content: Content}")
    assert told["format"] == "text/csv"
    assert base64.b64decode(told["content"]).decode().startswith("user,arn,user_creation_time")
