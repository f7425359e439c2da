"""The `aws` command line as people set it up: profiles, roles, devices, tokens, processes, pages."""

import configparser
import json
import os
import shlex
import subprocess

import pytest

from issuer import AUDIENCE, Issuer, rsa_key
from test_oidc import create, trusted
from totp import Phone
from world import allow, deny, policy, trust, unique


class Shell:
    """A home with the configuration and credentials files of the command line."""

    def __init__(self, aws, home, url):
        self.aws = aws
        self.home = home
        self.url = url
        self.config = configparser.ConfigParser()
        self.credentials = configparser.ConfigParser()

    def profile(self, name, **settings):
        self.config[f"profile {name}"] = {"region": "us-east-1", "endpoint_url": self.url, **settings}
        with open(self.home / "config", "w") as file:
            self.config.write(file)

    def keys(self, name, principal):
        self.credentials[name] = {
            "aws_access_key_id": principal.access_key_id, "aws_secret_access_key": principal.secret,
        }
        with open(self.home / "credentials", "w") as file:
            self.credentials.write(file)
        self.profile(name)

    def run(self, *args, env=None, typed=None):
        # The device's code is read from the terminal, which a session of its own has not, and then
        # from standard input.
        return subprocess.run(
            [self.aws, *map(str, args)],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "AWS_CONFIG_FILE": str(self.home / "config"),
                "AWS_SHARED_CREDENTIALS_FILE": str(self.home / "credentials"),
                "AWS_MAX_ATTEMPTS": "1",
                "AWS_EC2_METADATA_DISABLED": "true",
                **(env or {}),
            },
            input=typed,
            stdin=None if typed else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
        )

    def ok(self, *args, **kwargs):
        done = self.run(*args, **kwargs)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    def whoami(self, profile, **kwargs):
        return self.ok("sts", "get-caller-identity", "--profile", profile, **kwargs)["Arn"]


@pytest.fixture
def shell(aws_command, tmp_path, server):
    return Shell(aws_command, tmp_path, server.url)


def assumed(world, role, session):
    return f"arn:aws:sts::{world.account}:assumed-role/{role.rsplit('/', 1)[1]}/{session}"


def test_configure_writes_what_the_command_then_uses(shell, world, server):
    user = world.user()
    for setting, value in (
        ("aws_access_key_id", user.access_key_id), ("aws_secret_access_key", user.secret),
        ("region", "eu-central-1"), ("endpoint_url", server.url),
    ):
        shell.ok("configure", "set", setting, value, "--profile", "mine")
    assert shell.whoami("mine") == user.user_arn


def test_a_profile_assumes_a_role_from_a_source_profile(shell, world):
    user = world.user(allow("sts:AssumeRole"))
    first = world.role(allow("sts:AssumeRole"))
    second = world.role(
        trusted=[trust(first, Condition={"StringEquals": {"sts:ExternalId": "the-id"}})]
    )
    shell.keys("base", user)
    shell.profile("one", role_arn=first, source_profile="base", role_session_name="one",
                  duration_seconds="900")
    assert shell.whoami("one") == assumed(world, first, "one")
    # A chain, with an external id.
    shell.profile("two", role_arn=second, source_profile="one", role_session_name="two")
    refused = shell.run("sts", "get-caller-identity", "--profile", "two")
    assert refused.returncode == 255 and "(AccessDenied) when calling the AssumeRole" in refused.stderr
    shell.profile("two", role_arn=second, source_profile="one", role_session_name="two",
                  external_id="the-id")
    assert shell.whoami("two") == assumed(world, second, "two")


def test_a_profile_takes_its_source_from_the_environment(shell, world):
    user = world.user(allow("sts:AssumeRole"))
    role = world.role()
    shell.profile("env", role_arn=role, credential_source="Environment", role_session_name="env")
    assert shell.whoami("env", env=user.environment()) == assumed(world, role, "env")


def test_a_profile_asks_for_the_code_of_a_device(shell, world):
    user = world.user(allow("sts:AssumeRole"))
    device = world.iam.create_virtual_mfa_device(VirtualMFADeviceName=user.name)["VirtualMFADevice"]
    phone = Phone.of(device)
    world.iam.enable_mfa_device(UserName=user.name, SerialNumber=phone.serial, **phone.pair(-2))
    role = world.role(
        trusted=[trust(world.account_principal, Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}})]
    )
    shell.keys("base", user)
    settings = {"role_arn": role, "source_profile": "base", "role_session_name": "mfa"}
    shell.profile("without", **settings)
    assert "(AccessDenied)" in shell.run("sts", "get-caller-identity", "--profile", "without").stderr
    shell.profile("with", mfa_serial=phone.serial, **settings)
    wrong = shell.run("sts", "get-caller-identity", "--profile", "with", typed=phone.wrong() + "\n")
    assert "MultiFactorAuthentication failed with invalid MFA one time pass code" in wrong.stderr
    assert shell.whoami("with", typed=phone.code() + "\n") == assumed(world, role, "mfa")


def test_a_profile_shows_a_web_identity_token(shell, world, tmp_path):
    idp = Issuer(path="/cli")
    idp.keys = {"r1": rsa_key()}
    try:
        role = world.role(trusted=[trusted(create(world, idp.url, ClientIDList=[AUDIENCE]))])
        (tmp_path / "token").write_text(idp.token())
        settings = {"role_arn": role, "web_identity_token_file": str(tmp_path / "token")}
        shell.profile("web", role_session_name="pod", **settings)
        assert shell.whoami("web") == assumed(world, role, "pod")
        # As in a pod: all of it in the environment.
        arn = shell.ok(
            "sts", "get-caller-identity",
            env={
                "AWS_ENDPOINT_URL": shell.url, "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
                "AWS_ROLE_SESSION_NAME": "env",
            },
        )["Arn"]
        assert arn == assumed(world, role, "env")
    finally:
        idp.stop()


def test_a_profile_asks_ringfence_for_credentials(shell, world, server, binary, ringfence):
    command = shlex.join(map(str, [binary, "env", *server.place, "--format", "process"]))
    shell.profile("root", credential_process=command)
    assert shell.whoami("root") == world.account_principal
    # As `aws configure export-credentials` prints them.
    printed = json.loads(ringfence("env", *server.place, "--format", "process").stdout)
    assert printed == {
        "Version": 1, "AccessKeyId": world.root.access_key_id, "SecretAccessKey": world.root.secret,
    }
    role = world.role(trusted=[trust(world.account_principal)], name=unique("process"))
    # Root may not assume roles; a user whose keys a process prints may.
    shell.profile("role", role_arn=role, source_profile="root")
    assert "Roles may not be assumed by root accounts" in shell.run(
        "sts", "get-caller-identity", "--profile", "role"
    ).stderr


def test_answers_are_queried_and_cut_into_pages(shell, world):
    shell.keys("root", world.root)
    path = f"/{unique('cli')}/"
    names = sorted(unique("page") for _ in range(5))
    for name in names:
        world.iam.create_user(UserName=name, Path=path)
    listed = ("iam", "list-users", "--path-prefix", path, "--profile", "root")
    assert shell.ok(*listed, "--query", "Users[].UserName") == names
    assert shell.ok(*listed, "--query", f"Users[?UserName=='{names[2]}'] | [0].Path") == path
    assert shell.ok(*listed, "--page-size", "2", "--query", "length(Users)") == 5
    seen, token = [], []
    while True:
        part = shell.ok(*listed, "--max-items", "2", *token)
        seen.append([user["UserName"] for user in part["Users"]])
        if "NextToken" not in part:
            break
        token = ["--starting-token", part["NextToken"]]
    assert seen == [names[:2], names[2:4], names[4:]]
    assert len(shell.ok(*listed, "--no-paginate")["Users"]) == 5
    text = shell.run(*listed, "--output", "text", "--query", "Users[].UserName", "--page-size", "2")
    assert text.stdout.split() == names


@pytest.mark.parametrize("waiter, make, option", [
    ("user-exists", "create-user", "--user-name"),
    ("role-exists", "create-role", "--role-name"),
    ("policy-exists", "create-policy", "--policy-arn"),
    ("instance-profile-exists", "create-instance-profile", "--instance-profile-name"),
])
def test_wait_ends_when_it_is_there(waiter, make, option, shell, world):
    shell.keys("root", world.root)
    name = unique("wait")
    more = {
        "role-exists": ["--assume-role-policy-document", policy(trust(world.account_principal))],
        "policy-exists": ["--policy-document", policy(allow("iam:GetUser"))],
    }.get(waiter, [])
    named = "--policy-name" if waiter == "policy-exists" else option
    shell.ok("iam", make, named, name, *more, "--profile", "root")
    target = world.arn(f"policy/{name}") if waiter == "policy-exists" else name
    shell.ok("iam", "wait", waiter, option, target, "--profile", "root")
    nobody = world.user(deny("*"))
    shell.keys("nobody", nobody)
    denied = shell.run("iam", "wait", waiter, option, target, "--profile", "nobody")
    assert denied.returncode == 255 and "AccessDenied" in denied.stderr
