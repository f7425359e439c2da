"""Console passwords of users: login profiles, ChangePassword and the account's password policy.

Texts marked [rec] are recordings of AWS's answers, kept by LocalStack in
tests/aws/services/iam/*.snapshot.json (2026). The rules of policies are told character by character
beside the code (`password_policy.rs`); here is what a client sees of them.
"""

import json
import re
import subprocess
import time
from datetime import datetime, timedelta, timezone

import pytest

from clients import IDENTITY_DENY, IDENTITY_SILENT, assert_denied, refusal
from world import World, allow, deny, unique

GOOD = "Abcdefg1!"
OTHER = "Bcdefgh2!"
FLAGS = (
    "RequireSymbols", "RequireNumbers", "RequireUppercaseCharacters",
    "RequireLowercaseCharacters", "AllowUsersToChangePassword",
)


@pytest.fixture(scope="module")
def iam(root):
    return root.iam


@pytest.fixture
def policy_of(iam):
    """Sets the account's password policy for one test."""

    def put(**parameters):
        iam.update_account_password_policy(**parameters)

    yield put
    try:
        iam.delete_account_password_policy()
    except iam.exceptions.NoSuchEntityException:
        pass


@pytest.fixture
def user(world):
    """A user that may change its password, and has one."""
    made = world.user(allow("iam:ChangePassword", "arn:aws:iam::*:user/${aws:username}"))
    world.iam.create_login_profile(UserName=made.name, Password=GOOD)
    return made


def expect(code, status, message, call, **parameters):
    refused = refusal(call, **parameters)
    assert (refused.code, refused.status) == (code, status), str(refused)
    assert re.fullmatch(message, refused.message), str(refused)


def violates(call, message=".+", **parameters):
    expect("PasswordPolicyViolation", 400, message, call, **parameters)


def change(user, old, new):
    return user.iam.change_password(OldPassword=old, NewPassword=new)


# --- the password policy -----------------------------------------------------------------------


def test_a_policy_has_aws_defaults_where_nothing_is_given(iam, policy_of):
    policy_of()
    # [rec]
    assert iam.get_account_password_policy()["PasswordPolicy"] == {
        "MinimumPasswordLength": 6, "ExpirePasswords": False, **dict.fromkeys(FLAGS, False),
    }


def test_a_policy_is_what_was_set_and_replaced_whole(iam, policy_of):
    given = {
        "MinimumPasswordLength": 10, "MaxPasswordAge": 60, "PasswordReusePrevention": 3,
        "HardExpiry": True, **dict.fromkeys(FLAGS, True),
    }
    policy_of(**given)
    # [rec]
    policy = iam.get_account_password_policy()["PasswordPolicy"]
    assert policy == {**given, "ExpirePasswords": True}
    policy_of(RequireNumbers=True)
    policy = iam.get_account_password_policy()["PasswordPolicy"]
    assert policy["RequireNumbers"] and policy["MinimumPasswordLength"] == 6
    assert not policy["RequireSymbols"] and "MaxPasswordAge" not in policy


def test_an_account_without_a_policy_says_so(iam, world):
    # [rec]
    missing = f"The Password Policy with domain name {world.account} cannot be found."
    expect("NoSuchEntity", 404, re.escape(missing), iam.get_account_password_policy)
    expect(
        "NoSuchEntity", 404, "The account policy with name PasswordPolicy cannot be found.",
        iam.delete_account_password_policy,
    )
    iam.update_account_password_policy()
    iam.delete_account_password_policy()
    expect("NoSuchEntity", 404, re.escape(missing), iam.get_account_password_policy)


@pytest.mark.parametrize(
    "parameter,below,above",
    [
        ("MinimumPasswordLength", 5, 129),
        ("MaxPasswordAge", 0, 1096),
        ("PasswordReusePrevention", 0, 25),
    ],
)
def test_a_number_out_of_bounds_is_refused(root, iam, parameter, below, above):
    for value in (below, above):
        refused = refusal(
            root.iam_unchecked.update_account_password_policy, **{parameter: value}
        )
        assert (refused.code, refused.status) == ("ValidationError", 400), str(refused)
    assert refusal(iam.get_account_password_policy).code == "NoSuchEntity"


# --- login profiles ----------------------------------------------------------------------------


def test_a_login_profile_lives_and_ends(iam, world):
    user = world.user()
    made = iam.create_login_profile(UserName=user.name, Password=GOOD)["LoginProfile"]
    assert (made["UserName"], made["PasswordResetRequired"]) == (user.name, False)
    assert abs(datetime.now(timezone.utc) - made["CreateDate"]) < timedelta(minutes=2)
    assert iam.get_login_profile(UserName=user.name)["LoginProfile"] == made
    iam.update_login_profile(UserName=user.name, Password=OTHER, PasswordResetRequired=True)
    updated = iam.get_login_profile(UserName=user.name)["LoginProfile"]
    assert updated == {**made, "PasswordResetRequired": True}
    # What is not given stays.
    iam.update_login_profile(UserName=user.name)
    iam.update_login_profile(UserName=user.name, Password=GOOD)
    assert iam.get_login_profile(UserName=user.name)["LoginProfile"] == updated
    iam.delete_login_profile(UserName=user.name)
    # [rec]
    gone = f"Login Profile for User {user.name} cannot be found."
    for call in (iam.get_login_profile, iam.delete_login_profile, iam.update_login_profile):
        expect("NoSuchEntity", 404, gone, call, UserName=user.name)


def test_a_second_login_profile_is_refused(iam, user):
    # [rec]
    expect(
        "EntityAlreadyExists", 409, f"Login Profile for user {user.name} already exists.",
        iam.create_login_profile, UserName=user.name, Password=OTHER,
    )


def test_a_user_that_is_not_there_has_none(iam):
    name = unique("none")
    # [rec]
    missing = f"The user with name {name} cannot be found."
    for call, more in [
        (iam.create_login_profile, {"Password": GOOD}),
        (iam.get_login_profile, {}),
        (iam.update_login_profile, {"Password": GOOD}),
        (iam.delete_login_profile, {}),
    ]:
        expect("NoSuchEntity", 404, missing, call, UserName=name, **more)


def test_a_user_that_names_none_means_itself_and_others_must_name_one(root, world):
    user = world.user(allow("iam:*LoginProfile"))
    made = user.iam.create_login_profile(Password=GOOD)["LoginProfile"]
    assert made["UserName"] == user.name
    assert user.iam.get_login_profile()["LoginProfile"] == made
    user.iam.delete_login_profile()
    session = world.user(allow("sts:AssumeRole")).assume(world.role(allow("iam:*")))
    for caller in (root, session):
        for call, more in [
            (caller.iam.create_login_profile, {"Password": GOOD}),
            (caller.iam.get_login_profile, {}),
            (caller.iam.delete_login_profile, {}),
        ]:
            expect(
                "ValidationError", 400,
                "Must specify userName when calling with non-User credentials", call, **more,
            )


def test_a_login_profile_needs_a_password(iam, world):
    user = world.user()
    expect(
        "ValidationError", 400, ".*'password' failed to satisfy constraint.*",
        iam.create_login_profile, UserName=user.name,
    )
    assert refusal(iam.get_login_profile, UserName=user.name).code == "NoSuchEntity"


def test_a_password_is_of_characters_that_aws_takes(root, world):
    user = world.user()
    for password in ("", "a" * 129, "Abcdefg1\u0100", "Abcdefg1\u0007"):
        refused = refusal(
            root.iam_unchecked.create_login_profile, UserName=user.name, Password=password
        )
        assert (refused.code, refused.status) == ("ValidationError", 400), str(refused)
        assert "Abcdefg1" not in refused.message
    root.iam.create_login_profile(UserName=user.name, Password="\u00ff \t" + "Abcdefg1" * 15)


def test_a_user_with_a_password_is_not_deleted(iam, world):
    name = unique("user")
    iam.create_user(UserName=name)
    iam.create_login_profile(UserName=name, Password=GOOD)
    expect(
        "DeleteConflict", 409, "Cannot delete entity, must delete login profile first.",
        iam.delete_user, UserName=name,
    )
    iam.delete_login_profile(UserName=name)
    iam.delete_user(UserName=name)


def test_a_password_that_was_never_used_is_not_told_as_used(iam, user):
    assert "PasswordLastUsed" not in iam.get_user(UserName=user.name)["User"]
    assert not [one for one in iam.list_users()["Users"] if "PasswordLastUsed" in one]


# --- what a policy asks of a password ----------------------------------------------------------

DEFAULT_UPPER_OR_SYMBOL = (
    # https://github.com/redhat-cop/agnosticd/pull/6594
    "Password should meet 1 more of the following requirements: Password should have at least one "
    "uppercase letter, Password should have at least one symbol"
)
# What the policy asks for; a password that has it; one that has it not; what is told.
MATRIX = [
    (None, "Abcdefg1", "abcdefg1", DEFAULT_UPPER_OR_SYMBOL),
    (None, "abcdef1!", "abcde1!", "Password should have a minimum length of 8"),
    ({}, "aaaaaa", "aaaaa", "Password should have a minimum length of 6"),
    (
        {"MinimumPasswordLength": 14}, "a" * 14, "a" * 13,
        "Password should have a minimum length of 14",
    ),
    (
        {"RequireUppercaseCharacters": True}, "aaaaaA", "aaaaa1",
        "Password should have at least one uppercase letter",
    ),
    (
        {"RequireLowercaseCharacters": True}, "AAAAAa", "AAAAA1",
        "Password should have at least one lowercase letter",
    ),
    ({"RequireNumbers": True}, "aaaaa1", "aaaaa!", "Password should have at least one number"),
    ({"RequireSymbols": True}, "aaaaa|", "aaaaa.", "Password should have at least one symbol"),
    (
        {"MinimumPasswordLength": 8, "RequireNumbers": True, "RequireSymbols": True},
        "aaaaaa1!", "aaaaaa",
        "Password should have a minimum length of 8, Password should have at least one number, "
        "Password should have at least one symbol",
    ),
]


@pytest.mark.parametrize("asked,good,bad,told", MATRIX, ids=[row[2] + str(row[0]) for row in MATRIX])
def test_every_way_to_set_a_password_keeps_the_policy(
    iam, world, policy_of, asked, good, bad, told
):
    user = world.user(allow("iam:ChangePassword"))
    if asked is not None:
        policy_of(**asked)
    told = re.escape(told)
    violates(iam.create_login_profile, told, UserName=user.name, Password=bad)
    assert refusal(iam.get_login_profile, UserName=user.name).code == "NoSuchEntity"
    iam.create_login_profile(UserName=user.name, Password=good)
    violates(iam.update_login_profile, told, UserName=user.name, Password=bad)
    violates(user.iam.change_password, told, OldPassword=good, NewPassword=bad)
    # The old one is still the password.
    change(user, good, good + "x")


def test_passwords_that_the_policy_remembers_are_refused(iam, user, policy_of):
    reused = re.escape(
        "Policy constraint violation with password reuse prevention during password change."
    )
    change(user, GOOD, "Second-2")
    policy_of(PasswordReusePrevention=2)
    change(user, "Second-2", "Third-33")
    for password in ("Second-2", "Third-33"):
        violates(
            user.iam.change_password, reused, OldPassword="Third-33", NewPassword=password
        )
        violates(iam.update_login_profile, reused, UserName=user.name, Password=password)
    # Three passwords ago.
    iam.update_login_profile(UserName=user.name, Password=GOOD)
    change(user, GOOD, "Fourth-4")
    # Without a policy none is remembered, but for the one that is to be changed.
    iam.delete_account_password_policy()
    change(user, "Fourth-4", GOOD)
    violates(user.iam.change_password, reused, OldPassword=GOOD, NewPassword=GOOD)


# --- a user changes its own --------------------------------------------------------------------


def test_a_user_changes_its_own_password(iam, user):
    iam.update_login_profile(UserName=user.name, PasswordResetRequired=True)
    wrong = re.escape("The old password was incorrect.")
    expect("AccessDenied", 403, wrong, user.iam.change_password, OldPassword=OTHER,
           NewPassword="Cdefghi3!")
    change(user, GOOD, OTHER)
    expect("AccessDenied", 403, wrong, user.iam.change_password, OldPassword=GOOD,
           NewPassword="Cdefghi3!")
    assert iam.get_login_profile(UserName=user.name)["LoginProfile"]["PasswordResetRequired"] is False
    change(user, OTHER, GOOD)


def test_only_a_user_with_a_password_changes_one(root, world):
    user = world.user(allow("iam:ChangePassword"))
    expect(
        "NoSuchEntity", 404, f"Login Profile for User {user.name} cannot be found.",
        user.iam.change_password, OldPassword=GOOD, NewPassword=OTHER,
    )
    session = world.user(allow("sts:AssumeRole")).assume(world.role(allow("iam:*")))
    for caller in (root, session):
        expect(
            "InvalidUserType", 400, "Only IAM Users can change their own password.",
            caller.iam.change_password, OldPassword=GOOD, NewPassword=OTHER,
        )


def test_users_may_where_the_account_says_so_and_no_policy_denies(iam, world, policy_of):
    user = world.user(path="/a/b/")
    iam.create_login_profile(UserName=user.name, Password=GOOD)
    passwords = {"OldPassword": GOOD, "NewPassword": OTHER}
    for _ in range(2):
        refused = refusal(user.iam.change_password, **passwords)
        assert_denied(refused, user.arn, "iam:ChangePassword", IDENTITY_SILENT, user.arn)
        refused = refusal(user.iam.get_account_password_policy)
        assert_denied(refused, user.arn, "iam:GetAccountPasswordPolicy", IDENTITY_SILENT)
        policy_of()
    policy_of(AllowUsersToChangePassword=True)
    change(user, GOOD, OTHER)
    assert user.iam.get_account_password_policy()["PasswordPolicy"]
    # Its own and nothing more.
    refused = refusal(user.iam.update_login_profile, UserName=user.name, Password=GOOD)
    assert_denied(refused, user.arn, "iam:UpdateLoginProfile", IDENTITY_SILENT, user.arn)
    barred = world.user(deny("iam:ChangePassword"))
    refused = refusal(barred.iam.change_password, **passwords)
    assert_denied(refused, barred.arn, "iam:ChangePassword", IDENTITY_DENY, barred.arn)


# --- who may -----------------------------------------------------------------------------------


@pytest.mark.parametrize("exists", [True, False])
def test_nobody_hears_of_passwords_without_the_right_to(iam, world, exists):
    caller = world.user()
    target = world.user().name if exists else unique("none")
    if exists:
        iam.create_login_profile(UserName=target, Password=GOOD)
    arn = world.arn(f"user/{target}")
    for action, call, more in [
        ("iam:CreateLoginProfile", caller.iam.create_login_profile, {"Password": "short"}),
        ("iam:GetLoginProfile", caller.iam.get_login_profile, {}),
        ("iam:UpdateLoginProfile", caller.iam.update_login_profile, {"Password": "short"}),
        ("iam:DeleteLoginProfile", caller.iam.delete_login_profile, {}),
    ]:
        refused = refusal(call, UserName=target, **more)
        assert_denied(refused, caller.arn, action, IDENTITY_SILENT, arn)
    for action, call in [
        ("iam:UpdateAccountPasswordPolicy", caller.iam.update_account_password_policy),
        ("iam:GetAccountPasswordPolicy", caller.iam.get_account_password_policy),
        ("iam:DeleteAccountPasswordPolicy", caller.iam.delete_account_password_policy),
    ]:
        assert_denied(refusal(call), caller.arn, action, IDENTITY_SILENT)


def test_a_right_to_one_login_profile_is_no_right_to_another(iam, world):
    mine = world.user()
    caller = world.user(allow("iam:CreateLoginProfile", mine.arn))
    caller.iam.create_login_profile(UserName=mine.name, Password=GOOD)
    other = world.user()
    refused = refusal(caller.iam.create_login_profile, UserName=other.name, Password=GOOD)
    assert_denied(refused, caller.arn, "iam:CreateLoginProfile", IDENTITY_SILENT, other.arn)


# --- what is kept, and what is not --------------------------------------------------------------


def test_passwords_and_their_policy_survive_kill_9(start_server):
    server = start_server()
    world = World(server.root())
    user = world.user(allow("iam:ChangePassword"))
    world.iam.create_login_profile(
        UserName=user.name, Password=GOOD, PasswordResetRequired=True
    )
    world.iam.update_account_password_policy(PasswordReusePrevention=5, MaxPasswordAge=7)
    profile = world.iam.get_login_profile(UserName=user.name)["LoginProfile"]
    change(user, GOOD, OTHER)
    server.kill()
    server.start()
    iam, user = server.root().iam, server.principal(user.access_key_id, user.secret)
    kept = iam.get_login_profile(UserName=profile["UserName"])["LoginProfile"]
    assert kept == {**profile, "PasswordResetRequired": False}
    assert iam.get_account_password_policy()["PasswordPolicy"]["MaxPasswordAge"] == 7
    # The passwords are those of before, the one that is only remembered too.
    violates(user.iam.change_password, ".*reuse.*", OldPassword=OTHER, NewPassword=GOOD)
    change(user, OTHER, "Cdefghi3!")


def test_no_password_is_in_the_audit_log(server, iam, world):
    user = world.user(allow("iam:ChangePassword"))
    passwords = ["Zq7-first-1", "Zq7-second-2", "Zq7-third-3", "Zq7-wrong-4"]
    first, second, third, wrong = passwords
    iam.create_login_profile(UserName=user.name, Password=first)
    iam.update_login_profile(UserName=user.name, Password=second)
    change(user, second, third)
    refusal(user.iam.change_password, OldPassword=wrong, NewPassword=first)
    event = server.audit_event(
        lambda event: event["eventName"] == "ChangePassword"
        and event["userIdentity"].get("userName") == user.name
        and "errorCode" in event
    )
    assert event["errorCode"] == "AccessDenied"
    time.sleep(0.3)
    text = server.audit_text()
    assert user.name in text
    assert not [password for password in passwords if password in text]


# --- the aws command line ----------------------------------------------------------------------


def test_the_command_line_manages_passwords(aws_command, tmp_path, world, policy_of):
    user = world.user(allow("iam:ChangePassword"))

    def aws(principal, *arguments):
        return subprocess.run(
            [aws_command, "iam", *arguments, "--output", "json"],
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **principal.environment(),
                 "AWS_MAX_ATTEMPTS": "1"},
            capture_output=True, text=True, timeout=60,
        )

    policy_of(MinimumPasswordLength=12)
    done = aws(world.root, "create-login-profile", "--user-name", user.name,
               "--password", "too-short", "--password-reset-required")
    assert done.returncode != 0 and "PasswordPolicyViolation" in done.stderr
    assert "Password should have a minimum length of 12" in done.stderr
    done = aws(world.root, "create-login-profile", "--user-name", user.name,
               "--password", "long-enough-1", "--password-reset-required")
    assert json.loads(done.stdout)["LoginProfile"]["PasswordResetRequired"] is True, done.stderr
    done = aws(user, "change-password", "--old-password", "long-enough-1",
               "--new-password", "long-enough-2")
    assert done.returncode == 0, done.stderr
    done = aws(world.root, "get-account-password-policy")
    assert json.loads(done.stdout)["PasswordPolicy"]["MinimumPasswordLength"] == 12, done.stderr
