"""The scenario of the README, by the real `aws` command line, from the first start to a crash."""

import json
import os
import subprocess

import pytest

from clients import IDENTITY_SILENT, SESSION_SILENT, denial_pattern
from ringfence_server import parse_exports
from world import allow, policy, trust


@pytest.fixture
def aws(aws_command, tmp_path):
    """Runs `aws ARGS…` with the exported credentials; JSON answers come back parsed."""

    def run(exports, *args):
        done = subprocess.run(
            [aws_command, *args, "--output", "json"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "AWS_MAX_ATTEMPTS": "1",
                "AWS_EC2_METADATA_DISABLED": "true",
                **exports,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done

    return run


def ok(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


def assert_denied(done, operation, principal, action, reason, resource):
    # 254 from version 2 of the command, 255 from version 1.
    assert done.returncode in (254, 255), done.stdout + done.stderr
    start = f"An error occurred (AccessDenied) when calling the {operation} operation: "
    line = next(line for line in done.stderr.splitlines() if start in line)
    message = line.split(start, 1)[1]
    assert denial_pattern(principal, action, reason, resource).fullmatch(message), message


def exports_of(url, credentials):
    exports = {
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
    }
    if "SessionToken" in credentials:
        exports["AWS_SESSION_TOKEN"] = credentials["SessionToken"]
    return exports


@pytest.mark.one_process("what one process prints")
def test_the_quick_start_is_true_from_the_first_start_to_a_crash(start_server, aws, ringfence):
    server = start_server()
    root = parse_exports(server.stdout)
    assert list(root) == [
        "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION",
    ]
    assert root["AWS_ENDPOINT_URL"] == server.url and root["AWS_DEFAULT_REGION"] == "us-east-1"

    # A user and a key, made by the root user.
    made = ok(aws(root, "iam", "create-user", "--user-name", "deploy"))["User"]
    account = made["Arn"].split(":")[4]
    key = ok(aws(root, "iam", "create-access-key", "--user-name", "deploy"))["AccessKey"]
    deploy = exports_of(server.url, key)
    user_arn = f"arn:aws:iam::{account}:user/deploy"
    assert ok(aws(deploy, "sts", "get-caller-identity"))["Arn"] == user_arn

    # With that key everything is denied, in AWS's words.
    create_other = ("iam", "create-user", "--user-name", "other")
    other_arn = f"arn:aws:iam::{account}:user/other"
    assert_denied(
        aws(deploy, *create_other), "CreateUser", user_arn, "iam:CreateUser", IDENTITY_SILENT, other_arn
    )

    # And now exactly what the policy says is allowed.
    ok(
        aws(
            root, "iam", "put-user-policy", "--user-name", "deploy", "--policy-name", "may",
            "--policy-document", policy(allow("iam:CreateUser", other_arn), allow("sts:AssumeRole")),
        )
    )
    assert ok(aws(deploy, *create_other))["User"]["Arn"] == other_arn
    assert_denied(
        aws(deploy, "iam", "create-user", "--user-name", "third"), "CreateUser", user_arn,
        "iam:CreateUser", IDENTITY_SILENT, f"arn:aws:iam::{account}:user/third",
    )

    # A role; its trust policy decides, and a session policy limits the session.
    role = ok(
        aws(
            root, "iam", "create-role", "--role-name", "reader", "--assume-role-policy-document",
            policy(trust(f"arn:aws:iam::{account}:root")),
        )
    )["Role"]["Arn"]
    ok(
        aws(
            root, "iam", "put-role-policy", "--role-name", "reader", "--policy-name", "may",
            "--policy-document", policy(allow(["iam:GetUser", "iam:GetRole"])),
        )
    )
    session = exports_of(
        server.url,
        ok(
            aws(
                deploy, "sts", "assume-role", "--role-arn", role, "--role-session-name", "work",
                "--policy", policy(allow("iam:GetUser")),
            )
        )["Credentials"],
    )
    session_arn = f"arn:aws:sts::{account}:assumed-role/reader/work"
    assert ok(aws(session, "iam", "get-user", "--user-name", "other"))["User"]["Arn"] == other_arn
    assert_denied(
        aws(session, "iam", "get-role", "--role-name", "reader"), "GetRole", session_arn,
        "iam:GetRole", SESSION_SILENT, role,
    )

    # kill -9 and start again: everything acknowledged is there, and nothing is printed twice.
    server.kill()
    server.start()
    assert key["SecretAccessKey"] not in server.stdout + server.stderr
    assert root["AWS_SECRET_ACCESS_KEY"] not in server.stdout + server.stderr
    names = [user["UserName"] for user in ok(aws(root, "iam", "list-users"))["Users"]]
    assert sorted(names) == ["deploy", "other"]
    assert ok(aws(session, "sts", "get-caller-identity"))["Arn"] == session_arn
    assert_denied(
        aws(deploy, "iam", "delete-user", "--user-name", "other"), "DeleteUser", user_arn,
        "iam:DeleteUser", IDENTITY_SILENT, other_arn,
    )

    # The owner of the data directory can have the root credentials printed again.
    assert parse_exports(ringfence("env", *server.place).stdout)["AWS_SECRET_ACCESS_KEY"] == (
        root["AWS_SECRET_ACCESS_KEY"]
    )
    assert server.stop() == 0
