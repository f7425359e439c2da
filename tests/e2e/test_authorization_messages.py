"""Why a call was denied, told to those who may know: DecodeAuthorizationMessage."""

import base64
import json

import pytest
from botocore.exceptions import ClientError

from clients import IDENTITY_SILENT, assert_denied, refusal
from world import allow, deny, trust

HEADER = "x-ringfence-authorization-message"


def message_of(call, **parameters):
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    answer = raised.value.response
    assert answer["Error"]["Code"] == "AccessDenied"
    return answer["ResponseMetadata"]["HTTPHeaders"][HEADER]


def decode(principal, message):
    decoded = principal.sts.decode_authorization_message(EncodedMessage=message)["DecodedMessage"]
    return json.loads(decoded)


def values(items):
    return [item["value"] for item in items["items"]]


def conditions(decoded):
    return {c["key"]: values(c["values"]) for c in decoded["context"]["conditions"]["items"]}


@pytest.fixture(scope="module")
def reader(world):
    return world.user(allow("sts:DecodeAuthorizationMessage"))


def test_a_denial_without_an_allow_tells_the_request(world, reader):
    user = world.user(tagged={"team": "red"})
    decoded = decode(reader, message_of(user.iam.get_user, UserName="bob"))
    assert (decoded["allowed"], decoded["explicitDeny"]) == (False, False)
    assert decoded["matchedStatements"] == {"items": []} == decoded["failures"]
    context = decoded["context"]
    assert context["principal"] == {
        "id": world.iam.get_user(UserName=user.name)["User"]["UserId"],
        "name": user.name,
        "arn": user.arn,
    }
    assert (context["action"], context["resource"]) == ("iam:GetUser", world.arn("user/bob"))
    keys = conditions(decoded)
    assert keys["aws:PrincipalTag/team"] == ["red"]
    assert keys["aws:SourceIp"] == ["127.0.0.1"]
    assert keys["aws:username"] == [user.name]


def test_an_explicit_denial_tells_the_statements_that_denied(world, reader):
    condition = {"StringLike": {"aws:username": ["user*", "x"]}}
    user = world.user(
        allow("iam:*"),
        deny("iam:DeleteUser", Sid="Other"),
        deny(["iam:Get*", "iam:List*"], Sid="NoReading", Condition=condition),
    )
    decoded = decode(reader, message_of(user.iam.list_users))
    assert decoded["explicitDeny"] is True
    (statement,) = decoded["matchedStatements"]["items"]
    assert (statement["statementId"], statement["effect"]) == ("NoReading", "DENY")
    assert values(statement["actions"]) == ["iam:Get*", "iam:List*"]
    assert values(statement["resources"]) == ["*"]
    (told,) = statement["conditions"]["items"]
    assert (told["key"], values(told["values"])) == ("aws:username", ["user*", "x"])


def test_decoding_needs_its_permission_and_a_message_of_ones_own_account(world, reader, root):
    user = world.user()
    message = message_of(user.iam.list_users)
    assert_denied(refusal(user.sts.decode_authorization_message, EncodedMessage=message), user.arn,
                  "sts:DecodeAuthorizationMessage", IDENTITY_SILENT)
    for spoilt in [message[:-1], message[1:], "x", "A" * 10_240]:
        refused = refusal(reader.sts.decode_authorization_message, EncodedMessage=spoilt)
        assert (refused.code, refused.status) == ("InvalidAuthorizationMessageException", 400)
    assert decode(root, message)["context"]["principal"]["arn"] == user.arn


def test_a_denial_may_not_be_read_by_who_was_denied(world):
    user = world.user(deny("iam:GetUser", "arn:aws:iam::*:user/secret-project-*"), allow("sts:*"))
    message = message_of(user.iam.get_user, UserName="secret-project-1")
    sealed = base64.urlsafe_b64decode(message + "=" * (-len(message) % 4))
    assert len(sealed) > 500 and b"secret" not in sealed and b"aws:" not in sealed


def test_a_role_that_does_not_trust_tells_its_own_account_alone(world, reader):
    denying = world.role(trusted=[trust("*", effect="Deny", Sid="Nobody")])
    user = world.user(allow("sts:AssumeRole"))
    message = message_of(user.sts.assume_role, RoleArn=denying, RoleSessionName="one")
    decoded = decode(reader, message)
    assert decoded["explicitDeny"] is True
    assert decoded["matchedStatements"]["items"][0]["statementId"] == "Nobody"
    assert conditions(decoded)["sts:RoleSessionName"] == ["one"]
