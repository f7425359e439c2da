"""Two accounts in one server cannot see or touch each other but by policy on both sides."""

import json
from dataclasses import dataclass

import pytest
from botocore.exceptions import ClientError

from clients import IDENTITY_SILENT, TRUST_SILENT, Principal, assert_denied, refusal
from ringfence_server import parse_exports
from world import World, allow, policy, tags, trust, unique


@dataclass
class Accounts:
    first: World
    second: World


@pytest.fixture(scope="module")
def accounts(start_server, ringfence):
    server = start_server()
    server.stop()
    made = ringfence("account", "create", *server.place, "--name", "second")
    exports = parse_exports(made.stdout)
    assert set(exports) == {
        "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION",
    }
    server.start()
    second = server.principal(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
    yield Accounts(World(server.root()), World(second))
    server.stop()


def test_the_accounts_have_different_ids_and_root_users(accounts):
    first, second = accounts.first, accounts.second
    assert first.account != second.account
    assert second.root.arn == f"arn:aws:iam::{second.account}:root"


def test_one_name_is_two_users_in_two_accounts(accounts):
    name = unique("same")
    first = accounts.first.iam.create_user(UserName=name, Path="/one/")["User"]
    second = accounts.second.iam.create_user(UserName=name, Path="/two/")["User"]
    assert first["UserId"] != second["UserId"] and first["Arn"] != second["Arn"]
    accounts.second.iam.delete_user(UserName=name)
    assert accounts.first.iam.get_user(UserName=name)["User"] == first


def test_why_a_call_was_denied_is_told_to_its_own_account_alone(accounts):
    with pytest.raises(ClientError) as raised:
        accounts.first.user().iam.list_users()
    headers = raised.value.response["ResponseMetadata"]["HTTPHeaders"]
    message = headers["x-ringfence-authorization-message"]
    refused = refusal(accounts.second.root.sts.decode_authorization_message, EncodedMessage=message)
    assert refused.code == "InvalidAuthorizationMessageException"
    decoded = accounts.first.root.sts.decode_authorization_message(EncodedMessage=message)
    assert "iam:ListUsers" in decoded["DecodedMessage"]


def test_a_denial_tells_nothing_of_a_role_of_another_account(accounts):
    role = accounts.second.role(tagged={"Project": "merger"}, path="/hidden/")
    user = accounts.first.user(allow("sts:AssumeRole"))
    told = []
    for arn in (role, role + "x"):
        with pytest.raises(ClientError) as raised:
            user.sts.assume_role(RoleArn=arn, RoleSessionName="one")
        headers = raised.value.response["ResponseMetadata"]["HTTPHeaders"]
        message = headers["x-ringfence-authorization-message"]
        decode = accounts.first.root.sts.decode_authorization_message
        told.append(decode(EncodedMessage=message)["DecodedMessage"])
    assert all("merger" not in text and "ResourceTag" not in text for text in told)
    keys = [
        {one["key"] for one in json.loads(text)["context"]["conditions"]["items"]} for text in told
    ]
    assert keys[0] == keys[1]


def listings(world):
    """Every name, ARN and id that the account's root user can list."""
    iam = world.iam
    return str(
        [
            iam.list_users()["Users"],
            iam.list_groups()["Groups"],
            iam.list_roles()["Roles"],
            iam.list_policies(Scope="Local")["Policies"],
            iam.list_instance_profiles()["InstanceProfiles"],
        ]
    )


def test_lists_show_one_account_only(accounts):
    names = {}
    for world in (accounts.first, accounts.second):
        made = [world.user().name, world.group(), world.role().rsplit("/", 1)[1]]
        made.append(world.managed_policy(allow("*")).rsplit("/", 1)[1])
        profile = unique("profile")
        world.iam.create_instance_profile(InstanceProfileName=profile)
        names[world.account] = made + [profile]
    first, second = accounts.first, accounts.second
    shown = listings(first)
    assert all(name in shown for name in names[first.account])
    assert not any(name in shown for name in names[second.account])
    assert second.account not in shown


def test_root_of_one_account_reaches_nothing_of_another_by_name_or_arn(accounts):
    other = accounts.second
    victim, group = other.user(), other.group()
    role, arn = other.role(), other.managed_policy(allow("*"))
    iam = accounts.first.iam
    attempts = {
        "get_user": lambda: iam.get_user(UserName=victim.name),
        "delete_user": lambda: iam.delete_user(UserName=victim.name),
        "create_access_key": lambda: iam.create_access_key(UserName=victim.name),
        "put_user_policy": lambda: iam.put_user_policy(
            UserName=victim.name, PolicyName="p", PolicyDocument=policy(allow("*"))
        ),
        "delete_group": lambda: iam.delete_group(GroupName=group),
        "get_role": lambda: iam.get_role(RoleName=role.rsplit("/", 1)[1]),
        "get_policy": lambda: iam.get_policy(PolicyArn=arn),
        "create_policy_version": lambda: iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=policy(allow("s3:*"))
        ),
        "delete_policy": lambda: iam.delete_policy(PolicyArn=arn),
        "tag_policy": lambda: iam.tag_policy(PolicyArn=arn, Tags=tags(a="1")),
        "delete_access_key": lambda: iam.delete_access_key(AccessKeyId=victim.access_key_id),
        "get_access_key_last_used": lambda: iam.get_access_key_last_used(
            AccessKeyId=victim.access_key_id
        ),
    }
    for name, attempt in attempts.items():
        refused = refusal(attempt)
        assert refused.code in ("NoSuchEntity", "AccessDenied"), f"{name}: {refused}"
    assert victim.identity["Account"] == other.account
    assert other.iam.list_user_policies(UserName=victim.name)["PolicyNames"] == []
    assert other.iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"


def test_a_policy_of_another_account_cannot_be_attached(accounts):
    arn = accounts.second.managed_policy(allow("*"))
    user = accounts.first.user()
    refused = refusal(accounts.first.iam.attach_user_policy, UserName=user.name, PolicyArn=arn)
    assert refused.code in ("NoSuchEntity", "InvalidInput", "AccessDenied"), str(refused)
    assert refusal(user.iam.list_users).code == "AccessDenied"


def test_an_allow_on_another_accounts_resource_reaches_nothing_there(accounts):
    victim = accounts.second.user()
    spy = accounts.first.user(allow("iam:*", "*"), allow("iam:*", f"{victim.arn}"))
    refused = refusal(spy.iam.get_user, UserName=victim.name)
    assert refused.code == "NoSuchEntity", str(refused)


def may_assume(caller, role):
    try:
        session = caller.assume(role)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied"
        return False
    assert session.account == role.split(":")[4]
    return True


@pytest.mark.parametrize("trusts", ["nobody", "the_account", "the_user"])
@pytest.mark.parametrize("allows", [False, True], ids=["no_policy", "a_policy"])
def test_a_role_of_another_account_takes_trust_and_a_policy(trusts, allows, accounts):
    # IAM User Guide, "Cross-account policy evaluation logic": unlike within one account, a trust
    # policy that names the user is not enough by itself.
    role_arn = accounts.second.arn("role/*")
    caller = accounts.first.user(*([allow("sts:AssumeRole", role_arn)] if allows else []))
    principal = {
        "nobody": accounts.second.account_principal,
        "the_account": accounts.first.account_principal,
        "the_user": caller.arn,
    }[trusts]
    role = accounts.second.role(trusted=[trust(principal)])
    allowed = may_assume(caller, role)
    assert allowed is (allows and trusts != "nobody")
    if allowed:
        return
    refused = refusal(caller.sts.assume_role, RoleArn=role, RoleSessionName="session")
    if trusts != "nobody":
        assert_denied(refused, caller.arn, "sts:AssumeRole", IDENTITY_SILENT, role)
    elif allows:
        assert_denied(refused, caller.arn, "sts:AssumeRole", TRUST_SILENT, role)


def test_a_session_in_another_account_has_that_accounts_rights_only(accounts):
    caller = accounts.first.user(allow("*"))
    role = accounts.second.role(
        allow("iam:ListUsers"), trusted=[trust(accounts.first.account_principal)]
    )
    there = accounts.second.user()
    session = caller.assume(role)
    assert session.account == accounts.second.account
    listed = {user["UserName"] for user in session.iam.list_users()["Users"]}
    assert there.name in listed and caller.name not in listed


def test_conditions_tell_the_account_of_the_caller_and_of_the_resource(accounts):
    caller = accounts.first.user(
        allow(
            "sts:AssumeRole",
            Condition={"StringEquals": {"aws:ResourceAccount": accounts.second.account}},
        )
    )
    trusted = [
        trust(
            "*", Condition={"StringEquals": {"aws:PrincipalAccount": accounts.first.account}}
        )
    ]
    there = accounts.second.role(trusted=trusted)
    here = accounts.first.role(trusted=[trust(accounts.first.account_principal)])
    assert may_assume(caller, there)
    assert not may_assume(caller, here)
    stranger = accounts.second.user(allow("*"))
    assert not may_assume(stranger, there)


def test_an_access_key_of_another_account_is_told_to_anyone_who_holds_its_id(accounts):
    # GetAccessKeyInfo, API reference: it answers for keys of other accounts too.
    asker: Principal = accounts.first.user(allow("sts:GetAccessKeyInfo"))
    victim = accounts.second.user()
    answer = asker.sts.get_access_key_info(AccessKeyId=victim.access_key_id)
    assert answer["Account"] == accounts.second.account


def test_both_accounts_survive_a_crash(start_server, ringfence):
    server = start_server()
    server.stop()
    made = ringfence("account", "create", *server.place, "--name", "second")
    exports = parse_exports(made.stdout)
    server.start()
    second = server.principal(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
    second.iam.create_user(UserName="kept")
    server.root().iam.create_user(UserName="kept-too")
    server.kill()
    server.start()
    assert [user["UserName"] for user in second.iam.list_users()["Users"]] == ["kept"]
    names = [user["UserName"] for user in server.root().iam.list_users()["Users"]]
    assert names == ["kept-too"]
    server.stop()


@pytest.mark.one_process("a data directory that one process has to itself")
def test_an_account_is_not_made_while_the_server_runs(start_server, ringfence):
    server = start_server()
    done = ringfence("account", "create", *server.place, "--name", "second", check=False)
    assert done.returncode != 0 and "AWS_SECRET_ACCESS_KEY" not in done.stdout
    assert server.root().account
    server.stop()
