"""STS's core: who may become whom, for how long, with what, and how that ends.

[rec] marks texts recorded from AWS, kept by LocalStack in
tests/aws/services/sts/test_sts.snapshot.json (2024-2026); the other texts are quoted from AWS by
the tools whose users met them.
"""

import json
import random
import re
from datetime import datetime, timedelta, timezone

import pytest

from clients import IDENTITY_DENY, TRUST_SILENT, assert_denied, refusal
from world import World, allow, deny, policy, tags, trust, unique


@pytest.fixture(scope="module")
def broker(world):
    """A user who may call everything of STS."""
    return world.user(allow("sts:*"))


def lasts(credentials, seconds):
    left = credentials["Expiration"] - datetime.now(timezone.utc)
    return abs(left - timedelta(seconds=seconds)) < timedelta(seconds=30)


def name_of(arn):
    return arn.rsplit("/", 1)[1]


def expect(call, code, status, message=None, **parameters):
    refused = refusal(call, **parameters)
    assert (refused.code, refused.status) == (code, status), str(refused)
    if message is not None:
        assert refused.message.rstrip(". ") == message.rstrip(". ")
    return refused


def may_not_call_iam(principal):
    """A key that IAM does not take: the token is refused, or the call denied."""
    refused = refusal(principal.iam.list_users)
    return refused.status == 403 and refused.code in ("InvalidClientTokenId", "AccessDenied")


# --- GetCallerIdentity, GetAccessKeyInfo ---------------------------------------------------------


def test_every_kind_of_caller_is_told_who_it_is(world, broker):
    account = world.account
    root = world.root.identity
    assert (root["Arn"], root["UserId"]) == (world.account_principal, account)
    user = world.user(path="/x/")
    user_id = world.iam.get_user(UserName=user.name)["User"]["UserId"]
    assert user.identity["Arn"] == f"arn:aws:iam::{account}:user/x/{user.name}"
    assert user.identity["UserId"] == user_id
    role = world.role(path="/y/")
    role_id = world.iam.get_role(RoleName=name_of(role))["Role"]["RoleId"]
    session = broker.assume(role, "s-1").identity
    # The path of the role is not part of the session's ARN.
    assert session["Arn"] == f"arn:aws:sts::{account}:assumed-role/{name_of(role)}/s-1"
    assert session["UserId"] == f"{role_id}:s-1"
    federated = broker.session_from(
        broker.sts.get_federation_token(Name="bob")["Credentials"]
    ).identity
    assert federated["Arn"] == f"arn:aws:sts::{account}:federated-user/bob"
    assert federated["UserId"] == f"{account}:bob"
    same = user.session_from(user.sts.get_session_token()["Credentials"]).identity
    assert (same["Arn"], same["UserId"]) == (user.identity["Arn"], user_id)
    assert {identity["Account"] for identity in (root, session, federated, same)} == {account}


def test_the_account_of_a_key_is_told(world, broker):
    assert broker.sts.get_access_key_info(AccessKeyId=broker.access_key_id)["Account"] == world.account
    session = broker.assume(world.role())
    assert broker.sts.get_access_key_info(AccessKeyId=session.access_key_id)["Account"] == world.account


# --- AssumeRole ------------------------------------------------------------------------------


def test_an_assumed_role_is_what_was_asked_for(world, broker):
    role = world.role()
    answer = broker.sts.assume_role(RoleArn=role, RoleSessionName="work")
    role_id = world.iam.get_role(RoleName=name_of(role))["Role"]["RoleId"]
    assert answer["AssumedRoleUser"] == {
        "AssumedRoleId": f"{role_id}:work",
        "Arn": f"arn:aws:sts::{world.account}:assumed-role/{name_of(role)}/work",
    }
    credentials = answer["Credentials"]
    assert re.fullmatch(r"ASIA[A-Z2-7]{16}", credentials["AccessKeyId"])
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", credentials["SecretAccessKey"])
    assert lasts(credentials, 3600)
    # Without policies and tags there is nothing packed. [rec]
    assert "PackedPolicySize" not in answer and "SourceIdentity" not in answer


def test_two_sessions_of_one_name_are_two_keys(world, broker):
    role = world.role()
    first, second = broker.assume(role, "same"), broker.assume(role, "same")
    assert first.access_key_id != second.access_key_id and first.secret != second.secret
    assert first.arn == second.arn


@pytest.mark.parametrize("seconds", [900, 7200])
def test_a_session_lasts_as_long_as_asked(seconds, world, broker):
    role = world.role(max_session=7200)
    answer = broker.sts.assume_role(
        RoleArn=role, RoleSessionName="session", DurationSeconds=seconds
    )
    assert lasts(answer["Credentials"], seconds)


def test_a_session_lasts_no_longer_than_its_role_allows(world, broker):
    expect(
        broker.sts.assume_role, "ValidationError", 400,
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        RoleArn=world.role(), RoleSessionName="session", DurationSeconds=3601,
    )


@pytest.mark.parametrize("seconds", [899, 43201])
def test_a_session_lasts_between_a_quarter_and_twelve_hours(seconds, world, broker):
    refused = expect(
        broker.sts_unchecked.assume_role, "ValidationError", 400,
        RoleArn=world.role(max_session=43200), RoleSessionName="session", DurationSeconds=seconds,
    )
    assert "at 'durationSeconds' failed to satisfy constraint: Member must have value" in refused.message


def test_a_chained_session_lasts_one_hour_at_most(world, broker):
    second = world.role(max_session=7200)
    chained = broker.assume(world.role(allow("sts:*")))
    expect(
        chained.sts.assume_role, "ValidationError", 400,
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role"
        " chaining.",
        RoleArn=second, RoleSessionName="session", DurationSeconds=3601,
    )
    answer = chained.sts.assume_role(RoleArn=second, RoleSessionName="session", DurationSeconds=3600)
    assert lasts(answer["Credentials"], 3600)


def test_the_root_user_assumes_no_role(world):
    role = world.role()
    expect(
        world.root.sts.assume_role, "AccessDenied", 403,
        "Roles may not be assumed by root accounts.", RoleArn=role, RoleSessionName="session",
    )


def test_a_role_that_is_not_there_cannot_be_told_from_one_that_does_not_trust(world, broker):
    missing = world.arn("role/none-such")
    silent = world.role(trusted=[trust({"Service": "ec2.amazonaws.com"})])
    for role in (missing, silent):
        refused = refusal(broker.sts.assume_role, RoleArn=role, RoleSessionName="session")
        assert (refused.code, refused.status) == ("AccessDenied", 403)
        assert refused.message.startswith(
            f"User: {broker.arn} is not authorized to perform: sts:AssumeRole"
        )
    first = refusal(broker.sts.assume_role, RoleArn=missing, RoleSessionName="session").message
    second = refusal(broker.sts.assume_role, RoleArn=silent, RoleSessionName="session").message
    assert first.replace(missing, "ROLE") == second.replace(silent, "ROLE")


@pytest.mark.parametrize("arn", ["nothing-valid-in-here", "arn::b:::something/test-role", "arn:a:a::aaaaaaaaaa:"])
def test_what_is_no_arn_is_refused(arn, broker):
    expect(
        broker.sts_unchecked.assume_role, "ValidationError", 400, f"{arn} is invalid",  # [rec]
        RoleArn=arn, RoleSessionName="session",
    )


@pytest.mark.parametrize(
    "name,text",
    [
        ("Session1:2", r"Member must satisfy regular expression pattern: [\w+=,.@-]*"),
        ("s" * 65, "Member must have length less than or equal to 64"),
    ],
    ids=["a_colon", "too_long"],
)
def test_a_session_name_that_breaks_a_rule_is_refused(name, text, world, broker):
    expect(
        broker.sts_unchecked.assume_role, "ValidationError", 400,
        f"1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy"
        f" constraint: {text}",  # [rec]
        RoleArn=world.role(), RoleSessionName=name,
    )


def test_a_role_may_trust_another_role_or_one_session_of_it(world, broker):
    first = world.role(allow("sts:AssumeRole"))
    first_session = broker.assume(first, "one")
    session_arn = f"arn:aws:sts::{world.account}:assumed-role/{name_of(first)}/one"
    first_session.assume(world.role(trusted=[trust(first)]))
    by_session = world.role(trusted=[trust(session_arn)])
    first_session.assume(by_session)
    refused = refusal(
        broker.assume(first, "two").sts.assume_role, RoleArn=by_session, RoleSessionName="session"
    )
    assert (refused.code, refused.status) == ("AccessDenied", 403)


def test_a_user_made_again_under_its_name_is_not_the_one_trusted(world, broker):
    # IAM User Guide, "AWS JSON policy elements: Principal": the ARN is turned into the unique id.
    user = world.user()
    role = world.role(trusted=[trust(user.arn)])
    user.assume(role)
    world.iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    world.iam.delete_user(UserName=user.name)
    again = world.user(name=user.name)
    refused = refusal(again.sts.assume_role, RoleArn=role, RoleSessionName="session")
    assert_denied(refused, again.arn, "sts:AssumeRole", TRUST_SILENT, role)


# --- session policies ----------------------------------------------------------------------------


def test_the_packed_size_is_told_and_grows_with_what_is_packed(world, broker):
    role = world.role()
    small = broker.sts.assume_role(RoleArn=role, RoleSessionName="session", Policy=policy(allow("s3:*")))
    large = broker.sts.assume_role(
        RoleArn=role, RoleSessionName="session",
        Policy=policy(*(allow("s3:GetObject", f"arn:aws:s3:::{unique('bucket')}/{n * 7919}/*") for n in range(6))),
        Tags=tags(team="blue", project="orange", cost="4711"),
    )
    assert 0 < small["PackedPolicySize"] < large["PackedPolicySize"] <= 100


def test_more_than_fits_is_refused(world, broker):
    source = random.Random(7)
    words = ("".join(source.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=256)) for _ in range(50))
    many = [{"Key": f"key-{n}-{word[:100]}", "Value": word} for n, word in enumerate(words)]
    refused = refusal(
        broker.sts.assume_role, RoleArn=world.role(), RoleSessionName="session", Tags=many
    )
    assert (refused.code, refused.status) == ("PackedPolicyTooLarge", 400), str(refused)


@pytest.mark.parametrize(
    "document", ["{", json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]})]
)
def test_a_malformed_session_policy_is_refused(document, world, broker):
    expect(
        broker.sts.assume_role, "MalformedPolicyDocument", 400,
        RoleArn=world.role(), RoleSessionName="session", Policy=document,
    )


def test_a_session_policy_holds_2048_characters(world, broker):
    long = policy(allow("s3:*", "arn:aws:s3:::" + "b" * 2048))
    refused = expect(
        broker.sts_unchecked.assume_role, "ValidationError", 400,
        RoleArn=world.role(), RoleSessionName="session", Policy=long,
    )
    assert "at 'policy' failed to satisfy constraint: Member must have length less than or equal to 2048" in refused.message


def test_at_most_ten_policies_may_be_named_for_a_session(world, broker):
    arns = [{"arn": world.managed_policy(allow("*"))} for _ in range(11)]
    role = world.role()
    broker.sts.assume_role(RoleArn=role, RoleSessionName="session", PolicyArns=arns[:10])
    refused = refusal(broker.sts.assume_role, RoleArn=role, RoleSessionName="session", PolicyArns=arns)
    assert refused.status == 400, str(refused)


def test_a_policy_for_a_session_must_be_there(world, broker):
    refused = refusal(
        broker.sts.assume_role, RoleArn=world.role(), RoleSessionName="session",
        PolicyArns=[{"arn": world.arn("policy/none-such")}],
    )
    assert refused.status == 400, str(refused)


# --- session tags, source identity ---------------------------------------------------------------


def tagged_reader(world):
    """A role whose sessions read users of their own team."""
    return world.role(
        allow("iam:GetUser", Condition={"StringEquals": {"aws:PrincipalTag/team": "blue"}}),
        allow("sts:*"),
    )


def reads(principal):
    refused = None
    try:
        principal.iam.get_user(UserName="somebody")
    except principal.iam.exceptions.NoSuchEntityException:
        return True
    except principal.iam.exceptions.ClientError as error:
        refused = error.response["Error"]["Code"]
    assert refused == "AccessDenied"
    return False


def test_transitive_tags_go_on_and_others_do_not(world, broker):
    first, second = tagged_reader(world), tagged_reader(world)
    plain = broker.assume(first, Tags=tags(team="blue"))
    assert reads(plain)
    assert not reads(plain.assume(second)), "a tag that is not transitive went on"
    transitive = broker.assume(first, Tags=tags(team="blue"), TransitiveTagKeys=["team"])
    assert reads(transitive.assume(second))
    assert reads(transitive.assume(second).assume(first)), "a transitive tag ends after one step"


@pytest.mark.parametrize("key", ["team", "TEAM"])
def test_a_transitive_tag_cannot_be_overridden(key, world, broker):
    session = broker.assume(
        tagged_reader(world), Tags=tags(team="blue"), TransitiveTagKeys=["team"]
    )
    expect(
        session.sts.assume_role, "InvalidParameterValue", 400,
        "One of the specified transitive tag keys can't be set because it conflicts with a"
        " transitive tag key from the calling session.",  # [rec]
        RoleArn=tagged_reader(world), RoleSessionName="session", Tags=[{"Key": key, "Value": "red"}],
    )


SESSION_TAG_RULES = {
    "a_transitive_key_without_its_tag": (
        {"Tags": tags(a="1"), "TransitiveTagKeys": ["b"]}, "InvalidParameterValue",
        "The specified transitive tag key must be included in the requested tags.",  # [rec]
    ),
    "two_keys_that_differ_by_case": (
        {"Tags": tags(a="1") + tags(A="2")}, "InvalidParameterValue",
        "Duplicate tag keys found. Please note that Tag keys are case insensitive.",  # [rec]
    ),
}


@pytest.mark.parametrize("rule", SESSION_TAG_RULES)
def test_session_tags_that_break_a_rule_are_refused(rule, world, broker):
    parameters, code, message = SESSION_TAG_RULES[rule]
    expect(
        broker.sts.assume_role, code, 400, message,
        RoleArn=world.role(), RoleSessionName="session", **parameters,
    )


def test_fifty_one_session_tags_are_refused(world, broker):
    many = [{"Key": f"k{n}", "Value": "v"} for n in range(51)]
    refused = expect(
        broker.sts_unchecked.assume_role, "ValidationError", 400,
        RoleArn=world.role(), RoleSessionName="session", Tags=many,
    )
    assert "at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50" in refused.message


def test_a_source_identity_goes_on_and_cannot_be_changed(world, broker):
    first, second = world.role(allow("sts:*")), world.role()
    answer = broker.sts.assume_role(RoleArn=first, RoleSessionName="session", SourceIdentity="diana")
    assert answer["SourceIdentity"] == "diana"
    session = broker.session_from(answer["Credentials"])
    onward = session.sts.assume_role(RoleArn=second, RoleSessionName="session")
    assert onward.get("SourceIdentity") == "diana"
    refused = refusal(
        session.sts.assume_role, RoleArn=second, RoleSessionName="session", SourceIdentity="elena"
    )
    assert refused.status in (400, 403), str(refused)


def test_a_source_identity_that_goes_on_needs_trust_at_every_step(world, broker):
    first = world.role(allow("sts:*"))
    closed = world.role(trusted=[trust(world.account_principal)])
    session = broker.assume(first, SourceIdentity="diana")
    refused = refusal(session.sts.assume_role, RoleArn=closed, RoleSessionName="session")
    assert_denied(refused, session.arn, "sts:SetSourceIdentity", TRUST_SILENT, closed)


# --- GetSessionToken, GetFederationToken, MFA -----------------------------------------------------


def test_a_session_token_lasts_half_a_day_unless_told(world, broker):
    assert lasts(broker.sts.get_session_token()["Credentials"], 43200)
    assert lasts(broker.sts.get_session_token(DurationSeconds=900)["Credentials"], 900)
    # For the root user: one hour at most, GetSessionToken, API reference.
    assert lasts(world.root.sts.get_session_token()["Credentials"], 3600)


def test_a_session_without_mfa_does_not_call_iam(world):
    # GetSessionToken, API reference: "You cannot call any IAM API operations unless MFA
    # authentication information is included in the request."
    user = world.user(allow("*"))
    assert user.iam.list_users(MaxItems=1)["Users"]
    assert may_not_call_iam(user.session_from(user.sts.get_session_token()["Credentials"]))


def test_a_session_token_assumes_roles_and_nothing_else_of_sts(world):
    user = world.user(allow("*"))
    session = user.session_from(user.sts.get_session_token()["Credentials"])
    session.assume(world.role())
    refused = refusal(session.sts.get_access_key_info, AccessKeyId=user.access_key_id)
    assert refused.status == 403, str(refused)


@pytest.mark.parametrize("operation", ["get_session_token", "get_federation_token"])
def test_a_session_cannot_make_further_sessions_of_its_user(operation, world):
    user = world.user(allow("*"))
    words = "".join(word.title() for word in operation.split("_"))
    parameters = {"Name": "bob"} if operation == "get_federation_token" else {}
    sessions = [
        user.session_from(user.sts.get_session_token()["Credentials"]),
        user.assume(world.role(allow("*"))),
    ]
    for session in sessions:
        expect(
            getattr(session.sts, operation), "AccessDenied", 403,
            f"Cannot call {words} with session credentials", **parameters,
        )


def test_a_federated_user_is_what_was_asked_for(world, broker):
    answer = broker.sts.get_federation_token(
        Name="bob", Policy=policy(allow("s3:*")), DurationSeconds=1800
    )
    assert answer["FederatedUser"] == {
        "FederatedUserId": f"{world.account}:bob",
        "Arn": f"arn:aws:sts::{world.account}:federated-user/bob",
    }
    assert lasts(answer["Credentials"], 1800) and answer["PackedPolicySize"] > 0
    assert lasts(broker.sts.get_federation_token(Name="bob")["Credentials"], 43200)


def test_a_federated_user_calls_neither_iam_nor_sts(world):
    # GetFederationToken, API reference: no IAM operations, and of STS GetCallerIdentity only.
    user = world.user(allow("*"))
    answer = user.sts.get_federation_token(Name="bob", Policy=policy(allow("*")))
    federated = user.session_from(answer["Credentials"])
    assert federated.identity["Arn"].endswith("federated-user/bob")
    assert may_not_call_iam(federated)
    refused = refusal(federated.sts.assume_role, RoleArn=world.role(), RoleSessionName="session")
    assert refused.status == 403, str(refused)


def test_a_name_of_a_federated_user_has_2_to_32_characters(broker):
    for name in ("b", "b" * 33):
        refused = expect(
            broker.sts_unchecked.get_federation_token, "ValidationError", 400, Name=name
        )
        assert "at 'name' failed to satisfy constraint" in refused.message


MFA_REFUSED = re.compile(
    r"^MultiFactorAuthentication failed"
    r"(, unable to validate MFA code\.  ?Please verify your MFA serial number is valid and associated"
    r" with this user\.?|, must provide .*| with invalid MFA one time pass code\. ?)$"
)


@pytest.mark.parametrize(
    "parameters",
    [
        {"SerialNumber": "arn:aws:iam::123456789012:mfa/none-such", "TokenCode": "123456"},
        {"SerialNumber": "GAHT12345678", "TokenCode": "000000"},
        {"SerialNumber": "GAHT12345678"},
        {"TokenCode": "123456"},
    ],
    ids=["another_accounts_device", "an_unknown_device", "no_code", "no_device"],
)
def test_a_wrong_mfa_device_or_code_is_refused(parameters, world, broker):
    calls = {
        "GetSessionToken": lambda: broker.sts.get_session_token(**parameters),
        "AssumeRole": lambda: broker.sts.assume_role(
            RoleArn=world.role(), RoleSessionName="session", **parameters
        ),
    }
    for name, call in calls.items():
        refused = refusal(call)
        if len(parameters) == 2:
            assert (refused.code, refused.status) == ("AccessDenied", 403), f"{name}: {refused}"
            assert MFA_REFUSED.match(refused.message), f"{name}: {refused}"
        else:
            assert refused.status in (400, 403), f"{name}: {refused}"


# --- how sessions end ----------------------------------------------------------------------------


def test_sessions_survive_a_restart_and_a_crash(start_server):
    server = start_server()
    world = World(server.root())
    broker = world.user(allow("sts:*"))
    session = broker.assume(world.role(allow("iam:ListUsers")), "kept", Tags=tags(team="blue"))
    token = broker.session_from(broker.sts.get_session_token()["Credentials"])
    arn = session.arn
    server.restart()
    assert session.sts.get_caller_identity()["Arn"] == arn
    server.kill()
    server.start()
    assert session.iam.list_users()["Users"]
    assert token.sts.get_caller_identity()["Arn"] == broker.arn
    server.stop()


def test_a_session_of_one_server_is_nothing_to_another(world, broker, start_server):
    other = start_server()
    session = broker.assume(world.role())
    session.url = other.url
    expect(session.sts.get_caller_identity, "InvalidClientTokenId", 403)
    other.stop()


def test_a_session_ends_with_its_role(world, broker):
    role = world.role(allow("iam:ListUsers"))
    session = broker.assume(role)
    assert session.iam.list_users()["Users"]
    world.iam.delete_role_policy(RoleName=name_of(role), PolicyName="inline")
    world.iam.delete_role(RoleName=name_of(role))
    refused = refusal(session.iam.list_users)
    assert refused.status == 403 and refused.code in ("InvalidClientTokenId", "AccessDenied")
    # A role made again under the name is another role.
    world.role(allow("*"), name=name_of(role))
    refused = refusal(session.iam.list_users)
    assert refused.status == 403 and refused.code in ("InvalidClientTokenId", "AccessDenied")


def test_sessions_made_before_a_moment_are_revoked_by_policy(world, broker):
    # IAM User Guide, "Revoking IAM role temporary security credentials".
    role = world.role(allow("iam:ListUsers"))
    session = broker.assume(role)
    assert session.iam.list_users()["Users"]

    def revoke(before):
        older = {"DateLessThan": {"aws:TokenIssueTime": before.strftime("%Y-%m-%dT%H:%M:%SZ")}}
        world.iam.put_role_policy(
            RoleName=name_of(role), PolicyName="AWSRevokeOlderSessions",
            PolicyDocument=policy(deny("*", Condition=older)),
        )

    now = datetime.now(timezone.utc)
    revoke(now - timedelta(minutes=1))
    assert session.iam.list_users()["Users"], "a session younger than the moment was revoked"
    revoke(now + timedelta(minutes=1))
    assert_denied(refusal(session.iam.list_users), session.arn, "iam:ListUsers", IDENTITY_DENY)


def test_sessions_of_a_user_end_with_the_user(world):
    user = world.user()
    session = user.session_from(user.sts.get_session_token()["Credentials"])
    assert session.identity["Arn"] == user.arn
    world.iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
    world.iam.delete_user(UserName=user.name)
    expect(session.sts.get_caller_identity, "InvalidClientTokenId", 403)


def advance(dev, seconds):
    status, _, body = dev.post_json("/_ringfence/clock", {"advance_seconds": seconds})
    assert status == 200, body


def test_a_session_has_expired_after_its_time(dev):
    root = dev.principal("test", "test")
    world = World(root)
    broker = world.user(allow("sts:*"))
    session = broker.assume(world.role(allow("iam:ListUsers")), DurationSeconds=900)
    advance(dev, 890)
    assert session.iam.list_users()["Users"]
    advance(dev, 11)
    for call in (session.iam.list_users, session.sts.get_caller_identity):
        expect(
            call, "ExpiredToken", 403, "The security token included in the request is expired"
        )


@pytest.mark.parametrize("make", ["get_session_token", "get_federation_token"])
def test_a_users_session_has_expired_after_its_time(make, dev):
    user = World(dev.principal("test", "test")).user(allow("sts:*"))
    parameters = {"Name": "bob"} if make == "get_federation_token" else {}
    answer = getattr(user.sts, make)(DurationSeconds=900, **parameters)
    session = user.session_from(answer["Credentials"])
    advance(dev, 890)
    assert session.sts.get_caller_identity()["Account"]
    advance(dev, 11)
    expect(session.sts.get_caller_identity, "ExpiredToken", 403)


def test_a_session_of_a_user_that_moved_is_of_the_user_where_it_is(world):
    user = world.user(allow("*"), path="/admin/")
    session = user.session_from(user.sts.get_session_token()["Credentials"])
    assert f":user/admin/{user.name}" in session.sts.get_caller_identity()["Arn"]
    world.iam.update_user(UserName=user.name, NewPath="/staff/")
    assert f":user/staff/{user.name}" in session.sts.get_caller_identity()["Arn"]
