"""An account's alias, its properties, and the tokens of STS's global endpoint.

A second alias takes the place of the first: https://github.com/floci-io/floci/pull/2103 (observed).
"""

import json
import re
import subprocess
import threading

import pytest

from clients import IDENTITY_SILENT, assert_denied, refusal
from ringfence_server import parse_exports
from world import World, allow, unique


@pytest.fixture(scope="module")
def iam(root):
    return root.iam


@pytest.fixture(scope="module")
def second(start_server, ringfence):
    """Two accounts of a server of their own."""
    server = start_server()
    server.stop()
    made = ringfence("account", "create", *server.place, "--name", "second")
    exports = parse_exports(made.stdout)
    server.start()
    other = server.principal(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
    yield World(server.root()), World(other), server
    server.stop()


def aliases(iam):
    answer = iam.list_account_aliases()
    assert answer["IsTruncated"] is False
    return answer["AccountAliases"]


def test_an_account_has_one_alias_the_last_that_it_was_given(iam):
    first, then = unique("alias"), unique("alias")
    assert aliases(iam) == []
    iam.create_account_alias(AccountAlias=first)
    assert aliases(iam) == [first]
    iam.create_account_alias(AccountAlias=then)
    assert aliases(iam) == [then]
    assert list(iam.get_paginator("list_account_aliases").paginate())[0]["AccountAliases"] == [then]
    # What AWS shows for the root user's name.
    assert iam.get_user()["User"]["UserName"] == then
    refused = refusal(iam.delete_account_alias, AccountAlias=first)
    assert (refused.code, refused.status) == ("NoSuchEntity", 404)
    iam.delete_account_alias(AccountAlias=then)
    assert aliases(iam) == []
    assert re.fullmatch(r"\d{12}", iam.get_user()["User"]["UserName"])


def test_an_alias_is_of_one_account_alone(second):
    first, other, _ = second
    alias = unique("shared")
    first.iam.create_account_alias(AccountAlias=alias)
    for world in (first, other):
        refused = refusal(world.iam.create_account_alias, AccountAlias=alias)
        assert (refused.code, refused.status) == ("EntityAlreadyExists", 409)
        # https://github.com/awslabs/aws-deployment-framework/pull/465
        assert refused.message == f"The account alias {alias} already exists."
    refused = refusal(other.iam.delete_account_alias, AccountAlias=alias)
    assert refused.code == "NoSuchEntity" and aliases(first.iam) == [alias]
    # Replaced, it is free.
    first.iam.create_account_alias(AccountAlias=unique("shared"))
    other.iam.create_account_alias(AccountAlias=alias)
    other.iam.delete_account_alias(AccountAlias=alias)
    first.iam.create_account_alias(AccountAlias=alias)
    first.iam.delete_account_alias(AccountAlias=alias)


def test_of_many_at_once_one_gets_an_alias(second):
    first, other, _ = second
    for _ in range(5):
        alias, won = unique("race"), []

        def create(world):
            try:
                world.root.client("iam").create_account_alias(AccountAlias=alias)
                won.append(world)
            except world.iam.exceptions.EntityAlreadyExistsException:
                pass

        threads = [threading.Thread(target=create, args=(w,)) for w in (first, other) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        have = [world for world in (first, other) if aliases(world.iam) == [alias]]
        assert have == won
        won[0].iam.delete_account_alias(AccountAlias=alias)


def test_settings_survive_kill_9_and_an_alias_stays_unique(second):
    first, other, server = second
    alias = unique("kept")
    first.iam.create_account_alias(AccountAlias=alias)
    first.iam.put_account_properties(Properties={"Feature/Enabled": "true"})
    first.iam.set_security_token_service_preferences(GlobalEndpointTokenVersion="v2Token")
    server.kill()
    server.start()
    iam = server.root().iam
    assert aliases(iam) == [alias]
    assert iam.get_account_properties()["Properties"] == {"Feature/Enabled": "true"}
    assert iam.get_account_summary()["SummaryMap"]["GlobalEndpointTokenVersion"] == 2
    again = server.principal(other.root.access_key_id, other.root.secret).iam
    assert refusal(again.create_account_alias, AccountAlias=alias).code == "EntityAlreadyExists"
    assert not again.get_account_properties().get("Properties")


@pytest.mark.parametrize(
    "alias", ["ab", "a" * 64, "-abc", "abc-", "a--b", "Abc", "a_b", "a.b", "äbc", "123456789012"]
)
def test_an_alias_is_well_formed(root, iam, alias):
    refused = refusal(root.iam_unchecked.create_account_alias, AccountAlias=alias)
    assert (refused.code, refused.status) == ("ValidationError", 400), str(refused)
    assert aliases(iam) == []


def test_the_longest_and_the_shortest_alias_are_taken(iam):
    for alias in ("a" * 63, "1-2"):
        iam.create_account_alias(AccountAlias=alias)
        iam.delete_account_alias(AccountAlias=alias)


def test_properties_are_merged_and_read(iam):
    iam.put_account_properties(Properties={"Colour/Front": "red", "Colour/Back": "blue"})
    iam.put_account_properties(Properties={"Colour/Back": "green"})
    iam.put_account_properties(Properties={"Shape/Front": "round"})
    assert iam.get_account_properties()["Properties"] == {
        "Colour/Front": "red", "Colour/Back": "green", "Shape/Front": "round",
    }
    for properties in (
        {"Colour/Front": "x", "Shape/Front": "y"}, {"Colour": "x"}, {"Colour/": "x"},
        {"Colour/a/b": "x"}, {},
    ):
        refused = refusal(iam.put_account_properties, Properties=properties)
        assert (refused.code, refused.status) in [("InvalidInput", 400), ("ValidationError", 400)]
    assert iam.get_account_properties()["Properties"]["Colour/Front"] == "red"


def test_a_namespace_may_be_all_that_is_allowed(world, iam):
    only = {"ForAllValues:StringEquals": {"iam:AccountPropertyNamespaces": "Mine"}}
    user = world.user(allow("iam:PutAccountProperties", Condition=only))
    user.iam.put_account_properties(Properties={"Mine/x": "1"})
    refused = refusal(user.iam.put_account_properties, Properties={"Yours/x": "1"})
    assert_denied(refused, user.arn, "iam:PutAccountProperties", IDENTITY_SILENT)
    assert "Yours/x" not in iam.get_account_properties()["Properties"]


def test_the_token_version_is_the_first_until_another_is_asked_for(root, iam):
    def version():
        return iam.get_account_summary()["SummaryMap"]["GlobalEndpointTokenVersion"]

    # Recorded: LocalStack, test_iam_account_summary.snapshot.json.
    assert version() == 1
    iam.set_security_token_service_preferences(GlobalEndpointTokenVersion="v2Token")
    assert version() == 2
    iam.set_security_token_service_preferences(GlobalEndpointTokenVersion="v1Token")
    assert version() == 1
    refused = refusal(
        root.iam_unchecked.set_security_token_service_preferences,
        GlobalEndpointTokenVersion="v3Token",
    )
    assert (refused.code, refused.status) == ("ValidationError", 400)


def test_nobody_reads_or_changes_settings_without_the_right_to(world, iam):
    user = world.user()
    for action, call, parameters in [
        ("iam:CreateAccountAlias", user.iam.create_account_alias, {"AccountAlias": "mine"}),
        ("iam:DeleteAccountAlias", user.iam.delete_account_alias, {"AccountAlias": "mine"}),
        ("iam:ListAccountAliases", user.iam.list_account_aliases, {}),
        ("iam:GetAccountProperties", user.iam.get_account_properties, {}),
        ("iam:PutAccountProperties", user.iam.put_account_properties, {"Properties": {"a": "b"}}),
        (
            "iam:SetSecurityTokenServicePreferences",
            user.iam.set_security_token_service_preferences,
            {"GlobalEndpointTokenVersion": "v2Token"},
        ),
    ]:
        refused = refusal(call, **parameters)
        assert_denied(refused, user.arn, action, IDENTITY_SILENT)
    assert aliases(iam) == []


def test_the_command_line_manages_aliases(aws_command, tmp_path, root):
    def aws(*arguments):
        done = subprocess.run(
            [aws_command, "iam", *arguments, "--output", "json"],
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **root.environment()},
            capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    alias = unique("cli")
    aws("create-account-alias", "--account-alias", alias)
    assert aws("list-account-aliases")["AccountAliases"] == [alias]
    aws("delete-account-alias", "--account-alias", alias)
    assert aws("list-account-aliases")["AccountAliases"] == []
