"""Temporary delegation: a partner asks for access, and an identity of another account lends its own.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies-temporary-delegation.html and
https://docs.aws.amazon.com/IAM/latest/UserGuide/temporary-delegation-building-integration.html say
which states there are, how long each lasts and who may do what by default. No words of AWS's
refusals are known: codes are what is tested.
"""

import json
import subprocess
import types
from datetime import datetime, timedelta

import pytest

from clients import (
    IDENTITY_DENY,
    IDENTITY_SILENT,
    SESSION_SILENT,
    assert_denied,
    refusal,
)
from topic import Topic
from totp import Phone
from world import World, allow, deny, policy, trust, unique

PARTNER, OWNER, OTHER = "444455556666", "111122223333", "777788889999"
HOUR, DAY = 3600, 86400
TOPIC = f"arn:aws:sns:us-east-1:{PARTNER}:delegations"
SILENT_TOPIC = f"arn:aws:sns:us-east-1:{PARTNER}:silent"
BY_ID = "DelegationRequestId"
NO_TEMPLATE = {"Parameters": [{"Name": "Bucket", "Values": ["a"], "Type": "string"}]}


@pytest.fixture(scope="module")
def topic():
    endpoint = Topic()
    yield endpoint
    endpoint.close()


@pytest.fixture(scope="module")
def house(start_server, topic):
    """A --dev server with a partner's, an owner's and another account."""
    server = start_server("--notify", f"{TOPIC}={topic.url}", dev=True)
    yield accounts(server)
    server.stop()


@pytest.fixture(autouse=True)
def answering(topic):
    topic.status, topic.hook = 200, None


def accounts(server, roots=None):
    roots = roots or {one: server.principal(one, "any") for one in (PARTNER, OWNER, OTHER)}
    house = types.SimpleNamespace(server=server)
    house.partner, house.owner, house.other = (World(root) for root in roots.values())
    return house


def advance(house, seconds):
    status, _, _ = house.server.post_json("/_ringfence/clock", {"advance_seconds": seconds})
    assert status == 200


def time_of(house):
    """The server's time."""
    status, _, answer = house.server.post_json("/_ringfence/clock", {"advance_seconds": 0})
    assert status == 200
    return datetime.fromisoformat(json.loads(answer)["now"].replace("Z", "+00:00"))


def ask(house, *statements, template=None, account=OWNER, by=None, **parameters):
    """A request of the partner's; its id."""
    by = by or house.partner.iam
    template = template or house.partner.managed_policy(*(statements or [allow("iam:GetUser")]))
    given = {
        "Description": "Sets things up",
        "RequestorWorkflowId": unique("workflow"),
        "NotificationChannel": TOPIC,
        "SessionDuration": HOUR,
        "Permissions": {"PolicyTemplateArn": template},
        **({"OwnerAccountId": account} if account else {}),
        **parameters,
    }
    answer = by.create_delegation_request(**given)
    assert "ConsoleDeepLink" not in answer
    return answer[BY_ID]


def refused_to_ask(house, **parameters):
    return refusal(lambda: {BY_ID: ask(house, **parameters)})


def get(principal, request, **parameters):
    return principal.iam.get_delegation_request(DelegationRequestId=request, **parameters)


def shown(principal, request):
    return get(principal, request)["DelegationRequest"]


def step(principal, name, request, **parameters):
    suffix = "delegation_token" if name == "send" else "delegation_request"
    return getattr(principal.iam, f"{name}_{suffix}")(DelegationRequestId=request, **parameters)


def refused(principal, name, request, **parameters):
    def call():
        return step(principal, name, request, **parameters)

    return refusal(call)


def trader(house):
    return house.partner.user(allow("sts:GetDelegatedAccessToken"))


def trade(principal, token):
    return principal.sts.get_delegated_access_token(TradeInToken=token)


def lend(house, topic, *statements, approver=None, **parameters):
    """The partner's session of an approver who may all, under these permissions."""
    owner = house.owner.user()
    approver = approver or house.owner.user(allow("*"))
    request = ask(house, *statements, **parameters)
    step(owner, "associate", request)
    step(approver, "accept", request)
    step(owner, "send", request)
    answer = trade(trader(house), topic.token(request))
    session = owner.session_from(answer["Credentials"])
    return types.SimpleNamespace(
        owner=owner, approver=approver, request=request, answer=answer, session=session
    )


# --- The whole way -------------------------------------------------------------------------------


def test_a_partner_is_lent_what_it_asked_for_and_the_approver_may(house, topic):
    user, elsewhere = house.owner.user(), house.owner.user()
    template = house.partner.managed_policy(
        allow(["iam:GetUser", "iam:ListGroupsForUser"], house.owner.arn("user/@{Users}")),
        allow("iam:ListUsers"),
    )
    request = ask(
        house,
        template=template,
        RequestMessage="please",
        RedirectUrl="https://partner.example.com/done",
        Permissions={
            "PolicyTemplateArn": template,
            "Parameters": [{"Name": "Users", "Values": [user.name], "Type": "stringList"}],
        },
    )
    owner = house.owner.user()
    admin = house.owner.user(
        allow(["iam:GetUser", "iam:ListUsers", "iam:AcceptDelegationRequest"])
    )

    first = shown(owner, request)
    assert first["State"] == "UNASSIGNED"
    assert (first["ExpirationTime"] - first["CreateDate"]).total_seconds() == DAY
    assert (first["RequestorId"], first["OwnerAccountId"]) == (PARTNER, OWNER)
    assert "OwnerId" not in first and "ApproverId" not in first
    assert (first["Description"], first["RequestMessage"]) == ("Sets things up", "please")
    assert first["RedirectUrl"] == "https://partner.example.com/done"
    assert first["SessionDuration"] == HOUR and first["OnlySendByOwner"] is False
    assert first["Permissions"]["Parameters"] == [
        {"Name": "Users", "Values": [user.name], "Type": "stringList"}
    ]
    assert json.loads(first["PermissionPolicy"])["Statement"][0]["Resource"] == user.arn

    step(owner, "associate", request)
    assigned = shown(owner, request)
    assert (assigned["State"], assigned["OwnerId"]) == ("ASSIGNED", owner.arn)
    assert (assigned["ExpirationTime"] - assigned["UpdatedTime"]).total_seconds() == 7 * DAY
    step(owner, "update", request, Notes="have a look")
    pending = shown(owner, request)
    assert (pending["State"], pending["Notes"]) == ("PENDING_APPROVAL", "have a look")
    step(admin, "accept", request)
    accepted = shown(owner, request)
    assert (accepted["State"], accepted["ApproverId"]) == ("ACCEPTED", admin.arn)
    topic.wait_for_states(request, ["ASSIGNED", "PENDING_APPROVAL", "ACCEPTED"])
    assert topic.messages(request, "ExchangeToken") == []
    step(owner, "send", request)
    assert shown(owner, request)["State"] == "FINALIZED"

    partner = trader(house)
    answer = trade(partner, topic.token(request))
    assert answer["AssumedPrincipal"] == admin.arn
    assert 0 < answer["PackedPolicySize"] <= 100
    session = partner.session_from(answer["Credentials"])
    assert session.arn == admin.arn
    assert session.iam.get_user(UserName=user.name)["User"]["Arn"] == user.arn
    assert session.iam.list_users()["Users"]
    # Not asked for, though the approver may.
    denied = refusal(session.iam.get_user, UserName=elsewhere.name)
    assert_denied(denied, admin.arn, "iam:GetUser", SESSION_SILENT, elsewhere.arn)
    # Asked for, though the approver may not.
    denied = refusal(session.iam.list_groups_for_user, UserName=user.name)
    assert_denied(denied, admin.arn, "iam:ListGroupsForUser", IDENTITY_SILENT, user.arn)
    # A token is good until the delegation ends, which all its sessions end with.
    again = trade(partner, topic.token(request))["Credentials"]
    assert again["Expiration"] == answer["Credentials"]["Expiration"]
    assert again["AccessKeyId"] != answer["Credentials"]["AccessKeyId"]


def test_the_aws_command_takes_a_request_on(house, aws_command):
    request = ask(house)
    user = house.owner.user()

    def aws(*words):
        done = subprocess.run(
            [aws_command, "iam", *words, "--delegation-request-id", request, "--output", "json"],
            env=user.environment(), capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout and json.loads(done.stdout)

    aws("associate-delegation-request")
    aws("reject-delegation-request", "--notes", "no")
    found = aws("get-delegation-request")["DelegationRequest"]
    assert (found["State"], found["RejectionReason"]) == ("REJECTED", "no")


# --- States --------------------------------------------------------------------------------------

WAYS = {
    "UNASSIGNED": [],
    "ASSIGNED": ["associate"],
    "PENDING_APPROVAL": ["associate", "update"],
    "ACCEPTED": ["associate", "accept"],
    "FINALIZED": ["associate", "update", "accept", "send"],
    "REJECTED": ["associate", "accept", "reject"],
}
STEPS = {
    "associate": ["UNASSIGNED"],
    "update": ["ASSIGNED", "PENDING_APPROVAL"],
    "accept": ["ASSIGNED", "PENDING_APPROVAL"],
    "reject": ["ASSIGNED", "PENDING_APPROVAL", "ACCEPTED"],
    "send": ["ACCEPTED"],
}


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_taken_from_its_states_alone(name, state, house):
    admin = house.owner.user(allow("iam:*"))
    request = ask(house)
    for earlier in WAYS[state]:
        step(admin, earlier, request)
    assert shown(admin, request)["State"] == state
    if state in STEPS[name]:
        step(admin, name, request)
    else:
        answer = refused(admin, name, request)
        assert (answer.code, answer.status) == ("InvalidInput", 400), answer
        assert state in answer.message
        assert shown(admin, request)["State"] == state


@pytest.mark.parametrize("state", WAYS)
def test_every_state_expires(state, house):
    admin = house.owner.user(allow("iam:*"))
    request = ask(house)
    for earlier in WAYS[state]:
        step(admin, earlier, request)
    lasts = DAY if state == "UNASSIGNED" else 7 * DAY
    advance(house, lasts - 60)
    assert shown(admin, request)["State"] == state
    advance(house, 61)
    assert shown(admin, request)["State"] == "EXPIRED"
    for name in STEPS:
        assert refused(admin, name, request).code == "InvalidInput"


def test_a_token_and_its_sessions_end_with_the_delegation(house, topic):
    lent = lend(house, topic, allow("iam:GetUser"), SessionDuration=900)
    advance(house, 890)
    assert lent.session.iam.get_user(UserName=lent.owner.name)
    advance(house, 11)
    assert refusal(lent.session.iam.get_user, UserName=lent.owner.name).code == "ExpiredToken"
    answer = refusal(trade, trader(house), topic.token(lent.request))
    assert (answer.code, answer.status) == ("ExpiredTradeInTokenException", 400)


# --- Who may -------------------------------------------------------------------------------------

OPERATIONS = {
    "get": "iam:GetDelegationRequest",
    "associate": "iam:AssociateDelegationRequest",
    "update": "iam:UpdateDelegationRequest",
    "accept": "iam:AcceptDelegationRequest",
    "reject": "iam:RejectDelegationRequest",
    "send": "iam:SendDelegationToken",
}


def arn_of(house, request):
    return house.owner.arn(f"delegation-request/{request}")


@pytest.mark.parametrize("name", OPERATIONS)
def test_whom_no_policy_lets_hears_nothing_of_anothers_request(name, house):
    action = OPERATIONS[name]
    request = ask(house)
    step(house.owner.user(), "associate", request)
    missing = request[:-14] + "0-" + OWNER
    stranger, reader = house.owner.user(), house.owner.user(allow(action))
    for one in (request, missing):
        denied = refused(stranger, name, one)
        assert_denied(denied, stranger.arn, action, IDENTITY_SILENT, arn_of(house, one))
    assert refused(reader, name, missing).code == "NoSuchEntity"


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "get"])
def test_an_owner_may_all_but_accept_unless_it_is_denied(name, house):
    action = OPERATIONS[name]
    owner = house.owner.user()
    request = ask(house)
    before = {"associate": [], "send": ["associate"]}.get(name, ["associate"])
    for earlier in before:
        step(owner, earlier, request)
    if name == "send":
        step(house.owner.user(allow("iam:AcceptDelegationRequest")), "accept", request)
    if name == "accept":
        denied = refused(owner, name, request)
        return assert_denied(denied, owner.arn, action, IDENTITY_SILENT, arn_of(house, request))
    house.owner.iam.put_user_policy(
        UserName=owner.name, PolicyName="no", PolicyDocument=policy(deny(action))
    )
    denied = refused(owner, name, request)
    assert_denied(denied, owner.arn, action, IDENTITY_DENY, arn_of(house, request))
    house.owner.iam.delete_user_policy(UserName=owner.name, PolicyName="no")
    step(owner, name, request)


def test_a_condition_tells_owners_apart(house):
    owner, other = house.owner.user(), house.owner.user()
    admin = house.owner.user(
        allow(
            "iam:AcceptDelegationRequest",
            Condition={"ArnEquals": {"iam:DelegationRequestOwner": owner.arn}},
        )
    )
    for taker, lets in ((owner, True), (other, False)):
        request = ask(house)
        step(taker, "associate", request)
        if lets:
            step(admin, "accept", request)
        else:
            assert refused(admin, "accept", request).code == "AccessDenied"


def test_an_owner_made_anew_is_another(house):
    owner = house.owner.user()
    request = ask(house)
    step(owner, "associate", request)
    destroy(house, owner)
    again = house.owner.user(name=owner.name)
    assert again.arn == owner.arn
    assert refused(again, "get", request).code == "AccessDenied"


def test_an_owner_made_anew_does_not_list_what_was_its_predecessors(house):
    owner = house.owner.user(allow("iam:ListDelegationRequests"))
    request = ask(house)
    step(owner, "associate", request)
    listed = owner.iam.list_delegation_requests(OwnerId=owner.arn)["DelegationRequests"]
    assert [one[BY_ID] for one in listed] == [request]
    destroy(house, owner)
    again = house.owner.user(allow("iam:ListDelegationRequests"), name=owner.name)
    assert again.iam.list_delegation_requests(OwnerId=again.arn)["DelegationRequests"] == []


def test_a_request_is_of_the_account_that_it_was_made_for_or_that_took_it(house):
    targeted, open_to_all = ask(house), ask(house, account=None)
    taker, outsider = house.owner.user(), house.other.user(allow("iam:*"))
    for name in OPERATIONS:
        assert refused(outsider, name, targeted).code == "NoSuchEntity"
    # Nobody's yet: every account sees it, the partner's own too.
    for anyone in (taker, outsider, house.partner.user()):
        assert "OwnerAccountId" not in shown(anyone, open_to_all)
    step(taker, "associate", open_to_all)
    assert shown(taker, open_to_all)["OwnerAccountId"] == OWNER
    for elsewhere in (outsider, house.partner.user(allow("iam:*"))):
        for name in OPERATIONS:
            assert refused(elsewhere, name, open_to_all).code == "NoSuchEntity"


def test_only_the_owner_sends_where_the_partner_wants_it_so(house):
    owner, admin = house.owner.user(), house.owner.user(allow("iam:*"))
    for only, expected in ((True, "AccessDenied"), (False, None)):
        request = ask(house, OnlySendByOwner=only)
        step(owner, "associate", request)
        step(admin, "accept", request)
        assert shown(admin, request)["OnlySendByOwner"] is only
        if expected:
            assert refused(admin, "send", request).code == expected
            step(owner, "send", request)
        else:
            step(admin, "send", request)


def test_a_root_user_lends_for_four_hours_at_most(house, topic):
    root = house.owner.root
    long = ask(house, SessionDuration=4 * HOUR + 1)
    step(root, "associate", long)
    assert refused(root, "accept", long).code == "AccessDenied"
    step(house.owner.user(allow("iam:*")), "accept", long)

    lent = lend(house, topic, allow("iam:ListUsers"), approver=root, SessionDuration=4 * HOUR)
    assert lent.answer["AssumedPrincipal"] == house.owner.account_principal
    assert lent.session.iam.list_users()["Users"]
    denied = refusal(lent.session.iam.list_roles)
    assert (denied.code, SESSION_SILENT.format(action="iam:ListRoles") in denied.message) == (
        "AccessDenied", True,
    )


# --- Asking --------------------------------------------------------------------------------------


def test_asking_takes_a_permission_with_its_conditions(house):
    template = house.partner.managed_policy(allow("iam:GetUser"))
    arn = f"arn:aws:iam::{PARTNER}:delegation-request/*"
    nobody = house.partner.user()
    partner = house.partner.user(
        allow(
            "iam:CreateDelegationRequest",
            arn,
            Condition={
                "NumericLessThanEquals": {"iam:DelegationDuration": "3600"},
                "StringEquals": {"iam:NotificationChannel": TOPIC},
                "ArnEquals": {"iam:TemplateArn": template},
            },
        )
    )

    def create(principal, **changes):
        return principal.iam.create_delegation_request(
            **{
                "Description": "d",
                "RequestorWorkflowId": unique("workflow"),
                "NotificationChannel": TOPIC,
                "SessionDuration": HOUR,
                "Permissions": {"PolicyTemplateArn": template},
                **changes,
            }
        )

    assert create(partner)[BY_ID].endswith(PARTNER)
    assert_denied(
        refusal(create, nobody), nobody.arn, "iam:CreateDelegationRequest", IDENTITY_SILENT
    )
    for changes in (
        {"SessionDuration": HOUR + 1},
        {"NotificationChannel": SILENT_TOPIC},
        {"Permissions": {"PolicyTemplateArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}},
        {"Permissions": NO_TEMPLATE},
    ):
        assert refusal(create, partner, **changes).code == "AccessDenied", changes


def test_what_cannot_be_asked_for_is_refused(house):
    name = unique("workflow")
    ask(house, RequestorWorkflowId=name)
    assert refused_to_ask(house, RequestorWorkflowId=name).code == "EntityAlreadyExists"
    filled = house.partner.managed_policy(allow("s3:GetObject", "arn:aws:s3:::@{Bucket}/*"))
    elsewhere = house.owner.managed_policy(allow("iam:GetUser"))

    def permissions(*parameters):
        given = [{"Name": one, "Values": list(values), "Type": kind} for one, values, kind in parameters]
        return {"Permissions": {"PolicyTemplateArn": filled, "Parameters": given}}

    string, several = "string", "stringList"
    for changes in (
        {"template": elsewhere},
        {"template": f"arn:aws:iam::{PARTNER}:policy/none"},
        {"template": f"arn:aws:iam::aws:delegation-template/{PARTNER}/none"},
        {"Permissions": NO_TEMPLATE},
        {"NotificationChannel": f"arn:aws:sns:us-east-1:{OWNER}:topic"},
        {"NotificationChannel": f"arn:aws:sqs:us-east-1:{PARTNER}:queue"},
        {"NotificationChannel": "topic"},
        permissions(),
        permissions(("Bucket", ["a"], string), ("Other", ["a"], string)),
        permissions(("Bucket", ["a", "b"], string)),
        permissions(("Bucket", ["a"], string), ("Bucket", ["a"], string)),
        permissions(("Bucket", [], several)),
        permissions(("Bucket", ["x" * 7000], string)),
    ):
        answer = refused_to_ask(house, **changes)
        assert (answer.code, answer.status) == ("InvalidInput", 400), (changes, answer)
    for changes in ({"SessionDuration": 299}, {"SessionDuration": 43201}):
        by = house.partner.root.iam_unchecked
        assert refused_to_ask(house, by=by, **changes).code == "ValidationError"


def test_what_was_asked_for_stays_what_it_was(house, topic):
    template = house.partner.managed_policy(allow("iam:GetUser"))
    lent = lend(house, topic, template=template)
    house.partner.iam.create_policy_version(
        PolicyArn=template, PolicyDocument=policy(allow("*")), SetAsDefault=True
    )
    assert refusal(lent.session.iam.list_users).code == "AccessDenied"
    house.partner.iam.delete_policy_version(PolicyArn=template, VersionId="v1")
    house.partner.iam.delete_policy(PolicyArn=template)
    assert lent.session.iam.get_user(UserName=lent.owner.name)
    assert shown(lent.owner, lent.request)["Permissions"]["PolicyTemplateArn"] == template


def test_boundaries_of_roles_are_told(house):
    boundary = f"arn:aws:iam::{OWNER}:policy/b"
    request = ask(
        house,
        allow("iam:CreateRole", Condition={"StringEquals": {"iam:PermissionsBoundary": boundary}}),
    )
    assert shown(house.owner.root, request)["RolePermissionRestrictionArns"] == [boundary]


# --- Lists ---------------------------------------------------------------------------------------


def test_lists_hold_what_the_account_owns(house):
    owner, other = house.owner.user(), house.owner.user()
    lister = house.owner.user(allow("iam:ListDelegationRequests"))
    requests = sorted(ask(house) for _ in range(3))
    ask(house)  # which nobody takes on
    for request in requests:
        step(owner, "associate", request)
    mine = owner.iam.list_delegation_requests(OwnerId=owner.arn)
    assert [one[BY_ID] for one in mine["DelegationRequests"]] == requests
    assert mine["isTruncated"] is False
    pages, marker = [], {}
    while True:
        page = lister.iam.list_delegation_requests(OwnerId=owner.arn, MaxItems=2, **marker)
        pages.append([one[BY_ID] for one in page["DelegationRequests"]])
        if not page["isTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert pages == [requests[:2], requests[2:]]
    everything = [one[BY_ID] for one in lister.iam.list_delegation_requests()["DelegationRequests"]]
    assert set(requests) <= set(everything) and everything == sorted(everything)
    assert lister.iam.list_delegation_requests(OwnerId=other.arn)["DelegationRequests"] == []
    for parameters in ({}, {"OwnerId": owner.arn}):
        denied = refusal(other.iam.list_delegation_requests, **parameters)
        assert_denied(denied, other.arn, "iam:ListDelegationRequests", IDENTITY_SILENT)
    for elsewhere in (house.partner.root, house.other.root):
        found = elsewhere.iam.list_delegation_requests()["DelegationRequests"]
        assert not set(requests) & {one[BY_ID] for one in found}
    bad = refusal(lister.iam.list_delegation_requests, OwnerId="x" * 20)
    assert bad.code == "InvalidInput"


# --- Tokens --------------------------------------------------------------------------------------


def accepted(house, **parameters):
    owner = house.owner.user()
    request = ask(house, **parameters)
    step(owner, "associate", request)
    step(house.owner.user(allow("*")), "accept", request)
    return owner, request


def test_a_token_that_nobody_takes_is_not_sent(house, topic):
    owner, request = accepted(house, NotificationChannel=SILENT_TOPIC)
    answer = refused(owner, "send", request)
    assert (answer.code, answer.status) == ("ServiceFailure", 500)
    assert SILENT_TOPIC in answer.message
    assert shown(owner, request)["State"] == "ACCEPTED"

    owner, request = accepted(house)
    topic.wait_for_states(request, ["ASSIGNED", "ACCEPTED"])
    topic.status = 500
    assert refused(owner, "send", request).code == "ServiceFailure"
    assert shown(owner, request)["State"] == "ACCEPTED"
    # What was not taken is worth nothing, whoever saw it.
    stray = topic.token(request)
    assert refusal(trade, trader(house), stray).code == "ExpiredTradeInTokenException"
    topic.status = 200
    step(owner, "send", request)
    assert trade(trader(house), topic.token(request))
    assert refusal(trade, trader(house), stray).code == "ExpiredTradeInTokenException"


def test_a_token_can_be_used_as_soon_as_it_arrives(house, topic):
    owner, request = accepted(house)
    partner, traded = trader(house), []

    def at_once(message):
        if message["Type"] == "ExchangeToken":
            traded.append(trade(partner, message["ExchangeToken"]))

    topic.hook = at_once
    step(owner, "send", request)
    assert len(traded) == 1
    assert partner.session_from(traded[0]["Credentials"]).arn == traded[0]["AssumedPrincipal"]


def test_a_request_that_is_rejected_while_its_token_is_on_its_way_lends_nothing(house, topic):
    owner, request = accepted(house)
    partner, traded = trader(house), []

    def reject(message):
        if message["Type"] == "ExchangeToken":
            traded.append(trade(partner, message["ExchangeToken"]))
            step(owner, "reject", request)

    topic.hook = reject
    assert refused(owner, "send", request).code == "ConcurrentModification"
    assert shown(owner, request)["State"] == "REJECTED"
    token = topic.token(request)
    assert refusal(trade, partner, token).code == "ExpiredTradeInTokenException"
    session = partner.session_from(traded[0]["Credentials"])
    assert refusal(session.sts.get_caller_identity).code == "InvalidClientTokenId"


def test_a_token_is_good_for_its_account_and_with_permission_alone(house, topic):
    lent = lend(house, topic)
    token = topic.token(lent.request)
    stranger = house.partner.user()
    denied = refusal(trade, stranger, token)
    assert_denied(denied, stranger.arn, "sts:GetDelegatedAccessToken", IDENTITY_SILENT)
    others = [world.user(allow("sts:*")) for world in (house.owner, house.other)]
    unknown = refusal(trade, trader(house), "no token")
    assert (unknown.code, unknown.status) == ("ValidationError", 400)
    for other in others:
        assert refusal(trade, other, token) == unknown
    for bad in (token[:-4], token + "AAAA", "x" * 100_000):
        assert refusal(trade, trader(house), bad) == unknown


# --- What is lent --------------------------------------------------------------------------------


def destroy(house, user):
    iam = house.owner.iam
    for key in iam.list_access_keys(UserName=user.name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=user.name, AccessKeyId=key["AccessKeyId"])
    for name in iam.list_user_policies(UserName=user.name)["PolicyNames"]:
        iam.delete_user_policy(UserName=user.name, PolicyName=name)
    iam.delete_user(UserName=user.name)


@pytest.mark.parametrize("who", ["owner", "approver"])
def test_a_delegation_ends_with_its_owner_and_with_its_approver(who, house, topic):
    lent = lend(house, topic)
    gone = getattr(lent, who)
    destroy(house, gone)
    house.owner.user(allow("*"), name=gone.name)
    assert refusal(lent.session.sts.get_caller_identity).code == "InvalidClientTokenId"
    token = topic.token(lent.request)
    assert refusal(trade, trader(house), token).code == "ExpiredTradeInTokenException"


def test_what_the_approver_loses_the_partner_loses(house, topic):
    lent = lend(house, topic, allow("iam:ListUsers"))
    assert lent.session.iam.list_users()
    house.owner.iam.delete_user_policy(UserName=lent.approver.name, PolicyName="inline")
    denied = refusal(lent.session.iam.list_users)
    assert_denied(denied, lent.approver.arn, "iam:ListUsers", IDENTITY_SILENT)


def test_the_session_of_an_approver_limits_the_partner_too(house, topic):
    role = house.owner.role(allow("*"))
    session = house.owner.user(allow("sts:AssumeRole")).assume(
        role, "session", Policy=policy(allow(["iam:ListUsers", "iam:AcceptDelegationRequest"]))
    )
    lent = lend(house, topic, allow(["iam:ListUsers", "iam:ListRoles"]), approver=session)
    assert lent.session.arn == session.arn == lent.answer["AssumedPrincipal"]
    assert lent.session.iam.list_users()
    denied = refusal(lent.session.iam.list_roles)
    assert_denied(denied, session.arn, "iam:ListRoles", SESSION_SILENT)


def test_what_names_the_approver_does_not_mean_its_delegate(house, topic):
    approver = house.owner.user(allow("iam:*"))
    role = house.owner.role(trusted=[trust(approver.user_arn)])
    assert approver.assume(role).arn
    lent = lend(house, topic, allow("iam:ListUsers"), approver=approver)
    denied = refusal(lent.session.sts.assume_role, RoleArn=role, RoleSessionName="session")
    assert denied.code == "AccessDenied"
    assert SESSION_SILENT.format(action="sts:AssumeRole") in denied.message
    wider = lend(house, topic, allow("sts:AssumeRole"), approver=approver)
    assert wider.session.assume(role).arn


def test_a_denial_in_the_permissions_denies(house, topic):
    lent = lend(house, topic, allow("iam:*"), deny("iam:ListRoles"))
    assert lent.session.iam.list_users()
    assert "explicit deny in a session policy" in refusal(lent.session.iam.list_roles).message


def test_what_is_lent_is_not_lent_on(house, topic):
    lent = lend(house, topic, allow("*"))
    request = ask(house)
    step(lent.owner, "associate", request)
    for name in OPERATIONS:
        assert refused(lent.session, name, request).code == "AccessDenied"
    assert refusal(lent.session.iam.list_delegation_requests).code == "AccessDenied"
    assert shown(lent.owner, request)["State"] == "ASSIGNED"


def test_a_role_that_a_delegate_assumes_is_lent_as_well(house, topic):
    lent = lend(house, topic, allow("sts:AssumeRole"), SessionDuration=300)
    role = house.owner.role(allow("iam:*"))
    chained = lent.session.assume(role)
    denied = refusal(chained.iam.list_users)
    assert denied.code == "AccessDenied"
    assert SESSION_SILENT.format(action="iam:ListUsers") in denied.message
    assert refusal(lent.session.sts.get_web_identity_token, Audience=["a"],
                   SigningAlgorithm="RS256").code == "AccessDenied"
    # It ends with the delegation, and passes none on.
    request = ask(house)
    step(lent.owner, "associate", request)
    assert refused(chained, "accept", request).code == "AccessDenied"
    destroy(house, lent.owner)
    assert refusal(chained.sts.get_caller_identity).code == "InvalidClientTokenId"


def test_a_token_traded_in_again_is_no_newer_for_who_revokes_older_sessions(house, topic):
    lent = lend(house, topic, allow("iam:ListUsers"))
    advance(house, 120)
    just = time_of(house) - timedelta(seconds=20)
    older = {"DateLessThan": {"aws:TokenIssueTime": just.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    house.owner.iam.put_user_policy(
        UserName=lent.approver.name, PolicyName="revoke",
        PolicyDocument=policy(deny("*", Condition=older)),
    )
    answer = trade(trader(house), topic.token(lent.request))
    again = lent.owner.session_from(answer["Credentials"])
    for session in (lent.session, again):
        assert "explicit deny" in refusal(session.iam.list_users).message
    advance(house, -120)


def test_a_delegate_guesses_at_no_code_of_the_approvers_device(house, topic):
    lent = lend(house, topic, allow("*"))
    iam = house.owner.iam
    device = iam.create_virtual_mfa_device(VirtualMFADeviceName=unique("phone"))["VirtualMFADevice"]
    phone = Phone.of(device, clock=lambda: time_of(house).timestamp())
    iam.enable_mfa_device(
        UserName=lent.approver.name, SerialNumber=phone.serial, **phone.pair(first=-2)
    )
    role = house.owner.role()
    for _ in range(8):
        guess = {"SerialNumber": phone.serial, "TokenCode": phone.wrong()}
        refused_code = refusal(
            lent.session.sts.assume_role, RoleArn=role, RoleSessionName="one", **guess
        )
        assert refused_code.code == "AccessDenied"
    assert lent.approver.sts.get_session_token(**phone.token())["Credentials"]


# --- Checks and summaries ------------------------------------------------------------------------


def test_a_permission_check_tells_whether_the_caller_may_what_is_asked_for(house):
    request = ask(house, allow("iam:GetUser"))
    mfa = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    for caller, result in (
        (house.owner.root, "ALLOWED"),
        (house.owner.user(allow("iam:Get*")), "ALLOWED"),
        (house.owner.user(allow("iam:ListUsers")), "DENIED"),
        (house.owner.user(allow("iam:*"), deny("iam:GetUser")), "DENIED"),
        (house.owner.user(allow("iam:*", Condition=mfa)), "UNSURE"),
        (
            house.owner.user(
                allow("*"), boundary="arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
            ),
            "DENIED",
        ),
    ):
        answer = get(caller, request, DelegationPermissionCheck=True)
        assert answer["PermissionCheckStatus"] == "COMPLETE"
        assert answer["PermissionCheckResult"] == result, caller.arn
    plain = get(house.owner.root, request)
    assert "PermissionCheckStatus" not in plain and "PermissionCheckResult" not in plain


def test_a_policys_text_makes_no_lines_of_its_own_in_a_summary(house):
    evil = "y.\n\nReviewed: these permissions are read-only."
    statement = allow("iam:GetUser", Condition={"StringNotEquals": {"aws:PrincipalTag/x": evil}})
    request = ask(house, statement)
    answer = house.owner.user().iam.get_human_readable_summary(EntityArn=arn_of(house, request))
    assert "Reviewed" in answer["SummaryContent"]
    assert not any(line.startswith("Reviewed") for line in answer["SummaryContent"].splitlines())


def test_a_summary_tells_what_the_policy_says(house):
    statement = allow(
        ["s3:GetObject", "s3:PutObject"],
        "arn:aws:s3:::photos/*",
        Condition={"StringEquals": {"aws:RequestedRegion": "eu-west-1"}},
    )
    request = ask(house, statement, deny("iam:*"), SessionDuration=5400)
    user = house.owner.user()

    def summary(arn=arn_of(house, request), **parameters):
        return user.iam.get_human_readable_summary(EntityArn=arn, **parameters)

    answer = summary()
    assert (answer["SummaryState"], answer["Locale"]) == ("AVAILABLE", "en")
    text = answer["SummaryContent"]
    assert f"account {PARTNER}" in text and "for 1 hour and 30 minutes" in text
    assert (
        "- It may in Amazon S3 read (GetObject) and write (PutObject), on arn:aws:s3:::photos/*, "
        "only if aws:RequestedRegion is eu-west-1.\n"
        "- It may never use every action of " in text
    )
    # As the partner's ARN has it, too.
    assert summary(f"arn:aws:iam::{PARTNER}:delegation-request/{request}")["SummaryContent"] == text
    assert summary(Locale="en_US")["SummaryContent"] == text
    german = summary(Locale="de")
    assert (german["SummaryState"], german["Locale"]) == ("NOT_SUPPORTED", "de")
    assert "SummaryContent" not in german
    for arn, parameters, code in (
        (arn_of(house, request), {"Locale": "xx"}, "InvalidInput"),
        (user.arn, {}, "InvalidInput"),
        ("x" * 20, {}, "InvalidInput"),
        (f"arn:aws:iam::{OTHER}:delegation-request/{request}", {}, "NoSuchEntity"),
    ):
        admin = house.owner.root
        answer = refusal(admin.iam.get_human_readable_summary, EntityArn=arn, **parameters)
        assert answer.code == code, (arn, answer)
    step(house.owner.user(), "associate", request)
    denied = refusal(summary)
    assert_denied(
        denied, user.arn, "iam:GetHumanReadableSummary", IDENTITY_SILENT, arn_of(house, request)
    )


# --- What is kept --------------------------------------------------------------------------------


@pytest.fixture
def kept(start_server, ringfence, topic):
    """A durable server with the partner's and the owner's account."""
    server = start_server("--account", PARTNER, "--notify", f"{TOPIC}={topic.url}")
    server.stop()
    made = ringfence("account", "create", *server.place, "--name", "Owner", "--id", OWNER)
    lines = [line.split("=", 1) for line in made.stdout.splitlines() if line.startswith("export")]
    exports = {name.split()[-1]: value.strip("'\"") for name, value in lines}
    server.start()
    owner = server.principal(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"])
    yield accounts(server, {PARTNER: server.root(), OWNER: owner, OTHER: owner})
    server.stop()


def test_requests_tokens_and_sessions_survive_a_crash_and_no_secret_is_recorded(kept, topic):
    def crash():
        kept.server.kill()
        kept.server.start()

    owner, admin = kept.owner.user(), kept.owner.user(allow("*"))
    request = ask(kept)
    crash()
    step(owner, "associate", request)
    crash()
    assert shown(owner, request)["OwnerId"] == owner.arn
    assert owner.iam.list_delegation_requests(OwnerId=owner.arn)["DelegationRequests"]
    # What a topic did not hear before a crash it hears after.
    topic.wait_for_states(request, ["ASSIGNED"])
    topic.status = 500
    step(admin, "accept", request)
    crash()
    topic.status = 200
    topic.received.clear()
    topic.wait_for_states(request, ["ACCEPTED"], limit_seconds=25)
    step(owner, "send", request)
    crash()
    token = topic.token(request)
    credentials = trade(trader(kept), token)["Credentials"]
    crash()
    session = owner.session_from(credentials)
    session.iam.get_user(UserName=owner.name)

    event = kept.server.audit_event(lambda one: one["eventName"] == "GetUser")
    assert event["userIdentity"]["arn"] == admin.arn
    assert event["userIdentity"]["invokedByDelegate"] == {"accountId": PARTNER}
    traded = kept.server.audit_event(lambda one: one["eventName"] == "GetDelegatedAccessToken")
    assert "invokedByDelegate" not in traded["userIdentity"]
    log = json.dumps(kept.server.audit_events()) + kept.server.stdout + kept.server.stderr
    for secret in (token, credentials["SecretAccessKey"], credentials["SessionToken"]):
        assert secret not in log
