"""What is taken away is gone at the very next call, however busy the server is.

For each way of taking access away, callers hammer the server with the access while others write as
fast as they can. A call that begins after the change was acknowledged must be refused; what began
before may go either way.
"""

import threading
import time
from datetime import datetime, timezone

import pytest
from botocore.exceptions import ClientError

from clients import Principal, refusal
from world import allow, deny, policy, trust, unique

WRITERS = 4
HAMMERS = 4
# Answers that each hammer must have had before and after the change.
ENOUGH = 5

REFUSED = {"AccessDenied", "InvalidClientTokenId", "ExpiredToken"}


class Writer(threading.Thread):
    """Keeps the store and the account's ledger busy."""

    def __init__(self, root, stop):
        super().__init__(daemon=True)
        self.iam, self.stop, self.written = root.client("iam"), stop, 0
        self.failure = None

    def run(self):
        name = unique("busy") + str(self.ident)
        try:
            while not self.stop.is_set():
                self.iam.create_user(UserName=name)
                self.iam.put_user_policy(
                    UserName=name, PolicyName="p", PolicyDocument=policy(allow("s3:GetObject"))
                )
                self.iam.delete_user_policy(UserName=name, PolicyName="p")
                self.iam.delete_user(UserName=name)
                self.written += 4
        except ClientError as error:
            self.failure = error


class Hammer(threading.Thread):
    """Calls again and again: (when the call began, the code that refused it or None)."""

    def __init__(self, call):
        super().__init__(daemon=True)
        self.call, self.answers, self.ended = call, [], threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.ended.is_set():
                began = time.monotonic()
                try:
                    self.call()
                    code = None
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                self.answers.append((began, code))
        except Exception as error:  # whatever it is, the test must hear of it
            self.failure = error

    def since(self, moment):
        return [code for began, code in list(self.answers) if began > moment]


@pytest.fixture(scope="module")
def load(world):
    stop = threading.Event()
    writers = [Writer(world.root, stop) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    yield
    stop.set()
    for writer in writers:
        writer.join(20)
        assert writer.failure is None and writer.written > 100


def wait_until(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "the hammers make no progress"
        time.sleep(0.005)


def hammered(make_call, change, expect):
    """Makes a change under load. Every call that begins after it must be `expect`ed."""
    hammers = [Hammer(make_call()) for _ in range(HAMMERS)]
    for hammer in hammers:
        hammer.start()
    try:
        wait_until(lambda: all(len(h.answers) >= ENOUGH or h.failure for h in hammers))
        before = [code for h in hammers for _, code in list(h.answers)]
        change()
        acknowledged = time.monotonic()
        wait_until(lambda: all(len(h.since(acknowledged)) >= ENOUGH or h.failure for h in hammers))
    finally:
        for hammer in hammers:
            hammer.ended.set()
        for hammer in hammers:
            hammer.join(20)
    assert [h.failure for h in hammers if h.failure] == []
    assert not any(expect(code) for code in before), f"nothing to change: {set(before)}"
    after = [code for h in hammers for code in h.since(acknowledged)]
    wrong = [code for code in after if not expect(code)]
    assert not wrong, f"{len(wrong)} of {len(after)} calls still had what they had: {set(wrong)}"


def is_refused(code):
    return code in REFUSED


def is_answered(code):
    return code is None


def listing(principal):
    """A call of `ListUsers` on a connection of its own."""
    return lambda: principal.client("iam").list_users


def session_of(world, made):
    return Principal(
        world.root.url, made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]
    )


# Each makes a principal who may list users, and says how that is taken away.


def a_key_made_inactive(world):
    user = world.user(allow("iam:ListUsers"))
    return user, lambda: world.iam.update_access_key(
        UserName=user.name, AccessKeyId=user.access_key_id, Status="Inactive"
    )


def a_key_deleted(world):
    user = world.user(allow("iam:ListUsers"))
    return user, lambda: world.iam.delete_access_key(
        UserName=user.name, AccessKeyId=user.access_key_id
    )


def an_inline_policy_deleted(world):
    user = world.user(allow("iam:ListUsers"))
    return user, lambda: world.iam.delete_user_policy(UserName=user.name, PolicyName="inline")


def a_denial_added(world):
    user = world.user(allow("iam:ListUsers"))
    return user, lambda: world.iam.put_user_policy(
        UserName=user.name, PolicyName="no", PolicyDocument=policy(deny("iam:*"))
    )


def a_managed_policy_detached(world):
    arn = world.managed_policy(allow("iam:ListUsers"))
    user = world.user(attached=[arn])
    return user, lambda: world.iam.detach_user_policy(UserName=user.name, PolicyArn=arn)


def a_managed_policys_version_changed(world):
    arn = world.managed_policy(allow("iam:ListUsers"))
    user = world.user(attached=[arn])
    return user, lambda: world.iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=policy(allow("iam:GetUser")), SetAsDefault=True
    )


def a_member_removed_from_its_group(world):
    user = world.user()
    group = world.group(allow("iam:ListUsers"), members=[user])
    return user, lambda: world.iam.remove_user_from_group(GroupName=group, UserName=user.name)


def a_groups_policy_deleted(world):
    user = world.user()
    group = world.group(allow("iam:ListUsers"), members=[user])
    return user, lambda: world.iam.delete_group_policy(GroupName=group, PolicyName="inline")


def a_boundary_put(world):
    boundary = world.managed_policy(allow("s3:*"))
    user = world.user(allow("iam:ListUsers"))
    return user, lambda: world.iam.put_user_permissions_boundary(
        UserName=user.name, PermissionsBoundary=boundary
    )


def a_tag_changed_that_a_condition_asks_for(world):
    condition = {"StringEquals": {"aws:PrincipalTag/team": "red"}}
    user = world.user(allow("iam:ListUsers", Condition=condition), tagged={"team": "red"})
    return user, lambda: world.iam.untag_user(UserName=user.name, TagKeys=["team"])


def role_session(world, *statements):
    role = world.role(*statements)
    user = world.user(allow("sts:AssumeRole"))
    made = user.sts.assume_role(RoleArn=role, RoleSessionName="one")["Credentials"]
    return role.rsplit("/", 1)[1], session_of(world, made)


def a_roles_policy_deleted(world):
    name, session = role_session(world, allow("iam:ListUsers"))
    return session, lambda: world.iam.delete_role_policy(RoleName=name, PolicyName="inline")


def a_roles_sessions_revoked(world):
    # The policy that the console's "revoke active sessions" puts.
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
    name, session = role_session(world, allow("iam:ListUsers"))

    def revoke():
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        older = {"DateLessThan": {"aws:TokenIssueTime": now}}
        world.iam.put_role_policy(
            RoleName=name, PolicyName="AWSRevokeOlderSessions",
            PolicyDocument=policy(deny("*", Condition=older)),
        )

    return session, revoke


def a_role_deleted(world):
    name, session = role_session(world, allow("iam:ListUsers"))

    def delete():
        world.iam.delete_role_policy(RoleName=name, PolicyName="inline")
        world.iam.delete_role(RoleName=name)

    return session, delete


def a_role_made_anew(world):
    name, session = role_session(world, allow("iam:ListUsers"))

    def replace():
        world.iam.delete_role_policy(RoleName=name, PolicyName="inline")
        world.iam.delete_role(RoleName=name)
        world.role(allow("iam:ListUsers"), name=name)

    return session, replace


WAYS = [
    a_key_made_inactive, a_key_deleted, an_inline_policy_deleted, a_denial_added,
    a_managed_policy_detached, a_managed_policys_version_changed, a_member_removed_from_its_group,
    a_groups_policy_deleted, a_boundary_put, a_tag_changed_that_a_condition_asks_for,
    a_roles_policy_deleted, a_roles_sessions_revoked, a_role_deleted, a_role_made_anew,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_what_is_taken_away_is_gone_at_the_next_call(way, world, load):
    principal, change = way(world)
    hammered(listing(principal), change, is_refused)


def assuming(principal, role):
    """A call of `AssumeRole` on a connection of its own."""

    def make():
        sts = principal.client("sts")
        return lambda: sts.assume_role(RoleArn=role, RoleSessionName="one")

    return make


def test_a_role_that_no_longer_trusts_is_assumed_by_nobody_from_then_on(world, load):
    role = world.role()
    user = world.user(allow("sts:AssumeRole"))
    name = role.rsplit("/", 1)[1]
    nobody = policy(trust("*", effect="Deny"))
    hammered(
        assuming(user, role),
        lambda: world.iam.update_assume_role_policy(RoleName=name, PolicyDocument=nobody),
        is_refused,
    )


def test_a_session_ends_with_its_user(world, load):
    user = world.user(allow("sts:AssumeRole"))
    session = session_of(world, user.sts.get_session_token()["Credentials"])

    def delete():
        world.iam.delete_access_key(UserName=user.name, AccessKeyId=user.access_key_id)
        world.iam.delete_user_policy(UserName=user.name, PolicyName="inline")
        world.iam.delete_user(UserName=user.name)

    hammered(assuming(session, world.role()), delete, is_refused)


def test_what_is_given_is_there_at_the_next_call(world, load):
    user = world.user()
    hammered(
        listing(user),
        lambda: world.iam.put_user_policy(
            UserName=user.name, PolicyName="yes", PolicyDocument=policy(allow("iam:ListUsers"))
        ),
        is_answered,
    )


def test_a_session_made_after_a_revocation_works(world):
    role = world.role(allow("iam:ListUsers"))
    user = world.user(allow("sts:AssumeRole"))
    name = role.rsplit("/", 1)[1]

    def session():
        made = user.sts.assume_role(RoleArn=role, RoleSessionName="one")["Credentials"]
        return session_of(world, made)

    old = session()
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    older = {"DateLessThan": {"aws:TokenIssueTime": now}}
    world.iam.put_role_policy(
        RoleName=name, PolicyName="AWSRevokeOlderSessions",
        PolicyDocument=policy(deny("*", Condition=older)),
    )
    assert refusal(old.iam.list_users).code == "AccessDenied"
    # A token tells its time in whole seconds.
    time.sleep(1.1)
    session().iam.list_users()
